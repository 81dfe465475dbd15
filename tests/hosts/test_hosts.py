"""Training on several hosts gives the model of one rank, in every mode of comm.

  test_hosts.py           each mode on 2 hosts x 2 ranks, the default mode also on 2 hosts x 1 rank
  test_hosts.py --long    each mode on both

The hosts are also checked: they share no memory, have the given rate and delay, and end with their owner. Distances are
||difference|| / ||array|| to the run of one rank, over parameters and the optimizer's state."""

import contextlib
import pathlib
import re
import subprocess
import sys

import hosts

sys.path[:0] = [str(hosts.ROOT / "tests/mpi"), str(hosts.ROOT / "tests/cli")]
import harness
import runs

STEPS = runs.STEPS_PER_EPOCH + 6
ROUNDING = 1e-5
BFLOAT16 = 1e-1 # later steps compensate the rounding errors, but not immediately

# Mode -> its assignments, and the maximum distance to the model of one rank without them.
MODES = {
    "default": ([], ROUNDING),
    "reproducible": (["train.reproducible=true"], ROUNDING),
    "allreduce": (["comm.mode=allreduce"], ROUNDING),
    "overlap": (["comm.mode=overlap"], ROUNDING),
    "sharded": (["comm.mode=sharded"], ROUNDING),
    "overlap, bfloat16": (["comm={mode: overlap, gradient_type: bfloat16}"], BFLOAT16),
    "sharded, bfloat16": (["comm={mode: sharded, gradient_type: bfloat16}"], BFLOAT16),
}
LAYOUTS = {"2 hosts x 1 rank": (1, 1), "2 hosts x 2 ranks": (2, 2)} # ranks on each host

LONG = "--long" in sys.argv[1:]
RATE, RATE_BITS = "100mbit", 1e8
DELAY = 1000 # microseconds


class HostRuns(runs.Runs):
    """Runs at (1, 1) ranks are spread over the hosts; those at 1 rank are on this machine."""

    def __init__(self, bed):
        super().__init__()
        self.bed = bed

    def command(self, ranks, name, sets=(), options=()):
        words = super().command(ranks, name, sets, options)
        return words if ranks == 1 else self.bed.command(ranks, *words[2:])


def step_losses(output):
    return [float(line.split(" loss ")[1].split()[0]) for line in output.splitlines() if line.startswith("step ")]


class Result:
    """The checkpoint and the output of a run."""

    def __init__(self, here, ranks, run, sets):
        output = here.train(ranks, run, [f"train.max_steps={STEPS}", "train.log_every=1", *sets])
        self.first_line = output.splitlines()[0]
        self.losses = step_losses(output)
        self.arrays = here.checkpoint(run, STEPS).arrays


def layouts_of(mode):
    """Layout -> ranks on each host. The tests `sync at N on nodes of` try each mode on more layouts."""
    return LAYOUTS if mode == "default" or LONG else {"2 hosts x 2 ranks": (2, 2)}


def check_mode(here, alone, mode, verdicts):
    sets, bound = MODES[mode]
    for layout, ranks in layouts_of(mode).items():
        ours = Result(here, ranks, f"{mode}-{sum(ranks)}", sets)
        verdicts.check(f" {sum(ranks)} ranks" in ours.first_line, f"{layout}, {mode}: {ours.first_line}")
        apart = max(runs.distance(ours.arrays[key], array) for key, array in alone.arrays.items())
        verdicts.check(ours.arrays.keys() == alone.arrays.keys() and apart <= bound,
                       f"{layout}, {mode}: {len(ours.arrays)} arrays at most {apart:.1e} apart")
        apart = runs.distance(ours.losses, alone.losses)
        verdicts.check(len(ours.losses) == STEPS and apart <= bound, f"{layout}, {mode}: losses {apart:.1e} apart")


def check_stream(here, verdicts):
    """Reproducible runs that stream their data have the bits of one rank. Each block is read by one rank of all hosts."""
    sets = [*here.parts(), "data.memory=stream", "train.reproducible=true", f"train.max_steps={STEPS}"]
    here.train(1, "stream-1", sets)
    for layout, ranks in layouts_of("stream").items():
        name = f"stream-{sum(ranks)}"
        here.train(ranks, name, sets)
        wrong = here.checkpoint(name, STEPS).different(here.checkpoint("stream-1", STEPS))
        verdicts.check(not wrong, f"{layout}, streamed: the same bits: {wrong}")
        counts = re.findall(r"read (\d+) blocks of the training data, of which an epoch has (\d+)",
                            (here.folder / name / "train.log").read_text())
        verdicts.check(counts and all(n == all_blocks for n, all_blocks in counts), f"{layout}, streamed: blocks {counts}")


def check_network(bed, verdicts):
    """No transfer is faster than the network; there is no upper bound on the times, because the machine may be loaded."""
    for layout, ranks in LAYOUTS.items():
        done = bed.run(ranks, hosts.BUILD / "tests/hosts/probe")
        if done.returncode:
            sys.exit(f"probe: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        *sizes, small, large = map(float, done.stdout.split())
        verdicts.check(sizes == [n for n in ranks for _ in range(n)], f"{layout}: each sees {sizes} ranks on its node")
        verdicts.check(small >= DELAY / 1e3, f"{layout}: a number is summed in {small:.1f} ms")
        least = 1e3 * 8 * (2.5e6 - 2e5) / RATE_BITS # the token bucket starts full
        verdicts.check(large >= least, f"{layout}: 2.5 MB are summed in {large:.0f} ms, not under {least:.0f}")


def name(pid):
    """The name of a process's program; empty if it has ended."""
    with contextlib.suppress(OSError):
        program, rest = pathlib.Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
        return "" if rest.split()[0] == "Z" else program
    return ""


def check_end(verdicts):
    """If the owner is killed, no process and no namespace remains."""
    with subprocess.Popen([sys.executable, hosts.__file__, "sleep", "1000"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as owner:
        runs_there = runs.await_that(lambda: [*map(name, harness.descendants(owner.pid))].count("sleep") == 2)
        started = harness.descendants(owner.pid)
        owner.kill()
    verdicts.check(runs_there, f"two ranks among {len(started)} processes")
    verdicts.check(runs.await_that(lambda: not any(map(name, started))), "all ended with their owner, which was killed")


def main():
    verdicts = runs.Verdicts()
    hosts.skip_where_impossible()
    with hosts.Hosts(2, RATE, DELAY) as bed, HostRuns(bed) as here:
        check_network(bed, verdicts)
        alone = Result(here, 1, "alone", [])
        for mode in MODES:
            check_mode(here, alone, mode, verdicts)
        check_stream(here, verdicts)
    check_end(verdicts)
    verdicts.end()


main()
