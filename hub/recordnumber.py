"""The record number: the surrogate of a natural key that alone may travel in keys, logs, URLs and lineage.

HMAC-SHA256 over the entity and the key parts with the node's own secret, first 80 bits in hex. The same function in
SQL, for whole tables, is `quality.expressions.record_number`; a test holds the two together.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from hub.changes import PK_LENGTH

SEPARATOR = "\x1f"


def record_number(secret: bytes, entity: str, key_parts: Sequence[str]) -> str:
    """20 lower-case hex digits. `key_parts`: the canonical values of the entity's key fields, in their order."""
    message = SEPARATOR.join([entity, *key_parts]).encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()[:PK_LENGTH]
