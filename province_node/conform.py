"""How far an own system meets the standard (自建系统融合审核): fields, lengths, codes, keys and volumes, measured.

Decides the measures and the verdict per entity; reads the system through its mapping in blocks and keeps only counts
and digests of keys in an engine in memory. No value of a record reaches the report: unknown codes are counted, and
shown only where they are short code-like words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from connectors.base import Probe
from connectors.mapped import MappedSource
from connectors.mapping import OwnSystem, OwnTable
from hub.catalog import Catalog, Entity, Field
from hub.store import Reader
from province_node.supplement_judge import judging
from quality.contributions import Projection, platform_projection
from quality.expressions import ident, key_text, text
from quality.normalise import clean, empty_to_null

SHOWN_CODES = 5
LONGEST_CODE = 12


@dataclass(frozen=True)
class FieldReport:
    """One standard field: mapped or not, how full, values too long or malformed, codes outside the table."""

    field: str
    name: str
    required: str
    column: str | None
    rows: int = 0
    empty: int = 0
    invalid: int = 0
    unknown: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableReport:
    """One table against its entity. `matched`: distinct keys that are golden; `golden`: records in the store."""

    entity: str
    name: str
    table: str
    present: bool
    missing_columns: tuple[str, ...] = ()
    rows: int = 0
    keys: int = 0
    null_keys: int = 0
    repeated_keys: int = 0
    matched: int = 0
    golden: int = 0
    fields: tuple[FieldReport, ...] = ()

    @property
    def missing_required(self) -> tuple[str, ...]:
        """Required standard fields the system has no column for."""
        return tuple(f.field for f in self.fields if f.column is None and f.required == "M")

    @property
    def conforms(self) -> bool:
        """Every required field is mapped, keys are whole and single, no value is invalid or unknown."""
        sound = not any(f.invalid or f.unknown for f in self.fields)
        whole = not (self.null_keys or self.repeated_keys or self.missing_columns)
        return self.present and whole and sound and not self.missing_required


@dataclass(frozen=True)
class Conformity:
    """The whole report."""

    system: str
    name: str
    tables: tuple[TableReport, ...] = field(default_factory=tuple)

    @property
    def conforms(self) -> bool:
        return all(t.conforms for t in self.tables)


def conform(
    source: MappedSource, own: OwnSystem, catalog: Catalog, *, today: str, reader: Reader | None, node: str
) -> Conformity:
    """Measures every mapped table. `reader`: the store to compare keys and volumes with, None without a node."""
    reports = []
    with judging(catalog, today) as con:
        for table in own.tables:
            probe = source.probe(table.canonical)
            reports.append(_table(con, source, table, catalog, probe, reader, node))
    return Conformity(own.id, own.system.cn, tuple(reports))


def _table(
    con: duckdb.DuckDBPyConnection,
    source: MappedSource,
    table: OwnTable,
    catalog: Catalog,
    probe: Probe,
    reader: Reader | None,
    node: str,
) -> TableReport:
    entity = catalog.entities[str(table.canonical.entity)]
    if not probe.present or probe.missing_columns:
        return TableReport(entity.name, entity.cn, table.table, probe.present, tuple(probe.missing_columns))
    projection = platform_projection(catalog, table.canonical)
    con.execute("DROP TABLE IF EXISTS taken")
    con.execute("CREATE OR REPLACE TEMP TABLE raw_code (field VARCHAR, value VARCHAR)")
    rows = 0
    for block in source.read(table.canonical):
        rows += block.num_rows
        _take(con, projection, block, table, entity, catalog)
    if not rows:
        return TableReport(entity.name, entity.cn, table.table, True, fields=_unmeasured(entity, table))
    golden, matched = _against(con, entity, reader, node)
    counts = con.execute(
        "SELECT count(DISTINCT _key) FILTER (WHERE NOT _null), count(*) FILTER (WHERE _null), "
        "count(*) FILTER (WHERE NOT _null) - count(DISTINCT _key) FILTER (WHERE NOT _null) FROM taken"
    ).fetchall()[0]
    return TableReport(
        entity.name, entity.cn, table.table, True, (), rows, int(counts[0]), int(counts[1]), int(counts[2]), matched,
        golden, tuple(_fields(con, entity, table, rows)),
    )  # fmt: skip


def _take(
    con: duckdb.DuckDBPyConnection, projection: Projection, block: pa.RecordBatch, table: OwnTable, entity: Entity,
    catalog: Catalog,
) -> None:  # fmt: skip
    """Keeps of a block, per row: the key's digest, which fields are empty, and which rules it breaks."""
    con.register("native_block", pa.Table.from_batches([block]))
    select = projection.sql("SELECT * FROM native_block", {"_one": "1"})
    null = " OR ".join(f"{ident(k)} IS NULL" for k in entity.key)
    mapped = [c.field for c in table.columns if c.field in entity.by_name]
    empty = ", ".join(f"CASE WHEN {ident(f)} IS NULL THEN {text(f)} END" for f in mapped)
    kept = (
        f"SELECT hash({key_text(entity.key)}) AS _key, ({null}) AS _null, list_filter([{empty}], x -> x IS NOT NULL) "
        f"AS _empty, list_distinct(list_concat(coalesce(_bad, []), coalesce(_soft, []))) AS _hits FROM ({select})"
    ).replace("x -> x", "lambda x: x")
    exists = con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'taken'").fetchall()[0][0]
    con.execute(f"INSERT INTO taken {kept}" if exists else f"CREATE TEMP TABLE taken AS {kept}")
    for column in (c for c in table.columns if c.field in entity.by_name):
        own = entity[column.field]
        if own.code and not catalog.codes.tables[own.code].open:
            value = empty_to_null("v", own)
            cleaned = f"SELECT {clean(ident(column.field), own, label=column.form == 'label')} AS v FROM native_block"
            con.execute(
                f"INSERT INTO raw_code SELECT DISTINCT {text(column.field)}, v "
                f"FROM (SELECT {value} AS v FROM ({cleaned})) "
                f"WHERE v IS NOT NULL AND v NOT IN (SELECT label FROM label_code WHERE tbl = {text(own.code)}) "
                f"AND v NOT IN (SELECT code FROM label_code WHERE tbl = {text(own.code)})"
            )
    con.unregister("native_block")


def _fields(con: duckdb.DuckDBPyConnection, entity: Entity, table: OwnTable, rows: int) -> Iterator[FieldReport]:
    empty = _counts(con, "SELECT f, count(*) FROM (SELECT unnest(_empty) AS f FROM taken) GROUP BY f")
    hits = con.execute(
        "SELECT split_part(h, ':', 2), split_part(h, ':', 1), count(*) "
        "FROM (SELECT unnest(_hits) AS h FROM taken) GROUP BY ALL"
    ).fetchall()
    unknown = {f: int(n) for f, rule, n in hits if rule == "YX05"}
    invalid: dict[str, int] = {}
    for name, rule, count in hits:
        if rule not in ("YX05", "WZ01", "YX06", "YX03", "YX19", "YZ03", "YZ04"):
            invalid[name] = invalid.get(name, 0) + int(count)
    columns = {c.field: c.name for c in table.columns}
    for own in entity.fields:
        if own.name not in columns:
            yield FieldReport(own.name, own.cn, own.required, None)
            continue
        yield FieldReport(
            own.name, own.cn, own.required, columns[own.name], rows, empty.get(own.name, 0), invalid.get(own.name, 0),
            unknown.get(own.name, 0), _examples(con, own),
        )  # fmt: skip


def _examples(con: duckdb.DuckDBPyConnection, own: Field) -> tuple[str, ...]:
    """A few unknown codes, short ones only: what is long may be somebody's data in the wrong column."""
    found = con.execute(
        "SELECT DISTINCT value FROM raw_code WHERE field = ? AND length(value) <= ? "
        "AND NOT regexp_matches(value, '[0-9]{7,}') ORDER BY value LIMIT ?",
        [own.name, LONGEST_CODE, SHOWN_CODES],
    ).fetchall()
    return () if own.private else tuple(str(r[0]) for r in found)


def _unmeasured(entity: Entity, table: OwnTable) -> tuple[FieldReport, ...]:
    columns = {c.field: c.name for c in table.columns}
    return tuple(FieldReport(f.name, f.cn, f.required, columns.get(f.name)) for f in entity.fields)


def _against(con: duckdb.DuckDBPyConnection, entity: Entity, reader: Reader | None, node: str) -> tuple[int, int]:
    """(golden records, distinct keys of the system that are golden); (0, 0) without a store."""
    if reader is None:
        return 0, 0
    con.execute("CREATE OR REPLACE TEMP TABLE golden_key (k UBIGINT)")
    for block in reader.read(entity, node=node, columns=entity.key):
        con.register("golden_block", pa.Table.from_batches([block]))
        con.execute(f"INSERT INTO golden_key SELECT hash({key_text(entity.key)}) FROM golden_block")
        con.unregister("golden_block")
    golden = int(con.execute("SELECT count(*) FROM golden_key").fetchall()[0][0])
    found = con.execute(
        "SELECT count(DISTINCT _key) FROM taken WHERE NOT _null AND _key IN (SELECT k FROM golden_key)"
    ).fetchall()
    return golden, int(found[0][0])


def _counts(con: duckdb.DuckDBPyConnection, sql: str) -> Mapping[str, int]:
    return {str(k): int(v) for k, v in con.execute(sql).fetchall()}
