/* Whether the files of a run directory belong together. */
#include "internal.h"

/* The progress in best.h5; zeros if the file is absent or damaged. */
static ls_status read_best(const ls_rundir *dir, ls_progress *best) {
  ls_modelfile *file = NULL;
  ls_status status = ls_modelfile_try_open(dir->best, &file);
  *best = (ls_progress){0};
  if (status == LS_OK && file && file->is_checkpoint) status = ls_checkpoint_read_progress(file, best);
  ls_modelfile_close(&file);
  return status;
}

/* Compares best.h5 and metrics.csv with the progress of a checkpoint. A run that was killed between best.h5
 * and the checkpoint that belongs to it has a later best epoch. */
static ls_status compare_files(const ls_rundir *dir, const ls_progress *p, bool *is_intact) {
  ls_progress best = {0};
  uint64_t rows = 0;
  if (p->best_epoch > 0) LS_TRY(read_best(dir, &best));
  LS_TRY(ls_rundir_count_rows(dir->metrics, &rows));
  *is_intact = rows >= p->epoch && best.best_epoch >= p->best_epoch;
  return LS_OK;
}

/* Checks a directory with checkpoints. */
static ls_status check_dir(const ls_rundir *dir, bool *is_intact) {
  ls_modelfile *saved = NULL;
  ls_progress progress = {0};
  ls_status status = ls_checkpoint_try_find(dir->checkpoints, &saved);
  *is_intact = saved != NULL;
  if (status == LS_OK && saved) status = ls_checkpoint_read_progress(saved, &progress);
  if (status == LS_OK && saved) status = compare_files(dir, &progress, is_intact);
  ls_modelfile_close(&saved);
  return status;
}

ls_status ls_train_check_intact(const char *output, bool *is_intact) {
  ls_rundir dir;
  uint64_t step = 0;
  bool found = false;
  *is_intact = true;
  ls_status status = ls_rundir_create(&dir, output);
  if (status == LS_OK) status = ls_checkpoint_newest(dir.checkpoints, &step, &found);
  if (status == LS_OK && found) status = check_dir(&dir, is_intact);
  ls_rundir_destroy(&dir);
  return status;
}
