"""What a whole test run made the product say to databases, judged for Oracle when the run ends.

Decides that a run is red when any statement, said by whatever test in whatever process of the run, cannot go to Oracle
11.2 or 19. `tests.oracle.recording` hears, `tests.oracle.rules` and `tests.oracle.judge` decide.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.oracle.recording import Recorder, recording

_OUTPUT = "oracle_statements"


@dataclass
class StatementsOfTheRun:
    """A pytest plugin: hears in every process, judges in the first."""

    recorder: Recorder = field(default_factory=Recorder)
    told: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    line: str = ""
    _open: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        self._open.enter_context(recording(self.recorder))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        from tests.oracle.findings import findings, rendered

        self._open.close()
        self.told += rendered(self.recorder.said.values())
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_OUTPUT] = self.told
            return
        if not self.told:
            return
        self.wrong, shapes, unparsed = findings(self.told)
        missing = f"，其中 {unparsed} 种没有语法分析器可用，未分析" if unparsed else ""
        self.line = f"Oracle：本次测试中产品发出的语句共 {shapes} 种，按 11.2 与 19 检查{missing}"
        if self.wrong and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for place, statements, known in getattr(node, "workeroutput", {}).get(_OUTPUT, ()):
            self.told.append((place, tuple(statements), tuple(known)))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.wrong:
            terminalreporter.section("statements that Oracle would refuse", red=True)
            for line in self.wrong:
                terminalreporter.write_line(line)
        if self.line:
            terminalreporter.write_line(self.line)
