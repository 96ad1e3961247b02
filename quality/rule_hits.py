"""What the rules hold open, by rule: for the list of rules, the quality board and the workbench (console 5).

SQL to plain counts, in the visitor's scope; distinct rows, never events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from hub.catalog import Catalog, Rule
from hub.roles import Scope
from hub.store import Reader
from hub.store.finding_tables import FINDING
from quality.places import of_division, within_schools
from quality.quarantine_list import Wanted, facets, of_node


@dataclass(frozen=True)
class Hits:
    """Open hits of one rule: rows kept out, and records that stand with a 警告 or 提示."""

    kept_out: int = 0
    standing: int = 0


def hits(reader: Reader, party: str, scopes: Sequence[Scope], division: str = "") -> dict[str, Hits]:
    """Open hits by rule. `division`: only of schools that report to it."""
    held = facets(reader, of_node(reader, party), scopes, Wanted(division=division), names=("rule",))["rule"]
    f = FINDING.c
    below = [of_division(reader, _node(party), division, f.school)] if division else []
    query = (
        sa.select(f.rule, sa.func.count())
        .where(f.closed_run.is_(None), within_schools(reader, _node(party), scopes, f.school, f.entity), *below)
        .group_by(f.rule)
    )
    standing = {str(r): int(n) for r, n in reader.connection.execute(query)}
    return {r: Hits(held.get(r, 0), standing.get(r, 0)) for r in {*held, *standing}}


def standing_groups(
    reader: Reader, party: str, scopes: Sequence[Scope], rule: str, most: int = 50
) -> tuple[tuple[str, str, str, int], ...]:
    """(entity, field, school, records) of what stands and breaks the rule, most first."""
    f = FINDING.c
    query = (
        sa.select(f.entity, f.field, sa.func.coalesce(f.school, ""), sa.func.count().label("n"))
        .where(f.closed_run.is_(None), f.rule == rule, within_schools(reader, _node(party), scopes, f.school, f.entity))
        .group_by(f.entity, f.field, f.school)
        .order_by(sa.desc("n"), f.entity, f.field)
        .limit(most)
    )
    return tuple((str(e), str(d), str(s), int(n)) for e, d, s, n in reader.connection.execute(query))


def authorities(catalog: Catalog, rule: Rule) -> tuple[tuple[tuple[str, ...], bool, tuple[str, ...], int], ...]:
    """The authority order of the fields in the rule's scope: (sources in order, school may fill, entities, fields)."""
    found: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    wanted = set(catalog.entities) if "*" in rule.scope else set(rule.scope)
    for (entity, _field), owner in catalog.registry.owners.items():
        if entity in wanted:
            found.setdefault((owner.order, owner.fill), []).append(entity)
    listed = sorted(found.items(), key=lambda f: (-len(f[1]), f[0]))
    return tuple((order, fill, tuple(sorted(set(some))), len(some)) for (order, fill), some in listed)


def _node(party: str) -> str | None:
    return None if party == "moe" else party
