"""School supplements (L): xlsx templates into the settling state (ruling 9).

Decides which files are new, and the identity (证件类型 + 证件号) of each row. Absence of a file deletes nothing; a file
read before under the same name and bytes is not read again.
"""

from __future__ import annotations

import hashlib
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.templates import derived_templates
from connectors.xlsx import Reject, read_template
from hub.catalog import Catalog, Template
from hub.errors import HubError
from province_node.extract import Alarm, digest
from quality.changed import ingest_local

IDENTITY_TYPE = {"xs.SFZJLXM", "jzg.SFZJLXM"}
IDENTITY_NUMBER = {"xs.SFZJH", "jzg.SFZJH"}
RESIDENT_CARD = "1"


@dataclass(frozen=True)
class Supplement:
    """One file as read: rows of raw text with identity columns, its template, school and refused rows."""

    name: str
    sha256: str
    template: str
    school: str
    rows: pa.Table
    rejects: tuple[Reject, ...]


@dataclass
class Locals:
    """What the supplements of a round brought. `files`: how many were taken."""

    files: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    rejects: int = 0
    alarms: list[Alarm] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        return {"files": self.files, "rejected_rows": self.rejects, **self.rows}


def read_supplements(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    paths: Iterable[Path],
    progress: Callable[[str], None],
    *,
    threads: int = 2,
) -> list[Supplement | Alarm]:
    """Reads the files that are new or changed; a file that cannot be taken becomes an alarm and the others go on."""
    known = dict(con.execute("SELECT name, sha256 FROM local_file").fetchall())
    labels = {**{n: c for c, n in catalog.codes.tables["SFZJLX"].codes.items()}, **catalog.codes.labels["SFZJLX"]}
    fresh = [(path, seal) for path in paths if known.get(path.name) != (seal := content_digest(path))]

    def read(item: tuple[Path, str]) -> Supplement | Alarm:
        path, seal = item
        try:
            found = read_template(path, catalog)
        except HubError as error:
            return Alarm(f"L.{path.name}", error.code, error.sentence(), error.retryable)
        rows = _identified(found.rows, found.school, labels)
        return Supplement(path.name, seal, found.template, found.school, rows, found.rejects)

    if fresh:
        progress(f"补录模板 {len(fresh)} 份")
    # Each file is parsed in a child process of its own, so threads keep every core busy.
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(read, fresh))


def content_digest(path: Path) -> str:
    """Digest of what a workbook says: names and checksums of its parts, without its author and saving time.

    A file that is no archive is digested whole; reading it will name what is wrong with it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = [
                (i.filename, i.CRC, i.file_size) for i in archive.infolist() if not i.filename.startswith("docProps/")
            ]
    except (zipfile.BadZipFile, OSError):
        return digest(path)
    return hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()


def _identified(rows: pa.Table, school: str, labels: dict[str, str]) -> pa.Table:
    """Adds `_school`, `_id_type`, `_id_no` (canonical) to the raw rows; at most 5,000 of them."""
    types = _column(rows, IDENTITY_TYPE)
    numbers = _column(rows, IDENTITY_NUMBER)
    codes = [labels.get(t.strip(), t.strip()) if t and t.strip() else RESIDENT_CARD for t in types]
    cleaned = [unicodedata.normalize("NFKC", n).replace(" ", "").upper() if n else None for n in numbers]
    rows = rows.append_column("_school", pa.array([school] * rows.num_rows, pa.string()))
    rows = rows.append_column(
        "_id_type", pa.array([c if n else None for c, n in zip(codes, cleaned, strict=True)], pa.string())
    )
    return rows.append_column("_id_no", pa.array(cleaned, pa.string()))


def _column(rows: pa.Table, names: set[str]) -> list[str | None]:
    found = [n for n in rows.column_names if n in names]
    return rows[found[0]].to_pylist() if found else [None] * rows.num_rows


def ingest_supplements(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    supplements: list[Supplement | Alarm],
    folder: Path,
    *,
    first_number: int,
    reviewed: bool,
) -> Locals:
    """Takes the read files into the state: one extract number per file, one pass per template and entity."""
    done = Locals(alarms=[s for s in supplements if isinstance(s, Alarm)])
    folder.mkdir(parents=True, exist_ok=True)
    templates = {t.name: t for t in [*catalog.templates.values(), *derived_templates(catalog)]}
    of_template: dict[str, list[pa.Table]] = {}
    for item in supplements:
        if isinstance(item, Alarm):
            continue
        number = first_number + done.files
        rows = item.rows.append_column("_ext", pa.array([number] * item.rows.num_rows, pa.int32()))
        of_template.setdefault(item.template, []).append(rows)
        done.files += 1
        done.rejects += len(item.rejects)
        if item.rejects:
            done.alarms.append(_rejected(item))
        con.execute(
            "INSERT INTO local_file VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256",
            [item.name, item.sha256],
        )
    for name, tables in of_template.items():
        rows, parts = _parts(pa.concat_tables(tables), templates[name])
        path = folder / f"{first_number:06d}-L.{name}.parquet"
        pq.write_table(rows, path, compression="zstd")
        for entity, columns in parts:
            done.rows[entity] += ingest_local(
                con, catalog, catalog.entities[entity], str(path), columns, reviewed=reviewed
            )
    return done


def _rejected(item: Supplement) -> Alarm:
    first = item.rejects[0]
    return Alarm(
        f"L.{item.name}",
        first.code,
        f"[{first.code}] 模板 {item.name} 有 {len(item.rejects)} 行未采纳，"
        f"例如第 {first.row} 行“{first.column}”：{first.reason}"
        "　下一步：由学校更正这些行后重新上报",
    )


def _parts(rows: pa.Table, template: Template) -> tuple[pa.Table, list[tuple[str, dict[str, str]]]]:
    """The rows (with a number column per family member) and, per entity and member, raw column → field name.

    Columns that name a class or a major by words (lookup) say nothing a supplement may fill, and are left out.
    """
    parts: dict[tuple[str, int | None], dict[str, str]] = {}
    for column in template.columns:
        if column.parts is None or column.target not in rows.column_names:
            continue
        entity, member, name, lookup = column.parts
        if lookup is None:
            parts.setdefault((entity, member), {})[str(column.target)] = name
    result = []
    for (entity, member), columns in parts.items():
        if member is not None:
            number = f"{entity}[{member}].CYXH"
            rows = rows.append_column(number, pa.array([str(member)] * rows.num_rows, pa.string()))
            columns = columns | {number: "CYXH"}
        result.append((entity, columns))
    return rows, result
