"""Both code locations load as deployed, and nothing is renamed by accident: asset history hangs on these names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from hub.errors import UsageError
from hub.settings import write_settings
from pipelines.ministry.definitions import defs as ministry
from pipelines.province.definitions import defs as province
from pipelines.province.definitions import schedule_of
from pipelines.province.schedules import rounds

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "deploy" / "dagster"


def test_the_workspace_as_deployed_validates(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(DEPLOYED / "dagster.yaml", home)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HUB_")}
    environment |= {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT)}
    dagster = Path(sys.executable).with_name("dagster")
    command = [str(dagster), "definitions", "validate", "-w", str(DEPLOYED / "workspace.yaml")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Validation for 2 code locations failed" not in said


def test_the_instance_tells_nobody_and_leaves_retries_to_the_errors() -> None:
    settings = yaml.safe_load((DEPLOYED / "dagster.yaml").read_text(encoding="utf-8"))
    assert settings["telemetry"] == {"enabled": False}
    assert settings["nux"] == {"enabled": False}
    assert settings["run_retries"] == {"enabled": False}


def _keys(defs: dg.Definitions) -> list[str]:
    return sorted(key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys())


def _checks(defs: dg.Definitions) -> dict[str, bool]:
    graph = defs.resolve_asset_graph()
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    return {f"{s.asset_key.to_user_string()}:{s.name}": s.blocking for s in specs}


def test_asset_keys_of_the_province_are_as_recorded() -> None:
    assert _keys(province) == [
        "province/change_set",
        "province/delivered",
        "province/golden/school",
        "province/golden/student",
        "province/golden/teacher",
        "province/published",
        "province/receipts",
    ]


def test_asset_keys_of_the_ministry_are_as_recorded() -> None:
    assert _keys(ministry) == ["ministry/intake"]


def test_checks_that_stop_a_round_are_as_recorded() -> None:
    assert _checks(province) == {
        "province/change_set:balance_holds": True,
        "province/change_set:deletes_below_brake": True,
        "province/change_set:second_judge_agrees": True,
        "province/change_set:sources_without_alarm": False,
        "province/published:no_open_conflict": False,
        "province/receipts:receipts_applied": False,
    }
    assert _checks(ministry) == {
        "ministry/intake:batches_applied": False,
        "ministry/intake:no_frozen_stream": True,
        "ministry/intake:receipts_published": True,
    }


def test_the_round_runs_every_night_and_in_full_on_sundays() -> None:
    schedules = {s.name: s for s in province.schedules or [] if isinstance(s, dg.ScheduleDefinition)}
    times = {name: (s.cron_schedule, s.execution_timezone) for name, s in schedules.items()}
    assert times == {
        "nightly_round": ("30 2 * * 1-6", "Asia/Shanghai"),
        "weekly_census": ("0 12 * * 6", "Asia/Shanghai"),
        "weekly_full_round": ("30 2 * * 0", "Asia/Shanghai"),
        "exchange_every_quarter": ("*/15 * * * *", "Asia/Shanghai"),
    }
    weekly = schedules["weekly_full_round"].evaluate_tick(dg.build_schedule_context())
    assert weekly.run_requests is not None
    (request,) = weekly.run_requests
    job = province.resolve_job_def("round")
    assert dg.validate_run_config(job, {**request.run_config, **_node()}), "the schedule's config fits the job"
    assert request.run_config["ops"]["province__change_set"]["config"] == {"full": True}


def test_a_province_that_names_its_own_time_runs_then(tmp_path: Path) -> None:
    values: dict[str, str | int | float | list[str]] = {
        "role": "province",
        "party": "13",
        "name": "省",
        "schedule": "10 4,22 * * *",
    }
    write_settings(tmp_path, values)
    nightly, weekly = rounds(schedule_of(str(tmp_path)))
    assert (nightly.cron_schedule, weekly.cron_schedule) == ("10 4,22 * * 1-6", "10 4,22 * * 0")
    write_settings(tmp_path, {**values, "schedule": "10 4 1 * *"})
    with pytest.raises(UsageError, match="E1003"):
        schedule_of(str(tmp_path))


def _node() -> dict[str, object]:
    return {"resources": {"node": {"config": {"folder": "node"}}}}


def test_steps_share_one_process() -> None:
    for defs, job in ((province, "round"), (province, "exchange"), (ministry, "intake")):
        assert defs.resolve_job_def(job).executor_def is dg.in_process_executor


def test_no_asset_is_retried_by_a_policy() -> None:
    """Retries are decided by what the error says (`NodeResource.step`), not by a count of tries."""
    for defs, job in ((province, "round"), (ministry, "intake")):
        nodes = defs.resolve_job_def(job).nodes_in_topological_order
        assert nodes
        assert all(node.retry_policy is None for node in nodes)
