"""A trust folder judged away from its node: for evidence, writing nothing (protocol 10.7).

Decides that every list is verified as of its own issue, from the pins on: what was accepted when is not known here.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import trust_list_name
from hub.errors import KeyMaterialError
from hub.trust.trust_list import TrustList, parse_trust_list
from hub.trust.update import accept_first, accept_next
from hub.trust_folder import PINS, read


def read_trust(folder: Path) -> TrustList:
    """The newest list of `folder`; NotInitialisedError E1001 without one, codes of protocol 4.2 and `E_TRUST_…`."""
    first = trust_list_name(1)
    envelope = read(folder, first)
    trust = accept_first(envelope, pins=_pins(folder), at=_issued(envelope, first), where=first)
    while (folder / trust_list_name(trust.version + 1)).is_file():
        name = trust_list_name(trust.version + 1)
        envelope = read(folder, name)
        trust = accept_next(trust, envelope, at=_issued(envelope, name), where=name)
    return trust


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
