"""补录导入: templates to download, one file uploaded and checked beside the pages (console 3).

Decides who may bring which template: one with private fields is for a 隐私数据管理员 (console 1), and a school outside
the visitor's scope for nobody. What a row needs is decided by `supplement_intake`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from starlette.responses import Response

from connectors.templates import IDENTITY_LOOKUP, all_templates
from connectors.xlsx import MAX_ROWS
from hub.catalog import Catalog, Template
from hub.errors import HubError, InputError
from hub.masking import swept
from hub.roles import Scope
from hub.web import Ask, Section, not_here
from hub.web.filters import today
from hub.web.work import Plan, Telling, start
from province_node.supplement_export import write_empty
from province_node.supplement_intake import Imported, import_file
from province_node.supplement_list import in_scope
from province_node.web.downloads import xlsx
from province_node.web.uploads import drop, keep

section: Final = Section("supplement-import", "province_node.web", nodes=("province",))
ONLY_XLSX: Final = f"只能上传xlsx文件，且最多{MAX_ROWS}行"
# The order in which what depends on another is loaded (seed: 先基本信息、再基本属性、最后学籍信息).
ORDER: Final = ("xx", "xq", "jg", "zy", "bj", "jzg", "jzg_gz", "xs", "xs_sx", "xs_xj", "xs_jz")
AGAIN: Final = "导入要么整份写入，要么不写：「补录文件」列表中没有这一份的，请重新上传"
_STEPS: Final = {
    "E3711": "在「补录文件」列表中查看那一份，不必重复导入",
    "E3712": "按上面列出的顺序，先导入前置的模板",
}


@section.get("/supplements/new", allow="query", manual="supplements")
def form(ask: Ask) -> Response:
    """Templates in the order to load them, and the upload."""
    return _form(ask)


def _form(ask: Ask, *, error: HubError | None = None, status: int = 200) -> Response:
    templates = all_templates(ask.site.catalog)
    ordered = [templates[n] for n in ORDER if n in templates]
    ordered += [t for t in templates.values() if t.name not in ORDER]
    private = {t.name: private_fields(ask.site.catalog, t) for t in ordered}
    return ask.page(
        "supplements/new.html", status=status, templates=ordered, private=private, only=ONLY_XLSX, error=error,
        school=ask.form.get("school", ask.query("school")), corrects=ask.form.get("corrects", ask.query("corrects")),
    )  # fmt: skip


@section.get("/supplements/templates/{name}", allow="query")
def template(ask: Ask) -> Response:
    """An empty template: red columns are required, 填写说明 and code tables beside."""
    name = str(ask.path["name"]).removesuffix(".xlsx")
    found = all_templates(ask.site.catalog).get(name)
    if found is None:
        raise not_here("没有这个模板")
    return xlsx(ask, f"{found.cn}.xlsx", lambda path: write_empty(ask.site.catalog, name, path))


@section.post("/supplements/import", allow="xlsx")
def take(ask: Ask) -> Response:
    """Takes the upload and checks it beside the pages; leads to the progress, then to the file."""
    upload, school, corrects = ask.files.get("file"), ask.form.get("school", "").strip(), ask.form.get("corrects", "")
    try:
        if upload is None or not str(upload.filename).lower().endswith(".xlsx"):
            raise InputError("E3725", ONLY_XLSX, step="选择一个 .xlsx 文件；旧的 .xls 请用 Excel 或 WPS 另存为 .xlsx")
        if school and not re.fullmatch(r"\d{10}", school):
            raise InputError("E3725", "学校标识码须为 10 位数字", step="改正学校标识码，或让文件名以它结尾并留空")
    except InputError as error:
        return _form(ask, error=error, status=422)
    path = keep(ask, upload)
    number = int(corrects) if corrects.isdigit() and len(corrects) < 10 else None
    plan = Plan(
        f"补录导入：{swept(path.name)}", lambda telling: _import(ask, telling, path, school or None, number).file,
        "/supplements/new", AGAIN, lambda file: f"/supplements/{file}?done=导入",
    )  # fmt: skip
    return start(ask, lambda _token: plan)


def _import(ask: Ask, telling: Telling, path: Path, school: str | None, corrects: int | None) -> Imported:
    may_private = ask.visitor.may("private_edit")
    scopes = ask.scopes("xlsx")
    try:
        return import_file(
            ask.site.store, ask.site.catalog, path, node=ask.site.party, operator=ask.operator.person, at=ask.at,
            today=today(ask.at), school=school, corrects=corrects, progress=telling.tell,
            admit=lambda template, code: _admit(ask, scopes, may_private, template, code),
        )  # fmt: skip
    except HubError as error:
        if error.code in _STEPS:
            raise InputError(error.code, error.what, where=error.where, step=_STEPS[error.code]) from error
        raise
    finally:
        drop(path)


def _admit(ask: Ask, scopes: tuple[Scope, ...], may_private: bool, template: Template, school: str) -> None:
    with ask.site.store.reading() as reader:
        if not in_scope(reader, ask.site.party, scopes, school):
            raise InputError("E3726", "这所学校不在您的数据范围内", step="核对学校标识码；需要时由负责该校的人导入")
    fields = private_fields(ask.site.catalog, template)
    if fields and not may_private:
        raise InputError(
            "E3727",
            f"模板「{template.cn}」含隐私字段（{'、'.join(fields)}），须由隐私数据管理员导入",
            step="请有隐私数据管理员角色的业务人员导入",
        )


def private_fields(catalog: Catalog, template: Template) -> tuple[str, ...]:
    """Headers under which private values are entered; one that only says which person a row is about is none."""
    found = []
    for column in template.columns:
        if column.parts is None or column.parts[3] == IDENTITY_LOOKUP:
            continue
        entity = catalog.entities.get(column.parts[0])
        field = entity.by_name.get(column.parts[2]) if entity else None
        if field is not None and field.private:
            found.append(column.header)
    return tuple(found)
