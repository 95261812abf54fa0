#!/usr/bin/env bash
# The nf-test suites on the engine of `make setup`. Their input is made first, by the commands of bin/ themselves.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v nf-test >/dev/null || { echo "nf-test is not on PATH" >&2; exit 2; }
. .venv/engine.env
export NEXTFLOW_HOME=$(dirname "$HISTOGEX_NEXTFLOW") PATH="$PWD/.venv/bin:$PATH" NXF_ANSI_LOG=false
export NXF_OPTS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx1g"
.venv/bin/python tests/data/make_data.py
report=.nf-test/report.xml
mkdir -p .nf-test
status=0
nf-test test --junitxml "$report" "$@" || status=$?
# nf-test leaves with 0 when no test matched: count them.
.venv/bin/python - "$report" <<'P' || status=1
import sys, xml.etree.ElementTree as tree
cases = list(tree.parse(sys.argv[1]).iter("testcase"))
failed = sum(any(child.tag in ("failure", "error") for child in case) for case in cases)
print(f"{len(cases) - failed} passed, {failed} failed")
sys.exit(failed > 0 or not cases)
P
exit $status
