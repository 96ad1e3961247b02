"""A node for a handmade world, and the places a record can be looked up in afterwards."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb

from hub.settings import Node, open_node, write_settings
from province_node.settle import Options, Round, run_round
from tests.settling.handmade.layout import FIELDS, KEYS
from tests.settling.handmade.world import ANY, FIRST_DAY, Expect, Row, World, key_of, plain, write


class Settled:
    """One node with its sources; `day` runs a round, the other methods look at the state."""

    def __init__(self, folder: Path, world: World, *, dictionaries: bool = True) -> None:
        self.folder, self.dictionaries = folder, dictionaries
        write(world, folder / "src", dictionaries=dictionaries)
        (folder / "node" / "keys").mkdir(parents=True)
        (folder / "node" / "keys" / "record.secret").write_text("5a" * 32)
        settings: dict[str, str | int | float | list[str]] = {
            "role": "province",
            "party": "41",
            "name": "河南省节点",
            "sources": str(folder / "src"),
        }
        write_settings(folder / "node", settings)
        self.node: Node = open_node(folder / "node")
        self._golden: dict[str, dict[tuple[str, ...], Row]] = {}
        self._issues: dict[tuple[str, str], list[tuple[str, str, str]]] | None = None

    def day(self, today: str = FIRST_DAY, world: World | None = None, **options: Any) -> Round:
        if world is not None:
            write(world, self.folder / "src", dictionaries=self.dictionaries)
        self._golden, self._issues = {}, None
        dice = random.Random(today)
        return run_round(
            self.node, Options(today=today, **({"judge": False} | options)), nonce=lambda: dice.randbytes(32).hex()
        )

    def ask(self, sql: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.node.state), read_only=True) as con:
            return con.execute(sql, values or []).fetchall()

    def golden(self, entity: str) -> dict[tuple[str, ...], Row]:
        if entity in self._golden:
            return self._golden[entity]
        names = FIELDS[entity]
        rows = self.ask(f"SELECT {', '.join(names)} FROM g_{entity}")
        found = [{n: plain(n, v) for n, v in zip(names, row, strict=True)} for row in rows]
        self._golden[entity] = {tuple(str(r[k]) for k in KEYS[entity]): r for r in found}
        return self._golden[entity]

    def issues(self, entity: str, key: tuple[str, ...]) -> list[tuple[str, str, str]]:
        """(rule, field, state) of what is said of a record."""
        if self._issues is None:
            self._issues = {}
            for of, natural, *reason in self.ask("SELECT entity, natural_key, rule, field, state FROM known_issue"):
                self._issues.setdefault((of, natural), []).append((reason[0], reason[1], reason[2]))
        return self._issues.get((entity, "|".join(key)), [])

    def conflicts(self, entity: str, key: tuple[str, ...]) -> list[tuple[str, str, str | None, str | None]]:
        return self.ask(
            "SELECT field, state, value, winner_value FROM known_disagreement WHERE entity = ? AND natural_key = ?",
            [entity, "|".join(key)],
        )

    def differences(self, world: World, entity: str) -> list[str]:
        """What differs between the golden table and the expected one, row by row and field by field."""
        want = {key_of(entity, r): r for r in world.golden[entity].values()}
        have = self.golden(entity)
        lines = [f"missing {k}: {self.issues(entity, k)}" for k in want.keys() - have.keys()]
        lines += [f"not expected {k}: {self.issues(entity, k)}" for k in have.keys() - want.keys()]
        for k in want.keys() & have.keys():
            for name in FIELDS[entity]:
                wanted, found = want[k][name], have[k][name]
                if wanted != ANY and plain(name, wanted) != found:
                    lines.append(f"{k} {name}: expected {plain(name, wanted)!r}, golden {found!r}")
        return sorted(lines)

    def problem(self, world: World, case: str) -> str:
        """Why a planted case is not where it belongs; empty when it is."""
        entity, key, want = world.cases[case]
        return self.judge(entity, key, want)

    def judge(self, entity: str, key: tuple[str, ...], want: Expect) -> str:
        found = self.issues(entity, key)
        if key in self.golden(entity):
            return f"is golden; issues {found}"
        if not want.state:
            return ""
        of_state = [f for f in found if f[2] == want.state]
        if not of_state:
            return f"no {want.state}; issues {found}"
        fits = [f for f in of_state if (not want.rules or f[0] in want.rules) and want.field in ("", f[1])]
        return "" if fits else f"expected {want.rules} {want.field}, got {of_state}"
