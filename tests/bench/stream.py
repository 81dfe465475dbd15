#!/usr/bin/python3
"""Measures how much longer an epoch of streamed data takes than the same epoch of data in memory. Needs a build,
datasets/fashion-mnist/fashion-mnist.h5 (scripts/quickstart creates both), and Debian's python3-h5py.

    tests/bench/stream.py FOLDER [--ranks 1 2] [--nets dense cnn] [--files raw gzip] [--rounds 3] [--program build/lockstep]

The data are the training images, repeated four times for dense (784-512-512-10), in chunks of 1 MiB without filters or with
shuffle and gzip level 4; they are written to FOLDER, unless they are there, and are in the page cache. Both kinds of run have the same window, a tenth of the data, and so
compute the same. They alternate, and their order changes from round to round. The result of a run is the time of its second
epoch in metrics.csv; that of a round is the ratio of its two runs. Prints the medians of the rounds, and the processor time
of the whole run. The machine must be idle otherwise. One rank runs without mpirun. Each rank has one thread for products.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mpi"))
import runs

DENSE = """[{layer: dense, units: 512, activation: relu}, {layer: dense, units: 512, activation: relu},
  {layer: dense, units: 10, activation: softmax}]"""
CNN = """[{layer: conv2d, filters: 32, kernel_size: 3, padding: same, activation: relu}, {layer: max_pool, size: 2},
  {layer: conv2d, filters: 64, kernel_size: 3, padding: same, activation: relu}, {layer: max_pool, size: 2},
  {layer: dense, units: 10, activation: softmax}]"""

# Net: its layers, and how often the images are repeated.
NETS = {"dense": (DENSE, 4), "cnn": (CNN, 1)}
CHUNK = 1334  # rows: 1 MiB

CONFIG = """
data: {{train: {file}, normalize: scale, window: {window}}}
model: {layers}
loss: categorical_cross_entropy
optimizer: {{type: adam, lr: 0.001}}
train: {{epochs: 2, batch_size: 128, monitor: train_loss}}
checkpoint: {{every_epochs: 0}}
comm: {{threads: 1, mode: allreduce}}
"""


def write_data(path, source, repeats, is_gzip):
    filters = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if is_gzip else {}
    with h5py.File(source, "r") as images, h5py.File(path, "w") as out:
        for name in ("x", "y"):
            part = images["train"][name][:]
            rows = len(part)
            array = out.create_dataset(name, (rows * repeats, *part.shape[1:]), part.dtype, chunks=(CHUNK, *part.shape[1:]),
                                       **filters)
            for i in range(repeats):
                array[i * rows:(i + 1) * rows] = part


def epoch_seconds(options, folder, ranks, memory):
    """The time of the second epoch, and the processor time of the run."""
    start = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*start, options.program, "train", str(folder / "net.yaml"), "--output", str(folder / "run"), "--overwrite",
                    "--set", "data.memory=" + memory], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = (folder / "run/metrics.csv").read_text().splitlines()
    seconds = float(lines[2].split(",")[lines[0].split(",").index("seconds")])
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(options, folder, ranks, what):
    found = {"resident": [], "stream": []}
    for i in range(options.rounds):
        for memory in ("resident", "stream") if i % 2 == 0 else ("stream", "resident"):
            found[memory].append(epoch_seconds(options, folder, ranks, memory))
    ratios = [b[0] / a[0] for a, b in zip(found["resident"], found["stream"])]
    seconds, processor = ({m: statistics.median(v[k] for v in found[m]) for m in found} for k in (0, 1))
    print(f"{what}, {ranks} ranks: {seconds['resident']:.3f} s per epoch resident, {seconds['stream']:.3f} streamed, ratio "
          f"{statistics.median(ratios):.3f} ({', '.join(f'{r:.3f}' for r in ratios)}); processor time "
          f"{processor['resident']:.2f} and {processor['stream']:.2f} s", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--files", nargs="+", choices=["raw", "gzip"], default=["raw", "gzip"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", default=runs.PROGRAM)
    parser.add_argument("--images", default=str(runs.ROOT / "datasets/fashion-mnist/fashion-mnist.h5"))
    options = parser.parse_args()
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-") as name:
        folder = pathlib.Path(name)
        for net in options.nets:
            layers, repeats = NETS[net]
            for kind in options.files:
                data = options.folder.resolve() / f"bench-stream-{repeats}-{kind}.h5"
                if not data.exists():
                    write_data(data, options.images, repeats, kind == "gzip")
                (folder / "net.yaml").write_text(CONFIG.format(file=data, window=6000 * repeats, layers=layers))
                for ranks in options.ranks:
                    measure(options, folder, ranks, f"{net}, {kind}")


main()
