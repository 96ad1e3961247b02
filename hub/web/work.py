"""Work that a page starts and does not wait for: an import being checked, a rule being tried, a bulk operation
(console 6: slow work runs in threads, never in an answer).

Decides how many run at once in a process, who may look (the account that started it), how long an outcome is kept, and
when work counts as interrupted. Where it stands lies in the database, so that every process of the console shows the
same progress and a restart loses none of it. The process that runs it says every few seconds that it still does; when
it falls silent the work is 已中断, and `again` tells its person what that means: each kind of work is one transaction
(then nothing was written), or commits in steps that a repetition recognises.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Any, Final

import sqlalchemy as sa
from starlette.responses import Response

from hub.errors import HubError
from hub.store import Reader, Store
from hub.store.web_tables import WEB_WORK
from hub.web.accounts import stamp
from hub.web.ask import Ask
from hub.web.refusals import not_here
from hub.web.section import SIGNED_IN, Section
from hub.web.site import Site

section: Final = Section("work", "hub.web")
log = logging.getLogger("hub.web")
RUNNING, DONE, FAILED, INTERRUPTED = "进行中", "已完成", "未完成", "已中断"
AT_ONCE: Final = 3
# An outcome may hold what a person typed, so it does not stay.
KEPT: Final = timedelta(hours=2)
# A sign of life is written this often, in seconds; silence this long is the end.
SIGN: Final = 5.0
LOST: Final = timedelta(seconds=30)
_C: Final = WEB_WORK.c


@dataclass
class Telling:
    """How far a piece of work is, in its own words. It tells between its own transactions, never inside one, because
    what it says is written down at once: another thread would wait in vain behind a writer that never pauses."""

    step: str = "排队等待"
    done: int = 0
    total: int = 0
    written: Callable[[], None] = lambda: None

    def tell(self, step: str, done: int = 0, total: int = 0) -> None:
        """Where the work stands, for the page that looks."""
        self.step, self.done, self.total = step, done, total
        self.written()

    def values(self) -> dict[str, Any]:
        return {"step": self.step, "done": self.done, "total": self.total}


@dataclass(frozen=True)
class Work:
    """One piece of work as it stands. `outcome`: what it returned, as JSON; `href`: where that is shown; `error`: why
    it ended without; `again`: what an interruption means."""

    token: str
    owner: str
    label: str
    back: str
    state: str
    step: str
    done: int
    total: int
    href: str
    again: str
    outcome: Any = field(repr=False)
    error: HubError | None = None

    @property
    def running(self) -> bool:
        return self.state == RUNNING


@dataclass(frozen=True)
class Plan:
    """What is to run. `back`: where a failure leads; `then`: the address of an outcome; `again`: see `Work`."""

    label: str
    run: Callable[[Telling], Any]
    back: str
    again: str
    then: Callable[[Any], str] = lambda _outcome: ""


_pool: Final = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hub-work")


def start(ask: Ask, plan: Callable[[str], Plan]) -> Response:
    """Runs it beside the pages and leads to its progress. `plan` gets the token its outcome is found by."""
    token = ask.site.rng(12).hex()
    begin(ask, token, plan(token))
    return ask.go(f"/work/{token}")


def begin(ask: Ask, token: str, plan: Plan) -> bool:
    """Runs it under this name; False when it runs already, in whichever process."""
    site, owner, worker = ask.site, ask.visitor.name, ask.site.rng(8).hex()
    settle(site.store, ask.at)
    if not _claimed(site.store, token, owner, worker, plan, ask.at):
        return False
    telling, over = Telling(), Event()
    telling.written = lambda: _sign(site, token, worker, telling)
    Thread(target=_signs, args=(site, token, worker, telling, over), daemon=True).start()
    _pool.submit(_run, site, token, worker, plan, telling, over)
    return True


def _claimed(store: Store, token: str, owner: str, worker: str, plan: Plan, at: datetime) -> bool:
    values = {
        "name": owner, "worker": worker, "label": plan.label[:200], "back": plan.back, "again": plan.again,
        "state": RUNNING, "begun": stamp(at), "beat": stamp(at), "ended": None, "href": None, "outcome": None,
        "error": None, **Telling().values(),
    }  # fmt: skip
    free = sa.or_(_C.state != RUNNING, _C.beat < stamp(at - LOST))
    with store.begin() as tx:
        taken = tx.connection.execute(sa.update(WEB_WORK).where(_C.token == token, free).values(**values)).rowcount
        known = taken or tx.connection.execute(sa.select(_C.token).where(_C.token == token)).first()
        if known:
            return bool(taken)
        try:
            with tx.connection.begin_nested():
                tx.connection.execute(sa.insert(WEB_WORK), {"token": token, **values})
        except sa.exc.IntegrityError:  # another process began the same a moment ago
            return False
    return True


def _signs(site: Site, token: str, worker: str, telling: Telling, over: Event) -> None:
    """Writes now and then that the work still runs, however long it has nothing to tell."""
    while not over.wait(SIGN):
        _sign(site, token, worker, telling)


def _sign(site: Site, token: str, worker: str, telling: Telling) -> None:
    try:
        _note(site, token, worker, **telling.values())
    except HubError as error:  # a writer that takes long: the next sign says it
        log.debug("no sign of work %s: %s", token, error.code)


def _run(site: Site, token: str, worker: str, plan: Plan, telling: Telling, over: Event) -> None:
    ended: dict[str, Any] = {"state": FAILED}
    try:
        outcome = plan.run(telling)
        ended = {
            "state": DONE, "href": plan.then(outcome), "outcome": json.dumps(outcome, ensure_ascii=False),
            **telling.values(),
        }  # fmt: skip
    except HubError as error:
        ended["error"] = _kept(error)
    except Exception as error:  # noqa: BLE001 - the one place where every failure of such work ends
        log.error("work ended: %s", type(error).__name__)  # its message may hold what a person typed
        broken = HubError("E1089", "系统内部错误，本次操作未完成", step="稍后重试；仍不行请把时间告诉系统管理员")
        ended["error"] = _kept(broken)
    finally:
        over.set()
        _note(site, token, worker, ended=stamp(site.now()), **ended)


def _note(site: Site, token: str, worker: str, **values: Any) -> None:
    """The worker's own word; it counts even when others had given it up, but not after somebody took the work over."""
    mine = (_C.token == token, _C.worker == worker)
    with site.store.begin() as tx:
        tx.connection.execute(sa.update(WEB_WORK).where(*mine).values(beat=stamp(site.now()), **values))


def _kept(error: HubError) -> str:
    return json.dumps([error.code, error.what, error.where, error.step], ensure_ascii=False)


def settle(store: Store, at: datetime) -> int:
    """Marks as interrupted what no process says any more that it runs, and drops old outcomes; how many were marked."""
    lost = (_C.state == RUNNING, _C.beat < stamp(at - LOST))
    old = sa.or_(_C.ended < stamp(at - KEPT), sa.and_(_C.state == INTERRUPTED, _C.begun < stamp(at - 12 * KEPT)))
    with store.begin() as tx:
        marked = tx.connection.execute(sa.update(WEB_WORK).where(*lost).values(state=INTERRUPTED)).rowcount
        tx.connection.execute(sa.delete(WEB_WORK).where(_C.state != RUNNING, old))
    return int(marked)


def running(reader: Reader, tokens: Sequence[str], at: datetime) -> frozenset[str]:
    """Which of these are being worked on, by any process."""
    if not tokens:
        return frozenset()
    alive = (_C.token.in_(tokens), _C.state == RUNNING, _C.beat >= stamp(at - LOST))
    return frozenset(reader.connection.execute(sa.select(_C.token).where(*alive)).scalars())


def work_of(ask: Ask, token: str) -> Work:
    """The visitor's own work; 404 for another's, as for one that is no longer kept."""
    with ask.site.store.reading() as reader:
        query = sa.select(WEB_WORK).where(_C.token == token, _C.name == ask.visitor.name)
        row = reader.connection.execute(query).mappings().first()
    if row is None:
        raise not_here("这项任务不在了：其结果只保留两小时")
    lost = row["state"] == RUNNING and row["beat"] < stamp(ask.at - LOST)
    code, what, where, step = json.loads(row["error"]) if row["error"] else ("", "", "", "")
    return Work(
        token, row["name"], row["label"], row["back"], INTERRUPTED if lost else row["state"], row["step"] or "",
        int(row["done"] or 0), int(row["total"] or 0), row["href"] or "", row["again"] or "",
        json.loads(row["outcome"]) if row["outcome"] else None,
        HubError(code, what, where=where, step=step) if code else None,
    )  # fmt: skip


@section.get("/work/{token}", allow=SIGNED_IN)
def progress(ask: Ask) -> Response:
    """How far it is; leads on by itself when it has ended well."""
    work = work_of(ask, str(ask.path["token"]))
    return ask.go(work.href) if work.state == DONE else ask.page("work.html", work=work)
