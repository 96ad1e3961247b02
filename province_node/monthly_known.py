"""What the hub knows for the monthly form, box by box, and where it knows it from (console 5: prefilled).

Decides what may be filled in without a person: what the month before said, how many cities there are, and that a first
round is not finished while a school's required form has no record. Everything else stays an honest blank: the hub sees
neither budgets nor meetings nor the accounts of the national system.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hub.catalog import Catalog
from hub.store import Reader
from province_node.monthly_form import form
from province_node.supplement_missing import completeness

BEFORE: Final = "沿用上次上报"
DIVISIONS: Final = "行政区划代码表"
# Units of the next level that are no cities to train: 省直辖县级, 市辖区.
_CITY_ENDS: Final = "00"
_DIRECT: Final = "90"


@dataclass(frozen=True)
class Known:
    """An answer the hub offers, and where it comes from. `hint`: what it knows without its being an answer."""

    answer: str
    source: str
    hint: str = ""


def known(reader: Reader, catalog: Catalog, node: str, before: Mapping[str, str]) -> dict[str, Known]:
    """Answers by box. `before`: what the last submitted form said."""
    items = form().items()
    found = {name: Known(answer, BEFORE) for name, answer in before.items() if name in items}
    cities = [
        c for c in catalog.codes.divisions_current
        if c[:2] == node and c.endswith(_CITY_ENDS) and c[2:4] not in ("00", _DIRECT)
    ]  # fmt: skip
    found["cities"] = Known(str(len(cities)), DIVISIONS)
    schools = completeness(reader, catalog, node)
    lacking = [s for s in schools if s.empty_forms]
    if schools:
        hint = f"中枢已入库 {len(schools)} 所学校，其中 {len(lacking)} 所尚有必填表单没有数据；中枢只持有部分表单"
        answer = "未完成" if lacking else ""
        item = "first_round"
        old = found.get(item)
        found[item] = Known(answer or (old.answer if old else ""), "各校必填表单" if answer else BEFORE, hint)
    return found
