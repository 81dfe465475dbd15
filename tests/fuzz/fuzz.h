/* Functions that all fuzz targets use. A target must read any input or reject it with an error of the
 * expected kind; anything else ends the process. A target reads and writes files in the current folder.
 *
 * Targets have the entry points of libFuzzer (LLVM). Linked with driver.c, they are programs. */
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

/* Checks the result of an input, which must be LS_OK, or `refusal` with a message. Anything else is a
 * finding. */
void fuzz_verdict(ls_status status, ls_status refusal);

/* The number of inputs that were read without an error. */
extern uint64_t fuzz_n_read;

#endif
