"""A small province whose sources can be corrected, reverted and pulled again."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hub.settings import Node
from hub.store import Store, open_store
from pipelines.lab.setup import Lab
from province_node.publish import publish_pending
from province_node.settle import Options, Round, run_round
from tests.decisions.rows import table
from tests.round.labs import AT, copy_lab, point_at


@dataclass
class Province:
    """A province of its own: lab, sources, store. `day` counts the rounds."""

    lab: Lab
    sources: Path
    store: Store
    day: int = 0

    @property
    def node(self) -> Node:
        return self.lab.province

    def source(self, name: str, sql: str, *values: Any) -> None:
        """Changes a source as its owner would; GXSJ is set by the caller's SQL where the table is read by watermark."""
        with sqlite3.connect(self.sources / f"{name}.db") as con:
            assert con.execute(sql, values).rowcount >= 1

    def pull(self, *, full: bool = True) -> Round:
        """One round, settled and published."""
        self.day += 1
        options = Options(today=f"2026-11-{23 + self.day}", full=full, judge=False)
        done = run_round(self.node, options, nonce=lambda: os.urandom(32).hex())
        publish_pending(self.node, at=AT + timedelta(days=self.day), rng=os.urandom)
        return done

    def golden(self, entity: str, pk: str) -> dict[str, Any] | None:
        with self.store.reading() as reader:
            grid = reader.golden(entity)
            row = reader.connection.execute(sa.select(grid).where(grid.c.pk == pk)).mappings().first()
            return dict(row) if row else None

    def letter(self, entity: str, pk: str, field: str, columns: tuple[str, ...]) -> str:
        row = self.golden(entity, pk)
        assert row is not None
        return str(row["prov"][columns.index(field)])

    def conflicts(self, entity: str, field: str) -> list[dict[str, Any]]:
        return [d for d in table(self.store, "decision", "decision_no") if (d["entity"], d["field"]) == (entity, field)]


def province_of(template: Lab, sources: Path, folder: Path) -> Province:
    own = folder / "sources"
    shutil.copytree(sources, own)
    lab = point_at(copy_lab(template, folder / "lab"), own)
    from hub.catalog import load_catalog

    return Province(lab, own, open_store(lab.province.database_url, load_catalog()))
