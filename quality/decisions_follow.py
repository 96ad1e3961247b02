"""What a settling round does to all conflicts at once, in the transaction that publishes it (console 3, "next pull …").

Decides nothing new: the same as `quality.decisions_pull.follow`, as set-based SQL over however many conflicts a round
moved (a test compares the two). Losing values find their conflict by its subject or found a new one; conflicts whose
sources moved get a new version; corrections are confirmed or come back. Figures count conflicts, so a reopened one
keeps its number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append, next_number
from hub.catalog import Catalog
from hub.roles import Operator
from hub.store import Transaction
from hub.store.follow_stage import FOLLOW_TABLES
from quality.decisions_store import Acting
from quality.decisions_told import compare_with_golden

HUB: Final = Operator("hub", "hub")
_CAUSES: Final = {
    "各源已一致": "agreed", "已由权威源定值": "by_authority", "暂缓到期": "expired", "源头已更新": "confirmed",
    "源头回退": "reverted", "来源值变化": "changed", "源头改为其他值": "other_value", "等待源头更新": "awaiting",
}  # fmt: skip


@dataclass(frozen=True)
class Pulled:
    """Which round is followed: run and change set number, the day its rules saw, what stands as evidence."""

    run: int
    change_set: int
    today: str
    evidence: str
    lapsed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Followed:
    """Conflicts founded and moved, and how many took each way."""

    opened: int
    moved: int
    causes: dict[str, int]


def follow_round(tx: Transaction, acting: Acting, pulled: Pulled, catalog: Catalog) -> Followed:
    """Brings decisions and corrections to what the round found; the caller's transaction holds the golden rows too."""
    run = {"run": pulled.run}
    _temporary(tx, catalog, pulled.lapsed)
    stamp = next_number(tx.connection)
    opened = _found(tx, run, stamp, acting.ts)
    _rekey(tx, pulled.change_set)
    moved = _moved(tx, run)
    compare_with_golden(tx, acting.node, catalog)
    _steps(tx, pulled.today)
    rows = tx.connection.execute(sa.text("SELECT cause, count(*) FROM step_conflict GROUP BY cause")).all()
    causes = {str(cause): int(n) for cause, n in rows}
    _apply(tx, pulled, stamp, acting.ts)
    _correct(tx, pulled, acting.ts)
    if opened or moved or causes:
        detail = {"opened": opened, "moved": moved, **{_CAUSES[c]: n for c, n in causes.items()}}
        append(
            tx.connection, Event.CONFLICTS_FOLLOWED, ts=acting.at, node=acting.node, actor=acting.by.name,
            object=f"change set {pulled.change_set}", detail=detail,
        )  # fmt: skip
    for table in FOLLOW_TABLES:
        tx.discard(table)
    return Followed(opened, moved, causes)


def _temporary(tx: Transaction, catalog: Catalog, lapsed: Iterable[int]) -> None:
    for table in FOLLOW_TABLES:
        tx.scratch(table)
    rows = [{"e": e, "f": f, "s": s} for (e, f), s in owners(catalog).items()]
    tx.connection.execute(sa.text("INSERT INTO owner_field VALUES (:e, :f, :s)"), rows)
    if numbers := [{"n": n} for n in lapsed]:
        tx.connection.execute(sa.text("INSERT INTO lapsed_conflict VALUES (:n)"), numbers)


def owners(catalog: Catalog) -> dict[tuple[str, str], str]:
    """The platform that owns each field: the one whose table delivers it, else the registry's first when it is a platform."""
    found: dict[tuple[str, str], str] = {}
    for (name, field), authority in catalog.registry.owners.items():
        table = catalog.platform_table(name)
        if table is not None and field in table.column_names:
            found[name, field] = table.system
        elif authority.order[0] in catalog.systems:
            found[name, field] = authority.order[0]
    return found


def _found(tx: Transaction, run: dict[str, Any], stamp: int, ts: str) -> int:
    """Losing values of this round join their conflict or found one, numbered by its first losing value."""
    link = sa.text(
        "UPDATE conflict SET decision_no = (SELECT d.decision_no FROM decision d WHERE d.subject = conflict.subject) "
        "WHERE run_no = :run AND decision_no IS NULL AND subject IN (SELECT d.subject FROM decision d)"
    )
    tx.connection.execute(link, run)
    made = tx.connection.execute(
        sa.text(
            "INSERT INTO decision (decision_no, subject, entity, pk, natural_key, field, rule, clash, school, division, "
            "state, cause, version, stamp, events, round_no, open_rows, waiting, authority, effect, closed, opened_run, changed_at) "
            "SELECT c.decision_no, c.subject, c.entity, c.pk, c.natural_key, c.field, c.rule, c.clash, c.school, c.division, "
            "'待处理', '来源不一致', 0, :stamp, 0, 1, 0, 0, coalesce(o.system, c.source), '0', '0', :run, :ts FROM "
            "(SELECT min(conflict_no) AS decision_no, subject, min(entity) AS entity, min(pk) AS pk, "
            "min(natural_key) AS natural_key, min(field) AS field, min(rule) AS rule, min(clash) AS clash, "
            "min(school) AS school, min(division) AS division, "
            "CASE WHEN min(clash) IS NOT NULL THEN min(source) END AS source FROM conflict "
            "WHERE run_no = :run AND decision_no IS NULL GROUP BY subject) c "
            "LEFT JOIN owner_field o ON o.entity = c.entity AND o.field = c.field AND c.clash IS NULL "
            "ORDER BY c.decision_no"  # rows lie as they are listed and decided on: by number, not by digest
        ),
        {**run, "stamp": stamp, "ts": ts},
    )
    tx.connection.execute(link, run)
    if made.rowcount:
        tx.analyse("decision")
        tx.analyse("conflict")
    return int(made.rowcount)


def _rekey(tx: Transaction, change_set: int) -> None:
    """A record that took a new natural key keeps its conflicts (ruling 19)."""
    changed = "SELECT 1 FROM key_change k WHERE k.entity = decision.entity AND k.pk = decision.pk AND k.cs_no = :cs"
    tx.connection.execute(
        sa.text(
            "UPDATE decision SET natural_key = (SELECT k.new_key FROM key_change k WHERE k.entity = decision.entity "
            "AND k.pk = decision.pk AND k.cs_no = :cs) WHERE pk IN (SELECT pk FROM key_change WHERE cs_no = :cs) "
            f"AND EXISTS ({changed})"
        ),
        {"cs": change_set},
    )


def _moved(tx: Transaction, run: dict[str, Any]) -> int:
    """`moved_conflict`: what the sources say now of every conflict whose losing values are not those of before."""
    waiting = "CASE WHEN c.state = '待处理' THEN 1 ELSE 0 END"
    own = "CASE WHEN c.winner_source = d.authority THEN c.winner_value WHEN c.source = d.authority THEN c.value END"
    valid = (
        "CASE WHEN c.winner_source = d.authority AND c.state <> '待处理' THEN '1' "
        "WHEN c.source = d.authority AND c.winner_source IS NULL AND c.clash IS NULL THEN '1' ELSE '0' END"
    )
    other = "CASE WHEN c.source = d.authority THEN c.winner_value ELSE c.value END"
    other_source = "CASE WHEN c.source = d.authority THEN c.winner_source ELSE c.source END"
    touched = (
        "SELECT decision_no FROM conflict WHERE run_no = :run AND decision_no IS NOT NULL UNION "
        "SELECT decision_no FROM conflict WHERE closed_run = :run AND decision_no IS NOT NULL"
    )
    done = tx.connection.execute(
        sa.text(
            "INSERT INTO moved_conflict SELECT t.decision_no, d.waiting, coalesce(s.open_rows, 0), coalesce(s.waiting, 0), "
            f"s.basis, s.own, s.valid, s.other_source, s.other FROM ({touched}) t "
            "JOIN decision d ON d.decision_no = t.decision_no LEFT JOIN (SELECT c.decision_no, count(*) AS open_rows, "
            f"sum({waiting}) AS waiting, max(c.basis) AS basis, max({own}) AS own, max({valid}) AS valid, "
            f"min({other_source}) AS other_source, CASE WHEN count(DISTINCT {other}) = 1 THEN min({other}) END AS other "
            f"FROM conflict c JOIN decision d ON d.decision_no = c.decision_no WHERE c.closed_run IS NULL "
            f"AND c.decision_no IN ({touched}) GROUP BY c.decision_no) s ON s.decision_no = t.decision_no"
        ),
        run,
    )
    tx.analyse("moved_conflict")
    return int(done.rowcount)


# One line per line of console §3 and of `quality.decisions_pull`, in its order; the first that fits a conflict counts.
# d: decision, m: moved_conflict, t: told_conflict, l: lapsed_conflict.
_LINES: Final = (
    ("d.state IN ('待处理', '暂缓') AND coalesce(m.open_rows, d.open_rows) = 0", "'已生效'", "'各源已一致'", 1),
    ("d.state = '待处理' AND m.waiting = 0 AND m.waited > 0", "'已生效'", "'已由权威源定值'", 1),
    ("d.state = '暂缓' AND d.until <= :today", "d.state_before", "'暂缓到期'", 0),
    (
        "d.state = '退回源头平台' AND (t.confirmed = 1 OR (coalesce(m.open_rows, d.open_rows) = 0 "
        "AND (d.chosen_value IS NULL OR t.gone = 1)))",
        "'已生效'", "'源头已更新'", 0,
    ),
    (
        "d.state = '退回源头平台' AND m.decision_no IS NOT NULL",
        "d.state", "CASE WHEN t.old_value = 1 THEN '等待源头更新' ELSE '源头改为其他值' END", 0,
    ),
    (
        "d.state = '已生效' AND d.cause = '源头已更新' AND (t.contradicted = 1 OR (m.open_rows > 0 AND (m.waiting > 0 "
        "OR d.chosen_value IS NULL)))",
        "'待处理'", "CASE WHEN t.old_value = 1 OR d.chosen_value IS NULL THEN '源头回退' ELSE '来源值变化' END", 1,
    ),
    (
        "d.state = '已生效' AND d.cause <> '源头已更新' AND d.kind IS NOT NULL AND (m.decision_no IS NOT NULL OR "
        "l.decision_no IS NOT NULL)",
        "CASE WHEN coalesce(m.open_rows, d.open_rows) = 0 THEN '已生效' ELSE '待处理' END",
        "CASE WHEN coalesce(m.open_rows, d.open_rows) = 0 THEN '各源已一致' ELSE '来源值变化' END", 1,
    ),
    ("d.state = '已生效' AND d.kind IS NULL AND m.waiting > 0", "'待处理'", "'来源值变化'", 1),
    (
        "d.state = '已生效' AND d.kind IS NULL AND m.open_rows > 0 AND d.cause <> '已由权威源定值'",
        "d.state", "'已由权威源定值'", 0,
    ),
)  # fmt: skip


def _steps(tx: Transaction, today: str) -> None:
    """`step_conflict`. What nobody has decided on and a round founded takes its state at once."""
    tx.connection.execute(
        sa.text(
            "UPDATE decision SET (state, closed, cause, waiting) = (SELECT CASE WHEN m.waiting > 0 THEN '待处理' ELSE '已生效' END, "
            "CASE WHEN m.waiting > 0 THEN '0' ELSE '1' END, "
            "CASE WHEN m.waiting > 0 THEN '来源不一致' ELSE '已由权威源定值' END, m.waiting FROM moved_conflict m "
            "WHERE m.decision_no = decision.decision_no) "
            "WHERE version = 0 AND decision_no IN (SELECT decision_no FROM moved_conflict)"
        )
    )
    for condition, state, why, clears in _LINES:
        tx.connection.execute(
            sa.text(
                f"INSERT INTO step_conflict SELECT d.decision_no, {state}, {why}, {clears} FROM decision d "
                "LEFT JOIN moved_conflict m ON m.decision_no = d.decision_no LEFT JOIN told_conflict t "
                "ON t.decision_no = d.decision_no LEFT JOIN lapsed_conflict l ON l.decision_no = d.decision_no "
                f"WHERE d.version > 0 AND {condition} "
                "AND NOT EXISTS (SELECT 1 FROM step_conflict s WHERE s.decision_no = d.decision_no)"
            ),
            {"today": today} if ":today" in condition else {},
        )


def _apply(tx: Transaction, pulled: Pulled, stamp: int, ts: str) -> None:
    """Writes the history first, from the rows as they stand, then the rows."""
    run = tx.connection.execute
    given = {"ts": ts, "stamp": stamp, "run": pulled.run, "evidence": pulled.evidence}
    run(
        sa.text(
            "INSERT INTO decision_event (decision_no, event_no, round_no, version, action, from_state, to_state, cause, "
            "person, actor, evidence, ts) SELECT d.decision_no, d.events + 1, d.round_no, d.version + 1, '同步', d.state, "
            "coalesce(s.to_state, d.state), coalesce(s.cause, '来源值变化'), 'hub', 'hub', :evidence, :ts FROM decision d "
            "LEFT JOIN step_conflict s ON s.decision_no = d.decision_no LEFT JOIN moved_conflict m "
            "ON m.decision_no = d.decision_no WHERE s.decision_no IS NOT NULL OR (m.decision_no IS NOT NULL "
            "AND d.kind IS NOT NULL)"
        ),
        given,
    )
    _move(tx, given)
    _step(tx, given)


def _move(tx: Transaction, given: dict[str, Any]) -> None:
    """What the sources say now, under a new version."""
    run = tx.connection.execute
    silent = "decision.clash IS NOT NULL OR m.open_rows = 0"
    own = "m.authority_ok = '1' AND m.authority_value IS NOT NULL"
    told = "s.decision_no IS NOT NULL OR decision.kind IS NOT NULL"
    run(
        sa.text(
            "UPDATE decision SET version = version + 1, stamp = :stamp, moved_run = :run, (open_rows, waiting, basis, "
            "authority_value, authority_ok, suggest_source, suggest_value, events) = (SELECT m.open_rows, m.waiting, "
            "coalesce(m.basis, decision.basis), m.authority_value, m.authority_ok, "
            f"CASE WHEN {silent} THEN NULL WHEN {own} THEN decision.authority "
            "WHEN m.other_value IS NOT NULL THEN m.other_source END, "
            f"CASE WHEN {silent} THEN NULL WHEN {own} THEN m.authority_value ELSE m.other_value END, "
            f"decision.events + CASE WHEN {told} THEN 1 ELSE 0 END FROM moved_conflict m "
            "LEFT JOIN step_conflict s ON s.decision_no = m.decision_no WHERE m.decision_no = decision.decision_no) "
            "WHERE decision_no IN (SELECT decision_no FROM moved_conflict)"
        ),
        {k: given[k] for k in ("stamp", "run")},
    )
    run(
        sa.text(
            "UPDATE decision SET version = version + 1, stamp = :stamp, events = events + 1 "
            "WHERE decision_no IN (SELECT decision_no FROM step_conflict) "
            "AND decision_no NOT IN (SELECT decision_no FROM moved_conflict)"
        ),
        {"stamp": given["stamp"]},
    )


def _step(tx: Transaction, given: dict[str, Any]) -> None:
    """The rows of `step_conflict` take their new state; what was decided lives on in the history."""
    run = tx.connection.execute
    kept = ("kind", "chosen_source", "chosen_value", "proposer", "reviewer", "reason", "note", "op_no", "state_before")
    run(
        sa.text(
            f"UPDATE decision SET {', '.join(f'{c} = NULL' for c in kept)}, until = NULL, effect = '0' "
            "WHERE decision_no IN (SELECT decision_no FROM step_conflict WHERE clears = 1)"
        )
    )
    over = "decision.state = '暂缓'"
    run(
        sa.text(
            "UPDATE decision SET evidence = :evidence, changed_at = :ts, (state, closed, cause, state_before, until, closed_run) = "
            f"(SELECT s.to_state, CASE WHEN s.to_state = '已生效' THEN '1' ELSE '0' END, s.cause, CASE WHEN {over} THEN NULL ELSE decision.state_before END, "
            f"CASE WHEN {over} THEN NULL ELSE decision.until END, CASE WHEN s.to_state = '已生效' THEN :run END "
            "FROM step_conflict s WHERE s.decision_no = decision.decision_no) "
            "WHERE decision_no IN (SELECT decision_no FROM step_conflict)"
        ),
        {k: given[k] for k in ("evidence", "ts", "run")},
    )


def _correct(tx: Transaction, pulled: Pulled, ts: str) -> None:
    """Requests the source has answered, and answers it took back."""
    for state, before, cause in (
        ("已确认", "待源头确认", "= '源头已更新'"),
        ("已回退", "已确认", "IN ('源头回退', '来源值变化')"),
    ):
        tx.connection.execute(
            sa.text(
                "UPDATE correction SET state = :state, confirmed_run = :run, evidence = :evidence, closed_at = :ts "
                "WHERE state = :before AND decision_no IN "
                f"(SELECT decision_no FROM step_conflict WHERE cause {cause})"
            ),
            {"state": state, "before": before, "run": pulled.run, "evidence": pulled.evidence, "ts": ts},
        )
