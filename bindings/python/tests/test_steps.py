"""Training, quantization, evaluation, reports and imports: files and figures of the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from conftest import SMALL, bars, checks, data

import qbnn


def figure(metrics: dict, model: int, name: str) -> float:
    value = metrics["models"][model][name]
    return value["value"] if isinstance(value, dict) else value


def test_a_run_folder_is_whole(run):
    assert run.models == ["float", "jq-mu4s2w8a4"]
    names = {path.name for path in run.path.iterdir()}
    wanted = {"config.toml", "classes.json", "data.npz", "test-checks.npz", "float.qbnn", "jq-mu4s2w8a4.qbnn", "metrics.json"}
    assert wanted | {"metrics.jsonl", "provenance.json", "report.html", "card.md", "predictions.safetensors"} <= names
    assert run.config["data"]["name"] == "bars" and run.config["train"]["epochs"] == 6
    # The arrays are the run's own, and nothing is left beside it.
    assert run.config["data"]["path"] == str(run.path / "data.npz")
    assert run.config["data"]["test"] == [f"ood:checks={run.path / 'test-checks.npz'}"]
    assert [path.name for path in run.path.parent.iterdir()] == ["bars"]
    calls = [step["command"] for step in json.loads((run.path / "provenance.json").read_text())]
    assert calls[0].startswith("qbnn.train(data=<Data>, network=[{'type': 'dense', 'out': 16}")
    assert calls[1] == f"qbnn.quantize(source={str(run.path)!r}, quantize.epochs=1)"
    assert figure(run.metrics, 0, "accuracy") > 0.9 and figure(run.metrics, 1, "accuracy") > 0.9
    assert "auroc_epistemic_ood_vs_clean" in run.metrics["models"][1]
    assert "Run(" in repr(run) and "jq-mu4s2w8a4" in repr(run)


def test_the_command_line_goes_on_with_it(own_run, cli, tmp_path):
    """Arrays are files of the run, so that any command finds them; and figures are the same."""
    text = cli("eval", own_run.path, "--out", tmp_path / "metrics.json", "--json")
    assert json.loads(text.splitlines()[-1])
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["models"] == own_run.metrics["models"]
    cli("quantize", own_run.path, "--bits", "4", "--qat-epochs", "0")
    again = qbnn.quantize(own_run, 4, qat_epochs=0, overwrite=True)
    assert again.path.name == "jq-w4a4-ptq.qbnn" and "jq-w4a4-ptq" in own_run.models


def test_the_same_settings_give_the_same_bytes_as_the_command_line(cli, tmp_path):
    words = ["--net", "mlp", "--epochs", "1", "--train-limit", "300", "--seed", "5", "--set", "data.group_limit=30"]
    cli("train", *words, "--out", tmp_path / "a")
    run = qbnn.train("strokes", network="mlp", epochs=1, train_limit=300, seed=5, settings={"data.group_limit": 30}, out=tmp_path / "b")
    for name in ("float.qbnn", "float.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (run.path / name).read_bytes()
    cli("quantize", tmp_path / "a", "--bits", "w4a8", "--qat-epochs", "0")
    model = qbnn.quantize(run, "w4a8", qat_epochs=0)
    assert (tmp_path / "a" / model.path.name).read_bytes() == model.path.read_bytes()


def test_the_whole_way(tmp_path):
    run = qbnn.run(data(), network=SMALL, epochs=1, qat_epochs=0, samples=4, bits=4, out=tmp_path / "run", settings={"eval.bootstrap": 10, "train.batch": 50})
    assert run.models == ["float", "jq-w4a4-ptq"] and (run.path / "report.html").is_file()
    assert run.model().path.name == "jq-w4a4-ptq.qbnn"
    with pytest.raises(ValueError, match="holds a run already"):
        qbnn.train(data(), network=SMALL, out=tmp_path / "run")
    again = qbnn.train(data(), network=SMALL, epochs=1, batch=50, out=tmp_path / "run", overwrite=True)
    assert again.models == ["float"] and (again.path / "data.npz").is_file()


def test_names_of_classes_and_divided_data(tmp_path):
    x, y = bars(120, 5)
    names = np.array(["ant", "bee", "cow"])[y]
    run = qbnn.train((x, names), network=[{"type": "dense", "out": 3}], epochs=1, batch=30, out=tmp_path / "run")
    assert run.model().class_names == ("ant", "bee", "cow")
    # One in ten of each class validates, and one in ten tests.
    assert run.model().predict(x[:2]).name[0] in ("ant", "bee", "cow")


def test_progress_of_a_training(tmp_path):
    events: list[qbnn.Event] = []
    qbnn.train(data(), network=SMALL, epochs=2, batch=50, out=tmp_path / "run", progress=events.append)
    epochs = [event for event in events if event.kind == "epoch"]
    assert [(e.epoch, e.epochs, e.text) for e in epochs] == [(1, 2, "float"), (2, 2, "float")]
    assert all(0 <= e.validation_accuracy <= 1 and e.nll > 0 and e.kl > 0 for e in epochs)
    steps = [event for event in events if event.kind == "step"]
    assert steps[-1].done == steps[-1].of == 12
    assert any(event.kind == "note" and "float.qbnn" in event.text for event in events)


def test_a_bar_of_tqdm(tmp_path, capsys):
    pytest.importorskip("tqdm", reason="LEFT OUT: tqdm is not installed")
    qbnn.train(data(), network=SMALL, epochs=2, batch=50, out=tmp_path / "run", progress=True)
    assert "float" in capsys.readouterr().err


def test_what_a_callable_raises_stops_and_is_raised(tmp_path):
    def stop(event):
        if event.kind == "epoch":
            raise ZeroDivisionError("enough")

    with pytest.raises(ZeroDivisionError, match="enough"):
        qbnn.train(data(), network=SMALL, epochs=100_000, batch=50, out=tmp_path / "run", progress=stop)


def test_ctrl_c_stops_a_training_that_then_goes_on(tmp_path):
    code = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import qbnn
        from conftest import SMALL, data
        def told(event):
            if event.kind == "epoch":
                print("epoch", flush=True)
        try:
            qbnn.train(data(), network=SMALL, epochs=100000, batch=50, out={str(tmp_path / "run")!r}, progress=told)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().strip() == "epoch"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert rest.splitlines()[-1] == "interrupted" and process.returncode == 0
    events: list[qbnn.Event] = []

    def stop(event):
        events.append(event)
        if event.kind == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        qbnn.resume(tmp_path / "run", progress=stop)
    first = next(event for event in events if event.kind == "epoch")
    assert first.epoch > 1, "it began anew"


def test_ctrl_c_stops_a_prediction(run):
    many = np.concatenate([bars(60, 1)[0]] * 500)
    model = run.model("float")
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        model.predict(many, samples=3000)


def test_errors_are_one_line_of_the_right_kind(run, tmp_path):
    def refuse(kind, says, call, *words, **more):
        with pytest.raises(kind, match=says) as caught:
            call(*words, **more)
        assert isinstance(caught.value, qbnn.Error), type(caught.value)
        assert "\n" not in str(caught.value)

    refuse(ValueError, "did you mean `mnist`", qbnn.train, "mnst")
    refuse(ValueError, "unknown network `lenet`; did you mean `lenet5`", qbnn.train, network="lenet")
    refuse(ValueError, "train.epoch.*did you mean", qbnn.train, settings={"train.epoch": 3})
    refuse(ValueError, "train.epochs: ", qbnn.train, settings={"train.epochs": "many"})
    refuse(ValueError, "learning_rate", qbnn.train, learning_rate=-1.0, out=tmp_path / "a")
    refuse(ValueError, "bits.mu = 9: wanted 2..8", qbnn.quantize, run, 9)
    refuse(ValueError, "bits is `four`", qbnn.quantize, run, "four")
    refuse(ValueError, "a setting is a object", qbnn.train, settings={"train.epochs": object()})
    refuse(ValueError, "exists; give --overwrite", qbnn.quantize, run)
    refuse(FileNotFoundError, "nowhere", qbnn.train, str(tmp_path / "nowhere" / "data.npz"), out=tmp_path / "a")
    refuse(qbnn.Error, "is no run folder", qbnn.Run, tmp_path)
    refuse(qbnn.Error, "is no run folder", qbnn.evaluate, tmp_path)
    refuse(ValueError, "data is a int", qbnn.train, 3)
    refuse(ValueError, "a float is no model", qbnn.evaluate, [1.0])
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    refuse(OSError, "file", qbnn.train, data(), out=tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"y": [0, 1]}, "y is 2, wanted 300: one class for each image of x"),
        ({"y": np.eye(3)[bars(300, 1)[1]]}, "argmax"),
        ({"y": bars(300, 1)[1] - 1}, "holds -1, wanted classes counted from 0"),
        ({"y": bars(300, 1)[1] + 0.5}, "no integers"),
        ({"y": bars(300, 1)[1] + 1}, "class 3, and class_names names 3"),
        ({"x": bars(300, 1)[0].reshape(300, 64)}, "wanted images: N x rows x columns"),
        ({"x_val": None}, "x_val and y_val belong together"),
        ({"x_test": bars(60, 1)[0][:, :7]}, "x_test is 60 x 7 x 8"),
        ({"groups": {"far": checks(3, 1)}}, "has no role"),
        ({"groups": {"ood:a b": checks(3, 1)}}, "no usable name"),
        ({"groups": {"ood": (checks(3, 1), [0, 1, 2])}}, "the images alone"),
        ({"groups": {"shifted:noisy": checks(3, 1)}}, "give a pair of images and labels"),
        ({"groups": {"ood:one": checks(3, 1), "shifted:one": (checks(3, 1), [0, 1, 2])}}, "two groups are called one"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        qbnn.train(data(**change), network=SMALL, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_evaluation_of_models_on_other_data(run, tmp_path):
    before = (run.path / "metrics.json").read_bytes()
    x, y = bars(60, 7)
    more = {"ood:checks": checks(30, 8), "shifted:dark": (x // 2, y), "ambiguous:mixed": (x // 2 + x[::-1] // 2, np.full((60, 3), 1 / 3))}
    metrics = qbnn.evaluate(run.model(), data=data(groups=more, name="other"), samples=4, bootstrap=10, out=tmp_path / "m.json", settings={"eval.draw_seeds": 1})
    assert metrics["dataset"] == "other" and [m["name"] for m in metrics["models"]] == ["jq-mu4s2w8a4"]
    assert json.loads((tmp_path / "m.json").read_text()) == metrics
    assert (run.path / "metrics.json").read_bytes() == before
    with pytest.raises(ValueError, match="labels and groups belong to probabilities"):
        qbnn.evaluate(run, labels=[1])


def test_evaluation_and_report_of_probabilities(run, tmp_path):
    x, y = bars(60, 3)
    unknown = checks(40, 4)
    found = run.model().predict(np.concatenate([x, unknown]), samples=8, seed=1, draws=True)
    labels, groups = np.concatenate([y, -np.ones(40, dtype=int)]), ["clean"] * 60 + ["ood:checks"] * 40
    metrics = qbnn.evaluate(found, labels=labels, groups=groups, bootstrap=0, name="mine")
    own = run.metrics["models"][1]
    entry = metrics["models"][0]
    assert entry["name"] == "mine"
    assert figure(metrics, 0, "accuracy") == figure(run.metrics, 1, "accuracy")
    # Draws in single precision, of the seed of the run.
    key = "auroc_epistemic_ood_vs_clean"
    assert abs(figure(metrics, 0, key) - figure(run.metrics, 1, key)) < 1e-3, own[key]
    page = qbnn.report(found, labels=labels, groups=groups, images=np.concatenate([x, unknown]), out=tmp_path / "p.html", name="mine", bootstrap=10)
    assert page == tmp_path / "p.html" and "mine" in page.read_text()
    with pytest.raises(ValueError, match="labels are missing"):
        qbnn.evaluate(found.probs)
    with pytest.raises(ValueError, match="mine: .*labels") as caught:
        qbnn.evaluate(found.probs, labels=labels[:5], name="mine")
    assert "/tmp" not in str(caught.value)


def test_reports_of_runs(run, own_run, tmp_path):
    page = own_run.report(title="Bars, mine")
    assert page == own_run.path / "report.html" and "Bars, mine" in page.read_text()
    both = qbnn.report([run, own_run], out=tmp_path / "both.html")
    assert both.is_file()
    with pytest.raises(ValueError, match="would overwrite"):
        qbnn.report(own_run, out=own_run.path / "metrics.json")
    with pytest.raises(ValueError, match="not both"):
        qbnn.report([run.path, "x.npz"])


def softplus_inverse(sigma: np.ndarray) -> np.ndarray:
    return np.log(np.expm1(sigma))


def test_an_export_is_the_command_lines(run, cli, tmp_path):
    cli("export", run.path, "--out", tmp_path / "a.npz")
    qbnn.export_posterior(run, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with pytest.raises(qbnn.Error, match="is no checkpoint"):
        qbnn.export_posterior(run.path / "float.qbnn", tmp_path / "c.npz")


def test_import_of_arrays_and_of_a_state_dict(run, tmp_path):
    qbnn.export_posterior(run, tmp_path / "posterior.npz")
    with np.load(tmp_path / "posterior.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "qbnn_posterior"}
    pixels = run.config["data"]
    with pytest.raises(ValueError, match="--mean"):
        qbnn.import_posterior(arrays, data=data(), network=SMALL, out=tmp_path / "a")
    record = qbnn.import_posterior(tmp_path / "posterior.npz", data=data(), dry_run=True)
    mean, std = record["normalisation"]["mean"], record["normalisation"]["std"]
    assert pixels["name"] == "bars" and len(record["layers"]) == 2
    x = bars(30, 9)[0]
    wanted = run.model("float").predict(x, samples=4)
    of_arrays = qbnn.import_posterior(arrays, data=data(), network=SMALL, mean=mean, std=std, out=tmp_path / "a")
    assert (of_arrays.model("float").predict(x, samples=4).probs == wanted.probs).all()
    # As Bayesian-Torch names it, with what it stores.
    state = {}
    for i, layer in enumerate(sorted({name.split(".")[0] for name in arrays})):
        state[f"{i}.mu_weight"] = arrays[f"{layer}.weight.mu"]
        state[f"{i}.rho_weight"] = softplus_inverse(arrays[f"{layer}.weight.sigma"].astype(np.float64)).astype(np.float32)
        state[f"{i}.mu_bias"] = arrays[f"{layer}.bias.mu"]
        state[f"{i}.rho_bias"] = softplus_inverse(arrays[f"{layer}.bias.sigma"].astype(np.float64)).astype(np.float32)

    class Net:
        def state_dict(self):
            return state

    imported = qbnn.import_posterior(Net(), data=data(), network="auto", mean=mean, std=std, prior_sigma=1.0, out=tmp_path / "b")
    found = imported.model("float").predict(x, samples=4)
    assert np.allclose(found.probs, wanted.probs, atol=1e-3)
    assert json.loads((imported.path / "import.json").read_text())["family"] == "bayesian-torch"
    small = imported.quantize(4, qat_epochs=0)
    assert small.info["kind"] == "jq" and small.path.stat().st_size < imported.model("float").path.stat().st_size
    with pytest.raises(ValueError, match="images and logits belong together"):
        qbnn.import_posterior(arrays, data=data(), network=SMALL, images=x)
    with pytest.raises(ValueError, match="library"):
        qbnn.import_posterior(arrays, data=data(), network=SMALL, library="pyre")
    with pytest.raises(ValueError, match="dictionary of its own"):
        qbnn.import_posterior({"net": state}, data=data(), network=SMALL)


def test_a_network_that_is_not_its_source_is_refused(run, tmp_path):
    qbnn.export_posterior(run, tmp_path / "posterior.npz")
    x = bars(30, 9)[0]
    record = qbnn.import_posterior(tmp_path / "posterior.npz", data=data(), dry_run=True)
    with np.load(tmp_path / "posterior.npz") as file:
        layers = sorted({name.split(".")[0] for name in file.files if name.endswith(".mu")})
        w = [file[f"{layer}.{what}.mu"] for layer in layers for what in ("weight", "bias")]
    inputs = (x.reshape(30, -1) / 255 - record["normalisation"]["mean"]) / record["normalisation"]["std"]
    logits = np.maximum(inputs @ w[0].T + w[1], 0) @ w[2].T + w[3]
    again = qbnn.import_posterior(tmp_path / "posterior.npz", data=data(), images=x, logits=logits, dry_run=True)
    assert again["check"]["images"] == 30
    with pytest.raises(qbnn.Error, match="is not its source"):
        qbnn.import_posterior(tmp_path / "posterior.npz", data=data(), images=x, logits=-logits, dry_run=True)


def test_a_forked_process_is_told(run):
    """Threads do not survive a fork: to wait for them would never end."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    code = f"""
        import os, sys, numpy as np, qbnn
        model = qbnn.Model.load({str(run.path)!r}, "float")
        x = np.zeros((1, 8, 8), dtype=np.uint8)
        model.predict(x)
        if os.fork() == 0:
            try:
                model.predict(x)
            except RuntimeError as error:
                os._exit(7 if "spawn" in str(error) else 1)
            os._exit(1)
        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=60)
    assert done.returncode == 7


def test_work_does_not_hold_the_lock(tmp_path):
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    qbnn.train(data(), network=SMALL, epochs=5, batch=50, out=tmp_path / "run")
    stop.set()
    thread.join()
    assert counted[0] > 5
