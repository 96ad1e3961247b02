"""What loses where own systems speak: to each other, to a school, or the national platform to one that ranks above it.

Decides that no value disappears: whoever is not the one that stands is recorded with its value, as the losers of any
other pair are (ruling 21). What loses to the platform in the merged row is `conflicts.losing_values`' to record.
"""

from __future__ import annotations

import duckdb

from hub.catalog import Catalog, Entity, Field, SourceTable
from quality.expressions import ident, text, texts
from quality.keys import natural_key
from quality.own import above_owner, broken, may_fill, own_tables

DECIDED = "已由权威源定值"


def losing_to_each_other(con: duckdb.DuckDBPyConnection, catalog: Catalog, entity: Entity, table: SourceTable) -> None:
    """Adds to `disagreement`; call with `k_<entity>`, `m_<entity>` and `mu_<entity>` of this round."""
    if not own_tables(catalog, entity):
        return
    fields = [f for f in entity.fields if f.name not in entity.key]
    _platform_loses(con, catalog, entity, table, fields)
    _others_lose(con, catalog, entity, table, fields)


def _platform_loses(
    con: duckdb.DuckDBPyConnection, catalog: Catalog, entity: Entity, table: SourceTable, fields: list[Field]
) -> None:
    """The platform's value where an own system ranks above it and says something else."""
    pairs = []
    for field in fields:
        above = above_owner(catalog, entity, field)
        if above and field.name in table.column_names:
            name, letter = ident(field.name), _letter(entity, field)
            pairs.append(
                f"CASE WHEN k.{name} <> m.{name} AND {letter} IN {texts(above)} THEN {{'f': {text(field.name)}, "
                f"'lost': k.{name}::VARCHAR, 'won': m.{name}::VARCHAR, 'by': {_system(letter)}}} END"
            )
    if pairs:
        _record(
            con, entity, text(table.system), pairs, f"k_{entity.name} k JOIN m_{entity.name} m ON {_same(entity, 'k', 'm')}",
            "k", f"k._state <> '0' AND k._approval NOT IN ('1', '3') AND {_settled(entity, 'k')}",
        )  # fmt: skip


def _others_lose(
    con: duckdb.DuckDBPyConnection, catalog: Catalog, entity: Entity, table: SourceTable, fields: list[Field]
) -> None:
    """What a school or an own system said where another of them was taken, against whatever stands."""
    pairs = []
    for field in fields:
        name, letter = ident(field.name), _letter(entity, field)
        carried = field.name in table.column_names
        above = above_owner(catalog, entity, field)
        lower = f"{letter} NOT IN {texts(above)} AND " if above else ""
        platform = f"({lower}k.{name} IS NOT NULL)" if carried else "FALSE"
        heard = "TRUE" if may_fill(catalog, entity, field) else "u._tag <> 'L'"
        pairs.append(
            f"CASE WHEN u.{name} IS NOT NULL AND NOT {broken(field, 'u.')} AND u._tag <> {letter} AND {letter} <> '-' "
            f"AND {heard} AND u.{name} <> CASE WHEN {platform} THEN {f'k.{name}' if carried else f'm.{name}'} ELSE m.{name} END "
            f"THEN {{'f': {text(field.name)}, 'lost': u.{name}::VARCHAR, "
            f"'won': CASE WHEN {platform} THEN {f'k.{name}' if carried else 'NULL'}::VARCHAR ELSE m.{name}::VARCHAR END, "
            f"'by': CASE WHEN {platform} THEN {text(table.system)} ELSE {_system(letter)} END}} END"
        )
    standing = f"(SELECT * FROM k_{entity.name} WHERE _state <> '0' AND _approval NOT IN ('1', '3'))"
    _record(
        con, entity, _system("u._tag"), pairs,
        f"mu_{entity.name} u JOIN m_{entity.name} m ON {_same(entity, 'u', 'm')} "
        f"LEFT JOIN {standing} k ON {_same(entity, 'u', 'k')}",
        "u", _settled(entity, "u"),
    )  # fmt: skip


def _record(
    con: duckdb.DuckDBPyConnection, entity: Entity, source: str, pairs: list[str], rows: str, loser: str, where: str
) -> None:
    con.execute(
        f"INSERT INTO disagreement SELECT {text(entity.name)}, nk, p.f, '', {text(DECIDED)}, source, p.lost, p.by, p.won, '', "
        f"_ext, _line, 1, NULL, NULL, NULL, NULL FROM (SELECT {natural_key(entity, loser + '.')} AS nk, {loser}._ext, "
        f"{loser}._line, {source} AS source, unnest(list_filter([{', '.join(pairs)}], lambda x: x IS NOT NULL)) AS p "
        f"FROM {rows} WHERE {where})"
    )


def _settled(entity: Entity, prefix: str) -> str:
    """Only records that this round settled are compared; what became of the others stands from before."""
    return f"EXISTS (SELECT 1 FROM s_{entity.name} s WHERE {_same(entity, prefix, 's')})"


def _letter(entity: Entity, field: Field) -> str:
    return f"substr(m._letters, {entity.columns.index(field.name) + 1}, 1)"


def _system(letter: str) -> str:
    return f"coalesce((SELECT o.system FROM own_letter o WHERE o.letter = {letter}), 'L')"


def _same(entity: Entity, one: str, other: str) -> str:
    return " AND ".join(f"{one}.{ident(k)} = {other}.{ident(k)}" for k in entity.key)
