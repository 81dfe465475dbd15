/* The threads of ls_parallel. They wait for parts of a job, which its caller and they claim: the caller
 * from the first part on, the threads from the last one on, so that a thread works on the same parts of
 * equal jobs. A caller therefore never waits for a thread that has not begun: it claims the parts itself.
 */
#include "lockstep/base.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define SPIN_SECONDS 1e-4 /* that a thread waits for the next job before it sleeps */
#define SPINS        64   /* between two looks at the clock or yields */

/* The parts that nobody has claimed: [low, high), in the lower and the upper half. */
typedef uint64_t interval;

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t wake;    /* there are parts, or the number of threads has changed */
  int n_started;          /* threads, without callers */
  atomic_int n_active;    /* threads that work; the others sleep */
  atomic_int n_asleep;    /* threads that wait for `wake` */
  atomic_flag is_busy;    /* a caller has a job */
  _Atomic interval ready; /* parts of the job */
  atomic_size_t n_open;   /* parts that are not finished */
  void (*run)(void *context, size_t part);
  void *context;
} team = {
    .mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .is_busy = ATOMIC_FLAG_INIT};

static inline size_t low_of(interval i) {
  return (size_t)(i & UINT32_MAX);
}

static inline size_t high_of(interval i) {
  return (size_t)(i >> 32);
}

static inline interval interval_of(size_t low, size_t high) {
  return (interval)high << 32 | (interval)low;
}

static inline void pause_processor(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Claims and runs a part; false if there is none. A successful claim orders the fields of the job before
 * it, which its caller changes only when all parts are finished. */
static bool run_part(bool from_end) {
  interval i = atomic_load_explicit(&team.ready, memory_order_acquire);
  while (low_of(i) < high_of(i)) {
    const interval rest =
        from_end ? interval_of(low_of(i), high_of(i) - 1) : interval_of(low_of(i) + 1, high_of(i));
    if (!atomic_compare_exchange_weak(&team.ready, &i, rest)) continue;
    team.run(team.context, from_end ? high_of(i) - 1 : low_of(i));
    atomic_fetch_sub_explicit(&team.n_open, 1, memory_order_release);
    return true;
  }
  return false;
}

static bool has_parts(void) {
  const interval i = atomic_load(&team.ready);
  return low_of(i) < high_of(i);
}

static void sleep_until_work(int number) {
  pthread_mutex_lock(&team.mutex);
  atomic_fetch_add(&team.n_asleep, 1);
  while (number >= atomic_load(&team.n_active) || !has_parts()) pthread_cond_wait(&team.wake, &team.mutex);
  atomic_fetch_sub(&team.n_asleep, 1);
  pthread_mutex_unlock(&team.mutex);
}

/* Waits for parts, at first without sleeping: the next job of a step usually follows within microseconds.
 * Yields, so that other threads on the core make progress. */
static void wait_for_work(int number) {
  const double start = ls_clock();
  while (number < atomic_load(&team.n_active)) {
    for (int i = 0; i < SPINS; i++) {
      if (has_parts()) return;
      pause_processor();
    }
    if (ls_clock() - start > SPIN_SECONDS) break;
    sched_yield();
  }
  sleep_until_work(number);
}

/* The context is the number of the thread, from 0 on, as a pointer. */
static void *work(void *context) {
  const int number = (int)(intptr_t)context;
  for (;;) {
    wait_for_work(number);
    while (run_part(true)) continue;
  }
  return NULL;
}

ls_status ls_parallel_set(int threads) {
  LS_ASSERT(threads >= 1);
  while (team.n_started < threads - 1) {
    pthread_t thread;
    const int error = ls_thread_start(&thread, work, (void *)(intptr_t)team.n_started);
    if (error)
      return ls_fail(LS_ERR_INTERNAL, "cannot start a thread for computation: %s", strerror(error));
    pthread_detach(thread);
    team.n_started++;
  }
  atomic_store(&team.n_active, threads - 1);
  return LS_OK;
}

size_t ls_parallel_threads(void) {
  return (size_t)atomic_load_explicit(&team.n_active, memory_order_relaxed) + 1;
}

static void run_all(size_t n_parts, void (*run)(void *context, size_t part), void *context) {
  for (size_t i = 0; i < n_parts; i++) run(context, i);
}

/* Publishes a job, and wakes the threads that sleep. A thread that falls asleep at the same time is counted
 * before it looks for parts, so either it finds them or it is woken. */
static void publish(size_t n_parts, void (*run)(void *context, size_t part), void *context) {
  team.run = run;
  team.context = context;
  atomic_store_explicit(&team.n_open, n_parts, memory_order_relaxed);
  atomic_store(&team.ready, interval_of(0, n_parts));
  if (atomic_load(&team.n_asleep) == 0) return;
  pthread_mutex_lock(&team.mutex);
  pthread_cond_broadcast(&team.wake);
  pthread_mutex_unlock(&team.mutex);
}

void ls_parallel(size_t n_parts, void (*run)(void *context, size_t part), void *context) {
  LS_ASSERT(n_parts <= UINT32_MAX);
  if (n_parts < 2 || atomic_load_explicit(&team.n_active, memory_order_relaxed) == 0 ||
      atomic_flag_test_and_set_explicit(&team.is_busy, memory_order_acquire)) {
    run_all(n_parts, run, context);
    return;
  }
  publish(n_parts, run, context);
  while (run_part(false)) continue;
  for (int i = 1; atomic_load_explicit(&team.n_open, memory_order_acquire) > 0; i++)
    if (i % SPINS)
      pause_processor();
    else
      sched_yield();
  atomic_flag_clear_explicit(&team.is_busy, memory_order_release);
}

/* ------------------------------------------------------------------- ranges */

typedef struct range_job {
  size_t n, length;
  void (*run)(void *context, size_t first, size_t count);
  void *context;
} range_job;

static void run_range(void *context, size_t part) {
  const range_job *const job = context;
  const size_t first = part * job->length;
  job->run(job->context, first, ls_size_min(job->length, job->n - first));
}

void ls_parallel_range(size_t n, size_t length, void (*run)(void *context, size_t first, size_t count),
                       void *context) {
  range_job job = {.n = n, .length = length, .run = run, .context = context};
  ls_parallel((n + length - 1) / length, run_range, &job);
}

#define SUMS 64 /* of parts at a time */

typedef struct sum_job {
  size_t n, length, first; /* first: the first part of these sums */
  double (*sum)(void *context, size_t first, size_t count);
  void *context;
  double sums[SUMS];
} sum_job;

static void run_sum(void *context, size_t part) {
  sum_job *const job = context;
  const size_t first = (job->first + part) * job->length;
  job->sums[part] = job->sum(job->context, first, ls_size_min(job->length, job->n - first));
}

double ls_parallel_sum(size_t n, size_t length, double (*sum)(void *context, size_t first, size_t count),
                       void *context) {
  const size_t n_parts = (n + length - 1) / length;
  sum_job job = {.n = n, .length = length, .sum = sum, .context = context};
  double total = 0.0;
  for (; job.first < n_parts; job.first += SUMS) {
    const size_t count = ls_size_min(SUMS, n_parts - job.first);
    ls_parallel(count, run_sum, &job);
    for (size_t i = 0; i < count; i++) total += job.sums[i];
  }
  return total;
}
