"""Matching: suspects are listed with evidence and never merged; the crosswalk of school codes is checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub.errors import UsageError
from quality.crosswalk import Row, check
from quality.matching import load_crosswalk
from quality.suspects import READ, Suspect, suspects


def person(n: int, **values: Any) -> dict[str, Any]:
    """A student with a record number of its own; everything else by name."""
    base: dict[str, Any] = {c: None for columns in READ.values() for c in columns}
    base |= {"GRBSM": f"G{n}", "XXDM": f"36130001{n:02d}", "XM": f"甲{n}", "CSRQ": "20100101", "XBM": "1",
             "SFZJLXM": "1", "SFZJH": f"{n:018d}", "MZM": "01", "SYDXZQHM": "130102"}  # fmt: skip
    return base | values


def found(*people: dict[str, Any], splink: bool = False) -> tuple[Suspect, ...]:
    def read(entity: str, columns: Sequence[str]) -> Iterable[Any]:
        rows = [{"pk": f"{i:020d}", **{c: p[c] for c in columns}} for i, p in enumerate(people)]
        schema = pa.schema([("pk", pa.string()), *((c, pa.string()) for c in columns)])
        yield from pa.Table.from_pylist(rows, schema=schema).to_batches()

    return suspects(read, splink=splink)


def test_only_people_alike_in_name_birth_sex_and_origin_with_other_documents_are_suspects() -> None:
    same = {"XM": "王小明"}
    pairs = found(person(1, **same), person(2, **same), person(3), person(4, **same, SYDXZQHM="130103"))
    assert [(p.pk_a, p.pk_b) for p in pairs] == [(f"{0:020d}", f"{1:020d}")]
    assert not found(person(1, **same), person(2, **same, SFZJH=f"{1:018d}")), "one document, one person"


def test_a_rare_agreement_weighs_more_than_a_common_one_and_a_difference_speaks_against() -> None:
    crowd = [person(n, LXDH=f"139111111{n}") for n in range(20, 60)]
    same = {"XM": "王小明"}
    by_phone = found(*crowd, person(1, **same, LXDH="13900000001"), person(2, **same, LXDH="13900000001"))
    by_people = found(*crowd, person(1, **same), person(2, **same))
    against = found(*crowd, person(1, **same, LXDH="13900000001"), person(2, **same, LXDH="13900000002"))
    assert "联系电话" in by_phone[0].same
    assert "联系电话" in against[0].other
    assert by_phone[0].score > by_people[0].score > against[0].score


def test_splink_scores_the_same_pairs_where_it_is_installed_and_asked_for() -> None:
    pytest.importorskip("splink", reason="optional extra: pip install .[splink]")
    crowd = [person(n, LXDH=f"139111111{n}") for n in range(20, 60)]
    one, other = {"XM": "王小明"}, {"XM": "李小红"}
    people = [
        *crowd, person(1, **one, LXDH="13900000001"), person(2, **one, LXDH="13900000001"),
        person(3, **other, LXDH="13900000003"), person(4, **other, LXDH="13900000004"),
    ]  # fmt: skip
    by_splink, own = found(*people, splink=True), found(*people)
    assert [(s.pk_a, s.pk_b, s.same, s.other) for s in by_splink] == [(s.pk_a, s.pk_b, s.same, s.other) for s in own]
    assert by_splink[0].score > by_splink[1].score
    assert found(*people, splink=True) == by_splink, "a fixed seed"


def test_without_splink_its_score_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quality.suspects_splink.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="E3452"):
        found(person(1), splink=True)


def test_the_list_holds_no_personal_value() -> None:
    (pair,) = found(person(1, XM="王小明", SFZJH="13010220100101001X"), person(2, XM="王小明"))
    told = repr(pair)
    assert "王小明" not in told
    assert "13010220100101001X" not in told


def test_every_kind_of_code_change_is_named_and_what_does_not_hold_is_said() -> None:
    schools = {"N1": "1", "N2": "1", "N3": "4", "N4": "1", "O6": "1"}
    rows = [
        Row("O1", "N1", True, "2014"), Row("O2", "N2", True, ""), Row("O3", "N2", True, ""), Row("O4", "N3", True, ""),
        Row("O5", "N1X", True, ""), Row("O6", "N4", False, ""), Row("O7", "N4", True, "2014"),
        Row("O7", "N1", True, "2018"),
    ]  # fmt: skip
    told = {(c.row.old, c.row.new): c for c in check(rows, schools)}
    kinds = {pair: c.kind for pair, c in told.items()}
    assert (kinds["O2", "N2"], kinds["O3", "N2"], kinds["O4", "N3"]) == ("合并", "合并", "撤销")
    assert (kinds["O7", "N4"], kinds["O7", "N1"]) == ("拆分", "拆分")
    assert told["O7", "N4"].until == "2018"
    assert told["O5", "N1X"].faults == ("新码学校不在正式库",)
    assert set(told["O6", "N4"].faults) == {"未确认，未采用", "旧码学校仍在正式库"}
    assert told["O2", "N2"].faults == ()


def test_every_row_of_the_crosswalk_is_kept_with_its_date_and_the_latest_of_a_split_applies(tmp_path: Path) -> None:
    file = tmp_path / "dz.parquet"
    given = [
        ("O1", "N1", "1", "2014-01-01 00:00:00"),
        ("O1", "N2", "1", "2018-05-01 00:00:00"),
        ("O2", "N2", "0", None),
    ]
    names = ("JXXDM", "XXDM", "QRZTM", "GXSJ")
    pq.write_table(pa.Table.from_pylist([dict(zip(names, r, strict=True)) for r in given]), file)
    con = duckdb.connect()
    con.execute("CREATE TABLE crosswalk (old VARCHAR, new VARCHAR, confirmed BOOLEAN, _ext INTEGER, _line BIGINT)")
    for _ in range(2):  # read again, it is the same
        load_crosswalk(con, str(file), 3)
    assert con.execute("SELECT old, new, confirmed FROM crosswalk ORDER BY ALL").fetchall() == [
        ("O1", "N2", True),
        ("O2", "N2", False),
    ]
    rows = con.execute("SELECT old, new, confirmed, since FROM crosswalk_row ORDER BY ALL").fetchall()
    con.close()
    told = check([Row(*r) for r in rows], {"N1": "1", "N2": "1"})
    assert [(c.row.old, c.row.new, c.row.since, c.until, c.kind) for c in told][:2] == [
        ("O1", "N1", "2014-01-01", "2018-05-01", "拆分"),
        ("O1", "N2", "2018-05-01", "", "拆分"),
    ]
