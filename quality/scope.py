"""Scope: which records a round settles again (cost follows the change, not the stock).

Decides, from the rows touched in this round, every record whose outcome could differ: the record itself, its rivals in
clashes (by old and by new values) and theirs, what hangs on it, and what counts it. A round over everything has no scope
tables.

Tables: `k_<entity>` (a view in a whole round): contributions in scope under current keys, `rid` their row id; `scope_<entity>`: keys.
"""

from __future__ import annotations

import duckdb

from hub.catalog import Catalog, Entity, Parent
from quality.decisions_effect import pardoned
from quality.expressions import ident
from quality.keys import not_of_platform
from quality.matching import STUDENT, STUDENT_LOCAL


def make_view(con: duckdb.DuckDBPyConnection, entity: Entity, *, whole: bool, aliases: bool) -> None:
    """`k_<entity>`: contributions with student numbers brought to their formal one; `_superseded`: the formal row exists too."""
    base = f"SELECT c.*, c.rowid AS rid, FALSE AS _superseded FROM c_{entity.name} c"
    if aliases and entity.name in STUDENT:
        rest = " AND ".join(f"f.{ident(k)} = c.{ident(k)}" for k in entity.key if k != "GRBSM")
        formal = f"EXISTS (SELECT 1 FROM c_{entity.name} f WHERE f._state <> '0' AND f.GRBSM = a.new" + (
            f" AND {rest})" if rest else ")"
        )
        base = (
            "SELECT c.* REPLACE (coalesce(a.new, c.GRBSM) AS GRBSM), c.rowid AS rid, "
            f"a.old IS NOT NULL AND {formal} AS _superseded FROM c_{entity.name} c LEFT JOIN student_alias a ON a.old = c.GRBSM"
        )
    if not whole:
        keys = ", ".join(ident(k) for k in scope_key(entity))
        base = f"SELECT * FROM ({base}) SEMI JOIN scope_{entity.name} USING ({keys})"
    base = pardoned(con, entity, base)
    # Many statements look at it: the few rows of an increment are fetched once, the stock is never copied.
    kind = "VIEW" if whole else "TABLE"
    con.execute(f"CREATE OR REPLACE TEMP {kind} k_{entity.name} AS {base}")


def scope_key(entity: Entity) -> tuple[str, ...]:
    """Records are settled again by student, by teacher, by school for units, else by their own key."""
    if entity.name in STUDENT:
        return ("GRBSM",)
    return ("XXDM",) if entity.name in ("jg", "xq", "xx") else entity.key


def _scope(con: duckdb.DuckDBPyConnection, entity: Entity, *selects: str) -> None:
    keys = scope_key(entity)
    selects = (*selects, _fresh(entity))
    filled = " AND ".join(f"{ident(k)} IS NOT NULL" for k in keys)
    columns = ", ".join(ident(k) for k in keys)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE scope_{entity.name} AS SELECT DISTINCT {columns} FROM ({' UNION ALL '.join(selects)}) "
        f"WHERE {filled}"
    )


def _fresh(entity: Entity) -> str:
    """Records that a supplement read or reviewed in this round speaks of."""
    return f"SELECT {', '.join(ident(k) for k in scope_key(entity))} FROM f_{entity.name}"


def _own(entity: Entity, source: str | None = None) -> str:
    return f"SELECT {', '.join(ident(k) for k in scope_key(entity))} FROM {source or 't_' + entity.name}"


def scope_school(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Schools touched, schools struck off (GL06 looks at their people), schools whose campuses changed."""
    _scope(
        con,
        catalog.entities["xx"],
        _own(catalog.entities["xx"]),
        "SELECT XXDM FROM c_xx WHERE BXZTM = '4'",
        "SELECT XXDM FROM t_xq",
    )


def released(entity: Entity, parent: Parent) -> str:
    """Records of `entity` that name a main record newly in the store, by platform or by supplement."""
    match = " AND ".join(f"n.{ident(theirs)} = c.{ident(own)}" for own, theirs in parent.by)
    keys = ", ".join(f"c.{ident(k)}" for k in scope_key(entity))
    return " UNION ALL ".join(
        f"SELECT {keys} FROM {source}_{entity.name} c JOIN new_{parent.entity} n ON {match}" for source in ("c", "m")
    )


def scope_dependent(con: duckdb.DuckDBPyConnection, entity: Entity) -> None:
    """An entity below the school: what was touched, what a new main record releases, rivals, and what is counted."""
    selects = [_own(entity)]
    selects += [released(entity, p) for p in entity.parents if p.entity in ("xx", "zy", "bj", "jzg")]
    if entity.name == "bj":
        selects += [
            "SELECT c.XXDM, c.BH FROM c_bj c SEMI JOIN (SELECT XXDM, NJDM, BJMC FROM t_bj) t USING (XXDM, NJDM, BJMC)",
        ]
    if entity.name == "jzg":  # founded by its school under a number of its own; the platform names the person otherwise
        selects.append(
            f"SELECT g.XXDM, g.GH FROM g_jzg g ANTI JOIN m_jzg m USING (XXDM, GH) WHERE {not_of_platform('g.src_rid')}"
        )
    if entity.name == "jzg":  # an own system may name the person by the card alone
        card = "SELECT XXDM, SFZJLXM, SFZJH FROM t_jzg WHERE SFZJH IS NOT NULL"
        selects.append(f"SELECT c.XXDM, c.GH FROM c_jzg c SEMI JOIN ({card}) t USING (XXDM, SFZJLXM, SFZJH)")
    if entity.name == "jzg_gz":
        selects += [
            "SELECT XXDM, GH FROM scope_jzg",
            "SELECT XXDM, GH FROM t_jzg",
            # Units come from the schools: a file read in this round may bring the unit that was missing (GL04).
            "SELECT c.XXDM, c.GH FROM c_jzg_gz c SEMI JOIN scope_jg t USING (XXDM)",
        ]
    _scope(con, entity, *selects)
    if entity.name == "bj":
        _add_namesakes(con)


def _add_namesakes(con: duckdb.DuckDBPyConnection) -> None:
    """Classes of the same name as one in scope (WY08), and theirs, until there are no more."""
    named = "SELECT XXDM, NJDM, BJMC FROM {}_bj SEMI JOIN scope_bj USING (XXDM, BH)"
    found = f"SELECT XXDM, BH FROM c_bj SEMI JOIN ({named.format('c')} UNION {named.format('m')}) n USING (XXDM, NJDM, BJMC)"
    while _grow(con, "scope_bj", ("XXDM", "BH"), found):
        pass


def _grow(con: duckdb.DuckDBPyConnection, table: str, keys: tuple[str, ...], found: str) -> int:
    """Adds the keys that `found` (SQL) names and the scope lacks; returns how many."""
    filled = " AND ".join(f"{ident(k)} IS NOT NULL" for k in keys)
    columns = ", ".join(ident(k) for k in keys)
    row = con.execute(
        f"INSERT INTO {table} SELECT DISTINCT {columns} FROM ({found}) ANTI JOIN {table} USING ({columns}) WHERE {filled}"
    ).fetchone()
    return int(row[0]) if row else 0


def scope_students(con: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Students touched in any of their tables, their rivals, and those a new school, major or class releases."""
    touched = [f"SELECT GRBSM FROM t_{e}" for e in STUDENT]
    # A row touched under a temporary number concerns the formal one, and the other way round.
    touched += ["SELECT a.new AS GRBSM FROM student_alias a JOIN new_alias n ON n.old = a.old"]
    xs, xj = catalog.entities["xs"], catalog.entities["xs_xj"]
    touched += [released(e, p) for e in (xs, xj) for p in e.parents if p.entity in ("xx", "zy", "bj")]
    touched += [_fresh(catalog.entities[e]) for e in STUDENT_LOCAL]
    rivals = [
        "SELECT c.GRBSM FROM c_xs c SEMI JOIN (SELECT SFZJLXM, SFZJH FROM t_xs WHERE SFZJH IS NOT NULL) t USING (SFZJLXM, SFZJH)",
        "SELECT c.GRBSM FROM c_xs c SEMI JOIN (SELECT XXDM, XH FROM t_xs) t USING (XXDM, XH)",
        "SELECT c.GRBSM FROM c_xs_by c SEMI JOIN (SELECT BYZSH FROM t_xs_by WHERE BYZSH IS NOT NULL) t USING (BYZSH)",
        # The status of one student decides whether another is a rival by the same card (WY03).
        "SELECT o.GRBSM FROM c_xs o SEMI JOIN (SELECT SFZJLXM, SFZJH FROM c_xs SEMI JOIN (SELECT GRBSM FROM t_xs_xj) t "
        "USING (GRBSM) WHERE SFZJH IS NOT NULL) m USING (SFZJLXM, SFZJH)",
    ]
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE scope_student AS SELECT DISTINCT coalesce(a.new, t.GRBSM) AS GRBSM FROM "
        f"({' UNION ALL '.join(touched + rivals)}) t LEFT JOIN student_alias a ON a.old = t.GRBSM WHERE t.GRBSM IS NOT NULL"
    )
    _add_rivals(con)
    for name in STUDENT:
        con.execute(f"CREATE OR REPLACE TEMP VIEW scope_{name} AS SELECT GRBSM FROM scope_student")


def _add_rivals(con: duckdb.DuckDBPyConnection) -> None:
    """Students in scope for any reason bring those who share their card, school number or certificate (WY03, WY05,
    WY09), and theirs, until there are no more: a rival left out would let the other one in."""
    now = "coalesce(a.new, c.GRBSM)"
    rivals = []
    for name, shared in (("xs", "SFZJLXM, SFZJH"), ("xs", "XXDM, XH"), ("xs_by", "BYZSH")):
        rows = f"SELECT c.*, {now} AS _now FROM c_{name} c LEFT JOIN student_alias a ON a.old = c.GRBSM"
        mine = f"SELECT {shared} FROM ({rows}) WHERE _now IN (SELECT GRBSM FROM scope_student)"
        rivals.append(f"SELECT _now AS GRBSM FROM ({rows}) SEMI JOIN ({mine}) m USING ({shared})")
    while _grow(con, "scope_student", ("GRBSM",), " UNION ".join(rivals)):
        pass
