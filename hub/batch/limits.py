"""Limits both sides share (protocol 11.2) and the checks of declared sizes against them.

Decides about what a manifest declares. What a decoder actually meets is measured by the decoder, against the same
numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hub.verdict import refused

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, counts in pieces. The values here are the protocol's; the trust list may say others."""

    files_per_batch: int = 64
    file_bytes: int = 256 * _MIB
    rows_per_batch: int = 2_000_000
    columns: int = 200
    cell_bytes: int = 4 * 1024
    decoded_bytes: int = 2048 * _MIB
    decoded_ratio: int = 1000
    in_flight: int = 8
    parked: int = 64

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Limits:
        """From the `limits` member of a trust list whose shape was checked."""
        return cls(**{name: wire[name] for name in asdict(cls())})

    def to_wire(self) -> dict[str, int]:
        """The `limits` member of a trust list."""
        return asdict(self)


def check_declared(
    limits: Limits, *, plain_sizes: list[int], cipher_sizes: list[int], rows: int, where: str = ""
) -> None:
    """Declared files and rows within the limits (protocol 11.2): E_BUDGET for counts, E_FILE_SIZE for sizes (7.2)."""
    if len(plain_sizes) > limits.files_per_batch:
        raise refused("E_BUDGET", f"文件 {len(plain_sizes)} 个，上限 {limits.files_per_batch} 个", where=where)
    if max(plain_sizes, default=0) > limits.file_bytes:
        raise refused("E_FILE_SIZE", f"申报的单个文件 {max(plain_sizes)} 字节，上限 {limits.file_bytes}", where=where)
    # Ciphertext is plaintext plus recipients, tag and framing (protocol 5.2: <= 64 KiB together, plus 1 KiB).
    for plain, cipher in zip(plain_sizes, cipher_sizes, strict=True):
        if not plain <= cipher <= plain + 65 * 1024:
            raise refused("E_FILE_SIZE", "申报的密文大小与明文大小不相称", where=where)
    if rows > limits.rows_per_batch:
        raise refused("E_BUDGET", f"申报 {rows} 行，上限 {limits.rows_per_batch} 行", where=where)


def check_decoded(limits: Limits, *, columns: int, widest_cell: int, decoded: int, plain: int, where: str = "") -> None:
    """What a decoder met in one file so far; E_BUDGET as soon as any limit is passed (protocol 11.2, 11.3).

    `decoded`: bytes of decoded data so far; `plain`: bytes of the Parquet file; `widest_cell`: longest cell so far.
    """
    if columns > limits.columns:
        raise refused("E_BUDGET", f"{columns} 列，上限 {limits.columns} 列", where=where)
    if widest_cell > limits.cell_bytes:
        raise refused("E_BUDGET", f"单元格 {widest_cell} 字节，上限 {limits.cell_bytes}", where=where)
    if decoded > limits.decoded_bytes or decoded > plain * limits.decoded_ratio:
        raise refused("E_BUDGET", f"解开后 {decoded} 字节，超过总量或膨胀倍数上限", where=where)
