"""A province's settling on its own: sample sources, a node folder, and what the settling state holds afterwards."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb

from connectors.sample.run import generate
from hub.settings import Node, open_node, write_settings
from province_node.settle import Options, Round, run_round

DAYS = {1: "2026-11-23", 2: "2026-11-24"}


def make_node(folder: Path, sources: Path) -> Node:
    """A node that can settle; the secret is fixed so that record numbers repeat."""
    (folder / "keys").mkdir(parents=True)
    (folder / "keys" / "record.secret").write_text("5a" * 32)
    write_settings(folder, {"role": "province", "party": "13", "name": "河北省节点", "sources": str(sources)})
    return open_node(folder)


def settle_day(node: Node, day: int = 1, **options: Any) -> Round:
    """One round, with a nonce that repeats."""
    dice = random.Random(day)
    return run_round(
        node, Options(today=DAYS[day], **({"judge": False} | options)), nonce=lambda: dice.randbytes(32).hex()
    )


def sources(folder: Path, *, students: int, day: int = 1, seed: int = 1, dirt: bool = True) -> dict[str, Any]:
    return generate(folder, province="13", students=students, seed=seed, day=day, dirt=dirt)


def look(node: Node) -> duckdb.DuckDBPyConnection:
    """The settling state, read only."""
    return duckdb.connect(str(node.state), read_only=True)


def golden(node: Node) -> dict[str, list[tuple[Any, ...]]]:
    """All golden rows by entity, ordered, without versions and source rows (which tell the order of arrival)."""
    with look(node) as con:
        names = [
            r[0]
            for r in con.execute(
                "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'g!_%' ESCAPE '!'"
            ).fetchall()
        ]
        return {
            n: con.execute(f"SELECT * EXCLUDE (row_ver, src_rid, prov, pk) FROM {n} ORDER BY ALL").fetchall()
            for n in names
        }
