/* pairs: imports IDX files of images and labels. */
#ifndef LOCKSTEP_IMPORT_PAIRS_H
#define LOCKSTEP_IMPORT_PAIRS_H

#include "lockstep/import.h"

/* Local. As ls_import, for IDX files. */
ls_status import_pairs(const char *const *sources, size_t n_sources, const ls_import_options *options,
                       ls_import_summary *summary);

#endif
