/* The event file of a run, which TensorBoard reads: records in the format of TFRecord.
 *
 * A record is the length of its data (8 bytes), the masked CRC of these bytes (4), the data, and the masked
 * CRC of the data (4); numbers begin with the lowest byte. The data are an Event in the format of Protocol
 * Buffers (tensorflow/core/util/event.proto): wall_time = 1 (double), step = 2, file_version = 3,
 * summary = 5. The first record has the version and no step; each further one belongs to an epoch. */
#include "internal.h"
#include "lockstep/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define VERSION    "brain.Event:2"
#define MASK_DELTA 0xA282EAD8U

enum { WALL_TIME = 1, STEP = 2, FILE_VERSION = 3, SUMMARY = 5 };

/* The bytes of a number. */
static void put_number(uint64_t value, size_t size, unsigned char *out) {
  for (size_t i = 0; i < size; i++) out[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get_number(const unsigned char *bytes, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; i++) value |= (uint64_t)bytes[i] << 8 * i;
  return value;
}

/* Continues a CRC-32C, which begins and ends inverted: polynomial 0x1EDC6F41, lowest bit first. The table
 * has the remainders of 4 bits. */
static uint32_t add_crc(uint32_t crc, const unsigned char *bytes, size_t size) {
  static const uint32_t table[16] = {0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
                                     0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
                                     0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75};
  for (size_t i = 0; i < size; i++) {
    crc = table[(crc ^ bytes[i]) & 15U] ^ crc >> 4;
    crc = table[(crc ^ bytes[i] >> 4) & 15U] ^ crc >> 4;
  }
  return crc;
}

static uint32_t mask_crc(uint32_t crc) {
  crc = ~crc;
  return (crc >> 15 | crc << 17) + MASK_DELTA;
}

static uint32_t masked_crc(const unsigned char *bytes, size_t size) {
  return mask_crc(add_crc(~0U, bytes, size));
}

/* ---------------------------------------------------------------------- writing */

/* A failure remains in the state of the stream. */
static void write_record(const ls_protobuf *event, FILE *file) {
  unsigned char head[12];
  unsigned char tail[4];
  put_number(event->size, 8, head);
  put_number(masked_crc(head, 8), 4, head + 8);
  put_number(masked_crc(event->bytes, event->size), 4, tail);
  fwrite(head, sizeof head, 1, file);
  fwrite(event->bytes, event->size, 1, file);
  fwrite(tail, sizeof tail, 1, file);
}

static void add_time(ls_protobuf *event) {
  struct timespec now = {0};
  clock_gettime(CLOCK_REALTIME, &now);
  ls_protobuf_double(event, WALL_TIME, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
}

static ls_status append(const ls_rundir *dir, const ls_protobuf *event) {
  FILE *file = NULL;
  LS_TRY(ls_protobuf_status(event, dir->events));
  LS_TRY(ls_rundir_begin_rows(dir, dir->events, &file));
  write_record(event, file);
  return ls_rundir_end_rows(dir->events, file);
}

ls_status ls_rundir_append_event(const ls_rundir *dir, uint64_t step, const ls_protobuf *summary) {
  ls_protobuf event = {0};
  ls_status status = ls_protobuf_status(summary, dir->events);
  if (status == LS_OK) {
    add_time(&event);
    ls_protobuf_varint(&event, STEP, step);
    ls_protobuf_bytes(&event, SUMMARY, summary->bytes, summary->size);
    status = append(dir, &event);
  }
  ls_protobuf_destroy(&event);
  return status;
}

static ls_status append_version(const ls_rundir *dir) {
  ls_protobuf event = {0};
  add_time(&event);
  ls_protobuf_text(&event, FILE_VERSION, VERSION);
  const ls_status status = append(dir, &event);
  ls_protobuf_destroy(&event);
  return status;
}

/* --------------------------------------------------------------------- removing */

/* The step of an event that begins with its time, as all do that this file writes; 0 if it has none.
 * start: (size) its first bytes */
static uint64_t step_of(const unsigned char *start, size_t size) {
  uint64_t step = 0;
  if (size < 10 || start[9] != STEP << 3) return 0;
  for (size_t i = 10; i < size && i < 20; i++) {
    step |= (uint64_t)(start[i] & 0x7FU) << 7 * (i - 10);
    if (start[i] < 0x80) break;
  }
  return step;
}

/* Reads the next record. *length: its bytes. False at the end of the file, and for a record that is
 * truncated or damaged. */
static bool read_record(FILE *file, uint64_t *step, uint64_t *length) {
  unsigned char bytes[4096];
  uint32_t crc = ~0U;
  if (fread(bytes, 12, 1, file) != 1 || get_number(bytes + 8, 4) != masked_crc(bytes, 8)) return false;
  const uint64_t size = get_number(bytes, 8);
  for (uint64_t at = 0; at < size; at += sizeof bytes) {
    const size_t n = size - at < sizeof bytes ? (size_t)(size - at) : sizeof bytes;
    if (fread(bytes, n, 1, file) != 1) return false;
    if (at == 0) *step = step_of(bytes, n);
    crc = add_crc(crc, bytes, n);
    ls_heartbeat();
  }
  *length = size + 16;
  return fread(bytes, 4, 1, file) == 1 && get_number(bytes, 4) == mask_crc(crc);
}

/* Whether the header of a record begins at the position of the file or later. */
static bool finds_record(FILE *file) {
  unsigned char head[12];
  if (fread(head, sizeof head, 1, file) != 1) return false;
  while (get_number(head, 8) >> 48 != 0 || get_number(head + 8, 4) != masked_crc(head, 8)) {
    memmove(head, head + 1, sizeof head - 1);
    if (fread(head + sizeof head - 1, 1, 1, file) != 1) return false;
    ls_heartbeat();
  }
  return true;
}

/* *kept: the bytes of the records up to a step. *is_damaged: whether they end at a damaged record that has
 * further ones behind it. A kill or a power failure leaves none behind a truncated record. */
static ls_status measure(const char *path, FILE *file, uint64_t last, uint64_t *kept, bool *is_damaged) {
  uint64_t step = 0;
  uint64_t length = 0;
  bool is_read = false;
  while ((is_read = read_record(file, &step, &length)) && step <= last) *kept += length;
  if (!is_read && !ferror(file)) {
    if (fseeko(file, (off_t)*kept + 1, SEEK_SET) != 0) return rundir_fail_path(path);
    *is_damaged = finds_record(file);
  }
  return ferror(file) ? rundir_fail_path(path) : LS_OK;
}

static ls_status truncate_file(const char *path, FILE *file, uint64_t size) {
  LS_TRY(ls_store_may_change());
  const bool is_done = ftruncate(fileno(file), (off_t)size) == 0 && ls_store_sync_file(fileno(file), path);
  return is_done ? LS_OK : rundir_fail_path(path);
}

/* Renames a damaged file, whose first `kept` bytes are valid: readers of event files ignore the new name.
 */
static ls_status put_aside(const ls_rundir *dir, uint64_t kept) {
  char *path = NULL;
  for (int i = 1; !path || ls_rundir_exists(path); i++) {
    free(path);
    path = ls_format("%s/events.damaged-%d", dir->folder, i);
    if (!path) return ls_fail_memory("a path", strlen(dir->folder));
  }
  ls_status status = ls_store_may_change();
  if (status == LS_OK && rename(dir->events, path) != 0) status = rundir_fail_path(path);
  if (status == LS_OK)
    ls_log(LS_LOG_WARNING,
           "%s: the record at byte %llu is damaged; the file was renamed to %s and a new one begins",
           dir->events, (unsigned long long)kept, path);
  free(path);
  return status;
}

/* Keeps the records up to a step. *kept: their bytes; 0 if the file must be created. */
static ls_status reset_file(const ls_rundir *dir, FILE *file, uint64_t step, uint64_t *kept) {
  bool is_damaged = false;
  if (step > 0) LS_TRY(measure(dir->events, file, step, kept, &is_damaged));
  if (!is_damaged) return truncate_file(dir->events, file, *kept);
  LS_TRY(put_aside(dir, *kept));
  *kept = 0;
  return LS_OK;
}

ls_status ls_rundir_reset_events(const ls_rundir *dir, uint64_t step) {
  uint64_t kept = 0;
  FILE *const file = fopen(dir->events, "r+");
  if (!file && errno != ENOENT) return rundir_fail_path(dir->events);
  if (file) {
    const ls_status status = reset_file(dir, file, step, &kept);
    fclose(file);
    LS_TRY(status);
  }
  if (kept > 0) return LS_OK;
  LS_TRY(append_version(dir));
  return ls_store_sync_name(dir->events);
}
