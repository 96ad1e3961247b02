"""One province node filled once per run and served, a browser, and copies of the node for tests that change it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from connectors.sample.run import generate
from hub.settings import Node, open_node
from ministry_node.intake import run_intake
from pipelines.lab.setup import Lab
from province_node.deliver import deliver
from province_node.listen import listen
from province_node.publish import publish_pending
from province_node.settle import Options, run_round
from tests.round.labs import AT as LAB_AT
from tests.round.labs import TODAY, new_lab
from tests.web.browsing import AXE, FLAGS, HEIGHT, ROOT, WIDTH
from tests.web.consoles import AT, Console, add_people, serve
from tests.web.desks import Desk, opened

STUDENTS = 3000


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab after its first round: conflicts, quarantine, batches sent and received. Not to be changed."""
    root = tmp_path_factory.mktemp("web")
    generate(root / "sources", province="13", students=STUDENTS, seed=1)
    lab = new_lab(root / "lab", root / "sources")
    run_round(lab.province, Options(today=TODAY, judge=False), nonce=lambda: os.urandom(32).hex())
    publish_pending(lab.province, at=LAB_AT, rng=os.urandom)
    deliver(lab.province, at=LAB_AT)
    run_intake(lab.ministry, at=LAB_AT)
    listen(lab.province, at=LAB_AT)
    for node in (lab.province, lab.ministry):
        add_people(node)
    return lab


def copied(node: Node, lab: Lab, folder: Path) -> Node:
    """The node with the exchange place beside it, as the lab lays them, so that both can be changed."""
    shutil.copytree(node.folder, folder / node.folder.name)
    shutil.copytree(lab.exchange_root, folder / lab.exchange_root.name)
    return open_node(folder / node.folder.name)


@pytest.fixture(scope="session")
def assets() -> None:
    """The browser's files; fetched when `make test` has not done it."""
    if not AXE.is_file():
        subprocess.run(["bash", str(ROOT / "deploy" / "setup" / "web-assets.sh"), "--dev"], check=True)


@pytest.fixture(scope="session")
def console(filled: Lab, assets: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The province's console. Look, sign in, but change no data: others look at the same."""
    made = serve(copied(filled.province, filled, tmp_path_factory.mktemp("console")))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def ministry_console(filled: Lab, assets: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The ministry's console over the same round."""
    made = serve(copied(filled.ministry, filled, tmp_path_factory.mktemp("ministry-console")))
    yield made
    made.stop()


@pytest.fixture
def own_console(filled: Lab, assets: None, tmp_path: Path) -> Iterator[Console]:
    """A province of one's own, to decide, import and break in."""
    made = serve(copied(filled.province, filled, tmp_path), at=AT)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def desk(filled: Lab, assets: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A province of a module's own with conflicts over values, planted."""
    yield from opened(filled.province, tmp_path_factory.mktemp("desk") / "province")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; nothing is downloaded."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium: deploy/setup/packages.sh chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own at 1366×768, light."""
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, locale="zh-CN", timezone_id="Asia/Shanghai"
    )
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()
