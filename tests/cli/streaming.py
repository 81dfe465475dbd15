"""Training and evaluation of data that stay in their files: the results of resident data, bit for bit."""

import os
import pathlib
import re
import signal
import time

import h5py
import numpy

import harness
from harness import edited, model_arrays, run

RANDOM = numpy.random.default_rng(3)
NODES = harness.BUILD / "tests/mpi/libnodes.so"
SLOW = harness.BUILD / "tests/mpi/libslow.so"

CONFIG = """\
seed: 1
output: run
data:
  train: part-*.h5
  validation: 0.2
  window: 150
  normalize: scale
model:
  - {layer: dense, units: 6, activation: relu}
  - {layer: dense, units: 3, activation: softmax}
loss: categorical_cross_entropy
optimizer: {type: adam, lr: 0.01}
train: {epochs: 2, batch_size: 32, reproducible: true}
"""


def write_parts(folder, rows, n_features=5, dtype="f4", weights=False):
    """Files that are one block each."""
    for i, n in enumerate(rows):
        y = RANDOM.integers(0, 3, n)
        arrays = {"x": (100 * RANDOM.random((n, n_features))).astype(dtype), "y": y}
        harness.write_arrays(folder / f"part-{i:02}.h5", {**arrays, **({"w": RANDOM.random(n)} if weights else {})})


def train(folder, memory, *edits, ranks=harness.ALONE, output=None, nodes=None, words=()):
    harness.write_file(folder / "config.yaml", edited(*edits, text=CONFIG))
    settings = {"LD_PRELOAD": str(NODES), "TEST_NODES": nodes} if nodes else None
    return run(folder, "train", "config.yaml", "--set", f"data.memory={memory}", *words, "-o", output or memory, ranks=ranks,
               settings=settings)


def same_files(result, folder, a, b):
    """Whether two runs have the same metrics, without times, and the same parameters."""
    rows = [[row[:7] for row in harness.read_csv(folder / name / "metrics.csv")[1]] for name in (a, b)]
    result.must(rows[0] == rows[1], f"the same rows: {rows}")
    wanted, found = (model_arrays(folder / name / "model.h5") for name in (a, b))
    result.must(all((found[k] == wanted[k]).all() for k in wanted), "the same parameters")


def compare(folder, *edits):
    """Streamed runs, at several numbers of ranks, on several nodes and without shared memory, equal a resident one."""
    train(folder, "resident", *edits).exits(0)
    cases = [(harness.ALONE, None, ()), (2, None, ()), (3, "2,1", ()), (4, "1,2,1", ()), (2, None, ["--set", "comm.shared_memory=false"])]
    for i, (ranks, nodes, words) in enumerate(cases[-1:] if harness.IS_SANITIZED else cases):
        if nodes and not NODES.exists():
            continue
        result = train(folder, "stream", *edits, ranks=ranks, nodes=nodes, words=words, output=f"stream-{i}").exits(0)
        same_files(result, folder, "resident", f"stream-{i}")
        check_blocks(result, folder / f"stream-{i}")


def check_blocks(result, folder):
    """Each block of an epoch was read once."""
    lines = re.findall(r"read (\d+) blocks of the training data, of which an epoch has (\d+)", (folder / "train.log").read_text())
    result.must(lines and all(n == wanted for n, wanted in lines), f"each block is read once: {lines}")


ROWS = (40, 37, 1, 90, 64, 12, 55, 40, 3, 71)


def the_same_bits(folder):
    write_parts(folder, ROWS, weights=True)
    compare(folder)


def the_same_bits_with_mixup(folder):
    write_parts(folder, ROWS)
    compare(folder, ("normalize: scale", "normalize: standardize\n  augment: {mixup: 0.3}"), ("batch_size: 32", "batch_size: 30, accumulate: 3"))


def batches_that_span_windows(folder):
    write_parts(folder, ROWS, dtype="u1", n_features=1)
    compare(folder, ("window: 150", "window: 1"), ("batch_size: 32", "batch_size: 100, accumulate: 2"), ("validation: 0.2", "shuffle: false"))


def large_samples(folder):
    """A chunk is a sample of 120 kB, and a block is larger than the window."""
    n = 23
    with h5py.File(folder / "part-00.h5", "w") as file:
        file.create_dataset("x", (n, 300, 400), "u1", chunks=(1, 300, 400), data=RANDOM.integers(0, 255, (n, 300, 400)))
        file["y"] = numpy.arange(n) % 3
    edits = (("window: 150", "window: 1"), ("batch_size: 32", "batch_size: 2"), ("validation: 0.2", "shuffle: true"),
             ("units: 6", "units: 1"), ("adam", "sgd"))
    train(folder, "resident", *edits).exits(0)
    same_files(train(folder, "stream", *edits, ranks=2).exits(0), folder, "resident", "stream")


def resume_inside_an_epoch(folder):
    """At another number of ranks."""
    write_parts(folder, ROWS)
    whole = train(folder, "resident")
    for first, second in ((1, 3), (2, harness.ALONE)):
        name = f"stopped-{first}"
        train(folder, "stream", ranks=first, output=name, words=["--set", "train.max_steps=14"]).exits(0)
        result = train(folder, "stream", ranks=second, output=name).exits(0).reports("resum")
        same_files(result, folder, "resident", name)
    whole.exits(0)


def a_resume_makes_no_pass_over_the_data(folder):
    """Normaliser and class weights are those of the checkpoint: a sample that neither they nor the fingerprint need may be damaged."""
    y = RANDOM.integers(0, 3, 2048)
    harness.write_arrays(folder / "part-00.h5", {"x": RANDOM.random((2048, 1024)).astype("f4"), "y": y})
    edits = (("validation: 0.2\n", "shuffle: false\n"), ("normalize: scale", "normalize: standardize"), ("window: 150", "window: 2048"),
             ("reproducible: true", "reproducible: true, max_steps: 2, class_weight: balanced"))
    result = train(folder, "stream", *edits).exits(0)
    with h5py.File(sorted((folder / "stream/checkpoints").iterdir())[-1]) as file:
        weights = file["class_weights"][()]
    result.must(numpy.allclose(weights, 2048 / (3 * numpy.bincount(y)), rtol=1e-15, atol=0), f"balanced weights: {weights}")
    with h5py.File(folder / "part-00.h5", "r+") as file:
        file["x"][20] = numpy.nan
    for ranks in harness.each_of(harness.ALONE, 2):
        train(folder, "stream", *edits, ranks=ranks).exits(0).says(harness.FINISHED)
        train(folder, "stream", *edits, ranks=ranks, words=["--set", "train.class_weight=[1, 2, 1]"]).exits(2)
        train(folder, "stream", *edits, ranks=ranks, words=["--overwrite"]).exits(3).reports("part-00.h5:/x", "row 20", "nan")
        train(folder, "resident", *edits, ranks=ranks, output="stream").exits(3).reports("part-00.h5:/x", "row 20", "nan")


def files_sorted_by_class(folder):
    """The first window shows it, wherever the samples are kept."""
    with h5py.File(folder / "part-00.h5", "w") as file:
        file.create_dataset("x", (12000, 1000), "u1", chunks=(1000, 1000))[:] = 1
        file["y"] = numpy.arange(12000) // 4000
    edits = (("window: 150", "window: 3000"), ("validation: 0.2\n", "validation: 0.1\n"))
    for memory in ("resident", "stream"):
        harness.write_file(folder / "config.yaml", edited(*edits, text=CONFIG))
        run(folder, "check", "config.yaml", "--set", f"data.memory={memory}").exits(0).reports("warning", "import", "--shuffle")


def last_saved(folder):
    return max(harness.saved_steps(folder / "checkpoints"), default=0)


def shared_memory(pids):
    """The files in /dev/shm that these processes have mapped."""
    maps = "".join(pathlib.Path(f"/proc/{pid}/maps").read_text() for pid in pids)
    return set(re.findall(r"(/dev/shm/\S+)\n", maps))


def stop(folder, ranks, number, code):
    """Sends a signal to the last rank of a run after its next checkpoint, and checks that nothing is left."""
    run_folder, saved = folder / "run", last_saved(folder / "run")
    process = harness.start(folder, "train", "config.yaml", "--set", "data.memory=stream", ranks=ranks)
    while last_saved(run_folder) == saved and process.poll() is None:
        time.sleep(0.02)
    pids = harness.ranks_of(process.pid) if ranks else {0: process.pid}
    files = shared_memory(pids.values())
    os.kill(pids[max(pids)], number)
    result = harness.finish(process).exits(code)
    left = [name for name in files if os.path.exists(name)]
    if code == 75:
        left += [path for path in run_folder.rglob("*") if ".tmp-" in path.name or path.name == "lock"]
    result.must(not left, f"files are left: {left}")


def stopped_inside_a_window(folder):
    """By signals, by kill -9, by the watchdog and by train.max_time; the run resumes at another number of ranks each time."""
    write_parts(folder, ROWS)
    harness.write_file(folder / "config.yaml", edited(("epochs: 2", "epochs: 1000000"), text=CONFIG) + """\
checkpoint: {every_steps: 7, every_epochs: 1000000}
comm: {timeout: 3s}
""")
    stop(folder, 2, signal.SIGUSR1, 75)
    stop(folder, 3, signal.SIGKILL, 137)
    stop(folder, harness.ALONE, signal.SIGTERM, 75)
    stop(folder, 2, signal.SIGSTOP, 70)
    stop(folder, harness.ALONE, signal.SIGKILL, -signal.SIGKILL)
    words = ("train", "config.yaml", "--set", "data.memory=stream", "--set")
    run(folder, *words, "train.max_time=2s", ranks=3).exits(75).reports("train.max_time")
    last = f"train.max_steps={last_saved(folder / 'run') + 3}"
    result = run(folder, *words, last, ranks=2).exits(0)
    run(folder, "train", "config.yaml", "--set", last, "-o", "resident").exits(0)
    same_files(result, folder, "resident", "run")


def slow_disk(folder):
    """In training, a window that takes longer than comm.timeout is not a hang, as the readers make progress. A read that does not
    return is one."""
    if not SLOW.exists():
        raise harness.Skip("no library for LD_PRELOAD")
    write_parts(folder, [500] * 12, n_features=400)
    harness.write_file(folder / "config.yaml", edited(
        ("  validation: 0.2\n", ""), ("window: 150", "window: 3000"), ("normalize: scale", "normalize: none"), ("epochs: 2", "epochs: 1000000"),
        ("batch_size: 32, reproducible: true}", "batch_size: 100}\ncheckpoint: {every_steps: 5}\ncomm: {timeout: 3s}"), text=CONFIG))
    process = harness.start(folder, "train", "config.yaml", "--set", "data.memory=stream", ranks=2,
                            settings={"LD_PRELOAD": str(SLOW), "TEST_SLOW": str(folder / "slow")})
    for seconds in ("0.2", "1000"):
        wanted = last_saved(folder / "run") + 65  # two windows
        while last_saved(folder / "run") < wanted and process.poll() is None:
            time.sleep(0.02)
        harness.write_file(folder / "slow.new", seconds)
        os.rename(folder / "slow.new", folder / "slow")
    result = harness.finish(process).exits(70).reports("comm.timeout", "a file system may not respond")
    result.must(last_saved(folder / "run") >= wanted, f"the run must reach step {wanted} on the slow disk")


def commands(folder):
    """evaluate, predict and explain read the file; plan, lr-find, gradcheck and check accept a streamed run."""
    write_parts(folder, (700,))
    split = ("  validation: 0.2\n", "")
    train(folder, "resident", split).exits(0)
    for ranks in harness.each_of(harness.ALONE, 3):
        outputs = []
        for memory in ("resident", "stream"):
            found = run(folder, "evaluate", "resident/model.h5", "part-00.h5", "--json", "--memory", memory, ranks=ranks).exits(0)
            run(folder, "predict", "resident/model.h5", "part-00.h5", "-o", f"{memory}.csv", "--memory", memory, ranks=ranks).exits(0)
            explained = run(folder, "explain", "resident/model.h5", "part-00.h5", "--importance", "--json", "--memory", memory, ranks=ranks)
            outputs.append((found.out, (folder / f"{memory}.csv").read_text(), explained.exits(0).out))
        found.must(outputs[0] == outputs[1], "the same results")
    for ranks, words in ((harness.ALONE, ("check",)), (2, ("plan",)), (2, ("lr-find",)), (2, ("gradcheck",))):
        run(folder, words[0], "config.yaml", "--set", "data.memory=stream", ranks=ranks).exits(0)


def predictions_in_large_chunks(folder):
    """Each rank reads many consecutive samples; the bits are those of data in memory."""
    harness.write_arrays(folder / "part-00.h5", {"x": RANDOM.random((2700, 1024)).astype("f4"), "y": numpy.arange(2700) % 3})
    train(folder, "resident", ("  validation: 0.2\n", ""), ("epochs: 2", "epochs: 1")).exits(0)
    for ranks in harness.each_of(harness.ALONE, 3):
        for memory in ("resident", "stream"):
            run(folder, "predict", "resident/model.h5", "part-00.h5", "-o", f"{memory}.h5", "--memory", memory, ranks=ranks).exits(0)
        found = []
        for memory in ("resident", "stream"):
            with h5py.File(folder / f"{memory}.h5") as file:
                found.append((file["probability"][()], file["class"][()]))
        if not all(numpy.array_equal(a, b) for a, b in zip(*found)):
            raise harness.Failure(f"the predictions must have the same bits at {ranks} ranks")


def passes_show_a_bar(folder):
    """On a terminal."""
    write_parts(folder, (700,), weights=True)
    edits = (("  validation: 0.2\n", ""), ("normalize: scale", "normalize: standardize"),
             ("reproducible: true", "reproducible: true, class_weight: balanced"))
    harness.write_file(folder / "config.yaml", edited(*edits, text=CONFIG))
    screen, terminal = os.openpty()
    process = harness.start(folder, "check", "config.yaml", "--set", "data.memory=stream",
                            around=("sh", "-c", f'exec "$@" 2>/proc/{os.getpid()}/fd/{terminal}', "sh"))
    result = harness.finish(process).exits(0)
    shown = os.read(screen, 65536).decode(errors="replace")
    os.close(screen)
    os.close(terminal)
    result.must("samples of each class: 100 %" in shown, f"a bar must be shown: {shown!r}")


# -------------------------------------------------------------------------------- errors

LONG = (("validation: 0.2\n", "shuffle: true\n"), ("window: 150", "window: 600"), ("normalize: scale", "normalize: none"),
        ("batch_size: 32, reproducible: true}", "batch_size: 100}\ncheckpoint: {every_steps: 5}"))


def bad_values(folder):
    """A NaN, and a label out of range, in samples that no check at the start reads."""
    write_parts(folder, [600] * 30, n_features=200)
    cases = (("x", numpy.nan, ("feature", "nan")), ("y", 3, ("label 3", "must be from 0 to 2")))
    for name, value, parts in cases[:1] if harness.IS_SANITIZED else cases:
        for part in range(3, 30, 4):
            path = folder / f"part-{part:02}.h5"
            with h5py.File(path, "r+") as file:
                old, file[name][321] = file[name][321].copy(), value
            result = train(folder, "stream", *LONG, ranks=2, output=f"run-{name}").exits(3)
            with h5py.File(path, "r+") as file:
                file[name][321] = old
            result.reports(f"part-{part:02}.h5:/{name}", "row 321", *parts)
            if harness.saved_steps(folder / f"run-{name}/checkpoints"):
                break
        else:
            result.must(False, "a run must begin to train before it fails")
        train(folder, "stream", *LONG, ranks=3, output=f"run-{name}").exits(0).reports("resum")


def broken_files(folder):
    """A file disappears, or is changed, while the run trains."""
    def replace(path):
        os.truncate(path, os.path.getsize(path) // 2)

    write_parts(folder, [500] * 12)
    for i, (change, words) in enumerate(((os.remove, ("part-07.h5",)), (replace, ("part-07.h5",)))):
        name, path = f"run-{i}", folder / "part-07.h5"
        content = path.read_bytes()
        harness.write_file(folder / "config.yaml", edited(*LONG, ("epochs: 2", "epochs: 1000000"), text=CONFIG))
        process = harness.start(folder, "train", "config.yaml", "--set", "data.memory=stream", "-o", name, ranks=2)
        while not harness.saved_steps(folder / name / "checkpoints") and process.poll() is None:
            time.sleep(0.05)
        change(path)
        harness.finish(process).exits(3).reports(*words)
        path.write_bytes(content)
        run(folder, "info", sorted((folder / name / "checkpoints").iterdir())[-1]).exits(0)


TESTS = [the_same_bits, the_same_bits_with_mixup, batches_that_span_windows, large_samples, resume_inside_an_epoch,
         a_resume_makes_no_pass_over_the_data, files_sorted_by_class, stopped_inside_a_window, slow_disk, commands,
         predictions_in_large_chunks, passes_show_a_bar, bad_values,
         broken_files]

# With sanitizers, training.py stops runs, and the walk over failing calls ends streamed ones.
WITHOUT_SANITIZERS = (slow_disk, stopped_inside_a_window)
harness.main([(test.__name__.replace("_", " "), test) for test in TESTS
              if not harness.IS_SANITIZED or test not in WITHOUT_SANITIZERS])
