"""Oracle sessions, for stores and sources alike: client mode, session settings, character set.

Thin mode (no Oracle software) speaks to Oracle 12.1 and newer; 11g needs thick mode, that is an Instant Client of the
site's, named in the URL: `…?service_name=XJ&client=/opt/oracle/instantclient_19_19`, or `&client=` alone. On Linux the
system's loader must know its folder (ldconfig) either way. The mode is decided once per process, by the first Oracle
URL that names a client.
"""

from __future__ import annotations

from typing import Any

import oracledb
import sqlalchemy as sa
from sqlalchemy import event

from hub.errors import UsageError

CLIENT = "client"
# The error of a client library that cannot be loaded.
NO_CLIENT = "E3116"
CONNECT_SECONDS = 10
# On Linux the folder alone finds libclntsh and not what that needs: the system's loader must know it, before we start.
_INSTALL = (
    "安装 Oracle Instant Client 19 与 libaio；在 Linux 上把其目录写入 /etc/ld.so.conf.d/oracle.conf 并运行 ldconfig，"
    "再重新运行；client 参数写该目录或留空"
)
# AL32UTF8 holds everything; ZHS16GBK holds GBK only, so what is written to it is checked first (`Oracle.insert`).
CHARACTER_SETS = ("AL32UTF8", "ZHS16GBK")
# Nothing a site sets for its own clients may change what is compared, sorted, bound or shown.
SESSION = (
    "ALTER SESSION SET NLS_SORT = BINARY",
    "ALTER SESSION SET NLS_COMP = BINARY",
    "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,'",
    "ALTER SESSION SET NLS_DATE_FORMAT = 'YYYY-MM-DD HH24:MI:SS'",
    "ALTER SESSION SET NLS_TIMESTAMP_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6'",
    "ALTER SESSION SET NLS_TIMESTAMP_TZ_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6 TZH:TZM'",
)
_CHARSET = "SELECT p.value FROM nls_database_parameters p WHERE p.parameter = 'NLS_CHARACTERSET'"


def oracle_engine(url: sa.URL, **options: Any) -> sa.Engine:
    """Engine over python-oracledb; `url` may carry `client`. `UsageError` E3115, E3116 when no client can be loaded."""
    query = dict(url.query)
    client = query.pop(CLIENT, None)
    if client is not None:
        _thick(client if isinstance(client, str) else client[0])
    engine = sa.create_engine(
        url.set(query=query),
        hide_parameters=True,
        connect_args={"tcp_connect_timeout": CONNECT_SECONDS},
        **options,
    )
    event.listen(engine, "do_connect", _reach)
    event.listen(engine, "connect", _configure)
    return engine


def _thick(folder: str) -> None:
    try:
        oracledb.init_oracle_client(lib_dir=folder or None)
    except oracledb.Error as error:
        if "DPY-2019" in str(error):  # a thin connection was opened first
            what = "本进程已按 thin 方式连接过 Oracle，不能再改用客户端库"
            step = f"给每个 Oracle URL（正式库与数据源）都写上 {CLIENT} 参数，再重新运行"
        else:
            what, step = "打不开 Oracle 客户端库（thick 方式）", _INSTALL
        raise UsageError(NO_CLIENT, what, where=f"URL 参数 {CLIENT}", step=step) from None


def _reach(dialect: Any, _record: Any, args: Any, options: Any) -> Any:
    """The driver lets an unknown host name's `OSError` through; its own kind of error is what callers translate."""
    try:
        return dialect.connect(*args, **options)
    except OSError as error:
        raise oracledb.OperationalError(type(error).__name__) from None


def _configure(raw: Any, _record: Any) -> None:
    with raw.cursor() as cursor:
        for statement in SESSION:
            cursor.execute(statement)


def client_mode() -> str:
    """`thin` or `thick`, as this process speaks."""
    return "thin" if oracledb.is_thin_mode() else "thick"


def character_set(connection: sa.Connection) -> str:
    """The database's character set, as Oracle names it."""
    return str(connection.exec_driver_sql(_CHARSET).scalar_one())


def refuse_unknown(name: str) -> None:
    """`UsageError` E3113 for a character set in which text could be lost without anyone noticing."""
    if name not in CHARACTER_SETS:
        raise UsageError(
            "E3113",
            f"数据库字符集是 {name}，须为 {' 或 '.join(CHARACTER_SETS)}",
            step="请数据库管理员以 AL32UTF8 建库后重新初始化",
        )
