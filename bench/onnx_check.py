"""Runs an ONNX file of `qbnn export` with onnxruntime and prints accuracy and NLL beside those of qbnn.

    pip install numpy onnxruntime
    qbnn eval RUN --samples 32
    qbnn export RUN --out mean.onnx
    qbnn export RUN --out draws.onnx --draws 32 --seed 1
    python3 bench/onnx_check.py mean.onnx draws.onnx --images t10k-images-idx3-ubyte.gz \
        --labels t10k-labels-idx1-ubyte.gz --metrics RUN/metrics.json

Draws of the seed that `qbnn eval` used (`seed` in metrics.json) are the same networks, so the figures of `draws.onnx` are those
of the float model up to the rounding of sums. With --tolerance the script ends with 1 where accuracy or NLL of the draws are further apart.
"""

import argparse
import gzip
import json
import struct
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def idx(path):
    data = path.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    axes = data[3]
    shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def run(path, images, batch):
    """Outputs by name, for images [N, rows, columns] or [N, rows, columns, channels]."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    first = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    names = [output.name for output in session.get_outputs() if output.name != "draws"]
    parts = [session.run(names, {"pixels": np.ascontiguousarray(first[i : i + batch])}) for i in range(0, len(first), batch)]
    return {name: np.concatenate(values) for name, values in zip(names, zip(*parts))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--images", type=Path, required=True, help="IDX file of images")
    parser.add_argument("--labels", type=Path, required=True, help="IDX file of labels")
    parser.add_argument("--metrics", type=Path, help="metrics.json of the run that was exported")
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--tolerance", type=float, help="most difference of accuracy and NLL of drawn networks")
    args = parser.parse_args()
    images, labels = idx(args.images), idx(args.labels).astype(int)
    wanted = None
    if args.metrics:
        models = json.loads(args.metrics.read_text())["models"]
        wanted = next(model for model in models if model["name"] == "float")
        print(f"qbnn, float, {wanted['samples']} draws: accuracy {100 * wanted['accuracy']:.2f} %, NLL {wanted['nll']:.4f}")
    is_near = True
    for path in args.files:
        values = run(path, images, args.batch)
        chosen = values["probabilities"][np.arange(len(labels)), labels].astype(float)
        accuracy = (values["probabilities"].argmax(1) == labels).mean()
        nll = -np.log(np.maximum(chosen, np.finfo(np.float32).tiny)).mean()
        more = f", mean epistemic {values['epistemic'].mean():.4f} nats" if "epistemic" in values else ""
        print(f"{path}: accuracy {100 * accuracy:.2f} %, NLL {nll:.4f}{more}")
        if wanted and more and args.tolerance is not None:
            off = max(abs(accuracy - wanted["accuracy"]), abs(nll - wanted["nll"]))
            is_near &= off <= args.tolerance
    if not is_near:
        sys.exit(f"the figures of drawn networks are further than {args.tolerance} from those of qbnn")


if __name__ == "__main__":
    main()
