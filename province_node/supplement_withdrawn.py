"""Approved supplements that were taken back: what they said leaves the settling state, what they filled gives way.

Decides which schools are concerned (a file of theirs that a round took has withdrawn rows since) and takes all their
files again in the order of import, so that an earlier word of the school stands again where a later one was withdrawn.
Golden values of letter L that nothing supplies any more are no prior values (`gave_way`); a required one leaves the
record as it was, with a finding (ruling 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from hub.catalog import Catalog
from hub.settings import Node
from hub.store import Reader
from province_node.supplement_store import State, files, reading
from quality.expressions import ident, text, texts
from quality.matching import STUDENT, STUDENT_LOCAL


@dataclass(frozen=True)
class TakenBack:
    """`schools`: whose files are taken again; `extracts`: numbers under which their files were taken before."""

    schools: frozenset[str] = frozenset()
    extracts: frozenset[int] = frozenset()


def find_withdrawn(con: duckdb.DuckDBPyConnection, node: Node, catalog: Catalog, *, reviewed: bool) -> TakenBack:
    """Schools with rows withdrawn since a round took them; their files are forgotten, so that they are read again.

    `reviewed`: this round lets supplements of the folder take effect; otherwise those stay as they were taken.
    """
    known = dict(con.execute("SELECT name, sha256 FROM local_file WHERE starts_with(name, 'waiting:')").fetchall())
    with reading(node, catalog) as reader:
        found = TakenBack() if reader is None or not known else _withdrawn(reader, known)
    for school in sorted(found.schools) if reviewed else ():
        con.execute("DELETE FROM local_file WHERE contains(name, ?) AND NOT starts_with(name, 'waiting:')", [school])
    return found


def _withdrawn(reader: Reader, known: dict[str, str]) -> TakenBack:
    taken = [(f, known[f"waiting:{f.number}"]) for f in files(reader) if f"waiting:{f.number}" in known]
    moved = {f.school for f, seal in taken if f.states.get(State.WITHDRAWN) and seal != f"{f.version}:{f.sha256}"}
    extracts = {int(f.extract) for f, _ in taken if f.school in moved and f.extract is not None}
    return TakenBack(frozenset(moved), frozenset(extracts))


def forget_files(con: duckdb.DuckDBPyConnection, node: Node, catalog: Catalog, back: TakenBack) -> None:
    """The waiting area's files of these schools are taken again."""
    if back.schools:
        with reading(node, catalog) as reader:
            gone = [f"waiting:{f.number}" for f in files(reader) if f.school in back.schools] if reader else []
        con.execute(f"DELETE FROM local_file WHERE name IN {texts(gone)}")


def take_back(con: duckdb.DuckDBPyConnection, catalog: Catalog, back: TakenBack) -> None:
    """Removes what those extracts said; their records are asked again. After `begin_round`, before files are taken."""
    if not back.extracts:
        return
    listed = ", ".join(str(n) for n in sorted(back.extracts))
    for entity in catalog.entities.values():
        name = entity.name
        said = f"FROM l_{name} WHERE _ext IN ({listed})"
        trace = "regexp_extract(src_rid, 'L([0-9]+:[0-9]+)', 1)"
        con.execute(
            f"INSERT INTO gave_way SELECT {text(name)}, pk FROM g_{name} WHERE {trace} IN "
            f"(SELECT _ext || ':' || _line {said}) EXCEPT SELECT entity, pk FROM gave_way"
        )
        if name in STUDENT_LOCAL:
            con.execute(f"INSERT INTO t_xs BY NAME SELECT _id_type AS SFZJLXM, _id_no AS SFZJH {said}")
        elif name in ("jzg", "jzg_gz"):
            con.execute(
                f"INSERT INTO t_jzg BY NAME SELECT _school AS XXDM, GH, _id_type AS SFZJLXM, _id_no AS SFZJH {said}"
            )
        elif name not in STUDENT:
            columns = ", ".join(
                f"{'_school' if f.name == 'XXDM' else ident(f.name) + '::VARCHAR'} AS {ident(f.name)}"
                for f in entity.fields
            )
            con.execute(f"INSERT INTO t_{name} BY NAME SELECT {columns} {said}")
        con.execute(f"DELETE {said}")
