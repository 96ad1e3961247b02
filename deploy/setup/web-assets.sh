#!/usr/bin/env bash
# Fetches the browser files of the console as deploy/web/package-lock.json names and hashes them, and copies them into the
# package, where git ignores them. `--dev`: what the tests need as well. Without npm the pages work as plain links.
set -euo pipefail
cd "$(dirname "$0")/../web"
into=../../hub/web/static/vendor
dev=(--omit=dev) stamp=plain
[ "${1:-}" = --dev ] && dev=() stamp=dev
want=$(sha256sum package-lock.json | cut -d' ' -f1)
for done in plain dev; do
  [ "$done" = plain ] && [ "$stamp" = dev ] && continue
  [ "$(cat "$into/.$done" 2>/dev/null)" = "$want" ] && [ -f "$into/htmx.min.js" ] && { [ "$done" = plain ] || [ -d node_modules/axe-core ]; } && exit 0
done
command -v npm >/dev/null || { echo "没有 npm：控制台的动态效果与图表不可用，页面仍可作为普通链接使用" >&2; exit 0; }
if ! npm ci --silent --ignore-scripts --no-audit --no-fund "${dev[@]}" >/dev/null; then
  echo "npm 取不到浏览器文件：控制台的动态效果与图表不可用，页面仍可作为普通链接使用" >&2
  exit 0
fi
mkdir -p "$into"
cp node_modules/htmx.org/dist/htmx.min.js node_modules/echarts/dist/echarts.min.js "$into/"
rm -f "$into"/.plain "$into"/.dev
echo "$want" >"$into/.$stamp"
