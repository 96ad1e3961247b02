"""The stage on which cases are planted: one person's rows across the tables of a block, and how a case is recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from connectors.sample.answers import Answers
from connectors.sample.plan import School
from connectors.sample.sheets import Sheets
from connectors.sample.students import World
from connectors.sample.table import Row, Table

STUDENT = ("XS_JBXX", "XS_JBSX", "XS_XJXX", "XS_XJYD", "XS_JZXX", "XS_JTCY", "XS_BYXX")
TEACHER = ("JZG_JBXX", "JZG_GZXX")


@dataclass
class Scene:
    """`day`: the last day played; `second`: the date of day 2; `done`, `kept`: the case and the right row of a fault
    that day 2 corrects, by (kind, person); `updates`: ordinary changes of day 2 per entity."""

    world: World
    answers: Answers
    sheets: Sheets
    day: int
    second: date
    done: dict[tuple[str, int], str] = field(default_factory=dict)
    kept: dict[tuple[str, int], Row] = field(default_factory=dict)
    updates: Counter[str] = field(default_factory=Counter)

    def later(self, number: int) -> str:
        """An update time of day 2."""
        second = self.world.dice.one("day2.second", number, 6 * 3600)
        return f"{self.second.isoformat()} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"

    def record(
        self,
        kind: str,
        table: Table,
        row: Mapping[str, str | None],
        expected: Mapping[str, Any],
        *,
        day: int = 1,
        rows: int = 1,
        because: str | None = None,
    ) -> str:
        """Records a case of a source row; its key is the row's natural key in `row`."""
        entity = self.world.facts.catalog.entities[str(table.source.entity)]
        key = {k: row[k] for k in entity.key}
        return self.answers.add(
            kind, entity.name, table.source.name, key, expected, day=day, rows=rows, because=because
        )

    def note(
        self,
        kind: str,
        table: Table,
        row: Mapping[str, str | None],
        expected: Mapping[str, Any],
        *,
        field: str | None = None,
    ) -> str:
        """Records a case of day 1 that stands with a finding, and the finding; `field`: where it names another one."""
        entity = self.world.facts.catalog.entities[str(table.source.entity)]
        key = {k: row[k] for k in entity.key}
        self.answers.find(str(expected["rule"]), entity.name, field or str(expected["field"]), key)
        return self.record(kind, table, row, expected)


@dataclass(frozen=True)
class Unit:
    """A student or teacher and the tables their rows stand in; the first table holds the main record."""

    scene: Scene
    tables: tuple[Table, ...]
    owner: int
    number: int
    school: School

    def __getitem__(self, name: str) -> Table:
        return next(t for t in self.tables if t.source.table == name)

    @property
    def main(self) -> Table:
        return self.tables[0]

    @property
    def partner(self) -> Unit:
        """The next person of the same class or school, cast together with this one."""
        return Unit(self.scene, self.tables, self.owner + 1, self.number, self.school)

    def row(self, name: str) -> Row:
        """The person's first row in a table."""
        table = self[name]
        return table.row(table.at(self.owner)[0])

    def rows(self) -> Iterator[tuple[Table, int]]:
        """Every generated row of the person that the source still holds."""
        for table in self.tables:
            for position in table.at(self.owner):
                if table.keep[position]:
                    yield table, position

    def change(self, name: str, **values: str | None) -> None:
        """Changes the person's first row in a table."""
        table = self[name]
        table.change(table.at(self.owner)[0], values)

    def change_all(self, day: int = 1, **values: str | None) -> None:
        """Changes every row that has the columns; on day 2 the update time moves along."""
        for table, position in self.rows():
            table.change(position, {n: v for n, v in values.items() if n in table.columns})
            if day == 2:
                table.change(position, {"GXSJ": self.scene.later(self.owner)})

    def settle(self, name: str, gold: bool) -> None:
        table = self[name]
        table.settle(table.at(self.owner)[0], gold)

    def hold(self, because: str, day: int = 1) -> None:
        """Everything but the main record waits for it (ruling 1)."""
        for table, position in self.rows():
            if table is not self.main:
                table.settle(position, False)
                expected = {"outcome": "held", "ruling": 1}
                self.scene.record("held_dependent", table, table.row(position), expected, day=day, because=because)

    def release(self, because: str, but: str = "") -> None:
        """On day 2 everything that waited enters with the main record."""
        for table, position in self.rows():
            table.settle(position, True)
            if table is not self.main and table.source.table != but:
                row = table.row(position)
                self.scene.record(
                    "released_dependent", table, row, {"outcome": "golden", "change": "insert"}, day=2, because=because
                )

    def refuse(self, kind: str, rule: str | None, name: str | None, **more: Any) -> str:
        """The main record is quarantined, the rest held; returns the case id."""
        position = self.main.at(self.owner)[0]
        self.main.settle(position, False)
        expected = {"outcome": "quarantine", "rule": rule, "field": name, **more}
        case = self.scene.record(kind, self.main, self.main.row(position), expected)
        self.hold(case)
        return case


Play = Callable[[Unit], object]
