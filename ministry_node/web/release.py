"""放行（双人）: a batch that a guard held is let through, or declared void, by two persons (protocol 7.2).

Decides that the first person's wish is kept with its reason until a second person carries it out or the first takes it
back; the second confirms what the first wished and nothing else. What happens to the batch is
`ministry_node.release`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

import sqlalchemy as sa
from starlette.responses import Response

from hub.audit import Event, append
from hub.evidence.kept import kept_batch
from hub.roles import same_person
from hub.store import Reader
from hub.store.ledger import NODE_STATE
from hub.web import Ask, Section, forbidden, not_here, overtaken
from hub.web.batch_list import RECEIVED, Line, find
from hub.web.section import Queue, Step
from ministry_node.release import release, void

section: Final = Section("batch_release", "ministry_node.web", nodes=("ministry",))
RELEASE, VOID = "放行", "作废"
_PREFIX: Final = "release:"
_HELD: Final = "HELD"
_REASON: Final = 500


@dataclass(frozen=True)
class Wish:
    """What the first person asked for. `name`: the account, `person` behind it; `at`: UTC text."""

    action: str
    reason: str
    name: str
    person: str
    at: str


@section.step("batch")
def offered(ask: Ask, line: Line) -> Iterator[Step]:
    """On a held batch's page, for who reviews."""
    if line.state == _HELD and line.direction == RECEIVED and ask.visitor.may("review"):
        yield Step("放行／作废…", f"/batches/{line.batch_id}/release")


@section.queue
def waiting(ask: Ask) -> Iterator[Queue]:
    """Wishes that wait for a second person."""
    if not ask.visitor.may("review"):
        return
    with ask.site.store.reading() as reader:
        query = sa.select(sa.func.count()).select_from(NODE_STATE).where(NODE_STATE.c.name.startswith(_PREFIX))
        if found := int(reader.connection.execute(query).scalar_one()):
            yield Queue("待第二人确认的放行", found, "/batches?state=HELD", "warn")


@section.get("/batches/{batch}/release", allow="review", manual="batches")
def page(ask: Ask) -> Response:
    """The held batch, why it is held, and what was wished so far."""
    return _page(ask)


@section.post("/batches/{batch}/release", allow="review")
def wish(ask: Ask) -> Response:
    """The first person's part."""
    action, reason = ask.form.get("action", ""), ask.form.get("reason", "").strip()
    if action not in (RELEASE, VOID) or not 0 < len(reason) <= _REASON:
        return _page(ask, note=f"请选择放行或作废，并用一句话写明理由（至多 {_REASON} 字）", reason=reason, status=422)
    line = _held(ask)
    asked = Wish(action, reason, ask.visitor.name, ask.operator.person, ask.at.isoformat())
    with ask.site.store.begin() as tx:
        if tx.connection.execute(_one(line.batch_id)).first() is not None:
            raise overtaken("已有人对这个批次提出处置，请刷新后查看")
        value = json.dumps(asdict(asked), ensure_ascii=False)
        tx.connection.execute(sa.insert(NODE_STATE), {"name": _PREFIX + line.batch_id, "value": value})
        _audit(ask, tx.connection, Event.RELEASE_ASKED, line.batch_id, asked)
    return ask.go(f"/batches/{line.batch_id}/release")


@section.post("/batches/{batch}/release/withdraw", allow="review")
def withdraw(ask: Ask) -> Response:
    """The first person takes it back."""
    line, asked = _held(ask), _wished(ask)
    if not same_person(asked.person, ask.operator.person):
        raise forbidden("只有提出人本人可以撤回", "由提出人撤回，或由您确认")
    with ask.site.store.begin() as tx:
        _forget(tx.connection, line.batch_id, asked)
        _audit(ask, tx.connection, Event.RELEASE_WITHDRAWN, line.batch_id, asked)
    return ask.go(f"/batches/{line.batch_id}/release")


@section.post("/batches/{batch}/release/confirm", allow="review")
def confirm(ask: Ask) -> Response:
    """The second person's part: the batch is verified, decoded and counted anew, only the guard is lifted."""
    line, asked = _held(ask), _wished(ask)
    if same_person(asked.person, ask.operator.person):
        raise forbidden("不能确认本人提出的放行或作废", "由另一名复核人员确认")
    if ask.form.get("seen", "") != asked.at:
        raise overtaken("处置申请已被改动，请核对后重新确认")
    carry_out = release if asked.action == RELEASE else void
    done = carry_out(
        ask.site.node, line.batch_id, by=asked.name, second=ask.visitor.name, reason=asked.reason, at=ask.at,
        rng=ask.site.rng,
    )  # fmt: skip
    with ask.site.store.begin() as tx:
        _forget(tx.connection, line.batch_id, asked)
    return ask.go_saying(f"/batches/{line.batch_id}", done.sentence)


def _page(ask: Ask, *, note: str = "", reason: str = "", status: int = 200) -> Response:
    line = _held(ask)
    with ask.site.store.reading() as reader:
        kept, asked = kept_batch(reader, ask.site.node, line.batch_id), _find(reader, line.batch_id)
    mine = asked is not None and same_person(asked.person, ask.operator.person)
    return ask.page(
        "release/release.html", status=status, line=line, manifest=kept.manifest(), asked=asked, mine=mine, note=note,
        reason=reason, actions=(RELEASE, VOID), entities=ask.site.catalog.entities,
    )  # fmt: skip


def _held(ask: Ask) -> Line:
    with ask.site.store.reading() as reader:
        line = find(reader, ask.path["batch"])
    if line is None or line.direction != RECEIVED:
        raise not_here("没有这个批次")
    if line.state != _HELD:
        raise overtaken("该批次已不在暂停待批状态")
    return line


def _one(batch_id: str) -> sa.Select[tuple[str]]:
    return sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _PREFIX + batch_id)


def _find(reader: Reader, batch_id: str) -> Wish | None:
    value = reader.connection.execute(_one(batch_id)).scalar_one_or_none()
    return Wish(**json.loads(value)) if value else None


def _wished(ask: Ask) -> Wish:
    with ask.site.store.reading() as reader:
        asked = _find(reader, ask.path["batch"])
    if asked is None:
        raise overtaken("处置申请已撤回")
    return asked


def _forget(connection: sa.Connection, batch_id: str, asked: Wish) -> None:
    """Takes the wish out; 409 when it is another one by now."""
    value = connection.execute(_one(batch_id)).scalar_one_or_none()
    if value is None or Wish(**json.loads(value)) != asked:
        raise overtaken("处置申请已被改动")
    connection.execute(sa.delete(NODE_STATE).where(NODE_STATE.c.name == _PREFIX + batch_id))


def _audit(ask: Ask, connection: sa.Connection, event: Event, batch_id: str, asked: Wish) -> None:
    append(
        connection, event, ts=ask.at, node=ask.site.party, actor=ask.visitor.name,
        actor_role=ask.operator.role_for("review"), object=batch_id, purpose=asked.reason,
        detail={"action": asked.action, "address": ask.source},
    )  # fmt: skip
