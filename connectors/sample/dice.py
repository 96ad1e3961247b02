"""Repeatable randomness: a value depends on (seed, stream, position) only, never on block size, order or machine.

splitmix64 over the position, because numpy does not promise its generators' streams across versions.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_MASK = 0xFFFFFFFFFFFFFFFF


def _mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * _MIX1
    value = (value ^ (value >> np.uint64(27))) * _MIX2
    return value ^ (value >> np.uint64(31))


@dataclass(frozen=True)
class Dice:
    """Draws named by stream; `at` are positions (global row numbers)."""

    seed: int

    def draw(self, stream: str, at: Ints) -> Ints:
        """Non-negative 63-bit values, one per position."""
        start = np.uint64((self.seed * 0xD1342543DE82EF95 + zlib.crc32(stream.encode()) * 0x2545F4914F6CDD1D) & _MASK)
        values = _mix(start + (at.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
        return (values >> np.uint64(1)).astype(np.int64)

    def below(self, stream: str, at: Ints, limit: int) -> Ints:
        """Values in 0..limit-1."""
        return self.draw(stream, at) % limit

    def chance(self, stream: str, at: Ints, permille: int) -> Bools:
        """True with the given share in thousandths."""
        return self.below(stream, at, 1000) < permille

    def one(self, stream: str, at: int, limit: int) -> int:
        """A single value in 0..limit-1."""
        return int(self.below(stream, np.array([at], dtype=np.int64), limit)[0])
