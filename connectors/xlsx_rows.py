"""The rows of a supplement's sheet: which cell says what, and which rows cannot be trusted (ruling 9).

Decides how a cell becomes text by the kind of its column, and refuses what was lost on the way into the sheet: numbers
typed as numbers, masked values, another school's code. Leaves labels, codes and validity to `quality`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from connectors.templates import DATE_KINDS, SCHOOL_FIELD, kind_of
from hub.catalog import Catalog, TemplateColumn
from hub.masking import HIDDEN, mask_value

_SERIAL = re.compile(r"\d{5}(\.\d+)?")
_LAST_SERIAL = 73_050  # the end of 2099
# What the hub adds to a file of wrong rows; coming back they are no data.
ROW_HEADER, REASON_HEADER = "原行号", "错误原因"
# What a masked value looks like: it came out of an export and is nobody's value (console §3).
MASKED = re.compile(r"\*{3,}")

Cell = tuple[int, str, str]
Line = tuple[int, list[Cell]]


@dataclass(frozen=True)
class Reject:
    """A row that cannot be taken: sheet row (from 1), column header, stable code, reason without the value."""

    row: int
    column: str
    code: str
    reason: str


@dataclass(frozen=True)
class Original:
    """A data row as typed, refused ones too: sheet row, text by header of the template, and the row it corrects."""

    row: int
    cells: dict[str, str]
    corrects: int | None = None


def shown_masked(catalog: Catalog, column: TemplateColumn, text: str) -> str:
    """A cell as it may be shown: the mask of its field; of columns that are not taken, nothing with a long number."""
    if column.parts is None:
        return HIDDEN if re.search(r"\d{7,}", text) else text
    entity, _, name, _ = column.parts
    return mask_value(catalog.entities[entity].by_name.get(name), text) or ""


class Rows:
    """Turns lines into one table; keeps rejects and counts."""

    def __init__(
        self,
        catalog: Catalog,
        columns: dict[int, TemplateColumn],
        school: str,
        epoch_1904: bool,
        row_number: int | None,
        earlier: Mapping[int, Mapping[str, str]],
    ) -> None:
        self.catalog = catalog
        self.columns = columns
        self.kinds = {at: kind_of(catalog, c) for at, c in columns.items()}
        self.school = school
        self.row_number = row_number
        self.earlier = earlier
        self.first_day = dt.date(1904, 1, 1) if epoch_1904 else dt.date(1899, 12, 30)
        self.rejects: list[Reject] = []
        self.lines: list[Original] = []
        self.counts: Counter[str] = Counter()

    def table(self, lines: Iterable[Line], targets: list[str]) -> pa.Table:
        values: dict[str, list[str | None]] = {t: [] for t in targets}
        numbers: list[int] = []
        for row, cells in lines:
            corrects = self._corrects(cells)
            typed, refused = self._typed(row, cells, self.earlier.get(corrects or 0, {}))
            taken = {c.target: typed[c.header] for c in self.columns.values() if c.target and c.header in typed}
            if typed or refused:
                self.lines.append(Original(row, typed, corrects))
            if refused:
                self.rejects += refused
            elif any(v.strip() for v in taken.values()):
                numbers.append(row)
                for target, column_values in values.items():
                    column_values.append(taken.get(target))
            else:
                self.counts["nothing_taken"] += 1
        arrays = {t: pa.array(v, pa.string()) for t, v in values.items()}
        return pa.table({**arrays, "_row": pa.array(numbers, pa.int64())})

    def _typed(self, row: int, cells: list[Cell], earlier: Mapping[str, str]) -> tuple[dict[str, str], list[Reject]]:
        """Text by header, and what is wrong with single cells. Masked cells are the earlier value or a fault."""
        typed: dict[str, str] = {}
        refused: list[Reject] = []
        for at, kind, text in cells:
            column = self.columns.get(at)
            if column is None:
                continue
            if MASKED.search(text):
                hidden = earlier.get(column.header)
                if hidden is not None and shown_masked(self.catalog, column, hidden) == text:
                    typed[column.header] = hidden
                elif column.target is not None:
                    reason = "单元格是脱敏后的内容，不能当作数据；请填写原值"
                    refused.append(Reject(row, column.header, "E2314", reason))
                continue
            typed[column.header] = self._value(at, kind, text)
            if column.target is not None:
                refused += self._faults(row, at, kind, text)
        return typed, refused

    def _corrects(self, cells: list[Cell]) -> int | None:
        text = next((t.strip() for at, _, t in cells if at == self.row_number), "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else None

    def _value(self, at: int, kind: str, text: str) -> str:
        wanted = self.kinds[at]
        if kind == "f":
            self.counts["formula"] += 1
        elif kind == "d":
            self.counts["date_cell"] += 1
            return text[: DATE_KINDS.get(wanted, 8)]
        elif kind == "n":
            self.counts["number"] += 1
            if wanted in DATE_KINDS and _SERIAL.fullmatch(text) and int(text[:5]) <= _LAST_SERIAL:
                self.counts["excel_serial"] += 1
                day = self.first_day + dt.timedelta(days=int(text[:5]))
                return day.strftime("%Y%m%d")[: DATE_KINDS[wanted]]
        return text

    def _faults(self, row: int, at: int, kind: str, text: str) -> list[Reject]:
        header = self.columns[at].header
        if kind == "n" and self.kinds[at] == "id_number":
            reason = "证件号以数字格式录入，末几位或前导零已丢失；请把该列设为文本格式后重新录入"
            return [Reject(row, header, "E2311", reason)]
        if kind == "n" and len(text.lstrip("-").partition(".")[0]) > 15:
            reason = "超过 15 位的号码以数字格式录入，末几位已丢失；请把该列设为文本格式后重新录入"
            return [Reject(row, header, "E2312", reason)]
        parts = self.columns[at].parts
        if parts is not None and parts[2] == SCHOOL_FIELD and text.strip() and text.strip() != self.school:
            return [Reject(row, header, "E2313", "学校标识码与文件所属学校不一致；请核对该行属于哪所学校")]
        return []

    def notes(self) -> list[str]:
        said = {
            "formula": "个公式单元格按公式文本读取",
            "excel_serial": "个 Excel 日期序号已转换为日期",
            "nothing_taken": "行在采用的列中没有内容，已跳过",
        }
        return [f"{self.counts[k]} {text}" for k, text in said.items() if self.counts[k]]
