#!/bin/sh
# agent.sh HOST COMMAND...: what mpirun starts its daemons with on the hosts of hosts.py, in place of ssh. A host's name
# ends in the number of the process that holds its namespaces. As with ssh the words are one text for a shell there, in
# a session of its own. Temporary files go to the host's own memory.
host=$1
shift
spaces=/proc/${host##*-}/ns
TMPDIR=/dev/shm exec nsenter --net="$spaces/net" --uts="$spaces/uts" --ipc="$spaces/ipc" --mount="$spaces/mnt" \
  --pid="$spaces/pid_for_children" setsid sh -c "$*"
