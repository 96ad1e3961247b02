"""The documents name what there is: commands, folders, targets; and both READMEs say it in the same order."""

from __future__ import annotations

import ast
import re

import pytest

from tests.documents.commands import (
    Tree,
    calls_in,
    calls_in_document,
    command_tree,
    unknown,
    unknown_options,
    words_of,
)
from tests.documents.tracked import FOLDERS, ROOMS, files, product, read

READMES = ("README.md", "README.zh.md")
RUNBOOKS = (
    "archive",
    "daily-run",
    "first-network",
    "frozen-stream",
    "key-compromise",
    "key-rotation",
    "lost-settling-state",
    "mass-delete-brake",
    "ministry-restored",
    "new-province",
    "province-restored",
    "refused-batch",
    "restore-from-backup",
    "source-alarm",
    "state-differs",
    "transfer-server",
    "upgrade",
)
_CHINESE = re.compile("[\u4e00-\u9fff]")  # what people read; docstrings of modules are English
_HEADING = re.compile(r"^(#{1,6}) ", re.MULTILINE)


@pytest.fixture(scope="module")
def tree() -> Tree:
    return command_tree()


def documents() -> list[str]:
    return [n for n in files() if n.endswith(".md")]


def without_code(markdown: str) -> str:
    return re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)


def readme_calls(name: str) -> list[list[str]]:
    return [words for call in calls_in_document(read(name)) if (words := words_of(call))]


def test_every_command_a_document_names_exists(tree: Tree) -> None:
    named = [(name, call) for name in documents() for call in calls_in_document(read(name))]
    assert named
    missing = sorted({f"{name}: hub {wrong}" for name, call in named if (wrong := unknown(call, tree))})
    assert not missing


def test_every_option_a_document_gives_a_command_is_taken_by_it() -> None:
    given = [(name, call) for name in documents() for call in calls_in_document(read(name)) if " --" in f" {call}"]
    assert len(given) > 50
    assert not sorted(f"{name}: hub {call}" for name, call in given if unknown_options(call))
    assert unknown_options("sync run --quickly --full") == {"--quickly"}
    assert unknown_options("doctor --db URL --dg") == {"--dg"}


def test_every_command_a_message_tells_people_to_run_exists(tree: Tree) -> None:
    missing, messages = set(), 0
    for name, module in product().items():
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CHINESE.search(node.value):
                calls = list(calls_in(node.value))
                messages += len(calls)
                missing |= {f"{name}:{node.lineno} hub {wrong}" for c in calls if (wrong := unknown(c, tree))}
                missing |= {f"{name}:{node.lineno} hub {c}" for c in calls if unknown_options(c)}
    assert messages
    assert not missing


@pytest.mark.parametrize("name", READMES)
def test_every_command_stands_in_the_readme(name: str, tree: Tree) -> None:
    assert not sorted(set(tree) - {words[0] for words in readme_calls(name)})


@pytest.mark.parametrize("name", READMES)
def test_every_make_target_stands_in_the_readme(name: str) -> None:
    targets = re.findall(r"^([a-z-]+):.*##", read("Makefile"), re.MULTILINE)
    assert "demo" in targets
    assert not [t for t in targets if f"`make {t}`" not in read(name)]


@pytest.mark.parametrize("name", READMES)
def test_the_map_names_the_folders_that_exist(name: str) -> None:
    mapped = re.findall(r"^\| `([a-z_]+)/` \|", read(name), re.MULTILINE)
    assert sorted(mapped) == sorted(FOLDERS)
    there = {n.split("/")[0] for n in files() if "/" in n and not n.startswith(".")}
    assert there == set(FOLDERS)


def test_both_readmes_have_the_same_sections_and_commands_in_the_same_order() -> None:
    english, chinese = (_HEADING.findall(without_code(read(n))) for n in READMES)
    assert english == chinese
    assert readme_calls(READMES[0]) == readme_calls(READMES[1])
    makes = [re.findall(r"`make ([a-z-]+)`", read(n)) for n in READMES]
    assert makes[0] == makes[1]


@pytest.mark.parametrize("name", READMES)
def test_the_readme_keeps_a_marked_place_for_the_demo(name: str) -> None:
    assert read(name).count("<!-- demo -->") == 1
    assert read(name).index("<!-- demo -->") < read(name).index("<!-- /demo -->")


def test_every_link_between_documents_leads_to_a_file() -> None:
    broken = []
    for name in documents():
        base = name.rpartition("/")[0]
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", without_code(read(name))):
            parts: list[str] = base.split("/") if base else []
            for part in target.rstrip("/").split("/"):
                parts = parts[:-1] if part == ".." else [*parts, *([] if part == "." else [part])]
            path = "/".join(parts)
            if path not in files() and not any(f.startswith(f"{path}/") for f in files()):
                broken.append(f"{name}: {target}")
    assert not broken


@pytest.mark.parametrize("name", RUNBOOKS)
def test_a_runbook_says_symptom_meaning_commands_and_end(name: str) -> None:
    body = read(f"deploy/runbooks/{name}.md")
    heads = re.findall(r"^## (.+)$", body, re.MULTILINE)
    assert heads == ["现象", "含义", "处置", "何时算完"]
    assert list(calls_in_document(body))


def test_no_runbook_is_missing_from_the_list() -> None:
    there = {n.rpartition("/")[2].removesuffix(".md") for n in files() if n.startswith("deploy/runbooks/")}
    assert there == set(RUNBOOKS)
    assert not [n for n in RUNBOOKS if f"runbooks/{n}.md" not in read("deploy/README.md")]


def test_the_changelog_has_an_unreleased_section() -> None:
    assert re.search(r"^## \[Unreleased\]", read("CHANGELOG.md"), re.MULTILINE)


def test_the_architecture_names_every_room() -> None:
    assert not [room for room in ROOMS if f"`{room}/`" not in read("ARCHITECTURE.md")]


def test_a_command_that_is_none_is_noticed() -> None:
    tree: Tree = {"sync": {"run": None}, "doctor": None}
    text = "用 `hub --node DIR sync run --full` 或 `hub sync fly`，见 `hub --help`、`hub doctor now` 与 `hub init`"
    assert [w for call in calls_in_document(text) if (w := unknown(call, tree))] == ["sync fly", "init"]
