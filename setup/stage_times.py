#!/usr/bin/env python3
"""Print the seconds of each stage of a run from its newest execution trace: stage_times.py results/pipeline_info"""

import csv
import sys
from pathlib import Path

STAGES = {
    "simulate": ("SIMULATE_COHORT",),
    "cohort": ("PREPARE_GTEX", "PREPARE_TCGA", "CHECK_COHORT"),
    "encoder": ("PREPARE_ENCODER",),
    "tissue": ("SEGMENT_TISSUE", "CHECK_SEGMENTED"),
    "classifier": ("SAMPLE_PATCHES", "TRAIN_CLASSIFIER"),
    "extraction": ("EXTRACT_FEATURES", "SUMMARISE_PATCHES", "CHECK_SLIDES"),
    "features": ("AGGREGATE_FEATURES", "PREPARE_EXPRESSION"),
    "statistics": (
        *("ADJUST_CONFOUNDERS", "SHARED_VARIANCE", "ASSOCIATE", "COMBINE_SCALES"),
        *("COMPARE_SETTINGS", "COMPARE_ASSOCIATIONS", "PREDICT_EXPRESSION", "APPLY_MODEL"),
        *("ENRICH", "COMBINE_ENRICHMENT", "ASSOCIATE_ANNOTATIONS"),
    ),
    "genetics": ("PREPARE_GENOTYPES", "MAP_QTL", "TEST_CAUSALITY"),
    "description": ("DESCRIBE_FEATURES", "EXTRACT_MAPPED", "DRAW_FEATURES"),
    "report": ("SUMMARISE", "BUILD_EXPLORER", "DRAW_FIGURES", "MULTIQC"),
}


def stage_seconds(trace: Path) -> dict[str, tuple[float, float, int]]:
    """Per stage: seconds from its first start to its last end, seconds of its tasks added up, number of tasks.

    Stages overlap in time, so the first figures do not add up to the whole.
    """
    stage_of = {process: stage for stage, processes in STAGES.items() for process in processes}
    spans: dict[str, list[tuple[int, int]]] = {}
    with open(trace, newline="") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            process = row["name"].split(" ")[0].rsplit(":", 1)[-1]
            if row["status"] == "COMPLETED":
                spans.setdefault(stage_of[process], []).append((int(row["start"]), int(row["complete"])))
    return {
        stage: (
            (max(end for _, end in spans[stage]) - min(start for start, _ in spans[stage])) / 1000,
            sum(end - start for start, end in spans[stage]) / 1000,
            len(spans[stage]),
        )
        for stage in STAGES
        if stage in spans
    }


def main() -> None:
    traces = sorted(Path(sys.argv[1]).glob("execution_trace_*.txt"))
    if not traces:
        sys.exit(f"no execution trace in {sys.argv[1]}")
    print(f"{'stage':<12}{'seconds':>9}{'task s':>9}{'tasks':>7}")
    for stage, (wall, busy, tasks) in stage_seconds(traces[-1]).items():
        print(f"{stage:<12}{wall:>9.0f}{busy:>9.0f}{tasks:>7}")


if __name__ == "__main__":
    main()
