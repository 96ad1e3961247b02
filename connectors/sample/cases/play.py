"""Plays the cast day by day: on school tables once, on people block by block; and the ordinary changes of day 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from connectors.sample.cases.casting import Cast
from connectors.sample.cases.scene import STUDENT, TEACHER, Scene, Unit
from connectors.sample.cases.supplements import departments
from connectors.sample.people import phones
from connectors.sample.plan import School
from connectors.sample.table import Table
from connectors.sample.text import same

_SHEETS = 40
_UPDATED = {"XS_JBXX": ("LXDH", 10), "XS_JBSX": ("JHRLXDH", 10)}


def play_people(scene: Scene, tables: Mapping[str, Table], block: Sequence[School], cast: Cast, day: int) -> None:
    """Plants (day 1) or moves on (day 2) every case of the block's people, the tiny schools' people included."""
    students, teachers = tuple(tables[n] for n in STUDENT), tuple(tables[n] for n in TEACHER)
    if day == 2:
        _ordinary(scene, tables, cast)
    for school in block:
        for parts, rows in ((cast.students, students), (cast.teachers, teachers)):
            for part in parts.get(school.index, ()):
                play = part.kind.first if day == 1 else part.kind.second
                if play:
                    play(Unit(scene, rows, part.owner, part.number, school))
        if school.role != "main":
            _tiny(scene, school, students, teachers, day)
        elif day == 1:
            _buildings(scene, school, tables["JZG_JBXX"], bool(cast.students))


def _buildings(scene: Scene, school: School, teachers: Table, dirt: bool) -> None:
    """What a school itself must supply: the first ones have their departments, none its campuses yet (WZ09)."""
    if school.index < _SHEETS:
        departments(scene, school, teachers, dirt)
    for missing in ("xq",) if school.index < _SHEETS else ("jg", "xq"):
        scene.answers.find("WZ09", "xx", missing, {"XXDM": school.code})


def _tiny(scene: Scene, school: School, students: tuple[Table, ...], teachers: tuple[Table, ...], day: int) -> None:
    """The people of a school that is itself a case wait with it; on day 2 the registered ones enter."""
    if day == 2 and school.role != "registered":
        return
    units = [Unit(scene, students, school.first + n, n, school) for n in range(school.size)]
    units += [Unit(scene, teachers, school.first_teacher + n, n, school) for n in range(school.teachers)]
    for unit in units:
        for table, position in unit.rows():
            row = table.row(position)
            table.settle(position, day == 2)
            if day == 2:
                scene.record("released_with_school", table, row, {"outcome": "golden", "change": "insert"}, day=2)
            else:
                rule = "GL01" if "XXDM" in row else None
                expected = {"outcome": "held", "ruling": 1} | ({"rule": rule} if rule else {})
                scene.record(f"held_school_{school.role}", table, row, expected)


def _ordinary(scene: Scene, tables: Mapping[str, Table], cast: Cast) -> None:
    """About one student in a hundred changes a phone number; they carry no case."""
    dice, last = scene.world.dice, scene.world.plan.schools[scene.world.plan.main - 1]
    for name, (column, permille) in _UPDATED.items():
        table = tables[name]
        mask = dice.chance(f"day2.{name}", table.owner, permille) & ~np.isin(table.owner, cast.plain_students)
        mask &= table.owner < last.first + last.size
        at = table.owner[mask]
        table.columns[column][mask] = phones(dice, f"day2.{name}", at)
        table.columns["GXSJ"][mask] = same(f"{scene.second.isoformat()} 01:30:00", len(at))
        scene.updates[str(table.source.entity)] += len(at)
