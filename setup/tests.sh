#!/usr/bin/env bash
# All tests with a marker expression, two side by side: those of functions, each on one thread, since more would fight for
# the same cores; then those of the engine, half of whose time is one thread of Java.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
status=0
.venv/bin/python -m pytest -q -m "$1" -n 2 --dist worksteal --durations 10 tests/python || status=1
env -u OMP_NUM_THREADS -u OPENBLAS_NUM_THREADS .venv/bin/python -m pytest -q -m "$1" -n 2 --dist loadgroup --durations 10 tests/pipeline || status=1
exit $status
