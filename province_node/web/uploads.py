"""Uploaded workbooks, in the node's private work folder until the import that reads them has ended.

Decides their place and their end: an import removes its own; what a killed process left is removed by the next upload
a day later.
"""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Final

from starlette.datastructures import UploadFile

from hub.web import Ask

LEFT: Final = timedelta(days=1)


def keep(ask: Ask, upload: UploadFile) -> Path:
    """Writes the upload down under its own name, in a folder of its own."""
    root = ask.site.node.work / "uploads"
    root.mkdir(parents=True, exist_ok=True)
    for left in root.iterdir():
        if left.stat().st_mtime < (ask.at - LEFT).timestamp():
            shutil.rmtree(left, ignore_errors=True)
    path = root / ask.site.rng(12).hex() / _named(str(upload.filename))
    path.parent.mkdir()
    with path.open("wb") as out:
        shutil.copyfileobj(upload.file, out)
    upload.file.close()
    return path


def drop(path: Path) -> None:
    """Removes what `keep` wrote."""
    shutil.rmtree(path.parent, ignore_errors=True)


def _named(name: str) -> str:
    """The file's own name without its place; the school's code may stand at its end."""
    return re.sub(r"[^\w.\-（）()—]", "_", name.replace("\\", "/").rpartition("/")[2])[-120:]
