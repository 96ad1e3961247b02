"""Writes a synthetic province: sources, supplements, site dictionaries and answers, block by block."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from connectors.sample.answers import Answers
from connectors.sample.cases import Cast, Scene, cast_cases, play_people, play_schools
from connectors.sample.dependents import dependent_tables
from connectors.sample.dice import Dice
from connectors.sample.facts import SITE, load_facts
from connectors.sample.plan import School, make_plan
from connectors.sample.schools import school_tables
from connectors.sample.sheets import Sheets
from connectors.sample.sinks import Sink, check_url, open_sink
from connectors.sample.students import World, make_block, student_tables
from connectors.sample.table import Table
from connectors.sample.teachers import make_staff, teacher_tables

TODAY = date(2026, 11, 23)
Progress = Callable[[int, int], None]


def generate(
    out: Path,
    *,
    province: str,
    students: int,
    seed: int,
    day: int = 1,
    dirt: bool = True,
    urls: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    today: date = TODAY,
) -> dict[str, Any]:
    """Writes everything under `out` and returns the answers (also `answers.json`).

    `day` 1 or 2; `today` is the date of day 1; `urls` maps S1, S2, S3 to databases that replace the SQLite files;
    `progress(done, all)` counts students. The same arguments give the same rows on any machine. Raises `UsageError`
    E1601 (province), E1602 (number of students), E1603 (kind of database).
    """
    for system, url in (urls or {}).items():
        check_url(system, url)
    facts, dice = load_facts(province), Dice(seed)
    world = World(facts, dice, make_plan(facts, dice, province, students, today, dirt))
    out.mkdir(parents=True, exist_ok=True)
    scene = Scene(world, Answers(), Sheets(world), day, today + timedelta(days=1))
    writer = _Writer(world, scene, cast_cases(world) if dirt else Cast({}, {}), out, urls or {})
    try:
        writer.schools()
        for block in world.plan.blocks():
            writer.people(block)
            if progress:
                progress(block[-1].first + block[-1].size, world.plan.students)
        writer.finish()
    except BaseException:
        writer.discard()
        raise
    answers = _answers(world, scene, writer, students=students, seed=seed, dirt=dirt)
    _dictionaries(out / "site_dictionaries.csv")
    with (out / "answers.json").open("w", encoding="utf-8") as file:
        json.dump(answers, file, ensure_ascii=False, indent=1)
    return answers


class _Writer:
    """Plays the planted cases on each table, counts golden rows day by day, writes what the day's sources hold."""

    def __init__(self, world: World, scene: Scene, cast: Cast, out: Path, urls: Mapping[str, str]) -> None:
        systems = world.facts.catalog.systems
        self.world, self.scene, self.cast, self.out = world, scene, cast, out
        self.sinks: dict[str, Sink] = {}
        try:
            for name, system in systems.items():
                self.sinks[name] = open_sink(system, out, urls.get(name))
        except BaseException:
            self.discard()
            raise
        self.rows: Counter[str] = Counter({t.name: 0 for t in world.facts.catalog.source_tables()})
        self.golden: tuple[Counter[str], Counter[str]] = (Counter(), Counter())

    def schools(self) -> None:
        tables = school_tables(self.world)
        for day in range(1, self.scene.day + 1):
            play_schools(self.scene, tables, day, self.cast)
            self._count(tables, day)
        self._write(tables)

    def people(self, block: tuple[School, ...]) -> None:
        world, cast = self.world, self.cast
        students = make_block(world, block, cast.plain_students)
        tables = student_tables(world, students) | dependent_tables(world, students)
        tables |= teacher_tables(world, make_staff(world, block, cast.plain_teachers))
        for day in range(1, self.scene.day + 1):
            play_people(self.scene, tables, block, cast, day)
            self._count(tables, day)
        self._write(tables)

    def _count(self, tables: Mapping[str, Table], day: int) -> None:
        for table in tables.values():
            if table.source.entity:
                self.golden[day - 1][table.source.entity] += table.golden

    def _write(self, tables: Mapping[str, Table]) -> None:
        for table in tables.values():
            self.rows[table.source.name] += self.sinks[table.source.system].write(table)

    def discard(self) -> None:
        for sink in self.sinks.values():
            sink.discard()

    def finish(self) -> None:
        for sink in self.sinks.values():
            sink.close()
        shutil.rmtree(self.out / "templates", ignore_errors=True)
        self.scene.sheets.write(self.out / "templates")
        for day in range(self.scene.day):
            self.golden[day].update(self.scene.sheets.golden)


def _answers(world: World, scene: Scene, writer: _Writer, **arguments: Any) -> dict[str, Any]:
    entities = world.facts.catalog.entities
    days = {f"day{n}": {e: writer.golden[n - 1].get(e, 0) for e in entities} for n in range(1, scene.day + 1)}
    return {
        "format": 1,
        "arguments": {"province": world.plan.province, "day": scene.day, **arguments},
        "today": {"day1": world.plan.today.isoformat(), "day2": scene.second.isoformat()},
        "totals": {
            "sources": dict(writer.rows),
            "templates": dict(scene.sheets.rows),
            "golden": days,
            "ordinary_updates": dict(scene.updates),
        },
        "kinds": dict(sorted(Counter(c["kind"] for c in scene.answers.cases).items())),
        "findings": scene.answers.findings,
        "cases": scene.answers.cases,
    }


def _dictionaries(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source_field", "source_label", "target_table", "target_code", "status"])
        for table, (name, labels) in SITE.items():
            writer.writerows([name, label, table, code, "LOCAL"] for label, code in labels.items())
