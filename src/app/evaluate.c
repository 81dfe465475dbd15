/* lockstep evaluate. */
#include "command.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

ls_status open_data_for(ls_comm *comm, const ls_predictor *loaded, const char *spec, bool with_targets,
                        ls_dataset **out) {
  const ls_job *const job = loaded->job;
  const ls_dataset_request request = {.spec = spec,
                                      .role = "test",
                                      .x = job->data.x,
                                      .y = job->data.y,
                                      .may_differ = true,
                                      .target = with_targets ? ls_target_of((ls_loss)job->train.loss)
                                                             : LS_TARGET_NONE,
                                      .n_features = job->model->n_in};
  ls_status status = ls_dataset_open(comm, &request, out);
  if (status == LS_OK) status = ls_dataset_read(comm, *out, job->model->n_out);
  if (status != LS_OK) ls_dataset_close(comm, out);
  return status;
}

const char *class_name(const ls_modelfile *saved, size_t index, char *text, size_t size) {
  if (index < saved->n_classes) return saved->classes[index];
  snprintf(text, size, "%zu", index);
  return text;
}

void print_json_number(const char *name, double value, const char *end) {
  if (isfinite(value))
    printf("\"%s\": %.9g%s", name, value, end);
  else
    printf("\"%s\": null%s", name, end);
}

void print_json_text(const char *text) {
  putchar('"');
  for (const char *p = text; *p; p++) {
    if ((unsigned char)*p < 0x20)
      printf("\\u%04x", (unsigned)(unsigned char)*p);
    else
      printf("%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
  }
  putchar('"');
}

static void print_json_confusion(const ls_metric *m) {
  const size_t n = ls_metric_n_classes(m);
  printf(", \"confusion\": [");
  for (size_t i = 0; i < n; i++) {
    printf("%s[", i ? ", " : "");
    for (size_t j = 0; j < n; j++) printf("%s%.15g", j ? ", " : "", ls_metric_confusion(m, i, j));
    printf("]");
  }
  printf("]");
}

static void print_json_classes(const ls_metric *m, const ls_modelfile *saved) {
  const size_t n = ls_metric_n_classes(m);
  const ls_class_quality macro = ls_metric_macro(m);
  char text[32];
  printf("\"classes\": [");
  for (size_t i = 0; i < n; i++) {
    const ls_class_quality q = ls_metric_class(m, i);
    printf("%s{\"name\": ", i ? ", " : "");
    print_json_text(class_name(saved, i, text, sizeof text));
    printf(", \"precision\": %.9g, \"recall\": %.9g, \"f1\": %.9g, \"support\": %.15g, ", q.precision,
           q.recall, q.f1, q.support);
    print_json_number("roc_auc", ls_metric_auc(m, i), "}");
  }
  printf("], \"macro_precision\": %.9g, \"macro_recall\": %.9g, \"macro_f1\": %.9g, ", macro.precision,
         macro.recall, macro.f1);
  print_json_number("roc_auc", ls_metric_macro_auc(m), "");
  if (ls_metric_has_confusion(m)) print_json_confusion(m);
}

static void print_json_tops(const ls_metric *m) {
  char k[32];
  if (m->n_tops == 0) return;
  printf("\"top_k\": {");
  for (size_t i = 0; i < m->n_tops; i++) {
    snprintf(k, sizeof k, "%zu", m->tops[i]);
    print_json_number(k, ls_metric_top(m, m->tops[i]), i + 1 < m->n_tops ? ", " : "}, ");
  }
}

static void print_json_numbers(double mse, double mae, double r2) {
  print_json_number("mse", mse, ", ");
  print_json_number("mae", mae, ", ");
  print_json_number("r2", r2, "");
}

static void print_json_outputs(const ls_metric *m) {
  print_json_numbers(ls_metric_mse(m), ls_metric_mae(m), ls_metric_quality(m));
  if (m->n_outputs == 1) return;
  printf(", \"outputs\": [");
  for (size_t k = 0; k < m->n_outputs; k++) {
    const ls_output_quality q = ls_metric_output(m, k);
    printf("%s{", k ? ", " : "");
    print_json_numbers(q.mse, q.mae, q.r2);
    printf("}");
  }
  printf("]");
}

static void print_json(const ls_metric *m, const ls_modelfile *saved) {
  printf("{\"samples\": %llu, ", (unsigned long long)ls_metric_samples(m));
  print_json_number("loss", ls_metric_loss(m), ", ");
  if (m->task == LS_TASK_REGRESSION) {
    print_json_outputs(m);
  } else {
    print_json_number("accuracy", ls_metric_quality(m), ", ");
    print_json_tops(m);
    print_json_classes(m, saved);
  }
  printf("}\n");
}

static void print_confusion(const ls_metric *m, const ls_modelfile *saved) {
  const size_t n = ls_metric_n_classes(m);
  char text[32];
  printf("\nconfusion (rows: true, columns: predicted)\n%-16s", "");
  for (size_t j = 0; j < n; j++) printf(" %6.6s", class_name(saved, j, text, sizeof text));
  printf("\n");
  for (size_t i = 0; i < n; i++) {
    printf("%-16.16s", class_name(saved, i, text, sizeof text));
    for (size_t j = 0; j < n; j++) printf(" %6.6g", ls_metric_confusion(m, i, j));
    printf("\n");
  }
}

#define CONFUSION_MOST 30 /* classes: wider ones are for --json */

/* A row of the table; an AUC that is not defined is a dash. */
static void print_class(const char *name, const ls_class_quality *q, double auc) {
  char text[32] = "-";
  if (isfinite(auc)) snprintf(text, sizeof text, "%.4f", auc);
  printf("%-16.16s %9.4f %9.4f %9.4f %9s %9.6g\n", name, q->precision, q->recall, q->f1, text, q->support);
}

static void print_classes(const ls_metric *m, const ls_modelfile *saved) {
  const size_t n = ls_metric_n_classes(m);
  const ls_class_quality macro = ls_metric_macro(m);
  char text[32];
  printf("\n%-16s %9s %9s %9s %9s %9s\n", "class", "precision", "recall", "f1", "roc auc", "support");
  for (size_t i = 0; i < n; i++) {
    const ls_class_quality q = ls_metric_class(m, i);
    print_class(class_name(saved, i, text, sizeof text), &q, ls_metric_auc(m, i));
  }
  print_class("macro", &macro, ls_metric_macro_auc(m));
  if (ls_metric_has_confusion(m) && n <= CONFUSION_MOST) print_confusion(m, saved);
}

static void print_outputs(const ls_metric *m) {
  printf("mse       %.6g\nmae       %.6g\nr2        %.6f\n", ls_metric_mse(m), ls_metric_mae(m),
         ls_metric_quality(m));
  if (m->n_outputs == 1) return;
  printf("\n%-16s %12s %12s %9s\n", "output", "mse", "mae", "r2");
  for (size_t k = 0; k < m->n_outputs; k++) {
    const ls_output_quality q = ls_metric_output(m, k);
    printf("%-16zu %12.6g %12.6g %9.6f\n", k, q.mse, q.mae, q.r2);
  }
}

static void print_words(const ls_metric *m, const ls_modelfile *saved) {
  printf("samples   %llu\nloss      %.6f\n", (unsigned long long)ls_metric_samples(m), ls_metric_loss(m));
  if (m->task == LS_TASK_REGRESSION) {
    print_outputs(m);
    return;
  }
  printf("accuracy  %.4f\n", ls_metric_quality(m));
  for (size_t i = 0; i < m->n_tops; i++)
    printf("top %-5zu %.4f\n", m->tops[i], ls_metric_top(m, m->tops[i]));
  print_classes(m, saved);
}

#define TOP_K_DEFAULT 5

/* What --top-k asks for; 0 where it was not given. */
static ls_status parse_top_k(const char *text, size_t *k) {
  char *end = NULL;
  *k = 0;
  if (!text) return LS_OK;
  const unsigned long value = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
  if (value == 0 || *end != '\0' || value > INT_MAX)
    return ls_fail(LS_ERR_CONFIG, "--top-k: %s is not a whole number from 1", text);
  *k = value;
  return LS_OK;
}

/* Among no more than k classes everyone is right, so by default there is no such number then. */
static ls_status add_top_k(ls_metric *metric, size_t asked) {
  const bool is_class = metric->task == LS_TASK_CLASSES;
  const size_t k = asked > 0 ? asked : TOP_K_DEFAULT;
  if (is_class && k < metric->n_outputs) return ls_metric_add_top(metric, k);
  if (asked == 0) return LS_OK;
  if (!is_class) return ls_fail(LS_ERR_CONFIG, "--top-k %zu: the model does not choose between classes", k);
  return ls_fail(LS_ERR_CONFIG, "--top-k %zu: the model has %zu classes, and so K must be below that", k,
                 metric->n_outputs);
}

/* Local. A metric for all that is printed. */
static ls_status create_metric(const ls_comm *comm, const ls_predictor *loaded, uint64_t samples,
                               size_t top_k, ls_metric **out) {
  const ls_task task = loaded->job->task;
  ls_status status = ls_metric_create(task, loaded->job->model->n_out, true, out);
  if (status == LS_OK) status = add_top_k(*out, top_k);
  if (status == LS_OK && task != LS_TASK_REGRESSION)
    status = ls_evaluate_keep_scores(comm, NULL, samples, *out);
  return status;
}

static ls_status evaluate(ls_comm *comm, const ls_predictor *loaded, const ls_dataset *dataset,
                          size_t top_k, bool json) {
  const ls_view view = ls_view_all(dataset);
  ls_batch *batch = NULL;
  ls_metric *metric = NULL;
  ls_status status = ls_batch_create(dataset, LS_EVALUATE_ROWS, &batch);
  if (status == LS_OK) status = create_metric(comm, loaded, view.n, top_k, &metric);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) {
    ls_evaluate(comm, NULL, loaded->job->model, loaded->normalizer, &view, batch, metric);
    if (prints(comm)) (json ? print_json : print_words)(metric, loaded->saved);
  }
  ls_metric_destroy(&metric);
  ls_batch_destroy(&batch);
  return status;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  ls_predictor *loaded = NULL;
  ls_dataset *dataset = NULL;
  size_t top_k = 0;
  ls_math_threads_set(ls_comm_threads(comm));
  ls_status status = ls_comm_agree(comm, parse_top_k(argument_of(&command_evaluate, a, "top-k"), &top_k));
  if (status == LS_OK) status = ls_predictor_create(comm, a->positional[0], &loaded);
  if (status == LS_OK) status = open_data_for(comm, loaded, a->positional[1], true, &dataset);
  if (status == LS_OK)
    status = evaluate(comm, loaded, dataset, top_k, argument_of(&command_evaluate, a, "json") != NULL);
  ls_dataset_close(comm, &dataset);
  ls_predictor_destroy(&loaded);
  return status;
}

const command command_evaluate = {
    .name = "evaluate",
    .operands = "MODEL.h5 DATA.h5[:GROUP]",
    .help = "loss, accuracy, precision, recall, F1, ROC AUC and confusion of a model on data",
    .least = 2,
    .most = 2,
    .options = {{.name = "json", .help = "print one JSON object"},
                {.name = "top-k",
                 .takes_value = true,
                 .value_name = "K",
                 .help = "the true class among the K best (default: 5, where there are more classes)"}},
    .run = run};
