"""Batch jobs in Slurm: a preempted, requeued or cancelled job, or one that loses a node, resumes to the same result.

They use scripts/slurm/train.sbatch, srun and mpirun."""

import contextlib
import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import cluster
from cluster import await_that

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("mpi", "cli", "hosts")]
import harness
import hosts
import runs
from harness import ROOT, Failure

SCRIPT = ROOT / "scripts/slurm/train.sbatch"
CONFIG, DATA, MODEL, OUTPUT, NUMERIC, STOPPED, LOST_NODE = 2, 3, 4, 5, 6, 75, 205
PREEMPTIONS = 3

# Trains without end. The logged losses show whether a step was repeated or omitted.
ENDLESS = """
output: run
seed: 5
data: {{train: '{root}/datasets/digits/digits.h5:/train', validation: 0.2}}
model: [{{layer: dense, units: 16, activation: tanh}}, {{layer: dropout, rate: 0.2}},
        {{layer: dense, units: 10, activation: softmax}}]
loss: categorical_cross_entropy
optimizer: {{type: momentum, lr: 0.02}}
checkpoint: {{every_epochs: 0, every_steps: 100, keep: 3}}
train: {{epochs: 1000000, batch_size: 64, reproducible: true, log_every: 1{more}}}
"""


def write_config(folder, more=""):
    (folder / "net.yaml").write_text(ENDLESS.format(root=ROOT, more=more))


def must(holds, *what):
    if not holds:
        raise Failure("\n".join(map(str, what)))


def steps(folder, run="run"):
    """The lines of train.log for each step, without the time of day: (step, text)."""
    log = folder / run / "train.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(match[1]), match[2]) for line in lines if (match := re.search(r" step (\d+)  (epoch .*)", line))]


def processes_of(folder):
    """Processes whose environment contains the folder: number -> name."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError): # it has ended
            if f"={folder}".encode() in (path / "environ").read_bytes():
                found[int(path.name)] = (path / "comm").read_text().strip()
    return found


class Job:
    """A job of train.sbatch, submitted in the folder with options of sbatch and arguments of lockstep train."""

    def __init__(self, slurm, folder, *words, options=(), settings=None):
        self.slurm, self.folder = slurm, folder
        self.number = slurm.submit(*options, "--output=out", SCRIPT, *words, folder=folder, settings=settings)

    def info(self):
        return self.slurm.job(self.number)

    def told(self):
        """The properties of the job in Slurm, and its output without the steps."""
        out = self.folder / "out"
        lines = out.read_text().splitlines() if out.exists() else []
        return "\n".join([str(self.info()), *(line for line in lines if not line.startswith(("step", "epoch")))])

    def is_in(self, state, restarts):
        info = self.info()
        must(info["JobState"] not in ("FAILED", "CANCELLED", "TIMEOUT", "COMPLETED"), self.told())
        return info["JobState"] == state and info["Restarts"] == str(restarts)

    def at_work(self, restarts=0):
        """Waits until the job trains after this number of restarts; returns the newest step."""
        await_that(lambda: self.is_in("RUNNING", restarts), f"restart {restarts} of job {self.number}")
        before = len(steps(self.folder))
        await_that(lambda: self.is_in("RUNNING", restarts) and len(steps(self.folder)) > before + 50,
                   f"steps of job {self.number}")
        return steps(self.folder)[-1][0]

    def ends(self, state, code):
        await_that(lambda: self.info()["JobState"] not in ("RUNNING", "COMPLETING", "PENDING"), f"job {self.number}",
                   self.told)
        info = self.info()
        must((info["JobState"], info["ExitCode"]) == (state, f"{code}:0"), f"must be {state} with {code}", self.told(),
             self.slurm.logs())
        return info

    def signal(self, *words):
        self.slurm.client("scancel", *words, self.number)

    def cancel(self):
        self.signal()
        await_that(lambda: not self.slurm.client("squeue", "-h", "-j", self.number), "the end of its processes")
        must(self.info()["JobState"] == "CANCELLED", self.told())


def must_have_each_step_once(folder):
    numbers = [number for number, _ in steps(folder)]
    must(numbers == list(range(1, len(numbers) + 1)), f"{len(numbers)} lines of {len(set(numbers))} steps")


def must_be_as_if_undisturbed(folder):
    """Compares the run in the folder with an undisturbed run on one rank. With lanes, the number of ranks has no effect."""
    logged = steps(folder)
    last = max(step for step, _ in logged)
    write_config(folder, f", max_steps: {last}")
    harness.run(folder, "train", "net.yaml", "-o", "whole").exits(0)
    ours, theirs = (runs.Checkpoint(folder / run / f"checkpoints/step-{last:08}.h5") for run in ("run", "whole"))
    must(not ours.different(theirs), f"step {last}", ours.different(theirs))
    for file in ("model.h5", "checkpoints/best.h5"):
        ours, theirs = (runs.Checkpoint(folder / run / file) for run in ("run", "whole"))
        must(not ours.different(theirs), file, ours.different(theirs))
    header, rows = harness.read_csv(folder / "run/metrics.csv")
    clock = [header.index(column) for column in ("seconds", "samples_per_second")]
    tables = [[[word for i, word in enumerate(row) if i not in clock] for row in table]
              for table in (rows, harness.read_csv(folder / "whole/metrics.csv")[1])]
    must(tables[0] == tables[1] and len(rows) > 1, f"metrics.csv of {last} steps: {len(rows)} rows")
    whole = steps(folder, "whole")
    must(sorted(set(logged)) == whole and len(whole) == last, f"{len(set(logged))} different steps are logged, expected {last}")


def two_nodes(slurm, folder, *words):
    return Job(slurm, folder, "net.yaml", *words, options=("--nodes=2", "--ntasks-per-node=1"))


def preempted_and_requeued(slurm, folder):
    """After preemptions, every step was taken once, also with --overwrite, which applies to the first start. Then the job is
    requeued by scontrol; it repeats the steps that were not saved."""
    write_config(folder)
    job = two_nodes(slurm, folder, "--overwrite")
    for restarts in range(PREEMPTIONS):
        job.at_work(restarts)
        job.signal("--batch", "--signal=USR1")
    job.at_work(PREEMPTIONS)
    must_have_each_step_once(folder)
    slurm.client("scontrol", "requeue", job.number)
    await_that(lambda: not job.is_in("RUNNING", PREEMPTIONS), "requeue")
    write_config(folder, f", max_steps: {max(steps(folder))[0] + 200}")
    info = job.ends("COMPLETED", 0)
    must(info["Restarts"] == str(PREEMPTIONS + 1), job.told())
    must((folder / "out").read_text().count("lockstep 0.") == PREEMPTIONS + 2, "one first line per start", job.told())
    must(not (folder / "run/lock").exists(), "the lock must be removed")
    must_be_as_if_undisturbed(folder)


def signal_ranks(folder, number):
    for process, name in processes_of(folder).items():
        if name == "lockstep":
            os.kill(process, number)


def has_pending(folder, number):
    """Whether the ranks, which are stopped, have received a signal."""
    def mask(process):
        with contextlib.suppress(OSError):
            status = pathlib.Path(f"/proc/{process}/status").read_text()
            return int(re.search(r"ShdPnd:\s*(\w+)", status)[1], 16)
        return 0
    return any(mask(process) >> (number - 1) & 1 for process, name in processes_of(folder).items() if name == "lockstep")


def must_resume(job, folder):
    """The job was restarted, and it resumes."""
    job.at_work(1)
    must_have_each_step_once(folder)
    job.cancel()


def out_of_time(slurm, folder):
    """Slurm checks the time limit twice a minute and sends USR1 to the script. The rank is stopped until then."""
    write_config(folder)
    job = Job(slurm, folder, "net.yaml", options=("--nodes=1", "--ntasks-per-node=1", "--signal=B:USR1@25"))
    job.at_work()
    signal_ranks(folder, signal.SIGSTOP)
    slurm.client("scontrol", "update", f"JobId={job.number}", "EndTime=now+50")
    await_that(lambda: has_pending(folder, signal.SIGUSR1), "a signal", job.told)
    signal_ranks(folder, signal.SIGCONT)
    must_resume(job, folder)


def signal_to_all(slurm, folder):
    """The script, mpirun and all ranks receive the signal."""
    write_config(folder)
    job = two_nodes(slurm, folder)
    job.at_work()
    job.signal("--full", "--signal=USR1")
    must_resume(job, folder)


def signal_at_once(slurm, folder):
    """A signal while mpirun starts the ranks; mpirun loses the signal or is killed by it."""
    write_config(folder)
    job = two_nodes(slurm, folder)
    await_that(lambda: {"mpirun", "prterun"} & {*processes_of(folder).values()}, "mpirun")
    job.signal("--batch", "--signal=USR1")
    await_that(lambda: not job.is_in("RUNNING", 0), "restart")
    write_config(folder, f", max_steps: {max(steps(folder), default=(0,))[0] + 40}")
    must(job.ends("COMPLETED", 0)["Restarts"] == "1", job.told())
    must_be_as_if_undisturbed(folder)


def cancelled(slurm, folder):
    """A cancelled job is not restarted, and the next job can use the directory."""
    write_config(folder)
    job = two_nodes(slurm, folder)
    job.at_work()
    job.cancel()
    must(job.info()["Restarts"] == "0", job.told())
    write_config(folder, f", max_steps: {max(steps(folder))[0] + 50}")
    two_nodes(slurm, folder).ends("COMPLETED", 0)
    must_be_as_if_undisturbed(folder)


def sweep(slurm, folder):
    """Each task has its own directory. A missing line and an open quotation are errors."""
    write_config(folder, ", max_steps: 20")
    (folder / "lr.v1.txt").write_text("optimizer.lr=0.5\noptimizer.lr=0.25 'optimizer={type: adam, lr: 0.125}'\n"
                                      "optimizer.lr=0.1 'optimizer={type: sgd\n")
    options = ("--nodes=1", "--ntasks-per-node=1", "--array=1-4")
    number = slurm.submit(*options, "--output=out.%a", SCRIPT, "--sweep", "./lr.v1.txt", "net.yaml", folder=folder)
    await_that(lambda: not slurm.client("squeue", "-h", "-j", number), "the sweep")
    told = "".join(path.read_text() for path in sorted(folder.glob("out.*")))
    configs = [folder / f"runs/lr.v1-{task}/config.yaml" for task in (1, 2)]
    must(sorted((folder / "runs").iterdir()) == [path.parent for path in configs], told)
    rates = [re.search(r"^ +lr: (.*)$", path.read_text(), re.MULTILINE)[1] for path in configs]
    must(list(map(float, rates)) == [0.5, 0.125], rates, told)
    must(all(f"lr.v1.txt: line {task}:" in told for task in (3, 4)), told)


SWEEP = """
base: net.yaml
output: out_sweep
parameters: {{optimizer.lr: [0.01, 0.02, 0.03, 0.04]}}
search: grid
monitor: val_loss
"""


def hyper_parameter_search(slurm, folder):
    """A requeued sweep resumes all its trials; a job array gives the same table, and a last job merges its parts."""
    (folder / "sweep.yaml").write_text(SWEEP.format())
    settings = {"LOCKSTEP_SCRIPTS": str(SCRIPT.parent)}
    script = SCRIPT.parent / "sweep.sbatch"
    options = ("--nodes=2", "--ntasks-per-node=1", "--output=out")
    write_config(folder)
    number = slurm.submit(*options, script, "sweep.yaml", folder=folder, settings=settings)
    logs = [f"out_sweep/trials/000{trial}" for trial in (0, 1)]
    await_that(lambda: all(len(steps(folder, log)) > 50 for log in logs), "two trials")
    slurm.client("scancel", "--batch", "--signal=USR1", number)
    await_that(lambda: slurm.job(number)["Restarts"] == "1" and slurm.job(number)["JobState"] == "RUNNING", "restart")
    before = [len(steps(folder, log)) for log in logs]
    await_that(lambda: all(len(steps(folder, log)) > n + 50 for log, n in zip(logs, before)), "the same trials again")
    for log in logs:
        numbers = [step for step, _ in steps(folder, log)]
        must(numbers == list(range(1, len(numbers) + 1)), f"{log}: each step once")
    slurm.client("scancel", number)
    await_that(lambda: not slurm.client("squeue", "-h", "-j", number), "the end of its processes")
    write_config(folder, ", max_steps: 20")
    for words in (("--output", "one"), ("--array=2-3", "--output", "two"), ("--output", "two")):
        array = [word for word in words if word.startswith("--array")]
        number = slurm.submit("--nodes=1", "--ntasks-per-node=1", "--output=log.%j", *array, script, "sweep.yaml",
                              *(word for word in words if word not in array), folder=folder, settings=settings)
        await_that(lambda number=number: not slurm.client("squeue", "-h", "-j", number), "the sweep")
    told = "".join(path.read_text() for path in sorted(folder.glob("log.*")))
    tables = [[row[:-2] for row in harness.read_csv(folder / name / "trials.csv")[1]] for name in ("one", "two")]
    must(tables[0] == tables[1] and len(tables[0]) == 4, tables, told)
    must((folder / "two/best.yaml").exists() and told.count("after all parts") == 2, told)


def mpirun_starts_at_the_second_attempt(slurm, folder):
    """If the second attempt fails too, the job fails."""
    (folder / "bin").mkdir()
    real = shutil.which("mpirun")
    for times, state, code in ((1, "COMPLETED", 0), (2, "FAILED", 1)):
        write_config(folder, f", max_steps: {20 * times}")
        script = f'#!/bin/sh\necho >> tried\n[ $(wc -l < tried) -gt {times} ] || exit 1\nexec {real} "$@"\n'
        (folder / "bin/mpirun").write_text(script)
        (folder / "bin/mpirun").chmod(0o755)
        (folder / "tried").unlink(missing_ok=True)
        settings = {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
        job = Job(slurm, folder, "net.yaml", options=("--nodes=1", "--ntasks-per-node=1"), settings=settings)
        job.ends(state, code)
        must((folder / "out").read_text().count("mpirun cannot start") == times, job.told())


def a_rank_has_its_cores(slurm, folder):
    """A rank has as many threads as cores for any OPENBLAS_NUM_THREADS, if the script sets Open MPI's mapping and binding."""
    if len(os.sched_getaffinity(0)) < 2:
        raise harness.Skip("this machine has only one core")
    own = {f"{prefix}_MCA_{name}": None for prefix, name in
           (("OMPI", "rmaps_base_mapping_policy"), ("OMPI", "hwloc_base_binding_policy"),
            ("PRTE", "rmaps_default_mapping_policy"), ("PRTE", "hwloc_default_binding_policy"))}
    for nodes, ranks, threads in ((1, 2, 1), (2, 1, 2)):
        inner = folder / str(threads)
        inner.mkdir()
        write_config(inner, ", max_steps: 20")
        options = (f"--nodes={nodes}", f"--ntasks-per-node={ranks}", f"--cpus-per-task={threads}")
        job = Job(slurm, inner, "net.yaml", "--set", "train.reproducible=false", options=options,
                  settings={**own, "OPENBLAS_NUM_THREADS": "4"})
        job.ends("COMPLETED", 0)
        must(f": 2 ranks x {threads} thread" in job.told(), job.told())
        log = (inner / "run/train.log").read_text()
        cores = [words.split(" | ") for words in re.findall(r" on cores? (\S.*)", log)]  # of each rank, by node
        must(len(cores) == nodes and all(len(set(node)) == ranks for node in cores), cores, log)
        must(all(count_cores(words) == threads for node in cores for words in node), cores, log)


def count_cores(words):
    """The number of cores in a list such as 0-1,4."""
    ends = [[int(end) for end in part.split("-")] for part in words.split(",")]
    return sum(end[-1] - end[0] + 1 for end in ends)


def errors(folder):
    """Exit code -> arguments of lockstep train that cause it."""
    (folder / "none.h5").write_bytes(b"nothing of the kind")
    return {CONFIG: ("--set", "train.epoch=1"), DATA: ("--set", "data.train=none.h5"),
            MODEL: ("--resume", str(folder / "none.h5")), OUTPUT: ("-o", "/proc/none/run"),
            NUMERIC: ("--set", "optimizer.lr=1e6", "--set", "loss=mse", "--set", "model=[{layer: dense, units: 1}]"),
            STOPPED: ("--set", "train.max_time=0.001")}


def codes_agree(slurm, folder):
    """Exit codes are the same with srun, mpirun and without Slurm. A failed job is not restarted."""
    write_config(folder, ", max_steps: 20")
    launchers = {"srun": ("srun", "-N2", "-n2", "--mpi=pmix"), "mpirun": ("salloc", "-N2", "-n2", "mpirun")}
    for code, words in errors(folder).items():
        for launcher, start in launchers.items():
            output = () if code == OUTPUT else ("-o", f"{launcher}-{code}")
            done = slurm.run(*start, harness.PROGRAM, "train", "net.yaml", *output, *words, folder=folder)
            must(done.returncode == code, f"{launcher}: {done.returncode} for {code}", done.stdout, done.stderr)
            must(done.stderr.count("lockstep: ") == 1, f"{launcher}, {code}: one message", done.stderr)
    job = Job(slurm, folder, "net.yaml", *errors(folder)[DATA], options=("--nodes=2", "--ntasks-per-node=1"))
    must(job.ends("FAILED", DATA)["Restarts"] == "0", job.told())


def srun_without_a_manager(slurm, folder):
    """Open MPI rejects tasks without a process manager; Lockstep rejects a job of several tasks without mpirun."""
    write_config(folder, ", max_steps: 20")
    train = (harness.PROGRAM, "train", "net.yaml")
    done = slurm.run("srun", "-N2", "-n2", "--mpi=none", *train, folder=folder)
    must(done.returncode != 0 and not (folder / "run").exists(), done.returncode, done.stdout, done.stderr)
    done = slurm.run("salloc", "-N2", "-n2", *train, folder=folder)
    must(done.returncode == CONFIG and "srun --mpi=pmix" in done.stderr, done.returncode, done.stdout, done.stderr)
    must(not (folder / "run").exists(), "no run directory may exist")
    alone = {"LOCKSTEP_SINGLE": "1"}
    done = slurm.run("salloc", "-N2", "-n2", *train, folder=folder, settings=alone)
    must(done.returncode == 0 and ": 1 rank x" in done.stdout, done.returncode, done.stdout, done.stderr)


def resumes_without_a_node(folder):
    """One of two nodes goes down; the third node replaces it."""
    write_config(folder)
    keepalive = {f"{prefix}_MCA_oob_tcp_keepalive_{key}": value for prefix in ("OMPI", "PRTE") for key, value in
                 (("time", "3"), ("intvl", "1"), ("probes", "3"))}
    with cluster.Cluster(3) as slurm:
        job = Job(slurm, folder, "net.yaml", options=("--nodes=2", "--ntasks-per-node=1"), settings=keepalive)
        job.at_work()
        slurm.lose(slurm.nodes[1])
        job.at_work(1)
        nodes = job.info()["NodeList"].split(",")
        must(nodes == [slurm.nodes[0].name, slurm.nodes[2].name], nodes)
        write_config(folder, f", max_steps: {max(steps(folder))[0] + 400}")
        job.signal("--batch", "--signal=USR1")
        job.ends("COMPLETED", 0)
        must_be_as_if_undisturbed(folder)


def nothing_stays_behind(folder):
    """If the owner of a cluster is killed, all its processes and its folder disappear."""
    words = (sys.executable, cluster.__file__, "1", "sleep", "1000")
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(folder)}) as owner:
        await_that(lambda: "sleep" in processes_of(folder).values(), "the cluster's command")
        started = set(processes_of(folder).values())
        owner.kill()
    must({"munged", "slurmctld", "slurmd"} <= started, started)
    await_that(lambda: not processes_of(folder), "the end of all processes")
    await_that(lambda: not list(folder.iterdir()), "the end of its folder")


SHARED = (out_of_time, preempted_and_requeued, signal_to_all, signal_at_once, cancelled, codes_agree, sweep, hyper_parameter_search,
          mpirun_starts_at_the_second_attempt, a_rank_has_its_cores, srun_without_a_manager)
OWN = (resumes_without_a_node, nothing_stays_behind)


def main():
    hosts.skip_where_impossible(cluster.need_all)
    with cluster.Cluster(2, cpus=16) as slurm:
        tests = [(test.__name__, functools.partial(test, slurm)) for test in SHARED]
        tests[2:2] = [(test.__name__, test) for test in OWN]
        harness.main(tests)


main()
