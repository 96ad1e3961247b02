"""Quarantined rows as the console lists them: filter, data scope, keyset paging, facets, export (console 2, 5).

Decides what a list holds: at a province its quarantine, at the ministry the rows of PARTIAL batches that were sent back
(protocol 7.2), which carry record numbers and no value. A row stands once per rule and field. What puts a row there is
decided by the gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from hub.roles import Scope
from hub.store import Reader
from hub.store.exchange_tables import RETURNED_ROW
from hub.store.ledger import QUARANTINE
from quality.places import of_division, within_schools

FACETS: Final = ("entity", "rule", "severity", "state", "source")
BLOCK: Final = 2_000
_JOIN: Final = "~"


@dataclass(frozen=True)
class Wanted:
    """Conditions; empty means all. `closed`: rows that are settled as well; `division`: with all that report to it."""

    entity: tuple[str, ...] = ()
    rule: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    school: str = ""
    division: str = ""
    field: str = ""
    closed: bool = False


@dataclass(frozen=True)
class Row:
    """One rule that one row breaks. `natural_key` is private; `record`: the record number, at the ministry alone."""

    entity: str
    src_rid: str
    rule: str
    field: str
    natural_key: str
    school: str
    reason: str
    severity: str
    source: str
    state: str
    opened: str
    closed: str
    record: str

    @property
    def key(self) -> str:
        """Where it stands in the order of the list."""
        return _JOIN.join((self.entity, self.src_rid, self.rule, self.field, self.record))


@dataclass(frozen=True)
class Store:
    """The table of a node's list, with the columns of `Row` over it, and `ended`, `own_rid` for an index to find them
    by as they are stored. `node`: the province whose schools these are."""

    rows: Any
    node: str | None
    province: bool


def of_node(reader: Reader, party: str) -> Store:
    """The list of a node: a province's quarantine, or what the ministry sent back."""
    del reader
    if party != "moe":
        q = QUARANTINE.c
        query = sa.select(
            q.entity, q.src_rid, q.rule, q.field, q.natural_key, q.school, q.reason, q.severity, q.source, q.state,
            sa.cast(q.run_no, sa.String(20)).label("opened"), sa.cast(q.closed_run, sa.String(20)).label("closed"),
            sa.literal("").label("record"), q.closed_run.label("ended"), q.src_rid.label("own_rid"),
        )  # fmt: skip
        return Store(query.subquery("held"), party, True)
    r = RETURNED_ROW.c
    query = sa.select(
        r.entity, sa.func.coalesce(r.src_rid, "").label("src_rid"), r.rule, r.field, sa.null().label("natural_key"),
        sa.null().label("school"), sa.null().label("reason"), sa.literal("错误").label("severity"),
        r.node.label("source"), sa.literal("已退回").label("state"), r.batch_id.label("opened"),
        r.cleared_by.label("closed"), r.pk.label("record"), r.cleared_by.label("ended"), r.src_rid.label("own_rid"),
    )  # fmt: skip
    return Store(query.subquery("held"), None, False)


def _terms(reader: Reader, held: Store, scopes: Sequence[Scope], wanted: Wanted) -> list[Any]:
    c = held.rows.c
    terms: list[Any] = [_scope(reader, held, scopes)]
    terms += [c[name].in_(getattr(wanted, name)) for name in FACETS if getattr(wanted, name)]
    if wanted.school:
        terms.append(c.school == wanted.school)
    if wanted.division:
        terms.append(
            of_division(reader, held.node, wanted.division, c.school)
            if held.province
            else c.source == wanted.division[:2]
        )
    if wanted.field:
        terms.append(c.field == wanted.field)
    if not wanted.closed:
        terms.append(c.ended.is_(None))
    return terms


def _scope(reader: Reader, held: Store, scopes: Sequence[Scope]) -> Any:
    """At the ministry rows carry a province and no school: a scope holds those of the provinces it names whole."""
    c = held.rows.c
    if held.province:
        return within_schools(reader, held.node, scopes, c.school, c.entity)
    terms = []
    for scope in scopes:
        whole = [d[:2] for d in scope.divisions if d.endswith("0000")]
        place: Any = sa.true() if scope.whole else c.source.in_(whole)
        terms.append(sa.and_(place, c.entity.in_(sorted(scope.categories))) if scope.categories else place)
    return sa.or_(sa.false(), *terms)


def count(reader: Reader, held: Store, scopes: Sequence[Scope], wanted: Wanted) -> int:
    """Rows of the filter in scope."""
    query = sa.select(sa.func.count()).select_from(held.rows).where(*_terms(reader, held, scopes, wanted))
    return int(reader.connection.execute(query).scalar_one())


def page(
    reader: Reader, held: Store, scopes: Sequence[Scope], wanted: Wanted, *, size: int, after: str = "", offset: int = 0
) -> tuple[Row, ...]:
    """One page in the order of entity, source row, rule: behind the key `after`, or from `offset`."""
    query = _ordered(reader, held, scopes, wanted).limit(size)
    past = _past(held, after)
    query = query.where(past) if past is not None else query.offset(offset)
    return tuple(_row(r) for r in reader.connection.execute(query).mappings())


def _ordered(reader: Reader, held: Store, scopes: Sequence[Scope], wanted: Wanted) -> Any:
    c = held.rows.c
    return (
        sa.select(held.rows)
        .where(*_terms(reader, held, scopes, wanted))
        .order_by(c.entity, c.src_rid, c.rule, c.field, c.record)
    )


def _past(held: Store, after: str) -> Any | None:
    """WHERE term: behind this key. Written out, for not every database compares rows of values."""
    values = after.split(_JOIN)
    columns = [held.rows.c[n] for n in ("entity", "src_rid", "rule", "field", "record")]
    if not held.province and len(values) == len(columns):
        pass
    elif len(values) == len(columns):
        columns, values = columns[:4], values[:4]
    else:
        return None
    terms = []
    for at, column in enumerate(columns):
        same = [c == v for c, v in zip(columns[:at], values[:at], strict=True)]
        terms.append(sa.and_(*same, column > values[at]))
    return sa.or_(*terms)


def facets(
    reader: Reader, held: Store, scopes: Sequence[Scope], wanted: Wanted, *, names: Sequence[str] = FACETS
) -> dict[str, dict[str, int]]:
    """Counts per value; each facet ignores its own filter (console 2)."""
    found = {}
    for name in names:
        column = held.rows.c[name]
        free = replace(wanted, **{name: ()})  # type: ignore[arg-type]
        query = sa.select(column, sa.func.count()).where(*_terms(reader, held, scopes, free)).group_by(column)
        counts = {str(v or ""): int(n) for v, n in reader.connection.execute(query)}
        found[name] = dict(sorted(counts.items(), key=lambda c: (-c[1], c[0])))
    return found


def of_row(reader: Reader, held: Store, scopes: Sequence[Scope], entity: str, src_rid: str) -> tuple[Row, ...]:
    """Every rule that one source row breaks or broke; empty outside the scope."""
    c = held.rows.c
    terms = _terms(reader, held, scopes, Wanted(entity=(entity,), closed=True))
    query = sa.select(held.rows).where(*terms, c.own_rid == src_rid).order_by(c.rule, c.field, c.record)
    return tuple(_row(r) for r in reader.connection.execute(query).mappings())


def every(reader: Reader, held: Store, scopes: Sequence[Scope], wanted: Wanted) -> Iterator[Row]:
    """The whole filter, streamed."""
    query = _ordered(reader, held, scopes, wanted).execution_options(yield_per=BLOCK)
    for row in reader.connection.execute(query).mappings():
        yield _row(row)


def _row(row: Any) -> Row:
    return Row(*(str(row[name] if row[name] is not None else "") for name in Row.__dataclass_fields__))


def as_query(wanted: Wanted) -> dict[str, str]:
    """What an audit record says of a filter: which conditions, never a typed value but codes."""
    return {k: "、".join(v) if isinstance(v, tuple) else str(v) for k, v in asdict(wanted).items() if v}
