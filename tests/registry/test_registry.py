"""The authority registry: published signed, planned, put in force, and only what it touches is settled again."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from hub.catalog import load_catalog
from hub.catalog.authority import read_registry
from hub.errors import HubError, InputError, UsageError, VerificationError
from hub.registry.rows import version_of
from hub.registry.versions import shipped_document
from ministry_node.registry import publish_registry, published_codesets
from pipelines.lab.round import table_digests
from pipelines.lab.setup import Lab
from province_node.listen import listen
from province_node.registry import apply_registry, plan_registry
from tests.down.rounds import lab_round
from tests.round.labs import AT, TODAY, audit_holds, events, rows, store_of

# The school owns a teacher's phone from now on, and may no longer fill 籍贯.
OWNERS = {"  jzg:\n    default: [S2]\n    fill: true\n    fields:\n": "      CYM: [L, S2]\n      JG: [L]\n"}


def document(version: int, owners: dict[str, str] | None = None) -> str:
    text = shipped_document().replace("version: 1", f"version: {version}", 1)
    for at, lines in (owners or {}).items():
        assert at in text
        text = text.replace(at, at + lines, 1)
    return text


def publish(lab: Lab, version: int = 2, owners: dict[str, str] | None = None) -> None:
    text = document(version, OWNERS if owners is None else owners)
    publish_registry(lab.ministry, text, name="new.yaml", note="试行", actor="t", at=AT, rng=os.urandom)


def hear(lab: Lab) -> list[str]:
    return [a.code for a in listen(lab.province, at=AT).down.alarms]


def plan(lab: Lab) -> Any:
    return plan_registry(lab.province, None, today=TODAY, progress=lambda _s, _w: None)


def letters(lab: Lab, field: str) -> Counter[str]:
    """Provenance letters of one field of the teachers."""
    at = load_catalog().entities["jzg"].columns.index(field)
    return Counter(r["prov"][at] for r in rows(lab.province, "g_jzg"))


def versions_at(lab: Lab) -> dict[int, str]:
    return {r["version"]: r["state"] for r in rows(lab.province, "registry_version")}


def test_a_version_is_published_signed_and_held_until_it_is_put_in_force(lab: Lab) -> None:
    publish(lab)
    assert hear(lab) == []
    assert versions_at(lab) == {2: "held"}
    done = lab_round(lab)
    assert done.round.settled.changes.counts.rows == 0, "a version that is only held changes nothing"
    assert [v.number for v in apply_registry(lab.province, None, actor="t", at=AT)] == [2]
    assert versions_at(lab) == {2: "in force"}
    assert ("权威源登记启用", "registry 2") in events(lab.province)
    assert ("权威源登记发布", "registry 2") in events(lab.ministry)
    assert audit_holds(lab.province)


def test_the_plan_tells_what_the_next_round_does_and_keeps_nothing(lab: Lab) -> None:
    publish(lab)
    hear(lab)
    before = rows(lab.province, "g_jzg", "pk")
    planned = plan(lab)
    assert {(f.field, f.before, f.after) for f in planned.fields} == {
        ("CYM", "S2（可补录）", "L、S2"),
        ("JG", "S2（可补录）", "L"),
    }
    assert rows(lab.province, "g_jzg", "pk") == before
    assert plan(lab) == planned
    apply_registry(lab.province, None, actor="t", at=AT)
    done = lab_round(lab)
    assert {e: b.updated for e, b in done.round.settled.balance.items() if b.updated} == planned.changed
    by_pk = {r["pk"]: r for r in before}
    changed = [(by_pk[r["pk"]], r) for r in rows(lab.province, "g_jzg", "pk") if r != by_pk[r["pk"]]]
    at = load_catalog().entities["jzg"].columns.index("JG")
    assert sum(a["prov"][at] != b["prov"][at] for a, b in changed) == next(
        f.letters for f in planned.fields if f.field == "JG"
    )
    assert all(p.equal for p in table_digests(done.lab))


def test_only_what_the_change_touches_is_settled_again(lab: Lab) -> None:
    publish(lab)
    hear(lab)
    before = {f: letters(lab, f) for f in ("CYM", "JG")}
    assert before["JG"]["S" if "S" in before["JG"] else "T"] > 0
    apply_registry(lab.province, None, actor="t", at=AT)
    done = lab_round(lab)
    settled = {e: b.considered for e, b in done.round.settled.balance.items() if b.considered}
    assert not done.round.whole
    assert not [e for e in settled if e.startswith(("xs", "bj", "zy"))]
    assert {e for e, b in done.round.settled.balance.items() if b.updated} == {"jzg"}
    assert letters(lab, "JG")["T"] == 0, "the teacher platform owns 籍贯 no more; its last value stands as a prior one"
    assert letters(lab, "JG")["P"] > 0
    touched = {r["pk"] for r in rows(lab.province, "row_registry")}
    assert len(touched) == sum(b.updated for b in done.round.settled.balance.values())
    other = next(r["pk"] for r in rows(lab.province, "g_xs"))
    for node in (lab.province, lab.ministry):
        store = store_of(node)
        with store.reading() as reader:
            assert version_of(reader, "13", "jzg", next(iter(touched))) == 2
            assert version_of(reader, "13", "xs", other) == 1
        store.close()
    again = lab_round(lab)
    assert again.round.settled.changes.counts.rows == 0


def test_the_ministry_takes_batches_under_every_published_version_and_no_other(lab: Lab) -> None:
    publish(lab)
    hear(lab)
    apply_registry(lab.province, None, actor="t", at=AT)
    done = lab_round(lab)
    verdicts = [str(r.verdict) for heard in done.listened for r in heard.receipts]
    assert verdicts == ["APPLIED"]
    store = store_of(lab.ministry)
    with store.begin() as tx:
        tx.connection.execute(sa.text("DELETE FROM registry_version"))
    store.close()
    store = store_of(lab.ministry)
    assert {c.version for c in published_codesets(store)} == {1}
    store.close()


def test_an_older_version_is_never_put_in_force(lab: Lab) -> None:
    publish(lab, 2)
    publish(lab, 3)
    hear(lab)
    apply_registry(lab.province, 3, actor="t", at=AT)
    for older in (1, 2):
        with pytest.raises(VerificationError, match="E3441"):
            apply_registry(lab.province, older, actor="t", at=AT)
    assert versions_at(lab) == {2: "held", 3: "in force"}
    with pytest.raises(UsageError, match="E3442"):
        apply_registry(lab.province, 9, actor="t", at=AT)
    with pytest.raises(UsageError, match="E3443"):
        publish(lab, 3)


@pytest.mark.parametrize("column", ["document", "evidence", "batch_id"])
def test_a_version_altered_in_the_database_is_not_put_in_force(lab: Lab, column: str) -> None:
    publish(lab)
    hear(lab)
    store = store_of(lab.province)
    forged: Any = {
        "document": document(2, {"  xs_yd:\n    default: ": "[L, S1] #"}),
        "evidence": b"PAR1",
        "batch_id": "00-dn-codes-e0001-s0000000009",
    }[column]
    with store.begin() as tx:
        tx.connection.execute(sa.text(f"UPDATE registry_version SET {column} = :v"), {"v": forged})
    store.close()
    with pytest.raises(VerificationError, match="E3444"):
        apply_registry(lab.province, None, actor="t", at=AT)
    assert versions_at(lab) == {2: "held"}


def test_a_version_in_force_that_was_altered_stops_the_round(lab: Lab) -> None:
    publish(lab)
    hear(lab)
    apply_registry(lab.province, None, actor="t", at=AT)
    store = store_of(lab.province)
    with store.begin() as tx:
        tx.connection.execute(sa.text("UPDATE registry_version SET document = :d"), {"d": document(2, {})})
    store.close()
    with pytest.raises(HubError, match="E3444"):
        lab_round(lab)
    con = duckdb.connect(str(lab.province.state), read_only=True)
    assert con.execute("SELECT value FROM meta WHERE name = 'counter.run'").fetchall() == [("1",)]
    con.close()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("      DZXX: [S3, L]", "      DZXX: [S3, L]\n      DZXX: [L]", "DZXX 出现两次"),
        ("      XZGH: [L]", "      XZGH: [S9]", "来源 S9"),
        ("      XZGH: [L]", "      XZGH: []", "没有权威源"),
        ("      XZGH: [L]", "      XZGHX: [L]", "没有 XZGHX"),
        ("  xs_yd:\n    default: [S1]\n    fill: false\n", "", "缺少实体 xs_yd"),
        ("version: 1", "version: 0", "version 应为正整数"),
        ("  P: {source: P, name: 保留的前值}", "  P: {source: S4, name: 别的}", "含义是固定的"),
        ("      TBLXM: [D]", "      TBLXM: [D, S3]", "派生（D）只能排在最后"),
    ],
)
def test_a_registry_that_cannot_be_executed_is_refused_with_the_line(old: str, new: str, says: str) -> None:
    text = shipped_document()
    assert old in text
    with pytest.raises(InputError, match="E1111") as caught:
        read_registry(text.replace(old, new, 1), load_catalog().entities)
    assert says in caught.value.what
    assert "第 " in caught.value.what


def test_a_faulty_registry_is_not_published(lab: Lab) -> None:
    with pytest.raises(InputError, match="E1111"):
        publish_registry(
            lab.ministry, document(2).replace("fill: true", "fill: maybe", 1), name="x.yaml", note="", actor="t", at=AT,
            rng=os.urandom,
        )  # fmt: skip
    assert rows(lab.ministry, "down_batch") == []
    assert rows(lab.ministry, "registry_version") == []
