"""Two hosts whose link is cut or slow, or of which one dies or freezes: the run ends soon after comm.timeout and resumes.

All ranks that can still run end, a message names the other host, and the run resumes from its last checkpoint. A short
interruption, a slow link and long work change nothing.

mpirun waits for a daemon that it cannot reach unless the keepalive of its own connections ends before comm.timeout. One case
tests that; in the others mpirun is killed.

Words on the command line select the cases whose names contain all of them. --limit SECONDS sets another comm.timeout;
tests/README.md has the results of --limit 10. The script uses the build in build/, or in LOCKSTEP_BUILD."""

import argparse
import concurrent.futures
import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import time

import h5py
import hosts
import numpy

sys.path.insert(0, str(hosts.ROOT / "tests/mpi"))
import runs

GRACE = 5 # seconds after the limit
BEDS = 6 # at a time: they mostly wait
ALARM = re.compile(r"\berror: .*comm\.timeout") # a message of the watchdog
BEATS = hosts.BUILD / "tests/mpi/beats"
INTERNAL = 70
SAMPLES, FEATURES = 6000, 1024 # of bytes: at SLOW they take some 6 s to the other host
SLOW = {"rate": "8mbit", "delay": 50000}


def programs(host, name):
    """Returns the processes of a program on a host, in ascending order."""
    try:
        return sorted(pid for pid, program in host.processes() if program == name)
    except OSError: # the host is gone
        return []


def signal_all(host, number):
    for pid, _ in host.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def bytes_sent(host):
    """The number of bytes sent by the host's eth0."""
    with open(f"/proc/{host.process.pid}/net/dev", encoding="ascii") as file:
        return next(int(line.split()[9]) for line in file if line.strip().startswith("eth0:"))


def is_valid_code(code, codes):
    """Whether mpirun may exit with this code; codes: (), any but 0. If ranks on several hosts end at once, the mpirun of
    Open MPI 5 may replace their code by one of its own, such as 14."""
    return code in codes or code not in (0, None) and (not codes or 0 not in codes and hosts.open_mpi_version() >= 5)


class Case:
    """Emulated hosts, a run on them, and the results of the checks."""

    def __init__(self, name, bed, here, limit, verdicts):
        self.name, self.ranks, self.failed = name, CASES[name][0], False
        self.bed, self.here, self.limit, self.verdicts = bed, here, limit, verdicts
        self.output = here.folder / "run"
        self.sets = ["train.epochs=1000000", "checkpoint.every_steps=10", f"comm.timeout={limit}s"]
        self.out, self.err = (open(here.folder / name, "w+", encoding="utf-8") for name in ("out", "err"))
        self.process = None

    def check(self, holds, text):
        self.failed |= not holds
        self.verdicts.check(holds, f"{self.name}: {text}")

    def words(self, sets=()):
        return self.here.command(0, "run", [*self.sets, *sets])[2:]

    def start(self, sets=(), settings=()):
        command = self.bed.command(self.ranks, *self.words(sets), settings=settings)
        self.process = subprocess.Popen(command, stdout=self.out, stderr=self.err,
                                        env=hosts.environment(int(200 * runs.PATIENCE)))

    def steps(self):
        return runs.saved_steps(self.output / "checkpoints")

    def train(self, **how):
        """Starts the run and waits for the first checkpoint."""
        self.start(**how)
        self.check(runs.await_that(self.steps, 60), "takes its first steps")

    def text(self):
        """Returns the contents of stderr and train.log."""
        log = self.output / "train.log"
        return (self.here.folder / "err").read_text() + (log.read_text() if log.exists() else "")

    def ends(self, on, since):
        """Checks that all ranks on these hosts end soon after the limit."""
        gone = runs.await_that(lambda: not any(programs(host, "lockstep") for host in on), self.limit + 60)
        seconds = time.monotonic() - since
        self.check(gone, f"no rank left after {seconds:.1f} s, {seconds - self.limit:.1f} s after the limit")
        self.check(seconds < (self.limit + 4 * GRACE) * runs.PATIENCE,
                   f"{seconds:.1f} s, of {self.limit + GRACE} s on a quiet machine")

    def says(self, text, by=None):
        """Checks that exactly one message of the watchdog matches `text`. `by`: the host that must have written it; None: any."""
        messages = {line.partition("error: ")[2] for line in self.text().splitlines() if ALARM.search(line)}
        found = [line for line in messages if re.search(text, line) and (by is None or f" on {by.name}:" in line)]
        self.check(len(found) == 1, f"{text} {len(found)} of {len(messages)} messages {[] if found else messages}")

    def mpirun_ends(self, *codes, lost_host=False):
        """Checks that mpirun ends by itself, with one of these exit codes or, without codes, any but 0. The mpirun of Open MPI 5
        exits with 0 after the loss of a host; then only its message shows the loss."""
        runs.await_that(lambda: self.process.poll() is not None, 30)
        code = self.process.returncode
        if lost_host and hosts.open_mpi_version() >= 5:
            self.check("lost communication with a remote daemon" in self.text(), f"mpirun reports the loss: exit code {code}")
        else:
            self.check(is_valid_code(code, codes), f"mpirun ends: exit code {code}")

    def mpirun_is_killed(self):
        """Ends an mpirun that waits for a daemon that does not answer."""
        self.process.kill()
        self.process.wait()

    def nothing_left(self):
        def left():
            return [pid for host in self.bed.hosts for name in ("lockstep", hosts.launcher()[0]) for pid in programs(host, name)]

        self.check(runs.await_that(lambda: not left(), 40), "no process left on either host")

    def resumes(self, host):
        """Checks that one rank on a host resumes from the last checkpoint."""
        step = max(self.steps())
        if host is not self.bed.hosts[0]:
            (self.output / "lock").unlink(missing_ok=True) # of a host that is gone; the message at the start asks for this
        words = self.words([f"train.max_steps={step + 3}", "comm.timeout=60s"]) # the limit of the test is too short for a slow disk
        command = [*host.inside((*hosts.SPACES, "pid")), "env", "-C", str(self.here.folder), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.check(done.returncode == 0 and f"step {step}" in done.stdout,
                   f"resumes from step {step}: exit code {done.returncode} {done.stderr}")

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        self.out.close()
        self.err.close()


# ----------------------------------------------------------------------------- cases

def sever(bed, host, how, link="down"):
    """Takes the device of a host down, or drops all frames; a second call restores the link."""
    if how == "lost":
        bed.cut(host)
    else:
        host.link(link)


def cut(case, where, how):
    """Cuts the link of a host permanently."""
    case.train()
    cut_now(case, case.bed.hosts[where], how)


def cut_now(case, host, how, then=lambda: None):
    """Cuts the link and checks that both sides end."""
    since = time.monotonic()
    sever(case.bed, host, how)
    then()
    case.ends(case.bed.hosts, since)
    for own, other in (case.bed.hosts, case.bed.hosts[::-1]):
        if other is host or case.steps(): # without a log, messages of the other host are lost
            case.says(rf"from {other.name}\b", own)
    case.mpirun_is_killed()
    sever(case.bed, host, how, "up")
    case.nothing_left()
    if case.steps():
        case.resumes(case.bed.hosts[0])


def cut_in_checkpoint(case):
    """Cuts the link while rank 0 writes a checkpoint."""
    case.train(sets=["checkpoint.every_steps=1"])
    writer = programs(case.bed.hosts[0], "lockstep")[0]

    def is_writing():
        os.kill(writer, signal.SIGSTOP)
        if any(case.output.glob("checkpoints/*.tmp-*")):
            return True
        os.kill(writer, signal.SIGCONT)
        return False

    case.check(runs.await_that(is_writing, 30), "rank 0 writes a checkpoint")
    cut_now(case, case.bed.hosts[0], "lost", then=lambda: os.kill(writer, signal.SIGCONT))


def write_data(case):
    random = numpy.random.default_rng(1)
    path = case.here.folder / "data.h5"
    with h5py.File(path, "w") as file:
        file["train/x"] = random.integers(0, 256, (SAMPLES, FEATURES), dtype="u1")
        file["train/y"] = numpy.arange(SAMPLES) % 10
    return [f"data.train={path}:/train"]


def cut_in_reading(case):
    """Cuts the link while rank 0 sends data to the other host."""
    first = case.bed.hosts[0]
    case.start(sets=write_data(case))
    case.check(runs.await_that(lambda: bytes_sent(first) > SAMPLES * FEATURES / 3, 60), "a part of the data has been sent")
    cut_now(case, first, "lost")
    case.check(not case.output.exists(), "no run directory yet")


def slow(case):
    """Data that need longer than the limit to arrive, and steps over a slow link."""
    case.start(sets=[*write_data(case), "train.max_steps=5"])
    ended = runs.await_that(lambda: case.process.poll() is not None, 100)
    case.check(ended and case.process.returncode == 0, f"exit code {case.process.returncode}")
    case.check(not ALARM.search(case.text()), "no false alarm")


def back(case):
    """An interruption shorter than the limit changes nothing."""
    steps = 300
    case.sets += [f"train.max_steps={steps}"]
    case.train()
    at = case.steps()[-1]
    case.bed.cut(case.bed.hosts[0])
    time.sleep(0.5 * case.limit)
    case.bed.cut(case.bed.hosts[0])
    case.check(at < steps and case.process.wait(100) == 0, f"finishes after an interruption at step {at}")
    case.nothing_left()
    cut_short, name = case.output.rename(case.here.folder / "cut"), case.output.name
    done = case.bed.run(case.ranks, *case.words())
    case.check(done.returncode == 0, "the same run without an interruption")
    different = case.here.checkpoint(cut_short.name, steps).different(case.here.checkpoint(name, steps))
    case.check(not different, f"the same bits in the checkpoint: {different}")


def keepalive(case):
    """The keepalive of mpirun, shorter than the limit, ends all ranks and mpirun."""
    case.train(settings=[(f"oob_tcp_keepalive_{what}", "1") for what in ("time", "intvl", "probes")])
    since = time.monotonic()
    case.bed.cut(case.bed.hosts[1])
    case.ends(case.bed.hosts, since)
    case.mpirun_ends(205, lost_host=True)
    case.check(case.bed.hosts[1].name in case.text(), "mpirun names the host")
    case.nothing_left()
    case.bed.cut(case.bed.hosts[1])
    case.resumes(case.bed.hosts[0])


def killed(case, where):
    """Kills all processes of a host at once."""
    host, other = case.bed.hosts[where], case.bed.hosts[1 - where]
    case.train()
    since = time.monotonic()
    os.kill(host.processes()[-1][0], signal.SIGKILL)
    case.ends(case.bed.hosts, since)
    case.mpirun_ends(lost_host=True)
    case.check("host" in case.text(), f"names the host: {case.text().strip().splitlines()[:3]}")
    case.nothing_left()
    case.resumes(other)


def frozen(case, where):
    """Stops all processes of a host at once; its kernel still answers."""
    host, other = case.bed.hosts[where], case.bed.hosts[1 - where]
    case.train()
    since = time.monotonic()
    signal_all(host, signal.SIGSTOP)
    case.ends([other], since)
    case.says(rf"from {host.name}\b", other)
    case.mpirun_is_killed()
    signal_all(host, signal.SIGCONT)
    case.nothing_left()
    case.resumes(case.bed.hosts[0])


def stopped(case):
    """Stops one rank; the watchdog of its host names it."""
    case.train()
    pid = programs(case.bed.hosts[1], "lockstep")[-1]
    since = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    case.ends(case.bed.hosts, since)
    case.says(r"rank \d+ \(process \d+\)", case.bed.hosts[1])
    case.mpirun_ends(INTERNAL)
    case.nothing_left()
    case.resumes(case.bed.hosts[0])


def works(case, rank, how, code):
    """One rank works for longer than the limit while all others wait for it."""
    done = case.bed.run(case.ranks, BEATS, how, rank)
    case.check(is_valid_code(done.returncode, (code,)), f"exit code {done.returncode}")
    messages = [line for line in done.stderr.splitlines() if ALARM.search(line)]
    named = len(messages) == 1 and f"rank {rank} (process " in messages[0]
    case.check(named if code else not messages, f"messages: {messages}")


PLAIN, WIDE = (1, 1), (2, 2)
CASES = {
    "back": (PLAIN, back, {}),
    "slow": (WIDE, slow, SLOW),
    "cut in reading": (WIDE, cut_in_reading, SLOW),
    "first host down": (WIDE, functools.partial(cut, where=0, how="down"), {}),
    "second host down": (PLAIN, functools.partial(cut, where=1, how="down"), {}),
    "first host lost": (PLAIN, functools.partial(cut, where=0, how="lost"), {}),
    "second host lost": (WIDE, functools.partial(cut, where=1, how="lost"), {}),
    "cut in checkpoint": (PLAIN, cut_in_checkpoint, {}),
    "keepalive": (WIDE, keepalive, {}),
    "first host killed": (PLAIN, functools.partial(killed, where=0), {}),
    "second host killed": (WIDE, functools.partial(killed, where=1), {}),
    "first host frozen": (WIDE, functools.partial(frozen, where=0), {}),
    "second host frozen": (PLAIN, functools.partial(frozen, where=1), {}),
    "rank stopped": (WIDE, stopped, {}),
    "first rank beats": (PLAIN, functools.partial(works, rank=0, how="beating", code=0), {}),
    "fourth rank beats": (WIDE, functools.partial(works, rank=3, how="beating", code=0), {}),
    "first rank silent": (PLAIN, functools.partial(works, rank=0, how="silent", code=INTERNAL), {}),
    "third rank silent": (WIDE, functools.partial(works, rank=2, how="silent", code=INTERNAL), {}),
}


def attempt(name, limit, verdicts):
    _, function, link = CASES[name]
    with hosts.Hosts(2, **link) as bed, runs.Runs() as here:
        case = Case(name, bed, here, limit, verdicts)
        try:
            function(case)
        except Exception as why:
            case.check(False, f"{type(why).__name__}: {why}")
        finally:
            if case.failed:
                print(case.text())
            case.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=2)
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    verdicts = runs.Verdicts()
    wanted = [name for name in CASES if all(word in name for word in options.words)]
    hosts.skip_where_impossible()
    with concurrent.futures.ThreadPoolExecutor(BEDS) as pool:
        for done in [pool.submit(attempt, name, options.limit, verdicts) for name in wanted]:
            done.result()
    verdicts.end()


main()
