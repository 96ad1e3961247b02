"""Statements heard from the product, as Oracle 11.2 and 19 are sent them, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable

from tests.oracle.judge import judge
from tests.oracle.recording import Said
from tests.oracle.rules import empty_texts, faults
from tests.oracle.statements import dialect

VERSIONS = ((11, 2), (19,))
Rendered = tuple[str, tuple[str, ...], tuple[str, ...]]


def rendered(said: Iterable[Said]) -> list[Rendered]:
    """(place, statement per version, faults that only the expression shows)."""
    made = [dialect(v) for v in VERSIONS]
    return [(s.place, tuple(s.rendered(m) for m in made), tuple(empty_texts(s.statement))) for s in said]


def findings(all_said: Iterable[Rendered]) -> tuple[list[str], int, int]:
    """(what is wrong, shapes judged, shapes without a parser)."""
    wrong: dict[str, None] = {}
    places: dict[str, str] = {}
    for place, statements, known in all_said:
        for fault in known:
            wrong[f"{place}: {fault}"] = None
        for version, statement in zip(VERSIONS, statements, strict=True):
            places.setdefault(statement, place)
            shown = " ".join(statement.split())[:300]
            for fault in faults(statement, version):
                wrong[f"{place}: {fault}: {shown}"] = None
    judged = judge(places)
    for statement, error in judged.refused:
        wrong[f"{places[statement]}: {error}: {' '.join(statement.split())[:300]}"] = None
    return list(wrong), judged.shapes, judged.unparsed
