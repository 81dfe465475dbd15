#!/usr/bin/env python3
"""Writes layer_fixtures.h: small nets with norms, residuals, activations, convolutions and pooling, as PyTorch computes
them.

Needs torch==2.13.0 and keras==3.15.1 (`pip install torch==2.13.0 keras==3.15.1`). The tests never run it: they read the
layer_fixtures.h that is kept beside it. Run it again, from any folder, after a change here, and commit both.

Of each net, in training and then in prediction: outputs, the gradients of L = sum c y for given c in parameters and
input, and the running averages before and after training. All in double, from float32 numbers. Convolutions and
maxima with the padding `same` must also agree with Keras (whose averages on the torch backend are replicated at borders).

Of each path, the parameters after some steps of gradient descent on the mean of 1/2 sum (y - t)^2.
"""
import math
import os
import pathlib

import torch
import torch.nn.functional as F

os.environ["KERAS_BACKEND"] = "torch"
import keras  # noqa: E402

ROWS = 7
CONV_ROWS = 2
F64 = torch.float64
STEPS, RATE = 8, 0.05

# name, inputs, layers: a layer's map as Lockstep takes it. Inputs are a number of features, or a shape.
NETS = [
    ("norm", 4, [{"layer": "batch_norm"}]),
    ("norm_between", 5, [
        {"layer": "dense", "units": 6, "activation": "linear", "bias": False},
        {"layer": "batch_norm", "momentum": 0.3, "eps": 0.01},
        {"layer": "relu"},
        {"layer": "dense", "units": 3, "activation": "linear"},
        {"layer": "batch_norm"},
    ]),
    ("identity", 4, [
        {"layer": "residual", "layers": [
            {"layer": "dense", "units": 6, "activation": "tanh"},
            {"layer": "dense", "units": 4, "activation": "linear"},
        ]},
        {"layer": "sigmoid"},
    ]),
    ("skip", 5, [
        {"layer": "dense", "units": 6, "activation": "gelu"},
        {"layer": "residual", "layers": [
            {"layer": "batch_norm"},
            {"layer": "softplus"},
            {"layer": "residual", "layers": [{"layer": "dense", "units": 6, "activation": "elu", "alpha": 0.7}]},
            {"layer": "dense", "units": 4, "activation": "linear"},
        ]},
        {"layer": "residual", "layers": [{"layer": "batch_norm"}]},
    ]),
    ("smooth", 6, [
        {"layer": "dense", "units": 7, "activation": "elu"},
        {"layer": "gelu"},
        {"layer": "dense", "units": 6, "activation": "softplus"},
        {"layer": "elu", "alpha": 0.5},
        {"layer": "dense", "units": 5, "activation": "gelu"},
    ]),
]


def conv(dims, filters, kernel, **keys):
    return {"layer": f"conv{dims}d", "filters": filters, "kernel_size": kernel, **keys}


# Kernels and strides, even and odd, over sizes that they do not divide.
for kernel, stride in ((1, 1), (2, 1), (2, 3), (3, 2), (4, 2), (5, 3)):
    NETS.append((f"conv2d_k{kernel}_s{stride}", (7, 6, 2), [conv(2, 3, kernel, stride=stride)]))
    NETS.append((f"same_k{kernel}_s{stride}", (7, 6, 2), [conv(2, 3, kernel, stride=stride, padding="same")]))
    NETS.append((f"pools_k{kernel}_s{stride}", (7, 6, 2), [
        {"layer": "max_pool", "size": kernel, "stride": stride, "padding": "same"},
        {"layer": "avg_pool", "size": 2, "stride": 1, "padding": "same"},
    ]))
# 1x1 kernels of stride 2.
for channels in range(1, 16):
    NETS.append((f"point_{channels}", (3, 3, channels), [conv(2, 2, 1, stride=2)]))
NETS += [
    ("conv1d", (11, 2), [conv(1, 5, 3, dilation=2, padding=[[1, 3]], activation="tanh"),
                         conv(1, 17, 4, stride=2, bias=False)]),
    ("signal", (12,), [conv(1, 3, 5, stride=3, padding=2), {"layer": "global_max_pool"}]),
    ("conv3d", (4, 3, 5, 2), [conv(3, 3, [2, 3, 2], padding=[1, 0, 1], stride=[1, 1, 2], activation="gelu"),
                              {"layer": "avg_pool", "size": [2, 1, 3], "stride": 1, "padding": [1, 0, 1],
                               "count_padding": True},
                              conv(3, 2, 2, padding="same", dilation=[1, 1, 2])]),
    ("dilated", (9, 8, 3), [conv(2, 4, [3, 2], dilation=[2, 3], padding=[[2, 0], [1, 2]], activation="softplus")]),
    ("groups", (5, 4, 6), [conv(2, 4, 3, groups=2, padding=1, activation="elu"),
                           conv(2, 4, 2, groups=4, stride=2, padding="same"), conv(2, 6, 1, groups=2)]),
    ("depthwise", (6, 5, 3), [conv(2, 3, 3, groups=3, stride=2, padding=1), conv(2, 6, 2, groups=3)]),
    ("lanes_of_16", (4, 4, 3), [conv(2, 33, 2, padding=[[1, 0], 0], activation="relu"), conv(2, 16, [1, 2])]),
    ("grey", (6, 6), [conv(2, 2, 3, padding="same", activation="sigmoid"), {"layer": "flatten"},
                      {"layer": "dense", "units": 3, "activation": "linear"}]),
    ("borders", (5, 4, 2), [{"layer": "max_pool", "size": 3, "stride": 2, "padding": 1},
                            {"layer": "global_avg_pool"}]),
    ("asymmetric", (6, 5, 2), [{"layer": "max_pool", "size": [3, 2], "stride": 1, "padding": [[2, 0], [0, 1]]},
                               {"layer": "avg_pool", "size": 3, "padding": [[1, 2], [0, 1]]}]),
    ("norms", (4, 3, 5), [{"layer": "batch_norm"}, conv(2, 4, 2), {"layer": "layer_norm", "eps": 0.01}, {"layer": "softplus"},
                          {"layer": "batch_norm", "momentum": 0.4}]),
    ("features", 6, [{"layer": "layer_norm"}]),
    ("block", (6, 5, 3), [{"layer": "residual", "activation": "relu", "layers": [
        conv(2, 4, 3, stride=2, padding=1, bias=False), {"layer": "batch_norm"}, {"layer": "relu"},
        conv(2, 4, 3, padding="same", bias=False), {"layer": "batch_norm"}]},
                          {"layer": "residual", "activation": "gelu", "layers": [conv(2, 4, 3, padding="same")]}]),
    ("skips", (8, 2), [{"layer": "residual", "activation": "tanh", "layers": [conv(1, 3, 2, stride=2)], "skip": [
        {"layer": "avg_pool", "size": 2}, conv(1, 3, 1, bias=False), {"layer": "batch_norm"}]},
                       {"layer": "global_avg_pool"},
                       {"layer": "residual", "layers": [{"layer": "dense", "units": 2, "activation": "linear"}]}]),
]

# The kernels that shapes select: pooling over squares of 2 x 2, Winograd's algorithm, and relu applied by batch norm, also
# at the end of a skip.
NETS += [
    ("squares", (7, 6, 3), [{"layer": "max_pool", "size": 2}]),
    ("negative", (5, 4, 2), [{"layer": "max_pool", "size": 3, "stride": 2, "padding": [1, [1, 0]]}]),
    ("winograd", (5, 4, 16), [conv(2, 17, 3, padding=[[2, 0], 1], activation="relu")]),
    ("skip_relu", (4, 3, 3), [{"layer": "residual", "activation": "relu", "layers": [conv(2, 4, 1), {"layer": "batch_norm"}],
                               "skip": [conv(2, 4, 3, padding=1, bias=False), {"layer": "batch_norm"}, {"layer": "relu"}]},
                              {"layer": "residual", "layers": [conv(2, 4, 1, activation="tanh")], "skip": [{"layer": "relu"}]}]),
    ("relu_at_the_end", (3, 2, 4), [conv(2, 3, 2), {"layer": "batch_norm"}, {"layer": "relu"}]),
]

# name, inputs, layers
PATHS = [
    ("image_path", (8, 8, 1), [
        conv(2, 6, 3, padding="same", activation="tanh"), {"layer": "max_pool", "size": 2},
        conv(2, 8, 3, padding=1, stride=2, bias=False), {"layer": "batch_norm"}, {"layer": "softplus"},
        {"layer": "global_avg_pool"}, {"layer": "dense", "units": 3, "activation": "linear"}]),
    ("signal_path", (20, 2), [
        {"layer": "residual", "activation": "tanh", "layers": [
            conv(1, 6, 5, padding="same"), {"layer": "layer_norm"}, {"layer": "gelu"}, conv(1, 6, 3, padding="same")]},
        {"layer": "avg_pool", "size": 3, "padding": "same"}, conv(1, 6, 4, groups=6),
        {"layer": "dense", "units": 2, "activation": "linear"}]),
    ("winograd_path", (6, 6, 2), [
        conv(2, 16, 3, padding="same", bias=False), {"layer": "batch_norm"}, {"layer": "relu"},
        {"layer": "residual", "activation": "relu", "layers": [conv(2, 16, 3, padding=1, bias=False), {"layer": "batch_norm"}]},
        {"layer": "max_pool", "size": 2}, {"layer": "global_avg_pool"}, {"layer": "tanh"},
        {"layer": "dense", "units": 2, "activation": "linear"}]),
]

ACTIVATIONS = {
    "linear": lambda layer: torch.nn.Identity(),
    "sigmoid": lambda layer: torch.nn.Sigmoid(),
    "tanh": lambda layer: torch.nn.Tanh(),
    "relu": lambda layer: torch.nn.ReLU(),
    "elu": lambda layer: torch.nn.ELU(layer.get("alpha", 1.0)),
    "gelu": lambda layer: torch.nn.GELU(),
    "softplus": lambda layer: torch.nn.Softplus(),
}


def numbers(value, n):
    return list(value) if isinstance(value, list) else [value] * n


def pads_of(padding, sizes, kernel, stride, dilation):
    """[before, after] of each dim; `same` as in TensorFlow."""
    if padding == "same":
        needed = [max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
                  for n, k, s, d in zip(sizes, kernel, stride, dilation)]
        return [[n // 2, n - n // 2] for n in needed]
    if padding == "valid":
        padding = 0
    return [p if isinstance(p, list) else [p, p] for p in numbers(padding, len(sizes))]


def padded(x, pads, value=0.0):
    """x with its channels first, padded; F.pad lists the last dim first."""
    return F.pad(x, [p for pair in reversed(pads) for p in pair], value=value)


def channels_first(x):
    return x.movedim(-1, 1)


def channels_last(x):
    return x.movedim(1, -1)


class Dense(torch.nn.Module):
    def __init__(self, layer, shape, path, blocks):
        super().__init__()
        n_in = math.prod(shape)
        self.linear = torch.nn.Linear(n_in, layer["units"], bias=layer.get("bias", True), dtype=F64)
        self.activation = ACTIVATIONS[layer["activation"]](layer)
        self.shape = (layer["units"],)
        blocks.append((f"{path}/W", self.linear.weight))
        if self.linear.bias is not None:
            blocks.append((f"{path}/b", self.linear.bias))

    def forward(self, x):
        return self.activation(self.linear(x.flatten(1)))


class Conv(torch.nn.Module):
    def __init__(self, layer, shape, path, blocks):
        super().__init__()
        self.dims = int(layer["layer"][4])
        *sizes, channels = shape if len(shape) > self.dims else (*shape, 1)
        self.layer = layer
        self.kernel = numbers(layer["kernel_size"], self.dims)
        self.stride = numbers(layer.get("stride", 1), self.dims)
        self.dilation = numbers(layer.get("dilation", 1), self.dims)
        self.groups = layer.get("groups", 1)
        self.padding = layer.get("padding", "valid")
        self.pads = pads_of(self.padding, sizes, self.kernel, self.stride, self.dilation)
        self.sizes = (*sizes, channels)
        filters = layer["filters"]
        self.weight = torch.nn.Parameter(torch.zeros(filters, *self.kernel, channels // self.groups, dtype=F64))
        blocks.append((f"{path}/W", self.weight))
        self.bias = None
        if layer.get("bias", True):
            self.bias = torch.nn.Parameter(torch.zeros(filters, dtype=F64))
            blocks.append((f"{path}/b", self.bias))
        self.activation = ACTIVATIONS[layer.get("activation", "linear")](layer)
        self.shape = tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, p, k, s, d in
                           zip(sizes, self.pads, self.kernel, self.stride, self.dilation)) + (filters,)

    def check_keras(self, x, z):
        y = keras.ops.conv(x, self.weight.movedim(0, -1), strides=self.stride, padding="same", dilation_rate=self.dilation)
        assert torch.allclose(y + (0 if self.bias is None else self.bias), z), self.layer

    def forward(self, x):
        x = x.reshape(-1, *self.sizes)
        function = (F.conv1d, F.conv2d, F.conv3d)[self.dims - 1]
        z = channels_last(function(padded(channels_first(x), self.pads), channels_first(self.weight), self.bias,
                                   self.stride, 0, self.dilation, self.groups))
        if self.padding == "same" and self.groups == 1 and (max(self.stride) == 1 or max(self.dilation) == 1):
            self.check_keras(x, z)
        return self.activation(z)


class Pool(torch.nn.Module):
    def __init__(self, layer, shape):
        super().__init__()
        *sizes, channels = shape
        dims = len(sizes)
        self.is_max = layer["layer"] == "max_pool"
        self.size = numbers(layer["size"], dims)
        self.stride = numbers(layer.get("stride", layer["size"]), dims)
        self.padding = layer.get("padding", "valid")
        self.counts = layer.get("count_padding", False)
        self.pads = pads_of(self.padding, sizes, self.size, self.stride, [1] * dims)
        self.shape = tuple((n + sum(p) - k) // s + 1 for n, p, k, s in
                           zip(sizes, self.pads, self.size, self.stride)) + (channels,)

    def average(self, x):
        function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(self.size) - 1]
        y = function(padded(x, self.pads), self.size, self.stride)
        return y if self.counts else y / function(padded(torch.ones_like(x), self.pads), self.size, self.stride)

    def forward(self, x):
        first = channels_first(x)
        if self.is_max:
            function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(self.size) - 1]
            y = channels_last(function(padded(first, self.pads, -math.inf), self.size, self.stride))
        else:
            y = channels_last(self.average(first))
        if self.padding == "same" and self.is_max:
            assert torch.allclose(keras.ops.max_pool(x, self.size, self.stride, "same"), y)
        return y


class GlobalPool(torch.nn.Module):
    def __init__(self, layer, shape):
        super().__init__()
        self.is_max = layer["layer"] == "global_max_pool"
        self.shape = shape[-1:]

    def forward(self, x):
        x = x.flatten(1, -2)
        return x.max(1).values if self.is_max else x.mean(1)


class Norm(torch.nn.Module):
    """Batch norm over the last dim."""

    def __init__(self, layer, shape):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(shape[-1], eps=layer.get("eps", 1e-5), momentum=layer.get("momentum", 0.1),
                                         dtype=F64)
        self.shape = shape

    def forward(self, x):
        return self.norm(x.flatten(0, -2)).reshape(x.shape)


class Residual(torch.nn.Module):
    def __init__(self, layer, shape, path, blocks):
        super().__init__()
        self.inside, self.shape = chain(layer["layers"], shape, path + "/", blocks)
        self.skip = torch.nn.Identity()
        if "skip" in layer:
            self.skip, _ = chain(layer["skip"], shape, path + "/skip/", blocks)
        elif len(self.shape) > 1 and self.shape != shape:
            stride = [math.ceil(n / m) for n, m in zip(shape, self.shape[:-1])]
            self.skip = Conv(conv(len(stride), self.shape[-1], 1, stride=stride, bias=False), shape, path + "/skip",
                             blocks)
        elif self.shape != shape:
            self.skip = torch.nn.Linear(math.prod(shape), self.shape[0], bias=False, dtype=F64)
            blocks.append((f"{path}/skip/W", self.skip.weight))
        self.activation = ACTIVATIONS[layer.get("activation", "linear")](layer)

    def forward(self, x):
        return self.activation(self.inside(x) + self.skip(x))


class Flatten(torch.nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = (math.prod(shape),)

    def forward(self, x):
        return x.flatten(1)


def batch_norm(layer, shape, path, blocks):
    module = Norm(layer, shape)
    norm = module.norm
    blocks += [(f"{path}/gamma", norm.weight), (f"{path}/beta", norm.bias),
               (f"{path}/running_mean", norm.running_mean), (f"{path}/running_var", norm.running_var)]
    return module


def layer_norm(layer, shape, path, blocks):
    norm = torch.nn.LayerNorm(shape[-1], eps=layer.get("eps", 1e-5), dtype=F64)
    norm.shape = shape
    blocks += [(f"{path}/gamma", norm.weight), (f"{path}/beta", norm.bias)]
    return norm


KINDS = {
    "dense": Dense, "conv1d": Conv, "conv2d": Conv, "conv3d": Conv, "residual": Residual,
    "batch_norm": batch_norm, "layer_norm": layer_norm,
    "max_pool": lambda layer, shape, path, blocks: Pool(layer, shape),
    "avg_pool": lambda layer, shape, path, blocks: Pool(layer, shape),
    "global_max_pool": lambda layer, shape, path, blocks: GlobalPool(layer, shape),
    "global_avg_pool": lambda layer, shape, path, blocks: GlobalPool(layer, shape),
    "flatten": lambda layer, shape, path, blocks: Flatten(shape),
}


def chain(layers, shape, prefix, blocks):
    """The layers one after the other, and the shape of what comes out; `blocks` gets (path, tensor) of each."""
    modules = []
    for index, layer in enumerate(layers):
        path = f"{prefix}{index}-{layer['layer']}"
        if layer["layer"] in KINDS:
            modules.append(KINDS[layer["layer"]](layer, shape, path, blocks))
            shape = modules[-1].shape
        else:
            modules.append(ACTIVATIONS[layer["layer"]](layer))
    return torch.nn.Sequential(*modules), tuple(shape)


def yaml_of(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {yaml_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(yaml_of(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def array(name, tensor):
    """A C array; floats with nine digits, which give back the same float."""
    words = []
    for value in tensor.detach().flatten().tolist():
        text = f"{value if abs(value) > 1e-30 else 0.0:.9g}"
        words.append((text if any(c in text for c in ".e") else text + ".0") + "F")
    lines = [f"static const float {name}[] = {{"]
    for start in range(0, len(words), 6):
        lines.append("    " + ", ".join(words[start:start + 6]) + ",")
    return "\n".join(lines) + "\n};\n"


def float32_values(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float32).double()


def fill(blocks, generator):
    """float32 numbers in all blocks; a running variance is positive."""
    with torch.no_grad():
        for path, tensor in blocks:
            values = float32_values(generator, *tensor.shape)
            tensor.copy_((values.abs() + 0.5).float() if path.endswith("running_var") else values)


def sweep(net, blocks, x, c):
    """Outputs, and the gradients of sum c y in the blocks (0 for running averages) and in x."""
    x = x.clone().requires_grad_()
    y = net(x)
    inner = [tensor for _, tensor in blocks if tensor.requires_grad]
    gradients = iter(torch.autograd.grad((c * y).sum(), inner + [x]))
    of_blocks = [next(gradients) if tensor.requires_grad else None for _, tensor in blocks]
    return y, of_blocks, next(gradients)


def literals_of(layers):
    return "\n".join(f'     "{line}"' for line in
                     ("[" + ",\n ".join(yaml_of(layer) for layer in layers) + "]").splitlines())


def shape_text(shape):
    return f"{{{len(shape)}, {{{', '.join(map(str, shape))}}}}}"


def net_text(name, inputs, layers, generator):
    """The arrays of one net, and its row in the table. Outputs without batch norm are the same in both modes."""
    shape = inputs if isinstance(inputs, tuple) else (inputs,)
    rows = CONV_ROWS if isinstance(inputs, tuple) else ROWS
    blocks = []
    net, out = chain(layers, shape, "", blocks)
    fill(blocks, generator)
    x = (2.0 * float32_values(generator, rows, *shape) + 1.0).float().double()
    if any("max_pool" in layer["layer"] for layer in layers):
        x = x.round() # ties
    if name == "negative":
        x = -x.abs() - 1.0
    c = float32_values(generator, rows, *out)
    text = array(f"{name}_x", x) + array(f"{name}_c", c)
    before = [tensor.detach().clone() for _, tensor in blocks]
    sweeps = []
    kinds = ("train", "predict") if "batch_norm" in str(layers) else ("train", "train")
    for kind in kinds:
        net.train(kind == "train")
        y, gradients, dx = sweep(net, blocks, x, c)
        if len(sweeps) < len(set(kinds)):
            text += array(f"{name}_{kind}_y", y) + array(f"{name}_{kind}_dx", dx)
        sweeps.append(gradients)
    table = ""
    for k, (path, tensor) in enumerate(blocks):
        text += array(f"{name}_p{k}", before[k])
        after = "NULL, NULL"
        if tensor.requires_grad:
            text += array(f"{name}_g{k}", sweeps[0][k])
            after = f"{name}_g{k}, {name}_g{k}"
            if kinds[0] != kinds[1]:
                text += array(f"{name}_h{k}", sweeps[1][k])
                after = f"{name}_g{k}, {name}_h{k}"
        else:
            text += array(f"{name}_s{k}", tensor)
        moved = "NULL" if tensor.requires_grad else f"{name}_s{k}"
        table += f'    {{"{path}", {tensor.numel()}, {name}_p{k}, {{{after}}}, {moved}}},\n'
    if blocks:
        text += f"static const layer_block {name}_blocks[] = {{\n{table}}};\n\n"
    first, second = kinds
    row = (f'    {{"{name}",\n{literals_of(layers)},\n     {shape_text(shape)}, {rows}, {math.prod(shape)}, {math.prod(out)}, '
           f"{name}_x, {name}_c,\n     "
           f"{{{name}_{first}_y, {name}_{second}_y}}, {{{name}_{first}_dx, {name}_{second}_dx}}, "
           f"{len(blocks)}, {f'{name}_blocks' if blocks else 'NULL'}}},\n")
    return text, row


def path_text(name, shape, layers, generator):
    """The arrays of one path, and its row in the table."""
    blocks = []
    net, out = chain(layers, shape, "", blocks)
    with torch.no_grad():
        for path, tensor in blocks:
            values = float32_values(generator, *tensor.shape)
            tensor.copy_((values.abs() + 0.5).float() if path.endswith("running_var") else (0.5 * values).float())
    x = float32_values(generator, ROWS, *shape)
    t = float32_values(generator, ROWS, *out)
    text = array(f"{name}_x", x) + array(f"{name}_t", t)
    before = [tensor.detach().clone() for _, tensor in blocks]
    trained = [tensor for _, tensor in blocks if tensor.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = 0.5 * ((net(x) - t) ** 2).sum() / ROWS
        loss.backward()
        optimizer.step()
    table = ""
    for k, (path, tensor) in enumerate(blocks):
        text += array(f"{name}_p{k}", before[k]) + array(f"{name}_a{k}", tensor)
        moved = "NULL" if tensor.requires_grad else f"{name}_a{k}"
        table += f'    {{"{path}", {tensor.numel()}, {name}_p{k}, {{{name}_a{k}, NULL}}, {moved}}},\n'
    text += f"static const layer_block {name}_blocks[] = {{\n{table}}};\n\n"
    row = (f'    {{"{name}",\n{literals_of(layers)},\n     {shape_text(shape)}, {ROWS}, {math.prod(shape)}, {math.prod(out)}, '
           f"{name}_x, {name}_t,\n     {{NULL, NULL}}, {{NULL, NULL}}, {len(blocks)}, {name}_blocks}},\n")
    return text, row


HEADER = """/* Made by make_layer_fixtures.py with PyTorch %s: do not edit.
 *
 * Small nets: [0] in training, then [1] in prediction, with the running averages that training left;
 * outputs y and the gradients of sum c y. Then paths of gradient descent, where c are the targets and
 * grads[0] the blocks after the last step. */
#ifndef LOCKSTEP_TEST_LAYER_FIXTURES_H
#define LOCKSTEP_TEST_LAYER_FIXTURES_H

#include <stddef.h>

#include "lockstep/math.h"

/* clang-format off */

/* A block of parameters with its gradients, or of state with what training made of it. */
typedef struct layer_block {
  const char *path;
  size_t n;
  const float *values;
  const float *grads[2]; /* NULL: state */
  const float *moved;    /* NULL: parameters */
} layer_block;

typedef struct layer_fixture {
  const char *name, *layers;
  ls_shape shape;
  size_t rows, n_in, n_out;
  const float *x, *c;
  const float *y[2], *dx[2];
  size_t n_blocks;
  const layer_block *blocks;
} layer_fixture;

#define LAYER_PATH_STEPS %d
#define LAYER_PATH_RATE  %gF

"""


def main():
    generator = torch.Generator().manual_seed(20261)
    torch.use_deterministic_algorithms(True)
    text = HEADER % (torch.__version__.split("+")[0], STEPS, RATE)
    for title, items, make in (("layer_fixtures", NETS, net_text), ("layer_paths", PATHS, path_text)):
        table = ""
        for name, inputs, layers in items:
            arrays, row = make(name, inputs, layers, generator)
            text += arrays
            table += row
        text += f"static const layer_fixture {title}[] = {{\n{table}}};\n\n"
    (pathlib.Path(__file__).parent / "layer_fixtures.h").write_text(text + "#endif\n")


if __name__ == "__main__":
    main()
