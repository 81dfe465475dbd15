"""GCC vectorises every loop of a function marked CLONES in src/math at -O3, except those listed here.

A loop whose body is another loop, perhaps after definitions of constants, counts together with it: one of the two must be
vectorised."""

import platform
import re
import subprocess

import tree

# The compiler's options by processor, and the number of scalar loops by function.
LEVELS = {"x86_64": ["-march=x86-64-v3"], "aarch64": []}
SCALAR = {"softmax": 1} # the maximum of a row, which must keep NaN
FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-DLS_NO_CLONES", "-O3", "-ffp-contract=off", "-fno-math-errno",
         "-fno-trapping-math", "-fno-semantic-interposition", "-fopt-info-vec-optimized"]


def compiler(path):
    """The compiler of the build. Skips the test unless it is GCC: other compilers report loops in other forms."""
    command = tree.compile_commands()[path].split()
    name = next(word for word in command if not word.endswith("ccache"))
    version = subprocess.run([name, "--version"], capture_output=True, text=True).stdout
    if "Free Software Foundation" not in version:
        tree.skip(f"{name} is not GCC")
    return name


def vectorised(path):
    """Lines whose loop the compiler vectorised."""
    run = subprocess.run([compiler(path), *FLAGS, *LEVELS[platform.machine()], f"-I{tree.ROOT}/include", "-c", path,
                          "-o", "/dev/null"], cwd=tree.ROOT, capture_output=True, text=True)
    if run.returncode:
        tree.finish([run.stderr], 1)
    return {int(line) for line in re.findall(r":(\d+):\d+: optimized: loop vectorized", run.stderr)}


def kernels(path):
    """Returns for each function marked CLONES its nests of loops: the lines of `for` that follow each other."""
    found, nests, outer = {}, None, ""
    for number, line in enumerate((tree.ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("CLONES "):
            nests = found.setdefault(re.search(r"(\w+)\(", line)[1], [])
        elif line == "}":
            nests = None
        elif nests is not None and re.search(r"\bfor \(", line):
            is_inner = re.match(r" *for ", outer) and not outer.endswith(";")
            if not is_inner:
                nests.append([])
            nests[-1].append(number)
        if not re.fullmatch(r" *const .*;", line):
            outer = line
    return found


def check(path):
    good = vectorised(path)
    scalar = {name: [nest for nest in nests if good.isdisjoint(nest)] for name, nests in kernels(path).items()}
    return [f"{path}:{nests[-1][-1]}: {name}: {len(nests)} loops are not vectorised, {SCALAR.get(name, 0)} expected"
            for name, nests in scalar.items() if len(nests) > SCALAR.get(name, 0)]


if platform.machine() not in LEVELS:
    tree.skip(f"no compiler options are listed for {platform.machine()}")
sources = [path for path in tree.c_files() if path.parts[:2] == ("src", "math") and path.suffix == ".c"]
n_kernels = sum(len(kernels(path)) for path in sources)
assert n_kernels > 20, "the kernels were not found in src/math"
tree.finish([error for path in sources for error in check(path)], n_kernels)
