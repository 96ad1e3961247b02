"""数据复核: what waits for a second person, by 操作号; 通过, 驳回, 抽查 n 条 (console 3, 5).

Decides how proposals are grouped and shown. That nobody reviews his own is decided by the state machine and held by the
database; here own ones only have no button.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from starlette.responses import Response

from hub.web import Ask, Queue, Section
from hub.web.filters import today
from quality.decisions_query import NONE, Filter, count, page
from quality.decisions_sample import MOST, draw
from quality.plain_exports import ASKED, requests
from quality.web.job_rows import submitted
from quality.web.lines import lines_of
from quality.web.query import acting_of
from quality.web.wording import person_names

section: Final = Section("review", "quality.web", nodes=("province",))
WAITING: Final = ("待复核",)


@section.get("/review", allow="review", menu="数据复核", manual="review")
def listing(ask: Ask) -> Response:
    """Submitted proposals by 操作号 and person; the rows of a drawn sample."""
    numbers = tuple(int(n) for n in ask.queries("no") if n.isascii() and n.isdigit() and len(n) < 16)[:MOST]
    scopes, catalog = ask.scopes("review"), ask.site.catalog
    with ask.site.store.reading() as reader:
        found = submitted(reader, ask.site.party, ask.operator)
        rows = page(reader, ask.site.party, scopes, Filter(numbers=numbers), size=len(numbers)).rows if numbers else ()
        names = person_names(reader)
        sample = lines_of(reader, catalog, ask.site.party, rows, today(ask.at))
        released = [r for r in requests(reader) if r["state"] == ASKED and r["asked_by"] != ask.operator.person]
    return ask.page(
        "conflicts/review.html", groups=found, names=names, sample=sample, op=ask.query("op"), sampled=bool(ask.query("sampled")),
        exports=len(released), samples=ask.visitor.may("sample"),
    )  # fmt: skip


@section.post("/review/sample", allow="sample")
def sample(ask: Ask) -> Response:
    """Draws; the numbers stand in the address, they are the hub's own."""
    op, size = ask.form.get("op", ""), ask.form.get("size", "")
    chosen = Filter(state=WAITING, op_no=(op,)) if op else Filter(state=WAITING)
    dice = random.Random(ask.site.rng(16))  # noqa: S311 - a sample, no secret; its seed is the system's randomness
    numbers = draw(ask.site.store, acting_of(ask), chosen, int(size) if size.isdigit() else 0, dice)
    drawn = "&".join(f"no={n}" for n in numbers)
    return ask.go(f"/review?op={op or NONE}&sampled=1" + (f"&{drawn}" if drawn else ""))


@section.queue
def waiting(ask: Ask) -> Iterable[Queue]:
    """What this person may review."""
    if not ask.visitor.may("review"):
        return
    with ask.site.store.reading() as reader:
        scopes = ask.scopes("review")
        every = count(reader, ask.site.party, scopes, Filter(state=WAITING))
        own = count(reader, ask.site.party, scopes, replace(Filter(state=WAITING), proposer=(ask.operator.person,)))
    yield Queue("待复核", every - own, "/review", "warn")
