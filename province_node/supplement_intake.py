"""Importing a supplement (补录导入): one xlsx file becomes rows of the waiting area, none of which is effective yet.

Decides which rows wait for review and which are wrong; that a file comes once; and that nothing of a file is taken when
no row of it can stand. One transaction with its audit record; before it commits nothing happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from connectors.templates import all_templates
from connectors.xlsx import TemplateRead, path_shown, read_template
from connectors.xlsx_rows import Reject
from hub.audit import Event, append
from hub.catalog import Catalog, Template
from hub.errors import InputError
from hub.store import Reader, Store
from province_node.ledger import moment
from province_node.local import content_digest, identified, identity_labels
from province_node.supplement_judge import by_row, judge_rows, judging
from province_node.supplement_known import MISSING_FIRST, Known, fill_words, keys_in, known_of, out_of_order, said_twice
from province_node.supplement_store import Line, State, StoredFile, add_file, file_of, files, lines

FILE_NAME = 255


@dataclass(frozen=True)
class Imported:
    """What an import brought: counts, and the distinct reasons of wrong rows with how often each was given."""

    file: int
    template: str
    school: str
    waiting: int
    wrong: int
    notes: tuple[str, ...]
    reasons: Mapping[str, int]


def import_file(
    store: Store, catalog: Catalog, path: Path, *, node: str, operator: str, at: datetime, today: str,
    school: str | None = None, corrects: int | None = None, admit: Callable[[Template, str], None] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Imported:  # fmt: skip
    """Takes one file into the waiting area.

    `school`: its code where the file name lacks it; `corrects`: the file whose wrong rows this one brings back, so that
    untouched masked cells keep their values; `admit`: raises when this template of this school is not the operator's to
    bring; `progress` hears each step. Raises `InputError` for a file that is none of ours, that came before
    (E3711) or of which no row can stand (E3712).
    """
    tell = progress or _silent
    tell("读取文件")
    seal = content_digest(path) if path.is_file() else ""
    with store.reading() as reader:
        read = _read(reader, catalog, path, school, corrects)
        if admit is not None:
            admit(all_templates(catalog)[read.template], read.school)
        tell(f"逐行校验（{len(read.lines):,} 行）")
        _refuse_twin(path, files(reader, school=read.school), seal)
        wrong = _wrong_rows(known_of(reader, catalog, node, read.school), catalog, read, today)
    reasons = by_row([*read.rejects, *wrong])
    some = [
        Line(o.row, o.cells, State.WRONG if o.row in reasons else State.WAITING, reasons.get(o.row, ()))
        for o in read.lines
    ]
    _refuse_hopeless(path, some, wrong)
    values = {
        "file_name": path_shown(path)[:FILE_NAME], "sha256": seal, "school": read.school, "template": read.template,
        "operator": operator, "imported_at": moment(at), "rows_total": len(some), "rows_wrong": len(reasons),
        "corrects": corrects, "note": "\n".join(read.notes),
    }  # fmt: skip
    tell("写入待复核区")
    number = _store(store, values, some, node, at)
    return Imported(
        number, read.template, read.school, len(some) - len(reasons), len(reasons), read.notes,
        _counted([r for rs in reasons.values() for r in rs]),
    )  # fmt: skip


def _read(reader: Reader, catalog: Catalog, path: Path, school: str | None, corrects: int | None) -> TemplateRead:
    """The file's rows; one that corrects another has its school, and its values under masks left untouched."""
    earlier: dict[int, Mapping[str, str]] = {}
    if corrects is not None:
        school = school or file_of(reader, corrects).school
        earlier = {line.row: line.cells for line in lines(reader, corrects)}
    return read_template(path, catalog, school=school, earlier=earlier)


def _silent(_step: str) -> None:
    """Nobody listens."""


def _store(store: Store, values: Mapping[str, Any], some: list[Line], node: str, at: datetime) -> int:
    """File, rows and audit record in one transaction; the file's number."""
    with store.begin() as tx:
        number = add_file(tx, values, some)
        detail: dict[str, str | int] = {
            "rows": len(some),
            "wrong": int(values["rows_wrong"]),
            "sha256": str(values["sha256"]),
            "template": str(values["template"]),
        }
        append(
            tx.connection, Event.SUPPLEMENT_IMPORTED, ts=at, node=node, actor=str(values["operator"]),
            object=f"supplement {number}", detail=detail,
        )  # fmt: skip
    return number


def _refuse_twin(path: Path, stored: list[StoredFile], seal: str) -> None:
    """The same content, some of whose rows wait or stand, is not taken twice."""
    live = (State.WAITING, State.APPROVED)
    twin = next((f for f in stored if f.sha256 == seal and any(f.states.get(s) for s in live)), None)
    if twin is not None:
        raise InputError(
            "E3711",
            f"内容相同的文件已导入，是第 {twin.number} 号",
            where=f"文件 {path_shown(path)}",
            step=f"用 hub supplement ls 查看第 {twin.number} 号的复核情况，不必重复导入",
        )


def _wrong_rows(known: Known, catalog: Catalog, read: TemplateRead, today: str) -> list[Reject]:
    """What the rows that could be read break: rules, red cells, words, each other, order."""
    template = all_templates(catalog)[read.template]
    rows = identified(read.rows, read.school, identity_labels(catalog))
    with judging(catalog, today) as con:
        fill_words(con, known)
        found = judge_rows(con, catalog, template, rows, known.founded)
    keys = keys_in(catalog, template, rows)
    twice = said_twice(catalog, keys, {line.row: line.cells for line in read.lines})
    return [*found, *twice, *out_of_order(known, template, keys)]


def _refuse_hopeless(path: Path, some: list[Line], wrong: list[Reject]) -> None:
    """A file of which no row can stand for want of what must be loaded first is not stored at all."""
    if not some:
        raise InputError(
            "E3713", "文件中没有数据", where=f"文件 {path_shown(path)}", step="在 sheet1 表头下填写数据后重新导入"
        )
    order = {r.row: r.reason for r in wrong if r.code == MISSING_FIRST}
    if len(order) == len(some):
        said = "；".join(dict.fromkeys(order.values()))
        raise InputError(
            "E3712",
            f"全部 {len(some)} 行都缺前置数据：{said}",
            where=f"文件 {path_shown(path)}",
            step="按 学校与专业 → 班级 → 教职工/学生基本信息 → 学生基本属性 → 学籍信息 → 奖助信息 的顺序导入",
        )


def _counted(rejects: list[Reject]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reject in rejects:
        said = f"{reject.column}：{reject.reason}" if reject.column else reject.reason
        counts[said] = counts.get(said, 0) + 1
    return dict(sorted(counts.items(), key=lambda c: (-c[1], c[0])))
