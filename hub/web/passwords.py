"""Passwords: slow salted hashes and what a password must be (console 1, 6).

Decides the form `scrypt$n$r$p$salt$hash` (hex) and the least length; whose hash it is, and how many attempts there are,
is decided by `accounts`. Pure: the salt is an argument.
"""

from __future__ import annotations

import hashlib
import hmac
from threading import BoundedSemaphore
from typing import Final

from hub.errors import UsageError

LEAST, MOST = 10, 200
_N, _R, _P = 2**15, 8, 1
_MEMORY: Final = 64 << 20
_SALT: Final = 16
# Each hash takes 32 MB; more at once than this would let strangers at the sign-in page fill the memory.
_AT_ONCE: Final = BoundedSemaphore(2)


def check_password(password: str, *, name: str) -> None:
    """Raises `UsageError` E1081: too short, too long, one kind of character, or the account's name inside."""
    kinds = sum(any(test(c) for c in password) for test in (str.islower, str.isupper, str.isdigit, _other))
    if not LEAST <= len(password) <= MOST:
        raise UsageError("E1081", f"口令须有 {LEAST} 至 {MOST} 个字符", step="换一个更长的口令")
    if kinds < 2 or (len(name) > 2 and name.casefold() in password.casefold()):
        raise UsageError("E1081", "口令过于简单", step="混用大小写字母、数字、符号中的至少两类，且不含账号名")


def _other(character: str) -> bool:
    return not character.isalnum()


def hashed(password: str, *, salt: bytes) -> str:
    """The hash as it is stored. `salt`: 16 random bytes."""
    if len(salt) != _SALT:
        raise RuntimeError("a salt has 16 bytes")
    return f"scrypt${_N}${_R}${_P}${salt.hex()}${_scrypt(password, salt, _N, _R, _P).hex()}"


def matches(password: str, stored: str | None) -> bool:
    """Whether it is that password. Without a stored hash one is made all the same, so that time tells nothing."""
    kind, n, r, p, salt, digest = (stored or hashed("", salt=bytes(_SALT))).split("$")
    if kind != "scrypt":
        raise RuntimeError("unknown kind of password hash")
    good = hmac.compare_digest(_scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p)), bytes.fromhex(digest))
    return good and stored is not None


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    with _AT_ONCE:
        return hashlib.scrypt(password[:MOST].encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)
