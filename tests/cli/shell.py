"""At a shell: manual pages and bash completion, which the build creates from the tables of commands and keys."""

import functools
import re
import shutil
import subprocess

import harness
from harness import BUILD, run_well

PAGES = BUILD / "src/app"

# Divides the words at `=` as readline does, unless BREAKS has none, and prints what _lockstep replies.
COMPLETE = r"""
source "$1"; COMP_WORDBREAKS=$2; shift 2
COMP_WORDS=()
for word; do
  while [[ $COMP_WORDBREAKS == *=* && $word == *=* ]]; do
    COMP_WORDS+=(${word%%=*} =); word=${word#*=}
    [[ $word ]] || continue 2
  done
  COMP_WORDS+=("$word")
done
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_lockstep
printf '%s\n' "${COMPREPLY[@]}"
"""


def completions(folder, *words, breaks="=: \t"):
    """The sorted completions of the last word of `lockstep WORDS`."""
    done = subprocess.run(["bash", "-u", "-c", COMPLETE, "bash", PAGES / "lockstep", breaks, "lockstep", *words], cwd=folder,
                          capture_output=True, text=True, check=True)
    assert done.stderr == "", done.stderr
    return sorted(done.stdout.split())


@functools.cache
def help_of(folder, *words):
    return run_well(folder, *words, "--help").out


def commands(folder):
    return re.findall(r"^  (?!lockstep )([\w-]+) ", help_of(folder), re.MULTILINE)


def options(folder, command):
    return re.findall(r"^  (?:-\w|  ) (--[\w-]+) ", help_of(folder, command), re.MULTILINE)


def keys(folder):
    return sorted(set(re.findall(r"^([a-z][\w.N]*)  ", run_well(folder, "keys").out, re.MULTILINE)))


def plain(text):
    """A text without the escapes of roff."""
    return re.sub(r"\\f[BRI]|\\&", "", text).replace(r"\-", "-").replace(r"\(aq", "'")


# ----------------------------------------------------------------------------- pages

def pages(folder):
    """Each command has a page with its options; each key is in the page of the config."""
    names = commands(folder)
    assert "train" in names and len(names) > 10, names
    found = {path.name for path in PAGES.glob("*.1")}
    assert found == {"lockstep.1", *(f"lockstep-{name}.1" for name in names)}, found
    main = plain((PAGES / "lockstep.1").read_text())
    for name in names:
        page = plain((PAGES / f"lockstep-{name}.1").read_text())
        told = re.findall(r"^\.TP\n(?:-\w, )?(--[\w-]+)", page, re.MULTILINE)
        assert told == [*options(folder, name), "--help"], (name, told)
        assert f"\n{name} " in main and f"lockstep-{name} (1)" in main, name
    listed = re.findall(r"^\.TP\n([\w.]+)$", plain((PAGES / "lockstep-config.5").read_text()), re.MULTILINE)
    assert sorted(set(listed)) == keys(folder), set(listed) ^ set(keys(folder))


def valid_pages(folder):
    if not shutil.which("groff"):
        raise harness.Skip("groff is not installed")
    for path in sorted(PAGES.glob("*.[15]")):
        done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", path], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == "", (path.name, done.stderr)
        assert len(done.stdout) > 100, path.name


# ------------------------------------------------------------------------ completion

def completion_of_words(folder):
    assert completions(folder, "") == sorted([*commands(folder), "--help", "--version"])
    assert completions(folder, "ex") == sorted(name for name in commands(folder) if name.startswith("ex"))
    for name in commands(folder):
        assert completions(folder, name, "-") == sorted([*options(folder, name), "--help"]), name
    assert completions(folder, "train", "c.yaml", "--o") == ["--output", "--overwrite"]
    assert completions(folder, "unknown", "-") == [] and completions(folder, "train", "--wrong=a") == []


def completion_of_values(folder):
    (folder / "runs").mkdir()
    (folder / "never.h5").write_text("")
    assert completions(folder, "train", "c.yaml", "--resume", "") == sorted(["auto", "never", "never.h5", "runs"])
    assert completions(folder, "train", "c.yaml", "--resume", "a") == ["auto"]
    assert completions(folder, "train", "-o", "r") == ["runs"]
    assert completions(folder, "evaluate", "--memory", "re") == ["resident"]
    for breaks, before in (("=: ", ""), (": ", "--memory=")):
        assert completions(folder, "evaluate", "--memory=s", breaks=breaks) == [before + "stream"]
        assert completions(folder, "evaluate", "--memory=", breaks=breaks) == [
            before + word for word in ("auto", "resident", "stream")]
    assert completions(folder, "train", "c.") == [], "readline completes files"
    script = f"source {PAGES / 'lockstep'}; complete -p lockstep"
    assert "-o default" in subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout


def completion_of_keys(folder):
    told = [key.replace("model.N", "model.0") + "=" for key in keys(folder)]
    assert completions(folder, "train", "c.yaml", "--set", "") == sorted(told)
    assert completions(folder, "check", "--set", "model.12.un") == ["model.12.units="]
    for breaks, before in (("=: ", ""), (": ", "optimizer.type=")):
        assert completions(folder, "train", "--set", "optimizer.type=adam", breaks=breaks) == [
            before + "adam", before + "adamw"]
        assert before + "sgd" in completions(folder, "train", "--set", "optimizer.type=", breaks=breaks)
    assert completions(folder, "train", "--set=train.reproducible=t") == ["true"]
    assert completions(folder, "train", "--set=train.reproducible=t", breaks=" ") == ["--set=train.reproducible=true"]
    assert completions(folder, "train", "--set", "model.3.activation=softp") == ["softplus"]
    assert completions(folder, "train", "--set", "train.batch_size=") == ["full"]
    assert completions(folder, "train", "--set", "loss=m") == completions(folder, "train", "--set", "loss.type=m") != []
    assert completions(folder, "train", "--set", "wrong.key=") == []


TESTS = [(f"{test.__name__.replace('_', ' ')}", test) for test in (
    pages, valid_pages, completion_of_words, completion_of_values, completion_of_keys)]

if __name__ == "__main__":
    harness.main(TESTS)
