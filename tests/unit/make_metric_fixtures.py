#!/usr/bin/env python3
"""Writes metric_fixtures.h: qualities of classifiers and regressors, as scikit-learn computes them.

Needs scikit-learn (1.9.1 was used) and NumPy. The tests never run it: they read the metric_fixtures.h that is
kept beside it. Run it again, from any folder, after a change here, and commit both.

Numbers are few and coarse where ties are wanted; all are float32, so that C and Python see the same ones.
"""
import pathlib

import numpy
import sklearn
from sklearn import metrics

ROWS = 60
TOPS = (1, 2, 3, 5)


def array(kind, name, values):
    """A C array; floats with nine digits, which give back the same float."""
    words = []
    for value in numpy.ravel(values):
        text = f"{value:.9g}" if kind == "float" else str(int(value))
        words.append(text if kind != "float" else (text if any(c in text for c in ".e") else text + ".0") + "F")
    lines = [f"static const {kind} {name}[] = {{"]
    for start in range(0, len(words), 8):
        lines.append("    " + ", ".join(words[start:start + 8]) + ",")
    return "\n".join(lines) + "\n};\n"


def numbers(name, values):
    """Results, in double."""
    return f"static const double {name}[] = {{" + ", ".join(repr(float(value)) for value in values) + "};\n"


def softmax(z):
    z = z.astype("f8")
    p = numpy.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def macro(y, guess, weights, **how):
    return metrics.precision_recall_fscore_support(y, guess, average="macro", sample_weight=weights,
                                                   zero_division=0, **how)[:3]


def classes_text(random, weights):
    """Six classes; a row's scores are all different, as a top k with ties is not scikit-learn's to settle."""
    n = 6
    z = random.normal(size=(ROWS, n)).astype("f4")
    y = random.integers(0, n, ROWS)
    z[numpy.arange(ROWS), y] += 1
    z[-3:] = z[:3] # ties between rows
    p = softmax(z)
    text = array("float", "six_z", z) + array("int32_t", "six_y", y)
    for suffix, w in (("", None), ("_weighted", weights)):
        aucs = [metrics.roc_auc_score(y == k, p[:, k], sample_weight=w) for k in range(n)]
        mean = metrics.roc_auc_score(y, p, multi_class="ovr", average="macro", sample_weight=w)
        text += numbers(f"six_auc{suffix}", [*aucs, mean])
        text += numbers(f"six_tops{suffix}", [metrics.top_k_accuracy_score(y, z, k=k, sample_weight=w) for k in TOPS])
        text += numbers(f"six_macro{suffix}", macro(y, z.argmax(axis=1), w, labels=range(n)))
    return text + "\n"


def ties_text(random, weights):
    """One label whose scores take a few values only."""
    z = (random.integers(-3, 4, ROWS) / 2).astype("f4")
    z[numpy.flatnonzero(z == 0)[::2]] = -0.0
    y = (z + random.normal(size=ROWS) > 0).astype("f4")
    text = array("float", "ties_z", z) + array("float", "ties_y", y)
    text += numbers("ties_auc", [metrics.roc_auc_score(y, z), metrics.roc_auc_score(y, z, sample_weight=weights)])
    for suffix, w in (("", None), ("_weighted", weights)):
        text += numbers(f"ties_macro{suffix}", macro(y, z > 0, w))
    return text + "\n"


def labels_text(random, weights):
    """Four labels of different frequency."""
    z = random.normal(size=(ROWS, 4)).astype("f4")
    z[:, 3] = numpy.round(z[:, 3])
    y = (z + 2 * random.normal(size=z.shape) > [-1, 0, 1, 2]).astype("f4")
    text = array("float", "four_z", z) + array("float", "four_y", y)
    for suffix, w in (("", None), ("_weighted", weights)):
        aucs = metrics.roc_auc_score(y, z, average=None, sample_weight=w)
        text += numbers(f"four_auc{suffix}", [*aucs, metrics.roc_auc_score(y, z, average="macro", sample_weight=w)])
        text += numbers(f"four_macro{suffix}", macro(y, z > 0, w))
    return text + "\n"


def outputs_text(random, weights):
    """Two numbers a row: the quality of each."""
    y = random.normal(size=(ROWS, 2)).astype("f4")
    a = (y + [0.3, 1.5] * random.normal(size=y.shape)).astype("f4")
    text = array("float", "two_y", y) + array("float", "two_a", a)
    y, a = y.astype("f8"), a.astype("f8")
    for name, quality in (("mse", metrics.mean_squared_error), ("mae", metrics.mean_absolute_error),
                          ("r2", metrics.r2_score)):
        text += numbers(f"two_{name}", quality(y, a, sample_weight=weights, multioutput="raw_values"))
    return text + "\n"


HEADER = """/* Made by make_metric_fixtures.py with scikit-learn %s: do not edit.
 *
 * Scores, targets, and what they are worth: an array of AUCs has the macro mean at its end, one of macro
 * qualities precision, recall, F1. _weighted ones are with fixture_weights. */
#ifndef LOCKSTEP_TEST_METRIC_FIXTURES_H
#define LOCKSTEP_TEST_METRIC_FIXTURES_H

#include <stddef.h>
#include <stdint.h>

/* clang-format off */

#define FIXTURE_ROWS %d

"""


def main():
    random = numpy.random.default_rng(20261)
    weights = random.integers(0, 9, ROWS).astype("f4") / 4
    text = HEADER % (sklearn.__version__, ROWS)
    text += array("float", "fixture_weights", weights)
    text += "static const size_t fixture_tops[] = {" + ", ".join(map(str, TOPS)) + "};\n\n"
    for part in (classes_text, ties_text, labels_text, outputs_text):
        text += part(random, weights.astype("f8"))
    (pathlib.Path(__file__).parent / "metric_fixtures.h").write_text(text + "#endif\n")


if __name__ == "__main__":
    main()
