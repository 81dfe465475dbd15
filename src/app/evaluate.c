/* lockstep evaluate. */
#include "internal.h"

#include <limits.h>
#include <math.h>

/* ------------------------------------------------------------------------- JSON */

static void print_json_classes(const ls_metric *m, const ls_predictor *predictor) {
  const size_t n = ls_metric_n_classes(m);
  const ls_class_quality macro = ls_metric_macro(m);
  char text[32];
  app_json_open("classes", '[');
  for (size_t i = 0; i < n; i++) {
    const ls_class_quality q = ls_metric_class(m, i);
    app_json_open(NULL, '{');
    app_json_text("name", app_class_name(predictor, i, text, sizeof text));
    APP_JSON_NUMBERS({"precision", q.precision}, {"recall", q.recall}, {"f1", q.f1});
    APP_JSON_COUNTS({"support", q.support});
    APP_JSON_NUMBERS({"roc_auc", ls_metric_auc(m, i)});
    app_json_close('}');
  }
  app_json_close(']');
  APP_JSON_NUMBERS({"macro_precision", macro.precision}, {"macro_recall", macro.recall},
                   {"macro_f1", macro.f1}, {"roc_auc", ls_metric_macro_auc(m)});
  if (!ls_metric_has_confusion(m)) return;
  app_json_open("confusion", '[');
  for (size_t i = 0; i < n; i++) {
    app_json_open(NULL, '[');
    for (size_t j = 0; j < n; j++) APP_JSON_COUNTS({NULL, ls_metric_confusion(m, i, j)});
    app_json_close(']');
  }
  app_json_close(']');
}

static void print_json_tops(const ls_metric *m) {
  char k[32];
  if (m->n_tops == 0) return;
  app_json_open("top_k", '{');
  for (size_t i = 0; i < m->n_tops; i++) {
    snprintf(k, sizeof k, "%zu", m->tops[i]);
    APP_JSON_NUMBERS({k, ls_metric_top(m, m->tops[i])});
  }
  app_json_close('}');
}

static void print_json_outputs(const ls_metric *m) {
  APP_JSON_NUMBERS({"mse", ls_metric_mse(m)}, {"mae", ls_metric_mae(m)}, {"r2", ls_metric_quality(m)});
  if (m->n_outputs == 1) return;
  app_json_open("outputs", '[');
  for (size_t k = 0; k < m->n_outputs; k++) {
    const ls_output_quality q = ls_metric_output(m, k);
    app_json_open(NULL, '{');
    APP_JSON_NUMBERS({"mse", q.mse}, {"mae", q.mae}, {"r2", q.r2});
    app_json_close('}');
  }
  app_json_close(']');
}

static void print_json(const ls_metric *m, const ls_predictor *predictor) {
  app_json_open(NULL, '{');
  APP_JSON_COUNTS({"samples", (double)ls_metric_samples(m)});
  APP_JSON_NUMBERS({"loss", ls_metric_loss(m)});
  if (m->task == LS_TASK_REGRESSION) {
    print_json_outputs(m);
  } else {
    APP_JSON_NUMBERS({"accuracy", ls_metric_quality(m)});
    print_json_tops(m);
    print_json_classes(m, predictor);
  }
  app_json_close('}');
  printf("\n");
}

/* ------------------------------------------------------------------------- text */

static void print_confusion(const ls_metric *m, const ls_predictor *predictor) {
  const size_t n = ls_metric_n_classes(m);
  char text[32];
  char cell[APP_CELL_SIZE];
  printf("\nconfusion (rows: true, columns: predicted)\n%-16s", "");
  for (size_t j = 0; j < n; j++)
    printf(" %s", app_cell(app_class_name(predictor, j, text, sizeof text), -6, cell));
  printf("\n");
  for (size_t i = 0; i < n; i++) {
    printf("%s", app_cell(app_class_name(predictor, i, text, sizeof text), 16, cell));
    for (size_t j = 0; j < n; j++) printf(" %6.6g", ls_metric_confusion(m, i, j));
    printf("\n");
  }
}

#define CONFUSION_MOST 30 /* classes; --json prints larger matrices */

/* One row of the table; an undefined AUC is a dash. */
static void print_class(const char *name, const ls_class_quality *q, double auc) {
  char text[32] = "-";
  char cell[APP_CELL_SIZE];
  if (isfinite(auc)) snprintf(text, sizeof text, "%.4f", auc);
  printf("%s %9.4f %9.4f %9.4f %9s %9.6g\n", app_cell(name, 16, cell), q->precision, q->recall, q->f1, text,
         q->support);
}

static void print_classes(const ls_metric *m, const ls_predictor *predictor) {
  const size_t n = ls_metric_n_classes(m);
  const ls_class_quality macro = ls_metric_macro(m);
  char text[32];
  printf("\n%-16s %9s %9s %9s %9s %9s\n", "class", "precision", "recall", "f1", "roc auc", "support");
  for (size_t i = 0; i < n; i++) {
    const ls_class_quality q = ls_metric_class(m, i);
    print_class(app_class_name(predictor, i, text, sizeof text), &q, ls_metric_auc(m, i));
  }
  print_class("macro", &macro, ls_metric_macro_auc(m));
  if (ls_metric_has_confusion(m) && n <= CONFUSION_MOST) print_confusion(m, predictor);
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

static void print_text(const ls_metric *m, const ls_predictor *predictor) {
  printf("samples   %llu\nloss      %.6f\n", (unsigned long long)ls_metric_samples(m), ls_metric_loss(m));
  if (m->task == LS_TASK_REGRESSION) {
    print_outputs(m);
    return;
  }
  printf("accuracy  %.4f\n", ls_metric_quality(m));
  for (size_t i = 0; i < m->n_tops; i++)
    printf("top %-5zu %.4f\n", m->tops[i], ls_metric_top(m, m->tops[i]));
  print_classes(m, predictor);
}

/* ------------------------------------------------------------------ the command */

#define TOP_K_DEFAULT 5

/* Adds top-k accuracy; without --top-k, only if there are more than TOP_K_DEFAULT classes, since it is
 * always 1 otherwise.  requested: 0 without --top-k */
static ls_status add_top_k(ls_metric *metric, uint64_t requested) {
  const bool has_classes = metric->task == LS_TASK_CLASSES;
  const uint64_t k = requested > 0 ? requested : TOP_K_DEFAULT;
  const bool fits = has_classes && k < metric->n_outputs;
  if (fits) ls_metric_add_top(metric, k);
  if (fits || requested == 0) return LS_OK;
  if (!has_classes)
    return ls_fail(LS_ERR_CONFIG,
                   "--top-k %llu: only models that choose between classes have a top-k accuracy",
                   (unsigned long long)k);
  return ls_fail(LS_ERR_CONFIG,
                 "--top-k %llu: must be below the number of classes; the model has %zu classes",
                 (unsigned long long)k, metric->n_outputs);
}

/* Local. The metric from which all results are printed. */
static ls_status create_metric(const ls_comm *comm, const ls_predictor *predictor, uint64_t samples,
                               uint64_t top_k, ls_metric **out) {
  const ls_task task = predictor->job->task;
  LS_TRY(ls_metric_create(task, predictor->job->model->n_out, true, out));
  LS_TRY(add_top_k(*out, top_k));
  return task == LS_TASK_REGRESSION ? LS_OK : ls_evaluate_keep_scores(comm, NULL, samples, *out);
}

static ls_status evaluate(ls_comm *comm, const ls_predictor *predictor, const ls_dataset *dataset,
                          uint64_t top_k, bool json) {
  const ls_view view = ls_view_all(dataset);
  ls_batch *batch = NULL;
  ls_metric *metric = NULL;
  ls_status status = ls_batch_create(dataset, LS_EVALUATE_ROWS, &batch);
  if (status == LS_OK) status = create_metric(comm, predictor, view.n, top_k, &metric);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK)
    status = ls_evaluate(comm, NULL, predictor->job->model, predictor->normalizer, &view, batch, metric);
  LS_ASSERT(status != LS_OK || metric);
  if (status == LS_OK && app_is_root(comm)) (json ? print_json : print_text)(metric, predictor);
  ls_metric_destroy(&metric);
  ls_batch_destroy(&batch);
  return status;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  ls_predictor *predictor = NULL;
  app_data data = {0};
  uint64_t top_k = 0;
  ls_log_spare_stdout(); /* for the results */
  ls_status status = ls_comm_agree(comm, ls_math_threads_set(ls_comm_threads(comm)));
  if (status == LS_OK) status = ls_comm_agree(comm, app_read_count(a, "top-k", 1, INT_MAX, &top_k));
  if (status == LS_OK) status = ls_predictor_create(comm, a->positional[0], &predictor);
  if (status == LS_OK) status = app_open_data(comm, a, predictor, NULL, true, &data);
  if (status == LS_OK)
    status = evaluate(comm, predictor, data.dataset, top_k, app_option(a, "json") != NULL);
  app_close_data(comm, &data);
  ls_predictor_destroy(&predictor);
  return status;
}

const command app_evaluate = {
    .name = "evaluate",
    .operands = "MODEL.h5 DATA[:GROUP]",
    .help = "loss, accuracy, precision, recall, F1, ROC AUC and confusion matrix of a model on data",
    .details = "DATA is HDF5, or CSV (- for standard input), whose features are found by name.",
    .options = {OPTION_X,
                OPTION_MEMORY,
                OPTION_Y,
                OPTION_JSON,
                {"top-k", 0, "K", "K of top-K accuracy (default: 5, if there are more classes than that)"},
                OPTIONS_TABLE("CSV: label columns (default: the only column that is not a feature)"),
                OPTIONS_MODEL_TABLE},
    .run = run};
