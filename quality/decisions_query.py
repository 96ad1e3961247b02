"""Lists of conflicts: filter, data scope, keyset paging, counts. The one place where scope becomes SQL (console 1).

Decides that an id outside the operator's scope is not there at all, that a page begins after a number and never at an
offset, and that figures count distinct conflicts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from hub.case_form import SOURCE
from hub.errors import UsageError
from hub.masking import KEY_JOIN
from hub.roles import Scope, area, covered
from hub.store import Reader
from hub.store.decision_tables import BULK_OPERATION, DECISION
from hub.store.ledger import CONFLICT
from quality.decisions import State
from quality.places import lies_in, schools_in

PAGE_SIZES: Final = (10, 20, 50, 100)
MAX_PAGE: Final = 5_000
# The subject of a case of the ministry in the queue (来源：部级核查), before its number.
CASE_SUBJECT: Final = "case:"
CASES, SOURCES = "case", "source"
OPEN, CLOSED = "0", "1"
_ANY: Final = 10**15
NONE: Final = "-"  # as a value of a condition: the column is empty
FACETS: Final = ("entity", "field", "rule", "state", "cause", "school", "assignee", "authority")


@dataclass(frozen=True)
class Filter:
    """Conditions of a list; empty means all. `state` empty: everything; `overdue` looks at `today` (YYYY-MM-DD).

    `division`: with all that report to it; `record`: record numbers; `source`: who said a losing value, or 部级核查; `typed`: an identifier somebody typed (学籍号,
    身份证件号, 学校标识码), private, so it never stands in a URL; `origin`: `CASES` the ministry's, `SOURCES` our own.
    """

    entity: tuple[str, ...] = ()
    field: tuple[str, ...] = ()
    rule: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    cause: tuple[str, ...] = ()
    school: tuple[str, ...] = ()
    assignee: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    op_no: tuple[str, ...] = ()
    proposer: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    overdue: str = ""
    division: tuple[str, ...] = ()
    record: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    typed: str = ""
    origin: str = ""

    def text(self) -> str:
        """Canonical JSON: what a preview and its apply compare."""
        return json.dumps({k: v for k, v in asdict(self).items() if v}, ensure_ascii=False, sort_keys=True)

    @staticmethod
    def of(text: str) -> Filter:
        """The filter back from `text()`."""
        given: dict[str, Any] = {k: v if isinstance(v, str) else tuple(v) for k, v in json.loads(text).items()}
        return Filter(**given)


@dataclass(frozen=True)
class Page:
    """Rows in order of number; `after`: where the next page begins, None at the end."""

    rows: tuple[dict[str, Any], ...]
    after: int | None


def conditions(chosen: Filter) -> list[Any]:
    """WHERE terms of a filter."""
    terms: list[Any] = []
    for name in (*FACETS, "op_no", "proposer"):
        if wanted := getattr(chosen, name):
            terms.append(_one_of(DECISION.c[name], wanted))
    if chosen.state:
        terms += _open_only(chosen.state)
    if chosen.op_no and NONE not in chosen.op_no:
        terms += taken_by(chosen.op_no, DECISION.c.decision_no)
    if chosen.numbers:
        terms.append(DECISION.c.decision_no.in_(chosen.numbers))
    if chosen.division:
        terms.append(lies_in(DECISION.c.division, [area(code) for code in chosen.division]))
    if chosen.source:
        terms.append(_said_by(chosen.source))
    if chosen.origin:
        ours = sa.or_(
            DECISION.c.subject < CASE_SUBJECT,
            DECISION.c.subject >= f"{CASE_SUBJECT[:-1]}{chr(ord(CASE_SUBJECT[-1]) + 1)}",
        )
        terms.append(ours if chosen.origin == SOURCES else sa.not_(ours))
    if chosen.record:
        terms.append(DECISION.c.pk.in_(chosen.record))
    if chosen.typed:
        terms.append(_names(chosen.typed))
    if chosen.overdue:
        terms += [DECISION.c.due < chosen.overdue, DECISION.c.state != str(State.EFFECTIVE), DECISION.c.closed == OPEN]
    return terms


def marker(state: State) -> str:
    """`decision.closed` beside this state."""
    return CLOSED if state is State.EFFECTIVE else OPEN


def in_states(states: Sequence[str]) -> list[Any]:
    """WHERE terms of rows in one of the states; open ones are found by their marker."""
    return [DECISION.c.state.in_(states), *_open_only(states)]


def taken_by(op_nos: Sequence[str], number: Any) -> list[Any]:
    """WHERE terms of the range of numbers in which operations took rows; `number`: the column of conflict numbers."""
    own = BULK_OPERATION.c.op_no.in_(op_nos)
    least = sa.select(sa.func.coalesce(sa.func.min(sa.func.coalesce(BULK_OPERATION.c.first_no, 0)), 0)).where(own)
    most = sa.select(sa.func.coalesce(sa.func.max(BULK_OPERATION.c.last_no), _ANY)).where(own)
    return [number >= least.scalar_subquery(), number <= most.scalar_subquery()]


def _open_only(states: Sequence[str]) -> list[Any]:
    """What the index needs to be of use: no state among these is a closed one."""
    return [] if {str(State.EFFECTIVE), NONE} & set(states) else [DECISION.c.closed == OPEN]


def _one_of(column: Any, wanted: Sequence[str]) -> Any:
    named = [w for w in wanted if w != NONE]
    return sa.or_(column.in_(named), column.is_(None), column == "") if NONE in wanted else column.in_(named)


def _said_by(sources: Sequence[str]) -> Any:
    """Conflicts a source has a losing value in; 部级核查 are the ministry's cases."""
    said = sa.exists().where(
        CONFLICT.c.decision_no == DECISION.c.decision_no,
        CONFLICT.c.closed_run.is_(None),
        CONFLICT.c.source.in_(sources),
    )
    return sa.or_(said, DECISION.c.subject.like("case:%")) if SOURCE in sources else said


def _names(typed: str) -> Any:
    """Natural keys that are the identifier or begin with it; a 身份证件号 also as the 学籍号 of type G that embeds it."""
    key, joined = DECISION.c.natural_key, KEY_JOIN
    one = typed.strip().upper()
    terms = [
        term
        for k in (one, f"G{one}")
        for term in (key == k, sa.and_(key > f"{k}{joined}", key < f"{k}{chr(ord(joined) + 1)}"))
    ]
    return sa.or_(*terms, DECISION.c.school == one)


def within(reader: Reader, node: str, scopes: Sequence[Scope]) -> Any:
    """WHERE term of the data scope: a record lies in it by its school or by the division its school stands in now.

    Divisions follow the reporting tree, not code prefixes (定州 does not report to 保定). No scope: nothing.
    """
    schools = reader.golden("xx")
    terms: list[Any] = []
    for areas, own, entities in covered(scopes):
        if areas is None:
            place: Any = sa.true()
        else:
            place = sa.or_(
                DECISION.c.school.in_(sorted(own)),
                DECISION.c.school.in_(schools_in(reader, node, areas)),
                # A school that is not in the store yet: the division its source names.
                sa.and_(
                    lies_in(DECISION.c.division, areas),
                    ~sa.exists().where(schools.c.node == node, schools.c.xxdm == DECISION.c.school),
                ),
            )
        terms.append(sa.and_(place, DECISION.c.entity.in_(sorted(entities))) if entities else place)
    return sa.or_(sa.false(), *terms)


def page(reader: Reader, node: str, scopes: Sequence[Scope], chosen: Filter, *, after: int = 0, size: int = 50) -> Page:
    """One page, keyset: conflicts with a number above `after`, at most `size`."""
    if not 1 <= size <= MAX_PAGE:
        raise UsageError("E1055", f"每页条数须在 1 与 {MAX_PAGE} 之间", step="改正 --size")
    query = (
        sa.select(DECISION)
        .where(DECISION.c.decision_no > after, *conditions(chosen), within(reader, node, scopes))
        .order_by(DECISION.c.decision_no)
        .limit(size + 1)
    )
    rows = [dict(r) for r in reader.connection.execute(query).mappings()]
    more = len(rows) > size
    return Page(tuple(rows[:size]), int(rows[size - 1]["decision_no"]) if more else None)


def count(reader: Reader, node: str, scopes: Sequence[Scope], chosen: Filter) -> int:
    """Distinct conflicts, not events."""
    query = sa.select(sa.func.count()).select_from(DECISION).where(*conditions(chosen), within(reader, node, scopes))
    return int(reader.connection.execute(query).scalar_one())


def groups(
    reader: Reader, node: str, scopes: Sequence[Scope], chosen: Filter, by: Iterable[str]
) -> list[dict[str, Any]]:
    """Counts of distinct conflicts per combination of columns."""
    columns = [DECISION.c[name] for name in by]
    query = (
        sa.select(*columns, sa.func.count().label("conflicts"))
        .where(*conditions(chosen), within(reader, node, scopes))
        .group_by(*columns)
        .order_by(*columns)
    )
    return [dict(r) for r in reader.connection.execute(query).mappings()]


def facets(
    reader: Reader, node: str, scopes: Sequence[Scope], chosen: Filter, names: Sequence[str] = FACETS
) -> dict[str, dict[str, int]]:
    """Counts per value of several facets, each ignoring its own filter (console 2); NULL and '' count as `NONE`.

    One pass counts all facets that are not filtered by; each that is has a pass of its own.
    """
    if strange := set(names) - set(FACETS):
        raise RuntimeError(f"no facets {sorted(strange)}")
    free = [name for name in names if not getattr(chosen, name)]
    found: dict[str, dict[str, int]] = {name: {} for name in names}
    for together in [free, *([name] for name in names if name not in free)]:
        without = Filter(**{**asdict(chosen), **dict.fromkeys(together, ())})
        for row in groups(reader, node, scopes, without, together) if together else ():
            for name in together:
                counts, value = found[name], row[name] or NONE
                counts[value] = counts.get(value, 0) + int(row["conflicts"])
    return found


def facet(reader: Reader, node: str, scopes: Sequence[Scope], chosen: Filter, name: str) -> dict[str, int]:
    """Counts per value of one facet."""
    return facets(reader, node, scopes, chosen, (name,))[name]
