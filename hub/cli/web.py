"""`hub web`: the node's console, on loopback unless told otherwise (console 7).

Decides where it listens and that it is not reachable from elsewhere without https in front. The one place of the
console that reads the clock and the system's randomness.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hub.cli.output import emit
from hub.cli.shell import Shell, shell_of
from hub.errors import UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from hub.web.section import Section
    from hub.web.site import Site

PAGES: Final = "hub.pages"
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def sections() -> tuple[Section, ...]:
    """What the rooms bring, by name: entry points of `hub.pages`, each a `hub.web.section.Section`."""
    return tuple(entry.load() for entry in sorted(entry_points(group=PAGES), key=lambda e: e.name))


def build(shell: Shell, host: str, port: int) -> tuple[ASGIApp, Site]:
    """(application, its site as it stands). Raises `UsageError` E1080 where others could read along."""
    from hub.registry import versions
    from hub.web.app import console
    from hub.web.dagster import mount
    from hub.web.renewed import Renewed
    from hub.web.site import Site
    from hub.web.work import settle

    node = shell.open_node()
    settings = node.settings.web
    if host not in LOOPBACK and not settings.url.startswith("https://"):
        raise UsageError(
            "E1080", "对外提供服务须经由 https", where="--host", step="在 hub.toml 的 [web] 中写明 url = \"https://…\"，前面放反向代理"
        )  # fmt: skip
    address = settings.url or f"http://{f'[{host}]' if ':' in host else host}:{port}"
    store = shell.open_store(node)
    site = Site(node, store, shell.catalog(), lambda: datetime.now(UTC), os.urandom, address.rstrip("/"), sections())
    settle(store, site.now())  # what a process left that is not there any more

    def known() -> tuple[tuple[int, str], ...]:
        with store.reading() as reader:
            return versions.numbers(reader.connection)

    def pages() -> ASGIApp:
        with store.reading() as reader:
            catalog = versions.under(shell.catalog(), versions.held(reader.connection))
        now = replace(site, catalog=catalog)
        return console(now, mount(now))

    return Renewed(known, pages), site


def web(
    ctx: typer.Context,
    host: Annotated[str, typer.Option("--host", metavar="地址", help="监听地址，默认只在本机")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="端口", help="监听端口")] = 8013,
) -> None:
    """启动本节点的网页控制台。"""
    import uvicorn

    shell = shell_of(ctx)
    app, site = build(shell, host, port)
    emit(shell, {"address": site.address}, lambda c: c.print(f"控制台：{site.address}　（Ctrl-C 停止）"))
    sys.stdout.flush()
    proxies = site.node.settings.web.proxies
    uvicorn.run(
        app, host=host, port=port, log_level="warning", access_log=False, server_header=False,
        proxy_headers=bool(proxies), forwarded_allow_ips=list(proxies),
    )  # fmt: skip
