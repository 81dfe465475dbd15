"""info, check and evaluate --json, and the state of a run directory."""

import fcntl
import json
import os
import re
import shutil
import socket

import h5py
import numpy

import harness
from harness import edited, run, run_well

X, Y = harness.three_classes(40)
ODD = ('tab\tand "quotes"', "back\\slash\x01\x7f", "größe", "plain")
CONFIG = edited(("train: data.h5", "train: data.h5\n  validation: 0.2\n  test: test.h5"), ("epochs: 2", "epochs: 2"))
LOCK = "host: {}\npid: 7\nsince: 2026-01-01 10:00:00 +0000\nboot: none\njob: 0 0\nnamespace: none\n"


def train(folder, *words, config=CONFIG):
    harness.write_file(folder / "config.yaml", config)
    names = {"features": list(ODD)}, {"classes": list(ODD[:3])}
    for file, x in (("data.h5", X), ("test.h5", X + 0.1)):
        harness.write_arrays(folder / file, {"x": (x, names[0]), "y": (Y, names[1])})
    run_well(folder, "train", "config.yaml", *words)


def told(folder, *words, **how):
    result = run_well(folder, *words, "--json", **how)
    result.must(result.out.count("\n") == 1, "it prints one line")
    return json.loads(result.out)


# ------------------------------------------------------------------------------ JSON

def check_as_json(folder):
    train(folder)
    text = run_well(folder, "check", "config.yaml", "--set", "train.log_every=3").out
    found = told(folder, "check", "config.yaml", "--set", "train.log_every=3", ranks=2)
    config = found["config"]
    assert config["train"]["log_every"] == 3 and config["optimizer"] == {**config["optimizer"], "type": "adam", "lr": 0.01}
    assert config["model"][0]["activation"] == "relu" and config["train"]["reproducible"] is False
    data = found["data"]
    assert [data[name]["samples"] for name in ("training", "validation", "test")] == [32, 8, 40]
    assert data["training"]["shape"] == [40, 4] and data["training"]["type"] == "float32" and data["classes"] == list(ODD[:3])
    layers = [(layer["kind"], layer["inputs"], layer["outputs"], layer["parameters"], layer["multiply_adds"])
              for layer in found["layers"]]
    assert layers == [("dense", [4], [8], 40, 32), ("dense", [8], [3], 27, 24)], layers
    totals = found["totals"]
    assert (totals["parameters"], totals["multiply_adds"], totals["ranks"]) == (67, 56, 2)
    assert re.search(r"total +67 +56\n", text) and totals["data_bytes_per_node"] > 0
    everything = told(folder, "check", "config.yaml", "--all")
    assert everything["samples"] == 80 and everything["n_errors"] == 0 and everything["errors"] == []


def bad_data_as_json(folder):
    harness.write_file(folder / "config.yaml", edited())
    x = X.copy()
    x[3, 1] = numpy.nan
    harness.write_arrays(folder / "data.h5", {"x": x, "y": Y})
    result = run(folder, "check", "config.yaml", "--all", "--json").exits(3)
    found = json.loads(result.out)
    assert found["n_errors"] == 1 and "row 3" in found["errors"][0], found


def info_as_json(folder):
    train(folder)
    data = told(folder, "info", "data.h5")
    assert data["type"] == "dataset" and data["groups"] == [
        {"group": "/", "samples": 40, "n_features": 4, "features": list(ODD), "classes": list(ODD[:3])}], data
    assert {"path": "/x", "shape": [40, 4], "type": "float32"} in data["arrays"]
    model = told(folder, "info", "run/model.h5")
    assert (model["type"], model["n_parameters"], model["classes"]) == ("model", 67, list(ODD[:3]))
    assert model["parameters"][0]["path"] == "/model/0-dense/W" and model["parameters"][0]["shape"] == [8, 4]
    assert model["config"]["train"]["epochs"] == 2 and "progress" not in model
    saved = told(folder, "info", "run/checkpoints/best.h5")
    assert saved["type"] == "checkpoint" and saved["progress"]["best_epoch"] in (1, 2) and saved["optimizer"]


def names_that_are_not_utf8(folder):
    harness.write_arrays(folder / "data.h5", {"x": X, "y": Y})
    with h5py.File(folder / "data.h5", "a") as file:
        file["y"].attrs["classes"] = numpy.array([b"gr\xf6\xdfe", b"\xff", b"ok \xe2\x82"], dtype="S8")
    result = run(folder, "info", "data.h5", "--json")
    if result.code == 0:
        names = json.loads(result.out)["groups"][0].get("classes")
        assert names in (None, ["gr\ufffd\ufffde", "\ufffd", "ok \ufffd\ufffd"]), names
    else:
        result.exits(3)


# ------------------------------------------------------------------------------- runs

def lines(folder, path="run"):
    result = run_well(folder, "info", path)
    found = result.out.splitlines()
    result.must(len(found) == 5, "it prints five lines")
    return found


def finished_and_stopped(folder):
    train(folder)
    first, progress, best, speed, resume = lines(folder)
    assert first == "run: finished" and progress == "progress     epoch 2 of 2, step 8 of 8 (100 %)", (first, progress)
    assert re.fullmatch(r"best         epoch [12]: val_loss [\d.]+", best), best
    assert re.fullmatch(r"speed        \d+ samples/s, [\d.]+ s per epoch", speed), speed
    assert "not needed" in resume and "run/model.h5" in resume
    state = told(folder, "info", "run")
    assert (state["state"], state["epoch"], state["steps"], state["resume"]) == ("finished", 2, 8, None), state
    config = (folder / "run/config.yaml").read_text()
    (folder / "run/config.yaml").write_text(config.replace("epochs: 2", "epochs: 5", 1))
    (folder / "a b").mkdir()
    shutil.move(folder / "run", folder / "a b/o'clock")
    first, progress, _, speed, resume = lines(folder, "a b/o'clock")
    assert first == "a b/o'clock: stopped" and "epoch 2 of 5, step 8 of 20 (40 %)" in progress, (first, progress)
    assert "; the rest takes about 0 s" in speed, speed
    command = resume.removeprefix("resume       lockstep ")
    harness.execute(folder, "bash", "-c", f"{harness.PROGRAM} {command}").exits(0)
    assert lines(folder, "a b/o'clock")[1] == "progress     epoch 5 of 5, step 20 of 20 (100 %)"


def without_checkpoints(folder):
    """The log has the end; a run cannot continue, and no command starts it anew."""
    train(folder)
    shutil.rmtree(folder / "run/checkpoints")
    first, *_, resume = lines(folder)
    assert first == "run: finished" and "not needed" in resume, (first, resume)
    os.remove(folder / "run/model.h5")
    first, *_, resume = lines(folder)
    assert first == "run: stopped" and "not possible" in resume, (first, resume)


def locked(folder):
    train(folder)
    lock = folder / "run/lock"
    lock.write_text(LOCK.format("elsewhere"))
    first, *_, resume = lines(folder)
    assert first == "run: unknown: perhaps used by process 7 on elsewhere, since 2026-01-01 10:00:00 +0000", first
    with open(lock, "r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        first, *_, resume = lines(folder)
        assert first == "run: running, process 7 on elsewhere, since 2026-01-01 10:00:00 +0000", first
        assert "if it stops: lockstep train run/config.yaml --output run" in resume, resume
    lock.write_text(LOCK.format(socket.gethostname()))
    assert lines(folder)[0] == "run: finished", "the owner is dead"
    lock.write_text("")
    assert lines(folder)[0].startswith("run: unknown"), "an empty lock"
    assert lock.exists() and json.loads(run_well(folder, "info", "run", "--json").out)["state"] == "unknown"


def damaged(folder):
    train(folder)
    for path in (folder / "run/checkpoints").glob("step-*"):  # best.h5 is another name of one of them
        harness.flip_byte(path)
    result = run(folder, "info", "run").exits(0)
    result.must("resume       not possible" in result.out and "run: stopped" in result.out, "it cannot be resumed")
    with open(folder / "run/metrics.csv", "a") as file:
        file.write("3,12,")
    run(folder, "info", "run").exits(0).says("epoch 2 of 2")
    (folder / "run/metrics.csv").write_text("no table\n1\n")
    run(folder, "info", "run").exits(3).says("metrics.csv")
    os.remove(folder / "run/metrics.csv")
    os.remove(folder / "run/config.yaml")
    run(folder, "info", "run").exits(0).says("unknown before the end of an epoch", "no epoch has ended")


def without_best(folder):
    """Epochs have ended, but none is known to be the best."""
    train(folder)
    table = (folder / "run/metrics.csv").read_text()
    head, *rows = [line.split(",") for line in table.splitlines()]
    column = head.index("val_loss")
    changed = [head, *([*row[:column], "nan", *row[column + 1:]] for row in rows)]
    (folder / "run/metrics.csv").write_text("".join(",".join(row) + "\n" for row in changed))
    assert lines(folder)[2] == "best         unknown: metrics.csv has no value of val_loss"
    assert told(folder, "info", "run")["best"] is None
    (folder / "run/metrics.csv").write_text(table)
    os.remove(folder / "run/config.yaml")
    assert lines(folder)[2] == "best         unknown: config.yaml, which names the monitor, is missing or not valid"


def other_directories(folder):
    (folder / "empty").mkdir()
    (folder / "foreign").mkdir()
    (folder / "foreign/x.txt").write_text("")
    for name in ("empty", "foreign"):
        run(folder, "info", name).exits(3).says("not a run directory")
    run(folder, "info", "missing", "--json").exits(3).says("missing")


TESTS = [(test.__name__.replace("_", " "), test) for test in (
    check_as_json, bad_data_as_json, info_as_json, names_that_are_not_utf8, finished_and_stopped, without_checkpoints, locked, damaged, without_best,
    other_directories)]

if __name__ == "__main__":
    harness.main(TESTS)
