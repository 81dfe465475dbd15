"""Shared by the style tests: the project's files, its compile commands, and the end of a test."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(os.environ.get("LOCKSTEP_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("LOCKSTEP_BUILD", ROOT / "build"))
SKIPPED = 77


def files():
    """The project's files as paths relative to its root: what git knows or would add; without git, all
    but build folders, runs and dot-files."""
    listing = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             capture_output=True, text=True) if shutil.which("git") else None
    if listing and listing.returncode == 0:
        names = {name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()}
    else:
        names = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()}
        names = {name for name in names if not name.startswith(("build", "runs/", ".")) and "__pycache__" not in name}
    return [pathlib.PurePath(name) for name in sorted(names)]


def c_files():
    return [path for path in files() if path.suffix in (".c", ".h")]


def compile_commands():
    """Source path relative to the root -> its command line in the build folder."""
    entries = json.loads((BUILD / "compile_commands.json").read_text())
    return {pathlib.PurePath(os.path.relpath(BUILD / entry["file"], ROOT)): entry["command"] for entry in entries}


def object_files():
    """Source path relative to the root -> its object file, of the first target that compiles it."""
    entries = json.loads((BUILD / "compile_commands.json").read_text())
    return {pathlib.PurePath(os.path.relpath(BUILD / entry["file"], ROOT)): BUILD / entry["output"]
            for entry in reversed(entries) if (BUILD / entry["output"]).is_file()}


def skip(why):
    print(f"{why}: skipped")
    sys.exit(SKIPPED)


def need(tool):
    """The tool's full path; ends the test as skipped where it is not installed."""
    found = shutil.which(tool)
    if not found:
        skip(f"{tool} is not installed")
    return found


def finish(errors, checked):
    """Prints the errors and ends the test; `checked` counts what was looked at, which must not be nothing."""
    for error in errors:
        print(error)
    print(f"{checked} checked, {len(errors)} against the rules")
    sys.exit(1 if errors or checked == 0 else 0)
