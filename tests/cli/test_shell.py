"""The shell around the commands: help, global options, and how a failure ends."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

import hub.cli
from hub.cli import main
from hub.cli.failures import report
from hub.cli.output import Progress
from hub.cli.root import SUMMARIES, hoisted
from hub.errors import PeerUnreachableError

COMMANDS = sorted(e.name for e in entry_points(group="hub.commands"))


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from hub.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={"PATH": "", "LANG": "C", **env},
    )


def test_help_lists_every_command_in_chinese_and_imports_none() -> None:
    code = (
        "import sys; from hub.cli import main; code = main(['--help']); "
        "heavy = [m for m in ('duckdb', 'pandas', 'pyarrow', 'sqlalchemy', 'dagster', 'great_expectations') "
        "if m in sys.modules]; sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout
    assert "用法" in done.stdout
    assert "Usage" not in done.stdout
    assert "Show this message" not in done.stdout


def test_every_command_has_a_summary() -> None:
    assert set(COMMANDS) <= set(SUMMARIES)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_all_below_it_explain_themselves_in_chinese(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.main import get_command

    from hub.cli.root import app

    root: Any = get_command(app)
    context = root.make_context("hub", ["schema"])
    command = root.get_command(context, name)
    paths = [[name], *([name, below] for below in getattr(command, "commands", {}))]
    for path in paths:
        assert main([*path, "--help"]) == 0
        out = capsys.readouterr().out
        assert any("\u4e00" <= c <= "\u9fff" for c in out)
        for english in ("Usage:", "Options", "Commands", "required", "default:"):
            assert english not in out, (path, english)
    for leaf in getattr(command, "commands", {"": command}).values():
        assert leaf.help
        for parameter in leaf.params:
            assert getattr(parameter, "help", None), f"{name} {leaf.name} {parameter.name}"


def test_global_options_may_stand_anywhere_before_the_double_dash() -> None:
    assert hoisted(["records", "ls", "--json", "--node", "x"]) == ["--json", "--node", "x", "records", "ls"]
    assert hoisted(["a", "--node=x", "--json", "--json"]) == ["--json", "--node=x", "a"]
    assert hoisted(["a", "--", "--json"]) == ["a", "--", "--json"]
    assert hoisted(["a", "--node"]) == ["--node", "a"] or hoisted(["a", "--node"])[-1] == "a"


def test_output_is_utf_8_whatever_the_locale_and_without_colours_off_a_terminal() -> None:
    done = run("schema", "show", LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "学生基本信息" in done.stdout
    assert "\x1b" not in done.stdout


def test_the_version_is_told() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout[:4]) == (0, "hub ")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["schema", "shwo"], "E1016"),
        (["schema", "show", "--nope"], "E1013"),
        (["records", "export", "xs"], "E1014"),
        (["audit", "ls", "--last", "many"], "E1015"),
        (["schema", "show", "xs", "130102200801017164"], "E1018"),
        (["--log-format", "xml", "schema", "show"], "E1019"),
    ],
)
def test_wrong_usage_exits_2_with_a_document_and_does_not_repeat_what_was_typed(
    args: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*args, "--json"]) == 2
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["schema_version"] == 1
    assert document["error"]["code"] == code
    assert document["error"]["step"]
    assert err.count("\n") == 1
    assert "130102200801017164" not in out + err


def test_an_unexpected_error_shows_its_place_and_never_its_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        try:
            raise KeyError("G130102200801017164")
        except KeyError as error:
            raise ValueError("13912340512") from error

    class Broken:
        def main(self, **_: object) -> None:
            fail()

    monkeypatch.setattr(hub.cli, "root_command", Broken)
    for debug in ([], ["--debug"]):
        assert main(["--json", *debug]) == 1
        out, err = capsys.readouterr()
        assert "[E1000]" in err
        assert json.loads(out)["error"]["code"] == "E1000"
        assert "G130102" not in out + err
        assert "13912340512" not in out + err
    assert "tests/cli/test_shell.py" in err
    assert "KeyError" in err


def test_ctrl_c_exits_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def main(self, **_: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(hub.cli, "root_command", Interrupted)
    assert main(["--json"]) == 130
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "E1012"
    assert "已中断" in err


def test_a_retryable_error_says_so_to_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    error = PeerUnreachableError("E2409", "连不上", step="稍后重试")
    assert report(error, as_json=True, debug=False) == 20
    assert json.loads(capsys.readouterr().out)["error"]["retryable"] is True


def test_off_a_terminal_a_long_step_gives_a_sign_of_life(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(every=0.01) as progress:
        progress.step("settle", "学生基本信息")
        for _ in range(20):
            if progress._thread is not None:
                progress._thread.join(0.01)
    err = capsys.readouterr().err
    assert "… 定值　学生基本信息" in err
    with Progress() as progress:
        progress.amount("导出", 1, 2)
    assert capsys.readouterr().err == ""
