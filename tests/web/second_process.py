"""A console process of its own, for tests that share one database between two and kill one.

`python -m tests.web.second_process FOLDER` serves the node's folder until it is killed and says its address on a line.
It has one page more: work that says how far it is and never ends.
"""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event

from starlette.responses import Response

from hub.settings import open_node
from hub.web import SIGNED_IN, Ask, Section
from hub.web.work import Plan, Telling, begin
from tests.web.consoles import serve

section = Section("endless", "hub.web")
NAME = "endless-work"


@section.post("/endless", allow=SIGNED_IN)
def endless(ask: Ask) -> Response:
    """Begins it."""

    def run(telling: Telling) -> None:
        telling.tell("第三步", 3, 7)
        Event().wait()

    begin(ask, NAME, Plan("不会结束的任务", run, "/", "什么都没有写入，请重做"))
    return ask.go(f"/work/{NAME}")


if __name__ == "__main__":
    served = serve(open_node(Path(sys.argv[1])), more=(section,))
    sys.stdout.write(f"{served.address}\n")
    sys.stdout.flush()
    Event().wait()
