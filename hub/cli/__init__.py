"""The command line's shell: global options, lazily loaded commands, exit codes (console §7).

Decides how a command is found (entry points `hub.commands`, so that imports between the rooms only point down) and how
every failure ends: one Chinese sentence on stderr, an error document on stdout with `--json`, the exit code of the
error. Leaves to the commands what they do. Nothing heavy is imported before a command is chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hub.cli.failures import report
from hub.cli.root import hoisted, root_command


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code of console §7."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    args = hoisted(sys.argv[1:] if argv is None else argv)
    as_json, debug = "--json" in args, "--debug" in args
    try:
        result = root_command().main(args=args, prog_name="hub", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where every failure ends
        return report(error, as_json=as_json, debug=debug)
    code = result if isinstance(result, int) and not isinstance(result, bool) else 0
    return report(KeyboardInterrupt(), as_json=as_json, debug=False) if code == 130 else code
