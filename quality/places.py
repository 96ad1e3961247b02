"""Data scope in SQL for lists that carry a school (console 1): quarantine, findings, rates, supplements.

Decides that a row lies in a scope by its school, or by the division its school stands in now, along the reporting tree.
A row without a school lies in no narrower scope than the whole. Conflicts carry their own division and are scoped in
`quality.decisions_query`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from hub.roles import Area, Scope, area, covered, reports_to
from hub.store import Reader

UNKNOWN: Final = "-"


def lies_in(division: Any, areas: Sequence[Area]) -> Any:
    """WHERE term over a column of divisions: it reports to one of the areas, or is one."""
    terms = []
    for one in areas:
        listed = sorted(c for c in one.codes if not one.prefix or not c.startswith(one.prefix))
        if listed:
            terms.append(division.in_(listed))
        if one.prefix:
            begins = division.like(f"{one.prefix}%")
            terms.append(sa.and_(begins, division.not_in(sorted(one.apart))) if one.apart else begins)
    return sa.or_(sa.false(), *terms)


def schools_in(reader: Reader, node: str | None, areas: Sequence[Area]) -> Any:
    """SELECT of the codes of schools that stand in one of these areas. `node`: None for every node's."""
    xx = reader.golden("xx")
    query = sa.select(xx.c.xxdm).where(lies_in(xx.c.xzqhm, areas))
    return query if node is None else query.where(xx.c.node == node)


def within_schools(
    reader: Reader, node: str | None, scopes: Sequence[Scope], school: Any, entity: Any | None = None
) -> Any:
    """WHERE term over a column of schools, and one of entities where rows have one. No scope: nothing."""
    terms: list[Any] = []
    for areas, own, entities in covered(scopes):
        if entities and entity is None:
            continue
        place: Any = sa.true()
        if areas is not None:
            place = sa.or_(school.in_(sorted(own)), school.in_(schools_in(reader, node, areas)))
        terms.append(sa.and_(place, entity.in_(sorted(entities))) if entities and entity is not None else place)
    return sa.or_(sa.false(), *terms)


def of_division(reader: Reader, node: str | None, code: str, school: Any) -> Any:
    """WHERE term: the school stands in a division that reports to `code`, or in it."""
    return school.in_(schools_in(reader, node, [area(code)]))


def school_names(reader: Reader, node: str | None, codes: Sequence[str]) -> dict[str, str]:
    """Names of some schools, as the store has them."""
    xx = reader.golden("xx")
    query = sa.select(xx.c.xxdm, xx.c.xxmc).where(xx.c.xxdm.in_(sorted(set(codes))))
    if node is not None:
        query = query.where(xx.c.node == node)
    return {str(code): str(name or "") for code, name in reader.connection.execute(query)}


def place_above(division: str | None, level: str) -> str:
    """The county itself, or the city or province it reports to; `-` where it is unknown. Of a county that reports to the
    province, the city is the county itself (定州, 辛集)."""
    if not division:
        return UNKNOWN
    province = division[:2] + "0000"
    if level == "province":
        return province
    above = reports_to(division)
    return division if level == "county" or above == province else above
