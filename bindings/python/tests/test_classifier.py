"""The classifier: scikit-learn's protocol where that is there, and without it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import bars, checks

import qbnn

FAST = {"epochs": 2, "qat_epochs": 0, "samples": 8}


def classifier(**more: object) -> qbnn.BayesianClassifier:
    return qbnn.BayesianClassifier(**{"network": "mlp", **FAST, **more})


@pytest.fixture(scope="module")
def fitted() -> qbnn.BayesianClassifier:
    x, y = bars(300, 1)
    return classifier().fit(x, np.array(["left", "middle", "right"])[y])


def test_images_in_labels_and_uncertainty_out(fitted):
    x, y = bars(60, 2)
    assert list(fitted.classes_) == ["left", "middle", "right"]
    assert (fitted.predict(x) == np.array(["left", "middle", "right"])[y]).mean() > 0.9
    assert fitted.score(x, np.array(["left", "middle", "right"])[y]) > 0.9
    probs = fitted.predict_proba(x)
    assert probs.shape == (60, 3) and np.allclose(probs.sum(axis=1), 1, atol=1e-12)
    found = fitted.uncertainty(x)
    assert found.backend.startswith("integer (") and (found.probs.argmax(axis=1) == found.label).all()
    assert fitted.uncertainty(checks(60, 3)).total.mean() > found.total.mean()
    assert fitted.model_.info["bits"]["mu"] == 4


def test_the_same_seed_is_the_same_model(fitted):
    x, y = bars(300, 1)
    names = np.array(["left", "middle", "right"])[y]
    again, other = classifier().fit(x, names), classifier(random_state=5).fit(x, names)
    assert (again.predict_proba(x) == fitted.predict_proba(x)).all()
    assert (other.predict_proba(x) != fitted.predict_proba(x)).any()


def test_images_as_rows(fitted):
    x, y = bars(300, 1)
    rows = classifier(image_shape=(8, 8)).fit(x.reshape(300, -1), np.array(["left", "middle", "right"])[y])
    assert (rows.predict_proba(x.reshape(300, -1)) == fitted.predict_proba(x)).all()
    with pytest.raises(ValueError, match="image_shape is \\(7, 8\\)"):
        classifier(image_shape=(7, 8)).fit(x.reshape(300, -1), y)


def test_rows_of_numbers():
    random = np.random.default_rng(1)
    y = np.arange(200) % 2
    x = random.normal(size=(200, 3)) + 4 * y[:, None] * np.array([1.0, -1.0, 0.0])
    fitted = classifier().fit(x, y)
    assert fitted.score(x, y) > 0.95 and fitted.n_features_in_ == 3
    # Levels are of the fit, so that an input is the same in any company.
    assert (fitted.predict_proba(x[:5]) == fitted.predict_proba(x)[:5]).all()


def test_in_float_and_other_widths():
    x, y = bars(150, 1)
    assert classifier(bits=None).fit(x, y).model_.info["kind"] == "float"
    assert classifier(bits=3).fit(x, y).model_.info["bits"]["sigma"] == 3


def test_saved_and_loaded(fitted, tmp_path):
    x = bars(20, 2)[0]
    fitted.save(tmp_path / "bars.npz")
    again = qbnn.BayesianClassifier.load(tmp_path / "bars.npz")
    assert (again.predict(x) == fitted.predict(x)).all() and (again.predict_proba(x) == fitted.predict_proba(x)).all()
    assert again.get_params() == fitted.get_params()
    rows = np.random.default_rng(1).normal(size=(60, 3))
    table = classifier().fit(rows, np.arange(60) % 2)
    table.save(tmp_path / "rows.npz")
    assert (qbnn.BayesianClassifier.load(tmp_path / "rows.npz").predict_proba(rows) == table.predict_proba(rows)).all()
    assert (pickle.loads(pickle.dumps(fitted)).predict_proba(x) == fitted.predict_proba(x)).all()
    fitted.model_.save(tmp_path / "bars.qbnn")
    assert (qbnn.Model.load(tmp_path / "bars.qbnn").predict(x, samples=8).probs == fitted.uncertainty(x).probs).all()
    np.savez(tmp_path / "other.npz", a=1)
    (tmp_path / "text.npz").write_text("no")
    for name, kind in (("other.npz", qbnn.Error), ("text.npz", qbnn.Error), ("none.npz", FileNotFoundError)):
        with pytest.raises(kind):
            qbnn.BayesianClassifier.load(tmp_path / name)
    with pytest.raises(ValueError, match="not fitted"):
        classifier().save(tmp_path / "x.npz")


def test_mistakes():
    x, y = bars(60, 1)
    with pytest.raises(ValueError, match="class"):
        classifier().fit(x, np.zeros(60, dtype=int))
    with pytest.raises(ValueError, match="wanted an integer from 1"):
        classifier(samples=0).fit(x, y)
    with pytest.raises(ValueError, match="validation_fraction"):
        classifier(validation_fraction=1.0).fit(x, y)
    with pytest.raises(ValueError, match="unknown network"):
        classifier(network="resnet").fit(x, y)
    with pytest.raises(ValueError, match="not fitted"):
        classifier().predict(x)


def test_cross_validation_and_search():
    selection = pytest.importorskip("sklearn.model_selection", reason="LEFT OUT: scikit-learn is not installed")
    x, y = bars(150, 1)
    scores = selection.cross_val_score(classifier(), x.reshape(150, -1), y, cv=3)
    assert scores.shape == (3,) and scores.min() > 0.8
    search = selection.GridSearchCV(classifier(), {"bits": [4, "w8a8"]}, cv=2, scoring="neg_log_loss").fit(x.reshape(150, -1), y)
    assert search.best_params_["bits"] in (4, "w8a8")


#: Checks of scikit-learn that do not apply, each with the reason: none.
DO_NOT_APPLY: dict[str, str] = {}


def test_the_checks_of_scikit_learn():
    checks_of = pytest.importorskip("sklearn.utils.estimator_checks", reason="LEFT OUT: scikit-learn is not installed")
    estimator = qbnn.BayesianClassifier(epochs=8, qat_epochs=0, samples=16)
    results = checks_of.check_estimator(estimator, on_fail=None, on_skip=None, expected_failed_checks=DO_NOT_APPLY)
    failed = {r["check_name"]: repr(r["exception"])[:300] for r in results if r["status"] == "failed"}
    assert failed == {}
    # What does not apply fails; a check that has come to pass is taken off the list.
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(DO_NOT_APPLY)
    assert sum(r["status"] == "passed" for r in results) > 40


def test_without_scikit_learn():
    """The package is whole without it: the protocol is then its own."""
    code = """
        import sys
        sys.modules["sklearn"] = None
        import numpy as np, qbnn
        model = qbnn.BayesianClassifier(epochs=1, samples=4, qat_epochs=0)
        assert "epochs=1" in repr(model) and model.get_params()["samples"] == 4
        assert model.set_params(samples=5) is model and model.samples == 5
        try:
            model.set_params(sample=5)
        except ValueError as error:
            assert "sample is no parameter" in str(error)
        x = np.random.default_rng(1).integers(0, 255, size=(60, 4, 4)).astype(np.uint8)
        y = np.arange(60) % 2
        assert 0 <= model.fit(x, y).score(x, y) <= 1
        for wrong in (x[:, :2], x.reshape(60, -1)[0]):
            try:
                model.predict(wrong)
            except ValueError:
                continue
            raise SystemExit("not refused")
        try:
            qbnn.BayesianClassifier().predict(x)
        except ValueError as error:
            assert "not fitted" in str(error)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=120).returncode == 0


def test_the_package_imports_neither_scikit_learn_nor_tensors():
    code = "import sys, qbnn; assert not {'sklearn', 'torch', 'ray', 'tqdm'} & set(sys.modules), sys.modules.keys()"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
