"""SQL expressions shared by the settling steps: quoting, record numbers, identity-number arithmetic.

Text in, SQL text out; nothing is executed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

# Separates the parts of a natural key inside one text; it cannot occur in normalised values.
KEY_SEPARATOR = "\x1f"
FULL_WIDTH = "".join(chr(c) for c in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B)))
HALF_WIDTH = "".join(chr(ord(c) - 0xFEE0) for c in FULL_WIDTH)
# In codes, numbers and telephone numbers the punctuation is full-width as well at times.
FULL_SIGNS, HALF_SIGNS = "－／．＋：（）", "-/.+:()"


def ident(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A quoted text literal."""
    return "'" + value.replace("'", "''") + "'"


def texts(values: Iterable[str]) -> str:
    """A parenthesised list of text literals, sorted."""
    return "(" + ", ".join(text(v) for v in sorted(values)) + ")"


def key_text(columns: Sequence[str], prefix: str = "") -> str:
    """One text out of the key columns."""
    parts = [f"coalesce({prefix}{ident(c)}::VARCHAR, '')" for c in columns]
    return parts[0] if len(parts) == 1 else f" || {text(KEY_SEPARATOR)} || ".join(parts)


def record_number(secret: bytes, entity: str, key: str) -> str:
    """HMAC-SHA256(secret, entity ␟ key), first 80 bits in hex: the surrogate of a natural key (issue item 6).

    `key`: SQL text expression of the natural key. The secret enters the statement only as padded blocks.
    """
    block = secret if len(secret) <= 64 else hashlib.sha256(secret).digest()
    block = block.ljust(64, b"\0")
    inner = bytes(b ^ 0x36 for b in block).hex()
    outer = bytes(b ^ 0x5C for b in block).hex()
    message = f"encode({text(entity + KEY_SEPARATOR)} || {key})"
    return f"substr(sha256(unhex('{outer}') || unhex(sha256(unhex('{inner}') || {message}))), 1, 20)"


def mod11_2(column: str) -> str:
    """True where the 18th character is the ISO 7064 MOD 11-2 check of the first 17 digits (GB 11643)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = " + ".join(f"(ascii(substr({column}, {i}, 1)) - 48) * {w}" for i, w in enumerate(weights, start=1))
    return f"substr('10X98765432', (({total}) % 11 + 1)::INTEGER, 1) = substr({column}, 18, 1)"


def valid_date(column: str) -> str:
    """True for a real date YYYYMMDD (GB/T 7408)."""
    # strptime skips blanks, so the digits are asked for by themselves.
    return f"(regexp_full_match({column}, '[0-9]{{8}}') AND try_strptime({column}, '%Y%m%d') IS NOT NULL)"


def valid_month(column: str) -> str:
    """True for a real month YYYYMM (GB/T 7408)."""
    return f"(length({column}) = 6 AND regexp_full_match({column}, '(19|20)[0-9]{{2}}(0[1-9]|1[0-2])'))"


def any_of(values: Sequence[str]) -> str:
    """A list of the non-null entries, NULL when there is none: rows without a hit carry no list."""
    if not values:
        return "NULL::VARCHAR[]"
    return f"nullif(list_filter([{', '.join(values)}], lambda x: x IS NOT NULL), [])"
