"""Rows that are bad by themselves: kept out, told to the sender, too many of them void the batch (protocol 7.2)."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ministry_node.release import release
from province_node.listen import listen
from province_node.returned import close_returned
from tests.acceptance.test_content import TWO
from tests.ministry.forge import CATALOG, Province
from tests.round.labs import AT, audit_holds, rows, store_of


def spoiled(province: Province, count: int, bad: int, *, ver: int = 2) -> pa.Table:
    """`count` family members at version `ver`, the first `bad` of them with a code that no table knows."""
    table = province.changes("xs_jtcy", count, ver=ver)
    at = table.schema.get_field_index("GXM")
    codes = ["zz" if n < bad else value for n, value in enumerate(table.column("GXM").to_pylist())]
    return table.set_column(at, "GXM", pa.array(codes, pa.string()))


def returned(province: Province, node: Any = None) -> list[tuple[Any, ...]]:
    found = rows(node or province.ministry, "returned_row", "pk, rule, field")
    return [(r["row_ver"], r["row_no"], r["rule"], r["field"], r["cleared_by"]) for r in found]


@pytest.mark.row(51, "3 % bad rows / 6 % bad rows", "PARTIAL with error file / VOID")
def test_row_51_three_per_cent_bad_rows_are_kept_out_and_told_to_the_province(province: Province) -> None:
    before = province.golden()
    forged = province.batch([("xs_jtcy", spoiled(province, 200, 6))])
    province.upload(forged)
    result = province.intake()
    (decision,) = result.decisions
    assert (decision.verdict, decision.counts.upd, decision.counts.quarantined) == ("PARTIAL", 194, 6)
    assert province.golden()["xs_jtcy"].rows == before["xs_jtcy"].rows
    pks = forged_pks(province, 6)
    found = rows(province.ministry, "returned_row", "row_no")
    assert [(r["pk"], r["row_no"], r["rule"], r["field"]) for r in found] == [
        (pk, n, "YX05", "GXM") for n, pk in enumerate(pks, 1)
    ]
    store_keeps_old_version(province, pks)
    (down,) = rows(province.ministry, "down_batch")
    assert (down["stream"], down["party"], down["rows_i"]) == ("errors", "13", 6)
    assert down["shipped_at"]
    assert audit_holds(province.ministry)


@pytest.mark.row(51, "3 % bad rows / 6 % bad rows", "PARTIAL with error file / VOID")
def test_row_51_six_per_cent_bad_rows_void_the_batch(province: Province) -> None:
    golden, hi = province.golden(), province.position()["hi"]
    forged = province.batch([("xs_jtcy", spoiled(province, 200, 12))])
    province.upload(forged)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("VOID", "E_ROWS_BAD")
    assert province.golden() == golden
    assert province.position()["hi"] == hi
    assert returned(province) == []
    (down,) = rows(province.ministry, "down_batch")
    assert down["rows_i"] == 12


@pytest.mark.row(51, "3 % bad rows / 6 % bad rows", "PARTIAL with error file / VOID")
def test_row_51_a_later_version_takes_a_row_out_of_quarantine(province: Province) -> None:
    province.upload(province.batch([("xs_jtcy", spoiled(province, 200, 6))]))
    assert province.decide().verdict == "PARTIAL"
    mended = province.batch([("xs_jtcy", spoiled(province, 4, 0, ver=3))])
    province.upload(mended)
    assert province.decide().verdict == "APPLIED"
    cleared = [r["cleared_by"] for r in rows(province.ministry, "returned_row", "row_no")]
    assert cleared == [mended.manifest.batch_id] * 4 + [None] * 2


@pytest.mark.row(51, "3 % bad rows / 6 % bad rows", "PARTIAL with error file / VOID")
def test_row_51_a_held_batch_with_bad_rows_is_partial_on_release(province: Province) -> None:
    gone = province.changes("xs_jz", 459, "D")
    forged = province.batch([("xs_jz", gone), ("xs_jtcy", spoiled(province, 100, 2))])
    province.upload(forged)
    assert province.decide().verdict == "HELD"
    assert returned(province) == []
    done = release(province.ministry, forged.manifest.batch_id, **TWO, at=AT)
    assert (done.verdict, done.counts.deleted, done.counts.quarantined) == ("PARTIAL", 459, 2)
    assert len(returned(province)) == 2


def forged_pks(province: Province, count: int) -> list[str]:
    found: list[str] = province.changes("xs_jtcy", count).column("pk").to_pylist()
    return found


def store_keeps_old_version(province: Province, pks: list[str]) -> None:
    named = ",".join(f"'{pk}'" for pk in pks)
    found = rows(province.ministry, f"g_xs_jtcy WHERE pk IN ({named})", "pk")
    assert {r["row_ver"] for r in found} == {1}


@pytest.mark.row(51, "3 % bad rows / 6 % bad rows", "PARTIAL with error file / VOID")
def test_row_51_the_error_file_is_read_at_the_province_and_closed_by_the_mended_record(province: Province) -> None:
    node = province.lab.province
    forged = province.batch([("xs_jtcy", spoiled(province, 200, 2))])
    province.upload(forged)
    assert province.decide().verdict == "PARTIAL"
    heard = listen(node, at=AT)
    assert [(b.stream, b.rows) for b in heard.down.batches] == [("errors", 2)]
    assert returned(province, node) == returned(province)
    issues = [r for r in rows(node, "quarantine") if r["source"] == "部级退回"]
    assert [(r["entity"], r["rule"], r["field"], r["closed_run"]) for r in issues] == [
        ("xs_jtcy", "YX05", "GXM", None)
    ] * 2
    assert all(r["natural_key"] for r in issues)
    assert listen(node, at=AT).down.batches == ()

    mended = spoiled(province, 1, 0, ver=3)
    store = store_of(node)
    try:
        with store.begin() as tx:
            tx.apply(CATALOG.entities["xs_jtcy"], "13", mended.to_batches(), batch="mended", at=AT)
            assert close_returned(tx, CATALOG, "13", ["xs_jtcy"], by="change set 2", run=2) == 1
    finally:
        store.close()
    assert sorted(r["closed_run"] or 0 for r in rows(node, "quarantine") if r["source"] == "部级退回") == [0, 2]
