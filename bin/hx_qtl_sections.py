#!/usr/bin/env python3
"""What the report says of variants behind features: the verdict beside what could have been found, leads, plots."""

from collections.abc import Mapping
from itertools import cycle

import pandas as pd

from hx_disclosure import FEW, few
from hx_gather import Kind
from hx_mqc import COUNT, MAX_POINTS, MAX_ROWS, PEOPLE, PLAIN, RATIO, SMALL_P, escape, lines, section, table
from hx_sections import COLOURS, EFFECT, adjustment, named

TABLES = {  # of map_qtl.py: <tissue_id>.<size>.<kind>.tsv
    "qtl_summary": Kind(
        ["setting", "control", "tissue_id", "scope", "trait", "tests", "hits", "gate", "detectable_r2"]
    ),
    "qtl_leads": Kind(["setting", "trait", "variant", "chrom", "pos", "mac", "carriers", "p", "p_leave_one_out"]),
    "qtl_qq": Kind(["setting", "control", "trait", "expected_nlog10p", "observed_nlog10p"]),
    "qtl_manhattan": Kind(["setting", "test", "chrom", "place", "nlog10p"]),
    "qtl_locus": Kind(["setting", "trait", "lead", "variant", "pos", "nlog10p", "r2"]),
}
MOST_TISSUES = 3  # of which points are drawn; all are in the tables
GATE = {
    "cond_formatting_rules": {c: [{"s_eq": c}] for c in ("ok", "inflated", "deflated")},
    "cond_formatting_colours": [{"ok": "#1b7837"}, {"inflated": "#b2182b"}, {"deflated": "#b35806"}],
}
SCOPES = {
    "genome": "",
    "cis": ", each within 1 Mb of a gene that goes with the trait in the other half of the donors",
    "published": ", as published within 50 bases of genes chosen in the SAME donors: their p values are too small",
}


def qtl_sections(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Sections of the tables that are there; [] where nothing was mapped. tables: the kinds of TABLES, gathered."""
    rows = tables.get("qtl_summary", pd.DataFrame())
    if not len(rows):
        return []
    rows = rows.assign(half=rows["half"].fillna("") if "half" in rows else "")
    real = rows[rows["control"] == "none"]
    tissues = real.drop_duplicates("setting").set_index("setting")["tissue_id"]
    shown = [_verdict(rows, tissues), _traits(rows, tissues)]
    leads = tables.get("qtl_leads", pd.DataFrame())
    if len(leads):
        shown.append(_leads(leads, tissues, real))
    drawn = list(tissues.index[:MOST_TISSUES])
    for name, make in (("qtl_qq", _qq), ("qtl_manhattan", _manhattan), ("qtl_locus", _locus)):
        points = tables.get(name, pd.DataFrame(columns=["setting"]))
        points = points[points["setting"].isin(drawn)]
        if len(points):
            shown.append(make(points, tissues))
    return shown


def _sentence(rows: pd.DataFrame, tissue: str) -> str:
    """What was found in a setting, beside what could have been."""
    traits = rows[rows["kind"] != "embedding"]
    first, leads = traits.iloc[0], int(rows["leads"].sum())
    n = " and ".join(f"{int(n)}" for n in rows.drop_duplicates("half")["n"])
    tested = int(rows.groupby("half")["tests"].max().sum())
    found = f"{leads} lead{'s' * (leads != 1)}" if leads else "no QTL"
    power = traits["detectable_r2"].min()
    could = (
        "no test could have passed"
        if pd.isna(power)
        else f"a variant with {100 * power:.1f} % of a trait's variance would have been found with 80 % power"
    )
    by = f"{int(first['permutations'])} permutations" if first["permutations"] else "the number of tests"
    whole = " and the embedding" * bool((rows["kind"] == "embedding").any())
    return (
        f"{tissue}: {found} among {traits['trait'].nunique()} traits{whole} and {tested:,} variants"
        f"{SCOPES[first['scope']]}, at a family-wise p of {first['alpha']:g} by {by}. With {n} donors {could}."
    )


def _banner(rows: pd.DataFrame, tissue: str) -> str:
    """The lambda gate's warning of a setting; '' where it holds."""
    bad = rows[rows["gate"].isin(["inflated", "deflated"])]
    if not len(bad):
        return ""
    told = "; ".join(
        f"{row.trait} {row.lambda_gc:.3f} (limits {row.lambda_low:.2f} to {row.lambda_high:.2f})"
        for row in bad.itertuples()
    )
    return (
        f"{tissue}: lambda out of its limits: {told}. The p values of these traits are not to be trusted: look for "
        "population structure beyond the genotype components, relatives, and covariates that are missing."
    )


def _verdict(rows: pd.DataFrame, tissues: pd.Series) -> dict:
    real, paragraphs = rows[rows["control"] == "none"], []
    for setting, tissue in tissues.items():
        own = real[real["setting"] == setting]
        if warning := _banner(own, tissue):
            paragraphs.append(f'<div class="alert alert-danger">{escape(warning)}</div>')
        paragraphs.append(f"<p>{escape(_sentence(own, tissue))}</p>")
    word, adjusted = adjustment(real, robustness=False)
    return section(
        "qtl_verdict",
        f"Variants behind features: verdict ({word})",
        "Genotypes against what images show. No QTL is a statement about the variants and about the number of donors: "
        f"what these donors could have found stands beside it. {adjusted}",
        "A red line, which says that lambda is out of its limits, or hits with genotypes permuted would be wrong.",
        "html",
        "".join(paragraphs),
    )


def _traits(rows: pd.DataFrame, tissues: pd.Series) -> dict:
    key = ["setting", "half", "trait"]
    control = rows[rows["control"] == "permute_genotypes"].set_index(key)["hits"].rename("control_hits")
    real = rows[rows["control"] == "none"].join(control, on=key)
    names = [f"{row.trait}, {tissues[row.setting]}{f', half {row.half}' * bool(row.half)}" for row in real.itertuples()]
    columns = {
        "gate": named("Lambda gate", "Whether lambda is within its limits; blank where it is not judged", GATE),
        "hits": named("Hits", "Variants with a family-wise p at most alpha", COUNT),
        "control_hits": named("Control hits", "The same with genotypes of other donors", COUNT),
        "leads": named("Leads", "Places of these hits", COUNT),
        "hits_5e8": named("p < 5e-8", "Variants with p at most 5e-8", COUNT),
        "best_variant": named("Best variant", "Of smallest p", {}),
        "best_p": named("its p", "Of one test", SMALL_P),
        "best_p_family": named("family-wise p", "Of the strongest of all tests", SMALL_P),
        "threshold_p": named("Threshold", "p of one test whose family-wise p is alpha", SMALL_P),
        "detectable_r2": named("Detectable", "Share of the trait's variance found with 80 % power", RATIO),
        "detectable_r2_5e8": named("at 5e-8", "The same at p 5e-8", RATIO),
        "lambda_gc": named("Lambda", "Median chi-square of p over its expectation", RATIO),
        "lambda_low": named("from", "Lower limit of lambda", RATIO),
        "lambda_high": named("to", "Upper limit: 1.08, or what permuted traits give", RATIO),
        "tests": named("Variants", "Variants tested with the trait", COUNT),
        "genes": named("Genes", "Genes near which was tested", COUNT),
        "n": named("Donors", "Donors tested", PEOPLE),
        "share": named("Share", "Share of the embedding's variance that the component holds", RATIO),
    }
    return table(
        "qtl",
        "Variants behind features: traits",
        "Leading components of the declared setting's features, named features and the embedding as a whole, each "
        "against every variant: rank-normal, covariates and genotype components in the model.",
        "A lambda out of its limits, or hits with genotypes of other donors, would be wrong.",
        real,
        {name: header for name, header in columns.items() if name in real and real[name].notna().any()},
        "qtl/*.qtl_summary.tsv",
        "Trait",
        names,
    )


def _leads(leads: pd.DataFrame, tissues: pd.Series, real: pd.DataFrame) -> dict:
    leads = leads[leads["setting"].isin(tissues.index)]
    shown = leads.groupby("setting", sort=False).head(max(1, MAX_ROWS // len(tissues)))
    hidden = {"missing": shown["missing"].map(lambda number: few(int(number)))}
    left = shown["n"] - shown["missing"] - shown["carriers"]
    hidden["carriers"] = [_counted(int(own), int(rest)) for own, rest in zip(shown["carriers"], left, strict=True)]
    word, adjusted = adjustment(real, robustness=False)
    return table(
        "qtl_leads",
        f"Variants behind features: leads ({word})",
        "The strongest variant of each trait and place, significant or with p &le; 1e-5, those within 1 Mb or linked "
        "to it left out; "
        "significant are those whose family-wise p is at most alpha. Counts of fewer than "
        f"{FEW} donors are not shown. {adjusted}",
        "A p without one carrier far above p would be wrong: one donor then makes the association. Few carriers and a "
        "trait of heavy tails do so where ranks are not used.",
        shown.assign(**hidden),
        {
            "significant": named("Significant", "Family-wise p at most alpha", {}),
            "trait": named("Trait", "Component, feature or the embedding", {}),
            "chrom": named("Chromosome", "Without chr", {}),
            "pos": named("Position", "From 1", {"format": "{:.0f}", "scale": False}),
            "alt": named("Allele", "Counted, for beta", {}),
            "beta": named("Beta", "Of the rank-normal trait a copy of the allele", EFFECT),
            "se": named("SE", "Standard error of beta", EFFECT),
            "r2": named("Share", "Of the variance of the trait, or of the embedding, that covariates leave", RATIO),
            "p": named("p", "Of one test", SMALL_P),
            "p_5e8": named("p < 5e-8", "The usual genome-wide level of one trait", {}),
            "p_family": named("Family-wise p", "Of all tests of the tissue", SMALL_P),
            "q": named("q", "Benjamini-Hochberg over all tests: variants, not places", SMALL_P),
            "p_leave_one_out": named("p without one", "Largest p when a carrier is left out, each in turn", SMALL_P),
            "mac": named("MAC", "Copies of the rarer allele", {"format": "{:,.0f}", "scale": False}),
            "carriers": named("Carriers", "Donors with the rarer allele", PEOPLE),
            "missing": named("Missing", "Donors without a genotype, who count as the mean", PEOPLE),
            "n": named("Donors", "Donors tested", PEOPLE),
            "locus": named("Place", "Leads of several traits within 1 Mb share one", PLAIN),
        },
        "qtl/*.qtl_leads.tsv",
        "Variant",
        [f"{row.variant}, {tissues[row.setting]}" for row in shown.itertuples()],
    )


def _counted(carriers: int, others: int) -> int | str:
    """A number of carriers; few people can be told apart on either side."""
    return f"all but < {FEW}" if 0 < others < FEW <= carriers else few(carriers)


def _qq(points: pd.DataFrame, tissues: pd.Series) -> dict:
    """The traits that are not null in their tissue first; as many lines as MAX_POINTS allows."""
    series, style, count = {}, {}, 0
    colours = cycle(COLOURS)
    half = points["half"].fillna("").astype(str) if "half" in points else ""
    for (setting, of, trait, control), part in points.assign(half=half).groupby(
        ["setting", "half", "trait", "control"], sort=False
    ):
        count += len(part)
        if count > MAX_POINTS:
            break
        told = f", half {of}" * bool(of) + ", genotypes permuted" * (control != "none")
        name = f"{trait}, {tissues[setting]}{told}"
        series[name] = (part["expected_nlog10p"].to_numpy(float), part["observed_nlog10p"].to_numpy(float))
        style[name] = {"color": next(colours), "dash": "solid" if control == "none" else "dot"}
    far = max(float(x.max()) for x, _ in series.values())
    equal = {"name": "equal", "pairs": [[0, 0], [far, far]], "dash": "dash", "width": 1, "color": "#000000"}
    return lines(
        "qtl_qq",
        "Variants behind features: QQ plot",
        "Observed against expected -log10 p of each trait over its variants, dotted with genotypes of other donors.",
        "Lines that leave the dashed one from the left end on would be wrong: structure. Points: qtl/*.qtl_qq.tsv.",
        series,
        style,
        xlab="Expected -log10 p",
        ylab="Observed -log10 p",
        extra_series=[equal | {"showlegend": False}],
    )


def _scatter(
    identity: str, name: str, shown: str, wrong: str, data: list[dict], labels: list[dict], ylab: str = "-log10 p"
) -> dict:
    config = {"id": f"{identity}_plot", "title": f"HistoGEx: {name}", "ylab": ylab, "marker_size": 4}
    config |= {"xlab": labels[0]["xlab"], "data_labels": labels}
    return section(identity, name, shown, wrong, "scatter", data, pconfig=config)


def _manhattan(points: pd.DataFrame, tissues: pd.Series) -> dict:
    data, labels = [], []
    each = MAX_POINTS // points.groupby(["setting", "test"]).ngroups
    for (setting, test), part in points.groupby(["setting", "test"], sort=False):
        part = part.sort_values("nlog10p", ascending=False, kind="stable").head(each)
        odd = (
            part["chrom"].astype(str).map({c: k % 2 for k, c in enumerate(dict.fromkeys(points["chrom"].astype(str)))})
        )
        data.append(
            {
                escape(f"{row.variant}, {row.chrom}:{row.pos}"): {
                    "x": float(row.place), "y": float(row.nlog10p), "color": COLOURS[5 * int(k)],
                }
                for row, k in zip(part.itertuples(), odd, strict=True)
            }
        )  # fmt: skip
        what = "best trait" if test == "trait" else "embedding"
        labels.append({"name": escape(f"{tissues[setting]}, {what}"), "xlab": "Mb along the chromosomes"})
    return _scatter(
        "qtl_manhattan",
        "Variants behind features: Manhattan plot",
        "-log10 p along the genome: the strongest variant of each 3 Mb, and all others with p &le; 1e-5, by the best "
        "trait and by the embedding.",
        "Single high points without lower ones around them would be wrong where variants are dense. Points: "
        "qtl/*.qtl_manhattan.tsv.",
        data,
        labels,
    )


def _locus(points: pd.DataFrame, tissues: pd.Series) -> dict:
    data, labels, count = [], [], 0
    for (setting, trait, lead), part in points.groupby(["setting", "trait", "lead"], sort=False):
        count += len(part)
        if count > MAX_POINTS:
            break
        # Okabe and Ito's vermilion, orange and blue: linked to the lead, less so, hardly.
        colour = pd.cut(part["r2"], [-1, 0.2, 0.6, 2], labels=[COLOURS[0], COLOURS[4], COLOURS[1]])
        data.append(
            {
                escape(row.variant): {"x": round(row.pos / 1e6, 4), "y": float(row.nlog10p), "color": str(shade)}
                for row, shade in zip(part.itertuples(), colour, strict=True)
            }
        )
        chrom = str(part["chrom"].iloc[0])
        labels.append(
            {"name": escape(f"{trait}, {lead}, {tissues[setting]}"), "xlab": escape(f"Chromosome {chrom}, Mb")}
        )
    return _scatter(
        "qtl_locus",
        "Variants behind features: places of the leads",
        "-log10 p with the lead's trait of the variants within 500 kb of a lead; blue to vermilion by their r2 with it "
        "(below .2, to .6, above).",
        "A lead alone, with linked variants (vermilion) far below it, would be wrong: a genotyping error looks so. "
        "Points: qtl/*.qtl_locus.tsv.",
        data,
        labels,
    )
