#!/usr/bin/env python3
"""Writes fixtures.h: losses and gradients of small nets, and paths of optimizers, as PyTorch computes them.

Needs torch==2.13.0 (`pip install torch==2.13.0`). The tests never run it: they read the fixtures.h that is
kept beside it. Run it again, from any folder, after a change here, and commit both.

Nets are computed in double from float32 numbers, so that what is recorded is right to the last digit;
optimizers in float32, as they are used.
"""
import pathlib

import torch

ROWS = 9
STEPS = 100
RECORDED = (1, 2, 10, 100)
MIXED_COLS = 5

# name, loss, inputs, layers: (units, activation, alpha, bias) for dense, or the name of an activation.
NETS = [
    ("relu_softmax", "categorical_cross_entropy", 7,
     [(5, "relu", None, True), (4, "softmax", None, True)]),
    ("tanh_sigmoid", "binary_cross_entropy", 6,
     [(8, "tanh", None, True), (3, "sigmoid", None, True)]),
    ("leaky_linear", "mse", 5,
     [(6, "leaky_relu", 0.1, True), (2, "linear", None, True)]),
    ("sigmoid_sigmoid", "mse", 4,
     [(5, "sigmoid", None, True), (3, "sigmoid", None, True)]),
    ("softmax_inside", "mse", 6,
     [(5, "softmax", None, True), (3, "tanh", None, True)]),
    ("layers_apart", "categorical_cross_entropy", 5,
     [(6, "linear", None, False), "tanh", (4, "linear", None, True), "leaky_relu",
      (3, "linear", None, True), "softmax"]),
    ("deep", "binary_cross_entropy", 3,
     [(7, "relu", None, True), (6, "sigmoid", None, True), (5, "leaky_relu", 0.25, True),
      (4, "tanh", None, False), (1, "sigmoid", None, True)]),
]

# The map `optimizer:` and PyTorch's equal.
OPTIMIZERS = [
    ("{type: sgd, lr: 0.05}", lambda w: torch.optim.SGD(w, lr=0.05)),
    ("{type: momentum, lr: 0.02}", lambda w: torch.optim.SGD(w, lr=0.02, momentum=0.9)),
    ("{type: momentum, lr: 0.1, momentum: 0.5}", lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.5)),
    ("{type: adam}", lambda w: torch.optim.Adam(w)),
    ("{type: adam, lr: 0.05, betas: [0.8, 0.95], eps: 1.0e-4}",
     lambda w: torch.optim.Adam(w, lr=0.05, betas=(0.8, 0.95), eps=1e-4)),
]

ACTIVATIONS = {
    "linear": lambda z, alpha: z,
    "sigmoid": lambda z, alpha: torch.sigmoid(z),
    "tanh": lambda z, alpha: torch.tanh(z),
    "relu": lambda z, alpha: torch.relu(z),
    "leaky_relu": lambda z, alpha: torch.nn.functional.leaky_relu(z, alpha or 0.01),
    "softmax": lambda z, alpha: torch.softmax(z, dim=1),
}


def array(kind, name, values):
    """A C array; floats with nine digits, which give back the same float."""
    suffix = "F" if kind == "float" else ""
    words = []
    for value in values:
        text = f"{value:.9g}" if kind == "float" else str(int(value))
        words.append((text if suffix == "" or any(c in text for c in ".e") else text + ".0") + suffix)
    lines = [f"static const {kind} {name}[] = {{"]
    for start in range(0, len(words), 6):
        lines.append("    " + ", ".join(words[start:start + 6]) + ",")
    return "\n".join(lines) + "\n};\n"


def yaml_of(layers):
    """The list `model:`, a layer a line."""
    maps = []
    for layer in layers:
        if isinstance(layer, str):
            maps.append(f"{{layer: {layer}}}")
            continue
        units, activation, alpha, bias = layer
        maps.append(f"{{layer: dense, units: {units}, activation: {activation}"
                    + (f", alpha: {alpha}" if alpha else "") + ("" if bias else ", bias: false") + "}")
    return "[" + ",\n".join(maps) + "]"


def float32_values(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float32).double()


def parameters_of(layers, n_in, generator):
    """[(path, values)], a dense layer's W and b."""
    blocks = []
    for index, layer in enumerate(layers):
        if isinstance(layer, str):
            continue
        units, _, _, bias = layer
        blocks.append((f"{index}-dense/W", float32_values(generator, units, n_in)))
        if bias:
            blocks.append((f"{index}-dense/b", float32_values(generator, units)))
        n_in = units
    return [(path, values.requires_grad_()) for path, values in blocks]


def forward(layers, blocks, x):
    values = dict(blocks)
    for index, layer in enumerate(layers):
        if isinstance(layer, str):
            x = ACTIVATIONS[layer](x, None)
            continue
        _, activation, alpha, bias = layer
        z = x @ values[f"{index}-dense/W"].T
        x = ACTIVATIONS[activation](z + values[f"{index}-dense/b"] if bias else z, alpha)
    return x


def losses_of(loss, outputs, targets):
    """Each row's loss as Lockstep means it: mse has the half, cross-entropies sum over outputs."""
    if loss == "categorical_cross_entropy":
        return torch.nn.functional.nll_loss(outputs.log(), targets, reduction="none")
    if loss == "binary_cross_entropy":
        return torch.nn.functional.binary_cross_entropy(outputs, targets, reduction="none").sum(dim=1)
    return 0.5 * torch.nn.functional.mse_loss(outputs, targets, reduction="none").sum(dim=1)


def targets_of(loss, n_out, generator):
    if loss == "categorical_cross_entropy":
        return torch.randint(0, n_out, (ROWS,), generator=generator)
    if loss == "binary_cross_entropy":
        return torch.randint(0, 2, (ROWS, n_out), generator=generator).double()
    return float32_values(generator, ROWS, n_out)


def net_text(net, weights, generator):
    """The arrays of one net, and its row in the table."""
    name, loss, n_in, layers = net
    n_out = [layer[0] for layer in layers if not isinstance(layer, str)][-1]
    x = float32_values(generator, ROWS, n_in)
    targets = targets_of(loss, n_out, generator)
    blocks = parameters_of(layers, n_in, generator)
    means = []
    gradients = []
    for w in (torch.ones(ROWS, dtype=torch.float64), weights):
        mean = (w * losses_of(loss, forward(layers, blocks, x), targets)).sum() / w.sum()
        means.append(mean.item())
        gradients.append(torch.autograd.grad(mean, [values for _, values in blocks]))

    is_class = loss == "categorical_cross_entropy"
    text = array("float", f"{name}_x", x.flatten().tolist())
    text += array("int32_t" if is_class else "float", f"{name}_y", targets.flatten().tolist())
    rows = []
    for k, (path, values) in enumerate(blocks):
        text += array("float", f"{name}_p{k}", values.flatten().tolist())
        text += array("float", f"{name}_g{k}", gradients[0][k].flatten().tolist())
        text += array("float", f"{name}_h{k}", gradients[1][k].flatten().tolist())
        rows.append(f'    {{"{path}", {values.numel()}, {name}_p{k}, {{{name}_g{k}, {name}_h{k}}}}},\n')
    text += f"static const fixture_block {name}_blocks[] = {{\n" + "".join(rows) + "};\n\n"
    literals = "\n".join(f'     "{line}"' for line in yaml_of(layers).splitlines())
    row = (f'    {{"{name}",\n{literals},\n     LS_{loss.upper()}, {n_in}, {n_out}, {name}_x, '
           + (f"{name}_y, NULL," if is_class else f"NULL, {name}_y,")
           + f"\n     {{{means[0]!r}, {means[1]!r}}}, {len(blocks)}, {name}_blocks}},\n")
    return text, row


def optimizers_text(generator):
    """Gradients of widely different sizes, and where they lead."""
    sizes = torch.tensor([1.0, 1.0, 10.0, 0.1, 1e-3, 1e-8, 0.0, 1.0])
    n = len(sizes)
    start = torch.randn(n, generator=generator)
    gradients = torch.randn(STEPS, n, generator=generator) * sizes
    gradients[::2, -1] = 0.0  # one that is seldom there
    gradients += 0.3 * sizes  # a drift
    text = f"#define FIXTURE_PARAMS {n}\n#define FIXTURE_STEPS {STEPS}\n\n"
    text += array("float", "path_start", start.tolist())
    text += array("float", "path_gradients", gradients.flatten().tolist())
    rows = []
    for index, (yaml, make) in enumerate(OPTIMIZERS):
        w = start.clone().requires_grad_()
        optimizer = make([w])
        recorded = []
        for step in range(1, STEPS + 1):
            w.grad = gradients[step - 1].clone()
            optimizer.step()
            if step in RECORDED:
                recorded += w.tolist()
        text += array("float", f"path_{index}", recorded)
        rows.append(f'    {{"{yaml}", path_{index}}},\n')
    text += "\n/* The parameters after these steps, one row each. */\n"
    text += "static const size_t path_steps[] = {" + ", ".join(map(str, RECORDED)) + "};\n\n"
    return text + "static const fixture_path fixture_paths[] = {\n" + "".join(rows) + "};\n"


def mixed_text(weights):
    """Classes mixed in pairs: PyTorch's cross-entropy with soft targets, the weighted sum and its gradient."""
    generator = torch.Generator().manual_seed(20261)
    z = (3.0 * float32_values(generator, ROWS, MIXED_COLS)).float().double().requires_grad_()
    classes = torch.randint(0, MIXED_COLS, (ROWS,), generator=generator)
    partners = torch.randint(0, MIXED_COLS, (ROWS,), generator=generator)
    partners[1] = classes[1]  # a class with itself
    shares = (0.5 + 0.5 * torch.rand(ROWS, generator=generator)).double()
    shares[2] = 1.0
    hot = torch.nn.functional.one_hot
    soft = (shares[:, None] * hot(classes, MIXED_COLS) + (1.0 - shares)[:, None] * hot(partners, MIXED_COLS))
    total = (weights * torch.nn.functional.cross_entropy(z, soft, reduction="none")).sum()
    gradient, = torch.autograd.grad(total, z)
    text = f"#define MIXED_COLS {MIXED_COLS}\n\n"
    text += array("float", "mixed_z", z.flatten().tolist())
    text += array("int32_t", "mixed_classes", classes.tolist())
    text += array("int32_t", "mixed_partners", partners.tolist())
    text += array("float", "mixed_shares", shares.tolist())
    text += array("float", "mixed_dz", gradient.flatten().tolist())
    return text + f"static const double mixed_loss = {total.item()!r};\n\n"


HEADER = """/* Made by make_fixtures.py with PyTorch %s: do not edit.
 *
 * Losses and gradients of small nets, means over %d rows: [0] with equal, [1] with given sample weights;
 * and the parameters along the paths of optimizers; the loss of classes that are mixed, and its gradient. */
#ifndef LOCKSTEP_TEST_FIXTURES_H
#define LOCKSTEP_TEST_FIXTURES_H

#include "lockstep/layer.h"

/* clang-format off */

/* A block of parameters: where it is in the net, its values and the gradients of both means. */
typedef struct fixture_block {
  const char *path;
  size_t n;
  const float *values;
  const float *grads[2];
} fixture_block;

/* A net: the list of its layers as YAML, its data, the two mean losses, its parameters. */
typedef struct fixture_net {
  const char *name, *layers;
  ls_loss loss;
  size_t n_in, n_out;
  const float *x;
  const int32_t *classes;
  const float *values;
  double mean_loss[2];
  size_t n_blocks;
  const fixture_block *blocks;
} fixture_net;

/* An optimizer's map as YAML, and the parameters after each of path_steps. */
typedef struct fixture_path {
  const char *optimizer;
  const float *params;
} fixture_path;

#define FIXTURE_ROWS %d

"""


def main():
    generator = torch.Generator().manual_seed(20260)
    torch.use_deterministic_algorithms(True)
    weights = torch.tensor([1.0, 0.5, 2.0, 0.0, 1.5, 3.0, 0.25, 1.0, 0.75], dtype=torch.float64)
    text = HEADER % (torch.__version__.split("+")[0], ROWS, ROWS)
    text += array("float", "fixture_weights", weights.tolist()) + "\n"
    table = ""
    for net in NETS:
        arrays, row = net_text(net, weights, generator)
        text += arrays
        table += row
    text += "static const fixture_net fixture_nets[] = {\n" + table + "};\n\n"
    text += optimizers_text(generator) + "\n"
    text += mixed_text(weights)
    text += "#endif\n"
    (pathlib.Path(__file__).parent / "fixtures.h").write_text(text)


if __name__ == "__main__":
    main()
