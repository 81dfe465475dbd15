"""Data that differ from those of a model's training: order of columns, class names, shape, type, range."""

import json

import h5py
import numpy

import harness
from harness import edited, model_arrays, read_csv, run, run_well

RANDOM = numpy.random.default_rng(5)
X, Y = harness.three_classes(90)
X = X * (1, 5, 0.5, 20) + (0, 10, 3, 100)  # so that the order of the columns matters
X = X.astype("f4")
FEATURES = ("height", "width", "age", "weight")
CLASSES = ("ant", "bee", "cat")
TRAIN = (("  train: data.h5", "  train: data.h5\n  normalize: standardize"), ("epochs: 2", "epochs: 30"))
WARNING = "warning"


def dataset(path, x=X, y=Y, features=FEATURES, classes=CLASSES):
    arrays = {"x": (x, {"features": features} if features else {})}
    if y is not None:
        arrays["y"] = (y, {"classes": classes} if classes else {})
    harness.write_arrays(path, arrays)


def train(folder, *edits, config=None, **data):
    """Returns the exact evaluation of the model on its training data."""
    dataset(folder / "data.h5", **data)
    harness.write_file(folder / "config.yaml", edited(*edits) if config is None else config)
    run_well(folder, "train", "config.yaml", "--overwrite")
    return evaluation(folder, "data.h5")


def evaluation(folder, data, warning=None, ranks=harness.ALONE):
    result = run(folder, "evaluate", "run/model.h5", data, "--json", ranks=ranks).exits(0)
    if warning:
        result.reports(WARNING, *warning)
    else:
        result.must(result.err == "", "stderr must be empty")
    return json.loads(result.out)


def probabilities(folder, data):
    run(folder, "predict", "run/model.h5", data, "-o", "p.h5").exits(0)
    with h5py.File(folder / "p.h5") as file:
        return file["probability"][()]


# --------------------------------------------------------------------- columns

ORDER = (2, 0, 3, 1)


def columns_in_another_order(folder):
    """Features are found by name: results have the same bits, on any number of ranks and by every command."""
    before = train(folder, *TRAIN)
    assert before["accuracy"] > 0.9, before
    names = [FEATURES[j] for j in ORDER]
    dataset(folder / "wide.h5", X[:, ORDER].astype("f8"), features=names)
    assert evaluation(folder, "wide.h5")["confusion"] == before["confusion"]
    dataset(folder / "other.h5", X[:, ORDER], features=names)
    for ranks in (harness.ALONE, 3):
        assert evaluation(folder, "other.h5", ranks=ranks) == evaluation(folder, "data.h5", ranks=ranks)
    assert numpy.array_equal(probabilities(folder, "other.h5"), probabilities(folder, "data.h5"))
    outputs = [run_well(folder, "explain", "run/model.h5", data, "--importance", "--json").out
               for data in ("data.h5", "other.h5")]
    assert outputs[0] == outputs[1], outputs
    dataset(folder / "plain.h5", X[:, ORDER], features=None)
    assert evaluation(folder, "plain.h5", warning=("plain.h5", "feature"))["accuracy"] < 0.8, "columns without names"


def columns_of_more_dims(folder):
    """Names of the columns hold for samples with dims of 1 too."""
    before = train(folder, *TRAIN)
    for shape in ((-1, 4, 1), (-1, 1, 4)):
        dataset(folder / "other.h5", X[:, ORDER].reshape(shape), features=[FEATURES[j] for j in ORDER])
        assert evaluation(folder, "other.h5") == before


def columns_in_another_order_as_csv(folder):
    train(folder, *TRAIN)
    lines = [",".join(FEATURES[j] for j in ORDER)] + [",".join(map(repr, map(float, row))) for row in X[:, ORDER]]
    harness.write_file(folder / "other.csv", "\n".join(lines) + "\n")
    assert numpy.allclose(probabilities(folder, "other.csv"), probabilities(folder, "data.h5"), atol=1e-6)


def additional_columns_are_ignored(folder):
    before = train(folder, *TRAIN)
    extra = numpy.full((90, 1), numpy.nan, "f4")  # not read as a feature
    dataset(folder / "more.h5", numpy.concatenate([extra, X[:, ORDER], extra], 1),
            features=["id", *(FEATURES[j] for j in ORDER), "note"])
    assert evaluation(folder, "more.h5", warning=("more.h5:/x", "ignored", "id, note")) == before


def missing_columns(folder):
    train(folder, *TRAIN)
    dataset(folder / "less.h5", X[:, :3], features=FEATURES[:3])
    result = run(folder, "evaluate", "run/model.h5", "less.h5").exits(3)
    result.reports("less.h5:/x", "lacks", "run/model.h5: weight", "height, width, age")
    dataset(folder / "renamed.h5", features=("height", "width", "years", "weight"))
    run(folder, "evaluate", "run/model.h5", "renamed.h5", ranks=2).exits(3).reports("lacks", "age", "years", "features")
    dataset(folder / "twice.h5", features=("height", "width", "width", "weight"))
    run(folder, "evaluate", "run/model.h5", "twice.h5").exits(3).reports("width", "more than once")


def columns_of_validation_and_test(folder):
    """The splits of a run are matched with its training data."""
    names = [FEATURES[j] for j in ORDER]
    dataset(folder / "data.h5")
    dataset(folder / "other.h5", X[:, ORDER] + 0.01, features=names)
    dataset(folder / "same.h5", X + numpy.float32(0.01))
    results = []
    for file in ("same.h5", "other.h5"):
        harness.write_file(folder / "config.yaml", edited(
            ("  train: data.h5", f"  train: data.h5\n  validation: {file}\n  test: {file}\n  normalize: standardize")))
        result = run_well(folder, "train", "config.yaml", "-o", file[:-3])
        header, rows = read_csv(folder / file[:-3] / "metrics.csv")
        results.append(([row[header.index("val_loss")] for row in rows],
                        [line.split("(")[0] for line in result.out.splitlines() if line.startswith("test:")]))
    assert results[0] == results[1], results


# --------------------------------------------------------------------- classes

def classes_by_name(folder):
    """Class numbers of another file are translated: also where it lacks classes, or has them one-hot."""
    before = train(folder, *TRAIN)
    order = numpy.array([2, 0, 1])  # the file's number of each of the model's classes
    names = ("bee", "cat", "ant")
    dataset(folder / "other.h5", y=order[Y], classes=names)
    assert evaluation(folder, "other.h5") == before
    dataset(folder / "hot.h5", y=numpy.eye(3, dtype="u1")[order[Y]], classes=names)
    assert evaluation(folder, "hot.h5") == before
    keep = Y != 0
    dataset(folder / "expected.h5", X[keep], Y[keep], classes=None)
    expected = evaluation(folder, "expected.h5")
    for y, classes in ((Y[keep] - 1, ("bee", "cat")), (2 - Y[keep], ("cat", "bee")),
                       (numpy.eye(2)[Y[keep] - 1], ("bee", "cat"))):
        dataset(folder / "less.h5", X[keep], y, classes=classes)
        assert evaluation(folder, "less.h5") == expected
    result = run_well(folder, "train", "config.yaml", "-o", "test", "--set", "data.test=less.h5")
    result.reports("test:", f"{expected['accuracy']:.4f}")
    assert [c["support"] for c in expected["classes"]] == [0, 30, 30], expected
    assert [c["name"] for c in expected["classes"]] == list(CLASSES)


def classes_that_the_model_does_not_have(folder):
    before = train(folder, *TRAIN)
    dataset(folder / "more.h5", classes=(*CLASSES, "dog"))  # which no sample has
    assert evaluation(folder, "more.h5") == before
    y = Y.copy()
    y[7] = 3
    dataset(folder / "dog.h5", y=y, classes=(*CLASSES, "dog"))
    result = run(folder, "evaluate", "run/model.h5", "dog.h5", ranks=2).exits(3)
    result.reports("dog.h5:/y", "row 7", "dog", "ant, bee, cat")
    dataset(folder / "hot.h5", y=numpy.eye(4)[y], classes=(*CLASSES, "dog"))
    run(folder, "evaluate", "run/model.h5", "hot.h5").exits(3).reports("hot.h5:/y", "row 7", "dog")
    dataset(folder / "none.h5", classes=("red", "green", "blue"))
    run(folder, "evaluate", "run/model.h5", "none.h5").exits(3).reports("none.h5:/y", "red, green, blue", "ant, bee, cat")
    run(folder, "predict", "run/model.h5", "none.h5", "-o", "p.csv").exits(0)


def classes_of_one_output(folder):
    """A label of two classes: the names may be in the other order, or one may be absent."""
    y = (Y > 0).astype("u1")
    binary = (("units: 3, activation: softmax", "units: 1, activation: sigmoid"),
              ("categorical_cross_entropy", "binary_cross_entropy"))
    before = train(folder, *TRAIN, *binary, y=y, classes=("no", "yes"))
    dataset(folder / "other.h5", y=1 - y, classes=("yes", "no"))
    assert evaluation(folder, "other.h5") == before
    dataset(folder / "expected.h5", X[y == 1], y[y == 1], classes=None)
    dataset(folder / "one.h5", X[y == 1], numpy.zeros(60, "u1"), classes=("yes",))
    assert evaluation(folder, "one.h5") == evaluation(folder, "expected.h5")


def labels_by_name(folder):
    """The columns of several labels are matched like those of x."""
    y = numpy.stack([Y == 0, Y > 0, X[:, 0] > 1], 1).astype("u1")
    several = (("units: 3, activation: softmax", "units: 3, activation: sigmoid"),
               ("categorical_cross_entropy", "binary_cross_entropy"))
    before = train(folder, *TRAIN, *several, y=y)
    dataset(folder / "other.h5", y=numpy.concatenate([y[:, [2, 0]], y[:, :1], y[:, 1:2]], 1),
            classes=("cat", "ant", "dog", "bee"))
    assert evaluation(folder, "other.h5") == before
    dataset(folder / "less.h5", y=y[:, :2], classes=CLASSES[:2])
    run(folder, "evaluate", "run/model.h5", "less.h5").exits(3).reports("less.h5:/y", "ant, bee, cat")


REGRESSION = (("units: 3, activation: softmax", "units: 1"), ("categorical_cross_entropy", "mse"))


def equal_numbers_as_names(folder):
    """They would be one class of a model without class names."""
    train(folder, *TRAIN, classes=None)
    dataset(folder / "other.h5", y=2 - Y, classes=("2", "1", "0"))
    assert evaluation(folder, "other.h5")["accuracy"] > 0.9
    dataset(folder / "other.h5", classes=("0", "0", "2"))
    run(folder, "evaluate", "run/model.h5", "other.h5").exits(3).says("other.h5:/y", "classes", "more than once")


def regression_on_class_names(folder):
    """The numbers of named classes are not quantities, except for names that are numbers: those are y."""
    harness.write_file(folder / "config.yaml", edited(*REGRESSION))
    dataset(folder / "data.h5")
    result = run(folder, "train", "config.yaml").exits(3)
    result.reports("data.h5:/y", "ant, bee, cat", "mse", "categorical_cross_entropy", "classes")
    dataset(folder / "data.h5", y=numpy.array([5.0, 2.5, 7.0])[Y], classes=None)
    run_well(folder, "train", "config.yaml", "-o", "numbers")
    dataset(folder / "data.h5", classes=("5", "2.5", "7"))
    run_well(folder, "train", "config.yaml", "-o", "names")
    one, other = (model_arrays(folder / name / "model.h5") for name in ("numbers", "names"))
    assert all(numpy.array_equal(one[path], other[path]) for path in one)
    dataset(folder / "data.h5", y=numpy.eye(3)[Y])  # names of columns
    run_well(folder, "train", "config.yaml", "-o", "columns", "--set", "model.1.units=3")


# ----------------------------------------------------------- init-from, resume

def initial_weights_follow_the_names(folder):
    """Weights of another model are rearranged for data with columns and classes in another order."""
    train(folder, *TRAIN)
    before = probabilities(folder, "data.h5")
    order = numpy.array([2, 0, 1])  # the new numbers of the classes
    words = ("train", "config.yaml", "--init-from", "run/model.h5", "--set", "train.max_steps=0", "--set", "data.train=new.h5")
    dataset(folder / "new.h5", X[:, ORDER], order[Y], [FEATURES[j] for j in ORDER], ("bee", "cat", "ant"))
    for ranks in (harness.ALONE, 2):
        result = run_well(folder, *words, "-o", f"new-{ranks}", ranks=ranks)
        run_well(folder, "predict", f"new-{ranks}/model.h5", "new.h5", "-o", "q.h5")
        with h5py.File(folder / "q.h5") as file:
            result.must(numpy.allclose(file["probability"][()][:, order], before, atol=1e-5), "same predictions")
    dataset(folder / "new.h5", y=order[Y], classes=("bee", "dog", "ant"))
    result = run(folder, *words, "-o", "dog").exits(0).reports(WARNING, "run/model.h5", "classes dog")
    run(folder, "predict", "dog/model.h5", "data.h5", "-o", "q.h5").exits(0)
    with h5py.File(folder / "q.h5") as file:
        ratios = file["probability"][()] / before[:, [1, 1, 0]]  # softmax of the rows that were found
        result.must(numpy.allclose(ratios[:, 0], ratios[:, 2], rtol=1e-3), "rows of bee and ant")
    dataset(folder / "new.h5", features=("height", "width", "years", "weight"))
    run(folder, *words, "-o", "bad").exits(3).reports("data.train", "years", "run/model.h5", "--init-layers")
    run(folder, *words, "-o", "last", "--init-layers", "1").exits(0)


def initial_weights_of_one_output(folder):
    y = (Y > 0).astype("u1")
    train(folder, *TRAIN, ("units: 3, activation: softmax", "units: 1, activation: sigmoid"),
          ("categorical_cross_entropy", "binary_cross_entropy"), y=y, classes=("no", "yes"))
    before = probabilities(folder, "data.h5")
    dataset(folder / "data.h5", y=1 - y, classes=("yes", "no"))
    run_well(folder, "train", "config.yaml", "--init-from", "run/model.h5", "-o", "new", "--set", "train.max_steps=0")
    run_well(folder, "predict", "new/model.h5", "data.h5", "-o", "q.h5")
    with h5py.File(folder / "q.h5") as file:
        assert numpy.allclose(file["probability"][()], 1 - before, atol=1e-5)


def initial_weights_for_another_shape(folder):
    images = RANDOM.integers(0, 256, (90, 6, 4, 3)).astype("u1")
    train(folder, ("train: data.h5", "train: data.h5\n  normalize: scale"), ("relu", "tanh"), x=images, features=None)
    words = ("train", "config.yaml", "--init-from", "run/model.h5", "-o", "new")
    dataset(folder / "data.h5", numpy.moveaxis(images, 3, 1), features=None)
    run(folder, *words).exits(3).reports("data.train", "(3, 6, 4)", "(6, 4, 3)", "run/model.h5")
    dataset(folder / "data.h5", (images / 255).astype("f4"), features=None)
    run(folder, *words, "--set", "data.normalize=none").exits(0).reports(WARNING, "inputs|x is")


def resume_with_other_names(folder):
    """The fingerprint does not show names; other names would change what the weights mean."""
    train(folder, *TRAIN)
    words = ("train", "config.yaml", "--set", "train.epochs=31")
    for data, parts in (({"classes": ("bee", "ant", "cat")}, ("bee, ant, cat", "ant, bee, cat")),
                        ({"features": FEATURES[::-1]}, (", ".join(FEATURES), ", ".join(FEATURES[::-1]))),
                        ({"x": X.reshape(90, 2, 2), "features": None}, ())):
        dataset(folder / "data.h5", **data)
        result = run(folder, *words)
        result.exits(3).reports("checkpoints/step-", "belongs to data", *parts) if parts else result.exits(0)


# ----------------------------------------------------------------------- shape

def other_shapes(folder):
    """Dims of 1 and flat rows agree with the shape of the model; other shapes are refused."""
    images = RANDOM.integers(0, 256, (90, 6, 4, 3)).astype("u1")
    before = train(folder, ("train: data.h5", "train: data.h5\n  normalize: scale"), ("relu", "tanh"), x=images, features=None)
    for name, x in (("flat", images.reshape(90, -1)), ("ones", images.reshape(90, 6, 1, 4, 3)[:, :, 0])):
        dataset(folder / f"{name}.h5", x, features=None)
        assert evaluation(folder, f"{name}.h5") == before
    for x, shape in ((numpy.moveaxis(images, 3, 1), "(90, 3, 6, 4)"), (images.reshape(90, 4, 6, 3), "(90, 4, 6, 3)")):
        dataset(folder / "other.h5", x, features=None)
        for command in ("evaluate",), ("predict", "-o", "p.h5"), ("explain", "--importance"):
            result = run(folder, command[0], "run/model.h5", "other.h5", *command[1:]).exits(3)
            result.reports("other.h5:/x", shape, "(6, 4, 3)")
    harness.write_file(folder / "config.yaml", edited(("train: data.h5", "train: data.h5\n  test: other.h5")))
    run(folder, "train", "config.yaml", "-o", "new").exits(3).reports("other.h5:/x", shape, "(6, 4, 3)")


# ------------------------------------------------------------- type and range

BYTES = RANDOM.integers(0, 60, (90, 36)).astype("u1")
for k in range(3):
    BYTES[Y == k, k * 12:k * 12 + 12] += 150


def other_scales(folder):
    scale = (("train: data.h5", "train: data.h5\n  normalize: scale"),)
    before = train(folder, *scale, x=BYTES, features=None)
    with h5py.File(folder / "run/model.h5") as file:
        x = [file.attrs[name] for name in ("x_type", "x_low", "x_high", "x_magnitude")]
        assert x[:3] == ["uint8", 0, BYTES.max()] and abs(x[3] - BYTES.mean()) < 1e-9, x
    floats = (BYTES / 255).astype("f4")
    for x in floats, floats * 2 - 1, 100 * BYTES.astype("i4"):
        dataset(folder / "other.h5", x, features=None)
        evaluation(folder, "other.h5", warning=("other.h5", x.dtype.name, "uint8", "0", str(BYTES.max()), "normali"))
    dataset(folder / "other.h5", BYTES.astype("f4"), features=None)  # whole numbers in range
    assert evaluation(folder, "other.h5") == before
    dataset(folder / "other.h5", numpy.maximum(BYTES - 0.5, 0).astype("f4"), features=None)
    evaluation(folder, "other.h5", warning=("other.h5", "float32", "uint8"))
    numpy.savetxt(folder / "other.csv", BYTES, fmt="%d", delimiter=",")
    run_well(folder, "predict", "run/model.h5", "other.csv", "-o", "p.h5")
    dataset(folder / "other.h5", BYTES[:50].astype("u2"), features=None, y=Y[:50])
    evaluation(folder, "other.h5")


def other_units(folder):
    """A column of a table in another unit, at any normalisation that knows its range."""
    for kind in "standardize", "scale":
        edits = ((TRAIN[0][0], TRAIN[0][1].replace("standardize", kind)),)
        train(folder, *edits)
        for data in X[:12], X[::3]:
            dataset(folder / "part.h5", data, Y[:len(data)])
            evaluation(folder, "part.h5")
        data = X[:40].copy()
        data[:, 1] = 90  # constant: data of one kind
        dataset(folder / "part.h5", data, Y[:40])
        evaluation(folder, "part.h5")
        for factor in (1000,) if kind == "scale" else (0.001, 1000):
            x = X.copy()
            x[:, 1] *= factor
            dataset(folder / "other.h5", x)
            result = run(folder, "evaluate", "run/model.h5", "other.h5").exits(0)
            result.reports(WARNING, "other.h5", "width|from 0 to|far")
        harness.write_file(folder / "config.yaml", edited(*edits, ("  train", "  validation: other.h5\n  train")))
        run(folder, "train", "config.yaml", "-o", kind).exits(0).reports(WARNING, "data.validation", "feature 1", "width")


# ---------------------------------------------------------- foreign attributes

def foreign_attributes(folder):
    """Attributes of other programs are ignored with a warning."""
    harness.write_file(folder / "config.yaml", edited())
    for array, name, value in (("y", "classes", 3), ("x", "features", 5), ("x", "features", "pixels"),
                               ("x", "features", ["a", "b"]), ("y", "classes", numpy.eye(3))):
        arrays = {"x": X, "y": Y}
        arrays[array] = (arrays[array], {name: value})
        harness.write_arrays(folder / "data.h5", arrays)
        result = run(folder, "train", "config.yaml", "--overwrite").exits(0)
        result.reports(WARNING, f"data.h5:/{array}", name, "ignored")
        with h5py.File(folder / "run/model.h5") as file:
            assert name not in file.attrs


TESTS = [
    columns_in_another_order, columns_of_more_dims, columns_in_another_order_as_csv, additional_columns_are_ignored, missing_columns,
    columns_of_validation_and_test, classes_by_name, classes_that_the_model_does_not_have, classes_of_one_output,
    labels_by_name, equal_numbers_as_names, regression_on_class_names, initial_weights_follow_the_names, initial_weights_of_one_output,
    initial_weights_for_another_shape, resume_with_other_names, other_shapes, other_scales, other_units, foreign_attributes,
]

harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
