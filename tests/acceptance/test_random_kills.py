"""Deaths at random instants over a real SFTP server; the long run is by hand (`tests.acceptance.random_kills`)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.acceptance.kills import EXCHANGE, calm_run, differences, disturbed_run, over_sftp
from tests.acceptance.lands import Land

DEATHS = 6


@pytest.mark.long
@pytest.mark.row(42, "sender killed at random instants over SFTP", "exactly once, no seq re-used")
@pytest.mark.row(43, "receiver killed at random instants", "exactly once, receipt byte-identical")
def test_row_42_and_43_whoever_dies_whenever_both_tiers_end_as_in_a_run_without_a_death(
    prepared: Land, tmp_path: Path
) -> None:
    with over_sftp(prepared.copy(tmp_path / "calm"), tmp_path / "calm-exchange") as calm:
        took = calm_run(calm, EXCHANGE)
    with over_sftp(prepared, tmp_path / "exchange") as land:
        told = disturbed_run(land, EXCHANGE, took, random.Random(4), deaths=DEATHS)
        assert sum(told.deaths.values()) == DEATHS
        assert differences(land, calm) == []
