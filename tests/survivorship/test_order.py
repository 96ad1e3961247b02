"""A golden row is a function of the set of contributions, supplements and decisions, not of the way they arrived."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub.settings import open_node, write_settings
from tests.settling.handmade import base
from tests.settling.handmade import people as p
from tests.settling.handmade.world import World
from tests.survivorship.bench import CATALOG, Delivery, State, Supplement

Row = dict[str, Any]
Golden = dict[str, dict[tuple[str, ...], tuple[Any, ...]]]
XS, SX, XJ, JTCY, JZ = "S1.XS_JBXX", "S1.XS_JBSX", "S1.XS_XJXX", "S1.XS_JTCY", "S1.XS_JZXX"
JZG, GZ, BJ, XX = "S2.JZG_JBXX", "S2.JZG_GZXX", "S1.BJ_XX", "S3.XX_JBXX"


@dataclass
class Case:
    """Everything that is said, by source table. `earlier`: said of a record before its last word; `renamed`: GRBSM."""

    rows: dict[str, list[Row]]
    supplements: list[Supplement]
    earlier: list[tuple[str, Row]] = field(default_factory=list)
    decided: list[Row] = field(default_factory=list)
    renamed: set[str] = field(default_factory=set)


def case() -> Case:
    world = base.clean()
    pairs = [p.student(701 + n, p.SCHOOLS[n % 5]) for n in range(6)]
    renamed = {s.xs["GRBSM"] for s in pairs}
    for n, formal in enumerate(pairs):  # a temporary number and the formal one, both still delivered (ruling 19)
        temporary = formal.renumbered(f"L411002{formal.xs['CSRQ']}{9001 + n}")
        world.student("formal", formal)
        world.student("temporary", temporary)
        world.put("xs_jtcy", base.member(temporary))
        world.put("xs_jz", base.grant(temporary))
        world.put("xs_jz", base.grant(formal))
    _refused(world)
    made = Case({f"{s}.{t}": [_as_text(r) for r in rows] for (s, t), rows in world.tables.items() if t[:2] != "XX"}, [])
    made.rows[XX] = [_as_text(r) for r in world.tables["S3", "XX_JBXX"]]
    made.renamed = renamed
    made.supplements = _supplements(made)
    made.earlier = _earlier(made)
    return made


def _as_text(row: Row) -> Row:
    return {k: None if v is None else str(v) for k, v in row.items()}


def _refused(world: World) -> None:
    """Rows that fall on their own, and what is held because of them (ruling 1)."""
    bad = p.student(710, p.A)
    world.student("bad", bad, src={"xs": {"MZM": "99"}})
    world.put("xs_jtcy", base.member(bad))
    world.put("xs_jtcy", base.member(p.student(711, p.B)))  # nobody
    world.student("no class", p.student(712, p.C), src={"xs_xj": {"BH": "9999"}})
    world.student("no register", p.Student(p.student(713, p.D).xs, p.student(713, p.D).sx, None))
    world.student("cancelled", p.student(714, p.D), src={e: {"SJZT": "0"} for e in ("xs", "xs_sx", "xs_xj")})
    closed = p.school("3641000077", "", TYSHXYDM=None)  # a school without a name: its people wait
    world.put("xx", closed)
    world.put("zy", p.major("3641000077", "01", "090100", "计算机应用"))
    world.put("jzg", p.teacher(900, "3641000077"))
    world.student("of a refused school", p.student(715, "3641000077"))


def _supplements(of: Case) -> list[Supplement]:
    """Fillings and foundings: units, staff without and with a platform row, students by their card."""
    out = []
    for code in p.SCHOOLS:
        unit = {
            "JGH": "J1",
            "JGMC": "教务处",
            "LSSJJGH": "000000",
            "JGYXBS": "是",
            "SFST": "否",
            "JLNY": "201009",
            "FZRH": "T0005",
        }
        out.append(Supplement(code, None, None, unit, "jg"))
        out.append(Supplement(code, None, None, unit | {"JGH": "J2", "JGMC": "实训科", "LSSJJGH": "J1"}, "jg"))
    for n, who in enumerate(of.rows[JZG]):
        if n % 2 == 0:
            out.append(
                Supplement(who["XXDM"], "1", who["SFZJH"], {"CYM": f"补录{n}", "GH": f"校内{n}", "XM": who["XM"]})
            )
        if n % 3 == 0:
            out.append(Supplement(who["XXDM"], "1", who["SFZJH"], {"GH": who["GH"], "JGH": "J2"}, "jzg_gz"))
        if n % 3 == 1:  # a unit there is none of: the value falls, not the row, whichever came first (GL04)
            out.append(Supplement(who["XXDM"], "1", who["SFZJH"], {"GH": who["GH"], "JGH": "J9"}, "jzg_gz"))
    for n, who in enumerate(of.rows[BJ]):
        out.append(Supplement(who["XXDM"], None, None, {"BH": who["BH"], "BZRGH": f"T{n + 1:04d}"}, "bj"))
    for who in of.rows[XS][::4]:
        out.append(Supplement(who["XXDM"], who["SFZJLXM"], who["SFZJH"], {"CYM": "旧名", "YWXM": "Old"}, "xs"))
        out.append(Supplement(who["XXDM"], who["SFZJLXM"], who["SFZJH"], {"SSPCS": "不采用"}, "xs_sx"))
    return out


# (table, every how many rows, the how-manieth, what was said before): no value of it may last.
BEFORE: tuple[tuple[str, int, int, Row], ...] = (
    (XJ, 5, 0, {"BH": "2402"}), (XJ, 5, 1, {"SJZT": "0"}), (XS, 6, 0, {"XM": "前名", "XMPY": "qian ming"}),
    (XS, 6, 1, {"XXDM": p.B}), (XS, 6, 2, {"MZM": "坏码"}), (SX, 7, 0, {"SJZT": "0"}), (JZG, 5, 0, {"MZM": "满族"}),
    (GZ, 5, 0, {"SJZT": "0"}), (BJ, 3, 0, {"BJMC": "前名班"}), (XX, 2, 0, {"XXMC": "前名学校"}),
    (XX, 2, 1, {"SJZT": "0"}),
)  # fmt: skip


def _earlier(of: Case) -> list[tuple[str, Row]]:
    """Earlier words of records that a later word replaces entirely (an empty value would not: ruling 4)."""
    return [
        (table, row | before)
        for table, every, nth, before in BEFORE
        for n, row in enumerate(of.rows[table])
        if n % every == nth and row["SJZT"] == "1" and all(row[k] for k in before) and not _has_two_numbers(of, row)
    ]


def _has_two_numbers(of: Case, row: Row) -> bool:
    number = row.get("GRBSM") or ""
    return number in of.renamed or number.startswith("L")


def deal(of: Case, rounds: int, dice: random.Random) -> list[Delivery]:
    """The same words dealt out over rounds, in any order; an earlier word before the last one, or never."""
    parts: list[dict[str, list[Row]]] = [{} for _ in range(rounds)]
    said: dict[tuple[str, ...], int] = {}
    for table, rows in of.rows.items():
        key = next(t.key for t in CATALOG.source_tables() if t.name == table)
        for row in dice.sample(rows, len(rows)):
            who = (table, *(row[k] for k in key))
            at = said.setdefault(who, dice.randrange(rounds))
            parts[at].setdefault(table, []).append(row)
    for table, row in dice.sample(of.earlier, len(of.earlier)):
        key = next(t.key for t in CATALOG.source_tables() if t.name == table)
        before = said[(table, *(row[k] for k in key))]
        at = dice.randrange(before + 1)
        there = [tuple(r[k] for k in key) for r in parts[at].get(table, ())]
        if at < before and tuple(row[k] for k in key) not in there:
            parts[at].setdefault(table, []).append(row)
    dealt: list[list[Supplement]] = [[] for _ in range(rounds)]
    for one in dice.sample(of.supplements, len(of.supplements)):
        dealt[dice.randrange(rounds)].append(one)
    start = dice.randrange(rounds)
    return [
        Delivery(r, s, of.decided if at >= start else ()) for at, (r, s) in enumerate(zip(parts, dealt, strict=True))
    ]


def standing(state: State) -> Golden:
    """Golden rows by natural key: provenance and values."""
    found: Golden = {}
    for name, entity in CATALOG.entities.items():
        at = [entity.columns.index(k) for k in entity.key]
        rows = state.golden(name)
        found[name] = {tuple(str(r[1 + i]) for i in at): r for r in rows.values()}
        assert len(found[name]) == len(rows), f"two golden records of one key in {name}"
    return found


def numbers(state: State) -> dict[str, set[str]]:
    """Record numbers, but of renamed students: their number is that of the key they were first known by (ruling 19)."""
    found = {}
    for name, entity in CATALOG.entities.items():
        lasting = "GRBSM NOT IN (SELECT new FROM student_alias)" if "GRBSM" in entity.by_name else "TRUE"
        found[name] = {r[0] for r in state.con.execute(f"SELECT pk FROM g_{name} WHERE {lasting}").fetchall()}
    return found


DECIDED = (("jzg", "CSDXZQHM", "410102", JZG), ("xs", "JKZKM", "2", XS), ("xs_xj", "XXXSM", "2", XJ))


def decisions(state: State, of: Case) -> list[Row]:
    """Approved values against what the platforms say now (basis as a person saw it)."""
    out = []
    for no, (entity, name, value, table) in enumerate(DECIDED, start=1):
        row = next(r for r in of.rows[table][9:] if not _has_two_numbers(of, r))
        key = {k: row[k] for k in CATALOG.entities[entity].key}
        match = " AND ".join(f"{k} = '{v}'" for k, v in key.items())
        pk, said = state.con.execute(
            f"SELECT g.pk, c.{name}::VARCHAR FROM g_{entity} g JOIN c_{entity} c USING ({', '.join(key)}) WHERE {match}"
        ).fetchall()[0]
        basis = hashlib.sha256(f"{said}\x1f".encode()).hexdigest()[:24]
        out.append({"decision_no": no, "entity": entity, "pk": pk, "natural_key": "|".join(key.values())})
        out[-1] |= {"field": name, "value": value, "basis": basis}
    return out


def difference(expected: Golden, found: Golden) -> list[str]:
    """What differs, field by field."""
    out = []
    for name, rows in expected.items():
        columns, other = ("prov", *CATALOG.entities[name].columns), found[name]
        out += [f"{name}: missing"] * len(rows.keys() - other.keys())
        out += [f"{name}: too many"] * len(other.keys() - rows.keys())
        for key in rows.keys() & other.keys():
            pairs = zip(columns, rows[key], other[key], strict=True)
            out += [f"{name}.{c}: {a!r}, arrived as {b!r}" for c, a, b in pairs if a != b]
    return out


@dataclass
class Whole:
    """Everything settled in one round, and what must come out however it arrives."""

    case: Case
    node: Any
    golden: Golden
    numbers: dict[str, set[str]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("order")
    (folder / "node" / "keys").mkdir(parents=True)
    (folder / "node" / "keys" / "record.secret").write_text("5a" * 32)
    write_settings(folder / "node", {"role": "province", "party": "41", "name": "河南省节点", "sources": str(folder)})
    node, made = open_node(folder / "node"), case()
    once = State(folder / "once", node)
    once.settle(Delivery(made.rows, made.supplements))
    made.decided = decisions(once, made)
    once.settle(Delivery(decided=made.decided), whole=True)
    result = Whole(made, node, standing(once), numbers(once))
    once.close()
    return result


def arrive(whole: Whole, folder: Path, deliveries: Sequence[Delivery]) -> list[str]:
    many = State(folder, whole.node)
    try:
        for delivery in deliveries:
            many.settle(delivery)
        out = difference(whole.golden, standing(many))
        return out + [f"{n}: other numbers" for n, pks in numbers(many).items() if pks != whole.numbers[n]]
    finally:
        many.close()


def test_the_case_holds_every_way_a_value_can_come_to_stand(whole: Whole) -> None:
    golden = whole.golden
    letters = {c for rows in golden.values() for row in rows.values() for c in row[0]}
    assert letters == set("STOLFD-")
    assert all(golden[e] for e in ("xx", "zy", "bj", "jzg", "jg", "jzg_gz", "xs", "xs_xj", "xs_yd", "xs_jz", "xs_by"))
    assert all((number,) in golden["xs"] for number in whole.case.renamed)
    assert not any(key[0].startswith("L") for key in golden["xs"])
    assert len(golden["xs"]) < len(whole.case.rows[XS]), "some fall, some wait, some are one person"


@pytest.mark.parametrize("seed", range(2))
def test_the_same_contributions_in_any_order_and_split_end_in_the_same_golden_rows(
    seed: int, whole: Whole, tmp_path: Path
) -> None:
    dice = random.Random(seed)
    assert arrive(whole, tmp_path / "many", deal(whole.case, 2 + seed % 2, dice)) == []


def test_dependents_that_came_first_enter_when_their_school_comes_and_a_table_out_of_reach_comes_in_whole(
    whole: Whole, tmp_path: Path
) -> None:
    case = whole.case
    of_c = {t: [r for r in rows if t == XX and r["XXDM"] == p.C] for t, rows in case.rows.items()}
    late = {BJ, JZG}
    first = {t: [r for r in rows if r not in of_c[t]] for t, rows in case.rows.items() if t not in late}
    deliveries = [
        Delivery(first, decided=case.decided),
        Delivery({t: case.rows[t] for t in late}, decided=case.decided),
        Delivery(supplements=case.supplements, decided=case.decided),
        Delivery(of_c, decided=case.decided),
    ]
    assert arrive(whole, tmp_path / "many", deliveries) == []
