"""Setting up a laboratory, and the keyring that every step opens."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.batch.layout import trust_list_name
from hub.catalog import load_catalog
from hub.errors import HubError, KeyMaterialError, NotInitialisedError, RefusedError, UsageError
from hub.keyring import open_keyring
from hub.registered import codeset_ref, schema_ref
from hub.store import open_store
from hub.trust.keys import private_key_pem
from pipelines.lab.credentials import renew_trust
from pipelines.lab.setup import Lab, open_lab
from province_node.stream import main_stream
from tests.round.labs import AT, audit_holds, keyring, new_lab, rows
from tests.trust.network import pair


@pytest.fixture
def lab(tmp_path: Path, sources: Path) -> Lab:
    return new_lab(tmp_path / "lab", sources)


def test_both_nodes_open_with_one_trust_list_and_the_grant(lab: Lab) -> None:
    here, there = keyring(lab.province), keyring(lab.ministry)
    assert here.trust.digest == there.trust.digest
    assert here.grant(main_stream("13")) == there.grant(main_stream("13")) is not None
    assert here.grant(main_stream("13", 2)) is None
    assert here.signer.keyid != there.signer.keyid
    assert (lab.province.settings.name, lab.ministry.settings.party) == ("河北省节点", "moe")
    for node in (lab.province, lab.ministry):
        assert audit_holds(node)
        done = [row["action"] for row in rows(node, "audit_event", "i")]
        assert done == ["数据库升级", "密钥生成", "信任列表更新", "节点初始化"]
        assert all(row["node"] == node.party for row in rows(node, "audit_event"))


def test_private_files_are_readable_by_their_owner_only_and_say_what_they_are(lab: Lab) -> None:
    private = [p for p in lab.folder.rglob("*") if p.suffix == ".secret" or p.name.endswith("key.pem")]
    assert len(private) == 11  # 3 roots, escrow and CA; two keys and a secret per node
    assert all(path.stat().st_mode & 0o077 == 0 for path in [*private, *lab.folder.glob("*/hub.toml")])
    for folder in ("province/keys", "ministry/keys", "offline-keys"):
        assert "不得用于生产环境" in (lab.folder / folder / "README").read_text(encoding="utf-8")


def test_a_lab_can_be_moved_as_a_whole(lab: Lab, tmp_path: Path) -> None:
    moved = lab.folder.rename(tmp_path / "elsewhere")
    there = open_lab(moved)
    assert there.exchange_root.resolve() == moved / "exchange"
    assert keyring(there.province).trust.version == 1


def test_sources_given_relatively_stay_relative(tmp_path: Path, sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sources.parent)
    lab = new_lab(tmp_path / "lab", Path(sources.name))
    assert not Path(lab.province.settings.sources).is_absolute()
    assert lab.province.sources == sources


def test_over_sftp_a_login_key_is_made_and_the_host_key_pinned(tmp_path: Path, sources: Path) -> None:
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample"
    lab = new_lab(
        tmp_path / "lab",
        sources,
        transport="sftp://p13@127.0.0.1:2222",
        host_keys=[line],
        exchange_root=tmp_path / "exch",
    )
    assert lab.ssh_public is not None
    assert lab.ssh_public.startswith("ssh-ed25519 ")
    assert (lab.province.keys / "ssh").stat().st_mode & 0o077 == 0
    assert keyring(lab.province).trust.member("moe").ssh_host_keys == (line,)
    assert lab.province.settings.sftp_host_keys == (line,)
    assert (tmp_path / "exch" / "p13" / "in" / "ready").is_dir()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"province": "99"}, "E1041"),
        ({"province": "71"}, "E1041"),
        ({"province": "x"}, "E1041"),
        ({"transport": "ftp://p13@127.0.0.1"}, "E1044"),
        ({"transport": "sftp://p13@127.0.0.1"}, "E1044"),
        ({"province_db": "mysql://nobody@127.0.0.1/x"}, "E3114"),
        ({"ministry_db": "postgresql+psycopg://nobody@127.0.0.1:1/x"}, "E3101"),
    ],
)
def test_a_setup_that_cannot_work_leaves_nothing_behind(
    tmp_path: Path, sources: Path, change: dict[str, Any], code: str
) -> None:
    from pipelines.lab.setup import init_lab

    options: dict[str, Any] = {"sources": sources, "province": "13", "at": AT, "rng": os.urandom} | change
    with pytest.raises(HubError) as caught:
        init_lab(tmp_path / "lab", **options)
    assert (caught.value.code, bool(caught.value.step)) == (code, True)
    assert not (tmp_path / "lab").exists()


def test_a_folder_that_is_not_empty_is_never_touched(tmp_path: Path, sources: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="E1042"):
        new_lab(tmp_path / "lab", sources)
    assert [path.name for path in (tmp_path / "lab").iterdir()] == ["thesis.txt"]


def test_missing_sources_are_named_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for sources in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(UsageError, match="E1043"):
            new_lab(tmp_path / "lab", sources)
    assert not (tmp_path / "lab").exists()


def test_a_database_in_use_is_refused(tmp_path: Path, published: Lab, sources: Path) -> None:
    before = rows(published.province, "audit_event", "i")
    used = f"sqlite:///{published.province.folder / 'hub.db'}"
    with pytest.raises(UsageError, match="E1045"):
        new_lab(tmp_path / "other", sources, province_db=used)
    assert rows(published.province, "audit_event", "i") == before


def test_a_missing_key_says_which_and_what_to_do(lab: Lab) -> None:
    (lab.province.keys / "enc.key.pem").unlink()
    with pytest.raises(NotInitialisedError, match=r"keys/enc\.key\.pem.*下一步"):
        keyring(lab.province)


def test_a_key_that_does_not_fit_its_certificate_is_refused(lab: Lab) -> None:
    from hub.trust.authority import LabAuthority

    other = pair(LabAuthority.create("other", now=AT), "other").key
    for name in ("enc.key.pem", "sign.key.pem"):
        path = lab.province.keys / name
        kept = path.read_bytes()
        path.write_bytes(private_key_pem(other))
        with pytest.raises(KeyMaterialError, match="E1203"):
            keyring(lab.province)
        path.write_bytes(kept)
    assert keyring(lab.province)


def test_a_trust_list_is_renewed_before_it_lapses_and_never_rolled_back(lab: Lab) -> None:
    first = keyring(lab.province).trust
    assert renew_trust(lab.folder, lab.province, lab.ministry, first, at=AT + timedelta(days=5)) is None
    later = AT + timedelta(days=25)
    assert renew_trust(lab.folder, lab.province, lab.ministry, first, at=later) is not None
    now = open_keyring(lab.province, at=later).trust
    assert (now.version, now.members.keys()) == (2, first.members.keys())
    # Weeks on, list 1 has lapsed for good and is still the way to list 2.
    assert open_keyring(lab.province, at=later + timedelta(days=28)).trust.version == 2
    (lab.province.trust / trust_list_name(2)).unlink()
    with pytest.raises(RefusedError, match="E_TRUST_ROLLBACK"):
        open_keyring(lab.province, at=later)


def test_a_trust_list_of_other_keys_than_the_pinned_ones_is_refused(lab: Lab, tmp_path: Path, sources: Path) -> None:
    foreign = new_lab(tmp_path / "foreign", sources)
    name = trust_list_name(1)
    (lab.province.trust / name).write_bytes((foreign.province.trust / name).read_bytes())
    with pytest.raises(RefusedError, match="E_SIG"):
        keyring(lab.province)
    (lab.province.trust / "roots.json").write_bytes((foreign.province.trust / "roots.json").read_bytes())
    with pytest.raises(RefusedError, match="E_TRUST_FORK"):
        keyring(lab.province)


def test_a_grant_with_one_signature_opens_nothing(lab: Lab) -> None:
    path = next(lab.province.trust.glob("*.grant.dsse"))
    envelope = json.loads(path.read_bytes())
    envelope["signatures"] = envelope["signatures"][:1]
    path.write_text(json.dumps(envelope))
    ring = keyring(lab.province)
    assert path.name not in {f"{stream}.grant.dsse" for stream in ring.grants}
    assert [(name, error.code) for name, error in ring.spoiled.items()] == [(path.name, "E_SIG")]


def test_a_sites_own_dictionaries_change_neither_schema_nor_code_set(sources: Path) -> None:
    site = load_catalog(sources / "site_dictionaries.csv")
    assert site.codes.site_loaded
    assert codeset_ref(site) == codeset_ref(load_catalog())
    assert schema_ref(site) == schema_ref(load_catalog())


def test_the_databases_are_ready(lab: Lab) -> None:
    for node in (lab.province, lab.ministry):
        store = open_store(node.database_url, load_catalog())
        have, newest = store.revision()
        assert have == newest
        store.close()
