"""The DER reader and writer have one encoding per value, protocol 5.2, 5.4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.batch import der
from hub.batch.der import DerError, Reader


@given(st.binary(max_size=60))
def test_the_der_reader_walks_any_bytes_without_falling(data: bytes) -> None:
    reader = Reader(data)
    try:
        while (tag := reader.peek()) is not None:
            reader.raw(tag)
        walked = True
    except DerError:
        walked = False
    assert walked == (reader.position == len(data))


@given(st.integers(-(2**70), 2**70))
def test_integers_have_one_encoding(value: int) -> None:
    encoded = der.integer(value)
    assert Reader(encoded).integer() == value
    padded = der.element(der.INTEGER, (b"\xff" if value < 0 else b"\0") + encoded[2:])
    with pytest.raises(DerError):
        Reader(padded).integer()


@given(st.integers(0, 2**32))
def test_lengths_have_one_encoding(size: int) -> None:
    encoded = der.write_length(size)
    start, end = Reader(bytes([4]) + encoded, 0, 2**40).header(4)
    assert end - start == size
    longer = bytes([4, 0x81]) + encoded if size < 0x80 else bytes([4, encoded[0] + 1, 0]) + encoded[1:]
    with pytest.raises(DerError):
        Reader(longer, 0, 2**40).header(4)
