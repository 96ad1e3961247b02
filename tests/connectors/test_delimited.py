"""Delimited files: what is read, what is refused, and where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.delimited import CHUNK, DelimitedSource
from connectors.registry import open_source
from hub.catalog import SourceTable
from hub.errors import InputError, UsageError
from tests.connectors.conftest import ID_NUMBER, row_of, write_delimited

Layout = Callable[[str], SourceTable]
HEADER = "JXXDM,XXDM,QRZTM,GXSJ\n"
GOOD = "4141000001,3641000192,1,2026-01-01 00:00:00\n"


def refused(folder: Path, layout: Layout, content: bytes, name: str = "XX_DZ.csv") -> InputError:
    (folder / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(DelimitedSource(folder).read(layout("S1.XX_DZ")))
    assert name in caught.value.where
    assert caught.value.step
    assert ID_NUMBER not in str(caught.value)
    return caught.value


def test_text_declared_as_gbk_with_characters_beyond_gbk_is_read(tmp_path: Path, layout: Layout) -> None:
    table = layout("S1.XS_JBXX")
    write_delimited(tmp_path / "XS_JBXX.csv", table, [row_of(table, GRBSM="L1", XM="㐂䶮𠮷")], encoding="gb18030")
    for declared in ("auto", "gbk", "gb18030"):
        (batch,) = open_source(f"delimited:{tmp_path}?encoding={declared}").read(table)
        assert batch["XM"].to_pylist() == ["㐂䶮𠮷"]


def test_a_character_across_two_blocks_of_the_file_is_still_one_character(tmp_path: Path, layout: Layout) -> None:
    table = layout("S1.XS_JBXX")
    for encoding in ("utf-8", "gb18030"):
        for shift in range(3):
            rows = [row_of(table, GRBSM="L" * (1 + shift), XM="龘" * 50) for _ in range(2 * CHUNK // 150)]
            write_delimited(tmp_path / "XS_JBXX.csv", table, rows, encoding=encoding)
            assert DelimitedSource(tmp_path).count(table) == len(rows)


def test_tabs_pipes_and_semicolons_are_recognised_from_the_header(tmp_path: Path, layout: Layout) -> None:
    for name, mark in (("XX_DZ.tsv", "\t"), ("XX_DZ.txt", "|"), ("XX_DZ.csv", ";")):
        (tmp_path / name).write_text((HEADER + GOOD).replace(",", mark), encoding="utf-8")
        assert DelimitedSource(tmp_path).count(layout("S1.XX_DZ")) == 1
        (tmp_path / name).unlink()
    (tmp_path / "XX_DZ.csv").write_text((HEADER + GOOD).replace(",", "^"), encoding="utf-8")
    assert open_source(f"delimited:{tmp_path}?delimiter=%5E").count(layout("S1.XX_DZ")) == 1


def test_an_empty_field_is_null_and_a_quoted_empty_field_is_empty_text(tmp_path: Path, layout: Layout) -> None:
    (tmp_path / "XX_DZ.csv").write_text(HEADER + '1,,"",\n', encoding="utf-8")
    (batch,) = DelimitedSource(tmp_path).read(layout("S1.XX_DZ"))
    assert batch.to_pylist() == [{"JXXDM": "1", "XXDM": None, "QRZTM": "", "GXSJ": None}]


def test_a_row_with_too_many_fields_is_refused_with_its_line(tmp_path: Path, layout: Layout) -> None:
    body = HEADER + GOOD + '"a\nb",c,1,x\n' + f"{ID_NUMBER},1,1,1,1\n" + GOOD
    error = refused(tmp_path, layout, body.encode())
    assert error.code == "E2204"
    assert "5 个字段，比表头的 4 个多" in error.what
    assert "第 5 行" in error.where


def test_a_row_with_too_few_fields_is_refused_with_its_line(tmp_path: Path, layout: Layout) -> None:
    error = refused(tmp_path, layout, (HEADER + GOOD + f"{ID_NUMBER},1\n").encode())
    assert error.code == "E2204"
    assert "2 个字段，比表头的 4 个少" in error.what
    assert "第 3 行" in error.where


def test_a_broken_row_far_into_a_file_is_refused_with_its_line(tmp_path: Path, layout: Layout) -> None:
    error = refused(tmp_path, layout, (HEADER + GOOD * 100_000 + "x,y\n").encode("gb18030"))
    assert "第 100002 行" in error.where


def test_a_header_named_twice_is_refused_with_the_name(tmp_path: Path, layout: Layout) -> None:
    error = refused(tmp_path, layout, (HEADER.replace("QRZTM", "xxdm") + GOOD).encode())
    assert error.code == "E2203"
    assert "XXDM" in error.where
    assert "第 1 行" in error.where


def test_a_file_without_a_header_is_refused(tmp_path: Path, layout: Layout) -> None:
    assert refused(tmp_path, layout, b"").code == "E2202"
    assert refused(tmp_path, layout, b"\n\n").code == "E2202"


def test_bytes_of_neither_encoding_are_refused_with_their_line(tmp_path: Path, layout: Layout) -> None:
    error = refused(tmp_path, layout, HEADER.encode() + GOOD.encode() * 2 + b"\xff\xff,1,1,1\n")
    assert error.code == "E2205"
    assert "第 4 行" in error.where


def test_damaged_utf8_is_not_taken_for_gb18030(tmp_path: Path, layout: Layout) -> None:
    line = "学校标识码对照表中的一条记录,3641000192,1,2026-01-01 00:00:00\n".encode()
    error = refused(tmp_path, layout, HEADER.encode() + line * 5 + b"\xd5\xc5" + line)
    assert error.code == "E2205"
    assert "UTF-8 编码" in error.what
    assert "第 7 行" in error.where


def test_a_declared_encoding_is_held_to_its_word(tmp_path: Path, layout: Layout) -> None:
    (tmp_path / "XX_DZ.csv").write_bytes((HEADER + "张三,1,1,1\n").encode("gb18030"))
    with pytest.raises(InputError, match="UTF-8") as error:
        open_source(f"delimited:{tmp_path}?encoding=utf-8").count(layout("S1.XX_DZ"))
    assert "第 2 行" in error.value.where


def test_a_quote_never_closed_is_refused(tmp_path: Path, layout: Layout) -> None:
    error = refused(tmp_path, layout, (HEADER + GOOD + '"' + GOOD * 3).encode())
    assert "第 3 行" in error.where
    error = refused(tmp_path, layout, (HEADER + GOOD + '"' + GOOD * 100_000).encode())
    assert error.code in ("E2204", "E2206")
    assert "第 3 行" in error.where


def test_two_files_for_one_table_are_refused(tmp_path: Path, layout: Layout) -> None:
    (tmp_path / "xx_dz.txt").write_text(HEADER, encoding="utf-8")
    (tmp_path / "XX_DZ.csv").write_text(HEADER, encoding="utf-8")
    with pytest.raises(InputError, match="2 个文件") as error:
        DelimitedSource(tmp_path).probe(layout("S1.XX_DZ"))
    assert error.value.code == "E2207"


def test_a_missing_folder_and_a_missing_column_are_named(tmp_path: Path, layout: Layout) -> None:
    with pytest.raises(InputError, match="文件夹不存在"):
        DelimitedSource(tmp_path / "none").probe(layout("S1.XX_DZ"))
    (tmp_path / "XX_DZ.csv").write_text("jxxdm,XXDM,GXSJ,BZ\n1,2,3,4\n", encoding="utf-8")
    probe = DelimitedSource(tmp_path).probe(layout("S1.XX_DZ"))
    assert (probe.missing_columns, probe.extra_columns, probe.rows) == (("QRZTM",), ("BZ",), 1)
    with pytest.raises(InputError, match="QRZTM"):
        list(DelimitedSource(tmp_path).read(layout("S1.XX_DZ")))


def test_unknown_options_are_refused() -> None:
    for url in ("delimited:", "delimited:x?sep=,", "delimited:x?encoding=utf-7", "delimited:x?delimiter=ab"):
        with pytest.raises(UsageError):
            open_source(url)


def test_blocks_stay_bounded_however_long_the_file_is(tmp_path: Path, layout: Layout) -> None:
    (tmp_path / "XX_DZ.csv").write_text(HEADER + GOOD * 200_000, encoding="utf-8")
    sizes = [b.num_rows for b in DelimitedSource(tmp_path).read(layout("S1.XX_DZ"), block_rows=5000)]
    assert sum(sizes) == 200_000
    assert max(sizes) <= 5000
