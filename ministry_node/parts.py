"""The bytes of one batch on their way from `ready/` into the evidence.

Decides that a batch's envelope and parts are evidence, durable, before anything is committed about it (protocol 2.5),
and that a batch looked at twice in one run is copied once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hub.batch.admission import authenticate
from hub.batch.layout import StreamId, manifest_name
from hub.batch.manifest import Manifest
from hub.errors import HubError, RefusedError
from ministry_node import evidence, pickup, receipts
from ministry_node.apply import Case
from ministry_node.desk import Desk


@dataclass
class Parts:
    """`ready`: names in `ready/` when we looked, empty for a parked batch; `copies`: envelope copied, not yet kept;
    `paths`: where the genuine parts lie, in the manifest's order, once `store` has found all of them."""

    ready: frozenset[str] = frozenset()
    copies: dict[str, Path] = field(default_factory=dict)
    paths: tuple[Path, ...] | None = None

    def missing(self, manifest: Manifest) -> tuple[str, ...]:
        """Listed files that are neither kept nor in `ready/`."""
        return () if self.paths is not None else pickup.missing(manifest, self.ready)

    def store(self, desk: Desk, party: str, manifest: Manifest, *, genuine: bool = True) -> RefusedError | None:
        """Copies what is there and moves it into the evidence; the first fault of protocol 6.2's sizes and digests.

        `genuine=False`: the batch itself is not one we may take, all goes to `other/`.
        """
        if self.paths is not None:
            return None
        folder = evidence.batch_folder(desk.node, manifest.stream_id, manifest.seq)
        for name, copy in self.copies.items():
            evidence.keep(copy, folder, name, genuine=genuine)
        self.copies = {}
        gathered = pickup.gather(desk, party, manifest)
        kept: Mapping[str, Path] = {
            part.entry.name: evidence.keep(part.path, folder, part.entry.name, genuine=genuine and part.genuine)
            for part in gathered.parts
        }
        if gathered.fault is None:
            self.paths = tuple(kept[entry.name] for entry in manifest.files)
        return gathered.fault


def reopen(desk: Desk, stream_id: StreamId, earlier: tuple[receipts.Issued, ...]) -> tuple[Case, Parts]:
    """A batch we keep and have answered, from the evidence, verified again as of when it arrived.

    The case stands at NEW. RefusedError when its signature counts no more (key revoked since before it came),
    HubError E3412 when the evidence is not what we signed for.
    """
    last = earlier[-1].receipt
    folder = evidence.batch_folder(desk.node, stream_id, evidence.seq_of(last.batch_id))
    name = manifest_name(last.batch_id)
    try:
        envelope = (folder / name).read_bytes()
    except OSError:
        raise _lost(name) from None
    first_seen = earlier[0].receipt.received_at
    trust = desk.keyring.trust
    verified = authenticate(envelope, name, uploader=stream_id.party, trust=trust, at=first_seen)
    if verified.digest != last.manifest_digest:
        raise _lost(name)
    paths = tuple(folder / entry.name for entry in verified.manifest.files)
    for path in paths:
        if not path.is_file():
            raise _lost(path.name)
    return Case(verified, envelope, first_seen, earlier), Parts(paths=paths)


def _lost(name: str) -> HubError:
    return HubError(
        "E3412", "存档中的文件缺失或与回执不符", where=name, step="停止该数据流并从备份恢复存档；不得手工补文件"
    )
