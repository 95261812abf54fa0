#!/usr/bin/env python3
"""The simulated cohort as files: GTEx's own table formats, a VCF and a GMT. Tables and arrays in, text out."""

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

import hx_cohort_model as model
from hx_build import LENGTHS
from hx_cohort_model import PROPERTIES, stream
from hx_draw import LOBULE_PX

HARDY_WORDS = (
    "Ventilator case",
    "Fast death - violent",
    "Fast death - natural causes",
    "Intermediate death",
    "Slow death",
)
AGES = ("20-29", "30-39", "40-49", "50-59", "60-69", "70-79")
AGE_WEIGHTS = (0.08, 0.08, 0.16, 0.32, 0.33, 0.03)
OEDEMA_SHARE = 0.30  # of the tissue: from here on the pathologist of the simulation names it
OTHER_CATEGORIES = ("atrophy", "congestion", "fibrosis", "inflammation")
UNBALANCED_NOTE = '2 pieces, 8x6mm; one has a "nubbin of attached fat'
RANDOM_SETS = 40


def tab_separated(table: pd.DataFrame) -> str:
    """Tab-separated text without any quoting, as GTEx writes it: a quote in a note stays one character."""
    lines = ["\t".join(table.columns)] + ["\t".join(row) for row in table.astype(str).to_numpy()]
    return "\n".join(lines) + "\n"


def comma_separated(table: pd.DataFrame) -> str:
    """Comma-separated text, cells quoted where they must be."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.astype(str).to_numpy().tolist())
    return out.getvalue()


def gct(genes: pd.DataFrame, samples: Sequence[str], tpm: np.ndarray) -> str:
    """GCT 1.2 of `tpm` (genes, samples) with 6 significant digits; genes: columns gene, symbol."""
    head = f"#1.2\n{len(genes)}\t{len(samples)}\n" + "\t".join(["Name", "Description", *samples]) + "\n"
    names = zip(genes["gene"], genes["symbol"], tpm.tolist(), strict=True)
    rows = ["\t".join([gene, symbol, *(f"{x:.6g}" for x in values)]) for gene, symbol, values in names]
    return head + "\n".join(rows) + "\n"


def gmt(genes: pd.DataFrame, seed: int) -> str:
    """Gene sets by symbol: each property's module, then sets drawn at random from all genes."""
    rng = stream(seed, "sets")
    symbols = genes["symbol"].to_numpy()
    sets = [(f"SIM_{p.upper()}", f"planted for {p}", symbols[(genes["module"] == p).to_numpy()]) for p in PROPERTIES]
    for k in range(RANDOM_SETS):
        drawn = rng.choice(symbols, int(rng.integers(15, 41)), replace=False)
        sets.append((f"SIM_RANDOM_{k + 1:02d}", "drawn at random", drawn))
    return "".join("\t".join([name, note, *sorted(members)]) + "\n" for name, note, members in sets)


def vcf(snps: pd.DataFrame, dosage: np.ndarray, donors: Sequence[str], missing: np.ndarray) -> str:
    """VCF 4.2 with genotypes alone: alternative alleles `dosage` and the mask `missing`, both (SNPs, donors)."""
    lines = ["##fileformat=VCFv4.2", '##FILTER=<ID=PASS,Description="All filters passed">']
    lines += [f"##contig=<ID=chr{chrom}>" for chrom in snps["chrom"].unique()]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines += ["\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *donors])]
    calls = np.where(missing, "./.", np.array(["0/0", "0/1", "1/1"])[dosage])
    keys = snps[["chrom", "pos", "id", "ref", "alt"]].itertuples(index=False)
    for (chrom, pos, name, ref, alt), row in zip(keys, calls.tolist(), strict=True):
        lines.append("\t".join([f"chr{chrom}", str(pos), name, ref, alt, ".", "PASS", ".", "GT", *row]))
    return "\n".join(lines) + "\n"


def gene_positions(genes: pd.DataFrame, snps: pd.DataFrame) -> str:
    """Positions of the genes (gene, chrom, start, end, strand; GRCh38), the same in every simulated cohort.

    A gene that has a SNP of its own lies within 100,000 bases of it, the others anywhere on the autosomes.
    """
    rng, n = stream(0, "positions"), len(genes)
    own = snps[snps["gene"] != ""].drop_duplicates("gene").set_index("gene")[["chrom", "pos"]]
    chrom = rng.integers(1, 23, n)
    length = np.array([LENGTHS["GRCh38"][str(number)] for number in chrom])
    start = (1_000_000 + rng.random(n) * (length - 2_000_000)).astype(int)
    near, size = rng.integers(-80_000, 40_000, n), rng.integers(2_000, 40_000, n)
    rows = []
    for k, (gene, strand) in enumerate(zip(genes["gene"], rng.choice(["+", "-"], n), strict=True)):
        place, first = (own["chrom"][gene], own["pos"][gene] + near[k]) if gene in own.index else (chrom[k], start[k])
        rows.append((gene, f"chr{place}", first, first + size[k], strand))
    table = pd.DataFrame(rows, columns=["gene", "chrom", "start", "end", "strand"])
    return "# genome-build GRCh38, positions of genes that do not exist\n" + tab_separated(table)


def subject_phenotypes(donors: Sequence[str], no_hardy: Iterable[str], seed: int) -> pd.DataFrame:
    """SubjectPhenotypesDS: SUBJID, SEX (1 male, 2 female), AGE (bracket), DTHHRDY (0-4; '' for donors in `no_hardy`).

    Independent of every latent: Hardy scale would otherwise be a second record of ischaemia, and the reliability asked
    for would not be the cohort's.
    """
    rng, n = stream(seed, "subjects"), len(donors)
    table = pd.DataFrame(
        {
            "SUBJID": donors,
            "SEX": rng.choice(["1", "2"], n, p=[0.65, 0.35]),
            "AGE": rng.choice(AGES, n, p=AGE_WEIGHTS),
            "DTHHRDY": rng.choice(list("01234"), n, p=[0.5, 0.05, 0.27, 0.06, 0.12]),
        }
    )
    table.loc[table["SUBJID"].isin(list(no_hardy)), "DTHHRDY"] = ""
    return table.sort_values("SUBJID", ignore_index=True)


def sample_attributes(rna: pd.DataFrame, donors: Sequence[str], seed: int) -> pd.DataFrame:
    """SampleAttributesDS, every cell text: the RNA samples, a blood DNA row a donor, and the K-562 control.

    Args:
        rna: a row a sample: sampid, tissue, centre, rin, ischaemia_recorded, note, and blank (columns to leave empty,
            space-joined).
    """
    rng, n = stream(seed, "attributes"), len(rna)
    batch = rng.integers(0, 8, n)
    dates = pd.Timestamp("2012-01-09") + pd.to_timedelta(28 * batch + rng.integers(0, 28, n), unit="D")
    rin = rna["rin"].to_numpy()
    exonic = np.clip(0.78 + 0.02 * (rin - 7) + rng.normal(0, 0.03, n), 0.3, 0.97)
    mapped = np.clip(0.975 + rng.normal(0, 0.01, n), 0.8, 0.999)
    table = pd.DataFrame(
        {
            "SAMPID": rna["sampid"].to_numpy(),
            "SMATSSCR": rng.choice(list("0123"), n, p=[0.35, 0.4, 0.2, 0.05]),
            "SMCENTER": rna["centre"].to_numpy(),
            "SMPTHNTS": rna["note"].to_numpy(),
            "SMRIN": [f"{x:.1f}" for x in rin],
            "SMTS": [name.split(" - ")[0] for name in rna["tissue"]],
            "SMTSD": rna["tissue"].to_numpy(),
            "SMTSISCH": ischaemia_minutes(rna["ischaemia_recorded"].to_numpy()).astype(str),
            "SMTSPAX": np.round(np.exp(rng.normal(6.6, 0.5, n))).astype(int).astype(str),
            "SMNABTCH": [f"BP-{41000 + k}" for k in batch],
            "SMNABTCHT": "RNA isolation_PAXgene Tissue miRNA",
            "SMNABTCHD": [date.strftime("%m/%d/%Y") for date in dates],
            "SMGEBTCH": [f"LCSET-{4200 + k // 2}" for k in batch],
            "SMGEBTCHD": [(date + pd.Timedelta(days=60)).strftime("%m/%d/%Y") for date in dates],
            "SMGEBTCHT": "TruSeq.v1",
            "SMAFRZE": "RNASEQ",
            "SMMAPRT": [f"{x:.6f}" for x in mapped],
            "SMEXNCRT": [f"{x:.6f}" for x in exonic],
            "SMNTRNRT": [f"{x:.6f}" for x in (1 - exonic) * 0.7],
            "SMRRNART": [f"{x:.8f}" for x in np.exp(rng.normal(-4.2, 0.8, n))],
            "SMMPPD": rng.integers(50_000_000, 120_000_000, n).astype(str),
        }
    )
    for row, columns in enumerate(rna["blank"]):
        table.loc[row, columns.split()] = ""
    other = [(f"{donor}-0003-SM-{aliquot(donor + ':dna')}", "Blood", "Whole Blood", "WGS") for donor in donors]
    other += [("K-562-SM-" + aliquot("K-562"), "Blood", "Cells - Leukemia cell line (CML)", "EXCLUDE")]
    rest = pd.DataFrame(other, columns=["SAMPID", "SMTS", "SMTSD", "SMAFRZE"])
    return pd.concat([table, rest]).fillna("").sort_values("SAMPID", ignore_index=True)


def ischaemia_minutes(recorded: np.ndarray) -> np.ndarray:
    """SMTSISCH of a standardised log: median 8 h, a standard deviation of .6 on the natural log."""
    return np.round(480 * np.exp(0.6 * recorded)).astype(int)


def aliquot(text: str) -> str:
    """Five capital letters and digits that stand for `text` alone."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    number = int(stream(0, f"aliquot:{text}").integers(0, 36**5))
    return "".join(alphabet[number // 36**k % 36] for k in range(5))


def pathology(slides: pd.DataFrame, subjects: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The portal's histology table, a row a slide: what the pathologist of the simulation saw.

    `edema` is named where the drawn lesion covers OEDEMA_SHARE of the tissue; other categories are chance.

    Args:
        slides: a row a slide: sample, donor, tissue, lesion_share, pieces; both 0 on a blank slide.
        subjects: subject_phenotypes().
    """
    rng = stream(seed, "pathology")
    chance = rng.random((len(slides), len(OTHER_CATEGORIES))) < 0.12
    person = subjects.set_index("SUBJID").loc[slides["donor"]]
    categories, notes = [], []
    for share, pieces, found in zip(slides["lesion_share"], slides["pieces"], chance, strict=True):
        named = [c for c, there in zip(OTHER_CATEGORIES, found, strict=True) if there and pieces]
        oedema = share >= OEDEMA_SHARE
        categories.append(", ".join(sorted([*named, "edema"] if oedema else named)))
        parts = [f"{pieces} piece{'s' * (pieces != 1)}", *named]
        if oedema:
            parts.append(f"patchy edema, ~{5 * round(20 * share)}%")
        notes.append("; ".join(parts) if pieces else "no tissue on slide")
    table = pd.DataFrame(
        {
            "Tissue Sample ID": slides["sample"].to_numpy(),
            "Tissue": slides["tissue"].to_numpy(),
            "Subject ID": slides["donor"].to_numpy(),
            "Sex": person["SEX"].map({"1": "male", "2": "female"}).to_numpy(),
            "Age Bracket": person["AGE"].to_numpy(),
            "Hardy Scale": [HARDY_WORDS[int(code)] if code else "" for code in person["DTHHRDY"]],
            "Pathology Categories": categories,
            "Pathology Notes": notes,
        }
    )
    return table.sort_values("Tissue Sample ID", ignore_index=True)


def truth(
    mode: str,
    seed: int,
    parameters: dict,
    cohort: model.SimulatedTables,
    pieces: pd.DataFrame,
    slides: dict[str, dict],
    defects: dict[str, dict],
) -> dict:
    """Everything that was planted, in plain types: the content of truth.json.

    `properties` names, for each property, what it was drawn as (a key of a slide's record), the genes planted for it
    and what links the two; `pieces` holds the latents (equal on both sides in `signal`) and drawn values, standardised;
    `slides` what each slide shows, with its tissue's outline in level-0 px.

    Args:
        pieces: rows of cohort.pieces with sample and sampid added.
        slides: what was drawn, by sample.
        defects: name -> donor, tissue, slides, rna_samples (best RIN first).
    """
    link = {"signal": "latent", "null": "none", "confounded": "ischaemia and centre"}[mode]
    drawn_as = {"cell_proportion": "nuclei_per_mm2", "lesion_area": "lesion_share", "ischaemia": "hue"}
    genes, planted = cohort.genes, cohort.snps[cohort.snps["role"] != ""]

    def numbers(row: dict, names: dict[str, str]) -> dict[str, float]:
        return {name: round(row[column], 6) for name, column in names.items()}

    sides = {p: {side: f"{p}_{side}" for side in ("image", "expression", "drawn")} for p in PROPERTIES}
    return {
        "mode": mode,
        "seed": seed,
        "parameters": parameters,
        "effects": {
            "latent_to_drawing_r2": model.DRAWING_R2,
            "latent_to_gene_r2": model.GENE_R2,
            "ischaemia_to_rin_r2": model.RIN_R2,
            "centre_to_stain_r2": model.DRAWING_R2,
            "mediated_snps_to_latent_r2": model.SNP_LATENT_R2,
            "snps_to_drawing_r2": round((1 - model.DRAWING_R2) * model.SNP_NOISE_SHARE, 6),
            "snp_to_gene_r2": model.GENE_R2,
            "confounders_to_latent_r2": model.CONFOUNDED_SHARE if mode == "confounded" else 0.0,
        },
        "properties": {
            p: {"drawn_as": drawn_as[p], "link": link, "genes": genes.loc[genes["module"] == p, "gene"].tolist()}
            for p in PROPERTIES
        },
        "class_texture": {
            "wavelength_px": LOBULE_PX,
            "elongation": {name: model.TISSUES[name] for name in parameters["tissues"]},
        },
        "snps": [
            {**row, "acts_on": model.snp_acts_on(row["role"], mode)}
            for row in planted[["id", "role", "property", "gene"]].to_dict("records")
        ],
        "defects": defects,
        "pieces": [
            {
                **{key: row[key] for key in ("donor", "tissue", "sample", "sampid", "centre")},
                **{p: numbers(row, names) for p, names in sides.items()},
                **numbers(row, {"stain": "stain_drawn", "ischaemia_recorded": "ischaemia_recorded"}),
            }
            for row in pieces.to_dict("records")
        ],
        "slides": slides,
    }
