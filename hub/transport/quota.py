"""Disk quota of a province's account, where the file system and the system's tools offer one (protocol 11.2).

Decides only the numbers: alarm (soft limit) at 80 %. Where there is no quota it says so in words; what then bounds an
upload is the size limit of one file in the service unit, and the alarm of `hub transfer check`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from hub.errors import HubError

_OPTIONS: Final = frozenset({"usrquota", "uquota", "quota", "usrjquota"})
_KIB_PER_GIB: Final = 1 << 20


def set_limit(user: str, path: Path, gib: int) -> str:
    """Sets the limit; one sentence about what was done. HubError E2432 when the tool refuses."""
    mount, options = _mount_of(path)
    if shutil.which("setquota") is None or not {o.partition("=")[0] for o in options} & _OPTIONS:
        return f"{user}：{mount} 没有启用磁盘配额（需 usrquota 挂载选项与 quota 软件包），未设置"
    hard = gib * _KIB_PER_GIB
    command = ["setquota", "-u", user, str(hard * 4 // 5), str(hard), "0", "0", mount]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise HubError("E2432", "setquota 失败", where=user, step=f"检查 {mount} 的配额是否已开启（quotaon）后重试")
    return f"{user}：配额 {gib} GiB，八成告警"


def _mount_of(path: Path) -> tuple[str, list[str]]:
    """Mount point and options of the file system that holds `path`."""
    best, options = "/", list[str]()
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _device, point, _kind, given, *_ = line.split()
        if path.resolve().is_relative_to(point) and len(point) >= len(best):
            best, options = point, given.split(",")
    return best, options
