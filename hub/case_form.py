"""What both nodes must agree on about cases: states, kinds of messages, answers, and the form of both (protocol 14.5).

A message goes down stream `case` (table `message` of `hub.down.form`), one row per case and province; `row_ver` is the
case's version, so that a message that was overtaken says nothing new. Its body is one line of JSON. An answer comes up
as a part of table `case_answer` in a batch of its own: its rows are no changes of the log, so the batch takes up no
change-log id (protocol 3.3). Neither holds personal data, but for what is told once both sides have opened the case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from hub.batch import strictjson
from hub.catalog import Entity, Field
from hub.errors import RefusedError
from hub.verdict import refused

TABLE: Final = "message"
ANSWER: Final = "case_answer"
SOURCE: Final = "部级核查"
# What of the other side's record is told once both have opened the case: fields of 学生基本信息.
PERSON: Final = ("XXDM", "XM", "XBM", "CSRQ")
CASE_NO: Final = re.compile(r"K[0-9]{8}")
_CODE: Final = re.compile(r"1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-6]")
_SCHOOL: Final = re.compile(r"[0-9A-Za-z]{1,20}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WORD: Final = re.compile(r"[0-9A-Za-z一-鿿 ；，（）-]{1,80}")
_MOST: Final = 40


class CaseState(StrEnum):
    """Where a case stands at the ministry."""

    TO_ISSUE = "待下发"
    ISSUED = "已下发"
    ANSWERED = "已答复"
    CLOSED = "已关闭"


class Kind(StrEnum):
    """What a message says."""

    OPEN = "open"
    REMIND = "remind"
    ESCALATE = "escalate"
    RULING = "ruling"
    PARTICULARS = "particulars"
    CLOSE = "close"


class Answer(StrEnum):
    """What a province says. The last three are final as long as its decision stands; `WITHDRAWN` takes one back."""

    OPENED = "已受理"
    KEEP = "保留本省学籍"
    YIELD = "退回源头平台"
    OTHER_PERSON = "非同一人"
    WITHDRAWN = "重新处理"


FINAL: Final = frozenset({Answer.KEEP, Answer.YIELD, Answer.OTHER_PERSON})

FORM: Final = Entity(
    ANSWER,
    "核查答复",
    ANSWER,
    ("CASE_NO",),
    (
        Field("CASE_NO", "核查编号", "C", "M", "text", "P0", 24),
        Field("ROUND", "轮次", "N", "M", "number", "P0", 9),
        Field("ANSWER", "答复", "C", "M", "text", "P0", 16),
        Field("REASON", "原因代码", "C", "O", "text", "P0", 20),
    ),
)


@dataclass(frozen=True)
class Message:
    """One row of table `message`. `number`: the case's version; `pk`: the receiver's record; `counterpart` and
    `schools`: the other provinces and their schools; `body`: the rest, see `body_of`."""

    case_no: str
    number: int
    kind: Kind
    pk: str
    counterpart: tuple[str, ...]
    schools: tuple[str, ...]
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def round_no(self) -> int:
        return int(self.body["round"])

    def row(self) -> dict[str, Any]:
        """As `hub.down.form` writes it."""
        return {
            "op": "I" if self.kind is Kind.OPEN else "U",
            "pk": self.pk,
            "row_ver": self.number,
            "src_rid": "",
            "case_no": self.case_no,
            "kind": str(self.kind),
            "counterpart": ",".join(self.counterpart),
            "school": ",".join(self.schools),
            "body": json.dumps(dict(self.body), ensure_ascii=False, sort_keys=True, separators=(",", ":")),
        }


def read_message(row: Mapping[str, Any], *, party: str, where: str) -> Message:
    """A row as a message to province `party`; RefusedError E_SCHEMA for anything that is not well formed."""
    try:
        body = strictjson.parse_object((row["body"] or "").encode(), where=where)
        message = Message(
            str(row["case_no"]), int(row["row_ver"]), Kind(row["kind"]), str(row["pk"]),
            _listed(row["counterpart"], _CODE), _listed(row["school"], _SCHOOL), body,
        )  # fmt: skip
        good = CASE_NO.fullmatch(message.case_no) and message.number > 0 and _body_holds(message)
    except (KeyError, TypeError, ValueError, AttributeError, RefusedError):
        good = None
    if not good or party in message.counterpart or not message.counterpart:
        raise refused("E_SCHEMA", "核查消息不合规定", where=where)
    return message


def _listed(text: Any, form: re.Pattern[str]) -> tuple[str, ...]:
    parts = tuple(str(text).split(",")) if text else ()
    if len(parts) > _MOST or not all(form.fullmatch(p) for p in parts):
        raise ValueError
    return parts


def _body_holds(message: Message) -> bool:
    body = message.body
    days = all(v is None or _DAY.fullmatch(v) for v in (body.get("due"),))
    words = all(v is None or _WORD.fullmatch(v) for v in (body.get("reason"), body.get("cause"), body.get("evidence")))
    keeper = body.get("keeper")
    told = (message.kind is Kind.PARTICULARS) == ("persons" in body) and _persons_hold(body.get("persons", []))
    ruled = message.kind is not Kind.RULING or keeper is not None
    return (
        type(body.get("round")) is int and body["round"] > 0 and days and words and ruled and told
        and (keeper is None or bool(_CODE.fullmatch(keeper)))
    )  # fmt: skip


def _persons_hold(persons: Any) -> bool:
    """A list of people, each told by the fields of `PERSON` and no other."""
    return isinstance(persons, list) and len(persons) <= _MOST and all(
        isinstance(p, dict) and set(p) <= set(PERSON) and all(isinstance(v, str) and len(v) <= 60 for v in p.values())
        for p in persons
    )  # fmt: skip
