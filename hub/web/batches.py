"""交换批次 and 批次详情: what crossed between the tiers, verified and shown again (console 5, protocol 13.8).

Decides who sees what of a batch: counts, digests and receipts everyone who may look at the exchange; rows of a part
only who may see the whole node's data, masked all the same.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from hub.audit import Event, append
from hub.batch import strictjson
from hub.batch.envelope import PayloadType, parse
from hub.batch.layout import receipt_name
from hub.batch.manifest import FileEntry, Manifest
from hub.errors import HubError
from hub.evidence.bundle import write_evidence
from hub.evidence.kept import Kept, kept_batch, receipt_envelope, verify_batch
from hub.keyring import open_keyring
from hub.store import Reader
from hub.web.ask import Ask
from hub.web.batch_list import (
    DIRECTIONS,
    RECEIVED,
    SENT,
    STATES,
    Counts,
    Line,
    Wanted,
    count,
    counts,
    find,
    lines,
    neighbours,
)
from hub.web.batch_part import change_file, preview
from hub.web.listing import Condition, Facet, chips, facet, paging, turned
from hub.web.refusals import forbidden, not_here
from hub.web.section import Queue, Section
from hub.words import word

section: Final = Section("batches", "hub.web")
LOOK: Final = ("query", "audit", "engineer", "administer")
STREAMS: Final = {"main": "主数据", "codes": "登记与代码表", "receipt": "回执", "case": "跨省核查", "ctl": "指令"}
_WORDS: Final = {s: word(s) for s in STATES}
_CONDITIONS: Final = (
    Condition("batch", "批次号", hint="批次号或其中一段"),
    Condition("direction", "方向", tuple((d, d) for d in DIRECTIONS)),
    Condition("state", "状态", tuple((s, word(s)) for s in STATES)),
    Condition("begin", "封存或收到自", kind="date"),
    Condition("end", "至", kind="date"),
)


@section.queue
def waiting(ask: Ask) -> tuple[Queue, ...]:
    """Batches that wait for an answer, or for two persons."""
    if not ask.visitor.may(*LOOK):
        return ()
    with ask.site.store.reading() as reader:
        open_ = count(reader, Wanted(direction=(SENT,), state=("SEALED", "SENT", "RECEIVED")))
        held = count(reader, Wanted(state=("HELD",)))
    found = (
        Queue("未答复批次", open_, "/batches?direction=发出&state=SEALED&state=SENT&state=RECEIVED"),
        Queue("暂停待批批次", held, "/batches?state=HELD", "warn"),
    )
    return tuple(q for q in found if q.count)


@section.get("/batches", allow=LOOK, menu="交换批次", manual="batches")
def listing(ask: Ask) -> Response:
    """All batches of this node, newest first."""
    wanted = _wanted(ask)
    with ask.site.store.reading() as reader:
        counted = counts(reader, wanted)
        where = paging(ask, counted.total)
        rows = lines(reader, wanted, size=where.size, after=where.after, offset=where.offset)
    found = _facets(ask, counted)
    where = turned(ask, where, [r.key for r in rows])
    return ask.page(
        "batches/list.html", rows=rows, paging=where, facets=found, conditions=_CONDITIONS,
        chips=chips(ask, (*_CONDITIONS, Condition("party", "节点"), Condition("stream", "数据流")), _labels(ask)),
        streams=STREAMS, steps=ask.site.steps(ask, "batches", None),
    )  # fmt: skip


@section.get("/batches/{batch}", allow=LOOK, manual="batches")
def detail(ask: Ask) -> Response:
    """One batch: manifest, counts by table, chain, receipts."""
    with ask.site.store.reading() as reader:
        line, kept = _batch(ask, reader)
        before, after = neighbours(reader, line)
    return _detail(ask, line, kept, before=before, after=after)


@section.post("/batches/{batch}/verify", allow=LOOK)
def verify(ask: Ask) -> Response:
    """Every check of the stored bytes again, now, answered in words. Changes nothing."""
    with ask.site.store.reading() as reader:
        line, kept = _batch(ask, reader)
        before, after = neighbours(reader, line)
    checks = verify_batch(kept, open_keyring(ask.site.node, at=ask.at))
    return _detail(ask, line, kept, before=before, after=after, checks=checks)


@section.get("/batches/{batch}/receipts/{number:int}", allow=LOOK, manual="batches")
def receipt(ask: Ask) -> Response:
    """One receipt: what was signed, as it was signed."""
    with ask.site.store.reading() as reader:
        line, kept = _batch(ask, reader)
    row = next((r for r in kept.receipts if int(r["receipt_no"]) == ask.path["number"]), None)
    if row is None:
        raise not_here("没有这份回执")
    name = str(row["name"] or receipt_name(kept.batch_id, int(row["receipt_no"])))
    return _signed(ask, line, f"回执 {row['receipt_no']}", name, receipt_envelope(kept, row, name), PayloadType.RECEIPT)


@section.get("/batches/{batch}/manifest", allow=LOOK, manual="batches")
def manifest_(ask: Ask) -> Response:
    """The manifest as it was signed."""
    with ask.site.store.reading() as reader:
        line, kept = _batch(ask, reader)
    return _signed(ask, line, "清单", kept.batch_id, kept.envelope, PayloadType.BATCH_MANIFEST)


@section.get("/batches/{batch}/files/{number:int}", allow=("query", "audit"), manual="batches")
def part(ask: Ask) -> Response:
    """Rows of one part, masked. Only for who may see the whole node's data."""
    with ask.site.store.reading() as reader:
        line, kept = _batch(ask, reader)
        if not _sees_all(ask):
            raise forbidden("批次含全节点的数据，您的数据范围不足以预览", "在“冲突处理”“隔离数据”中查看本范围的数据")
        entry, manifest = _entry(ask, kept)
        source = change_file(reader, ask.site.node, line.batch_id, entry)
    if source is None and line.state not in ("APPLIED", "PARTIAL") and line.direction == RECEIVED:
        raise not_here("该批次未生效，其内容不提供预览")
    where = paging(ask, entry.rows.total)
    shown = preview(
        kept, manifest, entry, source, node=ask.site.node, keyring=open_keyring(ask.site.node, at=ask.at),
        catalog=ask.site.catalog, offset=where.offset, size=where.size,
    )  # fmt: skip
    where = turned(ask, where, [str(shown.offset + len(shown.rows))] if shown.rows else [])
    return ask.page(
        "batches/part.html", line=line, entry=entry, shown=shown, paging=where,
        entity=ask.site.catalog.entities.get(entry.entity),
    )  # fmt: skip


@section.get("/batches/{batch}/evidence.zip", allow="audit")
def evidence(ask: Ask) -> Response:
    """Envelope, receipts and ciphertext as a zip for `hub verify`; audited."""
    with ask.site.store.reading() as reader:
        line, kept = _batch(ask, reader)
    ask.site.node.work.mkdir(parents=True, exist_ok=True)
    folder = tempfile.TemporaryDirectory(prefix="evidence-", dir=ask.site.node.work)
    target = Path(folder.name) / f"{line.batch_id}.zip"
    try:
        missing = write_evidence(kept, target)
        with ask.site.store.begin() as tx:
            append(
                tx.connection, Event.EVIDENCE_EXPORTED, ts=ask.at, node=ask.site.party, actor=ask.visitor.name,
                actor_role=ask.operator.role_for("audit"), object=line.batch_id,
                detail={"missing": len(missing), "address": ask.source},
            )  # fmt: skip
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        target, media_type="application/zip", filename=target.name, background=BackgroundTask(folder.cleanup)
    )


def _wanted(ask: Ask) -> Wanted:
    return Wanted(
        direction=ask.queries("direction"), party=ask.queries("party"), stream=ask.queries("stream"),
        state=ask.queries("state"), batch=ask.query("batch"), begin=ask.query("begin"), end=ask.query("end"),
    )  # fmt: skip


def _labels(ask: Ask) -> dict[str, Mapping[str, str]]:
    return {"stream": STREAMS, "state": _WORDS, "party": _parties(ask)}


def _parties(ask: Ask) -> Mapping[str, str]:
    """Words for the two digits of a province; 00 is what goes to all."""
    names = ask.site.catalog.codes.division_names
    return {
        "00": "全部节点",
        "moe": "部级节点",
        "moe-dr": "部级灾备",
        **{code[:2]: name for code, name in names.items() if code.endswith("0000")},
    }


def _facets(ask: Ask, counted: Counts) -> tuple[Facet, ...]:
    shown: tuple[tuple[str, str, Mapping[str, str]], ...] = (
        ("state", "状态", _WORDS), ("direction", "方向", {}), ("party", "节点", _parties(ask)),
        ("stream", "数据流", STREAMS),
    )  # fmt: skip
    return tuple(
        facet(ask, name, label, [(v, words.get(v, v), n) for v, n in counted.facet(name)])
        for name, label, words in shown
    )


def _sees_all(ask: Ask) -> bool:
    """True for who may see every record of the node."""
    return any(s.whole and not s.categories for s in (*ask.scopes("query"), *ask.scopes("audit")))


def _batch(ask: Ask, reader: Reader) -> tuple[Line, Kept]:
    line = find(reader, ask.path["batch"])
    if line is None:
        raise not_here("没有这个批次")
    return line, kept_batch(reader, ask.site.node, line.batch_id)


def _entry(ask: Ask, kept: Kept) -> tuple[FileEntry, Manifest]:
    manifest = kept.manifest()
    entry = next((f for f in manifest.files if f.n == ask.path["number"]), None) if manifest else None
    if manifest is None or entry is None:
        raise not_here("该批次没有这个文件")
    return entry, manifest


def _detail(ask: Ask, line: Line, kept: Kept, *, before: str | None, after: str | None, checks: Any = None) -> Response:
    try:
        manifest, fault = kept.manifest(), ""
    except HubError as error:
        manifest, fault = None, error.sentence()
    return ask.page(
        "batches/detail.html", line=line, kept=kept, manifest=manifest, fault=fault, before=before, after=after,
        checks=checks, streams=STREAMS, entities=ask.site.catalog.entities, parties=_parties(ask),
        steps=ask.site.steps(ask, "batch", line), shut=not _sees_all(ask),
    )  # fmt: skip


def _signed(ask: Ask, line: Line, title: str, name: str, envelope: bytes | None, kind: PayloadType) -> Response:
    """A signed document: its payload in order, the signatures by key id."""
    if not envelope:
        raise not_here("本节点没有保存这份文件")
    opened = parse(envelope, kind, where=name)
    body = json.dumps(strictjson.parse_object(opened.payload), ensure_ascii=False, indent=2)
    return ask.page("batches/signed.html", line=line, title=title, name=name, body=body, signatures=opened.signatures)
