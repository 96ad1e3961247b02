"""跨省核查 at the ministry: what is listed, who may issue and remind, and two persons for a ruling and a closing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cases.network import HEBEI, JIANGSU, Two, found_in
from tests.round.labs import rows
from tests.web.consoles import Console, add_people, serve


@pytest.fixture
def two(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Two:
    return found_in(tmp_path_factory.getbasetemp()).copy(tmp_path / "network")


@pytest.fixture
def ministry(two: Two) -> Iterator[Console]:
    add_people(two.ministry, at=two.now)
    made = serve(two.ministry, at=two.now)
    yield made
    made.stop()


def post(console: Console, role: str, path: str, **form: Any) -> httpx.Response:
    return console.post(console.as_(role), path, dict(form))


def states(two: Two) -> list[str]:
    return [c["state"] for c in two.cases()]


def test_a_case_is_issued_reminded_ruled_and_closed_from_the_pages(two: Two, ministry: Console) -> None:
    clerk, chief = ministry.as_("业务员"), ministry.as_("业务主管")
    listed = clerk.get("/cases").text
    assert all(number in listed for number in ("K00000001", "K00000004"))
    assert "下发所选" not in listed
    assert post(ministry, "业务员", "/cases/issue", tick="K00000001").status_code == 403
    assert states(two) == ["待下发"] * 4
    assert "待下发的核查" in chief.get("/").text
    assert post(ministry, "业务主管", "/cases/issue").status_code == 422
    assert post(ministry, "业务主管", "/cases/issue", tick="K00000009").status_code == 404
    assert post(ministry, "业务主管", "/cases/issue", tick="K00000001").status_code == 303
    assert post(ministry, "业务主管", "/cases/remind", tick="K00000001").status_code == 303
    assert states(two) == ["已下发", "待下发", "待下发", "待下发"]
    assert rows(two.ministry, "down_batch")[-1]["shipped_at"]
    assert "K00000002" not in clerk.get("/cases?state=已下发").text
    wish = {"action": "裁定", "choice": HEBEI, "reason": "学生在该省就读"}
    assert post(ministry, "业务主管", "/cases/K00000001/wish", **{**wish, "choice": "44"}).status_code == 422
    assert post(ministry, "业务主管", "/cases/K00000001/wish", **wish).status_code == 303
    assert two.cases()[0]["keeper"] is None
    assert post(ministry, "业务主管", "/cases/K00000001/confirm", seen="x").status_code == 403  # their own wish
    seen = chief.get("/cases/K00000001").text
    moment = ministry.as_("数据复核员").get("/cases/K00000001").text.split('name="seen" value="')[1].split('"')[0]
    assert "等待另一名复核人员确认" in seen
    assert post(ministry, "数据复核员", "/cases/K00000001/confirm", seen="x").status_code == 409
    assert post(ministry, "数据复核员", "/cases/K00000001/confirm", seen=moment).status_code == 303
    assert two.cases()[0]["keeper"] == HEBEI
    post(ministry, "业务主管", "/cases/K00000002/wish", action="关闭", choice="非同一人", reason="核实为两人")
    assert post(ministry, "业务主管", "/cases/K00000002/withdraw").status_code == 303
    assert states(two)[1] == "待下发"
    post(ministry, "业务主管", "/cases/K00000002/wish", action="关闭", choice="非同一人", reason="核实为两人")
    moment = ministry.as_("数据复核员").get("/cases/K00000002").text.split('name="seen" value="')[1].split('"')[0]
    post(ministry, "数据复核员", "/cases/K00000002/confirm", seen=moment)
    assert states(two) == ["已下发", "已关闭", "待下发", "待下发"]


def test_nothing_of_the_person_stands_on_the_pages(two: Two, ministry: Console) -> None:
    client = ministry.as_("审计负责人")
    text = client.get("/cases").text + client.get("/cases/K00000001").text
    for part in two.parties("K00000001"):
        record = two.record(part["node"], part["pk"])
        assert not [f for f in ("sfzjh", "grbsm", "xm") if str(record[f]) in text]
    assert part["node"] == JIANGSU
    assert client.get("/cases/K99999999").status_code == 404
