"""Signals in every phase of a run, to every process: no work is lost, and the resumed run gives the same bits.

  signals.py             a few signals of each kind, for the test suite
  signals.py --count N   USR1 N times at each target in each phase, TERM and INT N times in each phase, each other kind N
                         times in total; N = 100 takes an hour on two cores. --only WORD selects kinds, targets or phases

A *chain* is one run that is stopped and resumed many times, at 1, 2 and 4 ranks in turn; its final state is compared with
that of an uninterrupted run. The phase of a run is observed from outside: by the signals that its ranks catch, the open data
file, the last line of train.log, and temporary files. A signal counts as a hit if the run was in the same phase just before and just
after it.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time

import h5py
import numpy

import harness
from harness import ALONE

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mpi"))
import runs  # noqa: E402

STOPPED = 75
ENDED = (*harness.DONE.split("|"), *harness.FINISHED.split("|"))  # messages of a run that has no further step
EPOCHS, STEPS = 2, 8  # steps of an epoch
LAST = EPOCHS * STEPS
CONFIG = f"""\
seed: 1
output: run
data: {{train: "data.h5:/train", validation: "data.h5:/val", test: "data.h5:/test"}}
model:
  - {{layer: dense, units: 1024, activation: relu}}
  - {{layer: dropout, rate: 0.2}}
  - {{layer: dense, units: 1024, activation: relu}}
  - {{layer: dense, units: 10, activation: softmax}}
loss: categorical_cross_entropy
optimizer: {{type: adam, lr: 0.001}}
train: {{epochs: {EPOCHS}, batch_size: 256, reproducible: true, log_every: 1}}
checkpoint: {{every_steps: 1}}
comm: {{threads: 1}}
"""

# Signals are sent to mpirun (tests/mpirun.sh replaces itself by it, as a batch script may do), to a batch script that waits
# for mpirun, to one rank of several, or to a single process that was started without mpirun.
TARGETS = ("mpirun", "script", "first rank", "last rank", "alone")
SCRIPT = r"""
for s in USR1 TERM; do trap "[ -z \"\$p\" ] || kill -$s \$p" $s; done
"$@" & p=$!
while kill -0 $p 2>/dev/null; do wait $p; done
wait $p"""

BIRTH, START, READING, STEP, EVALUATION, SAVING, FINAL, TEST = PHASES = (
    "before the handlers", "start-up", "reading", "step", "evaluation", "saving", "final save", "test")
# Seconds: a signal is sent at a random time, at most this long after the start of the phase.
SPREAD = {BIRTH: 0.3, START: 0.1, READING: 0.05, STEP: 0.01, EVALUATION: 0.02, SAVING: 0.01, FINAL: 0.005, TEST: 0.01}
CHAIN = (BIRTH, START, READING, STEP, SAVING, EVALUATION, BIRTH, START, READING, STEP, SAVING)  # then FINAL or TEST
KINDS = ("USR1", "TERM", "INT", "HUP", "USR1 USR1", "USR1 TERM", "TERM TERM", "INT INT")
MPIRUN_STOPS = {"TERM", "INT", "HUP"}  # mpirun does not forward these: it ends its ranks by TERM and KILL, and exits with 1


# ------------------------------------------------------------- processes

def stat_of(pid):
    """Returns (state, session) of a process, or None if it has ended or is a zombie."""
    with contextlib.suppress(OSError):
        words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if words[0] not in "ZX":
            return words[0], int(words[3])
    return None


def session_of(leader):
    """Returns the running processes of the session of the leader."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if (stat_of(pid) or ("", 0))[1] == leader]


def catches(pid):
    """Returns whether the process has installed its signal handlers."""
    with contextlib.suppress(OSError):
        caught = re.search(r"SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{pid}/status").read_text())
        return bool(caught and int(caught[1], 16) >> (signal.SIGUSR1 - 1) & 1)
    return False


def has_open(pid, name):
    with contextlib.suppress(OSError):
        return any(os.readlink(f"/proc/{pid}/fd/{number}").endswith(name) for number in os.listdir(f"/proc/{pid}/fd"))
    return False


def temporaries(folder):
    """Returns the names of temporary files."""
    names = []
    for place in ("run", "run/checkpoints"):
        with contextlib.suppress(OSError):
            names += [name for name in os.listdir(folder / place) if ".tmp-" in name]
    return names


def await_that(holds, pause=0.01):
    deadline = time.monotonic() + harness.DEADLINE
    while not holds() and time.monotonic() < deadline:
        time.sleep(pause)
    return holds()


# ----------------------------------------------------------------- one start

class Start:
    """One start of the run in `folder`, and its current phase."""

    def __init__(self, folder, ranks, around=(), words=()):
        self.folder, self.ranks, self.pids, self.are_ready = folder, ranks, {}, False
        self.log = folder / "run/train.log"
        self.offset = self.log.stat().st_size if self.log.exists() else 0
        self.process = harness.start(folder, "train", "config.yaml", *words, ranks=ranks, around=around)

    def has_ended(self):
        return self.process.poll() is not None

    def lines(self):
        """Returns the lines that this start has added to train.log."""
        with contextlib.suppress(OSError):
            return self.log.read_bytes()[self.offset:].decode().splitlines()
        return []

    def step(self):
        """Returns the last logged step, or 0."""
        steps = [int(match[1]) for match in map(re.compile(r"[\d:-]+ [\d:]+ step (\d+) ").match, self.lines()) if match]
        return steps[-1] if steps else 0

    def find_ranks(self):
        """Returns whether all ranks run and have installed their signal handlers."""
        if self.are_ready:
            return True
        if len(self.pids) < max(self.ranks, 1):
            pids = (self.process.pid, *harness.descendants(self.process.pid))
            self.pids = {rank: pid for rank, pid in zip(map(harness.rank_of, pids), pids) if rank is not None}
            time.sleep(0.003)  # the search takes time from the run
        self.are_ready = len(self.pids) == max(self.ranks, 1) and all(map(catches, self.pids.values()))
        return self.are_ready

    def phase(self):
        if not self.find_ranks():
            return BIRTH
        lines = self.lines()
        if not any(" ready in " in line for line in lines):
            return READING if has_open(self.pids[0], "data.h5") else START
        return self.phase_of_training(lines, temporaries(self.folder))

    def phase_of_training(self, lines, unfinished):
        """Returns None between the known phases."""
        step = self.step()
        if any(f" epoch {EPOCHS}/{EPOCHS} " in line for line in lines):
            is_saved = (self.folder / f"run/checkpoints/step-{LAST:08}.h5").exists()
            is_over = " test: " in lines[-1] or any(word in lines[-1] for word in ENDED)
            return None if is_over else TEST if is_saved else FINAL
        if step == 0:
            return STEP
        if f" step {step} " in lines[-1] and step % STEPS == 0:
            return None if any(name.startswith(("best", "model")) for name in unfinished) else EVALUATION
        return SAVING if unfinished else None

    def reach(self, wanted):
        """Waits until the run is in a phase, then for a random time."""
        await_that(lambda: self.has_ended() or self.phase() == wanted, 0.002)
        time.sleep(random.uniform(0, SPREAD[wanted] * (0.2 if self.ranks == ALONE else 1.0)))

    def send(self, number, target):
        with contextlib.suppress(ProcessLookupError):
            if not target.endswith("rank"):
                self.process.send_signal(number)
            elif self.pids:
                os.kill(self.pids[0 if target == "first rank" else max(self.pids)], number)

    def finish(self):
        """Waits for the end, and checks that no process is left."""
        result = harness.finish(self.process)
        left = []
        if not await_that(lambda: not session_of(self.process.pid)):
            left = session_of(self.process.pid)
        return result.must(not left, f"processes are left: {left}")


# ---------------------------------------------------------------- one chain

def saved_step(folder):
    return max(harness.saved_steps(folder / "run/checkpoints"), default=0)


def check_tidy(folder, result):
    """Checks that no temporary file and no lock is left."""
    left = temporaries(folder) + [name for name in os.listdir(folder / "run") if name == "lock"]
    result.must(not left, f"files are left: {left}")


class Signal:
    """One or two signals that are sent to a start in a phase, and the expected outcome."""

    def __init__(self, kind, target, ranks, phase):
        self.kind, self.target, self.ranks, self.wanted = kind, target, ranks, phase
        self.numbers = [signal.Signals["SIG" + name] for name in kind.split()]
        self.hit = None  # the phase in which the signal arrived, if known
        self.description = f"{kind} to {target} of {ranks}, {phase}"

    def codes(self, is_done):
        """The valid exit codes. If mpirun ends the ranks itself, the code is that of mpirun."""
        codes = {0} if is_done else {STOPPED}
        if not self.is_direct() and MPIRUN_STOPS & set(self.kind.split()):
            return {1} | (codes if is_done or self.kind == "USR1 TERM" else set())
        return codes

    def is_direct(self):
        """Whether the target is the program itself, so that the signal arrives immediately."""
        return self.target not in ("mpirun", "script")

    def give(self, start):
        """Sends the signals; returns the phase and the last step just before."""
        start.reach(self.wanted)
        phase = start.phase()
        start.send(self.numbers[0], self.target)
        step, after = start.step(), start.phase()
        for number in self.numbers[1:]:
            time.sleep(random.uniform(0, 0.02))
            start.send(number, self.target)
        self.hit = phase if phase in (after, BIRTH) else None
        return phase, step

    def run(self, folder):
        """Sends the signals to a new start and checks the outcome; returns whether the run is finished."""
        saved, before = saved_step(folder), harness.snapshot(folder / "run") if self.wanted == BIRTH else None
        start = Start(folder, self.ranks, ("bash", "-c", SCRIPT, "script") if self.target == "script" else ())
        phase, step = self.give(start)
        result = start.finish()
        is_done = any(word in result.out for word in ENDED)
        try:
            if phase == BIRTH and result.code in {code for number in self.numbers for code in (-number, 128 + number)}:
                result.must(harness.snapshot(folder / "run") == before, "a run that has not begun must change nothing")
            else:
                self.check(folder, result, is_done, saved)
                self.check_place(folder, result, is_done, phase, step, saved)
        except harness.Failure as why:
            raise harness.Failure(f"{self.description}, hit: {self.hit}: {why}") from why
        return is_done

    def check(self, folder, result, is_done, saved):
        result.must(result.code in self.codes(is_done), f"the exit code must be one of {self.codes(is_done)}")
        if saved > 0 and "ready in" in result.out:
            result.reports(harness.RESUMED, f"run/checkpoints/step-{saved:08}.h5")
        if result.code in (0, STOPPED):
            check_tidy(folder, result)
        if result.code == STOPPED:
            result.reports("warning: ", "signal", f"step {saved_step(folder)}")

    def check_place(self, folder, result, is_done, phase, step, saved):
        """Checks the step of the last checkpoint. One step may be in progress when the signal arrives."""
        at = saved_step(folder)
        if phase in (BIRTH, None) or is_done and not self.is_direct() and phase not in (FINAL, TEST):
            self.hit = None  # the signal may have been too late
            result.must(at >= saved, f"step {saved} was saved")
            return
        base = step or saved
        result.must(at >= base - 2, f"step {base - 2} must have been saved")  # the next one may be in progress
        if self.is_direct():
            latest = saved + 1 if self.hit in (START, READING) else base + 2
            result.must(at <= min(latest, LAST), f"it must stop by step {latest}, not {at}")
        result.must(is_done or phase not in (FINAL, TEST) or not result.code == STOPPED, "a finished run must not report an interruption")


def columns(path):
    """Returns the rows of metrics.csv without the columns that hold times."""
    header, rows = harness.read_csv(path)
    return [[value for name, value in zip(header, row) if "second" not in name] for row in rows]


def compare(folder, reference, result):
    """Checks that the final state equals that of the uninterrupted run."""
    check_tidy(folder, result)
    for name in (f"checkpoints/step-{LAST:08}.h5", "checkpoints/best.h5", "model.h5"):
        wrong = runs.Checkpoint(folder / "run" / name).different(runs.Checkpoint(reference / "run" / name))
        result.must(not wrong, f"{name} differs from that of the uninterrupted run: {wrong}")
    result.must(columns(folder / "run/metrics.csv") == columns(reference / "run/metrics.csv"), "metrics.csv differs")


def resume_to_end(folder, reference, ranks=ALONE):
    """Resumes the run to its end by the same command, and compares its final state."""
    result = harness.run_well(folder, "train", "config.yaml", ranks=ranks)
    compare(folder, reference, result)


# ---------------------------------------------------------------- all chains

FAILURES_MAX = 5

class Needs:
    """The wanted and the achieved hits, shared by all threads."""

    def __init__(self, wanted, prints_progress=False):
        self.lock, self.prints_progress = threading.Lock(), prints_progress
        self.wanted = wanted  # numbers by (kind, target, phase)
        self.hits, self.given = collections.Counter(), collections.Counter()
        self.n_given = self.n_settled = 0
        self.most = 5 * sum(wanted.values()) + 50  # limit for a phase that cannot be hit
        self.failures = []

    def open(self):
        """Returns the hits that are still wanted."""
        return {cell: n - self.hits[cell] for cell, n in self.wanted.items() if n > self.hits[cell]}

    def take(self, phase):
        """Returns the signal that is wanted most in a phase, or None."""
        with self.lock:
            left = {cell: n - self.given[cell] for cell, n in self.open().items() if cell[2] == phase}
            cell = max(left, key=left.get, default=None)
            if cell is None or left[cell] <= 0:
                return None
            self.given[cell] += 1
            self.n_given += 1
            kind, target, _ = cell
            few = (2, 4) if target == "last rank" else (2, 1, 4, 2)
            return Signal(kind, target, ALONE if target == "alone" else few[self.n_given % len(few)], phase)

    def settle(self, given):
        """Counts a signal in the phase in which it arrived, even if it was meant for another one."""
        with self.lock:
            self.given[given.kind, given.target, given.wanted] -= 1
            self.n_settled += 1
            if given.hit:
                self.hits[given.kind, given.target, given.hit] += 1
            if self.prints_progress and self.n_settled % 100 == 0:
                print(f"{self.n_settled} sent, {sum(self.open().values())} hits still wanted, {len(self.failures)} failures",
                      flush=True)

    def run_chain(self, folder, reference):
        """Stops and resumes a run repeatedly, then lets it finish; returns the number of signals."""
        n, is_done = 0, False
        for phase in (*CHAIN, *random.sample((FINAL, TEST), 2)):
            given = None if is_done else self.take(phase)
            if not given:
                continue
            try:
                n += 1
                is_done = given.run(folder)
            finally:
                self.settle(given)
        if n > 0:
            resume_to_end(folder, reference, random.choice((ALONE, 1, 2, 4)))
        return n

    def run_chains(self, folder):
        """Runs chains until no hit is wanted, or too many have failed."""
        while self.open() and self.n_given < self.most and len(self.failures) < FAILURES_MAX:
            place = pathlib.Path(tempfile.mkdtemp(dir=folder))
            prepare(place, folder / "data.h5")
            try:
                if self.run_chain(place, folder) == 0:
                    time.sleep(0.1)  # other threads work on the remaining hits
                shutil.rmtree(place)
            except harness.Failure as why:
                self.failures.append(f"{place}: {why}")


def write_data(path):
    """Writes data that take long to decompress."""
    numbers = numpy.random.default_rng(1)
    with h5py.File(path, "w") as file:
        for name, n in (("train", 256 * STEPS), ("val", 8192), ("test", 8192)):
            y = numbers.integers(0, 10, n)
            x = numbers.normal(size=(n, 128)) + 3.0 * numpy.eye(10, 128)[y]
            file.create_dataset(f"{name}/x", data=x.round(2).astype("f4"), chunks=(64, 128), compression="gzip")
            file[f"{name}/y"] = y


def prepare(folder, data=None):
    if data:
        os.link(data, folder / "data.h5")
    else:
        write_data(folder / "data.h5")
    (folder / "config.yaml").write_text(CONFIG)


def attack(folder, needs, n_threads):
    prepare(folder)
    harness.run_well(folder, "train", "config.yaml", ranks=2)
    with concurrent.futures.ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(needs.run_chains, [folder] * n_threads))  # raises their exceptions
    text = "\n".join(f"{needs.hits[cell]} of {n}: {', '.join(cell)}" for cell, n in sorted(needs.wanted.items()))
    if needs.failures or needs.open():
        raise harness.Failure("\n".join([*needs.failures, text]))
    return text


def spread_out(kind, targets, phases, n):
    """Returns at least n hits in each phase, divided among the targets."""
    return {(kind, target, phase): -(-n // len(targets)) for target in targets for phase in phases}


def all_needs(count):
    wanted = {("USR1", target, phase): count for target in TARGETS for phase in PHASES[1:]}
    for kind in ("USR1", "TERM", "INT"):
        wanted |= spread_out(kind, ("mpirun", "alone"), [BIRTH], count)
    wanted |= spread_out("TERM", ("mpirun", "script", "last rank", "alone"), PHASES[1:], count)
    wanted |= spread_out("INT", ("mpirun", "first rank", "alone"), PHASES[1:], count)
    for kind in KINDS[3:]:
        wanted |= spread_out(kind, ("mpirun", "alone"), PHASES[1:], -(-count // len(PHASES[1:])))
    return wanted


def few_needs():
    """USR1 in each phase at each target that has it, TERM in each at mpirun once ranks have handlers, and each other
    kind in one, at mpirun and at a single process."""
    wanted = {("USR1", target, phase): 1 for target in TARGETS for phase in PHASES[1:]}
    wanted |= {("USR1", target, BIRTH): 1 for target in ("mpirun", "alone")}
    wanted |= {("TERM", "mpirun", phase): 1 for phase in PHASES[1:]}
    for kind, phase in zip(KINDS[2:], (STEP, SAVING, SAVING, EVALUATION, STEP, READING)):
        wanted |= {(kind, target, phase): 1 for target in ("mpirun", "alone")}
    return wanted


def every_phase(folder):
    attack(folder, Needs(few_needs()), 4)


# ---------------------------------------------------------------- other cases

ENDLESS = ("--set", "train.epochs=1000000")


def start_long(folder, ranks, *words, around=()):
    """Starts a run of practically unlimited length and waits for its first step."""
    prepare(folder)
    start = Start(folder, ranks, around, (*ENDLESS, *words))
    await_that(lambda: start.has_ended() or start.step() > 0)
    start.find_ranks()
    return start


def check_resume(folder, result):
    """Resumes a stopped long run for two steps, and compares it with an uninterrupted run of the same length."""
    saved = saved_step(folder)
    result.must(saved > 0, "a step must be saved")
    sets = (*ENDLESS, "--set", f"train.max_steps={saved + 2}")
    harness.run_well(folder, "train", "config.yaml", *sets).reports(
        harness.RESUMED, f"run/checkpoints/step-{saved:08}.h5")
    harness.run_well(folder, "train", "config.yaml", "-o", "whole", *sets, "--set", "checkpoint={every_epochs: 0}")
    name = f"checkpoints/step-{saved + 2:08}.h5"
    wrong = runs.Checkpoint(folder / "run" / name).different(runs.Checkpoint(folder / "whole" / name))
    result.must(not wrong, f"{name} differs from that of an uninterrupted run: {wrong}")
    check_tidy(folder, result)


def states(start):
    return {(stat_of(pid) or ("gone",))[0] for pid in start.pids.values()}


def suspended(ranks, folder):
    """Ctrl-Z for longer than comm.timeout, then `fg`; a signal sent meanwhile is not lost. A process without a terminal
    ignores TSTP, so a run alone gets STOP; mpirun forwards TSTP."""
    pause = signal.SIGSTOP if ranks == ALONE else signal.SIGTSTP
    start = start_long(folder, ranks, "--set", "comm.timeout=8s")  # syncing a file may take seconds
    for number in (None, signal.SIGUSR1):
        start.process.send_signal(pause)
        is_still = await_that(lambda: states(start) == {"T"} or start.has_ended())
        step = start.step()
        if number:
            start.process.send_signal(number)
        time.sleep(9.5)
        is_still = is_still and start.step() == step and not start.has_ended()
        start.process.send_signal(signal.SIGCONT)
        if number is None:
            await_that(lambda: start.has_ended() or start.step() >= step + 3)
    result = start.finish().exits(STOPPED).reports("warning: ", "signal", "step ")
    result.must(is_still, "it must have been suspended")
    check_resume(folder, result)


def reader_closes_pipe(ranks, folder):
    """lockstep train ... | head -n 1. mpirun then ends its ranks, possibly before they print their last message."""
    script = '"$@" | head -n 1; exit ${PIPESTATUS[0]}'
    start = start_long(folder, ranks, around=("bash", "-c", script, "script"))
    result = start.finish().exits(STOPPED if ranks == ALONE else 1)
    result.must(result.out.count("\n") == 1, "head shows one line")
    result.must(ranks != ALONE or re.search(r"warning: .*signal.* step \d", result.err), "the message names the signal and the step")
    check_resume(folder, result)


def terminal_closes(folder):
    """With nohup HUP is ignored."""
    start = start_long(folder, ALONE, around=("nohup",))
    step = start.step()
    start.process.send_signal(signal.SIGHUP)
    await_that(lambda: start.has_ended() or start.step() > step + 3)
    if start.has_ended():
        raise harness.Failure(f"HUP must be ignored: {start.finish()}")
    start.process.send_signal(signal.SIGUSR1)
    check_resume(folder, start.finish().exits(STOPPED))


def timeout_interrupts(folder):
    """`timeout` sends INT to the program and then to the whole group: together they count as one Ctrl-C."""
    start = start_long(folder, ALONE, around=("timeout", "1000"))
    start.process.send_signal(signal.SIGINT)
    check_resume(folder, start.finish().exits(STOPPED))


def second_interrupt(folder):
    """A second Ctrl-C during a long step, here of all samples one by one, ends the process at once."""
    prepare(folder)
    sets = ("train.batch_size=1", "train.accumulate=1000000", "train.reproducible=false", "model.0.units=4096", "model.2.units=4096")
    start = Start(folder, ALONE, words=[word for pair in sets for word in ("--set", pair)])
    await_that(lambda: start.has_ended() or start.phase() == STEP)
    start.process.send_signal(signal.SIGINT)
    time.sleep(1.5)
    start.process.send_signal(signal.SIGINT)
    start.finish().exits(-signal.SIGINT)


TESTS = [
    ("every phase", every_phase),
    ("suspended alone", lambda folder: suspended(ALONE, folder)),
    ("suspended under mpirun", lambda folder: suspended(2, folder)),
    ("the reader of a run alone closes the pipe", lambda folder: reader_closes_pipe(ALONE, folder)),
    ("the reader of a run under mpirun closes the pipe", lambda folder: reader_closes_pipe(2, folder)),
    ("terminal closes", terminal_closes),
    ("timeout interrupts", timeout_interrupts),
    ("second interrupt", second_interrupt),
]


def count_all(n, word):
    needs = Needs({cell: n for cell, n in all_needs(n).items() if any(word in part for part in cell)}, prints_progress=True)
    with tempfile.TemporaryDirectory(prefix="lockstep-signals-", ignore_cleanup_errors=True) as folder:
        try:
            print(attack(pathlib.Path(folder), needs, harness.WORKERS // 2))
        except harness.Failure as why:
            sys.exit(str(why))
    print(f"{needs.n_given} signals sent, {sum(needs.hits.values())} in a known phase; all runs ended as expected")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int)
    parser.add_argument("--only", default="")
    options, sys.argv[1:] = parser.parse_known_args()
    if options.count:
        count_all(options.count, options.only)
    else:
        harness.main(TESTS)
