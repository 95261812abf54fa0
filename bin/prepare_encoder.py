#!/usr/bin/env python3
"""Make the ONNX file of an encoder: a layer of InceptionV3 without its top, pooled over the patch.

`raw` is the mean of the last layer, 2048 features; `raw-<layer>-<mean|max>` is another layer, with a feature a channel.
Preprocessing is inside the graph: input `patches` uint8 (N, 299, 299, 3), output `features` float32 (N, features).
Weights come from a file (HDF5 or .keras of Keras; no pickle), or are drawn from --seed (`random`): such features tell
nuclei, colours and textures apart well enough for tests and demonstrations, and say in their metadata what they are.
"""

import sys
from pathlib import Path

from hx_cli import Faults, command, log, parser
from hx_join import gathered
from hx_weights import check_file, weights_name

LAYERS = ("layer1", "layer7", "layer12", "layer65", "layer166", *(f"mixed{i}" for i in range(11)))


def layer_and_pooling(encoder: str) -> tuple[str, str]:
    """('mixed2', 'max') of 'raw-mixed2-max'; ('mixed10', 'mean') of 'raw'. ValueError: no such encoder."""
    if encoder == "raw":
        return "mixed10", "mean"
    match encoder.split("-"):
        case ["raw", layer, ("mean" | "max") as pooling] if layer in LAYERS:
            return layer, pooling
    raise ValueError(f"{encoder!r} is no encoder: `raw`, or raw-<layer>-<mean|max> with a layer of {', '.join(LAYERS)}")


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

    net.use_cpu()
    base = net.inception()
    path = None if drawn else Path(args.weights)
    net.first_weights(base, path, suffix, args.seed)
    weights, sha256 = weights_name(path), sha256 or net.weights_sha256(base)
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
