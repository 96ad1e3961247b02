"""A record that took another number is told with its old one, masked, under the same record number (ruling 19)."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.catalog import load_catalog
from hub.lineage import Tracer
from hub.store import open_store
from hub.store.ledger import KEY_CHANGE
from pipelines.lab.setup import Lab
from tests.down.conftest import empty_template, lab
from tests.down.rounds import lab_round
from tests.matching.labs import answer, edit, own_sources
from tests.registry.conftest import first_round
from tests.round.labs import copy_lab, rows

__all__ = ["empty_template", "first_round", "lab"]


def test_a_key_change_is_part_of_the_lineage_and_masked(lab: Lab) -> None:
    catalog = load_catalog()
    old, new = "L130102201001010011", "G13010220100101001X"
    store = open_store(lab.province.database_url, catalog)
    with store.begin() as tx:
        row = {"entity": "xs", "pk": "a" * 20, "cs_no": 2, "old_key": old, "new_key": new}
        tx.connection.execute(sa.insert(KEY_CHANGE), row)
    with store.reading() as reader:
        (told,) = Tracer(lab.province, catalog, reader).key_changes(catalog.entities["xs"], "13", "a" * 20)
        (plain,) = Tracer(lab.province, catalog, reader, plain=True).key_changes(catalog.entities["xs"], "13", "a" * 20)
        assert Tracer(lab.province, catalog, reader).key_changes(catalog.entities["xs"], "13", "b" * 20) == []
    store.close()
    assert (plain["old_key"], plain["new_key"], plain["change_set"]) == (old, new, 2)
    assert old not in told["old_key"]
    assert new not in told["new_key"]


def test_a_key_change_is_told_at_both_tiers_and_the_ministry_notes_it_with_the_rows_it_applies(
    first_round: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = own_sources(copy_lab(first_round, tmp_path / "lab"), tmp_path / "sources")
    student = next(r for r in rows(here.province, "g_xs") if r["grbsm"][0] == "L" and r["sfzjlxm"] == "1")
    old, new = student["grbsm"], f"G{student['sfzjh']}"
    for table in ("XS_JBXX", "XS_JBSX", "XS_XJXX", "XS_XJYD", "XS_JZXX", "XS_JTCY", "XS_BYXX"):
        moved = f"UPDATE {table} SET GRBSM = ?, GXSJ = '2026-11-23 02:00:00' WHERE GRBSM = ?"
        edit(tmp_path / "sources", moved, new, old)
    assert rows(here.ministry, "key_change") == []
    lab_round(here)
    there, own = ({(r["entity"], r["pk"], r["old_key"], r["new_key"]) for r in rows(n, "key_change")}
                  for n in (here.ministry, here.province))  # fmt: skip
    assert there == own
    assert {"xs", "xs_sx", "xs_xj"} <= {entity for entity, *_ in there}
    ((pk, *keys),) = [rest for entity, *rest in there if entity == "xs"]
    assert keys == [old, new]
    batch = rows(here.ministry, "inbox", "seq")[-1]["batch_id"]
    for ministry in (False, True):
        told = answer(here, capsys, "lineage", "show", "xs", pk, ministry=ministry)
        (step,) = told["key_changes"]
        assert step["batch"] == batch
        assert old not in str(told)
        assert new not in str(told)
    # The change is nowhere in what stands open: the manifest names no key, old or new.
    manifest = bytes(rows(here.province, "outbox", "seq")[-1]["manifest"])
    assert old.encode() not in b64decode(json.loads(manifest)["payload"])
