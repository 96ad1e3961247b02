"""`make serve`: both nodes' consoles and Dagster on loopback, over a small lab (`python -m pipelines.lab.serve`).

Decides what is built when it is missing (sample, lab, one round, accounts, work in the queues) and which processes run.
Dagster is reached through the consoles only: two webservers under `/dagster`, one of them read-only, share one pair of
code servers.

    .serve/sources  .serve/lab      sample of 20,000 students, province and ministry
    .serve/dagster                  the Dagster instance and its processes' logs
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType

import typer

from connectors.sample.run import TODAY, generate
from hub.errors import HubError
from hub.settings import Node
from pipelines.lab.accounts import demo_accounts, told
from pipelines.lab.disputes import dispute
from pipelines.lab.round import run_lab
from pipelines.lab.serving import (
    HOST,
    Child,
    answers,
    listens,
    not_up,
    require_alive,
    require_free,
    start,
    stop,
    wait_until,
)
from pipelines.lab.setup import Lab, init_lab, open_lab
from pipelines.lab.work import play_work
from province_node.changeset import counted

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "deploy" / "dagster"
PORT = 8013
STUDENTS = 20_000
# Students per school whose school says otherwise than the platform.
DISPUTED = 60
START_SECONDS = 180.0
PREFIX = "/dagster"
LOCATIONS = ("province", "ministry")
CONTACT = "演示系统管理员，0311-0000 0000"
QUERY = """{ workspaceOrError { ... on Workspace {
  locationEntries { name loadStatus locationOrLoadError { __typename } } } } }"""


@dataclass(frozen=True)
class Ports:
    """Where everything listens, counted from the first."""

    first: int

    @property
    def province(self) -> int:
        return self.first

    @property
    def ministry(self) -> int:
        return self.first + 1

    @property
    def dagster(self) -> int:
        return self.first + 2

    @property
    def readonly(self) -> int:
        return self.first + 3

    def code(self, location: str) -> int:
        """The code server of a location."""
        return self.first + 4 + LOCATIONS.index(location)

    def all(self) -> range:
        return range(self.first, self.first + 6)


def build(folder: Path) -> Lab:
    """The lab of `folder`, made where it is missing and brought through its first round. Raises as the steps do."""
    sources, lab = folder / "sources", folder / "lab"
    if not sources.is_dir():
        typer.echo(f"生成样例数据源：河北省 {STUDENTS:,} 名学生 …")
        part = folder / "sources.part"
        shutil.rmtree(part, ignore_errors=True)
        generate(part, province="13", students=STUDENTS, seed=1)
        dispute(part, "13", schools=3, students=DISPUTED)
        part.rename(sources)
    if not (lab / "ministry").is_dir():
        typer.echo("建立成对的省级、部级节点 …")
        init_lab(lab, sources=sources, province="13", at=datetime.now(UTC), rng=os.urandom)
    made = open_lab(lab)
    if not counted(made.province):
        typer.echo("运行第一轮：读取、定值、入库、封装、送出、接收、回执 …")
        run_lab(lab, today=TODAY.isoformat(), at=datetime.now(UTC), rng=os.urandom)
    return made


@contextmanager
def running(folder: Path, lab: Lab, ports: Ports) -> Iterator[list[Child]]:
    """Code servers, webservers, daemon and consoles; leaving ends all with what they started."""
    home = (folder / "dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(DEPLOYED / "dagster.yaml", home / "dagster.yaml")
    workspace = home / "workspace.yaml"
    workspace.write_text(_workspace(ports), encoding="utf-8")
    environment = _environment(home, lab, ports)
    children: list[Child] = []

    def run(name: str, *module: str) -> None:
        command = [sys.executable, "-m", *module]
        children.append(start(name, command, cwd=ROOT, environment=environment, log=home / f"{name}.log"))

    web = ["dagster_webserver", "-h", HOST, "-w", str(workspace), "--path-prefix", PREFIX]
    try:
        for node, port in ((lab.province, ports.province), (lab.ministry, ports.ministry)):
            run(f"console-{node.party}", "hub.cli", "--node", str(node.folder), "web", "--port", str(port))
        for name in LOCATIONS:
            port = ports.code(name)
            run(
                f"code-{name}",
                "dagster",
                "api",
                "grpc",
                "-h",
                HOST,
                "-p",
                str(port),
                "-m",
                f"pipelines.{name}.definitions",
            )
            # One after the other: two that meet an empty instance would both create its tables.
            wait_until(children, lambda at=port: listens(at), seconds=START_SECONDS, what=f"代码位置 {name} ")  # type: ignore[misc]
        run("daemon", "dagster._daemon", "run", "-w", str(workspace))
        run("webserver-readonly", *web, "-p", str(ports.readonly), "--read-only")
        run("webserver", *web, "-p", str(ports.dagster))
        yield children
    finally:
        stop(children)


def _environment(home: Path, lab: Lab, ports: Ports) -> dict[str, str]:
    web = {
        "contact": CONTACT,
        "dagster": f"http://{HOST}:{ports.dagster}",
        "dagster_readonly": f"http://{HOST}:{ports.readonly}",
    }
    return os.environ | {
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "HUB_PROVINCE_NODE": str(lab.province.folder.resolve()),
        "HUB_MINISTRY_NODE": str(lab.ministry.folder.resolve()),
        "HUB_WEB": json.dumps(web),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUTF8": "1",
    }


def _workspace(ports: Ports) -> str:
    entries = "".join(
        f"  - grpc_server: {{host: {HOST}, port: {ports.code(name)}, location_name: {name}}}\n" for name in LOCATIONS
    )
    return f"load_from:\n{entries}"


def wait_until_served(children: Sequence[Child], ports: Ports) -> None:
    """Returns when both consoles and both Dagster pages answer. `HubError` E1051 when that does not come."""
    for name, port in (("省级控制台", ports.province), ("部级控制台", ports.ministry)):
        wait_until(children, lambda at=port: answers(at, "/readyz"), seconds=START_SECONDS, what=name)  # type: ignore[misc]
    for port in (ports.dagster, ports.readonly):
        wait_until(children, lambda at=port: _loaded(children, at), seconds=START_SECONDS, what="Dagster ")  # type: ignore[misc]


def _loaded(children: Sequence[Child], port: int) -> bool:
    found = locations(port)
    if failed := [name for name, kind in found.items() if kind == "PythonError"]:
        raise not_up(f"代码位置装载失败：{'、'.join(failed)}", children[-1].log)
    return set(LOCATIONS) <= {name for name, kind in found.items() if kind == "RepositoryLocation"}


def locations(port: int) -> dict[str, str]:
    """What the code locations are by name: `RepositoryLocation` or `PythonError`; empty while nothing answers."""
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        body = json.dumps({"query": QUERY})
        connection.request("POST", f"{PREFIX}/graphql", body, {"Content-Type": "application/json"})
        workspace = json.loads(connection.getresponse().read())["data"]["workspaceOrError"]
    except (OSError, HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    entries = workspace.get("locationEntries", [])
    return {
        e["name"]: e["locationOrLoadError"]["__typename"]
        for e in entries
        if e["loadStatus"] == "LOADED" and e["locationOrLoadError"]
    }


def _tell(lab: Lab, folder: Path, ports: Ports) -> None:
    nodes: tuple[tuple[Node, int], ...] = ((lab.province, ports.province), (lab.ministry, ports.ministry))
    for node, port in nodes:
        accounts = demo_accounts(node, at=datetime.now(UTC), rng=os.urandom)
        typer.echo(f"\n✔ {node.settings.name}控制台　http://{HOST}:{port}　（只在本机可访问）")
        typer.echo(told(node.folder, accounts))
    typer.echo(f"""
✔ 调度（Dagster）在控制台的【调度】中：engineer 可操作，audit 只读；不经登录不可达
✔ 守护进程：每日定时一轮、每 15 分钟交换一次；部级收件箱每 30 秒查看一次
! 以上账号与口令仅供演示。命令行：hub --node {lab.province.folder} sync status
日志在 {folder / "dagster"}；按 Ctrl-C 停止。""")


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """Runs until Ctrl-C or TERM (exit 0), or until a child ends by itself (exit 1)."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.lab.serve", description="在本机运行两级控制台与 Dagster")
    parser.add_argument("--folder", type=Path, default=Path(".serve"), help="工作目录，默认 .serve")
    parser.add_argument("--port", type=int, default=PORT, help=f"省级控制台端口，默认 {PORT}；其后 5 个端口也会使用")
    asked = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # explicitly: a background job starts with SIGINT ignored
        signal.signal(number, _interrupted)
    ports = Ports(asked.port)
    try:
        for port in ports.all():
            require_free(port)
        asked.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lab = build(asked.folder)
        for node in (lab.province, lab.ministry):
            demo_accounts(node, at=datetime.now(UTC), rng=os.urandom)
        play_work(lab.province, at=datetime.now(UTC), say=typer.echo)
        typer.echo("启动控制台与 Dagster …")
        with running(asked.folder, lab, ports) as children:
            wait_until_served(children, ports)
            _tell(lab, asked.folder, ports)
            while True:
                require_alive(children)
                time.sleep(1.0)
    except HubError as error:
        typer.echo(f"✘ {error.sentence()}", err=True)
        return 1
    except KeyboardInterrupt:
        typer.echo("已停止。")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
