"""`make demo`: the main job, end to end, on the embedded defaults, told at a glance.

Decides only what is shown and in which order; every step is the one the nodes' own commands run. Works in `.demo/`
(removed and made anew), so it can be run again at any time.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from connectors.sample.run import generate
from hub.catalog import load_catalog
from hub.errors import HubError
from hub.words import word
from pipelines.lab.picture import save_picture
from pipelines.lab.round import LabRound, run_lab, table_digests
from pipelines.lab.setup import Lab, init_lab
from pipelines.lab.spoil import replay, spoil
from quality.normalise import DIRT_KINDS

PROVINCE = "13"
DAYS = {1: "2026-11-23", 2: "2026-11-24"}
STEPS = {
    "extract": "读取数据源",
    "settle": "规范化与定值",
    "publish": "入库与封装",
    "deliver": "上送",
    "intake": "部级接收",
    "listen": "回执",
}
VERIFY = Path("deploy/verify/verify-dsse.sh")


class Stage:
    """What the demo says and where it works."""

    def __init__(self, folder: Path, students: int, *, record: bool = False) -> None:
        self.folder, self.students = folder, students
        self.out = Console(highlight=False, width=None if sys.stdout.isatty() else 110, record=record)
        self.sources, self.place = folder / "sources", folder / "lab"

    def title(self, number: int, text: str) -> None:
        self.out.print()
        self.out.rule(f"[bold]{number}　{text}", align="left")

    def watch(self, work: Callable[[Callable[[str, str], None]], LabRound]) -> tuple[LabRound, float]:
        """Runs a round with a progress line on a terminal; returns it and its seconds."""
        start = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self.out, transient=True, disable=not self.out.is_terminal) as bars:
            task = bars.add_task("")
            done = work(lambda step, what: bars.update(task, description=f"{STEPS.get(step, step)}：{what}"))
        return done, time.monotonic() - start


def main() -> None:
    """Runs the demo; ends with what to open next. Exit code 0 only when everything held."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--students", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path(".demo"))
    parser.add_argument("--picture", type=Path, help="also as an SVG picture in this file")
    options = parser.parse_args()
    logging.getLogger("hub.trust.keys").setLevel(logging.ERROR)  # said once, in words, by `prepare`
    stage = Stage(options.folder, options.students, record=options.picture is not None)
    try:
        lab = prepare(stage)
        first, seconds = first_day(stage)
        held = tell_batches(stage, lab, first)
        held = tell_digests(stage, lab) and held
        held = second_day(stage, lab, seconds) and held
        held = attacks(stage, lab) and held
        trace(stage, lab)
    except HubError as error:
        stage.out.print(f"[red]✘ {error.sentence()}")
        sys.exit(error.exit_code)
    farewell(stage, lab, held)
    if options.picture is not None:
        save_picture(stage.out, options.picture, title="make demo")
    sys.exit(0 if held else 4)


def prepare(stage: Stage) -> Lab:
    """Sources of day 1 and a paired province and ministry."""
    stage.title(1, "建立环境")
    shutil.rmtree(stage.folder, ignore_errors=True)
    start = time.monotonic()
    answers = generate(stage.sources, province=PROVINCE, students=stage.students, seed=1)
    rows = sum(answers["totals"]["sources"].values())
    lab = init_lab(
        stage.place,
        sources=stage.sources.resolve(),
        province=PROVINCE,
        at=datetime.now(UTC),
        rng=os.urandom,
    )
    stage.out.print(f"三个数据源（学籍 S1、教师 S2、机构代码 S3）共 {rows:,} 行，学校补录模板 {_templates(stage)} 份；")
    stage.out.print("其中埋设了脏数据与冲突，答案在 sources/answers.json")
    stage.out.print(
        f"{lab.province.settings.name}（SQLite）⇄ 部级节点（SQLite）；信任清单第 {lab.trust_version} 版；"
        "期次授权由三把离线密钥中的两把签名；"
    )
    stage.out.print("密钥均为演示用开发密钥，不得用于生产")
    stage.out.print(f"用时 {time.monotonic() - start:.1f} 秒")
    return lab


def _templates(stage: Stage) -> int:
    return len(list((stage.sources / "templates").glob("*.xlsx")))


def _round(stage: Stage, day: int) -> tuple[LabRound, float]:
    return stage.watch(
        lambda progress: run_lab(stage.place, today=DAYS[day], at=datetime.now(UTC), rng=os.urandom, progress=progress)
    )


def first_day(stage: Stage) -> tuple[LabRound, float]:
    """The initial load: where every row went, and that the counts balance."""
    done, seconds = _round(stage, 1)
    stage.title(2, f"首轮：读取、规范化、隔离、挂起、冲突、入库（{seconds:.1f} 秒）")
    table = Table("实体", *("读取", "入库", "隔离", "挂起", "在途", "其他", "平衡"), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    total = [0] * 6
    for name, balance in done.round.settled.balance.items():
        outcomes = dict(balance.outcomes)
        numbers = [balance.considered, balance.inserted, outcomes.pop("quarantined", 0), outcomes.pop("held", 0)]
        numbers += [outcomes.pop("in_transit", 0), sum(outcomes.values())]
        total = [a + b for a, b in zip(total, numbers, strict=True)]
        table.add_row(load_catalog().entities[name].cn, *(f"{n:,}" for n in numbers), "✔" if balance.holds() else "✘")
    table.add_row("[bold]合计", *(f"[bold]{n:,}" for n in total), "✔" if total[0] == sum(total[1:]) else "✘")
    stage.out.print(table)
    dirt = "，".join(f"{DIRT_KINDS[k]} {n}" for k, n in done.round.dirt.items())
    conflicts = "，".join(f"{state} {n}" for state, n in done.round.conflicts.items())
    stage.out.print(f"规范化：{dirt}")
    stage.out.print(
        f"冲突：{conflicts}；补录模板 {done.round.supplements.get('files', 0)} 份；告警 {len(done.round.alarms)}"
    )
    found = Counter({"警告": 0, "提示": 0})
    for name, number in done.round.findings.items():
        found[name.partition("/")[2]] += number
    listed = "，".join(f"{severity} {number:,}" for severity, number in found.items())
    stage.out.print(f"规则：{len(load_catalog().rules)} 条全部执行；不阻断的发现：{listed}")
    stage.out.print("“其他”为重复副本、已注销、审批驳回的行；读取 = 入库 + 隔离 + 挂起 + 在途 + 其他")
    return done, seconds


def tell_batches(stage: Stage, lab: Lab, done: LabRound) -> bool:
    """The sealed batches, checked by openssl alone, and the ministry's signed receipts."""
    stage.title(3, "批次：签名、加密、只追加")
    batches = [b for p in done.published for b in p.batches]
    held = True
    for batch in batches:
        stage.out.print(
            f"{batch.batch_id}　{batch.parts} 个分片，{batch.bytes / 1e6:.1f} MB，{batch.rows.rows:,} 行；"
            f"签名 {batch.signer[:19]}…；收件方 {'、'.join(batch.recipients)}"
        )
        checked = _openssl(lab, batch.batch_id)
        held = held and checked
        stage.out.print(f"  {'✔' if checked else '✘'} openssl 与 jq 独立验签、核对每个分片的大小与摘要（{VERIFY}）")
    stage.title(4, "部级回执")
    for intake in done.intakes:
        for decision in intake.decisions:
            held = held and decision.verdict == "APPLIED"
            stage.out.print(
                f"{'✔' if decision.verdict == 'APPLIED' else '✘'} {decision.sentence}（{decision.receipt_name}）"
            )
    accepted = sum(len(heard.receipts) for heard in done.listened)
    stage.out.print(f"省级已验证并登记 {accepted} 份回执，仅凭回执推进")
    return held and accepted == len(batches)


def _openssl(lab: Lab, batch: str) -> bool:
    manifests = sorted(lab.ministry.store.rglob(f"{batch}.manifest.dsse"))
    if not manifests:
        return False
    key = lab.folder / "province-sign.pub.pem"
    cert = lab.province.keys / "sign.cert.pem"
    subprocess.run(["openssl", "x509", "-in", str(cert), "-pubkey", "-noout", "-out", str(key)], check=True)
    done = subprocess.run(
        ["bash", str(VERIFY), str(manifests[0]), str(key), str(manifests[0].parent)], check=False, capture_output=True
    )
    return done.returncode == 0


def tell_digests(stage: Stage, lab: Lab, number: int = 5) -> bool:
    """Both tiers' tables, digest beside digest."""
    stage.title(number, "两级正式库摘要对照")
    table = Table("实体", "行数", "省级 SHA-256", "部级 SHA-256", "", box=None)
    pairs = table_digests(lab)
    for pair in pairs:
        mark = "✔ 一致" if pair.equal else "✘ 不一致"
        table.add_row(pair.cn, f"{pair.province.rows:,}", pair.province.sha256[:20], pair.ministry.sha256[:20], mark)
    stage.out.print(table)
    return all(pair.equal for pair in pairs)


def second_day(stage: Stage, lab: Lab, first_seconds: float) -> bool:
    """The sources a day later: only what changed is read, settled and shipped."""
    generate(stage.sources, province=PROVINCE, students=stage.students, seed=1, day=2)
    done, seconds = _round(stage, 2)
    stage.title(6, f"次日增量（{seconds:.1f} 秒，为首轮的 {seconds / first_seconds:.0%}）")
    counts = done.round.settled.changes.counts
    batches = [b for p in done.published for b in p.batches]
    size = sum(b.bytes for b in batches) / 1e6
    stage.out.print(
        f"新增 {counts.inserted:,}，更新 {counts.updated:,}，删除 {counts.deleted:,}；学籍号由临时转正式 "
        f"{done.round.settled.key_changes}（记录号不变）；{len(batches)} 批 {size:.2f} MB"
    )
    verdicts = [d.verdict for i in done.intakes for d in i.decisions]
    equal = all(p.equal for p in table_digests(lab))
    stage.out.print(f"部级：{'、'.join(word(v) for v in verdicts)}；两级摘要{'一致 ✔' if equal else '不一致 ✘'}")
    return equal and bool(verdicts) and set(verdicts) == {"APPLIED"}


def attacks(stage: Stage, lab: Lab) -> bool:
    """An applied batch comes again; a copy with one flipped bit comes: neither changes anything."""
    stage.title(7, "重放与篡改")
    before = table_digests(lab)
    again, spoilt = replay(lab), spoil(lab)
    unmoved = before == table_digests(lab)
    for name, sentences, good in (("重放", again.sentences, again.refused), ("篡改", spoilt.sentences, spoilt.refused)):
        for sentence in sentences:
            stage.out.print(f"{'✔' if good else '✘'} {name}：{sentence}")
    stage.out.print(f"{'✔' if unmoved else '✘'} 部级正式库逐表摘要未变")
    return again.refused and spoilt.refused and unmoved


def trace(stage: Stage, lab: Lab) -> None:
    """One value from its source row to the ministry, by the same command a person would use."""
    stage.title(8, "一个值的来历")
    record = _traced(lab)
    for node in (lab.province, lab.ministry):
        command = ["--node", str(_shown(node.folder)), "lineage", "show", "xs", record, "--field", "LXDH"]
        stage.out.print(f"[dim]$ hub {' '.join(command)}")
        called = [sys.executable, "-c", "from hub.cli import main; raise SystemExit(main())", *command]
        done = subprocess.run(called, check=False, capture_output=True, text=True)
        stage.out.print(done.stdout if done.returncode == 0 else done.stderr, end="", markup=False, soft_wrap=True)


def _traced(lab: Lab) -> str:
    """Record number of a student whose record changed on day 2."""
    import duckdb

    files = sorted(lab.province.changes.iterdir())[-1] / "xs-001.parquet"
    query = f"SELECT pk FROM read_parquet('{files}') WHERE op = 'U' AND LXDH IS NOT NULL ORDER BY pk LIMIT 1"
    with duckdb.connect() as con:
        return str(con.execute(query).fetchall()[0][0])


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def farewell(stage: Stage, lab: Lab, held: bool) -> None:
    """What happened in one line, and what to open next."""
    folder = _shown(lab.folder)
    lines = [
        "✔ 两级数据一致，每批签名、加密、只生效一次并有回执" if held else "✘ 有检查未通过，见上文标 ✘ 处",
        "",
        "接着可以看：",
        f"  .venv/bin/hub --node {folder}/province quarantine export --out quarantine.csv",
        f"  .venv/bin/hub --node {folder}/province conflict export --out conflict.csv",
        f"  .venv/bin/hub --node {folder}/ministry batch ls",
        "  .venv/bin/hub schema dictionary --out dictionary　（数据字典，浏览器打开 dictionary/index.html）",
        "  make serve　（两级控制台与 Dagster）；README.zh.md 与 deploy/runbooks/",
    ]
    stage.out.print()
    stage.out.print(Panel("\n".join(lines), border_style="green" if held else "red"))


if __name__ == "__main__":
    main()
