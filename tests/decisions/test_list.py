"""The queue as a clerk pages through it: sorted, both ways, to a page and to the end; what a bulk makes of each row."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from hub.catalog import Catalog
from hub.errors import UsageError
from hub.roles import Operator, Scope
from hub.store import Store
from quality import decisions_apply
from quality.decisions import Action, Kind, Move, Proposal, Step, decide
from quality.decisions_apply import apply, carry_out, stop, undo
from quality.decisions_bulk import Bulk, Order, open_operation, preview
from quality.decisions_list import Listing, Seek, Sort, listing, next_of
from quality.decisions_query import Filter, facets
from quality.decisions_store import DecisionRefusedError, as_value, sources_of
from tests.decisions.people import CLERK, REVIEWER, SUPERVISOR
from tests.decisions.rows import NODE, TODAY, acting, decision, move, planted, proposed, table

ALL = [Scope()]
ROWS = 27


@pytest.fixture
def queue(store: Store) -> Store:
    """Due dates and rules that tie again and again."""
    for number in range(1, ROWS + 1):
        due = (None, "2026-12-01", "2026-11-01")[number % 3]
        planted(store, number, due=due, rule=("", "YX05", "YX06")[number % 3], clash="c" if number == 9 else None)
    return store


def listed(store: Store, catalog: Catalog, sort: Sort, seek: Seek, size: int = 10, **chosen: Any) -> Listing:
    with store.reading() as reader:
        return listing(
            reader,
            catalog,
            NODE,
            ALL,
            Filter(**chosen),
            sort=sort,
            seek=seek,
            size=size,
            total=None if chosen else ROWS,
        )


def numbers(page: Listing) -> list[int]:
    return [int(r["decision_no"]) for r in page.rows]


@pytest.mark.parametrize("sort", list(Sort))
def test_every_row_is_on_one_page_whichever_way_one_pages(queue: Store, catalog: Catalog, sort: Sort) -> None:
    page = listed(queue, catalog, sort, Seek())
    forward, firsts = numbers(page), [page]
    assert not page.more_before
    while page.more_after:
        page = listed(queue, catalog, sort, Seek(after=page.last))
        forward += numbers(page)
        firsts.append(page)
    assert sorted(forward) == list(range(1, ROWS + 1))
    for at, one in enumerate(firsts, start=1):
        assert numbers(listed(queue, catalog, sort, Seek(number=at))) == numbers(one), "前往"
    end = listed(queue, catalog, sort, Seek(last=True))
    assert numbers(end) == numbers(firsts[-1])
    assert not end.more_after
    back = listed(queue, catalog, sort, Seek(before=end.first))
    assert numbers(back) == numbers(firsts[-2])
    assert back.more_after
    with queue.reading() as reader:
        follows = [next_of(reader, catalog, NODE, ALL, Filter(), sort=sort, number=n) for n in forward]
    assert follows == [*forward[1:], forward[0]], "下一条"


def test_the_orders_are_those_a_clerk_asks_for(queue: Store, catalog: Catalog) -> None:
    assert numbers(listed(queue, catalog, Sort.NEWEST, Seek()))[:3] == [27, 26, 25]
    assert numbers(listed(queue, catalog, Sort.DUE, Seek()))[:9] == list(range(2, 27, 3)), "what is overdue comes first"
    grave = numbers(listed(queue, catalog, Sort.GRAVE, Seek()))
    assert grave == [1, 4, 7, 9, 10, 13, 16, 19, 22, 25], "errors and rows that exclude each other"
    with queue.reading() as reader:
        assert next_of(reader, catalog, NODE, ALL, Filter(numbers=(5,)), sort=Sort.OLDEST, number=5) is None


def test_a_facet_counts_as_if_its_own_filter_were_not_set(queue: Store) -> None:
    with queue.reading() as reader:
        found = facets(reader, NODE, ALL, Filter(rule=("YX05",), state=("已生效",)), ("rule", "state"))
    assert found == {"rule": {}, "state": {"待处理": 9}}


def test_an_identifier_somebody_typed_finds_its_records_only(store: Store, catalog: Catalog) -> None:
    planted(store, 1, natural_key="G130102200701011231")
    planted(store, 2, natural_key="G130102200701011231|2025")
    planted(store, 3, natural_key="G1301022007010112319")
    for typed in ("G130102200701011231", " 130102200701011231"):
        assert numbers(listed(store, catalog, Sort.OLDEST, Seek(), typed=typed)) == [1, 2]
    assert numbers(listed(store, catalog, Sort.OLDEST, Seek(), division=("130600",))) == [1, 2, 3]
    assert numbers(listed(store, catalog, Sort.OLDEST, Seek(), division=("130200",))) == []


def test_a_page_that_is_none_is_refused(queue: Store, catalog: Catalog) -> None:
    for seek, size in ((Seek(after="x~y"), 10), (Seek(after="2026~3"), 10), (Seek(), 7)):
        with pytest.raises(UsageError, match="E1055"):
            listed(queue, catalog, Sort.DUE, seek, size)


SITUATIONS: tuple[dict[str, Any], ...] = (
    {"state": "待处理"},
    {"state": "已提议", "kind": "采用来源值", "chosen_source": "S1", "chosen_value": "01", "proposer": "p1"},
    {"state": "待复核", "kind": "采用来源值", "chosen_source": "S1", "chosen_value": "01", "proposer": "p1"},
    {"state": "待复核", "kind": "采用来源值", "chosen_source": "L", "chosen_value": "02", "proposer": "p1"},
    {"state": "待复核", "kind": "退回源头平台", "proposer": "p1"},
    {"state": "待复核", "kind": "采用来源值", "chosen_source": "S1", "chosen_value": "01", "proposer": "p4"},
    {"state": "暂缓", "state_before": "待处理", "until": "2026-12-31"},
    {"state": "退回源头平台", "kind": "退回源头平台", "proposer": "p1", "reviewer": "p9"},
    {"state": "已生效", "cause": "已由权威源定值"},
)
AUTHORITIES: tuple[dict[str, Any], ...] = (
    {},
    {"authority": None, "authority_value": None},
    {"suggest_source": "L", "suggest_value": "02"},
)
ORDERS = (
    (Order(Filter(), Bulk.BY_RULE, "R01", "说明"), CLERK),
    (Order(Filter(), Bulk.RETURN, "R05", "说明"), CLERK),
    (Order(Filter(), Bulk.APPROVE, "", "说明"), REVIEWER),
    (Order(Filter(), Bulk.REJECT, "R11", "说明"), REVIEWER),
    (Order(Filter(), Bulk.ASSIGN, "", "说明", assignee="wang"), SUPERVISOR),
    (Order(Filter(), Bulk.DUE, "", "说明", due="2026-12-24"), SUPERVISOR),
)
COMPARED = ("state", "cause", "effect", "proposer", "reviewer", "proposal", "state_before", "until", "assignee", "due")


@pytest.mark.parametrize(("order", "by"), ORDERS, ids=[str(o.what) for o, _ in ORDERS])
def test_a_bulk_makes_of_every_row_what_the_values_say(store: Store, order: Order, by: Operator) -> None:
    for number, (held, owned) in enumerate(itertools.product(SITUATIONS, AUTHORITIES), start=1):
        planted(store, number, **(held | owned))
    before = {r["decision_no"]: r for r in table(store, "decision")}
    with store.reading() as reader:
        said = sources_of(reader, before)
        seen = preview(reader, acting(by), order)
    want = {n: _decided(row, said[n], order, by) for n, row in before.items()}
    done = apply(store, acting(by), order, seen.token)
    able = {n for n, step in want.items() if step is not None}
    assert (done.done, done.missed, seen.able) == (len(able), 0, len(able))
    assert able
    events = {e["decision_no"]: e for e in table(store, "decision_event")}
    assert set(events) == able
    for number, row in ((r["decision_no"], r) for r in table(store, "decision")):
        step = want[number]
        if step is None:
            assert row == before[number], number
            continue
        got = as_value(row, said[number])
        for name in COMPARED:
            assert getattr(got, name) == getattr(step.after, name), (number, name)
        assert (row["version"] > before[number]["version"]) == step.changed_version
        event = events[number]
        assert (event["from_state"], event["to_state"], event["version"]) == (
            before[number]["state"], str(step.after.state), row["version"],
        )  # fmt: skip
        assert (row["events"], event["person"], event["op_no"]) == (1, by.person, done.op_no)
    asked = {c["decision_no"] for c in table(store, "correction")}
    assert asked == {n for n in able if order.what is Bulk.APPROVE and want[n].after.state == "退回源头平台"}  # type: ignore[union-attr]


def _decided(row: dict[str, Any], said: Any, order: Order, by: Operator) -> Step | None:
    conflict = as_value(row, said)
    what = order.move()
    if order.what is Bulk.BY_RULE:
        what = Move(
            what.action, what.reason, what.note, Proposal(Kind.ADOPT, row["suggest_source"], row["suggest_value"])
        )
    if what.action is Action.PROPOSE and conflict.state != "待处理":
        return None  # a bulk touches no proposal that stands
    step = decide(conflict, what, by, version=conflict.version, today=TODAY)
    if isinstance(step, Step) and what.action is Action.PROPOSE:
        step = decide(step.after, Move(Action.SUBMIT), by, version=step.after.version, today=TODAY)
    return step if isinstance(step, Step) else None


def test_a_bulk_stops_between_chunks_goes_on_and_is_undone_as_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions_apply, "CHUNK", 4)
    for number in range(1, 11):
        planted(store, number)
    order = Order(Filter(), Bulk.BY_RULE, "R01", "说明")
    with store.reading() as reader:
        token = preview(reader, acting(CLERK), order).token
    op_no = open_operation(store, acting(CLERK), order, token)
    assert open_operation(store, acting(CLERK), order, token) == op_no, "a form sent twice"
    told: list[int] = []

    def halt(done: int) -> None:
        told.append(done)
        with pytest.raises(DecisionRefusedError, match="只有提交该批处理的人"):
            stop(store, acting(SUPERVISOR), op_no)
        stop(store, acting(CLERK), op_no)

    assert carry_out(store, acting(CLERK), op_no, progress=halt).done == 4
    (row,) = table(store, "bulk_operation")
    assert (told, row["state"], row["done"]) == ([4], "已取消", 4)
    assert open_operation(store, acting(CLERK), order, token) == op_no
    assert carry_out(store, acting(CLERK), op_no).done == 4, "stopped is stopped"
    assert [r["state"] for r in table(store, "decision", "decision_no")] == ["待复核"] * 4 + ["待处理"] * 6
    back = undo(store, acting(CLERK), op_no)
    assert (back.done, back.kept) == (4, 0)
    assert {r["state"] for r in table(store, "decision")} == {"待处理"}


def test_an_interrupted_bulk_is_taken_up_where_it_stood(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions_apply, "CHUNK", 4)
    for number in range(1, 11):
        planted(store, number)
    proposed(store, 10, Proposal(Kind.ADOPT, "S1", "01"), CLERK)
    order = Order(Filter(), Bulk.BY_RULE, "R01", "说明")
    with store.reading() as reader:
        token = preview(reader, acting(CLERK), order).token
    op_no = open_operation(store, acting(CLERK), order, token)

    def fail(_done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(store, acting(CLERK), op_no, progress=fail)
    assert [r["done"] for r in table(store, "bulk_operation")] == [4]
    done = carry_out(store, acting(CLERK), op_no)
    assert (done.done, done.missed) == (9, 0)
    (row,) = table(store, "bulk_operation")
    assert (row["state"], row["hits"], row["skipped"]) == ("已完成", 10, '{"状态不是待处理": 1}')
    assert decision(store, 10)["op_no"] is None
    move(store, 1, Move(Action.WITHDRAW), CLERK)
    back = undo(store, acting(CLERK), op_no)
    assert (back.done, back.kept) == (8, 1)
