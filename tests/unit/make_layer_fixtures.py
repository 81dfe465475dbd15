#!/usr/bin/env python3
"""Writes layer_fixtures.h: small nets with batch norm, residuals and more activations, as PyTorch computes them.

Needs torch==2.13.0 (`pip install torch==2.13.0`). The tests never run it: they read the layer_fixtures.h that is
kept beside it. Run it again, from any folder, after a change here, and commit both.

Of each net, in training and then in prediction: outputs, the gradients of L = sum c y for given c in parameters and
input, and the running averages before and after training. All in double, from float32 numbers.
"""
import pathlib

import torch

ROWS = 7
F64 = torch.float64

# name, inputs, layers: a layer's map as Lockstep takes it.
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

ACTIVATIONS = {
    "linear": lambda layer: torch.nn.Identity(),
    "sigmoid": lambda layer: torch.nn.Sigmoid(),
    "tanh": lambda layer: torch.nn.Tanh(),
    "relu": lambda layer: torch.nn.ReLU(),
    "elu": lambda layer: torch.nn.ELU(layer.get("alpha", 1.0)),
    "gelu": lambda layer: torch.nn.GELU(),
    "softplus": lambda layer: torch.nn.Softplus(),
}


class Dense(torch.nn.Module):
    def __init__(self, layer, n_in, path, blocks):
        super().__init__()
        self.linear = torch.nn.Linear(n_in, layer["units"], bias=layer.get("bias", True), dtype=F64)
        self.activation = ACTIVATIONS[layer["activation"]](layer)
        self.width = layer["units"]
        blocks.append((f"{path}/W", self.linear.weight))
        if self.linear.bias is not None:
            blocks.append((f"{path}/b", self.linear.bias))

    def forward(self, x):
        return self.activation(self.linear(x))


class Residual(torch.nn.Module):
    def __init__(self, layer, n_in, path, blocks):
        super().__init__()
        self.inside, self.width = chain(layer["layers"], n_in, path + "/", blocks)
        self.skip = None
        if self.width != n_in:
            self.skip = torch.nn.Linear(n_in, self.width, bias=False, dtype=F64)
            blocks.append((f"{path}/skip/W", self.skip.weight))

    def forward(self, x):
        return self.inside(x) + (x if self.skip is None else self.skip(x))


def chain(layers, n_in, prefix, blocks):
    """The layers one after the other, and the width of what comes out; `blocks` gets (path, tensor) of each."""
    modules = []
    for index, layer in enumerate(layers):
        path = f"{prefix}{index}-{layer['layer']}"
        if layer["layer"] == "dense":
            modules.append(Dense(layer, n_in, path, blocks))
            n_in = modules[-1].width
        elif layer["layer"] == "residual":
            modules.append(Residual(layer, n_in, path, blocks))
            n_in = modules[-1].width
        elif layer["layer"] == "batch_norm":
            norm = torch.nn.BatchNorm1d(n_in, eps=layer.get("eps", 1e-5), momentum=layer.get("momentum", 0.1), dtype=F64)
            modules.append(norm)
            blocks += [(f"{path}/gamma", norm.weight), (f"{path}/beta", norm.bias),
                       (f"{path}/running_mean", norm.running_mean), (f"{path}/running_var", norm.running_var)]
        else:
            modules.append(ACTIVATIONS[layer["layer"]](layer))
    return torch.nn.Sequential(*modules), n_in


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
        text = f"{value:.9g}"
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


def net_text(name, n_in, layers, generator):
    """The arrays of one net, and its row in the table."""
    blocks = []
    net, n_out = chain(layers, n_in, "", blocks)
    fill(blocks, generator)
    x = (2.0 * float32_values(generator, ROWS, n_in) + 1.0).float().double()
    c = float32_values(generator, ROWS, n_out)
    text = array(f"{name}_x", x) + array(f"{name}_c", c)
    before = [tensor.detach().clone() for _, tensor in blocks]
    sweeps = []
    for kind in ("train", "predict"):
        net.train(kind == "train")
        y, gradients, dx = sweep(net, blocks, x, c)
        text += array(f"{name}_{kind}_y", y) + array(f"{name}_{kind}_dx", dx)
        sweeps.append(gradients)
    rows = ""
    for k, (path, tensor) in enumerate(blocks):
        text += array(f"{name}_p{k}", before[k])
        after = "NULL, NULL"
        if tensor.requires_grad:
            text += array(f"{name}_g{k}", sweeps[0][k]) + array(f"{name}_h{k}", sweeps[1][k])
            after = f"{name}_g{k}, {name}_h{k}"
        else:
            text += array(f"{name}_s{k}", tensor)
        moved = "NULL" if tensor.requires_grad else f"{name}_s{k}"
        rows += f'    {{"{path}", {tensor.numel()}, {name}_p{k}, {{{after}}}, {moved}}},\n'
    text += f"static const layer_block {name}_blocks[] = {{\n{rows}}};\n\n"
    literals = "\n".join(f'     "{line}"' for line in
                         ("[" + ",\n ".join(yaml_of(layer) for layer in layers) + "]").splitlines())
    row = (f'    {{"{name}",\n{literals},\n     {n_in}, {n_out}, {name}_x, {name}_c,\n     '
           f"{{{name}_train_y, {name}_predict_y}}, {{{name}_train_dx, {name}_predict_dx}}, "
           f"{len(blocks)}, {name}_blocks}},\n")
    return text, row


HEADER = """/* Made by make_layer_fixtures.py with PyTorch %s: do not edit.
 *
 * Small nets over %d rows: [0] in training, then [1] in prediction, with the running averages that training
 * left; outputs y and the gradients of sum c y. */
#ifndef LOCKSTEP_TEST_LAYER_FIXTURES_H
#define LOCKSTEP_TEST_LAYER_FIXTURES_H

#include <stddef.h>

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
  size_t n_in, n_out;
  const float *x, *c;
  const float *y[2], *dx[2];
  size_t n_blocks;
  const layer_block *blocks;
} layer_fixture;

#define LAYER_FIXTURE_ROWS %d

"""


def main():
    generator = torch.Generator().manual_seed(20261)
    torch.use_deterministic_algorithms(True)
    text = HEADER % (torch.__version__.split("+")[0], ROWS, ROWS)
    table = ""
    for name, n_in, layers in NETS:
        arrays, row = net_text(name, n_in, layers, generator)
        text += arrays
        table += row
    text += "static const layer_fixture layer_fixtures[] = {\n" + table + "};\n\n#endif\n"
    (pathlib.Path(__file__).parent / "layer_fixtures.h").write_text(text)


if __name__ == "__main__":
    main()
