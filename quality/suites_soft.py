"""The suite's share of the rules that do not block: which is asked of which columns with which thresholds.

Decides the same as `quality.soft` for rules over one row, said once more; rules over several rows or entities are not
asked of a block of change rows. Plain values: no Great Expectations needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from hub.catalog import Catalog, Entity
from quality.suites import CODE_SEPARATOR, Check

NAME_SEPARATOR = "\x1e"
FAMILY = ("CYXM", "GXM", "SFJHR", "LXDH")
Checks = Callable[[Catalog, str], Iterator[Check]]


def soft_checks(catalog: Catalog, entity: Entity, today: str) -> Iterator[Check]:
    """`today`: YYYYMMDD."""
    found = _OF_ENTITY.get(entity.name)
    if found is not None:
        yield from found(catalog, today)


def _born(today: str, years: int | float) -> str:
    """Birth date of a person who has `years` full years since today."""
    return f"{int(today[:4]) - int(years):04d}{today[4:]}"


def _schools(_catalog: Catalog, _today: str) -> Iterator[Check]:
    yield Check("YX09", "TYSHXYDM", "ExpectCreditCode", ("TYSHXYDM",))


def _catalogued(catalog: Catalog, _today: str) -> Iterator[Check]:
    known = CODE_SEPARATOR.join(f"{version}:{code}" for version, code in sorted(catalog.codes.majors))
    yield Check("YX10", "ZYDM", "ExpectCataloguedMajor", ("ZYMLBB", "ZYDM"), {"codes": known})


def _majors(catalog: Catalog, today: str) -> Iterator[Check]:
    yield from _catalogued(catalog, today)
    names = CODE_SEPARATOR.join(f"{v}:{c}{NAME_SEPARATOR}{n}" for (v, c), n in sorted(catalog.codes.majors.items()))
    yield Check("YX11", "ZYMC", "ExpectCatalogueName", ("ZYMLBB", "ZYDM", "ZYMC"), {"names": names})


def _teachers(catalog: Catalog, today: str) -> Iterator[Check]:
    youngest = catalog.rules["YZ11"].number("youngest")
    yield Check("YZ11", "CJGZNY", "ExpectMonthsBetween", ("CSRQ", "CJGZNY"), {"least": round(12 * youngest)})
    yield Check("YZ11", "LXNY", "ExpectMonthsBetween", ("CJGZNY", "LXNY"), {"least": 0})
    rule = catalog.rules["YZ12"]
    limits = {sex: _born(today, rule.number(sex) + 1) for sex in ("men", "women")}
    yield Check("YZ12", "DQZTM", "ExpectNotRetired", ("DQZTM", "XBM", "CSRQ"), limits)


def _students(catalog: Catalog, today: str) -> Iterator[Check]:
    yield Check("YX19", "SFZJH", "ExpectNoOldTemporaryNumber", ("SFZJLXM", "SFZJH"))
    rule = catalog.rules["YZ13"]
    limits = {
        "party": _born(today, rule.number("party")),
        "youngest": _born(today, rule.number("league_youngest")),
        "oldest": _born(today, rule.number("league_oldest") + 1),
    }
    yield Check("YZ13", "ZZMMM", "ExpectPartyAge", ("ZZMMM", "CSRQ"), limits)
    single = _born(today, catalog.rules["YZ14"].number("youngest"))
    yield Check("YZ14", "HYZKM", "ExpectMarriageAge", ("HYZKM", "CSRQ"), {"youngest": single})


def _attributes(_catalog: Catalog, _today: str) -> Iterator[Check]:
    yield Check("YZ15", "XSJZDLXM", "ExpectHouseholdAgrees", ("HKXZM", "XSJZDLXM"))


def _enrolments(catalog: Catalog, today: str) -> Iterator[Check]:
    yield from _catalogued(catalog, today)
    grace = round(12 * catalog.rules["YZ09"].number("grace_years"))
    yield Check("YZ09", "XSDQZTM", "ExpectNotOverdue", ("XSDQZTM", "RXNY", "XZ"), {"today": today, "grace": grace})
    late = {n: str(v).replace("-", "") for n, v in catalog.rules["JS02"].thresholds.items()}
    yield Check("JS02", "ZCZKM", "ExpectRegisteredInTime", ("ZCZKM", "RXNY"), {"today": today, **late})


def _changes(catalog: Catalog, _today: str) -> Iterator[Check]:
    days = catalog.rules["JS03"].number("days")
    yield Check("JS03", "SPRQ", "ExpectDaysBetween", ("YDRQ", "SPRQ"), {"most": days})


def _family(_catalog: Catalog, _today: str) -> Iterator[Check]:
    for name in FAMILY:
        yield Check("WZ04", name, "ExpectAllOrNone", (name, *(n for n in FAMILY if n != name)))


_OF_ENTITY: Mapping[str, Checks] = {
    "xx": _schools,
    "zy": _majors,
    "jzg": _teachers,
    "xs": _students,
    "xs_sx": _attributes,
    "xs_xj": _enrolments,
    "xs_yd": _changes,
    "xs_jtcy": _family,
}
