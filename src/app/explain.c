/* lockstep explain: attributions of samples, or the importance of features. */
#include "lockstep/explain.h"

#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct work {
  ls_comm *comm;
  const arguments *arguments;
  const char *output;
  bool wants_importance;
  ls_predictor *predictor;
  app_data data;
  const ls_dataset *dataset; /* of data */
  uint64_t *samples;         /* (n_samples), owned */
  size_t n_samples;
  ls_explainer *explainer;
  /* Rank 0. */
  ls_explain_names names;
  ls_store_writer *writer;
  const char *folder; /* of the pictures; NULL: none */
  ls_pictures *pictures;
} work;

/* ---------------------------------------------------------------------- options */

/* Rejects options that are allowed only with, or only without, --importance. */
static ls_status check_form(const work *w) {
  static const char *const others[2][6] = {{"repeats", "json"},
                                           {"output", "samples", "class", "steps", "baseline", "pictures"}};
  for (size_t i = 0; i < 6 && others[w->wants_importance][i]; i++) {
    const char *const name = others[w->wants_importance][i];
    if (app_option(w->arguments, name))
      return ls_fail(LS_ERR_CONFIG, "--%s: allowed only %s --importance; see lockstep explain --help", name,
                     w->wants_importance ? "without" : "with");
  }
  return LS_OK;
}

static ls_status read_options(work *w, ls_explain_options *o, uint64_t *repeats) {
  const arguments *const a = w->arguments;
  const char *const baseline = app_option(a, "baseline");
  uint64_t steps = 64;
  w->wants_importance = app_option(a, "importance") != NULL;
  w->folder = app_option(a, "pictures");
  LS_TRY(check_form(w));
  if (!w->wants_importance && !app_option(a, "output"))
    return ls_fail(LS_ERR_CONFIG, "-o OUT.h5 or --importance is missing; see lockstep explain --help");
  if (!w->wants_importance)
    LS_TRY(app_read_output(a, (const char *const[]){".h5", ".hdf5", NULL}, &w->output));
  LS_TRY(app_read_count(a, "steps", 1, LS_EXPLAIN_POINTS_MOST, &steps));
  LS_TRY(app_read_count(a, "repeats", 1, 10000, repeats));
  o->points = steps;
  o->most = LS_EXPLAIN_POINTS_MOST;
  if (!baseline) return LS_OK;
  for (o->baseline = 0; ls_baseline_names[o->baseline]; o->baseline++)
    if (strcmp(baseline, ls_baseline_names[o->baseline]) == 0) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "--baseline %s: must be zero or mean", baseline);
}

#define SAMPLES_DEFAULT 10

/* Counts a sample and, after the list is allocated, stores it. */
static void add_sample(void *context, uint64_t sample) {
  work *const w = context;
  if (w->samples) w->samples[w->n_samples] = sample;
  w->n_samples++;
}

/* Local. Counts the samples, allocates the list, and fills it; the same on all ranks. */
static ls_status choose_samples(work *w) {
  const uint64_t n = w->dataset->n_samples;
  for (int pass = 0; pass < 2; pass++) {
    w->n_samples = 0;
    if (app_option(w->arguments, "samples"))
      LS_TRY(app_read_list(w->arguments, "samples", "sample", n, add_sample, w));
    else
      for (uint64_t i = 0; i < ls_size_min(SAMPLES_DEFAULT, n); i++) add_sample(w, i);
    if (!w->samples) w->samples = ls_calloc(w->n_samples, sizeof *w->samples);
    if (!w->samples) return ls_fail_memory("the list of samples", w->n_samples * sizeof *w->samples);
  }
  return LS_OK;
}

/* Collective. */
static ls_status choose_class(const work *w, ls_explain_options *o) {
  const char *const name = app_option(w->arguments, "class");
  uint64_t output = 0;
  ls_status status = LS_OK;
  if (!name) return LS_OK;
  if (app_is_root(w->comm)) status = ls_explain_find_output(&w->names, o->model, name, &output);
  if (status != LS_OK) status = ls_fail(status, "--class %s", ls_message());
  status = ls_comm_agree(w->comm, status);
  ls_comm_broadcast(w->comm, &output, sizeof output);
  o->has_output = true;
  o->output = output;
  return status;
}

/* Rank 0. Takes the names of classes and features from the model, or else from the data. */
static void find_names(work *w) {
  const ls_modelfile *const saved = w->predictor->saved;
  const ls_dataset *const d = w->dataset;
  w->names = (ls_explain_names){
      .classes = (const char *const *)(saved->classes ? saved->classes : d->classes),
      .n_classes = saved->classes ? saved->n_classes : d->n_classes,
      .features = (const char *const *)(saved->features ? saved->features : d->feature_names),
      .n_features = saved->features ? saved->n_features : d->n_feature_names};
}

static const char *output_name(const work *w, size_t k, char *text, size_t size) {
  return ls_explain_output_name(&w->names, w->predictor->job->model, k, text, size);
}

static const char *feature_name(const work *w, size_t j, char *text, size_t size) {
  return ls_explain_feature_name(&w->names, w->dataset, j, text, size);
}

/* ----------------------------------------------------------------- attributions */

#define STRONGEST 5

/* Adds the features with the largest attributions, in descending order.  attribution: (n) */
static void add_strongest(const work *w, const float *attribution, char *line, size_t size) {
  size_t chosen[STRONGEST];
  char text[64];
  for (size_t k = 0; k < ls_size_min(STRONGEST, w->dataset->n_features); k++) {
    size_t best = SIZE_MAX;
    for (size_t j = 0; j < w->dataset->n_features; j++) {
      bool is_taken = false;
      for (size_t t = 0; t < k; t++) is_taken |= chosen[t] == j;
      if (!is_taken && (best == SIZE_MAX || fabsf(attribution[j]) > fabsf(attribution[best]))) best = j;
    }
    chosen[k] = best;
    ls_append(line, size, "%s%s %+.3g", k ? ", " : "  ", feature_name(w, best, text, sizeof text),
              (double)attribution[best]);
  }
}

static bool is_table(const work *w) {
  return w->dataset->x_array.n_dims <= 2;
}

static void print_attribution(const work *w, const ls_attribution *a, size_t i) {
  char text[32];
  char cell[APP_CELL_SIZE];
  char line[700];
  snprintf(line, sizeof line, "%8llu  %s %10.6g %10.6g %9.1e", (unsigned long long)a->samples[i],
           app_cell(output_name(w, a->outputs[i], text, sizeof text), 16, cell), a->values[i],
           a->baseline_values[i], a->gaps[i]);
  if (is_table(w)) add_strongest(w, a->attributions + i * w->dataset->n_features, line, sizeof line);
  ls_log(LS_LOG_INFO, "%s", line);
  if (!ls_attribution_is_complete(w->explainer, a, i))
    ls_log(
        LS_LOG_WARNING,
        "sample %llu: with %llu points, the sum of the attributions still differs from the change of the "
        "output by %.2g",
        (unsigned long long)a->samples[i], (unsigned long long)a->points[i], fabs(a->gaps[i]));
}

/* Rank 0. Writes explanations to all outputs. */
static ls_status append(work *w, const ls_attribution *a) {
  char text[32];
  LS_TRY(ls_explain_append(w->explainer, a, w->writer));
  for (size_t i = 0; i < a->n; i++) {
    const char *const name = output_name(w, a->outputs[i], text, sizeof text);
    print_attribution(w, a, i);
    if (w->folder) LS_TRY(ls_pictures_draw(w->pictures, w->explainer, i, name));
  }
  return LS_OK;
}

/* Rank 0. Creates files and folders, so that errors are reported before the work. */
static ls_status begin_output(work *w) {
  ls_status status = ls_explain_create_file(w->explainer, &w->names, w->n_samples, w->output, &w->writer);
  if (status == LS_OK && w->folder) status = ls_pictures_create(w->folder, w->dataset, &w->pictures);
  if (status == LS_ERR_DATA) status = ls_fail(status, "%s: %s", w->arguments->positional[1], ls_message());
  if (status == LS_OK)
    ls_log(LS_LOG_INFO, "%8s  %-16s %10s %10s %9s%s", "sample",
           w->predictor->job->task == LS_TASK_REGRESSION ? "number" : "class", "output", "baseline", "gap",
           is_table(w) ? "  strongest features" : "");
  return status;
}

/* Rank 0. */
static ls_status end_output(work *w) {
  LS_TRY(ls_store_publish(&w->writer));
  ls_log(LS_LOG_INFO, "%s: integrated gradients of %zu samples, baseline %s", w->output, w->n_samples,
         ls_baseline_names[w->explainer->options.baseline]);
  if (w->folder) ls_log(LS_LOG_INFO, "%s: pictures", w->folder);
  return LS_OK;
}

/* Collective. */
static ls_status explain_samples(work *w, ls_explain_options *o) {
  if (!app_option(w->arguments, "baseline")) o->baseline = ls_baseline_for(&w->dataset->x_array);
  LS_TRY(ls_comm_agree(w->comm, choose_samples(w)));
  LS_TRY(choose_class(w, o));
  LS_TRY(ls_explainer_create(w->comm, o, &w->explainer));
  LS_TRY(ls_comm_agree(w->comm, app_is_root(w->comm) ? begin_output(w) : LS_OK));
  for (size_t done = 0; done < w->n_samples; done += w->explainer->max_samples) {
    const size_t n = ls_size_min(w->explainer->max_samples, w->n_samples - done);
    const ls_attribution *a = NULL;
    LS_TRY(ls_explainer_explain(w->comm, w->explainer, w->samples + done, n, &a));
    LS_TRY(ls_comm_agree(w->comm, app_is_root(w->comm) ? append(w, a) : LS_OK));
  }
  return ls_comm_agree(w->comm, app_is_root(w->comm) ? end_output(w) : LS_OK);
}

/* ------------------------------------------------------------------- importance */

static void print_importance_json(const work *w, const ls_importance *m) {
  const char *const quality = ls_metric_quality_name(w->predictor->job->task);
  char text[64];
  char drop[64];
  char drop_std[64];
  snprintf(drop, sizeof drop, "%s_drop", quality);
  snprintf(drop_std, sizeof drop_std, "%s_drop_std", quality);
  app_json_open(NULL, '{');
  APP_JSON_COUNTS({"samples", (double)m->samples}, {"repeats", (double)m->repeats});
  APP_JSON_NUMBERS({"loss", m->loss}, {quality, m->quality});
  app_json_open("features", '[');
  for (size_t i = 0; i < m->n; i++) {
    const ls_importance_row *const row = &m->rows[i];
    app_json_open(NULL, '{');
    app_json_text("name", feature_name(w, row->feature, text, sizeof text));
    APP_JSON_COUNTS({"index", (double)row->feature});
    APP_JSON_NUMBERS({drop, row->drop}, {drop_std, row->drop_std}, {"loss_rise", row->rise},
                     {"loss_rise_std", row->rise_std});
    app_json_close('}');
  }
  app_json_close(']');
  app_json_close('}');
  printf("\n");
}

static void print_importance(const work *w, const ls_importance *m) {
  const char *const quality = ls_metric_quality_name(w->predictor->job->task);
  char text[64];
  char cell[APP_CELL_SIZE];
  printf("samples   %llu\nrepeats   %zu\nloss      %.6f\n%-9s %.4f\n\n", (unsigned long long)m->samples,
         m->repeats, m->loss, quality, m->quality);
  snprintf(text, sizeof text, "%s drop", quality);
  printf("%-24s %14s %8s %12s %8s\n", "permuted feature", text, "+-", "loss rise", "+-");
  for (size_t i = 0; i < m->n; i++) {
    const ls_importance_row *const row = &m->rows[i];
    printf("%s %14.4f %8.4f %12.4g %8.2g\n",
           app_cell(feature_name(w, row->feature, text, sizeof text), 24, cell), row->drop, row->drop_std,
           row->rise, row->rise_std);
  }
}

/* Collective. */
static ls_status measure_importance(const work *w, const ls_explain_options *o, uint64_t repeats) {
  const bool json = app_option(w->arguments, "json") != NULL;
  ls_importance *importance = NULL;
  const ls_status status =
      ls_importance_create(w->comm, o, w->predictor->job->train.seed, repeats, &importance);
  if (status == LS_ERR_DATA) return ls_fail(status, "%s: %s", w->arguments->positional[1], ls_message());
  if (status == LS_OK && app_is_root(w->comm))
    (json ? print_importance_json : print_importance)(w, importance);
  ls_importance_destroy(&importance);
  return status;
}

/* ------------------------------------------------------------------ the command */

static ls_status run(ls_comm *comm, const arguments *a) {
  work w = {.comm = comm, .arguments = a};
  ls_explain_options o = {0};
  uint64_t repeats = 5;
  ls_status status = ls_math_threads_set(ls_comm_threads(comm));
  if (status == LS_OK) status = read_options(&w, &o, &repeats);
  if (status == LS_OK && w.output && app_is_root(comm)) status = app_check_output(a, w.output);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = ls_predictor_create(comm, a->positional[0], &w.predictor);
  if (status == LS_OK) status = app_open_data(comm, a, w.predictor, w.output, w.wants_importance, &w.data);
  w.dataset = w.data.dataset;
  if (status == LS_OK) {
    if (app_is_root(comm)) find_names(&w);
    o.model = w.predictor->job->model;
    o.normalizer = w.predictor->normalizer;
    o.dataset = w.dataset;
    status = w.wants_importance ? measure_importance(&w, &o, repeats) : explain_samples(&w, &o);
  }
  ls_store_discard(&w.writer);
  ls_explainer_destroy(&w.explainer);
  ls_pictures_destroy(&w.pictures);
  free(w.samples);
  app_close_data(comm, &w.data);
  ls_predictor_destroy(&w.predictor);
  return status;
}

const command app_explain = {
    .name = "explain",
    .operands = "MODEL.h5 DATA[:GROUP]",
    .help = "attribute predictions to features, or measure the importance of each feature",
    .details =
        "With -o: integrated gradients. The attributions of a sample's features add up to the difference\n"
        "between its output and the output of a baseline. The number of steps is doubled until the error\n"
        "of this sum is below 1e-3 of the difference, or below 1e-4. /attribution in OUT.h5 has the shape\n"
        "of x. By default the predicted class is explained or, for a regression, each output.\n"
        "With --importance: the drop of accuracy (or r2) and the rise of the loss when the values of a\n"
        "feature are permuted among the samples.",
    .options = {{"output", 'o', "OUT.h5", "file to write"},
                OPTION_X,
                OPTION_MEMORY,
                OPTION_Y,
                {"samples", 0, "LIST", "numbers from 0 and ranges, such as 0,5,10-19 (the first 10)"},
                {"class", 0, "NAME|NUMBER", "class, label or output to explain"},
                {"steps", 0, "N", "initial number of points between baseline and sample (64)"},
                {"baseline", 0, "zero|mean",
                 "zero (default for images: black) or the mean of the data (default for tables)"},
                {"pictures", 0, "DIR", "PNG of each image beside its attributions: red for, blue against"},
                {"importance", 0, NULL, "permutation importance of each feature"},
                {"repeats", 0, "N", "permutations of each feature (5)"},
                {"json", 0, NULL, "importance as one JSON object"},
                OPTIONS_TABLE("CSV: label columns, for --importance"),
                OPTIONS_MODEL_TABLE},
    .run = run};
