"""质量看板: charts and tables agree, each number leads to exactly so many rows, scope holds (console 5, 6, 8)."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page

from hub.roles import Scope
from hub.store.decision_tables import DECISION
from hub.store.finding_tables import QUALITY_RATE
from quality.board import DIMENSIONS, ageing, peers, rates, trend, whole
from tests.web.browsing import WIDTH, axe, screen, sign_in, watch
from tests.web.consoles import AT, Console

# The lowest value on the axis of every chart of bars, as it is drawn.
LEAST_OF_BARS = """[...document.querySelectorAll("[data-drawn]")].map((b) => echarts.getInstanceByDom(b).getOption())
.filter((o) => o.series[0].type === "bar").map((o) => [...o.xAxis, ...o.yAxis].find((a) => a.type === "value").min)"""
ALL = (Scope(),)


def test_rates_of_places_add_up_along_the_reporting_tree_to_what_the_run_stored(console: Console) -> None:
    with console.store.reading() as reader:
        stored = reader.connection.execute(
            sa.select(QUALITY_RATE.c.dimension, sa.func.sum(QUALITY_RATE.c.good), sa.func.sum(QUALITY_RATE.c.total))
            .where(QUALITY_RATE.c.run_no == 1)
            .group_by(QUALITY_RATE.c.dimension)
        ).all()
        cities = rates(reader, "13", ALL, 1, "")
        assert whole(cities, "").rates == {d: (int(g), int(t)) for d, g, t in stored}
        assert {d for d, _, _ in stored} == set(DIMENSIONS)
        city = next(c for c in cities if c.code != "-")
        counties = rates(reader, "13", ALL, 1, city.code)
        assert whole(counties, city.code).rates == city.rates
        assert trend(reader, "13", ALL, "")[0][0] == 1


def test_a_school_sees_its_own_rates_alone_and_nobody_without_scope_sees_any(console: Console) -> None:
    with console.store.reading() as reader:
        school = reader.connection.execute(
            sa.select(sa.func.min(QUALITY_RATE.c.school)).where(QUALITY_RATE.c.division.is_not(None))
        ).scalar_one()
        own = rates(reader, "13", (Scope(schools=frozenset({school})),), 1, "")
        assert 0 < whole(own, "").rates["有效性"][1] < whole(rates(reader, "13", ALL, 1, ""), "").rates["有效性"][1]
        assert rates(reader, "13", (), 1, "") == ()
    assert "还没有质量率" in console.as_("学校管理者").get("/board").text


def test_the_ages_of_open_conflicts_count_each_open_conflict_once(console: Console) -> None:
    with console.store.reading() as reader:
        n = sa.select(sa.func.count()).select_from(DECISION).where(DECISION.c.state != "已生效")
        wanted = reader.connection.execute(n).scalar_one()
        assert sum(sum(bands) for bands in ageing(reader, "13", ALL, AT).values()) == wanted > 0


def test_every_link_of_every_chart_leads_to_a_page_and_rules_to_exactly_their_rows(console: Console) -> None:
    chief = console.as_("业务主管")
    for name in ("rates", "trend", "ageing", "platforms", "rules"):
        chart = chief.get(f"/board/{name}.json").json()
        assert chart["categories"], name
        for _, links in zip(chart["series"], chart["links"], strict=True):
            assert len(links) == len(chart["categories"])
            assert chief.get(links[0]).status_code == 200, links[0]
    rules = chief.get("/board/rules.json").json()
    found = re.search(r"共 <b>([\d,]+)</b> 条", chief.get(rules["links"][0][0]).text)
    assert found
    assert int(found[1].replace(",", "")) == rules["series"][0]["data"][0]
    assert chief.get("/board/secrets.json").status_code == 404


def test_below_a_city_every_figure_is_of_that_city_and_leads_to_exactly_its_rows(console: Console) -> None:
    chief = console.as_("业务主管")

    def listed(link: str) -> int:
        found = re.search(r"共 <b>([\d,]+)</b> 条", chief.get(link).text)
        return int(found[1].replace(",", "")) if found else 0

    def charts(name: str, *places: str) -> list[dict[str, Any]]:
        return [chief.get(f"/board/{name}.json?place={p}").json() for p in places]

    with console.store.reading() as reader:
        divisions = [r[0] for r in reader.connection.execute(sa.select(DECISION.c.division)) if r[0]]
    city = divisions[0][:4] + "00"
    elsewhere = next(c for c in ("130900", "130800", "130400", "130300") if not any(d[:4] == c[:4] for d in divisions))
    for name in ("ageing", "platforms", "rules"):
        all_of, of_city, of_other = charts(name, "", city, elsewhere)
        whole_sum, own, other = (
            sum(sum(values["data"]) for values in chart["series"]) for chart in (all_of, of_city, of_other)
        )
        assert 0 < own <= whole_sum, name
        assert other < whole_sum, name
        assert other == 0 or name == "rules"
        values, links = of_city["series"][0]["data"], of_city["links"][0]
        assert listed(links[0]) == (sum(values) if name == "ageing" else values[0]), (name, links[0])
    named = console.site.catalog.codes.division_names[city]
    assert f"行政区划：{named}" in chief.get(f"/conflicts?division={city}").text


def test_rates_are_drawn_as_what_is_wanting_and_rows_of_no_school_do_not_hide_the_cities(console: Console) -> None:
    chart = console.as_("业务主管").get("/board/rates.json").json()
    with console.store.reading() as reader:
        stored = {p.code: p for p in rates(reader, "13", ALL, 1, "")}
    names = console.site.catalog.codes.division_names
    drawn = chart["categories"][: chart["most"]]
    assert chart["wanting"]
    assert sorted(drawn) == sorted(names[code] for code in stored if code in names)
    for code, place in stored.items():
        if code in names:
            at = chart["categories"].index(names[code])
            wanting = {s["name"]: s["data"][at] for s in chart["series"]}
            assert wanting == pytest.approx({cn: 1 - (place.share(d) or 0) for d, cn in DIMENSIONS.items()}, abs=1e-6)


def test_the_ministry_sees_its_provinces_by_what_it_checked_itself(ministry_console: Console) -> None:
    with ministry_console.store.reading() as reader:
        (hebei,) = peers(reader, ALL)
        held = sum(reader.count(e, "13") for e in ministry_console.site.catalog.entities.values())
        assert (hebei.node, hebei.held, hebei.refused) == ("13", held, 0)
        assert peers(reader, (Scope(divisions=frozenset({"410000"})),)) == ()
    page = ministry_console.as_("业务主管").get("/board").text
    assert "河北省" in page
    assert "不随批次上报" in page


def test_charts_are_drawn_without_a_breach_of_policy_by_day_and_by_night_and_a_bar_opens_its_list(
    page: Page, console: Console
) -> None:
    seen = watch(page, console)
    sign_in(page, console, "业务主管", "/board")
    page.wait_for_selector("#rules [data-drawn]")
    page.wait_for_selector("#rates [data-drawn] canvas")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert axe(page) == [], scheme
        assert page.evaluate(LEAST_OF_BARS) == [0] * page.locator("[data-drawn]:not(#trend *)").count(), (
            "bars begin at 0"
        )
        screen(page, f"board-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    box = page.locator("#rates canvas").first
    box.scroll_into_view_if_needed()
    box.hover(position={"x": 300, "y": 200})
    assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0)
    page.click("#rules tbody td a >> nth=0")
    page.wait_for_url("**/quarantine?rule=**")
