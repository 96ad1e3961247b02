"""Row rules: what makes a normalised row invalid on its own (MODEL §7).

Decides predicates, generated from the field kinds of `schemas/entities` and the rule ids of `schemas/rules.yaml`;
executes nothing. Rules over several rows or tables are in `quality.gate`, rules that do not block in `quality.soft`. A
hit is reported as `RULE:FIELD`.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from hub.catalog import Catalog, Entity, Field
from quality.expressions import ident, mod11_2, text, texts, valid_date, valid_month

SCHOOL_CLASSES = "11|21|22|31|32|33|34|35|36|37|41|42|51|91|92|93"
PROVINCES = "1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-6]|71|81|82"
# Central departments found schools too; their three-digit codes are GB/T 4657, a table of which was not obtained.
CENTRAL_DEPARTMENT = "[1-7][0-9]{2}"


@dataclass(frozen=True)
class RowRule:
    """`condition` (SQL over payload columns) is true where the row breaks `rule` in `field`."""

    rule: str
    field: str
    condition: str

    def sql(self) -> str:
        return f"CASE WHEN {self.condition} THEN {text(f'{self.rule}:{self.field}')} END"


def hard_rules(catalog: Catalog, entity: Entity, present: Sequence[Field], labels: Set[str]) -> list[RowRule]:
    """Rules of severity 错误 that one row of this layout can break; `labels`: fields that arrive as labels."""
    # A row without its natural key can be no record at all; every other empty field is judged on the settled row.
    rules = [RowRule("WZ01", k, f"{ident(k)} IS NULL") for k in entity.key if k in {f.name for f in present}]
    rules += [r for f in present for r in _field_rules(catalog, f, f.name in labels)]
    names = {f.name for f in present}
    if {"SFZJLXM", "SFZJH"} <= names and entity.name in ("xs", "jzg"):
        rules += _identity_rules(names)
    if entity.name == "xs":
        rules += _student_number_rules()
    if entity.name == "xx":
        rules += _school_rules()
    return rules


def _field_rules(catalog: Catalog, field: Field, label: bool) -> list[RowRule]:
    """Validity of one field: code value, date, length, number (YX05, YX14, YX18)."""
    name = ident(field.name)
    rules: list[RowRule] = []
    if label and field.code and field.required == "M":
        rules.append(RowRule("YX05", field.name, f"list_contains(_unknown, {text(field.name)})"))
    elif field.code and (allowed := code_condition(catalog, field)):
        rules.append(RowRule("YX05", field.name, f"{name} IS NOT NULL AND NOT ({allowed})"))
    elif field.kind in ("division", "division_history"):
        rules.append(RowRule("YX05", field.name, f"{name} IS NOT NULL AND try_cast({name} AS division) IS NULL"))
    if form := format_condition(field):
        rules.append(RowRule("YX14", field.name, f"{name} IS NOT NULL AND NOT {form}"))
    if field.type == "N":
        rules.append(RowRule("YX14", field.name, f"list_contains(_malformed, {text(field.name)})"))
        rules.append(RowRule("YX18", field.name, f"list_contains(_overflow, {text(field.name)})"))
    elif field.length and field.type == "C":
        longest = field.width if is_open(catalog, field) else field.length  # where labels stand for codes, more fits
        rules.append(RowRule("YX18", field.name, f"length({name}) > {longest}"))
    return rules


def is_open(catalog: Catalog, field: Field) -> bool:
    """True where no dictionary is loaded for the field's table: values stand as text (ruling 8)."""
    table = catalog.codes.tables.get(field.code) if field.code else None
    return table is not None and table.open


def code_condition(catalog: Catalog, field: Field) -> str | None:
    """SQL that holds for a known code; None where any value stands (ruling 8)."""
    table = catalog.codes.tables[field.code] if field.code else None
    if table is None or table.open:
        return None
    known = f"{ident(field.name)} IN {texts(table.codes)}"
    if field.code == "XXJYJGJBZ":
        known += f" OR regexp_full_match({ident(field.name)}, '{CENTRAL_DEPARTMENT}')"
    return known


def format_condition(field: Field) -> str | None:
    """SQL that holds for a well-formed date, month, year or school year (GB/T 7408)."""
    name = ident(field.name)
    if field.kind == "date":
        return valid_date(name)
    if field.kind == "month":
        return valid_month(name)
    if field.kind == "year":
        return f"regexp_full_match({name}, '(19|20)[0-9]{{2}}')"
    if field.kind == "school_year":
        return (
            f"(regexp_full_match({name}, '(19|20)[0-9]{{2}}-(19|20)[0-9]{{2}}') "
            f"AND try_cast(substr({name}, 6, 4) AS INTEGER) = try_cast(substr({name}, 1, 4) AS INTEGER) + 1)"
        )
    return None


WELL_FORMED_ID = "regexp_full_match(SFZJH, '[0-9]{17}[0-9X]')"


def _identity_rules(names: Set[str]) -> list[RowRule]:
    """GB 11643 (YX01, YX02, YX04) and what must agree with it (YZ01, YZ02); `_today` is a column of the run."""
    card = "SFZJLXM = '1' AND SFZJH IS NOT NULL"
    born = "substr(SFZJH, 7, 8)"
    real = f"try_strptime({born}, '%Y%m%d')"
    rules = [
        RowRule("YX01", "SFZJH", f"{card} AND NOT {WELL_FORMED_ID}"),
        RowRule("YX02", "SFZJH", f"{card} AND {WELL_FORMED_ID} AND NOT {mod11_2('SFZJH')}"),
        RowRule(
            "YX04", "SFZJH", f"{card} AND {WELL_FORMED_ID} AND ({real} IS NULL OR {real} > getvariable('today')::DATE)"
        ),
    ]
    if "CSRQ" in names:
        rules.append(RowRule("YZ01", "CSRQ", f"{card} AND {WELL_FORMED_ID} AND CSRQ <> {born}"))
    if "XBM" in names:
        odd = "CASE WHEN ascii(substr(SFZJH, 17, 1)) % 2 = 1 THEN '1' ELSE '2' END"
        rules.append(RowRule("YZ02", "XBM", f"{card} AND {WELL_FORMED_ID} AND XBM <> {odd}"))
    return rules


def _student_number_rules() -> list[RowRule]:
    form = "regexp_full_match(GRBSM, '[GJL][0-9]{17}[0-9X]')"
    body = "substr(GRBSM, 2)"
    return [
        RowRule("YX12", "GRBSM", f"GRBSM IS NOT NULL AND NOT {form}"),
        RowRule("YX13", "GRBSM", f"{form} AND substr(GRBSM, 1, 1) IN ('G', 'J') AND NOT {mod11_2(body)}"),
    ]


def _school_rules() -> list[RowRule]:
    form = f"regexp_full_match(XXDM, '({SCHOOL_CLASSES})({PROVINCES})[0-9]{{6}}')"
    # TBLXM is 1 or 2 for every school that is neither attached classes (368) nor another institution (369), ruling 7.
    vocational = "coalesce(XXBXLXM, '') NOT IN ('368', '369')"
    return [
        RowRule("YX07", "XXDM", f"XXDM IS NOT NULL AND NOT {form}"),
        RowRule("YX08", "XXDM", f"{form} AND substr(XXDM, 1, 2) <> '36' AND {vocational}"),
    ]


def label_notes(catalog: Catalog, present: Sequence[Field], labels: Set[str]) -> list[RowRule]:
    """Unknown labels of optional fields: the row stands with the field empty, and a finding says so (ruling 15)."""
    return [
        RowRule("YX05", field.name, f"list_contains(_unknown, {text(field.name)})")
        for field in present
        if field.name in labels and field.code and field.required != "M" and not is_open(catalog, field)
    ]
