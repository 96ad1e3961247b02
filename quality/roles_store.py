"""Operators in the database live in `hub.roles_store`; this is the name rules here knew them by."""

from hub.roles_store import ACTIVE, STOPPED, add_operator, operator_named, operators, stop_operator

__all__ = ["ACTIVE", "STOPPED", "add_operator", "operator_named", "operators", "stop_operator"]
