"""Two processes of one console over one database: nothing a person relies on lies in the memory of either."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from starlette.responses import Response

from hub.web import SIGNED_IN, Ask, Section
from hub.web.work import INTERRUPTED, RUNNING, Plan, Telling, begin, settle
from tests.web.browsing import ROOT
from tests.web.consoles import DATA_PASSWORD, PEOPLE, Console, serve, token
from tests.web.desks import Desk, decide, entered, row_of
from tests.web.second_process import NAME

section = Section("again", "hub.web")


@section.post("/again", allow=SIGNED_IN)
def again(ask: Ask) -> Response:
    """The same work as the other process's, which ends here."""

    def run(telling: Telling) -> str:
        telling.tell("重做", 7, 7)
        return "成了"

    begun = begin(ask, NAME, Plan("不会结束的任务", run, "/", "请重做", lambda _outcome: "/help"))
    return ask.go("/work/" + NAME if begun else "/")


@pytest.fixture(scope="module")
def other(desk: Desk) -> Iterator[Console]:
    """A second application over the desk's database."""
    made = serve(desk.node, more=(section,))
    yield made
    made.stop()


def moved(client: httpx.Client, to: Console) -> httpx.Client:
    """The same browser, sent to another process by whatever stands in front of both."""
    return httpx.Client(base_url=to.address, timeout=30, trust_env=False, cookies=dict(client.cookies))


def test_a_session_its_forms_and_its_step_up_hold_in_either_process(desk: Desk, other: Console) -> None:
    here = desk.as_("隐私数据管理员")
    with moved(here, other) as there:
        assert PEOPLE["隐私数据管理员"][0] in there.get("/").text
        form = {"csrf": token(here.get("/conflicts").text), "typed": "1300000001"}
        found = there.post("/conflicts/find", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert found.status_code == 303, "a form made by one process is taken by the other"
        assert here.get(found.headers["location"]).status_code == 200, "what was typed is known by its number in both"
        forged = there.post("/conflicts/find", data={**form, "csrf": "0" * 64})
        assert forged.status_code == 403
        number = desk.planted["SFZJH"][1]
        plain = str(row_of(desk, number)["authority_value"])
        assert plain not in there.get(f"/conflicts/{number}").text
        desk.post(here, "/plain", {"password": DATA_PASSWORD, "purpose": "核对证件", "next": "/"})
        assert plain in there.get(f"/conflicts/{number}").text
        desk.post(here, "/signout")
        assert there.get("/").status_code == 303, "signed out in both"


def test_a_form_that_was_taken_is_not_taken_again_by_the_other_process(desk: Desk, other: Console) -> None:
    client, number = desk.as_("业务员"), desk.planted["MZM"][0]
    form = {"do": "adopt:1", "version": str(row_of(desk, number)["version"])}
    assert decide(desk, client, number, **form).status_code == 303
    after = row_of(desk, number)
    with moved(client, other) as there:
        given = {"csrf": token(there.get("/help").text), **form}
        again_ = there.post(f"/conflicts/{number}/decide", data=given, headers={"Sec-Fetch-Site": "same-origin"})
    assert again_.status_code == 409
    assert row_of(desk, number) == after


def test_wrong_passwords_are_counted_over_both_processes(desk: Desk, other: Console) -> None:
    name = PEOPLE["数据工程师"][0]
    for console in (desk, desk, desk, other, other):
        with console.client() as client:
            assert console.enter(client, name, "wrong").status_code == 403
    for console in (desk, other):
        with console.client() as client:
            assert "锁定" in console.enter(client, name).text


def test_work_of_a_killed_process_is_seen_to_be_interrupted_and_done_again_in_another(
    desk: Desk, other: Console
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.web.second_process", str(desk.node.folder)], cwd=ROOT, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        here = entered(desk, "both")
        form = {"csrf": token(here.get("/help").text)}
        with httpx.Client(base_url=address, timeout=30, trust_env=False, cookies=dict(here.cookies)) as there:
            assert there.post("/endless", data=form).status_code == 303
        work = f"/work/{NAME}"
        until(lambda: "第三步" in here.get(work).text, "another process shows how far it is")
        with moved(here, other) as third:
            assert third.post("/again", data=form).headers["location"] == "/", "it runs already, elsewhere"
            assert desk.as_("业务主管").get(work).status_code == 404, "another person's work"
            process.kill()
            process.wait()
            assert settle(other.store, other.clock.at) == 0, "silent for a moment only"
            desk.clock.forward(minutes=1)
            other.clock.forward(minutes=1)
            told = here.get(work).text
            assert ("已中断" in told, "什么都没有写入，请重做" in told, "hx-get" in told) == (True, True, False)
            assert state(desk) == RUNNING, "looking writes nothing"
            assert settle(other.store, other.clock.at) == 1
            assert state(desk) == INTERRUPTED
            assert third.post("/again", data=form).headers["location"] == work
            until(lambda: here.get(work).headers.get("location") == "/help", "done by the process that took it up")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def state(desk: Desk) -> str:
    return next(str(r["state"]) for r in desk.rows("web_work") if r["token"] == NAME)


def until(there: Callable[[], bool], what: str) -> None:
    """Waits for what another thread writes; a minute is the end of patience, not a measure."""
    for _ in range(600):
        if there():
            return
        time.sleep(0.1)
    raise AssertionError(what)
