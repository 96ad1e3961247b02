"""What a transfer server consists of, and what of it is missing (protocol 2.1, 2.2).

Decides the accounts, folders and files with owner and mode. Each is an item that can say what is wrong with it and mend
exactly that, so that building twice changes nothing and `--plan` and `check` are the same look without the mending.
Leaves certificates to `ssh_ca`, and never touches a file that a province or the hub wrote.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from hub.errors import HubError
from hub.transport.durable import write_durably
from hub.transport.sshd import Places, sshd_config, syslog_config

HUB: Final = "hub"
_ROOT: Final = "root"
_NOLOGIN: Final = "/usr/sbin/nologin"


class Item(Protocol):
    """One thing of the server. `name`: what a person calls it."""

    @property
    def name(self) -> str: ...

    def fault(self) -> str | None:
        """What is wrong with it, None when nothing is."""

    def mend(self) -> None:
        """Make it right."""


@dataclass(frozen=True)
class Account:
    """A system account with a group of its own name, no shell, no password, and no lock (sshd would refuse it)."""

    user: str

    @property
    def name(self) -> str:
        return f"账号 {self.user}"

    def fault(self) -> str | None:
        try:
            found = pwd.getpwnam(self.user)
            grp.getgrnam(self.user)
        except KeyError:
            return "不存在"
        if found.pw_uid == 0 or found.pw_shell != _NOLOGIN:
            return "可以登录 shell 或具有 root 身份"
        return None

    def mend(self) -> None:
        if self.fault() != "不存在":
            raise HubError("E2431", f"{self.name} 已存在但不是交换专用账号", step="改名或删除该账号后重试")
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/", "--shell", _NOLOGIN]
        run(["useradd", *options, "--password", "*", self.user], self.name)


@dataclass(frozen=True)
class Folder:
    """A folder with its owner and exact mode."""

    path: Path
    user: str
    group: str
    mode: int

    @property
    def name(self) -> str:
        return f"目录 {self.path}"

    def fault(self) -> str | None:
        return _standing(self.path, self.user, self.group, self.mode, stat.S_ISDIR)

    def mend(self) -> None:
        if os.path.lexists(self.path) and not stat.S_ISDIR(self.path.lstat().st_mode):
            raise HubError("E2431", f"{self.path} 不是目录", step="查明它的来历并移走后重试")
        self.path.mkdir(exist_ok=True)
        _settle(self.path, self.user, self.group, self.mode)


@dataclass(frozen=True)
class TextFile:
    """A file of root's, readable by all. `text` None: made empty when absent, its content is others' concern."""

    path: Path
    text: str | None
    mode: int = 0o644

    @property
    def name(self) -> str:
        return f"文件 {self.path}"

    def fault(self) -> str | None:
        wrong = _standing(self.path, _ROOT, _ROOT, self.mode, stat.S_ISREG)
        if wrong is None and self.text is not None and self.path.read_text(encoding="utf-8") != self.text:
            return "内容与规定不同"
        return wrong

    def mend(self) -> None:
        if self.text is not None or not self.path.exists():
            content = (self.text or "").encode()
            write_durably([content], self.path, len(content), mode=self.mode)
        _settle(self.path, _ROOT, _ROOT, self.mode)


@dataclass(frozen=True)
class HostKey:
    """sshd's own Ed25519 key; made when absent, never replaced: provinces have pinned it."""

    path: Path

    @property
    def name(self) -> str:
        return f"主机密钥 {self.path}"

    def fault(self) -> str | None:
        return _standing(self.path, _ROOT, _ROOT, 0o600, stat.S_ISREG)

    def mend(self) -> None:
        if not self.path.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "transfer", "-f", str(self.path)], self.name)
        _settle(self.path, _ROOT, _ROOT, 0o600)


@dataclass(frozen=True)
class Ground:
    """`part/` and `ready/` of one province on one file system with hard links, `in/` not writable by the province."""

    home: Path

    @property
    def name(self) -> str:
        return f"文件系统 {self.home}/in"

    def fault(self) -> str | None:
        part, ready = self.home / "in" / "part", self.home / "in" / "ready"
        if not (part.is_dir() and ready.is_dir()):
            return None  # said by the folders themselves
        return None if part.stat().st_dev == ready.stat().st_dev else "part 与 ready 不在同一文件系统，无法原子更名"

    def mend(self) -> None:
        if fault := self.fault():
            raise HubError("E2431", fault, where=str(self.home), step="把 in/ 整个放在同一文件系统上")


@dataclass(frozen=True)
class Step:
    """One item found wanting: what it is and what was wrong."""

    name: str
    fault: str


def base_items(places: Places) -> Iterator[Item]:
    """What every transfer server has before the first province."""
    yield Account(HUB)
    yield Folder(places.exchange, _ROOT, _ROOT, 0o711)
    for path in (places.hub, places.hub / "intake", places.hub / "store"):
        yield Folder(path, HUB, HUB, 0o700)
    yield Folder(places.keys, _ROOT, _ROOT, 0o755)
    yield HostKey(places.host_key)
    yield TextFile(places.config, sshd_config(places))


def log_items(places: Places, parties: Sequence[str]) -> Iterator[Item]:
    """Where refusals inside the chroots are logged, for all provinces of the server."""
    yield TextFile(places.syslog, syslog_config(places, sorted(set(parties))))


def province_items(places: Places, party: str) -> Iterator[Item]:
    """The account, chroot and folders of one province."""
    user = f"p{party}"
    home = places.exchange / user
    yield Account(user)
    for path in (home, home / "in", home / "dev"):
        yield Folder(path, _ROOT, _ROOT, 0o755)
    for path in (home / "in" / "part", home / "in" / "ready"):
        yield Folder(path, user, HUB, 0o2770)
    for path in (home / "out", home / "pub"):
        yield Folder(path, HUB, user, 0o2750)
    for path in (places.hub / "intake" / party, places.hub / "store" / party):
        yield Folder(path, HUB, HUB, 0o700)
    yield Ground(home)


def provinces_of(places: Places) -> tuple[str, ...]:
    """Codes of the provinces that have a home on this server."""
    return tuple(sorted(path.name[1:] for path in places.exchange.glob("p[0-9][0-9]") if path.is_dir()))


def wanting(items: Sequence[Item]) -> tuple[Step, ...]:
    """What is wrong, changing nothing."""
    return tuple(Step(item.name, fault) for item in items if (fault := item.fault()) is not None)


def build(items: Sequence[Item]) -> tuple[Step, ...]:
    """Mends in order what is wrong; returns what was mended. E2431 where that is not for a command to decide."""
    done = []
    for item in items:
        fault = item.fault()
        if fault is None:
            continue
        item.mend()
        if left := item.fault():
            raise HubError("E2431", f"{item.name}：处理后仍然{left}", step="查看系统日志，排除原因后重新运行")
        done.append(Step(item.name, fault))
    return tuple(done)


def used_bytes(home: Path) -> int:
    """Bytes a province's uploads occupy on disk."""
    total = 0
    for path in (home / "in").rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:
            continue  # renamed or picked up while we looked
    return total


def run(command: Sequence[str], what: str) -> str:
    """Standard output of a system command; HubError E2432 when it is missing or fails."""
    if shutil.which(command[0]) is None:
        raise HubError("E2432", f"本机没有命令 {command[0]}", where=what, step="安装 openssh-server 与 passwd 后重试")
    done = subprocess.run(list(command), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["无说明"])[-1][:200]
        raise HubError("E2432", f"{command[0]} 失败：{last}", where=what, step="排除原因后重新运行同一命令")
    return done.stdout


def _standing(path: Path, user: str, group: str, mode: int, kind: object) -> str | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return "不存在"
    if not kind(found.st_mode):  # type: ignore[operator]
        return "不是该有的种类"
    try:
        owner = (pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid)
    except KeyError:
        return f"属主 {user}:{group} 还不存在"
    if (found.st_uid, found.st_gid) != owner:
        return f"属主应为 {user}:{group}"
    if stat.S_IMODE(found.st_mode) != mode:
        return f"权限应为 {mode:04o}，现为 {stat.S_IMODE(found.st_mode):04o}"
    return None


def _settle(path: Path, user: str, group: str, mode: int) -> None:
    os.chown(path, pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid, follow_symlinks=False)
    os.chmod(path, mode)  # after chown, which clears the set-group bit
