"""Several hosts on one machine, for tests of what crosses a network: `with Hosts(2, rate="1gbit", delay=1000) as hosts`.

A host is a set of namespaces (network, host name, processes, mounts, System V memory) with a /dev/shm of its own, so
ranks on two hosts share nothing but the network and the files. Its eth0 sends at most `rate` (tc's token bucket) to a
switch (wire.c) that hands every frame over `delay` microseconds later. mpirun runs in a host of its own without ranks,
as on a login node, and starts its daemons by agent.sh.

Nothing stays behind, however the owner ends: each host's first process, and the switch, end with the pipe that the
owner holds; the kernel then ends all processes of the host, and namespaces, devices and /dev/shm go with them. The
kernel also ends mpirun.

Alone: hosts.py [--rate 1gbit] [--delay 1000] [--ranks 1,1] COMMAND... runs a command on ranks of such hosts.
"""

import argparse
import contextlib
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("LOCKSTEP_BUILD", ROOT / "build"))
WIRE = BUILD / "tests/hosts/wire"
AGENT = HERE / "agent.sh"
SKIPPED = 77

TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "taskset": "util-linux", "setpriv": "util-linux",
         "hostname": "hostname", "ip": "iproute2", "tc": "iproute2", "mpirun": "openmpi-bin"}
BURST = "128kb" # a frame that keeps its offloads has up to 64 KiB
SPACES = ("net", "uts", "ipc", "mnt")

# The same on all machines: the kernel's own sizes, and the only congestion control that every namespace may have (on so
# short a network the usual one, cubic, behaves like it).
TCP = {"tcp_congestion_control": "reno", "tcp_rmem": "4096 131072 6291456", "tcp_wmem": "4096 16384 4194304"}

# The host's own /proc where it has processes of its own; then it waits for the end of its input.
FIRST_PROCESS = "mount -t tmpfs tmpfs /dev/shm && ip link set lo up && echo ready && read -r _"

# Rank i runs on core FIRST + i of the machine, and round again: bound FIRST LIST COUNT PROGRAM...
BOUND = 'c=$(echo "$2" | cut -d, -f$((($1 + OMPI_COMM_WORLD_RANK) % $3 + 1))); shift 3; exec taskset -c "$c" "$@"'

# TCP between hosts, shared memory within. Waiting ranks leave the core to others.
SETTINGS = {"btl": "tcp,self,vader", "pml": "ob1", "btl_tcp_if_include": "eth0", "oob_tcp_if_include": "eth0",
            "mpi_yield_when_idle": "1", "btl_vader_single_copy_mechanism": "none", "btl_base_warn_component_unused": "0"}


def open_mpi_version():
    """The major version. Open MPI 5 has another launcher, PRRTE: its parameters have other names, and its daemon, too."""
    text = subprocess.run(["mpirun", "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"\(Open MPI\) (\d+)\.", text)[1])


@functools.cache
def launcher():
    """(the daemon that mpirun starts on each host, settings that make it use agent.sh)."""
    name = "ssh" if open_mpi_version() >= 5 else "rsh"
    return {"ssh": "prted", "rsh": "orted"}[name], {"plm": name, f"plm_{name}_agent": str(AGENT)}


class Impossible(Exception):
    """This machine or this user cannot create hosts; the text is the reason."""


class Broken(Exception):
    """A host could not be made, or a command on it failed."""


def need_all():
    """Raises Impossible if this machine or this user cannot create hosts, which a first one shows. Later errors are
    failures."""
    if os.geteuid() != 0:
        raise Impossible("only root can make network namespaces")
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            raise Impossible(f"{tool} is not installed (Debian: {package})")
    if not os.path.exists("/dev/net/tun"):
        raise Impossible("/dev/net/tun is not there")
    try:
        Hosts(1, rate="1gbit").end()
    except Broken as why:
        raise Impossible(str(why)) from why


def environment(deadline):
    """For mpirun, which ends its ranks after so many seconds."""
    return {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OPENBLAS_NUM_THREADS": "1",
            "PRTE_ALLOW_RUN_AS_ROOT": "1", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1", **os.environ,
            "MPIEXEC_TIMEOUT": str(deadline)}


def held(command):
    """Starts what runs until the pipe to it ends, and waits until it is ready."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if process.stdout.readline() != "ready\n":
        raise Broken(f"{command[0]}: {process.communicate()[1].strip()}")
    return process


def skip_where_impossible(need=need_all):
    """Ends a test as skipped, and says why."""
    try:
        need()
    except Impossible as why:
        print(f"skipped: {why}")
        sys.exit(SKIPPED)


class Host:
    """The namespaces of one host, and the process that holds them."""

    def __init__(self, label, number, has_ranks):
        own = ["--pid", "--fork", "--mount-proc"] if has_ranks else []
        self.process = held(["unshare", "--net", "--uts", "--ipc", "--mount", *own, "sh", "-c", FIRST_PROCESS])
        self.number = number
        self.name = f"{label}-{self.process.pid}"
        self.run("hostname", self.name)
        for name, value in TCP.items():
            self.run("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{name}")

    def inside(self, spaces=SPACES):
        names = {"mnt": "mount"}
        return ["nsenter", *(f"--{names.get(s, s)}=/proc/{self.process.pid}/ns/{s}" for s in spaces)]

    def run(self, *words):
        done = subprocess.run([*self.inside(), *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Broken(f"{' '.join(words)}: {done.stderr.strip()}")

    def connect(self, rate):
        """Its device is there: gives it addresses and limits it."""
        self.run("ip", "link", "set", "eth0", "address", f"02:00:00:00:00:{self.number:02x}")
        self.run("ip", "address", "add", f"10.77.0.{self.number}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        if rate:
            self.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", BURST, "latency", "100ms")


    def link(self, state):
        """Its device goes up or down."""
        self.run("ip", "link", "set", "eth0", state)

    def processes(self):
        """(pid, program) of all that run in it, its first process last; those that are dead but not waited for are not
        among them."""
        space = os.readlink(f"/proc/{self.process.pid}/ns/pid_for_children")
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(path / "ns/pid") == space:
                    program, rest = path.joinpath("stat").read_text().split("(", 1)[1].rsplit(")", 1)
                    found += [(int(path.name), program)] if rest.split()[0] != "Z" else []
        return sorted(found, reverse=True)


class Hosts:
    """`n` hosts, wired. For the `with` statement."""

    def __init__(self, n, rate=None, delay=0):
        self.held, self.hosts = [], []
        try:
            self.make(n, rate, delay)
        except BaseException:
            self.end()
            raise

    def make(self, n, rate, delay):
        for number in range(1, n + 2):
            label = f"host{number}" if number <= n else "login"
            self.hosts.append(Host(label, number, has_ranks=number <= n))
            self.held.append(self.hosts[-1].process)
        self.held.append(held([str(WIRE), str(delay), *(str(host.process.pid) for host in self.hosts)]))
        for host in self.hosts:
            host.connect(rate)
        self.login = self.hosts.pop()

    def cut(self, host):
        """From now on all frames of a host are lost without a word; or arrive again, the second time."""
        self.held[-1].stdin.write(chr(host.number))
        self.held[-1].stdin.flush()

    def end(self):
        for process in reversed(self.held):
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        for process in self.held:
            process.wait()
            process.stdout.close()
            process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def command(self, ranks, *words, settings=(), first_core=0):
        """mpirun of a program with so many ranks on each host, as in (1, 1); `settings` are further MCA parameters."""
        slots = ",".join(f"{host.name}:{n}" for host, n in zip(self.hosts, ranks) if n)
        cores = sorted(os.sched_getaffinity(0))
        values = {**SETTINGS, **launcher()[1], **dict(settings)}
        mca = [word for name, value in values.items() for word in ("--mca", name, value)]
        bound = ["sh", "-c", BOUND, "bound", str(first_core), ",".join(map(str, cores)), str(len(cores))]
        start = [*self.login.inside(), "env", "TMPDIR=/dev/shm", "setpriv", "--pdeathsig", "KILL", "mpirun"]
        return [*start, *mca, "--bind-to", "none", "--wdir", os.getcwd(), "--host", slots, "-n", str(sum(ranks)), *bound,
                *map(str, words)]

    def run(self, ranks, *words, settings=(), deadline=300):
        """Runs to the end; ends all of it, with an error, where that takes more than `deadline` seconds."""
        return subprocess.run(self.command(ranks, *words, settings=settings), env=environment(deadline),
                              capture_output=True, text=True, check=False, timeout=deadline + 20)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", help="of each host's link, as tc writes it: 1gbit (default: no limit)")
    parser.add_argument("--delay", type=int, default=0, help="microseconds from host to host")
    parser.add_argument("--ranks", default="1,1", help="on each host (default: %(default)s)")
    parser.add_argument("--mca", nargs=2, action="append", default=[], help="a further setting of Open MPI")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    ranks = [int(word) for word in options.ranks.split(",")]
    try:
        need_all()
    except Impossible as why:
        sys.exit(f"no hosts here: {why}")
    with Hosts(len(ranks), options.rate, options.delay) as hosts:
        done = hosts.run(ranks, *options.command, settings=options.mca, deadline=500)
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
