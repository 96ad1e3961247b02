"""The authority registry at a province: taken in from the stream `codes`, planned, put in force.

Decides that a version is kept only when it is newer than every one held and can be executed here, that it is put in
force, with the code tables that came along, only while it still is what the ministry signed, and never an older one.
What a change touches is settled again by the next round (`quality.authority`, `quality.recode`); `plan_registry` says
how much that would be, with nothing kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import sqlalchemy as sa

from connectors.registry import load_sources
from hub.audit import Event, append
from hub.batch import wire
from hub.catalog import Catalog, codes, load_catalog
from hub.catalog.authority import changed, words
from hub.catalog.model import Registry
from hub.changes import ChangeFile
from hub.errors import InputError, VerificationError
from hub.keyring import open_keyring
from hub.registry import versions
from hub.registry.versions import HELD, Version, codes_digest, digest_of
from hub.settings import Node
from hub.store import Store, Transaction, open_store
from hub.store.registry_tables import REGISTRY_CODES, REGISTRY_VERSION
from province_node.down_parts import Received
from province_node.in_force import pending_changes, pending_codes
from province_node.own import own_systems, with_own
from province_node.state import counter, open_state
from quality.changed import begin_round
from quality.contributions import create_holding
from quality.expressions import ident, text
from quality.recode import CodePlan, code_plans, retire
from quality.settle import settle


@dataclass(frozen=True)
class FieldPlan:
    """What a new version would do to one field: rows whose value, and rows whose provenance letter, would change."""

    entity: str
    field: str
    before: str
    after: str
    values: int
    letters: int


@dataclass(frozen=True)
class RegistryPlan:
    """`fields`: data items with another owner; `settled`: records asked again; `changed`: change rows, per entity.

    `codes`: code tables that differ, with the rows each would have judged anew; those wait for the sources to be read.
    """

    version: int
    now: int
    fields: tuple[FieldPlan, ...]
    settled: Mapping[str, int]
    changed: Mapping[str, int]
    codes: tuple[CodePlan, ...] = ()


def take_registry(tx: Transaction, received: Received) -> None:
    """Handler of the stream `codes`. `VerificationError` E3446 for one not newer, `InputError` for a bad document."""
    if "registry" not in received.tables:
        return
    document = versions.document_of(received.tables["registry"])
    registry = versions.registry_of(document)
    last = versions.stored(tx.connection)[-1]
    if registry.version <= last.number:
        raise VerificationError(
            "E3446",
            f"收到的权威源登记第 {registry.version} 版不比已有的第 {last.number} 版新",
            where=received.batch_id,
            step="不予采用；请部级以更高的版本号重新发布",
        )
    tables = versions.tables_of(received.tables["code"]) if "code" in received.tables else ""
    tx.connection.execute(
        sa.insert(REGISTRY_VERSION),
        {
            "version": registry.version,
            "digest": digest_of(document),
            "state": HELD,
            "document": document,
            "codes": codes_digest(_with(tables)),
            "batch_id": received.batch_id,
            "signer": received.signer,
            "evidence": received.public["registry"],
            "created": wire.write_utc(received.at),
        },
    )
    if tables:
        values = {"version": registry.version, "tables": tables, "evidence": received.public["code"]}
        tx.connection.execute(sa.insert(REGISTRY_CODES), values)


def _with(tables: str) -> Catalog:
    """The definitions with the code tables that came along."""
    return codes.with_tables(load_catalog(), codes.parse(tables)) if tables else load_catalog()


def apply_registry(node: Node, number: int | None, *, actor: str, at: datetime) -> tuple[Version, ...]:
    """Puts versions in force up to `number` (the newest held by default); returns those put in force, () for none.

    Registry and code tables come in force in one transaction, with its audit record. Raises `UsageError` E3442 (not
    held), `VerificationError` E3441 (older), E3444 (not what was signed), `InputError` E3445 (code tables that cannot
    stand here); nothing is put in force then.
    """
    keyring = open_keyring(node, at=at)
    with _store(node) as store, store.begin() as tx:
        now = versions.in_force(tx.connection)
        held = [v for v in versions.stored(tx.connection) if v.state == HELD]
        if number is None and not held:
            return ()
        version = held[-1] if number is None else versions.find(tx.connection, number)
        if version.number == now.number:
            return ()
        versions.check_signed(tx.connection, version, keyring)
        _check_tables(version)
        versions.put_in_force(tx.connection, version, at)
        append(
            tx.connection,
            Event.REGISTRY_APPLIED,
            ts=at,
            node=node.party,
            actor=actor,
            object=f"registry {version.number}",
            detail={
                "before": now.number,
                "batch": version.batch_id or "",
                "code_tables": len(codes.changed_tables(codes.parse(now.tables), codes.parse(version.tables)))
                if now.tables and version.tables
                else 0,
            },
        )
        return (version,)


def _check_tables(version: Version) -> None:
    """The version's code tables can stand here: none that this installation needs is missing (E3445)."""
    fits = (
        not codes.missing_tables(load_catalog(), codes.parse(version.tables))
        if version.tables
        else version.codes == codes_digest(load_catalog())
    )
    if not fits:
        raise InputError(
            "E3445",
            f"权威源登记第 {version.number} 版随附的代码表与本机安装的不同",
            where=version.batch_id or "",
            step="随附的代码表不全，不能装入：升级本机软件，或由部级以新版软件重新发布后再启用",
        )


def plan_registry(node: Node, number: int | None, *, today: str, progress: Callable[[str, str], None]) -> RegistryPlan:
    """What a version (the newest held by default) would change here, counted without keeping anything.

    Reads no source. Raises `UsageError` E3442, what opening the state raises.
    """
    sources = load_sources(node.sources)
    base = load_catalog(sources.site_dictionaries)
    with _store(node) as store, store.reading() as reader:
        stored = versions.stored(reader.connection)
        version = stored[-1] if number is None else versions.find(reader.connection, number)
        now = versions.in_force(reader.connection)
    catalog = versions.under(base, version)
    own = own_systems(sources, catalog)
    catalog = with_own(catalog, own)
    con = open_state(node, catalog, today=today)
    try:
        for system in own:  # a mapping that no round has read yet has no rows to settle with
            for table in system.tables:
                create_holding(con, catalog, table.canonical)
        with TemporaryDirectory(prefix="plan-", dir=node.work) as folder:
            settled, files = _try(con, node, catalog, Path(folder), progress)
            fields = _fields(con, catalog, versions.registry_of(now.document), catalog.registry, files)
            tables = code_plans(con, catalog, pending_codes(con, catalog))
            counts = {e: sum(f.counts.rows for f in some) for e, some in files.items()}
        return RegistryPlan(version.number, now.number, fields, settled, counts, tables)
    finally:
        con.close()


def _try(
    con: duckdb.DuckDBPyConnection, node: Node, catalog: Catalog, folder: Path, progress: Callable[[str, str], None]
) -> tuple[dict[str, int], dict[str, list[ChangeFile]]]:
    """Settles what the owners touch and takes everything back: (records asked again, change files by entity)."""
    con.execute("BEGIN")
    try:
        begin_round(con, catalog)
        retire(con, catalog, pending_codes(con, catalog))
        done = settle(
            con,
            catalog,
            secret=node.secret(),
            whole=False,
            number=counter(con, "change_set") + 1,
            lo=counter(con, "change_log") + 1,
            folder=folder,
            nonce=lambda: "0" * 64,
            progress=lambda what: progress("settle", what),
            changed=pending_changes(con, catalog),
        )
    finally:
        con.execute("ROLLBACK")
    asked = {e: b.inserted + b.updated + b.unchanged for e, b in done.balance.items()}
    files: dict[str, list[ChangeFile]] = {}
    for file in done.changes.files:
        files.setdefault(file.entity, []).append(file)
    return {e: n for e, n in asked.items() if n}, files


def _fields(
    con: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    before: Registry,
    after: Registry,
    files: Mapping[str, Sequence[ChangeFile]],
) -> tuple[FieldPlan, ...]:
    """Per data item with another owner: rows whose value and whose letter differ from the golden image."""
    result = []
    for entity, field, old, new in changed(before, after):
        values = letters = 0
        if entity in files:
            at = catalog.entities[entity].columns.index(field) + 1
            paths = ", ".join(text(str(f.path)) for f in files[entity])
            row = con.execute(
                f"SELECT count(*) FILTER (WHERE d.{ident(field)} IS DISTINCT FROM g.{ident(field)}), "
                f"count(*) FILTER (WHERE substr(d.prov, {at}, 1) IS DISTINCT FROM substr(g.prov, {at}, 1)) "
                f"FROM read_parquet([{paths}]) d LEFT JOIN g_{entity} g ON g.pk = d.pk"
            ).fetchone()
            values, letters = (int(row[0]), int(row[1])) if row else (0, 0)
        result.append(FieldPlan(entity, field, words(old), words(new), values, letters))
    return tuple(result)


@contextmanager
def _store(node: Node) -> Iterator[Store]:
    store = open_store(node.database_url, load_catalog())
    try:
        yield store
    finally:
        store.close()
