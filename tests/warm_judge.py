"""The second judge's child without its start: forked from one process that has loaded the libraries already.

Decides nothing about judging: the child runs `quality.judge.main` as the product's own does, over the same two pipes.
A test run starts hundreds of judges, and loading Great Expectations costs each of them seconds. The judge's own tests
(`tests/quality_suites`) start it as the product does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import quality.judge
from hub.catalog import load_catalog

ROOT = Path(__file__).parents[1]


class Forked:
    """What `quality.judge` asks of a `subprocess.Popen`, of a child that is not ours to wait for."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.stdin, self.stdout = stdin, stdout
        try:
            self._pidfd: int | None = os.pidfd_open(pid)
        except ProcessLookupError:  # it ended before we looked
            self._pidfd = None

    def poll(self) -> int | None:
        return 0 if self._ended(0) else None

    def kill(self) -> None:
        if self._pidfd is not None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired("judge", timeout or 0)
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        return 0

    def communicate(self, timeout: float | None = None) -> tuple[bytes, None]:
        self.stdin.close()
        said = []
        while True:
            if not select.select([self.stdout], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("judge", timeout or 0)
            block = os.read(self.stdout.fileno(), 1 << 20)
            if not block:
                break
            said.append(block)
        self.wait(timeout)
        return b"".join(said), None

    def _ended(self, timeout: float | None) -> bool:
        return self._pidfd is None or bool(select.select([self._pidfd], [], [], timeout)[0])


class Warm:
    """Stands where `quality.judge` looks for `subprocess`; the loaded process starts with the first child."""

    PIPE, DEVNULL, TimeoutExpired = subprocess.PIPE, subprocess.DEVNULL, subprocess.TimeoutExpired

    def __init__(self) -> None:
        self._line: socket.socket | None = None
        self._loaded: subprocess.Popen[bytes] | None = None

    def Popen(self, command: Sequence[str], **_: Any) -> Forked:  # noqa: N802 - the name it stands for
        line = self._line or self._start()
        to_child, ours_in = os.pipe()
        ours_out, from_child = os.pipe()
        arguments = list(command[command.index("quality.judge") + 1 :])
        socket.send_fds(line, [json.dumps(arguments).encode()], [to_child, from_child])
        os.close(to_child)
        os.close(from_child)
        pid = int(line.recv(64))
        return Forked(pid, os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb"))

    def stop(self) -> None:
        if self._line is not None and self._loaded is not None:
            self._line.close()
            self._loaded.wait()

    def _start(self) -> socket.socket:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._loaded = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_judge", str(theirs.fileno())],
            cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
        )  # fmt: skip
        theirs.close()
        return self._line


def serve(line: socket.socket) -> None:
    """Forks a judge per message (its arguments, with both ends of its pipes) until the other side hangs up."""
    quality.judge._warm_up(load_catalog())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, pipes, _, _ = socket.recv_fds(line, 4096, 2)
        if not message:
            return
        pid = os.fork()
        if not pid:
            _judge(json.loads(message), *pipes)
        line.send(str(pid).encode())
        for end in pipes:
            os.close(end)


def _judge(arguments: Sequence[str], reads: int, writes: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(reads, 0)
    os.dup2(writes, 1)
    os.close(reads)
    os.close(writes)
    os._exit(quality.judge.main(arguments))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
