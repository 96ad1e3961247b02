"""Clean rows break no rule: judged here by the definitions in `schemas/` and by python-stdnum, not by the generator."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from stdnum.cn import ric, uscc
from stdnum.iso7064 import mod_11_2

from hub.catalog import Catalog, Field, SourceColumn, SourceTable, load_catalog
from tests.sample.conftest import Sources

FORMS = {
    "date8": "%Y%m%d",
    "date-dash": "%Y-%m-%d",
    "yyyymm": "%Y%m",
    "month-dash": "%Y-%m",
    "yyyy": "%Y",
    "timestamp": "%Y-%m-%d %H:%M:%S",
}


@pytest.fixture(scope="module")
def catalog(clean: Sources) -> Catalog:
    return load_catalog(clean.folder / "site_dictionaries.csv")


def _tables(catalog: Catalog) -> list[SourceTable]:
    return [t for t in catalog.source_tables() if t.entity]


def _pairs(catalog: Catalog, table: SourceTable) -> list[tuple[SourceColumn, Field]]:
    entity = catalog.entities[str(table.entity)]
    return [(c, entity[c.name]) for c in table.columns if c.name in entity.by_name]


def _codes_of(catalog: Catalog, table: str, label: str) -> set[str]:
    by_name = {c for c, n in catalog.codes.tables[table].codes.items() if n == label}
    mapped = catalog.codes.labels.get(table, {}).get(label)
    return by_name | ({mapped} if mapped else set())


def test_every_required_field_of_a_clean_row_is_filled(clean: Sources, catalog: Catalog) -> None:
    for table in _tables(catalog):
        required = [c.name for c, f in _pairs(catalog, table) if f.required == "M"]
        for row in clean.rows(table.name):
            assert [n for n in required if not row[n]] == [], table.name


def test_no_clean_value_is_longer_than_its_field(clean: Sources, catalog: Catalog) -> None:
    for table in _tables(catalog):
        limits = {c.name: f.length for c, f in _pairs(catalog, table) if f.length and f.type == "C"}
        limits = {n: k + 2 if "date" in _form(table, n) or "dash" in _form(table, n) else k for n, k in limits.items()}
        coded = {c.name for c in table.columns if c.form == "label"}
        for row in clean.rows(table.name):
            long = [n for n, limit in limits.items() if n not in coded and len(row[n] or "") > limit]
            assert long == [], table.name


def _form(table: SourceTable, name: str) -> str:
    return next(c.form for c in table.columns if c.name == name)


def test_every_clean_code_and_label_stands_for_exactly_one_code(clean: Sources, catalog: Catalog) -> None:
    for table in _tables(catalog):
        for column, field in _pairs(catalog, table):
            if field.code is None:
                continue
            values = {r[column.name] for r in clean.rows(table.name)} - {None}
            for value in values:
                assert value is not None
                known = catalog.codes.tables[field.code].codes
                found = _codes_of(catalog, field.code, value) if column.form == "label" else {value} & set(known)
                assert len(found) == 1, (table.name, column.name, value)


def test_every_clean_date_has_the_form_its_source_promises(clean: Sources, catalog: Catalog) -> None:
    for table in _tables(catalog):
        for column in table.columns:
            if column.form not in FORMS:
                continue
            for row in clean.rows(table.name):
                value = row[column.name]
                if value is not None:
                    assert datetime.strptime(value, FORMS[column.form]).strftime(FORMS[column.form]) == value


def test_every_clean_division_is_in_force_or_was(clean: Sources, catalog: Catalog) -> None:
    for table in _tables(catalog):
        for column, field in _pairs(catalog, table):
            known = {"division": catalog.codes.divisions_current, "division_history": catalog.codes.divisions}
            if field.kind in known:
                assert {r[column.name] for r in clean.rows(table.name)} - {None} <= known[field.kind]


def test_every_clean_id_number_is_valid_and_says_the_same_birth_and_sex(clean: Sources) -> None:
    people = [(r, str(r["CSRQ"]), r["XBM"] == "1") for r in clean.rows("S1.XS_JBXX") if r["SFZJLXM"] == "1"]
    people += [(r, str(r["CSRQ"]).replace("-", ""), r["XBM"] == "男") for r in clean.rows("S2.JZG_JBXX")]
    assert len(people) > 4000
    for row, birth, male in people:
        number = str(row["SFZJH"])
        assert ric.calc_check_digit(number) == number[-1]
        assert ric.get_birth_date(number) == datetime.strptime(birth, "%Y%m%d").date()
        assert (int(number[16]) % 2 == 1) == male
        assert not row.get("GRBSM") or ric.is_valid(number)
    numbers = [str(r["SFZJH"]) for r, _, _ in people]
    assert len(set(numbers)) == len(numbers)


def test_every_student_number_is_formed_by_its_type(clean: Sources) -> None:
    rows = clean.rows("S1.XS_JBXX")
    kinds = {str(r["GRBSM"])[0] for r in rows}
    assert kinds == {"G", "J", "L"}
    assert len({r["GRBSM"] for r in rows}) == len(rows)
    for row in rows:
        number, card = str(row["GRBSM"]), row["SFZJH"]
        assert len(number) == 19
        assert number[7:15] == row["CSRQ"]
        if number[0] == "L":
            assert number[1:].isdigit()
        else:
            assert mod_11_2.is_valid(number[1:])
        if number[0] == "G":
            assert number[1:] == card
        else:
            assert (row["SFZJLXM"], card) == ("Z", None)


def test_every_school_has_a_valid_credit_code_and_a_name_of_its_own(clean: Sources) -> None:
    rows = clean.rows("S3.XX_JBXX")
    assert all(uscc.is_valid(str(r["TYSHXYDM"])) for r in rows)
    assert len({r["XXMC"] for r in rows}) == len(rows)
    assert all(str(r["XXDM"])[:4] in ("3613", "4113") for r in rows)


def test_every_clean_student_sits_in_a_class_of_the_own_school_with_its_major(clean: Sources) -> None:
    lost = """SELECT count(*) FROM XS_XJXX s WHERE s.BH IS NOT NULL AND NOT EXISTS (SELECT 1 FROM BJ_XX b
              WHERE b.XXDM = s.XXDM AND b.BH = s.BH AND b.ZYBH = s.ZYBH AND b.ZYDM = s.ZYDM AND b.NJDM = s.NJDM)"""
    assert clean.ask("S1", lost) == [(0,)]
    orphans = """SELECT count(*) FROM BJ_XX b WHERE NOT EXISTS
                 (SELECT 1 FROM ZY_SZ z WHERE z.XXDM = b.XXDM AND z.ZYBH = b.ZYBH AND z.ZYDM = b.ZYDM)"""
    assert clean.ask("S1", orphans) == [(0,)]
    assert clean.ask("S1", "SELECT count(*) FROM XS_XJXX WHERE XSDQZTM = '01' AND BH IS NULL") == [(0,)]


def test_every_clean_state_agrees_with_the_last_change(clean: Sources) -> None:
    last = """SELECT y.YDLBM, x.XSDQZTM FROM XS_XJYD y JOIN XS_XJXX x USING (GRBSM)
              WHERE y.YDRQ = (SELECT max(YDRQ) FROM XS_XJYD WHERE GRBSM = y.GRBSM)"""
    pairs = set(clean.ask("S1", last))
    assert pairs <= {("11", "02"), ("12", "01"), ("31", "03"), ("42", "14"), ("22", "01"), ("23", "01"), ("29", "01")}
    assert len(pairs) >= 5


def test_clean_majors_are_named_as_their_catalogue_names_them(clean: Sources, catalog: Catalog) -> None:
    versions = set()
    for row in clean.rows("S1.ZY_SZ"):
        version = "2010" if str(row["ZYDM"]) < "60" else "2021"
        versions.add(version)
        assert catalog.codes.majors[version, str(row["ZYDM"])] == row["ZYMC"]
    assert versions == {"2010", "2021"}


def test_conditions_between_fields_of_a_clean_row_hold(clean: Sources) -> None:
    wz02 = "SELECT count(*) FROM XS_JBSX WHERE ZSFSM = '1' AND (ZKZH IS NULL OR KSH IS NULL OR KSZF IS NULL)"
    wz03 = "SELECT count(*) FROM XS_JBSX WHERE LZHZLXM <> '1' AND (LZHZBXXSM IS NULL OR LZHZXXDM IS NULL)"
    assert clean.ask("S1", wz02) == clean.ask("S1", wz03) == [(0,)]
    ages = "SELECT x.CSRQ, s.RXNY FROM XS_JBXX x JOIN XS_XJXX s USING (GRBSM)"
    for birth, entry in clean.ask("S1", ages):
        age = (date(int(entry[:4]), int(entry[4:]), 1) - date(int(birth[:4]), int(birth[4:6]), int(birth[6:]))).days
        assert 13 * 365 <= age <= 22 * 365
    schools = {r["XXDM"] for r in clean.rows("S3.XX_JBXX")}
    for name in ("S1.XS_JBXX", "S1.XS_XJXX", "S2.JZG_JBXX", "S2.JZG_GZXX", "S1.BJ_XX"):
        assert {r["XXDM"] for r in clean.rows(name)} <= schools


def test_numbers_that_must_be_unique_are(clean: Sources) -> None:
    for system, table, key in (
        ("S1", "XS_JBXX", "XXDM || XH"),
        ("S1", "XS_BYXX", "BYZSH"),
        ("S1", "BJ_XX", "XXDM || NJDM || BJMC"),
        ("S1", "XS_XJYD", "GRBSM || YDLBM || YDRQ"),
        ("S2", "JZG_JBXX", "XXDM || GH"),
    ):
        (all_rows, distinct), *_ = clean.ask(system, f"SELECT count(*), count(DISTINCT {key}) FROM {table}")
        assert all_rows == distinct > 0


def test_clean_data_has_no_cases_and_every_row_golden(clean: Sources) -> None:
    totals = clean.answers["totals"]
    assert clean.answers["cases"] == []
    for table in load_catalog().source_tables():
        if table.entity:
            assert totals["golden"]["day1"][table.entity] == totals["sources"][table.name]
            assert totals["sources"][table.name] == len(clean.rows(table.name))
