"""Two attacks on a lab's exchange place, for demonstrations: a replay and a copy with one flipped bit.

Decides only how the files are spoilt; what the ministry makes of them is its intake's. State must not move, which the
caller checks by digests.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ministry_node.intake import DUPLICATE, IntakeResult, run_intake
from pipelines.lab.setup import Lab


@dataclass(frozen=True)
class Attack:
    """What the ministry answered: a sentence per decision or alarm, and whether it was refused as it must be."""

    sentences: tuple[str, ...]
    refused: bool


def replay(lab: Lab) -> Attack:
    """The newest applied batch is uploaded again, byte for byte (protocol 15 #8)."""
    for file in _newest(lab).iterdir():
        if ".receipt" not in file.name:
            shutil.copyfile(file, _ready(lab) / file.name)
    result = run_intake(lab.ministry, at=datetime.now(UTC), rng=os.urandom)
    return Attack(_told(result), [d.verdict for d in result.decisions] == [DUPLICATE])


def spoil(lab: Lab) -> Attack:
    """The newest manifest is uploaded with one bit of its payload flipped (protocol 15 #2)."""
    manifest = next(_newest(lab).glob("*.manifest.dsse"))
    envelope = json.loads(manifest.read_bytes())
    payload = bytearray(base64.b64decode(envelope["payload"]))
    payload[len(payload) // 2] ^= 1
    envelope["payload"] = base64.b64encode(payload).decode("ascii")
    (_ready(lab) / manifest.name).write_text(json.dumps(envelope), encoding="ascii")
    result = run_intake(lab.ministry, at=datetime.now(UTC), rng=os.urandom)
    return Attack(_told(result), [d.code for d in result.decisions] == ["E_SIG"])


def _newest(lab: Lab) -> Path:
    return max((lab.ministry.store / lab.province.party).glob("e*/*"))


def _ready(lab: Lab) -> Path:
    return lab.exchange_root / f"p{lab.province.party}" / "in" / "ready"


def _told(result: IntakeResult) -> tuple[str, ...]:
    return tuple(d.sentence for d in result.decisions)
