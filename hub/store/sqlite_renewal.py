"""A night's changed rows on SQLite: looked up once by key, then kept in the history and renewed by their place.

An UPDATE there writes anew the entry of every index whose column it names, whether the value changes or not: for a
hundredth of the rows that is nearly every page of the index. So indexed columns are named only for the rows that move
in an index. Rows that are new or deleted are left to the merge that all databases share.
"""

from __future__ import annotations

from typing import Final

from hub.store.history_tables import ENDED, HELD_FROM, HELD_TO, REPLACED, moment
from hub.store.staged import Staged
from hub.store.tables import plain_columns

FOUND: Final = "stage_found"


def renewal(staged: Staged) -> tuple[list[str], str]:
    """The statements before the renewal of every row, and that one, whose row count is that of the rows renewed."""
    golden, stage, at = staged.table, staged.stage.name, moment(staged.at)
    indexed = sorted({c.name for index in golden.indexes for c in index.columns} - {"node", "pk"})
    names = [c.name for c in plain_columns(golden) if c.name != "pk"]
    moved = " OR ".join(f"r.{n} IS NOT s.{n}" for n in indexed) or "0"
    found = (
        f"CREATE TEMPORARY TABLE {FOUND} AS SELECT r.rowid AS place, s.ord AS ord, ({moved}) AS moved FROM {stage} s "
        f"CROSS JOIN {golden.name} r ON r.node = '{staged.node}' AND r.pk = s.pk "
        "WHERE s.op = 'U' AND s.row_ver > r.row_ver"
    )
    kept = ",".join(c.name for c in golden.columns)
    stored = f"{FOUND} f CROSS JOIN {golden.name} r ON r.rowid = f.place"
    history = (
        f"INSERT INTO {staged.history.name} ({kept},{HELD_TO},{ENDED}) "
        f"SELECT {','.join(f'r.{c.name}' for c in golden.columns)},'{at}','{REPLACED}' FROM {stored}"
    )
    noted = [staged.note_keys(f"{stored} JOIN {stage} s ON s.ord = f.ord WHERE 1 = 1")] if staged.notes_keys else []
    new = f"FROM {FOUND} f JOIN {stage} s ON s.ord = f.ord WHERE t.rowid = f.place"
    placed = [f"UPDATE {golden.name} AS t SET {_given(indexed)} {new} AND f.moved"] if indexed else []
    rest = _given([n for n in names if n not in indexed])
    return [found, history, *noted, *placed], f"UPDATE {golden.name} AS t SET {HELD_FROM} = '{at}',{rest} {new}"


def _given(names: list[str]) -> str:
    return ",".join(f"{n} = s.{n}" for n in names)
