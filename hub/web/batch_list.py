"""The exchange's batches of both directions as one list: sent, received, and how they ended (console 5).

SQL to frozen dataclasses; decides what of three ledgers (outbox, inbox, down streams) is one list, in which order it
stands and how it is filtered. No value of a record is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from hub.batch.layout import parse_batch_id
from hub.errors import RefusedError
from hub.store import Reader
from hub.store.ledger import INBOX, OUTBOX, RECEIPT
from hub.store.registry_tables import DOWN_BATCH
from hub.verdict import Verdict

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


# What a row of the list is made of, in the order of its columns.
_SHAPE: Final = (
    "direction", "party", "stream", "epoch", "seq", "batch_id", "state", "rows_i", "rows_u", "rows_d", "quarantined",
    "at_", "ended", "size_", "digest",
)  # fmt: skip
# Columns that are filtered by value and counted by value.
_FACETS: Final = ("direction", "party", "stream", "state")


@dataclass(frozen=True)
class _Arm:
    """One ledger's rows in the shape of the list. Conditions are put on its own columns, where its indexes lie.

    `states`: the states its rows may stand in, each with its condition; None where `state` is a plain column.
    """

    direction: str
    columns: dict[str, Any]
    where: tuple[Any, ...] = ()
    states: dict[str, Any] | None = None

    def select(self, terms: Sequence[Any], names: Sequence[str] = _SHAPE) -> Any:
        """Its rows under the names of the list: every arm of the union says the same, whatever its table says."""
        return sa.select(*(self.columns[n].label(n) for n in names)).where(*self.where, *terms)

    def terms(self, wanted: Wanted, *, facets: bool = True) -> list[Any] | None:
        """WHERE terms of the filter; None where no row of this ledger can meet it."""
        if facets and wanted.direction and self.direction not in wanted.direction:
            return None
        terms: list[Any] = []
        for name in ("party", "stream") if facets else ():
            if values := getattr(wanted, name):
                terms.append(self.columns[name].in_(values))
        if facets and wanted.state:
            if self.states is None:
                terms.append(self.columns["state"].in_(wanted.state))
            elif found := [term for state, term in self.states.items() if state in wanted.state]:
                terms.append(sa.or_(*found))
            else:
                return None
        if wanted.batch:
            terms.append(self.columns["batch_id"].contains(wanted.batch, autoescape=True))
        if wanted.begin:
            terms.append(self.columns["at_"] >= wanted.begin)
        if wanted.end:
            terms.append(self.columns["at_"] < wanted.end + "~")  # every moment of that day sorts before it
        return terms


def _number(text: str) -> sa.ColumnClause[int]:
    return sa.literal_column(text, sa.BigInteger)


def _text(word: str) -> sa.ColumnClause[str]:
    """A word of ours as a constant; it goes into the statement and holds no quote."""
    return sa.literal_column(f"'{word}'", sa.String)


_NO_NUMBER: Final = sa.cast(sa.null(), sa.BigInteger)
_NO_TEXT: Final = sa.cast(sa.null(), sa.String(80))


def _shaped(*values: Any) -> dict[str, Any]:
    return dict(zip(_SHAPE, values, strict=True))


def _arms() -> tuple[_Arm, ...]:
    """The three ledgers, and what only receipts know."""
    o, i, d, zero, sent = OUTBOX.c, INBOX.c, DOWN_BATCH.c, _number("0"), _text(SENT)
    up = _shaped(
        sent, sa.func.substr(o.batch_id, 1, 2), o.stream, o.epoch, o.seq, o.batch_id, o.state,
        o.rows_i, o.rows_u, o.rows_d, zero, o.sealed_at, o.decided_at, o.bytes, o.digest,
    )  # fmt: skip
    taken = _shaped(
        _text(RECEIVED), i.party, i.stream, i.epoch, i.seq, i.batch_id, i.verdict,
        i.rows_i, i.rows_u, i.rows_d, i.quarantined, i.received_at, i.decided_at, _NO_NUMBER, i.digest,
    )  # fmt: skip
    states = {
        ACKED: d.acked_at.is_not(None),
        SHIPPED: sa.and_(d.acked_at.is_(None), d.shipped_at.is_not(None)),
        "SEALED": sa.and_(d.acked_at.is_(None), d.shipped_at.is_(None)),
    }
    state = sa.case(*((term, _text(name)) for name, term in list(states.items())[:2]), else_=_text("SEALED"))
    down = _shaped(
        sent, d.party, d.stream, d.epoch, d.seq, d.batch_id, state,
        d.rows_i, d.rows_u, d.rows_d, zero, d.sealed_at, d.acked_at, d.bytes, d.digest,
    )  # fmt: skip
    return _Arm(SENT, up), _Arm(RECEIVED, taken), _Arm(SENT, down, states=states), _undecided()


def _undecided() -> _Arm:
    """Answered batches that have no place in their stream yet (HELD, parked, refused): receipts alone know them."""
    r, zero, one = RECEIPT.c, _number("0"), _number("1")
    newer, i, o = RECEIPT.alias("newer"), INBOX.c, OUTBOX.c
    same = [getattr(newer.c, n) == r[n] for n in ("party", "stream", "epoch", "seq")]
    there = [getattr(i, n) == r[n] for n in ("party", "stream", "epoch", "seq")]
    ours = [getattr(o, n) == r[n] for n in ("stream", "epoch", "seq")]
    batch = sa.func.substr(r.name, 1, sa.func.length(r.name) - len(".receipt1.dsse"))
    columns = _shaped(
        _text(RECEIVED), r.party, r.stream, r.epoch, r.seq, batch, r.type,
        zero, zero, zero, zero, r.created, _NO_TEXT, _NO_NUMBER, _NO_TEXT,
    )  # fmt: skip
    where = (
        # What uses its number up stands in a ledger; asked first, because an index finds the few others by it.
        r.type.in_([str(v) for v in Verdict if not v.consumes_seq]),
        ~sa.exists(sa.select(one).select_from(newer).where(*same, newer.c.receipt_no > r.receipt_no)),
        ~sa.exists(sa.select(one).select_from(INBOX).where(*there)),
        ~sa.exists(sa.select(one).select_from(OUTBOX).where(*ours)),
    )
    return _Arm(RECEIVED, columns, where)


_ARMS: Final = _arms()


@dataclass(frozen=True)
class Counts:
    """Batches per combination of what is counted, under a filter's other conditions; read in one pass."""

    wanted: Wanted
    groups: tuple[tuple[tuple[str, ...], int], ...]

    @property
    def total(self) -> int:
        """How many batches meet the whole filter."""
        return sum(n for values, n in self.groups if self._meets(values))

    def facet(self, name: str) -> Sequence[tuple[str, int]]:
        """Batches per value of a column, under every condition but its own; the most frequent first."""
        found: dict[str, int] = {}
        for values, n in self.groups:
            if (value := values[_FACETS.index(name)]) and self._meets(values, without=name):
                found[value] = found.get(value, 0) + n
        return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))

    def _meets(self, values: tuple[str, ...], without: str = "") -> bool:
        asked = ((name, getattr(self.wanted, name)) for name in _FACETS if name != without)
        return all(not some or values[_FACETS.index(name)] in some for name, some in asked)


def counts(reader: Reader, wanted: Wanted) -> Counts:
    """The filter's figures, all of them from one reading of the ledgers."""
    arms = [arm.select(arm.terms(wanted, facets=False) or (), _FACETS) for arm in _ARMS]
    ledger = sa.union_all(*arms).subquery("ledger")
    by = [ledger.c[name] for name in _FACETS]
    rows = reader.connection.execute(sa.select(*by, sa.func.count()).group_by(*by))
    return Counts(wanted, tuple((tuple(str(v or "") for v in row[:-1]), int(row[-1])) for row in rows))


def count(reader: Reader, wanted: Wanted) -> int:
    """How many batches there are; each ledger is asked by its own columns."""
    found = 0
    for arm in _ARMS:
        if (terms := arm.terms(wanted)) is not None:
            rows = arm.select(terms, ("seq",)).subquery("ledger")
            found += int(reader.connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one())
    return found


def lines(reader: Reader, wanted: Wanted, *, size: int, after: str | None = None, offset: int = 0) -> tuple[Line, ...]:
    """One page, newest first: behind the key `after`, or from `offset`.

    Of each ledger only as many rows are read as the page may hold, in the order of its index.
    """
    skip = 0 if after and _JOIN in after else offset
    asked = ((arm, arm.terms(wanted)) for arm in _ARMS)
    arms = [_newest(arm, terms, after or "", size + skip) for arm, terms in asked if terms is not None]
    if not arms:
        return ()
    ledger = sa.union_all(*arms).subquery("ledger")
    query = sa.select(ledger).order_by(ledger.c.at_.desc(), ledger.c.batch_id.desc()).limit(size)
    query = query.offset(skip) if skip else query
    return tuple(_line(row) for row in reader.connection.execute(query).mappings())


def _newest(arm: _Arm, terms: Sequence[Any], after: str, most: int) -> Any:
    at, number = arm.columns["at_"], arm.columns["batch_id"]
    query = arm.select(terms).order_by(at.desc(), number.desc()).limit(most)
    if _JOIN in after:
        moment, _, batch = after.partition(_JOIN)
        query = query.where(at <= moment, sa.or_(at < moment, number < batch))
    return sa.select(query.subquery("newest"))


def find(reader: Reader, batch_id: str) -> Line | None:
    """One batch by its number, which says where in the ledgers it stands."""
    try:
        stream_id, seq = parse_batch_id(batch_id)
    except RefusedError:
        return None
    for arm in _ARMS:
        c = arm.columns
        place = [c["stream"] == stream_id.stream, c["epoch"] == stream_id.epoch, c["seq"] == seq]
        place += [c["party"] == stream_id.party, c["batch_id"] == batch_id]
        row = reader.connection.execute(arm.select(place)).mappings().first()
        if row is not None:
            return _line(row)
    return None


def neighbours(reader: Reader, line: Line) -> tuple[str | None, str | None]:
    """The batches before and after it in its stream."""
    found: dict[int, str] = {}
    for arm in _ARMS:
        c = arm.columns
        if arm.direction == line.direction:
            same = [c[n] == getattr(line, n) for n in ("party", "stream", "epoch")]
            query = arm.select([*same, c["seq"].in_([line.seq - 1, line.seq + 1])], ("seq", "batch_id"))
            found |= {int(seq): str(batch) for seq, batch in reader.connection.execute(query)}
    return found.get(line.seq - 1), found.get(line.seq + 1)


def _line(row: sa.RowMapping) -> Line:
    return Line(
        direction=row["direction"], party=row["party"], stream=row["stream"], epoch=int(row["epoch"]),
        seq=int(row["seq"]), batch_id=row["batch_id"], state=row["state"] or "", inserted=int(row["rows_i"] or 0),
        updated=int(row["rows_u"] or 0), deleted=int(row["rows_d"] or 0), quarantined=int(row["quarantined"] or 0),
        at=row["at_"] or "", ended=row["ended"], size=row["size_"], digest=row["digest"] or "",
    )  # fmt: skip
