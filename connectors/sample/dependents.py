"""The student tables with none or several rows per student: XS_JTCY, XS_JZXX, XS_XJYD, XS_BYXX."""

from __future__ import annotations

from datetime import date

import numpy as np

from connectors.sample.dice import Bools, Ints, Texts
from connectors.sample.people import cards, full_names, phones, surnames
from connectors.sample.students import (
    EXPELLED,
    LEFT,
    NEW_CLASS,
    NEW_MAJOR,
    RETURNED,
    SUSPENDED,
    TRANSFERRED,
    Block,
    World,
    updated,
)
from connectors.sample.table import Table
from connectors.sample.text import dates, digits, id_numbers, letters, same, take, text, texts, where


def dependent_tables(world: World, block: Block) -> dict[str, Table]:
    tables = {
        "XS_JTCY": _family(world, block),
        "XS_JZXX": _aid(world, block),
        "XS_XJYD": _changes(world, block),
        "XS_BYXX": _graduations(world, block),
    }
    system = {t.table: t for t in world.facts.catalog.systems["S1"].tables}
    return {n: Table(system[n], c, owner) for n, (c, owner) in tables.items()}


def _family(world: World, b: Block) -> tuple[dict[str, Texts], Ints]:
    """Two members for plain students; 0 to 2 for the others. Odd positions of the doubled frame are mothers."""
    dice, names = world.dice, world.facts.names
    count = dice.below("jt.count", b.at, 50)
    members = np.where(b.plain, 2, np.where(count == 0, 0, np.where(count < 14, 1, 2)))
    index = np.repeat(np.arange(len(b.at)), members)
    second = np.concatenate([[False], index[1:] == index[:-1]]) if len(index) else np.zeros(0, dtype=bool)
    at = b.at[index] * 2 + second
    surname = np.where(second, surnames(dice, "jt", names, at), b.surname[index])
    name, _ = full_names(dice, "jt", names, at, surname, ~second)
    age = 22 + dice.below("jt.age", at, 14)
    year = b.birth[index] // 10_000 - age
    month, day = 1 + dice.below("jt.month", at, 12), 1 + dice.below("jt.day", at, 28)
    county = np.array([int(c.born) for c in world.facts.counties], dtype=np.int64)[b.home[index]]
    serial = dice.below("jt.serial", at, 500) * 2 + ~second
    card = dice.chance("jt.card", at, 550)
    numbers = text(id_numbers(county, year * 10_000 + month * 100 + day, serial))
    return {
        "GRBSM": b.number[index],
        "CYXH": where(second, "2", "1"),
        "CYXM": name,
        "GXM": where(second, "52", "51"),
        "SFJHR": same("1", len(at)),
        "LXDH": phones(dice, "jt", at),
        "CSNY": text(digits(year, 4), digits(month, 2)),
        "SFZJLXM": where(card, "1", None),
        "SFZJH": where(card, numbers, None),
        "MZM": take(["01", None], dice.below("jt.nation", at, 2)),
        "ZZMMM": take(["13", "13", "13", "01", None], dice.below("jt.party", at, 5)),
        "JKZKM": take(["1", None], dice.below("jt.health", at, 2)),
        "CYGZDW": take([None, "务农", "个体经营", "本县企业"], dice.below("jt.work", at, 4)),
        "SJZT": same("1", len(at)),
        "GXSJ": updated(world, "jt", at),
    }, b.at[index]


def _aid(world: World, b: Block) -> tuple[dict[str, Texts], Ints]:
    """One grant of the current term for about half of those in school (YZ17: the stipend for the first two years)."""
    dice = world.dice
    in_school = ~b.graduated & ((b.fate >= EXPELLED) | ((b.fate >= SUSPENDED) & (b.fate < RETURNED)))
    index = np.flatnonzero(in_school & (b.plain | dice.chance("jz.has", b.at, 560)))
    at, newest = b.at[index], world.plan.newest
    stipend = (b.grade[index] >= newest - 1) & dice.chance("jz.stipend", at, 500)
    stipend &= b.number[index].astype("U1") != "L"  # for formal students (YZ17)
    return {
        "GRBSM": b.number[index],
        "XN": same(f"{newest}-{newest + 1}", len(at)),
        "XQM": same("1", len(at)),
        "JZLBM": where(stipend, "1", "2"),
        "JZMC": where(stipend, "国家助学金", "中等职业学校免学费"),
        "JE": where(stipend, "1000.00", "850.00"),
        "SFNY": same(f"{newest}09", len(at)),
        "JFLYM": take(["1", "2"], dice.below("jz.money", at, 2)),
        "YHKH": where(dice.chance("jz.card", at, 800), cards(dice, "jz", at), None),
        "SJZT": same("1", len(at)),
        "GXSJ": updated(world, "jz", at),
    }, at


def _between(b: Block, low: int, high: int) -> Bools:
    result: Bools = ~b.graduated & (b.fate >= low) & (b.fate < high)
    return result


def _changes(world: World, b: Block) -> tuple[dict[str, Texts], Ints]:
    """Approved changes that agree with the state (YZ10); a transfer has both sides within a week (GL07)."""
    moved = _between(b, EXPELLED, TRANSFERRED)
    parts = [
        (_between(b, 0, SUSPENDED), "11", "19", 40),
        (_between(b, SUSPENDED, RETURNED), "11", "10", 10),
        (_between(b, SUSPENDED, RETURNED), "12", "99", 50),
        (_between(b, RETURNED, LEFT), "31", "21", 45),
        (_between(b, LEFT, EXPELLED), "42", "23", 45),
        (moved, "21", "99", 30),
        (moved, "22", "99", 35),
        (_between(b, TRANSFERRED, NEW_MAJOR), "23", "99", 30),
        (_between(b, NEW_MAJOR, NEW_CLASS), "29", "99", 30),
    ]
    index = np.concatenate([np.flatnonzero(p[0]) for p in parts])
    sizes = [int(p[0].sum()) for p in parts]
    kind = texts([p[1] for p in parts])[np.repeat(np.arange(len(parts)), sizes)]
    reason = texts([p[2] for p in parts])[np.repeat(np.arange(len(parts)), sizes)]
    offset = np.repeat([p[3] for p in parts], sizes)
    order = np.lexsort((offset, index))
    index, kind, reason, offset = index[order], kind[order], reason[order], offset[order]
    return _change_columns(world, b, index, kind, reason, offset), b.at[index]


def _change_columns(world: World, b: Block, index: Ints, kind: Texts, reason: Texts, offset: Ints) -> dict[str, Texts]:
    """`offset`: days after 1 September of the newest school year on which the change took effect."""
    at, newest, schools = b.at[index], world.plan.newest, world.plan.schools
    days = dates(date(newest, 9, 1), 90)
    classes = [c for s in b.schools for c in s.classes]
    codes: list[str | None] = [s.code for s in schools[: world.plan.main]]
    own = b.by_school([s.code for s in b.schools])[index]
    other = take(codes, (at + 1) % len(codes))
    target = where(other == own, take(codes, (at + 2) % len(codes)), other)
    last, first = [c.major.major.code for c in classes], [s.majors[0].major.code for s in b.schools]
    old_major, new_major = b.by_school([*first])[index], b.by_class([*last])[index]
    out, into = kind == "21", kind == "22"
    return {
        "GRBSM": b.number[index],
        "YDLBM": kind,
        "YDRQ": text(digits(days[offset], 8)),
        "YDYYM": reason,
        "SPRQ": text(digits(days[offset + 6], 8)),
        "SPWH": text(letters("XJ", len(at)), digits(at, 8)),
        "YDLYXXM": where(into, target, None),
        "YDQXXXM": where(out, own, None),
        "YZYDM": where(kind == "23", old_major, None),
        "XZYDM": where(kind == "23", new_major, None),
        "YBH": where(kind == "29", b.by_school([s.classes[0].number for s in b.schools])[index], None),
        "XBH": where(kind == "29", b.by_class([c.number for c in classes])[index], None),
        "SPZTM": same("2", len(at)),
        "SJZT": same("1", len(at)),
        "GXSJ": updated(world, "yd", at),
    }


def _graduations(world: World, b: Block) -> tuple[dict[str, Texts], Ints]:
    index = np.flatnonzero(b.graduated)
    at, year = b.at[index], b.grade[index] + 3
    return {
        "GRBSM": b.number[index],
        "JSXYNY": text(digits(year, 4), letters("07", len(at))),
        "JSXYM": same("1", len(at)),
        "BYZSH": text(digits(year, 4), letters(world.plan.province, len(at)), digits(at, 10)),
        "BYQXM": take(["20", "12", "11", None], world.dice.below("by.next", at, 4)),
        "SJZT": same("1", len(at)),
        "GXSJ": updated(world, "by", at),
    }, at
