"""`hub lineage show`: where a record, or one field of it, comes from, and by which batch it travelled.

The record is named by its record number. A natural key comes on standard input (`--key`), never as an argument, because
arguments end in shell histories and process lists.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from hub.audit import Event
from hub.catalog import Catalog, Entity
from hub.cli.naming import by_key, checked_number, owner_of
from hub.cli.output import emit, table
from hub.cli.records import entity_of
from hub.cli.release import Release, release_of
from hub.cli.shell import Shell, shell_of
from hub.cli.timeline import versions_at_ministry
from hub.errors import HubError, UsageError
from hub.evidence.kept import Kept, batches_of, kept_batches, verify_batch
from hub.keyring import Keyring, open_keyring
from hub.lineage import Row, Tracer, said_by
from hub.registry.rows import version_of
from hub.settings import Node
from hub.store import Reader, Store
from hub.words import word

app = typer.Typer(add_completion=False, no_args_is_help=True, help="溯源：一个值从哪里来、随哪一批到达。")

OPERATIONS = {"I": "新增", "U": "更新", "D": "删除"}
# What only the ministry's timeline says of a version.
AT_MINISTRY = ("file", "line", "since", "receipt", "counted")


@app.callback()
def _group() -> None:
    """溯源：一个值从哪里来、随哪一批到达。"""


@app.command("show")
def show(
    ctx: typer.Context,
    entity: Annotated[str, typer.Argument(metavar="实体", help="实体名，例如 xs")],
    record: Annotated[str | None, typer.Argument(metavar="记录号", help="20 位记录号；用 --key 时不写")] = None,
    field: Annotated[str | None, typer.Option("--field", metavar="字段", help="只看一个字段的时间线")] = None,
    key: Annotated[bool, typer.Option("--key", help="从标准输入读自然键（多段用 | 连接）")] = False,
    province: Annotated[str | None, typer.Option("--province", metavar="代码", help="哪个省的记录（仅部级）")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="明文（须同时给出 --purpose，并记入审计）")] = False,
    purpose: Annotated[str | None, typer.Option("--purpose", metavar="用途", help="查看明文的用途")] = None,
) -> None:
    """一条记录的来历：现值、各字段来源、来源行、历次变更、批次与回执。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    chosen, release = entity_of(ctx, entity), release_of(plain, purpose)
    name = _field_name(chosen, field)
    if key == (record is not None):
        raise UsageError("E1030", "请给出记录号，或用 --key 从标准输入给出自然键", step="二者取一")
    given = sys.stdin.readline().strip() if key else ""
    store = shell.open_store(node)
    with store.reading() as reader:
        pk = by_key(store, reader, node, chosen, given) if key else checked_number(str(record))
        owner = owner_of(store, reader, node, chosen, pk, province)
    if plain:
        release.record(store, Event.PLAINTEXT_VIEWED, shell, node, target=f"{chosen.name} {pk}", rows=1)
    document = story(shell, node, store, chosen, owner, pk, release)
    if name:
        document = _of_field(document, shell.catalog(), name)
    emit(shell, document, lambda c: _tell_field(c, document) if name else _tell(c, document))


def story(
    shell: Shell, node: Node, store: Store, entity: Entity, owner: str, pk: str, release: Release
) -> dict[str, Any]:
    """Everything this node knows about one record."""
    with store.reading() as reader:
        tracer = Tracer(node, shell.catalog(), reader, release.plain)
        row = tracer.record(entity, owner, pk)
        if node.settings.role == "province":
            versions = tracer.versions(entity, pk)
            batches = _batches(reader, node, versions)
            for version in versions:
                version["batch"] = _travelled(version["change_id"], batches)
        else:
            versions = versions_at_ministry(reader, store.tables, entity, owner, pk, plain=release.plain)
            named = dict.fromkeys(v["batch"] for v in versions)
            batches = [kept for batch in named for kept in kept_batches(reader, node, batch)]
        for version in versions:
            version["sources"] = tracer.sources(entity, version["src_rid"])
        keyring, trouble = _keyring(shell, node)
        latest = versions[-1]["src_rid"] if versions else (row or {}).get("src_rid")
        return {
            "node": node.party,
            "tier": node.settings.role,
            "province": owner,
            "entity": entity.name,
            "name": entity.cn,
            "record": pk,
            "current": None if row is None else {k: row[k] for k in ("row_ver", "src_rid", "prov")},
            "registry_version": version_of(reader, owner, entity.name, pk) if row else None,
            "key_changes": tracer.key_changes(entity, owner, pk),
            "deleted": tracer.tombstone(entity, owner, pk),
            "fields": tracer.fields(entity, row) if row else [],
            "sources": tracer.sources(entity, latest),
            "versions": versions,
            "batches": [_batch(kept, keyring, trouble) for kept in batches],
        }


def _batches(reader: Reader, node: Node, versions: list[Row]) -> list[Kept]:
    """The province's batches its versions travelled in."""
    ids, found = [v["change_id"] for v in versions], []
    for kept in batches_of(reader, node, ids):
        manifest = kept.manifest()
        if manifest is not None and any(manifest.watermark.lo <= i <= manifest.watermark.hi for i in ids):
            found.append(kept)
    return found


def _travelled(change_id: int, batches: list[Kept]) -> str | None:
    for kept in batches:
        manifest = kept.manifest()
        if manifest and manifest.watermark.lo <= change_id <= manifest.watermark.hi:
            return kept.batch_id
    return None


def _keyring(shell: Shell, node: Node) -> tuple[Keyring | None, str]:
    try:
        return open_keyring(node, at=shell.now()), ""
    except HubError as error:
        return None, error.sentence()


def _batch(kept: Kept, keyring: Keyring | None, trouble: str) -> Row:
    if keyring is None:
        signature = f"未验证：{trouble}"
    else:
        bad = [c for c in verify_batch(kept, keyring, files=False) if c.ok is False]
        signature = f"不成立：{bad[0].name}　{bad[0].detail}" if bad else "有效"
    return {
        "batch_id": kept.batch_id,
        "state": kept.state,
        "at": kept.moment,
        "signature": signature,
        "receipts": [{n: r[n] for n in ("receipt_no", "type", "name", "created", "digest")} for r in kept.receipts],
    }


def _field_name(entity: Entity, field: str | None) -> str | None:
    if field is None:
        return None
    if field.upper() not in entity.by_name:
        raise UsageError(
            "E1031", f"{entity.cn}没有字段 {field[:30]}", step=f"用 hub schema show {entity.name} 查看字段"
        )
    return field.upper()


def _of_field(document: dict[str, Any], catalog: Catalog, name: str) -> dict[str, Any]:
    """The story cut down to one field."""
    kept = ("node", "tier", "province", "entity", "record", "current", "deleted", "batches")
    place = catalog.entities[document["entity"]].columns.index(name)
    at = [
        {
            **{k: v.get(k) for k in ("change_set", "change_id", "op", "row_ver", "batch", *AT_MINISTRY)},
            "value": v[name],
            "letter": (v["prov"] or "")[place : place + 1],
            "source": said_by(catalog, (v["prov"] or "")[place : place + 1]),
            "sources": [
                {**{k: s[k] for k in s if k != "raw"}, "raw": _raw_of(s["raw"], document["entity"], name)}
                for s in v["sources"]
            ],
        }
        for v in document["versions"]
    ]
    now = [f for f in document["fields"] if f["field"] == name]
    sources = [s | {"raw": _raw_of(s["raw"], document["entity"], name)} for s in document["sources"]]
    return {k: document[k] for k in kept} | {
        "field": name, "now": now[0] if now else None, "timeline": at, "sources": sources,
    }  # fmt: skip


def _raw_of(raw: Row | None, entity: str, name: str) -> Any:
    """The raw value under its column's name, or under the template target that feeds the field."""
    if raw is None:
        return None
    if name in raw:
        return raw[name]
    return next((v for k, v in raw.items() if k.split("[")[0].split(".")[0] == entity and k.endswith(f".{name}")), None)


def _tell(console: Console, document: dict[str, Any]) -> None:
    console.print(
        f"{document['name']}　记录号 {document['record']}　省 {document['province']}　本节点 {document['node']}"
    )
    if document["current"]:
        version = document["registry_version"]
        console.print(
            f"现版本 {document['current']['row_ver']}　来源行 {document['current']['src_rid']}"
            f"{f'　按权威源登记第 {version} 版定值' if version else ''}"
        )
        rows = [[f["field"], f["name"], f["value"], f["letter"], f["source"]] for f in document["fields"]]
        console.print(table("现值与来源", ["字段", "名称", "值", "", "来源"], rows))
    elif document["deleted"]:
        console.print(f"已删除：版本 {document['deleted']['row_ver']}，随 {document['deleted']['batch']}")
    else:
        console.print("正式库没有这条记录。")
    for step in document["key_changes"]:
        console.print(
            f"换号　　{step['batch'] or step['change_set']}"
            f"　{step['old_key']} → {step['new_key']}（记录号不变，历史相连）"
        )
    _tell_sources(console, document["sources"])
    if document["versions"] and document["tier"] == "province":
        rows = [
            [v["change_set"], v["change_id"], OPERATIONS[v["op"]], v["row_ver"], v["src_rid"], v["batch"]]
            for v in document["versions"]
        ]
        console.print(table("历次变更", ["变更集", "变更编号", "操作", "版本", "来源行", "批次"], rows))
    elif document["versions"]:
        rows = [
            [v["since"], OPERATIONS[v["op"]] if v["counted"] else "未变", v["row_ver"], v["src_rid"],
             v["file"] or v["batch"], v["line"], v["receipt"]]
            for v in document["versions"]
        ]  # fmt: skip
        console.print(table("历次变更", ["自何时", "操作", "版本", "来源行", "批次文件", "行", "回执"], rows))
    _tell_batches(console, document)


def _tell_sources(console: Console, sources: list[Row]) -> None:
    for source in sources:
        where = f"第 {source['extract_no']} 次抽取第 {source['line']} 行"
        what = "　".join(word(str(source[k])) for k in ("system", "table", "file", "mode", "read_at") if source[k])
        console.print(f"来源行：{where}　{what or '原始抽取保存在省级节点'}")
        if isinstance(source["raw"], dict):
            console.print(table("来源原值", ["列", "值"], [[k, v] for k, v in source["raw"].items() if v is not None]))
        elif source["raw"] is not None:
            console.print(f"  来源原值：{source['raw']}")


def _tell_batches(console: Console, document: dict[str, Any]) -> None:
    for batch in document["batches"]:
        receipts = "、".join(f"{word(r['type'])} {r['created'] or ''}".strip() for r in batch["receipts"]) or "尚无"
        state = f"{word(batch['state'])}　{batch['at']}　签名{batch['signature']}"
        console.print(f"批次 {batch['batch_id']}　{state}　回执 {receipts}")


def _tell_field(console: Console, document: dict[str, Any]) -> None:
    now = document["now"]
    if now:
        console.print(
            f"{now['name']}（{document['entity']}.{now['field']}）现值 {now['value'] or '（空）'}"
            f"　来源：{now['source']}"
        )
    else:
        console.print(f"{document['entity']}.{document['field']} 现无值。")
    for step in document["timeline"]:
        console.print(
            f"● 变更集 {step['change_set']}　{OPERATIONS[step['op']]}　版本 {step['row_ver']}"
            f"　值 {step['value'] or '（空）'}　来源 {step['source'] or '（无）'}"
            f"　随批次 {step['batch'] or '（尚未封装）'}"
            f"{_at_ministry(step)}"
        )
        _tell_sources(console, step["sources"])
    if not document["timeline"]:
        _tell_sources(console, document["sources"])
    _tell_batches(console, document)


def _at_ministry(step: Row) -> str:
    """Since when, and where in the batch; empty at a province."""
    if not step["since"]:
        return ""
    where = f"　第 {step['file'][-6:-4]} 个文件第 {step['line']} 行" if step["file"] else ""
    return f"{where}　自 {step['since']}　回执 {step['receipt']}"
