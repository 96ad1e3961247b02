"""Help pages in Chinese. Decides the words typer itself would say in English; the rest is written by the commands."""

from __future__ import annotations

from typing import Any

_TITLES = {
    "ARGUMENTS_PANEL_TITLE": "参数",
    "OPTIONS_PANEL_TITLE": "选项",
    "COMMANDS_PANEL_TITLE": "命令",
    "ERRORS_PANEL_TITLE": "错误",
    "DEPRECATED_STRING": "（已不用）",
    "DEFAULT_STRING": "[默认：{}]",
    "ENVVAR_STRING": "[环境变量：{}]",
    "REQUIRED_LONG_STRING": "[必填]",
}


def speak_chinese(command: Any, epilog: str) -> Any:
    """The command and all below it, with Chinese titles and `epilog` under every help page."""
    plain_help, plain_usage, plain_option = command.format_help, command.get_usage, command.get_help_option

    def format_help(ctx: Any, formatter: Any) -> None:
        _retitle()
        plain_help(ctx, formatter)

    def get_usage(ctx: Any) -> str:
        words = str(plain_usage(ctx)).replace("Usage:", "用法：")
        return words.replace("[OPTIONS]", "[选项]").replace("COMMAND [ARGS]...", "命令 [参数]...")

    def get_help_option(ctx: Any) -> Any:
        option = plain_option(ctx)
        if option is not None:
            option.help = "显示本说明"
        return option

    command.format_help, command.get_usage, command.get_help_option = format_help, get_usage, get_help_option
    command.epilog = command.epilog or epilog
    for name, below in list(getattr(command, "commands", {}).items()):
        command.commands[name] = speak_chinese(below, epilog)
    return command


def _retitle() -> None:
    """The titles are constants of typer's rich module, which only help pages need."""
    import typer.rich_utils

    for name, title in _TITLES.items():
        setattr(typer.rich_utils, name, title)
