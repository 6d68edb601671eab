"""How long `predict` takes from Python and at the command line, for the same images, draws and threads; and the ratio.

    python bench/python_predict.py MODEL.qbnn [--cli target/release/qbnn] [--images 10000] [--samples 32] [--rounds 7]

The package must be a release build (`maturin develop --release`), as the command line must. Rounds take turns, so that whatever else the
machine does meets both. A round of the command line is the whole process, from its start to its last line; one of Python is
`Model.load` and `predict` in a process that runs already, whose start is timed apart. The least time of each counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import qbnn


def timed(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--cli", type=Path, default=Path("target/release/qbnn"))
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    rows, columns, channels = qbnn.Model.load(args.model).shape
    if channels != 1:
        sys.exit("a model of grey images is wanted, for the images are written as IDX")
    images = np.random.default_rng(1).integers(0, 256, size=(args.images, rows, columns), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.idx"
        sizes = b"".join(int(n).to_bytes(4, "big") for n in images.shape)
        file.write_bytes(bytes([0, 0, 8, 3]) + sizes + images.tobytes())
        words = [args.cli, "predict", args.model, file, "--samples", str(args.samples), "--format", "csv"]

        def at_the_command_line() -> None:
            with open(Path(folder) / "answers.csv", "wb") as answers:
                subprocess.run(words, stdout=answers, stderr=subprocess.DEVNULL, check=True)

        def in_python() -> None:
            qbnn.Model.load(args.model).predict(images, samples=args.samples)

        for call in (at_the_command_line, in_python):
            call()
        pairs = [(timed(at_the_command_line), timed(in_python)) for _ in range(args.rounds)]
        start = min(timed(lambda: subprocess.run([sys.executable, "-c", "import qbnn"], check=True)) for _ in range(3))
    cli, python = (min(column) for column in zip(*pairs))
    rate = args.images * args.samples
    print(f"{args.images} images, {args.samples} draws, {qbnn.Model.load(args.model).backend}; least of {args.rounds} rounds")
    print(f"command line {cli:.3f} s ({rate / cli:,.0f} predictions a second)")
    print(f"python       {python:.3f} s ({rate / python:,.0f} predictions a second); import of the package {start:.3f} s beside it")
    print(f"ratio python / command line: {python / cli:.3f}")


if __name__ == "__main__":
    main()
