"""Kernels built for different processors give the same bits, so that ranks on such processors keep the same parameters.
Convolutions and products of few rows do so on all processors with fused multiplications.

  same_bits.py PROGRAM...    the library's own choice first, then PROGRAM_<level> for each level"""

import pathlib
import subprocess
import sys

# What a processor must have, as the kernel names it, to run a build for the level.
NEEDS = {"v1": [], "v3": ["avx2", "bmi2", "fma"], "v4": ["fma", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]}


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return set(next((line.split(":")[1] for line in lines if line.startswith("flags")), "").split())


def digests(program):
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()


first, *levels = sys.argv[1:]
want, flags, compared = digests(first), processor(), 0
assert len(want) > 40, want
errors = []
for program in levels:
    if not flags.issuperset(NEEDS[program.rsplit("_", 1)[1]]):
        print(f"{program}: not for this processor")
        continue
    got = digests(program)
    compared += 1
    assert len(got) == len(want), program
    fused = "fma" in NEEDS[program.rsplit("_", 1)[1]] or not flags.issuperset(NEEDS["v3"])
    errors += [f"{program}: {b}, but {a.split()[-1]} by {first}" for a, b in zip(want, got)
               if a != b and (fused or not a.startswith(("conv ", "product ")))]
print("\n".join(errors) or f"{len(want)} kernels, {compared + 1} builds: the same bits")
if not compared:
    sys.exit(77)
sys.exit(1 if errors else 0)
