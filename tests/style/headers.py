"""Each header compiles alone: a public one with nothing but include/ at hand, one beside sources with what these
are compiled with."""

import shlex
import subprocess

import tree

PUBLIC = ["cc", "-std=gnu17", "-Iinclude", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wvla", "-Werror"]


def command(header, commands):
    """The compiler and its options for a header, and the folder to run it in."""
    for source, line in commands.items():
        if source.parent == header.parent:
            words = shlex.split(line)
            return words[:words.index("-o")], tree.BUILD
    return PUBLIC, tree.ROOT


def check(header, commands):
    words, folder = command(header, commands)
    # Included from an empty source: a header as the main file is a warning of its own.
    run = subprocess.run([*words, "-fsyntax-only", "-include", tree.ROOT / header, "-x", "c", "/dev/null"],
                         cwd=folder, capture_output=True, text=True)
    return [f"{header} does not compile alone:\n{run.stderr}"] if run.returncode else []


headers = [path for path in tree.c_files() if path.suffix == ".h"]
known = tree.compile_commands()
tree.finish([mistake for header in headers for mistake in check(header, known)], len(headers))
