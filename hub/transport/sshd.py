"""The sshd of the transfer server, as text (protocol 2.2).

Decides nothing but the wording: `deploy/transfer/sshd_config` is this text for the default places, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DENIED: Final = (
    "remove,rmdir,mkdir,setstat,fsetstat,lsetstat,symlink,hardlink,posix-rename,copy-data,"
    "users-groups-by-id,expand-path,home-directory"
)


@dataclass(frozen=True)
class Places:
    """The three trees of protocol 2.1, and where sshd's own key and port are."""

    exchange: Path = Path("/srv/exch")
    hub: Path = Path("/srv/hub")
    keys: Path = Path("/srv/keys")
    host_key: Path = Path("/etc/ssh/ssh_host_ed25519_key")
    port: int = 22

    @property
    def config(self) -> Path:
        return self.keys / "sshd_config"

    @property
    def user_ca(self) -> Path:
        """Public keys of the user CA; sshd believes certificates they signed."""
        return self.keys / "user_ca.pub"

    @property
    def revoked(self) -> Path:
        """The key revocation list. Without it sshd lets nobody in."""
        return self.keys / "revoked"

    @property
    def syslog(self) -> Path:
        """For rsyslog: a log socket in every chroot, or the sftp server's own lines are lost."""
        return self.keys / "rsyslog.conf"

    @property
    def ca(self) -> Path:
        """Private key of the user CA, where it is kept on this machine; root only."""
        return self.keys / "ca"


def sshd_config(places: Places) -> str:
    """The whole configuration: SFTP only, each province in a chroot of its own."""
    return f"""\
# sshd of the transfer server (protocol 2.2). Ministry side; provinces are clients in both directions.
# Written by `hub transfer init`; check with: sshd -t -f <this file>
Port {places.port}
HostKey {places.host_key}
AuthenticationMethods publickey
TrustedUserCAKeys {places.user_ca}
RevokedKeys {places.revoked}
AuthorizedKeysFile {places.keys}/%u
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
HostKeyAlgorithms ssh-ed25519
Ciphers aes256-gcm@openssh.com,aes128-gcm@openssh.com
KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256
LogLevel VERBOSE
PidFile none
Subsystem sftp internal-sftp
AllowUsers p??
Match User p??
  ChrootDirectory {places.exchange}/%u
  ForceCommand internal-sftp -u 0007 -l VERBOSE -P {_DENIED}
  PermitTTY no
  DisableForwarding yes
"""


def syslog_config(places: Places, parties: Sequence[str]) -> str:
    """What rsyslog listens to besides `/dev/log`: sftp in a chroot only reaches the socket inside it (protocol 2.2)."""
    sockets = [f'input(type="imuxsock" Socket="{places.exchange}/p{p}/dev/log" CreatePath="off")\n' for p in parties]
    head = "# Written by `hub transfer`; link it into /etc/rsyslog.d. Refusals of the sftp server arrive here.\n"
    return head + "".join(sockets)
