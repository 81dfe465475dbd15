"""HDF5 files as people have them: what is read gives the same model as the plain file, bit for bit."""

import ctypes
import ctypes.util
import os
import re

import h5py
import numpy

import harness
from harness import edited, model_arrays, run, run_well

X, Y = harness.three_classes()
TRAIN = ("train", "config.yaml")


def train(folder, *edits, ranks=harness.ALONE, output="run", **how):
    harness.write_file(folder / "config.yaml", edited(*edits))
    return run(folder, *TRAIN, "-o", output, ranks=ranks, **how)


def plain(folder, x=X, y=Y, *edits, **others):
    """Trains on a plain file; returns the model's arrays."""
    harness.write_arrays(folder / "plain.h5", {"x": x, "y": y, **others})
    train(folder, ("data.h5", "plain.h5"), *edits, output="plain").exits(0)
    return model_arrays(folder / "plain/model.h5")


def same_model(folder, wanted, *edits, output="run", **how):
    result = train(folder, *edits, output=output, **how).exits(0)
    found = model_arrays(folder / output / "model.h5")
    result.must(found.keys() == wanted.keys() and all((found[k] == wanted[k]).all() for k in wanted), "another model")
    return result


# ------------------------------------------------------------------ shapes and types

def y_of_many_dims(folder):
    wanted = plain(folder)
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y.reshape(-1, 1, 1, 1).astype("u1")})
    same_model(folder, wanted)


def bools_of_pytables(folder):
    """PyTables stores a bool as a bit field of 8 bits."""
    bits = (Y == 0).astype("u1")
    harness.write_arrays(folder / "data.h5", {"x": X, "y": bits})
    binary = (("units: 3, activation: softmax", "units: 1, activation: sigmoid"),
              ("categorical_cross_entropy", "binary_cross_entropy"))
    train(folder, *binary, output="plain").exits(0)
    with h5py.File(folder / "data.h5", "a") as file:
        del file["y"]
        space = h5py.h5s.create_simple(bits.shape)
        array = h5py.h5d.create(file.id, b"y", h5py.h5t.STD_B8LE, space)
        array.write(h5py.h5s.ALL, h5py.h5s.ALL, bits, mtype=h5py.h5t.STD_B8LE)
    same_model(folder, model_arrays(folder / "plain/model.h5"), *binary)


def names_of_an_enumeration(folder):
    """They become the class names, in the order of their values; h5py's bool has none."""
    kinds = h5py.enum_dtype({"zebra": 2, "cat": 0, "horse": 1}, basetype=">i2")
    with h5py.File(folder / "data.h5", "w") as file:
        file["x"] = X
        file.create_dataset("y", data=Y, dtype=kinds)
    train(folder).exits(0)
    run_well(folder, "evaluate", "run/model.h5", "data.h5").reports("cat").reports("horse").reports("zebra")
    run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "p.csv")
    assert (folder / "p.csv").read_text().startswith("class,cat,horse,zebra\n")
    harness.write_arrays(folder / "data.h5", {"x": X, "y": numpy.eye(3, dtype=bool)[Y]})
    train(folder, output="bools").exits(0)
    with h5py.File(folder / "bools/model.h5") as file:
        assert "classes" not in file.attrs


def numbers_of_an_enumeration(folder):
    """Names of other values than 0, 1, ... are ignored, but a model with class names needs them."""
    def enumeration(**values):
        with h5py.File(folder / "data.h5", "w") as file:
            file["x"] = X
            file.create_dataset("y", data=Y, dtype=h5py.enum_dtype(values, basetype="i1"))
    enumeration(cat=0, horse=1, zebra=2)
    train(folder).exits(0)
    enumeration(zebra=0, horse=1, dog=2, cat=5)
    run(folder, "evaluate", "run/model.h5", "data.h5").exits(3).says("data.h5:/y", "enumeration")
    train(folder, output="other").exits(0).reports("warning", "data.h5:/y", "enumeration")


def info_continues(folder):
    """An array that cannot be read does not hide the others."""
    with h5py.File(folder / "data.h5", "w") as file:
        file["a"] = numpy.zeros(5, [("pt", "f4"), ("id", "i4")])
        file["b"] = h5py.SoftLink("/x")
        file["x"], file["y"] = X, Y
        file["y"].attrs["classes"] = 3
    result = run_well(folder, "info", "data.h5")
    result.reports("/a", "records", "pt, id").reports("/b", "link").reports("/x", "(24, 4)").reports("/y", "(24,)")


# -------------------------------------------------------------------------- filters

def zstd(content):
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    library.ZSTD_compressBound.restype = library.ZSTD_compress.restype = ctypes.c_size_t
    packed = ctypes.create_string_buffer(library.ZSTD_compressBound(ctypes.c_size_t(len(content))))
    n = library.ZSTD_compress(packed, ctypes.c_size_t(len(packed)), content, ctypes.c_size_t(len(content)), 3)
    return packed.raw[:n]


def write_zstd(path, pack=zstd, rows=8):
    """x in chunks of some rows, that `pack` has packed."""
    with h5py.File(path, "w") as file:
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_chunk((rows, X.shape[1]))
        create.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        x = h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(X.shape), create)
        for i in range(0, len(X), rows):
            x.write_direct_chunk((i, 0), pack(numpy.round(X[i:i + rows]).tobytes()))
        file["y"] = Y


def lzf_and_zstd(folder):
    wanted = plain(folder, numpy.round(X), Y)
    for how in ({}, {"shuffle": True}, {"shuffle": True, "fletcher32": True}):
        with h5py.File(folder / "data.h5", "w") as file:
            file.create_dataset("x", data=numpy.round(X), chunks=(5, 3), compression="lzf", **how)
            file.create_dataset("y", data=Y, chunks=(7,), compression="lzf", **how)
        same_model(folder, wanted, output="run" + "".join(how))
    write_zstd(folder / "data.h5")
    same_model(folder, wanted, output="zstd")
    train(folder, output="zstd-3", ranks=3).exits(0)


def damaged_lzf_and_zstd(folder):
    """A chunk of another size than its shape, or of other bytes, is an error, and nothing is read beyond its end."""
    for pack in (lambda b: zstd(b[:-4]), lambda b: zstd(b + b), lambda b: zstd(b)[:-3], lambda b: b[::-1]):
        write_zstd(folder / "data.h5", pack)
        train(folder, output="no").exits(3).says("data.h5:/x")
    with h5py.File(folder / "data.h5", "w") as file:
        x = file.create_dataset("x", X.shape, "f4", chunks=(8, 4), compression="lzf")
        file["y"] = Y
        for i, chunk in enumerate((b"\x03abcd", b"\xff\xff\xff" * 9, b"\x00")):
            x.id.write_direct_chunk((8 * i, 0), chunk)
    train(folder, output="no").exits(3).says("data.h5:/x", "rows")


# ------------------------------------------------------------------ virtual datasets

def virtual(path, *sources, n=24):
    """x of rows of sources: (file, array, shape of the array, its rows, rows of x). None: the whole array, which HDF5
    stores without its shape."""
    layout = h5py.VirtualLayout((n, 4), "f4")
    for file, name, shape, rows, to in sources:
        source = h5py.VirtualSource(file, name, shape, "f4")
        layout[to] = source if rows is None else source[rows]
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("x", layout)
        file["y"] = Y


def virtual_datasets(folder):
    """Parts in the same folder: rows, in any order; a source that is one row; an array of the same file."""
    wanted = plain(folder)
    harness.write_arrays(folder / "a.h5", {"g/x": X[4:]})
    harness.write_arrays(folder / "b.h5", {"x": X[:3]})
    harness.write_arrays(folder / "c.h5", {"x": X[3]})
    every = slice(None)
    virtual(folder / "data.h5", ("a.h5", "g/x", (20, 4), slice(0, 10), slice(4, 14)), ("b.h5", "x", (3, 4), every, slice(0, 3)),
            ("a.h5", "/g/x", (20, 4), slice(10, 20), slice(14, 24)), ("c.h5", "x", (4,), every, 3))
    same_model(folder, wanted)
    train(folder, output="at-3", ranks=3).exits(0)
    run_well(folder, "info", "data.h5").reports("/x", "(24, 4) float32")
    virtual(folder / "data.h5", (".", "there", (24, 4), every, every))
    with h5py.File(folder / "data.h5", "a") as file:
        file["there"] = X
    same_model(folder, wanted, output="again")
    harness.write_arrays(folder / "d.h5", {"x": X[:3], "one": X[3:4], "row": X[4], "rest": X[5:]})
    virtual(folder / "data.h5", ("d.h5", "x", (3, 4), None, slice(0, 3)), ("d.h5", "one", (1, 4), None, slice(3, 4)),
            ("d.h5", "row", (4,), None, 4), ("d.h5", "rest", (19, 4), None, slice(5, 24)))
    same_model(folder, wanted, output="whole")


def virtual_datasets_that_are_refused(folder):
    harness.write_arrays(folder / "a.h5", {"x": X, "short": X[:20], "wide": X.astype("f8"), "columns": X[:, :2]})
    harness.write_file(folder / "sub/a.h5", {"x": X})
    every = slice(None)

    def refused(*says, source="a.h5", name="x", shape=(24, 4), rows=every, to=every):
        virtual(folder / "data.h5", (source, name, shape, rows, to))
        train(folder, output="no").exits(3).reports(*says)

    refused("data.h5:/x", "virtual", "same folder", "h5py", source=str(folder / "a.h5"))
    refused("data.h5:/x", "virtual", "same folder", source="sub/a.h5")
    refused("data.h5:/x", "virtual", "same folder", source="../a.h5")
    refused("data.h5:/x", "virtual", "no source", shape=(20, 4), to=slice(0, 20))
    refused("data.h5:/x", "virtual", "whole rows", shape=(24, 2), to=(every, slice(0, 2)))
    refused("data.h5:/x", "virtual", "whole rows", shape=(48, 4), rows=slice(0, 48, 2))
    refused("none.h5", "No such file", source="none.h5")
    refused("a.h5:/none", "does not exist", name="none")
    refused("a.h5:/short", "(20, 4)", "(24, 4)", name="short")
    refused("a.h5:/short", "(20, 4)", "(24, 4)", name="short", rows=None)
    refused("a.h5:/wide", "float64", "float32", name="wide")
    refused("a.h5:/columns", "(24, 2)", "(24, 4)", name="columns")
    refused("data.h5:/x", "virtual", "source of a virtual dataset", source="data.h5")


# --------------------------------------------------------------------------- weights

def weights_of_other_names(folder):
    weights = numpy.where(Y == 1, 0.5, 2.0)
    wanted = plain(folder, X, Y, w=weights)
    for name in ("sample_weight", "sample_weights", "weight", "weights"):
        harness.write_arrays(folder / "data.h5", {"x": X, "y": Y, name: weights})
        same_model(folder, wanted, output=name).reports("/" + name, "sample weights")


def weights_that_are_not_of_samples(folder):
    wanted = plain(folder)
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y, "weights": numpy.ones(3)})
    same_model(folder, wanted).reports("warning", "/weights", "(3,)", "not used")


def many_chunks(folder):
    """Whether all chunks were written is known without a search for each of them, which would take minutes."""
    n = 100000
    with h5py.File(folder / "data.h5", "w") as file:
        file.create_dataset("x", data=numpy.arange(n, dtype="u4"), chunks=(1,), maxshape=(None,), compression="gzip")
    run_well(folder, "info", "data.h5").says("/x", f"({n},) uint32")
    with h5py.File(folder / "data.h5", "a") as file:
        file["x"].resize(n + 2, axis=0)
        file["x"][n + 1] = 1
    run(folder, "info", "data.h5").exits(0).says(f"only {n + 1} of {n + 2} chunks")


# ----------------------------------------------------------------------------- names

def roles_before_and_after(folder):
    wanted = plain(folder)
    for x, y in (("train_set_x", "train_set_y"), ("x_train", "y_train"), ("train_images", "train_labels"),
                 ("X_training", "y_training")):
        other = [name.replace("training", "test").replace("train", "test") for name in (x, y)]
        harness.write_arrays(folder / "data.h5", {x: X, y: Y, other[0]: X[::-1], other[1]: Y})
        same_model(folder, wanted, output=x)


def other_splits(folder):
    """Class 1 of /test is the opposite of that of /train, so that the accuracy shows which of them was read."""
    harness.write_arrays(folder / "data.h5", {"train/pix": X, "train/digit": Y, "test/pix": X, "test/digit": 2 - Y})
    train(folder, ("train: data.h5", "train: data.h5:/train\n  x: /train/pix\n  y: /train/digit"),
          ("epochs: 2", "epochs: 60")).exits(0)


def accuracy(folder, *words):
    result = run_well(folder, "evaluate", "run/model.h5", *words)
    return float(re.search(r"^accuracy +([0-9.]+)", result.out, re.M)[1])


def a_name_stays_in_the_group(folder):
    """/train/pix, which the config names, is not the x of /test."""
    other_splits(folder)
    on_train, on_test = (accuracy(folder, "data.h5:/" + group) for group in ("train", "test"))
    assert on_train > 0.9 and on_test < 0.4, (on_train, on_test)
    run(folder, "evaluate", "run/model.h5", "data.h5").exits(3).says("/test").says("/train")
    harness.write_arrays(folder / "other.h5", {"test/p": X, "test/d": Y})
    run(folder, "evaluate", "run/model.h5", "other.h5:/test").exits(3).says("--x")


def options_name_arrays(folder):
    other_splits(folder)
    names = ("--x", "/test/pix", "--y", "/test/digit")
    assert accuracy(folder, "data.h5", *names) < 0.4
    run(folder, "evaluate", "run/model.h5", "data.h5:/train", *names).exits(3).says("/test/pix", "outside")
    harness.write_arrays(folder / "p.h5", {"p": X[:5]})
    harness.write_arrays(folder / "q.h5", {"q": Y[:5]})
    assert accuracy(folder, "p.h5", "--x", "p", "--y", "q.h5:/q") == 1.0
    run_well(folder, "predict", "run/model.h5", "p.h5", "--x", "p", "-o", "out.h5")
    run_well(folder, "explain", "run/model.h5", "p.h5", "--x", "p", "-o", "why.h5")


def output_among_the_data(folder):
    """The file to write may be one of those that a pattern or an option names: they are kept."""
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})
    train(folder).exits(0)
    before = {}
    for name in ("part-0.h5", "part-1.h5", "y.h5"):
        harness.write_arrays(folder / name, {"x": X, "y": Y})
        before[name] = (folder / name).read_bytes()
    run(folder, "predict", "run/model.h5", "part-?.h5", "-o", "./part-1.h5").exits(2).says("part-1.h5", "the data")
    run(folder, "explain", "run/model.h5", "data.h5", "--y", "y.h5:/y", "-o", "y.h5").exits(2).says("y.h5", "the data")
    assert all((folder / name).read_bytes() == content for name, content in before.items())
    run_well(folder, "predict", "run/model.h5", "part-?.h5", "-o", "part-10.h5")


def names_of_a_split(folder):
    harness.write_arrays(folder / "data.h5", {"pix": X, "digit": Y, "p": X[:9], "d": Y[:9]})
    same = plain(folder, X, Y, ("plain.h5", "plain.h5\n  test: plain.h5"))
    same_model(folder, same, ("train: data.h5", "train: {file: data.h5, x: pix, y: digit}\n"
                              "  test: {file: data.h5, x: p, y: d}")).reports("9 test samples")


def x_without_y(folder):
    """The y of an x that is named alone is beside it, not beside the x of the training data."""
    other_splits(folder)
    assert accuracy(folder, "data.h5", "--x", "/test/pix") < 0.4
    harness.write_arrays(folder / "data.h5", {"train/digit": Y, "test/pix": X})
    run(folder, "evaluate", "run/model.h5", "data.h5", "--x", "/test/pix").exits(3).says("/train/digit", "--y")
    names = "train: data.h5\n  x: /train/pix\n  y: /train/digit\n  test: {file: data.h5, %s}"
    for word in ("x: /test/pix", "y: /test/digit"):
        train(folder, ("train: data.h5", names % word), output="no").exits(2).says("data.test", "group")


def names_of_the_other_role(folder):
    """A name of the training split in the config, such as pix_train, is not that of the test split."""
    harness.write_arrays(folder / "data.h5", {"a/pix_train": X, "a/train_digit": Y, "a/test_pix": X, "a/digit_test": 2 - Y})
    train(folder, ("train: data.h5", "train: data.h5\n  x: /a/pix_train\n  y: /a/train_digit"),
          ("epochs: 2", "epochs: 60")).exits(0)
    assert accuracy(folder, "data.h5") < 0.4 and accuracy(folder, "data.h5:/a") < 0.4
    assert accuracy(folder, "data.h5", "--x", "/a/pix_train", "--y", "/a/train_digit") > 0.9


# -------------------------------------------------------------------------- two files

def x_and_y_in_two_files(folder):
    """The path of y's file is relative to the config; weights are beside x."""
    weights = numpy.linspace(1, 2, 24)
    wanted = plain(folder, w=weights)
    harness.write_file(folder / "data/x.h5", {"x": X, "w": weights})
    harness.write_arrays(folder / "data/y.h5", {"targets/y": Y})
    names = "data/x.h5\n  y: data/y.h5:/targets/y"
    same_model(folder, wanted, ("data.h5", names))
    same_model(folder, wanted, ("data.h5", "{file: data/x.h5, y: 'data/y.h5:/targets/y'}"), output="again")
    train(folder, ("data.h5", names), output="at-3", ranks=3).exits(0)
    train(folder, ("data.h5", names + "\n  test: data/x.h5"), output="no").exits(2).says("data.test", "FILE:/PATH")
    train(folder, ("data.h5", names.replace("data/x.h5", "[data/x.h5, plain.h5]")), output="no").exits(3).says("one file")


# -------------------------------------------------------------------------- many files

def parts(folder):
    harness.write_arrays(folder / "a.h5", {"x": X[:5], "y": Y[:5]})
    harness.write_arrays(folder / "b.h5", {"train/x": X[5:12], "train/y": Y[5:12]})
    harness.write_arrays(folder / "part-10.h5", {"x": X[12:13], "y": Y[12:13]})
    harness.write_arrays(folder / "part-9.h5", {"x": X[13:], "y": Y[13:]})


LIST = ("train: data.h5", "train: [a.h5, b.h5:/train, part-*.h5]")


def many_files_are_one_dataset(folder):
    parts(folder)
    for ranks in harness.each_of(1, 3):
        harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})
        train(folder, output=f"one-{ranks}", ranks=ranks).exits(0)
        result = same_model(folder, model_arrays(folder / f"one-{ranks}/model.h5"), LIST, output=f"many-{ranks}",
                            ranks=ranks)
        result.reports("data: 24 training", "a.h5 and 2 more")


def a_run_goes_on_with_parts_of_its_file(folder):
    """The fingerprint is that of the samples, not of the files."""
    parts(folder)
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})
    train(folder, output="whole").exits(0)
    train(folder, ("epochs: 2", "epochs: 2\n  max_steps: 4")).exits(0)
    result = same_model(folder, model_arrays(folder / "whole/model.h5"), LIST)
    result.says(harness.RESUMED)


def lists_for_other_splits(folder):
    parts(folder)
    result = train(folder, ("train: data.h5", "train: {file: [a.h5, b.h5:/train]}\n  validation: 'part-?.h5'\n"
                            "  test: ['part-*.h5']")).exits(0)
    result.reports("12 training", "11 validation", "12 test")


def a_file_with_a_star_in_its_name(folder):
    wanted = plain(folder)
    harness.write_arrays(folder / "d[1]*.h5", {"x": X, "y": Y})
    same_model(folder, wanted, ("train: data.h5", "train: 'd[1]*.h5'"))
    same_model(folder, wanted, ("train: data.h5", "train: 'd[1]?.h5'"), output="again")


def hundreds_of_files(folder):
    """More than the process may open at a time."""
    wanted = plain(folder, numpy.repeat(X, 10, axis=0), numpy.repeat(Y, 10))
    for i in range(240):
        harness.write_arrays(folder / f"q{i:03}.h5", {"x": X[i // 10:i // 10 + 1], "y": Y[i // 10:i // 10 + 1]})
    same_model(folder, wanted, ("train: data.h5", "train: q*.h5"), before=("prlimit", "--nofile=60"))


def parts_that_differ(folder):
    """The message names both files and the difference."""
    def refused(value, *says, **arrays):
        parts(folder)
        harness.write_arrays(folder / "c.h5", {"x": X[:5], "y": Y[:5], **arrays})
        train(folder, ("train: data.h5", "train: " + value), output="no").exits(3).reports(*says)

    refused("[a.h5, c.h5]", "c.h5:/x", "a.h5", "(5, 3)", "(5, 4)", "shape", x=X[:5, :3])
    refused("[a.h5, c.h5]", "c.h5:/x", "a.h5", "float64", "float32", "type", x=X[:5].astype("f8"))
    refused("[a.h5, c.h5]", "c.h5:/y", "a.h5", "int32", "int64", "type", y=Y[:5].astype("i4"))
    refused("[a.h5, c.h5]", "c.h5", "a.h5", "weights", w=numpy.ones(5))
    refused("[a.h5, c.h5]", "c.h5:/y", "a.h5", "classes", "red", y=(Y[:5], {"classes": ["red", "green", "blue"]}))
    refused("[a.h5, c.h5]", "c.h5:/x", "a.h5", "features", "p", x=(X[:5], {"features": list("pqrs")}))
    refused("[a.h5, c.h5, a.h5]", "a.h5:/x", "twice")
    refused("[a.h5, ./a.h5]", "a.h5:/x", "twice")
    refused("['?.h5', c.h5]", "c.h5:/x", "twice", x=X[:5])
    refused("none-*.h5", "none-*.h5", "no file")
    refused("[a.h5, part-*.h5:/train]", "part-10.h5", "/train")


# ------------------------------------------------------------------- order with windows

def many_parts(folder, rows=(5, 3, 4, 2, 6, 4), name="w"):
    first = 0
    for i, n in enumerate(rows):
        harness.write_arrays(folder / f"{name}{i}.h5", {"x": X[first:first + n], "y": Y[first:first + n]})
        first += n


WINDOW = ("train: data.h5", "train: w?.h5\n  window: 7")


def windows_are_kept(folder):
    """Each file is a block. A run keeps its window and its blocks; a window that covers all is a full shuffle."""
    many_parts(folder)
    train(folder, WINDOW, output="whole").exits(0).reports("order", "at least 7 samples", "6 blocks")
    whole = model_arrays(folder / "whole/model.h5")
    harness.run(folder, "info", "whole/model.h5").exits(0).says("window", "7 samples")
    for ranks in harness.each_of(1, 2):
        output = f"kept-{ranks}"
        train(folder, WINDOW, ("epochs: 2", "epochs: 2\n  max_steps: 4"), output=output).exits(0)
        for edit, code, say in ((("window: 7", "window: 8"), 2, "data.window is 8 samples, not 7"),
                                (("train: w", "train: v"), 3, "other blocks")):
            many_parts(folder, (12, 12), "v")
            train(folder, WINDOW, edit, output=output).exits(code).reports(say)
        same_model(folder, whole, WINDOW, ("\n  window: 7", ""), output=output, ranks=ranks).says(harness.RESUMED)
    full = plain(folder)
    same_model(folder, full, WINDOW, ("window: 7", "window: 24"), output="covering")
    train(folder, ("data.h5", "w?.h5"), ("epochs: 2", "epochs: 2\n  max_steps: 4"), output="full").exits(0)
    train(folder, WINDOW, output="full").exits(2).reports("data.window is 7 samples, not absent")
    result = same_model(folder, full, ("data.h5", "w?.h5"), output="full")
    result.must(not numpy.array_equal(full["0-dense/W"], whole["0-dense/W"]), "windows are another order")


def windows_of_a_size(folder):
    """A sample has 4 float32 and a class number of 4 bytes."""
    many_parts(folder)
    for text, n in (("100B", 5), ("0.2kB", 10), ("1B", 1), ("1TiB", (1 << 40) // 20)):
        train(folder, WINDOW, ("window: 7", f"window: {text}"), output=f"size-{n}").exits(0)
        harness.run(folder, "info", f"size-{n}/model.h5").exits(0).says("window", f"{n} samples")
    for bad in ("0", "-5", "2 apples", "[3]", "0GB", "1e6"):
        train(folder, WINDOW, ("window: 7", f"window: {bad}")).exits(2).reports("data.window", "such as 500MB")


def a_cache_of_parts(folder):
    """Runs share a cache, which changes no result. Damage, a small size and a wrong folder are warnings."""
    x = numpy.repeat(X, 512, axis=1)
    wanted = plain(folder, x)
    harness.write_arrays(folder / "data.h5", {"x": x, "y": Y})
    cache = ("train: data.h5", "train: data.h5\n  cache: parts\n  cache_size: 10MB")
    for output, say in (("first", "0 parts read, 1 added"), ("second", "1 parts read, 0 added")):
        result = same_model(folder, wanted, cache, output=output)
        result.must(say in (folder / output / "train.log").read_text(), say)
    for part in (folder / "parts").glob("*/*"):
        part.write_bytes(part.read_bytes()[:-1] + b"\x00") # the last float is not 0
    same_model(folder, wanted, cache, output="damaged").reports("data.cache", "1 damaged")
    same_model(folder, wanted, cache, ("cache: parts", "cache: few"), ("10MB", "1kB"), output="full").reports("is full")
    same_model(folder, wanted, cache, ("cache: parts", "cache: data.h5"), output="file").reports("1 of 1 ranks")
    train(folder, cache, ("\n  cache_size: 10MB", ""), output="bad").exits(2).reports("data.cache", "data.cache_size")
    train(folder, cache, ("10MB", "10 apples"), output="bad").exits(2).reports("data.cache_size", "200GB")


def all_errors_are_found(folder):
    """check --all lists the errors of all files in their order, the same at any number of ranks; with more than 20, it
    counts the others. A damaged chunk is one error."""
    x = numpy.random.default_rng(5).normal(size=(600, 64))
    y = numpy.arange(600, dtype="i4") % 3
    for name, rows in (("a.h5", {7: numpy.nan, 599: numpy.inf}), ("b.h5", {}), ("c.h5", {0: 1e300})):
        values = x.copy()
        for row, value in rows.items():
            values[row, 5] = value
        labels = y.copy()
        labels[300] = 9 if rows else 0
        with h5py.File(folder / name, "w") as file:
            file.create_dataset("x", data=values, chunks=(100, 64), compression="gzip")
            file.create_dataset("y", data=labels)
            file.create_dataset("w", data=numpy.ones(600))
    harness.write_file(folder / "good.h5", {"x": x, "y": y})
    with h5py.File(folder / "b.h5") as file:
        chunk = file["x"].id.get_chunk_info(2)
    with open(folder / "b.h5", "r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        file.write(b"\xff" * 1000)
    harness.write_file(folder / "config.yaml", edited(("train: data.h5", "train: [a.h5, b.h5, c.h5]")))
    wanted = ["a.h5:/x: row 7, feature 5 is nan", "a.h5:/x: row 599, feature 5 is inf", "a.h5:/y: row 300: label 9",
              "b.h5:/x: rows 200 to 299 cannot be read", "c.h5:/x: row 0, feature 5 is 1e+300", "c.h5:/y: row 300: label 9",
              "6 errors in 1800 samples"]
    for ranks in harness.each_of(1, 3):
        result = run(folder, "check", "config.yaml", "--all", ranks=ranks).exits(3)
        lines = [line for line in result.err.splitlines() if line.startswith("lockstep: error: ")]
        result.must(len(lines) == len(wanted), f"there must be {len(wanted)} errors")
        for line, part in zip(lines, wanted):
            result.must(part in line, f"in place of '{line}' there must be: {part}")
    labels = numpy.where(y == 0, -1, y)
    harness.write_file(folder / "bad.h5", {"x": x, "y": labels})
    for ranks in harness.each_of(1, 2):
        result = run(folder, "check", "config.yaml", "--all", "--set", "data.train=bad.h5", ranks=ranks).exits(3)
        result.must(result.err.count("label -1") == 20 and "200 errors in 600 samples; only the first" in result.err, "20 of 200")
        result = run(folder, "check", "config.yaml", "--all", "--set", "data.train=good.h5", ranks=ranks).exits(0)
        result.must(result.out.startswith("OK: 600 samples, 0.3 MB"), "all samples must be read")


def files_that_cannot_be_read(folder):
    """check --all names them, and checks the other files and splits. The first one is not that with which others are compared."""
    for name in ("p1.h5", "p2.h5", "p3.h5", "p4.h5", "v1.h5"):
        harness.write_arrays(folder / name, {"x": numpy.where(numpy.arange(40)[:, None] == 7, numpy.nan, numpy.ones((40, 64))), "y": numpy.arange(40) % 3})
    with h5py.File(folder / "p3.h5", "r+") as file:
        del file["y"]
        file["y"] = numpy.zeros(39)
    harness.write_file(folder / "p0.h5", "not HDF5")
    for name in ("p2.h5", "v1.h5"):
        os.truncate(folder / name, (folder / name).stat().st_size // 2)
    harness.write_file(folder / "config.yaml", edited(("train: data.h5", "train: p*.h5\n  validation: v1.h5\n  test: [gone.h5, p4.h5]")))
    wanted = ["p0.h5: ", "p2.h5: ", "p3.h5:/y: ", "p1.h5:/x: row 7", "p4.h5:/x: row 7", "v1.h5: ", "gone.h5: ", "p4.h5:/x: row 7",
              "8 errors in 120 samples"]
    for ranks in harness.each_of(1, 2):
        result = run(folder, "check", "config.yaml", "--all", ranks=ranks).exits(3)
        lines = [line for line in result.err.splitlines() if line.startswith("lockstep: error: ")]
        result.must(len(lines) == len(wanted) and all(part in line for part, line in zip(wanted, lines)), f"the errors must be: {wanted}")
    result = run(folder, "check", "config.yaml", "--all", "--set", "data.train=[p0.h5, p2.h5]").exits(3)
    result.reports("p0.h5: ").reports("p2.h5: ").says("2 errors in 0 samples")


def splits_by_blocks(folder):
    """Validation gets whole blocks, at least round(f N) samples; a single block cannot be divided."""
    many_parts(folder, (4, 4, 4, 4, 4, 4))
    split = ("w?.h5\n", "w?.h5\n  validation: 0.2\n")
    train(folder, WINDOW, split).exits(0).reports("data: 16 training, 8 validation")
    train(folder, WINDOW, split, ("0.2", "0.99"), output="most").exits(0).reports("data: 4 training, 20 validation")
    run(folder, "check", "config.yaml").exits(0).says("blocks +6 of up to 4 samples".replace(" +", "      "))
    harness.write_arrays(folder / "w.h5", {"x": X, "y": Y})
    train(folder, WINDOW, split, ("w?.h5", "w.h5"), output="one").exits(3).reports("data.validation", "whole blocks", "only one")


def blocks_of_one_class(folder):
    """Files that are sorted by class: a warning names the remedy, unless a window has most of the blocks."""
    labels = numpy.arange(2000) // 125 % 4
    inputs = numpy.random.default_rng(1).random((2000, 4), dtype="f4")
    for order, edit, warns in ((numpy.arange(2000), (), True), (numpy.random.default_rng(2).permutation(2000), (), False),
                               (numpy.arange(2000), [("window: 250", "window: 1800")], False)):
        for i in range(16):
            rows = order[125 * i:125 * (i + 1)]
            harness.write_arrays(folder / f"w{i:02}.h5", {"x": inputs[rows], "y": labels[rows]})
        result = train(folder, ("train: data.h5", "train: w*.h5\n  window: 250"), ("units: 3", "units: 4"), *edit,
                       output=f"run-{warns}-{len(edit)}", ranks=2).exits(0)
        result.must(("lockstep import FILE... -o OUT.h5 --shuffle" in result.err) == warns, f"warns: {warns}")


TESTS = [
    y_of_many_dims, bools_of_pytables, names_of_an_enumeration, numbers_of_an_enumeration, info_continues, lzf_and_zstd,
    damaged_lzf_and_zstd, virtual_datasets, virtual_datasets_that_are_refused, weights_of_other_names, weights_that_are_not_of_samples, many_chunks, roles_before_and_after,
    a_name_stays_in_the_group, options_name_arrays, output_among_the_data, names_of_a_split, x_without_y, names_of_the_other_role,
    x_and_y_in_two_files, many_files_are_one_dataset,
    a_run_goes_on_with_parts_of_its_file, lists_for_other_splits, a_file_with_a_star_in_its_name, hundreds_of_files,
    parts_that_differ, windows_are_kept, windows_of_a_size, a_cache_of_parts, all_errors_are_found, files_that_cannot_be_read,
    splits_by_blocks, blocks_of_one_class,
]

harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
