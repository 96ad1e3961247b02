"""A province's own system is a source by its mapping file alone: below the owner, above the school, never silent."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from connectors.mapped import MappedSource
from connectors.mapping import load_mapping
from connectors.registry import load_sources, open_source
from hub.catalog import Authority, Catalog, load_catalog
from hub.errors import UsageError
from province_node import settle
from province_node.conform import conform
from province_node.source_cli import _write
from tests.settling.handmade import base
from tests.settling.handmade import people as p
from tests.settling.handmade.node import Settled
from tests.settling.handmade.world import SECOND_DAY, World

MAPPING = """
system: X1
name: 省自建系统
letter: A
version: 1
tables:
  - table: T_STU
    entity: xs
    key: [NO]
    updated: UPD
    state: {column: ZT, cancelled: ["9"]}
    columns:
      - {name: NO, field: GRBSM}
      - {name: MAIL, field: DZXX}
      - {name: SEX, field: XBM, form: code, codes: {M: "1", F: "2"}}
      - {name: HEALTH, field: JKZKM, form: label}
"""
ONE, TWO, GAP = p.student(5, p.A), p.student(15, p.A), p.student(901, p.A)
Row = tuple[str, str | None, str, str | None, str, str]


def rows(**mail: str) -> list[Row]:
    day = "2026-03-09 10:00:00"
    return [
        (ONE.xs["GRBSM"], mail.get("one", "one@x.cn"), "M", "健康或良好", "0", mail.get("at", day)),
        (TWO.xs["GRBSM"], "two@x.cn", "F", "健康或良好", "9", day),
        (GAP.xs["GRBSM"], None, "M", "有慢性病", "0", day),
        ("G411002200809019999", "nobody@x.cn", "?", None, "0", day),
    ]


def province() -> World:
    w = base.clean()
    w.student("gap", GAP, src={"xs": {"JKZKM": None}})
    return w


def put(folder: Path, some: list[Row], mapping: str = MAPPING, name: str = "x1") -> None:
    (folder / f"{name}.yaml").write_text(mapping, encoding="utf-8")
    (folder / f"{name}.db").unlink(missing_ok=True)
    con = sqlite3.connect(folder / f"{name}.db")
    con.execute("CREATE TABLE T_STU (NO TEXT, MAIL TEXT, SEX TEXT, HEALTH TEXT, ZT TEXT, UPD TEXT)")
    con.executemany("INSERT INTO T_STU VALUES (?, ?, ?, ?, ?, ?)", some)
    con.commit()
    con.close()


def ranked(site: Path | None = None) -> Catalog:
    """The registry with the own system above the platform for one data item."""
    catalog = load_catalog(site)
    owners = {**catalog.registry.owners, ("xs", "JKZKM"): Authority(("X1", "S1"), True)}
    return replace(catalog, registry=replace(catalog.registry, owners=owners))


@pytest.fixture
def node(tmp_path: Path) -> Settled:
    made = Settled(tmp_path, province())
    put(tmp_path / "src", rows())
    return made


def told(node: Settled, who: p.Student, field: str) -> list[Any]:
    """Value and provenance letter of one field of one student."""
    at = load_catalog().entities["xs"].columns.index(field) + 1
    return node.ask(f"SELECT {field}, substr(prov, {at}, 1) FROM g_xs WHERE GRBSM = ?", [who.xs["GRBSM"]])


def test_an_own_system_fills_what_the_owner_lacks_with_a_letter_of_its_own_and_loses_where_the_owner_speaks(
    node: Settled,
) -> None:
    done = node.day()
    assert done.alarms == ()
    assert {str(e["system"]) for e in done.extracts} >= {"X1"}
    assert told(node, ONE, "DZXX") == [("one@x.cn", "A")]
    assert told(node, GAP, "JKZKM") == [("3", "A")]
    assert told(node, ONE, "XBM") == [("1", "S")]
    assert told(node, TWO, "DZXX") == [(None, "-")], "cancelled at the own system"
    # A person no platform knows is not founded by an own system, and a bad value is listed.
    assert node.ask("SELECT count(*) FROM g_xs WHERE GRBSM = 'G411002200809019999'") == [(0,)]
    listed = node.ask("SELECT rule, field FROM known_issue WHERE source = 'X1' ORDER BY ALL")
    assert ("YX05", "XBM") in listed


def test_a_value_that_differs_from_the_owners_is_kept_as_a_losing_one(node: Settled, tmp_path: Path) -> None:
    some = rows()
    put(tmp_path / "src", [(some[0][0], None, "F", "有慢性病", "0", some[0][5])])
    node.day()
    found = node.ask(
        "SELECT field, value, winner_value, state FROM known_disagreement WHERE source = 'X1' ORDER BY ALL"
    )
    assert found == [("JKZKM", "3", "1", "已由权威源定值"), ("XBM", "2", "1", "已由权威源定值")]


@pytest.mark.long
def test_a_later_change_moves_only_what_it_touches_and_a_row_gone_there_is_kept_as_prior(
    node: Settled, tmp_path: Path
) -> None:
    node.day()
    put(tmp_path / "src", rows(one="new@x.cn", at="2026-03-10 09:00:00"))
    done = node.day(SECOND_DAY)
    assert not done.whole
    assert done.settled.changes.counts.updated == 1
    assert told(node, ONE, "DZXX") == [("new@x.cn", "A")]
    put(tmp_path / "src", rows(one="new@x.cn", at="2026-03-10 09:00:00")[1:])
    node.day(SECOND_DAY)
    assert told(node, ONE, "DZXX") == [("new@x.cn", "P")]
    assert node.day(SECOND_DAY).settled.changes.counts.rows == 0


@pytest.mark.long
def test_a_changed_mapping_reads_the_system_anew_and_settles_everything(node: Settled, tmp_path: Path) -> None:
    node.day()
    put(tmp_path / "src", rows(), MAPPING.replace("field: DZXX", "field: CYM"))
    assert node.day(SECOND_DAY).whole
    assert told(node, ONE, "CYM") == [("one@x·cn", "A")]
    (tmp_path / "src" / "x1.yaml").unlink()
    assert node.day(SECOND_DAY).whole
    assert told(node, ONE, "CYM") == [("one@x·cn", "P")]


def test_the_registry_can_set_an_own_system_above_the_national_owner(
    node: Settled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = rows()
    put(tmp_path / "src", [(some[0][0], None, "M", "有慢性病", "0", some[0][5])])
    monkeypatch.setattr(settle, "load_catalog", ranked)
    node.day()
    assert told(node, ONE, "JKZKM") == [("3", "A")]
    assert told(node, TWO, "JKZKM") == [("1", "S")]


@pytest.mark.long
def test_an_own_system_that_cannot_be_read_changes_nothing_and_raises_an_alarm(node: Settled, tmp_path: Path) -> None:
    node.day()
    (tmp_path / "src" / "x1.db").unlink()
    con = sqlite3.connect(tmp_path / "src" / "x1.db")
    con.close()
    done = node.day(SECOND_DAY)
    assert [a.source for a in done.alarms] == ["X1.T_STU"]
    assert told(node, ONE, "DZXX") == [("one@x.cn", "A")]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (MAPPING.replace("system: X1", "system: S1"), "X1 至 X9"),
        (MAPPING.replace("letter: A", "letter: S"), "未被占用"),
        (MAPPING.replace("field: DZXX", "field: MAILBOX"), "MAILBOX"),
        (MAPPING.replace("entity: xs", "entity: pupil"), "pupil"),
        (MAPPING.replace("field: GRBSM", "field: CYM"), "GRBSM"),
        (MAPPING.replace("form: label", "form: spoken"), "spoken"),
        ("- nothing", "映射"),
        ("a: [", "YAML"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_with_the_place(tmp_path: Path, wrong: str, said: str) -> None:
    (tmp_path / "x1.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(UsageError, match=said) as refused:
        load_mapping(tmp_path / "x1.yaml", load_catalog())
    assert refused.value.code == "E2430"


def test_conformity_counts_fields_codes_and_keys_and_shows_no_persons_value(tmp_path: Path) -> None:
    put(tmp_path, [*rows(), rows()[0], ("", "x", "M", None, "0", "2026-03-09 10:00:00")])
    catalog = load_catalog()
    own = load_mapping(tmp_path / "x1.yaml", catalog)
    source = MappedSource(open_source(f"sqlite:///{tmp_path / 'x1.db'}"), own)
    report = conform(source, own, catalog, today="2026-03-10", reader=None, node="")
    source.close()
    (one,) = report.tables
    assert (one.rows, one.keys, one.null_keys, one.repeated_keys) == (6, 4, 1, 1)
    assert not report.conforms
    assert "CSRQ" in one.missing_required
    (sex,) = (f for f in one.fields if f.field == "XBM")
    assert (sex.column, sex.unknown, sex.examples) == ("SEX", 1, ("?",))
    _write(report, tmp_path / "report.xlsx")
    shown = str([list(s.values) for s in openpyxl.load_workbook(tmp_path / "report.xlsx")])
    assert "SEX" in shown
    assert ONE.xs["GRBSM"] not in shown
    assert "x.cn" not in shown


def test_own_systems_are_named_in_sources_toml(tmp_path: Path) -> None:
    put(tmp_path, rows())
    text = '[sources]\nS1 = "sqlite:///s1.db"\n[own.X1]\nurl = "sqlite:///x1.db"\nmapping = "x1.yaml"\n'
    (tmp_path / "sources.toml").write_text(text, encoding="utf-8")
    (own,) = load_sources(tmp_path).own
    assert (own.id, own.mapping.name) == ("X1", "x1.yaml")
    assert own.url.endswith("x1.db")
    (tmp_path / "sources.toml").write_text(text.replace('"x1.yaml"', '"none.yaml"'), encoding="utf-8")
    with pytest.raises(UsageError, match="mapping"):
        load_sources(tmp_path)


SECOND = MAPPING.replace("system: X1", "system: X2").replace("letter: A", "letter: B").replace("省自建", "市自建")


def put_second(folder: Path, some: list[Row]) -> None:
    put(folder, some, SECOND, "x2")


def losers(node: Settled, field: str) -> list[Any]:
    return node.ask(
        "SELECT source, value, winner_source, winner_value, state FROM known_disagreement WHERE field = ? ORDER BY ALL",
        [field],
    )


@pytest.mark.long
def test_what_one_own_system_loses_to_another_or_to_the_platform_is_kept(node: Settled, tmp_path: Path) -> None:
    day = "2026-03-09 10:00:00"
    number = ONE.xs["GRBSM"]
    put(tmp_path / "src", [(number, "one@x.cn", "M", "健康或良好", "0", day)])
    put_second(tmp_path / "src", [(number, "other@x.cn", "M", "有慢性病", "0", day)])
    node.day()
    assert told(node, ONE, "DZXX") == [("one@x.cn", "A")]
    assert losers(node, "DZXX") == [("X2", "other@x.cn", "X1", "one@x.cn", "已由权威源定值")]
    assert losers(node, "JKZKM") == [("X2", "3", "S1", "1", "已由权威源定值")], (
        "the platform spoke: both are measured by it"
    )
    again = node.day(SECOND_DAY)
    assert again.settled.changes.counts.rows == 0
    assert losers(node, "DZXX") == [("X2", "other@x.cn", "X1", "one@x.cn", "已由权威源定值")]
    (src,) = node.ask("SELECT src_rid FROM g_xs WHERE GRBSM = ?", [number])[0]
    assert re.fullmatch(r"\d+:\d+ A\d+:\d+", src), "the lineage names the own system by its letter"


def test_the_platforms_value_is_kept_where_an_own_system_ranks_above_it(
    node: Settled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "src", [(ONE.xs["GRBSM"], None, "M", "有慢性病", "0", "2026-03-09 10:00:00")])
    monkeypatch.setattr(settle, "load_catalog", ranked)
    node.day()
    assert losers(node, "JKZKM") == [("S1", "1", "X1", "3", "已由权威源定值")]


FOUNDING = """
system: X1
name: 省自建系统
letter: A
tables:
  - table: T_UNIT
    entity: jg
    key: [SCHOOL, NO]
    columns:
      - {name: SCHOOL, field: XXDM}
      - {name: NO, field: JGH}
      - {name: TITLE, field: JGMC}
      - {name: ABOVE, field: LSSJJGH}
      - {name: REAL, field: SFST}
      - {name: REAL2, field: JGYXBS}
      - {name: HEAD, field: FZRH}
  - table: T_CARD
    entity: xs
    key: [CARD]
    columns:
      - {name: CARD, field: SFZJH}
      - {name: MAIL, field: DZXX}
  - table: T_SX
    entity: xs_sx
    key: [CARD]
    updated: UPD
    columns:
      - {name: CARD, field: xs.SFZJH}
      - {name: PLACE, field: CHCQJ}
"""


def put_founding(folder: Path, head: str, place: str = "城关") -> None:
    (folder / "x1.yaml").write_text(FOUNDING, encoding="utf-8")
    (folder / "x1.db").unlink(missing_ok=True)
    con = sqlite3.connect(folder / "x1.db")
    con.execute("CREATE TABLE T_UNIT (SCHOOL, NO, TITLE, ABOVE, REAL, REAL2, HEAD)")
    con.execute("CREATE TABLE T_CARD (CARD, MAIL)")
    con.execute("CREATE TABLE T_SX (CARD, PLACE, UPD)")
    con.execute("INSERT INTO T_UNIT VALUES (?, '77', '教务处', '000000', '1', '1', ?)", [p.A, head])
    con.execute("INSERT INTO T_UNIT VALUES (?, '78', '总务处', NULL, NULL, NULL, NULL)", [p.A])
    con.execute("INSERT INTO T_CARD VALUES (?, 'card@x.cn')", [ONE.xs["SFZJH"].lower()])
    con.execute("INSERT INTO T_CARD VALUES ('110101199003070000', 'nobody@x.cn')")
    day = "2026-03-09 10:00:00" if place == "城关" else "2026-03-10 10:00:00"
    con.execute("INSERT INTO T_SX VALUES (?, ?, ?)", [ONE.xs["SFZJH"], place, day])
    con.commit()
    con.close()


def test_an_own_system_founds_under_its_letter_and_names_people_by_their_card(tmp_path: Path) -> None:
    world = base.clean()
    made = Settled(tmp_path, world)
    head = next(r["GH"] for r in world.golden["jzg"].values() if r["XXDM"] == p.A)
    put_founding(tmp_path / "src", head)
    done = made.day()
    assert done.alarms == ()
    ((src_rid, prov),) = made.ask("SELECT src_rid, prov FROM g_jg WHERE XXDM = ? AND JGH = '77'", [p.A])
    assert re.fullmatch(r"A\d+:\d+", src_rid)
    assert "L" not in prov
    listed = made.ask("SELECT DISTINCT source, rule FROM known_issue WHERE entity = 'jg' AND natural_key LIKE '%|78'")
    assert listed == [("X1", "WZ01")]
    assert told(made, ONE, "DZXX") == [("card@x.cn", "A")]
    unknown = made.ask("SELECT field, state FROM known_issue WHERE rule = '主记录未入库' AND source = 'X1'")
    assert unknown == [("GRBSM", "提示")]
    assert losers(made, "CHCQJ") == [("X1", "城关", "S1", "无", "已由权威源定值")]
    put_founding(tmp_path / "src", head, "城南")
    assert not made.day(SECOND_DAY).whole
    assert losers(made, "CHCQJ") == [("X1", "城南", "S1", "无", "已由权威源定值")]


STAFF = """
system: X1
name: 省人事系统
letter: A
tables:
  - table: T_STAFF
    entity: jzg
    key: [SCHOOL, CARD]
    columns:
      - {name: SCHOOL, field: XXDM}
      - {name: CARD, field: SFZJH}
      - {name: ONCE, field: CYM}
  - table: T_POST
    entity: jzg_gz
    key: [SCHOOL, CARD]
    columns:
      - {name: SCHOOL, field: XXDM}
      - {name: CARD, field: jzg.SFZJH}
      - {name: UNIT, field: JGH}
      - {name: MAJOR, field: SZZYBH}
"""


def put_staff(folder: Path, staff: Sequence[tuple[str, ...]], posts: Sequence[tuple[str, ...]]) -> None:
    (folder / "x1.yaml").write_text(STAFF, encoding="utf-8")
    con = sqlite3.connect(folder / "x1.db")
    con.execute("CREATE TABLE T_STAFF (SCHOOL, CARD, ONCE)")
    con.execute("CREATE TABLE T_POST (SCHOOL, CARD, UNIT, MAJOR)")
    con.executemany("INSERT INTO T_STAFF VALUES (?, ?, ?)", staff)
    con.executemany("INSERT INTO T_POST VALUES (?, ?, ?, ?)", posts)
    con.commit()
    con.close()


def test_staff_of_an_own_system_are_found_by_their_card_and_a_unit_there_is_none_of_falls_alone(tmp_path: Path) -> None:
    world = base.clean()
    staff_of = {code: [r for r in world.golden["jzg"].values() if r["XXDM"] == code] for code in (p.A, p.C)}
    (first, second), other = staff_of[p.A][:2], staff_of[p.C][0]
    made = Settled(tmp_path, world)
    wide = first["SFZJH"].translate(str.maketrans("0123456789X", "０１２３４５６７８９ｘ"))
    staff = [(p.A, f" {wide} ", "曾名"), (p.A, "110101199003070038", "无人"), (p.B, other["SFZJH"], "他校")]
    posts = [(p.A, first["SFZJH"].lower(), "NONE", "01"), (p.A, second["SFZJH"], "", "01")]
    put_staff(tmp_path / "src", staff, posts)
    assert made.day().alarms == ()
    at = load_catalog().entities["jzg"].columns.index("CYM") + 1
    named = made.ask(f"SELECT GH, CYM, substr(prov, {at}, 1) FROM g_jzg WHERE CYM IN ('曾名', '无人', '他校')")
    assert named == [(first["GH"], "曾名", "A")], "the card counts within the school that names it"
    lost = made.ask("SELECT field, count(*) FROM known_issue WHERE rule = '主记录未入库' AND source = 'X1' GROUP BY 1")
    assert lost == [("GH", 2)]
    posted = made.ask("SELECT GH, JGH, SZZYBH FROM g_jzg_gz WHERE SZZYBH = '01' ORDER BY GH")
    assert posted == [(first["GH"], None, "01"), (second["GH"], None, "01")]
    fallen = made.ask("SELECT rule, field, source, state FROM known_issue WHERE entity = 'jzg_gz' AND rule = 'GL04'")
    assert fallen == [("GL04", "JGH", "X1", "隔离")]
    assert len(made.golden("jzg_gz")) == len(world.golden["jzg_gz"])
