"""`lockstep train`: the run directory, interruption and resume, initial weights, and every kind of task end to end."""

import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import h5py
import numpy

import harness
from harness import (ALONE, CHANGED, DONE, FINISHED, INITIALIZED, NO_BEST, NOT_USED_AGAIN, REBUILT, RESUMED, edited, model_arrays,
                     read_csv, run, run_well)

COLUMNS = ["epoch", "step", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "samples_per_second",
           "seconds"]
STOPPED = 75
X, Y = harness.three_classes(60)


def prepare(folder, *edits, **arrays):
    """A config and its data."""
    harness.write_file(folder / "config.yaml", edited(*edits))
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y, **arrays})


def train(folder, *words, **how):
    return run_well(folder, "train", "config.yaml", *words, **how)


def example(folder, name):
    """Copies an example of datasets/."""
    shutil.copytree(harness.DATASETS / name, folder / name)
    return folder / name


def steps_saved(folder, output="run"):
    return sorted(path.name for path in (folder / output / "checkpoints").iterdir())


def column(folder, name, output="run"):
    header, rows = read_csv(folder / output / "metrics.csv")
    return [row[header.index(name)] for row in rows]


def same_model(a, b):
    """Whether two files hold the same bits below /model."""
    one, other = model_arrays(a), model_arrays(b)
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def nearly_same_model(a, b):
    one, other = model_arrays(a), model_arrays(b)
    return one.keys() == other.keys() and all(numpy.allclose(one[name], other[name], atol=1e-4) for name in one)


# ---------------------------------------------------------------- the examples

def digits(folder):
    example(folder, "digits")
    result = run_well(folder, "train", "digits/digits.yaml", "-o", "run", ranks=2)
    result.says("1293 training, 144 validation, 360 test samples of shape (8, 8)", "(8, 8)-256-128-10", "test: loss")
    result.must(float(column(folder, "val_accuracy")[-1]) > 0.93, "it must learn the digits")
    result.must(float(column(folder, "train_loss")[-1]) < 0.2, "it must learn the digits")
    told = float(result.out.split("test: loss")[1].split("accuracy")[1].split()[0])
    result.must(told > 0.97, "it must know digits that it has not seen")


def digits_by_convolutions(folder):
    example(folder, "digits")
    result = run_well(folder, "train", "digits/cnn.yaml", "-o", "run", "--set", "train.epochs=8", ranks=2)
    accuracy = float(re.search(r"^test: .* accuracy (\S+)", result.out, re.MULTILINE)[1])
    result.must(accuracy > 0.97, "it must know digits that it has not seen")


def iris(folder):
    example(folder, "iris")
    result = run_well(folder, "train", "iris/iris.yaml", ranks=2)
    result.must(float(column(folder, "val_accuracy", "runs/iris")[-1]) > 0.9, "it must tell the flowers apart")


def xor_needs_a_hidden_layer(folder):
    example(folder, "xor")
    result = run_well(folder, "train", "xor/xor.yaml", "-o", "bent")
    result.must(float(column(folder, "train_accuracy", "bent")[-1]) == 1.0, "all four points must come out right")
    result.must(float(column(folder, "train_loss", "bent")[-1]) < 0.1, "the loss must fall")
    result = run_well(folder, "train", "xor/linear.yaml", "-o", "straight")
    result.must(float(column(folder, "train_accuracy", "straight")[-1]) <= 0.75, "a line cannot part the points")
    loss = float(column(folder, "train_loss", "straight")[-1])
    result.must(abs(loss - math.log(2)) < 0.01, "the loss must stay at ln 2")


# ----------------------------------------------------------- the run directory

def run_directory(folder):
    prepare(folder, ("data.h5", "data.h5\n  validation: 0.1"), ("epochs: 2", "epochs: 3"))
    result = train(folder)
    found = {name for name in harness.snapshot(folder) if name.startswith("run")}
    expected = {"run", "run/config.yaml", "run/metrics.csv", "run/diagnostics.csv", "run/model.h5", "run/train.log",
                "run/checkpoints", "run/checkpoints/best.h5", "run/checkpoints/step-00000014.h5",
                "run/checkpoints/step-00000021.h5"}
    result.must(found == expected, f"the run directory holds {sorted(found ^ expected)} more or less")
    header, rows = read_csv(folder / "run/metrics.csv")
    result.must(header == COLUMNS, f"the columns are {header}")
    result.must([row[:3] for row in rows] == [["1", "7", "0.01"], ["2", "14", "0.01"], ["3", "21", "0.01"]],
                f"the rows begin {[row[:3] for row in rows]}")
    for row in rows:
        values = [float(cell) for cell in row]
        result.must(all(math.isfinite(value) for value in values), f"{row} has a cell without a value")
        result.must(abs(values[7] - 54 / values[8]) < 0.01 * values[7], "samples_per_second is samples / seconds")
    log = (folder / "run/train.log").read_text()
    result.must(all(line in log for line in result.out.splitlines()), "train.log repeats what was printed")


def columns_without_validation_stay_empty(folder):
    prepare(folder)
    result = train(folder)
    result.must(column(folder, "val_loss") == ["", ""] == column(folder, "val_accuracy"), "there is no validation")


def regression_has_r2_columns(folder):
    prepare(folder, ("units: 3, activation: softmax", "units: 1"), ("categorical_cross_entropy", "mse"))
    result = train(folder)
    header = read_csv(folder / "run/metrics.csv")[0]
    result.must(header == [name.replace("accuracy", "r2") for name in COLUMNS], f"the columns are {header}")


def checkpoints_are_kept_and_removed(folder):
    prepare(folder, ("epochs: 2", "epochs: 4"))
    result = train(folder, "--set", "checkpoint={every_steps: 3, every_epochs: 0, keep: 4}")
    expected = ["best.h5", "step-00000024.h5", "step-00000027.h5", "step-00000030.h5", "step-00000032.h5"]
    result.must(steps_saved(folder) == expected, f"the checkpoints are {steps_saved(folder)}")


def best_model_is_of_the_best_epoch(folder):
    prepare(folder, ("data.h5", "data.h5\n  validation: 0.2"), ("lr: 0.01", "lr: 0.1"), ("epochs: 2", "epochs: 12"))
    noise = numpy.random.default_rng(2).integers(0, 3, size=60) # nothing to learn, so that it overfits
    harness.write_arrays(folder / "data.h5", {"x": X, "y": noise})
    result = train(folder, "--set", "checkpoint.keep=12")
    losses = [float(value) for value in column(folder, "val_loss")]
    best = losses.index(min(losses)) + 1
    result.must(best < 12, "the test needs a best epoch before the last")
    with h5py.File(folder / "run/checkpoints/best.h5") as file:
        result.must(file["progress"].attrs["epoch"] == best, f"best.h5 is not of epoch {best}")
    own = folder / f"run/checkpoints/step-{6 * best:08}.h5"
    for name in ("run/model.h5", "run/checkpoints/best.h5"):
        result.must(same_model(folder / name, own), f"{name} does not have the weights of epoch {best}")


def monitor_chooses_the_best_epoch(folder):
    prepare(folder, ("epochs: 2", "epochs: 3\n  monitor: epoch"))
    result = train(folder)
    with h5py.File(folder / "run/checkpoints/best.h5") as file:
        result.must(file["progress"].attrs["epoch"] == 1, "the smallest epoch is the best")


MORE = ["val_top_2", "val_roc_auc", "val_f1", "val_precision", "val_recall"]


def more_metrics_have_columns(folder):
    """Additional metrics equal those of `evaluate` on the validation data, and determine the best epoch."""
    prepare(folder, ("data.h5", "data.h5\n  validation: val.h5\n  test: val.h5"), ("epochs: 2", "epochs: 4"),
            ("train:\n  epochs", "metrics: [top_2, roc_auc, f1, precision, recall]\ntrain:\n  monitor: val_roc_auc\n  epochs"))
    noise = numpy.random.default_rng(5).integers(0, 3, size=30)
    harness.write_arrays(folder / "val.h5", {"x": X[::2], "y": noise, "w": numpy.arange(30) % 4})
    result = train(folder, ranks=2)
    header, rows = read_csv(folder / "run/metrics.csv")
    result.must(header == COLUMNS + MORE, f"the columns are {header}")
    table = numpy.array(rows, "f8")[:, len(COLUMNS):]
    best = int(table[:, 1].argmax())
    with h5py.File(folder / "run/checkpoints/best.h5") as file:
        result.must(file["progress"].attrs["epoch"] == best + 1, f"the best epoch is {best + 1}: the larger the better")
    told = json.loads(run_well(folder, "evaluate", "run/model.h5", "val.h5", "--json", "--top-k", "2").out)
    expected = [told["top_k"]["2"], told["roc_auc"], told["macro_f1"], told["macro_precision"], told["macro_recall"]]
    result.must(numpy.allclose(table[best], expected, rtol=1e-6), f"epoch {best + 1} is {table[best]}, not {expected}")
    words = "  ".join(f"{name[4:]} {value:.4f}" for name, value in zip(MORE, expected))
    result.says(f"  {words}  (run/model.h5)", f"  val_top_2 {table[0][0]:.4f}  val_roc_auc {table[0][1]:.4f}")


def more_metrics_survive_a_resume(folder):
    prepare(folder, ("data.h5", "data.h5\n  validation: 0.2"), ("train:\n  epochs", "metrics: [f1, roc_auc]\ntrain:\n  epochs"))
    train(folder)
    before = {name: column(folder, name) for name in [*COLUMNS, "val_f1", "val_roc_auc"]}
    train(folder, "-o", "whole", "--set", "train.epochs=4")
    result = train(folder, "--set", "train.epochs=3").says(RESUMED)
    result.must(read_csv(folder / "run/metrics.csv")[0] == [*COLUMNS, "val_f1", "val_roc_auc"], "the columns stay")
    result.must(all(column(folder, name)[:2] == values for name, values in before.items()), "the rows stay")
    result = train(folder, "--set", "train.epochs=4", "--set", "metrics=[top_1, roc_auc]").says(RESUMED)
    result.must(read_csv(folder / "run/metrics.csv")[0] == [*COLUMNS, "val_top_1", "val_roc_auc"], "the new columns")
    result.must(column(folder, "val_top_1")[:3] == [""] * 3, "what was not measured stays empty")
    result.must(column(folder, "val_top_1")[3] == column(folder, "val_accuracy")[3], "the best one is the accuracy")
    for name in ("val_roc_auc", "val_loss", "epoch"):
        result.must(column(folder, name) == column(folder, name, "whole"), f"{name} is that of a run without a break")
    result = train(folder, "--set", "train.epochs=5", "--set", "metrics=null").says(RESUMED)
    result.must(read_csv(folder / "run/metrics.csv")[0] == COLUMNS, "without them there are the fixed columns")
    result.must(column(folder, "train_loss")[:4] == column(folder, "train_loss", "whole"), "the rows stay")


def more_metrics_of_regression(folder):
    """The best epoch has the smallest error. With test data only, the final line has the metrics, and no epoch does."""
    prepare(folder, ("units: 3, activation: softmax", "units: 1"), ("categorical_cross_entropy", "mse"),
            ("train:\n  epochs", "metrics: [mae, mse]\ntrain:\n  epochs"))
    result = train(folder, "--set", "data.validation=0.25", "--set", "train.monitor=val_mae")
    values = [float(value) for value in column(folder, "val_mae")]
    with h5py.File(folder / "run/checkpoints/best.h5") as file:
        result.must(file["progress"].attrs["epoch"] == values.index(min(values)) + 1, "the smallest is the best")
    for loss, mse in zip(column(folder, "val_loss"), column(folder, "val_mse")):
        result.must(math.isclose(2 * float(loss), float(mse), rel_tol=1e-5), "the loss is half of the mse")
    harness.write_arrays(folder / "new.h5", {"x": X[:20], "y": Y[:20]})
    result = train(folder, "-o", "test", "--set", "data.test=new.h5")
    told = json.loads(run_well(folder, "evaluate", "test/model.h5", "new.h5", "--json").out)
    result.says(f"  mae {told['mae']:.4g}  mse {told['mse']:.4g}  (test/model.h5)")
    result.must(column(folder, "val_mae", "test") == ["", ""], "there is no validation")


def model_without_validation_is_the_final_one(folder):
    prepare(folder)
    result = train(folder)
    final = folder / "run/checkpoints/step-00000016.h5"
    result.must(same_model(folder / "run/model.h5", final), "model.h5 has the weights of the last step")


def config_of_a_run_makes_it_again(folder):
    prepare(folder, ("data.h5", "data.h5\n  validation: 0.2\n  normalize: standardize"))
    train(folder, "--set", "model.0.units=5")
    (folder / "elsewhere").mkdir()
    result = run_well(folder / "elsewhere", "train", "../run/config.yaml", "-o", "again")
    result.must(same_model(folder / "run/model.h5", folder / "elsewhere/again/model.h5"), "the models differ")
    one, other = [[line for line in path.read_text().splitlines() if not line.startswith("output:")]
                  for path in (folder / "run/config.yaml", folder / "elsewhere/again/config.yaml")]
    result.must(one == other, f"the config's config differs: {set(one) ^ set(other)}")


def output_of_an_unusual_name(folder):
    prepare(folder)
    for name in ("Ann's run: # 1", "läufe/ß", 'say "run"', "null", "a\\b"):
        result = train(folder, "--output", name, "--set", "train.max_steps=1")
        result.must((folder / name / "model.h5").is_file(), f"the output must be {name}")
        run_well(folder, "train", f"{name}/config.yaml").reports(name, FINISHED)


def paths_are_relative_to_the_config(folder):
    (folder / "inner").mkdir()
    prepare(folder / "inner")
    result = run_well(folder, "train", "inner/config.yaml")
    result.must((folder / "run/model.h5").is_file(), "output is relative to where the command runs")


# ------------------------------------------------------------------- threads

NO_WISH = ("env", "-u", "OPENBLAS_NUM_THREADS", "-u", "OMP_NUM_THREADS", "-u", "SLURM_CPUS_PER_TASK")
QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")
CORES = sorted(os.sched_getaffinity(0))


def threads_of(folder, *words, variables=(), cores=CORES, ranks=ALONE):
    """A run, and the threads per rank that its first line reports. All ranks share the given cores."""
    if QUOTA.exists() and not QUOTA.read_text().startswith("max"):
        raise harness.Skip("this container has a limit beside its cores")
    before = (*NO_WISH, *variables, "taskset", "-c", ",".join(map(str, cores)))
    result = run(folder, "train", "config.yaml", "--overwrite", "--set", "train.max_steps=1", *words, ranks=ranks,
                 before=before).exits(0)
    told = re.search(r"^lockstep \S+ (\d+) ranks? x (\d+) thread", result.out, re.MULTILINE)
    result.must(told and int(told[1]) == max(ranks, 1), "the first line must tell ranks x threads")
    return result, int(told[2])


def check_threads(folder, expected, *words, **how):
    """Each rank has a core of its own."""
    result, threads = threads_of(folder, *words, **how)
    result.must(threads == expected, f"each rank must have {expected} threads")
    result.must(result.all_err == "", "nothing is wrong, so stderr must be empty")


def check_crowd(folder, expected, *words, **how):
    result, threads = threads_of(folder, *words, **how)
    result.must(threads == expected, f"each rank must have {expected} threads")
    ranks, cores = max(how.get("ranks", ALONE), 1), len(how.get("cores", CORES))
    wanted = rf"warning: {expected * ranks} threads .*\b{ranks} ranks? .*share {cores} core"
    result.must(re.search(wanted, result.all_err), f"the warning must match: {wanted}")
    result.must(result.all_err.count("\n") == 1, "one warning is enough")


def threads_by_the_cores(folder):
    prepare(folder)
    for ranks in (ALONE, 1, 2):
        if len(CORES) >= max(ranks, 1):
            check_threads(folder, len(CORES) // max(ranks, 1), ranks=ranks)
    check_threads(folder, 1, cores=CORES[:1])


def threads_by_variables(folder):
    """The first of: comm.threads, OPENBLAS_NUM_THREADS, OMP_NUM_THREADS, the cores that Slurm grants of the mask."""
    if len(CORES) < 2:
        raise harness.Skip("this machine has one core")
    prepare(folder)
    check_threads(folder, 1, variables=("OMP_NUM_THREADS=1",))
    check_threads(folder, 2, variables=("OMP_NUM_THREADS=2,1", "SLURM_CPUS_PER_TASK=1"))
    check_threads(folder, 2, variables=("OPENBLAS_NUM_THREADS=2", "OMP_NUM_THREADS=1"))
    check_threads(folder, 2, "--set", "comm.threads=2", variables=("OPENBLAS_NUM_THREADS=1",))
    check_threads(folder, len(CORES), variables=("OMP_NUM_THREADS=many",))
    check_threads(folder, 1, variables=("SLURM_CPUS_PER_TASK=1",))
    check_threads(folder, 1, variables=("SLURM_CPUS_PER_TASK=1",), ranks=2)
    check_threads(folder, 1, "--set", "train.reproducible=true", variables=("OMP_NUM_THREADS=2",))


def threads_share_convolutions(folder):
    """The threads of a rank divide the samples: the same losses to rounding."""
    example(folder, "digits")
    losses = []
    for threads in (1, 2, 3):
        words = ("--set", "train.epochs=2", "--set", f"comm.threads={threads}", "-o", f"run-{threads}")
        result = run_well(folder, "train", "digits/cnn.yaml", *words)
        losses.append([float(text) for text in column(folder, "train_loss", f"run-{threads}")])
    for other in losses[1:]:
        result.must(all(abs(a - b) < 0.02 * a for a, b in zip(losses[0], other)), f"equal to rounding: {losses}")
    result.must(losses[0] != losses[1], "several threads have worked")


def too_many_threads_cause_a_warning(folder):
    prepare(folder)
    check_crowd(folder, 2, "--set", "comm.threads=2", cores=CORES[:1])
    check_crowd(folder, 3, variables=("OMP_NUM_THREADS=3",), ranks=2, cores=CORES[:1])
    check_crowd(folder, 1, ranks=3, cores=CORES[:1])
    result, threads = threads_of(folder, variables=("SLURM_CPUS_PER_TASK=4",), cores=CORES[:1])
    result.must(threads == 1 and re.search("SLURM_CPUS_PER_TASK.* 4", result.err), "missing cores must be reported")


def threads_by_the_quota(folder):
    """A container states its limit in a file, not in the affinity mask; the test mounts such a file."""
    prepare(folder)
    harness.write_file(folder / "cgroup/cpu.max", "100000 100000\n")
    mount = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /sys/fs/cgroup && exec "$@"', folder / "cgroup")
    if len(CORES) < 2 or subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        raise harness.Skip("this takes two cores and the right to mount")
    command = ("train", "config.yaml", "--overwrite", "--set", "train.max_steps=1")
    run(folder, *command, before=(*NO_WISH, *mount)).exits(0).says("1 rank x 1 thread")
    crowd = run(folder, *command, "--set", "comm.threads=2", before=(*NO_WISH, *mount)).exits(0)
    crowd.must(re.search("warning: 2 threads .*1 rank .*share 1 core", crowd.all_err), "the warning must name both numbers")


def facts_are_in_the_log(folder):
    """Only the log has the details of machines and libraries."""
    prepare(folder)
    result = train(folder, "--set", "data.validation=0.2", "--set", "train.max_steps=1", ranks=3)
    log = unstamped(folder / "run/train.log")
    for pattern in (rf"^host {re.escape(os.uname().nodename)}: ranks 0-2, .*\b3\b.* cores [0-9,-]+$",
                    r"^files: HDF5 \d+\.\d+\.\d+$",
                    r"^training data: \d+ samples .*\S*data\.h5, .*[0-9a-f]{32}$",
                    r"^validation data: \d+ samples .*\S*data\.h5, .*[0-9a-f]{32}$"):
        result.must(re.search(pattern, log, re.MULTILINE), f"the log must have {pattern}")
        result.must(not re.search(pattern, result.out, re.MULTILINE), f"only the log may have {pattern}")


def start_up_time_is_printed(folder):
    prepare(folder)
    result = train(folder, "--set", "train.log_every=1", "--set", "train.max_steps=1", ranks=2)
    told = re.search(r"^ready in (\d+\.\d\d) s\nstep 1 ", result.out, re.MULTILINE)
    result.must(told and 0.0 < float(told[1]) <= result.seconds, "the time before the first step must be reported")


# ----------------------------------------------------------- ending and resuming

def no_steps(folder):
    prepare(folder)
    result = train(folder, "--set", "train.max_steps=0")
    result.must(steps_saved(folder) == ["step-00000000.h5"], f"the checkpoints are {steps_saved(folder)}")
    result.must((folder / "run/model.h5").is_file(), "the initial model is written")
    result.must(read_csv(folder / "run/metrics.csv") == (COLUMNS, []), "no epoch has a row")
    train(folder).reports(RESUMED, "run/checkpoints/step-00000000.h5").reports(DONE, "2 epochs", "16 steps")


def resume_makes_no_difference(folder):
    prepare(folder, ("epochs: 2", "epochs: 4"),
            ("activation: relu}\n", "activation: relu}\n  - {layer: dropout, rate: 0.25}\n"))
    train(folder, "-o", "whole")
    train(folder, "--set", "train.max_steps=11").reports(DONE, "1 epoch", "11 steps")
    result = train(folder, "--set", "train.max_steps=16").reports(RESUMED, "run/checkpoints/step-00000011.h5", "epoch 2")
    result.must(len(column(folder, "epoch")) == 2, "two epochs are over")
    result = train(folder).reports(DONE, "4 epochs", "32 steps")
    final = "checkpoints/step-00000032.h5"
    result.must(same_model(folder / "whole" / final, folder / "run" / final), "the model must be the same bit for bit")
    for name in COLUMNS[:-2]:
        result.must(column(folder, name) == column(folder, name, "whole"), f"the column {name} must be the same")


def resume_on_other_ranks(folder):
    prepare(folder, ("epochs: 2", "epochs: 4"))
    train(folder, "-o", "whole")
    train(folder, "--set", "train.max_steps=5", ranks=4)
    train(folder, "--set", "train.max_steps=20", ranks=2)
    result = train(folder)
    result.must(nearly_same_model(folder / "whole/model.h5", folder / "run/model.h5"), "the models differ")


def rows_beyond_the_checkpoint_are_dropped(folder):
    prepare(folder, ("epochs: 2", "epochs: 4"))
    train(folder)
    (folder / "run/checkpoints/step-00000032.h5").unlink()
    result = run(folder, "train", "config.yaml").exits(0).says("step-00000024.h5").reports("warning", NO_BEST)
    result.must(column(folder, "epoch") == ["1", "2", "3", "4"], "an epoch has one row")


def finished_run_says_so(folder):
    prepare(folder)
    train(folder)
    before = harness.snapshot(folder)
    result = train(folder).reports("run", FINISHED, "2 epochs", "16 steps")
    result.must(harness.snapshot(folder) == before, "nothing may change")
    train(folder, "--set", "train.epochs=3").says(RESUMED).reports(DONE, "3 epochs", "24 steps")


def learning_rate_may_change(folder):
    prepare(folder)
    train(folder)
    result = train(folder, "--set", "train.epochs=3", "--set", "optimizer.lr=0.5")
    result.must(column(folder, "lr") == ["0.01", "0.01", "0.5"], "the new rate holds from there on")
    result.reports(CHANGED, "optimizer.lr", "0.5", "0.01").reports(CHANGED, "train.epochs", "3", "2")
    again = train(folder, "--set", "train.epochs=4", "--set", "optimizer.lr=0.5")
    again.reports(CHANGED, "train.epochs", "4", "3")
    again.must("optimizer.lr" not in again.out, "a key with the value of the last run is not reported")


def other_validation_data_start_the_best_anew(folder):
    """Validation data with other contents at the same path: the earlier best value is not compared with new ones."""
    prepare(folder, ("data.h5", "data.h5\n  validation: val.h5"))
    harness.write_arrays(folder / "val.h5", {"x": X[:20], "y": Y[:20]})
    train(folder)
    harness.write_arrays(folder / "val.h5", {"x": X[:20], "y": (Y[:20] + 1) % 3})
    result = harness.run(folder, "train", "config.yaml", "--set", "train.epochs=3").exits(0)
    result.reports("warning", "best")
    shutil.copy(folder / "val.h5", folder / "copy.h5")
    again = harness.run(folder, "train", "config.yaml", "--set", "train.epochs=4", "--set", "data.validation=copy.h5").exits(0)
    again.must("best" not in again.err, "a copy at another path is the same")


def another_platform_is_reported(folder):
    """BLAS kernels for an older processor round differently. If they are available, a resume reports them."""
    prepare(folder)
    command = ["env", "OPENBLAS_CORETYPE=Nehalem", harness.PROGRAM, "train", "config.yaml", "--set", "train.max_steps=5"]
    old = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    result = train(folder)
    kernels = [re.search(r"^lockstep .*\((\S+) kernels\)", text, re.MULTILINE) for text in (old, result.out)]
    if not all(kernels) or kernels[0][1] == kernels[1][1]:
        raise harness.Skip("this BLAS has one kind of kernels here")
    result.reports("platform", kernels[0][1])
    result.must("platform" not in train(folder, "--set", "train.epochs=3").out, "it is the same now")


def memory_of_all_ranks(folder):
    """The ranks of a node together are compared with the memory that the job may use there."""
    prepare(folder)
    words = ("--set", "model.0.units=30000", "--set", "train.max_steps=1")
    limit = {"SLURM_MEM_PER_NODE": "200"} # MiB. A rank needs 100 MB, rank 0 the copy for checkpoints too
    harness.run(folder, "train", "config.yaml", *words, settings=limit).exits(0)
    result = harness.run(folder, "train", "config.yaml", "--output", "three", *words, ranks=3, settings=limit).exits(2)
    result.reports("3 ranks", "SLURM_MEM_PER_NODE", "210 MB", "fewer ranks per node")
    result.must(not (folder / "three").exists(), "no run directory may remain")


def another_layout_is_reported(folder):
    """Threads and ranks change the order of additions: a resume reports it. The reproducible mode does not depend on them."""
    prepare(folder)
    for mode in ("false", "true"):
        threads = "comm.threads=1" if mode == "true" else "comm.threads=2"
        changes = (("comm.threads=1", harness.ALONE), (threads, harness.ALONE), ("comm.threads=1", 2))
        for number, (threads, ranks) in enumerate(changes):
            words = ("--set", threads, "--set", f"train.reproducible={mode}", "--set", f"train.epochs={number + 1}")
            result = harness.run(folder, "train", "config.yaml", "--output", mode, *words, ranks=ranks).exits(0)
            reported = "different platform" in result.out
            result.must(reported == (number > 0 and mode == "false"), f"the platform is reported: {reported}")
            if reported:
                result.reports("platform", "1 rank on 1 node", "1 node, 2 threads each")


def overwrite_removes_the_run_alone(folder):
    prepare(folder)
    train(folder)
    first = model_arrays(folder / "run/model.h5")
    harness.write_file(folder / "run/notes.txt", "mine")
    harness.write_file(folder / "run/checkpoints/notes.txt", "mine")
    result = train(folder, "--overwrite", "--set", "seed=2", "--set", "model.0.units=9", "--set", "train.epochs=1")
    result.must(steps_saved(folder) == ["best.h5", "notes.txt", "step-00000008.h5"], f"left: {steps_saved(folder)}")
    result.must((folder / "run/notes.txt").read_text() == "mine", "files of others stay")
    result.must(len(column(folder, "epoch")) == 1, "metrics.csv starts again")
    second = model_arrays(folder / "run/model.h5")
    result.must(len(first["0-dense/b"]) == 8 and len(second["0-dense/b"]) == 9, "the model is a new one")


def overwrite_where_there_is_no_run(folder):
    prepare(folder)
    train(folder, "--overwrite").reports(DONE, "2 epochs")


def resume_never_starts_a_new_run(folder):
    prepare(folder)
    train(folder, "--resume", "never").reports(DONE, "2 epochs")


def resume_from_a_file_of_another_run(folder):
    prepare(folder)
    train(folder, "-o", "other", "--set", "train.max_steps=9")
    train(folder)
    before = steps_saved(folder)
    result = run(folder, "train", "config.yaml", "--resume", "other/checkpoints/step-00000009.h5").exits(5)
    result.must(steps_saved(folder) == before, "nothing may be removed")


def resume_from_an_older_checkpoint_drops_later_steps(folder):
    prepare(folder, ("epochs: 2", "epochs: 4"))
    train(folder, "--set", "checkpoint.keep=9")
    result = run(folder, "train", "config.yaml", "--resume", "run/checkpoints/step-00000016.h5", "--overwrite",
                 "--set", "optimizer.lr=0.5").exits(0).reports("warning", NO_BEST)
    result.must(column(folder, "epoch") == ["1", "2", "3", "4"], "a row an epoch")
    result.must(column(folder, "lr") == ["0.01", "0.01", "0.5", "0.5"], "the rows are of this history")


def lost_model_is_made_again(folder):
    """A lost model.h5 is restored from best.h5, here of the first epoch; without best.h5, from the final state."""
    prepare(folder, ("data.h5", "data.h5\n  validation: 0.2"), ("epochs: 2", "epochs: 2\n  monitor: lr"))
    train(folder)
    train(folder, "--output", "other", "--set", "seed=2")
    model = folder / "run/model.h5"
    whole = model.read_bytes()
    for lose in (model.unlink, lambda: shutil.copy(folder / "other/model.h5", model)):
        lose()
        result = train(folder).reports("run/model.h5", REBUILT, "run/checkpoints/best.h5").reports(DONE, "2 epochs")
        result.must(model.read_bytes() == whole, "it must be the same")
        train(folder).says(FINISHED)
    model.unlink()
    train(folder, "--set", "train.epochs=3").reports("run/model.h5", REBUILT).says(RESUMED).reports(DONE, "3 epochs")
    train(folder).says(FINISHED).must(same_model(model, folder / "run/checkpoints/best.h5"), "it is the best one")
    (folder / "run/checkpoints/best.h5").unlink()
    kept = model.read_bytes()
    train(folder).says(FINISHED).must(model.read_bytes() == kept, "the best model stays")
    model.unlink()
    run(folder, "train", "config.yaml").exits(0).reports("warning", NO_BEST).says(RESUMED).reports(DONE, "3 epochs")
    train(folder).says(FINISHED).must(model.exists(), "model.h5 is there again")


def a_finished_run_has_its_final_model(folder):
    """Without validation: model.h5 must not be that of an earlier end if the run was extended and stopped later."""
    prepare(folder)
    train(folder)
    shutil.copy(folder / "run/model.h5", folder / "early.h5")
    train(folder, "--set", "train.epochs=4")
    shutil.copy(folder / "early.h5", folder / "run/model.h5")
    result = train(folder, "--set", "train.epochs=4").says(RESUMED).reports(DONE, "4 epochs")
    result.must(same_model(folder / "run/model.h5", max(folder.glob("run/checkpoints/step-*.h5"))), "it is the final one")
    train(folder, "--set", "train.epochs=4").says(FINISHED)


def output_with_a_slash_at_its_end(folder):
    prepare(folder)
    result = train(folder, "--output", "deep/run//").reports(DONE, "2 epochs")
    result.must((folder / "deep/run/model.h5").exists(), "the model is in the folder")


def no_limit_of_steps(folder):
    prepare(folder)
    train(folder, "--set", "train.max_steps=null").reports(DONE, "2 epochs")


def seeds_make_other_models(folder):
    prepare(folder)
    train(folder, "-o", "one")
    result = train(folder, "-o", "two", "--set", "seed=2")
    result.must(not nearly_same_model(folder / "one/model.h5", folder / "two/model.h5"), "the seed changes nothing")


def resume_from_a_file(folder):
    prepare(folder, ("epochs: 2", "epochs: 3"))
    train(folder, "-o", "whole")
    train(folder, "-o", "part", "--set", "train.max_steps=9")
    result = run(folder, "train", "config.yaml", "--resume", "part/checkpoints/step-00000009.h5").exits(0)
    result.reports("warning", NO_BEST).reports(RESUMED, "part/checkpoints/step-00000009.h5", "epoch 2", "step 9")
    result.reports(DONE, "3 epochs", "24 steps")
    result.must(same_model(folder / "whole/model.h5", folder / "run/model.h5"), "the models differ")


def log_every_prints_steps(folder):
    prepare(folder)
    result = train(folder, "--set", "train.log_every=3")
    told = [line.split()[1] for line in result.out.splitlines() if line.startswith("step ")]
    result.must(told == ["3", "6", "9", "12", "15"], f"lines came for the steps {told}")


# ---------------------------------------------------------- another model's weights

NORMED = edited(("activation: relu}\n", "activation: relu}\n  - {layer: batch_norm}\n  - {layer: dropout, rate: 0.2}\n"))


def base_and_new(folder, text=NORMED):
    """A trained model, base/model.h5, and another config for other samples; its initial model is seed/model.h5."""
    prepare(folder)
    harness.write_file(folder / "config.yaml", text)
    train(folder, "-o", "base")
    harness.write_arrays(folder / "data.h5", {"x": X[::-2], "y": Y[::-2]})
    harness.write_file(folder / "config.yaml", text.replace("seed: 1", "seed: 5").replace("epochs: 2", "epochs: 3"))


def initial(folder, *words, output="run", **how):
    """The arrays of a run without a step."""
    result = train(folder, "-o", output, "--set", "train.max_steps=0", *words, **how)
    return result, model_arrays(folder / output / "model.h5")


def sources(arrays, **models):
    """Array -> names of the models that have the same bits. The models must differ in every array."""
    return {path: "".join(name for name, model in models.items() if path in model
                          and model[path].tobytes() == array.tobytes()) for path, array in arrays.items()}


def unstamped(path):
    """A log without its times of day."""
    return "\n".join(line[20:] for line in path.read_text().splitlines())


def all_weights_are_copied(folder):
    base_and_new(folder)
    base = model_arrays(folder / "base/model.h5")
    for name in ("model.h5", "checkpoints/best.h5"):
        result, arrays = initial(folder, "--init-from", f"base/{name}", output=name.replace("/", "-"))
        result.reports(INITIALIZED, f"base/{name}")
        result.must(set(sources(arrays, base=base).values()) == {"base"}, "all weights are the other model's")
        result.must("1-batch_norm/running_mean" in arrays, "the running averages are among them")
        log = unstamped(folder / name.replace("/", "-") / "train.log").splitlines()
        result.must(set(result.out.splitlines()) <= set(log), "the log has it")
    with h5py.File(folder / "checkpoints-best.h5/checkpoints/step-00000000.h5") as file:
        result.must(file["progress"].attrs["seed"] == 5 and file["progress"].attrs["step"] == 0, "progress is its own")
        slots = [file[f"optimizer/{slot}/0-dense/W"][()] for slot in file["optimizer"]]
        result.must(len(slots) == 2 and not numpy.any(slots), "the optimizer starts anew")


def other_layers_are_initialized_from_the_seed(folder):
    base_and_new(folder)
    harness.write_arrays(folder / "data.h5", {"x": X[::-2], "y": Y[::-2] % 2})
    words = ("--set", "model.3.units=2")
    _, seed = initial(folder, *words, output="seed")
    result, arrays = initial(folder, *words, "--init-from", "base/model.h5")
    result.reports(INITIALIZED, "base/model.h5", "0-dense, 1-batch_norm", "3-dense", "(3, 8) float32", "(2, 8) float32")
    found = sources(arrays, base=model_arrays(folder / "base/model.h5"), seed=seed)
    for path, name in found.items():
        wanted = "seed" if path.startswith("3-dense") else "base"
        result.must(wanted in name, f"{path} is of {name or 'neither'}, not of {wanted}")
    result = train(folder, *words, "--init-from", "base/model.h5", "-o", "tuned").reports(DONE, "3 epochs")


def parameters_are_copied_one_by_one(folder):
    """With more features, the first W has another shape and only its b is used. Another kind of layer has another path."""
    base_and_new(folder)
    harness.write_arrays(folder / "data.h5", {"x": numpy.hstack([X, X]), "y": Y})
    result, arrays = initial(folder, "--set", "model.2={layer: dense, units: 8}", "--init-from", "base/model.h5")
    result.reports(INITIALIZED, "base/model.h5", "0-dense/b, 1-batch_norm, 3-dense", "0-dense/W", "(8, 4) float32", "(8, 8) float32",
                   "2-dense")
    result.must(sources(arrays, base=model_arrays(folder / "base/model.h5"))["0-dense/b"] == "base", "b is taken")


def layers_are_selected_by_number(folder):
    base_and_new(folder)
    base = model_arrays(folder / "base/model.h5")
    _, seed = initial(folder, output="seed")
    for layers, taken in (("1-3", "13"), ("0,3", "03"), ("0-0,1", "01")):
        result, arrays = initial(folder, "--init-from", "base/model.h5", "--init-layers", layers, output=layers)
        for path, name in sources(arrays, base=base, seed=seed).items():
            wanted = "base" if path[0] in taken else "seed"
            result.must(wanted in name, f"{layers}: {path} is of {name or 'neither'}, not of {wanted}")
    result.reports(INITIALIZED, "base/model.h5", "0-dense, 1-batch_norm", "3-dense", "--init-layers")
    words = ("train", "config.yaml", "-o", "bad", "--init-from", "base/model.h5", "--init-layers")
    for layers in ("0,x", "1-0", "", "0,"):
        run(folder, *words, layers).exits(2).reports(f"--init-layers {layers}", "list of numbers and ranges")
    run(folder, *words, "2").exits(4).reports("base/model.h5") # of dropout, which has no weights
    run(folder, *words, "0-2", "--set", "model.2={layer: dense, units: 8}").exits(4).reports("base/model.h5", "/model/2-dense/W")
    result.must(not (folder / "bad").exists(), "an error leaves no run")


def nested_layers_are_copied(folder):
    text = edited(("activation: relu}\n", "activation: relu}\n  - layer: residual\n    layers:\n"
                   "      - {layer: dense, units: 6, activation: tanh}\n      - {layer: batch_norm}\n"))
    base_and_new(folder, text)
    base = model_arrays(folder / "base/model.h5")
    result, arrays = initial(folder, "--init-from", "base/model.h5", "--init-layers", "1")
    found = {path for path, name in sources(arrays, base=base).items() if name and path.startswith("1-")}
    result.must(found == {path for path in base if path.startswith("1-")} and len(found) == 7,
                f"all of the residual layer is taken: {found}")


def resume_does_not_initialize_weights_again(folder):
    """An interrupted command that is run again gives the result of the uninterrupted run."""
    base_and_new(folder)
    words = ("--init-from", "base/model.h5")
    train(folder, *words, "-o", "whole")
    train(folder, *words, "--set", "train.max_steps=5")
    result = train(folder, *words).reports("--init-from base/model.h5", NOT_USED_AGAIN).reports(RESUMED, "step 5")
    result.must(same_model(folder / "whole/model.h5", folder / "run/model.h5"), "the models differ")
    shutil.rmtree(folder / "base") # not needed any more
    train(folder, *words).reports("--init-from base/model.h5", NOT_USED_AGAIN).says(FINISHED)
    result = train(folder, *words[:1], "whole/model.h5", "--overwrite").reports(INITIALIZED, "whole/model.h5")
    result.must(not same_model(folder / "whole/model.h5", folder / "run/model.h5"), "--overwrite starts anew")
    train(folder, *words[:1], "whole/model.h5", "--resume", "never", "-o", "new").reports(INITIALIZED, "whole/model.h5")


def weights_are_the_same_on_all_ranks(folder):
    base_and_new(folder)
    words = ("--init-from", "base/model.h5", "--set", "train.reproducible=true", "--init-layers", "0-1")
    train(folder, *words, "-o", "alone")
    result = train(folder, *words, "-o", "three", ranks=3)
    result.must(same_model(folder / "alone/model.h5", folder / "three/model.h5"), "the models differ")


def inputs_of_another_scale_cause_a_warning(folder):
    """The normaliser is that of the new run: values with mean 0 and deviation 1 had mean s and deviation r before."""
    base_and_new(folder, edited(("data.h5", "data.h5\n  normalize: standardize")))
    train(folder, "--init-from", "base/model.h5", "-o", "alike")
    other = X * numpy.array([1, 1, 2, 1], "f4") + numpy.array([0, 0.1, 3, 0], "f4")
    harness.write_arrays(folder / "data.h5", {"x": other, "y": Y})
    words = ("train", "config.yaml", "--init-from", "base/model.h5", "--set", "train.max_steps=1")
    result = run(folder, *words).exits(0).reports("warning: ", "feature 2")
    told = [float(number) for number in re.search(r"had mean (\S+) and deviation (\S+) there", result.err).groups()]
    s, r = (other[:, 2].mean() - X[:, 2].mean()) / X[:, 2].std(), 2.0
    result.must(numpy.allclose(told, [s, r], rtol=0.01), f"the mean was {s} and the deviation {r}, not {told}")
    train(folder, *words[2:], "--init-layers", "1", "-o", "last")  # the last layer does not depend on the inputs


# ---------------------------------------------------------------------- signals

def start_long_run(folder, ranks, *words):
    """A run that has finished an epoch and is far from its end."""
    prepare(folder, ("epochs: 2", "epochs: 1000000"), ("batch_size: 8", "batch_size: 8\ncheckpoint: {every_epochs: 0}"))
    process = harness.start(folder, "train", "config.yaml", *words, ranks=ranks)
    metrics = folder / "run/metrics.csv"
    deadline = time.monotonic() + harness.DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and metrics.read_text().count("\n") >= 2:
            break
        time.sleep(0.05)
    return process


def check_stopped(folder, result, ranks, least=8):
    """The run has a checkpoint, and resumes from it to the same bits."""
    step = max(harness.saved_steps(folder / "run/checkpoints"))
    result.must(step >= least, "an epoch of 8 steps was over")
    end = f"train.max_steps={step + 3}"
    again = train(folder, "--set", end, ranks=ranks)
    again.reports(RESUMED, f"run/checkpoints/step-{step:08}.h5").reports(DONE, f"{step + 3} steps")
    train(folder, "-o", "whole", "--set", end, ranks=ranks)
    again.must(same_model(folder / "whole/model.h5", folder / "run/model.h5"), "the models must be the same bit for bit")


def stopped_by(number, ranks, folder):
    process = start_long_run(folder, ranks)
    process.send_signal(number)
    result = harness.finish(process).exits(STOPPED)
    result.must(re.match(r"lockstep: warning: .*signal.* step \d+", result.err), "it must name the signal and the step")
    result.must(result.err.count("lockstep:") == 1, "one line is enough")
    check_stopped(folder, result, ranks)


def terminated_under_mpirun(folder):
    """mpirun exits with 1 regardless of what its ranks return, and kills them within seconds."""
    process = start_long_run(folder, 2)
    process.send_signal(signal.SIGTERM)
    result = harness.finish(process).exits(1)
    check_stopped(folder, result, 2)


def usr1_to_one_rank(folder):
    process = start_long_run(folder, 2)
    os.kill(harness.ranks_of(process.pid)[1], signal.SIGUSR1)
    result = harness.finish(process).exits(STOPPED)
    check_stopped(folder, result, 2)


def stopped_by_max_time(ranks, folder):
    """Two starts of a few seconds each: both end with 75 and the same words, and the second resumes."""
    limit = 2
    prepare(folder, ("epochs: 2", "epochs: 1000000"), ("batch_size: 8", "batch_size: 8\ncheckpoint: {every_epochs: 0}"))
    steps = []
    for _ in range(2):
        result = run(folder, "train", "config.yaml", "--set", f"train.max_time={limit}s", ranks=ranks).exits(STOPPED)
        result.must(ranks != ALONE or result.seconds < limit + 60, "it must end in time, on a busy machine too")
        match = re.match(r"lockstep: warning: .*train\.max_time.* step (\d+)", result.err)
        result.must(match and result.err.count("lockstep:") == 1, "one line must report it")
        steps.append(int(match[1]))
        result.must(steps[-1] in harness.saved_steps(folder / "run/checkpoints"), "that step must be saved")
    result.reports(RESUMED, f"run/checkpoints/step-{steps[0]:08}.h5")
    result.must(1 <= steps[0] < steps[1], "each start must take steps")
    check_stopped(folder, result, ranks, least=2)


def max_time_is_a_time(folder):
    """An invalid time is rejected; if no time is left, the run takes one step; lr-find ignores the limit."""
    prepare(folder)
    run(folder, "train", "config.yaml", "--set", "train.max_time=3:50").exits(2).reports("train.max_time", "3:50", "3h50m")
    run(folder, "train", "config.yaml", "--set", "train.max_time=0.001").exits(STOPPED).reports("train.max_time", "step 1")
    run(folder, "train", "config.yaml", "--set", "train.max_time=0.001").exits(STOPPED).reports("train.max_time", "step 2")
    train(folder, "--set", "train.max_time=1d2h").reports(DONE, "2 epochs")
    run_well(folder, "lr-find", "config.yaml", "--set", "train.max_time=0.001")


# ------------------------------------------------------------- tasks and sample weights

def one_hot_and_columns_are_class_numbers(folder):
    prepare(folder)
    train(folder)
    for name, y in (("one-hot", numpy.eye(3)[Y]), ("column", Y.reshape(-1, 1)), ("real", Y.astype("f4"))):
        harness.write_arrays(folder / "data.h5", {"x": X, "y": y})
        result = train(folder, "-o", name)
        result.must(same_model(folder / "run/model.h5", folder / name / "model.h5"), f"{name}: the models differ")


def names_that_people_use(folder):
    prepare(folder)
    train(folder)
    for number, (x, y) in enumerate((("X", "Y"), ("images", "labels"), ("X_train", "y_train"), ("data", "target"))):
        harness.write_arrays(folder / "data.h5", {x: X, y: Y})
        result = train(folder, "-o", f"run{number}")
        result.must(same_model(folder / "run/model.h5", folder / f"run{number}/model.h5"), f"{x}: the models differ")
    harness.write_arrays(folder / "data.h5", {"pixels": X, "kinds": Y, "x": X[:5], "y": Y[:5]})
    result = train(folder, "-o", "named", "--set", "data.x=/pixels", "--set", "data.y=/kinds")
    result.must(same_model(folder / "run/model.h5", folder / "named/model.h5"), "explicit names must win")


def every_type_of_input(folder):
    numbers = numpy.random.default_rng(3).integers(0, 100, size=X.shape)
    prepare(folder, ("data.h5", "data.h5\n  normalize: standardize"))
    for kind in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", ">f8", ">i2"):
        harness.write_arrays(folder / "data.h5", {"x": numbers.astype(kind), "y": Y})
        name = kind.replace(">", "big-")
        result = train(folder, "-o", name)
        result.must(nearly_same_model(folder / "u1/model.h5", folder / name / "model.h5"), f"{kind}: the models differ")


def validation_in_a_file(folder):
    prepare(folder, ("data.h5", "data.h5:/train\n  validation: val.h5"))
    harness.write_arrays(folder / "data.h5", {"train/x": X, "train/y": Y, "test/x": X[:9], "test/y": Y[:9]})
    harness.write_arrays(folder / "val.h5", {"x": X[::2], "y": Y[::2]})
    result = train(folder, "--set", "data.test=data.h5:/test")
    result.says("60 training, 30 validation, 9 test samples", "test: loss")
    evaluated = run_well(folder, "evaluate", "run/model.h5", "val.h5")
    loss = min(float(value) for value in column(folder, "val_loss"))
    evaluated.says(f"loss      {loss:.6f}")


def sample_weights_are_applied(folder):
    """Samples of weight 0 have no effect, even with wrong labels."""
    wrong = numpy.arange(60) % 4 == 0
    y = numpy.where(wrong, (Y + 1) % 3, Y)
    prepare(folder, ("lr: 0.01", "lr: 0.05"), ("epochs: 2", "epochs: 30"), y=y, w=numpy.where(wrong, 0.0, 2.0))
    result = train(folder, ranks=2)
    result.must(float(column(folder, "train_accuracy")[-1]) > 0.95, "the weighted accuracy must be high")
    harness.write_arrays(folder / "right.h5", {"x": X[wrong], "y": Y[wrong]})
    accuracy = run_well(folder, "evaluate", "run/model.h5", "right.h5").out.split("accuracy")[1].split()[0]
    result.must(float(accuracy) > 0.8, "the samples without weight must come out by their right labels")


def full_batch_and_batch_of_one(folder):
    prepare(folder)
    train(folder, "-o", "full", "--set", "train.batch_size=full").reports("batch 60", "1 step").reports(DONE, "2 steps")
    train(folder, "-o", "one", "--set", "train.batch_size=1", ranks=2).reports("batch 1", "60 steps").reports(DONE, "120 steps")
    train(folder, "-o", "most", "--set", "train.batch_size=1000").reports("batch 60", "1 step")


def more_ranks_than_samples(folder):
    prepare(folder, ("batch_size: 8", "batch_size: 2"))
    harness.write_arrays(folder / "data.h5", {"x": X[:3], "y": Y[:3]})
    train(folder, "-o", "alone")
    result = train(folder, ranks=4)
    result.must(nearly_same_model(folder / "alone/model.h5", folder / "run/model.h5"), "the models differ")


def ranks_make_no_difference(folder):
    prepare(folder, ("data.h5", "data.h5\n  validation: 0.15\n  normalize: standardize"),
            ("activation: relu}\n", "activation: relu}\n  - {layer: dropout, rate: 0.25}\n"))
    train(folder, "-o", "0")
    for ranks in (1, 2, 3, 4):
        result = train(folder, "-o", ranks, ranks=ranks)
        result.must(nearly_same_model(folder / "0/model.h5", folder / f"{ranks}/model.h5"), "the models differ")
        losses = [numpy.array(column(folder, "val_loss", name), "f8") for name in ("0", str(ranks))]
        result.must(numpy.allclose(*losses, atol=1e-5), f"the validation losses differ: {losses}")


TESTS = [
    digits, digits_by_convolutions, iris, xor_needs_a_hidden_layer, run_directory, columns_without_validation_stay_empty,
    regression_has_r2_columns, checkpoints_are_kept_and_removed, best_model_is_of_the_best_epoch,
    monitor_chooses_the_best_epoch, more_metrics_have_columns, more_metrics_survive_a_resume,
    more_metrics_of_regression, model_without_validation_is_the_final_one, config_of_a_run_makes_it_again,
    threads_by_the_cores, threads_by_variables, threads_share_convolutions, too_many_threads_cause_a_warning, threads_by_the_quota, start_up_time_is_printed, facts_are_in_the_log,
    output_of_an_unusual_name, paths_are_relative_to_the_config, no_steps, resume_makes_no_difference,
    resume_on_other_ranks, rows_beyond_the_checkpoint_are_dropped, finished_run_says_so, learning_rate_may_change,
    other_validation_data_start_the_best_anew, another_platform_is_reported, memory_of_all_ranks, another_layout_is_reported, overwrite_removes_the_run_alone, overwrite_where_there_is_no_run, resume_never_starts_a_new_run, resume_from_a_file,
    resume_from_a_file_of_another_run, resume_from_an_older_checkpoint_drops_later_steps, lost_model_is_made_again,
    a_finished_run_has_its_final_model,
    output_with_a_slash_at_its_end, no_limit_of_steps, seeds_make_other_models,
    all_weights_are_copied, other_layers_are_initialized_from_the_seed, parameters_are_copied_one_by_one, layers_are_selected_by_number,
    nested_layers_are_copied, resume_does_not_initialize_weights_again, weights_are_the_same_on_all_ranks,
    inputs_of_another_scale_cause_a_warning, log_every_prints_steps, terminated_under_mpirun, usr1_to_one_rank, max_time_is_a_time, one_hot_and_columns_are_class_numbers,
    names_that_people_use, every_type_of_input, validation_in_a_file, sample_weights_are_applied,
    full_batch_and_batch_of_one, more_ranks_than_samples, ranks_make_no_difference,
]


# Tests that take long with sanitizers and run no code that others do not.
LONG = (digits, iris, xor_needs_a_hidden_layer, ranks_make_no_difference)


def all_tests():
    many = () if harness.IS_SANITIZED else (4,)
    for test in TESTS:
        if many or test not in LONG:
            yield test.__name__.replace("_", " "), test
    for number, ranks in (*((signal.SIGUSR1, ranks) for ranks in (ALONE, 2, *many)), (signal.SIGTERM, ALONE),
                          (signal.SIGINT, ALONE)):
        yield (f"stopped by {number.name} at {ranks} ranks",
               lambda folder, number=number, ranks=ranks: stopped_by(number, ranks, folder))
    for ranks in (ALONE, 2):
        yield f"stopped by max time at {ranks} ranks", lambda folder, ranks=ranks: stopped_by_max_time(ranks, folder)


if __name__ == "__main__":
    harness.main(all_tests())
