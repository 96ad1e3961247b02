#!/usr/bin/env bash
# Decrypt one payload file of a batch with openssl alone (protocol 5.3).
#
#   decrypt-part.sh PART.cms KEY.pem CERT.pem OUT [MANIFEST]
#
# MANIFEST: the batch's .manifest.dsse (verify it first with verify-dsse.sh) or the payload that script wrote out; then
# the ciphertext digest is checked before, the plaintext digest after. openssl writes unauthenticated plaintext before
# it fails, so OUT appears only when everything holds. It needs about 2.3 times the file in memory.
# Exit: 0 decrypted, 2 wrong call, 4 not decrypted; OUT does not exist then.
set -u -o pipefail
umask 077
export LC_ALL=C

[ $# -ge 4 ] && [ $# -le 5 ] || {
    echo "用法：decrypt-part.sh 数据文件.cms 私钥.pem 证书.pem 输出文件 [清单]" >&2
    exit 2
}
part="$1" key="$2" cert="$3" out="$4" manifest="${5:-}"
for file in "$part" "$key" "$cert" ${manifest:+"$manifest"}; do
    [ -r "$file" ] || {
        echo "文件不存在或不可读：$(basename -- "$file")" >&2
        exit 2
    }
done
[ ! -e "$out" ] || {
    echo "输出文件已存在，不覆盖：$(basename -- "$out")" >&2
    exit 2
}

good() { printf '✔ %s\n' "$1"; }
stop() {
    printf '✘ %s\n' "$1"
    exit 4
}
sha256() { openssl dgst -sha256 -r <"$1" | cut -c1-64; }

temporary="$(mktemp "$out.XXXXXX")" || exit 2
trap 'rm -f "$temporary"' EXIT

plain="" name="$(basename -- "$part")"
if [ -n "$manifest" ]; then
    entry="$(jq -ce --arg name "$name" 'if has("payloadType") then .payload | @base64d | fromjson else . end
        | .files[] | select(.name == $name)' "$manifest" 2>/dev/null)" || stop "清单中没有 $name"
    plain="$(jq -r .plain_sha256 <<<"$entry")"
    [ "$(sha256 "$part")" = "$(jq -r .cms_sha256 <<<"$entry")" ] || stop "$name：密文 SHA-256 与清单不符，未解密"
    good "$name：密文 SHA-256 与清单相符"
fi

openssl cms -decrypt -binary -inform DER -in "$part" -inkey "$key" -recip "$cert" -out "$temporary" 2>/dev/null ||
    stop "$name：无法解密（密文被改动，或不是发给该证书的）；未留下任何明文"
good "$name：解密成立，AES-256-GCM 校验通过"

if [ -n "$plain" ]; then
    [ "$(sha256 "$temporary")" = "$plain" ] || stop "$name：明文 SHA-256 与清单不符；已删除明文"
    good "$name：明文 SHA-256 与清单相符"
fi
mv -- "$temporary" "$out" || stop "无法写出 $(basename -- "$out")"
trap - EXIT
good "已写出 $(basename -- "$out")"
