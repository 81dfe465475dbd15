"""Failing calls: the Nth open, write, fsync ... below the run directory fails, once or permanently; the Nth allocation
fails; the file system is full. A run reports the failure and can be run again.

    test_calls.py [--long] [WORD...]

The recorder (recorder.c) makes the calls fail. The suite tries a sample of the Ns; --long tries all of them, on 1 and 2
ranks (an hour).

After a failed call, the run must end with exit code 5 (for an allocation 70 or 5, or 2 while the config is read; 4 if no
checkpoint can be opened) and one message that names a file of the run and the system's reason. All files are complete;
no temporary file and no lock remain. The same command on a healthy disk then gives the result of an uninterrupted run.
Some failures are harmless: the exit code is 0, and the result is right at once. These calls may fail harmlessly:

  open      of files that are only opened to see whether they exist (model.h5, best.h5), of a lock that is inspected, of
            train.log, and of diagnostics.csv for a copy
  write     of train.log, a copy of the output
  close     of files that were only read, or were synced before
  rename,
  link      of the lock, and of a checkpoint that has a second name: there are other ways to create them
  unlink    of temporary files that do not exist, and of the lock at the end, which the next run takes over
  fsync     of a new lock, and of the folder of a checkpoint that was linked: the checkpoint is then written. For any
            other file or folder the failure is reported, except EACCES, EINVAL and ENOTSUP of a folder, not tried here
  malloc    of paths that are needed only for clean-up"""

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

# Number of calls of a kind that the suite tries on one rank; on 2 ranks it is half of that.
SAMPLES = {"open": 4, "write": 4, "truncate": 2, "fsync": 4, "rename": 4, "link": 2, "unlink": 2, "mkdir": 2,
           "close": 2, "malloc": 4}
MAY_DO_NO_HARM = re.compile(r"(open|write|rename|link|unlink|close|malloc) |fsync run/(lock\.tmp-[\w-]+|checkpoints)$")


class Run(disk.FailingRun):
    """A run with failing calls."""

    def check(self, kind, number, error, how):
        """Checks one failure and the run after it. Returns whether the failure ended the run."""
        result, lines = self.fail(kind, number, error, how)
        failed = [line for line in lines if not line.startswith("seen ")]
        what = f"{'new' if self.is_new else 'resumed'}: {kind} {number} {how} {error}: {failed[:1]}: "
        if result.code == 0:
            wrong = disk.Result(self.folder).different(self.calm)
            result.must(all(map(MAY_DO_NO_HARM.match, failed)), f"{what}must be reported")
            result.must(not wrong, f"{what}exit code 0, but {wrong}")
            result.must(kind != "malloc" or result.err == "", f"{what}must have no effect")
        else:
            check_told(result, what, kind, error)
        left = disk.leftovers(self.folder / "out")
        result.must(not left or kind == "unlink", f"{what}must leave no file: {left}")
        again = disk.train(self.folder, ranks=self.ranks)
        wrong = disk.Result(self.folder).different(self.calm) if again.code == 0 else [str(again)]
        result.must(not wrong, f"{what}a second run must give the same result: {wrong}")
        left = disk.leftovers(self.folder / "out")
        result.must(not left, f"{what}a second run must leave no file: {left}")
        return result.code != 0


def check_told(result, what, kind, error):
    codes = {"malloc": (INTERNAL, OUTPUT, MODEL, CONFIG), "open": (OUTPUT, MODEL)}.get(kind, (OUTPUT,))
    result.must(result.code in codes, f"{what}the exit code must be of {codes}")
    result.must(len(re.findall("lockstep: (error|internal error)", result.err)) == 1, f"{what}must print one message")
    result.must(re.search(WORDS[error], result.err), f"{what}the message must say: {WORDS[error]}")
    result.must(kind == "malloc" or "out/run" in result.err, f"{what}the message must name the file")


def calls_fail(kind, ranks, folder):
    errors = [errno.ENOMEM] if kind == "malloc" else [errno.ENOSPC, errno.EIO]
    harms = tries = 0
    for is_new in (True, False):
        here = folder / ("new" if is_new else "resumed")
        here.mkdir()
        run = Run(here, ranks, is_new)
        wanted = max(1, SAMPLES[kind] // (2 if ranks == ALONE else 4))
        for number in disk.some_of(run.count(kind), None if IS_LONG else wanted):
            for how in ("once", "ever") if IS_LONG else (("once", "ever")[number % 2],):
                harms += run.check(kind, number, errors[number % len(errors)], how)
                tries += 1
    print(f"{kind} at {ranks} ranks: {tries} failures, {harms} reported, {tries - harms} harmless")


# A disk that is full at first and has space later. The result is copied out of the namespace.
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
    calm = disk.uninterrupted(folder)
    if harness.execute(folder, "unshare", "-m", "mount", "-t", "tmpfs", "none", "out").code != 0:
        raise Skip("file systems cannot be mounted here")
    command = harness.program_command(ranks, ("train", "config.yaml"))
    result = harness.execute(folder, "unshare", "-m", "sh", "-c", SCRIPT.format(size=size), "sh", *command).exits(0)
    first = int(re.search(r"^first: (\d+)$", result.out, re.MULTILINE)[1])
    result.must(first in (0, OUTPUT), "exit code 5 reports the full disk, unless it was large enough")
    told = re.findall(r"^lockstep: error: .*", result.err, re.MULTILINE)
    result.must(len(told) == (first != 0), "one message")
    result.must(not told or "out/run" in told[0], "the message names a file")
    result.must(not told or re.search("[Nn]o space|disk may be full", told[0]), "the message says why")
    result.must(not re.search("tmp-|lock$", result.err, re.MULTILINE), "no file may remain")
    (folder / "out").rename(folder / "mounted")
    (folder / "later").rename(folder / "out")
    wrong = disk.Result(folder).different(calm)
    result.must(not wrong, f"with space, the result is the same: {wrong}")


def all_tests():
    for kind in SAMPLES:
        for ranks in WAYS:
            yield f"{kind} fails at {ranks} ranks", functools.partial(calls_fail, kind, ranks)
    for size in range(8, 124, 4 if IS_LONG else 12):
        for ranks in WAYS if IS_LONG or size % 9 == 8 else (ALONE,):
            yield f"disk of {size} KiB at {ranks} ranks", functools.partial(disk_is_full, size, ranks)


if __name__ == "__main__":
    harness.main(all_tests())
