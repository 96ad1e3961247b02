"""A night's changed rows on PostgreSQL: found, renewed and kept in the history by one statement that reads them once.

A stored row is joined to itself by its place (`ctid`), so that RETURNING can hand out what it was before; PostgreSQL 18
could say `old` instead. A record that is stored has no tombstone to be asked for. Rows that are new or deleted are left
to the merge that all databases share.
"""

from __future__ import annotations

from hub.store.history_tables import ENDED, HELD_FROM, HELD_TO, REPLACED, moment
from hub.store.staged import Staged
from hub.store.tables import plain_columns


def renewal(staged: Staged, part: str) -> str:
    """The statement; its row count is that of the rows renewed. `part`: the node's partition of the golden table."""
    golden = [c.name for c in staged.table.columns]
    given = [c.name for c in plain_columns(staged.table) if c.name != "pk"]
    at, arms = moment(staged.at), ""
    keys = [k.lower() for k in staged.entity.key] if staged.notes_keys else []
    if keys:
        arms = f", noted AS ({staged.note_keys('renewed r WHERE r.pk IS NOT NULL', 'r.new_')})"
    old = ",".join(f"o.{n}" for n in golden)
    new = "".join(f",s.{k} AS new_{k}" for k in keys)
    return (
        f"WITH renewed AS (UPDATE {part} t SET {HELD_FROM} = '{at}',{','.join(f'{n} = s.{n}' for n in given)} "
        f"FROM {staged.stage.name} s JOIN {part} o ON o.node = '{staged.node}' AND o.pk = s.pk "
        f"WHERE t.ctid = o.ctid AND s.op = 'U' AND s.row_ver > o.row_ver RETURNING {old}{new}){arms} "
        f"INSERT INTO {staged.history.name} ({','.join(golden)},{HELD_TO},{ENDED}) "
        f"SELECT {','.join(golden)},'{at}','{REPLACED}' FROM renewed"
    )
