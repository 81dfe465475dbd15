"""A failed assertion on one rank ends all ranks within seconds, with code 70, although the others wait in a collective."""

import subprocess
import time

import runs


def main():
    ranks = runs.ranks_wanted()
    verdicts = runs.Verdicts()
    started = time.monotonic()
    words = [runs.MPIRUN, str(ranks), str(runs.BUILD / "tests/mpi/test_mpi_comm"), "bug"]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    verdicts.check(run.returncode == 70, f"exit code {run.returncode}")
    verdicts.check(seconds < 60, f"after {seconds:.1f} s")
    verdicts.check("rank != size - 1" in run.stderr and "test_comm.c:" in run.stderr, "the message names the assertion and its place")
    verdicts.end()


main()
