"""A picture of what a console said, as an SVG that asks nothing of any other host.

Decides only the look; the words are those the console recorded.
"""

from __future__ import annotations

import html
import re
from itertools import groupby
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import MONOKAI

_FOREIGN_FONT = re.compile(r"@font-face\s*\{\{.*?\}\}", re.DOTALL)
_TEXT = re.compile(r'<text([^>]*) x="([0-9.]+)"([^>]*) textLength="([0-9.]+)"([^>]*)>([^<]*)</text>')
_FONTS = '"Noto Sans Mono CJK SC", "Sarasa Mono SC", "DejaVu Sans Mono", monospace'


def save_picture(console: Console, file: Path, *, title: str) -> None:
    """Writes what a recording console printed. Fonts are the reader's own: no address stands in the file."""
    form = _FOREIGN_FONT.sub("", CONSOLE_SVG_FORMAT).replace("Fira Code, monospace", _FONTS)
    svg = console.export_svg(title=title, theme=MONOKAI, code_format=form, unique_id="demo")
    svg = _TEXT.sub(_placed, svg)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(svg, encoding="utf-8")


def _placed(found: re.Match[str]) -> str:
    """One piece of a line, its wide and its narrow characters placed each on their cells.

    The exporter counts characters, and a Chinese one takes two cells; and no font's widths can be relied on.
    """
    words = html.unescape(found[6])
    cell = float(found[4]) / max(1, len(words))
    at = float(found[2])
    spans = []
    for _, group in groupby(words, key=cell_len):
        run = "".join(group)
        length = cell * cell_len(run)
        if run.strip():
            spans.append(f'<tspan x="{at:.1f}" textLength="{length:.1f}">{_escaped(run)}</tspan>')
        at += length
    return f"<text{found[1]}{found[3]}{found[5]}>{''.join(spans)}</text>"


def _escaped(run: str) -> str:
    return html.escape(run).replace(" ", "&#160;").replace("\u3000", "&#12288;")
