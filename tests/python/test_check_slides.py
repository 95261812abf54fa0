"""check_slides: joining status tables and the limit of failed slides."""

import pandas as pd
import pytest

from check_slides import STATUSES, failures, join_status, main, mixed_scales, read_kinds

SLIDES = "sample\tdonor\ttissue\ttissue_id\tslide\tmpp\tbatch\n"
QC = "sample\tstatus\treason\twarnings\tmpp\tn_bad_tiles\n"


@pytest.fixture
def cohort(tmp_path):
    """Ten slides in two batches: s0 unreadable, s1 partial, the others ok."""
    names = [f"s{i}" for i in range(10)]
    rows = "".join(f"{n}\tD{n}\tLung\tLung\tslides/{n}.svs\t\tLung.b{i % 2}\n" for i, n in enumerate(names))
    (tmp_path / "slides.tsv").write_text(SLIDES + rows)
    status = {"s0": "unreadable\tcut short\t\t\t0", "s1": "partial\t2 damaged tiles\tpen\t0.5\t2"}
    for batch in (0, 1):
        rows = "".join(f"{n}\t{status.get(n, 'ok' + chr(9) * 3 + '0.5' + chr(9) + '0')}\n" for n in names[batch::2])
        (tmp_path / f"Lung.b{batch}.slides_qc.tsv").write_text(QC + rows)
    return tmp_path


def run(folder, *more):
    tables = sorted(str(path) for path in folder.glob("*.b*.tsv"))
    return main(["--slides", str(folder / "slides.tsv"), "--outdir", str(folder / "out"), *more, "--status", *tables])


def test_all_slides_are_joined_and_partial_slides_do_not_count_as_failed(cohort):
    assert run(cohort) == 0
    table = pd.read_csv(cohort / "out" / "slide_status.tsv", sep="\t", keep_default_na=False, dtype=str)
    assert table["sample"].tolist() == [f"s{i}" for i in range(10)]
    assert table["status"].tolist() == ["unreadable", "partial"] + ["ok"] * 8
    assert table["mpp"].tolist() == [""] + ["0.5"] * 9  # the scale that was used, not the sheet's empty cell
    assert table.loc[1, ["reason", "warnings", "n_bad_tiles", "slide"]].tolist() == [
        "2 damaged tiles",
        "pen",
        "2",
        "slides/s1.svs",
    ]


def test_more_failed_slides_than_allowed_stop_the_run_and_are_named(cohort, capsys):
    assert run(cohort, "--max-failed-slides", "0.05") == 65
    message = capsys.readouterr().err
    assert "1 of 10 slides failed (10.0%)" in message
    assert "slide s0 (slides/s0.svs): unreadable: cut short" in message and "s1" not in message
    assert (cohort / "out" / "slide_status.tsv").exists()


def test_worst_status_wins_and_shared_columns_keep_their_kind(cohort):
    rows = "".join(f"s{i}\t{'partial' if i == 3 else 'ok'}\t{'1 patch' * (i == 3)}\t{i}\n" for i in range(1, 10))
    (cohort / "Lung.b0.extract.tsv").write_text("sample\tstatus\treason\tn_bad_tiles\n" + rows)
    assert run(cohort) == 0
    table = pd.read_csv(cohort / "out" / "slide_status.tsv", sep="\t", keep_default_na=False, dtype=str)
    table = table.set_index("sample")
    assert table.loc["s3", ["status", "reason"]].tolist() == ["partial", "1 patch"]
    assert table.loc["s0", ["status", "reason"]].tolist() == ["unreadable", "cut short"]
    assert table.loc["s1", ["n_bad_tiles", "extract_n_bad_tiles"]].tolist() == ["2", "1"]


def test_every_fault_is_named_at_once(cohort, capsys):
    (cohort / "Lung.b0.slides_qc.tsv").write_text(QC + "s0\tfine\t\t\t\t0\ns2\tok\t\t\t\t0\ns2\tok\t\t\t\t0\n")
    (cohort / "Lung.b1.slides_qc.tsv").write_text("sample\treason\ns1\t\n")
    assert run(cohort) == 65
    message = capsys.readouterr().err
    assert "row 2: status 'fine'" in message and "slide s2 has 2 rows" in message and "no column status" in message


def test_slides_without_a_row_and_rows_without_a_slide_are_faults(cohort, capsys):
    (cohort / "Lung.b0.slides_qc.tsv").write_text(QC + "zz\tok\t\t\t\t0\n")
    assert run(cohort) == 65
    message = capsys.readouterr().err
    assert all(f"slide s{i} has no row" in message for i in (0, 2, 4, 6, 8)) and "slide zz" in message
    assert not (cohort / "out" / "slide_status.tsv").exists()


def test_slides_table_without_its_columns(cohort, capsys):
    (cohort / "slides.tsv").write_text("name\ns0\n")
    assert run(cohort) == 65
    assert "no column sample, slide" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["-0.1", "1.5"])
def test_a_limit_that_is_no_share_is_a_usage_error(cohort, limit):
    with pytest.raises(SystemExit) as error:
        run(cohort, f"--max-failed-slides={limit}")
    assert error.value.code == 2


def test_the_limit_itself_is_allowed():
    status = pd.DataFrame({"sample": list("abcd"), "slide": list("abcd"), "status": STATUSES, "reason": ""})
    assert failures(status, 0.5) == []
    assert len(failures(status, 0.49)) == 3


def test_the_order_of_the_files_does_not_matter(cohort):
    paths = list(cohort.glob("*.b*.tsv"))
    slides = pd.read_csv(cohort / "slides.tsv", sep="\t", dtype=str, keep_default_na=False)
    one, other = (join_status(slides, read_kinds(files)) for files in (paths, paths[::-1]))
    pd.testing.assert_frame_equal(one, other)


def scales(folder, **mpp):
    for batch in (0, 1):
        path = folder / f"Lung.b{batch}.slides_qc.tsv"
        table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
        table["mpp"] = [mpp.get(sample, value) for sample, value in zip(table["sample"], table["mpp"], strict=True)]
        table.to_csv(path, sep="\t", index=False)


def test_slides_of_two_scales_are_refused_unless_that_is_allowed(cohort, capsys):
    scales(cohort, s2="0.2527", s5="0.25", s7="0.51", s0="9")  # s0 cannot be used, so its scale does not count
    assert run(cohort) == 65
    message = capsys.readouterr().err
    assert "2 slides of mpp 0.25 (s5, s2); 7 slides of mpp 0.5 (s1, s3, s4" in message
    assert "--patch_um" in message and "s0" not in message
    assert run(cohort, "--allow-mixed-mpp") == 0


def test_one_scanner_is_one_scale_and_an_unknown_scale_is_told(cohort, capsys):
    scales(cohort, s2="0.49", s5="0.513", s7="")  # 4.7 % apart
    assert run(cohort) == 0
    assert "1 of 9 slides tell no mpp" in capsys.readouterr().err
    assert mixed_scales(pd.DataFrame({"sample": ["a"], "status": ["ok"]})) == []
