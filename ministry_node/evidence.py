"""Evidence: the bytes the ministry keeps of every batch (protocol 2.1, 2.5, 13.8).

Decides where they lie below `node.store` and that what is kept never changes:

    <pp>/e<epoch>/<seq>/<name>                     envelope, ciphertext and receipts of the batch, under their own names
    <pp>/e<epoch>/<seq>/other/<sha256…>-<name>     signed but another content (fork), or parts that did not match
    <pp>/unverified/<sha256…>-<name>               what nobody we trust has signed, and what was never announced

A name is never written twice with other bytes; the same bytes again change nothing, other bytes go beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Final

from hub.batch.layout import StreamId, parse_batch_id
from hub.settings import Node
from hub.transport.durable import local_disk, sync_folder, write_durably

_DIGITS: Final = 16
_BLOCK: Final = 1 << 20
_NOTE_BYTES: Final = 4096


def batch_folder(node: Node, stream_id: StreamId, seq: int) -> Path:
    """Folder of one batch: `store/13/e0001/0000000042`. Nothing is created."""
    return node.store / stream_id.party / f"e{stream_id.epoch:04d}" / f"{seq:010d}"


def seq_of(batch: str) -> int:
    """Sequence number in a batch id."""
    return parse_batch_id(batch)[1]


def keep(copy: Path, folder: Path, name: str, *, genuine: bool = True) -> Path:
    """Moves our durable copy into a batch's folder; returns where it lies.

    `genuine`: it is what the manifest under judgement says; otherwise it goes to `other/` under its digest.
    """
    return _move(copy, folder / name) if genuine else _move(copy, folder / "other" / _marked(copy, name))


def keep_unverified(node: Node, party: str, copy: Path, name: str) -> Path:
    """Moves the copy of an unauthenticated or unannounced file to the party's `unverified/`."""
    return _move(copy, node.store / party / "unverified" / _marked(copy, name))


def note_unreadable(node: Node, party: str, name: str, kind: str) -> bool:
    """Notes a thing in `ready/` whose bytes are not to be read (link, FIFO, folder); False when it was noted before."""
    body = json.dumps({"name": name, "kind": kind}, ensure_ascii=False).encode()
    target = node.store / party / "unverified" / f"{hashlib.sha256(body).hexdigest()[:_DIGITS]}-{name}.json"
    with local_disk(name):
        if target.exists():
            return False
        _make(target.parent)
    write_durably([body], target, _NOTE_BYTES)
    return True


def keep_receipt(folder: Path, name: str, envelope: bytes) -> None:
    """The receipt's bytes beside the batch it is about."""
    with local_disk(name):
        _make(folder)
        if (folder / name).exists():
            return
    write_durably([envelope], folder / name, len(envelope))


def _move(copy: Path, target: Path) -> Path:
    with local_disk(target.name):
        _make(target.parent)
        if not target.exists():
            os.replace(copy, target)
            sync_folder(target.parent)
            return target
        same = _digest(target) == _digest(copy)
    if same:
        copy.unlink()
        return target
    # Signed again (signatures are randomised, protocol 3.5), or the archive has rotted: both stay, neither replaces.
    return _move(copy, target.parent / "other" / _marked(copy, target.name))


def _make(folder: Path) -> None:
    """Folder and its parents, durable: a file in a folder that a power cut takes back is no evidence."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def _marked(copy: Path, name: str) -> str:
    with local_disk(name):
        return f"{_digest(copy)[:_DIGITS]}-{name}"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
