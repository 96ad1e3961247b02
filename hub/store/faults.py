"""What a driver's error means to the person at the other end: unreachable, locked, not set up, refused, full.

Drivers put values into their messages (`Key (pk)=(…) already exists`), so neither the message nor the cause travels
on: the error names the SQLSTATE or SQLite code and, where the driver tells, table, column and constraint (house
rule 13).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import oracledb
import psycopg
import sqlalchemy as sa
import sqlalchemy.exc

from hub.errors import (
    HubError,
    KeyMaterialError,
    LockedError,
    NotInitialisedError,
    PeerUnreachableError,
    UsageError,
)
from hub.store.oracle_faults import UNIQUE, code_of, meaning_of

DRIVER_ERRORS = (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError, psycopg.Error, sqlite3.Error, oracledb.Error)

# What a migration says that meets a table of its name; the words are those of an English server.
_STANDS = re.compile(r'(?:relation "|table )(\w+)"? already exists')
# What COPY says about the place, up to where it would quote the value.
_COPY_PLACE = re.compile(r"COPY (\w+), line \d+, column (\w+)")

_Meaning = tuple[type[HubError], str, str, str]
_UNREACHABLE: _Meaning = (
    PeerUnreachableError,
    "E3101",
    "数据库连接不上或连接中断",
    "检查数据库是否运行、网络是否可达，然后重试",
)
_LOCKED: _Meaning = (LockedError, "E3102", "数据库被另一事务占用", "等另一运行结束后重试")
_SIGN_IN: _Meaning = (KeyMaterialError, "E3103", "数据库拒绝了用户名或口令", "检查数据库连接设置中的用户与口令")
_ABSENT: _Meaning = (
    NotInitialisedError,
    "E3104",
    "数据库不存在或打不开",
    "先创建数据库（或检查路径与权限），再运行数据库升级",
)
_NO_TABLE: _Meaning = (NotInitialisedError, "E3105", "数据库尚未建表", "先运行数据库升级")
_FORBIDDEN: _Meaning = (HubError, "E3106", "数据库用户没有所需权限", "请数据库管理员授予该库的建表与读写权限")
_NOT_ADMITTED: _Meaning = (
    HubError,
    "E3106",
    "数据库用户没有所需权限",
    "请数据库管理员允许该用户从本机连接该库（pg_hba.conf），并执行：GRANT CONNECT ON DATABASE 该库 TO 该用户",
)
_FOREIGN: _Meaning = (
    UsageError,
    "E3117",
    "库中已有同名的表，但不是本系统的表",
    "为本系统另建一个空的数据库，再运行数据库升级",
)
_FULL: _Meaning = (HubError, "E3107", "数据库磁盘空间或资源不足", "清理或扩容后重新运行；本次没有写入任何数据")
_INTEGRITY: _Meaning = (HubError, "E3108", "写入违反了表的约束", "本次已整体回退；按所示表与约束检查输入")
_VALUE: _Meaning = (
    HubError,
    "E3109",
    "有值放不进所在的列（过长、超范围或含非法字符）",
    "本次已整体回退；按所示表与列检查输入",
)
_CORRUPT: _Meaning = (HubError, "E3111", "数据库文件损坏或不是数据库", "停止写入，从备份恢复后再运行")
_OTHER: _Meaning = (HubError, "E3110", "数据库执行失败", "按所示错误代号查数据库日志")

_NO_SERVICE: _Meaning = (
    NotInitialisedError,
    "E3104",
    "数据库不存在或打不开",
    "核对 URL 中的服务名（service_name）；请数据库管理员确认该服务已在监听器上登记",
)
_CLIENT: _Meaning = (
    UsageError,
    "E3115",
    "此 Oracle 服务器过旧，须用 Oracle 客户端库连接（thick 方式）",
    "安装 Oracle Instant Client 19（步骤见 deploy/oracle/README.md），并在数据库 URL 加参数 client=其目录",
)

_BY_STATE: dict[str, _Meaning] = {
    "55P03": _LOCKED,
    "40001": _LOCKED,
    "40P01": _LOCKED,
    "3D000": _ABSENT,
    "42P01": _NO_TABLE,
    "42501": _FORBIDDEN,
    "3F000": _FORBIDDEN,  # no schema in which this user may make tables
    "42P07": _FOREIGN,
    "57P01": _UNREACHABLE,
    "57P02": _UNREACHABLE,
    "57P03": _UNREACHABLE,
}
_BY_CLASS: dict[str, _Meaning] = {
    "08": _UNREACHABLE,
    "28": _SIGN_IN,
    "53": _FULL,
    "23": _INTEGRITY,
    "22": _VALUE,
}
_BY_SQLITE: dict[str, _Meaning] = {
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_CANTOPEN": _ABSENT,
    "SQLITE_FULL": _FULL,
    "SQLITE_READONLY": _FORBIDDEN,
    "SQLITE_PERM": _FORBIDDEN,
    "SQLITE_CONSTRAINT": _INTEGRITY,
    "SQLITE_TOOBIG": _VALUE,
    "SQLITE_CORRUPT": _CORRUPT,
    "SQLITE_NOTADB": _CORRUPT,
}

_BY_ORACLE: dict[str, _Meaning] = {
    "locked": _LOCKED,
    "no_table": _NO_TABLE,
    "sign_in": _SIGN_IN,
    "absent": _NO_SERVICE,
    "forbidden": _FORBIDDEN,
    "full": _FULL,
    "integrity": _INTEGRITY,
    "value": _VALUE,
    "unreachable": _UNREACHABLE,
    "client": _CLIENT,
    "other": _OTHER,
}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raises `HubError` (or a child) in place of a driver's error; `where`: the database, without credentials."""
    try:
        yield
    except DRIVER_ERRORS as error:
        fault = fault_of(error, where)
        _scrub(error)
        raise fault from None


def fault_of(error: BaseException, where: str) -> HubError:
    """The error of the world behind a driver's or SQLAlchemy's error."""
    origin = _origin(error)
    if isinstance(error, sa.exc.TimeoutError):
        meaning, name, place = _LOCKED, "pool", ""
    elif isinstance(origin, psycopg.Error):
        meaning, name, place = _postgresql(origin)
    elif isinstance(origin, sqlite3.Error):
        meaning, name, place = _sqlite(origin)
    elif isinstance(origin, oracledb.Error):
        known, name, place = meaning_of(origin)
        meaning = _BY_ORACLE[known]
    else:
        meaning, name, place = _OTHER, type(origin).__name__, ""
    kind, code, what, step = meaning
    return kind(code, what, where="，".join(p for p in (where, name, place) if p), step=step)


def is_duplicate_key(error: BaseException) -> bool:
    """True when a bulk insert met a key that is already there."""
    origin = _origin(error)
    if isinstance(origin, sqlite3.IntegrityError):
        return origin.sqlite_errorname in ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE")
    if isinstance(origin, oracledb.Error):
        return code_of(origin) == UNIQUE
    return isinstance(origin, psycopg.errors.UniqueViolation)


def unknown_commit(where: str) -> PeerUnreachableError:
    """The connection broke during COMMIT: whether it took effect is to be read, not guessed (protocol 6.3)."""
    return PeerUnreachableError(
        "E3112", "提交时连接中断，结果未知", where=where, step="重试：重试会先查收件表，已生效的批次不会重复入库"
    )


def _origin(error: BaseException) -> BaseException:
    orig = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else None
    return orig if orig is not None else error


def _postgresql(origin: psycopg.Error) -> tuple[_Meaning, str, str]:
    state = origin.sqlstate or ""
    if not state:
        meaning = _connecting(origin) if isinstance(origin, psycopg.OperationalError) else _OTHER
        return meaning, type(origin).__name__, ""
    meaning = _BY_STATE.get(state) or _BY_CLASS.get(state[:2]) or _OTHER
    diag = origin.diag
    names = [n for n in (diag.table_name, diag.column_name, diag.constraint_name) if n]
    found = _COPY_PLACE.match(diag.context or "") or _STANDS.match(diag.message_primary or "")
    return meaning, state, " ".join(names or (found.groups() if found else ()))


def _connecting(origin: psycopg.OperationalError) -> _Meaning:
    """libpq gives no SQLSTATE while connecting; only these words tell a wrong setting from a silent server.

    A server whose `lc_messages` are Chinese says them in Chinese.
    """
    words = str(origin)
    if any(w in words for w in ("pg_hba.conf", "permission denied", "权限不够")):
        return _NOT_ADMITTED
    if any(w in words for w in ("password", "authentication", "role", "认证", "角色")):
        return _SIGN_IN
    absent = ("database", "does not exist"), ("数据库", "不存在")
    return _ABSENT if any(all(w in words for w in both) for both in absent) else _UNREACHABLE


def _sqlite(origin: sqlite3.Error) -> tuple[_Meaning, str, str]:
    name = getattr(origin, "sqlite_errorname", "") or type(origin).__name__
    if str(origin).startswith("no such table"):
        return _NO_TABLE, name, ""
    if standing := _STANDS.match(str(origin)):
        return _FOREIGN, name, standing.group(1)
    meaning = next((m for start, m in _BY_SQLITE.items() if name.startswith(start)), _OTHER)
    return meaning, name, ""


def _scrub(error: BaseException) -> None:
    """Empties the driver's message: it stays reachable as `__context__` and may quote a row."""
    for one in (error, _origin(error)):
        one.args = (type(one).__name__,)
