#!/usr/bin/env bash
# The PL/SQL grammar with which tests/oracle judges statements, from npm, into a folder that git ignores.
# Without npm or without its registry nothing is made: the tests then say that the grammar did not run.
set -euo pipefail
home=${1:-.oracle-grammar}
[ -d "$home/node_modules/@griffithswaite" ] && exit 0
command -v npm >/dev/null && command -v node >/dev/null || { echo "没有 npm，跳过 Oracle 语法检查" >&2; exit 0; }
mkdir -p "$home"
echo '{"private": true}' >"$home/package.json"
npm install --silent --no-audit --no-fund --prefix "$home" @griffithswaite/ts-plsql-parser@1.1.1 antlr4@4.13.0 >/dev/null 2>&1 || {
  echo "npm 装不上 Oracle 语法，跳过该检查" >&2
  rm -rf "$home"
}
