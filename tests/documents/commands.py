"""The command tree of `hub`, and the commands and options a text names. Decides what counts as naming one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import typer

from hub.cli.root import GROUP

_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_CALL = re.compile(r"(?<![\w./:-])hub (?P<rest>(?:(?! hub )[^\n`|#；，。　])+)")
_WORD = re.compile(r"[a-z][a-z-]*")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_VALUED = ("--node", "--log-format")
# What may stand anywhere on the line.
_ANYWHERE = {*_VALUED, "--json", "--non-interactive", "--debug", "--help", "--version"}

Tree = dict[str, Any]


def command_tree() -> Tree:
    """Every command by name; a group is a tree, a single command None. Imports every registered command."""
    tree: Tree = {}
    for entry in entry_points(group=GROUP):
        found = entry.load()
        if isinstance(found, typer.Typer):
            command = typer.main.get_command(found)
            inner = getattr(command, "commands", None)
            tree[entry.name] = dict.fromkeys(inner) if inner else None
        else:
            tree[entry.name] = None
    return tree


def calls_in_document(markdown: str) -> Iterator[str]:
    """Whatever follows `hub ` in the code spans and blocks of a Markdown text, one line each."""
    for span in _CODE.findall(markdown):
        yield from calls_in(span)


def calls_in(text: str) -> Iterator[str]:
    """Whatever follows `hub ` in a text."""
    for found in _CALL.finditer(text):
        yield found["rest"].strip()


def words_of(call: str) -> list[str]:
    """The command words at the head of a call, global options left out: `--node X sync run --full` → sync, run."""
    words: list[str] = []
    given = iter(call.split())
    for token in given:
        if token in _VALUED:
            next(given, None)
        elif token.startswith("--"):
            continue
        elif _WORD.fullmatch(token):
            words.append(token)
        else:
            break
        if len(words) == 2:
            break
    return words


def unknown(call: str, tree: Tree) -> str | None:
    """What of this call is no command, None when it is one (or names none, as `hub --help` does)."""
    words = words_of(call)
    if not words:
        return None
    if words[0] not in tree:
        return words[0]
    inner = tree[words[0]]
    if inner is not None and len(words) > 1 and words[1] not in inner:
        return " ".join(words)
    return None


@cache
def _commands() -> dict[str, Any]:
    """Every registered command as typer builds it; a single function becomes a command of its own."""
    made = {}
    for entry in entry_points(group=GROUP):
        found = entry.load()
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False)
            app.command(entry.name)(found)
            found = app
        made[entry.name] = typer.main.get_command(found)
    return made


def unknown_options(call: str) -> set[str]:
    """Options a call gives that its command does not take; empty where the text names no single command."""
    command: Any = None
    named: dict[str, Any] = _commands()
    for token in call.split():
        if token in named:
            command = named[token]
            named = getattr(command, "commands", {})
    if command is None or (named and len(named) > 1):
        return set()
    for only in named.values():  # a group of one command is called by the group's name
        command = only
    taken = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    return set(_OPTION.findall(call)) - taken - _ANYWHERE
