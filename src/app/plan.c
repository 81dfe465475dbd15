/* lockstep plan: the predicted cost of a run, as a table or as JSON. */
#include "lockstep/plan.h"

#include "internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------- options */

static const app_unit rates[] = {{"Gb/s", 1e9 / 8},   {"Gbit/s", 1e9 / 8}, {"Mb/s", 1e6 / 8},
                                 {"Mbit/s", 1e6 / 8}, {"GB/s", 1e9},       {"MB/s", 1e6},
                                 {NULL, 0.0}};
static const app_unit times[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}, {"ns", 1e-9}, {NULL, 0.0}};

static ls_status read_cluster(const ls_comm *comm, const arguments *a, ls_plan_cluster *c) {
  const uint64_t most = LS_PLAN_RANKS_MOST;
  const uint64_t nodes = (uint64_t)ls_comm_size(comm) / (uint64_t)ls_comm_node_size(comm);
  c->nodes = nodes;
  c->ranks_per_node = (uint64_t)ls_comm_node_size(comm);
  LS_TRY(app_read_count(a, "nodes", 1, most, &c->nodes));
  LS_TRY(app_read_count(a, "ranks-per-node", 1, most, &c->ranks_per_node));
  LS_TRY(app_read_quantity(a, "bandwidth", rates, "25Gb/s", &c->bandwidth));
  LS_TRY(app_read_quantity(a, "latency", times, "2us", &c->latency));
  LS_TRY(app_read_quantity(a, "memory-bandwidth", rates, "25Gb/s", &c->memory_bandwidth));
  LS_TRY(app_read_quantity(a, "disk-bandwidth", rates, "2GB/s", &c->disk_bandwidth));
  const unsigned long long ranks = c->nodes * c->ranks_per_node;
  if (ranks > most)
    return ls_fail(LS_ERR_CONFIG, "--nodes %llu --ranks-per-node %llu: %llu ranks; must be at most %d",
                   (unsigned long long)c->nodes, (unsigned long long)c->ranks_per_node, ranks,
                   LS_PLAN_RANKS_MOST);
  if (c->nodes > 1 && nodes == 1 && (c->bandwidth <= 0.0 || c->latency <= 0.0))
    return ls_fail(LS_ERR_CONFIG,
                   "--nodes %llu: requires --bandwidth and --latency of the network, such as --bandwidth "
                   "25Gb/s --latency 2us",
                   (unsigned long long)c->nodes);
  return LS_OK;
}

/* -------------------------------------------------------------------- the table */

typedef struct plan {
  ls_plan_cluster cluster;
  ls_plan_work work;
  ls_plan_costs costs;
  size_t n;
  ls_plan_row rows[LS_PLAN_ROWS_MOST];
  size_t last_useful;
} plan;

/* "1.23 ms", "45 s", "3.2 h" */
static const char *time_text(double seconds, char text[24]) {
  static const app_unit scales[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}, {"min", 60.0}, {"h", 3600.0}};
  size_t i = 0;
  while (i < 4 && seconds >= (i < 2 ? 999.5 * scales[i].factor : scales[i + 1].factor)) i++;
  snprintf(text, 24, "%.3g %s", seconds / scales[i].factor, scales[i].name);
  return text;
}

static const char *plural(uint64_t n) {
  return n == 1 ? "" : "s";
}

static void print_measured(const ls_plan_costs *c) {
  const size_t last = c->n_points - 1;
  char first[24];
  char all[24];
  char update[24];
  printf(
      "measured in %.1f s, %d rank%s x %d thread%s:\n  forward and backward pass: %s for %zu row%s, %s for "
      "%zu row%s; update: %s per million parameters;\n  memory of a rank: sum %.1f GB/s, copy %.1f GB/s\n",
      c->elapsed, c->ranks, plural((uint64_t)c->ranks), c->threads, plural((uint64_t)c->threads),
      time_text(c->seconds[0], first), c->rows[0], plural(c->rows[0]), time_text(c->seconds[last], all),
      c->rows[last], plural(c->rows[last]), time_text((c->update + c->square) * 1e6, update), 1e-9 / c->sum,
      1e-9 / c->copy);
  if (c->nodes > 1)
    printf("measured between %d nodes: links of %.4g Gbit/s, latency %s\n", c->nodes, c->bandwidth * 8e-9,
           time_text(c->latency, update));
}

static void print_assumptions(const plan *p) {
  const ls_plan_cluster *const c = &p->cluster;
  char latency[24];
  if (c->nodes > 1)
    printf("assumed: links of %.4g Gbit/s, of which %.0f %% carry data, latency %s; nodes like this one\n",
           c->bandwidth * 8e-9, LS_PLAN_LINK_SHARE * 100.0, time_text(c->latency, latency));
  if (c->ranks_per_node > (uint64_t)p->costs.ranks && c->memory_bandwidth <= 0.0)
    printf("assumed: %llu ranks of a node run as fast as the %d measured; to measure them, use mpirun -n "
           "%llu,\n  or give --memory-bandwidth\n",
           (unsigned long long)c->ranks_per_node, p->costs.ranks, (unsigned long long)c->ranks_per_node);
}

/* Bytes of the streamed samples of a step. */
static double step_bytes(const ls_plan_work *w) {
  return (double)w->accumulate * (double)w->batch_size * w->sample_bytes;
}

/* Whether reading or computing limits the speed, and from which cluster on that changes. */
static void print_reading(const plan *p) {
  const ls_plan_work *const w = &p->work;
  size_t n_read = 0; /* clusters whose speed is limited by reading */
  if (w->sample_bytes <= 0.0) return;
  for (size_t i = 0; i < p->n; i++) n_read += ls_plan_is_limited_by_reading(&p->rows[i]);
  printf("\nstream: %.4g MB of samples per step; a node reads %.4g MB/s; windows: %.1f MB on all nodes%s\n",
         step_bytes(w) * 1e-6, p->cluster.disk_bandwidth * 1e-6, w->window_bytes * 1e-6,
         w->partner_bytes > 0.0 ? ", on several nodes twice as much for mixup" : "");
  if (n_read == 0)
    printf("computing limits the speed of all clusters, not reading\n");
  else
    printf(
        "reading limits the speed of %zu of %zu clusters (marked disk): faster disks would help, computing "
        "would not\n",
        n_read, p->n);
}

static void print_row(const ls_plan_row *r) {
  char compute[24];
  char reduce[24];
  char update[24];
  char step[24];
  char run[24];
  printf("%5llu %5llu %6zu %9s %9s %9s %9s %10.4g %6.1f %% %9s %8.4g %8.4g  %s%s\n",
         (unsigned long long)r->nodes, (unsigned long long)r->ranks, r->rows,
         time_text(r->compute, compute), time_text(r->reduce, reduce), time_text(r->update, update),
         time_text(r->step, step), r->samples_per_second, 100.0 * r->efficiency,
         time_text(r->run_seconds, run), r->rank_bytes * 1e-6, r->node_bytes * 1e-6,
         r->ranks == 1 ? "" : ls_plan_mode_names[r->mode], ls_plan_is_limited_by_reading(r) ? " disk" : "");
}

static void print_verdict(const plan *p) {
  const ls_plan_row *const r = &p->rows[p->last_useful];
  const ls_plan_row *const next = r + 1;
  const unsigned long long batch = p->work.batch_size;
  if (p->last_useful + 1 == p->n) {
    printf("\nall clusters help: the last doubling still adds more than a tenth\n");
    return;
  }
  printf(
      "\nmore than %llu node%s of %llu rank%s do not help: %llu ranks have only %.3g times the samples/s",
      (unsigned long long)r->nodes, plural(r->nodes), (unsigned long long)r->ranks_per_node,
      plural(r->ranks_per_node), (unsigned long long)next->ranks,
      next->samples_per_second / r->samples_per_second);
  if (next->ranks > batch)
    printf(", since some have no row of a batch of %llu\n", batch);
  else if (ls_plan_is_limited_by_reading(next))
    printf(", since reading limits them\n");
  else
    printf(", with %zu row%s each and %.0f %% of the step in reductions\n", next->rows, plural(next->rows),
           100.0 * next->reduce / next->step);
}

#define SHARE_LEAST 0.8

static void print_plan(const arguments *a, const plan *p) {
  const ls_plan_work *const w = &p->work;
  printf("plan: %s: %zu parameters, %llu steps of %llu samples%s\n", a->positional[0], w->n_params,
         (unsigned long long)w->steps, (unsigned long long)(w->accumulate * w->batch_size),
         w->is_half ? ", bfloat16 gradients between nodes" : "");
  print_measured(&p->costs);
  print_assumptions(p);
  if (p->costs.share < SHARE_LEAST)
    ls_log(
        LS_LOG_WARNING,
        "rank 0 had a processor for only %.0f %% of the measurement: other processes, or more ranks than "
        "cores, make compute and update appear slow",
        100.0 * p->costs.share);
  printf("\n%5s %5s %6s %9s %9s %9s %9s %10s %8s %9s %8s %8s  %s\n", "nodes", "ranks", "rows", "compute",
         "reduce", "update", "step", "samples/s", "effic.", "run", "MB/rank", "MB/node", "mode");
  for (size_t i = 0; i < p->n; i++) print_row(&p->rows[i]);
  print_reading(p);
  print_verdict(p);
}

/* ------------------------------------------------------------------------- JSON */

static void print_json_row(const ls_plan_row *r) {
  app_json_open(NULL, '{');
  app_json_text("mode", ls_plan_mode_names[r->mode]);
  APP_JSON_COUNTS({"nodes", (double)r->nodes}, {"ranks_per_node", (double)r->ranks_per_node},
                  {"ranks", (double)r->ranks}, {"rows", (double)r->rows});
  APP_JSON_NUMBERS(
      {"compute_seconds", r->compute}, {"reduce_seconds", r->reduce}, {"update_seconds", r->update},
      {"read_seconds", r->read}, {"step_seconds", r->step}, {"samples_per_second", r->samples_per_second},
      {"efficiency", r->efficiency}, {"run_seconds", r->run_seconds}, {"model_bytes", r->model_bytes},
      {"optimizer_bytes", r->optimizer_bytes}, {"buffer_bytes", r->buffer_bytes},
      {"save_bytes", r->save_bytes}, {"rank_bytes", r->rank_bytes}, {"node_bytes", r->node_bytes});
  app_json_close('}');
}

static void print_json_measured(const ls_plan_costs *c) {
  app_json_open("measured", '{');
  APP_JSON_COUNTS({"nodes", c->nodes}, {"ranks", c->ranks}, {"threads", c->threads});
  APP_JSON_NUMBERS({"processor_share", c->share}, {"seconds", c->elapsed});
  app_json_open("passes", '[');
  for (size_t i = 0; i < c->n_points; i++) {
    app_json_open(NULL, '{');
    APP_JSON_COUNTS({"rows", (double)c->rows[i]});
    APP_JSON_NUMBERS({"seconds", c->seconds[i]});
    app_json_close('}');
  }
  app_json_close(']');
  APP_JSON_NUMBERS({"update_seconds_a_parameter", c->update + c->square},
                   {"sum_bytes_per_second", 1.0 / c->sum}, {"copy_bytes_per_second", 1.0 / c->copy},
                   {"private_bytes", c->private_bytes}, {"shared_bytes", c->shared_bytes});
  app_json_close('}');
}

static void print_json(const arguments *a, const plan *p) {
  (void)a;
  const ls_plan_row *const useful = &p->rows[p->last_useful];
  app_json_open(NULL, '{');
  APP_JSON_COUNTS({"parameters", (double)p->work.n_params}, {"batch_size", (double)p->work.batch_size},
                  {"accumulate", (double)p->work.accumulate}, {"steps", (double)p->work.steps});
  APP_JSON_NUMBERS({"data_bytes", p->work.data_bytes}, {"window_bytes", p->work.window_bytes},
                   {"partner_bytes", p->work.partner_bytes}, {"reader_bytes", p->work.reader_bytes},
                   {"step_bytes", step_bytes(&p->work)}, {"bandwidth", p->cluster.bandwidth},
                   {"latency_seconds", p->cluster.latency},
                   {"disk_bytes_per_second", p->cluster.disk_bandwidth});
  print_json_measured(&p->costs);
  app_json_open("useful", '{');
  APP_JSON_COUNTS({"nodes", (double)useful->nodes}, {"ranks", (double)useful->ranks});
  app_json_close('}');
  app_json_open("clusters", '[');
  for (size_t i = 0; i < p->n; i++) print_json_row(&p->rows[i]);
  app_json_close(']');
  app_json_close('}');
  printf("\n");
}

/* ------------------------------------------------------------------ the command */

/* Threads per rank on the planned node: its share of the cores, unless the config sets them. */
static uint64_t threads_of(const ls_comm *comm, const ls_job *job, const ls_plan_cluster *c) {
  const size_t own = (size_t)ls_comm_threads(comm);
  const size_t all = own * (size_t)ls_comm_node_size(comm);
  if (job->sync.threads) return job->sync.threads;
  return ls_size_max(ls_size_min(all / c->ranks_per_node, own), 1);
}

/* Collective. */
static ls_status measure(ls_comm *comm, ls_job *job, plan *p) {
  ls_setup *setup = NULL;
  job->sync.threads = threads_of(comm, job, &p->cluster);
  job->is_estimate = true;
  ls_status status = ls_setup_create(comm, job, NULL, &setup);
  if (status == LS_OK) status = ls_plan_measure(comm, setup, &p->costs);
  if (status == LS_OK) status = ls_comm_agree(comm, ls_plan_work_of(comm, setup, &p->work));
  if (p->cluster.bandwidth <= 0.0) p->cluster.bandwidth = p->costs.bandwidth;
  if (p->cluster.latency <= 0.0) p->cluster.latency = p->costs.latency;
  if (p->cluster.disk_bandwidth <= 0.0) p->cluster.disk_bandwidth = p->costs.disk;
  if (status == LS_OK) p->n = ls_plan_table(&p->work, &p->costs, &p->cluster, p->rows);
  if (status == LS_OK) p->last_useful = ls_plan_last_useful(p->rows, p->n);
  p->work.segments = NULL; /* owned by the model, which is destroyed here */
  ls_setup_destroy(comm, &setup);
  return status;
}

static ls_status check_ranks(const ls_comm *comm) {
  if (ls_comm_size(comm) == ls_comm_node_size(comm) || ls_comm_node_size(comm) == 1) return LS_OK;
  return ls_fail(
      LS_ERR_CONFIG,
      "%d ranks, of which %d on this node: cannot measure; start lockstep plan with ranks on one "
      "node only, or with one rank on each of several nodes",
      ls_comm_size(comm), ls_comm_node_size(comm));
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const ls_job_source source = app_job_source(a);
  plan p = {0};
  ls_job *job = NULL;
  ls_plan_resident(&p.costs.private_bytes, &p.costs.shared_bytes);
  ls_status status = read_cluster(comm, a, &p.cluster);
  if (status == LS_OK) status = check_ranks(comm);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = ls_job_create(comm, &source, &job);
  if (status == LS_OK && job) status = measure(comm, job, &p);
  if (status == LS_OK && app_is_root(comm)) (app_option(a, "json") ? print_json : print_plan)(a, &p);
  ls_job_destroy(&job);
  return status;
}

const command app_plan = {
    .name = "plan",
    .operands = "CONFIG.yaml",
    .help = "predict time and memory of a run on a cluster, and where more ranks stop helping",
    .details =
        "Measures passes, the update and the node's memory for a few seconds. From these and the network,\n"
        "predicts the time of a step with 1, 2, 4 ... ranks on a node, then with 2, 4 ... nodes. Under\n"
        "mpirun with all ranks of a node, the measurement includes how much they slow each other down.\n"
        "With one rank on each of several nodes, it includes the network, which then need not be given.\n"
        "If the samples are streamed, it includes the rate at which the ranks read the files, and a step "
        "takes\n"
        "at least the time to read its samples.\n"
        "Rates: Gb/s (or Gbit/s), Mb/s, GB/s, MB/s; times: ns, us, ms, s. At most 10,000 ranks.",
    .options = {OPTION_SET,
                {"nodes", 0, "N", "largest number of nodes (1)"},
                {"ranks-per-node", 0, "N", "ranks of a node (those of this command)"},
                {"bandwidth", 0, "RATE", "rate of a node's link, each way, such as 25Gb/s"},
                {"latency", 0, "TIME", "time of a small message between nodes, one way, such as 2us"},
                {"memory-bandwidth", 0, "RATE",
                 "rate of a node's memory, such as 200GB/s (the measured rate of a rank times its ranks)"},
                {"disk-bandwidth", 0, "RATE",
                 "rate at which a node reads streamed samples, such as 2GB/s (the rate measured here)"},
                {"json", 0, NULL, "output as one JSON object"}},
    .run = run};
