"""The run directory and the data during a run: locks, full disks, missing permissions, files that vanish."""

import functools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import harness
from harness import ALONE, Skip, run
from training import X, Y, check_stopped, prepare, start_long_run, steps_saved, train

OUTPUT, DATA, MODEL, STOPPED = 5, 3, 4, 75
WAYS = (ALONE, 2, 4)
TRAIN = ("train", "config.yaml")
HOST = socket.gethostname()


def processes(started, ranks):
    """The processes of the ranks."""
    return [started.pid] if ranks == ALONE else sorted(harness.ranks_of(started.pid).values())


def signal_ranks(started, ranks, number):
    for process in processes(started, ranks):
        os.kill(process, number)


def stop_ranks(started, ranks):
    """Stops all threads of the ranks, and waits until the last has stopped, as one may be writing a file."""
    signal_ranks(started, ranks, signal.SIGSTOP)
    for process in processes(started, ranks):
        for _ in range(1000):
            states = [path.read_text().rpartition(")")[2].split()[0]
                      for path in pathlib.Path(f"/proc/{process}/task").glob("*/stat")]
            if set(states) == {"T"}:
                break
            time.sleep(0.01)


def owner(folder):
    """The process that the lock names."""
    return int((folder / "run/lock").read_text().split("pid: ")[1].split()[0])


def lock_of(host=HOST, boot="of-another-start", job="0 0"):
    return f"host: {host}\npid: 12\nsince: 2026-01-01 00:00:00 +0000\nboot: {boot}\njob: {job}\n"


# ------------------------------------------------------------- one run at a time

def second_run_is_refused(folder, ranks):
    """A second run is refused with any option, before it changes anything. The first run is stopped meanwhile, so that
    what changes is the second's doing."""
    first = start_long_run(folder, ranks)
    try:
        stop_ranks(first, ranks)
        before = harness.snapshot(folder), (folder / "run/train.log").read_bytes()
        said = owner(folder), processes(first, ranks)
        results = [run(folder, *TRAIN, *words, ranks=ranks)
                   for words in ((), ("--overwrite",), ("--resume", "never"), ("--set", "data.train=none.h5"))]
        after = harness.snapshot(folder), (folder / "run/train.log").read_bytes()
    finally:
        signal_ranks(first, ranks, signal.SIGCONT)
    first.send_signal(signal.SIGUSR1)
    end = harness.finish(first).exits(STOPPED)
    for result in results:
        result.exits(OUTPUT).reports("error: run", str(said[0]), HOST)
        result.must(result.err.count("lockstep:") == 1, "one message is enough")
        result.must(before == after, "nothing may be touched")
    end.must(said[0] in said[1], f"the lock names {said[0]}, which is none of {said[1]}")
    end.must(not (folder / "run/lock").exists(), "the lock goes with the run")
    check_stopped(folder, end, ranks)


def dead_run_is_taken_over(folder, ranks):
    first = start_long_run(folder, ranks)
    process = owner(folder)
    signal_ranks(first, ranks, signal.SIGKILL)
    end = harness.finish(first)
    end.must((folder / "run/lock").exists(), "a killed run must leave its lock")
    lock = (folder / "run/lock").read_bytes()
    step = max(harness.saved_steps(folder / "run/checkpoints"), default=0)
    parts = ("run/lock", harness.TAKEN_OVER, str(process), HOST)
    for more in (("--set", f"train.max_steps={step + 3}"), ("--overwrite", "--set", "train.max_steps=3")):
        (folder / "run/lock").write_bytes(lock)
        result = run(folder, *TRAIN, *more, ranks=ranks).exits(0).reports(*parts)
        log = (folder / "run/train.log").read_text().splitlines()
        result.must(any(all(harness.has(line, part) for part in parts) for line in log), "the log has the same line")
        result.must(not (folder / "run/lock").exists(), "the lock goes with the run")


def run_that_lost_its_lock_ends(folder, ranks):
    """The lock was removed, or replaced by that of another run: the run ends. A later run in the directory resumes."""
    lock, other = folder / "run/lock", folder / "other"
    for is_taken in (True, False):
        shutil.rmtree(folder / "run", ignore_errors=True)
        first = start_long_run(folder, ranks)
        other.write_text(lock_of("far"))
        if is_taken:
            os.replace(other, lock)
        else:
            lock.unlink()
        end = harness.finish(first).exits(OUTPUT).reports("error: run/lock")
        end.must(lock.exists() == is_taken, "the lock is left to its owner")
        if is_taken:
            end.must(lock.read_text() == lock_of("far"), "the lock is left to its owner")
            lock.unlink()
        step = max(harness.saved_steps(folder / "run/checkpoints"), default=0)
        result = run(folder, *TRAIN, "--set", f"train.max_steps={step + 3}", ranks=ranks).exits(0)
        result.reports(harness.DONE, f"{step + 3} steps")
        if step: # else it ended before its first checkpoint
            result.reports(harness.RESUMED, f"run/checkpoints/step-{step:08}.h5")


def locks_that_cannot_be_judged(folder):
    """Locks of other machines and jobs are refused with a remedy, because only local processes are known to have ended."""
    prepare(folder)
    train(folder, "--set", "train.epochs=1")
    lock = folder / "run/lock"
    far = ("error: run", "process 12 on far", "2026-01-01", "run/lock")
    job = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}
    for content, says, settings in ((lock_of("far"), far, {}), (lock_of("far", job="8 0"), far, job),
                                    (lock_of("far", job="7 1"), far, job),
                                    ("", ("error: run/lock",), {}),
                                    ("mine\n", ("error: run/lock",), {})):
        lock.write_text(content)
        before = harness.snapshot(folder)
        result = run(folder, *TRAIN, settings=settings).exits(OUTPUT).reports(*says)
        result.must(harness.snapshot(folder) == before, "nothing may be touched")
    for epochs, content, settings in ((2, lock_of(), {}), (3, lock_of("far", job="7 0"), job),
                                      (4, lock_of("far", boot=boot()), {})):
        lock.write_text(content)
        result = run(folder, *TRAIN, "--set", f"train.epochs={epochs}", settings=settings).exits(0)
        result.reports("run/lock", harness.TAKEN_OVER).reports(harness.DONE, f"{epochs} epochs")
        result.must(not lock.exists(), "the lock goes with the run")


def boot():
    path = pathlib.Path("/proc/sys/kernel/random/boot_id")
    if not path.exists():
        raise Skip("this kernel does not name its start")
    return path.read_text().strip()


def error_leaves_a_folder_as_it_was(folder):
    prepare(folder)
    words = (*TRAIN, "--init-from", "none.h5")
    run(folder, *words, "-o", "a/b/run").exits(MODEL)
    (folder / "mine").mkdir()
    result = run(folder, *words, "-o", "mine").exits(MODEL)
    result.must(not (folder / "a").exists() and list((folder / "mine").iterdir()) == [], "nothing may be left")


# -------------------------------------------------------- no space, no write permission

def mounted(folder, script, *words, size="200k", ranks=ALONE):
    """Runs a shell script, in which "$@" is the program, with a separate file system in the folder `small`."""
    (folder / "small").mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o size={size} none small"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], cwd=folder, capture_output=True).returncode != 0:
        raise Skip("file systems cannot be mounted here")
    before = ("unshare", "-m", "sh", "-c", f'{mount} && {{ {script}; }}', "sh")
    return run(folder, *TRAIN, *words, ranks=ranks, before=before)


def no_room_for_a_checkpoint(folder, ranks):
    prepare(folder)
    result = mounted(folder, '"$@"; code=$?; ls -A small; exit $code', "-o", "small/run", "--set", "model.0.units=8192",
                     ranks=ranks).exits(OUTPUT)
    parameters = (4 + 1) * 8192 + (8192 + 1) * 3
    result.reports("error: small/run", f"{4 * 4 * parameters} bytes", "204800")
    result.must(result.out == "", "no folder may be left, and nothing printed")


def room_for_one_run(folder):
    """--overwrite frees the space of the old run before the new one needs it."""
    prepare(folder)
    words = ("-o", "small/run", "--set", "model.0.units=1024", "--set", "train.max_steps=1")
    result = mounted(folder, '"$@" && "$@" --overwrite', *words, size="220k").exits(0)
    result.must(len(re.findall(rf"({harness.DONE}).*0 epochs.*1 step", result.out)) == 2, "both runs end well")
    result.reports("small/run", "4 checkpoints", "98340", "checkpoint.keep")
    again = mounted(folder, '"$@" && "$@" -o small/new', *words, size="220k").exits(OUTPUT)
    again.reports("error: small/new", "131120 bytes")


def disk_that_fills_up(folder, ranks):
    """Training continues while a checkpoint is written, and ends soon after one that fails. Earlier checkpoints are complete,
    and no incomplete one is left."""
    prepare(folder)
    words = ("-o", "small/run", "--set", "checkpoint={every_steps: 1, every_epochs: 0, keep: 99}", "--set",
             "model.0.units=256", "--set", "train.epochs=500")
    lists = '"$@"; code=$?; ls -1 small/run/checkpoints'
    script = {ALONE: lists + '; rm small/run/checkpoints/step-00000001.h5; "$@" --set train.max_steps=0 && exit $code',
              1: lists + '; exit $code'}.get(ranks, '"$@"') # whose shell ends first ends the others
    result = mounted(folder, script, *words, ranks=ranks, size="400k").exits(OUTPUT)
    failed = re.search(r"error: small/run/checkpoints/step-(\d+)\.h5:.*No space left on device", result.err)
    result.must(failed and result.err.count("error:") == 1, "one message names the file")
    if ranks > 1:
        result.must("done:" not in result.out, "it has not ended well")
        return
    saved = re.findall(r"^step-(\d+)\.h5$", result.out, re.MULTILINE)
    result.must(int(saved[-1]) + 1 == int(failed[1]), "the message names the checkpoint after the last one")
    result.must(".tmp-" not in result.out, "no half of a file may be left")
    if ranks == ALONE:
        result.reports(harness.RESUMED, f"small/run/checkpoints/step-{saved[-1]}.h5")


def checkpoint_that_fails_ends_the_run(folder, ranks):
    """The run ends soon after the failure, also if no other checkpoint is due before its end."""
    prepare(folder)
    (folder / "run/checkpoints/best.h5").mkdir(parents=True)
    words = ("train.monitor=epoch", "checkpoint.every_epochs=0", "train.epochs=20000")
    result = run(folder, *TRAIN, *(word for pair in words for word in ("--set", pair)), ranks=ranks).exits(OUTPUT)
    result.reports("error: run/checkpoints/best.h5")
    result.must(0 < lines(folder) < 20000, "it must end after the first epoch, the best, which cannot be saved")
    result.must("error: run/checkpoints/best.h5" in (folder / "run/train.log").read_text(), "the log has it")


def read_only_file_system(folder, ranks):
    prepare(folder)
    read_only = "mount -o remount,ro small"
    for output in ("small", "small/a/run"):
        result = mounted(folder, f'{read_only}; "$@"', "-o", output, "--set", "data.train=none.h5", ranks=ranks)
        result.exits(OUTPUT).reports(f"{output}: ", "Read-only file system")
    if ranks != ALONE:
        return  # a rank would have a file system of its own
    finished = f'"$@" && {read_only} && "$@"'
    mounted(folder, finished, "-o", "small/run", size="1m").exits(0).reports("small/run", harness.FINISHED)
    more = mounted(folder, f'{finished} --set train.epochs=3', "-o", "small/run", size="1m").exits(OUTPUT)
    more.says(harness.RESUMED).reports("small/run/lock", "Read-only file system")


# ---------------------------------------------------------------- data that vanish

def cut(path):
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)


def lines(folder):
    return (folder / "run/metrics.csv").read_text().count("\n")


def data_vanish_under_a_run(take_away, says, folder, ranks):
    """The data are in memory, so the run continues. A later resume reports the missing file."""
    harness.write_arrays(folder / "test.h5", {"x": X, "y": Y})
    words = ("--set", "data.test=test.h5")
    first = start_long_run(folder, ranks, *words)
    shutil.copy(folder / "data.h5", folder / "copy.h5")
    take_away(folder / "data.h5")
    take_away(folder / "test.h5")
    seen, deadline = lines(folder), time.monotonic() + harness.DEADLINE
    while lines(folder) < seen + 2 and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    went_on = lines(folder) >= seen + 2
    first.send_signal(signal.SIGUSR1)
    end = harness.finish(first).exits(STOPPED)
    end.must(went_on, "it must go on without the files")
    before = harness.snapshot(folder)
    run(folder, *TRAIN, ranks=ranks).exits(DATA).reports("data.h5: ", says)
    shutil.copy(folder / "copy.h5", folder / "data.h5")
    result = run(folder, *TRAIN, *words, ranks=ranks).exits(DATA).reports("test.h5: ", says)
    (folder / "data.h5").unlink()
    before.pop("data.h5", None)
    result.must(harness.snapshot(folder) == before, "nothing may be touched")
    shutil.copy(folder / "copy.h5", folder / "data.h5")
    check_stopped(folder, end, ranks)


def test_data_are_read_at_the_start(folder, ranks):
    harness.write_arrays(folder / "test.h5", {"x": X, "y": Y})
    process = start_long_run(folder, ranks, "--set", "data.test=test.h5", "--set", "train.epochs=300",
                             "--set", "checkpoint.every_epochs=0")
    for name in ("data.h5", "test.h5"):
        (folder / name).unlink()
    harness.finish(process).exits(0).says("test: loss").reports(harness.DONE, "300 epochs")


IN_ALL_WAYS = {
    "second run is refused": second_run_is_refused,
    "dead run is taken over": dead_run_is_taken_over,
    "run that lost its lock ends": run_that_lost_its_lock_ends,
    "no room for a checkpoint": no_room_for_a_checkpoint,
    "checkpoint that fails ends the run": checkpoint_that_fails_ends_the_run,
    "disk that fills up": disk_that_fills_up,
    "read-only file system": read_only_file_system,
    "data deleted under a run": functools.partial(data_vanish_under_a_run, os.unlink, "No such file"),
    "data cut under a run": functools.partial(data_vanish_under_a_run, cut, "truncated"),
    "test data are read at the start": test_data_are_read_at_the_start,
}


def all_tests():
    for name, test in IN_ALL_WAYS.items():
        for ranks in WAYS[:2] if " data " in f" {name} " else WAYS:
            yield f"{name} at {ranks} ranks", lambda folder, test=test, ranks=ranks: test(folder, ranks)
    for test in (locks_that_cannot_be_judged, error_leaves_a_folder_as_it_was, room_for_one_run):
        yield test.__name__.replace("_", " "), test


if __name__ == "__main__":
    harness.main(all_tests())
