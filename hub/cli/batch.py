"""`hub batch`: the batches of the outbox (province) or inbox (ministry) listed, shown and verified again."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from hub.cli.output import Progress, emit, table
from hub.cli.shell import shell_of
from hub.errors import UsageError, VerificationError
from hub.evidence.kept import Kept, kept_batches, undecided_batches, verify_batch
from hub.evidence.stored import Check
from hub.keyring import open_keyring
from hub.words import word

app = typer.Typer(add_completion=False, no_args_is_help=True, help="交换批次：列表、详情、验证。")

Batch = Annotated[str, typer.Argument(metavar="批次号", help="例如 13-up-main-e0001-s0000000001")]
MARKS = {True: "✔", False: "✘", None: "·"}


@app.command("ls")
def list_batches(
    ctx: typer.Context, last: Annotated[int, typer.Option("--last", min=1, max=100_000, help="最近多少个")] = 200
) -> None:
    """本节点最近的批次：省级为发件箱，部级为收件箱，末尾为尚未定案的。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    with shell.open_store(node).reading() as reader:
        rows = [_line(kept) for kept in (*kept_batches(reader, node, last=last), *undecided_batches(reader, node))]

    def render(console: Console) -> None:
        if not rows:
            console.print("还没有批次。")
            return
        heads = ["批次号", "状态", "新增", "更新", "删除", "文件", "字节", "封存／收到", "回执"]
        console.print(table("", heads, [_told(r) for r in rows]))
        if len(rows) >= last:
            console.print(f"只列最近 {last:,} 个；更早的用 --last 多列，或在控制台的【交换批次】中查询。")

    emit(shell, {"node": node.party, "batches": rows}, render)


def _line(kept: Kept) -> dict[str, Any]:
    manifest = kept.manifest()
    return {
        "batch_id": kept.batch_id,
        "state": kept.state,
        "inserted": kept.row.get("rows_i"),
        "updated": kept.row.get("rows_u"),
        "deleted": kept.row.get("rows_d"),
        "files": len(manifest.files) if manifest else None,
        "bytes": sum(f.digest.cms_size for f in manifest.files) if manifest else None,
        "at": kept.moment,
        "receipt": "、".join(str(r["type"]) for r in kept.receipts) or None,
    }


def _told(line: dict[str, Any]) -> list[Any]:
    """The line as people read it; the JSON document keeps the codes."""
    receipts = "、".join(word(r) for r in (line["receipt"] or "").split("、"))
    return [*(line | {"state": word(line["state"]), "receipt": receipts}).values()]


@app.command("show")
def show(ctx: typer.Context, batch: Batch) -> None:
    """一个批次：清单、收件方、各文件、回执。"""
    shell = shell_of(ctx)
    node = shell.open_node()
    with shell.open_store(node).reading() as reader:
        kept = next(kept_batches(reader, node, batch))
    document = {"node": node.party, "batch": _line(kept), "manifest": _manifest(kept), "receipts": _receipts(kept)}
    emit(shell, document, lambda c: _show(c, kept, document))


def _manifest(kept: Kept) -> dict[str, Any] | None:
    manifest = kept.manifest()
    if manifest is None:
        return None
    return {
        "digest": kept.row["digest"],
        "prev": manifest.prev,
        "kind": manifest.kind,
        "created": manifest.created.isoformat(),
        "expires": manifest.expires.isoformat(),
        "schema": vars(manifest.schema),
        "codeset": vars(manifest.codeset),
        "watermark": vars(manifest.watermark),
        "recipients": [vars(r) for r in manifest.recipients],
        "producer": vars(manifest.producer),
        "trust_version": manifest.trust_version,
        "files": [
            {"n": f.n, "name": f.name, "entity": f.entity, **vars(f.rows), **vars(f.digest)} for f in manifest.files
        ],
    }


def _receipts(kept: Kept) -> list[dict[str, Any]]:
    shown = ("receipt_no", "type", "digest", "name", "created", "published_at")
    return [{name: row[name] for name in shown} for row in kept.receipts]


def _show(console: Console, kept: Kept, document: dict[str, Any]) -> None:
    manifest = document["manifest"]
    console.print(f"批次 {kept.batch_id}　状态 {word(kept.state)}")
    if manifest is None:
        console.print("本节点没有保存该批次的清单。")
    else:
        console.print(f"清单摘要 {manifest['digest']}")
        console.print(f"上一批次 {manifest['prev']}")
        console.print(f"变更编号 {manifest['watermark']['lo']}–{manifest['watermark']['hi']}")
        console.print(f"收件方 {'、'.join(r['party'] for r in manifest['recipients'])}")
        console.print(
            f"封存 {manifest['created']}　有效至 {manifest['expires']}　信任清单第 {manifest['trust_version']} 版"
        )
        rows = [
            [f["name"], f["entity"], f["inserted"], f["updated"], f["deleted"], f["cms_size"], f["cms_sha256"]]
            for f in manifest["files"]
        ]
        console.print(table("", ["文件", "实体", "新增", "更新", "删除", "字节", "密文 SHA-256"], rows))
    for receipt in document["receipts"]:
        console.print(
            f"回执 {receipt['receipt_no']}　{word(receipt['type'])}　{receipt['created']}　{receipt['digest']}"
        )


@app.command("verify")
def verify(
    ctx: typer.Context,
    batch: Annotated[str | None, typer.Argument(metavar="批次号", help="要验证的批次")] = None,
    everything: Annotated[bool, typer.Option("--all", help="验证本节点保存的全部批次")] = False,
) -> None:
    """重新验证所存证据：签名、摘要、密文、回执。有一处不符即以 4 退出。"""
    if (batch is None) != everything:
        raise UsageError("E1029", "请给出一个批次号，或用 --all", step="用 hub batch ls 查看批次号")
    shell = shell_of(ctx)
    node = shell.open_node()
    keyring = open_keyring(node, at=shell.now())
    found: dict[str, list[Check]] = {}
    with shell.open_store(node).reading() as reader, Progress() as progress:
        for kept in kept_batches(reader, node, batch):
            progress.step("验证", kept.batch_id)
            found[kept.batch_id] = verify_batch(kept, keyring)
    bad = [(name, check) for name, checks in found.items() for check in checks if check.ok is False]
    _tell(ctx, found, bad)


def _tell(ctx: Any, found: dict[str, list[Check]], bad: list[tuple[str, Check]]) -> None:
    shell = shell_of(ctx)
    if bad:
        if not shell.json:
            _print(Console(stderr=True, markup=False, highlight=False, soft_wrap=True), found)
        name, check = bad[0]
        raise VerificationError(
            "E3501",
            f"{check.name}不成立：{check.detail}",
            where=name,
            step="按篡改处置：保留现场，与对方核对该批次的原件",
        )

    def render(console: Console) -> None:
        _print(console, found)
        console.print(f"未发现问题：{len(found):,} 个批次验证通过。" if found else "还没有批次。")

    emit(shell, {"batches": {n: [vars(c) for c in checks] for n, checks in found.items()}, "failed": 0}, render)


def _print(console: Console, found: dict[str, list[Check]]) -> None:
    for name, checks in found.items():
        console.print(name)
        for check in checks:
            console.print(f"  {MARKS[check.ok]} {check.name}　{check.detail}")
