"""Great Expectations' own classes for the rules that do not block, one per rule; see `quality.suites_expectations`."""

from __future__ import annotations

from typing import ClassVar

from great_expectations.expectations.expectation import ColumnMapExpectation

from quality import suites_soft_predicates as holds
from quality.suites_expectations import _column_metric, _columns_metric, _RowRule


class ExpectCreditCode(ColumnMapExpectation):
    """YX09"""

    map_metric = _column_metric("hub_credit_code", holds.credit_code)


class ExpectCataloguedMajor(_RowRule):
    """YX10; `codes` as version:code, parted by `CODE_SEPARATOR`"""

    codes: str
    map_metric = _columns_metric("hub_catalogued_major", holds.catalogued, "codes")
    success_keys: ClassVar[tuple[str, ...]] = ("codes", "mostly")


class ExpectCatalogueName(_RowRule):
    """YX11; `names` as version:code, `NAME_SEPARATOR`, name, parted by `CODE_SEPARATOR`"""

    names: str
    map_metric = _columns_metric("hub_catalogue_name", holds.catalogue_name, "names")
    success_keys: ClassVar[tuple[str, ...]] = ("names", "mostly")


class ExpectMonthsBetween(_RowRule):
    """YZ11"""

    least: int
    map_metric = _columns_metric("hub_months_between", holds.months_between, "least")
    success_keys: ClassVar[tuple[str, ...]] = ("least", "mostly")


class ExpectNotRetired(_RowRule):
    """YZ12; birth dates from which on a person is past the age"""

    men: str
    women: str
    map_metric = _columns_metric("hub_not_retired", holds.not_retired, "men", "women")
    success_keys: ClassVar[tuple[str, ...]] = ("men", "women", "mostly")


class ExpectPartyAge(_RowRule):
    """YZ13; birth dates of the three limits"""

    party: str
    youngest: str
    oldest: str
    map_metric = _columns_metric("hub_party_age", holds.party_age, "party", "youngest", "oldest")
    success_keys: ClassVar[tuple[str, ...]] = ("party", "youngest", "oldest", "mostly")


class ExpectMarriageAge(_RowRule):
    """YZ14"""

    youngest: str
    map_metric = _columns_metric("hub_marriage_age", holds.marriage_age, "youngest")
    success_keys: ClassVar[tuple[str, ...]] = ("youngest", "mostly")


class ExpectNoOldTemporaryNumber(_RowRule):
    """YX19"""

    map_metric = _columns_metric("hub_no_old_temporary", holds.no_old_temporary)


class ExpectHouseholdAgrees(_RowRule):
    """YZ15"""

    map_metric = _columns_metric("hub_household_agrees", holds.household_agrees)


class ExpectNotOverdue(_RowRule):
    """YZ09; `grace` in months"""

    today: str
    grace: int
    map_metric = _columns_metric("hub_not_overdue", holds.not_overdue, "today", "grace")
    success_keys: ClassVar[tuple[str, ...]] = ("today", "grace", "mostly")


class ExpectRegisteredInTime(_RowRule):
    """JS02; month and day of the two deadlines"""

    today: str
    autumn: str
    spring: str
    map_metric = _columns_metric("hub_registered_in_time", holds.registered_in_time, "today", "autumn", "spring")
    success_keys: ClassVar[tuple[str, ...]] = ("today", "autumn", "spring", "mostly")


class ExpectDaysBetween(_RowRule):
    """JS03"""

    most: int
    map_metric = _columns_metric("hub_days_between", holds.days_between, "most")
    success_keys: ClassVar[tuple[str, ...]] = ("most", "mostly")


class ExpectAllOrNone(_RowRule):
    """WZ04"""

    map_metric = _columns_metric("hub_all_or_none", holds.all_or_none)
