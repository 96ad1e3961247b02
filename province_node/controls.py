"""Orders of the ministry at the province: kept once verified, carried out once (protocol 3.1).

Decides that numbers only grow: an order below the newest one carried out is history. `trust_state` keeps the verified
envelope of every order; `node_state` says which repairs and resends are still open.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from hub.batch import wire
from hub.batch.control import Control, Repair, Resend
from hub.batch.layout import control_name
from hub.store import Reader, Transaction
from hub.store.ledger import NODE_STATE, TRUST_STATE
from province_node.head import set_state

_OPEN: Final = "control.open"


@dataclass(frozen=True)
class OpenRepair:
    """A repair that was ordered and not sealed yet."""

    number: int
    buckets: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class OpenResend:
    """A resend that was ordered and not carried out yet."""

    number: int
    epoch: int
    first: int


def known(reader: Reader) -> set[str]:
    """Names of orders kept already."""
    query = sa.select(TRUST_STATE.c.name).where(TRUST_STATE.c.name.like("control-%"))
    return set(reader.connection.execute(query).scalars())


def keep(transaction: Transaction, control: Control, envelope: bytes, at: datetime) -> None:
    """Stores a verified order and opens it; a number that is kept already changes nothing."""
    name = control_name(control.number)
    if name in known(transaction):
        return
    transaction.connection.execute(
        sa.insert(TRUST_STATE),
        {
            "name": name,
            "version": control.number,
            "digest": wire.digest_of(envelope),
            "body": envelope,
            "seen_at": wire.write_utc(at),
        },
    )
    order = control.order
    entry: dict[str, Any] = {"epoch": order.stream_id.epoch}
    if isinstance(order, Repair):
        entry |= {"repair": {e: list(some) for e, some in order.buckets.items()}}
    elif isinstance(order, Resend):
        entry |= {"resend": order.first}
    _write(transaction, {**_read(transaction), str(control.number): entry})


def open_repairs(reader: Reader) -> tuple[OpenRepair, ...]:
    """Repairs to seal, in the order of their numbers; only the newest counts, since a later census replaces it."""
    found = [
        OpenRepair(int(n), {e: tuple(some) for e, some in entry["repair"].items()})
        for n, entry in _read(reader).items()
        if "repair" in entry
    ]
    return tuple(sorted(found, key=lambda r: r.number)[-1:])


def open_resends(reader: Reader) -> tuple[OpenResend, ...]:
    """Resends to carry out, in the order of their numbers."""
    entries = _read(reader).items()
    found = [OpenResend(int(n), int(e["epoch"]), int(e["resend"])) for n, e in entries if "resend" in e]
    return tuple(sorted(found, key=lambda r: r.number))


def carried_out(transaction: Transaction, number: int) -> None:
    """Closes an order, and with a repair every earlier one."""
    held = _read(transaction)
    repair = "repair" in held.get(str(number), {})
    left = {
        n: entry
        for n, entry in held.items()
        if int(n) != number and not (repair and "repair" in entry and int(n) < number)
    }
    _write(transaction, left)


def _read(reader: Reader) -> dict[str, dict[str, Any]]:
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _OPEN)
    found = reader.connection.execute(query).scalar_one_or_none()
    entries: dict[str, dict[str, Any]] = json.loads(found) if found else {}
    return entries


def _write(transaction: Transaction, entries: object) -> None:
    set_state(transaction, _OPEN, json.dumps(entries, sort_keys=True))
