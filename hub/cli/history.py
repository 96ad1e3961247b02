"""`hub records show`: what was held of a record or a school at any date, live tables and archive together.

Decides the words and masks; which versions answer is decided by `hub.archive.asof`. The command joins the group of
`hub.cli.records`; the entry point names this module, which brings all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from hub.archive.asof import CALENDAR, PLACE, Answer, Question, ask, numbers_of, parse_moment, school_code
from hub.audit import Event
from hub.catalog import Entity
from hub.cli import differences as _differences  # noqa: F401 - the group is whole by its being imported
from hub.cli.naming import checked_number, unknown_record
from hub.cli.output import Progress, emit, table
from hub.cli.records import app, entity_of, scope
from hub.cli.release import Release, release_of
from hub.cli.shell import Shell, shell_of
from hub.errors import UsageError
from hub.masking import KEY_JOIN, mask_row
from hub.recordnumber import record_number
from hub.settings import Node
from hub.store import Reader
from hub.store.history_tables import ENDED, HELD_FROM, HELD_TO

ENDINGS: Final = {"U": "被新版本取代", "D": "记录删除", "R": "全量快照或普查修复"}
_ALWAYS: Final = "起记之前"
Row = dict[str, Any]


@dataclass(frozen=True)
class Named:
    """How the records were named: by number, by natural key or by school; one of them is given."""

    record: str | None
    key: str | None
    school: str | None


@dataclass(frozen=True)
class Asked:
    """What was asked; `at` as `Question` takes it: None asks for every version."""

    entity: Entity
    province: str | None
    named: Named
    at: str | None
    limit: int


@app.command("show")
def show(
    ctx: typer.Context,
    entity: Annotated[str, typer.Argument(metavar="实体", help="实体名，例如 xs；见 hub schema show")],
    record: Annotated[
        str | None, typer.Argument(metavar="记录号", help="20 位记录号；用 --key 或 --school 时不写")
    ] = None,
    key: Annotated[bool, typer.Option("--key", help="从标准输入读自然键（多段用 | 连接）")] = False,
    school: Annotated[str | None, typer.Option("--school", metavar="代码", help="一所学校的全部记录")] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="日期", help="当日终了（北京时间）时的内容，例如 2024-09-01；可写到时分秒"),
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="全部历次版本，新的在前")] = False,
    province: Annotated[str | None, typer.Option("--province", metavar="代码", help="哪个省的记录（仅部级）")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="最多列出多少条")] = 50,
    plain: Annotated[bool, typer.Option("--plain", help="明文（须同时给出 --purpose，并记入审计）")] = False,
    purpose: Annotated[str | None, typer.Option("--purpose", metavar="用途", help="查看明文的用途")] = None,
) -> None:
    """一条记录或一所学校在某一天的内容，或一条记录的历次版本：正式库、历史表与归档合在一起查。

    “某一天的内容”指当时本节点持有的版本。不写 --as-of 就是现在。
    """
    shell = shell_of(ctx)
    node, release = shell.open_node(), release_of(plain, purpose)
    if [record is not None, key, school is not None].count(True) != 1:
        raise UsageError("E1030", "请给出记录号，或用 --key 从标准输入给出自然键，或用 --school", step="三者取一")
    if history and (as_of is not None or school is not None):
        raise UsageError("E1046", "--history 列出一条记录的全部版本，不与 --as-of、--school 同用", step="去掉其一")
    at = None if history else parse_moment(as_of or shell.now().isoformat())
    named = Named(record, sys.stdin.readline().strip() if key else None, school)
    asked = Asked(entity_of(ctx, entity), scope(node, province), named, at, limit)
    store = shell.open_store(node)
    with store.reading() as reader, Progress() as progress:
        progress.step("查询", asked.entity.cn)
        question, answer = _found(reader, node, asked)
    if release.plain:
        target = f"{asked.entity.name} {question.school or ' '.join(question.pks)}"
        release.record(store, Event.PLAINTEXT_VIEWED, shell, node, target=target[:200], rows=answer.rows.num_rows)
    _answer(shell, node, question, answer, release)


def _found(reader: Reader, node: Node, asked: Asked) -> tuple[Question, Answer]:
    """The question as the archive takes it, and its answer; `UsageError` E1027 for a record there never was."""
    named, school = asked.named, None
    pks: tuple[str, ...] = ()
    if named.school is not None:
        school = school_code(asked.entity, named.school)
    elif named.key is not None:
        pks = _keyed(reader, node, asked.entity, asked.province, named.key)
    else:
        pks = (checked_number(str(named.record)),)
    question = Question(asked.entity, asked.province, pks=pks, school=school, at=asked.at, limit=asked.limit)
    answer = ask(reader, node.archive, question, memory=_memory(node), memory_mb=node.settings.memory_mb)
    if not answer.total and pks and not _ever(reader, node, question):
        raise unknown_record()
    return question, answer


def _memory(node: Node) -> Path:
    """Where it is kept which archive files were verified as they stand."""
    return node.work / "archive-seen.json"


def _keyed(reader: Reader, node: Node, entity: Entity, one: str | None, given: str) -> tuple[str, ...]:
    """Record numbers that have or once had a natural key."""
    parts = given.split(KEY_JOIN)
    if len(parts) != len(entity.key) or not all(parts):
        raise UsageError("E1033", "标准输入中的自然键段数不对", step=f"按 {'|'.join(entity.key)} 给出一行")
    found = numbers_of(reader, node.archive, entity, one, tuple(parts), memory=_memory(node))
    if not found and node.settings.role == "province":
        found = (record_number(node.secret(), entity.name, parts),)
    if not found:
        raise unknown_record()
    return found


def _ever(reader: Reader, node: Node, question: Question) -> bool:
    """Whether the records were held at any time."""
    always = Question(question.entity, question.node, pks=question.pks)
    return ask(reader, node.archive, always, memory=_memory(node)).total > 0


def _answer(shell: Shell, node: Node, question: Question, answer: Answer, release: Release) -> None:
    rows = [_shown(question.entity, row, release) for row in answer.rows.to_pylist()]
    document = {
        "node": node.party,
        "entity": question.entity.name,
        "name": question.entity.cn,
        "province": question.node,
        "school": question.school,
        "records": list(question.pks),
        "as_of": question.at,
        "total": answer.total,
        "archive_files": answer.files,
        "rows": rows,
    }
    emit(shell, document, lambda c: _tell(c, question, answer, rows))


def _shown(entity: Entity, row: Row, release: Release) -> Row:
    known = row if release.plain else mask_row(entity, row)
    return {k: str(v) if v is not None and not isinstance(v, str | int) else v for k, v in known.items()}


def _tell(console: Console, question: Question, answer: Answer, rows: Sequence[Row]) -> None:
    at, entity = _local(question.at), question.entity
    if not rows:
        console.print(f"{at} 时本节点没有持有符合条件的{entity.cn}记录。")
    elif question.school is not None:
        _tell_school(console, entity, rows)
        console.print(f"{at} 时学校 {question.school} 的{entity.cn}共 {answer.total:,} 条，列出 {len(rows):,} 条。")
    elif question.at is None:
        _tell_history(console, entity, rows)
    else:
        for row in rows:
            _tell_record(console, entity, row, at)
    if answer.files:
        console.print(f"查了正式库、历史表与 {answer.files} 个归档文件。")


def _tell_record(console: Console, entity: Entity, row: Row, at: str) -> None:
    console.print(f"{entity.cn}　记录号 {row['pk']}　省 {row['node']}　{at} 时的版本 {row['row_ver']}（{row[PLACE]}）")
    console.print(f"持有自 {_local(row[HELD_FROM])}　至 {_until(row)}")
    prov = row["prov"] or ""
    cells = [
        [f.name, f.cn, row[f.name], prov[at : at + 1]] for at, f in enumerate(entity.fields) if row[f.name] is not None
    ]
    console.print(table("", ["字段", "名称", "值", "来源"], cells))


def _tell_school(console: Console, entity: Entity, rows: Sequence[Row]) -> None:
    keys = [k for k in entity.key if k in entity.by_name]
    heads = ["省", "记录号", *(entity[k].cn for k in keys), "版本", "持有自", "在"]
    cells = [[r["node"], r["pk"], *(r[k] for k in keys), r["row_ver"], _local(r[HELD_FROM]), r[PLACE]] for r in rows]
    console.print(table("", heads, cells))


def _tell_history(console: Console, entity: Entity, rows: Sequence[Row]) -> None:
    cells = []
    for row, older in zip(rows, [*rows[1:], None], strict=True):
        same = older is not None and older["pk"] == row["pk"]
        changed = [f.cn for f in entity.fields if same and older is not None and row[f.name] != older[f.name]]
        cells.append([row["node"], row["row_ver"], _local(row[HELD_FROM]), _until(row), row[PLACE], "、".join(changed)])
    console.print(table("", ["省", "版本", "持有自", "至", "在", "与前一版本不同的字段"], cells))


def _until(row: Row) -> str:
    if row[HELD_TO] is None:
        return "今"
    return f"{_local(row[HELD_TO])}（{ENDINGS.get(row[ENDED], row[ENDED])}）"


def _local(moment: str | None) -> str:
    if moment is None:
        return _ALWAYS
    return datetime.fromisoformat(moment).astimezone(CALENDAR).strftime("%Y-%m-%d %H:%M:%S")
