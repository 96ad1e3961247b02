"""`hub doctor` on the SFTP login certificate: days left, and one that cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import SSHCertificateBuilder, SSHCertificateType

from hub.cli.checks import _login
from hub.settings import Node, NodeSettings

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    (tmp_path / "keys").mkdir()
    return Node(tmp_path, NodeSettings.model_construct(role="province", party="13", name="x", sftp_key="keys/ssh"))


def certificate(node: Node, days: float) -> None:
    ends = int((NOW + timedelta(days=days)).timestamp())
    made = (
        SSHCertificateBuilder()
        .public_key(Ed25519PrivateKey.generate().public_key())
        .type(SSHCertificateType.USER)
        .valid_principals([b"p13"])
        .valid_after(ends - 90 * 86400)
        .valid_before(ends)
        .sign(Ed25519PrivateKey.generate())
    )
    (node.keys / "ssh-cert.pub").write_bytes(made.public_bytes())


@pytest.mark.parametrize(("days", "state"), [(60.5, "ok"), (3.5, "warn"), (-1.5, "bad")])
def test_a_login_certificate_is_named_before_it_ends(node: Node, days: float, state: str) -> None:
    certificate(node, days)
    (finding,) = _login(node, NOW)
    assert (finding.state, str(int(days // 1)) in finding.detail) == (state, True)


def test_without_a_certificate_nothing_is_said_and_nonsense_is_bad(node: Node) -> None:
    assert list(_login(node, NOW)) == []
    (node.keys / "ssh-cert.pub").write_bytes(b"ssh-ed25519-cert-v01@openssh.com AAAA")
    (finding,) = _login(node, NOW)
    assert finding.state == "bad"
