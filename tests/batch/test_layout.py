"""Names, protocol 2.7."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.batch import layout
from hub.batch.layout import NameKind, StreamId
from hub.errors import RefusedError
from tests.trust.network import code_of

STREAM = StreamId("13", "up", "main", 1)


def test_names_of_one_batch_are_taken_apart_again() -> None:
    batch = layout.batch_id(STREAM, 42)
    assert batch == "13-up-main-e0001-s0000000042"
    assert layout.parse_batch_id(batch) == (STREAM, 42)
    manifest = layout.parse_name(layout.manifest_name(batch))
    assert (manifest.kind, manifest.stream_id, manifest.seq) == (NameKind.MANIFEST, STREAM, 42)
    receipt = layout.parse_name(layout.receipt_name(batch, 9))
    assert (receipt.kind, receipt.number) == (NameKind.RECEIPT, 9)
    part = layout.parse_name(layout.part_name(batch, 64))
    assert (part.kind, part.number, part.suffix) == (NameKind.PART, 64, "cms")
    assert layout.parse_name(layout.grant_name(STREAM)).stream_id == STREAM
    assert layout.parse_name(layout.trust_list_name(12)).number == 12
    assert layout.parse_name("head.dsse").kind is NameKind.HEAD
    assert layout.parse_name("control-0000000007.dsse").number == 7
    assert layout.parse_name("dr-000003.dsse").kind is NameKind.DR_STATEMENT
    assert layout.parse_name("bulletin-20261123.dsse").number == 20261123


def test_public_data_is_parquet_and_only_public_data_is() -> None:
    public = layout.batch_id(StreamId("00", "dn", "codes", 1), 1)
    assert layout.part_name(public, 1, "parquet").endswith(".f01.parquet")
    for name in (f"{public}.f01.cms", f"{layout.batch_id(STREAM, 1)}.f01.parquet"):
        with pytest.raises(RefusedError):
            layout.parse_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../13-up-main-e0001-s0000000001.manifest.dsse",
        "13-up-main-e0001-s0000000001.manifest.dsse\n",
        "13-up-main-e0001-s0000000001.manifest.dsse.part",
        "13-UP-main-e0001-s0000000001.manifest.dsse",
        "99-up-main-e0001-s0000000001.manifest.dsse",
        "16-up-main-e0001-s0000000001.manifest.dsse",
        "13-up-m-e0001-s0000000001.manifest.dsse",
        "13-up-toolongxx-e0001-s0000000001.manifest.dsse",
        "13-up-main-e0001-s0000000000.manifest.dsse",
        "13-up-main-e0001-s1.manifest.dsse",
        "13-up-main-e0001-s0000000001.receipt0.dsse",
        "13-up-main-e0001-s0000000001.receipt10.dsse",
        "13-up-main-e0001-s0000000001.f00.cms",
        "13-up-main-e0001-s0000000001.f65.cms",
        "13-up-main-e0001-s000000000１.manifest.dsse",
        "trust-list-12.dsse",
        "x" * 65,
    ],
)
def test_names_outside_the_grammar_are_refused(name: str) -> None:
    with pytest.raises(RefusedError) as failure:
        layout.parse_name(name)
    assert failure.value.code == "E_NAME"


def test_a_tenth_receipt_has_no_name() -> None:
    with pytest.raises(RefusedError):
        layout.receipt_name(layout.batch_id(STREAM, 1), 10)


@given(st.text(max_size=70))
def test_any_text_is_a_name_or_refused(name: str) -> None:
    assert code_of(lambda: layout.parse_name(name)) in (None, "E_NAME")


@given(
    st.sampled_from(["11", "15", "46", "54", "66"]),
    st.sampled_from(["up", "dn"]),
    st.from_regex(r"[a-z]{2,8}", fullmatch=True),
    st.integers(1, 9999),
    st.integers(1, 9_999_999_999),
)
def test_every_legal_batch_has_names_of_at_most_64_bytes(
    party: str, direction: str, stream: str, epoch: int, seq: int
) -> None:
    batch = layout.batch_id(StreamId(party, direction, stream, epoch), seq)
    for name in (layout.manifest_name(batch), layout.receipt_name(batch, 9), layout.part_name(batch, 64)):
        assert len(name) <= 64
        parsed = layout.parse_name(name)
        assert (parsed.stream_id, parsed.seq) == (StreamId(party, direction, stream, epoch), seq)
