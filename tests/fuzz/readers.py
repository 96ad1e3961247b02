"""What is fuzzed: each reader of bytes from outside, with a good input and the rule a spoiled one must keep.

The rule is the same for all: a refusal with a code of protocol 7.3, or exactly what the good input meant. Anything
else, an exception of another kind above all, is a finding.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.serialization import Encoding

from hub.batch import strictjson
from hub.batch.cipher import decrypt_file, encrypt_file
from hub.batch.envelope import PayloadType, build, parse, verify
from hub.batch.limits import Limits
from hub.batch.manifest import manifest_payload, read_manifest
from hub.catalog import load_catalog
from hub.changes import change_schema
from hub.errors import RefusedError
from hub.trust.chain import parse_crl
from hub.trust.trust_list import parse_trust_list
from hub.verdict import CODES
from ministry_node.decode import Decoder
from tests.trust.network import NOW, STREAM, manifest, network

_CATALOG = load_catalog()


@dataclass(frozen=True)
class Target:
    """One reader. `read(bytes)` returns normally or raises RefusedError; `meant`: its result for the good input must
    stand for every input that is accepted, where the reader authenticates."""

    name: str
    good: bytes
    read: Callable[[bytes], object]
    authentic: bool


def outcome(target: Target, data: bytes) -> str | None:
    """Code of a refusal, None when accepted; AssertionError when an authenticated reader accepts something else."""
    try:
        found = target.read(data)
    except RefusedError as refusal:
        if refusal.code not in CODES:
            raise AssertionError(f"unknown code {refusal.code}") from refusal
        return refusal.code
    assert not target.authentic or found == target.read(target.good), f"{target.name} took other content"
    return None


@contextmanager
def targets() -> Iterator[list[Target]]:
    """All readers, with their files and the decoder's process; closed at the end."""
    with tempfile.TemporaryDirectory(prefix="hub-fuzz-") as temporary, Decoder(Limits()) as decoder:
        folder = Path(temporary)
        yield [_envelope(), _certificate(), _crl(), _manifest(), _trust_list(), _cms(folder), _parquet(folder, decoder)]


def _envelope() -> Target:
    net = network()
    payload = manifest_payload(manifest(net))
    good = build(PayloadType.BATCH_MANIFEST, payload, [net.signer("13")])

    def read(data: bytes) -> object:
        role = STREAM.manifest_role
        return verify(data, payload_type=PayloadType.BATCH_MANIFEST, trust=net.trust, role=role, at=NOW).payload

    return Target("envelope", good, read, authentic=True)


def _certificate() -> Target:
    """The certificate inside an envelope whose signature is good."""
    net = network()
    envelope = json.loads(build(PayloadType.BATCH_MANIFEST, manifest_payload(manifest(net)), [net.signer("13")]))

    def read(data: bytes) -> object:
        pem = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(data).decode()}\n-----END CERTIFICATE-----\n"
        envelope["signatures"][0]["cert"] = pem
        body, role = strictjson.emit(envelope), STREAM.manifest_role
        return verify(body, payload_type=PayloadType.BATCH_MANIFEST, trust=net.trust, role=role, at=NOW).payload

    return Target("certificate", net.sign["13"].cert.public_bytes(Encoding.DER), read, authentic=True)


def _crl() -> Target:
    """A revocation list from `pub/`: nobody has vouched for it before it is parsed."""
    net = network()
    good = net.authority.crl(3, now=NOW, revoked=[(4711, NOW)])

    def read(data: bytes) -> object:
        found = parse_crl(data, [net.authority.cert])
        return found.number, found.next_update, dict(found.revoked)

    return Target("CRL", good, read, authentic=True)


def _manifest() -> Target:
    return Target("manifest", manifest_payload(manifest(network())), read_manifest, authentic=False)


def _trust_list() -> Target:
    payload = parse(network().trust_envelope, PayloadType.TRUST_LIST).payload
    return Target("trust list", payload, parse_trust_list, authentic=False)


def _cms(folder: Path) -> Target:
    net, source, sealed = network(), folder / "source", folder / "part.cms"
    source.write_bytes(os.urandom(3000))
    encrypt_file(source, sealed, [net.encrypt[party].cert for party in ("moe-dr", "12")], os.urandom)
    pair, out = net.encrypt["moe-dr"], folder / "out"

    def read(data: bytes) -> object:
        sealed.write_bytes(data)
        try:
            decrypt_file(sealed, out, pair.key, pair.cert)
            return out.read_bytes()
        finally:
            out.unlink(missing_ok=True)

    return Target("CMS", sealed.read_bytes(), read, authentic=True)


def _parquet(folder: Path, decoder: Decoder) -> Target:
    entity = _CATALOG.entities["xx"]
    path = folder / "part.parquet"
    schema = change_schema(entity)
    rows = [_row(schema, n) for n in range(200)]
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table.replace_schema_metadata({b"exch.nonce": os.urandom(32).hex().encode()}), path)

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return decoder.check(path, entity, where="part")

    return Target("Parquet", path.read_bytes(), read, authentic=False)


def _row(schema: pa.Schema, n: int) -> dict[str, object]:
    texts = {name for name, kind in zip(schema.names, schema.types, strict=True) if pa.types.is_string(kind)}
    row: dict[str, object] = {name: "1" if name in texts else None for name in schema.names}
    return row | {"op": "U", "pk": f"{n:020x}", "row_ver": n + 1}
