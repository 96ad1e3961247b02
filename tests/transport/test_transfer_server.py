"""`hub transfer` builds the server of protocol 2.1 and 2.2, and its certificates let in whom they should."""

from __future__ import annotations

import configparser
import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hub.errors import HubError, KeyMaterialError, UsageError
from hub.transport import ssh_ca
from hub.transport.sshd import Places, sshd_config
from tests.servers import write_key
from tests.transfer_server import FILE_LIMIT, ROOT, TransferServer

DEPLOY = ROOT / "deploy" / "transfer"
PART = "13-up-main-e0001-s0000000042.f01.cms"


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / PART
    path.write_bytes(os.urandom(100_000))
    return path


def modes(server: TransferServer, party: str) -> dict[str, str]:
    """Owner, group and mode of everything in a province's home, as the server sees it."""
    done = server.run("find", f"/srv/exch/p{party}", "/srv/exch", "-maxdepth", "2", "-printf", "%p %u:%g %m\\n")
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def refused_login(server: TransferServer, *, party: str = "13", account: str | None = None, **options: object) -> None:
    """A login with such a certificate is refused, and sshd let nobody in."""
    login = server.login(party, **options)  # type: ignore[arg-type]
    before = server.log.read_text().count("Accepted publickey")
    with server.client(login, account=account or party) as client, pytest.raises(KeyMaterialError) as refusal:
        client.list_out()
    assert (refusal.value.code, refusal.value.retryable) == ("E2403", False)
    assert server.log.read_text().count("Accepted publickey") == before


def test_the_shipped_configuration_is_the_one_the_command_writes() -> None:
    assert (DEPLOY / "sshd_config").read_text() == sshd_config(Places())


def test_the_service_unit_bounds_a_single_upload() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "hub-transfer.service")
    assert int(unit["Service"]["LimitFSIZE"]) == FILE_LIMIT == (256 << 20) + 131072


def test_the_layout_is_that_of_protocol_2_1(transfer_server: TransferServer) -> None:
    found = modes(transfer_server, "13")
    wanted = {
        "/srv/exch": "root:root 711",
        "/srv/exch/p13": "root:root 755",
        "/srv/exch/p13/in": "root:root 755",
        "/srv/exch/p13/in/part": "p13:hub 2770",
        "/srv/exch/p13/in/ready": "p13:hub 2770",
        "/srv/exch/p13/out": "hub:p13 2750",
        "/srv/exch/p13/pub": "hub:p13 2750",
    }
    assert {path: found[path] for path in wanted} == wanted
    keys = transfer_server.run(
        "stat", "-c", "%U %a", "/srv/keys/ca", "/srv/keys/ca/user_ca", "/srv/keys/revoked"
    ).stdout
    assert keys.splitlines() == ["root 700", "root 600", "root 644"]


def test_building_again_changes_nothing_and_a_plan_never_does(transfer_server: TransferServer) -> None:
    def everything() -> str:
        return transfer_server.run("find", "/srv", "-printf", "%p %u %m %T@ %C@ %s\\n").stdout

    before = everything()
    planned = transfer_server.hub("--json", "transfer", "add-province", "12", "--plan")
    assert "账号 p12" in [step["name"] for step in json.loads(planned.stdout)["steps"]]
    port = str(transfer_server.port)
    again = transfer_server.hub("--json", "transfer", "init", "--port", port)
    assert json.loads(again.stdout)["steps"] == []
    assert json.loads(transfer_server.hub("--json", "transfer", "add-province", "13").stdout)["steps"] == []
    assert everything() == before


def test_check_names_a_folder_that_was_opened_to_others_and_building_mends_it(transfer_server: TransferServer) -> None:
    transfer_server.run("chmod", "2777", "/srv/exch/p13/out")
    found = transfer_server.hub("--json", "transfer", "check", check=False)
    findings = json.loads(found.stdout)["findings"]
    assert found.returncode == 3
    assert [finding["name"] for finding in findings] == ["目录 /srv/exch/p13/out"]
    transfer_server.hub("transfer", "add-province", "13")
    assert transfer_server.hub("transfer", "check").returncode == 0
    assert modes(transfer_server, "13")["/srv/exch/p13/out"] == "hub:p13 2750"


@pytest.mark.parametrize("codes", [["1"], ["13", "99"], ["../13"], ["13x"]])
def test_what_is_no_province_is_refused_before_anything_is_done(
    transfer_server: TransferServer, codes: list[str]
) -> None:
    before = sorted(os.listdir(transfer_server.exchange))
    done = transfer_server.hub("transfer", "add-province", *codes, check=False)
    assert done.returncode == 2
    assert sorted(os.listdir(transfer_server.exchange)) == before


def test_a_certificate_lets_its_province_in_and_uploads_belong_to_it(
    transfer_server: TransferServer, payload: Path
) -> None:
    with transfer_server.client(transfer_server.login("13")) as client:
        assert client.put(PART, payload) == 100_000
    (ready,) = (transfer_server.home("13") / "in" / "ready").iterdir()
    status = ready.stat()
    owner = transfer_server.run("id", "-u", "p13").stdout.strip()
    group = transfer_server.run("getent", "group", "hub").stdout.split(":")[2]
    assert (str(status.st_uid), str(status.st_gid)) == (owner, group)
    assert stat.S_IMODE(status.st_mode) == 0o660
    transfer_server.run("rm", f"/srv/exch/p13/in/ready/{PART}", user="hub")
    assert ready.name not in os.listdir(ready.parent)


def test_a_certificate_is_no_good_from_another_address(transfer_server: TransferServer) -> None:
    refused_login(transfer_server, sources=["192.0.2.0/24"])


def test_a_certificate_ends_after_its_days(transfer_server: TransferServer) -> None:
    refused_login(transfer_server, at=datetime.now(UTC) - timedelta(days=3), days=2)


def test_a_certificate_of_one_province_does_not_open_another(transfer_server: TransferServer) -> None:
    refused_login(transfer_server, party="13", account="11")


def test_nobody_but_provinces_logs_in(transfer_server: TransferServer) -> None:
    login = transfer_server.login("13")
    text = f"sftp://root@127.0.0.1:{transfer_server.port}"
    assert "root" in text
    before = transfer_server.log.read_text().count("Accepted publickey")
    for account in ("root", "hub"):
        done = transfer_server.run(
            "ssh", "-p", str(transfer_server.port), "-i", str(login.key), "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", f"{account}@127.0.0.1", "id", check=False,
        )  # fmt: skip
        assert done.returncode == 255
    assert transfer_server.log.read_text().count("Accepted publickey") == before


def test_a_revoked_certificate_is_refused_and_the_others_are_not(transfer_server: TransferServer) -> None:
    lost, kept = transfer_server.login("13"), transfer_server.login("13")
    with transfer_server.client(lost) as client:
        client.list_out()
    serial = transfer_server.run("ssh-keygen", "-L", "-f", str(lost.certificate)).stdout.split("Serial: ")[1].split()[0]
    transfer_server.hub("transfer", "revoke", "--serial", serial)
    said = len(transfer_server.log.read_text())
    with transfer_server.client(lost) as client, pytest.raises(KeyMaterialError) as refusal:
        client.list_out()
    assert refusal.value.code == "E2403"
    with transfer_server.client(kept) as client:
        assert client.list_pub() == []
    assert "revoked" in transfer_server.log.read_text()[said:]


def test_a_revoked_login_key_takes_every_certificate_with_it(transfer_server: TransferServer) -> None:
    login = transfer_server.login("11")
    transfer_server.hub("transfer", "revoke", "--public-key", str(login.public))
    options = ["--public-key", str(login.public), "--source-address", "127.0.0.0/8", "--out", str(login.certificate)]
    transfer_server.hub("transfer", "certify", "11", *options)
    with transfer_server.client(login) as client, pytest.raises(KeyMaterialError):
        client.list_out()


@pytest.mark.parametrize(
    ("sources", "days"), [((), 90), (("10.0.0.1/8",), 90), (("everywhere",), 90), (("10.0.0.0/8",), 91)]
)
def test_a_certificate_without_bounds_is_not_issued(tmp_path: Path, sources: tuple[str, ...], days: int) -> None:
    places = Places(keys=tmp_path)
    (tmp_path / "login.pub").write_text(write_key(tmp_path / "login") + "\n")
    with pytest.raises(UsageError) as refusal:
        ssh_ca.issue(places, "13", tmp_path / "login.pub", sources, at=datetime.now(UTC), days=days)
    assert refusal.value.code == "E2434"
    assert ssh_ca.issued(places) == ()


def test_a_private_key_given_for_a_public_one_is_refused_unread(tmp_path: Path) -> None:
    places = Places(keys=tmp_path)
    write_key(tmp_path / "login")
    with pytest.raises(HubError) as refusal:
        ssh_ca.issue(places, "13", tmp_path / "login", ["10.0.0.0/8"], at=datetime.now(UTC))
    assert refusal.value.code == "E2434"
    assert "PRIVATE" not in str(refusal.value)


def test_a_ca_kept_elsewhere_is_only_known_by_its_public_key(tmp_path: Path) -> None:
    places = Places(keys=tmp_path)
    (tmp_path / "offline.pub").write_text(write_key(tmp_path / "offline") + "\n")
    made = ssh_ca.set_up(places, public=tmp_path / "offline.pub")
    assert len(made) == 2
    assert ssh_ca.missing(places) is None
    assert not places.ca.exists()
    assert ssh_ca.set_up(places, public=tmp_path / "offline.pub") == ()
    (tmp_path / "other.pub").write_text(write_key(tmp_path / "other") + "\n")
    with pytest.raises(UsageError) as refusal:
        ssh_ca.set_up(places, public=tmp_path / "other.pub")
    assert refusal.value.code == "E2433"
    assert places.user_ca.read_text() == (tmp_path / "offline.pub").read_text()
