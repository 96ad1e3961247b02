"""帮助／健康: the manual of every page, field notes from the data dictionary, the node's own state (console 2, 5).

Decides what stands there; manuals are one template each in `templates/manual/`, named by the anchor a page declares.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from hub.errors import HubError
from hub.keyring import open_keyring
from hub.web.ask import Ask
from hub.web.figures import figures
from hub.web.filters import moment
from hub.web.refusals import not_here
from hub.web.section import SIGNED_IN, Section

section: Final = Section("help", "hub.web")
# What manuals of pages are called that stand in no menu.
TITLES: Final = {
    "bulk": "批量预览与提交", "conflict": "冲突详情", "conflict-import": "冲突导入", "exports": "明文导出申请",
    "corrections": "更正请求", "me": "本人账号",
}  # fmt: skip


@section.get("/help", allow=SIGNED_IN, menu="帮助／健康")
def manual(ask: Ask) -> Response:
    """Manuals of the pages this visitor may use, and for those with a role how the node is."""
    pages = [r for r in ask.site.routes() if r.manual and r.method == "GET" and ask.visitor.may_use(r.allow)]
    known = set(ask.templates.list_templates(filter_func=lambda name: name.startswith("manual/")))
    first = {r.manual: r for r in sorted(pages, key=lambda r: bool(r.menu))}  # one manual may serve several pages
    found = [(r, f"manual/{r.manual}.html") for r in first.values() if f"manual/{r.manual}.html" in known]
    order = {r.menu: at for at, r in enumerate(r for _group, entries in ask.site.menu() for r in entries)}
    found.sort(key=lambda one: order.get(one[0].menu, len(order)))
    state = _state(ask) if ask.visitor.roles else ()
    titles = TITLES | {r.manual: r.menu for r in ask.site.routes() if r.manual and r.menu}
    return ask.page("help.html", pages=found, titles=titles, state=state, catalog=ask.site.catalog)


@section.get("/help/fields/{entity}", allow=SIGNED_IN)
def fields(ask: Ask) -> Response:
    """指标注释 of one entity, from the data dictionary."""
    entity = ask.site.catalog.entities.get(ask.path["entity"])
    if entity is None:
        raise not_here("数据字典中没有这一类数据")
    return ask.page("fields.html", entity=entity)


def _state(ask: Ask) -> tuple[tuple[str, str, str], ...]:
    """(what, how it is, tone)"""
    have, head = ask.site.store.revision()
    rows = [("数据库", f"版本 {have}", "good" if have == head else "bad")]
    try:
        trust = open_keyring(ask.site.node, at=ask.at).trust
        days = (trust.expires - ask.at).days
        rows.append(("信任清单", f"第 {trust.version} 版，还剩 {days} 天", "good" if days > 7 else "warn"))
    except HubError as error:
        rows.append(("密钥与信任清单", error.what, "bad"))
    with ask.site.store.reading() as reader:
        found = figures(reader)
    names = {s: one.cn for s, one in ask.site.catalog.systems.items()}
    rows += [(names.get(s, s), f"最近一次完整读取 {moment(t)}", "good") for s, t in sorted(found.sources.items())]
    rows.append(("验证失败", f"累计 {found.verify_failures} 次", "warn" if found.verify_failures else "good"))
    return tuple(rows)
