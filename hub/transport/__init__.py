"""How files cross between the tiers (protocol 2): an exchange place, a province's view of it and the ministry's.

Decides which adapter an address means. `folder:PATH` is the embedded default; `sftp://p13@host:port` is production. The
ministry always works on the local disk of the transfer server (protocol 1.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hub.errors import KeyMaterialError, UsageError
from hub.transport.base import NAME, ClientTransport, Entry, NotThereError
from hub.transport.durable import Copied
from hub.transport.folder import FolderClient
from hub.transport.server import ServerTransport

__all__ = ["ClientTransport", "Copied", "Entry", "NotThereError", "ServerTransport", "open_client", "open_server"]


def open_client(
    url: str,
    party: str,
    *,
    key_file: Path | None = None,
    host_keys: Sequence[str] = (),
    certificate: Path | None = None,
    names: re.Pattern[str] = NAME,
) -> ClientTransport:
    """A province's view of the exchange place at `url`. No connection is made before the first use.

    `key_file`, `host_keys` (current and next, as `ssh-ed25519 AAAA…` lines) and `certificate` (by default the file
    `<key_file>-cert.pub`, where there is one) are for `sftp:` only.
    UsageError E2410 for an address of another kind, KeyMaterialError without key or pins.
    """
    if url.startswith("folder:"):
        return FolderClient(_folder(url), party, names=names)
    if not url.startswith("sftp:"):
        raise UsageError("E2410", "交换地址应以 folder: 或 sftp:// 开头", step="修正节点设置中的交换地址")
    if key_file is None:
        raise KeyMaterialError("E2403", "没有设置登录私钥", step="在节点设置中给出 SFTP 私钥文件")
    # paramiko takes a third of a second to import; the embedded default need not pay for it.
    from hub.transport.sftp import SftpClient

    if certificate is None:
        beside = key_file.with_name(f"{key_file.name}-cert.pub")
        certificate = beside if beside.is_file() else None
    return SftpClient(url, party, key_file=key_file, host_keys=host_keys, certificate=certificate, names=names)


def open_server(root: Path | str, *, names: re.Pattern[str] = NAME) -> ServerTransport:
    """The ministry's view of the exchange place under `root`, a path or a `folder:PATH` address."""
    return ServerTransport(_folder(root) if isinstance(root, str) else root, names=names)


def _folder(url: str) -> Path:
    path = url.removeprefix("folder:")
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    if not path:
        raise UsageError("E2410", "folder: 之后应为交换目录的路径", step="修正节点设置中的交换地址")
    return Path(path)
