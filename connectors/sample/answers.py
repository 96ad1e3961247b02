"""The answer key: what a hub that follows the rulings makes of each planted case, and how many rows become golden.

`answers.json`: `format`, `arguments`, `today` {day1, day2}, `totals` {sources {S1.XS_JBXX: rows as written}, templates,
golden {day1 {entity: rows}, day2}, ordinary_updates {entity: rows of day 2 that carry no case}}, `kinds` {kind: cases},
`findings`, `cases`. A case: id `<kind>-<n>`, day, kind, entity, source (`S1.XS_JBXX`), key (natural, normalised where
the row becomes golden, else as it stands), rows (source rows covered), because (the case it follows from), expected:

- outcome: golden, quarantine, held, conflict, cancelled, duplicate, review, rejected; on day 2 also deleted
- rule (the first of MODEL §7), also (rules the same row breaks besides), ruling, field, golden_value (null: empty)
- golden_rows (of duplicates), conflict (true: one conflict names the rows), state, losing_value, losing_source,
  provenance, row_key (the row whose copied value lost), `or` (an outcome that is right as well), severity
- change (day 2: insert, update, delete, key_change, none), old_key, prior (`stays`), minutes_before_watermark

`findings`: every hit of a rule that does not block among the standing rows of day 1: rule, entity, field, key. An
ordinary row breaks no rule, so they are those of planted cases and of what schools have yet to supply (WZ09).
"""

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
    findings: list[dict[str, Any]] = field(default_factory=list)
    _numbers: Counter[str] = field(default_factory=Counter)

    def find(self, rule: str, entity: str, name: str, key: Mapping[str, str | None]) -> None:
        """Records that a standing row of day 1 shows a finding; `name`: the field it names."""
        self.findings.append({"rule": rule, "entity": entity, "field": name, "key": dict(key)})

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
