"""What the same work costs otherwise: the raw limit (COPY and sftp), and the usual ways to write it (pandas, dlt)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import psycopg

from tests.bench.place import PROVINCE, Place, conninfo, timed

DLT = "dlt[postgres]==1.28.0"


def raw_limit(place: Place) -> dict[str, float]:
    """Seconds of `COPY` out of the sources, `COPY` into both tiers' tables, and `sftp` of the sealed bytes."""
    folder = place.folder / "raw"
    folder.mkdir(exist_ok=True)
    rows = place.folder / "rows"
    rows.mkdir(exist_ok=True)
    for entity in place.catalog.entities:  # the golden rows themselves; writing them out is not counted
        _copy_out(place.province_db, f"g_{entity}", rows / entity)
    return {
        "copy out of the sources": timed(lambda: _sources_out(place, folder)),
        "copy into the province": timed(lambda: _tables_in(place, rows)),
        "sftp of the sealed bytes": timed(lambda: _sftp(place)),
        "copy into the ministry": timed(lambda: _tables_in(place, rows)),
    }


def _psql(url: str, command: str) -> None:
    quiet = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
    subprocess.run(["psql", conninfo(url), "-q", "-v", "ON_ERROR_STOP=1", "-c", command], check=True, env=quiet)


def _copy_out(url: str, table: str, file: Path) -> None:
    # A query, because golden tables are partitioned and COPY takes no partitioned table by name.
    _psql(url, f"\\copy (SELECT * FROM {table}) to '{file}' with (format csv)")


def _sources_out(place: Place, folder: Path) -> None:
    for table in place.catalog.source_tables():
        if table.entity is not None:
            _copy_out(place.urls[table.system], f'"{_actual(place, table.system, table.table)}"', folder / table.table)


def _actual(place: Place, system: str, table: str) -> str:
    """The table's name as the database spells it."""
    with psycopg.connect(conninfo(place.urls[system])) as con:
        row = con.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND lower(relname) = lower(%s)", [table]
        ).fetchone()
    if row is None:
        raise RuntimeError(f"no table {table}")
    return str(row[0])


def _tables_in(place: Place, rows: Path) -> None:
    """The golden rows into empty tables of the same definition, keys included, in one transaction."""
    url = place.province_db
    script = ["BEGIN;"]
    for entity in place.catalog.entities:
        script.append(f"CREATE TABLE raw_{entity} (LIKE g_{entity} INCLUDING ALL);")
        script.append(f"\\copy raw_{entity} from '{rows / entity}' with (format csv)")
    script.append("COMMIT;")
    drop = " ".join(f"DROP TABLE IF EXISTS raw_{e};" for e in place.catalog.entities)
    _psql(url, drop)
    subprocess.run(
        ["psql", conninfo(url), "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"],
        input="\n".join(script),
        text=True,
        check=True,
    )
    _psql(url, drop)


def _sftp(place: Place) -> None:
    """The sealed files over the same server with the `sftp` command."""
    files = sorted((place.lab / "province" / "spool").rglob("*.cms"))
    known = place.folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{place.sshd.port} {place.sshd.host_key_line}\n")
    url = place.sshd.url(PROVINCE)
    user = url.split("//")[1].split("@")[0]
    base = "/" + url.split("@")[1].split("/", 1)[1] if "/" in url.split("@")[1] else ""
    batch = "\n".join([f"put {f} {base}/in/part/raw-{i}" for i, f in enumerate(files)])
    options = ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes", "-i", str(place.sshd.client_key)]
    subprocess.run(
        ["sftp", "-q", "-b", "-", *options, "-P", str(place.sshd.port), f"{user}@127.0.0.1"],
        input=batch + "\n",
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def pandas_way(place: Place, share: float) -> float:
    """Seconds of `read_sql`/`to_sql` from the sources into the province and on to the ministry, scaled from a share."""
    import pandas as pd
    import sqlalchemy as sa

    here = sa.create_engine(place.province_db)
    there = sa.create_engine(place.ministry_db)

    def work() -> None:
        for table in place.catalog.source_tables():
            if table.entity is None:
                continue
            name = _actual(place, table.system, table.table)
            source = sa.create_engine(place.urls[table.system])
            with source.connect() as con:
                count = con.execute(sa.text(f'SELECT count(*) FROM "{name}"')).scalar_one()
                limit = max(1, int(count * share))
                frame = pd.read_sql(sa.text(f'SELECT * FROM "{name}" LIMIT {limit}'), con)
            frame.to_sql(f"pd_{table.entity}", here, index=False, if_exists="replace", chunksize=50_000)
            again = pd.read_sql(sa.text(f"SELECT * FROM pd_{table.entity}"), here)
            again.to_sql(f"pd_{table.entity}", there, index=False, if_exists="replace", chunksize=50_000)
            source.dispose()

    seconds = timed(work)
    for engine in (here, there):
        with engine.begin() as con:
            for entity in place.catalog.entities:
                con.execute(sa.text(f"DROP TABLE IF EXISTS pd_{entity}"))
        engine.dispose()
    return seconds / share


SCRIPT = """
import json, sys, time
import dlt
from dlt.sources.sql_database import sql_table
from sqlalchemy import text
urls, target, tables, limits = json.loads(sys.argv[1])
start = time.perf_counter()
for tier, dataset in (("province", "dlt_province"), ("ministry", "dlt_ministry")):
    place = dlt.destinations.postgres(target)
    pipeline = dlt.pipeline(f"bench_{tier}", destination=place, dataset_name=dataset, pipelines_dir=sys.argv[2])
    for (system, table), limit in zip(tables, limits):
        cut = lambda query, _table, n=limit: query.limit(n)
        resource = sql_table(credentials=urls[system], table=table, backend="pyarrow", query_adapter_callback=cut)
        pipeline.run(resource, write_disposition="replace")
print(json.dumps(time.perf_counter() - start))
"""


def dlt_way(place: Place, share: float) -> float | None:
    """Seconds of dlt (pyarrow backend) from the sources into two PostgreSQL schemas, scaled; None if it cannot run."""
    home = place.folder.parent / ".dlt-venv"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "-q", DLT, "sqlalchemy<2.1", "psycopg2-binary", "pyarrow"]
        if subprocess.run(pip, check=False, stderr=subprocess.DEVNULL).returncode != 0:
            return None
    tables = [(t.system, _actual(place, t.system, t.table)) for t in place.catalog.source_tables() if t.entity]
    limits = []
    for system, table in tables:
        with psycopg.connect(conninfo(place.urls[system])) as con:
            row = con.execute(f'SELECT count(*) FROM "{table}"').fetchone()
            limits.append(max(1, int((row or [1])[0] * share)))
    urls = {s: conninfo(u).replace("postgresql://", "postgresql+psycopg2://") for s, u in place.urls.items()}
    arguments = json.dumps([urls, conninfo(place.province_db), tables, limits])
    script = place.folder / "dlt_way.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [str(python), str(script), arguments, str(place.folder / "dlt")], check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        sys.stderr.write("dlt 基线未能运行\n")
        return None
    return float(json.loads(done.stdout.strip().splitlines()[-1])) / share
