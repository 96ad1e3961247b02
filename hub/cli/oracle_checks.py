"""What `hub doctor --db` asks of an Oracle database: version, client, character set, rights, room, whose tables stand.

Each question that the user may not ask is a finding of its own. Says with the findings that no real server was tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from hub.cli.finding import Finding

if TYPE_CHECKING:
    import sqlalchemy as sa

    from hub.store import Store

# What the store's upgrade and its transactions need of an Oracle user.
ORACLE_RIGHTS: Final = ("CREATE SESSION", "CREATE TABLE")
FREE_WARN: Final = 2 << 30
# Said with every Oracle database, until a real one was tried (README).
_TRIED: Final = (
    "本程序从未在真实的 Oracle 上运行过；试过的只有：thin 方式对测试替身读写，语句按 11.2 与 19 的语法逐条检查"
)
_STILL: Final = (
    "11g、thick 方式、优化器、分区、只读事务与断线恢复都没有试过。"
    "上线前用另一个空用户跑测试套件，步骤见 deploy/oracle/README.md"
)
UNTRIED: Final = Finding("真实服务器", "warn", _TRIED, _STILL)
# How a 汉字 lies in each: columns are sized in characters, so both fit.
_WIDTHS: Final = {"AL32UTF8": "汉字占 3 字节，生僻字 4 字节", "ZHS16GBK": "汉字占 2 字节，GBK 以外的生僻字存不下"}
_MODES: Final = {
    "thin": "thin（不用客户端库；只支持 12.1 及更新。11g 须装 Instant Client 19，并在 URL 中加 client=其目录）",
    "thick": "thick（用 URL 中 client 所指的客户端库）",
}
_CHARSET: Final = "SELECT p.value FROM nls_database_parameters p WHERE p.parameter = 'NLS_CHARACTERSET'"


def of_oracle(connection: sa.Connection, store: Store) -> Iterator[Finding]:
    """Findings about an Oracle database that answers."""
    from hub.store.oracle_session import client_mode

    version = connection.dialect.server_version_info or ()
    shown = ".".join(str(n) for n in version)
    good = tuple(version) >= (11, 2)
    yield Finding("数据库版本", "ok" if good else "bad", f"Oracle {shown}", "" if good else "须为 11.2 或更新")
    mode = client_mode()
    yield Finding("客户端方式", "ok", _MODES[mode])
    yield from _oracle_charset(connection)
    rights = _ask(connection, "SELECT p.privilege FROM session_privs p")
    held = None if rights is None else {str(r[0]) for r in rights}
    yield from _rights(held)
    yield from _space(connection, held or set())
    yield from _tenants(connection, store)
    yield UNTRIED


def _oracle_charset(connection: sa.Connection) -> Iterator[Finding]:
    rows = _ask(connection, _CHARSET)
    if not rows:
        yield _unseen("字符集", "nls_database_parameters")
        return
    name = str(rows[0][0])
    state = {"AL32UTF8": "ok", "ZHS16GBK": "warn"}.get(name, "bad")
    remedy = {
        "ok": "",
        "warn": "可用，不会存成问号；但遇到 GBK 以外的生僻字，该次写入整体被拒（E3118），迁移到 AL32UTF8 后才能继续",
        "bad": "存不下汉字，建表会被拒绝（E3113）：请数据库管理员以 AL32UTF8 建库",
    }[state]
    width = f"；{_WIDTHS[name]}，列长按字符计" if name in _WIDTHS else ""
    yield Finding("字符集", state, f"{name}{width}", remedy)


def _rights(held: set[str] | None) -> Iterator[Finding]:
    if held is None:
        yield _unseen("权限", "session_privs")
        return
    missing = sorted(set(ORACLE_RIGHTS) - held)
    if missing:
        yield Finding(
            "权限", "bad", f"缺少 {'、'.join(missing)}", f"由数据库管理员执行：GRANT {', '.join(missing)} TO 该用户"
        )
        return
    yield Finding("权限", "ok", "、".join(ORACLE_RIGHTS))
    wide = sorted(p for p in held if " ANY " in p)
    if wide:
        shown = f"另有 {len(wide)} 项 ANY 权限，如 {wide[0]}"
        yield Finding("多余权限", "warn", shown, "本程序不需要：请收回 DBA 等角色，或另建专用用户")


def _space(connection: sa.Connection, held: set[str]) -> Iterator[Finding]:
    used = _ask(connection, "SELECT u.default_tablespace, u.temporary_tablespace FROM user_users u")
    if not used:
        yield _unseen("表空间", "user_users")
        return
    home, temporary = (str(v) for v in used[0])
    if home.upper() == "SYSTEM":
        yield Finding("表空间", "bad", "默认表空间是 SYSTEM", "ALTER USER 该用户 DEFAULT TABLESPACE 专用表空间")
        return
    detail = f"{home}，临时 {temporary}"
    quotas = _ask(connection, "SELECT q.tablespace_name, q.bytes, q.max_bytes FROM user_ts_quotas q") or []
    mine = next((q for q in quotas if str(q[0]) == home), None)
    if mine is None and "UNLIMITED TABLESPACE" not in held:
        yield Finding("表空间", "warn", f"{detail}，没有查到配额", f"ALTER USER 该用户 QUOTA UNLIMITED ON {home}")
        return
    limit, taken = (-1, 0) if mine is None else (int(mine[2]), int(mine[1]))
    short = limit >= 0 and limit - taken < FREE_WARN
    room = "不限" if limit < 0 else f"余 {(limit - taken) / (1 << 30):.1f} GiB"
    yield Finding("表空间", "warn" if short else "ok", f"{detail}，配额{room}", "扩大配额" if short else "")
    yield from _free(connection, home)


def _free(connection: sa.Connection, home: str) -> Iterator[Finding]:
    """A quota promises nothing: the files of the tablespace may be full, or grow by themselves."""
    rows = _ask(connection, "SELECT f.tablespace_name, SUM(f.bytes) FROM user_free_space f GROUP BY f.tablespace_name")
    if rows is None:
        return
    free = next((int(r[1]) for r in rows if str(r[0]) == home), 0)
    shown = f"{home} 现有文件中空闲 {free / (1 << 30):.1f} GiB"
    step = "请数据库管理员确认数据文件可自动扩展（AUTOEXTEND）或加数据文件"
    yield Finding("空闲空间", "ok" if free >= FREE_WARN else "warn", shown, "" if free >= FREE_WARN else step)


def _tenants(connection: sa.Connection, store: Store) -> Iterator[Finding]:
    """The user is the hub's alone, or an upgrade may meet a table of the same name (E3117)."""
    from hub.store.oracle_stage import REJECT, standing

    rows = _ask(connection, "SELECT t.table_name FROM user_tables t")
    if rows is None:
        yield _unseen("用户下的表", "user_tables")
        return
    ours = {"alembic_version", REJECT.name, *store.tables.metadata.tables, *(t.name for t in standing(store.tables))}
    others = sorted({str(r[0]).lower() for r in rows} - ours)
    if others:
        shown = f"另有 {len(others)} 张不属于本系统的表，如 {others[0]}"
        yield Finding("用户下的表", "warn", shown, "为本系统另建一个空的 Oracle 用户（schema）")
    else:
        yield Finding("用户下的表", "ok", f"{len(rows)} 张，都是本系统的" if rows else "还没有表")


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
    return Finding(name, "warn", f"看不到 {view}，此项没有检查", "请数据库管理员核对，或授予该视图的查询权限")
