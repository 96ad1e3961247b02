"""The blind index: keyed digests under which one person is found in two provinces (protocol 14.4).

Decides what counts as the same document: an identity number after NFKC, trimming, upper-case X and 15 → 18 digits, if
it is one at all (place, date, check digit), whatever document type stands beside it; any other document by type and
number as written. `Z` (other) without an identity number stands for nobody. A second digest joins a student with the
enrolment, because a 学籍号 embeds personal data and is compared no more openly than an identity number.

Columnar over Arrow blocks in DuckDB; the functions in Python say the same for one value, and a test holds them
together. Only keyed digests leave; unkeyed ones of an identity number can be searched in seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import date
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from quality.expressions import mod11_2, text, valid_date

KEY_BYTES: Final = 32
LINK_LENGTH: Final = 32
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"
# Types whose 15 digits are an identity number of the first generation; a passport's 15 digits are not.
_FIRST_GENERATION: Final = ("1", "B", "Z")
_OTHER: Final = "Z"
# 旧系统临时证件号 (YX19) begin with 999, which is no place.
_IDENTITY, _OLD, _TEMPORARY = r"[1-9][0-9]{16}[0-9X]", r"[1-9][0-9]{14}", "999"


def identity_number(number: str | None, kind: str | None = "1") -> str | None:
    """The 18 characters of an identity number however it was written, None when it is none. `kind`: SFZJLXM."""
    clean = str(_clean(pa.array([number or ""]))[0])
    if re.fullmatch(_OLD, clean) and kind in _FIRST_GENERATION:
        body = f"{clean[:6]}19{clean[6:]}"
        clean = body + _check_digit(body)
    if not re.fullmatch(_IDENTITY, clean) or clean.startswith(_TEMPORARY):
        return None
    return clean if _check_digit(clean[:17]) == clean[17] and _is_date(clean[6:14]) else None


def person_mark(key: bytes, kind: str | None, number: str | None) -> str | None:
    """HMAC-SHA256 in hex of a document, None for one that stands for nobody."""
    identity = identity_number(number, kind)
    if identity is not None:
        return _hmac(key, b"idcard", identity)
    clean = str(_clean(pa.array([number or ""]))[0])
    if not clean or not kind or kind in ("1", _OTHER):
        return None
    return _hmac(key, f"document-{kind}".encode(), clean)


def link_of(key: bytes, student_number: str) -> str:
    """What joins a student with the enrolment, in place of the 学籍号."""
    return _hmac(key, b"record", student_number)[:LINK_LENGTH]


def check_value(key: bytes) -> str:
    """Tells one key from another without showing it."""
    return _hmac(key, b"check", "")[:16]


def person_rows(con: duckdb.DuckDBPyConnection, key: bytes, version: int, block: Any) -> Any:
    """(key_ver, row_ver, pk, mark, link, school) of a block of student rows."""
    number = _clean(block.column("SFZJH"))
    names = ["row_ver", "pk", "kind", "number", "record", "school"]
    columns = [block.column(n) for n in ("row_ver", "pk", "SFZJLXM")] + [number]
    con.register("block", pa.table([*columns, block.column("GRBSM"), block.column("XXDM")], names=names))
    try:
        return con.sql(
            f"SELECT {version}::BIGINT AS key_ver, row_ver, pk, CASE WHEN identity IS NOT NULL "
            f"THEN {_digest(key, _said('idcard', 'identity'))} "
            f"WHEN number <> '' AND kind NOT IN ('1', {text(_OTHER)}) THEN "
            f"{_digest(key, _said_of('document-', 'kind', 'number'))} END AS mark, "
            f"{_link(key)} AS link, school FROM (SELECT *, {_identity()} AS identity FROM ({_widened()}))"
        ).to_arrow_table()
    finally:
        con.unregister("block")


def enrolment_rows(con: duckdb.DuckDBPyConnection, key: bytes, version: int, block: Any) -> Any:
    """(key_ver, row_ver, pk, link, status) of a block of enrolment rows."""
    names = {"row_ver": "row_ver", "pk": "pk", "GRBSM": "record", "XSDQZTM": "status"}
    con.register("block", pa.table([block.column(n) for n in names], names=list(names.values())))
    try:
        return con.sql(
            f"SELECT {version}::BIGINT AS key_ver, row_ver, pk, {_link(key)} AS link, status FROM block"
        ).to_arrow_table()
    finally:
        con.unregister("block")


def _clean(numbers: Any) -> Any:
    """NFKC, trimmed, upper case; an Arrow column."""
    return pc.utf8_upper(pc.utf8_trim_whitespace(pc.utf8_normalize(numbers, "NFKC")))


def _widened() -> str:
    """The block with `wide`: 15 digits of the first generation as 18, anything else as it is."""
    body = "substr(number, 1, 6) || '19' || substr(number, 7)"
    total = " + ".join(f"(ascii(substr({body}, {i}, 1)) - 48) * {w}" for i, w in enumerate(_WEIGHTS, start=1))
    digit = f"substr({text(_CHECKS)}, (({total}) % 11 + 1)::INTEGER, 1)"
    kinds = ", ".join(text(k) for k in _FIRST_GENERATION)
    old = f"regexp_full_match(number, {text(_OLD)}) AND kind IN ({kinds})"
    return f"SELECT *, CASE WHEN {old} THEN {body} || {digit} ELSE number END AS wide FROM block"


def _identity() -> str:
    good = f"regexp_full_match(wide, {text(_IDENTITY)}) AND NOT starts_with(wide, {text(_TEMPORARY)})"
    return f"CASE WHEN {good} THEN CASE WHEN {mod11_2('wide')} AND {valid_date('substr(wide, 7, 8)')} THEN wide END END"


def _link(key: bytes) -> str:
    return f"substr({_digest(key, _said('record', 'record'))}, 1, {LINK_LENGTH})"


def _said(word: str, column: str) -> str:
    return f"(encode({text(word)}) || unhex('00') || encode({column}))"


def _said_of(word: str, kind: str, column: str) -> str:
    return f"(encode({text(word)} || {kind}) || unhex('00') || encode({column}))"


def _digest(key: bytes, message: str) -> str:
    """HMAC-SHA256 in SQL; the key enters the statement only as padded blocks."""
    block = key.ljust(64, b"\0")
    inner, outer = (bytes(b ^ pad for b in block).hex() for pad in (0x36, 0x5C))
    return f"sha256(unhex('{outer}') || unhex(sha256(unhex('{inner}') || {message})))"


def _hmac(key: bytes, word: bytes, value: str) -> str:
    return hmac.new(key, word + b"\0" + value.encode(), hashlib.sha256).hexdigest()


def _check_digit(body: str) -> str:
    return _CHECKS[sum(int(c) * w for c, w in zip(body, _WEIGHTS, strict=True)) % 11]


def _is_date(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True
