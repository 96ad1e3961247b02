"""Findings and rates: what stands and yet breaks a rule, and how good a school's data were in a run.

`finding`: one row per hit; `pk` is the record number, `NO_FIELD` where the hit is of a source row that founded none, or
of a run. `quality_rate`: good of total per school and dimension of a run; bounded by the number of schools.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, PRIVATE, text

FINDING_METADATA: Final = sa.MetaData(naming_convention=METADATA.naming_convention)


def _key(name: str, type_: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, primary_key=True, nullable=False, autoincrement=False)


FINDING: Final = sa.Table(
    "finding",
    FINDING_METADATA,
    _key("entity", text(20)),
    _key("src_rid", text(64)),
    _key("rule", text(20)),
    _key("field", text(30)),
    _key("pk", text(20)),
    sa.Column("natural_key", text(255), comment=PRIVATE),
    sa.Column("school", text(20)),
    sa.Column("severity", text(8)),
    sa.Column("source", text(80)),
    sa.Column("detail", text(400)),
    sa.Column("state", text(8)),
    sa.Column("run_no", sa.BigInteger),
    sa.Column("closed_run", sa.BigInteger),
)
sa.Index("ix_finding_open", FINDING.c.closed_run, FINDING.c.rule)
QUALITY_RATE: Final = sa.Table(
    "quality_rate",
    FINDING_METADATA,
    _key("run_no", sa.BigInteger),
    _key("school", text(20)),
    _key("dimension", text(20)),
    sa.Column("division", text(6)),
    sa.Column("good", sa.BigInteger),
    sa.Column("total", sa.BigInteger),
)
