"""Everything about one conflict as its page shows it: sources side by side, neighbours, history. SQL to values.

Decides what is said of a source (value, when read, authority, where it lies, how its bytes are vouched for) and that
masked values which differ and look alike are told apart in words. Whether plain values may be shown is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hub.catalog import Catalog, Entity, Field
from hub.lineage import Tracer
from hub.masking import is_masked, mask_key, mask_value, swept
from hub.settings import Node
from hub.store import Reader
from hub.store.decision_tables import CORRECTION, DECISION
from quality.case_notice import Notice, notice_of
from quality.decisions import Conflict
from quality.decisions_store import as_value, history, sources_of
from quality.reasons import reasons
from quality.web.compared import Clash, Said, clash_of, platform_rid, said_by_sources, source_row
from quality.web.lines import proposal_words
from quality.web.wording import (
    code_label,
    entity_name,
    field_name,
    field_of,
    reason_name,
    source_name,
    value_shown,
)

LETTERS = {
    "S": "学籍系统", "T": "教师系统", "O": "机构代码系统", "L": "学校补录", "F": "推导", "P": "原有值保留", "D": "裁决值",
    "-": "无值",
}  # fmt: skip


@dataclass(frozen=True)
class Neighbour:
    """Another field of the record as it stands published, or as the platform's row has it where it does not."""

    name: str
    field: str
    value: str
    source: str
    here: bool


@dataclass(frozen=True)
class Passage:
    """One step of the history, or a comment."""

    ts: str
    actor: str
    role: str
    action: str
    states: str
    opinion: str
    reason: str
    note: str
    op_no: str
    evidence: str
    round_no: int


@dataclass(frozen=True)
class Dossier:
    """The whole page. `same_mask`: values differ although they are masked alike."""

    row: Mapping[str, Any]
    conflict: Conflict
    entity: str
    field: str
    private: bool
    record: str
    reason: str
    rule_message: str
    said: tuple[Said, ...]
    same_mask: bool
    clash: Clash | None
    neighbours: tuple[Neighbour, ...]
    published: bool
    others: tuple[tuple[int, str, str], ...]
    passages: tuple[Passage, ...]
    proposal: str
    corrections: tuple[Mapping[str, Any], ...]
    notice: Notice | None
    persons: tuple[tuple[tuple[str, str, str | None], ...], ...]


def dossier(reader: Reader, catalog: Catalog, node: Node, row: Mapping[str, Any], *, plain: bool = False) -> Dossier:
    """Reads what the page shows of one conflict that was found within the visitor's scope."""
    number, entity, field = int(row["decision_no"]), catalog.entities[row["entity"]], field_of(catalog, row)
    standing = sources_of(reader, [number]).get(number, [])
    conflict = as_value(row, standing)
    golden = (
        reader.read_one(entity, node.party, row["pk"]) if row["pk"] and (conflict.case or not row["clash"]) else None
    )
    tracer = Tracer(node, catalog, reader, plain)
    said = said_by_sources(tracer, row, conflict, standing, golden, field)
    rule = catalog.rules.get(row["rule"] or "")
    notice = notice_of(reader, number) if conflict.case else None
    return Dossier(
        row=row,
        conflict=conflict,
        entity=entity_name(catalog, row["entity"]),
        field=field_name(catalog, row["entity"], row["field"]),
        private=field is not None and is_masked(field),
        record=mask_key(entity, row["natural_key"]) or "",
        reason=reason_name(catalog, row["rule"], clash=bool(row["clash"])),
        rule_message=rule.message if rule is not None else "",
        said=said if not conflict.clash else (),
        same_mask=len({s.value for s in conflict.sources}) > len({s.value for s in said}),
        clash=clash_of(tracer, entity, standing, row["field"], row["rule"])
        if conflict.clash and not conflict.case
        else None,
        neighbours=_neighbours(catalog, entity, golden, row["field"]) if golden else _unpublished(tracer, entity, row),
        published=golden is not None,
        others=_others(reader, catalog, row),
        passages=tuple(_passage(catalog, field, t, plain=plain) for t in reversed(history(reader, number))),
        proposal=proposal_words(catalog, row, plain=plain),
        corrections=_corrections(reader, number),
        notice=notice,
        persons=_persons(entity, notice, plain=plain),
    )


def _neighbours(
    catalog: Catalog, entity: Entity, golden: Mapping[str, Any], field: str | None
) -> tuple[Neighbour, ...]:
    prov = str(golden["prov"] or "")
    found = []
    for at, one in enumerate(entity.fields):
        value = None if golden[one.name] is None else str(golden[one.name])
        letter = prov[at] if at < len(prov) else "-"
        label = code_label(catalog, one, value) if value and not is_masked(one) else ""
        shown = f"{mask_value(one, value) or ''} {label}".strip()
        found.append(Neighbour(one.cn, one.name, shown, LETTERS.get(letter, letter), one.name == field))
    return tuple(found)


def _unpublished(tracer: Tracer, entity: Entity, row: Mapping[str, Any]) -> tuple[Neighbour, ...]:
    """The fields of a record that is kept out, as the platform's row has them; masked."""
    table = tracer.catalog.platform_table(entity.name)
    if row["clash"] or table is None:
        return ()
    raw = source_row(tracer, entity, table.system, platform_rid(tracer.reader, row, None)).get("raw") or {}
    found = []
    for one in (entity.by_name[name] for name in raw if name in entity.by_name):
        value = "" if raw[one.name] is None else str(raw[one.name])
        label = code_label(tracer.catalog, one, value) if value and not is_masked(one) else ""
        shown = f"{mask_value(one, value) or ''} {label}".strip()
        found.append(
            Neighbour(one.cn, one.name, shown, source_name(tracer.catalog, table.system), one.name == row["field"])
        )
    return tuple(found)


def _persons(
    entity: Entity, notice: Notice | None, *, plain: bool
) -> tuple[tuple[tuple[str, str, str | None], ...], ...]:
    """Per counterpart (name, masked value, open value where released) of what the ministry lets both sides see."""
    found = []
    for person in notice.persons if notice is not None else ():
        told = []
        for name, value in person.items():
            field, text = entity.by_name.get(name), "" if value is None else str(value)
            masked = (mask_value(field, text) if field is not None else swept(text)) or ""
            told.append((field.cn if field is not None else name, masked, text if plain else None))
        found.append(tuple(told))
    return tuple(found)


def _corrections(reader: Reader, number: int) -> tuple[Mapping[str, Any], ...]:
    """Requests to the owning platform, the newest first: number, system, state, when asked and sent, evidence."""
    c = CORRECTION.c
    query = (
        sa.select(c.correction_no, c.system, c.state, c.asked_at, c.sent_at, c.due, c.evidence)
        .where(c.decision_no == number)
        .order_by(c.correction_no.desc())
    )
    return tuple(dict(r) for r in reader.connection.execute(query).mappings())


def _others(reader: Reader, catalog: Catalog, row: Mapping[str, Any]) -> tuple[tuple[int, str, str], ...]:
    """Other conflicts of the same record: (number, field, state)."""
    if not row["pk"]:
        return ()
    query = (
        sa.select(DECISION.c.decision_no, DECISION.c.field, DECISION.c.state)
        .where(
            DECISION.c.pk == row["pk"], DECISION.c.decision_no != row["decision_no"], DECISION.c.entity == row["entity"]
        )
        .order_by(DECISION.c.decision_no)
        .limit(20)
    )
    return tuple(
        (int(n), field_name(catalog, row["entity"], f), str(s)) for n, f, s in reader.connection.execute(query).all()
    )


def _passage(catalog: Catalog, field: Field | None, told: Mapping[str, Any], *, plain: bool) -> Passage:
    before, after = told["from_state"] or "", told["to_state"] or ""
    opinion = ""
    if told["kind"]:
        source = f"（{source_name(catalog, told['chosen_source'])}）" if told["chosen_source"] else ""
        value = f"：{value_shown(catalog, field, told['chosen_value'], plain=plain)}" if told["chosen_value"] else ""
        opinion = f"{told['kind']}{source}{value}"
    known = reasons().get(told["reason"] or "")
    return Passage(
        ts=told["ts"], actor="系统" if told["actor"] == "hub" else told["actor"], role=told["role"] or "",
        action=told["action"], states=before if before == after else f"{before} → {after}", opinion=opinion,
        reason=known.cn if known else told["reason"] or "", note=swept(told["note"] or ""),
        op_no=told["op_no"] or "", evidence=told["evidence"] or "", round_no=int(told["round_no"] or 1),
    )  # fmt: skip
