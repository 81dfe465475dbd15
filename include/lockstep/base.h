/* base: what every room stands on: status codes and the message of the last failure, log lines,
 * checked sizes, an arena, counter-based random numbers, a clock, threads, beats.
 *
 * Nothing here knows of MPI, files or other rooms. All functions are local. */
#ifndef LOCKSTEP_BASE_H
#define LOCKSTEP_BASE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define LS_VERSION "0.1.0"

/* ------------------------------------------------------------------ status */

/* The outcome of a function that can fail for an expected reason. The values are the exit codes of
 * the program. A larger value wins where ranks disagree (ls_comm_agree). */
typedef enum ls_status {
  LS_OK = 0,
  LS_ERR_CONFIG = 2,    /* usage, or a config that can't be read, or layers that do not fit */
  LS_ERR_DATA = 3,      /* data missing, unreadable, or not what the config says */
  LS_ERR_MODEL = 4,     /* no usable model or checkpoint */
  LS_ERR_OUTPUT = 5,    /* output can't be written */
  LS_ERR_NUMERIC = 6,   /* NaN, infinity, divergence */
  LS_ERR_INTERNAL = 70, /* out of memory, a broken promise of our own */
  LS_STOPPED = 75       /* stopped by a signal or a time limit after saving: run again to go on */
} ls_status;

/* Local. Records a failure of this thread: formats its message (at most LS_MESSAGE_MAX - 1 bytes;
 * longer ones are cut) and returns `status`, so that `return ls_fail(LS_ERR_DATA, "...", ...)` reads
 * well. A message names the file, key, value and limit, and says what to do; it has no final newline.
 * The arguments may include ls_message() itself, to wrap an earlier message. */
#define LS_MESSAGE_MAX 8192
ls_status ls_fail(ls_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Local. Out of memory while making `what`. Returns LS_ERR_INTERNAL. */
ls_status ls_fail_memory(const char *what, size_t bytes);

/* Local. The message of this thread's last ls_fail; "" before the first. Valid until the next. */
const char *ls_message(void);

/* A bug of ours, checked in release builds too: says where, then leaves through the bug handler (which
 * ends all ranks); never returns. For what the user can cause, return ls_fail(...) instead. */
#define LS_ASSERT(condition) ((condition) ? (void)0 : ls_bug(__FILE__, __LINE__, #condition))
_Noreturn void ls_bug(const char *file, int line, const char *what);

/* Local. Sets what ls_bug calls after its message, e.g. an abort of all ranks; it must not return.
 * NULL: exit code LS_ERR_INTERNAL. */
void ls_bug_handler_set(void (*handler)(void));

/* --------------------------------------------------------------------- log */

typedef enum ls_log_level { LS_LOG_INFO, LS_LOG_WARNING, LS_LOG_ERROR } ls_log_level;

/* Local. Chooses whether this process prints (rank 0 does, others do not). Default: it does. */
void ls_log_enable(bool enabled);

/* Local. A second copy of each line goes to `file` with the time of day (borrowed; NULL: none). */
void ls_log_tee(FILE *file);

/* Local. One line: information to stdout, warnings and errors to stderr with a prefix. The newline is
 * added. A live progress bar is wiped first (see ls_log_bar). */
void ls_log(ls_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Local. One line for the second copy alone. Any thread may, as long as that copy stays. */
void ls_log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Local. What a dying process says of itself: its name ("rank 2 on host"), and a file that takes a copy of
 * its last words. Both are copied; NULL: none. */
void ls_log_fatal_set(const char *who, const char *path);

/* Local, on any thread. The error that ends this process, printed whether or not it prints else, and added
 * to the file. It waits for no other thread. */
void ls_log_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Local. Redraws the one-line progress bar on stderr; an empty text wipes it. */
void ls_log_bar(const char *text);

/* ------------------------------------------------------------ checked sizes */

/* Local. *out = a * b or a + b; false, with *out unchanged, where that overflows size_t. */
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

/* Local. `count * size` zeroed bytes aligned to LS_ALIGNMENT, or NULL where the product overflows or
 * memory is short. The caller frees it with free(). `count * size == 0` gives a valid pointer. */
void *ls_calloc(size_t count, size_t size);

/* Local. Bytes of this machine's memory; SIZE_MAX where it can't be told. */
size_t ls_memory_bytes(void);

/* Local. A copy of a text, to be freed by the caller; NULL where memory is short. */
char *ls_strdup(const char *text);

/* Local. A new formatted text, to be freed by the caller; NULL where memory is short. */
char *ls_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Local. Whether two paths are one existing file, however they are written. */
bool ls_same_file(const char *a, const char *b);

/* Local. Adds formatted text behind what is in `text`, an array of `size` bytes; what does not fit is cut.
 */
void ls_append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* An arena: one block, cut into aligned pieces that live as long as it does. It is used twice with the
 * same calls: first while measuring (base == NULL: pieces are NULL, sizes add up), then after
 * ls_arena_commit for real. */
typedef struct ls_arena {
  unsigned char *base; /* owned; NULL while measuring */
  size_t used;         /* bytes */
  size_t capacity;     /* bytes; 0 while measuring */
  bool overflow;       /* a size did not fit size_t: ls_arena_commit fails */
} ls_arena;

/* Local. Takes `count * size` bytes, aligned. NULL while measuring. Taking more than was measured is
 * a bug. */
void *ls_arena_take(ls_arena *arena, size_t count, size_t size);

/* Local. Ends measuring: allocates what was taken so far (zeroed) and starts anew from its beginning. */
ls_status ls_arena_commit(ls_arena *arena, const char *what);

/* Local. Frees the block; the arena is ready for measuring again. */
void ls_arena_destroy(ls_arena *arena);

/* --------------------------------------------------------- random numbers */

/* Every random number is a pure function of (seed, purpose, time, sample, element) through Philox4x32-10
 * (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11; Random123), so that nothing
 * depends on the rank or on what was drawn before. */
typedef enum ls_rng_purpose {
  LS_RNG_INIT = 1,    /* initial weights; instance: the parameter block */
  LS_RNG_SPLIT = 2,   /* the validation split */
  LS_RNG_SHUFFLE = 3, /* the order of an epoch; time: the epoch */
  LS_RNG_DROPOUT = 4, /* instance: the layer; time: the step */
  LS_RNG_CHECK = 5,   /* directions of the gradient check */
  LS_RNG_IMPORT = 6,  /* the test fraction of an import */
  LS_RNG_AUGMENT = 7, /* instance: the kind of change; time: the epoch */
  LS_RNG_MIXUP = 8,   /* instance: what of it; time: the epoch */
  LS_RNG_EXPLAIN = 9  /* permuted features; instance: the feature; time: the repeat */
} ls_rng_purpose;

typedef struct ls_rng {
  uint64_t seed;
  uint64_t time;    /* epoch or step, below 2^40 */
  uint16_t purpose; /* an ls_rng_purpose and an instance below 2^12, packed by ls_rng_make */
} ls_rng;

/* Local. A source of numbers. Instances at or above 2^12 and times at or above 2^40 are bugs. */
ls_rng ls_rng_make(uint64_t seed, ls_rng_purpose purpose, uint32_t instance, uint64_t time);

/* Local. Four words for (sample, block): the elements 4 block .. 4 block + 3. sample < 2^40. */
void ls_rng_block(const ls_rng *rng, uint64_t sample, uint32_t block, uint32_t out[4]);

/* Local. The words of the elements 0 .. n - 1 of a sample. */
void ls_rng_words(const ls_rng *rng, uint64_t sample, size_t n, uint32_t *out);

/* Local. out[i], i < n: uniform in [0, 1) with 24 bits, or standard normal (Box-Muller, in double). */
void ls_rng_uniform(const ls_rng *rng, uint64_t sample, size_t n, float *out);
void ls_rng_normal(const ls_rng *rng, uint64_t sample, size_t n, float *out);

/* A keyed permutation of 0 .. n - 1, n < 2^40, in O(1) memory: a Feistel network over Z_a x Z_b with
 * a * b >= n, walked until the value falls inside (Black & Rogaway, "Ciphers with arbitrary finite
 * domains", CT-RSA 2002), its round function Philox. */
typedef struct ls_permutation {
  ls_rng rng;
  uint64_t n;
  uint32_t a, b;
} ls_permutation;

/* Local. The permutation of n values keyed by `rng`. */
ls_permutation ls_permutation_make(ls_rng rng, uint64_t n);

/* Local. Where the permutation sends i < n. */
uint64_t ls_permutation_at(const ls_permutation *p, uint64_t i);

/* -------------------------------------------------------------------- clock */

/* Local. Seconds of a clock that never goes back. */
double ls_clock(void);

/* Local. Seconds since this process began, to a hundredth; negative where /proc does not tell. */
double ls_clock_process(void);

/* ------------------------------------------------------------------ threads */

/* Local. Starts a thread that takes no signals: those stay with the threads that were there before. 0, or
 * an errno. */
int ls_thread_start(pthread_t *thread, void *(*run)(void *), void *context);

/* Local. Waits for a condition, at most so long; the mutex is the caller's, and let go of meanwhile. */
void ls_thread_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, double seconds);

/* -------------------------------------------------------------------- beats */

/* Local, on any thread. Work moves on: to be said in whatever may take long, at least every few seconds.
 * Costs next to nothing. */
void ls_heartbeat(void);

#define LS_HEARTBEAT_BYTES                                                                                 \
  ((size_t)64 << 20) /* so many may be read, written or gone through between two                           \
                      */

/* Local. The beats of this process so far, of all its threads. */
uint64_t ls_heartbeat_count(void);

/* Local. Called by each ls_heartbeat of the thread that sets it; NULL: none. */
void ls_heartbeat_hook_set(void (*hook)(void));

#endif
