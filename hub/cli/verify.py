"""`hub verify PATH`: any stored batch or evidence folder, or a zip of one, without a database (protocol 13.8).

Decides what is opened and by what it is judged: the lists of a trust folder, each for its own time, or public keys.
What is said of the batches and of what chains them is `hub.evidence.tree`'s.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography.exceptions import UnsupportedAlgorithm
from rich.console import Console

from hub.batch.layout import parse_name
from hub.cli.output import Progress, emit
from hub.cli.shell import shell_of
from hub.errors import HubError, RefusedError, UsageError, VerificationError
from hub.evidence.stored import ByHistory, ByKeys, Check, Judges
from hub.evidence.tree import APART, small, verify_tree
from hub.trust_read import read_history

MARKS: Final = {True: "✔", False: "✘", None: "·"}
_ENTRIES: Final = 20_000
_BYTES: Final = 64 << 30
_BLOCK: Final = 1 << 20


def verify(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="路径", help="批次清单、批次目录、存档目录，或其 zip")],
    trust: Annotated[
        Path | None, typer.Option("--trust", metavar="目录", help="信任材料目录：trust-list-*.dsse 与 roots.json")
    ] = None,
    key: Annotated[
        list[Path] | None, typer.Option("--key", metavar="PEM", help="签名方的公钥或证书（可重复），来自可信之处")
    ] = None,
) -> None:
    """离线验证所存批次：信封、签名、链、文件摘要、回执，逐项说明。不需要数据库。有一处不符即以 4 退出。"""
    shell = shell_of(ctx)
    if (trust is None) == (not key):
        raise UsageError("E1064", "请给出 --trust 或 --key 之一", step="--trust 指向信任材料目录，或用 --key 给出公钥")
    judges = _judges(trust, key or [])
    with Progress() as progress, opened(path) as folder:
        found = dict(verify_tree(folder, judges, progress.step))
    if not found:
        raise UsageError("E1065", "这里没有批次清单", where=path.name, step="给出批次目录、存档目录或其 zip")
    bad = [(name, check) for name, checks in found.items() for check in checks if check.ok is False]
    document = {"batches": {n: [vars(c) for c in checks] for n, checks in found.items()}, "failed": len(bad)}
    if bad and not shell.json:
        _print(Console(stderr=True, markup=False, highlight=False, soft_wrap=True), found)
    if bad:
        name, check = bad[0]
        step = "按篡改处置：保留现场，与对方核对该批次的原件"
        raise VerificationError(
            "E3502", f"{check.name}不成立：{_what(check)}（共 {len(bad)} 处）", where=name, step=step
        )

    def render(console: Console) -> None:
        _print(console, found)
        console.print(f"未发现问题：{len(found):,} 个批次验证通过。")

    emit(shell, document, render)


def _judges(trust: Path | None, keys: Sequence[Path]) -> Judges:
    if trust is not None:
        return ByHistory(read_history(trust))
    pems = []
    for path in keys:
        if (pem := small(path)) is None:
            raise UsageError("E1063", "文件读不了", where=path.name, step="核对路径与权限")
        pems.append(pem)
    try:
        return ByKeys.of(pems)
    except (ValueError, UnsupportedAlgorithm, HubError):
        raise UsageError("E1066", "不是可用的公钥或证书（PEM）", step="给出签名方的公钥或证书") from None


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """A folder to look in: the folder itself, a manifest's, or a zip unpacked where it vanishes again."""
    if path.is_dir():
        yield path
    elif path.suffix == ".zip":
        with tempfile.TemporaryDirectory(prefix="hub-verify-") as folder:
            _unpack(path, Path(folder))
            yield Path(folder)
    elif path.is_file():
        yield path.parent
    else:
        raise UsageError("E1063", "路径不存在", where=path.name, step="核对路径")


def _unpack(path: Path, folder: Path) -> None:
    """Only files whose names the protocol knows, each under a folder of its own depth; sizes are counted as read."""
    left = _BYTES
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > _ENTRIES:
                raise UsageError("E1067", "zip 中的文件过多", where=path.name, step="分批打包后重试")
            for item in archive.infolist():
                name = item.filename.rsplit("/", 1)[-1]
                if item.is_dir() or not _known(name) or APART & set(item.filename.split("/")):
                    continue
                parent = folder / _parent(item.filename)
                parent.mkdir(exist_ok=True)
                with archive.open(item) as source, (parent / name).open("wb") as out:
                    while block := source.read(_BLOCK):
                        left -= len(block)
                        if left < 0:
                            raise UsageError("E1067", "zip 解开后过大", where=path.name, step="分批打包后重试")
                        out.write(block)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise UsageError("E1067", "zip 读不出来", where=path.name, step="核对文件是否完整、是否加密") from error


def _parent(filename: str) -> str:
    """A harmless folder name for everything that lay in one folder of the archive."""
    return sha256(filename.rpartition("/")[0].encode()).hexdigest()[:16]


def _known(name: str) -> bool:
    try:
        parse_name(name)
    except RefusedError:
        return False
    return True


def _print(console: Console, found: dict[str, list[Check]]) -> None:
    for name, checks in found.items():
        console.print(name)
        for check in checks:
            console.print(f"  {MARKS[check.ok]} {check.name}　{check.detail}")


def _what(check: Check) -> str:
    """What is wrong, without the next step of its own that a refusal to a sender would have."""
    return check.detail.split("　下一步：")[0]
