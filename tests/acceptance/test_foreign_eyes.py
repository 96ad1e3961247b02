"""Evidence judged by others: openssl and jq alone, and `hub verify` without a database (protocol 13.8; 15 #79)."""

from __future__ import annotations

import random
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hub.batch.envelope import PayloadType, parse
from hub.batch.receipt import read_receipt, sign_receipt
from hub.cli.verify import opened
from hub.evidence.stored import ByHistory, ByKeys, Check
from hub.evidence.tree import verify_tree
from hub.keyring import open_keyring
from hub.trust_read import read_history
from tests.acceptance.lands import Land
from tests.ministry.forge import Province, flip
from tests.round.labs import AT

SCRIPTS = Path(__file__).parents[2] / "deploy" / "verify"
COUNT = 100


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, exchanged_template: Land) -> Land:
    """A hundred batches applied and kept."""
    land = exchanged_template.copy(tmp_path_factory.mktemp("foreign") / "lab")
    forge = Province(land.lab)
    forge.upload(*forge.window(COUNT))
    assert {d.verdict for d in land.intake().decisions} == {"APPLIED"}
    return land


def _run(command: Sequence[object]) -> tuple[int, str]:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.long
@pytest.mark.row(79, "a foreign verifier: verify-dsse.sh + openssl cms on 100 random stored batches", "all pass")
@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("openssl")), reason="needs jq and openssl")
def test_row_79_a_hundred_stored_batches_hold_and_open_without_our_code(stored: Land, tmp_path: Path) -> None:
    keys = stored.ministry.keys
    signer = stored.province.keys / "sign.cert.pem"

    def judge(manifest: Path) -> list[tuple[int, str]]:
        part = next(manifest.parent.glob("*.f01.cms"))
        out = tmp_path / manifest.name
        opening = [SCRIPTS / "decrypt-part.sh", part, keys / "enc.key.pem", keys / "enc.cert.pem", out, manifest]
        return [_run([SCRIPTS / "verify-dsse.sh", manifest, signer]), _run(opening)]

    kept = sorted((stored.ministry.store / "13").rglob("*.manifest.dsse"))
    assert len(kept) > COUNT
    some = random.Random(79).sample(kept, COUNT)
    with ThreadPoolExecutor(2) as pool:
        said = [one for both in pool.map(judge, some) for one in both]
    assert [text for code, text in said if code or "✘" in text] == []
    assert len(list(tmp_path.glob("*.manifest.dsse"))) == COUNT
    assert all(path.read_bytes()[:4] == b"PAR1" for path in tmp_path.glob("*.manifest.dsse"))


def _failed(found: dict[str, list[Check]]) -> list[tuple[str, str]]:
    return [(batch, check.name) for batch, checks in found.items() for check in checks if check.ok is False]


def test_an_evidence_folder_and_its_zip_are_verified_with_a_trust_list_and_no_database(
    stored: Land, tmp_path: Path
) -> None:
    judge = ByHistory(read_history(stored.province.trust))
    evidence = stored.ministry.store / "13"
    found = dict(verify_tree(evidence, judge))
    assert (len(found), _failed(found)) == (COUNT + 1, [])
    said = [check.name for check in found["13-up-main-e0001-s0000000050"]]
    assert said[:3] == ["清单签名", "名称与收件方", "批次链"]
    assert [name for name in said if name.startswith(("密文", "回执"))] != []
    packed = tmp_path / "evidence.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in (evidence / "e0001" / "0000000007").iterdir():
            archive.write(path, f"../../{path.name}")  # a hostile name leads nowhere
    with opened(packed) as folder:
        assert _failed(dict(verify_tree(folder, judge))) == []


def test_a_public_key_is_enough_for_signature_and_digests(stored: Land) -> None:
    folder = stored.ministry.store / "13" / "e0001" / "0000000003"
    found = dict(verify_tree(folder, ByKeys.of([(stored.province.keys / "sign.cert.pem").read_bytes()])))
    assert _failed(found) == []
    assert any(check.ok is None and "未核验" in check.detail for checks in found.values() for check in checks)
    other = ByKeys.of([(stored.ministry.keys / "sign.cert.pem").read_bytes()])
    assert _failed(dict(verify_tree(folder, other))) == [("13-up-main-e0001-s0000000003", "清单签名")]


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [("manifest.dsse", "清单签名"), ("f01.cms", "密文"), ("receipt1.dsse", "回执"), ("gone", "密文")],
)
def test_a_spoilt_file_is_named_in_words(stored: Land, tmp_path: Path, spoilt: str, said: str) -> None:
    shutil.copytree(stored.ministry.store / "13" / "e0001" / "0000000004", tmp_path / "4")
    suffix = "f01.cms" if spoilt == "gone" else spoilt
    (path,) = (tmp_path / "4").glob(f"*.{suffix}")
    if spoilt == "gone":
        path.unlink()
    else:
        path.write_bytes(flip(path.read_bytes()))
    failed = _failed(dict(verify_tree(tmp_path, ByHistory(read_history(stored.province.trust)))))
    assert len(failed) == 1
    assert failed[0][1].startswith(said)


@pytest.fixture
def five(stored: Land, tmp_path: Path) -> Path:
    """The first five batches of the stream, as somebody carried them off."""
    for seq in range(1, 6):
        name = f"{seq:010d}"
        shutil.copytree(stored.ministry.store / "13" / "e0001" / name, tmp_path / "five" / name)
    return tmp_path / "five"


def _chain(found: dict[str, list[Check]]) -> list[tuple[str, bool | None]]:
    """What is said of the two chains, batch by batch."""
    return [(c.name, c.ok) for checks in found.values() for c in checks if c.name.startswith(("批次链", "回执链"))]


def test_the_receipts_of_a_stream_are_followed_across_its_batches(stored: Land, five: Path) -> None:
    judges = ByHistory(read_history(stored.province.trust))
    found = dict(verify_tree(five, judges))
    assert (_failed(found), _chain(found)) == ([], [("批次链", True), ("回执链 1", True)] * 5)
    assert "期次授权" in next(c.detail for c in found["13-up-main-e0001-s0000000001"] if c.name == "批次链")
    (five / "0000000003" / "13-up-main-e0001-s0000000003.receipt1.dsse").unlink()
    assert _failed(dict(verify_tree(five, judges))) == [("13-up-main-e0001-s0000000004", "回执链 1")]
    shutil.rmtree(five / "0000000003")
    found = dict(verify_tree(five, judges))  # a part of a stream: what comes before the gap is simply not here
    assert (_failed(found), _chain(found)[4:6]) == ([], [("批次链", None), ("回执链 1", None)])


def test_two_receipts_after_the_same_one_are_a_fork_whoever_signed_them(stored: Land, five: Path) -> None:
    batch = "13-up-main-e0001-s0000000004"
    path = five / "0000000004" / f"{batch}.receipt1.dsse"
    signer = open_keyring(stored.ministry, at=AT).signer
    receipt = read_receipt(parse(path.read_bytes(), PayloadType.RECEIPT).payload)
    _, second = sign_receipt(replace(receipt, receipt_no=2), signer)
    path.with_name(f"{batch}.receipt2.dsse").write_bytes(second)
    judges = ByHistory(read_history(stored.province.trust))
    assert _failed(dict(verify_tree(five, judges))) == [(batch, "回执链 1"), (batch, "回执链 2")]
    path.with_name(f"{batch}.receipt2.dsse").unlink()
    _, moved = sign_receipt(replace(receipt, head=replace(receipt.head, last_seq=9)), signer)
    path.write_bytes(moved)
    assert (batch, "回执 1") in _failed(dict(verify_tree(five, judges)))
