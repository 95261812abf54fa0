#!/usr/bin/env bash
# All tests with a marker expression, two side by side: those of functions, each on one thread, since more would fight for
# the same cores; then those of the engine, half of whose time is one thread of Java: what looks at the run that the
# fixture `first` makes beside the others.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
status=0
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -q -m "$1" -n 2 --dist worksteal --durations 10 tests/python || status=1
output=$(mktemp)
trap 'rm -f "$output"' EXIT
.venv/bin/python -m pytest -q -m "($1) and first_run" --durations 10 tests/pipeline > "$output" 2>&1 &
beside=$!
.venv/bin/python -m pytest -q -m "($1) and not first_run" --durations 10 tests/pipeline || status=1
wait "$beside" || status=1
cat "$output"
exit $status
