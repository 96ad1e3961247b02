"""Row rules that do not block (severity 警告, 提示), as SQL over one standing row (MODEL §7).

Decides predicates from the field kinds and the thresholds of the catalogue; `quality.standing` executes them over the
golden image. The same rules stand a second time in `quality.suites_predicates`. Rules over several rows or entities are
in `quality.soft_cross`.

Dated rules see `today` (a variable of the connection): what they find may change though no row does.
"""

from __future__ import annotations

from hub.catalog import Catalog, Entity, Field
from quality.expressions import FULL_SIGNS, FULL_WIDTH, HALF_SIGNS, HALF_WIDTH, ident, mod11_2, text, texts
from quality.rules import WELL_FORMED_ID, RowRule

DATED = frozenset({"YZ09", "YZ12", "YZ13", "YZ14", "JS02"})
TODAY = "getvariable('today')::DATE"
USCC_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
FAMILY = ("CYXM", "GXM", "SFJHR", "LXDH")
# HKLB 2 and 4: 农业家庭户口, 农业集体户口; LOCAL_XSJZDLX 4: 城市.
RURAL_REGISTER, CITY = ("2", "4"), "4"


def row_rules(catalog: Catalog, entity: Entity) -> list[RowRule]:
    """The rules one standing row of this entity can break and that this node has switched on."""
    rules = [r for f in entity.fields for r in _of_field(catalog, entity, f)]
    if entity.name in _OF_ENTITY:
        rules += _OF_ENTITY[entity.name](catalog)
    return [r for r in rules if catalog.rules[r.rule].enabled]


def _of_field(catalog: Catalog, entity: Entity, field: Field) -> list[RowRule]:
    name, rules = ident(field.name), []
    if field.kind == "phone":
        rules.append(RowRule("YX16", field.name, f"{name} IS NOT NULL AND NOT {_phone(name)}"))
    if field.kind == "name" and field.name == "XM" and entity.name in ("xs", "jzg"):
        # Signs and digits of any width and script, the middle dot apart; 〇 and 々 are letters.
        plain = f"regexp_full_match(replace({name}, '·', ''), '[^\\p{{P}}\\p{{S}}\\p{{Z}}\\p{{Nd}}\\p{{No}}\\p{{Cc}}\\p{{Cf}}]*')"
        good = f"length({name}) BETWEEN 2 AND 36 AND {plain}"
        rules.append(RowRule("YX15", field.name, f"{name} IS NOT NULL AND NOT ({good})"))
    if field.kind == "division":
        current = f"{name} IN (SELECT code FROM division_current)"
        rules.append(RowRule("YX06", field.name, f"try_cast({name} AS division) IS NOT NULL AND NOT {current}"))
    if field.name == "XZ" and entity.name in ("zy", "xs_xj"):
        years = ", ".join(str(y) for y in catalog.rules["YX17"].several("years"))
        rules.append(RowRule("YX17", field.name, f"{name} NOT IN ({years})"))
    return rules


def _card_division() -> RowRule:
    known = "try_cast(substr(SFZJH, 1, 6) AS division) IS NOT NULL"
    return RowRule("YX03", "SFZJH", f"SFZJLXM = '1' AND {WELL_FORMED_ID} AND NOT {known}")


def _students(catalog: Catalog) -> list[RowRule]:
    party, marriage = catalog.rules["YZ13"], catalog.rules["YZ14"]
    card = f"SFZJLXM = '1' AND {WELL_FORMED_ID}"
    too_young = f"ZZMMM IN ('01', '02') AND {younger('CSRQ', party.number('party'))}"
    league = f"{younger('CSRQ', party.number('league_youngest'))} OR {older('CSRQ', party.number('league_oldest'))}"
    single = f"HYZKM <> '10' AND {younger('CSRQ', marriage.number('youngest'))}"
    return [
        _card_division(),
        RowRule("YX19", "SFZJH", "SFZJLXM = 'Z' AND regexp_full_match(SFZJH, '999[0-9]{15}')"),
        RowRule("YZ03", "GRBSM", "substr(GRBSM, 1, 1) = 'G' AND SFZJH IS NOT NULL AND substr(GRBSM, 2) <> SFZJH"),
        RowRule("YZ04", "GRBSM", f"substr(GRBSM, 1, 1) = 'L' AND {card} AND {mod11_2('SFZJH')}"),
        RowRule("YZ13", "ZZMMM", f"{too_young} OR ZZMMM = '03' AND ({league})"),
        RowRule("YZ14", "HYZKM", single),
    ]


def _teachers(catalog: Catalog) -> list[RowRule]:
    start, retired = catalog.rules["YZ11"], catalog.rules["YZ12"]
    child = f"{months('CJGZNY')} - {months('substr(CSRQ, 1, 6)')} < {12 * start.number('youngest')}"
    past = f"XBM = '1' AND {older('CSRQ', retired.number('men'))} OR XBM = '2' AND {older('CSRQ', retired.number('women'))}"
    return [
        _card_division(),
        RowRule("YZ11", "CJGZNY", child),
        RowRule("YZ11", "LXNY", f"{months('LXNY')} < {months('CJGZNY')}"),
        RowRule("YZ12", "DQZTM", f"DQZTM = '11' AND ({past})"),
    ]


def _schools(_catalog: Catalog) -> list[RowRule]:
    return [RowRule("YX09", "TYSHXYDM", f"TYSHXYDM IS NOT NULL AND NOT ({credit_code('TYSHXYDM')})")]


def _majors(_catalog: Catalog) -> list[RowRule]:
    other = (
        "EXISTS (SELECT 1 FROM major_known m WHERE m.version = ZYMLBB AND m.code = ZYDM "
        f"AND {folded('m.name')} <> {folded('ZYMC')})"
    )
    return [*_off_catalogue(_catalog), RowRule("YX11", "ZYMC", other)]


def _off_catalogue(_catalog: Catalog) -> list[RowRule]:
    known = "coalesce(ZYMLBB, '') || ':' || ZYDM IN (SELECT version || ':' || code FROM major_known)"
    return [RowRule("YX10", "ZYDM", f"ZYDM IS NOT NULL AND NOT ({known})")]


def _enrolments(catalog: Catalog) -> list[RowRule]:
    grace = round(12 * catalog.rules["YZ09"].number("grace_years"))
    late = catalog.rules["JS02"].thresholds
    today = f"strftime({TODAY}, '%Y%m%d')"
    due = f"({months('RXNY')} + round(12 * XZ)::INTEGER + {grace})"
    now = months(f"strftime({TODAY}, '%Y%m')")
    overdue = f"({due} < {now} OR {due} = {now} AND day({TODAY}) > 1)"
    autumn, spring = (text(str(late[n]).replace("-", "")) for n in ("autumn", "spring"))
    deadline = f"substr(RXNY, 1, 4) || CASE WHEN substr(RXNY, 5, 2) >= '07' THEN {autumn} ELSE {spring} END"
    return [
        *_off_catalogue(catalog),
        RowRule("YZ09", "XSDQZTM", f"XSDQZTM = '01' AND {overdue}"),
        RowRule("JS02", "ZCZKM", f"ZCZKM <> '1' AND regexp_full_match(RXNY, '[0-9]{{6}}') AND {today} > {deadline}"),
    ]


def _attributes(_catalog: Catalog) -> list[RowRule]:
    return [RowRule("YZ15", "XSJZDLXM", f"HKXZM IN {texts(RURAL_REGISTER)} AND XSJZDLXM = {text(CITY)}")]


def _changes(catalog: Catalog) -> list[RowRule]:
    days = catalog.rules["JS03"].number("days")
    return [RowRule("JS03", "SPRQ", f"{day('SPRQ')} - {day('YDRQ')} > {days}")]


def _family(_catalog: Catalog) -> list[RowRule]:
    some = " OR ".join(f"{n} IS NOT NULL" for n in FAMILY)
    return [RowRule("WZ04", name, f"{name} IS NULL AND ({some})") for name in FAMILY]


_OF_ENTITY = {
    "xx": _schools,
    "zy": _majors,
    "jzg": _teachers,
    "xs": _students,
    "xs_sx": _attributes,
    "xs_xj": _enrolments,
    "xs_yd": _changes,
    "xs_jtcy": _family,
}


def younger(birth: str, years: int | float) -> str:
    """True where a person has not reached `years` full years today; `birth` is YYYYMMDD."""
    return f"({_formed(birth)} AND {birth} > {_born(years)})"


def older(birth: str, years: int | float) -> str:
    """True where a person has more than `years` full years today (周岁)."""
    return f"({_formed(birth)} AND {birth} <= {_born(years + 1)})"


def _formed(birth: str) -> str:
    return f"regexp_full_match({birth}, '[0-9]{{8}}')"


def _born(years: int | float) -> str:
    return f"((year({TODAY}) - {int(years)})::VARCHAR || strftime({TODAY}, '%m%d'))"


def months(month: str) -> str:
    """Months since year 0 of a YYYYMM, NULL where it is none."""
    number = f"substr({month}, 1, 4)::INTEGER * 12 + substr({month}, 5, 2)::INTEGER"
    return f"CASE WHEN regexp_full_match({month}, '[0-9]{{6}}') THEN {number} END"


def day(date: str) -> str:
    """A YYYYMMDD as a date, NULL where it is none."""
    return f"CASE WHEN regexp_full_match({date}, '[0-9]{{8}}') THEN try_strptime({date}, '%Y%m%d')::DATE END"


def folded(name: str) -> str:
    """A name without blanks, width and bracket styles (YX11, YZ20)."""
    wide, narrow = FULL_WIDTH + FULL_SIGNS + "\u3000", HALF_WIDTH + HALF_SIGNS + " "
    return f"upper(replace(translate({name}, {text(wide)}, {text(narrow)}), ' ', ''))"


def credit_code(code: str) -> str:
    """True for a unified social credit code of GB 32100: 18 signs without I O S V Z, check by weights 3^(i-1) mod 31."""
    signs = text(USCC_SIGNS)
    total = " + ".join(f"(strpos({signs}, substr({code}, {i}, 1)) - 1) * {pow(3, i - 1, 31)}" for i in range(1, 18))
    last = f"substr({signs}, ((31 - ({total}) % 31) % 31 + 1)::INTEGER, 1)"
    return f"regexp_full_match({code}, '[{USCC_SIGNS}]{{18}}') AND substr({code}, 18, 1) = {last}"


def _phone(name: str) -> str:
    mobile = "1[3-9][0-9]{9}"
    fixed = "(0[0-9]{2,3}-?)?[2-9][0-9]{6,7}(-[0-9]{1,6})?"
    return f"regexp_full_match({name}, '({mobile})|({fixed})')"
