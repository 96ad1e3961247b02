"""Stored evidence is verified again, and one changed byte anywhere is named."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.cli import main
from tests.cli.conftest import Lab
from tests.cli.test_commands import BATCH, call

PART = f"{BATCH}.f01.cms"


@pytest.fixture
def own(lab: Lab, tmp_path: Path) -> Path:
    """A copy of the laboratory that a test may spoil."""
    shutil.copytree(lab.folder, tmp_path / "lab")
    return tmp_path / "lab"


def sql(node: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(node / "hub.db") as connection:
        assert connection.execute(statement, values).rowcount == 1


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def envelope(node: Path, table: str, column: str) -> bytes:
    with sqlite3.connect(node / "hub.db") as connection:
        return bytes(connection.execute(f"SELECT {column} FROM {table}").fetchone()[0])


def spoil_part(root: Path) -> None:
    flip(next(root.rglob(PART)))


def lose_part(root: Path) -> None:
    next(root.rglob(PART)).unlink()


def spoil_manifest(root: Path) -> None:
    table, column = ("outbox", "manifest") if root.name == "province" else ("inbox", "envelope")
    content = bytearray(envelope(root, table, column))
    at = content.index(b'"sig":"') + 20
    content[at] = ord("A") if content[at] != ord("A") else ord("B")
    sql(root, f"UPDATE {table} SET {column} = ?", bytes(content))


def spoil_digest(root: Path) -> None:
    table = "outbox" if root.name == "province" else "inbox"
    sql(root, f"UPDATE {table} SET digest = ?", "sha256:" + "0" * 64)


def spoil_receipt(root: Path) -> None:
    sql(root, "UPDATE receipt SET digest = ?", "sha256:" + "0" * 64)


@pytest.mark.parametrize("tier", ["province", "ministry"])
def test_untouched_evidence_verifies(lab: Lab, capsys: pytest.CaptureFixture[str], tier: str) -> None:
    code, out, _ = call(capsys, "--node", lab.folder / tier, "batch", "verify", "--all")
    assert code == 0
    assert "未发现问题" in out
    assert "✘" not in out


@pytest.mark.parametrize("tier", ["province", "ministry"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_part, PART),
        (spoil_manifest, "清单签名"),
        (spoil_digest, "清单摘要"),
        (spoil_receipt, "回执 1"),
    ],
)
def test_one_changed_byte_exits_4_and_is_named(
    own: Path, capsys: pytest.CaptureFixture[str], tier: str, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(own / tier)
    code, _, err = call(capsys, "--node", own / tier, "batch", "verify", BATCH)
    assert code == 4
    assert "[E3501]" in err
    assert said in err.splitlines()[-1]
    assert BATCH in err


def test_the_ministry_must_keep_what_it_applied_and_the_province_may_let_go(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for tier, code in (("province", 0), ("ministry", 4)):
        lose_part(own / tier)
        assert call(capsys, "--node", own / tier, "batch", "verify", BATCH)[0] == code


def test_a_batch_that_is_not_here_is_refused(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    for given in ("13-up-main-e0001-s0000000099", "nonsense"):
        code, _, err = call(capsys, "--node", lab.province, "batch", "show", given)
        assert code == 2
        assert "[E1028]" in err
        assert "nonsense" not in err
    assert call(capsys, "--node", lab.province, "batch", "verify")[0] == 2


def test_without_a_chain_head_nothing_is_shown_in_plain(
    own: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    node, out = own / "province", tmp_path / "x.csv"
    sql(node, "DELETE FROM node_state WHERE name = 'audit.head'")
    given = ("--plain", "--purpose", "试验")
    for command in (["records", "export", "xs"], ["quarantine", "export"], ["conflict", "export"]):
        assert call(capsys, "--node", node, *command, "--out", out, *given)[0] == 4
        assert not out.exists()
    with sqlite3.connect(node / "hub.db") as connection:
        pk, key = connection.execute("SELECT pk, grbsm FROM g_xs ORDER BY pk LIMIT 1").fetchone()
    code, shown, err = call(capsys, "--node", node, "lineage", "show", "xs", pk, *given)
    assert code == 4
    assert key not in shown + err


def test_no_masked_command_shows_one_of_the_stored_numbers(
    lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Against the values themselves: every ID number, 学籍号 and card number of the store."""
    with sqlite3.connect(lab.province / "hub.db") as connection:
        queries = (
            "SELECT grbsm FROM g_xs",
            "SELECT sfzjh FROM g_xs",
            "SELECT sfzjh FROM g_jzg",
            "SELECT yhkh FROM g_xs_jz",
        )
        secret = {v for q in queries for (v,) in connection.execute(q) if v and len(v) >= 15}
        pks = [pk for (pk,) in connection.execute("SELECT pk FROM g_xs ORDER BY pk LIMIT 3")]
        names = [
            n[2:] for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'g\\_%' ESCAPE '\\'")
        ]
    assert len(secret) > 3_000
    shown = []
    for tier in (lab.province, lab.ministry):
        for pk in pks:
            for form in ([], ["--json"]):
                shown.append(call(capsys, "--node", tier, "lineage", "show", "xs", pk, *form)[1])
        for command in (["audit", "ls"], ["batch", "ls"], ["quarantine", "ls"], ["conflict", "ls"]):
            shown.append(call(capsys, "--node", tier, *command, "--json")[1])
    for name in names:
        assert main(["--node", str(lab.province), "records", "export", name, "--out", str(tmp_path / name)]) == 0
    for what in ("quarantine", "conflict"):
        assert main(["--node", str(lab.province), what, "export", "--all", "--out", str(tmp_path / what)]) == 0
    texts = [*shown, *(p.read_text(encoding="utf-8") for p in tmp_path.iterdir())]
    words = {word for text in texts for word in _words(text)}
    assert not secret & words


def test_nobody_reads_a_code_of_the_tables_where_there_is_a_word_for_it(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(lab.province / "hub.db") as connection:
        pk = connection.execute("SELECT min(pk) FROM g_xs").fetchone()[0]
    asked: list[tuple[Path, tuple[str, ...]]] = [
        (lab.province, ("sync", "status")),
        (lab.ministry, ("intake", "status")),
    ]
    for tier in (lab.province, lab.ministry):
        asked += [(tier, ("batch", "ls")), (tier, ("lineage", "show", "xs", pk))]
    for node, given in asked:
        code, shown, _ = call(capsys, "--node", node, *given)
        assert code == 0
        assert not _words(shown) & {"APPLIED", "SENT", "SEALED", "full", "watermark", "whole", "incremental"}, given
        assert {"已生效", "全量", "增量"} & set(re.findall("[\u4e00-\u9fff]+", shown)), given


def _words(text: str) -> set[str]:
    cleaned = "".join(c if c.isalnum() and c.isascii() else " " for c in text)
    return set(cleaned.split())
