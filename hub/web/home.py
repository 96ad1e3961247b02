"""我的工作台: what waits for the visitor, the last batches, alarms (console 5).

Decides only what stands there; each number leads to the list that has exactly so many rows.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from hub.web.accounts import stamp
from hub.web.ask import Ask
from hub.web.figures import alarms, figures, last_batches, last_runs
from hub.web.refusals import no_role
from hub.web.section import SIGNED_IN, Section

section: Final = Section("home", "hub.web")
ALARM_DAYS: Final = 14


@section.get("/", allow=SIGNED_IN, menu="我的工作台", manual="home")
def workbench(ask: Ask) -> Response:
    """Queues of all sections in the visitor's scope. Without a role: the sentence whom to ask."""
    if not ask.visitor.roles:
        raise no_role(ask.site.node.settings.web.contact)
    queues = [q for s in ask.site.brought() for count in s.queues for q in count(ask)]
    # Totals of the node are for those whose scope is the node, and for those who look after it.
    whole = any(scope.whole for scope in ask.scopes("query"))
    sees = whole or ask.visitor.may("audit", "administer", "engineer")
    with ask.site.store.reading() as reader:
        batches = last_batches(reader) if sees else ()
        found = alarms(reader, stamp(ask.at - timedelta(days=ALARM_DAYS))) if sees else ()
        runs = last_runs(reader, 5) if sees else ()
        read = sorted(figures(reader).sources.items()) if sees else []
    systems = ask.site.catalog.systems
    return ask.page(
        "home.html", queues=queues, sees=sees, batches=batches, alarms=found, days=ALARM_DAYS, runs=runs,
        read=[(systems[s].cn if s in systems else s, t) for s, t in read],
    )  # fmt: skip
