/* What a user sees of a run: its description, the progress bar, the lines of steps and epochs. */
#include "internal.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether a layer multiplies by a matrix; otherwise the width stays the same. A residual layer does if it
 * has a skip. */
static bool has_matrix(const ls_layer *layer) {
  if (layer->n_children > 0) return !ls_shape_equal(&layer->in, &layer->out);
  return layer->n_params > 0 && layer->params[0].row.n_dims > 0;
}

#define SHAPE_TEXT 128

/* The shape of the input and of the output of each layer with a matrix, such as 784-128-10. Omits the
 * middle of a deep model. */
static void describe_layers(const ls_model *model, char *text, size_t size) {
  char shape[SHAPE_TEXT];
  bool is_cut = false;
  snprintf(text, size, "%s", ls_shape_brief(&model->layers[0]->in, shape, sizeof shape));
  for (size_t i = 0; i < model->n_layers; i++) {
    const ls_layer *const layer = model->layers[i];
    const bool fits = i + 1 == model->n_layers || strlen(text) + 2 * SHAPE_TEXT < size;
    if (!has_matrix(layer)) continue;
    if (fits)
      ls_append(text, size, "%s%s", is_cut ? "-...-" : "-",
                ls_shape_brief(&layer->out, shape, sizeof shape));
    is_cut = !fits;
  }
}

/* How the samples are shuffled, unless they all are. */
static void report_window(const ls_setup *setup) {
  if (setup->window == 0 || !setup->job->data.shuffle) return;
  if (setup->window >= setup->train.view.n)
    ls_log(LS_LOG_INFO, "order: the window of %llu samples covers the training data, so all are shuffled",
           (unsigned long long)setup->window);
  else
    ls_log(LS_LOG_INFO, "order: shuffled in windows of at least %llu samples, from %llu blocks",
           (unsigned long long)setup->window, (unsigned long long)ls_view_n_blocks(&setup->train.view));
}

static void note_split(const char *role, const ls_split *split, const char *path) {
  if (split->view.n == 0) return;
  const ls_dataset *const d = split->dataset;
  const ls_digest digest = ls_digest_is_known(d->fingerprint) ? d->fingerprint : d->selection;
  ls_log_note("%s data: %llu samples of %s, fingerprint %016llx%016llx", role,
              (unsigned long long)split->view.n, path, (unsigned long long)digest.high,
              (unsigned long long)digest.low);
}

/* The files of a split: the name, or the first of a list and how many follow. */
static const char *describe_files(const char *name, const ls_data_split *split, char *text, size_t size) {
  const size_t n = split->list ? ls_node_count(split->list) : 1;
  if (!name || n == 1) return name;
  snprintf(text, size, "%s and %zu more", name, n - 1);
  return text;
}

/* The memory of this process on huge pages, in MB; 0 if unknown. */
static double huge_pages(void) {
  static const char *const fields[] = {"AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:"};
  char line[128];
  double kibibytes = 0.0;
  FILE *const file = fopen("/proc/self/smaps_rollup", "r");
  while (file && fgets(line, sizeof line, file))
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
      if (strncmp(line, fields[i], strlen(fields[i])) == 0)
        kibibytes += strtod(line + strlen(fields[i]), NULL);
  if (file) fclose(file);
  return kibibytes * 1024.0 / 1e6;
}

/* Collective. Details of machines, libraries and data for the log alone. */
static ls_status note_details(trainer *t) {
  const ls_setup *const setup = t->setup;
  const ls_data_config *const data = &setup->job->data;
  char *hosts = NULL;
  char *rest = NULL;
  char library[64];
  const ls_status status = ls_comm_hosts(t->comm, setup->threads, &hosts);
  for (const char *line = hosts ? strtok_r(hosts, "\n", &rest) : NULL; line;
       line = strtok_r(NULL, "\n", &rest))
    ls_log_note("host %s", line);
  free(hosts);
  ls_log_note("files: %s", ls_store_library(library, sizeof library));
  ls_log_note("memory: %.1f MB of rank 0 on huge pages", huge_pages());
  char text[PATH_MAX + 64];
  note_split("training", &setup->train, describe_files(data->train, &data->train_split, text, sizeof text));
  note_split("validation", &setup->validation,
             data->validation ? describe_files(data->validation, &data->validation_split, text, sizeof text)
                              : describe_files(data->train, &data->train_split, text, sizeof text));
  note_split("test", &setup->test, describe_files(data->test, &data->test_split, text, sizeof text));
  return status;
}

ls_status train_report_start(trainer *t) {
  const ls_setup *const setup = t->setup;
  const ls_model *const model = setup->job->model;
  char layers[512];
  char files[PATH_MAX + 64];
  char shape[SHAPE_TEXT];
  describe_layers(model, layers, sizeof layers);
  ls_log(LS_LOG_INFO, "lockstep %s: %d rank%s x %d thread%s, %s, %s", LS_VERSION, ls_comm_size(t->comm),
         ls_comm_size(t->comm) == 1 ? "" : "s", setup->threads, setup->threads == 1 ? "" : "s",
         ls_comm_library(t->comm), ls_math_blas_name());
  if (setup->tree)
    ls_log(LS_LOG_INFO, "reproducible: %zu lane%s; the same bits at any number of ranks",
           setup->tree->n_lanes, setup->tree->n_lanes == 1 ? "" : "s");
  if (setup->tree && (size_t)ls_comm_size(t->comm) > setup->tree->n_lanes)
    ls_log(LS_LOG_WARNING, "%d of %d ranks have no work, as train.lanes is %zu",
           ls_comm_size(t->comm) - (int)setup->tree->n_lanes, ls_comm_size(t->comm), setup->tree->n_lanes);
  const ls_shape *const input = &model->layers[0]->in;
  ls_shape_brief(input, shape, sizeof shape);
  ls_log(LS_LOG_INFO, "data: %llu training, %llu validation, %llu test samples of %s%s%s from %s",
         (unsigned long long)setup->train.view.n, (unsigned long long)setup->validation.view.n,
         (unsigned long long)setup->test.view.n, input->n_dims > 1 ? "shape " : "", shape,
         input->n_dims > 1 ? "" : " features",
         describe_files(setup->job->data.train, &setup->job->data.train_split, files, sizeof files));
  report_window(setup);
  ls_log(LS_LOG_INFO, "model: %s, %zu parameters; %s, lr %g, batch %zu, %llu steps per epoch; output %s",
         layers, model->n_params, setup->job->optim->type->name, train_lr(t), setup->batch_size,
         (unsigned long long)setup->steps_per_epoch, setup->job->train.output);
  if (ls_comm_size(t->comm) > 1) ls_log(LS_LOG_INFO, "gradients: %s", t->summation);
  train_report_initial(t);
  t->report.has_bar = isatty(STDERR_FILENO);
  const ls_status status = note_details(t);
  const double start_up = ls_clock_process();
  if (status == LS_OK && start_up >= 0.0) ls_log(LS_LOG_INFO, "ready in %.2f s", start_up);
  t->report.started = ls_clock();
  t->report.samples = t->progress.samples;
  return status;
}

#define BAR_WIDTH   24
#define BAR_SECONDS 0.1 /* between two drawings, at least */

static void draw_bar(trainer *t, double loss, double quality) {
  const double now = ls_clock();
  const ls_progress *const p = &t->progress;
  if (now - t->report.drawn < BAR_SECONDS) return;
  t->report.drawn = now;
  const uint64_t n = t->setup->train.view.n;
  const double speed = (double)(p->samples - t->report.samples) / (now - t->report.started);
  const ls_train_config *const train = &t->setup->job->train;
  const double in_epochs =
      ((double)train->epochs - (double)p->epoch) * (double)n - (double)p->epoch_samples;
  const double in_steps =
      ((double)train->max_steps - (double)p->step) * (double)(t->setup->batch_size * train->accumulate);
  const double left = train->has_max_steps ? fmin(in_epochs, in_steps) : in_epochs;
  const int filled = (int)((double)BAR_WIDTH * (double)p->epoch_samples / (double)n);
  char text[200];
  snprintf(text, sizeof text, "epoch %llu/%llu [%.*s%.*s] loss %.4f %s %.4f  %.0f samples/s  %.0f s left",
           (unsigned long long)(p->epoch + 1), (unsigned long long)train->epochs, filled,
           "########################", BAR_WIDTH - filled, "........................", loss,
           ls_metric_quality_name(t->setup->job->task), quality, speed, left / speed);
  ls_log_bar(text);
}

void train_report_step(trainer *t, double loss, double quality) {
  const uint64_t every = t->setup->job->train.log_every;
  const ls_progress *const p = &t->progress;
  if (every && p->step % every == 0)
    ls_log(LS_LOG_INFO, "step %llu  epoch %llu  lr %.6g  loss %.6g  %s %.4f", (unsigned long long)p->step,
           (unsigned long long)(p->epoch + 1), t->last_lr, loss,
           ls_metric_quality_name(t->setup->job->task), quality);
  if (t->is_root && t->report.has_bar) draw_bar(t, loss, quality);
}

#define DETAILS (320 + 48 * LS_MEASURES_MAX)

/* Details that not every run has: validation, a learning rate that changes, penalties. */
static void describe_details(const trainer *t, const double *row, char text[DETAILS]) {
  const ls_job *const job = t->setup->job;
  if (!isnan(row[LS_COLUMN_VAL_LOSS])) {
    ls_append(text, DETAILS, "  val_loss %.4f  val_%s %.4f", row[LS_COLUMN_VAL_LOSS],
              ls_metric_quality_name(job->task), row[LS_COLUMN_VAL_QUALITY]);
    ls_measures_describe(&job->measures, row + LS_COLUMNS_FIXED, true, text, DETAILS);
    const int average = ls_columns_average(job);
    if (average >= 0)
      ls_append(text, DETAILS, "  val_ema_loss %.4f  val_ema_%s %.4f", row[average],
                ls_metric_quality_name(job->task), row[average + 1]);
  }
  if (job->schedule.type != ls_schedule_types || job->schedule.warmup_steps > 0)
    ls_append(text, DETAILS, "  lr %.4g", row[LS_COLUMN_LR]);
  if (t->progress.skipped_steps > 0)
    ls_append(text, DETAILS, "  %llu steps skipped so far", (unsigned long long)t->progress.skipped_steps);
  if (t->sync->n_penalised > 0)
    ls_append(text, DETAILS, "  penalty %.4f (not in loss)",
              ls_penalty_value(job->model->n_segments, job->model->segments, job->model->params));
}

void train_report_epoch(const trainer *t, const train_row *epoch) {
  const double *const row = epoch->values;
  const double total = t->times.total > 0.0 ? t->times.total : 1.0;
  const char *const quality = ls_metric_quality_name(t->setup->job->task);
  char details[DETAILS] = "";
  describe_details(t, row, details);
  const double compute = 100.0 * t->times.compute / total;
  const double communication = 100.0 * (t->sync->seconds - t->times.communication) / total;
  const double data = 100.0 * t->times.data / total;
  ls_log(LS_LOG_INFO,
         "epoch %llu/%llu  loss %.4f  %s %.4f%s  %.0f samples/s  %.2f s: compute %.0f %%, communication "
         "%.0f %%, data %.0f %%, other %.0f %%",
         (unsigned long long)t->progress.epoch, (unsigned long long)t->setup->job->train.epochs,
         row[LS_COLUMN_TRAIN_LOSS], quality, row[LS_COLUMN_TRAIN_QUALITY], details,
         row[LS_COLUMN_SAMPLES_PER_SECOND], row[LS_COLUMN_SECONDS], compute, communication, data,
         fmax(100.0 - compute - communication - data, 0.0));
}
