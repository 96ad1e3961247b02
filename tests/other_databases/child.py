"""Loads one dialect out of the folder given and compiles every table for it; JSON on standard output.

A process of its own, because the packages bring old set-up tools with them that must not meet the hub's.

python -m tests.other_databases.child FOLDER NAME
"""

from __future__ import annotations

import json
import re
import sys

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from hub.catalog import load_catalog
from hub.store.tables import build_tables

URLS = {
    "dm": "dm+dmPython://hub:x@localhost:5236",
    "opengauss": "opengauss+psycopg2://hub:x@localhost/hub",
    "kingbase": "postgresql+psycopg2://hub:x@localhost/hub",
}


def engine_of(name: str) -> sa.Engine:
    """An engine that has not connected. Kingbase has a driver on the package index and no dialect of its own."""
    if name == "kingbase":
        import ksycopg2  # type: ignore[import-not-found]

        return sa.create_engine(URLS[name], module=ksycopg2)
    return sa.create_engine(URLS[name])


def main(name: str) -> None:
    engine = engine_of(name)
    tables = build_tables(load_catalog()).metadata.tables
    made = {t.name: str(CreateTable(t).compile(engine)) for t in tables.values()}
    made |= {str(i.name): str(CreateIndex(i).compile(engine)) for t in tables.values() for i in t.indexes}
    decision = tables["decision"]
    page = sa.select(decision.c.decision_no).order_by(decision.c.decision_no).limit(3)
    told = {
        "dialect": type(engine.dialect).__module__,
        "driver": engine.dialect.dbapi.__name__ if engine.dialect.dbapi else None,
        "tables": len(tables),
        "reserved": sorted({n for ddl in made.values() for n in re.findall(r'(?<!COLLATE )"(\w+)"', ddl)}),
        "conflict": made["conflict"],
        "page": str(page.compile(engine)),
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    main(sys.argv[2])
