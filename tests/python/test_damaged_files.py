"""A file that another stage or tool wrote, and that is cut short, damaged or of another kind: exit 65, and its name."""

import gzip
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from encoders_made import write_encoder

from combine_enrichment import read_pairs, read_parquets
from hx_causality_traits import strongest_pairs
from hx_choice import strongest
from hx_cli import DataError
from hx_donors import read_annotated
from hx_encoder import named_file, open_encoders
from hx_enrich_lists import factor_lists
from hx_expression import read_expression
from hx_feature_table import read_feature_table
from hx_features import read_patch_features, read_summary
from hx_genotype_files import open_sources
from hx_genotypes import blocks, read_genotypes
from hx_gprofiler import ask
from hx_grid import read_patches
from hx_io import read_names, read_table
from hx_join import read_keys
from hx_outline import read_outline
from hx_pool import donors_at_every_size
from hx_positions import read_positions
from hx_predict_model import read_model
from hx_results import association_rows
from hx_shared_tables import NULL, read_arrays
from hx_slide import Slide, SlideError
from hx_training import read_training
from hx_truth import read_truth
from hx_weights import weights_suffix
from prepare_tcga import star_counts

Reader = Callable[[Path], object]


def all_genotypes(path: Path) -> None:
    found = read_genotypes(path)
    list(blocks(found, found.donors))


def cached_answer(path: Path) -> None:
    """The answer of g:Profiler that a folder holds for this question, whatever its name is there."""
    folder = path.parent / "cache"
    folder.mkdir(exist_ok=True)

    class Kept(type(folder)):
        def __truediv__(self, name: str) -> Path:
            return path

    ask({"query": []}, "http://127.0.0.1:9", Kept(folder), path.parent / "out")


def verdict_genes(path: Path) -> None:
    from summarise import read_genes

    read_genes([path], pd.DataFrame({"setting": ["s"]}))


# Name of the file, and who reads it.
READERS: list[tuple[str, Reader]] = [
    ("Lung.256.h5ad", read_annotated),
    ("features.h5ad", read_feature_table),
    ("features.h5ad", read_keys),
    ("expression.h5ad", lambda path: read_expression([path], ["S1"], "tpm")),
    ("S1.summary.h5", lambda path: read_summary(path, "256", extremes=True)),
    ("S1.summary.h5", lambda path: donors_at_every_size(path.parent, {"D1": ["S1"]}, ["256"], ["raw"])),
    ("S1.h5", read_patch_features),
    ("S1_patches.h5", read_patches),
    ("256.training.h5", read_training),
    ("genotypes.h5", all_genotypes),
    ("a.model.h5", read_model),
    ("weights.h5", weights_suffix),
    ("Lung.256.associations.parquet", lambda path: association_rows(path.parent, "Lung.256", "associations", ["r"])),
    ("a.parquet", lambda path: read_arrays([path], NULL)),
    ("a.association_genes.parquet", lambda path: strongest(path, "s", 3)),
    ("a.association_genes.parquet", lambda path: strongest_pairs(path, "s", 0.05, 3)),
    ("a.association_genes.parquet", verdict_genes),
    ("a.confounder_genes.parquet", lambda path: factor_lists(path, np.array(["G1"]), "Lung.256")),
    ("a.enrichment.parquet", lambda path: read_pairs(path.parent)),
    ("a.parquet", lambda path: read_parquets(path.parent, "*.parquet", ["gene"])),
    ("features.parquet", read_feature_table),
    ("features.parquet", read_keys),
    ("expression.parquet", lambda path: read_expression([path], ["S1"], "tpm")),
    ("expression.tsv.gz", lambda path: read_expression([path], ["S1"], "tpm")),
    ("expression.gct.gz", lambda path: read_expression([path], ["S1"], "tpm")),
    ("table.tsv.gz", read_table),
    ("names.txt.gz", read_names),
    ("genes.gtf.gz", read_positions),
    ("star_gene_counts.tsv.gz", lambda path: star_counts(str(path))),
    ("a.vcf.gz", lambda path: open_sources([path])),
    ("a.bcf", lambda path: open_sources([path])),
    ("truth.json", read_truth),
    ("answer.json", cached_answer),
    ("tissue.geojson", read_outline),
    ("encoder.onnx", lambda path: open_encoders([named_file(str(path))])),
    ("slide.tiff", Slide),
]
ANY_TEXT = ("zeros", "page", "a.json file")  # a list of names, or a header without rows
LOOSE = ("S1.summary.h5", "weights.h5")


def sound(folder: Path) -> dict[str, bytes]:
    """Content of a sound file of each format, of no stage in particular, by suffix."""
    folder.mkdir()
    rows = pd.DataFrame({"x": np.arange(200.0), "y": "text"})
    rows.to_parquet(folder / "a.parquet")
    anndata.AnnData(np.ones((20, 30), np.float32)).write_h5ad(folder / "a.h5ad")
    with h5py.File(folder / "a.h5", "w") as file:
        file["x"] = np.arange(5000.0)
    write_encoder(folder / "a.onnx")
    (folder / "a.gz").write_bytes(gzip.compress(rows.to_csv(sep="\t").encode()))
    (folder / "a.json").write_text('{"a": [1, {"b": null}], "c": "d"}')
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def formats(tmp_path_factory) -> dict[str, bytes]:
    return sound(tmp_path_factory.mktemp("formats") / "formats")


def damages(formats: dict[str, bytes], suffix: str) -> dict[str, bytes]:
    """What may lie under a file's name instead of it."""
    own = formats.get({".geojson": ".json"}.get(suffix, suffix), b"")
    found = {"empty": b"", "zeros": b"\0" * 4096, "noise": np.random.default_rng(0).bytes(4096)}
    found |= {"page": b"<!DOCTYPE html><html>404: Not found</html>\n"}
    found |= {f"cut {part}": own[: int(part * len(own))] for part in (0.1, 0.5, 0.9) if own}
    found |= {"without its last byte": own[:-1]} if own else {}
    found |= {f"a{other} file": content for other, content in formats.items()}
    return found


@pytest.mark.parametrize(("name", "read"), READERS, ids=[f"{i}-{name}" for i, (name, _) in enumerate(READERS)])
def test_what_is_no_such_file_is_named(formats, tmp_path, name, read):
    wrong = []
    for kind, content in damages(formats, Path(name).suffix).items():
        path = tmp_path / name
        path.write_bytes(content)
        try:
            read(path)
        except (DataError, SlideError) as error:
            if name not in str(error):
                wrong.append(f"{kind}: the file is not named: {error}")
        except Exception as error:
            wrong.append(f"{kind}: {type(error).__name__}: {error}")
        else:
            # HDF5 of any content may be weights; without the size that is asked for it is a summary without patches.
            fine = ("a.h5 file", "a.h5ad file") if name in LOOSE else ()
            fine = ANY_TEXT if read in (read_names, read_table) else fine
            fine += ("empty",) * (read is read_names)
            # The sound file of its format serves a reader of tables of any kind.
            if kind not in (*fine, f"a{path.suffix} file"):
                wrong.append(f"{kind}: read without a word")
    assert not wrong, "\n".join(wrong)
