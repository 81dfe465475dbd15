"""Calls that fail: the Nth open, write, fsync ... on a path below the run directory's folder fails by the recorder
(recorder.c), once or from there on for good; the Nth allocation of the program's own; and a file system that
is really full.

    test_calls.py [--long] [WORD...]

samples the Ns; --long tries every one of them, at 1 and 2 ranks (an hour).

What is expected, once a call has failed: exit code 5 (of an allocation 70 or 5, or 2 where the config was being read;
4 where no checkpoint can be opened) and one message that names a file of the run with the system's reason, whole files
alone, no temporary one, no lock; and the same command, run again on a healthy disk, comes to the end of a run that
nothing disturbed. Some failures do no harm: then the exit code is 0 and the result is that end at once.
These are the calls that may do so:

  open      of files that are only read back to see whether they are there (model.h5, best.h5), of a lock that is
            looked at, of train.log and of diagnostics.csv to be copied
  write     of train.log, a copy of what is printed
  close     of files that were only read or were synced before
  rename,
  link      of the lock, and of a checkpoint that is another file too: there are other ways to make them
  unlink    of temporary files that are not there, and of the lock at the end, which the next run takes over
  fsync     of the lock that is being made, and of the folder of a checkpoint that was linked: it is then written. Of
            any other file or folder it is told, but for a folder's EACCES, EINVAL and ENOTSUP, which aren't tried here
  malloc    of paths of what is only cleaned up"""

import errno
import functools
import re
import shutil

import disk
import harness
from harness import ALONE, Skip

IS_LONG = disk.has_option("--long")
WAYS = (ALONE, 2)
CONFIG, MODEL, OUTPUT, INTERNAL = 2, 4, 5, 70
WORDS = {errno.ENOSPC: "No space left on device", errno.EIO: "Input/output error",
         errno.ENOMEM: "out of memory|Cannot allocate memory"}

# How many calls of a kind the suite tries alone; at 2 ranks it is half of them.
SAMPLES = {"open": 6, "write": 8, "truncate": 2, "fsync": 6, "rename": 4, "link": 2, "unlink": 4, "mkdir": 2,
           "close": 4, "malloc": 10}
MAY_DO_NO_HARM = re.compile(r"(open|write|rename|link|unlink|close|malloc) |fsync run/(lock\.tmp-\d+|checkpoints)$")


class Run(disk.FailingRun):
    """A run with calls that fail."""

    def check(self, kind, number, error, how):
        """One failure, and what comes after it. Returns whether it did harm."""
        result, lines = self.fail(kind, number, error, how)
        failed = [line for line in lines if not line.startswith("seen ")]
        what = f"{'new' if self.is_new else 'going on'}: {kind} {number} {how} {error}: {failed[:1]}: "
        if result.code == 0:
            wrong = disk.Result(self.folder).different(self.calm)
            result.must(all(map(MAY_DO_NO_HARM.match, failed)), f"{what}must be told")
            result.must(not wrong, f"{what}exit code 0, and yet {wrong}")
            result.must(kind != "malloc" or result.err == "", f"{what}nothing may be lost by it")
        else:
            check_told(result, what, kind, error)
        left = disk.leftovers(self.folder / "out")
        result.must(not left or kind == "unlink", f"{what}nothing may be left: {left}")
        again = disk.train(self.folder, ranks=self.ranks)
        wrong = disk.Result(self.folder).different(self.calm) if again.code == 0 else [str(again)]
        result.must(not wrong, f"{what}to run it again must come to the same end: {wrong}")
        left = disk.leftovers(self.folder / "out")
        result.must(not left, f"{what}nothing may be left in the end: {left}")
        return result.code != 0


def check_told(result, what, kind, error):
    codes = {"malloc": (INTERNAL, OUTPUT, MODEL, CONFIG), "open": (OUTPUT, MODEL)}.get(kind, (OUTPUT,))
    result.must(result.code in codes, f"{what}the exit code must be of {codes}")
    result.must(len(re.findall("lockstep: (error|internal error)", result.err)) == 1, f"{what}one message is enough")
    result.must(re.search(WORDS[error], result.err), f"{what}the message must say: {WORDS[error]}")
    result.must(kind == "malloc" or "out/run" in result.err, f"{what}the message must name the file")


def calls_fail(kind, ranks, folder):
    errors = [errno.ENOMEM] if kind == "malloc" else [errno.ENOSPC, errno.EIO]
    harms = tries = 0
    for is_new in (True, False):
        here = folder / ("new" if is_new else "going-on")
        here.mkdir()
        run = Run(here, ranks, is_new)
        wanted = max(1, SAMPLES[kind] // (2 if ranks == ALONE else 4))
        for number in disk.some_of(run.count(kind), None if IS_LONG else wanted):
            for how in ("once", "ever") if IS_LONG else (("once", "ever")[number % 2],):
                harms += run.check(kind, number, errors[number % len(errors)], how)
                tries += 1
    print(f"{kind} at {ranks} ranks: {tries} failures, {harms} told, {tries - harms} without harm")


# A disk that is full at first and has room later, with the run's result copied out of its namespace.
SCRIPT = """
mount -t tmpfs -o size={size}k none out || exit 99
"$@"; echo "first: $?"
find out -name '*.tmp-*' -o -name lock >&2
mount -o remount,size=50m out || exit 99
"$@"; code=$?
mkdir later && cp -r out/run later/ && exit $code
"""


def disk_is_full(size, ranks, folder):
    disk.prepare(folder)
    calm = disk.undisturbed(folder)
    if harness.execute(folder, "unshare", "-m", "mount", "-t", "tmpfs", "none", "out").code != 0:
        raise Skip("file systems can't be mounted here")
    command = harness.program_command(ranks, ("train", "config.yaml"))
    result = harness.execute(folder, "unshare", "-m", "sh", "-c", SCRIPT.format(size=size), "sh", *command).exits(0)
    first = int(re.search(r"^first: (\d+)$", result.out, re.MULTILINE)[1])
    result.must(first in (0, OUTPUT), "the full disk is told by exit code 5, or was not full")
    told = re.findall(r"^lockstep: error: .*", result.err, re.MULTILINE)
    result.must(len(told) == (first != 0), "one message is enough")
    result.must(not told or "out/run" in told[0], "the message names a file")
    result.must(not told or re.search("No space left|no room|is the disk full", told[0]), "the message says why")
    result.must(not re.search("tmp-|lock$", result.err, re.MULTILINE), "nothing may be left")
    (folder / "out").rename(folder / "mounted")
    (folder / "later").rename(folder / "out")
    wrong = disk.Result(folder).different(calm)
    result.must(not wrong, f"with room it comes to the same end: {wrong}")


def all_tests():
    for kind in SAMPLES:
        for ranks in WAYS:
            yield f"{kind} fails at {ranks} ranks", functools.partial(calls_fail, kind, ranks)
    for size in range(8, 124, 4 if IS_LONG else 12):
        for ranks in WAYS if IS_LONG or size % 9 == 8 else (ALONE,):
            yield f"disk of {size} KiB at {ranks} ranks", functools.partial(disk_is_full, size, ranks)


if __name__ == "__main__":
    harness.main(all_tests())
