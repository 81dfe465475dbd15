/* lockstep explain. */
#include "lockstep/explain.h"

#include "command.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct options {
  const char *output, *samples, *class, *baseline, *pictures;
  uint64_t steps, repeats;
  bool wants_importance, wants_json;
} options;

typedef struct work {
  ls_comm *comm;
  const arguments *arguments;
  options options;
  ls_predictor *loaded;
  ls_dataset *dataset;
  uint64_t *samples; /* (n_samples), owned */
  size_t n_samples;
  ls_explainer *explainer;
  /* Rank 0's. */
  ls_explain_names names;
  ls_store_writer *writer;
  ls_picture picture;
  ls_normalizer *plain; /* owned; one that changes nothing, for pictures */
} work;

/* ------------------------------------------------------------------- the usage */

/* Each form has options of its own. */
static ls_status check_form(const arguments *a, bool wants_importance) {
  static const char *const others[2][6] = {{"repeats", "json"},
                                           {"output", "samples", "class", "steps", "baseline", "pictures"}};
  for (size_t i = 0; i < 6 && others[wants_importance][i]; i++) {
    const char *const name = others[wants_importance][i];
    if (argument_of(&command_explain, a, name))
      return ls_fail(LS_ERR_CONFIG, "--%s goes only %s --importance; see lockstep explain --help", name,
                     wants_importance ? "without" : "with");
  }
  return LS_OK;
}

static ls_status check_output_name(const options *o) {
  if (!o->output)
    return ls_fail(LS_ERR_CONFIG, "-o OUT.h5 or --importance is missing; see lockstep explain --help");
  if (ends_with(o->output, ".h5") || ends_with(o->output, ".hdf5")) return LS_OK;
  return ls_fail(LS_ERR_CONFIG, "-o %s: the name must end with .h5 or .hdf5", o->output);
}

static ls_status check_baseline(const options *o) {
  for (size_t i = 0; o->baseline && ls_baseline_names[i]; i++)
    if (strcmp(o->baseline, ls_baseline_names[i]) == 0) return LS_OK;
  return o->baseline ? ls_fail(LS_ERR_CONFIG, "--baseline %s: it is zero or mean", o->baseline) : LS_OK;
}

static ls_status read_options(const arguments *a, options *o) {
  const command *const c = &command_explain;
  *o = (options){.output = argument_of(c, a, "output"),
                 .samples = argument_of(c, a, "samples"),
                 .class = argument_of(c, a, "class"),
                 .baseline = argument_of(c, a, "baseline"),
                 .pictures = argument_of(c, a, "pictures"),
                 .wants_importance = argument_of(c, a, "importance") != NULL,
                 .wants_json = argument_of(c, a, "json") != NULL};
  ls_status status = check_form(a, o->wants_importance);
  if (status == LS_OK && !o->wants_importance) status = check_output_name(o);
  if (status == LS_OK) status = check_baseline(o);
  if (status == LS_OK)
    status = read_count("steps", argument_of(c, a, "steps"), 64, LS_EXPLAIN_POINTS_MOST, &o->steps);
  if (status == LS_OK) status = read_count("repeats", argument_of(c, a, "repeats"), 5, 10000, &o->repeats);
  return status;
}

/* --------------------------------------------------------------------- samples */

#define SAMPLES_DEFAULT 10

static ls_status fail_samples(const char *text) {
  return ls_fail(LS_ERR_CONFIG, "--samples %s: numbers from 0 and ranges are expected, such as 0,5,10-19",
                 text);
}

/* A number at *text, which then stands behind it. */
static bool read_number(const char **text, uint64_t *out) {
  if (!isdigit((unsigned char)**text)) return false;
  char *end = NULL;
  *out = strtoull(*text, &end, 10);
  *text = end;
  return true;
}

bool read_range(const char **text, uint64_t *first, uint64_t *last) {
  if (!read_number(text, first)) return false;
  *last = *first;
  const bool is_range = **text == '-';
  *text += is_range;
  if (is_range && !read_number(text, last)) return false;
  return (**text == ',' || **text == '\0') && *last >= *first;
}

/* The list `0,5,10-19` of samples below n, into `out` unless it is NULL. */
static ls_status read_samples(const char *list, uint64_t n, uint64_t *out, size_t *count) {
  const char *text = list;
  *count = 0;
  do {
    uint64_t first = 0;
    uint64_t last = 0;
    if (!read_range(&text, &first, &last)) return fail_samples(list);
    if (last >= n)
      return ls_fail(LS_ERR_CONFIG, "--samples %s: there is no sample %llu: the data have %llu, from 0",
                     list, (unsigned long long)last, (unsigned long long)n);
    for (uint64_t i = first; out && i <= last; i++) out[*count + (i - first)] = i;
    *count += last - first + 1;
  } while (*text++ == ',');
  return LS_OK;
}

/* Local. The same on all ranks. */
static ls_status choose_samples(work *w) {
  const uint64_t n = w->dataset->n_samples;
  const char *const list = w->options.samples;
  w->n_samples = ls_size_min(SAMPLES_DEFAULT, n);
  const ls_status status = list ? read_samples(list, n, NULL, &w->n_samples) : LS_OK;
  if (status != LS_OK) return status;
  w->samples = ls_calloc(w->n_samples, sizeof *w->samples);
  if (!w->samples) return ls_fail_memory("the list of samples", w->n_samples * sizeof *w->samples);
  for (size_t i = 0; i < w->n_samples && !list; i++) w->samples[i] = i;
  return list ? read_samples(list, n, w->samples, &w->n_samples) : LS_OK;
}

/* ----------------------------------------------------------------------- names */

/* Rank 0: the names of classes and features, the model's before the data's. */
static void find_names(work *w) {
  const ls_modelfile *const saved = w->loaded->saved;
  const ls_dataset *const d = w->dataset;
  const bool has_classes = saved->classes != NULL;
  const bool has_features = saved->features != NULL;
  w->names = (ls_explain_names){
      .classes = (const char *const *)(has_classes ? saved->classes : d->classes),
      .features = (const char *const *)(has_features ? saved->features : d->feature_names),
      .n_classes = has_classes ? saved->n_classes : d->n_classes,
      .n_features = has_features ? saved->n_features : d->n_feature_names};
}

/* The output's name: of a class, or y0, y1 ... as predict calls numbers. */
static const char *output_name(const work *w, size_t k, char *text, size_t size) {
  const bool is_number = w->loaded->job->task == LS_TASK_REGRESSION;
  if (!is_number && k < w->names.n_classes) return w->names.classes[k];
  if (is_number && w->loaded->job->model->n_out == 1)
    snprintf(text, size, "y");
  else
    snprintf(text, size, "%s%zu", is_number ? "y" : "", k);
  return text;
}

/* The feature's name, or where it stands in x. */
static const char *feature_name(const work *w, size_t j, char *text, size_t size) {
  if (j < w->names.n_features) return w->names.features[j];
  const ls_array *const x = &w->dataset->x_array;
  size_t inner = w->dataset->n_features;
  snprintf(text, size, "x");
  for (unsigned d = 1; d < x->n_dims; d++) {
    inner /= x->dims[d];
    ls_append(text, size, "%s%zu", d > 1 ? "," : "[", j / inner % x->dims[d]);
  }
  if (x->n_dims > 1) ls_append(text, size, "]");
  return text;
}

/* ----------------------------------------------------------------- the class */

static ls_status fail_class(const work *w) {
  char known[400] = "";
  char text[32];
  const size_t n = ls_explain_n_outputs(w->loaded->job->model);
  const char *const nearest =
      w->names.classes ? ls_config_nearest(w->options.class, w->names.classes, w->names.n_classes) : NULL;
  for (size_t k = 0; k < n && k < 20; k++)
    ls_append(known, sizeof known, "%s%s", k ? ", " : "", output_name(w, k, text, sizeof text));
  return ls_fail(LS_ERR_CONFIG,
                 "--class %s: the model has no such output%s%s%s (known: %s%s; or a number from "
                 "0 to %zu)",
                 w->options.class, nearest ? "; did you mean " : "", nearest ? nearest : "",
                 nearest ? "?" : "", known, n > 20 ? ", ..." : "", n - 1);
}

/* Rank 0: the output of that name, else of that number. */
static ls_status find_class(const work *w, uint64_t *out) {
  const char *const class = w->options.class;
  const size_t n = ls_explain_n_outputs(w->loaded->job->model);
  char text[32];
  for (size_t k = 0; k < n; k++)
    if (strcmp(class, output_name(w, k, text, sizeof text)) == 0) {
      *out = k;
      return LS_OK;
    }
  const char *end = class;
  return read_number(&end, out) && *end == '\0' && *out < n ? LS_OK : fail_class(w);
}

/* Collective. */
static ls_status choose_class(work *w, ls_explain_options *o) {
  uint64_t output = 0;
  if (!w->options.class) return LS_OK;
  const ls_status status = ls_comm_agree(w->comm, prints(w->comm) ? find_class(w, &output) : LS_OK);
  ls_comm_broadcast(w->comm, &output, sizeof output);
  o->has_output = true;
  o->output = output;
  return status;
}

/* -------------------------------------------------------------------- pictures */

/* Rank 0: the folder, made where it is missing. */
static ls_status prepare_folder(const char *folder) {
  struct stat facts;
  if (mkdir(folder, 0777) != 0 && errno != EEXIST)
    return ls_fail(LS_ERR_OUTPUT, "--pictures %s: %s", folder, strerror(errno));
  if (stat(folder, &facts) == 0 && !S_ISDIR(facts.st_mode))
    return ls_fail(LS_ERR_OUTPUT, "--pictures %s: it is not a folder", folder);
  if (access(folder, W_OK | X_OK) == 0) return LS_OK;
  return ls_fail(LS_ERR_OUTPUT, "--pictures %s: %s", folder, strerror(errno));
}

static ls_status prepare_pictures(work *w) {
  char shape[128];
  if (!ls_picture_of(&w->dataset->x_array, &w->picture))
    return ls_fail(
        LS_ERR_DATA,
        "%s: x is %s, which are no pictures; --pictures needs (N, H, W), (N, H, W, 1 or 3) or (N, "
        "H * H) from 8 x 8 on",
        w->arguments->positional[1], ls_array_describe(&w->dataset->x_array, shape, sizeof shape));
  const ls_status status = ls_normalizer_create(w->dataset->n_features, &w->plain);
  return status == LS_OK ? prepare_folder(w->options.pictures) : status;
}

/* A name fit for any file system. */
static void make_safe(const char *name, char *text, size_t size) {
  size_t n = 0;
  for (; name[n] && n + 1 < size; n++) {
    const bool is_safe = isalnum((unsigned char)name[n]) || strchr("-_.", name[n]);
    text[n] = is_safe ? name[n] : '_';
  }
  text[n] = '\0';
}

static ls_status draw(work *w, const ls_attribution *a, size_t i) {
  const size_t n = w->dataset->n_features;
  char text[32];
  char safe[41];
  make_safe(output_name(w, a->outputs[i], text, sizeof text), safe, sizeof safe);
  char *const path = ls_format("%s/sample-%05llu-class-%s.png", w->options.pictures,
                               (unsigned long long)a->samples[i], safe);
  if (!path) return ls_fail_memory("a path", 0);
  w->explainer->batch->samples[0] = a->samples[i];
  ls_batch_gather(w->explainer->batch, w->dataset, w->plain, 1);
  const ls_status status =
      ls_picture_write(path, &w->picture, w->explainer->batch->x, a->attributions + i * n);
  free(path);
  return status;
}

/* ----------------------------------------------------------------------- words */

#define STRONGEST 5

/* The features with the largest attributions, the largest first.  attribution: (n) */
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

static void print_head(const work *w) {
  ls_log(LS_LOG_INFO, "%8s  %-16s %10s %10s %9s%s", "sample",
         w->loaded->job->task == LS_TASK_REGRESSION ? "number" : "class", "output", "baseline", "gap",
         is_table(w) ? "  strongest features" : "");
}

static void print_explanation(const work *w, const ls_attribution *a, size_t i) {
  char text[32];
  char line[700];
  snprintf(line, sizeof line, "%8llu  %-16.16s %10.6g %10.6g %9.1e", (unsigned long long)a->samples[i],
           output_name(w, a->outputs[i], text, sizeof text), a->values[i], a->baseline_values[i],
           a->gaps[i]);
  if (is_table(w)) add_strongest(w, a->attributions + i * w->dataset->n_features, line, sizeof line);
  ls_log(LS_LOG_INFO, "%s", line);
  if (!ls_attribution_is_complete(w->explainer, a, i))
    ls_log(LS_LOG_WARNING,
           "sample %llu: after %llu points its attributions still miss the change of the output by %.2g",
           (unsigned long long)a->samples[i], (unsigned long long)a->points[i], fabs(a->gaps[i]));
}

/* ------------------------------------------------------------ the attributions */

/* Rank 0: what is known of some samples, to all outputs. */
static ls_status put_out(work *w, const ls_attribution *a) {
  ls_status status = ls_explain_append(w->explainer, a, w->writer);
  for (size_t i = 0; status == LS_OK && i < a->n; i++) {
    print_explanation(w, a, i);
    if (w->options.pictures) status = draw(w, a, i);
  }
  return status;
}

/* Rank 0. Files and folders that can't be written are told before the work. */
static ls_status begin_output(work *w) {
  const ls_status status =
      ls_explain_create_file(w->explainer, &w->names, w->n_samples, w->options.output, &w->writer);
  return status == LS_OK && w->options.pictures ? prepare_pictures(w) : status;
}

/* Rank 0. */
static ls_status end_output(work *w) {
  const ls_status status = ls_store_publish(&w->writer);
  if (status != LS_OK) return status;
  ls_log(LS_LOG_INFO, "%s: explanations of %zu samples by integrated gradients from the %s%s",
         w->options.output, w->n_samples, ls_baseline_names[w->explainer->options.baseline],
         w->explainer->options.baseline == LS_BASELINE_ZERO ? " sample" : " of the data");
  if (w->options.pictures) ls_log(LS_LOG_INFO, "%s: their pictures", w->options.pictures);
  return LS_OK;
}

/* Collective. */
static ls_status explain_all(work *w) {
  const size_t most = w->explainer->max_samples;
  ls_status status = LS_OK;
  if (prints(w->comm)) print_head(w);
  for (size_t done = 0; status == LS_OK && done < w->n_samples; done += most) {
    const size_t n = ls_size_min(most, w->n_samples - done);
    const ls_attribution *const a = ls_explainer_explain(w->comm, w->explainer, w->samples + done, n);
    status = ls_comm_agree(w->comm, prints(w->comm) ? put_out(w, a) : LS_OK);
  }
  return status;
}

/* Collective. */
static ls_status explain_samples(work *w, ls_explain_options *o) {
  o->points = w->options.steps;
  o->baseline = ls_baseline_for(&w->dataset->x_array);
  if (w->options.baseline)
    o->baseline = strcmp(w->options.baseline, "zero") == 0 ? LS_BASELINE_ZERO : LS_BASELINE_MEAN;
  ls_status status = ls_comm_agree(w->comm, choose_samples(w));
  if (status == LS_OK) status = choose_class(w, o);
  if (status == LS_OK) status = ls_explainer_create(w->comm, o, &w->explainer);
  if (status == LS_OK) status = ls_comm_agree(w->comm, prints(w->comm) ? begin_output(w) : LS_OK);
  if (status == LS_OK) status = explain_all(w);
  if (status == LS_OK) status = ls_comm_agree(w->comm, prints(w->comm) ? end_output(w) : LS_OK);
  return status;
}

/* ---------------------------------------------------------------- the importance */

static void print_importance_json(const work *w, const ls_importance *m) {
  const char *const quality = ls_metric_quality_name(w->loaded->job->task);
  char text[64];
  printf("{\"samples\": %llu, \"repeats\": %zu, ", (unsigned long long)m->samples, m->repeats);
  print_json_number("loss", m->loss, ", ");
  print_json_number(quality, m->quality, ", \"features\": [");
  for (size_t i = 0; i < m->n; i++) {
    const ls_importance_row *const row = &m->rows[i];
    const double values[] = {row->drop, row->drop_std, row->rise, row->rise_std};
    const char *const names[] = {"drop", "drop_std", "loss_rise", "loss_rise_std"};
    printf("%s{\"name\": ", i ? ", " : "");
    print_json_text(feature_name(w, row->feature, text, sizeof text));
    printf(", \"index\": %zu, ", row->feature);
    for (size_t k = 0; k < 4; k++) {
      snprintf(text, sizeof text, "%s%s", k < 2 ? quality : "", k < 2 ? "_" : "");
      ls_append(text, sizeof text, "%s", names[k]);
      print_json_number(text, values[k], k < 3 ? ", " : "}");
    }
  }
  printf("]}\n");
}

static void print_importance(const work *w, const ls_importance *m) {
  const char *const quality = ls_metric_quality_name(w->loaded->job->task);
  char text[64];
  printf("samples   %llu\nrepeats   %zu\nloss      %.6f\n%-9s %.4f\n\n", (unsigned long long)m->samples,
         m->repeats, m->loss, quality, m->quality);
  snprintf(text, sizeof text, "%s drop", quality);
  printf("%-24s %14s %8s %12s %8s\n", "permuted feature", text, "+-", "loss rise", "+-");
  for (size_t i = 0; i < m->n; i++) {
    const ls_importance_row *const row = &m->rows[i];
    printf("%-24.24s %14.4f %8.4f %12.4g %8.2g\n", feature_name(w, row->feature, text, sizeof text),
           row->drop, row->drop_std, row->rise, row->rise_std);
  }
}

/* Collective. */
static ls_status measure_importance(work *w, const ls_explain_options *o) {
  ls_importance *importance = NULL;
  const ls_status status =
      ls_importance_create(w->comm, o, w->loaded->job->train.seed, w->options.repeats, &importance);
  if (status == LS_ERR_DATA) return ls_fail(status, "%s: %s", w->arguments->positional[1], ls_message());
  if (status == LS_OK && prints(w->comm))
    (w->options.wants_json ? print_importance_json : print_importance)(w, importance);
  ls_importance_destroy(&importance);
  return status;
}

/* ----------------------------------------------------------------- the command */

/* Collective. The model and the data. */
static ls_status open_both(work *w) {
  const char *const model = w->arguments->positional[0];
  const char *const data = w->arguments->positional[1];
  ls_status status = LS_OK;
  if (w->options.output && prints(w->comm)) status = check_inputs(w->options.output, model, data);
  status = ls_comm_agree(w->comm, status);
  if (status == LS_OK) status = ls_predictor_create(w->comm, model, &w->loaded);
  if (status == LS_OK)
    status = open_data_for(w->comm, w->loaded, data, w->options.wants_importance, &w->dataset);
  if (status == LS_OK && prints(w->comm)) find_names(w);
  return status;
}

static void clean_up(work *w) {
  ls_store_discard(&w->writer);
  ls_explainer_destroy(&w->explainer);
  ls_normalizer_destroy(&w->plain);
  free(w->samples);
  ls_dataset_close(w->comm, &w->dataset);
  ls_predictor_destroy(&w->loaded);
}

static ls_status run(ls_comm *comm, const arguments *a) {
  work w = {.comm = comm, .arguments = a};
  ls_math_threads_set(ls_comm_threads(comm));
  ls_status status = ls_comm_agree(comm, read_options(a, &w.options));
  if (status == LS_OK) status = open_both(&w);
  if (status == LS_OK) {
    ls_explain_options o = {
        .model = w.loaded->job->model, .normalizer = w.loaded->normalizer, .dataset = w.dataset};
    status = w.options.wants_importance ? measure_importance(&w, &o) : explain_samples(&w, &o);
  }
  clean_up(&w);
  return status;
}

const command command_explain = {
    .name = "explain",
    .operands = "MODEL.h5 DATA.h5[:GROUP]",
    .help = "which features speak for a prediction, and which the model needs",
    .details =
        "With -o: integrated gradients. Each feature of a sample gets its share of how far the output is "
        "from "
        "that\n"
        "of a baseline; the shares add up to it but for the gap, for which the steps are doubled until it "
        "is "
        "below\n"
        "1e-3 of the change, or 1e-4. /attribution in OUT.h5 has the shape of x. Explained is the "
        "predicted "
        "class,\n"
        "of a regression each output.\n"
        "With --importance: how much worse the model becomes where a feature's values are dealt out anew.",
    .least = 2,
    .most = 2,
    .options = {{.name = "output",
                 .letter = 'o',
                 .takes_value = true,
                 .value_name = "OUT.h5",
                 .help = "the file to write"},
                {.name = "samples",
                 .takes_value = true,
                 .value_name = "LIST",
                 .help = "numbers from 0 and ranges, such as 0,5,10-19; the first 10 by default"},
                {.name = "class",
                 .takes_value = true,
                 .value_name = "NAME|NUMBER",
                 .help = "the class, label or output to explain"},
                {.name = "steps",
                 .takes_value = true,
                 .value_name = "N",
                 .help = "points on the way from the baseline, at first; 64 by default"},
                {.name = "baseline",
                 .takes_value = true,
                 .value_name = "zero|mean",
                 .help = "zero (default for images: black) or the mean of the data (for tables)"},
                {.name = "pictures",
                 .takes_value = true,
                 .value_name = "DIR",
                 .help = "a PNG of each image beside its shares: red for, blue against"},
                {.name = "importance", .help = "the importance of each feature, by permuting it"},
                {.name = "repeats",
                 .takes_value = true,
                 .value_name = "N",
                 .help = "permutations of each feature; 5 by default"},
                {.name = "json", .help = "print the importance as one JSON object"}},
    .run = run};
