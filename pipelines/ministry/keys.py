"""Names of the ministry's assets and partitions."""

from __future__ import annotations

from typing import Final

import dagster as dg

INTAKE: Final = dg.AssetKey(["ministry", "intake"])
# The provinces are those of the trust list: one that joins needs no new code (architecture, rule 12). The sensor adds
# them when it first sees them.
PROVINCES: Final = dg.DynamicPartitionsDefinition(name="province")
