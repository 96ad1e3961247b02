"""跨省核查: cases, answers, what is overdue; 下发, 催办, and by two persons 裁定 and 关闭 (console 5).

Decides who sees a case (a province of it lies in their scope) and that ruling and closing are wished by one person and
confirmed by another; what an action does is `ministry_node.cases`'. Nothing of the person stands on these pages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

import sqlalchemy as sa
from starlette.responses import Response

from hub.audit import Event, append
from hub.errors import UsageError
from hub.keyring import open_keyring
from hub.roles import covered, same_person
from hub.store import Reader
from hub.store.ledger import NODE_STATE
from hub.transport import open_server
from hub.web import Ask, Section, forbidden, not_here, overtaken
from hub.web.listing import Condition, Facet, chips, facet, paging, turned
from hub.web.section import Queue
from ministry_node import case_pages as pages
from ministry_node import cases
from ministry_node.case_pages import Detail, Filter
from ministry_node.cases import Done
from ministry_node.down import Sender, provinces

section: Final = Section("cases", "ministry_node.web", nodes=("ministry",))
LOOK: Final = ("query", "audit")
ACT: Final = ("assign", "due")  # 业务主管: 下发, 催办, and the first person of a ruling or a closing
RULE, CLOSE = "裁定", "关闭"
STAGES: Final = ("", "已催办", "已升级")
_PREFIX: Final = "case.wish:"
_REASON: Final = 200
_CONDITIONS: Final = (
    Condition("number", "核查编号", hint="如 K00000001"),
    Condition("state", "状态", tuple((s, s) for s in pages.STATES)),
    Condition("overdue", "期限", (("1", "逾期未答复"),)),
)


@dataclass(frozen=True)
class Wish:
    """What the first person asked for: 裁定 with the province that keeps, or 关闭 with its cause."""

    action: str
    choice: str
    reason: str
    name: str
    person: str
    at: str
    version: int


@section.queue
def waiting(ask: Ask) -> Iterator[Queue]:
    """Cases to be issued, and late ones to be reminded of."""
    if not ask.visitor.may(*ACT):
        return
    today, within = cases.today_of(ask.at), _within(ask)
    with ask.site.store.reading() as reader:
        new = pages.count_cases(reader.connection, Filter(state=("待下发",), within=within), today=today)
        late = pages.count_cases(reader.connection, Filter(overdue=True, within=within), today=today)
    if new:
        yield Queue("待下发的核查", new, "/cases?state=待下发")
    if late:
        yield Queue("逾期未答复的核查", late, "/cases?overdue=1", "warn")


@section.get("/cases", allow=LOOK, menu="跨省核查", manual="cases")
def listing(ask: Ask) -> Response:
    """All cases in the visitor's scope, by number."""
    return _listing(ask)


@section.post("/cases/issue", allow=ACT)
def issue(ask: Ask) -> Response:
    """下发: the ticked cases."""
    return _bulk(ask, lambda sender, numbers: cases.issue(sender, numbers, by=ask.visitor.name), "已下发")


@section.post("/cases/remind", allow=ACT)
def remind(ask: Ask) -> Response:
    """催办: the ticked cases."""
    return _bulk(ask, lambda sender, numbers: cases.remind(sender, numbers, by=ask.visitor.name), "已催办")


@section.get("/cases/{case}", allow=LOOK, manual="cases")
def detail(ask: Ask) -> Response:
    """One case: records, answers, history; what may be done with it."""
    return _detail(ask)


@section.post("/cases/{case}/wish", allow=ACT)
def wish(ask: Ask) -> Response:
    """The first person's part of a ruling or a closing."""
    action, choice, reason = (ask.form.get(n, "").strip() for n in ("action", "choice", "reason"))
    found = _case(ask)
    fits = choice in ([p.node for p in found.parts if p.standing] if action == RULE else cases.CAUSES)
    if action not in (RULE, CLOSE) or not fits or not 0 < len(reason) <= _REASON:
        return _detail(ask, note=f"请选定处置，并用一句话写明理由（至多 {_REASON} 字，不写个人信息）", status=422)
    asked = Wish(action, choice, reason, ask.visitor.name, ask.operator.person, ask.at.isoformat(), _version(found))
    with ask.site.store.begin() as tx:
        if tx.connection.execute(_one(found.line.case_no)).first() is not None:
            raise overtaken("已有人对这件核查提出处置，请刷新后查看")
        value = json.dumps(asdict(asked), ensure_ascii=False)
        tx.connection.execute(sa.insert(NODE_STATE), {"name": _PREFIX + found.line.case_no, "value": value})
        _audit(ask, tx.connection, Event.CASE_ASKED, found.line.case_no, asked)
    return ask.go(f"/cases/{found.line.case_no}")


@section.post("/cases/{case}/withdraw", allow=ACT)
def withdraw(ask: Ask) -> Response:
    """The first person takes it back."""
    found, asked = _case(ask), _wished(ask)
    if not same_person(asked.person, ask.operator.person):
        raise forbidden("只有提出人本人可以撤回", "由提出人撤回，或由您确认")
    with ask.site.store.begin() as tx:
        _forget(tx.connection, found.line.case_no, asked)
        _audit(ask, tx.connection, Event.CASE_TAKEN_BACK, found.line.case_no, asked)
    return ask.go(f"/cases/{found.line.case_no}")


@section.post("/cases/{case}/confirm", allow="review")
def confirm(ask: Ask) -> Response:
    """The second person's part, over the case as it was when it was wished."""
    found, asked = _case(ask), _wished(ask)
    number = found.line.case_no
    if same_person(asked.person, ask.operator.person):
        raise forbidden("不能确认本人提出的裁定或关闭", "由另一名复核人员确认")
    if ask.form.get("seen", "") != asked.at:
        raise overtaken("处置申请已被改动，请核对后重新确认")
    if _version(found) != asked.version:
        raise overtaken("提出之后核查又有变化，请由提出人撤回后重新提出")
    named = {"by": asked.name, "second": ask.visitor.name, "reason": asked.reason}
    if asked.action == RULE:
        done = cases.rule(_sender(ask), number, keeper=asked.choice, **named)
    else:
        done = cases.close(_sender(ask), number, cause=asked.choice, **named)
    with ask.site.store.begin() as tx:
        _forget(tx.connection, number, asked)
    return ask.go_saying(f"/cases/{number}", _said(done, f"已{asked.action}"))


def _listing(ask: Ask, *, note: str = "", status: int = 200) -> Response:
    wanted, today = _wanted(ask), cases.today_of(ask.at)
    with ask.site.store.reading() as reader:
        where = paging(ask, pages.count_cases(reader.connection, wanted, today=today))
        found = pages.list_cases(
            reader.connection, wanted, today=today, after=where.after or "", offset=where.offset, size=where.size
        )
        facets = _facets(ask, reader, wanted)
        late = pages.late_provinces(reader.connection, today=today)
    where = turned(ask, where, [line.case_no for line in found.lines])
    within = _within(ask)
    return ask.page(
        "cases/list.html", status=status, rows=found.lines, paging=where, facets=facets, conditions=_CONDITIONS,
        chips=chips(ask, (*_CONDITIONS, Condition("node", "省")), {"node": _names(ask)}), stages=STAGES, note=note,
        late={n: c for n, c in late.items() if within is None or n in within}, names=_names(ask),
        acts=ask.visitor.may(*ACT),
    )  # fmt: skip


def _facets(ask: Ask, reader: Reader, wanted: Filter) -> tuple[Facet, ...]:
    today, names = cases.today_of(ask.at), _names(ask)
    states = pages.by_state(reader.connection, wanted, today=today)
    nodes = pages.by_province(reader.connection, wanted, today=today)
    return (
        facet(ask, "state", "状态", [(s, s, states[s]) for s in pages.STATES if s in states]),
        facet(ask, "node", "省", [(n, names.get(n, n), c) for n, c in nodes.items()], most=32),
    )


def _bulk(ask: Ask, act: Callable[[Sender, list[str]], Done], word: str) -> Response:
    """An action over the ticked cases, each of which must lie in the visitor's scope."""
    numbers = list(dict.fromkeys(ask.lists.get("tick", ())))
    if not numbers:
        return _listing(ask, note="请先勾选要办理的核查", status=422)
    with ask.site.store.reading() as reader:
        for number in numbers:
            _shown(ask, reader, number)
    done = act(_sender(ask), numbers)
    back = ask.form.get("back", "")
    return ask.go_saying(back if back.startswith(("/cases?", "/cases/")) else "/cases", _said(done, word))


def _said(done: Done, word: str) -> str:
    left = f"；{len(done.left)} 件未办理：{done.left[0][1]}" if done.left else ""
    return f"{word} {len(done.cases)} 件，下行批次 {len(done.batches)} 个{left}"


def _detail(ask: Ask, *, note: str = "", status: int = 200) -> Response:
    found = _case(ask)
    with ask.site.store.reading() as reader:
        asked = _find(reader, found.line.case_no)
    mine = asked is not None and same_person(asked.person, ask.operator.person)
    return ask.page(
        "cases/detail.html", status=status, d=found, line=found.line, asked=asked, mine=mine, note=note,
        names=_names(ask), stages=STAGES, causes=cases.CAUSES, acts=ask.visitor.may(*ACT),
        reviews=ask.visitor.may("review"), standing=sorted({p.node for p in found.parts if p.standing}),
        to_issue=any(p.standing and not p.told for p in found.parts) or found.line.state == "待下发",
    )  # fmt: skip


def _case(ask: Ask) -> Detail:
    with ask.site.store.reading() as reader:
        return _shown(ask, reader, str(ask.path["case"]))


def _shown(ask: Ask, reader: Reader, number: str) -> Detail:
    try:
        return pages.show_case(reader.connection, number, today=cases.today_of(ask.at), within=_within(ask))
    except UsageError:
        raise not_here("没有这件核查") from None


def _wanted(ask: Ask) -> Filter:
    number = ask.query("number").upper()
    states = tuple(s for s in ask.queries("state") if s in pages.STATES)
    nodes = tuple(n for n in ask.queries("node") if n in _names(ask))
    return Filter(states, nodes, (number,) if number else (), ask.query("overdue") == "1", _within(ask))


def _within(ask: Ask) -> tuple[str, ...] | None:
    """The provinces the visitor may see, None for all."""
    found: set[str] = set()
    for verb in LOOK:
        for areas, _schools, _entities in covered(ask.scopes(verb)):
            if areas is None:
                return None
            found |= {d[:2] for one in areas for d in one.codes if d.endswith("0000")}
    return tuple(sorted(found))


def _names(ask: Ask) -> dict[str, str]:
    names = ask.site.catalog.codes.division_names
    return {code[:2]: name for code, name in names.items() if code.endswith("0000")} | {"66": "新疆生产建设兵团"}


def _sender(ask: Ask) -> Sender:
    node = ask.site.node
    keyring = open_keyring(node, at=ask.at)
    if not provinces(keyring):
        raise not_here("信任清单中还没有省")
    return Sender(node, ask.site.store, keyring, open_server(node.transport_url), ask.at, ask.site.rng)


def _version(found: Detail) -> int:
    return len(found.history)


def _one(number: str) -> sa.Select[tuple[str]]:
    return sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _PREFIX + number)


def _find(reader: Reader, number: str) -> Wish | None:
    value = reader.connection.execute(_one(number)).scalar_one_or_none()
    return Wish(**json.loads(value)) if value else None


def _wished(ask: Ask) -> Wish:
    with ask.site.store.reading() as reader:
        asked = _find(reader, str(ask.path["case"]))
    if asked is None:
        raise overtaken("处置申请已撤回")
    return asked


def _forget(connection: sa.Connection, number: str, asked: Wish) -> None:
    """Takes the wish out; 409 when it is another one by now."""
    value = connection.execute(_one(number)).scalar_one_or_none()
    if value is None or Wish(**json.loads(value)) != asked:
        raise overtaken("处置申请已被改动")
    connection.execute(sa.delete(NODE_STATE).where(NODE_STATE.c.name == _PREFIX + number))


def _audit(ask: Ask, connection: sa.Connection, event: Event, number: str, asked: Wish) -> None:
    append(
        connection, event, ts=ask.at, node=ask.site.party, actor=ask.visitor.name,
        actor_role=ask.operator.role_for("assign"), object=f"case {number}",
        detail={"action": asked.action, "choice": asked.choice, "address": ask.source},
    )  # fmt: skip
