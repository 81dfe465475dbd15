"""Builds test_infer with ThreadSanitizer, in a folder of its own, and runs it: 16 threads predict with one model, and open
models, at the same time."""

import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ.get("LOCKSTEP_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
TEST = "tests/unit/test_infer"


def run(*command):
    """Runs a command, whose output is printed if it fails."""
    print("$", *command, flush=True)
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode:
        sys.exit(f"{result.stdout}\nexit code {result.returncode}")


with tempfile.TemporaryDirectory() as build:
    # Without clones, the flags name the processor.
    flags = ["-Dc_args=-march=x86-64-v3"] if platform.machine() == "x86_64" else []
    run("meson", "setup", build, ROOT, "-Db_sanitize=thread", "-Db_lundef=false", "-Doptimization=1", "-Ddebug=true", *flags)
    run("nice", "ninja", "-C", build, TEST)
    # The sanitizer needs the usual places of memory.
    fixed = ["setarch", "-R"] if shutil.which("setarch") else []
    options = f"exitcode=99:halt_on_error=1:{os.environ.get('TSAN_OPTIONS', '')}"
    # Threads of BLAS, in the pass of the trainer, are not instrumented.
    settings = {**os.environ, "TSAN_OPTIONS": options, "OPENBLAS_NUM_THREADS": "1"}
    program = subprocess.run([*fixed, f"{build}/{TEST}"], env=settings, check=False)
sys.exit(program.returncode)
