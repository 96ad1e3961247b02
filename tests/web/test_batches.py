"""交换批次: the list, a batch and its parts, verifying, evidence, and the two persons of a held batch."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from hub.evidence.stored import ByHistory
from hub.evidence.tree import verify_tree
from hub.masking import ID_INSIDE
from hub.roles import Grant, Scope
from hub.roles_store import add_operator
from hub.settings import open_node
from hub.trust_read import read_history
from hub.web.batch_list import Line, Wanted, count, counts, lines
from pipelines.lab.setup import Lab
from tests.ministry.conftest import applied_template, province, shipped_template
from tests.ministry.forge import Province
from tests.round.labs import AT as MINISTRY_AT
from tests.web.browsing import WIDTH, axe, screen, sign_in, watch
from tests.web.consoles import AT, Console, add_people, give_password, serve

__all__ = ["applied_template", "province", "shipped_template"]
FIRST = "13-up-main-e0001-s0000000001"
ID_NUMBER = re.compile(ID_INSIDE)


@pytest.fixture
def own_ministry(filled: Lab, tmp_path: Path) -> Iterator[Console]:
    """The ministry of one's own, to break evidence in."""
    shutil.copytree(filled.ministry.folder, tmp_path / "ministry")
    made = serve(open_node(tmp_path / "ministry"), at=AT)
    yield made
    made.stop()


@dataclass(frozen=True)
class Held:
    """A ministry with one held batch, its console, and the batch's number."""

    province: Province
    console: Console
    batch: str


@pytest.fixture
def waiting(province: Province) -> Iterator[Held]:
    forged = province.batch([("xs_jtcy", province.changes("xs_jtcy", 459, "D"))])  # three per cent of the table
    province.upload(forged)
    assert [d.verdict for d in province.intake().decisions] == ["HELD"]
    batch = forged.manifest.batch_id
    add_people(province.ministry, at=MINISTRY_AT)
    made = serve(province.ministry, at=MINISTRY_AT)
    yield Held(province, made, batch)
    made.stop()


def test_every_facet_counts_what_its_list_would_show(ministry_console: Console) -> None:
    with ministry_console.store.reading() as reader:
        assert count(reader, Wanted()) > 0
        for name in ("direction", "party", "stream", "state"):
            for value, n in counts(reader, Wanted()).facet(name):
                wanted = replace(Wanted(), **{name: (value,)})  # type: ignore[arg-type]
                assert count(reader, wanted) == n == len(lines(reader, wanted, size=100))


def test_a_page_behind_a_key_begins_where_the_one_before_ended(ministry_console: Console) -> None:
    with ministry_console.store.reading() as reader:
        everything = lines(reader, Wanted(), size=100)
        seen: list[Line] = []
        after: str | None = None
        while page := lines(reader, Wanted(), size=1, after=after):
            seen += page
            after = page[-1].key
    assert tuple(seen) == everything


@pytest.mark.parametrize("role", ["业务主管", "审计负责人"])
def test_a_stored_batch_verifies_from_its_page_at_both_nodes(
    console: Console, ministry_console: Console, role: str
) -> None:
    for made in (console, ministry_console):
        client = made.as_(role)
        assert FIRST in client.get("/batches").text
        answer = made.post(client, f"/batches/{FIRST}/verify")
        assert answer.status_code == 200
        assert "✔ 未发现问题" in answer.text
        assert "✘" not in answer.text


def test_a_flipped_byte_in_a_stored_part_is_told_on_the_page(own_ministry: Console) -> None:
    part = next(own_ministry.node.store.glob(f"13/**/{FIRST}*.cms"))
    body = bytearray(part.read_bytes())
    body[len(body) // 2] ^= 1
    part.write_bytes(body)
    answer = own_ministry.post(own_ministry.as_("审计负责人"), f"/batches/{FIRST}/verify")
    assert "✘ 有 1 项不成立" in answer.text
    assert part.name in answer.text


def test_the_preview_of_every_part_is_masked_and_the_same_at_both_nodes(
    console: Console, ministry_console: Console
) -> None:
    shown: dict[str, list[str]] = {}
    for made in (console, ministry_console):
        client = made.as_("业务主管")
        numbers = re.findall(rf"/batches/{FIRST}/files/(\d+)", client.get(f"/batches/{FIRST}").text)
        assert len(numbers) > 10
        for number in numbers:
            page = client.get(f"/batches/{FIRST}/files/{number}")
            assert page.status_code == 200
            assert not ID_NUMBER.search(page.text)
            cells = re.findall(r'<td class="nowrap">(.*?)</td>', page.text)
            assert shown.setdefault(number, cells) == cells
    every = {cell for cells in shown.values() for cell in cells}
    assert any("***" in cell for cell in every)
    assert {"1 男性", "01 汉族"} <= every, "codes with what they stand for"
    assert not list(ministry_console.node.work.glob("preview-*")), "plaintext outlived the answer"


def test_who_sees_one_school_does_not_see_the_parts_of_a_whole_province(own_console: Console) -> None:
    school = Grant("业务员", Scope(schools=frozenset({"3113000001"})))
    add_operator(own_console.store, "13", "narrow", "p99", [school], at=AT, actor="test")
    give_password(own_console.store, "narrow")
    client = own_console.client()
    own_console.enter(client, "narrow")
    assert client.get(f"/batches/{FIRST}").status_code == 200
    assert client.get(f"/batches/{FIRST}/files/1").status_code == 403


def test_the_evidence_zip_verifies_without_the_database_and_its_export_is_audited(
    own_ministry: Console, tmp_path: Path
) -> None:
    assert own_ministry.as_("业务主管").get(f"/batches/{FIRST}/evidence.zip").status_code == 403
    answer = own_ministry.as_("审计负责人").get(f"/batches/{FIRST}/evidence.zip")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert not [n for n in archive.namelist() if n.endswith(".parquet")]
        archive.extractall(tmp_path / "evidence")
    found = dict(verify_tree(tmp_path / "evidence", ByHistory(read_history(own_ministry.node.trust)), lambda *_: None))
    assert {c.ok for checks in found.values() for c in checks} <= {True, None}
    assert any(c.ok for checks in found.values() for c in checks)
    assert [r["object"] for r in own_ministry.rows("audit_event") if r["action"] == "证据导出"] == [FIRST]
    assert not list(own_ministry.node.work.glob("evidence-*"))


def test_a_held_batch_needs_a_second_person_who_sees_what_the_first_wished(waiting: Held) -> None:
    made, batch = waiting.console, waiting.batch
    chief, review = made.as_("业务主管"), made.as_("数据复核员")
    assert batch in chief.get("/batches?state=HELD").text
    before, page = waiting.province.golden(), f"/batches/{batch}/release"
    assert made.post(chief, page, {"action": "放行", "reason": " "}).status_code == 422
    assert made.post(chief, page, {"action": "放行", "reason": "省级来函说明撤并三校"}).status_code == 303
    seen = re.findall(r'name="seen" value="([^"]+)"', review.get(page).text)
    assert len(seen) == 1
    assert made.post(chief, page + "/confirm", {"seen": seen[0]}).status_code == 403, "nobody confirms himself"
    assert made.post(review, page + "/confirm", {"seen": "earlier"}).status_code == 409
    assert made.post(review, page + "/withdraw").status_code == 403
    assert waiting.province.golden() == before
    assert made.post(review, page + "/confirm", {"seen": seen[0]}).status_code == 303
    assert waiting.province.golden() != before
    released = [r for r in made.rows("audit_event") if r["action"] == "暂停批次放行"]
    assert [(r["actor"], r["purpose"]) for r in released] == [("chief", "省级来函说明撤并三校")]
    assert made.post(review, page + "/confirm", {"seen": seen[0]}).status_code in (404, 409)


def test_a_wish_taken_back_releases_nothing(waiting: Held) -> None:
    made, page = waiting.console, f"/batches/{waiting.batch}/release"
    chief, review, golden = made.as_("业务主管"), made.as_("数据复核员"), waiting.province.golden()
    made.post(chief, page, {"action": "作废", "reason": "误操作"})
    seen = re.findall(r'name="seen" value="([^"]+)"', review.get(page).text)
    assert made.post(chief, page + "/withdraw").status_code == 303
    assert made.post(review, page + "/confirm", {"seen": seen[0]}).status_code == 409
    assert waiting.province.golden() == golden


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_batches_keep_the_rules_of_every_page(page: Page, console: Console, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    seen = watch(page, console)
    sign_in(page, console, "业务主管")
    for name, path in {
        "batches": "/batches",
        "batch": f"/batches/{FIRST}",
        "batch-part": f"/batches/{FIRST}/files/3",
        "batch-receipt": f"/batches/{FIRST}/receipts/1",
        "batches-none": "/batches?batch=nothing",
    }.items():
        answer = page.goto(console.address + path)
        assert answer is not None
        assert answer.status == 200, path
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, path
        screen(page, f"{name}-{scheme}")
    page.goto(f"{console.address}/batches/{FIRST}")
    page.keyboard.press("1")
    page.wait_for_selector("text=未发现问题")
    screen(page, f"batch-verified-{scheme}")
    assert (seen.foreign(), seen.violations(), seen.errors, seen.stored()) == ([], [], [], 0)
