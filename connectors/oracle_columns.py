"""How a column of Oracle is asked for as text, and how a key or a watermark is compared with it.

Decides by the type the driver describes, not by the dictionary: a table may be a synonym or a view in another schema.
CHAR loses its padding, which is storage and no value; '' is NULL already. Text is written by the server, so that no row
passes through Python.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import oracledb

from connectors.base import DATE_FORMS

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_$#]{0,127}")
_CHAR: Final = (oracledb.DB_TYPE_CHAR, oracledb.DB_TYPE_NCHAR)
_NUMBER: Final = (oracledb.DB_TYPE_NUMBER,)
_DOUBLE: Final = (oracledb.DB_TYPE_BINARY_DOUBLE, oracledb.DB_TYPE_BINARY_FLOAT)
_ZONED: Final = (oracledb.DB_TYPE_TIMESTAMP_TZ, oracledb.DB_TYPE_TIMESTAMP_LTZ)
_TIMES: Final = (oracledb.DB_TYPE_DATE, oracledb.DB_TYPE_TIMESTAMP, *_ZONED)
_SECOND: Final = "YYYY-MM-DD HH24:MI:SS"


@dataclass(frozen=True)
class OracleColumn:
    """A column as described: its name as Oracle has it, its type, digits behind the point, length in characters."""

    name: str
    kind: Any
    scale: int | None
    length: int | None

    @property
    def quoted(self) -> str:
        return quoted(self.name)

    def text(self, form: str) -> str:
        """SQL of the value as text; `form`: the layout's, which decides how dates are written."""
        name = self.quoted
        if self.kind in _CHAR:
            return f"RTRIM({name})"
        if self.kind in _DOUBLE:
            return _number(f"CAST({name} AS NUMBER)", None)
        if self.kind in _NUMBER:
            return _number(name, self.scale)
        if self.kind in _TIMES:
            return self._time_text(form)
        return f"RAWTOHEX({name})" if self.kind is oracledb.DB_TYPE_RAW else name

    def _time_text(self, form: str) -> str:
        # China has one time zone.
        name = f"CAST({self.quoted} AT TIME ZONE '+08:00' AS TIMESTAMP)" if self.kind in _ZONED else self.quoted
        if form in DATE_FORMS:
            return f"TO_CHAR({name}, '{DATE_FORMS[form][1]}')"
        if self.kind is oracledb.DB_TYPE_DATE:
            return f"TO_CHAR({name}, '{_SECOND}')"
        return f"REPLACE(TO_CHAR({name}, '{_SECOND}.FF6'), '.000000', '')"

    def key(self, text: str) -> object:
        """Key text as the value this column is compared with; CHAR with its padding, so that its index serves."""
        if self.kind in _CHAR:
            return text.ljust(self.length or 0)
        if self.kind in (*_NUMBER, *_DOUBLE):
            return Decimal(text)
        return dt.datetime.fromisoformat(text) if self.kind in _TIMES else text

    def mark(self, since: str) -> str:
        """SQL of a checked watermark (`connectors.base.check_since`); a DATE is compared with its second."""
        if self.kind is oracledb.DB_TYPE_DATE:
            return f"TO_DATE('{since[:19]}', '{_SECOND}')"
        if self.kind in _TIMES:
            return f"TO_TIMESTAMP('{since if '.' in since else since + '.0'}', '{_SECOND}.FF')"
        return f"'{since}'"


def described(info: Any) -> OracleColumn:
    """A column out of `cursor.description`."""
    return OracleColumn(info.name, info.type_code, info.scale, info.display_size)


def quoted(name: str) -> str:
    """A name as it stands in the database; upper-case ones need no quotes."""
    return name if _PLAIN.fullmatch(name) and name == name.upper() else '"' + name.replace('"', '""') + '"'


def spellings(name: str) -> tuple[str, ...]:
    """The ways a layout's name may stand in a database: as Oracle folds it, as written, in lower case."""
    folded = (name.upper(),) if _PLAIN.fullmatch(name) else ()
    return tuple(dict.fromkeys(quoted(n) for n in (*folded, name, name.lower())))


def is_name(text: str) -> bool:
    """Whether this can be a schema's name without quotes."""
    return bool(_PLAIN.fullmatch(text))


def _number(value: str, scale: int | None) -> str:
    shown = f"TO_CHAR({value}, 'TM9')"
    # Oracle writes one half as .5; integers cannot need that.
    return shown if scale == 0 else f"REGEXP_REPLACE({shown}, '^(-?)\\.', '\\10.')"
