"""Supplement files for the console's tests: campuses of one school, good rows and wrong ones."""

from __future__ import annotations

import io
from collections.abc import Sequence

import httpx
import openpyxl
import sqlalchemy as sa

from tests.web.consoles import Console, ended

GOOD = {
    "校区名称": "东校区", "校区地址": "建设路1号", "校区邮政编码": "050000", "校区联系电话": "0311-1234567",
    "校区负责人号": "0001", "校区面积": "1000",
}  # fmt: skip


def a_school(console: Console) -> str:
    """The first school of the store."""
    with console.store.reading() as reader:
        xx = reader.golden("xx")
        return str(reader.connection.execute(sa.select(sa.func.min(xx.c.xxdm))).scalar_one())


def campuses(client: httpx.Client, codes: Sequence[str], *, wrong: Sequence[str] = (), name: str = "xq") -> bytes:
    """The template as the console gives it, with a row per code; those in `wrong` lack what is required."""
    book = openpyxl.load_workbook(io.BytesIO(client.get(f"/supplements/templates/{name}.xlsx").content))
    sheet = book["sheet1"]
    heads = [cell.value for cell in sheet[1]]
    for code in codes:
        cells = {"校区代码": code, **({} if code in wrong else GOOD)}
        sheet.append([cells.get(str(h)) for h in heads])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def upload(console: Console, client: httpx.Client, name: str, content: bytes, **fields: str) -> httpx.Response:
    """Imports a file and follows its progress to the end: the file's page, or the progress page with the refusal."""
    answer = console.post(client, "/supplements/import", fields, files={"file": (name, content)})
    return ended(client, answer) if answer.status_code == 303 else answer
