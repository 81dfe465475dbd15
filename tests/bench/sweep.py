"""Trials per hour of a sweep: k trials on k ranks against one rank, and against k separate sweeps, which share only the machine.

sweep.py [ROUNDS]    alternates them, and prints the ratios of each round and their medians. Each rank needs a core of its own.

The trials are small (digits, one hidden layer), as these gain most from training side by side. Checkpoints are written only after
the first epoch and at the end of a trial. The time begins with the first trial and ends with the last one: the start of MPI, half
a second, is not part of it. TMPDIR=/dev/shm leaves out the disk.
"""

import concurrent.futures
import pathlib
import shutil
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import harness  # noqa: E402

TRIALS = 16
RANKS = 2
BASE = f"""\
data: {{train: '{harness.DATASETS}/digits/digits.h5:/train', validation: 0.1, normalize: standardize}}
model: [{{layer: dense, units: 128, activation: relu}}, {{layer: dense, units: 10, activation: softmax}}]
loss: categorical_cross_entropy
optimizer: {{type: adam, lr: 0.001}}
train: {{epochs: 300, batch_size: 32, diagnostics: false, monitor: epoch}}
checkpoint: {{every_epochs: 0}}
"""
SWEEP = f"""\
base: base.yaml
parameters: {{optimizer.lr: {{log_uniform: [1e-3, 1e-2]}}}}
trials: {TRIALS}
"""


def start(folder, ranks, output="out", before=()):
    shutil.rmtree(folder / output, ignore_errors=True)
    return harness.start(folder, "sweep", "sweep.yaml", "--output", output, ranks=ranks, before=before)


def finish(process):
    times = {line.split(":")[0]: time.monotonic() for line in process.stdout}
    if process.wait() != 0:
        raise SystemExit(process.stderr.read())
    return times["best"] - times["sweep"]


def separate(folder):
    """The time of the slowest of RANKS sweeps at the same time, each on a core of its own."""
    processes = [start(folder, 1, f"out{core}", ("taskset", "-c", str(core))) for core in range(RANKS)]
    with concurrent.futures.ThreadPoolExecutor(RANKS) as pool:
        return max(pool.map(finish, processes))


def main():
    folder = harness.temporary_folder("lockstep-bench-")
    harness.write_file(folder / "base.yaml", BASE)
    harness.write_file(folder / "sweep.yaml", SWEEP)
    ratios, bounds = [], []
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5):
        one, many, apart = finish(start(folder, 1)), finish(start(folder, RANKS)), separate(folder)
        ratios.append(one / many)
        bounds.append(RANKS * one / apart)
        print(f"{TRIALS} trials: 1 rank {one:.2f} s, {RANKS} ranks {many:.2f} s: {ratios[-1]:.2f} times as many per hour, "
              f"{RANKS} separate sweeps {bounds[-1]:.2f}", flush=True)
    print(f"median {statistics.median(ratios):.2f} of {RANKS}, separate sweeps {statistics.median(bounds):.2f}")
    shutil.rmtree(folder)


main()
