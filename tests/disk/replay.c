/* Checks what a power failure may leave: replays a record of calls (see recorder.c) up to each of them, and
 * inspects every state that the disk may then be in.
 *
 *   replay check RECORD SCRATCH [MOST]   counts states and violations; stops at MOST violations
 *   replay dump RECORD FOLDER COUNT      writes COUNT different states, evenly spread, to FOLDER/0, 1 ...
 *   replay end RECORD FOLDER             writes the final state, for a comparison with the real one
 *
 * The model of the disk is pessimistic. Data of a file are safe only after the file was synced, and a
 * change of a name only after its folder was synced. Of the other data there may be all, none, zeros, the
 * first half of what was added, all but any one write, or all but half of the last write; independently,
 * all changes of names, none, all but any one, or any single one. In each state
 *
 *   - the newest usable checkpoint, as the program finds it, is at least the newest one whose name is safe,
 *     and at least the last but one that was published;
 *   - best.h5 and model.h5 are complete or absent, and present if their name is safe;
 *   - if the checkpoint reports a best epoch, its best.h5 exists, and with validation data its model.h5. */
#include "recording.h"

#include "lockstep/checkpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES = 4096, OBJECTS = 4096, PENDING = 65536, DESCRIPTORS = 1024, NOTHING = -1, FOLDER = -2 };

typedef struct bytes {
  unsigned char *data;
  size_t n, capacity;
} bytes;

/* A change of a file's content. A truncation has no data. */
typedef struct change {
  int object;
  bool is_write;
  uint64_t offset; /* or the new length */
  const unsigned char *data;
  size_t n;
} change;

/* A change of up to two names, both or neither. The values are objects, NOTHING or FOLDER. */
typedef struct naming {
  int n, names[2], values[2];
} naming;

typedef enum content { ALL, NONE, ZEROS, SHORT, WITHOUT, HALF } content;
typedef enum naming_kind { N_ALL, N_NONE, N_WITHOUT, N_ONLY } naming_kind;

/* A state: which content, which names; `which` of the pending changes. */
typedef struct variant {
  content content;
  size_t which;
  naming_kind naming;
  size_t which_naming;
} variant;

static char *names[NAMES];
static int n_names, n_objects;
static int sure[NAMES], now[NAMES]; /* values of the names */
static bytes sure_content[OBJECTS], now_content[OBJECTS];
static change pending[PENDING];
static naming namings[PENDING];
static size_t n_pending, n_namings;
static int object_of[DESCRIPTORS];
static uint64_t newest, before; /* steps published; 0: none */

static _Noreturn void fail(const char *what, const char *path) {
  fprintf(stderr, "replay: %s: %s\n", path, what);
  exit(2);
}

/* ------------------------------------------------------------------- content */

static void resize(bytes *b, size_t n) {
  if (n > b->capacity) {
    b->capacity = 2 * n;
    b->data = realloc(b->data, b->capacity);
    if (!b->data) fail("out of memory", "content");
  }
  if (n > b->n) memset(b->data + b->n, 0, n - b->n);
  b->n = n;
}

static void copy(bytes *to, const bytes *from) {
  resize(to, from->n);
  if (from->n) memcpy(to->data, from->data, from->n);
}

/* The first n bytes of a write, or a truncation. */
static void apply(bytes *b, const change *c, size_t n) {
  if (!c->is_write) {
    resize(b, c->offset);
    return;
  }
  if (c->offset + n > b->n) resize(b, c->offset + n);
  if (n) memcpy(b->data + c->offset, c->data, n);
}

/* The pending changes of an object: all, without one, or with half of the last. */
static void rebuild(int object, const variant *v, bytes *out) {
  copy(out, &sure_content[object]);
  for (size_t i = 0; i < n_pending; i++) {
    const change *const c = &pending[i];
    if (c->object != object || (v->content == WITHOUT && i == v->which)) continue;
    apply(out, c, v->content == HALF && i + 1 == n_pending ? c->n / 2 : c->n);
  }
}

static void zero(int object, bytes *out) {
  copy(out, &sure_content[object]);
  resize(out, now_content[object].n);
  for (size_t i = 0; i < n_pending; i++) {
    const change *const c = &pending[i];
    if (c->object == object && c->is_write && c->offset + c->n <= out->n)
      memset(out->data + c->offset, 0, c->n);
  }
}

static bool has_pending(int object) {
  for (size_t i = 0; i < n_pending; i++)
    if (pending[i].object == object) return true;
  return false;
}

/* The content of an object in a state; valid until the next call. */
static const bytes *content_of(int object, const variant *v) {
  static bytes out;
  const bytes *const whole = &now_content[object];
  const bool is_other = (v->content == WITHOUT && pending[v->which].object != object) ||
                        (v->content == HALF && pending[n_pending - 1].object != object);
  if (v->content == ALL || is_other || !has_pending(object)) return whole;
  if (v->content == NONE) return &sure_content[object];
  if (v->content == ZEROS) {
    zero(object, &out);
  } else if (v->content == SHORT) {
    const size_t safe = sure_content[object].n; /* what was synced stays */
    copy(&out, whole);
    if (whole->n > safe) resize(&out, safe + (whole->n - safe) / 2);
  } else {
    rebuild(object, v, &out);
  }
  return &out;
}

/* --------------------------------------------------------------------- names */

static int intern(const char *name) {
  for (int i = 0; i < n_names; i++)
    if (strcmp(names[i], name) == 0) return i;
  if (n_names == NAMES) fail("too many names", name);
  names[n_names] = ls_strdup(name);
  sure[n_names] = now[n_names] = NOTHING;
  return n_names++;
}

/* Whether a name is directly in a folder. */
static bool is_in(const char *name, const char *folder) {
  const char *const slash = strrchr(name, '/');
  if (!slash) return strcmp(folder, ".") == 0;
  const size_t n = (size_t)(slash - name);
  return strlen(folder) == n && strncmp(name, folder, n) == 0;
}

static const char *base_of(const char *name) {
  const char *const slash = strrchr(name, '/');
  return slash ? slash + 1 : name;
}

/* The step of a checkpoint's name, 0 for others. */
static uint64_t step_of(const char *name) {
  unsigned long long step = 0;
  char expected[64];
  if (sscanf(base_of(name), "step-%llu", &step) != 1) return 0;
  snprintf(expected, sizeof expected, "step-%08llu.h5", step);
  return strcmp(base_of(name), expected) == 0 ? step : 0;
}

static void rename_to(const naming *n, int values[NAMES]) {
  for (int i = 0; i < n->n; i++) values[n->names[i]] = n->values[i];
}

/* The object of each name in a state. */
static void values_of(const variant *v, int values[NAMES]) {
  const bool has_all = v->naming == N_ALL;
  memcpy(values, has_all ? now : sure, (size_t)n_names * sizeof *values);
  if (v->naming == N_ONLY) rename_to(&namings[v->which_naming], values);
  for (size_t i = 0; v->naming == N_WITHOUT && i < n_namings; i++)
    if (i != v->which_naming) rename_to(&namings[i], values);
}

/* Whether the folders above a name exist. */
static bool has_parents(int name, const int values[NAMES]) {
  const char *const slash = strrchr(names[name], '/');
  if (!slash) return true;
  char *const parent = ls_format("%.*s", (int)(slash - names[name]), names[name]);
  const int at = intern(parent);
  free(parent);
  return values[at] == FOLDER && has_parents(at, values);
}

/* ----------------------------------------------------------------- the record */

static void add_change(const change *c) {
  if (n_pending == PENDING) fail("too many writes", "record");
  pending[n_pending++] = *c;
  apply(&now_content[c->object], c, c->n);
}

/* `other` < 0: only one name. */
static void add_naming(int name, int value, int other, int other_value) {
  if (n_namings == PENDING) fail("too many names", "record");
  const naming n = {other < 0 ? 1 : 2, {name, other}, {value, other_value}};
  namings[n_namings++] = n;
  rename_to(&n, now);
}

static void publish(int name) {
  const uint64_t step = step_of(names[name]);
  if (step <= newest) return;
  before = newest;
  newest = step;
}

static void replay_open(const event *e, int name) {
  object_of[e->descriptor] = FOLDER;
  if (e->flags & O_DIRECTORY) return;
  if (now[name] == NOTHING) {
    if (!(e->flags & O_CREAT) || n_objects == OBJECTS) fail("was never made", names[name]);
    add_naming(name, n_objects++, -1, 0);
  }
  const int object = object_of[e->descriptor] = now[name];
  if (e->flags & O_TRUNC && object >= 0 && now_content[object].n > 0)
    add_change(&(change){.object = object});
}

static void sync_object(int object) {
  size_t left = 0;
  copy(&sure_content[object], &now_content[object]);
  for (size_t i = 0; i < n_pending; i++)
    if (pending[i].object != object) pending[left++] = pending[i];
  n_pending = left;
}

static void sync_folder(const char *folder) {
  size_t left = 0;
  for (size_t i = 0; i < n_namings; i++) {
    if (is_in(names[namings[i].names[0]], folder))
      rename_to(&namings[i], sure);
    else
      namings[left++] = namings[i];
  }
  n_namings = left;
}

static void replay_sync(const event *e, const char *path) {
  if (object_of[e->descriptor] == FOLDER)
    sync_folder(path);
  else
    sync_object(object_of[e->descriptor]);
}

static void replay_names(const event *e, int name, int other) {
  if (e->kind == CALL_MKDIR) add_naming(name, FOLDER, -1, 0);
  if (e->kind == CALL_UNLINK) add_naming(name, NOTHING, -1, 0);
  if (e->kind == CALL_LINK) add_naming(other, now[name], -1, 0);
  if (e->kind == CALL_RENAME) add_naming(name, NOTHING, other, now[name]);
  if (other >= 0) publish(other);
}

static void replay_event(const event *e, const char *path, const char *other, const unsigned char *data) {
  if (e->descriptor < 0 || e->descriptor >= DESCRIPTORS) fail("a wild descriptor", path);
  const change c = {object_of[e->descriptor], e->kind == CALL_WRITE, e->offset, data, e->data_bytes};
  switch ((call)e->kind) {
  case CALL_OPEN: replay_open(e, intern(path)); break;
  case CALL_WRITE:
  case CALL_TRUNCATE: add_change(&c); break;
  case CALL_FSYNC: replay_sync(e, path); break;
  case CALL_RENAME:
  case CALL_LINK:
  case CALL_UNLINK:
  case CALL_MKDIR: replay_names(e, intern(path), e->other_bytes ? intern(other) : -1); break;
  default: break;
  }
}

/* ------------------------------------------------------------------ the states */

typedef void look(const variant *v, bool is_write, size_t at, void *context);

static void each_naming(variant v, bool is_write, size_t at, look *see, void *context) {
  v.naming = N_ALL;
  see(&v, is_write, at, context);
  if (n_namings == 0) return;
  v.naming = N_NONE;
  see(&v, is_write, at, context);
  for (v.which_naming = 0; v.which_naming < n_namings; v.which_naming++) {
    v.naming = N_ONLY;
    see(&v, is_write, at, context);
    v.naming = N_WITHOUT;
    see(&v, is_write, at, context);
  }
}

/* All possible states after the call `at`. */
static void each_state(bool is_write, size_t at, look *see, void *context) {
  each_naming((variant){.content = ALL}, is_write, at, see, context);
  if (n_pending == 0) return;
  const content kinds[] = {NONE, ZEROS, SHORT};
  for (int i = 0; i < 3; i++) each_naming((variant){.content = kinds[i]}, is_write, at, see, context);
  if (is_write) each_naming((variant){.content = HALF}, is_write, at, see, context);
  for (size_t i = 0; i < n_pending; i++) {
    see(&(variant){.content = WITHOUT, .which = i}, is_write, at, context);
    see(&(variant){.content = WITHOUT, .which = i, .naming = N_NONE}, is_write, at, context);
  }
}

static unsigned char *read_record(const char *path, size_t *n) {
  FILE *const file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) fail("cannot be read", path);
  *n = (size_t)ftell(file);
  unsigned char *const data = malloc(*n + 1);
  rewind(file);
  if (!data || fread(data, 1, *n, file) != *n) fail("cannot be read", path);
  fclose(file);
  return data;
}

static void forget_all(void) {
  for (int i = 0; i < n_objects; i++) sure_content[i].n = now_content[i].n = 0;
  for (int i = 0; i < n_names; i++) sure[i] = now[i] = NOTHING;
  n_pending = n_namings = 0;
  n_objects = 0;
  newest = before = 0;
}

/* Replays the record. `see`, unless NULL, gets each state and may clear *goes_on. Returns the number of
 * calls. */
static size_t replay(const unsigned char *data, size_t n, const bool *goes_on, look *see, void *context) {
  size_t at = 0;
  forget_all();
  for (size_t place = 0; place < n && (!goes_on || *goes_on); at++) {
    event e;
    memcpy(&e, data + place, sizeof e);
    const char *const texts = (const char *)data + place + sizeof e;
    char *const path = ls_format("%.*s", (int)e.path_bytes, texts);
    char *const other = ls_format("%.*s", (int)e.other_bytes, texts + e.path_bytes);
    replay_event(&e, path, other, (const unsigned char *)texts + e.path_bytes + e.other_bytes);
    if (see && e.kind != CALL_CLOSE) each_state(e.kind == CALL_WRITE, at, see, context);
    free(path);
    free(other);
    place += sizeof e + e.path_bytes + e.other_bytes + e.data_bytes;
  }
  return at;
}

/* ------------------------------------------------------------------- on the disk */

static void write_bytes(const char *path, const bytes *b) {
  const int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) fail("cannot be written", path);
  if (b->n && write(descriptor, b->data, b->n) != (ssize_t)b->n) fail("cannot be written", path);
  close(descriptor);
}

/* Writes a state below a folder, names in the order of their creation, so that folders come first. */
static void write_state(const variant *v, const char *folder) {
  static int values[NAMES];
  values_of(v, values);
  mkdir(folder, 0755);
  for (int i = 0; i < n_names; i++) {
    if (values[i] == NOTHING || !has_parents(i, values)) continue;
    char *const path = ls_format("%s/%s", folder, names[i]);
    if (values[i] == FOLDER)
      mkdir(path, 0755);
    else
      write_bytes(path, content_of(values[i], v));
    free(path);
  }
}

/* A digest of the content of a state under the relevant names: all, or those that are checked. */
static ls_digest digest_of(const variant *v, const int values[NAMES], bool (*counts)(const char *)) {
  ls_digest parts[64];
  size_t n = 0;
  for (int i = 0; i < n_names; i++) {
    if (values[i] == NOTHING || !counts(names[i]) || !has_parents(i, values)) continue;
    if (n + 2 > sizeof parts / sizeof parts[0]) fail("too many files at a time", names[i]);
    const bytes *const b = values[i] == FOLDER ? NULL : content_of(values[i], v);
    parts[n++] = (ls_digest){(uint64_t)i, b ? b->n : UINT64_MAX};
    parts[n++] = b ? ls_digest_of(b->data, b->n) : (ls_digest){0};
  }
  return ls_digest_of(parts, n * sizeof parts[0]);
}

/* ------------------------------------------------------------------------ check */

typedef enum health { ABSENT, WHOLE, DAMAGED } health;

/* What the program finds in a state. */
typedef struct verdict {
  ls_digest key;
  uint64_t step, best_epoch; /* of the checkpoint; step 0: none */
  bool validates;            /* it has validation data, so that model.h5 is of the best epoch */
  health best, model;
  uint64_t best_of_best; /* the best epoch according to best.h5 */
  char message[256];
} verdict;

typedef struct checking {
  const char *scratch;
  verdict *known;
  size_t n_known, capacity;
  size_t n_states, n_violations, most;
  bool goes_on;
} checking;

static bool is_looked_at(const char *name) {
  return step_of(name) > 0 || strcmp(base_of(name), "best.h5") == 0 ||
         strcmp(base_of(name), "model.h5") == 0;
}

static void empty_folder(const char *path) {
  DIR *const folder = opendir(path);
  for (const struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder)) {
    char *const file = ls_format("%s/%s", path, entry->d_name);
    unlink(file);
    free(file);
  }
  if (folder) closedir(folder);
  mkdir(path, 0755);
}

static health health_of(const char *path, uint64_t *best_epoch) {
  ls_modelfile *saved = NULL;
  ls_progress progress = {0};
  if (access(path, F_OK) != 0) return ABSENT;
  bool whole = ls_modelfile_open(path, &saved) == LS_OK;
  if (whole && saved->is_checkpoint) whole = ls_checkpoint_read_progress(saved, &progress) == LS_OK;
  *best_epoch = progress.best_epoch;
  ls_modelfile_close(&saved);
  return whole ? WHOLE : DAMAGED;
}

/* Lets the program inspect a state. */
static void examine(const variant *v, const int values[NAMES], const char *scratch, verdict *out) {
  ls_modelfile *saved = NULL;
  ls_progress progress = {0};
  uint64_t none;
  empty_folder(scratch);
  for (int i = 0; i < n_names; i++) {
    if (values[i] < 0 || !is_looked_at(names[i]) || !has_parents(i, values)) continue;
    char *const path = ls_format("%s/%s", scratch, base_of(names[i]));
    write_bytes(path, content_of(values[i], v));
    free(path);
  }
  char *const best = ls_format("%s/best.h5", scratch);
  char *const model = ls_format("%s/model.h5", scratch);
  out->best = health_of(best, &out->best_of_best);
  out->model = health_of(model, &none);
  free(best);
  free(model);
  if (ls_checkpoint_find(scratch, &(ls_modelfile *){NULL}, &saved) != LS_OK)
    snprintf(out->message, sizeof out->message, "%.200s", ls_message());
  else if (saved && ls_checkpoint_read_progress(saved, &progress) != LS_OK)
    fail("was found, but cannot be read", ls_store_path(saved->store));
  out->step = progress.step;
  out->best_epoch = progress.best_epoch;
  out->validates = progress.validation.low != 0;
  ls_modelfile_close(&saved);
}

static const verdict *verdict_on(checking *c, const variant *v, const int values[NAMES]) {
  const ls_digest key = digest_of(v, values, is_looked_at);
  for (size_t i = c->n_known; i-- > 0;)
    if (ls_digest_equal(c->known[i].key, key)) return &c->known[i];
  if (c->n_known == c->capacity) {
    c->capacity = 2 * c->capacity + 64;
    c->known = realloc(c->known, c->capacity * sizeof *c->known);
    if (!c->known) fail("out of memory", "verdicts");
  }
  verdict *const new = &c->known[c->n_known++];
  *new = (verdict){.key = key};
  examine(v, values, c->scratch, new);
  return new;
}

/* The newest step whose name is safe. */
static uint64_t sure_step(void) {
  uint64_t most = 0;
  for (int i = 0; i < n_names; i++)
    if (sure[i] >= 0 && step_of(names[i]) > most) most = step_of(names[i]);
  return most;
}

static bool is_sure(const char *base) {
  for (int i = 0; i < n_names; i++)
    if (sure[i] >= 0 && strcmp(base_of(names[i]), base) == 0) return true;
  return false;
}

/* The violation in a state; NULL: none. */
static const char *judge(const verdict *found) {
  const uint64_t least = sure_step() > before ? sure_step() : before;
  if (found->step < least) return found->step ? "an older checkpoint" : "no checkpoint";
  if (found->best == DAMAGED) return "best.h5 is damaged";
  if (found->model == DAMAGED) return "model.h5 is damaged";
  if (found->best == ABSENT && is_sure("best.h5")) return "best.h5 is gone";
  if (found->model == ABSENT && is_sure("model.h5")) return "model.h5 is gone";
  if (found->best_epoch == 0) return NULL;
  if (found->best == ABSENT || found->best_of_best < found->best_epoch)
    return "best.h5 is older than reported";
  return found->validates && found->model == ABSENT ? "model.h5 is missing" : NULL;
}

static void check_state(const variant *v, bool is_write, size_t at, void *context) {
  static int values[NAMES];
  checking *const c = context;
  (void)is_write;
  if (!c->goes_on) return;
  values_of(v, values);
  const verdict *const found = verdict_on(c, v, values);
  const char *const wrong = judge(found);
  c->n_states++;
  if (!wrong) return;
  if (c->n_violations++ < 5)
    printf("violation after call %zu (content %d of %zu, names %d of %zu): %s; found step %llu, published "
           "%llu "
           "and %llu %s\n",
           at, (int)v->content, v->which, (int)v->naming, v->which_naming, wrong,
           (unsigned long long)found->step, (unsigned long long)before, (unsigned long long)newest,
           found->message);
  c->goes_on = c->n_violations < c->most;
}

static int run_check(const unsigned char *data, size_t n, const char *scratch, size_t most) {
  checking c = {.scratch = scratch, .most = most, .goes_on = true};
  ls_log_enable(false);
  const size_t calls = replay(data, n, &c.goes_on, check_state, &c);
  printf("%zu calls, %zu states, %zu of them different, %zu violations\n", calls, c.n_states, c.n_known,
         c.n_violations);
  free(c.known);
  return c.n_violations > 0;
}

/* ------------------------------------------------------------------------- dump */

typedef struct dumping {
  const char *folder; /* NULL: only counts */
  ls_digest *known;
  size_t n_known, capacity;
  size_t wanted, all, written;
} dumping;

static bool is_any(const char *name) {
  (void)name;
  return true;
}

static bool is_new(dumping *d, ls_digest key) {
  for (size_t i = d->n_known; i-- > 0;)
    if (ls_digest_equal(d->known[i], key)) return false;
  if (d->n_known == d->capacity) {
    d->capacity = 2 * d->capacity + 1024;
    d->known = realloc(d->known, d->capacity * sizeof *d->known);
    if (!d->known) fail("out of memory", "states");
  }
  d->known[d->n_known++] = key;
  return true;
}

static void dump_state(const variant *v, bool is_write, size_t at, void *context) {
  static int values[NAMES];
  dumping *const d = context;
  (void)is_write;
  (void)at;
  values_of(v, values);
  if (!is_new(d, digest_of(v, values, is_any)) || !d->folder) return;
  if ((d->n_known - 1) * d->wanted / d->all < d->written) return;
  char *const path = ls_format("%s/%zu", d->folder, d->written++);
  write_state(v, path);
  free(path);
}

static int run_dump(const unsigned char *data, size_t n, const char *folder, size_t wanted) {
  dumping count = {0};
  replay(data, n, NULL, dump_state, &count);
  dumping write = {.folder = folder, .wanted = wanted, .all = count.n_known};
  replay(data, n, NULL, dump_state, &write);
  printf("%zu of %zu states\n", write.written, count.n_known);
  free(count.known);
  free(write.known);
  return 0;
}

static int run_end(const unsigned char *data, size_t n, const char *folder) {
  replay(data, n, NULL, NULL, NULL);
  write_state(&(variant){0}, folder);
  return 0;
}

int main(int argc, char **argv) {
  size_t n = 0;
  if (argc < 4) fail("see the head of replay.c for its arguments", argv[0]);
  unsigned char *const data = read_record(argv[2], &n);
  const size_t number = argc > 4 ? strtoul(argv[4], NULL, 10) : SIZE_MAX;
  int code = 2;
  if (strcmp(argv[1], "check") == 0) code = run_check(data, n, argv[3], number);
  if (strcmp(argv[1], "dump") == 0 && argc > 4) code = run_dump(data, n, argv[3], number);
  if (strcmp(argv[1], "end") == 0) code = run_end(data, n, argv[3]);
  free(data);
  return code;
}
