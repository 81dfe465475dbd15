/* The cache of data files on the disks of the nodes, data.cache. Its failures are warnings. */
#include "internal.h"

void job_open_cache(ls_comm *comm, ls_setup *setup) {
  const ls_data_config *const data = &setup->job->data;
  if (!data->cache) return;
  const bool failed = ls_cache_create(data->cache, data->cache_bytes, &setup->cache) != LS_OK;
  uint64_t n_failed = failed;
  ls_comm_sum_u64(comm, &n_failed, 1);
  if (n_failed > 0)
    ls_log(LS_LOG_WARNING, "data.cache: %s: %llu of %d ranks cannot use it%s%s; they read the data files",
           data->cache, (unsigned long long)n_failed, ls_comm_size(comm), failed ? ": " : "",
           failed ? ls_message() : "");
}

void ls_setup_report_cache(ls_comm *comm, ls_setup *setup) {
  const char *const folder = setup->job->data.cache;
  if (!folder) return;
  const ls_cache_counts own = setup->cache ? ls_cache_count(setup->cache) : (ls_cache_counts){0};
  uint64_t sums[] = {own.n_found, own.n_added, own.n_damaged, own.n_failed, own.is_full};
  ls_comm_sum_u64(comm, sums, 5);
  ls_log_note("data.cache: %llu parts read, %llu added, %llu damaged", (unsigned long long)sums[0],
              (unsigned long long)sums[1], (unsigned long long)sums[2]);
  if (setup->has_warned || sums[2] + sums[4] == 0) return;
  setup->has_warned = true;
  if (sums[2] > 0)
    ls_log(LS_LOG_WARNING, "data.cache: %s: %llu damaged parts were read again from the data files", folder,
           (unsigned long long)sums[2]);
  if (sums[3] > 0)
    ls_log(LS_LOG_WARNING, "data.cache: %s: cannot be written, the disk may be full; nothing more is added",
           folder);
  else if (sums[4] > 0)
    ls_log(
        LS_LOG_WARNING,
        "data.cache: %s: is full; what it lacks is read from the data files; remove what other runs left "
        "in it, or increase data.cache_size",
        folder);
}
