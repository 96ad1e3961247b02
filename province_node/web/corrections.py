"""更正请求 to the owning platforms: previewed on a page, and the same as a file to send (console 3: 退回源头平台).

Decides that what leaves here is masked; the plain file, by which an owner finds a private row, needs a purpose and
leaves by `hub correction export --plain`.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from hub.audit import Event, append
from hub.store import Reader
from hub.web import Ask, Section, not_here
from hub.web.sheets import File, Rows, Shown, show
from hub.workbook import Sheet, stream_book
from province_node.correction_sheet import HEADERS, chosen, counted, requests, sent
from quality.web.jobs import XLSX, attached
from quality.web.query import acting_of

section: Final = Section("corrections", "province_node.web", nodes=("province",))
SYSTEMS: Final = {"S1": "学籍系统", "S2": "教师系统", "S3": "机构代码系统"}


@section.get("/corrections", allow="xlsx", manual="corrections")
def preview(ask: Ask) -> Response:
    """What waits for each platform, a sheet per platform that has any."""
    with ask.site.store.reading() as reader:
        sheets = [s for s in (_shown(ask, reader, system) for system in SYSTEMS) if s.total]
        at = min(ask.number("sheet", 0), max(0, len(sheets) - 1))
        system = next((k for k, cn in SYSTEMS.items() if sheets and sheets[at].name == cn), "")
        file = File(
            "更正请求", "等待源头平台更正的值，按平台分表，发送给平台方", "/conflicts?state=退回源头平台",
            f"/corrections/{system}" if system else "", posted=True,
        )  # fmt: skip
        return show(ask, file, sheets or [Shown("更正请求", HEADERS, 0, lambda _size, _offset: ())])


@section.post("/corrections/{system}", allow="xlsx")
def download(ask: Ask) -> Response:
    """The sheet of one platform, masked; audited, and its requests count as sent."""
    acting, system = acting_of(ask), str(ask.path["system"])
    if system not in SYSTEMS:
        raise not_here("没有这个源头平台")
    with ask.site.store.reading() as reader:
        rows = requests(reader, ask.site.catalog, acting, chosen(system, everything=False))
    with ask.site.store.begin() as tx:
        append(
            tx.connection, Event.RECORDS_EXPORTED, ts=ask.at, node=ask.site.party, actor=ask.operator.name,
            actor_role=ask.operator.role_for("xlsx"), object="correction",
            detail={"rows": len(rows), "address": ask.source},
        )  # fmt: skip
    sent(ask.site.store, acting, [int(r["请求编号"]) for r in rows])
    cells = [["" if v is None else str(v) for v in r.values()] for r in rows]
    return attached(
        stream_book([Sheet("sheet1", HEADERS, cells)]), f"更正请求_{SYSTEMS[system]}_{acting.today}.xlsx", XLSX
    )


def _shown(ask: Ask, reader: Reader, system: str) -> Shown:
    acting, terms = acting_of(ask), chosen(system, everything=False)

    def rows(size: int, offset: int) -> Rows:
        found = requests(reader, ask.site.catalog, acting, terms, size=size, offset=offset)
        return [(offset + at + 2, list(row.values())) for at, row in enumerate(found)]

    return Shown(SYSTEMS[system], HEADERS, counted(reader, acting, terms), rows)
