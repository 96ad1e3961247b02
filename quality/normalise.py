"""Normalising: raw source text to canonical values (ruling 20, first step; dirt of SOURCE_LAYOUTS).

Decides, per field kind and source form, the SQL expression that turns the raw text of one column into its canonical
value, and the expressions that count each kind of dirt. Label → code happens here through lookup tables; whether a
value is *valid* is left to `quality.rules`.

Rules: nothing is silent (each kind of dirt is counted); a placeholder becomes empty; 无 stays a value in XWJXD and
CHCQJ only (ruling 6); an unknown label becomes NULL and is reported by the caller (ruling 15).
"""

from __future__ import annotations

from collections.abc import Sequence

from hub.catalog import Entity, Field, SourceColumn
from quality.expressions import FULL_SIGNS, FULL_WIDTH, HALF_SIGNS, HALF_WIDTH, ident, text, texts

PLACEHOLDERS = ("NULL", "-", "/", "－", "／", "空", "无")
NONE_IS_VALUE = frozenset({"XWJXD", "CHCQJ"})
DOTS = ".•‧・．∙"
IDEOGRAPHIC_SPACE = "\u3000"
CLASS_OF_WIDE = "０-９Ａ-Ｚａ-ｚ"
# Kinds whose text is ASCII by definition: signs are narrowed and blanks removed.
COMPACT = frozenset(
    {"id_number", "student_number", "code", "date", "month", "year", "school_year", "phone", "school", "school_ref",
     "division", "division_history", "major", "major_2021", "uscc", "number"}
)  # fmt: skip
IDENTIFIERS = frozenset(
    [
        "XH",
        "GH",
        "BH",
        "ZYBH",
        "JGH",
        "LSSJJGH",
        "LSXQH",
        "XQDM",
        "KSJGH",
        "BZRGH",
        "SZZYBH",
        "FZRH",
        "XQFZRH",
        "XZGH",
        "BYZSH",
        "KSH",
        "ZKZH",
        "YHKH",
        "YBH",
        "XBH",
    ]
)
UPPER = frozenset({"id_number", "student_number", "code", "school", "school_ref", "uscc"})
DIRT_KINDS = {
    "full_width": "全角字符",
    "lower_x": "小写 x",
    "blank": "多余空白",
    "dot": "间隔号不规范",
    "placeholder": "占位符",
    "serial_date": "Excel 序列日期",
}


def clean(raw: str, field: Field, *, label: bool = False) -> str:
    """SQL of the canonical text of `raw` (itself SQL), before label → code and before type conversion."""
    compact = is_compact(field) and not label
    wide, narrow = (FULL_WIDTH + FULL_SIGNS, HALF_WIDTH + HALF_SIGNS) if compact else (FULL_WIDTH, HALF_WIDTH)
    value = f"trim(translate({raw}, {text(wide + IDEOGRAPHIC_SPACE)}, {text(narrow + ' ')}))"
    suspect = f"{CLASS_OF_WIDE}{IDEOGRAPHIC_SPACE}"
    if field.kind == "name":
        value = f"translate(replace({value}, ' ', ''), {text(DOTS)}, {text('·' * len(DOTS))})"
        suspect += f" {DOTS}"
    elif compact:
        value = f"replace({value}, ' ', '')"
        suspect += FULL_SIGNS
    # `translate` builds its table for every value: it is asked only where a character needs it (35 times faster).
    plain = f"replace({raw}, ' ', '')" if compact else f"trim({raw})"
    value = f"CASE WHEN regexp_matches({raw}, {text(f'[{suspect}]')}) THEN {value} ELSE {plain} END"
    if field.kind != "name":
        value = f"CASE WHEN strlen({raw}) = length({raw}) THEN {plain} ELSE {value} END"
    return f"upper({value})" if field.kind in UPPER and not label else value


def is_compact(field: Field) -> bool:
    """True for ASCII by definition: codes, dates, numbers, and the identifiers schools give themselves."""
    return field.kind in COMPACT or field.name in IDENTIFIERS


def label_key(value: str) -> str:
    """SQL under which a label is looked up: brackets, blanks and case do not tell labels apart."""
    folded = f"upper(replace(translate({value}, {text(FULL_SIGNS)}, {text(HALF_SIGNS)}), ' ', ''))"
    return f"CASE WHEN regexp_matches({value}, {text(f'[{FULL_SIGNS} a-z]')}) THEN {folded} ELSE {value} END"


def fold_label(label: str) -> str:
    """The same in Python, for the lookup tables."""
    return label.translate(str.maketrans(FULL_SIGNS, HALF_SIGNS)).replace(" ", "").upper()


def empty_to_null(value: str, field: Field) -> str:
    """SQL that makes placeholders and empty text NULL; `value` is a plain column name."""
    nothing = [p for p in PLACEHOLDERS if not (p == "无" and field.name in NONE_IS_VALUE)]
    return f"CASE WHEN {value} = '' OR upper({value}) IN {texts(nothing)} THEN NULL ELSE {value} END"


def convert(value: str, field: Field) -> str:
    """SQL that brings dates and months of any form met in practice to the canonical form; text otherwise unchanged."""
    if field.kind == "date":
        return (
            f"CASE WHEN regexp_full_match({value}, '[0-9]{{4}}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,2}}') "
            f"THEN coalesce(strftime(try_strptime(translate({value}, '/.', '--'), '%Y-%m-%d'), '%Y%m%d'), {value}) "
            f"WHEN regexp_full_match({value}, '[2-5][0-9]{{4}}') "
            f"THEN strftime(DATE '1899-12-30' + {value}::INTEGER, '%Y%m%d') ELSE {value} END"
        )
    if field.kind == "month":
        return (
            f"CASE WHEN regexp_full_match({value}, '[0-9]{{4}}[-/.][0-9]{{1,2}}') "
            f"THEN substr({value}, 1, 4) || lpad(substr({value}, 6), 2, '0') "
            f"WHEN regexp_full_match({value}, '[2-5][0-9]{{4}}') "
            f"THEN strftime(DATE '1899-12-30' + {value}::INTEGER, '%Y%m') ELSE {value} END"
        )
    return value


def dirt_counts(columns: Sequence[tuple[SourceColumn, Field]]) -> list[tuple[str, str, str]]:
    """(field, dirt kind, SQL count over the raw rows) for every kind that can occur in a column."""
    counts: list[tuple[str, str, str]] = []
    for column, field in columns:
        raw = ident(column.name)
        wide = f"strlen({raw}) <> length({raw}) AND regexp_matches({raw}, '[０-９Ａ-Ｚａ-ｚ]')"
        blank = f"{raw} <> trim({raw})"
        if field.kind == "name" or is_compact(field):
            blank = f"({blank} OR contains({raw}, ' ') OR contains({raw}, '　'))"
        else:
            blank = f"({blank} OR starts_with({raw}, '　') OR ends_with({raw}, '　'))"
        nothing = [p for p in PLACEHOLDERS if not (p == "无" and field.name in NONE_IS_VALUE)]
        found = [("full_width", wide), ("blank", blank), ("placeholder", f"upper(trim({raw})) IN {texts(nothing)}")]
        if field.kind in ("id_number", "student_number"):
            found.append(("lower_x", f"ends_with({raw}, 'x') OR ends_with({raw}, 'ｘ')"))
        if field.kind == "name":
            found.append(("dot", f"regexp_matches({raw}, '[.•‧・．∙]')"))
        if field.kind in ("date", "month"):
            found.append(("serial_date", f"regexp_full_match({raw}, '[2-5][0-9]{{4}}')"))
        counts += [(field.name, kind, f"count(*) FILTER (WHERE {condition})") for kind, condition in found]
    return counts


def mapped_columns(entity: Entity, columns: Sequence[SourceColumn]) -> list[tuple[SourceColumn, Field]]:
    """The source columns that feed a canonical field, with that field."""
    return [(c, entity[c.name]) for c in columns if c.compare is None and c.name in entity.by_name]
