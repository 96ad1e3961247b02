"""What both code locations need of a node: its folder, the clock, and what an error means for a run.

Decides only one thing: a `HubError` that says it is retryable is tried again, any other ends the run (architecture,
"errors"); Dagster's own retry policies are not used. Nothing else is computed in `pipelines`: assets call node steps.
What Dagster stores of an error, for ever and for everyone who sees runs, holds no text that may quote a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg

from hub.cli.failures import as_hub_error, frames
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
        except (dg.Failure, dg.RetryRequested):
            raise
        except HubError as error:
            if error.retryable:
                raise dg.RetryRequested(self.retries, self.retry_wait_seconds) from alone(error)
            raise failure(error) from alone(error)
        except Exception as error:  # noqa: BLE001 - where what nobody foresaw becomes the end of a run
            raise _unforeseen(error) from None


def alone(error: HubError) -> HubError:
    """The error without what it was raised from: Dagster keeps the text of every cause, which may quote a row."""
    error.__cause__ = None
    return error


def _unforeseen(error: Exception) -> dg.Failure:
    """Types and places of an error and its causes, never their text, as the command line tells them (house rule 13)."""
    told = as_hub_error(error)
    step = "把下面的位置交给维护人员"
    return dg.Failure(
        f"[{told.code}] {told.what}（{told.where}）　下一步：{step}",
        metadata={"code": told.code, "where": told.where, "next_step": step, "frames": "\n".join(frames(error))},
        allow_retries=False,
    )


def failure(error: HubError) -> dg.Failure:
    """The end of a run: code, sentence and next step where a person sees them; never tried again by itself."""
    return dg.Failure(
        error.sentence(),
        metadata={"code": error.code, "where": error.where, "next_step": error.step},
        allow_retries=False,
    )
