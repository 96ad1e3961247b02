"""One settling round of a province: read the sources, settle, and leave a durable change set.

Decides when a round is whole or incremental, and holds one that would delete too much. The change set folder and the
settling state are written before anything else sees them; `province_node.publish` brings them to the store.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from connectors.registry import Sources, load_sources
from hub.catalog import Catalog, load_catalog
from hub.catalog.tuning import tuned
from hub.errors import HubError, UsageError
from hub.settings import Node
from province_node.brake import check_brake
from province_node.changeset import fresh_folder
from province_node.decisions import take_in_effect
from province_node.definitions import definitions_changed, definitions_digest, judge_whole
from province_node.extract import Alarm, Extracts
from province_node.findings import VOLUME, check_volume, late_sources, list_findings, note_held_round
from province_node.in_force import InForce, catalog_in_force, note_settled, pending_changes, pending_codes
from province_node.judging import SecondJudge, second_judge
from province_node.local import Locals, ingest_supplements, read_supplements
from province_node.own import mappings_changed, own_systems, prepare_own, with_own
from province_node.quality_pages import keep_results, write_pages
from province_node.reading import ingest, read_sources
from province_node.state import counter, open_state, set_counter, transaction
from province_node.supplement_store import approved_supplements
from province_node.supplement_withdrawn import find_withdrawn, forget_files, take_back
from province_node.transit import Transit, follow_transit
from quality.changed import accept_reviewed, begin_round
from quality.issues import list_issues
from quality.recode import recode, retire
from quality.settle import Settled, settle
from quality.validation import validation_results


@dataclass(frozen=True)
class Options:
    """How a round runs. `today`: the date dated rules see (YYYY-MM-DD); `full`: full comparison, no watermarks."""

    today: str
    full: bool = False
    review: bool = True
    allow_deletes: bool = False
    plan: bool = False
    judge: bool = True
    """Whether the second judge (Great Expectations) looks at the change set; the pipelines run it as a check."""
    soft: bool = True
    """Whether rules of severity 警告 and 提示 run (a benchmark leaves them out; the next round catches up)."""
    allow_volume: bool = False
    """The number of students may move further than JS06 allows: a person has confirmed it."""
    at: dt.datetime | None = None
    """The round's moment (JS01); aware. Without it, the beginning of `today`."""

    @property
    def moment(self) -> dt.datetime:
        return self.at or dt.datetime.fromisoformat(self.today).replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Round:
    """What a round did. `number` is the change set (every round has one, an empty one too); counts only."""

    number: int
    run: int
    folder: Path
    whole: bool
    settled: Settled
    extracts: tuple[Mapping[str, Any], ...]
    alarms: tuple[Alarm, ...]
    supplements: Mapping[str, Any]
    dirt: Mapping[str, int] = field(default_factory=dict)
    gaps: Mapping[str, int] = field(default_factory=dict)
    conflicts: Mapping[str, int] = field(default_factory=dict)
    findings: Mapping[str, int] = field(default_factory=dict)
    """Open findings on what stands, per `rule/severity`."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Files of the waiting area taken in this round → extract number."""
    transit: Transit = field(default_factory=Transit)


class _Plan(Exception):  # noqa: N818 - not an error: carries the plan out of the transaction that is rolled back
    def __init__(self, round_: Round) -> None:
        self.round = round_


Progress = Callable[[str, str], None]
_CONFLICTS = (
    "SELECT state, count(DISTINCT coalesce(nullif(clash, ''), natural_key || field || source || coalesce(value, ''))) "
    "FROM disagreement GROUP BY state"
)


def run_round(
    node: Node, options: Options, *, nonce: Callable[[], str], progress: Progress = lambda _step, _what: None
) -> Round:
    """Extract and settle. The change set lies in `node.changes`; the state is committed. With `plan`, nothing stays."""
    sources = load_sources(node.sources)
    shipped = tuned(load_catalog(sources.site_dictionaries), node.settings.rules)
    ruled = catalog_in_force(node, shipped)
    own = own_systems(sources, ruled.catalog)
    catalog = with_own(ruled.catalog, own)
    con = open_state(node, catalog, today=options.today)
    try:
        wanted = options.judge and not options.plan
        with second_judge(sources.site_dictionaries, wanted=wanted) as judge, transaction(con):
            prepare_own(con, catalog, own)
            done = _round(con, node, catalog, ruled, sources, options, nonce, progress, judge)
            if options.plan:
                raise _Plan(done)
        write_pages(node, catalog)
        return done
    except _Plan as plan:
        shutil.rmtree(plan.round.folder, ignore_errors=True)
        return plan.round
    except HubError as error:
        if error.code == VOLUME and not options.plan:
            note_held_round(node, catalog, error, run=counter(con, "run") + 1, today=options.today)
        raise
    finally:
        con.close()


def _round(
    con: duckdb.DuckDBPyConnection,
    node: Node,
    catalog: Catalog,
    ruled: InForce,
    sources: Sources,
    options: Options,
    nonce: Callable[[], str],
    progress: Progress,
    judge: SecondJudge,
) -> Round:
    run = counter(con, "run") + 1
    recode(con, catalog, pending_codes(con, catalog))
    extracts = read_sources(con, node, catalog, sources, full=options.full, run=run, progress=progress)
    of_run = late_sources(con, catalog, extracts.alarms, options.moment)
    whole, read, local, last_extract = _take(con, node, catalog, sources, options, run, extracts, progress)
    number, folder, settled = _settled(con, node, catalog, options, nonce, progress, whole=whole)
    of_run += check_volume(con, catalog, settled, today=options.today, released=options.allow_volume)
    judge.look_at(settled.changes, node.settings, today=options.today, ruled=ruled)
    list_issues(con, catalog, folder, whole=whole, run=run)
    findings = list_findings(
        con, catalog, folder, whole=whole, run=run, today=options.today, of_run=of_run, wanted=options.soft
    )
    done = Round(
        number, run, folder, whole, settled, read, (*extracts.alarms, *local.alarms, *judge.alarms()),
        local.counts(),
        _sums(con, "SELECT kind, sum(hits) FROM dirt GROUP BY kind"),
        _sums(con, "SELECT entity || '.' || field, sum(missing) FROM gap GROUP BY 1"),
        _sums(con, _CONFLICTS),
        findings,
        local.taken(),
        follow_transit(con, catalog, folder, whole=whole, run=run),
    )  # fmt: skip
    keep_results(folder, validation_results(con, catalog, judge.judgement, folder, run=run, today=options.today))
    _write_record(done, catalog, ruled, options)
    _advance(con, catalog, run, last_extract, settled, number)
    return done


def _settled(
    con: duckdb.DuckDBPyConnection,
    node: Node,
    catalog: Catalog,
    options: Options,
    nonce: Callable[[], str],
    progress: Progress,
    *,
    whole: bool,
) -> tuple[int, Path, Settled]:
    """(number, folder, content) of the next change set, if it does not delete more than a round may."""
    number = counter(con, "change_set") + 1
    folder = fresh_folder(node.changes / f"{number:08d}")
    settled = settle(
        con,
        catalog,
        secret=node.secret(),
        whole=whole,
        number=number,
        lo=counter(con, "change_log") + 1,
        folder=folder,
        nonce=nonce,
        progress=lambda what: progress("settle", what),
        changed=pending_changes(con, catalog),
    )
    check_brake(con, catalog, node, settled, released=options.allow_deletes)
    return number, folder, settled


def _take(
    con: duckdb.DuckDBPyConnection,
    node: Node,
    catalog: Catalog,
    sources: Sources,
    options: Options,
    run: int,
    extracts: Extracts,
    progress: Progress,
) -> tuple[bool, tuple[Mapping[str, Any], ...], Locals, int]:
    """Brings extracts and supplements into the state: (settle everything?, reads, supplements, last extract number)."""
    if definitions_changed(con, catalog):
        con.execute("DELETE FROM local_file")  # supplements are judged anew as well
    back = find_withdrawn(con, node, catalog, reviewed=options.review)
    forget_files(con, node, catalog, back)
    supplements = read_supplements(
        con, catalog, sources.templates, lambda n: progress("extract", n), threads=node.settings.threads
    )
    supplements += approved_supplements(node, catalog, con)
    whole = judge_whole(con, catalog, extracts) or mappings_changed(con)
    last = counter(con, "extract") + len(extracts.taken)
    progress("settle", "规范化")
    begin_round(con, catalog)
    retire(con, catalog, pending_codes(con, catalog))
    take_back(con, catalog, back)
    extracts.alarms.extend(take_in_effect(con, node, catalog))
    read = tuple(ingest(con, catalog, e, whole=whole) for e in extracts.taken)
    folder = node.extracts / f"{run:06d}"
    local = ingest_supplements(con, catalog, supplements, folder, first_number=last + 1, reviewed=options.review)
    if options.review:
        accept_reviewed(con, catalog)
    return whole, read, local, last + local.files


def _sums(con: duckdb.DuckDBPyConnection, sql: str) -> dict[str, int]:
    return {str(k): int(v) for k, v in con.execute(sql).fetchall()}


def _advance(
    con: duckdb.DuckDBPyConnection, catalog: Catalog, run: int, last_extract: int, settled: Settled, number: int
) -> None:
    note_settled(con, catalog)
    set_counter(con, "run", run)
    set_counter(con, "extract", last_extract)
    set_counter(con, "change_set", number)
    set_counter(con, "change_log", max(counter(con, "change_log"), settled.changes.hi))


def _write_record(done: Round, catalog: Catalog, ruled: InForce, options: Options) -> None:
    """`round.json` in the change set's folder: everything publishing needs, durable before the state commits."""
    body = {
        "number": done.number,
        "run": done.run,
        "whole": done.whole,
        "today": options.today,
        "moment": options.at.isoformat() if options.at else None,
        "full": options.full,
        "registry_version": catalog.registry.version,
        "registry_document": ruled.document,
        "registry_tables": ruled.tables,
        "codes_digest": definitions_digest(catalog),
        "files": [{**asdict(f), "path": f.path.name, "counts": asdict(f.counts)} for f in done.settled.changes.files],
        "extracts": list(done.extracts),
        "balance": {k: asdict(v) for k, v in done.settled.balance.items()},
        "issues": dict(done.settled.issues),
        "dirt": dict(done.dirt),
        "gaps": dict(done.gaps),
        "conflicts": dict(done.conflicts),
        "findings": dict(done.findings),
        "supplements": dict(done.supplements),
        "waiting": dict(done.waiting),
        "key_changes": done.settled.key_changes,
        "alarms": [a.sentence for a in done.alarms],
    }
    path = done.folder / "round.json"
    path.write_text(json.dumps(body, ensure_ascii=False, indent=1, default=str), encoding="utf-8")
    for file in done.folder.iterdir():
        _sync(file)
    _sync(done.folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_province(node: Node) -> None:
    """Settling is a province's step."""
    if node.settings.role != "province":
        raise UsageError("E1004", "该命令只在省级节点运行", where="hub.toml role", step="用 --node 指定省级节点目录")
