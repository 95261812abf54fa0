#!/usr/bin/env python3
"""The model behind the simulated cohort: latents, drawn values, genotypes, expression, covariates. No slide is drawn.

Three properties of a tissue piece (one donor x tissue) are standard-normal latents z. Each shows in the slide and in
the expression of a module of genes:

    drawn      d  = sqrt(.7) z + sqrt(.3) e     what the slide is drawn from
    gene j     x_j = sqrt(.3) z + sqrt(.7) e_j  log2 TPM = mean_j + sd_j x_j

so that the best image-gene correlation is sqrt(.7 * .3) = .46. The effect sizes are constants of this file: a test of
the pipeline measures power and may not tune it. The slide reads z's image side, the genes its expression side:

    signal      both sides are one latent
    null        they are independent. The image side is that of `signal`, so the slides are the same; recorded centre
                and ischaemia belong to the image side, RNA quality to the expression side
    confounded  both sides hold a common part, made of ischaemia and centre alone; the rest is independent

Random streams are named: a change of mode or expression seed leaves the other streams as they were.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

MODES = ("signal", "null", "confounded")
PROPERTIES = ("cell_proportion", "lesion_area", "ischaemia")
CENTRES = ("B1", "C1", "D1")
# Name and class texture of a tissue: elongation of its lobules, islands at 1, bundles above.
TISSUES = {
    "Skin - Sun Exposed (Lower leg)": 1.0,
    "Esophagus - Muscularis": 5.0,
    "Thyroid": 2.2,
    "Nerve - Tibial": 3.3,
    "Artery - Tibial": 1.5,
    "Heart - Atrial Appendage": 4.1,
}

DRAWING_R2 = 0.7  # latent -> drawn value; also centre -> stain
GENE_R2 = 0.3  # latent -> each gene of its module; also SNP -> its own gene
RIN_R2 = 0.5  # ischaemia, expression side -> RNA integrity number
SNP_LATENT_R2 = 0.3  # the mediated SNPs together -> latent
SNP_NOISE_SHARE = 0.5  # SNPs of a drawing arm together -> noise of the drawn value (so .15 of the drawn value)
CONFOUNDED_SHARE = 0.5  # `confounded`: share of ischaemia and centre in a latent
CENTRE_SHARE = 0.2  # of that, the part of centre
# Share of a latent's variance that the tissues of a donor have in common.
DONOR_SHARE = {"cell_proportion": 0.3, "lesion_area": 0.2, "ischaemia": 0.6}

GENES, MODULE_GENES, SNPS, LD_BLOCK, SNPS_A_ROLE = 400, 20, 300, 10, 3
LD_RHO = 0.8  # autocorrelation of the normal liabilities of neighbouring SNPs in a block
# role -> (property whose drawing it reaches, or None; whether each SNP has a gene of its own)
SNP_ROLES = {
    "feature": ("cell_proportion", False),
    "expression": (None, True),
    "both": ("lesion_area", True),
    "mediated": ("cell_proportion", False),
}
CENTRE_CODE = np.array([-np.sqrt(1.5), 0.0, np.sqrt(1.5)])  # mean 0, variance 1 over equally frequent centres


@dataclass(frozen=True)
class SimulatedTables:
    """A simulated cohort without its slides. Pieces are donor x tissue, tissue by tissue in the order asked for.

    Attributes:
        pieces: a row a piece: donor, tissue, centre, ischaemia_recorded (standardised log minutes), rin,
            `<property>_image`, `<property>_expression` (the latent's two sides), `<property>_drawn`, stain_drawn.
        genes: gene_catalogue().
        tpm: (genes, pieces) float64, positive.
        snps: a row a SNP: id, chrom, pos, ref, alt, frequency, role ('' = none), gene ('' = none), property.
        dosage: (SNPs, donors) int8, copies of `alt`.
        donors: donor ids, the order of `dosage`.
    """

    pieces: pd.DataFrame
    genes: pd.DataFrame
    tpm: np.ndarray
    snps: pd.DataFrame
    dosage: np.ndarray
    donors: list[str]


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one named purpose: other purposes may draw more or fewer without moving these."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:16], "big"))


@functools.cache
def gene_catalogue() -> pd.DataFrame:
    """Genes of every simulated cohort, whatever the seed: gene (versioned id), symbol, module, snp_role, mean, sd.

    `module` is the property that the gene is planted for ('' = none). mean and sd are of log2 TPM; genes that carry a
    planted effect are expressed well enough for log2(TPM + 1) to keep it.
    """
    rng = stream(0, "genes")
    owned = [role for role, (_, has_gene) in SNP_ROLES.items() for _ in range(SNPS_A_ROLE * has_gene)]
    planted = [p for p in PROPERTIES for _ in range(MODULE_GENES)]
    rest = GENES - len(planted) - len(owned)
    table = pd.DataFrame(
        {
            "module": planted + [""] * (GENES - len(planted)),
            "snp_role": [""] * len(planted) + owned + [""] * rest,
        }
    )
    names = {"cell_proportion": "CELL", "lesion_area": "LESION", "ischaemia": "ISCH", "expression": "EQTL"}
    prefix = (table["module"] + table["snp_role"]).map({**names, "both": "PLEIO", "": "GENE"})
    table["symbol"] = prefix + (table.groupby(prefix).cumcount() + 1).astype(str)
    carries = prefix != "GENE"
    table["mean"] = np.where(carries, rng.uniform(3.5, 8, GENES), np.clip(rng.normal(3, 2.2, GENES), -3, 11))
    table["sd"] = rng.uniform(0.5, 0.9, GENES)
    # Ids of no real gene, in an order that says nothing about the modules.
    order = rng.permutation(GENES)
    table["gene"] = [f"ENSG{90000000000 + 137 * (k + 1)}.{1 + k % 14}" for k in order]
    columns = ["gene", "symbol", "module", "snp_role", "mean", "sd"]
    return table.sort_values("gene", ignore_index=True)[columns]


@functools.cache
def snp_catalogue() -> pd.DataFrame:
    """SNPs of every simulated cohort: id, chrom, pos, ref, alt, frequency, role, gene, property.

    Planted SNPs are common (frequency of the counted allele .35 to .5) and lie in different linkage blocks.
    """
    rng, genes = stream(0, "snps"), gene_catalogue()
    blocks = np.arange(SNPS) // LD_BLOCK
    table = pd.DataFrame({"chrom": blocks % 22 + 1, "pos": 5_000_000 + blocks // 22 * 20_000_000})
    table["pos"] += 3_000 * (np.arange(SNPS) % LD_BLOCK) + rng.integers(0, 2_000, SNPS)
    pairs = np.array([("A", "G"), ("C", "T"), ("G", "A"), ("T", "C"), ("A", "C"), ("G", "T")])[rng.integers(0, 6, SNPS)]
    table["ref"], table["alt"] = pairs[:, 0], pairs[:, 1]
    table["frequency"] = rng.uniform(0.08, 0.5, SNPS)
    table[["role", "gene", "property"]] = ""
    places = LD_BLOCK * rng.permutation(SNPS // LD_BLOCK)[: SNPS_A_ROLE * len(SNP_ROLES)] + LD_BLOCK // 2
    for rank, place in enumerate(places):
        role = list(SNP_ROLES)[rank // SNPS_A_ROLE]
        target, has_gene = SNP_ROLES[role]
        table.loc[place, ["role", "property"]] = [role, target or ""]
        table.loc[place, "frequency"] = rng.uniform(0.35, 0.5)
        if has_gene:
            table.loc[place, "gene"] = genes.loc[genes["snp_role"] == role, "gene"].iloc[rank % SNPS_A_ROLE]
    table = table.sort_values(["chrom", "pos"], ignore_index=True)
    table["id"] = [f"chr{c}_{p}_{r}_{a}_b38" for c, p, r, a in table[["chrom", "pos", "ref", "alt"]].to_numpy()]
    return table


def draw_dosage(snps: pd.DataFrame, donors: int, rng: np.random.Generator) -> np.ndarray:
    """(SNPs, donors) int8 allele counts in Hardy-Weinberg proportions, linked inside blocks of neighbours.

    Two haplotypes a donor; an allele is there where an AR(1) normal liability falls below the frequency's quantile.
    """
    noise = rng.standard_normal((len(snps), 2, donors))
    starts = np.r_[True, np.diff(snps["pos"]) > 1_000_000] | np.r_[True, np.diff(snps["chrom"]) != 0]
    for k in np.flatnonzero(~starts):
        noise[k] = LD_RHO * noise[k - 1] + np.sqrt(1 - LD_RHO**2) * noise[k]
    quantiles = np.array([NormalDist().inv_cdf(frequency) for frequency in snps["frequency"]])
    return (noise < quantiles[:, None, None]).sum(axis=1).astype(np.int8)


def mix(parts: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
    """Sum of independent standardised parts, each with its share of a variance of 1 (shares sum to 1)."""
    return sum(np.sqrt(share) * part for part, share in zip(parts, shares, strict=True))


def simulate_tables(
    seed: int,
    mode: str,
    donors: Sequence[str],
    tissues: Sequence[str],
    *,
    reliability: float = 1.0,
    quadratic: bool = False,
) -> SimulatedTables:
    """Simulate everything of a cohort but its slides: milliseconds, so that a test can draw many of them.

    Args:
        seed: every number depends on it; genes, SNPs and their roles do not.
        mode: signal, null or confounded.
        donors: ids, one a person.
        tissues: names; every donor has every tissue.
        reliability: var(ischaemia) / var(recorded ischaemia), classical measurement error.
        quadratic: ischaemia acts as (i^2 - 1) / sqrt(2), which no straight line in i can adjust for.
    """
    if mode not in MODES or not 0 < reliability <= 1:
        raise ValueError(f"mode {mode!r} is one of {', '.join(MODES)}; reliability {reliability} is in (0, 1]")
    n, n_tissues = len(donors), len(tissues)
    shape = (n_tissues, n)
    genes, snps = gene_catalogue().copy(), snp_catalogue().copy()
    dosage = draw_dosage(snps, n, stream(seed, "genotypes"))
    frequency = snps["frequency"].to_numpy()[:, None]
    # By the allele frequency, not by the sample: a donor's effect does not depend on who else is there.
    alleles = (dosage - 2 * frequency) / np.sqrt(2 * frequency * (1 - frequency))

    def of_role(role: str, target: str) -> np.ndarray:
        chosen = (snps["role"] == role) & (snps["property"] == target)
        return alleles[chosen].sum(axis=0) / np.sqrt(chosen.sum())

    def latent(name: str, target: str) -> np.ndarray:
        rng = stream(seed, f"{name}:{target}")
        return mix([rng.standard_normal(n), rng.standard_normal(shape)], [DONOR_SHARE[target], 1 - DONOR_SHARE[target]])

    centre = stream(seed, "centre").integers(0, len(CENTRES), n)
    i = latent("image", "ischaemia")
    action = (i**2 - 1) / np.sqrt(2) if quadratic else i
    common = mix([action, CENTRE_CODE[centre] * np.ones(shape)], [1 - CENTRE_SHARE, CENTRE_SHARE])
    image, expression, drawn = {}, {}, {}
    for target in PROPERTIES:
        own = latent("image", target)
        if target == SNP_ROLES["mediated"][0]:
            own = mix([own, of_role("mediated", target) * np.ones(shape)], [1 - SNP_LATENT_R2, SNP_LATENT_R2])
        other = latent("expression", target)
        if target == "ischaemia":
            image[target], expression[target] = action, other if mode == "null" else action
        elif mode == "confounded":
            shares = [CONFOUNDED_SHARE, 1 - CONFOUNDED_SHARE]
            image[target], expression[target] = mix([common, own], shares), mix([common, other], shares)
        else:
            image[target], expression[target] = own, own if mode == "signal" else other
        noise = stream(seed, f"drawing:{target}").standard_normal(shape)
        for role in ("feature", "both"):
            if SNP_ROLES[role][0] == target:
                noise = mix([noise, of_role(role, target) * np.ones(shape)], [1 - SNP_NOISE_SHARE, SNP_NOISE_SHARE])
        drawn[target] = mix([image[target], noise], [DRAWING_R2, 1 - DRAWING_R2])

    stain_noise = stream(seed, "stain").standard_normal(shape)
    record_noise = stream(seed, "record").standard_normal(shape) * np.sqrt(1 / reliability - 1)
    rin_noise = stream(seed, "rin").standard_normal(shape)
    pieces = {
        "donor": np.tile(np.asarray(donors, dtype=object), n_tissues),
        "tissue": np.repeat(np.asarray(tissues, dtype=object), n),
        "centre": np.tile(np.asarray(CENTRES, dtype=object)[centre], n_tissues),
        "ischaemia_recorded": (i + record_noise).ravel(),
        "rin": (7.0 - 0.8 * mix([expression["ischaemia"], rin_noise], [RIN_R2, 1 - RIN_R2])).ravel(),
        "stain_drawn": mix([CENTRE_CODE[centre] * np.ones(shape), stain_noise], [DRAWING_R2, 1 - DRAWING_R2]).ravel(),
    }
    for name, values in (("image", image), ("expression", expression), ("drawn", drawn)):
        pieces |= {f"{target}_{name}": values[target].ravel() for target in PROPERTIES}
    table = pd.DataFrame(pieces)
    tpm = _expression(seed, mode, genes, snps, alleles, table, n_tissues)
    return SimulatedTables(table, genes, tpm, snps, dosage, list(donors))


def snp_acts_on(role: str, mode: str) -> list[str]:
    """What the SNPs of a role act on in a mode: in `null` and `confounded` no SNP links image and expression."""
    linked = {"both": ["drawing", "gene"], "mediated": ["module", "drawing"]}
    if mode == "signal" and role in linked:
        return linked[role]
    return ["gene"] if role == "expression" else ["drawing"]


def _expression(
    seed: int,
    mode: str,
    genes: pd.DataFrame,
    snps: pd.DataFrame,
    alleles: np.ndarray,
    pieces: pd.DataFrame,
    tissues: int,
) -> np.ndarray:
    """(genes, pieces) TPM. Every gene has log2 TPM of variance sd^2 in a tissue; its mean differs between tissues."""
    x = stream(seed, "genes").standard_normal((len(genes), len(pieces)))
    for target in PROPERTIES:
        rows = (genes["module"] == target).to_numpy()
        x[rows] = mix([pieces[f"{target}_expression"].to_numpy(), x[rows]], [GENE_R2, 1 - GENE_R2])
    for k in np.flatnonzero(snps["gene"] != ""):
        if "gene" in snp_acts_on(snps["role"].iloc[k], mode):
            row = genes.index[genes["gene"] == snps["gene"].iloc[k]][0]
            x[row] = mix([np.tile(alleles[k], tissues), x[row]], [GENE_R2, 1 - GENE_R2])
    names = pieces["tissue"].unique()
    shift = np.stack([stream(0, f"tissue:{name}").normal(0, 0.7, len(genes)) for name in names], axis=1)
    mean = genes["mean"].to_numpy()[:, None] + np.repeat(shift, len(pieces) // tissues, axis=1)
    return np.exp2(mean + genes["sd"].to_numpy()[:, None] * x)
