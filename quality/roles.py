"""Roles live in `hub.roles` since the console of both tiers asks for them; this is the name rules here knew them by."""

from hub.roles import (
    WHOLE,
    Grant,
    Operator,
    Scope,
    check_roles,
    covered,
    in_scope,
    person_id,
    reporting_to,
    reporting_tree,
    rights,
    same_person,
    verbs,
)

__all__ = [
    "WHOLE",
    "Grant",
    "Operator",
    "Scope",
    "check_roles",
    "covered",
    "in_scope",
    "person_id",
    "reporting_to",
    "reporting_tree",
    "rights",
    "same_person",
    "verbs",
]
