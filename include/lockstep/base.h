/* base: status codes and failure messages, logging, checked sizes, memory, counter-based random numbers,
 * messages of Protocol Buffers, clocks, threads, parallel loops, heartbeats.
 *
 * Uses neither MPI nor other modules. All functions are local. */
#ifndef LOCKSTEP_BASE_H
#define LOCKSTEP_BASE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define LS_VERSION "0.1.0"

/* ------------------------------------------------------------------ status */

/* The outcome of a function that can fail for an expected reason. The values are the exit codes of the
 * program. If ranks disagree, the largest value wins (ls_comm_agree). */
typedef enum ls_status {
  LS_OK = 0,
  LS_ERR_CONFIG = 2,    /* usage, an invalid config, or layers that do not fit */
  LS_ERR_DATA = 3,      /* data missing, unreadable, or not what the config says */
  LS_ERR_MODEL = 4,     /* no usable model or checkpoint */
  LS_ERR_OUTPUT = 5,    /* output cannot be written */
  LS_ERR_NUMERIC = 6,   /* NaN, infinity, divergence */
  LS_ERR_INTERNAL = 70, /* out of memory, violated invariant */
  LS_STOPPED = 75       /* stopped by a signal or time limit after saving; a resume is possible */
} ls_status;

/* Local. Records the message of a failure for this thread, truncated to LS_MESSAGE_MAX - 1 bytes, and
 * returns `status`. A message names file, key, value and limit, and what to do; it has no final newline.
 * The arguments may include ls_message(), to wrap an earlier message. */
#define LS_MESSAGE_MAX 8192
ls_status ls_fail(ls_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Local. Records that `bytes` for `what` cannot be allocated. Returns LS_ERR_INTERNAL. */
ls_status ls_fail_memory(const char *what, size_t bytes);

/* Local. The message of this thread's last ls_fail, valid until the next; "" before the first. */
const char *ls_message(void);

/* Evaluates a call that returns an ls_status, and returns its status from the calling function if it
 * failed. Only for functions that have nothing to clean up at that place. */
#define LS_TRY(call)                                                                                       \
  do {                                                                                                     \
    const ls_status ls_try_status = (call);                                                                \
    if (ls_try_status != LS_OK) return ls_try_status;                                                      \
  } while (0)

/* Checks an invariant, in release builds too. A violation is reported and ends all ranks. For errors that a
 * user can cause, return ls_fail(...) instead. */
#define LS_ASSERT(condition) ((condition) ? (void)0 : ls_bug(__FILE__, __LINE__, #condition))
_Noreturn void ls_bug(const char *file, int line, const char *what);

/* Local. Sets the function that ls_bug calls after its message, which must not return. NULL: ls_bug exits
 * with LS_ERR_INTERNAL. */
void ls_bug_handler_set(void (*handler)(void));

/* --------------------------------------------------------------------- log */

typedef enum ls_log_level { LS_LOG_INFO, LS_LOG_WARNING, LS_LOG_ERROR } ls_log_level;

/* Local. Sets whether this process prints: rank 0 does, other ranks do not. Default: true. */
void ls_log_enable(bool enabled);

/* Local. Sets whether lines go only to the file of ls_log_tee, and no bar is drawn. Default: false. */
void ls_log_quiet(bool quiet);

/* Local. From now on, information goes to stderr too, because stdout is read by a program. */
void ls_log_spare_stdout(void);

/* Local. Also writes each line, preceded by date and time, to `file` (borrowed; NULL: none). */
void ls_log_tee(FILE *file);

/* Local. Prints one line: information to stdout, warnings and errors with a prefix to stderr. Adds the
 * newline. First erases the progress bar (see ls_log_bar). */
void ls_log(ls_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Local, on any thread. Writes one line to the file of ls_log_tee only. */
void ls_log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Local. Sets what ls_log_fatal adds: the name of this process ("rank 2 on host"), and the path of a log
 * that also receives the message. Copies both; NULL: none. */
void ls_log_fatal_set(const char *name, const char *path);

/* Local, on any thread. Reports the error that ends this process, even if ls_log_enable(false) was called.
 * Waits for no other thread. */
void ls_log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Local. Redraws the one-line progress bar on stderr; an empty text erases it. */
void ls_log_bar(const char *text);

/* Local. Whether a bar should be redrawn: on a terminal, at most ten times a second. */
bool ls_log_bar_is_due(void);

/* ------------------------------------------------------------ checked sizes */

/* Local. *out = a * b or a + b; false, with *out unchanged, if that overflows size_t. */
bool ls_size_mul(size_t a, size_t b, size_t *out);
bool ls_size_add(size_t a, size_t b, size_t *out);

/* Local. The larger or smaller of two sizes. */
static inline size_t ls_size_max(size_t a, size_t b) {
  return a > b ? a : b;
}
static inline size_t ls_size_min(size_t a, size_t b) {
  return a < b ? a : b;
}

/* ------------------------------------------------------------------- memory */

#define LS_ALIGNMENT 64 /* bytes: a cache line, and the widest vector register */

/* Local. Allocates `count * size` zeroed bytes aligned to LS_ALIGNMENT; NULL if the product overflows or
 * memory is short. The caller frees the block with free(). Size 0 gives a valid pointer. */
void *ls_calloc(size_t count, size_t size);

/* Local. Copies memory that does not overlap, with heartbeats; returns `to`. */
void *ls_copy(void *to, const void *from, size_t bytes);

/* The memory that the processes of a node may use together. */
typedef struct ls_memory {
  size_t bytes;       /* SIZE_MAX if unknown */
  const char *source; /* what limits it */
} ls_memory;

/* Local. The least of the machine's memory, the limits of the control groups of this process (version 1 or
 * 2), and the memory of a Slurm job on this node. `root`: of the file system; "" except in tests. */
ls_memory ls_memory_limit(const char *root);
static inline size_t ls_memory_bytes(void) {
  return ls_memory_limit("").bytes;
}

/* Local. A copy of a text, or a formatted text, which the caller frees; NULL if memory is short. */
char *ls_strdup(const char *text);
char *ls_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Local. Whether two paths name the same existing file. */
bool ls_same_file(const char *a, const char *b);

/* Local. Whether a text of `bytes` bytes is well-formed UTF-8. */
bool ls_is_utf8(const char *text, size_t bytes);

/* Local. Bytes of the longest start of a text that has at most `bytes` bytes and does not end inside a
 * UTF-8 character; for "%.*s". */
int ls_clip(const char *text, size_t bytes);

/* Local. Appends formatted text to `text`, an array of `size` bytes; truncates what does not fit. */
void ls_append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Local. Splits FILE[:GROUP] at the last colon that precedes a `/`. The caller owns both parts; *group is
 * NULL if the spec names none. */
ls_status ls_spec_split(const char *spec, char **file, char **group);

/* Local. Calls `visit` for each file that a name stands for, until one fails: those that match a pattern
 * with * or ?, in byte order, or the file itself, also if its own name has these characters. LS_ERR_DATA if
 * no file matches. */
typedef ls_status ls_spec_visit(void *context, const char *file);
ls_status ls_spec_expand(const char *file, ls_spec_visit *visit, void *context);

/* An arena: one block that is divided into aligned pieces, which live as long as it does. The same calls
 * run twice: first to measure (base == NULL: pieces are NULL, sizes add up), then, after ls_arena_commit,
 * to get the pieces. */
typedef struct ls_arena {
  unsigned char *base; /* owned; NULL while measuring */
  size_t used;         /* bytes */
  size_t capacity;     /* bytes; 0 while measuring */
  bool overflow;       /* a size exceeded size_t; ls_arena_commit will fail */
} ls_arena;

/* Local. The next piece, of `count * size` bytes; NULL while measuring. More than was measured is a bug. */
void *ls_arena_take(ls_arena *arena, size_t count, size_t size);

/* Local. Ends measuring: allocates the measured size, zeroed. `what` names it in the error message.
 * LS_ERR_INTERNAL. */
ls_status ls_arena_commit(ls_arena *arena, const char *what);

/* Local. Frees the block; the arena is ready for measuring again. */
void ls_arena_destroy(ls_arena *arena);

/* --------------------------------------------------------- random numbers */

/* Every random number is a pure function of (seed, purpose, time, sample, element), computed by
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11; Random123). It depends
 * neither on the rank nor on earlier draws. */
typedef enum ls_rng_purpose {
  LS_RNG_INIT = 1,         /* initial weights; instance: the parameter block */
  LS_RNG_SPLIT = 2,        /* the validation split; instance: by samples or by blocks */
  LS_RNG_SHUFFLE = 3,      /* the order of an epoch; instance: of what; time: the epoch */
  LS_RNG_DROPOUT = 4,      /* instance: the layer; time: the step */
  LS_RNG_CHECK = 5,        /* directions of the gradient check */
  LS_RNG_IMPORT = 6,       /* the test fraction of an import */
  LS_RNG_AUGMENT = 7,      /* instance: the kind of augmentation; time: the epoch */
  LS_RNG_MIXUP = 8,        /* instance: partner or share; time: the epoch */
  LS_RNG_EXPLAIN = 9,      /* permuted features; instance: the feature; time: the repeat */
  LS_RNG_FINGERPRINT = 10, /* the samples of a fingerprint */
  LS_RNG_PLAN = 11,        /* the blocks that a measurement reads */
  LS_RNG_SWEEP = 12        /* trials; instance: the parameter; sample: the trial */
} ls_rng_purpose;

typedef struct ls_rng {
  uint64_t seed;
  uint64_t time;    /* epoch or step, below 2^40 */
  uint16_t purpose; /* an ls_rng_purpose and an instance below 2^12, packed by ls_rng_make */
} ls_rng;

/* Local. A source of numbers. instance < 2^12, time < 2^40. */
ls_rng ls_rng_make(uint64_t seed, ls_rng_purpose purpose, uint32_t instance, uint64_t time);

/* Local. Four words for (sample, block): elements 4 block .. 4 block + 3. sample < 2^40. */
void ls_rng_block(const ls_rng *rng, uint64_t sample, uint32_t block, uint32_t out[4]);

/* Local. Words for elements 0 .. n - 1 of a sample. */
void ls_rng_words(const ls_rng *rng, uint64_t sample, size_t n, uint32_t *out);

/* Local. out[i], i < n: uniform in [0, 1) with 24 bits, or standard normal (Box-Muller, in double). */
void ls_rng_uniform(const ls_rng *rng, uint64_t sample, size_t n, float *out);
void ls_rng_normal(const ls_rng *rng, uint64_t sample, size_t n, float *out);

/* A keyed permutation of 0 .. n - 1, n < 2^40, in O(1) memory: a Feistel network over Z_a x Z_b, a * b >=
 * n, with Philox as round function, repeated until the value is below n (cycle walking: Black & Rogaway,
 * "Ciphers with arbitrary finite domains", CT-RSA 2002). */
typedef struct ls_permutation {
  ls_rng rng;
  uint64_t n;
  uint32_t a, b;
} ls_permutation;

/* Local. The permutation of n values with key `rng`. */
ls_permutation ls_permutation_make(ls_rng rng, uint64_t n);

/* Local. The image of i < n, and the i whose image is x < n. */
uint64_t ls_permutation_at(const ls_permutation *p, uint64_t i);
uint64_t ls_permutation_inverse(const ls_permutation *p, uint64_t x);

/* Local. The same for many values, which is faster. Replaces x, all below p->n. x: (n) */
void ls_permutation_apply(const ls_permutation *p, size_t n, uint64_t *x);
void ls_permutation_invert(const ls_permutation *p, size_t n, uint64_t *x);

/* --------------------------------------------------------- Protocol Buffers */

/* A message under construction, to which fields are appended; starts as {0}. After a failure (memory is
 * short) all calls do nothing; ls_protobuf_status reports it at the end. */
typedef struct ls_protobuf {
  unsigned char *bytes; /* owned */
  size_t size, capacity;
  bool failed;
} ls_protobuf;

/* Local. Append a field, with a number from 1 to 2^29 - 1:
 *   varint   uint32, uint64, int64, bool or enum; a negative number as its two's complement
 *   float, double
 *   bytes, text   copied; also an encoded message, or packed numbers */
void ls_protobuf_varint(ls_protobuf *message, uint32_t field, uint64_t value);
void ls_protobuf_float(ls_protobuf *message, uint32_t field, float value);
void ls_protobuf_double(ls_protobuf *message, uint32_t field, double value);
void ls_protobuf_bytes(ls_protobuf *message, uint32_t field, const void *bytes, size_t size);
void ls_protobuf_text(ls_protobuf *message, uint32_t field, const char *text);

/* Local. The calls between begin and end append the fields of a nested message, the value of `field`. end
 * receives the result of its begin, and moves the nested message to make space for its length. */
size_t ls_protobuf_begin(ls_protobuf *message, uint32_t field);
void ls_protobuf_end(ls_protobuf *message, size_t begin);

/* Local. LS_ERR_INTERNAL if a call failed; `what` names the message in the text of the error. */
ls_status ls_protobuf_status(const ls_protobuf *message, const char *what);

/* Local. Removes all fields; keeps the memory, and a failure. */
static inline void ls_protobuf_clear(ls_protobuf *message) {
  message->size = 0;
}

/* Local. Frees the bytes; the message is empty again. */
void ls_protobuf_destroy(ls_protobuf *message);

/* -------------------------------------------------------------------- clock */

/* Local. Seconds of a monotonic clock. */
double ls_clock(void);

/* Local. Seconds since this process started, to a hundredth; negative if /proc does not provide them. */
double ls_clock_process(void);

/* ------------------------------------------------------------------ threads */

/* Local. Starts a thread with all signals blocked, so that existing threads handle them. Returns 0 or an
 * errno. */
int ls_thread_start(pthread_t *thread, void *(*run)(void *), void *context);

/* Local. Waits for a condition for at most `seconds`. The caller holds the mutex. */
void ls_thread_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, double seconds);

/* ----------------------------------------------------------- parallel loops */

/* The threads of this process that compute. They inherit the affinity of the thread that starts them, spin
 * for a tenth of a millisecond after a loop, and then sleep. The result of a loop does not depend on their
 * number, because its division into parts does not.
 *
 * Local. Sets the number of threads, the caller included, at least 1. Starts those that are missing; they
 * never end. LS_ERR_INTERNAL if a thread cannot be started. Not during a loop. */
ls_status ls_parallel_set(int threads);

/* Local. Their number, the caller included. */
size_t ls_parallel_threads(void);

/* Local, on any thread. Calls run(context, part) for each part < n_parts, n_parts < 2^32, on all threads at
 * the same time, and returns when all calls have returned. Allocates nothing. If another loop is running,
 * as in a call from inside one, the caller runs all parts. */
void ls_parallel(size_t n_parts, void (*run)(void *context, size_t part), void *context);

/* Local. The same for 0 .. n - 1 in parts of `length`, the last of which may be shorter. */
void ls_parallel_range(size_t n, size_t length, void (*run)(void *context, size_t first, size_t count),
                       void *context);

/* Local. The sum of the results of the parts, in their order. */
double ls_parallel_sum(size_t n, size_t length, double (*sum)(void *context, size_t first, size_t count),
                       void *context);

/* Elements of a part of an elementwise loop: some microseconds. */
#define LS_PARALLEL_ITEMS ((size_t)1 << 14)

/* -------------------------------------------------------------------- heartbeats */

/* Local, on any thread. Signals progress to the watchdog. Work that may take long must call it at least
 * every few seconds. Cheap. */
void ls_heartbeat(void);

/* Bytes to read, write or process between two heartbeats. */
#define LS_HEARTBEAT_BYTES ((size_t)64 << 20)

/* Iterations over samples or parameters between two heartbeats. */
#define LS_HEARTBEAT_ITEMS ((size_t)1 << 16)

/* Local. In a loop over samples or parameters, with its counter: a heartbeat every LS_HEARTBEAT_ITEMS
 * iterations; or elements, in a loop over rows of `cols` elements. */
static inline void ls_heartbeat_every(uint64_t i) {
  if ((i + 1) % LS_HEARTBEAT_ITEMS == 0) ls_heartbeat();
}
static inline void ls_heartbeat_rows(uint64_t i, size_t cols) {
  if ((i + 1) * cols / LS_HEARTBEAT_ITEMS > i * cols / LS_HEARTBEAT_ITEMS) ls_heartbeat();
}

/* Local. The number of heartbeats of all threads of this process. */
uint64_t ls_heartbeat_count(void);

/* Local. Sets the function that each ls_heartbeat of the calling thread calls; NULL: none. */
void ls_heartbeat_hook_set(void (*hook)(void));

#endif
