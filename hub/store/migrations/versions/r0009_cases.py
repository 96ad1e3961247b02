"""Cases of the ministry: the blind index, cases and their parties, a province's notices and answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.store.migrations.versions.r0001_first import _column

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = {
    "person_mark": "node H2!; pk H20!; key_ver B!; mark C64; link C40; school C20",
    "enrolment_mark": "node H2!; pk H20!; key_ver B!; link C40; status C2",
    "cross_case": (
        "case_no C24!; mark C64; state C16; cause C40; reason C20; round_no B; version B; events B; reminders B; "
        "stage B; opened_at C40; issued_at C40; due C10; reminded_at C40; keeper C2; ruled_at C40; closed_at C40; "
        "closed_by C80; evidence C80"
    ),
    "case_party": (
        "case_no C24!; node H2!; pk H20!; school C20; standing C1; settled C1; told_round B; told_close B; "
        "answer_no B; answer C16; answer_reason C20; answered_at C40; answer_batch C64; opened_at C40; left_by C64; "
        "left_cause C40"
    ),
    "case_event": (
        "case_no C24!; event_no B!; round_no B; version B; action C24; node C2; to_state C16; cause C40; person C80; "
        "second C80; evidence C80; ts C40; note T#"
    ),
    "case_notice": (
        "case_no C24!; decision_no B; round_no B; last_no B; reminders B; stage B; pk H20; counterpart C120; "
        "schools C400; reason C20; state C16; due C10; keeper C2; batch_id C64; received_at C40; closed_at C40; "
        "cause C40; evidence C80; particulars T#"
    ),
    "case_answer": (
        "answer_no B!; case_no C24; pk H20; round_no B; answer C16; reason C20; batch_id C64; created_at C40"
    ),
}
INDEXES = (
    ("ix_person_mark_mark", "person_mark", ("mark",), False),
    ("ix_person_mark_link", "person_mark", ("node", "link"), False),
    ("ix_enrolment_mark_link", "enrolment_mark", ("node", "link"), False),
    ("ix_cross_case_mark", "cross_case", ("mark",), True),
    ("ix_cross_case_state", "cross_case", ("state", "due"), False),
    ("ix_case_party_record", "case_party", ("node", "pk"), False),
    ("ix_case_notice_decision", "case_notice", ("decision_no",), False),
    ("ix_case_answer_case", "case_answer", ("case_no", "answer_no"), False),
)


def upgrade() -> None:
    for name, columns in TABLES.items():
        made = [_column(text) for text in columns.split("; ")]
        keys = [c.name for c in made if c.info["key"]]
        op.create_table(name, *made, sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"))
    for index, table, columns_, unique in INDEXES:
        op.create_index(index, table, list(columns_), unique=unique)


def downgrade() -> None:
    for index, table, _, _ in reversed(INDEXES):
        op.drop_index(index, table)
    for name in reversed(TABLES):
        op.drop_table(name)
