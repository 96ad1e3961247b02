"""对方资料: once both sides have opened a case, each is told who the other side says it is (protocol 14.5).

Decides when, and what: name, sex, birth date and school of the other provinces' standing records, once per round, after
every province with a record has opened the case; never a document or a 学籍号. The message is encrypted for its
province alone, and what was disclosed is in the audit log without its values.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.case_form import PERSON, CaseState, Kind, Message
from hub.catalog import load_catalog
from hub.store import Transaction
from hub.store.case_tables import CASE_EVENT, CASE_PARTY, CROSS_CASE
from ministry_node.case_messages import message, reachable, seal_messages
from ministry_node.case_store import Stored, change, load, lock_cases
from ministry_node.down import Sender, ship

WORD: Final = "互通资料"
_STUDENT: Final = "xs"


def tell_particulars(sender: Sender) -> tuple[str, ...]:
    """Tells both sides of every case they have opened since; the sealed batches. Repeatable, run after every intake."""
    p, e, c = CASE_PARTY.c, CASE_EVENT.c, CROSS_CASE.c
    unopened = sa.exists().where(p.case_no == c.case_no, p.standing == "1", p.opened_at.is_(None))
    told = sa.exists().where(e.case_no == c.case_no, e.round_no == c.round_no, e.action == WORD)
    open_ = c.state.in_([CaseState.ISSUED, CaseState.ANSWERED])
    messages: dict[str, list[Message]] = {}
    with sender.store.begin() as tx:
        lock_cases(tx.connection)
        for case in load(tx.connection, None, open_, ~unopened, ~told):
            if len(case.nodes()) > 1 and all(reachable(tx.connection, sender, n) for n in case.nodes()):
                _disclose(tx, sender, case, messages)
        sealed = seal_messages(tx, sender, messages)
    if sealed:
        ship(sender)
    return tuple(b.batch_id for b in sealed)


def _disclose(tx: Transaction, sender: Sender, case: Stored, messages: dict[str, list[Message]]) -> None:
    version = change(tx.connection, sender, case, WORD, person="hub")
    for node in case.nodes():
        others = [r for r in case.records if r.node != node and r.standing]
        persons = [person for r in others if (person := _person(tx, r.node, r.pk))]
        said = message(case, version, Kind.PARTICULARS, node, persons=persons)
        if said is not None:
            messages.setdefault(node, []).append(said)
    append(tx.connection, Event.CASE_DISCLOSED, ts=sender.at, node=sender.node.party, actor="hub",
           object=f"case {case.case_no}", purpose="两省均已受理",
           detail={"provinces": ",".join(case.nodes()), "columns": ",".join(PERSON)})  # fmt: skip


def _person(tx: Transaction, node: str, pk: str) -> dict[str, str]:
    row = tx.read_one(load_catalog().entities[_STUDENT], node, pk)
    return {name: str(row[name]) for name in PERSON if row[name] is not None} if row else {}
