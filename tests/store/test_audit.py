"""The audit chain (protocol 13, 15 #65 and #67)."""

# ruff: noqa: PT012 - what is refused is a whole transaction

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from threading import Thread

import pytest
import sqlalchemy as sa

from hub.audit import Event, Result, append, verify
from hub.errors import HubError, InputError, VerificationError
from hub.store import Store
from hub.store.ledger import AUDIT_EVENT, NODE_STATE
from tests.store.conftest import OpenStore

NOW = datetime(2026, 11, 23, 5, 51, 20, tzinfo=UTC)


def write(store: Store, rows: int) -> list[int]:
    with store.begin() as tx:
        return [
            append(
                tx.connection,
                Event.BATCH_APPLIED,
                ts=NOW + timedelta(seconds=n),
                node="moe",
                actor="hub",
                object=f"13-up-main-e0001-s{n:010d}",
                detail={"ins": n, "digest": "sha256:" + "1" * 64},
            )
            for n in range(rows)
        ]


def broken(store: Store) -> int | None:
    with store.reading() as reader:
        return verify(reader.connection)


def test_an_untouched_log_holds(store: Store) -> None:
    assert broken(store) is None
    assert write(store, 20) == list(range(1, 21))
    assert write(store, 2) == [21, 22]
    assert broken(store) is None


def test_an_altered_record_is_found_by_its_number(store: Store) -> None:
    write(store, 10)
    changes = {
        "result": Result.REFUSED.value,
        "detail": '{"ins":9}',
        "ts": "2026-11-23T05:51:21.001Z",
        "actor": "someone",
        "purpose": "x",
        "digest": "sha256:" + "0" * 64,
        "prev": "sha256:" + "0" * 64,
    }
    for column, value in changes.items():
        with pytest.raises(InterruptedError), store.begin() as tx:
            tx.connection.execute(AUDIT_EVENT.update().where(AUDIT_EVENT.c.i == 4).values({column: value}))
            assert verify(tx.connection) == 4, column
            raise InterruptedError
    assert broken(store) is None


def test_a_removed_record_is_found_even_at_the_end(store: Store) -> None:
    write(store, 10)
    for gone, found in ((1, 1), (5, 5), (10, 10)):
        with pytest.raises(InterruptedError), store.begin() as tx:
            tx.connection.execute(AUDIT_EVENT.delete().where(AUDIT_EVENT.c.i == gone))
            assert verify(tx.connection) == found
            raise InterruptedError
    with pytest.raises(InterruptedError), store.begin() as tx:
        tx.connection.execute(AUDIT_EVENT.delete())
        assert verify(tx.connection) == 1
        raise InterruptedError


def test_a_record_added_past_the_head_is_found(store: Store) -> None:
    write(store, 3)
    with store.begin() as tx:
        row = dict(tx.connection.execute(sa.select(AUDIT_EVENT).where(AUDIT_EVENT.c.i == 3)).mappings().one())
        tx.connection.execute(AUDIT_EVENT.insert(), {**row, "i": 4})
    assert broken(store) == 4


def test_without_the_chain_head_nothing_can_be_audited_or_done(store: Store) -> None:
    write(store, 1)
    with store.begin() as tx:
        tx.connection.execute(NODE_STATE.delete().where(NODE_STATE.c.name == "audit.head"))
    with pytest.raises(VerificationError), store.begin() as tx:
        tx.connection.execute(NODE_STATE.insert(), {"name": "action", "value": "done"})
        append(tx.connection, Event.BATCH_SENT, ts=NOW, node="13", actor="hub")
    with store.reading() as reader:
        assert reader.connection.execute(sa.select(NODE_STATE)).all() == []


def test_a_rolled_back_action_leaves_no_gap(store: Store) -> None:
    write(store, 1)
    with pytest.raises(InterruptedError), store.begin() as tx:
        assert append(tx.connection, Event.BATCH_SENT, ts=NOW, node="13", actor="hub") == 2
        raise InterruptedError
    assert write(store, 1) == [2]
    assert broken(store) is None


@pytest.mark.parametrize("text", ["查 110101199003078888", "G11010119900307888X", "电话13800138000"])
@pytest.mark.parametrize("place", ["object", "purpose", "detail"])
def test_a_personal_number_does_not_enter_the_log(store: Store, place: str, text: str) -> None:
    with pytest.raises(InputError) as error, store.begin() as tx:
        given = {"reason": text} if place == "detail" else text
        append(tx.connection, Event.PLAINTEXT_EXPORTED, ts=NOW, node="13", actor="u", **{place: given})  # type: ignore[arg-type]
    assert text[-4:] not in str(error.value)
    assert write(store, 1) == [1]


def test_times_are_kept_in_utc(store: Store) -> None:
    with store.begin() as tx:
        beijing = NOW.astimezone(timezone(timedelta(hours=8)))
        append(tx.connection, Event.NODE_INITIALISED, ts=beijing, node="13", actor="hub")
        assert tx.connection.execute(sa.select(AUDIT_EVENT.c.ts)).scalar_one() == "2026-11-23T05:51:20.000Z"
    with pytest.raises(RuntimeError), store.begin() as tx:
        append(tx.connection, Event.NODE_INITIALISED, ts=NOW.replace(tzinfo=None), node="13", actor="hub")


def test_writers_at_the_same_time_leave_no_gap(new_store: OpenStore) -> None:
    store = new_store("postgresql")
    failed: list[HubError] = []

    def work() -> None:
        try:
            for _ in range(5):
                write(store, 3)
        except HubError as error:
            failed.append(error)

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert broken(store) is None
    assert write(store, 1) == [46]
