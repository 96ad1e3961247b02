"""The closed list of audit events. Values are what is stored, shown and exported; they never change their meaning."""

from __future__ import annotations

from enum import Enum


class Event(Enum):
    """What was done. A new kind of action gets its line here first."""

    NODE_INITIALISED = "节点初始化"
    DATABASE_UPGRADED = "数据库升级"
    KEY_CREATED = "密钥生成"
    KEY_ROTATED = "密钥轮换"
    TRUST_LIST_ACCEPTED = "信任列表更新"
    TRUST_LIST_REFUSED = "信任列表拒绝"
    RUN_FINISHED = "运行完成"
    RUN_HELD = "运行暂停待批"
    RUN_RELEASED = "暂停运行放行"
    STATE_REBUILT = "结算状态重建"
    SOURCE_ALARM = "来源告警"
    CHANGE_SET_APPLIED = "变更集入库"
    DECISION_RECORDED = "冲突裁决"
    BATCH_SEALED = "批次封装"
    BATCH_SENT = "批次发送"
    BATCH_APPLIED = "批次入库"
    BATCH_PARTIAL = "批次部分入库"
    BATCH_REFUSED = "批次拒收"
    BATCH_HELD = "批次暂停待批"
    BATCH_RELEASED = "暂停批次放行"
    BATCH_VOID = "批次作废"
    BATCH_REPLAYED = "批次重复到达"
    STREAM_OPENED = "数据流开通"
    STREAM_FROZEN = "数据流冻结"
    EPOCH_CLOSED = "期次关闭"
    GRANT_PROPOSED = "期次授权提出"
    GRANT_PUBLISHED = "期次授权发布"
    GRANT_REFUSED = "期次授权拒绝"
    HEAD_ALARM = "位置声明告警"
    CONTROL_ISSUED = "指令签发"
    CONTROL_DONE = "指令执行"
    CENSUS_SEALED = "普查封装"
    CENSUS_COMPARED = "普查比对"
    BUCKETS_REPAIRED = "分桶修复"
    SNAPSHOT_STARTED = "全量快照开始"
    SNAPSHOT_SWAPPED = "全量快照切换"
    RESTORE_FOUND = "发现恢复到旧时点"
    RESTART_ACCEPTED = "灾备声明生效"
    BATCH_RESENT = "批次补发"
    RECEIPT_ISSUED = "回执签发"
    RECEIPT_ACCEPTED = "回执接收"
    RECEIPT_IGNORED = "回执不予采信"
    UNEXPECTED_FILE = "异常文件留存"
    RECORDS_EXPORTED = "脱敏导出"
    PLAINTEXT_EXPORTED = "明文导出"
    PLAINTEXT_VIEWED = "明文查看"


class Result(Enum):
    """How it ended."""

    DONE = "成功"
    FAILED = "失败"
    REFUSED = "拒绝"
