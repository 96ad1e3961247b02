"""What the browser tests share: a page, signing in, what a page asked for, axe's findings, pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Request

from tests.web.consoles import PASSWORD, PEOPLE, Console

ROOT = Path(__file__).parents[2]
SCREENS = ROOT / "build" / "screens"
AXE = ROOT / "deploy" / "web" / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTH, HEIGHT = 1366, 768
_LISTEN = """window.broken = []; document.addEventListener('securitypolicyviolation',
e => window.broken.push(e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample));"""


def sign_in(page: Page, console: Console, role: str, path: str = "/", password: str = PASSWORD) -> None:
    """Types name and password into the form; ends on `path`."""
    page.goto(f"{console.address}/signin")
    page.fill("input[name=name]", PEOPLE[role][0])
    page.fill("input[name=password]", password)
    page.click("button:has-text('登录')")
    page.wait_for_url(f"{console.address}/")
    if path != "/":
        page.goto(console.address + path)


@dataclass
class Watch:
    """What a page did: addresses it asked for, errors of its console."""

    page: Page
    console: Console
    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def foreign(self) -> list[str]:
        """Requests that left the origin (console 8, row 1)."""
        return [u for u in self.asked if not u.startswith((self.console.address + "/", "data:"))]

    def violations(self) -> list[str]:
        """Breaches of the content policy on the page shown (row 2)."""
        return list(self.page.evaluate("window.broken || ['not listening']"))

    def stored(self) -> int:
        """Entries in both web storages (row 1)."""
        return int(self.page.evaluate("localStorage.length + sessionStorage.length"))


def watch(page: Page, console: Console) -> Watch:
    """Begins to listen; before the first `goto`."""
    seen = Watch(page, console)

    def asked(request: Request) -> None:
        seen.asked.append(request.url)

    page.on("request", asked)
    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.add_init_script(_LISTEN)
    return seen


def axe(page: Page) -> list[str]:
    """Findings under WCAG 2 A and AA (row 3), one line each. The library is run by the browser's own debugger, so the
    page's content policy stays as it is."""
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    run = f"axe.run(document, {{runOnly: {rules}}}).then(r => JSON.stringify(r.violations))"
    answer: Any = session.send("Runtime.evaluate", {"expression": run, "awaitPromise": True, "returnByValue": True})
    session.detach()
    assert "value" in answer["result"], answer
    return [
        f"{v['id']}: {node['target']} {node['failureSummary']}"
        for v in json.loads(answer["result"]["value"])
        for node in v["nodes"]
    ]


def screen(page: Page, name: str, *, full: bool = True) -> Path:
    """A picture in build/screens, light; looked at by people."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    path = SCREENS / f"{name}.png"
    page.screenshot(path=path, full_page=full)
    return path
