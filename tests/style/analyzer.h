/* Read before each source that clang-tidy checks. The analyzer sees one file at a time, and would otherwise
 * follow paths on which a failure is recorded yet LS_OK returned. */
#ifndef LOCKSTEP_ANALYZER_H
#define LOCKSTEP_ANALYZER_H

#include "lockstep/base.h"
#include "lockstep/comm.h"

#define ls_fail(status, ...)        ((ls_fail)((status), __VA_ARGS__), (status))
#define ls_fail_memory(what, bytes) ((ls_fail_memory)((what), (bytes)), LS_ERR_INTERNAL)

static inline ls_status analyzer_agree(ls_comm *comm, ls_status mine) {
  const ls_status all = ls_comm_agree(comm, mine);
  LS_ASSERT(all >= mine);
  return all;
}
#define ls_comm_agree(comm, mine) analyzer_agree((comm), (mine))

#endif
