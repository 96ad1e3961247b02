"""Every statement the product sends to any database while tests run, as Oracle would be sent it.

Decides what counts: a statement whose innermost frame of ours lies in the product, not in a test, and not in a module
that speaks for one other database. Nothing is listed by hand: what a test makes the product say is judged (rung 1).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.oracle import oracledb as driver
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import ReleaseSavepointClause, RollbackToSavepointClause, SavepointClause

ROOT = Path(__file__).parents[2]
ROOMS = ("hub", "quality", "province_node", "ministry_node", "pipelines")
# They speak for one database each; Oracle's own are judged in `tests.oracle.statements`, migrations as a whole.
OTHERS = (
    "hub/store/sqlite",
    "hub/store/postgresql",
    "hub/store/scratch",
    "hub/store/migrations/",
    "hub/store/oracle",
    "hub/cli/database_checks",
)
_FOREIGN = ("PRAGMA", "BEGIN", "pg_catalog", "sqlite_master", "SHOW ")
_SKIPPED = f"{ROOT / '.venv'}/"
# What a dialect sends for these it decides in a method of its own: it may be another statement, or none.
_SAVEPOINTS = {
    SavepointClause: "do_savepoint",
    RollbackToSavepointClause: "do_rollback_to_savepoint",
    ReleaseSavepointClause: "do_release_savepoint",
}


@dataclass(frozen=True)
class Said:
    """A statement as Core or as text, and the place in the product that said it."""

    statement: Any
    columns: tuple[str, ...] | None
    place: str

    def rendered(self, made: sa.Dialect) -> str:
        """As this dialect sends it: limits and IN lists written out."""
        if isinstance(self.statement, str):
            return self.statement
        options: dict[str, Any] = {"compile_kwargs": {"render_postcompile": True}}
        if self.columns is not None and isinstance(self.statement, UpdateBase):
            options["column_keys"] = list(self.columns)
        return str(self.statement.compile(dialect=made, **options))


class Recorder:
    """What was said so far, each shape once."""

    def __init__(self) -> None:
        self.said: dict[str, Said] = {}

    def hear(self, _connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        if statement in self.said or any(word in statement for word in _FOREIGN):
            return
        place = _place()
        if place is None:
            return
        compiled = getattr(context, "compiled", None)
        core = getattr(compiled, "statement", None)
        if core is None:
            self.said[statement] = Said(statement, None, place)
        elif isinstance(core, sa.sql.elements.ClauseElement) and not isinstance(core, sa.schema.ExecutableDDLElement):
            keys = getattr(compiled, "column_keys", None)
            for sent in sent_by_oracle(core):
                self.said[statement] = Said(sent, tuple(keys) if keys else None, place)


def sent_by_oracle(core: Any) -> list[Any]:
    """This statement, or what SQLAlchemy's Oracle sends in its place; empty where that is nothing."""
    method = _SAVEPOINTS.get(type(core))
    if method is None:
        return [core]
    sent: list[Any] = []
    made: Any = driver.dialect
    getattr(made(), method)(SimpleNamespace(execute=sent.append), core.ident)
    return sent


@contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Listens to every engine of this process."""
    event.listen(sa.engine.Engine, "before_cursor_execute", recorder.hear)
    try:
        yield recorder
    finally:
        event.remove(sa.engine.Engine, "before_cursor_execute", recorder.hear)


def _place() -> str | None:
    """`module:line` of the innermost frame of ours, None where it is not the product's."""
    frame = sys._getframe(2)
    root = f"{ROOT}/"
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(root) and not name.startswith(_SKIPPED):
            file = name.removeprefix(root)
            if file.partition("/")[0] not in ROOMS or file.startswith(OTHERS):
                return None
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return None
