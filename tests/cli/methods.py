"""Training methods against closed forms: penalties, clipping, schedules, early stopping, diagnostics, lr-find."""

import math
import re
import xml.etree.ElementTree

import h5py
import numpy

import harness
from harness import edited, model_arrays, read_csv, run_well

X, Y = harness.three_classes(60)
LR = 0.5


def prepare(folder, *edits, **arrays):
    harness.write_file(folder / "config.yaml", edited(*edits))
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y, **arrays})


def train(folder, *words, **how):
    return run_well(folder, "train", "config.yaml", *words, **how)


def column(folder, name, output="run", file="metrics.csv"):
    header, rows = read_csv(folder / output / file)
    return [row[header.index(name)] for row in rows]


def weights(folder, output):
    return model_arrays(folder / output / "model.h5")


def one_step(folder, name, *sets):
    """The weights before and after one step of plain gradient descent over all samples."""
    words = [word for pair in ("optimizer={type: sgd, lr: 0.5}", "train.batch_size=full", *sets)
             for word in ("--set", pair)]
    train(folder, "-o", f"{name}-0", "--set", "train.max_steps=0", *words)
    result = train(folder, "-o", f"{name}-1", "--set", "train.max_steps=1", *words)
    return result, weights(folder, f"{name}-0"), weights(folder, f"{name}-1")


def norm(arrays):
    return math.sqrt(sum(float((array.astype(float) ** 2).sum()) for array in arrays))


# --------------------------------------------------------------------- penalties

def l2_adds_its_gradient(folder):
    """w1 = w0 - lr (g + 2 l2 w0) for W, and b as without."""
    prepare(folder)
    result, before, plain = one_step(folder, "plain")
    _, _, penalised = one_step(folder, "l2", "penalty.l2=0.01", "model.1.l2=0.03")
    for path, strength in (("0-dense/W", 0.01), ("1-dense/W", 0.03), ("0-dense/b", 0.0), ("1-dense/b", 0.0)):
        wanted = plain[path] - LR * 2 * strength * before[path]
        result.must(numpy.allclose(penalised[path], wanted, rtol=1e-5, atol=1e-6), f"{path}: not the gradient of l2")
    result.must(not numpy.allclose(penalised["0-dense/W"], plain["0-dense/W"], atol=1e-4), "l2 must do something")


def l1_is_a_proximal_step(folder):
    """w1 = sign(v) max(|v| - lr l1, 0), v what the step without it gives."""
    prepare(folder)
    result, _, plain = one_step(folder, "plain")
    _, _, penalised = one_step(folder, "l1", "penalty.l1=0.2")
    for path in ("0-dense/W", "1-dense/W"):
        wanted = numpy.sign(plain[path]) * numpy.maximum(numpy.abs(plain[path]) - LR * 0.2, 0.0)
        result.must(numpy.allclose(penalised[path], wanted, atol=1e-6), f"{path}: not the proximal step")
    for path in ("0-dense/b", "1-dense/b"):
        result.must(numpy.array_equal(penalised[path], plain[path]), f"{path}: a bias has no penalty")
    zeros = sum(int((penalised[path] == 0.0).sum()) for path in ("0-dense/W", "1-dense/W"))
    result.must(zeros > 0, "some weights must be exactly 0")
    told = re.findall(r"(\d+) (?:are|is|of \d+ are) (?:exactly )?0", run_well(folder, "info", "l1-1/model.h5").out)
    result.must(sum(map(int, told)) == zeros, f"info counts {told}, there are {zeros}")


def penalties_are_not_in_the_loss(folder):
    """The loss of the first step is that of the same weights without penalties, which are printed beside it."""
    prepare(folder, ("data.h5", "data.h5\n  validation: 0.2"))
    plain = train(folder, "-o", "plain", "--set", "optimizer.lr=0")
    penalised = train(folder, "-o", "penalised", "--set", "optimizer.lr=0", "--set", "penalty.l2=0.01")
    for name in ("train_loss", "val_loss"):
        penalised.must(column(folder, name, "plain") == column(folder, name, "penalised"), f"{name} has the penalty")
    arrays = weights(folder, "penalised")
    value = 0.01 * (norm([arrays["0-dense/W"]]) ** 2 + norm([arrays["1-dense/W"]]) ** 2)
    penalised.reports("penalty", f"{value:.4f}")
    plain.must("penalty" not in plain.out, "without a penalty, none is reported")


# ---------------------------------------------------------------------- clipping

def clip_by_norm(folder):
    """A step as long as lr times the limit, in the direction of the whole gradient."""
    prepare(folder)
    result, before, plain = one_step(folder, "plain")
    _, _, clipped = one_step(folder, "clipped", "train.clip_grad_norm=0.01")
    whole = {path: plain[path].astype(float) - before[path] for path in before}
    part = {path: clipped[path].astype(float) - before[path] for path in before}
    result.must(abs(norm(part.values()) - LR * 0.01) < 1e-3 * LR * 0.01, f"the step is {norm(part.values())} long")
    scale = norm(part.values()) / norm(whole.values())
    for path, wanted in whole.items():
        result.must(numpy.allclose(part[path], scale * wanted, atol=2e-6), f"{path}: another direction")
    _, _, loose = one_step(folder, "loose", "train.clip_grad_norm=1000")
    result.must(all(numpy.array_equal(loose[path], plain[path]) for path in plain), "a loose limit changes nothing")


def clip_by_value(folder):
    prepare(folder)
    result, before, plain = one_step(folder, "plain")
    _, _, clipped = one_step(folder, "clipped", "train.clip_grad_value=0.02")
    for path in before:
        step = plain[path].astype(float) - before[path]
        wanted = before[path] + numpy.clip(step, -LR * 0.02, LR * 0.02)
        result.must(numpy.allclose(clipped[path], wanted, atol=2e-6), f"{path}: not cut at the limit")


# --------------------------------------------------------------------- schedules

def rates_told(text):
    return [float(rate) for rate in re.findall(r"^step \d+ .*?lr (\S+)", text, re.MULTILINE)]


def every_rate_is_logged(folder):
    """A warm-up of 3 steps, then a cosine to the end; the same after a resume, which reports its rate."""
    prepare(folder, ("optimizer:", "schedule: {type: cosine, warmup_steps: 3}\noptimizer:"), ("epochs: 2", "epochs: 3"))
    whole = train(folder, "--set", "train.log_every=1")
    steps = len(rates_told(whole.out))
    base = 0.01
    wanted = [base * (step + 1) / 3 if step < 3 else
              base * 0.5 * (1 + math.cos(math.pi * (step - 3) / (steps - 3))) for step in range(steps)]
    whole.must(steps == 24, f"{steps} rates")
    whole.must(numpy.allclose(rates_told(whole.out), wanted, rtol=1e-5, atol=1e-9), f"the rates are {rates_told(whole.out)}")
    first = train(folder, "-o", "parts", "--set", "train.log_every=1", "--set", "train.max_steps=13")
    second = train(folder, "-o", "parts", "--set", "train.log_every=1")
    whole.must(rates_told(first.out) + rates_told(second.out) == rates_told(whole.out), "a resume changes no rate")
    second.reports(harness.RESUMED, "epoch 2", "step 13").reports("adam", f"lr {wanted[13]:.6g}", "batch 8")
    whole.must(column(folder, "lr", "parts") == column(folder, "lr"), "metrics.csv has the same rates")


def a_plateau_lowers_the_rate(folder):
    """With a rate of 0 nothing improves: halved after each two epochs."""
    plateau = "schedule: {type: plateau, patience: 1, factor: 0.5}\noptimizer:"
    prepare(folder, ("optimizer:", plateau), ("epochs: 2", "epochs: 7\n  monitor: epoch"))
    result = train(folder)
    rates = [float(rate) for rate in column(folder, "lr")]
    result.must(rates == [0.01, 0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025], f"the rates are {rates}")


# ---------------------------------------------------------------- early stopping

def early_stopping_ends_the_run(folder):
    """The monitored column, the number of the epoch, never gets smaller: the first epoch is the best."""
    prepare(folder, ("epochs: 2", "epochs: 50\n  monitor: epoch\n  early_stopping: {patience: 3}"))
    result = train(folder)
    result.reports(harness.STOPPED_EARLY, "epoch", "3 epochs")
    result.must(column(folder, "epoch") == ["1", "2", "3", "4"], f"the epochs are {column(folder, 'epoch')}")
    train(folder).says(harness.FINISHED)
    train(folder, "-o", "parts", "--set", "train.max_steps=21")
    train(folder, "-o", "parts")
    result.must(column(folder, "epoch", "parts") == ["1", "2", "3", "4"], "a resume forgets nothing")


def min_delta_asks_for_more(folder):
    """Losses fall by less than 100: only the first epoch counts as better."""
    prepare(folder, ("epochs: 2", "epochs: 50\n  early_stopping: {patience: 2, min_delta: 100}"))
    result = train(folder)
    result.must(len(column(folder, "epoch")) == 3, f"{len(column(folder, 'epoch'))} epochs")


# ------------------------------------------------------------------- diagnostics

def deep(hidden, n=11):
    layers = "\n".join(f"  - {{layer: dense, units: 12, {hidden}}}" for _ in range(n))
    return ("  - {layer: dense, units: 8, activation: relu}", layers)


def a_vanishing_gradient_causes_a_warning(folder):
    prepare(folder, deep("activation: sigmoid"))
    result = harness.run(folder, "train", "config.yaml").exits(0)
    result.reports("warning: ", "gradient", "0-dense", "vanish")
    result.must(result.err.count("vanish") == 1, "once")
    ratios = [float(value) for value in column(folder, "gradient_norm", file="diagnostics.csv")[:12]]
    result.must(len(ratios) == 12 and ratios[0] < 1e-4 * ratios[-1], f"the norms are {ratios}")
    prepare(folder, deep("activation: leaky_relu"))
    train(folder, "--overwrite")


def dead_units_cause_a_warning(folder):
    """ReLUs of weights 0 are 0 for every sample, and stay so."""
    prepare(folder, ("activation: relu", "activation: relu, init: zeros"))
    result = harness.run(folder, "train", "config.yaml").exits(0)
    dead = column(folder, "dead", file="diagnostics.csv")
    result.must(dead == ["1", "", "1", ""], f"the share of dead units is {dead}")
    result.reports("warning: ", "0-dense", "dead", "100 %")
    prepare(folder)
    train(folder, "-o", "alive")
    alive = [float(value) for value in column(folder, "dead", "alive", "diagnostics.csv") if value]
    result.must(len(alive) == 2 and max(alive) <= 0.5, f"of a net that learns, {alive} are dead")


def gradient_norms_are_means_over_samples(folder):
    """Of one softmax layer the gradient of the mean loss is (p - t)^T x / n for W, and the mean of p - t for b."""
    prepare(folder, ("  - {layer: dense, units: 8, activation: relu}\n", ""), w=1.0 + numpy.arange(60, dtype="f4") % 3)
    result = train(folder)
    arrays = weights(folder, "run")
    share = (1.0 + numpy.arange(60) % 3)[:, None] / (2.0 * 60)
    z = X.astype(float) @ arrays["0-dense/W"].T + arrays["0-dense/b"]
    p = numpy.exp(z - z.max(axis=1, keepdims=True))
    delta = share * (p / p.sum(axis=1, keepdims=True) - numpy.eye(3)[Y])
    wanted = norm([delta.T @ X, delta.sum(axis=0)])
    told = float(column(folder, "gradient_norm", file="diagnostics.csv")[-1])
    result.must(abs(told - wanted) < 1e-4 * wanted, f"told {told}, wanted {wanted}")


def saturated_outputs_are_counted(folder):
    """Outputs whose derivative is below 1 % of its greatest, of sigmoid and of tanh."""
    slopes = {"sigmoid": lambda z: 4.0 / (1.0 + numpy.exp(-z)) / (1.0 + numpy.exp(z)), "tanh": lambda z: 1.0 - numpy.tanh(z) ** 2}
    for kind, slope in slopes.items():
        prepare(folder, ("units: 8, activation: relu", f"units: 40, activation: {kind}, init: {{type: normal, std: 1.5}}"))
        result = train(folder, "--overwrite")
        arrays = weights(folder, "run")
        wanted = float((slope(X.astype(float) @ arrays["0-dense/W"].T + arrays["0-dense/b"]) < 0.01).mean())
        told = float(column(folder, "saturated", file="diagnostics.csv")[-2])
        result.must(0.05 < wanted < 0.95 and abs(told - wanted) < 2e-3, f"{kind}: told {told}, wanted {wanted}")


def growing_norms_cause_a_warning(folder):
    """A linear net at a rate that it does not bear: the error grows by the same factor each step."""
    prepare(folder, ("  - {layer: dense, units: 8, activation: relu}\n", ""), ("units: 3, activation: softmax", "units: 1"),
            ("categorical_cross_entropy", "mse"), ("batch_size: 8", "batch_size: full"), ("epochs: 2", "epochs: 15"),
            ("optimizer: {type: adam, lr: 0.01}", "optimizer: {type: sgd, lr: 1.0}"))
    result = harness.run(folder, "train", "config.yaml")
    result.reports("warning: ", "norm", "grow|diverge|increase")
    result.must(result.err.count("warning: ") == 1, "once")


def diagnostics_can_be_left_out(folder):
    prepare(folder)
    result = train(folder, "--set", "train.diagnostics=false")
    result.must(not (folder / "run/diagnostics.csv").exists(), "there is no file then")


def norms_are_those_of_the_weights(folder):
    """The norm of weights and gradient after the last epoch, at any number of ranks."""
    prepare(folder)
    result = train(folder)
    arrays = weights(folder, "run")
    told = [float(value) for value in column(folder, "weight_norm", file="diagnostics.csv")[-2:]]
    wanted = [norm([arrays[f"{layer}/W"], arrays[f"{layer}/b"]]) for layer in ("0-dense", "1-dense")]
    result.must(numpy.allclose(told, wanted, rtol=1e-5), f"told {told}, wanted {wanted}")
    train(folder, "-o", "three", ranks=3)
    for name in ("gradient_norm", "weight_norm", "ratio", "dead"):
        one, three = (column(folder, name, output, "diagnostics.csv") for output in ("run", "three"))
        pairs = [(float(a), float(b)) for a, b in zip(one, three) if a or b]
        result.must(pairs and numpy.allclose(*zip(*pairs), rtol=1e-4), f"{name} depends on the ranks")


# ------------------------------------------------------------- the range test

def range_test_rows(text):
    """(rate, loss, smoothed) of each row of the table, which ends where the sketch begins."""
    table = text.split("\nsmoothed loss over")[0]
    return [tuple(map(float, row)) for row in re.findall(r"^ +([\d.e+-]+) +([\d.e+-]+) +([\d.e+-]+)(?:  minimum)?$", table, re.MULTILINE)]


def a_rate_is_suggested(folder):
    prepare(folder)
    before = harness.snapshot(folder)
    result = run_well(folder, "lr-find", "config.yaml", "-o", "curve.svg", "--steps", "80", ranks=2)
    result.says("rate", "smoothed").reports("suggested", "optimizer.lr:").says("curve.svg")
    suggested = float(re.search(r"optimizer.lr: (\S+)", result.out)[1])
    result.must(1e-4 < suggested < 1.0, f"{suggested} is not a useful rate for this network")
    rows = range_test_rows(result.out)
    least = min(rows, key=lambda row: row[2])
    result.must(abs(suggested - least[0] / 10.0) < 0.06 * suggested, f"least at {least[0]}, suggested {suggested}")
    whole = run_well(folder, "lr-find", "config.yaml", "-o", "curve.svg", "--steps", "20", "--to", "0.01")
    rows = range_test_rows(whole.out)
    mean = 0.0
    for n, (_, loss, smoothed) in enumerate(rows, 1):
        mean = 0.9 * mean + 0.1 * loss
        whole.must(abs(mean / (1.0 - 0.9**n) - smoothed) < 1e-4 * smoothed, f"row {n}: not the running mean")
    picture = xml.etree.ElementTree.parse(folder / "curve.svg").getroot()
    result.must(picture.tag.endswith("svg") and len(picture.findall("{*}polyline")) == 2, "two curves in the picture")
    after = harness.snapshot(folder)
    after.pop("curve.svg")
    result.must(after == before, "nothing else is written")


def range_test_refuses_nonsense(folder):
    prepare(folder)
    for words in (("--from", "1", "--to", "0.1"), ("--steps", "1"), ("--from", "x"), ("--to", "-1"), ("--steps", "2.5")):
        harness.run(folder, "lr-find", "config.yaml", *words).exits(2)


def divergence_points_to_the_range_test(folder):
    prepare(folder, ("optimizer: {type: adam, lr: 0.01}", "optimizer: {type: sgd, lr: 1.0e+6}"),
            ("softmax", "linear"), ("categorical_cross_entropy", "mse"), ("units: 3", "units: 1"))
    result = harness.run(folder, "train", "config.yaml", "--set", "train.epochs=50").exits(6)
    result.reports("error: ", "lr-find")


# ----------------------------------------------------------------------- batches

def accumulated_batches_are_one(folder):
    """Three batches of 20 are one of 60, weights of samples and all."""
    prepare(folder, w=numpy.arange(60, dtype="f4") % 4)
    for name, sets in (("whole", ("train.batch_size=full",)), ("parts", ("train.batch_size=20", "train.accumulate=3")),
                       ("odd", ("train.batch_size=7", "train.accumulate=100"))):
        result = train(folder, "-o", name, *(word for pair in sets for word in ("--set", pair)))
        result.must(column(folder, "step", name) == ["1", "2"], f"{name}: the steps are {column(folder, 'step', name)}")
    for name in ("parts", "odd"):
        for path, wanted in weights(folder, "whole").items():
            result.must(numpy.allclose(weights(folder, name)[path], wanted, rtol=1e-5, atol=1e-7), f"{name}: {path} differs")


# ------------------------------------------------------------------------ average

def the_average_is_that_of_the_weights(folder):
    """average += (1 - decay) (w - average) after each step, and w after the first one, as PyTorch's AveragedModel."""
    prepare(folder)
    words = ("--set", "train.ema=0.75", "--set", "train.batch_size=20", "--set", "train.epochs=2")
    wanted = {}
    for step in range(1, 7):
        train(folder, "-o", f"{step}", "--set", f"train.max_steps={step}", *words)
        for path, w in weights(folder, step_name := str(step)).items():
            w = w.astype(float)
            wanted[path] = wanted[path] + 0.25 * (w - wanted[path]) if path in wanted else w
        made = model_arrays(folder / step_name / "model-ema.h5")
    result = train(folder, "-o", "whole", *words)
    for path, array in wanted.items():
        result.must(numpy.allclose(made[path], array, rtol=1e-5, atol=1e-6), f"{path}: not the average")
    last = model_arrays(folder / "whole" / "model-ema.h5")
    result.must(all((last[path] == made[path]).all() for path in made), "the same average in one run")


def the_average_is_evaluated_and_resumed(folder):
    prepare(folder, ("  train: data.h5", "  train: data.h5\n  validation: 0.25\n  test: data.h5"))
    words = ("--set", "train.ema=0.9", "--set", "train.reproducible=true", "--set", "train.epochs=3", "--set", "metrics=[f1]")
    result = harness.run(folder, "train", "config.yaml", *words, "-o", "whole").exits(0)
    result.reports("val_ema_loss", "val_ema_accuracy").says("test of the averaged weights: loss", "whole/model-ema.h5")
    header, rows = read_csv(folder / "whole" / "metrics.csv")
    result.must(header[-3:] == ["val_f1", "val_ema_loss", "val_ema_accuracy"] and all(all(row) for row in rows), f"{header}")
    harness.run(folder, "train", "config.yaml", *words, "-o", "parts", "--set", "train.max_steps=4", ranks=3).exits(0)
    harness.run(folder, "train", "config.yaml", *words, "-o", "parts", ranks=2).exits(0)
    for name in ("model.h5", "model-ema.h5"):
        one, other = (model_arrays(folder / run / name) for run in ("whole", "parts"))
        result.must(all((one[path] == other[path]).all() for path in one), f"{name}: a resumed run is the same")
    (folder / "whole" / "model-ema.h5").rename(folder / "copy.h5")
    result = harness.run(folder, "train", "config.yaml", *words, "-o", "whole").exits(0).says("model-ema.h5: restored from")
    one, other = (model_arrays(folder / name) for name in ("whole/model-ema.h5", "copy.h5"))
    result.must(all((one[path] == other[path]).all() for path in one), "the restored average is the same")


def an_average_may_begin_later(folder):
    prepare(folder)
    train(folder, "--set", "train.max_steps=3")
    before = weights(folder, "run")
    result = train(folder, "--set", "train.ema=0.5", "--set", "train.max_steps=4")
    after, made = weights(folder, "run"), model_arrays(folder / "run" / "model-ema.h5")
    for path in made:
        wanted = 0.5 * (before[path].astype(float) + after[path].astype(float))
        result.must(numpy.allclose(made[path], wanted, rtol=1e-5, atol=1e-6), f"{path}: starts with the weights of the checkpoint")


TESTS = [
    l2_adds_its_gradient, l1_is_a_proximal_step, penalties_are_not_in_the_loss, clip_by_norm, clip_by_value,
    every_rate_is_logged, a_plateau_lowers_the_rate, early_stopping_ends_the_run, min_delta_asks_for_more,
    a_vanishing_gradient_causes_a_warning, dead_units_cause_a_warning, gradient_norms_are_means_over_samples,
    saturated_outputs_are_counted, growing_norms_cause_a_warning, diagnostics_can_be_left_out, norms_are_those_of_the_weights,
    a_rate_is_suggested, range_test_refuses_nonsense, divergence_points_to_the_range_test, accumulated_batches_are_one,
    the_average_is_that_of_the_weights, the_average_is_evaluated_and_resumed, an_average_may_begin_later,
]

harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
