"""Predictions: the command line's numbers, whatever calls for them."""

from __future__ import annotations

import json
import pickle
import threading
import time

import numpy as np
import pytest
from conftest import bars, checks, write_idx

import qbnn


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.concatenate([bars(20, 11)[0], checks(10, 12)])


def rows_of(text: str) -> dict[str, np.ndarray]:
    rows = [json.loads(line) for line in text.splitlines()]
    return {key: np.array([row[key] for row in rows]) for key in rows[0] if key not in ("file", "set")}


@pytest.mark.parametrize("name", ["float", "jq-mu4s2w8a4"])
def test_predictions_are_the_command_lines(name, run, images, cli, tmp_path):
    write_idx(tmp_path / "images.idx", images)
    model = qbnn.Model.load(run, name)
    words = [tmp_path / "images.idx", "--samples", "7", "--seed", "3"]
    rows = rows_of(cli("predict", model.path, *words, "--json", "--save", tmp_path / "draws.npz"))
    found = model.predict(images, samples=7, seed=3, draws=True)
    # The same numbers to the last bit: JSON of both sides is read as it was written.
    assert (found.probs == rows["probabilities"]).all()
    for key, value in (("total", found.total), ("aleatoric", found.aleatoric), ("epistemic", found.epistemic)):
        assert (value == rows[key]).all(), key
    assert (found.label == rows["class"]).all()
    assert found.name == list(rows["class_name"])
    with np.load(tmp_path / "draws.npz") as kept:
        assert (kept["probs"] == found.draws).all() and kept["probs"].shape == (7, 30, 3)
        assert ("logits" in kept) == (found.logits is not None) == (name != "float")
        if found.logits is not None:
            assert (kept["logits"] == found.logits).all()


def test_an_analytic_pass_is_the_command_lines(jq, images, cli, tmp_path):
    write_idx(tmp_path / "images.idx", images)
    for weights in ("stored", "drawn"):
        rows = rows_of(cli("predict", jq.path, tmp_path / "images.idx", f"--pfp={weights}", "--json"))
        found = jq.pfp(images, weights)
        assert (found.probs == rows["probabilities"]).all() and (found.epistemic == rows["epistemic"]).all()
        assert found.backend == f"analytic ({weights})" and found.samples is None and found.draws is None


def test_shapes_types_and_meaning(jq, images):
    found = jq.predict(images, samples=5, draws=True)
    assert found.probs.shape == (30, 3) and found.probs.dtype == np.float64
    assert found.draws.shape == found.logits.shape == (5, 30, 3) and found.draws.dtype == np.float32
    assert np.allclose(found.probs.sum(axis=1), 1, atol=1e-8)
    assert np.allclose(found.probs, found.draws.mean(axis=0), atol=1e-3)
    assert (found.label == found.probs.argmax(axis=1)).all() and found.label.dtype == np.int64
    assert np.allclose(found.probability, found.probs.max(axis=1))
    entropy = -(found.probs * np.log(found.probs.clip(1e-12))).sum(axis=1)
    assert np.allclose(found.total, entropy, atol=2e-3)
    assert np.allclose(found.total, found.aleatoric + found.epistemic, atol=1e-4)
    assert found.backend.startswith("integer (") and found.class_names == ("left", "middle", "right")
    assert len(found) == 30 and "30 images, 3 classes" in repr(found)
    assert found.sets is None and found.ood is None
    with pytest.raises(qbnn.ArgumentError, match="no decisions"):
        found.class_set(0)


def test_predictions_depend_on_model_image_samples_and_seed_alone(jq, images):
    whole = jq.predict(images, samples=6, seed=9)
    alone = jq.predict(images[17:18], samples=6, seed=9)
    assert (whole.probs[17] == alone.probs[0]).all() and whole.epistemic[17] == alone.epistemic[0]
    assert (jq.predict(images, samples=6, seed=9).probs == whole.probs).all()
    assert (jq.predict(images, samples=6, seed=10).probs != whole.probs).any()
    # More than are predicted together.
    many = np.concatenate([images] * 200)
    assert (jq.predict(many, samples=6, seed=9).probs.reshape(200, 30, 3) == whole.probs).all()


def test_no_images_are_no_error(jq):
    found = jq.predict(np.zeros((0, 8, 8), dtype=np.uint8))
    assert found.probs.shape == (0, 3) and len(found) == 0 and "no images" in repr(found)
    assert jq.pfp(np.zeros((0, 8, 8, 1), dtype=np.uint8)).total.shape == (0,)


class Tensor:
    """As a tensor of torch that has a gradient: no array until it is detached."""

    def __init__(self, array, ready=False):
        self.array, self.ready = array, ready

    def detach(self):
        return Tensor(self.array, True)

    def cpu(self):
        return self

    def __array__(self, dtype=None, copy=None):
        if not self.ready:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        return self.array


class Capsule:
    """Something that knows DLPack and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **more):
        return self.array.__dlpack__(**more)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_whatever_holds_the_same_pixels_is_the_same(jq, images):
    wanted = jq.predict(images, samples=4).probs
    for same in (
        images[..., None],
        images[:, None],  # channels first
        images.astype(np.int64),
        images.astype(np.float32) / 255,
        images / 255,
        images[:, None].astype(np.float32) / np.float32(255),
        images.tolist(),
        np.asfortranarray(images),
        Tensor(images[:, None]),
        Capsule(images),
    ):
        assert (jq.predict(same, samples=4).probs == wanted).all(), type(same)


def test_tensors_of_torch(jq, images):
    torch = pytest.importorskip("torch", reason="LEFT OUT: torch is not installed")
    wanted = jq.predict(images, samples=4).probs
    tensor = torch.from_numpy(images)
    assert (jq.predict(tensor, samples=4).probs == wanted).all()
    scaled = (tensor[:, None].float() / 255).requires_grad_()
    assert (jq.predict(scaled, samples=4).probs == wanted).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x: x[0], "is one image, wanted several"),
        (lambda x: x[:, :7], "is 30 x 7 x 8, wanted images as the model reads them: N x 8 x 8"),
        (lambda x: x.reshape(30, 64), "is 30 x 64"),
        (lambda x: np.repeat(x[..., None], 3, axis=-1), "is 30 x 8 x 8 x 3"),
        (lambda x: x.astype(np.int32) - 300, "wanted pixels from 0 to 255"),
        (lambda x: x.astype(np.int32) * 2, "holds integers from 0 to"),
        (lambda x: x.astype(np.float64), "these seem to be pixels from 0 to 255"),
        (lambda x: (x / 255 - 0.13) / 0.31, "normalised"),
        (lambda x: x / 300, "no bytes over 255"),
        (lambda x: (x / 255).astype(np.float16), "too coarse"),
        (lambda x: np.where(x > 100, np.nan, 0.0), "not finite"),
        (lambda x: x > 100, "booleans"),
        (lambda x: x.astype(np.complex128), "wanted numbers"),
        (lambda x: "images.png", "wanted numbers"),
        (lambda x: [[1, 2], [3]], "no array of numbers"),
        (lambda x: 3, "a single number"),
    ],
)
def test_what_could_be_misread_is_refused(change, says, jq, images):
    with pytest.raises(ValueError, match=says) as caught:
        jq.predict(change(images))
    assert isinstance(caught.value, qbnn.Error) and "\n" not in str(caught.value)


def test_images_in_0_and_1_are_told(jq, images):
    with pytest.warns(qbnn.QbnnWarning, match="the largest pixel of x is 1"):
        jq.predict((images > 100).astype(np.uint8))


@pytest.mark.parametrize("arguments", [{"samples": 0}, {"samples": 2.5}, {"samples": True}, {"seed": -1}, {"samples": 2_000_000}])
def test_numbers_out_of_range_are_refused(arguments, jq, images):
    with pytest.raises(qbnn.ArgumentError, match="wanted an integer from"):
        jq.predict(images, **arguments)


def test_draws_beyond_memory_are_refused(jq, images):
    with pytest.raises(qbnn.Error, match="draws"):
        jq.predict(np.concatenate([images] * 50), samples=1_000_000, draws=True)


def test_loading(run, jq, tmp_path):
    file = run.path / "jq-mu4s2w8a4.qbnn"
    assert jq.path == file and jq.shape == (8, 8, 1) and jq.classes == 3
    assert qbnn.Model.load(file.with_suffix(".safetensors")).path == file
    assert qbnn.Model.load(run.path, "float").backend == "float"
    with pytest.raises(qbnn.Error, match="2 model files are in this folder; name one"):
        qbnn.Model.load(run)
    with pytest.raises(ValueError, match="did you mean `jq-mu4s2w8a4`"):
        qbnn.Model.load(run, "jq-mu4s2w8a5")
    with pytest.raises(FileNotFoundError) as caught:
        qbnn.Model.load(tmp_path / "nowhere.qbnn")
    assert isinstance(caught.value, qbnn.Error) and "nowhere.qbnn" in str(caught.value)
    (tmp_path / "broken.qbnn").write_bytes(file.read_bytes()[:-7])
    with pytest.raises(qbnn.Error, match="broken.qbnn"):
        qbnn.Model.load(tmp_path / "broken.qbnn")
    with pytest.raises(TypeError):
        qbnn.Model()


def test_a_model_file_that_is_not_of_its_checkpoint_is_refused(own_run):
    (own_run.path / "jq-mu4s2w8a4.qbnn").write_bytes((own_run.path / "float.qbnn").read_bytes())
    with pytest.raises(qbnn.Error, match="jq-mu4s2w8a4"):
        own_run.model("jq-mu4s2w8a4")


def test_info_is_what_inspect_shows(jq, cli):
    shown = json.loads(cli("inspect", jq.path, "--json"))
    info = jq.info
    assert {key: shown[key] for key in info} == info
    assert info["kind"] == "jq" and info["bits"] == {"mu": 4, "sigma": 2, "weight": 8, "activation": 4}
    assert info["bytes"] == jq.path.stat().st_size


def test_models_are_pickled_with_their_bytes(own_run, images, tmp_path):
    model = own_run.model()
    wanted = model.predict(images, samples=4)
    kept = pickle.dumps(model)
    model.save(tmp_path / "copy.qbnn")
    for file in own_run.path.iterdir():
        file.unlink()
    again = pickle.loads(kept)
    assert (again.predict(images, samples=4).probs == wanted.probs).all()
    assert again.class_names == wanted.class_names
    assert (qbnn.Model.load(tmp_path / "copy.qbnn").predict(images, samples=4).probs == wanted.probs).all()
    # A pass is of the bytes that were loaded, though the file is gone.
    assert model.pfp(images).probs.shape == (30, 3)


def test_decisions(own_run, images, cli, tmp_path):
    with pytest.raises(ValueError, match="abstain_by is `total ignorance`"):
        qbnn.calibrate(own_run.model(), abstain_by="total ignorance")
    model = qbnn.calibrate(own_run.path / "jq-mu4s2w8a4.qbnn", coverage=0.9, samples=8, seed=2)
    write_idx(tmp_path / "images.idx", images)
    lines = cli("predict", model.path, tmp_path / "images.idx", "--samples", 8, "--seed", 2, "--json").splitlines()
    rows = [json.loads(line) for line in lines]
    found = model.predict(images, samples=8, seed=2)
    assert found.sets.shape == (30, 3) and found.sets.dtype == np.bool_
    assert [list(np.flatnonzero(row)) for row in found.sets] == [row["set"] for row in rows]
    assert list(found.ood) == [row["ood"] for row in rows]
    assert list(found.abstain) == [row["abstained"] for row in rows]
    assert list(found.calibrated_probability) == [row["calibrated_probability"] for row in rows]
    assert found.class_set(0) == [model.class_names[c] for c in rows[0]["set"]]
    assert model.info["section"]["decisions"]["samples"] == 8
    with pytest.warns(qbnn.QbnnWarning, match="decisions were measured with 8 draws of seed 2"):
        model.predict(images, samples=9)
    with pytest.warns(qbnn.QbnnWarning, match="were measured on draws"):
        assert model.pfp(images).sets is None


def test_progress_and_what_it_raises(jq, images):
    events = []
    jq.predict(np.concatenate([images] * 100), samples=4, progress=events.append)
    assert events and all(event.kind == "predict" and event.of == 3000 for event in events)
    assert events[-1].done == 3000 and [e.done for e in events] == sorted(e.done for e in events)

    class Enough(Exception):
        pass

    def refuse(event):
        raise Enough(event.done)

    with pytest.raises(Enough):
        jq.predict(images, samples=4, progress=refuse)
    # And it goes on.
    assert len(jq.predict(images, samples=4)) == 30


def test_other_threads_run_meanwhile(run, images):
    """The lock is released: a thread counts while another predicts, and two models predict side by side."""
    model, many = run.model("float"), np.concatenate([images] * 400)
    done = threading.Event()

    def predict():
        model.predict(many, samples=16)
        done.set()

    thread = threading.Thread(target=predict)
    thread.start()
    counted = 0
    while not done.is_set():
        counted += 1
        time.sleep(0.001)
    thread.join()
    # With the lock held this loop would come round once or twice.
    assert counted > 5


def test_an_ensemble(run, images, tmp_path):
    other = qbnn.train((bars(300, 1)[0], bars(300, 1)[1]), network=[{"type": "dense", "out": 3}], epochs=1, batch=50, out=tmp_path / "b")
    file = tmp_path / "both.ensemble.toml"
    file.write_text(f'models = ["{run.path / "float.qbnn"}", "{other.path / "float.qbnn"}"]')
    both = qbnn.Model.load(file)
    assert both.info["kind"] == "ensemble" and len(both.info["members"]) == 2
    found = both.predict(images, samples=4)
    assert found.backend.startswith("ensemble of 2") and np.allclose(found.probs.sum(axis=1), 1)
    assert (pickle.loads(pickle.dumps(both)).predict(images, samples=4).probs == found.probs).all()
    with pytest.raises(qbnn.ArgumentError, match="is an ensemble"):
        both.save(tmp_path / "x.qbnn")
