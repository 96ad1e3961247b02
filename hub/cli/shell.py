"""What every command knows of the line it was called with. The one place of the command line that reads the clock."""

from __future__ import annotations

import getpass
import json
import logging
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.errors import UsageError

if TYPE_CHECKING:
    from hub.catalog import Catalog
    from hub.settings import Node
    from hub.store import Store


@dataclass(frozen=True)
class Shell:
    """Global options. `folder`: `--node`; `json`: one document on stdout instead of text."""

    folder: Path | None = None
    json: bool = False
    interactive: bool = True
    debug: bool = False

    def open_node(self, **flags: object) -> Node:
        """The node of `--node`; UsageError E1021 without one, NotInitialisedError where there is none."""
        from hub.settings import open_node

        if self.folder is None:
            raise UsageError(
                "E1021", "没有指定节点", step="用 --node 指定含 hub.toml 的节点目录，例如 --node 试验/province"
            )
        return open_node(self.folder, **flags)

    def catalog(self) -> Catalog:
        """The definitions of this installation."""
        from hub.catalog import load_catalog

        return load_catalog()

    def open_store(self, node: Node) -> Store:
        """The node's database; it must be at the newest revision."""
        from hub.store import open_store

        return open_store(node.database_url, self.catalog())

    def now(self) -> datetime:
        """Now, aware UTC."""
        return datetime.now(UTC)

    def actor(self) -> str:
        """Who acts, for the audit log: the operating system's user."""
        try:
            return f"os:{getpass.getuser()}"[:80]
        except (KeyError, OSError):
            return f"os:uid{os.getuid()}"


def shell_of(ctx: Any) -> Shell:
    """The shell of a command's context."""
    shell = ctx.find_root().obj
    return shell if isinstance(shell, Shell) else Shell()


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        body = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps(body, ensure_ascii=False)


class _Once(logging.Filter):
    """A warning that was said is not said again within one command: every step opens the same keys."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        line = (record.name, record.getMessage())
        new = line not in self._said
        self._said.add(line)
        return new or record.levelno > logging.WARNING


def set_up_logging(form: str) -> None:
    """Warnings and worse to stderr, as text or JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else logging.Formatter("%(levelname)s %(name)s %(message)s"))
    handler.addFilter(_Once())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
