"""The SSH user CA of the transfer server: short-lived login certificates and their revocation (protocol 2.2).

Decides what a certificate says: principal `p<pp>`, 90 days at most, the source addresses it is good for, a serial that
is never used twice. OpenSSH's own `ssh-keygen` signs and writes the key revocation list (KRL). The CA's key may also be
kept elsewhere; then certificates are made there, and this machine only holds its public half and the KRL.

Rules: the KRL is replaced by rename, because sshd lets nobody in while it cannot read one; what was issued is noted
before the certificate leaves.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from hub.errors import HubError, NotInitialisedError, UsageError
from hub.transport.durable import write_durably
from hub.transport.site import run
from hub.transport.sshd import Places

LONGEST_DAYS: Final = 90
_KEY, _ISSUED, _LOCK = "user_ca", "issued.jsonl", "lock"
_MAX_KEY: Final = 16 * 1024


@dataclass(frozen=True)
class UserCertificate:
    """What was issued: serial, province, source addresses, end (aware UTC, ISO), fingerprint of the login key."""

    serial: int
    party: str
    sources: str
    expires: str
    fingerprint: str

    def days_left(self, at: datetime) -> int:
        return (datetime.fromisoformat(self.expires) - at).days


def set_up(places: Places, *, public: Path | None = None) -> tuple[str, ...]:
    """User CA and KRL where they are missing; `public`: take this public key instead of making a CA here.

    Returns what was made, in words. E2433 when another CA is in use already: provinces hold its certificates.
    """
    made = []
    if public is not None:
        line = _public_line(public)
        if places.user_ca.exists() and places.user_ca.read_text() not in ("", line):
            raise UsageError("E2433", "已在使用另一个用户 CA", where="user_ca.pub", step="更换 CA 须先为各省换发证书")
        if not places.user_ca.exists() or not places.user_ca.read_text():
            write_durably([line.encode()], places.user_ca, _MAX_KEY, mode=0o644)
            made.append("用户 CA 公钥")
    elif not places.user_ca.exists() or not places.user_ca.read_text():
        places.ca.mkdir(mode=0o700, exist_ok=True)
        key = places.ca / _KEY
        if not key.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "user-ca", "-f", str(key)], "用户 CA")
        write_durably([key.with_suffix(".pub").read_bytes()], places.user_ca, _MAX_KEY, mode=0o644)
        made.append("用户 CA")
    if not places.revoked.exists() or not places.revoked.read_bytes():
        _replace_krl(places, [])
        made.append("吊销列表（KRL）")
    return tuple(made)


def missing(places: Places) -> str | None:
    """What of CA and KRL is not there, None when both are."""
    if not places.user_ca.is_file() or not places.user_ca.read_text().startswith("ssh-ed25519 "):
        return "没有用户 CA 公钥"
    if not places.revoked.is_file() or not places.revoked.read_bytes().startswith(b"SSHKRL"):
        return "没有吊销列表（KRL）：sshd 会拒绝所有登录"
    if places.ca.is_dir() and places.ca.stat().st_mode & 0o077:
        return "用户 CA 目录的权限过宽"
    return None


def issue(
    places: Places, party: str, public_key: Path, sources: Sequence[str], *, at: datetime, days: int = LONGEST_DAYS
) -> tuple[UserCertificate, bytes]:
    """A certificate for a province's login key: what was issued, and the `-cert.pub` line.

    `sources`: addresses or networks it is good for, at least one. UsageError E2434 for anything that is not so,
    NotInitialisedError E2435 where the CA's key is not kept on this machine.
    """
    if not 1 <= days <= LONGEST_DAYS:
        raise UsageError("E2434", f"登录证书最长 {LONGEST_DAYS} 天", step="缩短 --days")
    networks = ",".join(_network(text) for text in sources)
    if not networks:
        raise UsageError("E2434", "登录证书必须限定来源地址", step="用 --source-address 给出该省出口地址")
    line = _public_line(public_key)
    if not (places.ca / _KEY).is_file():
        raise NotInitialisedError(
            "E2435",
            "本机没有用户 CA 私钥",
            where=str(places.ca),
            step="在保管 CA 的机器上签发，或先运行 hub transfer init",
        )
    with _locked(places), tempfile.TemporaryDirectory(prefix="hub-ca-") as temporary:
        before = issued(places)
        serial = max((entry.serial for entry in before), default=0) + 1
        subject = Path(temporary) / "login.pub"
        subject.write_text(line)
        expires = at + timedelta(days=days)
        # From a little earlier: clocks of the two sides differ.
        window = f"{_stamp(at - timedelta(minutes=5))}:{_stamp(expires)}"
        command = ["ssh-keygen", "-q", "-s", str(places.ca / _KEY), "-I", f"p{party}-{serial}", "-n", f"p{party}"]
        command += ["-V", window, "-z", str(serial), "-O", "clear", "-O", f"source-address={networks}", str(subject)]
        run(command, f"p{party}")
        fingerprint = run(["ssh-keygen", "-l", "-f", str(subject)], f"p{party}").split()[1]
        entry = UserCertificate(serial, party, networks, expires.isoformat(), fingerprint)
        _note(places, [*before, entry])
        return entry, (Path(temporary) / "login-cert.pub").read_bytes()


def issued(places: Places) -> tuple[UserCertificate, ...]:
    """Everything the CA on this machine issued, in order."""
    file = places.ca / _ISSUED
    if not file.is_file():
        return ()
    return tuple(UserCertificate(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines())


def revoke(places: Places, serials: Sequence[int]) -> None:
    """Puts certificates on the KRL; sshd reads it at the next login. They never come off it."""
    if any(serial < 1 for serial in serials) or not serials:
        raise UsageError("E2434", "证书序号应为正整数", step="用 hub transfer check 查看已签发的序号")
    _replace_krl(places, [f"serial: {serial}" for serial in serials], keep=True)


def revoke_key(places: Places, public_key: Path) -> None:
    """Puts a login key on the KRL, with every certificate ever issued for it."""
    _replace_krl(places, [f"key: {_public_line(public_key).strip()}"], keep=True)


def is_revoked(places: Places, key_or_certificate: Path) -> bool:
    """Whether the KRL names this key or certificate."""
    try:
        run(["ssh-keygen", "-Q", "-f", str(places.revoked), str(key_or_certificate)], key_or_certificate.name)
    except HubError:
        return True
    return False


def _replace_krl(places: Places, specification: list[str], *, keep: bool = False) -> None:
    with tempfile.TemporaryDirectory(prefix="hub-krl-") as temporary:
        krl, spec = Path(temporary) / "krl", Path(temporary) / "spec"
        command = ["ssh-keygen", "-q", "-k", "-f", str(krl)]
        if keep:
            shutil.copyfile(places.revoked, krl)
            command.append("-u")
        if specification:
            spec.write_text("\n".join(specification) + "\n")
            command += ["-s", str(places.user_ca), str(spec)]
        run(command, "KRL")
        write_durably([krl.read_bytes()], places.revoked, 64 << 20, mode=0o644)


def _note(places: Places, entries: Sequence[UserCertificate]) -> None:
    body = "".join(json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in entries).encode()
    write_durably([body], places.ca / _ISSUED, max(len(body), 1))


@contextmanager
def _locked(places: Places) -> Iterator[None]:
    handle = os.open(places.ca / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip(), strict=True))
    except ValueError:
        raise UsageError("E2434", "来源地址不是 IP 地址或网段", step="例如 10.13.0.0/16，主机位须为 0") from None


def _public_line(path: Path) -> str:
    """One Ed25519 public key line; E2434 for anything else, a private key above all."""
    try:
        text = path.read_text(encoding="ascii") if path.stat().st_size <= _MAX_KEY else ""
    except (OSError, UnicodeDecodeError):
        text = ""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 1 or not lines[0].startswith("ssh-ed25519 "):
        raise UsageError("E2434", "不是一行 ssh-ed25519 公钥", where=path.name, step="给出 .pub 文件，不要给私钥")
    return lines[0].strip() + "\n"


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M%SZ")
