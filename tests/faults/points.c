/* The implementation of fault points: the list of sites, the armed site, the log. */
#include "points.h"

#undef calloc
#undef fclose
#undef fopen
#undef fprintf
#undef malloc

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>

/* The linker's names of both ends of the section that LS_FAULT_AT fills. */
extern ls_fault_site *const __start_ls_faults[];
extern ls_fault_site *const __stop_ls_faults[];

/* The linker's name of the start of the program in memory, which differs between runs. */
extern const char __executable_start[];

enum { NAME_MAX_BYTES = 256, FRAMES = 4 };

/* A caller of a site, with the number of the first passage from it. */
typedef struct way {
  struct way *next;
  const ls_fault_site *site;
  unsigned long nth;
  size_t from[2]; /* return addresses, relative to the start of the program */
} way;

static ls_fault_site **sites; /* sorted; each once */
static size_t n_sites;
static int rank;
static const char *log_prefix;
static way *ways; /* under the mutex */
static pthread_mutex_t ways_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
  char *text; /* a copy of LOCKSTEP_FAULT, split into its fields */
  ls_fault_site *site;
  unsigned long nth;
  bool from; /* all later passages fail too */
  const char *action;
  bool fired;
} armed;

/* The part of a path below src or include; the whole path if neither is part of it. */
static const char *below_source(const char *file) {
  static const char *const tops[] = {"src/", "include/"};
  for (size_t i = 0; i < 2; i++)
    for (const char *at = strstr(file, tops[i]); at; at = strstr(at + 1, tops[i]))
      if (at == file || at[-1] == '/') return at + strlen(tops[i]);
  return file;
}

static const char *name_of(const ls_fault_site *site, char name[NAME_MAX_BYTES]) {
  const int n =
      snprintf(name, NAME_MAX_BYTES, "%s:%s:%s", below_source(site->file), site->function, site->call);
  if (site->number > 1) snprintf(name + n, (size_t)(NAME_MAX_BYTES - n), "#%d", site->number);
  return name;
}

/* Orders sites by file, function and call, but not by line. */
static int compare_calls(const ls_fault_site *a, const ls_fault_site *b) {
  int order = strcmp(below_source(a->file), below_source(b->file));
  if (order == 0) order = strcmp(a->function, b->function);
  return order ? order : strcmp(a->call, b->call);
}

static int compare_sites(const void *a, const void *b) {
  const ls_fault_site *const x = *(ls_fault_site *const *)a;
  const ls_fault_site *const y = *(ls_fault_site *const *)b;
  const int order = compare_calls(x, y);
  return order ? order : x->line - y->line;
}

/* Copies the section to `sites`, and returns the number of sites. The address sanitizer of GCC 14
 * pads the section with zeros, which it must not check here. */
__attribute__((no_sanitize("address"))) static size_t copy_sites(void) {
  size_t n = 0;
  for (ls_fault_site *const *at = __start_ls_faults; at < __stop_ls_faults; at++)
    if (*at) sites[n++] = *at;
  return n;
}

/* Sorts the sites, numbers those with the same name and merges those on the same line. */
static void list_sites(void) {
  sites = calloc((size_t)(__stop_ls_faults - __start_ls_faults) + 1, sizeof(ls_fault_site *));
  if (!sites) abort();
  const size_t n = copy_sites();
  qsort(sites, n, sizeof(ls_fault_site *), compare_sites);
  for (size_t i = 0; i < n; i++) {
    ls_fault_site *const site = sites[i];
    site->first = site;
    site->number = 1;
    if (n_sites > 0 && compare_calls(sites[n_sites - 1], site) == 0) {
      ls_fault_site *const before = sites[n_sites - 1];
      site->first = before->line == site->line ? before : site;
      site->number = before->number + 1;
    }
    if (site->first == site) sites[n_sites++] = site;
  }
}

static void print_sites(void) {
  char name[NAME_MAX_BYTES];
  for (size_t i = 0; i < n_sites; i++) printf("%s %d\n", name_of(sites[i], name), sites[i]->line);
}

static _Noreturn void refuse(const char *text) {
  fprintf(stderr, "LOCKSTEP_FAULT=%s: must be SITE:RANK:NTH[:kill|exit|stop], or list to print the sites\n",
          text);
  exit(1);
}

/* Removes the last field from a text and returns it; NULL if there is none. */
static char *cut_last(char *text) {
  char *const colon = strrchr(text, ':');
  if (!colon) return NULL;
  *colon = '\0';
  return colon + 1;
}

/* Arms the site in `text` if its rank is this rank. */
static void arm(const char *text) {
  char name[NAME_MAX_BYTES];
  char *const site = armed.text = strdup(text);
  char *const last = site ? cut_last(site) : NULL;
  const bool has_action = last && strchr("kes", last[0]);
  char *const nth = has_action ? cut_last(site) : last;
  const char *const at = nth ? cut_last(site) : NULL;
  char *end = NULL;
  if (!at) refuse(text);
  armed.nth = strtoul(nth, &end, 10);
  armed.from = *end == '+';
  armed.action = has_action ? last : "";
  ls_fault_site *found = NULL;
  for (size_t i = 0; i < n_sites; i++)
    if (strcmp(name_of(sites[i], name), site) == 0) found = sites[i];
  if (!found || armed.nth == 0) refuse(text);
  if (strtol(at, NULL, 10) == rank) armed.site = found;
}

/* Records the caller of the function with the site, unless it is known. For a site in base, whose
 * allocation functions have many callers, the caller's caller counts too. */
__attribute__((noinline)) static void note_way(const ls_fault_site *site, unsigned long nth) {
  void *frames[FRAMES + 1] = {NULL}; /* note_way, ls_fault_pass, the site, two callers */
  const int n = backtrace(frames, FRAMES + 1);
  const bool is_base = strncmp(below_source(site->file), "base/", 5) == 0;
  size_t from[2] = {0};
  for (int i = 0; i < (is_base ? 2 : 1) && FRAMES - 1 + i < n; i++)
    from[i] = (size_t)((const char *)frames[FRAMES - 1 + i] - __executable_start);
  pthread_mutex_lock(&ways_mutex);
  const way *w = ways;
  while (w && (w->site != site || w->from[0] != from[0] || w->from[1] != from[1])) w = w->next;
  way *const added = w ? NULL : malloc(sizeof *added);
  if (added) {
    *added = (way){.next = ways, .site = site, .nth = nth, .from = {from[0], from[1]}};
    ways = added;
  }
  pthread_mutex_unlock(&ways_mutex);
}

static void write_log(int code, void *unused) {
  char name[NAME_MAX_BYTES];
  char path[4096];
  (void)unused;
  snprintf(path, sizeof path, "%s.%d", log_prefix, rank);
  FILE *const file = fopen(path, "w");
  if (!file) abort();
  for (size_t i = 0; i < n_sites; i++)
    if (sites[i]->passed > 0) fprintf(file, "passed %lu %s\n", sites[i]->passed, name_of(sites[i], name));
  for (const way *w = ways; w; w = w->next)
    fprintf(file, "way %lu %zx-%zx %s\n", w->nth, w->from[0], w->from[1], name_of(w->site, name));
  if (armed.fired) fprintf(file, "fired %s\n", name_of(armed.site, name));
  fprintf(file, "exit %d\n", code);
  fclose(file);
}

/* The rank according to the launcher, because MPI has not started yet. */
static int rank_of_process(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (getenv(names[i])) return atoi(getenv(names[i]));
  return 0;
}

__attribute__((constructor)) static void start(void) {
  const char *const fault = getenv("LOCKSTEP_FAULT");
  list_sites();
  rank = rank_of_process();
  if (fault && strcmp(fault, "list") == 0) {
    print_sites();
    exit(0);
  }
  if (fault) arm(fault);
  log_prefix = getenv("LOCKSTEP_FAULT_LOG");
  if (log_prefix && on_exit(write_log, NULL) != 0) abort();
}

bool ls_fault_pass(ls_fault_site *site) {
  ls_fault_site *const first = site->first ? site->first : site;
  const unsigned long n = __atomic_add_fetch(&first->passed, 1, __ATOMIC_RELAXED);
  if (log_prefix && !armed.site) note_way(first, n);
  if (first != armed.site || n < armed.nth || (n > armed.nth && !armed.from)) return false;
  armed.fired = true;
  if (armed.action[0] == 'k') raise(SIGKILL);
  if (armed.action[0] == 's') raise(SIGSTOP);
  if (armed.action[0] == 'e') exit(1);
  errno = first->error;
  return true;
}

long ls_fault_stream(FILE *stream, long value) {
  const int error = errno;
  if (stream) stream->_flags |= 0x20; /* glibc's error flag; no public function sets it */
  errno = error;
  return value;
}

int ls_fault_yaml_parse(yaml_parser_t *parser) {
  parser->error = YAML_MEMORY_ERROR;
  return 0;
}

int ls_fault_yaml_emit(yaml_event_t *event) {
  yaml_event_delete(event);
  return 0;
}

int ls_fault_png(png_image *image) {
  image->warning_or_error = PNG_IMAGE_ERROR;
  snprintf(image->message, sizeof image->message, "no space left on device");
  return 0;
}
