"""The same province in other column types, and without the site's dictionaries."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settling.handmade import base, people, world
from tests.settling.handmade.layout import FIELDS
from tests.settling.handmade.node import Settled
from tests.settling.handmade.planted import day_one
from tests.settling.handmade.world import SECOND_DAY

_WHOLE = "XXDM CSRQ RXNY NJDM SJZT SPZTM YDRQ SPRQ JXNY JLNY JBNY CSNY ZCRQ CSDM QRZTM"
WHOLE_NUMBERS = _WHOLE.split()
OTHER_TYPES = dict.fromkeys(WHOLE_NUMBERS, "INTEGER") | {"XZ": "TEXT", "KSZF": "REAL", "JE": "REAL", "CYXH": "TEXT"}
SITE_FIELDS = ("YRXSM", "QDHTQKM", "XXJSYYNLM", "QYGZSC")


def test_column_types_of_the_export_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = day_one().finish()
    monkeypatch.setattr(world, "TYPES", OTHER_TYPES | {"GXSJ": "DATETIME"})
    node = Settled(tmp_path, planted)
    node.day()
    assert [x for e in FIELDS for x in node.differences(planted, e)] == []
    assert {c: x for c in planted.cases if (x := node.problem(planted, c))} == {}


def test_without_a_site_dictionary_values_stand_as_text_with_one_finding_each(tmp_path: Path) -> None:
    clean = base.clean().finish()
    coded = clean.copy()
    for row in clean.golden["jzg"].values():
        row.update({f: people.LABELS[f][row[f]] for f in SITE_FIELDS})
    node = Settled(tmp_path, clean, dictionaries=False)
    node.day()
    assert node.differences(clean, "jzg") == []
    found = node.ask("SELECT field, count(*) FROM known_issue WHERE entity = 'jzg' GROUP BY field")
    assert dict(found) == dict.fromkeys(SITE_FIELDS, 1)
    # The dictionary arrives: the same sources now give codes, without anything else moving.
    node.dictionaries = True
    node.day(SECOND_DAY, coded)
    assert [x for e in FIELDS for x in node.differences(coded, e)] == []
