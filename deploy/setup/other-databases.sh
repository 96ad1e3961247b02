#!/usr/bin/env bash
# SQLAlchemy dialects and drivers of databases that are not supported, for tests/other_databases, into a folder of their
# own that git ignores: they never enter the hub's environment. What does not install here is skipped by name in the tests.
set -uo pipefail
home=${1:-.other-databases}
python=${PYTHON:-.venv/bin/python}
[ -f "$home/.ready" ] && exit 0
mkdir -p "$home"
# dmSQLAlchemy imports pkg_resources, which setuptools has dropped since 81.
for wanted in dmSQLAlchemy==2.0.17 dmPython==2.6.1 opengauss-sqlalchemy==2.4.0 ksycopg2==2.9.1 'setuptools<81'; do
  "$python" -m pip install -q --no-deps --no-input --disable-pip-version-check --target "$home" "$wanted" >/dev/null 2>&1 ||
    echo "$wanted 装不上，跳过该数据库的方言检查" >&2
done
touch "$home/.ready"
