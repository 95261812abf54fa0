#!/usr/bin/env python3
"""Simulate a cohort with planted truth: H&E-like slides and the tables of a GTEx download.

Writes samplesheet.csv, slides/<sample>.tif, gene_tpm.gct.gz, sample_attributes.txt, subject_phenotypes.txt,
genotypes.vcf.gz, gene_positions.tsv, gene_sets.gmt, pathology.csv and truth.json. The model, its effect sizes and what
the modes mean stand in hx_cohort_model.py, the drawing in hx_draw.py. Every tissue has --donors sound pieces; what a
cohort loses (a blank slide, a truncated one, a slide without RNA, RNA without a slide) belongs to four further donors.
"""

import gzip
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

import hx_cohort_model as model
import hx_cohort_tables as tables
from hx_cli import command, log, parser
from hx_draw import SlideSpec, draw_slide
from hx_io import atomic, write_json
from hx_pyramid import write_pyramid

MPP = 0.5  # µm a pixel
FLAWS = ("unbalanced_quote", "pen", "duplicate", "no_hardy", "no_ischaemia", "no_rin_no_autolysis")
LOSSES = ("blank_slide", "truncated_slide", "slide_without_rna", "rna_without_slide")
MISSING_GENOTYPES = 0.005
DEGRADED_RIN, DEGRADED_SD = 2.0, 0.8  # the worse aliquot of a piece: RIN lower by, noise of its log2 TPM


@dataclass(frozen=True)
class SlideJob:
    """One slide to draw and write: `truncate` keeps the first half of the file."""

    sample: str
    spec: SlideSpec
    path: str
    seed: int
    truncate: bool


def slide_spec(piece: dict, px: int, *, blank: bool = False, pen: bool = False) -> SlideSpec:
    """What a piece's drawn values (standard normal) look like; out of range they are held at a natural limit."""

    def held(name: str) -> float:
        return float(np.clip(piece[f"{name}_drawn"], -2.5, 2.5))

    return SlideSpec(
        px=px,
        density=float(np.exp(0.4 * held("cell_proportion"))),
        lesion=max(0.22 + 0.09 * held("lesion_area"), 0.0),
        hue=held("ischaemia"),
        stain=1 + 0.06 * held("stain"),
        elongation=model.TISSUES[piece["tissue"]],
        blank=blank,
        pen=pen,
    )


def draw_one(job: SlideJob) -> dict:
    """Draw and write a slide; what was drawn, for truth.json. It depends on the job alone: threads change nothing."""
    drawn = draw_slide(job.spec, model.stream(job.seed, f"slide:{job.sample}"))
    levels = write_pyramid(drawn.image, job.path, MPP)
    if job.truncate:
        whole = Path(job.path).read_bytes()
        with atomic(job.path) as temporary:
            temporary.write_bytes(whole[: len(whole) // 2])
    return {
        "levels": levels,
        "outline": [polygon.tolist() for polygon in drawn.outline],
        "nuclei": drawn.nuclei,
        "tissue_mm2": round(drawn.tissue_px * (MPP / 1000) ** 2, 6),
        "nuclei_per_mm2": round(drawn.nuclei / (drawn.tissue_px * (MPP / 1000) ** 2), 3) if drawn.tissue_px else None,
        "lesion_share": round(drawn.lesion_px / drawn.tissue_px, 6) if drawn.tissue_px else 0.0,
        "hue": round(job.spec.hue, 6),
        "stain": round(job.spec.stain, 6),
    }


def plan(donors: int, tissues: list[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Donor ids (the last four are those of LOSSES) and, for each named defect, the donor and tissue that have it."""
    ids = [f"GTEX-S{k + 1:04d}" for k in range(donors + len(LOSSES))]
    defects = {name: {"donor": ids[donors + k], "tissue": tissues[k % len(tissues)]} for k, name in enumerate(LOSSES)}
    for k, name in enumerate(FLAWS):
        defects[name] = {"donor": ids[k], "tissue": tissues[0]}
    return ids, defects


def place_samples(pieces: pd.DataFrame, defects: dict[str, dict[str, str]], tissues: list[str]) -> pd.DataFrame:
    """The pieces that the cohort has, with `sample` (slide and piece id) and `sampid` (its best RNA sample)."""
    losers = {where["donor"]: where["tissue"] for name, where in defects.items() if name in LOSSES}
    pieces = pieces.assign(column=np.arange(len(pieces)))
    pieces = pieces[pieces["donor"].map(losers).fillna(pieces["tissue"]) == pieces["tissue"]].reset_index(drop=True)
    number = pieces["tissue"].map({name: f"{2 * (k + 1):02d}26" for k, name in enumerate(tissues)})
    pieces["sample"] = pieces["donor"] + "-" + number
    pieces["sampid"] = [f"{sample}-SM-{tables.aliquot(sample)}" for sample in pieces["sample"]]
    return pieces


def has(pieces: pd.DataFrame, where: dict[str, str]) -> pd.Series:
    """Which pieces a defect is about."""
    return (pieces["donor"] == where["donor"]) & (pieces["tissue"] == where["tissue"])


def rna_samples(
    pieces: pd.DataFrame, tpm: np.ndarray, defects: dict[str, dict[str, str]], seed: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """RNA samples (rows for tables.sample_attributes) and their (genes, samples) TPM, in an order of their own.

    The duplicate's second aliquot has a lower RIN and noise on top of the same expression.
    """
    rna = pieces[~has(pieces, defects["slide_without_rna"])].reset_index(drop=True)
    rna["rin"] = rna["rin"].clip(4.0, 10.0)
    rna["note"], rna["blank"] = "2 pieces, 8x6mm", ""
    rna.loc[has(rna, defects["unbalanced_quote"]), "note"] = tables.UNBALANCED_NOTE
    rna.loc[has(rna, defects["no_ischaemia"]), "blank"] = "SMTSISCH SMTSPAX"
    rna.loc[has(rna, defects["no_rin_no_autolysis"]), "blank"] = "SMRIN SMATSSCR"
    worse = rna[has(rna, defects["duplicate"])].copy()
    worse["sampid"] = [f"{sample}-SM-{tables.aliquot(sample + ':2')}" for sample in worse["sample"]]
    worse["rin"] -= DEGRADED_RIN
    noise = model.stream(seed, "degraded").normal(0, DEGRADED_SD, (len(tpm), len(worse)))
    values = np.concatenate([tpm[:, rna["column"]], tpm[:, worse["column"]] * np.exp2(noise)], axis=1)
    order = model.stream(seed, "columns").permutation(values.shape[1])
    return pd.concat([rna, worse], ignore_index=True).iloc[order].reset_index(drop=True), values[:, order]


def slide_jobs(
    pieces: pd.DataFrame, defects: dict[str, dict[str, str]], px: int, seed: int, folder: Path
) -> tuple[pd.DataFrame, list[SlideJob]]:
    """Slides (sample, donor, tissue) and their jobs. The duplicate's second slide is the sibling block, ending in 5."""
    slides = pieces[~has(pieces, defects["rna_without_slide"])]
    second = slides[has(slides, defects["duplicate"])].assign(sample=lambda rows: rows["sample"].str[:-1] + "5")
    slides = pd.concat([slides, second]).sort_values("sample", ignore_index=True)
    blank, cut, pen = (has(slides, defects[name]) for name in ("blank_slide", "truncated_slide", "pen"))
    jobs = [
        SlideJob(
            sample=row["sample"],
            spec=slide_spec(row, px, blank=bool(blank[k]), pen=bool(pen[k])),
            path=str(folder / f"{row['sample']}.tif"),
            seed=seed,
            truncate=bool(cut[k]),
        )
        for k, row in enumerate(slides.to_dict("records"))
    ]
    return slides, jobs


def write_text(text: str, path: Path) -> None:
    """Write text, gzipped where the name says so; no time stamp or name in the gzip header."""
    data = text.encode()
    if path.suffix == ".gz":
        packed = io.BytesIO()
        with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=6, mtime=0) as handle:
            handle.write(data)
        data = packed.getvalue()
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def draw_all(jobs: list[SlideJob], threads: int) -> dict[str, dict]:
    """What was drawn, by sample. One slide a thread: OpenCV and NumPy let go of the interpreter while they work."""
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(threads) as pool:
        facts = list(pool.map(draw_one, jobs))
    return dict(zip((job.sample for job in jobs), facts, strict=True))


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--mode", choices=model.MODES, required=True, help="what links image and expression")
    arguments.add_argument("--tissues", type=int, default=2, metavar="N", help=f"1 to {len(model.TISSUES)}")
    arguments.add_argument("--donors", type=int, default=36, metavar="N", help="sound donors a tissue, at least 6")
    arguments.add_argument("--slide-px", type=int, default=1536, metavar="PX", help="side of a slide, 512 to 8192")
    arguments.add_argument("--reliability", type=float, default=1.0, choices=(1.0, 0.8, 0.6))
    arguments.add_argument("--quadratic", action="store_true", help="ischaemia acts by its square")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--threads", type=int, default=1, metavar="N", help="slides drawn at a time")
    arguments.add_argument("--outdir", type=Path, default=Path("cohort"))
    args = arguments.parse_args(argv)
    if not 1 <= args.tissues <= len(model.TISSUES):
        arguments.error(f"--tissues {args.tissues}: 1 to {len(model.TISSUES)}")
    if not 6 <= args.donors <= 9000:
        arguments.error(f"--donors {args.donors}: 6 to 9000 (each named defect needs a donor of its own)")
    if not 512 <= args.slide_px <= 8192:
        arguments.error(f"--slide-px {args.slide_px}: 512 to 8192")
    if args.threads < 1:
        arguments.error(f"--threads {args.threads}: at least 1")
    if args.mode != "confounded" and (args.quadratic or args.reliability != 1):
        arguments.error("--reliability and --quadratic belong to --mode confounded")

    tissues = list(model.TISSUES)[: args.tissues]
    ids, defects = plan(args.donors, tissues)
    cohort = model.simulate_tables(
        args.seed, args.mode, ids, tissues, reliability=args.reliability, quadratic=args.quadratic
    )
    pieces = place_samples(cohort.pieces, defects, tissues)
    rna, tpm = rna_samples(pieces, cohort.tpm, defects, args.seed)
    slides, jobs = slide_jobs(pieces, defects, args.slide_px, args.seed, args.outdir / "slides")
    log.info("%d slides of %d px, %d RNA samples, %d donors", len(jobs), args.slide_px, len(rna), len(ids))
    drawn = draw_all(jobs, args.threads)
    slides["lesion_share"] = [drawn[sample]["lesion_share"] for sample in slides["sample"]]
    slides["pieces"] = [len(drawn[sample]["outline"]) for sample in slides["sample"]]

    sheet = slides[["sample", "donor", "tissue"]].assign(slide="slides/" + slides["sample"] + ".tif")
    subjects = tables.subject_phenotypes(ids, [defects["no_hardy"]["donor"]], args.seed)
    missing = model.stream(args.seed, "missing").random(cohort.dosage.shape) < MISSING_GENOTYPES
    files = {
        "samplesheet.csv": tables.comma_separated(sheet),
        "gene_tpm.gct.gz": tables.gct(cohort.genes, rna["sampid"].tolist(), tpm),
        "sample_attributes.txt": tables.tab_separated(tables.sample_attributes(rna, ids, args.seed)),
        "subject_phenotypes.txt": tables.tab_separated(subjects),
        "genotypes.vcf.gz": tables.vcf(cohort.snps, cohort.dosage, ids, missing),
        "gene_positions.tsv": tables.gene_positions(cohort.genes, cohort.snps),
        "gene_sets.gmt": tables.gmt(cohort.genes, args.seed),
        "pathology.csv": tables.comma_separated(tables.pathology(slides, subjects, args.seed)),
    }
    for name, text in files.items():
        write_text(text, args.outdir / name)
    for where in defects.values():
        where["slides"] = slides.loc[has(slides, where), "sample"].tolist()
        where["rna_samples"] = rna[has(rna, where)].sort_values("rin", ascending=False)["sampid"].tolist()
    parameters = {
        "donors": args.donors,
        "tissues": tissues,
        "slide_px": args.slide_px,
        "mpp": MPP,
        "reliability": args.reliability,
        "quadratic": args.quadratic,
    }
    planted = tables.truth(args.mode, args.seed, parameters, cohort, pieces, drawn, defects)
    write_json(planted, args.outdir / "truth.json")


if __name__ == "__main__":
    sys.exit(main())
