/* lockstep plan: what a run will cost, as a table. */
#include "lockstep/plan.h"

#include "command.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------- the options */

typedef struct unit {
  const char *name;
  double factor;
} unit;

static const unit rates[] = {{"Gb/s", 1e9 / 8}, {"Gbit/s", 1e9 / 8}, {"Mb/s", 1e6 / 8}, {"Mbit/s", 1e6 / 8},
                             {"GB/s", 1e9},     {"MB/s", 1e6},       {NULL, 0.0}};
static const unit times[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}, {"ns", 1e-9}, {NULL, 0.0}};

static ls_status fail_quantity(const char *name, const char *text, const unit *units) {
  char known[128] = "";
  for (const unit *u = units; u->name; u++)
    ls_append(known, sizeof known, "%s%s", u == units ? "" : ", ", u->name);
  return ls_fail(LS_ERR_CONFIG,
                 "--%s %s: a number above 0 with its unit is expected, such as %s (units: %s)", name, text,
                 units == rates ? "25Gb/s" : "2us", known);
}

/* The number and unit of an option; 0 where it was not given. */
static ls_status quantity_of(const arguments *a, const char *name, const unit *units, double *out) {
  const char *const text = argument_of(&command_plan, a, name);
  char *end = NULL;
  *out = 0.0;
  if (!text) return LS_OK;
  const double value = strtod(text, &end);
  while (isspace((unsigned char)*end)) end++;
  for (const unit *u = units; u->name && end != text; u++)
    if (strcmp(end, u->name) == 0) *out = value * u->factor;
  return *out > 0.0 && *out < 1e15 ? LS_OK : fail_quantity(name, text, units);
}

static ls_status cluster_of(const ls_comm *comm, const arguments *a, ls_plan_cluster *c) {
  const command *const plan = &command_plan;
  const uint64_t most = LS_PLAN_RANKS_MOST;
  const uint64_t here = (uint64_t)ls_comm_node_size(comm);
  const uint64_t nodes = (uint64_t)ls_comm_size(comm) / here;
  ls_status status = read_count("nodes", argument_of(plan, a, "nodes"), nodes, most, &c->nodes);
  if (status == LS_OK)
    status = read_count("ranks-per-node", argument_of(plan, a, "ranks-per-node"), here, most,
                        &c->ranks_per_node);
  if (status == LS_OK) status = quantity_of(a, "bandwidth", rates, &c->bandwidth);
  if (status == LS_OK) status = quantity_of(a, "latency", times, &c->latency);
  if (status == LS_OK) status = quantity_of(a, "memory-bandwidth", rates, &c->memory_bandwidth);
  if (status != LS_OK) return status;
  if (c->nodes * c->ranks_per_node > most)
    return ls_fail(LS_ERR_CONFIG,
                   "--nodes %llu --ranks-per-node %llu: %llu ranks; at most %d can be planned",
                   (unsigned long long)c->nodes, (unsigned long long)c->ranks_per_node,
                   (unsigned long long)(c->nodes * c->ranks_per_node), LS_PLAN_RANKS_MOST);
  if (c->nodes > 1 && nodes == 1 && (c->bandwidth <= 0.0 || c->latency <= 0.0))
    return ls_fail(LS_ERR_CONFIG,
                   "--nodes %llu needs --bandwidth and --latency of the links between them, "
                   "such as --bandwidth 25Gb/s --latency 2us",
                   (unsigned long long)c->nodes);
  return LS_OK;
}

/* ---------------------------------------------------------------------- the table */

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
  static const unit scales[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}, {"min", 60.0}, {"h", 3600.0}};
  size_t i = 0;
  while (i < 4 && seconds >= (i < 2 ? 1000.0 * scales[i].factor : scales[i + 1].factor)) i++;
  snprintf(text, 24, "%.3g %s", seconds / scales[i].factor, scales[i].name);
  return text;
}

static void print_measured(const ls_plan_costs *c) {
  const size_t last = c->n_points - 1;
  char first[24];
  char all[24];
  char update[24];
  printf("measured here in %.1f s, %d rank%s x %d thread%s:\n  a pass over %zu row%s takes %s, over %zu "
         "%s; the "
         "update %s a million parameters;\n  memory adds up %.1f and copies %.1f GB/s a rank\n",
         c->elapsed, c->ranks, c->ranks == 1 ? "" : "s at once", c->threads, c->threads == 1 ? "" : "s",
         c->rows[0], c->rows[0] == 1 ? "" : "s", time_text(c->seconds[0], first), c->rows[last],
         time_text(c->seconds[last], all), time_text((c->update + c->square) * 1e6, update), 1e-9 / c->sum,
         1e-9 / c->copy);
  if (c->nodes > 1)
    printf("measured between %d nodes: sums as over links of %.4g Gbit/s and %s a message\n", c->nodes,
           c->bandwidth * 8e-9, time_text(c->latency, update));
}

static void print_assumptions(const plan *p) {
  const ls_plan_cluster *const c = &p->cluster;
  char latency[24];
  if (c->nodes > 1)
    printf("assumed: links of %.4g Gbit/s, of which %.0f %% carry data, and %s a message; nodes like this "
           "one\n",
           c->bandwidth * 8e-9, LS_PLAN_LINK_SHARE * 100.0, time_text(c->latency, latency));
  if (c->ranks_per_node > (uint64_t)p->costs.ranks && c->memory_bandwidth <= 0.0)
    printf(
        "assumed: %llu ranks of a node slow each other down no more than the %d measured here:\n  measure "
        "with mpirun -n %llu, or give --memory-bandwidth\n",
        (unsigned long long)c->ranks_per_node, p->costs.ranks, (unsigned long long)c->ranks_per_node);
}

static void print_row(const ls_plan_row *r) {
  char compute[24];
  char reduce[24];
  char update[24];
  char step[24];
  char run[24];
  printf("%5llu %5llu %6zu %9s %9s %9s %9s %10.4g %6.1f %% %9s %8.4g %8.4g  %s\n",
         (unsigned long long)r->nodes, (unsigned long long)r->ranks, r->rows,
         time_text(r->compute, compute), time_text(r->reduce, reduce), time_text(r->update, update),
         time_text(r->step, step), r->samples_per_second, 100.0 * r->efficiency,
         time_text(r->run_seconds, run), r->rank_bytes * 1e-6, r->node_bytes * 1e-6,
         r->ranks == 1 ? "" : ls_plan_mode_names[r->mode]);
}

static void print_verdict(const plan *p) {
  const ls_plan_row *const r = &p->rows[p->last_useful];
  const ls_plan_row *const next = r + 1;
  const unsigned long long batch = p->work.batch_size;
  if (p->last_useful + 1 == p->n) {
    printf("\nall of them help: the last doubling still brings more than a tenth\n");
    return;
  }
  printf("\nmore than %llu node%s of %llu rank%s %s not help: %llu ranks make %.3g times the samples/s",
         (unsigned long long)r->nodes, r->nodes == 1 ? "" : "s", (unsigned long long)r->ranks_per_node,
         r->ranks_per_node == 1 ? "" : "s", r->nodes == 1 ? "does" : "do", (unsigned long long)next->ranks,
         next->samples_per_second / r->samples_per_second);
  if (next->ranks > batch)
    printf(", as some have no row of a batch of %llu\n", batch);
  else
    printf(", with %zu row%s each and %.0f %% of the step in reductions\n", next->rows,
           next->rows == 1 ? "" : "s", 100.0 * next->reduce / next->step);
}

#define SHARE_LEAST 0.8

static void print_plan(const arguments *a, const plan *p) {
  const ls_plan_work *const w = &p->work;
  printf("plan: %s: %zu parameters, %llu steps of %llu samples%s\n", a->positional[0], w->n_params,
         (unsigned long long)w->steps, (unsigned long long)(w->accumulate * w->batch_size),
         w->is_half ? ", gradients cross nodes as bfloat16" : "");
  print_measured(&p->costs);
  print_assumptions(p);
  if (p->costs.share < SHARE_LEAST)
    ls_log(
        LS_LOG_WARNING,
        "rank 0 had a processor for only %.0f %% of the time that was measured: other work, or more ranks "
        "than cores, make compute and update look slow",
        100.0 * p->costs.share);
  printf("\n%5s %5s %6s %9s %9s %9s %9s %10s %8s %9s %8s %8s  %s\n", "nodes", "ranks", "rows", "compute",
         "reduce", "update", "step", "samples/s", "effic.", "run", "MB/rank", "MB/node", "mode");
  for (size_t i = 0; i < p->n; i++) print_row(&p->rows[i]);
  print_verdict(p);
}

/* ------------------------------------------------------------------- the same as JSON */

static void print_json_row(const ls_plan_row *r) {
  const struct {
    const char *name;
    double value;
  } values[] = {{"nodes", (double)r->nodes},
                {"ranks_per_node", (double)r->ranks_per_node},
                {"ranks", (double)r->ranks},
                {"rows", (double)r->rows},
                {"compute_seconds", r->compute},
                {"reduce_seconds", r->reduce},
                {"update_seconds", r->update},
                {"step_seconds", r->step},
                {"samples_per_second", r->samples_per_second},
                {"efficiency", r->efficiency},
                {"run_seconds", r->run_seconds},
                {"model_bytes", r->model_bytes},
                {"optimizer_bytes", r->optimizer_bytes},
                {"buffer_bytes", r->buffer_bytes},
                {"save_bytes", r->save_bytes},
                {"rank_bytes", r->rank_bytes},
                {"node_bytes", r->node_bytes}};
  printf("{\"mode\": \"%s\"", ls_plan_mode_names[r->mode]);
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    printf(", ");
    print_json_number(values[i].name, values[i].value, "");
  }
  printf("}");
}

static void print_json_measured(const ls_plan_costs *c) {
  printf("\"measured\": {\"nodes\": %d, \"ranks\": %d, \"threads\": %d, ", c->nodes, c->ranks, c->threads);
  print_json_number("processor_share", c->share, ", ");
  print_json_number("seconds", c->elapsed, ", \"passes\": [");
  for (size_t i = 0; i < c->n_points; i++) {
    printf("%s{\"rows\": %zu, ", i ? ", " : "", c->rows[i]);
    print_json_number("seconds", c->seconds[i], "}");
  }
  printf("], ");
  print_json_number("update_seconds_a_parameter", c->update + c->square, ", ");
  print_json_number("sum_bytes_per_second", 1.0 / c->sum, ", ");
  print_json_number("copy_bytes_per_second", 1.0 / c->copy, ", ");
  print_json_number("private_bytes", c->private_bytes, ", ");
  print_json_number("shared_bytes", c->shared_bytes, "}, ");
}

static void print_json(const plan *p) {
  const ls_plan_row *const useful = &p->rows[p->last_useful];
  printf("{\"parameters\": %zu, \"batch_size\": %zu, \"accumulate\": %llu, \"steps\": %llu, ",
         p->work.n_params, p->work.batch_size, (unsigned long long)p->work.accumulate,
         (unsigned long long)p->work.steps);
  print_json_number("data_bytes", p->work.data_bytes, ", ");
  print_json_number("bandwidth", p->cluster.bandwidth, ", ");
  print_json_number("latency_seconds", p->cluster.latency, ", ");
  print_json_measured(&p->costs);
  printf("\"useful\": {\"nodes\": %llu, \"ranks\": %llu}, \"clusters\": [",
         (unsigned long long)useful->nodes, (unsigned long long)useful->ranks);
  for (size_t i = 0; i < p->n; i++) {
    printf("%s", i ? ", " : "");
    print_json_row(&p->rows[i]);
  }
  printf("]}\n");
}

/* -------------------------------------------------------------------- the command */

/* A node like this machine shares its cores out among its ranks, unless the config says how many each
 * takes. */
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
  ls_status status = ls_setup_create(comm, job, &setup);
  if (status == LS_OK) status = ls_plan_measure(comm, setup, &p->costs);
  if (status == LS_OK) status = ls_comm_agree(comm, ls_plan_work_of(setup, &p->work));
  if (p->cluster.bandwidth <= 0.0) p->cluster.bandwidth = p->costs.bandwidth;
  if (p->cluster.latency <= 0.0) p->cluster.latency = p->costs.latency;
  if (status == LS_OK) p->n = ls_plan_table(&p->work, &p->costs, &p->cluster, p->rows);
  if (status == LS_OK) p->last_useful = ls_plan_useful_nodes(p->rows, p->n);
  p->work.segments = NULL; /* they end with the model */
  ls_setup_destroy(comm, &setup);
  return status;
}

static ls_status check_ranks(const ls_comm *comm) {
  if (ls_comm_size(comm) == ls_comm_node_size(comm) || ls_comm_node_size(comm) == 1) return LS_OK;
  return ls_fail(LS_ERR_CONFIG,
                 "%d ranks, of which %d on this node: lockstep plan measures the ranks of one node, or one "
                 "rank on each of several",
                 ls_comm_size(comm), ls_comm_node_size(comm));
}

static ls_status run(ls_comm *comm, const arguments *a) {
  const ls_job_source source = {.path = a->positional[0], .overrides = a->sets, .n_overrides = a->n_sets};
  const bool wants_json = argument_of(&command_plan, a, "json") != NULL;
  plan p = {0};
  ls_job *job = NULL;
  ls_plan_resident(&p.costs.private_bytes, &p.costs.shared_bytes);
  ls_status status = cluster_of(comm, a, &p.cluster);
  if (status == LS_OK) status = check_ranks(comm);
  status = ls_comm_agree(comm, status);
  if (status == LS_OK) status = ls_job_create(comm, &source, &job);
  if (status == LS_OK && job) status = measure(comm, job, &p);
  if (status == LS_OK && prints(comm) && wants_json) print_json(&p);
  if (status == LS_OK && prints(comm) && !wants_json) print_plan(a, &p);
  ls_job_destroy(&job);
  return status;
}

const command command_plan = {
    .name = "plan",
    .operands = "CONFIG.yaml",
    .help = "what a run will cost on a cluster: time, memory, and where more ranks stop helping",
    .details =
        "Measures a pass, the update and the node's memory here for some seconds, and works out from them\n"
        "and from the links what a step takes with 1, 2, 4 ... ranks of a node, then 2, 4 ... nodes.\n"
        "Run by mpirun with as many ranks as a node has, it measures how these slow each other down; with "
        "one\n"
        "rank on each of several nodes, also the links between them, which need not be given then.\n"
        "Rates: Gb/s (or Gbit/s), Mb/s, GB/s, MB/s; times: ns, us, ms, s. At most 10,000 ranks.",
    .least = 1,
    .most = 1,
    .options = {OPTION_SET,
                {.name = "nodes", .takes_value = true, .value_name = "N", .help = "the most nodes (1)"},
                {.name = "ranks-per-node",
                 .takes_value = true,
                 .value_name = "N",
                 .help = "ranks of each (as many as measure here)"},
                {.name = "bandwidth",
                 .takes_value = true,
                 .value_name = "RATE",
                 .help = "of a node's link, each way, such as 25Gb/s"},
                {.name = "latency",
                 .takes_value = true,
                 .value_name = "TIME",
                 .help = "of a small message between nodes, one way, such as 2us"},
                {.name = "memory-bandwidth",
                 .takes_value = true,
                 .value_name = "RATE",
                 .help = "of a node, such as 200GB/s (what a rank here gets, times ranks)"},
                {.name = "json", .help = "print one JSON object"}},
    .run = run};
