/* Counts allocations of Lockstep's own code, of all threads: the program is linked with --wrap for each
 * function (see meson.build). */
#ifndef LOCKSTEP_TESTS_UNIT_ALLOCATIONS_H
#define LOCKSTEP_TESTS_UNIT_ALLOCATIONS_H

#include <stdatomic.h>
#include <stddef.h>

static atomic_size_t n_allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size) {
  n_allocations++;
  return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
  n_allocations++;
  return __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size) {
  n_allocations++;
  return __real_realloc(block, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  n_allocations++;
  return __real_aligned_alloc(alignment, size);
}

#endif
