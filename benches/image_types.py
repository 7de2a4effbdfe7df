"""Fits the rules that tell types of pictures apart to what the bench `image_types` measured.

    python benches/text_pages.py PAGES
    cargo bench --bench image_types -- PHOTOS... LOGOS --text benches/text_logos.txt --pages PAGES --csv types.csv
    pip install numpy==2.3.5 scikit-learn==1.9.1
    python benches/image_types.py types.csv

Prints, for pictures that the rules were not fitted to, which types they get, and how often a type is right at each
confidence. There are five folds; all versions of a photograph or drawing, and all pages of one template, are in the
same one. Then prints the table for crates/imgidx-media/src/features/kind.rs.
"""

import csv
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

TYPES = ["photo", "gradient", "text", "simple"]
# Weights: fewer drawings have gradients than not, and gradients without a drawing are all alike.
WEIGHTS = {("gradient", "plain"): 1.5, ("gradient", "jpeg"): 1.5, ("gradient", "bare"): 0.75}
FOLDS = 5


def fitted(terms, truth, weights):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=3, max_iter=3000))
    return model.fit(terms, truth, logisticregression__sample_weight=weights)


def unseen(terms, truth, weights, groups):
    """The probabilities of each type by a fit without the group."""
    result = np.zeros((len(truth), len(TYPES)))
    for fit, rest in GroupKFold(FOLDS).split(terms, truth, groups):
        model = fitted(terms[fit], truth[fit], weights[fit])
        result[np.ix_(rest, [TYPES.index(kind) for kind in model.classes_])] = model.predict_proba(terms[rest])
    return result


def confusion(truth, variant, said):
    print(f"{'is':>9} {'variant':>10} {'number':>7} " + " ".join(f"{kind:>9}" for kind in TYPES))
    for kind, of in sorted(set(zip(truth, variant))):
        there = (truth == kind) & (variant == of)
        print(f"{kind:>9} {of:>10} {there.sum():7} " + " ".join(f"{np.mean(said[there] == other):9.3f}" for other in TYPES))


def reliability(confidence, right):
    error = 0
    print(f"{'confidence':>12} {'number':>7} {'mean':>6} {'right':>6}")
    for low in np.arange(0, 1, 0.1):
        there = (confidence > low) & (confidence <= low + 0.1)
        if there.any():
            mean, share = confidence[there].mean(), right[there].mean()
            error += there.mean() * abs(mean - share)
            print(f"{low:6.1f} to {low + 0.1:.1f} {there.sum():6} {mean:6.3f} {share:6.3f}")
    print(f"expected calibration error {error:.3f}")


def table(model, names):
    """Weights of the terms as they are measured, with the flat drawing at 0."""
    scaler, regression = model
    weights = regression.coef_ / scaler.scale_
    biases = regression.intercept_ - weights @ scaler.mean_
    rows = {kind: at for at, kind in enumerate(regression.classes_)}
    flat = rows["simple"]
    print(", ".join(names))
    for kind in TYPES[:3]:
        shown = ", ".join(f"{weight:.3f}" for weight in weights[rows[kind]] - weights[flat])
        print(f"(ImageType::{kind.capitalize()}, {biases[rows[kind]] - biases[flat]:.3f}, [{shown}]),")


def main(path):
    rows = list(csv.DictReader(open(path)))
    names = [name for name in rows[0] if name not in ("name", "variant", "side", "truth")]
    terms = np.array([[float(row[name]) for name in names] for row in rows])
    truth, variant, groups = (np.array([row[name] for row in rows]) for name in ("truth", "variant", "name"))
    weights = np.array([WEIGHTS.get(pair, 1.0) for pair in zip(truth, variant)])
    probability = unseen(terms, truth, weights, groups)
    said = np.array(TYPES)[probability.argmax(1)]
    confusion(truth, variant, said)
    reliability(probability.max(1), said == truth)
    table(fitted(terms, truth, weights), names)


if __name__ == "__main__":
    main(sys.argv[1])
