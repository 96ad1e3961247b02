"""A node outside a laboratory: its folder, settings and secret, from what `deploy/provinces` says of it.

Decides what a new node's folder holds before it has keys, a trust list or a database: `hub.toml`, the secret of its
record numbers, the fingerprints of the ministry's offline keys. Everything is made in a folder that is empty, or not at
all. Keys and their certificates come afterwards (`hub.node_keys`), as does the database (`hub.store`).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.batch.layout import MINISTRY
from hub.errors import InputError, UsageError
from hub.settings import FILE, SCHEDULE, Node, open_node, write_settings
from hub.transport.durable import write_durably
from hub.trust_folder import PINS

ROOTS: Final = 3
_PIN: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MAX: Final = 64 * 1024
_SECRET_BYTES: Final = 32
Random = Callable[[int], bytes]


class Limits(BaseModel):
    """What differs between provinces of what a round may do (`hub.settings.NodeSettings`)."""

    model_config = ConfigDict(extra="forbid")

    max_delete_share: float = Field(default=0.05, ge=0, le=1)
    overlap_hours: float = Field(default=24.0, ge=0)


class ProvinceFile(BaseModel):
    """One file of `deploy/provinces`. `schedule`: as `NodeSettings` takes it."""

    model_config = ConfigDict(extra="forbid")

    party: str = Field(pattern=r"^[1-6][0-9]$")
    name: str = Field(min_length=1, max_length=40)
    database: str
    transport: str
    schedule: str = Field(default="30 2 * * *", pattern=SCHEDULE)
    limits: Limits = Field(default_factory=Limits)
    note: str = ""


def read_province(path: Path) -> ProvinceFile:
    """A province's file; `InputError` E1071 when it is not there or not as it must be."""
    try:
        return ProvinceFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError:
        what = "没有这个省的部署文件"
    except yaml.YAMLError:
        what = "部署文件不是 YAML"
    except ValidationError as error:
        what = f"部署文件有误：{'、'.join('.'.join(str(p) for p in e['loc']) for e in error.errors())}"
    raise InputError("E1071", what, where=path.name, step="核对 deploy/provinces 中的文件，或用 --file 指定另一个")


def make_node(folder: Path, settings: dict[str, Any], pins: Sequence[str], rng: Random) -> Node:
    """The folder of a node with `hub.toml`, `keys/record.secret` and, where given, the pins in `trust/`.

    `settings`: as `NodeSettings` names them; `pins`: key ids of the ministry's offline keys, compared by two persons;
    `rng(n)`: n random bytes. Raises `UsageError` E1072 (folder not empty), E1073 (pins), E1074 (a password in the
    database's URL), E1003 (settings); the folder is as it was then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("E1072", "节点目录不是空目录，不会覆盖已有内容", where=folder.name, step="换一个目录")
    _check_pins(pins)
    _check_database(str(settings.get("database", "")))
    existed = folder.exists()
    try:
        for part in (folder, folder / "keys", folder / "trust", folder / "work"):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_settings(folder, settings)
        (folder / FILE).chmod(0o600)
        node = open_node(folder)
        write_durably([rng(_SECRET_BYTES).hex().encode()], node.keys / "record.secret", _MAX)
        if pins:
            write_pins(node, pins)
    except BaseException:
        for made in list(folder.iterdir()):
            shutil.rmtree(made) if made.is_dir() else made.unlink()
        if not existed:
            folder.rmdir()
        raise
    return node


def write_pins(node: Node, pins: Sequence[str]) -> None:
    """The offline keys a first trust list must be signed by; `UsageError` E1073 unless they are three key ids."""
    _check_pins(pins)
    write_durably([json.dumps({"pins": list(pins)}, indent=1).encode() + b"\n"], node.trust / PINS, _MAX)


def ministry_settings(database: str, transport: str) -> dict[str, Any]:
    """Settings of the ministry's node."""
    return {"role": "ministry", "party": MINISTRY, "name": "部级节点", "database": database, "transport": transport}


def _check_pins(pins: Sequence[str]) -> None:
    if pins and (len(set(pins)) != ROOTS or not all(_PIN.fullmatch(pin) for pin in pins)):
        raise UsageError(
            "E1073",
            f"应给出部级 {ROOTS} 把离线密钥的密钥号",
            where="--pin",
            step="写作 sha256: 加 64 位十六进制，须电话核对",
        )


def _check_database(url: str) -> None:
    try:
        held = sa.make_url(url).password if url else None
    except sa.exc.ArgumentError:
        held = None
    if held:
        raise UsageError(
            "E1074",
            "数据库口令不写入 hub.toml",
            where="--database",
            step="地址里去掉口令，把完整地址放进环境变量 HUB_DATABASE",
        )
