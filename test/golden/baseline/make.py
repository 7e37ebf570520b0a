"""Features and linear models of bundled texts by scikit-learn: TF-IDF, naive Bayes, logistic regression, NB-SVM.

    pip install scikit-learn
    python test/golden/baseline/make.py
"""
import csv
import json
import pathlib

import numpy
import scipy
import sklearn
from scipy.optimize import minimize
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

here = pathlib.Path(__file__).parent
bundled = here.parents[2] / "train/node/bundled"


def rows(path, label, count):
    with open(bundled / path, encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))[:count]
    names = sorted({row[label] for row in table})
    return [row["text"] for row in table], [names.index(row[label]) for row in table]


def rounded(values, digits=9):
    """Numbers by feature or by row, short enough for a file."""
    if isinstance(values, dict):
        return {name: rounded(value, digits) for name, value in values.items()}
    array = numpy.asarray(values, dtype=float)
    return json.loads(json.dumps(numpy.round(array, digits).tolist()))


def logistic(x, y, c):
    model = LogisticRegression(C=c, tol=1e-12, max_iter=100_000, solver="lbfgs").fit(x, y)
    return model.coef_, model.intercept_


def squared_hinge(x, y, c):
    """The primal L2-loss SVM with an intercept that has no penalty."""
    signs = 2.0 * numpy.asarray(y) - 1

    def objective(theta):
        missing = numpy.maximum(0, 1 - signs * (x @ theta[:-1] + theta[-1]))
        slopes = -2 * c * signs * missing
        gradient = numpy.append(theta[:-1] + x.T @ slopes, slopes.sum())
        return theta[:-1] @ theta[:-1] / 2 + c * (missing**2).sum(), gradient

    found = minimize(objective, numpy.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B",
                     options={"maxiter": 100_000, "maxfun": 1_000_000, "ftol": 1e-16, "gtol": 1e-10, "maxcor": 50})
    return found.x[:-1], found.x[-1]


def case(path, label, count, ngrams, min_df, tests):
    texts, y = rows(path, label, count)
    y = numpy.asarray(y)
    counter = CountVectorizer(analyzer="word", token_pattern=r"\S+", ngram_range=(1, ngrams), min_df=min_df)
    counts = counter.fit_transform(texts)
    names = counter.get_feature_names_out().tolist()
    tfidf = TfidfTransformer().fit_transform(counts)
    sublinear = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    bayes = MultinomialNB(alpha=0.5).fit(counts, y)
    out = {
        "path": path, "label": label, "count": count, "ngrams": ngrams, "minDocuments": min_df,
        "features": len(names),
        "counts": {name: int(counts[:, j].sum()) for j, name in enumerate(names)},
        "tfidf": [{names[j]: round(float(tfidf[i, j]), 9) for j in tfidf[i].indices} for i in range(8)],
        "sublinear": [{names[j]: round(float(sublinear[i, j]), 9) for j in sublinear[i].indices} for i in range(8)],
        "naiveBayes": {"alpha": 0.5, "logPriors": rounded(bayes.class_log_prior_),
                       "logLikelihoods": {name: rounded(bayes.feature_log_prob_[:, j]) for j, name in enumerate(names)},
                       "logPosteriors": rounded(bayes.predict_log_proba(counts[:20]))},
    }
    coef, intercept = logistic(tfidf, y, 10)
    out["logistic"] = {"c": 10, "weights": {name: rounded(coef[:, j]) for j, name in enumerate(names)},
                       "intercepts": rounded(intercept),
                       "probabilities": rounded(LogisticRegression(C=10, tol=1e-12, max_iter=100_000).fit(tfidf, y).predict_proba(tfidf[:20]))}
    if tests == "binary":
        presence = (counts > 0).astype(float)
        p = 1.0 + numpy.asarray(presence[y == 1].sum(0)).ravel()
        q = 1.0 + numpy.asarray(presence[y == 0].sum(0)).ravel()
        ratio = numpy.log((p / p.sum()) / (q / q.sum()))
        scaled = numpy.asarray(presence.multiply(ratio).todense())
        out["ratios"] = dict(zip(names, rounded(ratio)))
        coef, intercept = logistic(scaled, y, 1)
        out["nbSvm"] = {"c": 1, "weights": dict(zip(names, rounded(coef[0] * ratio))), "intercept": round(float(intercept[0]), 9)}
        weights, intercept = squared_hinge(scaled, y, 0.1)
        out["hinge"] = {"c": 0.1, "weights": dict(zip(names, rounded(weights * ratio))), "intercept": round(float(intercept), 9)}
    return out


if __name__ == "__main__":
    made = {
        "versions": {"scikit-learn": sklearn.__version__, "scipy": scipy.__version__, "numpy": numpy.__version__},
        "reviews": case("reviews/train.csv", "label", 120, 2, 3, "binary"),
        "genres": case("tasks/genres/train.csv", "genre", 160, 1, 4, "several"),
    }
    (here / "expected.json").write_text(json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(made["reviews"]["features"], made["genres"]["features"])
