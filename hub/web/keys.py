"""节点与密钥: own keys, the trust list, peers with their certificates and last contact (console 5, protocol 10).

Decides that a rotation needs two persons: one asks, another carries it out. What may rotate, and when, is decided by
`hub.node_keys`; peers are those of the trust list in force.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from starlette.responses import Response

from hub import node_keys
from hub.audit import Event, append
from hub.errors import HubError
from hub.keyring import open_keyring
from hub.roles import same_person
from hub.settings import Node
from hub.store import Reader
from hub.store.ledger import INBOX, NODE_STATE, OUTBOX, PEER_STREAM, RECEIPT
from hub.transport import open_client, open_server
from hub.trust.trust_list import Member, TrustList
from hub.trust_folder import open_trust
from hub.web.ask import Ask
from hub.web.refusals import PageRefusedError, forbidden, not_here
from hub.web.section import Queue, Section

section: Final = Section("keys", "hub.web")
WARN_DAYS, LATE_DAYS = 30, 0
_ASKED: Final = "web.rotate."
_PLACES: Final = {"current": "在用", "next": "待启用", "old": "已换下"}


@dataclass(frozen=True)
class Key:
    """One certificate. `days` left, None without one; `tone` of the days."""

    purpose: str
    place: str
    keyid: str
    expires: str
    days: int | None
    tone: str


@dataclass(frozen=True)
class Peer:
    """A member of the trust list. `contact`: last word from it, UTC text; `stream`: how its stream stands."""

    party: str
    name: str
    keys: tuple[Key, ...]
    contact: str
    stream: str


@dataclass(frozen=True)
class Asked:
    """A rotation that one person asked for."""

    purpose: str
    name: str
    person: str
    ts: str


@section.queue
def waiting(ask: Ask) -> list[Queue]:
    """Certificates that run out, and rotations that wait for a second person."""
    if not ask.visitor.may("administer"):
        return []
    soon = [
        k for k in own_keys(ask.site.node, ask.at) if k.place == "在用" and k.days is not None and k.days < WARN_DAYS
    ]
    with ask.site.store.reading() as reader:
        asked = [a for a in pending(reader).values() if not same_person(a.person, ask.operator.person)]
    return [
        Queue(f"{WARN_DAYS} 天内到期证书", len(soon), "/keys", "bad"),
        Queue("待我确认的轮换", len(asked), "/keys", "warn"),
    ]


@section.get("/keys", allow=("administer", "audit"), menu="节点与密钥", manual="keys")
def overview(ask: Ask) -> Response:
    """Own keys, trust list, peers."""
    return _show(ask)


@section.post("/keys/test", allow="administer")
def test(ask: Ask) -> Response:
    """Looks at keys, trust list and exchange place now, and says in words what holds."""
    found = list(probe(ask.site.node, ask.at))
    return _show(ask, tests=found)


@section.post("/keys/{purpose}/ask", allow="administer")
def ask_rotation(ask: Ask) -> Response:
    """The first person: asks for the next key to take over."""
    purpose = _purpose(ask)
    _ready(ask, purpose)
    asked = {"name": ask.visitor.name, "person": ask.operator.person, "ts": ask.at.isoformat()}
    with ask.site.store.begin() as tx:
        tx.connection.execute(sa.delete(NODE_STATE).where(NODE_STATE.c.name == _ASKED + purpose))
        row = {"name": _ASKED + purpose, "value": json.dumps(asked, ensure_ascii=False)}
        tx.connection.execute(sa.insert(NODE_STATE), row)
        _audit(ask, tx, "提出", purpose, "")
    return _show(ask, note="已提出轮换，须由另一位系统管理员确认后执行。")


@section.post("/keys/{purpose}/confirm", allow="administer")
def confirm_rotation(ask: Ask) -> Response:
    """The second person: the next key takes over. Compared by person."""
    purpose = _purpose(ask)
    with ask.site.store.reading() as reader:
        asked = pending(reader).get(purpose)
    if asked is None:
        raise PageRefusedError(409, "E1099", "没有待确认的轮换，或已被他人处理", step="刷新页面查看当前状态")
    if same_person(asked.person, ask.operator.person):
        raise forbidden("轮换须由两人办理，不能确认本人提出的轮换", "请另一位系统管理员确认")
    keyid = _ready(ask, purpose)
    with ask.site.store.begin() as tx:
        gone = tx.connection.execute(sa.delete(NODE_STATE).where(NODE_STATE.c.name == _ASKED + purpose))
        if gone.rowcount != 1:
            raise PageRefusedError(409, "E1099", "没有待确认的轮换，或已被他人处理", step="刷新页面查看当前状态")
        _audit(ask, tx, f"{asked.name} 提出，{ask.visitor.name} 确认", purpose, keyid)
        node_keys.rotate(ask.site.node.keys, purpose)
    return _show(ask, note="密钥已轮换，换下的解密私钥留存。")


@section.post("/keys/{purpose}/withdraw", allow="administer")
def withdraw_rotation(ask: Ask) -> Response:
    """Takes a rotation back that was not confirmed."""
    purpose = _purpose(ask)
    with ask.site.store.begin() as tx:
        gone = tx.connection.execute(sa.delete(NODE_STATE).where(NODE_STATE.c.name == _ASKED + purpose))
        if gone.rowcount:
            _audit(ask, tx, "撤回", purpose, "")
    return _show(ask, note="已撤回。")


def own_keys(node: Node, at: datetime) -> tuple[Key, ...]:
    """The node's keys with the days left of their certificates."""
    return tuple(
        _key(node_keys.WORDS[k.purpose], _PLACES[k.place], k.keyid, k.expires, at)
        for k in node_keys.list_keys(node.keys)
    )


def peers(ask: Ask, reader: Reader, trust: TrustList) -> tuple[Peer, ...]:
    """Members of the trust list but ourselves."""
    contacts, streams = _contacts(reader), _streams(reader)
    return tuple(
        Peer(p, _name(ask, p), tuple(_member_keys(m, trust, ask.at)), contacts.get(p, ""), streams.get(p, ""))
        for p, m in sorted(trust.members.items())
        if p != ask.site.party
    )


def pending(reader: Reader) -> dict[str, Asked]:
    """Rotations that wait for a second person, by purpose."""
    rows = reader.connection.execute(sa.select(NODE_STATE).where(NODE_STATE.c.name.like(_ASKED + "%"))).mappings()
    found = ((r["name"].removeprefix(_ASKED), json.loads(r["value"])) for r in rows)
    return {purpose: Asked(purpose, v["name"], v["person"], v["ts"]) for purpose, v in found}


def probe(node: Node, at: datetime) -> Iterator[tuple[str, bool, str]]:
    """(what, whether it holds, in words): keys, trust list, exchange place."""
    try:
        ring = open_keyring(node, at=at)
        yield "密钥", True, "私钥可读，与证书相符"
        left = (ring.trust.expires - at).days
        yield "信任清单", left >= 0, f"第 {ring.trust.version} 版，签名有效，还剩 {left} 天"
    except HubError as error:
        yield "密钥与信任清单", False, f"{error.what}。{error.step}"
    try:
        yield "传输", True, _exchange(node, at)
    except (HubError, OSError) as error:
        yield "传输", False, error.what if isinstance(error, HubError) else "交换目录不可读写"


def _exchange(node: Node, at: datetime) -> str:
    if node.settings.role == "ministry":
        waiting = len(list(open_server(node.transport_url).root.iterdir()))
        return f"交换目录可达，{waiting} 个成员目录"
    pins = open_trust(node.trust, at=at).member("moe").ssh_host_keys or node.settings.sftp_host_keys
    key_file = Path(node.folder / node.settings.sftp_key)
    with open_client(node.transport_url, node.party, key_file=key_file, host_keys=pins) as client:
        return f"交换服务器可达，待取 {len(list(client.list_out()))} 个文件"


def _show(ask: Ask, *, note: str = "", tests: list[tuple[str, bool, str]] | None = None) -> Response:
    site = ask.site
    trust, trouble = None, ""
    try:
        trust = open_trust(site.node.trust, at=ask.at)
    except HubError as error:
        trouble = error.what
    with site.store.reading() as reader:
        found = peers(ask, reader, trust) if trust else ()
        asked = pending(reader)
    ready = {p: _why_not(site.node, p, trust, ask.at) for p in node_keys.PURPOSES} if trust else {}
    left = (trust.expires - ask.at).days if trust else 0
    return ask.page(
        "keys.html", own=own_keys(site.node, ask.at), peers=found, trust=trust, left=left, trouble=trouble, asked=asked,
        ready=ready, words=node_keys.WORDS, note=note, tests=tests or [], person=ask.operator.person,
    )  # fmt: skip


def _why_not(node: Node, purpose: node_keys.Purpose, trust: TrustList, at: datetime) -> str:
    """Why the next key cannot take over yet, empty when it can."""
    try:
        node_keys.ready_to_rotate(node.keys, purpose, node.party, trust, at)
    except HubError as error:
        return error.what
    return ""


def _ready(ask: Ask, purpose: node_keys.Purpose) -> str:
    node = ask.site.node
    return node_keys.ready_to_rotate(node.keys, purpose, node.party, open_trust(node.trust, at=ask.at), ask.at)


def _purpose(ask: Ask) -> node_keys.Purpose:
    given = ask.path["purpose"]
    found = next((p for p in node_keys.PURPOSES if p == given), None)
    if found is None:
        raise not_here("没有这种密钥")
    return found


def _audit(ask: Ask, tx: Any, what: str, purpose: node_keys.Purpose, keyid: str) -> None:
    append(
        tx.connection, Event.KEY_ROTATED, ts=ask.at, node=ask.site.party, actor=ask.visitor.name,
        object=keyid or f"{purpose} key", purpose=f"{node_keys.WORDS[purpose]}密钥轮换：{what}",
    )  # fmt: skip


def _key(purpose: str, place: str, keyid: str, expires: datetime | None, at: datetime) -> Key:
    days = (expires - at).days if expires else None
    tone = (
        "off"
        if days is None or place == "已换下"
        else "bad"
        if days < LATE_DAYS
        else "warn"
        if days < WARN_DAYS
        else "good"
    )
    return Key(purpose, place, keyid.removeprefix("sha256:")[:16], expires.isoformat() if expires else "", days, tone)


def _member_keys(member: Member, trust: TrustList, at: datetime) -> Iterator[Key]:
    for purpose, entries in (("签名", member.sign), ("加密", member.encrypt)):
        for entry in entries:
            place = "已吊销" if trust.is_revoked(entry.keyid, at) else "待启用" if entry.not_before > at else "在用"
            yield _key(purpose, place, entry.keyid, entry.not_after, at)


def _contacts(reader: Reader) -> dict[str, str]:
    """The last word from each party: a decided batch at the ministry, a receipt at a province."""
    ask = reader.connection.execute
    found = {
        p: t for p, t in ask(sa.select(INBOX.c.party, sa.func.max(INBOX.c.received_at)).group_by(INBOX.c.party)) if t
    }
    heard = ask(sa.select(sa.func.max(RECEIPT.c.created)).where(RECEIPT.c.published_at.is_(None))).scalar_one()
    decided = ask(sa.select(sa.func.max(OUTBOX.c.decided_at))).scalar_one()
    last = max(filter(None, (heard, decided)), default="")
    return {"moe": last, **found} if last else found


def _streams(reader: Reader) -> dict[str, str]:
    rows = reader.connection.execute(sa.select(PEER_STREAM)).mappings()
    return {
        r["party"]: f"第 {r['epoch']} 期第 {r['last_seq'] or 0} 批" + (f"（{r['state']}）" if r["state"] else "")
        for r in rows
    }


def _name(ask: Ask, party: str) -> str:
    known = {"moe": "部级节点", "moe-dr": "部级灾备节点"}
    return known.get(party) or ask.site.catalog.codes.division_names.get(f"{party}0000", party)
