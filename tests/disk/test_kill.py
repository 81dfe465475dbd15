"""A run that is killed again and again resumes from its newest checkpoint, and its result equals that of an undisturbed run.

  test_kill.py [--long] [WORD...]

30 kills, with --long 1000 (ten minutes on a quiet machine): mpirun with all of its 1, 2 or 4 ranks at once, or the single
process without mpirun, in turn. The kills are spread over start-up, steps and writes; steps are so small that most of the time
goes into checkpoints. In addition, one process is killed just before some of its calls on the disk; with --long, before each.
"""

import functools
import os
import pathlib
import random
import re
import shutil
import signal
import time

import disk
import harness
from harness import ALONE

IS_LONG = disk.has_option("--long")
KILLS = 1000 if IS_LONG else 30
CALLS = ("open", "write", "truncate", "fsync", "rename", "link", "unlink", "mkdir", "close")
WAYS = (ALONE, 1, 2, 4)
EPOCHS = 40

# The warning of a run that was killed between best.h5 and the checkpoint that refers to it.
NO_BEST = re.compile(rf"^lockstep: warning: out/run.*({harness.NO_BEST}).*\n", re.MULTILINE)
SETS = disk.sets(f"train.epochs={EPOCHS}", "checkpoint.keep=3")


def parents():
    """Process -> parent, of all processes that have not ended."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        if words[0] not in "ZX":
            found[int(path.parent.name)] = int(words[1])
    return found


def family(process):
    """A process and its descendants."""
    table, found = parents(), [process]
    for member in found:
        found += [child for child, parent in table.items() if parent == member]
    return found


def kill_all(process):
    """Kills a process and its descendants at once; returns its output when all have ended."""
    members = family(process.pid)
    for member in members:
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            pass
    said = process.communicate()
    while set(members) & parents().keys():
        time.sleep(0.001)
    return said


def newest_step(folder):
    return max(harness.saved_steps(folder / "out/run/checkpoints"), default=None)


def wait_for_a_moment(folder, process, chance):
    """Half of the kills come at any time after the start, half just after a new checkpoint, when further files are written."""
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0, 0.6) * harness.PATIENCE)
        return
    first = newest_step(folder)
    wanted, deadline = chance.randrange(1, 12), time.monotonic() + harness.DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        step = newest_step(folder)
        if step is not None and step >= (first or 0) + wanted:
            break
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, 0.01))


class Life:
    """A run that is killed repeatedly; when it has finished, a new one starts."""

    def __init__(self, folder):
        self.folder, self.kills, self.ends, self.writes, self.steps = folder, 0, 0, 0, set()
        self.calm = disk.uninterrupted(folder, *SETS)
        self.chance = random.Random(5)

    def command(self):
        return ["train", "config.yaml", *SETS]

    def kill(self, ranks):
        """Starts or resumes the run, and kills it unless it finishes first."""
        before = newest_step(self.folder)
        process = harness.start(self.folder, *self.command(), ranks=ranks)
        wait_for_a_moment(self.folder, process, self.chance)
        if process.poll() is not None:
            self.end(harness.finish(process))
            return
        self.check_start(before, *kill_all(process))
        self.kills += 1
        run = self.folder / "out/run"
        self.writes += any(".tmp-" in path.name for path in run.rglob("*"))
        self.steps.add(newest_step(self.folder))

    def check_start(self, before, out, err):
        """The run must have resumed from the newest checkpoint, and it must be valid."""
        found = re.search(rf"^.*(?:{harness.RESUMED}).*out/run/checkpoints/step-(\d+)\.h5", out, re.MULTILINE)
        text = f"newest: {before}\n{out}{err}"
        if "ready in" in out and (int(found[1]) if found else None) != before:
            raise harness.Failure(f"it must resume from the newest checkpoint; {text}")
        if "lockstep: " in NO_BEST.sub("", harness.CROWD_WORDS.sub("", err)):
            raise harness.Failure(f"there must be no message; {text}")

    def end(self, result):
        result.exits(0)
        wrong = disk.Result(self.folder).different(self.calm)
        result.must(not wrong, f"after {self.kills} kills, the result must be that of an uninterrupted run: {wrong}")
        left = disk.leftovers(self.folder / "out")
        result.must(not left, f"no file may remain: {left}")
        self.ends += 1
        shutil.rmtree(self.folder / "out/run")


def killed_repeatedly(folder):
    disk.prepare(folder)
    life = Life(folder)
    while life.kills < KILLS:
        life.kill(WAYS[life.kills % len(WAYS)])
    life.end(harness.run(folder, *life.command(), ranks=2))
    print(f"{life.kills} kills, {life.writes} of them during a write, at {len(life.steps)} different steps; "
          f"{life.ends} runs finished with the same result")


def killed_at_each_call(is_new, folder):
    """The recorder kills the process just before a call."""
    run = disk.FailingRun(folder, ALONE, is_new)
    places = [(kind, number) for kind in CALLS for number in disk.some_of(run.count(kind), None if IS_LONG else 2)]
    # The first calls of a new run create its folders and its lock.
    places += [(kind, number) for kind in ("open", "write", "fsync") for number in (2, 3) if is_new and not IS_LONG]
    for kind, number in places:
        result, lines = run.fail(kind, number, 0, "once")
        what = f"killed before {lines[0]} ({kind} {number}): "
        result.must(result.code == -signal.SIGKILL, f"{what}must be killed")
        again = disk.train(folder)
        again.must(again.code == 0, f"{what}must resume")
        wrong = disk.Result(folder).different(run.calm) + disk.leftovers(folder / "out")
        again.must(not wrong, f"{what}must give the same result: {wrong}")
    print(f"killed before {len(places)} calls")


if __name__ == "__main__":
    harness.main([("killed repeatedly", killed_repeatedly),
                  ("killed at each call, new", functools.partial(killed_at_each_call, True)),
                  ("killed at each call, resumed", functools.partial(killed_at_each_call, False))])
