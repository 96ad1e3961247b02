"""A trust folder judged away from its node: for evidence, writing nothing (protocol 10.7).

Decides that every list is verified as of its own issue, from the pins on: what was accepted when is not known here;
and which list, with which revocation lists, was in force when something was signed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from hub.batch.envelope import PayloadType, parse
from hub.batch.grant import EpochGrant, open_grant, parse_grant
from hub.batch.layout import NameKind, StreamId, parse_name, trust_list_name
from hub.batch.sequence import CLOCK_TOLERANCE
from hub.errors import KeyMaterialError, RefusedError
from hub.trust.chain import Crl, CrlSet, parse_crl
from hub.trust.trust_list import TrustList, parse_trust_list
from hub.trust.update import accept_first, accept_next
from hub.trust_folder import CRL_NAME, MAX_CRL, PINS, read
from hub.verdict import refused


@dataclass(frozen=True)
class TrustHistory:
    """Every list from the first on, and every revocation list that lies beside them or in one of them."""

    lists: tuple[TrustList, ...]
    crls: tuple[Crl, ...] = ()
    grants: Mapping[StreamId, EpochGrant] = field(default_factory=dict)

    @property
    def newest(self) -> TrustList:
        return self.lists[-1]

    def of(self, version: int, at: datetime) -> TrustList:
        """The list of that version with the CRLs issued by then (protocol 10.7).

        Raises E_TRUST_GAP for a version that is not here, E_TRUST_ROLLBACK for one that was issued only after `at`:
        no receiver can have judged by it.
        """
        if not 0 < version <= len(self.lists):
            detail = f"所给信任材料到第 {self.newest.version} 版，这里记的是第 {version} 版"
            raise refused("E_TRUST_GAP", detail, where="trust-list")
        found = self.lists[version - 1]
        if found.issued > at + CLOCK_TOLERANCE:
            detail = f"第 {version} 版签发于 {found.issued:%Y-%m-%d %H:%M} UTC，晚于所记时间"
            raise refused("E_TRUST_ROLLBACK", detail, where="trust-list")
        newest = dict(found.crls.by_issuer)
        for crl in self.crls:
            known = newest.get(crl.issuer_keyid)
            if crl.this_update <= at and (known is None or crl.number > known.number):
                newest[crl.issuer_keyid] = crl
        return replace(found, crls=CrlSet(MappingProxyType(newest)))


def read_history(folder: Path) -> TrustHistory:
    """All of `folder`; NotInitialisedError E1001 without a first list, codes of protocol 4.2 and `E_TRUST_…`."""
    first = trust_list_name(1)
    envelope = read(folder, first)
    lists = [accept_first(envelope, pins=_pins(folder), at=_issued(envelope, first), where=first)]
    while (folder / trust_list_name(lists[-1].version + 1)).is_file():
        name = trust_list_name(lists[-1].version + 1)
        envelope = read(folder, name)
        lists.append(accept_next(lists[-1], envelope, at=_issued(envelope, name), where=name))
    crls = [crl for trust in lists for crl in trust.crls.by_issuer.values()]
    history = TrustHistory(tuple(lists), (*crls, *_crls(folder, lists)))
    return replace(history, grants=MappingProxyType(_grants(folder, history)))


def _crls(folder: Path, lists: list[TrustList]) -> list[Crl]:
    """CRLs fetched between two lists; one that no CA of any list has signed says nothing."""
    anchors = [cert for trust in lists for cert in trust.anchors]
    found = []
    for path in sorted(folder.glob("crl-*.crl")):
        if CRL_NAME.fullmatch(path.name) is not None:
            try:
                found.append(parse_crl(read(folder, path.name, MAX_CRL), anchors))
            except RefusedError:
                continue
    return found


def _grants(folder: Path, history: TrustHistory) -> dict[StreamId, EpochGrant]:
    """Epoch grants that two key holders signed, under the newest list that was issued by then."""
    found = {}
    for path in sorted(folder.glob("*.grant.dsse")):
        try:
            if parse_name(path.name).kind is not NameKind.GRANT:
                continue
            envelope = read(folder, path.name)
            issued = parse_grant(parse(envelope, PayloadType.EPOCH_GRANT, where=path.name).payload).issued
            version = max((t.version for t in history.lists if t.issued <= issued + CLOCK_TOLERANCE), default=1)
            grant = open_grant(envelope, path.name, trust=history.of(version, issued), at=issued)
        except RefusedError:
            continue  # what nobody believed opened no epoch; the batch chain then says that its grant is not here
        found[grant.stream_id] = grant
    return found


def _issued(envelope: bytes, where: str) -> datetime:
    return parse_trust_list(parse(envelope, PayloadType.TRUST_LIST, where=where).payload).issued


def _pins(folder: Path) -> frozenset[str]:
    try:
        pins = json.loads(read(folder, PINS))["pins"]
        return frozenset(str(pin) for pin in pins)
    except (ValueError, KeyError, TypeError):
        raise KeyMaterialError(
            "E1204", "密钥或信任材料无法读取", where=PINS, step="核对文件内容，或从备份恢复"
        ) from None
