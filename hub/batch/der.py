"""Distinguished Encoding Rules, the little that CMS needs (ITU-T X.690).

Decides whether bytes are DER: definite, minimal lengths, low tag numbers, minimal integers. The reader walks a header
held in memory whose outermost elements may end far behind it (`limit` is the size of the file), so that a 256 MiB
file needs no more memory than its header. Every fault is `DerError`; callers turn it into a protocol code.
"""

from __future__ import annotations

from collections.abc import Iterable

INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x05, 0x06, 0x30, 0x31


class DerError(ValueError):
    """Not DER, or not the element expected. The text is for developers."""


def write_length(size: int) -> bytes:
    """Minimal definite length."""
    if size < 0x80:
        return bytes([size])
    body = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(body)]) + body


def element(tag: int, *content: bytes) -> bytes:
    """One element with its content joined."""
    body = b"".join(content)
    return bytes([tag]) + write_length(len(body)) + body


def sequence(*content: bytes) -> bytes:
    """SEQUENCE."""
    return element(SEQUENCE, *content)


def set_of(items: Iterable[bytes]) -> bytes:
    """SET OF, members in ascending order of their encodings (X.690 11.6)."""
    return element(SET, *sorted(items))


def integer(value: int) -> bytes:
    """INTEGER, two's complement, minimal."""
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def octets(data: bytes) -> bytes:
    """OCTET STRING."""
    return element(OCTET_STRING, data)


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    return element(OID, b"".join(_base128(arc) for arc in (first * 40 + second, *rest)))


def _base128(arc: int) -> bytes:
    out = [arc & 0x7F]
    while arc := arc >> 7:
        out.append(0x80 | (arc & 0x7F))
    return bytes(reversed(out))


class Reader:
    """Walks elements between `position` and `end` of a buffer; `end` may lie behind what the buffer holds."""

    def __init__(self, data: bytes, position: int = 0, end: int | None = None) -> None:
        self.data = data
        self.position = position
        self.end = len(data) if end is None else end

    def peek(self) -> int | None:
        """Tag of the next element, None at the end."""
        if self.position >= self.end:
            return None
        return self._byte(self.position)

    def header(self, tag: int) -> tuple[int, int]:
        """(start, end) of the content of the next element, which must have `tag`; moves behind the element."""
        if self.peek() != tag:
            raise DerError(f"expected tag {tag:#04x} at {self.position}")
        first = self._byte(self.position + 1)
        start = self.position + 2
        size = first
        if first & 0x80:
            count = first & 0x7F
            if not 1 <= count <= 8:
                raise DerError("indefinite or oversized length")
            body = self._bytes(start, start + count)
            size = int.from_bytes(body, "big")
            start += count
            if size < 0x80 or body[0] == 0:
                raise DerError("non-minimal length")
        if start + size > self.end:
            raise DerError("element longer than its parent")
        self.position = start + size
        return start, start + size

    def enter(self, tag: int) -> Reader:
        """Reader over the content of the next element."""
        start, end = self.header(tag)
        return Reader(self.data, start, end)

    def content(self, tag: int) -> bytes:
        """Content of the next element, which must be held in full."""
        return self._bytes(*self.header(tag))

    def raw(self, tag: int) -> bytes:
        """The next element with its tag and length."""
        begin = self.position
        _, end = self.header(tag)
        return self._bytes(begin, end)

    def integer(self) -> int:
        """INTEGER in minimal form."""
        body = self.content(INTEGER)
        if not body:
            raise DerError("empty integer")
        redundant = len(body) > 1 and (
            (body[0] == 0 and not body[1] & 0x80) or (body[0] == 0xFF and bool(body[1] & 0x80))
        )
        if redundant:
            raise DerError("non-minimal integer")
        return int.from_bytes(body, "big", signed=True)

    def expect(self, encoded: bytes) -> None:
        """The next element must be exactly these bytes."""
        if self._bytes(self.position, self.position + len(encoded)) != encoded:
            raise DerError(f"unexpected element at {self.position}")
        self.position += len(encoded)

    def finish(self) -> None:
        """Nothing may follow."""
        if self.position != self.end:
            raise DerError("trailing bytes")

    def _byte(self, position: int) -> int:
        return self._bytes(position, position + 1)[0]

    def _bytes(self, start: int, end: int) -> bytes:
        if end > self.end or end > len(self.data):
            raise DerError("truncated")
        return self.data[start:end]
