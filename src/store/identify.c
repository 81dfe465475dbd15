/* Names the kind of a file that HDF5 cannot open, and what to do with it. */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define HEAD_BYTES 512

typedef struct file_kind {
  size_t at; /* offset of the magic bytes */
  size_t n_bytes;
  const char *magic;
  const char *what, *remedy;
} file_kind;

#define IMPORT        "convert it with `lockstep import`"
#define IMPORT_FOLDER "convert its folder with `lockstep import FOLDER`"
#define CONVERT       "write its arrays to an HDF5 file, for example with Python's h5py"
#define UNPACK_WITH   "unpack it first, with "
#define CONVERT_IMAGE                                                                                      \
  "write the pixels of all images as one array (samples, height, width, channels) to an HDF5 file"

/* The first match counts. */
static const file_kind kinds[] = {
    {0, 2, "\x1f\x8b", "gzip-compressed", UNPACK_WITH "gunzip (`lockstep import` reads a compressed CSV)"},
    {0, 3, "BZh", "bzip2-compressed", UNPACK_WITH "bunzip2"},
    {0, 6,
     "\xfd"
     "7zXZ",
     "xz-compressed", UNPACK_WITH "unxz"},
    {0, 4, "\x28\xb5\x2f\xfd", "zstd-compressed", UNPACK_WITH "unzstd"},
    {0, 4, "7z\xbc\xaf", "a 7z archive", UNPACK_WITH "7z x"},
    {257, 5, "ustar", "a tar archive", UNPACK_WITH "tar xf"},
    {0, 6, "\x93NUMPY", "a NumPy array (.npy)", IMPORT},
    {0, 10, "MATLAB 5.0", "a MATLAB file of version 5 to 7", "save it in MATLAB with the option -v7.3"},
    {0, 12, "version http", "a Git LFS pointer (text), not the data itself",
     "fetch the data with git lfs pull"},
    {0, 8, "\x89PNG\r\n\x1a\n", "a PNG image", IMPORT_FOLDER},
    {0, 3, "\xff\xd8\xff", "a JPEG image", IMPORT_FOLDER},
    {0, 4, "GIF8", "a GIF image", CONVERT_IMAGE},
    {0, 4, "II*\0", "a TIFF image", CONVERT_IMAGE},
    {0, 4, "MM\0*", "a TIFF image", CONVERT_IMAGE},
    {0, 3, "CDF", "a netCDF file of the classic format", "convert it with nccopy -k nc4"},
    {0, 4, "\x0e\x03\x13\x01", "an HDF4 file", "convert it with h4toh5convert"},
    {0, 4, "PAR1", "a Parquet file", CONVERT},
    {0, 6, "ARROW1", "an Arrow file", CONVERT},
    {0, 15, "SQLite format 3", "an SQLite database", CONVERT},
    {0, 4, "%PDF", "a PDF document", "name an HDF5 file"},
    {0, 3, "\0\0\x08", "an IDX file", IMPORT},
    {0, 2, "\x80\x02", "a Python pickle", CONVERT},
    {0, 2, "\x80\x03", "a Python pickle", CONVERT},
    {0, 2, "\x80\x04", "a Python pickle", CONVERT},
    {0, 2, "\x80\x05", "a Python pickle", CONVERT},
    {0, 4,
     "\x7f"
     "ELF",
     "a program", "name an HDF5 file"},
};

/* Local. A zip archive of NumPy arrays, of PyTorch, or another one: by the name of its first member. */
static file_kind zip_kind(const unsigned char *head, size_t n) {
  char name[64] = "";
  const size_t length = n > 30 ? ls_size_min(get_little(head + 26, 2), ls_size_min(n - 30, 63)) : 0;
  memcpy(name, head + 30, length);
  if (strstr(name, ".npy")) return (file_kind){.what = "a NumPy archive (.npz)", .remedy = IMPORT};
  if (strstr(name, ".pkl")) return (file_kind){.what = "a PyTorch file", .remedy = CONVERT};
  return (file_kind){.what = "a zip archive", .remedy = UNPACK_WITH "unzip"};
}

static bool is_text(const unsigned char *head, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (head[i] < 0x20 && !strchr("\t\r\n\f", head[i])) return false;
  return n > 0 && !memchr(head, '\0', n);
}

static file_kind text_kind(const unsigned char *head, size_t n) {
  size_t at = 0;
  while (at < n && (isspace(head[at]) || head[at] >= 0x80)) at++; /* also a byte order mark */
  if (at < n && head[at] == '<')
    return (file_kind){.what = "a web page or XML text",
                       .remedy = "download the data again: a server has sent a page instead"};
  if (memchr(head, ',', n) || memchr(head, '\t', n) || memchr(head, ';', n))
    return (file_kind){.what = "text, perhaps a CSV table", .remedy = IMPORT};
  return (file_kind){.what = "text",
                     .remedy = "name an HDF5 file; a table becomes one by `lockstep import`"};
}

static file_kind kind_of(const unsigned char *head, size_t n) {
  if (n == 0) return (file_kind){.what = "empty (0 bytes)", .remedy = "create or copy it again"};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (kinds[i].at + kinds[i].n_bytes <= n &&
        memcmp(head + kinds[i].at, kinds[i].magic, kinds[i].n_bytes) == 0)
      return kinds[i];
  if (n > 4 && memcmp(head, "PK\3\4", 4) == 0) return zip_kind(head, n);
  if (is_text(head, n)) return text_kind(head, n);
  return (file_kind){.what = "of an unknown format",
                     .remedy = "name an HDF5 file; if it was one, it is damaged or was copied in part"};
}

/* Local. The superblock, which begins at offset 0, 512, 1024, 2048, ...; false if there is none. */
static bool find_superblock(int descriptor, unsigned char superblock[12]) {
  ssize_t n = 12;
  for (uint64_t at = 0; n == 12 && at < UINT64_C(1) << 40; at = at ? 2 * at : HEAD_BYTES) {
    n = ls_store_pread(descriptor, at, superblock, 12);
    if (n == 12 && memcmp(superblock, "\x89HDF\r\n\x1a\n", 8) == 0) return true;
  }
  return false;
}

#define NEWEST_SUPERBLOCK 3    /* that HDF5 1.10 to 1.14 read */
#define OPEN_FOR_WRITING  0x01 /* bit of the consistency flags, from version 3 on */

ls_status store_open_fail(const char *path, int descriptor, const char *reason) {
  unsigned char superblock[12];
  unsigned char head[HEAD_BYTES];
  char library[64];
  if (!find_superblock(descriptor, superblock)) {
    const ssize_t n = ls_store_pread(descriptor, 0, head, sizeof head);
    if (n < 0) return ls_fail(LS_ERR_DATA, "%s: cannot be read: %s", path, strerror(errno));
    const file_kind kind = kind_of(head, (size_t)n);
    return ls_fail(LS_ERR_DATA, "%s: is not an HDF5 file: it is %s; %s", path, kind.what, kind.remedy);
  }
  ls_store_library(library, sizeof library);
  if (superblock[8] > NEWEST_SUPERBLOCK)
    return ls_fail(LS_ERR_DATA,
                   "%s: has a newer format version than %s can read (superblock %d); write it for older "
                   "versions, for example with h5py.File(..., libver='v110')",
                   path, library, superblock[8]);
  if (superblock[8] == NEWEST_SUPERBLOCK && (superblock[11] & OPEN_FOR_WRITING))
    return ls_fail(LS_ERR_DATA,
                   "%s: is still open for writing, or the program that wrote it has ended without closing "
                   "it; close it there, or clear the mark with h5clear -s and check the data",
                   path);
  if (strstr(reason, "truncated"))
    return ls_fail(LS_ERR_DATA,
                   "%s: is truncated (%s): it is still being written, or was copied in part; copy it again",
                   path, reason);
  return ls_fail(LS_ERR_DATA, "%s: is not a readable HDF5 file: %s; it is damaged, or newer than %s", path,
                 reason, library);
}
