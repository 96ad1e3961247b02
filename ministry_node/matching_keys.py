"""Keys of the blind index: K_bi, known to the ministry's matching and to nobody else (protocol 14.4).

Decides which versions are written and which one is compared. Files `keys/matching/bi-<6 digits>.key` hold the keys;
the database holds their numbers with a check value each (`node_state` row `matching.keys`), so that a key that was
lost or exchanged is noticed before a single digest is written. While a rotation is under way both are written.

A ministry where no key was ever made does no matching; one whose key is gone decides no batch until it is back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from hub.errors import KeyMaterialError
from hub.settings import Node
from hub.store.ledger import NODE_STATE
from hub.transport.durable import write_durably
from ministry_node.blind_index import KEY_BYTES, check_value

NAME: Final = "matching.keys"
FOLDER: Final = "matching"
_MAX: Final = 1024


@dataclass(frozen=True)
class MatchingKeys:
    """`current`: the version compared; `keys`: every version that is written, by number."""

    current: int
    keys: Mapping[int, bytes] = field(repr=False)

    @property
    def key(self) -> bytes:
        return self.keys[self.current]


def known_keys(connection: sa.Connection, node: Node, *, lock: bool = False) -> MatchingKeys | None:
    """The keys in use, None where matching was never set up. `lock`: no other transaction matches until this one ends.

    Raises `KeyMaterialError` E3801 when a file is not there or not the key that was used before.
    """
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == NAME)
    found = connection.execute(query.with_for_update() if lock else query).scalar_one_or_none()
    if found is None:
        return None
    state = json.loads(found)
    keys = {int(n): _read(node, int(n), check) for n, check in state["checks"].items()}
    return MatchingKeys(int(state["current"]), keys)


def make_key(node: Node, number: int, rng: Callable[[int], bytes]) -> str:
    """Writes a new key, never over an old one; its check value."""
    folder = node.keys / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / key_name(number)
    if not path.exists():  # made before a crash, and not used yet
        write_durably([rng(KEY_BYTES).hex().encode("ascii")], path, _MAX)
    return check_value(_content(node, number))


def keep(connection: sa.Connection, current: int, checks: Mapping[int, str]) -> None:
    """Writes down which keys are in use, in the caller's transaction."""
    value = json.dumps({"current": current, "checks": {str(n): c for n, c in sorted(checks.items())}})
    mine = NODE_STATE.c.name == NAME
    if connection.execute(sa.update(NODE_STATE).where(mine).values(value=value)).rowcount == 0:
        connection.execute(sa.insert(NODE_STATE), {"name": NAME, "value": value})


def forget(node: Node, number: int) -> None:
    """Removes the file of a key that nothing is compared with any more."""
    (node.keys / FOLDER / key_name(number)).unlink(missing_ok=True)


def key_name(number: int) -> str:
    """`bi-000001.key`"""
    return f"bi-{number:06d}.key"


def _read(node: Node, number: int, check: str) -> bytes:
    key = _content(node, number)
    if check_value(key) != check:
        raise _lost(number, "不是原来使用的那一把")
    return key


def _content(node: Node, number: int) -> bytes:
    try:
        key = bytes.fromhex((node.keys / FOLDER / key_name(number)).read_text("ascii").strip())
    except (OSError, ValueError):
        raise _lost(number, "不存在或无法读取") from None
    if len(key) != KEY_BYTES:
        raise _lost(number, "长度不合规定")
    return key


def _lost(number: int, why: str) -> KeyMaterialError:
    where = f"keys/{FOLDER}/{key_name(number)}"
    return KeyMaterialError(
        "E3801", f"跨省比对密钥{why}", where=where, step="从密钥备份恢复该文件；批次保持原状，未入库"
    )
