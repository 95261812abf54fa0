"""prepare_genotypes.py: files of every kind give the planted dosages, every loss is counted, every fault is named."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from genotypes_made import draw, families, variants, write_bed, write_vcf

from hx_genotypes import blocks, read_genotypes
from hx_io import read_table
from prepare_genotypes import main

STEP = 100_000


def prepare(folder: Path, files, donors, *more: str, code: int = 0) -> Path:
    """Run on `files` into folder/out."""
    (folder / "donors.txt").write_text("\n".join(donors) + "\n")
    names = [str(file) for file in (files if isinstance(files, list) else [files])]
    arguments = ["--genotypes", *names, "--donors", str(folder / "donors.txt"), "--outdir", str(folder / "out"), *more]
    assert main(arguments) == code
    return folder / "out"


def counts(out: Path) -> dict[str, int]:
    table = read_table(out / "genotype_counts.tsv")
    return dict(zip(table["item"], table["count"].astype(int), strict=True))


def dosages(out: Path) -> pd.DataFrame:
    """All dosages of a run: rows ids, columns donors."""
    found = read_genotypes(out / "genotypes.h5")
    values = [part for _, part in blocks(found, found.donors)]
    return pd.DataFrame(np.concatenate(values), index=found.variants["id"], columns=found.donors)


def people(count: int) -> list[str]:
    return [f"D{k:03d}" for k in range(count)]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """8,000 SNPs of 44 donors with families among them, .2 % missing: copies, donors, variants, the bed, its output."""
    folder = tmp_path_factory.mktemp("cohort")
    copies, donors, rows = families(8000, strangers=20), people(44), variants(8000, step=STEP)
    copies[np.random.default_rng(1).random(copies.shape) < 0.002] = -1
    bed = write_bed(folder / "all", copies, donors, rows)
    return copies, donors, rows, bed, prepare(folder, bed, donors)


def test_planted_dosages_come_back_and_relatives_are_left_out(cohort):
    copies, donors, rows, _, out = cohort
    found = dosages(out)
    # D040 and D041 are sibs of D000's and D001's, D042 is D000's and D002's, D043 is D003 again.
    gone = set(donors) - set(found.columns)
    assert len(gone) == 4 and len(gone & {"D003", "D043"}) == 1
    relatives = read_table(out / "genotype_relatives.tsv")
    assert relatives.iloc[0][["donor1", "donor2", "relation"]].tolist() == [
        "D003",
        "D043",
        "duplicate or identical twin",
    ]
    assert {"D000", "D001", "D040", "D041"} <= set(relatives["donor1"]) | set(relatives["donor2"])
    lost = read_table(out / "prepare_genotypes.dropped.tsv")
    assert set(lost["id"]) == gone and lost["reason"].str.contains("close relative").all()
    keep = [donors.index(name) for name in found.columns]
    planted = pd.DataFrame(np.where(copies < 0, np.nan, copies)[:, keep], index=[row[2] for row in rows])
    assert set(found.index) < set(planted.index)
    np.testing.assert_array_equal(found.to_numpy(), planted.loc[found.index].to_numpy())

    table, number = read_genotypes(out / "genotypes.h5").variants, counts(out)
    np.testing.assert_allclose(table["alt_frequency"], found.mean(axis=1) / 2, atol=1e-6)
    assert table["missing"].tolist() == found.isna().sum(axis=1).tolist()
    carried = found.sum(axis=1).to_numpy()
    np.testing.assert_allclose(table["mac"], np.minimum(carried, 2 * found.notna().sum(axis=1) - carried), atol=1e-4)
    assert (number["kept"], number["rows_read"], number["donors_kept"]) == (len(found), 8000, 40)
    assert number["missing"] == found.isna().to_numpy().sum() > 0
    assert number["duplicate_pairs"] == 1 and number["donors_related"] == 4


def test_pcs_are_written_and_find_the_populations(cohort):
    *_, out = cohort
    found, number = read_genotypes(out / "genotypes.h5"), counts(out)
    assert found.pcs.shape == (40, 5) and number["pcs"] == 5 and 5000 <= number["pruned"] < 8000
    second = np.array([20 <= int(name[1:]) < 40 for name in found.donors])
    assert abs(np.corrcoef(found.pcs[:, 0], second)[0, 1]) > 0.97
    table = read_table(out / "genotype_pcs.tsv")
    assert table.columns.tolist() == ["donor", *(f"genotype_pc{k}" for k in range(1, 6))]
    assert table["donor"].tolist() == found.donors.tolist()
    np.testing.assert_allclose(table.iloc[:, 1:].astype(float), found.pcs, atol=1e-9)
    assert found.build == "GRCh38"  # of the ids


def test_vcf_bed_and_a_file_a_chromosome_give_the_same_bytes(cohort, tmp_path):
    copies, donors, rows, _, out = cohort
    order = np.random.default_rng(3).permutation(44)
    shuffled = [donors[k] for k in order]
    vcf = write_vcf(tmp_path / "all.vcf", copies[:, order], shuffled, rows)
    (tmp_path / "all.vcf.gz").write_bytes(gzip.compress(vcf.read_bytes()))
    parts = []
    for chrom in ("10", "2", "rest"):
        mine = [k for k, row in enumerate(rows) if (row[0] if row[0] in ("10", "2") else "rest") == chrom]
        parts.append(write_bed(tmp_path / f"chr{chrom}", copies[mine], donors, [rows[k] for k in mine], fid="F"))
    companions = [parts[0].with_suffix(".bim"), parts[0].with_suffix(".fam")]
    for name, files in (("vcf", tmp_path / "all.vcf.gz"), ("parts", [*parts, *companions])):
        (tmp_path / name).mkdir()
        other = prepare(tmp_path / name, files, donors)
        for file in sorted(path.name for path in out.iterdir()):
            assert (other / file).read_bytes() == (out / file).read_bytes(), (name, file)


def test_threads_change_nothing_but_rounding(cohort, tmp_path):
    _, donors, _, bed, out = cohort
    one, two = out, prepare(tmp_path, bed, donors, "--threads", "2")
    left, right = read_genotypes(one / "genotypes.h5"), read_genotypes(two / "genotypes.h5")
    np.testing.assert_allclose(left.pcs, right.pcs, atol=1e-11)
    pd.testing.assert_frame_equal(left.variants, right.variants)
    for name in ("genotype_counts.tsv", "genotype_relatives.tsv", "prepare_genotypes.dropped.tsv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_bcf_and_a_prefix_without_suffix(cohort, tmp_path):
    import cyvcf2

    copies, donors, rows, *_ = cohort
    contigs = [f"##contig=<ID=chr{k}>" for k in range(1, 23)]
    source = cyvcf2.VCF(str(write_vcf(tmp_path / "a.vcf", copies[:50], donors, rows[:50], more=contigs)))
    writer = cyvcf2.Writer(str(tmp_path / "a.bcf"), source, "wb")
    for record in source:
        writer.write_record(record)
    writer.close()
    write_bed(tmp_path / "b", copies[:50], donors, rows[:50])
    left = dosages(prepare(tmp_path, tmp_path / "a.bcf", donors))
    pd.testing.assert_frame_equal(left, dosages(prepare(tmp_path, tmp_path / "b", donors)))
    assert len(left) > 40 and left.shape[1] == 44


def test_sample_names_match_donors_exactly_as_gtex_ids_and_as_family_and_person(tmp_path, capsys):
    copies, rows = draw(np.full(60, 0.4), 4, np.random.default_rng(0)).sum(axis=2), variants(60)
    samples = ["GTEX-1117F-0003-SM-6WBT7", "GTEX.111CU.0003.SM.58Q95", "GTEX-111FC", "K-562"]
    donors = ["GTEX-1117F", "GTEX-111CU", "GTEX-111FC", "GTEX-111VG"]
    found = dosages(prepare(tmp_path, write_vcf(tmp_path / "g.vcf", copies, samples, rows), donors))
    assert found.columns.tolist() == donors[:3]
    keep = [int(name.split("_")[1]) // 10_000 - 100 for name in found.index if name.startswith("chr1_")]
    np.testing.assert_array_equal(found.to_numpy()[: len(keep)], copies[keep, :3])
    lost = read_table(tmp_path / "out" / "prepare_genotypes.dropped.tsv")
    assert ["GTEX-111VG", "donor", "prepare_genotypes", "no genotypes of this name"] in lost.values.tolist()
    assert lost["reason"].str.contains("3 donors have genotypes: MAP_QTL needs 30").any()
    assert counts(tmp_path / "out")["samples_of_no_donor"] == 1

    bed = write_bed(tmp_path / "fam", copies, ["1", "2", "3", "4"], rows, fid="FAM7")
    assert dosages(prepare(tmp_path, bed, ["FAM7_2", "FAM7_4"])).columns.tolist() == ["FAM7_2", "FAM7_4"]

    prepare(tmp_path, bed, ["NOBODY", "ELSE"], code=65)
    told = capsys.readouterr().err
    assert (
        "none of its 4 samples is a donor of the cohort: samples are 1, 2, 3 and 1 more, donors are ELSE, NOBODY"
        in told
    )


def test_every_kind_of_row_is_counted_and_missing_is_never_reference(tmp_path):
    donors = people(40)
    rng = np.random.default_rng(4)

    def calls() -> np.ndarray:
        while True:
            row = draw(np.array([0.4]), 40, rng).sum(axis=2)[0]
            if row[:3].tolist() != [0, 0, 0]:
                return np.array(["0/0", "0/1", "1/1"])[row].astype(object)

    good, half, dot = calls(), calls(), calls()
    half[0], dot[1] = "./1", "."
    haploid = calls()
    haploid[2] = "1"
    lost = calls()
    lost[:3] = "./."
    rows = [
        ("1", 1_000_000, "good", "A", "G", good),
        ("1", 1_000_001, "multi", "A", "G,T", np.where(good == "1/1", "1/2", good)),
        ("1", 1_000_002, "star", "A", "*", good),
        ("1", 1_000_003, "half", "A", "G", half),
        ("1", 1_000_004, "dot", "A", "G", dot),
        ("1", 1_000_005, "haploid", "A", "G", haploid),
        ("1", 1_000_006, "few", "A", "G", lost),
        ("1", 1_000_007, "none", "A", "G", np.full(40, "./.", dtype=object)),
        ("1", 1_000_008, "same", "A", "G", np.full(40, "0/0", dtype=object)),
        ("1", 1_000_009, "noalt", "A", ".", np.full(40, "0/0", dtype=object)),
        ("1", 1_000_010, "hets", "A", "G", np.full(40, "0/1", dtype=object)),
        ("1", 1_000_011, "twice", "A", "G", good),
        ("1", 1_000_011, "twice_again", "A", "G", good),
        ("1", 1_000_011, "twice_swapped", "G", "A", good),
        ("1", 1_000_011, "another_allele", "A", "T", good),
        ("1", 1_000_012, "chr1_1000012_G_A_b38", "A", "G", good),
        ("X", 1_000_000, "x", "A", "G", good),
        ("Y", 1_000_000, "y", "A", "G", good),
        ("M", 100, "mt", "A", "G", good),
        ("Un_KI270302v1", 100, "un", "A", "G", good),
    ]
    rows += [("2", 1_000_000 + k, f"more{k}", "A", "G", good) for k in range(60)]
    vcf = write_vcf(tmp_path / "a.vcf", np.array([row[5] for row in rows]), donors, [row[:5] for row in rows])
    out = prepare(tmp_path, vcf, donors)
    found, number = dosages(out), counts(out)
    assert found.index.tolist()[:-60] == [
        "good",
        "half",
        "dot",
        "haploid",
        "twice",
        "another_allele",
        "chr1_1000012_G_A_b38",
    ]
    expected = {
        "rows_read": 80,
        "multi_allelic": 2,
        "non_autosomal": 4,
        "half_calls": 1,
        "low_call_rate": 1,
        "all_missing": 1,
        "monomorphic": 2,
        "hardy_weinberg": 1,
        "duplicate": 2,
        "swapped_duplicate": 1,
        "swapped_id": 1,
        "missing": 2,
        "kept": 67,
        "donors_kept": 40,
        "pcs": 0,
    }
    assert {name: number[name] for name in expected} == expected
    lost_rows = ("non_autosomal", "multi_allelic", "duplicate", "all_missing", "monomorphic", "low_call_rate")
    assert number["rows_read"] == number["kept"] + number["hardy_weinberg"] + sum(number[name] for name in lost_rows)
    assert np.isnan(found.loc["half", "D000"]) and np.isnan(found.loc["dot", "D001"])
    assert found.loc["haploid", "D002"] == 2
    assert found.loc["half"].isna().sum() == 1 == found.loc["dot"].isna().sum()
    assert read_table(out / "genotype_pcs.tsv").columns.tolist() == ["donor"]


def test_rare_variants_are_left_out(tmp_path):
    copies = draw(np.full(50, 0.4), 60, np.random.default_rng(1)).sum(axis=2)
    copies[0], copies[1], copies[2] = 0, 2, 0
    copies[0, 7], copies[1, 7] = 1, 1  # one copy of 120: .8 %
    copies[2, 7] = 2  # two: 1.7 %
    out = prepare(tmp_path, write_bed(tmp_path / "a", copies, people(60), variants(50)), people(60))
    assert counts(out)["rare"] == 2 and counts(out)["kept"] == 48
    assert variants(50)[2][2] in dosages(out).index


def test_dosages_are_read_where_there_is_no_genotype(tmp_path, capsys):
    donors = people(30)
    values = np.random.default_rng(2).uniform(0, 2, (40, 30)).round(3)
    cells = values.astype(str).astype(object)
    cells[0, 0] = "."
    header = ['##FORMAT=<ID=DS,Number=A,Type=Float,Description="Dosage">']
    vcf = write_vcf(tmp_path / "a.vcf", cells, donors, variants(40, chroms=1), form="DS", more=header)
    out = prepare(tmp_path, vcf, donors)
    found = dosages(out)
    assert np.isnan(found.iloc[0, 0]) and found.isna().to_numpy().sum() == 1
    assert np.nanmax(np.abs(found.to_numpy() - np.where(cells == ".", np.nan, values))) <= 0.0051
    assert counts(out)["rows_from_dosage"] == 40

    cells[1, 5], cells[2, 7], cells[2, 8] = "2.5", "-0.4", "7"
    vcf = write_vcf(tmp_path / "b.vcf", cells, donors, variants(40, chroms=1), form="DS", more=header)
    prepare(tmp_path, vcf, donors, code=65)
    told = capsys.readouterr().err
    assert "3 dosages (DS) outside 0 to 2 in 2 rows: chr1:1010000 chr1_1010000_A_G_b38 D005 2.5, chr1:1020000" in told


def test_a_donor_of_low_call_rate_is_left_out_but_bad_variants_do_not_cost_donors(tmp_path):
    copies, donors = draw(np.full(400, 0.4), 40, np.random.default_rng(1)).sum(axis=2), people(40)
    copies[:40, 10:] = -1  # a tenth of the variants is called in a quarter of the donors
    copies[40:80, 3] = -1  # D003: 40 of 360 usual variants missing
    out = prepare(tmp_path, write_bed(tmp_path / "a", copies, donors, variants(400)), donors)
    assert sorted(set(donors) - set(dosages(out).columns)) == ["D003"]
    lost = read_table(out / "prepare_genotypes.dropped.tsv")
    assert lost["reason"].tolist() == ["call rate 0.889 of the genotypes is below 0.95"]
    assert counts(out)["low_call_rate"] == 40 and counts(out)["donors_low_call_rate"] == 1


def made(folder: Path, name: str = "a", samples=None) -> Path:
    samples = samples or people(4)
    copies = draw(np.full(40, 0.4), len(samples), np.random.default_rng(0)).sum(axis=2)
    return write_bed(folder / name, copies, samples, variants(40))


def spoil_bim(bed: Path) -> None:
    lines = bed.with_suffix(".bim").read_text().splitlines()
    bed.with_suffix(".bim").write_text("\n".join(lines[:-1]) + "\n")


def spoil_fam(bed: Path) -> None:
    with open(bed.with_suffix(".fam"), "a") as handle:
        handle.write("D9 D9 0 0 0 -9\n")


def spoil_size(bed: Path) -> None:
    bed.write_bytes(bed.read_bytes()[:-1])


def spoil_magic(bed: Path) -> None:
    bed.write_bytes(b"\x6c\x1b\x00" + bed.read_bytes()[3:])


def spoil_position(bed: Path) -> None:
    path = bed.with_suffix(".bim")
    path.write_text(path.read_text().replace("\t1000000\t", "\tone\t", 1))


def spoil_cells(bed: Path) -> None:
    path = bed.with_suffix(".bim")
    path.write_text(path.read_text().replace("\tG\tA\n", "\tG\n", 1))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_bim, "43 bytes, but 39 rows of a.bim and 4 of a.fam make 42: the three files are not of one set"),
        (spoil_fam, "43 bytes, but 40 rows of a.bim and 5 of a.fam make 83"),
        (spoil_size, "42 bytes, but 40 rows of a.bim"),
        (spoil_magic, "is sample-major: write it with plink2 --make-bed"),
        (spoil_position, "a.bim, row 1: the position in column 4 is not a number"),
        (spoil_cells, "a.bim, row 1: fewer than 6 columns"),
        (lambda bed: bed.with_suffix(".bim").unlink(), "a.bim is missing: .bed, .bim and .fam belong together"),
        (lambda bed: bed.with_suffix(".bim").write_text(""), "43 bytes, but 0 rows of a.bim"),
    ],
)
def test_triplets_that_disagree_are_named(tmp_path, capsys, spoil, told):
    bed = made(tmp_path)
    spoil(bed)
    prepare(tmp_path, bed, people(4), code=65)
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out" / "genotypes.h5").exists()


def test_faults_of_all_files_come_at_once(tmp_path, capsys):
    bed = made(tmp_path)
    (tmp_path / "table.txt").write_text("nothing")
    (tmp_path / "b.vcf").write_text("nothing\n")
    sites = tmp_path / "sites.vcf"
    sites.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    files = [bed, tmp_path / "table.txt", tmp_path / "b.vcf", tmp_path / "no.vcf", sites, tmp_path / "x.bim"]
    prepare(tmp_path, files, people(4), code=65)
    told = capsys.readouterr().err
    for message in (
        "5 faults in the input",
        "table.txt: .vcf, .vcf.gz, .bcf or .bed",
        "b.vcf: not a readable VCF or BCF",
        "no.vcf: no such file",
        "sites.vcf: no samples in it",
        "x.bim: its .bed is not given",
    ):
        assert message in told


def test_samples_that_differ_between_files_or_are_there_twice(tmp_path, capsys):
    left, right = made(tmp_path, "a"), made(tmp_path, "b", ["D000", "D001", "D002", "D009"])
    prepare(tmp_path, [left, right], [*people(4), "D009"], code=65)
    assert "in one of them alone: D003, D009" in capsys.readouterr().err
    twice = made(tmp_path, "c", ["GTEX-1117F-0003-SM-A", "GTEX-1117F-0004-SM-B", "GTEX-111CU", "x"])
    prepare(tmp_path, twice, ["GTEX-1117F", "GTEX-111CU"], code=65)
    assert "donor GTEX-1117F has 2 samples (" in capsys.readouterr().err


def test_a_cut_vcf_is_refused(tmp_path, capsys):
    donors, rows = people(40), variants(4000)
    copies = draw(np.full(4000, 0.4), 40, np.random.default_rng(0)).sum(axis=2)
    text = write_vcf(tmp_path / "a.vcf", copies, donors, rows).read_bytes()
    (tmp_path / "plain.vcf.gz").write_bytes(gzip.compress(text)[:-5000])
    prepare(tmp_path, tmp_path / "plain.vcf.gz", donors, code=65)
    assert "plain.vcf.gz" in capsys.readouterr().err
    # A block-gzipped file without the block at its end.
    block = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + b"\x1b\0"
    (tmp_path / "block.vcf.gz").write_bytes(block + b"\0" * 40)
    prepare(tmp_path, tmp_path / "block.vcf.gz", donors, code=65)
    assert "block.vcf.gz: the file is cut short (no end-of-file block)" in capsys.readouterr().err


def test_builds_are_compared(tmp_path, capsys):
    donors, rows = people(5), [(c, p, ".", a, b) for c, p, _, a, b in variants(40)]
    copies = draw(np.full(40, 0.4), 5, np.random.default_rng(0)).sum(axis=2)
    contig37 = ["##contig=<ID=chr1,length=249250621>"]
    vcf = write_vcf(tmp_path / "a.vcf", copies, donors, rows, more=contig37)
    genes = tmp_path / "genes.tsv"
    genes.write_text("# genome-build GRCh38\ngene\tchrom\tstart\tend\nG1\t1\t100\t200\n")
    assert read_genotypes(prepare(tmp_path, vcf, donors) / "genotypes.h5").build == "GRCh37"
    prepare(tmp_path, vcf, donors, "--build", "GRCh38", code=65)
    assert "--build says GRCh38, a.vcf (contig lengths) says GRCh37" in capsys.readouterr().err
    prepare(tmp_path, vcf, donors, "--positions", str(genes), code=65)
    assert "genes.tsv has positions of GRCh38, genotypes of GRCh37" in capsys.readouterr().err

    bare = write_vcf(tmp_path / "b.vcf", copies, donors, rows)
    out = prepare(tmp_path, bare, donors, "--positions", str(genes))
    assert read_genotypes(out / "genotypes.h5").build == "unknown"
    assert read_genotypes(prepare(tmp_path, bare, donors, "--build", "GRCh38") / "genotypes.h5").build == "GRCh38"
    # Position 249,000,000 is on chromosome 1 of GRCh37, and past its end in GRCh38.
    far = write_vcf(tmp_path / "c.vcf", copies[:1], donors, [("1", 249_000_000, ".", "A", "G")])
    assert read_genotypes(prepare(tmp_path, far, donors) / "genotypes.h5").build == "GRCh37"
    prepare(tmp_path, far, donors, "--positions", str(genes), code=65)
    assert "genes.tsv has positions of GRCh38, genotypes of GRCh37" in capsys.readouterr().err
    prepare(tmp_path, far, donors, "--build", "GRCh38", code=65)
    assert "--build says GRCh38, but 1:249000000 lies past the end" in capsys.readouterr().err


def test_nothing_left_is_said(tmp_path, capsys):
    donors = people(4)
    same = write_bed(tmp_path / "a", np.zeros((10, 4), dtype=np.int8), donors, variants(10))
    prepare(tmp_path, same, donors, code=65)
    assert "none of 10 variants is left: 10 monomorphic" in capsys.readouterr().err
    x = write_bed(
        tmp_path / "x", np.ones((3, 4), dtype=np.int8), donors, [("23", k + 1, "i", "A", "G") for k in range(3)]
    )
    prepare(tmp_path, x, donors, code=65)
    assert "none of 3 variants is left: 3 non_autosomal" in capsys.readouterr().err
    donors, holes = people(10), draw(np.full(40, 0.4), 10, np.random.default_rng(0)).sum(axis=2)
    holes[np.arange(40), np.arange(40) % 10] = -1
    prepare(tmp_path, write_bed(tmp_path / "h", holes, donors, variants(40)), donors, code=65)
    assert "the call rate of all 10 donors is below 0.95: D000 0.900, D001 0.900" in capsys.readouterr().err


def test_no_donor_named(tmp_path, capsys):
    prepare(tmp_path, made(tmp_path), ["# nobody"], code=65)
    assert "donors.txt: no donor in it" in capsys.readouterr().err


def test_counts_are_in_the_file_too(cohort):
    *_, out = cohort
    import json

    with h5py.File(out / "genotypes.h5") as file:
        assert json.loads(file.attrs["counts"]) == counts(out)
        assert file["dosage"].chunks is None and file["dosage"].dtype == np.uint8
    assert sorted(path.name for path in out.iterdir()) == [
        "genotype_counts.tsv",
        "genotype_pcs.tsv",
        "genotype_relatives.tsv",
        "genotypes.h5",
        "prepare_genotypes.dropped.tsv",
    ]
