"""Makes `decisions.json`: temperatures, conformal sets and thresholds by other people's implementations.

    python make_decisions.py            (needs numpy, scipy, mapie >= 1.0)

The temperature is the minimum that scipy's bounded search finds on the NLL in 1/T. The LAC quantile and sets come from MAPIE's
`SplitConformalClassifier(conformity_score="lac")`, randomised APS scores from its `"aps"`; the APS sets are those of the code
in Angelopoulos and Bates (arXiv 2107.07511, figure 4): all classes whose sum is at most the quantile. The quantile is the
score of rank ceil((n + 1)(1 - alpha)), as in their text; `numpy.quantile(..., that / n, method="higher")` of their code takes
one rank more, because numpy spaces ranks over n - 1. Thresholds are written out below, by looking at every candidate.
Probabilities are whole parts of 1/256.
"""

import json
import math
import pathlib
import warnings

import numpy as np
from mapie.classification import SplitConformalClassifier
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, ClassifierMixin

HERE = pathlib.Path(__file__).parent
PARTS = 256
rng = np.random.default_rng(20261127)


class Stored(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are its probabilities."""

    def __init__(self, classes=2):
        self.classes = classes

    def fit(self, x, y):
        self.classes_ = np.arange(self.classes)
        self.n_features_in_ = self.classes
        return self

    def predict_proba(self, x):
        return np.asarray(x)

    def predict(self, x):
        return np.asarray(x).argmax(axis=1)


def inputs(n, classes, sharpness):
    """Parts without a zero and without ties within a row, and labels drawn from other probabilities."""
    rows = []
    while len(rows) < n:
        row = 1 + rng.multinomial(PARTS - classes, rng.dirichlet(np.full(classes, sharpness)))
        if len(set(row)) == classes:
            rows.append(row)
    parts = np.array(rows)
    flat = (parts / PARTS) ** 0.6
    labels = np.array([rng.choice(classes, p=row / row.sum()) for row in flat])
    return parts, labels


def temperature(p, labels):
    z = np.log(p)

    def nll(beta):
        scaled = beta * z
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]))

    found = minimize_scalar(nll, bounds=(1 / 64, 64), method="bounded", options={"xatol": 1e-13})
    return {"temperature": 1 / found.x, "nll_before": nll(1.0), "nll_after": found.fun}


def quantile(scores, alpha):
    rank = math.ceil(round((len(scores) + 1) * (1 - alpha), 9))
    return float(np.sort(scores)[rank - 1])


def aps(p):
    order = np.argsort(-p, axis=1, kind="stable")
    sums = np.take_along_axis(p, order, axis=1).cumsum(axis=1)
    return np.take_along_axis(sums, order.argsort(axis=1), axis=1)


def mapie(kind, p, labels, alpha, new):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Stored(p.shape[1]).fit(p, labels)
        conformal = SplitConformalClassifier(
            estimator=model, confidence_level=1 - alpha, conformity_score=kind, prefit=True, random_state=0
        )
        conformal.conformalize(p, labels)
        _, sets = conformal.predict_set(new)
        scores = np.asarray(conformal._mapie_classifier.conformity_scores_).ravel()
    return sets[:, :, 0], scores


def conformal(p, labels, alpha, new):
    own = np.arange(len(labels))
    lac, cumulated = 1 - p, aps(p)
    lac_q, aps_q = quantile(lac[own, labels], alpha), quantile(cumulated[own, labels], alpha)
    lac_sets, scores = mapie("lac", p, labels, alpha, new)
    assert np.allclose(np.sort(scores), np.sort(lac[own, labels])), "MAPIE's LAC scores are others"
    assert (lac_sets == (1 - new <= lac_q + 1e-12)).all(), "MAPIE's LAC sets are others"
    _, scores = mapie("aps", p, labels, alpha, new)
    # MAPIE's scores are the randomised ones: less a uniform share of the label's own probability.
    u = (cumulated[own, labels] - scores) / p[own, labels]
    assert np.allclose(u, np.random.RandomState(0).uniform(size=len(labels))), "MAPIE's APS scores are others"
    classes = lambda mask: [np.flatnonzero(row).tolist() for row in mask]
    return {
        "alpha": alpha,
        "lac": {"quantile": lac_q, "sets": classes(lac_sets)},
        "aps": {"quantile": aps_q, "sets": classes(aps(new) <= aps_q)},
        "randomised": {"share": (1 - u)[:9].tolist(), "scores": scores[:9].tolist()},
    }


def thresholds(p, labels):
    scores, wrong = 1 - p.max(axis=1), p.argmax(axis=1) != labels
    out = []
    for error in [0.2, 0.3, 0.4]:
        fits = [t for t in set(scores) if (wrong[scores <= t].sum() + 1) / ((scores <= t).sum() + 1) <= error]
        out.append({"error": error, "value": max(fits) if fits else None})
    return {"coverage": {"level": 0.8, "value": quantile(scores, 0.2)}, "errors": out}


cases = []
for n, classes, sharpness in [(40, 3, 0.5), (70, 5, 0.4), (100, 7, 0.3)]:
    parts, labels = inputs(n, classes, sharpness)
    new, _ = inputs(12, classes, sharpness)
    p = parts / PARTS
    cases.append(
        {
            "classes": classes,
            "parts": PARTS,
            "mean": parts.ravel().tolist(),
            "labels": labels.tolist(),
            "new": new.ravel().tolist(),
            "temperature": temperature(p, labels),
            "conformal": [conformal(p, labels, alpha, new / PARTS) for alpha in [0.1, 0.2]],
            "thresholds": thresholds(p, labels),
        }
    )
(HERE / "decisions.json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
