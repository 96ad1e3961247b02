"""Great Expectations' own classes for the rules it has no built-in expectation for, one class per rule.

Decides nothing: each class binds a predicate of `quality.suites_predicates` to a metric on the pandas engine. Importing
this module imports Great Expectations (seconds), so only `quality.suites.build_suite` does, when a suite is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation, MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
    column_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
    ColumnMapMetricProvider,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (
    multicolumn_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_map_metric_provider import (
    MulticolumnMapMetricProvider,
)

from quality import suites_predicates as holds

Predicate = Callable[..., Any]


def _columns_metric(name: str, predicate: Predicate, *keys: str) -> str:
    """Registers a metric over several columns; returns its name."""

    class Metric(MulticolumnMapMetricProvider):
        condition_metric_name = f"multicolumn_values.{name}"
        condition_value_keys = keys

        @multicolumn_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
        def _pandas(cls, column_list: Any, **kwargs: Any) -> Any:  # noqa: N805 - a class method by the decorator
            return predicate(column_list, **{k: kwargs[k] for k in keys})

    return Metric.condition_metric_name


def _column_metric(name: str, predicate: Predicate, *keys: str) -> str:
    """Registers a metric over one column; returns its name. Great Expectations leaves empty cells out itself."""

    class Metric(ColumnMapMetricProvider):
        condition_metric_name = f"column_values.{name}"
        condition_value_keys = keys

        @column_condition_partial(engine=PandasExecutionEngine)
        def _pandas(cls, column: Any, **kwargs: Any) -> Any:  # noqa: N805 - as above
            return predicate(column, **{k: kwargs[k] for k in keys})

    return Metric.condition_metric_name


class _RowRule(MulticolumnMapExpectation):
    """A rule over several columns of one row; every row is asked, the predicate knows what an empty cell means."""

    ignore_row_if: Literal["all_values_are_missing", "any_value_is_missing", "never"] = "never"


class ExpectDelivered(_RowRule):
    """WZ01"""

    of: str
    map_metric = _columns_metric("hub_delivered", holds.delivered, "of")
    success_keys: ClassVar[tuple[str, ...]] = ("of", "mostly")


class ExpectRequiredWhen(_RowRule):
    """WZ02, WZ03, WZ05, WZ06"""

    value: str
    negate: bool = False
    map_metric = _columns_metric("hub_required_when", holds.required_when, "value", "negate")
    success_keys: ClassVar[tuple[str, ...]] = ("value", "negate", "mostly")


class ExpectIdentityNumberForm(_RowRule):
    """YX01"""

    map_metric = _columns_metric("hub_id_form", holds.id_form)


class ExpectIdentityNumberCheckDigit(_RowRule):
    """YX02"""

    map_metric = _columns_metric("hub_id_check", holds.id_check)


class ExpectIdentityNumberDivision(_RowRule):
    """YX03"""

    codes: str
    map_metric = _columns_metric("hub_id_division", holds.id_division, "codes")
    success_keys: ClassVar[tuple[str, ...]] = ("codes", "mostly")


class ExpectIdentityNumberBirthDate(_RowRule):
    """YX04"""

    today: str
    map_metric = _columns_metric("hub_id_birth", holds.id_birth, "today")
    success_keys: ClassVar[tuple[str, ...]] = ("today", "mostly")


class ExpectBirthDateAgrees(_RowRule):
    """YZ01"""

    map_metric = _columns_metric("hub_birth_agrees", holds.birth_agrees)


class ExpectSexAgrees(_RowRule):
    """YZ02"""

    map_metric = _columns_metric("hub_sex_agrees", holds.sex_agrees)


class ExpectStudentNumberAgrees(_RowRule):
    """YZ03"""

    map_metric = _columns_metric("hub_student_number_agrees", holds.student_number_agrees)


class ExpectNotStillTemporary(_RowRule):
    """YZ04"""

    map_metric = _columns_metric("hub_still_temporary", holds.still_temporary)


class ExpectVocationalSchool(_RowRule):
    """YX08"""

    form: str
    map_metric = _columns_metric("hub_vocational_school", holds.vocational_school, "form")
    success_keys: ClassVar[tuple[str, ...]] = ("form", "mostly")


class ExpectStudentNumberCheckDigit(ColumnMapExpectation):
    """YX13"""

    map_metric = _column_metric("hub_student_number_check", holds.student_number_check)


class ExpectRealDate(ColumnMapExpectation):
    """YX14 for days"""

    map_metric = _column_metric("hub_real_date", holds.real_date)


class ExpectSchoolYear(ColumnMapExpectation):
    """YX14 for school years"""

    map_metric = _column_metric("hub_school_year", holds.school_year)


class ExpectKnownCode(ColumnMapExpectation):
    """YX05; `codes` parted by `CODE_SEPARATOR`"""

    codes: str
    map_metric = _column_metric("hub_known_code", holds.known_code, "codes")
    success_keys: ClassVar[tuple[str, ...]] = ("codes", "mostly")


class ExpectNoOutdatedCode(ColumnMapExpectation):
    """YX06; `codes` that were in force once"""

    codes: str
    map_metric = _column_metric("hub_no_outdated_code", holds.no_outdated_code, "codes")
    success_keys: ClassVar[tuple[str, ...]] = ("codes", "mostly")


class ExpectKnownCodes(_RowRule):
    """YX05 of several columns at once, `codes` in their order"""

    codes: Sequence[str]
    map_metric = _columns_metric("hub_known_codes", holds.known_codes, "codes")
    success_keys: ClassVar[tuple[str, ...]] = ("codes", "mostly")


class ExpectLengths(_RowRule):
    """YX18 of several columns at once, `limits` in their order"""

    limits: Sequence[int]
    map_metric = _columns_metric("hub_lengths", holds.lengths, "limits")
    success_keys: ClassVar[tuple[str, ...]] = ("limits", "mostly")


class ExpectWholeMatch(ColumnMapExpectation):
    """YX05, YX07, YX12, YX14, YX15, YX16 by a pattern; the built-in one searches, and `$` lets a line feed pass."""

    regex: str
    map_metric = _column_metric("hub_whole_match", holds.matches, "regex")
    success_keys: ClassVar[tuple[str, ...]] = ("regex", "mostly")
