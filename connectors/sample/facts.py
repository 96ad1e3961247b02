"""What the generator takes from `schemas/`: names, divisions, majors and the label of each code."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from connectors.sample.dice import Ints, Texts
from connectors.sample.text import texts
from hub.catalog import Catalog, load_catalog
from hub.errors import UsageError
from schemas import ROOT

# The dictionaries a site would load itself (ruling 8): table → (field as the source names it, label → code).
SITE: dict[str, tuple[str, dict[str, str]]] = {
    "LOCAL_YRXS": ("用人形式", {"在编": "1", "聘用": "2", "人事代理": "3"}),
    "LOCAL_QDHTQK": ("签订合同情况", {"已签": "1", "未签": "2"}),
    "LOCAL_XXJSYYNL": ("信息技术应用能力", {"优": "1", "良": "2", "中": "3"}),
    "LOCAL_QYGZSC": ("企业工作(实践)时长", {"半年": "1", "一年": "2", "两年": "3"}),
    "LOCAL_LZHZBXXS": ("联招合作办学形式", {"合作办班": "1", "委托培养": "2"}),
    "LOCAL_JSXY": ("结束学业", {"毕业": "1", "结业": "2", "肄业": "3"}),
}
_MAJORS_PER_CATALOGUE = 60
_BORN_FROM, _BORN_UNTIL = 2004, 2012


@dataclass(frozen=True)
class Major:
    """A catalogue entry; `successor` is the 2021 code of an exactly renamed 2010 major."""

    code: str
    name: str
    version: str
    successor: str | None = None


@dataclass(frozen=True)
class County:
    """A county in force; `born`: the code its students' ID numbers begin with (an abolished one where it is new)."""

    code: str
    born: str
    name: str
    city: str


@dataclass(frozen=True)
class Names:
    """Surnames with cumulative weights, and single characters of given names per sex (index 0 men, 1 women)."""

    surnames: Texts
    surname_sounds: Texts
    weights: Ints
    given: tuple[Texts, Texts]
    given_sounds: tuple[Texts, Texts]


@dataclass(frozen=True)
class Facts:
    """Everything looked up, read once."""

    catalog: Catalog
    counties: tuple[County, ...]
    abolished: tuple[str, ...]
    majors_new: tuple[Major, ...]
    majors_old: tuple[Major, ...]
    names: Names

    def label(self, table: str, code: str) -> str:
        """The Chinese label a source shows for a code: the first one of the crosswalk, else the table's own name."""
        if table in SITE:
            return next(k for k, v in SITE[table][1].items() if v == code)
        labels = self.catalog.codes.labels.get(table, {})
        found = next((label for label, value in labels.items() if value == code), None)
        return found or self.catalog.codes.tables[table].codes[code]


def load_facts(province: str) -> Facts:
    """Facts for one province (two digits). Raises `UsageError` E1601 for a province without divisions in force."""
    catalog = load_catalog()
    counties = tuple(_counties(province))
    if not counties:
        raise UsageError(
            "E1601", f"区划表中没有省份代码 {province}", where="--province", step="改用两位省级代码，如 13"
        )
    abolished = tuple(
        r["code"] for r in _csv("codes/divisions.csv") if _is_county(r, province) and r["status"] == "弃用"
    )
    current = {c.code for c in counties}
    new, old = _majors(catalog)
    return Facts(catalog, counties, tuple(c for c in abolished if c not in current), new, old, _names())


def _csv(path: str) -> Iterator[dict[str, str]]:
    with (ROOT / path).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _is_county(row: dict[str, str], province: str) -> bool:
    return row["code"].startswith(province) and row["level"] == "县级"


def _counties(province: str) -> Iterator[County]:
    """Counties in force whose birth code no other county shares, so that ID numbers stay distinct."""
    rows = [r for r in _csv("codes/divisions.csv") if _is_county(r, province)]
    taken: set[str] = set()
    for row in rows:
        born = _born(row, rows) if row["status"] == "在用" else None
        if born and born not in taken:
            taken.add(born)
            direct = row["parent"] in ("直辖", "省直辖", "")
            yield County(row["code"], born, row["name"], row["province"] if direct else row["parent"])


def _born(row: dict[str, str], rows: list[dict[str, str]]) -> str | None:
    """The code of the place when today's students were born; None where it cannot be told."""
    if int(row["start_year"]) <= _BORN_FROM:
        return row["code"]
    for old in rows:
        follows = row["code"] in (c.split("[")[0] for c in old["new_code"].split(";"))
        stood = int(old["start_year"]) <= _BORN_FROM and int(old["end_year"] or 0) >= _BORN_UNTIL
        if follows and stood and old["status"] == "弃用":
            return old["code"]
    return None


def _majors(catalog: Catalog) -> tuple[tuple[Major, ...], tuple[Major, ...]]:
    codes = catalog.codes
    new = [Major(c, n, "2021") for (v, c), n in codes.majors.items() if v == "2021" and len(n) <= 9]
    taken = {m.name for m in new}
    old = [
        Major(c, n, "2010", codes.major_map.get(c))
        for (v, c), n in codes.majors.items()
        if v == "2010" and n not in taken and not c.endswith("9900") and "其他" not in n and len(n) <= 9
    ]
    exact = [
        Major(c, codes.majors["2010", c], "2010", s)
        for c, s in codes.major_map.items()
        if len(codes.majors["2010", c]) <= 9
    ]
    return tuple(new[:: max(1, len(new) // _MAJORS_PER_CATALOGUE)]), (*exact[::9], *old[::9])


def _names() -> Names:
    surnames = list(_csv("samples/surnames.csv"))
    weights = np.cumsum([round(float(r["weight"]) * 1000) for r in surnames]).astype(np.int64)
    given = list(_csv("samples/given_names.csv"))
    by_sex = [[r for r in given if r["sex"] == s and len(r["given_name"]) == 1] for s in "12"]
    return Names(
        texts([r["surname"] for r in surnames]),
        texts([r["pinyin"] for r in surnames]),
        weights,
        (texts([r["given_name"] for r in by_sex[0]]), texts([r["given_name"] for r in by_sex[1]])),
        (texts([r["pinyin"] for r in by_sex[0]]), texts([r["pinyin"] for r in by_sex[1]])),
    )
