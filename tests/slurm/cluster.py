"""A Slurm cluster on one machine, for tests of batch jobs: `with Cluster(3) as cluster`.

Its nodes are hosts of tests/hosts, which share only the network and the files; one more host runs slurmctld and submits jobs.
Several clusters do not interfere: each has its own addresses and processes. Nothing is left behind, however the owner ends: all
processes of a host end with it, and a process that waits for that removes the folder.

cluster.py NODES COMMAND... runs a command, such as a shell, on the host that submits jobs.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hosts"))
import hosts
from hosts import Impossible

TOOLS = {"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge"}
PATIENCE = float(os.environ.get("LOCKSTEP_PATIENCE", "1"))
DEADLINE = 600.0 * PATIENCE # seconds; only ends what hangs
PAUSE = 0.2                # between two polls

# Without cgroups, which a container may not have. A requeued job waits for as long as a credential lives (cred_expire).
CONFIG = """
ClusterName=lockstep
SlurmctldHost={controller}({controller_address})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
TmpFS=/dev/shm
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
MinJobAge=3600
SlurmdTimeout=10
KillWait=30
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=10 State=UP
"""
NODE = "NodeName={name} NodeAddr={address} CPUs={cpus} RealMemory=1000 State=UNKNOWN"

# Removes the folder when the owner has ended. Repeats that, because the daemons may still be writing.
KEEPER = 'echo ready; read -r _; until rm -rf "$1" 2>/dev/null; do sleep 0.1; done'

# Each "node" has all cores of this machine and would bind its ranks to the first ones. None: not set.
SETTINGS = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "PRTE_ALLOW_RUN_AS_ROOT": "1",
            "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "TMPDIR": "/dev/shm", "OMPI_MCA_mpi_yield_when_idle": "1",
            "MPIEXEC_TIMEOUT": None, "OMPI_MCA_hwloc_base_binding_policy": "none",
            "OMPI_MCA_rmaps_base_mapping_policy": "slot", "PRTE_MCA_hwloc_default_binding_policy": "none",
            "PRTE_MCA_rmaps_default_mapping_policy": "slot", "OMPI_MCA_smsc": "^cma",
            "OMPI_MCA_btl_vader_single_copy_mechanism": "none", "OMPI_MCA_btl_base_warn_component_unused": "0"}


def await_that(holds, what, told=lambda: ""):
    """Polls until it holds; fails after the deadline, with the text that `told` returns."""
    end = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not after {DEADLINE:.0f} s: {what}\n{told()}")
        time.sleep(PAUSE)


def slurm_version():
    """(year, month). From 23.11 on, slurmd loads its cgroup plugin unless cgroup.conf disables it."""
    text = subprocess.run(["slurmd", "-V"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.search(r"(\d+)\.(\d+)", text).groups()))


def need_all():
    hosts.need_all()
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            raise Impossible(f"{tool} is not installed (Debian: {package})")


class Cluster:
    """A cluster of `n` nodes, each with `cpus` processors according to Slurm; a context manager."""

    def __init__(self, n, cpus=8):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lockstep-slurm-"))
        self.keeper = hosts.held(["setsid", "sh", "-c", KEEPER, "keeper", str(self.folder)])
        self.bed, self.daemons = None, []
        try:
            self.bed = hosts.Hosts(n + 1)
            *self.nodes, self.controller = self.bed.hosts
            self.configure(cpus)
            self.start()
        except BaseException:
            self.end()
            raise

    def configure(self, cpus):
        for name in ("munge", "state", "log", *(f"spool.{node.name}" for node in self.nodes)):
            (self.folder / name).mkdir(mode=0o755)
        self.folder.chmod(0o755) # all users must reach munged's socket
        key = self.folder / "munge/key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        nodes = [NODE.format(name=node.name, address=f"10.77.0.{node.number}", cpus=cpus) for node in self.nodes]
        (self.folder / "slurm.conf").write_text(CONFIG.format(
            folder=self.folder, controller=self.controller.name,
            controller_address=f"10.77.0.{self.controller.number}", nodes="\n".join(nodes)))
        if slurm_version() >= (23, 11):
            (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        names = self.folder / "hosts"  # without it, each daemon waits for a name server that is out of reach
        names.write_text("127.0.0.1 localhost\n" +
                         "".join(f"10.77.0.{host.number} {host.name}\n" for host in self.bed.hosts))
        for host in self.bed.hosts:
            host.run("mount", "--bind", str(names), "/etc/hosts")

    def start(self):
        munge = self.folder / "munge"
        self.daemon(self.controller, "munged", "--foreground", "--force", f"--key-file={munge}/key",
                    f"--socket={munge}/socket", f"--seed-file={munge}/seed", f"--pid-file={munge}/pid",
                    f"--log-file={munge}/log")
        await_that((munge / "socket").exists, "munged", self.logs)
        self.daemon(self.controller, "slurmctld", "-D", "-i")
        for node in self.nodes:
            self.daemon(node, "slurmd", "-D")
        await_that(lambda: self.run("sinfo", "-h", "-N", "-t", "idle").stdout.count("\n") == len(self.nodes),
                   "slurmctld and slurmd", self.logs)

    def inside(self, host, words, folder=".", settings=None):
        spaces = [*host.inside(), f"--pid=/proc/{host.process.pid}/ns/pid_for_children"]
        variables = {"SLURM_CONF": f"{self.folder}/slurm.conf", **SETTINGS, **(settings or {})}
        unset = [f"--unset={key}" for key, value in variables.items() if value is None]
        settings = [f"{key}={value}" for key, value in variables.items() if value is not None]
        return [*spaces, "env", f"--chdir={os.path.abspath(folder)}", *unset, *settings, *map(str, words)]

    def daemon(self, host, *words):
        with open(self.folder / f"log/{words[0]}.{host.name}", "w", encoding="utf-8") as log:
            self.daemons.append(subprocess.Popen(self.inside(host, words), stdin=subprocess.DEVNULL, stdout=log,
                                                 stderr=log, start_new_session=True))

    def logs(self):
        return "".join(f"{path.name}:\n{path.read_text()}" for path in sorted((self.folder / "log").iterdir()))

    def end(self):
        if self.bed:
            self.bed.end()
        for process in self.daemons:
            process.wait()
        self.keeper.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def run(self, *words, folder=".", settings=None):
        """Runs a command in a folder on the host that submits jobs."""
        return subprocess.run(self.inside(self.controller, words, folder, settings), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=DEADLINE)

    def client(self, *words, **how):
        """The same for a command that must not fail; returns its output."""
        done = self.run(*words, **how)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def submit(self, *words, **how):
        """Calls sbatch with these arguments; returns the job number."""
        return self.client("sbatch", "--parsable", *words, **how).strip()

    def job(self, number):
        """The properties of a job in Slurm: JobState, Restarts, ExitCode and more."""
        words = self.client("scontrol", "show", "job", "--oneliner", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def lose(self, node):
        """A node goes down as if its power were off, without notice."""
        node.run("ip", "link", "set", "eth0", "down")
        node.process.stdin.close()


def main():
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} NODES COMMAND...")
    try:
        need_all()
    except Impossible as why:
        sys.exit(f"cannot create a cluster: {why}")
    with Cluster(int(sys.argv[1])) as cluster:
        done = subprocess.run(cluster.inside(cluster.controller, sys.argv[2:]), check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
