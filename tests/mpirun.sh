#!/usr/bin/env bash
# Runs a program at N ranks on this machine, however few cores it has: mpirun.sh N PROGRAM [ARGUMENT...]
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: mpirun.sh N PROGRAM [ARGUMENT...]" >&2
  exit 2
fi
ranks=$1
shift

# Settings by environment, not by option, leave the command line to MPI's common part.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none # else two ranks may share one core beside an idle one
export OMPI_MCA_mpi_yield_when_idle=1          # waiting ranks let the others work
export OMPI_MCA_btl_base_warn_component_unused=0
export OMPI_MCA_btl_vader_single_copy_mechanism=none # containers forbid it, with a warning
export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
export MPIEXEC_TIMEOUT=${MPIEXEC_TIMEOUT:-200} # seconds; ends all ranks, so that none is left behind

# Open MPI 4.1 removes its folder of a user when the last run of his ends, maybe while another begins, which then fails:
# so it is never empty.
host=$(uname -n)
mkdir -p "${OMPI_MCA_orte_tmpdir_base:-${TMPDIR:-/tmp}}/ompi.${host%%.*}.$(id -u)/kept"

# glibc's filling of freed memory is for the ranks alone: with it Open MPI 4.1's mpirun, cleaning up after an abort,
# crashes on its own once in four times.
if [[ -n ${MALLOC_PERTURB_:-} ]]; then
  set -- env MALLOC_PERTURB_="$MALLOC_PERTURB_" "$@"
  unset MALLOC_PERTURB_
fi

exec mpirun -n "$ranks" "$@"
