"""Measures PyTorch's DataLoader (h5py, shuffled, 2 workers, batches of 128) on the files of bench_read, in turn with
bench_read itself: data_loader.py BUILD FOLDER. Files are in the page cache. Prints MB/s and the ratio."""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import h5py
import torch

SECONDS = 6
ROUNDS = 3


class Samples(torch.utils.data.Dataset):
    """The rows of /x; each worker opens the file itself."""

    def __init__(self, path):
        self.path, self.x = path, None
        with h5py.File(path, "r") as file:
            self.n, self.bytes = len(file["x"]), file["x"][0].nbytes

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if self.x is None:
            self.x = h5py.File(self.path, "r")["x"]
        return torch.from_numpy(self.x[i])


def loader_speed(path):
    """MB/s after the first batch."""
    samples = Samples(path)
    batches = iter(torch.utils.data.DataLoader(samples, batch_size=128, shuffle=True, num_workers=2))
    next(batches)
    start, rows = time.perf_counter(), 0
    for batch in batches:
        rows += len(batch)
        if time.perf_counter() - start > SECONDS:
            break
    return 1e-6 * rows * samples.bytes / (time.perf_counter() - start)


def our_speed(build, folder, kind):
    output = subprocess.run([build / "tests/bench/bench_read", folder, kind], check=True, capture_output=True, text=True)
    return float(re.search(r"lockstep +(\d+) MB/s", output.stdout).group(1))


def main():
    build, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    for kind, name in (("warm", "bench-read-raw.h5"), ("gzip", "bench-read-gzip.h5")):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(our_speed(build, folder, kind))
            theirs.append(loader_speed(os.fspath(folder / name)))
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"{kind}: lockstep {a:.0f} MB/s, DataLoader {b:.1f}, ratio {a / b:.0f}", flush=True)


if __name__ == "__main__":
    main()
