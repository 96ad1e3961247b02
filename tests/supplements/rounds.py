"""Rounds, imports and looks at a laboratory's province, in few words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb

from hub.catalog import load_catalog
from hub.settings import Node
from hub.store import Store
from pipelines.lab.setup import Lab
from province_node.publish import publish_pending
from province_node.settle import Options, Round, run_round
from province_node.supplement_intake import Imported, import_file
from province_node.supplement_review import Reviewed, review
from tests.round.labs import AT
from tests.settling.handmade.headers import STUDENT
from tests.settling.handmade.people import A, Student
from tests.settling.handmade.supplements import LABELS, line
from tests.settling.handmade.supplements import STUDENT as NAMES
from tests.settling.handmade.world import FIRST_DAY

FULL = {
    **NAMES, "学生类别": "XSLBM", "学习形式": "XXXSM", "入学方式": "RXFSM", "就读方式": "JDFSM",
    "乘火车区间": "CHCQJ", "是否随迁子女": "SFSQZN", "生源地行政区划码": "SYDXZQHM",
    "户口所在地区县以下详细地址": "HKSZDXXDZ", "所属派出所": "SSPCS", "户口所在地行政区划码": "HKSZDXZQHM",
    "户口性质": "HKXZM", "学生居住地类型": "XSJZDLXM", "入学年月": "RXNY", "学制": "XZ", "学生来源": "XSLYM",
    "招生对象": "ZSDXM", "是否建档立卡贫困户": "SFJDLKPKH", "招生方式": "ZSFSM", "联招合作类型": "LZHZLXM",
    "准考证号": "ZKZH", "考生号": "KSH", "考试总分": "KSZF", "校外教学点": "XWJXD", "分段培养方式": "FDPYFSM",
    "班级名称": "BH", "专业简称": "ZYDM",
}  # fmt: skip


def student_line(who: Student, **cells: Any) -> list[Any]:
    """A whole row of the 2017 template; codes as labels or codes, class and major as words."""
    row = {**who.xs, **(who.sx or {}), **(who.xj or {})}
    words = {"BH": "24级计算机1班", "ZYDM": "计算机应用", "XZ": "3"}
    return line(STUDENT, FULL, row, **(words | cells))


def run(lab: Lab, today: str = FIRST_DAY, **options: Any) -> Round:
    return run_round(lab.province, Options(today=today, judge=False, **options), nonce=lambda: os.urandom(32).hex())


def publish(lab: Lab) -> None:
    publish_pending(lab.province, at=AT, rng=os.urandom)


def take(store: Store, path: Path, *, operator: str = "张三", **more: Any) -> Imported:
    return import_file(store, load_catalog(), path, node="41", operator=operator, at=AT, today=FIRST_DAY, **more)


def approve(store: Store, number: int, *, reviewer: str = "李四", **more: Any) -> Reviewed:
    return review(store, load_catalog(), number, **({"approve": True} | more), node="41", reviewer=reviewer, at=AT)


def golden(node: Node, entity: str, columns: str, where: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(node.state), read_only=True) as con:
        return con.execute(f"SELECT {columns} FROM g_{entity} WHERE {where} ORDER BY ALL").fetchall()


__all__ = ["LABELS", "A", "approve", "golden", "publish", "run", "student_line", "take"]
