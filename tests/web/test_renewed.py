"""A console goes on under the version that its node holds, without a restart."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hub.catalog import load_catalog
from hub.errors import HubError
from hub.registry import versions
from hub.store import Store, open_store
from hub.store.registry_tables import REGISTRY_VERSION
from hub.web.renewed import Renewed


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = open_store(f"sqlite:///{tmp_path / 'node.db'}", load_catalog())
    made.upgrade()
    return made


def put(store: Store, number: int, state: str) -> None:
    shipped = versions.shipped()
    row = {
        "version": number, "state": state, "digest": shipped.digest, "document": shipped.document,
        "codes": shipped.codes, "note": "", "batch_id": "moe-down-codes-e0001-s0000000001", "signer": "k",
        "created": "2026-11-23T05:51:20Z", "applied_at": None,
    }  # fmt: skip
    with store.begin() as tx:
        tx.connection.execute(sa.delete(REGISTRY_VERSION).where(REGISTRY_VERSION.c.version == number))
        tx.connection.execute(sa.insert(REGISTRY_VERSION), row)


def pages(store: Store, built: list[int]) -> Starlette:
    with store.reading() as reader:
        held = versions.held(reader.connection).number
    built.append(held)
    return Starlette(routes=[Route("/", lambda _request: PlainTextResponse(f"第 {held} 版"))])


def numbers(store: Store) -> tuple[tuple[int, str], ...]:
    with store.reading() as reader:
        return versions.numbers(reader.connection)


def said(app: Renewed) -> str:
    """The page's text; asked in a thread of its own, since a browser test may have left a loop running in this one."""

    async def asked() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://console") as client:
            return (await client.get("/")).text

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(asked())).result()


def test_pages_are_built_anew_once_another_version_is_in_force_and_not_before(store: Store) -> None:
    built: list[int] = []
    app = Renewed(lambda: numbers(store), lambda: pages(store, built))
    assert [said(app), said(app)] == ["第 1 版"] * 2
    put(store, 2, versions.HELD)
    assert said(app) == "第 1 版", "a version that only arrived is not what the node works by"
    put(store, 2, versions.IN_FORCE)
    assert [said(app), said(app)] == ["第 2 版"] * 2
    assert built == [1, 1, 2]
    store.close()


def test_a_database_that_cannot_be_asked_leaves_the_answer_to_the_page(store: Store) -> None:
    away: list[bool] = []

    def known() -> tuple[tuple[int, str], ...]:
        if away:
            raise HubError("E3104", "数据库无法使用", step="稍后再试")
        return numbers(store)

    app = Renewed(known, lambda: pages(store, []))
    away.append(True)
    put(store, 2, versions.IN_FORCE)
    assert said(app) == "第 1 版"
    away.clear()
    assert said(app) == "第 2 版"
    store.close()
