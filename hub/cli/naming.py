"""Which record a command means: by record number, or by a natural key from standard input.

A natural key never is an argument, because arguments end in shell histories and process lists.
"""

from __future__ import annotations

import sqlalchemy as sa

from hub.catalog import Entity
from hub.cli.records import scope
from hub.errors import UsageError
from hub.masking import KEY_JOIN
from hub.recordnumber import record_number
from hub.settings import Node
from hub.store import Reader, Store


def checked_number(pk: str) -> str:
    """A record number; anything else may be an identifier and is not repeated."""
    if len(pk) != 20 or any(c not in "0123456789abcdef" for c in pk):
        raise UsageError("E1032", "记录号应为 20 位小写十六进制", step="自然键请用 --key 从标准输入给出")
    return pk


def by_key(store: Store, reader: Reader, node: Node, entity: Entity, given: str) -> str:
    """Record number of a natural key: by the node's secret, else by looking for it (a key may have changed)."""
    parts = given.split(KEY_JOIN)
    if len(parts) != len(entity.key) or not all(parts):
        raise UsageError("E1033", "标准输入中的自然键段数不对", step=f"按 {'|'.join(entity.key)} 给出一行")
    if node.settings.role == "province":
        pk = record_number(node.secret(), entity.name, parts)
        if reader.read_one(entity, node.party, pk) is not None:
            return pk
    stored = store.tables.golden[entity.name]
    query = sa.select(stored.c.pk).where(*(stored.c[k.lower()] == p for k, p in zip(entity.key, parts, strict=True)))
    found = reader.connection.execute(query).scalars().first()
    if found is None:
        raise unknown_record()
    return str(found)


def owner_of(store: Store, reader: Reader, node: Node, entity: Entity, pk: str, province: str | None) -> str:
    """Province of a record; UsageError E1027 when it is nowhere."""
    one = scope(node, province)
    if one is not None:
        return one
    for stored in (store.tables.golden[entity.name], store.tables["tombstone"]):
        named = sa.select(stored.c.node).where(stored.c.node.in_(reader.nodes(stored)), stored.c.pk == pk)
        if "entity" in stored.c:
            named = named.where(stored.c.entity == entity.name)
        found = reader.connection.execute(named).scalars().first()
        if found is not None:
            return str(found)
    raise unknown_record()


def unknown_record() -> UsageError:
    return UsageError("E1027", "本节点没有这条记录", step="核对实体与记录号；被隔离的数据见 hub quarantine export")
