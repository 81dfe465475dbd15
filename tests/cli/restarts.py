"""A command that is run again: finished runs, --overwrite, --resume FILE, requeued jobs, the command that resumes."""

import re
import shutil
import subprocess

import harness
from harness import ALONE, DONE, FINISHED, RESUMED, run
from training import X, Y, column, prepare, steps_saved, train

USAGE, OUTPUT, STOPPED = 2, 5, 75
REQUEUED = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}
SCHEDULE = "schedule={type: step, step_size: 1, gamma: 0.5}"


def train_again(folder, *words, **how):
    """The run may warn, for example that no best.h5 matches an older checkpoint."""
    return run(folder, "train", "config.yaml", *words, **how).exits(0)


def files(folder, name="run"):
    """The files of a run but for its log."""
    return {path: content for path, content in harness.snapshot(folder / name).items() if not str(path).endswith("train.log")}


# ---------------------------------------------------------------- a finished run

def finished_run_with_other_settings(folder, ranks):
    """Its model was not trained with them."""
    prepare(folder)
    train(folder, ranks=ranks)
    before = files(folder)
    for pair, parts in (("optimizer.lr=0.5", ("optimizer.lr", "0.5", "0.01")),
                        ("optimizer.weight_decay=0.1", ("optimizer.weight_decay", "0.1")),
                        (SCHEDULE, ("schedule",)), ("penalty.l2=0.1", ("penalty",)),
                        ("data.augment.noise=0.5", ("data.augment", "0.5")),
                        ("train.clip_grad_norm=1", ("train.clip_grad_norm", "1")),
                        ("train.class_weight=balanced", ("train.class_weight", "balanced"))):
        result = run(folder, "train", "config.yaml", "--set", pair, ranks=ranks).exits(USAGE)
        result.reports("error: run/checkpoints/step-00000016.h5", *parts).reports("train.epochs", "--overwrite")
        result.must(files(folder) == before, "nothing may change")
    run(folder, "train", "config.yaml", "--set", "train.monitor=lr", ranks=ranks).exits(USAGE).reports("train.monitor", "lr")
    for words in ((), ("--set", "train.epochs=1"), ("--set", "train.max_steps=9"), ("--set", "train.log_every=1")):
        result = train(folder, *words, ranks=ranks).says(FINISHED)
        result.must(files(folder) == before, "nothing may change")


def finished_run_with_other_validation_data(folder):
    """Its best epoch was chosen by the old ones; model.h5 must not become that of another epoch."""
    prepare(folder, ("data.h5", "data.h5\n  validation: val.h5"))
    harness.write_arrays(folder / "val.h5", {"x": X[:20], "y": Y[:20]})
    train(folder)
    before = files(folder)
    harness.write_arrays(folder / "val.h5", {"x": X[:20], "y": (Y[:20] + 1) % 3})
    result = run(folder, "train", "config.yaml").exits(USAGE).reports("data.validation")
    result.must(files(folder) == before, "nothing may change")


def finished_run_is_trained_longer(folder, ranks):
    """With more epochs, or more steps, also with a new rate; it equals a run that had these from the start."""
    prepare(folder)
    train(folder, "--set", "train.max_steps=5", ranks=ranks).reports(DONE, "5 steps")
    train(folder, "--set", "train.max_steps=9", ranks=ranks).reports(RESUMED, "step 5").reports(DONE, "9 steps")
    train(folder, ranks=ranks).reports(RESUMED, "step 9").reports(DONE, "2 epochs", "16 steps")
    train(folder, "--set", "train.epochs=4", "--set", "optimizer.lr=0.5", ranks=ranks).reports(DONE, "4 epochs")
    if column(folder, "lr") != ["0.01", "0.01", "0.5", "0.5"]:
        raise harness.Failure(f"the new rate applies to the new epochs: {column(folder, 'lr')}")


def finished_by_early_stopping(folder):
    """More epochs do not help; the reason is printed again. More patience does."""
    prepare(folder, ("epochs: 2", "epochs: 9\n  monitor: epoch\n  early_stopping: {patience: 2}"))
    train(folder).reports(harness.STOPPED_EARLY).reports(DONE, "3 epochs")
    train(folder, "--set", "train.epochs=20").says(FINISHED).reports(harness.STOPPED_EARLY)
    run(folder, "train", "config.yaml", "--set", "train.early_stopping.patience=1").exits(USAGE).reports("patience", "1", "2")
    train(folder, "--set", "train.early_stopping.patience=4").says(RESUMED).reports(DONE, "5 epochs")
    train(folder, "--set", "train.early_stopping=null", "--set", "train.epochs=7").says(RESUMED).reports(DONE, "7 epochs")
    train(folder).says(RESUMED).reports(DONE, "9 epochs") # the 2 epochs of patience begin again


def longer_run_changes_a_schedule(folder):
    """A schedule that ends with the run gets other rates, with a warning; one with total_steps keeps them."""
    prepare(folder, ("lr: 0.01}", "lr: 0.01}\nschedule: {type: linear}"))
    train(folder, "--set", "train.max_steps=8")
    result = train_again(folder, "--set", "train.epochs=4", "--set", "train.max_steps=9")
    result.reports("warning: schedule: ", "16", "32", "0.0075", "0.005", "total_steps")
    train(folder, "--overwrite", "--set", "train.max_steps=8")
    for words in (("--set", "schedule.total_steps=16"), ("--set", "train.epochs=4", "--set", "schedule.total_steps=16")):
        train(folder, *words, "--set", "train.max_steps=9")
    train(folder, "--overwrite", "--set", "train.max_steps=8", "--set", "schedule=null")
    train(folder, "--set", "train.epochs=4", "--set", "schedule=null")


def modes_that_round_otherwise_are_not_tried(folder):
    """Modes that sum gradients with other roundings are not chosen by their times."""
    prepare(folder)
    words = ("--set", "comm.shared_memory=false", "--set", "train.max_steps=1", "--overwrite")
    for name, expected in (("float32", ["allreduce", "overlap", "sharded"]), ("bfloat16", ["allreduce", "overlap"])):
        train(folder, *words, "--set", f"comm.gradient_type={name}", ranks=2)
        tried = re.search(r"time of a step: (.*)\)", (folder / "run/train.log").read_text())[1]
        if sorted(re.findall(r"[a-z]{3,}", tried)) != expected:
            raise harness.Failure(f"{name}: {tried}")


# --------------------------------------------------------------------- --resume FILE

OLD = "run/checkpoints/step-00000008.h5"


def resume_from_an_older_checkpoint(folder, ranks):
    """It is rejected, since later checkpoints would be lost. --overwrite removes these alone, and never FILE, however many
    checkpoints follow."""
    prepare(folder)
    train(folder, "--set", "checkpoint.keep=9", ranks=ranks)
    before, old = files(folder), (folder / OLD).read_bytes()
    result = run(folder, "train", "config.yaml", "--resume", OLD, ranks=ranks).exits(OUTPUT)
    result.reports("error: run", "step 16", "step 8", OLD, "--overwrite")
    result.must(files(folder) == before, "nothing may change")
    words = ("--resume", OLD, "--overwrite", "--set", "checkpoint={keep: 1, every_steps: 1}")
    result = train_again(folder, *words, "--set", "train.max_steps=12", ranks=ranks).reports(RESUMED, OLD).reports(DONE, "12 steps")
    result.must(harness.saved_steps(folder / "run/checkpoints") == [8, 12], f"left: {steps_saved(folder)}")
    result.must((folder / OLD).read_bytes() == old, "FILE stays as it is")
    train(folder, "--set", "checkpoint.keep=9", ranks=ranks).reports(RESUMED, "step 12").reports(DONE, "16 steps")
    if column(folder, "epoch") != ["1", "2"] or (folder / OLD).read_bytes() != old:
        raise harness.Failure("a row an epoch, and FILE is still kept")


def resume_from_the_newest_checkpoint_by_name(folder):
    """It is not written again, and not removed later."""
    prepare(folder)
    train(folder, "--set", "train.max_steps=8")
    old = (folder / OLD).read_bytes()
    result = train_again(folder, "--resume", OLD, "--set", "checkpoint={keep: 1, every_steps: 1}").reports(RESUMED, OLD)
    result.must((folder / OLD).read_bytes() == old, "FILE stays as it is")
    result.must(harness.saved_steps(folder / "run/checkpoints") == [8, 16], f"left: {steps_saved(folder)}")


def resume_from_the_best(folder):
    """best.h5 of an earlier epoch: its state stays, as the checkpoint of its step."""
    prepare(folder, ("epochs: 2", "epochs: 4\n  monitor: lr"))
    train(folder)
    best = ("--resume", "run/checkpoints/best.h5")
    run(folder, "train", "config.yaml", *best).exits(OUTPUT).reports("step 32", "step 8")
    train_again(folder, *best, "--overwrite", "--set", "train.epochs=3").reports(RESUMED, "best.h5", "step 8")
    steps = harness.saved_steps(folder / "run/checkpoints")
    if steps != [8, 16, 24] or not (folder / "run/checkpoints/best.h5").exists():
        raise harness.Failure(f"left: {steps_saved(folder)}")


def resume_from_a_file_elsewhere(folder):
    """A run in the directory is replaced only with --overwrite; FILE stays."""
    prepare(folder)
    train(folder, "--set", "train.max_steps=3")
    train(folder, "-o", "other", "--set", "train.max_steps=9")
    file = folder / "other/checkpoints/step-00000009.h5"
    before, old = files(folder), file.read_bytes()
    words = ("--resume", "other/checkpoints/step-00000009.h5")
    result = run(folder, "train", "config.yaml", *words).exits(OUTPUT).reports("error: run", "--overwrite")
    result.must(files(folder) == before, "nothing may change")
    result = train_again(folder, *words, "--overwrite").reports(RESUMED, "step 9").reports(DONE, "16 steps")
    result.must(file.read_bytes() == old, "FILE stays")
    result.must(harness.saved_steps(folder / "run/checkpoints") == [9, 16], f"left: {steps_saved(folder)}")


def overwrite_and_resume_auto_contradict(folder):
    prepare(folder)
    run(folder, "train", "config.yaml", "--overwrite", "--resume", "auto").exits(USAGE).reports("--overwrite", "--resume auto")


# -------------------------------------------------------------------- requeued jobs

def requeued_job_resumes_its_run(folder, ranks):
    """With any options that choose the start of a run. They apply at the first start."""
    prepare(folder)
    train(folder, "-o", "other", "--set", "train.max_steps=2")
    given = (("--overwrite",), ("--resume", "never"), ("--resume", "other/checkpoints/step-00000002.h5"),
             ("--resume", "run/checkpoints/step-00000003.h5"), ("--resume", "other/checkpoints/step-00000002.h5", "--overwrite"))
    for number, words in enumerate(given, 3):
        if number == 3:
            train(folder, "--set", "train.max_steps=3", ranks=ranks)
        result = train_again(folder, *words, "--set", f"train.max_steps={number + 1}", ranks=ranks, settings=REQUEUED)
        result.reports("warning: ", words[0], "SLURM_RESTART_COUNT").reports(RESUMED, f"step {number}")
    first = {**REQUEUED, "SLURM_RESTART_COUNT": "0"}
    result = train(folder, "--overwrite", "--set", "train.max_steps=1", ranks=ranks, settings=first)
    result.must("warning" not in result.err and harness.saved_steps(folder / "run/checkpoints") == [1],
                "the options apply at the first start of a job")


def requeued_job_before_its_first_checkpoint(folder):
    """Its first start left nothing to resume."""
    prepare(folder)
    train(folder, "-o", "other", "--set", "train.max_steps=9")
    file = "other/checkpoints/step-00000009.h5"
    for prepare_folder in (lambda: None, lambda: (folder / "run/checkpoints").mkdir(parents=True)):
        shutil.rmtree(folder / "run", ignore_errors=True)
        prepare_folder()
        train_again(folder, "--resume", file, settings=REQUEUED).reports(RESUMED, file).reports(DONE, "16 steps")
    shutil.rmtree(folder / "run")
    train_again(folder, "--overwrite", settings=REQUEUED).reports(DONE, "16 steps")


# ---------------------------------------------------------- the command that resumes

def stopped_run_names_the_command(folder, ranks):
    """The command of the message resumes, whatever the first one was; it does not begin again."""
    prepare(folder)
    train(folder, "-o", "other", "--set", "train.max_steps=2")
    output = "a run's place"
    starts = (("--overwrite",), ("--over", "--resume", "never"), ("--resume=other/checkpoints/step-00000002.h5", "--overwrite"))
    for words in starts:
        given = ("train", "--set", "train.max_time=0.001", *words, "-o", output, "config.yaml", "--set", "seed=1",
                 "--set", "checkpoint={keep: 3, every_steps: 1}")
        result = run(folder, *given, ranks=ranks).exits(STOPPED)
        step = int(re.search(r"at step (\d+)", result.err)[1])
        command = re.search(r"run: (.*)", result.err)[1]
        result.must("--overwrite" not in command and "--resume" not in command, f"options remain: {command}")
        again = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True,
                               env=harness.environment(folder, ALONE))
        result.must(again.returncode == STOPPED and f"step {step}\n" in again.stdout,
                    f"it must resume: {command}: {again.returncode} {again.stdout} {again.stderr}")
        result.must(command in again.stderr, f"the command stays the same: {again.stderr}")


def all_tests():
    for test in (finished_run_with_other_settings, finished_run_is_trained_longer, resume_from_an_older_checkpoint,
                 requeued_job_resumes_its_run, stopped_run_names_the_command):
        for ranks in (ALONE, 2):
            yield (f"{test.__name__} at {ranks} ranks".replace("_", " "),
                   lambda folder, test=test, ranks=ranks: test(folder, ranks))
    for test in (finished_run_with_other_validation_data, finished_by_early_stopping, longer_run_changes_a_schedule,
                 modes_that_round_otherwise_are_not_tried, resume_from_the_newest_checkpoint_by_name, resume_from_the_best,
                 resume_from_a_file_elsewhere, overwrite_and_resume_auto_contradict,
                 requeued_job_before_its_first_checkpoint):
        yield test.__name__.replace("_", " "), test


if __name__ == "__main__":
    harness.main(all_tests())
