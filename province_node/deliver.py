"""Shipping: sealed batches from the outbox to the exchange place (protocol 6.1 step 2, 6.4).

Decides what is shipped now: batches without a result, in order, as long as at most `in_flight` of them are on their
way; those without an answer again when their time has come (`hub.batch.outbox.ship_again_at`), with identical bytes,
because only a receipt ends sending (protocol 2.3); and what the ministry asked for by `resend`, whatever its state. A
target that exists with our size is success. Nothing is encrypted or signed here: the manifest is the outbox row's
bytes. The spool lets go of ciphertext thirty days after the result (protocol 5.6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import control_name, manifest_name
from hub.batch.manifest import Manifest, read_manifest
from hub.batch.outbox import BatchState, is_overdue, ship, ship_again_at
from hub.catalog import load_catalog
from hub.errors import HubError, VerificationError
from hub.keyring import Keyring, open_keyring
from hub.settings import Node
from hub.store import Store, Transaction, open_store
from hub.store.ledger import OUTBOX, RECEIPT
from hub.transport import ClientTransport, open_client
from hub.transport.durable import write_durably
from hub.verdict import Verdict
from province_node.controls import OpenResend, carried_out, open_resends
from province_node.desk import ACTOR
from province_node.exclusive import exchange_step
from province_node.ledger import moment
from province_node.spool import let_go

Progress = Callable[[str, int, int], None]
_MANIFEST_CAP = PayloadType.BATCH_MANIFEST.cap
# After as many digest failures the upload starts from zero (protocol 2.4).
_RESTART_AFTER = 2


@dataclass(frozen=True)
class Shipped:
    """One batch put to the exchange place. `sent`: bytes moved now, 0 when it lay there; `again`: re-shipped."""

    batch_id: str
    seq: int
    parts: int
    sent: int
    again: bool


@dataclass(frozen=True)
class Delivered:
    """What shipping did. `waiting`: sealed batches held back by the limit of batches in flight; `alarms`: batches
    without a result for a day; `swept`: ciphertext files let go."""

    batches: tuple[Shipped, ...]
    waiting: int
    alarms: tuple[HubError, ...] = ()
    swept: int = 0

    @property
    def sent(self) -> int:
        return sum(batch.sent for batch in self.batches)


@dataclass(frozen=True)
class _Row:
    stream: str
    epoch: int
    seq: int
    batch_id: str
    state: BatchState
    envelope: bytes
    refusals: int
    sealed_at: datetime
    sent_at: datetime | None
    sends: int

    @property
    def ever_sent(self) -> bool:
        return self.sent_at is not None

    def is_due(self, at: datetime) -> bool:
        """To be shipped now. A clock that was set back does not put it off."""
        if self.state is BatchState.SEALED or self.sent_at is None:
            return True
        again = ship_again_at(self.state, self.sent_at, self.sends, self.batch_id)
        return again is not None and (at >= again or at < self.sent_at)


def deliver(node: Node, *, at: datetime, progress: Progress | None = None, again: bool = False) -> Delivered:
    """Ships what waits. `at`: aware, noted as the time of sending; `progress(file, done, size)` in bytes; `again`: what
    has no answer yet at once, a person asked for it.

    Raises `VerificationError` E3408 when a part in the spool is missing or not what was sealed, E2405 when the exchange
    place holds another file of that name, and the retryable errors of the transport; batches shipped before stay SENT.
    """
    with exchange_step(node):
        keyring = open_keyring(node, at=at)
        store = open_store(node.database_url, load_catalog())
        try:
            rows, asked = _outgoing(store), _asked_for(store)
            window = rows[: keyring.trust.limits.in_flight]
            chosen = [r for r in window if r.state in _SHIPPED and (r.is_due(at) or (again and r.state in _UNANSWERED))]
            waiting = sum(r.state is BatchState.SEALED for r in rows[keyring.trust.limits.in_flight :])
            alarms = tuple(_overdue(r, at) for r in rows if is_overdue(r.state, r.sealed_at, at))
            done: tuple[Shipped, ...] = ()
            if chosen or asked:
                with open_transport(node, keyring) as transport:
                    again_rows = _resend(node, store, transport, asked, at, progress)
                    resent = {row.batch_id for row in again_rows}
                    rest = [row for row in chosen if row.batch_id not in resent]
                    done = (*again_rows, *(_ship(node, store, transport, row, at, progress) for row in rest))
            return Delivered(done, waiting, alarms, let_go(node, store, at))
        finally:
            store.close()


_SHIPPED = (BatchState.SEALED, BatchState.SENT, BatchState.RECEIVED)
_UNANSWERED = (BatchState.SENT,)


def _overdue(row: _Row, at: datetime) -> HubError:
    hours = int((at - row.sealed_at).total_seconds() // 3600)
    return HubError(
        "E3421",
        f"批次封装后 {hours} 小时仍无结果（状态 {row.state}）",
        where=row.batch_id,
        step="联系部级核对该批次是否收到；系统会继续按间隔重送同一份文件",
    )


def open_transport(node: Node, keyring: Keyring) -> ClientTransport:
    """The exchange place of a province; SFTP host keys from the trust list, which rotates them (10.2), and from the
    settings only while the list names none."""
    pins = keyring.trust.member("moe").ssh_host_keys or node.settings.sftp_host_keys
    key_file = node.folder / node.settings.sftp_key
    return open_client(node.transport_url, node.party, key_file=key_file, host_keys=pins)


def _outgoing(store: Store) -> list[_Row]:
    """Batches without a result, in the order of the stream."""
    final = [str(state) for state in BatchState if state.is_final]
    return _rows(store, OUTBOX.c.state.not_in(final))


def _rows(store: Store, wanted: sa.ColumnElement[bool]) -> list[_Row]:
    refused = (
        sa.select(sa.func.count())
        .select_from(RECEIPT)
        .where(RECEIPT.c.stream == OUTBOX.c.stream, RECEIPT.c.epoch == OUTBOX.c.epoch, RECEIPT.c.seq == OUTBOX.c.seq)
        .where(RECEIPT.c.type == str(Verdict.REFUSED))
        .scalar_subquery()
    )
    query = sa.select(OUTBOX, refused.label("refusals")).where(wanted).order_by(OUTBOX.c.epoch, OUTBOX.c.seq)
    with store.reading() as reader:
        return [
            _Row(
                row["stream"],
                int(row["epoch"]),
                int(row["seq"]),
                row["batch_id"],
                BatchState(row["state"]),
                bytes(row["manifest"]),
                int(row["refusals"]),
                datetime.fromisoformat(row["sealed_at"]),
                datetime.fromisoformat(row["sent_at"]) if row["sent_at"] else None,
                int(row["sends"] or 0),
            )
            for row in reader.connection.execute(query).mappings()
        ]


def _asked_for(store: Store) -> tuple[tuple[OpenResend, list[_Row]], ...]:
    """What the ministry asked to be sent again, with the batches; whatever their state here (protocol 9.4)."""
    with store.reading() as reader:
        orders = open_resends(reader)
    c = OUTBOX.c
    return tuple((o, _rows(store, sa.and_(c.epoch == o.epoch, c.seq >= o.first))) for o in orders)


def _resend(
    node: Node,
    store: Store,
    transport: ClientTransport,
    asked: tuple[tuple[OpenResend, list[_Row]], ...],
    at: datetime,
    progress: Progress | None,
) -> tuple[Shipped, ...]:
    """Carries out the orders: identical bytes, each order once. What the spool has let go of is left out."""
    shipped: dict[str, Shipped] = {}
    for order, rows in asked:
        for row in rows:
            if row.batch_id not in shipped and (not row.state.is_final or _is_kept(node.spool, row)):
                shipped[row.batch_id] = _ship(node, store, transport, row, at, progress)
        with store.begin() as transaction:
            carried_out(transaction, order.number)
            append(
                transaction.connection,
                Event.BATCH_RESENT,
                ts=at,
                node=node.party,
                actor=ACTOR,
                object=control_name(order.number),
                detail={"from": order.first, "batches": len(rows)},
            )
    return tuple(shipped.values())


def _ship(
    node: Node, store: Store, transport: ClientTransport, row: _Row, at: datetime, progress: Progress | None
) -> Shipped:
    files = _files(node.spool, row)
    sent = transport.put_batch(files, restart=row.refusals >= _RESTART_AFTER, progress=progress)
    with store.begin() as transaction:
        _note_sent(transaction, node, row, at, sent)
    return Shipped(row.batch_id, row.seq, len(files) - 1, sent, row.ever_sent)


def _files(spool: Path, row: _Row) -> list[Path]:
    """Parts as sealed, and the manifest, written from the outbox where the spool has lost it."""
    name = manifest_name(row.batch_id)
    manifest = _manifest(row)
    _check_spool(spool, manifest)
    path = spool / name
    if not path.is_file() or path.read_bytes() != row.envelope:
        write_durably([row.envelope], path, _MANIFEST_CAP)
    return [*(spool / entry.name for entry in manifest.files), path]


def _manifest(row: _Row) -> Manifest:
    name = manifest_name(row.batch_id)
    return read_manifest(parse(row.envelope, PayloadType.BATCH_MANIFEST, where=name).payload, where=name)


def _is_kept(spool: Path, row: _Row) -> bool:
    return all((spool / entry.name).is_file() for entry in _manifest(row).files)


def _check_spool(spool: Path, manifest: Manifest) -> None:
    """Sizes now; the receiver's digests find the rest, and a refused batch is never sealed anew (protocol 5.6)."""
    for entry in manifest.files:
        path = spool / entry.name
        if not path.is_file() or path.stat().st_size != entry.digest.cms_size:
            raise VerificationError(
                "E3408",
                "密文存档缺失或大小已变，不能发送该批次",
                where=entry.name,
                step="从备份恢复 spool 目录中的该文件；无法恢复时向部级申请新的期次授权（协议 9.5）",
            )


def _note_sent(transaction: Transaction, node: Node, row: _Row, at: datetime, sent: int) -> None:
    changed = transaction.connection.execute(
        sa.update(OUTBOX)
        .where(OUTBOX.c.stream == row.stream, OUTBOX.c.epoch == row.epoch, OUTBOX.c.seq == row.seq)
        .where(OUTBOX.c.state == str(row.state))
        .values(
            state=str(row.state if row.state.is_final else ship(row.state)), sent_at=moment(at), sends=row.sends + 1
        )
    )
    if changed.rowcount != 1:
        raise RuntimeError("the outbox moved although the exchange was held")
    if sent or row.state is BatchState.SEALED:
        append(
            transaction.connection,
            Event.BATCH_SENT,
            ts=at,
            node=node.party,
            actor=ACTOR,
            object=row.batch_id,
            detail={"bytes": sent, "again": int(row.ever_sent)},
        )
