"""How commands show things: one JSON document, or text and tables in Chinese; progress on stderr (console §7)."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from hub.cli.failures import SCHEMA_VERSION

if TYPE_CHECKING:
    from hub.cli.shell import Shell

# Off a terminal nothing is cut to a width.
_WIDE = 400
SIGN_OF_LIFE_SECONDS = 30.0


def console() -> Console:
    """Standard output; NO_COLOR and redirection switch colours off."""
    wide = None if sys.stdout.isatty() else _WIDE
    return Console(file=sys.stdout, width=wide, highlight=False, soft_wrap=wide is not None, markup=False)


def emit(shell: Shell, document: Mapping[str, Any], render: Callable[[Console], None]) -> None:
    """The document with `--json`, what `render` prints otherwise."""
    if shell.json:
        body = {"schema_version": SCHEMA_VERSION, **document}
        print(json.dumps(body, ensure_ascii=False, default=str))  # noqa: T201
    else:
        render(console())


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table; columns whose every value is a number stand to the right."""
    cells = [list(row) for row in rows]
    made = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for at, name in enumerate(columns):
        number = bool(cells) and all(isinstance(row[at], int) for row in cells)
        made.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in cells:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


class Progress:
    """Says on stderr what is being done: a live line on a terminal, one line every 30 s elsewhere.

    Use as a context manager. `step(stage, what)` names the work; `amount(what, done, total)` moves a bar.
    """

    def __init__(self, *, every: float = SIGN_OF_LIFE_SECONDS) -> None:
        self._every = every
        self._what = "开始"
        self._stop = threading.Event()
        self._live: Any = None
        self._task: Any = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._live = _bar()
            self._live.start()
            self._task = self._live.add_task(self._what, total=None)
        else:
            self._thread = threading.Thread(target=self._speak, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._live is not None:
            self._live.stop()
        if self._thread is not None:
            self._thread.join()

    def step(self, stage: str, what: str) -> None:
        """Names the work under way."""
        self._say(f"{STAGES.get(stage, stage)}　{what}", None, None)

    def amount(self, what: str, done: int, total: int) -> None:
        """`done` of `total` (rows or bytes)."""
        self._say(what, done, total)

    def _say(self, what: str, done: int | None, total: int | None) -> None:
        self._what = what if total is None else f"{what} {done:,}/{total:,}"
        if self._live is not None:
            self._live.update(self._task, description=what, completed=done or 0, total=total)

    def _speak(self) -> None:
        while not self._stop.wait(self._every):
            print(f"… {self._what}", file=sys.stderr, flush=True)  # noqa: T201


STAGES = {
    "extract": "读取",
    "settle": "定值",
    "publish": "入库封装",
    "deliver": "送出",
    "listen": "收回执",
    "intake": "接收",
    "archive": "归档",
}


def _bar() -> Any:
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Bar(*columns, console=Console(stderr=True), transient=True)
