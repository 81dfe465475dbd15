"""Includes point downwards: a module includes its own files, the modules that modules.txt allows it, the C
library, and the external headers that it alone uses."""

import re

import tree

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def read_matrix():
    """(module -> modules it may include, module -> its external headers, errors in the matrix itself)."""
    modules, external, errors = {}, {"*": set()}, []
    for line in (tree.ROOT / "tests/style/modules.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        left, _, right = line.partition("|")
        module, *uses = left.split()
        errors += [f"modules.txt: {module} uses {used}, which is not above it" for used in uses if used not in modules]
        external.setdefault(module, set()).update(right.split())
        if module != "*":
            modules[module] = set(uses)
    return modules, external, errors


def module_of(path):
    """The module of src/<module>/<file> or include/lockstep/<module>.h; None outside."""
    if path.parts[0] == "src" and len(path.parts) == 3:
        return path.parts[1]
    if path.parts[:2] == ("include", "lockstep"):
        return path.stem
    return None


def complaint(path, module, bracket, name):
    """Why the file may not include this, or None."""
    if name.startswith("lockstep/"):
        used = name[len("lockstep/"):-len(".h")]
        allowed = bracket == '"' and (used == module or used in MODULES[module])
    elif bracket == '"':
        allowed = path.parts[0] == "src" and (tree.ROOT / path.parent / name).is_file() and "/" not in name
    else:
        allowed = name in EXTERNAL["*"] or name in EXTERNAL[module]
    return None if allowed else f"{path}: module {module} may not include {name}"


def check(path):
    module = module_of(path)
    if module not in MODULES:
        return [f"{path}: its module is not in modules.txt"]
    found = INCLUDE.findall((tree.ROOT / path).read_text())
    return [text for bracket, name in found if (text := complaint(path, module, bracket, name))]


MODULES, EXTERNAL, wrong = read_matrix()
inside = [path for path in tree.c_files() if path.parts[0] in ("src", "include")]
tree.finish(wrong + [error for path in inside for error in check(path)], len(inside))
