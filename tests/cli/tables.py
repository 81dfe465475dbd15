"""Tables (CSV) as people have them: import and predict with their options, and the models that follow."""

import gzip
import os
import subprocess

import h5py
import numpy

import harness
from harness import edited, read_csv, run, run_well

RANDOM = numpy.random.default_rng(5)
CLASSES = numpy.arange(60) % 3
INPUTS = numpy.round(RANDOM.normal(size=(60, 4)) + 3 * CLASSES[:, None], 3)
WORDS = ("ant", "bee", "cat")


def text_of(columns, header=None, separator=","):
    rows = [separator.join(map(str, row)) for row in zip(*columns)]
    return "\n".join(([separator.join(header)] if header else []) + rows) + "\n"


def read_arrays(path):
    with h5py.File(path) as file:
        return {name: file["train"][name][()] for name in file["train"]}, dict(file["train/y"].attrs)


def train(folder):
    harness.write_file(folder / "config.yaml", edited(("train: data.h5", "train: data.h5:/train")))
    return run_well(folder, "train", "config.yaml", "--overwrite", "--set", "data.normalize=standardize",
                    "--set", "train.epochs=20")


def predict(folder, source, *options):
    run(folder, "predict", "run/model.h5", source, "-o", "out.csv", *options).exits(0) # may warn of a label column
    return read_csv(folder / "out.csv")[1]


# ------------------------------------------------------------------------ import

def choices_are_printed(folder):
    labels = [WORDS[k] for k in CLASSES]
    harness.write_file(folder / "t.csv", text_of((range(60), *INPUTS.T, labels), ("Id", "a", "b", "c", "d", "kind")))
    result = run(folder, "import", "t.csv", "-o", "data.h5").exits(0)
    result.reports("t.csv", "header in line 1", "5 features", "label: kind", "3 classes: ant, bee, cat")
    result.reports("warning", "t.csv", "Id", "--drop 1")
    result = run_well(folder, "import", "t.csv", "-o", "data.h5", "--drop", "Id")
    result.reports("4 features: a, b, c, d").must("warning" not in result.err, "no warning")
    harness.write_file(folder / "t.csv", text_of((*INPUTS.T, labels)))
    run_well(folder, "import", "t.csv", "-o", "data.h5").reports("t.csv", "no header", "4 features", "label: column 5")


def options_select_columns(folder):
    weights = numpy.round(RANDOM.uniform(0.5, 2, 60), 3)
    columns = (weights, *INPUTS.T, CLASSES, INPUTS[:, 0] * 2)
    harness.write_file(folder / "t.csv.gz", gzip.compress(text_of(columns, "wabcduv").encode()))
    result = run_well(folder, "import", "t.csv.gz", "-o", "data.h5", "--weight", "w", "--label", "u,v", "--columns", "d,2")
    arrays, _ = read_arrays(folder / "data.h5")
    result.must(numpy.allclose(arrays["w"], weights) and arrays["w"].shape == (60,), "weights")
    result.must(numpy.allclose(arrays["x"], INPUTS[:, [3, 0]]), "features in the order of --columns")
    result.must(numpy.allclose(arrays["y"], numpy.c_[CLASSES, INPUTS[:, 0] * 2]), "two targets")
    for words in (("--columns", "d", "--drop", "a"), ("--header", "maybe"), ("--weight", "w,a"), ("--label", "a,a")):
        run(folder, "import", "t.csv.gz", "-o", "data.h5", *words).exits(2).reports(words[0], words[1].split(",")[-1])


def ambiguous_headers_are_rejected(folder):
    harness.write_file(folder / "t.csv", "0,1,2,3\n" + text_of((*INPUTS.T[:3], CLASSES)))
    run(folder, "import", "t.csv", "-o", "data.h5").exits(3).reports("t.csv:1", "0, 1, 2, 3", "--header yes", "--header no")
    run_well(folder, "import", "t.csv", "-o", "data.h5", "--header", "yes").reports("60 samples of 3 features, 3 classes")
    run_well(folder, "import", "t.csv", "-o", "data.h5", "--header", "no").reports("61 samples of 3 features, 4 classes")


def words_as_numbers_are_rejected(folder):
    harness.write_file(folder / "t.csv", text_of((*INPUTS.T, [WORDS[k] for k in CLASSES]), "abcde"))
    for options in (("--targets", "numbers"), ("--label", "d,e")):
        result = run(folder, "import", "t.csv", "-o", "data.h5", *options).exits(3)
        result.reports("t.csv, line 2, column 5 (e)", "ant", "not a number", "--targets numbers")


def only_datasets_are_replaced(folder):
    """A wrong name of the output does not cost another file."""
    harness.write_file(folder / "t.csv", text_of((*INPUTS.T, CLASSES)))
    harness.write_file(folder / "other.csv", "1,2\n")
    run(folder, "import", "t.csv", "-o", "other.csv").exits(5).reports("other.csv", "not an HDF5 file", "another output")
    (folder / "place").mkdir()
    run(folder, "import", "t.csv", "-o", "place").exits(5).reports("place", "folder")
    result = run_well(folder, "import", "t.csv", "-o", "data.h5")
    result.must((folder / "other.csv").read_text() == "1,2\n", "other.csv is as before")
    run_well(folder, "import", "t.csv", "-o", "data.h5").reports("60 samples")
    harness.write_file(folder / "empty", "")
    run_well(folder, "import", "t.csv", "-o", "empty").reports("60 samples")


# ------------------------------------------------------------------ labels and types

def whole_labels_are_classes_and_quantities(folder):
    """Labels 1, 5, 9 are the classes of a classification, and the targets of a regression."""
    harness.write_file(folder / "t.csv", text_of((*INPUTS.T, 4 * CLASSES + 1)))
    result = run_well(folder, "import", "t.csv", "-o", "data.h5").reports("3 classes: 1, 5, 9")
    arrays, attributes = read_arrays(folder / "data.h5")
    result.must(arrays["y"].tolist() == CLASSES.tolist() and list(attributes["classes"]) == ["1", "5", "9"], "classes")
    train(folder)
    result = run_well(folder, "evaluate", "run/model.h5", "data.h5:/train")
    result.must({row[0] for row in predict(folder, "t.csv")} == {"1", "5", "9"}, "predictions are labels")
    run_well(folder, "train", "config.yaml", "--overwrite", "--set", "loss=mse", "--set",
             "model=[{layer: dense, units: 1}]", "--set", "data.normalize=standardize", "--set", "train.epochs=200")
    expected = 4 * CLASSES + 1
    values = numpy.array(predict(folder, "t.csv"), "f8")[:, 0]
    result.must(numpy.abs(values - expected).mean() < 1, f"the regression learns 1, 5 and 9: {values}")


def numbers_as_names_are_class_numbers(folder):
    """A table with some of the classes of a model that was trained without class names."""
    harness.write_arrays(folder / "plain.h5", {"x": INPUTS.astype("f4"), "y": CLASSES})
    harness.write_file(folder / "config.yaml", edited(("train: data.h5", "train: plain.h5")))
    run_well(folder, "train", "config.yaml", "--set", "data.normalize=standardize", "--set", "train.epochs=40")
    for keep, shift, code in ((CLASSES > 0, 0, 0), (CLASSES >= 0, 1, 3)):
        harness.write_file(folder / "t.csv", text_of((*INPUTS[keep].T, CLASSES[keep] + shift)))
        run_well(folder, "import", "t.csv", "-o", "part.h5")
        result = run(folder, "evaluate", "run/model.h5", "part.h5:/train").exits(code)
        if code == 0:
            accuracy = float(result.out.split("accuracy")[1].split()[0])
            result.must(accuracy > 0.9, "classes 1 and 2 are those of the model")
        else:
            result.reports("part.h5", "class 3", "from 0 to 2")


def words_among_numbers_are_rejected(folder):
    prices = [str(1000 + 7 * i) for i in range(60)]
    prices[30] = "unknown"
    harness.write_file(folder / "t.csv", text_of((*INPUTS.T, prices), "abcdp"))
    run(folder, "import", "t.csv", "-o", "data.h5").exits(3).reports("t.csv", "line 32", "unknown")


def times_keep_their_digits(folder):
    """Times of which float32 makes one number are learned and predicted."""
    times = [f"{1.6e9 + 0.1 * i:.1f}" for i in range(60)]
    late = [int(i >= 30) for i in range(60)]
    harness.write_file(folder / "t.csv", text_of((times, late), ("time", "late")))
    result = run_well(folder, "import", "t.csv", "-o", "data.h5").reports("t.csv", "float64")
    arrays, _ = read_arrays(folder / "data.h5")
    result.must(arrays["x"].dtype == "f8" and arrays["x"][:, 0].tolist() == [float(t) for t in times], "x is exact")
    harness.write_file(folder / "config.yaml", "output: run\ndata: {train: 'data.h5:/train', normalize: standardize}\n"
                       "model: [{layer: dense, units: 2, activation: softmax}]\nloss: categorical_cross_entropy\n"
                       "optimizer: {type: adam, lr: 0.1}\ntrain: {epochs: 50, batch_size: 10}\n")
    run_well(folder, "train", "config.yaml")
    harness.write_file(folder / "one.csv", text_of((times[:1],), ("time",)))
    rows = predict(folder, "t.csv")
    result.must(sum(row[0] == str(k) for row, k in zip(rows, late)) >= 58, f"predictions follow the times: {rows}")
    result.must(predict(folder, "one.csv") == rows[:1], "a single row is predicted as in the table")


# ------------------------------------------------------------------------ predict

def predict_reads_what_import_read(folder):
    """With the same options, or with the names of the model's features."""
    labels = [WORDS[k] for k in CLASSES]
    index = range(60)
    tables = {"header.csv": (text_of((index, *INPUTS.T, labels), ("Id", "a", "b", "c", "d", "kind")), ("--drop", "Id")),
              "bare.csv": (text_of((*INPUTS.T, labels)), ()),
              "bare.data": (text_of((*INPUTS.T, labels)), ()),
              "first.csv": (text_of((labels, *INPUTS.T)), ("--label", "1")),
              "index.csv": (text_of((index, labels, *INPUTS.T)), ("--drop", "1", "--label", "2")),
              "names.csv": (text_of((*INPUTS.T, labels), ("1", "2", "3", "4", "kind")), ("--header", "yes")),
              "comment.csv": ("# a,b,c,d,kind\n" + text_of((*INPUTS.T, labels)), ()),
              "excel.csv": ("sep=;\n" + text_of((*INPUTS.T, labels), "abcdk", ";").replace("\n", ";\n"), ())}
    for name, (text, options) in tables.items():
        harness.write_file(folder / name, text)
        run_well(folder, "import", name, "-o", "data.h5", *options).reports("60 samples of 4 features, 3 classes")
        train(folder)
        result = run_well(folder, "predict", "run/model.h5", "data.h5:/train", "-o", "out.csv")
        expected = read_csv(folder / "out.csv")[1]
        result.must(predict(folder, name, *options) == expected, f"{name} is predicted as its import")
    harness.write_file(folder / "new.csv", text_of((*INPUTS.T,), "abcd"))
    result.must(predict(folder, "new.csv") == expected, "without labels")


def a_killed_predict_leaves_nothing(folder):
    """The next predict with this output removes what a process left that does not exist any more, and nothing else."""
    harness.write_arrays(folder / "data.h5", {"train/x": INPUTS, "train/y": CLASSES})
    train(folder)
    harness.write_file(folder / "t.csv", text_of(INPUTS.T))
    process = subprocess.Popen(["true"])
    process.wait()
    left = [f"out.csv{part}.tmp-{process.pid}-01234567" for part in ("", ".rows", f".rows.tmp-{process.pid}-01234567")]
    others = [f"other-out.csv.tmp-{process.pid}-01234567", f"out.csv.rows.tmp-{os.getpid()}-01234567", "out.csv.rows"]
    for name in (*left, *others):
        harness.write_file(folder / name, "rows")
    before = set(harness.names_in(folder))
    for memory in ("stream", "resident"):
        predict(folder, "t.csv", "--memory", memory)
        found = set(harness.names_in(folder))
        if found != before - set(left) | {"out.csv"}:
            raise harness.Failure(f"only these files must be removed: {left}; found: {found}")


def predict_rejects_other_widths_at_once(folder):
    """The number of columns is checked before the rest of the file, of which line 3 is broken."""
    harness.write_file(folder / "t.csv", text_of((*INPUTS.T, CLASSES)))
    run_well(folder, "import", "t.csv", "-o", "data.h5")
    train(folder)
    harness.write_file(folder / "wide.csv", "1,2,3,4,5,6\n1,2,3,4,5,6\n1,2\n")
    run(folder, "predict", "run/model.h5", "wide.csv", "-o", "out.csv").exits(3).reports("wide.csv:1", "6", "4", "--columns")
    harness.write_file(folder / "index.csv", text_of((range(60), *INPUTS.T)))  # the first column, or the last?
    run(folder, "predict", "run/model.h5", "index.csv", "-o", "out.csv").exits(3).reports("index.csv:1", "5", "4", "--drop")


def features_of_equal_names_are_chosen_by_number(folder):
    harness.write_file(folder / "t.csv", text_of((*INPUTS.T, CLASSES), "aacdy"))
    run_well(folder, "import", "t.csv", "-o", "data.h5")
    train(folder)
    run(folder, "predict", "run/model.h5", "t.csv", "-o", "out.csv").exits(3).reports("more than one", "a", "--columns, by number")
    rows = predict(folder, "t.csv", "--columns", "1-4")
    assert [row[0] for row in rows] == [str(k) for k in CLASSES], "the classes of the training data"


def names_are_cut_between_characters(folder):
    labels = ["ä" * 20 + str(k) for k in CLASSES]
    harness.write_file(folder / "t.csv", text_of((*INPUTS.T, labels), ["é" * 40 + str(k) for k in range(4)] + ["kind"]))
    run_well(folder, "import", "t.csv", "-o", "data.h5")
    train(folder)
    result = run_well(folder, "evaluate", "run/model.h5", "data.h5:/train")
    result.must("\n" + "ä" * 16 + " " in result.out and "�" not in result.out, "16 characters of each name")


def words_and_missing_cells(folder):
    """Predictions and results for the raw table are those for its import, to the bit; a model refuses what it does not know."""
    words = [("red", "blue", "")[k] for k in RANDOM.integers(0, 3, 60)]
    numbers = [str(value) if i % 7 else "NA" for i, value in enumerate(INPUTS[:, 1])]
    labels = [WORDS[k] for k in CLASSES]
    table = ("", "color", "a", "b", "kind"), (range(60), words, INPUTS[:, 0], numbers, labels)
    harness.write_file(folder / "t.csv", text_of(table[1], table[0]))
    result = run(folder, "import", "t.csv", "-o", "data.h5").exits(3)
    result.reports("t.csv, line 2, column 4 (b): NA", "--missing mean", "NUMBER", "drop")
    result = run_well(folder, "import", "t.csv", "-o", "data.h5", "--missing", "0.5")
    for line in ("left out as an index", "color (3)", "missing cells: ", "60 samples of 5 features, 3 classes"):
        result.reports(line)
    train(folder)
    expected = run_well(folder, "evaluate", "run/model.h5", "data.h5:/train").out
    run_well(folder, "predict", "run/model.h5", "data.h5:/train", "-o", "out.csv")
    rows = read_csv(folder / "out.csv")[1]
    run(folder, "predict", "run/model.h5", "t.csv", "-o", "out.csv").exits(3).reports("line 2, column 4 (b)", "--missing mean")
    for change in (lambda column: column, reversed):  # columns are found by name
        header, columns = (list(change(part)) for part in table)
        harness.write_file(folder / "t.csv", text_of(columns, header))
        result.must(predict(folder, "t.csv", "--missing", "0.5") == rows, "predictions are those of the import")
        result = run(folder, "evaluate", "run/model.h5", "t.csv", "--missing", "0.5", "--label", "kind").exits(0)
        result.must(result.out == expected, "results are those of the import")
    run_well(folder, "explain", "run/model.h5", "t.csv", "--missing", "mean", "-o", "e.h5")
    harness.write_file(folder / "new.csv", "color,a,b\npink,1,2\n")
    run(folder, "predict", "run/model.h5", "new.csv", "-o", "out.csv").exits(3).reports(
        "new.csv, line 2, column 1 (color): pink", "blue, red", "--unknown zero")
    run(folder, "predict", "run/model.h5", "new.csv", "-o", "out.csv", "--unknown", "zero").exits(0).reports("warning", "does not know: 1")
    for code, name, value in ((2, "--missing", "drop"), (2, "--missing", "x"), (2, "--unknown", "x")):
        run(folder, "predict", "run/model.h5", "new.csv", "-o", "out.csv", name, value).exits(code).reports(name, value)
    run(folder, "evaluate", "run/model.h5", "data.h5:/train", "--missing", "0").exits(2).reports("--missing", "only allowed for CSV")


def tables_are_read_as_a_whole(folder):
    """No row is lost as a comment, and the means that replace missing cells are those of the training rows."""
    harness.write_file(folder / "t.csv", "color,b,y\n#ff0000,1,u\nred,2,v\n")
    run(folder, "import", "t.csv", "-o", "data.h5").exits(3).reports("t.csv, line 2: #ff0000,1,u", "in quotes")
    harness.write_file(folder / "t.csv", "a,y\n" + "".join(f"{i * i if i > 2 else ''},{i % 2}\n" for i in range(20)))
    result = run_well(folder, "import", "t.csv", "-o", "data.h5", "--missing", "mean", "--test-fraction", "0.4")
    with h5py.File(folder / "data.h5") as file:
        train, test = file["train/x"][:, 0], file["test/x"][:, 0]
    squares = [i * i for i in range(3, 20)]
    mean = numpy.mean([value for value in train if value in squares])
    filled = [value for value in (*train, *test) if value not in squares]
    result.must(numpy.allclose(filled, mean) and len(filled) == 3, f"{filled} are {mean}, the mean of the training rows")
    harness.write_file(folder / "d/train.csv", "a,b,y\n,1,u\n,2,v\n")
    harness.write_file(folder / "d/test.csv", "a,b,y\n7,1,u\n8,2,v\n")
    run(folder, "init", "d", "-o", "c.yaml").exits(3).reports("train.csv: column 1, a: all cells are missing in the training data")
    run(folder, "import", "d/train.csv", "-o", "data.h5", "--missing", "drop").exits(3).reports("no samples for training", "--missing mean")
    harness.write_file(folder / "t.csv", "a,b,y\nInf,1,u\nfoo,2,v\nfoo,5,u\nbar,4,u\n")
    run_well(folder, "import", "t.csv", "-o", "data.h5").reports("a (3)")
    harness.write_file(folder / "t.csv", "a,b,y\nInf,1,u\n2,2,v\n")
    run(folder, "import", "t.csv", "-o", "data.h5").exits(3).reports("not finite")


def models_refuse_other_columns(folder):
    labels = [WORDS[k] for k in CLASSES]
    harness.write_file(folder / "t.csv", text_of((*INPUTS.T, labels), ("a", "b", "c", "t=C", "kind")))
    run_well(folder, "import", "t.csv", "-o", "data.h5")
    train(folder)
    for option in ("--drop", "--weight", "--label"):
        result = run(folder, "evaluate", "run/model.h5", "t.csv", option, "b").exits(2)
        result.reports(f"{option} b: the model needs this column for its feature b")
    harness.write_file(folder / "id.csv", text_of((range(60), *INPUTS.T), ("id", "a", "b", "c", "t=C")))
    run(folder, "evaluate", "run/model.h5", "id.csv").exits(3).reports("id.csv, line 2: label 0", "ant, bee, cat", "--label")
    harness.write_file(folder / "t.csv", text_of(INPUTS.T[:3], "abc"))
    run(folder, "predict", "run/model.h5", "t.csv", "-o", "o.csv").exits(3).reports("no column has the name t=C", "the columns are: a, b, c")


TESTS = [tables_are_read_as_a_whole, models_refuse_other_columns, words_and_missing_cells, choices_are_printed, words_as_numbers_are_rejected, only_datasets_are_replaced, options_select_columns,
         ambiguous_headers_are_rejected,
         whole_labels_are_classes_and_quantities, numbers_as_names_are_class_numbers, words_among_numbers_are_rejected, times_keep_their_digits,
         predict_reads_what_import_read, a_killed_predict_leaves_nothing, predict_rejects_other_widths_at_once, features_of_equal_names_are_chosen_by_number, names_are_cut_between_characters]

if __name__ == "__main__":
    harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
