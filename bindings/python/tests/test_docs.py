"""The guide does what it says: its code, in its order, in an empty folder."""

from __future__ import annotations

import re

import numpy as np
from conftest import ROOT

import qbnn


class BayesianTorchNet:
    """A module as Bayesian-Torch has them, as far as it is read: names and values of its ``state_dict()``."""

    def __init__(self, posterior):
        self.state = {}
        with np.load(posterior) as file:
            layers = dict.fromkeys(name.split(".")[0] for name in file.files if name.endswith(".weight.mu"))
            for layer in layers:
                for what, suffix in (("weight", "kernel" if file[f"{layer}.weight.mu"].ndim == 4 else "weight"), ("bias", "bias")):
                    sigma = file[f"{layer}.{what}.sigma"].astype(np.float64)
                    self.state[f"{layer}.mu_{suffix}"] = file[f"{layer}.{what}.mu"]
                    self.state[f"{layer}.rho_{suffix}"] = np.log(np.expm1(sigma)).astype(np.float32)

    def state_dict(self):
        return self.state


def test_the_guide_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"data.group_limit": 40, "eval.bootstrap": 10}
    first = qbnn.run("strokes", network="lenet5", epochs=2, qat_epochs=0, train_limit=600, samples=4, out="runs/first", settings=small)
    # The guide's model has been trained through its quantizers, and is called so.
    qbnn.quantize(first, "mu4s2w8a4", qat_epochs=1)
    qbnn.export_posterior(first, "posterior.npz")
    record = qbnn.import_posterior("posterior.npz", data="strokes", dry_run=True)["normalisation"]
    random = np.random.default_rng(1)
    y = np.arange(200) % 2
    x = random.integers(0, 90, size=(200, 8, 8), dtype=np.uint8)
    x[y == 0, :, :4] += 120
    x[y == 1, :, 4:] += 120
    names = {
        "images": random.integers(0, 256, size=(5, 28, 28), dtype=np.uint8),
        "net": BayesianTorchNet("posterior.npz"),
        "mean": record["mean"],
        "std": record["std"],
        "x": x,
        "y": y,
        "noise": random.integers(0, 256, size=(30, 8, 8), dtype=np.uint8),
    }
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 7
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
        if "import_posterior" in block:
            assert len(block.strip().splitlines()) <= 20, "twenty lines are promised"
            assert names["small"].info["bytes"] == 48_161 and names["page"].is_file()
            own = first.model("float").predict(names["images"], samples=4)
            same = names["run"].model("float").predict(names["images"], samples=4)
            assert np.allclose(own.probs, same.probs, atol=1e-3)
    assert (tmp_path / "other.html").is_file()
    assert names["classifier"].score(x, y) > 0.9 and names["answer"].sets.shape == (200, 2)


def test_the_readme_of_the_repository_does_what_it_says(run, capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    block = block.replace("runs/first", str(run.path))
    exec(compile(block, "README.md", "exec"), {"images": np.zeros((2, 8, 8), dtype=np.uint8)})
    assert capsys.readouterr().out.startswith("[")
