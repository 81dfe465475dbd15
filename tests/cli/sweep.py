"""`lockstep sweep`: the table does not depend on ranks, kills or groups; the best trial equals its own training; bad input.

With --long, a search finds a config for the digits that is at least as good as the one in datasets/digits."""

import csv
import math
import os
import signal
import sys
import time

import harness
import numpy
from harness import ALONE, edited, run, run_well, write_file

X, Y = harness.three_classes(48)

BASE = edited(("train: data.h5", "train: data.h5\n  validation: 0.25"), ("epochs: 2", "epochs: 4"), ("output: run\n", ""),
              ("optimizer:", "schedule: {type: cosine}\noptimizer:"))
SWEEP = """\
base: base.yaml
output: out
parameters:
  optimizer.lr: {log_uniform: [1e-3, 1e-1]}
  model.0.units: [4, 8]
search: halving
trials: 6
halving: {factor: 2, first: 1}
"""


def prepare(folder, sweep=SWEEP, base=BASE):
    write_file(folder / "base.yaml", base)
    write_file(folder / "sweep.yaml", sweep)
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})


def table(folder, output="out"):
    """The rows without the columns that depend on time."""
    with open(folder / output / "trials.csv", newline="", encoding="utf-8") as file:
        return [row[:-2] for row in csv.reader(file)]


def same_model(a, b):
    one, two = harness.model_arrays(a), harness.model_arrays(b)
    return one.keys() == two.keys() and all(numpy.array_equal(one[k], two[k]) for k in one)


def the_table_is_the_same_at_any_number_of_ranks(folder):
    prepare(folder)
    result = run_well(folder, "sweep", "sweep.yaml", "--output", "one")
    expected = table(folder, "one")
    result.must([row[:2] for row in expected[:7]] == [["trial", "rung"], *([str(i), "0"] for i in range(6))], "the first rung")
    result.must([row[4] for row in expected[1:]] == ["1"] * 6 + ["2"] * 3 + ["4"], "the epochs of the rungs")
    for ranks in (2, 3, 4):
        result = run(folder, "sweep", "sweep.yaml", "--output", f"ranks{ranks}", ranks=ranks).exits(0)
        result.must(table(folder, f"ranks{ranks}") == expected, f"the table at {ranks} ranks")
    best = expected[-1]
    first = min((row for row in expected[7:10]), key=lambda row: (float(row[5]), int(row[0])))
    result.must(best[0] == first[0], "the last rung continues the best of the one before")


def groups_of_two_ranks_leave_one_idle(folder):
    prepare(folder, edited(("trials: 6", "trials: 3"), text=SWEEP) + "ranks_per_trial: 2\n", edited(("epochs: 4", "epochs: 2"),
        ("batch_size: 8", "batch_size: 16\n  reproducible: true\n  lanes: 2"), text=BASE))
    run(folder, "sweep", "sweep.yaml", "--output", "two", ranks=2).exits(0)
    result = run(folder, "sweep", "sweep.yaml", "--output", "three", ranks=3).exits(0).says("1 of 3 ranks have no work")
    result.must(table(folder, "two") == table(folder, "three"), "the table with an idle rank")
    run(folder, "sweep", "sweep.yaml", "--output", "four", ranks=4).exits(0)
    result.must(table(folder, "two") == table(folder, "four"), "the table with two groups")


def the_best_trial_equals_its_own_training(folder):
    prepare(folder)
    result = run_well(folder, "sweep", "sweep.yaml")
    run_well(folder, "train", "out/best.yaml")
    result.must(same_model(folder / "out/best.h5", folder / "out/best/model.h5"), "the same bits")
    lines = (folder / "out/trials.csv").read_text().splitlines(keepends=True)
    cells = lines[-1].split(",")
    second = sorted((float(row[5]), int(row[0])) for row in table(folder)[7:10])[1][1]
    lines[-1] = ",".join((*cells[:5], "", "diverged", *cells[7:]))
    write_file(folder / "out/trials.csv", "".join(lines))
    run_well(folder, "sweep", "sweep.yaml").says(f"best: trial {second} ")  # of the rung before, but not the diverged one
    (folder / "out/trials.csv").unlink()
    run(folder, "sweep", "sweep.yaml").exits(5).says("lacks its row of rung 0")


def a_table_cut_anywhere_is_resumed(folder):
    prepare(folder)
    run_well(folder, "sweep", "sweep.yaml")
    text, expected = (folder / "out/trials.csv").read_bytes(), table(folder)
    ends = [i + 1 for i, byte in enumerate(text) if byte == ord("\n")]
    result = run_well(folder, "sweep", "sweep.yaml").says("done")
    result.must("trial 0 " not in result.out, "nothing is trained again")
    for end in (ends[-1] - 3, ends[-2]):  # in the last row, and before it: the trial is complete, but has no row
        (folder / "out/trials.csv").write_bytes(text[:end])
        result = run_well(folder, "sweep", "sweep.yaml")
        result.must(table(folder) == expected, f"the table after {end} bytes")
    (folder / "out/trials.csv").write_bytes(text + text[ends[2]:ends[5]])
    run_well(folder, "sweep", "sweep.yaml")
    result.must(table(folder) == expected, "duplicates disappear")
    (folder / "out/trials.csv").write_bytes(text[:ends[2]] + b"1,0,nonsense\n" + text[ends[2]:])
    run(folder, "sweep", "sweep.yaml").exits(5).says("trials.csv:4: not a row of this sweep")


def a_damaged_trial_starts_anew(folder):
    """The files of a trial are synced only when it ends: a power failure may leave any of them damaged or absent."""
    prepare(folder)
    run_well(folder, "sweep", "sweep.yaml")
    expected = table(folder)
    write_file(folder / "whole.h5", (folder / "out/best.h5").read_bytes())
    lines = (folder / "out/trials.csv").read_text().splitlines(keepends=True)
    trials = [folder / "out/trials" / f"{int(row[0]):04}" for row in expected[7:10]]
    write_file(folder / "out/trials.csv", "".join(lines[:7]))
    for path in trials[0].glob("checkpoints/step-*.h5"):
        os.truncate(path, 1000)
    (trials[1] / "checkpoints/best.h5").unlink()
    rows = (trials[2] / "metrics.csv").read_text().splitlines(keepends=True)
    write_file(trials[2] / "metrics.csv", "".join(rows[:-1]) + rows[-1][:5])
    result = run(folder, "sweep", "sweep.yaml").exits(0)
    result.must(result.err.count("starts anew") == 3, f"three trials start anew: {result.err}")
    result.must(table(folder) == expected, "the same table")
    result.must(same_model(folder / "out/best.h5", folder / "whole.h5"), "the same model")
    write_file(folder / "out/trials.csv", "".join(lines[:-1]))
    last = folder / "out/trials" / f"{int(expected[-1][0]):04}"
    write_file(last / "synced", "")  # as if it had trained for a minute
    for path in last.glob("checkpoints/*.h5"):
        os.truncate(path, 1000)
    result = run(folder, "sweep", "sweep.yaml").exits(4).says(f"trial {int(last.name)}: ")
    result.must("starts anew" not in result.err and list(last.glob("checkpoints/step-*.h5")), "a long trial is not removed")


def a_failed_resume_is_not_a_result(folder):
    prepare(folder)
    run_well(folder, "sweep", "sweep.yaml")
    before = (folder / "out/trials.csv").read_bytes()
    write_file(folder / "wrong.yaml", edited(("train: data.h5", "train: none.h5"), text=BASE))
    write_file(folder / "other.yaml", edited(("base.yaml", "wrong.yaml"), text=SWEEP))
    result = run(folder, "sweep", "other.yaml", "--overwrite").exits(3).says("none.h5")
    result.must((folder / "out/trials.csv").read_bytes() == before, "a sweep with wrong data removes nothing")
    write_file(folder / "out/trials.csv", b"".join(before.splitlines(keepends=True)[:7]))
    harness.write_arrays(folder / "data.h5", {"x": X + 1, "y": Y})
    run(folder, "sweep", "sweep.yaml").exits(3).says("belongs to other data")
    result.must([row[-1] for row in table(folder)[1:]] == ["done"] * 6, "no row for a resume that failed")
    run_well(folder, "sweep", "sweep.yaml", "--overwrite")


def kills_at_any_time_lose_nothing(folder):
    """Kills while the table grows, each time at the next row, and resumes on another number of ranks."""
    prepare(folder)
    expected_run = run_well(folder, "sweep", "sweep.yaml", "--output", "whole")
    for rows in range(1, 10):
        process = harness.start(folder, "sweep", "sweep.yaml", ranks=(ALONE, 2, 3)[rows % 3])
        path = folder / "out/trials.csv"
        while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") > rows):
            time.sleep(0.002)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        harness.finish(process)
        for pid in harness.descendants(os.getpid()):
            if harness.rank_of(pid) is not None and os.readlink(f"/proc/{pid}/cwd") == str(folder):
                os.kill(pid, signal.SIGKILL)
    run(folder, "sweep", "sweep.yaml", ranks=2).exits(0)
    expected_run.must(table(folder) == table(folder, "whole"), "the table after kills")


def a_signal_stops_all_groups(folder):
    prepare(folder, edited(("search: halving", "search: random"), ("halving: {factor: 2, first: 1}\n", ""), text=SWEEP),
            edited(("epochs: 4", "epochs: 2000"), text=BASE))
    process = harness.start(folder, "sweep", "sweep.yaml", ranks=2)
    rows = [folder / f"out/trials/000{i}/metrics.csv" for i in range(2)]
    while process.poll() is None and not all(path.exists() and path.read_bytes().count(b"\n") > 2 for path in rows):
        time.sleep(0.01)
    os.kill(harness.ranks_of(process.pid)[1], signal.SIGUSR1)  # one rank only; mpirun forwards it to all
    result = harness.finish(process).exits(75).says("stopped by a signal", "lockstep sweep sweep.yaml")
    for i in range(2):
        result.must(list((folder / f"out/trials/000{i}/checkpoints").glob("step-*.h5")), "both trials are saved")
    result.must(len(table(folder)) == 1, "no trial has ended")
    write_file(folder / "base.yaml", edited(("epochs: 4", "epochs: 3"), text=BASE))
    run(folder, "sweep", "sweep.yaml").exits(2).says("train.epochs is 3, not 2000")


def a_stopped_rank_ends_the_sweep(folder):
    """The other group trains what is left; then no rank makes progress."""
    prepare(folder, edited(("search: halving", "search: random"), ("halving: {factor: 2, first: 1}\n", ""), ("trials: 6", "trials: 3"),
                           text=SWEEP), edited(("epochs: 4", "epochs: 100"), text=BASE) + f"comm: {{timeout: {2 * harness.PATIENCE}s}}\n")
    process = harness.start(folder, "sweep", "sweep.yaml", ranks=2)
    while process.poll() is None and not (folder / "out/trials/0001/metrics.csv").exists():
        time.sleep(0.01)
    stopped = harness.ranks_of(process.pid)[1]
    os.kill(stopped, signal.SIGSTOP)
    result = harness.finish(process).reports("comm.timeout", f"rank 1 (process {stopped})", "does not run")
    result.must(result.code != 0, "the sweep must fail")
    run(folder, "sweep", "sweep.yaml").exits(0)
    result.must([row[0] for row in table(folder)[1:]] == ["0", "1", "2"], "all trials after a resume")


def diverged_failed_and_tied_trials(folder):
    prepare(folder, """\
base: base.yaml
output: out
parameters:
  optimizer.lr: [0.01, 1e6]
  data.train: [data.h5, absent.h5]
  train.log_every: [0, 1000]
search: grid
""", edited(("type: adam", "type: sgd"), ("{layer: dense, units: 8, activation: relu}", "{layer: dense, units: 8}"), text=BASE))
    result = run(folder, "sweep", "sweep.yaml").exits(0).says("absent.h5", "best: trial 0")
    rows = table(folder)[1:]
    result.must([row[-1] for row in rows] == ["done", "done", "failed", "failed", "diverged", "diverged", "failed", "failed"],
                f"the states: {rows}")
    result.must(rows[0][-2] == rows[1][-2] and rows[4][-2] == "", "tied values, and no value after divergence")
    before = table(folder)
    run(folder, "sweep", "sweep.yaml").exits(0)
    result.must(table(folder) == before, "a sweep that has ended changes nothing")
    write_file(folder / "sweep.yaml", edited(("[0.01, 1e6]", "[1e6]"), text=(folder / "sweep.yaml").read_text()))
    run(folder, "sweep", "sweep.yaml", "--overwrite").exits(6).says("no trial has a value of val_loss: 2 diverged, 2 failed")


def searches(folder):
    text = edited(("search: halving", "search: sobol"), ("halving: {factor: 2, first: 1}\n", ""), ("trials: 6", "trials: 4"),
                  text=SWEEP)
    prepare(folder, text, edited(("epochs: 4", "epochs: 1"), text=BASE))
    result = run_well(folder, "sweep", "sweep.yaml")
    rates = sorted(math.log10(float(row[2])) for row in table(folder)[1:])
    result.must(all(-3 + i / 2 <= rate <= -3 + (i + 1) / 2 for i, rate in enumerate(rates)), f"one point per quarter: {rates}")
    first = table(folder)
    write_file(folder / "sweep.yaml", edited(("trials: 4", "trials: 6"), text=text))
    run_well(folder, "sweep", "sweep.yaml")
    result.must(table(folder)[:5] == first and len(table(folder)) == 7, "more trials continue the sequence")
    write_file(folder / "sweep.yaml", edited(("[4, 8]", "[4, 9]"), text=text))
    run(folder, "sweep", "sweep.yaml").exits(2).says("parameters.model.0.units.1 is 9, not 8")
    run_well(folder, "sweep", "sweep.yaml", "--overwrite")
    for part in range(2):
        run_well(folder, "sweep", "sweep.yaml", "--output", "parts", "--part", f"{part}/2")
    result = run_well(folder, "sweep", "sweep.yaml", "--output", "parts")
    result.must(table(folder, "parts") == table(folder) and "trial 1 " not in result.out, "parts are merged")
    result.must(same_model(folder / "parts/best.h5", folder / "out/best.h5"), "the best of all parts")
    result = run_well(folder, "sweep", "sweep.yaml", "--output", "parts", "--part", "0/3", "--overwrite")
    left = sorted(str(path.relative_to(folder / "parts")) for path in (folder / "parts").rglob("trials.csv"))
    result.must(left == ["parts/0-of-3/trials.csv"], f"the merged table and other parts are removed: {left}")
    write_file(folder / "sweep.yaml", text)
    run(folder, "sweep", "sweep.yaml", "--output", "parts").exits(2).says("0-of-3/sweep.yaml: cannot resume", "is 8, not 9")


def trials_from_lists_differ(folder):
    text = """\
base: base.yaml
output: out
parameters: {model.0.units: [3, 4, 5], optimizer.lr: [0.01, 0.1]}
trials: 4
"""
    prepare(folder, text, edited(("epochs: 4", "epochs: 1"), text=BASE))
    run_well(folder, "sweep", "sweep.yaml")
    first = table(folder)
    write_file(folder / "sweep.yaml", edited(("trials: 4", "trials: 6"), text=text))
    result = run_well(folder, "sweep", "sweep.yaml")
    result.must(table(folder)[:5] == first, "more trials keep the first ones")
    result.must(len({tuple(row[2:4]) for row in table(folder)[1:]}) == 6, f"all combinations: {table(folder)}")
    write_file(folder / "sweep.yaml", edited(("trials: 4", "trials: 7"), text=text))
    run(folder, "sweep", "sweep.yaml").exits(2).says("sweep.yaml:4: trials: 7: more trials than combinations", "at most 6")


def moved_data_and_another_notation_are_the_same(folder):
    prepare(folder)
    run_well(folder, "train", "base.yaml", "--output", "run", "--set", "train.max_steps=1")
    run_well(folder, "train", "base.yaml", "--output", "run", "--set", "loss={type: categorical_cross_entropy}").says("resuming")
    run_well(folder, "sweep", "sweep.yaml")
    expected = table(folder)
    (folder / "moved").mkdir()
    (folder / "data.h5").rename(folder / "moved/other.h5")
    moved = edited(("train: data.h5", "train: moved/other.h5"),
                   ("loss: categorical_cross_entropy", "loss: {type: categorical_cross_entropy}"), text=BASE)
    write_file(folder / "base.yaml", moved)
    lines = (folder / "out/trials.csv").read_text().splitlines(keepends=True)
    write_file(folder / "out/trials.csv", "".join(lines[:-1]))
    result = run_well(folder, "sweep", "sweep.yaml").says("rung 2 of 2: 1 trial to epoch 4, 1 left")
    result.must(table(folder) == expected, "the same table")
    write_file(folder / "base.yaml", edited(("cross_entropy}", "cross_entropy, label_smoothing: 0.1}"), text=moved))
    run(folder, "sweep", "sweep.yaml").exits(2).says("base.yaml: cannot resume with this sweep: loss.label_smoothing is 0.1")
    write_file(folder / "base.yaml", edited(("validation: 0.25", "validation: 0.5"), text=moved))
    run(folder, "sweep", "sweep.yaml").exits(2).says("data.validation is the fraction 0.5, not 0.25")
    write_file(folder / "base.yaml", moved)
    run_well(folder, "sweep", "sweep.yaml")
    harness.write_arrays(folder / "data.h5", {"x": X + 1, "y": Y})
    write_file(folder / "base.yaml", BASE)
    run(folder, "sweep", "sweep.yaml").exits(3).says("belongs to other data")
    harness.write_arrays(folder / "moved/other.h5", {"x": X + 1, "y": Y})  # at the same path
    write_file(folder / "base.yaml", moved)
    run(folder, "sweep", "sweep.yaml").exits(3).says("belongs to other data")
    result.must(table(folder) == expected, "the table remains")


def large_trials_train_alone(folder):
    """Trial 1 fits the memory of the node, but not half of it; trial 2 does not fit at all."""
    prepare(folder, "base: base.yaml\noutput: out\nparameters: {model.0.units: [4, 25000, 500000, 5]}\nsearch: grid\n",
            edited(("epochs: 4", "epochs: 1"), text=BASE))
    memory = {"SLURM_MEM_PER_NODE": "100"}
    run(folder, "sweep", "sweep.yaml", "--output", "one", settings=memory).exits(0)
    result = run(folder, "sweep", "sweep.yaml", ranks=2, settings=memory).exits(0).says("but this machine has 105 MB", "trial 1 trains after the others of its rung: the trial needs")
    result.must([row[-1] for row in table(folder)[1:]] == ["done", "done", "failed", "done"], f"the states: {table(folder)}")
    result.must(table(folder) == table(folder, "one"), "the same at 1 rank")
    result.must(result.out.find("trial 1  rung") > result.out.find("trial 3  rung"), "the large trial comes last")


def a_trial_too_large_for_the_optimizer_has_failed(folder):
    """Trial 1 fits the memory of the node without its optimizer only."""
    prepare(folder, "base: base.yaml\noutput: out\nparameters: {model.0.units: [4, 25000]}\nsearch: grid\n",
            edited(("epochs: 4", "epochs: 1"), text=BASE))
    for ranks in (ALONE, 2):
        result = run(folder, "sweep", "sweep.yaml", "--output", f"out{ranks}", ranks=ranks, settings={"SLURM_MEM_PER_NODE": "76"})
        result.exits(0).says("the 1 rank on", "it has 80 MB")
        result.must([row[-1] for row in table(folder, f"out{ranks}")[1:]] == ["done", "failed"], f"the states at {ranks} ranks")


LONG = edited(("epochs: 4", "epochs: 5000"), text=BASE)
TWO = "base: base.yaml\noutput: out\nparameters: {optimizer.lr: [0.001, 0.002]}\nsearch: grid\n"


def the_time_limit_is_that_of_the_sweep(folder):
    prepare(folder, TWO, LONG + "  max_time: 2s\n")
    result = run(folder, "sweep", "sweep.yaml").exits(75).says("train.max_time", "2 of 2 trials")
    result.must(list((folder / "out/trials/0000/checkpoints").glob("step-*.h5")), "the first trial is saved")
    result.must(not (folder / "out/trials/0001").exists(), "the second one does not start")


def a_stop_reaches_all_ranks_of_a_group(folder):
    """All trials need more than the share of their group. The first group stops; the second one must not start."""
    prepare(folder, "base: base.yaml\noutput: out\nparameters: {model.0.units: {integer: [5000, 5003]}}\nsearch: grid\n"
                    "ranks_per_trial: 2\n", edited(("epochs: 4", "epochs: 100000"), text=BASE) + "  max_time: 1s\n")
    run(folder, "sweep", "sweep.yaml", ranks=4, settings={"SLURM_MEM_PER_NODE": "48"}).exits(75).says("4 of 4 trials")


def a_part_in_use_is_not_removed(folder):
    prepare(folder, TWO, LONG)
    process = harness.start(folder, "sweep", "sweep.yaml", "--part", "0/2")
    while process.poll() is None and not (folder / "out/trials/0000/metrics.csv").exists():
        time.sleep(0.01)
    for words in (("--part", "0/3", "--overwrite"), ("--overwrite",)):
        run(folder, "sweep", "sweep.yaml", *words).exits(5).says("out/parts/0-of-2: another run is using this directory")
    process.send_signal(signal.SIGUSR1)
    harness.finish(process).exits(75)
    result = run(folder, "sweep", "sweep.yaml", "--part", "2/3", "--overwrite").exits(0)  # no trial has number 2
    result.must(not (folder / "out/parts/0-of-2").exists(), "an unused part is removed")


def errors_are_reported_together(folder):
    prepare(folder, """\
base: base.yaml
parameters:
  optimizer.lr: {log_uniform: [1, 1]}
  optimizer.beta: {unifrom: [0, 1]}
  train.batch_size: 4
  model.0.units: []
  output: [a, b]
  optimizer.lrr: [1, 2]
  model.7.units: {integer: [1, 2]}
search: halvin
ranks_per_trial: 5
trails: 4
monitor: val_acc
""")
    result = run(folder, "sweep", "sweep.yaml", ranks=2).exits(2)
    for line in ("sweep.yaml:3: parameters.optimizer.lr: the range from 1 to 1 is empty", "did you mean uniform",
                 "sweep.yaml:5: parameters.train.batch_size: 4: a single value", "sweep.yaml:6: parameters.model.0.units",
                 "sweep.yaml:7: parameters.output: the key cannot vary", "did you mean halving",
                 "sweep.yaml:11: ranks_per_trial: 5",
                 "sweep.yaml:8: parameters.optimizer.lrr", "did you mean lr", "sweep.yaml:9: parameters.model.7.units", "no item 7",
                 "at most 2", "did you mean trials", "output: missing",
                 "train.monitor: val_acc: unknown monitor"):
        result.says(line)
    result.must(not (folder / "out").exists(), "nothing has started")


def values_are_checked_before_the_start(folder):
    prepare(folder, """\
base: base.yaml
output: out
parameters:
  optimizer.lr: {uniform: [-1, 1]}
  optimizer.lrr: [1, 2]
  model.0.unit: [1, 2]
trials: 9
""")
    run(folder, "sweep", "sweep.yaml").exits(2).says("sweep.yaml:4: parameters.optimizer.lr: trial", "out of range",
                                                     "sweep.yaml:5: parameters.optimizer.lrr: trial 0", "did you mean lr",
                                                     "sweep.yaml:6: parameters.model.0.unit", "did you mean units")
    prepare(folder, "base: base.yaml\noutput: out\nsearch: grid\nparameters:\n  model.7.units: [1]\n  model.0.unit.x: [1]\n  sed: [1]\n")
    run(folder, "sweep", "sweep.yaml").exits(2).says("sweep.yaml:5: parameters.model.7.units", "no item 7 in a list of 2", "did you mean seed")
    prepare(folder, "base: base.yaml\noutput: out\nsearch: grid\nparameters:\n  seed: {integer: [1, 999]}\n"
                    "  model.0.units: {integer: [1, 99]}\n")
    run(folder, "sweep", "sweep.yaml").exits(2).says("the grid has 98901 trials; must be at most 10000")
    prepare(folder, "base: base.yaml\noutput: out\nsearch: grid\nparameters:\n  seed: {integer: [10, 1]}\n  model.0.units: [[4], [8]]\n")
    result = run(folder, "sweep", "sweep.yaml").exits(2).says("the range from 10 to 1 is empty", "not a single value")
    result.must("finite" not in result.err and "twice" not in result.err, "no errors that follow from others")
    prepare(folder, edited(("base.yaml", "absent.yaml"), ("trials: 6", "trials: 0"), text=SWEEP))
    run(folder, "sweep", "sweep.yaml").exits(2).says("absent.yaml", "sweep.yaml:7: trials: 0")
    prepare(folder, base=edited(("train: data.h5", "train: none.h5"), text=BASE))
    result = run(folder, "sweep", "sweep.yaml").exits(3).says("none.h5")
    result.must(not (folder / "out").exists(), "no directory is left")


def a_search_finds_a_config_as_good_as_the_shipped_one(folder):
    digits = harness.DATASETS / "digits/digits.yaml"
    write_file(folder / "sweep.yaml", f"""\
base: {digits}
output: out
parameters:
  optimizer.lr: {{log_uniform: [3e-4, 3e-2]}}
  model.0.units: [128, 256, 512]
  model.4.units: [64, 128, 256]
  model.3.rate: {{uniform: [0, 0.5]}}
search: halving
trials: 27
halving: {{factor: 3, first: 4}}
monitor: val_accuracy
""")
    result = run(folder, "sweep", "sweep.yaml", ranks=2).exits(0)
    run(folder, "train", digits, "--output", "shipped", "--set", "train.monitor=val_accuracy").exits(0)
    header, rows = harness.read_csv(folder / "shipped/metrics.csv")
    shipped = max(float(row[header.index("val_accuracy")]) for row in rows)
    best = float(table(folder)[-1][-2])
    result.must(best >= shipped, f"{best} must be at least {shipped}")


if "--long" in sys.argv:
    sys.argv.remove("--long")
    harness.main([("a search on digits", a_search_finds_a_config_as_good_as_the_shipped_one)])

harness.main([(name.replace("_", " "), test) for name, test in (
    *((test.__name__, test) for test in (
        the_table_is_the_same_at_any_number_of_ranks, groups_of_two_ranks_leave_one_idle,
        the_best_trial_equals_its_own_training, a_table_cut_anywhere_is_resumed,
        a_damaged_trial_starts_anew, a_failed_resume_is_not_a_result, kills_at_any_time_lose_nothing,
        a_signal_stops_all_groups, a_stopped_rank_ends_the_sweep, diverged_failed_and_tied_trials, searches, trials_from_lists_differ,
        moved_data_and_another_notation_are_the_same, large_trials_train_alone,
        a_trial_too_large_for_the_optimizer_has_failed, a_stop_reaches_all_ranks_of_a_group,
        the_time_limit_is_that_of_the_sweep, a_part_in_use_is_not_removed, errors_are_reported_together,
        values_are_checked_before_the_start)),)])
