"""What the sources say of one conflict, side by side: a column per source, or per row where rows exclude each other.

Decides the order of the columns, what is said of a source (value, when it was changed or read, authority, where it lies,
how its bytes are vouched for) and what of excluding rows is shown. SQL and extracts to values; whether the conflict's own
field may be shown plain is the tracer's, every other field is masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from hub.catalog import Entity, Field
from hub.lineage import Tracer
from hub.masking import is_masked, mask_key
from hub.store import Reader
from hub.store.ledger import EXTRACT, QUARANTINE
from hub.web.filters import moment
from quality.decisions import Conflict, Source
from quality.web.wording import EMPTY, code_label, source_name, value_shown

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
class Clash:
    """Rows that exclude each other, side by side: heads (source, record, place) and per field its name and values.

    `lines`: only what differs, with what the rule is about; `same`: how many fields are alike; `more`: rows not shown.
    """

    heads: tuple[tuple[str, str, str], ...]
    lines: tuple[tuple[str, tuple[str, ...], bool], ...]
    same: int
    more: int


def said_by_sources(
    tracer: Tracer, row: Mapping[str, Any], conflict: Conflict, standing: Sequence[Mapping[str, Any]],
    golden: Mapping[str, Any] | None, field: Field | None,
) -> tuple[Said, ...]:  # fmt: skip
    """One column per source of a field that is in dispute; `golden`: the record as it is published, if it is."""
    catalog, entity, plain = tracer.catalog, tracer.catalog.entities[row["entity"]], tracer.plain
    owner = catalog.registry.owners.get((row["entity"], row["field"] or ""))
    order = owner.order if owner is not None else ()
    table = catalog.platform_table(row["entity"])
    rids = {(s["source"], s["value"]): s["src_rid"] for s in standing}
    own_rid = platform_rid(tracer.reader, row, golden)
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


def platform_rid(reader: Reader, row: Mapping[str, Any], golden: Mapping[str, Any] | None) -> str | None:
    """Where the platform's row of the record lies: what the published record was made of; of a record that is kept out
    (its platform's value failed the check) what quarantine holds of it. None where neither is known."""
    rid = str(golden["src_rid"] or "").split("|")[0] if golden else ""
    if rid[:1].isdigit():
        return rid
    q = QUARANTINE.c
    query = sa.select(q.src_rid).where(
        q.entity == row["entity"], q.natural_key == row["natural_key"], q.closed_run.is_(None)
    )
    found = [str(r) for r in reader.connection.execute(query.order_by(q.src_rid)).scalars() if str(r)[:1].isdigit()]
    return found[-1] if found else None


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


def source_row(tracer: Tracer, entity: Entity, source: str, rid: str | None) -> dict[str, Any]:
    """The source row a value came from, as the trace tells it; {} where it is not kept."""
    letter = "L" if source == "L" and (rid or "")[:1].isdigit() else ""
    found = tracer.sources(entity, f"{letter}{rid}") if rid else []
    return found[0] if found else {}


def _place(tracer: Tracer, entity: Entity, source: str, rid: str | None) -> tuple[str, str, str]:
    """(when its owner changed it last or it was read, where it lies, what vouches for the bytes)."""
    if source == "P":
        return "", "本节点已发布的上一版本", "—"
    found = source_row(tracer, entity, source, rid)
    if not found:
        return "", "—", "—"
    raw, local = found["raw"] or {}, source == "L"
    read_at = str(raw.get(UPDATED) or (f"{moment(found['read_at'])} 读入" if found["read_at"] else ""))
    if local:
        return read_at, f"补录文件 {found['extract_no']} 第 {found['line']} 行", "学校上报的 xlsx，经复核导入，无签名"
    digest = tracer.reader.connection.execute(
        sa.select(EXTRACT.c.sha256).where(EXTRACT.c.extract_no == found["extract_no"])
    ).scalar_one_or_none()
    place = f"抽取 {found['extract_no']}（{found['table'] or '—'}）第 {found['line']} 行"
    return read_at, place, f"直连读取，无签名；抽取文件摘要 {str(digest)[:19]}…" if digest else "—"


def clash_of(
    tracer: Tracer, entity: Entity, standing: Sequence[Mapping[str, Any]], field: str | None, rule: str | None
) -> Clash:
    """What differs between rows that exclude each other; masked, but for the field the clash is about where released: a
    view is audited by field (console 1). What differs is told by the values themselves, whatever their masks."""
    rows = _rows(tracer.reader, entity, standing, rule)
    heads, bare, told = [], [], []
    for source, key, rid in rows[:MOST]:
        found = source_row(tracer, entity, source, rid)
        place = f"抽取 {found['extract_no']} 第 {found['line']} 行" if found else "—"
        heads.append((source_name(tracer.catalog, source), mask_key(entity, key) or "", place))
        bare.append(_raw(replace(tracer, plain=True), entity, source, rid))
        told.append(_raw(replace(tracer, plain=False), entity, source, rid))
    lines, same = [], 0
    for name in dict.fromkeys(name for raw in bare for name in raw):
        asked, one = name == field, entity.by_name.get(name)
        values = tuple(raw.get(name, "") for raw in bare)
        if len(set(values)) == 1 and not asked:
            same += 1
            continue
        seen = values if asked and tracer.plain else tuple(raw.get(name, "") for raw in told)
        labels = (code_label(tracer.catalog, one, v) if v and not (one and is_masked(one)) else "" for v in seen)
        shown = tuple(f"{v} {label}".strip() or EMPTY for v, label in zip(seen, labels, strict=True))
        cn = one.cn if one is not None else UPDATED_NAME if name == UPDATED else name
        alike = len(set(shown)) == 1 < len(set(values))
        lines.append((f"{cn}（各值不同，脱敏后相同）" if alike else cn, shown, asked))
    named = max([len(rows), *(int(s["rows_named"] or 1) for s in standing)])
    return Clash(tuple(heads), tuple(lines), same, named - len(heads))


def _rows(
    reader: Reader, entity: Entity, standing: Sequence[Mapping[str, Any]], rule: str | None
) -> list[tuple[str, str, str]]:
    """(source, key, place) of the rows of a clash. Rows of one key are one row of the conflict; quarantine holds each."""
    rows = {(s["source"], s["natural_key"], s["src_rid"]): None for s in standing}
    if any(int(s["rows_named"] or 1) > len(standing) for s in standing):
        q, keys = QUARANTINE.c, sorted({s["natural_key"] for s in standing})
        query = sa.select(q.source, q.natural_key, q.src_rid).where(
            q.entity == entity.name, q.rule == rule, q.natural_key.in_(keys), q.closed_run.is_(None)
        )
        rows |= {tuple(r): None for r in reader.connection.execute(query.order_by(q.src_rid))}
    return list(rows)


def _raw(tracer: Tracer, entity: Entity, source: str, rid: str | None) -> dict[str, str]:
    raw = source_row(tracer, entity, source, rid).get("raw") or {}
    return {k.rpartition(".")[2].split(":")[0]: "" if v is None else str(v) for k, v in raw.items()}
