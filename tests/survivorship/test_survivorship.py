"""Which value survives (一数一源), field by field, over several rounds of a settling state fed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sample.run import generate
from pipelines.lab.setup import Lab
from tests.round.labs import new_lab
from tests.survivorship.bench import CATALOG, Delivery, Raw, State, Supplement, read_sources

TEACHER = "S2.JZG_JBXX"
JZG = CATALOG.entities["jzg"].columns


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Raw]:
    sources = tmp_path_factory.mktemp("sources") / "clean"
    generate(sources, province="13", students=100, seed=5, dirt=False)
    return new_lab(tmp_path_factory.mktemp("lab") / "lab", sources), read_sources(sources)


@pytest.fixture
def state(tmp_path: Path, small: tuple[Lab, Raw]) -> Iterator[State]:
    made = State(tmp_path / "state", small[0].province)
    yield made
    made.close()


def teachers(raw: Raw) -> list[dict[str, Any]]:
    return [dict(r) for r in raw[TEACHER]]


def value(state: State, field: str, gh: str) -> tuple[str, Any]:
    """(letter, value) of a teacher's field."""
    at = JZG.index(field)
    return next((r[0][at], r[1 + at]) for r in state.golden("jzg").values() if r[1 + JZG.index("GH")] == gh)


def test_an_invalid_value_of_the_authority_keeps_the_prior_one_and_asks_while_the_rest_of_the_row_goes_on(
    state: State, small: tuple[Lab, Raw]
) -> None:
    raw = small[1]
    state.settle(Delivery(raw))
    who = dict(raw[TEACHER][0])
    gh = who["GH"]
    before = value(state, "MZM", gh)
    assert before[0] == "T"
    state.settle(Delivery({TEACHER: [who | {"MZM": "不存在的民族", "ZZMMM": "77", "XM": "新名字"}]}))
    assert value(state, "ZZMMM", gh)[0] == "P"
    assert value(state, "XM", gh) == ("T", "新名字")
    asked = {(f, s) for f, s, _ in state.conflicts()}
    assert ("ZZMMM", "待处理") in asked
    state.settle(Delivery({TEACHER: [who]}))
    assert value(state, "MZM", gh) == before


def test_an_empty_value_never_blanks_and_a_supplement_gives_way_when_the_authority_delivers(
    state: State, small: tuple[Lab, Raw]
) -> None:
    raw = small[1]
    rows = teachers(raw)
    who = rows[0] | {"JG": None}
    rows[0] = who
    state.settle(Delivery({**raw, TEACHER: rows}))
    assert value(state, "JG", who["GH"]) == ("-", None)
    state.settle(Delivery(supplements=[Supplement(who["XXDM"], "1", who["SFZJH"], {"JG": "河北保定"})]))
    assert value(state, "JG", who["GH"]) == ("L", "河北保定")
    state.settle(Delivery({TEACHER: [who | {"JG": "河北唐山"}]}))
    assert value(state, "JG", who["GH"]) == ("T", "河北唐山")
    assert ("JG", "已由权威源定值", "") in state.conflicts(), "the school's value is kept as the losing one"
    state.settle(Delivery({TEACHER: [who | {"JG": ""}]}))
    assert value(state, "JG", who["GH"]) == ("P", "河北唐山")
