"""Settling: contributions in, change set out (ruling 20: normalised and judged rows are in the state already).

Decides the order of the steps and keeps the balance (house rule 6). Everything runs in the caller's DuckDB transaction:
a plan is a round that is rolled back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from hub.catalog import Catalog, Entity
from hub.changes import ChangeFile, ChangeSet, Counts
from hub.errors import HubError
from quality import conflicts, cross, decisions_effect, gate, outcome, scope, soft_scope
from quality.authority import Change, touch
from quality.changed import scalar
from quality.derive import derive_rows, derive_totals
from quality.expressions import ident, key_text, record_number, text
from quality.keys import natural_key
from quality.matching import STUDENT, find_aliases, match_locals
from quality.own import own_tables
from quality.own_conflicts import losing_to_each_other
from quality.recode import retired
from quality.survivorship import Round, settle_entity


@dataclass(frozen=True)
class Balance:
    """Where the contributions of one entity went. `considered` = the sum of all the others, or the round stops."""

    considered: int
    inserted: int
    updated: int
    unchanged: int
    deleted: int
    outcomes: Mapping[str, int]
    filled: int

    def holds(self) -> bool:
        """Rows considered = settled (inserted + updated + unchanged) + every refusal (house rule 6)."""
        return self.considered == self.inserted + self.updated + self.unchanged + sum(self.outcomes.values())


@dataclass(frozen=True)
class Settled:
    """What a round decided: change set, balance per entity, counts of issues."""

    changes: ChangeSet
    balance: Mapping[str, Balance]
    issues: Mapping[str, int] = field(default_factory=dict)
    key_changes: int = 0


Progress = Callable[[str], None]


def settle(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    *,
    secret: bytes,
    whole: bool,
    number: int,
    lo: int,
    folder: Path,
    nonce: Callable[[], str],
    progress: Progress = lambda _: None,
    changed: tuple[Change, ...] = (),
) -> Settled:
    """Settles one round and writes its change set `number` into `folder`; change-log ids start at `lo`.

    `changed`: data items with another owner than the state was settled under; what they touch is settled again.

    Leaves in the connection: the advanced state, and the temporary tables `issue`, `disagreement`, `gap`, `review`.
    """
    round_ = _round(con, catalog, secret, whole)
    gate.begin_issues(con)
    conflicts.begin_conflicts(con)
    con.execute("CREATE TABLE IF NOT EXISTS tombstone (entity VARCHAR, pk VARCHAR, row_ver BIGINT)")
    key_changes = _prepare_keys(con, round_)
    if changed and not whole:
        touch(con, catalog, changed)
    for entity in catalog.entities.values():
        progress(entity.cn)
        _settle_one(con, round_, entity)
    derive_totals(con, dict(catalog.entities), has_golden=round_.has_golden)
    _find_conflicts(con, round_)
    return _conclude(con, round_, number, lo, folder, nonce, key_changes, progress)


def _find_conflicts(con: duckdb.DuckDBPyConnection, round_: Round) -> None:
    """What rows disagree on across records: clashes, copied names of schools, codes nobody confirmed; and where it lies."""
    conflicts.clashes(con)
    names = "SELECT XXDM, XXMC FROM s_xx"
    if round_.has_golden:
        names += " UNION ALL SELECT XXDM, XXMC FROM g_xx g WHERE NOT EXISTS (SELECT 1 FROM s_xx s WHERE s.pk = g.pk)"
    con.execute(f"CREATE OR REPLACE TEMP VIEW alive_xx_name AS {names}")
    conflicts.copied_names(con, round_.catalog)
    conflicts.unconfirmed_codes(con)
    conflicts.place(con, round_)


def _round(con: duckdb.DuckDBPyConnection, catalog: Catalog, secret: bytes, whole: bool) -> Round:
    names = list(catalog.entities)
    filled = [e for e in names if scalar(con, f"SELECT count(*) FROM (SELECT 1 FROM l_{e} LIMIT 1)")]
    filled += [e for e in names if own_tables(catalog, catalog.entities[e])]
    gave_way = [name for (name,) in con.execute("SELECT DISTINCT entity FROM gave_way").fetchall()]
    golden = any(scalar(con, f"SELECT count(*) FROM (SELECT 1 FROM g_{e} LIMIT 1)") for e in names)
    return Round(catalog, secret, whole, golden, frozenset(filled), retired(con), frozenset(gave_way))


def _prepare_keys(con: duckdb.DuckDBPyConnection, round_: Round) -> int:
    """Temporary student numbers that became formal; supplements matched to their records."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE key_change (entity VARCHAR, pk VARCHAR, old_key VARCHAR, new_key VARCHAR)"
    )
    found = find_aliases(con)
    if found and round_.has_golden:
        for name in STUDENT:
            _alias_records(con, round_, round_.catalog.entities[name])
    match_locals(con, round_.catalog)
    decisions_effect.weigh(con, round_.catalog)
    return found


def _alias_records(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity) -> None:
    """A golden record of the temporary number keeps its record number under the formal key (ruling 19: history joins).

    The change travels in the same change set: the record's row under its number, and `key_change` (old key, new key).
    """
    renamed = ["n.new AS GRBSM" if k == "GRBSM" else f"g.{ident(k)}" for k in entity.key]
    number = record_number(round_.secret, entity.name, key_text(entity.key, "r."))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE renamed AS SELECT r.pk, {number} AS key_pk, r.old_key, {natural_key(entity, 'r.')} AS new_key "
        f"FROM (SELECT g.pk, {natural_key(entity, 'g.')} AS old_key, {', '.join(renamed)} FROM g_{entity.name} g "
        f"JOIN new_alias n ON n.old = g.GRBSM) r WHERE NOT EXISTS (SELECT 1 FROM g_{entity.name} f WHERE f.pk = {number})"
    )
    con.execute(f"INSERT INTO key_alias SELECT {text(entity.name)}, key_pk, pk FROM renamed")
    con.execute(f"INSERT INTO key_change SELECT {text(entity.name)}, pk, old_key, new_key FROM renamed")


def _settle_one(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity) -> None:
    catalog = round_.catalog
    table = catalog.platform_table(entity.name)
    if not round_.whole:
        _scope_one(con, round_, entity)
    aliases = bool(scalar(con, "SELECT count(*) FROM student_alias"))
    if entity.name not in STUDENT:
        scope.make_view(con, entity, whole=round_.whole, aliases=aliases)
    elif entity.name == STUDENT[0]:  # WZ08, WY03, YZ10 look at the other tables before their own turn.
        for name in STUDENT:
            scope.make_view(con, catalog.entities[name], whole=round_.whole, aliases=aliases)
    gate.open_entity(con, entity, table, has_golden=round_.has_golden, retired=round_.retired)
    if table is not None:
        gate.same_key(con, entity, table, has_golden=round_.has_golden)
    if entity.name in round_.has_local:
        gate.refuse_local(con, entity, table, own=bool(own_tables(catalog, entity)))
    settle_entity(con, round_, entity)
    decisions_effect.honour(con, entity)
    derive_rows(con, entity)
    decisions_effect.honour(con, entity, derived=True)
    gate.complete(con, round_, entity, table)
    _cross_rules(con, round_, entity)
    gate.hold_orphans(con, catalog, entity)
    if table is not None:
        conflicts.losing_values(con, round_, entity, table)
        losing_to_each_other(con, catalog, entity, table)
        if round_.has_golden:
            conflicts.invalid_against_prior(con, entity, table)
    outcome.find_gone(con, round_, entity)
    outcome.find_alive(con, round_, entity)


def _scope_one(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity) -> None:
    if entity.name == "xx":
        scope.scope_school(con, round_.catalog)
    elif entity.name == "xs":
        scope.scope_students(con, round_.catalog)
    elif entity.name not in STUDENT:
        scope.scope_dependent(con, entity)


def _cross_rules(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity) -> None:
    catalog, golden = round_.catalog, round_.has_golden
    if entity.name == "xx":
        cross.schools(con, catalog)
    elif entity.name == "bj":
        cross.classes(con, catalog, has_golden=golden)
    elif entity.name == "jg":
        cross.units(con, catalog)
    elif entity.name == "jzg_gz":
        cross.posts(con, catalog)
    elif entity.name == "xs":
        cross.students(con, catalog, has_golden=golden, has_local="xs_sx" in round_.has_local)
    elif entity.name == "xs_xj":
        cross.enrolments(con, catalog, has_golden=golden)
    elif entity.name == "xs_by":
        cross.graduates(con, catalog, has_golden=golden)


def _conclude(
    con: duckdb.DuckDBPyConnection,
    round_: Round,
    number: int,
    lo: int,
    folder: Path,
    nonce: Callable[[], str],
    key_changes: int,
    progress: Progress,
) -> Settled:
    """Diffs against the golden image, checks the balance, writes the files, advances the image."""
    files: list[ChangeFile] = []
    balances: dict[str, Balance] = {}
    soft_scope.begin_moved(con, round_.catalog)
    for entity in round_.catalog.entities.values():
        progress(entity.cn)
        counts, unchanged = outcome.diff(con, round_, entity)
        balances[entity.name] = _balance(con, round_, entity, counts, unchanged)
        for file in outcome.write_files(con, entity, counts, folder, lo=lo, nonce=nonce):
            files.append(file)
            lo = file.hi + 1
        if counts.rows and not round_.whole:
            soft_scope.note_moved(con, entity)
        outcome.advance_golden(con, round_, entity, counts)
    issues = dict(con.execute("SELECT rule || '/' || state, count(*) FROM issue GROUP BY 1").fetchall())
    return Settled(ChangeSet(number, tuple(files)), balances, issues, key_changes)


def _balance(con: duckdb.DuckDBPyConnection, round_: Round, entity: Entity, counts: Counts, unchanged: int) -> Balance:
    name = entity.name
    outcomes = dict(con.execute(f"SELECT outcome, count(*) FROM x_{name} GROUP BY outcome").fetchall())
    considered = int(scalar(con, f"SELECT count(*) FROM k_{name}"))
    founded = int(scalar(con, f"SELECT count(*) FROM s_{name} WHERE _src = 'L'"))
    refused = int(scalar(con, f"SELECT count(*) FROM excluded_local WHERE entity = {text(name)}"))
    brought = int(scalar(con, f"SELECT count(*) FROM s_{name} WHERE _src = ''"))
    local = int(scalar(con, f"SELECT count(*) FROM m_{name}")) if name in round_.has_local else 0
    if refused:
        outcomes["quarantined"] = outcomes.get("quarantined", 0) + refused
    result = Balance(
        considered + founded + refused + brought, counts.inserted, counts.updated, unchanged, counts.deleted, outcomes,
        local - founded - refused,
    )  # fmt: skip
    if not result.holds():
        raise HubError(
            "E3131",
            f"{entity.cn}的条数不平衡：参与 {result.considered}，去向合计 "
            f"{result.inserted + result.updated + result.unchanged + sum(outcomes.values())}",
            where=entity.name,
            step="本轮未写入任何数据；请保留现场并报告该错误",
        )
    return result
