"""Files made for one answer: written beside the node's work, sent, and gone.

Decides the headers of a download; who may have it and what stands in it is the page's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.responses import Response

from hub.web.ask import Ask

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def attachment(name: str) -> dict[str, str]:
    """The header that names a download; nothing private stands in a name."""
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}


def xlsx(ask: Ask, name: str, write: Callable[[Path], object]) -> Response:
    """A workbook of at most some thousand rows that `write` puts at the path it is given."""
    ask.site.node.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ask.site.node.work) as folder:
        path = Path(folder) / "made.xlsx"
        write(path)
        return Response(path.read_bytes(), media_type=XLSX, headers=attachment(name))
