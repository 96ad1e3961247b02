"""School supplements (L): xlsx templates into the settling state (ruling 9).

Decides which files are new, and the identity (证件类型 + 证件号) of each row. Absence of a file deletes nothing; a file
read before under the same name and bytes is not read again, unless it names a class or major nobody knew so far.
"""

from __future__ import annotations

import hashlib
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.templates import IDENTITY_LOOKUP, all_templates
from connectors.xlsx import read_template
from connectors.xlsx_rows import Reject
from hub.catalog import Catalog, Template
from hub.errors import HubError
from province_node.extract import Alarm, digest
from province_node.supplement_words import FILLS, Unresolved, add_words, no_words, resolve_words
from quality.changed import ingest_local

IDENTITY_TYPE = {"xs.SFZJLXM", "jzg.SFZJLXM", f"xs.SFZJLXM:{IDENTITY_LOOKUP}"}
IDENTITY_NUMBER = {"xs.SFZJH", "jzg.SFZJH", f"xs.SFZJH:{IDENTITY_LOOKUP}"}
RESIDENT_CARD = "1"
# Sheets whose rows other sheets name by words.
NAMING = ("zy", "bj")


@dataclass(frozen=True)
class Supplement:
    """One file as read: rows of raw text with identity columns, its template, school and refused rows.

    `waiting`: its number in the waiting area, whose rows a second person has approved; None for a file of the folder.
    """

    name: str
    sha256: str
    template: str
    school: str
    rows: pa.Table
    rejects: tuple[Reject, ...]
    waiting: int | None = None


@dataclass
class Locals:
    """What the supplements of a round brought. `files`: how many were taken."""

    files: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    rejects: int = 0
    alarms: list[Alarm] = field(default_factory=list)
    waiting: dict[int, int] = field(default_factory=dict)
    """File of the waiting area → extract number."""

    def counts(self) -> dict[str, int]:
        return {"files": self.files, "rejected_rows": self.rejects, **self.rows}

    def taken(self) -> dict[str, int]:
        """As `round.json` keeps it: file of the waiting area → extract number."""
        return {str(number): extract for number, extract in self.waiting.items()}


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
    labels = identity_labels(catalog)
    fresh = [(path, seal) for path in paths if known.get(path.name) != (seal := content_digest(path))]

    def read(item: tuple[Path, str]) -> Supplement | Alarm:
        path, seal = item
        try:
            found = read_template(path, catalog)
        except HubError as error:
            return Alarm(f"L.{path.name}", error.code, error.sentence(), error.retryable)
        rows = identified(found.rows, found.school, labels)
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


def identity_labels(catalog: Catalog) -> dict[str, str]:
    """证件类型 as written in a sheet → code."""
    return {**{n: c for c, n in catalog.codes.tables["SFZJLX"].codes.items()}, **catalog.codes.labels["SFZJLX"]}


def identified(rows: pa.Table, school: str, labels: dict[str, str]) -> pa.Table:
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
    """Takes the read files into the state: one extract number per file, one pass per template and entity.

    A file of the folder that says what it said keeps its number, and so its rows their lineage and their open issues;
    those of the waiting area are numbered anew, in the order of import. Rows of the waiting area are reviewed already;
    those of the folder are when `reviewed` says so.
    """
    before = {(n, s): int(e) for n, s, e in con.execute("SELECT name, sha256, number FROM local_number").fetchall()}
    done = Locals(alarms=[s for s in supplements if isinstance(s, Alarm)])
    folder.mkdir(parents=True, exist_ok=True)
    of_template: dict[tuple[str, bool], list[pa.Table]] = {}
    taken: dict[int, Supplement] = {}
    for item in supplements:
        if isinstance(item, Alarm):
            continue
        fresh = first_number + done.files
        number = fresh if item.waiting is not None else before.get((item.name, item.sha256), fresh)
        rows = item.rows.append_column("_ext", pa.array([number] * item.rows.num_rows, pa.int32()))
        of_template.setdefault((item.template, item.waiting is not None), []).append(rows)
        taken[number] = item
        done.files += 1
        _note_file(con, item, number)
    faults = _ingest_templates(con, catalog, of_template, folder, first_number, reviewed, done)
    for number, item in taken.items():
        rejects = (*item.rejects, *_unnamed(con, catalog, item, [f for f in faults if f.extract == number]))
        done.rejects += len({r.row for r in rejects})
        if rejects:
            done.alarms.append(_rejected(item, rejects))
        if item.waiting is not None:
            done.waiting[item.waiting] = number
    return done


def _unnamed(
    con: duckdb.DuckDBPyConnection, catalog: Catalog, item: Supplement, faults: Sequence[Unresolved]
) -> list[Reject]:
    """Rows whose class or major nobody knows. It may come yet: a file of the folder is read again until it has."""
    if faults and item.waiting is None:
        con.execute("UPDATE local_file SET sha256 = '' WHERE name = ?", [item.name])
    return [Reject(f.row, _header(catalog, item.template, f.target), f.code, f.reason) for f in faults]


def _note_file(con: duckdb.DuckDBPyConnection, item: Supplement, number: int) -> None:
    con.execute(
        "INSERT INTO local_file VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256",
        [item.name, item.sha256],
    )
    con.execute(
        "INSERT INTO local_number VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, "
        "number = excluded.number",
        [item.name, item.sha256, number],
    )


def _ingest_templates(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    of_template: dict[tuple[str, bool], list[pa.Table]],
    folder: Path,
    first_number: int,
    reviewed: bool,
    done: Locals,
) -> list[Unresolved]:
    """Classes and majors first, because other sheets name them by words; returns the rows whose words fail."""
    templates = all_templates(catalog)
    faults: list[Unresolved] = []
    order = sorted(of_template, key=lambda t: (t[0] not in NAMING, t))
    worded = False
    for name, waiting in order:
        if name not in NAMING and not worded:
            _known_words(con, reviewed)
            worded = True
        rows, wrong = resolve_words(con, pa.concat_tables(of_template[name, waiting]), templates[name])
        faults += wrong
        rows, parts = local_parts(rows, templates[name])
        mark = "L" if not waiting else "LW"
        path = folder / f"{first_number:06d}-{mark}.{name}.parquet"
        pq.write_table(rows, path, compression="zstd")
        for entity, columns in parts:
            done.rows[entity] += ingest_local(
                con, catalog, catalog.entities[entity], str(path), columns, reviewed=reviewed or waiting
            )
    return faults


def _known_words(con: duckdb.DuckDBPyConnection, reviewed: bool) -> None:
    """The classes and majors that platforms and schools named so far, this round's included."""
    no_words(con)
    sound = "_state = '1' AND _bad IS NULL"
    mine = "_bad IS NULL" if reviewed else "_bad IS NULL AND _reviewed"
    add_words(
        con,
        [
            f"SELECT XXDM AS school, BH, BJMC, NJDM, ZYBH FROM c_bj WHERE {sound}",
            f"SELECT _school AS school, BH, BJMC, NJDM, ZYBH FROM l_bj WHERE {mine}",
        ],
        [
            f"SELECT XXDM AS school, ZYBH, ZYDM, ZYMC, ZYJC FROM c_zy WHERE {sound}",
            f"SELECT _school AS school, ZYBH, ZYDM, ZYMC, ZYJC FROM l_zy WHERE {mine}",
        ],
    )


def _header(catalog: Catalog, template: str, target: str) -> str:
    return next(c.header for c in all_templates(catalog)[template].columns if c.target == target)


def _rejected(item: Supplement, rejects: Sequence[Reject]) -> Alarm:
    first = rejects[0]
    return Alarm(
        f"L.{item.name}",
        first.code,
        f"[{first.code}] 模板 {item.name} 有 {len({r.row for r in rejects})} 行未采纳，"
        f"例如第 {first.row} 行“{first.column}”：{first.reason}"
        "　下一步：由学校更正这些行后重新上报",
    )


def local_parts(rows: pa.Table, template: Template) -> tuple[pa.Table, list[tuple[str, dict[str, str]]]]:
    """The rows (with a number column per family member) and, per entity and member, raw column → field name.

    Columns that only say who a row speaks of fill nothing; those that name a class or a major by words have become
    numbers in columns of their own (`resolve_words`).
    """
    parts: dict[tuple[str, int | None], dict[str, str]] = {}
    for column in template.columns:
        if column.parts is None or column.target not in rows.column_names:
            continue
        entity, member, name, lookup = column.parts
        if lookup is None:
            parts.setdefault((entity, member), {})[str(column.target)] = name
        elif lookup != IDENTITY_LOOKUP:
            filled = {f"{entity}.{f}": f for f, _ in FILLS[name] if f"{entity}.{f}" in rows.column_names}
            parts.setdefault((entity, member), {}).update(filled)
    result = []
    for (entity, member), columns in parts.items():
        if member is not None:
            number = f"{entity}[{member}].CYXH"
            rows = rows.append_column(number, pa.array([str(member)] * rows.num_rows, pa.string()))
            columns = columns | {number: "CYXH"}
        result.append((entity, columns))
    return rows, result
