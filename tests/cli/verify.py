"""scripts/verify: all promises hold, a broken promise is reported, and an interrupted check leaves no files."""

import signal
import subprocess
import time

import harness

SCRIPT = harness.ROOT / "scripts/verify"

# Another seed at two ranks: another model.
OTHER_AT_TWO = """\
#!/bin/sh
if [ "$OMPI_COMM_WORLD_SIZE" = 2 ] && [ "$1" = train ]; then set -- "$@" --set seed=6; fi
exec "{program}" "$@"
"""

# Every run begins anew.
NEVER_RESUMES = """\
#!/bin/sh
if [ "$1" = train ]; then set -- "$@" --overwrite; fi
exec "{program}" "$@"
"""


def start(folder, *words, program=harness.PROGRAM):
    command = [str(SCRIPT), "--ranks", "1,2", "--run", f"{harness.MPIRUN} {{ranks}}", "--program", str(program),
               "--folder", str(folder), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
                            start_new_session=True)


def verify(folder, *words, **how):
    return harness.finish(start(folder, *words, **how))


def wrapped(folder, script):
    path = folder / "lockstep.sh"
    path.write_text(script.format(program=harness.PROGRAM))
    path.chmod(0o755)
    return path


def left(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith("lockstep-verify-")]


def holds(folder, *words):
    result = verify(folder, *words).exits(0)
    result.must(result.out.count("  yes  ") == len(words), "every promise must hold")
    result.must(not left(folder), "the folder of the runs must be gone")


# Together all of the promises, in two halves at a time.

def ranks_and_samples(folder):
    holds(folder, "to rounding", "last bit", "stopped and resumed", "every sample")


def stops_of_all_kinds(folder):
    holds(folder, "killed", "damaged", "resumed on other ranks")


def another_model_is_found(folder):
    result = verify(folder, "last bit", program=wrapped(folder, OTHER_AT_TWO)).exits(1)
    result.must(result.out.count("  NO  ") == 1, "one promise does not hold").says("2 ranks", "model.h5")


def a_new_beginning_is_found(folder):
    result = verify(folder, "damaged", program=wrapped(folder, NEVER_RESUMES)).exits(1)
    result.must(result.out.count("  NO  ") == 1, "one promise does not hold").says("step 35")


def an_interrupted_check_leaves_nothing(folder):
    process = start(folder)
    while process.poll() is None and not list(folder.glob("lockstep-verify-*/straight-1/run")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    result = harness.finish(process).exits(128 + signal.SIGINT)
    result.must(not left(folder), "the folder of the runs must be gone")


def nonsense_is_refused(folder):
    verify(folder, "no such promise").exits(2).says("promise")
    verify(folder, "--run", "mpirun").exits(2).says("--run", "{ranks}")
    verify(folder, "--program", "nowhere").exits(2).says("nowhere")


TESTS = [ranks_and_samples, stops_of_all_kinds, another_model_is_found, a_new_beginning_is_found,
         an_interrupted_check_leaves_nothing, nonsense_is_refused]

harness.main([(test.__name__.replace("_", " "), test) for test in TESTS])
