#!/usr/bin/env python3
"""Make the ONNX file of an encoder: a layer of InceptionV3 without its top, pooled over the patch.

`raw` is the mean of the last layer, 2048 features; `raw-<layer>-<mean|max>` is another layer, with a feature a channel.
Preprocessing is inside the graph: input `patches` uint8 (N, 299, 299, 3), output `features` float32 (N, features).
Weights come from a file (HDF5 or .keras of Keras; no pickle), or are drawn from --seed (`random`): such features tell
nuclei, colours and textures apart well enough for tests and demonstrations, and say in their metadata what they are.
"""

import hashlib
import sys
import zipfile
from pathlib import Path

import h5py

from hx_cli import DataError, Faults, command, log, parser
from hx_io import file_sha256
from hx_join import gathered

LAYERS = ("layer1", "layer7", "layer12", "layer65", "layer166", *(f"mixed{i}" for i in range(11)))
# MD5 of inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5, as keras.applications gives it.
IMAGENET_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
PICKLE = "a pickle, which can run code and is never read"
FIX = "give the .h5, .weights.h5 or .keras file of keras.applications.InceptionV3(include_top=False)"


def layer_and_pooling(encoder: str) -> tuple[str, str]:
    """('mixed2', 'max') of 'raw-mixed2-max'; ('mixed10', 'mean') of 'raw'. ValueError: no such encoder."""
    if encoder == "raw":
        return "mixed10", "mean"
    match encoder.split("-"):
        case ["raw", layer, ("mean" | "max") as pooling] if layer in LAYERS:
            return layer, pooling
    raise ValueError(f"{encoder!r} is no encoder: `raw`, or raw-<layer>-<mean|max> with a layer of {', '.join(LAYERS)}")


def weights_suffix(path: Path) -> str:
    """Format of a weights file by its content, as the suffix by which Keras knows it: .h5, .weights.h5 or .keras.

    Raises:
        DataError: missing, damaged, a pickle, or of any other format.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such weights file: {FIX}")
    with open(path, "rb") as handle:
        head = handle.read(8)
    if head == b"\x89HDF\r\n\x1a\n":
        try:
            with h5py.File(path) as file:
                legacy = "layer_names" in file.attrs or "model_weights" in file
        except OSError as error:
            raise DataError(f"{path}: damaged HDF5 file ({error}): copy or download it again") from error
        return ".h5" if legacy else ".weights.h5"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if "config.json" in names and "model.weights.h5" in names:
            return ".keras"
        if any(name.endswith(".pkl") for name in names):
            raise DataError(f"{path}: a PyTorch file, in which is {PICKLE}: {FIX}")
    if head[:1] == b"\x80":
        raise DataError(f"{path}: {PICKLE}: {FIX}")
    raise DataError(f"{path}: no weights file of Keras: {FIX}")


def check_file(path: Path, sha256: str | None, imagenet: bool) -> tuple[str, str]:
    """(suffix, SHA-256) of a weights file.

    Args:
        sha256: SHA-256 that it must have.
        imagenet: it must be the ImageNet file of keras.applications, by its MD5.

    Raises:
        DataError: no weights file, or not the one that is stated; every fault at once.
    """
    suffix, found = weights_suffix(path), file_sha256(path)
    faults = Faults()
    if sha256 and found != sha256.lower():
        faults.add(f"{path}: SHA-256 is {found}, --weights-sha256 says {sha256}: copy or download the file again")
    if imagenet and (md5 := file_md5(path)) != IMAGENET_MD5:
        faults.add(
            f"{path}: MD5 is {md5}, that of Keras' ImageNet weights is {IMAGENET_MD5}: download "
            "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5 again, or leave --weights-name out"
        )
    faults.stop()
    return suffix, found


def file_md5(path: Path) -> str:
    """MD5 of a file's content, by which keras.applications knows its files."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--encoder", default="raw", help="raw, or raw-<layer>-<mean|max>; starts features' names")
    arguments.add_argument("--weights", required=True, help="`random`, or a file of Keras weights")
    arguments.add_argument("--weights-sha256", help="SHA-256 that the file must have")
    arguments.add_argument("--weights-name", choices=["imagenet"], help="the file must be Keras' own of this name")
    arguments.add_argument("--seed", type=int, default=1, help="of random weights")
    arguments.add_argument("--out", required=True, type=Path, help="ONNX file to write")
    args = arguments.parse_args(argv)
    if args.seed < 0:
        arguments.error("--seed must be 0 or more")
    try:
        layer, pooling = layer_and_pooling(args.encoder)
    except ValueError as error:
        arguments.error(f"--encoder: {error}")
    drawn, suffix, sha256 = args.weights == "random", "", ""
    faults = Faults()
    if drawn:
        for option, value in (("--weights-sha256", args.weights_sha256), ("--weights-name", args.weights_name)):
            if value:
                faults.add(f"{option} is about a file, but --weights is `random`: leave one of them out")
    else:
        with gathered(faults):
            suffix, sha256 = check_file(Path(args.weights), args.weights_sha256, args.weights_name == "imagenet")
    faults.stop()

    # TensorFlow starts only when all else is in order.
    import hx_inception as net

    net.use_one_cpu_thread()
    base = net.inception()
    if drawn:
        net.draw_weights(base, args.seed)
        net.set_statistics(base, net.reference_drawing(args.seed))
        weights, sha256 = "random", net.weights_sha256(base)
    else:
        net.load_weights(base, Path(args.weights), suffix)
        weights = "imagenet" if file_md5(Path(args.weights)) == IMAGENET_MD5 else "file"
    model = net.encoder(base, layer, pooling)
    metadata = {
        "name": args.encoder,
        "layer": layer,
        "pooling": pooling,
        "width": str(model.output_shape[-1]),
        "weights": weights,
        "weights_sha256": sha256,
        "input_px": str(net.INPUT_PX),
        "preprocess": net.PREPROCESS,
    }
    if drawn:
        metadata["seed"] = str(args.seed)
    net.write_onnx(model, metadata, args.out)
    log.info("%s: %s weights %s, %s features", args.out, weights, sha256[:12], metadata["width"])


if __name__ == "__main__":
    sys.exit(main())
