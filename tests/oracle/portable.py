"""What a table must keep to be made on Oracle 11g and newer as it stands: names, types, keys, indexes.

Decides by looking at SQLAlchemy metadata alone, so that whoever adds a table learns of it without a server. Rules are
those of Oracle 11.2, the oldest supported release: names of at most 30 bytes, VARCHAR2 of at most 4000 bytes, no
BOOLEAN, no identity, LOBs neither in keys nor in indexes, '' is NULL.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

NAME_BYTES = 30
# UTF-8 of the supplementary planes takes 4 bytes; rare characters of names lie there.
CHARACTER_BYTES = 3
VARCHAR_BYTES = 4000
INDEX_KEY_BYTES = 6398  # block of 8 KiB
NAME = re.compile(r"[a-z][a-z0-9_]*")
TYPES = (sa.String, sa.Text, sa.BigInteger, sa.Numeric, sa.LargeBinary)
# "Oracle Database SQL Language Reference": words that cannot be a name without quotes.
_WORDS = (
    "access add all alter and any as asc audit between by char check cluster column column_value comment compress "
    "connect create current date decimal default delete desc distinct drop else exclusive exists file float for "
    "from grant group having identified immediate in increment index initial insert integer intersect into is level "
    "like lock long maxextents minus mlslabel mode modify nested_table_id noaudit nocompress not nowait null number "
    "of offline on online option or order pctfree prior public raw rename resource revoke row rowid rownum rows "
    "select session set share size smallint start successful synonym sysdate table then to trigger uid union unique "
    "update user validate values varchar varchar2 view whenever where with "
)
RESERVED = frozenset(_WORDS.split())


def faults(metadata: sa.MetaData) -> list[str]:
    """Every breach, as `place: rule`; empty when all tables can be made."""
    found = [fault for table in metadata.tables.values() for fault in _table(table)]
    names = Counter(str(c.name) for t in metadata.tables.values() for c in _constraints(t))
    names.update(str(i.name) for t in metadata.tables.values() for i in t.indexes)
    return found + [f"{name}: a name may stand once per schema" for name, times in names.items() if times > 1]


def _table(table: sa.Table) -> Iterator[str]:
    yield from _name(table.name, table.name)
    for column in table.columns:
        yield from _name(f"{table.name}.{column.name}", column.name)
        yield from _column(f"{table.name}.{column.name}", column)
    keys = [tuple(c.name for c in table.primary_key.columns)]
    for constraint in _constraints(table):
        yield from _name(f"{table.name}.{constraint.name}", str(constraint.name))
        if isinstance(constraint, sa.UniqueConstraint):
            keys.append(tuple(c.name for c in constraint.columns))
            yield from _key(f"{table.name}.{constraint.name}", list(constraint.columns))
    yield from _key(f"{table.name} key", list(table.primary_key.columns))
    for index in table.indexes:
        place = f"{table.name}.{index.name}"
        yield from _name(place, str(index.name))
        yield from _key(place, list(index.columns))
        if len(index.columns) != len(index.expressions):
            yield f"{place}: an index has columns, no expressions"
        if any(options.get("where") is not None for options in index.dialect_options.values()):
            yield f"{place}: Oracle has no partial index"
        if (columns := tuple(c.name for c in index.columns)) in keys:
            yield f"{place}: these columns are indexed already (ORA-01408)"
        keys.append(columns)


def _constraints(table: sa.Table) -> list[sa.Constraint]:
    return [c for c in table.constraints if not isinstance(c, sa.PrimaryKeyConstraint) or c.columns]


def _name(place: str, name: str) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield f"{place}: names are lower case ASCII and start with a letter"
    if len(name.encode()) > NAME_BYTES:
        yield f"{place}: {len(name.encode())} bytes, 11g takes {NAME_BYTES}"
    if name in RESERVED:
        yield f"{place}: a reserved word"


def _column(place: str, column: sa.Column[Any]) -> Iterator[str]:
    kind = column.type
    if not isinstance(kind, TYPES) or isinstance(kind, sa.Float | sa.Enum):
        yield f"{place}: type {type(kind).__name__}; allowed are text, char, long_text, BigInteger, Numeric, binary"
    if isinstance(kind, sa.Numeric) and (kind.precision is None or kind.precision > 38):
        yield f"{place}: NUMBER has 1 to 38 digits, said beforehand"
    if isinstance(kind, sa.String) and not isinstance(kind, sa.Text):
        limit = 2000 if isinstance(kind, sa.CHAR) else VARCHAR_BYTES
        if kind.length is None or kind.length * CHARACTER_BYTES > limit:
            yield f"{place}: a text has a length of at most {limit // CHARACTER_BYTES} characters; longer is long_text"
    if column.identity is not None or column.computed is not None or isinstance(column.default, sa.Sequence):
        yield f"{place}: keys are given by the application"
    if column.primary_key and column.autoincrement is True:
        yield f"{place}: keys are given by the application"
    if column.server_default is not None:
        yield f"{place}: no server default; the application says every value"
    if not column.nullable and not column.primary_key and isinstance(kind, sa.String):
        yield f"{place}: '' is NULL on Oracle, so a text that may be empty cannot be NOT NULL"


def _key(place: str, columns: list[sa.Column[Any]]) -> Iterator[str]:
    if any(isinstance(c.type, sa.Text | sa.LargeBinary) for c in columns):
        yield f"{place}: a LOB cannot be in a key or an index"
        return
    size = sum(_width(c.type) for c in columns)
    if size > INDEX_KEY_BYTES:
        yield f"{place}: {size} bytes, a key takes {INDEX_KEY_BYTES}"


def _width(kind: object) -> int:
    return (kind.length or 0) * 4 if isinstance(kind, sa.String) else 22
