/* import: what the folder importer and its decoders share. All functions are local. */
#ifndef LOCKSTEP_IMPORT_MEDIA_H
#define LOCKSTEP_IMPORT_MEDIA_H

#include "internal.h"

/* An image or a recording: the shape and type of its values, channels last. */
typedef struct media {
  size_t height, width; /* of an image; a recording has its number of frames and 1 */
  size_t channels;      /* of an image: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA */
  ls_dtype dtype;       /* of an image: LS_U8 or LS_U16; of a recording: LS_F32 */
  uint64_t rate;        /* of a recording: frames per second */
} media;

/* The values of an image or a recording; reused for the next file. */
typedef struct media_buffer {
  void *values; /* owned */
  size_t bytes;
} media_buffer;

/* A type of file. A new type is one file and one line in the list of folder.c. */
typedef struct media_type {
  const char *name;       /* for messages */
  const char *endings[3]; /* of file names, in lower case; ended by NULL */
  bool is_audio;
  /* Reads the header into *m and, unless `buffer` is NULL, the values. `file` is at its start. LS_ERR_DATA
   * if the file is damaged or not supported. */
  ls_status (*read)(FILE *file, const char *path, media *m, media_buffer *buffer);
} media_type;

extern const media_type import_png, import_jpeg, import_wav;

/* The type of a file by its name; NULL: another. */
const media_type *import_media_type_of(const char *name);

/* Reserves the buffer for the values of *m. LS_ERR_DATA if they are none, or too many. */
ls_status import_media_reserve(const char *path, const media *m, media_buffer *buffer);

/* Elements of *m, which import_media_reserve has accepted. */
size_t import_media_count(const media *m);

/* Converts an image to the channels (1 or 3), size and type of *to. Alpha is blended over white, grey is
 * 0.299 R + 0.587 G + 0.114 B, the size changes by linear interpolation over the area of each new pixel
 * (as in Pillow), and 8 bits become 16 by v * 257. */
ls_status import_image_convert(const media *from, const void *values, const media *to, void *out);

/* Converts a recording to the length and channels of *to: cuts its end or appends zeros; one channel is the
 * mean of all. */
void import_audio_convert(const media *from, const float *values, const media *to, float *out);

/* ------------------------------------------------------------------------ folders */

typedef struct folder_file {
  char *path;        /* with the folder; owned */
  size_t root_bytes; /* of the folder's path in it */
  const media_type *type;
  size_t split;
  size_t class;      /* 0 without classes */
  const char *label; /* the class folder's name, in `path`, of label_bytes; NULL: none */
  size_t label_bytes;
} folder_file;

/* The images or recordings of one or more folders, sorted by split, class and path. */
typedef struct folder {
  const char *path;  /* of the first; borrowed */
  size_t root_bytes; /* of the path of the folder that is being listed */
  folder_file *files;
  size_t n, capacity;
  char **classes; /* (n_classes), owned: in byte order, numbers by value */
  size_t n_classes;
  size_t n_others;    /* files of other types */
  char *other;        /* one of them, owned */
  bool has[N_SPLITS]; /* whether a split has files */
} folder;

/* Lists the files of n folders. import_folder_destroy is needed after a failure too. LS_ERR_DATA if there
 * are none, or their places do not show their classes; with needs_classes, unless there are two or more. */
ls_status import_folder_list(const char *const *paths, size_t n, bool needs_classes, folder *f);
void import_folder_destroy(folder *f);

/* Sets *first, which the caller owns, to an image or recording in a folder or below it; NULL: there is
 * none, or the folders cannot be read. LS_ERR_INTERNAL. */
ls_status import_folder_find(const char *path, char **first);

#endif
