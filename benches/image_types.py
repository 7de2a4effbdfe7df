"""Fits the rules that tell kinds of pictures apart to what the bench `image_types` measured.

    cargo bench --bench image_types -- PHOTOS... LOGOS --text benches/text_logos.txt --csv types.csv
    pip install scikit-learn==1.9.1
    python benches/image_types.py types.csv

Prints how well each rule does on pictures that it was not fitted to (five folds, all renderings of a drawing in the
same one), how often it is right where it says how sure it is, and the formulas for
crates/imgidx-media/src/features/kind.rs.
"""

import csv
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

GREYS = 16

# The same formulas as in kind.rs.
TERMS = {
    "flat": lambda c: c("flat_fraction"),
    "flat_foreground": lambda c: np.log(c("foreground_flat") + 0.01),
    "colors": lambda c: np.maximum(0, np.log(c("unique_colors") / GREYS)),
    "no_colors": lambda c: (c("unique_colors") <= GREYS).astype(float),
    "inks": lambda c: np.log1p(c("palette_size")),
    "shades": lambda c: np.log1p(c("shades")),
    "gradient": lambda c: np.log(c("gradient_fraction") + 0.001),
    "entropy": lambda c: c("entropy"),
    "elongation": lambda c: np.minimum(np.abs(np.log(c("aspect_ratio"))), np.log(4)) * (c("shapes") >= 1),
    "glyphs": lambda c: np.log1p(c("glyphs")),
}

# Kind, its terms, what it is fitted to, and whether both answers weigh the same. JPEG blurs flat areas into gradients:
# the rule for those is fitted to drawings as they were rendered.
RULES = [
    ("Photo", ["flat", "flat_foreground", "colors", "no_colors", "inks", "shades", "entropy"], "all", False),
    ("Gradient", ["gradient", "colors", "no_colors", "inks", "shades"], "drawings", True),
    ("Text", ["glyphs", "elongation"], "flat drawings", False),
]


def fitted(values, truth, balanced):
    return LogisticRegression(C=10, class_weight="balanced" if balanced else None, max_iter=5000).fit(values, truth)


def unseen(values, truth, groups, balanced):
    """The probability that each gets from a fit without its group."""
    result = np.zeros(len(truth))
    for fit, rest in GroupKFold(5).split(values, truth, groups):
        result[rest] = fitted(values[fit], truth[fit], balanced).predict_proba(values[rest])[:, 1]
    return result


def share(mask):
    return f"{100 * np.mean(mask):.1f} %" if len(mask) else "none"


def main(path):
    rows = list(csv.DictReader(open(path)))
    column = lambda name: np.array([float(row[name]) for row in rows])
    text = lambda name: np.array([row[name] for row in rows])
    truth, variant, name = text("truth"), text("variant"), text("name")
    formulas = []
    for kind, terms, scope, balanced in RULES:
        is_kind = truth == kind.lower()
        among = np.ones(len(rows), bool) if scope == "all" else (truth != "photo") & (variant == "plain")
        if scope == "flat drawings":
            among &= truth != "gradient"
        values = np.stack([TERMS[term](column) for term in terms], 1)
        probability = unseen(values[among], is_kind[among], name[among], balanced)
        said, true, kinds = probability >= 0.5, is_kind[among], variant[among]
        print(f"{kind} among {scope}, pictures that the rule was not fitted to:")
        for of in sorted(set(kinds)):
            there = kinds == of
            print(f"  {of:>10}: said of {share(said[there & true])} that are and {share(said[there & ~true])} that are not")
        balance = (np.mean(said[true]) + np.mean(~said[~true])) / 2
        print(f"  precision {share(true[said])}, balanced accuracy {balance:.3f}")
        confidence = np.where(said, probability, 1 - probability)
        for low, high in [(0.5, 0.7), (0.7, 0.9), (0.9, 0.99), (0.99, 1.01)]:
            there = (confidence >= low) & (confidence < high)
            print(f"  sure by {low:.2f} to {min(high, 1):.2f}: {share((said == true)[there])} right of {there.sum()}")
        rule = fitted(values[among], is_kind[among], balanced)
        weighted = " + ".join(f"{w:.3f} * {t}" for t, w in zip(terms, rule.coef_[0]))
        formulas.append(f"{kind.lower()}: {rule.intercept_[0]:.3f} + ({weighted})")
    print("\n".join(formulas))


if __name__ == "__main__":
    main(sys.argv[1])
