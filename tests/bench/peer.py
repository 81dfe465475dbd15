"""Functions of the other programs that scripts/bench compares: options, data, measurement and output."""

import argparse
import json
import time

import h5py
import numpy


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", help="HDF5 file with bytes in /train/x and class indices in /train/y")
    parser.add_argument("net", help="widths of the net, such as 784-512-10; for PyTorch also cnn or resnet20")
    parser.add_argument("batches", type=int, nargs="+", metavar="BATCH")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.4, help="duration of each measurement")
    parser.add_argument("--first-step", action="store_true", help="print `step 1` after the first step and exit")
    options = parser.parse_args()
    options.widths = [int(width) for width in options.net.split("-")] if options.net[0].isdigit() else None
    return options


def training_data(path):
    """Returns x of the stored shape, float32 from 0 to 1, and y, (n) int64."""
    with h5py.File(path, "r") as file:
        x, y = file["train/x"][:], file["train/y"][:]
    x = x.astype(numpy.float32)
    x /= 255
    return x, y.astype(numpy.int64)


def timed(run, steps, wait):
    wait()
    start = time.perf_counter()
    run(steps)
    wait()
    return time.perf_counter() - start


def calibrate(run, seconds, wait=lambda: None, agree=lambda value: value):
    """The time of a step in seconds. Doubles the number of steps until the time suffices; ignores the first step. `wait`
    is a barrier, and `agree` returns rank 0's value on all ranks."""
    timed(run, 1, wait)
    steps = 1
    while True:
        taken = agree(timed(run, steps, wait))
        if taken >= seconds / 4:
            return taken / steps
        steps *= 2


def measure(run, batch, seconds, step_seconds, wait=lambda: None):
    """Samples/s, measured over about `seconds`."""
    steps = max(2, int(seconds / step_seconds))
    return steps * batch / timed(run, steps, wait)


def report(batch, rate, **more):
    print(json.dumps({"batch": batch, "samples_per_second": round(rate, 1), **more}), flush=True)
