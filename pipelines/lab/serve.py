"""`make serve`: Dagster for both nodes on loopback, over a small laboratory (`python -m pipelines.lab.serve`).

Decides what is built when it is missing (sample, lab, one round) and which processes run; they are ended as groups, so
that nothing outlives this one. The hub's own web console is not part of it yet.

    .serve/sources  .serve/lab      sample of 5,000 students, province and ministry
    .serve/dagster                  the Dagster instance and its processes' logs
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType

import typer

from connectors.sample.run import TODAY, generate
from hub.errors import HubError, UsageError
from pipelines.lab.round import run_lab
from pipelines.lab.setup import Lab, init_lab, open_lab
from province_node.changeset import counted

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "deploy" / "dagster"
HOST, PORT = "127.0.0.1", 3000
STUDENTS = 5_000
START_SECONDS = 120.0
STOP_SECONDS = 20.0
LOCATIONS = ("province", "ministry")
QUERY = """{ workspaceOrError { ... on Workspace {
  locationEntries { name loadStatus locationOrLoadError { __typename } } } } }"""


@dataclass(frozen=True)
class Child:
    """A process of ours, leader of its own group; `log` holds what it prints."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def build(folder: Path) -> Lab:
    """The lab of `folder`, made where it is missing and brought through its first round. Raises as the steps do."""
    sources, lab = folder / "sources", folder / "lab"
    if not sources.is_dir():
        typer.echo(f"生成样例数据源：河北省 {STUDENTS:,} 名学生 …")
        part = folder / "sources.part"
        shutil.rmtree(part, ignore_errors=True)
        generate(part, province="13", students=STUDENTS, seed=1)
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
def running(folder: Path, lab: Lab, port: int) -> Iterator[list[Child]]:
    """Webserver and daemon; leaving ends both with all that they started."""
    home = folder / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(DEPLOYED / "dagster.yaml", home / "dagster.yaml")
    environment = os.environ | {
        "DAGSTER_HOME": str(home.resolve()),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "HUB_PROVINCE_NODE": str(lab.province.folder.resolve()),
        "HUB_MINISTRY_NODE": str(lab.ministry.folder.resolve()),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUTF8": "1",
    }
    workspace = ["-w", str(DEPLOYED / "workspace.yaml")]
    commands = {
        "webserver": ["dagster_webserver", "-h", HOST, "-p", str(port), *workspace],
        "daemon": ["dagster._daemon", "run", *workspace],
    }
    children: list[Child] = []
    try:
        for name, module in commands.items():
            children.append(_start(name, [sys.executable, "-m", *module], environment, home / f"{name}.log"))
        yield children
    finally:
        stop(children)


def _start(name: str, command: Sequence[str], environment: dict[str, str], log: Path) -> Child:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
    return Child(name, process, log)


def stop(children: Sequence[Child]) -> None:
    """Asks every child to end, waits, then ends what is left of its group; a second Ctrl-C does not interrupt."""
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)  # code servers and runs are of the group
        child.process.wait()
    for number, handler in former.items():
        signal.signal(number, handler)


def wait_until_served(children: Sequence[Child], port: int) -> None:
    """Returns when the page answers with both code locations loaded. `HubError` E1051 when that does not come."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        _require_alive(children)
        loaded = locations(port)
        if set(LOCATIONS) <= {name for name, kind in loaded.items() if kind == "RepositoryLocation"}:
            return
        if failed := [name for name, kind in loaded.items() if kind == "PythonError"]:
            raise _not_up(f"代码位置装载失败：{'、'.join(failed)}", children[0].log)
        time.sleep(0.5)
    raise _not_up(f"{START_SECONDS:.0f} 秒内没有就绪", children[0].log)


def locations(port: int) -> dict[str, str]:
    """What the code locations are by name: `RepositoryLocation` or `PythonError`; empty while nothing answers."""
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("POST", "/graphql", json.dumps({"query": QUERY}), {"Content-Type": "application/json"})
        workspace = json.loads(connection.getresponse().read())["data"]["workspaceOrError"]
    except (OSError, HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    entries = workspace.get("locationEntries", [])
    return {e["name"]: e["locationOrLoadError"]["__typename"] for e in entries if e["loadStatus"] == "LOADED"}


def _require_alive(children: Sequence[Child]) -> None:
    for child in children:
        if child.process.poll() is not None:
            raise _not_up(f"{child.name} 进程已退出（{child.process.returncode}）", child.log)


def _not_up(what: str, log: Path) -> HubError:
    return HubError("E1051", f"Dagster 没有运行起来：{what}", where=log.name, step=f"查看日志 {log}，排除后重新运行")


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise UsageError(
                "E1052", "端口已被占用", where=f"{HOST}:{port}", step="停掉占用它的程序，或用 --port 换一个端口"
            ) from None


def _tell(folder: Path, lab: Lab, port: int) -> None:
    typer.echo(f"""
✔ Dagster 页面　　　http://{HOST}:{port}　（只在本机可访问，遥测已关闭）
✔ 代码位置 province　{lab.province.settings.name}（{lab.province.party}）　{folder / "lab" / "province"}
✔ 代码位置 ministry　{lab.ministry.settings.name}（{lab.ministry.party}）　{folder / "lab" / "ministry"}
✔ 守护进程　　　　　每日定时一轮、每 15 分钟交换一次；部级收件箱每 30 秒查看一次
! 枢纽自己的网页控制台还没有：它属于后续工作，这里只有 Dagster 的页面。现在请用命令行查看：
  hub --node {folder / "lab" / "province"} sync status　hub --node {folder / "lab" / "ministry"} batch ls
日志在 {folder / "dagster"}；按 Ctrl-C 停止。""")  # fmt: skip


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """Runs until Ctrl-C or TERM (exit 0), or until a child ends by itself (exit 1)."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.lab.serve", description="在本机为两级节点运行 Dagster")
    parser.add_argument("--folder", type=Path, default=Path(".serve"), help="工作目录，默认 .serve")
    parser.add_argument("--port", type=int, default=PORT, help=f"页面端口，默认 {PORT}")
    asked = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # explicitly: a background job starts with SIGINT ignored
        signal.signal(number, _interrupted)
    try:
        _require_free(asked.port)
        asked.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lab = build(asked.folder)
        with running(asked.folder, lab, asked.port) as children:
            wait_until_served(children, asked.port)
            _tell(asked.folder, lab, asked.port)
            while True:
                _require_alive(children)
                time.sleep(1.0)
    except HubError as error:
        typer.echo(f"✘ {error.sentence()}", err=True)
        return 1
    except KeyboardInterrupt:
        typer.echo("已停止。")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
