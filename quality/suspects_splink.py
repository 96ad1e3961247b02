"""Splink as another scorer of suspects, where it is installed and asked for (`pip install …[splink]`).

Decides how its model is set up over the same evidence as our own weights (`quality.suspects`): the pairs are those of
the match key; agreeing of one person is taken as 19 in 20; agreeing by chance is estimated by Splink from pairs drawn at
random with a fixed seed; agreeing on a rare value weighs more (term frequencies), which our own weights do not know.
Runs in the given DuckDB connection, sends nothing anywhere, and writes only its own temporary tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Final

import duckdb

from hub.errors import UsageError

SEED: Final = 1
SAMPLED_PAIRS: Final = 1_000_000
# Below every weight a pair can have: all pairs of the key are listed, whatever speaks against them.
_EVERY: Final = -1_000.0


def require_installed() -> None:
    """`UsageError` E3452 where Splink is not installed."""
    if find_spec("splink") is None:
        raise UsageError(
            "E3452",
            "没有安装 Splink，不能用它给疑似对打分",
            step="安装可选组件 pip install 'vocational-education-hub[splink]'，或去掉 --splink 用本机权重",
        )


def splink_weights(
    con: duckdb.DuckDBPyConnection, key: Sequence[str], compared: Sequence[str], one_person: float
) -> Mapping[tuple[str, str], float]:
    """Match weight in bits of every pair of `person` that agrees in `key`, by both record numbers, the smaller first.

    `compared`: columns of the evidence; `one_person`: how often they agree of one person.
    """
    import splink
    import splink.comparison_library as library

    agree = [one_person, 1 - one_person]
    settings = splink.SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="pk",
        blocking_rules_to_generate_predictions=[splink.block_on(*key)],
        comparisons=[
            library.ExactMatch(column).configure(term_frequency_adjustments=True, m_probabilities=agree)
            for column in compared
        ],
        retain_matching_columns=False,
        retain_intermediate_calculation_columns=False,
    )
    people = splink.DuckDBAPI(connection=con).register(con.table("person"))
    linker = splink.Linker(people, settings, log_level="ERROR")
    linker.training.estimate_u_using_random_sampling(max_pairs=SAMPLED_PAIRS, seed=SEED)
    found = linker.inference.predict(threshold_match_weight=_EVERY).as_duckdbpyrelation()
    rows = found.project("least(pk_l, pk_r), greatest(pk_l, pk_r), match_weight").fetchall()
    return {(str(a), str(b)): float(weight) for a, b, weight in rows}
