"""What a merge has at hand when its rows lie in the stage: where they belong, since when, and under which change set.

Decides how a record's natural key is written when it changes (ruling 19); everything else is its makers' word.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from hub.catalog import Entity
from hub.masking import KEY_JOIN

# Up to so many staged rows the plan is by key and right without statistics, which cost a tenth of such a merge.
FEW: Final = 50_000


@dataclass(frozen=True)
class Staged:
    """Rows of one entity of one node in `stage`. `keys_under`: the change set under which new natural keys are
    noted, None when they are not."""

    table: sa.Table
    history: sa.Table
    stage: sa.Table
    entity: Entity
    node: str
    at: datetime
    keys_under: int | None

    @property
    def notes_keys(self) -> bool:
        """Whether changed natural keys of this entity are noted."""
        return self.keys_under is not None and bool(self.entity.key)

    def note_keys(self, source: str, new: str = "s.") -> str:
        """Statement that notes in `key_change` the records which take another natural key. `source`: a FROM with a
        condition, whose `r` is the stored row; `new`: what stands before the names of the row that takes its place."""
        keys, name, number = [k.lower() for k in self.entity.key], self.entity.name, self.keys_under
        was, is_ = (f" || '{KEY_JOIN}' || ".join(f"CAST({t}{k} AS VARCHAR(60))" for k in keys) for t in ("r.", new))
        differs = " OR ".join(f"r.{k} <> {new}{k}" for k in keys)
        return (
            f"INSERT INTO key_change (entity,pk,cs_no,old_key,new_key) SELECT '{name}',r.pk,{number},{was},{is_} "
            f"FROM {source} AND ({differs}) AND NOT EXISTS (SELECT 1 FROM key_change k "
            f"WHERE k.entity = '{name}' AND k.pk = r.pk AND k.cs_no = {number})"
        )
