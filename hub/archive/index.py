"""The archive's index: which files stand, and a chain of digests over its entries.

Decides what an entry says and how entries are chained; files are written and read elsewhere. Entries are only ever
added: a file that is moved back into the database is followed by an entry that says so. The database's index is what
is read; a copy in the archive's folder (`index.jsonl`) says the same, so that the folder alone can be adopted by a
database that was lost.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from hub.errors import VerificationError
from hub.store.history_tables import ARCHIVE_FILE
from hub.store.ledger import NODE_STATE

# What an entry says of its file: its versions lie there; they lie in the database again.
KEPT, RESTORED = "KEPT", "RESTORED"
FIRST: Final = "sha256:" + "0" * 64
COPY: Final = "index.jsonl"
_HEAD: Final = "archive.head"


@dataclass(frozen=True)
class Entry:
    """One file of one node, entity and year: rows, bytes, digest, first and last moment at which a version ended."""

    node: str
    entity: str
    held_year: int
    file_name: str
    rows_kept: int
    file_size: int
    sha256: str
    first_to: str
    last_to: str
    state: str
    archived_at: str
    file_no: int = 0
    prev: str = FIRST
    digest: str = ""

    def computed(self) -> str:
        """Digest over everything else in the entry, the digest before it included."""
        said = {k: v for k, v in asdict(self).items() if k != "digest"}
        canonical = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


_NAMES: Final = tuple(f.name for f in fields(Entry))


def read_index(connection: sa.Connection) -> tuple[Entry, ...]:
    """All entries in their order, the chain and its head checked; `VerificationError` E3543 where it breaks."""
    query = sa.select(*(ARCHIVE_FILE.c[n] for n in _NAMES)).order_by(ARCHIVE_FILE.c.file_no)
    found = tuple(Entry(*row) for row in connection.execute(query))
    check_chain(found)
    if _head(connection, lock=False) != (len(found), found[-1].digest if found else FIRST):
        raise _broken(len(found))
    return found


def check_chain(entries: Sequence[Entry]) -> None:
    """`VerificationError` E3543 naming the first entry that is missing or altered."""
    previous = FIRST
    for number, entry in enumerate(entries, 1):
        if entry.file_no != number or entry.prev != previous or entry.computed() != entry.digest:
            raise _broken(number)
        previous = entry.digest


def standing(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries whose files hold versions now."""
    back = {e.file_name for e in entries if e.state == RESTORED}
    return tuple(e for e in entries if e.state == KEPT and e.file_name not in back)


def next_number(connection: sa.Connection) -> int:
    """Number of the next entry; the index is held until the transaction ends."""
    return _head(connection, lock=True)[0] + 1


def add(connection: sa.Connection, entry: Entry) -> Entry:
    """Chains an entry in the caller's transaction; the entry as it stands."""
    number, previous = _head(connection, lock=True)
    numbered = replace(entry, file_no=number + 1, prev=previous)
    chained = replace(numbered, digest=numbered.computed())
    connection.execute(sa.insert(ARCHIVE_FILE), asdict(chained))
    _move_head(connection, f"{chained.file_no} {chained.digest}")
    return chained


def set_all(connection: sa.Connection, entries: Sequence[Entry]) -> None:
    """Entries of a checked copy into a database that has none."""
    _head(connection, lock=True)
    connection.execute(sa.insert(ARCHIVE_FILE), [asdict(e) for e in entries])
    _move_head(connection, f"{len(entries)} {entries[-1].digest}")


def write_copy(folder: Path, entries: Sequence[Entry]) -> None:
    """The index beside the files, whole or not at all."""
    part = folder / f".{COPY}.part"
    with part.open("w", encoding="utf-8") as out:
        for entry in entries:
            out.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
        out.flush()
        os.fsync(out.fileno())
    part.replace(folder / COPY)


def read_copy(folder: Path) -> tuple[Entry, ...]:
    """The index beside the files; empty where there is none. `VerificationError` E3543 when it does not hold."""
    path = folder / COPY
    if not path.is_file():
        return ()
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found = tuple(Entry(**line) for line in lines)
    except (ValueError, TypeError):
        raise _broken(0, COPY) from None
    check_chain(found)
    return found


def check_agreement(ours: Sequence[Entry], copy: Sequence[Entry]) -> None:
    """`VerificationError` E3544 when the folder's copy knows entries that the database does not."""
    if tuple(ours[: len(copy)]) != tuple(copy):
        raise VerificationError(
            "E3544",
            f"归档目录的索引（{len(copy)} 条）与数据库的索引（{len(ours)} 条）不是同一条链",
            where=COPY,
            step="数据库由旧备份恢复或重建过：运行 hub archive restore --index 以归档目录的索引为准，再重试",
        )


def _head(connection: sa.Connection, *, lock: bool) -> tuple[int, str]:
    query = sa.select(NODE_STATE.c.value).where(NODE_STATE.c.name == _HEAD)
    found = connection.execute(query.with_for_update() if lock else query).scalar_one_or_none()
    if found is None:
        return 0, FIRST
    number, _, digest = found.partition(" ")
    return int(number), digest


def _move_head(connection: sa.Connection, value: str) -> None:
    moved = connection.execute(sa.update(NODE_STATE).where(NODE_STATE.c.name == _HEAD).values(value=value))
    if not moved.rowcount:
        connection.execute(sa.insert(NODE_STATE), {"name": _HEAD, "value": value})


def _broken(number: int, where: str = "") -> VerificationError:
    return VerificationError(
        "E3543",
        f"归档索引在第 {number} 条断裂：该条缺失或被改动" if number else "归档索引读不出来",
        where=where or "archive_file",
        step="保留现场，停止归档；从备份恢复该索引并报告审计负责人",
    )
