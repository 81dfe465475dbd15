#!/usr/bin/env python3
"""Compares exported models with `lockstep predict`: the outputs of ONNX Runtime on the data as they are stored, at batch sizes
1, 7 and 203. Covers every variant of a layer in the conformance test (tests/unit/test_layer.c), alone and before a dense layer,
and models with other geometries, types, normalisers, losses and layouts. The largest difference must be at most 2e-5, relative
to the larger of the number itself and the mean magnitude of the outputs; the classes must be equal. Returns 1 if one differs.
Needs h5py, numpy, onnx and onnxruntime (of pip); LOCKSTEP names the program.

    tests/export/compare_onnxruntime.py [WORD...]    with words, only the cases whose names contain all of them
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy
    import onnx
    import onnxruntime
except ImportError as error:
    sys.exit(f"{error}: install h5py, numpy, onnx and onnxruntime, for example by pip")

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("LOCKSTEP", str(ROOT / "build/lockstep"))
LIMIT = 2e-5
SAMPLES = 203
N_IN = 6  # as in the conformance test

CONFIG = """\
seed: 3
output: run
data: {{train: data.h5{data}}}
model:
{layers}
loss: {loss}
optimizer: {{type: sgd, lr: 0.001}}
train: {{epochs: 1, batch_size: 32, max_steps: 4}}
"""


def variants():
    """The lines of the conformance test: (type, layer, shape of a sample)."""
    source = (ROOT / "tests/unit/test_layer.c").read_text()
    table = source[source.index("} variants[] = {"):]
    table = table[:table.index("\n};")]
    pattern = r'\{"(\w+)",\s*((?:"[^"]*"\s*)+),\s*(?:true|false),\s*(SIGNAL|\{\d, \{[^}]*\}\})\}'
    found = re.findall(pattern, table)
    if len(found) != len(re.findall(r'^    \{"\w+",', table, re.MULTILINE)):
        sys.exit("tests/unit/test_layer.c: a line of `variants` cannot be parsed")
    for kind, text, shape in found:
        layer = "".join(re.findall(r'"([^"]*)"', text))
        dims = [N_IN // 2, 2] if shape == "SIGNAL" else [
            N_IN if word == "N_IN" else int(word) for word in re.findall(r"\w+", shape[4:])]
        yield kind, layer, dims


class Case:
    def __init__(self, name, layers, shape, loss="mse", outputs=None, type_="f4", data="", bias=True, scale=1.0, offset=0.0):
        self.name, self.layers, self.shape, self.loss, self.data = name, layers, shape, loss, data
        self.type, self.scale, self.offset, self.outputs = type_, scale, offset, outputs

    def arrays(self):
        random = numpy.random.default_rng(11)
        x = random.normal(size=(SAMPLES, *self.shape)) * self.scale + self.offset
        if numpy.dtype(self.type).kind in "iu":
            x = numpy.clip(x, numpy.iinfo(self.type).min, numpy.iinfo(self.type).max)
        kinds = {"categorical_cross_entropy": lambda k: random.integers(0, k, SAMPLES),
                 "binary_cross_entropy": lambda k: random.integers(0, 2, (SAMPLES, k)).astype("f4").squeeze(axis=1 if k == 1 else ()),
                 "mse": lambda k: random.normal(size=(SAMPLES, k)) * 0.5 + 1.0}
        return x.astype(self.type), kinds[self.loss](self.outputs)


def biased(layer):
    """The layer with biases that are not 0."""
    return re.sub(r"\{layer: (dense|conv\dd),(?![^{}]*bias)", r"{layer: \1, bias_init: normal,", layer)


def layer_cases():
    for kind, layer, shape in variants():
        for after in ["{layer: dense, units: 3}"], ["{layer: flatten}", "{layer: batch_norm}", "{layer: dense, units: 2}"], []:
            ends = re.findall(r"softmax", layer) and not re.search(r"softmax\}, ", layer)
            if after or not ends:
                name = f"{layer}, {shape}" + (f", then {after[0].split()[1]}".rstrip("}") if after else "")
                yield Case(name, [biased(layer), *map(biased, after)], shape)


IMAGE = "{layer: conv2d, filters: 6, kernel_size: 3, padding: same, activation: relu}"


def geometry_cases():
    conv, pool = "{{layer: conv{}d, filters: {}, kernel_size: {}{}}}", "{{layer: {}, size: {}{}}}"
    windows = [
        (1, [11, 4], conv.format(1, 8, 3, ", stride: 2, padding: [[2, 0]], dilation: 2, groups: 2, activation: relu")),
        (2, [9, 8, 4], conv.format(2, 4, 3, ", groups: 4, padding: same, stride: 2")),
        (2, [9, 8, 4], conv.format(2, 8, 3, ", groups: 4, padding: same, activation: gelu")),
        (2, [9, 8, 4], conv.format(2, 5, "[3, 2]", ", padding: [[0, 2], [1, 0]], dilation: [1, 3], stride: [2, 1]")),
        (2, [9, 8, 32], conv.format(2, 32, 3, ", padding: same, activation: softmax")),
        (3, [5, 6, 4, 3], conv.format(3, 6, "[3, 2, 1]", ", stride: [2, 1, 1], padding: same, groups: 3, dilation: [1, 2, 1]")),
        (2, [9, 8, 3], pool.format("max_pool", 3, ", stride: 2, padding: same")),
        (2, [10, 8, 3], pool.format("max_pool", 2, ", stride: 3, padding: [[0, 1], [1, 1]]")),
        (2, [10, 10, 3], pool.format("avg_pool", 2, ", stride: 4, padding: [[0, 1], [1, 2]]")),
        (2, [9, 8, 3], pool.format("avg_pool", "[3, 2]", ", stride: 1, padding: same")),
        (2, [9, 8, 3], pool.format("avg_pool", 3, ", stride: 2, padding: [[1, 0], [0, 2]], count_padding: true")),
        (1, [9, 3], pool.format("avg_pool", 2, ", padding: 1")),
        (3, [5, 6, 4, 3], pool.format("max_pool", 2, ", padding: same")),
        (3, [5, 6, 4, 3], pool.format("avg_pool", 2, ", padding: same")),
        (3, [5, 6, 4, 3], "{layer: global_avg_pool}"),
        (2, [9, 8, 3], "{layer: global_max_pool}"),
        (2, [9, 8, 3], "{layer: batch_norm}"),
        (2, [9, 8, 3], "{layer: layer_norm}"),
    ]
    for n_dims, shape, layer in windows:
        first = f"{{layer: conv{n_dims}d, filters: {shape[-1]}, kernel_size: 1, activation: tanh}}"
        for before in [], [first]:
            name = f"{layer}, {shape}" + (", after a convolution" if before else "")
            yield Case(name, [biased(text) for text in (*before, layer, "{layer: dense, units: 3}")], shape)
    block = "{layer: residual, activation: relu, layers: [%s, {layer: batch_norm}]}"
    chains = {
        "conv, batch_norm, relu, pool, dense": [IMAGE, "{layer: batch_norm}", "{layer: relu}", "{layer: max_pool, size: 2}"],
        "conv, flatten, dropout, gelu": [IMAGE, "{layer: flatten}", "{layer: dropout}", "{layer: gelu}"],
        "conv, flatten, softmax": [IMAGE, "{layer: flatten}", "{layer: softmax}"],
        "conv, flatten, layer_norm": [IMAGE, "{layer: flatten}", "{layer: layer_norm}"],
        "conv, layer_norm, softmax": [IMAGE, "{layer: layer_norm}", "{layer: softmax}"],
        "residual of convolutions": [IMAGE, block % IMAGE, block % IMAGE.replace("6", "4").replace("same", "same, stride: 2")],
        "residual of a flat list": [IMAGE, "{layer: residual, layers: [{layer: flatten}, {layer: tanh}]}"],
        "residual of a dense layer": [IMAGE, "{layer: residual, layers: [{layer: dense, units: 432}], activation: elu}"],
        "residual in a residual": [IMAGE, "{layer: residual, layers: [%s, {layer: dropout}]}" % (block % IMAGE)],
    }
    for name, layers in chains.items():
        yield Case(name, [biased(text) for text in (*layers, "{layer: dense, units: 3}")], [9, 8, 3])
        yield Case(f"{name}, as output", [biased(text) for text in (*layers, "{layer: linear}")], [9, 8, 3])


def file_cases():
    hidden = "{layer: dense, units: 5, activation: tanh}"
    for type_, scale, offset in (("u1", 60, 128), ("i1", 40, 0), ("i2", 9000, 0), ("u2", 9000, 30000), ("i4", 1e3, 2e9),
                                 ("u4", 1e3, 4e9), ("i8", 1e3, 1e12), ("f4", 3, 1), ("f2", 3, 1), ("f8", 3, 1), ("f8", 2, 1e8)):
        for normalize in ", normalize: standardize", ", normalize: scale", "":
            if abs(offset) < 1e6 or normalize:
                yield Case(f"{type_}{normalize}", [biased(hidden), "{layer: dense, units: 2}"], [5], type_=type_,
                           data=normalize, scale=scale, offset=offset)
    channel = ", normalize: {type: standardize, per: channel}"
    first = ", layout: channels_first"
    image = [IMAGE, "{layer: max_pool, size: 2}", "{layer: dense, units: 3}"]
    for data in "", channel, ", normalize: standardize", ", normalize: scale":
        yield Case(f"image{data}", image, [9, 8, 3], type_="u1", scale=60, offset=128, data=data)
        yield Case(f"image{data}{first}", image, [3, 9, 8], type_="u1", scale=60, offset=128, data=data + first)
    yield Case("image without channels", image, [9, 8], type_="u1", scale=60, offset=128)
    yield Case("image in flat rows", image, [72], type_="u1", scale=60, offset=128, data=", shape: [9, 8, 1]")
    yield Case("image, channels first, dense", ["{layer: dense, units: 3}"], [3, 9, 8], data=first + ", normalize: standardize")
    losses = [("categorical_cross_entropy", 4, "softmax"), ("binary_cross_entropy", 1, "sigmoid"),
              ("binary_cross_entropy", 3, "sigmoid"), ("mse", 2, "linear"), ("mse", 1, "sigmoid")]
    for loss, k, activation in losses:
        last = f"{{layer: dense, units: {k}, activation: {activation}}}"
        yield Case(f"{loss} of {k}", [hidden, last], [5], loss=loss, outputs=k)
        yield Case(f"{loss} of {k}, activation as a layer", [hidden, last.replace(activation, "linear"), f"{{layer: {activation}}}"],
                   [5], loss=loss, outputs=k)
        yield Case(f"{loss} of {k}, convolution", [IMAGE, last], [9, 8, 3], loss=loss, outputs=k)
    for k in 1, 3:
        yield Case(f"standardised targets, {k}", [hidden, f"{{layer: dense, units: {k}}}"], [5], outputs=k,
                   data=", standardize_targets: true, normalize: standardize")


# ---------------------------------------------------------------------- one case

def lockstep(folder, *words):
    done = subprocess.run([PROGRAM, *words], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise AssertionError(f"lockstep {' '.join(words)}: exit code {done.returncode}\n{done.stdout[-500:]}{done.stderr}")
    return done.stdout


def find_outputs(case, folder):
    """The number of outputs of the model, from the message that rejects other targets."""
    if case.outputs is None:
        (folder / "config.yaml").write_text(config_of(case))
        with h5py.File(folder / "data.h5", "w") as file:
            file["x"], file["y"] = numpy.zeros((4, *case.shape), case.type), numpy.zeros((4, 999))
        done = subprocess.run([PROGRAM, "check", "config.yaml"], cwd=folder, capture_output=True, text=True)
        found = re.search(r"must have (\d+), the outputs of the model", done.stderr)
        if not found:
            raise AssertionError(f"no number of outputs in: {done.stdout}{done.stderr}")
        case.outputs = int(found[1])


def config_of(case):
    layers = "\n".join(f"  - {layer}" for layer in case.layers)
    return CONFIG.format(data=case.data, layers=layers, loss=case.loss)


def difference(found, expected):
    """The largest difference, relative to the number itself or the mean magnitude of all."""
    if found.shape != expected.shape:
        raise AssertionError(f"shape {found.shape}, expected {expected.shape}")
    scale = numpy.maximum(numpy.abs(expected), numpy.abs(expected).mean())
    return float((numpy.abs(found.astype("f8") - expected) / numpy.maximum(scale, 1e-30)).max())


def run_graph(session, x, size):
    rows = [session.run(None, {"x": x[i:i + size]}) for i in range(0, len(x), size)]
    return [numpy.concatenate(parts) for parts in zip(*rows)]


def compare(case, folder):
    find_outputs(case, folder)
    x, y = case.arrays()
    with h5py.File(folder / "data.h5", "w") as file:
        file["x"], file["y"] = x, y
    (folder / "config.yaml").write_text(config_of(case))
    lockstep(folder, "train", "config.yaml")
    lockstep(folder, "predict", "run/model.h5", "data.h5", "-o", "out.h5")
    lockstep(folder, "export", "run/model.h5", "-o", "out.onnx")
    onnx.checker.check_model(str(folder / "out.onnx"), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(folder / "out.onnx"), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    dims, wanted = session.get_inputs()[0].shape[1:], session.get_inputs()[0].type
    kinds = {"tensor(float)": "f4", "tensor(uint8)": "u1", "tensor(int8)": "i1", "tensor(int16)": "i2", "tensor(uint16)": "u2",
             "tensor(int32)": "i4", "tensor(uint32)": "u4", "tensor(int64)": "i8", "tensor(double)": "f8"}
    with h5py.File(folder / "out.h5") as file:
        expected = [file[f"/{name}"][()] for name in names]
        if set(file) != set(names):
            raise AssertionError(f"outputs {names}, but predict writes {sorted(file)}")
    if list(dims) != list(case.shape):
        raise AssertionError(f"the input has the shape {dims}, the samples {case.shape}")
    if numpy.dtype(case.type).kind in "iu" and kinds[wanted] != case.type:
        raise AssertionError(f"the input has the type {wanted}, the samples {case.type}")
    worst = 0.0
    for size in 1, 7, SAMPLES:
        found = run_graph(session, x.astype(kinds[wanted]), size)
        worst = max(worst, difference(found[0], expected[0]))
        if len(names) > 1 and not numpy.array_equal(found[1], expected[1]):
            raise AssertionError("the classes differ")
    if not worst <= LIMIT:
        raise AssertionError(f"largest relative difference {worst:.2e}")
    return worst


def attempt(case):
    with tempfile.TemporaryDirectory(prefix="lockstep-onnx-") as folder:
        try:
            return case.name, compare(case, pathlib.Path(folder)), None
        except Exception as error:  # of any library: the case fails
            return case.name, None, f"{type(error).__name__}: {error}"


def main():
    words = sys.argv[1:]
    cases = [case for cases in (layer_cases(), geometry_cases(), file_cases()) for case in cases
             if all(word in case.name for word in words)]
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    worst, where, failures = 0.0, "", 0
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for name, value, error in pool.map(attempt, cases):
            failures += error is not None
            if value is not None and value > worst:
                worst, where = value, name
            if error:
                print(f"FAILED {name}\n  {error}", flush=True)
    print(f"{len(cases) - failures} equal, {failures} not; largest relative difference {worst:.1e} ({where}), at most {LIMIT}")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
