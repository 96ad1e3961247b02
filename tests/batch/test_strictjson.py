"""Strict JSON, protocol 3.4 and 15 #6."""

from __future__ import annotations

import json
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.batch import strictjson
from hub.errors import RefusedError
from tests.trust.network import code_of

HOSTILE = {
    "duplicate keys": b'{"a":1,"a":2}',
    "duplicate keys by escape": b'{"a":1,"\\u0061":2}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "float": b'{"seq":1.0}',
    "exponent": b'{"seq":1e3}',
    "minus zero": b'{"seq":-0}',
    "2^53": b'{"seq":9007199254740992}',
    "ten thousand digits": b'{"seq":' + b"9" * 10_000 + b"}",
    "lone surrogate": b'{"a":"\\ud800"}',
    "lone surrogate in a key": b'{"\\udfff":1}',
    "surrogate bytes": b'{"a":"\xed\xa0\x80"}',
    "not NFC": '{"a":"e\u0301"}'.encode(),
    "nine levels": b"[" * 9 + b"]" * 9,
    "depth bomb": b"[" * 250_000,
    "deep objects": b'{"a":' * 40_000,
    "not UTF-8": b'{"a":"\xff"}',
    "byte order mark": b'\xef\xbb\xbf{"a":1}',
    "trailing bytes": b'{"a":1} x',
    "empty": b"",
    "raw control character": b'{"a":"\n"}',
    "single quotes": b"{'a':1}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused_within_50_ms(name: str) -> None:
    started = time.process_time()
    with pytest.raises(RefusedError) as failure:
        strictjson.parse(HOSTILE[name])
    assert failure.value.code == "E_ENV_JSON"
    assert failure.value.step
    assert time.process_time() - started < 0.05


def test_refusal_does_not_quote_the_input() -> None:
    with pytest.raises(RefusedError) as failure:
        strictjson.parse(b'{"name": zhang}')
    assert "zhang" not in failure.value.sentence()


def test_eight_levels_and_the_largest_integer_are_accepted() -> None:
    assert strictjson.parse(b"[" * 8 + b"]" * 8) is not None
    assert strictjson.parse(b"[9007199254740991,-9007199254740991]") == [2**53 - 1, 1 - 2**53]


def test_top_level_must_be_an_object_where_one_is_asked_for() -> None:
    with pytest.raises(RefusedError):
        strictjson.parse_object(b"[]")


def test_members_are_sorted_by_utf16_code_units() -> None:
    # RFC 8785 3.2.3: U+E000 sorts behind U+1F600, whose first code unit is D83D.
    assert strictjson.emit({"\ue000": 1, "\U0001f600": 2, "a": 3}) == '{"a":3,"\U0001f600":2,"\ue000":1}'.encode()


def test_controls_are_escaped_as_rfc_8785_says() -> None:
    assert strictjson.emit('\x08\t\n\x0c\r\x01"\\/\x7f€') == '"\\b\\t\\n\\f\\r\\u0001\\"\\\\/\x7f€"'.encode()


@pytest.mark.parametrize("value", [1.0, float("nan"), 2**53, b"x", {1: 2}, "\ud800", "e\u0301", {"e\u0301": 1}])
def test_our_own_code_cannot_emit_what_receivers_refuse(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        strictjson.emit(value)


def test_nine_levels_are_not_emitted() -> None:
    value: list[Any] = []
    for _ in range(8):
        value = [value]
    with pytest.raises(ValueError, match="8 levels"):
        strictjson.emit(value)


_TEXT = st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: unicodedata.normalize("NFC", text))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-strictjson.MAX_INT, strictjson.MAX_INT) | _TEXT,
    lambda child: st.lists(child, max_size=4) | st.dictionaries(_TEXT, child, max_size=4),
    max_leaves=12,
)


@given(_VALUES)
def test_what_is_emitted_parses_to_the_same_and_emits_the_same_bytes(value: Any) -> None:
    try:
        data = strictjson.emit(value)
    except ValueError:  # deeper than eight levels
        return
    assert strictjson.parse(data) == value
    assert strictjson.emit(strictjson.parse(data)) == data
    assert json.loads(data) == value


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    assert code_of(lambda: strictjson.parse(data)) in (None, "E_ENV_JSON")


@given(_VALUES, st.data())
def test_mutated_json_parses_or_is_refused(value: Any, choice: st.DataObject) -> None:
    data = bytearray(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    position = choice.draw(st.integers(0, max(len(data) - 1, 0)))
    data[position : position + 1] = choice.draw(st.binary(max_size=3))
    assert code_of(lambda: strictjson.parse(bytes(data))) in (None, "E_ENV_JSON")
