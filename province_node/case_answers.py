"""What the province tells the ministry about its cases: derived from the decisions, sealed in a batch of its own.

Decides nothing about a case: what stands in the queue is the answer (`quality.decisions_case.answer_of`). An answer is
told once; it is told again when its batch came back void or its epoch ended without a result. The rows are no changes
of the log, so the batch takes up no change-log id (protocol 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from hub.batch.outbox import BatchState
from hub.case_form import ANSWER, FORM, Answer
from hub.changes import ChangeFile, Counts, change_schema
from hub.store import Reader
from hub.store.case_tables import CASE_ANSWER, CASE_NOTICE
from hub.store.decision_tables import DECISION, DECISION_EVENT
from hub.store.ledger import OUTBOX
from province_node.apart import Piece, seal_apart
from province_node.case_intake import OPEN
from province_node.census import apart_plan, work_folder
from province_node.desk import Desk
from province_node.sealing import SealedBatch
from province_node.stream import Standing, standing
from province_node.window import window
from quality.decisions import Kind, State
from quality.decisions_case import answer_of

_NONCE: Final = b"exch.nonce"
_NOBODY: Final = ("moe", "hub")
_LOST: Final = (str(BatchState.VOID), str(BatchState.CLOSED))


@dataclass(frozen=True)
class Saying:
    """One answer that the ministry has not heard."""

    number: int
    case_no: str
    pk: str
    round_no: int
    answer: Answer
    reason: str | None


def seal_answers(desk: Desk) -> tuple[SealedBatch, ...]:
    """Seals what the ministry has not heard; () when there is nothing, or no room in the window now."""
    with desk.store.reading() as reader:
        here = standing(reader, desk.node.party, desk.keyring)
        sayings = unheard(reader)
        room = window(reader, here, desk.keyring.trust.limits.in_flight).admits(1)
    if not sayings or not room or here.position.frozen is not None:
        return ()
    with work_folder(desk, "answers") as folder:
        return _seal(desk, here, sayings, folder / "answers.parquet")


def unheard(reader: Reader) -> list[Saying]:
    """What the decisions say of every open case, where it is not what was told last."""
    d, n = DECISION.c, CASE_NOTICE.c
    people = sa.exists().where(
        DECISION_EVENT.c.decision_no == d.decision_no, DECISION_EVENT.c.round_no == d.round_no,
        DECISION_EVENT.c.person.not_in(_NOBODY),
    )  # fmt: skip
    touched = sa.case((people, 1), else_=0).label("touched")
    query = (
        sa.select(n.case_no, n.pk, n.round_no, d.state, d.kind, d.reason, touched)
        .join(DECISION, d.decision_no == n.decision_no)
        .where(n.state == OPEN)
        .order_by(n.case_no)
    )
    told, last = _told(reader), _last(reader)
    found: list[Saying] = []
    for row in reader.connection.execute(query).mappings():
        before = told.get((row["case_no"], int(row["round_no"])))
        kind = Kind(row["kind"]) if row["kind"] else None
        now = answer_of(State(row["state"]), kind, touched=bool(row["touched"]), before=before)
        if now is not None and now is not before:
            number = last + len(found) + 1
            reason = row["reason"] if now not in (Answer.OPENED, Answer.WITHDRAWN) else None
            found.append(Saying(number, row["case_no"], row["pk"], int(row["round_no"]), now, reason))
    return found


def _told(reader: Reader) -> dict[tuple[str, int], Answer]:
    """The last answer per case and round that arrived or is under way."""
    a = CASE_ANSWER.c
    lost = sa.select(OUTBOX.c.batch_id).where(OUTBOX.c.state.in_(_LOST))
    query = sa.select(a.case_no, a.round_no, a.answer).where(a.batch_id.not_in(lost)).order_by(a.answer_no)
    return {(r[0], int(r[1])): Answer(r[2]) for r in reader.connection.execute(query)}


def _last(reader: Reader) -> int:
    return int(reader.connection.execute(sa.select(sa.func.max(CASE_ANSWER.c.answer_no))).scalar_one() or 0)


def _seal(desk: Desk, here: Standing, sayings: Sequence[Saying], path: Path) -> tuple[SealedBatch, ...]:
    schema = change_schema(FORM).with_metadata({_NONCE: desk.rng(32).hex().encode("ascii")})
    pq.write_table(pa.Table.from_pylist([_row(s) for s in sayings], schema=schema), path, compression="zstd")
    file = ChangeFile(ANSWER, path, 1, len(sayings), Counts(updated=len(sayings)))

    def also(transaction: Any, batches: Any) -> None:
        batch = batches[0].manifest.batch_id
        transaction.connection.execute(
            sa.insert(CASE_ANSWER),
            [
                {
                    "answer_no": s.number, "case_no": s.case_no, "pk": s.pk, "round_no": s.round_no,
                    "answer": str(s.answer), "reason": s.reason, "batch_id": batch,
                    "created_at": desk.at.isoformat(),
                }
                for s in sayings
            ],
        )  # fmt: skip

    return seal_apart(desk, here, [Piece(apart_plan(here, 1, (file,), "delta"))], hi=here.hi, also=also)


def _row(saying: Saying) -> dict[str, Any]:
    return {
        "op": "U", "pk": saying.pk, "row_ver": saying.number, "src_rid": "", "prov": "-" * len(FORM.fields),
        "CASE_NO": saying.case_no, "ROUND": saying.round_no, "ANSWER": str(saying.answer), "REASON": saying.reason,
    }  # fmt: skip
