"""The options of a command that takes two persons: the operator and who looked over the shoulder (protocol 10.6).

Whether they are two is decided by `hub.roles.two_persons`.
"""

from __future__ import annotations

from typing import Annotated

import typer

By = Annotated[str, typer.Option("--by", metavar="姓名", help="经办人，记入审计")]
Second = Annotated[str, typer.Option("--second", metavar="姓名", help="复核人，须与经办人不同")]
