"""School supplements: xlsx files by template and school, one sheet `sheet1`, cells text or a date."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from pathlib import Path

from openpyxl import Workbook

from connectors.sample.students import World

Cells = dict[str, str | date | None]
_NAMES = {"teacher_zz": "教职工补录", "student_v2017": "学生补录", "jg": "校内机构"}
# A fixed document property, so that the same arguments give the same file content.
_EPOCH = datetime(2026, 1, 1)


class Sheets:
    """Rows by (template, school code); `golden` counts rows of entities that only supplements feed."""

    def __init__(self, world: World) -> None:
        catalog = world.facts.catalog
        self._headers = {n: [c.header for c in catalog.templates[n].columns] for n in ("teacher_zz", "student_v2017")}
        self._headers["jg"] = [f.cn for f in catalog.entities["jg"].fields]
        self._rows: dict[tuple[str, str], list[Cells]] = {}
        self.golden: Counter[str] = Counter()

    @property
    def rows(self) -> Counter[str]:
        """Rows per template."""
        counted: Counter[str] = Counter()
        for (template, _), rows in self._rows.items():
            counted[template] += len(rows)
        return counted

    def add(self, template: str, school: str, cells: Cells) -> None:
        """One row by header text; a header the template lacks is our own mistake."""
        if unknown := set(cells) - set(self._headers[template]):
            raise RuntimeError(f"{template} has no headers {sorted(unknown)}")
        self._rows.setdefault((template, school), []).append(cells)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for (template, school), rows in sorted(self._rows.items()):
            book = Workbook(write_only=True)
            book.properties.created = book.properties.modified = _EPOCH
            sheet = book.create_sheet("sheet1")
            headers = self._headers[template]
            sheet.append(headers)
            for cells in rows:
                sheet.append([cells.get(h) for h in headers])
            book.save(folder / f"{_NAMES[template]}_{school}.xlsx")
