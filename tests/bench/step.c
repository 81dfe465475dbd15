/* Compares the training steps of a config with their matrix products alone.
 *
 *   mpirun -n 2 step [--rounds N] [--seconds S] [--json] CONFIG.yaml [BATCH...]
 *
 * For each global batch size, alternately and several times: complete training steps (gather, forward,
 * loss, backward, reduction, update) of `lockstep train`, and, on the same ranks and threads, only the
 * products of the dense layers: y = x W^T, dW = dy^T x, and dx = dy W except for the first layer. Prints
 * the medians in samples/s, and the median of the ratios of successive measurements; with --json one object
 * per line. If the net has parameters in other layers, only the steps are measured. */
#include "train/internal.h"

#include "measure.h"

#include <cblas.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 99

typedef struct settings {
  size_t rounds;
  double seconds; /* per kind and round */
  bool json;
} settings;

typedef struct figures {
  double step[ROUNDS_MAX], products[ROUNDS_MAX], ratio[ROUNDS_MAX];
} figures;

/* c (m, n) = op(a) op(b), by BLAS in one call. */
static void product(enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb, size_t m, size_t n, size_t k,
                    const float *a, const float *b, float *c) {
  const int lda = (int)(ta == CblasTrans ? m : k);
  const int ldb = (int)(tb == CblasTrans ? k : n);
  if (m > 0 && k > 0)
    cblas_sgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)k, 1.0F, a, lda, b, ldb, 0.0F, c, (int)n);
}

/* Whether the net consists of dense layers and of layers without parameters, one after the other. */
static bool is_dense(const ls_model *model) {
  for (size_t i = 0; i < model->n_layers; i++) {
    const ls_layer *const layer = model->layers[i];
    if (layer->n_children > 0 || (layer->n_params > 0 && strcmp(layer->type->name, "dense") != 0))
      return false;
  }
  return true;
}

/* The products of one step over `rows` rows. Uses the arrays of the model, so that the caches have the same
 * contents as in a step. */
static void multiply(const ls_model *model, const float *x, size_t rows) {
  for (size_t i = 0; i < model->n_layers; i++) {
    const ls_layer *const layer = model->layers[i];
    if (layer->n_params == 0) continue;
    product(CblasNoTrans, CblasTrans, rows, layer->n_out, layer->n_in, i ? model->layers[i - 1]->output : x,
            layer->params[0].value, layer->output);
  }
  for (size_t i = model->n_layers; i-- > 0;) {
    const ls_layer *const layer = model->layers[i];
    if (layer->n_params == 0) continue;
    product(CblasTrans, CblasNoTrans, layer->n_out, layer->n_in, rows, model->deltas[0],
            i ? model->layers[i - 1]->output : x, layer->params[0].grad);
    if (i > 0)
      product(CblasNoTrans, CblasNoTrans, rows, layer->n_in, layer->n_out, model->deltas[0],
              layer->params[0].value, model->deltas[1]);
  }
}

/* Sets the threads of BLAS, of which Lockstep uses one. Its idle threads spin for some time. */
static void set_blas_threads(int threads, bool waits) {
#ifdef LS_HAVE_OPENBLAS
  if (threads != openblas_get_num_threads()) openblas_set_num_threads(threads);
#else
  (void)threads;
#endif
  if (waits) nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

/* Collective. Samples/s of the products alone, on all ranks simultaneously. */
static double time_products(trainer *t, size_t steps) {
  const ls_shard shard = ls_shard_of(t->setup->batch_size, ls_comm_rank(t->comm), ls_comm_size(t->comm));
  ls_comm_barrier(t->comm);
  const double start = ls_clock();
  for (size_t s = 0; s < steps; s++) multiply(t->setup->job->model, t->setup->train.batch->x, shard.rows);
  ls_comm_barrier(t->comm);
  return (double)(steps * t->setup->batch_size) / (ls_clock() - start);
}

/* Collective. Samples/s of training; 0 if a step failed. */
static double time_steps(trainer *t, size_t steps) {
  const uint64_t n = t->setup->train.view.n;
  const uint64_t before = t->progress.samples;
  ls_comm_barrier(t->comm);
  const double start = ls_clock();
  for (size_t s = 0; s < steps; s++) {
    if (train_run_step(t) != LS_OK) return 0.0;
    if (t->progress.epoch_samples < n) continue;
    t->progress.epoch_samples = 0;
    t->progress.epoch++;
  }
  ls_comm_barrier(t->comm);
  return (double)(t->progress.samples - before) / (ls_clock() - start);
}

/* Collective. The number of steps that take about `seconds`, the same on all ranks; 0 if a step failed.
 * Doubles the number of steps until the time suffices; ignores the first step. */
static size_t count_steps(trainer *t, double seconds) {
  if (!(time_steps(t, 1) > 0.0)) return 0;
  for (size_t steps = 1;; steps *= 2) {
    double rate = time_steps(t, steps) / (double)t->setup->batch_size;
    ls_comm_broadcast(t->comm, &rate, sizeof rate);
    if (!(rate > 0.0)) return 0;
    if ((double)steps / rate >= seconds / 4.0) return ls_size_max((size_t)(seconds * rate), 2);
  }
}

static void report(const trainer *t, const settings *s, bool has_products, figures *f) {
  const double step = median(s->rounds, f->step);
  const double products = median(s->rounds, f->products);
  const double ratio = median(s->rounds, f->ratio);
  const char *const format =
      s->json ? "{\"batch\": %zu, \"ranks\": %d, \"threads\": %d, \"samples_per_second\": %.1f"
              : "batch %5zu  %d ranks x %d threads  step %8.0f samples/s";
  const char *const rest =
      s->json ? ", \"products_per_second\": %.1f, \"ratio\": %.4f, \"least\": %.4f, \"most\": %.4f"
              : "  products alone %8.0f  ratio %.3f (%.3f to %.3f)";
  char line[256] = "";
  ls_append(line, sizeof line, format, t->setup->batch_size, ls_comm_size(t->comm), t->setup->threads,
            step);
  if (has_products)
    ls_append(line, sizeof line, rest, products, ratio, f->ratio[0], f->ratio[s->rounds - 1]);
  ls_log(LS_LOG_INFO, "%s%s", line, s->json ? "}" : "");
}

static ls_status measure(ls_comm *comm, const settings *s, ls_setup *setup) {
  trainer t;
  figures f;
  ls_status status = ls_comm_agree(comm, train_create(&t, comm, setup));
  if (status == LS_OK) status = train_choose_mode(&t, LS_SYNC_AUTO);
  if (status == LS_OK) {
    ls_model_initialise(setup->job->model, 1);
    const bool has_products = is_dense(setup->job->model);
    const size_t steps = count_steps(&t, s->seconds);
    for (size_t r = 0; steps > 0 && r < s->rounds; r++) {
      set_blas_threads(setup->threads, false);
      f.products[r] = has_products ? time_products(&t, steps) : 1.0;
      set_blas_threads(1, setup->threads > 1);
      f.step[r] = time_steps(&t, steps);
      f.ratio[r] = f.step[r] / f.products[r];
    }
    if (steps > 0 && f.step[s->rounds - 1] > 0.0)
      report(&t, s, has_products, &f);
    else
      status = ls_fail(LS_ERR_NUMERIC, "a step failed: %s", ls_message());
  }
  train_destroy(&t);
  return status;
}

static ls_status measure_batch(ls_comm *comm, const settings *s, const char *path, const char *batch) {
  char assignment[64];
  snprintf(assignment, sizeof assignment, "train.batch_size=%s", batch);
  const char *const overrides[] = {assignment};
  const ls_job_source source = {.path = path, .overrides = overrides, .n_overrides = 1, .output = "unused"};
  ls_job *job = NULL;
  ls_setup *setup = NULL;
  ls_status status = ls_job_create(comm, &source, &job);
  if (status == LS_OK) status = ls_setup_create(comm, job, NULL, &setup);
  if (status == LS_OK) status = measure(comm, s, setup);
  ls_setup_destroy(comm, &setup);
  ls_job_destroy(&job);
  return status;
}

/* Local. Reads the options; optind is then the index of the first other argument. */
static ls_status parse(int argc, char **argv, settings *s) {
  static const struct option longs[] = {{"rounds", required_argument, NULL, 'r'},
                                        {"seconds", required_argument, NULL, 's'},
                                        {"json", no_argument, NULL, 'j'},
                                        {0}};
  bool known = true;
  opterr = 0;
  for (int code = getopt_long(argc, argv, "", longs, NULL); code != -1;
       code = getopt_long(argc, argv, "", longs, NULL)) {
    if (code == 'r') s->rounds = strtoul(optarg, NULL, 10);
    if (code == 's') s->seconds = strtod(optarg, NULL);
    if (code == 'j') s->json = true;
    known = known && code != '?';
  }
  if (known && optind < argc && s->rounds >= 1 && s->rounds <= ROUNDS_MAX && s->seconds > 0.0) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "usage: mpirun -n 2 step [--rounds 1..%d] [--seconds S] [--json] CONFIG.yaml [BATCH...]",
                 ROUNDS_MAX);
}

static ls_status run(ls_comm *comm, int argc, char **argv) {
  static const char *const usual[] = {"32", "128", "512", "1024", "2048"};
  settings s = {.rounds = 9, .seconds = 0.4};
  ls_status status = ls_comm_agree(comm, parse(argc, argv, &s));
  if (status != LS_OK) return status;
  const bool given = argc - optind > 1;
  const size_t n = given ? (size_t)(argc - optind) - 1 : sizeof usual / sizeof usual[0];
  const char *const *const batches = given ? (const char *const *)argv + optind + 1 : usual;
  for (size_t i = 0; status == LS_OK && i < n; i++)
    status = measure_batch(comm, &s, argv[optind], batches[i]);
  return status;
}

int main(int argc, char **argv) {
  ls_comm *comm = NULL;
  ls_status status = ls_comm_create(&argc, &argv, &comm);
  if (status != LS_OK) return (int)status;
  ls_log_enable(ls_comm_rank(comm) == 0);
  status = run(comm, argc, argv);
  if (status != LS_OK) ls_log(LS_LOG_ERROR, "%s", ls_message());
  ls_comm_destroy(&comm);
  return (int)status;
}
