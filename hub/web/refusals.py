"""What the console refuses, with the status a browser gets and a sentence a person understands (console 2).

Decides codes and statuses of the shell's own refusals; a `HubError` of another room is shown with its own sentence, and
with its attribute `status` where it has one.
"""

from __future__ import annotations

from hub.errors import HubError, InputError, LockedError, PeerUnreachableError, UsageError


class PageRefusedError(HubError):
    """A request that is not served; nothing was changed. `status`: 403, 404, 409 or 422."""

    def __init__(self, status: int, code: str, what: str, *, step: str = "") -> None:
        super().__init__(code, what, step=step)
        self.status = status


def not_here(what: str = "没有这一页，或不在您的数据范围内") -> PageRefusedError:
    """404, for ids outside the scope as for ids that do not exist."""
    return PageRefusedError(404, "E1084", what, step="核对地址，或从菜单重新进入")


def forbidden(what: str, step: str = "") -> PageRefusedError:
    """403."""
    return PageRefusedError(403, "E1083", what, step=step)


def no_role(contact: str) -> PageRefusedError:
    """The sentence of console 1. `contact`: name and telephone from the node's settings."""
    whom = f"（{contact}）" if contact else ""
    return forbidden(f"您尚未分配功能角色，请联系系统管理员{whom}。", "分配角色后重新登录")


def overtaken(what: str, step: str = "重新查看当前内容后再处理；您填写的文字已保留在页面上") -> PageRefusedError:
    """409: another was faster; `what` names who changed what and when."""
    return PageRefusedError(409, "E1085", what, step=step)


def no_token() -> PageRefusedError:
    """403: a form without its token, or from another site."""
    return PageRefusedError(403, "E1086", "这一请求不是从本系统的页面发出的，未执行", step="返回原页面刷新后重新提交")


def status_of(error: HubError) -> int:
    """The HTTP status of any error of the hub."""
    given = getattr(error, "status", None)
    if isinstance(given, int):
        return given
    if isinstance(error, UsageError | InputError):
        return 422
    return 503 if isinstance(error, LockedError | PeerUnreachableError) else 500
