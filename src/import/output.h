/* import: what the parts of the output share. All functions are local. */
#ifndef LOCKSTEP_IMPORT_OUTPUT_H
#define LOCKSTEP_IMPORT_OUTPUT_H

#include "internal.h"

/* Appends `rows` rows of the block to the file of the split, and begins the next file if it is full. */
ls_status import_files_append(split *s, size_t rows);

/* Removes the files that do not have their final names. */
void import_files_destroy(output *out);

#endif
