#!/usr/bin/env python3
"""Writes loss_fixtures.h: losses and their gradients as computed by PyTorch in double. Needs PyTorch (pip).

The focal losses are the formulas of Lin et al. (ICCV 2017); that of labels is torchvision's sigmoid_focal_loss.
"""
import pathlib

import torch
from torch.nn import functional

ROWS, COLS = 6, 5


def focal_classes(gamma):
    def loss(z, y):
        log_p = functional.log_softmax(z, 1).gather(1, y[:, None])[:, 0]
        return -((1.0 - log_p.exp()) ** gamma) * log_p
    return loss


def focal_labels(gamma, alpha):
    def loss(z, y):
        p = torch.sigmoid(z)
        cross_entropy = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
        p_t = p * y + (1.0 - p) * (1.0 - y)
        factor = alpha * y + (1.0 - alpha) * (1.0 - y) if alpha else 1.0
        return (factor * cross_entropy * (1.0 - p_t) ** gamma).sum(1)
    return loss


def smoothed_classes(share):
    return lambda z, y: functional.cross_entropy(z, y, reduction="none", label_smoothing=share)


def smoothed_labels(share):
    return lambda z, y: functional.binary_cross_entropy_with_logits(
        z, y * (1.0 - share) + 0.5 * share, reduction="none").sum(1)


# The loss in C, its options (label_smoothing, delta, gamma, alpha), the kind of targets, and the loss of each row.
LOSSES = [
    ("LS_CATEGORICAL_CROSS_ENTROPY", (0.1, 0, 0, 0), "classes", smoothed_classes(0.1)),
    ("LS_CATEGORICAL_CROSS_ENTROPY", (0.75, 0, 0, 0), "classes", smoothed_classes(0.75)),
    ("LS_BINARY_CROSS_ENTROPY", (0.2, 0, 0, 0), "labels", smoothed_labels(0.2)),
    ("LS_MAE", (0, 0, 0, 0), "values", lambda z, y: functional.l1_loss(z, y, reduction="none").sum(1)),
    ("LS_HUBER", (0, 1, 0, 0), "values", lambda z, y: functional.huber_loss(z, y, reduction="none").sum(1)),
    ("LS_HUBER", (0, 0.3, 0, 0), "values", lambda z, y: functional.huber_loss(z, y, reduction="none", delta=0.3).sum(1)),
    ("LS_FOCAL", (0, 0, 2, 0), "classes", focal_classes(2.0)),
    ("LS_FOCAL", (0, 0, 0.5, 0), "classes", focal_classes(0.5)),
    ("LS_FOCAL", (0, 0, 0, 0), "classes", lambda z, y: functional.cross_entropy(z, y, reduction="none")),
    ("LS_FOCAL_LABELS", (0, 0, 2, 0.25), "labels", focal_labels(2.0, 0.25)),
    ("LS_FOCAL_LABELS", (0, 0, 1.5, 0), "labels", focal_labels(1.5, 0.0)),
    ("LS_FOCAL_LABELS", (0, 0, 2, 0.25), "shares", focal_labels(2.0, 0.25)),
]


def array(kind, name, values):
    text = ", ".join(f"{v!r}F" if kind == "float" else str(v) for v in values)
    return f"static const {kind} {name}[] = {{{text}}};\n"


def main():
    generator = torch.Generator().manual_seed(20262)
    z = (3.0 * torch.randn(ROWS, COLS, generator=generator)).float()
    targets = {"classes": torch.randint(0, COLS, (ROWS,), generator=generator),
               "labels": torch.randint(0, 2, (ROWS, COLS), generator=generator).float(),
               "values": torch.randn(ROWS, COLS, generator=generator).float(),
               "shares": torch.rand(ROWS, COLS, generator=generator).float()}
    weights = torch.tensor([1.0, 0.5, 2.0, 0.0, 1.25, 1.0])
    text = "/* Losses by PyTorch; written by make_loss_fixtures.py. */\n"
    text += '#include "lockstep/layer.h"\n\n'
    text += f"#define LOSS_FIXTURE_ROWS {ROWS}\n#define LOSS_FIXTURE_COLS {COLS}\n\n"
    text += array("float", "loss_z", z.flatten().tolist())
    text += array("float", "loss_weights", weights.tolist())
    for name, values in targets.items():
        kind = "int32_t" if name == "classes" else "float"
        text += array(kind, f"loss_{name}", values.flatten().tolist())
    rows = []
    for index, (loss, options, kind, function) in enumerate(LOSSES):
        x = z.double().requires_grad_()
        y = targets[kind] if kind == "classes" else targets[kind].double()
        total = (weights.double() * function(x, y)).sum()
        gradient, = torch.autograd.grad(total, x)
        text += array("float", f"loss_dz_{index}", gradient.flatten().tolist())
        pair = "loss_classes, NULL" if kind == "classes" else f"NULL, loss_{kind}"
        rows.append(f"    {{{loss}, {{{', '.join(map(str, options))}}}, {pair}, {total.item()!r}, loss_dz_{index}}},\n")
    text += "\nstatic const struct loss_fixture {\n  ls_loss loss;\n  ls_loss_options options;\n"
    text += "  const int32_t *classes;\n  const float *values;\n  double total;\n  const float *dz;\n"
    text += "} loss_fixtures[] = {\n" + "".join(rows) + "};\n"
    (pathlib.Path(__file__).parent / "loss_fixtures.h").write_text(text)


if __name__ == "__main__":
    main()
