"""What each school still has to supply (待补录, rulings 4, 5), and how complete its required forms are.

Decides what counts as missing: required fields that are empty in a golden record (they do not block), and records that
are quarantined for want of one (they do). Completeness goes by the forms table of the national guide
(`schemas/forms/required.yaml`): of a form the hub holds, whether there are records and how full their required fields
are; of the others nothing can be said here, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
import yaml

from connectors.templates import all_templates
from hub.catalog import Catalog, Entity, Field
from hub.masking import mask_key
from hub.store import Reader
from hub.store.ledger import QUARANTINE
from schemas import ROOT

REQUIRED: Final = "必填"
IN_STORE, KEPT_OUT = "正式记录中为空", "因此被隔离"
# Rules of the gate that want a value (WZ08 wants whole records and is no field to fill).
WANTING: Final = ("WZ01", "WZ02", "WZ03", "WZ05", "WZ06")
CHUNK: Final = 500


@dataclass(frozen=True)
class Form:
    """One form of the national system; `words` by school type (TBLXM 1–4), `entity` where the hub holds it."""

    module: str
    name: str
    entity: str | None
    words: tuple[str, ...]

    def required(self, school_type: str) -> bool:
        return self.words[int(school_type) - 1] == REQUIRED


@dataclass(frozen=True)
class Gap:
    """One value a school has to supply. `record`: the natural key, private data."""

    school: str
    entity: str
    record: str
    field: str
    why: str


@dataclass(frozen=True)
class Completeness:
    """One school: required forms by the guide, those the hub holds, those with records, share of required values."""

    school: str
    name: str
    type: str
    required: int
    held: int
    filled: int
    empty_forms: tuple[str, ...]
    values: int
    present: int

    @property
    def rate(self) -> float | None:
        """完整率: non-empty required values over all of them; None where there are none."""
        return self.present / self.values if self.values else None


@lru_cache(maxsize=1)
def forms() -> tuple[Form, ...]:
    """The forms table as the guide has it."""
    doc = _document()
    return tuple(Form(f["module"], f["form"], f.get("entity"), tuple(f["words"])) for f in doc["forms"])


def school_types() -> Mapping[str, str]:
    """TBLXM → the guide's name of the school type."""
    return dict(_document()["school_types"])


def _document() -> Any:
    text = (ROOT / "forms" / "required.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - text only, no objects


def wanted_fields(catalog: Catalog, entity: Entity) -> tuple[Field, ...]:
    """Required fields somebody has to supply: neither key nor computed."""
    owners = catalog.registry.owners
    return tuple(
        f
        for f in entity.fields
        if f.required == "M" and f.name not in entity.key and owners[entity.name, f.name].order != ("D",)
    )


def missing(reader: Reader, catalog: Catalog, node: str, *, school: str | None = None) -> Iterator[Gap]:
    """Every value to supply, entity by entity; streamed."""
    for entity in catalog.entities.values():
        yield from _empty_in_store(reader, catalog, entity, node, school)
    yield from _kept_out(reader, catalog, node, school)


def _golden(catalog: Catalog, name: str) -> Any:
    columns = ("node", "pk", *(c.lower() for c in catalog.entities[name].columns))
    return sa.table(f"g_{name}", *(sa.column(c) for c in columns))


def _homes_of(catalog: Catalog, node: str) -> Any:
    """(grbsm, xxdm) of a node's students, to join by number.

    DISTINCT, and joined to what is distinct or grouped too: SQLite would otherwise walk one side whole for each row of
    the other. It stands first in a join: binds behind a GROUP BY are not Oracle's.
    """
    xs = _golden(catalog, "xs")
    return sa.select(xs.c.grbsm, xs.c.xxdm).where(xs.c.node == node).distinct().subquery("homes")


def _empty_in_store(reader: Reader, catalog: Catalog, entity: Entity, node: str, school: str | None) -> Iterator[Gap]:
    fields = wanted_fields(catalog, entity)
    if not fields:
        return
    own = _golden(catalog, entity.name)
    keys, empty = [k.lower() for k in entity.key], sa.or_(*(own.c[f.name.lower()].is_(None) for f in fields))
    columns = [own.c[name] for name in dict.fromkeys([*keys, *(f.name.lower() for f in fields)])]
    if "XXDM" in entity.by_name:
        query = sa.select(own.c.xxdm, *(own.c[k] for k in keys), *(own.c[f.name.lower()] for f in fields)).where(
            own.c.node == node, empty
        )
        of_school = own.c.xxdm
    else:
        some = sa.select(*columns).where(own.c.node == node, empty).distinct().subquery("lacking")
        homes = _homes_of(catalog, node)
        query = sa.select(homes.c.xxdm, *(some.c[k] for k in keys), *(some.c[f.name.lower()] for f in fields))
        query = query.select_from(some.join(homes, homes.c.grbsm == some.c.grbsm))
        of_school = homes.c.xxdm
    if school is not None:
        query = query.where(of_school == school)
    for row in reader.connection.execute(query.execution_options(yield_per=5_000)):
        record = "|".join(str(v if v is not None else "") for v in row[1 : 1 + len(keys)])
        for field, value in zip(fields, row[1 + len(keys) :], strict=True):
            if value is None:
                yield Gap(str(row[0]), entity.name, record, field.name, IN_STORE)


def _kept_out(reader: Reader, catalog: Catalog, node: str, school: str | None) -> Iterator[Gap]:
    q = QUARANTINE.c
    query = (
        sa.select(q.school, q.entity, q.natural_key, q.field)
        .where(q.closed_run.is_(None), q.rule.in_(WANTING))
        .order_by(q.entity, q.src_rid, q.field)
    )
    found = reader.connection.execute(query).all()
    homes = _homes(reader, catalog, node, [str(r[2]).split("|")[0] for r in found if not r[0] and r[2]])
    for home, entity, record, field in found:
        where = home or homes.get(str(record or "").split("|")[0], "")
        if school is None or where == school:
            yield Gap(str(where), str(entity), str(record or ""), str(field), KEPT_OUT)


def _homes(reader: Reader, catalog: Catalog, node: str, numbers: list[str]) -> dict[str, str]:
    """School of each student number, golden or itself refused."""
    xs, q = _golden(catalog, "xs"), QUARANTINE.c
    homes: dict[str, str] = {}
    wanted = sorted(set(numbers))
    for at in range(0, len(wanted), CHUNK):
        some = wanted[at : at + CHUNK]
        refused = sa.select(q.natural_key, q.school).where(q.entity == "xs", q.natural_key.in_(some))
        golden = sa.select(xs.c.grbsm, xs.c.xxdm).where(xs.c.node == node, xs.c.grbsm.in_(some))
        for query in (refused, golden):
            homes |= {str(k): str(s) for k, s in reader.connection.execute(query) if s}
    return homes


def shown_gap(catalog: Catalog, gap: Gap) -> list[str]:
    """A gap as the school reads it: entity, masked record, field, why, template to use."""
    entity = catalog.entities[gap.entity]
    field = entity.by_name.get(gap.field)
    template = gap.entity if gap.entity in all_templates(catalog) else ""
    return [entity.cn, mask_key(entity, gap.record) or "", field.cn if field else "", gap.field, gap.why, template]


def completeness(reader: Reader, catalog: Catalog, node: str, *, school: str | None = None) -> list[Completeness]:
    """Every school of the store, by code."""
    xx = _golden(catalog, "xx")
    query = sa.select(xx.c.xxdm, xx.c.xxmc, xx.c.tblxm).where(xx.c.node == node).order_by(xx.c.xxdm)
    if school is not None:
        query = query.where(xx.c.xxdm == school)
    schools = reader.connection.execute(query).all()
    held = {f.entity for f in forms() if f.entity}
    counts = {name: counted(reader, catalog, catalog.entities[name], node) for name in sorted(held)}
    return [_of_school(counts, str(code), str(name or ""), str(kind or "1")) for code, name, kind in schools]


def counted(reader: Reader, catalog: Catalog, entity: Entity, node: str) -> dict[str, tuple[int, int, int]]:
    """School → (records, required values, of them present), one pass in the database."""
    fields = wanted_fields(catalog, entity)
    names = [f.name.lower() for f in fields]
    own = _golden(catalog, entity.name)
    by = own.c.xxdm if "XXDM" in entity.by_name else own.c.grbsm
    present = [sa.func.count(own.c[name]).label(f"n_{name}") for name in names]
    query = sa.select(by, sa.func.count().label("n"), *present).where(own.c.node == node).group_by(by)
    if "XXDM" not in entity.by_name:
        each, homes = query.subquery("each_student"), _homes_of(catalog, node)
        sums = [sa.func.sum(each.c[name]) for name in ("n", *(f"n_{name}" for name in names))]
        joined = homes.join(each, homes.c.grbsm == each.c.grbsm)
        query = sa.select(homes.c.xxdm, *sums).select_from(joined).group_by(homes.c.xxdm)
    found = reader.connection.execute(query)
    return {str(r[0]): (int(r[1]), int(r[1]) * len(names), sum(int(n) for n in r[2:])) for r in found}


def _of_school(
    counted: Mapping[str, Mapping[str, tuple[int, int, int]]], code: str, name: str, kind: str
) -> Completeness:
    required = [f for f in forms() if f.required(kind)]
    held = [f for f in required if f.entity]
    tallies = [counted[str(f.entity)].get(code, (0, 0, 0)) for f in held]
    empty = tuple(f"{f.module}-{f.name}" for f, t in zip(held, tallies, strict=True) if not t[0])
    return Completeness(
        code, name, kind, len(required), len(held), len(held) - len(empty), empty,
        sum(t[1] for t in tallies), sum(t[2] for t in tallies),
    )  # fmt: skip
