#!/usr/bin/env bash
# Creates the users and folders of a transfer server (protocol 2.1). Run as root; running it again changes nothing.
#
#   setup.sh 11 12 13 …        # two-digit province codes
#
# EXCH_ROOT, HUB_ROOT and KEYS_ROOT move the three trees; sshd_config beside this file must then say the same.
set -euo pipefail
umask 022

exch=${EXCH_ROOT:-/srv/exch}
hub=${HUB_ROOT:-/srv/hub}
keys=${KEYS_ROOT:-/srv/keys}

if [ "$#" -eq 0 ]; then
  echo "用法：$0 省级代码…（两位数字，例如 11 13 66）" >&2
  exit 2
fi
for code in "$@"; do
  if ! [[ $code =~ ^(1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-6])$ ]]; then
    echo "不是省级代码：$code；没有做任何改动" >&2
    exit 2
  fi
done
if [ "$(id -u)" -ne 0 ]; then
  echo "请以 root 运行" >&2
  exit 1
fi

# Password field '*': no password, yet not "locked", which sshd without PAM would refuse even with a key.
account() {
  if ! id -u "$1" >/dev/null 2>&1; then
    useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin --password '*' "$1"
  fi
}

account hub
install -d -o root -g root -m 0711 "$exch"
install -d -o hub -g hub -m 0700 "$hub" "$hub/intake" "$hub/store"
# Public keys only; sshd reads them as the user who logs in. A missing KRL would shut everybody out.
install -d -o root -g root -m 0755 "$keys"
for file in revoked user_ca.pub; do
  [ -e "$keys/$file" ] || install -o root -g root -m 0644 /dev/null "$keys/$file"
done

for code in "$@"; do
  user=p$code
  account "$user"
  home=$exch/$user
  install -d -o root -g root -m 0755 "$home" "$home/in"
  install -d -o "$user" -g hub -m 2770 "$home/in/part" "$home/in/ready"
  install -d -o hub -g "$user" -m 2750 "$home/out" "$home/pub"
  install -d -o hub -g hub -m 0700 "$hub/intake/$code" "$hub/store/$code"
done
echo "已就绪：$# 个省级账号，目录 $exch"
