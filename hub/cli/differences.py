"""`hub records differences`: reviewed supplement values (L) that an authority contradicts, with both values.

Decides columns and masking only: which values differ was decided by settling, which keeps every losing value as a
conflict (issue 3, survivorship). Provinces hold that list; the ministry has none. The command joins the group of
`hub.cli.records`; the entry point names this module, which brings both.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow as pa
import sqlalchemy as sa
import typer
from rich.console import Console

from hub.audit import Event
from hub.catalog import Catalog
from hub.cli.output import Progress, emit, table
from hub.cli.records import app, entity_of
from hub.cli.release import release_of
from hub.cli.shell import shell_of
from hub.csvfile import new_file, write_csv
from hub.masking import mask_key, mask_value
from hub.store import Reader, Store
from hub.store.ledger import CONFLICT, NO_FIELD, RUN
from hub.store.supplement_tables import SUPPLEMENT_FILE

COLUMNS: Final = (
    "entity", "natural_key", "field", "name", "local_value", "authority", "authority_value", "standing", "source_file",
    "source_row", "supplement_file", "school", "since", "run_no", "closed_run", "pk",
)  # fmt: skip
GAVE_WAY, STANDS, NO_RECORD = "已让位", "补录值在用", "未入库"
_LOCAL: Final = "L"
_BLOCK: Final = 20_000
_TRACE: Final = re.compile(r"L(\d+):(\d+)")
Row = dict[str, Any]


@app.command("differences")
def differences(
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="文件", help="写入的文件：.json 写 JSON，其余写 CSV")
    ] = None,
    entity: Annotated[str | None, typer.Option("--entity", metavar="实体", help="只看一个实体，例如 xs")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="明文导出（须同时给出 --purpose，并记入审计）")] = False,
    purpose: Annotated[str | None, typer.Option("--purpose", metavar="用途", help="明文导出的用途，记入审计")] = None,
    everything: Annotated[bool, typer.Option("--all", help="连同已不再相异的")] = False,
) -> None:
    """学校补录与权威源相异的值：已让位的，和因权威源的值无效而仍在用的；自何时起、出自哪个补录文件。"""
    shell = shell_of(ctx)
    node, catalog = shell.open_node(), shell.catalog()
    names = [entity_of(ctx, entity).name] if entity else list(catalog.entities)
    release, store = release_of(plain, purpose), shell.open_store(node)
    groups: Counter[tuple[str, str, str]] = Counter()

    def blocks() -> Iterator[list[Row]]:
        for block in _found(store, catalog, node.party, names, everything, plain=plain):
            groups.update((r["entity"], r["field"], r["standing"]) for r in block)
            yield block

    with Progress() as progress:
        progress.step("导出", "补录差异")
        if out is None:
            for _ in blocks():
                pass
        else:
            event = Event.PLAINTEXT_EXPORTED if plain else Event.RECORDS_EXPORTED
            rows = _count(store, names, everything)
            release.record(store, event, shell, node, target="supplement differences", rows=rows)
            _write(out, blocks(), private=plain)
    told = [{"entity": e, "field": f, "standing": s, "rows": n} for (e, f, s), n in sorted(groups.items())]
    total = sum(groups.values())

    def render(console: Console) -> None:
        shown = [[catalog.entities[e].cn, f, s, n] for (e, f, s), n in sorted(groups.items())]
        console.print(table("补录与权威源相异", ["实体", "字段", "现状", "条数"], shown))
        where = f"（{'明文' if plain else '已脱敏'}）：{out}" if out else "；逐条导出：加 --out 文件"
        console.print(f"共 {total:,} 条{where}" if total else "没有与权威源相异的补录值（差异清单由省级节点保存）。")

    document = {"node": node.party, "total": total, "groups": told, "file": out.name if out else None, "plain": plain}
    emit(shell, document, render)


def _wanted(names: list[str], everything: bool) -> list[sa.ColumnElement[bool]]:
    found = [CONFLICT.c.source == _LOCAL, CONFLICT.c.entity.in_(names)]
    return found if everything else [*found, CONFLICT.c.closed_run.is_(None)]


def _count(store: Store, names: list[str], everything: bool) -> int:
    query = sa.select(sa.func.count()).select_from(CONFLICT).where(*_wanted(names, everything))
    with store.reading() as reader:
        return int(reader.connection.execute(query).scalar_one())


def _found(
    store: Store, catalog: Catalog, node: str, names: list[str], everything: bool, *, plain: bool
) -> Iterator[list[Row]]:
    """Blocks of differences, entity by entity, in the order they were found."""
    with store.reading() as reader:
        files = _files(reader)
        for name in names:
            golden = store.tables.golden[name]
            query = (
                sa.select(CONFLICT, golden.c.prov, RUN.c.ended)
                .outerjoin(golden, sa.and_(golden.c.node == node, golden.c.pk == CONFLICT.c.pk))
                .outerjoin(RUN, RUN.c.run_no == CONFLICT.c.run_no)
                .where(*_wanted([name], everything))
                .order_by(CONFLICT.c.conflict_no)
            )
            result = reader.connection.execute(query.execution_options(yield_per=_BLOCK)).mappings()
            for block in result.partitions(_BLOCK):
                yield [_shown(catalog, dict(row), files, plain=plain) for row in block]


def _files(reader: Reader) -> dict[int, int]:
    """Numbers of the waiting area's files by the extract number they were taken in under."""
    query = sa.select(SUPPLEMENT_FILE.c.extract_no, SUPPLEMENT_FILE.c.file_no)
    return {
        int(n): int(f) for n, f in reader.connection.execute(query.where(SUPPLEMENT_FILE.c.extract_no.is_not(None)))
    }


def _shown(catalog: Catalog, row: Row, files: dict[int, int], *, plain: bool) -> Row:
    entity = catalog.entities[row["entity"]]
    name = None if row["field"] == NO_FIELD else row["field"]
    field = entity.by_name.get(name or "")
    key, own, other = row["natural_key"], row["value"], row["winner_value"]
    if not plain:
        key, own, other = mask_key(entity, key), mask_value(field, own), mask_value(field, other)
    trace = _TRACE.match(row["src_rid"] or "")
    number, line = (int(trace[1]), int(trace[2])) if trace else (None, None)
    return {
        "entity": entity.name,
        "natural_key": key,
        "field": name,
        "name": field.cn if field else None,
        "local_value": own,
        "authority": row["winner_source"],
        "authority_value": other,
        "standing": _standing(row["prov"], entity.columns.index(name) if field and name else None),
        "source_file": number,
        "source_row": line,
        "supplement_file": files.get(number) if number is not None else None,
        "school": row["school"],
        "since": row["ended"],
        "run_no": row["run_no"],
        "closed_run": row["closed_run"],
        "pk": row["pk"],
    }


def _standing(prov: str | None, at: int | None) -> str:
    """Whose value the golden row holds now: the letter of the field says it."""
    if prov is None or at is None:
        return NO_RECORD
    return STANDS if prov[at : at + 1] == _LOCAL else GAVE_WAY


def _write(out: Path, blocks: Iterator[list[Row]], *, private: bool) -> None:
    with new_file(out, private=private) as file:
        if out.suffix.lower() != ".json":
            write_csv(file, COLUMNS, (_batch(block) for block in blocks))
            return
        file.write(b"[")
        before = b"\n"
        for block in blocks:
            for row in block:
                file.write(before + json.dumps(row, ensure_ascii=False).encode())
                before = b",\n"
        file.write(b"\n]\n")


def _batch(rows: list[Row]) -> Any:
    texts = [pa.array([None if r[c] in (None, "") else str(r[c]) for r in rows], pa.string()) for c in COLUMNS]
    return pa.record_batch(texts, names=list(COLUMNS))
