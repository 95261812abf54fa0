#!/usr/bin/env bash
# Virtual environment of this checkout (.venv) from requirements.lock, and a Nextflow for it. Called by `make setup`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { printf 'setup: %s\n' "$*" >&2; }
start=$SECONDS

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      python=$candidate; break
    fi
  done
fi
if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
  say "needs Python 3.11, 3.12 or 3.13 (TensorFlow has no wheel for 3.14), found ${python:-none}: $("${python:-python3}" --version 2>&1 || true)"
  say "install one of them, or name it: make setup PYTHON=/path/to/python3.12"
  exit 2
fi

rm -f .venv/ready
[ -x .venv/bin/python ] || "$python" -m venv .venv || { say "'$python -m venv' failed (on Debian: apt install python3-venv)"; exit 2; }
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r setup/uv.lock
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
say "virtual environment: $((SECONDS - start)) s"
.venv/bin/python setup/nextflow_engine.py --venv .venv > .venv/engine.env.tmp
mv .venv/engine.env.tmp .venv/engine.env
touch .venv/ready
say "ready in $((SECONDS - start)) s"
