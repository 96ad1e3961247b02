"""Cases are opened, ended and brought back by rows alone."""

from __future__ import annotations

import json
import os

import pyarrow as pa
import pytest

from hub.errors import KeyMaterialError, UsageError
from ministry_node.matching import rescan
from ministry_node.matching_run import rotate_key
from tests.cases.network import HEBEI, JIANGSU, Two, forge, held
from tests.ministry.forge import Province
from tests.round.labs import rows


def test_four_people_in_two_provinces_are_four_cases_with_two_parties_each(two: Two) -> None:
    assert [c["case_no"] for c in two.cases()] == [f"K0000000{n}" for n in (1, 2, 3, 4)]
    assert {(c["state"], c["cause"], c["round_no"]) for c in two.cases()} == {("待下发", "重复登记", 1)}
    for case in two.cases():
        parties = two.parties(case["case_no"])
        assert [(p["node"], p["standing"]) for p in parties] == [(HEBEI, "1"), (JIANGSU, "1")]
        here, there = (two.record(p["node"], p["pk"]) for p in parties)
        assert here["sfzjh"] == there["sfzjh"]
        assert parties[0]["pk"] != parties[1]["pk"]


@pytest.mark.parametrize(
    ("entity", "op", "values", "cause"),
    [
        ("xs", "D", {}, "32 记录已注销"),
        ("xs_xj", "U", {"XSDQZTM": "10"}, "32 已转出"),
        ("xs_xj", "U", {"XSDQZTM": "99"}, "32 不再在读"),
        ("xs_xj", "D", {}, "32 不再在读"),
        ("xs", "U", {"SFZJLXM": "A", "SFZJH": "P1234567"}, "32 证件已更正"),
    ],
)
def test_a_case_ends_by_itself_with_the_batch_as_evidence(
    two: Two, entity: str, op: str, values: dict[str, str], cause: str
) -> None:
    case = two.cases()[1]
    there = two.parties(case["case_no"])[1]
    batch = forge(two, JIANGSU, entity, there["pk"], op, **values)
    after = two.cases()
    assert [c["state"] for c in after] == ["待下发", "已关闭", "待下发", "待下发"]
    assert (after[1]["cause"], after[1]["evidence"], after[1]["closed_by"]) == (cause, batch, "hub")
    assert [(p["standing"], p["left_by"]) for p in two.parties(case["case_no"])] == [("1", None), ("0", batch)]
    assert two.said(case["case_no"])[-1] == ("自动关闭", "已关闭", cause)


def test_a_new_matching_key_keeps_every_case_and_leaves_no_mark_under_the_old_one(two: Two) -> None:
    """Protocol 14.4: and what ends or returns afterwards is found under the new key."""
    before, marks = two.cases(), rows(two.ministry, "person_mark")
    with pytest.raises(UsageError):
        rotate_key(two.ministry, by="甲", second="甲", at=two.now, rng=os.urandom)
    assert rows(two.ministry, "person_mark") == marks
    number = rotate_key(two.ministry, by="甲", second="乙", at=two.now, rng=os.urandom)
    after, renewed = two.cases(), rows(two.ministry, "person_mark")
    assert {m["key_ver"] for m in renewed} == {number} != {m["key_ver"] for m in marks}
    assert {(m["node"], m["pk"]) for m in renewed} == {(m["node"], m["pk"]) for m in marks}
    assert {m["mark"] for m in renewed} & {m["mark"] for m in marks} <= {None, ""}  # who has no document
    assert [{**c, "mark": ""} for c in after] == [{**c, "mark": ""} for c in before]
    assert {c["mark"] for c in after} <= {m["mark"] for m in renewed}
    assert [p.name for p in (two.ministry.keys / "matching").iterdir()] == [f"bi-{number:06d}.key"]
    there = two.parties(before[0]["case_no"])[1]
    forge(two, JIANGSU, "xs_xj", there["pk"], XSDQZTM="10")
    forge(two, JIANGSU, "xs_xj", there["pk"])
    assert [c["case_no"] for c in two.cases()] == [c["case_no"] for c in before]
    assert [c["round_no"] for c in two.cases()] == [2, 1, 1, 1]


def test_a_registration_that_returns_reopens_its_case_under_the_same_number(two: Two) -> None:
    case = two.cases()[0]
    there = two.parties(case["case_no"])[1]
    forge(two, JIANGSU, "xs_xj", there["pk"], XSDQZTM="10")
    assert two.cases()[0]["state"] == "已关闭"
    batch = forge(two, JIANGSU, "xs_xj", there["pk"])
    after = two.cases()
    assert len(after) == 4
    assert (after[0]["case_no"], after[0]["state"], after[0]["round_no"]) == (case["case_no"], "待下发", 2)
    assert (after[0]["cause"], after[0]["evidence"], after[0]["closed_at"]) == ("重复登记再现", batch, None)
    forge(two, JIANGSU, "xs", there["pk"], "D")
    forge(two, JIANGSU, "xs", there["pk"], "I")
    assert (two.cases()[0]["state"], two.cases()[0]["round_no"]) == ("待下发", 3)
    assert [a for a, _, _ in two.said(case["case_no"])] == ["发现", "自动关闭", "重开", "自动关闭", "重开"]


def test_an_older_version_and_a_row_without_news_change_no_mark_and_no_case(two: Two) -> None:
    before, marks = two.cases(), rows(two.ministry, "person_mark", "node, pk")
    there = two.parties(before[0]["case_no"])[1]
    province = Province(two.lab(JIANGSU))
    row = held(province, "xs", there["pk"])
    row = row.set_column(row.schema.get_field_index("SFZJLXM"), "SFZJLXM", pa.array(["A"]))
    province.upload(province.batch([("xs", row)]))  # the version the ministry holds already
    assert province.decide().counts.noop_old_version == 1
    assert (two.cases(), rows(two.ministry, "person_mark", "node, pk")) == (before, marks)


def test_a_full_rescan_finds_what_the_batches_found(two: Two) -> None:
    before, marks = two.cases(), rows(two.ministry, "person_mark", "node, pk")
    parties, enrolments = two.parties(), rows(two.ministry, "enrolment_mark", "node, pk")
    with two.desk() as desk:
        assert not rescan(desk, desk.parties)
    assert (two.cases(), two.parties()) == (before, parties)
    assert rows(two.ministry, "person_mark", "node, pk") == marks
    assert rows(two.ministry, "enrolment_mark", "node, pk") == enrolments


def test_no_identity_number_stands_in_the_index_or_in_a_case(two: Two) -> None:
    tables = ("person_mark", "enrolment_mark", "cross_case", "case_party", "case_event", "audit_event")
    told = json.dumps([dict(r) for name in tables for r in rows(two.ministry, name)], default=str)
    parties = two.parties()
    numbers = {two.record(p["node"], p["pk"])[f] for p in parties for f in ("sfzjh", "grbsm")}
    assert len(numbers) > 4
    assert not [n for n in numbers if n in told or n[1:] in told]


def test_a_lost_key_stops_the_batch_and_nothing_is_matched_with_another(two: Two) -> None:
    key = two.ministry.keys / "matching" / "bi-000001.key"
    kept = key.read_text()
    before, marks = two.cases(), rows(two.ministry, "person_mark", "node, pk")
    there = two.parties(before[0]["case_no"])[1]
    province = Province(two.lab(JIANGSU))
    row = held(province, "xs", there["pk"])
    row = row.set_column(row.schema.get_field_index("row_ver"), "row_ver", pa.array([9], pa.int64()))
    province.upload(province.batch([("xs", row)]))
    for other in (None, "ab" * 32):
        key.unlink() if other is None else key.write_text(other)
        with pytest.raises(KeyMaterialError, match="E3801"):
            two.intake()
        assert (two.cases(), rows(two.ministry, "person_mark", "node, pk")) == (before, marks)
    key.write_text(kept)
    assert [d.verdict for d in two.intake().decisions] == ["APPLIED"]
