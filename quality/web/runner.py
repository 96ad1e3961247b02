"""Bulk operations and imports carried out beside the pages, in threads of this process.

Decides how many run at once and what is remembered of one that runs here: an operation that is 进行中 in the database and
not running here was interrupted, and its person may take it up again. What it has done stands in the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, Final

from hub.errors import HubError

log = logging.getLogger("hub.web")
_WORKERS: Final = 2
_POOL: Final = ThreadPoolExecutor(_WORKERS, thread_name_prefix="bulk")
_LOCK: Final = Lock()
_RUNNING: Final[dict[tuple[int, str], Future[Any]]] = {}


def start(store: object, name: str, work: Callable[[], Any]) -> None:
    """Runs `work` under a name; nothing when that name runs already. Failures are logged by kind, never by message."""
    key = (id(store), name)

    def run() -> Any:
        try:
            return work()
        except HubError as error:
            log.warning("job %s stopped: %s", name, error.code)
            raise
        except Exception as error:
            log.error("job %s failed: %s", name, type(error).__name__)
            raise

    with _LOCK:
        found = _RUNNING.get(key)
        if found is None or found.done():
            for old in [k for k, f in _RUNNING.items() if f.done()]:
                del _RUNNING[old]
            _RUNNING[key] = _POOL.submit(run)


def running(store: object, name: str) -> bool:
    """Whether it runs, or waits to, in this process."""
    with _LOCK:
        found = _RUNNING.get((id(store), name))
    return found is not None and not found.done()
