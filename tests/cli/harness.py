"""Shared by the command-line tests: starts the program on any number of ranks, creates data, runs tables of tests.

A test is a name and a function that receives a new folder, the working directory of the programs it starts. It fails by an
exception; Skip skips it. Words on the script's command line select the tests whose names contain all of them. LOCKSTEP_KEEP
keeps the folders of failed tests. A script started manually uses the build in build/, or in LOCKSTEP_BUILD.
"""

import concurrent.futures
import contextlib
import csv
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import h5py
import numpy

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "mpi"))
from runs import saved_steps  # noqa: E402, F401

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # otherwise all runs would inherit the choice of nohup

ROOT = pathlib.Path(os.environ.get("LOCKSTEP_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("LOCKSTEP_BUILD", ROOT / "build")).resolve()
PROGRAM = os.environ.get("LOCKSTEP", str(BUILD / "lockstep"))
MPIRUN = os.environ.get("LOCKSTEP_MPIRUN", str(ROOT / "tests/mpirun.sh"))
DATASETS = ROOT / "datasets"

WORKERS = int(os.environ.get("LOCKSTEP_WORKERS", "8"))  # tests at a time; mpirun waits a second after a failure
PATIENCE = int(os.environ.get("LOCKSTEP_PATIENCE", "1"))  # more than 1 with sanitizers, which are slow
DEADLINE = 600.0 * PATIENCE  # seconds; only for hangs
ALONE = 0  # ranks: without mpirun
FOLDERS = set()  # temporary ones
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as mpirun.sh has it: alone, too
IS_SANITIZED = PATIENCE > 1
DURATIONS = []  # (seconds, name) of runs that should be short

# The warning about more threads than cores, which most machines cause in tests at 4 ranks.
CROWD_WORDS = re.compile(r"^lockstep: warning: \d+ threads .* share \d+ cores?\b.*\n", re.MULTILINE)

# Messages of mpirun itself: most are between two lines of dashes; Open MPI 5 adds lines that begin with host and process.
MPIRUN_WORDS = re.compile(r"^-{60,}\n.*?^-{60,}\n|^(?:mpirun|prterun): Forwarding signal .*?\n|"
                          r"^\[\S+:\d+\] (?:PMIX ERROR|prterun: ).*?\n|^\[warn\] Epoll .*?\n", re.MULTILINE | re.DOTALL)


# Words that mark an event of a run; `|` separates alternatives. Tests compare key parts of messages (file, line, key, value,
# limit). Only where a message has none of its own do they use these, so that a new wording is one change here.
RESUMED = "resum"  # from a checkpoint, which the line names
FINISHED = "is finished|already finished|nothing to do"  # a run that needs no further step
DONE = "done|finished|complete"  # the end of training, with the numbers of epochs and steps
STOPPED_EARLY = "stopped early|early stopping"
REBUILT = "made again|rebuilt|restored|written again|recreated"  # model.h5 from best.h5
NO_BEST = "no best"  # best.h5 is absent or belongs to another history
INITIALIZED = "weights: "  # which parameters come from --init-from and which from the seed
NOT_USED_AGAIN = "not used|ignored|has no effect"  # --init-from when a run resumes
CHANGED = "changed"  # keys whose values differ from those of the run that is resumed
TAKEN_OVER = "taken over|takes over|took over|removed"  # the lock of a run that ended without removing it
SAVED = "saved"
DIGEST_OK = "digest"


class Skip(Exception):
    """The machine cannot run this test, for the given reason."""


class Failure(AssertionError):
    """A run did not behave as expected; the text contains its output."""


def has(text, part):
    """Whether a text contains a part, or one of the alternatives that `|` separates. A digit at an end of a part does not
    match inside a longer number: "1" is not in "1000"."""
    def pattern(word):
        return (r"(?<!\d)" * word[:1].isdigit()) + re.escape(word) + (r"(?!\d)" * word[-1:].isdigit())

    return any(re.search(pattern(word), text) for word in (part, *part.split("|")))


class Run:
    """A finished run of the program."""

    def __init__(self, command, code, out, err, seconds):
        self.command, self.code, self.out, self.seconds = command, code, out, seconds
        self.raw_err, self.all_err = err, MPIRUN_WORDS.sub("", err)
        self.err = CROWD_WORDS.sub("", self.all_err)

    def __str__(self):
        return (f"$ {' '.join(self.command)}\n[exit code {self.code} after {self.seconds:.1f} s]\n"
                f"--- stdout\n{self.out}--- stderr\n{self.err}---")

    def must(self, holds, what):
        if not holds:
            raise Failure(f"{what}\n{self}")
        return self

    def exits(self, code):
        return self.must(self.code == code, f"the exit code must be {code}")

    def says(self, *parts):
        """Each part is in the output; `|` separates alternatives."""
        for part in parts:
            found = any(word in self.out + self.err for word in part.split("|"))
            self.must(found, f"the output must contain: {part}")
        return self

    def reports(self, *parts):
        """All parts are in one line of the output; `|` separates alternatives."""
        lines = (self.out + self.err).splitlines()
        return self.must(any(all(has(line, part) for part in parts) for line in lines), f"one line must contain: {parts}")


def each_of(*ranks):
    """Numbers of ranks, each of which must give the same result. One is enough for the sanitizers."""
    return ranks[-1:] if IS_SANITIZED else ranks


def program_command(ranks, words, before=()):
    start = [] if ranks == ALONE else [MPIRUN, str(ranks)]
    return [*start, *map(str, before), PROGRAM, *map(str, words)]


def environment(folder, ranks):
    """The environment of the program. Its temporary files are created in the folder, where a test sees them; those of MPI are
    not. The search for leaks is off without mpirun: it crashes while MPI ends its threads. Runs under mpirun do it."""
    changes = {"OMPI_MCA_orte_tmpdir_base": tempfile.gettempdir(), "TMPDIR": str(folder)}
    if ranks == ALONE:
        changes["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0:fast_unwind_on_malloc=1"
    return {**os.environ, **changes}


def start(folder, *words, ranks=ALONE, user=None, settings=None, before=(), around=()):
    """Starts the program in the folder, for tests that send signals. `settings` are environment variables, `before` is a
    command that starts each rank, such as env or taskset, and `around` one that starts the whole command."""
    command = [*around, *program_command(ranks, words, before)]
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, user=user,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                            env={**environment(folder, ranks), **(settings or {})}, start_new_session=True)


def finish(process, deadline=DEADLINE, since=None):
    since = since or time.monotonic()
    try:
        out, err = process.communicate(timeout=deadline)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        code = f"none: killed after {deadline:.0f} s"
    return Run(process.args, code, out, err, time.monotonic() - since)


def run(folder, *words, ranks=ALONE, deadline=DEADLINE, **how):
    """Runs the program in the folder to its end."""
    since = time.monotonic()
    return finish(start(folder, *words, ranks=ranks, **how), deadline, since)


def execute(folder, *command):
    """Runs any program in the folder to its end."""
    since, command = time.monotonic(), list(map(str, command))
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
    return finish(process, since=since)


def run_well(folder, *words, **how):
    """Runs the program, which must exit with 0 and print nothing to stderr."""
    result = run(folder, *words, **how).exits(0)
    return result.must(result.err == "", "stderr must be empty")


# ---------------------------------------------------------------------- files

def write_arrays(path, arrays):
    """Writes an HDF5 file. `arrays`: path -> array or (array, attributes)."""
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            array, attributes = value if isinstance(value, tuple) else (value, {})
            file[name] = array
            file[name].attrs.update(attributes)


def write_file(path, content):
    """Writes a file. `content`: text, bytes, arrays by their paths, or a function that writes the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        content(path)
    elif isinstance(content, dict):
        write_arrays(path, content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8")


def flip_byte(path, place=-100):
    """Flips a bit of one byte of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 0x40
    path.write_bytes(bytes(content))


def snapshot(folder):
    """Every path below the folder with a digest of its content, except that a run's log may always grow. Leaves out the
    session folders that Open MPI 5 creates in TMPDIR for a program without mpirun, and does not remove."""
    return {str(path.relative_to(folder)):
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and path.name != "train.log" else ""
            for path in folder.rglob("*") if not path.relative_to(folder).parts[0].startswith("ompi.")}


def names_in(folder):
    """The names in a folder, in order, without the session folders of Open MPI 5 (see snapshot)."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("ompi."))


def read_csv(path):
    """Returns (header, rows) as texts."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return rows[0], rows[1:]


def model_arrays(path):
    """Returns the arrays below /model by their paths."""
    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path, "r") as file:
        file["model"].visititems(take)
    return found


def three_classes(n=24, n_features=4):
    """Returns points around three centres, (n, n_features) float32, and their classes, (n) int64."""
    random = numpy.random.default_rng(7)
    y = numpy.arange(n) % 3
    x = random.normal(size=(n, n_features)) + 3.0 * numpy.eye(3, n_features)[y]
    return x.astype("f4"), y.astype("i8")


CONFIG = """\
seed: 1
output: run
data:
  train: data.h5
model:
  - {layer: dense, units: 8, activation: relu}
  - {layer: dense, units: 3, activation: softmax}
loss: categorical_cross_entropy
optimizer: {type: adam, lr: 0.01}
train:
  epochs: 2
  batch_size: 8
"""


def edited(*edits, text=CONFIG):
    """Returns the config with texts replaced: each edit is (old, new)."""
    for old, new in edits:
        if old not in text:
            raise ValueError(f"the config has no text {old!r}")
        text = text.replace(old, new, 1)
    return text


# ---------------------------------------------------------------------- tests

def temporary_folder(prefix="lockstep-cli-"):
    """Creates a temporary folder, which the caller removes."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    FOLDERS.add(folder)
    return folder


def descendants(parent):
    """Returns the processes below another one."""
    words = []
    for path in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            words += path.read_text().split()
    return [pid for word in words for pid in (int(word), *descendants(word))]


def rank_of(pid):
    """None: not a process of the program."""
    with contextlib.suppress(OSError):
        if os.readlink(f"/proc/{pid}/exe") != os.path.realpath(PROGRAM):
            return None
        found = re.search(rb"(?:^|\0)OMPI_COMM_WORLD_RANK=(\d+)", pathlib.Path(f"/proc/{pid}/environ").read_bytes())
        return int(found[1]) if found else 0
    return None


def ranks_of(parent):
    """The processes of the ranks below mpirun, by rank. Open MPI 4 starts them itself, Open MPI 5 from a process between,
    so the program decides which they are."""
    found = {rank_of(pid): pid for pid in descendants(parent)}
    found.pop(None, None)
    return found


@contextlib.contextmanager
def workers():
    """A pool of threads for tests. On TERM or INT, which meson sends after a timeout, all processes below the script end too,
    also those in other process groups, and the folders are removed."""
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        def end(number, _):
            pool.shutdown(wait=False, cancel_futures=True)
            for _ in range(2):  # a thread may have started its next run
                for pid in descendants(os.getpid()):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                for folder in list(FOLDERS):
                    shutil.rmtree(folder, ignore_errors=True)
            os._exit(128 + number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        yield pool


def attempt(test):
    """Runs one test in its own folder. Returns (name and seconds, verdict, text)."""
    name, function = test
    folder, since = temporary_folder(), time.monotonic()
    verdict, text = "passed", ""
    try:
        function(folder)
    except Skip as why:
        verdict, text = "skipped", str(why)
    except Failure as why:
        verdict, text = "FAILED", str(why)
    except Exception:
        verdict, text = "FAILED", traceback.format_exc()
    if verdict == "FAILED" and "LOCKSTEP_KEEP" in os.environ:
        text += f"\nkept: {folder}"
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return f"{name} ({time.monotonic() - since:.1f} s)", verdict, text


def main(tests):
    """Runs the tests, prints the verdict of each, and exits with 1 if any failed."""
    wanted = [test for test in tests if all(word in test[0] for word in sys.argv[1:])]
    counts = dict.fromkeys(("passed", "FAILED", "skipped"), 0)
    failures = []
    with workers() as pool:
        for name, verdict, text in pool.map(attempt, wanted):
            counts[verdict] += 1
            print(f"{verdict}: {name}", *text.splitlines(), sep="\n    ", flush=True)
            if verdict == "FAILED":
                failures.append((name, text))
    for seconds, name in sorted(DURATIONS, reverse=True)[:3]:
        print(f"among the slowest runs: {seconds:.1f} s {name}")
    for name, text in failures[:3]:  # again, because logs are often cut to their end
        print(f"FAILED: {name}", *text.splitlines()[:10], sep="\n    ")
    print(", ".join(f"{number} {verdict.lower()}" for verdict, number in counts.items()))
    sys.exit(1 if counts["FAILED"] or not wanted else 0)
