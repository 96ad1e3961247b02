"""Which standing records are looked at again for the rules that do not block (cost follows the change, not the stock).

Decides, from the change rows of a round (old and new side), every record whose finding could differ: the record, all
rows of its student, what its class, school, namesakes and bearers of the same document say of one another. A round
over everything looks at everything, and both ways end in the same findings.

Tables: `moved_<entity>`: old and new versions of the change rows; `look_<entity>`: the records to look at.
"""

from __future__ import annotations

import duckdb

from hub.catalog import Catalog, Entity
from quality.expressions import ident
from quality.matching import STUDENT
from quality.own import own_holdings


def begin_moved(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Empties `moved_<entity>` before the golden image advances."""
    for entity in catalog.entities.values():
        con.execute(f"CREATE OR REPLACE TEMP TABLE moved_{entity.name} AS {_rows(entity, 'g_' + entity.name)} LIMIT 0")


def note_moved(con: duckdb.DuckDBPyConnection, entity: Entity) -> None:
    """Keeps both sides of an entity's change rows; called between the difference and the advance of the image."""
    con.execute(
        f"INSERT INTO moved_{entity.name} {_rows(entity, 'd_' + entity.name)} UNION ALL "
        f"{_rows(entity, 'g_' + entity.name)} WHERE pk IN (SELECT pk FROM d_{entity.name})"
    )


def _rows(entity: Entity, table: str) -> str:
    return f"SELECT pk, {', '.join(ident(c) for c in entity.columns)} FROM {table}"


def look_at_all(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Every standing record is looked at."""
    for name in catalog.entities:
        con.execute(f"DROP TABLE IF EXISTS temp.look_{name}")
        con.execute(f"CREATE OR REPLACE TEMP VIEW look_{name} AS SELECT * FROM g_{name}")


def look_at_moved(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Records that changed, and those that changed ones bear on."""
    _cards(con)
    _students(con)
    own = {
        "xx": f"XXDM IN ({_schools(catalog)}) OR XXMC IN (SELECT XXMC FROM moved_xx)",
        "zy": "XXDM IN (SELECT XXDM FROM moved_zy UNION SELECT XXDM FROM moved_bj UNION SELECT XXDM FROM moved_xs_xj)",
        "bj": "(XXDM, BH) IN (SELECT (XXDM, BH) FROM moved_xs_xj) OR (XXDM, BZRGH) IN (SELECT (XXDM, GH) FROM moved_jzg) "
        f"OR (XXDM, BH) IN ({_told_classes(catalog)}) OR pk IN (SELECT pk FROM gave_way WHERE entity = 'bj')",
        "jzg": "(SFZJLXM, SFZJH) IN (SELECT (SFZJLXM, SFZJH) FROM moved_card)",
    }
    for name in catalog.entities:
        condition = "GRBSM IN (SELECT GRBSM FROM looked_student)"
        if name not in STUDENT:
            condition = f"pk IN (SELECT pk FROM moved_{name})" + (f" OR {own[name]}" if name in own else "")
        con.execute(f"DROP VIEW IF EXISTS temp.look_{name}")
        con.execute(f"CREATE OR REPLACE TEMP TABLE look_{name} AS SELECT * FROM g_{name} WHERE {condition}")


def _told_classes(catalog: Catalog) -> str:
    """Classes of which a supplement of this round or an own system speaks: the number of students it says (YZ19)."""
    told = ["SELECT (coalesce(XXDM, _school), BH) FROM l_bj WHERE _ext IN (SELECT _ext FROM fresh_local)"]
    told += [f"SELECT (XXDM, BH) FROM {table}" for table in own_holdings(catalog, ["bj"])]
    return " UNION ALL ".join(told)


def _cards(con: duckdb.DuckDBPyConnection) -> None:
    """Identity documents of people who changed, or of whom a supplement of this round speaks (WY07, YZ18)."""
    fresh = "_reviewed AND _ext IN (SELECT _ext FROM fresh_local)"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE moved_card AS SELECT DISTINCT SFZJLXM, SFZJH FROM (SELECT SFZJLXM, SFZJH FROM moved_xs "
        "UNION ALL SELECT SFZJLXM, SFZJH FROM moved_jzg "
        f"UNION ALL SELECT _id_type, _id_no FROM l_xs WHERE {fresh} UNION ALL SELECT _id_type, _id_no FROM l_jzg WHERE {fresh}) "
        "WHERE SFZJH IS NOT NULL"
    )


def _students(con: duckdb.DuckDBPyConnection) -> None:
    """`looked_student`: changed in any table, in a changed class, of a changed document, namesakes of the same birth."""
    changed = " UNION ".join(f"SELECT GRBSM FROM moved_{name}" for name in STUDENT)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE looked_student AS {changed} UNION "
        "SELECT GRBSM FROM g_xs_xj WHERE (XXDM, BH) IN (SELECT (XXDM, BH) FROM moved_bj) UNION "
        "SELECT GRBSM FROM g_xs WHERE (SFZJLXM, SFZJH) IN (SELECT (SFZJLXM, SFZJH) FROM moved_card)"
    )
    con.execute(
        "INSERT INTO looked_student SELECT g.GRBSM FROM g_xs g SEMI JOIN (SELECT XM, CSRQ, XBM FROM moved_xs UNION "
        "SELECT XM, CSRQ, XBM FROM g_xs WHERE GRBSM IN (SELECT GRBSM FROM moved_xs_sx)) m USING (XM, CSRQ, XBM) "
        "WHERE g.GRBSM NOT IN (SELECT GRBSM FROM looked_student)"
    )


def _schools(catalog: Catalog) -> str:
    """Schools that have anything that changed (WZ09)."""
    return " UNION ".join(f"SELECT XXDM FROM moved_{e.name}" for e in catalog.entities.values() if "XXDM" in e.by_name)
