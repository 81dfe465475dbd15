/* What the environment says about the launcher. MPI changes these variables when it starts, so they are
 * read before. */
#include "internal.h"

#include <stdlib.h>

/* The number of ranks: mpirun of Open MPI, of MPICH and Intel MPI, of MVAPICH; srun (absent in a batch
 * script). */
static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                    "SLURM_STEP_NUM_TASKS", NULL};

/* The number of a rank; that of a single rank is 0. */
static const char *const ranks[] = {"PMIX_RANK", "PMI_RANK", NULL};

static char several[80]; /* "NAME: VALUE" that says that there are several ranks; "": none does */

/* Finds the first of the variables whose number is above `most`. */
static void find_above(const char *const *names, long most) {
  for (; !several[0] && *names; names++) {
    const char *const text = getenv(*names);
    if (text && strtol(text, NULL, 10) > most) snprintf(several, sizeof several, "%s: %s", *names, text);
  }
}

void comm_launcher_read(void) {
  find_above(sizes, 1);
  find_above(ranks, 0);
}

const char *ls_comm_unknown_launcher(const ls_comm *comm) {
  return comm->size == 1 && several[0] ? several : NULL;
}
