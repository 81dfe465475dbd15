/* Tests of config: parsing and its limits, tables, messages, overrides, printing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lockstep/config.h"

#include "../message.h"

static ls_config *parse(const char *text) {
  ls_config *config = NULL;
  const ls_status status = ls_config_create(text, "c.yaml", &config);
  if (status) print_error("%s\n", ls_message());
  assert_int_equal(status, LS_OK);
  return config;
}

/* Fails unless the last message matches the pattern of message.h. */
static void expect_message(const char *pattern) {
  if (!message_matches(ls_message(), pattern)) fail_msg("no '%s' in: %s", pattern, ls_message());
}

static void expect_rejected(const char *text, const char *pattern) {
  ls_config *config = (ls_config *)1;
  assert_int_equal(ls_config_create(text, "c.yaml", &config), LS_ERR_CONFIG);
  assert_null(config);
  expect_message(pattern);
}

static char *print(const ls_config *config) {
  char *text = NULL;
  assert_int_equal(ls_config_print(config, &text), LS_OK);
  return text;
}

static void expect_print(const ls_config *config, const char *expected) {
  char *const text = print(config);
  assert_string_equal(text, expected);
  free(text);
}

/* Fails unless exactly the errors of the pattern were found; NULL: none. */
static void expect_verdict(const ls_config *config, const char *pattern) {
  const ls_status status = ls_config_status(config);
  if (!pattern && status != LS_OK) fail_msg("%s", ls_message());
  assert_int_equal(status, pattern ? LS_ERR_CONFIG : LS_OK);
  if (pattern) expect_message(pattern);
}

static ls_node *find(ls_config *config, const char *key) {
  ls_node *const node = ls_node_find(ls_config_root(config), key);
  assert_non_null(node);
  return node;
}

/* Returns `head`, `count` times `piece`, and `tail`. */
static char *repeat(const char *head, const char *piece, size_t count, const char *tail) {
  char *text = NULL;
  size_t length = 0;
  FILE *const out = open_memstream(&text, &length);
  assert_non_null(out);
  fputs(head, out);
  for (size_t i = 0; i < count; i++) fputs(piece, out);
  fputs(tail, out);
  assert_int_equal(fclose(out), 0);
  return text;
}

/* ----------------------------------------------------------------- sizes */

static void test_sizes(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint64_t bytes;
  } sizes[] = {{"1B", 1},     {"2GB", 2000000000},         {"1.5 kB", 1500},       {"512MiB", 536870912},
               {"3KB", 3000}, {"1TiB", UINT64_C(1) << 40}, {"0.25GiB", 268435456}, {"4TB", 4000000000000}};
  static const char *const bad[] = {"",     "12",    "GB",    "0GB",  "-1GB",       "1gb",
                                    "1GB2", "1e3GB", "nanGB", "0.1B", "99999999TB", "1.2.3MB"};
  uint64_t bytes = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    assert_true(ls_config_parse_size(sizes[i].text, &bytes));
    assert_int_equal(bytes, sizes[i].bytes);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (ls_config_parse_size(bad[i], &bytes)) fail_msg("%s is a size", bad[i]);
}

/* ----------------------------------------------------------------- parsing */

static void test_nodes(void **state) {
  (void)state;
  ls_config *config = parse("a: 1\nb: [x, 'y', {k: z}]\nc: {}\nd:\n");
  assert_int_equal(ls_node_kind_of(ls_config_root(config)), LS_NODE_MAP);
  assert_int_equal(ls_node_count(ls_config_root(config)), 4);
  const ls_node *const list = find(config, "b");
  assert_int_equal(ls_node_kind_of(list), LS_NODE_LIST);
  assert_int_equal(ls_node_count(list), 3);
  assert_string_equal(ls_node_text(list), "");
  assert_string_equal(ls_node_text(ls_node_item(list, 0)), "x");
  assert_false(ls_node_is_quoted(ls_node_item(list, 0)));
  assert_string_equal(ls_node_text(ls_node_item(list, 1)), "y");
  assert_true(ls_node_is_quoted(ls_node_item(list, 1)));
  assert_string_equal(ls_node_text(ls_node_find(ls_node_item(list, 2), "k")), "z");
  assert_int_equal(ls_node_count(find(config, "c")), 0);
  assert_string_equal(ls_node_text(find(config, "d")), "");
  assert_null(ls_node_find(ls_config_root(config), "e"));
  assert_null(ls_node_find(list, "k"));
  ls_config_destroy(&config);
  assert_null(config);
  ls_config_destroy(&config);
}

static void test_texts(void **state) {
  (void)state;
  ls_config *config =
      parse("\xEF\xBB\xBFname: \xC3\xA9t\xC3\xA9 \xF0\x9F\x98\x80\r\nlong: |\n  two\n  lines\n"
            "escaped: \"a\\tb\"\npath: a.h5:/train\n");
  assert_string_equal(ls_node_text(find(config, "name")), "\xC3\xA9t\xC3\xA9 \xF0\x9F\x98\x80");
  assert_string_equal(ls_node_text(find(config, "long")), "two\nlines\n");
  assert_string_equal(ls_node_text(find(config, "escaped")), "a\tb");
  assert_string_equal(ls_node_text(find(config, "path")), "a.h5:/train");
  ls_config_destroy(&config);
}

static void test_aliases_copy(void **state) {
  (void)state;
  ls_config *config = parse("a: &x {k: [1, 2]}\nb: *x\nc: &x 3\nd: *x\n");
  assert_int_equal(ls_config_override(config, "b.k.0=9"), LS_OK);
  expect_print(config, "a:\n  k: [1, 2]\nb:\n  k: [9, 2]\nc: 3\nd: 3\n");
  ls_config_destroy(&config);
}

static void test_rejected_documents(void **state) {
  (void)state;
  expect_rejected("", "c.yaml: ~ empty");
  expect_rejected("# nothing\n", "c.yaml: ~ empty");
  expect_rejected("---\n", "c.yaml: ~ empty");
  expect_rejected("# x\n- a\n", "c.yaml:2: ~ map ~ list");
  expect_rejected("hello", "c.yaml:1: ~ map");
  expect_rejected("a: 1\nb: 2\na: 3\n", "c.yaml:3: a: ~ line 1");
  expect_rejected("x:\n- {a: 1,\n   b: 2, b: 3,\n   a: 3}\n", "c.yaml:3: x.0.b: ~ line 3");
  expect_rejected("a: 1\n---\nb: 2\n", "c.yaml:2: ~ document");
  expect_rejected("a: 1\nb: !!str 2\n", "c.yaml:2: ~ tag");
  expect_rejected("a: 1\n? [b]\n: 2\n", "c.yaml:2: ~ key");
  expect_rejected("x: {'': 2}\n", "c.yaml:1: x: ~ empty");
  expect_rejected("a: \"x\\0y\"\n", "c.yaml:1: ~ NUL");
  expect_rejected("a: 1\nb: *c\n", "c.yaml:2: ~ *c ~ anchor");
  expect_rejected("a: &a [[*a]]\n", "c.yaml:1: ~ *a");
}

static void test_rejected_syntax(void **state) {
  (void)state;
  expect_rejected("a: 1\nb: c: d\n", "c.yaml:2: ~ not valid YAML ~ column 5");
  expect_rejected("a: 1\nb:\n\tc: 1\n", "c.yaml:3: ~ not valid YAML ~ column 1 ~ tab");
  expect_rejected("a: 1\nb: \xFFx\n", "c.yaml:2: ~ UTF-8");
  expect_rejected("a: 1\nb: \xC3(\n", "c.yaml:2: ~ UTF-8");
  expect_rejected("a: x\x01y\n", "c.yaml:1: ~ control character");
}

static void expect_deep(const char *head, const char *open, const char *close, size_t depth, bool fits) {
  char *const left = repeat(head, open, depth, "");
  char *const text = repeat(left, close, depth, "\n");
  ls_config *config = NULL;
  assert_int_equal(ls_config_create(text, "c.yaml", &config), fits ? LS_OK : LS_ERR_CONFIG);
  if (!fits) expect_message("c.yaml:~64 levels");
  ls_config_destroy(&config);
  free(left);
  free(text);
}

static void test_depth_bomb(void **state) {
  (void)state;
  expect_deep("a: ", "[", "]", 64, true);
  expect_deep("a: ", "[", "]", 65, false);
  expect_deep("a: ", "[", "]", 100000, false);
  expect_deep("", "{a: ", "}", 64, true);
  expect_deep("", "{a: ", "}", 65, false);
  expect_deep("? a\n:", " -", "", 100, false);
}

static void test_alias_bomb(void **state) {
  (void)state;
  char text[2000] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 20; i++) {
    const size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1,
             i - 1, i - 1);
  }
  expect_rejected(text, "c.yaml:1: ~ 100000");
  char *nested = repeat("a: &x ", "[", 40, "");
  char *deep = repeat(nested, "]", 40, "\nb: ");
  free(nested);
  nested = repeat(deep, "[", 40, "*x");
  free(deep);
  deep = repeat(nested, "]", 40, "\n");
  expect_rejected(deep, "c.yaml:1: ~ 64 levels");
  free(nested);
  free(deep);
}

static void test_large_documents(void **state) {
  (void)state;
  char *text = repeat("a: [", "x,", 99990, "x]\n");
  ls_config *config = parse(text);
  assert_int_equal(ls_node_count(find(config, "a")), 99991);
  ls_config_destroy(&config);
  free(text);
  text = repeat("a: [", "x,", 200000, "x]\n");
  expect_rejected(text, "c.yaml:1: ~ 100000");
  free(text);
  text = repeat("a:\n", "- &x 1\n", 1001, "");
  expect_rejected(text, "c.yaml:1002: ~ 1000 ~ anchors");
  free(text);
}

static void write_file(const char *path, const void *bytes, size_t size) {
  FILE *const file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

static void expect_not_loaded(const char *path, const char *reason) {
  char *text = NULL;
  assert_int_equal(ls_config_load(path, &text), LS_ERR_CONFIG);
  assert_null(text);
  expect_message(path);
  assert_true(message_has(ls_message(), reason));
}

static void test_load(void **state) {
  (void)state;
  char path[] = "/tmp/lockstep-config-XXXXXX";
  const int descriptor = mkstemp(path);
  assert_true(descriptor >= 0);
  close(descriptor);
  char *text = NULL;
  write_file(path, "a: 1\n", 5);
  assert_int_equal(ls_config_load(path, &text), LS_OK);
  assert_string_equal(text, "a: 1\n");
  free(text);
  write_file(path, "a\0b", 3);
  expect_not_loaded(path, "NUL");
  text = repeat("", "x", (1 << 20) + 1, "");
  write_file(path, text, (1 << 20) + 1);
  expect_not_loaded(path, "1 MiB");
  free(text);
  unlink(path);
  expect_not_loaded(path, "No such file");
  expect_not_loaded("/", "Is a directory");
}

/* ------------------------------------------------------------------ tables */

typedef struct early {
  uint64_t patience;
  double min_delta;
} early;

typedef struct settings {
  bool nesterov;
  uint64_t epochs, batch_size, big;
  double lr, rate, offset, betas[2];
  const char *monitor;
  int type;
  early early;
  ls_node *layers;
} settings;

static const char *const types[] = {"sgd", "adam", "adamw", NULL};

static const ls_key early_keys[] = {
    LS_COUNT_KEY("patience", early, patience, "5", 1, 0, "epochs before the end"),
    LS_REAL_KEY("min_delta", early, min_delta, NULL, 0, 0, "small change"),
    {0},
};

static const ls_key keys[] = {
    LS_CHOICE_KEY("type", settings, type, "adam", types, "update rule"),
    LS_REAL_KEY("lr", settings, lr, NULL, 0, 0, "learning rate",
                .flags = LS_KEY_REQUIRED | LS_KEY_ABOVE_MIN),
    LS_REAL_KEY("rate", settings, rate, "0.5", 0, 1, "fraction dropped", .flags = LS_KEY_BELOW_MAX),
    LS_REAL_KEY("offset", settings, offset, NULL, 0, 0, "any number"),
    LS_REALS2_KEY("betas", settings, betas, "[0.9, 0.999]", 0, 1, "decay of moments",
                  .flags = LS_KEY_BELOW_MAX),
    LS_COUNT_KEY("epochs", settings, epochs, "10", 1, 1000000, "passes over the data"),
    LS_COUNT_KEY("batch_size", settings, batch_size, "full", 1, 0, "samples per step", .word = "full"),
    LS_COUNT_KEY("big", settings, big, NULL, 0, 0, "any integer"),
    LS_BOOL_KEY("nesterov", settings, nesterov, "true", "look-ahead"),
    LS_TEXT_KEY("monitor", settings, monitor, "column"),
    LS_MAP_KEY("early", early_keys, "early stopping", .offset = offsetof(settings, early)),
    LS_NODE_KEY("layers", settings, layers, "list of layers"),
    {0},
};

#define KNOWN                                                                                              \
  "unknown key ~ type, lr, rate, offset, betas, epochs, batch_size, big, nesterov, monitor, early, layers"

static ls_config *read_text(const char *text, settings *out) {
  ls_config *const config = parse(text);
  memset(out, 0xAA, sizeof *out); /* every field must be set */
  ls_config_read(config, ls_config_root(config), keys, out);
  return config;
}

/* Reads "lr: 1" and one more line, line 2, and expects an error there; NULL: none. */
static void expect_line(const char *line, const char *message) {
  settings r;
  char *const text = ls_format("lr: 1\n%s\n", line);
  char *const full = message ? ls_format("c.yaml:2: %s", message) : NULL;
  ls_config *config = read_text(text, &r);
  expect_verdict(config, full);
  ls_config_destroy(&config);
  free(text);
  free(full);
}

static void test_defaults(void **state) {
  (void)state;
  settings r;
  ls_config *config = read_text("lr: 0.1\nbetas:\n", &r);
  expect_verdict(config, NULL);
  assert_int_equal(r.type, 1);
  assert_true(r.lr == 0.1 && r.rate == 0.5 && r.offset == 0);
  assert_true(r.betas[0] == 0.9 && r.betas[1] == 0.999);
  assert_int_equal(r.epochs, 10);
  assert_int_equal(r.batch_size, 0);
  assert_int_equal(r.big, 0);
  assert_true(r.nesterov);
  assert_null(r.monitor);
  assert_null(r.layers);
  assert_int_equal(r.early.patience, 5);
  assert_true(r.early.min_delta == 0);
  expect_print(config, "lr: 0.1\nbetas: [0.9, 0.999]\ntype: adam\nrate: 0.5\nepochs: 10\nbatch_size: full\n"
                       "nesterov: true\nearly:\n  patience: 5\n");
  ls_config_destroy(&config);
}

static void test_values(void **state) {
  (void)state;
  settings r;
  ls_config *config =
      read_text("type: 'sgd'\nlr: 1e-3\nrate: .5\noffset: -5.\nbetas: [0, 0.99]\nepochs: 1000000\n"
                "batch_size: 007\nbig: 18446744073709551615\nnesterov: False\nmonitor: 12\n"
                "early: {patience: 2, min_delta: 1}\nlayers: [a]\n",
                &r);
  expect_verdict(config, NULL);
  assert_int_equal(r.type, 0);
  assert_true(r.lr == 1e-3 && r.rate == 0.5 && r.offset == -5);
  assert_true(r.betas[0] == 0 && r.betas[1] == 0.99);
  assert_int_equal(r.epochs, 1000000);
  assert_int_equal(r.batch_size, 7);
  assert_true(r.big == UINT64_MAX);
  assert_false(r.nesterov);
  assert_string_equal(r.monitor, "12");
  assert_int_equal(r.early.patience, 2);
  assert_true(r.early.min_delta == 1);
  assert_ptr_equal(r.layers, find(config, "layers"));
  ls_config_destroy(&config);
}

static void test_wrong_counts(void **state) {
  (void)state;
  expect_line("epochs: abc", "epochs: ~ abc ~ 1 ~ 1000000");
  expect_line("epochs: 1e3", "epochs: ~ 1e3 ~ 1 ~ 1000000");
  expect_line("epochs: 1.0", "epochs: ~ 1.0 ~ 1 ~ 1000000");
  expect_line("epochs: +5", "epochs: ~ +5 ~ 1 ~ 1000000");
  expect_line("epochs: 0x10", "epochs: ~ 0x10 ~ 1 ~ 1000000");
  expect_line("epochs: 1_000", "epochs: ~ 1_000 ~ 1 ~ 1000000");
  expect_line("epochs: full", "epochs: ~ full ~ 1 ~ 1000000");
  expect_line("epochs: '5'", "epochs: ~ 5 ~ quote ~ 1 ~ 1000000");
  expect_line("epochs: 0", "epochs: ~ 0 ~ 1 ~ 1000000");
  expect_line("epochs: 1000001", "epochs: ~ 1000001 ~ 1 ~ 1000000");
  expect_line("epochs: 99999999999999999999999", "epochs: ~ 99999999999999999999999 ~ 1 ~ 1000000");
  expect_line("epochs: [1]", "epochs: ~ list ~ 1 ~ 1000000");
  expect_line("big: 18446744073709551616", "big: ~ 18446744073709551616 ~ 0 ~ 18446744073709551615");
  expect_line("big: -1", "big: ~ -1 ~ 0");
  expect_line("batch_size: 0", "batch_size: ~ 0 ~ 1 ~ full");
  expect_line("batch_size: ful", "batch_size: ~ ful ~ 1 ~ full");
  expect_line("batch_size: full", NULL);
}

static void test_wrong_reals(void **state) {
  (void)state;
  static const char *const bad[] = {"abc",   "nan", ".nan", "inf", "-.inf", "0x1p3",
                                    "1_000", "1e",  ".",    "1 2", "- 1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char *const line = ls_format("offset: \"%s\"", bad[i]);
    char *const message = ls_format("offset: ~ %s ~ number", bad[i]);
    char *unquoted = ls_format("offset: %s", bad[i]);
    if (strncmp(bad[i], "- ", 2) != 0) expect_line(unquoted, message);
    free(unquoted);
    unquoted = ls_format("offset: ~ %s ~ quote ~ number", bad[i]);
    expect_line(line, unquoted);
    free(unquoted);
    free(message);
    free(line);
  }
  expect_line("offset: 1e999", "offset: ~ 1e999 ~ number");
  expect_line("rate: 1", "rate: ~ 1 ~ 0 ~ 1");
  expect_line("rate: -1e-9", "rate: ~ -1e-9 ~ 0 ~ 1");
  expect_line("rate: {a: 1}", "rate: ~ map ~ 0 ~ 1");
  expect_line("betas: 0.9", "betas: ~ list ~ 0 ~ 1");
  expect_line("betas: [1]", "betas: ~ list ~ 1 ~ 0 ~ 1");
  expect_line("betas: [0.9, 2]", "betas.1: ~ 2 ~ 0 ~ 1");
}

static const ls_key time_keys[] = {{.name = "t", .type = LS_KEY_TIME}, {0}};

static void test_times(void **state) {
  (void)state;
  static const struct {
    const char *text;
    double seconds;
  } good[] = {{"3h50m", 13800},    {"90m", 5400}, {"2h", 7200}, {"45s", 45}, {"1d2h", 93600},
              {"1d1h1m1s", 90061}, {"30", 30},    {"1.5", 1.5}, {"0h5s", 5}, {"100h", 360000}};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    double seconds = -1;
    char *const text = ls_format("t: %s\n", good[i].text);
    ls_config *config = parse(text);
    ls_config_read(config, ls_config_root(config), time_keys, &seconds);
    expect_verdict(config, NULL);
    assert_true(seconds == good[i].seconds);
    ls_config_destroy(&config);
    free(text);
  }
}

static void test_wrong_times(void **state) {
  (void)state;
  static const char *const bad[] = {
      "0",    "0h",  "-5",   "-5m",  "5x",  "m",     "h5",   "50m3h",          "5m5m",
      "1.5h", "3 h", "3h50", "3:50", "inf", "1e999", "soon", "99999999999999d"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    double seconds = -1;
    char *const text = ls_format("t: %s\n", bad[i]);
    char *const message = ls_format("c.yaml:1: t: ~ %s ~ 3h50m", bad[i]);
    ls_config *config = parse(text);
    ls_config_read(config, ls_config_root(config), time_keys, &seconds);
    expect_verdict(config, message);
    assert_true(seconds == 0.0);
    ls_config_destroy(&config);
    free(text);
    free(message);
  }
}

/* Reads `value` as a number of that range; `words`: the words and limits of the message, or "" if it fits.
 */
static void expect_range(ls_key_type type, double min, double max, unsigned flags, const char *value,
                         const char *words) {
  double field[2];
  const ls_key table[] = {{.name = "x", .type = type, .min = min, .max = max, .flags = flags}, {0}};
  char *const text = ls_format("x: %s\n", value);
  char *const message = ls_format("c.yaml:1: x: ~ %s ~ %s", value, words);
  ls_config *config = parse(text);
  ls_config_read(config, ls_config_root(config), table, field);
  expect_verdict(config, words[0] ? message : NULL);
  ls_config_destroy(&config);
  free(text);
  free(message);
}

static void test_ranges(void **state) {
  (void)state;
  const unsigned above = LS_KEY_ABOVE_MIN;
  const unsigned below = LS_KEY_BELOW_MAX;
  expect_range(LS_KEY_REAL, 0, 0, 0, "-1e300", "");
  expect_range(LS_KEY_REAL, 0, 0, above, "0", "above 0");
  expect_range(LS_KEY_REAL, 0, 0, above, "1e300", "");
  expect_range(LS_KEY_REAL, 0, 0, below, "-1", "0 ~ below 0");
  expect_range(LS_KEY_REAL, 2, 0, 0, "1.5", "2");
  expect_range(LS_KEY_REAL, 2, 0, 0, "2", "");
  expect_range(LS_KEY_REAL, 2, INFINITY, 0, "1", "2");
  expect_range(LS_KEY_REAL, -1, 0, 0, "0.5", "-1 ~ 0");
  expect_range(LS_KEY_REAL, -1, 0, 0, "0", "");
  expect_range(LS_KEY_REAL, 0, 1, above, "0", "above 0 ~ 1");
  expect_range(LS_KEY_REAL, 0, 1, above, "1", "");
  expect_range(LS_KEY_REAL, 0, 1, above | below, "1", "above 0 ~ below 1");
  expect_range(LS_KEY_REAL, -INFINITY, 1, 0, "2", "1");
  expect_range(LS_KEY_REAL, -INFINITY, 1, below, "1", "below 1");
  expect_range(LS_KEY_COUNT, 0, 8, 0, "9", "integer ~ 0 ~ 8");
  expect_range(LS_KEY_COUNT, 0, 8, 0, "0", "");
  expect_range(LS_KEY_COUNT, 0, 0, 0, "5", "");
}

static void test_wrong_others(void **state) {
  (void)state;
  static const char *const bad[] = {"yes", "no", "on", "off", "y", "1", "tRue"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char *const line = ls_format("nesterov: %s", bad[i]);
    char *const message = ls_format("nesterov: ~ %s ~ true or false", bad[i]);
    expect_line(line, message);
    free(line);
    free(message);
  }
  expect_line("nesterov: 'true'", "nesterov: ~ true ~ quote");
  expect_line("monitor: [a]", "monitor: ~ list");
  expect_line("type: adamv", "type: ~ adamv ~ adam? ~ sgd, adam, adamw");
  expect_line("type: AdamW", "type: ~ AdamW ~ adamw? ~ sgd, adam, adamw");
  expect_line("type: lion", "type: ~ lion ~ sgd, adam, adamw");
  expect_line("type: [adam]", "type: ~ list");
  expect_line("early: 5", "early: ~ map");
  expect_line("early: {patience: 0}", "early.patience: ~ 0 ~ 1");
  expect_line("early:", NULL);
}

static void test_unknown_keys(void **state) {
  (void)state;
  expect_line("batch-size: 1", "batch-size: ~ batch_size? ~ " KNOWN);
  expect_line("epohcs: 1", "epohcs: ~ epochs? ~ " KNOWN);
  expect_line("lrr: 1", "lrr: ~ lr? ~ " KNOWN);
  expect_line("zebra:", "zebra: ~ " KNOWN);
  expect_line("<<: {a: 1}", "<<: ~ " KNOWN);
  expect_line("early: {patient: 5}", "early.patient: ~ unknown key ~ patience? ~ patience, min_delta");
  char *const text = repeat("", "\xC3\xA9", 100, ": 1");
  char *const cut = repeat("", "\xC3\xA9", 30, "...: ~ " KNOWN);
  expect_line(text, cut);
  free(text);
  free(cut);
}

static void test_default_after_error(void **state) {
  (void)state;
  settings r;
  ls_config *config =
      read_text("lr: x\nrate: 7\nbetas: [1, 0]\ntype: x\nnesterov: maybe\nearly: []\nbig: x\n", &r);
  assert_int_equal(ls_config_status(config), LS_ERR_CONFIG);
  assert_true(r.lr == 0 && r.rate == 0.5);
  assert_true(r.betas[0] == 0.9 && r.betas[1] == 0.999);
  assert_int_equal(r.type, 1);
  assert_true(r.nesterov);
  assert_int_equal(r.early.patience, 5);
  assert_int_equal(r.big, 0);
  ls_config_destroy(&config);
}

static const ls_key outer_keys[] = {
    {.name = "need", .type = LS_KEY_COUNT, .flags = LS_KEY_REQUIRED, .fallback = "3"},
    LS_MAP_KEY("nested", keys, NULL, .flags = LS_KEY_REQUIRED),
    {0},
};

static void test_required_keys(void **state) {
  (void)state;
  settings r;
  ls_config *config = parse("a: 1\nnested:\n  type: sgd\n");
  ls_config_read(config, find(config, "nested"), keys, &r);
  expect_verdict(config, "c.yaml:2: nested.lr: ~ required");
  ls_config_destroy(&config);
  config = read_text("lr: ~\n", &r);
  expect_verdict(config, "c.yaml:1: lr: ~ required");
  ls_config_destroy(&config);
  config = parse("x: {}\n");
  ls_config_read(config, find(config, "x"), outer_keys, &r);
  expect_verdict(config, "c.yaml:1: x.need: ~ required\nc.yaml:1: x.nested: ~ required");
  ls_config_destroy(&config);
}

static void test_sections(void **state) {
  (void)state;
  ls_config *config = parse("train:\nloss: mse\ndata: {x: 1}\n");
  ls_node *const root = ls_config_root(config);
  assert_ptr_equal(ls_config_section(config, root, "data"), find(config, "data"));
  ls_node *const train = ls_config_section(config, root, "train");
  assert_ptr_equal(train, find(config, "train"));
  assert_int_equal(ls_node_kind_of(train), LS_NODE_MAP);
  ls_node *const comm = ls_config_section(config, root, "comm");
  assert_ptr_equal(comm, find(config, "comm"));
  expect_verdict(config, NULL);
  expect_print(config, "loss: mse\ndata:\n  x: 1\n");

  settings r;
  ls_node *const loss = ls_config_section(config, root, "loss");
  assert_int_equal(ls_node_kind_of(loss), LS_NODE_MAP);
  ls_config_read(config, loss, keys, &r);
  assert_int_equal(r.epochs, 10);
  ls_config_read(config, train, early_keys, &r.early);
  ls_config_error(config, ls_node_find(train, "patience"), "too short");
  ls_config_error(config, comm, "of %d", 3);
  ls_config_read(config, find(config, "loss"), early_keys, &r.early);
  ls_config_read(config, NULL, early_keys, &r.early);
  assert_int_equal(r.early.patience, 5);
  expect_verdict(config, "c.yaml:1: train.patience: 5: too short\nc.yaml:1: comm: of 3\n"
                         "c.yaml:2: loss: ~ map");
  ls_config_destroy(&config);
}

static void test_choose(void **state) {
  (void)state;
  ls_config *config = parse("metrics: [adam, adm]\n");
  const ls_node *const list = find(config, "metrics");
  assert_int_equal(ls_config_choose(config, ls_node_item(list, 0), "metric", types), 1);
  assert_int_equal(ls_config_choose(config, ls_node_item(list, 1), "metric", types), -1);
  expect_verdict(config, "c.yaml:1: metrics.1: ~ adm ~ metric ~ adam? ~ sgd, adam, adamw");
  ls_config_destroy(&config);
}

/* ------------------------------------------------------------------ errors */

static void test_errors_are_sorted(void **state) {
  (void)state;
  ls_config *config = parse("a: 1\nb: 2\nc:\n- 3\n");
  assert_int_equal(ls_config_override(config, "d=4"), LS_OK);
  ls_config_error(config, find(config, "d"), "from an option");
  ls_config_error(config, ls_node_item(find(config, "c"), 0), "in a list");
  ls_config_error(config, find(config, "b"), "second");
  ls_config_error(config, find(config, "b"), "first");
  ls_config_error(config, find(config, "b"), "second");
  ls_config_error(config, find(config, "a"), "early");
  ls_config_error(config, NULL, "as a whole");
  expect_verdict(
      config, "c.yaml: as a whole\nc.yaml:1: a: 1: early\nc.yaml:2: b: 2: second\nc.yaml:2: b: 2: first\n"
              "c.yaml:4: c.0: 3: in a list\n--set d=4: d: 4: from an option");
  ls_config_destroy(&config);
}

static void test_many_errors(void **state) {
  (void)state;
  ls_config *config = parse("a: 1\n");
  for (int i = 0; i < 75; i++) ls_config_error(config, find(config, "a"), "no. %d", i);
  assert_int_equal(ls_config_status(config), LS_ERR_CONFIG);
  const char *const tail = strstr(ls_message(), "c.yaml:1: a: 1: no. 49\n");
  assert_non_null(tail);
  assert_true(message_matches(tail, "c.yaml:1: a: 1: no. 49\n~ 25"));
  ls_config_destroy(&config);

  config = parse("a: 1\n");
  char *const text = repeat("", "x", 3000, "");
  for (int i = 0; i < 10; i++) ls_config_error(config, NULL, "%d %s", i, text);
  assert_int_equal(ls_config_status(config), LS_ERR_CONFIG);
  assert_true(message_has(strrchr(ls_message(), '\n'), "8"));
  ls_config_destroy(&config);
  free(text);
}

/* --------------------------------------------------------------- overrides */

static void test_overrides(void **state) {
  (void)state;
  ls_config *config = parse("optimizer: {type: sgd, lr: 1}\nmodel:\n- {layer: dense, units: 3}\ndata:\n");
  assert_int_equal(ls_config_override(config, "model.0.activation=relu"), LS_OK);
  assert_int_equal(ls_config_override(config, "model.0.units=64"), LS_OK);
  assert_int_equal(ls_config_override(config, "optimizer.betas=[0.9,0.99]"), LS_OK);
  assert_int_equal(ls_config_override(config, "optimizer.lr="), LS_OK);
  assert_int_equal(ls_config_override(config, "data.validation=0.2"), LS_OK);
  assert_int_equal(ls_config_override(config, "data.train=f.h5:/a=b"), LS_OK);
  assert_int_equal(ls_config_override(config, "output=runs/x"), LS_OK);
  assert_int_equal(ls_config_override(config, "train.early.patience='3'"), LS_OK);
  expect_print(config, "optimizer:\n  type: sgd\n  lr: null\n  betas: [0.9, 0.99]\nmodel:\n"
                       "- {layer: dense, units: 64, activation: relu}\ndata:\n  validation: 0.2\n"
                       "  train: f.h5:/a=b\noutput: runs/x\ntrain:\n  early:\n    patience: '3'\n");
  ls_config_destroy(&config);
}

static void expect_not_set(const char *assignment, const char *reason) {
  ls_config *config = parse("seed: 1\nmodel: [{layer: dense}, {layer: relu}]\nmetrics: []\n");
  char *const before = print(config);
  char *const pattern = ls_format("--set %s: ~ %s", assignment, reason);
  assert_int_equal(ls_config_override(config, assignment), LS_ERR_CONFIG);
  expect_message(pattern);
  expect_print(config, before);
  ls_config_destroy(&config);
  free(before);
  free(pattern);
}

static void test_rejected_overrides(void **state) {
  (void)state;
  expect_not_set("seed", "KEY=VALUE ~ optimizer.lr=0.01");
  expect_not_set("", "KEY=VALUE ~ optimizer.lr=0.01");
  expect_not_set("=1", "empty");
  expect_not_set("a..b=1", "empty");
  expect_not_set(".a=1", "empty");
  expect_not_set("a.=1", "empty");
  expect_not_set("seed.x=1", "seed ~ 1");
  expect_not_set("seed.x.y=1", "seed ~ 1");
  expect_not_set("model.2.units=1", "model ~ 2 ~ 0 to 1 ~ 2");
  expect_not_set("model.-1=1", "model ~ 2 ~ 0 to 1 ~ -1");
  expect_not_set("model.units=1", "model ~ 2 ~ 0 to 1 ~ units");
  expect_not_set("metrics.0=1", "metrics ~ empty list");
  expect_not_set("a={b: 1, b: 2}", "b:");
  expect_not_set("a=*b", "*b ~ anchor");
  expect_not_set("a=[1", "not valid YAML ~ column 1");
}

static void test_deep_overrides(void **state) {
  (void)state;
  ls_config *config = parse("x: 1\n");
  char *text = repeat("a", ".a", 63, "=1");
  assert_int_equal(ls_config_override(config, text), LS_OK);
  free(text);
  char *const printed = print(config);
  ls_config *again = parse(printed);
  ls_config_destroy(&again);
  free(printed);
  text = repeat("b", ".b", 63, "=[1]");
  assert_int_equal(ls_config_override(config, text), LS_ERR_CONFIG);
  assert_true(message_has(ls_message(), "64 levels"));
  free(text);
  text = repeat("c", ".c", 64, "=1");
  assert_int_equal(ls_config_override(config, text), LS_ERR_CONFIG);
  assert_true(message_has(ls_message(), "64 parts"));
  free(text);
  ls_config_destroy(&config);
}

static void test_errors_in_overrides(void **state) {
  (void)state;
  settings r;
  ls_config *config = parse("lr: 1\n");
  assert_int_equal(ls_config_override(config, "lr=abc"), LS_OK);
  assert_int_equal(ls_config_override(config, "early={patience: 0}"), LS_OK);
  assert_int_equal(ls_config_override(config, "erly.x=0"), LS_OK);
  ls_config_read(config, ls_config_root(config), keys, &r);
  expect_verdict(config, "--set erly.x=0: erly: ~ early? ~ " KNOWN "\n"
                         "--set lr=abc: lr: ~ abc ~ above 0\n"
                         "--set early={patience: 0}: early.patience: ~ 0 ~ 1");
  ls_config_destroy(&config);
}

static void test_differences(void **state) {
  (void)state;
  char text[200];
  ls_config *a = parse("lr: 0.10\nmodel:\n- {units: 9, l1: null}\nseed: null\nx: ~\n");
  ls_config *b = parse("model:\n- {units: 9}\nlr: 0.1\nx: null\ntest: ~\n");
  assert_false(ls_node_differ(ls_config_root(a), ls_config_root(b), text, sizeof text));
  assert_string_equal(text, "");
  assert_int_equal(ls_config_override(b, "model.0.units=8"), LS_OK);
  assert_int_equal(ls_config_override(b, "test=t.h5"), LS_OK);
  assert_true(ls_node_differ(ls_config_root(a), ls_config_root(b), text, sizeof text));
  assert_string_equal(text, "model.0.units is 9, not 8");
  ls_node_changes(ls_config_root(a), ls_config_root(b), text, sizeof text);
  assert_string_equal(text, "model.0.units is 9, was 8; test is absent, was t.h5");
  ls_config_destroy(&a);
  ls_config_destroy(&b);
}

static void test_replace(void **state) {
  (void)state;
  ls_config *config = parse("train: a.h5\nx: 1\n");
  ls_node *const node = find(config, "train");
  const char *const before = ls_node_text(node);
  assert_int_equal(ls_config_replace(config, node, "/data/a: b.h5"), LS_OK);
  assert_string_equal(before, "a.h5");
  assert_string_equal(ls_node_text(node), "/data/a: b.h5");
  assert_int_equal(ls_config_replace(config, find(config, "x"), "null"), LS_OK);
  expect_print(config, "train: '/data/a: b.h5'\nx: 'null'\n");
  assert_int_equal(ls_config_replace(config, node, "/data/\xFF"), LS_ERR_CONFIG);
  ls_config_destroy(&config);
}

/* ---------------------------------------------------------------- printing */

static void expect_same(const ls_node *a, const ls_node *b) {
  assert_int_equal(ls_node_kind_of(a), ls_node_kind_of(b));
  assert_int_equal(ls_node_count(a), ls_node_count(b));
  const char *const text = ls_node_text(a);
  if (ls_node_kind_of(a) == LS_NODE_SCALAR && !ls_node_is_quoted(a) && text[0] == '\0') {
    assert_string_equal(ls_node_text(b), "null");
    assert_false(ls_node_is_quoted(b));
  } else {
    assert_string_equal(text, ls_node_text(b));
  }
  if (ls_node_is_quoted(a)) assert_true(ls_node_is_quoted(b));
  for (size_t i = 0; i < ls_node_count(a); i++) expect_same(ls_node_item(a, i), ls_node_item(b, i));
}

/* Parses the printed text, expects the same tree, and prints it to the same text. */
static void expect_round_trip(const char *text) {
  ls_config *first = parse(text);
  char *const printed = print(first);
  ls_config *second = parse(printed);
  expect_same(ls_config_root(first), ls_config_root(second));
  char *const again = print(second);
  assert_string_equal(printed, again);
  ls_config_destroy(&first);
  ls_config_destroy(&second);
  free(printed);
  free(again);
}

static const char sample[] = "# a sample\n"
                             "seed: 1\n"
                             "output: \"runs/\xC3\xA9 \\\" \\a\"\n"
                             "data:\n"
                             "  train: fashion-mnist.h5:/train\n"
                             "  test:\n"
                             "  note: |\n"
                             "    two\n"
                             "    lines\n"
                             "model: &m\n"
                             "  - {layer: dense, units: 512, activation: relu}\n"
                             "  - &d {layer: dropout, rate: 0.2}\n"
                             "  - layer: residual\n"
                             "    layers: [{layer: dense, units: 4}, *d]\n"
                             "loss: 'mse' # comment\n"
                             "optimizer: {type: adam, lr: 1e-3, betas: [0.9, 0.999]}\n"
                             "empty: {a: {}, b: [], c: ''}\n";

static void test_print(void **state) {
  (void)state;
  ls_config *config = parse(sample);
  expect_print(config,
               "seed: 1\noutput: \"runs/\xC3\xA9 \\\" \\a\"\ndata:\n  train: fashion-mnist.h5:/train\n"
               "  test: null\n  note: \"two\\nlines\\n\"\nmodel:\n"
               "- {layer: dense, units: 512, activation: relu}\n- {layer: dropout, rate: 0.2}\n"
               "- layer: residual\n  layers:\n  - {layer: dense, units: 4}\n"
               "  - {layer: dropout, rate: 0.2}\nloss: 'mse'\noptimizer:\n  type: adam\n  lr: 1e-3\n"
               "  betas: [0.9, 0.999]\nempty:\n  a: {}\n  b: []\n  c: ''\n");
  ls_config_destroy(&config);
}

static void test_round_trips(void **state) {
  (void)state;
  expect_round_trip(sample);
  expect_round_trip("{}");
  expect_round_trip(
      "'null': 'null'\n'true': 'true'\n'1': '1'\n~: ~\n' a ': ' b '\n'#': '#'\n'a: b': 'a: b'\n"
      "'-': '-'\n'? x': '? x'\n'[': '['\n'&a': '&a'\n'*a': '*a'\n'!a': '!a'\n'%a': '%a'\n'@a': '@a'\n");
  expect_round_trip(
      "a: x y\n  z\n\n  w\nb: -1\nc: .5\nd: a,b\ne: [a:/b, 'x, y', -, .5]\nf: [[1, 2], [3, []]]\n"
      "g: [{}, {a: }]\nh: \"\\u2028\\U0001F600\\ufeff\\x7f\\t \"\ni: ---\nj: ...\n");
  char *text = repeat("a: [", "class name,", 40, "x]\nb: [{k: [");
  char *const wide = repeat(text, "v, ", 60, "w]}]\n");
  expect_round_trip(wide);
  free(text);
  free(wide);
  text = repeat("\"", "long key ", 40, "\": {a: 1}\n");
  expect_round_trip(text);
  free(text);
}

/* A config printed with its defaults is read back the same, without further defaults. */
static void test_defaults_round_trip(void **state) {
  (void)state;
  settings first;
  settings second;
  ls_config *config = read_text("lr: 0.5\nlayers: [{layer: dense, units: 3}]\n", &first);
  char *const text = print(config);
  ls_config *again = read_text(text, &second);
  expect_verdict(again, NULL);
  expect_print(again, text);
  assert_true(first.rate == second.rate && first.betas[1] == second.betas[1]);
  assert_int_equal(first.early.patience, second.early.patience);
  ls_config_destroy(&config);
  ls_config_destroy(&again);
  free(text);
}

static void expect_described(const char *prefix, const ls_key *table, const char *expected) {
  char *text = NULL;
  size_t length = 0;
  FILE *const out = open_memstream(&text, &length);
  assert_non_null(out);
  ls_config_describe(out, prefix, table);
  assert_int_equal(fclose(out), 0);
  assert_string_equal(text, expected);
  free(text);
}

static void test_describe(void **state) {
  (void)state;
  expect_described(
      "o", keys,
      "o.type             one of sgd, adam, adamw             adam          update rule\n"
      "o.lr               number above 0                      required      learning rate\n"
      "o.rate             number from 0 to below 1            0.5           fraction dropped\n"
      "o.offset           number                              -             any number\n"
      "o.betas            list of two numbers from 0 to       [0.9, 0.999]  decay of moments\n"
      "                   below 1\n"
      "o.epochs           integer from 1 to 1000000           10            passes over the data\n"
      "o.batch_size       integer of at least 1, or full      full          samples per step\n"
      "o.big              integer of at least 0               -             any integer\n"
      "o.nesterov         true or false                       true          look-ahead\n"
      "o.monitor          string                              -             column\n"
      "o.early.patience   integer of at least 1               5             epochs before the end\n"
      "o.early.min_delta  number                              -             small change\n"
      "o.layers           value, list or map                  -             list of layers\n");
  static const ls_key long_help[] = {
      {.name = "x",
       .type = LS_KEY_TEXT,
       .help =
           "a help text that is too long for a line of one hundred and ten bytes, so that its second half "
           "continues in the next line"},
      {0},
  };
  expect_described("", long_help,
                   "x  string  -  a help text that is too long for a line of one hundred and ten bytes, so "
                   "that its second half\n"
                   "              continues in the next line\n");
}

/* -------------------------------------------------------------------- fuzz */

/* Parses, overrides, reads and prints any text. */
static void exercise(const char *text) {
  ls_config *config = NULL;
  settings r;
  if (ls_config_create(text, "c.yaml", &config)) {
    assert_memory_equal(ls_message(), "c.yaml", 6);
    return;
  }
  (void)ls_config_override(config, "model.0.units=3");
  ls_config_read(config, ls_config_root(config), keys, &r);
  ls_config_read(config, ls_config_section(config, ls_config_root(config), "optimizer"), keys, &r);
  (void)ls_config_status(config);
  char *const printed = print(config);
  ls_config *again = parse(printed);
  ls_config_destroy(&again);
  ls_config_destroy(&config);
  free(printed);
}

static void test_broken_texts(void **state) {
  (void)state;
  static const char alphabet[] = "\n\t :-[]{},'\"&*!|>#%@?~\\x0.\x80\xC3\xFF\x01";
  char text[sizeof sample];
  for (size_t length = 0; length < sizeof sample; length++) {
    memcpy(text, sample, length);
    text[length] = '\0';
    exercise(text);
  }
  const ls_rng rng = ls_rng_make(7, LS_RNG_CHECK, 0, 0);
  for (uint64_t trial = 0; trial < 3000; trial++) {
    uint32_t words[9];
    ls_rng_words(&rng, trial, 9, words);
    memcpy(text, sample, sizeof text);
    for (size_t i = 0; i <= words[0] % 4; i++) {
      text[words[1 + i] % (sizeof sample - 1)] = alphabet[words[5 + i] % (sizeof alphabet - 1)];
    }
    exercise(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_nodes),
      cmocka_unit_test(test_texts),
      cmocka_unit_test(test_aliases_copy),
      cmocka_unit_test(test_rejected_documents),
      cmocka_unit_test(test_rejected_syntax),
      cmocka_unit_test(test_depth_bomb),
      cmocka_unit_test(test_alias_bomb),
      cmocka_unit_test(test_large_documents),
      cmocka_unit_test(test_load),
      cmocka_unit_test(test_defaults),
      cmocka_unit_test(test_values),
      cmocka_unit_test(test_wrong_counts),
      cmocka_unit_test(test_wrong_reals),
      cmocka_unit_test(test_times),
      cmocka_unit_test(test_wrong_times),
      cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_wrong_others),
      cmocka_unit_test(test_unknown_keys),
      cmocka_unit_test(test_default_after_error),
      cmocka_unit_test(test_required_keys),
      cmocka_unit_test(test_sections),
      cmocka_unit_test(test_choose),
      cmocka_unit_test(test_errors_are_sorted),
      cmocka_unit_test(test_many_errors),
      cmocka_unit_test(test_overrides),
      cmocka_unit_test(test_rejected_overrides),
      cmocka_unit_test(test_deep_overrides),
      cmocka_unit_test(test_errors_in_overrides),
      cmocka_unit_test(test_differences),
      cmocka_unit_test(test_replace),
      cmocka_unit_test(test_print),
      cmocka_unit_test(test_round_trips),
      cmocka_unit_test(test_defaults_round_trip),
      cmocka_unit_test(test_describe),
      cmocka_unit_test(test_broken_texts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
