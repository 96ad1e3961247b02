"""Row rules over golden rows: what a settled row may not say, asked again where the row arrives (protocol 7.2).

Decides, for one record as it travels, the rules of severity 错误 that the row alone can break: code values, forms,
lengths, what must be filled, what must agree within the record (MODEL §7). They are compiled from the same definitions
as the province's gate. Leaves to the province what needs other rows, other entities or the source's labels.

Rules: blocks come and go as Arrow; good rows are never touched one by one; no value leaves, only where it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import duckdb
import pyarrow as pa

from hub.catalog import Catalog, Entity, Field
from quality.expressions import ident, text
from quality.keys import not_of_platform
from quality.rules import RowRule, hard_rules
from quality.suites import Check, checks

ROW_NO: Final = "_row_no"
# Rules that look at how a value arrived; a typed column no longer shows it.
_OF_ARRIVAL: Final = ("_malformed", "_overflow", "_unknown")


@dataclass(frozen=True)
class RowFault:
    """One rule that one row breaks. `row_no`: from 1 in its file."""

    row_no: int
    pk: str
    row_ver: int
    src_rid: str
    rule: str
    field: str


def settled_rules(catalog: Catalog, entity: Entity, *, today: str) -> tuple[RowRule, ...]:
    """Every rule of severity 错误 that a golden row can break by itself. `today`: YYYY-MM-DD."""
    present = entity.fields
    found = [r for r in hard_rules(catalog, entity, present, frozenset()) if not _of_arrival(r)]
    found += [RowRule("YX18", f.name, _too_wide(f)) for f in present if f.type == "N" and f.scale == 0]
    required = (_required(check) for check in checks(catalog, entity, today=today))
    known = {(r.rule, r.field, r.condition) for r in found}
    found += [r for r in required if r is not None and (r.rule, r.field, r.condition) not in known]
    return tuple(found)


def _of_arrival(rule: RowRule) -> bool:
    return any(word in rule.condition for word in _OF_ARRIVAL)


def _too_wide(field: Field) -> str:
    return f"abs({ident(field.name)}) >= {10 ** (field.length or 18)}"


def _required(check: Check) -> RowRule | None:
    """WZ01, WZ02, WZ03, WZ05, WZ06 of the suite, as SQL."""
    if check.kind == "ExpectDelivered":
        field, origin = (ident(c) for c in check.columns)
        school = not_of_platform(origin)
        asked = {"school": f" AND {school}", "platform": f" AND NOT {school}"}.get(check.arguments["of"], "")
        return RowRule(check.rule, check.field, f"{field} IS NULL{asked}")
    if check.kind == "ExpectRequiredWhen":
        condition, field = (ident(c) for c in check.columns)
        operator = "<>" if check.arguments["negate"] else "="
        value = text(check.arguments["value"])
        return RowRule(check.rule, check.field, f"{condition} {operator} {value} AND {field} IS NULL")
    return None


class RowGate:
    """The rules at work over blocks of change rows; use as a context manager. `today`: YYYY-MM-DD, for dated rules.

    `under`: the definitions of a version of the registry, whose owners and code tables rows are asked by.
    """

    def __init__(
        self, catalog: Catalog, *, today: str, memory: str = "512MB", under: Callable[[int], Catalog] | None = None
    ) -> None:
        self._catalog, self._today, self._under = catalog, today, under
        self._con = duckdb.connect(config={"memory_limit": memory, "threads": 1})
        self._queries: dict[tuple[int | None, str], tuple[str, str]] = {}
        self._kinds: dict[str, str] = {}
        self._make_divisions("division", catalog)
        self._con.execute("SET VARIABLE today = $1", [today])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._con.close()

    def split(
        self, entity: Entity, block: Any, first: int, *, version: int | None = None
    ) -> tuple[Any, tuple[RowFault, ...]]:
        """(the block without its bad rows, their faults). `block`: change rows; `first`: number of its first row;
        `version`: of the registry they were settled under, where the gate knows several."""
        find, name = self._sql(entity, version)
        numbers = pa.array(range(first, first + block.num_rows), pa.int64())
        numbered = pa.table([*block.columns, numbers], names=[*block.schema.names, ROW_NO])
        self._con.register("block", numbered)
        try:
            bad = [row[0] for row in self._con.execute(find).fetchall()]
            if not bad:
                return block, ()
            faults = tuple(RowFault(*row) for row in self._con.execute(name, [bad]).fetchall())
        finally:
            self._con.unregister("block")
        mask = pa.array([True] * block.num_rows).to_numpy(zero_copy_only=False).copy()
        mask[[n - first for n in bad]] = False
        return block.filter(pa.array(mask)), faults

    def _sql(self, entity: Entity, version: int | None) -> tuple[str, str]:
        """Which rows are bad; and, for those, every rule they break."""
        if (version, entity.name) not in self._queries:
            catalog = self._catalog if version is None or self._under is None else self._under(version)
            rules = settled_rules(catalog, entity, today=self._today)
            anything = " OR ".join(f"({r.condition})" for r in rules)
            find = f"SELECT {ROW_NO} FROM block WHERE op <> 'D' AND ({anything}) ORDER BY {ROW_NO}"
            hits = ", ".join(r.sql() for r in rules)
            name = (
                f"SELECT {ROW_NO}, pk, row_ver, coalesce(src_rid, ''), split_part(hit, ':', 1), split_part(hit, ':', 2) "
                f"FROM (SELECT {ROW_NO}, pk, row_ver, src_rid, unnest(list_distinct(list_filter([{hits}], "
                f"lambda x: x IS NOT NULL))) AS hit FROM block WHERE {ROW_NO} IN (SELECT unnest($1::BIGINT[]))) "
                f"ORDER BY {ROW_NO}, hit"
            )
            self._queries[version, entity.name] = self._divided(find, version), self._divided(name, version)
        return self._queries[version, entity.name]

    def _divided(self, sql: str, version: int | None) -> str:
        """The query over the divisions of that version, where they are not those of the installation."""
        if version is None or self._under is None:
            return sql
        kind = f"division_{version}"
        if kind not in self._kinds:
            catalog = self._under(version)
            same = catalog.codes.divisions == self._catalog.codes.divisions
            self._kinds[kind] = "division" if same else kind
            if not same:
                self._make_divisions(kind, catalog)
        return sql.replace(" AS division)", f" AS {self._kinds[kind]})")

    def _make_divisions(self, kind: str, catalog: Catalog) -> None:
        codes = ", ".join(text(c) for c in sorted(catalog.codes.divisions))
        self._con.execute(f"CREATE TYPE {kind} AS ENUM ({codes})")
