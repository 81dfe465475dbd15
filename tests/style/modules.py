"""Dependencies point downwards: a module includes its own files, the modules that modules.txt allows it, the C
library, and the external headers that it alone uses. The functions that files use of each other form no cycle,
not even inside a module."""

import re
import subprocess

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


def symbols(object_file):
    """(functions that an object file defines for others, symbols that it uses of others)."""
    listing = subprocess.run(["nm", "-P", object_file], capture_output=True, text=True, check=True).stdout
    names = [line.split()[:2] for line in listing.splitlines()]
    return {name for name, kind in names if kind in "TW"}, {name for name, kind in names if kind in "Uw"}


def uses():
    """File of src -> {file of src that it uses -> the name of one function}."""
    tables = {path: symbols(object_file) for path, object_file in tree.object_files().items() if path.parts[0] == "src"}
    home = {name: path for path, (defined, _) in tables.items() for name in defined}
    return {path: {home[name]: name for name in sorted(used) if home.get(name, path) != path}
            for path, (_, used) in tables.items()}


def cycles(graph):
    """One shortest cycle through each file that is on any, each cycle once."""
    found = {}
    for start in sorted(graph):
        paths, seen = [[start]], set()
        while paths:
            path = paths.pop(0)
            for following in sorted(graph[path[-1]]):
                if following == start:
                    found.setdefault(frozenset(path), path)
                    paths = []
                    break
                if following not in seen:
                    seen.add(following)
                    paths.append([*path, following])
    return found.values()


def describe(path, graph):
    steps = zip(path, [*path[1:], path[0]])
    return "cycle: " + ", ".join(f"{user} uses {graph[user][used]} of {used}" for user, used in steps)


MODULES, EXTERNAL, wrong = read_matrix()
GRAPH = uses()
wrong += [describe(path, GRAPH) for path in cycles(GRAPH)]
inside = [path for path in tree.c_files() if path.parts[0] in ("src", "include") and "examples" not in path.parts]
tree.finish(wrong + [error for path in inside for error in check(path)], len(inside))
