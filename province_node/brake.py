"""The mass-delete brake: a round that would delete too much is rolled back whole (architecture).

Decides by the share of an entity's stock; who may release it is the caller's.
"""

from __future__ import annotations

import duckdb

from connectors.changes import brake
from hub.catalog import Catalog
from hub.errors import HubError
from hub.settings import Node
from quality.changed import scalar
from quality.settle import Settled


def check_brake(
    con: duckdb.DuckDBPyConnection, catalog: Catalog, node: Node, settled: Settled, *, released: bool
) -> None:
    """Holds a round that would delete more than the set share of an entity (architecture: mass-delete brake)."""
    held = []
    for name, balance in settled.balance.items():
        stock = int(scalar(con, f"SELECT count(*) FROM g_{name}")) + balance.deleted - balance.inserted
        too_many = brake(balance.deleted, stock, node.settings.max_delete_share)
        if too_many and balance.deleted > node.settings.min_braked_deletes:
            held.append(f"{catalog.entities[name].cn} {balance.deleted}/{stock} 条")
    if held and not released:
        raise HubError(
            "E3201",
            f"本轮将删除过多记录（{'；'.join(held)}），超过设定比例 {node.settings.max_delete_share:.0%}，"
            "整轮挂起，未改动任何数据",
            where="删除刹车",
            step="核实数据源确有大批注销后，用 --allow-deletes 重新运行；否则请数据源修复",
        )
