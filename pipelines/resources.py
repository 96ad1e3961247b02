"""What both code locations need of a node: its folder, the clock, and what an error means for a run.

Decides only one thing: a `HubError` that says it is retryable is tried again, any other ends the run (architecture,
"errors"); Dagster's own retry policies are not used. Nothing else is computed in `pipelines`: assets call node steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg

from hub.errors import HubError
from hub.settings import Node, open_node

# Rules about age and deadlines see the school calendar's day, not the machine's.
CALENDAR = ZoneInfo("Asia/Shanghai")
TIMEZONE = str(CALENDAR)


class NodeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A node's folder. `retries` and `retry_wait_seconds` apply to errors that say that trying again helps."""

    folder: str
    retries: int = 3
    retry_wait_seconds: int = 60

    def open(self) -> Node:
        """The node; `NotInitialisedError` E1002 without one."""
        return open_node(Path(self.folder))

    def now(self) -> datetime:
        """Aware, UTC. Assets are entry points: they read the clock, steps do not."""
        return datetime.now(UTC)

    def today(self) -> str:
        """YYYY-MM-DD as dated rules see it."""
        return self.now().astimezone(CALENDAR).date().isoformat()

    @contextmanager
    def step(self) -> Iterator[Node]:
        """The node, for one step; its errors become what Dagster acts on. `retryable` alone decides (house rule)."""
        try:
            yield self.open()
        except HubError as error:
            if error.retryable:
                raise dg.RetryRequested(self.retries, self.retry_wait_seconds) from error
            raise failure(error) from error


def failure(error: HubError) -> dg.Failure:
    """The end of a run: code, sentence and next step where a person sees them; never tried again by itself."""
    return dg.Failure(
        error.sentence(),
        metadata={"code": error.code, "where": error.where, "next_step": error.step},
        allow_retries=False,
    )
