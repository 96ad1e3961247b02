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
from hub.lineage import Tracer
from hub.masking import is_masked, mask_key, mask_value, swept
from hub.settings import Node
from hub.store import Reader
from hub.store.decision_tables import CORRECTION, DECISION
from hub.store.ledger import EXTRACT
from quality.case_notice import Notice, notice_of
from quality.decisions import Conflict, Source
from quality.decisions_store import as_value, history, sources_of
from quality.reasons import reasons
from quality.web.lines import proposal_words
from quality.web.wording import (
    EMPTY,
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

# When its owner changed a row last, in the platforms' tables.
UPDATED, UPDATED_NAME = "GXSJ", "更新时间"
# Rows of a clash that are set side by side.
MOST = 6


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
class Clash:
    """Rows that exclude each other, side by side: heads (source, record, place) and per field its name and values.

    `lines`: only what differs, with what the rule is about; `same`: how many fields are alike; `more`: rows not shown.
    """

    heads: tuple[tuple[str, str, str], ...]
    lines: tuple[tuple[str, tuple[str, ...], bool], ...]
    same: int
    more: int


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
    said = _said(tracer, row, conflict, standing, golden, field)
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
        clash=_clash(tracer, entity, standing, row["field"]) if conflict.clash and not conflict.case else None,
        neighbours=_neighbours(catalog, entity, golden, row["field"]) if golden else (),
        others=_others(reader, catalog, row),
        passages=tuple(_passage(catalog, field, t, plain=plain) for t in reversed(history(reader, number))),
        proposal=proposal_words(catalog, row, plain=plain),
        corrections=_corrections(reader, number),
        notice=notice,
        persons=_persons(entity, notice, plain=plain),
    )


def _said(
    tracer: Tracer, row: Mapping[str, Any], conflict: Conflict, standing: Sequence[Mapping[str, Any]],
    golden: Mapping[str, Any] | None, field: Field | None,
) -> tuple[Said, ...]:  # fmt: skip
    catalog, entity, plain = tracer.catalog, tracer.catalog.entities[row["entity"]], tracer.plain
    owner = catalog.registry.owners.get((row["entity"], row["field"] or ""))
    order = owner.order if owner is not None else ()
    table = catalog.platform_table(row["entity"])
    rids = {(s["source"], s["value"]): s["src_rid"] for s in standing}
    own_rid = str(golden["src_rid"] or "").split("|")[0] if golden else ""
    found = []
    for at, (index, source) in enumerate(_ranked(row, conflict, order), start=1):
        rid = rids.get((source.source, source.value))
        if rid is None and table is not None and source.source == table.system:
            rid = own_rid
        read_at, place, vouched = _place(tracer, entity, source.source, rid)
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
                suggested=_suggested(row, source),
                level=_level(source.source, order, valid=source.valid),
                read_at=read_at,
                place=place,
                vouched=vouched,
            )
        )
    return tuple(found)


def _ranked(row: Mapping[str, Any], conflict: Conflict, order: Sequence[str]) -> list[tuple[int, Source]]:
    """The suggestion first, then authorities in their order: what is mostly right lies under the first key."""

    def rank(numbered: tuple[int, Source]) -> tuple[bool, int]:
        source = numbered[1]
        return not _suggested(row, source), order.index(source.source) if source.source in order else len(order)

    return sorted(enumerate(conflict.sources, start=1), key=rank)


def _suggested(row: Mapping[str, Any], source: Source) -> bool:
    return bool(source.source == row["suggest_source"] and source.value == row["suggest_value"])


def _level(source: str, order: Sequence[str], *, valid: bool) -> str:
    if source == "P":
        return "上一有效值"
    rank = f"第 {order.index(source) + 1} 权威源" if source in order else "非权威源"
    return rank if valid else f"{rank}（值未通过校验）"


def _source_row(tracer: Tracer, entity: Entity, source: str, rid: str | None) -> dict[str, Any]:
    """The source row a value came from, as the trace tells it; {} where it is not kept."""
    letter = "L" if source == "L" and (rid or "")[:1].isdigit() else ""
    found = tracer.sources(entity, f"{letter}{rid}") if rid else []
    return found[0] if found else {}


def _place(tracer: Tracer, entity: Entity, source: str, rid: str | None) -> tuple[str, str, str]:
    """(when its owner changed it last or it was read, where it lies, what vouches for the bytes)."""
    found = _source_row(tracer, entity, source, rid)
    if not found:
        return "", "—", "—"
    raw, local = found["raw"] or {}, source == "L"
    read_at = str(raw.get(UPDATED) or found["read_at"] or "")
    if local:
        return read_at, f"补录文件 {found['extract_no']} 第 {found['line']} 行", "学校上报的 xlsx，经复核导入，无签名"
    digest = tracer.reader.connection.execute(
        sa.select(EXTRACT.c.sha256).where(EXTRACT.c.extract_no == found["extract_no"])
    ).scalar_one_or_none()
    place = f"抽取 {found['extract_no']}（{found['table'] or '—'}）第 {found['line']} 行"
    return read_at, place, f"直连读取，无签名；抽取文件摘要 {str(digest)[:19]}…" if digest else "—"


def _clash(tracer: Tracer, entity: Entity, standing: Sequence[Mapping[str, Any]], field: str | None) -> Clash:
    """What differs between rows that exclude each other, masked unless released."""
    heads, raws = [], []
    for said in standing[:MOST]:
        found = _source_row(tracer, entity, said["source"], said["src_rid"])
        raw = found.get("raw") or {}
        place = f"抽取 {found['extract_no']} 第 {found['line']} 行" if found else "—"
        heads.append((source_name(tracer.catalog, said["source"]), mask_key(entity, said["natural_key"]) or "", place))
        raws.append({k.rpartition(".")[2].split(":")[0]: "" if v is None else str(v) for k, v in raw.items()})
    names = list(dict.fromkeys(name for raw in raws for name in raw))
    lines, same = [], 0
    for name in names:
        values = tuple(raw.get(name, "") for raw in raws)
        asked = name == field
        if len(set(values)) == 1 and not asked:
            same += 1
            continue
        one = entity.by_name.get(name)
        labels = (code_label(tracer.catalog, one, v) if v and not (one and is_masked(one)) else "" for v in values)
        shown = tuple(f"{v} {label}".strip() or EMPTY for v, label in zip(values, labels, strict=True))
        lines.append((one.cn if one is not None else UPDATED_NAME if name == UPDATED else name, shown, asked))
    rows = max([len(standing), *(int(s["rows_named"] or 1) for s in standing)])  # rows of one key are one of them here
    return Clash(tuple(heads), tuple(lines), same, rows - len(heads))


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
