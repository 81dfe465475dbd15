"""Compares liblockstep-infer with onnxruntime, one thread each: a dense and a convolutional net, 1, 32 and 1,024 samples
per call. Both are measured in turn, in short turns, of which the fastest count. The cost of a call of onnxruntime from Python, as a net of one addition has it, is
subtracted from its times.

  python3 tests/bench/infer.py [SECONDS]     of each measurement, default 5

needs numpy, h5py, onnx and onnxruntime (pip), and build/tests/bench/bench_infer."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import h5py
import numpy
import onnx
import onnxruntime
from onnx import helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LOCKSTEP_BUILD", ROOT / "build"))
SAMPLES = (1, 32, 1024)
TURN = 0.005  # seconds, at least

NETS = {
    "784-512-512-10": ((784,), """
      - {layer: dense, units: 512, activation: relu}
      - {layer: dense, units: 512, activation: relu}
      - {layer: dense, units: 10, activation: softmax}"""),
    "conv 32-64, dense 128-10": ((28, 28, 1), """
      - {layer: conv2d, filters: 32, kernel_size: 3, padding: same, activation: relu}
      - {layer: max_pool, size: 2}
      - {layer: conv2d, filters: 64, kernel_size: 3, padding: same, activation: relu}
      - {layer: max_pool, size: 2}
      - {layer: dense, units: 128, activation: relu}
      - {layer: dense, units: 10, activation: softmax}"""),
}


def write_model(folder, shape, layers):
    """The initial state of a net, as Lockstep writes it."""
    with h5py.File(folder / "data.h5", "w") as file:
        file["x"] = numpy.random.default_rng(1).random((20, *shape), dtype="f4")
        file["y"] = numpy.arange(20) % 10
    (folder / "net.yaml").write_text(f"output: run\ndata: {{train: data.h5, normalize: none}}\nmodel:{layers}\n"
                                     "loss: categorical_cross_entropy\noptimizer: {type: sgd, lr: 0.1}\n"
                                     "train: {epochs: 1, batch_size: 20, max_steps: 0}\n")
    subprocess.run([BUILD / "lockstep", "train", "net.yaml"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "run/model.h5"


def export(path, shape):
    """The same net as ONNX, with the layout that onnxruntime prefers: channels first."""
    nodes, weights, name, side = [], [], "x", shape[0]
    with h5py.File(path) as file:
        layers = sorted(file["model"], key=lambda layer: int(layer.split("-")[0]))
        values = {layer: {key: file[f"model/{layer}/{key}"][:] for key in file[f"model/{layer}"]} for layer in layers}
    if len(shape) == 3:
        name = add(nodes, "Reshape", [name, constant(weights, numpy.array([-1, 1, side, side]))])
    for layer in layers:
        w, b = values[layer]["W"], constant(weights, values[layer]["b"])
        if w.ndim == 4:
            inputs = [name, constant(weights, w.transpose(0, 3, 1, 2).copy()), b]
            name = add(nodes, "Relu", [add(nodes, "Conv", inputs, pads=[1, 1, 1, 1])])
            name, side, channels = add(nodes, "MaxPool", [name], kernel_shape=[2, 2], strides=[2, 2]), side // 2, len(w)
            continue
        if len(shape) == 3 and layer == next(key for key in layers if "dense" in key):
            w = w.reshape(len(w), side, side, channels).transpose(0, 3, 1, 2).reshape(len(w), -1).copy()
            name = add(nodes, "Flatten", [name])
        name = add(nodes, "Gemm", [name, constant(weights, w), b], transB=1)
        name = add(nodes, "Softmax" if layer == layers[-1] else "Relu", [name])
    return session(nodes, weights, name, int(numpy.prod(shape)))


def constant(weights, value):
    weights.append(numpy_helper.from_array(value, f"w{len(weights)}"))
    return weights[-1].name


def add(nodes, kind, inputs, **attributes):
    nodes.append(helper.make_node(kind, inputs, [f"{kind}{len(nodes)}"], **attributes))
    return nodes[-1].output[0]


def session(nodes, weights, name, n_in):
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", n_in])],
                              [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def seconds_of(net, x, calls):
    start = time.perf_counter()
    for _ in range(calls):
        net.run(None, {"x": x})
    return (time.perf_counter() - start) / calls


def compare(name, shape, layers, seconds):
    with tempfile.TemporaryDirectory() as folder:
        path = write_model(pathlib.Path(folder), shape, layers)
        peer = export(path, shape)
        nothing = session([helper.make_node("Identity", ["x"], ["y"])], [], "y", 1)
        with subprocess.Popen([BUILD / "tests/bench/bench_infer", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as ours:
            for n in SAMPLES:
                x = numpy.random.default_rng(2).random((n, int(numpy.prod(shape))), dtype="f4")
                calls, times = max(1, int(TURN / seconds_of(peer, x, 3))), []
                end = time.monotonic() + seconds
                while len(times) < 3 or time.monotonic() < end:
                    ours.stdin.write(f"{n} {calls}\n")
                    ours.stdin.flush()
                    own = float(ours.stdout.readline())
                    times.append((own, seconds_of(peer, x, calls), seconds_of(nothing, x[:, :1].copy(), calls)))
                own, other, cost = map(min, zip(*times))
                other -= cost
                print(f"{name}, {n} samples: {own * 1e6:.0f} us, onnxruntime {other * 1e6:.0f} us, ratio {other / own:.2f}",
                      flush=True)
            ours.stdin.close()


if __name__ == "__main__":
    for net, (size, text) in NETS.items():
        compare(net, size, text, float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
