"""Values and shapes of samples: layouts of images, precision of large numbers, scales of targets."""

import json
import re

import h5py
import numpy

import harness
from harness import edited, model_arrays, read_csv, run, run_well

RANDOM = numpy.random.default_rng(3)


def prepare(folder, *edits, **arrays):
    """A config and its data."""
    harness.write_file(folder / "config.yaml", edited(*edits))
    harness.write_arrays(folder / "data.h5", arrays)


def train(folder, output, *sets):
    words = [word for pair in sets for word in ("--set", pair)]
    return run(folder, "train", "config.yaml", "-o", output, *words).exits(0)


def losses(folder, output):
    header, rows = read_csv(folder / output / "metrics.csv")
    return [row[header.index("train_loss")] for row in rows]


# ----------------------------------------------------------------------- layout

IMAGES = RANDOM.integers(0, 256, (60, 6, 8, 3)).astype("u1")  # (N, H, W, C)
CLASSES = numpy.arange(60) % 3
AUGMENT = "data.augment={shift: 1, flip_horizontal: true, rotate: 20, noise: 0.1, cutout: 3, mixup: 0.2}"
LAYOUTS = {"last": (IMAGES, ()),
           "first": (numpy.moveaxis(IMAGES, 3, 1), ("data.layout=channels_first",)),
           "flat_last": (IMAGES.reshape(60, -1), ("data.shape=[6, 8, 3]",)),
           "flat_first": (numpy.moveaxis(IMAGES, 3, 1).reshape(60, -1),
                          ("data.layout=channels_first", "data.shape=[3, 6, 8]"))}


def each_layout_gives_the_same_model(folder):
    """The same pixels in other layouts are augmented, normalised and learnt to the same bits."""
    prepare(folder, x=IMAGES, y=CLASSES)
    for type_ in ("u1", "f4", "f8"):
        for name, (x, sets) in LAYOUTS.items():
            harness.write_arrays(folder / "data.h5", {"x": x.astype(type_), "y": CLASSES})
            result = train(folder, name + type_, AUGMENT, "data.normalize=scale", *sets)
            result.must("data.layout" not in result.err, f"{name}: no warning")
            one, other = model_arrays(folder / f"last{type_}/model.h5"), model_arrays(folder / f"{name}{type_}/model.h5")
            result.must(losses(folder, "last" + type_) == losses(folder, name + type_), f"{name}: same losses")
            result.must(all(one[path].tobytes() == other[path].tobytes() for path in one), f"{name}: same weights")


def evaluation_reads_the_layout_of_training(folder):
    prepare(folder, x=LAYOUTS["first"][0], y=CLASSES)
    train(folder, "run", "data.layout=channels_first", "train.epochs=20")
    numpy_x = IMAGES.reshape(60, -1).astype("f8")
    run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "p.h5")
    with h5py.File(folder / "p.h5") as file:
        told = file["probability"][()]
    weights = model_arrays(folder / "run/model.h5")
    hidden = numpy.maximum(numpy_x @ weights["0-dense/W"].T + weights["0-dense/b"], 0)
    z = hidden @ weights["1-dense/W"].T + weights["1-dense/b"]
    wanted = numpy.exp(z - z.max(axis=1, keepdims=True))
    wanted /= wanted.sum(axis=1, keepdims=True)
    result = run_well(folder, "evaluate", "run/model.h5", "data.h5")
    result.must(numpy.allclose(told, wanted, atol=1e-4), "predictions follow from the weights and channels-last pixels")


SIGNALS = RANDOM.normal(size=(60, 20, 3)).astype("f4")  # (N, L, C)
CONV = "[{layer: conv1d, filters: 4, kernel_size: 3}, {layer: dense, units: 3, activation: softmax}]"


def the_first_convolution_determines_the_dims(folder):
    """Samples of two dims are signals for conv1d, and images without channels for conv2d. Flat rows get the model's shape."""
    prepare(folder, x=SIGNALS, y=CLASSES)
    layouts = {"last": (SIGNALS, "channels_last"), "first": (numpy.moveaxis(SIGNALS, 2, 1), "channels_first")}
    for name, (x, layout) in layouts.items():
        harness.write_arrays(folder / f"{name}.h5", {"x": x, "y": CLASSES})
        harness.write_arrays(folder / f"{name}-flat.h5", {"x": x.reshape(60, -1), "y": CLASSES})
        train(folder, name, f"data.train={name}.h5", f"data.layout={layout}", f"model={CONV}")
        for data in (f"{name}.h5", f"{name}-flat.h5"):
            run_well(folder, "predict", f"{name}/model.h5", data, "-o", "p.csv")
            (folder / f"{data}.csv").write_bytes((folder / "p.csv").read_bytes())
    texts = {path.read_text() for path in folder.glob("*.h5.csv")}
    assert len(texts) == 1, f"predictions differ: {len(texts)}"
    for layout in ("channels_last", "channels_first"):
        harness.write_arrays(folder / "grey.h5", {"x": IMAGES[..., 0], "y": CLASSES})
        result = train(folder, f"grey-{layout}", "data.train=grey.h5", f"data.layout={layout}",
                       "model=" + CONV.replace("conv1d", "conv2d"))
        result.must("data.layout" not in result.err, "no warning")
    one, other = (model_arrays(folder / f"grey-{layout}/model.h5") for layout in ("channels_last", "channels_first"))
    assert all(one[path].tobytes() == other[path].tobytes() for path in one)


def data_like_the_other_layout_cause_a_warning(folder):
    prepare(folder, x=LAYOUTS["first"][0], y=CLASSES)
    train(folder, "a").reports("warning", "data.layout", "(60, 3, 6, 8)", "channels_first")
    prepare(folder, x=IMAGES, y=CLASSES)
    train(folder, "b", "data.layout=channels_first").reports("warning", "data.layout", "(60, 6, 8, 3)", "channels_last")
    result = train(folder, "c")
    result.must("data.layout" not in result.err, "no warning for the usual layout")


def a_resume_keeps_the_layout(folder):
    prepare(folder, x=IMAGES, y=CLASSES)
    train(folder, "run")
    run(folder, "train", "config.yaml", "--set", "train.epochs=3", "--set", "data.layout=channels_first").exits(2).reports(
        "layout", "channels_first", "channels_last")


def invalid_shapes(folder):
    prepare(folder, x=IMAGES, y=CLASSES)
    for shape in ("[]", "[0, 8, 3]", "[6, 8.5, 3]", "[-6, 8, 3]", "[1, 6, 8, 3, 1]", "[a, 8, 3]", "{a: 1}", "144"):
        run(folder, "check", "config.yaml", "--set", f"data.shape={shape}").exits(2).reports("data.shape", "must be")
    for shape in ("[6, 8, 4]", "[8, 6, 3]", "[144]", "[48, 3]"):
        run(folder, "check", "config.yaml", "--set", f"data.shape={shape}").exits(3).reports(
            "data.shape", "(60, 6, 8, 3)", re.sub(r"[\[\]]", "", shape))
    run_well(folder, "check", "config.yaml", "--set", "data.shape=[6, 8, 3, 1]")


# ----------------------------------------------------------------------- scales

def prices(folder, *edits):
    random = numpy.random.default_rng(5)
    x = random.random((200, 5))
    prepare(folder, ("softmax", "linear"), ("categorical_cross_entropy", "mse"), ("units: 3", "units: 1"), *edits,
            x=x, y=2e5 + x @ random.random(5) * 1e5)


def targets_far_from_unit_scale_cause_a_warning(folder):
    prices(folder)
    for epochs in (1, 8):
        result = train(folder, f"run{epochs}", f"train.epochs={epochs}")
        result.reports("warning", "data.standardize_targets", "train_r2")
        result.must(result.err.count("standardize_targets") == 1, "one warning")
    harness.write_arrays(folder / "data.h5", {"x": IMAGES[:, 0, 0], "y": 1_700_000_000 + CLASSES})  # equal as float32
    train(folder, "times", "train.epochs=8").reports("warning", "data.standardize_targets", "train_r2")
    for name, set_ in (("standardized", "data.standardize_targets=true"), ("classes", "loss=mse")):
        if name == "classes":
            prepare(folder, ("softmax", "linear"), ("categorical_cross_entropy", "mse"), x=IMAGES[:, 0, 0], y=numpy.eye(3)[CLASSES])
        result = train(folder, name, set_, "train.epochs=8")
        result.must("standardize_targets" not in result.err, f"{name}: no warning")


def divergence_with_large_targets_names_the_remedy(folder):
    prices(folder, ("type: adam, lr: 0.01", "type: sgd, lr: 10.0"), ("activation: relu", "activation: linear"))
    run(folder, "train", "config.yaml").exits(6).reports("data.standardize_targets", "not finite")


# ----------------------------------------------------------------------- precision

def large_numbers_keep_their_digits(folder):
    """Unix times as inputs and as targets: float32 cannot distinguish them."""
    times = 1.6e9 + 0.1 * numpy.random.default_rng(4).permutation(600)
    lines = numpy.stack([times, numpy.full(600, 1 / 3)], axis=1)
    y = numpy.stack([times, 1e12 + 100 * times, numpy.full(600, 0.1)], axis=1)
    prepare(folder, ("softmax", "linear"), ("categorical_cross_entropy", "mse"), ("units: 3", "units: 3"),
            x=lines, y=y)
    for kind in ("f8", "i8"):
        scale = 1 if kind == "f8" else 10  # whole tenths of seconds
        harness.write_arrays(folder / "data.h5", {"x": (lines * scale).astype(kind), "y": (y * scale).astype(kind)})
        run(folder, "train", "config.yaml", "-o", kind, "--set", "data.normalize=standardize", "--set", "train.epochs=40",
            "--set", "data.standardize_targets=true").exits(0)
        result = run_well(folder, "evaluate", f"{kind}/model.h5", "data.h5", "--json")
        found = json.loads(result.out)
        result.must(found["r2"] > 0.99, "the model learns the times")
        run_well(folder, "predict", f"{kind}/model.h5", "data.h5", "-o", "p.h5", ranks=2)
        run_well(folder, "predict", f"{kind}/model.h5", "data.h5", "-o", "p.csv")
        with h5py.File(folder / "p.h5") as file:
            told = file["y"][()]
        table = numpy.array(read_csv(folder / "p.csv")[1], float)
        error = numpy.abs(told - (y * scale).astype(kind)).max(axis=0)
        result.must((error < [8 * scale, 800 * scale, 0.2 * scale]).all(), f"predictions are near: {error}")
        result.must(numpy.allclose(told, table, rtol=1e-13, atol=0), "CSV has the same digits")
        told = run_well(folder, "explain", f"{kind}/model.h5", "data.h5", "--importance", "--json")
        features = {row["name"]: row for row in json.loads(told.out)["features"]}
        told.must(features["x[0]"]["r2_drop"] > 0.1 > abs(features["x[1]"]["r2_drop"]), "the times are important")


def gradients_of_many_rows_are_exact(folder):
    """With x = 1 and W = b = 0, the gradient of the mean loss is -y for W and for b, whatever the number of rows."""
    n = 1000000
    with h5py.File(folder / "data.h5", "w") as file:
        file.create_dataset("x", data=numpy.ones((n, 1), "u1"), compression=1)
        file.create_dataset("y", data=numpy.full((n, 2), 0.1, "f4"), compression=1)
    harness.write_file(folder / "config.yaml", edited(
        ("  - {layer: dense, units: 8, activation: relu}\n", ""), ("units: 3, activation: softmax", "units: 2, init: zeros"),
        ("categorical_cross_entropy", "mse"), ("batch_size: 8", "batch_size: full\n  max_steps: 1\n  diagnostics: false"),
        ("type: adam, lr: 0.01", "type: sgd, lr: 1"), ("data.h5", "data.h5\n  shuffle: false")))
    for name, ranks, *more in (("one", 1), ("three", 3), ("lanes", 2, "--set", "train.reproducible=true")):
        result = run_well(folder, "train", "config.yaml", "-o", name, *more, ranks=ranks)
        arrays = model_arrays(folder / f"{name}/model.h5")
        for path, value in arrays.items():
            result.must(numpy.abs(value - 0.1).max() < 1e-7, f"{path} must be 0.1, not {value}")


# ----------------------------------------------------------------------- the config

def validation_as_a_percentage(folder):
    prepare(folder, x=IMAGES[:, 0, 0], y=CLASSES)
    for text, n in (("20%", 12), ("'5 %'", 3), ("12.5%", 8), ("0%", 0), ("0.2", 12)):
        found = run_well(folder, "check", "config.yaml", "--set", f"data.validation={text}").out
        told = re.search(r"^validation +(\d+) samples", found, re.M)
        assert (int(told[1]) if told else 0) == n, (text, found)
    for text in ("100%", "-1%", "20", "1.0", "1e-400", "1e-400%", "1e400%"):
        run(folder, "check", "config.yaml", "--set", f"data.validation={text}").exits(2).reports(
            "data.validation", "out of range", "20%", "FILE")
    for text in ("x%", "20%%", "nan", "inf", "0x1p-3"):
        run(folder, "check", "config.yaml", "--set", f"data.validation={text}").exits(3).reports(text)


def numbers_that_do_not_fit(folder):
    prepare(folder, x=IMAGES[:, 0, 0], y=CLASSES)
    for text in ("1e-400", "1e-39", "-1e-400", "0.00001e-330"):
        run(folder, "check", "config.yaml", "--set", f"optimizer.lr={text}").exits(2).reports(
            "optimizer.lr", text, "too small|out of range", "must be")
        run(folder, "check", "config.yaml", "--set", f"train.class_weight=[{text}, 1, 1]").exits(2)
    for text in ("1e400", "-1e400", "1e39"):
        run(folder, "check", "config.yaml", "--set", f"optimizer.lr={text}").exits(2).reports("optimizer.lr", text, "out of range")
    for text in ("0", "0.0e-400", "1.2e-38"):
        run(folder, "check", "config.yaml", "--set", f"optimizer.lr={text}").exits(0)


TESTS = [
    each_layout_gives_the_same_model, evaluation_reads_the_layout_of_training, data_like_the_other_layout_cause_a_warning,
    the_first_convolution_determines_the_dims, a_resume_keeps_the_layout, invalid_shapes, targets_far_from_unit_scale_cause_a_warning,
    large_numbers_keep_their_digits, gradients_of_many_rows_are_exact, divergence_with_large_targets_names_the_remedy, validation_as_a_percentage, numbers_that_do_not_fit,
]

harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
