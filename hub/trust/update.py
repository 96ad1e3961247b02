"""From one trust list version to the next (protocol 10.1).

Decides whether an offered envelope becomes the trust list in force. Leaves to the caller: fetching it, and persisting
the highest version seen (envelope bytes and version) in the transaction that puts it in force.

Rules: N+1 verifies under the thresholds of N *and* of itself; N+2 without N+1 is refused; older is refused; the same
version with the same bytes is a no-op, with other bytes an alarm; CRLs of N+1 never go below those of N.
Freshness of CRLs is not asked of trust lists: they carry the CRLs, and a province that was silent for longer than
the grace could otherwise never catch up. Revocations on an old CRL still count.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from hub.batch.envelope import PayloadType, Verified, parse, verify
from hub.trust.keys import cert_keyid
from hub.trust.trust_list import ROLE_TRUST, TrustList, parse_trust_list
from hub.verdict import refused

MAX_STEPS = 256


def accept_first(
    envelope: bytes, *, pins: Collection[str], at: datetime, where: str = "trust-list", threshold: int = 2
) -> TrustList:
    """The first list of a node: signed under its own threshold, by `threshold` keys whose ids came out of band.

    `pins`: key ids (`sha256:…`) of the offline ministry keys, compared by two persons at set-up. E_SIG otherwise.
    """
    # The list holds the keys that verify it, so it must be read first; nothing of it is kept unless the pins agree.
    candidate = parse_trust_list(parse(envelope, PayloadType.TRUST_LIST, where=where).payload)
    verified = _verify(envelope, candidate, at, where)
    pinned = [key for key in verified.signers if key.keyid in pins]
    if len(pinned) < max(threshold, 2):
        raise refused("E_SIG", f"由已核对指纹的密钥签名的只有 {len(pinned)} 个", where=where)
    return candidate


def accept_next(current: TrustList, envelope: bytes, *, at: datetime, where: str = "trust-list") -> TrustList:
    """The list in force after `envelope` was offered: N+1, or `current` itself when it is offered again.

    Raises E_TRUST_ROLLBACK, E_TRUST_GAP, E_TRUST_FORK, or a code of protocol 4.2; `current` stays in force then.
    """
    verified = _verify(envelope, current, at, where)
    candidate = parse_trust_list(verified.payload)
    if candidate.version < current.version:
        raise refused("E_TRUST_ROLLBACK", f"现用第 {current.version} 版，收到第 {candidate.version} 版", where=where)
    if candidate.version == current.version:
        if candidate.digest != current.digest:
            raise refused("E_TRUST_FORK", f"第 {current.version} 版", where=where)
        return current
    if candidate.version > current.version + 1:
        raise refused("E_TRUST_GAP", f"现用第 {current.version} 版，收到第 {candidate.version} 版", where=where)
    _verify(envelope, candidate, at, where)
    _check_crls(current, candidate, where)
    return candidate


def _verify(envelope: bytes, trust: TrustList, at: datetime, where: str) -> Verified:
    return verify(
        envelope,
        payload_type=PayloadType.TRUST_LIST,
        trust=trust,
        role=ROLE_TRUST,
        at=at,
        crl_grace=None,
        where=where,
    )


def _check_crls(current: TrustList, candidate: TrustList, where: str) -> None:
    for issuer, known in current.crls.by_issuer.items():
        offered = candidate.crls.by_issuer.get(issuer)
        authority_left = issuer not in _anchor_ids(candidate)
        if offered is None and authority_left:
            continue
        if offered is None or offered.number < known.number:
            raise refused("E_TRUST_ROLLBACK", "新版信任清单中的吊销列表比现用的旧或缺失", where=where)


def _anchor_ids(trust: TrustList) -> set[str]:
    return {cert_keyid(cert) for cert in trust.anchors}
