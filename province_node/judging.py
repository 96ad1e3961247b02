"""The second judge beside a round: Great Expectations over the change set that the SQL gate let through.

Decides what a disagreement means at the province: an alarm that names rule, field and how many records, never a value.
The round goes on, because the gate has judged the same definitions by its own means; the pipelines stop on the same
finding (`pipelines.province.checks`), where a person is at hand. The judge loads while the sources are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.changes import ChangeSet
from hub.errors import HubError
from hub.settings import NodeSettings
from province_node.extract import Alarm
from province_node.in_force import InForce
from quality.judge import RunningJudge, start_judge
from quality.judgement import Judgement

SOURCE = "第二道质量复核"


class SecondJudge:
    """A judge at work, or none."""

    def __init__(self, running: RunningJudge | None) -> None:
        self._running = running
        self.judgement: Judgement | None = None
        """What it said, once `alarms` was asked; None without a judge or where it gave no answer."""

    def look_at(self, changes: ChangeSet, settings: NodeSettings, *, today: str, ruled: InForce) -> None:
        """Hands over the change files, with how many rows and which thresholds the node wants; `today` YYYY-MM-DD."""
        if self._running is None:
            return
        files: dict[str, list[Path]] = {}
        for file in changes.files:
            files.setdefault(file.entity, []).append(file.path)
        self._running.submit(
            files,
            rows=settings.expectation_rows,
            today=today,
            rules=settings.rules,
            registry=ruled.document,
            tables=ruled.tables,
        )

    def alarms(self) -> tuple[Alarm, ...]:
        """What the judge found, once it is done; its own failure is an alarm as well."""
        if self._running is None:
            return ()
        try:
            self.judgement = self._running.finish()
            self.judgement.require_clean()
        except HubError as error:
            return (Alarm(SOURCE, error.code, error.sentence(), error.retryable),)
        return ()


@contextmanager
def second_judge(site_dictionaries: Path | None, *, wanted: bool) -> Iterator[SecondJudge]:
    """Starts the judge's process, and ends it whatever happens."""
    if not wanted:
        yield SecondJudge(None)
        return
    with start_judge(site_dictionaries) as running:
        yield SecondJudge(running)
