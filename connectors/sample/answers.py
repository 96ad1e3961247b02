"""The answer key: what a hub that follows the rulings makes of each planted case, and how many rows become golden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Case = dict[str, Any]


@dataclass
class Answers:
    """Collects cases in the order they are planted; ids are `<kind>-<n>`."""

    cases: list[Case] = field(default_factory=list)
    _numbers: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        kind: str,
        entity: str,
        source: str,
        key: Mapping[str, str | None],
        expected: Mapping[str, Any],
        *,
        day: int = 1,
        rows: int = 1,
        because: str | None = None,
    ) -> str:
        """Records a case and returns its id. `rows`: source rows it covers; `because`: the case it follows from."""
        self._numbers[kind] += 1
        case: Case = {
            "id": f"{kind}-{self._numbers[kind]}",
            "day": day,
            "kind": kind,
            "entity": entity,
            "source": source,
            "key": dict(key),
            "rows": rows,
            "expected": {k: v for k, v in expected.items() if v is not None},
        }
        if because:
            case["because"] = because
        self.cases.append(case)
        return str(case["id"])
