"""A whole round of a lab, as `hub lab run` plays it."""

from __future__ import annotations

import os
from typing import Any

from pipelines.lab.round import LabRound, run_lab
from pipelines.lab.setup import Lab
from tests.round.labs import AT, TODAY


def lab_round(lab: Lab, **options: Any) -> LabRound:
    return run_lab(lab.folder, today=TODAY, at=AT, rng=os.urandom, **options)
