"""Names of the province's assets."""

from __future__ import annotations

from typing import Final

import dagster as dg

CHANGE_SET: Final = dg.AssetKey(["province", "change_set"])
PUBLISHED: Final = dg.AssetKey(["province", "published"])
DELIVERED: Final = dg.AssetKey(["province", "delivered"])
RECEIPTS: Final = dg.AssetKey(["province", "receipts"])
# Golden tables by entity group (`group` in schemas/entities).
GOLDEN: Final = {group: dg.AssetKey(["province", "golden", group]) for group in ("school", "teacher", "student")}
