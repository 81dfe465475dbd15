/* What a sweep's directory says about the sweep: sweep.yaml and base.yaml, both with all defaults. */
#include "internal.h"
#include "lockstep/store.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Keys of which other values would give other trials. The last two only with search: halving; otherwise
 * more trials continue the sequence. */
static const char *const sweep_keys[][2] = {{"parameters", NULL}, {"search", NULL},  {"seed", NULL},
                                            {"monitor", NULL},    {"halving", NULL}, {"trials", NULL}};
static const char *const base_keys[][2] = {{"seed", NULL},
                                           {"loss", NULL},
                                           {"metrics", NULL},
                                           {"model", NULL},
                                           {"optimizer", NULL},
                                           {"schedule", NULL},
                                           {"penalty", NULL},
                                           {"train", "epochs"},
                                           {"train", "batch_size"},
                                           {"train", "accumulate"},
                                           {"train", "max_steps"},
                                           {"train", "ema"},
                                           {"train", "monitor"},
                                           {"train", "early_stopping"},
                                           {"train", "clip_grad_norm"},
                                           {"train", "clip_grad_value"},
                                           {"train", "reproducible"},
                                           {"train", "lanes"},
                                           {"train", "on_nan"},
                                           {"train", "max_skipped"},
                                           {"train", "class_weight"},
                                           {"data", "train"},
                                           {"data", "validation"},
                                           {"data", "x"},
                                           {"data", "y"},
                                           {"data", "layout"},
                                           {"data", "shape"},
                                           {"data", "normalize"},
                                           {"data", "standardize_targets"},
                                           {"data", "shuffle"},
                                           {"data", "window"},
                                           {"data", "augment"},
                                           {"comm", "gradient_type"}};

static const ls_node *find(ls_config *config, const char *const key[2]) {
  const ls_node *const node = ls_node_find(ls_config_root(config), key[0]);
  return node && key[1] ? ls_node_find(node, key[1]) : node;
}

/* Compares a config with the saved one, if there is one. */
static ls_status compare(ls_config *now, const char *path, const char *const keys[][2], size_t n) {
  char *text = NULL;
  ls_config *then = NULL;
  char difference[300];
  if (!ls_rundir_exists(path)) return LS_OK;
  ls_status status = ls_config_load(path, &text);
  if (status == LS_OK) status = ls_config_create(text, path, &then);
  for (size_t i = 0; status == LS_OK && i < n; i++)
    if (ls_node_differ(find(now, keys[i]), find(then, keys[i]), difference, sizeof difference))
      status = ls_fail(LS_ERR_CONFIG,
                       "%s: cannot resume with this sweep: %s as in the directory; restore the value, or "
                       "start a new sweep with a different output or --overwrite",
                       path, difference);
  ls_config_destroy(&then);
  free(text);
  return status;
}

static ls_status write_config(const ls_config *config, const char *path) {
  ls_text_file file;
  char *text = NULL;
  LS_TRY(ls_config_print(config, &text));
  const ls_status status = ls_text_begin(&file, path);
  if (status == LS_OK) fputs(text, file.stream);
  free(text);
  return ls_text_end(&file, status);
}

/* Compares with the saved configs, and then replaces them. */
static ls_status save_config(const sweep_plan *plan, const ls_job *base, const char *folder, bool writes) {
  char *const sweep_path = ls_format("%s/sweep.yaml", folder);
  char *const base_path = ls_format("%s/base.yaml", folder);
  const size_t n = sizeof sweep_keys / sizeof sweep_keys[0] - (plan->search == SWEEP_HALVING ? 0 : 2);
  ls_status status = sweep_path && base_path ? LS_OK : ls_fail_memory("a path", strlen(folder));
  if (status == LS_OK) status = compare(plan->config, sweep_path, sweep_keys, n);
  if (status == LS_OK)
    status = compare(base->config, base_path, base_keys, sizeof base_keys / sizeof base_keys[0]);
  if (status == LS_OK && writes) status = write_config(base->config, base_path);
  if (status == LS_OK && writes) status = write_config(plan->config, sweep_path);
  free(sweep_path);
  free(base_path);
  return status;
}

ls_status sweep_check_config(const sweep_plan *plan, const ls_job *base, const char *folder) {
  return save_config(plan, base, folder, false);
}

ls_status sweep_save_config(const sweep_plan *plan, const ls_job *base, const char *folder) {
  return save_config(plan, base, folder, true);
}

/* ------------------------------------------------------------------------- removal */

ls_status sweep_remove_trial(const char *path) {
  ls_rundir dir;
  ls_status status = ls_rundir_create(&dir, path);
  if (status == LS_OK) status = ls_rundir_lock(&dir);
  if (status == LS_OK) status = ls_rundir_remove_run(&dir);
  if (status == LS_OK) {
    unlink(dir.config);
    rmdir(dir.checkpoints);
  }
  ls_rundir_destroy(&dir);
  rmdir(path);
  return status;
}

static ls_status fail_path(const char *path) {
  return ls_fail(LS_ERR_OUTPUT, "%s: %s", path, strerror(errno));
}

/* Removes the trials of a part, or all. */
static ls_status remove_trials(const char *path, uint64_t part, uint64_t n_parts) {
  DIR *const folder = opendir(path);
  ls_status status = LS_OK;
  uint64_t trial = 0;
  if (!folder) return errno == ENOENT ? LS_OK : fail_path(path);
  errno = 0;
  for (const struct dirent *entry = readdir(folder); entry && status == LS_OK; entry = readdir(folder)) {
    if (!ls_config_parse_count(entry->d_name, &trial) || trial % n_parts != part) continue;
    char *const item = ls_format("%s/%s", path, entry->d_name);
    status = item ? sweep_remove_trial(item) : ls_fail_memory("a path", strlen(path));
    free(item);
    ls_heartbeat();
    errno = 0; /* only readdir's failures count */
  }
  if (status == LS_OK && errno != 0) status = fail_path(path);
  closedir(folder);
  rmdir(path);
  return status;
}

/* Removes the files of a sweep or of a part of it. */
static ls_status remove_files(const char *folder) {
  static const char *const names[] = {"trials.csv", "best.yaml", "best.h5", "sweep.yaml", "base.yaml"};
  ls_status status = LS_OK;
  for (size_t i = 0; i < sizeof names / sizeof names[0] && status == LS_OK; i++) {
    char *const path = ls_format("%s/%s", folder, names[i]);
    status = path ? ls_store_remove(path) : ls_fail_memory("a path", strlen(folder));
    free(path);
  }
  return status;
}

/* Whether the folder of a part is one of n_parts. */
static bool is_part_of(const char *path, uint64_t n_parts) {
  const char *const name = strrchr(path, '/');
  const char *const of = name ? strstr(name, "-of-") : NULL;
  uint64_t n = 0;
  return of && ls_config_parse_count(of + 4, &n) && n == n_parts;
}

/* Removes the tables of the parts; not of those of n_parts, if there are several. */
static ls_status remove_parts(const char *folder, uint64_t n_parts) {
  glob_t found = {0};
  char *const pattern = ls_format("%s/parts/*", folder);
  if (!pattern) return ls_fail_memory("a path", strlen(folder));
  ls_status status = LS_OK;
  if (glob(pattern, 0, NULL, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc && status == LS_OK; i++) {
      if (n_parts > 1 && is_part_of(found.gl_pathv[i], n_parts)) continue;
      status = remove_files(found.gl_pathv[i]);
      rmdir(found.gl_pathv[i]);
    }
  globfree(&found);
  free(pattern);
  return status;
}

ls_status sweep_remove(const char *folder, const char *own, uint64_t part, uint64_t n_parts) {
  char *const trials = ls_format("%s/trials", folder);
  ls_status status = trials ? remove_files(folder) : ls_fail_memory("a path", strlen(folder));
  if (status == LS_OK && n_parts > 1) status = remove_files(own);
  if (status == LS_OK) status = remove_parts(folder, n_parts);
  if (status == LS_OK) status = remove_trials(trials, part, n_parts);
  free(trials);
  return status;
}
