"""The exchange place over SFTP, as a province's client (protocol 2.3, 2.4, 2.6).

Decides whom to talk to (pinned host keys only), how (protocol 2.2's algorithms, our key and nothing an agent or a home
folder might add) and how fast (pipelined writes, 16 MiB read segments). Leaves the rules of the exchange to `base`.

Rules:
- A server that shows another host key gets nothing: no login, no byte of a file.
- Never `posix_rename` (it overwrites), never `put`/`get` of paramiko (no sync, no resume, slow).
- Nothing is removed or re-moded on the server: the account may not.
"""

from __future__ import annotations

import binascii
import logging
import os
import re
import socket
import stat
from base64 import b64decode
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import paramiko
from paramiko.pkey import UnknownKeyType
from paramiko.sftp import CMD_EXTENDED

from hub.errors import HubError, KeyMaterialError, PeerUnreachableError, UsageError, VerificationError
from hub.transport.base import NAME, Area, ClientTransport, Entry
from hub.transport.durable import too_large

SEGMENT = 16 << 20  # protocol 2.6
REQUEST = 32 << 10  # bytes per SFTP request, as paramiko sends them

_LOG = "hub.transport.sftp"
logging.getLogger(_LOG).addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpTimes:
    """Seconds to wait: for the TCP connection, for the SSH greeting and login, for any answer later; keepalive."""

    connect: float = 15.0
    login: float = 30.0
    idle: float = 120.0
    keepalive: int = 30


@dataclass(frozen=True, slots=True)
class SftpAddress:
    """`sftp://user@host:port/base` taken apart; `base` is empty inside a chroot (protocol 2.1)."""

    user: str
    host: str
    port: int
    base: str

    @classmethod
    def parse(cls, url: str, party: str) -> SftpAddress:
        """UsageError E2410 for anything else; a password in the address is refused, and not repeated."""
        try:
            parts = urlsplit(url)
            port = parts.port or 22
        except ValueError as failure:
            raise _bad_address() from failure
        if parts.scheme != "sftp" or not parts.hostname or parts.password is not None or parts.query or parts.fragment:
            raise _bad_address()
        return cls(parts.username or f"p{party}", parts.hostname, port, parts.path.rstrip("/"))


class PinnedHostKeys(paramiko.MissingHostKeyPolicy):
    """RejectPolicy for every host key but the pinned ones, current and next (protocol 2.6).

    Not RejectPolicy itself because paramiko's known-hosts table keeps one key per host and type, so the second pin
    would silently replace the first.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.pins = [_host_key(line) for line in lines]
        if not self.pins:
            raise KeyMaterialError(
                "E2402", "没有固定交换服务器的主机公钥", step="从信任清单取得 ssh-ed25519 公钥并写入节点设置"
            )

    @property
    def types(self) -> list[str]:
        return list(dict.fromkeys(pin.get_name() for pin in self.pins))

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        if key not in self.pins:
            raise _wrong_host(hostname)


class SftpClient(ClientTransport):
    """A province's view over SFTP. Connects on first use and again after a failure."""

    failures: ClassVar[tuple[type[Exception], ...]] = (OSError, EOFError, paramiko.SSHException)

    def __init__(
        self,
        url: str,
        party: str,
        *,
        key_file: Path,
        host_keys: Sequence[str],
        certificate: Path | None = None,
        times: SftpTimes | None = None,
        names: re.Pattern[str] = NAME,
    ) -> None:
        """`host_keys` as `ssh-ed25519 AAAA…` lines; `certificate` is an OpenSSH user certificate for the key."""
        super().__init__(party, names=names)
        self._address = SftpAddress.parse(url, party)
        self._pins = PinnedHostKeys(host_keys)
        self._key_file, self._certificate = key_file, certificate
        self._times = times or SftpTimes()
        self._ssh: paramiko.SSHClient | None = None
        self._open: paramiko.SFTPClient | None = None

    def _ready_size(self, name: str) -> int | None:
        return self._size(f"in/ready/{name}")

    def _part_size(self, name: str) -> int | None:
        return self._size(f"in/part/{name}.part")

    def _write_part(self, name: str, blocks: Iterable[bytes], offset: int, size: int) -> None:
        # r+b appends without asking for a longer file; `wb` empties it, since the account may not truncate or remove.
        with self._sftp().open(self._path(f"in/part/{name}.part"), "r+b" if offset else "wb") as part:
            part.seek(offset)
            part.set_pipelined(True)
            held = b""
            for block in blocks:
                part.write(held)
                part.write(block[:-REQUEST])
                held = block[-REQUEST:]
            # paramiko forgets the answers to pipelined writes when it closes or asks anything else: a full disk would
            # go unseen. The last write, not pipelined, collects them all.
            part.set_pipelined(False)
            part.write(held)
            self._fsync(part)
            if part.stat().st_size != size:
                raise OSError("size after writing")

    def _commit(self, name: str) -> None:
        self._sftp().rename(self._path(f"in/part/{name}.part"), self._path(f"in/ready/{name}"))

    def _list(self, area: Area) -> Iterable[Entry]:
        for found in self._sftp().listdir_attr(self._path(area)):
            yield Entry(found.filename, found.st_size or 0, stat.S_ISREG(found.st_mode or 0))

    def _read(self, area: Area, name: str, max_bytes: int) -> Generator[bytes, None, None]:
        with self._sftp().open(self._path(f"{area}/{name}"), "rb") as source:
            size = source.stat().st_size or 0
            if size > max_bytes:
                raise too_large(name, max_bytes)
            for offset in range(0, size, SEGMENT):
                length = min(SEGMENT, size - offset)
                end = offset + length
                # Asked for request by request: one long piece would be put together by repeated concatenation, which
                # costs three quarters of the speed.
                pieces = [(start, min(REQUEST, end - start)) for start in range(offset, end, REQUEST)]
                for (_, wanted), block in zip(pieces, source.readv(pieces), strict=True):
                    if len(block) != wanted:
                        raise EOFError("file became shorter")
                    yield block

    def _reset(self) -> None:
        ssh, self._ssh, self._open = self._ssh, None, None
        if ssh is not None:
            ssh.close()

    def _explain(self, failure: Exception, where: str) -> HubError:
        link = self._ssh.get_transport() if self._ssh else None
        wordless = isinstance(failure, OSError) and failure.errno is None and not isinstance(failure, TimeoutError)
        if wordless and link is not None and link.is_active():
            # SSH_FX_FAILURE, the answer of OpenSSH to a full disk, a full quota and much else.
            return PeerUnreachableError(
                "E2412", "交换服务器未能完成操作，多为磁盘或配额已满", where=where, step="通知部级管理员；稍后自动重试"
            )
        return super()._explain(failure, where)

    @staticmethod
    def _fsync(part: paramiko.SFTPFile) -> None:
        """`fsync@openssh.com`: the one place that reaches into paramiko (protocol 2.6)."""
        handle: Any = part.handle
        request: Any = part.sftp._request  # type: ignore[attr-defined]
        request(CMD_EXTENDED, "fsync@openssh.com", handle)

    def _size(self, path: str) -> int | None:
        try:
            return self._sftp().stat(self._path(path)).st_size or 0
        except FileNotFoundError:
            return None

    def _path(self, path: str) -> str:
        return f"{self._address.base}/{path}"

    def _sftp(self) -> paramiko.SFTPClient:
        if self._open is None:
            self._ssh = self._connect()
            self._open = self._ssh.open_sftp()
            self._open.sock.settimeout(self._times.idle)
        return self._open

    def _connect(self) -> paramiko.SSHClient:
        key = _private_key(self._key_file, self._certificate)
        ssh = paramiko.SSHClient()
        ssh.set_log_channel(_LOG)
        ssh.set_missing_host_key_policy(self._pins)
        where, times = f"{self._address.host}:{self._address.port}", self._times
        try:
            ssh.connect(
                self._address.host,
                self._address.port,
                self._address.user,
                pkey=key,
                timeout=times.connect,
                banner_timeout=times.login,
                auth_timeout=times.login,
                channel_timeout=times.login,
                allow_agent=False,
                look_for_keys=False,
                transport_factory=self._transport,
            )
        except BaseException as failure:
            alive = ssh.get_transport()
            lost = alive is None or not alive.is_active() or "timeout" in str(failure).lower()
            ssh.close()
            if isinstance(failure, Exception):
                raise _no_session(failure, where, lost=lost) from failure
            raise
        return ssh

    def _transport(self, sock: Any, **options: Any) -> paramiko.Transport:
        """An SSH transport that offers only what protocol 2.2 allows; the curve's older name is the same exchange."""
        # Without it the small requests wait for the acknowledgement of the one before, 40 ms each.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(sock, **options)
        offered = transport.get_security_options()
        offered.key_types = self._pins.types
        offered.ciphers = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com")
        offered.kex = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
        transport.set_keepalive(self._times.keepalive)
        return transport


def _no_session(failure: Exception, where: str, *, lost: bool) -> Exception:
    if isinstance(failure, HubError):
        return failure
    if isinstance(failure, paramiko.ssh_exception.IncompatiblePeer):
        return VerificationError(
            "E2413",
            "与交换服务器没有协议允许的共同算法，已断开，未发送任何内容",
            where=where,
            step="请部级管理员核对 sshd 的主机密钥类型与算法设置",
        )
    if isinstance(failure, paramiko.AuthenticationException) and not lost:
        return KeyMaterialError(
            "E2403",
            "交换服务器不接受本节点的登录密钥",
            where=where,
            step="请部级管理员核对该账号的公钥或证书、有效期与来源地址",
        )
    if isinstance(failure, (OSError, EOFError, paramiko.SSHException)):
        return PeerUnreachableError(
            "E2401", "连不上交换服务器", where=where, step="检查网络、防火墙出向端口与服务器状态；稍后自动重试"
        )
    return failure


def _host_key(line: str) -> paramiko.PKey:
    words = line.split()
    try:
        key = paramiko.PKey.from_type_string(words[0], b64decode(words[1], validate=True))
    except (IndexError, binascii.Error, ValueError, paramiko.SSHException) as failure:
        raise KeyMaterialError(
            "E2402", "固定的主机公钥无法识别", step="应为一行 ssh-ed25519 AAAA…，请从信任清单重新复制"
        ) from failure
    if key.get_name() != words[0]:
        raise KeyMaterialError("E2402", "固定的主机公钥类型不符", step="请从信任清单重新复制整行")
    return key


def _private_key(path: Path, certificate: Path | None) -> paramiko.PKey:
    """Our login key. No part of it, nor of its folder, gets into an error."""
    try:
        if os.stat(path).st_mode & 0o027:
            raise KeyMaterialError("E2403", "登录私钥的权限过宽", where=path.name, step="执行 chmod 600 后重试")
        key: paramiko.PKey = paramiko.PKey.from_path(path)
        if certificate is not None:
            key.load_certificate(str(certificate.resolve(strict=True)))
    except (OSError, ValueError, TypeError, paramiko.SSHException, UnknownKeyType) as failure:
        raise KeyMaterialError(
            "E2403", "登录私钥或证书无法读取", where=path.name, step="检查文件是否存在、未加口令、证书与私钥成对"
        ) from failure
    return key


def _wrong_host(where: str) -> VerificationError:
    return VerificationError(
        "E2402",
        "交换服务器的主机公钥不是固定的公钥，已断开，未发送任何内容",
        where=where,
        step="不要重试；向部级管理员电话核对主机公钥指纹，必要时更新信任清单",
    )


def _bad_address() -> UsageError:
    return UsageError("E2410", "交换地址应为 sftp://用户@主机:端口，且不含口令", step="修正节点设置中的交换地址")
