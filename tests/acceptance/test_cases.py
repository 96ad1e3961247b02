"""One person in two provinces: found by keyed digests however the number was written, and exactly one case."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ministry_node.blind_index import identity_number
from tests.cases.network import HEBEI, JIANGSU, Two, found_in
from tests.ministry.forge import Province
from tests.round.labs import audit_holds

WIDE = {ord(c): ord(c) + 0xFEE0 for c in "0123456789X"}
# One person, born 1980: as a card says it, as a site's clerk typed it, as the first generation's card said it.
NEW = "11010519491231002X"
OLD = "110105491231002"
WRITTEN = {
    "upper case": NEW,
    "lower case x": NEW.lower(),
    "full-width digits": NEW.translate(WIDE),
    "blanks around": f" {NEW} ",
    "fifteen digits": OLD,
}


@pytest.fixture
def two(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Two:
    return found_in(tmp_path_factory.getbasetemp()).copy(tmp_path / "network")


def student(province: Province, number: str, kind: str, *, ver: int, at: int) -> pa.Table:
    """A student of the province's own first batch, now with this document."""
    table = province.changes("xs", 150, ver=ver)
    # By a document type that no rule of one row reads as an identity card: what sites send is not always a card.
    row = table.filter(pc.not_equal(pc.fill_null(table.column("SFZJH"), ""), "")).slice(at, 1)
    for name, value in (("SFZJLXM", kind), ("SFZJH", number)):
        row = row.set_column(row.schema.get_field_index(name), name, pa.array([value], pa.string()))
    return row


def bring(two: Two, party: str, number: str, *, ver: int, kind: str = "B", at: int = 120) -> str:
    """A batch of the province that says so; its verdict."""
    province = Province(two.lab(party))
    province.upload(province.batch([("xs", student(province, number, kind, ver=ver, at=at))]))
    (decision,) = two.intake().decisions
    return decision.verdict


@pytest.mark.row(73, "same person, x/X, full-width digits, 15-digit ID in two provinces", "one case opened")
def test_row_73_one_person_written_five_ways_in_two_provinces_is_one_case(two: Two) -> None:
    before = two.cases()
    assert {identity_number(text, "B") for text in WRITTEN.values()} == {NEW}
    assert bring(two, HEBEI, WRITTEN["lower case x"], ver=2) == "APPLIED"
    assert two.cases() == before  # one province alone is no case
    for ver, name in enumerate(WRITTEN, start=2):
        assert bring(two, JIANGSU, WRITTEN[name], ver=ver) == "APPLIED", name
        (case,) = two.cases()[len(before) :]
        assert (case["state"], case["round_no"]) == ("待下发", 1), name
        assert [(p["node"], p["standing"]) for p in two.parties(case["case_no"])] == [(HEBEI, "1"), (JIANGSU, "1")]
    assert bring(two, HEBEI, WRITTEN["full-width digits"], ver=3) == "APPLIED"
    assert len(two.cases()) == len(before) + 1
    assert audit_holds(two.ministry)


@pytest.mark.row(73, "same person, x/X, full-width digits, 15-digit ID in two provinces", "one case opened")
def test_row_73_another_persons_number_opens_no_case(two: Two) -> None:
    before = two.cases()
    assert bring(two, HEBEI, NEW, ver=2) == "APPLIED"
    other = "110105194912310038"
    assert identity_number(other, "B") == other
    assert bring(two, JIANGSU, other, ver=2) == "APPLIED"
    assert two.cases() == before
