"""Change sets as settling left them: what the state counted, and what lies in a change set's folder.

Decides which change sets await publishing, and that a folder still is what settling wrote. Settling writes and syncs
the folder before its state commits, so a counted change set has a complete folder, and a folder the state did not
count belongs to a round that died and is written anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from hub.changes import ChangeFile, ChangeSet, Counts
from hub.errors import LockedError, VerificationError
from hub.settings import Node
from province_node.state import counter

RECORD = "round.json"


@dataclass(frozen=True)
class Settlement:
    """A change set with what its round said of itself (`round.json`, counts only)."""

    changes: ChangeSet
    folder: Path
    record: Mapping[str, Any]

    @property
    def run(self) -> int:
        return int(self.record["run"])


def counted(node: Node) -> int:
    """Number of the newest change set in the committed settling state, 0 without a state. `LockedError` E3001."""
    if not node.state.is_file():
        return 0
    try:
        con = duckdb.connect(str(node.state), read_only=True)
    except duckdb.IOException:
        raise LockedError(
            "E3001", "另一个任务正在使用本节点的定值状态", where=node.state.name, step="等待该任务结束后重试"
        ) from None
    try:
        return counter(con, "change_set")
    except duckdb.CatalogException:  # a state that was created but never committed
        return 0
    finally:
        con.close()


def open_settlement(node: Node, number: int) -> Settlement:
    """Change set `number` from its folder. `VerificationError` E3406 when a file is missing, cut off or not Parquet."""
    folder = node.changes / f"{number:08d}"
    where = f"changes/{folder.name}"
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        files = tuple(_file(folder, entry) for entry in record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise _damaged(f"{where}/{RECORD}") from None
    if record.get("number") != number:
        raise _damaged(f"{where}/{RECORD}")
    for file in files:
        _check(file, f"{where}/{file.path.name}")
    return Settlement(ChangeSet(number, files), folder, record)


def _file(folder: Path, entry: Mapping[str, Any]) -> ChangeFile:
    if Path(entry["path"]).name != entry["path"]:
        raise ValueError("a change file lies beside its record")
    return ChangeFile(entry["entity"], folder / entry["path"], entry["lo"], entry["hi"], Counts(**entry["counts"]))


def _check(file: ChangeFile, where: str) -> None:
    try:
        rows = pq.read_metadata(file.path).num_rows
    except (OSError, pa.ArrowInvalid):
        raise _damaged(where) from None
    if rows != file.counts.rows or rows != file.hi - file.lo + 1:
        raise _damaged(where)


def _damaged(where: str) -> VerificationError:
    return VerificationError(
        "E3406",
        "变更集缺失或已损坏，不能入库和封装",
        where=where,
        step="从备份恢复该目录；不得手工修改变更集。恢复前不要再定值",
    )


def fresh_folder(folder: Path) -> Path:
    """The folder of a change set to be, without what a round left there that died before its commit."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
