"""Tables, atomic files, buckets."""

import gzip
import hashlib

import pandas as pd
import pytest

from hx_cli import DataError, Faults, command, preview
from hx_io import atomic, file_sha256, read_table, sha1_bucket, write_tsv


def test_tsv_reads_back_what_was_written(tmp_path):
    """Quotes, also unbalanced ones, and what would break a row."""
    table = pd.DataFrame(
        {"id": ["a", "b", "c"], "note": ['3" piece', 'say "x"', "two\tlines\nhere"], "x": [1.5, None, 1e-20]}
    )
    write_tsv(table, tmp_path / "t.tsv")
    back = read_table(tmp_path / "t.tsv")
    assert list(back["note"]) == ['3" piece', 'say "x"', "two lines here"]
    assert list(back["x"]) == ["1.5", "", "1e-20"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheet_files_are_read(tmp_path, encoding, separator):
    text = separator.join(["sample", "donor"]) + "\r\n" + separator.join(["ä", "D1"]) + "\r\n\r\n"
    (tmp_path / "t").write_bytes(text.encode(encoding))
    table = read_table(tmp_path / "t")
    assert table.to_dict("records") == [{"sample": "ä", "donor": "D1"}]


def test_every_bad_row_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,a\n1,2,3\n1,2\n\n1,2,3,4\n")
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "t.csv")
    text = "\n".join(caught.value.faults)
    assert (
        "row 1: column 'a'" in text and "row 3: 2 cells" in text and "row 4: blank" in text and "row 5: 4 cells" in text
    )


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfa\x00broken\x81"])
def test_no_table_at_all(tmp_path, content):
    (tmp_path / "t.tsv").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.tsv"):
        read_table(tmp_path / "t.tsv")


def test_open_quote_is_named(tmp_path):
    (tmp_path / "t.csv").write_text('a,b\n1,"x\n2,3\n')
    with pytest.raises(DataError, match=r"t\.csv, row 2: .*quotes"):
        read_table(tmp_path / "t.csv")


def test_atomic_leaves_nothing_half_written(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with pytest.raises(RuntimeError), atomic(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with atomic(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"


def test_sha1_bucket_is_sha1_mod_n():
    assert sha1_bucket("1:GTEX-1", 5) == int(hashlib.sha1(b"1:GTEX-1").hexdigest(), 16) % 5
    assert len({sha1_bucket(str(i), 8) for i in range(200)}) == 8


def test_file_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


def test_command_turns_faults_into_exit_65(capsys):
    @command
    def main(argv):
        faults = Faults()
        faults.add("a.tsv, row 2: first")
        faults.add("a.tsv, row 3: second")
        faults.stop()

    assert main([]) == 65
    said = capsys.readouterr().err
    assert "first" in said and "second" in said and "2 faults" in said


def test_preview_counts_the_rest():
    assert preview(range(7), 5) == "0, 1, 2, 3, 4 and 2 more"


def test_comments_before_the_header_and_gzip(tmp_path):
    """As dbGaP writes its tables; rows keep their numbers in the file. A BED header is no comment."""
    text = "# Study accession: phs000424\n#\n\n##\tphv1\tphv2\nSAMPID\tSMRIN\na\t1\nb\t2\n"
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress(text.encode()))
    table = read_table(tmp_path / "t.txt.gz")
    assert table.to_dict("list") == {"SAMPID": ["a", "b"], "SMRIN": ["1", "2"]}
    assert list(table.index + 2) == [6, 7]
    (tmp_path / "bad.txt").write_text(text + "c\n")
    with pytest.raises(DataError, match="row 8: 1 cells, the header has 2"):
        read_table(tmp_path / "bad.txt")
    (tmp_path / "t.bed").write_text("#chr\tstart\n1\t2\n")
    assert list(read_table(tmp_path / "t.bed").columns) == ["#chr", "start"]
    (tmp_path / "cut.gz").write_bytes(gzip.compress(text.encode())[:-12])
    with pytest.raises(DataError, match=r"cut\.gz: the gzip file is cut short or damaged"):
        read_table(tmp_path / "cut.gz")
    (tmp_path / "only.txt").write_text("# nothing\n# else\n")
    with pytest.raises(DataError, match=r"only\.txt: empty file or blank header"):
        read_table(tmp_path / "only.txt")
