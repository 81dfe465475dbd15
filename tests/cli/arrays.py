"""Import of NumPy arrays (.npy and .npz), and the messages about errors in them."""

import gzip
import io
import struct
import zipfile

import h5py
import numpy

import harness
from harness import run, run_well

USAGE, DATA = 2, 3
RANDOM = numpy.random.default_rng(1)
X, Y = RANDOM.integers(0, 256, (30, 4, 5), dtype="u1"), RANDOM.integers(0, 3, 30)


def npy(array, version=(1, 0)):
    out = io.BytesIO()
    numpy.lib.format.write_array(out, numpy.asanyarray(array), version)
    return out.getvalue()


def header(text, data=b"", version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + data


def npz(compressed=True, **arrays):
    out = io.BytesIO()
    (numpy.savez_compressed if compressed else numpy.savez)(out, **arrays)
    return out.getvalue()


def imported(folder, files, *words):
    """(the arrays of the dataset, the run)."""
    for name, content in files.items():
        harness.write_file(folder / name, content)
    result = run_well(folder, "import", *words, "-o", "out.h5")
    arrays = {}
    with h5py.File(folder / "out.h5") as file:
        for split in file:
            arrays.update({f"{split}/{name}": file[split][name][()] for name in file[split]})
    return arrays, result


def check(result, found, **expected):
    expected = {name.replace("_", "/"): numpy.asarray(array) for name, array in expected.items()}
    result.must(sorted(found) == sorted(expected), f"{sorted(found)} must be {sorted(expected)}")
    for name, array in expected.items():
        result.must(found[name].dtype == array.dtype and numpy.array_equal(found[name], array), f"{name} differs")


def types_and_orders(folder):
    """Every type, both byte orders, both orders of dimensions, all versions of the format."""
    values = RANDOM.normal(size=(7, 3, 2)) * 50
    for code, stored in (("u1", "u1"), ("i1", "i1"), ("u2", "u2"), ("i2", "i2"), ("u4", "u4"), ("i4", "i4"), ("u8", "u8"),
                         ("i8", "i8"), ("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("?", "u1")):
        for order in "<>":
            array = numpy.abs(values).astype(numpy.dtype(code).newbyteorder(order))
            found, result = imported(folder, {"x.npy": npy(array)}, "x.npy")
            check(result, found, train_x=array.astype(stored))
        found, result = imported(folder, {"x.npy": npy(numpy.asfortranarray(array), (2, 0))}, "x.npy")
        check(result, found, train_x=array.astype(stored))
    half = numpy.array([0.0, -0.0, 6e-8, -6e-5, 1.5, -65504.0], "f2")
    found, result = imported(folder, {"any.name.npy": npy(half, (3, 0))}, "any.name.npy")
    check(result, found, train_x=half.astype("f4"))


def archives(folder):
    for compressed in (False, True):
        found, result = imported(folder, {"a.npz": npz(compressed, x=X, y=Y)}, "a.npz")
        check(result.reports("30 samples of 20 features"), found, train_x=X, train_y=Y)
    found, result = imported(folder, {"keras.npz": npz(x_train=X, y_train=Y, x_test=X[:5], y_test=Y[:5])}, "keras.npz")
    check(result, found, train_x=X, train_y=Y, test_x=X[:5], test_y=Y[:5])
    medmnist = npz(train_images=X, train_labels=Y[:, None], val_images=X[:4], val_labels=Y[:4, None], test_images=X[:5],
                   test_labels=Y[:5, None])
    found, result = imported(folder, {"medmnist.npz": medmnist}, "medmnist.npz")
    check(result, found, train_x=X, train_y=Y, validation_x=X[:4], validation_y=Y[:4], test_x=X[:5], test_y=Y[:5])
    targets = RANDOM.normal(size=(30, 2)).astype("f4")
    found, result = imported(folder, {"b.npz": npz(x=numpy.asfortranarray(X), y=numpy.asfortranarray(targets))}, "b.npz")
    check(result, found, train_x=X, train_y=targets)


def names_by_options(folder):
    files = {"a.npz": npz(arr_0=X, arr_1=Y, arr_2=Y)}
    found, result = imported(folder, files, "a.npz", "--x", "arr_0", "--y", "arr_1")
    check(result, found, train_x=X, train_y=Y)
    found, result = imported(folder, {}, "a.npz", "--x", "arr_0")
    check(result, found, train_x=X)


def separate_files(folder):
    files = {"X_train.npy": npy(X), "Y_train.npy": npy(Y), "X_test.npy.gz": gzip.compress(npy(X[:3])), "Y_test.npy": npy(Y[:3])}
    found, result = imported(folder, files, *files)
    check(result, found, train_x=X, train_y=Y, test_x=X[:3], test_y=Y[:3])


def class_names(folder):
    with h5py.File(folder / "out.h5") as file:
        return [name.decode() if isinstance(name, bytes) else name for name in file["train/y"].attrs.get("classes", [])]


def whole_labels_are_classes(folder):
    """Labels that are whole numbers become classes by value, over all splits, as those of tables do."""
    cases = [(Y + 1, ["1", "2", "3"]), (Y.astype("f4") * 2 - 2, ["-2", "0", "2"]), (Y[:, None].astype(">i2") * 10, ["0", "10", "20"]),
             (Y.astype("u8") + 7, ["7", "8", "9"]), (numpy.asfortranarray(numpy.stack([Y]).T + 1.0), ["1", "2", "3"])]
    for labels, names in cases:
        for name, files in (("a.npz", {"a.npz": npz(x=X, y=labels)}), ("x.npy y.npy", {"x.npy": npy(X), "y.npy": npy(labels)})):
            found, result = imported(folder, files, *name.split())
            check(result.reports("3 classes"), found, train_x=X, train_y=Y)
            result.must(class_names(folder) == names, f"classes {class_names(folder)} must be {names}")
    few = npz(x_train=X[:4], y_train=numpy.array([4, 1, 4, 1]), x_test=X[:2], y_test=numpy.array([2, 4]))
    found, result = imported(folder, {"few.npz": few}, "few.npz")
    check(result, found, train_x=X[:4], train_y=[2, 0, 2, 0], test_x=X[:2], test_y=[1, 2])
    kept = [(Y + 0.5, ()), (numpy.arange(30) * 1000, ()), (numpy.arange(30) + (1 << 60), ()), (Y - 1, ("--targets", "numbers")),
            (numpy.stack([Y, Y + 1], 1), ())]
    for labels, options in kept:
        found, result = imported(folder, {"b.npz": npz(x=X, y=labels)}, "b.npz", *options)
        check(result, found, train_x=X, train_y=labels)
        result.must(class_names(folder) == [], "numbers have no classes")
    found, result = imported(folder, {"b.npz": npz(x=X, y=numpy.arange(30) * 1000)}, "b.npz", "--targets", "classes")
    check(result, found, train_x=X, train_y=numpy.arange(30))
    run(folder, "import", "b.npz", "-o", "out.h5", "--label", "y").exits(USAGE).reports("--label")
    harness.write_file(folder / "b.npz", npz(x=X, y=Y + 0.5))
    run(folder, "import", "b.npz", "-o", "out.h5", "--targets", "classes").exits(DATA).reports("--targets classes", "whole number")


def a_test_fraction(folder):
    found, result = imported(folder, {"a.npz": npz(x=X, y=Y)}, "a.npz", "--test-fraction", "0.2")
    result.must(len(found["test/x"]) == len(found["test/y"]) == 6 and len(found["train/x"]) == 24, "a fifth")
    rows = {x.tobytes(): y for split in ("train", "test") for x, y in zip(found[f"{split}/x"], found[f"{split}/y"])}
    result.must(rows == {x.tobytes(): y for x, y in zip(X, Y)}, "each row goes to one of both, with its target")


def large_arrays(folder):
    """More than a block, with a row that does not divide it."""
    x = RANDOM.normal(size=(5000, 77)).astype("f4")
    for array in (x, numpy.asfortranarray(x)):
        found, result = imported(folder, {"x.npy": npy(array)}, "x.npy")
        check(result, found, train_x=x)


def other_arrays_are_named(folder):
    harness.write_file(folder / "a.npz", npz(x=X, y=Y, ids=Y))
    result = run(folder, "import", "a.npz", "-o", "out.h5").exits(0)
    result.must("ids" in result.err and "ignored" in result.err, "the array is named")


# ----------------------------------------------------------------------- errors

def zipped(name, data, **how):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **how) as file:
        file.writestr(name, data)
    return out.getvalue()


def inflated(content):
    """An archive that states a size of 2^31 - 1 for its only member."""
    return content.replace(struct.pack("<I", len(npy(X))), struct.pack("<I", 2**31 - 1))


GOOD = npz(x=X, y=Y)
STORED = npz(False, x=X)
SHAPE = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"

# (code, parts of the message, name, content, options)
REJECTED = (
    (DATA, ("a.npz", "not a readable .npz"), "a.npz", b"", ()),
    (DATA, ("a.npz", "not a readable .npz"), "a.npz", b"text", ()),
    (DATA, ("a.npz", "not a readable .npz"), "a.npz", GOOD[:-30], ()),
    (DATA, ("a.npz:x.npy", "damaged"), "a.npz", STORED[:400] + b"\x01\x02" + STORED[402:], ()),
    (DATA, ("a.npz:x.npy",), "a.npz", inflated(STORED), ()),
    (DATA, ("a.npz:x.npy", "compression"), "a.npz", zipped("x.npy", npy(X), compression=zipfile.ZIP_BZIP2), ()),
    (DATA, ("a.npz", "no arrays"), "a.npz", zipped("x.txt", b"text"), ()),
    (DATA, ("a.npz:x.npy", "NUMPY"), "a.npz", zipped("x.npy", b"text"), ()),
    (DATA, ("--x", "--y", "arr_0, arr_1"), "a.npz", npz(arr_0=X, arr_1=Y), ()),
    (DATA, ("--x z", "no such array", "x, y"), "a.npz", GOOD, ("--x", "z")),
    (DATA, ("a.npz:x.npy", "(30, 4, 5)", "a.npz:y.npy", "(29,)"), "a.npz", npz(x=X, y=Y[:29]), ()),
    (DATA, ("x_train.npy", "x_test.npy", "one shape"), "a.npz", npz(x_train=X, x_test=X[:, :3]), ()),
    (DATA, ("a.npz:y_test.npy", "no x"), "a.npz", npz(x_train=X, y_train=Y, y_test=Y), ()),
    (DATA, ("a.npz:x.npy", "a.npz:images.npy", "both"), "a.npz", npz(x=X, images=X), ()),
    (DATA, ("x.npy", "objects"), "x.npy", npy(numpy.array([{}, None], dtype=object)), ()),
    (DATA, ("x.npy", "<U3", "not supported"), "x.npy", npy(numpy.array(["abc", "d"])), ()),
    (DATA, ("x.npy", "<c16", "not supported"), "x.npy", npy(numpy.array([1j])), ()),
    (DATA, ("x.npy", "records"), "x.npy", npy(numpy.zeros(3, "i4,f4")), ()),
    (DATA, ("x.npy", "single number"), "x.npy", npy(numpy.float32(1)), ()),
    (DATA, ("x.npy", "without elements"), "x.npy", npy(numpy.zeros((0, 3))), ()),
    (DATA, ("x.npy", "row 2, element 1", "finite"), "x.npy", npy(numpy.array([[0, 1], [2, 3], [4, numpy.nan]])), ()),
    (DATA, ("x.npy", "row 1, element 0", "float32"), "x.npy", npy(numpy.array([0, 1e300])), ()),
    (DATA, ("x.npy", "truncated"), "x.npy", npy(X)[:-1], ()),
    (DATA, ("x.npy", "more bytes"), "x.npy", npy(X) + b"\0", ()),
    (DATA, ("x.npy", "does not fit"), "x.npy", header(SHAPE % "(1099511627776, 1099511627776)"), ()),
    (DATA, ("x.npy", "does not fit"), "x.npy", header(SHAPE % "(2000000000, 60000)", bytes(64)), ()),
    (DATA, ("x.npy", "header is damaged"), "x.npy", header(SHAPE % "(99999999999999999999999,)"), ()),
    (DATA, ("x.npy", "header is damaged"), "x.npy", header(SHAPE % "(-1, 4)"), ()),
    (DATA, ("x.npy", "header is damaged"), "x.npy", header("{'descr': '<f4', 'shape': (1,)}", bytes(4)), ()),
    (DATA, ("x.npy", "header is damaged"), "x.npy", header("__import__('os').system('touch ran')"), ()),
    (DATA, ("x.npy", "dimensions"), "x.npy", header(SHAPE % ("(" + "1," * 9 + ")")), ()),
    (DATA, ("x.npy", "truncated"), "x.npy", header("", version=2)[:9] + b"\xff\xff", ()),
    (DATA, ("x.npy", "at most 65535"), "x.npy", b"\x93NUMPY\x02\0\xff\xff\xff\x7f" + bytes(99), ()),
    (DATA, ("x.npy", "version 9"), "x.npy", header("", version=9), ()),
    (DATA, ("x.npy", "NUMPY"), "x.npy", b"a,b\n1,2\n", ()),
    (USAGE, ("--y", "NumPy"), "t.csv", "a,b\n1,2\n", ("--y", "b")),
    (USAGE, ("--size", "folder"), "x.npy", npy(X), ("--size", "4x4")),
    (USAGE, ("--label",), "x.npy", npy(X), ("--label", "y")),
)


def errors(folder):
    for number, (code, says, name, content, options) in enumerate(REJECTED):
        place = folder / str(number)
        harness.write_file(place / name, content)
        result = run(place, "import", name, "-o", "out.h5", *options).exits(code)
        result.must(all(part in result.err for part in says), f"{says} must be in: {result.err}")
        result.must(len(result.err.splitlines()) == 1, "one message")
        result.must(harness.names_in(place) == [name], "no file is left")


TESTS = [types_and_orders, archives, names_by_options, separate_files, whole_labels_are_classes, a_test_fraction, large_arrays, other_arrays_are_named,
         errors]

if __name__ == "__main__":
    harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
