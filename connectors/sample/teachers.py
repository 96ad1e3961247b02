"""The teacher system of a block of schools: JZG_JBXX and JZG_GZXX, labels instead of codes, dates with dashes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from connectors.sample.dice import Bools, Ints, Texts
from connectors.sample.people import full_names, surnames
from connectors.sample.plan import School
from connectors.sample.students import World, updated
from connectors.sample.table import Table
from connectors.sample.text import Bytes, day_numbers, digits, id_numbers, letters, same, take, text, texts, where

_SLOTS = 9000 * 400
_EPOCH = date(1973, 1, 1).toordinal() - date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Staff:
    """Teachers of consecutive schools, one array element each."""

    schools: tuple[School, ...]
    at: Ints
    school: Ints
    within: Ints
    male: Bools
    birth: Ints
    id_body: Bytes
    plain: Bools

    def by_school(self, values: list[str | None]) -> Texts:
        return texts(values)[self.school]


def make_staff(world: World, schools: tuple[School, ...], plain: Ints) -> Staff:
    """Born 1973–1997; the ID number's slot (day, serial) is a bijection over the teachers of a county."""
    dice = world.dice
    sizes = [s.teachers for s in schools]
    at = np.arange(schools[0].first_teacher, schools[-1].first_teacher + schools[-1].teachers, dtype=np.int64)
    school = np.repeat(np.arange(len(schools)), sizes)
    within = at - np.repeat([s.first_teacher for s in schools], sizes)
    ordinal = np.array([s.ordinal for s in schools])[school]
    slot = ((ordinal * 400 + within) * 1_299_709 + 777) % _SLOTS
    birth = day_numbers(_EPOCH + slot % 9000)
    male = dice.below("jzg.sex", at, 2) == 0
    county = np.array([int(s.county.born) for s in schools], dtype=np.int64)[school]
    body = id_numbers(county, birth, slot // 9000 * 2 + male)
    return Staff(schools, at, school, within, male, birth, body, np.isin(at, plain))


def teacher_tables(world: World, staff: Staff) -> dict[str, Table]:
    system = {t.table: t for t in world.facts.catalog.systems["S2"].tables}
    basic = _basic(world, staff)
    work = _work(world, staff, basic["GH"])
    return {
        "JZG_JBXX": Table(system["JZG_JBXX"], basic, staff.at),
        "JZG_GZXX": Table(system["JZG_GZXX"], work, staff.at),
    }


def _pick(world: World, stream: str, at: Ints, table: str, codes: str, none: int = 0) -> Texts:
    """The label of one of the codes per row; `none`: so many empty choices beside them."""
    choices = [*(world.facts.label(table, c) for c in codes.split()), *([None] * none)]
    return take(choices, world.dice.below(f"{stream}.{table}", at, len(choices)))


def _months(years: Ints, months: Ints) -> Texts:
    return text(digits(years, 4), letters("-", len(years)), digits(months, 2))


def _basic(world: World, s: Staff) -> dict[str, Texts]:
    dice, at, facts = world.dice, s.at, world.facts
    name, sound = full_names(dice, "jzg", facts.names, at, surnames(dice, "jzg", facts.names, at), s.male)
    dash = letters("-", len(at))
    born = text(digits(s.birth // 10_000, 4), dash, digits(s.birth // 100 % 100, 2), dash, digits(s.birth % 100, 2))
    return {
        "XXDM": s.by_school([x.code for x in s.schools]),
        "XM": name,
        "XMPY": sound,
        "XBM": where(s.male, "男", "女"),
        "CSRQ": born,
        "SFZJLXM": same(facts.label("SFZJLX", "1"), len(at)),
        "SFZJH": text(s.id_body),
        "GJDQM": same(facts.label("GJDQ", "CHN"), len(at)),
        "MZM": _pick(world, "jzg", at, "MZ", "01 " * 14 + "11 03"),
        "ZZMMM": _pick(world, "jzg", at, "ZZMM", "13 13 01 03 08"),
        "HYZKM": _pick(world, "jzg", at, "HYZK", "20 20 20 10 40"),
        "JKZKM": _pick(world, "jzg", at, "JKZK", "1 " * 9 + "2"),
        "JG": s.by_school([x.county.city for x in s.schools]),
        "CSDXZQHM": s.by_school([x.county.code for x in s.schools]),
        **_employment(world, s),
        "XXMC": s.by_school([x.name for x in s.schools]),
        "SJZT": same("1", len(at)),
        "GXSJ": updated(world, "jzg", at),
    }


def _employment(world: World, s: Staff) -> dict[str, Texts]:
    """Number, working life and contract; nobody began before 22 or came before beginning (YZ11)."""
    dice, at, facts = world.dice, s.at, world.facts
    began = s.birth // 10_000 + 22 + dice.below("jzg.began", at, 3)
    came = np.minimum(began + dice.below("jzg.came", at, 12), world.plan.newest)
    temporary = dice.chance("jzg.temporary", at, 120)
    left = dice.chance("jzg.left", at, 15) & ~s.plain

    def yes(stream: str, permille: int) -> Texts:
        return where(dice.chance(f"jzg.{stream}", at, permille), "是", "否")

    return {
        "GH": text(letters("T", len(at)), digits(came, 4), digits(s.within + 1, 4)),
        "CJGZNY": _months(began, same_int(7, at)),
        "LXNY": _months(came, same_int(8, at)),
        "CJNY": where(dice.chance("jzg.taught", at, 800), _months(began, same_int(9, at)), None),
        "JZGLYM": _pick(world, "jzg", at, "JZGLY", "11 12 13 31 32"),
        "JZGLBM": _pick(world, "jzg", at, "JZGLB", "11 " * 8 + "12 13"),
        "SFZB": where(temporary, "否", "是"),
        "YRXSM": where(temporary, "聘用", "在编"),
        "QDHTQKM": take(["已签"] * 9 + ["未签"], dice.below("jzg.contract", at, 10)),
        "XXJSYYNLM": _pick(world, "jzg", at, "LOCAL_XXJSYYNL", "1 2 2 3"),
        "SFTJJS": yes("special", 4),
        "SFSSXJS": yes("double", 300),
        "SFJBZYJNDJZS": yes("skill", 420),
        "QYGZSC": _pick(world, "jzg", at, "LOCAL_QYGZSC", "1 2 3"),
        "DQZTM": where(left, facts.label("JZGDQZT", "05"), facts.label("JZGDQZT", "11")),
    }


def same_int(value: int, at: Ints) -> Ints:
    return np.full(len(at), value, dtype=np.int64)


def _work(world: World, s: Staff, number: Texts) -> dict[str, Texts]:
    at = s.at

    def pick(table: str, codes: str, none: int = 0) -> Texts:
        return _pick(world, "gz", at, table, codes, none)

    return {
        "XXDM": s.by_school([x.code for x in s.schools]),
        "GH": number,
        "BZLBM": pick("BZLB", "10 10 10 10 20 30"),
        "GWLBM": pick("GWLB", "1 2 3"),
        "GWZYM": pick("GWZY", "10 10 20 21 23", 1),
        "ZYJSZWM": pick("ZYJSZW", "022 023 023 024 025 043", 1),
        "ZGXLM": pick("XL", "21 21 21 14 31"),
        "ZGXWM": pick("XW", "408 407 404 308", 1),
        "RKZKM": pick("RKZK", "21 22 23", 1),
        "RKKCLBM": pick("RKKCLB", "11 12 01", 1),
        "SFJZJS": same("否", len(at)),
        "GWQSNY": where(world.dice.chance("gz.since", at, 500), _months(same_int(2024, at), same_int(9, at)), None),
        "SJZT": same("1", len(at)),
        "GXSJ": updated(world, "gz", at),
    }
