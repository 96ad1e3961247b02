"""The grammar of list pages (console 2): conditions, chips, facets, paging; `grammar.html` draws these values.

Decides addresses: every filter, facet value and page is a link that works alone. What is in the list is decided by the
page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hub.web.accounts import PAGE_SIZES, remember_size
from hub.web.ask import Ask

MAX_PAGE: Final = 1_000_000


@dataclass(frozen=True)
class Condition:
    """One labelled field of 查询条件. `options`: (value, label) for a choice; empty for a text or a `date`."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...] = ()
    kind: str = "text"
    hint: str = ""


@dataclass(frozen=True)
class Chip:
    """An active filter: what it says, and the address without it."""

    label: str
    value: str
    without: str


@dataclass(frozen=True)
class Choice:
    """One value of a facet: its label, its count under the other filters, the address that sets or lifts it."""

    value: str
    label: str
    count: int
    chosen: bool
    href: str


@dataclass(frozen=True)
class Facet:
    """A group of choices."""

    name: str
    label: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Paging:
    """共 `total` 条. `page` from 1; `after`: the key behind which this page begins, None: by `offset` (first page, or a
    jump by 前往). Addresses are None where there is no such page."""

    total: int
    size: int
    page: int
    after: str | None
    previous: str | None = None
    next: str | None = None
    sizes: tuple[tuple[int, str], ...] = ()

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.size

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    def first(self) -> int:
        """序号 of the first row."""
        return self.offset + 1


def chips(
    ask: Ask, conditions: Iterable[Condition], labels: Mapping[str, Mapping[str, str]] | None = None
) -> tuple[Chip, ...]:
    """Every condition that is set in the address. `labels`: words for values, by condition, where options say none."""
    found = []
    for condition in conditions:
        words = {**dict(condition.options), **(labels or {}).get(condition.name, {})}
        values = ask.queries(condition.name)
        for value in values:
            rest = tuple(v for v in values if v != value)
            found.append(Chip(condition.label, words.get(value, value), ask.with_query(**{condition.name: rest})))
    return tuple(found)


def facet(ask: Ask, name: str, label: str, counts: Iterable[tuple[str, str, int]], *, most: int = 12) -> Facet:
    """A facet of (value, label, count), counted without its own filter; a chosen value is always listed."""
    chosen = ask.queries(name)
    choices: list[Choice] = []
    for value, word, count in counts:
        taken = value in chosen
        if len(choices) >= most and not taken:
            continue
        values = tuple(v for v in chosen if v != value) if taken else (*chosen, value)
        choices.append(Choice(value, word, count, taken, ask.with_query(**{name: values})))
    return Facet(name, label, tuple(choices))


def page_size(ask: Ask) -> int:
    """Rows per page: asked for in the address (and remembered for this user), else what was chosen last."""
    size = ask.number("size", 0)
    if size not in PAGE_SIZES:
        return ask.visitor.page_size
    if size != ask.visitor.page_size:
        remember_size(ask.site.store, ask.visitor.name, size)
    return size


def paging(ask: Ask, total: int, *, size: int | None = None) -> Paging:
    """Where this request stands in a list of `total` rows; read `size`, `after`/`offset`, then call `turned`."""
    rows = size or page_size(ask)
    last = max(1, -(-total // rows))
    page = min(ask.number("page", 1, least=1, most=MAX_PAGE), last)
    after = ask.query("after") if page > 1 else ""
    sizes = tuple((n, ask.with_query(size=n)) for n in PAGE_SIZES)
    return Paging(total, rows, page, after or None, sizes=sizes)


def turned(ask: Ask, where: Paging, keys: Sequence[str]) -> Paging:
    """The same with its neighbours' addresses. `keys`: the sort keys (as text) of the rows shown, in order.

    The next page goes by key; the one before by its number, for a key knows only what follows it.
    """
    following = where.page < where.pages and bool(keys)
    after = ask.with_query(page=where.page + 1, after=keys[-1]) if following else None
    before = ask.with_query(page=where.page - 1) if where.page > 1 else None
    return Paging(where.total, where.size, where.page, where.after, before, after, where.sizes)
