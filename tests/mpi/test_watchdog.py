"""A rank that is killed, stopped or hangs ends the whole run, which resumes from its last checkpoint.

No process is left, and the exit code is not 0. The watchdog's message names a rank that is stopped or hangs. Long work that
sends heartbeats does not trigger it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import runs

sys.path.insert(0, str(runs.ROOT / "tests/cli"))
import harness

TIMEOUT = 2 # seconds, of the watchdog
GRACE = 5 # within which all must be gone after it
BEATS = runs.BUILD / "tests/mpi/beats"
SETS = ["train.epochs=1000000", "checkpoint.every_steps=10", f"comm.timeout={TIMEOUT}s"]
INTERNAL = 70


def state(pid):
    """As in /proc/PID/stat; Z, a process that is dead but not waited for, counts as gone."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0].replace("Z", "")
    return ""


class Fault:
    """A run in which something happens to a rank; how it ended."""

    def __init__(self, here, ranks, rank, number):
        name = f"{number.name}-{rank}"
        checkpoints = here.folder / name / "checkpoints"
        process = subprocess.Popen(here.command(ranks, name, SETS), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        pids = {}
        try:
            self.began = runs.await_that(lambda: runs.saved_steps(checkpoints), 60)
            runs.await_that(lambda: len(harness.ranks_of(process.pid)) == ranks, 10)
            pids = harness.ranks_of(process.pid)
            since = time.monotonic()
            os.kill(pids[rank], number)
            try:
                self.err = process.communicate(timeout=(TIMEOUT + 60) * runs.PATIENCE)[1]
            except subprocess.TimeoutExpired:
                process.kill()
                self.err = "mpirun did not end\n" + process.communicate()[1]
            self.seconds = time.monotonic() - since
            self.code = process.returncode
            self.are_gone = runs.await_that(lambda: not any(map(state, pids.values())), 10)
            self.pid, self.name = pids[rank], name
        finally:
            process.kill()
            for pid in pids.values():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def lines(self):
        return [line for line in self.err.splitlines() if line.startswith("lockstep: error:")]


def check_fault(here, ranks, rank, number, verdicts):
    fault = Fault(here, ranks, rank, number)
    what = f"rank {rank} of {ranks}, {number.name}"
    verdicts.check(fault.began and fault.are_gone, f"{what}: all gone after {fault.seconds:.1f} s")
    verdicts.check(fault.code not in (0, None), f"{what}: exit code {fault.code}")
    if number == signal.SIGSTOP:
        log = (here.folder / fault.name / "train.log").read_text()
        named = f"rank {rank} (process {fault.pid})"
        verdicts.check(fault.code == INTERNAL and len(fault.lines()) == 1 and named in fault.err and named in log,
                       f"{what}: {fault.lines()}")
    limit = (TIMEOUT if number == signal.SIGSTOP else 0) + GRACE
    verdicts.check(fault.seconds < limit * runs.PATIENCE * 4,
                   f"{what}: {fault.seconds:.1f} s, of {limit} s on a quiet machine")
    step = max(runs.saved_steps(here.folder / fault.name / "checkpoints"))
    # The last timeout counts: here nothing hangs, and to sync a file may take longer than the watchdog's.
    out = here.train(ranks, fault.name, [*SETS, "comm.timeout=60s", f"train.max_steps={step + 3}"])
    verdicts.check(f"step {step}" in out, f"{what}: resumes from step {step}")


def check_work(ranks, verdicts):
    """Work that beats for longer than the limit, and work that does not."""
    for how, code in (("beating", 0), ("silent", INTERNAL)):
        words = [runs.MPIRUN, str(ranks), str(BEATS), how]
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        verdicts.check(run.returncode == code, f"{how} work of rank {ranks - 1}: exit code {run.returncode}")
        named = f"rank {ranks - 1} (process " in run.stderr
        verdicts.check(named == (how == "silent"), f"{how} work: {run.stderr.splitlines()[:1]}")


def check_exit(ranks, verdicts):
    """A rank calls exit(0) during a run: mpirun ends the others and fails."""
    since = time.monotonic()
    words = [runs.MPIRUN, str(ranks), str(BEATS), "leaving"]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - since
    verdicts.check(run.returncode != 0, f"rank {ranks - 1} calls exit: code {run.returncode} after {seconds:.1f} s")


def main():
    ranks = runs.ranks_wanted()
    verdicts = runs.Verdicts()
    with runs.Runs() as here:
        for number in (signal.SIGKILL, signal.SIGSTOP):
            for rank in sorted({0, ranks - 1}):
                check_fault(here, ranks, rank, number, verdicts)
    check_work(ranks, verdicts)
    check_exit(ranks, verdicts)
    verdicts.end()


if __name__ == "__main__":
    sys.exit(main())
