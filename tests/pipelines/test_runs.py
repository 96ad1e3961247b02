"""Whole graphs on real nodes: a round of the province, the intake of the ministry, and what stops them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from hub.catalog import load_catalog
from hub.errors import HubError, InputError, LockedError
from hub.store import open_store
from pipelines.lab.round import table_digests
from pipelines.ministry.assets import intake
from pipelines.province import checks
from pipelines.province.assets import change_set, delivered, published, receipts
from pipelines.province.keys import CHANGE_SET, DELIVERED, GOLDEN, PUBLISHED, RECEIPTS
from pipelines.resources import NodeResource
from province_node.changeset import counted
from province_node.exclusive import exchange_step
from quality.judge import judge_round
from tests.pipelines.conftest import DAY, Place

PROVINCE = [change_set, published, delivered, receipts]
PRIVATE = re.compile(r"\d{17}[\dX]|1[3-9]\d{9}|[GJL][\dX]{6,}")


def _config(**options: Any) -> dict[str, Any]:
    return {"ops": {"province__change_set": {"config": {"today": DAY, **options}}}}


def _round(place: Place, instance: dg.DagsterInstance, **options: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        PROVINCE,
        resources={"node": place.province},
        run_config=_config(**options),
        instance=instance,
        raise_on_error=False,
    )


def _take_in(place: Place, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("province", ["13"])
    return dg.materialize([intake], partition_key="13", resources={"node": place.ministry}, instance=instance)


def _metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, Any]:
    (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
    return {name: entry.value for name, entry in event.materialization.metadata.items()}


def _checked(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {e.check_name: e.passed for e in result.get_asset_check_evaluations()}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def _stored(place: Place) -> int:
    store = open_store(place.lab.province.database_url, load_catalog())
    try:
        with store.reading() as reader:
            return int(reader.connection.execute(sa.text("SELECT count(*) FROM change_set")).scalar_one())
    finally:
        store.close()


def test_a_round_of_both_tiers_ends_with_equal_tables_and_counts_that_balance(
    place: Place, instance: dg.DagsterInstance
) -> None:
    first = _round(place, instance)
    assert first.success
    for key in GOLDEN.values():
        went = _metadata(first, key)
        assert went["read"] == sum(
            went[c] for c in ("inserted", "updated", "unchanged", "quarantined", "held", "otherwise")
        )
        assert went["inserted"] > 0
    assert _metadata(first, PUBLISHED)["rows"] == sum(_metadata(first, k)["inserted"] for k in GOLDEN.values())
    assert _metadata(first, DELIVERED)["bytes"] > 0
    assert _metadata(first, RECEIPTS)["receipts"] == 0, "the ministry has not looked yet"
    passed = _checked(first)
    assert all(
        passed[c] for c in ("balance_holds", "deletes_below_brake", "second_judge_agrees", "sources_without_alarm")
    )
    assert not passed["no_open_conflict"], "the sample plants conflicts; they are shown and stop nothing"

    judged = judge_round(place.lab.province, 1)
    assert (judged.disagreements, sum(judged.rows.values()) > 1000) == ((), True)
    with pytest.raises(InputError, match="没有可读的本轮记录"):
        judge_round(place.lab.province, 9)

    taken = _take_in(place, instance)
    assert taken.success
    applied = _metadata(taken, intake.key)
    assert (applied["batches"], applied["APPLIED"]) == (1, 1)
    assert applied["inserted"] == _metadata(first, PUBLISHED)["rows"]
    assert all(_checked(taken).values())
    assert all(pair.equal for pair in table_digests(place.lab))

    second = _round(place, instance)
    assert second.success
    assert _metadata(second, CHANGE_SET)["inserted"] == 0
    heard = _metadata(second, RECEIPTS)
    assert (heard["receipts"], heard["APPLIED"]) == (1, 1)
    private = _private(place.sources)
    assert len(private) > 3000, "identity, student and telephone numbers of the sample"
    for result in (first, taken, second):
        said = set(re.findall(r"[0-9A-Z]{7,}", _everything_said(result)))
        assert said, "run and event numbers at least"
        assert not said & private, "no personal data in Dagster's event log"


def _private(sources: Path) -> set[str]:
    """Every number of a person that stands in the first source."""
    engine = sa.create_engine(f"sqlite:///{sources / 's1.db'}")
    with engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        cells = (c for t in tables for row in connection.execute(sa.text(f'SELECT * FROM "{t}"')) for c in row)
        found = {c for c in cells if isinstance(c, str) and PRIVATE.fullmatch(c)}
    engine.dispose()
    return found


def _everything_said(result: dg.ExecuteInProcessResult) -> str:
    return json.dumps([str(e.event_specific_data) + (e.message or "") for e in result.all_events], ensure_ascii=False)


@pytest.mark.long
def test_a_round_that_would_delete_too_much_stops_before_anything_is_stored(
    place: Place, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    assert _round(place, instance).success
    mine = tmp_path / "mine"
    shutil.copytree(place.sources, mine)
    settings = place.lab.province.folder / "hub.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace(str(place.sources), str(mine)), encoding="utf-8")
    with sa.create_engine(f"sqlite:///{mine / 's1.db'}").begin() as connection:
        connection.execute(sa.text("DELETE FROM XS_JBXX WHERE rowid % 2 = 0"))
    before = (_stored(place), counted(place.lab.province))
    stopped = _round(place, instance, full=True)
    assert not stopped.success
    assert _checked(stopped) == {"deletes_below_brake": False}
    assert (_stored(place), counted(place.lab.province)) == before
    assert not stopped.get_asset_materialization_events()


@pytest.mark.long
def test_a_disagreement_of_the_judges_stops_the_round_and_the_next_one(
    place: Place, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quality.judgement import Judgement, Opinion

    def wrong(*_: Any) -> Judgement:
        return Judgement({"xs": 1}, (Opinion("xs", "YX02", "SFZJH", "错误", 1, 1, ("0" * 20,)),))

    with monkeypatch.context() as patch:
        patch.setattr(checks, "_judge", wrong)
        stopped = _round(place, instance)
    assert not _checked(stopped)["second_judge_agrees"]
    assert _stored(place) == 0, "published nothing"
    assert [e.asset_key for e in stopped.get_asset_materialization_events()] == [CHANGE_SET]
    seen: list[int] = []
    judge = checks._judge

    def counting(*arguments: Any) -> Judgement:
        judgement = judge(*arguments)
        seen.append(sum(judgement.rows.values()))
        return judgement

    monkeypatch.setattr(checks, "_judge", counting)
    assert _round(place, instance).success
    assert seen[0] > 1000, "the change set that waited is judged again before it is published"
    assert _stored(place) == 2


def test_a_busy_node_is_tried_again_and_a_missing_one_is_not(
    place: Place, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    def retries(result: dg.ExecuteInProcessResult) -> int:
        return sum(e.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY for e in result.all_events)

    def ship(node: NodeResource) -> dg.ExecuteInProcessResult:
        return dg.materialize([delivered], resources={"node": node}, instance=instance, raise_on_error=False)

    with exchange_step(place.lab.province):
        busy = ship(place.province)
    assert (busy.success, retries(busy)) == (False, 1)
    missing = ship(NodeResource(folder=str(tmp_path / "nowhere"), retries=1, retry_wait_seconds=0))
    assert (missing.success, retries(missing)) == (False, 0)


@pytest.mark.parametrize("retryable", [True, False])
def test_retryable_alone_decides_what_happens_to_an_error(place: Place, retryable: bool) -> None:
    kind = LockedError if retryable else HubError
    expected = dg.RetryRequested if retryable else dg.Failure
    with pytest.raises(expected) as raised, place.province.step():
        raise kind("E9999", "出了一件事", where="某处", step="做某事")
    if isinstance(raised.value, dg.Failure):
        assert not raised.value.allow_retries
        assert raised.value.metadata["next_step"].value == "做某事"
        assert "做某事" in str(raised.value.description)


def test_an_error_of_our_own_code_is_neither_hidden_nor_retried(place: Place) -> None:
    with pytest.raises(dg.Failure) as raised, place.province.step():
        raise RuntimeError("misuse")
    assert not raised.value.allow_retries
    assert "E1000" in str(raised.value.description)
    assert "RuntimeError" in str(raised.value.description)
    assert "test_runs.py" in str(raised.value.metadata["frames"].value)


@pytest.mark.parametrize("kind", [None, HubError, LockedError])
def test_what_dagster_keeps_of_an_error_quotes_no_row(
    place: Place, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, kind: type[HubError] | None
) -> None:
    number = "130102201001011234"

    def broken(*_: Any, **__: Any) -> None:
        try:
            raise ValueError(f"could not convert {number}")
        except ValueError as cause:
            if kind is None:
                raise
            raise kind("E9999", "读不了一行", where="第 7 行", step="更正该行") from cause

    monkeypatch.setattr("pipelines.province.assets.deliver", broken)
    result = dg.materialize([delivered], resources={"node": place.province}, instance=instance, raise_on_error=False)
    assert not result.success
    said = _everything_said(result)
    assert number not in said
    assert ("ValueError" if kind is None else "更正该行") in said


def test_a_province_outside_the_trust_list_is_told_so(place: Place, instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("province", ["41"])
    result = dg.materialize(
        [intake], partition_key="41", resources={"node": place.ministry}, instance=instance, raise_on_error=False
    )
    assert not result.success
    assert "信任清单中没有省 41" in _everything_said(result)
