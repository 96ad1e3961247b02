"""冲突详情: sources side by side, one key decides, the next one opens (console 3).

Decides how a form becomes a move, which reason stands where nobody chose one, and what a second writer is told. Every
rule of the workflow is the state machine's (`quality.decisions`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from hub.errors import HubError, InputError, UsageError
from hub.roles_store import operator_named
from hub.web import Ask, Section
from hub.web.filters import today
from hub.web.plaintext import reveal
from quality.decisions import CASE_KINDS, Action, Conflict, Kind, Move, Proposal, State, stale
from quality.decisions_list import next_of
from quality.decisions_query import count
from quality.decisions_sheet import refuse_mask
from quality.decisions_store import Acting, DecisionRefusedError, act_all, load
from quality.decisions_value import check_value, refuse_private
from quality.reasons import reasons_for
from quality.web.counted import forget
from quality.web.dossier import Dossier, dossier
from quality.web.lines import lines_of
from quality.web.query import acting_of, asked
from quality.web.wording import deciders, province_names, school_names, source_name

section: Final = Section("conflict", "quality.web", nodes=("province",))
# What a one-key decision gives as its reason: the authority's value is taken for right, another one was verified.
BY_AUTHORITY, VERIFIED, FROM_SOURCE = "R03", "R01", "R05"
# The same for an answer to the ministry.
ANSWERS: Final = {Kind.KEEP: "R41", Kind.RETURN: "R42", Kind.OTHER_PERSON: "R43"}
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Kept:
    """What a person typed into a form that was not taken: it stands there again."""

    do: str = ""
    reason: str = ""
    note: str = ""
    value: str = ""
    until: str = ""

    @staticmethod
    def of(form: Mapping[str, str]) -> Kept:
        """The texts of a posted form."""
        return Kept(**{name: form.get(name, "") for name in ("do", "reason", "note", "value", "until")})


@section.get("/conflicts/{number:int}", allow="query", manual="conflict")
def detail(ask: Ask) -> Response:
    """One conflict by its own address."""
    return show(ask, int(ask.path["number"]))


def show(
    ask: Ask, number: int, *, status: int = 200, error: HubError | None = None, kept: Kept | None = None,
    moved: dict[str, Any] | None = None,
) -> Response:  # fmt: skip
    """The page; after a refusal with its sentence and what was typed. `moved`: what a decision changed in the list."""
    acting, catalog = acting_of(ask), ask.site.catalog
    with ask.site.store.reading() as reader:
        row, _ = load(reader, number, acting)
        covered = dossier(reader, catalog, ask.site.node, row)
        school = school_names(reader, ask.site.party, [row["school"]]).get(row["school"] or "", "")
        people = deciders(reader) if ask.visitor.may("assign") else []
        wanted = asked(ask)
        after = next_of(
            reader, catalog, ask.site.party, ask.scopes("query"), wanted.filter, sort=wanted.sort, number=number
        )
    if covered.private and reveal(ask, row["entity"], row["pk"] or str(number), [row["field"]]):
        with ask.site.store.reading() as reader:
            covered = dossier(reader, catalog, ask.site.node, row, plain=True)
    return ask.page(
        "conflicts/detail.html", status=status, d=covered, row=row, school=school, people=people, after=after,
        error=error, kept=kept or Kept(), query=ask.request.url.query, last=_last(ask, covered) if status == 409 else "",
        own=row["proposer"] == ask.operator.person, reasons=reasons_for, provinces=province_names(catalog), answers=CASE_KINDS, moved=moved, done=_done(ask, moved), days=_days(ask, _waits_since(covered)), source_name=source_name,
        here=quote(f"/conflicts/{number}" + (f"?{ask.request.url.query}" if ask.request.url.query else "")),
    )  # fmt: skip


@section.post("/conflicts/{number:int}/decide", allow=("propose", "return", "postpone"))
def decide(ask: Ask) -> Response:
    """采用, 手工值, 退回源头平台, 暂缓, 提交, 撤回, 恢复. The buttons propose and submit; 暂存 stops before."""
    number, do = int(ask.path["number"]), ask.form.get("do", "")
    acting = acting_of(ask)
    try:
        with ask.site.store.reading() as reader:
            row, conflict = load(reader, number, acting)
        moves = _moves(ask, acting, row, conflict, do)
        act_all(ask.site.store, acting, number, moves, version=_version(ask))
    except (DecisionRefusedError, InputError) as error:
        return _again(ask, number, error)
    forget(ask.site.store)
    stays = ask.form.get("draft") == "1" or do in ("withdraw", "resume")
    return _here(ask, number) if stays else _next(ask, number)


@section.post("/conflicts/{number:int}/review", allow="review")
def review(ask: Ask) -> Response:
    """通过 or 驳回, by a second person."""
    approve = ask.form.get("do") == "approve"
    action = Action.APPROVE if approve else Action.REJECT
    return _simple(
        ask, Move(action, "" if approve else ask.form.get("reason", ""), ask.form.get("note", "")), onward=True
    )


@section.post("/conflicts/{number:int}/reopen", allow="reopen")
def reopen(ask: Ask) -> Response:
    """重开, history kept."""
    return _simple(ask, Move(Action.REOPEN, ask.form.get("reason", ""), ask.form.get("note", "")))


@section.post("/conflicts/{number:int}/assign", allow="assign")
def assign(ask: Ask) -> Response:
    """分派, 转办."""
    to = ask.form.get("assignee", "").strip()
    with ask.site.store.reading() as reader:
        operator_named(reader, to)
        if to not in deciders(reader):
            raise UsageError("E3337", "该账号没有处理冲突的角色，不能承办", where=to, step="改选业务员或业务主管")
    return _simple(ask, Move(Action.ASSIGN, assignee=to))


@section.post("/conflicts/{number:int}/due", allow="due")
def due(ask: Ask) -> Response:
    """截止日期."""
    return _simple(ask, Move(Action.DUE, due=_day(ask.form.get("due", ""))))


@section.post("/conflicts/{number:int}/comment", allow="comment")
def comment(ask: Ask) -> Response:
    """备注; the version stays."""
    return _simple(ask, Move(Action.COMMENT, note=ask.form.get("note", "")))


def _moves(ask: Ask, acting: Acting, row: Mapping[str, Any], conflict: Conflict, do: str) -> tuple[Move, ...]:
    form = ask.form
    reason, note = form.get("reason", ""), form.get("note", "")
    if do == "submit":
        return (Move(Action.SUBMIT),)
    if do == "withdraw":
        return (Move(Action.WITHDRAW),)
    if do == "resume":
        return (Move(Action.RESUME),)
    if do == "postpone":
        return (Move(Action.POSTPONE, reason, note, until=_day(form.get("until", ""))),)
    if do.startswith("answer:"):
        answer = do.removeprefix("answer:")
        if answer not in set(CASE_KINDS):
            raise DecisionRefusedError(stale(conflict), conflict.number)
        proposal, reason = Proposal(Kind(answer)), reason or ANSWERS[Kind(answer)]
    elif do == "return":
        proposal, reason = Proposal(Kind.RETURN), reason or FROM_SOURCE
    elif do == "manual":
        value = form.get("value", "").strip()
        refuse_mask(ask.site.catalog, row, conflict, value)
        entity = ask.site.catalog.entities[row["entity"]]
        check_value(ask.site.catalog, entity, row["field"], value, conflict.number)
        refuse_private(acting.by, entity, row["field"], conflict.number)
        proposal = Proposal(Kind.MANUAL, None, value)
    else:
        proposal, reason = _adopted(conflict, do, reason)
    propose = Move(Action.PROPOSE, reason, note, proposal)
    return (propose,) if form.get("draft") == "1" else (propose, Move(Action.SUBMIT))


def _adopted(conflict: Conflict, do: str, reason: str) -> tuple[Proposal, str]:
    at = do.removeprefix("adopt:")
    if not at.isdigit() or not 1 <= int(at) <= len(conflict.sources):
        raise DecisionRefusedError(stale(conflict), conflict.number)
    source = conflict.sources[int(at) - 1]
    given = reason or (BY_AUTHORITY if source.source == conflict.authority else VERIFIED)
    return Proposal(Kind.ADOPT, source.source, source.value), given


def _simple(ask: Ask, move: Move, *, onward: bool = False) -> Response:
    number = int(ask.path["number"])
    try:
        act_all(ask.site.store, acting_of(ask), number, (move,), version=_version(ask), seen=_whole(ask, "events"))
    except DecisionRefusedError as error:
        return _again(ask, number, error)
    forget(ask.site.store)
    return _next(ask, number) if onward else _here(ask, number)


def _again(ask: Ask, number: int, error: HubError) -> Response:
    """The form once more with what was typed, for what a person can put right; 403 and 404 are pages of their own."""
    status = getattr(error, "status", 422)
    if status not in (409, 422):
        raise error
    return show(ask, number, status=status, error=error, kept=Kept.of(ask.form))


def _version(ask: Ask) -> int:
    return _whole(ask, "version")


def _whole(ask: Ask, name: str) -> int:
    """A number the form carries; -1 where it does not."""
    text = ask.form.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1


def _day(text: str) -> str:
    return text if _DAY.fullmatch(text) else ""


def _here(ask: Ask, number: int) -> Response:
    if ask.htmx:
        return show(ask, number, moved={**_moved(ask, number), "stays": True})
    return ask.go(f"/conflicts/{number}" + _tail(ask))


def _next(ask: Ask, number: int) -> Response:
    """The next row of the list opens after a decision; at its end the list."""
    wanted = asked(ask)
    with ask.site.store.reading() as reader:
        after = next_of(
            reader,
            ask.site.catalog,
            ask.site.party,
            ask.scopes("query"),
            wanted.filter,
            sort=wanted.sort,
            number=number,
        )
    if ask.htmx:
        moved = _moved(ask, number)
        if after is not None:
            return show(ask, after, moved=moved)
        return ask.fragment("conflicts/last.html", moved=moved, done=_done(ask, moved), query=ask.request.url.query)
    tail = _tail(ask)
    done = f"{'&' if tail else '?'}done={number}"
    return ask.go(f"/conflicts/{after}{tail}{done}" if after is not None else f"/conflicts{tail}{done}")


def _tail(ask: Ask) -> str:
    kept = "&".join(p for p in ask.request.url.query.split("&") if p and not p.startswith("done="))
    return f"?{kept}" if kept else ""


def _moved(ask: Ask, number: int) -> dict[str, Any]:
    """What the list around shows anew: the row of the conflict, and how many the filter finds."""
    with ask.site.store.reading() as reader:
        row, _ = load(reader, number, acting_of(ask))
        (line,) = lines_of(reader, ask.site.catalog, ask.site.party, [row], today(ask.at))
        total = count(reader, ask.site.party, ask.scopes("query"), asked(ask).filter)
    return {"line": line, "total": total}


def _done(ask: Ask, moved: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The conflict decided a moment ago, as it stands now."""
    number = ask.number("done", 0)
    if moved is not None:
        number = 0 if "stays" in moved else int(moved["line"].number)
    if not number:
        return None
    try:
        with ask.site.store.reading() as reader:
            row, _ = load(reader, number, acting_of(ask))
    except DecisionRefusedError:
        return None
    return {"number": number, "state": row["state"], "mine": row["proposer"] == ask.operator.person}


def _waits_since(found: Dossier) -> str:
    """Since when the platform's answer is waited for, empty when it is not."""
    waits = found.row["state"] == str(State.RETURNED) and found.corrections
    return str(found.corrections[0]["asked_at"]) if waits else ""


def _days(ask: Ask, since: str) -> int | None:
    return (ask.at - datetime.fromisoformat(since)).days if since else None


def _last(ask: Ask, found: Dossier) -> str:
    """Who changed what and when, for the second writer."""
    if not found.passages:
        return ""
    step = found.passages[0]
    when = ask.templates.filters["moment"](step.ts)
    what = f"{step.action}{f'，{step.opinion}' if step.opinion else ''}（{step.states}）"
    return f"{step.actor} 于 {when} {what}"
