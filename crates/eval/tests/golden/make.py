"""Makes the golden values of this folder with other people's implementations of the metrics.

    python make.py            (needs numpy, scipy, scikit-learn >= 1.7, mpmath)

AUROC, average precision, FPR95 (from `roc_curve`), log loss, Brier score and accuracy come from scikit-learn, rank
correlations and entropies from scipy; the ECE is written out below and, where torchmetrics can be imported, checked against
its `multiclass_calibration_error(n_bins=15, norm="l1")`. The AURC is its definition with the expected risk where a tie is cut,
checked against the mean over random orders; the AUGRC is the trapezoid (scikit-learn's `auc`) over the points that Traub et
al. (arXiv 2407.01032) and their `fd-shifts` take, checked against the closed form in the error AUROC. Probabilities are whole
multiples of 1/256, so that f32 holds them exactly and ties are common. `confident.json` comes from mpmath with 60 digits
instead: probabilities of logits far apart, whose uncertainties lie far below what a subtraction in double precision leaves.
"""

import json
import pathlib

import mpmath
import numpy as np
import scipy
import sklearn
from scipy.special import logsumexp
from scipy.stats import entropy, rankdata, spearmanr
from sklearn.metrics import accuracy_score, auc, average_precision_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

HERE = pathlib.Path(__file__).parent
PARTS = 256
rng = np.random.default_rng(20251211)
# Of its own, so that it moves no other case.
rng_ties = np.random.default_rng(20261127)


def draws(samples, inputs, classes, sharpness, spread):
    """Counts out of PARTS, shaped [S][N][C]: Dirichlet draws around one centre per input."""
    centre = rng.dirichlet(np.full(classes, sharpness), size=inputs)
    rows = [[rng.multinomial(PARTS, rng.dirichlet(c * spread + 1e-3)) for c in centre] for _ in range(samples)]
    return np.array(rows)


def auroc(positives, negatives):
    truth = np.r_[np.ones(len(positives)), np.zeros(len(negatives))]
    return float(roc_auc_score(truth, np.r_[positives, negatives]))


def detection(positives, negatives):
    """AUROC, average precision, and the first false positive rate at which the true positive rate is 95 % or more."""
    truth, values = np.r_[np.ones(len(positives)), np.zeros(len(negatives))], np.r_[positives, negatives]
    false, true, _ = roc_curve(truth, values, drop_intermediate=False)
    return {
        "auroc": auroc(positives, negatives),
        "aupr": float(average_precision_score(truth, values)),
        "fpr95": float(false[np.argmax(true >= 0.95)]),
    }


def risk(uncertainty, wrong):
    """Error AUROC, AURC and AUGRC; no order of ties is better than another."""
    n, errors = len(wrong), float(wrong.sum())
    # The risk at k inputs is (errors surely among them + expected errors of the ties that are cut) / k, by the ties' share.
    values = []
    for k in range(1, n + 1):
        limit = np.sort(uncertainty)[k - 1]
        below, tied = uncertainty < limit, uncertainty == limit
        values.append((wrong[below].sum() + wrong[tied].mean() * (k - below.sum())) / k)
    aurc = float(np.mean(values))
    if n <= 40:
        shuffles = [rng_ties.permutation(n) for _ in range(4000)]
        runs = [np.mean(np.cumsum(wrong[o][np.argsort(uncertainty[o], kind="stable")]) / np.arange(1, n + 1)) for o in shuffles]
        assert abs(np.mean(runs) - aurc) < 6 * np.std(runs) / np.sqrt(len(runs)) + 1e-12, (np.mean(runs), aurc)
    levels = np.unique(uncertainty)
    coverage = [0.0] + [float((uncertainty <= t).mean()) for t in levels]
    generalized = [0.0] + [float((wrong & (uncertainty <= t)).mean()) for t in levels]
    augrc, rate = float(auc(coverage, generalized)), errors / n
    of_errors = auroc(uncertainty[wrong], uncertainty[~wrong]) if 0 < errors < n else None
    if of_errors is not None:
        assert abs(augrc - ((1 - of_errors) * rate * (1 - rate) + rate**2 / 2)) < 1e-12
    return {"error_auroc": of_errors, "aurc": aurc, "augrc": augrc}


def ece15(mean, labels):
    """Sum over bins (lo, hi] of (share of inputs) * |accuracy - mean confidence|."""
    confidence, hit = mean.max(axis=1), mean.argmax(axis=1) == labels
    edges = np.linspace(0.0, 1.0, 16)
    value = 0.0
    for lo, hi in zip(edges[:-1], edges[1:]):
        inside = (confidence > lo) & (confidence <= hi)
        if inside.any():
            value += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    check_with_torchmetrics(mean, labels, value)
    return float(value)


def check_with_torchmetrics(mean, labels, value):
    try:
        import torch
        from torchmetrics.functional.classification import multiclass_calibration_error
    except ImportError:
        print("torchmetrics not found: ECE from numpy alone")
        return
    other = multiclass_calibration_error(
        torch.tensor(mean, dtype=torch.float64), torch.tensor(labels), num_classes=mean.shape[1], n_bins=15, norm="l1"
    )
    assert abs(float(other) - value) < 1e-6, (float(other), value)
    print(f"ECE {value:.9f} agrees with torchmetrics {float(other):.9f}")


def split(counts):
    """Mean prediction and total, aleatoric, epistemic uncertainty per input."""
    p = counts / PARTS
    mean = p.mean(axis=0)
    total, aleatoric = entropy(mean, axis=1), entropy(p, axis=2).mean(axis=0)
    # The mutual information as the mean divergence from the mean: another formula than the library's.
    divergence = entropy(p, np.broadcast_to(mean, p.shape), axis=2).mean(axis=0)
    assert np.allclose(divergence, total - aleatoric, atol=1e-12)
    return mean, total, aleatoric, divergence


def share(epistemic, total):
    """Epistemic over total; 0 where there is no doubt, or where what is left of it is rounding."""
    doubted = epistemic > 1e-13
    return np.divide(epistemic, total, out=np.zeros_like(total), where=doubted)


def energies_of(counts):
    """An energy for each draw and input, in parts of 64: what a softmax takes away, so any number will do."""
    return rng_ties.integers(-640, 64, counts.shape[:2])


def of_logits(counts, energies):
    """Mean energy and mean variance of the logits; what was divided by PARTS to 0 counts as the least number above it."""
    energies = energies / 64
    logits = np.log(np.maximum(counts / PARTS, 5e-324)) - energies[:, :, None]
    assert np.allclose(logsumexp(logits, axis=2), -energies)
    relative = lambda values: np.array([float(f"{v:.11g}") for v in values])
    return {"energy": energies.mean(axis=0), "logit_disagreement": relative(np.var(logits, axis=0).mean(axis=1))}


def scores(counts, energies):
    """Every score of every input; rounded so far that what is equal ties, whatever the order of its sums."""
    mean, total, aleatoric, epistemic = split(counts)
    named = {
        "total": total,
        "aleatoric": aleatoric,
        "epistemic": np.where(epistemic > 1e-13, epistemic, 0.0),
        "share": share(epistemic, total),
        "max_probability": 1.0 - mean.max(axis=1),
    }
    return {name: np.round(values, 11) for name, values in named.items()} | of_logits(counts, energies)


def detections(clean, ambiguous, ood):
    """Every score against the same negatives."""
    out = {}
    for name in clean:
        c, a, o = clean[name], ambiguous[name], ood[name]
        for contrast, positives, negatives in (
            ("ood_vs_clean", o, c),
            ("ood_vs_clean_ambiguous", o, np.r_[c, a]),
            ("ambiguous_vs_clean", a, c),
        ):
            out |= {f"{metric}_{name}_{contrast}": v for metric, v in detection(positives, negatives).items()}
    return out


def risks(clean, wrong):
    return {f"{metric}_{name}": v for name in clean for metric, v in risk(clean[name], wrong).items()}


def evaluation():
    samples, classes = 4, 3
    clean = draws(samples, 60, classes, 0.25, 60.0)
    ambiguous = draws(samples, 30, classes, 1.5, 60.0)
    ood = draws(samples, 40, classes, 0.7, 2.0)
    soft = np.array([rng.multinomial(PARTS, m) for m in ambiguous.mean(axis=0) / PARTS * 0.7 + 0.1])
    (m_c, t_c, a_c, e_c), (_, t_a, a_a, e_a), (_, t_o, a_o, e_o) = map(split, (clean, ambiguous, ood))
    labels = np.array([rng.choice(classes, p=m) for m in m_c * 0.9 + 0.1 / 3])
    truth = m_c[np.arange(len(labels)), labels]
    energies = {"clean": energies_of(clean), "ambiguous": energies_of(ambiguous), "ood": energies_of(ood)}
    of = {"clean": clean, "ambiguous": ambiguous, "ood": ood}
    scored = {name: scores(counts, energies[name]) for name, counts in of.items()}
    assert truth.min() > 1e-9, "a clipped probability would test the clip and not the metric"
    return {
        "samples": samples,
        "classes": classes,
        "parts": PARTS,
        "clean": clean.ravel().tolist(),
        "labels": labels.tolist(),
        "ambiguous": ambiguous.ravel().tolist(),
        "soft_labels": soft.ravel().tolist(),
        "ood": ood.ravel().tolist(),
        "energies": {name: values.ravel().tolist() for name, values in energies.items()},
        "expected": {
            "accuracy": float(accuracy_score(labels, m_c.argmax(axis=1))),
            "nll": float(log_loss(labels, m_c, labels=range(classes))),
            "brier": float(brier_score_loss(labels, m_c, labels=range(classes), scale_by_half=False)),
            "ece": ece15(m_c, labels),
            **detections(scored["clean"], scored["ambiguous"], scored["ood"]),
            **risks(scored["clean"], m_c.argmax(axis=1) != labels),
            "spearman_aleatoric_epistemic": float(
                spearmanr(np.round(np.r_[a_c, a_a], 11), np.round(np.r_[e_c, e_a], 11)).statistic
            ),
            "spearman_aleatoric_soft_label": float(spearmanr(a_a, entropy(soft, axis=1)).statistic),
        },
        "means": {
            name: {"total": float(t.mean()), "aleatoric": float(a.mean()), "epistemic": float(e.mean())}
            for name, t, a, e in (("clean", t_c, a_c, e_c), ("ambiguous", t_a, a_a, e_a), ("ood", t_o, a_o, e_o))
        },
    }


def calibration_case(inputs, classes, sharpness, certain):
    """Mean predictions as counts, some of them fully certain (right or wrong by 255 to 256 parts)."""
    counts = draws(1, inputs, classes, sharpness, 40.0)[0]
    counts[:certain] = 0
    counts[np.arange(certain), rng.integers(classes, size=certain)] = PARTS
    mean = counts / PARTS
    labels = np.array([rng.choice(classes, p=m) for m in mean])
    return {
        "classes": classes,
        "parts": PARTS,
        "mean": counts.ravel().tolist(),
        "labels": labels.tolist(),
        "accuracy": float(accuracy_score(labels, mean.argmax(axis=1))),
        "nll": float(log_loss(labels, mean, labels=range(classes))),
        "brier": float(np.mean(((mean - np.eye(classes)[labels]) ** 2).sum(axis=1))),
        "ece": ece15(mean, labels),
    }


def uncertainty_case():
    counts = draws(5, 12, 4, 0.5, 6.0)
    counts[:, 0] = [0, PARTS, 0, 0]
    counts[:, 1] = [64, 64, 64, 64]
    counts[:, 2] = np.eye(4, dtype=int)[[0, 1, 2, 3, 0]] * PARTS
    _, total, aleatoric, epistemic = split(counts)
    return {
        "samples": 5,
        "inputs": 12,
        "classes": 4,
        "parts": PARTS,
        "probs": counts.ravel().tolist(),
        "total": total.tolist(),
        "aleatoric": aleatoric.tolist(),
        "epistemic": epistemic.tolist(),
    }


def confident_case():
    """Softmax rows of logits up to 90 apart, as doubles; uncertainties of exactly these numbers, each row over its sum."""
    mpmath.mp.dps = 60
    samples, inputs, classes = 4, 24, 3
    gap = np.linspace(0.5, 90.0, inputs)
    logits = rng.normal(0.0, 1.0, (samples, inputs, classes))
    logits[:, :, 0] += gap
    logits[:, -1, :] = logits[0, -1, :]
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    probs = powers / powers.sum(axis=2, keepdims=True)
    entropy_of = lambda row: -mpmath.fsum(p * mpmath.log(p) for p in row if p > 0)
    rows = {"rest": [], "total": [], "aleatoric": [], "epistemic": []}
    for i in range(inputs):
        draws = []
        for s in range(samples):
            row = [mpmath.mpf(float(p)) for p in probs[s, i]]
            # The greatest probability has lost its last digits to rounding: what the others leave.
            row[0] = 1 - mpmath.fsum(row[1:]) if row[0] > 0.5 else row[0]
            draws.append([p / mpmath.fsum(row) for p in row])
        mean = [mpmath.fsum(d[c] for d in draws) / samples for c in range(classes)]
        total, aleatoric = entropy_of(mean), mpmath.fsum(map(entropy_of, draws)) / samples
        for name, value in zip(rows, (1 - max(mean), total, aleatoric, total - aleatoric)):
            rows[name].append(float(value))
    return {"samples": samples, "inputs": inputs, "classes": classes, "probs": probs.ravel().tolist(), **rows}


def rank_cases():
    def round_some(values):
        return np.round(values, 1)

    auroc_cases, spearman_cases = [], []
    for name, n_pos, n_neg, change in (
        ("no ties", 20, 25, lambda v: np.round(v, 5)),
        ("many ties", 25, 20, round_some),
        ("three levels", 30, 10, lambda v: np.sign(np.round(v))),
        ("one each", 1, 1, round_some),
        ("all tied", 4, 6, np.zeros_like),
    ):
        positives, negatives = change(rng.normal(0.5, 1.0, n_pos)), change(rng.normal(0.0, 1.0, n_neg))
        case = {"name": name, "positives": positives.tolist(), "negatives": negatives.tolist()}
        auroc_cases.append(case | detection(positives, negatives))
    for name, change in (("no ties", lambda v: np.round(v, 5)), ("many ties", round_some)):
        a = rng.normal(size=30)
        b = change(0.6 * a + rng.normal(size=30))
        a = change(a)
        case = {"name": name, "a": a.tolist(), "b": b.tolist(), "ranks_of_a": rankdata(a).tolist()}
        spearman_cases.append(case | {"spearman": float(spearmanr(a, b).statistic)})
    return {"auroc": auroc_cases, "spearman": spearman_cases, "risk": risk_cases()}


def risk_cases():
    cases = []
    for name, n, share, change in (
        ("no ties", 40, 0.2, lambda v: np.round(v, 5)),
        ("many ties", 40, 0.3, lambda v: np.round(v, 1)),
        ("three levels", 35, 0.2, lambda v: np.sign(np.round(v))),
        ("all tied", 10, 0.4, np.zeros_like),
        ("all right", 6, 0.0, lambda v: np.round(v, 5)),
        ("all wrong", 6, 1.0, lambda v: np.round(v, 5)),
    ):
        wrong = rng_ties.random(n) < share
        uncertainty = change(rng_ties.normal(wrong * 0.8, 1.0))
        cases.append({"name": name, "uncertainty": uncertainty.tolist(), "wrong": wrong.tolist()} | risk(uncertainty, wrong))
    return cases


def write(name, value):
    made_with = f"numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, mpmath {mpmath.__version__}"
    text = json.dumps({"made_with": made_with} | value, separators=(",", ":"))
    (HERE / name).write_text(text + "\n")
    print(name, len(text), "bytes")


write("ranks.json", rank_cases())
write("calibration.json", {"cases": [calibration_case(80, 3, 0.5, 4), calibration_case(60, 10, 0.3, 0)]})
write("uncertainty.json", uncertainty_case())
write("evaluation.json", evaluation())
write("confident.json", confident_case())
