"""The trained model does not depend on the number of ranks.

After 50 steps with dropout, a validation split and ragged batches, RANKS ranks have the parameters of one rank to rounding, and
have logged the same losses. In reproducible mode the bits are the same.

Sums in another order differ in the last digit of float32, 6e-8; these nets hardly amplify the difference. Measured at 2, 3, 4
and 7 ranks, as ||difference|| / ||array||: parameters at most 3e-7 with sgd and momentum and 2e-7 with adam, whose step is
relative to the size of the gradient; velocities 1.1e-6; means over an epoch 1e-7. The bound is 1e-5 for all.

  test_ranks_equal.py RANKS... [--long]     --long runs all cases at each number of ranks, otherwise 3 ranks have all
"""

import math
import sys

import runs

BOUND = 1e-5
STEPS = 50
IS_LONG = "--long" in sys.argv
sys.argv[1:] = [word for word in sys.argv[1:] if word != "--long"]

# Two samples or classes of nearly the same score may change places: a jump, of a pair or a sample.
COUNTED = ("accuracy", "top_2", "f1", "roc_auc")
BOUND_OF_COUNTS = 1e-2

# Pixels that move come to where there were none, which `standardize` makes huge: so they are only scaled.
# Batches of 2 leave ranks without a row; with few samples a step, a smaller rate keeps the net from running wild.
WIDE = ["model=[{layer: dense, units: 300, activation: relu}, {layer: batch_norm}, {layer: residual, layers: [{layer: "
        "dense, units: 300, activation: tanh}]}, {layer: dense, units: 10, activation: softmax}]",
        "optimizer={type: momentum, lr: 0.01}", "train.accumulate=2", "train.batch_size=33"]
# Convolutions, pooling and norms over channels, with batches of 2 left over for some ranks. Smooth, as a kink that one
# sample crosses is a jump.
CONV = ["model=[{layer: conv2d, filters: 6, kernel_size: 3, padding: same, activation: tanh}, {layer: batch_norm}, {layer: "
        "avg_pool, size: 2}, {layer: residual, activation: tanh, layers: [{layer: conv2d, filters: 18, kernel_size: 3, stride: "
        "2, padding: 1, bias: false}, {layer: layer_norm}]}, {layer: dropout, rate: 0.2, spatial: true}, {layer: conv2d, "
        "filters: 18, kernel_size: 2, groups: 18}, {layer: global_max_pool}, {layer: dense, units: 10, activation: softmax}]",
        "train.accumulate=2", "train.batch_size=33"]
# Kernels for many channels, and pieces of rows from convolution to pooling. The last batches have one sample.
WIDE_CONV = ["model=[{layer: conv2d, filters: 32, kernel_size: 3, padding: same, activation: relu}, {layer: conv2d, filters: 32, "
             "kernel_size: 3, padding: same, bias: false}, {layer: batch_norm}, {layer: relu}, {layer: max_pool, size: 2}, "
             "{layer: residual, activation: relu, layers: [{layer: conv2d, filters: 32, kernel_size: 3, padding: same, bias: false}, "
             "{layer: batch_norm}]}, {layer: global_avg_pool}, {layer: dense, units: 10, activation: softmax}]",
             "train.batch_size=41", "data.validation=0.029", "train.max_steps=36", "train.diagnostics=true"]
CASES = {
    "conv": CONV,
    "conv-overlap": [*CONV, "comm.mode=overlap"],
    "conv-sharded": [*CONV, "comm={mode: sharded, shared_memory: false}"],
    "sgd": ["optimizer={type: sgd, lr: 0.1}"],
    "momentum": [],
    "adam": ["optimizer={type: adam, lr: 0.001}"],
    "relu": ["model.0.activation=relu"],
    "batch-2": ["optimizer={type: momentum, lr: 0.01}", "train.batch_size=2"],
    "full": ["train.batch_size=full", "train.epochs=50"],
    "everything": runs.EVERYTHING,
    # Several buckets, with batch norm, a residual and a sum of batches between them.
    "wide": [*WIDE, "comm.mode=overlap"],
    "wide-nodes": [*WIDE, "comm={mode: overlap, shared_memory: false}"],
    "sgd-sharded": ["optimizer={type: sgd, lr: 0.1}", "comm.mode=sharded"],
    # Without shared memory each rank is a node to the others.
    "sharded": [*runs.EVERYTHING, "comm.mode=sharded"],
    "sharded-nodes": [*runs.EVERYTHING, "comm={mode: sharded, shared_memory: false}"],
    "overlap-nodes": [*runs.EVERYTHING, "comm={mode: overlap, shared_memory: false}"],
    "allreduce-nodes": [*runs.EVERYTHING, "comm={mode: allreduce, shared_memory: false}"],
}


# Cases at other numbers of ranks than 3, which has uneven shards.
FEW = ("everything", "conv-overlap", "sharded-nodes", "wide", "window")


def chosen(cases, ranks):
    """The cases at a number of ranks. One is enough for the sanitizers."""
    if not runs.is_quick():
        return {"everything": runs.EVERYTHING}
    return {name: sets for name, sets in cases.items() if IS_LONG or ranks == 3 or name in FEW}


def step_losses(output):
    """What the lines of single steps say, to six digits."""
    lines = [line.split() for line in output.splitlines() if line.startswith("step ")]
    return [float(words[words.index("loss") + 1]) for words in lines]


def is_close(a, b, digits, bound=BOUND):
    """To the bound, and to the last of the digits printed."""
    last = 10.0 ** (math.floor(math.log10(abs(b))) - digits + 1) if b else 0.0
    return abs(a - b) <= bound * abs(b) + 1.001 * last


def check_rows(rows, expected, name, verdicts):
    numbers = [(float(row[key]), float(wanted[key]), BOUND_OF_COUNTS if key.endswith(COUNTED) else BOUND)
               for row, wanted in zip(rows, expected) for key in wanted]
    verdicts.check(len(rows) == len(expected), f"{name}: {len(expected)} rows of metrics.csv")
    verdicts.check(all(is_close(a, b, 9, bound) for a, b, bound in numbers), f"{name}: {len(numbers)} numbers of metrics.csv")


def check_state(state, expected, name, verdicts):
    """Counters and normaliser to the bit, what was trained to rounding. The platform includes the number of ranks."""
    farthest = {key: runs.distance(state.arrays[key], array) for key, array in expected.arrays.items()
                if not key.startswith("normalizer/")}
    worst = max(farthest, key=farthest.get)
    verdicts.check(farthest[worst] <= BOUND, f"{name}: {len(farthest)} arrays, {worst} is {farthest[worst]:.1e} apart")
    trained = {f"{key} differs" for key in farthest} | {f"{key} differs" for key in expected.float_attributes()}
    trained.add(f"{('/', 'platform')} differs")
    rest = [text for text in state.different(expected) if text.split(":")[0] not in trained]
    verdicts.check(not rest, f"{name}: all else has the same bits {rest}")


class Alone:
    """The runs at one rank, each made once; `train` returns what it printed."""

    def __init__(self, here):
        self.here, self.printed = here, {}

    def train(self, name, sets):
        if name not in self.printed:
            self.printed[name] = self.here.train(1, f"{name}-1", sets)
        return self.printed[name]


def check_case(here, alone_runs, ranks, name, sets, verdicts):
    sets = [f"train.max_steps={STEPS}", "train.log_every=1", *sets]
    ours, alone = step_losses(here.train(ranks, f"{name}-{ranks}", sets)), step_losses(alone_runs.train(name, sets))
    verdicts.check(len(ours) == len(alone) == STEPS, f"{name}: {STEPS} losses logged")
    verdicts.check(all(is_close(a, b, 6) for a, b in zip(ours, alone)), f"{name}: losses agree")
    check_rows(here.metrics(f"{name}-{ranks}"), here.metrics(f"{name}-1"), name, verdicts)
    check_state(here.checkpoint(f"{name}-{ranks}", STEPS), here.checkpoint(f"{name}-1", STEPS), name, verdicts)


def check_accumulated(here, ranks, verdicts):
    """One step from four batches is that of one batch four times as large, the short last ones too."""
    sets = [f"train.max_steps={STEPS}", "train.log_every=1"]
    whole = step_losses(here.train(ranks, f"whole-{ranks}", sets))
    parts = step_losses(here.train(ranks, f"parts-{ranks}", [*sets, "train.batch_size=16", "train.accumulate=4"]))
    verdicts.check(len(whole) == len(parts) == STEPS, "accumulated: as many steps")
    verdicts.check(all(is_close(a, b, 6) for a, b in zip(parts, whole)), "accumulated: losses agree")
    check_state(here.checkpoint(f"parts-{ranks}", STEPS), here.checkpoint(f"whole-{ranks}", STEPS), "accumulated", verdicts)


def check_reproducible(here, alone_runs, ranks, verdicts):
    """With lanes, any number of ranks gives the same bits: parameters, the optimizer's state, metrics and all that is
    logged; more ranks than lanes too."""
    cases = {"plain": [], "two-lanes": ["train.lanes=2"], "adam": ["optimizer={type: adam, lr: 0.001}", "train.lanes=1"],
             "conv": [*CONV, "train.max_steps=30", "data.normalize=scale",
                      "data.augment={shift: 1, flip_horizontal: true, noise: 0.1, cutout: 2, mixup: 0.3}"],
             "wide-conv": WIDE_CONV,
             "window": [*runs.EVERYTHING, *here.parts(), "train.max_steps=50"],
             "batch-5": [*runs.EVERYTHING, "train.batch_size=5", "train.accumulate=1", "train.max_steps=40"],
             "everything": runs.EVERYTHING}
    for name, sets in chosen(cases, ranks).items():
        sets = ["train.reproducible=true", "train.log_every=1", *sets]
        printed = {1: alone_runs.train(f"bits-{name}", sets)}
        for n in (ranks,) if ranks != 4 else (4, 8):
            printed[n] = here.train(n, f"bits-{name}-{n}", sets)
        lines = {n: [line for line in text.splitlines() if line.startswith("step ")] for n, text in printed.items()}
        last = here.checkpoints(f"bits-{name}-1")[-1]
        alone = runs.Checkpoint(here.folder / f"bits-{name}-1/checkpoints" / last)
        for n in lines.keys() - {1}:
            run = f"bits-{name}-{n}"
            wrong = runs.Checkpoint(here.folder / run / "checkpoints" / last).different(alone)
            verdicts.check(not wrong, f"reproducible: {name} at {n}: {last} has the same bits {wrong}")
            verdicts.check(here.metrics(run) == here.metrics(f"bits-{name}-1"), f"reproducible: {name} at {n}: metrics.csv")
            verdicts.check(here.table(run, "diagnostics.csv") == here.table(f"bits-{name}-1", "diagnostics.csv"),
                           f"reproducible: {name} at {n}: diagnostics.csv")
            verdicts.check(lines[n] == lines[1] != [], f"reproducible: {name} at {n}: {len(lines[1])} lines of steps")


def check_repeated(here, ranks, verdicts):
    """The same run again at the same number of ranks gives the same bits."""
    sets = [f"train.max_steps={STEPS}"]
    states = []
    for name in (f"once-{ranks}", f"again-{ranks}"):
        here.train(ranks, name, sets)
        states.append(here.checkpoint(name, STEPS))
    verdicts.check(not states[0].different(states[1]), f"repeated: {states[0].different(states[1])}")


def check_modes(here, ranks, verdicts):
    """Within a node gradients are added up in one order, however: the same bits."""
    states = {}
    for mode in ("auto", "allreduce", "overlap", "sharded"):
        here.train(ranks, f"mode-{mode}-{ranks}", [*runs.EVERYTHING, f"train.max_steps={STEPS}", f"comm.mode={mode}"])
        states[mode] = here.checkpoint(f"mode-{mode}-{ranks}", STEPS)
    for mode, state in states.items():
        wrong = state.different(states["auto"])
        verdicts.check(not wrong, f"modes: {mode} has the bits of auto {wrong}")


def check_all(here, alone_runs, ranks, verdicts):
    for name, sets in chosen(CASES, ranks).items():
        check_case(here, alone_runs, ranks, name, sets, verdicts)
    check_reproducible(here, alone_runs, ranks, verdicts)
    if IS_LONG or ranks in (2, 3):
        check_accumulated(here, ranks, verdicts)
        check_repeated(here, ranks, verdicts)
    check_modes(here, ranks, verdicts)


def main():
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} RANKS...")
    verdicts = runs.Verdicts()
    with runs.Runs() as here:
        alone_runs = Alone(here)
        for ranks in map(int, sys.argv[1:]):
            print(f"at {ranks} ranks:")
            check_all(here, alone_runs, ranks, verdicts)
    verdicts.end()


main()
