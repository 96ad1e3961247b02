"""Setting up a laboratory: one province and the ministry, paired, on one machine (`hub lab init`).

Decides the folders, settings and databases of both nodes and prepares the exchange place between them; keys and trust
are `credentials`'. A failed set-up leaves nothing behind in the folder.

    DIR/province  DIR/ministry   nodes (hub.settings.Node)
    DIR/offline-keys             the three offline ministry keys, escrow and lab CA
    DIR/exchange                 the exchange place, unless `transport` names another
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from connectors.registry import load_sources
from hub.audit import Event, append
from hub.batch.layout import EVERYONE, MINISTRY, StreamId, grant_name, trust_list_name
from hub.catalog import Catalog, load_catalog
from hub.errors import InputError, RefusedError, UsageError
from hub.keyring import open_keyring
from hub.settings import FILE, Node, open_node, write_settings
from hub.store import open_store
from hub.transport import open_server
from hub.trust.trust_list import TrustList
from hub.trust_events import note_accepted
from ministry_node.matching_keys import keep, make_key
from pipelines.lab.credentials import OFFLINE, Random, admit_province, create_credentials, first_streams

PROVINCE: Final = "province"
THERE: Final = "ministry"
EXCHANGE: Final = "exchange"
ACTOR: Final = "hub lab init"
# Not in GB/T 2260; a province code of its own in the exchange (protocol 1.2).
_CORPS: Final = {"66": "新疆生产建设兵团"}


@dataclass(frozen=True)
class Lab:
    """A laboratory. `exchange_root`: exchange place on the ministry's disk; `ssh_public`: the province's login key
    (OpenSSH line) to be authorised at the transfer server, where one was made."""

    folder: Path
    province: Node
    ministry: Node
    exchange_root: Path
    trust_version: int
    ssh_public: str | None = None


def init_lab(
    folder: Path,
    *,
    sources: Path,
    province: str,
    province_db: str | None = None,
    ministry_db: str | None = None,
    transport: str | None = None,
    host_keys: Sequence[str] = (),
    exchange_root: Path | None = None,
    ssh_key: Path | None = None,
    at: datetime,
    rng: Random,
) -> Lab:
    """Creates a lab in `folder`, which must be empty or absent.

    `sources`: folder or `sources.toml`, kept relative if given so; databases: SQLAlchemy URLs, SQLite in the node's
    folder by default; `transport`: `folder:PATH` or `sftp://user@host:port`, the latter with `host_keys`
    (`ssh-ed25519 …` lines) and `exchange_root` (what the server serves, on this disk), and `ssh_key` unless one is to
    be made. `at`: aware; `rng(n)`: n random bytes. Raises `UsageError` E1041–E1045, and what database and
    transport raise; then the folder is as it was.
    """
    catalog = load_catalog()
    name = _province_name(catalog, province)
    _check_folder(folder)
    _check_sources(sources)
    place = _exchange_place(folder, transport, host_keys, exchange_root)
    with _all_or_nothing(folder):
        nodes = _nodes(folder, place, province, name, sources, transport, host_keys, ssh_key)
        for node, url in zip(nodes, (province_db, ministry_db), strict=True):
            _configure(node, url)
        made = open_node(folder / PROVINCE), open_node(folder / THERE)
        trust = create_credentials(folder, *made, host_keys=host_keys, at=at, rng=rng)
        public = _login_key(made[0]) if _is_sftp(transport) and ssh_key is None else None
        publish_trust(place, made[0], trust)
        for one in made:
            _prepare_store(one, catalog, trust, at, rng)
    return Lab(folder.resolve(), *made, place, trust.version, public)


@contextmanager
def _all_or_nothing(folder: Path) -> Iterator[None]:
    """A set-up that fails leaves the folder as it was: empty or absent."""
    existed = folder.exists()
    try:
        yield
    except BaseException:
        for part in (PROVINCE, THERE, OFFLINE, EXCHANGE):
            shutil.rmtree(folder / part, ignore_errors=True)
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def join_lab(folder: Path, *, sources: Path, province: str, at: datetime, rng: Random) -> Lab:
    """A further province in a lab, as a node in `DIR/province-<code>`; the lab as that province sees it.

    Raises as `init_lab`; `UsageError` E1042 when the province is there already.
    """
    lab, catalog = open_lab(folder), load_catalog()
    name, there = _province_name(catalog, province), folder / f"{PROVINCE}-{province}"
    if there.exists() or lab.province.party == province:
        raise UsageError("E1042", "该省已在实验环境中", where=there.name, step="换一个省级代码")
    _check_sources(sources)
    try:
        there.mkdir(mode=0o700)
        node: Values = {
            "role": "province",
            "party": province,
            "name": f"{name}节点",
            "sources": _as_given(sources, there),
            "transport": f"folder:{_inside(lab.exchange_root, lab.folder, there)}",
        }
        _configure((there, node), None)
        made, nodes = open_node(there), (*provinces_of(folder), lab.ministry)
        trust = admit_province(folder, nodes, made, at=at, rng=rng)
        for one in (*nodes[:-1], made):
            publish_trust(lab.exchange_root, one, trust)
        _prepare_store(made, catalog, trust, at, rng)
    except BaseException:
        shutil.rmtree(there, ignore_errors=True)
        raise
    return open_lab(folder, province)


def provinces_of(folder: Path) -> tuple[Node, ...]:
    """The provinces' nodes of a lab, the first one first."""
    return tuple(open_node(path) for path in (folder / PROVINCE, *sorted(folder.glob(f"{PROVINCE}-*"))))


def open_lab(folder: Path, party: str | None = None) -> Lab:
    """The lab in a folder, as its first province or the one of `party` sees it. `NotInitialisedError` without its
    nodes, what `open_keyring` raises is left to the steps."""
    joined = folder / f"{PROVINCE}-{party}"
    province, ministry = (
        open_node(joined if party and joined.exists() else folder / PROVINCE),
        open_node(folder / THERE),
    )
    root = Path(ministry.transport_url.removeprefix("folder:"))
    version = len(list(province.trust.glob("trust-list-*.dsse")))
    return Lab(folder.resolve(), province, ministry, root, version)


Values = dict[str, str | int | float | list[str]]


def _nodes(
    folder: Path,
    place: Path,
    party: str,
    name: str,
    sources: Path,
    transport: str | None,
    host_keys: Sequence[str],
    ssh_key: Path | None,
) -> tuple[tuple[Path, Values], tuple[Path, Values]]:
    """Both nodes' folders, made, and their settings."""
    here, there = folder / PROVINCE, folder / THERE
    for part in (here, there):
        part.mkdir(mode=0o700, parents=True)
    province: Values = {
        "role": "province",
        "party": party,
        "name": f"{name}节点",
        "sources": _as_given(sources, here),
        "transport": f"folder:{_inside(place, folder, here)}",
    }
    if transport is not None and _is_sftp(transport):
        province["transport"] = transport
        province["sftp_host_keys"] = list(host_keys)
    if ssh_key is not None:
        province["sftp_key"] = str(ssh_key.resolve())
    ministry: Values = {
        "role": "ministry",
        "party": MINISTRY,
        "name": "部级节点",
        "transport": f"folder:{_inside(place, folder, there)}",
    }
    return (here, province), (there, ministry)


def _configure(node: tuple[Path, Values], database: str | None) -> None:
    """Writes `hub.toml`; a database URL may hold a password, so only the owner reads it."""
    folder, values = node
    write_settings(folder, values | ({"database": database} if database else {}))
    (folder / FILE).chmod(0o600)


def publish_trust(place: Path, province: Node, trust: TrustList) -> None:
    """Folders where they are missing, and what the ministry publishes from the first day (protocol 2.1)."""
    place.mkdir(mode=0o711, parents=True, exist_ok=True)
    server = open_server(place)
    server.prepare(province.party)
    newest = trust_list_name(trust.version)
    server.publish_pub(newest, (province.trust / newest).read_bytes(), [province.party], replace=True)
    for stream_id in first_streams(province.party):
        grant = grant_name(stream_id)
        body = (province.trust / grant).read_bytes()
        if stream_id.party == EVERYONE:
            server.publish_pub(grant, body, [province.party], replace=True)
        else:
            server.publish(province.party, grant, body, replace=True)


def _prepare_store(node: Node, catalog: Catalog, trust: TrustList, at: datetime, rng: Random) -> None:
    """Tables, the ministry's key for matching, the first audit records. Opening the keyring proves what was written."""
    keys = open_keyring(node, at=at)
    check = make_key(node, 1, rng) if node.party == MINISTRY else ""
    store = open_store(node.database_url, catalog)
    try:
        store.upgrade()
        if store.count(catalog.entities["xx"]):
            raise UsageError(
                "E1045", "数据库里已有数据，不能用来新建实验环境", where=node.settings.role, step="换一个空数据库后重试"
            )
        with store.begin() as transaction:
            for event, subject in (
                (Event.DATABASE_UPGRADED, str(store.revision()[1])),
                (Event.KEY_CREATED, keys.signer.keyid),
            ):
                append(transaction.connection, event, ts=at, node=node.party, actor=ACTOR, object=subject)
            if check:
                keep(transaction.connection, 1, {1: check})
            note_accepted(transaction.connection, trust, node=node.party, actor=ACTOR, at=at)
            last = Event.NODE_INITIALISED
            append(transaction.connection, last, ts=at, node=node.party, actor=ACTOR, object=node.party)
    finally:
        store.close()


def _login_key(node: Node) -> str:
    """A new Ed25519 login key in `keys/ssh`; its public line."""
    key = Ed25519PrivateKey.generate()
    path = node.folder / node.settings.sftp_key
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    path.with_suffix(".pub").write_text(f"{line} p{node.party}\n", encoding="ascii")
    return line


def _province_name(catalog: Catalog, province: str) -> str:
    """The province's name; codes are those of the exchange (protocol 2.7), names those of the divisions."""
    name = _CORPS.get(province) or catalog.codes.division_names.get(f"{province}0000")
    try:
        StreamId(province, "up", "main", 1)
    except RefusedError:
        name = None
    if name is None:
        known = "、".join(
            f"{code[:2]} {n}" for code, n in sorted(catalog.codes.division_names.items()) if code.endswith("0000")
        )
        raise UsageError(
            "E1041", "没有这个省级代码", where="--province", step=f"用两位省级代码（GB/T 2260），例如 13；可选：{known}"
        )
    return name


def _check_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "E1042",
            "目标目录不是空目录，不会覆盖已有内容",
            where=folder.name,
            step="换一个目录；确要重建时先自行删除它",
        )


def _check_sources(sources: Path) -> None:
    if not sources.exists():
        raise UsageError("E1043", "数据源位置不存在", where=sources.name, step="用 --sources 指定含 s1.db 等文件的目录")
    try:
        load_sources(sources)
    except InputError as error:
        raise UsageError("E1043", error.what, where=error.where, step=error.step) from error


def _exchange_place(folder: Path, transport: str | None, host_keys: Sequence[str], exchange_root: Path | None) -> Path:
    if transport is None:
        return folder.resolve() / EXCHANGE
    if transport.startswith("folder:") and transport != "folder:":
        return Path(transport.removeprefix("folder:")).resolve()
    if not _is_sftp(transport):
        raise UsageError("E1044", "交换地址应以 folder: 或 sftp:// 开头", where="--transport", step="修正交换地址")
    if not host_keys or exchange_root is None:
        raise UsageError(
            "E1044",
            "SFTP 交换还需要服务器主机公钥和它在本机上的目录",
            where="--transport",
            step="用 --host-key 给出 ssh-ed25519 公钥行，用 --exchange-root 给出服务器的交换目录",
        )
    return exchange_root.resolve()


def _is_sftp(transport: str | None) -> bool:
    return transport is not None and transport.startswith("sftp://")


def _as_given(path: Path, node: Path) -> str:
    """A path for `hub.toml`: absolute if it was given so, else relative to the node's folder."""
    return str(path) if path.is_absolute() else os.path.relpath(path.resolve(), node.resolve())


def _inside(place: Path, folder: Path, node: Path) -> str:
    """Relative where the lab holds it, so that a lab can be moved as a whole."""
    held = place.is_relative_to(folder.resolve())
    return os.path.relpath(place, node.resolve()) if held else str(place)
