"""Models as ONNX: the checker of onnx accepts the files, and a small interpreter of their graphs gives what predict writes.
tests/export/compare_onnxruntime.py compares every layer and padding with ONNX Runtime, outside the suite."""

import json

import h5py
import numpy

import harness
from harness import Skip, names_in, run, run_well

try:
    import onnx
    from onnx import numpy_helper
except ImportError:
    onnx = None

CONFIG = """\
seed: 1
output: run
data: {{train: data.h5, {data}}}
model:
{layers}
loss: {loss}
optimizer: {{type: sgd, lr: 0.01}}
train: {{epochs: 1, max_steps: 3, batch_size: 8}}
"""
SAMPLES = 24
RANDOM = numpy.random.default_rng(3)
IMAGES = RANDOM.integers(0, 256, (SAMPLES, 3, 6, 5), "u1")  # channels first
FLAT = IMAGES.reshape(SAMPLES, -1)
CLASSES = numpy.arange(SAMPLES) % 3


def train(folder, x, y, layers, loss, data="normalize: standardize", attributes=None):
    names = attributes or {}
    harness.write_arrays(folder / "data.h5", {"x": (x, names.get("x", {})), "y": (y, names.get("y", {}))})
    text = CONFIG.format(data=data, loss=loss, layers="\n".join(f"  - {layer}" for layer in layers))
    (folder / "config.yaml").write_text(text)
    run_well(folder, "train", "config.yaml")


def exported(folder, model="run/model.h5", ranks=harness.ALONE):
    """The model of a run, which the checker accepts with strict inference of shapes."""
    if not onnx:
        raise Skip("the Python module onnx is missing: Debian's python3-onnx")
    run_well(folder, "export", model, "-o", "out.onnx", ranks=ranks).says("out.onnx", "ONNX")
    found = onnx.load(str(folder / "out.onnx"))
    onnx.checker.check_model(found, full_check=True)
    assert (found.ir_version, found.opset_import[0].version, found.producer_name) == (7, 13, "lockstep"), found.producer_name
    return found


def shape_of(value):
    """The type and the dims of an input or output; symbols as text."""
    tensor = value.type.tensor_type
    dims = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
    return onnx.TensorProto.DataType.Name(tensor.elem_type), dims


# -------------------------------------------------------------- an interpreter

def windows(x, attributes, fill):
    """The windows over the positions of x (N, C, ...): (N, C, outputs..., kernel...)."""
    kernel, strides, pads = attributes["kernel_shape"], attributes["strides"], attributes["pads"]
    n, dilations = len(kernel), attributes.get("dilations", [1] * len(kernel))
    x = numpy.pad(x, [(0, 0), (0, 0), *zip(pads[:n], pads[n:])], constant_values=fill)
    sizes = [d * (k - 1) + 1 for d, k in zip(dilations, kernel)]
    views = numpy.lib.stride_tricks.sliding_window_view(x, sizes, tuple(range(2, n + 2)))
    return views[(slice(None),) * 2 + tuple(slice(None, None, s) for s in strides) + tuple(slice(None, None, d) for d in dilations)]


def convolve(attributes, x, w, b=numpy.zeros(1)):
    views = windows(x, attributes, 0.0)
    n, group = len(attributes["kernel_shape"]), attributes["group"]
    parts = [numpy.tensordot(v, k, ([1, *range(n + 2, 2 * n + 2)], range(1, n + 2)))
             for v, k in zip(numpy.split(views, group, 1), numpy.split(w, group))]
    return numpy.moveaxis(numpy.concatenate(parts, -1), -1, 1) + b.reshape(-1, *[1] * n)


def normalise(attributes, x, gamma, beta, mean, variance):
    shape = (-1, *[1] * (x.ndim - 2))
    mean, scale = mean.reshape(shape), (gamma / numpy.sqrt(variance + attributes["epsilon"])).reshape(shape)
    return (x - mean) * scale + beta.reshape(shape)


def softmax(attributes, x):
    e = numpy.exp(x - x.max(attributes["axis"], keepdims=True))
    return e / e.sum(attributes["axis"], keepdims=True)


OPERATORS = {
    "Add": lambda a, x, y: x + y, "Sub": lambda a, x, y: x - y, "Mul": lambda a, x, y: x * y, "Div": lambda a, x, y: x / y,
    "ArgMax": lambda a, x: x.argmax(a["axis"]),
    "BatchNormalization": normalise,
    "Cast": lambda a, x: x.astype(onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[a["to"]]),
    "Conv": convolve,
    "Gemm": lambda a, x, w, b: x @ w.T + b,
    "Greater": lambda a, x, y: x > y,
    "Identity": lambda a, x: x,
    "MaxPool": lambda a, x: windows(x, a, -numpy.inf).max(tuple(range(x.ndim, 2 * x.ndim - 2))),
    "Relu": lambda a, x: numpy.maximum(x, 0),
    "Reshape": lambda a, x, shape: x.reshape([n or x.shape[i] for i, n in enumerate(shape)]),
    "Sigmoid": lambda a, x: 1 / (1 + numpy.exp(-x)),
    "Softmax": softmax,
    "Squeeze": lambda a, x, axes: x.squeeze(tuple(axes)),
    "Tanh": lambda a, x: numpy.tanh(x),
    "Transpose": lambda a, x: x.transpose(a["perm"]),
}


def outputs_of(model, x):
    """The outputs of the graph by name."""
    values = {"x": x, **{constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}}
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        values[node.output[0]] = OPERATORS[node.op_type](attributes, *(values[name] for name in node.input))
    return {output.name: values[output.name] for output in model.graph.output}


def compare(folder, model, x):
    """The outputs are those of predict, also of a single sample."""
    run_well(folder, "predict", "run/model.h5", "data.h5", "-o", "p.h5")
    found, first = outputs_of(model, x), outputs_of(model, x[:1])
    with h5py.File(folder / "p.h5") as file:
        assert list(found) == sorted(file, reverse=True), (list(found), list(file))
        for name, value in found.items():
            expected = file[name][()]
            assert value.shape == expected.shape, (name, value.shape, expected.shape)
            assert numpy.abs(value - expected).max() <= 2e-5 * numpy.abs(expected).mean(), name
            assert numpy.abs(first[name] - expected[:1]).max() <= 2e-5 * numpy.abs(expected).mean(), name


# ------------------------------------------------------------------------ tests

def convolutions(folder):
    layers = ["{layer: conv2d, filters: 6, kernel_size: 3, groups: 3, padding: same, stride: [2, 1], dilation: [1, 2], "
              "activation: relu}",
              "{layer: residual, activation: relu, layers: [{layer: conv2d, filters: 4, kernel_size: 3, padding: [[2, 0], [0, 2]]}, "
              "{layer: batch_norm}]}",
              "{layer: max_pool, size: 2, padding: same}", "{layer: dropout}", "{layer: flatten}", "{layer: tanh}",
              "{layer: dense, units: 3, activation: softmax}"]
    train(folder, IMAGES, CLASSES, layers, "categorical_cross_entropy", "normalize: standardize, layout: channels_first",
          {"y": {"classes": ["a", 'the "b"', "ü\\"]}})
    model = exported(folder)
    assert shape_of(model.graph.input[0]) == ("UINT8", ["N", 3, 6, 5])
    assert [(o.name, *shape_of(o)) for o in model.graph.output] == [("probability", "FLOAT", ["N", 3]), ("class", "INT64", ["N"])]
    assert json.loads({p.key: p.value for p in model.metadata_props}["classes"]) == ["a", 'the "b"', "ü\\"]
    assert "Transpose" not in [node.op_type for node in model.graph.node]  # W of the dense layer has the order of the channels
    compare(folder, model, IMAGES)


def images_without_channels(folder):
    """The input has the shape of the samples in the file."""
    x = IMAGES[:, 0].astype("f8")
    train(folder, x, numpy.stack([CLASSES > 0, CLASSES > 1], 1).astype("f4"),
          ["{layer: conv2d, filters: 2, kernel_size: 3}", "{layer: dense, units: 2, activation: sigmoid}"], "binary_cross_entropy")
    model = exported(folder)
    assert shape_of(model.graph.input[0]) == ("FLOAT", ["N", 6, 5])
    assert shape_of(model.graph.output[1]) == ("INT64", ["N", 2])
    compare(folder, model, x.astype("f4"))


def two_classes(folder):
    train(folder, RANDOM.normal(size=(SAMPLES, 4)).astype("f4"), (CLASSES > 1).astype("f4"),
          ["{layer: dense, units: 1, activation: sigmoid}"], "binary_cross_entropy", "normalize: none",
          {"x": {"features": ["a", "b", "c", "d"]}})
    model = exported(folder)
    assert [shape_of(o) for o in model.graph.output] == [("FLOAT", ["N", 1]), ("INT64", ["N"])]
    assert json.loads({p.key: p.value for p in model.metadata_props}["features"]) == ["a", "b", "c", "d"]
    with h5py.File(folder / "data.h5") as file:
        compare(folder, model, file["x"][()])


def values_far_from_zero(folder):
    """Numbers that float32 does not represent, and targets in their units."""
    for type_, name in ("i8", "INT64"), ("f8", "DOUBLE"):
        check_type_of_values(folder / type_, (RANDOM.integers(0, 1000, (SAMPLES, 4)) + 10**12).astype(type_), name)


def check_type_of_values(folder, x, name):
    folder.mkdir()
    train(folder, x, RANDOM.normal(size=(SAMPLES, 2)) + 1e6, ["{layer: dense, units: 2, activation: tanh}", "{layer: dense, units: 2}"],
          "mse", "normalize: standardize, standardize_targets: true")
    model = exported(folder)
    assert shape_of(model.graph.input[0]) == (name, ["N", 4])
    assert [(o.name, *shape_of(o)) for o in model.graph.output] == [("y", "DOUBLE", ["N", 2])]
    compare(folder, model, x)


def a_checkpoint_and_ranks(folder):
    """A checkpoint and its model give the same bytes, alone and under mpirun."""
    train(folder, FLAT, CLASSES, ["{layer: dense, units: 3, activation: softmax}"], "categorical_cross_entropy")
    checkpoint = next((folder / "run/checkpoints").glob("step-*.h5"))
    found = []
    for path, ranks in ("run/model.h5", harness.ALONE), (checkpoint, 1), ("run/model.h5", 3):
        run_well(folder, "export", path, "-o", "out.onnx", ranks=ranks)
        found.append((folder / "out.onnx").read_bytes())
    assert found[0] == found[1] == found[2]


def bad_input(folder):
    """Rejected with the reason; the output and the folder stay as they were."""
    train(folder, FLAT, CLASSES, ["{layer: dense, units: 3, activation: softmax}"], "categorical_cross_entropy")
    (folder / "a folder.onnx").mkdir()
    (folder / "kept.onnx").write_text("kept")
    (folder / "cut.h5").write_bytes((folder / "run/model.h5").read_bytes()[:-100])
    before = names_in(folder)
    for model, output, code, parts in (
            ("none.h5", "kept.onnx", 4, ("none.h5",)), ("data.h5", "kept.onnx", 4, ("data.h5",)),
            ("cut.h5", "kept.onnx", 4, ("cut.h5",)), ("run/model.h5", "out.pt", 2, ("out.pt", ".onnx")),
            ("run/model.h5", None, 2, ("-o",)), ("run/model.h5", "none/out.onnx", 5, ("none/out.onnx",)),
            ("run/model.h5", "a folder.onnx", 5, ("a folder.onnx",))):
        words = ["-o", output] if output else []
        for ranks in (harness.ALONE, 2) if code == 5 else (harness.ALONE,):
            run(folder, "export", model, *words, ranks=ranks).exits(code).reports("lockstep: error:", *parts)
    (folder / "model.onnx").symlink_to("run/model.h5")
    run(folder, "export", "run/model.h5", "-o", "model.onnx").exits(2).reports("model.onnx", "is the model")
    assert (folder / "kept.onnx").read_text() == "kept" and names_in(folder) == sorted([*before, "model.onnx"])


TESTS = (convolutions, images_without_channels, two_classes, values_far_from_zero, a_checkpoint_and_ranks, bad_input)

if __name__ == "__main__":
    harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
