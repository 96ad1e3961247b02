"""Rows of the list of conflicts, read from the database, masked: SQL to values, no page.

Decides what of a conflict stands in one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.catalog import Catalog
from hub.masking import mask_key
from hub.store import Reader
from quality.case_notice import counterparts
from quality.decisions import State
from quality.decisions_list import severity
from quality.decisions_store import as_value, is_case, sources_of
from quality.web.wording import (
    entity_name,
    field_name,
    field_of,
    province_names,
    reason_name,
    school_names,
    source_name,
    value_shown,
)


@dataclass(frozen=True)
class Told:
    """What one source says in a line. `same`: another source's other value is masked alike."""

    source: str
    value: str
    suggested: bool


@dataclass(frozen=True)
class Line:
    """One conflict in a list."""

    number: int
    version: int
    entity: str
    field: str
    record: str
    school_code: str
    school: str
    said: tuple[Told, ...]
    hidden_difference: bool
    reason: str
    severity: str
    state: str
    cause: str
    proposal: str
    proposer: str
    assignee: str
    due: str
    late: bool
    rounds: int
    case: str = ""


def lines_of(
    reader: Reader, catalog: Catalog, node: str, rows: Sequence[Mapping[str, Any]], today: str
) -> tuple[Line, ...]:
    """The rows as they are shown."""
    said = sources_of(reader, [int(r["decision_no"]) for r in rows])
    cases = counterparts(reader, [int(r["decision_no"]) for r in rows if is_case(r["subject"])])
    schools = school_names(reader, node, (r["school"] for r in rows))
    return tuple(_line(catalog, row, said.get(int(row["decision_no"]), []), schools, cases, today) for row in rows)


def _line(
    catalog: Catalog,
    row: Mapping[str, Any],
    said: Iterable[Mapping[str, Any]],
    schools: Mapping[str, str],
    cases: Mapping[int, tuple[str, ...]],
    today: str,
) -> Line:
    field = field_of(catalog, row)
    sources = as_value(row, said).sources
    told = tuple(
        Told(
            source_name(catalog, s.source), value_shown(catalog, field, s.value),
            s.source == row["suggest_source"] and s.value == row["suggest_value"],
        )
        for s in sources
    )  # fmt: skip
    open_ = row["state"] != str(State.EFFECTIVE)
    return Line(
        number=int(row["decision_no"]),
        version=int(row["version"]),
        entity=entity_name(catalog, row["entity"]),
        field=field_name(catalog, row["entity"], row["field"]),
        record=mask_key(catalog.entities[row["entity"]], row["natural_key"]) or "",
        school_code=row["school"] or "",
        school=schools.get(row["school"] or "", row["school"] or ""),
        said=told if any(s.value for s in sources) else (),
        hidden_difference=len({s.value for s in sources}) > len({t.value for t in told}),
        reason=reason_name(catalog, row["rule"], clash=bool(row["clash"])),
        severity=severity(catalog, row["rule"], clash=bool(row["clash"])),
        state=row["state"],
        cause=row["cause"] or "",
        proposal=proposal_words(catalog, row),
        proposer=row["proposer"] or "",
        assignee=row["assignee"] or "",
        due=row["due"] or "",
        late=open_ and bool(row["due"]) and row["due"] < today,
        rounds=int(row["round_no"] or 1),
        case="、".join(province_names(catalog).get(p, p) for p in cases.get(int(row["decision_no"]), ())),
    )


def proposal_words(catalog: Catalog, row: Mapping[str, Any], *, plain: bool = False) -> str:
    """采用来源值 01 汉族；empty without a proposal."""
    if not row["kind"]:
        return ""
    source = f"（{source_name(catalog, row['chosen_source'])}）" if row["chosen_source"] else ""
    value = row["chosen_value"]
    shown = f"：{value_shown(catalog, field_of(catalog, row), value, plain=plain)}" if value else ""
    return f"{row['kind']}{source}{shown}"
