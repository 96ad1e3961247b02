"""An approved supplement can be taken back: its value gives way in the next round, an earlier word stands again."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from hub.catalog import load_catalog
from hub.errors import HubError, UsageError
from hub.roles_store import add_operator
from hub.store import Store
from hub.store.supplement_tables import SUPPLEMENT_ROW
from pipelines.lab.setup import Lab
from province_node.supplement_review import withdraw
from province_node.supplement_store import State, file_of
from tests.round.labs import AT
from tests.settling.handmade import people as p
from tests.settling.handmade.headers import STUDENT
from tests.supplements.conftest import GAP, Sheet
from tests.supplements.rounds import approve, golden, publish, run, student_line, take

NAME = f"学生_{p.A}.xlsx"
ONE = p.student(5, p.A)
AT_FIELD = load_catalog().entities["xs"].columns.index("DZXX") + 1


def line_with(address: str) -> list[Any]:
    cells = student_line(ONE)
    cells[STUDENT.index("电子信箱/其他联系方式")] = address
    return cells


def mail(lab: Lab) -> tuple[str | None, str]:
    ((value, letter),) = golden(
        lab.province, "xs", f"DZXX, substr(prov, {AT_FIELD}, 1)", f"GRBSM = '{ONE.xs['GRBSM']}'"
    )
    return value, letter


def settled(lab: Lab) -> int:
    done = run(lab)
    publish(lab)
    return done.settled.changes.counts.rows


def test_a_withdrawn_value_gives_way_and_the_word_before_it_stands_again(lab: Lab, store: Store, sheet: Sheet) -> None:
    take(store, sheet(NAME, STUDENT, line_with("one@x.cn")))
    take(store, sheet("后.xlsx", STUDENT, line_with("two@x.cn")), school=p.A)
    approve(store, 1)
    approve(store, 2)
    settled(lab)
    assert mail(lab) == ("two@x.cn", "L")
    with pytest.raises(UsageError, match="E3716"):
        withdraw(store, 2, node="41", operator="张三", at=AT, approved=True)
    with pytest.raises(UsageError, match="E3724"):
        withdraw(store, 2, node="41", operator="李四", at=AT, approved=True, reason="填错了人")
    assert withdraw(store, 2, node="41", operator="张三", at=AT, approved=True, reason="填错了人") == 1
    assert mail(lab) == ("two@x.cn", "L"), "until the next round"
    assert settled(lab) == 1
    assert mail(lab) == ("one@x.cn", "L")
    withdraw(store, 1, node="41", operator="张三", at=AT, approved=True, reason="查无依据", rows=[2])
    settled(lab)
    assert mail(lab) == (None, "-")
    assert settled(lab) == 0
    with store.reading() as reader:
        assert file_of(reader, 1).states == {str(State.WITHDRAWN): 1}
        kept = reader.connection.execute(sa.select(SUPPLEMENT_ROW.c.reviewer)).scalars().all()
    assert kept == ["李四", "李四"], "who had approved it stays on record"


def test_two_accounts_of_one_person_are_one_person_by_call_and_by_sql(store: Store, sheet: Sheet) -> None:
    for name, person in (("li.import", "A007"), ("li.review", "A007"), ("wang", "A008")):
        add_operator(store, "41", name, person, [], at=AT, actor="t")
    take(store, sheet(NAME, STUDENT, student_line(GAP)), operator="li.import")
    for reviewer in ("li.review", "a007", "li.import"):
        with pytest.raises(UsageError, match="E3715"):
            approve(store, 1, reviewer=reviewer)
    for forged in ({"reviewer": "li.review"}, {"reviewer": "li.review", "reviewer_person": "a007"}):
        with pytest.raises(HubError, match="E3108"), store.begin() as tx:
            tx.connection.execute(sa.update(SUPPLEMENT_ROW).values(state=str(State.APPROVED), **forged))
    with store.reading() as reader:
        assert file_of(reader, 1).states == {str(State.WAITING): 1}
    assert approve(store, 1, reviewer="wang").rows == 1
