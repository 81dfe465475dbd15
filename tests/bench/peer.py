"""What the other programs of scripts/bench share: their options, the data, how speed is measured, what is printed."""

import argparse
import json
import time

import h5py
import numpy


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", help="HDF5 file with bytes in /train/x and class numbers in /train/y")
    parser.add_argument("net", help="widths, as in 784-512-10")
    parser.add_argument("batches", type=int, nargs="+", metavar="BATCH")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.4, help="of each measurement")
    parser.add_argument("--first-step", action="store_true", help="prints `step 1` after the first step, and ends")
    options = parser.parse_args()
    options.widths = [int(width) for width in options.net.split("-")]
    return options


def training_data(path):
    """x: (n, features) float32, from 0 to 1; y: (n) int64"""
    with h5py.File(path, "r") as file:
        x, y = file["train/x"][:], file["train/y"][:]
    x = x.reshape(len(x), -1).astype(numpy.float32)
    x /= 255
    return x, y.astype(numpy.int64)


def timed(run, steps, wait):
    wait()
    start = time.perf_counter()
    run(steps)
    wait()
    return time.perf_counter() - start


def calibrate(run, seconds, wait=lambda: None, agree=lambda value: value):
    """Seconds of a step. Warms up by ever more steps, the first one left out. `wait` returns once all ranks call it,
    `agree` returns rank 0's value on all."""
    timed(run, 1, wait)
    steps = 1
    while True:
        taken = agree(timed(run, steps, wait))
        if taken >= seconds / 4:
            return taken / steps
        steps *= 2


def measure(run, batch, seconds, step_seconds, wait=lambda: None):
    """Samples/s over about so many seconds."""
    steps = max(2, int(seconds / step_seconds))
    return steps * batch / timed(run, steps, wait)


def report(batch, rate, **more):
    print(json.dumps({"batch": batch, "samples_per_second": round(rate, 1), **more}), flush=True)
