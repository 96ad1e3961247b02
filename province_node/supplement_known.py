"""What is known of a school when its supplement arrives: records in the store, rows that wait, words for classes.

Decides what counts as supplied already: golden records, and rows of the waiting area that are approved or (on import)
wait for review. The order 基本信息 → 基本属性 → 学籍 → 奖助 is enforced with it: a row whose main record is missing is
refused with a sentence that says what to load first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from connectors.templates import IDENTITY, all_templates
from connectors.xlsx_rows import Reject
from hub.catalog import Catalog, Template
from hub.store import Reader
from province_node.local import identified, identity_labels
from province_node.supplement_store import Line, State, files, lines, raw_table
from province_node.supplement_words import add_words, no_words

# What must be there before a row of an entity, in the order to load (seed: 先基本信息、再基本属性、最后学籍信息).
FIRST: Final[Mapping[str, tuple[str, ...]]] = {
    "xs_sx": ("xs",),
    "xs_xj": ("xs", "xs_sx"),
    "xs_jz": ("xs", "xs_sx", "xs_xj"),
    "xs_jtcy": ("xs",),
    "jzg_gz": ("jzg",),
}
MISSING_FIRST: Final = "E3705"
TWICE: Final = "WY01"
Key = tuple[str, ...]


@dataclass
class Known:
    """Keys of one school by entity: 证件 (type, number) for students, own numbers for everything else."""

    catalog: Catalog
    school: str
    golden: dict[str, set[Key]] = field(default_factory=dict)
    waiting: dict[str, set[Key]] = field(default_factory=dict)
    approved: dict[str, set[Key]] = field(default_factory=dict)
    classes: list[dict[str, str | None]] = field(default_factory=list)
    majors: list[dict[str, str | None]] = field(default_factory=list)

    def founded(self, entity: str, key: Key) -> bool:
        """Whether the store has the record."""
        return key in self.golden.get(entity, set())

    def supplied(self, entity: str, key: Key, *, reviewed: bool) -> bool:
        """Whether the record stands, or waits (with `reviewed`: is approved) in the waiting area."""
        if self.founded(entity, key) or key in self.approved.get(entity, set()):
            return True
        return not reviewed and key in self.waiting.get(entity, set())


def known_of(reader: Reader, catalog: Catalog, node: str, school: str, *, except_file: int | None = None) -> Known:
    """Reads what the store has of a school; one query per entity."""
    known = Known(catalog, school)
    _golden(reader, known, node)
    templates = all_templates(catalog)
    for file in files(reader, school=school):
        if file.number == except_file:
            continue
        template = templates[file.template]
        for states, into in (((State.WAITING,), known.waiting), ((State.APPROVED,), known.approved)):
            some = list(lines(reader, file.number, states))
            for entity, keys in keys_of(catalog, template, school, some).items():
                into.setdefault(entity, set()).update(k for k in keys.values() if k is not None)
            _words_of(known, template, some)
    return known


def _golden(reader: Reader, known: Known, node: str) -> None:
    entities = known.catalog.entities
    tables = {
        name: sa.table(f"g_{name}", *(sa.column(f.lower()) for f in ("node", *e.columns)))
        for name, e in entities.items()
    }
    xs = tables["xs"]
    ask = reader.connection.execute
    mine = sa.and_(xs.c.node == node, xs.c.xxdm == known.school)
    persons = {
        r[0]: (str(r[1] or ""), str(r[2] or ""))
        for r in ask(sa.select(xs.c.grbsm, xs.c.sfzjlxm, xs.c.sfzjh).where(mine))
    }
    known.golden["xs"] = set(persons.values())
    for name in ("xs_sx", "xs_xj", "xs_jz", "xs_jtcy"):
        own = tables[name]
        query = sa.select(own.c.grbsm).where(own.c.node == node, own.c.grbsm.in_(sa.select(xs.c.grbsm).where(mine)))
        known.golden[name] = {persons[r[0]] for r in ask(query) if r[0] in persons}
    for name in ("xq", "jg", "zy", "bj", "jzg", "jzg_gz", "xx"):
        own, keys = tables[name], [k for k in entities[name].key if k != "XXDM"]
        columns = [own.c[k.lower()] for k in keys] or [own.c.xxdm]
        found = ask(sa.select(*columns).where(own.c.node == node, own.c.xxdm == known.school))
        known.golden[name] = {tuple(str(v or "") for v in r) if keys else () for r in found}
    for name, into in (("bj", known.classes), ("zy", known.majors)):
        own = tables[name]
        wanted = _WORDS[name]
        query = sa.select(*(own.c[w.lower()] for w in wanted)).where(own.c.node == node, own.c.xxdm == known.school)
        into += [dict(zip(wanted, r, strict=True)) for r in ask(query)]


_WORDS: Final = {"bj": ("BH", "BJMC", "NJDM", "ZYBH"), "zy": ("ZYBH", "ZYDM", "ZYMC", "ZYJC")}


def _words_of(known: Known, template: Template, some: Sequence[Line]) -> None:
    """Classes and majors the school supplied itself and that are not in the store yet."""
    headers = {c.parts[2]: c.header for c in template.columns if c.parts is not None and c.parts[0] == template.name}
    into = {"bj": known.classes, "zy": known.majors}.get(template.name)
    if into is not None:
        into += [{w: line.cells.get(headers.get(w, "")) for w in _WORDS[template.name]} for line in some]


def keys_of(
    catalog: Catalog, template: Template, school: str, some: Sequence[Line]
) -> dict[str, dict[int, Key | None]]:
    """Per entity a template feeds: sheet row → key, None where the row does not give one."""
    rows = identified(raw_table(template, some), school, identity_labels(catalog))
    return keys_in(catalog, template, rows)


def keys_in(catalog: Catalog, template: Template, rows: pa.Table) -> dict[str, dict[int, Key | None]]:
    """The same over rows with identity columns."""
    numbers = [int(n) for n in rows["_row"].to_pylist()]
    persons = list(zip(rows["_id_type"].to_pylist(), rows["_id_no"].to_pylist(), strict=True))
    found: dict[str, dict[int, Key | None]] = {}
    for name in fed_by(template):
        if name.startswith("xs"):
            keys: Iterable[Key | None] = [(t, n) if n else None for t, n in persons]
        else:
            own = [k for k in catalog.entities[name].key if k != "XXDM"]
            cells = [rows[f"{name}.{k}"].to_pylist() for k in own if f"{name}.{k}" in rows.column_names]
            plain = [tuple(str(v or "").strip() for v in values) for values in zip(*cells, strict=True)]
            keys = plain if cells else [()] * len(numbers)
        found[name] = dict(zip(numbers, keys, strict=True))
    return found


def fed_by(template: Template) -> tuple[str, ...]:
    """Entities a template fills, the person it only names by 证件 left out."""
    parts = [c.parts for c in template.columns if c.parts is not None]
    return tuple(dict.fromkeys(p[0] for p in parts if p[3] != "identity"))


def out_of_order(
    known: Known, template: Template, keys: Mapping[str, Mapping[int, Key | None]], *, reviewed: bool = False
) -> list[Reject]:
    """Rows whose main records are not there, each with what must be loaded (or, reviewed, approved) first."""
    fed = fed_by(template)
    shown = [c for c in template.columns if c.parts is not None and c.parts[2] in (IDENTITY[1], "GH")]
    header = shown[0].header if shown else ""
    found = []
    for name in fed:
        needed = [n for n in FIRST.get(name, ()) if n not in fed]
        for row, key in keys[name].items():
            lacking = [n for n in needed if key is not None and not known.supplied(n, key, reviewed=reviewed)]
            if lacking:
                words = "、".join(f"【{known.catalog.entities[n].cn}】" for n in lacking)
                said = "尚未复核通过，须先复核" if reviewed else "尚未导入，须先导入"
                found.append(Reject(row, header, MISSING_FIRST, f"该人的{words}{said}"))
    majors = known.golden.get("zy") or known.approved.get("zy") or (known.waiting.get("zy") and not reviewed)
    if template.name == "bj" and not majors:
        found += [Reject(row, "本校专业编号", MISSING_FIRST, "无可选专业：请先完成【专业设置】") for row in keys["bj"]]
    return found


def said_twice(
    catalog: Catalog, keys: Mapping[str, Mapping[int, Key | None]], cells: Mapping[int, Mapping[str, str]]
) -> list[Reject]:
    """Rows of one sheet that speak of one record and say different things (WY01): nobody can tell which one holds.

    Identical copies pass; so do rows of which a person may have several (奖助, 家庭成员, 异动). `cells`: by sheet row.
    """
    found: dict[int, Reject] = {}
    for name in (n for n in keys if not n.startswith("xs") or tuple(catalog.entities[n].key) == ("GRBSM",)):
        groups: dict[Key, list[int]] = {}
        for row, key in keys[name].items():
            if key and all(key):
                groups.setdefault(key, []).append(row)
        for rows in (g for g in groups.values() if any(cells.get(r) != cells.get(g[0]) for r in g)):
            said = f"第 {'、'.join(map(str, rows))} 行是同一条{catalog.entities[name].cn}而内容不同，只保留正确的一行"
            for row in rows:
                found.setdefault(row, Reject(row, "", TWICE, said))
    return list(found.values())


def fill_words(con: duckdb.DuckDBPyConnection, known: Known) -> None:
    """The school's classes and majors as `supplement_words` asks for them."""
    no_words(con)
    for name, rows in (("class_row", known.classes), ("major_row", known.majors)):
        wanted = _WORDS["bj" if name == "class_row" else "zy"]
        table = pa.table({w: pa.array([r.get(w) for r in rows], pa.string()) for w in wanted})
        con.register(name, table.append_column("school", pa.array([known.school] * table.num_rows, pa.string())))
    add_words(con, ["SELECT * FROM class_row"], ["SELECT * FROM major_row"])
