"""Code tables come in force with a registry version, and only what a changed code touches is asked again."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from hub.batch.envelope import PayloadType, parse
from hub.batch.manifest import read_manifest
from hub.catalog import codes, load_catalog
from hub.catalog.code_files import CodeFile
from hub.errors import InputError, VerificationError
from hub.registered import codeset_ref
from hub.registry import versions
from hub.registry.rows import version_of
from hub.registry.versions import shipped_document
from ministry_node.intake import run_intake
from ministry_node.registry import publish_registry, published_codesets
from pipelines.lab.round import table_digests
from pipelines.lab.setup import Lab
from province_node.in_force import held_catalog
from province_node.listen import listen
from province_node.registry import apply_registry, plan_registry
from province_node.settle import Options, run_round
from schemas import ROOT
from tests.down.rounds import lab_round
from tests.round.labs import AT, TODAY, audit_holds, rows, store_of

HEALTH = load_catalog().codes.tables["JKZK"].codes
GONE, CAME = "3", "7"


def table(values: dict[str, str], name: str = "JKZK") -> str:
    return "\n".join(["table,code,name", *(f"{name},{code},{label}" for code, label in values.items())])


def publish(lab: Lab, text: str | None, version: int = 2, *files: CodeFile, **more: Any) -> Any:
    document = shipped_document().replace("version: 1", f"version: {version}", 1)
    given = [*([CodeFile(text, "codes.csv")] if text is not None else []), *files]
    done = publish_registry(
        lab.ministry, document, name="new.yaml", note="", actor="t", at=AT, rng=os.urandom, codes=given, **more
    )
    listen(lab.province, at=AT)
    return done


def said(lab: Lab) -> dict[str, int]:
    """How many contributions of students carry each health code."""
    with duckdb.connect(str(lab.province.state), read_only=True) as con:
        found = con.execute("SELECT JKZKM, count(*) FROM c_xs WHERE _state <> '0' GROUP BY 1").fetchall()
    return {str(k): int(n) for k, n in found}


def standing(lab: Lab, code: str) -> set[str]:
    return {r["pk"] for r in rows(lab.province, "g_xs") if r["jkzkm"] == code}


def unknown_labels(lab: Lab) -> int:
    found = rows(lab.province, "quarantine")
    return sum(1 for r in found if (r["entity"], r["field"], r["closed_run"]) == ("jzg", "MZM", None))


def test_code_tables_are_installed_with_their_version_and_settle_only_what_they_touch(lab: Lab) -> None:
    before, said_before = rows(lab.province, "g_xs", "pk"), said(lab)
    assert said_before[CAME] > 0
    assert standing(lab, GONE)
    assert not standing(lab, CAME)
    assert unknown_labels(lab) > 0
    health = table({c: n for c, n in HEALTH.items() if c != GONE} | {CAME: "待查"})
    nations = table(load_catalog().codes.tables["MZ"].codes | {"96": "不详族"}, "MZ").removeprefix("table,code,name")
    done = publish(lab, health + nations)
    assert {(c.table, c.added, c.removed) for c in done.tables} == {("JKZK", (CAME,), (GONE,)), ("MZ", ("96",), ())}
    planned = plan_registry(lab.province, None, today=TODAY, progress=lambda _s, _w: None)
    told = {c.table: c for c in planned.codes}
    assert told["JKZK"].rows == {"xs.JKZKM": said_before[CAME] + said_before[GONE]}
    assert told["JKZK"].golden == {"xs.JKZKM": len(standing(lab, GONE))}
    assert told["MZ"].rows["jzg.MZM"] >= unknown_labels(lab)
    assert rows(lab.province, "g_xs", "pk") == before
    apply_registry(lab.province, None, actor="t", at=AT)
    second = lab_round(lab)
    assert not second.round.whole
    assert second.round.alarms == (), "the second judge goes by the same tables"
    balance = second.round.settled.balance
    assert balance["xs"].considered < 100
    assert balance["jzg"].considered < 20
    # Besides those whose code came: whose rival in a clash fell with its code has nobody to clash with any more.
    known = {r["pk"] for r in before}
    freed = [r["grbsm"] for r in rows(lab.province, "g_xs") if r["pk"] not in known and r["jkzkm"] != CAME]
    clashed = {
        q["natural_key"] for q in rows(lab.province, "quarantine") if (q["rule"], q["closed_run"]) == ("WY05", 2)
    }
    assert set(freed) <= clashed
    assert balance["xs"].inserted == len(standing(lab, CAME)) + len(freed)
    assert standing(lab, CAME)
    assert [str(r.verdict) for heard in second.listened for r in heard.receipts] == ["APPLIED"]
    # A record whose code went is kept as it was, under the version it was settled with, and listed.
    after = {r["pk"]: r for r in rows(lab.province, "g_xs")}
    assert [after[r["pk"]] for r in before] == before
    new, old = next(iter(standing(lab, CAME))), next(iter(standing(lab, GONE)))
    for node in (lab.province, lab.ministry):
        store = store_of(node)
        with store.reading() as reader:
            assert (version_of(reader, "13", "xs", new), version_of(reader, "13", "xs", old)) == (2, 1)
        store.close()
    assert all(p.equal for p in table_digests(second.lab))
    assert unknown_labels(lab) == 0, "a label finds its code when a version brings it"
    again = run_round(lab.province, Options(today=TODAY, judge=False), nonce=lambda: "0" * 64)
    assert again.settled.changes.counts.rows == 0
    assert audit_holds(lab.province)


def test_both_tiers_reckon_the_same_digest_and_old_versions_keep_their_tables(lab: Lab) -> None:
    publish(lab, table(HEALTH | {CAME: "待查"}))
    publish(lab, None, 3)
    publish(lab, None, 4, installed=True)
    apply_registry(lab.province, None, actor="t", at=AT)
    known = {}
    for node in (lab.province, lab.ministry):
        store = store_of(node)
        with store.reading() as reader:
            known[node.party] = {n: versions.codeset_of(reader.connection, load_catalog(), n) for n in (1, 2, 3, 4)}
        if node is lab.ministry:
            assert published_codesets(store) == frozenset(known[node.party].values())
        store.close()
    assert known[lab.province.party] == known[lab.ministry.party]
    digests = {n: ref.digest for n, ref in known[lab.province.party].items()}
    assert digests[2] == digests[3] != digests[1] == digests[4] == codeset_ref(load_catalog()).digest


def test_tables_that_lack_what_stands_here_are_not_put_in_force(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(lab, None)
    here = load_catalog()
    more = codes.with_tables(here, {**here.codes.national, "JTLB_NEW": {"1": "新"}})
    monkeypatch.setattr("province_node.registry.load_catalog", lambda: more)
    with pytest.raises(InputError, match="E3445"):
        apply_registry(lab.province, None, actor="t", at=AT)
    assert [(r["version"], r["state"]) for r in rows(lab.province, "registry_version")] == [(2, "held")]


@pytest.mark.parametrize("column", ["tables", "evidence"])
def test_code_tables_altered_in_the_database_are_not_put_in_force(lab: Lab, column: str) -> None:
    publish(lab, table(HEALTH | {CAME: "待查"}))
    store = store_of(lab.province)
    forged: Any = {"tables": codes.emit({"JKZK": {"1": "好"}}), "evidence": b"PAR1"}[column]
    with store.begin() as tx:
        tx.connection.execute(sa.text(f"UPDATE registry_codes SET {column} = :v"), {"v": forged})
    store.close()
    with pytest.raises(VerificationError, match="E3444"):
        apply_registry(lab.province, None, actor="t", at=AT)
    assert [(r["version"], r["state"]) for r in rows(lab.province, "registry_version")] == [(2, "held")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("table,code\nJKZK,1", "缺少列 name"),
        ("table,code,name\nJKZK,1,", "第 2 行 有空单元格"),
        ("table,code,name\nNO,1,好", "没有代码表 NO"),
        ("table,code,name\nJKZK,1,好\nJKZK,1,坏", "第 3 行 代码表 JKZK 中代码 1 出现两次"),
        ("table,code,name\n", "没有代码"),
    ],
)
def test_a_faulty_code_file_is_not_published(lab: Lab, text: str, says: str) -> None:
    with pytest.raises(InputError, match="E1114") as caught:
        publish(lab, text)
    assert says in caught.value.what
    assert rows(lab.ministry, "registry_version") == []
    assert rows(lab.ministry, "down_batch") == []


def shipped_file(name: str, *, without: str = "", more: str = "", old: str = "", new: str = "") -> CodeFile:
    """A file of the installed codes, altered."""
    lines = (ROOT / "codes" / name).read_text(encoding="utf-8").splitlines()
    kept = [line.replace(old, new) if old else line for line in lines if not (without and line.startswith(without))]
    return CodeFile("\n".join([*kept, *more.splitlines()]), name)


def test_divisions_majors_and_labels_come_with_a_version_and_settle_only_what_they_touch(lab: Lab) -> None:
    before = {r["pk"]: r for r in rows(lab.province, "g_xs", "pk")}
    born = Counter(r["csdm"] for r in before.values())
    gone = min((c for c in born if not c.startswith("13")), key=lambda c: (born[c], c), default=min(born))
    mapped = {r["pk"]: r for r in rows(lab.province, "g_zy") if r["dyxzydm"]}
    old, new = next((r["zydm"], r["dyxzydm"]) for r in mapped.values())
    other = next(c for (edition, c) in load_catalog().codes.majors if edition == "2021" and c != new)
    assert unknown_labels(lab) > 0
    files = (
        shipped_file("divisions.csv", without=gone),
        shipped_file("majors_2010_2021.csv", old=f",{new},", new=f",{other},"),
        shipped_file("labels.csv", more="MZ,不详族,01,X"),
    )
    done = publish(lab, None, 2, *files)
    assert {c.table for c in done.tables} >= {"division.known", "major.map", "label.MZ"}
    told = {c.table: c for c in plan_registry(lab.province, None, today=TODAY, progress=lambda _s, _w: None).codes}
    assert told["division.known"].golden["xs.CSDM"] == born[gone]
    assert told["division.known"].name == "行政区划（历年）"
    assert told["major.map"].golden == {"zy.DYXZYDM": sum(1 for r in mapped.values() if r["dyxzydm"] == new)}
    apply_registry(lab.province, None, actor="t", at=AT)
    second = lab_round(lab)
    assert not second.round.whole
    assert second.round.alarms == (), "the second judge goes by the same codes"
    balance = second.round.settled.balance
    assert balance["xs"].considered < len(before) / 2
    assert balance["xs_yd"].considered == 0
    moved = {r["pk"] for r in rows(lab.province, "g_zy") if r["dyxzydm"] == other and r["zydm"] == old}
    assert moved
    assert moved == {pk for pk, r in mapped.items() if r["zydm"] == old}
    assert unknown_labels(lab) == 0, "a label finds its code when a version brings it"
    assert {pk: r for pk, r in before.items() if r["csdm"] == gone} == {
        r["pk"]: r for r in rows(lab.province, "g_xs") if r["csdm"] == gone
    }, "a record whose division went is kept as it was"
    fallen = [
        q
        for q in rows(lab.province, "quarantine")
        if (q["rule"], q["field"], q["closed_run"]) == ("YX05", "CSDM", None)
    ]
    assert len(fallen) >= born[gone]
    for node in (lab.province, lab.ministry):
        store = store_of(node)
        with store.reading() as reader:
            assert {version_of(reader, "13", "zy", pk) for pk in moved} == {2}
            held = versions.under(load_catalog(), versions.held(reader.connection)).codes
        store.close()
        assert (gone in held.divisions, held.major_map[old], held.labels["MZ"]["不详族"]) == (False, other, "01")
    assert [str(r.verdict) for heard in second.listened for r in heard.receipts] == ["APPLIED"]
    assert all(p.equal for p in table_digests(second.lab))
    assert held_catalog(lab.province).codes.major_map[old] == other
    assert gone not in held_catalog(lab.province).codes.divisions


def test_manifests_of_down_streams_and_heads_name_the_codes_the_ministry_holds(lab: Lab) -> None:
    publish(lab, table(HEALTH | {CAME: "待查"}))
    publish(lab, None, 3)
    store = store_of(lab.ministry)
    with store.reading() as reader:
        sealed = rows(lab.ministry, "down_batch", "seq")
        named = [read_manifest(parse(bytes(r["envelope"]), PayloadType.BATCH_MANIFEST).payload).codeset for r in sealed]
        assert named[-1] == versions.codeset_of(reader.connection, load_catalog(), 2), (
            "what it held when it sealed the third"
        )
    store.close()
    run_intake(lab.ministry, at=AT)
    head = parse(next(lab.exchange_root.rglob("head.dsse")).read_bytes(), PayloadType.STREAM_HEAD)
    assert json.loads(head.payload)["code_version"] == 3
