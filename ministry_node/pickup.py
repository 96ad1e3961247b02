"""Picking up what a province has uploaded, into copies of our own (protocol 2.5).

Decides which things in `ready/` are batches, which are not there yet, and which were never announced; leaves to
`hub.transport.server` what may be opened at all. Nothing is decided about a batch's content here.

Rules: copies only, hashed as they are copied; `ready/` is cleaned by name, and only after the decision is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from hub.batch import wire
from hub.batch.layout import NameKind, ParsedName, batch_id, manifest_name, parse_name
from hub.batch.manifest import FileEntry, Manifest
from hub.errors import HubError, InputError, RefusedError
from hub.transport import Copied, NotThereError
from hub.transport.durable import write_durably
from hub.verdict import refused
from ministry_node.desk import Desk

PATIENCE: Final = timedelta(minutes=15)
ABANDONED: Final = timedelta(hours=24)
# Ciphertext is plaintext plus recipients and framing (protocol 5.2).
_FRAMING: Final = 65 * 1024
_IRREGULAR: Final = "E2407"
_TOO_LARGE: Final = "E2406"


@dataclass(frozen=True)
class Ready:
    """What lies in a province's `ready/`: manifests in stream order, all regular names, what is not regular."""

    manifests: tuple[str, ...]
    names: frozenset[str]
    strays: tuple[str, ...]
    irregular: tuple[str, ...]
    illegal: int


def look(desk: Desk, party: str) -> Ready:
    """The listing, sorted out by names alone. A part without a manifest is an upload under way for a day
    (`abandoned`), not a stray."""
    entries = desk.server.list_ready(party)
    parsed = [(entry, _parsed(entry.name)) for entry in entries]
    manifests = sorted(
        (found.stream_id, found.seq, entry.name)
        for entry, found in parsed
        if entry.regular and found is not None and found.kind is NameKind.MANIFEST
    )
    expected = (NameKind.MANIFEST, NameKind.PART)
    return Ready(
        manifests=tuple(name for _, _, name in manifests),
        names=frozenset(entry.name for entry in entries if entry.regular),
        strays=tuple(e.name for e, found in parsed if e.regular and (found is None or found.kind not in expected)),
        irregular=tuple(e.name for e, _ in parsed if not e.regular),
        illegal=desk.server.count_illegal(party),
    )


def take(desk: Desk, party: str, name: str, limit: int) -> tuple[Path, Copied]:
    """Our durable copy of one file, with its size and digest. Raises as `ServerTransport.take`."""
    folder = desk.copies / party
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / name, desk.server.take(party, name, folder / name, limit, owner=_owner(desk, party))


@dataclass(frozen=True)
class Part:
    """A part as copied. `genuine`: size and digest are those of the manifest."""

    entry: FileEntry
    path: Path
    genuine: bool


@dataclass(frozen=True)
class Gathered:
    """All parts that were there, and the first fault: E_FILE_MISSING, E_FILE_SIZE or E_FILE_DIGEST."""

    parts: tuple[Part, ...]
    fault: RefusedError | None = None


def missing(manifest: Manifest, names: Iterable[str]) -> tuple[str, ...]:
    """Listed files that are not in `ready/`."""
    there = set(names)
    return tuple(entry.name for entry in manifest.files if entry.name not in there)


def gather(desk: Desk, party: str, manifest: Manifest) -> Gathered:
    """Copies every listed part; the digest computed while copying decides (protocol 2.4, 2.5)."""
    parts: list[Part] = []
    fault: RefusedError | None = None
    for entry in manifest.files:
        part, trouble = _one(desk, party, entry)
        fault = fault or trouble
        if part is not None:
            parts.append(part)
    return Gathered(tuple(parts), fault)


def _one(desk: Desk, party: str, entry: FileEntry) -> tuple[Part | None, RefusedError | None]:
    limit = desk.keyring.trust.limits.file_bytes + _FRAMING
    try:
        path, copied = take(desk, party, entry.name, limit)
    except NotThereError:
        return None, refused("E_FILE_MISSING", where=entry.name)
    except InputError as failure:
        if failure.code != _TOO_LARGE:
            raise
        return None, refused(
            "E_FILE_SIZE", f"清单 {entry.digest.cms_size} 字节，文件超过 {limit} 字节", where=entry.name
        )
    except RefusedError as failure:
        if failure.code != _IRREGULAR:
            raise
        return None, refused("E_FILE_MISSING", "同名的东西不是普通文件", where=entry.name)
    if copied.size != entry.digest.cms_size:
        # Read to its end all the same, so the digest is what is told (protocol 15 #21, #39); the sizes say how.
        detail = f"清单 {entry.digest.cms_size} 字节，收到 {copied.size} 字节"
        return Part(entry, path, genuine=False), refused("E_FILE_DIGEST", detail, where=entry.name)
    if copied.sha256 != entry.digest.cms_sha256:
        return Part(entry, path, genuine=False), refused("E_FILE_DIGEST", where=entry.name)
    return Part(entry, path, genuine=True), None


def waits(desk: Desk, batch: str) -> bool:
    """True while a batch's files may still come: 15 minutes from when its manifest was first seen without them."""
    return _seen_for(desk, batch) < PATIENCE


def abandoned(desk: Desk, party: str, ready: Ready) -> list[str]:
    """Parts whose manifest has not come for a day: given up, or cut off on our disk, where no upload can mend them."""
    lonely: dict[str, list[str]] = {}
    for name in sorted(ready.names):
        found = _parsed(name)
        if found is None or found.kind is not NameKind.PART or found.stream_id is None or found.seq is None:
            continue
        batch = batch_id(found.stream_id, found.seq)
        if manifest_name(batch) not in ready.names:
            lonely.setdefault(f"p{party}-{batch}", []).append(name)
    for note in desk.waiting.glob(f"p{party}-*"):
        if note.name not in lonely:
            note.unlink(missing_ok=True)
    return [name for note, names in lonely.items() if _seen_for(desk, note) >= ABANDONED for name in names]


def _seen_for(desk: Desk, what: str) -> timedelta:
    """How long ago it was first asked for; 0 the first time, which is noted."""
    note = desk.waiting / what
    desk.waiting.mkdir(mode=0o700, exist_ok=True)
    if not note.is_file():
        write_durably([wire.write_utc(desk.at).encode()], note, 64)
    first: datetime = wire.read_utc(note.read_text(), where=what)
    return desk.at - first


def waits_no_more(desk: Desk, batch: str) -> None:
    """The batch was decided; the note about its files goes."""
    (desk.waiting / batch).unlink(missing_ok=True)


def clear(desk: Desk, party: str, names: Iterable[str]) -> None:
    """Unlinks from `ready/`. Call after the copies are durable and the decision is committed.

    A manifest that was overwritten meanwhile stays: another batch under the same number is a fork, and the next look
    tells it. A part that was overwritten goes, since the copy decides (protocol 15 #37).
    """
    for name in names:
        desk.server.remove_ready(party, name, as_taken=name.endswith(".dsse"))


def parts_of(batch: str, names: Iterable[str]) -> Iterator[str]:
    """Names in `ready/` of parts that claim to belong to a batch, listed in its manifest or not."""
    return (name for name in sorted(names) if name.startswith(f"{batch}.f"))


def is_irregular(error: HubError) -> bool:
    """The thing in `ready/` is a link, FIFO, folder or somebody else's file."""
    return error.code == _IRREGULAR


def _parsed(name: str) -> ParsedName | None:
    try:
        return parse_name(name)
    except RefusedError:
        return None


def _owner(desk: Desk, party: str) -> int | None:
    """Who may own files there: whoever owns the folder (protocol 2.1: the province's account)."""
    try:
        return (desk.server.root / f"p{party}" / "in" / "ready").stat().st_uid
    except OSError:
        return None
