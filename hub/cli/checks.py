"""The checks of `hub doctor`. Each decides one thing and names the remedy; a failing check never hides another."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from hub.cli.finding import Finding
from hub.errors import HubError

if TYPE_CHECKING:
    from cryptography import x509

    from hub.cli.shell import Shell
    from hub.settings import Node
    from hub.trust.trust_list import TrustList

DISTRIBUTION = "vocational-education-hub"
KEY_DAYS_WARN, LOGIN_DAYS_WARN, CLOCK_SECONDS_WARN = 30, 14, 5
_CHARSET = {
    "sqlite": "PRAGMA encoding",
    "postgresql": "SHOW server_encoding",
    "oracle": "SELECT p.value FROM nls_database_parameters p WHERE p.parameter = 'NLS_CHARACTERSET'",
}
DISK_BAD, DISK_WARN = 1 << 30, 10 << 30
# Certificates, public keys and the note beside them are for everyone to read.
_OPEN_FILES = (".cert.pem", ".pub", "README")
_FONTS = ("NotoSansCJK", "NotoSerifCJK", "SourceHanSans", "wqy", "simsun", "simhei", "FandolSong", "DroidSansFallback")
_FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")


def environment() -> list[Finding]:
    """What holds for the machine, without a node."""
    return [_python(), _libraries(), _dagster(), _fonts()]


def of_node(shell: Shell) -> list[Finding]:
    """What holds for the node of `--node`."""
    try:
        node = shell.open_node()
    except HubError as error:
        return [_failed("节点", error)]
    found = [Finding("节点", "ok", f"{node.settings.name}（{node.settings.role} {node.party}）")]
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("数据库", lambda: _database(shell, node)),
        ("密钥", lambda: _keys(shell, node)),
        ("登录证书", lambda: _login(node, shell.now())),
        ("密钥文件权限", lambda: _modes(node)),
        ("传输", lambda: _transport(node)),
        ("时钟", lambda: _clock(node)),
        ("磁盘", lambda: _disk(node)),
    ]
    for name, check in checks:
        try:
            found += list(check())
        except HubError as error:
            found.append(_failed(name, error))
        except OSError as error:
            found.append(Finding(name, "bad", os.strerror(error.errno or 0), "检查节点目录的权限与磁盘"))
    return found


def _failed(name: str, error: HubError) -> Finding:
    where = f"（{error.where}）" if error.where else ""
    return Finding(name, "bad", f"[{error.code}] {error.what}{where}", error.step)


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding(
        "Python", "ok" if good else "bad", platform.python_version(), "" if good else "安装 Python 3.11 或更新"
    )


def _libraries() -> Finding:
    """The declared requirements against what is installed."""
    wrong = []
    try:
        wanted = [Requirement(text) for text in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        return Finding("程序库", "bad", "本程序没有安装", "按安装说明安装")
    needed = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    for requirement in needed:
        try:
            have = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} 未安装")
            continue
        if not requirement.specifier.contains(have, prereleases=True):
            wrong.append(f"{requirement.name} {have}（应为 {requirement.specifier}）")
    if wrong:
        return Finding("程序库", "bad", "、".join(wrong), "按 requirements.lock 重新安装")
    return Finding("程序库", "ok", f"{len(needed)} 个，版本相符")


def _dagster() -> Finding:
    if find_spec("dagster") is None:
        return Finding("Dagster", "bad", "未安装", "安装 dagster；没有它，命令行仍可逐步运行")
    return Finding("Dagster", "ok", version("dagster"))


def _fonts() -> Finding:
    for folder in _FONT_FOLDERS:
        root = Path(folder).expanduser()
        if not root.is_dir():
            continue
        for path in root.rglob("*"):
            if any(path.name.lower().startswith(name.lower()) for name in _FONTS):
                return Finding("中文字体", "ok", path.name)
    return Finding("中文字体", "warn", "没有找到", "打印报表前安装中文字体，例如 fonts-noto-cjk；数据交换不受影响")


def _database(shell: Shell, node: Node) -> Iterator[Finding]:
    """The node's store: tables of this program, a character set that holds Chinese; more is asked by `--db`."""
    from hub.cli.database_checks import of_revision
    from hub.cli.oracle_checks import UNTRIED

    store = shell.open_store(node)
    (layout,) = of_revision(store)
    if layout.state != "ok":
        store.close()
        yield Finding("数据库", "bad", f"{store.where}　{layout.detail}", layout.remedy)
        return
    with store.reading() as reader:
        dialect = reader.connection.dialect.name
        charset = str(reader.connection.exec_driver_sql(_CHARSET[dialect]).scalar_one())
    store.close()
    good = charset.upper().replace("-", "") in ("UTF8", "AL32UTF8", "ZHS16GBK")
    detail = f"{store.where}　{layout.detail}　字符集 {charset}"
    yield Finding("数据库", "ok" if good else "bad", detail, "" if good else "改用 UTF-8 字符集的数据库")
    if dialect == "oracle":
        yield UNTRIED


def _keys(shell: Shell, node: Node) -> Iterator[Finding]:
    from cryptography import x509

    from hub.keyring import ENC_CERT, SIGN_CERT, open_keyring
    from hub.trust.trust_list import Freshness

    at = shell.now()
    if node.settings.role == "province":
        node.secret()
    ring = open_keyring(node, at=at)
    certs = (node.keys / SIGN_CERT).read_bytes()
    yield _days("签名证书", x509.load_pem_x509_certificates(certs)[0], at)
    yield _days("加密证书", x509.load_pem_x509_certificates((node.keys / ENC_CERT).read_bytes())[0], at)
    trust = ring.trust
    state = {Freshness.FRESH: "ok", Freshness.GRACE: "warn", Freshness.EXPIRED: "bad"}[trust.freshness(at)]
    detail = f"第 {trust.version} 版，有效至 {trust.expires:%Y-%m-%d %H:%M}Z"
    yield Finding("信任清单", state, detail, "" if state == "ok" else "联系部级取得新的信任清单")
    yield _crls(trust, at)
    for name, error in ring.spoiled.items():
        yield Finding("期次授权", "bad", f"{name}：{error.what}", error.step)


def _crls(trust: TrustList, at: datetime) -> Finding:
    """Revocation lists in use: their next update, and what to do when it has passed (protocol 4.4)."""
    from hub.trust.chain import crl_is_stale

    if crl_is_stale(trust.crls, at=at):
        return Finding("吊销列表", "warn", "已过更新时间，宽限期 72 小时", "取得新的吊销列表，用 hub key accept 导入")
    due = min((crl.next_update for crl in trust.crls.by_issuer.values()), default=None)
    return Finding("吊销列表", "ok", f"有效至 {due:%Y-%m-%d %H:%M}Z" if due else "没有")


def _login(node: Node, at: datetime) -> Iterator[Finding]:
    """Days left of the SFTP login certificate, where one lies beside the key (protocol 2.2)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization.ssh import SSHCertificate, load_ssh_public_identity

    key_file = node.folder / node.settings.sftp_key
    path = key_file.with_name(f"{key_file.name}-cert.pub")
    if not path.is_file():
        return
    try:
        cert = load_ssh_public_identity(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        cert = None
    if not isinstance(cert, SSHCertificate):
        yield Finding("登录证书", "bad", "无法读取", "请部级重新签发（hub transfer certify）")
        return
    left = int((cert.valid_before - at.timestamp()) // 86400)
    state = "bad" if left < 0 else "warn" if left < LOGIN_DAYS_WARN else "ok"
    yield Finding("登录证书", state, f"还剩 {left} 天", "" if state == "ok" else "请部级换发（hub transfer certify）")


def _days(name: str, cert: x509.Certificate, at: datetime) -> Finding:
    left = (cert.not_valid_after_utc - at).days
    state = "bad" if left < 0 else "warn" if left < KEY_DAYS_WARN else "ok"
    return Finding(name, state, f"还剩 {left} 天", "" if state == "ok" else "轮换密钥并由部级更新信任清单")


def _modes(node: Node) -> Iterator[Finding]:
    secret = [p for p in node.keys.glob("*") if p.is_file() and not p.name.endswith(_OPEN_FILES)]
    open_ = sorted(p.name for p in secret if p.stat().st_mode & 0o077)
    if open_:
        yield Finding("密钥文件权限", "bad", f"他人可读：{'、'.join(open_)}", "chmod 600 这些文件")
    else:
        yield Finding("密钥文件权限", "ok", f"{len(secret)} 个文件仅属主可读")


def _transport(node: Node) -> Iterator[Finding]:
    from hub.keyring import open_trust
    from hub.transport import open_client, open_server

    kind = node.transport_url.partition(":")[0]
    if node.settings.role == "ministry":
        root = Path(node.transport_url.removeprefix("folder:"))
        open_server(node.transport_url)
        good = root.is_dir() and os.access(root, os.R_OK | os.W_OK)
        yield Finding("传输", "ok" if good else "bad", f"{kind} 交换目录", "" if good else "建立交换目录并授予读写权限")
        return
    pins = open_trust(node.trust, at=datetime.now(UTC)).member("moe").ssh_host_keys or node.settings.sftp_host_keys
    key_file = node.folder / node.settings.sftp_key
    with open_client(node.transport_url, node.party, key_file=key_file, host_keys=pins) as client:
        waiting = len(list(client.list_out()))
    yield Finding("传输", "ok", f"{kind} 可达，待取 {waiting} 个文件")


def _clock(node: Node) -> Iterator[Finding]:
    """The node's file system against this machine's clock: they differ on network storage with a clock of its own."""
    node.work.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=node.work) as file:
        skew = abs(os.fstat(file.fileno()).st_mtime - time.time())
    state = "warn" if skew > CLOCK_SECONDS_WARN else "ok"
    yield Finding("时钟", state, f"与文件系统相差 {skew:.1f} 秒", "" if state == "ok" else "启用时间同步（NTP）")


def _disk(node: Node) -> Iterator[Finding]:
    usage = shutil.disk_usage(node.folder)
    state = "bad" if usage.free < DISK_BAD else "warn" if usage.free < DISK_WARN else "ok"
    detail = f"可用 {usage.free / (1 << 30):.1f} GiB / {usage.total / (1 << 30):.1f} GiB"
    yield Finding("磁盘", state, detail, "" if state == "ok" else "清理或扩容节点所在磁盘")
