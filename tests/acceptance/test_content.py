"""Validly signed batches with content that must not enter (protocol 15 #49, #50, #53-#55)."""

from __future__ import annotations

import io
import json
import os
import struct
import time
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub.batch.manifest import RowCounts, Watermark
from hub.cli import main
from hub.cli.shell import Shell
from hub.errors import UsageError
from ministry_node.release import release, void
from tests.ministry.forge import Forged, Province
from tests.round.labs import AT, audit_holds, events, rows

TWO: dict[str, Any] = {"by": "operator-a", "second": "operator-b", "reason": "学校合并，名册已核对"}


def assert_void(province: Province, forged: Forged, code: str) -> None:
    """The number is used up, and not one row, nor the change-log position, has moved."""
    before = province.state()
    province.upload(forged)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("VOID", code)
    after = province.state()
    assert (after["golden"], after["lineage"]) == (before["golden"], before["lineage"])
    here, there = before["peer_stream"][0], after["peer_stream"][0]
    assert there == {**here, "last_seq": here["last_seq"] + 1, "last_digest": forged.digest}
    (entry,) = after["inbox"][len(before["inbox"]) :]
    assert (entry["verdict"], entry["rows_i"], entry["rows_u"], entry["rows_d"]) == ("VOID", 0, 0, 0)
    assert province.plaintext_left() == []


@pytest.mark.row(49, "counts, operations, watermark wrong", "VOID E_COUNTS / E_WATERMARK")
def test_row_49_more_rows_declared_than_sent_void_the_batch(province: Province) -> None:
    """Row 49: counts."""
    forged = province.batch(part={"counts": RowCounts(0, 2, 0)})
    assert_void(province, forged, "E_COUNTS")


@pytest.mark.row(49, "counts, operations, watermark wrong", "VOID E_COUNTS / E_WATERMARK")
def test_row_49_updates_declared_as_inserts_void_the_batch(province: Province) -> None:
    """Row 49: operations."""
    assert_void(province, province.batch(part={"counts": RowCounts(1, 0, 0)}), "E_COUNTS")


@pytest.mark.row(49, "counts, operations, watermark wrong", "VOID E_COUNTS / E_WATERMARK")
def test_row_49_a_count_that_is_wrong_in_the_second_file_takes_the_first_files_rows_back(province: Province) -> None:
    """Row 49: the first file was merged already when the second one is counted."""
    plain = province.batch([("xx", province.changes("xx", 3)), ("jg", province.changes("jg", 3))])
    first, second = plain.manifest.files
    lie = replace(second, rows=RowCounts(0, 4, 0))
    mark = replace(plain.manifest.watermark, hi=plain.manifest.watermark.hi + 1)
    forged = province.sign(replace(plain.manifest, files=(first, lie), watermark=mark), plain.parts)
    assert_void(province, forged, "E_COUNTS")


@pytest.mark.row(49, "counts, operations, watermark wrong", "VOID E_COUNTS / E_WATERMARK")
def test_row_49_row_groups_declared_that_are_not_there_void_the_batch(province: Province) -> None:
    plain = province.batch()
    (entry,) = plain.manifest.files
    forged = province.sign(replace(plain.manifest, files=(replace(entry, row_groups=7),)), plain.parts)
    assert_void(province, forged, "E_COUNTS")


@pytest.mark.row(49, "counts, operations, watermark wrong", "VOID E_COUNTS / E_WATERMARK")
def test_row_49_more_rows_than_change_log_ids_void_the_batch(province: Province) -> None:
    lo = province.position()["hi"] + 1
    forged = province.batch([("xx", province.changes("xx", 3))], watermark=Watermark(lo, lo + 1))
    assert_void(province, forged, "E_WATERMARK")


@pytest.mark.row(49, "counts, operations, watermark wrong", "VOID E_COUNTS / E_WATERMARK")
@pytest.mark.parametrize("shift", [-1, 1, 1000])
def test_row_49_a_hole_or_an_overlap_in_the_change_log_voids_the_batch(province: Province, shift: int) -> None:
    """Row 49: watermark."""
    lo = province.position()["hi"] + 1 + shift
    assert_void(province, province.batch(watermark=Watermark(lo, lo)), "E_WATERMARK")


@pytest.mark.row(50, "schema unknown, column extra, type changed, nested", "VOID E_SCHEMA")
def test_row_50_an_unregistered_schema_version_voids_the_batch(province: Province) -> None:
    """Row 50."""
    plain = province.batch()
    forged = province.sign(replace(plain.manifest, schema=replace(plain.manifest.schema, version="1.0.1")), plain.parts)
    assert_void(province, forged, "E_SCHEMA")


def extra_column(table: pa.Table) -> pa.Table:
    return table.append_column("sfzjh2", pa.array(["x"] * table.num_rows))


def other_type(table: pa.Table) -> pa.Table:
    return table.set_column(2, "row_ver", table.column("row_ver").cast(pa.int32()))


def nested(table: pa.Table) -> pa.Table:
    return table.set_column(3, "src_rid", pa.array([["a"]] * table.num_rows))


def swapped(table: pa.Table) -> pa.Table:
    names = table.column_names
    return table.select([names[1], names[0], *names[2:]])


def missing_column(table: pa.Table) -> pa.Table:
    return table.drop_columns([table.column_names[-1]])


@pytest.mark.row(50, "schema unknown, column extra, type changed, nested", "VOID E_SCHEMA")
@pytest.mark.parametrize("change", [extra_column, other_type, nested, swapped, missing_column])
def test_row_50_columns_that_are_not_the_registered_ones_void_the_batch(province: Province, change: Any) -> None:
    """Row 50."""
    assert_void(province, province.batch([("xx", change(province.changes("xx", 2)))]), "E_SCHEMA")


def set_cell(table: pa.Table, name: str, value: Any) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, name, pa.array([value] * table.num_rows, table.schema.field(at).type))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("op", "X", "E_ROWS_BAD"),
        ("pk", "../../etc/passwd0000", "E_ROWS_BAD"),
        ("row_ver", 0, "E_ROWS_BAD"),
        ("src_rid", "a\0b", "E_ROWS_BAD"),
        ("src_rid", "a" * 5000, "E_BUDGET"),
    ],
)
@pytest.mark.row(50, "schema unknown, column extra, type changed, nested", "VOID E_SCHEMA")
def test_row_50_rows_no_table_may_hold_void_the_batch(province: Province, name: str, value: Any, code: str) -> None:
    """Rows 51 (as far as form goes) and 55."""
    table = set_cell(province.changes("xx", 1), name, value)
    assert_void(province, province.batch([("xx", table)], part={"counts": RowCounts(0, 1, 0)}), code)


@pytest.mark.row(53, "row_ver older than stored", "counted noop_old_version, not applied")
def test_row_53_a_row_older_than_the_stored_one_is_counted_and_not_applied(province: Province) -> None:
    """Row 53."""
    province.upload(province.batch([("xx", province.changes("xx", 1, ver=5))]))
    assert province.decide().counts.upd == 1
    before = province.golden()
    old = [province.changes("xx", 1, ver=4), province.changes("xx", 1, ver=5)]
    for table in old:
        province.upload(province.batch([("xx", table)]))
        decision = province.decide()
        assert (decision.verdict, decision.counts.noop_old_version, decision.counts.upd) == ("APPLIED", 1, 0)
    assert province.golden() == before


def held(province: Province) -> Forged:
    """A batch that deletes three per cent, held, with one parked behind it."""
    forged = province.batch([("xs_jtcy", province.changes("xs_jtcy", 459, "D"))])
    behind = province.batch(seq=3, prev=forged.digest, lo=forged.hi + 1)
    before = province.state()
    province.upload(forged, behind)
    result = province.intake()
    assert [(d.seq, d.verdict, d.code) for d in result.decisions] == [
        (2, "HELD", "E_GUARD"),
        (3, "RECEIVED", "E_SEQ_GAP"),
    ]
    assert [alarm.code for alarm in result.alarms] == ["E_GUARD"]
    assert province.state() == before
    assert province.intake().decisions == ()  # nobody has decided, nothing is new
    assert province.plaintext_left() == []
    return forged


@pytest.mark.row(54, "delete 3 % of a province", "HELD, two persons, audited")
def test_row_54_three_per_cent_deleted_wait_for_two_persons_and_apply_when_they_agree(province: Province) -> None:
    """Row 54."""
    batch, family = held(province).manifest.batch_id, province.golden()["xs_jtcy"].rows
    done = release(province.ministry, batch, **TWO, at=AT)
    assert (done.verdict, done.counts.deleted) == ("APPLIED", 459)
    assert province.golden()["xs_jtcy"].rows == family - 459
    assert events(province.ministry)[-2:] == [("暂停批次放行", batch), ("批次入库", batch)]
    leaf = next(r for r in rows(province.ministry, "audit_event", "i") if r["action"] == "暂停批次放行")
    assert (leaf["actor"], leaf["purpose"]) == (TWO["by"], TWO["reason"])
    assert TWO["second"] in str(leaf["detail"])
    assert done.receipt_name in province.out
    assert [(d.seq, d.verdict) for d in province.intake().decisions] == [(3, "APPLIED")]
    assert audit_holds(province.ministry)


@pytest.mark.row(54, "delete 3 % of a province", "HELD, two persons, audited")
def test_row_54_three_per_cent_deleted_are_void_when_two_persons_say_so_and_what_follows(
    province: Province,
) -> None:
    """Row 54."""
    batch, golden = held(province).manifest.batch_id, province.golden()
    done = void(province.ministry, batch, **TWO, at=AT)
    assert (done.verdict, done.code) == ("VOID", "E_GUARD")
    assert [(d.seq, d.verdict) for d in province.intake().decisions] == [(3, "VOID")]
    assert province.golden() == golden
    assert province.position()["last_seq"] == 3
    assert audit_holds(province.ministry)


ALONE = (
    {"second": "operator-a"},
    {"second": " OPERATOR-A "},
    {"second": "ｏｐｅｒａｔｏｒ-a"},
    {"second": " "},
    {"by": ""},
    {"reason": "  "},
)


@pytest.mark.row(54, "delete 3 % of a province", "HELD, two persons, audited")
def test_row_54_one_person_alone_releases_and_voids_nothing(province: Province) -> None:
    """Row 54."""
    forged = province.batch([("xs_jtcy", province.changes("xs_jtcy", 459, "D"))])
    province.upload(forged)
    assert province.decide().verdict == "HELD"
    before, trail = province.state(), events(province.ministry)
    for act in (release, void):
        for persons in ALONE:
            with pytest.raises(UsageError, match="E1008"):
                act(province.ministry, forged.manifest.batch_id, **{**TWO, **persons}, at=AT)
    assert (province.state(), events(province.ministry)) == (before, trail)


def test_a_held_batch_is_listed_shown_and_verified_before_anybody_decides(
    province: Province, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shell, "now", lambda _shell: AT)
    forged = province.batch([("xs_jtcy", province.changes("xs_jtcy", 459, "D"))])
    province.upload(forged)
    assert province.decide().verdict == "HELD"
    batch, node = forged.manifest.batch_id, ("--json", "--node", str(province.ministry.folder))

    def asked(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*node, "batch", *words]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    assert [(b["batch_id"], b["state"]) for b in asked("ls")["batches"]][1:] == [(batch, "HELD")]
    assert asked("show", batch)["manifest"]["files"][0]["deleted"] == 459
    assert asked("verify", batch)["failed"] == 0


@pytest.mark.row(54, "delete 3 % of a province", "HELD, two persons, audited")
def test_row_54_a_batch_that_is_not_held_cannot_be_released_or_voided(province: Province) -> None:
    """Row 54: applied, parked and unknown batches."""
    first, second = province.window(2)
    province.upload(second)
    assert province.decide().verdict == "RECEIVED"
    before = province.state()
    known = ["13-up-main-e0001-s0000000001", second.manifest.batch_id, first.manifest.batch_id, "no batch"]
    for act in (release, void):
        for batch in known:
            with pytest.raises(UsageError, match="E1006"):
                act(province.ministry, batch, **TWO, at=AT)
    assert province.state() == before


def written(table: pa.Table, **options: Any) -> bytes:
    """A Parquet file with the nonce and, unlike ours, without the Arrow schema that would name a column's true type."""
    sink = io.BytesIO()
    plain = table.replace_schema_metadata(None)
    with pq.ParquetWriter(sink, plain.schema, store_schema=False, write_statistics=False, **options) as writer:
        writer.write_table(plain)
        writer.add_key_value_metadata({"exch.nonce": os.urandom(32).hex()})
    return sink.getvalue()


def dictionary_bomb(province: Province) -> bytes:
    """Two hundred thousand rows of one 4 kB value: 800 MB in a few kilobytes."""
    table = pa.concat_tables([province.changes("xx", 1)] * 200_000).combine_chunks()
    at = table.schema.get_field_index("src_rid")
    value = pa.DictionaryArray.from_arrays(pa.array([0] * len(table), pa.int32()), pa.array(["b" * 4000]))
    return written(table.set_column(at, "src_rid", value), compression="zstd")


# The row says 1 GB; this much trips the same limit of the decoder and spares the machine that makes the bomb.
_GIANT = 640 << 20


def giant_cell(province: Province) -> bytes:
    """One cell of 640 MiB, compressed to some tens of kilobytes; page and copy together pass the memory limit."""
    table = province.changes("xx", 1)
    ends = pa.py_buffer(struct.pack("<ii", 0, _GIANT))
    cell = pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(bytes(_GIANT))])
    at = table.schema.get_field_index("src_rid")
    return written(table.set_column(at, "src_rid", cell), compression="zstd", use_dictionary=False)


def footer_of_two_gigabytes(province: Province) -> bytes:
    body = written(province.changes("xx", 1))
    return body[:-8] + struct.pack("<I", (1 << 31) - 1) + b"PAR1"


def not_parquet(_province: Province) -> bytes:
    return b"PAR1" + os.urandom(4096) + b"PAR1"


@pytest.mark.row(55, "Parquet bombs", "E_BUDGET/E_PARQUET, worker survives")
@pytest.mark.parametrize("bomb", [dictionary_bomb, giant_cell, footer_of_two_gigabytes, not_parquet])
def test_row_55_a_file_made_to_exhaust_the_reader_voids_its_batch_and_the_next_one_applies(
    province: Province, bomb: Any
) -> None:
    """Row 55: under five seconds, and the worker lives."""
    body = bomb(province)
    assert len(body) < 200_000
    counts = RowCounts(0, 200_000 if bomb is dictionary_bomb else 1, 0)
    forged = province.batch([("xx", body)], part={"counts": counts})
    golden = province.golden()
    following = province.batch(
        seq=3, prev=forged.digest, lo=forged.manifest.watermark.lo, supersedes=forged.manifest.batch_id
    )
    province.upload(forged, following)
    begun = time.monotonic()
    bad, good = province.intake().decisions
    assert bad.verdict == "VOID"
    assert bad.code in ("E_BUDGET", "E_PARQUET")
    assert bad.seconds < 5
    assert time.monotonic() - begun < 10
    assert (good.verdict, good.counts.upd) == ("APPLIED", 1)
    assert {k: v for k, v in province.golden().items() if k != "xx"} == {k: v for k, v in golden.items() if k != "xx"}
    assert province.plaintext_left() == []
