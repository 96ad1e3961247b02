"""Decisions of people: the workflow's tables, and what links a losing value to its conflict.

Frozen. Column notation as in revision 0001: name, type (C text, H fixed text, B bigint, T long text, V value kept as
text: on Oracle no CLOB, which could not be compared), then `!` key, `#` private data.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PRIVATE = "private data: never logged, masked on display"
COLUMN = re.compile(r"(?P<name>[a-z0-9_]+) (?P<kind>[A-Z])(?P<size>\d*)(?P<flags>[!#]*)")
FOUR_EYES = (
    "kind IS NULL OR state NOT IN ('已生效', '退回源头平台') OR (proposer IS NOT NULL AND reviewer IS NOT NULL "
    "AND reviewer <> proposer)"
)
LINKS = "decision_no B; subject C24; school C20; division C6; basis C24#"
TABLES = {
    "decision": (
        "decision_no B!; subject C24; entity C20; pk H20; natural_key C255#; field C30; rule C20; clash C24; "
        "school C20; division C6; state C16; cause C40; state_before C16; until C10; version B; stamp B; "
        "events B; round_no B; open_rows B; waiting B; basis C24#; authority C8; authority_ok C1; "
        "authority_value V#; suggest_source C8; suggest_value V#; kind C16; chosen_source C8; chosen_value V#; "
        "effect C1; reason C20; note T#; proposer C80; proposed_at C40; reviewer C80; reviewed_at C40; op_no C40; "
        "assignee C80; due C10; opened_run B; moved_run B; closed_run B; evidence C80; changed_at C40"
    ),
    "decision_event": (
        "decision_no B!; event_no B!; round_no B; version B; action C24; from_state C16; to_state C16; cause C40; "
        "person C80; actor C80; role C40; kind C16; chosen_source C8; chosen_value V#; reason C20; note T#; op_no C40; "
        "evidence C80; ts C40"
    ),
    "bulk_operation": (
        "op_no C40!; action C24; kind C16; filter T#; reason C20; note T#; person C80; actor C80; role C40; state C16; "
        "as_of B; hits B; able B; done B; missed B; last_no B; undone B; kept B; skipped T; started C40; ended C40; "
        "undone_by C80; undone_at C40"
    ),
    "correction": (
        "correction_no B!; decision_no B; round_no B; system C8; entity C20; pk H20; natural_key C255#; field C30; "
        "rule C20; school C20; old_value V#; wanted_value V#; reason C20; note T#; state C16; asked_by C80; "
        "asked_at C40; due C10; sent_at C40; confirmed_run B; evidence C80; closed_at C40"
    ),
    "operator": "name C80!; person C80; state C8; created C40",
    "operator_role": "name C80!; role C40!; scope T",
}
INDEXES = (
    ("ix_decision_subject", "decision", ("subject",), True),
    ("ix_decision_state", "decision", ("state", "decision_no"), False),
    ("ix_decision_record", "decision", ("pk",), False),
    ("ix_decision_op", "decision", ("op_no",), False),
    ("ix_correction_decision", "correction", ("decision_no",), False),
    ("ix_correction_system", "correction", ("system", "state"), False),
    ("ix_conflict_decision", "conflict", ("decision_no",), False),
    ("ix_conflict_digest", "conflict", ("digest",), False),
    ("ix_conflict_run", "conflict", ("run_no",), False),
    ("ix_conflict_closed", "conflict", ("closed_run",), False),
)


def upgrade() -> None:
    for name, columns in TABLES.items():
        made = [_column(text) for text in columns.split("; ")]
        first = [c.name for c in made if c.info["key"]]
        checks = [sa.CheckConstraint(FOUR_EYES, name="ck_decision_four_eyes")] if name == "decision" else []
        op.create_table(name, *made, sa.PrimaryKeyConstraint(*first, name=f"pk_{name}"), *checks)
    for column in LINKS.split("; "):
        op.add_column("conflict", _column(column))
    for index, table, keys, unique in INDEXES:
        op.create_index(index, table, list(keys), unique=unique)


def downgrade() -> None:
    for index, table, _, _ in reversed(INDEXES):
        op.drop_index(index, table)
    for column in reversed(LINKS.split("; ")):
        op.drop_column("conflict", column.split()[0])
    for name in reversed(TABLES):
        op.drop_table(name)


def _column(text: str) -> sa.Column[Any]:
    found = COLUMN.fullmatch(text)
    if found is None:
        raise RuntimeError(f"malformed column {text!r}")
    flags, kind, size = found["flags"], found["kind"], int(found["size"] or 0)
    types: dict[str, Any] = {
        "C": sa.String(size).with_variant(sa.String(size, collation="C"), "postgresql"),
        "H": sa.CHAR(size).with_variant(sa.CHAR(size, collation="C"), "postgresql"),
        "T": sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
        "V": sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(sa.String(1333), "oracle"),
        "B": sa.BigInteger(),
    }
    return sa.Column(
        found["name"],
        types[kind],
        nullable="!" not in flags,
        autoincrement=False,
        comment=PRIVATE if "#" in flags else None,
        info={"key": "!" in flags},
    )
