/* Fault points make the n-th execution of a library or system call fail on a chosen rank. Builds with
 * sanitizers include this header before each source file (src/meson.build); other builds do not use it. It
 * replaces the calls by macros with the same names.
 *
 * Each call in the sources is a site, such as `store/write.c:open_file:H5Fcreate`: the file below src, the
 * function, and the called function. `#2` at the end denotes the second such call in the function, by line.
 * Environment variables:
 *
 * LOCKSTEP_FAULT=SITE:RANK:NTH         the n-th call at the site fails on the rank (from 1; `3+`: the third
 * and all later ones)
 * LOCKSTEP_FAULT=SITE:RANK:NTH:kill    the process sends itself SIGKILL instead; `stop`: SIGSTOP; `exit`:
 * it calls exit(1)
 * LOCKSTEP_FAULT=list                  prints all sites with their lines and exits
 * LOCKSTEP_FAULT_LOG=PREFIX            at exit, rank R writes PREFIX.R: `passed N SITE` for each site that
 * it reached, `way N FROM SITE` for the first passage from each caller, `fired SITE` and `exit CODE`
 *
 * A failing call is not executed. The macro provides the effects of a real failure: the return value, errno
 * and the error flag of a stream. A call that closes something is executed, and only its return value
 * reports a failure. calls.txt lists the calls without fault points, with reasons. */
#ifndef LOCKSTEP_TESTS_FAULTS_POINTS_H
#define LOCKSTEP_TESTS_FAULTS_POINTS_H

/* The headers that declare the wrapped functions, included before their names become macros. */
#define tee ls_fault_not_our_tee /* declared by fcntl.h; base has its own tee */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <hdf5.h>
#include <libdeflate.h>
#include <png.h>
#include <pthread.h>
#include <sched.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>
#include <yaml.h>
#include <zip.h>
#include <zlib.h>
#include <zstd.h>
#undef FAR /* defined by zlib.h; train has its own FAR */
#undef tee

typedef struct ls_fault_site {
  const char *file, *function, *call;
  int line;
  int error;                   /* errno of the failure */
  unsigned long passed;        /* number of calls; updated atomically */
  struct ls_fault_site *first; /* the same site in the first object file, for functions in headers */
  int number;                  /* among the calls of this name in its function, from 1 */
} ls_fault_site;

/* Counts the call; returns whether it must fail, and then sets errno. Thread-safe. */
bool ls_fault_pass(ls_fault_site *site);

/* Sets the error flag of a stream; returns `value`. */
long ls_fault_stream(FILE *stream, long value);

/* The effects of a failed call: the error of a libyaml parser, the deletion of a libyaml event, the error
 * of a libpng image. Each returns 0. */
int ls_fault_yaml_parse(yaml_parser_t *parser);
int ls_fault_yaml_emit(yaml_event_t *event);
int ls_fault_png(png_image *image);

#define LS_FAULT_AT(call, error)                                                                           \
  ({                                                                                                       \
    static ls_fault_site ls_fault_here = {__FILE__, __func__, call, __LINE__, error, 0, 0, 0};             \
    static ls_fault_site *const ls_fault_listed __attribute__((section("ls_faults"), used)) =              \
        &ls_fault_here;                                                                                    \
    ls_fault_pass(ls_fault_listed);                                                                        \
  })

/* Calls f(...), or returns `value` without a call. */
#define LS_FAULT(f, error, value, ...) (LS_FAULT_AT(#f, error) ? (value) : f(__VA_ARGS__))

/* In HDF5, the names of some functions are macros for their newest version, which the table below would
 * redefine. These functions call the version that the sources would call. */
static inline herr_t ls_fault_H5Lget_info(hid_t at, const char *name, H5L_info_t *info, hid_t access) {
  return H5Lget_info(at, name, info, access);
}
static inline herr_t ls_fault_H5Literate(hid_t group, H5_index_t index, H5_iter_order_t order, hsize_t *at,
                                         H5L_iterate_t visit, void *data) {
  return H5Literate(group, index, order, at, visit, data);
}
#undef H5Lget_info
#undef H5Literate

/* Like LS_FAULT for one of these functions, as the site `name`. */
#define LS_FAULT_VERSION(name, f, ...) (LS_FAULT_AT(name, 0) ? (herr_t)-1 : f(__VA_ARGS__))

/* Calls f(...), and returns `value` instead of its result if the site fails. */
#define LS_FAULT_AFTER(f, error, value, ...)                                                               \
  ({                                                                                                       \
    const __typeof__(f(__VA_ARGS__)) ls_fault_result = f(__VA_ARGS__);                                     \
    LS_FAULT_AT(#f, error) ? (value) : ls_fault_result;                                                    \
  })

/* Calls f(...) on a stream, or sets the error flag of the stream and returns `value`. */
#define LS_FAULT_STREAM(f, stream, value, ...)                                                             \
  (LS_FAULT_AT(#f, ENOSPC) ? (__typeof__(f(__VA_ARGS__)))ls_fault_stream(stream, value) : f(__VA_ARGS__))

/* HDF5's functions return a negative value if they fail. */
#define LS_FAULT_H5(f, ...) LS_FAULT(f, 0, (__typeof__(f(__VA_ARGS__)))-1, __VA_ARGS__)

/* memory */
#define malloc(...)           LS_FAULT(malloc, ENOMEM, NULL, __VA_ARGS__)
#define calloc(...)           LS_FAULT(calloc, ENOMEM, NULL, __VA_ARGS__)
#define realloc(...)          LS_FAULT(realloc, ENOMEM, NULL, __VA_ARGS__)
#define aligned_alloc(...)    LS_FAULT(aligned_alloc, ENOMEM, NULL, __VA_ARGS__)
#define fmemopen(...)         LS_FAULT(fmemopen, ENOMEM, NULL, __VA_ARGS__)
#define open_memstream(...)   LS_FAULT(open_memstream, ENOMEM, NULL, __VA_ARGS__)
#define XXH3_createState(...) LS_FAULT(XXH3_createState, ENOMEM, NULL, __VA_ARGS__)

/* threads */
#define pthread_create(...) LS_FAULT(pthread_create, EAGAIN, EAGAIN, __VA_ARGS__)

/* files and folders */
#define access(...)    LS_FAULT(access, EIO, -1, __VA_ARGS__)
#define fcntl(...)     LS_FAULT(fcntl, ENOLCK, -1, __VA_ARGS__)
#define fstat(...)     LS_FAULT(fstat, EIO, -1, __VA_ARGS__)
#define fseeko(...)    LS_FAULT(fseeko, EIO, -1, __VA_ARGS__)
#define fsync(...)     LS_FAULT(fsync, EIO, -1, __VA_ARGS__)
#define ftruncate(...) LS_FAULT(ftruncate, ENOSPC, -1, __VA_ARGS__)
#define getcwd(...)    LS_FAULT(getcwd, ENOENT, NULL, __VA_ARGS__)
#define lstat(...)     LS_FAULT(lstat, EIO, -1, __VA_ARGS__)
#define link(...)      LS_FAULT(link, EPERM, -1, __VA_ARGS__)
#define mkdir(...)     LS_FAULT(mkdir, ENOSPC, -1, __VA_ARGS__)
#define mkostemp(...)  LS_FAULT(mkostemp, ENOSPC, -1, __VA_ARGS__)
#define open(...)      LS_FAULT(open, EIO, -1, __VA_ARGS__)
#define fallocate(...) LS_FAULT(fallocate, ENOSPC, -1, __VA_ARGS__)
#define fstatvfs(...)  LS_FAULT(fstatvfs, EIO, -1, __VA_ARGS__)
#define opendir(...)   LS_FAULT(opendir, EIO, NULL, __VA_ARGS__)
#define pread(...)     LS_FAULT(pread, EIO, -1, __VA_ARGS__)
#define pwrite(...)    LS_FAULT(pwrite, ENOSPC, -1, __VA_ARGS__)
#define readdir(...)   LS_FAULT(readdir, EIO, NULL, __VA_ARGS__)
#define realpath(...)  LS_FAULT(realpath, EIO, NULL, __VA_ARGS__)
#define rename(...)    LS_FAULT(rename, ENOSPC, -1, __VA_ARGS__)
#define rmdir(...)     LS_FAULT(rmdir, EIO, -1, __VA_ARGS__)
#define shm_open(...)  LS_FAULT(shm_open, EACCES, -1, __VA_ARGS__)
#define stat(...)      LS_FAULT(stat, EIO, -1, __VA_ARGS__)
#define statvfs(...)   LS_FAULT(statvfs, EIO, -1, __VA_ARGS__)
#define unlink(...)    LS_FAULT(unlink, EIO, -1, __VA_ARGS__)
#define close(...)     LS_FAULT_AFTER(close, EIO, -1, __VA_ARGS__)

/* streams */
#define fdopen(...)                 LS_FAULT(fdopen, ENOMEM, NULL, __VA_ARGS__)
#define fopen(...)                  LS_FAULT(fopen, EIO, NULL, __VA_ARGS__)
#define fclose(...)                 LS_FAULT_AFTER(fclose, ENOSPC, EOF, __VA_ARGS__)
#define fflush(stream)              LS_FAULT_STREAM(fflush, stream, EOF, stream)
#define fgets(s, n, stream)         LS_FAULT_STREAM(fgets, stream, 0, s, n, stream)
#define fprintf(stream, ...)        LS_FAULT_STREAM(fprintf, stream, -1, stream, __VA_ARGS__)
#define fputc(c, stream)            LS_FAULT_STREAM(fputc, stream, EOF, c, stream)
#define fputs(s, stream)            LS_FAULT_STREAM(fputs, stream, EOF, s, stream)
#define fread(p, size, n, stream)   LS_FAULT_STREAM(fread, stream, 0, p, size, n, stream)
#define fscanf(stream, ...)         LS_FAULT_STREAM(fscanf, stream, EOF, stream, __VA_ARGS__)
#define fwrite(p, size, n, stream)  LS_FAULT_STREAM(fwrite, stream, 0, p, size, n, stream)
#define getline(line, size, stream) LS_FAULT_STREAM(getline, stream, -1, line, size, stream)
#define putc(c, stream)             LS_FAULT_STREAM(putc, stream, EOF, c, stream)
#define vfprintf(stream, ...)       LS_FAULT_STREAM(vfprintf, stream, -1, stream, __VA_ARGS__)

/* the system */
#define gethostname(...)       LS_FAULT(gethostname, EPERM, -1, __VA_ARGS__)
#define sched_getaffinity(...) LS_FAULT(sched_getaffinity, EPERM, -1, __VA_ARGS__)
#define setenv(...)            LS_FAULT(setenv, ENOMEM, -1, __VA_ARGS__)
#define sysconf(...)           LS_FAULT(sysconf, EINVAL, -1, __VA_ARGS__)

/* libraries */
#define fts_open(...)     LS_FAULT(fts_open, ENOMEM, NULL, __VA_ARGS__)
#define fts_read(...)     LS_FAULT(fts_read, EIO, NULL, __VA_ARGS__)
#define gzbuffer(...)     LS_FAULT(gzbuffer, ENOMEM, -1, __VA_ARGS__)
#define gzclose_r(...)    LS_FAULT_AFTER(gzclose_r, EIO, Z_ERRNO, __VA_ARGS__)
#define gzdopen(...)      LS_FAULT(gzdopen, ENOMEM, NULL, __VA_ARGS__)
#define gzread(...)       LS_FAULT(gzread, EIO, -1, __VA_ARGS__)
#define gzrewind(...)     LS_FAULT(gzrewind, EIO, -1, __VA_ARGS__)
#define inflate(...)      LS_FAULT(inflate, ENOMEM, Z_MEM_ERROR, __VA_ARGS__)
#define inflateInit_(...) LS_FAULT(inflateInit_, ENOMEM, Z_MEM_ERROR, __VA_ARGS__)
#define libdeflate_alloc_decompressor(...)                                                                 \
  LS_FAULT(libdeflate_alloc_decompressor, ENOMEM, NULL, __VA_ARGS__)
#define ZSTD_createDCtx(...)        LS_FAULT(ZSTD_createDCtx, ENOMEM, NULL, __VA_ARGS__)
#define png_create_info_struct(...) LS_FAULT(png_create_info_struct, ENOMEM, NULL, __VA_ARGS__)
#define png_create_read_struct(...) LS_FAULT(png_create_read_struct, ENOMEM, NULL, __VA_ARGS__)
#define png_image_write_to_stdio(image, ...)                                                               \
  (LS_FAULT_AT("png_image_write_to_stdio", ENOSPC) ? ls_fault_png(image)                                   \
                                                   : png_image_write_to_stdio(image, __VA_ARGS__))
#define sf_open_fd(...)     LS_FAULT(sf_open_fd, ENOMEM, NULL, __VA_ARGS__)
#define sf_readf_float(...) LS_FAULT(sf_readf_float, EIO, 0, __VA_ARGS__)
#define yaml_document_end_event_initialize(...)                                                            \
  LS_FAULT(yaml_document_end_event_initialize, ENOMEM, 0, __VA_ARGS__)
#define yaml_document_start_event_initialize(...)                                                          \
  LS_FAULT(yaml_document_start_event_initialize, ENOMEM, 0, __VA_ARGS__)
#define yaml_emitter_emit(emitter, event)                                                                  \
  (LS_FAULT_AT("yaml_emitter_emit", ENOMEM) ? ls_fault_yaml_emit(event) : yaml_emitter_emit(emitter, event))
#define yaml_emitter_flush(...)      LS_FAULT(yaml_emitter_flush, ENOMEM, 0, __VA_ARGS__)
#define yaml_emitter_initialize(...) LS_FAULT(yaml_emitter_initialize, ENOMEM, 0, __VA_ARGS__)
#define yaml_mapping_end_event_initialize(...)                                                             \
  LS_FAULT(yaml_mapping_end_event_initialize, ENOMEM, 0, __VA_ARGS__)
#define yaml_mapping_start_event_initialize(...)                                                           \
  LS_FAULT(yaml_mapping_start_event_initialize, ENOMEM, 0, __VA_ARGS__)
#define yaml_parser_initialize(...) LS_FAULT(yaml_parser_initialize, ENOMEM, 0, __VA_ARGS__)
#define yaml_parser_parse(parser, event)                                                                   \
  (LS_FAULT_AT("yaml_parser_parse", ENOMEM) ? ls_fault_yaml_parse(parser)                                  \
                                            : yaml_parser_parse(parser, event))
#define yaml_scalar_event_initialize(...) LS_FAULT(yaml_scalar_event_initialize, ENOMEM, 0, __VA_ARGS__)
#define yaml_sequence_end_event_initialize(...)                                                            \
  LS_FAULT(yaml_sequence_end_event_initialize, ENOMEM, 0, __VA_ARGS__)
#define yaml_sequence_start_event_initialize(...)                                                          \
  LS_FAULT(yaml_sequence_start_event_initialize, ENOMEM, 0, __VA_ARGS__)
#define yaml_stream_end_event_initialize(...)                                                              \
  LS_FAULT(yaml_stream_end_event_initialize, ENOMEM, 0, __VA_ARGS__)
#define yaml_stream_start_event_initialize(...)                                                            \
  LS_FAULT(yaml_stream_start_event_initialize, ENOMEM, 0, __VA_ARGS__)
#define zip_fopen_index(...) LS_FAULT(zip_fopen_index, ENOMEM, NULL, __VA_ARGS__)
#define zip_fread(...)       LS_FAULT(zip_fread, EIO, -1, __VA_ARGS__)
#define zip_open(...)        LS_FAULT(zip_open, ENOMEM, NULL, __VA_ARGS__)
#define zip_stat_index(...)  LS_FAULT(zip_stat_index, EINVAL, -1, __VA_ARGS__)

/* HDF5 */
#define H5Acreate2(...)                   LS_FAULT_H5(H5Acreate2, __VA_ARGS__)
#define H5Aexists(...)                    LS_FAULT_H5(H5Aexists, __VA_ARGS__)
#define H5Aget_space(...)                 LS_FAULT_H5(H5Aget_space, __VA_ARGS__)
#define H5Aget_type(...)                  LS_FAULT_H5(H5Aget_type, __VA_ARGS__)
#define H5Aopen(...)                      LS_FAULT_H5(H5Aopen, __VA_ARGS__)
#define H5Aread(...)                      LS_FAULT_H5(H5Aread, __VA_ARGS__)
#define H5Awrite(...)                     LS_FAULT_H5(H5Awrite, __VA_ARGS__)
#define H5Dcreate2(...)                   LS_FAULT_H5(H5Dcreate2, __VA_ARGS__)
#define H5Dget_chunk_info(...)            LS_FAULT_H5(H5Dget_chunk_info, __VA_ARGS__)
#define H5Dget_create_plist(...)          LS_FAULT_H5(H5Dget_create_plist, __VA_ARGS__)
#define H5Dget_num_chunks(...)            LS_FAULT_H5(H5Dget_num_chunks, __VA_ARGS__)
#define H5Dget_space(...)                 LS_FAULT_H5(H5Dget_space, __VA_ARGS__)
#define H5Dget_type(...)                  LS_FAULT_H5(H5Dget_type, __VA_ARGS__)
#define H5Dopen2(...)                     LS_FAULT_H5(H5Dopen2, __VA_ARGS__)
#define H5Dread(...)                      LS_FAULT_H5(H5Dread, __VA_ARGS__)
#define H5Dread_chunk(...)                LS_FAULT_H5(H5Dread_chunk, __VA_ARGS__)
#define H5Dset_extent(...)                LS_FAULT_H5(H5Dset_extent, __VA_ARGS__)
#define H5Dwrite(...)                     LS_FAULT_H5(H5Dwrite, __VA_ARGS__)
#define H5Fcreate(...)                    LS_FAULT_H5(H5Fcreate, __VA_ARGS__)
#define H5Fget_create_plist(...)          LS_FAULT_H5(H5Fget_create_plist, __VA_ARGS__)
#define H5Fget_vfd_handle(...)            LS_FAULT_H5(H5Fget_vfd_handle, __VA_ARGS__)
#define H5Fopen(...)                      LS_FAULT_H5(H5Fopen, __VA_ARGS__)
#define H5Gcreate2(...)                   LS_FAULT_H5(H5Gcreate2, __VA_ARGS__)
#define H5Gopen2(...)                     LS_FAULT_H5(H5Gopen2, __VA_ARGS__)
#define H5Iget_type(...)                  LS_FAULT_H5(H5Iget_type, __VA_ARGS__)
#define H5Lexists(...)                    LS_FAULT_H5(H5Lexists, __VA_ARGS__)
#define H5Lget_info(...)                  LS_FAULT_VERSION("H5Lget_info", ls_fault_H5Lget_info, __VA_ARGS__)
#define H5Literate(...)                   LS_FAULT_VERSION("H5Literate", ls_fault_H5Literate, __VA_ARGS__)
#define H5Oopen(...)                      LS_FAULT_H5(H5Oopen, __VA_ARGS__)
#define H5Pcreate(...)                    LS_FAULT_H5(H5Pcreate, __VA_ARGS__)
#define H5Pfill_value_defined(...)        LS_FAULT_H5(H5Pfill_value_defined, __VA_ARGS__)
#define H5Pget_chunk(...)                 LS_FAULT_H5(H5Pget_chunk, __VA_ARGS__)
#define H5Pget_chunk_opts(...)            LS_FAULT_H5(H5Pget_chunk_opts, __VA_ARGS__)
#define H5Pget_external_count(...)        LS_FAULT_H5(H5Pget_external_count, __VA_ARGS__)
#define H5Pget_filter2(...)               LS_FAULT_H5(H5Pget_filter2, __VA_ARGS__)
#define H5Pget_layout(...)                LS_FAULT_H5(H5Pget_layout, __VA_ARGS__)
#define H5Pget_nfilters(...)              LS_FAULT_H5(H5Pget_nfilters, __VA_ARGS__)
#define H5Pget_sizes(...)                 LS_FAULT_H5(H5Pget_sizes, __VA_ARGS__)
#define H5Pget_userblock(...)             LS_FAULT_H5(H5Pget_userblock, __VA_ARGS__)
#define H5Pset_chunk(...)                 LS_FAULT_H5(H5Pset_chunk, __VA_ARGS__)
#define H5Pset_chunk_cache(...)           LS_FAULT_H5(H5Pset_chunk_cache, __VA_ARGS__)
#define H5Pset_deflate(...)               LS_FAULT_H5(H5Pset_deflate, __VA_ARGS__)
#define H5Pset_fapl_sec2(...)             LS_FAULT_H5(H5Pset_fapl_sec2, __VA_ARGS__)
#define H5Pset_file_locking(...)          LS_FAULT_H5(H5Pset_file_locking, __VA_ARGS__)
#define H5Pset_fletcher32(...)            LS_FAULT_H5(H5Pset_fletcher32, __VA_ARGS__)
#define H5Pset_libver_bounds(...)         LS_FAULT_H5(H5Pset_libver_bounds, __VA_ARGS__)
#define H5Pset_obj_track_times(...)       LS_FAULT_H5(H5Pset_obj_track_times, __VA_ARGS__)
#define H5Pset_shuffle(...)               LS_FAULT_H5(H5Pset_shuffle, __VA_ARGS__)
#define H5Pset_userblock(...)             LS_FAULT_H5(H5Pset_userblock, __VA_ARGS__)
#define H5Screate(...)                    LS_FAULT_H5(H5Screate, __VA_ARGS__)
#define H5Screate_simple(...)             LS_FAULT_H5(H5Screate_simple, __VA_ARGS__)
#define H5Sget_simple_extent_dims(...)    LS_FAULT_H5(H5Sget_simple_extent_dims, __VA_ARGS__)
#define H5Sget_simple_extent_ndims(...)   LS_FAULT_H5(H5Sget_simple_extent_ndims, __VA_ARGS__)
#define H5Sget_simple_extent_npoints(...) LS_FAULT_H5(H5Sget_simple_extent_npoints, __VA_ARGS__)
#define H5Sget_simple_extent_type(...)    LS_FAULT_H5(H5Sget_simple_extent_type, __VA_ARGS__)
#define H5Sselect_hyperslab(...)          LS_FAULT_H5(H5Sselect_hyperslab, __VA_ARGS__)
#define H5Tcopy(...)                      LS_FAULT_H5(H5Tcopy, __VA_ARGS__)
#define H5Tcreate(...)                    LS_FAULT_H5(H5Tcreate, __VA_ARGS__)
#define H5Tget_class(...)                 LS_FAULT_H5(H5Tget_class, __VA_ARGS__)
#define H5Tget_fields(...)                LS_FAULT_H5(H5Tget_fields, __VA_ARGS__)
#define H5Tget_sign(...)                  LS_FAULT_H5(H5Tget_sign, __VA_ARGS__)
#define H5Tget_strpad(...)                LS_FAULT_H5(H5Tget_strpad, __VA_ARGS__)
#define H5Tget_super(...)                 LS_FAULT_H5(H5Tget_super, __VA_ARGS__)
#define H5Tis_variable_str(...)           LS_FAULT_H5(H5Tis_variable_str, __VA_ARGS__)
#define H5Tregister(...)                  LS_FAULT_H5(H5Tregister, __VA_ARGS__)
#define H5Tset_cset(...)                  LS_FAULT_H5(H5Tset_cset, __VA_ARGS__)
#define H5Tset_size(...)                  LS_FAULT_H5(H5Tset_size, __VA_ARGS__)
#define H5PLset_loading_state(...)        LS_FAULT_H5(H5PLset_loading_state, __VA_ARGS__)
#define H5Tget_size(...)                  LS_FAULT(H5Tget_size, 0, 0, __VA_ARGS__)
#define H5Dget_storage_size(...)          LS_FAULT(H5Dget_storage_size, 0, 0, __VA_ARGS__)
#define H5Dclose(...)                     LS_FAULT_AFTER(H5Dclose, 0, -1, __VA_ARGS__)
#define H5Fclose(...)                     LS_FAULT_AFTER(H5Fclose, 0, -1, __VA_ARGS__)

#endif
