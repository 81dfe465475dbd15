#!/bin/sh
# agent.sh HOST COMMAND...: replaces ssh when mpirun starts its daemons on the hosts of hosts.py. A host name ends with the
# number of the process that holds the namespaces. As with ssh, a shell in a new session runs the words as one command
# line. Temporary files are stored in the memory of the host.
host=$1
shift
spaces=/proc/${host##*-}/ns
TMPDIR=/dev/shm exec nsenter --net="$spaces/net" --uts="$spaces/uts" --ipc="$spaces/ipc" --mount="$spaces/mnt" \
  --pid="$spaces/pid_for_children" setsid sh -c "$*"
