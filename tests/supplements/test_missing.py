"""Each school learns what it still owes, and how far its required forms are."""

from __future__ import annotations

import pytest

from hub.catalog import Catalog
from hub.store import Store
from pipelines.lab.setup import Lab
from province_node.supplement_missing import completeness, forms, missing, school_types, shown_gap
from tests.settling.handmade import people as p
from tests.settling.handmade.headers import STUDENT as HEADER
from tests.supplements.conftest import GAP, NO_CLASS, Sheet
from tests.supplements.rounds import approve, publish, run, student_line, take


@pytest.mark.parametrize(("kind", "count"), [("1", 47), ("2", 26), ("3", 33), ("4", 21)])
def test_the_forms_table_requires_as_many_forms_as_the_guide_counts(kind: str, count: int) -> None:
    assert sum(f.required(kind) for f in forms()) == count
    assert kind in school_types()
    assert all(len(f.words) == 4 for f in forms())


def test_a_school_is_told_what_its_records_lack_and_what_keeps_records_out(
    lab: Lab, store: Store, sheet: Sheet, catalog: Catalog
) -> None:
    with store.reading() as reader:
        found = list(missing(reader, catalog, "41"))
        one_school = list(missing(reader, catalog, "41", school=p.A))
    assert {g for g in found if g.school == p.A} == set(one_school)
    said = {(g.entity, g.record, g.field, g.why) for g in one_school}
    assert ("xs", GAP.xs["GRBSM"], "JKZKM", "因此被隔离") in said
    assert ("xs_xj", NO_CLASS.xs["GRBSM"], "BH", "因此被隔离") in said
    # The unit of a teacher is the school's own to say; its absence never blocks (ruling 5).
    assert ("jzg_gz", f"{p.A}|T0005", "JGH", "正式记录中为空") in said
    assert GAP.xs["GRBSM"] not in str([shown_gap(catalog, g) for g in one_school])
    take(store, sheet(f"学生_{p.A}.xlsx", HEADER, student_line(GAP), student_line(NO_CLASS)))
    approve(store, 1)
    run(lab)
    publish(lab)
    with store.reading() as reader:
        left = {(g.entity, g.record) for g in missing(reader, catalog, "41", school=p.A)}
    assert not {("xs", GAP.xs["GRBSM"]), ("xs_xj", NO_CLASS.xs["GRBSM"])} & left


def test_completeness_goes_by_the_type_of_the_school(store: Store, catalog: Catalog) -> None:
    with store.reading() as reader:
        found = {c.school: c for c in completeness(reader, catalog, "41")}
    assert {k: found[k].required for k in (p.A, p.B, p.C, p.D)} == {p.A: 47, p.B: 26, p.C: 33, p.D: 21}
    own = found[p.A]
    assert own.held == 10
    assert set(own.empty_forms) == {"学校信息-校区信息", "学校信息-校内机构"}
    assert own.filled == own.held - 2
    assert own.rate is not None
    assert 0.9 < own.rate < 1.0
    assert own.present < own.values
