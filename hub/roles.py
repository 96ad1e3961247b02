"""Roles, rights and data scope of the people who decide (console 1): one table for console, command line and queries.

Decides what a role may do (`schemas/roles.yaml`), which divisions a scope means through the reporting tree, and that
two people are compared by person, never by account. Who is signed in is decided by the caller.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

from hub.errors import UsageError

WHOLE: Final = "全部"
_PERSONAL: Final = re.compile(r"(?<![0-9A-Za-z])(?:[GJL]?\d{17}[0-9Xx]|1[3-9]\d{9})(?![0-9A-Za-z])")
_PERSON: Final = 80
# Counties that report to the province itself and not to the city their code begins with (MODEL §0: 定州, 辛集).
_TREE: Final = "reporting.csv"


@dataclass(frozen=True)
class Scope:
    """Whose data: divisions (GB/T 2260, with everything that reports to them) and schools; both empty means all.

    `categories`: entity names, empty for all (分项查看).
    """

    divisions: frozenset[str] = frozenset()
    schools: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        return not self.divisions and not self.schools

    def document(self) -> dict[str, list[str]]:
        """As the tables and `--json` hold it."""
        return {
            "divisions": sorted(self.divisions),
            "schools": sorted(self.schools),
            "categories": sorted(self.categories),
        }


@dataclass(frozen=True)
class Grant:
    """One functional role over one scope."""

    role: str
    scope: Scope = field(default_factory=Scope)


@dataclass(frozen=True)
class Operator:
    """Who acts. `name`: the account; `person`: the human behind it, the same for all of that human's accounts."""

    name: str
    person: str
    grants: tuple[Grant, ...] = ()

    def __post_init__(self) -> None:
        """One spelling from here on, so that SQL compares people as `same_person` does."""
        object.__setattr__(self, "person", person_id(self.person))

    def may(self, verb: str) -> bool:
        """True when one of the roles carries the verb."""
        if verb not in verbs():
            raise RuntimeError(f"no such verb {verb!r}")
        return any(verb in rights()[g.role] for g in self.grants)

    def role_for(self, verb: str) -> str:
        """The role under which the verb is used, for the history; empty when there is none."""
        return next((g.role for g in self.grants if verb in rights()[g.role]), "")

    def scopes(self, verb: str) -> tuple[Scope, ...]:
        """The scopes of the roles that carry the verb; empty: nothing may be seen."""
        return tuple(g.scope for g in self.grants if verb in rights()[g.role])


def same_person(one: str, other: str) -> bool:
    """Four-eyes compares people: accounts, spelling and width make no second person."""
    return person_id(one) == person_id(other)


def person_id(text: str) -> str:
    """A person's number in one spelling. Raises `UsageError` E1053 for an empty one or an identity number."""
    clean = unicodedata.normalize("NFKC", text).strip().casefold()
    if not clean or len(clean) > _PERSON or _PERSONAL.search(clean):
        raise UsageError(
            "E1053", "人员编号不合规定", step="用单位内的人员编号（如工号），不用身份证件号、学籍号或手机号"
        )
    return clean


def two_persons(by: str, second: str) -> None:
    """What the ministry does with keys and batches takes two people (protocol 10.6): UsageError E1219 without them."""
    if not by.strip() or not second.strip() or same_person(by, second):
        raise UsageError("E1219", "部级的密钥操作须由两人办理", where="--second", step="写明与经办人不同的复核人")


@cache
def _table() -> Mapping[str, Any]:
    document: dict[str, Any] = yaml.safe_load((files("schemas") / "roles.yaml").read_text(encoding="utf-8"))
    unknown = {v for vs in document["roles"].values() for v in vs} - set(document["verbs"])
    if unknown:
        raise RuntimeError(f"roles.yaml names verbs it does not explain: {sorted(unknown)}")
    return document


@cache
def rights() -> Mapping[str, frozenset[str]]:
    """Role → verbs."""
    return {role: frozenset(given) for role, given in _table()["roles"].items()}


@cache
def verbs() -> Mapping[str, str]:
    """Verb → what it means, in Chinese."""
    return dict(_table()["verbs"])


def check_roles(roles: Iterable[str]) -> None:
    """Raises `UsageError` E1054: an unknown role, two that must stand apart, or an added role alone."""
    given = set(roles)
    unknown = given - set(rights())
    if unknown:
        raise UsageError("E1054", f"没有这个角色：{'、'.join(sorted(unknown))}", step="从中选：" + "、".join(rights()))
    for pair in _table()["apart"]:
        if set(pair) <= given:
            raise UsageError("E1054", f"{pair[0]}与{pair[1]}不能由同一人兼任", step="改由两人分别担任")
    if given and given <= set(_table()["added_on_top"]):
        raise UsageError("E1054", "隐私角色须叠加在业务角色之上", step="同时给出一个业务角色")


@cache
def reporting_tree() -> Mapping[str, str]:
    """Division → the one it reports to; the province's own code ends the chain. Exceptions: `reporting.csv`."""
    tree: dict[str, str] = {}
    codes = files("schemas") / "codes"
    for row in csv.DictReader(io.StringIO((codes / "divisions.csv").read_text(encoding="utf-8"))):
        code = row["code"]
        if code.endswith("0000"):
            continue
        city, province = code[:4] + "00", code[:2] + "0000"
        tree[code] = province if code == city or row["parent"] in ("直辖", "省直辖") else city
        tree.setdefault(city, province)
    for row in csv.DictReader(io.StringIO((codes / _TREE).read_text(encoding="utf-8"))):
        tree[row["code"]] = row["reports_to"]
    return tree


@dataclass(frozen=True)
class Area:
    """A division with all that reports to it.

    `codes`: those the shipped divisions know. A newer version of the registry may bring others: they report by how
    they begin (`prefix`, empty for a county). `apart`: known codes that begin so and report elsewhere (定州, 辛集).
    """

    codes: frozenset[str]
    prefix: str
    apart: frozenset[str]

    def __contains__(self, division: object) -> bool:
        begins = bool(self.prefix) and str(division).startswith(self.prefix)
        return division in self.codes or (begins and division not in self.apart)


@cache
def area(division: str) -> Area:
    """What a scope or a filter over a division means."""
    codes = reporting_to(division)
    prefix = division[:2] if division.endswith("0000") else division[:4] if division.endswith("00") else ""
    known = reporting_tree()
    return Area(codes, prefix, frozenset(c for c in known if prefix and c.startswith(prefix)) - codes)


def reports_to(division: str) -> str:
    """The division directly above; of one that the shipped divisions do not know, the city it begins with."""
    above = division[:2] + "0000" if division.endswith("00") else division[:4] + "00"
    return reporting_tree().get(division, above)


@cache
def reporting_to(division: str) -> frozenset[str]:
    """The division and every one that reports to it, directly or through others; 保定 does not hold 定州."""
    children: dict[str, set[str]] = {}
    for code, parent in reporting_tree().items():
        children.setdefault(parent, set()).add(code)
    found, todo = {division}, [division]
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return frozenset(found)


def covered(scopes: Iterable[Scope]) -> list[tuple[tuple[Area, ...] | None, frozenset[str], frozenset[str]]]:
    """Per scope (its areas or None for all, schools, entities), as the query layer filters by."""
    result: list[tuple[tuple[Area, ...] | None, frozenset[str], frozenset[str]]] = []
    for scope in scopes:
        areas = None if scope.whole else tuple(area(code) for code in sorted(scope.divisions))
        result.append((areas, scope.schools, scope.categories))
    return result


def in_scope(scopes: Iterable[Scope], *, entity: str, school: str | None, division: str | None) -> bool:
    """Whether one record lies in one of the scopes; the query layer says the same in SQL."""
    for areas, schools, entities in covered(scopes):
        if entities and entity not in entities:
            continue
        if areas is None or any((division or "") in a for a in areas) or (school or "") in schools:
            return True
    return False
