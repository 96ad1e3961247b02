"""Masks of private data: what of a value may be seen (console §1, protocol 14.3).

Decides per field, from its `mask` in the entity definition, which characters stay: 身份证件号 `130***********7164`,
手机号 `139****0512`, card the last four, 学籍号 its letter, three digits and the last four, addresses and texts
nothing. Shorter values keep less, so that nothing short stands open. The same value always masks alike.

Free texts, where an identity number may hide though the field is not private, are swept for one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from hub.catalog import Entity, Field

HIDDEN: Final = "***"
KEY_JOIN: Final = "|"
# An 18-digit ID number (GB 11643), alone or inside a 学籍号: place, birth date, order, check.
ID_INSIDE: Final = r"[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])[0-9]{3}[0-9Xx]"
_SWEPT: Final = re.compile(ID_INSIDE)
_ID_LENGTH: Final = 18
# Fields whose values are numbers of public registers and look like identity numbers at times.
_PUBLIC_KINDS: Final = frozenset({"uscc"})
# (shortest value, characters kept in front, characters kept at the end); the first that fits counts.
_KEEP: Final[dict[str, tuple[tuple[int, int, int], ...]]] = {
    "id": ((15, 3, 4), (8, 1, 2)),
    "phone": ((11, 3, 4), (7, 0, 2)),
    "card": ((12, 0, 4),),
    "student_number": ((16, 4, 4), (8, 1, 2)),
    "address": (),
    "text": (),
}


def is_masked(field: Field) -> bool:
    """True when the field's values are masked by default."""
    return field.private or field.mask is not None


def mask_value(field: Field | None, value: str | None) -> str | None:
    """One value as it may be shown; None stays None. Without a field, the text is swept for identity numbers."""
    if value is None:
        return None
    if field is None or not is_masked(field):
        return value if field is not None and field.kind in _PUBLIC_KINDS else swept(value)
    return _covered(field.mask or "text", value)


def mask_key(entity: Entity, key: str | None) -> str | None:
    """A natural key as quarantine and conflicts keep it (parts joined by `|`), each part under its field's mask."""
    if not key:
        return key
    parts = key.split(KEY_JOIN)
    fields = [entity[name] for name in entity.key]
    if len(parts) != len(fields):
        return HIDDEN if any(is_masked(f) for f in fields) else swept(key)
    return KEY_JOIN.join(str(mask_value(f, part)) if part else "" for f, part in zip(fields, parts, strict=True))


def mask_row(entity: Entity, row: dict[str, Any]) -> dict[str, Any]:
    """A record by field name; columns that are not payload fields are swept."""
    return {name: _shown(entity.by_name.get(name), value) for name, value in row.items()}


def _shown(field: Field | None, value: Any) -> Any:
    return mask_value(field, value) if isinstance(value, str) else value


def swept(text: str) -> str:
    """The text with every identity number in it masked."""
    return _SWEPT.sub(lambda found: _covered("id", found[0]), text) if len(text) >= _ID_LENGTH else text


def mask_batch(entity: Entity, batch: Any, columns: Sequence[str]) -> Any:
    """A record batch of payload columns with every private column masked, columnar."""
    arrays = [mask_column(entity[name], batch.column(name)) for name in columns]
    return pa.record_batch(arrays, names=list(columns))


def mask_column(field: Field, column: Any) -> Any:
    """An Arrow column as it may be shown."""
    if not pa.types.is_string(column.type):
        return column if not is_masked(field) else pc.if_else(pc.is_valid(column), HIDDEN, None)
    if not is_masked(field):
        return column if field.kind in _PUBLIC_KINDS else _sweep_column(column)
    length = pc.utf8_length(column)
    result = pc.if_else(pc.is_valid(column), HIDDEN, pa.scalar(None, pa.string()))
    for shortest, front, end in reversed(_KEEP[field.mask or "text"]):
        fits = pc.greater_equal(length, shortest)
        if not pc.any(fits).as_py():
            continue
        head = pc.utf8_slice_codeunits(column, 0, front)
        tail = pc.utf8_slice_codeunits(column, -end)
        stars = pc.binary_repeat("*", pc.max_element_wise(pc.subtract(length, front + end), 0))
        result = pc.if_else(fits, pc.binary_join_element_wise(head, stars, tail, ""), result)
    return result


def _sweep_column(column: Any) -> Any:
    longest = pc.max(pc.binary_length(column)).as_py() or 0
    if longest < _ID_LENGTH or not pc.any(pc.match_substring_regex(column, ID_INSIDE)).as_py():
        return column
    return pa.array([None if v is None else swept(v) for v in column.to_pylist()], pa.string())


def _covered(mask: str, value: str) -> str:
    for shortest, front, end in _KEEP[mask]:
        if len(value) >= shortest:
            return value[:front] + "*" * (len(value) - front - end) + value[-end:]
    return HIDDEN
