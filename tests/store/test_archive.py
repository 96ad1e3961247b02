"""The archive: what was golden at a date is found there or in the database, once, and an altered file is noticed."""

from __future__ import annotations

import copy
import random
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.archive import Moved, adopt_index, archive_versions, restore_versions, verify_archive
from hub.archive.asof import Question, ask, parse_moment
from hub.audit import verify as verify_audit
from hub.catalog import Catalog
from hub.errors import InputError, UsageError, VerificationError
from hub.store import Store, open_store
from hub.store.history_tables import moment
from tests.store.rows import batch, change, pk

START = datetime(2001, 9, 1, 4, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
YEAR_AGO = datetime(2025, 11, 1, tzinfo=UTC)
STEP = timedelta(days=310)
SCHOOLS = ("1313000001", "1313000002")
State = dict[tuple[str, str], tuple[int, str, str]]


class Years:
    """Twenty-five years of changes to a few classes of two provinces, and what was golden after each."""

    def __init__(self, store: Store, catalog: Catalog, seed: int = 7) -> None:
        self.store, self.catalog, self.bj = store, catalog, catalog.entities["bj"]
        self.after: list[tuple[datetime, State]] = []
        state: State = {}
        versions: dict[tuple[str, str], int] = {}
        rng, at = random.Random(seed), START
        while at < NOW:
            for node in ("13", "41"):
                rows = list(self._changes(rng, node, state, versions))
                with store.begin() as tx:
                    tx.apply(self.bj, node, [batch(self.bj, rows)], batch="b", at=at)
            self.after.append((at, dict(state)))
            at += STEP

    def _changes(
        self, rng: random.Random, node: str, state: State, versions: dict[tuple[str, str], int]
    ) -> Iterator[dict[str, Any]]:
        for number in rng.sample(range(12), 5):
            key = (node, pk(number))
            version = versions[key] = versions.get(key, 0) + 1
            school, name = rng.choice(SCHOOLS), f"{rng.randrange(10_000)}班"
            if key in state and rng.random() < 0.25:
                del state[key]
                yield change(self.bj, "D", number, version, XXDM=school)
            else:
                op = "U" if key in state else "I"
                state[key] = (version, name, school)
                yield change(self.bj, op, number, version, BJMC=name, XXDM=school)

    def check(self, folder: Path, memory: Path | None = None) -> int:
        """Every school and some records at every date are what they were then; archive files opened in all."""
        files = 0
        with self.store.reading() as reader:
            for at, state in self.after[::6]:
                for school in SCHOOLS:
                    question = Question(self.bj, school=school, at=moment(at + STEP / 2))
                    found = ask(reader, folder, question, memory=memory)
                    files += found.files
                    rows = {(r["node"], r["pk"]): (r["row_ver"], r["BJMC"], r["XXDM"]) for r in found.rows.to_pylist()}
                    assert rows == {k: v for k, v in state.items() if v[2] == school}
                    assert found.total == len(rows)
                one = Question(self.bj, node="41", pks=(pk(3),), at=moment(at))
                told = [
                    (r["row_ver"], r["BJMC"], r["XXDM"])
                    for r in ask(reader, folder, one, memory=memory).rows.to_pylist()
                ]
                assert told == [state[key] for key in [("41", pk(3))] if key in state]
        return files

    def history(self, folder: Path) -> list[tuple[object, ...]]:
        with self.store.reading() as reader:
            found = ask(reader, folder, Question(self.bj, node="13", pks=(pk(3),)), memory=None)
        return [(r["row_ver"], r["BJMC"], r["held_from"], r["held_to"], r["ended"]) for r in found.rows.to_pylist()]

    def move(self, folder: Path, *, actor: str = "os:test", before: datetime = YEAR_AGO, **options: Any) -> Moved:
        return archive_versions(
            self.store, self.catalog, folder, before=before, at=NOW, party="moe", actor=actor, **options
        )


def live(store: Store) -> int:
    with store.reading() as reader:
        return int(reader.connection.exec_driver_sql("SELECT COUNT(*) FROM h_bj").scalar_one())


def test_any_date_of_25_years_is_answered_alike_before_and_after_archiving_and_restoring(
    store: Store, catalog: Catalog, tmp_path: Path
) -> None:
    years, folder, memory = Years(store, catalog), tmp_path / "archive", tmp_path / "seen.json"
    assert years.check(folder) == 0
    before, told = live(store), years.history(folder)
    moved = years.move(folder, file_rows=3)
    assert moved.rows == before - live(store)
    assert len({e.held_year for e in moved.entries}) > 20
    assert years.check(folder, memory) > 50
    assert years.history(folder) == told
    versions = [int(str(v)) for v, *_ in told]
    assert versions == sorted(set(versions), reverse=True)
    assert years.move(folder).rows == 0
    found = verify_archive(store, folder)
    assert (found.faults, found.unlisted, len(found.entries)) == ((), (), len(moved.entries))
    options: dict[str, Any] = {"entity": None, "node": "13", "at": NOW, "party": "moe", "actor": "os:test"}
    back = restore_versions(store, catalog, folder, year=2010, **options)
    assert {(e.held_year, e.node) for e in back} == {(2010, "13")}
    years.check(folder, memory)
    assert years.history(folder) == told
    with pytest.raises(UsageError, match="E3545"):
        restore_versions(store, catalog, folder, year=2010, **options)
    restore_versions(store, catalog, folder, year=None, **options | {"node": None})
    assert live(store) == before
    assert years.check(folder) == 0
    assert years.move(folder).rows == moved.rows
    assert verify_archive(store, folder).faults == ()
    with store.reading() as reader:
        assert verify_audit(reader.connection) is None


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> tuple[Path, Years]:
    file = tmp_path_factory.mktemp("years") / "node.db"
    store = open_store(f"sqlite:///{file}", catalog)
    store.upgrade()
    years = Years(store, catalog)
    store.close()
    return file, years


@pytest.fixture
def years(template: tuple[Path, Years], catalog: Catalog, tmp_path: Path) -> Iterator[Years]:
    """Those years in a database of their own."""
    own = copy.copy(template[1])
    own.store = open_store(f"sqlite:///{shutil.copy(template[0], tmp_path / 'node.db')}", catalog)
    yield own
    own.store.close()


def test_a_move_that_fails_before_its_commit_leaves_every_version_in_the_database(years: Years, tmp_path: Path) -> None:
    folder, before = tmp_path / "archive", live(years.store)
    with pytest.raises(InputError, match="E3211"):  # the audit record is refused, after the file was written
        years.move(folder, actor="13010119900101123X")
    assert live(years.store) == before
    assert len(verify_archive(years.store, folder).unlisted) == 1
    assert years.move(folder).rows > 0
    assert verify_archive(years.store, folder).unlisted == ()
    years.check(folder)


def test_a_lost_or_altered_archive_file_is_named_and_answers_nothing(years: Years, tmp_path: Path) -> None:
    folder, memory = tmp_path / "archive", tmp_path / "seen.json"
    moved = years.move(folder)
    years.check(folder, memory)
    name = moved.entries[0].file_name
    assert re.fullmatch(r"\d{4}/[a-z_]+-\d{2}-\d{6}\.parquet", name)
    question = Question(years.bj, pks=(pk(3),))
    file, kept = folder / name, (folder / name).read_bytes()
    file.write_bytes(kept[:100] + bytes([kept[100] ^ 1]) + kept[101:])
    with years.store.reading() as reader:
        with pytest.raises(VerificationError, match=f"E3542.*{name}"):
            ask(reader, folder, question, memory=memory)
        file.unlink()
        with pytest.raises(VerificationError, match=f"E3541.*{name}"):
            ask(reader, folder, question, memory=memory)
        assert len(verify_archive(years.store, folder).faults) == 1
        latest = Question(years.bj, pks=(pk(3),), at=moment(NOW))
        ask(reader, folder, latest, memory=memory)  # what that file cannot tell is answered without it
        file.write_bytes(kept)
        assert ask(reader, folder, question, memory=memory).total > 0


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE archive_file SET rows_kept = rows_kept + 1 WHERE file_no = 2", "E3543"),
        ("DELETE FROM archive_file WHERE file_no = 2", "E3543"),
        ("UPDATE node_state SET value = '0 sha256:00' WHERE name = 'archive.head'", "E3543"),
        ("UPDATE audit_event SET detail = '{\"index\":\"x\"}' WHERE action = '历史版本归档'", "E3546"),
    ],
)
def test_an_index_that_was_tampered_with_is_noticed(years: Years, tmp_path: Path, statement: str, code: str) -> None:
    years.move(tmp_path / "archive")
    with years.store.begin() as tx:
        tx.connection.exec_driver_sql(statement)
    with pytest.raises(VerificationError, match=code):
        verify_archive(years.store, tmp_path / "archive")


def test_a_copy_of_the_index_that_a_crash_left_behind_is_caught_up_and_an_altered_one_is_noticed(
    years: Years, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    years.move(folder, before=datetime(2010, 1, 1, tzinfo=UTC))
    copy_of = folder / "index.jsonl"
    whole = copy_of.read_text(encoding="utf-8")
    copy_of.write_text("".join(whole.splitlines(keepends=True)[:-1]), encoding="utf-8")  # killed after the commit
    assert verify_archive(years.store, folder).faults == ()
    assert years.move(folder, before=datetime(2010, 1, 1, tzinfo=UTC)).rows == 0
    assert copy_of.read_text(encoding="utf-8") == whole
    copy_of.write_text(whole.replace('"rows_kept": ', '"rows_kept": 1', 1), encoding="utf-8")
    before = live(years.store)
    with pytest.raises(VerificationError, match="E3543"):
        years.move(folder)
    assert live(years.store) == before


def test_a_database_restored_to_before_the_archiving_adopts_the_archive_and_reads_each_version_once(
    years: Years, catalog: Catalog, tmp_path: Path
) -> None:
    folder, told = tmp_path / "archive", years.history(tmp_path / "archive")
    years.move(folder, before=datetime(2010, 1, 1, tzinfo=UTC))
    source = Path(str(years.store.file))
    years.store.close()
    shutil.copy(source, tmp_path / "backup.db")
    years.move(folder)
    years.store.close()
    shutil.copy(tmp_path / "backup.db", source)
    for leftover in ("-wal", "-shm"):
        Path(f"{source}{leftover}").unlink(missing_ok=True)
    years.store = open_store(f"sqlite:///{source}", catalog)
    with pytest.raises(VerificationError, match="E3544"):
        years.move(folder)
    assert adopt_index(years.store, folder, at=NOW, party="moe", actor="os:test")
    years.check(folder)
    assert years.history(folder) == told
    assert verify_archive(years.store, folder).faults == ()


def test_a_date_means_its_end_where_the_schools_are() -> None:
    assert parse_moment("2024-09-01") == "2024-09-01T15:59:59.999Z"
    assert parse_moment("2024-09-01T08:00:00") == "2024-09-01T00:00:00.000Z"
    assert parse_moment("2024-09-01T08:00:00Z") == "2024-09-01T08:00:00.000Z"
    with pytest.raises(UsageError, match="E3547"):
        parse_moment("1.9.2024")
