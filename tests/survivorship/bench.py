"""A settling state fed by hand: contributions of platforms and schools, in whatever order and split a test says."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.changes import row_hash_sql
from hub.catalog import load_catalog
from hub.settings import Node
from province_node.state import open_state
from quality.changed import begin_round, ingest_local, ingest_platform
from quality.decisions_effect import take_decisions
from quality.settle import settle

CATALOG = load_catalog()
TODAY = "2026-11-23"


class Raw(dict[str, list[dict[str, Any]]]):
    """Raw rows by source table; a failing example does not print them all."""

    def __repr__(self) -> str:
        return f"<{len(self)} source tables>"


# Main records before what depends on them is not assumed: the tables arrive in the order given.
TABLES = ("S3.XX_JBXX", "S1.ZY_SZ", "S1.BJ_XX", "S2.JZG_JBXX", "S1.XS_JBXX", "S1.XJ_JBXX")


@dataclass(frozen=True)
class Supplement:
    """What a school says of one record: by default of a teacher, else of the `entity` named."""

    school: str
    id_type: str | None
    id_no: str | None
    values: Mapping[str, str]
    entity: str = "jzg"


@dataclass(frozen=True)
class Delivery:
    """What arrives before one settling: rows by source table, supplements, the decisions in effect from now on."""

    rows: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    supplements: Sequence[Supplement] = ()
    decided: Sequence[Mapping[str, Any]] = ()


def read_sources(folder: Path) -> Raw:
    """Rows of the six tables as text, by `S1.XS_JBXX`."""
    result = Raw()
    for table in CATALOG.source_tables():
        if table.entity is None:
            continue
        con = sqlite3.connect(folder / f"{table.system.lower()}.db")
        con.row_factory = sqlite3.Row
        found = con.execute(f"SELECT {', '.join(table.column_names)} FROM {table.table}").fetchall()
        result[table.name] = [{k: None if r[k] is None else str(r[k]) for k in r.keys()} for r in found]  # noqa: SIM118
        con.close()
    return result


class State:
    """A settling state; `settle` takes one delivery and settles what it touches."""

    def __init__(self, folder: Path, node: Node) -> None:
        self.folder, self._secret = folder, node.secret()
        folder.mkdir(parents=True)
        self._node = Node(folder, node.settings)
        self.con = open_state(self._node, CATALOG, today=TODAY)
        self._extract, self._round = 0, 0

    def settle(self, delivery: Delivery, *, whole: bool = False) -> Any:
        self._round += 1
        self.con.close()  # every round of a node opens its state anew
        self.con = open_state(self._node, CATALOG, today=TODAY)
        self.con.execute("BEGIN")
        # As a node's round decides: nothing golden yet, so everything that waits is settled.
        whole = whole or not any(self.con.execute(f"SELECT 1 FROM g_{e} LIMIT 1").fetchall() for e in CATALOG.entities)
        begin_round(self.con, CATALOG)
        if delivery.decided:
            take_decisions(self.con, CATALOG, pa.Table.from_pylist([dict(d) for d in delivery.decided]))
        for table in CATALOG.source_tables():
            if rows := delivery.rows.get(table.name):
                self._platform(table, rows, whole=whole)
        for entity in dict.fromkeys(s.entity for s in delivery.supplements):
            self._local(entity, [s for s in delivery.supplements if s.entity == entity])
        out = self.folder / f"round-{self._round}"
        out.mkdir()
        done = settle(
            self.con, CATALOG, secret=self._secret, whole=whole, number=self._round, lo=1, folder=out,
            nonce=lambda: "0" * 64,
        )  # fmt: skip
        self.con.execute("COMMIT")
        return done

    def _platform(self, table: Any, rows: Sequence[Mapping[str, Any]], *, whole: bool) -> None:
        self._extract += 1
        file = self.folder / f"{self._extract}.parquet"
        schema = pa.schema([(c, pa.string()) for c in table.column_names])
        pq.write_table(pa.Table.from_pylist([dict(r) for r in rows], schema=schema), file)
        without = (table.updated,) if table.updated else ()
        ingest_platform(
            self.con, CATALOG, table, str(file), extract_no=self._extract,
            row_hash=row_hash_sql(list(table.column_names), without=without), complete=False, whole=whole,
        )  # fmt: skip

    def _local(self, entity: str, supplements: Sequence[Supplement]) -> None:
        self._extract += 1
        names = sorted({n for s in supplements for n in s.values})
        rows = [
            {**{n: s.values.get(n) for n in names}, "_ext": self._extract, "_row": i, "_school": s.school,
             "_id_type": s.id_type, "_id_no": s.id_no, "XXDM": s.school}
            for i, s in enumerate(supplements, 1)
        ]  # fmt: skip
        file = self.folder / f"{self._extract}-L.parquet"
        pq.write_table(pa.Table.from_pylist(rows), file)
        ingest_local(self.con, CATALOG, CATALOG.entities[entity], str(file), {n: n for n in names}, reviewed=True)

    def golden(self, entity: str) -> dict[str, tuple[Any, ...]]:
        """Values and letters by record number; no row version, no source row: they tell the way, not the end."""
        names = ", ".join(CATALOG.entities[entity].columns)
        return {r[0]: r[1:] for r in self.con.execute(f"SELECT pk, prov, {names} FROM g_{entity}").fetchall()}

    def all_golden(self) -> dict[str, dict[str, tuple[Any, ...]]]:
        return {e: self.golden(e) for e in CATALOG.entities}

    def conflicts(self) -> list[tuple[str, str, str]]:
        """(field, state, rule) of the last round."""
        return sorted(self.con.execute("SELECT field, state, rule FROM disagreement").fetchall())

    def close(self) -> None:
        self.con.close()
