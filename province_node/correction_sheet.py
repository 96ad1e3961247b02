"""Requests to the owning platforms as a sheet: which there are in a person's scope, and what each row says (console 3).

Decides columns and masking, and that a request counts as sent when it first leaves in a file. Who may have it, and the
audit of its leaving, are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from hub.catalog import Catalog
from hub.labels import code_label
from hub.masking import is_masked, mask_key, mask_value
from hub.store import Reader, Store
from hub.store.decision_tables import CORRECTION, DECISION
from hub.web.filters import moment
from quality.decisions_query import Filter, conditions, within
from quality.decisions_store import PENDING, Acting
from quality.decisions_words import source_said
from quality.places import school_names
from quality.reasons import reasons

HEADERS: Final = (
    "请求编号", "冲突编号", "平台", "源表", "数据类别", "主键字段", "主键值", "学校标识码", "学校名称", "字段",
    "字段名", "规则", "现值", "现值含义", "应为", "应为含义", "原因", "状态", "提出时间", "截止日期", "确认依据",
)  # fmt: skip
_BLOCK: Final = 500


def chosen(system: str | None, everything: bool) -> list[Any]:
    """Conditions: those that wait, or all; of one platform, or of any."""
    terms: list[Any] = [] if everything else [CORRECTION.c.state == PENDING]
    return [*terms, CORRECTION.c.system == system] if system else terms


def requests(
    reader: Reader, catalog: Catalog, acting: Acting, terms: Sequence[Any], *, plain: bool = False,
    size: int | None = None, offset: int = 0,
) -> list[dict[str, Any]]:  # fmt: skip
    """The requests in the scope under which this person may export, by number."""
    query = sa.select(CORRECTION).where(*terms, _within(reader, acting)).order_by(CORRECTION.c.correction_no)
    if size is not None:
        query = query.limit(size).offset(offset)
    rows = [dict(r) for r in reader.connection.execute(query).mappings()]
    schools = school_names(reader, acting.node, [r["school"] for r in rows if r["school"]])
    return [request(catalog, row, schools, plain=plain) for row in rows]


def counted(reader: Reader, acting: Acting, terms: Sequence[Any]) -> int:
    """How many there are."""
    query = sa.select(sa.func.count()).select_from(CORRECTION).where(*terms, _within(reader, acting))
    return int(reader.connection.execute(query).scalar_one())


def _within(reader: Reader, acting: Acting) -> Any:
    scope = within(reader, acting.node, acting.by.scopes("xlsx"))
    return CORRECTION.c.decision_no.in_(sa.select(DECISION.c.decision_no).where(*conditions(Filter()), scope))


def request(
    catalog: Catalog, row: Mapping[str, Any], schools: Mapping[str, str], *, plain: bool
) -> dict[str, Any]:  # fmt: skip
    """One request as its source owner reads it: platform, table, record, field, what it says and what it should say."""
    entity = catalog.entities[row["entity"]]
    field = entity.by_name.get(row["field"] or "")
    source = catalog.platform_table(entity.name)
    values = {n: row[n] if plain else mask_value(field, row[n]) for n in ("old_value", "wanted_value")}
    # A private value has no label: a label would say what the mask hides.
    open_ = field is not None and not is_masked(field)
    labels = {n: code_label(catalog, field, row[n]) if row[n] and open_ else None for n in values}
    # Who reads this has neither our rules nor our reasons at hand: codes with their words.
    broken, reason = catalog.rules.get(row["rule"] or ""), reasons().get(row["reason"] or "")
    rule = f"{broken.id} {broken.name}" if broken else row["rule"]
    why = f"{row['reason']} {reason.cn}" if reason else row["reason"]
    cells = (
        row["correction_no"], row["decision_no"], source_said(catalog, row["system"]),
        source.table if source and source.system == row["system"] else None, entity.cn, "、".join(entity.key),
        row["natural_key"] if plain else mask_key(entity, row["natural_key"]), row["school"],
        schools.get(row["school"] or ""), row["field"], field.cn if field else None, rule,
        values["old_value"], labels["old_value"], values["wanted_value"] or "请核实更正", labels["wanted_value"], why,
        row["state"], moment(row["asked_at"]), row["due"], row["evidence"],
    )  # fmt: skip
    return dict(zip(HEADERS, cells, strict=True))


def sent(store: Store, acting: Acting, numbers: Sequence[int]) -> None:
    """Notes when waiting requests left for the first time."""
    c = CORRECTION.c
    first = sa.update(CORRECTION).where(c.sent_at.is_(None), c.state == PENDING)
    with store.begin() as tx:
        for start in range(0, len(numbers), _BLOCK):
            some = list(numbers[start : start + _BLOCK])
            tx.connection.execute(first.where(c.correction_no.in_(some)).values(sent_at=acting.ts))
