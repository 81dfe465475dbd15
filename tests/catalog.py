"""The tests of a build folder as meson knows them: their names, suites and what they check.

  catalog.py list BUILD...         a line for each test: name, suite, the first sentence of its source
  catalog.py find NAME BUILD       the meson names of the tests that NAME selects, a line each; exit code 1 if none
  catalog.py failed LOG            the meson names of the tests that failed, from meson's testlog.json, a line each

A name selects a test with or without `test_`, `.py` and the number of ranks: `skip` and `test_skip.py at 3` are both valid.
Several builds list a test once.
"""

import json
import os
import pathlib
import re
import subprocess
import sys


def introspect(build, what):
    done = subprocess.run(["meson", "introspect", what, str(build)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def sources(build):
    """The program of a test -> its first source."""
    return {name: files["sources"][0] for target in introspect(build, "--targets") for name in target["filename"]
            for files in target["target_sources"][:1] if files.get("sources")}


def summary(path):
    """The first sentence of a file's docstring or comment."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    found = re.search(r'^"""(.*?)"""|^/\*(.*?)\*/', text, re.DOTALL | re.MULTILINE)
    words = " ".join(re.sub(r"^\s*\*", "", found[1] or found[2], flags=re.MULTILINE).split()) if found else ""
    return re.split(r"(?<=[\w)])\.(?: |$)", words, maxsplit=1)[0]


def entries(build):
    """(name, suite, summary) of each test."""
    build = os.path.abspath(build)
    programs = sources(build)
    for test in introspect(build, "--tests"):
        words = [os.path.join(build, word) if os.path.join(build, word) in programs else word for word in test["cmd"]]
        words = [word for word in words if word in programs or "/tests/" in word and word.endswith(".py")]
        path = programs.get(words[0], words[0]) if words else ""
        yield test["name"], test["suite"][0].rpartition(":")[2], summary(os.path.join(build, path)) if path else ""


def short(name):
    """A name without `test_` and `.py`."""
    return re.sub(r"^test_|\.py\b", "", name)


def selects(wanted, name):
    base, _, ranks = name.partition(" at ")
    wanted_base, _, wanted_ranks = wanted.partition(" at ")
    return short(base) == short(wanted_base) and wanted_ranks in ("", ranks)


def main():
    command, *words = sys.argv[1:]
    if command == "list":
        found = {entry[0]: entry for build in reversed(words) for entry in entries(build)}
        width = max(map(len, found))
        for name, suite, text in sorted(found.values(), key=lambda entry: (entry[1], entry[0])):
            print(f"{name:{width}}  {suite:6}  {text}")
    elif command == "failed":
        for line in pathlib.Path(words[0]).read_text(encoding="utf-8").splitlines():
            test = json.loads(line)
            if test["result"] not in ("OK", "EXPECTEDFAIL", "SKIP"):
                print(test["name"].rpartition(" / ")[2])
    else:
        names = [name for name, _, _ in entries(words[1]) if selects(words[0], name)]
        print(*names, sep="\n", end="\n" if names else "")
        sys.exit(0 if names else 1)


main()
