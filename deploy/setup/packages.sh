#!/usr/bin/env bash
# Installs Debian packages that are missing, or names the line that would.
set -euo pipefail
missing=()
for package in "$@"; do
  case $package in
    openssl) command -v openssl >/dev/null || missing+=(openssl) ;;
    jq) command -v jq >/dev/null || missing+=(jq) ;;
    openssh-server) [ -x /usr/sbin/sshd ] || missing+=(openssh-server) ;;
    postgresql) command -v pg_ctl >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/pg_ctl' >/dev/null || missing+=(postgresql) ;;
    npm) command -v npm >/dev/null || missing+=(npm) ;;
    chromium) command -v chromium >/dev/null || command -v chromium-browser >/dev/null || missing+=(chromium) ;;
    fonts-noto-cjk) compgen -G '/usr/share/fonts/opentype/noto/Noto*CJK*' >/dev/null || missing+=(fonts-noto-cjk) ;;
    python3-venv) missing+=(python3-venv) ;;
    *) dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package") ;;
  esac
done
[ ${#missing[@]} -eq 0 ] && exit 0
line="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
run=()
[ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null && run=(sudo -n); }
if [ "$(id -u)" != 0 ] && [ ${#run[@]} -eq 0 ]; then
  echo "缺少系统软件包：${missing[*]}。请以 root 运行：$line" >&2
  exit 2
fi
echo "安装系统软件包：${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${run[@]}" apt-get update -qq
# A server package must not start a server of the system here: tests bring their own.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  policy=$(mktemp)
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  "${run[@]}" install -m 0755 "$policy" /usr/sbin/policy-rc.d
  trap '"${run[@]}" rm -f /usr/sbin/policy-rc.d; rm -f "$policy"' EXIT
fi
"${run[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
