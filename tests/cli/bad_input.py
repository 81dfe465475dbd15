"""Bad input of every kind is rejected with one message that names the place and the reason.

The exit code is the right one, and no file is created, changed or left behind. Each case runs alone and at 1, 2 or 4 ranks;
with --long it runs in all four ways."""

import gzip
import io
import itertools
import os
import pathlib
import re
import shutil
import sys
import zlib
from dataclasses import dataclass, field

import h5py
import numpy

import harness
from harness import ALONE, DONE, RESUMED, Skip, edited

USAGE, DATA, MODEL, OUTPUT, NUMERIC = 2, 3, 4, 5, 6
TRAIN = ("train", "config.yaml")
LIMIT = 60.0 * harness.PATIENCE  # seconds; only ends what hangs
# Whatever a file promises, this address space is enough to refuse it. Sanitizers want terabytes of it.
CAP = () if harness.IS_SANITIZED else ("prlimit", f"--as={2**31}")
NOBODY = 65534
INIT = (*TRAIN, "-o", "new", "--init-from", "run/model.h5")

X, Y = harness.three_classes()
BASE = {"config.yaml": harness.CONFIG, "data.h5": {"x": X, "y": Y}}

BINARY = edited(("units: 3, activation: softmax", "units: 1, activation: sigmoid"),
                ("categorical_cross_entropy", "binary_cross_entropy"))
REGRESSION = edited(("units: 3, activation: softmax", "units: 1"), ("categorical_cross_entropy", "mse"))
TABLE = "a,b,c,d,kind\n1,2,3,4,red\n5,6,7,8,blue\n"


@dataclass
class Case:
    name: str
    code: int
    says: tuple                                # key parts of the message; `|` separates alternatives
    words: tuple = TRAIN
    files: dict = field(default_factory=dict)  # beside those of BASE; None: not there
    edits: tuple = ()                          # of the config
    runs: str = ""                             # "run": a finished run is there
    damaged: tuple = ()                        # files to flip a byte of
    warnings: int = 0                          # before the message
    prepare: object = None                     # a function for what else is to be done to the folder
    nobody: bool = False                       # not as root


# ------------------------------------------------------------------------ files

def with_value(array, place, value, dtype=None):
    array = array.astype(dtype or array.dtype)
    array[place] = value
    return array


def arrays(x=X, y=Y, **others):
    return {"data.h5": {"x": x, "y": y, **others}}


def truncated(path):
    harness.write_arrays(path, {"x": numpy.zeros((4000, 4)), "y": numpy.zeros(4000)})
    path.write_bytes(path.read_bytes()[:40000])


def never_stored(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (2**40, 4), "f4", chunks=(1024, 4))
        file["y"] = Y


def external_link(path):
    harness.write_arrays(path.parent / "other.h5", {"x": X})
    with h5py.File(path, "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "/x")
        file["y"] = Y


def external_storage(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", X.shape, "f4", external=[("/etc/passwd", 0, X.nbytes)])
        file["y"] = Y


def virtual(path):
    harness.write_arrays(path.parent / "other.h5", {"x": X})
    layout = h5py.VirtualLayout(X.shape, "f4")
    layout[:] = h5py.VirtualSource(str(path.parent / "other.h5"), "x", X.shape, "f4")
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("x", layout)
        file["y"] = Y


def soft_link(path):
    """To itself, by way of another."""
    with h5py.File(path, "w") as file:
        file["x"] = h5py.SoftLink("/other")
        file["other"] = h5py.SoftLink("/x")
        file["y"] = Y


def packed_by(number, name="lzf"):
    """Chunks that a filter has packed, as the file says: h5py's LZF, or a plugin that nobody has."""
    def write(path):
        with h5py.File(path, "w") as file:
            create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            create.set_chunk(X.shape)
            create.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (1, 2))
            space = h5py.h5s.create_simple(X.shape)
            h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, create).write(h5py.h5s.ALL, h5py.h5s.ALL, X)
            file["y"] = Y
    return write


def deflate_bomb(path):
    """64 MiB of zeros in 64 KiB, the only chunk of 4,096 that is stored."""
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", (2**20, 2**18), "u1", chunks=(256, 2**18), compression=9)
        x.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**26)))
        file["y"] = Y


def twice_deflated(path):
    """Each deflate may pack a thousand to one: a million together."""
    with h5py.File(path, "w") as file:
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_chunk((2**24, 4))
        create.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (6,))
        create.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (6,))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((2**24, 4)), create)
        file["x"].id.write_direct_chunk((0, 0), zlib.compress(zlib.compress(bytes(2**26))))
        file["y"] = Y


def claim(*shape):
    """More elements than any machine has bytes for, none of them written."""
    def write(path):
        with h5py.File(path, "w") as file:
            space = h5py.h5s.create_simple(shape)
            create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            create.set_chunk((1,) * len(shape))
            h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_UINT8, space, create)
            file["y"] = Y
    return write


def compound(path):
    with h5py.File(path, "w") as file:
        file["x"] = numpy.zeros(24, dtype=[("a", "f4"), ("b", "i4")])
        file["y"] = Y


def references(path):
    with h5py.File(path, "w") as file:
        file["y"] = Y
        file.create_dataset("x", data=[file["y"].ref] * 24, dtype=h5py.ref_dtype)


def ragged(path):
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", (24,), h5py.vlen_dtype("f4"))
        for i in range(24):
            x[i] = numpy.zeros(i)
        file["y"] = Y


def half_written(rows=16, chunks=(8, 4), **how):
    """x has 24 rows, of which only the first are written."""
    def write(path):
        with h5py.File(path, "w") as file:
            file.create_dataset("x", X.shape, "f4", chunks=chunks, maxshape=(None, 4), **how)[:rows] = X[:rows]
            file["y"] = Y
    return write


def superblock(version, flags=0):
    """A file whose superblock has this version and these consistency flags."""
    def write(path):
        with h5py.File(path, "w", libver="latest") as file:
            file["x"], file["y"] = X, Y
        content = bytearray(path.read_bytes())
        content[8], content[11] = version, flags
        path.write_bytes(bytes(content))
    return write


def zipped(write):
    """The bytes that NumPy writes to a file."""
    content = io.BytesIO()
    write(content)
    return content.getvalue()


# What people give in place of an HDF5 file: name, content, words of the message.
OTHER_FILES = [
    ("a table", "x,y\n1,2\n" * 100, ("CSV", "lockstep import")),
    ("compressed", gzip.compress(b"x" * 1000), ("gzip", "gunzip")),
    ("an array of NumPy", zipped(lambda to: numpy.save(to, X)), ("NumPy", "lockstep import")),
    ("an archive of NumPy", zipped(lambda to: numpy.savez(to, x=X)), (".npz", "lockstep import")),
    ("of MATLAB 5", b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(512), ("MATLAB", "-v7.3")),
    ("a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", ("git lfs pull",)),
    ("a web page", "<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", ("web page",)),
    ("an image", b"\x89PNG\r\n\x1a\n" + bytes(100), ("PNG", "lockstep import FOLDER")),
    ("empty", b"", ("empty",)),
    ("unknown", b"\x01\x02\x03" * 100, ("unknown",)),
]


def sparse(name):
    """A sparse matrix of SciPy's form, as AnnData (X) and 10x (matrix) store it."""
    return {"data.h5": {f"{name}/data": numpy.ones(9), f"{name}/indices": numpy.arange(9), f"{name}/indptr": [0, 9],
                        "y": Y}}


def group_per_sample(path):
    with h5py.File(path, "w") as file:
        for i in range(24):
            file[f"sample-{i}/x"], file[f"sample-{i}/y"] = X[i], Y[i]


def groups_in_a_ring(path):
    with h5py.File(path, "w") as file:
        for name in "abcd":
            file[name] = file["/"]


def no_samples(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (0, 4), "f4")
        file.create_dataset("y", (0,), "i4")


def a_folder(path):
    path.mkdir()


def idx(kind, *dims, content=None):
    """An IDX file of uint8."""
    header = bytes([0, 0, 8, kind]) + b"".join(n.to_bytes(4, "big") for n in dims)
    return header + (bytes(int(numpy.prod(dims))) if content is None else content)


def read_only(folder):
    (folder / "closed").mkdir()
    (folder / "closed").chmod(0o555)


def unreadable(folder):
    (folder / "data.h5").chmod(0)


# ----------------------------------------------------------------------- tables

def metrics_case(name, says, value, *edits):
    """With validation data, and the key metrics in line 11."""
    return Case("metrics: " + name, USAGE, ("metrics", *says),
                edits=(("data.h5", "data.h5\n  validation: 0.25"), ("train:\n  epochs", f"metrics: {value}\ntrain:\n  epochs"),
                       *edits))


def image_case(name, says, layer, command="train", x=None):
    """The first layer of a net on images of (6, 5, 2), alternately trained and checked."""
    images = numpy.random.default_rng(1).random((24, 6, 5, 2)).astype("f4") if x is None else x
    return Case(f"images: {name}", USAGE, ("config.yaml:6: model.0", *says), (command, "config.yaml"),
                arrays(images), (("{layer: dense, units: 8, activation: relu}", layer),))


IMAGE_CASES = [
    image_case("a kernel larger than its input", ("larger", "(7, 5)", "(6, 5, 2)", "smaller"),
               "{layer: conv2d, filters: 2, kernel_size: [7, 5]}"),
    image_case("stride 0", ("model.0.stride: 0", "1"), "{layer: max_pool, size: 2, stride: 0}", "check"),
    image_case("groups that do not divide the filters", ("model.0.groups: 2", "divide", "3"),
               "{layer: conv2d, filters: 3, kernel_size: 1, groups: 2}"),
    image_case("groups that do not divide the channels", ("groups 3", "2 channels", "(6, 5, 2)"),
               "{layer: conv2d, filters: 3, kernel_size: 1, groups: 3}", "check"),
    image_case("flat rows", ("(4)", "(H, W, C)", "data.shape"), "{layer: conv2d, filters: 3, kernel_size: 1}", x=X),
    image_case("images for a signal", ("(6, 5, 2)", "(L, C)"), "{layer: conv1d, filters: 3, kernel_size: 1}", "check"),
    image_case("a window in the padding", ("padding", "(2, 2)", "pads 2+2 0+0", "(6, 5, 2)"),
               "{layer: avg_pool, size: 2, padding: [2, 0]}"),
    image_case("an unknown padding", ("model.0.padding: full", "valid, same", "number"),
               "{layer: conv2d, filters: 3, kernel_size: 1, padding: full}", "check"),
    image_case("a skip that no strides fit", ("skip", "(5, 4, 3)", "(6, 5, 2)", "1x1"),
               "{layer: residual, layers: [{layer: conv2d, filters: 3, kernel_size: 2}]}"),
    image_case("a skip of another shape", ("skip", "(3, 2, 2)", "(6, 5, 2)"),
               "{layer: residual, layers: [{layer: relu}], skip: [{layer: max_pool, size: 2}]}", "check"),
]

CONFIG_CASES = [
    Case("unknown key", USAGE, ("config.yaml:11: train.epoch", "unknown key", "epochs?"),
         edits=(("epochs: 2", "epoch: 2"),)),
    Case("unknown section", USAGE, ("config.yaml:9: optimiser", "unknown key", "optimizer?"),
         edits=(("optimizer:", "optimiser:"),)),
    Case("unknown key of a layer", USAGE, ("config.yaml:6: model.0.unit:", "unknown key", "units?"),
         edits=(("units: 8", "units: 8, unit: 9"),)),
    Case("unknown kind of layer", USAGE, ("config.yaml:6: model.0.layer", "dens", "dense"),
         edits=(("layer: dense", "layer: dens"),)),
    Case("unknown loss", USAGE, ("config.yaml:8: loss", "cross_entropy", "categorical_cross_entropy"),
         edits=(("loss: categorical_cross_entropy", "loss: cross_entropy"),)),
    Case("option of another loss", USAGE, ("config.yaml:8: loss.delta", "unknown key", "label_smoothing"),
         edits=(("loss: categorical_cross_entropy", "loss: {type: categorical_cross_entropy, delta: 1}"),)),
    Case("focal loss without softmax or sigmoid", USAGE, ("config.yaml:7: model.1", "focal", "softmax or sigmoid", "relu"),
         edits=(("loss: categorical_cross_entropy", "loss: focal"), ("activation: softmax", "activation: relu"))),
    Case("unknown optimizer", USAGE, ("config.yaml:9: optimizer.type", "adamm", "adam"),
         edits=(("type: adam", "type: adamm"),)),
    Case("wrong type", USAGE, ("config.yaml:11: train.epochs", "many", "integer", "1"),
         edits=(("epochs: 2", "epochs: many"),)),
    Case("fraction instead of an integer", USAGE, ("config.yaml:11: train.epochs", "2.5", "integer"),
         edits=(("epochs: 2", "epochs: 2.5"),)),
    Case("list where a map belongs", USAGE, ("config.yaml:10: train:", "list", "map"),
         edits=(("train:\n  epochs: 2\n  batch_size: 8", "train: [2, 8]"),)),
    Case("value out of range", USAGE, ("config.yaml:9: optimizer.lr", "-1", "0"),
         edits=(("lr: 0.01", "lr: -1"),)),
    Case("value beyond the largest", USAGE, ("config.yaml:12: train.batch_size", "99999999999", "1000000000"),
         edits=(("batch_size: 8", "batch_size: 99999999999"),)),
    Case("not a number", USAGE, ("config.yaml:9: optimizer.lr", ".nan"), edits=(("lr: 0.01", "lr: .nan"),)),
    Case("validation of all samples", USAGE, ("config.yaml:5: data.validation", "1.0", "1"),
         edits=(("data.h5", "data.h5\n  validation: 1.0"),)),
    Case("no units", USAGE, ("config.yaml:6: model.0.units", "0", "1"), edits=(("units: 8", "units: 0"),)),
    Case("units below zero", USAGE, ("config.yaml:6: model.0.units", "-3", "1"),
         edits=(("units: 8", "units: -3"),)),
    Case("units of text", USAGE, ("config.yaml:6: model.0.units", "eight", "integer"),
         edits=(("units: 8", "units: eight"),)),
    Case("units absent", USAGE, ("config.yaml:6: model.0.units", "required"), edits=((", units: 8", ""),)),
    Case("no layers", USAGE, ("config.yaml:5: model:", "list"),
         edits=(("\n  - {layer: dense, units: 8, activation: relu}\n  - {layer: dense, units: 3, activation: softmax}",
                 " []"),)),
    Case("softmax without its loss", USAGE,
         ("config.yaml:7: model.1", "softmax", "categorical_cross_entropy", "mse"),
         edits=(("loss: categorical_cross_entropy", "loss: mse"),)),
    Case("loss without its activation", USAGE, ("config.yaml:7: model.1", "categorical_cross_entropy", "softmax", "relu"),
         edits=(("activation: softmax", "activation: relu"),)),
    Case("section absent", USAGE, ("config.yaml:1: data.train", "required"), edits=(("data:\n  train: data.h5\n", ""),)),
    Case("loss absent", USAGE, ("config.yaml:1: loss", "required"), edits=(("loss: categorical_cross_entropy\n", ""),)),
    Case("model absent", USAGE, ("config.yaml", "model:", "list"),
         edits=(("model:\n  - {layer: dense, units: 8, activation: relu}\n"
                 "  - {layer: dense, units: 3, activation: softmax}\n", ""),)),
    Case("output absent", USAGE, ("config.yaml", "output", "--output"), edits=(("output: run\n", ""),)),
    Case("unknown monitor", USAGE, ("train.monitor", "loss", "train_loss"),
         edits=(("epochs: 2", "epochs: 2\n  monitor: loss"),)),
    Case("monitor of validation without it", USAGE, ("train.monitor", "val_loss", "data.validation"),
         edits=(("epochs: 2", "epochs: 2\n  monitor: val_loss"),)),
    metrics_case("that are none", ("config.yaml:11: metrics.1:", "f2", "top_K, precision, recall, f1, roc_auc",
                                   "metrics.2:", "mae", "categorical_cross_entropy", "metrics.3:",
                                   "metrics.4:", "top_5", "metrics.5:", "top_0", "metrics.6:", "map"),
                 "[f1, f2, mae, f1, top_K, top_0, {f1: true}]"),
    metrics_case("of classes for numbers", ("metrics.0:", "f1", "mse, mae", "metrics.1:", "top_2"), "[f1, top_2]",
                 ("units: 3, activation: softmax", "units: 1"), ("categorical_cross_entropy", "mse")),
    metrics_case("top K of no more classes", ("metrics.1:", "3 classes"), "[top_2, top_3]"),
    metrics_case("no list", ("metrics:", "f1"), "f1"),
    metrics_case("too many", ("metrics:", "17", "16"), str([f"top_{k}" for k in range(1, 18)])),
    Case("metrics without data to measure", USAGE, ("metrics", "data.validation", "data.test"),
         edits=(("train:\n  epochs", "metrics: [f1]\ntrain:\n  epochs"),)),
    Case("monitor of a metric that is not asked for", USAGE, ("train.monitor", "val_f1", "val_loss", "val_top_2"),
         edits=(("data.h5", "data.h5\n  validation: 0.25"),
                ("train:\n  epochs", "metrics: [top_2]\ntrain:\n  monitor: val_f1\n  epochs"))),
    Case("several errors at once", USAGE,
         ("config.yaml:6: model.0.units", "config.yaml:9: optimizer.lr", "config.yaml:11: train.epoch", "seed"),
         edits=(("units: 8", "units: 0"), ("lr: 0.01", "lr: fast"), ("epochs: 2", "epoch: 2"),
                ("seed: 1", "seed: -1"))),
    Case("duplicate key", USAGE, ("config.yaml:12", "epochs", "line 11"),
         edits=(("epochs: 2", "epochs: 2\n  epochs: 3"),)),
    Case("config missing", USAGE, ("config.yaml", "No such file"), files={"config.yaml": None}),
    Case("config not YAML", USAGE, ("config.yaml:3", "not valid YAML"),
         files={"config.yaml": "seed: 1\noutput: [run\nmodel: }\n"}),
    Case("config indented with tabs", USAGE, ("config.yaml:2", "tab"), files={"config.yaml": "train:\n\tepochs: 1\n"}),
    Case("config empty", USAGE, ("config.yaml",), files={"config.yaml": ""}),
    Case("config of a single word", USAGE, ("config.yaml", "map"), files={"config.yaml": "hello\n"}),
    Case("config a folder", USAGE, ("config.yaml", "directory"), files={"config.yaml": a_folder}),
    Case("config binary", USAGE, ("config.yaml", "UTF-8"), files={"config.yaml": bytes(range(256)) * 9}),
    Case("config an HDF5 file", USAGE, ("data.h5",), words=("train", "data.h5")),
    Case("errors about samples", USAGE,
         ("config.yaml:5: data.augment.flip:", "flip_horizontal", "data.augment.noise", "-1", "0",
          "config.yaml:6: data.standardize_targets", "mse", "train.class_weight.1", "much"),
         edits=(("data.h5", "data.h5\n  augment: {flip: true, noise: -1}\n  standardize_targets: true"),
                ("epochs: 2", "epochs: 2\n  class_weight: [1, much, 2]"))),
    Case("class weights of another number", USAGE, ("config.yaml:12: train.class_weight", "2 weights", "3 classes"),
         edits=(("epochs: 2", "epochs: 2\n  class_weight: [1, 2]"),)),
    Case("--set of an unknown key", USAGE, ("--set train.epoch=3", "unknown key", "epochs?"),
         words=(*TRAIN, "--set", "train.epoch=3")),
    Case("--set of a wrong type", USAGE, ("--set train.epochs=x", "x", "integer"),
         words=(*TRAIN, "--set", "train.epochs=x")),
    Case("--set without a value", USAGE, ("--set train.epochs", "KEY=VALUE"), words=(*TRAIN, "--set", "train.epochs")),
    Case("--set beyond a list", USAGE, ("--set model.7.units=3", "7", "1"), words=(*TRAIN, "--set", "model.7.units=3")),
    Case("empty path of data", USAGE, ("config.yaml:4: data.train", "empty"), edits=(("train: data.h5", 'train: ""'),)),
    Case("empty output", USAGE, ("output", "empty"), words=(*TRAIN, "--output", "")),
    Case("--set without an argument", USAGE, ("error: --set", "train --help"), words=(*TRAIN, "--set")),
]

USAGE_CASES = [
    Case("no command", USAGE, ("command", "--help"), words=()),
    Case("unknown command", USAGE, ("trian", "--help"), words=("trian", "config.yaml")),
    Case("unknown option", USAGE, ("--fast", "lockstep train --help"), words=(*TRAIN, "--fast")),
    Case("unknown letter", USAGE, ("-z", "lockstep train --help"), words=(*TRAIN, "-z")),
    Case("unknown letter among others", USAGE, ("-z", "lockstep train --help"), words=(*TRAIN, "-zo", "other")),
    Case("value for a switch", USAGE, ("--overwrite", "lockstep train --help"), words=(*TRAIN, "--overwrite=yes")),
    Case("init layers of no model", USAGE, ("--init-layers", "--init-from"), words=(*TRAIN, "--init-layers", "0")),
    Case("init layers beyond the last", USAGE, ("--init-layers 0-9", "9", "1"), words=(*INIT, "--init-layers", "0-9")),
    Case("init from and resume from", USAGE, ("--init-from", "--resume"),
         words=(*INIT, "--resume", "run/checkpoints/step-00000006.h5")),
    Case("init from the run to overwrite", USAGE, ("run/model.h5", "another output"), runs="run",
         words=(*TRAIN, "--overwrite", "--init-from", "run/model.h5")),
    Case("operand missing", USAGE, ("CONFIG.yaml", "lockstep train --help"), words=("train",)),
    Case("second operand missing", USAGE, ("DATA", "lockstep evaluate --help"), words=("evaluate", "model.h5")),
    Case("operand too many", USAGE, ("more.yaml", "lockstep train --help"), words=(*TRAIN, "more.yaml")),
    Case("top k equal to the number of classes", USAGE, ("--top-k 3", "number of classes", "3 classes"), runs="run",
         words=("evaluate", "run/model.h5", "data.h5", "--top-k", "3")),
    Case("predict without -o", USAGE, ("error: -o", "predict --help|predict -h|OUT"), words=("predict", "run/model.h5", "data.h5"), runs="run"),
    Case("predict with an unknown format", USAGE, ("--format tsv", "h5, csv, npy"), runs="run",
         words=("predict", "run/model.h5", "data.h5", "-o", "out.csv", "--format", "tsv")),
    Case("predict HDF5 to standard output", USAGE, ("--format h5", "csv", "standard output"), runs="run",
         words=("predict", "run/model.h5", "data.h5", "-o", "-", "--format", "h5")),
    Case("predict on empty standard input", DATA, ("/dev/stdin", "no samples"), runs="run",
         words=("predict", "run/model.h5", "-", "-o", "out.csv")),
    Case("predict to an unknown format", USAGE, ("out.txt", ".h5", ".csv", ".npy"), runs="run",
         words=("predict", "run/model.h5", "data.h5", "-o", "out.txt")),
    Case("export without -o", USAGE, ("error: -o", "export --help"), words=("export", "run/model.h5")),
    Case("export to an unknown format", USAGE, ("out.pt", ".safetensors"), words=("export", "run/model.h5", "-o", "out.pt")),
    Case("init map without a file", USAGE, ("--init-map map.yaml", "--init-from"), words=(*TRAIN, "--init-map", "map.yaml")),
    Case("import without -o", USAGE, ("-o",), words=("import", "table.csv"), files={"table.csv": TABLE}),
    Case("import over its source", USAGE, ("table.csv",), files={"table.csv": TABLE},
         words=("import", "table.csv", "-o", "table.csv")),
    Case("test fraction of all", USAGE, ("--test-fraction", "1.5"), files={"table.csv": TABLE},
         words=("import", "table.csv", "-o", "out.h5", "--test-fraction", "1.5")),
    Case("resume with another seed", USAGE, ("step-00000006.h5", "seed", "2", "1"), runs="run",
         words=(*TRAIN, "--set", "seed=2")),
    Case("resume with other layers", USAGE, ("step-00000006.h5", "model.0.units", "9", "8"), runs="run",
         words=(*TRAIN, "--set", "model.0.units=9")),
    Case("resume with another layer more", USAGE, ("step-00000006.h5", "model.0.layer", "dropout", "dense"),
         runs="run",
         edits=(("model:\n", "model:\n  - {layer: dropout, rate: 0.5}\n"),)),
    Case("resume with another batch size", USAGE, ("step-00000006.h5", "train.batch_size", "4", "8"), runs="run",
         words=(*TRAIN, "--set", "train.batch_size=4")),
    Case("resume with another number of batches a step", USAGE, ("step-00000006.h5", "train.accumulate", "2", "1"),
         runs="run", words=(*TRAIN, "--set", "train.accumulate=2")),
    Case("resume as a reproducible run", USAGE, ("step-00000006.h5", "train.reproducible", "true", "false"), runs="run",
         words=(*TRAIN, "--set", "train.reproducible=true")),
    Case("lanes that are not a power of two", USAGE, ("train.lanes", "6", "power"),
         words=(*TRAIN, "--set", "train.reproducible=true", "--set", "train.lanes=6")),
    Case("reproducible with two threads", USAGE, ("train.reproducible", "comm.threads", "2"),
         words=(*TRAIN, "--set", "train.reproducible=true", "--set", "comm.threads=2")),
    Case("reproducible by the clock", USAGE, ("train.monitor", "seconds", "train.reproducible|reproducible"),
         words=(*TRAIN, "--set", "train.reproducible=true", "--set", "train.monitor=seconds")),
    Case("resume with another optimizer", USAGE, ("step-00000006.h5", "optimizer.type", "sgd", "adam"), runs="run",
         words=(*TRAIN, "--set", "optimizer={type: sgd}")),
    Case("resume with another split", USAGE, ("step-00000006.h5", "data.validation", "0.25", "0"), runs="run",
         words=(*TRAIN, "--set", "data.validation=0.25")),
]

DATA_CASES = [
    Case("data missing", DATA, ("data.h5", "No such file"), files={"data.h5": None}),
    Case("data truncated", DATA, ("data.h5", "truncated"), files={"data.h5": truncated}),
    *(Case(f"data is {name}", DATA, ("data.h5", "not an HDF5 file", *says), files={"data.h5": content})
      for name, content, says in OTHER_FILES),
    Case("data of a newer format", DATA, ("data.h5", "newer"), files={"data.h5": superblock(4)}),
    Case("data open for writing", DATA, ("data.h5", "open for writing", "h5clear"), files={"data.h5": superblock(3, 1)}),
    Case("data a folder", DATA, ("data.h5", "folder|directory"), files={"data.h5": a_folder}),
    Case("data unreadable", DATA, ("data.h5", "Permission denied"), prepare=unreadable, nobody=True),
    Case("y of three dimensions", DATA, ("data.h5:/y", "(24, 2, 2)"), files=arrays(y=numpy.zeros((24, 2, 2)))),
    Case("y of text", DATA, ("data.h5:/y", "numbers", "lockstep import", "-o OUT.h5"), files=arrays(y=numpy.full(len(X), b"word"))),
    Case("x of text", DATA, ("data.h5:/x", "numbers"), files=arrays(x=numpy.full((24, 4), b"word"))),
    Case("x a single number", DATA, ("data.h5:/x",), files=arrays(x=numpy.float32(3))),
    Case("x of complex numbers", DATA, ("data.h5:/x", "complex"), files=arrays(x=X.astype("c8"))),
    Case("x longer than y", DATA, ("data.h5", "/x", "24", "/y", "23"), files=arrays(y=Y[:-1])),
    Case("label below zero", DATA, ("data.h5:/y", "row 5", "-1", "0", "2"), files=arrays(y=with_value(Y, 5, -1))),
    Case("labels from 1", DATA, ("data.h5:/y", "label 3", "from 1 to 3", "subtract 1"), files=arrays(y=Y + 1)),
    Case("labels -1 and 1", DATA, ("data.h5:/y", "label -1", "from -1 to 1", "0 and 1"),
         files={"config.yaml": BINARY, **arrays(y=numpy.where(Y == 0, -1, 1))}),
    Case("label beyond the classes", DATA, ("data.h5:/y", "row 5", "label 3", "0", "2"),
         files=arrays(y=with_value(Y, 5, 3))),
    Case("label of a fraction", DATA, ("data.h5:/y", "row 5", "1.5", "0", "2"),
         files=arrays(y=with_value(Y, 5, 1.5, "f8"))),
    Case("label that is not a number", DATA, ("data.h5:/y", "row 5", "nan", "0", "2"),
         files=arrays(y=with_value(Y, 5, numpy.nan, "f8"))),
    Case("NaN in x", DATA, ("data.h5:/x", "row 7", "feature 2", "nan"), files=arrays(x=with_value(X, (7, 2), numpy.nan))),
    Case("infinity in x", DATA, ("data.h5:/x", "row 7", "feature 2", "inf"),
         files=arrays(x=with_value(X, (7, 2), numpy.inf))),
    Case("beyond float32 in x", DATA, ("data.h5:/x", "row 7", "feature 2", "1e+300"),
         files=arrays(x=with_value(X, (7, 2), 1e300, "f8"))),
    Case("no samples", DATA, ("data.h5", "no samples"), files={"data.h5": no_samples}),
    Case("no features", DATA, ("data.h5:/x", "feature"), files=arrays(x=numpy.zeros((24, 0)))),
    Case("group absent", DATA, ("data.h5", "/training"), edits=(("data.h5", "data.h5:/training"),)),
    Case("y absent", DATA, ("data.h5", "x"), files={"data.h5": {"x": X}}),
    Case("x ambiguous", DATA, ("data.h5", "/images", "/inputs", "data.x"),
         files={"data.h5": {"images": X, "inputs": X, "y": Y}}),
    Case("group ambiguous", DATA, ("data.h5", "/one", "/two", "data.h5:/one"),
         files={"data.h5": {"one/x": X, "one/y": Y, "two/x": X, "two/y": Y}}),
    Case("named x absent", DATA, ("data.h5:/pixels",), edits=(("data.h5", "data.h5\n  x: /pixels"),)),
    Case("one-hot row broken", DATA, ("data.h5:/y", "row 3", "one-hot"),
         files=arrays(y=with_value(numpy.eye(3)[Y], (3, slice(None)), 1.0))),
    Case("one-hot of other width", DATA, ("data.h5:/y", "(24, 5)", " 3 "), files=arrays(y=numpy.eye(5)[Y])),
    Case("columns of y other than outputs", DATA, ("data.h5:/y", "(24, 2)", " 1"),
         files={"config.yaml": REGRESSION, **arrays(y=numpy.zeros((24, 2)))}),
    Case("class names other than outputs", DATA, ("data.h5:/y", "row 2", "label 2", "from 0 to 1", "3", "`classes`"),
         files=arrays(y=(Y, {"classes": ["red", "blue"]})), warnings=1),
    Case("more class names than outputs", DATA, ("data.h5:/y", "classes", "4", "3"),
         files=arrays(y=(Y, {"classes": ["red", "blue", "green", "grey"]}))),
    Case("NaN in targets", DATA, ("data.h5:/y", "row 4", "nan"),
         files={"config.yaml": REGRESSION, **arrays(y=with_value(Y, 4, numpy.nan, "f4"))}),
    Case("label of two classes beyond 1", DATA, ("data.h5:/y", "row 2", "2", "0", "1"),
         files={"config.yaml": BINARY}),
    Case("features of test other than of train", DATA, ("test.h5:/x", "3 features", "4"),
         files={"test.h5": {"x": X[:, :3], "y": Y}}, edits=(("data.h5", "data.h5\n  test: test.h5"),)),
    Case("features of validation other than of train", DATA, ("val.h5:/x", "5 features", "4"),
         files={"val.h5": {"x": numpy.zeros((6, 5)), "y": Y[:6]}},
         edits=(("data.h5", "data.h5\n  validation: val.h5"),)),
    Case("test missing", DATA, ("test.h5", "No such file"), edits=(("data.h5", "data.h5\n  test: test.h5"),)),
    Case("split that leaves nothing", DATA, ("data.h5", "0.9", "1 sample"), files=arrays(x=X[:1], y=Y[:1]),
         edits=(("data.h5", "data.h5\n  validation: 0.9"),)),
    Case("weight below zero", DATA, ("data.h5:/w", "row 6", "-2"), files=arrays(w=with_value(numpy.ones(24), 6, -2))),
    Case("weights of another length", DATA, ("data.h5:/w", "(20,)", "24"), files=arrays(w=numpy.ones(20))),
    Case("weights all zero", DATA, ("data.h5:/w", "0"), files=arrays(w=numpy.zeros(24))),
    Case("weights zero in training", DATA, ("data.train", "weight", "0"),
         edits=(("data.h5", "data.h5\n  validation: 0.5"),), files=arrays(x=X[:2], y=Y[:2], w=[1.0, 0.0])),
    Case("weights zero in validation", DATA, ("data.validation", "weight", "0"),
         edits=(("data.h5", "data.h5\n  validation: 0.5"),), files=arrays(x=X[:2], y=Y[:2], w=[0.0, 1.0])),
    Case("tables shifted", DATA, ("data.augment.shift", "(24, 4) float32"),
         edits=(("data.h5", "data.h5\n  augment: {shift: 1}"),)),
    Case("sparse matrix of AnnData", DATA, ("data.h5:/X", "sparse", "toarray"), files=sparse("X")),
    Case("sparse matrix of 10x", DATA, ("data.h5:/matrix", "sparse", "toarray"), files=sparse("matrix")),
    Case("a group per sample", DATA, ("24 groups", "stack"), files={"data.h5": group_per_sample}),
    Case("external link", DATA, ("data.h5", "x", "link"), files={"data.h5": external_link}),
    Case("external storage", DATA, ("data.h5:/x", "external storage"), files={"data.h5": external_storage}),
    Case("virtual dataset", DATA, ("data.h5:/x", "virtual"), files={"data.h5": virtual}),
    Case("soft link in a ring", DATA, ("data.h5", "x", "link"), files={"data.h5": soft_link}),
    Case("packed by a plugin", DATA, ("data.h5:/x", "filter", "32004", "h5repack"), files={"data.h5": packed_by(32004)}),
    Case("deflate bomb", DATA, ("data.h5:/x",), files={"data.h5": deflate_bomb}),
    Case("deflate twice", DATA, ("data.h5:/x", "filter|deflate"), files={"data.h5": twice_deflated}),
    Case("2^60 elements", DATA, ("data.h5:/x",), files={"data.h5": claim(2**60)}),
    Case("2^70 elements", DATA, ("data.h5:/x",),
         files={"data.h5": claim(2**35, 2**35)}),
    Case("x of records", DATA, ("data.h5:/x", "records", "a, b"), files={"data.h5": compound}),
    Case("x of references", DATA, ("data.h5:/x", "references"), files={"data.h5": references}),
    Case("x of ragged rows", DATA, ("data.h5:/x", "variable length"), files={"data.h5": ragged}),
    Case("x of MATLAB", DATA, ("data.h5:/y", "transposed", "MATLAB"), files=arrays(x=X.T.copy(), y=Y.reshape(1, -1))),
    Case("x transposed at prediction", DATA, ("other.h5:/x", "transposed"), runs="run",
         words=("predict", "run/model.h5", "other.h5", "-o", "out.csv"), files={"other.h5": {"x": X.T.copy()}}),
    Case("x written in part", DATA, ("data.h5:/x", "row 16", "resize"), files={"data.h5": half_written()}),
    Case("x written in part, compressed", DATA, ("data.h5:/x", "row 16", "resize"),
         files={"data.h5": half_written(compression="gzip")}),
    Case("x written in part, by columns", DATA, ("data.h5:/x", "row 16", "resize"),
         files={"data.h5": half_written(chunks=(8, 2))}),
    Case("groups that hold each other", DATA, ("data.h5",), words=("info", "data.h5"),
         files={"data.h5": groups_in_a_ring}),
    Case("nothing stored", DATA, ("data.h5:/x",), files={"data.h5": never_stored}),
    Case("resume on other data", DATA, ("step-00000006.h5", "data.h5"), runs="run", files=arrays(x=X + 1)),
    Case("info on another file", DATA, ("notes.txt", "HDF5"), words=("info", "notes.txt"), files={"notes.txt": "hello"}),
    Case("info on nothing", DATA, ("none.h5", "No such file"), words=("info", "none.h5")),
    Case("info on HDF5 without arrays", DATA, ("data.h5", "array"), words=("info", "data.h5"),
         files={"data.h5": {}}),
    Case("check of bad data", DATA, ("data.h5:/y", "row 5"), words=("check", "config.yaml"),
         files=arrays(y=with_value(Y, 5, -1))),
    Case("gradcheck of bad data", DATA, ("data.h5:/y", "row 5"), words=("gradcheck", "config.yaml"),
         files=arrays(y=with_value(Y, 5, -1))),
    Case("evaluate on other features", DATA, ("other.h5:/x", "3 features", "4"), runs="run",
         words=("evaluate", "run/model.h5", "other.h5"), files={"other.h5": {"x": X[:, :3], "y": Y}}),
    Case("evaluate on missing data", DATA, ("none.h5", "No such file"), runs="run",
         words=("evaluate", "run/model.h5", "none.h5")),
    Case("predict on other features", DATA, ("other.h5:/x", "3 features", "4"), runs="run",
         words=("predict", "run/model.h5", "other.h5", "-o", "out.csv"), files={"other.h5": {"x": X[:, :3]}}),
    Case("predict on a table of other width", DATA, ("table.csv", "4"), runs="run",
         words=("predict", "run/model.h5", "table.csv", "-o", "out.csv"), files={"table.csv": "1,2,3\n4,5,6\n"}),
    Case("predict on a table with text", DATA, ("table.csv", "line 2", "two"), runs="run",
         words=("predict", "run/model.h5", "table.csv", "-o", "out.h5"), files={"table.csv": "5,2,3,4\n1,two,3,4\n"}),
]


def import_case(name, says, content, *options):
    return Case("import: " + name, DATA, says, words=("import", "table.csv", "-o", "out.h5", *options),
                files={"table.csv": content})


def import_idx_case(name, says, images, labels):
    return Case("import: " + name, DATA, says, words=("import", "train-images", "train-labels", "-o", "out.h5"),
                files={"train-images": images, "train-labels": labels})


IMPORT_CASES = [
    import_case("ragged row", ("table.csv", "line 3", "4 columns", "5"), "a,b,c,d,kind\n1,2,3,4,red\n5,6,7,8\n"),
    import_case("text where a number belongs", ("table.csv", "line 3", "six"), "a,b,kind\n1,2,red\n5,six,blue\n"),
    import_case("empty cell", ("table.csv", "line 3", "b", "empty"), "a,b,kind\n1,2,red\n5,,blue\n"),
    import_case("words in each row", ("table.csv", "column 1, id", "--drop 1"), "id,a,kind\nx,2,red\ny,3,blue\n"),
    import_case("decimal commas", ("table.csv", "line 2", "0,5", "point"), "a;b;kind\n0,5;2;red\n0,5;3;blue\n"),
    import_case("only missing values", ("table.csv", "column 2, b", "no mean"), "a,b,kind\n1,,red\n2,?,blue\n", "--missing", "mean"),
    Case("import: unknown value of --missing", USAGE, ("--missing none", "mean", "drop"), words=("import", "table.csv", "-o", "out.h5", "--missing", "none"), files={"table.csv": TABLE}),
    Case("import: --categories of the label", USAGE, ("--categories kind", "not a feature"), files={"table.csv": TABLE},
         words=("import", "table.csv", "-o", "out.h5", "--categories", "kind", "--label", "kind")),
    Case("missing values for a model without means", USAGE, ("--missing mean", "data.normalize", "number"), runs="run", files={"table.csv": "1,2,3,\n4,5,6,7\n"},
         words=("predict", "run/model.h5", "table.csv", "-o", "out.csv", "--missing", "mean")),
    import_case("empty file", ("table.csv",), ""),
    import_case("header only", ("table.csv",), "a,b,kind\n"),
    import_case("unknown label column", ("table.csv", "colour", "kind"), TABLE, "--label", "colour"),
    import_case("label column beyond the last", ("table.csv", "9", "5"), TABLE, "--label", "9"),
    import_case("binary", ("table.csv",), bytes(range(256)) * 4),
    import_case("unclosed quote", ("table.csv", "line 2", "quote"), 'a,b,kind\n1,"2,red\n3,4,blue\n'),
    Case("import: missing file", DATA, ("none.csv", "No such file"), words=("import", "none.csv", "-o", "out.h5")),
    import_idx_case("IDX images truncated", ("train-images",),
                    idx(3, 5, 4, 4, content=bytes(40)), idx(1, 5)),
    import_idx_case("IDX header truncated", ("train-images",), idx(3, 5, 4, 4)[:9], idx(1, 5)),
    import_idx_case("IDX labels truncated", ("train-labels",), idx(3, 5, 4, 4),
                    idx(1, 5, content=bytes(3))),
    import_idx_case("IDX too long", ("train-labels",), idx(3, 5, 4, 4), idx(1, 5, content=bytes(9))),
    import_idx_case("IDX of other lengths", ("train-images", "5 images", "train-labels", "6 labels"), idx(3, 5, 4, 4),
                    idx(1, 6)),
    import_idx_case("IDX that promises terabytes", ("train-images",), idx(3, 2**31, 60000, 60000, content=bytes(64)),
                    idx(1, 2**31, content=bytes(64))),
    Case("import: IDX gzip truncated", DATA, ("train-images.gz",), prepare=lambda folder: gzip_half(folder),
         words=("import", "train-images.gz", "train-labels", "-o", "out.h5"), files={"train-labels": idx(1, 500)}),
]


def gzip_half(folder):
    random = numpy.random.default_rng(1).bytes(500 * 16)
    whole = gzip.compress(idx(3, 500, 4, 4, content=random))
    (folder / "train-images.gz").write_bytes(whole[:len(whole) // 2])


MODEL_CASES = [
    Case("all checkpoints damaged", MODEL, ("run/checkpoints", "2", "step-00000003.h5"),
         runs="run", warnings=1,
         damaged=("run/checkpoints/step-00000003.h5", "run/checkpoints/step-00000006.h5")),
    Case("resume from a missing file", MODEL, ("none.h5", "No such file"), words=(*TRAIN, "--resume", "none.h5")),
    Case("resume from a model", MODEL, ("run/model.h5", "checkpoint"), runs="run",
         words=(*TRAIN, "--resume", "run/model.h5")),
    Case("resume from data", MODEL, ("data.h5", "model"), words=(*TRAIN, "--resume", "data.h5")),
    Case("init from a damaged model", MODEL, ("run/model.h5", "damaged"), runs="run", words=INIT, damaged=("run/model.h5",)),
    Case("init from a model of other shapes", MODEL,
         ("run/model.h5", "0-dense", "(8, 4)", "(9, 4)", "1-dense", "(3, 8)", "(1, 9)"), runs="run",
         files={**arrays(y=Y % 2), "config.yaml": BINARY}, words=(*INIT, "--set", "model.0.units=9")),
    Case("init from a header beyond the end", MODEL, ("w.safetensors", "header", str(2**63)),
         words=(*TRAIN, "--init-from", "w.safetensors"), files={"w.safetensors": b"\0\0\0\0\0\0\0\x80{}"}),
    Case("export of data", MODEL, ("data.h5", "model"), words=("export", "data.h5", "-o", "out.safetensors")),
    Case("init from a layer of another shape", MODEL, ("run/model.h5", "/model/1-dense/W", "(3, 8)", "(1, 8)"), runs="run",
         files={**arrays(y=Y % 2), "config.yaml": BINARY}, words=(*INIT, "--init-layers", "0-1")),
    Case("info on a model without its seal", MODEL, ("run/model.h5", "damaged", "seal"), words=("info", "run/model.h5"), runs="run",
         prepare=lambda folder: harness.flip_byte(folder / "run/model.h5", 0)),
    Case("info on a damaged model", MODEL, ("run/model.h5", "damaged"), words=("info", "run/model.h5"), runs="run",
         damaged=("run/model.h5",)),
] + [
    Case(f"{words[0]} with {what}", MODEL, says, words=words, runs="run", files={"notes.txt": "hello\n"},
         damaged=("run/model.h5",))
    for command in (("evaluate", "{}", "data.h5"), ("predict", "{}", "data.h5", "-o", "out.csv"))
    for what, model, says in (("a damaged model", "run/model.h5", ("run/model.h5", "damaged")),
                              ("a missing model", "none.h5", ("none.h5", "No such file")),
                              ("data for a model", "data.h5", ("data.h5", "model")),
                              ("text for a model", "notes.txt", ("notes.txt", "model")),
                              ("a folder for a model", "run", ("run:", "folder|directory")))
    for words in [tuple(word.format(model) for word in command)]
]

REPORT = ("report", "run", "-o", "out.html")
REPORT_CASES = [
    Case("report without -o", USAGE, ("error: -o", "report --help"), words=("report", "run"), runs="run"),
    Case("report to an unknown format", USAGE, ("out.pdf", ".html"), words=("report", "run", "-o", "out.pdf"), runs="run"),
    Case("report: --x without --data", USAGE, ("--x", "--data"), words=(*REPORT, "--x", "x"), runs="run"),
    Case("report of a folder without a run", DATA, ("other", "config.yaml", "metrics.csv"), words=("report", "run", "other", "-o",
         "out.html"), runs="run", prepare=lambda folder: (folder / "other").mkdir()),
    Case("report of a missing folder", DATA, ("none", "no such"), words=("report", "none", "-o", "out.html")),
    Case("report of a file", DATA, ("data.h5", "run directory"), words=("report", "data.h5", "-o", "out.html")),
    Case("report: missing --data", DATA, ("none.h5",), words=(*REPORT, "--data", "none.h5"), runs="run"),
    Case("report: --data without y", DATA, ("other.h5", "x"), words=(*REPORT, "--data", "other.h5"), runs="run",
         files={"other.h5": {"x": X}}),
    *(Case(f"report: metrics.csv: {name}", DATA, ("run/metrics.csv", *says), words=REPORT, runs="run",
           prepare=lambda folder, text=text: (folder / "run/metrics.csv").write_bytes(text))
      for name, text, says in (("another table", b"a,b\n1,2\n", (":1", "a", "epoch")), ("a word", b"epoch,lr\n1,high\n", (":2", "lr", "high")),
                               ("too few cells", b"epoch,lr,step\n1,2,3\n2\n", (":3", "1", "3")), ("zeros", bytes(1000), ("NUL",)))),
    Case("report: metrics.csv unreadable", DATA, ("run/metrics.csv", "Permission denied"), words=REPORT, runs="run", nobody=True,
         prepare=lambda folder: (folder / "run/metrics.csv").chmod(0)),
]

INIT_CASES = [
    Case(f"init: {name}", code, says, words=("init", *words), files=files) for name, code, says, words, files in (
        ("a missing file", DATA, ("none.csv", "No such file"), ("none.csv",), {}),
        ("a model", DATA, ("run.h5", "dataset"), ("run.h5",), {"run.h5": b"LOCKSTEP" + bytes(600)}),
        ("an unknown file type", USAGE, ("-o c.txt", ".yaml"), ("data.h5", "-o", "c.txt"), {}),
        ("a missing folder for the config", OUTPUT, ("none/c.yaml",), ("data.h5", "-o", "none/c.yaml"), {}),
        ("an existing config", OUTPUT, ("config.yaml", "exists", "--overwrite"), ("data.h5", "-o", "config.yaml"), {}),
        ("an existing import", OUTPUT, ("data.h5", "exists", "--overwrite"), ("data.csv",), {"data.csv": TABLE}),
        ("a table to standard output", USAGE, ("-o -", "t.csv"), ("t.csv", "-o", "-"), {"t.csv": TABLE}),
        ("a label of HDF5", USAGE, ("--label", "--y"), ("data.h5", "--label", "y"), {}),
        ("a table of one column", DATA, ("t.csv", "no features"), ("t.csv",), {"t.csv": "a\n1\n2\n3\n"}),
        ("a table without rows", DATA, ("t.csv",), ("t.csv",), {"t.csv": "a,b\n"}),
        ("an empty table", DATA, ("t.csv",), ("t.csv",), {"t.csv": ""}),
        ("arrays with the samples last", DATA, ("m.h5:/Y", "(1, 24)", "MATLAB", "reverse"), ("m.h5",), {"m.h5": {"X": X.T, "Y": Y[None]}}),
        ("an empty folder of data", DATA, ("d", "no PNG"), ("d",), {"d/notes.txt": "none"}),
        ("data of several kinds", DATA, ("d/labels.csv", "d/cat/a.png", "one kind"), ("d",),
         {"d/labels.csv": TABLE, "d/cat/a.png": b"x"}),
        ("tables and HDF5", DATA, ("d/t.csv", "d/t.h5", "one kind"), ("d",), {"d/t.csv": TABLE, "d/t.h5": {"x": X, "y": Y}}),
        ("images without classes", DATA, ("d/a.png", "no classes", "CLASS/FILE"), ("d",), {"d/a.png": b"x", "d/b.png": b"x"}),
        ("images of one class", DATA, ("d", "only one class, cat"), ("d",), {"d/cat/a.png": b"x", "d/cat/b.png": b"x"}),
        ("splits without classes", DATA, ("d/t", "not in the folder of a class"), ("d",), {"d/train/a.png": b"x", "d/test/a.png": b"x"}),
        ("a split without classes", DATA, ("d/train/cat/a.png", "d/test/b.png", "is not"), ("d",),
         {"d/train/cat/a.png": b"x", "d/test/b.png": b"x"}),
        ("a damaged image", DATA, ("d/cat/a.png", "--skip-broken"), ("d",), {"d/cat/a.png": b"x", "d/dog/b.png": b"x"}),
        ("several files of training data", DATA, ("d/test.h5", "more than one"), ("d",),
         {f"d/{name}.h5": {"x": X, "y": Y} for name in ("train", "train-2", "test")}),
        ("no file of training data", DATA, ("d/test.h5", "train"), ("d",), {"d/test.h5": {"x": X, "y": Y}}))]

OUTPUT_CASES = [
    Case("output through a file", OUTPUT, ("config.yaml/run", "Not a directory"), words=(*TRAIN, "-o", "config.yaml/run")),
    Case("output that is a file", OUTPUT, ("data.h5",), words=(*TRAIN, "-o", "data.h5")),
    Case("output in a closed folder", OUTPUT, ("closed/run", "Permission denied"), words=(*TRAIN, "-o", "closed/run"),
         prepare=read_only, nobody=True),
    Case("output that is a closed folder", OUTPUT, ("closed: ", "Permission denied"), words=(*TRAIN, "-o", "closed"),
         prepare=read_only, nobody=True),
    Case("--resume never on a run", OUTPUT, ("error: run", "--overwrite"), words=(*TRAIN, "--resume", "never"), runs="run"),
    Case("report to a missing folder", OUTPUT, ("none/out.html", "No such file"), runs="run",
         words=("report", "run", "-o", "none/out.html")),
    Case("report to a closed folder", OUTPUT, ("closed/out.html", "Permission denied"), runs="run",
         words=("report", "run", "-o", "closed/out.html"), prepare=read_only, nobody=True),
    Case("predict to a missing folder", OUTPUT, ("none/out.csv", "No such file"), runs="run",
         words=("predict", "run/model.h5", "data.h5", "-o", "none/out.csv")),
    Case("predict to HDF5 in a missing folder", OUTPUT, ("none/out.h5", "No such file"), runs="run",
         words=("predict", "run/model.h5", "data.h5", "-o", "none/out.h5")),
    Case("import: size without unit", USAGE, ("--max-file-size 2", "2GB"), words=("import", "data.h5", "-o", "out.h5", "--max-file-size", "2")),
    Case("import: memory of zero", USAGE, ("--memory 0MB", "above 0"), words=("import", "data.h5", "-o", "out.h5", "--shuffle", "--memory", "0MB")),
    Case("import: not HDF5", USAGE, ("table.csv:/train", "not an HDF5 file"), words=("import", "table.csv:/train", "-o", "out.h5"), files={"table.csv": TABLE}),
    Case("import: damaged HDF5", DATA, ("data.h5",), words=("import", "data.h5", "-o", "out.h5", "--shuffle"), prepare=lambda folder: truncated(folder / "data.h5")),
    Case("import: another group", DATA, ("data.h5", "/none", "does not exist"), words=("import", "data.h5:/none", "-o", "out.h5")),
    Case("import: several files exist", OUTPUT, ("out-00002.h5", "exists", "not replaced"), words=("import", "data.h5", "-o", "out.h5", "--max-file-size", "9MB"), files={"out-00002.h5": {"x": X, "y": Y}}),
    Case("import: a folder that cannot be written", OUTPUT, ("closed/out.h5", "Permission denied"), nobody=True, prepare=read_only,
         words=("import", "data.h5", "-o", "closed/out.h5", "--shuffle", "--memory", "900B")),
    Case("import to a missing folder", OUTPUT, ("none/out.h5", "No such file"), files={"table.csv": TABLE},
         words=("import", "table.csv", "-o", "none/out.h5")),
    Case("predict over a folder", OUTPUT, ("out.csv",), runs="run", files={"out.csv": a_folder},
         words=("predict", "run/model.h5", "data.h5", "-o", "out.csv")),
]

# -------------------------------------------------------------------- the test

WAYS = {"alone": ALONE, "at 1 rank": 1, "at 2 ranks": 2, "at 4 ranks": 4}
IS_LONG = "--long" in sys.argv
sys.argv[1:] = [word for word in sys.argv[1:] if word != "--long"]
NUMBERS = itertools.count()
FINISHED = harness.temporary_folder()  # holds a finished run


def lay_out(case, folder):
    """The case's files."""
    for name, content in {**BASE, **case.files}.items():
        if name == "config.yaml" and isinstance(content, str):
            content = edited(*case.edits, text=content)
        if content is not None:
            harness.write_file(folder / name, content)
    if case.runs:
        shutil.copytree(FINISHED / case.runs, folder / case.runs)
    for name in case.damaged:
        harness.flip_byte(folder / name)
    if case.prepare:
        case.prepare(folder)


def check_message(case, run):
    run.must(run.out == "" or case.words[0] == "info", "an error before any work leaves stdout empty")
    lines = run.err.splitlines()
    warnings, message, more = lines[:case.warnings], lines[case.warnings:][:1], lines[case.warnings + 1:]
    run.must(all(line.startswith("lockstep: warning: ") for line in warnings), f"{case.warnings} warnings come first")
    run.must(message and message[0].startswith("lockstep: error: "), "there must be a message")
    run.must(run.err.count("lockstep:") == 1 + case.warnings, "there must be one message")
    alike = all(line.startswith(("config.yaml", "--set")) for line in more)
    run.must(not more or case.code == USAGE and alike, "only errors in a config have more than one line")
    for part in case.says:
        run.must(harness.has(run.err, part), f"the message must contain: {part}")


def step_down(folder):
    """The user to run as: not root, whom nothing is forbidden."""
    if os.geteuid() != 0:
        return None
    folder.chmod(0o777)
    if any(not parent.stat().st_mode & 0o001 for parent in pathlib.Path(harness.PROGRAM).resolve().parents):
        raise Skip("others than root cannot reach the program")
    return NOBODY


def at_once(ranks):
    """After a failure mpirun waits for the other ranks, for a second or two even where none is left. They are through
    with MPI by then; only the sanitizers still have to tell what they found there."""
    return {} if harness.IS_SANITIZED and ranks > 1 else {"OMPI_MCA_odls_base_sigkill_timeout": "0"}


def run_case(case, ranks, folder):
    lay_out(case, folder)
    user = step_down(folder) if case.nobody else None
    before = harness.snapshot(folder)
    run = harness.run(folder, *case.words, ranks=ranks, deadline=LIMIT, user=user, settings=at_once(ranks),
                      before=CAP)
    harness.DURATIONS.append((run.seconds, f"{case.name} at {ranks}"))
    run.exits(case.code)
    check_message(case, run)
    run.must(harness.snapshot(folder) == before, "no file may be made or changed, "
             f"but there are {sorted(set(harness.snapshot(folder).items()) ^ set(before.items()))}")


# --------------------------------------------------- what a run goes through, or not

STEEP = """\
output: run
data: {train: data.h5}
model: [{layer: dense, units: 1}]
loss: mse
optimizer: {type: sgd, lr: 0.001}
train: {epochs: 2, batch_size: 1}
"""


def steep_data():
    x = numpy.random.default_rng(5).normal(size=(200, 3))
    return {"data.h5": {"x": x, "y": x @ [1.0, 2.0, 3.0]}, "config.yaml": STEEP}


def checkpoints(folder):
    return sorted(path.name for path in (folder / "run/checkpoints").glob("step-*.h5"))


def diverging_run_leaves_the_last_checkpoint(folder, ranks):
    for name, content in steep_data().items():
        harness.write_file(folder / name, content)
    harness.run_well(folder, *TRAIN, ranks=ranks)
    before = harness.snapshot(folder / "run/checkpoints")
    model = (folder / "run/model.h5").read_bytes()
    run = harness.run(folder, *TRAIN, "--set", "optimizer.lr=10", "--set", "train.epochs=4", ranks=ranks)
    run.exits(NUMERIC).reports("lockstep: error: ", "epoch 3", "10")
    run.must(re.search(r"step 4\d\d\b", run.err), "the error must name a step of that epoch")
    run.must(run.err.count("lockstep:") == 1, "there must be one message")
    run.must(harness.snapshot(folder / "run/checkpoints") == before, "the checkpoints must be as they were")
    run.must((folder / "run/model.h5").read_bytes() == model, "the model must be as it was")
    again = harness.run_well(folder, *TRAIN, "--set", "train.epochs=3", ranks=ranks)
    again.reports(RESUMED, "step-00000400.h5").reports(DONE, "3 epochs")


def diverging_new_run_saves_nothing(folder, ranks):
    for name, content in steep_data().items():
        harness.write_file(folder / name, content)
    run = harness.run(folder, *TRAIN, "--set", "optimizer.lr=1e6", ranks=ranks)
    run.exits(NUMERIC).reports("lockstep: error: ", "step ", "epoch 1", "1e+06")
    run.must(not checkpoints(folder) and not (folder / "run/model.h5").exists(), "nothing may be saved")


def no_parameter_beyond_float32_is_saved(folder, ranks):
    """From a finite gradient a step can reach infinity; where it is an epoch's last, a checkpoint is due."""
    for name, content in steep_data().items():
        harness.write_file(folder / name, content)
    run = harness.run(folder, *TRAIN, "--set", "optimizer.lr=1e6", "--set", "train.epochs=50",
                      "--set", "train.batch_size=full", ranks=ranks)
    run.exits(NUMERIC).reports("lockstep: error: ", "step ", "1e+06")
    saved = checkpoints(folder)
    run.must(len(saved) == 2, "the checkpoints before it must be there")
    for name in saved:
        values = harness.model_arrays(folder / "run/checkpoints" / name).values()
        run.must(all(numpy.isfinite(value).all() for value in values), f"{name} must hold finite numbers")


def damaged_newest_checkpoint_is_skipped(folder, ranks):
    lay_out(Case("", 0, (), runs="run", damaged=("run/checkpoints/step-00000006.h5",)), folder)
    run = harness.run(folder, *TRAIN, ranks=ranks).exits(0)
    run.reports("warning: ", "step-00000006.h5", "damaged").reports(RESUMED, "run/checkpoints/step-00000003.h5")
    run.reports(DONE, "2 epochs", "6 steps")
    run.must(all(line.startswith("lockstep: warning: ") for line in run.err.splitlines()), "it is a warning")
    whole = FINISHED / "run/checkpoints/step-00000006.h5"
    for name, value in harness.model_arrays(whole).items():
        again = harness.model_arrays(folder / "run/checkpoints/step-00000006.h5")[name]
        run.must(numpy.allclose(value, again, atol=1e-5), f"{name} must be what it was before the damage")


STORIES = (diverging_run_leaves_the_last_checkpoint, diverging_new_run_saves_nothing,
           no_parameter_beyond_float32_is_saved, damaged_newest_checkpoint_is_skipped)


def make_finished_run():
    for name, content in BASE.items():
        harness.write_file(FINISHED / name, content)
    harness.run_well(FINISHED, *TRAIN)


def in_all_ways(name, function):
    """Alone, and every second case at one number of ranks, in turn; with --long in all ways. The sanitizers, which are slow, have a part, and
    the walk over all failing calls besides."""
    number = next(NUMBERS)
    chosen = ["alone"]
    if number % 2 == 0:
        chosen.append(("at 2 ranks", "at 4 ranks", "at 2 ranks", "at 1 rank")[number // 2 % 4])
    if harness.IS_SANITIZED:
        chosen = ["at 2 ranks"] if number % 9 == 0 else ["alone"] if number % 3 == 0 else []
    return [(f"{name}, {way}", lambda folder, ranks=WAYS[way]: function(folder, ranks)) for way in (WAYS if IS_LONG else chosen)]


def all_tests():
    for case in CONFIG_CASES + IMAGE_CASES + USAGE_CASES + DATA_CASES + IMPORT_CASES + MODEL_CASES + REPORT_CASES + INIT_CASES + OUTPUT_CASES:
        yield from in_all_ways(case.name, lambda folder, ranks, case=case: run_case(case, ranks, folder))
    for story in STORIES:
        yield from in_all_ways(story.__name__.replace("_", " "), story)


if __name__ == "__main__":
    make_finished_run()
    try:
        harness.main(all_tests())
    finally:
        shutil.rmtree(FINISHED)
