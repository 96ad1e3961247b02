"""One finding of `hub doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`state`: ok, warn or bad."""

    name: str
    state: str
    detail: str
    remedy: str = ""
