/* The files of a dataset: lists and patterns of names, and the samples of each file. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void part_free(data_part *part) {
  free(part->file);
  free(part->group);
  free(part->y_file);
  data_names_free(&part->names);
}

void data_files_free(data_files *files) {
  for (size_t i = 0; i < files->n; i++) part_free(&files->parts[i]);
  free(files->parts);
  *files = (data_files){0};
}

void data_files_remove(data_files *files, size_t part) {
  data_part *const p = &files->parts[part];
  part_free(p);
  files->n--;
  memmove(p, p + 1, (files->n - part) * sizeof *p);
}

uint64_t data_files_count(data_files *files) {
  uint64_t n = 0;
  for (size_t i = 0; i < files->n; i++) {
    files->parts[i].first = n;
    n += files->parts[i].rows;
  }
  return n;
}

size_t data_files_find(const data_files *files, uint64_t sample) {
  size_t low = 0;
  size_t high = files->n;
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    if (files->parts[middle].first <= sample)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* ------------------------------------------------------------------ names of files */

#define FILES_MOST ((size_t)1 << 20)

/* Appends a file, copied. */
static ls_status add(data_files *files, const char *file, const char *group, bool is_match) {
  if (files->n == FILES_MOST)
    return ls_fail(LS_ERR_DATA, "the dataset has more than %zu files", FILES_MOST);
  if ((files->n & (files->n - 1)) == 0) { /* full: 0, 1, 2, 4, ... */
    const size_t capacity = ls_size_max(2 * files->n, 1);
    data_part *const parts = realloc(files->parts, capacity * sizeof *parts);
    if (!parts) return ls_fail_memory("the list of files", capacity * sizeof *parts);
    files->parts = parts;
  }
  data_part *const part = &files->parts[files->n++];
  *part =
      (data_part){.file = ls_strdup(file), .group = group ? ls_strdup(group) : NULL, .is_match = is_match};
  return part->file && (part->group || !group) ? LS_OK : ls_fail_memory("a path", strlen(file));
}

/* A list that is being filled, the file or pattern of a name, and its group. */
typedef struct listing {
  data_files *files;
  const char *name;
  const char *group;
} listing;

static ls_status add_file(void *context, const char *file) {
  const listing *const l = context;
  return add(l->files, file, l->group, strcmp(file, l->name) != 0);
}

/* Appends the file or files that a name FILE[:GROUP] stands for. */
static ls_status add_name(data_files *files, const char *name) {
  char *file = NULL;
  char *group = NULL;
  ls_status status = ls_spec_split(name, &file, &group);
  if (status == LS_OK) status = ls_spec_expand(file, add_file, &(listing){files, file, group});
  free(file);
  free(group);
  return status;
}

ls_status data_files_list(const ls_dataset_request *request, data_files *files) {
  if (!request->list) return add_name(files, request->spec);
  for (size_t i = 0; i < ls_node_count(request->list); i++)
    LS_TRY(add_name(files, ls_node_text(ls_node_item(request->list, i))));
  return LS_OK;
}

ls_status ls_spec_has_file(const char *spec, const char *path, bool *has) {
  data_files files = {0};
  const ls_status status = add_name(&files, spec);
  *has = false;
  for (size_t i = 0; status == LS_OK && i < files.n; i++)
    *has = *has || ls_same_file(path, files.parts[i].file);
  data_files_free(&files);
  return status;
}

/* What identifies the samples of a part: the file, whatever its name, and the array x. */
typedef struct identity {
  dev_t device;
  ino_t inode;
  const data_part *part;
} identity;

static int compare_identities(const void *a, const void *b) {
  const identity *const p = a;
  const identity *const q = b;
  if (p->device != q->device) return p->device < q->device ? -1 : 1;
  if (p->inode != q->inode) return p->inode < q->inode ? -1 : 1;
  return strcmp(p->part->names.x, q->part->names.x);
}

ls_status data_files_check_unique(const data_files *files) {
  ls_status status = LS_OK;
  if (files->n < 2) return LS_OK;
  identity *const ids = ls_calloc(files->n, sizeof *ids);
  if (!ids) return ls_fail_memory("the list of files", files->n * sizeof *ids);
  for (size_t i = 0; i < files->n; i++) {
    struct stat about = {0};
    (void)stat(files->parts[i].file, &about); /* it was just open */
    ids[i] = (identity){about.st_dev, about.st_ino, &files->parts[i]};
  }
  qsort(ids, files->n, sizeof *ids, compare_identities);
  for (size_t i = 1; status == LS_OK && i < files->n; i++)
    if (compare_identities(&ids[i - 1], &ids[i]) == 0)
      status = ls_fail(LS_ERR_DATA, "%s:%s: is named twice, also as %s; its samples would be used twice",
                       ids[i].part->file, ids[i].part->names.x, ids[i - 1].part->file);
  free(ids);
  return status;
}

ls_status data_files_check_parts(const data_files *files) {
  size_t n = 0;
  ls_part *const parts = ls_calloc(files->n, sizeof *parts);
  if (!parts) return ls_fail_memory("the list of files", files->n * sizeof *parts);
  for (size_t i = 0; i < files->n; i++) {
    if (files->parts[i].part.number == 0) continue;
    parts[n] = files->parts[i].part;
    parts[n].file = files->parts[i].file;
    parts[n++].is_match = files->parts[i].is_match;
  }
  const ls_status status = ls_parts_check(parts, n);
  free(parts);
  return status;
}

/* ---------------------------------------------------------------------- broadcast */

#define N_TEXTS 5

static char **text_of(data_part *part, size_t k) {
  char **const texts[N_TEXTS] = {&part->file, &part->y_file, &part->names.x, &part->names.y,
                                 &part->names.w};
  return texts[k];
}

/* Rank 0. All texts in one block, each with its final zero; absent ones are empty. */
static char *pack(const data_files *files, uint64_t *bytes) {
  *bytes = 0;
  for (size_t i = 0; i < files->n * N_TEXTS; i++) {
    const char *const text = *text_of(&files->parts[i / N_TEXTS], i % N_TEXTS);
    *bytes += (text ? strlen(text) : 0) + 1;
  }
  char *const block = malloc(*bytes + 1);
  char *to = block;
  for (size_t i = 0; block && i < files->n * N_TEXTS; i++) {
    const char *const text = *text_of(&files->parts[i / N_TEXTS], i % N_TEXTS);
    to = stpcpy(to, text ? text : "") + 1;
  }
  return block;
}

/* Other ranks. numbers: (2, n), samples of each file, and of its chunks. */
static ls_status unpack(const char *block, size_t n, const uint64_t *numbers, data_files *files) {
  const char *from = block;
  files->parts = ls_calloc(n, sizeof *files->parts);
  if (!files->parts) return ls_fail_memory("the list of files", n * sizeof *files->parts);
  files->n = n;
  for (size_t i = 0; i < n; i++) {
    data_part *const part = &files->parts[i];
    part->rows = numbers[i];
    part->chunk_rows = numbers[n + i];
    part->first = i > 0 ? part[-1].first + part[-1].rows : 0;
    for (size_t k = 0; k < N_TEXTS; k++, from += strlen(from) + 1)
      if (*from && !(*text_of(part, k) = ls_strdup(from))) return ls_fail_memory("a path", strlen(from));
  }
  return LS_OK;
}

/* Collective. Sends the states of the files, as rank 0 has seen them, to the ranks that see the same files.
 * On nodes with copies of their own, times and inodes differ; there each rank records what it opens. */
static ls_status share_states(ls_comm *comm, data_files *files) {
  const bool is_root = ls_comm_rank(comm) == 0;
  const size_t n = files->n;
  ls_file_state *const states = ls_calloc(2 * n, sizeof *states); /* of each file and its y_file */
  const ls_status status =
      ls_comm_agree(comm, states ? LS_OK : ls_fail_memory("the list of files", 2 * n * sizeof *states));
  if (status != LS_OK) {
    free(states);
    return status;
  }
  LS_ASSERT(states);
  for (size_t i = 0; is_root && i < n; i++) {
    states[2 * i] = files->parts[i].state;
    states[2 * i + 1] = files->parts[i].y_state;
  }
  ls_comm_broadcast(comm, states, 2 * n * sizeof *states);
  const bool sees_same = !is_root && ls_store_has_state(files->parts[0].file, states[0]);
  for (size_t i = 0; sees_same && i < n; i++) {
    files->parts[i].state = states[2 * i];
    files->parts[i].y_state = states[2 * i + 1];
  }
  free(states);
  return LS_OK;
}

ls_status data_files_broadcast(ls_comm *comm, data_files *files) {
  const bool is_root = ls_comm_rank(comm) == 0;
  uint64_t sizes[2] = {files->n, 0};
  char *block = is_root ? pack(files, &sizes[1]) : NULL;
  ls_comm_broadcast(comm, sizes, sizeof sizes);
  if (!is_root) block = malloc(sizes[1]);
  const size_t n = sizes[0];
  uint64_t *const numbers = ls_calloc(2 * n, sizeof *numbers);
  ls_status status =
      ls_comm_agree(comm, block && numbers ? LS_OK : ls_fail_memory("the list of files", sizes[1]));
  if (status == LS_OK) {
    LS_ASSERT(block && numbers);
    for (size_t i = 0; is_root && i < n; i++) {
      numbers[i] = files->parts[i].rows;
      numbers[n + i] = files->parts[i].chunk_rows;
    }
    ls_comm_broadcast(comm, numbers, 2 * n * sizeof *numbers);
    ls_comm_broadcast(comm, block, sizes[1]);
    status = ls_comm_agree(comm, is_root ? LS_OK : unpack(block, n, numbers, files));
  }
  free(numbers);
  free(block);
  return status == LS_OK ? share_states(comm, files) : status;
}
