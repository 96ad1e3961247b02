"""Errors of the world: bad input, an unreachable peer, a refused batch.

Each says what happened, where (file, row, field, batch), and the next step; `retryable` alone decides retries
(Dagster, the command line and the transports read nothing else). Misuse by our own code is a plain `RuntimeError`
or an assertion, never one of these.

Rules: no personal value in any part of an error (house rule 13); the code is stable and never changes its meaning.
"""

from __future__ import annotations


class HubError(Exception):
    """Something in the world is not as it must be.

    `code`: stable code (`E1102`, or a protocol 7.3 code such as `E_SIG`); `what`: one Chinese sentence;
    `where`: file, table, row, field or batch; `step`: what the person does next.
    """

    retryable = False
    exit_code = 1

    def __init__(self, code: str, what: str, *, where: str = "", step: str = "") -> None:
        self.code = code
        self.what = what
        self.where = where
        self.step = step
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """One line for a person: code, what, where, next step."""
        where = f"（{self.where}）" if self.where else ""
        step = f"　下一步：{self.step}" if self.step else ""
        return f"[{self.code}] {self.what}{where}{step}"


class UsageError(HubError):
    """Wrong arguments or settings (exit code 2)."""

    exit_code = 2


class InputError(HubError):
    """A source, file or row that cannot be read as what it claims to be (exit code 3: finished with rejects)."""

    exit_code = 3


class VerificationError(HubError):
    """A signature, digest or chain does not hold: tampering is suspected (exit code 4)."""

    exit_code = 4


class NotInitialisedError(HubError):
    """The node has no keys, trust list or database yet (exit code 10)."""

    exit_code = 10


class LockedError(HubError):
    """Another run holds the node (exit code 11)."""

    exit_code = 11
    retryable = True


class KeyMaterialError(HubError):
    """A key is missing, unreadable or refused (exit code 12)."""

    exit_code = 12


class PeerUnreachableError(HubError):
    """The other side, a database or a server did not answer; trying again helps (exit code 20)."""

    exit_code = 20
    retryable = True


class RefusedError(VerificationError):
    """A batch, receipt or trust list was refused with a protocol 7.3 code; state is as it was."""
