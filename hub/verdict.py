"""Verdicts and refusal codes of the exchange, as data (protocol 7.2, 7.3).

Decides what a code means: its class, the verdict it leads to, whether the sequence number is consumed, whether the
stream freezes, and what the person who reads it does next. Leaves to others when a code is raised.

Rules: a code never changes its meaning; every code has a Chinese sentence and a next step; `refused` is the only way
the exchange raises one. Codes beginning with `E_TRUST_`, `E_RECEIPT` and `E_GRANT` are this hub's own: protocol 7.3
names none for a trust list, a receipt or a grant that is turned away.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hub.errors import RefusedError


class Verdict(StrEnum):
    """Decision in a receipt (`type` on the wire, protocol 7.2)."""

    RECEIVED = "RECEIVED"
    APPLIED = "APPLIED"
    PARTIAL = "PARTIAL"
    HELD = "HELD"
    VOID = "VOID"
    REFUSED = "REFUSED"

    @property
    def consumes_seq(self) -> bool:
        """True when the sequence number is used up by this verdict itself (HELD consumes it on release)."""
        return self in (Verdict.APPLIED, Verdict.PARTIAL, Verdict.VOID)

    @property
    def chinese(self) -> str:
        """The word a person reads."""
        return _VERDICT_WORDS[self]


_VERDICT_WORDS = {
    Verdict.RECEIVED: "已收妥",
    Verdict.APPLIED: "已生效",
    Verdict.PARTIAL: "部分生效",
    Verdict.HELD: "暂停待批",
    Verdict.VOID: "作废",
    Verdict.REFUSED: "拒收",
}


class CodeClass(StrEnum):
    """Rows of protocol 7.3, and one for what is not a batch."""

    AUTHENTICATION = "authentication"
    SEQUENCE = "sequence"
    TRANSPORT = "transport"
    CONTENT = "content"
    GUARD = "guard"
    TRUST = "trust"


@dataclass(frozen=True)
class CodeRule:
    """One code. `verdict` None: no receipt is written (evidence and alarm only)."""

    code: str
    code_class: CodeClass
    meaning: str
    step: str
    verdict: Verdict | None = None
    freezes_stream: bool = False
    sealed_in: bool = False  # re-shipping the same bytes cannot help: the second refusal is VOID (protocol 7.2)

    @property
    def consumes_seq(self) -> bool:
        """True when a batch decided with this code uses up its sequence number."""
        return self.verdict is not None and self.verdict.consumes_seq


_RULES = (
    *(
        CodeRule(code, CodeClass.AUTHENTICATION, meaning, step, freezes_stream=code == "E_KEY_REVOKED")
        for code, meaning, step in (
            ("E_ENV_SIZE", "签名信封超过该类型的大小上限", "让对方检查打包程序；原文件已留证，无需本方处理"),
            ("E_ENV_JSON", "信封或其内容不是合乎约定的严格 JSON", "让对方用规定的软件版本重新封包；原文件已留证"),
            ("E_TYPE", "信封声明的内容类型与文件用途不符", "核对文件名与内容是否被调换；原文件已留证"),
            ("E_SIG", "签名不成立或有效签名数不足", "按篡改处置：保留原文件，请对方重新传送原始文件"),
            ("E_KEY_UNKNOWN", "签名密钥不在信任清单中", "核对双方信任清单版本；新密钥须先由部级发布到信任清单"),
            ("E_KEY_REVOKED", "签名密钥已被吊销", "该数据流已冻结；按密钥泄露预案换发密钥并申请新期次授权"),
            ("E_ROLE", "签名方无权签发这份文件", "核对文件是否放错目录或由他方代传；需要授权时由部级更新信任清单"),
            ("E_CHAIN", "证书链不成立", "核对证书有效期、用途、签发机构和吊销列表是否为最新"),
            ("E_NAME", "文件名、上传方与签名内容不一致", "请对方按签名内容中的批次号命名，从本方目录重新上传"),
            ("E_SUITE", "密码套件不被允许", "核对信任清单规定的最低密码套件，升级对方软件后重新封包"),
            ("E_VERSION", "协议版本不被支持", "核对信任清单规定的最低协议版本，升级版本较低的一方"),
        )
    ),
    CodeRule(
        "E_SEQ_FORK",
        CodeClass.SEQUENCE,
        "同一序号出现两份不同的已签名批次，或与上一批次的摘要接不上",
        "该数据流已冻结，两份原件均已留证；双方核对后由部级签发新的期次授权",
        freezes_stream=True,
    ),
    CodeRule(
        "E_SEQ_GAP",
        CodeClass.SEQUENCE,
        "前面的批次尚未到达，本批次已收妥并排队等候",
        "等待缺失批次；超过 1 小时将自动要求对方补发",
        verdict=Verdict.RECEIVED,
    ),
    CodeRule("E_SEQ_FF", CodeClass.SEQUENCE, "序号超前太多", "核对对方节点是否恢复到错误的备份；当前序号保持不变"),
    CodeRule("E_EPOCH", CodeClass.SEQUENCE, "期次已关闭或未获授权", "向部级申请期次授权；旧期次的批次不再接收"),
    CodeRule(
        "E_EXPIRED",
        CodeClass.SEQUENCE,
        "首次到达时批次已过有效期",
        "核对双方时钟后重新封包发送",
        verdict=Verdict.REFUSED,
        sealed_in=True,
    ),
    *(
        CodeRule(code, CodeClass.TRANSPORT, meaning, step, verdict=Verdict.REFUSED, sealed_in=sealed_in)
        for code, meaning, step, sealed_in in (
            ("E_RECIPIENT", "收件方名单不对，本方或托管方打不开", "按信任清单中的加密证书重新封包", True),
            ("E_FILE_MISSING", "清单列出的数据文件没有到齐", "对方重新上传缺少的文件，内容不得改动", False),
            ("E_FILE_SIZE", "数据文件大小与清单不符", "对方从零开始重新上传该文件", False),
            ("E_FILE_DIGEST", "数据文件摘要与清单不符，未解密", "对方重新上传原文件；连续两次失败须检查磁盘", False),
            ("E_DECRYPT", "密文不合约定或无法解密", "核对加密证书是否为最新，重新封包", True),
            ("E_PLAIN_DIGEST", "解密后的内容与清单摘要不符", "原密文已留证；对方重新封包并核查加密程序", True),
        )
    ),
    *(
        CodeRule(code, CodeClass.CONTENT, meaning, step, verdict=Verdict.VOID)
        for code, meaning, step in (
            ("E_PARQUET", "数据文件不是可读取的 Parquet", "对方从作废批次的起点重新生成，使用下一个序号"),
            ("E_BUDGET", "数据量超过双方约定的上限", "对方拆分为多个批次，使用下一个序号重新发送"),
            ("E_SCHEMA", "数据结构与登记的版本不一致", "对方升级到登记的数据结构版本后重新生成"),
            ("E_COUNTS", "实际行数与清单申报的行数不符", "对方核查封包程序，从作废批次的起点重新生成"),
            ("E_WATERMARK", "变更日志区间不连续", "对方从上一有效批次的终点接续，重新生成"),
            ("E_ROWS_BAD", "不合格的行超过允许比例", "查看退回的错误明细，在源头更正后重新发送"),
        )
    ),
    CodeRule(
        "E_GUARD",
        CodeClass.GUARD,
        "触发数据安全闸，等待两人放行",
        "由两名授权人员核对差异并写明理由后放行或作废",
        verdict=Verdict.HELD,
    ),
    CodeRule(
        "E_AUDIT_INCONSISTENT",
        CodeClass.GUARD,
        "对方审计日志前后不一致",
        "停止入库并保留证据，双方审计管理员核对日志检查点",
        freezes_stream=True,
    ),
    CodeRule(
        "E_RESTORED",
        CodeClass.GUARD,
        "本方恢复过旧时点，对方持有本方不认识的回执",
        "该数据流已停止入库；由两名密钥持有人签发灾备声明，对方随后补发所缺批次",
        freezes_stream=True,
    ),
    *(
        CodeRule(code, CodeClass.TRUST, meaning, step, verdict=verdict)
        for code, meaning, step, verdict in (
            ("E_TRUST_ROLLBACK", "收到比现用版本更旧的信任清单", "保持现用版本；核查清单来源是否被替换", None),
            ("E_TRUST_GAP", "信任清单版本不连续", "先取得缺少的中间版本，再逐个接受", None),
            ("E_TRUST_FORK", "同一版本的信任清单出现两种内容", "停止更新并立即与部级核对指纹", None),
            ("E_TRUST_EXPIRED", "信任清单已过期并超过宽限期", "联系部级取得新清单；在此之前批次一律暂停", Verdict.HELD),
            ("E_RECEIPT", "回执与本方已封批次或回执链不符，已忽略", "状态未变；核查回执来源并等待正确的回执", None),
            ("E_GRANT", "期次授权与数据流现状不符", "由部级核对该数据流末批次后重新签发授权", None),
        )
    ),
)

CODES: dict[str, CodeRule] = {rule.code: rule for rule in _RULES}


def rule_of(code: str) -> CodeRule:
    """The rule of a code; an unknown code is our own mistake (KeyError)."""
    return CODES[code]


def refused(code: str, detail: str = "", *, where: str = "") -> RefusedError:
    """Build the error of a protocol 7.3 code; the caller raises it.

    `detail`: what exactly was found (Chinese, no personal data); `where`: batch, file, member or row.
    """
    rule = rule_of(code)
    what = f"{rule.meaning}：{detail}" if detail else rule.meaning
    return RefusedError(code, what, where=where, step=rule.step)


def verdict_of(code: str, *, earlier_refusals: int = 0, sealed_in: bool = False) -> Verdict | None:
    """Verdict that a code leads to (protocol 7.2); None: evidence and alarm, no receipt.

    `earlier_refusals`: how often this very batch was refused before; a fault that is sealed in is VOID then.
    `sealed_in`: the caller knows that it is, e.g. a *declared* size over the limit (E_FILE_SIZE).
    """
    rule = rule_of(code)
    if rule.verdict is Verdict.REFUSED and (rule.sealed_in or sealed_in) and earlier_refusals >= 1:
        return Verdict.VOID
    return rule.verdict
