"""The rules that speak of a round and not of a record: JS01, JS04, JS06; and the round's list of findings (MODEL §7).

Decides from what the settling state remembers of earlier rounds: when each platform was last read in full (JS01), and
how many students stood at the end of the day before (JS06, which holds the round like the mass-delete brake). What the
settling state cannot keep is noted in the store: JS04, a batch that waits for its receipt too long, and a round that
JS06 held, whose state was rolled back. Time is an argument.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import duckdb
import sqlalchemy as sa

from hub.catalog import Catalog, Rule
from hub.errors import HubError, NotInitialisedError
from hub.settings import Node
from hub.store import Transaction, open_store
from hub.store.finding_tables import FINDING
from hub.store.ledger import CHANGE_SET, NO_FIELD, OUTBOX
from hub.store.ledger import RUN as RUN_TABLE
from province_node.extract import Alarm
from province_node.state import meta, set_meta
from quality.rates import write_rates
from quality.settle import Settled
from quality.standing import NOTED, RUN, RunFinding, judge_standing, open_counts, skip_standing

VOLUME = "E3204"
HELD = "挂起"


def on_day(today: str, now: dt.datetime) -> dt.datetime:
    """The moment of a round that is run as of `today` (YYYY-MM-DD): that day at the present time of day; aware."""
    return dt.datetime.combine(dt.date.fromisoformat(today), now.timetz())


def list_findings(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    folder: Path,
    *,
    whole: bool,
    run: int,
    today: str,
    of_run: Sequence[RunFinding],
    wanted: bool = True,
) -> dict[str, int]:
    """What stands and yet breaks a rule that does not block; open findings per `rule/severity`."""
    if wanted:
        judge_standing(con, catalog, folder, whole=whole, run=run, today=today, of_run=of_run)
        write_rates(con, catalog, folder)
    else:
        skip_standing(con, folder)
    return open_counts(con)


def late_sources(
    con: duckdb.DuckDBPyConnection, catalog: Catalog, alarms: Sequence[Alarm], at: dt.datetime
) -> list[RunFinding]:
    """JS01 as of the round's beginning; then notes which platforms this round has read. `at`: aware.

    A platform counts as read when none of its tables raised an alarm. One that was never read is the alarm's matter.
    """
    rule, found = catalog.rules["JS01"], []
    failed = {a.source.partition(".")[0] for a in alarms}
    for system in catalog.systems:
        before, hours = meta(con, f"read.{system}"), hours_since_read(con, system, at)
        if rule.enabled and hours is not None and hours > rule.number("hours"):
            found.append(
                RunFinding(rule.id, system, f"{rule.message}（{system}，上次 {before[:16] if before else ''}）")
            )
        if system not in failed:
            set_meta(con, f"read.{system}", at.isoformat())
    return found


def hours_since_read(con: duckdb.DuckDBPyConnection, system: str, at: dt.datetime) -> float | None:
    """Hours from the last whole reading of a platform to `at` (aware); None for one that was never read."""
    before = meta(con, f"read.{system}")
    return (at - dt.datetime.fromisoformat(before)).total_seconds() / 3600 if before else None


def check_volume(
    con: duckdb.DuckDBPyConnection, catalog: Catalog, settled: Settled, *, today: str, released: bool
) -> list[RunFinding]:
    """JS06: holds a round that moves the number of students too far from the day before; `released`: a person said so.

    Raises `HubError` E3204; the caller's transaction takes everything back. The first load has nothing to compare with.
    """
    rule, balance = catalog.rules["JS06"], settled.balance["xs"]
    now = int(con.execute("SELECT count(*) FROM g_xs").fetchall()[0][0])
    day, last = meta(con, "volume.day"), meta(con, "volume.last")
    if day is None:
        base = now - balance.inserted + balance.deleted or now
    else:
        base = int(str(last if day < today else meta(con, "volume.base")))
    for name, value in (("day", max(day or today, today)), ("base", base), ("last", now)):
        set_meta(con, f"volume.{name}", str(value))
    if not rule.enabled or not base or not swings(rule, base, now, int(today[5:7])):
        return []
    what = f"学生总量由 {base:,} 变为 {now:,}，变化 {abs(now - base) / base:.1%}"
    if released:
        return [RunFinding(rule.id, "xs", f"{what}，经人工确认放行")]
    raise HubError(
        VOLUME,
        f"{what}，超过设定比例（规则 JS06），整轮挂起，未改动任何数据",
        where="学生基本信息",
        step="核实数据源的总量变化属实后，用 --allow-volume 重新运行；否则请数据源修复",
    )


def swings(rule: Rule, base: int, now: int, month: int) -> bool:
    """JS06: the number of students moves from `base` to `now` by more than the month allows."""
    share = rule.number("busy_share" if month in rule.several("busy_months") else "share")
    return abs(now - base) > share * base and abs(now - base) > rule.number("least")


def note_held_round(node: Node, catalog: Catalog, error: HubError, *, run: int, today: str) -> None:
    """JS06 held the round `run`: a finding of that day in state 挂起, open until a round goes through.

    A node whose database is not set up yet has nowhere to note it; the error itself says the same.
    """
    store = open_store(node.database_url, catalog)
    try:
        with store.begin() as tx:
            _note(tx.connection, catalog.rules["JS06"], f"xs {today}", "xs", HELD, error.what, run)
    except NotInitialisedError:
        return
    finally:
        store.close()


def note_exchange(transaction: Transaction, catalog: Catalog, run: int, at: dt.datetime) -> None:
    """What the store knows once a round went through: held rounds are over, batches wait too long (JS04). `at`: now."""
    held = (FINDING.c.entity == RUN, FINDING.c.state == HELD, FINDING.c.closed_run.is_(None))
    transaction.connection.execute(sa.update(FINDING).where(*held).values(closed_run=run))
    shift = _shift(*_last_round(transaction.connection))
    note_overdue_batches(transaction, catalog.rules["JS04"], run, at + shift)


def note_overdue_batches(transaction: Transaction, rule: Rule, run: int, at: dt.datetime) -> int:
    """JS04: sealed batches without a verdict after the agreed hours; returns how many stand open. `at`: aware.

    A batch that has been decided since closes its finding.
    """
    link = transaction.connection
    late = overdue_batches(link, rule, at) if rule.enabled else {}
    open_ = sa.and_(FINDING.c.entity == RUN, FINDING.c.rule == rule.id, FINDING.c.closed_run.is_(None))
    known = set(link.execute(sa.select(FINDING.c.src_rid).where(open_)).scalars())
    for batch in known - late.keys():
        link.execute(sa.update(FINDING).where(open_, FINDING.c.src_rid == batch).values(closed_run=run))
    for batch in sorted(late.keys() - known):
        _note(link, rule, batch, "outbox", NOTED, f"{rule.message}（{batch}，封装于 {late[batch][:16]}）", run)
    return len(late)


def _note(link: sa.Connection, rule: Rule, subject: str, source: str, state: str, detail: str, run: int) -> None:
    key = {"entity": RUN, "src_rid": subject, "rule": rule.id, "field": NO_FIELD, "pk": NO_FIELD}
    link.execute(sa.delete(FINDING).where(*(FINDING.c[n] == v for n, v in key.items())))
    row = {**key, "severity": rule.severity, "source": source, "state": state, "run_no": run, "detail": detail}
    link.execute(sa.insert(FINDING), row)


def overdue_batches(link: sa.Connection, rule: Rule, at: dt.datetime) -> dict[str, str]:
    """Sealed batches without a verdict for longer than agreed at `at` (aware), with the moment they were sealed.

    A round that was run as of another day (--today) counts as of that day, and so does what it sealed.
    """
    limit, last = dt.timedelta(hours=float(rule.number("hours"))), _last_round(link)
    waiting = (
        sa.select(OUTBOX.c.batch_id, OUTBOX.c.sealed_at, RUN_TABLE.c.started, RUN_TABLE.c.ended)
        .outerjoin(CHANGE_SET, CHANGE_SET.c.cs_no == OUTBOX.c.cs_no)
        .outerjoin(RUN_TABLE, RUN_TABLE.c.run_no == CHANGE_SET.c.run_no)
        .where(OUTBOX.c.decided_at.is_(None), OUTBOX.c.sealed_at.is_not(None))
    )
    found = {}
    for batch, sealed, *round_ in link.execute(waiting).all():
        shift = _shift(*(last if round_[1] is None else round_))
        if dt.datetime.fromisoformat(str(sealed)) + shift < at - limit:
            found[str(batch)] = str(sealed)
    return found


def _last_round(link: sa.Connection) -> tuple[str | None, str | None]:
    last = sa.select(sa.func.max(RUN_TABLE.c.run_no)).scalar_subquery()
    row = link.execute(sa.select(RUN_TABLE.c.started, RUN_TABLE.c.ended).where(RUN_TABLE.c.run_no == last)).first()
    return (row[0], row[1]) if row else (None, None)


def _shift(started: str | None, ended: str | None) -> dt.timedelta:
    """Whole days by which a round was run as of another day than the clock's."""
    if started is None or ended is None:
        return dt.timedelta()
    apart = dt.datetime.fromisoformat(started) - dt.datetime.fromisoformat(ended)
    return dt.timedelta(days=round(apart / dt.timedelta(days=1)))


def undecided_batches(link: sa.Connection) -> int:
    """How many sealed batches have no verdict."""
    return int(link.execute(sa.select(sa.func.count()).where(OUTBOX.c.decided_at.is_(None))).scalar_one())
