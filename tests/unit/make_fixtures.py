#!/usr/bin/env python3
"""Writes fixtures.h: losses and gradients of small nets, paths of optimizers and the rates of schedules, as PyTorch
computes them.

Needs torch==2.13.0 (`pip install torch==2.13.0`). The tests never run it: they read the fixtures.h that is
kept beside it. Run it again, from any folder, after a change here, and commit both.

Nets are computed in double from float32 numbers, so that what is recorded is right to the last digit;
optimizers in float32, as they are used.
"""
import math
import pathlib

import torch
from torch.optim import lr_scheduler as schedulers

ROWS = 9
STEPS = 100
RECORDED = (1, 2, 10, 100)
MIXED_COLS = 5
EPOCHS = 8
EPOCH_STEPS = 5

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

def ratio(numerator, w, other):
    """The trust ratio of a block: 1 if a norm is 0."""
    return numerator / other if w.norm() > 0.0 and other > 0.0 else 1.0


class Lars(torch.optim.Optimizer):
    """Algorithm 1 of You, Gitman and Ginsburg (2017)."""

    def __init__(self, params, lr, momentum=0.9, eta=0.001, decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "eta": eta, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for w in group["params"]:
                v = self.state[w].setdefault("v", torch.zeros_like(w))
                length = w.grad.norm() + group["decay"] * w.norm()
                rate = group["lr"] * ratio(group["eta"] * w.norm(), w, length if w.grad.norm() > 0.0 else 0.0)
                v.mul_(group["momentum"]).add_(rate * (w.grad + group["decay"] * w))
                w.sub_(v)


class Lamb(torch.optim.Optimizer):
    """Algorithm 2 of You et al. (2020)."""

    def __init__(self, params, lr=0.001, betas=(0.9, 0.999), eps=1e-6, decay=0.01):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for w in group["params"]:
                state = self.state[w]
                state["t"] = t = state.get("t", 0) + 1
                m = state.setdefault("m", torch.zeros_like(w))
                v = state.setdefault("v", torch.zeros_like(w))
                m.mul_(b1).add_((1.0 - b1) * w.grad)
                v.mul_(b2).add_((1.0 - b2) * w.grad ** 2)
                r = m / (1.0 - b1 ** t) / ((v / (1.0 - b2 ** t)).sqrt() + group["eps"]) + group["decay"] * w
                w.sub_(group["lr"] * ratio(w.norm(), w, r.norm()) * r)


# The map `optimizer:` and PyTorch's equal, at its own rate.
OPTIMIZERS = [
    ("{type: sgd, lr: 0.05}", lambda w: torch.optim.SGD(w, lr=0.05)),
    ("{type: momentum, lr: 0.02}", lambda w: torch.optim.SGD(w, lr=0.02, momentum=0.9)),
    ("{type: momentum, lr: 0.1, momentum: 0.5}", lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.5)),
    ("{type: adam}", lambda w: torch.optim.Adam(w)),
    ("{type: adam, lr: 0.05, betas: [0.8, 0.95], eps: 1.0e-4}",
     lambda w: torch.optim.Adam(w, lr=0.05, betas=(0.8, 0.95), eps=1e-4)),
    ("{type: sgd, lr: 0.01, weight_decay: 0.3}", lambda w: torch.optim.SGD(w, lr=0.01, weight_decay=0.3)),
    ("{type: momentum, lr: 0.01, weight_decay: 0.1}",
     lambda w: torch.optim.SGD(w, lr=0.01, momentum=0.9, weight_decay=0.1)),
    ("{type: momentum, lr: 0.02, nesterov: true}",
     lambda w: torch.optim.SGD(w, lr=0.02, momentum=0.9, nesterov=True)),
    ("{type: momentum, lr: 0.01, momentum: 0.7, nesterov: true, weight_decay: 0.2}",
     lambda w: torch.optim.SGD(w, lr=0.01, momentum=0.7, nesterov=True, weight_decay=0.2)),
    ("{type: adagrad}", lambda w: torch.optim.Adagrad(w)),
    ("{type: adagrad, lr: 0.2, eps: 1.0e-3, weight_decay: 0.05}",
     lambda w: torch.optim.Adagrad(w, lr=0.2, eps=1e-3, weight_decay=0.05)),
    ("{type: rmsprop}", lambda w: torch.optim.RMSprop(w)),
    ("{type: rmsprop, lr: 0.002, alpha: 0.9, eps: 1.0e-4, weight_decay: 0.2}",
     lambda w: torch.optim.RMSprop(w, lr=0.002, alpha=0.9, eps=1e-4, weight_decay=0.2)),
    ("{type: adam, lr: 0.02, weight_decay: 0.1}", lambda w: torch.optim.Adam(w, lr=0.02, weight_decay=0.1)),
    ("{type: adamw}", lambda w: torch.optim.AdamW(w)),
    ("{type: adamw, lr: 0.03, betas: [0.7, 0.9], eps: 1.0e-3, weight_decay: 0.4}",
     lambda w: torch.optim.AdamW(w, lr=0.03, betas=(0.7, 0.9), eps=1e-3, weight_decay=0.4)),
    ("{type: adamw, weight_decay: 0}", lambda w: torch.optim.AdamW(w, weight_decay=0.0)),
    ("{type: lars, lr: 5}", lambda w: Lars(w, 5.0)),
    ("{type: lars, lr: 0.5, momentum: 0.8, trust_coefficient: 0.02, weight_decay: 0.1}",
     lambda w: Lars(w, 0.5, 0.8, 0.02, 0.1)),
    ("{type: lamb}", Lamb),
    ("{type: lamb, lr: 0.03, betas: [0.8, 0.95], eps: 1.0e-4, weight_decay: 0.2}",
     lambda w: Lamb(w, 0.03, (0.8, 0.95), 1e-4, 0.2)),
]

# The same under a rate that changes each step.
SCHEDULED = [
    ("{type: sgd, lr: 0.05, weight_decay: 0.1}", lambda w: torch.optim.SGD(w, lr=0.05, weight_decay=0.1)),
    ("{type: momentum, lr: 0.05}", lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9)),
    ("{type: momentum, lr: 0.05, nesterov: true}",
     lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, nesterov=True)),
    ("{type: adagrad, lr: 0.3}", lambda w: torch.optim.Adagrad(w, lr=0.3)),
    ("{type: rmsprop, lr: 0.05}", lambda w: torch.optim.RMSprop(w, lr=0.05)),
    ("{type: adam, lr: 0.05, weight_decay: 0.02}", lambda w: torch.optim.Adam(w, lr=0.05, weight_decay=0.02)),
    ("{type: adamw, lr: 0.05, weight_decay: 0.2}", lambda w: torch.optim.AdamW(w, lr=0.05, weight_decay=0.2)),
    ("{type: lars, lr: 0.5, trust_coefficient: 0.05}", lambda w: Lars(w, 0.5, eta=0.05)),
    ("{type: lamb, lr: 0.05}", lambda w: Lamb(w, 0.05)),
]
SCHEDULE = ("{type: cosine, total_steps: 80, min_lr: 0.002}", 80, 0.002)

# The map `schedule:`, the rate it starts from, and PyTorch's schedulers: those stepped each step, those stepped
# each epoch.
SCHEDULES = [
    ("{type: constant}", 0.1, lambda o: ([], [])),
    ("{warmup_steps: 7}", 0.1, lambda o: ([warmup(o, 7)], [])),
    ("{type: step, step_size: 3}", 0.1, lambda o: ([], [schedulers.StepLR(o, 3)])),
    ("{type: step, step_size: 2, gamma: 0.5, warmup_epochs: 3}", 0.4,
     lambda o: ([warmup(o, 3 * EPOCH_STEPS)], [schedulers.StepLR(o, 2, gamma=0.5)])),
    ("{type: exponential}", 0.3, lambda o: ([], [schedulers.ExponentialLR(o, 0.95)])),
    ("{type: exponential, gamma: 0.5, warmup_steps: 7}", 0.02,
     lambda o: ([warmup(o, 7)], [schedulers.ExponentialLR(o, 0.5)])),
    ("{type: cosine}", 0.1, lambda o: ([schedulers.CosineAnnealingLR(o, EPOCHS * EPOCH_STEPS)], [])),
    ("{type: cosine, total_steps: 30, min_lr: 0.01}", 0.1,
     lambda o: ([UntilStep(30, schedulers.CosineAnnealingLR(o, 30, eta_min=0.01))], [])),
    ("{type: cosine, min_lr: 0.001, warmup_steps: 7}", 0.1,
     lambda o: ([after_warmup(o, 7, schedulers.CosineAnnealingLR(o, 33, eta_min=0.001))], [])),
    ("{type: linear}", 0.1, lambda o: ([linear(o, 0.0, EPOCHS * EPOCH_STEPS)], [])),
    ("{type: linear, total_steps: 30, min_lr: 0.02}", 0.1, lambda o: ([linear(o, 0.2, 30)], [])),
    ("{type: linear, total_steps: 35, min_lr: 0.02, warmup_epochs: 2}", 0.1,
     lambda o: ([after_warmup(o, 10, linear(o, 0.2, 25))], [])),
]

# Small steps down and up, on both sides of the threshold; plain ones; values that are not numbers; both signs. Where
# larger is better, their negatives.
MONITORED = [math.nan, math.inf, 1.0, 0.9, 0.9, 0.89995, 0.8999, 0.9, math.nan, math.nan, math.nan, 0.95, 0.95, 1.00005,
             1.0002, 1.0002, 0.5, 0.6, 0.6, math.inf, 0.6, 0.7, 0.7, 0.2, 0.0, 0.0, -0.2, -0.19999, -0.19997, -0.1, -0.1,
             -0.1, -0.3, -0.30002, -0.3001, *[0.1] * 12]

# The map `schedule:`, the rate it starts from, PyTorch's mode and arguments.
PLATEAUS = [
    ("{type: plateau}", 0.1, "min", {}),
    ("{type: plateau, patience: 2, factor: 0.5}", 0.1, "min", {"patience": 2, "factor": 0.5}),
    ("{type: plateau, patience: 2, factor: 0.5}", 0.1, "max", {"patience": 2, "factor": 0.5}),
    ("{type: plateau, patience: 0, factor: 0.3, min_lr: 0.0004}", 0.2, "min",
     {"patience": 0, "factor": 0.3, "min_lr": 0.0004}),
    ("{type: plateau, patience: 0, factor: 0.9}", 0.2, "max", {"patience": 0, "factor": 0.9}),
    ("{type: plateau, patience: 0, factor: 0.9}", 0.2, "min", {"patience": 0, "factor": 0.9}),
    ("{type: plateau, patience: 1, min_lr: 0.5}", 0.2, "max", {"patience": 1, "min_lr": 0.5}),
]

ACTIVATIONS = {
    "linear": lambda z, alpha: z,
    "sigmoid": lambda z, alpha: torch.sigmoid(z),
    "tanh": lambda z, alpha: torch.tanh(z),
    "relu": lambda z, alpha: torch.relu(z),
    "leaky_relu": lambda z, alpha: torch.nn.functional.leaky_relu(z, alpha or 0.01),
    "softmax": lambda z, alpha: torch.softmax(z, dim=1),
}


def word_of(kind, value):
    """A number in C; one with the digits that give back the same bits."""
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    if kind == "double":
        return repr(value)
    if kind != "float":
        return str(int(value))
    text = f"{value:.9g}"
    return (text if any(c in text for c in ".e") else text + ".0") + "F"


def array(kind, name, values):
    """A C array."""
    words = [word_of(kind, value) for value in values]
    lines = [f"static const {kind} {name}[] = {{"]
    columns = 4 if kind == "double" else 6
    for start in range(0, len(words), columns):
        lines.append("    " + ", ".join(words[start:start + columns]) + ",")
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
    paths = [(yaml, make, None) for yaml, make in OPTIMIZERS] + [(yaml, make, SCHEDULE) for yaml, make in SCHEDULED]
    for index, (yaml, make, schedule) in enumerate(paths):
        text += array("float", f"path_{index}", path_of(make, schedule, start, gradients))
        rows.append(f'    {{"{yaml}", ' + (f'"{schedule[0]}"' if schedule else "NULL") + f", path_{index}}},\n")
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


def path_of(make, schedule, start, gradients):
    """The parameters after each of the recorded steps."""
    w = start.clone().requires_grad_()
    optimizer = make([w])
    scheduler = None
    if schedule:
        scheduler = UntilStep(schedule[1], schedulers.CosineAnnealingLR(optimizer, schedule[1], eta_min=schedule[2]))
    recorded = []
    for step in range(1, STEPS + 1):
        w.grad = gradients[step - 1].clone()
        optimizer.step()
        if scheduler:
            scheduler.step()
        if step in RECORDED:
            recorded += w.tolist()
    return recorded


class UntilStep:
    """A scheduler that is stepped so many times, and then rests."""

    def __init__(self, steps, scheduler):
        self.left = steps
        self.scheduler = scheduler

    def step(self):
        if self.left > 0:
            self.scheduler.step()
        self.left -= 1


def linear(optimizer, end, steps):
    return schedulers.LinearLR(optimizer, start_factor=1.0, end_factor=end, total_iters=steps)


def warmup(optimizer, steps):
    """1/n, 2/n, ... 1 of the rate."""
    return schedulers.LinearLR(optimizer, start_factor=1 / steps, total_iters=steps - 1)


def after_warmup(optimizer, steps, scheduler):
    for group in optimizer.param_groups: # the schedulers made before began with a first step of their own
        group["lr"] = group["initial_lr"]
    return schedulers.SequentialLR(optimizer, [warmup(optimizer, steps), scheduler], milestones=[steps])


def make_sgd(lr):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def rates_of(lr, make):
    """The rate of each step of a run."""
    optimizer = make_sgd(lr)
    each_step, each_epoch = make(optimizer)
    rates = []
    for _ in range(EPOCHS):
        for _ in range(EPOCH_STEPS):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            for scheduler in each_step:
                scheduler.step()
        for scheduler in each_epoch:
            scheduler.step()
    return rates


def plateau_rates_of(lr, mode, arguments):
    """The rate after each of the monitored values."""
    optimizer = make_sgd(lr)
    scheduler = schedulers.ReduceLROnPlateau(optimizer, mode=mode, **arguments)
    rates = []
    for value in MONITORED:
        scheduler.step(-value if mode == "max" else value)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def schedules_text():
    text = f"\n#define FIXTURE_EPOCHS {EPOCHS}\n#define FIXTURE_EPOCH_STEPS {EPOCH_STEPS}\n\n"
    rows = []
    for index, (yaml, lr, make) in enumerate(SCHEDULES):
        text += array("double", f"schedule_{index}", rates_of(lr, make))
        rows.append(f'    {{"{yaml}", {lr}, schedule_{index}}},\n')
    text += "\nstatic const fixture_schedule fixture_schedules[] = {\n" + "".join(rows) + "};\n\n"
    text += array("double", "monitored", MONITORED)
    rows = []
    for index, (yaml, lr, mode, arguments) in enumerate(PLATEAUS):
        text += array("double", f"plateau_{index}", plateau_rates_of(lr, mode, arguments))
        rows.append(f'    {{"{yaml}", {lr}, {"true" if mode == "max" else "false"}, plateau_{index}}},\n')
    return text + "\nstatic const fixture_plateau fixture_plateaus[] = {\n" + "".join(rows) + "};\n"


HEADER = """/* Made by make_fixtures.py with PyTorch %s: do not edit.
 *
 * Losses and gradients of small nets, means over %d rows: [0] with equal, [1] with given sample weights;
 * the parameters along the paths of optimizers; the rates of schedules; and the loss of classes that are
 * mixed, with its gradient. */
#ifndef LOCKSTEP_TEST_FIXTURES_H
#define LOCKSTEP_TEST_FIXTURES_H

#include "lockstep/layer.h"

#include <math.h>

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

/* The maps of an optimizer and of the schedule of its rate (NULL: none) as YAML, and the parameters after each
 * of path_steps. */
typedef struct fixture_path {
  const char *optimizer, *schedule;
  const float *params;
} fixture_path;

/* A schedule's map as YAML, the rate that it starts from, and the rate of each step of FIXTURE_EPOCHS epochs of
 * FIXTURE_EPOCH_STEPS. */
typedef struct fixture_schedule {
  const char *schedule;
  double base;
  const double *rates;
} fixture_schedule;

/* Of a plateau: the rate after each of the monitored values, or their negatives where larger is better. */
typedef struct fixture_plateau {
  const char *schedule;
  double base;
  bool larger_is_better;
  const double *rates;
} fixture_plateau;

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
    text += optimizers_text(generator)
    text += schedules_text() + "\n"
    text += mixed_text(weights)
    text += "#endif\n"
    (pathlib.Path(__file__).parent / "fixtures.h").write_text(text)


if __name__ == "__main__":
    main()
