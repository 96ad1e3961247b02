"""How many trust lists a node takes at once, and how many it may hold (protocol 10.1)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub import trust_folder
from hub.batch.layout import trust_list_name
from hub.trust_folder import PINS, open_trust
from tests.trust.network import NOW, code_of, network


def test_a_node_that_holds_more_lists_than_it_takes_at_once_still_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network()
    (tmp_path / PINS).write_text(json.dumps({"pins": [root.keyid for root in net.roots]}))
    lists = {1: net.trust_envelope} | {n: net.trust_list(n)[0] for n in range(2, 7)}

    def arrive(*versions: int) -> None:
        for version in versions:
            (tmp_path / trust_list_name(version)).write_bytes(lists[version])

    monkeypatch.setattr(trust_folder, "MAX_STEPS", 2)
    arrive(1, 2)
    assert open_trust(tmp_path, at=NOW).version == 2
    arrive(3, 4)
    assert open_trust(tmp_path, at=NOW).version == 4
    arrive(5, 6)
    assert open_trust(tmp_path, at=NOW).version == 6
    accepted = (tmp_path / trust_folder.ACCEPTED).read_bytes()
    arrive(1)
    assert (open_trust(tmp_path, at=NOW).version, (tmp_path / trust_folder.ACCEPTED).read_bytes()) == (6, accepted)


def test_more_new_lists_than_may_come_at_once_are_refused_and_none_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network()
    (tmp_path / PINS).write_text(json.dumps({"pins": [root.keyid for root in net.roots]}))
    (tmp_path / trust_list_name(1)).write_bytes(net.trust_envelope)
    monkeypatch.setattr(trust_folder, "MAX_STEPS", 2)
    assert open_trust(tmp_path, at=NOW).version == 1
    accepted = (tmp_path / trust_folder.ACCEPTED).read_bytes()
    for version in range(2, 5):
        (tmp_path / trust_list_name(version)).write_bytes(net.trust_list(version)[0])
    assert code_of(lambda: open_trust(tmp_path, at=NOW)) == "E_TRUST_GAP"
    assert (tmp_path / trust_folder.ACCEPTED).read_bytes() == accepted
