"""Plants double registrations: students of one synthetic province who are enrolled in another one as well.

Decides who: the first students of each side, in order of 学籍号, who are in study with an identity card of their own.
The second province writes the same person its own way (lower-case x, full-width digits, blanks), as sites do. Works on
the SQLite files that `generate` wrote; all persons are invented.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hub.errors import UsageError

PERSON: Final = ("XM", "XMPY", "XBM", "CSRQ", "SFZJLXM", "SFZJH", "CSDM")
_FILE: Final = "s1.db"
_WIDE: Final = {ord(c): ord(c) + 0xFEE0 for c in "0123456789"}
_IN_STUDY: Final = (
    "SELECT s.GRBSM FROM XS_JBXX s JOIN XS_XJXX x ON x.GRBSM = s.GRBSM WHERE x.XSDQZTM = '01' AND s.SFZJLXM = '1' "
    "AND s.GRBSM = 'G' || s.SFZJH AND s.SJZT = '1' AND s.GRBSM NOT IN (SELECT GRBSM FROM XS_XJYD) "
    "ORDER BY s.GRBSM LIMIT ?"
)


@dataclass(frozen=True)
class Double:
    """One person in both provinces: the 学籍号 there and here, which are the same, and the one replaced here."""

    number: str
    replaced: str


def plant_doubles(there: Path, here: Path, count: int) -> tuple[Double, ...]:
    """`count` students of the sample `there` take the place of as many of the sample `here`.

    Raises `UsageError` E1604 when either has too few students or no SQLite file.
    """
    if not all((folder / _FILE).is_file() for folder in (there, here)):
        raise UsageError("E1604", "两处样例都须是 SQLite 文件", where=_FILE, step="先分别用 hub sample 生成")
    with closing(sqlite3.connect(there / _FILE)) as source, closing(sqlite3.connect(here / _FILE)) as target:
        pairs = list(zip(_numbers(source, count), _numbers(target, count), strict=False))
        if len(pairs) < count:
            raise UsageError("E1604", f"在读学生不足 {count} 人", where=_FILE, step="减少人数或增大样例")
        with target:
            for n, (number, replaced) in enumerate(pairs):
                _replace(source, target, number, replaced, n)
    return tuple(Double(number, replaced) for number, replaced in pairs)


def _numbers(con: sqlite3.Connection, count: int) -> Iterator[str]:
    for (number,) in con.execute(_IN_STUDY, [count]):
        yield str(number)


def _replace(source: sqlite3.Connection, target: sqlite3.Connection, number: str, replaced: str, n: int) -> None:
    person = dict(
        zip(PERSON, source.execute(f"SELECT {', '.join(PERSON)} FROM XS_JBXX WHERE GRBSM = ?", [number]).fetchone(),
            strict=True)
    )  # fmt: skip
    person["SFZJH"] = _written(str(person["SFZJH"]), n)
    values = ", ".join(f"{name} = ?" for name in PERSON)
    target.execute(f"UPDATE XS_JBXX SET {values} WHERE GRBSM = ?", [*person.values(), replaced])
    tables = [t for (t,) in target.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        if "GRBSM" in {column[1] for column in target.execute(f"PRAGMA table_info({table})")}:
            target.execute(f"UPDATE {table} SET GRBSM = ? WHERE GRBSM = ?", [number, replaced])


def _written(number: str, n: int) -> str:
    """The number as the n-th site writes it."""
    return (number, number.lower(), number.translate(_WIDE), f" {number} ")[n % 4]
