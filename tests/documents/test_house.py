"""The house's measures: codes with one meaning, no place of one machine, files and functions of a readable length."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from tests.documents.tracked import product, read, texts

LONGEST_FILE, LONGEST_FUNCTION = 300, 40
# Codes that two rooms raise on purpose, because what happened and what to do are the same in both.
SHARED = {
    "E1022": "a file that was asked for cannot be written",
    "E2407": "something that is no regular file lies in an exchange folder",
}
_CODE = re.compile(r"E\d{4}")
# Written in parts, so that this file passes its own test.
_PLACE = re.compile(r"(?<![\w.}\])$])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "tm" + "p"]) + r")/(?!\*)[\w.]")
_REGISTRY = re.compile("|".join(["pypi\\." + "org", "npm" + "js", "deb\\.deb" + "ian", "files\\.python" + "hosted"]))
# A comment that says why something is longer than the measure: it speaks of length or of splitting.
_REASON = re.compile(r"#.*\b(?:long|longer|length|split|in one piece)\b", re.IGNORECASE)


def raised(module: ast.Module) -> Iterator[str]:
    """Codes handed to a call, which is how an error or an alarm gets one; comparisons do not count."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            for value in node.args[:2]:
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and _CODE.fullmatch(value.value):
                    yield value.value


def test_no_code_is_raised_in_two_rooms() -> None:
    rooms: dict[str, set[str]] = defaultdict(set)
    for name, module in product().items():
        for code in raised(module):
            rooms[code].add(name.split("/")[0])
    assert len(rooms) > 50
    twice = {code: sorted(where) for code, where in sorted(rooms.items()) if len(where) > 1}
    assert set(twice) == set(SHARED), twice


def test_no_file_names_a_place_of_one_machine() -> None:
    found = [
        f"{name}:{number}"
        for name, body in texts()
        for number, line in enumerate(body.splitlines(), 1)
        if _PLACE.search(line) and not (name.startswith("tests/") and "/tm" + "p/" in line)
    ]
    assert not found


def test_no_file_names_a_package_registry() -> None:
    found = [
        f"{name}:{n}" for name, body in texts() for n, line in enumerate(body.splitlines(), 1) if _REGISTRY.search(line)
    ]
    assert not found


def test_no_module_is_longer_than_the_measure_without_a_reason() -> None:
    offenders = []
    for name in product():
        lines = [line for line in read(name).splitlines() if line.strip()]
        if len(lines) > LONGEST_FILE and not any(_REASON.search(line) for line in lines[:30]):
            offenders.append(f"{name}: {len(lines)} lines")
    assert not offenders


def test_no_function_is_longer_than_the_measure_without_a_reason() -> None:
    offenders = []
    for name, module in product().items():
        lines = read(name).splitlines()
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first, last = body_of(node)
                own = [line for line in lines[first - 1 : last] if line.strip()]
                above = lines[max(0, node.lineno - 4) : node.lineno - 1]
                if len(own) > LONGEST_FUNCTION and not any(_REASON.search(line) for line in [*above, *own[:12]]):
                    offenders.append(f"{name}:{node.lineno} {node.name}: {len(own)} lines")
    assert not offenders


def body_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, int]:
    """First and last line of what a function does: after its signature and docstring."""
    body = node.body
    start = body[1] if ast.get_docstring(node) is not None and len(body) > 1 else body[0]
    return start.lineno, int(node.end_lineno or start.lineno)
