"""What a valid value is, once more and without SQL: the row rules of MODEL §7 over pandas columns.

Decides, per rule, which rows of a block hold (True) or break it (False). `quality.rules` says the same in SQL; the two
are written apart on purpose, so that a slip in one shows as a disagreement (`quality.judge`).

Each function takes the columns in the order the suite names them; an empty cell breaks nothing here (WZ rules excepted).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from quality.suites import ANYBODY, CODE_SEPARATOR

WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.int64)
CHECK = np.frombuffer(b"10X98765432", np.uint8)
MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
VOCATIONAL_CLASS = "36"
NOT_VOCATIONAL = ("368", "369")


def _false(column: pd.Series | pd.DataFrame) -> pd.Series:
    return pd.Series(np.zeros(len(column), bool), index=column.index)


def matches(column: pd.Series, regex: str) -> pd.Series:
    """True where the whole text matches; False where it is empty."""
    return column.str.fullmatch(regex).fillna(False).astype(bool)


def equals(column: pd.Series, *values: str) -> pd.Series:
    """True where the text is one of `values`; False where it is empty."""
    return column.isin(values).astype(bool)


def well_formed(number: pd.Series) -> pd.Series:
    """An 18-character identity number by its form alone (GB 11643)."""
    return matches(number, "[0-9]{17}[0-9X]")


def check_digit(number: pd.Series) -> pd.Series:
    """ISO 7064 MOD 11-2 over well-formed 18-character numbers; False for any other text."""
    good = _false(number)
    formed = well_formed(number)
    if formed.any():
        digits = np.frombuffer("".join(number[formed]).encode("ascii"), np.uint8).reshape(-1, 18)
        total = (digits[:, :17].astype(np.int64) - 48) @ WEIGHTS
        good[formed] = CHECK[total % 11] == digits[:, 17]
    return good


def real_date(text: pd.Series) -> pd.Series:
    """A day of the Gregorian calendar written YYYYMMDD (GB/T 7408); False for any other text."""
    good = _false(text)
    formed = matches(text, "[0-9]{8}")
    if formed.any():
        number = text[formed].astype("int64").to_numpy()
        year, month, day = number // 10_000, number // 100 % 100, number % 100
        leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
        known = (month >= 1) & (month <= 12)
        last = MONTH_DAYS[np.where(known, month - 1, 0)] + (leap & (month == 2))
        good[formed] = known & (day >= 1) & (day <= last)
    return good


def _card(block: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """(rows that give an ID card number, the number); the first two columns are type and number."""
    kind, number = block.iloc[:, 0], block.iloc[:, 1]
    return equals(kind, "1") & number.notna(), number


def id_form(block: pd.DataFrame) -> pd.Series:
    """YX01 over (SFZJLXM, SFZJH)."""
    card, number = _card(block)
    return ~card | well_formed(number)


def id_check(block: pd.DataFrame) -> pd.Series:
    """YX02 over (SFZJLXM, SFZJH)."""
    card, number = _card(block)
    return ~(card & well_formed(number)) | check_digit(number)


def known_code(column: pd.Series, *, codes: str) -> pd.Series:
    """YX05: one of `codes`, parted by `CODE_SEPARATOR`; False where it is empty."""
    return column.isin(codes.split(CODE_SEPARATOR)).astype(bool)


def no_outdated_code(column: pd.Series, *, codes: str) -> pd.Series:
    """YX06: none of the codes that are no longer in force."""
    return ~known_code(column, codes=codes)


def known_codes(block: pd.DataFrame, *, codes: Sequence[str]) -> pd.Series:
    """YX05 of each column by its own codes; an empty cell holds."""
    good = ~_false(block)
    for at, own in enumerate(codes):
        column = block.iloc[:, at]
        good &= column.isna() | known_code(column, codes=own)
    return good


def lengths(block: pd.DataFrame, *, limits: Sequence[int]) -> pd.Series:
    """YX18 of each column by its own limit, in characters; an empty cell holds."""
    good = ~_false(block)
    for at, limit in enumerate(limits):
        good &= (block.iloc[:, at].str.len() <= limit).fillna(True).astype(bool) | block.iloc[:, at].isna()
    return good


def id_division(block: pd.DataFrame, *, codes: str) -> pd.Series:
    """YX03 over (SFZJLXM, SFZJH): the first six digits were a division at some time."""
    card, number = _card(block)
    return ~(card & well_formed(number)) | known_code(number.str.slice(0, 6), codes=codes)


def id_birth(block: pd.DataFrame, *, today: str) -> pd.Series:
    """YX04 over (SFZJLXM, SFZJH): a real date, not after `today` (YYYYMMDD)."""
    card, number = _card(block)
    born = number.str.slice(6, 14)
    return ~(card & well_formed(number)) | (real_date(born) & (born <= today).fillna(False).astype(bool))


def birth_agrees(block: pd.DataFrame) -> pd.Series:
    """YZ01 over (SFZJLXM, SFZJH, CSRQ)."""
    card, number = _card(block)
    born = block.iloc[:, 2]
    asked = card & well_formed(number) & born.notna()
    return ~asked | (born == number.str.slice(6, 14)).fillna(False).astype(bool)


def sex_agrees(block: pd.DataFrame) -> pd.Series:
    """YZ02 over (SFZJLXM, SFZJH, XBM): odd for men, even for women; 未知 and 未说明 contradict a card too."""
    card, number = _card(block)
    sex = block.iloc[:, 2]
    odd = equals(number.str.slice(16, 17), "1", "3", "5", "7", "9")
    return ~(card & well_formed(number) & sex.notna()) | equals(sex, "1") & odd | equals(sex, "2") & ~odd


def student_number_check(column: pd.Series) -> pd.Series:
    """YX13: a formal student number ends in its check digit."""
    formal = matches(column, "[GJ][0-9]{17}[0-9X]")
    return ~formal | check_digit(column.str.slice(1))


def student_number_agrees(block: pd.DataFrame) -> pd.Series:
    """YZ03 over (GRBSM, SFZJH): a G number is the identity number."""
    number, card = block.iloc[:, 0], block.iloc[:, 1]
    asked = equals(number.str.slice(0, 1), "G") & card.notna()
    return ~asked | (number.str.slice(1) == card).fillna(False).astype(bool)


def still_temporary(block: pd.DataFrame) -> pd.Series:
    """YZ04 over (SFZJLXM, SFZJH, GRBSM): an L number though the identity number holds."""
    card, number = _card(block)
    return ~(equals(block.iloc[:, 2].str.slice(0, 1), "L") & card & check_digit(number))


def vocational_school(block: pd.DataFrame, *, form: str) -> pd.Series:
    """YX08 over (XXDM, XXBXLXM): only attached classes and other institutions carry a code outside 36 (ruling 7)."""
    code, kind = block.iloc[:, 0], block.iloc[:, 1]
    asked = matches(code, form) & ~equals(kind, *NOT_VOCATIONAL)
    return ~asked | equals(code.str.slice(0, 2), VOCATIONAL_CLASS)


def school_year(column: pd.Series) -> pd.Series:
    """YX14: YYYY-YYYY, the second the year after the first; an empty cell holds."""
    formed = matches(column, "(19|20)[0-9]{2}-(19|20)[0-9]{2}")
    good = column.isna()
    if formed.any():
        years = column[formed]
        first, second = years.str.slice(0, 4).astype("int64"), years.str.slice(5, 9).astype("int64")
        good[formed] = second == first + 1
    return good


def delivered(block: pd.DataFrame, *, of: str) -> pd.Series:
    """WZ01 over (fields …, src_rid): filled, asked of the rows `of` a platform, a school or own system, or `ANYBODY`."""
    filled = block.iloc[:, :-1].notna().all(axis=1)
    school = block.iloc[:, -1].str.match("[A-Z]").fillna(False).astype(bool)
    if of == ANYBODY:
        return filled
    return filled | (~school if of == "school" else school)


def required_when(block: pd.DataFrame, *, value: str, negate: bool) -> pd.Series:
    """WZ02, WZ03, WZ05, WZ06 over (condition, field): filled where the condition is (or, negated, is not) `value`."""
    condition, field = block.iloc[:, 0], block.iloc[:, 1]
    same = equals(condition, value)
    asked = condition.notna() & ~same if negate else same
    return ~asked | field.notna()
