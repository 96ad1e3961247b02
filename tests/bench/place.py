"""The place a benchmark runs in: PostgreSQL, an OpenSSH server, source databases of a chosen size, a lab over them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from connectors.sample.run import generate
from hub.catalog import Catalog, load_catalog
from pipelines.lab.setup import init_lab
from tests.servers import PostgresServer, SshServer, start_postgres, start_sshd

PROVINCE = "13"
DAYS = {1: "2026-11-23", 2: "2026-11-24"}


@dataclass
class Place:
    """Servers, source URLs and the lab folder of one benchmark."""

    folder: Path
    students: int
    postgres: PostgresServer
    sshd: SshServer
    catalog: Catalog = field(default_factory=load_catalog)
    urls: dict[str, str] = field(default_factory=dict)
    province_db: str = ""
    ministry_db: str = ""

    @property
    def lab(self) -> Path:
        return self.folder / "lab"

    def close(self) -> None:
        self.sshd.stop()
        self.postgres.stop()


def set_up(folder: Path, students: int) -> Place:
    """Servers started, sources of day 1 written, lab initialised. Nothing of this is timed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = Place(folder, students, start_postgres(), start_sshd(folder / "sshd", parties=(PROVINCE,)))
    place.urls = {s: place.postgres.create_database(f"source_{s.lower()}") for s in ("S1", "S2", "S3")}
    place.province_db = place.postgres.create_database("province")
    place.ministry_db = place.postgres.create_database("ministry")
    write_sources(place, 1)
    init_lab(
        place.lab,
        sources=folder / "sources" / "sources.toml",
        province=PROVINCE,
        province_db=place.province_db,
        ministry_db=place.ministry_db,
        transport=place.sshd.url(PROVINCE),
        host_keys=(place.sshd.host_key_line,),
        exchange_root=place.sshd.root,
        ssh_key=place.sshd.client_key,
        at=datetime.now(UTC),
        rng=os.urandom,
    )
    return place


def write_sources(place: Place, day: int) -> None:
    """The source databases as they stand on a day, analysed as a running system's would be."""
    out = place.folder / "sources"
    generate(out, province=PROVINCE, students=place.students, seed=1, day=day, urls=place.urls)
    lines = ["[sources]", *(f'{s} = "{u}"' for s, u in place.urls.items())]
    lines += ['templates = "templates"', 'site_dictionaries = "site_dictionaries.csv"']
    (out / "sources.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for url in place.urls.values():
        with psycopg.connect(conninfo(url), autocommit=True) as con:
            con.execute("VACUUM ANALYZE")


def conninfo(url: str) -> str:
    """libpq's form of a SQLAlchemy URL."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def timed(work: Callable[[], Any]) -> float:
    """Wall seconds of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def child(module: str, *arguments: str) -> dict[str, Any]:
    """Runs `python -m module` and returns the JSON document it prints last."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], check=False, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} ended with {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
