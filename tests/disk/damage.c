/* Damages a model or checkpoint in many ways and opens each damaged copy:
 *
 *   damage FILE SCRATCH
 *
 * One bit of each byte is flipped, a different one from byte to byte; each 16-bit word is set to 0000 and
 * to FFFF; the file is truncated at each byte of the first 2 KiB and at each further 4 KiB, and extended by
 * zeros or by its own bytes. Each damage must be rejected with a message that names the file. */
#include "lockstep/checkpoint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER = 2048, PAGE = 4096 };

typedef struct damage {
  const char *path;
  int descriptor; /* of the copy at `path` that is damaged */
  unsigned char *data;
  size_t n;
  size_t n_tried, n_missed;
} damage;

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "damage: %s\n", what);
  exit(2);
}

static void put(const damage *d, const void *data, size_t n, size_t at) {
  if (n && pwrite(d->descriptor, data, n, (off_t)at) != (ssize_t)n) fail("cannot write the copy");
}

static void cut(const damage *d, size_t n) {
  if (ftruncate(d->descriptor, (off_t)n) != 0) fail("cannot truncate the copy");
}

static void expect_rejection(damage *d, const char *what, size_t at) {
  ls_modelfile *saved = NULL;
  const ls_status status = ls_modelfile_open(d->path, &saved);
  d->n_tried++;
  if (status == LS_ERR_MODEL && !saved && strstr(ls_message(), d->path)) return;
  if (d->n_missed++ < 5) printf("missed: %s at %zu: %d %s\n", what, at, (int)status, ls_message());
  ls_modelfile_close(&saved);
}

static void flip_bits(damage *d) {
  for (size_t at = 0; at < d->n; at++) {
    const unsigned char flipped = (unsigned char)(d->data[at] ^ (1 << (at % 8)));
    put(d, &flipped, 1, at);
    expect_rejection(d, "a flipped bit", at);
    put(d, d->data + at, 1, at);
  }
}

static void set_words(damage *d) {
  for (size_t at = 0; at + 2 <= d->n; at += 2) {
    for (int value = 0; value <= 0xff; value += 0xff) {
      const unsigned char word[2] = {(unsigned char)value, (unsigned char)value};
      if (memcmp(word, d->data + at, 2) == 0) continue;
      put(d, word, 2, at);
      expect_rejection(d, value ? "a word FFFF" : "a word 0000", at);
      put(d, d->data + at, 2, at);
    }
  }
}

static void truncate_copy(damage *d) {
  for (size_t n = 0; n < d->n; n += n < HEADER ? 1 : PAGE) {
    cut(d, n);
    expect_rejection(d, "truncated", n);
    put(d, d->data + n, d->n - n, n);
  }
}

static void append(damage *d) {
  const size_t sizes[] = {1, 2, 511, 512, PAGE};
  for (int i = 0; i < 5; i++) {
    cut(d, d->n + sizes[i]);
    expect_rejection(d, "zeros appended", sizes[i]);
    put(d, d->data, sizes[i] < d->n ? sizes[i] : d->n, d->n);
    expect_rejection(d, "bytes appended", sizes[i]);
    cut(d, d->n);
  }
}

static void read_whole(damage *d, const char *path) {
  FILE *const file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) fail("cannot read the file");
  d->n = (size_t)ftell(file);
  d->data = malloc(d->n + 1);
  rewind(file);
  if (!d->data || fread(d->data, 1, d->n, file) != d->n) fail("cannot read the file");
  fclose(file);
}

static bool opens(const damage *d) {
  ls_modelfile *saved = NULL;
  const bool well = ls_modelfile_open(d->path, &saved) == LS_OK;
  ls_modelfile_close(&saved);
  return well;
}

int main(int argc, char **argv) {
  if (argc != 3) fail("usage: damage FILE SCRATCH");
  damage d = {.path = argv[2]};
  read_whole(&d, argv[1]);
  d.descriptor = open(d.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (d.descriptor < 0) fail("cannot create the copy");
  put(&d, d.data, d.n, 0);
  if (!opens(&d)) fail("the original file is invalid");
  flip_bits(&d);
  set_words(&d);
  truncate_copy(&d);
  append(&d);
  if (!opens(&d)) fail("the copy was not restored");
  printf("%zu damages of %zu bytes, %zu detected\n", d.n_tried, d.n, d.n_tried - d.n_missed);
  close(d.descriptor);
  free(d.data);
  return d.n_missed > 0;
}
