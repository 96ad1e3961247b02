"""Whether a value by hand can stand in its field: length, code table, date, number.

Decides by the field's definition alone; rules between fields are judged by the gate when the value is settled.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation

from hub.catalog import Catalog, Entity, Field
from hub.errors import InputError
from hub.masking import is_masked
from hub.roles import Operator
from quality.decisions import Refusal
from quality.decisions_store import DecisionRefusedError

_CODES_OF = {"division": "divisions_current", "division_history": "divisions"}


def check_value(catalog: Catalog, entity: Entity, name: str, value: str, number: int) -> None:
    """Raises `InputError` E3334, without the value in it, when the gate would refuse it for its form."""
    field = entity.by_name.get(name or "")
    why = "该冲突不针对单个字段，不能给出手工值" if field is None else _why(catalog, field, value)
    if why:
        raise InputError("E3334", why, where=f"冲突 {number}", step="对照数据字典改正取值")


def _why(catalog: Catalog, field: Field, value: str) -> str:
    if not value or value != value.strip() or not value.isprintable():
        return "手工值为空、首尾有空白或含不可见字符"
    if field.type == "N":
        return _number(field, value)
    if field.width is not None and len(value) > field.width:
        return f"手工值超过 {field.width} 个字符"
    table = catalog.codes.tables.get(field.code) if field.code else None
    if table is not None and table.codes and value not in table.codes:
        return f"手工值不在代码表 {table.cn} 中"
    known = _CODES_OF.get(field.kind)
    if known and value not in getattr(catalog.codes, known):
        return "手工值不是有效的行政区划代码"
    if field.kind == "date":
        return _date(value)
    if field.kind == "month" and not re.fullmatch(r"(19|20)\d{2}(0[1-9]|1[0-2])", value):
        return "手工值不是 YYYYMM 年月"
    return ""


def _number(field: Field, value: str) -> str:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return "手工值不是数"
    digits = (field.length or 0) - field.scale
    fits = number.is_finite() and number == round(number, field.scale) and abs(number) < Decimal(10) ** digits
    return "" if fits else "手工值的位数超过字段的长度"


def _date(value: str) -> str:
    try:
        date(int(value[:4]), int(value[4:6]), int(value[6:8]))
    except ValueError:
        return "手工值不是 YYYYMMDD 日期"
    return "" if re.fullmatch(r"\d{8}", value) else "手工值不是 YYYYMMDD 日期"


def refuse_private(by: Operator, entity: Entity, name: str, number: int) -> None:
    """Values of private fields are entered by a 隐私数据管理员 (console 1). Raises `DecisionRefusedError` 403."""
    field = entity.by_name.get(name or "")
    if field is not None and is_masked(field) and not by.may("private_edit"):
        refusal = Refusal("E3321", "隐私字段的值只能由隐私数据管理员录入；可改为采用来源值或退回源头平台", 403)
        raise DecisionRefusedError(refusal, number)
