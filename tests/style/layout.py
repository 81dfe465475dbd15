"""The top level holds what the design names and nothing else, and no source or test is left out of the build."""

import tree

TOP = {"src", "include", "scripts", "datasets", "tests", "meson.build", "README.md", "LICENSE"}
SUITES = ("unit", "mpi", "hosts", "slurm", "cli", "disk", "faults", "style", "bench", "fuzz")
HELPERS = {"cli": ("harness.py", "page.py"), "faults": (), "style": ("tree.py",)}


def top_level(paths):
    names = {path.parts[0] for path in paths}
    return [f"{name}: not a name for the top level" for name in sorted(names - TOP) if not name.startswith(".")]


def not_compiled(paths):
    compiled = tree.compile_commands()
    return [f"{path}: not compiled; add it to the list in its meson.build" for path in paths
            if path.suffix == ".c" and path not in compiled]


def is_script(path):
    """Helpers that tests import or call have other names than test_*; in some folders each script but one is a test."""
    return len(path.parts) == 3 and path.parts[0] == "tests" and path.suffix in (".py", ".sh") and (
        path.name.startswith("test_") or path.parts[1] in HELPERS and path.name not in HELPERS[path.parts[1]])


def not_run(paths):
    lists = {suite: (tree.ROOT / "tests" / suite / "meson.build").read_text() for suite in SUITES}
    return [f"{path}: not run; add it to the list in its meson.build" for path in paths if is_script(path)
            and f"'{path.name}'" not in lists[path.parts[1]] and f"'{path.stem}'" not in lists[path.parts[1]]]


everything = tree.files()
tree.finish(top_level(everything) + not_compiled(everything) + not_run(everything), len(everything))
