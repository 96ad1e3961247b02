"""`/healthz` (the process), `/readyz` (database, migrations, keys), `/metrics` in Prometheus' text format (console 7).

Decides names of metrics, which never change their meaning. `/metrics` is open to this machine, to others with the token
of `[web] metrics_token`.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Final

from starlette.responses import PlainTextResponse, Response

from hub.errors import HubError
from hub.keyring import open_keyring
from hub.web.ask import Ask
from hub.web.figures import Figures, figures
from hub.web.refusals import forbidden
from hub.web.section import EVERYONE, Section

section: Final = Section("health", "hub.web")
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


@section.get("/healthz", allow=EVERYONE)
def alive(_ask: Ask) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


@section.get("/readyz", allow=EVERYONE)
def ready(ask: Ask) -> Response:
    """Database, migrations and keys; 503 with the parts that fail, no more."""
    wrong = []
    try:
        have, head = ask.site.store.revision()
        if have != head:
            wrong.append("migrations" if have else "database")
    except HubError:
        wrong.append("database")
    try:
        open_keyring(ask.site.node, at=ask.at)
    except HubError:
        wrong.append("keys")
    return PlainTextResponse("ok\n" if not wrong else "".join(f"{w}\n" for w in wrong), 503 if wrong else 200)


@section.get("/metrics", allow=EVERYONE)
def metrics(ask: Ask) -> Response:
    """Figures of the node's own tables."""
    if not _welcome(ask):
        raise forbidden("指标只对本机或持有令牌者开放", "在监控配置中加入令牌")
    with ask.site.store.reading() as reader:
        found = figures(reader)
    return Response("".join(lines(found, ask.site.party, ask.at)), media_type=TEXT)


def lines(found: Figures, party: str, at: datetime) -> Iterable[str]:
    """The exposition, one metric after the other. Times in seconds since 1970, ages in seconds."""
    node = {"node": party}
    yield from _metric("hub_up", "gauge", "1 while the console answers", [(node, 1)])
    read = {s: _seconds(t) for s, t in found.sources.items()}
    now = at.timestamp()
    yield from _metric(
        "hub_source_last_good_seconds", "gauge", "end of the last good read of a source",
        [({**node, "source": s}, t) for s, t in read.items()],
    )  # fmt: skip
    yield from _metric(
        "hub_source_lag_seconds", "gauge", "age of the last good read of a source",
        [({**node, "source": s}, max(0, round(now - t))) for s, t in read.items()],
    )  # fmt: skip
    yield from _ages(found, node, now)
    yield from _metric(
        "hub_conflicts",
        "gauge",
        "distinct conflicts by state",
        [({**node, "state": s}, n) for s, n in found.conflicts.items()],
    )
    yield from _metric("hub_quarantined_rows", "gauge", "open quarantine entries", [(node, found.quarantined)])
    yield from _metric(
        "hub_outbox_batches",
        "gauge",
        "sealed batches by state",
        [({**node, "state": s}, n) for s, n in found.outbox.items()],
    )
    yield from _metric(
        "hub_inbox_batches", "gauge", "received batches by verdict",
        [({**node, "verdict": v}, n) for v, n in found.inbox_verdicts.items()],
    )  # fmt: skip
    yield from _metric(
        "hub_verify_failures_total",
        "counter",
        "refused batches, lists, receipts and grants",
        [(node, found.verify_failures)],
    )


def _ages(found: Figures, node: Mapping[str, str], now: float) -> Iterable[str]:
    for name, text, moment in (
        ("hub_run_age_seconds", "age of the last run", found.last_run),
        ("hub_conflict_oldest_open_seconds", "age of the oldest open conflict", found.oldest_open),
        ("hub_heartbeat_age_seconds", "since this node last sealed a batch or heartbeat", found.last_sent),
    ):
        yield from _metric(name, "gauge", text, [(node, max(0, round(now - _seconds(moment))))] if moment else [])
    yield from _metric(
        "hub_peer_age_seconds", "gauge", "since the last decided batch of a peer",
        [({**node, "peer": p}, max(0, round(now - _seconds(t)))) for p, t in found.inbox.items()],
    )  # fmt: skip


def _metric(name: str, kind: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Iterable[str]:
    yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        given = ",".join(f'{k}="{_escaped(v)}"' for k, v in labels.items())
        yield f"{name}{{{given}}} {value:g}\n" if isinstance(value, float) else f"{name}{{{given}}} {value}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _seconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp())


def _welcome(ask: Ask) -> bool:
    setting = ask.site.node.settings.web.metrics_token
    given = ask.request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if setting and given:
        wanted = (ask.site.node.folder / setting).read_text(encoding="ascii").strip()
        return bool(wanted) and hmac.compare_digest(wanted.encode(), given.encode())
    try:
        return ip_address(ask.source).is_loopback and not ask.site.node.settings.web.url
    except ValueError:
        return False
