"""节点与密钥: what is shown, and a rotation that two persons carry out (protocol 10.5, console 5)."""

from __future__ import annotations

import pytest

from hub.roles import Grant
from hub.roles_store import add_operator
from tests.web.consoles import Console, give_password


@pytest.fixture
def two(own_console: Console) -> Console:
    for name, person in (("admin-2", "p20"), ("admin-1b", "P01")):
        add_operator(own_console.store, "13", name, person, [Grant("系统管理员")], at=own_console.clock(), actor="t")
        give_password(own_console.store, name)
    return own_console


def test_own_keys_peers_and_their_days_are_shown_to_administrator_and_auditor(console: Console) -> None:
    for role in ("系统管理员", "审计负责人"):
        page = console.as_(role).get("/keys").text
        assert "部级节点（moe）" in page
        assert "在用" in page
        assert " 天" in page
    assert "测试" not in console.as_("审计负责人").get("/keys").text


def test_the_test_says_in_words_what_holds(own_console: Console) -> None:
    admin = own_console.as_("系统管理员")
    assert "✘" not in own_console.post(admin, "/keys/test").text
    (own_console.node.keys / "enc.key.pem").unlink()
    assert "✘ 异常" in own_console.post(admin, "/keys/test").text


def test_a_rotation_without_a_next_key_is_refused_with_the_reason(own_console: Console) -> None:
    before = own_console.rows("node_state", "name")
    answer = own_console.post(own_console.as_("系统管理员"), "/keys/sign/ask")
    assert answer.status_code == 422
    assert "还没有待启用的密钥" in answer.text
    assert [r for r in own_console.rows("node_state", "name") if r["name"] != "audit.head"] == [
        r for r in before if r["name"] != "audit.head"
    ]


def test_the_one_who_asked_cannot_confirm_under_another_account(two: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr("hub.node_keys.ready_to_rotate", lambda *_given: "sha256:" + "ab" * 32)
    monkeypatch.setattr("hub.node_keys.rotate", lambda _keys, purpose: done.append(purpose))
    first, other = two.as_("系统管理员"), two.client()
    assert two.post(first, "/keys/sign/ask").status_code == 200
    two.enter(other, "admin-1b")
    answer = two.post(other, "/keys/sign/confirm")
    assert (answer.status_code, done) == (403, [])
    second = two.client()
    two.enter(second, "admin-2")
    assert two.post(second, "/keys/sign/confirm").status_code == 200
    assert done == ["sign"]
    assert two.post(second, "/keys/sign/confirm").status_code == 409
    assert done == ["sign"]
    last = two.rows("audit_event", "i")[-1]
    assert (last["action"], last["actor"]) == ("密钥轮换", "admin-2")
    assert "admin 提出，admin-2 确认" in last["purpose"]
