"""Ray: the same figures as on one machine, also where one is killed."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from conftest import bars, checks

import qbnn

ray = pytest.importorskip("ray", reason="LEFT OUT: Ray is not installed")
import qbnn.ray  # noqa: E402

SPEC = """
name = "two-widths"
seeds = [1, 2]

[set]
data.name = "strokes"
data.train_limit = 200
data.group_limit = 30
network = "mlp"
train.epochs = 2
quantize.epochs = 0
eval.samples = 4

[[question]]
name = "bits"
title = "Widths"
ask = "Which?"
rows = ["bits"]
[question.grid]
bits = ["w4a4", "w3a4"]
"""


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def figures(folder) -> dict:
    """What was measured, without times."""
    found = {}
    for line in (folder / "ledger.jsonl").read_text().splitlines()[1:]:
        line = json.loads(line)
        done = {key: value for key, value in line["done"].items() if not key.endswith("_seconds")}
        found[line["run"], line["samples"]] = done
    return found


def test_scores_of_a_data_set_are_those_of_one_machine(cluster, jq):
    images = np.concatenate([bars(300, 5)[0], checks(100, 6)])
    rows = ray.data.from_numpy(images)
    scored = qbnn.ray.score(rows, jq, column="data", samples=6, seed=2, batch_size=64, concurrency=2, num_cpus=0.5)
    found = scored.take_all()
    wanted = jq.predict(images, samples=6, seed=2)
    got = np.array([row["probs"] for row in found])
    # Batches come in any order.
    assert sorted(map(tuple, got)) == sorted(map(tuple, wanted.probs))
    assert sorted(row["epistemic"] for row in found) == sorted(wanted.epistemic)
    assert "data" not in found[0]


def test_a_sweep_whose_node_is_killed_midway(cluster, cli, tmp_path):
    spec = tmp_path / "two.toml"
    spec.write_text(SPEC)
    cli("sweep", spec, "--out", tmp_path / "one-machine")
    victim = cluster.add_node(num_cpus=1)
    killed = threading.Event()

    def kill(event):
        # With the first result, while others run.
        if event.kind == "sweep" and event.done == 1 and not killed.is_set():
            killed.set()
            cluster.remove_node(victim, allow_graceful=False)

    folder = qbnn.ray.sweep(spec, out=tmp_path / "cluster", progress=kill)
    assert killed.is_set()
    assert figures(folder) == figures(tmp_path / "one-machine")
    for name in ("results.jsonl", "tables.md"):
        assert (folder / name).is_file()
    # All is done: nothing is made again.
    before = (folder / "ledger.jsonl").read_bytes()
    began = time.monotonic()
    assert qbnn.ray.sweep(spec, out=folder) == folder
    assert (folder / "ledger.jsonl").read_bytes() == before and time.monotonic() - began < 20


def test_a_sweep_that_was_stopped_goes_on(cluster, tmp_path):
    spec = tmp_path / "two.toml"
    spec.write_text(SPEC)

    def stop(event):
        if event.kind == "sweep" and event.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        qbnn.ray.sweep(spec, out=tmp_path / "out", progress=stop)
    done = figures(tmp_path / "out")
    assert 1 <= len(done) < 6
    folder = qbnn.ray.sweep(spec, out=tmp_path / "out")
    # Two widths and their float networks, of two seeds.
    assert len(figures(folder)) == 6 and done.items() <= figures(folder).items()
