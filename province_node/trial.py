"""Trying a rule over what is stored, before it is switched on or its thresholds are moved.

Decides nothing and writes nothing: the settling state is opened read-only and every query runs in memory. A rule that
does not block is asked of the standing records; one of severity 错误 over single rows of the kept source rows; one that
looks at several rows or tables of the gate itself, which settles everything once on a copy of the state.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from connectors.registry import load_sources
from hub.catalog import Catalog, Entity, Rule
from hub.catalog.tuning import ENABLED, tuned
from hub.errors import LockedError, NotInitialisedError, UsageError
from hub.settings import Node
from province_node.in_force import catalog_in_force
from province_node.own import own_systems, with_own
from province_node.state import counter, open_state
from province_node.trial_run import run_hits
from quality.changed import begin_round
from quality.contributions import load_lookups
from quality.expressions import text
from quality.keys import school
from quality.rules import hard_rules
from quality.settle import settle
from quality.soft_cross import QUERIES
from quality.soft_scope import look_at_all
from quality.standing import RUN, find

SAMPLES = 5
# What `Trial.basis` says, as a person reads it.
BASIS = {
    "standing": "已入库记录",
    "sources": "留存的来源行",
    "gate": "整体试算（门禁重新执行一遍后撤销）的记录",
    "run": "数据源、批次与总量",
}
_NOTED_LISTS = ("_unknown", "_malformed", "_overflow")


@dataclass(frozen=True)
class Trial:
    """Hits of one rule: `groups` holds (entity, field, school, division, hits, some records) per school.

    `basis`: what it was asked of, a key of `BASIS`.
    """

    rule: Rule
    basis: str
    asked: int
    hits: int
    groups: tuple[tuple[str, str, str, str | None, int, tuple[str, ...]], ...]


def try_rule(
    node: Node,
    catalog: Catalog,
    name: str,
    *,
    today: str,
    at: dt.datetime | None = None,
    thresholds: Mapping[str, Any] | None = None,
) -> Trial:
    """Asks one rule with the node's thresholds, `thresholds` over them; `today` is YYYY-MM-DD, `at` the moment of rules
    that count hours (aware; the end of `today` without it).

    Raises `UsageError` E3521 for a rule there is none of, E1103 for a threshold it has not, `NotInitialisedError`
    E3522 before the first round.
    """
    if name not in catalog.rules:
        raise UsageError("E3521", f"没有规则 {name}", where="RULE", step="规则编号见 schemas/rules.yaml，例如 YZ06")
    lists = {n for n, v in catalog.rules[name].thresholds.items() if isinstance(v, tuple)}
    tried = {n: [v] if n in lists and not isinstance(v, list) else v for n, v in (thresholds or {}).items()}
    own = {**node.settings.rules.get(name, {}), **tried, ENABLED: True}
    catalog = tuned(catalog_in_force(node, catalog).catalog, {**node.settings.rules, name: own})
    gate = _of_gate(catalog.rules[name])
    hits = _gate(node, catalog, name, today) if gate else []
    con = _opened(node, catalog, today)
    try:
        con.execute(
            "CREATE TABLE hit (entity VARCHAR, field VARCHAR, school VARCHAR, record VARCHAR, natural_key VARCHAR)"
        )
        if hits:
            con.executemany("INSERT INTO hit VALUES (?, ?, ?, ?, ?)", hits)
        if gate and "standing" in catalog.rules[name].executed:  # YZ05 blocks beyond one range and notes beyond another
            _standing(con, catalog, catalog.rules[name])
        if "run" in catalog.rules[name].executed:
            moment = at or dt.datetime.combine(dt.date.fromisoformat(today), dt.time.max, dt.UTC)
            return _of_run(con, node, catalog, catalog.rules[name], moment)
        basis = "gate" if gate else _ask(con, catalog, catalog.rules[name])
        return _told(con, catalog, catalog.rules[name], basis)
    finally:
        con.close()


def _of_run(con: duckdb.DuckDBPyConnection, node: Node, catalog: Catalog, rule: Rule, at: dt.datetime) -> Trial:
    asked, subjects = run_hits(con, node, catalog, rule, at)
    return Trial(rule, "run", asked, len(subjects), tuple((RUN, "", "-", None, 1, (s,)) for s in subjects))


def still_hit(node: Node, catalog: Catalog, name: str, entity: str, src_rid: str, *, today: str) -> bool | None:
    """Whether one kept source row still breaks a rule as the node applies it now. None for a rule that only a round can
    judge: it looks at other records, or at none. `src_rid`: `extract:line`."""
    rule = catalog.rules.get(name)
    if rule is None or not (rule.blocks and "contribution" in rule.executed):
        return None
    catalog = tuned(catalog, node.settings.rules)
    con = _opened(node, catalog, today)
    try:
        con.execute(
            "CREATE TABLE hit (entity VARCHAR, field VARCHAR, school VARCHAR, record VARCHAR, natural_key VARCHAR)"
        )
        if catalog.platform_table(entity) is None:
            return None
        _sources(con, catalog, catalog.entities[entity], catalog.rules[name])
        found = con.execute("SELECT count(*) FROM hit WHERE entity = ? AND record = ?", [entity, src_rid]).fetchall()
        return bool(found[0][0])
    finally:
        con.close()


def _opened(node: Node, catalog: Catalog, today: str) -> duckdb.DuckDBPyConnection:
    """An in-memory connection that sees the state's tables and can write none of them."""
    if not node.state.is_file():
        raise NotInitialisedError(
            "E3522", "还没有定值过，没有可试的数据", where=node.state.name, step="先运行 hub sync run"
        )
    con = duckdb.connect(config={"memory_limit": f"{node.settings.memory_mb}MB", "threads": node.settings.threads})
    try:
        con.execute(f"ATTACH {text(str(node.state))} AS state (READ_ONLY)")
    except duckdb.IOException as error:
        con.close()
        raise LockedError(
            "E3001", "另一个任务正在使用本节点的定值状态", where=node.state.name, step="等待该任务结束后重试"
        ) from error
    kept = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'state'").fetchall()
    for (table,) in kept:
        con.execute(f"CREATE VIEW {table} AS SELECT * FROM state.{table}")
    codes = ", ".join(text(c) for c in sorted(catalog.codes.divisions))
    con.execute(f"CREATE TYPE division AS ENUM ({codes})")
    con.execute(f"SET VARIABLE today = {text(today)}")
    load_lookups(con, catalog)
    return con


def _ask(con: duckdb.DuckDBPyConnection, catalog: Catalog, rule: Rule) -> str:
    if "standing" in rule.executed:
        _standing(con, catalog, rule)
        return "standing"
    for entity in catalog.entities.values():
        if rule.blocks:
            _sources(con, catalog, entity, rule)
        else:
            _marked(con, entity, rule)
    return "sources"


def _marked(con: duckdb.DuckDBPyConnection, entity: Entity, rule: Rule) -> None:
    """What was noted of kept source rows when they came in (JS05)."""
    noted = f"(SELECT *, unnest(_soft) AS n FROM c_{entity.name} WHERE _state <> '0' AND _soft IS NOT NULL)"
    con.execute(
        f"INSERT INTO hit SELECT {text(entity.name)}, split_part(n, ':', 2), {school(entity)}, _ext || ':' || _line, "
        f"'' FROM {noted} WHERE split_part(n, ':', 1) = {text(rule.id)}"
    )


def _of_gate(rule: Rule) -> bool:
    """Whether only the gate can judge it: it looks at settled rows, together or after all sources have spoken."""
    return "settled" in rule.executed and "contribution" not in rule.executed


def _gate(node: Node, catalog: Catalog, name: str, today: str) -> list[list[Any]]:
    """Every hit of a rule of the gate: the kept contributions settled once more, whole, on a copy."""
    own = own_systems(load_sources(node.sources), catalog)
    catalog = with_own(catalog, own)
    with TemporaryDirectory(prefix="try-", dir=node.work) as folder, _copied(node, Path(folder), catalog, today) as con:
        begin_round(con, catalog)
        settle(
            con, catalog, secret=node.secret(), whole=True, number=counter(con, "change_set") + 1,
            lo=counter(con, "change_log") + 1, folder=Path(folder), nonce=lambda: "0" * 64,
        )  # fmt: skip
        found = con.execute(
            "SELECT DISTINCT entity, field, school, CASE WHEN source = 'L' THEN 'L' ELSE '' END || _ext || ':' || "
            "_line, natural_key FROM issue WHERE rule = ?",
            [name],
        ).fetchall()
    return [list(row) for row in found]


@contextmanager
def _copied(node: Node, folder: Path, catalog: Catalog, today: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """The state as it stands, in a file of its own; nobody writes it while it is copied."""
    copy = Node(folder, node.settings)
    copy.work.mkdir(parents=True)
    _opened(node, catalog, today).close()  # E3522 without a state, E3001 while a round has it
    with duckdb.connect(str(node.state), read_only=True):
        shutil.copyfile(node.state, copy.state)
    con = open_state(copy, catalog, today=today)
    try:
        yield con
    finally:
        con.close()


def _standing(con: duckdb.DuckDBPyConnection, catalog: Catalog, rule: Rule) -> None:
    look_at_all(con, catalog)
    alone = {r.id: {ENABLED: False} for r in catalog.rules.values() if r.id != rule.id and not r.blocks}
    find(con, tuned(catalog, alone), everything=True, dated=True)
    for entity in catalog.entities.values():
        place, join = "g.XXDM", ""
        if "XXDM" not in entity.by_name:
            place, join = "x.XXDM", "LEFT JOIN g_xs x ON x.GRBSM = g.GRBSM"
        con.execute(
            f"INSERT INTO hit SELECT DISTINCT f.entity, f.field, {place}, f.pk, '' FROM found f "
            f"JOIN g_{entity.name} g ON g.pk = f.pk {join} "
            f"WHERE f.entity = {text(entity.name)} AND f.rule = {text(rule.id)}"
        )


def _sources(con: duckdb.DuckDBPyConnection, catalog: Catalog, entity: Entity, rule: Rule) -> None:
    """Kept source rows; where normalising has already emptied a value, what it noted stands for the rule."""
    table = catalog.platform_table(entity.name)
    if table is None:
        return
    present = [entity[c.name] for c in table.columns if c.name in entity.by_name]
    labels = {c.name for c in table.columns if c.form == "label"}
    for r in hard_rules(catalog, entity, present, labels):
        if r.rule != rule.id:
            continue
        noted = any(n in r.condition for n in _NOTED_LISTS)
        condition = f"list_contains(coalesce(_bad, []), {text(f'{r.rule}:{r.field}')})" if noted else r.condition
        con.execute(
            f"INSERT INTO hit SELECT {text(entity.name)}, {text(r.field)}, {school(entity)}, _ext || ':' || _line, '' "
            f"FROM c_{entity.name} WHERE _state <> '0' AND ({condition})"
        )


def _told(con: duckdb.DuckDBPyConnection, catalog: Catalog, rule: Rule, basis: str) -> Trial:
    prefix = "c_" if basis == "sources" else "g_"
    scope = [e for e in catalog.entities if "*" in rule.scope or e in rule.scope]
    scope += [e for (r, e) in QUERIES if r == rule.id and e not in scope]
    scope = scope or list(catalog.entities)  # JS05 may mark a row of any of them
    asked = sum(int(con.execute(f"SELECT count(*) FROM {prefix}{e}").fetchall()[0][0]) for e in scope)
    rows = con.execute(
        f"SELECT h.entity, h.field, coalesce(h.school, '-'), x.XZQHM, count(*), min(h.record, {SAMPLES}) FROM hit h "
        "LEFT JOIN (SELECT XXDM, max(XZQHM) AS XZQHM FROM g_xx GROUP BY XXDM) x ON x.XXDM = h.school "
        "GROUP BY ALL ORDER BY 5 DESC, 1, 2, 3"
    ).fetchall()
    groups = tuple((str(e), str(f), str(s), d, int(n), tuple(some)) for e, f, s, d, n, some in rows)
    return Trial(rule, basis, asked, sum(g[4] for g in groups), groups)
