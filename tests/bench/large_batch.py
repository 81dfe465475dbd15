#!/usr/bin/env python3
"""Test accuracy on Fashion-MNIST of adam at batch 128 and of lamb at batch 8,192, both with warm-up and cosine.

  tests/bench/large_batch.py LOCKSTEP [FASHION-MNIST.h5]

Fails if the accuracies differ by more than 0.005. Takes a few minutes on two cores. Any Python 3.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = ROOT / "datasets/fashion-mnist/dense.yaml"
COMMON = ("comm.threads=1", "train.epochs=30", "schedule={type: cosine, warmup_epochs: 3}")
SETUPS = {"adam, batch 128": (),
          "lamb, batch 8192": ("optimizer={type: lamb, lr: 0.015}", "train.batch_size=8192")}
LIMIT = 0.005


def accuracy(program, data, settings, folder):
    files = (f"data.train={data}:/train", f"data.test={data}:/test")
    words = [word for setting in (*COMMON, *files, *settings) for word in ("--set", setting)]
    run = subprocess.run([program, "train", CONFIG, "--overwrite", "--output", folder, *words], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    return float(re.search(r"^test: loss \S+  accuracy (\S+)", run.stdout, re.MULTILINE)[1])


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    data = pathlib.Path(sys.argv[2] if len(sys.argv) == 3 else CONFIG.parent / "fashion-mnist.h5").resolve()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in SETUPS.items():
            results[name] = accuracy(sys.argv[1], data, settings, f"{folder}/run")
            print(f"{name}: test accuracy {results[name]:.4f}", flush=True)
    difference = abs(results["adam, batch 128"] - results["lamb, batch 8192"])
    print(f"difference {difference:.4f}; must be at most {LIMIT}")
    return difference > LIMIT


if __name__ == "__main__":
    sys.exit(main())
