"""Sign-in by a real OpenID provider: login, logout, expiry inside htmx, and answers that do not hold (row 23)."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from playwright.sync_api import Page

from hub.settings import WebSettings, open_node
from hub.web.accounts import bind_subject
from hub.web.oidc import IdentityError, Provider, verified
from pipelines.lab.setup import Lab
from tests.web.browsing import ROOT, watch
from tests.web.conftest import copied
from tests.web.consoles import Console, free_port, serve

MODULES = ROOT / "deploy" / "web" / "node_modules"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def trusting(filled: Lab, assets: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console that trusts a provider; `clerk` is bound to the provider's `zhang`."""
    node = copied(filled.province, filled, tmp_path_factory.mktemp("oidc"))
    port, own = free_port(), free_port()
    issuer = f"http://127.0.0.1:{port}"
    (node.folder / "keys" / "oidc.secret").write_text("provider-test-secret\n", encoding="utf-8")
    file = node.folder / "hub.toml"
    web = f'\n[web]\noidc_issuer = "{issuer}"\noidc_client = "hub"\noidc_secret = "keys/oidc.secret"\n'
    file.write_text(file.read_text(encoding="utf-8") + web, encoding="utf-8")
    address = f"http://127.0.0.1:{own}"
    script = str(Path(__file__).with_name("provider.mjs"))
    command = ["node", script, str(MODULES), str(port), f"{address}/oidc/back", f"{address}/signin"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"{issuer}/.well-known/openid-configuration")
        made = serve(open_node(node.folder), at=NOW, port=own)
        bind_subject(made.store, "13", "clerk", f"{issuer} zhang", at=NOW, actor="test")
        yield made
        made.stop()
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def federated(trusting: Console) -> Console:
    """At the provider's own time: it has no clock to move, and an identity from the future is refused."""
    trusting.clock.at = datetime.now(UTC)
    return trusting


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError("the provider did not start")


def log_in(page: Page, console: Console, who: str, path: str = "/") -> None:
    # The provider's own pages name a font elsewhere; nothing here goes out.
    page.route(lambda url: not url.startswith("http://127.0.0.1"), lambda route: route.abort())
    page.goto(console.address + path)
    page.click("text=使用统一身份认证登录")
    page.fill("input[name=login]", who)
    page.fill("input[name=password]", "anything")
    page.click("button:has-text('Sign-in')")
    page.click("button:has-text('Continue')")


def test_row_23_a_bound_person_comes_in_and_out_by_the_provider(page: Page, federated: Console) -> None:
    seen = watch(page, federated)
    log_in(page, federated, "zhang", "/help")
    page.wait_for_url(f"{federated.address}/help")
    assert "clerk" in page.inner_text("header")
    session = federated.rows("web_session")[-1]
    assert (session["name"], session["via"]) == ("clerk", "oidc")
    assert (seen.violations(), seen.stored()) == ([], 0)
    page.click("text=退出")
    page.wait_for_url("**/session/end**")
    assert "id_token" not in page.url
    page.click("button[type=submit] >> nth=0")
    page.wait_for_url(f"{federated.address}/signin*")
    assert federated.rows("web_session") == []
    page.goto(f"{federated.address}/help")
    page.click("text=使用统一身份认证登录")
    page.wait_for_selector("input[name=login]")  # the provider asks again: the session there ended as well


def test_row_23_expiry_inside_an_htmx_call_leads_to_the_sign_in_page(page: Page, federated: Console) -> None:
    log_in(page, federated, "zhang", "/help")
    page.wait_for_url(f"{federated.address}/help")
    page.evaluate("document.querySelector('main a').setAttribute('hx-get', '/help')")
    page.evaluate("document.querySelector('main a').setAttribute('hx-target', 'main')")
    page.evaluate("htmx.process(document.querySelector('main a'))")
    federated.clock.forward(minutes=31)
    page.click("main a >> nth=0")
    page.wait_for_url("**/signin?next=%2Fhelp")
    assert page.locator("form[action='/signin']").count() == 1
    assert page.locator("nav.menu").count() == 0, "no sign-in form inside the page it left"


def test_a_person_who_is_not_bound_reads_whom_to_ask_and_gets_no_session(page: Page, federated: Console) -> None:
    before = federated.rows("web_session")
    log_in(page, federated, "wang")
    page.wait_for_selector("text=还没有绑定本系统的账号")
    assert federated.rows("web_session") == before
    last = federated.rows("audit_event", "i")[-1]
    assert last["action"] == "登录失败"
    assert "wang" not in str(last)


@pytest.mark.parametrize("spoil", ["state", "cookie", "code"])
def test_an_answer_that_was_not_asked_for_here_is_refused(federated: Console, spoil: str) -> None:
    client = federated.client()
    asked = client.get("/oidc/start")
    sent = parse_qs(urlsplit(asked.headers["location"]).query)
    assert sent["code_challenge_method"] == ["S256"]
    assert sent["response_type"] == ["code"]
    state = "forged" if spoil == "state" else sent["state"][0]
    if spoil == "cookie":
        client.cookies.clear()
    before = federated.rows("web_session")
    answer = client.get("/oidc/back", params={"code": "stolen", "state": state})
    assert answer.status_code == 403
    assert re.search("已过期|没有完成登录", answer.text)
    assert federated.rows("web_session") == before


KEY, OTHER = RSAKey.generate_key(2048, {"kid": "a"}), RSAKey.generate_key(2048, {"kid": "a"})
WEB = WebSettings(oidc_issuer="https://id.example", oidc_client="hub")
GOOD: dict[str, Any] = {
    "iss": "https://id.example", "aud": "hub", "sub": "zhang", "nonce": "n", "iat": int(NOW.timestamp()),
    "exp": int((NOW + timedelta(minutes=5)).timestamp()),
}  # fmt: skip
KEYS = Provider({}, {"keys": [KEY.as_dict(private=False)]}, NOW)


def token(key: RSAKey = KEY, alg: str = "RS256", **changes: Any) -> str:
    claims = {k: v for k, v in (GOOD | changes).items() if v is not None}
    return jwt.encode({"alg": alg, "kid": "a"}, claims, key, algorithms=[alg])


def test_a_good_identity_token_names_its_subject() -> None:
    assert verified(token(), KEYS, WEB, nonce="n", at=NOW) == "zhang"


@pytest.mark.parametrize(
    "spoiled",
    [
        token(OTHER),
        token(iss="https://evil.example"),
        token(aud="another"),
        token(aud=["hub", "another"]),
        token(nonce="replayed"),
        token(nonce=None),
        token(exp=int((NOW - timedelta(minutes=5)).timestamp())),
        token(sub=None),
        token(sub=""),
        token().rpartition(".")[0] + ".",
        "eyJhbGciOiJub25lIn0." + token().split(".")[1] + ".",
        "",
    ],
)
def test_an_identity_token_of_which_anything_does_not_hold_is_refused(spoiled: str) -> None:
    with pytest.raises(IdentityError, match="E1905"):
        verified(spoiled, KEYS, WEB, nonce="n", at=NOW)
