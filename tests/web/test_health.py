"""`/healthz`, `/readyz`, `/metrics`: for monitors, without a sign-in, without a value of a record (console 7)."""

from __future__ import annotations

import re

import pytest

from tests.web.consoles import Console

SAMPLE = re.compile(r"^(?P<name>[a-z_]+)\{(?P<labels>[^}]*)\} (?P<value>-?\d+(\.\d+)?)$")
NAMES = {
    "hub_up", "hub_source_last_good_seconds", "hub_source_lag_seconds", "hub_conflicts", "hub_run_age_seconds",
    "hub_conflict_oldest_open_seconds", "hub_heartbeat_age_seconds", "hub_verify_failures_total", "hub_outbox_batches",
}  # fmt: skip


def samples(text: str) -> dict[tuple[str, str], float]:
    """The exposition, parsed; every line that is no comment must be a sample."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        one = SAMPLE.match(line)
        assert one, line
        found[one["name"], one["labels"]] = float(one["value"])
    return found


def test_metrics_name_sources_conflicts_ages_and_failures(console: Console) -> None:
    answer = console.client().get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)
    assert {name for name, _ in found} >= NAMES
    assert {labels for name, labels in found if name == "hub_source_lag_seconds"} == {
        f'node="13",source="{s}"' for s in ("S1", "S2", "S3")
    }
    waiting = len([r for r in console.rows("decision") if r["state"] == "待处理"])
    assert found["hub_conflicts", 'node="13",state="待处理"'] == waiting > 0
    assert not re.search(r"\d{17}", answer.text)


def test_the_ministry_tells_how_long_ago_each_province_spoke(ministry_console: Console) -> None:
    found = samples(ministry_console.client().get("/metrics").text)
    assert found["hub_peer_age_seconds", 'node="moe",peer="13"'] >= 0
    assert found["hub_inbox_batches", 'node="moe",verdict="APPLIED"'] == 1


def test_metrics_are_told_to_this_machine_or_for_a_token(own_console: Console) -> None:
    web = own_console.node.settings.web
    (own_console.node.keys / "metrics.token").write_text("let-me-in\n", encoding="ascii")
    web.metrics_token, web.url = "keys/metrics.token", "https://hub.example"
    client = own_console.client()
    assert client.get("/metrics").status_code == 403, "behind a proxy everybody seems to be this machine"
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer let-me-in"}).status_code == 200


@pytest.mark.parametrize("broken", ["keys", "migrations", "database"])
def test_a_node_that_is_not_ready_says_which_part_and_no_more(own_console: Console, broken: str) -> None:
    client = own_console.client()
    assert (client.get("/readyz").status_code, client.get("/healthz").status_code) == (200, 200)
    if broken == "keys":
        (own_console.node.keys / "sign.cert.pem").unlink()
    elif broken == "database":
        file = own_console.node.folder / "hub.db"
        for path in (file, file.with_name("hub.db-wal"), file.with_name("hub.db-shm")):
            path.unlink(missing_ok=True)
    else:
        with own_console.store.begin() as tx:
            tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0007'")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, f"{broken}\n")
    assert client.get("/healthz").status_code == 200


def test_a_database_that_is_gone_takes_no_more_writes_and_is_found_again_when_it_is_back(own_console: Console) -> None:
    """An open connection would go on writing into a file that nobody can open again."""
    client, file = own_console.as_("业务员"), own_console.node.folder / "hub.db"
    moved = [p for p in (file, file.with_name("hub.db-wal"), file.with_name("hub.db-shm")) if p.is_file()]
    for path in moved:
        path.rename(path.with_name(path.name + ".away"))
    answer = client.get("/")
    assert (answer.status_code, "数据库文件不存在" in answer.text, file.exists()) == (500, True, False)
    for path in moved:
        path.with_name(path.name + ".away").rename(path)
    assert (client.get("/").status_code, client.get("/readyz").status_code) == (200, 200)
