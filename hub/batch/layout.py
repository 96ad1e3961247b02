"""All names of the exchange in one place (protocol 2.7).

Decides how a batch and its files are called and which names are legal. A name is a hint only: what it says MUST
equal the signed content, else E_NAME; that comparison is made where the content is known (`manifest`, `receipt`).
Pure: no path is touched here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from hub.verdict import refused

MINISTRY = "moe"
ESCROW = "moe-dr"
EVERYONE = "00"
HEAD_NAME = "head.dsse"
MAX_NAME_BYTES = 64
MAX_RECEIPTS = 9  # a tenth receipt of one batch stops the stream and pages (protocol 2.7)

_PARTY = r"(?:00|1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-6])"
_STREAM = rf"(?P<party>{_PARTY})-(?P<direction>up|dn)-(?P<stream>[a-z]{{2,8}})-e(?P<epoch>[0-9]{{4}})"
_BATCH = re.compile(rf"{_STREAM}-s(?P<seq>[0-9]{{10}})", re.ASCII)
_BATCH_FILE = re.compile(
    rf"{_STREAM}-s(?P<seq>[0-9]{{10}})\."
    r"(?:(?P<manifest>manifest\.dsse)|receipt(?P<receipt>[1-9])\.dsse|f(?P<part>[0-9]{2})\.(?P<suffix>cms|parquet))",
    re.ASCII,
)
_GRANT = re.compile(rf"{_STREAM}\.grant\.dsse", re.ASCII)
_OTHER = re.compile(
    r"(?P<head>head\.dsse)|control-(?P<control>[0-9]{10})\.dsse|trust-list-(?P<trust>[0-9]{6})\.dsse"
    r"|dr-(?P<dr>[0-9]{6})\.dsse|bulletin-(?P<bulletin>[0-9]{8})\.dsse",
    re.ASCII,
)
_PARTY_FULL = re.compile(_PARTY, re.ASCII)
_STREAM_NAME = re.compile(r"[a-z]{2,8}", re.ASCII)


class NameKind(StrEnum):
    """What a name announces."""

    MANIFEST = "manifest"
    RECEIPT = "receipt"
    PART = "part"
    GRANT = "grant"
    HEAD = "head"
    CONTROL = "control"
    TRUST_LIST = "trust-list"
    DR_STATEMENT = "dr"
    BULLETIN = "bulletin"


@dataclass(frozen=True, order=True)
class StreamId:
    """One epoch of one ordered flow: `party` province code, `direction` `up` or `dn`, `stream` name, `epoch` (granted
    from 1 on; 0 is a legal name of no epoch that ever was)."""

    party: str
    direction: str
    stream: str
    epoch: int

    def __post_init__(self) -> None:
        if not (_PARTY_FULL.fullmatch(self.party) and self.direction in ("up", "dn")):
            raise refused("E_NAME", "省份代码或方向不合规定", where=f"{self.party}-{self.direction}")
        if not (_STREAM_NAME.fullmatch(self.stream) and 0 <= self.epoch <= 9999):
            raise refused("E_NAME", "数据流名或期次不合规定", where=f"{self.stream}-e{self.epoch}")

    def __str__(self) -> str:
        return f"{self.party}-{self.direction}-{self.stream}-e{self.epoch:04d}"

    @property
    def sender(self) -> str:
        """Party that seals the batches of this stream."""
        return self.party if self.direction == "up" else MINISTRY

    @property
    def receiver(self) -> str:
        """Party that decides about them."""
        return MINISTRY if self.direction == "up" else self.party

    @property
    def manifest_role(self) -> str:
        """Role its manifests are signed under, e.g. `sign:up:main:13` (protocol 4.2 #8)."""
        return f"sign:{self.direction}:{self.stream}:{self.party}"

    @property
    def receipt_role(self) -> str:
        """Role its receipts are signed under, e.g. `receipt:up:main:13`."""
        return f"receipt:{self.direction}:{self.stream}:{self.party}"

    def at_epoch(self, epoch: int) -> StreamId:
        """The same flow in another epoch."""
        return StreamId(self.party, self.direction, self.stream, epoch)


@dataclass(frozen=True)
class ParsedName:
    """A legal name taken apart; `number` is receipt N, part N, trust list version, control or DR number, or date."""

    kind: NameKind
    stream_id: StreamId | None = None
    seq: int | None = None
    number: int | None = None
    suffix: str = "dsse"


def batch_id(stream_id: StreamId, seq: int) -> str:
    """`13-up-main-e0001-s0000000042`; seq from 1."""
    if not 0 < seq <= 9_999_999_999:
        raise refused("E_NAME", "批次序号不合规定", where=f"{stream_id} seq {seq}")
    return f"{stream_id}-s{seq:010d}"


def parse_batch_id(text: str) -> tuple[StreamId, int]:
    """Inverse of `batch_id`; E_NAME when it is not one."""
    match = _BATCH.fullmatch(text)
    if match is None:
        raise refused("E_NAME", "不是批次号", where=_shown(text))
    return _stream(match), _seq(match, text)


def part_name(batch: str, n: int, suffix: str = "cms") -> str:
    """Name of payload file n (1..64); `.parquet` only for the public party `00`."""
    stream_id, _ = parse_batch_id(batch)
    if not 0 < n <= 64 or suffix != ("parquet" if stream_id.party == EVERYONE else "cms"):
        raise refused("E_NAME", "数据文件号或后缀不合规定", where=f"{batch} f{n:02d}.{_shown(suffix)}")
    return f"{batch}.f{n:02d}.{suffix}"


def manifest_name(batch: str) -> str:
    """Name of the manifest, the commit marker of an upload (protocol 2.3)."""
    parse_batch_id(batch)
    return f"{batch}.manifest.dsse"


def receipt_name(batch: str, n: int) -> str:
    """Name of the batch's n-th receipt, 1..9."""
    parse_batch_id(batch)
    if not 0 < n <= MAX_RECEIPTS:
        raise refused("E_NAME", "同一批次的回执不得超过 9 份，须停流处置", where=f"{batch} receipt{n}")
    return f"{batch}.receipt{n}.dsse"


def grant_name(stream_id: StreamId) -> str:
    """Name of the grant that opens this epoch."""
    return f"{stream_id}.grant.dsse"


def trust_list_name(version: int) -> str:
    """Name of a trust list, version 1..999999."""
    if not 0 < version <= 999_999:
        raise refused("E_NAME", "信任清单版本号不合规定", where=str(version))
    return f"trust-list-{version:06d}.dsse"


def control_name(number: int) -> str:
    """Name of an order to a province, 1..9999999999."""
    if not 0 < number <= 9_999_999_999:
        raise refused("E_NAME", "指令编号不合规定", where=str(number))
    return f"control-{number:010d}.dsse"


def statement_name(number: int) -> str:
    """Name of a DR statement, 1..999999."""
    if not 0 < number <= 999_999:
        raise refused("E_NAME", "灾备声明编号不合规定", where=str(number))
    return f"dr-{number:06d}.dsse"


def parse_name(name: str) -> ParsedName:
    """Take a file name apart by full match; anything else is E_NAME (protocol 2.7)."""
    if not name.isascii() or len(name) > MAX_NAME_BYTES:
        raise refused("E_NAME", "文件名超长或含非 ASCII 字符", where=_shown(name))
    if match := _BATCH_FILE.fullmatch(name):
        return _batch_file(match, name)
    if match := _GRANT.fullmatch(name):
        return ParsedName(NameKind.GRANT, _stream(match))
    if match := _OTHER.fullmatch(name):
        return _other(match)
    raise refused("E_NAME", "不是约定的文件名", where=_shown(name))


def _batch_file(match: re.Match[str], name: str) -> ParsedName:
    stream_id, seq = _stream(match), _seq(match, name)
    if match["manifest"]:
        return ParsedName(NameKind.MANIFEST, stream_id, seq)
    if match["receipt"]:
        return ParsedName(NameKind.RECEIPT, stream_id, seq, int(match["receipt"]))
    number, suffix = int(match["part"]), match["suffix"]
    if not 0 < number <= 64 or (suffix == "parquet") != (stream_id.party == EVERYONE):
        raise refused("E_NAME", "数据文件号或后缀不合规定", where=name)
    return ParsedName(NameKind.PART, stream_id, seq, number, suffix)


def _other(match: re.Match[str]) -> ParsedName:
    if match["head"]:
        return ParsedName(NameKind.HEAD)
    for group, kind in (
        ("control", NameKind.CONTROL),
        ("trust", NameKind.TRUST_LIST),
        ("dr", NameKind.DR_STATEMENT),
        ("bulletin", NameKind.BULLETIN),
    ):
        if match[group]:
            return ParsedName(kind, number=int(match[group]))
    raise AssertionError("pattern and kinds disagree")


def _stream(match: re.Match[str]) -> StreamId:
    return StreamId(match["party"], match["direction"], match["stream"], int(match["epoch"]))


def _seq(match: re.Match[str], name: str) -> int:
    seq = int(match["seq"])
    if seq == 0:
        raise refused("E_NAME", "批次序号从 1 开始", where=name)
    return seq


def _shown(name: str) -> str:
    """A hostile name, safe to print."""
    return ascii(name[:80])
