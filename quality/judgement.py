"""What the second judge says of a round: opinions per check, in counts and record numbers, never a value.

Decides when the two judges disagree (E3301); who judges is `quality.judge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hub.errors import HubError

NAMED = 3  # record numbers in an error; the judgement itself keeps them all


@dataclass(frozen=True)
class Opinion:
    """What one check found: rows `checked`, rows `failed`, and the record number of every failing row."""

    entity: str
    rule: str
    field: str
    severity: str
    checked: int
    failed: int
    records: tuple[str, ...] = ()

    @property
    def blocks(self) -> bool:
        return self.severity == "错误" and self.failed > 0


@dataclass(frozen=True)
class Judgement:
    """All opinions of a round. `rows`: rows looked at per entity."""

    rows: Mapping[str, int]
    opinions: tuple[Opinion, ...]

    @property
    def disagreements(self) -> tuple[Opinion, ...]:
        """Checks of severity 错误 that a row of the change set breaks."""
        return tuple(o for o in self.opinions if o.blocks)

    def require_clean(self) -> None:
        """Raises `HubError` E3301 when the two judges disagree; the caller stops the round before anything is stored."""
        found = self.disagreements
        if not found:
            return
        what = "；".join(f"{o.entity}.{o.field} 违反 {o.rule} {o.failed} 行" for o in found[:10])
        where = "、".join(f"{o.entity} {r}" for o in found[:NAMED] for r in o.records[:1])
        raise HubError(
            "E3301",
            f"质量复核与门禁结论不一致：{what}",
            where=f"记录号 {where}",
            step="本轮已停止，未发布任何数据；请核对规则定义（schemas/rules.yaml）与这些记录，并报告该错误",
        )

    def to_json(self) -> dict[str, Any]:
        return {"schema_version": 1, "rows": dict(self.rows), "opinions": [asdict(o) for o in self.opinions]}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Judgement:
        opinions = (Opinion(**{**o, "records": tuple(o["records"])}) for o in document["opinions"])
        return Judgement(document["rows"], tuple(opinions))
