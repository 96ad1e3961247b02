"""Where the sources of a node lie, and which connector speaks to each.

Decides the connector from a URL, and the sources from a folder: `sources.toml` when it stands there, otherwise
`s1.db s2.db s3.db`, `templates/*.xlsx` and `site_dictionaries.csv`. A database file that is not there is still a
source: reading it raises the alarm, and leaving it out silently would not.

    [sources]
    S1 = "oracle+oracledb://user:password@host/?service_name=XJ"
    S2 = "delimited:s2"                 # relative paths start at this file
    templates = "templates"
    site_dictionaries = "site_dictionaries.csv"

`templates` and `site_dictionaries` may also stand above `[sources]`. A system of the province's own has a table:

    [own.X1]
    url = "postgresql+psycopg://user:password@host/zz"
    mapping = "x1.yaml"                 # connectors.mapping

In a folder without `sources.toml` it is `x1.yaml` beside `x1.db`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from connectors.base import Source
from connectors.database import DatabaseSource
from connectors.delimited import DelimitedSource
from connectors.postgresql import PostgreSQLSource
from connectors.sqlite import SQLiteSource
from hub.errors import InputError, UsageError

FILES = {"S1": "s1.db", "S2": "s2.db", "S3": "s3.db"}
_DELIMITED = "delimited:"


@dataclass(frozen=True)
class OwnSource:
    """A system of the province's own (自建系统): where it lies and the file that maps it."""

    id: str
    url: str
    mapping: Path


@dataclass(frozen=True)
class Sources:
    """Source systems by URL, school supplements, and the site's own code tables (ruling 8)."""

    systems: dict[str, str]
    templates: tuple[Path, ...] = ()
    site_dictionaries: Path | None = None
    own: tuple[OwnSource, ...] = ()


def open_source(url: str) -> Source:
    """The source behind a URL; connects at the first question. `UsageError` for a URL nobody can serve."""
    if url.startswith(_DELIMITED):
        return _delimited(url)
    parsed = _url(url)
    dialect = parsed.get_backend_name()
    if dialect == "sqlite":
        return SQLiteSource(parsed)
    if parsed.drivername == "postgresql+psycopg":
        return PostgreSQLSource(parsed)
    if dialect == "postgresql" and parsed.drivername == "postgresql":
        return PostgreSQLSource(parsed.set(drivername="postgresql+psycopg"))
    if parsed.drivername in ("oracle", "oracle+oracledb"):
        from connectors.oracle import OracleSource  # its driver is loaded where it is needed

        return OracleSource(parsed.set(drivername="oracle+oracledb"))
    return DatabaseSource(parsed)


def load_sources(folder: Path) -> Sources:
    """The sources of a folder or a `sources.toml`. `InputError` when nothing is there."""
    file = folder if folder.is_file() else folder / "sources.toml"
    if file.is_file():
        return _from_toml(file)
    if not any((folder / name).is_file() for name in FILES.values()):
        raise InputError(
            "E2421",
            "文件夹中没有数据源",
            where=folder.name,
            step="放入 s1.db、s2.db、s3.db，或写 sources.toml 指明各系统的 URL",
        )
    dictionaries = folder / "site_dictionaries.csv"
    return Sources(
        {system: _sqlite(folder / name) for system, name in FILES.items()},
        _templates(folder / "templates"),
        dictionaries.resolve() if dictionaries.is_file() else None,
        tuple(OwnSource(p.stem.upper(), _sqlite(p.with_suffix(".db")), p) for p in sorted(folder.glob("x[1-9].yaml"))),
    )


def _from_toml(file: Path) -> Sources:
    try:
        doc = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise _refused(file, "不是正确的 TOML 文件", "按 README 中的样例改正") from cause
    table = doc.get("sources", {})
    table = table if isinstance(table, dict) else {}
    flat = {**{k: v for k, v in doc.items() if k not in ("sources", "own")}, **table}
    wrong = sorted(k for k, v in flat.items() if not isinstance(v, str) or not (k in FILES or k in _OTHER))
    if wrong:
        raise _refused(file, f"有不认识的设置：{'、'.join(wrong)}", "设置只有 S1、S2、S3、templates、site_dictionaries")
    systems = {k: _rooted(flat[k], file.parent) for k in FILES if k in flat}
    if not systems:
        raise _refused(file, "没有写任何数据源", "在 [sources] 下写 S1、S2、S3 的 URL")
    dictionaries = file.parent / flat["site_dictionaries"] if "site_dictionaries" in flat else None
    if dictionaries is not None and not dictionaries.is_file():
        raise _refused(file, "site_dictionaries 所指的文件不存在", "核对文件位置")
    templates = file.parent / flat["templates"] if "templates" in flat else None
    if templates is not None and not templates.is_dir():
        raise _refused(file, "templates 所指的文件夹不存在", "核对文件夹位置")
    return Sources(
        systems,
        _templates(templates) if templates else (),
        dictionaries.resolve() if dictionaries else None,
        _own(file, doc.get("own", {})),
    )


def _own(file: Path, doc: Any) -> tuple[OwnSource, ...]:
    found = []
    for name, entry in sorted(doc.items() if isinstance(doc, dict) else ()):
        if not (
            isinstance(entry, dict) and isinstance(entry.get("url"), str) and isinstance(entry.get("mapping"), str)
        ):
            raise _refused(file, f"自建系统 {name} 缺少 url 或 mapping", f"在 [own.{name}] 下写 url 与 mapping")
        mapping = (file.parent / entry["mapping"]).resolve()
        if not mapping.is_file():
            raise _refused(file, f"自建系统 {name} 的 mapping 所指的文件不存在", "核对文件位置")
        found.append(OwnSource(str(name), _rooted(entry["url"], file.parent), mapping))
    return tuple(found)


_OTHER = ("templates", "site_dictionaries")


def _refused(file: Path, what: str, step: str) -> UsageError:
    return UsageError("E2422", what, where=file.name, step=step)


def _rooted(url: str, base: Path) -> str:
    """A URL whose relative path starts at the settings file."""
    if url.startswith(_DELIMITED):
        path, mark, options = url[len(_DELIMITED) :].partition("?")
        return f"{_DELIMITED}{quote(str((base / unquote(path)).resolve()))}{mark}{options}"
    parsed = _url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        parsed = parsed.set(database=str((base / parsed.database).resolve()))
    return parsed.render_as_string(hide_password=False)


def _sqlite(path: Path) -> str:
    return sa.URL.create("sqlite", database=str(path.resolve())).render_as_string()


def _templates(folder: Path) -> tuple[Path, ...]:
    """Excel's lock files (`~$…`) are not supplements."""
    return tuple(sorted(p.resolve() for p in folder.glob("*.xlsx") if not p.name.startswith(("~$", "."))))


def _delimited(url: str) -> DelimitedSource:
    path, _, options = url[len(_DELIMITED) :].partition("?")
    asked = {k: v[-1] for k, v in parse_qs(options, keep_blank_values=True).items()}
    if not path or not asked.keys() <= {"encoding", "delimiter"}:
        raise UsageError(
            "E2105",
            "分隔文本数据源的 URL 不完整",
            where="delimited:",
            step="写作 delimited:文件夹?encoding=auto&delimiter=,",
        )
    return DelimitedSource(
        Path(unquote(path)), encoding=asked.get("encoding", "auto"), delimiter=asked.get("delimiter")
    )


def _url(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
        parsed.get_backend_name()
    except (ArgumentError, ValueError):
        scheme = url.partition("://")[0] if "://" in url else "（无协议）"
        raise UsageError(
            "E2105",
            "数据源 URL 不正确",
            where=scheme,
            step="写作 sqlite:///文件、postgresql+psycopg://账号:口令@主机/库、oracle+oracledb://… 或 delimited:文件夹",
        ) from None
    return parsed
