"""The inbox sensor: one run per province with new manifests, none for what was asked for already."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from hub.batch.layout import StreamId, batch_id, manifest_name, part_name
from pipelines.ministry.definitions import defs
from pipelines.ministry.sensors import AGAIN, Asked, due, inbox
from pipelines.resources import NodeResource
from tests.pipelines.conftest import Place

NOW = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
STREAM = StreamId("13", "up", "main", 1)


def _names(*numbers: int) -> list[str]:
    return [manifest_name(batch_id(STREAM, n)) for n in numbers]


def test_new_manifests_ask_for_one_run_and_the_same_ones_for_none() -> None:
    runs, asked = due({"13": _names(1, 2), "41": []}, {}, NOW)
    assert list(runs) == ["13"]
    later, kept = due({"13": _names(1, 2)}, asked, NOW + timedelta(seconds=30))
    assert later == {}
    assert kept == asked
    more, _ = due({"13": _names(2, 3)}, kept, NOW + timedelta(seconds=60))
    assert list(more) == ["13"]
    assert more["13"] != runs["13"]


def test_a_manifest_that_stays_is_asked_for_again_after_its_time() -> None:
    asked = {"13": Asked(tuple(_names(1)), NOW)}
    assert due({"13": _names(1)}, asked, NOW + AGAIN - timedelta(seconds=1))[0] == {}
    again, kept = due({"13": _names(1)}, asked, NOW + AGAIN)
    assert list(again) == ["13"]
    assert kept["13"].at == NOW + AGAIN


def test_what_has_gone_is_forgotten() -> None:
    _, kept = due({"13": []}, {"13": Asked(tuple(_names(1)), NOW)}, NOW)
    assert kept == {}


def _tick(node: NodeResource, instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"node": node}, definitions=defs, sensor_name="inbox"
    )
    result = inbox(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def test_an_upload_is_asked_for_once_and_its_province_becomes_a_partition(place: Place) -> None:
    ready = place.lab.exchange_root / "p13" / "in" / "ready"
    assert ready.is_dir()
    with dg.DagsterInstance.ephemeral() as instance:
        quiet = _tick(place.ministry, instance, None)
        assert isinstance(quiet, dg.SensorResult)
        assert not quiet.run_requests
        (ready / part_name(batch_id(STREAM, 1), 1)).write_bytes(b"part")
        (ready / "readme.txt").write_bytes(b"stray")
        assert not _requests(_tick(place.ministry, instance, quiet.cursor)), "only a manifest announces a batch"
        (ready / _names(1)[0]).write_bytes(b"manifest")
        asked = _tick(place.ministry, instance, quiet.cursor)
        (request,) = _requests(asked)
        assert request.partition_key == "13"
        assert isinstance(asked, dg.SensorResult)
        (added,) = asked.dynamic_partitions_requests or []
        assert list(added.partition_keys) == ["13"]
        assert not _requests(_tick(place.ministry, instance, asked.cursor))


def _requests(result: dg.SensorResult | dg.SkipReason) -> list[dg.RunRequest]:
    assert isinstance(result, dg.SensorResult)
    return list(result.run_requests or [])


def test_a_ministry_that_is_not_set_up_is_a_reason_to_skip_and_not_a_crash(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = _tick(NodeResource(folder=str(tmp_path)), instance, None)
    assert isinstance(result, dg.SkipReason)
    assert "E1002" in str(result.skip_message)
