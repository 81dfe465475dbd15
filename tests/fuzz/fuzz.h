/* What the fuzz targets share. A target takes any bytes and has to refuse or read them cleanly; what else
 * it does, such as a failure of the wrong kind, ends the process. It works on files of the current folder.
 *
 * Targets have the entry points of libFuzzer (LLVM), and are programs by themselves with driver.c. */
#ifndef LOCKSTEP_FUZZ_H
#define LOCKSTEP_FUZZ_H

#include "lockstep/base.h"
#include "lockstep/comm.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The only rank's communicator; NULL before the first fuzz_start_comm. */
extern ls_comm *fuzz_comm;
void fuzz_start_comm(void);

/* Writes an input to the file `name`. */
void fuzz_write(const char *name, const void *data, size_t size);

/* The verdict on an input: LS_OK, or a failure of the kind `refusal` with its message. All else is a
 * finding. */
void fuzz_verdict(ls_status status, ls_status refusal);

/* How many inputs were read, not refused. */
extern uint64_t fuzz_n_read;

#endif
