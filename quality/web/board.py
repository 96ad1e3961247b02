"""质量看板: charts with a table under each, every bar and every row a link to the list behind it (console 5, 6).

Decides which figures stand together and where each leads; the figures are `quality.board`. Charts get their data as JSON
from here, so that no script stands in a page; without scripts the tables say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from hub.roles import reports_to
from hub.web import Ask, Section, not_here
from hub.web.filters import moment
from quality.board import (
    AGES,
    DIMENSIONS,
    Place,
    ageing,
    corrections,
    last_run,
    peers,
    rates,
    returned_rules,
    trend,
    whole,
)
from quality.places import UNKNOWN, school_names
from quality.rule_hits import hits
from quality.web.wording import source_name

section: Final = Section("board", "quality.web")
LOOK: Final = ("query", "audit")
TOP: Final = 15
# More groups of bars than this are hatching; the table below has them all.
DRAWN: Final = 12
ALL: Final = 40
NOWHERE: Final = "未写明学校"


@dataclass(frozen=True)
class Chart:
    """One chart and its table. `kind`: bars, lines or stack; `series`: (name, values), None where there is none;
    `links`: an address per category, or per series and category; `percent`: values are shares; `unit`: what is counted;
    `wanting`: bars show what is missing from the whole, for shares that all stand close below it."""

    name: str
    title: str
    note: str
    kind: str
    heads: tuple[str, ...]
    categories: tuple[str, ...]
    series: tuple[tuple[str, tuple[float | None, ...]], ...]
    links: tuple[tuple[str, ...], ...]
    percent: bool = False
    empty: str = ""
    unit: str = ""
    wanting: bool = False

    @property
    def blank(self) -> bool:
        return not self.categories


@section.get("/board", allow=LOOK, menu="质量看板", manual="board")
def board(ask: Ask) -> Response:
    """All charts of the place in the address; the province as a whole without one."""
    place = _place(ask)
    charts = [make(ask, place) for make in _charts(ask).values()]
    top: list[tuple[str, float | None, str]] = []
    if ask.site.party != "moe":
        with ask.site.store.reading() as reader:
            run = last_run(reader)
            total = whole(rates(reader, ask.site.party, _scopes(ask), run, place), place)
        top = [(cn, total.share(d), f"/rules?{urlencode({'dimension': d})}") for d, cn in DIMENSIONS.items()]
    else:
        run = 0
    return ask.page(
        "board/board.html", charts=charts, place=place, top=top, run=run, trail=_trail(ask, place),
        province=ask.site.party != "moe",
    )  # fmt: skip


@section.get("/board/{chart}.json", allow=LOOK)
def data(ask: Ask) -> Response:
    """One chart's data."""
    make = _charts(ask).get(str(ask.path["chart"]))
    if make is None:
        raise not_here("没有这张图")
    chart = make(ask, _place(ask))
    return JSONResponse(
        {
            "kind": chart.kind, "title": chart.title, "categories": chart.categories, "percent": chart.percent,
            "unit": chart.unit, "most": _drawn(chart), "wanting": chart.wanting, "links": chart.links,
            "series": [{"name": n, "data": _wanting(v) if chart.wanting else v} for n, v in chart.series],
        }
    )  # fmt: skip


def _drawn(chart: Chart) -> int:
    """How many of the categories stand in the picture; rows of no known school would hide all others' bars."""
    places = [c for c in chart.categories if c != NOWHERE]
    return min(len(places), DRAWN) if chart.kind == "bars" and len(chart.series) > 1 else ALL


def _wanting(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
    return tuple(None if v is None else round(1 - v, 6) for v in values)


def _charts(ask: Ask) -> dict[str, Callable[[Ask, str], Chart]]:
    if ask.site.party == "moe":
        return {"peers": _peers, "cases": _cases, "returned": _returned}
    return {"rates": _rates, "trend": _trend, "ageing": _ageing, "platforms": _platforms, "rules": _rules}


def _place(ask: Ask) -> str:
    place = ask.query("place")
    return place if place in ask.site.catalog.codes.division_names else ""


def _trail(ask: Ask, place: str) -> list[tuple[str, str]]:
    """The way down to a place: (name, address)."""
    steps = []
    code: str | None = place
    while code and not code.endswith("0000"):
        steps.append((ask.site.catalog.codes.division_names.get(code, code), f"/board?place={code}"))
        code = reports_to(code)
    return [("全省", "/board"), *reversed(steps)] if place else []


def _rates(ask: Ask, place: str) -> Chart:
    with ask.site.store.reading() as reader:
        run = last_run(reader)
        found = rates(reader, ask.site.party, _scopes(ask), run, place)
        names = {} if not found or found[0].level != "school" else _schools(ask, reader, found)
    named = {**ask.site.catalog.codes.division_names, **names, UNKNOWN: NOWHERE}
    shown = sorted(found, key=_worst_first)
    level = {"city": "各市", "county": "各县", "school": "各校"}[found[0].level] if found else "各地"
    links = tuple(_down(p) for p in shown)
    return Chart(
        "rates", f"{level}质量率", _rates_note(run, len(found)), "bars", (level, *DIMENSIONS.values()),
        tuple(named.get(p.code, p.code) for p in shown),
        tuple((cn, tuple(p.share(d) for p in shown)) for d, cn in DIMENSIONS.items()),
        tuple(links for _ in DIMENSIONS), percent=True, wanting=True,
        empty="还没有质量率：请由数据工程师先在【调度】中运行一轮。",
    )  # fmt: skip


def _rates_note(run: int, places: int) -> str:
    drawn = f"图为与 100% 的差距{f'最大的 {DRAWN} 个' if places > DRAWN else ''}，表为各率，从低到高"
    return f"第 {run} 轮；{drawn}" if run else ""


def _worst_first(place: Place) -> tuple[bool, float, str]:
    """By the lowest of its rates; what names no school comes last."""
    shares = [share for d in DIMENSIONS if (share := place.share(d)) is not None]
    return place.code == UNKNOWN, min(shares, default=1.0), place.code


def _schools(ask: Ask, reader: Any, found: tuple[Place, ...]) -> dict[str, str]:
    return school_names(reader, ask.site.party, [p.code for p in found])


def _down(place: Place) -> str:
    """One level down; from a school to its rows that were kept out."""
    if place.code == UNKNOWN:
        return "/quarantine"
    return f"/quarantine?school={place.code}" if place.level == "school" else f"/board?place={place.code}"


def _trend(ask: Ask, place: str) -> Chart:
    with ask.site.store.reading() as reader:
        found = trend(reader, ask.site.party, _scopes(ask), place)
    runs = tuple(f"第 {run} 轮" for run, _ in found)
    links = [f"/rules?{urlencode({'dimension': d})}" for d in DIMENSIONS]
    return Chart(
        "trend", "各轮质量率", "最近 30 轮；纵轴不从零起", "lines", ("轮次", *DIMENSIONS.values()), runs,
        tuple((cn, tuple(some.get(d) for _, some in found)) for d, cn in DIMENSIONS.items()),
        tuple(tuple(link for _ in runs) for link in links), percent=True, empty="还没有运行过。",
    )  # fmt: skip


def _in(place: str) -> dict[str, str]:
    """The condition of a list for what reports to the place; a province is the whole."""
    return {"division": place} if place and not place.endswith("0000") else {}


def _ageing(ask: Ask, place: str) -> Chart:
    with ask.site.store.reading() as reader:
        found = ageing(reader, ask.site.party, _scopes(ask), ask.at, place)
    bands = tuple(word for _, word in AGES)
    links = tuple(tuple(f"/conflicts?{urlencode({'state': s, **_in(place)})}" for _ in bands) for s in found)
    return Chart(
        "ageing", "未结冲突的时长", "自发现之轮起；点开为该状态的清单，最久的在前", "stack", ("时长", *found),
        bands if found else (), tuple((s, tuple(n)) for s, n in found.items()), links,
        empty="未发现问题：没有未结的冲突。", unit="条",
    )  # fmt: skip


def _platforms(ask: Ask, place: str) -> Chart:
    with ask.site.store.reading() as reader:
        found = [c for c in corrections(reader, ask.site.party, _scopes(ask), place) if c[0]]
    series = (
        ("未结冲突", tuple(c[1] for c in found)), ("退回待更正", tuple(c[2] for c in found)),
        ("源头已更正", tuple(c[3] for c in found)),
    )  # fmt: skip
    queries: tuple[dict[str, str], ...] = ({}, {"state": "退回源头平台"}, {"state": "已生效", "cause": "源头已更新"})
    links = tuple(
        tuple("/conflicts?" + urlencode({"authority": c[0], **q, **_in(place)}) for c in found) for q in queries
    )
    return Chart(
        "platforms", "源头平台的更正", "按数据项的权威源", "bars", ("平台", *(n for n, _ in series)),
        tuple(source_name(ask.site.catalog, c[0]) for c in found), series, links, empty="没有冲突须由源头平台更正。", unit="条",
    )  # fmt: skip


def _rules(ask: Ask, place: str) -> Chart:
    here = _in(place)
    with ask.site.store.reading() as reader:
        found = hits(reader, ask.site.party, _scopes(ask), **here)
    top = sorted(found.items(), key=lambda h: (-h[1].kept_out - h[1].standing, h[0]))[:TOP]
    rules = ask.site.catalog.rules
    series = (
        ("隔离与挂起", tuple(h.kept_out for _, h in top)),
        ("已入库而命中", tuple(h.standing for _, h in top)),
    )
    links = (
        tuple("/quarantine?" + urlencode({"rule": r, **here}) for r, _ in top),
        tuple(f"/rules/{r}" if r in rules else "/quarantine?" + urlencode({"rule": r, **here}) for r, _ in top),
    )
    return Chart(
        "rules", "命中最多的规则", f"前 {TOP} 条，未关闭的", "stack", ("规则", *(n for n, _ in series)),
        tuple(f"{r} {rules[r].name}" if r in rules else r for r, _ in top), series, links,
        empty="未发现问题：没有未关闭的命中。", unit="行",
    )  # fmt: skip


def _peers(ask: Ask, _place: str) -> Chart:
    with ask.site.store.reading() as reader:
        found = peers(reader, _scopes(ask))
    return Chart(
        "peers", "各省入库率", "上报行中核对通过、已入库的比例", "bars", ("省级节点", "入库率"),
        tuple(_province(ask, p.node) for p in found), (("入库率", tuple(p.taken for p in found)),),
        (tuple(f"/quarantine?source={p.node}" for p in found),), percent=True, empty="还没有收到过省级批次。",
    )  # fmt: skip


def _cases(ask: Ask, _place: str) -> Chart:
    with ask.site.store.reading() as reader:
        found = peers(reader, _scopes(ask))
    names = ("退回未改正行", "未结核查", "未入库批次", "在库记录", "最近入库")
    table: tuple[tuple[str, tuple[Any, ...]], ...] = (
        (names[0], tuple(p.open_back for p in found)), (names[1], tuple(p.cases for p in found)),
        (names[2], tuple(p.refused for p in found)), (names[3], tuple(f"{p.held:,}" for p in found)),
        (names[4], tuple(moment(p.last) for p in found)),
    )  # fmt: skip
    back = tuple(f"/quarantine?source={p.node}" for p in found)
    plain = tuple("" for _ in found)
    return Chart(
        "cases", "各省待改正与待核查", "", "bars", ("省级节点", *names), tuple(_province(ask, p.node) for p in found),
        table, (back, tuple("/cases" for _ in found), plain, plain, plain), empty="还没有收到过省级批次。",
    )  # fmt: skip


def _returned(ask: Ask, _place: str) -> Chart:
    rules = ask.site.catalog.rules
    with ask.site.store.reading() as reader:
        found = list(returned_rules(reader, [p.node for p in peers(reader, _scopes(ask))]).items())[:TOP]
    return Chart(
        "returned", "退回各省的行，按规则", "未改正的", "stack", ("规则", "行"),
        tuple(f"{r} {rules[r].name}" if r in rules else r for r, _ in found), (("行", tuple(n for _, n in found)),),
        (tuple("/quarantine?" + urlencode({"rule": r}) for r, _ in found),), empty="未发现问题：没有退回未改正的行。", unit="行",
    )  # fmt: skip


def _province(ask: Ask, node: str) -> str:
    return ask.site.catalog.codes.division_names.get(f"{node}0000", node)


def _scopes(ask: Ask) -> Any:
    return (*ask.scopes("query"), *ask.scopes("audit"))
