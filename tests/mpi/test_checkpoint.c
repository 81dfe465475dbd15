/* checkpoint: all ranks restore the bits that rank 0 wrote; the newest valid file of a folder is found, and
 * old ones are removed. */
#include "support.h"

#include "lockstep/checkpoint.h"

#include <sys/stat.h>

/* ------------------------------------------------------------------- fixtures */

#define INPUTS 5
#define N_SUMS 4

static const char *const usual = "model:\n"
                                 "  - {layer: dense, units: 7, activation: relu}\n"
                                 "  - {layer: dropout, rate: 0.2}\n"
                                 "  - {layer: dense, units: 3, activation: softmax}\n"
                                 "optimizer: {type: adam, lr: 0.001}\n";

/* A model with all other contents of a checkpoint. */
typedef struct contents {
  ls_model *model;
  ls_optim *optim;
  ls_normalizer *normalizer;
  ls_progress progress;
  double sums[N_SUMS + 1];
} contents;

static void contents_create(contents *t, const char *text, size_t n_inputs, size_t n_sums) {
  ls_config *config = NULL;
  *t = (contents){0};
  ls_status status = ls_config_create(text, "saved.yaml", &config);
  if (status == LS_OK) status = ls_model_parse(config, LS_CATEGORICAL_CROSS_ENTROPY, &t->model);
  if (status == LS_OK) status = ls_optim_parse(config, &t->optim);
  if (status == LS_OK) status = ls_config_status(config);
  if (status == LS_OK) status = ls_model_infer_shapes(t->model, &(ls_shape){1, {n_inputs}});
  if (status == LS_OK) status = ls_model_build(t->model, 1);
  if (status == LS_OK) status = ls_optim_build(t->optim, t->model->n_params);
  if (status == LS_OK) status = ls_normalizer_create(n_inputs, &t->normalizer);
  if (status != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
  ls_config_destroy(&config);
  t->progress = (ls_progress){.n_sums = n_sums, .sums = t->sums};
  settle();
}

static void contents_destroy(contents *t) {
  ls_model_destroy(&t->model);
  ls_optim_destroy(&t->optim);
  ls_normalizer_destroy(&t->normalizer);
}

static size_t block_bytes(const contents *t) {
  return t->optim->n * t->optim->n_slots * sizeof(float);
}

/* Local. Random bits, NaN and denormal numbers included; keyed on `key`. */
static void fill_bits(uint64_t key, size_t bytes, void *out) {
  const ls_rng rng = ls_rng_make(key, LS_RNG_CHECK, 0, 0);
  const size_t n = bytes / 4;
  uint32_t *const words = out;
  ls_rng_words(&rng, 0, n, words);
}

/* Local. Sets all contents from `key`. */
static void contents_fill(contents *t, uint64_t key) {
  double offset[INPUTS];
  double factor[INPUTS];
  fill_bits(key, t->model->n_params * sizeof(float), t->model->params);
  fill_bits(key + 1, block_bytes(t), t->optim->block);
  for (size_t j = 0; j < INPUTS; j++) {
    offset[j] = (double)key / 3.0 + (double)j;
    factor[j] = 1.0 / ((double)key + (double)j + 7.0);
  }
  ls_normalizer_set(t->normalizer, offset, factor);
  t->optim->steps = key + 100;
  t->progress = (ls_progress){.epoch = key,
                              .epoch_samples = 17,
                              .step = key + 100,
                              .samples = UINT64_MAX - key,
                              .skipped_steps = 3,
                              .best_epoch = 2,
                              .best_value = -0.1,
                              .total_seconds = 1.0 / 3.0,
                              .epoch_seconds = 1e-9,
                              .seed = 42,
                              .data = {UINT64_C(0xFEDCBA9876543210), key},
                              .n_sums = N_SUMS,
                              .sums = t->sums};
  for (size_t i = 0; i < N_SUMS; i++) t->sums[i] = (double)(key + i) / 7.0;
}

/* Local. Writes a file on rank 0. `is_checkpoint`: with optimizer and progress. */
static void contents_write(const contents *t, const char *name, bool is_checkpoint) {
  const char *const classes[] = {"cat", "dog", "hen"};
  const ls_snapshot snapshot = {.content = {.config = "seed: 1\n",
                                            .classes = classes,
                                            .n_classes = 3,
                                            .model = t->model,
                                            .normalizer = t->normalizer},
                                .optim = t->optim,
                                .progress = &t->progress};
  if (rank != 0) return;
  const ls_status status = is_checkpoint ? ls_checkpoint_write(in_folder(name), &snapshot)
                                         : ls_modelfile_write(in_folder(name), &snapshot.content);
  if (status != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
}

static ls_modelfile *open_file(const char *name) {
  ls_modelfile *saved = NULL;
  if (rank == 0 && ls_modelfile_open(in_folder(name), &saved) != LS_OK)
    complain(__FILE__, __LINE__, "%s", ls_message());
  settle();
  return saved;
}

/* Local. Compares all contents of a checkpoint bit by bit. */
static void expect_same_contents(const contents *a, const contents *b) {
  const ls_progress *const p = &a->progress;
  const ls_progress *const q = &b->progress;
  EXPECT(memcmp(a->model->params, b->model->params, a->model->n_params * sizeof(float)) == 0);
  EXPECT(memcmp(a->optim->block, b->optim->block, block_bytes(a)) == 0);
  EXPECT(a->optim->steps == b->optim->steps);
  EXPECT(memcmp(a->normalizer->offset, b->normalizer->offset, INPUTS * sizeof(double)) == 0);
  EXPECT(memcmp(a->normalizer->factor, b->normalizer->factor, INPUTS * sizeof(double)) == 0);
  EXPECT(memcmp(a->normalizer->offset32, b->normalizer->offset32, INPUTS * sizeof(float)) == 0);
  EXPECT(memcmp(a->normalizer->factor32, b->normalizer->factor32, INPUTS * sizeof(float)) == 0);
  EXPECT(p->epoch == q->epoch && p->epoch_samples == q->epoch_samples && p->step == q->step);
  EXPECT(p->samples == q->samples && p->skipped_steps == q->skipped_steps &&
         p->best_epoch == q->best_epoch);
  EXPECT(p->best_value == q->best_value && p->total_seconds == q->total_seconds);
  EXPECT(p->epoch_seconds == q->epoch_seconds && p->seed == q->seed && ls_digest_equal(p->data, q->data));
  EXPECT(p->n_sums == q->n_sums && memcmp(a->sums, b->sums, sizeof a->sums) == 0);
}

/* ------------------------------------------------------------------ round trips */

static void check_round_trip(const char *text) {
  contents written;
  contents restored;
  contents_create(&written, text, INPUTS, N_SUMS);
  contents_create(&restored, text, INPUTS, N_SUMS);
  contents_fill(&written, 8);
  contents_fill(&restored, 999 + (uint64_t)rank); /* different contents on each rank */
  contents_write(&written, "round.h5", true);
  ls_modelfile *saved = open_file("round.h5");
  EXPECT(rank != 0 || (saved->is_checkpoint && saved->n_inputs == INPUTS && saved->n_classes == 3));
  const ls_status status = ls_checkpoint_restore(comm, saved, restored.model, restored.normalizer,
                                                 restored.optim, &restored.progress);
  if (status != LS_OK) complain(__FILE__, __LINE__, "%s", ls_message());
  EXPECT(restored.progress.sums == restored.sums); /* this rank's memory, not rank 0's */
  expect_same_contents(&restored, &written);
  EXPECT(same_bytes(restored.model->params, restored.model->n_params * sizeof(float)));
  ls_modelfile_close(&saved);
  contents_destroy(&written);
  contents_destroy(&restored);
  settle();
}

static void test_round_trip(void **state) {
  (void)state;
  check_round_trip(usual);
  check_round_trip("model: [{layer: dense, units: 3, activation: softmax, bias: false}]\n"
                   "optimizer: {type: momentum, lr: 0.1}\n");
  check_round_trip("model: [{layer: dense, units: 3}, {layer: softmax}]\n"
                   "optimizer: {type: sgd, lr: 0.1}\n");
}

/* A model file provides parameters and normaliser; all ranks reject a request for more. */
static void test_model_file(void **state) {
  (void)state;
  contents written;
  contents restored;
  contents_create(&written, usual, INPUTS, N_SUMS);
  contents_create(&restored, usual, INPUTS, N_SUMS);
  contents_fill(&written, 5);
  contents_write(&written, "model.h5", false);
  ls_modelfile *saved = open_file("model.h5");
  EXPECT(rank != 0 || !saved->is_checkpoint);
  EXPECT(ls_checkpoint_restore(comm, saved, restored.model, restored.normalizer, NULL, NULL) == LS_OK);
  EXPECT(memcmp(restored.model->params, written.model->params, written.model->n_params * sizeof(float)) ==
         0);
  EXPECT(memcmp(restored.normalizer->factor, written.normalizer->factor, INPUTS * sizeof(double)) == 0);
  settle();
  EXPECT(ls_checkpoint_restore(comm, saved, restored.model, restored.normalizer, restored.optim, NULL) ==
         LS_ERR_MODEL);
  EXPECT(same_text(ls_message()));
  EXPECT(ls_checkpoint_restore(comm, saved, restored.model, restored.normalizer, NULL,
                               &restored.progress) == LS_ERR_MODEL);
  EXPECT(same_text(ls_message()));
  ls_modelfile_close(&saved);
  contents_destroy(&written);
  contents_destroy(&restored);
  settle();
}

/* Local. Adds a normaliser of targets with contents from `key`. */
static void add_targets(contents *t, double key) {
  EXPECT(ls_normalizer_add_targets(t->normalizer, 3) == LS_OK);
  ls_normalizer_set(t->normalizer->targets, (const double[]){key, key / 3.0, -1e300},
                    (const double[]){1.0 / key, 1e-300, 1.0});
}

/* The normaliser of targets is stored with the model. A request for an absent one is rejected; without a
 * request it is ignored. */
static void test_targets(void **state) {
  (void)state;
  contents written;
  contents restored;
  contents plain;
  contents_create(&written, usual, INPUTS, N_SUMS);
  contents_create(&restored, usual, INPUTS, N_SUMS);
  contents_create(&plain, usual, INPUTS, N_SUMS);
  contents_fill(&written, 5);
  contents_fill(&restored, 900 + (uint64_t)rank);
  contents_write(&written, "without.h5", false);
  add_targets(&written, 7.0);
  add_targets(&restored, 100.0 + rank);
  contents_write(&written, "with.h5", false);
  settle();
  ls_modelfile *saved = open_file("with.h5");
  EXPECT(ls_checkpoint_restore(comm, saved, restored.model, restored.normalizer, NULL, NULL) == LS_OK);
  EXPECT(ls_checkpoint_restore(comm, saved, plain.model, plain.normalizer, NULL, NULL) == LS_OK);
  const ls_normalizer *const got = restored.normalizer->targets;
  const ls_normalizer *const want = written.normalizer->targets;
  EXPECT(memcmp(got->offset, want->offset, 3 * sizeof(double)) == 0);
  EXPECT(memcmp(got->factor, want->factor, 3 * sizeof(double)) == 0);
  EXPECT(memcmp(plain.normalizer->offset, written.normalizer->offset, INPUTS * sizeof(double)) == 0);
  EXPECT(!plain.normalizer->targets);
  ls_modelfile_close(&saved);
  saved = open_file("without.h5");
  EXPECT(ls_checkpoint_restore(comm, saved, restored.model, restored.normalizer, NULL, NULL) ==
         LS_ERR_MODEL);
  EXPECT_PART(ls_message(), "y_offset");
  EXPECT(same_text(ls_message()));
  ls_modelfile_close(&saved);
  contents_destroy(&written);
  contents_destroy(&restored);
  contents_destroy(&plain);
  settle();
}

/* Collective. A checkpoint does not fit another model. */
static void check_mismatch(const char *text, size_t n_inputs, size_t n_sums, const char *part) {
  contents written;
  contents other;
  contents_create(&written, usual, INPUTS, N_SUMS);
  contents_create(&other, text, n_inputs, n_sums);
  contents_fill(&written, 6);
  contents_write(&written, "misfit.h5", true);
  ls_modelfile *saved = open_file("misfit.h5");
  const ls_status status =
      ls_checkpoint_restore(comm, saved, other.model, other.normalizer, other.optim, &other.progress);
  if (status != LS_ERR_MODEL) complain(__FILE__, __LINE__, "'%s': status %d", part, (int)status);
  EXPECT_PART(ls_message(), "misfit.h5");
  EXPECT_PART(ls_message(), part);
  EXPECT(same_text(ls_message()));
  ls_modelfile_close(&saved);
  contents_destroy(&written);
  contents_destroy(&other);
  settle();
}

static void test_wrong_shapes(void **state) {
  (void)state;
  check_mismatch(
      "model: [{layer: dense, units: 8}, {layer: dropout}, {layer: dense, units: 3, activation: softmax}]\n"
      "optimizer: {type: adam}\n",
      INPUTS, N_SUMS, "(3, 8) float32");
  check_mismatch("model: [{layer: dense, units: 7}, {layer: dense, units: 3, activation: softmax}]\n"
                 "optimizer: {type: adam}\n",
                 INPUTS, N_SUMS, "1-dense");
  check_mismatch(usual, INPUTS + 1, N_SUMS, "(7, 6) float32");
  check_mismatch(usual, INPUTS, N_SUMS + 1, "/progress/sums");
  check_mismatch(
      "model: [{layer: dense, units: 7}, {layer: dropout}, {layer: dense, units: 3, activation: softmax}]\n"
      "optimizer: {type: momentum, lr: 0.1}\n",
      INPUTS, N_SUMS, "/optimizer/velocity");
}

/* -------------------------------------------------------------------- a folder */

/* Local. Changes the byte at `where`, counted from the end if negative. */
static void damage(const char *name, long where) {
  FILE *const file = fopen(in_folder(name), "r+b");
  EXPECT(file != NULL);
  if (!file) return;
  fseek(file, where, where < 0 ? SEEK_END : SEEK_SET);
  const int byte = fgetc(file);
  fseek(file, -1, SEEK_CUR);
  fputc(byte ^ 1, file);
  EXPECT(fclose(file) == 0);
}

/* Local. The step of the checkpoint found; 0: none. */
static uint64_t found_step(ls_status expected) {
  ls_modelfile *saved = NULL;
  ls_modelfile *none = NULL;
  ls_progress progress = {0};
  const ls_status status = ls_checkpoint_find(folder, &none, &saved);
  if (status != expected) complain(__FILE__, __LINE__, "status %d: %s", (int)status, ls_message());
  if (saved) EXPECT(ls_checkpoint_read_progress(saved, &progress) == LS_OK);
  ls_modelfile_close(&saved);
  return progress.step;
}

/* Local. Writes checkpoints of the given steps. */
static void write_steps(contents *t, size_t n, const uint64_t *steps) {
  empty_folder();
  for (size_t i = 0; i < n; i++) {
    char *const path = ls_checkpoint_path(folder, steps[i]);
    t->progress.step = steps[i];
    contents_write(t, strrchr(path, '/') + 1, true);
    free(path);
  }
}

/* Rank 0 works alone, as in a run. */
static void test_find(void **state) {
  (void)state;
  contents t;
  contents_create(&t, usual, INPUTS, N_SUMS);
  contents_fill(&t, 7);
  if (rank == 0) {
    empty_folder();
    EXPECT(found_step(LS_OK) == 0);
    write_steps(&t, 4, (const uint64_t[]){30, 100000000, 9, 200});
    EXPECT(is_there("step-00000009.h5") && is_there("step-100000000.h5"));
    EXPECT(found_step(LS_OK) == 100000000); /* by number, not by name */
    ls_log_enable(false);                   /* the warnings are expected */
    damage("step-100000000.h5", -100);
    EXPECT(found_step(LS_OK) == 200);
    EXPECT(truncate(in_folder("step-00000200.h5"), 4000) == 0);
    EXPECT(found_step(LS_OK) == 30);
    damage("step-00000030.h5", 3); /* the magic word */
    EXPECT(found_step(LS_OK) == 9);
    EXPECT(truncate(in_folder("step-00000009.h5"), 0) == 0);
    EXPECT(found_step(LS_ERR_MODEL) == 0);
    EXPECT_PART(ls_message(), folder);
    EXPECT_PART(ls_message(), "4");
    ls_log_enable(true);
  }
  contents_destroy(&t);
  settle();
}

/* An absent folder has no checkpoints; other files are ignored. */
static void test_find_among_others(void **state) {
  (void)state;
  contents t;
  contents_create(&t, usual, INPUTS, N_SUMS);
  contents_fill(&t, 7);
  if (rank == 0) {
    ls_modelfile *saved = NULL;
    ls_modelfile *known = NULL;
    EXPECT(ls_checkpoint_find(in_folder("absent"), &known, &saved) == LS_OK && !saved);
    write_steps(&t, 1, (const uint64_t[]){5});
    contents_write(&t, "best.h5", true);
    contents_write(&t, "step-00000007.h5.bak", true);
    contents_write(&t, "step-00000008.h5.tmp-12345", true);
    EXPECT(found_step(LS_OK) == 5);
    EXPECT(ls_checkpoint_find(folder, &known, &saved) == LS_OK && saved);
    known = saved; /* is not opened again */
    const ls_modelfile *const first = saved;
    EXPECT(ls_checkpoint_find(folder, &known, &saved) == LS_OK && saved == first && !known);
    known = saved; /* there is a newer one */
    write_steps(&t, 1, (const uint64_t[]){6});
    EXPECT(ls_checkpoint_find(folder, &known, &saved) == LS_OK && saved != first && known == first);
    ls_modelfile_close(&known);
    ls_modelfile_close(&saved);
  }
  contents_destroy(&t);
  settle();
}

/* Keeps the newest checkpoints and other files; removes temporary files of killed writers. */
static void test_prune(void **state) {
  (void)state;
  contents t;
  contents_create(&t, usual, INPUTS, N_SUMS);
  contents_fill(&t, 7);
  if (rank == 0) {
    write_steps(&t, 5, (const uint64_t[]){10, 20, 100000000, 40, 50});
    contents_write(&t, "best.h5", true);
    contents_write(&t, "mine.h5", true);
    contents_write(&t, "step-00000060.h5.tmp-4711", true);
    contents_write(&t, "best.h5.tmp-1", true);
    EXPECT(ls_checkpoint_prune(folder, UINT64_MAX, 3, LS_SPARED_NONE) == LS_OK);
    EXPECT(is_there("step-100000000.h5") && is_there("step-00000050.h5") && is_there("step-00000040.h5"));
    EXPECT(!is_there("step-00000020.h5") && !is_there("step-00000010.h5"));
    EXPECT(is_there("best.h5") && is_there("mine.h5"));
    EXPECT(!is_there("step-00000060.h5.tmp-4711") && !is_there("best.h5.tmp-1"));
    EXPECT(ls_checkpoint_prune(folder, UINT64_MAX, 10, LS_SPARED_NONE) == LS_OK);
    EXPECT(ls_checkpoint_prune(folder, 50, 1, 40) == LS_OK); /* later ones belong to another run */
    EXPECT(is_there("step-100000000.h5") && is_there("step-00000050.h5") && is_there("step-00000040.h5"));
    EXPECT(ls_checkpoint_prune(folder, 50, 1, LS_SPARED_NONE) == LS_OK && !is_there("step-00000040.h5"));
    EXPECT(ls_checkpoint_prune(in_folder("absent"), 5, 1, LS_SPARED_NONE) == LS_OK);
    EXPECT(ls_checkpoint_remove_from(folder, 51) == LS_OK);
    EXPECT(!is_there("step-100000000.h5") && is_there("step-00000050.h5"));
    EXPECT(ls_checkpoint_remove_from(folder, 0) == LS_OK && !is_there("step-00000050.h5"));
    EXPECT(ls_checkpoint_remove_from(in_folder("absent"), 0) == LS_OK);
    EXPECT(is_there("best.h5") && is_there("mine.h5"));
  }
  contents_destroy(&t);
  settle();
}

/* -------------------------------------------------------------------- the saver */

static ls_snapshot snapshot_of(const contents *t) {
  return (ls_snapshot){.content = {.config = "seed: 1\n", .model = t->model, .normalizer = t->normalizer},
                       .optim = t->optim,
                       .progress = &t->progress};
}

/* Local. */
static struct stat stat_of(const char *name) {
  struct stat info = {0};
  EXPECT(stat(in_folder(name), &info) == 0);
  return info;
}

/* Local. Whether two files hold the same bytes. */
static bool same_files(const char *a, const char *b) {
  static char bytes[2][1 << 16];
  size_t n[2] = {0};
  const char *const names[] = {a, b};
  for (int i = 0; i < 2; i++) {
    FILE *const file = fopen(in_folder(names[i]), "rb");
    EXPECT(file != NULL);
    n[i] = file ? fread(bytes[i], 1, sizeof bytes[i], file) : 0;
    if (file) fclose(file);
  }
  return n[0] == n[1] && n[0] > 0 && n[0] < sizeof bytes[0] && memcmp(bytes[0], bytes[1], n[0]) == 0;
}

/* Local. Like contents_fill, but without the normaliser, which a saver borrows. */
static void fill_again(contents *t, uint64_t key) {
  ls_normalizer *const kept = t->normalizer;
  EXPECT(ls_normalizer_create(INPUTS, &t->normalizer) == LS_OK);
  contents_fill(t, key);
  ls_normalizer_destroy(&t->normalizer);
  t->normalizer = kept;
}

/* Local. Changes everything that changes in training. */
static void change_state(contents *t) {
  fill_bits(77, t->model->n_params * sizeof(float), t->model->params);
  fill_bits(78, block_bytes(t), t->optim->block);
  t->optim->steps = 79;
  t->progress = (ls_progress){.step = 80, .n_sums = N_SUMS, .sums = t->sums};
  memset(t->sums, 0, sizeof t->sums);
}

/* A saver publishes the state at the time of the call, even if the caller changes it at once, with the same
 * bytes as ls_checkpoint_write. best.h5 and the checkpoint of its step are one file. */
static void test_saver(void **state) {
  (void)state;
  contents t;
  ls_saver *saver = NULL;
  contents_create(&t, usual, INPUTS, N_SUMS);
  if (rank == 0) {
    empty_folder();
    EXPECT(ls_saver_create(t.model, t.optim, N_SUMS, &saver) == LS_OK);
    char model[300];
    char best[300];
    snprintf(model, sizeof model, "%s", in_folder("model.h5"));
    snprintf(best, sizeof best, "%s", in_folder("best.h5"));
    for (uint64_t key = 1; key <= 3; key++) { /* steps 101, 102, 103; the best are the first two */
      const ls_save save = {
          .model = key <= 2 ? model : NULL, .best = key <= 2 ? best : NULL, .folder = folder, .keep = 2};
      fill_again(&t, key);
      const ls_snapshot snapshot = snapshot_of(&t);
      ls_saver_submit(saver, &snapshot, &save);
      change_state(&t); /* immediately */
    }
    EXPECT(ls_saver_wait(saver) == LS_OK && !ls_saver_has_failed(saver));
    EXPECT(ls_saver_longest(saver) > 0.0);
    EXPECT(!is_there("step-00000101.h5")); /* keep is 2 */
    EXPECT(stat_of("best.h5").st_ino == stat_of("step-00000102.h5").st_ino);
    EXPECT(stat_of("step-00000103.h5").st_nlink == 1);
    for (uint64_t key = 2; key <= 3; key++) {
      char name[64];
      fill_again(&t, key);
      const ls_snapshot snapshot = snapshot_of(&t);
      EXPECT(ls_checkpoint_write(in_folder("mine.h5"), &snapshot) == LS_OK);
      snprintf(name, sizeof name, "step-%08d.h5", 100 + (int)key);
      EXPECT(same_files("mine.h5", name));
      if (key == 3) continue;
      EXPECT(ls_modelfile_write(in_folder("mine.h5"), &snapshot.content) == LS_OK);
      EXPECT(same_files("mine.h5", "model.h5"));
    }
    ls_saver_destroy(&saver);
  }
  contents_destroy(&t);
  settle();
}

/* State gathered from other ranks is published from the buffer of the saver. */
static void test_saver_slots(void **state) {
  (void)state;
  contents t;
  ls_saver *saver = NULL;
  contents_create(&t, usual, INPUTS, N_SUMS);
  if (rank == 0) {
    empty_folder();
    EXPECT(ls_saver_create(t.model, t.optim, N_SUMS, &saver) == LS_OK);
    EXPECT(ls_saver_bytes(t.model, t.optim) == 3 * t.model->n_params * sizeof(float));
    contents_fill(&t, 4);
    ls_snapshot snapshot = snapshot_of(&t);
    EXPECT(ls_checkpoint_write(in_folder("mine.h5"), &snapshot) == LS_OK);
    float *const slots = ls_saver_slots(saver);
    memcpy(slots, t.optim->block, block_bytes(&t));
    memset(t.optim->block, 0, block_bytes(&t));
    snapshot.slots = slots;
    ls_saver_submit(saver, &snapshot, &(ls_save){.folder = folder, .keep = 1});
    EXPECT(ls_saver_wait(saver) == LS_OK);
    EXPECT(same_files("mine.h5", "step-00000104.h5"));
    ls_saver_destroy(&saver);
  }
  contents_destroy(&t);
  settle();
}

/* A failure is reported once, names its file, and cancels the following files; the next save works. */
static void test_saver_fails(void **state) {
  (void)state;
  contents t;
  ls_saver *saver = NULL;
  contents_create(&t, usual, INPUTS, N_SUMS);
  if (rank == 0) {
    empty_folder();
    char absent[300];
    snprintf(absent, sizeof absent, "%s", in_folder("absent/best.h5"));
    EXPECT(ls_saver_create(t.model, t.optim, N_SUMS, &saver) == LS_OK);
    contents_fill(&t, 1);
    const ls_snapshot snapshot = snapshot_of(&t);
    ls_saver_submit(saver, &snapshot, &(ls_save){.best = absent, .folder = folder, .keep = 1});
    EXPECT(ls_saver_wait(saver) == LS_ERR_OUTPUT);
    EXPECT_PART(ls_message(), "absent/best.h5");
    EXPECT(ls_saver_wait(saver) == LS_OK && !is_there("step-00000101.h5"));
    ls_saver_submit(saver, &snapshot, &(ls_save){.best = absent, .folder = folder, .keep = 1});
    ls_saver_submit(saver, &snapshot, &(ls_save){.folder = folder, .keep = 1});
    (void)ls_saver_slots(saver); /* waits */
    EXPECT(ls_saver_has_failed(saver) && is_there("step-00000101.h5"));
    EXPECT(ls_saver_wait(saver) == LS_ERR_OUTPUT && !ls_saver_has_failed(saver));
    ls_saver_destroy(&saver);
  }
  contents_destroy(&t);
  settle();
}

int main(int argc, char **argv) {
  begin(&argc, &argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_model_file),
      cmocka_unit_test(test_targets),     cmocka_unit_test(test_wrong_shapes),
      cmocka_unit_test(test_find),        cmocka_unit_test(test_find_among_others),
      cmocka_unit_test(test_prune),       cmocka_unit_test(test_saver),
      cmocka_unit_test(test_saver_slots), cmocka_unit_test(test_saver_fails),
  };
  return finish(cmocka_run_group_tests(tests, make_folder, remove_folder));
}
