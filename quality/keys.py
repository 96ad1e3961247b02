"""How a record is named to people: its natural key as one text, its school, and who may found it.

Natural keys hold personal data; they stay in the store's private columns and never reach logs or errors.
"""

from __future__ import annotations

from hub.catalog import Entity
from quality.expressions import ident

# Founded by their platform alone: a supplement never makes a school, a student number, a status,
# its change or a graduation (ruling 9, MODEL §6).
NEVER_FOUNDED_BY_SCHOOLS = ("xs", "xs_xj", "xs_yd", "xs_by", "xx")


def not_of_platform(src_rid: str) -> str:
    """SQL that holds for a record that a school (`L`) or an own system (its letter) founded, by its `src_rid`."""
    return f"coalesce(regexp_matches({src_rid}, '^[A-Z]'), FALSE)"


def natural_key(entity: Entity, prefix: str = "") -> str:
    """SQL of the natural key as a person reads it: parts joined by `|`."""
    return " || '|' || ".join(f"coalesce({prefix}{ident(k)}::VARCHAR, '')" for k in entity.key)


def school(entity: Entity, prefix: str = "") -> str:
    """SQL of the record's school code, NULL where the entity carries none."""
    return f"{prefix}XXDM" if "XXDM" in entity.by_name else "NULL::VARCHAR"
