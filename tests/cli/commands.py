"""Every command but train: import, evaluate, predict, info, check, gradcheck, keys and the help texts."""

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy

import harness
from harness import DATASETS, edited, read_csv, run_well

COMMANDS = ("train", "check", "evaluate", "predict", "explain", "import", "info", "gradcheck", "lr-find",
            "plan", "report", "keys")
GRADIENTS_AGREE = "gradients agree|gradients match|gradients are correct"
X, Y = harness.three_classes(61)
NAMES = ("red", "green, dark", "blue")

THREE = edited(("epochs: 2", "epochs: 4"), ("data.h5", "data.h5\n  normalize: standardize"))
BINARY = edited(("units: 3, activation: softmax", "units: 1, activation: sigmoid"),
                ("categorical_cross_entropy", "binary_cross_entropy"), ("epochs: 4", "epochs: 20"), text=THREE)
LABELS = edited(("units: 1, activation", "units: 3, activation"), text=BINARY)
REGRESSION = edited(("units: 3, activation: softmax", "units: 2"), ("categorical_cross_entropy", "mse"), text=THREE)


def train(folder, config, **arrays):
    """Trains a model on the arrays, which become data.h5; the run directory is run/."""
    harness.write_file(folder / "config.yaml", config)
    harness.write_arrays(folder / "data.h5", arrays)
    run_well(folder, "train", "config.yaml")


def predict(folder, data="data.h5", **how):
    """The arrays that predict writes."""
    run_well(folder, "predict", "run/model.h5", data, "-o", "out.h5", **how).says("out.h5")
    with h5py.File(folder / "out.h5") as file:
        return {name: file[name][()] for name in file}


def evaluate(folder, data="data.h5", **how):
    """(the object that --json prints, the run)."""
    result = run_well(folder, "evaluate", "run/model.h5", data, "--json", **how)
    result.must(result.out.count("\n") == 1, "it prints one line")
    return json.loads(result.out), result


def must_be_near(result, told, expected, what):
    result.must(numpy.allclose(told, expected, rtol=1e-5, atol=1e-7), f"{what} is {told}, but must be {expected}")


def quality(truth, guess, of, weights):
    """Precision, recall, F1 and support of a class; 0 where undefined."""
    hits = weights[(truth == of) & (guess == of)].sum()
    guessed, support = weights[guess == of].sum(), weights[truth == of].sum()
    precision, recall = hits / guessed if guessed else 0.0, hits / support if support else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return [precision, recall, f1, support]


def check_classes(result, told, truth, guess, weights):
    """Checks the values per class, their means, the confusion matrix and the accuracy."""
    n = len(told["classes"])
    expected = [quality(truth, guess, of, weights) for of in range(n)]
    for entry, values in zip(told["classes"], expected):
        keys = ["name", "precision", "recall", "f1", "support", "roc_auc"]
        result.must(list(entry) == keys, f"the keys are {list(entry)}")
        must_be_near(result, [entry[key] for key in keys[1:5]], values, entry["name"])
    macro = [told["macro_precision"], told["macro_recall"], told["macro_f1"]]
    must_be_near(result, macro, numpy.mean(expected, axis=0)[:3], "the macro means")
    confusion = [[weights[(truth == i) & (guess == j)].sum() for j in range(n)] for i in range(n)]
    must_be_near(result, told["confusion"], confusion, "confusion")
    must_be_near(result, told["accuracy"], weights[truth == guess].sum() / weights.sum(), "accuracy")


def auc(scores, is_in, weights):
    """ROC AUC: the weighted share of pairs of a positive and a negative sample in the right order."""
    above = numpy.sign(scores[is_in][:, None] - scores[~is_in]) / 2 + 0.5
    pairs = weights[is_in][:, None] * weights[~is_in]
    return (above * pairs).sum() / pairs.sum()


def check_aucs(result, told, scores, is_in, weights):
    """scores, is_in: (samples, classes)."""
    expected = [auc(scores[:, k], is_in[:, k], weights) for k in range(is_in.shape[1])]
    must_be_near(result, [entry["roc_auc"] for entry in told["classes"]], expected, "roc_auc of the classes")
    must_be_near(result, told["roc_auc"], numpy.mean(expected), "roc_auc")


# -------------------------------------------------------------- evaluate and predict

def evaluation_of_classes(folder):
    train(folder, THREE, x=X, y=(Y, {"classes": NAMES}))
    told, result = evaluate(folder)
    keys = ["samples", "loss", "accuracy", "classes", "macro_precision", "macro_recall", "macro_f1", "roc_auc",
            "confusion"]
    result.must(list(told) == keys, f"the keys are {list(told)}")
    result.must(told["samples"] == 61 and [c["name"] for c in told["classes"]] == list(NAMES), "samples and names")
    made = predict(folder)
    probability, guess = made["probability"], made["class"]
    result.must(probability.shape == (61, 3) and probability.dtype == "f4" and guess.shape == (61,), "the shapes")
    must_be_near(result, probability.sum(axis=1), 1.0, "the sum of probabilities")
    result.must((probability.argmax(axis=1) == guess).all(), "the class is the most probable one")
    must_be_near(result, told["loss"], -numpy.log(probability[range(61), Y].astype("f8")).mean(), "loss")
    check_classes(result, told, Y, guess, numpy.ones(61))
    check_aucs(result, told, probability, numpy.eye(3)[Y] == 1, numpy.ones(61))
    text = run_well(folder, "evaluate", "run/model.h5", "data.h5")
    text.says("samples   61", f"loss      {told['loss']:.6f}", f"accuracy  {told['accuracy']:.4f}", "confusion", *NAMES)


def classes_without_names(folder):
    train(folder, THREE, x=X, y=Y)
    told, result = evaluate(folder)
    result.must([c["name"] for c in told["classes"]] == ["0", "1", "2"], "without names they are numbers")
    run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "out.csv")
    header, rows = read_csv(folder / "out.csv")
    result.must(header == ["class", "0", "1", "2"] and {row[0] for row in rows} <= {"0", "1", "2"}, f"{header}")


def weighted_evaluation(folder):
    weights = numpy.random.default_rng(4).uniform(0, 3, size=61).astype("f4")
    train(folder, THREE, x=X, y=Y, w=weights)
    told, result = evaluate(folder)
    made = predict(folder)
    own = -numpy.log(made["probability"][range(61), Y].astype("f8"))
    must_be_near(result, told["loss"], (weights * own).sum() / weights.sum(), "loss")
    check_classes(result, told, Y, made["class"], weights.astype("f8"))
    check_aucs(result, told, made["probability"], numpy.eye(3)[Y] == 1, weights.astype("f8"))


def top_k_of_classes(folder):
    """K is 5 by default if there are more classes; --top-k sets it."""
    train(folder, edited(("units: 3", "units: 7"), text=THREE), x=X, y=numpy.arange(61) % 7)
    p = predict(folder)["probability"]
    place = (p > p[range(61), numpy.arange(61) % 7][:, None]).sum(axis=1)
    for words, k in (((), 5), (("--top-k", "2"), 2), (("--top-k=1",), 1)):
        result = run_well(folder, "evaluate", "run/model.h5", "data.h5", "--json", *words, ranks=2)
        told = json.loads(result.out)
        result.must(list(told["top_k"]) == [str(k)], f"the k's are {list(told['top_k'])}")
        must_be_near(result, told["top_k"][str(k)], (place < k).mean(), f"top {k}")
        result.must(k > 1 or told["top_k"]["1"] == told["accuracy"], "the best one is the accuracy")
        run_well(folder, "evaluate", "run/model.h5", "data.h5", *words).says(f"top {k:<5} {(place < k).mean():.4f}")


def class_without_samples(folder):
    """The ROC AUC of a class without samples is null, and the mean omits it."""
    train(folder, THREE, x=X, y=Y)
    harness.write_arrays(folder / "two.h5", {"x": X[Y < 2], "y": Y[Y < 2]})
    harness.write_arrays(folder / "one.h5", {"x": X[Y == 1], "y": Y[Y == 1]})
    told, result = evaluate(folder, "two.h5", ranks=2)
    found = [entry["roc_auc"] for entry in told["classes"]]
    result.must(found[2] is None and abs(told["roc_auc"] - sum(found[:2]) / 2) < 1e-8, f"they are {found}")
    told, result = evaluate(folder, "one.h5")
    result.must(told["roc_auc"] is None and told["accuracy"] > 0, "no class has one")


def two_classes_from_a_table(folder):
    """A sigmoid output stands for two classes."""
    rows = "".join(f"{a},{b},{'yes' if a + b > 3 else 'no'}\n" for a in range(5) for b in range(5))
    harness.write_file(folder / "table.csv", "a,b,answer\n" + rows)
    run_well(folder, "import", "table.csv", "-o", "data.h5").reports("/train", "25 samples of 2 features, 2 classes")
    harness.write_file(folder / "config.yaml", BINARY)
    run_well(folder, "train", "config.yaml")
    told, result = evaluate(folder)
    result.must([c["name"] for c in told["classes"]] == ["no", "yes"], "one output stands for two classes")
    with h5py.File(folder / "data.h5") as file:
        truth = file["train/y"][()].astype(int)
    made = predict(folder)
    p = made["probability"][:, 0].astype("f8")
    result.must(made["probability"].shape == (25, 1) and (made["class"] == (p > 0.5)).all(), "the class is 1 above 1/2")
    must_be_near(result, told["loss"], -numpy.log(numpy.where(truth == 1, p, 1 - p)).mean(), "loss")
    check_classes(result, told, truth, made["class"], numpy.ones(25))
    check_aucs(result, told, numpy.stack([1 - p, p], axis=1), numpy.eye(2)[truth] == 1, numpy.ones(25))
    result.must(told["accuracy"] > 0.8, "it must learn something")
    run_well(folder, "predict", "run/model.h5", "table.csv", "-o", "out.csv")
    header, lines = read_csv(folder / "out.csv")
    result.must(header == ["class", "no", "yes"], f"the header is {header}")
    values = numpy.array([line[1:] for line in lines], "f8")
    must_be_near(result, values[:, 1], p, "the probability of yes")
    must_be_near(result, values.sum(axis=1), 1.0, "the sum of both")


def multilabel(folder):
    y = numpy.stack([X[:, 0] > 1, X[:, 1] > 1, X[:, 2] > 1], axis=1).astype("u1")
    train(folder, LABELS, x=X, y=(y, {"classes": ("round", "soft", "sweet, very")}))
    told, result = evaluate(folder)
    made = predict(folder)
    p = made["probability"].astype("f8")
    result.must(made["class"].shape == (61, 3) and (made["class"] == (p > 0.5)).all(), "each output is a label")
    must_be_near(result, told["loss"], -numpy.log(numpy.where(y == 1, p, 1 - p)).sum(axis=1).mean(), "loss")
    must_be_near(result, told["accuracy"], (made["class"] == y).mean(), "accuracy")
    for k, entry in enumerate(told["classes"]):
        expected = quality(y[:, k], made["class"][:, k], 1, numpy.ones(61))
        must_be_near(result, [entry[key] for key in ("precision", "recall", "f1", "support")], expected, entry["name"])
    check_aucs(result, told, p, y == 1, numpy.ones(61))
    run_well(folder, "evaluate", "run/model.h5", "data.h5").says("round", "soft")
    run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "out.csv")
    header, lines = read_csv(folder / "out.csv")
    result.must(header == ["class", "round", "soft", "sweet, very"], f"the header is {header}")
    result.must(all(len(line) == 4 for line in lines), "each row has four cells")
    must_be_near(result, numpy.array([line[1:] for line in lines], "f8"), p, "the probabilities")
    words = [" ".join(name for name, k in zip(header[1:], row) if k) for row in made["class"]]
    result.must([line[0] for line in lines] == words, "the first cell holds the labels, separated by blanks")


def regression(folder):
    y = numpy.stack([X.sum(axis=1), X[:, 0] - X[:, 1]], axis=1).astype("f8")
    train(folder, REGRESSION, x=X, y=y)
    told, result = evaluate(folder)
    result.must(list(told) == ["samples", "loss", "mse", "mae", "r2", "outputs"], f"the keys are {list(told)}")
    made = predict(folder)
    result.must(list(made) == ["y"] and made["y"].shape == (61, 2), "predict writes /y")
    error = made["y"] - y
    must_be_near(result, told["loss"], 0.5 * (error**2).sum(axis=1).mean(), "loss")
    must_be_near(result, told["mse"], (error**2).mean(), "mse")
    must_be_near(result, told["mae"], numpy.abs(error).mean(), "mae")
    must_be_near(result, told["r2"], (1 - (error**2).sum(axis=0) / ((y - y.mean(axis=0))**2).sum(axis=0)).mean(), "r2")
    for k, entry in enumerate(told["outputs"]):
        own, spread = error[:, k], y[:, k] - y[:, k].mean()
        expected = [(own**2).mean(), numpy.abs(own).mean(), 1 - (own**2).sum() / (spread**2).sum()]
        must_be_near(result, [entry[key] for key in ("mse", "mae", "r2")], expected, f"output {k}")
    run_well(folder, "evaluate", "run/model.h5", "data.h5").says("mse", "mae", "r2", "output")
    run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "out.csv")
    header, lines = read_csv(folder / "out.csv")
    result.must(header == ["y0", "y1"], f"the header is {header}")
    must_be_near(result, numpy.array(lines, "f8"), made["y"], "the predictions")


def predictions_in_every_format(folder):
    train(folder, THREE, x=X, y=(Y, {"classes": NAMES}))
    made = predict(folder)
    run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "out.csv")
    table = (folder / "out.csv").read_text()
    for words in (("-o", "out.npy"), ("-o", "out.data", "--format", "npy")):
        run_well(folder, "predict", "run/model.h5", "data.h5", *words).says(words[1])
        array = numpy.load(folder / words[1])
        result = run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "out.h5")
        result.must(array.dtype == "f4" and (array == made["probability"]).all(), f"{words[1]} must have the probabilities")
    numpy.savetxt(folder / "table.csv", X, fmt="%.9g", delimiter=",")
    pipe = ("bash", "-c", 'exec "$@" < table.csv', "bash")
    for ranks in harness.each_of(harness.ALONE, 3):
        result = harness.run(folder, "predict", "run/model.h5", "-", "-o", "-", ranks=ranks, around=pipe).exits(0)
        result.must(result.out == table, "standard output must have the predictions and nothing else")
        result.reports("standard output: predictions for 61 samples")
    result.must(not list(folder.glob("*tmp*")), "no temporary files may remain")
    full = ("bash", "-c", 'exec "$@" > /dev/full', "bash")
    harness.run(folder, "predict", "run/model.h5", "data.h5", "-o", "-", around=full).exits(5).reports("standard output", "space")


def regression_from_a_table(folder):
    rows = "".join(f"{a},{b},{2.5 * a - b + 0.25}\n" for a in range(6) for b in range(6))
    harness.write_file(folder / "table.csv", "a,b,cost\n" + rows)
    run_well(folder, "import", "table.csv", "-o", "data.h5", "--test-fraction", "0.25").reports(
        "/train", "27 samples", "/test", "9 samples", "2 features")
    config = edited(("units: 2", "units: 1"), ("epochs: 4", "epochs: 200"), ("lr: 0.01", "lr: 0.03"),
                    ("data.h5", "data.h5:/train\n  test: data.h5:/test"), text=REGRESSION)
    harness.write_file(folder / "config.yaml", config)
    run_well(folder, "train", "config.yaml").says("test: loss", "r2 0.9")
    told, result = evaluate(folder, "data.h5:/test")
    result.must(told["samples"] == 9 and told["r2"] > 0.9, f"it must learn the plane: {told}")
    result.must("outputs" not in told, "a single output is the whole")
    run_well(folder, "predict", "run/model.h5", "table.csv", "-o", "out.csv")
    result.must(read_csv(folder / "out.csv")[0] == ["y"], "a single output is called y")


def standardised_targets(folder):
    """The network is trained on targets of mean 0 and deviation 1; all reported values are in the original units."""
    y = numpy.stack([1e5 + 3e3 * X[:, 0], 0.01 * X[:, 1] - 2], axis=1)
    standardised = edited(("normalize: standardize", "normalize: standardize\n  standardize_targets: true\n  test: test.h5"),
                          ("epochs: 4", "epochs: 20"), text=REGRESSION)
    harness.write_arrays(folder / "test.h5", {"x": X[:40], "y": y[:40]})
    train(folder, standardised, x=X, y=y)
    with h5py.File(folder / "run/model.h5") as file:
        offset, factor, y_offset, y_factor = (
            file[f"normalizer/{name}"][()] for name in ("offset", "factor", "y_offset", "y_factor"))
        layers = [(file[f"model/{k}-dense/W"][()], file[f"model/{k}-dense/b"][()]) for k in (0, 1)]
    told, result = evaluate(folder, ranks=2)
    must_be_near(result, y_offset, y.mean(axis=0), "the offset")
    must_be_near(result, 1 / y_factor, y.std(axis=0), "the factor")
    hidden = numpy.maximum((X - offset) * factor @ layers[0][0].T + layers[0][1], 0)
    learnt = hidden @ layers[1][0].T + layers[1][1]
    error = (y - y_offset) * y_factor - learnt
    must_be_near(result, told["loss"], 0.5 * (error**2).sum(axis=1).mean(), "the loss, which is the one of training,")
    error = y - (learnt / y_factor + y_offset)
    must_be_near(result, told["mse"], (error**2).mean(), "mse")
    must_be_near(result, told["mae"], numpy.abs(error).mean(), "mae")
    must_be_near(result, told["r2"], (1 - (error**2).mean(axis=0) / y.var(axis=0)).mean(), "r2")
    for ranks in harness.each_of(harness.ALONE, 3):
        must_be_near(result, predict(folder, ranks=ranks)["y"], y - error, "what is predicted")
    tested = run_well(folder, "train", "config.yaml").says(harness.FINISHED)
    loss, told = float(tested.out.split("test: loss")[1].split()[0]), evaluate(folder, "test.h5")[0]
    tested.must(abs(loss - told["loss"]) < 1e-4, f"the loss of testing is {loss}, not {told['loss']}")
    changed = harness.run(folder, "train", "config.yaml", "--set", "data.standardize_targets=false")
    changed.exits(2).reports("standardize_targets", "false", "true")


def evaluation_is_equal_on_any_number_of_ranks(folder):
    train(folder, THREE, x=X, y=Y)
    alone, made = evaluate(folder)[0], predict(folder)
    for ranks in (1, 2, 3, 4):
        told, result = evaluate(folder, ranks=ranks)
        must_be_near(result, told["loss"], alone["loss"], "loss")
        result.must(told["confusion"] == alone["confusion"], "the counts must be the same")
        aucs = [[entry["roc_auc"] for entry in one["classes"]] for one in (told, alone)]
        result.must(aucs[0] == aucs[1] and told["roc_auc"] == alone["roc_auc"], "ROC AUC must be the same")
        again = predict(folder, ranks=ranks)
        must_be_near(result, again["probability"], made["probability"], "the probabilities")


def predictions_in_several_chunks(folder):
    """Predictions are written in chunks and must keep the order of the samples."""
    x, y = harness.three_classes(1111)
    train(folder, THREE, x=x[:61], y=y[:61])
    harness.write_arrays(folder / "large.h5", {"x": x, "y": y})
    order = numpy.random.default_rng(6).permutation(1111)
    harness.write_arrays(folder / "mixed.h5", {"x": x[order]})
    straight, mixed = predict(folder, "large.h5"), predict(folder, "mixed.h5", ranks=2)
    told, result = evaluate(folder, "large.h5", ranks=2)
    must_be_near(result, mixed["probability"], straight["probability"][order], "the order")
    check_classes(result, told, y, straight["class"], numpy.ones(1111))
    check_aucs(result, told, straight["probability"], numpy.eye(3)[y] == 1, numpy.ones(1111))


def predictions_from_csv_files(folder):
    """A CSV file may have its columns in any order, keep the label column, or lack a header."""
    shutil.copy(DATASETS / "iris/iris.csv", folder)
    run_well(folder, "import", "iris.csv", "-o", "data.h5").reports("/train", "150 samples of 4 features, 3 classes")
    harness.write_file(folder / "config.yaml", THREE)
    run_well(folder, "train", "config.yaml")
    made = predict(folder)
    header, rows = read_csv(folder / "iris.csv")
    harness.write_file(folder / "mixed.csv", "\n".join(",".join(row[k] for k in (4, 2, 0, 3, 1)) for row in [header, *rows]))
    harness.write_file(folder / "bare.csv", "\n".join(",".join(row[:4]) for row in rows))
    harness.write_file(folder / "x.csv", "\n".join(",".join(row[:4]) for row in [header, *rows]))
    for name in ("iris.csv", "mixed.csv", "bare.csv", "x.csv"):
        # The temporary dataset must be beside the output, where ranks on other nodes can read it.
        result = run_well(folder, "predict", "run/model.h5", name, "-o", "out.csv", settings={"TMPDIR": "/nowhere"})
        lines = read_csv(folder / "out.csv")[1]
        must_be_near(result, numpy.array([line[1:] for line in lines], "f8"), made["probability"], name)
        names = ["setosa", "versicolor", "virginica"]
        result.must([line[0] for line in lines] == [names[k] for k in made["class"]], "classes go by their names")
        again = predict(folder, name)
        must_be_near(result, again["probability"], made["probability"], name)
    result.must(not list(folder.glob("lockstep-*")), "predict must remove its temporary file")


def names_are_quoted_in_csv(folder):
    train(folder, THREE, x=X, y=(Y, {"classes": NAMES}))
    result = run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "out.csv")
    header, rows = read_csv(folder / "out.csv")
    result.must(header == ["class", *NAMES], f"the header is {header}")
    result.must({row[0] for row in rows} <= set(NAMES) and all(len(row) == 4 for row in rows), "rows have their names")


def names_are_escaped_in_json(folder):
    names = ('a "b"', "c\\d\n", "Grün 🌱")
    train(folder, THREE, x=X, y=(Y, {"classes": names}))
    told, result = evaluate(folder)
    result.must([entry["name"] for entry in told["classes"]] == list(names), f"the names are {told['classes']}")


def class_names_in_hdf5_output(folder):
    train(folder, THREE, x=X, y=(Y, {"classes": NAMES}))
    predict(folder)
    with h5py.File(folder / "out.h5") as file:
        names = list(file["class"].attrs["classes"])
    assert names == list(NAMES), names


# ---------------------------------------------------------------------- import

def idx(kind, array, code=8):
    header = bytes([0, 0, code, kind]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


def images_and_labels(n, seed):
    random = numpy.random.default_rng(seed)
    return random.integers(0, 256, (n, 4, 5)).astype("u1"), random.integers(0, 3, n).astype("u1")


def import_of_idx(folder):
    """IDX files may come in any order, gzipped or not; their names select the group."""
    (x, y), (x_test, y_test) = images_and_labels(7, 1), images_and_labels(3, 2)
    harness.write_file(folder / "train-images-idx3-ubyte", idx(3, x))
    harness.write_file(folder / "train-labels-idx1-ubyte.gz", gzip.compress(idx(1, y)))
    harness.write_file(folder / "t10k-images-idx3-ubyte.gz", gzip.compress(idx(3, x_test)))
    harness.write_file(folder / "t10k-labels-idx1-ubyte", idx(1, y_test))
    names = sorted(path.name for path in folder.iterdir())
    for order in (names, names[::-1]):
        result = run_well(folder, "import", *order, "-o", "out.h5")
        result.reports("/train", "7 samples", "/test", "3 samples of 20 features, 3 classes")
        with h5py.File(folder / "out.h5") as file:
            for path, expected in (("train/x", x), ("train/y", y), ("test/x", x_test), ("test/y", y_test)):
                stored = file[path]
                result.must(stored.dtype == "u1" and numpy.array_equal(stored[()], expected), f"{path} differs")
            stored = file["train/x"]
            result.must(stored.chunks[1:] == (4, 5) and stored.compression == "gzip", "chunks span samples, deflated")
    run_well(folder, "import", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte", "-o", "out.h5")
    with h5py.File(folder / "out.h5") as file:
        result.must(list(file) == ["test"], "a lone test pair goes to /test")


def import_of_a_table(folder):
    shutil.copy(DATASETS / "iris/iris.csv", folder)
    header, rows = read_csv(folder / "iris.csv")
    for words in ((), ("--label", "species"), ("--label", "5")):
        result = run_well(folder, "import", "iris.csv", "-o", "out.h5", *words, ranks=2)
        with h5py.File(folder / "out.h5") as file:
            x, y = file["train/x"], file["train/y"]
            result.must(list(x.attrs["features"]) == header[:4], "features are the columns' names")
            result.must(list(y.attrs["classes"]) == ["setosa", "versicolor", "virginica"], "classes are sorted")
            result.must(x.chunks[1:] == (4,) and x.shuffle and x.compression == "gzip", "chunks span samples, shuffled")
            must_be_near(result, x[()], numpy.array([row[:4] for row in rows], "f4"), "x")
            result.must([y.attrs["classes"][k] for k in y[()]] == [row[4] for row in rows], "y")


def import_with_the_label_first(folder):
    harness.write_file(folder / "table.csv", "kind,a,b\nred,1,2\nblue,3,4\nred,5,6\n")
    result = run_well(folder, "import", "table.csv", "-o", "out.h5", "--label", "kind")
    with h5py.File(folder / "out.h5") as file:
        result.must(list(file["train/y"][()]) == [1, 0, 1], "blue is 0, red is 1")
        result.must(file["train/x"][()].tolist() == [[1, 2], [3, 4], [5, 6]], "the others are x")


def import_with_a_test_fraction(folder):
    shutil.copy(DATASETS / "iris/iris.csv", folder)
    result = run_well(folder, "import", "iris.csv", "-o", "out.h5", "--test-fraction", "0.2")
    result.reports("/train", "120 samples", "/test", "30 samples")
    run_well(folder, "import", "iris.csv", "-o", "again.h5", "--test-fraction", "0.2")
    run_well(folder, "import", "iris.csv", "-o", "whole.h5")
    rows = {}
    for name in ("out.h5", "again.h5", "whole.h5"):
        with h5py.File(folder / name) as file:
            rows[name] = [[*map(tuple, file[group]["x"][()])] for group in sorted(file)]
    result.must(rows["out.h5"] == rows["again.h5"], "the draw is the same each time")
    result.must(sorted(sum(rows["out.h5"], [])) == sorted(rows["whole.h5"][0]), "each row goes to one of both")


def import_without_a_header(folder):
    harness.write_file(folder / "table.csv", "1.5;2;0\n3;4;1\n5;6;1\n")
    result = run_well(folder, "import", "table.csv", "-o", "out.h5").says("3 samples of 2 features, 2 classes")
    with h5py.File(folder / "out.h5") as file:
        result.must("features" not in file["train/x"].attrs, "there are no names")
        result.must(list(file["train/y"][()]) == [0, 1, 1], "the last column is the label")


def datasets_equal_their_imported_sources(folder):
    for name in ("iris", "xor"):
        result = run_well(folder, "import", DATASETS / name / f"{name}.csv", "-o", "out.h5")
        with h5py.File(folder / "out.h5") as made, h5py.File(DATASETS / name / f"{name}.h5") as kept:
            for path in ("train/x", "train/y"):
                result.must(numpy.array_equal(made[path][()], kept[path][()]), f"{name}: {path} differs")


# ------------------------------------------------------------------------ files

def other_programs_read_models(folder):
    train(folder, THREE, x=X, y=(Y, {"classes": NAMES}))
    with h5py.File(folder / "run/model.h5") as file:
        assert file.attrs["format_version"] == 2 and list(file.attrs["classes"]) == list(NAMES), dict(file.attrs)
        assert file.attrs["config"] == (folder / "run/config.yaml").read_text(), file.attrs["config"]
        assert file["model/0-dense/W"].shape == (8, 4) and file["model/0-dense/b"].shape == (8,)
        assert file["model/1-dense/W"].shape == (3, 8) and file["model/1-dense/b"].shape == (3,)
        assert file["model/0-dense/W"].dtype == "f4" and file["normalizer/offset"].shape == (4,)
        assert "optimizer" not in file and "progress" not in file, list(file)
    with h5py.File(folder / "run/checkpoints/best.h5") as file:
        assert file["optimizer"].attrs["steps"] == file["progress"].attrs["step"]
    for tool, words in (("h5ls", ("-r",)), ("h5dump", ("-H",))):
        if shutil.which(tool):
            done = subprocess.run([tool, *words, "run/model.h5"], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0 and "0-dense" in done.stdout, done


def predictions_follow_from_the_file(folder):
    """The weights in the file, evaluated by numpy, give the predictions."""
    train(folder, THREE, x=X, y=Y)
    with h5py.File(folder / "run/model.h5") as file:
        offset, factor = file["normalizer/offset"][()], file["normalizer/factor"][()]
        layers = [(file[f"model/{k}-dense/W"][()], file[f"model/{k}-dense/b"][()]) for k in (0, 1)]
    x = (X - offset) * factor
    assert numpy.allclose(x.mean(axis=0), 0, atol=1e-5) and numpy.allclose(x.std(axis=0), 1, atol=1e-4), (offset, factor)
    hidden = numpy.maximum(x @ layers[0][0].T + layers[0][1], 0)
    z = numpy.exp(hidden @ layers[1][0].T + layers[1][1])
    assert numpy.allclose(predict(folder)["probability"], z / z.sum(axis=1, keepdims=True), atol=1e-5)


DEEP = edited(("  - {layer: dense, units: 8, activation: relu}\n", """\
  - {layer: dense, units: 8, activation: softplus, l1: 0.5, init: {type: normal}}
  - {layer: batch_norm, eps: 0.01}
  - layer: residual
    layers: [{layer: dense, units: 6, activation: tanh, l2: 0.1}, {layer: batch_norm}, {layer: dropout, rate: 0.1}]
"""), text=THREE)


def batch_norm(x, group, eps):
    gamma, beta, mean, var = (group[name][()] for name in ("gamma", "beta", "running_mean", "running_var"))
    return gamma * (x - mean) / numpy.sqrt(var + eps) + beta


def predictions_of_nested_layers_follow_from_the_file(folder):
    """The same with batch norm and a residual; a resumed run has the same weights."""
    train(folder, DEEP, x=X, y=Y)
    with h5py.File(folder / "run/model.h5") as file:
        model = file["model"]
        x = (X - file["normalizer/offset"][()]) * file["normalizer/factor"][()]
        x = numpy.logaddexp(0, x @ model["0-dense/W"][()].T + model["0-dense/b"][()])
        x = batch_norm(x, model["1-batch_norm"], 0.01)
        inside = model["2-residual"]
        y = numpy.tanh(x @ inside["0-dense/W"][()].T + inside["0-dense/b"][()])
        x = x @ inside["skip/W"][()].T + batch_norm(y, inside["1-batch_norm"], 1e-5)
        z = numpy.exp(x @ model["3-dense/W"][()].T + model["3-dense/b"][()])
        paths = []
        model.visit(paths.append)
        arrays = {path: model[path][()] for path in paths if isinstance(model[path], h5py.Dataset)}
    assert arrays["1-batch_norm/running_mean"].shape == (8,) and numpy.all(arrays["1-batch_norm/running_mean"] > 0), arrays
    assert numpy.allclose(predict(folder)["probability"], z / z.sum(axis=1, keepdims=True), atol=1e-5)

    harness.write_file(folder / "config.yaml", DEEP)
    run_well(folder, "train", "config.yaml", "--output", "two", "--set", "train.max_steps=13")
    result = run_well(folder, "train", "config.yaml", "--output", "two")
    with h5py.File(folder / "two/model.h5") as file:
        for path, values in arrays.items():
            result.must(numpy.array_equal(file["model"][path][()], values), f"{path} differs after a resume")


def info_counts_zero_weights(folder):
    train(folder, edited(("activation: relu", "activation: relu, init: zeros"), ("epochs: 4", "epochs: 1\n  max_steps: 0"),
                         text=THREE), x=X, y=Y)
    result = run_well(folder, "info", "run/model.h5").reports("/model/0-dense/W", "(8, 4) float32", "32 of 32")
    result.must(result.out.count(" of 32") == 1, "neither where none are nor for b")


def info(folder):
    train(folder, THREE, x=X, y=(Y, {"classes": NAMES}))
    run_well(folder, "info", "data.h5").says("/: 61 samples of 4 features", "red, green, dark, blue").reports(
        "/x", "(61, 4) float32").reports("/y", "(61,)")
    run_well(folder, "info", "run/model.h5").says(
        "Lockstep model", "format 2", "digest", "4 features", "/model/0-dense/W", "(8, 4)", "67", "batch_size: 8")
    run_well(folder, "info", "run/checkpoints/best.h5", ranks=2).says(
        "Lockstep checkpoint", "format 2", "4 epochs", "step 32", "/optimizer", "epoch 4")
    run_well(folder, "info", DATASETS / "digits/digits.h5").says("/train: 1437 samples of 64 features", "/test: 360")


def files_of_old_formats(folder):
    """Files of each format version, trained on datasets/iris, stay readable and resumable with these results."""
    results = {1: (0.0653000756, 0.98), 2: (0.119226737, 0.973333333)}
    for version, (loss, accuracy) in results.items():
        for kind in ("model", "checkpoint"):
            path = Path(__file__).parent / f"formats/{kind}-{version}.h5"
            result = run_well(folder, "evaluate", path, DATASETS / "iris/iris.h5", "--json")
            found = json.loads(result.out)
            result.must(abs(found["loss"] - loss) < 1e-6 and abs(found["accuracy"] - accuracy) < 1e-6, f"{path}: {found}")
            run_well(folder, "info", path).says(f"format {version}", "digest", "0-dense/W")
        with h5py.File(path) as file:
            config = file.attrs["config"].replace("/srv/iris", str(DATASETS / "iris"))
            epochs = int(file["progress"].attrs["epoch"])
        harness.write_file(folder / "config.yaml", re.sub(r"(?m)^  epochs: \d+", f"  epochs: {epochs + 2}", config))
        result = harness.run(folder, "train", "config.yaml", "--resume", path, "--output", f"resumed-{version}").exits(0)
        result.says(f"{epochs + 2} epochs").reports("warning", "no best.h5")


# ----------------------------------------------------------------- check, gradcheck

def check(folder):
    shutil.copytree(DATASETS / "digits", folder / "digits")
    before = harness.snapshot(folder)
    for ranks in harness.each_of(harness.ALONE, 2):
        result = run_well(folder, "check", "digits/digits.yaml", "--set", "train.epochs=7", ranks=ranks)
        result.says("epochs: 7", "dropout", "16384", "32768", "1290", "51210", "memory")
        for split, n in (("training", 1293), ("validation", 144), ("test", 360)):
            result.reports(split, f"{n} samples")
        result.must(harness.snapshot(folder) == before, "check writes nothing")


def check_of_nested_layers(folder):
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})
    harness.write_file(folder / "config.yaml", DEEP)
    result = run_well(folder, "check", "config.yaml")
    for row in ("0 +dense +4 +8 +40 +32 .*", "1 +batch_norm +8 +8 +16 +0 .*", "2 +residual +8 +6 +0 +0 .*", "  0 +dense +8 +6 +54 +48 .*",
                "  1 +batch_norm +6 +6 +12 +0 .*", "  2 +dropout +6 +6 +0 +0 .*", "  skip +dense +8 +6 +48 +48 .*",
                "3 +dense +6 +3 +21 +18 .*", " +total +191 +146"):
        result.must(re.search(f"^{row}$", result.out, re.MULTILINE), f"it must have a row like '{row}'")
    counts = re.findall(r"^ *(?:\d|skip) +\w+ +\d+ +\d+ +(\d+) +\d+ +\d+\.\d$", result.out, re.MULTILINE)
    result.must(sum(map(int, counts)) == 191, "the parameters of the rows add up to the total")


CONV = """seed: 1
data: {train: data.h5}
model:
  - {layer: conv2d, filters: 8, kernel_size: 3, stride: 2, padding: same, activation: relu}
  - {layer: residual, layers: [{layer: conv2d, filters: 4, kernel_size: [2, 1], groups: 2, bias: false}]}
  - {layer: global_avg_pool}
  - {layer: dense, units: 3, activation: softmax}
loss: categorical_cross_entropy
optimizer: {type: sgd, lr: 0.1}
"""


def check_of_convolutions(folder):
    """Shapes, parameters, multiply-adds and padding in numbers; a kernel that does not fit is rejected with both shapes."""
    harness.write_arrays(folder / "data.h5", {"x": numpy.random.default_rng(1).random((20, 6, 5)), "y": Y[:20]})
    harness.write_file(folder / "config.yaml", CONV)
    result = run_well(folder, "check", "config.yaml")
    for row in (r"0 +conv2d +\(6, 5, 1\) +\(3, 3, 8\) +80 +648 +\d+\.\d  kernel 3x3, stride 2x2, pads 0\+1 1\+1",
                r"  0 +conv2d +\(3, 3, 8\) +\(2, 3, 4\) +32 +192 +\d+\.\d  kernel 2x1, stride 1x1, pads 0\+0 0\+0, groups 2",
                r"2 +global_avg_pool +\(2, 3, 4\) +4 +0 +0 +\d+\.\d"):
        result.must(re.search(f"^{row}$", result.out, re.MULTILINE), f"it must have a row like '{row}'")
    fused = "model.1={layer: residual, activation: relu, layers: [{layer: conv2d, filters: 8, kernel_size: 1}, {layer: batch_norm}]}"
    result = run_well(folder, "check", "config.yaml", "--set", "model.0.stride=1", "--set", fused)
    for row in (r"1 +residual .* 0\.2", r"  0 +conv2d .* 0\.2  kernel 1x1, .*", r"  1 +batch_norm .* 0\.0"):
        result.must(re.search(f"^{row}$", result.out, re.MULTILINE), f"it must have a row like '{row}'")
    harness.run(folder, "check", "config.yaml", "--set", "model.0.padding=valid", "--set", "model.0.kernel_size=7").exits(2).reports(
        "config.yaml:4", "model.0", "(7, 7)", "(6, 5, 1)")
    harness.run(folder, "check", "config.yaml", "--set", "model.0.layer=conv3d").exits(2).reports("config.yaml:4", "(D, H, W, C)")


def gradcheck(folder):
    examples = [DATASETS / name for name in ("iris/iris.yaml", "xor/xor.yaml", "xor/linear.yaml", "digits/digits.yaml")]
    for ranks, config in zip((harness.ALONE, 1, 2, 4), examples):
        result = run_well(folder, "gradcheck", config, ranks=ranks)
        result.says("-dense/W", "-dense/b", GRADIENTS_AGREE)
        result.must(result.out.count("\n") >= 4, "each block of parameters has a row")


def gradcheck_of_every_activation(folder):
    harness.write_arrays(folder / "data.h5", {"x": X, "y": numpy.stack([Y, Y + 1.0], axis=1)})
    for activation in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "softplus", "softmax"):
        text = edited(("activation: relu", f"activation: {activation}"), text=REGRESSION)
        harness.write_file(folder / "config.yaml", text)
        run_well(folder, "gradcheck", "config.yaml").reports(GRADIENTS_AGREE, "4")


def gradcheck_of_every_layer(folder):
    """Derivatives are the same on any number of ranks and include the l2 penalty."""
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y, "w": 1 + numpy.arange(61) % 3})
    harness.write_file(folder / "config.yaml", DEEP)
    tables = []
    for ranks in harness.each_of(harness.ALONE, 2, 3):
        result = run_well(folder, "gradcheck", "config.yaml", ranks=ranks).reports(GRADIENTS_AGREE, "11").says("2-residual/skip/W")
        tables.append([line.split()[:2] for line in result.out.splitlines() if "/" in line])
        for (path, first), (_, value) in zip(tables[0], tables[-1]):
            result.must(abs(float(first) - float(value)) < 1e-5 * (1 + abs(float(first))), f"{path}: {first} and {value}")
    result = run_well(folder, "gradcheck", "config.yaml", "--set", "model.2.layers.0.l2=100").reports(GRADIENTS_AGREE, "11")
    penalised = [line.split()[1] for line in result.out.splitlines() if "0-dense/W" in line]
    plain = [value for path, value in tables[0] if "0-dense/W" in path]
    assert float(penalised[0]) > 10 * float(plain[0]) and penalised[1] == plain[1], (penalised, plain)


def gradcheck_of_kinks(folder):
    """Many positions cross the kinks of relu and max pooling; a bias before batch norm has the gradient 0."""
    model = ("model=[{layer: conv2d, filters: 16, kernel_size: 3, padding: same, activation: relu}, {layer: batch_norm}, {layer: "
             "max_pool, size: 2}, {layer: conv2d, filters: 16, kernel_size: 3}, {layer: batch_norm}, {layer: relu}, {layer: "
             "global_avg_pool}, {layer: dense, units: 10, activation: softmax}]")
    for seed in (1,) if harness.IS_SANITIZED else (1, 2, 4):
        run_well(folder, "gradcheck", DATASETS / "digits/digits.yaml", "--set", model, "--set", f"seed={seed}", "--set",
                 "data.normalize=scale").reports(GRADIENTS_AGREE, "10")


def gradcheck_of_weights_and_labels(folder):
    harness.write_arrays(folder / "data.h5", {"x": X, "y": numpy.eye(3)[Y], "w": numpy.arange(61) % 3})
    harness.write_file(folder / "config.yaml", LABELS)
    run_well(folder, "gradcheck", "config.yaml", ranks=2).reports(GRADIENTS_AGREE, "4")


def invalid_class_weights(folder):
    """Invalid class weights are reported before the training."""
    harness.write_file(folder / "config.yaml", THREE)
    harness.write_file(folder / "binary.yaml", BINARY)
    harness.write_file(folder / "regression.yaml", REGRESSION)
    harness.write_file(folder / "narrow.yaml", edited(
        ("  - {layer: dense, units: 8, activation: relu}\n  - {layer: dense, units: 1, activation: sigmoid}",
         "  - {layer: sigmoid}"), ("data.h5", "labels.h5"), text=BINARY))
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y % 2})
    harness.write_arrays(folder / "labels.h5", {"x": X, "y": numpy.eye(4)[Y]})
    for config, weights, code, *texts in (
            ("config.yaml", "[0, 0, 0]", 2, "0"), ("config.yaml", "even", 2, "even", "balanced"),
            ("config.yaml", "[0, 0, 1]", 3, "data.train", "weight", "0"),
            ("binary.yaml", "[1, 1, 1]", 2, "3 weights", "2 classes"), ("narrow.yaml", "[1, 1]", 2, "output"),
            ("regression.yaml", "balanced", 2, "categorical_cross_entropy")):
        harness.run(folder, "check", config, "--set", f"train.class_weight={weights}").exits(code).reports(
            "error: ", "train.class_weight" if code == 2 else "data.train", *texts)
    balanced = harness.run(folder, "check", "config.yaml", "--set", "train.class_weight=balanced").exits(0)
    balanced.reports("warning: ", "class 2", "weight")


# -------------------------------------------------------------------- keys and help

def known_keys(folder, config):
    """The keys that are listed for an unknown key, for each path."""
    harness.write_file(folder / "config.yaml", config)
    result = harness.run(folder, "check", "config.yaml").exits(2)
    found = re.findall(r"(\S*?)zzz: unknown key.*?((?:\w+, )*\w+)\)?$", result.err, re.MULTILINE)
    result.must(len(found) == config.count("zzz"), "each unknown key must be reported, with the known ones")
    return {path + key for path, keys in found for key in keys.split(", ")}


def accepted_keys(folder, listing):
    """All keys that configs accept, from the errors about unknown keys."""
    layers = re.findall(r"^# model: layer (\w+)", listing, re.MULTILINE)
    optimizers = re.findall(r"^# optimizer: type (\w+)", listing, re.MULTILINE)
    schedules = re.findall(r"^# schedule: type (\w+)", listing, re.MULTILINE)
    sections = ("penalty", "checkpoint", "comm")
    config = "zzz: 1\n" + "".join(f"{name}: {{zzz: 1}}\n" for name in sections)
    config += "data: {zzz: 1, augment: {zzz: 1}}\ntrain: {zzz: 1, early_stopping: {zzz: 1}}\n"
    keys = known_keys(folder, config + "model: [{layer: dense, units: 1}]\noptimizer: {type: sgd}\nloss: mse\n")
    for layer in layers:
        keys |= known_keys(folder, f"data: {{train: a}}\nmodel: [{{layer: {layer}, zzz: 1}}]\nloss: mse\n")
    for kind in optimizers:
        keys |= known_keys(folder, f"data: {{train: a}}\nmodel: [{{layer: linear}}]\noptimizer: {{type: {kind}, zzz: 1}}\n")
    for kind in ("categorical_cross_entropy", "binary_cross_entropy", "mse", "mae", "huber", "focal"):
        keys |= known_keys(folder, f"data: {{train: a}}\nmodel: [{{layer: linear}}]\nloss: {{type: {kind}, zzz: 1}}\n")
    for kind in schedules:
        keys |= known_keys(folder, f"data: {{train: a}}\nmodel: [{{layer: linear}}]\nschedule: {{type: {kind}, zzz: 1}}\n")
    return {re.sub(r"^model\.0", "model.N", key) for key in keys}


def keys_lists_every_key(folder):
    result = run_well(folder, "keys")
    listed = set(re.findall(r"^([a-z][\w.N]*)  ", result.out, re.MULTILINE))
    accepted = accepted_keys(folder, result.out)
    accepted -= {key for key in accepted - listed if any(name.startswith(f"{key}.") for name in listed)} # nested maps
    result.must(listed == accepted, f"listed or accepted, but not both: {sorted(listed ^ accepted)}")
    result.must({"seed", "data.train", "model.N.units", "optimizer.betas", "train.epochs"} <= listed, "the best known")
    result.says("categorical_cross_entropy", "required", "integer")
    run_well(folder, "keys", "--sweep").says("base  ", "halving.factor  ", "parameters.KEY.log_uniform  ")
    kinds = run_well(folder, "keys", ranks=2)
    result.must(kinds.out == result.out, "ranks do not repeat it")


def help_of_each_command(folder):
    general = run_well(folder, "--help")
    for words in (("-h",), ("help",)):
        general.must(run_well(folder, *words).out == general.out, f"{words} is the same")
    for command in COMMANDS:
        general.says(f"  {command} ")
        result = run_well(folder, command, "--help").says(f"usage: lockstep {command}")
        result.must(run_well(folder, command, "-h").out == result.out, "-h is the same")
    run_well(folder, "train", "--help").says("--set KEY=VALUE", "--output DIR", "--resume ", "--overwrite", "--init-map MAP.yaml")
    run_well(folder, "evaluate", "--help", ranks=2).says("--json", "--top-k K")
    run_well(folder, "import", "--help").says("--label COLUMN", "--test-fraction F", "-o")


def version(folder):
    for ranks in harness.each_of(harness.ALONE, 2):
        result = run_well(folder, "--version", ranks=ranks)
        result.must(re.fullmatch(r"lockstep \d+\.\d+\.\d+\n", result.out), "one line says the version")


def set_overrides_the_config(folder):
    harness.write_file(folder / "config.yaml", harness.CONFIG)
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})
    words = ("--set", "optimizer.lr=0.5", "--set", "model.0.units=5", "--set", "train={epochs: 9}",
             "--set=model.0.activation=tanh", "--set", "checkpoint.keep=7", "--set", "optimizer.lr=0.25")
    result = run_well(folder, "check", "config.yaml", *words)
    result.says("lr: 0.25", "units: 5", "epochs: 9", "batch_size: 32", "activation: tanh", "keep: 7")


def another_launcher(folder):
    """A launcher that this MPI does not know has started several ranks: each command fails instead of running N times."""
    several = {"PMI_SIZE": "4", "OMPI_COMM_WORLD_SIZE": "2", "MV2_COMM_WORLD_SIZE": "3", "SLURM_STEP_NUM_TASKS": "2",
               "PMIX_RANK": "1", "PMI_RANK": "3"}
    harness.write_file(folder / "config.yaml", THREE)
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})
    commands = (("train", "config.yaml"), ("info", "data.h5"), ("check", "config.yaml"),
                ("import", DATASETS / "iris/iris.csv", "-o", "out.h5"), ("evaluate", "run/model.h5", "data.h5"))
    for name, value in several.items():
        for words in commands if name == "PMI_SIZE" else commands[:2]:
            result = harness.run(folder, *words, settings={name: value}).exits(2).reports(name, value, "LOCKSTEP_SINGLE=1")
            result.must(not (folder / "run").exists() and not (folder / "out.h5").exists(), "nothing may be written")
    for settings in ({"PMI_SIZE": "1", "PMI_RANK": "0"}, {"PMI_SIZE": "4", "LOCKSTEP_SINGLE": "1"}):
        run_well(folder, "info", "data.h5", settings=settings)
    run_well(folder, "info", "data.h5", settings={"SLURM_NTASKS": "4"}) # in a batch script without srun
    harness.run(folder, "train", "config.yaml", settings={"SLURM_NTASKS": "4"}).exits(2).reports("SLURM_NTASKS", "4")


TESTS = [
    evaluation_of_classes, classes_without_names, weighted_evaluation, top_k_of_classes, class_without_samples,
    two_classes_from_a_table,
    multilabel, regression, predictions_in_every_format, regression_from_a_table, standardised_targets,
    invalid_class_weights, evaluation_is_equal_on_any_number_of_ranks, predictions_in_several_chunks,
    predictions_from_csv_files, names_are_quoted_in_csv, names_are_escaped_in_json, class_names_in_hdf5_output,
    import_of_idx, import_of_a_table, import_with_the_label_first, import_with_a_test_fraction,
    import_without_a_header, datasets_equal_their_imported_sources, other_programs_read_models, predictions_follow_from_the_file,
    predictions_of_nested_layers_follow_from_the_file, info, info_counts_zero_weights, files_of_old_formats, check, check_of_nested_layers,
    check_of_convolutions, gradcheck,
    gradcheck_of_every_activation, gradcheck_of_every_layer, gradcheck_of_kinks, gradcheck_of_weights_and_labels, keys_lists_every_key,
    help_of_each_command, version, set_overrides_the_config, another_launcher,
]

# Slow under sanitizers, without code that other tests do not cover.
LONG = (evaluation_is_equal_on_any_number_of_ranks, keys_lists_every_key, help_of_each_command)

if __name__ == "__main__":
    harness.main([(test.__name__.replace("_", " "), test) for test in TESTS
                  if not harness.IS_SANITIZED or test not in LONG])
