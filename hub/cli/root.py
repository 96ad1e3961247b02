"""The root command `hub`: global options and the registry of commands.

Decides what may stand anywhere on the line (`--node`, `--json`, …), which commands exist, and that only the chosen one
is imported. Every room brings its commands by an entry point of the group `hub.commands`: `name = module:typer app`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from hub.cli.chinese import speak_chinese
from hub.cli.shell import Shell, set_up_logging
from hub.errors import HubError, UsageError

GROUP = "hub.commands"
DISTRIBUTION = "vocational-education-hub"
# What `hub --help` says of each command without importing it, in the order shown.
SUMMARIES = {
    "init": "建立一个节点（部级或一个省）的目录",
    "db": "数据库：结构版本、建表与升级",
    "lab": "一机试验：建立并运行成对的省级、部级节点",
    "sample": "生成样例数据源（人员均为虚构）",
    "sync": "省级：从数据源同步、定值、封装并送出（plan、run、status、retry、template）",
    "supplement": "学校补录：模板、导入、复核、错误行",
    "source": "数据源：接入自建系统、测试、对照标准检查",
    "transit": "在途、驳回与挂起的数据：列表、导出、核对着落",
    "intake": "部级：接收、验证、入库并签发回执",
    "case": "跨省核查：一人在两省同时在读的发现、下发、催办、裁定、关闭",
    "registry": "权威源登记：发布、查看、比较、试算、启用",
    "suspects": "疑似同一人的学生：线索列表与导出（不自动合并）",
    "crosswalk": "学校新旧标识码：核对报告",
    "records": "正式库记录：计数、摘要、导出、任一日期的内容与历次版本、与补录的差异",
    "archive": "历史版本归档：运行、列表、校验、恢复",
    "quarantine": "隔离数据：查看与导出",
    "findings": "规则命中：警告、提示与隔离的计数与导出",
    "quality": "数据质量：试跑规则、质量率、每轮结果页",
    "conflict": "数据冲突：查看、处理、复核、批量、导出与导入",
    "correction": "更正请求：按源头平台列出与导出",
    "operator": "经办人：登记、停用、列表、口令",
    "web": "网页控制台：启动本节点的页面",
    "lineage": "溯源：一个值从哪里来、随哪一批到达",
    "batch": "交换批次：列表、详情、验证",
    "epoch": "期次授权：提出、两人先后签名、发布",
    "head": "数据流位置声明：签发、各省静默告警",
    "census": "普查：两级逐桶对账与修复",
    "verify": "离线验证所存批次：不需要数据库",
    "fsck": "由台账和所存批次重新推算状态，指出第一处不同",
    "recovery": "灾备声明：提出、两人先后签名、发布",
    "audit": "审计日志：列表、校验链",
    "key": "密钥与信任清单：生成、装入、轮换；公布、吊销、离线签名、导入",
    "ca": "试验用 CA：建立、签发、吊销列表（生产用教育 CA）",
    "transfer": "部级：建立与检查交换服务器，签发登录证书",
    "schema": "数据定义：数据字典网站、终端查看",
    "doctor": "自检：环境、数据库、密钥、传输、磁盘",
}
_FLAGS = frozenset({"--json", "--non-interactive", "--debug"})
_VALUED = frozenset({"--node", "--log-format"})
_SHARED = "通用选项（可写在任何位置）：--node 目录、--json、--log-format text|json、--non-interactive、--debug"


def hoisted(argv: Sequence[str]) -> list[str]:
    """The same arguments with the global options first, so that they may be written anywhere before `--`."""
    front: list[str] = []
    rest: list[str] = []
    given = iter(argv)
    for word in given:
        name, equals, _value = word.partition("=")
        if word == "--":
            rest += [word, *given]
        elif word in _FLAGS or (name in _VALUED and equals):
            front.append(word)
        elif word in _VALUED:
            front += [word, *(v for v in [next(given, None)] if v is not None)]
        else:
            rest.append(word)
    return [*dict.fromkeys(f for f in front if f in _FLAGS), *(f for f in front if f not in _FLAGS), *rest]


class Root(TyperGroup):
    """Finds commands in the registry; in its own help it shows their summaries only."""

    _only_summaries = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Known commands in the order of `SUMMARIES`, others after them."""
        del ctx
        found = _registered()
        return [*(n for n in SUMMARIES if n in found), *sorted(n for n in found if n not in SUMMARIES)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, imported now; None when there is none of that name."""
        entry = _registered().get(cmd_name)
        if entry is None:
            return None
        if self._only_summaries:
            return TyperCommand(cmd_name, help=SUMMARIES.get(cmd_name, ""))
        command = _load(cmd_name, entry)
        _pass_json_on(ctx, cmd_name, command)
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Help without importing a single command."""
        self._only_summaries = True
        super().format_help(ctx, formatter)


app = typer.Typer(cls=Root, add_completion=False, no_args_is_help=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hub {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def _global(
    ctx: typer.Context,
    node: Annotated[
        Path | None, typer.Option("--node", metavar="目录", envvar="HUB_NODE", help="节点目录（含 hub.toml）")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="标准输出只写一个 JSON 文档")] = False,
    log_format: Annotated[str, typer.Option("--log-format", metavar="text|json", help="标准错误上日志的格式")] = "text",
    non_interactive: Annotated[bool, typer.Option("--non-interactive", help="从不提问；缺少回答时以 2 退出")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="出错时列出调用位置（不含数据内容）")] = False,
    show_version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="显示版本")] = False,
) -> None:
    """全国中等职业学校数据同步与交换中枢。

    退出码：0 完成；1 意外错误；2 用法或设置有误；3 完成但有隔离、拒收或新冲突；4 验证失败；10 未初始化；11 被占用；
    12 密钥或认证；20 对方不可达；130 中断。
    """
    del show_version
    if log_format not in ("text", "json"):
        raise UsageError("E1019", "--log-format 只能是 text 或 json", step="改正后重试")
    set_up_logging(log_format)
    ctx.obj = Shell(folder=node, json=as_json, interactive=not non_interactive, debug=debug)


def root_command() -> Any:
    """The root as a command object."""
    return speak_chinese(typer.main.get_command(app), "")


def _registered() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(name: str, entry: EntryPoint) -> Any:
    try:
        found = entry.load()
    except ModuleNotFoundError as error:
        if error.name is None or not entry.module.startswith(error.name):
            raise
        raise HubError("E1020", f"本机没有安装命令 {name} 所属的部分", step="按安装说明装全后重试") from error
    single = found
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(name)(found)
    command = typer.main.get_command(single)
    command.name = name
    return speak_chinese(command, _SHARED)


def _pass_json_on(ctx: Any, name: str, command: Any) -> None:
    """A command with a `--json` of its own gets the global one too."""
    shell = ctx.obj
    if isinstance(shell, Shell) and shell.json and any(p.name == "as_json" for p in command.params):
        ctx.default_map = {**(ctx.default_map or {}), name: {"as_json": True}}
