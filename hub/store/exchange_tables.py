"""Tables of the exchange's verdicts on single rows; described here, taken up by `hub.store.tables`.

`returned_row` holds, at either node, one row per rule that a row of a batch broke at the ministry (protocol 7.2,
PARTIAL): the ministry's quarantine, and the province's list of what came back. A row leaves it, and stays as history,
when a later version of the same record is in force (`cleared_by`: the batch or change set that brought it). No value
stands here: record number, version, provenance, rule and field find everything else.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from hub.store.ledger import METADATA, char, text


def _key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, nullable=False, autoincrement=False)


RETURNED_ROW: Final = sa.Table(
    "returned_row",
    METADATA,
    _key("node", char(2)),
    _key("entity", text(20)),
    _key("pk", char(20)),
    _key("row_ver", sa.BigInteger()),
    _key("rule", text(20)),
    _key("field", text(30)),
    sa.Column("src_rid", text(64)),
    sa.Column("batch_id", text(64)),
    sa.Column("file_no", sa.BigInteger),
    sa.Column("row_no", sa.BigInteger),
    sa.Column("returned_at", text(40)),
    sa.Column("cleared_by", text(64)),
)
sa.Index("ix_returned_row_open", RETURNED_ROW.c.cleared_by, RETURNED_ROW.c.rule)
sa.Index("ix_returned_row_source", RETURNED_ROW.c.entity, RETURNED_ROW.c.src_rid)
