"""Role × page × verb: every declared route of every section, asked for by every role and by nobody (console 1, 8)."""

from __future__ import annotations

import re
from functools import cache

import httpx
import pytest
from starlette.routing import Mount
from starlette.routing import Route as Endpoint

from hub.cli.web import sections
from hub.roles import rights
from hub.web.app import console as application
from hub.web.filters import environment
from hub.web.section import EVERYONE, Allowed, Route
from tests.web.consoles import PEOPLE, ROLES, Console, token

# Routes without a page of their own.
BESIDE = ("/static", "/dagster")
# Files, parts of pages, steps of the sign-in, answers to machines, and what says itself all there is to say.
WITHOUT = {
    "/healthz", "/readyz", "/metrics", "/signin", "/oidc/start", "/oidc/back", "/oidc/end", "/work/{token}", "/plain",
    "/help", "/help/fields/{entity}", "/batches/{batch}/evidence.zip", "/conflicts/facets", "/jobs/{op_no}/progress",
    "/jobs/{op_no}/rows", "/quarantine/export.xlsx", "/board/{chart}.json", "/supplements/templates/{name}",
    "/supplements/missing/{school}/list.xlsx", "/supplements/{number:int}/wrong.xlsx", "/monthly/{month}/form.xlsx",
    "/conflicts/import/{token}/progress", "/conflicts/import/{token}/wrong",
}  # fmt: skip


@cache
def routes(role: str) -> tuple[Route, ...]:
    return tuple(r for s in sections() if role in s.nodes for r in s.routes)


def sample(path: str) -> str:
    """An address of the route: numbers are 1, other parameters x."""
    return re.sub(r"\{[^}:]+(?::(\w+))?\}", lambda m: "1" if m[1] == "int" else "x", path)


def may(role: str, allow: Allowed) -> bool:
    given = {verb for r in PEOPLE[role][2] for verb in rights()[r]}
    return not allow.verbs or bool(given & set(allow.verbs))


def ask(client: httpx.Client, route: Route, csrf: str) -> httpx.Response:
    path = sample(route.path)
    return client.get(path) if route.method == "GET" else client.post(path, data={"csrf": csrf})


@pytest.fixture
def tier(request: pytest.FixtureRequest) -> Console:
    """The console of the node that the test asks for."""
    made: Console = request.getfixturevalue({"province": "console", "ministry": "ministry_console"}[request.param])
    return made


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("tier", ["province", "ministry"], indirect=True)
def test_a_role_reaches_the_pages_of_its_verbs_and_no_others(tier: Console, role: str) -> None:
    client = tier.as_(role)
    csrf = token(client.get("/help").text)
    wrong = []
    for route in routes(tier.node.settings.role):
        if route.path in ("/signout",):  # ends the session by which the others are asked
            continue
        status = ask(client, route, csrf).status_code
        if status >= 500 or status == 401:
            wrong.append(f"{route.method} {route.path}: {status}")
        elif not may(role, route.allow) and status != 403:
            wrong.append(f"{route.method} {route.path}: {status} instead of 403")
        elif may(role, route.allow) and route.allow.verbs and route.method == "GET" and status == 403:
            wrong.append(f"{route.method} {route.path}: 403 although the role may")
    assert not wrong


@pytest.mark.parametrize("tier", ["province", "ministry"], indirect=True)
def test_nobody_reaches_a_page_that_needs_a_sign_in(tier: Console) -> None:
    client = tier.client()
    csrf = token(client.get("/signin").text)
    asked = [r for r in routes(tier.node.settings.role) if r.allow != EVERYONE]
    assert len(asked) > 3
    for route in asked:
        answer = ask(client, route, csrf)
        assert (answer.status_code, answer.headers["location"][:7]) == (303, "/signin"), route


@pytest.mark.parametrize("tier", ["province", "ministry"], indirect=True)
def test_a_form_without_its_token_changes_nothing_on_any_page(tier: Console) -> None:
    client = tier.as_("业务主管")
    posts = [r for r in routes(tier.node.settings.role) if r.method == "POST" and may("业务主管", r.allow)]
    assert posts
    before = tier.rows("audit_event")
    for route in posts:
        assert client.post(sample(route.path), data={}).status_code == 403, route
    assert tier.rows("audit_event") == before


def test_every_page_leads_to_its_manual(console: Console, ministry_console: Console) -> None:
    for made in (console, ministry_console):
        written = set(environment(made.site).list_templates())
        for route in routes(made.node.settings.role):
            if route.method == "GET" and route.path not in WITHOUT:
                assert f"manual/{route.manual}.html" in written, route.path
    help_page = console.as_("业务主管").get("/help").text
    anchors = re.findall(r'<article id="([^"]+)"><h3>(.*?)</h3>', help_page)
    assert len({a for a, _ in anchors}) == len(anchors) > 10
    assert all(re.sub("<[^>]+>", "", title) for _, title in anchors)


def test_every_route_of_the_application_was_declared_with_who_may_use_it(
    console: Console, ministry_console: Console
) -> None:
    for made in (console, ministry_console):
        declared = {(r.path, r.method) for r in routes(made.node.settings.role)}
        for route in application(made.site).routes:
            if isinstance(route, Mount):
                assert route.path in BESIDE
                continue
            assert isinstance(route, Endpoint)
            for method in (route.methods or set()) - {"HEAD"}:
                assert (route.path, method) in declared
        assert len(declared) == len(routes(made.node.settings.role)), "a route is declared twice"
