#!/usr/bin/python3
"""Measures training over a network between emulated hosts (tests/hosts/hosts.py; root, iproute2) whose links have a given
rate and delay. For each mode of comm it reports the time of a step, the time of its communication alone, and how much of
the communication is hidden behind computation. Needs a build (scripts/quickstart creates it) and Debian's python3-h5py.

    sudo tests/bench/network.py [--hosts 2] [--rate 1gbit] [--delay 1000] [--batch 1024] [--modes allreduce,overlap]

Each run is `lockstep train` with a few steps per epoch. The time of a step is the time of an epoch in metrics.csv divided
by its steps, without the first two epochs, because the second one includes the checkpoint of the first. All kinds of run
alternate for several rounds; the results are medians over the rounds.

    C, compute alone          a step over each rank's rows of a batch, by simultaneous runs of one rank on the same cores
    U                         the same with a single row: the time that does not depend on the rows, such as the update
    T, the step               a step of all ranks over the whole batch
    M, communication alone    a step with one row per rank, minus U
    bound                     the minimum time of a step with computation C and communication M, if the gradient of a
                              layer is sent when it is complete. The passes take C - U, which is divided among the
                              products in their order: forward, then dW and dx from the last layer to the first. Let r_l
                              be the time when dW of layer l is complete, and m_l its part of M according to its bytes.
                              Its transfer ends at e_l = max(e_(l+1), r_l) + m_l; the bound is e_1 + U. The first layer,
                              whose gradient is complete last, therefore cannot be hidden.
    hidden                    (C + M - T) / (C + M - bound): 0 without overlap, 1 with the maximum overlap, above 1 if
                              parts of a layer's gradient are sent before it is complete

In the sharded mode, the time that it saves in the update is subtracted from M. The same cores
also run the network: the kernel, and the switch, which needs a tenth of a core at 1 Gbit/s in each direction. With more
ranks than cores, a core computes for one rank while another waits, in any mode. Then `hidden` is not reported; compare M,
and T between modes. The machine must be idle otherwise.
"""

import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import h5py
import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hosts"))
import hosts

PROGRAM = os.environ.get("LOCKSTEP", str(hosts.BUILD / "lockstep"))
DEADLINE = 300 # seconds per run
EPOCHS = 4

# Modes of comm, and the assignments that select them.
MODES = {
    "auto": [],
    "allreduce": ["comm.mode=allreduce"],
    "allreduce-bfloat16": ["comm.mode=allreduce", "comm.gradient_type=bfloat16"],
    "overlap": ["comm.mode=overlap"],
    "overlap-bfloat16": ["comm.mode=overlap", "comm.gradient_type=bfloat16"],
    "sharded": ["comm.mode=sharded"],
    "sharded-bfloat16": ["comm.mode=sharded", "comm.gradient_type=bfloat16"],
}

CONFIG = """
data: {{train: {data}, normalize: scale}}
model:
{layers}
  - {{layer: dense, units: {classes}, activation: softmax}}
loss: categorical_cross_entropy
optimizer: {{type: adam, lr: 0.0001}}
train: {{epochs: {epochs}, batch_size: {batch}, monitor: epoch}} # the first epoch is the best
checkpoint: {{every_epochs: 0}}
comm: {{threads: 1}}
"""


class Bench:
    """Emulated hosts, a folder, and the runs of a net on the hosts."""

    def __init__(self, bed, folder, options):
        self.bed, self.folder, self.options = bed, folder, options
        self.ranks = [options.ranks] * options.hosts
        self.size = sum(self.ranks)
        self.first_line = ""

    def prepare(self, name, batch, rows):
        """Writes the config of a run over `rows` rows. The data are noise, because the times do not depend on them."""
        widths = self.options.net
        random = numpy.random.default_rng(1)
        with h5py.File(self.folder / f"{name}.h5", "w") as file:
            file["x"] = random.integers(0, 256, (rows, widths[0]), dtype="u1")
            file["y"] = numpy.arange(rows) % widths[-1]
        layers = "\n".join(f"  - {{layer: dense, units: {units}, activation: relu}}" for units in widths[1:-1])
        (self.folder / f"{name}.yaml").write_text(CONFIG.format(data=f"{name}.h5", layers=layers, classes=widths[-1],
                                                                epochs=EPOCHS, batch=batch))
        return rows // batch

    def command(self, ranks, first_core, name, output, sets):
        words = [word for pair in sets for word in ("--set", pair)]
        return self.bed.command(ranks, PROGRAM, "train", self.folder / f"{name}.yaml", "--output", self.folder / output,
                                "--overwrite", *words, first_core=first_core)

    def seconds(self, runs, name, steps, sets=()):
        """The time of a step in the slowest of simultaneous runs; a run is (ranks on each host, its first core)."""
        started = []
        for number, (ranks, first_core) in enumerate(runs):
            command = self.command(ranks, first_core, name, f"run-{number}", sets)
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                            env=hosts.environment(DEADLINE)))
        found = []
        for number, process in enumerate(started):
            out, err = process.communicate()
            if process.returncode:
                sys.exit(f"{' '.join(['lockstep train', *sets])}: exit code {process.returncode}\n{out}{err}")
            self.first_line = out.splitlines()[0]
            with open(self.folder / f"run-{number}/metrics.csv", newline="", encoding="utf-8") as file:
                epochs = [float(row["seconds"]) / steps for row in csv.DictReader(file)]
            found.append(statistics.median(epochs[2:]))
        return max(found)

    def together(self, name, steps, sets):
        return self.seconds([(self.ranks, 0)], name, steps, sets)

    def apart(self, name, steps):
        """Independent runs, one per rank."""
        owners = [host for host, n in enumerate(self.ranks) for _ in range(n)]
        return self.seconds([([int(host == owner) for host in range(len(self.ranks))], core)
                             for core, owner in enumerate(owners)], name, steps)

    def rounds(self):
        """Returns name -> the time of a step in each round."""
        steps, batch, size = self.options.steps, self.options.batch, self.size
        self.prepare("whole", batch, batch * steps)
        self.prepare("row-each", size, size * steps)
        self.prepare("part", batch // size, batch // size * steps)
        self.prepare("row", 1, steps)
        found = {}
        for number in range(self.options.rounds):
            print(f"round {number + 1} of {self.options.rounds}", file=sys.stderr, flush=True)
            found.setdefault("C", []).append(self.apart("part", steps))
            found.setdefault("U", []).append(self.apart("row", steps))
            for mode in self.options.modes:
                found.setdefault(("T", mode), []).append(self.together("whole", steps, MODES[mode]))
                found.setdefault(("small", mode), []).append(self.together("row-each", steps, MODES[mode]))
        return found


def layers_of(widths):
    """(products, parameters) of each layer, from the first."""
    return [(n_in * n_out, (n_in + 1) * n_out) for n_in, n_out in zip(widths, widths[1:])]


def bound(widths, compute, update, communication):
    """The bound that the head of this file defines, in the unit of the arguments."""
    layers = layers_of(widths)
    products = 3 * sum(products for products, _ in layers) - layers[0][0] # the first layer has no dx
    done, crossed = sum(products for products, _ in layers), 0.0
    for own, parameters in reversed(layers):
        done += own
        share = parameters / sum(parameters for _, parameters in layers)
        crossed = max(crossed, (compute - update) * done / products) + communication * share
        done += own
    return crossed + update


def bits_per_second(rate):
    """Bits per second of a rate such as 1gbit; None for other units."""
    for unit, factor in (("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)):
        if rate.endswith(unit):
            return float(rate[:-len(unit)]) * factor
    return None


def judge(options, rounds, cores):
    """The results of each mode; times in ms."""
    median = {key: 1e3 * statistics.median(seconds) for key, seconds in rounds.items()}
    compute, update = median["C"], median["U"]
    figures = {"compute": compute, "update": update, "modes": {}}
    for mode in options.modes:
        step = median["T", mode]
        communication = median["small", mode] - update
        least = bound(options.net, compute, update, communication)
        possible = compute + communication - least
        is_fair = options.hosts * options.ranks <= cores and possible > 0.0 # noise may make it 0 or negative
        figures["modes"][mode] = {
            "step": step, "least": 1e3 * min(rounds["T", mode]), "most": 1e3 * max(rounds["T", mode]),
            "samples_per_second": 1e3 * options.batch / step, "communication": communication,
            "bound": least if is_fair else None, "hidden": (compute + communication - step) / possible if is_fair else None}
    return figures


def table(figures, first):
    """The results as Markdown, with ratios to the first mode."""
    rows = ["| mode | step, ms (range) | samples/s | communication alone, ms | bound, ms | hidden, of the"
            f" maximum | step: {first} / this |", "|---|---|---|---|---|---|---|"]
    for mode, of in figures["modes"].items():
        fair = [f"{of['bound']:.0f}", f"{100 * of['hidden']:.0f} %"] if of["hidden"] is not None else ["", ""]
        cells = [mode, f"{of['step']:.0f} ({of['least']:.0f} to {of['most']:.0f})", f"{of['samples_per_second']:.0f}",
                 f"{of['communication']:.0f}", *fair, f"{figures['modes'][first]['step'] / of['step']:.2f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def report(options, figures, first_line, cores):
    parameters = sum(parameters for _, parameters in layers_of(options.net))
    print(f"{options.hosts} hosts x {options.ranks} rank(s) on {cores} cores, links of {options.rate} and "
          f"{options.delay} us one way; {first_line}\n\n"
          f"{'-'.join(map(str, options.net))}, {parameters} parameters, batch {options.batch}, adam; compute alone "
          f"{figures['compute']:.0f} ms per step, {figures['update']:.0f} ms of them independent of the rows; medians of "
          f"{options.rounds} rounds\n\n{table(figures, options.modes[0])}")
    bits = bits_per_second(options.rate)
    if bits:
        least = 1e3 * 2 * (options.hosts - 1) / options.hosts * 32 * parameters / bits
        print(f"\nThe links cannot carry the sum of the float32 gradients in less than {least:.0f} ms.")
    if options.hosts * options.ranks > cores:
        print("\nMore ranks than cores: one computes while another waits, so the hidden part is not reported.")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--ranks", type=int, default=1, help="ranks on each host (default: %(default)s)")
    parser.add_argument("--rate", default="1gbit", help="rate of a link in the notation of tc (default: %(default)s)")
    parser.add_argument("--delay", type=int, default=1000, help="delay of a link in microseconds, one way (default: %(default)s)")
    parser.add_argument("--net", default="784-2048-2048-10", help="widths of the net (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1024, help="batch size over all ranks (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=4, help="steps per epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", default=",".join(MODES), help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the results as a JSON object, in ms")
    parser.add_argument("--markdown", action="store_true", help="print the results as a table (default)")
    options = parser.parse_args()
    options.modes = options.modes.split(",")
    options.net = [int(width) for width in options.net.split("-")]
    unknown = [mode for mode in options.modes if mode not in MODES]
    if unknown:
        parser.error(f"unknown mode: {', '.join(unknown)}; must be of {', '.join(MODES)}")
    if options.hosts < 2 or len(options.net) < 3 or options.batch % (options.hosts * options.ranks):
        parser.error("it takes two hosts or more, three widths or more, and a batch that all ranks share evenly")
    return options


def main():
    options = arguments()
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: the load of the machine is {load:.1f}; the results are not reliable", file=sys.stderr)
    try:
        hosts.need_all()
    except hosts.Impossible as why:
        sys.exit(f"cannot create hosts: {why}")
    with tempfile.TemporaryDirectory(prefix="lockstep-network-") as folder, \
         hosts.Hosts(options.hosts, options.rate, options.delay) as bed:
        bench = Bench(bed, pathlib.Path(folder), options)
        rounds = bench.rounds()
    figures = judge(options, rounds, cores)
    if options.json:
        conditions = {key: value for key, value in vars(options).items() if key not in ("json", "markdown")}
        print(json.dumps({**conditions, "cores": cores, "load_before": load, **figures}, indent=1))
    if options.markdown or not options.json:
        report(options, figures, bench.first_line, cores)


main()
