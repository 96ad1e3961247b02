"""Signing through a device: an HSM or a 签名验签服务器 behind a command (protocol 10.3).

Decides that no signature leaves which our own check does not confirm, and that a device which is down, slow or wrong
only makes batches and receipts wait: what is raised is retryable, and nothing unsigned exists. The command is the
adapter to the device at hand: it reads the bytes to sign on standard input and writes the signature (DER for ECDSA,
raw for RSA-PSS) to standard output.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Final

from hub.errors import KeyMaterialError, PeerUnreachableError
from hub.trust.keys import algorithm_of, cert_keyid, cert_spki, load_certificates, signature_holds

_LONGEST_SIGNATURE: Final = 2048


class CommandSigner:
    """A `Signer` whose key lies elsewhere. `seconds`: how long the device may take for one signature."""

    def __init__(self, command: Sequence[str], cert_pem: str, *, seconds: float, where: str = "") -> None:
        leaf = load_certificates(cert_pem, where=where)[0]
        self._command, self._seconds, self._cert_pem = list(command), seconds, cert_pem
        self._spki, self._keyid = cert_spki(leaf), cert_keyid(leaf)
        self._algorithm = algorithm_of(leaf.public_key())  # type: ignore[arg-type]

    @property
    def keyid(self) -> str:
        """Key id of the certificate's key."""
        return self._keyid

    @property
    def algorithm(self) -> str:
        """Algorithm that goes with the key."""
        return self._algorithm

    @property
    def cert_pem(self) -> str:
        """Leaf first."""
        return self._cert_pem

    def sign(self, data: bytes) -> bytes:
        """Signature over `data`. PeerUnreachableError E1211 when the device gives none, KeyMaterialError E1212 when
        what it gives does not hold under the certificate."""
        try:
            done = subprocess.run(self._command, input=data, capture_output=True, check=False, timeout=self._seconds)
        except (OSError, subprocess.TimeoutExpired):
            raise _down() from None
        if done.returncode or not 0 < len(done.stdout) <= _LONGEST_SIGNATURE:
            raise _down()
        if not signature_holds(self._algorithm, self._spki, done.stdout, data):
            raise KeyMaterialError(
                "E1212",
                "签名设备给出的签名与本节点证书不符，已丢弃",
                where="signer",
                step="核对设备中的密钥与 keys 中的证书",
            )
        return done.stdout


def _down() -> PeerUnreachableError:
    return PeerUnreachableError(
        "E1211",
        "签名设备没有给出签名，批次与回执等待，没有任何未签名的内容发出",
        where="signer",
        step="检查密码机或签名验签服务器；恢复后重新运行同一步骤",
    )
