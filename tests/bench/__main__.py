"""`make bench`: a province over PostgreSQL and SFTP, hop by hop, beside the raw limit, pandas and dlt.

make bench                              1,000,000 students
make bench BENCH="--students 100000"    any size; add --no-dlt, --no-pandas, --no-store, --no-history to leave parts out
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.baselines import dlt_way, pandas_way, raw_limit
from tests.bench.place import DAYS, Place, child, set_up, write_sources

SHARE_PANDAS, SHARE_DLT = 0.05, 0.05


def main() -> None:
    """Runs everything once and prints the figures; a JSON copy lies beside the benchmark's files."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--students", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(".bench/run"))
    parser.add_argument("--no-pandas", action="store_true")
    parser.add_argument("--no-dlt", action="store_true")
    parser.add_argument("--no-store", action="store_true")
    parser.add_argument("--no-history", action="store_true")
    options = parser.parse_args()
    say = Console(stderr=True).print
    say(f"准备：{options.students:,} 名学生，PostgreSQL 两级，SFTP……")
    place = set_up(options.folder.resolve(), options.students)
    try:
        figures = measure(place, pandas=not options.no_pandas, dlt=not options.no_dlt, say=say)
    finally:
        place.close()
    (options.folder / "figures.json").write_text(json.dumps(figures, ensure_ascii=False, indent=1), encoding="utf-8")
    show(figures)
    if not options.no_store:
        say("正式库装载与合并（SQLite、PostgreSQL；有 ORACLE_URL 时也含 Oracle）……")
        subprocess.run([sys.executable, "-m", "tests.bench.store", "--students", str(options.students)], check=True)
    if not options.no_history:
        say("任一日期的查询（25 年的历史版本，与逐行扫描相比）……")
        subprocess.run(
            [sys.executable, "-m", "tests.bench.history", "--versions", str(10 * options.students)], check=True
        )


def measure(place: Place, *, pandas: bool, dlt: bool, say: object) -> dict[str, object]:
    """All figures of one run."""
    assert callable(say)
    say("首轮全量……")
    first = child("tests.bench.rounds", str(place.lab), DAYS[1], "")
    say("原始极限（COPY 与 sftp）……")
    raw = raw_limit(place)
    say("次日增量……")
    write_sources(place, 2)
    second = child("tests.bench.rounds", str(place.lab), DAYS[2], "")
    figures: dict[str, object] = {"students": place.students, "first": first, "second": second, "raw": raw}
    if pandas:
        say(f"pandas 基线（{SHARE_PANDAS:.0%} 的行，按比例折算）……")
        figures["pandas"] = pandas_way(place, SHARE_PANDAS)
    if dlt:
        say(f"dlt 基线（{SHARE_DLT:.0%} 的行，按比例折算）……")
        figures["dlt"] = dlt_way(place, SHARE_DLT)
    return figures


def show(figures: dict[str, object]) -> None:
    """The figures as tables: hops, raw limits, and the goals beside what was reached."""
    out = Console(file=sys.stdout, width=110)
    first, second, raw = figures["first"], figures["second"], figures["raw"]
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert isinstance(raw, dict)
    hops = Table("环节", "首轮（秒）", "次日（秒）", title=f"{figures['students']:,} 名学生，{first['rows']:,} 行")
    for step, seconds in first["hops"].items():
        hops.add_row(step, f"{seconds:.1f}", f"{second['hops'].get(step, 0):.1f}")
    hops.add_row("合计", f"{first['total']:.1f}", f"{second['total']:.1f}")
    out.print(hops)
    limits = Table("原始极限", "秒")
    for name, seconds in raw.items():
        limits.add_row(name, f"{seconds:.1f}")
    whole = sum(raw.values())
    limits.add_row("合计", f"{whole:.1f}")
    out.print(limits)
    goals = Table("指标", "目标", "实测")
    goals.add_row("首轮 / 原始极限", "≤ 4", f"{first['total'] / whole:.2f}")
    for name in ("pandas", "dlt"):
        other = figures.get(name)
        if isinstance(other, float):
            goals.add_row(
                f"{name}（{other:.0f} 秒）/ 首轮", "≥ 5" if name == "pandas" else "", f"{other / first['total']:.1f}"
            )
        elif name in figures:
            goals.add_row(name, "", "未能运行")
    goals.add_row("次日 / 首轮", "≤ 6 %", f"{second['total'] / first['total']:.1%}")
    goals.add_row("任一进程内存峰值（首轮）", "≤ 2048 MB", f"{first['peak_mb']:.0f} MB")
    out.print(goals)


if __name__ == "__main__":
    main()
