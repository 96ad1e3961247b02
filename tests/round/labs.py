"""Laboratories for the tests: set up and settled once per run, copied per test; and a ministry that answers by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hub.audit import verify
from hub.batch import wire
from hub.batch.layout import batch_id
from hub.batch.receipt import Head, Receipt, ReceiptCounts, sign_receipt
from hub.batch.sequence import PeerStream
from hub.catalog import load_catalog
from hub.keyring import Keyring, open_keyring
from hub.settings import Node
from hub.store import Store, open_store
from hub.transport import open_server
from hub.verdict import Verdict
from pipelines.lab.setup import Lab, init_lab, open_lab
from province_node.settle import Options, run_round
from province_node.stream import main_stream, standing

AT = datetime(2026, 11, 23, 5, 51, 20, tzinfo=UTC)
TODAY = "2026-11-23"


def new_lab(folder: Path, sources: Path, **options: Any) -> Lab:
    return init_lab(folder, sources=sources, province="13", at=AT, rng=os.urandom, **options)


def settle(lab: Lab, today: str = TODAY) -> int:
    """One settling round; the state is committed and the store has not heard of it."""
    return run_round(lab.province, Options(today=today), nonce=lambda: os.urandom(32).hex()).number


def copy_lab(template: Lab, folder: Path) -> Lab:
    """A lab of its own, with the sources where the template's are."""
    shutil.copytree(template.folder, folder)
    return open_lab(folder)


def point_at(lab: Lab, sources: Path) -> Lab:
    """The lab with other sources, as if the files had been replaced."""
    file = lab.province.folder / "hub.toml"
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("sources")]
    file.write_text("\n".join([*lines, f'sources = "{sources}"']) + "\n", encoding="utf-8")
    return open_lab(lab.folder)


def change_setting(lab: Lab, name: str, value: str) -> Lab:
    file = lab.province.folder / "hub.toml"
    file.write_text(file.read_text(encoding="utf-8") + f"{name} = {value}\n", encoding="utf-8")
    return open_lab(lab.folder)


def store_of(node: Node) -> Store:
    return open_store(node.database_url, load_catalog())


def rows(node: Node, table: str, order: str = "1") -> list[Mapping[str, Any]]:
    """All rows of one of the hub's tables."""
    store = store_of(node)
    try:
        with store.reading() as reader:
            found = reader.connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY {order}")).mappings().all()
            return [dict(row) for row in found]
    finally:
        store.close()


def events(node: Node) -> list[tuple[str, str | None]]:
    """Audit records after the set-up: (action, object)."""
    return [(row["action"], row["object"]) for row in rows(node, "audit_event", "i")][4:]


def audit_holds(node: Node) -> bool:
    store = store_of(node)
    try:
        with store.reading() as reader:
            return verify(reader.connection) is None
    finally:
        store.close()


def position(node: Node) -> PeerStream:
    store = store_of(node)
    try:
        with store.reading() as reader:
            return standing(reader, node.party, keyring(node)).position
    finally:
        store.close()


def keyring(node: Node) -> Keyring:
    return open_keyring(node, at=AT)


def spool(node: Node) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(node.spool.glob("*"))}


def snapshot(node: Node) -> dict[str, Any]:
    """Everything a refusal must leave as it was."""
    names = ("run", "extract", "change_set", "lineage", "outbox", "peer_stream", "receipt", "quarantine", "conflict")
    state: dict[str, Any] = {name: rows(node, name) for name in names}
    store = store_of(node)
    try:
        state["golden"] = {e.name: store.count(e) for e in load_catalog().entities.values()}
    finally:
        store.close()
    return state


def receipt(lab: Lab, seq: int, verdict: Verdict, **changes: Any) -> Receipt:
    """What the ministry would say about batch `seq` of the outbox."""
    row = next(row for row in rows(lab.province, "outbox") if row["seq"] == seq)
    plain = Receipt(
        batch_id=batch_id(main_stream("13"), seq),
        receipt_no=1,
        prev_receipt=None,
        verdict=verdict,
        manifest_digest=row["digest"],
        received_at=AT,
        decided_at=AT + timedelta(minutes=1),
        trust_version=1,
        signer_key=keyring(lab.ministry).signer.keyid,
        head=Head(seq, row["digest"], seq + 1),
        counts=ReceiptCounts(ins=row["rows_i"], upd=row["rows_u"], deleted=row["rows_d"]),
    )
    return replace(plain, **changes)


def answer(lab: Lab, given: Receipt, *, signer: Any = None, name: str | None = None, spoil: bool = False) -> str:
    """Signs the receipt and lays it out for the province; returns its payload digest."""
    payload, envelope = sign_receipt(given, signer or keyring(lab.ministry).signer)
    if spoil:
        at = envelope.index(b'"payload":"') + 40
        envelope = envelope[:at] + (b"A" if envelope[at : at + 1] != b"A" else b"B") + envelope[at + 1 :]
    open_server(lab.exchange_root).publish("13", name or given.name, envelope, replace=True)
    return wire.digest_of(payload)
