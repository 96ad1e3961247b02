"""The holders of the offline keys and the education CA of a laboratory: trust lists, CRLs and certificates by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from hub.batch.envelope import PayloadType, build, parse
from hub.batch.layout import trust_list_name
from hub.settings import Node
from hub.trust import amend
from hub.trust.authority import LabAuthority
from hub.trust.keys import (
    DevelopmentFileSigner,
    Signer,
    certificate_pem,
    generate_signing_key,
    load_certificates,
    load_private_key,
)
from hub.trust_folder import open_trust
from pipelines.lab.setup import Lab
from province_node.listen import listen
from tests.ministry.forge import Province
from tests.round.labs import AT

Edit = Callable[[dict[str, Any]], object]


class Offline:
    """Everything that lies in `offline-keys`."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        folder = lab.folder / "offline-keys"
        self.authority = LabAuthority.load((folder / "ca.key.pem").read_bytes(), (folder / "ca.cert.pem").read_text())
        self.roots: list[Signer] = [
            DevelopmentFileSigner.load((folder / f"root{n}.key.pem").read_bytes(), pem.read_text())
            for n in (1, 2, 3)
            for pem in [folder / f"root{n}.cert.pem"]
        ]

    def newest(self, node: Node) -> bytes:
        return max(node.trust.glob("trust-list-*.dsse")).read_bytes()

    def next_list(
        self,
        *edits: Edit,
        at: datetime = AT,
        after: bytes | None = None,
        signers: Sequence[Signer] | None = None,
        crl_number: int | None = None,
    ) -> tuple[str, bytes]:
        """Name and envelope of the list after `after` (the ministry's newest by default), with the edits."""
        last = after or self.newest(self.lab.ministry)
        data = amend.next_version(parse(last, PayloadType.TRUST_LIST).payload, issued=at)
        for edit in edits:
            edit(data)
        number = crl_number or data["version"]
        amend.renew_crls(data, [self.crl(number, at=at)], [self.authority.cert])
        payload, made = amend.finish(data)
        return trust_list_name(made.version), build(PayloadType.TRUST_LIST, payload, signers or self.roots[:2])

    def crl(
        self, number: int, *, at: datetime = AT, days: int = 30, revoked: Sequence[tuple[int, datetime]] = ()
    ) -> bytes:
        return self.authority.crl(number, now=at, days=days, revoked=revoked)

    def signer(self, name: str, *, at: datetime = AT - timedelta(hours=1)) -> DevelopmentFileSigner:
        """A new signing key with a certificate of the CA."""
        key = generate_signing_key()
        cert = self.authority.issue_signing(key.public_key(), name, now=at)
        return DevelopmentFileSigner(key, certificate_pem(cert))

    def signing_cert(self, csr: Path, *, at: datetime = AT) -> bytes:
        """What the CA answers to a request for a signing certificate."""
        request = x509.load_pem_x509_csr(csr.read_bytes())
        cert = self.authority.issue_signing(request.public_key(), "下一把", now=at)  # type: ignore[arg-type]
        return certificate_pem(cert).encode()

    def encryption_cert(self, csr: Path, *, at: datetime = AT) -> bytes:
        request = x509.load_pem_x509_csr(csr.read_bytes())
        cert = self.authority.issue_encryption(request.public_key(), "下一把", now=at)  # type: ignore[arg-type]
        return certificate_pem(cert).encode()

    def deliver(self, name: str, content: bytes) -> None:
        """Into the ministry's `trust/incoming/`."""
        folder = self.lab.ministry.trust / "incoming"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    def publish(self, name: str, content: bytes) -> None:
        """Into the province's `pub/`, past the ministry: what an attacker on the server could do."""
        (self.lab.exchange_root / "p13" / "pub" / name).write_bytes(content)


def leaf(node: Node) -> x509.Certificate:
    """A node's signing certificate."""
    return load_certificates((node.keys / "sign.cert.pem").read_bytes())[0]


def with_certificate(node: Node, *certs: x509.Certificate) -> Any:
    """The node's signing key with other certificates than its own."""
    key = load_private_key((node.keys / "sign.key.pem").read_bytes())
    return DevelopmentFileSigner(key, "".join(certificate_pem(cert) for cert in certs))


def trust_files(node: Node) -> dict[str, bytes]:
    """Everything in `trust/`: what a refusal leaves as it was."""
    return {str(p.relative_to(node.trust)): p.read_bytes() for p in sorted(node.trust.rglob("*")) if p.is_file()}


def versions(province: Province, at: datetime = AT) -> tuple[int, int]:
    """Versions in force at province and ministry."""
    lab = province.lab
    return open_trust(lab.province.trust, at=at).version, open_trust(lab.ministry.trust, at=at).version


def verdicts(province: Province, at: datetime) -> list[tuple[str, str | None]]:
    return [(d.verdict, d.code) for d in province.intake(at).decisions]


def spread(province: Province, name: str, envelope: bytes, at: datetime = AT) -> list[str]:
    """A new list goes in at the ministry and reaches the province; alarms of the ministry's run."""
    Offline(province.lab).deliver(name, envelope)
    codes = [alarm.code for alarm in province.intake(at).alarms]
    listen(province.lab.province, at=at)
    return codes
