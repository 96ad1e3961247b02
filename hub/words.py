"""Codes of the tables as a person reads them: one set of words for terminal and browser.

Decides the words only. JSON documents, tables and the wire keep the codes; a code without a word stays as it is.
"""

from __future__ import annotations

from typing import Final

from hub.verdict import Verdict

_WORDS: Final[dict[str, str]] = {
    **{v.value: v.chinese for v in Verdict},
    "OPEN": "未封装", "SEALED": "待发送", "SENT": "已发送", "CLOSED": "已关闭",
    "SHIPPED": "已发布", "ACKED": "已确认送达",
    "done": "完成", "held": "暂停待批", "failed": "失败", "running": "运行中",
    "whole": "全量", "incremental": "增量", "settle": "定值",
    "full": "全量", "watermark": "增量", "watermark+keys": "增量+键比对",
    "delta": "增量", "census": "普查", "repair": "修复", "snapshot-part": "快照", "heartbeat": "心跳",
    "EQUAL": "一致", "DIFFERS": "有差异，待下发修复指令", "ORDERED": "有差异，已要求修复", "REPAIRED": "已修复",
    "OVERTAKEN": "已由后一次普查取代",
    "continue": "接续", "snapshot": "快照",
}  # fmt: skip


def word(code: str | None) -> str:
    """已生效 for APPLIED; empty for None."""
    return _WORDS.get(code or "", code or "")
