"""Temporary tables of the ministry's matching: marks on their way in, persons to be looked at, cases to be followed.

Beside those of `hub.store.stage`: on Oracle they stand as global temporary tables.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from hub.changes import PK_LENGTH
from hub.store.ledger import char, text

FRESH_PERSON, FRESH_ENROLMENT = "fresh_person", "fresh_enrolment"
TOUCHED, DOUBLE, FOLLOWED = "touched_mark", "double_mark", "followed_case"
_VERSIONED: Final = ("key_ver", "row_ver")


def match_tables() -> dict[str, sa.Table]:
    """By name, one metadata each."""
    marked = [*(sa.Column(n, sa.BigInteger) for n in _VERSIONED), sa.Column("pk", char(PK_LENGTH))]
    return {
        FRESH_PERSON: _table(FRESH_PERSON, *marked, *_texts(mark=64, link=40, school=20)),
        FRESH_ENROLMENT: _table(
            FRESH_ENROLMENT, *(sa.Column(c.name, c.type) for c in marked), *_texts(link=40, status=2)
        ),
        TOUCHED: _table(TOUCHED, *_texts(mark=64)),
        DOUBLE: _table(DOUBLE, *_texts(mark=64)),
        FOLLOWED: _table(FOLLOWED, *_texts(case_no=24)),
    }


def _texts(**lengths: int) -> list[sa.Column[Any]]:
    return [sa.Column(n, text(size)) for n, size in lengths.items()]


def _table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    return sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"])
