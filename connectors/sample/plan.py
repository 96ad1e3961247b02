"""The province before any person exists: schools, majors, classes, who is numbered where.

Small enough to stand in memory for two million students (about 1,300 schools, 45,000 classes); people are generated
from it block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np

from connectors.sample.dice import Dice
from connectors.sample.facts import County, Facts, Major
from hub.errors import UsageError

CLASS_SIZE = 45
SCHOOL_SIZE = 1500
STUDENTS_PER_TEACHER = 18.9
# With cases, so that each case of a school row has a row of its own kind.
LEAST_SCHOOLS = 3
# Years before the newest grade, class by class: three grades in school and one in ten classes graduated.
GRADES = (0, 1, 2, 0, 1, 2, 0, 1, 2, 3)
GRADUATED = 3
TINY_SIZE = 5
# Schools that are themselves a case, with a handful of people: they must never touch an ordinary school.
TINY_ROLES = ("unknown", "registered", "wz01", "yx05", "yx07", "yx08", "gl06")
# fmt: off
_TRADES = (
    "信息工程", "机电", "财经", "卫生", "旅游", "交通", "建筑", "农业", "商贸", "艺术",
    "轻工", "化工", "铁路", "航空", "护理", "电子", "汽车", "纺织", "外语", "体育",
)
# fmt: on
_SERIALS = ("", "第二", "第三", "第四", "第五", "第六", "第七", "第八", "第九")


@dataclass(frozen=True)
class SchoolMajor:
    number: str
    major: Major


@dataclass(frozen=True)
class Class:
    number: str
    name: str
    grade: int
    major: SchoolMajor
    graduated: bool


@dataclass(frozen=True)
class School:
    """A school and the global numbers of its first student and teacher. `ordinal` counts schools of the same county."""

    index: int
    code: str
    name: str
    county: County
    county_index: int
    ordinal: int
    role: str
    kind: str
    size: int
    teachers: int
    first: int
    first_teacher: int
    majors: tuple[SchoolMajor, ...]
    classes: tuple[Class, ...]

    @property
    def old_code(self) -> str:
        """The code before the 2013 renumbering; category 30 does not exist, so it never equals a present code."""
        return f"30{self.code[2:4]}{self.index + 1:06d}"


@dataclass(frozen=True)
class Plan:
    province: str
    today: date
    newest: int
    schools: tuple[School, ...]
    main: int
    per_kind: int

    @property
    def students(self) -> int:
        return sum(s.size for s in self.schools)

    def blocks(self, people: int = 24_000) -> Iterator[tuple[School, ...]]:
        """Consecutive schools of about `people` students: the unit that stands in memory."""
        block: list[School] = []
        for school in self.schools:
            block.append(school)
            if sum(s.size for s in block) >= people:
                yield tuple(block)
                block = []
        if block:
            yield tuple(block)


def make_plan(facts: Facts, dice: Dice, province: str, students: int, today: date, dirt: bool) -> Plan:
    """Raises `UsageError` E1602 when the number of students is too small or too large for the province."""
    low, high = (3_000 if dirt else 100), min(5_000_000, 30_000 * len(facts.counties))
    if not low <= students <= high:
        raise UsageError("E1602", f"学生数须在 {low} 与 {high} 之间", where="--students", step="调整学生数后重试")
    per_kind = max(3, students // 50_000)
    tiny = len(TINY_ROLES) * min(per_kind, 8) if dirt else 0
    newest = today.year if today.month >= 9 else today.year - 1
    main = max(LEAST_SCHOOLS if dirt else 1, round((students - tiny * TINY_SIZE) / SCHOOL_SIZE))
    sizes = [*_sizes(dice, students - tiny * TINY_SIZE, main), *([TINY_SIZE] * tiny)]
    schools: list[School] = []
    names: set[str] = set()
    counts = [0] * len(facts.counties)
    first = first_teacher = 0
    for index, size in enumerate(sizes):
        role = "main" if index < main else TINY_ROLES[(index - main) % len(TINY_ROLES)]
        place = dice.one("school.county", index, len(facts.counties))
        place = min(range(len(counts)), key=lambda i, p=place: (counts[i] // 2, (i - p) % len(counts)))  # type: ignore[misc]
        school = _school(facts, dice, province, newest, names, index, size, role, place, counts[place])
        schools.append(_placed(school, first, first_teacher))
        counts[place] += 1
        first += size
        first_teacher += school.teachers
    return Plan(province, today, newest, tuple(schools), main, per_kind)


def _placed(school: School, first: int, first_teacher: int) -> School:
    return School(**{**school.__dict__, "first": first, "first_teacher": first_teacher})


def _sizes(dice: Dice, total: int, count: int) -> list[int]:
    weights = 700 + dice.below("school.size", np.arange(count), 600)
    edges = np.concatenate([[0], np.cumsum(weights)]) * total // int(weights.sum())
    return [int(n) for n in np.diff(edges)]


def _school(
    facts: Facts,
    dice: Dice,
    province: str,
    newest: int,
    names: set[str],
    index: int,
    size: int,
    role: str,
    place: int,
    ordinal: int,
) -> School:
    county = facts.counties[place]
    hosted = role == "main" and index % 20 == 19
    kind = "368" if hosted else ("361", "362", "365", "361", "364")[dice.one("school.kind", index, 5)]
    teachers = 1 if role != "main" else max(2, round(size / STUDENTS_PER_TEACHER))
    majors = _majors(facts, dice, index, 1 if role != "main" else max(3, min(12, size // 130)))
    classes = _classes(majors, newest, size, role != "main")
    name = _name(names, county, index)
    code = _code(province, index, role, hosted)
    return School(index, code, name, county, place, ordinal, role, kind, size, teachers, 0, 0, majors, classes)


def _code(province: str, index: int, role: str, hosted: bool) -> str:
    """36 + province + 6 digits; a hosted class bears its host's code; roles yx07 and yx08 bear a wrong one."""
    serial = f"{index * 7 + 101:06d}"
    if role == "yx07":
        return ("98" + province + serial, "3600" + serial, "36" + province + serial[:-1] + "A")[index % 3]
    return ("41" if hosted or role == "yx08" else "36") + province + serial


def _name(taken: set[str], county: County, index: int) -> str:
    """Synthetic, unique in the province: the county's centre first, then the city's trade schools."""
    tries = [f"{county.name}职业技术教育中心"]
    tries += [
        f"{county.city}{serial}{_TRADES[(index + i) % len(_TRADES)]}学校"
        for serial in _SERIALS
        for i in range(len(_TRADES))
    ]
    tries += [f"{county.city}{county.name}职业学校{n}" for n in range(1, 2000)]
    name = next(t for t in tries if t not in taken)
    taken.add(name)
    return name


def _majors(facts: Facts, dice: Dice, index: int, count: int) -> tuple[SchoolMajor, ...]:
    """Distinct names; about one in five still of the 2010 catalogue."""
    new, old = facts.majors_new, facts.majors_old
    start, start_old = dice.one("school.major", index, len(new)), dice.one("school.old", index, len(old))
    chosen = [old[(start_old + i) % len(old)] if i % 5 == 4 else new[(start + i * 7) % len(new)] for i in range(count)]
    unique = {m.name: m for m in chosen}
    return tuple(SchoolMajor(f"{m.code}-{n:02d}", m) for n, m in enumerate(unique.values(), start=1))


def _classes(majors: tuple[SchoolMajor, ...], newest: int, size: int, tiny: bool) -> tuple[Class, ...]:
    classes = []
    for n in range(-(-size // CLASS_SIZE)):
        back = 1 if tiny else GRADES[n % len(GRADES)]
        grade, major = newest - back, majors[(n * 3 + n // len(GRADES)) % len(majors)]
        name = f"{grade}级{major.major.name}{n + 1}班"
        classes.append(Class(f"{grade}{n + 1:03d}", name, grade, major, back == GRADUATED))
    return tuple(classes)
