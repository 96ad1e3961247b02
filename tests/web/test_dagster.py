"""Dagster behind the console's login, against real webservers, one of them read-only (console 6, 8 row 22)."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from playwright.sync_api import Page
from websockets.sync.client import connect

from hub.settings import open_node
from pipelines.lab.setup import Lab
from tests.web.browsing import sign_in
from tests.web.consoles import PEOPLE, Console, free_port, serve

LAUNCH = """mutation { launchRun(executionParams: {selector: {repositoryLocationName: "x", repositoryName: "x",
pipelineName: "x"}, runConfigData: {}}) { __typename } }"""


def webserver(instance: Any, *, read_only: bool) -> tuple[uvicorn.Server, int]:
    """Dagster's own webserver over an empty workspace, in a thread."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import EmptyWorkspaceTarget
    from dagster_webserver.webserver import DagsterWebserver

    context = WorkspaceProcessContext(instance, EmptyWorkspaceTarget(), read_only=read_only)
    app = DagsterWebserver(context, "/dagster").create_asgi_app()
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.02)
    return server, port


@pytest.fixture(scope="module")
def behind(filled: Lab, assets: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console with both instances."""
    from dagster import DagsterInstance

    folder = tmp_path_factory.mktemp("dagster") / "province"
    shutil.copytree(filled.province.folder, folder)
    instance = DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance")))
    full, readonly = webserver(instance, read_only=False), webserver(instance, read_only=True)
    lines = [
        "",
        "[web]",
        *(f'{n} = "http://127.0.0.1:{s[1]}"' for n, s in (("dagster", full), ("dagster_readonly", readonly))),
    ]
    (folder / "hub.toml").write_text(
        (folder / "hub.toml").read_text(encoding="utf-8") + "\n".join(lines), encoding="utf-8"
    )
    made = serve(open_node(folder))
    yield made
    made.stop()
    for server, _port in (full, readonly):
        server.should_exit = True


def graphql(client: httpx.Client, console: Console, query: str, **headers: str) -> httpx.Response:
    given = {"Origin": console.address, "Sec-Fetch-Site": "same-origin", **headers}
    return client.post("/dagster/graphql", json={"query": query}, headers={k: v for k, v in given.items() if v})


def test_row_22_anonymous_is_sent_to_the_sign_in(behind: Console) -> None:
    client = behind.client()
    answer = client.get("/dagster/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin?next=/runs")
    assert graphql(client, behind, "{ version }").status_code == 401


@pytest.mark.parametrize(
    "role", ["业务员", "业务主管", "数据复核员", "学校管理者", "系统管理员", "隐私数据管理员", "无角色"]
)
def test_row_22_a_role_that_decides_or_administers_is_refused(behind: Console, role: str) -> None:
    client = behind.as_(role)
    assert client.get("/dagster/").status_code == 403
    assert graphql(client, behind, "{ version }").status_code == 403


def test_row_22_an_auditor_looks_and_cannot_launch(behind: Console) -> None:
    client = behind.as_("审计负责人")
    assert client.get("/dagster/").status_code == 200
    assert "version" in graphql(client, behind, "{ version }").text
    assert graphql(client, behind, LAUNCH).json()["data"]["launchRun"]["__typename"] == "UnauthorizedError"


def test_an_engineer_reaches_the_full_instance(behind: Console) -> None:
    answer = graphql(behind.as_("数据工程师"), behind, LAUNCH).json()
    assert answer["data"]["launchRun"]["__typename"] != "UnauthorizedError"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": ""}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}],
)
def test_a_mutation_from_elsewhere_is_refused(behind: Console, headers: dict[str, str]) -> None:
    assert graphql(behind.as_("数据工程师"), behind, LAUNCH, **headers).status_code == 403


def test_dagster_keeps_its_own_policy_and_no_cookie_passes(behind: Console) -> None:
    answer = behind.as_("数据工程师").get("/dagster/")
    assert "default-src 'none'" not in answer.headers.get("content-security-policy", "")
    assert "x-own-headers" not in answer.headers
    assert "set-cookie" not in answer.headers


def socket(console: Console, client: httpx.Client | None, origin: str | None) -> Any:
    cookie = "; ".join(f"{k}={v}" for k, v in client.cookies.items()) if client else ""
    url = console.address.replace("http", "ws", 1) + "/dagster/graphql"
    protocols = [websockets.Subprotocol("graphql-ws")]
    headers = {"Cookie": cookie} if cookie else {}
    made = websockets.Origin(origin) if origin else None
    return connect(url, additional_headers=headers, origin=made, subprotocols=protocols, proxy=None)


def test_a_web_socket_is_opened_for_the_right_role_from_our_origin(behind: Console) -> None:
    with socket(behind, behind.as_("数据工程师"), behind.address) as open_:
        open_.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(open_.recv(10))["type"] == "connection_ack"


@pytest.mark.parametrize("who", ["", "业务员", "数据工程师"])
def test_a_web_socket_is_refused_without_session_role_or_origin(behind: Console, who: str) -> None:
    client = behind.as_(who) if who else None
    origin = "http://evil.example" if who == "数据工程师" else behind.address
    with pytest.raises(websockets.InvalidStatus) as refused, socket(behind, client, origin):
        pass
    assert refused.value.response.status_code == 403


def test_an_engineer_sees_dagster_in_the_browser(page: Page, behind: Console) -> None:
    sign_in(page, behind, "数据工程师", "/runs")
    page.click("text=打开调度界面")
    page.wait_for_url("**/dagster/**")
    page.wait_for_selector("text=Overview")
    assert PEOPLE


def test_asking_for_news_does_not_keep_a_session_alive(behind: Console) -> None:
    client = behind.client()
    behind.enter(client, "engineer")
    for _ in range(4):
        behind.clock.forward(minutes=10)
        last = graphql(client, behind, "{ version }").status_code
    assert last == 401
