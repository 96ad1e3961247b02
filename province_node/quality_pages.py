"""A run's quality pages (Data Docs): static HTML in the node's `quality/`, made of counts and record numbers alone.

Decides how a run's validation results look; what stands in them is `quality.validation`. Great Expectations' own Data
Docs print the values that failed, so they are not used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2

from hub.catalog import Catalog
from hub.settings import Node

RESULTS = "quality.json"
DIMENSIONS = {
    "完整性": "完整率",
    "有效性": "有效率",
    "唯一性": "唯一率",
    "一致性": "一致率",
    "关联性": "关联率",
    "及时性": "及时率",
}
_STYLE = (
    "body{font-family:'Noto Sans CJK SC','Microsoft YaHei',sans-serif;margin:2rem;color:#222}table{border-collapse:"
    "collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left;vertical-align:top}"
    "th{background:#f3f5f7}.n{text-align:right}.错误{color:#a40000}.警告{color:#8a5a00}code{font-size:.85em}"
)
_PAGE = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><title>{{ title }}</title><style>{{ style|safe }}</style></head><body>
<h1>{{ title }}</h1>{% block body %}{% endblock %}</body></html>
"""
_INDEX = """{% extends "page" %}{% block body %}
<p>每轮的数据质量结果。只有条数与记录号，没有个人数据。</p>
<table><tr><th>轮次</th><th>日期</th><th>隔离与挂起</th><th>警告</th><th>提示</th></tr>
{% for r in runs %}
<tr><td><a href="{{ r.file }}">{{ r.run }}</a></td><td>{{ r.today }}</td>
<td class="n">{{ r.refused }}</td><td class="n">{{ r.warned }}</td><td class="n">{{ r.noted }}</td></tr>
{% endfor %}</table>{% endblock %}
"""
_RUN = """{% extends "page" %}{% block body %}
<p>数据日期 {{ doc.today }}。记录号是随机的代号；“提取号:行号”指来源文件的一行。每条规则至多列 {{ samples }} 个，
全部命中用 <code>hub findings export</code> 导出。<a href="index.html">全部轮次</a></p>
<h2>质量率</h2><table><tr><th>指标</th><th>合格</th><th>应有</th><th>比率</th></tr>
{% for d, (good, total) in doc.rates.items() %}
<tr><td>{{ names[d] }}</td><td class="n">{{ good }}</td><td class="n">{{ total }}</td>
<td class="n">{{ '%.2f%%' % (100 * good / total) }}</td></tr>
{% endfor %}</table>
<h2>规则</h2><table><tr><th>规则</th><th>名称</th><th>维度</th><th>级别</th><th>实体</th><th>字段</th><th>状态</th>
<th>未关闭</th><th>本轮新增</th><th>本轮关闭</th><th>记录号</th></tr>
{% for r in rules %}{% for h in r.hits %}
<tr><td>{{ r.rule }}</td><td>{{ r.name }}</td><td>{{ r.dimension }}</td>
<td class="{{ h.severity }}">{{ h.severity or r.severity }}</td>
<td>{{ cn.get(h.entity, h.entity) }}</td><td>{{ h.field }}</td><td>{{ h.state }}</td>
<td class="n">{{ h.open }}</td><td class="n">{{ h.opened }}</td><td class="n">{{ h.closed }}</td>
<td><code>{{ h.records|join(' ') }}</code></td></tr>
{% else %}
<tr><td>{{ r.rule }}</td><td>{{ r.name }}</td><td>{{ r.dimension }}</td><td>{{ r.severity }}</td>
<td colspan="7">{{ '没有命中' if r.enabled else '本节点未启用' }}</td></tr>
{% endfor %}{% endfor %}</table>
<h2>第二道复核（Great Expectations）</h2>
{% if doc.judge %}<p>复核 {{ doc.judge['rows'].values()|sum }} 行、{{ doc.judge.checks }} 项检查。</p>
<table><tr><th>实体</th><th>规则</th><th>字段</th><th>级别</th><th>检查</th><th>不合格</th><th>记录号</th></tr>
{% for o in doc.judge.failed %}
<tr><td>{{ cn.get(o.entity, o.entity) }}</td><td>{{ o.rule }}</td><td>{{ o.field }}</td>
<td class="{{ o.severity }}">{{ o.severity }}</td><td class="n">{{ o.checked }}</td><td class="n">{{ o.failed }}</td>
<td><code>{{ o.records|join(' ') }}</code></td></tr>
{% endfor %}</table>
{% else %}<p>本轮没有运行，或没有给出结论。</p>{% endif %}
{% endblock %}
"""


def keep_results(folder: Path, results: dict[str, Any]) -> None:
    """Puts a run's validation results beside its change files."""
    (folder / RESULTS).write_text(json.dumps(results, ensure_ascii=False), encoding="utf-8")


def write_pages(node: Node, catalog: Catalog) -> list[Path]:
    """The page of every run whose results are kept and that has none yet, and the index; returns the new pages."""
    found = sorted(node.changes.glob(f"*/{RESULTS}"))
    pages = _templates()
    node.quality_docs.mkdir(parents=True, exist_ok=True)
    runs, made = [], []
    for file in found:
        doc = json.loads(file.read_bytes())
        page = node.quality_docs / f"run-{doc['run']:06d}.html"
        if not page.is_file():
            _write(page, _run_page(pages, doc, catalog))
            made.append(page)
        runs.append(_summary(doc, page.name))
    title = f"{node.settings.name}　数据质量"
    _write(
        node.quality_docs / "index.html", pages.get_template("index").render(title=title, style=_STYLE, runs=runs[::-1])
    )
    return made


def _templates() -> jinja2.Environment:
    loader = jinja2.DictLoader({"page": _PAGE, "index": _INDEX, "run": _RUN})
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


def _run_page(pages: jinja2.Environment, doc: dict[str, Any], catalog: Catalog) -> str:
    known = {r["rule"] for r in doc["rules"]}
    rules = [{**r, "hits": [h for h in doc["hits"] if h["rule"] == r["rule"]]} for r in doc["rules"]]
    for rule in dict.fromkeys(h["rule"] for h in doc["hits"] if h["rule"] not in known):
        hits = [h for h in doc["hits"] if h["rule"] == rule]
        rules.append({"rule": "", "name": rule, "dimension": "", "severity": "", "enabled": True, "hits": hits})
    names = {e.name: e.cn for e in catalog.entities.values()} | {"run": "本轮"}
    return pages.get_template("run").render(
        title=f"第 {doc['run']} 轮数据质量", style=_STYLE, doc=doc, rules=rules, cn=names, names=DIMENSIONS, samples=10
    )


def _summary(doc: dict[str, Any], file: str) -> dict[str, Any]:
    refused = sum(h["open"] for h in doc["hits"] if h["state"] != "提示")
    noted = {
        s: sum(h["open"] for h in doc["hits"] if h["state"] == "提示" and h["severity"] == s) for s in ("警告", "提示")
    }
    return {
        "file": file, "run": doc["run"], "today": doc["today"], "refused": refused, "warned": noted["警告"],
        "noted": noted["提示"],
    }  # fmt: skip


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
