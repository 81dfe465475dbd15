"""clang-tidy finds nothing in any source that the build compiles. The checks stand in .clang-tidy. To see how
the analyzer came to a finding: clang-tidy-14 -p build FILE"""

import concurrent.futures
import os
import subprocess

import tree

TIDY = [tree.need("clang-tidy-14"), "--quiet", "-p", tree.BUILD,
        # Options of GCC that clang does not know are not the sources' fault.
        "--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-ignored-optimization-argument"]

KNOWLEDGE = f"--extra-arg=-include{tree.ROOT}/tests/style/analyzer.h"
# They define the functions that it tells of, or know no header of ours.
UNTOLD = ("src/base/status.c", "src/comm/agree.c", "tests/keep_loaded.c", "tests/disk/recorder.c")


def check(name):
    knowledge = [] if name in UNTOLD else [KNOWLEDGE]
    run = subprocess.run([*TIDY, *knowledge, name], cwd=tree.ROOT, capture_output=True, text=True)
    findings = [line for line in run.stdout.splitlines() if ": error: " in line or ": warning: " in line]
    return (findings or [run.stdout + run.stderr]) if run.returncode else []


sources = sorted(str(path) for path in tree.compile_commands())
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    tree.finish([mistake for found in pool.map(check, sources) for mistake in found], len(sources))
