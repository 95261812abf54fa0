"""Gene positions from every format, the variants near a gene, and which build a file is of."""

import gzip

import numpy as np
import pandas as pd
import pytest

from hx_build import (
    LENGTHS,
    build_of_lengths,
    chrom_rank,
    id_alleles,
    named_build,
    past_the_end,
    plain_chrom,
    settle_build,
)
from hx_cli import DataError
from hx_positions import inside_any, near, placed, read_positions, start_site

GTF = """##description: evidence-based annotation of the human genome (GRCh38), version 26 (Ensembl 88)
chr1\tHAVANA\tgene\t11869\t14409\t.\t+\t.\tgene_id "ENSG00000223972.5"; gene_name "DDX11L1";
chr1\tHAVANA\ttranscript\t11869\t14409\t.\t+\t.\tgene_id "ENSG00000223972.5"; transcript_id "ENST1";
chr1\tHAVANA\tgene\t14404\t29570\t.\t-\t.\tgene_id "ENSG00000227232.5"; gene_name "WASH7P";
chr10\tHAVANA\tgene\t500\t900\t.\t+\t.\tgene_id "ENSG00000000010.1";
chr2\tHAVANA\tgene\t500\t900\t.\t+\t.\tgene_id "ENSG00000000002.1";
GL000192.1\tHAVANA\tgene\t500\t900\t.\t+\t.\tgene_id "ENSG00000000003.1";
chrX\tHAVANA\tgene\t276322\t303356\t.\t+\t.\tgene_id "ENSG00000182378";
chrY\tHAVANA\tgene\t276322\t303356\t.\t+\t.\tgene_id "ENSG00000182378";
"""


@pytest.fixture
def gtf(tmp_path):
    path = tmp_path / "genes.gtf"
    path.write_text(GTF)
    return path


def test_a_gtf_gives_its_genes_and_its_build(gtf, tmp_path):
    table = read_positions(gtf)
    assert table["gene"].tolist() == [
        "ENSG00000223972.5",
        "ENSG00000227232.5",
        "ENSG00000000002.1",
        "ENSG00000000010.1",
        "ENSG00000182378",
    ]
    assert table.iloc[1].tolist() == ["ENSG00000227232.5", "1", 14404, 29570, "-"]
    assert table.iloc[4]["chrom"] == "X" and table.attrs["build"] == "GRCh38"
    zipped = tmp_path / "genes.gtf.gz"
    zipped.write_bytes(gzip.compress(GTF.encode()))
    pd.testing.assert_frame_equal(read_positions(zipped), table)


def test_bed_counts_from_zero_and_tables_from_one(tmp_path):
    bed, tsv = tmp_path / "genes.bed", tmp_path / "genes.tsv"
    bed.write_text("chr1\t99\t200\tG1\t0\t-\nchr2\t0\t10\tG2\n")
    tsv.write_text("gene_id\tchr\tstart\tend\tstrand\nG2\t2\t1\t10\t\nG1\tchr1\t100\t200\t-\n")
    left, right = read_positions(bed), read_positions(tsv)
    pd.testing.assert_frame_equal(left, right)
    assert left.values.tolist() == [["G1", "1", 100, 200, "-"], ["G2", "2", 1, 10, "."]]
    assert left.attrs["build"] == "unknown"
    assert start_site(left)[0] == 200 and np.isnan(start_site(left)[1])


def test_a_gene_with_several_places_is_left_out(tmp_path, caplog):
    path = tmp_path / "genes.tsv"
    path.write_text("gene\tchrom\tstart\tend\nG1\t1\t5\t9\nG1\t2\t5\t9\nG2\t3\t5\t9\nG2\t3\t5\t9\n")
    assert read_positions(path)["gene"].tolist() == ["G2"]
    assert "1 genes have several places, they are left out: G1" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("g.tsv", "gene\tplace\nG1\t3\n", "row 1: no column chrom, start, end"),
        ("g.tsv", "gene\tchrom\tstart\tend\nG1\t1\t9\t5\nG2\t1\tx\t5\n", "row 2: G1 runs from 9 to 5"),
        ("g.tsv", "gene\tchrom\tstart\tend\nG1\t1\t9\t5\nG2\t1\tx\t5\n", "row 3: G2 1 x 5"),
        ("g.bed", "chr1\t5\t9\n", "row 1: chromosome, start"),
        ("g.gtf", "chr1\tA\tgene\t5\t9\t.\t+\t.\tname 3\n", "row 1: a gene record"),
        ("g.gtf", 'chr1\tA\texon\t5\t9\t.\t+\t.\tgene_id "G";\n', "no gene in it"),
        ("g.tsv", "gene\tchrom\tstart\tend\nG1\t1\t5\t300000000\n", "1:300000000 lies past the end in GRCh37"),
    ],
)
def test_bad_positions_are_named(tmp_path, name, text, told):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_positions(path)
    assert told in str(error.value)


def test_a_cut_gzip_file_is_named(tmp_path):
    path = tmp_path / "genes.gtf.gz"
    path.write_bytes(gzip.compress(GTF.encode())[:60])
    with pytest.raises(DataError, match="cut short"):
        read_positions(path)


def test_near_against_every_pair(tmp_path):
    rng = np.random.default_rng(0)
    chrom = np.repeat(["1", "2", "10"], 200)
    pos = np.concatenate([np.sort(rng.integers(1, 50_000, 200)) for _ in range(3)])
    starts = rng.integers(1, 50_000, 30)
    positions = pd.DataFrame(
        {
            "gene": [f"G{k}" for k in range(30)],
            "chrom": rng.choice(["1", "2", "3", "10"], 30),
            "start": starts,
            "end": starts + rng.integers(0, 5_000, 30),
            "strand": rng.choice(["+", "-", "."], 30),
        }
    )
    genes = ["G7", "nobody", *(f"G{k}" for k in range(30) if k != 7)]
    for site in (False, True):
        found = near(positions, genes, chrom, pos, 1000, site)
        assert found["gene"].tolist() == [name for name in genes if name != "nobody"]
        expected = np.zeros(len(pos), dtype=bool)
        for row in found.itertuples():
            left, right = row.start, row.end
            if site and row.strand != ".":
                left = right = row.start if row.strand == "+" else row.end
            inside = (chrom == row.chrom) & (pos >= left - 1000) & (pos <= right + 1000)
            assert np.array_equal(np.flatnonzero(inside), np.arange(row.first, row.last))
            expected |= inside
        assert 0 < expected.sum() < len(pos)
        assert np.array_equal(inside_any(found, len(pos)), expected)


def test_ids_match_without_their_version(gtf):
    positions = read_positions(gtf)
    found = placed(positions, ["ENSG00000227232.99", "ENSG00000223972", "ENSG00000227232.5", "TP53"])
    assert found["gene"].tolist() == ["ENSG00000227232.99", "ENSG00000223972", "ENSG00000227232.5"]
    assert found["start"].tolist() == [14404, 11869, 14404]


def test_builds_are_told_by_names_lengths_and_ends():
    assert named_build("##reference=file:///x/human_g1k_v37.fasta") == "GRCh37"
    assert named_build("#!genome-build GRCh38.p13") == "GRCh38"
    assert named_build("lifted from hg19 to hg38") == "unknown" == named_build("chr1")
    assert build_of_lengths({"1": 249250621, "scaffold": 5}) == "GRCh37"
    assert build_of_lengths({"1": 249250621, "2": 242193529}) == "unknown"
    assert past_the_end({"1": 249_000_000}) == {"GRCh38": "1:249000000"}
    # Chromosomes 17 to 20 and others grew, most became shorter: every build ends past the other somewhere.
    for build in LENGTHS:
        assert list(past_the_end(LENGTHS[build])) == [next(other for other in LENGTHS if other != build)]
    assert settle_build("f", "auto", {}, {"1": 5}) == "unknown"
    assert settle_build("f", "auto", {}, {"1": 249_000_000}) == "GRCh37"
    assert settle_build("f", "auto", {"ids": "GRCh38", "header": "unknown"}, {}) == "GRCh38"
    assert settle_build("f", "GRCh37", {}, {}) == "GRCh37"
    with pytest.raises(DataError, match="--build says GRCh37, ids says GRCh38"):
        settle_build("f", "GRCh37", {"ids": "GRCh38"}, {})
    with pytest.raises(DataError, match="--build says GRCh38, but 1:249000000 lies past the end"):
        settle_build("f", "GRCh38", {}, {"1": 249_000_000})


def test_names_of_chromosomes():
    names = ["chr1", "01", "X", "23", "24", "25", "26", "chrM", "MT", "chrUn_1", "0"]
    assert [plain_chrom(name) for name in names] == ["1", "1", "X", "X", "Y", "X", "MT", "MT", "MT", "Un_1", "0"]
    assert chrom_rank(["1", "22", "X", "MT", "GL1"]).tolist() == [0, 21, 22, 24, 25]
    assert id_alleles("1_5_AT_A_b37") == ("AT", "A", "GRCh37") and id_alleles("rs1_A_G") is None
