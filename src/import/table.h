/* table: imports one CSV file. */
#ifndef LOCKSTEP_IMPORT_TABLE_H
#define LOCKSTEP_IMPORT_TABLE_H

#include "lockstep/import.h"

/* Local. As ls_import, for one CSV file. */
ls_status import_table(const char *path, const ls_import_options *options, ls_import_summary *summary);

#endif
