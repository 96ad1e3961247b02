"""Cases as the marks decide them: opened, ended and brought back by rows alone, in the transaction of those rows.

Decides that one person in study (在读, WY03) in two provinces or more is exactly one case, whoever came first and
however many records there are; that it ends by itself when fewer than two provinces still have the person in study,
with the batch as evidence; and that it comes back under its number when the registration does. A case that people
closed stays closed while the records it was closed over are the ones that stand. Set-based: reads what the batch
touched and the cases this province has a part in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from hub.audit import Event, append
from hub.batch import wire
from hub.case_form import CaseState
from hub.store import Transaction
from hub.store.case_tables import CASE_EVENT, CROSS_CASE
from hub.store.match_stage import DOUBLE, FOLLOWED, TOUCHED, match_tables
from ministry_node.desk import Desk

IN_STUDY: Final = "01"
RULE: Final = "WY03"
FOUND, BACK = "重复登记", "重复登记再现"
DELETED, CORRECTED, NO_LONGER = "记录已注销", "证件已更正", "不再在读"
# 学生当前状态 (XSDQZT) that says why somebody is not in study any more.
_LEFT: Final = {
    "03": "已退学", "07": "已毕业", "08": "已结业", "09": "已肄业", "10": "已转出", "11": "已死亡", "14": "已开除",
}  # fmt: skip
_ENROLLED: Final = (
    f"EXISTS (SELECT 1 FROM enrolment_mark e WHERE e.node = p.node AND e.link = p.link AND e.key_ver = p.key_ver "
    f"AND e.status = '{IN_STUDY}')"
)
_SAME: Final = "p.node = case_party.node AND p.pk = case_party.pk"
_STANDS: Final = (
    "EXISTS (SELECT 1 FROM cross_case c JOIN person_mark p ON p.mark = c.mark "
    f"WHERE c.case_no = case_party.case_no AND {_SAME} AND {_ENROLLED})"
)


@dataclass(frozen=True)
class Found:
    """How many cases opened, ended and came back, and how many had a further record."""

    opened: int = 0
    ended: int = 0
    back: int = 0
    joined: int = 0

    def __add__(self, other: Found) -> Found:
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        return Found(*(a + b for a, b in both))

    def __bool__(self) -> bool:
        return any(vars(self).values())


def find_cases(tx: Transaction, desk: Desk, party: str, *, evidence: str) -> Found:
    """Brings the cases to what the marks say. `touched_mark` holds the persons to look at; `evidence`: batch number."""
    staged = match_tables()
    tx.scratch(staged[DOUBLE])
    tx.scratch(staged[FOLLOWED])
    given = {"at": wire.write_utc(desk.at), "evidence": evidence, "party": party}
    _doubles(tx, party)
    opened, joined = _open(tx, given), _join(tx)
    _follow(tx, given)
    ended = _turn(tx, given, _ENDED, CaseState.CLOSED)
    back = _turn(tx, given, _RETURNED, CaseState.TO_ISSUE)
    found = Found(opened, ended, back, joined)
    if found:
        detail: dict[str, str | int] = {k: v for k, v in vars(found).items() if v}
        append(tx.connection, Event.CASES_FOLLOWED, ts=desk.at, node=desk.node.party, actor="match",
               object=evidence, detail=detail)  # fmt: skip
    for name in (DOUBLE, FOLLOWED):
        tx.discard(staged[name])
    return found


def _doubles(tx: Transaction, party: str) -> None:
    tx.connection.exec_driver_sql(
        f"INSERT INTO {DOUBLE} SELECT t.mark FROM (SELECT DISTINCT mark FROM {TOUCHED}) t "
        f"WHERE EXISTS (SELECT 1 FROM person_mark o WHERE o.mark = t.mark AND o.node <> '{party}') "
        f"AND (SELECT count(DISTINCT p.node) FROM person_mark p WHERE p.mark = t.mark AND {_ENROLLED}) > 1"
    )


def _open(tx: Transaction, given: dict[str, str]) -> int:
    """Numbers in the order of the marks, after the last: a number says nothing about the person."""
    last = int(tx.connection.execute(sa.select(sa.func.count()).select_from(CROSS_CASE)).scalar_one())
    number = f"'K' || substr(CAST(100000000 + {last} + ROW_NUMBER() OVER (ORDER BY d.mark) AS VARCHAR(12)), 2)"
    made = tx.connection.execute(
        sa.text(
            "INSERT INTO cross_case (case_no, mark, state, cause, reason, round_no, version, events, reminders, stage, "
            f"opened_at, evidence) SELECT {number}, d.mark, '{CaseState.TO_ISSUE}', '{FOUND}', '{RULE}', 1, 1, 1, 0, "
            f"0, :at, :evidence FROM {DOUBLE} d WHERE NOT EXISTS (SELECT 1 FROM cross_case c WHERE c.mark = d.mark)"
        ),
        {"at": given["at"], "evidence": given["evidence"]},
    )
    if made.rowcount:
        tx.connection.execute(
            sa.text(
                "INSERT INTO case_event (case_no, event_no, round_no, version, action, to_state, cause, person, "
                "evidence, ts) SELECT case_no, 1, 1, 1, '发现', state, cause, 'hub', evidence, :at FROM cross_case "
                f"WHERE mark IN (SELECT mark FROM {DOUBLE}) AND events = 1 AND NOT EXISTS "
                "(SELECT 1 FROM case_event x WHERE x.case_no = cross_case.case_no)"
            ),
            {"at": given["at"]},
        )
    return int(made.rowcount)


def _join(tx: Transaction) -> int:
    """Records of a person that are no party of the case yet; how many cases had parties before."""
    before = (
        f"SELECT count(DISTINCT c.case_no) FROM cross_case c JOIN {DOUBLE} d ON d.mark = c.mark "
        "JOIN person_mark p ON p.mark = c.mark WHERE EXISTS (SELECT 1 FROM case_party x WHERE x.case_no = c.case_no) "
        f"AND {_ENROLLED} AND NOT EXISTS (SELECT 1 FROM case_party x WHERE x.case_no = c.case_no AND x.node = p.node "
        "AND x.pk = p.pk)"
    )
    joined = int(tx.connection.exec_driver_sql(before).scalar_one())
    tx.connection.exec_driver_sql(
        "INSERT INTO case_party (case_no, node, pk, school, standing, settled, told_round, told_close, answer_no) "
        "SELECT c.case_no, p.node, p.pk, p.school, '1', '0', 0, 0, 0 "
        f"FROM cross_case c JOIN {DOUBLE} d ON d.mark = c.mark JOIN person_mark p ON p.mark = c.mark WHERE {_ENROLLED} "
        "AND NOT EXISTS (SELECT 1 FROM case_party x WHERE x.case_no = c.case_no AND x.node = p.node AND x.pk = p.pk)"
    )
    return joined


def _follow(tx: Transaction, given: dict[str, str]) -> None:
    """`followed_case`, and whether each record of this province still stands; why it left, where it did."""
    tx.connection.execute(
        sa.text(
            f"INSERT INTO {FOLLOWED} SELECT c.case_no FROM cross_case c JOIN {DOUBLE} d ON d.mark = c.mark "
            "UNION SELECT case_no FROM case_party WHERE node = :party"
        ),
        {"party": given["party"]},
    )
    status = (
        "(SELECT max(e.status) FROM person_mark p JOIN enrolment_mark e ON e.node = p.node AND e.link = p.link "
        f"AND e.key_ver = p.key_ver WHERE {_SAME})"
    )
    words = " ".join(f"WHEN '{code}' THEN '{word}'" for code, word in _LEFT.items())
    cause = (
        f"CASE WHEN NOT EXISTS (SELECT 1 FROM person_mark p WHERE {_SAME}) THEN '{DELETED}' "
        f"WHEN NOT EXISTS (SELECT 1 FROM person_mark p JOIN cross_case c ON c.mark = p.mark WHERE {_SAME} "
        f"AND c.case_no = case_party.case_no) THEN '{CORRECTED}' "
        f"ELSE CASE {status} {words} ELSE '{NO_LONGER}' END END"
    )
    mine = f"node = :party AND case_no IN (SELECT case_no FROM {FOLLOWED})"
    tx.connection.execute(
        sa.text(
            f"UPDATE case_party SET standing = '0', settled = '0', left_by = :evidence, left_cause = {cause} "
            f"WHERE {mine} AND standing = '1' AND NOT {_STANDS}"
        ),
        {"party": given["party"], "evidence": given["evidence"]},
    )
    tx.connection.execute(
        sa.text(
            "UPDATE case_party SET standing = '1', left_by = NULL, left_cause = NULL "
            f"WHERE {mine} AND standing = '0' AND {_STANDS}"
        ),
        {"party": given["party"]},
    )


_PROVINCES: Final = "(SELECT count(DISTINCT x.node) FROM case_party x WHERE x.case_no = c.case_no AND x.standing = '1')"
_ENDED: Final = f"c.state <> '{CaseState.CLOSED}' AND {_PROVINCES} < 2"
_RETURNED: Final = (
    f"c.state = '{CaseState.CLOSED}' AND {_PROVINCES} > 1 AND EXISTS (SELECT 1 FROM case_party x "
    "WHERE x.case_no = c.case_no AND x.standing = '1' AND x.settled <> '1')"
)


def _turn(tx: Transaction, given: dict[str, str], condition: str, state: CaseState) -> int:
    """Cases that ended or came back; few, so each is written by itself with its event."""
    query = (
        "SELECT c.case_no, c.round_no, c.version, c.events FROM cross_case c "
        f"WHERE c.case_no IN (SELECT case_no FROM {FOLLOWED}) AND {condition} ORDER BY c.case_no"
    )
    rows = tx.connection.exec_driver_sql(query).mappings().all()
    for row in rows:
        _write(tx, given, dict(row), state)
    return len(rows)


def _write(tx: Transaction, given: dict[str, str], row: dict[str, Any], state: CaseState) -> None:
    number, ended = row["case_no"], state is CaseState.CLOSED
    cause = _why(tx, number) if ended else BACK
    values: dict[str, Any] = {
        "state": str(state), "cause": cause, "version": int(row["version"]) + 1, "events": int(row["events"]) + 1,
        "evidence": given["evidence"],
    }  # fmt: skip
    if ended:
        values |= {"closed_at": given["at"], "closed_by": "hub"}
    else:
        empty = dict.fromkeys(("issued_at", "due", "reminded_at", "keeper", "ruled_at", "closed_at", "closed_by"))
        values |= {"round_no": int(row["round_no"]) + 1, "reminders": 0, "stage": 0, **empty}
        tx.connection.execute(
            sa.text(
                "UPDATE case_party SET answer = NULL, answer_reason = NULL, answered_at = NULL, answer_batch = NULL, "
                "opened_at = NULL WHERE case_no = :n"
            ),
            {"n": number},
        )
    tx.connection.execute(sa.update(CROSS_CASE).where(CROSS_CASE.c.case_no == number).values(**values))
    tx.connection.execute(
        sa.insert(CASE_EVENT),
        {
            "case_no": number, "event_no": values["events"], "round_no": values.get("round_no", row["round_no"]),
            "version": values["version"], "action": "自动关闭" if ended else "重开", "to_state": str(state),
            "cause": cause, "person": "hub", "evidence": given["evidence"], "ts": given["at"], "node": given["party"],
        },
    )  # fmt: skip


def _why(tx: Transaction, number: str) -> str:
    """`13 已转出`: what became of the record that left last."""
    query = sa.text(
        "SELECT node, left_cause FROM case_party WHERE case_no = :n AND standing = '0' AND left_cause IS NOT NULL "
        "ORDER BY node, pk"
    )
    rows = tx.connection.execute(query, {"n": number}).all()
    return "；".join(f"{node} {cause}" for node, cause in rows)[:40] or NO_LONGER
