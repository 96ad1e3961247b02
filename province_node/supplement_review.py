"""Reviewing supplements (初始化数据复核): a second person looks at what was imported and lets rows take effect, or not.

Decides who may review (never the importer, compared by person; console 3), which rows a decision concerns (the whole
file, named rows), what a sample is, and that the order of loading holds for approval too. Nothing here writes a golden
record: approved rows enter the next round as the school's contribution (ruling 9).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from connectors.templates import all_templates
from hub.audit import Event, append
from hub.catalog import Catalog
from hub.errors import InputError, UsageError
from hub.roles_store import person_behind
from hub.store import Reader, Store, Transaction
from hub.store.supplement_tables import SUPPLEMENT_FILE, SUPPLEMENT_ROW
from province_node.ledger import moment
from province_node.supplement_known import keys_of, known_of, out_of_order
from province_node.supplement_store import Line, State, StoredFile, file_of, lines

CHUNK = 500
WHOLE, BY_ROW, SAMPLED = "整份", "逐行", "抽查"


@dataclass(frozen=True)
class Reviewed:
    """What a decision did: rows decided, rows that could not be and why, rows that still wait."""

    file: int
    decision: str
    basis: str
    rows: int
    blocked: int
    why: tuple[str, ...]
    left: int


def same_person(reader: Reader, one: str, other: str) -> bool:
    """People, not accounts or spellings: the person behind each name decides (console 3)."""
    return person_behind(reader.connection, one) == person_behind(reader.connection, other)


def draw_sample(
    store: Store, number: int, size: int, *, node: str, reviewer: str, at: datetime, dice: random.Random
) -> tuple[Line, ...]:
    """`size` waiting rows by chance, for the reviewer to look at; noted with the file and audited."""
    if size < 1:
        raise UsageError("E3714", "抽查行数须为正数", where="--sample", step="例如 --sample 20")
    with store.begin() as tx:
        file = _open(tx, number, reviewer)
        waiting = list(lines(tx, number, (State.WAITING,)))
        chosen = sorted(dice.sample(waiting, min(size, len(waiting))), key=lambda line: line.row)
        notes = [*file.sampled, (reviewer, tuple(line.row for line in chosen))]
        tx.connection.execute(
            sa.update(SUPPLEMENT_FILE)
            .where(SUPPLEMENT_FILE.c.file_no == number)
            .values(sampled=json.dumps(notes, ensure_ascii=False))
        )
        _note(tx, Event.SUPPLEMENT_SAMPLED, number, node, reviewer, at, {"rows": len(chosen)})
    return tuple(chosen)


def review(
    store: Store,
    catalog: Catalog,
    number: int,
    *,
    approve: bool,
    node: str,
    reviewer: str,
    at: datetime,
    rows: Sequence[int] | None = None,
    reason: str = "",
) -> Reviewed:
    """Approves or refuses waiting rows: all, or those named. A refusal needs a reason; rows already decided stay.

    Raises `UsageError` E3715 for the importer himself, E3716 without a reason, E3717 for rows that do not wait;
    `InputError` E3718 when no row can be approved because what comes first is not approved.
    """
    if not approve and len(reason.strip()) < 2:
        raise UsageError("E3716", "驳回须写明原因", where="--reason", step="加上 --reason，原因会写进错误行文件")
    with store.begin() as tx:
        file = _open(tx, number, reviewer)
        chosen = _chosen(list(lines(tx, number, (State.WAITING,))), number, rows)
        blocked = _blocked(tx, catalog, file, chosen, node) if approve else {}
        decided = [line for line in chosen if line.row not in blocked]
        why = tuple(dict.fromkeys(blocked.values()))
        if not decided:
            raise InputError(
                "E3718",
                f"没有可通过的行：{'；'.join(why)}",
                where=f"补录文件 {number}",
                step="先复核前置的补录文件，再复核本文件",
            )
        basis = BY_ROW if rows is not None else WHOLE
        if rows is None and any(same_person(tx, who, reviewer) for who, _ in file.sampled):
            basis = SAMPLED
        _decide(tx, number, decided, approve=approve, reviewer=reviewer, at=at, basis=basis, reason=reason.strip())
        detail = {"rows": len(decided), "decision": "通过" if approve else "驳回", "basis": basis}
        _note(tx, Event.SUPPLEMENT_REVIEWED, number, node, reviewer, at, detail)
        left = file.states.get(State.WAITING, 0) - len(decided)
    return Reviewed(number, "通过" if approve else "驳回", basis, len(decided), len(blocked), why, left)


def withdraw(
    store: Store, number: int, *, node: str, operator: str, at: datetime, approved: bool = False, reason: str = "",
    rows: Sequence[int] | None = None,
) -> int:  # fmt: skip
    """Takes back rows of a file, by its importer; returns how many: those that wait, with `approved` those in effect.

    An approved row needs a reason; what it filled gives way in the next round, with history. `rows`: only these. Raises
    `UsageError` E3724 (another person), E3716 (no reason), E3717 (no such rows).
    """
    states = [str(State.WAITING), *([str(State.APPROVED)] if approved else [])]
    if approved and len(reason.strip()) < 2:
        raise UsageError("E3716", "撤回已通过的行须写明原因", where="--reason", step="加上 --reason，原因会写进审计")
    with store.begin() as tx:
        file = file_of(tx, number)
        if not same_person(tx, file.operator, operator):
            raise UsageError(
                "E3724", "只有导入人可以撤回", where=f"补录文件 {number}", step="请导入人撤回，或由复核人驳回"
            )
        table = SUPPLEMENT_ROW.c
        whole = sa.and_(table.file_no == number, table.state.in_(states))
        some = sorted(set(rows or ()))
        parts = [some[n : n + CHUNK] for n in range(0, len(some), CHUNK)]
        asked = [whole] if rows is None else [sa.and_(whole, table.row_no.in_(part)) for part in parts]
        taken = sa.update(SUPPLEMENT_ROW).values(state=str(State.WITHDRAWN))
        gone = sum(tx.connection.execute(taken.where(condition)).rowcount for condition in asked)
        if not gone:
            what = "没有可撤回的行" if approved else "没有待复核的行"
            raise UsageError("E3717", what, where=f"补录文件 {number}", step="用 hub supplement ls 查看各文件状态")
        if approved:
            _changed(tx, number)
        append(
            tx.connection, Event.SUPPLEMENT_WITHDRAWN, ts=at, node=node, actor=operator, purpose=reason.strip()[:400],
            object=f"supplement {number}", detail={"rows": gone, "approved": int(approved)},
        )  # fmt: skip
    return int(gone)


def _open(tx: Transaction, number: int, reviewer: str) -> StoredFile:
    """The file, for somebody who may review it."""
    if not reviewer.strip():
        raise UsageError("E3715", "没有写明复核人", where="--reviewer", step="写明复核人姓名或工号")
    file = file_of(tx, number)
    if same_person(tx, file.operator, reviewer):
        raise UsageError(
            "E3715",
            "不能复核本人导入的补录",
            where=f"补录文件 {number}",
            step="请另一位数据复核员复核",
        )
    return file


def _chosen(waiting: list[Line], number: int, rows: Sequence[int] | None) -> list[Line]:
    if rows is not None:
        by_number = {line.row: line for line in waiting}
        gone = sorted(set(rows) - set(by_number))
        if gone:
            listed = "、".join(str(r) for r in gone[:20])
            raise UsageError(
                "E3717",
                f"这些行不在待复核之列：{listed}",
                where=f"补录文件 {number}",
                step="用 hub supplement show 查看各行状态",
            )
        return [by_number[r] for r in sorted(set(rows))]
    if not waiting:
        raise UsageError(
            "E3717", "没有待复核的行", where=f"补录文件 {number}", step="用 hub supplement ls 查看各文件状态"
        )
    return waiting


def _blocked(tx: Transaction, catalog: Catalog, file: StoredFile, chosen: list[Line], node: str) -> dict[int, str]:
    """Rows whose main records are neither golden nor approved: the order holds for approval as for import."""
    template = all_templates(catalog)[file.template]
    known = known_of(tx, catalog, node, file.school, except_file=file.number)
    keys = keys_of(catalog, template, file.school, chosen)
    return {r.row: r.reason for r in out_of_order(known, template, keys, reviewed=True)}


def _decide(
    tx: Transaction,
    number: int,
    decided: list[Line],
    *,
    approve: bool,
    reviewer: str,
    at: datetime,
    basis: str,
    reason: str,
) -> None:
    values = {
        "state": str(State.APPROVED if approve else State.REFUSED),
        "reviewer": reviewer,
        "reviewer_person": person_behind(tx.connection, reviewer),
        "reviewed_at": moment(at),
        "basis": basis,
    }
    if not approve:
        values["reasons"] = json.dumps([["", "E3719", f"复核驳回：{reason}"]], ensure_ascii=False)
    moved = 0
    for start in range(0, len(decided), CHUNK):
        numbers = [line.row for line in decided[start : start + CHUNK]]
        moved += tx.connection.execute(
            sa.update(SUPPLEMENT_ROW)
            .where(
                SUPPLEMENT_ROW.c.file_no == number,
                SUPPLEMENT_ROW.c.row_no.in_(numbers),
                SUPPLEMENT_ROW.c.state == str(State.WAITING),
            )
            .values(**values)
        ).rowcount
    if moved != len(decided):
        raise InputError(
            "E3720", "这些行刚被他人复核", where=f"补录文件 {number}", step="用 hub supplement show 查看后再决定"
        )
    _changed(tx, number)


def _changed(tx: Transaction, number: int) -> None:
    """What stands approved of the file is not what it was: the next round takes it anew."""
    c = SUPPLEMENT_FILE.c
    tx.connection.execute(sa.update(SUPPLEMENT_FILE).where(c.file_no == number).values(version=c.version + 1))


def _note(
    tx: Transaction, event: Event, number: int, node: str, who: str, at: datetime, detail: dict[str, str | int]
) -> None:
    append(
        tx.connection, event, ts=at, node=node, actor=who, actor_role="数据复核员", object=f"supplement {number}",
        detail=detail,
    )  # fmt: skip
