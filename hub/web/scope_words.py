"""Data scopes in words: places and schools by name, kinds of data in Chinese, codes beside them (console 1).

Decides wording only; what a scope covers is `hub.roles`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from hub.catalog import Catalog
from hub.store import Reader

Document = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Names:
    """What stands behind the codes of some scopes. `schools`: those the node knows."""

    divisions: Mapping[str, str]
    schools: Mapping[str, str]
    entities: Mapping[str, str]

    def one(self, scope: Document) -> str:
        """保定市（130600）、阳西县职业技术教育中心（3644000101）；分项：班级. 全部 without a limit."""
        places = [f"{self.divisions.get(d, '区划')}（{d}）" for d in sorted(scope.get("divisions", ()))]
        places += [f"{self.schools.get(s, '学校')}（{s}）" for s in sorted(scope.get("schools", ()))]
        kinds = [self.entities.get(e, e) for e in sorted(scope.get("categories", ()))]
        return ("、".join(places) or "全部") + (f"；分项：{'、'.join(kinds)}" if kinds else "")

    def together(self, scopes: Iterable[Document]) -> str:
        """The scopes of one account, each once; empty without any."""
        return "　".join(dict.fromkeys(self.one(scope) for scope in scopes))


def names_of(reader: Reader, catalog: Catalog, scopes: Iterable[Document]) -> Names:
    """Names for the codes in these scopes."""
    codes = sorted({s for scope in scopes for s in scope.get("schools", ())})
    xx = reader.golden("xx")
    query = sa.select(xx.c.xxdm, xx.c.xxmc).where(xx.c.xxdm.in_(codes))
    schools = {str(code): str(name) for code, name in reader.connection.execute(query) if name} if codes else {}
    return Names(catalog.codes.division_names, schools, {e.name: e.cn for e in catalog.entities.values()})
