/* Runs a fuzz target without libFuzzer: fuzz_X CORPUS COUNT [FIRST]
 *
 * Runs the unchanged files of the folder CORPUS, then COUNT mutations of them, starting at number FIRST
 * (default 0). A number always gives the same input. The inputs run in a child process. If it crashes, the
 * parent saves the input in the current folder as finding-X-NUMBER and continues with the next one.
 *
 * These are findings: a crash, a report of a sanitizer, a verdict of the target, an input that takes longer
 * than SECONDS, and a resident size above MEMORY. Crashes inside HDF5 on its own memory are counted
 * separately, because no caller can prevent them. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS      10
#define MEMORY       ((long)600 << 10) /* KiB resident */
#define SEEDS_MAX    64
#define BYTES_MAX    ((size_t)64 << 10) /* largest input */
#define FINDINGS_MAX 20

typedef struct bytes {
  uint8_t data[BYTES_MAX];
  size_t n;
} bytes;

/* What the child reports to the parent, in shared memory. */
typedef struct shared {
  uint64_t input; /* the current one; seeds come before mutations */
  uint64_t n_read;
  bool is_through;
} shared;

static bytes *seeds;
static size_t n_seeds;
static shared *told;
static volatile sig_atomic_t child; /* 0: none */
static volatile sig_atomic_t ended; /* the signal that ends the parent; 0: none */

static _Noreturn void give_up(const char *what) {
  perror(what);
  exit(2);
}

/* --------------------------------------------------------------------- mutation */

/* The random numbers of one input. */
typedef struct stream {
  ls_rng rng;
  uint64_t sample;
  uint32_t block, left, words[4];
} stream;

static uint32_t draw(stream *s, size_t below) {
  if (s->left == 0) {
    ls_rng_block(&s->rng, s->sample, s->block++, s->words);
    s->left = 4;
  }
  return (uint32_t)((uint64_t)s->words[--s->left] * below >> 32);
}

/* Replaces `gone` bytes at `at` by n bytes of data. */
static void replace(bytes *b, size_t at, size_t gone, const void *data, size_t n) {
  if (at + gone > b->n) gone = b->n - at;
  if (b->n - gone + n > BYTES_MAX) return;
  memmove(b->data + at + n, b->data + at + gone, b->n - at - gone);
  if (n) memcpy(b->data + at, data, n);
  b->n += n - gone;
}

static void put_number(stream *s, bytes *b, size_t at) {
  static const uint64_t limits[] = {0,          1,          2,          0x7f,       0x80,       0xff,
                                    0x7fff,     0x8000,     0xffff,     0x7fffffff, 0x80000000, 0xffffffff,
                                    1ULL << 32, 1ULL << 40, 1ULL << 60, INT64_MAX,  1ULL << 63, UINT64_MAX};
  const uint64_t value = limits[draw(s, sizeof limits / sizeof *limits)];
  const size_t width = (size_t)1 << draw(s, 4);
  const bool is_big = draw(s, 2);
  uint8_t stored[8];
  for (size_t i = 0; i < width; i++) stored[is_big ? width - 1 - i : i] = (uint8_t)(value >> (8 * i));
  replace(b, at, width, stored, width);
}

static void put_word(stream *s, bytes *b, size_t at) {
  static const char *const words[] = {"-1",
                                      "1e999",
                                      "1e-999",
                                      ".nan",
                                      "nan",
                                      "inf",
                                      "99999999999999999999",
                                      "0x7f",
                                      "1e15",
                                      "4294967296",
                                      "\"",
                                      "'",
                                      ",",
                                      ",,",
                                      "\n",
                                      "\r\n",
                                      "\r",
                                      "\t",
                                      "{",
                                      "}",
                                      "[",
                                      "]",
                                      ": ",
                                      "- ",
                                      "? ",
                                      "| ",
                                      "> ",
                                      "#",
                                      "&a ",
                                      "*a",
                                      "!!int ",
                                      "<<: ",
                                      "---\n",
                                      "...\n",
                                      "%YAML 1.1\n",
                                      "\\x",
                                      "\xef\xbb\xbf",
                                      "\xff",
                                      "\xc0\x80",
                                      "\xe2\x80\xa8",
                                      "null",
                                      "~",
                                      "true",
                                      "full",
                                      "layer: residual",
                                      "layers: "};
  const char *const word = words[draw(s, sizeof words / sizeof *words)];
  replace(b, at, draw(s, 2) ? draw(s, 8) : 0, word, strlen(word));
}

/* Copies a part of a random seed to `at`. */
static void put_piece(stream *s, bytes *b, size_t at) {
  const bytes *const from = &seeds[draw(s, n_seeds)];
  const size_t start = draw(s, from->n + 1);
  const size_t longest = draw(s, 4) ? 32 : 4096;
  const size_t n = draw(s, ls_size_min(from->n - start, longest) + 1);
  replace(b, at, draw(s, 2) ? n : 0, from->data + start, n);
}

static void edit(stream *s, bytes *b) {
  const size_t at = draw(s, b->n + 1);
  const uint8_t byte = (uint8_t)draw(s, 256);
  switch (draw(s, 8)) {
  case 0:
  case 1:
    if (at < b->n) b->data[at] ^= (uint8_t)(1U << draw(s, 8));
    break;
  case 2: replace(b, at, 1, &byte, 1); break;
  case 3: replace(b, at, 0, &byte, 1); break;
  case 4: replace(b, at, draw(s, draw(s, 8) ? 16 : b->n + 1), NULL, 0); break;
  case 5: put_number(s, b, at); break;
  case 6: put_word(s, b, at); break;
  default: put_piece(s, b, at);
  }
}

static void mutate(uint64_t number, bytes *b) {
  stream s = {.rng = ls_rng_make(1, LS_RNG_CHECK, 1, 0), .sample = number};
  const bytes *const seed = &seeds[draw(&s, n_seeds)];
  b->n = seed->n;
  memcpy(b->data, seed->data, seed->n);
  const uint32_t n_edits =
      1U << draw(&s, draw(&s, 4) ? 2 : 4); /* mostly few, because most edits make a file unreadable */
  for (uint32_t i = 0; i < n_edits; i++) edit(&s, b);
}

/* Input i of a run: an unchanged seed or a mutation. */
static void make_input(uint64_t i, uint64_t first, bytes *b) {
  if (i >= n_seeds) {
    mutate(first + i - n_seeds, b);
    return;
  }
  b->n = seeds[i].n;
  memcpy(b->data, seeds[i].data, b->n);
}

/* ---------------------------------------------------------------------- files */

static void read_file(const char *path, bytes *b) {
  FILE *const file = path ? fopen(path, "rb") : NULL;
  if (!file) give_up(path);
  b->n = fread(b->data, 1, BYTES_MAX, file);
  if (ferror(file) || fgetc(file) != EOF) give_up(path);
  fclose(file);
}

static int is_seed(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static void read_seeds(const char *folder) {
  struct dirent **entries = NULL;
  const int n = scandir(folder, &entries, is_seed, alphasort);
  if (n <= 0 || n > SEEDS_MAX) give_up(folder);
  seeds = calloc((size_t)n, sizeof *seeds);
  for (int i = 0; i < n; i++) {
    char *const path = ls_format("%s/%s", folder, entries[i]->d_name);
    read_file(path, &seeds[n_seeds++]);
    free(path);
    free(entries[i]);
  }
  free(entries);
}

/* Creates a folder for the files of the targets, in memory if possible, and makes it the current one. */
static void enter_scratch(char *path, size_t size) {
  snprintf(path, size, "/dev/shm/lockstep-fuzz-XXXXXX");
  if (!mkdtemp(path)) {
    snprintf(path, size, "/tmp/lockstep-fuzz-XXXXXX");
    if (!mkdtemp(path)) give_up(path);
  }
  if (chdir(path) != 0) give_up(path);
}

static void leave_scratch(const char *path) {
  struct dirent **entries = NULL;
  const int n = scandir(".", &entries, is_seed, alphasort);
  for (int i = 0; i < n; i++) {
    unlink(entries[i]->d_name);
    free(entries[i]);
  }
  free(entries);
  rmdir(path);
}

/* ----------------------------------------------------------------------- the child */

static void on_alarm(int number) {
  (void)number;
  static const char text[] = "finding: too slow\n";
  if (write(STDERR_FILENO, text, sizeof text - 1) > 0) abort();
  _exit(1);
}

static void check_memory(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  if (use.ru_maxrss <= MEMORY) return;
  fprintf(stderr, "finding: %ld MiB of memory\n", use.ru_maxrss >> 10);
  abort();
}

/* A function of the sanitizers; NULL in a build without sanitizers. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* Runs inputs told->input .. n - 1. */
static _Noreturn void run_child(int argc, char **argv, uint64_t first, uint64_t n) {
  static bytes b;
  const int out = open("stderr", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (out < 0 || dup2(out, STDERR_FILENO) < 0) give_up("stderr");
  signal(SIGALRM, on_alarm);
  LLVMFuzzerInitialize(&argc, &argv);
  for (; told->input < n; told->input++) {
    make_input(told->input, first, &b);
    uint8_t *const exact = malloc(b.n + (b.n == 0)); /* the sanitizer detects a read past its end */
    memcpy(exact, b.data, b.n);
    alarm(SECONDS);
    const uint64_t before = fuzz_n_read;
    LLVMFuzzerTestOneInput(exact, b.n);
    alarm(0);
    told->n_read += fuzz_n_read != before;
    free(exact);
    check_memory();
  }
  told->is_through = true;
  /* The leak check runs before MPI_Finalize, whose threads would end during the check. */
  _exit(__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() ? 1 : 0);
}

/* --------------------------------------------------------------------- the parent */

/* Ends the child, for which the parent waits; the parent then ends normally. */
static void on_end(int number) {
  ended = number;
  if (child > 0) kill(child, SIGKILL);
}

static void catch_ends(void (*handler)(int)) {
  signal(SIGTERM, handler);
  signal(SIGINT, handler);
}

/* Whether a line of a report is a stack frame that shows where the error is. Frames of the sanitizers, of
 * libc and of this driver do not. */
static bool is_telling(const char *line) {
  static const char *const others[] = {"libsanitizer", "libasan", "libubsan", "libc.so",
                                       "sysdeps/",     "libio/",  "driver.c", "linux-gnu/libz."};
  if (!strstr(line, "    #")) return false;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (strstr(line, others[i])) return false;
  return true;
}

/* Whether every stack of the report (of the error, of the allocation and of the release of the memory)
 * begins in HDF5. */
static bool is_inside_hdf5(FILE *report) {
  char line[4096];
  bool awaits = false;
  size_t n_stacks = 0;
  bool inside = true;
  while (fgets(line, sizeof line, report)) {
    if (strstr(line, "runtime error:") || strstr(line, "finding: a") || strstr(line, "LeakSanitizer"))
      return false;
    if (strstr(line, "    #0 ")) awaits = true;
    if (!awaits || !is_telling(line)) continue;
    awaits = false;
    n_stacks++;
    inside = inside && strstr(line, "libhdf5");
  }
  return inside && n_stacks > 0;
}

static void show(FILE *report) {
  char line[4096];
  rewind(report);
  for (int i = 0; i < 60 && fgets(line, sizeof line, report); i++) fputs(line, stdout);
}

static void save(const char *folder, const char *name, uint64_t number, const bytes *b) {
  char *const path = ls_format("%s/finding-%s-%llu", folder, name, (unsigned long long)number);
  FILE *const file = path ? fopen(path, "wb") : NULL;
  if (!file || fwrite(b->data, 1, b->n, file) != b->n || fclose(file) != 0) perror(path);
  free(path);
}

/* Runs the inputs in children until all are done. Returns the number of findings. */
static int run_all(int argc, char **argv, const char *folder, uint64_t first, uint64_t n, int *inside) {
  static bytes b;
  int n_findings = 0;
  while (!told->is_through && n_findings < FINDINGS_MAX && !ended) {
    int state = 0;
    fflush(stdout);
    child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) {
      catch_ends(SIG_DFL);
      run_child(argc, argv, first, n);
    }
    if (ended) kill(child, SIGKILL); /* the signal arrived before `child` was set */
    waitpid(child, &state, 0);
    child = 0;
    if (ended) break;
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0 && told->is_through) break;
    FILE *const report = fopen("stderr", "r");
    if (!report) give_up("stderr");
    const bool is_hdf5 = !told->is_through && is_inside_hdf5(report);
    const char *const name = strrchr(argv[0], '_') + 1;
    *inside += is_hdf5;
    n_findings += !is_hdf5;
    printf("%s: input %llu: %s\n", name, (unsigned long long)told->input,
           is_hdf5 ? "HDF5 crashes or hangs" : "finding");
    if (!is_hdf5 || getenv("FUZZ_SHOW")) show(report);
    fclose(report);
    if (!told->is_through) make_input(told->input, first, &b);
    if (!told->is_through && !is_hdf5) save(folder, name, told->input, &b);
    told->input++;
  }
  return n_findings;
}

int main(int argc, char **argv) {
  char folder[PATH_MAX];
  char scratch[64];
  int inside = 0;
  if (argc < 3 || argc > 4) {
    fprintf(stderr, "usage: %s CORPUS COUNT [FIRST]\n", argv[0]);
    return 2;
  }
  read_seeds(argv[1]);
  const uint64_t count = strtoull(argv[2], NULL, 10);
  const uint64_t first = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
  told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (told == MAP_FAILED || !getcwd(folder, sizeof folder)) give_up("start");
  enter_scratch(scratch, sizeof scratch);
  catch_ends(on_end);
  const double start = ls_clock();
  const int n_findings = run_all(argc, argv, folder, first, n_seeds + count, &inside);
  leave_scratch(scratch);
  if (ended) return 128 + ended;
  printf("%s: %llu inputs, %llu of them read, in %.1f s; %d findings, %d crashes or hangs inside HDF5\n",
         strrchr(argv[0], '_') + 1, (unsigned long long)told->input, (unsigned long long)told->n_read,
         ls_clock() - start, n_findings, inside);
  free(seeds);
  return n_findings > 0;
}
