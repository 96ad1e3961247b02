"""Which roles a party's keys are pinned with on the trust list (protocol 10.2)."""

from __future__ import annotations

from typing import Final

# The three offline keys: trust lists, epoch grants, DR statements, two of three each.
ROOT_ROLES: Final = ("trust", "grant", "dr")
MINISTRY_ROLES: Final = (
    "sign:dn:case:*",
    "sign:dn:errors:*",
    "sign:dn:codes:*",
    "receipt:up:main:*",
    "head:*",
    "control:*",
)


def province_roles(party: str) -> tuple[str, ...]:
    """What a province signs: its batches, and receipts of what comes down to it."""
    return (f"sign:up:main:{party}", f"receipt:dn:case:{party}", f"receipt:dn:errors:{party}")
