#!/usr/bin/env bash
# Makes the virtual environment out of requirements.lock, hashes checked. Safe to run again.
set -euo pipefail
python=${PYTHON:-python3} venv=${VENV:-.venv}
if ! "$python" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "需要 Python 3.11 或更高版本：apt-get install python3 python3-venv" >&2
  exit 2
fi
if [ ! -x "$venv/bin/python" ]; then
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    bash "$(dirname "$0")/packages.sh" python3-venv
  fi
  echo "建立 Python 环境 $venv（约一分钟）……" >&2
  "$python" -m venv "$venv"
fi
# Compiled now, not at every first import: Great Expectations alone imports twice as fast.
export PYTHONDONTWRITEBYTECODE=
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock 2> >(grep -v '^WARNING: Location' >&2)
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . 2> >(grep -v '^WARNING: Location' >&2)
