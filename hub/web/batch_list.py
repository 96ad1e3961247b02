"""The exchange's batches of both directions as one list: sent, received, and how they ended (console 5).

SQL to frozen dataclasses; decides what of three ledgers (outbox, inbox, down streams) is one list, in which order it
stands and how it is filtered. No value of a record is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from hub.store import Reader
from hub.store.ledger import INBOX, OUTBOX, RECEIPT
from hub.store.registry_tables import DOWN_BATCH

SENT, RECEIVED = "发出", "接收"
DIRECTIONS: Final = (SENT, RECEIVED)
# What a batch is called that left by a down stream: nobody answers it with a verdict, the next up manifest confirms it.
SHIPPED, ACKED = "SHIPPED", "ACKED"
STATES: Final = (
    "SEALED", "SENT", "RECEIVED", "APPLIED", "PARTIAL", "HELD", "VOID", "REFUSED", "CLOSED", SHIPPED, ACKED,
)  # fmt: skip
_JOIN: Final = " "


@dataclass(frozen=True)
class Wanted:
    """Conditions of the list; empty means all. `begin`, `end`: days in UTC, both included."""

    direction: tuple[str, ...] = ()
    party: tuple[str, ...] = ()
    stream: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    batch: str = ""
    begin: str = ""
    end: str = ""


@dataclass(frozen=True)
class Line:
    """One batch. `party`: whose stream; `at`: sealed or received (UTC text); `size`: ciphertext bytes, if known."""

    direction: str
    party: str
    stream: str
    epoch: int
    seq: int
    batch_id: str
    state: str
    inserted: int
    updated: int
    deleted: int
    quarantined: int
    at: str
    ended: str | None
    size: int | None
    digest: str = field(repr=False, default="")

    @property
    def rows(self) -> int:
        return self.inserted + self.updated + self.deleted

    @property
    def key(self) -> str:
        """Where a page that follows begins."""
        return f"{self.at}{_JOIN}{self.batch_id}"


_SHAPE: Final = (
    "direction", "party", "stream", "epoch", "seq", "batch_id", "state", "rows_i", "rows_u", "rows_d", "quarantined",
    "at_", "ended", "size_", "digest",
)  # fmt: skip


def _arm(*values: Any) -> sa.Select[Any]:
    """One ledger's rows under the names of the list: every arm of the union says the same, whatever its table says."""
    return sa.select(*(value.label(name) for name, value in zip(_SHAPE, values, strict=True)))


def _ledger() -> Any:
    """The three ledgers in one shape."""
    o, i, d, zero, sent = OUTBOX.c, INBOX.c, DOWN_BATCH.c, _number("0"), _text(SENT)
    up = _arm(
        sent, sa.func.substr(o.batch_id, 1, 2), o.stream, o.epoch, o.seq, o.batch_id, o.state,
        o.rows_i, o.rows_u, o.rows_d, zero, o.sealed_at, o.decided_at, o.bytes, o.digest,
    )  # fmt: skip
    taken = _arm(
        _text(RECEIVED), i.party, i.stream, i.epoch, i.seq, i.batch_id, i.verdict,
        i.rows_i, i.rows_u, i.rows_d, i.quarantined, i.received_at, i.decided_at, _NO_NUMBER, i.digest,
    )  # fmt: skip
    state = sa.case(
        (d.acked_at.is_not(None), _text(ACKED)), (d.shipped_at.is_not(None), _text(SHIPPED)), else_=_text("SEALED")
    )
    down = _arm(
        sent, d.party, d.stream, d.epoch, d.seq, d.batch_id, state,
        d.rows_i, d.rows_u, d.rows_d, zero, d.sealed_at, d.acked_at, d.bytes, d.digest,
    )  # fmt: skip
    return sa.union_all(up, taken, down, _undecided()).subquery("ledger")


def _number(text: str) -> sa.ColumnClause[int]:
    return sa.literal_column(text, sa.BigInteger)


def _text(word: str) -> sa.ColumnClause[str]:
    """A word of ours as a constant; it goes into the statement and holds no quote."""
    return sa.literal_column(f"'{word}'", sa.String)


_NO_NUMBER: Final = sa.cast(sa.null(), sa.BigInteger)
_NO_TEXT: Final = sa.cast(sa.null(), sa.String(80))


def _undecided() -> Any:
    """Answered batches that have no place in their stream yet (HELD, parked, refused): receipts alone know them."""
    r, zero, one = RECEIPT.c, _number("0"), _number("1")
    newer, i, o = RECEIPT.alias("newer"), INBOX.c, OUTBOX.c
    same = [getattr(newer.c, n) == r[n] for n in ("party", "stream", "epoch", "seq")]
    there = [getattr(i, n) == r[n] for n in ("party", "stream", "epoch", "seq")]
    ours = [getattr(o, n) == r[n] for n in ("stream", "epoch", "seq")]
    batch = sa.func.substr(r.name, 1, sa.func.length(r.name) - len(".receipt1.dsse"))
    return _arm(
        _text(RECEIVED), r.party, r.stream, r.epoch, r.seq, batch, r.type,
        zero, zero, zero, zero, r.created, _NO_TEXT, _NO_NUMBER, _NO_TEXT,
    ).where(
        ~sa.exists(sa.select(one).select_from(newer).where(*same, newer.c.receipt_no > r.receipt_no)),
        ~sa.exists(sa.select(one).select_from(INBOX).where(*there)),
        ~sa.exists(sa.select(one).select_from(OUTBOX).where(*ours)),
    )  # fmt: skip


_LEDGER: Final = _ledger()


def _terms(wanted: Wanted, *, without: str = "") -> list[Any]:
    c = _LEDGER.c
    terms: list[Any] = []
    for name in ("direction", "party", "stream", "state"):
        if (values := getattr(wanted, name)) and name != without:
            terms.append(c[name].in_(values))
    if wanted.batch:
        terms.append(c.batch_id.contains(wanted.batch, autoescape=True))
    if wanted.begin:
        terms.append(c.at_ >= wanted.begin)
    if wanted.end:
        terms.append(c.at_ < wanted.end + "~")  # every moment of that day sorts before it
    return terms


def count(reader: Reader, wanted: Wanted) -> int:
    """How many batches there are."""
    query = sa.select(sa.func.count()).select_from(_LEDGER).where(*_terms(wanted))
    return int(reader.connection.execute(query).scalar_one())


def lines(reader: Reader, wanted: Wanted, *, size: int, after: str | None = None, offset: int = 0) -> tuple[Line, ...]:
    """One page, newest first: behind the key `after`, or from `offset`."""
    c = _LEDGER.c
    query = sa.select(_LEDGER).where(*_terms(wanted)).order_by(c.at_.desc(), c.batch_id.desc()).limit(size)
    if after and _JOIN in after:
        at, _, batch = after.partition(_JOIN)
        query = query.where(sa.or_(c.at_ < at, sa.and_(c.at_ == at, c.batch_id < batch)))
    elif offset:
        query = query.offset(offset)
    return tuple(_line(row) for row in reader.connection.execute(query).mappings())


def find(reader: Reader, batch_id: str) -> Line | None:
    """One batch by its number."""
    row = reader.connection.execute(sa.select(_LEDGER).where(_LEDGER.c.batch_id == batch_id)).mappings().first()
    return _line(row) if row else None


def neighbours(reader: Reader, line: Line) -> tuple[str | None, str | None]:
    """The batches before and after it in its stream."""
    c = _LEDGER.c
    same = [c[n] == getattr(line, n) for n in ("direction", "party", "stream", "epoch")]
    query = sa.select(c.seq, c.batch_id).where(*same, c.seq.in_([line.seq - 1, line.seq + 1]))
    found = {int(seq): str(batch) for seq, batch in reader.connection.execute(query)}
    return found.get(line.seq - 1), found.get(line.seq + 1)


def facet_counts(reader: Reader, wanted: Wanted, name: str) -> Sequence[tuple[str, int]]:
    """Batches per value of a column, under every other condition; the most frequent first."""
    column = _LEDGER.c[name]
    query = sa.select(column, sa.func.count()).where(*_terms(wanted, without=name)).group_by(column)
    found = [(str(v), int(n)) for v, n in reader.connection.execute(query) if v is not None]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def _line(row: sa.RowMapping) -> Line:
    return Line(
        direction=row["direction"], party=row["party"], stream=row["stream"], epoch=int(row["epoch"]),
        seq=int(row["seq"]), batch_id=row["batch_id"], state=row["state"] or "", inserted=int(row["rows_i"] or 0),
        updated=int(row["rows_u"] or 0), deleted=int(row["rows_d"] or 0), quarantined=int(row["quarantined"] or 0),
        at=row["at_"] or "", ended=row["ended"], size=row["size_"], digest=row["digest"] or "",
    )  # fmt: skip
