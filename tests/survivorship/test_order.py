"""A golden row is a function of the set of contributions, supplements and decisions, not of the way they arrived."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    """Everything that is said, by source table; `earlier`: what was said of a record before, never after its last word."""

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
        unit = {"JGH": "J1", "JGMC": "教务处", "LSSJJGH": "000000", "JGYXBS": "是", "SFST": "否", "JLNY": "201009", "FZRH": "T0005"}
        out.append(Supplement(code, None, None, unit, "jg"))
        out.append(Supplement(code, None, None, unit | {"JGH": "J2", "JGMC": "实训科", "LSSJJGH": "J1"}, "jg"))
    for n, who in enumerate(of.rows[JZG]):
        if n % 2 == 0:
            out.append(Supplement(who["XXDM"], "1", who["SFZJH"], {"CYM": f"补录{n}", "GH": f"校内{n}", "XM": who["XM"]}))
        if n % 3 == 0:
            out.append(Supplement(who["XXDM"], "1", who["SFZJH"], {"GH": who["GH"], "JGH": "J2"}, "jzg_gz"))
    for n, who in enumerate(of.rows[BJ]):
        out.append(Supplement(who["XXDM"], None, None, {"BH": who["BH"], "BZRGH": f"T{n + 1:04d}"}, "bj"))
    for who in of.rows[XS][::4]:
        out.append(Supplement(who["XXDM"], who["SFZJLXM"], who["SFZJH"], {"CYM": "旧名", "YWXM": "Old"}, "xs"))
        out.append(Supplement(who["XXDM"], who["SFZJLXM"], who["SFZJH"], {"SSPCS": "不采用"}, "xs_sx"))
    return out


def _earlier(of: Case) -> list[tuple[str, Row]]:
    """Words of a record that a later word replaces entirely: no value of theirs may last."""
    changes: list[tuple[str, Callable[[int, Row], bool], Row]] = [
        (XJ, lambda n, r: n % 5 == 0 and r["BH"] == "2401", {"BH": "2402"}),
        (XJ, lambda n, r: n % 5 == 1, {"SJZT": "0"}),
        (XS, lambda n, r: n % 6 == 0, {"XM": "前名", "XMPY": "qian ming"}),
        (XS, lambda n, r: n % 6 == 1 and r["XXDM"] == p.A, {"XXDM": p.B}),
        (XS, lambda n, r: n % 6 == 2, {"MZM": "坏码"}),
        (SX, lambda n, r: n % 7 == 0, {"SJZT": "0"}),
        (JZG, lambda n, r: n % 5 == 0, {"MZM": "满族"}),
        (GZ, lambda n, r: n % 5 == 0, {"SJZT": "0"}),
        (BJ, lambda n, r: n % 3 == 0, {"BJMC": "前名班"}),
        (XX, lambda n, r: n % 2 == 0, {"XXMC": "前名学校"}),
        (XX, lambda n, r: n % 2 == 1 and r["XXMC"] != "", {"SJZT": "0"}),
    ]
    return [
        (table, row | change)
        for table, chosen, change in changes
        for n, row in enumerate(of.rows[table])
        if chosen(n, row) and row["SJZT"] == "1" and row.get("GRBSM") not in of.renamed and not str(row.get("GRBSM")).startswith("L")
    ]


def deal(of: Case, rounds: int, dice: random.Random) -> list[Delivery]:
    """The same words dealt out over rounds, in any order; an earlier word falls in a round before the last one, or in none."""
    parts: list[dict[str, list[Row]]] = [{} for _ in range(rounds)]
    said = {}
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
    return [Delivery(r, s, of.decided if at >= start else ()) for at, (r, s) in enumerate(zip(parts, dealt, strict=True))]


def standing(state: State) -> Golden:
    """Golden rows by natural key: provenance and values."""
    found: Golden = {}
    for name, entity in CATALOG.entities.items():
        at = [entity.columns.index(k) for k in entity.key]
        rows = state.golden(name)
        found[name] = {tuple(str(r[1 + i]) for i in at): r for r in rows.values()}
        assert len(found[name]) == len(rows), f"two golden records of one key in {name}"
    return found


def numbers(state: State, of: Case) -> dict[str, set[str]]:
    """Record numbers of the records that keep one number all their life."""
    names = {n: "GRBSM NOT IN (SELECT new FROM student_alias)" if "GRBSM" in e.by_name else "TRUE" for n, e in CATALOG.entities.items()}
    return {n: {r[0] for r in state.con.execute(f"SELECT pk FROM g_{n} WHERE {w}").fetchall()} for n, w in names.items()}


def decisions(state: State, of: Case) -> list[Row]:
    """Approved values against what the platforms say now (basis as a person saw it)."""
    out = []
    for no, (entity, field_, value, table) in enumerate(
        (("jzg", "CSDXZQHM", "410102", JZG), ("xs", "JKZKM", "2", XS), ("xs_xj", "XXXSM", "2", XJ)), start=1
    ):
        row = next(r for r in of.rows[table][9:] if r.get("GRBSM") not in of.renamed)
        key = [row[k] for k in CATALOG.entities[entity].key]
        match = " AND ".join(f"{k} = '{v}'" for k, v in zip(CATALOG.entities[entity].key, key, strict=True))
        pk = state.con.execute(f"SELECT pk FROM g_{entity} WHERE {match}").fetchall()[0][0]
        said = state.con.execute(f"SELECT {field_}::VARCHAR FROM c_{entity} WHERE {match}").fetchall()[0][0]
        basis = hashlib.sha256(f"{said or ''}\x1f".encode()).hexdigest()[:24]
        out.append(
            {"decision_no": no, "entity": entity, "pk": pk, "natural_key": "|".join(key), "field": field_, "value": value, "basis": basis}
        )
    return out


def difference(expected: Golden, found: Golden) -> list[str]:
    """What differs, in words that name no person."""
    out = []
    for name, rows in expected.items():
        columns = ("prov", *CATALOG.entities[name].columns)
        out += [f"{name}: {n} {what}" for n, what in (
            (len(rows.keys() - found[name].keys()), "missing"), (len(found[name].keys() - rows.keys()), "too many")) if n]  # fmt: skip
        for key in rows.keys() & found[name].keys():
            if rows[key] != found[name][key]:
                out.append(f"{name}: {[(c, a, b) for c, a, b in zip(columns, rows[key], found[name][key], strict=True) if a != b]}")
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
    result = Whole(made, node, standing(once), numbers(once, made))
    once.close()
    return result


def arrive(whole: Whole, folder: Path, deliveries: Sequence[Delivery]) -> list[str]:
    many = State(folder, whole.node)
    try:
        for delivery in deliveries:
            many.settle(delivery)
        out = difference(whole.golden, standing(many))
        return out + [f"{n}: other numbers" for n, pks in numbers(many, whole.case).items() if pks != whole.numbers[n]]
    finally:
        many.close()
