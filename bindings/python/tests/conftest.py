"""What tests share: small images that are learned in a second, a run of them, and the command line where it was built."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import qbnn

ROOT = Path(__file__).resolve().parents[3]

#: A network that is trained in a moment.
SMALL = [{"type": "dense", "out": 16}, {"type": "relu"}, {"type": "dense", "out": 3}]


def bars(count: int, seed: int, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Images of 8 x 8 pixels with a bright bar in one of three places, on noise; bytes, channels last."""
    random = np.random.default_rng(seed)
    y = np.arange(count) % 3
    x = random.integers(0, 90, size=(count, 8, 8, channels), dtype=np.int64)
    for i, label in enumerate(y):
        x[i, :, 1 + 2 * label : 3 + 2 * label] += 120
    x = x.clip(0, 255).astype(np.uint8)
    return (x[..., 0] if channels == 1 else x), y


def checks(count: int, seed: int) -> np.ndarray:
    """Images that are none of these."""
    random = np.random.default_rng(seed)
    board = (np.indices((8, 8)).sum(axis=0) % 2) * 160
    return (board + random.integers(0, 90, size=(count, 8, 8))).astype(np.uint8)


def data(**more: object) -> qbnn.Data:
    x, y = bars(300, 1)
    x, y = more.pop("x", x), more.pop("y", y)
    x_val, y_val = bars(90, 2)
    x_test, y_test = bars(60, 3)
    groups = {"ood:checks": checks(40, 4)}
    own = {"x_val": x_val, "y_val": y_val, "x_test": x_test, "y_test": y_test, "groups": groups}
    return qbnn.Data(x, y, **{**own, "class_names": ["left", "middle", "right"], "name": "bars", **more})


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> qbnn.Run:
    """A trained and quantized network, with its metrics. Tests leave it as it is."""
    out = tmp_path_factory.mktemp("run") / "bars"
    run = qbnn.train(data(), network=SMALL, epochs=6, batch=50, seed=1, out=out, settings={"eval.samples": 8, "eval.bootstrap": 20})
    run.quantize(qat_epochs=1)
    run.evaluate()
    return run


@pytest.fixture
def own_run(run: qbnn.Run, tmp_path: Path) -> qbnn.Run:
    """A copy to write in."""
    return qbnn.Run(shutil.copytree(run.path, tmp_path / "own"))


@pytest.fixture(scope="session")
def jq(run: qbnn.Run) -> qbnn.Model:
    return run.model()


def find_cli() -> Path | None:
    """The command line: $QBNN_CLI, or what was built in this repository."""
    if os.environ.get("QBNN_CLI"):
        return Path(os.environ["QBNN_CLI"])
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [target / profile / "qbnn" for profile in ("debug", "release")]
    return max((path for path in built if path.is_file()), key=lambda path: path.stat().st_mtime, default=None)


@pytest.fixture(scope="session")
def cli():
    """Calls the command line and gives what it writes to stdout."""
    path = find_cli()
    if path is None:
        pytest.skip("LEFT OUT: no binary qbnn; `cargo build -p qbnn-cli` makes it, QBNN_CLI names another")

    def call(*words: object, cwd: Path | None = None) -> str:
        done = subprocess.run([path, *map(str, words)], capture_output=True, text=True, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def write_idx(path: Path, images: np.ndarray) -> None:
    """Images as an IDX file, N x rows x columns."""
    header = bytes([0, 0, 8, images.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in images.shape)
    path.write_bytes(header + images.tobytes())
