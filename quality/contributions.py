"""Contributions: what each source says of each record, normalised and judged on its own (ruling 20, first three steps).

Tables of the settling state, one pair per entity: `c_<entity>` holds the platform's rows, `l_<entity>` the schools'
supplements. Each row keeps where it came from (`_ext`, `_line`: extract number and line in it), the raw key and a hash
of the raw row, the source's update time (`_stamp`), the soft-delete and approval states, the row rules of severity 错误
it breaks (`_bad`) and what is only noted of it (`_soft`: unknown labels, JS05), each as `RULE:FIELD`.

Decides what a row becomes; which rows changed is `quality.changed`, which value wins is `quality.survivorship`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa

from hub.catalog import Catalog, Entity, Field, SourceColumn, SourceTable
from hub.catalog.shelves import YEARS
from hub.changes import arrow_type
from quality.expressions import any_of, ident, key_text, text
from quality.normalise import clean, convert, empty_to_null, fold_label, label_key
from quality.rules import hard_rules, label_notes

# Text columns every contribution carries after its payload.
MARKS = "_ext INTEGER, _line BIGINT, _rk VARCHAR, _raw UBIGINT, _stamp VARCHAR, _state VARCHAR, _approval VARCHAR, _copy VARCHAR, _bad VARCHAR[], _soft VARCHAR[]"
LOCAL_MARKS = "_school VARCHAR, _id_type VARCHAR, _id_no VARCHAR, _ext INTEGER, _line BIGINT, _bad VARCHAR[], _soft VARCHAR[], _reviewed BOOLEAN"

# Whom a row of an own system is about, where it names the person by a card (MODEL §6 match keys).
CARD = "_id_type VARCHAR, _id_no VARCHAR"
ID_TYPE, ID_NO = "_ID_TYPE", "_ID_NO"
RESIDENT_CARD = "1"

# Systems of a province's own are X1 … X9 (connectors.mapping).
OWN = "X"

# Templates say only 应届/往届; with the household register it becomes 101–104 (学生来源, label_crosswalk).
ORIGIN = (
    "CASE WHEN {own} = '应届' THEN CASE WHEN starts_with(b.v_HKXZM, '农') THEN '102' ELSE '101' END "
    "WHEN {own} = '往届' THEN CASE WHEN starts_with(b.v_HKXZM, '农') THEN '104' ELSE '103' END END"
)


def sql_type(field: Field) -> str:
    """DuckDB type of a payload column."""
    kind = arrow_type(field)
    if kind == "string":
        return "VARCHAR"
    return "BIGINT" if kind == "int64" else f"DECIMAL({field.length},{field.scale})"


def payload_ddl(entity: Entity) -> str:
    """Column definitions of an entity's payload."""
    return ", ".join(f"{ident(f.name)} {sql_type(f)}" for f in entity.fields)


def holding(table: SourceTable) -> str:
    """Where a table's contributions lie: `c_<entity>` for the national platforms, `o_<system>_<entity>` for an own one."""
    if table.entity is None:
        raise RuntimeError(f"{table.name} feeds no entity")
    return f"o_{table.system.lower()}_{table.entity}" if table.system.startswith(OWN) else f"c_{table.entity}"


def create_holding(con: duckdb.DuckDBPyConnection, catalog: Catalog, table: SourceTable) -> None:
    """The holding table of an own system's table."""
    entity = catalog.entities[str(table.entity)]
    con.execute(f"CREATE TABLE IF NOT EXISTS {holding(table)} ({payload_ddl(entity)}, {MARKS}, {CARD})")


def create_tables(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Creates the contribution, golden and lookup tables of an empty settling state."""
    for entity in catalog.entities.values():
        payload = payload_ddl(entity)
        con.execute(f"CREATE TABLE IF NOT EXISTS c_{entity.name} ({payload}, {MARKS})")
        con.execute(f"CREATE TABLE IF NOT EXISTS l_{entity.name} ({payload}, {LOCAL_MARKS})")
        con.execute(
            f"CREATE TABLE IF NOT EXISTS g_{entity.name} "
            f"(pk VARCHAR, row_ver BIGINT, src_rid VARCHAR, prov VARCHAR, {payload})"
        )
    _widen(con, catalog)
    con.execute(
        "CREATE TABLE IF NOT EXISTS crosswalk (old VARCHAR, new VARCHAR, confirmed BOOLEAN, _ext INTEGER, _line BIGINT)"
    )
    con.execute("CREATE TABLE IF NOT EXISTS key_alias (entity VARCHAR, key_pk VARCHAR, pk VARCHAR)")
    con.execute("CREATE TABLE IF NOT EXISTS gave_way (entity VARCHAR, pk VARCHAR)")
    con.execute("CREATE TABLE IF NOT EXISTS retired_code (tbl VARCHAR, code VARCHAR)")
    con.execute("CREATE TABLE IF NOT EXISTS student_alias (old VARCHAR, new VARCHAR)")
    con.execute("CREATE TABLE IF NOT EXISTS meta (name VARCHAR PRIMARY KEY, value VARCHAR)")


def _widen(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """A state of older definitions takes the fields that came to them; it is read by name, so they may stand last."""
    found = con.execute("SELECT lower(table_name), lower(column_name) FROM duckdb_columns()").fetchall()
    known = {(str(table), str(column)) for table, column in found}
    for entity in catalog.entities.values():
        for holder in ("c", "l", "g"):
            for field in entity.fields:
                if (f"{holder}_{entity.name}", field.name.lower()) not in known:
                    con.execute(f"ALTER TABLE {holder}_{entity.name} ADD COLUMN {field.name} {sql_type(field)}")


def load_lookups(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Temporary lookup tables of this run: labels, codes, divisions, majors."""
    codes = catalog.codes
    rows: dict[tuple[str, str], str] = {}
    for table in codes.tables.values():
        rows.update({(table.name, label): code for label, code in spoken(table.codes).items()})
    for table_name, labels in codes.labels.items():
        rows.update({(table_name, fold_label(label)): code for label, code in labels.items()})
    _load(con, "label_code", tbl=[t for t, _ in rows], label=[n for _, n in rows], code=list(rows.values()))
    majors = list(codes.majors.items())
    _load(
        con,
        "major_known",
        version=[v for (v, _), _ in majors],
        code=[c for (_, c), _ in majors],
        name=[n for _, n in majors],
    )
    _load(con, "major_map", old=list(codes.major_map), new=list(codes.major_map.values()))
    _load(con, "division_current", code=sorted(codes.divisions_current))
    successors = list(codes.division_successors.items())
    _load(con, "division_successor", old=[o for o, _ in successors], new=[n for _, n in successors])
    _load(con, "variant_character", variant=list(codes.variants), plain=list(codes.variants.values()))


def spoken(codes: Mapping[str, str]) -> dict[str, str]:
    """Folded label → code of one table: its names, and its codes themselves where no name reads like that."""
    seen: dict[str, str] = {}
    for code, name in codes.items():
        # Upper levels of a hierarchical table share names with their leaves: the longest code is the leaf.
        if name not in seen or len(code) > len(seen[name]):
            seen[name] = code
    rows = {fold_label(name): code for name, code in seen.items()}
    return {fold_label(code): code for code in codes} | rows


def _load(con: duckdb.DuckDBPyConnection, table: str, /, **columns: list[str]) -> None:
    """A temporary table of text columns out of Python lists."""
    con.register("incoming_lookup", pa.table({n: pa.array(v, pa.string()) for n, v in columns.items()}))
    con.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM incoming_lookup")
    con.unregister("incoming_lookup")


class Projection:
    """The layered SELECT that turns raw rows of one layout into contributions of one entity."""

    def __init__(
        self, catalog: Catalog, entity: Entity, columns: Sequence[tuple[str, str, Field]], *, of_school: bool = False
    ) -> None:
        """`columns`: (raw column name, form, field) of every column that feeds the entity.

        `of_school`: rows of one school's file, whose code stands for an empty 学校标识码 (ruling 9).
        """
        self.catalog, self.entity, self.columns, self.of_school = catalog, entity, columns, of_school
        self.carried = {field.name for _, _, field in columns}

    def _layer(self, source: str, marks: Sequence[str], values: Mapping[str, str]) -> str:
        items = [f"{v} AS {ident('v_' + n)}" for n, v in values.items()]
        return f"SELECT {', '.join([*marks, *items])} FROM ({source})"

    def sql(self, raw: str, marks: Mapping[str, str]) -> str:
        """SELECT of payload columns (NULL where the layout has none), the marks, `_bad` and `_soft`.

        `raw`: SQL of the raw rows; `marks`: name → SQL over the raw rows of the columns to carry along.
        """
        names = list(marks)
        first = [f"{v} AS {n}" for n, v in marks.items()]
        layer = self._layer(
            raw, first, {f.name: clean(ident(r), f, label=form == "label") for r, form, f in self.columns}
        )
        for step in (empty_to_null, convert):
            layer = self._layer(layer, names, {f.name: step(ident("v_" + f.name), f) for _, _, f in self.columns})
        layer = self._coded(layer, names)
        return self._judged(self._typed(layer, names), names)

    def _coded(self, layer: str, names: Sequence[str]) -> str:
        """Label → code and old → new school codes, by joins on small lookup tables; notes what is unknown."""
        joins, values, unknown = [], {}, []
        for i, (_, form, field) in enumerate(self.columns):
            own = f"b.{ident('v_' + field.name)}"
            values[field.name] = own
            table = self.catalog.codes.tables.get(field.code) if field.code else None
            if form == "label" and table is not None and (table.codes or field.code in self.catalog.codes.labels):
                joins.append(
                    f"LEFT JOIN (SELECT label, code FROM label_code WHERE tbl = {text(table.name)}) t{i} "
                    f"ON t{i}.label = {label_key(own)}"
                )
                values[field.name] = f"t{i}.code"
                if field.code == "XSLY" and "HKXZM" in self.carried:
                    values[field.name] = f"coalesce(t{i}.code, {ORIGIN.format(own=own)})"
                unknown.append(
                    f"CASE WHEN {own} IS NOT NULL AND {values[field.name]} IS NULL THEN {text(field.name)} END"
                )
            elif form == "label" and field.name == "XZ":
                years = self.catalog.codes.labels.get(YEARS, {})
                cases = " ".join(f"WHEN {text(k)} THEN {text(v)}" for k, v in years.items())
                values[field.name] = f"CASE {own} {cases} ELSE {own} END"
            elif field.kind in ("school", "school_ref"):
                joins.append(f"LEFT JOIN crosswalk t{i} ON t{i}.confirmed AND t{i}.old = {own}")
                values[field.name] = f"coalesce(t{i}.new, {own})"
        items = [f"b.{n}" for n in names] + [f"{v} AS {ident('v_' + n)}" for n, v in values.items()]
        return f"SELECT {', '.join(items)}, {any_of(unknown)} AS _unknown FROM ({layer}) b {' '.join(joins)}"

    def _typed(self, layer: str, names: Sequence[str]) -> str:
        """Numbers become numbers; a number that is none is noted; 999 numbers change their type (YX19, ruling 12)."""
        items, malformed, overflow = [], [], []
        temporary = "regexp_full_match(v_SFZJH, '999[0-9]{15}') AND coalesce(v_SFZJLXM, '1') = '1'"
        has_id = self.entity.name == "xs" and {"SFZJH", "SFZJLXM"} <= self.carried
        for field in self.entity.fields:
            own = ident("v_" + field.name)
            if field.name not in self.carried:
                items.append(f"NULL::{sql_type(field)} AS {ident(field.name)}")
            elif field.type == "N":
                items.append(f"try_cast({own} AS {sql_type(field)}) AS {ident(field.name)}")
                malformed.append(
                    f"CASE WHEN {own} IS NOT NULL AND try_cast({own} AS DOUBLE) IS NULL THEN {text(field.name)} END"
                )
                overflow.append(
                    f"CASE WHEN try_cast({own} AS DOUBLE) IS NOT NULL AND (try_cast({own} AS {sql_type(field)}) IS NULL "
                    f"OR abs(try_cast({own} AS DOUBLE) - try_cast({own} AS {sql_type(field)})::DOUBLE) > 1e-6) "
                    f"THEN {text(field.name)} END"
                )
            elif field.name == "SFZJLXM" and has_id:
                items.append(f"CASE WHEN {temporary} THEN 'Z' ELSE {own} END AS {ident(field.name)}")
            else:
                items.append(f"{own} AS {ident(field.name)}")
        flag = temporary if has_id else "FALSE"
        return (
            f"SELECT {', '.join([*items, *names])}, _unknown, {any_of(malformed)} AS _malformed, {any_of(overflow)} AS _overflow, "
            f"{flag} AS _temporary FROM ({layer})"
        )

    def _judged(self, layer: str, names: Sequence[str]) -> str:
        """Adds `_bad` and `_soft`: the row rules of severity 错误 this row breaks, and the notes of normalising."""
        present = [f for f in self.entity.fields if f.name in self.carried]
        labels = {f.name for _, form, f in self.columns if form == "label"}
        hard = hard_rules(self.catalog, self.entity, present, labels)
        if self.of_school:
            hard = [h for h in hard if (h.rule, h.field) != ("WZ01", "XXDM")]
        soft = label_notes(self.catalog, present, labels)
        payload = ", ".join(ident(f.name) for f in self.entity.fields)
        return (
            f"SELECT {payload}, {', '.join(names)}, {any_of([h.sql() for h in hard])} AS _bad, "
            f"{any_of([s.sql() for s in soft])} AS _soft FROM ({layer})"
        )


def platform_projection(catalog: Catalog, table: SourceTable) -> Projection:
    """Projection of a platform table onto the entity it feeds."""
    if table.entity is None:
        raise RuntimeError(f"{table.name} feeds no entity")
    entity = catalog.entities[table.entity]
    columns = [(c.name, c.form, entity[c.name]) for c in table.columns if _feeds(c, entity)]
    return Projection(catalog, entity, columns)


def _feeds(column: SourceColumn, entity: Entity) -> bool:
    return column.compare is None and column.name in entity.by_name


def platform_marks(table: SourceTable, extract_no: int, row_hash: str) -> dict[str, str]:
    """Marks of a platform row over its raw columns (`file_row_number` counts from 0); `row_hash`: SQL of the raw row's hash."""
    copy = next((ident(c.name) for c in table.columns if c.compare), "NULL::VARCHAR")
    return {
        "_ext": f"{extract_no}::INTEGER",
        "_line": "(file_row_number + 1)::BIGINT",
        "_rk": key_text(table.key),
        "_raw": row_hash,
        "_stamp": f"trim({ident(table.updated)})" if table.updated else "NULL::VARCHAR",
        "_state": f"coalesce(trim({ident(table.state)}), '1')" if table.state else "'1'",
        "_approval": f"coalesce(trim({ident(table.approval)}), '0')" if table.approval else "'0'",
        "_copy": copy,
        **(_card(table) if table.system.startswith(OWN) else {}),
    }


def _card(table: SourceTable) -> dict[str, str]:
    """The person's card over the raw columns of an own system: of the person's own row, or given beside another's."""
    names = set(table.column_names)
    own = table.entity in ("xs", "jzg")  # elsewhere the entity's own card is somebody else's: a family member's
    kind = next((n for n in (ID_TYPE, *(("SFZJLXM",) if own else ())) if n in names), None)
    number = next((n for n in (ID_NO, *(("SFZJH",) if own else ())) if n in names), None)
    compact = "nullif(upper(replace(translate({}, '　０１２３４５６７８９Ｘｘ', ' 0123456789Xx'), ' ', '')), '')"
    return {
        "_id_type": f"coalesce({compact.format(ident(kind))}, {text(RESIDENT_CARD)})" if kind else text(RESIDENT_CARD),
        "_id_no": compact.format(ident(number)) if number else "NULL::VARCHAR",
    }
