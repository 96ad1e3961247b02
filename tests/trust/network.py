"""A whole exchange network in memory, with every argument open to spoiling: the other side of the trust tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509

from hub.batch.admission import seal_certs
from hub.batch.cipher import PartDigest, encrypt_file
from hub.batch.grant import EpochGrant, build_grant
from hub.batch.layout import StreamId, batch_id, part_name
from hub.batch.manifest import (
    CodesetRef,
    FileEntry,
    Manifest,
    Producer,
    Recipient,
    RowCounts,
    SchemaRef,
    Watermark,
)
from hub.errors import RefusedError
from hub.trust.authority import LabAuthority
from hub.trust.build import MemberEntry, SignEntry, TrustDraft, build_trust_list
from hub.trust.keys import (
    DevelopmentFileSigner,
    PrivateKey,
    certificate_pem,
    generate_encryption_key,
    generate_signing_key,
)
from hub.trust.trust_list import TrustList

NOW = datetime(2026, 11, 23, 5, 51, 20, tzinfo=UTC)
STREAM = StreamId("13", "up", "main", 1)
MINISTRY_ROLES = ("sign:dn:case:*", "sign:dn:errors:*", "sign:dn:codes:*", "receipt:up:main:*", "head:*", "control:*")


def province_roles(party: str) -> tuple[str, ...]:
    return (f"sign:up:main:{party}", f"receipt:dn:case:{party}", f"receipt:dn:errors:{party}")


@dataclass(frozen=True)
class KeyPair:
    """A private key with its certificate."""

    key: PrivateKey
    cert: x509.Certificate

    @property
    def signer(self) -> DevelopmentFileSigner:
        return DevelopmentFileSigner(self.key, certificate_pem(self.cert))


@dataclass(frozen=True)
class Network:
    """CA, keys by name, and the draft of trust list 1. Names: `moe`, `13`, `12`, `root1..3`; `enc:<party>`."""

    authority: LabAuthority
    sign: dict[str, KeyPair]
    encrypt: dict[str, KeyPair]
    draft: TrustDraft
    trust: TrustList
    trust_envelope: bytes

    @property
    def roots(self) -> list[DevelopmentFileSigner]:
        return [self.sign[f"root{n}"].signer for n in (1, 2, 3)]

    def signer(self, name: str) -> DevelopmentFileSigner:
        return self.sign[name].signer

    def trust_list(
        self,
        version: int,
        *,
        signers: Sequence[DevelopmentFileSigner] | None = None,
        at: datetime = NOW,
        **changes: Any,
    ) -> tuple[bytes, TrustList]:
        draft = replace(self.draft, **changes)
        return build_trust_list(draft, signers or self.roots[:2], version=version, issued=at)

    def grant(self, stream_id: StreamId = STREAM, **changes: Any) -> EpochGrant:
        grant = EpochGrant(stream_id, "首次开通", "snapshot", None, NOW)
        return build_grant(replace(grant, **changes), self.roots[:2])[1]


def pair(authority: LabAuthority, name: str, **changes: Any) -> KeyPair:
    key = generate_signing_key()
    return KeyPair(key, authority.issue_signing(key.public_key(), name, now=NOW - timedelta(days=1), **changes))


@cache
def rsa_key(n: int) -> PrivateKey:
    """RSA keys are slow to make, so the whole test run shares a few."""
    assert n < 4
    return generate_encryption_key("rsa")


@cache
def network() -> Network:
    """Ministry, provinces 13 (RSA encryption key) and 12 (EC), escrow, three offline root keys; trust list 1."""
    authority = LabAuthority.create("示范 CA", now=NOW - timedelta(days=30))
    sign = {name: pair(authority, name) for name in ("moe", "13", "12", "root1", "root2", "root3")}
    encrypt = {
        party: KeyPair(key, authority.issue_encryption(key.public_key(), f"enc {party}", now=NOW - timedelta(days=1)))
        for party, key in {
            "moe": rsa_key(0),
            "moe-dr": generate_encryption_key("ec"),
            "13": rsa_key(1),
            "12": generate_encryption_key("ec"),
        }.items()
    }
    roots = [SignEntry(sign[f"root{n}"].cert, ("trust", "grant", "dr")) for n in (1, 2, 3)]
    members = (
        MemberEntry(
            "moe",
            (SignEntry(sign["moe"].cert, MINISTRY_ROLES), *roots),
            (encrypt["moe"].cert,),
            ssh_host_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample",),
        ),
        MemberEntry("moe-dr", (), (encrypt["moe-dr"].cert,)),
        *(
            MemberEntry(party, (SignEntry(sign[party].cert, province_roles(party)),), (encrypt[party].cert,))
            for party in ("12", "13")
        ),
    )
    crl = authority.crl(1, now=NOW - timedelta(days=1))
    draft = TrustDraft(members=members, anchors=(authority.cert,), crls=(crl,))
    signers = [sign["root1"].signer, sign["root2"].signer]
    envelope, trust = build_trust_list(draft, signers, version=1, issued=NOW - timedelta(hours=1))
    return Network(authority, sign, encrypt, draft, trust, envelope)


def with_member(draft: TrustDraft, party: str, **changes: Any) -> tuple[MemberEntry, ...]:
    """The draft's members with one of them changed."""
    return tuple(replace(entry, **changes) if entry.party == party else entry for entry in draft.members)


def with_crl(net: Network, crl: bytes) -> TrustList:
    """Trust list 1 with another CRL."""
    return net.trust_list(1, crls=(crl,))[1]


def seal_part(folder: Path, net: Network, *, seq: int = 1, n: int = 1, size: int = 100_000) -> FileEntry:
    """A real encrypted part in `folder`, for all required recipients of `STREAM`."""
    name = part_name(batch_id(STREAM, seq), n)
    source = folder / f"{name}.plain"
    source.write_bytes(os.urandom(size))
    certs = [entry.cert for entry in seal_certs(STREAM, net.trust, NOW)]
    digest = encrypt_file(source, folder / name, certs, os.urandom)
    return FileEntry(n, name, "student", digest, RowCounts(1200, 31000, 145), 4)


def plausible_file(seq: int = 1, n: int = 1) -> FileEntry:
    """A file entry whose file does not exist."""
    digest = PartDigest(5000, "ab" * 32, 4000, "cd" * 32)
    return FileEntry(n, part_name(batch_id(STREAM, seq), n), "student", digest, RowCounts(10, 20, 3), 1)


def manifest(
    net: Network, *, seq: int = 1, prev: str = "", files: Sequence[FileEntry] | None = None, **changes: Any
) -> Manifest:
    """A manifest of stream 13-up-main that every check accepts."""
    recipients = tuple(Recipient(entry.party, entry.keyid) for entry in seal_certs(STREAM, net.trust, NOW))
    plain = Manifest(
        stream_id=STREAM,
        seq=seq,
        prev=prev or net.grant().digest,
        kind="delta",
        created=NOW - timedelta(minutes=1),
        expires=NOW + timedelta(days=30),
        schema=SchemaRef("student-core", "3.2.0", "sha256:" + "1" * 64),
        codeset=CodesetRef(57, "sha256:" + "2" * 64),
        watermark=Watermark(880001, 912345),
        files=tuple(files) if files is not None else (plausible_file(seq),),
        recipients=recipients,
        producer=Producer("p13-hub-a", "hub/0.1", "sha256:" + "3" * 64, "run-1"),
        trust_version=1,
    )
    return replace(plain, **changes)


def files_in(folder: Path) -> Iterator[str]:
    """Names below a folder, to assert that nothing was left."""
    return (path.name for path in sorted(folder.rglob("*")))


def code_of(call: Callable[[], object]) -> str | None:
    """Code with which a call is refused, None when it is not; anything else propagates."""
    try:
        call()
    except RefusedError as failure:
        return failure.code
    return None
