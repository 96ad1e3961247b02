"""The three main student tables of a block of schools: XS_JBXX, XS_JBSX, XS_XJXX, one row each per student.

Every row generated here passes every rule; `plain` students (those a case is planted on) are kept ordinary: in
school, with an ID card and a G number, admitted on their own, without changes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from connectors.sample.dice import Bools, Dice, Ints, Texts
from connectors.sample.facts import Facts
from connectors.sample.people import full_names, mails, phones, places, surnames
from connectors.sample.plan import CLASS_SIZE, Plan, School
from connectors.sample.table import Table
from connectors.sample.text import Bytes, dates, digits, id_numbers, letters, same, stamps, take, text, texts, where

# Ordinary states per thousand students in school: (upper bound of the draw, state, last change or none).
SUSPENDED, RETURNED, LEFT, EXPELLED, TRANSFERRED, NEW_MAJOR, NEW_CLASS = 15, 20, 27, 29, 35, 41, 45
_OWN, _VISITORS = 365 * 400, 365 * 100
_KINDS = {"361": "33110", "362": "33200", "364": "33310", "365": "33400", "368": "33110"}


@dataclass(frozen=True)
class World:
    """What every generating function needs."""

    facts: Facts
    dice: Dice
    plan: Plan


@dataclass(frozen=True)
class Block:
    """Students of consecutive schools, one array element each. `fate` is a draw in 0..999 that decides the state."""

    schools: tuple[School, ...]
    at: Ints
    school: Ints
    klass: Ints
    within: Ints
    plain: Bools
    male: Bools
    birth: Ints
    id_body: Bytes
    home: Ints
    number: Texts
    id_type: Texts
    id_number: Texts
    surname: Ints
    grade: Ints
    graduated: Bools
    fate: Ints

    def by_school(self, values: list[str | None]) -> Texts:
        return texts(values)[self.school]

    def by_class(self, values: list[str | None]) -> Texts:
        return texts(values)[self.klass]


def make_block(world: World, schools: tuple[School, ...], plain: Ints) -> Block:
    """`plain`: global numbers of the students that carry a case, sorted."""
    dice = world.dice
    sizes = [s.size for s in schools]
    at = np.arange(schools[0].first, schools[-1].first + schools[-1].size, dtype=np.int64)
    school = np.repeat(np.arange(len(schools)), sizes)
    within = at - np.repeat([s.first for s in schools], sizes)
    starts = np.concatenate([[0], np.cumsum([len(s.classes) for s in schools])])[:-1]
    klass = starts[school] + within // CLASS_SIZE
    classes = [c for s in schools for c in s.classes]
    grade = np.array([c.grade for c in classes], dtype=np.int64)[klass]
    ordinary = ~np.isin(at, plain)
    male, birth, body, home = identities(world, schools, at, school, within, grade, ordinary)
    numbers = text(body)
    temporary = np.where(body == ord("X"), ord("0"), body).astype(np.uint8)
    draw = dice.below("xs.number", at, 1000)
    no_card = ordinary & (draw < 30)
    number = where(no_card & (draw < 10), "L" + text(temporary), where(no_card, "J" + numbers, "G" + numbers))
    return Block(
        schools, at, school, klass, within, ~ordinary, male, birth, body, home, number,
        where(no_card, "Z", "1"), where(no_card, None, numbers), surnames(dice, "xs", world.facts.names, at), grade,
        np.array([c.graduated for c in classes])[klass], np.where(ordinary, dice.below("xs.fate", at, 1000), 999),
    )  # fmt: skip


def identities(
    world: World,
    schools: tuple[School, ...],
    at: Ints,
    school: Ints,
    within: Ints,
    grade: Ints,
    ordinary: Bools,
) -> tuple[Bools, Ints, Bytes, Ints]:
    """(male, birth yyyymmdd, ID digits, home county index); no two students of a province share an ID number.

    A student of the school's own county gets a slot (day of year, serial) by a bijection over the county's students,
    one from elsewhere by a bijection over the province with serials of their own.
    """
    dice, counties = world.dice, world.facts.counties
    male = dice.below("xs.sex", at, 2) == 0
    visitor = dice.chance("xs.visitor", at, 180)
    ordinal = np.array([s.ordinal for s in schools])[school]
    own = ((ordinal * 3000 + within) * 104_729 + 12_345) % _OWN
    away_slots = _VISITORS * len(counties)
    away = (at * 7919 + 4321) % away_slots
    day = np.where(visitor, away % 365, own % 365)
    serial = np.where(visitor, 400 + away // 365 % 100, own // 365)
    home = np.where(visitor, away // _VISITORS, np.array([s.county_index for s in schools])[school])
    late = np.where(ordinary, take_int([0, 0, 0, 0, 0, 0, 0, 1, 1, 2], dice.below("xs.late", at, 10)), 0)
    years = grade - 16 - late
    base = int(years.min())
    table = np.stack([dates(date(base + y, 9, 1), 365) for y in range(int(years.max()) - base + 1)])
    birth = table[years - base, day]
    county = np.array([int(c.born) for c in counties], dtype=np.int64)[home]
    return male, birth, id_numbers(county, birth, serial * 2 + male), home


def take_int(choices: list[int], index: Ints) -> Ints:
    return np.array(choices, dtype=np.int64)[index]


def updated(world: World, stream: str, at: Ints) -> Texts:
    """Update times of the twelve weeks before the reference day; the very first row's is 06:00 on the day itself."""
    today = world.plan.today
    days = dates(today - timedelta(days=83), 84)
    day = world.dice.below(f"{stream}.day", at, 83)
    second = world.dice.below(f"{stream}.second", at, 86_400)
    first = at == 0
    return stamps(days[np.where(first, 83, day)], np.where(first, 6 * 3600, second))


def student_tables(world: World, block: Block) -> dict[str, Table]:
    system = {t.table: t for t in world.facts.catalog.systems["S1"].tables}
    columns = {"XS_JBXX": _basic(world, block), "XS_JBSX": _attributes(world, block), "XS_XJXX": _status(world, block)}
    return {n: Table(system[n], c, block.at) for n, c in columns.items()}


def _basic(world: World, b: Block) -> dict[str, Texts]:
    dice, at, counties = world.dice, b.at, texts([c.code for c in world.facts.counties])
    name, sound = full_names(dice, "xs", world.facts.names, at, b.surname, b.male)
    moved = dice.chance("xs.moved", at, 120)
    return {
        "GRBSM": b.number,
        "XXDM": b.by_school([s.code for s in b.schools]),
        "XH": text(digits(b.grade, 4), digits(b.within + 1, 5)),
        "XM": name,
        "XMPY": sound,
        "CYM": where(dice.chance("xs.former", at, 8) & ~b.plain, name + "子", None),
        "XBM": where(b.male, "1", "2"),
        "CSRQ": text(digits(b.birth, 8)),
        "SFZJLXM": b.id_type,
        "SFZJH": b.id_number,
        "GJDQM": same("CHN", len(at)),
        "GATQWM": same("00", len(at)),
        "MZM": take(["01"] * 28 + ["11", "11", "03", "02"], dice.below("xs.nation", at, 32)),
        "ZZMMM": take(["13", "13", "03"], dice.below("xs.party", at, 3)),
        "HYZKM": same("10", len(at)),
        "JKZKM": take(["1"] * 48 + ["2", "3"], dice.below("xs.health", at, 50)),
        "CSDM": counties[b.home],
        "JGDXZQHM": counties[np.where(moved, dice.below("xs.origin", at, len(counties)), b.home)],
        "LXDH": where(dice.chance("xs.nophone", at, 150) & ~b.plain, None, phones(dice, "xs", at)),
        "DZXX": where(dice.chance("xs.hasmail", at, 200), mails(dice, "xs", at), None),
        "SJZT": same("1", len(at)),
        "GXSJ": updated(world, "xs", at),
    }


def _attributes(world: World, b: Block) -> dict[str, Texts]:
    dice, at, counties = world.dice, b.at, world.facts.counties
    rural, draw = dice.chance("sx.rural", at, 680), dice.draw("sx.draw", at)
    codes = texts([c.code for c in counties])
    home_address = places(dice, "sx", at)
    cities = sorted({c.city for c in counties})
    train = ["无"] * 12 + [f"{a}-{b}" for a, b in itertools.pairwise(cities)]
    post = text(letters("0", len(at)), digits(50_000 + draw % 9000, 5))
    return {
        "GRBSM": b.number,
        "HKSZDXZQHM": codes[b.home],
        "HKSZDXXDZ": home_address,
        "SSPCS": texts([f"{c.name}公安局城关派出所" for c in counties])[b.home],
        "HKXZM": where(rural, "2", "1"),
        "XSJZDLXM": where(rural, take(["1", "1", "2"], draw % 3), take(["3", "4"], draw % 2)),
        "CHCQJ": take(train, draw // 8 % len(train)),
        "SFSQZN": where(dice.chance("sx.migrant", at, 30), "1", "0"),
        "SFJDLKPKH": where(dice.chance("sx.poor", at, 60), "1", "0"),
        "SYDXZQHM": codes[b.home],
        "BYXX": texts([f"{c.name}第{n}中学" for c in counties for n in "一二三四"])[b.home * 4 + draw // 64 % 4],
        "XSLYM": where(rural, "102", "101"),
        "ZSDXM": same("111", len(at)),
        **_admission(world, b, draw),
        "JTXDZ": where(dice.chance("sx.address", at, 700), home_address, None),
        "JTYZBM": where(dice.chance("sx.post", at, 500), post, None),
        "JTDH": where(dice.chance("sx.phone", at, 250), phones(dice, "sx.home", at), None),
        "JHRLXDH": phones(dice, "sx", at),
        "SJZT": same("1", len(at)),
        "GXSJ": updated(world, "sx", at),
    }


def _admission(world: World, b: Block, draw: Ints) -> dict[str, Texts]:
    """Examination numbers where the admission was central (WZ02), a partner school where it was joint (WZ03)."""
    dice, at, year = world.dice, b.at, digits(b.grade % 100, 2)
    exam = dice.chance("sx.exam", at, 600) & ~b.plain
    joint = dice.chance("sx.joint", at, 25) & ~b.plain
    partners = [s.code for s in world.plan.schools[: world.plan.main]]
    score = text(digits(250 + draw // 512 % 300, 3), letters(".", len(at)), digits(draw % 2 * 5, 1))
    return {
        "ZSFSM": where(exam, "1", "2"),
        "ZKZH": where(exam, text(year, digits(at, 8)), None),
        "KSH": where(exam, text(year, letters(world.plan.province, len(at)), digits(at, 10)), None),
        "KSZF": where(exam, score, None),
        "LZHZLXM": where(joint, "9", "1"),
        "LZHZBXXSM": where(joint, "1", None),
        "LZHZXXDM": where(joint, take(partners, draw // 4096 % len(partners)), None),
    }


def _status(world: World, b: Block) -> dict[str, Texts]:
    dice, at = world.dice, b.at
    classes = [c for s in b.schools for c in s.classes]
    days = dates(date(2001, 9, 1), 60) % 10_000
    registered = text(digits(b.grade, 4), digits(days[dice.below("xj.day", at, 60)], 4))
    gone = ~b.graduated & (b.fate >= RETURNED) & (b.fate < EXPELLED)
    state = where(b.graduated, "07", where(b.fate < SUSPENDED, "02", "01"))
    state = where(gone, where(b.fate < LEFT, "03", "14"), state)
    transferred = ~b.graduated & (b.fate >= EXPELLED) & (b.fate < TRANSFERRED)
    number, name = b.by_class([c.number for c in classes]), b.by_school([s.name for s in b.schools])
    return {
        "GRBSM": b.number,
        "XXDM": b.by_school([s.code for s in b.schools]),
        "RXNY": text(digits(b.grade, 4), letters("09", len(at))),
        "XSLBM": b.by_school([_KINDS[s.kind] for s in b.schools]),
        "XXXSM": same("1", len(at)),
        "RXFSM": where(transferred, "09", "01"),
        "JDFSM": take(["2", "2", "2", "1"], dice.below("xj.lodging", at, 4)),
        "ZYBH": b.by_class([c.major.number for c in classes]),
        "ZYDM": b.by_class([c.major.major.code for c in classes]),
        "XZ": same("3.0", len(at)),
        "BH": where(gone, None, number),
        "NJDM": text(digits(b.grade, 4)),
        "FDPYFSM": take(["0"] * 9 + ["1"], dice.below("xj.stage", at, 10)),
        "XWJXD": same("无", len(at)),
        "ZCZKM": same("1", len(at)),
        "ZCRQ": registered,
        "XSDQZTM": state,
        "XXMC": name,
        "SPZTM": where(b.fate < TRANSFERRED, "2", "0"),
        "SJZT": same("1", len(at)),
        "GXSJ": updated(world, "xj", at),
    }
