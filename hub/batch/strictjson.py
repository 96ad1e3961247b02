"""Strict JSON in and canonical JSON out (protocol 3.4).

Decides which byte strings are JSON for the exchange: objects, arrays, strings, booleans, null, and integers with
|n| <= 2^53-1; UTF-8, NFC, no duplicate keys, at most 8 levels. Everything else is E_ENV_JSON. Whether a null may
stand where it stands is the wire schema's business. The caller has capped the size before.

`emit` writes RFC 8785 (JCS) for the same value space, so that equal values have equal bytes.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hub.verdict import refused

MAX_INT = 2**53 - 1
MAX_DEPTH = 8
_MAX_INT_CHARS = 17  # sign and 16 digits: bounds the work before int() sees the text


class _NotStrictError(ValueError):
    """Carries the Chinese reason from the parser's hooks to `parse`."""


def parse(data: bytes, *, where: str = "") -> Any:
    """Parse strict JSON; raises RefusedError E_ENV_JSON and nothing else."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_refuse_float,
            parse_constant=_refuse_constant,
        )
        _check(value, 1)
    except _NotStrictError as error:
        raise refused("E_ENV_JSON", str(error), where=where) from None
    except UnicodeDecodeError:
        raise refused("E_ENV_JSON", "不是 UTF-8 编码", where=where) from None
    except RecursionError:
        raise refused("E_ENV_JSON", f"嵌套超过 {MAX_DEPTH} 层", where=where) from None
    except ValueError:
        # The parser's own text may quote the input, so it is not passed on.
        raise refused("E_ENV_JSON", "JSON 语法错误", where=where) from None
    return value


def parse_object(data: bytes, *, where: str = "") -> dict[str, Any]:
    """`parse`, and the top level must be an object."""
    value = parse(data, where=where)
    if not isinstance(value, dict):
        raise refused("E_ENV_JSON", "顶层必须是对象", where=where)
    return value


def emit(value: Any) -> bytes:
    """RFC 8785 form of a value in the allowed space; anything else is our own mistake (TypeError, ValueError)."""
    _check_emittable(value, 1)
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _NotStrictError("对象中有重复的键")
    return result


def _integer(text: str) -> int:
    if len(text) > _MAX_INT_CHARS or text == "-0":
        raise _NotStrictError("整数超出允许范围")
    number = int(text)
    if abs(number) > MAX_INT:
        raise _NotStrictError("整数超出允许范围")
    return number


def _refuse_float(_text: str) -> Any:
    raise _NotStrictError("不允许小数或指数形式的数字")


def _refuse_constant(_text: str) -> Any:
    raise _NotStrictError("不允许 NaN 或 Infinity")


def _check(value: Any, depth: int) -> None:
    """Strings and depth; numbers were checked while parsing."""
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise _NotStrictError(f"嵌套超过 {MAX_DEPTH} 层")
        if isinstance(value, dict):
            for key in value:
                _check_text(key)
            children: Any = value.values()
        else:
            children = value
        for child in children:
            _check(child, depth + 1)


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _NotStrictError("字符串含有不成对的代理字符") from None
    if not unicodedata.is_normalized("NFC", text):
        raise _NotStrictError("字符串不是 NFC 规范形式")


def _check_emittable(value: Any, depth: int) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if abs(value) > MAX_INT:
            raise ValueError("integer outside 2^53-1: write it as a decimal string")
        return
    if isinstance(value, str):
        _check_text(value)
        return
    if not isinstance(value, dict | list | tuple):
        raise TypeError(f"{type(value).__name__} has no strict JSON form")
    if depth > MAX_DEPTH:
        raise ValueError("deeper than 8 levels")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("object keys must be strings")
        for key in value:
            _check_text(key)
    for child in value.values() if isinstance(value, dict) else value:
        _check_emittable(child, depth + 1)


def _sorted(value: Any) -> Any:
    """RFC 8785 3.2.3: members sorted by UTF-16 code units."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    if isinstance(value, list | tuple):
        return [_sorted(child) for child in value]
    return value
