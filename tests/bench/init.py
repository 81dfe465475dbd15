#!/usr/bin/env python3
"""`lockstep init` and `train`, without edits, compared with scikit-learn's multi-layer perceptron as it is, and with
standardised features. Needs NumPy, h5py and scikit-learn (pip).

    tests/bench/init.py LOCKSTEP [--splits 3] [WORD...]     datasets whose names contain a WORD

Prints one row per dataset: the mean score on held-out samples over the splits, and the seconds. The score is accuracy for
classes (ROC AUC if the classes are unbalanced, as `init` then monitors it), the fraction of right labels for several
labels, and R2 for numbers."""
import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings

import h5py
import numpy as np
from sklearn import datasets as sets
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def classification(n, features, informative, classes=2, seed=0, **more):
    return sets.make_classification(n, features, n_informative=informative, n_redundant=min(2, features - informative),
                                    n_classes=classes, random_state=seed, **more)


def scaled(data):
    """Features of very different scales."""
    x, y = data
    return x * 10.0 ** np.random.default_rng(1).uniform(-4, 4, x.shape[1]), y


def heavy(data):
    """Features with heavy tails, and constant ones."""
    x, y = data
    return np.hstack([np.sign(x) * np.expm1(np.abs(x) * 1.5), np.full((len(x), 2), 7.0)]), y


def noise_tails(data, columns=5, seed=0):
    """Columns of heavy-tailed noise beside the others."""
    x, y = data
    return np.hstack([x, np.random.default_rng(seed).standard_t(1.2, (len(x), columns))]), y


def outliers(data, share=0.03, factor=10, seed=0):
    """A share of the targets is far off."""
    x, y = data
    rng = np.random.default_rng(seed)
    return x, y + factor * y.std() * rng.standard_normal(len(y)) * (rng.random(len(y)) < share)


def counts(n, features=300, seed=0):
    """Sparse counts, as of words."""
    rng = np.random.default_rng(seed)
    x = (rng.random((n, features)) < 0.03) * rng.poisson(2, (n, features)).astype(float)
    return x, (x @ rng.standard_normal((features, 4)) + 0.5 * rng.standard_normal((n, 4))).argmax(1)


def categories(n, seed=0):
    """Three columns of eight words, as columns of 0 and 1, and four numbers."""
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 8, (n, 3))
    x = np.hstack([np.eye(8)[k[:, j]] for j in range(3)] + [rng.standard_normal((n, 4))])
    return x, (rng.standard_normal((8, 8))[k[:, 0], k[:, 1]] + x[:, -1] * (k[:, 2] % 2 * 2 - 1) > 0).astype(int)


def sine(n, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (n, 1))
    return x, np.sin(3 * x[:, 0]) + 0.1 * rng.standard_normal(n)


def waves(n, length=128, classes=4, channels=0, noise=0.7, seed=0):
    """Noisy waveforms of several kinds, at random times and rates."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    t = np.arange(length)
    x = np.empty((n, length, max(channels, 1)))
    for i in range(n):
        rate = rng.uniform(0.08, 0.15)
        phase = rate * (t - rng.uniform(0, length))
        shapes = [np.sin(2 * np.pi * phase), 2 * (phase % 1) - 1, 1 - 4 * np.abs(phase % 1 - 0.5),
                  np.sign(np.sin(2 * np.pi * phase)), np.sin(2 * np.pi * phase) ** 3]
        x[i] = shapes[y[i]][:, None] * (0.5 + np.arange(max(channels, 1)))
    x += noise * rng.standard_normal(x.shape)
    return (x if channels else x[:, :, 0]).astype(np.float32), y


def motifs(n, length=96, classes=3, seed=0):
    """A short motif at a random time in noise."""
    rng = np.random.default_rng(seed)
    shapes = rng.standard_normal((classes, 16)).cumsum(1)
    y = rng.integers(0, classes, n)
    x = 0.6 * rng.standard_normal((n, length))
    for i in range(n):
        at = rng.integers(0, length - 16)
        x[i, at:at + 16] += shapes[y[i]] - shapes[y[i]].mean()
    return x[:, :, None].astype(np.float32), y


def pictures(n, side=24, channels=3, seed=0):
    """Discs, squares, rings and crosses of random size, place and colour on a noisy ground, as uint8."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    x = np.empty((n, side, side, channels))
    r, c = np.mgrid[:side, :side]
    for i in range(n):
        size = rng.uniform(3, side / 3)
        a, b = r - rng.uniform(size, side - size), c - rng.uniform(size, side - size)
        d = np.hypot(a, b)
        mask = [d < size, np.maximum(abs(a), abs(b)) < size, (d < size) & (d > size / 2),
                ((abs(a) < 1.2) | (abs(b) < 1.2)) & (np.maximum(abs(a), abs(b)) < size)][y[i]]
        x[i] = rng.uniform(40, 200, channels) + mask[:, :, None] * rng.uniform(-120, 120, channels)
    x += 20 * rng.standard_normal(x.shape)
    return np.clip(x, 0, 255).astype(np.uint8), y


def digit_images():
    x, y = sets.load_digits(return_X_y=True)
    return (x.reshape(-1, 8, 8) * 15).astype(np.uint8), y


DATA = {
    "iris": lambda: sets.load_iris(return_X_y=True),
    "wine": lambda: sets.load_wine(return_X_y=True),
    "breast-cancer": lambda: sets.load_breast_cancer(return_X_y=True),
    "digits-table": lambda: sets.load_digits(return_X_y=True),
    "table-60": lambda: classification(80, 10, 4, seed=11),
    "table-500": lambda: classification(660, 20, 5, seed=12),
    "table-5-classes": lambda: classification(1300, 30, 10, 5, seed=13),
    "table-noise-features": lambda: classification(400, 100, 5, seed=14),
    "table-scales": lambda: scaled(classification(660, 20, 8, 3, seed=15)),
    "table-heavy-tails": lambda: heavy(classification(900, 12, 6, 3, seed=16)),
    "table-label-noise": lambda: classification(1000, 20, 6, 2, seed=17, flip_y=0.2),
    "table-30-classes": lambda: classification(4000, 25, 15, 30, seed=18, n_clusters_per_class=1),
    "table-20000": lambda: classification(26000, 40, 15, 4, seed=19, n_clusters_per_class=4),
    "moons": lambda: sets.make_moons(400, noise=0.3, random_state=20),
    "circles": lambda: sets.make_circles(400, noise=0.15, factor=0.5, random_state=21),
    "tiny-20": lambda: classification(200, 6, 3, seed=22),
    "unbalanced": lambda: classification(3000, 15, 6, seed=23, weights=[0.95]),
    "labels": lambda: sets.make_multilabel_classification(1200, 20, n_classes=6, random_state=24),
    "diabetes": lambda: sets.load_diabetes(return_X_y=True),
    "linear-noise": lambda: sets.make_regression(300, 20, n_informative=8, noise=20.0, random_state=25),
    "linear-wide": lambda: sets.make_regression(200, 80, n_informative=10, noise=5.0, random_state=26),
    "linear-3-outputs": lambda: sets.make_regression(600, 15, n_targets=3, noise=10.0, random_state=27),
    "friedman1": lambda: sets.make_friedman1(650, noise=1.0, random_state=28),
    "friedman1-100": lambda: sets.make_friedman1(400, noise=1.0, random_state=29),
    "friedman2": lambda: sets.make_friedman2(650, noise=50.0, random_state=30),
    "friedman3": lambda: sets.make_friedman3(650, noise=0.1, random_state=31),
    "friedman1-10000": lambda: sets.make_friedman1(13000, 20, noise=1.0, random_state=32),
    "noise-tails": lambda: noise_tails(classification(1500, 10, 6, seed=33)),
    "counts": lambda: counts(3000),
    "categories": lambda: categories(3000),
    "labels-200": lambda: sets.make_multilabel_classification(400, 20, n_classes=4, random_state=34),
    "moons-100": lambda: sets.make_moons(200, noise=0.2, random_state=35),
    "sine-60": lambda: sine(300),
    "outliers": lambda: outliers(sets.make_regression(1500, 15, noise=10.0, random_state=36)),
    "digits-images": digit_images,
    "pictures": lambda: pictures(1600),
    "pictures-300": lambda: pictures(600, seed=1),
    "waves": lambda: waves(1200),
    "waves-2-channels": lambda: waves(500, 100, 5, 2, seed=2),
    "motifs": lambda: motifs(800),
}
TEST = {"tiny-20": 180, "labels-200": 200, "moons-100": 100, "sine-60": 240, "friedman1-100": 300,
        "table-60": 20, "pictures-300": 300}  # samples; else a quarter
SERIES = {"waves"}  # (N, L), which is read as a table unless the shape is named


def write(path, x, y):
    with h5py.File(path, "w") as f:
        f["x"] = x if x.dtype == np.uint8 else x.astype(np.float32)
        f["y"] = y


def is_classes(y):
    return y.ndim == 1 and np.issubdtype(y.dtype, np.integer)


def score(y, numbers, classes=None):
    """numbers: probabilities of classes, or predictions; classes: of the classifier."""
    if is_classes(y):
        counts = np.bincount(y)
        if counts.max() > 10 * counts.min() and len(counts) == 2:
            return roc_auc_score(y, numbers[:, 1])
        return np.mean(np.asarray(classes)[numbers.argmax(1)] == y)
    return np.mean((numbers > 0.5) == y) if np.issubdtype(y.dtype, np.integer) else r2_score(y, numbers)


def peer(model, x, y, test_x, test_y):
    model.fit(x, y)
    if np.issubdtype(y.dtype, np.integer):
        return score(test_y, np.asarray(model.predict_proba(test_x)), getattr(model, "classes_", None))
    return score(test_y, model.predict(test_x))


def lockstep(program, folder, test_x, test_y, options):
    """Runs init, train and predict on the files train.h5 and test.h5 of the folder."""
    def run(*words):
        done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{words}: code {done.returncode}: {done.stderr}")
    run("init", "train.h5", "-o", "c.yaml", *options)
    run("train", "c.yaml", "--output", "run")
    run("predict", "run/model.h5", "test.h5", "-o", "p.h5")
    with h5py.File(os.path.join(folder, "p.h5")) as f:
        name = "probability" if "probability" in f else "y"
        numbers = f[name][:]
    if not is_classes(test_y):
        return score(test_y, numbers.reshape(test_y.shape))
    return score(test_y, numbers, np.arange(numbers.shape[1]))


def split(name, x, y, seed):
    stratify = y if is_classes(y) else None
    return train_test_split(x, y, test_size=TEST.get(name, 0.25), random_state=seed, stratify=stratify)


def compare(program, name, splits):
    """The means over the splits: scikit-learn, the same on standardised features, Lockstep; and their seconds."""
    x, y = DATA[name]()
    scores, seconds = np.zeros((splits, 3)), np.zeros(3)
    for seed in range(splits):
        a, b, ya, yb = split(name, x, y, seed)
        kind = MLPClassifier if np.issubdtype(y.dtype, np.integer) else MLPRegressor
        flat = [v.reshape(len(v), -1).astype(float) for v in (a, b)]
        with tempfile.TemporaryDirectory() as folder:
            write(f"{folder}/train.h5", a, ya)
            write(f"{folder}/test.h5", b, yb)
            methods = [lambda: peer(kind(random_state=seed), flat[0], ya, flat[1], yb),
                       lambda: peer(make_pipeline(StandardScaler(), kind(random_state=seed)), flat[0], ya, flat[1], yb),
                       lambda: lockstep(program, folder, b, yb, ["--kind", "series"] if name in SERIES else [])]
            for i, method in enumerate(methods):
                start = time.time()
                scores[seed, i] = method()
                seconds[i] += (time.time() - start) / splits
    return scores.mean(0), seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lockstep")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--splits", type=int, default=3)
    options = parser.parse_intermixed_args()
    warnings.simplefilter("ignore")
    program = os.path.abspath(options.lockstep)
    print(f"{'dataset':22} {'MLP':>8} {'scaled':>8} {'lockstep':>8}   {'seconds':>20}")
    for name in DATA:
        if options.words and not any(word in name for word in options.words):
            continue
        means, seconds = compare(program, name, options.splits)
        mark = "" if means[2] >= means[:2].max() else "  lower"
        print(f"{name:22} {means[0]:8.4f} {means[1]:8.4f} {means[2]:8.4f}   "
              f"{seconds[0]:6.2f} {seconds[1]:6.2f} {seconds[2]:6.2f}{mark}", flush=True)


if __name__ == "__main__":
    main()
