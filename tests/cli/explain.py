"""`lockstep explain`: files, tables, pictures, and the messages about errors."""

import json
import re
import shutil
import struct
import zlib

import h5py
import numpy

import harness
from harness import ALONE, DATASETS, edited, run_well

USAGE, DATA, MODEL, OUTPUT = 2, 3, 4, 5
X, Y = harness.three_classes(41)

BINARY = edited(("units: 3, activation: softmax", "units: 1, activation: sigmoid"),
                ("categorical_cross_entropy", "binary_cross_entropy"))
LINEAR = edited(("  - {layer: dense, units: 8, activation: relu}\n", ""), ("units: 3, activation: softmax", "units: 2"),
                ("categorical_cross_entropy", "mse"), ("data.h5", "data.h5\n  normalize: standardize"))


def train(folder, config=harness.CONFIG, **arrays):
    """A model in run/ of data.h5."""
    harness.write_file(folder / "config.yaml", config)
    harness.write_arrays(folder / "data.h5", arrays or {"x": X, "y": Y})
    run_well(folder, "train", "config.yaml", "--set", "train.diagnostics=false")


def explain(folder, *words, model="run/model.h5", data="data.h5", **how):
    """(the arrays of the file, the run)."""
    result = run_well(folder, "explain", model, data, "-o", "out.h5", *words, **how)
    with h5py.File(folder / "out.h5") as file:
        return {name: file[name][()] for name in file}, result


def check_gap(result, arrays):
    """Attributions add up to the change of the output, except for the reported gap."""
    total = arrays["attribution"].reshape(len(arrays["gap"]), -1).astype("f8").sum(axis=1)
    change = arrays["output"] - arrays["baseline_output"]
    result.must(numpy.allclose(total - change, arrays["gap"], atol=1e-5), "/gap is the difference of the sums")
    result.must((numpy.abs(arrays["gap"]) <= numpy.maximum(1e-3 * numpy.abs(change), 1e-4)).all(), "the gap is small")


def near(result, found, expected, what, tolerance=1e-5):
    result.must(numpy.allclose(found, expected, rtol=0, atol=tolerance), f"{what} is {found}, but must be {expected}")


# ----------------------------------------------------------------- attributions

def iris(folder):
    run_well(folder, "train", DATASETS / "iris/iris.yaml", "--set", "train.epochs=20")
    shutil.copy(DATASETS / "iris/iris.h5", folder)
    arrays, result = explain(folder, "--samples", "0-2,149,60", model="runs/iris/model.h5", data="iris.h5")
    check_gap(result, arrays)
    result.says("petal_length +", "petal_width +", "setosa", "virginica", "5 samples", "mean")
    result.must(arrays["sample"].tolist() == [0, 1, 2, 149, 60], "samples in the requested order")
    with h5py.File(folder / "iris.h5") as data, h5py.File(folder / "out.h5") as out:
        names = list(data["train/x"].attrs["features"])
        result.must((out["x"][()] == data["train/x"][()][arrays["sample"]]).all(), "x has the stored values")
        result.must(list(out["attribution"].attrs["features"]) == list(out["x"].attrs["features"]) == names, "features")
        result.must(list(out["class"].attrs["classes"]) == ["setosa", "versicolor", "virginica"], "classes")
        result.must(out.attrs["baseline"] == "mean" and out["attribution"].dtype == "f4", "baseline and type")
    run_well(folder, "predict", "runs/iris/model.h5", "iris.h5", "-o", "p.h5")
    with h5py.File(folder / "p.h5") as file:
        p = file["probability"][()][arrays["sample"]]
    near(result, arrays["output"], p.max(axis=1), "the output of the predicted class", 1e-6)
    result.must((arrays["class"] == p.argmax(axis=1)).all(), "the predicted class is explained")
    row = next(line for line in result.out.splitlines() if line.split()[:1] == ["149"])
    strongest = names[numpy.abs(arrays["attribution"][3]).argmax()]
    result.must(re.search(rf"e[-+]\d\d  {strongest} ", row), f"the strongest feature, {strongest}, comes first")


def importance_of_iris(folder):
    run_well(folder, "train", DATASETS / "iris/iris.yaml", "--set", "train.epochs=20")
    words = ("explain", "runs/iris/model.h5", DATASETS / "iris/iris.h5", "--importance")
    text = run_well(folder, *words).says("samples   150", "repeats   5", "accuracy drop", "loss rise")
    found = json.loads(run_well(folder, *words, "--json", "--repeats", "7").out)
    text.must(list(found) == ["samples", "repeats", "loss", "accuracy", "features"] and found["repeats"] == 7, f"{found}")
    names = [row["name"] for row in found["features"]]
    text.must(set(names[:2]) == {"petal_length", "petal_width"} and len(names) == 4, f"petals are most important, not {names}")
    drops = [row["accuracy_drop"] for row in found["features"]]
    text.must(drops == sorted(drops, reverse=True) and drops[0] > 0.1, f"sorted: {drops}")
    text.must(list(found["features"][0]) == ["name", "index", "accuracy_drop", "accuracy_drop_std", "loss_rise",
                                            "loss_rise_std"], "the keys")
    again = run_well(folder, *words, "--json", "--repeats", "7", ranks=3)
    for row, alone in zip(json.loads(again.out)["features"], found["features"]):
        again.must(row["name"] == alone["name"] and row["accuracy_drop"] == alone["accuracy_drop"], f"{row}")
        near(again, row["loss_rise"], alone["loss_rise"], "the rise of the loss", 1e-9)


def linear_in_closed_form(folder):
    """Each output of a regression: W_ki factor_i (x_i - x0_i)."""
    y = numpy.stack([X[:, 0] - 2 * X[:, 1], X.sum(axis=1)], axis=1)
    train(folder, LINEAR, x=X, y=y)
    with h5py.File(folder / "run/model.h5") as file:
        w = file["model/0-dense/W"][()] * file["normalizer/factor"][()]
    for name, x0 in (("zero", 0.0), ("mean", X.astype("f8").mean(axis=0))):
        arrays, result = explain(folder, "--samples", "3,40", "--baseline", name)
        result.must(arrays["sample"].tolist() == [3, 3, 40, 40] and arrays["class"].tolist() == [0, 1, 0, 1], "each output")
        near(result, arrays["attribution"], w[arrays["class"]] * (X[arrays["sample"]] - x0), name)
        near(result, arrays["gap"], 0, "the gap")
        result.says("y0", "y1", "x[0] ")
    arrays, result = explain(folder, "--class", "y1")
    result.must(arrays["class"].tolist() == [1] * 10 and arrays["sample"].tolist() == list(range(10)), "one output, ten samples")
    found = json.loads(run_well(folder, "explain", "run/model.h5", "data.h5", "--importance", "--json").out)
    result.must({"r2_drop", "r2_drop_std"} < set(found["features"][0]), f"{found}")


def standardised_targets_in_their_units(folder):
    """Standardised targets far from 0: W_ki factor_i (x_i - x0_i) / y_factor_k."""
    y = 10000.0 + 50.0 * numpy.stack([X[:, 0] - 2 * X[:, 1], X.sum(axis=1)], axis=1)
    train(folder, LINEAR.replace("data.h5", "data.h5\n  standardize_targets: true"), x=X, y=y)
    with h5py.File(folder / "run/model.h5") as file:
        w = file["model/0-dense/W"][()] * file["normalizer/factor"][()]
        b, offset, factor = (file[name][()] for name in ("model/0-dense/b", "normalizer/y_offset", "normalizer/y_factor"))
        x_offset = file["normalizer/offset"][()]
    arrays, result = explain(folder, "--samples", "3,40", "--baseline", "zero")
    k = arrays["class"]
    near(result, arrays["attribution"], w[k] * X[arrays["sample"]] / factor[k][:, None], "attributions", 1e-3)
    wanted = (((X[arrays["sample"]] - x_offset) * w[k]).sum(axis=1) + b[k]) / factor[k] + offset[k]
    near(result, arrays["output"], wanted, "outputs", 1e-2)


def sample_weights_determine_importance(folder):
    """If weights select the samples whose class depends on one feature, this feature is the most important."""
    random = numpy.random.default_rng(5)
    x = random.normal(size=(120, 2)).astype("f4")
    counts = numpy.arange(120) < 60
    y = numpy.where(counts, x[:, 0] > 0, x[:, 1] > 0).astype("i8")
    for w, important in ((counts.astype("f4"), "x[0]"), (1.0 - counts.astype("f4"), "x[1]")):
        name = important.strip("x[]")
        (folder / name).mkdir()
        train(folder / name, harness.edited(("units: 3", "units: 2"), ("epochs: 2", "epochs: 40")), x=x, y=y, w=w)
        found = json.loads(run_well(folder / name, "explain", "run/model.h5", "data.h5", "--importance", "--json").out)
        drops = {feature["name"]: feature["accuracy_drop"] for feature in found["features"]}
        run = run_well(folder / name, "evaluate", "run/model.h5", "data.h5")
        run.must(max(drops, key=drops.get) == important and drops[important] > 0.3, f"{drops}")


def same_on_any_number_of_ranks(folder):
    x, y = harness.three_classes(90)
    train(folder, x=x, y=(y, {"classes": ("red", "green", "blue")}))
    words = ("--samples", "0-80", "--class", "green")
    alone, result = explain(folder, *words)
    result.must((alone["class"] == 1).all() and len(alone["class"]) == 81, "the requested class, in several calls")
    check_gap(result, alone)
    for ranks in harness.each_of(4, 2):
        arrays, again = explain(folder, *words, ranks=ranks)
        again.must(again.out == result.out, "the table is the same")
        for name, array in alone.items():
            near(again, arrays[name], array, name, 1e-6)


def two_classes_of_one_output(folder):
    """The attributions to the two classes of one output have opposite signs."""
    train(folder, BINARY, x=X, y=((Y > 0).astype("f4"), {"classes": ("no", "yes")}))
    sides = [explain(folder, "--class", name, "--steps", "128")[0] for name in ("no", "yes")]
    predicted, result = explain(folder, "--steps", "128")
    near(result, sides[0]["attribution"], -sides[1]["attribution"], "no", 1e-6)
    near(result, sides[0]["output"], 1 - sides[1]["output"], "no", 1e-6)
    result.must((predicted["output"] >= 0.5).all() and result.out.count(" yes ") == predicted["class"].sum(), "the names")
    result.must((predicted["points"] >= 128).all(), "the requested steps")


# --------------------------------------------------------------------- pictures

def size_of_png(path):
    """(width, height) of a PNG file, whose checksums are checked."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n"), content[:8]
    place, kinds, pixels = 8, [], b""
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place:place + 8])
        data = content[place + 8:place + 8 + length]
        assert struct.unpack(">I", content[place + 8 + length:][:4])[0] == zlib.crc32(kind + data), kind
        kinds.append(kind)
        pixels += data if kind == b"IDAT" else b""
        place += length + 12
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND", kinds
    width, height, depth, colour = struct.unpack(">IIBB", content[16:26])
    assert (depth, colour) == (8, 2) and len(zlib.decompress(pixels)) == height * (1 + 3 * width)
    return width, height


def digits(folder):
    run_well(folder, "train", DATASETS / "digits/digits.yaml", "--set", "train.epochs=3")
    data = f"{DATASETS}/digits/digits.h5:/test"
    arrays, result = explain(folder, "--samples", "0,2-3", "--pictures", "pictures", model="runs/digits/model.h5",
                           data=data, ranks=2)
    check_gap(result, arrays)
    result.reports("zero").says("pictures")
    result.must(arrays["attribution"].shape == arrays["x"].shape == (3, 8, 8) and arrays["x"].dtype == "u1", "shaped as x")
    result.must((arrays["attribution"][arrays["x"] == 0] == 0).all(), "black pixels have no attribution")
    names = sorted(path.name for path in (folder / "pictures").iterdir())
    wanted = [f"sample-{s:05}-class-{c}.png" for s, c in zip(arrays["sample"], arrays["class"])]
    result.must(names == wanted, f"the pictures are {names}, not {wanted}")
    for name in names:
        size = size_of_png(folder / "pictures" / name)
        result.must(size == (2 * 202 + 3 * 8, 202 + 2 * 8), f"{name} is {size}")
    found = json.loads(run_well(folder, "explain", "runs/digits/model.h5", data, "--importance", "--json", "--repeats", "1").out)
    result.must(len(found["features"]) == 64 and {"x[0,0]", "x[7,7]"} < {row["name"] for row in found["features"]}, "pixels")
    never = [row for row in found["features"] if row["name"] == "x[0,0]"][0]
    result.must(never["accuracy_drop"] == never["loss_rise"] == 0, "a pixel that is always black has no importance")


CONVOLUTIONS = """seed: 1
output: run
data: {train: data.h5, normalize: scale}
model:
  - {layer: conv2d, filters: 6, kernel_size: 3, padding: same, bias: false}
  - {layer: batch_norm}
  - {layer: relu}
  - {layer: max_pool, size: 2}
  - {layer: residual, layers: [{layer: conv2d, filters: 8, kernel_size: 3, stride: 2, padding: same}]}
  - {layer: global_avg_pool}
  - {layer: dense, units: 3, activation: softmax}
loss: categorical_cross_entropy
optimizer: {type: adam, lr: 0.01}
train: {epochs: 4, batch_size: 8}
"""


def convolutions(folder):
    """Colour images in both layouts: attributions have the shape of the model's input; the pictures are equal."""
    random = numpy.random.default_rng(2)
    images = random.integers(0, 100, (41, 7, 9, 3)).astype("u1")
    images[numpy.arange(41), 2 * Y, :, Y] = 255  # a line of the colour of the class
    pictures = {}
    for layout, x in ("channels_last", images), ("channels_first", images.transpose(0, 3, 1, 2)):
        train(folder, CONVOLUTIONS.replace("normalize: scale", f"normalize: scale, layout: {layout}"), x=x, y=Y)
        arrays, result = explain(folder, "--samples", "0-2", "--pictures", layout, ranks=2)
        check_gap(result, arrays)
        result.must(arrays["attribution"].shape == (3, 7, 9, 3), f"channels last, not {arrays['attribution'].shape}")
        result.must((arrays["x"] == images[:3]).all(), "the samples, channels last")
        pictures[layout] = {path.name: path.read_bytes() for path in (folder / layout).iterdir()}
        shutil.rmtree(folder / "run")
    result.must(len(pictures[layout]) == 3 and pictures["channels_first"] == pictures["channels_last"], "equal pictures")
    size = size_of_png(folder / layout / next(iter(pictures[layout])))
    result.must(size == (2 * (9 * 23 + 2) + 3 * 8, 7 * 23 + 2 + 2 * 8), f"the size is {size}")


def signals(folder):
    """Recordings of several channels are not pictures."""
    net = CONVOLUTIONS.replace("conv2d", "conv1d")
    random = numpy.random.default_rng(2)
    train(folder, net, x=random.normal(size=(41, 30, 3)).astype("f4"), y=Y)
    arrays, result = explain(folder, "--samples", "0-2")
    check_gap(result, arrays)
    result.must(arrays["attribution"].shape == (3, 30, 3), "the shape of x")
    harness.run(folder, "explain", "run/model.h5", "data.h5", "-o", "out.h5", "--pictures", "p").exits(DATA).reports(
        "(41, 30, 3)", "signals")


def flat_pictures_and_names(folder):
    """Rows of 64 features are pictures; unsafe characters in class names are replaced in file names."""
    random = numpy.random.default_rng(3)
    y = numpy.arange(12) % 3
    train(folder, x=random.normal(size=(12, 64)).astype("f4"), y=(y, {"classes": ("a/b", "..", "grün x")}))
    for name, safe in (("a/b", "a_b"), ("..", ".."), ("grün x", "gr__n_x")):
        result = explain(folder, "--class", name, "--samples", "11", "--pictures", "p")[1]
        result.must((folder / f"p/sample-00011-class-{safe}.png").is_file(), f"a picture for {name}")


# ------------------------------------------------------------------------ errors

def reject(folder, code, says, *words, ranks=ALONE):
    before = harness.snapshot(folder)
    result = harness.run(folder, "explain", *words, ranks=ranks).exits(code).reports("lockstep: error: ", *says)
    result.must(result.err.count("error:") == 1, "one message")
    result.must(harness.snapshot(folder) == before, "no file is created or changed")


BOTH = ("run/model.h5", "data.h5")
OUT = (*BOTH, "-o", "out.h5")
REJECTED = (
    (USAGE, ("-o", "--importance"), BOTH),
    (USAGE, ("out.csv", ".h5"), (*BOTH, "-o", "out.csv")),
    (USAGE, ("--samples", "0,41", "41"), (*OUT, "--samples", "0,41")),
    (USAGE, ("--samples", "3-1"), (*OUT, "--samples", "3-1")),
    (USAGE, ("grene", "green?", "red, green, blue"), (*OUT, "--class", "grene")),
    (USAGE, ("--class 3", "0", "2"), (*OUT, "--class", "3")),
    (USAGE, ("--steps 0", "16384"), (*OUT, "--steps", "0")),
    (USAGE, ("--baseline black", "zero", "mean"), (*OUT, "--baseline", "black")),
    (USAGE, ("--repeats", "--importance"), (*OUT, "--repeats", "3")),
    (USAGE, ("--class", "--importance"), (*BOTH, "--importance", "--class", "red")),
    (USAGE, ("data.h5",), (*BOTH, "-o", "data.h5")),
    (USAGE, ("run/model.h5",), (*BOTH, "-o", "run/model.h5")),
    (DATA, ("x.h5", "y"), ("run/model.h5", "x.h5", "--importance")),
    (DATA, ("data.h5", "(41, 4) float32"), (*OUT, "--pictures", "p")),
    (DATA, ("wide/data.h5", "4096", "4097"), ("wide/run/model.h5", "wide/data.h5", "--importance")),
    (DATA, ("none.h5",), ("run/model.h5", "none.h5", "-o", "out.h5")),
    (MODEL, ("data.h5",), ("data.h5", "data.h5", "-o", "out.h5")),
    (OUTPUT, ("none/out.h5",), (*BOTH, "-o", "none/out.h5")),
    (OUTPUT, ("data.h5",), ("run/model.h5", "pixels.h5", "-o", "out.h5", "--pictures", "data.h5")),
    (OUTPUT, ("none/p",), ("run/model.h5", "pixels.h5", "-o", "out.h5", "--pictures", "none/p")),
)
ON_RANKS = ("grene", "4096", "none/p")  # detected on one rank, on all ranks, and after reading the data


def errors(folder):
    train(folder, x=X, y=(Y, {"classes": ("red", "green", "blue")}))
    wide = numpy.zeros((4, 4097), "f4")
    harness.write_arrays(folder / "x.h5", {"x": X})
    harness.write_arrays(folder / "pixels.h5", {"x": numpy.zeros((6, 2, 2), "u1")})
    (folder / "wide").mkdir()
    wide[:, 0] = range(4)
    train(folder / "wide", x=wide, y=numpy.arange(4) % 3)
    for code, says, words in REJECTED:
        reject(folder, code, says, *words)
        if set(says) & set(ON_RANKS):
            reject(folder, code, says, *words, ranks=2)


TESTS = [iris, importance_of_iris, linear_in_closed_form, standardised_targets_in_their_units,
         sample_weights_determine_importance, same_on_any_number_of_ranks, two_classes_of_one_output, digits,
         convolutions, signals,
         flat_pictures_and_names, errors]

if __name__ == "__main__":
    harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
