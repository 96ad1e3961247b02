"""The queue's pages over a filled database, as a browser asks for them (console 8, row 15). Seconds per page.

Decides nothing about the figures: list and last page at most 1 s, facets at most 1 s later, at 100,000 conflicts on an
idle machine, is the table's wish; each figure is one request to a served console, sign-in and scope included.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from hub.roles import Grant, Scope
from hub.roles_store import add_operator
from hub.settings import open_node, write_settings
from tests.web.consoles import AT, give_password, serve


def page_seconds(url: str, conflicts: int) -> dict[str, float]:
    """First page, last page, a jump to the middle, facets (first and remembered), one conflict."""
    last = -(-conflicts // 50)
    pages = {
        "list": "/conflicts?state=待处理&size=50",
        "last page": f"/conflicts?state=待处理&size=50&page={last}",
        "jump": f"/conflicts?state=待处理&size=50&page={last // 2}",
        "facets": "/conflicts/facets?state=待处理",
        "facets again": "/conflicts/facets?state=待处理",
        "detail": f"/conflicts/{conflicts // 2}?state=待处理",
    }
    with TemporaryDirectory() as folder:
        write_settings(Path(folder), {"role": "province", "party": "13", "name": "河北省", "database": url})
        console = serve(open_node(Path(folder)))
        try:
            grant = Grant("业务员", Scope(frozenset({"130000"})))
            add_operator(console.store, "13", "bench", "b1", [grant], at=AT, actor="bench")
            give_password(console.store, "bench")
            client = console.client()
            assert console.enter(client, "bench").status_code == 303
            return {f"page: {name}": _seconds(client, path) for name, path in pages.items()}
        finally:
            console.stop()


def _seconds(client: httpx.Client, path: str) -> float:
    start = time.perf_counter()
    answer = client.get(path)
    assert answer.status_code == 200, path
    return round(time.perf_counter() - start, 2)
