"""Epoch grants at the ministry: proposed from where the stream stands, published when two of three keys have signed.

Decides what a grant for the next epoch must say (protocol 9.1) and that a published one is signed, still fits the
stream, and takes effect at once. The old epoch is closed for ever: what arrives for it is E_EPOCH.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hub.audit import Event, Result, append
from hub.batch.cosign import propose
from hub.batch.envelope import PayloadType
from hub.batch.grant import EpochGrant, Position, grant_payload, open_grant
from hub.batch.layout import EVERYONE, StreamId, grant_name
from hub.batch.sequence import PeerStream, open_epoch
from hub.down.form import CASE, CODES, ERRORS, stream_of
from hub.errors import RefusedError, UsageError
from hub.transport.durable import write_durably
from hub.verdict import refused
from ministry_node import position
from ministry_node.desk import STREAM, Desk

BASES: Final = ("continue", "snapshot")
_REASON: Final = 500
_CAP: Final = PayloadType.EPOCH_GRANT.cap


@dataclass(frozen=True)
class Proposed:
    """A grant nobody has signed yet, and the bytes to hand to the key holders."""

    grant: EpochGrant
    body: bytes

    @property
    def name(self) -> str:
        """The file name it must bear when it is published."""
        return grant_name(self.grant.stream_id)


def propose_epoch(desk: Desk, party: str, *, base: str, reason: str) -> Proposed:
    """The grant that would open the next epoch of `up/main` of a province, from where the stream stands now.

    Raises UsageError E1062 (unknown province, base or empty reason).
    """
    reason = reason.strip()
    if base not in BASES or not 0 < len(reason) <= _REASON or party not in desk.parties:
        raise UsageError(
            "E1062",
            f"省级代码、基准或理由不合要求（基准为 {' 或 '.join(BASES)}，理由 1 至 {_REASON} 个字符）",
            where=f"--party {party[:8]}",
            step="省级代码须在信任清单中；更正后重试",
        )
    with desk.store.reading() as reader:
        now = position.standing(reader.connection, party)
    last = Position(now.stream.last_seq, now.stream.last_digest) if now else None
    epoch = now.stream.stream_id.epoch + 1 if now else 1
    grant = EpochGrant(StreamId(party, "up", STREAM, epoch), reason, base, last, desk.at)
    return Proposed(grant, propose(PayloadType.EPOCH_GRANT, grant_payload(grant)))


def propose_first(desk: Desk, party: str, *, reason: str) -> tuple[Proposed, ...]:
    """Grants that open every stream of a new province: its own, and the down streams it takes part in (protocol 2.7).

    The public stream's is left out where the node holds it already. Raises as `propose_epoch`.
    """
    made = [propose_epoch(desk, party, base="continue", reason=reason)]
    for stream_id in (stream_of(CODES, EVERYONE), stream_of(ERRORS, party), stream_of(CASE, party)):
        if not (desk.node.trust / grant_name(stream_id)).exists():
            grant = EpochGrant(stream_id, reason.strip(), "continue", None, desk.at)
            made.append(Proposed(grant, propose(PayloadType.EPOCH_GRANT, grant_payload(grant))))
    return tuple(made)


def publish_epoch(desk: Desk, name: str, envelope: bytes) -> EpochGrant:
    """Verifies a signed grant, keeps it under `trust/`, opens the epoch and lays the grant out for the province.

    Repeatable. Raises RefusedError E_SIG, E_KEY_UNKNOWN, E_ROLE (not two of three different keys), E_NAME, E_GRANT (the
    stream has moved since it was proposed, or it follows nothing); then nothing has changed.
    """
    trust = desk.keyring.trust
    try:
        grant = open_grant(envelope, name, trust=trust, at=desk.at)
        _check(desk, grant)
    except RefusedError as error:
        with desk.store.begin() as tx:
            append(tx.connection, Event.GRANT_REFUSED, ts=desk.at, node=desk.node.party, actor="hub", object=name[:64],
                   result=Result.REFUSED, detail={"code": error.code})  # fmt: skip
        raise
    write_durably([envelope], desk.node.trust / name, _CAP)
    position.take_up(desk, grant)
    desk.server.prepare(grant.stream_id.party)
    desk.server.publish(grant.stream_id.party, name, envelope, replace=False)
    return grant


def _check(desk: Desk, grant: EpochGrant) -> None:
    party = grant.stream_id.party
    if (grant.stream_id.direction, grant.stream_id.stream) != ("up", STREAM) or party not in desk.parties:
        raise refused("E_GRANT", "部级只为各省的上行主数据流开通期次", where=f"{grant.stream_id}")
    with desk.store.reading() as reader:
        now = position.standing(reader.connection, party)
    state: PeerStream | None = now.stream if now else None
    if state is not None and state.stream_id == grant.stream_id and now is not None and now.base == grant.digest:
        return  # published again
    begun = open_epoch(state, grant)
    if begun == state:
        raise refused("E_GRANT", "该期次已由另一份授权开通", where=f"{grant.stream_id}")
