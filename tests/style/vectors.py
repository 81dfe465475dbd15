"""GCC vectorises every loop of a function marked CLONES in src/math at -O3, except those listed here."""

import platform
import re
import subprocess

import tree

# Processors whose vectors are to be used, and loops that stay scalar: how many, by function.
LEVELS = {"x86_64": ["-march=x86-64-v3"], "aarch64": []}
SCALAR = {"softmax": 1,            # the largest of a row, in which a NaN must not get lost
          "ls_math_sum_squares": 1} # the inner one, which is unrolled into the outer
FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-DLS_NO_CLONES", "-O3", "-ffp-contract=off", "-fno-math-errno",
         "-fno-trapping-math", "-fno-semantic-interposition", "-fopt-info-vec-optimized"]


def compiler(path):
    """The build's own, where it is GCC: other compilers tell of their loops in other words."""
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
    """Of each function marked CLONES: name and the lines of its loops."""
    found, lines = {}, None
    for number, line in enumerate((tree.ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("CLONES "):
            lines = found.setdefault(re.search(r"(\w+)\(", line)[1], [])
        elif line == "}":
            lines = None
        elif lines is not None and re.search(r"\bfor \(", line):
            lines.append(number)
    return found


def check(path):
    good = vectorised(path)
    scalar = {name: [line for line in lines if line not in good] for name, lines in kernels(path).items()}
    return [f"{path}:{lines[-1]}: {name}: {len(lines)} loops are not vectorised, {SCALAR.get(name, 0)} expected"
            for name, lines in scalar.items() if len(lines) > SCALAR.get(name, 0)]


if platform.machine() not in LEVELS:
    tree.skip(f"nothing is known of the vectors of {platform.machine()}")
sources = [path for path in tree.c_files() if path.parts[:2] == ("src", "math") and path.suffix == ".c"]
n_kernels = sum(len(kernels(path)) for path in sources)
assert n_kernels > 20, "the kernels are not where they are looked for"
tree.finish([mistake for path in sources for mistake in check(path)], n_kernels)
