#!/usr/bin/python3
"""Measures training over a network: hosts of one machine (tests/hosts/hosts.py; root, iproute2) with links of a rate and
a delay. For each way of the gradients the time of a step, of its communication alone, and how much of that is hidden
behind computation. Needs a build (scripts/quickstart makes it), Debian's python3-h5py, and nothing else.

    sudo tests/bench/network.py [--hosts 2] [--rate 1gbit] [--delay 1000] [--batch 1024] [--modes allreduce,overlap]

What is run: `lockstep train` for a few steps an epoch; a step's time is an epoch's seconds in metrics.csv over its steps,
the first two left out, as the first one's checkpoint counts in the second. All kinds of run take turns, several rounds; figures are medians over the rounds.

    C, compute alone          each rank's rows of a batch, by as many runs of one rank at once, on the same cores
    U                         the same of a single row: what does not grow with the rows, such as the update
    T, the step               all ranks, the whole batch
    M, communication alone    a step of one row a rank, less U
    bound                     the least time of a step with the computation C and the communication M, where a layer's
                              gradient leaves when it is whole. The pass takes C - U, shared out by the products in
                              their order: forward, then from the last layer to the first dW and dx. With r_l the time
                              when dW of layer l is there, and m_l the part of M that its bytes have, it has crossed at
                              e_l = max(e_(l+1), r_l) + m_l; the bound is e_1 + U. So the first layer, whose gradient is
                              the last, cannot be hidden.
    hidden                    (C + M - T) / (C + M - bound): 0 is one after the other, 1 all that could be. Above 1: parts
                              of a layer left before it was whole.

Where a way has less to update (sharded), what it saves there is taken off its M. The same cores do the work of the network
too: the kernel's, and the switch's, a tenth of a core at 1 Gbit/s each way. With more ranks than cores a core computes for
one rank while another waits, whatever the program does: then nothing is said of hiding, and the figures to compare are M,
and T between ways. The machine must have nothing else to do.
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
DEADLINE = 300 # seconds, for a run
EPOCHS = 4

# A way of the gradients, and the assignments that choose it.
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
    """A bed of hosts, a folder, and the runs of a net on them."""

    def __init__(self, bed, folder, options):
        self.bed, self.folder, self.options = bed, folder, options
        self.ranks = [options.ranks] * options.hosts
        self.size = sum(self.ranks)
        self.first_line = ""

    def prepare(self, name, batch, rows):
        """The config of a run of so many rows; noise will do, since nothing depends on what is learnt."""
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
        """Of a step, in the slowest of runs at the same time; a run is (ranks on each host, its first core)."""
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
        """Each rank for itself."""
        owners = [host for host, n in enumerate(self.ranks) for _ in range(n)]
        return self.seconds([([int(host == owner) for host in range(len(self.ranks))], core)
                             for core, owner in enumerate(owners)], name, steps)

    def rounds(self):
        """By name, the seconds in each round."""
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
    """As above, in the unit of its arguments."""
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
    """Of a rate in tc's words; None where it has others."""
    for unit, factor in (("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)):
        if rate.endswith(unit):
            return float(rate[:-len(unit)]) * factor
    return None


def judge(options, rounds, cores):
    """Figures of each mode, times in ms."""
    median = {key: 1e3 * statistics.median(seconds) for key, seconds in rounds.items()}
    compute, update = median["C"], median["U"]
    figures = {"compute": compute, "update": update, "modes": {}}
    for mode in options.modes:
        step = median["T", mode]
        communication = median["small", mode] - update
        least = bound(options.net, compute, update, communication)
        possible = compute + communication - least
        is_fair = options.hosts * options.ranks <= cores and possible > 0.0 # noise may leave nothing to hide
        figures["modes"][mode] = {
            "step": step, "least": 1e3 * min(rounds["T", mode]), "most": 1e3 * max(rounds["T", mode]),
            "samples_per_second": 1e3 * options.batch / step, "communication": communication,
            "bound": least if is_fair else None, "hidden": (compute + communication - step) / possible if is_fair else None}
    return figures


def table(figures, first):
    """Markdown. Ratios are to the first mode."""
    rows = ["| way of the gradients | step, ms (range) | samples/s | communication alone, ms | bound, ms | hidden of what"
            f" could be | step: {first} / this |", "|---|---|---|---|---|---|---|"]
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
          f"{figures['compute']:.0f} ms a step, of which {figures['update']:.0f} do not grow with the rows; medians of "
          f"{options.rounds} rounds\n\n{table(figures, options.modes[0])}")
    bits = bits_per_second(options.rate)
    if bits:
        least = 1e3 * 2 * (options.hosts - 1) / options.hosts * 32 * parameters / bits
        print(f"\nThe links cannot carry the sum of the float32 gradients in less than {least:.0f} ms.")
    if options.hosts * options.ranks > cores:
        print("\nMore ranks than cores: while one waits another computes, so nothing is said of hiding.")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--ranks", type=int, default=1, help="on each host (default: %(default)s)")
    parser.add_argument("--rate", default="1gbit", help="of a host's link, as tc writes it (default: %(default)s)")
    parser.add_argument("--delay", type=int, default=1000, help="microseconds one way (default: %(default)s)")
    parser.add_argument("--net", default="784-2048-2048-10", help="its widths (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1024, help="over all ranks (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=4, help="in each of the epochs of a run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", default=",".join(MODES), help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the figures as an object, in ms")
    parser.add_argument("--markdown", action="store_true", help="the figures as a table, which is the default")
    options = parser.parse_args()
    options.modes = options.modes.split(",")
    options.net = [int(width) for width in options.net.split("-")]
    unknown = [mode for mode in options.modes if mode not in MODES]
    if unknown:
        parser.error(f"no such mode: {', '.join(unknown)}; there are {', '.join(MODES)}")
    if options.hosts < 2 or len(options.net) < 3 or options.batch % (options.hosts * options.ranks):
        parser.error("it takes two hosts or more, three widths or more, and a batch that all ranks share evenly")
    return options


def main():
    options = arguments()
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    if load > 0.5:
        print(f"the machine's load is {load:.1f} already: no figure will be worth much", file=sys.stderr)
    try:
        hosts.need_all()
    except hosts.Impossible as why:
        sys.exit(f"no hosts here: {why}")
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
