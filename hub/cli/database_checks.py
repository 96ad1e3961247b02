"""The checks of `hub doctor --db URL`: whether a database can hold a node's store, and what its administrator must do.

Looks and changes nothing. Each question that a database refuses to answer is a finding of its own, so that one missing
view hides no other. What was tried on a real server and what was not is said with the findings (README).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hub.cli.finding import Finding
from hub.cli.oracle_checks import of_oracle
from hub.errors import HubError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from hub.store import Store

FREE_WARN = 2 << 30
REACH_SECONDS = 3
_PORTS = {"postgresql": 5432, "oracle": 1521}
_POSTGRESQL_RIGHTS = (
    "SELECT has_schema_privilege(current_schema(), 'CREATE'), has_database_privilege(current_database(), 'TEMP')"
)
_POSTGRESQL_SPACE = (
    "SELECT COALESCE(t.spcname, 'pg_default') FROM pg_database d "
    "LEFT JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database()"
)


def of_database(store: Store) -> Iterator[Finding]:
    """Findings about one database; an unreachable one is a single finding."""
    yield Finding("地址", "ok", _address(store))
    try:
        with store.looking() as connection:
            kind = connection.dialect.name
            look = {"oracle": of_oracle, "postgresql": _postgresql}.get(kind, _sqlite)
            yield from look(connection, store)
    except HubError as error:
        where = f"（{error.where}）" if error.where else ""
        yield Finding("连接", "bad", f"[{error.code}] {error.what}{where}", error.step)
        if error.code == "E3101" and store.host is not None:
            yield _network(store.host, store.port or _PORTS.get(store.where.partition("：")[0], 0))
    else:
        yield from of_revision(store)


def _address(store: Store) -> str:
    """Which database is meant, without its password: most mistakes are in this line."""
    kind, _, name = store.where.partition("：")
    if store.file is not None:
        return f"{kind}　文件 {Path(store.file).name}"
    host = f"{store.host or '本机'}" + (f":{store.port}" if store.port else "")
    return f"{kind}　主机 {host}　库 {name}" + (f"　用户 {store.user}" if store.user else "")


def _network(host: str, port: int) -> Finding:
    """Why nothing answers: the name, the port or the way there."""
    try:
        with socket.create_connection((host, port), REACH_SECONDS):
            return Finding(
                "网络", "bad", f"{host}:{port} 连得上，但没有数据库应答", "核对端口是否属于该数据库，查看其日志"
            )
    except socket.gaierror:
        return Finding("网络", "bad", f"主机名 {host} 解析不到地址", "核对主机名与 DNS，或改写为 IP 地址")
    except ConnectionRefusedError:
        step = "核对端口；启动数据库，或让它在对外的地址上监听（PostgreSQL 的 listen_addresses，Oracle 的监听器）"
        return Finding("网络", "bad", f"{host} 在，但端口 {port} 上没有程序在听", step)
    except OSError:
        return Finding("网络", "bad", f"{REACH_SECONDS} 秒内连不上 {host}:{port}", "请网络管理员核对路由与防火墙")


def _others(connection: sa.Connection, store: Store) -> Iterator[Finding]:
    """Tables that are not ours: a platform's database, or a schema that something else lives in too."""
    import sqlalchemy as sa

    ours = {"alembic_version", *store.tables.metadata.tables}
    have = set(sa.inspect(connection).get_table_names())
    names = have - ours
    if taken := sorted(have & ours) if "alembic_version" not in have else []:
        shown = f"已有 {len(taken)} 张与本系统同名、却不是本系统建的表，如 {taken[0]}，建表会被拒绝（E3117）"
        yield Finding("库中的表", "bad", shown, "为本系统另建一个空的数据库")
        return
    golden = tuple(f"{t.name}_" for t in store.tables.golden.values())  # a province's part
    others = sorted(n for n in names if not n.startswith(golden))
    if others:
        shown = f"另有 {len(others)} 张不属于本系统的表，如 {others[0]}"
        yield Finding("库中的表", "warn", shown, "为本系统另建一个空的数据库；数据源库不能作正式库")


def of_revision(store: Store) -> Iterator[Finding]:
    """Whether the tables are those of this program."""
    from hub.store.revisions import is_newer

    have, head = store.revision()
    command = "hub --node 节点目录 db upgrade"
    if have is None:
        detail, step = "尚未建表", f"新节点由 hub init 建表；已有节点运行 {command}（加 --sql 可先交数据库管理员审核）"
        yield Finding("表结构", "warn", detail, step)
    elif is_newer(have):
        detail = f"第 {have} 版，比本程序所知的第 {head} 版新"
        yield Finding("表结构", "bad", detail, "升级本程序；旧程序不要在新结构上运行")
    else:
        detail = f"第 {have} 版" + ("" if have == head else f"，本程序需要第 {head} 版")
        yield Finding("表结构", "ok" if have == head else "warn", detail, "" if have == head else f"运行 {command}")


def _postgresql(connection: sa.Connection, store: Store) -> Iterator[Finding]:
    version = connection.dialect.server_version_info or ()
    shown = ".".join(str(n) for n in version)
    yield _judged("数据库版本", tuple(version) >= (12,), f"PostgreSQL {shown}", "须为 12 或更新")
    charset = str(connection.exec_driver_sql("SHOW server_encoding").scalar_one())
    told = charset if charset == "UTF8" else f"{charset}，存不下全部汉字，建表会被拒绝（E3113）"
    yield _judged("字符集", charset == "UTF8", told, "以 ENCODING 'UTF8' 新建数据库")
    create, temporary = connection.exec_driver_sql(_POSTGRESQL_RIGHTS).one()
    missing = [n for n, held in (("建表（CREATE）", create), ("临时表（TEMP）", temporary)) if not held]
    detail = f"缺少{'、'.join(missing)}" if missing else "建表、临时表"
    step = "GRANT CREATE ON SCHEMA 该模式 TO 该用户；GRANT TEMPORARY ON DATABASE 该库 TO 该用户"
    yield _judged("权限", not missing, detail, step)
    where = connection.exec_driver_sql(_POSTGRESQL_SPACE).scalar_one()
    yield Finding("表空间", "ok", f"{where}；余量这里看不到，由服务器的磁盘决定，请纳入服务器监控")
    yield Finding("客户端方式", "ok", "psycopg 3")
    yield from _others(connection, store)


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
    yield from _others(connection, store)


def _judged(name: str, good: bool, detail: str, remedy: str) -> Finding:
    return Finding(name, "ok" if good else "bad", detail, "" if good else remedy)
