"""Spoiled bytes into every reader: bounded and the same every time here, as long as wanted with `make fuzz`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.fuzz.mutate import mutations
from tests.fuzz.readers import Target, outcome, targets

COUNT = {
    "envelope": 400,
    "certificate": 400,
    "CRL": 400,
    "manifest": 400,
    "trust list": 400,
    "CMS": 400,
    "Parquet": 200,
}


@pytest.fixture(scope="module")
def readers() -> Iterator[dict[str, Target]]:
    with targets() as found:
        yield {target.name: target for target in found}


@pytest.mark.parametrize("name", COUNT)
def test_spoiled_bytes_are_refused_with_a_code_or_mean_what_they_meant(readers: dict[str, Target], name: str) -> None:
    target = readers[name]
    assert outcome(target, target.good) is None
    codes = Counter(outcome(target, data) for data in mutations(target.good, COUNT[name], seed=1))
    assert sum(codes.values()) == COUNT[name]
    assert sum(count for code, count in codes.items() if code) > COUNT[name] // 2
    assert outcome(target, target.good) is None


def test_the_same_seed_spoils_the_same_way() -> None:
    good = bytes(range(256)) * 8
    assert list(mutations(good, 50, seed=7)) == list(mutations(good, 50, seed=7))
    assert list(mutations(good, 50, seed=7)) != list(mutations(good, 50, seed=8))
