/* What the recorder writes and the replay reads: the calls that changed a folder, in their order. */
#ifndef LOCKSTEP_TESTS_RECORDING_H
#define LOCKSTEP_TESTS_RECORDING_H

#include <stdint.h>

/* Kinds of calls. Those from CALL_MALLOC on are only made to fail, never recorded. */
typedef enum call {
  CALL_OPEN,
  CALL_WRITE,
  CALL_TRUNCATE,
  CALL_FSYNC,
  CALL_RENAME,
  CALL_LINK,
  CALL_UNLINK, /* folders too */
  CALL_MKDIR,
  CALL_CLOSE,
  CALL_MALLOC,
  CALL_READ,
  CALL_LOCK,
  CALLS
} call;

/* A call that succeeded; its path, its other path and its data follow, without an end of their own. Paths
 * are relative to the folder. */
typedef struct event {
  uint32_t kind;        /* call */
  int32_t descriptor;   /* of open, write, truncate, fsync, close */
  uint32_t flags;       /* of open */
  uint32_t path_bytes;  /* of open, fsync (where a folder is synced), rename, link, unlink, mkdir */
  uint32_t other_bytes; /* the new path of rename and link */
  uint32_t data_bytes;  /* of write */
  uint64_t offset;      /* of write; of truncate: the new length */
} event;

#endif
