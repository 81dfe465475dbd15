/* lockstep evaluate. */
#include "command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

ls_status open_data_for(ls_comm *comm, const ls_loaded *loaded, const char *spec, bool with_targets,
                        ls_dataset **out) {
  const ls_job *const job = loaded->job;
  const ls_dataset_request request = {.spec = spec,
                                      .role = "test",
                                      .x = job->data.x,
                                      .y = job->data.y,
                                      .may_differ = true,
                                      .target = with_targets ? ls_target_of((ls_loss)job->train.loss)
                                                             : LS_TARGET_NONE,
                                      .n_outputs = job->model->n_out,
                                      .n_features = job->model->n_in};
  return ls_dataset_open(comm, &request, out);
}

const char *class_name(const ls_saved *saved, size_t index, char *text, size_t size) {
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

static void print_json_classes(const ls_metric *m, const ls_saved *saved) {
  const size_t n = ls_metric_n_classes(m);
  char text[32];
  printf("\"classes\": [");
  for (size_t i = 0; i < n; i++) {
    const ls_class_quality q = ls_metric_class(m, i);
    printf("%s{\"name\": ", i ? ", " : "");
    print_json_text(class_name(saved, i, text, sizeof text));
    printf(", \"precision\": %.9g, \"recall\": %.9g, \"f1\": %.9g, \"support\": %.15g}", q.precision,
           q.recall, q.f1, q.support);
  }
  printf("], ");
  print_json_number("macro_f1", ls_metric_macro_f1(m), "");
  if (!ls_metric_has_confusion(m)) return;
  printf(", \"confusion\": [");
  for (size_t i = 0; i < n; i++) {
    printf("%s[", i ? ", " : "");
    for (size_t j = 0; j < n; j++) printf("%s%.15g", j ? ", " : "", ls_metric_confusion(m, i, j));
    printf("]");
  }
  printf("]");
}

static void print_json(const ls_metric *m, const ls_saved *saved) {
  printf("{\"samples\": %llu, ", (unsigned long long)ls_metric_samples(m));
  print_json_number("loss", ls_metric_loss(m), ", ");
  if (m->task == LS_TASK_REGRESSION) {
    print_json_number("mse", ls_metric_mse(m), ", ");
    print_json_number("mae", ls_metric_mae(m), ", ");
    print_json_number("r2", ls_metric_quality(m), "");
  } else {
    print_json_number("accuracy", ls_metric_quality(m), ", ");
    print_json_classes(m, saved);
  }
  printf("}\n");
}

static void print_confusion(const ls_metric *m, const ls_saved *saved) {
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

static void print_classes(const ls_metric *m, const ls_saved *saved) {
  const size_t n = ls_metric_n_classes(m);
  char text[32];
  printf("\n%-16s %9s %9s %9s %9s\n", "class", "precision", "recall", "f1", "support");
  for (size_t i = 0; i < n; i++) {
    const ls_class_quality q = ls_metric_class(m, i);
    printf("%-16.16s %9.4f %9.4f %9.4f %9.6g\n", class_name(saved, i, text, sizeof text), q.precision,
           q.recall, q.f1, q.support);
  }
  printf("%-16s %9s %9s %9.4f\n", "macro", "", "", ls_metric_macro_f1(m));
  if (ls_metric_has_confusion(m) && n <= CONFUSION_MOST) print_confusion(m, saved);
}

static void print_words(const ls_metric *m, const ls_saved *saved) {
  printf("samples   %llu\nloss      %.6f\n", (unsigned long long)ls_metric_samples(m), ls_metric_loss(m));
  if (m->task == LS_TASK_REGRESSION) {
    printf("mse       %.6g\nmae       %.6g\nr2        %.6f\n", ls_metric_mse(m), ls_metric_mae(m),
           ls_metric_quality(m));
    return;
  }
  printf("accuracy  %.4f\n", ls_metric_quality(m));
  print_classes(m, saved);
}

static ls_status evaluate(ls_comm *comm, const ls_loaded *loaded, const ls_dataset *dataset, bool json) {
  const ls_view view = ls_view_all(dataset);
  ls_model *const model = loaded->job->model;
  ls_batch *batch = NULL;
  ls_metric *metric = NULL;
  ls_status status = ls_batch_create(dataset, LS_EVALUATE_ROWS, &batch);
  if (status == LS_OK) status = ls_metric_create(loaded->job->task, model->n_out, true, &metric);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) {
    ls_evaluate(comm, model, loaded->normalizer, &view, batch, metric);
    if (prints(comm)) (json ? print_json : print_words)(metric, loaded->saved);
  }
  ls_metric_destroy(&metric);
  ls_batch_destroy(&batch);
  return status;
}

static ls_status run(ls_comm *comm, const arguments *a) {
  ls_loaded *loaded = NULL;
  ls_dataset *dataset = NULL;
  ls_math_threads_set(ls_comm_cores(comm));
  ls_status status = ls_loaded_create(comm, a->positional[0], &loaded);
  if (status == LS_OK) status = open_data_for(comm, loaded, a->positional[1], true, &dataset);
  if (status == LS_OK)
    status = evaluate(comm, loaded, dataset, argument_of(&command_evaluate, a, "json") != NULL);
  ls_dataset_close(comm, &dataset);
  ls_loaded_destroy(&loaded);
  return status;
}

const command command_evaluate = {
    .name = "evaluate",
    .operands = "MODEL.h5 DATA.h5[:GROUP]",
    .help = "loss, accuracy, precision, recall, F1 and confusion of a model on data",
    .least = 2,
    .most = 2,
    .options = {{.name = "json", .help = "print one JSON object"}},
    .run = run};
