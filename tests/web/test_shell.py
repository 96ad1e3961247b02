"""The shell in a browser: nothing foreign, strict policy, no barrier (console 8, rows 1–3)."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from hub.cli.web import sections
from hub.web.section import EVERYONE
from hub.web.users import key_of
from tests.web.browsing import HEIGHT, WIDTH, axe, screen, sign_in, watch
from tests.web.consoles import PEOPLE, Console

# The shell's pages without parameters, each with a role that may see it.
PAGES = {
    "/": "业务主管",
    "/help": "业务主管",
    "/help/fields/xs": "业务主管",
    "/me": "隐私数据查看员",
    "/runs": "审计负责人",
    "/keys": "系统管理员",
    "/users": "系统管理员",
    "/users/new": "系统管理员",
    f"/users/{key_of('clerk')}": "系统管理员",
    "/plain": "隐私数据查看员",
}


def test_the_sign_in_page_keeps_the_rules_of_every_page(page: Page, console: Console) -> None:
    seen = watch(page, console)
    page.goto(f"{console.address}/signin")
    assert axe(page) == []
    screen(page, "signin")
    assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_the_shell_asks_elsewhere_breaks_its_policy_or_bars_anyone(
    page: Page, console: Console, scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    seen = watch(page, console)
    role = ""
    for path, wanted in PAGES.items():
        if wanted != role:
            page.context.clear_cookies()
            sign_in(page, console, role := wanted)
        answer = page.goto(console.address + path)
        assert answer is not None
        assert answer.status == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, path
        screen(page, f"{path.strip('/').replace('/', '-') or 'home'}-{scheme}")
        assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0), path
    assert HEIGHT
    assert PEOPLE
    assert [s for s in sections() if any(r.allow == EVERYONE for r in s.routes)]
