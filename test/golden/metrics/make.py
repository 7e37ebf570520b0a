# Metrics as scikit-learn, scipy, seqeval and statsmodels compute them, of random and of degenerate cases. Writes
# expected.json, inputs included. Where a library raises or gives NaN, the file has null.
import importlib.metadata
import json
import os
import warnings

import numpy as np
import scipy
import scipy.optimize
import scipy.special
import scipy.stats
import sklearn
import sklearn.calibration
import sklearn.metrics as m
import sklearn.preprocessing
import sklearn.utils.class_weight
import statsmodels
import statsmodels.stats.contingency_tables
import statsmodels.stats.multitest
import statsmodels.stats.proportion
from seqeval.metrics import sequence_labeling, v1
from seqeval import scheme as schemes

warnings.simplefilter("ignore")
np.seterr(all="ignore")
random = np.random.default_rng(18)


def plain(value):
    """As JSON has it; null for what is not finite."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def attempt(compute):
    try:
        return plain(compute())
    except (ValueError, ZeroDivisionError, TypeError, IndexError):
        return None


# One label an example.


def draw_probabilities(rows, classes, digits=4, sharp=1.0):
    """Rows that sum to 1, in decimals, so that both languages read the same numbers."""
    scale = 10**digits
    draws = np.sort(random.integers(0, scale + 1, (rows, classes - 1)), axis=1)
    parts = np.diff(np.concatenate([np.zeros((rows, 1)), draws, np.full((rows, 1), scale)], axis=1), axis=1)
    return parts / scale


def towards(truth, probabilities, share):
    """Swaps the largest probability to the label's place in a share of the rows."""
    result = probabilities.copy()
    for row, label in enumerate(truth):
        if random.random() < share:
            best = result[row].argmax()
            result[row, [best, label]] = result[row, [label, best]]
    return result


def one_hot(labels, classes):
    return np.eye(classes)[np.asarray(labels, dtype=int)]


def class_cases():
    for classes, rows, digits in [(2, 60, 4), (2, 60, 1), (3, 50, 4), (3, 40, 1), (5, 60, 4), (12, 150, 4)]:
        truth = random.integers(0, classes, rows)
        yield f"{classes} classes, {rows} rows, {digits} digits", classes, truth, towards(
            truth, draw_probabilities(rows, classes, digits), 0.5
        )
    truth = random.choice([0, 2, 3], 40)
    yield "class 1 never in the truth", 4, truth, towards(truth, draw_probabilities(40, 4), 0.4)
    truth = random.integers(0, 3, 30)
    probabilities = towards(truth, draw_probabilities(30, 3), 0.4)
    probabilities[:, 0] = np.minimum(probabilities[:, 0], 0.1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    yield "class 0 never predicted", 3, truth, probabilities.round(6)
    truth = random.integers(0, 2, 20)
    yield "class 2 in neither", 3, truth, np.concatenate(
        [towards(truth, draw_probabilities(20, 2), 0.5), np.zeros((20, 1))], axis=1
    )
    for classes in (2, 3):
        truth = random.integers(0, classes, 20)
        yield f"constant predictions of {classes}", classes, truth, np.tile(draw_probabilities(1, classes), (20, 1))
        yield f"one class of {classes} only", classes, np.ones(15, int), draw_probabilities(15, classes)
        yield f"one class of {classes}, always right", classes, np.zeros(15, int), one_hot(np.zeros(15), classes)
        yield f"perfect, certain, {classes}", classes, truth, one_hot(truth, classes)
        yield f"always wrong, certain, {classes}", classes, truth, one_hot((truth + 1) % classes, classes)
        yield f"one example of {classes}, right", classes, np.array([1]), one_hot([1], classes)
        yield f"one example of {classes}, wrong", classes, np.array([1]), one_hot([0], classes)
        yield f"no examples of {classes}", classes, np.zeros(0, int), np.zeros((0, classes))
        yield f"all scores equal, {classes}", classes, truth, np.full(
            (20, classes), [0.5, 0.5] if classes == 2 else [0.25, 0.5, 0.25]
        )


def averaged(truth, predicted, average):
    values = m.precision_recall_fscore_support(truth, predicted, average=average)
    return dict(zip(["precision", "recall", "f1"], values[:3]))


def class_metrics(classes, truth, probabilities):
    labels = list(range(classes))
    predicted = probabilities.argmax(axis=1) if len(truth) else np.zeros(0, int)
    binary = [(truth == c).astype(int) for c in labels]
    if classes == 2:
        auc = {
            "roc_auc": attempt(lambda: m.roc_auc_score(truth, probabilities[:, 1])),
            "average_precision": attempt(lambda: m.average_precision_score(truth, probabilities[:, 1])),
        }
        second = attempt(lambda: m.precision_recall_fscore_support(truth, predicted, labels=labels, average=None))
        auc |= {name: second and second[i][1] for i, name in enumerate(["precision", "recall", "f1"])}
    else:
        one = lambda average: m.roc_auc_score(truth, probabilities, multi_class="ovr", average=average, labels=labels)
        truths = lambda: sklearn.preprocessing.label_binarize(truth, classes=labels)
        auc = {
            "roc_auc_macro": attempt(lambda: one("macro")),
            "roc_auc_weighted": attempt(lambda: one("weighted")),
            "average_precision_macro": attempt(
                lambda: m.average_precision_score(truths(), probabilities, average="macro")
            ),
        }
    averages = {
        average: attempt(lambda: averaged(truth, predicted, average)) for average in ("macro", "micro", "weighted")
    }
    return {
        "metrics": {
            "accuracy": attempt(lambda: m.accuracy_score(truth, predicted)),
            **{
                f"{score}_{average}": values and values[score]
                for average, values in averages.items()
                for score in ("f1", "precision", "recall")
            },
            **auc,
            "balanced_accuracy": attempt(lambda: m.balanced_accuracy_score(truth, predicted)),
            "matthews": attempt(lambda: m.matthews_corrcoef(truth, predicted)),
            "log_loss": attempt(lambda: m.log_loss(truth, probabilities, labels=labels)),
            "brier": attempt(lambda: m.brier_score_loss(truth, probabilities, labels=labels)),
        },
        "classes": attempt(lambda: m.precision_recall_fscore_support(truth, predicted, labels=labels, average=None)),
        "rocAucs": [attempt(lambda: m.roc_auc_score(binary[c], probabilities[:, c])) for c in labels],
        "averagePrecisions": [
            attempt(lambda: m.average_precision_score(binary[c], probabilities[:, c])) for c in labels
        ],
        "confusion": attempt(lambda: m.confusion_matrix(truth, predicted, labels=labels)),
    }


# Several labels at once.


def label_cases():
    for labels, rows, digits in [(5, 60, 4), (3, 40, 1), (20, 50, 3)]:
        truth = random.random((rows, labels)) < random.random(labels)
        noise = random.random((rows, labels))
        yield f"{labels} labels, {rows} rows, {digits} digits", truth.astype(int), (0.35 * truth + 0.65 * noise).round(
            digits
        )
    truth = (random.random((30, 4)) < 0.4).astype(int)
    scores = random.random((30, 4)).round(4)
    without, always = truth.copy(), truth.copy()
    without[:, 2], always[:, 1] = 0, 1
    yield "a label that is never there", without, scores
    yield "a label that is always there", always, scores
    low = scores.copy()
    low[:, 0] *= 0.4
    yield "a label that is never predicted", truth, low.round(4)
    both = low.copy()
    both[:, 2] *= 0.4
    yield "a label that is neither there nor predicted", without, both.round(4)
    yield "nothing predicted", truth, (scores * 0.4).round(4)
    yield "nothing there", np.zeros_like(truth), scores
    yield "nothing there, nothing predicted", np.zeros_like(truth), (scores * 0.4).round(4)
    yield "everything there", np.ones_like(truth), scores
    yield "perfect, certain", truth, truth.astype(float)
    yield "always wrong, certain", truth, 1.0 - truth
    yield "all scores equal", truth, np.full(truth.shape, 0.5)
    yield "one example", np.array([[1, 0, 1]]), np.array([[0.9, 0.2, 0.4]])
    yield "no examples", np.zeros((0, 3), int), np.zeros((0, 3))


def label_metrics(truth, probabilities):
    predicted = (probabilities > 0.5).astype(int)
    labels = truth.shape[1]
    averages = {
        average: attempt(lambda: averaged(truth, predicted, average)) for average in ("micro", "macro", "weighted")
    }
    columns = lambda metric: attempt(lambda: np.mean([metric(truth[:, c], probabilities[:, c]) for c in range(labels)]))
    return {
        "metrics": {
            **{
                f"{score}_{average}": values and values[score]
                for average, values in averages.items()
                for score in ("f1", "precision", "recall")
            },
            "subset_accuracy": attempt(lambda: m.accuracy_score(truth, predicted)),
            "hamming_loss": attempt(lambda: m.hamming_loss(truth, predicted)),
            "roc_auc_macro": attempt(lambda: m.roc_auc_score(truth, probabilities, average="macro")),
            "roc_auc_micro": attempt(lambda: m.roc_auc_score(truth, probabilities, average="micro")),
            "average_precision_macro": attempt(
                lambda: m.average_precision_score(truth, probabilities, average="macro")
            ),
            "average_precision_micro": attempt(
                lambda: m.average_precision_score(truth, probabilities, average="micro")
            ),
            "log_loss": columns(lambda y, p: m.log_loss(y, p, labels=[0, 1])),
            "brier": columns(lambda y, p: m.brier_score_loss(y, np.stack([1 - p, p], axis=1), labels=[0, 1])),
        },
        "classes": attempt(lambda: m.precision_recall_fscore_support(truth, predicted, average=None)),
        "rocAucs": [attempt(lambda: m.roc_auc_score(truth[:, c], probabilities[:, c])) for c in range(labels)],
        "averagePrecisions": [
            attempt(lambda: m.average_precision_score(truth[:, c], probabilities[:, c])) for c in range(labels)
        ],
    }


# Numbers.


def number_cases():
    truth = random.normal(size=60).round(4)
    yield "60 rows", truth, (0.7 * truth + random.normal(size=60)).round(4)
    yield "60 rows, falling", truth, (-truth + 0.2 * random.normal(size=60)).round(4)
    yield "far from zero", (truth + 1e6).round(4), (0.5 * truth + 1e6 + random.normal(size=60)).round(4)
    yield "large", truth * 1e12, (truth + random.normal(size=60)).round(4) * 1e12
    ratings = random.integers(1, 6, 80)
    yield "ratings with many ties", ratings, np.clip(ratings + random.integers(-1, 2, 80), 1, 5)
    yield "ties in the truth", ratings, random.normal(size=80).round(4)
    yield "ties in the predictions", random.normal(size=80).round(4), ratings
    yield "constant predictions", truth, np.full(60, 0.3)
    yield "constant truth", np.full(20, 0.5), random.normal(size=20).round(4)
    yield "constant truth, predicted", np.full(20, 0.5), np.full(20, 0.5)
    yield "both constant", np.full(20, 0.5), np.full(20, 1.5)
    yield "perfect", truth, truth
    yield "the same order", truth, np.exp(truth).round(9)
    yield "two examples", np.array([1.0, 2.0]), np.array([5.0, 4.5])
    yield "one example", np.array([1.0]), np.array([1.5])
    yield "no examples", np.zeros(0), np.zeros(0)


def number_metrics(truth, predicted):
    return {
        "mse": attempt(lambda: m.mean_squared_error(truth, predicted)),
        "rmse": attempt(lambda: m.root_mean_squared_error(truth, predicted)),
        "mae": attempt(lambda: m.mean_absolute_error(truth, predicted)),
        "r2": attempt(lambda: m.r2_score(truth, predicted)),
        "pearson": attempt(lambda: scipy.stats.pearsonr(truth, predicted).statistic),
        "spearman": attempt(lambda: scipy.stats.spearmanr(truth, predicted).statistic),
        "kendall": attempt(lambda: scipy.stats.kendalltau(truth, predicted).statistic),
    }


# Named entities.


def tag_cases():
    """Every kind of tags, most of them against their scheme."""

    def sequences(tags, count, longest, weights=None):
        return [
            [str(tag) for tag in random.choice(tags, random.integers(0, longest + 1), p=weights)] for _ in range(count)
        ]

    def noisy(truth, tags, share):
        return [
            [str(random.choice(tags)) if random.random() < share else tag for tag in sequence] for sequence in truth
        ]

    def tags(prefixes, types):
        return ["O"] + [f"{prefix}-{kind}" for prefix in prefixes for kind in types]

    for name, prefixes in [
        ("IOB1", "IB"),
        ("IOB2", "IB"),
        ("IOE1", "IE"),
        ("IOE2", "IE"),
        ("IOBES", "IBES"),
        ("BILOU", "BILU"),
    ]:
        every = tags(prefixes, ["PER", "LOC", "date-time"])
        truth = sequences(every, 30, 12)
        yield f"random tags of {name}", truth, noisy(truth, every, 0.3), name
    iob = tags("BI", ["PER", "LOC"])
    truth = sequences(iob, 20, 10)
    yield "perfect", truth, truth, "IOB2"
    yield "nothing predicted", truth, [["O"] * len(tags) for tags in truth], "IOB2"
    yield "nothing there", [["O"] * len(tags) for tags in truth], truth, "IOB2"
    yield "nothing there, nothing predicted", [["O"] * 5, ["O"]], [["O"] * 5, ["O"]], "IOB2"
    yield "a type that is never predicted", truth, [
        [tag if "LOC" in tag else "O" for tag in tags] for tags in truth
    ], "IOB2"
    yield "tags without types", sequences(["O", "B", "I"], 20, 8), None, "IOB2"
    yield "one token", [["B-PER"]], [["B-PER"]], "IOB2"
    yield "one token, wrong", [["B-PER"]], [["B-LOC"]], "IOB2"
    yield "no tokens", [[]], [[]], "IOB2"
    yield "no sequences", [], [], "IOB2"
    odd = ["O", "B-PER", "I-PER", "X-PER", "PER", "I", "B-", "E-PER", "S-LOC", "I-date-time", ".", ".-PER", "B--LOC"]
    yield "odd tags", sequences(odd, 60, 10), None, None


def tag_metrics(truth, predicted, scheme):
    def scores(average):
        if scheme:
            return v1.precision_recall_fscore_support(
                truth, predicted, average=average, scheme=getattr(schemes, scheme)
            )
        return sequence_labeling.precision_recall_fscore_support(truth, predicted, average=average)

    def types():
        found = sequence_labeling.get_entities
        if not scheme:
            return sorted({kind for tags in (truth, predicted) for kind, _, _ in found(tags)})
        return sorted(
            {
                kind
                for tags in (truth, predicted)
                for kind in schemes.Entities(tags, getattr(schemes, scheme)).unique_tags
            }
        )

    averages = {
        average: attempt(lambda: dict(zip(["precision", "recall", "f1"], scores(average)[:3])))
        for average in ("micro", "macro", "weighted")
    }
    value = lambda average, score: averages[average] and averages[average][score]
    names = ("f1", "precision", "recall")
    return {
        "metrics": {
            **{score: value("micro", score) for score in names},
            **{f"{score}_{average}": value(average, score) for average in ("macro", "weighted") for score in names},
            "accuracy": attempt(lambda: sequence_labeling.accuracy_score(truth, predicted)),
        },
        "types": attempt(types),
        "classes": attempt(lambda: scores(None)),
    }


# Calibration.


def calibration_cases():
    confidence = random.random(399).round(6)
    yield "399 predictions", confidence, random.random(399) < confidence**1.5
    confidence = (1 - 0.2 * random.random(200)).round(6)
    yield "confident ones", confidence, random.random(200) < 0.8
    confidence = np.concatenate([random.integers(0, 11, 97) / 10, [0, 0, 1, 1]])
    yield "on the edges", confidence, random.random(101) < confidence
    yield "one prediction", np.array([0.7]), np.array([True])


def calibration(confidence, right):
    def curve(strategy):
        edges = (
            np.linspace(0, 1, 16) if strategy == "uniform" else np.percentile(confidence, np.linspace(0, 1, 16) * 100)
        )
        bins = np.searchsorted(edges[1:-1], confidence)
        counts = np.bincount(bins, minlength=15)
        accuracies, confidences = sklearn.calibration.calibration_curve(right, confidence, n_bins=15, strategy=strategy)
        filled = counts[counts > 0]
        assert len(filled) == len(accuracies)
        return {
            "counts": counts,
            "accuracy": accuracies,
            "confidence": confidences,
            "error": np.sum(filled * np.abs(accuracies - confidences)) / len(confidence),
        }

    # Quantiles at whole positions or between equal values depend on rounding; 399 distinct values have none of them.
    return plain({"uniform": curve("uniform"), "quantile": curve("quantile") if len(set(confidence)) > 150 else None})


def temperature_cases():
    for classes, rows, sharpness in [
        (2, 80, 0.4),
        (2, 80, 3.0),
        (3, 60, 5.0),
        (10, 60, 0.7),
        (3, 50, 60.0),
        (4, 50, 0.02),
    ]:
        logits = random.normal(size=(rows, classes))
        truth = [random.choice(classes, p=scipy.special.softmax(row)) for row in logits]
        yield f"{classes} classes, {rows} rows, times {sharpness}", np.array(truth), (sharpness * logits).round(4)
    logits = random.normal(size=(60, 3)).round(4)
    yield "worse than chance", logits.argmin(axis=1), logits


def binary_temperature_cases():
    for labels, rows, sharpness in [(4, 40, 3.0), (6, 30, 0.3), (1, 60, 30.0)]:
        logits = random.normal(size=(rows, labels)) - 0.5
        truth = random.random((rows, labels)) < scipy.special.expit(logits)
        yield f"{labels} labels, {rows} rows, times {sharpness}", truth.astype(int), (sharpness * logits).round(4)


def temperature(loss):
    # The minimum over ln T, by Brent's method within the limits that the fit has.
    found = scipy.optimize.minimize_scalar(
        lambda t: loss(np.exp(t)), bounds=(-np.log(1000), np.log(1000)), method="bounded", options={"xatol": 1e-13}
    )
    return plain({"temperature": np.exp(found.x), "before": loss(1.0), "after": found.fun})


def softmax_loss(truth, logits):
    return lambda t: -np.mean(scipy.special.log_softmax(logits / t, axis=1)[np.arange(len(truth)), truth])


def sigmoid_loss(truth, logits):
    return lambda t: np.mean(np.logaddexp(0, np.where(truth == 1, -logits, logits) / t))


# Thresholds.


def threshold_cases():
    for rows, digits, rare in [(80, 4, 0.5), (80, 1, 0.4), (120, 3, 0.06), (40, 2, 0.5)]:
        truth = (random.random(rows) < rare).astype(int)
        yield f"{rows} rows, {digits} digits, {rare}", truth, np.clip(
            0.2 * truth + 0.7 * random.random(rows), 0, 1
        ).round(digits)
    truth = np.array([0, 1, 0, 1, 1, 0])
    yield "perfect", truth, truth * 0.4 + 0.1
    yield "always wrong", truth, 0.9 - 0.6 * truth
    yield "all scores equal", truth, np.full(6, 0.5)
    yield "certain", truth, np.array([0.0, 1, 1, 1, 0, 0])
    yield "two examples", np.array([1, 0]), np.array([0.3, 0.2])


CRITERIA = {
    "f1": m.f1_score,
    "accuracy": m.accuracy_score,
    "balanced_accuracy": m.balanced_accuracy_score,
    "matthews": m.matthews_corrcoef,
    "f1_macro": lambda truth, predicted: m.f1_score(truth, predicted, average="macro", labels=[0, 1]),
}


def thresholds(truth, scores):
    distinct = np.unique(scores)
    between = (distinct[:-1] + distinct[1:]) / 2
    candidates = [distinct[0] / 2 if distinct[0] > 0 else -1e-300, *between, (distinct[-1] + 1) / 2]
    result = {}
    for name, metric in CRITERIA.items():
        values = np.array([metric(truth, (scores > t).astype(int)) for t in candidates])
        best = [t for t, value in zip(candidates, values) if value > values.max() - 1e-12]
        result[name] = {
            "value": values.max(),
            "threshold": min(best, key=lambda t: (round(abs(t - 0.5), 12), t)),
            "atHalf": metric(truth, (scores > 0.5).astype(int)),
        }
    precision, recall, _ = m.precision_recall_curve(truth, scores)
    f1 = np.where(precision + recall > 0, 2 * precision * recall / (precision + recall), 0)
    assert abs(np.nanmax(f1) - result["f1"]["value"]) < 1e-12
    return plain(result)


def class_weight_cases():
    for counts in ([10, 30], [1, 1, 98], [5, 5, 5], [7, 0, 3], [4]):
        yield counts, np.repeat(np.arange(len(counts)), counts)


def balanced(truth):
    present = np.unique(truth)
    return dict(
        zip(present.tolist(), sklearn.utils.class_weight.compute_class_weight("balanced", classes=present, y=truth))
    )


def mcnemar(first, second):
    table = [[50, first], [second, 20]]
    exact = statsmodels.stats.contingency_tables.mcnemar(table, exact=True)
    by_binomial = scipy.stats.binomtest(first, first + second, 0.5).pvalue
    assert abs(exact.pvalue - by_binomial) < 1e-12
    near = statsmodels.stats.contingency_tables.mcnemar(table, exact=False, correction=True)
    return plain(
        {
            "onlyFirst": first,
            "onlySecond": second,
            "exact": exact.pvalue,
            "statistic": near.statistic,
            "approximate": near.pvalue,
        }
    )


def expected():
    yield "versions", {
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "scipy": scipy.__version__,
        "seqeval": importlib.metadata.version("seqeval"),
        "statsmodels": statsmodels.__version__,
    }
    yield "classes", [
        {
            "name": name,
            "classes": classes,
            "truth": truth,
            "probabilities": probabilities.ravel(),
            "expected": class_metrics(classes, np.asarray(truth), probabilities),
        }
        for name, classes, truth, probabilities in class_cases()
    ]
    yield "labels", [
        {
            "name": name,
            "labels": truth.shape[1],
            "truth": truth.ravel(),
            "probabilities": probabilities.ravel(),
            "expected": label_metrics(truth, probabilities),
        }
        for name, truth, probabilities in label_cases()
    ]
    yield "regression", [
        {"name": name, "truth": truth, "predicted": predicted, "expected": number_metrics(truth, predicted)}
        for name, truth, predicted in number_cases()
    ]
    tags = []
    for name, truth, predicted, scheme in tag_cases():
        if predicted is None:
            mixed = sorted({tag for tags in truth for tag in tags})
            predicted = [
                [str(random.choice(mixed)) if random.random() < 0.3 else tag for tag in tags] for tags in truth
            ]
        tags.append(
            {
                "name": name,
                "truth": truth,
                "predicted": predicted,
                "scheme": scheme,
                "lenient": tag_metrics(truth, predicted, None),
                "strict": scheme and tag_metrics(truth, predicted, scheme),
            }
        )
    yield "tokens", tags
    yield "calibration", [
        {
            "name": name,
            "confidence": confidence,
            "right": right.astype(int),
            "expected": calibration(confidence, right.astype(int)),
        }
        for name, confidence, right in calibration_cases()
    ]
    yield "temperature", [
        {
            "name": name,
            "classes": logits.shape[1],
            "truth": truth,
            "logits": logits.ravel(),
            "expected": temperature(softmax_loss(truth, logits)),
        }
        for name, truth, logits in temperature_cases()
    ]
    yield "binaryTemperature", [
        {
            "name": name,
            "truth": truth.ravel(),
            "logits": logits.ravel(),
            "expected": temperature(sigmoid_loss(truth, logits)),
        }
        for name, truth, logits in binary_temperature_cases()
    ]
    yield "thresholds", [
        {"name": name, "truth": truth, "probabilities": scores, "expected": thresholds(truth, scores)}
        for name, truth, scores in threshold_cases()
    ]
    yield "classWeights", [{"counts": counts, "balanced": balanced(truth)} for counts, truth in class_weight_cases()]
    yield "wilson", [
        [k, n, *statsmodels.stats.proportion.proportion_confint(k, n, method="wilson")]
        for k, n in [(0, 10), (10, 10), (1, 1), (7, 10), (23142, 25000), (1, 25000), (50, 100)]
    ]
    yield "mcnemar", [
        mcnemar(*counts)
        for counts in [(0, 1), (3, 3), (0, 30), (12, 5), (40, 61), (5000, 5200), (0, 3000), (700, 20000)]
    ]
    yield "holm", [
        {"p": p, "corrected": statsmodels.stats.multitest.multipletests(p, method="holm")[1]}
        for p in ([0.04], [0.01, 0.04, 0.03, 0.005], [0.5, 0.6, 0.9], [0.001, 0.001, 0.02, 1.0, 0.02])
    ]
    yield "student", [
        [degrees, level, scipy.stats.t.ppf((1 + level) / 2, degrees)]
        for degrees in (1, 2, 3, 4, 5, 9, 10, 29, 1000)
        for level in (0.5, 0.95, 0.999)
    ]
    values = np.sort(random.normal(size=37).round(6))
    yield "quantiles", {
        "sorted": values,
        "at": [0, 0.025, 0.1, 0.25, 0.5, 0.77, 0.975, 1],
        "values": np.quantile(values, [0, 0.025, 0.1, 0.25, 0.5, 0.77, 0.975, 1]),
    }


path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected.json")
with open(path, "w") as file:
    sections = [f"{json.dumps(name)}: {json.dumps(plain(value), separators=(',', ':'))}" for name, value in expected()]
    file.write("{\n" + ",\n".join(sections) + "\n}\n")
print(path, os.path.getsize(path))
