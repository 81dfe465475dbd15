/* Measures how near two cores are to each other.
 *
 *   placement CPU CPU
 *
 * Two threads, one on each core, alternately meet at a barrier, and pass a block of memory: one writes all
 * its cache lines, the other one reads them. Prints the medians of a barrier and of a cache line in ns. */
#include "lockstep/base.h"

#include "measure.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS   51
#define BARRIERS 1000
#define LINE     64         /* bytes */
#define LINES    (1U << 10) /* fits into the caches of a core */

typedef struct line {
  _Alignas(LINE) atomic_size_t value;
} line;

typedef struct side {
  size_t cpu;
  size_t index;
  double barrier[ROUNDS], transfer[ROUNDS]; /* seconds; transfer of the reader only */
} side;

static line arrivals[2]; /* barriers that each side has reached */
static line block[LINES];

/* `n` is the number of this barrier, from 1. */
static void meet(size_t index, size_t n) {
  atomic_store_explicit(&arrivals[index].value, n, memory_order_release);
  while (atomic_load_explicit(&arrivals[1 - index].value, memory_order_acquire) < n) continue;
}

static void write_block(size_t value) {
  for (size_t i = 0; i < LINES; i++) atomic_store_explicit(&block[i].value, value, memory_order_relaxed);
}

static size_t read_block(void) {
  size_t sum = 0;
  for (size_t i = 0; i < LINES; i++) sum += atomic_load_explicit(&block[i].value, memory_order_relaxed);
  return sum;
}

static void pin(size_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    perror("sched_setaffinity");
    exit(1);
  }
}

static void *measure(void *argument) {
  side *const s = argument;
  pin(s->cpu);
  size_t n = 0;
  for (size_t r = 0; r < ROUNDS; r++) {
    meet(s->index, ++n);
    const double start = ls_clock();
    for (size_t i = 0; i < BARRIERS; i++) meet(s->index, ++n);
    s->barrier[r] = (ls_clock() - start) / BARRIERS;
    if (s->index == 0) write_block(r);
    meet(s->index, ++n);
    if (s->index == 0) continue;
    const double begin = ls_clock();
    LS_ASSERT(read_block() == r * LINES);
    s->transfer[r] = (ls_clock() - begin) / LINES;
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: placement CPU CPU\n");
    return LS_ERR_CONFIG;
  }
  static side sides[2];
  pthread_t other;
  for (size_t i = 0; i < 2; i++) sides[i] = (side){.cpu = strtoul(argv[i + 1], NULL, 10), .index = i};
  if (pthread_create(&other, NULL, measure, &sides[1]) != 0) {
    perror("pthread_create");
    return LS_ERR_INTERNAL;
  }
  measure(&sides[0]);
  pthread_join(other, NULL);
  printf("cores %s and %s: barrier %.0f ns, cache line %.1f ns\n", argv[1], argv[2],
         1e9 * median(ROUNDS, sides[0].barrier), 1e9 * median(ROUNDS, sides[1].transfer));
  return 0;
}
