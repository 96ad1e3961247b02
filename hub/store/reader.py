"""Reading golden records: streamed, ordered, digested. A function that only looks takes a `Reader`.

Digest of a table (`Reader.digest`): SHA-256 over one line per row of the node, ordered by record number bytewise, in
the format of `hub.store.lane`: `"pk","row_ver","src_rid","prov",` then the payload in the entity's order, each value
quoted, inner quotes doubled, NULL as nothing, numbers in plain decimal notation at their column's scale, LF after
every row. Equal content gives an equal digest on every backend; `psql \\copy … FORCE_QUOTE *` gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, Final, Literal

import pyarrow as pa
import sqlalchemy as sa

from hub.catalog import Entity
from hub.changes import PK_LENGTH, payload_schema
from hub.store.dialect import Dialect
from hub.store.faults import translated
from hub.store.history_tables import ENDED, HELD_FROM, HELD_TO
from hub.store.lane import BLOCK_ROWS, from_csv
from hub.store.stage import WANTED, wanted_table
from hub.store.tables import HEAD, Tables, plain_columns

_HELD: Final = (HELD_FROM, HELD_TO, ENDED)


@dataclass(frozen=True)
class TableDigest:
    """Rows of one node's table and the SHA-256 (hex) of their lines."""

    rows: int
    sha256: str


def row_schema(entity: Entity, columns: Sequence[str] | None = None) -> Any:
    """Arrow schema of `Reader.read`: node, pk, row_ver, src_rid, prov, payload; or the named ones in that order."""
    head = [(name, pa.int64() if name == "row_ver" else pa.string()) for name in HEAD]
    full = pa.schema([*head, *((f.name, f.type) for f in payload_schema(entity))])
    return full if columns is None else pa.schema([full.field(c) for c in columns])


def version_schema(entity: Entity) -> Any:
    """Arrow schema of versions: `row_schema`, then since when and until when they were held and why they ended."""
    return pa.schema([*((f.name, f.type) for f in row_schema(entity)), *((n, pa.string()) for n in _HELD)])


def node_literal(node: str) -> str:
    """The node code, refused as our own mistake unless it can stand in SQL: two letters or digits."""
    if len(node) != 2 or not (node.isascii() and node.isalnum()):
        raise RuntimeError("a node is two letters or digits")
    return node


def _exact(value: Any, kind: Any) -> Any:
    """Wide decimals lie in SQLite as text."""
    return Decimal(value) if pa.types.is_decimal(kind) and isinstance(value, str) else value


class Reader:
    """Reads over one connection, thus one snapshot on SQLite and PostgreSQL."""

    def __init__(self, connection: sa.Connection, dialect: Dialect, tables: Tables, where: str) -> None:
        self.connection = connection
        self._dialect = dialect
        self._tables = tables
        self._where = where

    def golden(self, entity: str) -> sa.Table:
        """The golden table of an entity, for statements that join it."""
        return self._tables.golden[entity]

    def ended(self, entity: str) -> sa.Table:
        """The table of an entity's versions that ended and are not archived yet."""
        return self._tables.history[entity]

    def nodes(self, *tables: sa.Table) -> tuple[str, ...]:
        """Nodes that have rows in one of these tables whose key or index begins with the node, ascending.

        From one to the next by that index: a question about a record whose province nobody said, put to each of them,
        reads an index where it would read all provinces' rows.
        """
        found: set[str] = set()
        with translated(self._where):
            for table in tables:
                last: Any = "0"
                while last is not None:
                    following = sa.select(sa.func.min(table.c.node)).where(table.c.node > last)
                    last = self.connection.execute(following).scalar_one()
                    found |= {str(last)} if last is not None else set()
        return tuple(sorted(found))

    def read(
        self,
        entity: Entity,
        *,
        node: str | None = None,
        columns: Sequence[str] | None = None,
        order: Literal["pk", "natural"] = "pk",
        pks: Iterable[str] | None = None,
        block_rows: int = BLOCK_ROWS,
        shadow: bool = False,
    ) -> Iterator[Any]:
        """Record batches of at most `block_rows` rows, schema `row_schema(entity, columns)`.

        `shadow`: the rows of an unfinished snapshot instead of the golden ones (protocol 9.2).

        `node`: one node's rows, all nodes' otherwise (then node sorts before pk, and after the natural key). `natural`
        order: by the key fields, bytewise, NULL first. `pks`: only these record numbers, each at most once.
        """
        schema = row_schema(entity, columns)
        table = (self._tables.shadow if shadow else self._tables.golden)[entity.name]
        chosen = [table.c[n.lower()] for n in schema.names]
        keys = [k.lower() for k in entity.key] if order == "natural" else []
        tail = self._tail(table, node, [*keys, "node", "pk"], wanted=pks is not None)
        with translated(self._where):
            if pks is not None:
                self._want(pks)
            for block in self._dialect.csv(self.connection, chosen, tail, block_rows):
                yield from_csv(block, schema)
            if pks is not None:
                self._dialect.discard(self.connection, wanted_table())

    def versions(
        self, entity: Entity, which: str, *, golden: bool = False, order: Sequence[str] = ("pk",)
    ) -> Iterator[Any]:
        """Record batches of `version_schema`: versions that ended, or the golden ones, that a condition over `t` names.

        `which` is ours: whatever of it came from outside was checked to be letters and digits.
        """
        table = (self._tables.golden if golden else self._tables.history)[entity.name]
        schema = version_schema(entity)
        have = pa.schema([f for f in schema if f.name.lower() in table.c])
        terms = ",".join(self._dialect.ascending(f"t.{name}") for name in order)
        tail = f"FROM {table.name} t WHERE {which} ORDER BY {terms}"
        with translated(self._where):
            for block in self._dialect.csv(self.connection, [table.c[n.lower()] for n in have.names], tail, BLOCK_ROWS):
                rows = from_csv(block, have)
                if golden:
                    none = pa.nulls(rows.num_rows, pa.string())
                    rows = pa.record_batch([*rows.columns, none, none], schema=schema)
                yield rows

    def buried(self, entity: Entity, node: str, *, block_rows: int = BLOCK_ROWS) -> Iterator[Any]:
        """Record batches (pk, row_ver) of an entity's tombstones, ordered by record number."""
        table = self._tables["tombstone"]
        schema = pa.schema([("pk", pa.string()), ("row_ver", pa.int64())])
        tail = f"FROM tombstone t WHERE t.node = '{node_literal(node)}' AND t.entity = '{entity.name}' ORDER BY t.pk"
        with translated(self._where):
            for block in self._dialect.csv(self.connection, [table.c.pk, table.c.row_ver], tail, block_rows):
                yield from_csv(block, schema)

    def read_one(self, entity: Entity, node: str, pk: str) -> dict[str, Any] | None:
        """One record: node, pk, row_ver, src_rid, prov and payload by canonical name; None if it is not stored."""
        table = self._tables.golden[entity.name]
        schema = row_schema(entity)
        with translated(self._where):
            query = sa.select(*(table.c[n.lower()] for n in schema.names)).where(table.c.node == node, table.c.pk == pk)
            row = self.connection.execute(query).first()
        return {f.name: _exact(value, f.type) for f, value in zip(schema, row, strict=True)} if row else None

    def count(self, entity: Entity, node: str | None = None) -> int:
        """Stored rows of one node, or of all."""
        table = self._tables.golden[entity.name]
        query = sa.select(sa.func.count()).select_from(table)
        with translated(self._where):
            return int(
                self.connection.execute(query if node is None else query.where(table.c.node == node)).scalar_one()
            )

    def digest(self, entity: Entity, node: str) -> TableDigest:
        """Digest of one node's table (format: module docstring)."""
        table = self._tables.golden[entity.name]
        columns = plain_columns(table)
        sha, rows = hashlib.sha256(), self.count(entity, node)
        with translated(self._where):
            for block in self._dialect.csv(
                self.connection, columns, self._tail(table, node, ["node", "pk"]), BLOCK_ROWS
            ):
                sha.update(block)
        return TableDigest(rows, sha.hexdigest())

    def _tail(self, table: sa.Table, node: str | None, order: Sequence[str], *, wanted: bool = False) -> str:
        join = f" JOIN {WANTED} w ON w.pk = t.pk" if wanted else ""
        where = "" if node is None else f" WHERE t.node = '{node_literal(node)}'"
        terms = ",".join(self._dialect.ascending(f"t.{name}") for name in order)
        return f"FROM {table.name} t{join}{where} ORDER BY {terms}"

    def _want(self, pks: Iterable[str]) -> None:
        wanted = wanted_table()
        self._dialect.scratch(self.connection, wanted)
        rest = iter(dict.fromkeys(pks))
        while some := list(islice(rest, BLOCK_ROWS)):
            if any(len(pk) != PK_LENGTH for pk in some):
                raise RuntimeError("a record number has 20 characters")
            self._dialect.insert(self.connection, wanted, pa.record_batch([pa.array(some)], names=["pk"]))
        self._dialect.analyse(self.connection, WANTED)
