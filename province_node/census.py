"""The census at the province: what stands in the store, bucket by bucket, sealed; buckets sent again (protocol 9.3).

Decides what the store holds at the stream's own position: publishing moves rows and position together, so a census
sealed next is of exactly the batches before it. A repair lists its buckets with their digests first, then their rows
and, as deletions, their tombstones.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from hub.audit import Event
from hub.batch.manifest import Watermark
from hub.catalog import Entity
from hub.census import CENSUS, NONCE, Tally, in_buckets, tally, within, write_census
from hub.changes import ChangeFile, Counts, change_schema
from hub.store import Reader
from province_node import controls
from province_node.apart import Piece, seal_apart
from province_node.desk import Desk
from province_node.epoch import done
from province_node.sealing import Plan, SealedBatch
from province_node.stream import Standing, standing
from province_node.window import window

REPAIR: Final = "repair"
_ROWS: Final = 200_000
Buckets = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Share:
    """One repair batch: buckets by entity."""

    buckets: Buckets
    rows: int


def seal_census(desk: Desk) -> SealedBatch:
    """Counts every golden row and seals the census as the stream's next batch; raises as `seal_apart`."""
    with work_folder(desk, "census") as folder:
        with desk.store.reading() as reader:
            here = standing(reader, desk.node.party, desk.keyring)
            counted = stock(desk, reader)
        file = census_file(desk, folder / "census.parquet", counted)
        plan = apart_plan(here, 1, (file,), "census")

        def also(transaction: Any, batches: Any) -> None:
            done(transaction)
            desk.note(transaction, Event.CENSUS_SEALED, batches[0].manifest.batch_id, {"buckets": file.counts.rows})

        (sealed,) = seal_apart(desk, here, [Piece(plan)], hi=here.hi, also=also)
    return sealed


def seal_repairs(desk: Desk) -> tuple[SealedBatch, ...]:
    """Seals the buckets of every repair order that was not carried out yet; () when there is none."""
    sealed: list[SealedBatch] = []
    with desk.store.reading() as reader:
        orders = controls.open_repairs(reader)
    for order in orders:
        buckets = {e: some for e, some in order.buckets.items() if e in desk.catalog.entities}
        sealed += _repair(desk, order.number, buckets)
    return tuple(sealed)


def _repair(desk: Desk, number: int, buckets: Buckets) -> tuple[SealedBatch, ...]:
    with work_folder(desk, f"repair-{number}") as folder:
        pieces: list[Piece] = []
        with desk.store.reading() as reader:
            here = standing(reader, desk.node.party, desk.keyring)
            counted = within(stock(desk, reader, buckets), buckets)
            cut = list(shares(counted, desk.node.settings.max_batch_rows))
            if not window(reader, here, desk.keyring.trust.limits.in_flight).admits(len(cut)):
                return ()  # the order stands until there is room
            for share in cut:
                some = len(pieces) + 1
                scope = within(counted, share.buckets)
                files = [census_file(desk, folder / f"{some}-scope.parquet", scope)]
                for name, numbers in share.buckets.items():
                    files += _bucket_file(desk, reader, folder / f"{some}-{name}.parquet", name, numbers)
                pieces.append(Piece(apart_plan(here, some, tuple(files), REPAIR)))

        def also(transaction: Any, _batches: Any) -> None:
            controls.carried_out(transaction, number)
            desk.note(transaction, Event.CONTROL_DONE, f"control {number}", {"batches": len(pieces)})

        return seal_apart(desk, here, pieces, hi=here.hi, also=also)


def shares(counted: Tally, limit: int) -> Iterator[Share]:
    """Buckets in groups of at most `limit` rows, as far as whole buckets allow."""
    held: dict[str, list[int]] = {}
    rows = 0
    for name, buckets in sorted(counted.items()):
        for bucket, (size, _digest) in sorted(buckets.items()):
            if held and rows + size > limit:
                yield Share({e: tuple(some) for e, some in held.items()}, rows)
                held, rows = {}, 0
            held.setdefault(name, []).append(bucket)
            rows += size
    if held:
        yield Share({e: tuple(some) for e, some in held.items()}, rows)


def stock(desk: Desk, reader: Reader, only: Iterable[str] | None = None) -> Tally:
    """The store's golden rows, bucket by bucket, of all entities or of those named."""
    names = desk.catalog.entities if only is None else only
    counted = {}
    for name in names:
        entity = desk.catalog.entities[name]
        desk.progress("publish", f"普查 {entity.cn}")
        counted[name] = tally(entity, reader.read(entity, node=desk.node.party))
    return {name: buckets for name, buckets in counted.items() if buckets}


def census_file(desk: Desk, path: Path, counted: Tally) -> ChangeFile:
    """The census as a file to be sealed."""
    rows = write_census(path, counted, nonce=desk.rng(32).hex())
    return ChangeFile(CENSUS, path, 1, rows.total, Counts(rows.inserted))


def apart_plan(here: Standing, following: int, files: tuple[ChangeFile, ...], kind: str, **more: Any) -> Plan:
    """The batch `following` places after `here`; it takes up no change-log id."""
    seq = here.position.last_seq + following
    return Plan(here.position.stream_id, seq, files, kind=kind, watermark=Watermark(here.hi + 1, here.hi), **more)


def write_rows(desk: Desk, path: Path, entity: Entity, blocks: Iterable[Any], op: str) -> Iterator[tuple[Path, int]]:
    """Golden rows as change files of at most 200,000 rows: (path, rows) each; `path` gets a number."""
    schema = change_schema(entity)
    writer, rows, number, target = None, 0, 0, path
    try:
        for block in blocks:
            if writer is None:
                number += 1
                target = path.with_name(f"{path.stem}-{number:03d}.parquet")
                told = schema.with_metadata({NONCE: desk.rng(32).hex().encode("ascii")})
                writer, rows = pq.ParquetWriter(target, told, compression="zstd"), 0
            operations = pa.array([op]).take(pa.array([0] * block.num_rows, pa.int32()))
            columns = [operations, *(block.column(name) for name in schema.names[1:])]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            rows += block.num_rows
            if rows >= _ROWS:
                writer.close()
                writer = None
                yield target, rows
    finally:
        if writer is not None:
            writer.close()
    if writer is not None:
        yield target, rows


def _bucket_file(desk: Desk, reader: Reader, path: Path, name: str, buckets: tuple[int, ...]) -> list[ChangeFile]:
    """Rows of some buckets as updates, their tombstones as deletions."""
    entity, party = desk.catalog.entities[name], desk.node.party
    live = [pk for some in in_buckets(reader.read(entity, node=party, columns=["pk"]), buckets) for pk in some]
    files = [
        ChangeFile(name, written, 1, rows, Counts(updated=rows))
        for written, rows in write_rows(desk, path, entity, reader.read(entity, node=party, pks=live), "U")
    ]
    graves = [g for block in reader.buried(entity, party) for g in _graves(block, buckets)]
    if graves:
        empty = dict.fromkeys(change_schema(entity).names)
        rows = [{**empty, "op": "D", "pk": pk, "row_ver": version} for pk, version in graves]
        target = path.with_name(f"{path.stem}-graves.parquet")
        told = change_schema(entity).with_metadata({NONCE: desk.rng(32).hex().encode("ascii")})
        pq.write_table(pa.Table.from_pylist(rows, schema=told), target, compression="zstd")
        files.append(ChangeFile(name, target, 1, len(rows), Counts(deleted=len(rows))))
    return files


def _graves(block: Any, buckets: tuple[int, ...]) -> list[tuple[str, int]]:
    wanted = {pk for some in in_buckets([block], buckets) for pk in some}
    pairs = zip(block.column("pk").to_pylist(), block.column("row_ver").to_pylist(), strict=True)
    return [(pk, version) for pk, version in pairs if pk in wanted]


@contextmanager
def work_folder(desk: Desk, name: str) -> Iterator[Path]:
    """A folder for plaintext on its way into a seal, gone whatever happens (protocol 5.6)."""
    folder = desk.node.work / f"apart-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
