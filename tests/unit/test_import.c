/* import: datasets from IDX and CSV files, and the messages about errors in them. */
#include "lockstep/import.h"
#include "lockstep/store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define PATH_SIZE 512

static char folder[64];
static char output[PATH_SIZE]; /* the dataset to write */
static ls_import_options options;
static ls_import_summary summary;

/* ------------------------------------------------------------------ helpers */

static void path_of(const char *name, char path[PATH_SIZE]) {
  snprintf(path, PATH_SIZE, "%s/%s", folder, name);
}

static int set_up(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/lockstep-import-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  path_of("out.h5", output);
  options = (ls_import_options){.output = output, .seed = 1};
  return 0;
}

/* Calls `visit` for each file of the folder. */
static size_t each_file(void (*visit)(const char *path)) {
  size_t count = 0;
  DIR *const dir = opendir(folder);
  assert_non_null(dir);
  for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
    char path[PATH_SIZE];
    if (entry->d_name[0] == '.') continue;
    path_of(entry->d_name, path);
    if (visit) visit(path);
    count++;
  }
  closedir(dir);
  return count;
}

static void remove_file(const char *path) {
  assert_int_equal(remove(path), 0);
}

static int tear_down(void **state) {
  (void)state;
  each_file(remove_file);
  return rmdir(folder);
}

static void write_file(const char *name, const void *bytes, size_t size, bool gzip) {
  char path[PATH_SIZE];
  path_of(name, path);
  const gzFile file = gzopen(path, gzip ? "wb" : "wbT");
  assert_non_null(file);
  if (size > 0) assert_int_equal(gzwrite(file, bytes, (unsigned)size), (int)size);
  assert_int_equal(gzclose(file), Z_OK);
}

/* Imports files of the folder. */
static ls_status import_files(size_t n, const char *const *names) {
  char paths[8][PATH_SIZE];
  const char *sources[8];
  assert_true(n <= 8);
  for (size_t i = 0; i < n; i++) {
    path_of(names[i], paths[i]);
    sources[i] = paths[i];
  }
  return ls_import(sources, n, &options, &summary);
}

static ls_status import_text(const char *text) {
  write_file("table.csv", text, strlen(text), false);
  return import_files(1, (const char *const[]){"table.csv"});
}

/* Fails unless the last message contains all words of a NULL-terminated list. */
static void assert_message(const char *const *words) {
  for (; *words; words++) {
    if (!strstr(ls_message(), *words)) fail_msg("\"%s\" is not in: %s", *words, ls_message());
  }
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void assert_ok(ls_status status) {
  if (status != LS_OK) fail_msg("%d: %s", (int)status, ls_message());
}

/* Fails unless the import fails with these words and leaves only its source in the folder. */
static void assert_rejected(const char *text, const char *const *words) {
  assert_int_equal(import_text(text), LS_ERR_DATA);
  assert_message(words);
  assert_int_equal(each_file(NULL), 1);
}

/* The same where an older output exists. */
static void assert_rejected_again(const char *text, const char *const *words) {
  assert_int_equal(import_text(text), LS_ERR_DATA);
  assert_message(words);
}

static ls_store *open_output(void) {
  ls_store *store = NULL;
  assert_ok(ls_store_open(output, &store));
  return store;
}

/* Compares an array of the output with `expected`, in the stored type. */
static void assert_array(const char *path, const ls_array *shape, const void *expected) {
  ls_array found;
  size_t row = 0;
  ls_store *store = open_output();
  assert_ok(ls_store_describe(store, path, &found));
  assert_int_equal(found.dtype, shape->dtype);
  assert_int_equal(found.n_dims, shape->n_dims);
  for (unsigned i = 0; i < found.n_dims; i++) assert_int_equal(found.dims[i], shape->dims[i]);
  assert_true(ls_array_row_size(&found, &row));
  const size_t bytes = (size_t)found.dims[0] * row * ls_dtype_size(found.dtype);
  void *const buffer = malloc(bytes);
  assert_non_null(buffer);
  assert_ok(ls_store_read_rows(store, path, 0, (size_t)found.dims[0], buffer));
  assert_memory_equal(buffer, expected, bytes);
  free(buffer);
  ls_store_close(&store);
}

#define ASSERT_FLOATS(path, n, k, ...)                                                                     \
  assert_array(path, &(ls_array){LS_F32, 2, {n, k}}, (const float[]){__VA_ARGS__})
#define ASSERT_FLOAT_LABELS(n, ...)                                                                        \
  assert_array("/train/y", &(ls_array){LS_F32, 1, {n}}, (const float[]){__VA_ARGS__})
#define ASSERT_CLASSES(path, n, ...)                                                                       \
  assert_array(path, &(ls_array){LS_I64, 1, {n}}, (const int64_t[]){__VA_ARGS__})

static void assert_texts(const char *path, const char *name, const char *const *expected) {
  char **texts = NULL;
  size_t count = 0;
  ls_store *store = open_output();
  assert_ok(ls_store_read_texts(store, path, name, &texts, &count));
  size_t n = 0;
  while (expected[n]) n++;
  assert_int_equal(count, n);
  for (size_t i = 0; i < n; i++) assert_string_equal(texts[i], expected[i]);
  free(texts);
  ls_store_close(&store);
}

static void assert_absent(const char *path) {
  ls_store *store = open_output();
  assert_int_equal(ls_store_kind_of(store, path), LS_STORE_NONE);
  ls_store_close(&store);
}

static void assert_no_attribute(const char *path, const char *name) {
  ls_store *store = open_output();
  assert_false(ls_store_has_attribute(store, path, name));
  ls_store_close(&store);
}

/* ---------------------------------------------------------------- CSV: form */

static void test_header_and_text_labels(void **state) {
  (void)state;
  assert_ok(import_text("length,width,species\n1,2.5,virginica\n-3,4e1,setosa\n5,6,virginica\n"));
  ASSERT_FLOATS("/train/x", 3, 2, 1, 2.5F, -3, 40, 5, 6);
  ASSERT_CLASSES("/train/y", 3, 1, 0, 1);
  assert_texts("/train/y", "classes", WORDS("setosa", "virginica"));
  assert_texts("/train/x", "features", WORDS("length", "width"));
  assert_absent("/test");
  assert_int_equal(summary.train_samples, 3);
  assert_int_equal(summary.test_samples, 0);
  assert_int_equal(summary.features, 2);
  assert_int_equal(summary.classes, 2);
}

static void test_no_header(void **state) {
  (void)state;
  assert_ok(import_text("1,2,7\n3,4,7\n5,6,9"));
  ASSERT_FLOATS("/train/x", 3, 2, 1, 2, 3, 4, 5, 6);
  ASSERT_CLASSES("/train/y", 3, 0, 0, 1);
  assert_no_attribute("/train/x", "features");
  assert_texts("/train/y", "classes", WORDS("7", "9"));
  assert_int_equal(summary.classes, 2);
}

static void test_delimiters(void **state) {
  (void)state;
  const char *const texts[] = {"a,b,c\n1,2,0\n3,4,1\n",           "a;b;c\n1;2;0\n3;4;1\n",
                               "a\tb\tc\n1\t2\t0\n3\t4\t1\n",     "a|b|c\n1|2|0\n3|4|1\n",
                               " a  b\tc\n 1  2 0 \n3 \t4   1\n", "\"a;x\",b,\"c;y;z\"\n1,2,0\n3,4,1\n",
                               "a x, b ,c\n1, 2 ,0\n 3,4, 1\n"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_ok(import_text(texts[i]));
    ASSERT_FLOATS("/train/x", 2, 2, 1, 2, 3, 4);
    ASSERT_CLASSES("/train/y", 2, 0, 1);
  }
  assert_rejected_again("0,5;7\n1,5;8\n", WORDS("line 1, column 1: 0,5", "decimals with a point"));
  assert_rejected_again("0,5;2,5;7\n1,5;3,5;8\n", WORDS("line 1, column 1: 0,5", "decimals with a point"));
  assert_rejected_again("#1,2,0\n#3,4,1\n", WORDS("no samples", "comments"));
}

static void test_quotes(void **state) {
  (void)state;
  assert_ok(
      import_text("\"a,b\", \"c \"\"d\"\"\" ,\"two\nlines\"\r\n\"1\",2,\"x, \"\"y\"\"\"\r\n3,4,5'6\"\r\n"));
  assert_texts("/train/x", "features", WORDS("a,b", "c \"d\""));
  assert_texts("/train/y", "classes", WORDS("5'6\"", "x, \"y\""));
  ASSERT_FLOATS("/train/x", 2, 2, 1, 2, 3, 4);
  ASSERT_CLASSES("/train/y", 2, 1, 0);
}

static void test_line_ends_byte_order_mark_and_blank_lines(void **state) {
  (void)state;
  const char *const texts[] = {"\xEF\xBB\xBF\x61,c\n1,0\n2,1\n", "a,c\r\n1,0\r\n2,1\r\n", "a,c\r1,0\r2,1",
                               "\n\na,c\n\n1,0\n  \n2,1\n\n\n", "\xEF\xBB\xBF\"a\",c\n1,0\n2,1"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_ok(import_text(texts[i]));
    ASSERT_FLOATS("/train/x", 2, 1, 1, 2);
    ASSERT_CLASSES("/train/y", 2, 0, 1);
    assert_texts("/train/x", "features", WORDS("a"));
  }
}

static void test_gzipped_table(void **state) {
  (void)state;
  const char text[] = "a,c\n1,0\n2,1\n";
  write_file("table.csv.gz", text, strlen(text), true);
  assert_ok(import_files(1, (const char *const[]){"table.csv.gz"}));
  ASSERT_FLOATS("/train/x", 2, 1, 1, 2);
}

/* Numbers as names rise in equal steps, or in long rows; the rows below do not. */
static void test_header_of_numbers(void **state) {
  (void)state;
  assert_ok(import_text("0,1,2,label\n5,6,1,0\n7,3,9,1\n")); /* pandas without column names */
  assert_texts("/train/x", "features", WORDS("0", "1", "2"));
  ASSERT_FLOATS("/train/x", 2, 3, 5, 6, 1, 7, 3, 9);
  assert_ok(import_text(",0,1,2,label\n0,5,6,1,0\n1,7,3,9,1\n")); /* with its index */
  assert_texts("/train/x", "features", WORDS("0", "1", "2"));
  assert_ok(import_text("350.5,351,351.5,352,c\n5,1,1,0,1\n7,3,9,1,0\n1,2,3,1,1\n")); /* wavelengths */
  assert_int_equal(summary.train_samples, 3);
  assert_ok(import_text("9,1,2,5,4,c\n9,1,1,0,8,d\n")); /* no order: a sample of class c */
  assert_int_equal(summary.train_samples, 2);
}

static void test_header_rules(void **state) {
  (void)state;
  assert_ok(import_text(",b,label\n5,6,1\n7,8,0\n")); /* a column without a name */
  assert_texts("/train/x", "features", WORDS("column 1", "b"));
  options.table.label = "kind"; /* the first row contains the name of the label */
  assert_ok(import_text("1,2,kind\n5,6,x\n7,8,y\n"));
  assert_texts("/train/y", "classes", WORDS("x", "y"));
  options.table.label = NULL;
  assert_ok(import_text("5.1,3.5,1.4,setosa\n4.9,3.0,1.4,setosa\n")); /* a sample with its label */
  assert_int_equal(summary.train_samples, 2);
  assert_int_equal(import_text("5,,0\n4,3,1\n"), LS_ERR_DATA);
  assert_message(WORDS("line 1", "column 2", "empty"));
}

/* A first row that may be a header or a sample is rejected, and --header decides. */
static void test_header_ambiguous(void **state) {
  (void)state;
  const char *const texts[] = {
      "unknown,5,0\n1,2,1\n3,4,0\n",              /* a bad sample, or names */
      "5.1,oops,0\n4.9,3.0,1\n",                  /* the same */
      "0,1,2,3\n5,6,1.5,0\n7,3,9,1\n",            /* numbers of columns */
      "400,410,420,kind\n5,6,1,cat\n7,3,9,dog\n", /* wavelengths */
      "0,1,unknown\n5,6,1\n7,8,0\n",
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    options.table.header = LS_HEADER_AUTO;
    assert_rejected(texts[i], WORDS("table.csv:1", "--header yes", "--header no"));
    options.table.header = LS_HEADER_YES;
    assert_ok(import_text(texts[i]));
    assert_int_equal(summary.train_samples, i == 1 ? 1 : 2);
    unlink(output);
  }
  options.table.header = LS_HEADER_NO;
  assert_rejected(texts[0], WORDS("line 2, column 1", "line 1 has a word"));
  assert_ok(import_text(texts[2]));
  assert_int_equal(summary.train_samples, 3);
  assert_rejected_again("a,b,c\n1,2,0\n", WORDS("line 2, column 1", "line 1 has a word"));
}

static void test_comment_lines(void **state) {
  (void)state;
  assert_ok(import_text("# made by numpy\n# a,b,label\n1,2,0\n# a note, with \"quotes\"\n3,4,1\n#5,6\n"));
  ASSERT_FLOATS("/train/x", 2, 2, 1, 2, 3, 4);
  assert_texts("/train/x", "features", WORDS("a", "b"));
  assert_rejected_again("a,b,label\n1,2,0\n#5,6,1\n",
                        WORDS("line 3", "#5,6,1", "in quotes", "remove the line"));
  assert_ok(import_text("# a note\nx,label\n1,0\n2,1\n"));
  assert_texts("/train/x", "features", WORDS("x"));
  assert_ok(import_text("# 1,2,0\n1,2,0\n3,4,1\n")); /* not names */
  assert_no_attribute("/train/x", "features");
  options.table.label = "1";
  assert_ok(import_text("\"#a\",1,2\n\"#b\",3,4\n")); /* in quotes, a cell */
  assert_texts("/train/y", "classes", WORDS("#a", "#b"));
  options.table.label = NULL;
  options.table.header = LS_HEADER_NO;
  assert_ok(import_text("# a,b,label\n1,2,0\n3,4,1\n"));
  assert_no_attribute("/train/x", "features");
}

static void test_separator_line(void **state) {
  (void)state;
  const char *const texts[] = {"sep=;\na;b;c\n1;2;0\n3;4;1\n", "\"sep=,\"\r\na,b,c\r\n1,2,0\r\n3,4,1\r\n",
                               "\xEF\xBB\xBFSEP=:\n1:2:0\n3:4:1\n", "sep=\t\n1\t2\t0\n3\t4\t1\n"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_ok(import_text(texts[i]));
    ASSERT_FLOATS("/train/x", 2, 2, 1, 2, 3, 4);
    ASSERT_CLASSES("/train/y", 2, 0, 1);
  }
  assert_rejected_again("sep=;\na;b;c\n1;2;0\n3;x;1\n", WORDS("line 4", "x"));
}

static void test_delimiter_at_line_ends(void **state) {
  (void)state;
  const char *const texts[] = {"a,b,c,\n1,2,0,\n3,4,1,\n", "a,b,c\n1,2,0,\n3,4,1,\n", "1,2,0,\n3,4,1,\n",
                               "a,b,c,\n1,2,0,\n3,4,1\n"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_ok(import_text(texts[i]));
    ASSERT_FLOATS("/train/x", 2, 2, 1, 2, 3, 4);
    ASSERT_CLASSES("/train/y", 2, 0, 1);
  }
  assert_rejected_again("a,b,c\n1,2,0,\n3,4,1,7\n", WORDS("line 2", "4 columns"));
  assert_rejected_again("a,b,c\n1,2,0\n3,4,1,7\n", WORDS("line 3", "4 columns"));
}

/* ----------------------------------------------------------- CSV: roles of columns */

static void test_drop_and_columns(void **state) {
  (void)state;
  const char text[] = "Id,a,b,c,label\n7,1,2,3,x\n9,4,5,6,y\n";
  const char *const drops[] = {"Id,c", "1,4", "1, c"};
  for (size_t i = 0; i < 3; i++) {
    options.table.drop = drops[i];
    assert_ok(import_text(text));
    ASSERT_FLOATS("/train/x", 2, 2, 1, 2, 4, 5);
  }
  options.table.drop = "label"; /* the label is then the last of the others */
  assert_ok(import_text(text));
  ASSERT_CLASSES("/train/y", 2, 0, 1);
  assert_texts("/train/y", "classes", WORDS("3", "6"));
  options.table.drop = NULL;
  options.table.columns = "c,a";
  assert_ok(import_text(text));
  ASSERT_FLOATS("/train/x", 2, 2, 3, 1, 6, 4);
  assert_texts("/train/x", "features", WORDS("c", "a"));
  options.table.columns = "2-4";
  assert_ok(import_text(text));
  ASSERT_FLOATS("/train/x", 2, 3, 1, 2, 3, 4, 5, 6);
  options.table.columns = "a,b";
  assert_ok(import_text("x;\"a,b\";y\n1;2;0\n3;4;1\n")); /* a name with a comma */
  ASSERT_FLOATS("/train/x", 2, 1, 2, 4);
}

static void test_roles_rejected(void **state) {
  (void)state;
  const char text[] = "Id,a,label\n7,1,0\n9,4,1\n";
  options.table.drop = "id";
  assert_rejected(text, WORDS("--drop", "id", "Id, a, label", "1 to 3"));
  options.table.drop = "2,5";
  assert_rejected(text, WORDS("--drop", "5", "1 to 3"));
  options.table.drop = "2,Id,2";
  assert_int_equal(import_text(text), LS_ERR_CONFIG);
  assert_message(WORDS("--drop", "a", "twice"));
  options.table.drop = "a";
  options.table.label = "a";
  assert_int_equal(import_text(text), LS_ERR_CONFIG);
  options.table.label = NULL;
  options.table.columns = "Id";
  assert_int_equal(import_text(text), LS_ERR_CONFIG);
  assert_message(WORDS("--drop", "--columns"));
  options.table.drop = NULL;
  options.table.columns = "1-3";
  assert_rejected(text, WORDS("no label", "--label"));
}

static void test_two_targets(void **state) {
  (void)state;
  options.table.label = "u,v";
  assert_ok(import_text("a,u,b,v\n1,0,3,4\n5,1,7,8\n"));
  ASSERT_FLOATS("/train/x", 2, 2, 1, 3, 5, 7);
  ASSERT_FLOATS("/train/y", 2, 2, 0, 4, 1, 8);
  assert_no_attribute("/train/y", "classes");
  assert_int_equal(summary.classes, 0);
  options.table.label = "4,2";
  assert_ok(import_text("a,u,b,v\n1,0.1,3,1600000000.5\n5,1,7,1600000001\n"));
  assert_array("/train/y", &(ls_array){LS_F64, 2, {2, 2}},
               (const double[]){1600000000.5, 0.1, 1600000001, 1});
  assert_int_equal(import_text("a,u,b,v\n1,x,3,1\n5,1,7,1\n"), LS_ERR_DATA);
  assert_message(WORDS("line 2, column 2 (u)", "x"));
}

static void test_weights(void **state) {
  (void)state;
  options.table.weight = "w";
  options.test_fraction = 0.25;
  assert_ok(import_text("a,w,label\n1,0.5,0\n1,0.5,1\n1,0.5,0\n1,0.5,1\n"));
  assert_array("/train/w", &(ls_array){LS_F32, 1, {3}}, (const float[]){0.5F, 0.5F, 0.5F});
  assert_array("/test/w", &(ls_array){LS_F32, 1, {1}}, (const float[]){0.5F});
  assert_int_equal(summary.features, 1);
  options.test_fraction = 0;
  unlink(output);
  assert_rejected("a,w,label\n1,0.5,0\n1,-1,1\n", WORDS("line 3, column 2 (w)", "-1", "0"));
}

/* A file to predict may have any columns of the file that was imported. */
static void test_unlabelled(void **state) {
  (void)state;
  options.table.is_unlabelled = true;
  options.table.n_required = 2;
  assert_ok(import_text("1,2\n3,4\n"));
  assert_ok(import_text("7,2,x\n3,4,y\n")); /* the last column is the label */
  ASSERT_FLOATS("/train/x", 2, 2, 7, 2, 3, 4);
  unlink(output);
  assert_rejected("1,7,2\n2,3,4\n",
                  WORDS("table.csv:1", "3", "2", "--columns")); /* or the first an index */
  options.table.label = "1";
  assert_ok(import_text("x,7,2\ny,3,4\n"));
  ASSERT_FLOATS("/train/x", 2, 2, 7, 2, 3, 4);
  assert_absent("/train/y");
  options.table.label = NULL;
  options.table.names = WORDS("1", "0");
  options.table.n_names = 2;
  assert_ok(import_text("0,1\n3,4\n")); /* a header of numbers that the model names */
  ASSERT_FLOATS("/train/x", 1, 2, 4, 3);
}

static void test_label_column(void **state) {
  (void)state;
  const char text[] = "a,b,c\n1,2,3\n4,5,6\n";
  const char *const labels[] = {"b", "2", "002"};
  for (size_t i = 0; i < 3; i++) {
    options.table.label = labels[i];
    assert_ok(import_text(text));
    ASSERT_FLOATS("/train/x", 2, 2, 1, 3, 4, 6);
    ASSERT_CLASSES("/train/y", 2, 0, 1);
    assert_texts("/train/y", "classes", WORDS("2", "5"));
    assert_texts("/train/x", "features", WORDS("a", "c"));
  }
  options.table.label = "1";
  assert_ok(import_text("7,8\n9,10\n"));
  ASSERT_FLOATS("/train/x", 2, 1, 8, 10);
}

static void test_label_column_unknown(void **state) {
  (void)state;
  options.table.label = "d";
  assert_rejected("a,b,c\n1,2,3\n", WORDS("d", "a, b, c", "1 to 3"));
  assert_rejected("1,2,3\n4,5,6\n", WORDS("d", "1 to 3"));
  options.table.label = "0";
  assert_rejected("a,b,c\n1,2,3\n", WORDS("0", "1 to 3"));
  options.table.label = "4";
  assert_rejected("a,b,c\n1,2,3\n", WORDS("4"));
  options.table.label = "99999999999999999999999999";
  assert_rejected("a,b,c\n1,2,3\n", WORDS("99999999999999999999999999"));
  options.table.label = "-1";
  assert_rejected("a,b,c\n1,2,3\n", WORDS("-1"));
  options.table.label = "a";
  assert_rejected("a,b,a\n1,2,3\n", WORDS("2 columns", "a"));
}

static void test_no_label(void **state) {
  (void)state;
  options.table.is_unlabelled = true;
  assert_ok(import_text("a,b\n1,2\n3,4\n"));
  ASSERT_FLOATS("/train/x", 2, 2, 1, 2, 3, 4);
  assert_texts("/train/x", "features", WORDS("a", "b"));
  assert_absent("/train/y");
  assert_int_equal(summary.classes, 0);
  assert_ok(import_text("1\n2\n3\n"));
  ASSERT_FLOATS("/train/x", 3, 1, 1, 2, 3);
}

/* -------------------------------------------------------------- CSV: labels */

/* Whole numbers become classes in the order of their values. */
/* A column of words becomes a feature for each, in its place. */
static void test_categories(void **state) {
  (void)state;
  assert_ok(import_text("a,c,b,y\n1,red,2,0\n3,\xC3\xA9,4,1\n5,Blue,6,0\n7,red,8,1\n"));
  ASSERT_FLOATS("/train/x", 4, 5, 1, 0, 1, 0, 2, 3, 0, 0, 1, 4, 5, 1, 0, 0, 6, 7, 0, 1, 0, 8);
  assert_texts("/train/x", "features", WORDS("a", "c=Blue", "c=red", "c=\xC3\xA9", "b"));
  assert_int_equal(summary.features, 5);
  options.table.categories = "1";
  assert_ok(import_text("1,red,0\n-0,red,1\n1.0,red,0\n"));
  ASSERT_FLOATS("/train/x", 3, 3, 0, 1, 1, 1, 0, 1, 0, 1, 1);
  assert_texts("/train/x", "features", WORDS("column 1=0", "column 1=1", "column 2=red"));
  options.table.categories = NULL;
  assert_ok(import_text("red,big,x\nred,small,y\nblue,big,y\nblue,small,x\n")); /* words recur: no header */
  assert_int_equal(summary.train_samples, 4);
  unlink(output);
  assert_rejected("c,y\nred,0\n1,1\n",
                  WORDS("line 3, column 1 (c): 1", "line 2 has a word", "--categories"));
  assert_rejected("c,y\n1,0\nred,1\n", WORDS("line 3, column 1 (c): red", "--categories", "--drop"));
  assert_rejected("c,y\nu,0\nv,1\nw,0\n", WORDS("column 1, c", "3 different words", "--drop 1"));
  assert_rejected("c,c=d,y\nd,1,0\nd,2,1\n", WORDS("c=d", "ambiguous"));
  assert_rejected("c,y\n\xFF,0\n\xFF,1\n", WORDS("line 2, column 1 (c)", "UTF-8"));
}

static void test_many_categories(void **state) {
  (void)state;
  char text[1 << 14] = "c,y\n";
  for (int i = 0; i < 514; i++) ls_append(text, sizeof text, "w%d,%d\n", i / 2 % 257, i % 2);
  assert_rejected(text,
                  WORDS("column 1, c", "257 different words in the first 513 rows", "256", "--drop 1"));
}

static void test_missing_cells(void **state) {
  (void)state;
  const char text[] = "c,a,y\nred,,0\n,2,1\nred,NA,1\nblue,4,0\nblue,-3,1\n";
  assert_rejected(text, WORDS("line 2, column 2 (a)", "empty", "3, in 3 of 5 rows", "--missing mean"));
  options.table.missing = LS_MISSING_MEAN;
  assert_ok(import_text(text));
  ASSERT_FLOATS("/train/x", 5, 4, 0, 0, 1, 1, 1, 0, 0, 2, 0, 0, 1, 1, 0, 1, 0, 4, 0, 1, 0, -3);
  assert_texts("/train/x", "features", WORDS("c=", "c=blue", "c=red", "a"));
  assert_int_equal(summary.n_missing, 3);
  options.table.missing = LS_MISSING_NUMBER;
  options.table.missing_number = -1;
  assert_ok(import_text("a,y\n,0\n2,1\n"));
  ASSERT_FLOATS("/train/x", 2, 1, -1, 2);
  options.table.missing = LS_MISSING_DROP;
  assert_ok(import_text("a,y\n,0\n2,1\n3,\n5,0\n"));
  ASSERT_FLOATS("/train/x", 2, 1, 2, 5);
  ASSERT_CLASSES("/train/y", 2, 1, 0);
  unlink(output);
  assert_rejected("a,y\n,0\n2,\n", WORDS("no samples", "2 rows"));
  options.table.missing = LS_MISSING_MEAN;
  assert_rejected("a,y\nNA,0\n,1\n", WORDS("column 1, a", "no mean"));
  assert_rejected("a,y\n1,\n2,1\n", WORDS("line 2", "label", "--missing drop"));
  assert_rejected("a,y\ninf,0\n2,1\n", WORDS("line 2, column 1 (a)", "inf", "not finite"));
}

/* The names of a model's features define words and order; a column with such a name comes first. */
static void test_categories_of_a_model(void **state) {
  (void)state;
  options.table = (ls_table_options){.is_unlabelled = true,
                                     .n_required = 4,
                                     .names = WORDS("c=red", "b", "c=blue", "d=x"),
                                     .n_names = 4,
                                     .missing = LS_MISSING_MEAN,
                                     .means = (const double[]){9, 0.5, 9, 9}};
  assert_ok(import_text("y,c,b,d=x\nu,blue,1,7\nv,red,,8\n"));
  ASSERT_FLOATS("/train/x", 2, 4, 0, 1, 1, 7, 1, 0.5, 0, 8);
  unlink(output);
  assert_rejected("c,b,d\nblue,1,x\npink,2,x\n",
                  WORDS("line 3, column 1 (c): pink", "blue, red", "--unknown zero"));
  assert_rejected("c,b,d\n,1,x\n", WORDS("line 2, column 1 (c)", "missing", "--unknown zero"));
  assert_rejected("1,2,3,4\n5,6,7,8\n", WORDS("categories", "header"));
  options.table.accepts_unknown = true;
  assert_ok(import_text("c,b,d\nblue,1,x\npink,2,\n"));
  ASSERT_FLOATS("/train/x", 2, 4, 0, 1, 1, 1, 0, 2, 0, 0);
}

static void test_whole_number_labels(void **state) {
  (void)state;
  assert_ok(import_text("1,2\n1,2.0\n1,03\n1,2147483647\n"));
  ASSERT_CLASSES("/train/y", 4, 0, 0, 1, 2);
  assert_texts("/train/y", "classes", WORDS("2", "3", "2147483647"));
  assert_ok(import_text("1,1\n1,-1\n1,1.000e+00\n1,-0\n1,0\n"));
  ASSERT_CLASSES("/train/y", 5, 2, 0, 2, 1, 1);
  assert_texts("/train/y", "classes", WORDS("-1", "0", "1"));
  char *text = malloc(3000 * 16);
  assert_non_null(text);
  size_t used = 0;
  int64_t years[100];
  for (int i = 0; i < 100; i++) { /* 50 different values in 100 rows: numbers */
    years[i] = 1900 + i % 50;
    used += (size_t)sprintf(text + used, "1,%d\n", 1900 + i % 50);
  }
  assert_ok(import_text(text));
  assert_array("/train/y", &(ls_array){LS_I64, 1, {100}}, years);
  assert_no_attribute("/train/y", "classes");
  assert_int_equal(summary.classes, 0);
  options.table.targets = LS_TARGETS_CLASSES;
  assert_ok(import_text(text));
  assert_int_equal(summary.classes, 50);
  options.table.targets = LS_TARGETS_NUMBERS;
  assert_ok(import_text("1,2\n1,3\n"));
  ASSERT_FLOAT_LABELS(2, 2, 3);
  assert_rejected_again("1,2\n1,x\n", WORDS("line 2", "x"));
  free(text);
}

static void test_real_labels(void **state) {
  (void)state;
  assert_ok(import_text("1,2.5\n1,3\n"));
  ASSERT_FLOAT_LABELS(2, 2.5F, 3);
  assert_int_equal(summary.classes, 0);
  assert_ok(import_text("1,1600000000.25\n1,1600000001\n")); /* beyond float32 */
  assert_array("/train/y", &(ls_array){LS_F64, 1, {2}}, (const double[]){1600000000.25, 1600000001});
}

/* A word among numbers that are not classes is an error, not a class. */
static void test_word_among_numbers(void **state) {
  (void)state;
  assert_rejected("a,price\n1,208500\n2,181500\n3,n.a.\n4,223500\n5,140000\n",
                  WORDS("line 4", "n.a.", "--targets classes"));
  assert_ok(import_text("1,0\n1,1\n1,0\n1,1\n1,unknown\n1,0\n")); /* few values: a third class */
  assert_texts("/train/y", "classes", WORDS("0", "1", "unknown"));
}

/* float64 only where float32 would lose what the values differ by. */
static void test_types_of_columns(void **state) {
  (void)state;
  const ls_array wide = {LS_F64, 2, {3, 2}};
  assert_ok(import_text("1600000000.5,0.1,0\n1600000000.75,0.2,1\n1600000060,0.3,1\n"));
  assert_array("/train/x", &wide, (const double[]){1600000000.5, 0.1, 1600000000.75, 0.2, 1600000060, 0.3});
  assert_ok(import_text("290.13,0.1,0\n300.2,0.1,1\n280.3,0.1,1\n"));
  ASSERT_FLOATS("/train/x", 3, 2, 290.13F, 0.1F, 300.2F, 0.1F, 280.3F, 0.1F);
  assert_ok(import_text("16777217,0\n-16777217,1\n0,1\n")); /* the error is small in this range */
  ASSERT_FLOATS("/train/x", 3, 1, 16777216, -16777216, 0);
}

/* Decimal numbers have the nearest double, as strtod gives it. */
static void test_numbers(void **state) {
  (void)state;
  const char *const texts[] = {"0.1",
                               "-2.5e-3",
                               "1e22",
                               "123456789.123456789",
                               "9007199254740993",
                               ".5",
                               "5.",
                               "+7",
                               "1E-22",
                               "3e5",
                               "0.30000000000000004",
                               "1.7976931348623157e30",
                               "4e-30",
                               "123456789012345678901234567890e-10",
                               "8.5e+1"};
  const size_t n = sizeof texts / sizeof *texts;
  char text[1024] = "";
  double expected[32];
  for (size_t i = 0; i < n; i++) {
    ls_append(text, sizeof text, "%s,1\n", texts[i]);
    expected[i] = strtod(texts[i], NULL);
  }
  options.table.is_wide = true;
  assert_ok(import_text(text));
  assert_array("/train/x", &(ls_array){LS_F64, 2, {n, 1}}, expected);
  const char *const bad[] = {"1e", "e5", ".", "+", "1.2.3", "--1", "1e+", "1 2"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    snprintf(text, sizeof text, "2,1\n%s,0\n", bad[i]);
    assert_rejected_again(text, WORDS("line 2, column 1", bad[i]));
  }
}

static void test_labels_sorted_by_bytes(void **state) {
  (void)state;
  assert_ok(import_text("1,b\n2,\xC3\xA9\n3,B\n4,10\n5,9\n6,b\n"));
  assert_texts("/train/y", "classes", WORDS("10", "9", "B", "b", "\xC3\xA9"));
  ASSERT_CLASSES("/train/y", 6, 3, 4, 2, 0, 1, 3);
}

static void test_labels_rejected(void **state) {
  (void)state;
  assert_rejected("a,c\n1,x\n2,\n", WORDS("line 3", "label"));
  assert_rejected("a,c\n1,0\n2,NA\n", WORDS("line 3", "NA"));
  assert_rejected("a,c\n1,x\n2,nan\n", WORDS("line 3", "nan"));
  assert_rejected("a,c\n1,1.5\n2,inf\n", WORDS("line 3", "inf"));
  assert_rejected("a,c\n1,1.5\n2,2.5\n3,x\n", WORDS("x", "line 4", "1.5", "line 2"));
  assert_rejected("a,c\n1,1e39\n2,2.5\n", WORDS("line 2", "column 2 (c)", "1e39", "float32"));
  assert_rejected("a\xE9,c\n1,y\n2,x\n", WORDS("column 1", "UTF-8"));
  /* truncated, without a lead byte, overlong, a surrogate, above U+10FFFF */
  const char *const invalid[] = {
      "\xE9",         "\xE2\x82",         "\x80",         "\xC3\x28",         "\xC0\x80",
      "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80"};
  char text[32];
  for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
    snprintf(text, sizeof text, "a,c\n1,%s\n2,x\n", invalid[i]);
    assert_rejected(text, WORDS("line 2", "UTF-8"));
  }
  assert_ok(import_text(
      "1,\xC2\x80\n2,\xDF\xBF\n3,\xE0\xA0\x80\n4,\xED\x9F\xBF\n5,\xF0\x90\x80\x80\n6,\xF4\x8F\xBF\xBF\n"));
  assert_int_equal(summary.classes, 6);
}

/* A table of n rows whose labels are `prefix` and the row's number, then `last`. */
static char *many_labels(size_t n, const char *prefix, const char *last) {
  char *const text = malloc(n * 24 + 100);
  assert_non_null(text);
  size_t used = 0;
  for (size_t i = 0; i < n; i++) used += (size_t)sprintf(text + used, "1,%s%zu\n", prefix, i);
  sprintf(text + used, "%s", last);
  return text;
}

static void test_many_distinct_labels(void **state) {
  (void)state;
  char *text = many_labels(70000, "", "");
  assert_ok(import_text(text)); /* too many for classes: real numbers */
  assert_int_equal(summary.classes, 0);
  free(text);
  unlink(output);
  text = many_labels(70000, "", "1,x\n");
  assert_rejected(text, WORDS("line 70001", "x", "number"));
  free(text);
  text = many_labels(70000, "w", "");
  assert_rejected(text, WORDS("labels", "w0"));
  free(text);
  text = many_labels(5000, "class-", "");
  assert_ok(import_text(text));
  assert_int_equal(summary.classes, 5000);
  free(text);
}

/* -------------------------------------------------------------- CSV: errors */

static void test_cells_rejected(void **state) {
  (void)state;
  assert_rejected("a,b,c\n1,2,0\n3,,1\n", WORDS("table.csv", "line 3, column 2 (b)", "empty"));
  assert_rejected("1,2,0\n3,NA,1\n", WORDS("line 2, column 2", "NA"));
  assert_rejected("1,2,0\n3,nan,1\n", WORDS("line 2, column 2", "nan"));
  assert_rejected("1,2,0\n-inf,2,1\n", WORDS("line 2, column 1", "-inf"));
  assert_rejected("1,2,0\n3,red,1\n", WORDS("line 2, column 2", "red", "number"));
  assert_rejected("1,2,0\n3,0x10,1\n", WORDS("0x10"));
  assert_rejected("1,2,0\n3,1e5e,1\n", WORDS("1e5e"));
  assert_rejected("1,2,0\n3,3.5e38,1\n", WORDS("line 2, column 2", "3.5e38", "float32"));
  assert_rejected("1,2,0\n3,-1e999,1\n", WORDS("-1e999", "float32"));
  assert_rejected("a,b,c\n\n\"1\",\"2\",\"x\ny\"\n3,?,1\n", WORDS("line 5, column 2 (b)", "?"));
  assert_rejected("a,b,c\r\"1\",\"2\",\"x\ry\"\r3,?,1\r", WORDS("line 4, column 2 (b)", "?"));
  assert_rejected("a,b,c\r\n\"1\",\"2\",\"x\r\ny\"\r\n3,?,1\r\n", WORDS("line 4, column 2 (b)", "?"));
}

static void test_rows_rejected(void **state) {
  (void)state;
  assert_rejected("a,b,c\n1,2,0\n3,4\n", WORDS("line 3", "2 columns", "3"));
  assert_rejected("a,b,c\n1,2,0,9\n3,4,1\n", WORDS("line 2", "4 columns", "3"));
  assert_rejected("a,b\n1,\"2\n3,4\n", WORDS("line 2", "quote"));
  assert_rejected("a,b\n1,\"2\"x\n3,4\n", WORDS("line 2", "quote"));
  assert_rejected("", WORDS("table.csv", "no samples"));
  assert_rejected("\n\n", WORDS("no samples"));
  assert_rejected("a,b,c\n", WORDS("table.csv", "no samples"));
  assert_rejected("a\n1\n2\n", WORDS("table.csv", "column"));
}

static void test_binary_rejected(void **state) {
  (void)state;
  write_file("table.csv", "a,b\n1,2\0,3\n", 12, false);
  assert_int_equal(import_files(1, (const char *const[]){"table.csv"}), LS_ERR_DATA);
  assert_message(WORDS("table.csv", "line 2"));
  write_file("table.csv",
             "\xFF\xFE"
             "a\0,\0b\0\n\0",
             10, false);
  assert_int_equal(import_files(1, (const char *const[]){"table.csv"}), LS_ERR_DATA);
  assert_message(WORDS("UTF-16"));
}

static void test_open_quote_is_bounded(void **state) {
  (void)state;
  const size_t size = (size_t)65 << 20;
  char *const text = malloc(size);
  assert_non_null(text);
  memset(text, 'x', size);
  text[1] = ',';
  text[2] = '"';
  write_file("table.csv.gz", text, size, true);
  free(text);
  assert_int_equal(import_files(1, (const char *const[]){"table.csv.gz"}), LS_ERR_DATA);
  assert_message(WORDS("line 1", "64 MiB"));
}

/* -------------------------------------------------------- CSV: test fraction */

/* The first column of a split, which counts the rows in these tests. */
static float *read_column(const char *path, size_t *n) {
  ls_array array;
  ls_store *store = open_output();
  assert_ok(ls_store_describe(store, path, &array));
  *n = (size_t)array.dims[0];
  float *const values = calloc(*n, sizeof *values);
  assert_non_null(values);
  assert_ok(ls_store_read_rows(store, path, 0, *n, values));
  ls_store_close(&store);
  return values;
}

static void test_fraction(void **state) {
  (void)state;
  const size_t n = 10003;
  char *const table = malloc(n * 32);
  assert_non_null(table);
  size_t used = 0;
  for (size_t i = 0; i < n; i++) used += (size_t)sprintf(table + used, "%zu,%c\n", i, i % 2 ? 'x' : 'y');
  options.test_fraction = 0.2;
  assert_ok(import_text(table));
  assert_int_equal(summary.test_samples, 2001); /* round(2000.6) */
  assert_int_equal(summary.train_samples, 8002);
  assert_texts("/test/y", "classes", WORDS("x", "y"));

  size_t n_train = 0;
  size_t n_test = 0;
  float *const train = read_column("/train/x", &n_train);
  float *const test = read_column("/test/x", &n_test);
  assert_int_equal(n_train, 8002);
  assert_int_equal(n_test, 2001);
  const ls_permutation order = ls_permutation_make(ls_rng_make(1, LS_RNG_IMPORT, 0, 0), n);
  size_t i_train = 0;
  size_t i_test = 0;
  for (size_t i = 0; i < n; i++) { /* each row is in one split, in the order of the file */
    const bool is_test = ls_permutation_at(&order, i) < 2001;
    const float found = is_test ? test[i_test++] : train[i_train++];
    assert_true(found == (float)i);
  }
  free(train);
  free(test);
  free(table);
}

static void test_fraction_limits(void **state) {
  (void)state;
  const double bad[] = {-0.1, 1, 2, (double)__builtin_nanf("")};
  for (size_t i = 0; i < 4; i++) {
    options.test_fraction = bad[i];
    assert_int_equal(import_text("1,2\n3,4\n"), LS_ERR_CONFIG);
  }
  options.test_fraction = 0.9;
  assert_rejected("1,2\n3,4\n", WORDS("0.9", "2 samples"));
  options.test_fraction = 0.1;
  assert_rejected("1,2\n3,4\n", WORDS("0.1", "2 samples"));
}

/* -------------------------------------------------------------------- output */

static void test_output(void **state) {
  (void)state;
  char source[PATH_SIZE];
  options.output = "/nonexistent-folder/out.h5";
  assert_int_equal(import_text("1,2\n3,4\n"), LS_ERR_OUTPUT);
  path_of("table.csv", source);
  options.output = source;
  assert_int_equal(import_text("1,2\n3,4\n"), LS_ERR_CONFIG);
  assert_message(WORDS("table.csv"));
  assert_int_equal(each_file(NULL), 1);
}

static void test_failure_keeps_older_output(void **state) {
  (void)state;
  assert_ok(import_text("1,2\n3,4\n"));
  assert_int_equal(import_text("1,2\nx,4\n"), LS_ERR_DATA);
  assert_int_equal(each_file(NULL), 2);
  ASSERT_FLOATS("/train/x", 2, 1, 1, 3);
}

static void test_sources(void **state) {
  (void)state;
  const char *const missing[] = {"missing.csv"};
  const char *const dot[] = {"."};
  assert_int_equal(ls_import(NULL, 0, &options, &summary), LS_ERR_CONFIG);
  assert_int_equal(import_files(1, missing), LS_ERR_DATA);
  assert_message(WORDS("missing.csv", "No such file"));
  assert_int_equal(import_files(1, dot), LS_ERR_DATA);
  assert_message(WORDS(folder));
  assert_int_equal(ls_import((const char *const[]){"/dev/zero"}, 1, &options, &summary), LS_ERR_DATA);
  assert_message(WORDS("/dev/zero"));
}

/* Messages do not end inside a character of a name. */
static void test_long_names(void **state) {
  (void)state;
  char table[512];
  char name[200] = "a";
  for (int i = 0; i < 40; i++) ls_append(name, sizeof name, "\xC3\xA9");
  options.table.label = "none";
  snprintf(table, sizeof table, "%s,b\n1,2\n", name);
  assert_int_equal(import_text(table), LS_ERR_DATA);
  assert_true(ls_is_utf8(ls_message(), strlen(ls_message())));
  options.table.label = NULL;
  snprintf(table, sizeof table, "a,b\n1,2\n%s,3\n", name);
  assert_int_equal(import_text(table), LS_ERR_DATA);
  assert_true(ls_is_utf8(ls_message(), strlen(ls_message())));
  assert_message(WORDS("line 3", "a\xC3\xA9"));
}

static void test_lfs_pointer(void **state) {
  (void)state;
  assert_rejected("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
                  WORDS("git lfs pull"));
}

static void test_many_columns(void **state) {
  (void)state;
  const size_t n = 110000;
  char *const text = malloc(n * 32);
  assert_non_null(text);
  size_t used = 0;
  for (size_t i = 0; i < n; i++) used += (size_t)sprintf(text + used, "gene-%06zu,", i);
  used += (size_t)sprintf(text + used, "y\n");
  for (size_t i = 0; i < n; i++) used += (size_t)sprintf(text + used, "%zu,", i);
  sprintf(text + used, "1\n");
  assert_ok(import_text(text));
  free(text);
  assert_int_equal(summary.features, n);
  ls_store *store = open_output();
  char **names = NULL;
  size_t count = 0;
  assert_ok(ls_store_read_texts(store, "/train/x", "features", &names, &count));
  assert_int_equal(count, n);
  assert_string_equal(names[n - 1], "gene-109999");
  free(names);
  ls_store_close(&store);
}

/* ----------------------------------------------------------------------- IDX */

/* Writes an IDX file: magic number, sizes, data. */
static void write_idx(const char *name, unsigned char type, unsigned n_dims, const uint32_t *dims,
                      const void *data, size_t size, bool gzip) {
  unsigned char bytes[4096] = {0, 0, type, (unsigned char)n_dims};
  size_t used = 4;
  assert_true(used + (size_t)4 * n_dims + size <= sizeof bytes);
  for (unsigned i = 0; i < n_dims; i++) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes[used++] = (unsigned char)(dims[i] >> shift);
  }
  if (size > 0) memcpy(bytes + used, data, size);
  write_file(name, bytes, used + size, gzip);
}

static const unsigned char pixels[12] = {0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255};
static const unsigned char digits[3] = {7, 0, 7};

static void write_images(const char *name, uint32_t n, bool gzip) {
  write_idx(name, 8, 3, (const uint32_t[]){n, 2, 2}, pixels, (size_t)n * 4, gzip);
}

static void write_labels(const char *name, uint32_t n, bool gzip) {
  write_idx(name, 8, 1, &n, digits, n, gzip);
}

static ls_status import_pair(void) {
  return import_files(2, (const char *const[]){"train-images", "train-labels"});
}

static void test_idx(void **state) {
  (void)state;
  const ls_array images = {LS_U8, 3, {3, 2, 2}};
  const ls_array labels = {LS_I64, 1, {3}};
  const int64_t classes[] = {1, 0, 1}; /* of the labels 7, 0, 7 */
  write_images("train-images-idx3-ubyte", 3, false);
  write_labels("train-labels-idx1-ubyte.gz", 3, true);
  write_images("t10k-images-idx3-ubyte.gz", 2, true);
  write_labels("t10k-labels-idx1-ubyte", 2, false);
  assert_ok(
      import_files(4, (const char *const[]){"t10k-labels-idx1-ubyte", "train-images-idx3-ubyte",
                                            "t10k-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"}));
  assert_array("/train/x", &images, pixels);
  assert_array("/train/y", &labels, classes);
  assert_texts("/train/y", "classes", WORDS("0", "7"));
  assert_array("/test/x", &(ls_array){LS_U8, 3, {2, 2, 2}}, pixels);
  assert_array("/test/y", &(ls_array){LS_I64, 1, {2}}, classes);
  assert_int_equal(summary.train_samples, 3);
  assert_int_equal(summary.test_samples, 2);
  assert_int_equal(summary.features, 4);
  assert_int_equal(summary.classes, 2);
}

/* Labels 0, 1, ... K - 1 keep their type; others become classes in both splits. */
static void test_idx_labels(void **state) {
  (void)state;
  const unsigned char plain[] = {1, 0, 2};
  const unsigned char letters[] = {26, 1, 26};
  write_images("train-images", 3, false);
  write_idx("train-labels", 8, 1, (const uint32_t[]){3}, plain, 3, false);
  assert_ok(import_pair());
  assert_array("/train/y", &(ls_array){LS_U8, 1, {3}}, plain);
  assert_texts("/train/y", "classes", WORDS("0", "1", "2"));
  write_idx("train-labels", 8, 1, (const uint32_t[]){3}, letters, 3, true);
  write_images("test-images", 1, false);
  write_idx("test-labels", 8, 1, (const uint32_t[]){1}, "\002", 1, false);
  assert_ok(
      import_files(4, (const char *const[]){"train-images", "train-labels", "test-images", "test-labels"}));
  ASSERT_CLASSES("/train/y", 3, 2, 0, 2);
  ASSERT_CLASSES("/test/y", 1, 1);
  assert_texts("/test/y", "classes", WORDS("1", "2", "26"));
}

static void test_idx_names(void **state) {
  (void)state;
  const char *const stems[][2] = {{"pictures", "answers"}, {"test-x", "test-y"}, {"t10k-x", "t10k-y"}};
  for (size_t i = 0; i < 3; i++) {
    write_images(stems[i][0], 3, false);
    write_labels(stems[i][1], 3, false);
    assert_ok(import_files(2, stems[i]));
    assert_absent(i == 0 ? "/test" : "/train");
    assert_int_equal(summary.train_samples, i == 0 ? 3 : 0);
    assert_int_equal(summary.test_samples, i == 0 ? 0 : 3);
  }
}

static void test_idx_types(void **state) {
  (void)state;
  const uint32_t dims[] = {2, 2};
  const unsigned char shorts[] = {0, 1, 255, 254, 1, 0, 128, 0};
  const unsigned char floats[] = {0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x40, 0, 0};
  const unsigned char ints[] = {0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff};
  const unsigned char doubles[] = {0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xbf, 0xf0, 0, 0, 0, 0, 0, 0};
  write_idx("train-images", 0x0B, 2, dims, shorts, sizeof shorts, false);
  write_idx("train-labels", 0x0C, 1, dims, ints, sizeof ints, false);
  assert_ok(import_pair());
  assert_array("/train/x", &(ls_array){LS_I16, 2, {2, 2}}, (const int16_t[]){1, -2, 256, -32768});
  ASSERT_CLASSES("/train/y", 2, 1, 0);
  assert_texts("/train/y", "classes", WORDS("-1", "5"));

  write_idx("train-images", 0x0D, 2, dims, floats, sizeof floats, false);
  write_idx("train-labels", 0x0E, 1, dims, doubles, sizeof doubles, false);
  assert_ok(import_pair());
  assert_array("/train/x", &(ls_array){LS_F32, 2, {2, 2}}, (const float[]){1, -2, 0, 3});
  assert_array("/train/y", &(ls_array){LS_F64, 1, {2}}, (const double[]){1.5, -1});

  write_idx("train-images", 0x09, 2, dims, shorts, 4, false);
  assert_ok(import_pair());
  assert_array("/train/x", &(ls_array){LS_I8, 2, {2, 2}}, (const int8_t[]){0, 1, -1, -2});
}

static void test_idx_not_finite(void **state) {
  (void)state;
  const unsigned char floats[] = {0x3f, 0x80, 0, 0, 0x7f, 0xc0, 0, 0};
  write_idx("train-images", 0x0D, 2, (const uint32_t[]){2, 1}, floats, sizeof floats, false);
  write_labels("train-labels", 2, false);
  assert_int_equal(import_pair(), LS_ERR_DATA);
  assert_message(WORDS("sample 2", "nan"));
}

static void test_idx_blocks(void **state) {
  (void)state;
  const size_t n = 3000; /* of 1 KiB: three blocks */
  unsigned char *const bytes = calloc(16 + n * 1024, 1);
  assert_non_null(bytes);
  static const unsigned char images_header[16] = {0, 0, 8, 3, 0, 0, 0x0b, 0xb8, 0, 0, 0, 32, 0, 0, 0, 32};
  static const unsigned char labels_header[8] = {0, 0, 8, 1, 0, 0, 0x0b, 0xb8};
  memcpy(bytes, images_header, sizeof images_header);
  for (size_t i = 0; i < n * 1024; i++) bytes[16 + i] = (unsigned char)(i * 7 + i / 1024);
  write_file("train-images", bytes, 16 + n * 1024, true);
  unsigned char *const labels = calloc(8 + n, 1);
  assert_non_null(labels);
  memcpy(labels, labels_header, sizeof labels_header);
  write_file("train-labels", labels, 8 + n, true);
  assert_ok(import_pair());
  assert_array("/train/x", &(ls_array){LS_U8, 3, {n, 32, 32}}, bytes + 16);
  assert_int_equal(summary.features, 1024);
  assert_int_equal(summary.classes, 1);
  free(bytes);
  free(labels);
}

static void assert_pair_rejected(const char *const *words) {
  assert_int_equal(import_pair(), LS_ERR_DATA);
  assert_message(words);
  assert_int_equal(each_file(NULL), 2);
}

static void test_idx_pairing_rejected(void **state) {
  (void)state;
  write_images("train-images", 3, false);
  write_images("train-labels", 3, false);
  assert_pair_rejected(WORDS("train-images", "train-labels", "images", "/train"));
  write_labels("train-images", 3, false);
  write_labels("train-labels", 3, false);
  assert_pair_rejected(WORDS("train-images", "train-labels", "labels"));
  write_images("train-images", 3, false);
  write_labels("train-labels", 2, false);
  assert_pair_rejected(WORDS("3 images", "2 labels"));
  write_labels("train-labels", 3, false);
  assert_int_equal(import_files(1, (const char *const[]){"train-images"}), LS_ERR_DATA);
  assert_message(WORDS("train-images", "labels"));
  assert_int_equal(import_files(1, (const char *const[]){"train-labels"}), LS_ERR_DATA);
  assert_message(WORDS("train-labels", "images"));
}

static void test_idx_splits_must_have_one_shape(void **state) {
  (void)state;
  write_images("train-images", 3, false);
  write_labels("train-labels", 3, false);
  write_idx("test-images", 8, 2, (const uint32_t[]){3, 4}, pixels, 12, false);
  write_labels("test-labels", 3, false);
  assert_int_equal(
      import_files(4, (const char *const[]){"train-images", "train-labels", "test-images", "test-labels"}),
      LS_ERR_DATA);
  assert_message(WORDS("(3, 2, 2)", "(3, 4)"));
}

static void test_idx_headers_rejected(void **state) {
  (void)state;
  write_labels("train-labels", 3, false);
  write_idx("train-images", 8, 3, (const uint32_t[]){0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, pixels, 12,
            false);
  assert_pair_rejected(WORDS("train-images", "4294967295"));
  write_idx("train-images", 8, 4, (const uint32_t[]){1U << 31, 1 << 9, 1, 1}, pixels, 12, true);
  assert_pair_rejected(WORDS("train-images", "2147483648"));
  write_idx("train-images", 8, 3, (const uint32_t[]){3, 2, 0}, NULL, 0, false);
  assert_pair_rejected(WORDS("no samples"));
  write_idx("train-images", 8, 9, (const uint32_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, pixels, 1, false);
  assert_pair_rejected(WORDS("9 dimensions"));
  write_idx("train-images", 8, 0, NULL, pixels, 1, false);
  assert_pair_rejected(WORDS("0 dimensions"));
  write_idx("train-images", 0x0A, 3, (const uint32_t[]){3, 2, 2}, pixels, 12, false);
  assert_pair_rejected(WORDS("train-images", "IDX", "00 00 0a 03"));
  write_file("train-images", "1,2,3\n", 6, false);
  assert_pair_rejected(WORDS("train-images", "IDX", "CSV"));
  write_file("train-images", "\0\0\x08\x03\0\0", 6, false);
  assert_pair_rejected(WORDS("train-images", "header"));
  write_file("train-images", "", 0, false);
  assert_pair_rejected(WORDS("train-images"));
  const char damaged[] = "xx\x08\x03";
  write_file("images-idx3-ubyte", damaged, 4, false); /* its name shows that it is an IDX file */
  assert_int_equal(import_files(1, (const char *const[]){"images-idx3-ubyte"}), LS_ERR_DATA);
  assert_message(WORDS("images-idx3-ubyte", "IDX", "78 78 08 03"));
}

static void test_idx_length_rejected(void **state) {
  (void)state;
  const uint32_t dims[] = {3, 2, 2};
  write_labels("train-labels", 3, false);
  for (int gzip = 0; gzip <= 1; gzip++) {
    write_idx("train-images", 8, 3, dims, pixels, 11, gzip);
    assert_pair_rejected(WORDS("train-images", "3 samples", "2"));
    unsigned char longer[13] = {0};
    write_idx("train-images", 8, 3, dims, longer, 13, gzip);
    assert_pair_rejected(WORDS("train-images", "bytes"));
  }
}

/* Flips a byte of a file, counted from its end, or truncates the file there. */
static void damage(const char *name, long from_end, bool truncates) {
  char path[PATH_SIZE];
  path_of(name, path);
  FILE *const file = fopen(path, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, -from_end, SEEK_END), 0);
  const long at = ftell(file);
  const int byte = fgetc(file);
  fseek(file, at, SEEK_SET);
  fputc(byte ^ 0x55, file);
  fclose(file);
  if (truncates) assert_int_equal(truncate(path, at), 0);
}

static void test_gzip_damage(void **state) {
  (void)state;
  write_labels("train-labels", 3, false);
  write_images("train-images", 3, true);
  damage("train-images", 8, false); /* the checksum */
  assert_pair_rejected(WORDS("train-images", "gzip", "damaged"));
  write_images("train-images", 3, true);
  damage("train-images", 5, true);
  assert_pair_rejected(WORDS("train-images"));
  write_images("train-images", 3, true);
  damage("train-images", 12, true);
  assert_pair_rejected(WORDS("train-images"));

  const char text[] = "a,b\n1,2\n3,4\n";
  write_file("table.csv", text, strlen(text), true);
  damage("table.csv", 8, false);
  assert_int_equal(import_files(1, (const char *const[]){"table.csv"}), LS_ERR_DATA);
  assert_message(WORDS("table.csv", "damaged"));
}

static void test_idx_options(void **state) {
  (void)state;
  write_images("train-images", 3, false);
  write_labels("train-labels", 3, false);
  options.test_fraction = 0.2;
  assert_int_equal(import_pair(), LS_ERR_CONFIG);
  assert_message(WORDS("0.2", "CSV"));
  options.test_fraction = 0;
  options.table.label = "class";
  assert_int_equal(import_pair(), LS_ERR_CONFIG);
  assert_message(WORDS("class", "CSV"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_header_and_text_labels),
      TEST(test_no_header),
      TEST(test_delimiters),
      TEST(test_quotes),
      TEST(test_line_ends_byte_order_mark_and_blank_lines),
      TEST(test_gzipped_table),
      TEST(test_header_rules),
      TEST(test_header_of_numbers),
      TEST(test_header_ambiguous),
      TEST(test_comment_lines),
      TEST(test_separator_line),
      TEST(test_delimiter_at_line_ends),
      TEST(test_drop_and_columns),
      TEST(test_roles_rejected),
      TEST(test_two_targets),
      TEST(test_weights),
      TEST(test_unlabelled),
      TEST(test_categories),
      TEST(test_many_categories),
      TEST(test_missing_cells),
      TEST(test_categories_of_a_model),
      TEST(test_whole_number_labels),
      TEST(test_real_labels),
      TEST(test_word_among_numbers),
      TEST(test_types_of_columns),
      TEST(test_numbers),
      TEST(test_label_column),
      TEST(test_label_column_unknown),
      TEST(test_no_label),
      TEST(test_labels_sorted_by_bytes),
      TEST(test_labels_rejected),
      TEST(test_many_distinct_labels),
      TEST(test_cells_rejected),
      TEST(test_rows_rejected),
      TEST(test_binary_rejected),
      TEST(test_open_quote_is_bounded),
      TEST(test_fraction),
      TEST(test_fraction_limits),
      TEST(test_output),
      TEST(test_failure_keeps_older_output),
      TEST(test_sources),
      TEST(test_many_columns),
      TEST(test_long_names),
      TEST(test_lfs_pointer),
      TEST(test_idx),
      TEST(test_idx_names),
      TEST(test_idx_types),
      TEST(test_idx_labels),
      TEST(test_idx_not_finite),
      TEST(test_idx_blocks),
      TEST(test_idx_pairing_rejected),
      TEST(test_idx_splits_must_have_one_shape),
      TEST(test_idx_headers_rejected),
      TEST(test_idx_length_rejected),
      TEST(test_gzip_damage),
      TEST(test_idx_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
