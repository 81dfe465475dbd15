#!/usr/bin/python3
"""Measures the cost of checkpoints and the start-up time of a resumed run, on Fashion-MNIST, 784-512-512-10, adam.
Needs a build and datasets/fashion-mnist/fashion-mnist.h5 (scripts/quickstart creates both), and Debian's python3-h5py.

    tests/bench/checkpoint.py [--ranks 1 2] [--rounds 5] [--program build/lockstep ...]

The kinds of run alternate: without checkpoints; a checkpoint after each epoch; a new best checkpoint after each epoch; a
checkpoint every 50 and every 25 steps. Several programs alternate too. The results are medians of the epoch times in
metrics.csv over the rounds, without the first two epochs, because the checkpoint of the first one is written during the
second. The cost of a checkpoint is the additional time of an epoch divided by its number of checkpoints. It consists of
the copy, and of the time of the writer thread if that thread has no core of its own. The machine must be idle otherwise.
One rank runs without mpirun.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mpi"))
import runs

EPOCHS = 4
SAMPLES, BATCH = 60000, 128
STEPS = -(-SAMPLES // BATCH)

CONFIG = """
data: {{train: {root}/datasets/fashion-mnist/fashion-mnist.h5:/train, normalize: scale}}
model:
  - {{layer: dense, units: 512, activation: relu}}
  - {{layer: dense, units: 512, activation: relu}}
  - {{layer: dense, units: 10, activation: softmax}}
loss: categorical_cross_entropy
optimizer: {{type: adam, lr: 0.0001}}
train: {{epochs: {epochs}, batch_size: {batch}, monitor: epoch}} # monitor: the first epoch is the best
comm: {{threads: 1, mode: allreduce}}
"""

# Kind of run: its assignments, and the number of checkpoints per epoch.
KINDS = {
    "none": (["checkpoint.every_epochs=0"], 0),
    "epoch": (["checkpoint.every_epochs=1"], 1),
    "best epoch": (["checkpoint.every_epochs=1", "train.monitor=train_loss"], 1),
    "50 steps": (["checkpoint={every_epochs: 0, every_steps: 50}"], STEPS // 50),
    "25 steps": (["checkpoint={every_epochs: 0, every_steps: 25}"], STEPS // 25),
}


def command(program, folder, ranks, *words):
    start = [runs.MPIRUN, str(ranks)] if ranks > 1 else []
    return [*start, program, "train", str(folder / "net.yaml"), *words]


def epoch_seconds(program, folder, ranks, sets):
    """The times of the epochs that are evaluated."""
    words = ["--output", str(folder / "run"), "--overwrite"]
    for pair in sets:
        words += ["--set", pair]
    subprocess.run(command(program, folder, ranks, *words), check=True, stdout=subprocess.DEVNULL)
    lines = (folder / "run/metrics.csv").read_text().splitlines()
    place = lines[0].split(",").index("seconds")
    return [float(line.split(",")[place]) for line in lines[3:]]


def resume_seconds(program, folder, ranks):
    """The time from the start of a resumed run to the log line of its first step."""
    output = ["--output", str(folder / "resumed")]
    subprocess.run(command(program, folder, ranks, *output, "--overwrite", "--set", "train.max_steps=3"), check=True,
                   stdout=subprocess.DEVNULL)
    start = time.monotonic()
    with subprocess.Popen(command(program, folder, ranks, *output, "--set", "train.log_every=1", "--set",
                                  "train.max_steps=20"), stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("step 4 "):
                return time.monotonic() - start
    sys.exit("the resumed run took no step")


def measure(programs, folder, ranks, rounds):
    seconds = {(program, kind): [] for program in programs for kind in KINDS}
    resumes = {program: [] for program in programs}
    for _ in range(rounds):
        for kind, (sets, _) in KINDS.items():
            for program in programs:
                seconds[program, kind] += epoch_seconds(program, folder, ranks, sets)
        for program in programs:
            resumes[program].append(resume_seconds(program, folder, ranks))
    for program in programs:
        none = statistics.median(seconds[program, "none"])
        print(f"{program} at {ranks} ranks: {none:.3f} s per epoch without checkpoints; first step of a resumed run "
              f"{statistics.median(resumes[program]):.2f} s after the command")
        for kind, (_, n) in KINDS.items():
            more = statistics.median(seconds[program, kind]) - none
            if n:
                print(f"    every {kind}: {1e3 * more / n:7.1f} ms per checkpoint, {100 * more / none:5.1f} % of an "
                      f"epoch, {100 * more / n / none:5.1f} % per checkpoint", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--program", nargs="+", default=[runs.PROGRAM])
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-") as name:
        folder = pathlib.Path(name)
        (folder / "net.yaml").write_text(CONFIG.format(root=runs.ROOT, epochs=EPOCHS, batch=BATCH))
        for ranks in options.ranks:
            measure(options.program, folder, ranks, options.rounds)


main()
