"""Messages and answers that are forged, repeated, lost or cut off: a case moves once or not at all."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from hub.case_form import ANSWER, FORM, Answer, Kind, Message, read_message
from hub.changes import change_schema
from hub.down.form import plain_table
from hub.errors import RefusedError
from ministry_node import case_store, cases
from ministry_node.cases import issue
from ministry_node.down import seal_down
from province_node import case_intake
from province_node import listen as listening
from province_node.case_answers import unheard
from province_node.down_handlers import HANDLERS
from quality.decisions import Kind as Decided
from tests.cases.network import HEBEI, JIANGSU, Two, forge
from tests.cases.test_workflow import answers, at_ministry, decide, issued, notice, number
from tests.ministry.forge import Province
from tests.round.labs import audit_holds, rows, store_of


def row(two: Two, **changes: Any) -> dict[str, Any]:
    """A message about the first case as the ministry would send it to Hebei."""
    here, there = two.parties("K00000001")
    body = {"v": 1, "round": 1, "reason": "WY03", "due": "2026-12-08"}
    plain = Message("K00000001", 2, Kind.OPEN, here["pk"], (there["node"],), (there["school"],), body)
    return {**plain.row(), **changes}


def send(two: Two, *messages: dict[str, Any], party: str = HEBEI) -> list[tuple[str, bool]]:
    """Sealed and signed by the ministry; the province's alarms."""
    table = plain_table("case", "message", list(messages))
    tables = {"message": table}
    seal_down(two.ministry, stream="case", party=party, tables=tables, subject="test", at=two.now, rng=os.urandom)
    return [(a.code, a.waits) for a in two.listen(party).down.alarms]


def queue(two: Two, party: str = HEBEI) -> tuple[Any, ...]:
    node = two.province(party)
    return tuple(rows(node, t) for t in ("decision", "decision_event", "case_notice", "case_answer"))


def foreign(two: Two) -> str:
    """A record number of Jiangsu's, which Hebei never had."""
    return str(two.parties("K00000001")[1]["pk"])


MALFORMED: tuple[dict[str, Any], ...] = (
    {"case_no": "K1"},
    {"case_no": "K00000001'; DROP TABLE decision; --"},
    {"case_no": None},
    {"kind": "drop"},
    {"kind": "ruling"},
    {"kind": None},
    {"counterpart": "13"},
    {"counterpart": ""},
    {"counterpart": "99"},
    {"counterpart": ",".join(["32"] * 41)},
    {"school": "x" * 300},
    {"body": "{"},
    {"body": '{"round":1,"round":2}'},
    {"body": '{"round":-1}'},
    {"body": '{"round":1.5}'},
    {"body": '{"round":"1"}'},
    {"body": '{"round":true}'},
    {"body": '{"round":1,"due":"yesterday"}'},
    {"body": '{"round":1,"due":7}'},
    {"body": '{"round":1,"cause":"<script>"}'},
    {"body": '{"round":1,"keeper":"66 "}'},
    {"body": "[" * 60 + "]" * 60},
    {"body": None},
    {"body": '{"round":1,"persons":[]}'},
    {"kind": "particulars", "body": '{"round":1,"persons":[{"SFZJH":"x"}]}'},
    {"kind": "particulars", "body": '{"round":1,"persons":{"XM":"x"}}'},
    {"kind": "particulars", "body": '{"round":1}'},
    {"row_ver": 0},
    {"row_ver": None},
)


@pytest.mark.parametrize("changes", MALFORMED, ids=lambda c: repr(c)[:40])
def test_a_message_that_is_malformed_is_refused(changes: dict[str, Any]) -> None:
    body = {"v": 1, "round": 1, "reason": "WY03", "due": "2026-12-08"}
    plain = Message("K00000001", 2, Kind.OPEN, "0" * 20, ("32",), ("3232000001",), body).row()
    assert read_message(plain, party=HEBEI, where="").row() == plain
    with pytest.raises(RefusedError, match="E_SCHEMA"):
        read_message({**plain, **changes}, party=HEBEI, where="")


def test_a_case_about_another_provinces_record_keeps_its_whole_batch_out(two: Two) -> None:
    before = queue(two)
    assert send(two, row(two), row(two, case_no="K00000002", pk=foreign(two))) == [("E_SCHEMA", False)]
    assert queue(two) == before


def test_a_case_that_was_never_told_is_not_ruled_or_closed(two: Two) -> None:
    before = queue(two)
    assert send(two, row(two, kind="close")) == [("E_SCHEMA", False)]
    assert queue(two) == before


def test_a_message_repeated_or_overtaken_changes_nothing(told: Two) -> None:
    before = queue(told)
    assert send(told, row(told), row(told, row_ver=1), row(told, kind="remind", row_ver=2)) == []
    assert queue(told) == before
    assert told.listen(HEBEI).down.batches == ()


def test_a_third_province_is_no_recipient_of_a_case(two: Two) -> None:
    done = at_ministry(two, issue, ["K00000001"], by="李明")
    names = {batch[:2]: batch for batch in done.batches}
    for party, other in ((HEBEI, JIANGSU), (JIANGSU, HEBEI)):
        out = two.lab(party).exchange_root / f"p{party}" / "out"
        assert [p for p in out.iterdir() if "case" in p.name and p.name.startswith(f"{other}-dn")] == []
        assert list(out.glob(f"{names[party]}.f01.cms"))
    # Hebei's message laid out for Jiangsu under Jiangsu's name: not for it, and it cannot open it.
    source, target = (two.lab(p).exchange_root / f"p{p}" / "out" for p in (HEBEI, JIANGSU))
    for end in ("f01.cms", "manifest.dsse"):
        shutil.copy(source / f"{names[HEBEI]}.{end}", target / f"{names[JIANGSU]}.{end}")
    before = queue(two, JIANGSU)
    assert [a.code for a in two.listen(JIANGSU).down.alarms] == ["E_NAME"]
    assert queue(two, JIANGSU) == before


def answer(two: Two, party: str, **changes: Any) -> str:
    """A batch of answers by hand; its verdict."""
    here = next(p for p in two.parties("K00000001") if p["node"] == party)
    said = {
        "op": "U", "pk": here["pk"], "row_ver": 1, "src_rid": "", "prov": "----", "CASE_NO": "K00000001", "ROUND": 1,
        "ANSWER": str(Answer.KEEP), "REASON": "R41", **changes,
    }  # fmt: skip
    province = Province(two.lab(party))
    here_now = province.position()
    table = pa.Table.from_pylist([said], schema=change_schema(FORM))
    made = province.batch([(ANSWER, table)])
    mark = replace(made.manifest.watermark, lo=here_now["hi"] + 1, hi=here_now["hi"])
    province.upload(province.sign(replace(made.manifest, watermark=mark), made.parts))
    return province.decide().verdict


def test_an_answer_counts_only_for_the_provinces_own_part_in_the_case(told: Two) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"CASE_NO": "K00000002"},  # a record of another case
        {"pk": foreign(told)},  # the other province's record
    )
    before = told.parties()
    for changes in wrong:
        assert answer(told, HEBEI, **changes) == "VOID", changes
    assert told.parties() == before
    assert answer(told, HEBEI) == "APPLIED"
    assert answer(told, HEBEI, ANSWER=str(Answer.YIELD)) == "APPLIED"  # the same number again: passed over
    assert answers(told, "K00000001") == ["保留本省学籍", None]
    assert answers(told, "K00000002") == [None, None]
    assert audit_holds(told.ministry)


def test_answers_travel_in_batches_of_their_own(told: Two) -> None:
    province = Province(told.lab(HEBEI))
    here = told.parties("K00000001")[0]
    said = pa.Table.from_pylist(
        [{"op": "U", "pk": here["pk"], "row_ver": 1, "src_rid": "", "prov": "----", "CASE_NO": "K00000001", "ROUND": 1,
          "ANSWER": str(Answer.KEEP), "REASON": None}], schema=change_schema(FORM),
    )  # fmt: skip
    province.upload(province.batch([("xx", province.changes("xx", 1)), (ANSWER, said)]))
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("VOID", "E_SCHEMA")
    assert answers(told, "K00000001") == [None, None]


def test_a_void_answer_is_told_again(told: Two) -> None:
    decide(told, HEBEI, "K00000001", Decided.KEEP)
    told.publish(HEBEI)
    store = store_of(told.province(HEBEI))
    try:
        with store.reading() as reader:
            assert unheard(reader) == []
        with store.begin() as tx:
            tx.connection.exec_driver_sql("UPDATE outbox SET state = 'VOID' WHERE seq = (SELECT max(seq) FROM outbox)")
        with store.reading() as reader:
            assert [(s.case_no, s.answer) for s in unheard(reader)] == [("K00000001", Answer.KEEP)]
    finally:
        store.close()


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("step", ["seal", "ship"])
def test_the_ministry_killed_while_issuing_tells_each_province_once(
    two: Two, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(cases, {"seal": "seal_messages", "ship": "ship"}[step], die)
        with pytest.raises(Killed):
            at_ministry(two, issue, ["K00000001"], by="李明")
    if step == "seal":
        assert {c["state"] for c in two.cases()} == {"待下发"}
        assert rows(two.ministry, "down_batch") == []
        issued(two, "K00000001")
    else:
        two.intake()  # what was sealed and not shipped goes out with the next run
        for party in (HEBEI, JIANGSU):
            two.listen(party)
    for party in (HEBEI, JIANGSU):
        assert [r["case_no"] for r in rows(two.province(party), "case_notice")] == ["K00000001"]
    assert len(rows(two.ministry, "down_batch")) == 2


def test_the_province_killed_while_taking_a_case_in_has_it_once_afterwards(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_ministry(two, issue, ["K00000001"], by="李明")
    before, real = queue(two), case_intake.take_cases

    def die(tx: Any, received: Any) -> None:
        real(tx, received)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(listening, "HANDLERS", {**HANDLERS, "case": die})
        with pytest.raises(Killed):
            two.listen(HEBEI)
    assert queue(two) == before
    for _ in range(2):
        two.listen(HEBEI)
        assert [r["decision_no"] for r in rows(two.province(HEBEI), "decision")] == [number("K00000001")]


def test_the_ministry_killed_while_an_answer_commits_takes_it_once(told: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(told, HEBEI, "K00000001", Decided.KEEP)
    told.publish(HEBEI)
    before, real = told.parties(), case_store.change

    def die(*given: Any, **named: Any) -> int:
        real(*given, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("ministry_node.case_answers.change", die)
        with pytest.raises(Killed):
            told.exchange(HEBEI)
    assert told.parties() == before
    told.exchange(HEBEI)
    assert answers(told, "K00000001") == ["保留本省学籍", None]
    assert [a for a, _, _ in told.said("K00000001")] == ["发现", "下发", "保留本省学籍"]


def test_a_province_without_the_stream_holds_up_nobody_elses_cases(two: Two) -> None:
    (two.ministry.trust / "32-dn-case-e0001.grant.dsse").unlink()
    done = at_ministry(two, issue, None, by="李明")
    assert (done.cases, done.batches, len(done.left)) == ((), (), 4)
    assert {c["state"] for c in two.cases()} == {"待下发"}


def test_the_end_of_a_case_is_told_even_when_the_first_try_was_cut_off(
    told: Two, monkeypatch: pytest.MonkeyPatch
) -> None:

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(cases, "seal_messages", die)
        with pytest.raises(Killed):
            forge(told, JIANGSU, "xs", told.parties("K00000001")[1]["pk"], "D")
    assert told.cases()[0]["state"] == "已关闭"
    told.intake()
    told.intake()
    for party in (HEBEI, JIANGSU):
        told.listen(party)
        assert notice(told, party, "K00000001")["state"] == "已关闭"
    assert len([r for r in rows(told.ministry, "down_batch") if r["stream"] == "case"]) == 4
