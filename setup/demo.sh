#!/usr/bin/env bash
# The demonstration: a simulated cohort with planted truth from slides to the report, and where the time went.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
setup/nextflow -log .nextflow.log run . -profile demo -ansi-log false
.venv/bin/python setup/stage_times.py results-demo/pipeline_info
echo "Report: $PWD/results-demo/multiqc_report.html"
