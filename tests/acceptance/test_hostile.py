"""Bytes made to hurt: envelopes, CMS, Parquet, workbooks, formulas (protocol 11.3): rows 6, 7, 25, 26, 56-58."""

from __future__ import annotations

import csv
import hashlib
import io
import time
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest

from connectors.xlsx import read_template
from hub.batch import cms, strictjson
from hub.batch.envelope import PayloadType, build, parse
from hub.batch.manifest import FileEntry
from hub.catalog import load_catalog
from hub.csvfile import csv_bytes, unmarked
from hub.errors import InputError, RefusedError
from province_node.sheets import write_book
from tests.connectors.test_xlsx import MAIN, SCHOOL, TEACHER, cells, handmade, teacher
from tests.connectors.test_xlsx import write as write_template
from tests.fuzz.mutate import mutations
from tests.fuzz.readers import outcome, targets
from tests.ministry.forge import Forged, Province, flip
from tests.vectors.build import SPOILT

HOSTILE: dict[str, bytes] = {
    "duplicate key": b'{"v":1,"seq":2,"seq":3}',
    "NaN": b'{"v":1,"seq":NaN}',
    "float seq": b'{"v":1,"seq":2.0}',
    "depth bomb": b'{"v":' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    "lone surrogate": b'{"v":1,"from":"\\ud800"}',
}


def rejected(province: Province, forged: Forged, manifest: bytes, code: str) -> None:
    """Such an envelope is refused with the code: evidence and an alarm, no receipt, no state; the true one applies."""
    before, out = province.state(), province.out
    province.upload(forged, manifest=manifest)
    result = province.intake()
    assert [(d.verdict, d.code, d.receipt_name) for d in result.decisions] == [("REJECTED", code, None)]
    assert code in [alarm.code for alarm in result.alarms]
    assert (province.state(), province.out) == (before, out)
    assert manifest in province.evidence().values()


@pytest.mark.row(6, "duplicate JSON keys / NaN / float seq / depth bomb / lone surrogate", "E_ENV_JSON, < 50 ms")
@pytest.mark.parametrize("name", HOSTILE)
def test_row_6_an_envelope_that_is_no_strict_json_is_refused_at_once(province: Province, name: str) -> None:
    spent = []
    for _ in range(5):  # the best of them: other threads of this process spend time too
        begun = time.thread_time()
        with pytest.raises(RefusedError):
            strictjson.parse_object(HOSTILE[name])
        spent.append(time.thread_time() - begun)
    assert min(spent) < 0.05
    rejected(province, province.batch(), HOSTILE[name], "E_ENV_JSON")
    assert province.intake().decisions == ()


@pytest.mark.row(6, "duplicate JSON keys / NaN / float seq / depth bomb / lone surrogate", "E_ENV_JSON, < 50 ms")
def test_row_6_a_signed_payload_that_is_no_strict_json_is_refused_too(province: Province) -> None:
    """The envelope is flawless and the signature the province's own: only the payload is not strict."""
    forged = province.batch()
    payload = parse(forged.envelope, PayloadType.BATCH_MANIFEST).payload
    doubled = payload[:-1] + b',"seq":2}'
    rejected(province, forged, build(PayloadType.BATCH_MANIFEST, doubled, [province.keys.signer]), "E_ENV_JSON")


@pytest.mark.row(7, "300 KiB envelope", "E_ENV_SIZE")
def test_row_7_an_envelope_of_300_kib_is_refused_unread(province: Province) -> None:
    forged = province.batch()
    big = forged.envelope[:-1] + b',"pad":"' + b"x" * (300 << 10) + b'"}'
    before, out = province.state(), province.out
    province.upload(forged, manifest=big)
    assert [d.code for d in province.intake().decisions] == ["E_ENV_SIZE"]
    assert (province.state(), province.out) == (before, out)
    province.upload(forged)
    assert province.decide().verdict == "APPLIED"


@pytest.mark.row(25, "RecipientInfo of another recipient altered", "E_FILE_DIGEST")
def test_row_25_another_partys_recipient_info_is_covered_by_the_digest(province: Province) -> None:
    forged = province.batch()
    ((name, part),) = forged.parts.items()
    header = cms.read_header(part, len(part))
    ours = province.keys.trust.newest_encryption_cert("moe", forged.manifest.created).cert
    others = [info for info in header.recipients if ours.serial_number.to_bytes(20, "big").lstrip(b"\0") not in info]
    at = part.index(others[0]) + len(others[0]) - 5
    before = province.state()
    province.upload(forged, part=flip(part, at))
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_FILE_DIGEST")
    assert province.state() == before
    assert province.plaintext_left() == []
    province.upload(forged)
    assert province.decide().verdict == "APPLIED"
    assert name in forged.parts


def sealed_with(province: Province, forged: Forged, part: bytes) -> Forged:
    """The batch around other ciphertext, its digest and size signed: the fault is sealed in."""
    (entry,) = forged.manifest.files
    digest = replace(entry.digest, cms_size=len(part), cms_sha256=hashlib.sha256(part).hexdigest())
    files: tuple[FileEntry, ...] = (replace(entry, digest=digest),)
    return province.sign(replace(forged.manifest, files=files), {entry.name: part})


@pytest.mark.row(26, "BER indefinite length, trailing byte, non-minimal length, CBC, 12-byte tag", "E_DECRYPT")
@pytest.mark.parametrize(
    "name", ["indefinite-length", "trailing-byte", "non-minimal-length", "cbc", "enveloped-data", "twelve-byte-tag"]
)
def test_row_26_ciphertext_outside_the_strict_profile_is_refused_though_its_digest_is_signed(
    province: Province, name: str
) -> None:
    plain = province.batch()
    (part,) = plain.parts.values()
    forged = sealed_with(province, plain, SPOILT[name](part))
    before = province.state()
    province.upload(forged)
    decision = province.decide()
    assert (decision.verdict, decision.code) == ("REFUSED", "E_DECRYPT")
    assert province.state() == before
    assert province.plaintext_left() == []


@pytest.mark.row(56, "3,000 mutated Parquet/CMS files", "no crash of the service, no wrong rows")
def test_row_56_spoiled_files_are_refused_or_mean_what_they_meant() -> None:
    with targets() as found:
        for target in (t for t in found if t.name in ("CMS", "Parquet")):
            codes = Counter(outcome(target, data) for data in mutations(target.good, 1500, seed=56))
            assert sum(codes.values()) == 1500
            assert codes["E_DECRYPT" if target.name == "CMS" else "E_PARQUET"] > 500
            assert outcome(target, target.good) is None


@pytest.mark.row(56, "3,000 mutated Parquet/CMS files", "no crash of the service, no wrong rows")
def test_row_56_a_spoiled_part_never_reaches_the_tables(province: Province) -> None:
    forged, before = province.batch(), province.state()
    ((name, part),) = forged.parts.items()
    for spoiled in mutations(part, 4, seed=1):
        province.upload(forged, part=spoiled)
        assert province.decide().verdict == "REFUSED"
        assert province.state()["golden"] == before["golden"]
    province.upload(forged)
    assert province.decide().verdict == "APPLIED"
    assert (province.ready / name).exists() is False


def _workbook(kind: str, folder: Path) -> Path:
    path = folder / f"教师_{SCHOOL}.xlsx"
    head = cells(1, TEACHER[:5])
    if kind == "entity bomb":
        levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
        before = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{levels}]>'
        return handmade(path, cells(1, ["&e9;"]), before=before)
    if kind == "XXE":
        before = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
        return handmade(path, head + cells(2, ["&e;"]), before=before)
    if kind == "row beyond every sheet":
        return handmade(path, head + cells(2_000_000_000, ["x"]))
    if kind == "400 MB cell":
        handmade(path, head + "<!--cell-->")
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                if not name.endswith("sheet1.xml"):
                    archive.writestr(name, content)
            with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part:
                part.write(f'<worksheet {MAIN}><sheetData><row r="1"><c t="inlineStr"><is><t>'.encode())
                for _ in range(400):
                    part.write(b"x" * (1 << 20))
                part.write(b"</t></is></c></row></sheetData></worksheet>")
        return path
    handmade(path, head)  # traversal: members that point outside the archive
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escaped", b"x")
        archive.writestr("/tmp/escaped-absolute", b"x")  # noqa: S108
    return path


@pytest.mark.row(57, "xlsx: entity bomb, XXE, XFD1048576, 400 MB cell; traversal", "refused, service survives")
@pytest.mark.parametrize("kind", ["entity bomb", "XXE", "row beyond every sheet", "400 MB cell", "traversal"])
def test_row_57_a_hostile_workbook_hurts_nobody(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    path, catalog = _workbook(kind, folder), load_catalog()
    assert path.stat().st_size < 2 << 20
    if kind == "traversal":
        assert read_template(path, catalog).rows.num_rows == 0
    else:
        with pytest.raises(InputError) as refusal:
            read_template(path, catalog)
        hostname = Path("/etc/hostname").read_text().strip() or "-"
        assert hostname not in str(refusal.value)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [path.name]
    assert not Path("/tmp/escaped-absolute").exists()  # noqa: S108
    good = write_template(folder / f"好_{SCHOOL}.xlsx", [TEACHER, teacher()])
    assert read_template(good, catalog).rows.num_rows == 1


@pytest.mark.row(57, "xlsx: entity bomb, XXE, XFD1048576, 400 MB cell; traversal", "refused, service survives")
def test_row_57_the_last_cell_of_the_sheet_and_archives_in_the_exchange(tmp_path: Path, province: Province) -> None:
    corner = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    path = handmade(tmp_path / f"a_{SCHOOL}.xlsx", cells(1, TEACHER[:5]) + corner)
    assert read_template(path, load_catalog()).rows.num_rows == 0
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("../../../etc/escaped", b"x")
    before = province.state()
    for name in ("batch.zip", "batch.tar"):
        (province.ready / name).write_bytes(body.getvalue())
    assert len(province.intake().alarms) >= 2
    assert province.state() == before
    assert list(province.ready.iterdir()) == []  # kept as evidence, unopened


HYPERLINK = '=HYPERLINK("http://x","y")'
FORMULAS = [HYPERLINK, "+cmd|' /C calc'!A0", "@SUM(1)", "-1+1", "\tx", "\rx", "'=already", "''x", "张三"]


@pytest.mark.row(58, "name cell =HYPERLINK(…), +cmd, @x exported", "the file shows text, re-import equals the original")
def test_row_58_an_exported_formula_is_text_and_comes_back_as_it_was(tmp_path: Path) -> None:
    batch: Any = pa.record_batch([pa.array(FORMULAS)], names=["XM"])
    read = [row[0] for row in csv.reader(io.StringIO(bytes(csv_bytes(batch)).decode(), newline=""))]
    assert not [text for text in read if text[0] in "=+-@\t\r"]
    assert [unmarked(text) for text in read] == FORMULAS
    # A workbook may hold no bare carriage return: XML readers turn it into a line feed.
    texts = [text for text in FORMULAS if "\r" not in text]
    write_book(tmp_path / "out.xlsx", [("sheet1", ["姓名"], [[text] for text in texts])])
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").worksheets[0]
    found = [row[0] for row in sheet.iter_rows(min_row=2)]
    assert {cell.data_type for cell in found} == {"s"}
    assert [cell.value for cell in found] == texts
