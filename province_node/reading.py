"""Reading in a round: sources opened, their tables extracted, extracts taken into the settling state.

Decides that a source that cannot be opened is an alarm and the others go on, and what the ledger keeps of each read.
Leaves finding change to `extract`, what a changed row means to `quality`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import duckdb

from connectors.base import Source
from connectors.changes import row_hash_sql
from connectors.registry import Sources, open_source
from connectors.renamed import RenamedSource
from hub.catalog import Catalog
from hub.errors import HubError
from hub.settings import Node
from province_node.definitions import CROSSWALK, definitions_changed
from province_node.extract import Alarm, Extract, Extracts, extract_all
from province_node.own import open_own, own_systems
from province_node.state import counter
from quality.changed import ingest_platform


def read_sources(
    con: duckdb.DuckDBPyConnection,
    node: Node,
    catalog: Catalog,
    sources: Sources,
    *,
    full: bool,
    run: int,
    progress: Callable[[str, str], None],
) -> Extracts:
    """Every table of every platform and own system; one that cannot be read is an alarm. `full`: no watermarks."""
    opened: dict[str, Source | Alarm] = {}
    for system in catalog.systems:
        if system not in sources.systems:
            opened[system] = Alarm(
                system, "E2004", f"[E2004] 没有配置数据源 {system}　下一步：在 sources.toml 中补上其 URL"
            )
            continue
        try:
            opened[system] = RenamedSource(open_source(sources.systems[system]))
        except HubError as error:
            opened[system] = Alarm(system, error.code, error.sentence(), error.retryable)
    tables = [t for t in catalog.source_tables() if t.entity is not None or t.purpose == CROSSWALK]
    own = open_own(sources, own_systems(sources, catalog))
    try:
        return extract_all(
            con,
            [*((opened[t.system], t) for t in tables), *own],
            first_number=counter(con, "extract") + 1,
            folder=node.extracts / f"{run:06d}",
            full=full or definitions_changed(con, catalog),
            overlap=dt.timedelta(hours=node.settings.overlap_hours),
            progress=lambda what: progress("extract", what),
        )
    finally:
        for source in (*opened.values(), *(s for s, _ in own)):
            if not isinstance(source, Alarm):
                source.close()


def ingest(con: duckdb.DuckDBPyConnection, catalog: Catalog, extract: Extract, *, whole: bool) -> Mapping[str, Any]:
    """One extract into the state; its record for the ledger (counts, marks, file). `whole`: this round settles all."""
    table = extract.table
    record: dict[str, Any] = {
        "extract_no": extract.number, "system": table.system, "source_table": table.table, "mode": extract.mode,
        "since": extract.since, "until_mark": extract.high_mark, "rows_read": extract.rows, "rows_taken": extract.rows,
        "unchanged": 0, "removed": 0, "file": f"{extract.file.parent.name}/{extract.file.name}",
        "sha256": extract.sha256,
    }  # fmt: skip
    if table.entity is None:
        return record
    columns = [c.name for c in table.columns]
    done = ingest_platform(
        con,
        catalog,
        table,
        str(extract.file),
        extract_no=extract.number,
        row_hash=row_hash_sql(columns, without=(table.updated,) if table.updated else ()),
        complete=extract.complete,
        whole=whole,
        removed=extract.removed,
    )
    con.execute(
        "INSERT INTO watermark VALUES (?, ?, ?) ON CONFLICT (source_table) DO UPDATE SET "
        "high_mark = excluded.high_mark, rows_seen = excluded.rows_seen",
        [table.name, extract.high_mark, extract.rows],
    )
    return record | {"rows_taken": done.taken, "unchanged": done.unchanged, "removed": done.removed}
