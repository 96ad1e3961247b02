"""What is heard of a run is what Oracle would be sent, decided by SQLAlchemy's Oracle and not by words."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import elements

from tests.oracle.recording import Said, sent_by_oracle
from tests.oracle.statements import dialect


def test_of_a_savepoint_only_what_oracle_is_sent_is_judged() -> None:
    made, clauses = dialect((19,)), vars(elements)
    names = ("SavepointClause", "RollbackToSavepointClause", "ReleaseSavepointClause")
    heard: list[Any] = [clauses[name]("sp") for name in names]
    sent = [[Said(core, None, "x").rendered(made) for core in sent_by_oracle(said)] for said in heard]
    assert sent == [["SAVEPOINT sp"], ["ROLLBACK TO SAVEPOINT sp"], []]


def test_a_statement_as_it_stands_is_heard_as_it_stands() -> None:
    asked: Any = sa.select(sa.literal_column("1"))
    assert sent_by_oracle(asked) == [asked]
