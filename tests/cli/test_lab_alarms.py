"""A laboratory's round shows what the ministry's people must look at, and it counts in the exit code (console 7)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hub.cli import main
from hub.errors import HubError
from province_node.deliver import Delivered
from province_node.telling import delivered_document, exit_code
from tests.cli.conftest import TODAY, Lab


@pytest.mark.long
def test_a_forged_manifest_in_ready_is_told_by_the_lab_s_round_and_makes_it_exit_3(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "lab"
    shutil.copytree(lab.folder, folder)
    command = ["lab", "run", str(folder), "--today", TODAY, "--no-review"]
    assert main(command) == 0
    assert "部级告警" not in capsys.readouterr().out
    forged = folder / "exchange" / "p13" / "in" / "ready" / "13-up-main-e0001-s0000000009.manifest.dsse"
    forged.write_bytes(b"{")
    assert main(command) == 3
    out = capsys.readouterr().out
    assert "! 部级告警" in out
    assert "E_ENV_JSON" in out


def test_a_batch_without_a_result_for_a_day_makes_the_round_exit_3() -> None:
    late = Delivered((), 0, (HubError("E3421", "批次封装后 25 小时仍无结果", where="13-up-main", step="联系部级"),))
    assert exit_code(None, [], [Delivered((), 0)], []) == 0
    assert exit_code(None, [], [Delivered((), 0), late], []) == 3
    told = json.loads(json.dumps(delivered_document(late)))
    assert [a["code"] for a in told["alarms"]] == ["E3421"]
