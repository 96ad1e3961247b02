"""Manifests and their admission, protocol 3 and 15 #23, #24, #76; content checks, 15 #49, #51, #54."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hub.batch import strictjson
from hub.batch.admission import open_manifest, recipient_certs, seal_certs
from hub.batch.cipher import PartDigest
from hub.batch.content import StockFacts, check_bad_rows, check_counts, check_guards, check_watermark
from hub.batch.envelope import PayloadType, build
from hub.batch.grant import Position
from hub.batch.layout import StreamId, manifest_name
from hub.batch.limits import Limits, check_decoded
from hub.batch.manifest import (
    Manifest,
    Recipient,
    RowCounts,
    StreamAck,
    Watermark,
    digest,
    manifest_payload,
    read_manifest,
    sign_manifest,
)
from hub.errors import RefusedError
from hub.trust.trust_list import Revocation, TrustList
from tests.trust.network import NOW, STREAM, Network, code_of, manifest, network, plausible_file, with_member

NAME = manifest_name("13-up-main-e0001-s0000000001")


@pytest.fixture(scope="module")
def net() -> Network:
    return network()


def admitted(net: Network, batch: Manifest, *, trust: TrustList | None = None, **changes: Any) -> str | None:
    arguments: dict[str, Any] = {"uploader": "13", "trust": trust or net.trust, "at": NOW, **changes}
    name = arguments.pop("name", manifest_name(batch.batch_id))
    envelope = sign_manifest(batch, net.signer("13"))[1]
    return code_of(lambda: open_manifest(envelope, name, **arguments))


def respelled(net: Network, **members: Any) -> str | None:
    """Admission of a manifest with raw members changed, validly signed."""
    data = json.loads(manifest_payload(manifest(net)))
    for member, value in members.items():
        data[member] = {**data[member], **value} if isinstance(value, dict) and data.get(member) else value
    envelope = build(PayloadType.BATCH_MANIFEST, strictjson.emit(data), [net.signer("13")])
    return code_of(lambda: open_manifest(envelope, NAME, uploader="13", trust=net.trust, at=NOW))


def test_a_sealed_manifest_is_admitted_and_reads_back_as_it_was(net: Network) -> None:
    batch = manifest(
        net,
        ack=(StreamAck("case", 1, 17, "sha256:" + "4" * 64),),
        last_receipt=Position(41, "sha256:" + "5" * 64),
        supersedes="13-up-main-e0001-s0000000007",
        audit={"origin": "p13.eduexch/log/e1", "size": 3},
    )
    payload, envelope = sign_manifest(batch, net.signer("13"))
    opened = open_manifest(envelope, NAME, uploader="13", trust=net.trust, at=NOW)
    assert opened.manifest == batch == read_manifest(payload)
    assert opened.payload == payload
    assert opened.digest == digest(payload)
    assert json.loads(payload)["watermark"] == {"lo": "880001", "hi": "912345"}


def test_watermarks_beyond_2_to_the_53_survive_as_decimal_strings(net: Network) -> None:
    batch = manifest(net, watermark=Watermark(2**60, 2**62))
    assert read_manifest(manifest_payload(batch)).watermark == Watermark(2**60, 2**62)


def test_unknown_members_are_kept_in_the_digest_and_ignored(net: Network) -> None:
    assert respelled(net, note="later", more={"deep": [1, True, {"x": "y"}]}) is None


def test_a_heartbeat_has_no_files_and_needs_no_recipients(net: Network) -> None:
    beat = manifest(net, files=(), kind="heartbeat", recipients=(), watermark=Watermark(5, 4))
    assert admitted(net, beat) is None
    with pytest.raises(RefusedError):
        manifest_payload(replace(beat, files=(plausible_file(),)))


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"v": 2}, "E_VERSION"),
        ({"v": 0}, "E_VERSION"),
        ({"v": "1"}, "E_ENV_JSON"),
        ({"suite": "G1"}, "E_SUITE"),
        ({"suite": "I9"}, "E_SUITE"),
        ({"from": "12"}, "E_NAME"),
        ({"to": ["12"]}, "E_NAME"),
        ({"batch_id": "13-up-main-e0001-s0000000002"}, "E_NAME"),
        ({"epoch": 2, "batch_id": "13-up-main-e0002-s0000000001"}, "E_NAME"),
        ({"seq": 2, "batch_id": "13-up-main-e0001-s0000000002"}, "E_NAME"),
        ({"kind": "other"}, "E_ENV_JSON"),
        ({"part": {"i": 1, "k": 2}}, "E_ENV_JSON"),
        ({"created": "2026-02-30T00:00:00Z"}, "E_ENV_JSON"),
        ({"created": "2026-11-23T05:51:20+08:00"}, "E_ENV_JSON"),
        ({"prev": "sha256:" + "1" * 64 + "\n"}, "E_ENV_JSON"),
        ({"watermark": {"lo": 880001}}, "E_ENV_JSON"),
        ({"watermark": {"lo": "0880001"}}, "E_ENV_JSON"),
        ({"recipients": None}, "E_ENV_JSON"),
        ({"files": [None]}, "E_ENV_JSON"),
        ({"note": None}, "E_ENV_JSON"),
        ({"note": [{"deep": [1, None]}]}, "E_ENV_JSON"),
        ({"producer": {"note": None}}, "E_ENV_JSON"),
    ],
)
def test_members_outside_their_rules_are_refused(net: Network, members: dict[str, Any], code: str) -> None:
    assert respelled(net, **members) in (code, "E_NAME" if "batch_id" in members else code)


def test_shape_refusals_name_the_member_and_never_its_value(net: Network) -> None:
    with pytest.raises(RefusedError) as failure:
        manifest_payload(manifest(net, files=(replace(plausible_file(), entity="张三 330102"),)))
    assert "files/0/entity" in failure.value.sentence()
    assert "张三" not in failure.value.sentence()


def test_a_manifest_under_another_name_is_refused(net: Network) -> None:
    """Protocol 15 #23."""
    batch = manifest(net)
    assert admitted(net, batch, name=manifest_name("13-up-main-e0001-s0000000002")) == "E_NAME"
    assert admitted(net, batch, uploader="12") == "E_ROLE"
    assert admitted(net, batch, name="13-up-main-e0001-s0000000001.f01.cms") == "E_NAME"
    renamed = manifest_name("12-up-main-e0001-s0000000001")
    assert admitted(net, batch, name=renamed, uploader="12") == "E_ROLE"


def test_file_names_and_numbers_follow_the_batch(net: Network) -> None:
    for wrong in (replace(plausible_file(), n=2), plausible_file(seq=2), plausible_file(n=2)):
        assert admitted(net, manifest(net, files=(wrong,))) == "E_NAME"
    same = replace(plausible_file(), digest=PartDigest(5, "ab" * 32, 5, "ab" * 32))
    assert admitted(net, manifest(net, files=(same,))) == "E_ENV_JSON"


def test_recipients_without_the_ministry_or_the_escrow_are_refused(net: Network) -> None:
    """Protocol 15 #24."""
    full = manifest(net).recipients
    stranger = Recipient("12", net.trust.newest_encryption_cert("12", NOW).keyid)
    wrong = [full[1:], full[:1] + full[2:], full[:2], (*full, stranger), (*full, full[0]), (), (*full[1:], stranger)]
    for recipients in wrong:
        assert admitted(net, manifest(net, recipients=recipients)) == "E_RECIPIENT"
    forged = replace(full[0], enc_key="sha256:" + "0" * 64)
    assert admitted(net, manifest(net, recipients=(forged, *full[1:]))) == "E_RECIPIENT"


def test_a_revoked_encryption_key_is_no_recipient(net: Network) -> None:
    key = net.trust.newest_encryption_cert("moe", NOW).keyid
    _, trust = net.trust_list(1, revoked=(Revocation(key, NOW - timedelta(days=1), "遗失"),))
    assert admitted(net, manifest(net), trust=trust) == "E_RECIPIENT"
    assert code_of(lambda: seal_certs(STREAM, trust, NOW)) == "E_RECIPIENT"


def test_a_batch_sealed_for_the_older_certificate_is_admitted_after_its_successor_came(net: Network) -> None:
    """Protocol 10.5: senders use the newest, what is in flight stays good."""
    key = net.encrypt["moe-dr"].key
    newer = net.authority.issue_encryption(key.public_key(), "moe newer", now=NOW)
    certs = (net.encrypt["moe"].cert, newer)
    _, trust = net.trust_list(2, members=with_member(net.draft, "moe", encrypt=certs), at=NOW)
    assert admitted(net, manifest(net), trust=trust, at=NOW + timedelta(days=1)) is None
    assert seal_certs(STREAM, trust, NOW + timedelta(days=1))[0].cert == newer


def test_public_data_is_for_nobody_in_particular(net: Network) -> None:
    assert seal_certs(StreamId("00", "dn", "codes", 1), net.trust, NOW) == ()
    assert [cert.party for cert in recipient_certs(manifest(net), net.trust, at=NOW)] == ["moe", "moe-dr", "13"]


def test_suite_or_version_below_the_minimum_is_refused(net: Network) -> None:
    """Protocol 15 #76."""
    _, suite = net.trust_list(1, suites=("I1", "G1"), members=with_member(net.draft, "13", min_suite="G1"))
    assert admitted(net, manifest(net), trust=suite) == "E_SUITE"
    _, version = net.trust_list(1, members=with_member(net.draft, "13", min_protocol=2))
    assert admitted(net, manifest(net), trust=version) == "E_VERSION"


def test_declared_sizes_over_the_limits_are_refused(net: Network) -> None:
    small = replace(Limits(), file_bytes=3999, rows_per_batch=100)
    _, trust = net.trust_list(1, limits=small)
    assert admitted(net, manifest(net), trust=trust) == "E_FILE_SIZE"
    _, trust = net.trust_list(1, limits=replace(Limits(), rows_per_batch=32))
    assert admitted(net, manifest(net), trust=trust) == "E_BUDGET"
    _, trust = net.trust_list(1, limits=replace(Limits(), files_per_batch=1))
    two = (plausible_file(), plausible_file(n=2))
    assert admitted(net, manifest(net, files=two), trust=trust) == "E_BUDGET"
    odd = replace(plausible_file(), digest=PartDigest(3999, "ab" * 32, 4000, "cd" * 32))
    assert admitted(net, manifest(net, files=(odd,))) == "E_FILE_SIZE"


def test_the_limits_are_the_protocols() -> None:
    limits = Limits()
    assert (limits.files_per_batch, limits.file_bytes, limits.rows_per_batch) == (64, 256 * 2**20, 2_000_000)
    assert (limits.columns, limits.cell_bytes, limits.decoded_bytes, limits.decoded_ratio) == (200, 4096, 2**31, 1000)
    assert Limits.from_wire(limits.to_wire()) == limits


@pytest.mark.parametrize(
    ("columns", "cell", "decoded", "code"),
    [
        (200, 4096, 2**20, None),
        (201, 1, 1, "E_BUDGET"),
        (1, 4097, 1, "E_BUDGET"),
        (1, 1, 2**31 + 1, "E_BUDGET"),
        (1, 1, 5_000_001, "E_BUDGET"),
    ],
)
def test_decoding_stops_at_the_budget(columns: int, cell: int, decoded: int, code: str | None) -> None:
    plain = 5000 if decoded < 2**31 else 2**31
    limits = Limits()
    assert (
        code_of(lambda: check_decoded(limits, columns=columns, widest_cell=cell, decoded=decoded, plain=plain)) == code
    )


def test_counts_that_differ_from_the_manifest_void_the_batch(net: Network) -> None:
    """Protocol 15 #49."""
    batch = manifest(net)
    check_counts(batch, {1: RowCounts(10, 20, 3)})
    wrong: list[dict[int, RowCounts]] = [{1: RowCounts(10, 21, 3)}, {1: RowCounts(11, 20, 2)}, {}]
    for counted in [*wrong, {1: RowCounts(10, 20, 3), 2: RowCounts()}]:
        assert code_of(lambda counted=counted: check_counts(batch, counted)) == "E_COUNTS"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("lo", "hi", "previous", "rows", "free", "code"),
    [
        (11, 20, 10, 5, False, None),
        (11, 10, 10, 0, False, None),
        (1, 20, None, 5, False, None),
        (500, 600, 10, 5, True, None),
        (12, 20, 10, 5, False, "E_WATERMARK"),
        (10, 20, 10, 5, False, "E_WATERMARK"),
        (11, 9, 10, 0, False, "E_WATERMARK"),
        (11, 10, 10, 1, False, "E_WATERMARK"),
        (11, 14, 10, 5, False, "E_WATERMARK"),
    ],
)
def test_watermarks_join_without_hole_or_overlap(
    lo: int, hi: int, previous: int | None, rows: int, free: bool, code: str | None
) -> None:
    call: Callable[[], None] = lambda: check_watermark(  # noqa: E731
        Watermark(lo, hi), previous_hi=previous, rows=rows, free_start=free
    )
    assert code_of(call) == code


def test_too_many_bad_rows_void_the_batch() -> None:
    """Protocol 15 #51."""
    check_bad_rows(30, 1000)
    check_bad_rows(50, 1000)
    assert code_of(lambda: check_bad_rows(51, 1000)) == "E_ROWS_BAD"
    assert code_of(lambda: check_bad_rows(10_001, 10_000_000)) == "E_ROWS_BAD"


def test_mass_deletes_drops_snapshots_and_giant_batches_are_held(net: Network) -> None:
    """Protocol 15 #54."""
    stock = StockFacts(rows=1000, median_rows=33)

    def held(**changes: Any) -> str | None:
        rows = changes.pop("rows", RowCounts(10, 20, 3))
        batch = manifest(net, files=(replace(plausible_file(), rows=rows),), **changes)
        return code_of(lambda: check_guards(batch, stock))

    assert held() is None
    assert held(rows=RowCounts(0, 0, 20)) is None
    assert held(rows=RowCounts(0, 0, 21)) == "E_GUARD"
    assert held(rows=RowCounts(330, 0, 0)) is None
    assert held(rows=RowCounts(331, 0, 0)) == "E_GUARD"
    assert held(kind="snapshot") == "E_GUARD"
