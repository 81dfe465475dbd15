#!/usr/bin/env python3
"""Compares exported models with PyTorch: compare_pytorch.py [WORD...]

Trains small networks for an epoch, exports them to safetensors, builds the equal PyTorch modules from the metadata of these
files alone, loads the tensors (load_state_dict, strict) and compares PyTorch's outputs with those of `predict`. WORDs select
the networks whose names contain them. Prints a line for each network; exits with 1 if one differs by more than 2e-5.

Needs pip's torch, safetensors, pyyaml and h5py. Not part of the suite. LOCKSTEP is the program (build/lockstep).
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy
import torch
import torch.nn.functional as F
import yaml
from safetensors import safe_open
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("LOCKSTEP", str(ROOT / "build/lockstep"))
LIMIT = 2e-5
N, CLASSES = 48, 3
LAST = {"layer": "dense", "units": CLASSES, "activation": "softmax"}
CHANNEL_LAYERS = ("conv", "max_pool", "avg_pool", "batch_norm", "layer_norm", "global")

ACTIVATIONS = {
    "linear": lambda x, a: x, "sigmoid": lambda x, a: torch.sigmoid(x), "tanh": lambda x, a: torch.tanh(x),
    "relu": lambda x, a: F.relu(x), "leaky_relu": lambda x, a: F.leaky_relu(x, 0.01 if a is None else a),
    "elu": lambda x, a: F.elu(x, 1.0 if a is None else a), "gelu": lambda x, a: F.gelu(x),
    "softplus": lambda x, a: F.softplus(x), "softmax": lambda x, a: torch.softmax(x, 1),
}


def conv(n, **keys):
    return {"layer": f"conv{n}d", **keys}


# name -> shape of a sample with channels last, layers before the last dense layer
NETWORKS = {
    "dense": ((7,), [{"layer": "dense", "units": 9, "activation": "gelu"}]),
    "dense of images": ((4, 5, 3), [{"layer": "dense", "units": 6, "activation": "tanh"}]),
    "dense of images with channels first": ((4, 5, 3), [{"layer": "dense", "units": 6, "activation": "tanh"}]),
    "conv, norm, flatten": ((8, 9, 3), [
        conv(2, filters=6, kernel_size=[3, 2], padding="same", activation="relu"), {"layer": "batch_norm"},
        {"layer": "max_pool", "size": 2}, {"layer": "dense", "units": 11, "activation": "elu"}]),
    "norms after flatten": ((6, 6, 2), [
        conv(2, filters=4, kernel_size=3, stride=2, padding=1), {"layer": "flatten"}, {"layer": "batch_norm"},
        {"layer": "relu"}, {"layer": "layer_norm"}, {"layer": "dropout", "rate": 0.3}]),
    "grey images without channels": ((8, 8), [conv(2, filters=5, kernel_size=3, activation="leaky_relu", alpha=0.2)]),
    "groups, dilation": ((12, 4), [
        conv(1, filters=8, kernel_size=3, groups=2, dilation=2, activation="softplus"), {"layer": "batch_norm"}]),
    "volumes": ((4, 5, 6, 2), [
        conv(3, filters=3, kernel_size=[1, 2, 3], bias=False), {"layer": "avg_pool", "size": [2, 2, 1]}]),
    "residual": ((8, 8, 3), [
        {"layer": "residual", "activation": "relu", "layers": [
            conv(2, filters=6, kernel_size=3, stride=2, padding=1), {"layer": "batch_norm"}, {"layer": "relu"},
            conv(2, filters=6, kernel_size=3, padding=1)]},
        {"layer": "residual", "layers": [conv(2, filters=6, kernel_size=1), {"layer": "batch_norm"}]},
        {"layer": "global_avg_pool"}]),
    "residual of a flattened sample": ((4, 4, 2), [
        conv(2, filters=3, kernel_size=3), {"layer": "flatten"},
        {"layer": "residual", "layers": [{"layer": "batch_norm"}, {"layer": "tanh"}]},
        {"layer": "residual", "layers": [{"layer": "dense", "units": 5}]}]),
    "skip with layers": ((5, 5, 2), [
        {"layer": "residual", "skip": [conv(2, filters=4, kernel_size=3), {"layer": "batch_norm"}], "layers": [
            conv(2, filters=4, kernel_size=3, activation="tanh")]}]),
}


# -------------------------------------------------------------------- PyTorch

def sizes(value, n):
    return list(value) if isinstance(value, list) else [value] * n


def pads(layer, kernel, stride, dilation, shape):
    """(before, after) of each dim."""
    padding, n = layer.get("padding", "valid"), len(shape)
    if padding == "valid":
        return [(0, 0)] * n
    if padding == "same":
        totals = [max(((s + st - 1) // st - 1) * st + d * (k - 1) + 1 - s, 0)
                  for s, k, st, d in zip(shape, kernel, stride, dilation)]
        return [(t // 2, t - t // 2) for t in totals]
    return [tuple(p) if isinstance(p, list) else (p, p) for p in sizes(padding, n)]


def pad(x, amounts, value=0.0):
    return F.pad(x, [a for pair in reversed(amounts) for a in pair], value=value)


def alpha_of(layer):
    return float(layer["alpha"]) if layer.get("alpha") is not None else None


class Weights(nn.Module):
    """A layer with the tensors below its name."""

    def __init__(self, layer, state, path):
        super().__init__()
        self.layer, self.kind = layer, layer["layer"]
        for name in state:
            start, _, last = name.rpartition(".")
            if start == path:
                register = self.register_buffer if last.startswith("running") else self.register_parameter
                register(last, torch.empty(state[name].shape) if last.startswith("running")
                         else nn.Parameter(torch.empty(state[name].shape)))
        self.bias = getattr(self, "bias", None)

    def activate(self, x):
        return ACTIVATIONS[self.layer.get("activation", "linear")](x, alpha_of(self.layer))

    def forward(self, x):
        layer, n = self.layer, x.dim() - 2
        if self.kind == "dense":
            return self.activate(F.linear(x.flatten(1), self.weight, self.bias))
        if self.kind.startswith("conv"):
            kernel, stride, dilation = self.weight.shape[2:], sizes(layer.get("stride", 1), n), sizes(layer.get("dilation", 1), n)
            x = pad(x, pads(layer, kernel, stride, dilation, x.shape[2:]))
            function = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
            return self.activate(function(x, self.weight, self.bias, stride, 0, dilation, layer.get("groups", 1)))
        if self.kind == "batch_norm":
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=float(layer.get("eps", 1e-5)))
        if self.kind == "layer_norm":
            y = F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, float(layer.get("eps", 1e-5)))
            return y.movedim(-1, 1)
        if self.kind in ("max_pool", "avg_pool"):
            size, stride = sizes(layer["size"], n), sizes(layer.get("stride") or layer["size"], n)
            assert layer.get("padding", "valid") == "valid"
            name = self.kind.replace("pool", f"pool{n}d")
            return getattr(F, name)(x, size, stride)
        if self.kind == "global_avg_pool":
            return x.flatten(2).mean(2)
        if self.kind == "flatten":
            return x.flatten(1)
        if self.kind == "dropout":
            return x
        return ACTIVATIONS[self.kind](x, alpha_of(layer))


class Chain(nn.Module):
    def __init__(self, layers, state, prefix=""):
        super().__init__()
        for i, layer in enumerate(layers):
            name = f"{i}-{layer['layer']}"
            kind = Residual if layer["layer"] == "residual" else Weights
            self.add_module(name, kind(layer, state, prefix + name))

    def forward(self, x):
        for name, module in self.named_children():
            if name != "skip":
                x = module(x)
        return x


class AutoSkip(Weights):
    def __init__(self, state, path):
        super().__init__({"layer": "skip"}, state, path)

    def project(self, x, shape):
        if self.weight.dim() == 2:
            return F.linear(x.flatten(1), self.weight)
        stride = [-(-a // b) for a, b in zip(x.shape[2:], shape[2:])]
        return (F.conv1d, F.conv2d, F.conv3d)[x.dim() - 3](x, self.weight, None, stride)


class Residual(Chain):
    def __init__(self, layer, state, path):
        super().__init__(layer["layers"], state, path + ".")
        self.layer, self.skip = layer, None
        if isinstance(layer.get("skip"), list):
            self.skip = Chain(layer["skip"], state, path + ".skip.")
        elif f"{path}.skip.weight" in state:
            self.skip = AutoSkip(state, path + ".skip")

    def forward(self, x):
        y = super().forward(x)
        skip = x if self.skip is None else self.skip.project(x, y.shape) if isinstance(self.skip, AutoSkip) else self.skip(x)
        return ACTIVATIONS[self.layer.get("activation", "linear")](y + skip, None)


def predict(path, x):
    """The outputs of a safetensors file for samples x with channels last."""
    with safe_open(path, "pt") as file:
        metadata, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    config = yaml.safe_load(metadata["config"])
    layers, is_first = config["model"], config["data"]["layout"] == "channels_first"
    shape, normalizer = json.loads(metadata["input_shape"]), json.loads(metadata["normalizer"])
    x = (x.reshape(len(x), -1) - numpy.array(normalizer["offset"])) * numpy.array(normalizer["factor"])
    x = torch.tensor(x.astype("f4").reshape(len(x), *shape))
    spatial = next((int(layer["layer"][4]) for layer in layers for layer in layer.get("layers", [layer])
                    if layer["layer"].startswith("conv")), 0)
    if spatial == len(shape):
        x = x.unsqueeze(-1)
    if spatial or (is_first and len(shape) >= 3):
        x = x.movedim(-1, 1)
    model = Chain(layers, state).eval()
    model.load_state_dict(state, strict=True)
    with torch.no_grad():
        return model(x).numpy()


# ------------------------------------------------------------------- Lockstep

def run(folder, *words):
    result = subprocess.run([PROGRAM, *words], cwd=folder, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"$ lockstep {' '.join(words)}\n{result.stdout}{result.stderr}")
    return result.stdout


def compare(folder, name, shape, layers):
    random = numpy.random.default_rng(len(name))
    is_first = "channels first" in name
    x = (random.normal(size=(N, *shape)) * 2 + 1).astype("f4")
    with h5py.File(folder / "data.h5", "w") as file:
        file["x"], file["y"] = numpy.moveaxis(x, -1, 1) if is_first else x, numpy.arange(N) % CLASSES
    config = {"seed": 3, "output": "run", "data": {"train": "data.h5", "normalize": "standardize",
                                                           "layout": "channels_first" if is_first else "channels_last"}, "model": [*layers, LAST],
              "loss": "categorical_cross_entropy", "optimizer": {"type": "sgd", "lr": 0.1},
              "train": {"epochs": 2, "batch_size": 16}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    run(folder, "train", "config.yaml", "--overwrite", "--resume", "never")
    run(folder, "export", "run/model.h5", "-o", "model.safetensors")
    run(folder, "predict", "run/model.h5", "data.h5", "-o", "out.h5")
    with h5py.File(folder / "out.h5") as file:
        expected = file["probability"][()]
    return numpy.abs(predict(folder / "model.safetensors", x.astype("f8")) - expected).max()


def main():
    failed = 0
    for name, (shape, layers) in NETWORKS.items():
        if not all(word in name for word in sys.argv[1:]):
            continue
        with tempfile.TemporaryDirectory() as folder:
            difference = compare(pathlib.Path(folder), name, shape, layers)
        failed += not difference <= LIMIT
        print(f"{name:32} {difference:.1e} {'ok' if difference <= LIMIT else 'DIFFERS'}", flush=True)
    sys.exit(1 if failed else 0)


main()
