"""`lockstep report`: the page is well-formed and self-contained, its numbers are those of the run, and a browser shows it
without an error."""

import json
import os
import shutil

import h5py
import numpy

import harness
from harness import DATASETS, edited, read_csv, run, run_well
from page import browse, check, check_contrast, number, report

HOSTILE = ("<script>alert(1)</script>", "\"q\" & 'p' </title>", "grün–\u202e")
REGRESSION = edited(("units: 3, activation: softmax", "units: 2"), ("categorical_cross_entropy", "mse"),
                    ("data.h5", "data.h5\n  validation: 0.25\n  normalize: standardize\n  standardize_targets: true"))
LABELS = edited(("softmax", "sigmoid"), ("categorical_cross_entropy", "binary_cross_entropy"), ("data.h5", "data.h5\n  test: test.h5"))


def near(result, found, expected, what):
    ok = numpy.allclose(number(found), expected, rtol=1e-4, atol=1e-12, equal_nan=True)
    result.must(ok, f"{what} is {found}, but must be {expected}")


def check_curves(page, result, folder, chart, columns):
    """The table of a chart has the values of metrics.csv."""
    header, rows = read_csv(folder / "metrics.csv")
    head, *values = page.tables[chart]
    result.must(head[1:] == list(columns) and len(values) == len(rows), f"{chart}: columns {head}, {len(values)} rows")
    for found, row in zip(values, rows):
        for text, column in zip(found, ("epoch", *columns)):
            value = row[header.index(column)]
            near(result, text, float(value or "nan"), f"{chart}: {column}")


def train(folder, config, **arrays):
    harness.write_file(folder / "config.yaml", config)
    harness.write_arrays(folder / "data.h5", arrays)
    run_well(folder, "train", "config.yaml")


# ------------------------------------------------------------------------- tasks

def classes(folder):
    """Validation that is a part of the training data; a table with names."""
    run_well(folder, "train", DATASETS / "iris/iris.yaml", "--set", "train.epochs=6")
    page, result = report(folder, "runs/iris")
    check_curves(page, result, folder / "runs/iris", "loss", ("val_loss", "train_loss"))
    check_curves(page, result, folder / "runs/iris", "accuracy", ("val_accuracy", "train_accuracy"))
    check_curves(page, result, folder / "runs/iris", "learning rate", ("lr",))
    header, rows = read_csv(folder / "runs/iris/diagnostics.csv")
    for found, row in zip(page.tables["gradient norm"][1:], [row for row in rows if row[1] == "0-dense"]):
        near(result, found[1], float(row[2]), "the gradient norm")
    summary = {row[0]: row[1] for row in page.tables["Training and results"] if len(row) > 1}
    header, rows = read_csv(folder / "runs/iris/metrics.csv")
    best = min(rows, key=lambda row: float(row[header.index("val_loss")]))
    result.must(summary["best epoch"] == f"{best[0]} (by val_loss)" and summary["state"] == "finished", f"{summary}")
    near(result, summary["loss"], float(best[header.index("val_loss")]), "the loss on the validation data, a part of the data,")
    near(result, summary["accuracy"], float(best[header.index("val_accuracy")]), "the accuracy on them")
    result.must("iris.h5:/train" in summary["data"] and summary["samples"] == "30", f"{summary}")
    rows = page.tables["Samples with the largest errors"]
    result.must(len(rows) == 25 and "petal_" in rows[1][4], f"the strongest features: {rows[1]}")
    result.must("One curve per class, against all others; none is an average." in page.text, "what the ROC curves are")
    errors = [number(row[3]) for row in rows[1:]]
    result.must(errors == sorted(errors, reverse=True), f"sorted: {errors}")


def same_numbers_as_evaluate(folder):
    """With --data, at several numbers of ranks; names that are not valid HTML."""
    x, y = harness.three_classes(300)
    train(folder, edited(("epochs: 2", "epochs: 3")), x=x, y=(y, {"classes": HOSTILE}))
    x, y = harness.three_classes(90)
    harness.write_arrays(folder / "new.h5", {"x": x[::-1] * 0.6, "y": y[::-1]})
    page, result = report(folder, "run", "--data", "new.h5")
    found = json.loads(run_well(folder, "evaluate", "run/model.h5", "new.h5", "--json").out)
    result.must("<script>alert" not in page.text and page.counts["script"] == 1, "names are escaped")
    rows = page.tables["Classes"][1:]
    result.must([row[0] for row in rows] == [*HOSTILE, "macro"], f"{rows}")
    for row, expected in zip(rows, found["classes"]):
        for text, key in zip(row[1:], ("precision", "recall", "f1", "roc_auc", "support")):
            near(result, text, expected[key], key)
    heat = page.tables["Confusion matrix (rows: true, columns: predicted)"][1:]
    result.must([[number(cell or "0") for cell in row[1:]] for row in heat] == found["confusion"], f"{heat}")
    curve = numpy.array([[number(cell) for cell in row] for row in page.tables["ROC curves: true positive rate"][1:]])
    for k, expected in enumerate(found["classes"]):
        area = numpy.sum(numpy.diff(curve[:, 0]) * (curve[1:, k + 1] + curve[:-1, k + 1]) / 2)
        result.must(abs(area - expected["roc_auc"]) < 0.01, f"the area below the curve is {area}")
    run_well(folder, "predict", "run/model.h5", "new.h5", "-o", "p.h5")
    with h5py.File(folder / "p.h5") as file, h5py.File(folder / "new.h5") as data:
        p, y = file["probability"][()].astype("f8"), data["y"][()]
    loss = -numpy.log(p[numpy.arange(len(y)), y])
    rows = page.tables["Samples with the largest errors"][1:]
    result.must([int(row[0]) for row in rows] == numpy.argsort(-loss, kind="stable")[:24].tolist(), f"{rows[:3]}")
    for row in rows:
        sample = int(row[0])
        near(result, row[3], loss[sample], "the error")
        wrong = "correct" if p[sample].argmax() == y[sample] else "wrong"
        result.must(row[1] == HOSTILE[y[sample]] and row[2].endswith(wrong), f"{row}")
    for ranks in harness.each_of(2, 3):
        again, _ = report(folder, "run", "--data", "new.h5", ranks=ranks, output=f"{ranks}.html")
        for name in ("Classes", "Confusion matrix (rows: true, columns: predicted)", "Calibration: observed frequency"):
            result.must(again.tables[name] == page.tables[name], f"{name}: the same at {ranks} ranks")


def images(folder):
    run_well(folder, "train", DATASETS / "digits/digits.yaml", "--set", "train.epochs=2")
    page, result = report(folder, "runs/digits")
    result.must(page.counts["img"] == 24, "24 pictures")
    found = json.loads(run_well(folder, "evaluate", "runs/digits/model.h5", DATASETS / "digits/digits.h5:/test", "--json").out)
    summary = {row[0]: row[1] for row in page.tables["Training and results"] if len(row) > 1}
    near(result, summary["accuracy"], found["accuracy"], "the accuracy on the test data")
    near(result, summary["macro F1"], found["macro_f1"], "F1")


def tables_and_signals_are_no_pictures(folder):
    """Flat rows of a square number of named features, and signals, at 2 ranks, of which one knows names and layers."""
    x = numpy.random.default_rng(1).normal(size=(12, 64))
    y = numpy.arange(12) % 3
    train(folder, harness.CONFIG, x=(x, {"features": [f"f{i}" for i in range(64)]}), y=y)
    page, result = report(folder, "run", "--data", "data.h5", ranks=2)
    result.must("img" not in page.counts and "Samples with the largest errors" in page.tables, "a table")
    signals = edited(("model:\n", "model:\n  - {layer: conv1d, filters: 2, kernel_size: 3}\n"))
    (folder / "signals").mkdir()
    train(folder / "signals", signals, x=x.reshape(12, 16, 4)[:, :, :3], y=y)
    page, result = report(folder / "signals", "run", "--data", "data.h5", ranks=2)
    result.must("img" not in page.counts and "Samples with the largest errors" in page.tables, "a table")


def numbers(folder):
    x, y = harness.three_classes(200)
    targets = 100.0 + 7.0 * numpy.stack([x[:, 0] - x[:, 1], x.sum(axis=1)], axis=1)
    train(folder, REGRESSION, x=x, y=targets)
    page, result = report(folder, "run", "--data", "data.h5")
    found = json.loads(run_well(folder, "evaluate", "run/model.h5", "data.h5", "--json").out)
    check_curves(page, result, folder / "run", "r2", ("val_r2", "train_r2"))
    for row, expected in zip(page.tables["Outputs"][1:], found["outputs"]):
        for text, value in zip(row[1:], (expected["mse"], expected["mse"] ** 0.5, expected["mae"], expected["r2"])):
            near(result, text, value, row[0])
    result.must(page.text.count("h0M") >= 2 * 199 - 2, "200 points in each plot")
    run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "p.h5")
    with h5py.File(folder / "p.h5") as file:
        error = numpy.sqrt((((file["y"][()] - targets) / targets.std(axis=0)) ** 2).mean(axis=1))
    rows = page.tables["Samples with the largest errors"][1:]
    result.must([int(row[0]) for row in rows] == numpy.argsort(-error)[:24].tolist(), f"{rows[:3]}")
    near(result, rows[0][3], error.max(), "the largest error")


def labels(folder):
    x, y = harness.three_classes(60)
    targets = (numpy.arange(3) <= y[:, None]).astype("f4"), {"classes": ("a", "b", "c")}
    harness.write_arrays(folder / "test.h5", {"x": x[::-1], "y": (targets[0][::-1], targets[1])})
    train(folder, LABELS, x=x, y=targets)
    page, result = report(folder, "run")
    found = json.loads(run_well(folder, "evaluate", "run/model.h5", "test.h5", "--json").out)
    for row, expected in zip(page.tables["Labels"][1:], found["classes"]):
        near(result, row[3], expected["f1"], f"f1 of {row[0]}")
    result.must("Confusion matrix (rows: true, columns: predicted)" not in page.tables, "labels have no confusion matrix")
    result.must(all(row[1] in ("a", "a, b", "a, b, c") for row in page.tables["Samples with the largest errors"][1:]), "labels")


# ------------------------------------------------------------------------- runs

def several_runs(folder):
    harness.write_arrays(folder / "data.h5", dict(zip("xy", harness.three_classes(60))))
    for name, lr in (("a", 0.01), ("b", 0.002), ("c", 0.05)):
        harness.write_file(folder / "config.yaml", edited(("lr: 0.01", f"lr: {lr}"), ("epochs: 2", f"epochs: {2 + (lr > 0.01)}")))
        run_well(folder, "train", "config.yaml", "-o", f"runs/{name}")
    (folder / "runs/c").rename(folder / os.fsdecode(b"runs/\xffb<i>"))
    page, result = report(folder, "runs/a", "runs/b", os.fsdecode(b"runs/\xffb<i>"), "--data", "data.h5")
    keys = {row[0]: row[1:] for row in page.tables["Keys that differ"][1:]}
    result.must(keys["optimizer.lr"] == ["0.01", "0.002", "0.05"] and "seed" not in keys, f"{keys}")
    result.must(page.tables["Training and results"][0][3] == "runs/\ufffdb<i>", "a name that is not UTF-8")
    head, *rows = page.tables["loss"]
    result.must(head[1:3] == ["runs/a: train_loss", "runs/b: train_loss"] and rows[2][1] == "–", f"{head} {rows}")


def unfinished_and_damaged_runs(folder):
    """Each page says what is missing."""
    train(folder, edited(), **dict(zip("xy", harness.three_classes(24))))
    finished = folder / "run"

    def changed(name, change):
        shutil.copytree(finished, folder / name)
        change(folder / name)
        return report(folder, name, "--data", "data.h5", output=f"{name}.html")

    page, result = changed("bare", lambda path: [(path / name).unlink() for name in ("diagnostics.csv", "train.log", "config.yaml")])
    result.must(all(words in page.text for words in ("No diagnostics", "train.log is missing", "config.yaml is missing")), "missing")
    page, result = changed("empty", lambda path: (path / "metrics.csv").write_text(read_first_line(path / "metrics.csv")))
    result.must("no epoch has ended yet" in page.text, "no epochs")
    page, result = changed("writing", lambda path: append(path / "metrics.csv", b"3,9,0.0"))
    result.must([row[0] for row in page.tables["loss"][1:]] == ["1", "2"], "a row without its end is being written")
    page, result = changed("diverged", lambda path: append(path / "metrics.csv", b"3,9,0.01,nan,,,,100,1\n4,12,0.01,inf,0.5,,,1e300,1\n"))
    result.must([row[1] for row in page.tables["loss"][3:]] == ["–", "∞"], f"{page.tables['loss']}")
    page, result = changed("log", lambda path: append(path / "train.log", b"\xff\x00<b>\n2026-01-01 00:00:00 warning: <i>\xfe\n"))
    result.must("warning: &lt;i&gt;\ufffd" in page.text, "a damaged log")
    page, result = changed("young", lambda path: [shutil.rmtree(path / "checkpoints"), (path / "model.h5").unlink()])
    result.must("model.h5 is missing" in page.text, "no model")
    (finished / "model.h5").rename(folder / "model.h5")
    shutil.rmtree(finished / "checkpoints")
    page, result = report(folder, "run")
    shutil.copy(folder / "model.h5", finished)
    page, result = report(folder, "run")
    result.must("neither test nor validation data" in page.text, "no data")
    harness.flip_byte(finished / "model.h5")
    result = run(folder, "report", "run", "-o", "out.html").exits(0).reports("warning: ", "run", "model.h5")
    check(folder / "out.html", result).text.index("Not evaluated: ")
    run(folder, "report", "run", "-o", "other.html", "--data", "data.h5").exits(4).reports("error: ", "model.h5")
    result.must(not (folder / "other.html").exists(), "no page after an error")


def data_that_are_gone(folder):
    harness.write_arrays(folder / "test.h5", dict(zip("xy", harness.three_classes(24))))
    train(folder, edited(("data.h5", "data.h5\n  test: test.h5")), **dict(zip("xy", harness.three_classes(30))))
    (folder / "test.h5").unlink()
    for ranks in harness.each_of(harness.ALONE, 2):
        result = run(folder, "report", "run", "-o", "out.html", ranks=ranks).exits(0).reports("warning: ", "not evaluated", "test.h5")
        page = check(folder / "out.html", result)
        result.must("Not evaluated: " in page.text and "Classes" not in page.tables, "the page says so")


def many_epochs_and_classes(folder):
    """The page stays small: curves are thinned out but keep their extremes; the heat map is limited."""
    config = edited(("units: 3", "units: 1000"), ("epochs: 2", "epochs: 1"))
    x, y = harness.three_classes(1200)
    train(folder, config, x=x, y=(numpy.arange(1200) % 1000).astype("i8"))
    header = read_first_line(folder / "run/metrics.csv")
    losses = numpy.random.default_rng(1).uniform(1, 2, 20000)
    losses[7777] = 0.125
    rows = "".join(f"{i + 1},{i},0.1,{loss:.9g},0.5,,,1000,1\n" for i, loss in enumerate(losses))
    (folder / "run/metrics.csv").write_text(header + rows)
    page, result = report(folder, "run", "--data", "data.h5")
    found = {int(number(row[0])): number(row[1]) for row in page.tables["loss"][1:]}
    result.must(len(found) < 300 and found[7778] == 0.125 and 1 in found and 20000 in found, f"{len(found)} points")
    result.must(len(page.tables["Confusion matrix (rows: true, columns: predicted)"]) == 31, "30 classes in the heat map")
    result.must("Shows 30 of 1000 classes" in page.text and "of 20000 points" in page.text, "limits are stated")
    result.must(len(page.text) < 400000, f"{len(page.text)} bytes")


def read_first_line(path):
    return path.read_text().splitlines(keepends=True)[0]


def append(path, content):
    path.write_bytes(path.read_bytes() + content)


# ---------------------------------------------------------------------- browser

PROBE = """
var svg=document.querySelector('svg[data-axis]'),box=svg.getBoundingClientRect();
svg.dispatchEvent(new PointerEvent('pointermove',{clientX:box.left+box.width*0.98,clientY:box.top+20}));
document.body.dataset.tip=svg.closest('.chart').querySelector('.tip').textContent.replace(/\\n/g,'|');
"""


def browser(folder):
    run_well(folder, "train", DATASETS / "digits/digits.yaml", "--set", "train.epochs=2")
    data = folder / ("a_long_name_without_spaces_" * 4)
    data.symlink_to(DATASETS / "digits")
    page, result = report(folder, "runs/digits", "--data", f"{data.name}/digits.h5:/test")
    found = browse(folder, page, result, PROBE)
    last = page.tables["loss"][-1]
    result.must(found["tip"] == "|".join(f"{name}  {text}" for name, text in zip(page.tables["loss"][0], last)), f"the values: {found}")


def contrast(folder):
    run_well(folder, "train", DATASETS / "iris/iris.yaml", "--set", "train.epochs=1")
    page, result = report(folder, "runs/iris")
    check_contrast(page, result)


harness.main([(test.__name__.replace("_", " "), test) for test in (
    classes, same_numbers_as_evaluate, images, tables_and_signals_are_no_pictures, numbers, labels, several_runs,
    unfinished_and_damaged_runs, data_that_are_gone, many_epochs_and_classes, browser, contrast)])
