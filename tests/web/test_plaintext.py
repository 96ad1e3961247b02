"""Step-up and plaintext: nothing in the open without role, password, purpose, quota and an audit row (console 1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page
from starlette.responses import Response

from hub.settings import open_node
from hub.web.ask import Ask
from hub.web.plaintext import reveal
from hub.web.section import Section
from pipelines.lab.setup import Lab
from tests.web.browsing import sign_in
from tests.web.consoles import DATA_PASSWORD, PASSWORD, PEOPLE, Console, serve

VALUE, MASK, RECORD = "13060219880229716X", "130***********716X", "a" * 20
probe = Section("probe", "tests.web.pages")


@probe.get("/probe", allow="query")
def detail(ask: Ask) -> Response:
    """A detail page with one private field."""
    shown = reveal(ask, "xs", RECORD, ["SFZJH"])
    return ask.page("probe.html", mask=MASK, plain=VALUE if shown else None)


@pytest.fixture
def probed(filled: Lab, assets: None, tmp_path: Path) -> Iterator[Console]:
    import shutil

    shutil.copytree(filled.province.folder, tmp_path / "province")
    file = tmp_path / "province" / "hub.toml"
    file.write_text(file.read_text(encoding="utf-8") + "\n[web]\nplaintext_views = 3\n", encoding="utf-8")
    made = serve(open_node(tmp_path / "province"), more=[probe])
    yield made
    made.stop()


def views(console: Console) -> list[dict[str, object]]:
    return [r for r in console.rows("audit_event", "i") if r["action"] == "明文查看"]


def opened(console: Console, role: str = "隐私数据查看员", purpose: str = "核对学生来信") -> tuple[object, int]:
    client = console.client()
    console.enter(client, PEOPLE[role][0])
    given = {"password": DATA_PASSWORD, "purpose": purpose, "next": "/probe"}
    return client, console.post(client, "/plain", given).status_code


def test_row_8_in_a_browser_wrong_then_right_data_password_then_masked_again(page: Page, probed: Console) -> None:
    sign_in(page, probed, "隐私数据查看员", "/plain?next=/probe")
    for password in (PASSWORD, DATA_PASSWORD):
        page.fill("input[name=purpose]", "核对学生来信反映的证件号")
        page.fill("input[name=password]", password)
        page.click("button:has-text('查看明文')")
        if password == PASSWORD:
            page.wait_for_selector("text=数据密码不对")
            assert views(probed) == []
    page.wait_for_url("**/probe")
    assert VALUE in page.content()
    assert len(views(probed)) == 1
    view = views(probed)[0]
    assert (view["actor"], view["purpose"], view["object"]) == ("private", "核对学生来信反映的证件号", f"xs {RECORD}")
    assert "SFZJH" in str(view["detail"])
    assert "127.0.0.1" in str(view["detail"])
    page.reload()
    assert len(views(probed)) == 2, "every view is a row"
    probed.clock.forward(minutes=5, seconds=1)
    page.reload()
    assert VALUE not in page.content()
    assert MASK in page.content()
    assert len(views(probed)) == 2


def test_an_open_page_covers_itself_when_the_time_is_over(page: Page, probed: Console) -> None:
    page.clock.install()
    sign_in(page, probed, "隐私数据查看员", "/plain?next=/probe")
    page.fill("input[name=purpose]", "核对学生来信")
    page.fill("input[name=password]", DATA_PASSWORD)
    page.click("button:has-text('查看明文')")
    page.wait_for_selector(f"text={VALUE}")
    page.clock.fast_forward(301_000)
    page.wait_for_selector(f"text={MASK}")
    assert VALUE not in page.content()


def test_without_the_audit_row_there_is_no_plaintext(probed: Console) -> None:
    client, _ = opened(probed)
    with probed.store.begin() as tx:
        tx.connection.execute(sa.text("DELETE FROM node_state WHERE name = 'audit.head'"))
    answer = client.get("/probe")  # type: ignore[attr-defined]
    assert answer.status_code >= 500
    assert VALUE not in answer.text
    assert views(probed) == []


def test_a_clerk_without_the_added_role_sees_masks_and_no_step_up(probed: Console) -> None:
    client, status = opened(probed, "业务员")
    assert status == 403
    page = client.get("/probe").text  # type: ignore[attr-defined]
    assert MASK in page
    assert VALUE not in page


def test_the_quota_of_a_day_ends_views_until_tomorrow(probed: Console) -> None:
    client, _ = opened(probed)
    answers = [client.get("/probe") for _ in range(4)]  # type: ignore[attr-defined]
    assert [a.status_code for a in answers] == [200, 200, 200, 403]
    assert VALUE not in answers[3].text
    assert len(views(probed)) == 3
    probed.clock.forward(days=1)
    client, _ = opened(probed)
    assert VALUE in client.get("/probe").text  # type: ignore[attr-defined]


@pytest.mark.parametrize("purpose", ["", "看", "13060219880229716X 核对"])
def test_a_purpose_is_compulsory_and_holds_no_identity_number(probed: Console, purpose: str) -> None:
    client, status = opened(probed, purpose=purpose)
    assert status == 422
    assert VALUE not in client.get("/probe").text  # type: ignore[attr-defined]
    assert views(probed) == []


def test_five_wrong_data_passwords_lock_it_and_leave_the_sign_in_alone(probed: Console) -> None:
    client = probed.client()
    probed.enter(client, "private")
    for _ in range(5):
        probed.post(client, "/plain", {"password": PASSWORD, "purpose": "核对学生来信", "next": "/probe"})
    answer = probed.post(client, "/plain", {"password": DATA_PASSWORD, "purpose": "核对学生来信", "next": "/probe"})
    assert "锁定至" in answer.text
    assert probed.enter(probed.client(), "private").status_code == 303
