"""What the rules that do not block ask of one row, over pandas columns: `quality.soft` says the same in SQL.

Each function takes the columns in the order the suite names them; an empty cell breaks nothing (WZ04 excepted).
"""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd

from quality.suites import CODE_SEPARATOR
from quality.suites_predicates import equals, matches, real_date
from quality.suites_soft import NAME_SEPARATOR

CREDIT_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
RURAL, CITY = ("2", "4"), "4"


def credit_code(column: pd.Series) -> pd.Series:
    """YX09: GB 32100; an empty cell holds."""
    good = column.isna()
    formed = matches(column, f"[{CREDIT_SIGNS}]{{18}}")
    if formed.any():
        value = {sign: at for at, sign in enumerate(CREDIT_SIGNS)}
        digits = np.array([[value[c] for c in code] for code in column[formed]], np.int64)
        weights = np.array([pow(3, i, 31) for i in range(17)], np.int64)
        good[formed] = (31 - (digits[:, :17] @ weights) % 31) % 31 == digits[:, 17]
    return good.astype(bool)


def _version(block: pd.DataFrame) -> pd.Series:
    return block.iloc[:, 0].fillna("") + ":" + block.iloc[:, 1]


def catalogued(block: pd.DataFrame, *, codes: str) -> pd.Series:
    """YX10 over (ZYMLBB, ZYDM)."""
    return block.iloc[:, 1].isna() | _version(block).isin(codes.split(CODE_SEPARATOR))


def catalogue_name(block: pd.DataFrame, *, names: str) -> pd.Series:
    """YX11 over (ZYMLBB, ZYDM, ZYMC): the catalogue's name of the code, whatever blanks, width and brackets."""
    known = dict(pair.split(NAME_SEPARATOR) for pair in names.split(CODE_SEPARATOR))
    said, name = _version(block).map(known), block.iloc[:, 2]
    asked = said.notna() & name.notna()
    good = ~asked
    good[asked] = said[asked].map(_folded) == name[asked].map(_folded)
    return good.astype(bool)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).replace(" ", "").upper()


def _months(column: pd.Series) -> pd.Series:
    """Months since year 0 of YYYYMM or of the month of YYYYMMDD; NaN for any other text."""
    formed = matches(column, "[0-9]{6}|[0-9]{8}")
    result = pd.Series(np.nan, index=column.index)
    if formed.any():
        text = column[formed]
        result[formed] = text.str.slice(0, 4).astype("int64") * 12.0 + text.str.slice(4, 6).astype("int64")
    return result


def months_between(block: pd.DataFrame, *, least: int) -> pd.Series:
    """YZ11 over (from, to): at least so many months lie between."""
    between = _months(block.iloc[:, 1]) - _months(block.iloc[:, 0].str.slice(0, 6))
    return ~(between < least)


def _younger(birth: pd.Series, limit: str) -> pd.Series:
    return matches(birth, "[0-9]{8}") & (birth > limit).fillna(False).astype(bool)


def _older(birth: pd.Series, limit: str) -> pd.Series:
    return matches(birth, "[0-9]{8}") & (birth <= limit).fillna(False).astype(bool)


def not_retired(block: pd.DataFrame, *, men: str, women: str) -> pd.Series:
    """YZ12 over (DQZTM, XBM, CSRQ)."""
    state, sex, birth = (block.iloc[:, at] for at in range(3))
    past = equals(sex, "1") & _older(birth, men) | equals(sex, "2") & _older(birth, women)
    return ~(equals(state, "11") & past)


def party_age(block: pd.DataFrame, *, party: str, youngest: str, oldest: str) -> pd.Series:
    """YZ13 over (ZZMMM, CSRQ)."""
    side, birth = block.iloc[:, 0], block.iloc[:, 1]
    league = equals(side, "03") & (_younger(birth, youngest) | _older(birth, oldest))
    return ~(equals(side, "01", "02") & _younger(birth, party) | league)


def marriage_age(block: pd.DataFrame, *, youngest: str) -> pd.Series:
    """YZ14 over (HYZKM, CSRQ)."""
    state, birth = block.iloc[:, 0], block.iloc[:, 1]
    return ~(state.notna() & ~equals(state, "10") & _younger(birth, youngest))


def no_old_temporary(block: pd.DataFrame) -> pd.Series:
    """YX19 over (SFZJLXM, SFZJH)."""
    return ~(equals(block.iloc[:, 0], "Z") & matches(block.iloc[:, 1], "999[0-9]{15}"))


def household_agrees(block: pd.DataFrame) -> pd.Series:
    """YZ15 over (HKXZM, XSJZDLXM)."""
    return ~(equals(block.iloc[:, 0], *RURAL) & equals(block.iloc[:, 1], CITY))


def not_overdue(block: pd.DataFrame, *, today: str, grace: int) -> pd.Series:
    """YZ09 over (XSDQZTM, RXNY, XZ): entry, years of study and grace lie before today."""
    years = pd.to_numeric(block.iloc[:, 2], errors="coerce")
    due = _months(block.iloc[:, 1].where(matches(block.iloc[:, 1], "[0-9]{6}"))) + np.floor(12 * years + 0.5) + grace
    now = int(today[:4]) * 12 + int(today[4:6])
    past = (due < now) | (due == now) & (int(today[6:]) > 1)
    return ~(equals(block.iloc[:, 0], "01") & past.fillna(False).astype(bool))


def registered_in_time(block: pd.DataFrame, *, today: str, autumn: str, spring: str) -> pd.Series:
    """JS02 over (ZCZKM, RXNY)."""
    state, entry = block.iloc[:, 0], block.iloc[:, 1]
    formed = matches(entry, "[0-9]{6}")
    late = (entry.str.slice(4, 6) >= "07").fillna(False).astype(bool)
    deadline = entry.str.slice(0, 4) + pd.Series(np.where(late, autumn, spring), index=entry.index)
    return ~(state.notna() & ~equals(state, "1") & formed & (deadline < today).fillna(False).astype(bool))


def days_between(block: pd.DataFrame, *, most: int) -> pd.Series:
    """JS03 over (from, to): at most so many days lie between."""
    asked = real_date(block.iloc[:, 0]) & real_date(block.iloc[:, 1])
    good = ~asked
    if asked.any():
        first, last = (pd.to_datetime(block.iloc[:, at][asked], format="%Y%m%d", errors="coerce") for at in range(2))
        good[asked] = ~((last - first).dt.days > most)
    return good.astype(bool)


def all_or_none(block: pd.DataFrame) -> pd.Series:
    """WZ04 over (field, the others): filled where any other is."""
    return block.iloc[:, 0].notna() | ~block.iloc[:, 1:].notna().any(axis=1)
