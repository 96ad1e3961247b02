"""Work that a page starts and does not wait for: an import being checked, a rule being tried (console 6: slow work runs
in threads, never in an answer).

Decides how many run at once, who may look (the account that started it) and how long an outcome is kept. It lives in
the memory of this process: what has to outlast a restart is written by the work itself, in its own transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from starlette.responses import Response

from hub.errors import HubError
from hub.web.ask import Ask
from hub.web.refusals import not_here
from hub.web.section import SIGNED_IN, Section

section: Final = Section("work", "hub.web")
log = logging.getLogger("hub.web")
AT_ONCE: Final = 2
KEPT: Final = 100


@dataclass
class Work:
    """One piece of work. `outcome`: what it returned; `error`: why it ended without; `step`…: how far."""

    token: str
    owner: str
    label: str
    back: str
    then: Callable[[str, Any], str]
    step: str = "排队等待"
    done: int = 0
    total: int = 0
    outcome: Any = None
    error: HubError | None = None
    ended: bool = False

    def tell(self, step: str, done: int = 0, total: int = 0) -> None:
        """Where the work stands, for the page that looks."""
        self.step, self.done, self.total = step, done, total


_kept: dict[str, Work] = {}
_lock: Final = Lock()
_pool: Final = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hub-work")


def start(ask: Ask, label: str, run: Callable[[Work], Any], *, back: str, then: Callable[[str, Any], str]) -> Response:
    """Runs it beside the pages and leads to its progress. `back`: where a failure leads; `then(token, outcome)`: the
    address of what came of it."""
    work = Work(ask.site.rng(12).hex(), ask.visitor.name, label, back, then)
    with _lock:
        for token in [t for t, w in _kept.items() if w.ended][: max(0, len(_kept) - KEPT)]:
            del _kept[token]
        _kept[work.token] = work
    _pool.submit(_run, work, run)
    return ask.go(f"/work/{work.token}")


def _run(work: Work, run: Callable[[Work], Any]) -> None:
    try:
        work.outcome = run(work)
    except HubError as error:
        work.error = error
    except Exception as error:  # noqa: BLE001 - the one place where every failure of such work ends
        log.error("work ended: %s", type(error).__name__)  # its message may hold what a person typed
        work.error = HubError("E1089", "系统内部错误，本次操作未完成", step="稍后重试；仍不行请把时间告诉系统管理员")
    finally:
        work.ended = True


def work_of(ask: Ask, token: str) -> Work:
    """The visitor's own work; 404 for another's, as for one that is no longer kept."""
    work = _kept.get(token)
    if work is None or work.owner != ask.visitor.name:
        raise not_here("这项任务不在了：可能已过期，或服务重启过")
    return work


@section.get("/work/{token}", allow=SIGNED_IN)
def progress(ask: Ask) -> Response:
    """How far it is; leads on by itself when it has ended well."""
    work = work_of(ask, ask.path["token"])
    if work.ended and work.error is None:
        return ask.go(work.then(work.token, work.outcome))
    return ask.page("work.html", status=200, work=work)
