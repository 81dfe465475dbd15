/* source: a foreign file as a stream of bytes, gzipped or not. */
#ifndef LOCKSTEP_IMPORT_SOURCE_H
#define LOCKSTEP_IMPORT_SOURCE_H

#include "lockstep/base.h"

#include <zlib.h>

typedef struct source {
  const char *path; /* borrowed */
  gzFile gz;
  uint64_t bytes; /* of the file as it lies on the disk */
} source;

/* Local. Opens a regular file. A failed source needs no import_source_close, but bears one. */
ls_status import_source_open(source *in, const char *path);

/* Local. Reads `bytes` bytes; fewer (*got) only at the end of the file. A gzip stream that is damaged or
 * cut short is an error, checked up to its end when *got < bytes. */
ls_status import_source_read(source *in, void *buffer, size_t bytes, size_t *got);

/* Local. Back to the first byte, also after a failed read. */
ls_status import_source_rewind(source *in);

/* Local. The most bytes that this file can give: its size, or what deflate can make of it at most. */
uint64_t import_source_limit(source *in);

void import_source_close(source *in);

#endif
