"""重发: batches without an answer are shipped again at once, with the same bytes (protocol 6.4).

Decides nothing: `province_node.deliver` ships; the console only spares the wait until the next turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlette.responses import Response

from hub.web import Ask, Section
from hub.web.batch_list import SENT, Line
from hub.web.section import Step
from province_node.deliver import deliver

section: Final = Section("batch_resend", "province_node.web", nodes=("province",))
_UNANSWERED: Final = ("SEALED", "SENT", "RECEIVED")


@section.step("batches")
def offered(ask: Ask, _nothing: object) -> Iterator[Step]:
    """On the list, for who runs the exchange."""
    if ask.visitor.may("engineer"):
        yield Step("立即重发未答复批次…", "/resend")


@section.step("batch")
def offered_one(ask: Ask, line: Line) -> Iterator[Step]:
    """On the page of a batch nobody has answered."""
    if line.direction == SENT and line.state in _UNANSWERED and ask.visitor.may("engineer"):
        yield Step("立即重发…", "/resend")


@section.get("/resend", allow="engineer", manual="batches")
def page(ask: Ask) -> Response:
    """What it does, before it is done."""
    return ask.page("resend/resend.html", done=None)


@section.post("/resend", allow="engineer")
def resend(ask: Ask) -> Response:
    """Ships now; what an answer came for is left alone."""
    return ask.page("resend/resend.html", done=deliver(ask.site.node, at=ask.at, again=True))
