"""Own systems in a round: mappings loaded, sources opened, holding tables kept in step with the mapping files.

Decides that a changed, new or removed mapping makes the round read that system whole and settle everything anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import duckdb

from connectors.base import Source
from connectors.mapped import MappedSource
from connectors.mapping import OwnSystem, load_mapping
from connectors.registry import Sources, open_source
from hub.catalog import Catalog, SourceTable
from hub.errors import HubError, UsageError
from province_node.extract import Alarm
from province_node.state import meta, set_meta
from quality.contributions import OWN, create_holding


def own_systems(sources: Sources, catalog: Catalog) -> tuple[OwnSystem, ...]:
    """The mappings of a node's own systems. `UsageError` E3732 where ids or letters clash."""
    found = tuple(load_mapping(s.mapping, catalog) for s in sources.own)
    for source, system in zip(sources.own, found, strict=True):
        if source.id != system.id:
            raise UsageError(
                "E3732", f"sources.toml 写的是 {source.id}，映射文件写的是 {system.id}", where=source.mapping.name,
                step="两处写成同一编号",
            )  # fmt: skip
    letters = [s.system.letter for s in found]
    if len(set(letters)) < len(letters) or len({s.id for s in found}) < len(found):
        raise UsageError("E3732", "自建系统的编号或字母重复", step="每个系统用自己的 system 与 letter")
    return found


def with_own(catalog: Catalog, own: Sequence[OwnSystem]) -> Catalog:
    """The catalogue with the own systems and their provenance letters."""
    if not own:
        return catalog
    letters = {**catalog.registry.letters, **{s.system.letter: s.id for s in own}}
    return replace(catalog, own=tuple(s.system for s in own), registry=replace(catalog.registry, letters=letters))


def mappings_changed(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether `prepare_own` of this round found other mappings than the round before."""
    return bool(con.execute("SELECT coalesce(getvariable('own_changed'), FALSE)").fetchall()[0][0])


def prepare_own(con: duckdb.DuckDBPyConnection, catalog: Catalog, own: Sequence[OwnSystem]) -> None:
    """Holding tables for the mappings as they are now; where they changed, that system is read anew."""
    seal = hashlib.sha256(repr(own).encode()).hexdigest() if own else ""
    changed = (meta(con, "own_mappings") or "") != seal
    if changed:
        held = con.execute("SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, 'o_x')").fetchall()
        for (name,) in held:
            con.execute(f"DROP TABLE {name}")
        con.execute(f"DELETE FROM watermark WHERE starts_with(source_table, '{OWN}')")
        set_meta(con, "own_mappings", seal)
    for system in own:
        for table in system.tables:
            create_holding(con, catalog, table.canonical)
    con.execute(f"SET VARIABLE own_changed = {'TRUE' if changed else 'FALSE'}")


def open_own(sources: Sources, own: Sequence[OwnSystem]) -> list[tuple[Source | Alarm, SourceTable]]:
    """Every table of every own system with its source, or with the alarm why it cannot be opened."""
    pairs: list[tuple[Source | Alarm, SourceTable]] = []
    for where, system in zip(sources.own, own, strict=True):
        opened: Source | Alarm
        try:
            opened = MappedSource(open_source(where.url), system)
        except HubError as error:
            opened = Alarm(system.id, error.code, error.sentence(), error.retryable)
        pairs += [(opened, t.canonical) for t in system.tables]
    return pairs
