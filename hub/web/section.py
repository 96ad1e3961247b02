"""Sections: what a room brings to the console. A page is declared with who may use it, or it does not exist.

Decides the form of a declaration; the guard in `app` enforces it before the page's own code runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from starlette.responses import Response

from hub.roles import rights, verbs

if TYPE_CHECKING:
    from hub.web.ask import Ask

Page = Callable[["Ask"], Response]
Verb = Literal["GET", "POST"]
BOTH: Final = ("province", "ministry")
# The groups of the menu, in order, and the labels of console 5 in theirs. A label not named here comes last.
MENU: Final[dict[str, tuple[str, ...]]] = {
    "": ("我的工作台",),
    "数据质量": ("冲突处理", "数据复核", "批量任务", "质量规则", "隔离数据", "跨省核查"),
    "数据交换": ("补录与初始化", "交换批次"),
    "统计": ("质量看板", "进展月报"),
    "溯源审计": ("溯源查询", "审计日志"),
    "系统": ("用户与角色", "节点与密钥", "调度", "帮助／健康"),
}


@dataclass(frozen=True)
class Allowed:
    """Who may use a route. `verbs`: one of them is needed; `signed_in` only: any account; neither: the whole world.
    `whole`: the page speaks of the whole node, so the verb is needed over all of it."""

    verbs: tuple[str, ...] = ()
    signed_in: bool = True
    whole: bool = False

    def roles(self) -> tuple[str, ...]:
        """The functional roles that may, for the sentence of a refusal."""
        return tuple(role for role, given in rights().items() if given & set(self.verbs))


EVERYONE: Final = Allowed(signed_in=False)
SIGNED_IN: Final = Allowed()


@dataclass(frozen=True)
class Route:
    """One page: `path` in Starlette's notation, `menu` its label there."""

    path: str
    method: Verb
    allow: Allowed
    page: Page
    menu: str = ""
    manual: str = ""


@dataclass(frozen=True)
class Queue:
    """Work that waits: a number on the workbench, and the address of exactly that list."""

    label: str
    count: int
    href: str
    tone: str = ""


@dataclass(frozen=True)
class Step:
    """Something that may be done with the thing on a page, by the visitor who sees it: a link to where it is done."""

    label: str
    href: str
    danger: bool = False


Steps = Callable[["Ask", Any], Iterable[Step]]


@dataclass
class Section:
    """Pages of one idea. `package`: holds `templates/` and `static/`; `nodes`: roles of nodes that have it."""

    name: str
    package: str
    nodes: tuple[str, ...] = BOTH
    routes: list[Route] = field(default_factory=list)
    queues: list[Callable[[Ask], Iterable[Queue]]] = field(default_factory=list)
    steps: dict[str, list[Steps]] = field(default_factory=dict)

    def step(self, thing: str) -> Callable[[Steps], Steps]:
        """Declares what this section adds to another room's page about a `thing` (a batch): its steps, as links."""

        def declare(found: Steps) -> Steps:
            self.steps.setdefault(thing, []).append(found)
            return found

        return declare

    def queue(self, count: Callable[[Ask], Iterable[Queue]]) -> Callable[[Ask], Iterable[Queue]]:
        """Declares what of this section waits for the visitor; asked for each workbench, so it is a quick count in the
        visitor's scope. Yields nothing to who may not do the work."""
        self.queues.append(count)
        return count

    def get(
        self, path: str, *, allow: str | tuple[str, ...] | Allowed, menu: str = "", manual: str = ""
    ) -> Callable[[Page], Page]:
        """Declares a page to look at. `allow`: a verb of `schemas/roles.yaml`, several of which one is enough, or
        `SIGNED_IN`, `EVERYONE`. `manual`: the anchor of its 操作手册 in the help page."""
        return self._add(path, "GET", allow, menu, manual)

    def post(self, path: str, *, allow: str | tuple[str, ...] | Allowed) -> Callable[[Page], Page]:
        """Declares an action; the form's token and its origin are checked before it runs. What it answers with leads to
        the manual of the page it belongs to, declared before it."""
        over = [r for r in self.routes if r.manual and f"{path}/".startswith(f"{r.path.rstrip('/')}/")]
        return self._add(path, "POST", allow, "", max(over, key=lambda r: len(r.path)).manual if over else "")

    def _add(
        self, path: str, method: Verb, allow: str | tuple[str, ...] | Allowed, menu: str, manual: str
    ) -> Callable[[Page], Page]:
        given = allow if isinstance(allow, Allowed) else Allowed((allow,) if isinstance(allow, str) else allow)
        if unknown := set(given.verbs) - set(verbs()):
            raise RuntimeError(f"{path}: no such verbs {sorted(unknown)}")

        def declare(page: Page) -> Page:
            self.routes.append(Route(path, method, given, page, menu, manual))
            return page

        return declare
