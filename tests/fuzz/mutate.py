"""Spoiled copies of good bytes: the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

_ODD = (0x00, 0x7F, 0x80, 0xFF, 0x22, 0x7B, 0x5B, 0x30)


def mutations(good: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` spoiled copies, never equal to `good`: bits, bytes, runs, cuts, doublings, lengths, swaps."""
    dice = random.Random(seed)
    made = 0
    while made < count:
        data = bytearray(good)
        for _ in range(dice.choice((1, 1, 1, 2, 4, 16))):
            _spoil(data, dice)
        if bytes(data) != good:
            made += 1
            yield bytes(data)


def _spoil(data: bytearray, dice: random.Random) -> None:
    if not data:
        data += bytes([dice.randrange(256)])
        return
    # Headers and footers decide; most blows fall there.
    edge = min(len(data), 600)
    at = dice.choice((dice.randrange(len(data)), dice.randrange(edge), len(data) - 1 - dice.randrange(edge)))
    length = dice.choice((1, 2, 4, 8, 64))
    kind = dice.randrange(8)
    if kind == 0:
        data[at] ^= 1 << dice.randrange(8)
    elif kind == 1:
        data[at] = dice.choice(_ODD)
    elif kind == 2:
        data[at : at + length] = dice.randbytes(length)
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        data[at:at] = data[at : at + length] * dice.choice((1, 2, 100))
    elif kind == 5:
        del data[at:]
    elif kind == 6:
        data[at : at + 4] = dice.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\0\0\0\0"))
    else:
        other = dice.randrange(len(data))
        data[at], data[other] = data[other], data[at]
