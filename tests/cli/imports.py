"""Import of many files to one or several, shuffled or not, in bounded memory: every row is exactly once in the output."""

import gzip
import os
import signal
import time

import h5py
import numpy

import harness
from harness import Skip, run, run_well

USAGE, DATA, OUTPUT = 2, 3, 5
NAMES = numpy.array(["a", "b", "c"], dtype=h5py.string_dtype())


def rows_of(n, first=0):
    """Rows that are all different: (x, y, w)."""
    i = numpy.arange(first, first + n)
    return numpy.stack([i, i * 7 % 101, -i], 1).astype("f4"), (i % 3).astype("i1"), i.astype("f8") / 8


def read(path, group="train"):
    """The arrays of a group in a file, or in all files that match a pattern."""
    parts = []
    for name in sorted(path.parent.glob(path.name)):
        with h5py.File(name) as file:
            parts.append({key: file[group][key][()] for key in file[group]})
    return {key: numpy.concatenate([part[key] for part in parts]) for key in parts[0]}


def attributes(path):
    with h5py.File(path) as file:
        return {f"{path}@{key}": list(value) if isinstance(value, numpy.ndarray) else value
                for path in ("train/x", "train/y", "train/w") if path in file for key, value in file[path].attrs.items()}


def check_rows(result, found, expected, names=("x", "y", "w")):
    """The same rows with the same types, in any order; x[:, 0] identifies a row. Returns the order."""
    for name, array in zip(names, expected):
        result.must(found[name].dtype == array.dtype and found[name].shape == array.shape, f"{name}: type and shape")
    first = expected[0].reshape(len(expected[0]), -1)[:, 0]
    order = found["x"].reshape(len(first), -1)[:, 0]
    place = numpy.argsort(first)[numpy.searchsorted(numpy.sort(first), order)]
    result.must(sorted(place) == list(range(len(first))), "every row is exactly once in the output")
    for name, array in zip(names, expected):
        result.must(numpy.array_equal(found[name], array[place]), f"{name} belongs to its row")
    return place


def leaves_only(result, folder, *names):
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return result.must(found == sorted(names), f"the files must be {names}, not {found}")


def write_parts(folder, sizes, split="train"):
    """HDF5 files part-1.h5, ... with consecutive rows."""
    first = 0
    for i, n in enumerate(sizes):
        x, y, w = rows_of(n, first)
        first += n
        harness.write_arrays(folder / f"part-{i + 1}.h5", {
            f"{split}/x": (x, {"features": NAMES}), f"{split}/y": (y, {"classes": NAMES}), f"{split}/w": w})


# ------------------------------------------------------------------------ shuffling

def a_shuffle_is_a_permutation(folder):
    """Each row once, with its label and weight; types and attributes remain. The order depends on the seed alone."""
    write_parts(folder, [300, 1, 700])
    run_well(folder, "import", "part-*.h5", "-o", "plain.h5").reports("/train", "1001 samples of 3 features, 3 classes")
    result = run_well(folder, "import", "part-*.h5", "-o", "a.h5", "--shuffle")
    run_well(folder, "import", "plain.h5", "-o", "b.h5", "--shuffle")
    run_well(folder, "import", "plain.h5", "-o", "c.h5", "--shuffle", "--seed", "2")
    expected = rows_of(1001)
    orders = [check_rows(result, read(folder / name), expected) for name in ("plain.h5", "a.h5", "b.h5", "c.h5")]
    result.must(list(orders[0]) == list(range(1001)), "without --shuffle, rows keep their order")
    result.must(list(orders[1]) == list(orders[2]) != list(orders[3]), "the order depends on the seed alone")
    result.must(numpy.corrcoef(orders[1], range(1001))[0, 1] < 0.15, "the order is random")
    result.must(attributes(folder / "a.h5") == attributes(folder / "part-1.h5") and len(attributes(folder / "a.h5")) == 2,
                f"attributes remain: {attributes(folder / 'a.h5')}")
    result.must((folder / "a.h5").read_bytes() == (folder / "b.h5").read_bytes(), "equal rows give equal files")
    for memory in "30B", "400B", "9kB":  # one row, several rows and most rows of a bucket
        run_well(folder, "import", "plain.h5", "-o", "d.h5", "--shuffle", "--memory", memory)
        result.must((folder / "d.h5").read_bytes() == (folder / "a.h5").read_bytes(), f"the order does not depend on the memory: {memory}")


def splits_and_groups(folder):
    """/test and /validation remain; a group alone can be imported; a fraction of /train can become /test."""
    x, y, _ = rows_of(50)
    harness.write_arrays(folder / "d.h5", {"train/x": x, "train/y": y, "test/x": x[:9], "test/y": y[:9], "val/x": x[:5], "val/y": y[:5]})
    result = run_well(folder, "import", "d.h5", "-o", "a.h5", "--shuffle").reports("50 samples", "9 samples", "5 samples")
    for group, n in (("train", 50), ("test", 9), ("validation", 5)):
        check_rows(result, read(folder / "a.h5", group), (x[:n], y[:n]))
    run_well(folder, "import", "d.h5:/test", "-o", "b.h5").reports("/test", "9 samples")
    run(folder, "import", "d.h5", "-o", "c.h5", "--test-fraction", "0.2").exits(USAGE).reports("d.h5", "already has test")
    run_well(folder, "import", "d.h5:/train", "-o", "c.h5", "--test-fraction", "0.2").reports("40 samples", "10 samples")
    parts = [read(folder / "c.h5", group)["x"] for group in ("train", "test")]
    result.must(sorted(numpy.concatenate(parts)[:, 0]) == list(range(50)), "a row is in one split")


def names_of_other_programs(folder):
    x, y, w = rows_of(20)
    files = ({"X_train": x, "y_train": y, "X_test": x[:4], "y_test": y[:4]}, {"train_set_x": x, "train_set_y": y},
             {"images": x, "labels": y, "sample_weight": w}, {"data/x": x, "data/y": y}, {"other/pixels": x, "other/digit": y})
    for i, arrays in enumerate(files):
        harness.write_arrays(folder / f"{i}.h5", arrays)
        options = ("--x", "/other/pixels", "--y", "/other/digit") if i == 4 else ()
        result = run(folder, "import", f"{i}.h5", "-o", "out.h5", *options).exits(0)
        check_rows(result, read(folder / "out.h5"), (x, y, w) if i == 2 else (x, y))
    with h5py.File(folder / "5.h5", "w") as file:
        file["x"], file["y"] = x, y.astype(h5py.enum_dtype({"low": 0, "mid": 1, "high": 2}, "i1"))
    run_well(folder, "import", "5.h5", "-o", "out.h5").reports("3 classes")
    result.must(list(attributes(folder / "out.h5").values()) == [["low", "mid", "high"]], "an enumeration names classes")


def groups_of_arrays(folder):
    """features/train and labels/train are found by import, init, training and evaluation, with their weights."""
    x, y, w = rows_of(60)
    arrays = {"features": x, "labels": y, "weights": w}
    harness.write_arrays(folder / "in.h5", {f"{name}/{split}": array[first::2] for name, array in arrays.items()
                                            for first, split in enumerate(("train", "test"))})
    result = run_well(folder, "import", "in.h5", "-o", "out.h5").reports("/train 30 samples, /test 30 samples")
    check_rows(result, read(folder / "out.h5"), (x[::2], y[::2], w[::2]))
    for name in ("in", "out"):
        text = run_well(folder, "init", f"{name}.h5", "-o", f"{name}.yaml", "--kind", "table") and (folder / f"{name}.yaml").read_text()
        result.must("  test: " in text, f"init finds the test data of {name}.h5")
        run(folder, "train", f"{name}.yaml", "--set", "train.max_steps=20", "--set", "data.validation=null").exits(0)
    results = [run(folder, "evaluate", f"runs/{name}/model.h5", data).exits(0).out for name in ("in", "out") for data in ("in.h5", "out.h5:/test")]
    result.must(len(set(results)) == 1, f"both files give the same results: {results}")


def text_labels(folder):
    """Texts of fixed and variable length become classes, in the order of their bytes."""
    x, y, _ = rows_of(5000)
    names = numpy.array(["zwei", "ant", "\u00e9t\u00e9"])[y % 3]
    expected = [sorted(set(names), key=lambda name: name.encode()).index(name) for name in names]
    for kind, settings in (("fixed", {}), ("variable", {}), ("fixed", {"chunks": (700,), "compression": "gzip"}),
                           ("variable", {"chunks": (700,), "compression": "gzip"})):
        with h5py.File(folder / "in.h5", "w") as file:
            file["x"] = x
            if kind == "fixed":
                texts = numpy.char.encode(names, "utf-8")
                file.create_dataset("y", data=texts.astype("S8192") if settings else texts, **settings)  # more than one block
            else:
                file.create_dataset("y", data=names.astype(object), dtype=h5py.string_dtype(), **settings)
        result = run_well(folder, "import", "in.h5", "-o", "out.h5").reports("5000 samples", "3 classes")
        result.must(read(folder / "out.h5")["y"].tolist() == expected, f"classes of {kind} texts")
        result.must(list(attributes(folder / "out.h5").values()) == [["ant", "zwei", "\u00e9t\u00e9"]], "names of the classes")
    run(folder, "init", "in.h5", "-o", "in.yaml").exits(3).reports("lockstep import in.h5 -o OUT.h5")
    harness.write_file(folder / "c.yaml", harness.CONFIG.replace("data.h5", "in.h5"))
    run(folder, "train", "c.yaml").exits(3).reports("lockstep import", "in.h5 -o OUT.h5")
    names[4999] = ""
    with h5py.File(folder / "in.h5", "r+") as file:
        file["y"][4999] = ""
    run(folder, "import", "in.h5", "-o", "new.h5").exits(3).reports("in.h5, row 4999", "empty")
    for texts, part in (y * 0.37, "real numbers"), (range(5000), "5000 different texts in 5000 rows"):
        with h5py.File(folder / "in.h5", "w") as file:
            file["x"], file["y"] = x, numpy.array([str(text) for text in texts], "S10")
        run(folder, "import", "in.h5", "-o", "new.h5").exits(3).reports("in.h5", part, "--y")


# ------------------------------------------------------------------- several files out

def several_files_out(folder):
    """OUT-00001.h5 ... are at most as large as requested, and hold all rows in one order."""
    noise = numpy.random.default_rng(1).integers(0, 256, (20000, 700), "u1")
    x = numpy.concatenate([numpy.arange(20000, dtype="<u4").view("u1").reshape(-1, 4), noise], 1)
    y = (numpy.arange(20000) % 10).astype("i8")
    harness.write_arrays(folder / "in.h5", {"train/x": x, "train/y": y, "test/x": x[:7], "test/y": y[:7]})
    result = run_well(folder, "import", "in.h5", "-o", "out.h5", "--shuffle", "--max-file-size", "6MB").reports("files", "20000 samples")
    names = sorted(path.name for path in folder.glob("out*"))
    n = len(names) - 1
    result.must(n >= 3 and names == sorted([f"out-{i + 1:05}.h5" for i in range(n)] + ["out.test-00001.h5"]), f"names: {names}")
    result.must(all((folder / name).stat().st_size <= 6e6 for name in names), "no file is larger")
    run_well(folder, "import", "in.h5", "-o", "one.h5", "--shuffle")
    many, one = read(folder / "out-*.h5"), read(folder / "one.h5")
    result.must(all(numpy.array_equal(many[key], one[key]) for key in one), "the rows are those of one file")
    numbers = numpy.ascontiguousarray(many["x"][:, :4]).view("<u4")[:, 0]
    result.must(sorted(numbers) == list(range(20000)) and numpy.array_equal(many["x"], x[numbers]), "every row is there once")
    result.must(numpy.array_equal(many["y"], y[numbers]), "labels belong to their rows")
    run(folder, "import", "in.h5", "-o", "out.h5", "--max-file-size", "6MB").exits(OUTPUT).reports("exists", "not replaced")
    run(folder, "import", "in.h5", "-o", "new.h5", "--max-file-size", "100").exits(USAGE).reports("--max-file-size 100", "2GB")
    run(folder, "import", "in.h5", "-o", "new.h5", "--max-file-size", "1MB").exits(USAGE).reports("too small", "704 bytes|705 bytes|712 bytes")
    a_missing_part(folder, n)
    leaves_only(result, folder, "in.h5", "one.h5", *names)


def a_missing_part(folder, n):
    """A pattern must match all parts; a list may name some of them, with a warning."""
    parts = [f"out-{i + 1:05}.h5" for i in range(n)]
    text = harness.edited(("train: data.h5", "train: out-*.h5"), ("units: 3", "units: 10"))
    harness.write_file(folder / "config.yaml", text)
    for i, others in ((0, ""), (n // 2, ""), (n - 1, "as are parts after it")):
        os.rename(folder / parts[i], folder / "away")
        run(folder, "check", "config.yaml").exits(3).reports(parts[i], "is missing", "20000", others)
        run(folder, "check", "config.yaml", "--all").exits(3).reports(parts[i], "is missing").says("1 error in")
        left = [name for name in parts if name != parts[i]]
        run(folder, "check", "config.yaml", "--set", f"data.train=[{', '.join(left)}]").exits(0).reports("warning", parts[i], "is missing")
        os.rename(folder / "away", folder / parts[i])
    run(folder, "check", "config.yaml", "--set", f"data.train={parts[1]}").exits(0).reports("warning", parts[0], "is missing")
    run(folder, "import", *parts[:-1], "-o", "new.h5").exits(0).reports("warning", parts[-1], "is missing")
    result = run(folder, "check", "config.yaml").exits(0)
    result.must("missing" not in result.err, "all parts are there")
    for name in ("config.yaml", "new.h5"):
        os.remove(folder / name)


# --------------------------------------------------------------------- several files in

def many_tables(folder):
    """Tables follow each other, gzipped or not; classes are those of all."""
    text = "a,b,kind\n"
    harness.write_file(folder / "1.csv", text + "1,2,red\n3,4,blue\n")
    (folder / "2.csv.gz").write_bytes(gzip.compress((text + "5,6,green\n").encode()))
    harness.write_file(folder / "3.csv", text.replace(",", ";") + "7;8;red\n")
    result = run_well(folder, "import", "?.csv*", "-o", "out.h5").reports("4 samples of 2 features, 3 classes")
    found = read(folder / "out.h5")
    result.must(found["x"].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]] and found["y"].tolist() == [2, 0, 1, 2], "rows in the order of files")
    run_well(folder, "import", "?.csv*", "-o", "out.h5", "--shuffle", "--weight", "b", "--test-fraction", "0.25").reports("3 samples", "1 samples")
    parts = [read(folder / "out.h5", group) for group in ("train", "test")]
    rows = sorted((x[0], y, w) for part in parts for x, y, w in zip(part["x"].tolist(), part["y"].tolist(), part["w"].tolist()))
    result.must(rows == [(1, 2, 2), (3, 0, 4), (5, 1, 6), (7, 2, 8)], f"labels and weights belong to their rows: {rows}")
    for bad, parts in ((text.replace("b,", "c,") + "1,2,red\n", ("4.csv", "column 2 is c", "b in 1.csv")), ("a,kind\n1,red\n", ("4.csv", "2 columns", "1.csv", "3")),
                       ("1,2,red\n", ("4.csv", "no header", "1.csv")), (text + "1,x,red\n", ("4.csv", "line 2", "column 2"))):
        harness.write_file(folder / "4.csv", bad)
        run(folder, "import", "1.csv", "4.csv", "-o", "bad.h5").exits(DATA).reports(*parts)
    run(folder, "import", "1.csv", "1.csv", "-o", "bad.h5").exits(USAGE).reports("1.csv", "twice")
    run(folder, "import", "none-*.csv", "-o", "bad.h5").exits(DATA).reports("none-*.csv", "no file matches")
    leaves_only(result, folder, "1.csv", "2.csv.gz", "3.csv", "4.csv", "out.h5")


def many_arrays(folder):
    """Numbered .npy files, .npz files, and arrays in Fortran order, shuffled."""
    x, y, _ = rows_of(600)
    x = numpy.stack([x, 2 * x], 2)
    for i in range(3):
        part = slice(200 * i, 200 * i + 200)
        numpy.save(folder / f"x_train-{i}.npy", numpy.asfortranarray(x[part]) if i == 1 else x[part])
        numpy.save(folder / f"y_train-{i}.npy", y[part])
        numpy.savez_compressed(folder / f"{i}.npz", x=numpy.asfortranarray(x[part]), y=y[part])
    for sources in (("[xy]_train-?.npy",), ("?.npz",)):
        sources = ("x_train-?.npy", "y_train-?.npy") if sources[0].startswith("[") else sources
        result = run_well(folder, "import", *sources, "-o", "out.h5").reports("600 samples")
        result.must(numpy.array_equal(read(folder / "out.h5")["x"], x), "rows follow each other")
        run_well(folder, "import", *sources, "-o", "out.h5", "--shuffle")
        check_rows(result, read(folder / "out.h5"), (x, y))
    run(folder, "import", "x_train-?.npy", "y_train-0.npy", "-o", "bad.h5").exits(DATA).reports("3 arrays of x", "1 of y")


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def many_idx_files_and_folders(folder):
    x = numpy.arange(40, dtype="u1").reshape(10, 2, 2)
    y = (numpy.arange(10) % 3).astype("u1")
    for i in range(2):
        (folder / f"train-images-{i}").write_bytes(idx(x[5 * i:5 * i + 5]))
        (folder / f"train-labels-{i}").write_bytes(idx(y[5 * i:5 * i + 5]))
    result = run_well(folder, "import", "train-*", "-o", "out.h5")
    found = read(folder / "out.h5")
    result.must(numpy.array_equal(found["x"], x) and numpy.array_equal(found["y"], y), "rows follow each other")
    run(folder, "import", "train-images-?", "train-labels-0", "-o", "bad.h5").exits(DATA).reports("2 files of images", "1 of labels")


# -------------------------------------------------------------------------- bad input

def parts_that_disagree(folder):
    x, y, w = rows_of(10)
    good = {"x": (x, {"features": NAMES}), "y": (y, {"classes": NAMES})}
    cases = (({**good, "x": x[:, :2]}, ("b.h5:/x is (10, 2)", "a.h5 is (10, 3)")), ({**good, "x": x.astype("f8")}, ("b.h5:/x", "float64", "a.h5", "float32")),
             ({"x": good["x"]}, ("b.h5", "no /train/y", "a.h5")), ({**good, "w": w}, ("b.h5", "/train/w", "a.h5")),
             ({**good, "y": (y, {"classes": NAMES[::-1]})}, ("b.h5", "classes", "a.h5", "name 0 is c, there a")),
             ({**good, "x": x}, ("b.h5", "features", "a.h5")), ({**good, "y": y[:4]}, ("b.h5:/y", "as many rows as x")),
             ({**good, "x": (numpy.where(x == 5, numpy.nan, x), {"features": NAMES})}, ("b.h5:/x", "row 5", "nan")), ({"z": x}, ("b.h5", "no array is x")))
    harness.write_arrays(folder / "a.h5", good)
    for arrays, parts in cases:
        harness.write_arrays(folder / "b.h5", arrays)
        result = run(folder, "import", "a.h5", "b.h5", "-o", "out.h5", "--shuffle").exits(DATA).reports(*parts)
    (folder / "b.h5").write_bytes((folder / "a.h5").read_bytes()[:3000])
    run(folder, "import", "a.h5", "b.h5", "-o", "out.h5", "--shuffle").exits(DATA).reports("b.h5")
    (folder / "b.h5").write_text("text,1\n1,2\n")
    run(folder, "import", "a.h5", "b.h5", "-o", "out.h5").exits(DATA).reports("b.h5", "HDF5")
    run(folder, "import", "a.h5", "-o", "a.h5", "--shuffle").exits(USAGE).reports("a.h5", "both source and output")
    run(folder, "import", "a.h5", "-o", "out.h5", "--label", "y").exits(USAGE).reports("--label", "HDF5")
    leaves_only(result, folder, "a.h5", "b.h5")


def more_files_than_may_be_open(folder):
    """Each file is open only while it is read. The one that differs is named, as is the first."""
    harness.write_arrays(folder / "part-00000.h5", {"x": rows_of(3)[0], "y": rows_of(3)[1]})
    content = (folder / "part-00000.h5").read_bytes()
    for i in range(1, 700):
        (folder / f"part-{i:05}.h5").write_bytes(content)
    config = harness.CONFIG.replace("train: data.h5", "train: part-*.h5")
    (folder / "config.yaml").write_text(config)
    few = ("prlimit", "--nofile=256")
    run(folder, "check", "config.yaml", before=few).exits(0).reports("training", "2100 samples")
    run_well(folder, "import", "part-*.h5", "-o", "out.h5", before=few).reports("2100 samples")
    harness.write_arrays(folder / "part-00555.h5", {"x": rows_of(3)[0].astype("f8"), "y": rows_of(3)[1]})
    run(folder, "check", "config.yaml", before=few).exits(DATA).reports("part-00555.h5", "float64", "part-00000.h5", "float32")


def files_of_different_splits(folder):
    """A pattern must not mix training and test samples."""
    x, y, _ = rows_of(30)
    harness.write_arrays(folder / "a-1.h5", {"train/x": x, "train/y": y})
    harness.write_arrays(folder / "a-2.h5", {"test/x": x, "test/y": y})
    (folder / "config.yaml").write_text(harness.CONFIG.replace("train: data.h5", "train: a-*.h5"))
    run(folder, "check", "config.yaml").exits(DATA).reports("a-2.h5", "/test/x", "a-1.h5", "/train/x", "different splits")


BIG = (180000, 300)  # 216 MB of float32: more than one bucket of the shuffle


def write_big(path):
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", BIG, "f4", chunks=(1000, BIG[1]))
        for first in range(0, BIG[0], 10000):
            x[first:first + 10000] = numpy.arange(first, first + 10000)[:, None] + numpy.arange(BIG[1]) / 512
        file["y"] = numpy.arange(BIG[0]) // 13000


def memory_is_bounded(folder):
    """A dataset of more than the memory that is left for data, shuffled by way of the disk."""
    write_big(folder / "big.h5")
    result = run(folder, "import", "big.h5", "-o", "out.h5", "--shuffle", before=LIMITED).exits(0)
    with h5py.File(folder / "out.h5") as file:
        first, y = file["train/x"][:, 0], file["train/y"][()]
        result.must(numpy.array_equal(numpy.sort(first), numpy.arange(BIG[0])), "every row is exactly once in the output")
        result.must(numpy.array_equal(first // 13000, y), "labels belong to their rows")
        some = file["train/x"][1000:1100]
        result.must(numpy.array_equal(some, some[:, :1] + numpy.arange(BIG[1], dtype="f4") / 512), "rows are complete")
    leaves_only(result, folder, "big.h5", "out.h5")


# MPI and OpenBLAS take up to 150 MB of it. OpenBLAS 0.3.29 waits forever for its own part.
LIMITED = () if harness.IS_SANITIZED else ("prlimit", "--data=300000000")


def interruption_leaves_nothing(folder):
    """Whenever a signal comes, neither an output nor a temporary file remains."""
    write_big(folder / "big.h5")
    for number, options in ((signal.SIGINT, ("--shuffle",)), (signal.SIGTERM, ("--max-file-size", "20MB")),
                            (signal.SIGHUP, ("--shuffle", "--max-file-size", "20MB"))):
        process = harness.start(folder, "import", "big.h5", "-o", "out.h5", *options)
        deadline = time.monotonic() + 60
        while not list(folder.glob("out*.tmp-*")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        result = harness.finish(process)
        result.must(result.code == -number, f"the signal {number} ends the program")
        leaves_only(result, folder, "big.h5")


def full_disks_and_folders(folder):
    """Space for the shuffle is checked first; a limit of the file size, or a folder that cannot be written, leaves nothing."""
    write_big(folder / "big.h5")
    limit = run(folder, "import", "big.h5", "-o", "out.h5", "--shuffle", before=("prlimit", "--fsize=50000000")).exits(OUTPUT)
    limit.reports("out.h5", "temporary file of the shuffle|shuffling", "File too large")
    run(folder, "import", "big.h5", "-o", "none/out.h5", "--shuffle").exits(OUTPUT).reports("none/out.h5", "No such file")
    leaves_only(limit, folder, "big.h5")
    script = f"mkdir small && mount -t tmpfs -o size=60m none small || exit 99; {harness.PROGRAM} import big.h5 -o small/out.h5 --shuffle; code=$?; ls -A small; exit $code"
    result = harness.execute(folder, "unshare", "-m", "sh", "-c", script)
    if result.code in (1, 99):
        raise Skip("file systems cannot be mounted here")
    result.exits(OUTPUT).reports("small/out.h5", "shuffling needs", "GB of free space", "are free")
    result.must(result.out == "", "nothing is left")


TESTS = [a_shuffle_is_a_permutation, splits_and_groups, names_of_other_programs, groups_of_arrays, text_labels, several_files_out, many_tables, many_arrays,
         many_idx_files_and_folders, parts_that_disagree, more_files_than_may_be_open, files_of_different_splits, memory_is_bounded, interruption_leaves_nothing, full_disks_and_folders]

if __name__ == "__main__":
    # The limit on the memory does not apply to sanitizers.
    harness.main([(test.__name__.replace("_", " "), test) for test in TESTS if LIMITED or test != memory_is_bounded])
