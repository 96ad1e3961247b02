"""The checks of `hub doctor --db URL`: whether a database can hold a node's store, and what its administrator must do.

Looks and changes nothing. Each question that a database refuses to answer is a finding of its own, so that one missing
view hides no other. What was tried on a real server and what was not is said with the findings (README).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.cli.finding import Finding
from hub.errors import HubError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from hub.store import Store

# What the store's upgrade and its transactions need of an Oracle user.
ORACLE_RIGHTS = ("CREATE SESSION", "CREATE TABLE")
FREE_WARN = 2 << 30
_POSTGRESQL_RIGHTS = (
    "SELECT has_schema_privilege(current_schema(), 'CREATE'), has_database_privilege(current_database(), 'TEMP')"
)
_POSTGRESQL_SPACE = (
    "SELECT COALESCE(t.spcname, 'pg_default') FROM pg_database d "
    "LEFT JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database()"
)
_UNTRIED = "本程序尚未在真实的 Oracle 服务器上运行过；上线前先用测试用户跑一遍 ORACLE_URL 测试套件（见 deploy/oracle）"


def of_database(store: Store) -> Iterator[Finding]:
    """Findings about one database; an unreachable one is a single finding."""
    try:
        with store.looking() as connection:
            kind = connection.dialect.name
            look = {"oracle": _oracle, "postgresql": _postgresql}.get(kind, _sqlite)
            yield from look(connection, store)
    except HubError as error:
        where = f"（{error.where}）" if error.where else ""
        yield Finding("连接", "bad", f"[{error.code}] {error.what}{where}", error.step)
    else:
        yield from _revision(store)


def _revision(store: Store) -> Iterator[Finding]:
    have, head = store.revision()
    state = "ok" if have == head else "warn"
    yield Finding("表", state, f"版本 {have or '未建表'}，应为 {head}", "初始化节点或运行数据库升级")


def _ask(connection: sa.Connection, sql: str) -> list[Any] | None:
    """Rows, or None where the user may not look or the view is not there."""
    from sqlalchemy.exc import DBAPIError

    try:
        return list(connection.exec_driver_sql(sql))
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return None


def _unseen(name: str, view: str) -> Finding:
    return Finding(name, "warn", f"看不到 {view}", "请数据库管理员核对，或授予该视图的查询权限")


def _oracle(connection: sa.Connection, store: Store) -> Iterator[Finding]:
    del store
    from hub.store.oracle_session import client_mode

    version = connection.dialect.server_version_info or ()
    shown = ".".join(str(n) for n in version)
    good = tuple(version) >= (11, 2)
    yield Finding("数据库版本", "ok" if good else "bad", f"Oracle {shown}", "" if good else "须为 11.2 或更新")
    mode = client_mode()
    yield Finding("客户端方式", "ok", f"{mode}（thin 只支持 12.1 及更新，11g 须在 URL 中加 client=客户端目录）")
    yield from _oracle_charset(connection)
    yield from _oracle_rights(connection)
    yield from _oracle_space(connection)
    yield Finding("真实服务器", "warn", "未经真实 Oracle 验证", _UNTRIED)


def _oracle_charset(connection: sa.Connection) -> Iterator[Finding]:
    rows = _ask(connection, "SELECT p.value FROM nls_database_parameters p WHERE p.parameter = 'NLS_CHARACTERSET'")
    if not rows:
        yield _unseen("字符集", "nls_database_parameters")
        return
    name = str(rows[0][0])
    state = {"AL32UTF8": "ok", "ZHS16GBK": "warn"}.get(name, "bad")
    remedy = {
        "ok": "",
        "warn": "可用；但 GBK 之外的生僻字会使整批写入被拒（E3118），建议迁移到 AL32UTF8",
        "bad": "请数据库管理员以 AL32UTF8 建库",
    }[state]
    yield Finding("字符集", state, name, remedy)


def _oracle_rights(connection: sa.Connection) -> Iterator[Finding]:
    rows = _ask(connection, "SELECT p.privilege FROM session_privs p")
    if rows is None:
        yield _unseen("权限", "session_privs")
        return
    missing = sorted(set(ORACLE_RIGHTS) - {str(r[0]) for r in rows})
    if missing:
        yield Finding("权限", "bad", f"缺少 {'、'.join(missing)}", f"GRANT {', '.join(missing)} TO 该用户")
    else:
        yield Finding("权限", "ok", "、".join(ORACLE_RIGHTS))


def _oracle_space(connection: sa.Connection) -> Iterator[Finding]:
    used = _ask(connection, "SELECT u.default_tablespace, u.temporary_tablespace FROM user_users u")
    if not used:
        yield _unseen("表空间", "user_users")
        return
    home, temporary = (str(v) for v in used[0])
    if home.upper() == "SYSTEM":
        yield Finding("表空间", "bad", "默认表空间是 SYSTEM", "ALTER USER 该用户 DEFAULT TABLESPACE 专用表空间")
        return
    quotas = _ask(connection, "SELECT q.tablespace_name, q.bytes, q.max_bytes FROM user_ts_quotas q") or []
    mine = next((q for q in quotas if str(q[0]) == home), None)
    detail = f"{home}，临时 {temporary}"
    if mine is None:
        step = f"核对配额：ALTER USER 该用户 QUOTA UNLIMITED ON {home}（已有 UNLIMITED TABLESPACE 者可忽略）"
        yield Finding("表空间", "warn", f"{detail}，没有查到配额", step)
        return
    limit, taken = int(mine[2]), int(mine[1])
    short = limit >= 0 and limit - taken < FREE_WARN
    room = "不限" if limit < 0 else f"余 {(limit - taken) / (1 << 30):.1f} GiB"
    yield Finding("表空间", "warn" if short else "ok", f"{detail}，配额{room}", "扩大配额" if short else "")


def _postgresql(connection: sa.Connection, store: Store) -> Iterator[Finding]:
    del store
    version = connection.dialect.server_version_info or ()
    shown = ".".join(str(n) for n in version)
    yield _judged("数据库版本", tuple(version) >= (12,), f"PostgreSQL {shown}", "须为 12 或更新")
    charset = str(connection.exec_driver_sql("SHOW server_encoding").scalar_one())
    yield _judged("字符集", charset == "UTF8", charset, "以 ENCODING 'UTF8' 新建数据库")
    create, temporary = connection.exec_driver_sql(_POSTGRESQL_RIGHTS).one()
    missing = [n for n, held in (("建表（CREATE）", create), ("临时表（TEMP）", temporary)) if not held]
    detail = f"缺少{'、'.join(missing)}" if missing else "建表、临时表"
    yield _judged("权限", not missing, detail, "GRANT CREATE ON SCHEMA …、GRANT TEMPORARY ON DATABASE … TO 该用户")
    where = connection.exec_driver_sql(_POSTGRESQL_SPACE).scalar_one()
    yield Finding("表空间", "ok", f"{where}；可用空间由服务器所在磁盘决定")
    yield Finding("客户端方式", "ok", "psycopg 3")


def _sqlite(connection: sa.Connection, store: Store) -> Iterator[Finding]:
    import os
    import sqlite3

    good = sqlite3.sqlite_version_info >= (3, 35)
    yield _judged("数据库版本", good, f"SQLite {sqlite3.sqlite_version}", "升级 Python 所带的 SQLite")
    charset = str(connection.exec_driver_sql("PRAGMA encoding").scalar_one())
    yield _judged("字符集", charset == "UTF-8", charset, "重建数据库文件")
    file = Path(store.file or "")
    writable = os.access(file, os.R_OK | os.W_OK) and os.access(file.parent, os.W_OK)
    yield _judged("权限", writable, "文件与目录可写" if writable else "文件或目录不可写", "检查属主与权限")
    usage = os.statvfs(file.parent)
    free = usage.f_bavail * usage.f_frsize
    state = "ok" if free > FREE_WARN else "warn"
    yield Finding("表空间", state, f"磁盘余 {free / (1 << 30):.1f} GiB", "清理或扩容磁盘")
    yield Finding("客户端方式", "ok", "本机文件")


def _judged(name: str, good: bool, detail: str, remedy: str) -> Finding:
    return Finding(name, "ok" if good else "bad", detail, "" if good else remedy)
