"""Tables of the waiting area of school supplements (补录) and of the register of rows in transit (在途数据).

Decides columns and keys only, and one thing the database itself must hold: nobody reviews a row he imported, compared
by the person behind each name (`hub.roles_store.person_behind`). States,
in the words people read: a file's row is 待复核, 已通过, 已驳回, 错误行 or 已撤回. Cells and natural keys are private.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, PRIVATE, long_text, text

FOUR_EYES: Final = (
    "reviewer IS NULL OR (operator_person IS NOT NULL AND reviewer_person IS NOT NULL AND reviewer <> operator "
    "AND reviewer_person <> operator_person)"
)
SUPPLEMENT_METADATA: Final = sa.MetaData(naming_convention=METADATA.naming_convention)


def _number(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, primary_key=key, nullable=not key, autoincrement=False)


def _text(name: str, length: int = 40) -> sa.Column[Any]:
    return sa.Column(name, text(length))


SUPPLEMENT_FILE: Final = sa.Table(
    "supplement_file",
    SUPPLEMENT_METADATA,
    _number("file_no", key=True),
    _text("file_name", 255),
    _text("sha256", 80),
    _text("school", 10),
    _text("template", 60),
    _text("operator", 80),
    _text("imported_at"),
    _number("rows_total"),
    _number("rows_wrong"),
    _number("version"),
    _number("corrects"),
    sa.Column("sampled", long_text()),
    sa.Column("note", long_text()),
    _number("run_no"),
    _number("extract_no"),
)
SUPPLEMENT_ROW: Final = sa.Table(
    "supplement_row",
    SUPPLEMENT_METADATA,
    _number("file_no", key=True),
    _number("row_no", key=True),
    _text("state", 16),
    _text("operator", 80),
    _text("reviewer", 80),
    _text("reviewed_at"),
    _text("basis"),
    sa.Column("reasons", long_text()),
    sa.Column("cells", long_text(), comment=PRIVATE),
    _text("operator_person", 80),
    _text("reviewer_person", 80),
    sa.CheckConstraint(FOUR_EYES, name="ck_supplement_four_eyes"),
)
sa.Index("ix_supplement_row_state", SUPPLEMENT_ROW.c.state, SUPPLEMENT_ROW.c.file_no)
TRANSIT_ROW: Final = sa.Table(
    "transit_row",
    SUPPLEMENT_METADATA,
    _number("transit_no", key=True),
    _text("entity", 20),
    sa.Column("natural_key", text(255), comment=PRIVATE),
    _text("school", 20),
    _text("source", 80),
    _text("kind", 16),
    _text("src_rid", 64),
    _number("opened_run"),
    _number("kind_run"),
    _number("closed_run"),
    _text("outcome", 16),
)
