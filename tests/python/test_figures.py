"""draw_figures.py and hx_figure*: what is drawn is what the tables say, the same bytes again, reasons for the rest."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import figures_made as made
import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from PIL import Image

import hx_figure_cells as cells
import hx_figure_data as data
import hx_figure_lines as lines
from draw_figures import Given, main, picture_figures, plans, read_galleries
from hx_cli import DataError
from hx_figure import MM, ONE_COLUMN, TWO_COLUMNS, panels, save, shortened, styled
from hx_figure_bars import HATCHES, stacked_bars
from hx_figure_data import LeftOut, Place, Tables
from hx_figure_pictures import feature_scatter, picture_figure, read_picture
from hx_figure_table import cells_of, first_table
from hx_io import write_tsv

LUNG = Place("Lung", "Lung.256.raw.mean")
ALL = ("figure1a", "figure1b", "figure2", "figure4", "table1", "counts_by_size", "pc_factors", "gene_histograms")
COMMON = ("figure3_published", "figure3_calibrated", "accuracy_by_size")


@pytest.fixture(autouse=True, scope="module")
def coarse():
    """PNG files of few pixels, which are quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hx_figure.DPI", 50)
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made, but not written."""
    monkeypatch.setattr("draw_figures.save", lambda _figure, _folder, stem, _title: [stem])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, list[str]]:
    """A run of one tissue with every table, and its figures."""
    folder = tmp_path_factory.mktemp("figures")
    arguments = made.make_run(folder, tissues=("Lung",))
    assert main([*arguments, "--outdir", str(folder / "figures")]) == 0
    return folder, arguments


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Tables:
    """Two tissues, two sizes, two encoders."""
    folder = tmp_path_factory.mktemp("tables")
    made.make_run(folder)
    return Tables(folder / "results", {})


def listed(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "figures.tsv", sep="\t", keep_default_na=False).set_index("figure")


def percents(artists, get: str) -> np.ndarray:
    return np.array([getattr(artist, get)() for artist in artists]) / 100


def test_every_figure_and_the_numbers_behind_it_are_written(run):
    folder = run[0] / "figures"
    found = listed(folder)
    assert sorted(found.index) == sorted([*ALL, *COMMON]) and (found["left_out"] == "").all()
    for name, row in found.iterrows():
        stem = f"{name}.Lung" if name in ALL else name
        assert row["files"].split(";") == [f"{stem}.{suffix}" for suffix in ("svg", "pdf", "png")]
        assert len(pd.read_csv(folder / row["data"], sep="\t")) > 0
        starts = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
        for file in row["files"].split(";"):
            assert (folder / file).read_bytes().startswith(starts[file.rsplit(".", 1)[1]])
    written = {"figures.tsv", *found["data"], *(file for files in found["files"] for file in files.split(";"))}
    assert {path.name for path in folder.iterdir()} == written


def test_a_second_run_gives_the_same_bytes_whatever_the_users_style(run, monkeypatch):
    folder, arguments = run
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 20)
    monkeypatch.setitem(matplotlib.rcParams, "savefig.dpi", 30)
    assert main([*arguments, "--outdir", str(folder / "again")]) == 0
    for path in sorted((folder / "figures").iterdir()):
        assert path.read_bytes() == (folder / "again" / path.name).read_bytes(), path.name
    everything = b"".join(path.read_bytes() for path in (folder / "figures").iterdir())
    assert b"CreationDate" not in everything and b"<dc:date>" not in everything and b"tIME" not in everything
    assert matplotlib.rcParams["font.size"] == 20


def test_widths_are_those_of_a_journals_columns(run):
    for path in sorted((run[0] / "figures").glob("*.svg")):
        width = float(re.search(rb'width="([0-9.]+)pt"', path.read_bytes())[1]) * 25.4 / 72
        assert any(abs(width - mm) < 0.5 for mm in (ONE_COLUMN, TWO_COLUMNS)) or path.name.startswith("pc_factors")
        assert width <= TWO_COLUMNS + 0.5


def test_published_bars_are_the_studys_formula_of_the_table(tables):
    rows = data.published_parts(tables, "mean")
    own = pd.read_csv(tables.by_name["shared_variance.tsv"], sep="\t")
    own = own[
        (own["direction"] == "expression_by_image") & (own["scaling"] == "covariance") & (own["adjusted"] == "yes")
    ]
    own = own[(own["control"] == "none") & (own["aggregation"] == "mean")].astype({"size": str})
    both = rows.merge(own, on=["tissue_id", "size", "encoder"], validate="1:1")
    assert len(both) == len(rows) == 8
    left = 1 - both["technical_share"]
    np.testing.assert_allclose(both["explained"], left * both["published"])
    np.testing.assert_allclose(both["null"], left * both["published_null"])
    np.testing.assert_allclose(rows[["explained", "technical", "unexplained"]].sum(axis=1), 1)


def test_calibrated_bars_are_the_parts_of_the_table(tables):
    rows = data.calibrated_parts(tables, "mean")
    own = pd.read_csv(tables.by_name["shared_variance.tsv"], sep="\t").astype({"size": str})
    own = own[
        (own["direction"] == "expression_by_image") & (own["scaling"] == "standardised") & (own["adjusted"] == "yes")
    ]
    own = own[own["aggregation"] == "mean"].set_index(["tissue_id", "size", "encoder"])
    real, shuffled = own[own["control"] == "none"], own[own["control"] == "shuffle_donors"]
    index = pd.MultiIndex.from_frame(rows[["tissue_id", "size", "encoder"]])
    for shown, column in (("explained", "shared"), ("technical_x", "technical"), ("unexplained", "rest")):
        np.testing.assert_allclose(rows[shown.removesuffix("_x")], real.loc[index, column])
    np.testing.assert_allclose(rows["null"], shuffled.loc[index, "shared"])
    # The interval brackets the bar: of the share of what is left, on the scale of the whole.
    left = 1 - real.loc[index, "technical"].to_numpy()
    np.testing.assert_allclose(rows["high"] - rows["low"], 0.1 * left)
    np.testing.assert_allclose((rows["high"] + rows["low"]) / 2, rows["explained"])


def test_sizes_are_compared_on_the_donors_that_all_have(tmp_path):
    found = made.tables(("Lung",))
    every = found["shared_variance"].assign(donors="every_size", n=60)
    found["shared_variance"] = pd.concat([found["shared_variance"], every], ignore_index=True)
    made.make_run(tmp_path, found, ("Lung",))
    rows = data.calibrated_parts(Tables(tmp_path / "results", {}), "mean")
    assert len(rows) == 4 and (rows["n"] == 60).all()


def test_bars_are_drawn_as_tall_as_their_parts(tables):
    rows = data.calibrated_parts(tables, "mean")
    with styled():
        figure = stacked_bars(rows, "null")
    for axis, tissue in zip(figure.axes, made.TISSUES, strict=True):
        bars = [bar for part in axis.containers for bar in part]
        # By encoder, part, rising size; raw on the left without hatch.
        own = rows[rows["tissue_id"] == tissue].set_index(["encoder", "size"])
        parts = [("explained", 0), ("technical", 1), ("unexplained", 2)]
        want = [own.loc[(e, s), part] for e in made.ENCODERS for part, _ in parts for s in made.SIZES]
        np.testing.assert_allclose(percents(bars, "get_height"), want)
        hatches = [bar.get_hatch() or "" for bar in bars]
        assert hatches == [HATCHES[0]] * 6 + [HATCHES[1]] * 6
        assert bars[0].get_x() < bars[6].get_x() < bars[1].get_x()
        nulls = [line.get_ydata()[0] / 100 for line in axis.lines if line.get_color() == "black"]
        np.testing.assert_allclose(nulls, [own.loc[(e, s), "null"] for e in made.ENCODERS for s in made.SIZES])
        assert [text.get_text() for text in axis.get_xticklabels()] == list(made.SIZES)


def test_a_table_of_features_has_a_bar_without_a_size(tmp_path):
    of = made.settings(("Lung",), ("-",), ("mine",), ("given",))
    table = made.shared_variance(of, np.random.default_rng(1))
    write_tsv(table[table["control"] == "none"], tmp_path / "shared_variance.tsv")
    rows = data.calibrated_parts(Tables(tmp_path, {}), "mean")
    assert len(rows) == 1 and rows["null"].isna().all()
    with styled():
        axis = stacked_bars(rows, "null").axes[0]
    assert axis.get_xlabel() == "Patch size" and axis.get_xticklabels()[0].get_text() == "given"
    assert not [line for line in axis.lines if line.get_color() == "black"]


def test_a_bar_of_an_encoder_that_a_size_lacks_is_left_free(tables):
    rows = data.published_parts(tables, "mean")
    rows = rows[~((rows["encoder"] == "retrained") & (rows["size"] == "1024"))]
    with styled():
        figure = stacked_bars(rows, "null")
    heights = percents(figure.axes[0].containers[3], "get_height")
    assert np.isfinite(heights[0]) and np.isnan(heights[1])


def test_factor_curves_show_the_first_eight_factors_of_both_views(tmp_path):
    factors = tuple(f"F{k}" for k in range(12))
    made.make_run(tmp_path, made.tables(("Lung",), factors=factors), ("Lung",))
    rows = data.factor_curve(Tables(tmp_path / "results", {}), LUNG)
    assert set(rows["setting"]) == {"Lung.256", "Lung.256.raw.mean"} and rows["step"].max() == 8
    with styled():
        figure = lines.factor_curves(rows)
    for axis, view in zip(figure.axes, ("expression_pcs", "image_pcs"), strict=True):
        part = rows[rows["view"] == view]
        for line, column in zip(axis.lines, ("r2", "cross_validated", "null"), strict=True):
            np.testing.assert_allclose(line.get_ydata(), 100 * part[column])
        assert [text.get_text() for text in axis.get_xticklabels()] == ["none", *factors[:8]]
        assert axis.get_ylim()[0] >= lines.FLOOR and axis.get_ylim()[1] > 100 * rows["r2"].max()
    told = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert f"down to −{-100 * rows['cross_validated'].min():.0f} %" in told


def test_heat_map_holds_r2_and_marks_what_is_found(tables):
    rows = data.component_cells(tables, LUNG)
    with styled():
        figure = cells.component_cells(rows)
    for axis, view in zip(figure.axes[:2], ("image_pcs", "expression_pcs"), strict=True):
        own = rows[rows["view"] == view].set_index(["factor", "pc"])
        mesh = next(child for child in axis.get_children() if isinstance(child, QuadMesh))
        want = [[100 * own.loc[(name, pc), "r2"] for pc in (1, 2, 3)] for name in made.FACTORS]
        np.testing.assert_allclose(mesh.get_array().reshape(4, 3), want)
        dots = {(int(x), int(y)) for line in axis.lines for x, y in line.get_xydata()}
        found = own[own["q"] < 0.05].index
        assert dots == {(pc - 1, made.FACTORS.index(name)) for name, pc in found} and dots


def test_histograms_show_the_counts_and_the_cut(tables):
    rows = data.gene_histograms(tables, LUNG)
    with styled():
        figure = cells.gene_histograms(rows)
    for axis, what in zip(figure.axes, ("mean", "sd"), strict=True):
        own = rows[rows["what"] == what]
        genes, kept = axis.containers
        np.testing.assert_array_equal([bar.get_height() for bar in genes], own["genes"])
        np.testing.assert_array_equal([bar.get_height() for bar in kept], own["kept"])
        assert axis.lines[0].get_xdata()[0] == own["cut_off"].iloc[0]


def test_counts_and_accuracy_are_those_of_the_tables(tables):
    rows = data.counts(tables, LUNG)
    assert set(rows["tissue_id"]) == {"Lung"} and (rows["control_hits"] == 1).all()
    with styled():
        figure = lines.counts(rows)
        shown = lines.accuracy(data.accuracy(tables))
    for axis, column in zip(figure.axes, data.COUNTS, strict=True):
        drawn = [line.get_ydata() for line in axis.lines if line.get_color() != lines.GREY]
        own = rows.groupby(["encoder", "aggregation"])[column].apply(list)
        np.testing.assert_array_equal(drawn, own.to_list())
    own = pd.read_csv(tables.by_name["classifier.tsv"], sep="\t")
    drawn = [line.get_ydata() / 100 for line in shown.axes[0].lines]
    want = [own.loc[own["grey"] == grey, f"{of}_accuracy"] for grey in ("no", "yes") for of in ("patch", "slide")]
    np.testing.assert_allclose(drawn, [*want, [0.4, 0.4]])


def test_the_table_names_a_feature_once_and_wraps_its_cells(tables):
    rows = data.first_table(tables, LUNG)
    table = cells_of(rows)
    assert table["Feature"].str.strip().tolist() == ["raw_0501", "", "raw_0671", ""]
    assert table["Genes"].iloc[0] == "GENE0, GENE1, GENE2, GENE3" and "and 4 more" in table["Genes"].iloc[1]
    with styled():
        figure = first_table(rows)
        figure.draw_without_rendering()
        edge = figure.bbox.x1
        assert all(text.get_window_extent().x1 <= edge for text in figure.axes[0].texts)


def test_figure1_is_of_the_feature_that_tracks_ischaemic_time(tables):
    feature = data.tracked_feature(tables, LUNG)
    assert (feature["feature"], feature["number"], feature["rho"]) == ("raw_0002", 2, -0.55)
    rows = data.tracked_points(tables, LUNG, feature, shareable=False)
    own = pd.read_csv(tables.by_name["Lung.256.description_points.tsv"], sep="\t")
    with styled():
        axis = feature_scatter(rows).axes[0]
    np.testing.assert_allclose(axis.lines[0].get_xydata(), own[["term_value", "value"]])
    assert axis.get_xlabel() == "SMTSISCH, log2 minutes" and axis.get_title("left") == "ρ = −0.55, 40 donors"


def test_a_picture_is_drawn_a_pixel_a_dot(tmp_path):
    """Left dark, right bright, and so in the file; as wide as two columns at its dots per inch."""
    half = np.zeros((20, 40, 3), np.uint8)
    half[:, 20:] = 200
    Image.fromarray(half).save(tmp_path / "in.png")
    with styled():
        save(picture_figure(read_picture(tmp_path / "in.png")), tmp_path, "out", "title")
    drawn = np.asarray(Image.open(tmp_path / "out.png").convert("RGB"))
    assert drawn.shape == (177, 354, 3)  # 180 mm at 50 dots per inch
    np.testing.assert_array_equal(drawn, read_picture(tmp_path / "in.png"))
    assert drawn[:, :150].max() < 20 and drawn[:, 200:].min() > 180


def test_without_ischaemic_time_figure1_is_of_the_closest_tie(tmp_path):
    found = made.tables(("Lung",))
    rows = found["Lung.256.descriptions"]
    found["Lung.256.descriptions"] = rows.assign(term=rows["term"].replace("SMTSISCH", "focus"))
    made.make_run(tmp_path, found, ("Lung",))
    assert data.tracked_feature(Tables(tmp_path / "results", {}), LUNG)["feature"] == "raw_0001"


def test_what_is_shareable_shows_no_donor(run, tmp_path, monkeypatch):
    named = {path.name for path in (run[0] / "figures").iterdir() if b"GTEX-" in path.read_bytes()}
    assert named == {"figure1a.Lung.tsv", "figure1b.Lung.tsv", "figure2.Lung.tsv"}
    monkeypatch.setattr("draw_figures.plans", lambda given, _tissues: picture_figures(given, LUNG))
    assert main([*run[1], "--disclosure", "shareable", "--outdir", str(tmp_path)]) == 0
    assert (listed(tmp_path)["left_out"] == "").all()
    for path in tmp_path.iterdir():
        assert b"GTEX-" not in path.read_bytes(), path.name
    bins = pd.read_csv(tmp_path / "figure1b.Lung.tsv", sep="\t")
    assert bins["n"].min() >= 5 and bins["n"].sum() == 40 and "donor" not in bins
    assert list(pd.read_csv(tmp_path / "figure1a.Lung.tsv", sep="\t")) == ["feature", "panel", "rank"]
    assert list(pd.read_csv(tmp_path / "figure2.Lung.tsv", sep="\t")) == ["tissue_id", "segmentation"]


def redrawn(folder: Path, found: dict[str, pd.DataFrame], *more: str) -> pd.DataFrame:
    arguments = made.make_run(folder, found, ("Lung",))
    assert main([*arguments, *more, "--outdir", str(folder / "figures")]) == 0
    return listed(folder / "figures")


def test_a_missing_table_is_told(tmp_path):
    rows = redrawn(tmp_path, {"verdict": made.tables(("Lung",))["verdict"]})
    assert rows["left_out"].ne("").all() and rows["files"].eq("").all() and rows["data"].eq("").all()
    assert rows.loc["figure3_published", "left_out"] == "there is no table shared_variance.tsv"
    assert rows.loc["figure1a", "left_out"] == "there is no table Lung.256.descriptions.tsv"
    assert rows.loc["accuracy_by_size", "left_out"].startswith("no classifier was trained: one tissue")
    assert not list((tmp_path / "figures").glob("*.png"))


def test_empty_tables_and_other_versions_are_told(tmp_path):
    found = {name: table.head(0) for name, table in made.tables(("Lung",)).items() if name != "verdict"}
    found |= {"verdict": made.tables(("Lung",))["verdict"]}
    found["factor_pcs"] = pd.DataFrame({"setting": ["Lung.256"], "view": ["image_pcs"]})
    rows = redrawn(tmp_path, found)
    assert rows["left_out"].ne("").all()
    assert rows.loc["table1", "left_out"] == "enrichment_table1.tsv has no row"
    assert rows.loc["accuracy_by_size", "left_out"] == "classifier.tsv has no row"
    assert "made by another version" in rows.loc["pc_factors", "left_out"]


def test_skipped_stages_no_hit_and_unreadable_pictures_are_told(tmp_path, undrawn):
    found = made.tables(("Lung",))
    found["setting_counts"] = found["setting_counts"].assign(hits=0, genes_found=0, features_with_hit=0)
    arguments = made.make_run(tmp_path, found, ("Lung",))
    (tmp_path / "Lung" / "02.raw_0002.slides.png").write_bytes(b"\x89PNG cut")
    out = tmp_path / "figures"
    skipped = ["--skipped", "enrich: named by --skip", "shared_variance: not named by --only associate"]
    assert main([*arguments, *skipped, "--outdir", str(out)]) == 0
    why = listed(out)["left_out"]
    assert why["table1"] == "enrich was skipped: named by --skip"
    assert why["figure3_calibrated"] == "shared_variance was skipped: not named by --only associate"
    assert why["counts_by_size"] == "none of the 8 settings of Lung found a hit: setting_counts.tsv"
    assert why["figure1a"] == "the picture 02.raw_0002.slides.png cannot be read"
    assert (why.drop(["table1", "figure3_published", "figure3_calibrated", "counts_by_size", "figure1a"]) == "").all()


def test_a_verdict_without_tissues_is_told(tmp_path, undrawn):
    found = made.tables(("Lung",))
    rows = redrawn(tmp_path, {"verdict": found["verdict"].head(0), "classifier": found["classifier"]})
    assert rows.loc["(figures of a tissue)", "left_out"] == "verdict.tsv has no row"
    assert rows.loc["accuracy_by_size", "left_out"] == ""


def test_a_feature_that_tracks_nothing_and_pictures_that_are_not_given(tmp_path):
    found = made.tables(("Lung",))
    found["Lung.256.descriptions"] = found["Lung.256.descriptions"].assign(term="", rho=np.nan)
    made.make_run(tmp_path, found, ("Lung",))
    tables = Tables(tmp_path / "results", {})
    with pytest.raises(LeftOut, match=r"no described feature of Lung\.256 tracks anything"):
        data.tracked_feature(tables, LUNG)
    with pytest.raises(LeftOut, match="no picture of the tissue of a slide of Lung"):
        data.shown_slide(tables, LUNG, {}, False)


def test_names_are_text_whatever_they_hold(tmp_path):
    found = made.tables(("Lung",))
    name = "<script>alert(1)</script> $x_1$ & \\alpha"
    found["enrichment_table1"] = found["enrichment_table1"].assign(feature=name)
    found["factor_curve"] = found["factor_curve"].replace("SMRIN", "<b>$\\frac{1}{2$")
    found = {kind: found[kind] for kind in ("verdict", "enrichment_table1", "factor_curve")}
    rows = redrawn(tmp_path, found)
    assert (rows.loc[["table1", "figure4"], "left_out"] == "").all()
    for file in ("table1.Lung.svg", "figure4.Lung.svg"):
        tree = ElementTree.parse(tmp_path / "figures" / file)
        assert not [e for e in tree.iter() if e.tag.rsplit("}", 1)[-1] in ("script", "b")]
        texts = "".join("".join(e.itertext()) for e in tree.iter() if e.tag.endswith("}text"))
        assert "<script>" in texts if file.startswith("table1") else "<b>$\\frac{1}{2$" in texts


def test_faults_of_the_input_are_told_at_once(tmp_path, capsys):
    assert main(["--tables", str(tmp_path / "none")]) == 65
    assert "no such folder" in capsys.readouterr().err
    assert main(["--tables", str(tmp_path)]) == 65
    assert "there is no verdict.tsv: give the results of a run" in capsys.readouterr().err
    list_of = tmp_path / "galleries.tsv"
    list_of.write_text("prefix\tpicture\nLung.256\tnone.png\nLung.256\t1.x.slides.png\n")
    with pytest.raises(DataError) as fault:
        read_galleries(list_of)
    assert len(fault.value.faults) == 2 and "row 3" in fault.value.faults[1]
    list_of.write_text("picture\nnone.png\n")
    with pytest.raises(DataError, match="two columns, prefix and picture"):
        read_galleries(list_of)
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(LeftOut, match="cannot be read"):
        read_picture(tmp_path / "x.png")


def test_panels_are_five_a_row_and_long_names_are_shortened():
    figure, axes = panels(7, 40, 10)
    assert len(axes) == 7 and figure.get_figheight() == pytest.approx((2 * 40 + 10) * MM)
    assert panels(1, 40, 10)[0].get_figwidth() == pytest.approx(ONE_COLUMN * MM)
    assert shortened("abcdefghij", 10) == "abcdefghij" and shortened("abcdefghijk", 10) == "abcde…hijk"
    assert len(shortened("x" * 99, 22)) == 22


def test_all_figures_of_the_study_are_planned(tables):
    names = [
        plan.stem for plan in plans(Given(tables, {}, {}, "mean", False), [LUNG, Place("Skin", "Skin.-.mine.given")])
    ]
    assert len(names) == len(set(names)) == 2 * len(ALL) + len(COMMON)
    assert Place("Skin", "Skin.-.mine.given").prefix == "Skin.-"
