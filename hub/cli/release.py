"""The release of private data: nothing is shown in plain without a purpose and an audit record (protocol 14.3).

Decides that the audit record is committed before the first plain row is written: no audit row, no plaintext.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.audit import Event, append
from hub.errors import UsageError

if TYPE_CHECKING:
    from hub.cli.shell import Shell
    from hub.settings import Node
    from hub.store import Store

MIN_PURPOSE = 2


@dataclass(frozen=True)
class Release:
    """How private values are shown: masked, or plain for a stated purpose."""

    plain: bool = False
    purpose: str = ""

    def record(self, store: Store, event: Event, shell: Shell, node: Node, *, target: str, rows: int) -> None:
        """Commits one audit record. Raises when it cannot be written; nothing may be shown then."""
        with store.begin() as transaction:
            append(
                transaction.connection,
                event,
                ts=shell.now(),
                node=node.party,
                actor=shell.actor(),
                object=target,
                purpose=self.purpose,
                detail={"rows": rows},
            )


def release_of(plain: bool, purpose: str | None) -> Release:
    """The release asked for; UsageError E1026 for plaintext without a purpose."""
    words = (purpose or "").strip()
    if plain and len(words) < MIN_PURPOSE:
        raise UsageError("E1026", "明文须写明用途", where="--purpose", step='加上 --purpose "用途说明"，它会记入审计')
    return Release(plain, words)
