"""A run that has lost its lock changes nothing; errors that pass lose no checkpoint; a dead run is recognised without file
locks. The recorder (recorder.c) stops the process at a call, or makes calls fail."""

import errno
import os
import pathlib
import shutil
import signal
import time

import disk
import harness

MODEL, OUTPUT = 4, 5
STEPS = 6


def begin(folder, *words):
    """A run of 3 steps, in place of an earlier one."""
    shutil.rmtree(folder / "out")
    (folder / "out").mkdir()
    disk.train(folder, *disk.sets("train.max_steps=3"), *words).exits(0)


def prepare(folder, *words):
    """Begins a run; returns the result of an undisturbed one."""
    disk.prepare(folder)
    calm = disk.uninterrupted(folder)
    begin(folder, *words)
    return calm


def failing(kind, number, error, how="once", path="*"):
    return {"DISK_FAIL": f"{kind} {number} {error} {how}", "DISK_PATH": path}


def start(folder, recorder, *words):
    """Starts a run with the recorder."""
    settings = {"DISK_FOLDER": str((folder / "out").resolve()), **recorder}
    return harness.start(folder, "train", "config.yaml", *words, before=disk.WITH_RECORDER, settings=settings)


def wait_until_stopped(process):
    state, deadline = pathlib.Path(f"/proc/{process.pid}/stat"), time.monotonic() + harness.DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        if state.read_text().rpartition(")")[2].split()[0] == "T":
            return
        time.sleep(0.01)
    raise harness.Failure(f"the run has not stopped: {harness.finish(process)}")


def files(folder):
    """All files of the run except the log, to which a run may append why it ends."""
    return {path: content for path, content in harness.snapshot(folder / "out").items() if not str(path).endswith("train.log")}


# ------------------------------------------------------------------- a lost lock

def frozen_in_a_save(kind, path, folder):
    """The run stops in the middle of a save; its lock is removed, another run ends in the directory, and the first one
    continues."""
    calm = prepare(folder)
    first = start(folder, failing(kind, 1, -1, path=f"*/{path}.tmp-*"), *disk.sets("train.epochs=40"))
    try:
        wait_until_stopped(first)
        (folder / "out/run/lock").unlink()
        disk.train(folder).exits(0)
        before = files(folder)
    finally:
        first.send_signal(signal.SIGCONT)
    end = harness.finish(first).exits(OUTPUT).reports("error: ", "out/run/lock")
    end.must(end.err.count("lockstep:") == 1, "one message is enough")
    after = files(folder)
    changed = sorted(str(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    end.must(not changed, f"a run without its lock must change nothing: {changed}")
    wrong = disk.Result(folder).different(calm)
    end.must(not wrong, f"the other run has its result: {wrong}")


def frozen_before_a_removal(folder):
    """It stops when it renames a checkpoint, after the check. The removal of old checkpoints that follows checks again."""
    prepare(folder, *disk.sets("checkpoint.keep=9"))
    first = start(folder, failing("rename", 1, -1, path="*/step-00000004.h5"), *disk.sets("checkpoint.keep=1"))
    try:
        wait_until_stopped(first)
        os.replace(folder / "out/run/lock", folder / "lock")
    finally:
        first.send_signal(signal.SIGCONT)
    end = harness.finish(first).exits(OUTPUT).reports("error: ", "out/run/lock")
    steps = harness.saved_steps(folder / "out/run/checkpoints")
    end.must({1, 2, 3} <= set(steps), f"no old checkpoint may be removed: {steps}")


def temporary_names_of_equal_process_numbers(folder):
    """Runs in containers often have the same process number; they must not share temporary files."""
    prepare(folder)
    names = []
    for i in range(2):
        log = folder / f"calls-{i}"
        words = ("unshare", "-pf", "sh", "-c", '"$@"; exit $?', "sh")
        if harness.execute(folder, *words, "true").code != 0:
            raise harness.Skip("process namespaces cannot be made here")
        (folder / "out/run/lock").unlink(missing_ok=True)
        result = disk.train(folder, *disk.sets(f"train.max_steps={4 + i}"), recorder=failing("fsync", 1, 0, path="*/step-*.tmp-*"),
                            around=words)
        left = [path.name for path in (folder / "out/run/checkpoints").glob("step-*.tmp-*")]
        result.must(len(left) == 1, f"the kill leaves a temporary file: {left}")
        names.append(left[0].partition(".tmp-")[2])
        (folder / "out/run/checkpoints" / left[0]).unlink()
    numbers = [name.split("-")[0] for name in names]
    if numbers[0] != numbers[1] or names[0] == names[1]:
        raise harness.Failure(f"names {names}")


# ------------------------------------------------------------- errors that pass

def unreadable_file_is_kept(kind, path, folder):
    """An error of the file system does not prove that the newest checkpoint is damaged, or that best.h5 is of another run:
    nothing is skipped, replaced or removed. Each call fails once with EIO; the first ones also with other errors."""
    calm = prepare(folder)
    disk.train(folder, *disk.sets("train.max_steps=5")).exits(0)  # best.h5 is of step 3
    before = files(folder)
    failures = [(number, errno.EIO) for number in (*range(1, 10), *range(10, 200, 7))]
    for number, error in [(1, errno.EACCES), (1, errno.ESTALE), (2, errno.ESTALE), *failures]:
        result = disk.train(folder, recorder=failing(kind, number, error, path=f"*/{path}"))
        if result.code == 0:
            break
        result.exits(MODEL).reports("error: ", path)
        result.must(files(folder) == before, f"call {number}: nothing may be removed or changed")
    result.exits(0).must(number > 2, f"only {number} calls")
    wrong = disk.Result(folder).different(calm)
    result.must(not wrong, f"the run resumes from the newest checkpoint: {wrong}")
    print(f"{kind} {path}: {number} calls")


def failed_removal_is_only_a_warning(folder):
    """The next save removes the old checkpoint."""
    calm = prepare(folder)
    path = "step-00000002.h5"
    result = disk.train(folder, recorder=failing("unlink", 1, errno.EIO, path=f"*/{path}")).exits(0)
    result.reports("warning: ", path, os.strerror(errno.EIO))
    result.must(result.err.count("lockstep:") == 1, "one warning")
    steps = harness.saved_steps(folder / "out/run/checkpoints")
    result.must(sorted(steps) == [STEPS - 1, STEPS], f"it is removed later: {steps}")
    wrong = disk.Result(folder).different(calm)
    result.must(not wrong, f"the run is not disturbed: {wrong}")


def unreadable_lock_is_not_lost(folder):
    """One error while the run checks its lock does not end it."""
    calm = prepare(folder)
    for kind in ("open", "read"):
        for number in range(1, 6):
            result = disk.train(folder, recorder=failing(kind, number, errno.ESTALE, path="*/lock")).exits(0)
            wrong = disk.Result(folder).different(calm)
            result.must(not wrong, f"the run is not disturbed: {wrong}")
            begin(folder)


# --------------------------------------------------------------- without file locks

def dead_run_is_known_without_locks(folder):
    """A run was killed on this machine. A run of this machine that lives is respected."""
    calm = prepare(folder)
    for error in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        harness.finish(start(folder, failing("fsync", 1, 0, path="*/step-00000004.h5.tmp-*")))  # kills it
        result = disk.train(folder, recorder=failing("lock", 1, error, "ever")).exits(0)
        result.reports("out/run/lock", harness.TAKEN_OVER)
        result.must(not (folder / "out/run/lock").exists(), "the lock goes with the run")
        wrong = disk.Result(folder).different(calm)
        result.must(not wrong, f"the run resumes: {wrong}")
        begin(folder)


def living_run_is_respected_without_locks(folder):
    prepare(folder)
    first = start(folder, failing("fsync", 1, -1, path="*/step-00000004.h5.tmp-*"))
    try:
        wait_until_stopped(first)
        before = files(folder)
        result = disk.train(folder, recorder=failing("lock", 1, errno.ENOLCK, "ever")).exits(OUTPUT)
        result.reports("error: out/run", f"process {first.pid}")
        result.must(files(folder) == before, "nothing may be touched")
    finally:
        first.send_signal(signal.SIGCONT)
    harness.finish(first).exits(0)


def owners_without_locks(folder):
    """Only an earlier start of the same job, or a process of this boot that does not exist, is certainly dead."""
    prepare(folder)
    lock = folder / "out/run/lock"
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = os.readlink("/proc/self/ns/pid")
    job = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}
    number = int(pathlib.Path("/proc/sys/kernel/pid_max").read_text())  # never a process

    def text(host="far", boot="other", pid=number, job="0 0", space=space):
        return (f"host: {host}\npid: {pid}\nsince: 2026-01-01 00:00:00 +0000\nboot: {boot}\njob: {job}\n"
                + (f"namespace: {space}\n" if space else ""))

    recorder = failing("lock", 1, errno.ENOLCK, "ever")
    here = os.uname().nodename
    for content, settings in ((text(host=here), {}), (text(boot=boot, pid=os.getpid()), {}), (text(job="8 0"), job),
                              (text(job="7 1"), job), (text(boot=boot, space="pid:[1]"), {})):
        lock.write_text(content)
        before = files(folder)
        result = disk.train(folder, recorder=recorder, settings=settings).exits(OUTPUT).reports("error: out/run", "out/run/lock")
        result.must(files(folder) == before, "nothing may be touched")
    for step, (content, settings) in enumerate(((text(boot=boot), {}), (text(boot=boot, space=""), {}),
                                                (text(job="7 0"), job)), 4):
        lock.write_text(content)
        result = disk.train(folder, *disk.sets(f"train.max_steps={step}"), recorder=recorder, settings=settings).exits(0)
        result.reports("out/run/lock", harness.TAKEN_OVER)
        result.must(not lock.exists(), "the lock goes with the run")


def all_tests():
    for kind, path in (("fsync", "step-00000004.h5"), ("fsync", "best.h5"), ("write", "step-00000005.h5")):
        yield f"frozen in a save: {kind} {path}", lambda folder, kind=kind, path=path: frozen_in_a_save(kind, path, folder)
    yield "frozen before a removal", frozen_before_a_removal
    for kind in ("open", "read"):
        for path in ("step-00000005.h5", "best.h5"):
            yield (f"unreadable file is kept: {kind} {path}",
                   lambda folder, kind=kind, path=path: unreadable_file_is_kept(kind, path, folder))
    for test in (temporary_names_of_equal_process_numbers, failed_removal_is_only_a_warning, unreadable_lock_is_not_lost, dead_run_is_known_without_locks,
                 living_run_is_respected_without_locks, owners_without_locks):
        yield test.__name__.replace("_", " "), test


if __name__ == "__main__":
    harness.main(all_tests())
