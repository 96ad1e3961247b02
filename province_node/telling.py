"""What a round did, in words and counts: for the terminal and as a JSON document.

Decides the wording, the balance line per entity, and the exit code of console §7. Counts only: no value of a record
stands here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from hub.catalog import Catalog
from hub.cli.output import table
from hub.down.form import CODES, ERRORS
from hub.verdict import Verdict
from hub.words import word
from province_node.deliver import Delivered
from province_node.listen import Listened
from province_node.publish import Published
from province_node.settle import Round
from province_node.transit import IN_TRANSIT
from quality.normalise import DIRT_KINDS
from quality.settle import Balance

WITH_REJECTS = 3
OUTCOMES = {
    "quarantined": "隔离",
    "held": "挂起",
    "in_transit": "在途",
    "rejected": "驳回",
    "cancelled": "注销",
    "duplicate": "重复",
    "superseded": "被取代",
}


def exit_code(
    done: Round | None, published: Sequence[Published], delivered: Sequence[Delivered], heard: Sequence[Listened]
) -> int:
    """0, or 3: finished, with alarms (a batch without a result for a day, a full window among them), rejects or new
    conflicts (console §7)."""
    alarms = bool(done and done.alarms) or any(d.alarms for d in delivered) or any(p.held_back for p in published)
    opened = any(p.quarantined.opened or p.conflicts.opened for p in published)
    refused = any(r.verdict not in (Verdict.APPLIED, Verdict.RECEIVED) for h in heard for r in h.receipts)
    ignored = any(h.ignored or h.alarms or h.down.alarms for h in heard)
    return WITH_REJECTS if alarms or opened or refused or ignored else 0


def round_document(done: Round) -> dict[str, Any]:
    """The round as a JSON document."""
    return {
        "run": done.run,
        "change_set": done.number,
        "whole": done.whole,
        "extracts": [dict(e) for e in done.extracts],
        "supplements": dict(done.supplements),
        "transit": asdict(done.transit),
        "normalised": dict(done.dirt),
        "balance": {name: asdict(b) | {"holds": b.holds()} for name, b in done.settled.balance.items()},
        "issues": dict(done.settled.issues),
        "conflicts": dict(done.conflicts),
        "findings": dict(done.findings),
        "gaps": dict(done.gaps),
        "key_changes": done.settled.key_changes,
        "rows": asdict(done.settled.changes.counts),
        "alarms": [{"source": a.source, "code": a.code, "text": a.sentence} for a in done.alarms],
    }


def delivered_document(delivered: Delivered) -> dict[str, Any]:
    """What shipping did, as `--json` gives it."""
    return {
        "batches": [asdict(b) for b in delivered.batches],
        "waiting": delivered.waiting,
        "alarms": [{"code": a.code, "sentence": a.sentence()} for a in delivered.alarms],
        "swept": delivered.swept,
    }


def tell_round(console: Console, catalog: Catalog, done: Round) -> None:
    """Rows read, normalised, refused, settled; the balance; alarms."""
    read = sum(int(e["rows_read"]) for e in done.extracts)
    kind = "全部重新定值" if done.whole else "只定值变化所及"
    console.print(f"第 {done.run} 轮　变更集 {done.number}　{kind}")
    modes = Counter(word(str(e["mode"])) for e in done.extracts)
    how = "、".join(f"{n} 张表{m}" for m, n in modes.items())
    files = int(done.supplements.get("files", 0))
    console.print(f"读取　　{read:,} 行（{how or '无'}），补录模板 {files:,} 个")
    _tell_counts(console, "规范化", {DIRT_KINDS.get(kind, kind): hits for kind, hits in done.dirt.items()})
    _tell_balance(console, catalog, done.settled.balance)
    _tell_issues(console, done)
    _tell_counts(console, "规则命中", _by_rule(done.findings))
    _tell_counts(console, "冲突", done.conflicts)
    _tell_transit(console, done)
    if done.settled.key_changes:
        console.print(f"学籍号转正　{done.settled.key_changes:,} 人")
    for sentence, times in Counter(a.sentence for a in done.alarms).items():
        console.print(f"! 告警　{sentence}" + (f"（{times} 张表）" if times > 1 else ""))


def _by_rule(findings: Mapping[str, int]) -> dict[str, int]:
    """Open findings on what stands; 警告 under their rule, 提示 counted together (they only count)."""
    found: Counter[str] = Counter()
    for name, hits in findings.items():
        rule, _, severity = name.partition("/")
        found["提示" if severity == "提示" else rule] += hits
    return dict(found)


def _tell_transit(console: Console, done: Round) -> None:
    """Rows that wait (在途, 驳回, 主记录未入库): how many stand open, how many came back."""
    waiting, closed = done.transit.waiting, done.transit.closed
    if not waiting and not closed:
        return
    kinds: Counter[str] = Counter()
    for name, count in waiting.items():
        kinds[name.partition("/")[2]] += count
    listed = "、".join(f"{kind} {count:,}" for kind, count in kinds.most_common()) or "无"
    ended = "、".join(f"{outcome} {count:,}" for outcome, count in closed.items())
    console.print(f"待回行　　{listed}" + (f"；本轮了结：{ended}" if ended else ""))


def in_transit_by_entity(catalog: Catalog, done: Round) -> dict[str, int]:
    """Rows in transit by the entity's Chinese name."""
    found = ((*k.partition("/"), n) for k, n in done.transit.waiting.items())
    return {catalog.entities[name].cn: count for name, _, kind, count in found if kind == IN_TRANSIT}


def _tell_counts(console: Console, title: str, counts: Mapping[str, int]) -> None:
    total = sum(counts.values())
    most = sorted(counts.items(), key=lambda c: (-c[1], c[0]))
    listed = "、".join(f"{name} {count:,}" for name, count in most)
    console.print(
        f"{title:　<4}" + ("　" if len(title) > 3 else "") + f"{total:,} 处" + (f"（{listed}）" if listed else "")
    )


def _tell_balance(console: Console, catalog: Catalog, balances: Mapping[str, Balance]) -> None:
    """One line per entity that moved; columns that are zero everywhere are left out."""
    used = [o for o in OUTCOMES if any(b.outcomes.get(o) for b in balances.values())]
    rows = [
        [catalog.entities[name].cn, b.considered, b.inserted, b.updated, b.unchanged,
         *(b.outcomes.get(o, 0) for o in used), b.deleted, "✔" if b.holds() else "✘"]
        for name, b in balances.items()
        if b.considered or b.deleted
    ]  # fmt: skip
    if not rows:
        console.print("没有变化。")
        return
    total = [sum(int(str(row[i])) for row in rows) for i in range(1, len(rows[0]) - 1)]
    rows.append(["合计", *total, "✔" if all(b.holds() for b in balances.values()) else "✘"])
    heads = ["实体", "参与", "新增", "更新", "不变", *(OUTCOMES[o] for o in used), "删除", "平衡"]
    console.print(table("", heads, rows))
    console.print("平衡：参与 = 新增 + 更新 + 不变" + "".join(f" + {OUTCOMES[o]}" for o in used))


def _tell_issues(console: Console, done: Round) -> None:
    by_state: Counter[str] = Counter()
    rules: dict[str, list[tuple[str, int]]] = {}
    for key, count in done.settled.issues.items():
        rule, _, state = key.rpartition("/")
        by_state[state] += count
        rules.setdefault(state, []).append((rule, count))
    for state, total in sorted(by_state.items(), key=lambda s: -s[1]):
        listed = "、".join(f"{r or '其他'} {n:,}" for r, n in sorted(rules[state], key=lambda r: (-r[1], r[0])))
        console.print(f"{state}原因　{total:,} 条（{listed}）")


def tell_exchange(
    console: Console, published: Sequence[Published], delivered: Sequence[Delivered], heard: Sequence[Listened]
) -> None:
    """Rows stored, batches sealed and sent, receipts."""
    for one in published:
        _tell_published(console, one)
    sent = [b for d in delivered for b in d.batches]
    waiting = sum(d.waiting for d in delivered)
    more = f"；{waiting} 个已封装，等前面的批次有结论再送" if waiting else ""
    console.print(f"送出　　{len(sent)} 个批次　{sum(b.sent for b in sent):,} 字节{more}")
    for late in (a for d in delivered for a in d.alarms):
        console.print(f"! 告警　{late.sentence()}")
    receipts = [r for h in heard for r in h.receipts]
    for receipt in receipts:
        codes = "、".join(code for code, _ in receipt.reasons)
        counts = receipt.counts
        console.print(
            f"回执　　{receipt.batch_id}　{receipt.verdict}（{receipt.verdict.chinese}）"
            f"{'　' + codes if codes else ''}　新增 {counts['ins']:,}、更新 {counts['upd']:,}、删除 {counts['del']:,}"
        )
    if not receipts:
        console.print("回执　　尚无新回执")
    for ignored in (i for h in heard for i in h.ignored):
        console.print(f"! 告警　{ignored.sentence}")
    words = {
        ERRORS: "部级退回的错误明细，已列入隔离",
        CODES: "新版权威源登记：hub registry plan 试算，hub registry apply 启用",
    }
    for taken in (b for h in heard for b in h.down.batches):
        console.print(f"下行　　{taken.batch_id}　{words.get(taken.stream, '下行批次')}　{taken.rows:,} 行")
    for waits in (a for h in heard for a in h.down.alarms):
        console.print(f"! 告警　{waits.sentence}")
    for alarm in (a for h in heard for a in h.alarms):
        console.print(f"! 告警　{alarm.sentence()}")


def _tell_published(console: Console, one: Published) -> None:
    rows = one.rows
    console.print(
        f"入库　　变更集 {one.number}：新增 {rows.inserted:,}、更新 {rows.updated:,}、删除 {rows.deleted:,}；"
        f"隔离 +{one.quarantined.opened:,} −{one.quarantined.closed:,}，"
        f"冲突 +{one.conflicts.opened:,} −{one.conflicts.closed:,}"
    )
    if one.held_back:
        console.print(f"! 暂缓　{one.held_back}")
    for batch in one.batches:
        console.print(
            f"封装　　{batch.batch_id}　{batch.rows.rows:,} 行　{batch.parts} 个文件　{batch.bytes:,} 字节　"
            f"签名 {batch.signer[:19]}…　收件方 {'、'.join(batch.recipients)}"
        )
