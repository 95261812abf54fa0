#!/usr/bin/env python3
"""Make the ONNX file of an encoder: InceptionV3 without its top, mean over the patch, 2048 features.

Preprocessing is inside the graph: input `patches` uint8 (N, 299, 299, 3), output `features` float32 (N, 2048).
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
from hx_join import ID_PATTERN

# MD5 of inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5, as keras.applications gives it.
IMAGENET_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
PICKLE = "a pickle, which can run code and is never read"
FIX = "give the .h5, .weights.h5 or .keras file of keras.applications.InceptionV3(include_top=False)"


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


def check_file(path: Path, sha256: str | None) -> tuple[str, str]:
    """(suffix, SHA-256) of a weights file; DataError when it is none or not the file of the stated SHA-256."""
    suffix, found = weights_suffix(path), file_sha256(path)
    if sha256 and found != sha256.lower():
        raise DataError(f"{path}: SHA-256 is {found}, --weights-sha256 says {sha256}: copy or download the file again")
    return suffix, found


def is_imagenet(path: Path) -> bool:
    """The file that keras.applications offers as ImageNet weights."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest() == IMAGENET_MD5


@command
def main(argv: list[str] | None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--encoder", default="raw", help="name of the encoder, first part of its features' names")
    arguments.add_argument("--weights", required=True, help="`random`, or a file of Keras weights")
    arguments.add_argument("--weights-sha256", help="SHA-256 that the file must have")
    arguments.add_argument("--seed", type=int, default=1, help="of random weights")
    arguments.add_argument("--out", required=True, type=Path, help="ONNX file to write")
    args = arguments.parse_args(argv)
    if args.seed < 0:
        arguments.error("--seed must be 0 or more")
    drawn, suffix, sha256 = args.weights == "random", "", ""
    faults = Faults()
    if not ID_PATTERN.match(args.encoder):
        faults.add(f"--encoder {args.encoder!r}: use letters, digits, dot, underscore, dash; letter or digit first")
    if drawn and args.weights_sha256:
        faults.add("--weights-sha256 is the checksum of a file, but --weights is `random`: leave one of them out")
    elif not drawn:
        try:
            suffix, sha256 = check_file(Path(args.weights), args.weights_sha256)
        except DataError as error:
            faults.add(str(error))
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
        weights = "imagenet" if is_imagenet(Path(args.weights)) else "file"
    model = net.encoder(base)
    metadata = {
        "name": args.encoder,
        "layer": net.LAYER,
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
