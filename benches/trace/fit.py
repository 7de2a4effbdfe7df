#!/usr/bin/env python3
"""Finds what `src/trace/candidates.rs` and `src/trace/prior.rs` hold, from logos that nothing is shown on.

    python3 benches/trace/evaluate.py FOLDER --tiers fast --sets fit    fetches and draws the logos
    cargo bench --bench trace -- grid FOLDER/png/fit grid.json          an hour on two cores
    python3 benches/trace/fit.py grid.json [more.json ...]              needs numpy

Grids of the same pictures are joined.
"""

import json
import sys

import numpy as np

COUNT = 6
PENALTY = 5.0


def greedy(scores):
    """The parameters of which the best is worth most, in the mean: added one by one, then exchanged while that helps."""
    chosen = []
    worth = lambda columns: scores[:, columns].max(1).mean()
    for _ in range(COUNT):
        chosen.append(max(range(scores.shape[1]), key=lambda column: worth(chosen + [column])))
    changed = True
    while changed:
        changed = False
        for place in range(COUNT):
            for column in range(scores.shape[1]):
                other = chosen[:place] + [column] + chosen[place + 1 :]
                if worth(other) > worth(chosen) + 1e-9:
                    chosen, changed = other, True
    return chosen


def main():
    grids = [json.load(open(name)) for name in sys.argv[1:]]
    pictures = grids[0]["pictures"]
    names = [picture["name"] for picture in pictures]
    assert all([picture["name"] for picture in grid["pictures"]] == names for grid in grids)
    parameters = [one for grid in grids for one in grid["parameters"]]
    results = np.concatenate([np.array([picture["results"] for picture in grid["pictures"]]) for grid in grids], 1)
    scores, seconds = results[:, :, 2], results[:, :, 3]
    chosen = sorted(greedy(scores), key=lambda column: -scores[:, column].mean())
    print(f"best of all {len(parameters)}: {scores.max(1).mean():.2f}; of six: {scores[:, chosen].max(1).mean():.2f}, {seconds[:, chosen].sum(1).mean():.2f} s")
    for column in chosen:
        print(f"  {scores[:, column].mean():.2f} alone, {seconds[:, column].mean():.3f} s: {parameters[column]}")

    used = [next(i for i, one in enumerate(parameters) if one == candidate) for candidate in grids[0]["candidates"] if candidate in parameters]
    if len(used) < COUNT:
        sys.exit("the grids do not have all of today's CANDIDATES: run one more with them")
    scores = scores[:, used]
    best = scores.max(1)
    print(f"today's six: {best.mean():.2f}; the first alone {scores[:, 0].mean():.2f}")
    kinds = [picture["facts"]["kind"] for picture in pictures]
    for kind in sorted(set(kinds)):
        of_kind = [i for i, other in enumerate(kinds) if other == kind]
        print(f"  {kind}, {len(of_kind)}: {scores[of_kind].mean(0).round(2)}")

    numbers = np.array([picture["numbers"] for picture in pictures])
    center, deviation = numbers.mean(0), numbers.std(0) + 1e-6
    points = np.c_[np.ones(len(numbers)), ((numbers - center) / deviation).clip(-4, 4)]
    gram = points.T @ points + PENALTY * np.diag([0.0] + [1.0] * numbers.shape[1])
    weights = np.linalg.solve(gram, points.T @ best)
    leverage = np.einsum("ij,ji->i", points, np.linalg.solve(gram, points.T))
    error = np.abs((best - points @ weights) / (1 - leverage)).mean()
    median = np.mean([abs(best[i] - np.median(np.delete(best, i))) for i in range(len(best))])
    print(f"mean error of an estimate for a logo that it was not made from: {error:.2f}; of the median: {median:.2f}")
    rust = lambda values: "[" + ", ".join(f"{value:.4f}" for value in values) + "]"
    print(f"CENTER: {rust(center)}\nDEVIATION: {rust(deviation)}\nWEIGHTS: {rust(weights)}\nERROR: {error:.2f}")
    print(f"FAST_LESS: {(best - scores[:, 0]).mean():.2f}")


if __name__ == "__main__":
    main()
