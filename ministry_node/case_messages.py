"""Messages about cases, sealed down stream `case` in the transaction that changes the case (protocol 14.5).

Decides what a province is told: its own record number, the case, the other provinces and their schools, the reason and
the day of answer; of the person nothing. A province whose stream cannot take a batch (no grant, frozen) is known
beforehand, so that one province holds up no other's cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from hub.case_form import TABLE, Kind, Message
from hub.down import flow
from hub.down.form import CASE, plain_table
from hub.store import Transaction
from ministry_node import down
from ministry_node.case_store import Record, Stored
from ministry_node.down import DownBatch, Sender

_SUBJECT: Final = "case"


def reachable(connection: sa.Connection, sender: Sender, node: str) -> bool:
    """The province's stream `case` was granted and is not frozen."""
    here = flow.standing(connection, sender.keyring, CASE, node)
    return here is not None and here.stream.frozen is None


def message(case: Stored, number: int, kind: Kind, node: str, **more: Any) -> Message | None:
    """What one province is told; None when there is nobody else in the case. `number`: the case's version."""
    own = _spoken(r for r in case.records if r.node == node)
    others = _spoken(r for r in case.records if r.node != node)
    if not own or not others:
        return None
    body = {"v": 1, "round": case.round_no, "reason": case.reason, "due": case.due, **more}
    return Message(
        case.case_no, number, kind, min(r.pk for r in own), tuple(sorted({r.node for r in others})),
        tuple(sorted({r.school for r in others if r.school})), {k: v for k, v in body.items() if v is not None},
    )  # fmt: skip


def _spoken(records: Iterable[Record]) -> list[Record]:
    """The records that stand; when none does any more, all that did."""
    listed = list(records)
    return [r for r in listed if r.standing] or listed


def seal_messages(tx: Transaction, sender: Sender, told: Mapping[str, Sequence[Message]]) -> tuple[DownBatch, ...]:
    """One batch per province with everything it is told now; shipped after the commit by `down.ship`."""
    sealed = []
    for node, messages in sorted(told.items()):
        if not messages:
            continue
        rows = plain_table(CASE, TABLE, [m.row() for m in sorted(messages, key=lambda m: (m.case_no, m.number))])
        parts = down.plain_parts(sender, CASE, {TABLE: rows})
        subject = f"{_SUBJECT} {messages[0].case_no}" if len(messages) == 1 else f"{_SUBJECT} {len(messages)} messages"
        try:
            sealed.append(down.seal(tx, sender, stream=CASE, party=node, parts=parts, subject=subject))
        finally:
            for part in parts:
                part.path.unlink(missing_ok=True)
    return tuple(sealed)
