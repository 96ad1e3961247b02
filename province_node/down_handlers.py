"""Who takes in which down stream at the province: one handler per stream, called by `down.receive_down`.

A handler gets the open transaction and a believed batch (`down_parts.Received`), writes its rows through that
transaction and nothing else; a HubError it raises keeps the batch out. A stream is read once its handler stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hub.down.form import CASE, CODES, ERRORS
from province_node.case_intake import take_cases
from province_node.down import Handler
from province_node.registry import take_registry
from province_node.returned import take_errors

HANDLERS: Final[Mapping[str, Handler]] = {CODES: take_registry, ERRORS: take_errors, CASE: take_cases}
