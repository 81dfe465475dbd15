"""A bug on one rank ends all ranks within seconds, with code 70, though the others wait for it in a collective."""

import subprocess
import time

import runs


def meet_bug(ranks):
    """Runs the program that meets one. Open MPI's mpirun has been seen to crash itself as it cleans up after an abort,
    once in a hundred times: that tells nothing, so it is tried again."""
    words = [runs.MPIRUN, str(ranks), str(runs.BUILD / "tests/mpi/test_mpi_comm"), "bug"]
    for _ in range(3):
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        if run.returncode >= 0:
            break
    return run


def main():
    ranks = runs.ranks_wanted()
    verdicts = runs.Verdicts()
    started = time.monotonic()
    run = meet_bug(ranks)
    seconds = time.monotonic() - started
    verdicts.check(run.returncode == 70, f"exit code {run.returncode}")
    verdicts.check(seconds < 60, f"after {seconds:.1f} s")
    verdicts.check("internal error at" in run.stderr and "rank != size - 1" in run.stderr, "says where")
    verdicts.end()


main()
