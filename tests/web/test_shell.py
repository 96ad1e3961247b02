"""Every page that stands in a menu, of whichever room: nothing foreign, strict policy, no barrier, 1366×768 (console 8,
rows 1, 2, 3, 24), in light and dark, on both nodes. A new page joins by being declared."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page

from hub.roles import rights
from hub.web.section import Route
from hub.web.users import key_of
from tests.web.browsing import HEIGHT, WIDTH, axe, screen, sign_in, watch
from tests.web.consoles import PEOPLE, Console

# Pages of the shell that stand in no menu, and who may see them.
MORE = {
    "/help/fields/xs": "业务主管",
    "/plain": "隐私数据查看员",
    "/me": "隐私数据查看员",
    "/users/new": "系统管理员",
    f"/users/{key_of('clerk')}": "系统管理员",
}
FIRST = ("业务主管", "数据复核员", "系统管理员", "审计负责人", "数据工程师")


def sees(route: Route) -> str:
    """The first role that may use it."""
    for role in FIRST:
        given = {verb for r in PEOPLE[role][2] for verb in rights()[r]}
        if not route.allow.verbs or given & set(route.allow.verbs):
            return role
    raise AssertionError(f"no role may use {route.path}")


def pages(console: Console) -> list[tuple[str, str]]:
    """(role, address), by role so that one sign-in serves many."""
    found = [(sees(r), r.path) for r in console.site.routes() if r.menu and "{" not in r.path]
    return sorted([*found, *((role, path) for path, role in MORE.items())])


def walk(page: Page, console: Console, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    seen, role = watch(page, console), ""
    for wanted, path in pages(console):
        if wanted != role:
            page.context.clear_cookies()
            sign_in(page, console, role := wanted)
        answer = page.goto(console.address + path)
        assert answer is not None
        assert answer.status == 200, path
        page.wait_for_load_state("networkidle")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        screen(page, f"{console.site.party}-{path.strip('/').replace('/', '-') or 'home'}-{scheme}")
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, path
        assert hidden_actions(page) == 0, path
        assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0), path


def hidden_actions(page: Page) -> int:
    """Heads of 操作 that cannot be seen without scrolling sideways."""
    right = f"e => {{ const b = e.getBoundingClientRect(); return b.width > 0 && (b.right > {WIDTH} || b.left < 0) }}"
    return int(page.evaluate(f"[...document.querySelectorAll('th.acts')].filter({right}).length"))


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_no_page_of_a_province_asks_elsewhere_breaks_its_policy_or_bars_anyone(
    page: Page, console: Console, scheme: str
) -> None:
    assert page.viewport_size == {"width": WIDTH, "height": HEIGHT}
    assert len(pages(console)) > 8
    walk(page, console, scheme)


def test_no_page_of_the_ministry_asks_elsewhere_breaks_its_policy_or_bars_anyone(
    page: Page, ministry_console: Console
) -> None:
    walk(page, ministry_console, "light")


def test_the_sign_in_page_keeps_the_rules_of_every_page(page: Page, console: Console) -> None:
    seen = watch(page, console)
    page.goto(f"{console.address}/signin")
    assert axe(page) == []
    screen(page, "signin")
    assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0)


def test_pages_work_as_links_and_forms_without_scripts(page: Page, console: Console) -> None:
    plain = page.context.browser
    assert plain is not None
    context = plain.new_context(java_script_enabled=False)
    bare = context.new_page()
    sign_in(bare, console, "业务主管")
    for address in bare.locator("nav.menu a").evaluate_all("all => all.map(a => a.href)"):
        answer = bare.goto(address)
        assert answer is not None
        assert answer.status == 200
        assert bare.locator("main h1").count() == 1, address
    context.close()


def test_the_style_sheet_stays_within_ten_kilobytes_and_no_page_has_inline_style(console: Console) -> None:
    sheets = [console.client().get(f"/static/{name}.css").content for name in ("console", "dark")]
    assert sum(map(len, sheets)) <= 10 * 1024
    for role in ("业务主管", "系统管理员"):
        client = console.as_(role)
        for wanted, path in pages(console):
            if wanted == role:
                assert not re.search(r"<style|\sstyle=|\son[a-z]+=|hx-on", client.get(path).text), path


def test_light_or_dark_is_the_persons_choice_and_stands_in_the_first_answer(page: Page, console: Console) -> None:
    """No script chooses it, so nothing flashes; without a choice it follows the system."""
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    seen = watch(page, console)
    sign_in(page, console, "业务员", "/conflicts?state=待处理")
    found = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found[scheme] = page.evaluate(ground)
    assert found["light"] != found["dark"]
    for scheme, chosen, word in (("light", "dark", "深色"), ("dark", "light", "浅色")):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.click(f".look button:has-text('{word}')")
        page.wait_for_load_state("networkidle")
        assert page.url.endswith("/conflicts?state=%E5%BE%85%E5%A4%84%E7%90%86"), "back to where it was pressed"
        assert page.evaluate("document.documentElement.dataset.theme") == chosen
        assert page.evaluate(ground) == found[chosen]
        assert page.locator(".look [aria-pressed=true]").inner_text() == word
    page.emulate_media(media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)", "paper is white"
    page.emulate_media(media="screen")
    page.click(".look button:has-text('自动')")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.dataset.theme || ''") == ""
    assert (seen.violations(), seen.errors, seen.stored()) == ([], [], 0)


def test_the_cookie_of_the_look_is_of_no_use_to_scripts_and_takes_no_other_word(console: Console) -> None:
    client = console.as_("业务员")
    answer = console.post(client, "/me/look", {"theme": "dark", "next": "//elsewhere.example/"})
    assert answer.headers["location"] == "/"
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=lax" in answer.headers["set-cookie"].lower()
    assert 'data-theme="dark"' in client.get("/help").text
    answer = console.post(client, "/me/look", {"theme": '"><script>', "next": "/help"})
    assert "script" not in answer.headers["set-cookie"]
    client.cookies.set(console.site.theme_cookie, "night", domain="127.0.0.1")
    assert "data-theme" not in client.get("/help").text
    client.cookies.delete(console.site.theme_cookie, domain="127.0.0.1")
