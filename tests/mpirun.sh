#!/usr/bin/env bash
# Runs a program at N ranks on this machine, for any number of cores: mpirun.sh N PROGRAM [ARGUMENT...]
# Works with Open MPI 4 (whose variables begin with OMPI_MCA_) and Open MPI 5 (whose launcher reads PRTE_MCA_).
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: mpirun.sh N PROGRAM [ARGUMENT...]" >&2
  exit 2
fi
ranks=$1
shift

# Variables, not options, so that the command line has only what all MPI libraries know.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:OVERSUBSCRIBE
# Unbound: otherwise two ranks may share one core while another is idle.
export OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
export OMPI_MCA_mpi_yield_when_idle=1 # waiting ranks leave the core to others
export OMPI_MCA_btl_base_warn_component_unused=0
# Containers forbid copies between processes, which causes a warning.
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_smsc=^cma
export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
export MPIEXEC_TIMEOUT=${MPIEXEC_TIMEOUT:-600} # seconds; ends all ranks, so that none is left behind

# Open MPI 4.1 removes its folder of a user when the user's last run ends. A run that starts at that moment fails, so this
# empty folder keeps it from being removed.
host=$(uname -n)
mkdir -p "${OMPI_MCA_orte_tmpdir_base:-${TMPDIR:-/tmp}}/ompi.${host%%.*}.$(id -u)/kept"

# Only the ranks get glibc's filling of freed memory: with it, one mpirun of Open MPI 4.1 in four crashes when it cleans up
# after an abort.
if [[ -n ${MALLOC_PERTURB_:-} ]]; then
  set -- env MALLOC_PERTURB_="$MALLOC_PERTURB_" "$@"
  unset MALLOC_PERTURB_
fi

exec mpirun -n "$ranks" "$@"
