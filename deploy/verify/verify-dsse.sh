#!/usr/bin/env bash
# Verify a stored batch without any code of the hub: jq, openssl and the shell (protocol 4.5, 15 #79).
#
#   verify-dsse.sh MANIFEST.dsse KEY.pem [DIR] [--payload FILE]
#
# KEY.pem: public key or certificate of the signer, from a trusted place (never from the envelope itself).
# DIR: where the payload files lie; default: beside the manifest. --payload: keep the verified payload there.
# Exit: 0 everything holds, 2 wrong call, 4 something does not hold.
set -u -o pipefail
umask 077
export LC_ALL=C

usage() {
    echo "用法：verify-dsse.sh 清单.dsse 公钥或证书.pem [数据文件目录] [--payload 输出文件]" >&2
    exit 2
}

failures=0
good() { printf '✔ %s\n' "$1"; }
bad() {
    printf '✘ %s\n' "$1"
    failures=$((failures + 1))
}
stop() {
    bad "$1"
    printf '✘ 验证未通过：共 %d 项不成立。请保留原文件，不要入库，并联系发送方。\n' "$failures"
    exit 4
}
sha256() { openssl dgst -sha256 -r <"$1" | cut -c1-64; }
size() { wc -c <"$1" | tr -d ' '; }
spki_id() { openssl pkey -pubin -in "$1" -outform DER -out "$work/spki.der" 2>/dev/null && sha256 "$work/spki.der"; }

# $1 base64 text in a file, $2 output; decoded and encoded again, so that nothing was dropped silently.
decode() {
    openssl base64 -d -A -in "$1" -out "$2" 2>/dev/null || return 1
    [ "$(openssl base64 -A -in "$2")" = "$(cat "$1")" ]
}

envelope="" key="" dir="" keep=""
while [ $# -gt 0 ]; do
    case "$1" in
    --payload)
        [ $# -ge 2 ] || usage
        keep="$2"
        shift
        ;;
    -*) usage ;;
    *)
        if [ -z "$envelope" ]; then
            envelope="$1"
        elif [ -z "$key" ]; then
            key="$1"
        elif [ -z "$dir" ]; then
            dir="$1"
        else
            usage
        fi
        ;;
    esac
    shift
done
[ -n "$envelope" ] && [ -n "$key" ] || usage
for tool in jq openssl; do
    command -v "$tool" >/dev/null || {
        echo "缺少工具 $tool" >&2
        exit 2
    }
done
[ -r "$envelope" ] && [ -r "$key" ] || {
    echo "文件不存在或不可读" >&2
    exit 2
}
[ -n "$dir" ] || dir="$(dirname -- "$envelope")"

work="$(mktemp -d)" || exit 2
trap 'rm -rf "$work"' EXIT

# 1 the trusted key
if grep -q 'BEGIN CERTIFICATE' "$key"; then
    openssl x509 -in "$key" -noout -pubkey >"$work/key.pem" 2>/dev/null || stop "证书无法读取"
else
    openssl pkey -pubin -in "$key" -pubout -out "$work/key.pem" 2>/dev/null || stop "公钥无法读取"
fi
id="$(spki_id "$work/key.pem")" || stop "公钥无法读取"
keyid="sha256:$id"

# 2 the envelope
jq -e 'type == "object" and (.payloadType | type == "string") and (.payload | type == "string")
    and (.signatures | type == "array")' "$envelope" >/dev/null 2>&1 || stop "信封不是合乎约定的 JSON"
type="$(jq -r .payloadType "$envelope")"
jq -j .payload "$envelope" >"$work/payload.b64"
decode "$work/payload.b64" "$work/payload" || stop "内容的 base64 不规范"
good "信封可读，类型 $type，内容 $(size "$work/payload") 字节"

index="$(jq -r --arg id "$keyid" '[.signatures[].keyid] | index($id) // empty' "$envelope")"
[ -n "$index" ] || stop "信封中没有所给密钥的签名（密钥号 $keyid）"
good "密钥号等于所给公钥 SPKI 的 SHA-256（${keyid:0:23}…）"

jq -r --argjson i "$index" '.signatures[$i].cert' "$envelope" >"$work/cert.pem"
if openssl x509 -in "$work/cert.pem" -noout -pubkey >"$work/cert-key.pem" 2>/dev/null &&
    [ "$(spki_id "$work/cert-key.pem")" = "$id" ]; then
    good "信封所附证书的公钥与所给公钥相同"
else
    bad "信封所附证书的公钥与所给公钥不同"
fi

# 3 the signature over the pre-authentication encoding
jq -j --argjson i "$index" '.signatures[$i].sig' "$envelope" >"$work/sig.b64"
decode "$work/sig.b64" "$work/sig" || stop "签名的 base64 不规范"
{
    printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(size "$work/payload")"
    cat "$work/payload"
} >"$work/pae"
options=()
if openssl pkey -pubin -in "$work/key.pem" -noout -text 2>/dev/null | grep -q 'Modulus'; then
    options=(-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha256)
fi
openssl dgst -sha256 -verify "$work/key.pem" ${options[@]+"${options[@]}"} -signature "$work/sig" "$work/pae" \
    >/dev/null 2>&1 || stop "签名不成立"
good "签名成立"

# 4 the payload, only now
jq -e 'type == "object"' "$work/payload" >/dev/null 2>&1 || stop "内容不是 JSON 对象"
if [ -n "$keep" ]; then
    cp "$work/payload" "$keep" || stop "无法写出内容"
fi
good "内容摘要 sha256:$(sha256 "$work/payload")"

if [ "$type" = "application/vnd.eduexch.batch-manifest.v1+json" ]; then
    batch="$(jq -r .batch_id "$work/payload")"
    if [ "$(basename -- "$envelope")" = "$batch.manifest.dsse" ]; then
        good "文件名与批次号一致：$batch"
    else
        bad "文件名与签名内容中的批次号不一致"
    fi
    jq -r '.files[] | [.name, (.cms_size | tostring), .cms_sha256] | join("\t")' "$work/payload" >"$work/files" \
        2>/dev/null || stop "清单中的文件列表不合约定"
    while IFS=$'\t' read -r name bytes digest; do
        case "$name" in
        *[!0-9a-z.-]* | "" | .*)
            bad "清单中有不合规定的文件名"
            continue
            ;;
        esac
        file="$dir/$name"
        if [ ! -f "$file" ] || [ -L "$file" ]; then
            bad "$name：文件缺失"
        elif [ "$(size "$file")" != "$bytes" ]; then
            bad "$name：大小不符（清单 $bytes 字节，实有 $(size "$file") 字节）"
        elif [ "$(sha256 "$file")" != "$digest" ]; then
            bad "$name：SHA-256 不符"
        else
            good "$name：大小与 SHA-256 相符（$bytes 字节）"
        fi
    done <"$work/files"
fi

[ "$failures" -eq 0 ] || {
    printf '✘ 验证未通过：共 %d 项不成立。请保留原文件，不要入库，并联系发送方。\n' "$failures"
    exit 4
}
echo "✔ 验证通过"
