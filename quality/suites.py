"""The quality suite of an entity, derived from the catalogue: the same rules the SQL gate runs, said once more.

Decides which rule is asked of which columns with which values (`checks`, plain values, no Great Expectations needed),
and builds the Great Expectations suite out of them (`build_suite`). Every expectation's meta carries rule, field,
severity and dimension, so that a result can be shown without knowing what ran.

Leaves to the gate what a block of one entity cannot show: clashes between keys, main records, other entities. Leaves
YX05 of unknown labels and YX14 of malformed numbers to the gate too: a typed column no longer holds them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as item_of
from typing import Any

from hub.catalog import Catalog, Entity, Field

# Parts the codes of one table in the text that Great Expectations is given: it compares its arguments again and again.
CODE_SEPARATOR = "\x1f"
# Columns of a change file the suite looks at besides the payload (hub.changes.HEAD).
ORIGIN, RECORD = "src_rid", "pk"
# Whose rows WZ01 asks: those a platform founded, those a school's supplement founded, or all.
ANYBODY = "anybody"
SCHOOL_CLASSES = ("11", "21", "22", "31", "32", "33", "34", "35", "36", "37", "41", "42", "51", "91", "92", "93")
# GB/T 4657 gives central departments three digits; their table was not obtained.
CENTRAL_DEPARTMENT = {"XXJYJGJBZ": "[1-7][0-9]{2}"}
# 新疆生产建设兵团 has no division code of its own; education counts it as the 32nd province.
BESIDE_PROVINCES = frozenset({"66"})
MONTH, YEAR = "(19|20)[0-9]{2}(0[1-9]|1[0-2])", "(19|20)[0-9]{2}"
PHONE = "1[3-9][0-9]{9}|(0[0-9]{2,3}-?)?[2-9][0-9]{6,7}(-[0-9]{1,6})?"
# A name has no digit, blank or sign, narrow or wide; the middle dot is none of these, 々 and 〇 are letters.
_SIGNS = (
    "\\s!-@\\[-`{-~\u00a1-\u00a9\u00ab-\u00b4\u00b6\u00b8\u00b9\u00bb-\u00bf\u00d7\u00f7\u200b-\u206f\u20a0-\u20bf\u2190-\u2bff"
    "\u3000-\u3004\u3008-\u3020\u3030\ufe10-\ufe6f\uff01-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffee\ufffd\U0001f000-\U0001faff"
)
NAME = f"[^{_SIGNS}]{{2,36}}"
# Rule, column of the condition, its value, whether the condition is "is not", fields then required (MODEL §7).
CONDITIONAL: Mapping[str, tuple[tuple[str, str, str, bool, tuple[str, ...]], ...]] = {
    "xs_sx": (
        ("WZ02", "ZSFSM", "1", False, ("ZKZH", "KSH", "KSZF")),
        ("WZ03", "LZHZLXM", "1", True, ("LZHZBXXSM", "LZHZXXDM")),
    ),
    "xs": (("WZ05", "SFZJLXM", "Z", True, ("SFZJH",)),),
    "jzg": (("WZ05", "SFZJLXM", "Z", True, ("SFZJH",)),),
    "xs_xj": (("WZ06", "XSDQZTM", "01", False, ("BH",)),),
}
PEOPLE = ("xs", "jzg")


@dataclass(frozen=True)
class Check:
    """One expectation: `rule` over `columns`; `field` is the one to correct; `kind` names the expectation class."""

    rule: str
    field: str
    kind: str
    columns: tuple[str, ...]
    arguments: Mapping[str, Any] = item_of(default_factory=dict)
    severity: str = "错误"
    dimension: str = ""

    @property
    def blocks(self) -> bool:
        """True where a hit means that the gate let a bad row pass."""
        return self.severity == "错误"

    def meta(self) -> dict[str, str]:
        return {"rule": self.rule, "field": self.field, "severity": self.severity, "dimension": self.dimension}


def checks(catalog: Catalog, entity: Entity, *, today: str) -> tuple[Check, ...]:
    """Every check of an entity's golden rows; `today` (YYYY-MM-DD) is what dated rules see."""
    from quality.suites_soft import soft_checks  # it is built of this module's checks

    found = [*_required(catalog, entity), *_conditional(entity)]
    for item in entity.fields:
        found += _values(catalog, item)
    found += _of_entity(catalog, entity, today.replace("-", ""))
    found += soft_checks(catalog, entity, today.replace("-", ""))
    found += _keys(entity)
    return tuple(_rated(catalog, check) for check in found if catalog.rules[check.rule].enabled)


def _rated(catalog: Catalog, check: Check) -> Check:
    rule = catalog.rules[check.rule]
    return Check(check.rule, check.field, check.kind, check.columns, check.arguments, rule.severity, rule.dimension)


def _required(catalog: Catalog, entity: Entity) -> Iterator[Check]:
    """WZ01: keys always; a field the platform carries, of the platform's rows; one a school owns, of a school's rows.

    A field that is required only under a condition is `_conditional`'s; derived ones are nobody's to fill (rulings 4, 5).
    """
    table = catalog.platform_table(entity.name)
    carried = set(table.column_names) if table else set()
    conditional = {name for *_, names in CONDITIONAL.get(entity.name, ()) for name in names}
    for item in entity.fields:
        order = catalog.registry.owners[entity.name, item.name].order
        if item.required != "M" or (order[0] == "D" and item.name not in entity.key):
            continue
        platform = order[0] != "L" and item.name in carried and item.name not in conditional
        origins = {"platform": platform, "school": "L" in order}
        asked = [of for of, yes in origins.items() if yes or item.name in entity.key]
        if asked:
            of = asked[0] if len(asked) == 1 else ANYBODY
            yield Check("WZ01", item.name, "ExpectDelivered", (item.name, ORIGIN), {"of": of})


def _conditional(entity: Entity) -> Iterator[Check]:
    for rule, condition, value, negate, names in CONDITIONAL.get(entity.name, ()):
        for name in names:
            yield Check(rule, name, "ExpectRequiredWhen", (condition, name), {"value": value, "negate": negate})


def _values(catalog: Catalog, item: Field) -> Iterator[Check]:
    """Code value, form and length of one field (YX05, YX06, YX14, YX16, YX18)."""
    own = (item.name,)
    table = catalog.codes.tables[item.code] if item.code else None
    if table is not None and not table.open:
        yield _coded(item, table.name, sorted(table.codes))
    if item.kind in ("division", "division_history"):
        yield Check("YX05", item.name, "ExpectKnownCode", own, {"codes": divisions(catalog)})
    if item.kind == "division":
        outdated = sorted(catalog.codes.divisions - catalog.codes.divisions_current)
        yield Check("YX06", item.name, "ExpectNoOutdatedCode", own, {"codes": CODE_SEPARATOR.join(outdated)})
    if item.kind == "date":
        yield Check("YX14", item.name, "ExpectRealDate", own)
    if item.kind == "school_year":
        yield Check("YX14", item.name, "ExpectSchoolYear", own)
    if item.kind in ("month", "year"):
        yield Check("YX14", item.name, "ExpectWholeMatch", own, {"regex": MONTH if item.kind == "month" else YEAR})
    if item.kind == "phone":
        yield Check("YX16", item.name, "ExpectWholeMatch", own, {"regex": PHONE})
    if item.type == "C" and item.length:
        longest = item.width if table is not None and table.open else item.length
        yield Check("YX18", item.name, "length", own, {"max_value": longest})


def _coded(item: Field, table: str, codes: list[str]) -> Check:
    if table in CENTRAL_DEPARTMENT:
        pattern = "|".join([*codes, CENTRAL_DEPARTMENT[table]])
        return Check("YX05", item.name, "ExpectWholeMatch", (item.name,), {"regex": pattern})
    return Check("YX05", item.name, "ExpectKnownCode", (item.name,), {"codes": CODE_SEPARATOR.join(codes)})


def _of_entity(catalog: Catalog, entity: Entity, today: str) -> Iterator[Check]:
    """What holds of one kind of record only: people, student numbers, school codes, years of study."""
    if entity.name in PEOPLE and {"SFZJLXM", "SFZJH"} <= set(entity.columns):
        yield from _identity(catalog, entity, today)
    if entity.name == "xs":
        yield Check("YX12", "GRBSM", "ExpectWholeMatch", ("GRBSM",), {"regex": "[GJL][0-9]{17}[0-9X]"})
        yield Check("YX13", "GRBSM", "ExpectStudentNumberCheckDigit", ("GRBSM",))
        yield Check("YZ03", "GRBSM", "ExpectStudentNumberAgrees", ("GRBSM", "SFZJH"))
        yield Check("YZ04", "GRBSM", "ExpectNotStillTemporary", ("SFZJLXM", "SFZJH", "GRBSM"))
    if entity.name == "xx":
        form = school_code_form(catalog)
        yield Check("YX07", "XXDM", "ExpectWholeMatch", ("XXDM",), {"regex": form})
        yield Check("YX08", "XXDM", "ExpectVocationalSchool", ("XXDM", "XXBXLXM"), {"form": form})
    if entity.name in ("zy", "xs_xj"):
        yield Check("YX17", "XZ", "in_set", ("XZ",), {"value_set": list(catalog.rules["YX17"].several("years"))})


def school_code_form(catalog: Catalog) -> str:
    """Two digits of class, two of a province in force, six of sequence (学校（机构）代码编制规则)."""
    provinces = sorted({code[:2] for code in catalog.codes.divisions_current} | BESIDE_PROVINCES)
    return f"({'|'.join(SCHOOL_CLASSES)})({'|'.join(provinces)})[0-9]{{6}}"


def divisions(catalog: Catalog) -> str:
    """Every GB/T 2260 code ever in force, as one text."""
    return CODE_SEPARATOR.join(sorted(catalog.codes.divisions))


def _identity(catalog: Catalog, entity: Entity, today: str) -> Iterator[Check]:
    card = ("SFZJLXM", "SFZJH")
    yield Check("YX01", "SFZJH", "ExpectIdentityNumberForm", card)
    yield Check("YX02", "SFZJH", "ExpectIdentityNumberCheckDigit", card)
    yield Check("YX03", "SFZJH", "ExpectIdentityNumberDivision", card, {"codes": divisions(catalog)})
    yield Check("YX04", "SFZJH", "ExpectIdentityNumberBirthDate", card, {"today": today})
    if "CSRQ" in entity.by_name:
        yield Check("YZ01", "CSRQ", "ExpectBirthDateAgrees", (*card, "CSRQ"))
    if "XBM" in entity.by_name:
        yield Check("YZ02", "XBM", "ExpectSexAgrees", (*card, "XBM"))
    yield Check("YX15", "XM", "ExpectWholeMatch", ("XM",), {"regex": NAME})


def _keys(entity: Entity) -> Iterator[Check]:
    """WY01 within the block: the natural key, and the record number that stands for it."""
    yield Check("WY01", RECORD, "unique", (RECORD,))
    yield Check("WY01", entity.key[-1], "unique" if len(entity.key) == 1 else "unique_together", entity.key)


def by_rule(found: Sequence[Check]) -> list[tuple[Check, tuple[Check, ...]]]:
    """Fewer, broader checks that fail if and only if one of the members beside them fails.

    Great Expectations spends milliseconds on each expectation whatever its rows: on good data one question per rule is
    enough, and only what fails is asked again field by field.
    """
    groups: dict[tuple[str, str | None], list[Check]] = {}
    for number, check in enumerate(found):
        kind = _MERGED.get(check.kind)
        groups.setdefault((kind, check.arguments.get("of")) if kind else (str(number), None), []).append(check)
    return [
        (members[0] if len(members) == 1 else _broad(kind, members), tuple(members))
        for (kind, _), members in groups.items()
    ]


# Kind of a check → kind of the check that asks it of several fields at once.
_MERGED = {
    "ExpectDelivered": "ExpectDelivered",
    "length": "ExpectLengths",
    "ExpectKnownCode": "ExpectKnownCodes",
}


def _broad(kind: str, members: Sequence[Check]) -> Check:
    columns = tuple(m.columns[0] for m in members)
    arguments: dict[str, Any] = {}
    if kind == "ExpectDelivered":
        columns = (*columns, ORIGIN)
        arguments["of"] = members[0].arguments["of"]
    elif kind == "ExpectLengths":
        arguments["limits"] = [m.arguments["max_value"] for m in members]
    else:
        arguments["codes"] = [m.arguments["codes"] for m in members]
    return Check(members[0].rule, "*", kind, columns, arguments, members[0].severity, members[0].dimension)


def build_suite(name: str, found: tuple[Check, ...]) -> Any:
    """A Great Expectations suite of these checks. Imports Great Expectations: seconds, the first time."""
    gx = great_expectations()
    return gx.ExpectationSuite(name=name, expectations=[_expectation(check) for check in found])


def great_expectations() -> Any:
    """The library, with its analytics off: it must not call anybody from a node."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    return gx


def quiet_context() -> Any:
    """A context in memory alone: no files (the default leaves a folder behind each time), no progress bars."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return great_expectations().get_context(mode="ephemeral", project_config=config)


def _expectation(check: Check) -> Any:
    from quality import suites_expectations as own
    from quality import suites_soft_expectations as soft

    built_in = great_expectations().expectations
    named = {
        "in_set": built_in.ExpectColumnValuesToBeInSet,
        "length": built_in.ExpectColumnValueLengthsToBeBetween,
        "unique": built_in.ExpectColumnValuesToBeUnique,
        "unique_together": built_in.ExpectCompoundColumnsToBeUnique,
    }
    kind: Any = named.get(check.kind) or getattr(own, check.kind, None) or getattr(soft, check.kind)
    several = "column_list" in kind.__fields__
    columns: dict[str, Any] = {"column_list": list(check.columns)} if several else {"column": check.columns[0]}
    return kind(**columns, **check.arguments, meta=check.meta())
