"""`lockstep init`: for each kind of data, the config is valid and trains as it is, and has what the data need; data from
which a model cannot learn, and existing files, are rejected."""

import os
import shlex

import h5py
import numpy

import harness
from harness import run, run_well

RANDOM = numpy.random.default_rng(4)
N = 60
CLASSES = numpy.arange(N) % 3
ROWS = RANDOM.normal(size=(N, 5)) + CLASSES[:, None]
TIMES = numpy.arange(48)
SERIES = numpy.sin(TIMES / RANDOM.uniform(3, 6, (N, 1)) + RANDOM.uniform(0, 6, (N, 1)))
PLACES = numpy.arange(12)
WAVES = [numpy.sin(PLACES * RANDOM.uniform(0.3, 0.6, (N, 1)) + RANDOM.uniform(0, 6, (N, 1))) for _ in range(2)]
IMAGES = 120 + 50 * (WAVES[0][:, :, None] + WAVES[1][:, None, :]) + RANDOM.normal(size=(N, 12, 12))


def write(folder, name="d.h5", x=ROWS, y=CLASSES, **more):
    harness.write_arrays(folder / name, {"x": x, "y": y, **more})


def text_of(path):
    return path.read_text(encoding="utf-8")


def drafts(folder, *parts, data="d.h5", absent=(), words=()):
    """Writes a config, checks it, and trains for two steps."""
    result = run_well(folder, "init", data, "-o", "c.yaml", *words)
    text = text_of(folder / "c.yaml")
    for part in parts:
        result.must(part in text, f"the config must contain {part}:\n{text}")
    for part in absent:
        result.must(part not in text, f"the config must not contain {part}:\n{text}")
    result.must("lockstep train c.yaml" in result.out, "the next command")
    run_well(folder, "check", "c.yaml").says("OK")
    run_well(folder, "train", "c.yaml", "--set", "train.max_steps=2", "--overwrite")
    return text


def rejects(folder, code, *parts, data="d.h5", words=()):
    """Rejected; no file is written."""
    before = harness.snapshot(folder)
    result = run(folder, "init", data, "-o", "bad.yaml", *words).exits(code).reports(*parts)
    result.must(harness.snapshot(folder) == before, "no file may be written")
    return result


# ------------------------------------------------------------------------ kinds

def classes(folder):
    write(folder)
    drafts(folder, "loss: categorical_cross_entropy", "{layer: dense, units: 3}", "activation: softmax", "normalize: standardize",
           "train: d.h5\n", absent=("class_weight", "\n  validation", "\n  test"))


def one_hot_rows(folder):
    write(folder, y=numpy.eye(3)[CLASSES])
    drafts(folder, "loss: categorical_cross_entropy", "units: 3")


def labels(folder):
    write(folder, y=RANDOM.integers(0, 2, (N, 4)))
    drafts(folder, "loss: binary_cross_entropy", "units: 4", "activation: sigmoid")


def numbers(folder):
    write(folder, y=1000 * ROWS[:, :2])
    drafts(folder, "loss: mse", "standardize_targets: true", "units: 2")
    write(folder, x=numpy.tile(ROWS, (4, 1)), y=numpy.where(numpy.arange(4 * N) == 7, 1e5, numpy.tile(ROWS, (4, 1))[:, 0]))
    drafts(folder, "loss: huber", "15 standard deviations", words=("--overwrite",))


def validation_data(folder):
    """A part of many samples is held out; few all train the model."""
    for n in 4900, 5100:
        x = RANDOM.normal(size=(n, 3))
        write(folder, x=x, y=(x[:, 0] > 0).astype(int))
        run_well(folder, "init", "d.h5", "--overwrite")
        text = text_of(folder / "d.yaml")
        assert ("  validation: 0.1" in text and "monitor: val_accuracy" in text) == (n > 5000), text


def whole_numbers(folder):
    """Few whole numbers from 0 are classes, others are quantities; --targets decides otherwise."""
    write(folder, y=(CLASSES * 100 + RANDOM.integers(0, 50, N)).astype(float))
    drafts(folder, "loss: mse", "whole numbers")
    write(folder, x=numpy.repeat(ROWS, 5, axis=0), y=numpy.arange(5 * N) % 30 * 4 // 3)
    drafts(folder, "loss: mse", "30 different whole numbers", words=("--overwrite",))
    write(folder, y=CLASSES.astype(float))
    drafts(folder, "loss: categorical", "whole numbers from 0 to 2", "--targets numbers", words=("--overwrite",))
    drafts(folder, "loss: mse", "units: 1", words=("--overwrite", "--targets", "numbers"))


def unequal_classes(folder):
    write(folder, y=(numpy.arange(N) < 4).astype(int))
    drafts(folder, "class_weight: balanced", absent=("metrics",))
    large = RANDOM.normal(size=(6000, 3))
    write(folder, x=large, y=(large[:, 0] > 1.7).astype(int))
    drafts(folder, "metrics: [roc_auc]", "monitor: val_roc_auc", "early_stopping", "validation: 0.1", words=("--overwrite",))


def series(folder):
    write(folder, x=SERIES)
    drafts(folder, "conv1d", "shape: [48, 1]", "per: channel")
    drafts(folder, "dense", absent=("conv1d", "shape"), words=("--overwrite", "--kind", "table"))
    write(folder, x=numpy.stack([SERIES, -SERIES], 2))
    drafts(folder, "conv1d", absent=("shape:", "layout"), words=("--overwrite",))
    write(folder, x=numpy.stack([SERIES, -SERIES], 1))
    drafts(folder, "conv1d", "layout: channels_first", words=("--overwrite",))
    write(folder, x=SERIES[:, None, :])
    drafts(folder, "conv1d", "layout: channels_first", words=("--overwrite",))
    write(folder, x=SERIES[:, :, None])
    drafts(folder, "conv1d", absent=("layout",), words=("--overwrite",))


def images(folder):
    write(folder, x=IMAGES.astype("u1"))
    drafts(folder, "conv2d", "layer: residual", "global_avg_pool", absent=("shape:",))
    write(folder, x=IMAGES.reshape(N, 144).astype("f4"))
    drafts(folder, "conv2d", "shape: [12, 12, 1]", words=("--overwrite",))
    write(folder, x=RANDOM.integers(0, 256, (N, 3, 10, 12)).astype("u1"))
    drafts(folder, "conv2d", "layout: channels_first", words=("--overwrite",))
    write(folder, x=IMAGES[:, None])
    drafts(folder, "conv2d", "layout: channels_first", words=("--overwrite",))
    write(folder, x=IMAGES[..., None])
    drafts(folder, "conv2d", absent=("layout",), words=("--overwrite",))
    write(folder, x=RANDOM.integers(0, 256, (N, 40, 40, 3)).astype("u1"), y=RANDOM.normal(size=N))
    drafts(folder, "conv2d", "augment: {shift: 3}", "loss: mse", words=("--overwrite",))


def volumes(folder):
    write(folder, x=RANDOM.normal(size=(N, 18, 18, 20)))
    drafts(folder, "conv3d", "loss: categorical")


def tables_are_not_series(folder):
    """Columns that correlate, but not more with their neighbours."""
    write(folder, x=RANDOM.normal(size=(N, 40)) + RANDOM.normal(size=(N, 1)))
    drafts(folder, "layer: dense", absent=("conv1d",))


def long_tails(folder):
    """They are limited, but not those of counts and categories, most of which are 0."""
    x = RANDOM.normal(size=(600, 4))
    y = numpy.arange(600) % 2
    sparse = numpy.where(numpy.arange(600)[:, None] == numpy.arange(3), 1.0, 0.0)
    write(folder, x=numpy.hstack([x, sparse]), y=y)
    drafts(folder, "augment: {noise", absent=("long tails",))
    write(folder, x=numpy.hstack([x[:, :2], sparse]), y=y)
    drafts(folder, "normalize: scale", absent=("augment", "long tails"), words=("--overwrite",))
    write(folder, x=numpy.hstack([x, numpy.where(numpy.arange(600)[:, None] == 7, 1e3, x[:, :1])]), y=y)
    drafts(folder, "activation: tanh", "long tails", absent=("augment",), words=("--overwrite",))


def few_samples(folder):
    write(folder, x=ROWS[:4], y=CLASSES[:4] % 2)
    drafts(folder, "batch_size: 4")
    write(folder, x=numpy.hstack([ROWS, numpy.full((N, 2), 7)]) * 10.0 ** numpy.arange(-3, 4))
    drafts(folder, words=("--overwrite",))


# ----------------------------------------------------------------------- splits

def splits_are_found(folder):
    parts = {name: {"x": ROWS[k::4], "y": CLASSES[k::4]} for k, name in enumerate(("train", "val", "test"))}
    harness.write_arrays(folder / "groups.h5", {f"{g}/{k}": v for g, part in parts.items() for k, v in part.items()})
    drafts(folder, "train: groups.h5:/train", "validation: groups.h5:/val", "test: groups.h5:/test", data="groups.h5")
    drafts(folder, "test: groups.h5:/test", data="groups.h5:/train", words=("--overwrite",))
    run_well(folder, "init", "groups.h5:/train")
    assert (folder / "groups.yaml").exists()
    harness.write_arrays(folder / "arrays.h5", {f"{k.upper()}_{g}": parts[g][k] for g in ("train", "test") for k in "xy"})
    drafts(folder, "train: arrays.h5\n", "test: arrays.h5 ", data="arrays.h5", absent=("\n  validation",), words=("--overwrite",))
    write(folder, "my-train.h5", **parts["train"])
    write(folder, "my-test.h5", **parts["test"])
    drafts(folder, "train: my-train.h5", "test: my-test.h5", data="my-train.h5", words=("--overwrite",))


def splits_must_fit(folder):
    """Files without the group are read as they are; data that do not fit are left out, with a warning."""
    arrays = {"x": ROWS, "y": CLASSES}
    harness.write_arrays(folder / "train.h5", {f"train/{k}": v for k, v in arrays.items()})
    harness.write_arrays(folder / "test.h5", {f"test/{k}": v for k, v in arrays.items()})
    write(folder, "val.h5", x=ROWS[:, :3])
    result = run(folder, "init", "train.h5", "-o", "-").exits(0).says("train: train.h5:/train", "test: test.h5 ")
    result.reports("not used as validation data: val.h5", "other shapes")
    result.must("\n  validation" not in result.out, "no validation data")
    harness.write_arrays(folder / "test.h5", {"y": CLASSES})
    run(folder, "init", "train.h5", "-o", "-").exits(0).reports("not used as test data", "test.h5", "inputs")


def folders_of_splits(folder):
    """The file of the training data is used, not all files."""
    (folder / "data").mkdir()
    for name in "train", "test":
        write(folder, f"data/{name}.h5")
    run_well(folder, "init", "data", "-o", "-").says("train: data/train.h5\n", "test: data/test.h5 ")
    os.rename(folder / "data/train.h5", folder / "data/latest.h5")
    rejects(folder, 3, "data", "test.h5", "train", data="data")


def targets_in_another_file(folder):
    """Their path is relative to the config, and they are for the training data alone."""
    for name in "data", "configs":
        (folder / name).mkdir()
    for name in "train", "test":
        harness.write_arrays(folder / f"data/{name}.h5", {"x": ROWS})
    harness.write_arrays(folder / "data/y.h5", {"targets": CLASSES})
    run_well(folder, "init", "data/train.h5", "-o", "configs/c.yaml", "--y", "data/y.h5:/targets")
    text = text_of(folder / "configs/c.yaml")
    assert "  y: ../data/y.h5:/targets\n" in text and "\n  test" not in text, text
    run_well(folder, "check", "configs/c.yaml")


def paths_are_relative_to_the_config(folder):
    (folder / "data").mkdir()
    (folder / "configs" / "a b").mkdir(parents=True)
    write(folder, "data/d.h5")
    run_well(folder, "init", "data/d.h5", "-o", "configs/a b/c.yaml")
    assert "train: ../../data/d.h5\n" in text_of(folder / "configs/a b/c.yaml")
    run_well(folder, "check", "configs/a b/c.yaml")
    run_well(folder, "init", str(folder / "data/d.h5"))
    assert "train: data/d.h5\n" in text_of(folder / "d.yaml") and "output: runs/d " in text_of(folder / "d.yaml")
    os.rename(folder / "data/d.h5", folder / "data/#1: d.h5")
    run_well(folder, "init", "data/#1: d.h5", "-o", "e.yaml")
    assert 'train: "data/#1: d.h5"' in text_of(folder / "e.yaml")
    run_well(folder, "check", "e.yaml")


def standard_output(folder):
    write(folder)
    before = harness.names_in(folder)
    result = run_well(folder, "init", "d.h5", "-o", "-").says("train: d.h5", "loss: categorical")
    result.must(harness.names_in(folder) == before, "no file")


def ranks_give_one_config(folder):
    write(folder)
    texts = [run_well(folder, "init", "d.h5", "-o", "-", ranks=ranks).out for ranks in (harness.ALONE, 2)]
    assert texts[0] == texts[1], texts
    numpy.savez(folder / "n.npz", a=ROWS, b=CLASSES)
    run_well(folder, "init", "n.npz", "--x", "a", "--y", "b", ranks=2)
    run_well(folder, "check", "n.yaml")


# ----------------------------------------------------------------------- import

def tables_are_imported(folder):
    rows = [f"{i},{','.join(map(str, numpy.round(r, 3)))},{'abc'[k]}" for i, (r, k) in enumerate(zip(ROWS, CLASSES))]
    harness.write_file(folder / "t.csv", "\n".join(["id,p,q,r,s,t,kind", *rows]) + "\n")
    (folder / "out").mkdir()
    result = run_well(folder, "init", "t.csv", "-o", "out/t.yaml", "--drop", "id", "--test-fraction", "0.2")
    result.says("label: kind", "out/t.h5")
    text = text_of(folder / "out/t.yaml")
    for part in ("train: t.h5:/train", "test: t.h5:/test", "units: 3", "5 features", "3 classes"):
        result.must(part in text, part)
    run_well(folder, "train", "out/t.yaml", "--set", "train.max_steps=2")
    run(folder, "init", "t.csv", "-o", "out/t.yaml").exits(5).reports("out/t.yaml", "exists", "--overwrite")
    os.remove(folder / "out/t.yaml")
    run(folder, "init", "t.csv", "-o", "out/t.yaml", "--drop", "id").exits(5).reports("out/t.h5", "exists", "--overwrite")
    run_well(folder, "init", "t.csv", "-o", "out/t.yaml", "--label", "q", "--columns", "p,r", "--overwrite")
    assert "loss: mse" in text_of(folder / "out/t.yaml")


def words_and_missing_cells_are_imported(folder):
    rows = [f"{'' if i % 9 == 4 else i % 7},{'xy'[i % 2]},{i % 5},{'abc'[k]}" for i, k in enumerate(CLASSES)]
    harness.write_file(folder / "t.csv", "\n".join(["p,word,code,kind", *rows]) + "\n")
    for options, value, n in (("--categories", "code"), "mean", 8), (("--missing", "0"), "0", 4):
        result = run_well(folder, "init", "t.csv", "-o", "t.yaml", "--overwrite", *options)
        result.must(f"--missing {value} has replaced" in text_of(folder / "t.yaml"), "a comment about missing cells")
        result.must(f"x has {n} features" in text_of(folder / "t.yaml"), "categories")
    run(folder, "init", "t.h5", "-o", "new.yaml", "--missing", "0").exits(2).reports("--missing", "imported")


def table(numbers, columns="a,b,kind"):
    n = columns.count(",") + 1
    return "\n".join([columns, *(",".join([str(3 * i), str(i * i % 7), "xyz"[i % 3]][:n]) for i in numbers)]) + "\n"


def tables_of_splits(folder):
    """They are the splits of one dataset, with the classes of the training data; the means are those of training."""
    for name, numbers in ("train", range(1, 31)), ("val", range(3, 9)), ("test", [10, 11]):
        harness.write_file(folder / f"set/my-{name}.csv", table(numbers))
    text = drafts(folder, "train: set.h5:/train", "validation: set.h5:/validation", "test: set.h5:/test", data="set")
    assert "30 training samples" in text, text
    with h5py.File(folder / "set.h5") as file:
        assert file["test/x"][:].tolist() == [[30, 2], [33, 2]], file["test/x"][:]
        assert file["test/y"][:].tolist() == [1, 2] and list(file["test/y"].attrs["classes"]) == ["x", "y", "z"]
        assert len(file["validation/x"]) == 6 and len(file["train/x"]) == 30
    run_well(folder, "init", "set/my-train.csv").says("30 training, 6 validation, 2 test samples")
    run(folder, "init", "set", "--overwrite", "--test-fraction", "0.2").exits(0).reports("my-test.csv", "--test-fraction").says(
        "24 training, 6 validation, 6 test samples")
    harness.write_file(folder / "set/my-test.csv", table([1, 2], "a,b"))
    run(folder, "init", "set", "--overwrite").exits(0).reports("not used as test data", "my-test.csv", "2 columns").says("6 validation samples")
    harness.write_file(folder / "set/other-test.csv", table([1, 2]))
    rejects(folder, 3, "more than one file of test data", data="set")
    for name in "Train", "TEST":
        harness.write_file(folder / f"Case/{name}.csv", table(range(1, 21)))
    run_well(folder, "init", "Case").says("20 training, 20 test samples")
    harness.write_file(folder / "Case/notes.csv", table([1, 2], "a,b"))
    run(folder, "init", "Case", "--overwrite").exits(0).reports("warning", "not used: notes.csv")
    (folder / "Case/TEST.csv").unlink()
    rejects(folder, 3, "Train.csv", "no word for a split: notes.csv", data="Case")


def folders_are_imported(folder):
    for name, array in ("x_train", ROWS), ("y_train", CLASSES), ("x_test", ROWS[:9]), ("y_test", CLASSES[:9]):
        (folder / "arrays").mkdir(exist_ok=True)
        numpy.save(folder / "arrays" / f"{name}.npy", array)
    drafts(folder, "train: arrays.h5:/train", "test: arrays.h5:/test", data="arrays/")
    (folder / "two").mkdir()
    numpy.save(folder / "two/X.npy", ROWS)
    numpy.save(folder / "two/y.npy", CLASSES)
    drafts(folder, "train: two.h5:/train", "units: 3", data="two", absent=("\n  test",), words=("--overwrite",))


def pictures_of_several_sizes_are_resampled(folder):
    write_pictures(folder / "pictures")
    result = run_well(folder, "init", "pictures")
    result.reports("pictures", "resampled to 64 x 48")
    with h5py.File(folder / "pictures.h5") as file:
        assert file["train/x"].shape == (6, 64, 48, 3), file["train/x"].shape
    run_well(folder, "check", "pictures.yaml")


def write_pictures(folder):
    """Images of 160 x 120 and 96 x 72 pixels, in two classes."""
    for i in range(6):
        write_picture(folder / "ab"[i % 2] / f"{i}.png", *((160, 120), (96, 72))[i % 2])


def write_picture(path, height=8, width=8):
    """RGB."""
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = RANDOM.integers(0, 256, (height, 1 + 3 * width)).astype("u1")
    rows[:, 0] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    harness.write_file(path, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                       chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b""))


def folders_of_pictures(folder):
    """Folders of splits, in any case, may be in a folder of their own; hidden files are ignored."""
    for part in "Training", "test":
        for name in "cat", "dog":
            for i in range(4):
                write_picture(folder / f"set/images/{part}/{name}/{i}.png")
    harness.write_file(folder / "set/images/test/cat/.hidden.png", b"")
    os.symlink("set", folder / "link")
    text = drafts(folder, "train: link.h5:/train", "test: link.h5:/test", "2 classes (cat, dog)", data="link")
    assert "8 training samples" in text, text
    harness.write_file(folder / "set/images/test/cat/broken.png", b"\x89PNG\r\n")
    rejects(folder, 3, "broken.png", "--skip-broken", data="set")
    run(folder, "init", "set", "--skip-broken").exits(0).reports("warning", "broken.png")


def folders_without_classes(folder):
    for i in range(4):
        write_picture(folder / f"loose/{i}.png")
        write_picture(folder / f"one/cat/{i}.png")
        write_picture(folder / f"splits/train/{i}.png")
        write_picture(folder / f"splits/test/{i}.png")
        write_picture(folder / f"part/train/cat/{i}.png")
        write_picture(folder / f"part/test/{i}.png")
    rejects(folder, 3, "loose/", "no classes", "CLASS/FILE", data="loose")
    rejects(folder, 3, "one", "only one class, cat", data="one")
    rejects(folder, 3, "splits/", "not in the folder of a class", data="splits")
    rejects(folder, 3, "part/train/cat/", "part/test/", "is not", data="part")


def folders_of_several_kinds(folder):
    for i in range(4):
        write_picture(folder / f"photos/{'cat' if i % 2 else 'dog'}/{i}.png")
    harness.write_file(folder / "photos/labels.csv", "file,kind\n1,2\n")
    rejects(folder, 3, "photos/labels.csv", "photos/", ".png", "one kind", data="photos")
    os.remove(folder / "photos/labels.csv")
    drafts(folder, "conv2d", data="photos")
    write(folder, "photos/d.h5")
    rejects(folder, 3, "photos/d.h5", ".png", data="photos")


def words_of_a_shell(folder):
    """The next command can be pasted."""
    name = "a 'b' \"c\" $d.yaml"
    write(folder)
    result = run_well(folder, "init", "d.h5", "-o", name)
    command = result.out.split("next: lockstep ")[1].strip()
    result.must(shlex.split(command) == ["train", name], command)
    result = run_well(folder, "init", "./d.h5", "-o", "./-d.yaml", "--overwrite")
    os.rename(folder / "d.h5", folder / "-e.h5")
    run_well(folder, "init", "./-e.h5").says("next: lockstep train ./-e.yaml")


# -------------------------------------------------------------------- bad input

def data_that_cannot_be_read(folder):
    rejects(folder, 3, "none.h5", "No such file", data="none.h5")
    harness.write_arrays(folder / "d.h5", {"x": ROWS})
    rejects(folder, 3, "d.h5", "targets")
    harness.write_arrays(folder / "d.h5", {"x": ROWS, "y": CLASSES[:7]})
    rejects(folder, 3, "d.h5", "7", "60")
    with h5py.File(folder / "d.h5", "w") as file:
        file["x"], file["y"] = ROWS, ["ant"] * N
    rejects(folder, 3, "d.h5", "y")
    with h5py.File(folder / "d.h5", "w") as file:
        file["x"], file["y"] = [["a", "b"]] * N, CLASSES
    rejects(folder, 3, "d.h5", "x")
    harness.write_arrays(folder / "d.h5", {f"{g}/{k}": v for g in "ab" for k, v in (("x", ROWS), ("y", CLASSES))})
    rejects(folder, 3, "d.h5", "several groups", "/a, /b")
    harness.write_arrays(folder / "d.h5", {"x": ROWS, "y": CLASSES, "label": CLASSES})
    rejects(folder, 3, "d.h5", "/y, /label")
    drafts(folder, "y: label", words=("--y", "label"))
    (folder / "empty").mkdir()
    rejects(folder, 3, "empty", "no PNG", data="empty")
    harness.write_file(folder / "junk.h5", b"\0\1\2" * 100)
    rejects(folder, 3, "junk.h5", data="junk.h5")


def nothing_to_learn(folder):
    write(folder, y=numpy.zeros(N, int))
    rejects(folder, 3, "d.h5", "one class")
    write(folder, y=numpy.eye(3)[numpy.ones(N, int)])
    rejects(folder, 3, "d.h5", "one class (1)")
    write(folder, y=numpy.full(N, 2.5))
    rejects(folder, 3, "d.h5", "equal")
    write(folder, y=numpy.where(CLASSES, 1, -1))
    rejects(folder, 3, "d.h5", "-1 and 1 by 0 and 1")
    drafts(folder, "loss: mse", words=("--targets", "numbers"))
    write(folder, y=numpy.where(numpy.arange(N) == 5, numpy.nan, ROWS[:, 0]))
    rejects(folder, 3, "d.h5", "row 5", "nan")
    write(folder, x=numpy.where(numpy.arange(N)[:, None] == 5, numpy.nan, ROWS))
    rejects(folder, 3, "d.h5", "row 5", "nan")


def options_that_do_not_fit(folder):
    write(folder)
    rejects(folder, 2, "--kind images", words=("--kind", "images"))
    rejects(folder, 2, "--kind volumes", "(5)", words=("--kind", "volumes"))
    rejects(folder, 2, "--kind", "music", words=("--kind", "music"))
    rejects(folder, 2, "--label", "--y", words=("--label", "a"))
    run(folder, "init", "d.h5", "-o", "c.txt").exits(2).reports("-o c.txt", ".yaml")
    run(folder, "init", "d.h5", "-o", "none/c.yaml").exits(5).reports("none/c.yaml")
    run(folder, "init").exits(2)
    harness.write_file(folder / "t.csv", "a,b,c\n" + "1,2,x\n3,4,y\n" * 9)
    run(folder, "init", "t.csv", "-o", "-").exits(2).reports("-o -", "t.csv", "import")
    with h5py.File(folder / "d.h5", "a") as file:
        file["y"].attrs["classes"] = ["ant", "bee", "cat"]
    rejects(folder, 2, "--targets numbers", "ant", words=("--targets", "numbers"))


def existing_files_are_kept(folder):
    write(folder)
    harness.write_file(folder / "d.yaml", "mine")
    run(folder, "init", "d.h5").exits(5).reports("d.yaml", "exists", "--overwrite")
    assert text_of(folder / "d.yaml") == "mine"
    run_well(folder, "init", "d.h5", "--overwrite")
    assert "loss:" in text_of(folder / "d.yaml")


TESTS = [classes, one_hot_rows, labels, numbers, validation_data, whole_numbers, unequal_classes, series, images, volumes, tables_are_not_series,
         long_tails, few_samples, splits_are_found, splits_must_fit, folders_of_splits, targets_in_another_file, paths_are_relative_to_the_config, standard_output, ranks_give_one_config,
         tables_are_imported, tables_of_splits, words_and_missing_cells_are_imported,
         folders_are_imported, pictures_of_several_sizes_are_resampled,
         folders_of_pictures, folders_without_classes, folders_of_several_kinds, words_of_a_shell, data_that_cannot_be_read,
         nothing_to_learn, options_that_do_not_fit, existing_files_are_kept]

if __name__ == "__main__":
    harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
