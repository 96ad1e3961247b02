"""Which layout of tables a database has, and that a program of another layout leaves it alone.

A program that writes into tables of another revision would leave out what it does not know of: columns stay empty,
indexes and checks are missing, and nobody notices until an upgrade fails. So the first transaction of every `Store`
looks, and refuses. Upgrading itself is `Store.upgrade`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic.script import ScriptDirectory

from hub.errors import NotInitialisedError, UsageError

MIGRATIONS = Path(__file__).parent / "migrations"
_STORED = "SELECT version_num FROM alembic_version"


@cache
def newest() -> str:
    """The newest revision this program knows."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if head is None:
        raise RuntimeError("no migrations are shipped")
    return head


def is_newer(have: str | None) -> bool:
    """Whether a database was upgraded by a later program; revisions are numbers of one width."""
    return have is not None and have > newest()


def refuse_newer(have: str | None, where: str) -> None:
    """`UsageError` E3125 for a database that a later program has upgraded."""
    if is_newer(have):
        raise UsageError(
            "E3125",
            f"数据库结构是第 {have} 版，比本程序所知的第 {newest()} 版新",
            where=where,
            step="升级本程序；旧程序不在新结构上运行",
        )


def refuse_other(connection: sa.Connection, where: str) -> None:
    """`UsageError` E3125, or `NotInitialisedError` E3124 for a database that waits for its upgrade.

    A database without tables fails with the question itself (E3105).
    """
    have = connection.exec_driver_sql(_STORED).scalar_one_or_none()
    if have == newest():
        return
    refuse_newer(have, where)
    raise NotInitialisedError(
        "E3124",
        f"数据库结构是第 {have or '0000'} 版，本程序需要第 {newest()} 版",
        where=where,
        step="先备份数据库，再运行 hub --node 节点目录 db upgrade",
    )
