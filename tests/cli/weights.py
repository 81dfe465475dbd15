"""Weights of other programs: export to safetensors, and --init-from of safetensors files, with and without a map."""

import json
import shutil
import struct

import h5py
import numpy

import harness
from harness import INITIALIZED, NOT_USED_AGAIN, ROOT, edited, model_arrays, names_in, run, run_well

FIXTURE = ROOT / "tests/export"
LAYERS = """\
  - {layer: conv2d, filters: 4, kernel_size: [3, 2]}
  - {layer: batch_norm}
  - {layer: relu}
  - {layer: max_pool, size: 2}
"""
TEXT = edited(("  - {layer: dense, units: 8, activation: relu}\n", LAYERS))
START = ("train", "config.yaml", "--set", "train.max_steps=0")


def prepare(folder, text=TEXT, **attributes):
    random = numpy.random.default_rng(3)
    x = random.normal(size=(24, 6, 7, 2)).astype("f4")
    y = (numpy.arange(24) % 3, {"classes": attributes["classes"]} if attributes else {})
    harness.write_arrays(folder / "data.h5", {"x": x, "y": y})
    harness.write_file(folder / "config.yaml", text)


def header_of(path):
    content = path.read_bytes()
    length, = struct.unpack("<Q", content[:8])
    return json.loads(content[8:8 + length]), content[8 + length:]


def tensors_of(path):
    """The float32 tensors of a file."""
    header, data = header_of(path)
    return {name: numpy.frombuffer(data[entry["data_offsets"][0]:entry["data_offsets"][1]], "<f4").reshape(entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}


def exports_are_in_the_layout_of_pytorch(folder):
    prepare(folder, classes=["red", "green", "blue"])
    run_well(folder, "train", "config.yaml")
    result = run_well(folder, "export", "run/model.h5", "-o", "out.safetensors", ranks=2).reports("out.safetensors", "135")
    own, found = model_arrays(folder / "run/model.h5"), tensors_of(folder / "out.safetensors")
    header, data = header_of(folder / "out.safetensors")
    metadata = header["__metadata__"]
    names = json.loads(metadata["map"])
    result.must(set(names) == set(own) and len(found) == len(own) == 8, "the map has each block")
    result.must((len((folder / "out.safetensors").read_bytes()) - len(data)) % 8 == 0, "the values are aligned")
    for path, array in own.items():
        entry = names[path]
        moved = array.reshape(entry["view"]).transpose(entry["transpose"]) if "view" in entry else array
        result.must(numpy.array_equal(found[entry["name"]].ravel(), moved.ravel()), f"{path} has the values of the model")
    conv = own["0-conv2d/W"].transpose(0, 3, 1, 2)
    dense = own["4-dense/W"].reshape(3, 2, 3, 4).transpose(0, 3, 1, 2).reshape(3, 24)
    result.must(numpy.array_equal(found["0-conv2d.weight"], conv), "filters are OIHW")
    result.must(numpy.array_equal(found["4-dense.weight"], dense), "columns are in the order of (C, H, W)")
    result.must("1-batch_norm.running_var" in found, "running averages are there")
    result.must(json.loads(metadata["classes"]) == ["red", "green", "blue"] and "layer: conv2d" in metadata["config"],
                "the metadata have classes and config")
    result.must(json.loads(metadata["input_shape"]) == [6, 7, 2], "and the shape of a sample")
    run(folder, "export", "run/model.h5", "-o", "out.onxx").exits(2).reports("out.onxx", ".safetensors")
    run(folder, "export", "run/model.h5", "-o", "none/out.safetensors").exits(5).reports("none/out.safetensors")
    result.must(names_in(folder) == ["config.yaml", "data.h5", "out.safetensors", "run"], "no other file is left")


def exports_start_a_run_with_the_same_bits(folder):
    """Also through checkpoints, on two ranks, and layer by layer."""
    prepare(folder)
    run_well(folder, "train", "config.yaml")
    run_well(folder, "export", "run/checkpoints/best.h5", "-o", "out.safetensors")
    base = model_arrays(folder / "run/model.h5")
    words = (*START, "--set", "seed=9", "--init-from", "out.safetensors")
    result = run_well(folder, *words, "-o", "new", ranks=2).reports(INITIALIZED, "all", "out.safetensors")
    new = model_arrays(folder / "new/model.h5")
    result.must(all(new[path].tobytes() == base[path].tobytes() for path in base), "all weights are the same")
    result = run_well(folder, *words, "-o", "part", "--init-layers", "0-1").reports(INITIALIZED, "0-conv2d", "4-dense", "--init-layers")
    result.reports("not used of out.safetensors", "4-dense.weight, 4-dense.bias")
    part = model_arrays(folder / "part/model.h5")
    same = {path for path in base if part[path].tobytes() == base[path].tobytes()}
    result.must({path for path in base if path[0] in "01"} <= same and "4-dense/W" not in same, "layers are selected")
    result = run_well(folder, *words, "-o", "wide", "--set", "model.0.filters=5")
    result.reports(INITIALIZED, "4-dense/b", "0-conv2d.weight is (4, 2, 3, 2) F32 there, (5, 2, 3, 2) here")
    run_well(folder, *words, "-o", "new").reports(NOT_USED_AGAIN)


def images_with_channels_first_need_no_convolution(folder):
    """The columns of the first dense layer have the order of the data there, (C, H, W), in both directions."""
    random = numpy.random.default_rng(4)
    x = random.normal(size=(24, 3, 3, 3)).astype("f4")
    harness.write_arrays(folder / "data.h5", {"x": x, "y": numpy.arange(24) % 3})
    harness.write_file(folder / "config.yaml", edited())
    words = ("--set", "data.normalize=none", "--set", "data.layout=channels_first")
    result = run_well(folder, "train", "config.yaml", *words)
    run_well(folder, "export", "run/model.h5", "-o", "out.safetensors")
    run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "out.h5")
    found = tensors_of(folder / "out.safetensors")
    hidden = numpy.maximum(x.reshape(24, 27) @ found["0-dense.weight"].T + found["0-dense.bias"], 0)
    y = numpy.exp(hidden @ found["1-dense.weight"].T + found["1-dense.bias"])
    with h5py.File(folder / "out.h5") as file:
        expected = file["probability"][()]
    result.must(numpy.allclose(y / y.sum(1, keepdims=True), expected, rtol=0, atol=1e-5), "the columns are in the order of x")
    base = model_arrays(folder / "run/model.h5")
    words = (*START, *words, "--set", "seed=9", "--init-from", "out.safetensors")
    result = run_well(folder, *words, "-o", "new").reports(INITIALIZED, "all")
    new = model_arrays(folder / "new/model.h5")
    result.must(all(new[path].tobytes() == base[path].tobytes() for path in base), "all weights are the same")
    result = run_well(folder, *words, "--set", "data.layout=channels_last", "-o", "last")
    result.reports(INITIALIZED, "0-dense/W", "0-dense.weight has another order of channels there")


def classes_in_another_order_are_found_by_name(folder):
    """The normaliser of the exported model is compared too."""
    prepare(folder, classes=["red", "green", "blue"])
    run_well(folder, "train", "config.yaml")
    run_well(folder, "export", "run/model.h5", "-o", "out.safetensors")
    prepare(folder, classes=["blue", "red", "green"])
    result = run_well(folder, *START, "--init-from", "out.safetensors", "-o", "new")
    base, new = model_arrays(folder / "run/model.h5"), model_arrays(folder / "new/model.h5")
    for path in ("4-dense/W", "4-dense/b"):
        result.must(numpy.array_equal(new[path], base[path][[2, 0, 1]]), f"the rows of {path} follow the classes")
    words = ("--init-from", "out.safetensors", "-o", "scaled", "--set", "data.normalize=scale")
    run(folder, *START, *words).exits(0).reports("warning: ", "normalised differently")


def weights_of_pytorch_give_its_outputs(folder):
    """In F32, F64, BF16 and F16, to 1e-5."""
    prepare(folder)
    for name in ("pytorch.safetensors", "pytorch.yaml"):
        shutil.copy(FIXTURE / name, folder)
    known = {name: numpy.array(values) for name, values in json.loads((FIXTURE / "pytorch.json").read_text()).items()}
    harness.write_arrays(folder / "samples.h5", {"x": known["x"].astype("f4")})
    words = ("--init-from", "pytorch.safetensors", "--init-map", "pytorch.yaml")
    result = run_well(folder, *START, *words, ranks=2).reports(INITIALIZED, "all")
    result.reports("not used of pytorch.safetensors", "unused.weight", "features.1.num_batches_tracked")
    run_well(folder, "predict", "run/model.h5", "samples.h5", "-o", "out.h5")
    with h5py.File(folder / "out.h5") as file:
        found = file["probability"][()]
    result.must(found.shape == (5, 3) and numpy.abs(found - known["probability"]).max() < 1e-5,
                f"the outputs differ: {found} {known['probability']}")
    result = run(folder, *START, *words[:2], "-o", "new").exits(4)
    result.reports("pytorch.safetensors", "none of its weights", "classifier.1.weight", "--init-map")
    result.must(not (folder / "new").exists(), "an error leaves no run")


def errors_of_a_map_are_reported_together(folder):
    prepare(folder)
    shutil.copy(FIXTURE / "pytorch.safetensors", folder)
    words = (*START, "--init-from", "pytorch.safetensors", "--init-map", "map.yaml")
    (folder / "map.yaml").write_text("4-dense/W: features.0.weight\n0-conv2d/w: features.0.weight\n0-conv2d/b: features.0.bia\n"
                                     "1-batch_norm/beta: features.1.num_batches_tracked\n")
    result = run(folder, *words, ranks=2).exits(2).reports("map.yaml:1: 4-dense/W", "(4, 2, 3, 2) F32", "(3, 24)")
    result.reports("map.yaml:2: 0-conv2d/w", "0-conv2d/W?").reports("map.yaml:3: 0-conv2d/b", "features.0.bias?")
    result.reports("map.yaml:4: 1-batch_norm/beta", "I64", "BF16")
    run(folder, *START, "--init-map", "map.yaml").exits(2).reports("--init-map map.yaml", ".safetensors")
    run(folder, *START, "--init-from", "run.h5", "--init-map", "map.yaml").exits(2).reports("--init-map map.yaml", ".safetensors")
    (folder / "map.yaml").write_text("0-conv2d/W: features.0.weight\n")
    run(folder, *words, "--init-layers", "0").exits(4).reports("--init-layers", "0-conv2d/b", "map")
    content = bytearray((folder / "pytorch.safetensors").read_bytes())
    for place, value, part in ((7, 0x80, "header"), (9, 0xff, "JSON"), (len(content) - 1, None, "truncated")):
        bad = content[:place] + (bytes([value]) + content[place + 1:] if value else b"")
        (folder / "pytorch.safetensors").write_bytes(bytes(bad))
        run(folder, *words).exits(4).reports("pytorch.safetensors", part)
    (folder / "pytorch.safetensors").unlink()
    run(folder, *words).exits(4).reports("pytorch.safetensors")
    result.must(names_in(folder) == ["config.yaml", "data.h5", "map.yaml"], "an error leaves no run")


harness.main([(function.__name__.replace("_", " "), function) for function in (
    exports_are_in_the_layout_of_pytorch, exports_start_a_run_with_the_same_bits, images_with_channels_first_need_no_convolution,
    classes_in_another_order_are_found_by_name, weights_of_pytorch_give_its_outputs,
    errors_of_a_map_are_reported_together)])
