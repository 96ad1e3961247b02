"""The data dictionary: a static site in Chinese, derived from the catalogue and from nothing else.

Decides the pages and what stands on them; a definition that is not in `schemas/` cannot appear here. Equal definitions
give equal bytes. No scripts, nothing from another address: it opens from a memory stick.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from hub.catalog import Catalog, CodeTable, Entity, Field, Rule, SourceTable
from hub.masking import is_masked, mask_value

REQUIRED = {"M": "必填", "C": "条件必填", "O": "选填"}
SENSITIVITY = {"P0": "P0 公开", "P1": "P1 内部", "P2": "P2 个人", "P3": "P3 敏感"}
ABSENCE = {"delete": "行消失即删除（受删除刹车约束）"}
_MASK_SAMPLES = {
    "id": "130102200801017164",
    "phone": "13912340512",
    "card": "6222020200112233445",
    "student_number": "G130102200801017164",
}
_NAV = (("index", "实体"), ("codes", "代码表"), ("rules", "质量规则"), ("sources", "数据源"), ("templates", "模板"))
Cell = str


def write_dictionary(catalog: Catalog, folder: Path) -> list[str]:
    """Writes the site into `folder`; returns the names of its pages."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = dict(_pages(catalog))
    for name, body in pages.items():
        (folder / name).write_text(body, encoding="utf-8")
    (folder / "style.css").write_text(
        files("hub.cli").joinpath("dictionary.css").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return list(pages)


def _pages(catalog: Catalog) -> Iterable[tuple[str, str]]:
    yield "index.html", _index(catalog)
    for entity in catalog.entities.values():
        yield f"entity-{entity.name}.html", _entity(catalog, entity)
    yield "codes.html", _code_index(catalog)
    for table in catalog.codes.tables.values():
        yield f"code-{table.name}.html", _code(catalog, table)
    yield "code-divisions.html", _divisions(catalog)
    yield "code-majors.html", _majors(catalog)
    yield "rules.html", _rules(catalog)
    yield "sources.html", _sources(catalog)
    yield "templates.html", _templates(catalog)


def kind_words(field: Field) -> str:
    """`C(19)`, `N(12,2)`, `T`"""
    if field.length is None:
        return field.type
    return f"{field.type}({field.length},{field.scale})" if field.scale else f"{field.type}({field.length})"


def _page(title: str, here: str, *parts: str) -> str:
    links = [f'<a href="{name}.html"{" aria-current=page" if name == here else ""}>{words}</a>' for name, words in _NAV]
    return (
        '<!doctype html>\n<html lang="zh-CN">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}　数据字典</title><link rel="stylesheet" href="style.css"></head>\n'
        f"<body>\n<header><strong>数据字典</strong><nav>{' '.join(links)}</nav></header>\n"
        f"<main>\n<h1>{escape(title)}</h1>\n{chr(10).join(p for p in parts if p)}\n</main>\n</body>\n</html>\n"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    top = "".join(f"<th>{escape(h)}</th>" for h in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _link(page: str, words: str) -> Cell:
    return f'<a href="{escape(page)}">{escape(words)}</a>'


def _index(catalog: Catalog) -> str:
    rows = [
        [_link(f"entity-{e.name}.html", e.name), escape(e.cn), escape("、".join(e.key)), str(len(e.fields)),
         escape(t.name if (t := catalog.platform_table(e.name)) else "学校补录")]
        for e in catalog.entities.values()
    ]  # fmt: skip
    total = sum(len(e.fields) for e in catalog.entities.values())
    rules, edition = len(catalog.rules), catalog.registry.version
    note = f"<p>{len(rows)} 个实体，{total} 个字段，{rules} 条规则，登记表第 {edition} 版。</p>"
    return _page("实体", "index", note, _table(["实体", "名称", "自然键", "字段数", "平台来源"], rows))


def _entity(catalog: Catalog, entity: Entity) -> str:
    rows = [_field(catalog, entity, f) for f in entity.fields]
    heads = ["字段", "名称", "类型", "必填", "取值", "权威源", "敏感级", "标准元素", "说明"]
    rules = [r for r in catalog.rules.values() if entity.name in r.scope or "*" in r.scope]
    lines = [
        [_link(f"rules.html#{r.id}", r.id), escape(r.name), escape(r.severity), escape(r.condition)] for r in rules
    ]
    parents = "、".join(
        f"{_link(f'entity-{p.entity}.html', catalog.entities[p.entity].cn)}"
        f"（{escape('，'.join(f'{own} → {theirs}' for own, theirs in p.by))}）"
        for p in entity.parents
    )
    return _page(
        f"{entity.cn}（{entity.name}）",
        "index",
        f"<p>自然键：{escape('、'.join(entity.key))}</p>",
        f"<p>主记录：{parents}</p>" if parents else "",
        _table(heads, rows),
        "<h2>适用规则</h2>",
        _table(["规则", "名称", "严重程度", "条件"], lines),
    )


def _field(catalog: Catalog, entity: Entity, field: Field) -> list[Cell]:
    owner = catalog.registry.owners[entity.name, field.name]
    authority = "、".join(owner.order) + ("（学校可补录）" if owner.fill and "L" not in owner.order else "")
    return [
        f'<span id="{field.name}">{field.name}</span>',
        escape(field.cn),
        kind_words(field),
        REQUIRED[field.required],
        _values(catalog, field),
        escape(authority),
        escape(SENSITIVITY[field.sensitivity]) + _mask(field),
        escape(field.element or ""),
        escape(field.note),
    ]


def _values(catalog: Catalog, field: Field) -> Cell:
    of = (field.ref or "").split(".")[0].split("/")[0]
    if of in catalog.entities:
        return _link(f"entity-{of}.html", catalog.entities[of].cn)
    if field.code and field.code in catalog.codes.tables:
        return _link(f"code-{field.code}.html", catalog.codes.tables[field.code].cn)
    if field.kind.startswith("division"):
        return _link("code-divisions.html", "行政区划")
    if field.kind.startswith("major"):
        return _link("code-majors.html", "专业目录")
    return escape(field.code or "")


def _mask(field: Field) -> Cell:
    if not is_masked(field):
        return ""
    return f"<br><code>{escape(str(mask_value(field, _MASK_SAMPLES.get(field.mask or '', '任意文字'))))}</code>"


def _code_index(catalog: Catalog) -> str:
    used: dict[str, list[str]] = {}
    for entity in catalog.entities.values():
        for field in entity.fields:
            if field.code:
                used.setdefault(field.code, []).append(f"{entity.name}.{field.name}")
    rows = [
        [_link(f"code-{t.name}.html", t.name), escape(t.cn), str(len(t.codes)),
         escape("、".join(used.get(t.name, [])))]
        for t in catalog.codes.tables.values()
    ]  # fmt: skip
    codes = catalog.codes
    rows.append([_link("code-divisions.html", "GB/T 2260"), "行政区划", str(len(codes.divisions)), ""])
    rows.append([_link("code-majors.html", "专业目录"), "专业目录（2010、2021）", str(len(codes.majors)), ""])
    return _page("代码表", "codes", _table(["代码表", "名称", "项数", "用于"], rows))


def _code(catalog: Catalog, table: CodeTable) -> str:
    labels: dict[str, list[str]] = {}
    for label, code in catalog.codes.labels.get(table.name, {}).items():
        labels.setdefault(code, []).append(label)
    rows = [[escape(c), escape(n), escape("、".join(labels.get(c, [])))] for c, n in table.codes.items()]
    note = (
        "<p>未取得全国字典：由各站点加载自己的字典（site_dictionaries.csv）；未加载时按原文保存。</p>"
        if table.open
        else ""
    )
    return _page(f"{table.cn}（{table.name}）", "codes", note, _table(["代码", "名称", "可识别的写法"], rows))


def _divisions(catalog: Catalog) -> str:
    codes = catalog.codes
    rows = [
        [c, escape(codes.division_names.get(c, "")), "在用" if c in codes.divisions_current else "历史"]
        for c in sorted(codes.divisions)
    ]
    return _page("行政区划（GB/T 2260）", "codes", _table(["代码", "名称", "状态"], rows))


def _majors(catalog: Catalog) -> str:
    codes = catalog.codes
    rows = [
        [edition, escape(code), escape(name), escape(codes.major_map.get(code, "") if edition == "2010" else "")]
        for (edition, code), name in sorted(codes.majors.items())
    ]
    return _page("专业目录", "codes", _table(["版本", "代码", "名称", "对应 2021 版代码"], rows))


def _rules(catalog: Catalog) -> str:
    rows = [
        [f'<span id="{r.id}">{r.id}</span>', escape(r.dimension), escape(r.name), _scope(catalog, r.scope),
         escape(r.level), escape(r.severity), "是" if r.blocks else "否", escape(r.condition), escape(r.message),
         escape(_thresholds(r))]
        for r in catalog.rules.values()
    ]  # fmt: skip
    note = (
        "<p>错误：隔离该记录；警告：入库并列入清单；提示：只计数。"
        "阈值为随软件安装的值，省级可在 hub.toml 的 [rules.规则号] 中改动。</p>"
    )
    heads = ["规则", "维度", "名称", "范围", "层级", "严重程度", "阻断", "条件", "提示语", "阈值"]
    return _page("质量规则", "rules", note, _table(heads, rows))


def _thresholds(rule: Rule) -> str:
    """`grades = 2；years = 1、2、3`"""
    return "；".join(
        f"{name} = {'、'.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in rule.thresholds.items()
    )


def _scope(catalog: Catalog, scope: Sequence[str]) -> Cell:
    return "、".join(
        _link(f"entity-{s}.html", catalog.entities[s].cn)
        if s in catalog.entities
        else escape("全部" if s == "*" else s)
        for s in scope
    )


def _sources(catalog: Catalog) -> str:
    parts = []
    for system in catalog.systems.values():
        title = f"{system.system}　{system.cn}（版式第 {system.version} 版，来源字母 {system.letter}）"
        parts.append(f"<h2>{escape(title)}</h2>")
        parts += [_source_table(catalog, t) for t in system.tables]
    return _page("数据源", "sources", *parts)


def _source_table(catalog: Catalog, table: SourceTable) -> str:
    entity = catalog.entities.get(table.entity or "")
    feeds = _link(f"entity-{entity.name}.html", entity.cn) if entity else escape(table.purpose or "")
    about = (
        f"主键 {'、'.join(table.key)}；更新时间列 {table.updated or '无'}；{ABSENCE.get(table.absence, table.absence)}"
    )
    rows = []
    for column in table.columns:
        size = f"{column.type}({column.length})" if column.length else column.type
        target = (
            _link(f"entity-{entity.name}.html#{column.name}", column.name)
            if entity and column.name in entity.by_name
            else ""
        )
        compared = f"只与 {escape(column.compare)} 比对" if column.compare else ""
        rows.append([column.name, escape(column.cn), size, escape(column.form), target or compared])
    head = f"<h3>{escape(table.name)}　{escape(table.cn)}</h3><p>{feeds}　{escape(about)}</p>"
    return head + _table(["列", "名称", "类型", "写法", "进入字段"], rows)


def _templates(catalog: Catalog) -> str:
    parts = []
    for template in catalog.templates.values():
        rows = []
        for column in template.columns:
            target = ""
            if column.parts:
                entity, _member, field, _lookup = column.parts
                target = _link(f"entity-{entity}.html#{field}", str(column.target))
            rows.append([escape(column.header), REQUIRED.get(column.required, column.required), target or "不采用"])
        found_by = escape("、".join(template.match))
        head = f"<h2>{escape(template.cn)}（{escape(template.name)}）</h2><p>识别列：{found_by}</p>"
        parts.append(head + _table(["表头", "必填", "进入字段"], rows))
    return _page("模板", "templates", *parts)
