"""Everything about one conflict as its page shows it: sources side by side, neighbours, history. SQL to values.

Decides what is said of a source (value, when read, authority, where it lies, how its bytes are vouched for) and that
masked values which differ and look alike are told apart in words. Whether plain values may be shown is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hub.catalog import Catalog, Entity, Field
from hub.masking import is_masked, mask_key, mask_value, swept
from hub.store import Reader
from hub.store.decision_tables import DECISION
from hub.store.ledger import EXTRACT
from quality.case_notice import Notice, notice_of
from quality.decisions import Conflict
from quality.decisions_store import as_value, history, sources_of
from quality.reasons import reasons
from quality.web.lines import proposal_words
from quality.web.wording import code_label, entity_name, field_name, field_of, reason_name, source_name, value_shown

LETTERS = {
    "S": "学籍系统", "T": "教师系统", "O": "机构代码系统", "L": "学校补录", "F": "推导", "P": "原有值保留", "D": "裁决值",
    "-": "无值",
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """One column of the comparison. `at`: its key on the keyboard, from 1; `index`: its place among the conflict's sources, by
    which a form names it; `plain`: the open value where released."""

    at: int
    index: int
    source: str
    name: str
    value: str
    plain: str | None
    adoptable: bool
    suggested: bool
    level: str
    read_at: str
    place: str
    vouched: str


@dataclass(frozen=True)
class Neighbour:
    """Another field of the record as it stands published."""

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
    clash_rows: tuple[tuple[str, str, str], ...]
    neighbours: tuple[Neighbour, ...]
    others: tuple[tuple[int, str, str], ...]
    passages: tuple[Passage, ...]
    proposal: str
    notice: Notice | None
    persons: tuple[tuple[tuple[str, str, str | None], ...], ...]


def dossier(reader: Reader, catalog: Catalog, node: str, row: Mapping[str, Any], *, plain: bool = False) -> Dossier:
    """Reads what the page shows of one conflict that was found within the visitor's scope."""
    number, entity, field = int(row["decision_no"]), catalog.entities[row["entity"]], field_of(catalog, row)
    standing = sources_of(reader, [number]).get(number, [])
    conflict = as_value(row, standing)
    golden = reader.read_one(entity, node, row["pk"]) if row["pk"] and (conflict.case or not row["clash"]) else None
    said = _said(reader, catalog, row, conflict, standing, golden, field, plain=plain)
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
        clash_rows=_clash_rows(reader, catalog, entity, standing) if conflict.clash and not conflict.case else (),
        neighbours=_neighbours(catalog, entity, golden, row["field"]) if golden else (),
        others=_others(reader, catalog, row),
        passages=tuple(_passage(catalog, field, t, plain=plain) for t in reversed(history(reader, number))),
        proposal=proposal_words(catalog, row, plain=plain),
        notice=notice,
        persons=_persons(entity, notice, plain=plain),
    )


def _said(
    reader: Reader, catalog: Catalog, row: Mapping[str, Any], conflict: Conflict, standing: Sequence[Mapping[str, Any]],
    golden: Mapping[str, Any] | None, field: Field | None, *, plain: bool,
) -> tuple[Said, ...]:  # fmt: skip
    owner = catalog.registry.owners.get((row["entity"], row["field"] or ""))
    order = owner.order if owner is not None else ()
    table = catalog.platform_table(row["entity"])
    rids = {(s["source"], s["value"]): s["src_rid"] for s in standing}
    own_rid = str(golden["src_rid"] or "").split("|")[0] if golden else ""
    found = []
    # The suggestion first, then authorities in their order: what is mostly right lies under the first key.
    ranked = sorted(
        enumerate(conflict.sources, start=1),
        key=lambda s: (
            not (s[1].source == row["suggest_source"] and s[1].value == row["suggest_value"]),
            order.index(s[1].source) if s[1].source in order else len(order),
        ),
    )
    for at, (index, source) in enumerate(ranked, start=1):
        rid = rids.get((source.source, source.value))
        if rid is None and table is not None and source.source == table.system:
            rid = own_rid
        read_at, place, vouched = _place(reader, rid)
        hidden = field is not None and is_masked(field)
        found.append(
            Said(
                at=at,
                index=index,
                source=source.source,
                name=source_name(catalog, source.source),
                value=value_shown(catalog, field, source.value),
                plain=value_shown(catalog, field, source.value, plain=True) if plain and hidden else None,
                adoptable=bool(source.valid and source.value),
                suggested=source.source == row["suggest_source"] and source.value == row["suggest_value"],
                level=_level(source.source, order, valid=source.valid),
                read_at=read_at,
                place=place,
                vouched=vouched,
            )
        )
    return tuple(found)


def _level(source: str, order: Sequence[str], *, valid: bool) -> str:
    if source == "P":
        return "上一有效值"
    rank = f"第 {order.index(source) + 1} 权威源" if source in order else "非权威源"
    return rank if valid else f"{rank}（值未通过校验）"


def _place(reader: Reader, rid: str | None) -> tuple[str, str, str]:
    """(when it was read, extract and line, what vouches for the bytes) of `extract:line`."""
    extract, _, line = (rid or "").partition(":")
    if not extract.isdigit():
        return "", "—", "—"
    query = sa.select(EXTRACT).where(EXTRACT.c.extract_no == int(extract))
    found = reader.connection.execute(query).mappings().first()
    if found is None:
        return "", f"抽取 {extract} 第 {line} 行", "—"
    vouched = f"直连读取，无签名；抽取文件摘要 {str(found['sha256'])[:19]}…" if found["sha256"] else "—"
    return (
        str(found["until_mark"] or found["started"] or ""),
        f"抽取 {extract}（{found['source_table']}）第 {line} 行",
        vouched,
    )


def _clash_rows(
    reader: Reader, catalog: Catalog, entity: Entity, standing: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, str, str], ...]:
    """(source, record, place) of rows that exclude each other."""
    return tuple(
        (source_name(catalog, s["source"]), mask_key(entity, s["natural_key"]) or "", _place(reader, s["src_rid"])[1])
        for s in standing
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
