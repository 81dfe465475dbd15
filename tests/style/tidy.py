"""clang-tidy has no finding in any source that the build compiles.

  tidy.py           the analyzer visits at most NODES states from each function, which takes a sixth of the time
  tidy.py --deep    as many as clang's default

The checks are in .clang-tidy. `clang-tidy-14 -p build FILE` prints the analyzer's path to a finding. Sources without findings are
recorded in the build folder, and are checked again only after a change of the source, its headers, its command or the checks."""

import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys

import tree

TIDY = [tree.need("clang-tidy-14"), "--quiet", "-p", tree.BUILD,
        # Options of GCC that clang does not know are no fault of the sources.
        "--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-ignored-optimization-argument"]
DEEP = "--deep" in sys.argv[1:]
NODES = 15000  # clang's default is 225000
if not DEEP:
    TIDY += [f"--extra-arg={word}" for word in ("-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={NODES}")]

KNOWLEDGE = f"--extra-arg=-include{tree.ROOT}/tests/style/analyzer.h"
# They define the functions that analyzer.h describes, or include no header of the project.
WITHOUT_KNOWLEDGE = ("src/base/status.c", "src/comm/agree.c", "tests/keep_loaded.c", "tests/disk/recorder.c", "tests/mpi/nodes.c",
                     "tests/mpi/slow.c")


def check(name):
    knowledge = [] if name in WITHOUT_KNOWLEDGE else [KNOWLEDGE]
    run = subprocess.run([*TIDY, *knowledge, name], cwd=tree.ROOT, capture_output=True, text=True)
    findings = [line for line in run.stdout.splitlines() if ": error: " in line or ": warning: " in line]
    return (findings or [run.stdout + run.stderr]) if run.returncode else []


def headers_of(objects):
    """Source -> the headers of the project that it includes, as ninja has recorded them; absent if it is not compiled."""
    listing = subprocess.run(["ninja", "-C", tree.BUILD, "-t", "deps"], capture_output=True, text=True).stdout
    found = {}
    for block in listing.split("\n\n"):
        name, *lines = block.splitlines() or [""]
        paths = [os.path.normpath(tree.BUILD / line.strip()) for line in lines]
        found[tree.BUILD / name.split(":")[0]] = [path for path in paths if path.startswith(f"{tree.ROOT}/")]
    return {str(path): found[object_] for path, object_ in objects.items() if object_ in found}


def keys():
    """Source -> a digest of all that its findings depend on."""
    checks = [path for path in tree.files() if path.name == ".clang-tidy"]
    common = [*(tree.ROOT / path for path in checks), tree.ROOT / "tests/style/analyzer.h", __file__]
    version = subprocess.run([TIDY[0], "--version"], capture_output=True, text=True).stdout
    commands, headers = tree.compile_commands(), headers_of(tree.object_files())
    for path, command in commands.items():
        texts = [open(name, "rb").read() for name in [*common, tree.ROOT / path, *headers.get(str(path), [])]]
        digest = hashlib.sha256("\0".join([version, command]).encode())
        for text in texts:
            digest.update(hashlib.sha256(text).digest())
        yield str(path), digest.hexdigest() if str(path) in headers else None


record = tree.BUILD / ("tidy-deep.json" if DEEP else "tidy.json")
passed = set(json.loads(record.read_text())) if record.exists() else set()
wanted = dict(sorted(keys()))
sources = [name for name, key in wanted.items() if key not in passed]
mistakes = []
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for name, found in zip(sources, pool.map(check, sources)):
        mistakes += found
        if not found and wanted[name]:
            passed.add(wanted[name])
            record.write_text(json.dumps(sorted(passed & {key for key in wanted.values() if key})))
print(f"{len(sources)} sources have changed")
tree.finish(mistakes, len(wanted))
