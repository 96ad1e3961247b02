"""What Oracle's and the driver's error codes mean; of a message nothing but names of objects is read."""

from __future__ import annotations

import re

import oracledb

# Keys name the meanings in `hub.store.faults`.
_BY_CODE = {
    "locked": (54, 60, 4021, 8177, 14452, 30006),
    "no_table": (942,),
    "sign_in": (1005, 1017, 28000, 28001),
    "absent": (12505, 12514, 12154),
    "forbidden": (1031, 1045, 1950),
    "full": (257, 1144, 1536, 1652, 1653, 1654, 1658, 1683, 1688, 1691, 30036),
    "integrity": (1, 1400, 1407, 2290, 2291, 2292),
    "value": (1438, 1461, 1722, 1841, 1858, 1861, 12899),
    "unreachable": (28, 1012, 1033, 1034, 1089, 1090, 1092, 3113, 3114, 3135),
    "client": (3134,),
}
_MEANING = {code: meaning for meaning, codes in _BY_CODE.items() for code in codes}
# The listener and the network: 12150 to 12699, except what is named above.
_NETWORK = range(12150, 12700)
_DRIVER = {
    "DPY-3010": "client",  # the server is older than thin mode knows
    "DPY-3015": "client",  # its password verifier is
    "DPY-4001": "sign_in",
    "DPY-4011": "unreachable",
    "DPY-1001": "unreachable",
    "DPY-4024": "unreachable",
    "DPY-4026": "absent",
    "DPY-4027": "absent",
    "DPY-6003": "absent",
    "DPY-6001": "absent",
}
UNIQUE = 1
# `"SIM"."G_XS"."XM"`, `(SIM.PK_G_XS)`: what is named, without its owner.
_NAMED = re.compile(r'[("](?:\w+"?\."?)*(\w+)"?(?=[)\s]|$)')
_COLUMN = re.compile(r'column "?\w+"?\.(?:"?\w+"?\.)?"?(\w+)')


def code_of(error: BaseException) -> int:
    """The ORA number, 0 when there is none."""
    first = error.args[0] if error.args else None
    return int(getattr(first, "code", 0) or 0) if str(getattr(first, "full_code", "")).startswith("ORA-") else 0


def meaning_of(error: oracledb.Error) -> tuple[str, str, str]:
    """(key of the meaning, code to show, table column or constraint when Oracle names it)."""
    full = str(getattr(error.args[0], "full_code", "") if error.args else "")
    number = code_of(error)
    if number:
        known = _MEANING.get(number) or ("unreachable" if number in _NETWORK else "other")
        return known, full, named(number, str(getattr(error.args[0], "message", "")))
    silent = full.startswith("DPY-6") or (not full and isinstance(error, oracledb.OperationalError))
    known = _DRIVER.get(full) or ("unreachable" if silent else "other")
    return known, full or type(error).__name__, ""


def named(number: int, message: str) -> str:
    """Column or constraint out of a message, lower case; only messages that quote no value are looked at."""
    if number == 12899:
        found = _COLUMN.search(message)
    elif number in (UNIQUE, 1400, 1407, 2290, 2291, 2292):
        found = _NAMED.search(message)
    else:
        found = None
    return found.group(1).lower() if found else ""
