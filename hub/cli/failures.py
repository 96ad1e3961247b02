"""How a command fails: one sentence a person can act on, an error document for a program, an exit code.

Decides the wording of wrong usage, and that no value of a record is printed: of an unexpected exception only its type
and place are shown, with `--debug` the frames, never its text (house rule 13).
"""

from __future__ import annotations

import json
import re
import sys
import traceback

from hub.errors import HubError, UsageError

SCHEMA_VERSION = 1
INTERRUPTED = 130


class InterruptedByUserError(HubError):
    """Ctrl-C (exit code 130)."""

    exit_code = INTERRUPTED


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Tells the person (stderr) and, with `--json`, the program (stdout); returns the exit code."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return UsageError.exit_code  # the help page stands on the screen already
    known = as_hub_error(error)
    print(known.sentence(), file=sys.stderr)  # noqa: T201
    if debug:
        print("\n".join(frames(error)), file=sys.stderr)  # noqa: T201
    if as_json:
        print(json.dumps(document(known), ensure_ascii=False))  # noqa: T201
    return known.exit_code


def document(error: HubError) -> dict[str, object]:
    """The error as a JSON document."""
    body = {
        "code": error.code,
        "what": error.what,
        "where": error.where,
        "step": error.step,
        "retryable": error.retryable,
    }
    return {"schema_version": SCHEMA_VERSION, "error": body}


def as_hub_error(error: BaseException) -> HubError:
    """Every failure as an error of the world with code and next step."""
    if isinstance(error, HubError):
        return error
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return InterruptedByUserError("E1012", "已中断", step="重新运行同一命令即可继续")
    if type(error).__module__.startswith(("typer", "click")):
        return _usage(error)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "，".join(f"{_module(f.filename)} 第 {f.lineno} 行" for f in last)
    return HubError(
        "E1000",
        f"程序内部错误（{type(error).__name__}）",
        where=place,
        step="加 --debug 重新运行，把输出交给维护人员",
    )


def frames(error: BaseException) -> list[str]:
    """Frames and types of an exception and its causes, without any text of theirs: it may quote a row."""
    lines: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        lines.append(f"{type(seen).__module__}.{type(seen).__qualname__}")
        for frame in traceback.extract_tb(seen.__traceback__):
            lines.append(f"  {_module(frame.filename)}:{frame.lineno} {frame.name}")
        seen = seen.__cause__ or seen.__context__
    return lines


def _module(file: str) -> str:
    return "/".join(file.split("/")[-3:])


def _usage(error: BaseException) -> UsageError:
    """Wrong usage in Chinese. The value typed is not repeated: it may be an identifier."""
    message = str(getattr(error, "message", "") or "")
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "hub")
    kind = type(error).__name__
    parameter = _parameter(error)
    step = f"用 {command} --help 查看用法"
    if kind == "NoSuchOption":
        close = "、".join(getattr(error, "possibilities", None) or ())
        what = f"没有选项 {getattr(error, 'option_name', '')}" + (f"，是否想用 {close}" if close else "")
        return UsageError("E1013", what, where=command, step=step)
    if kind == "MissingParameter":
        return UsageError("E1014", f"缺少参数 {parameter}", where=command, step=step)
    if kind == "BadParameter":
        return UsageError("E1015", f"参数 {parameter} 的取值不合要求", where=command, step=step)
    if found := re.match(r"No such command '([a-z][a-z0-9_-]{0,30})'", message):
        return UsageError("E1016", f"没有命令 {found[1]}", where=command, step=step)
    if message.startswith("Missing command"):
        return UsageError("E1017", "缺少子命令", where=command, step=step)
    return UsageError("E1018", "命令用法不对（参数多余、缺失或顺序不对）", where=command, step=step)


def _parameter(error: BaseException) -> str:
    parameter = getattr(error, "param", None)
    if parameter is None:
        return str(getattr(error, "param_hint", "") or "")
    options = [o for o in getattr(parameter, "opts", ()) if o.startswith("-")]
    return options[0] if options else str(getattr(parameter, "metavar", None) or parameter.name).upper()
