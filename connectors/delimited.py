"""A folder of `<TABLE>.csv`, `.txt` or `.tsv` files as a source: `delimited:DIR?encoding=auto&delimiter=,`.

Decides which bytes are which text and where a file breaks its own promise. Files are read twice, once to know their
encoding and once to parse, never whole: memory is one block.

- UTF-8 with or without BOM, else GB18030, which holds all of GBK; a declared GBK or GB2312 is read as GB18030.
- The first row is the header. A header named twice, a row of another width, or bytes of neither encoding refuse the
  file, with the line.
- An empty field is NULL, a quoted empty field is the empty text.
"""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from connectors.base import BLOCK_ROWS, Probe, block_schema, check_since, columns_missing, table_missing
from hub.catalog import SourceTable
from hub.errors import InputError, UsageError

SUFFIXES = (".csv", ".txt", ".tsv")
ENCODINGS = {"utf-8": "utf-8", "utf8": "utf-8", "gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030"}
DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
CHUNK = 1 << 20
MAX_FIELD = 1 << 20
UTF8_PROOF = 40  # about twenty Chinese characters


@dataclass(frozen=True)
class Layout:
    """One file: how it is encoded and cut, and which header stands for which layout column."""

    path: Path
    encoding: str
    delimiter: str
    headers: tuple[str, ...]
    columns: dict[str, str]


class DelimitedSource:
    """Files of one source system in one folder."""

    def __init__(self, folder: Path, *, encoding: str = "auto", delimiter: str | None = None) -> None:
        self.folder = folder
        self.name = f"delimited:{folder}"
        if encoding != "auto" and encoding.lower() not in ENCODINGS:
            raise UsageError(
                "E2209", "不认识的字符集", where=f"数据源 {self.name}", step="encoding 取 auto、utf-8、gb18030 或 gbk"
            )
        self.encoding = encoding.lower()
        self.delimiter = DELIMITERS.get(delimiter or "", delimiter)
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise UsageError(
                "E2209", "分隔符必须是一个字符", where=f"数据源 {self.name}", step="delimiter 取 , ; | 或 tab"
            )

    def close(self) -> None:
        """Nothing is held open between questions."""

    def probe(self, table: SourceTable) -> Probe:
        path = self._path(table)
        if path is None:
            return Probe(present=False)
        layout = self._layout(path, table)
        known = {n.casefold() for n in table.column_names}
        missing = tuple(n for n in table.column_names if n not in layout.columns)
        extra = tuple(h for h in layout.headers if h.casefold() not in known)
        return Probe(True, missing, extra, sum(b.num_rows for b in _stream(layout, layout.headers[:1], BLOCK_ROWS)))

    def read(
        self, table: SourceTable, *, since: str | None = None, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        layout = self._needed(table)
        mark = check_since(since) if since is not None and table.updated else None
        for batch in self._columns(layout, table.column_names, block_rows):
            if mark is not None:
                updated = batch.column(table.updated)
                batch = batch.filter(pc.or_kleene(pc.greater_equal(updated, mark), pc.is_null(updated)))
            if batch.num_rows:
                yield batch

    def read_keys(self, table: SourceTable, *, block_rows: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        yield from self._columns(self._needed(table), table.key, block_rows)

    def read_rows(
        self, table: SourceTable, keys: pa.Table, *, block_rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        wanted = _joined([keys.column(k).combine_chunks() for k in table.key])
        for batch in self._columns(self._needed(table), table.column_names, block_rows):
            taken = batch.filter(pc.is_in(_joined([batch.column(k) for k in table.key]), value_set=wanted))
            if taken.num_rows:
                yield taken

    def count(self, table: SourceTable) -> int:
        return sum(b.num_rows for b in self.read_keys(table))

    def high_mark(self, table: SourceTable) -> str | None:
        if table.updated is None:
            return None
        batches = self._columns(self._needed(table), (table.updated,), BLOCK_ROWS)
        marks = [m for b in batches if (m := pc.max(b.column(0)).as_py()) is not None]
        return max(marks, default=None)

    def _path(self, table: SourceTable) -> Path | None:
        if not self.folder.is_dir():
            raise InputError(
                "E2201",
                "数据源文件夹不存在",
                where=f"数据源 {self.name}，表 {table.name}",
                step="核对文件夹位置；源系统未交付时无须处理，本次不会更改或删除任何数据",
            )
        found = sorted(
            p
            for p in self.folder.iterdir()
            if p.suffix.lower() in SUFFIXES and p.stem.casefold() == table.table.casefold()
        )
        if len(found) > 1:
            raise InputError(
                "E2207",
                f"同一张表有 {len(found)} 个文件：{'、'.join(p.name for p in found)}",
                where=f"数据源 {self.name}，表 {table.name}",
                step="只保留一个文件后重试",
            )
        return found[0] if found else None

    def _needed(self, table: SourceTable) -> Layout:
        path = self._path(table)
        if path is None:
            raise table_missing(self.name, table)
        layout = self._layout(path, table)
        if missing := tuple(n for n in table.column_names if n not in layout.columns):
            raise columns_missing(self.name, table, missing)
        return layout

    def _layout(self, path: Path, table: SourceTable) -> Layout:
        encoding = _encoding(path, self.encoding)
        with _text(path, encoding) as file:
            delimiter = self.delimiter or _delimiter(path, file.readline(MAX_FIELD))
            file.seek(0)
            headers = _header(file, delimiter, path)
        if not any(headers):
            raise InputError("E2202", "文件没有表头", where=f"文件 {path.name}，第 1 行", step="第一行写列名后重新交付")
        twice = [h for h, n in Counter(h.casefold() for h in headers).items() if n > 1]
        if twice:
            shown = "、".join(h.upper() or "（空）" for h in twice)
            raise InputError(
                "E2203",
                f"表头重复：{shown}",
                where=f"文件 {path.name}，第 1 行，列 {shown}",
                step="每个列名只保留一列后重新交付",
            )
        own = {h.casefold(): h for h in headers}
        columns = {n: own[n.casefold()] for n in table.column_names if n.casefold() in own}
        return Layout(path, encoding, delimiter, headers, columns)

    def _columns(self, layout: Layout, names: tuple[str, ...], block_rows: int) -> Iterator[pa.RecordBatch]:
        schema = block_schema(names)
        for batch in _stream(layout, tuple(layout.columns[n] for n in names), block_rows):
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)


def _stream(layout: Layout, headers: tuple[str, ...], block_rows: int) -> Iterator[pa.RecordBatch]:
    """The file's columns `headers` in blocks of at most `block_rows` rows and 16 MiB of text."""
    read = pacsv.ReadOptions(
        column_names=list(layout.headers),
        skip_rows_after_names=1,
        encoding=layout.encoding,
        block_size=min(max(block_rows * 256, MAX_FIELD), 16 << 20),
        use_threads=False,
    )
    convert = pacsv.ConvertOptions(
        column_types=block_schema(layout.headers),
        include_columns=list(headers),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    parse = pacsv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True)
    try:
        with pacsv.open_csv(layout.path, read_options=read, parse_options=parse, convert_options=convert) as reader:
            for batch in reader:
                for start in range(0, batch.num_rows, block_rows):
                    yield batch.slice(start, block_rows)
    except pa.ArrowInvalid:
        raise _broken(layout) from None


def _broken(layout: Layout) -> InputError:
    """Which line broke the file; Arrow's own message would show the row."""
    width = len(layout.headers)
    line = 1
    step = "请源系统重新导出；含分隔符或换行的字段须加双引号"
    try:
        with _text(layout.path, layout.encoding) as file:
            reader = csv.reader(file, delimiter=layout.delimiter)
            for record in reader:
                if record and len(record) != width:
                    many = "多" if len(record) > width else "少"
                    return InputError(
                        "E2204",
                        f"一行有 {len(record)} 个字段，比表头的 {width} 个{many}",
                        where=f"文件 {layout.path.name}，第 {line} 行",
                        step=step,
                    )
                line = reader.line_num + 1
    except csv.Error:  # a field longer than any the layouts know; `line` is where it starts
        return _unpaired(layout, line, step)
    return _unpaired(layout, line, step)


def _unpaired(layout: Layout, line: int, step: str) -> InputError:
    return InputError(
        "E2206", "一行过长或引号没有成对，不能按分隔文本读取", where=f"文件 {layout.path.name}，第 {line} 行", step=step
    )


def _header(file: IO[str], delimiter: str, path: Path) -> tuple[str, ...]:
    try:
        return tuple(h.strip() for h in next(csv.reader(file, delimiter=delimiter), []))
    except csv.Error:
        raise InputError(
            "E2206", "表头过长或引号没有成对", where=f"文件 {path.name}，第 1 行", step="请源系统重新导出"
        ) from None


def _text(path: Path, encoding: str) -> IO[str]:
    return path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="")


def _delimiter(path: Path, header: str) -> str:
    """`.tsv` has tabs; elsewhere the header tells, because exports to `.txt` use any of these."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",\t|;", key=header.count)


def _encoding(path: Path, declared: str) -> str:
    """The encoding the whole file is valid in; declared ones are held to their word."""
    if declared != "auto":
        encoding = ENCODINGS[declared]
        bad = _first_bad(path, encoding)
        if bad is None:
            return encoding
        raise _wrong_encoding(path, encoding.upper(), bad[0])
    utf8 = _first_bad(path, "utf-8")
    if utf8 is None:
        return "utf-8"
    # Damaged UTF-8 often is valid GB18030 nonsense; GB18030 text never gets far as UTF-8.
    if utf8[1] > UTF8_PROOF:
        raise _wrong_encoding(path, "UTF-8", utf8[0])
    other = _first_bad(path, "gb18030")
    if other is None:
        return "gb18030"
    raise _wrong_encoding(path, "UTF-8 或 GB18030", max(utf8[0], other[0]))


def _wrong_encoding(path: Path, encodings: str, line: int) -> InputError:
    return InputError(
        "E2205",
        f"文件不是 {encodings} 编码的文本",
        where=f"文件 {path.name}，第 {line} 行",
        step="请源系统以 UTF-8 或 GB18030 重新导出",
    )


def _first_bad(path: Path, encoding: str) -> tuple[int, int] | None:
    """The line of the first undecodable byte, and how many bytes beyond one per character went well before it."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    line, extra = 1, 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK)
            given = decoder.getstate()[0] + chunk
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as bad:
                good = given[: bad.start]
                return line + good.count(b"\n"), extra + len(good) - len(good.decode(encoding))
            line += text.count("\n")
            extra += len(chunk) - len(text)
            if not chunk:
                return None


def _joined(columns: list[pa.Array]) -> pa.Array:
    """Key columns as one string, so that NULL equals NULL."""
    marked = [pc.if_else(pc.is_null(c), "-", pc.binary_join_element_wise("+", c, "")) for c in columns]
    return pc.binary_join_element_wise(*marked, "\x1f") if len(marked) > 1 else marked[0]
