/* The time of a step on a cluster, from the costs of one rank and the messages between ranks. */
#include "lockstep/plan.h"

#include "lockstep/sync.h"

#include <math.h>

const char *const ls_plan_mode_names[LS_PLAN_MODES] = {"allreduce", "overlap", "sharded", "tree"};

/* ------------------------------------------------------------------------ compute */

double ls_plan_pass(const ls_plan_costs *c, size_t rows) {
  const double x = (double)rows;
  size_t i = 0;
  while (i < c->n_points && c->rows[i] < rows) i++;
  if (i == 0) return c->seconds[0] * fmin(x / (double)c->rows[0], 1.0);
  if (i == c->n_points) return c->seconds[i - 1] * x / (double)c->rows[i - 1];
  const double from = (double)c->rows[i - 1];
  const double share = (x - from) / ((double)c->rows[i] - from);
  return c->seconds[i - 1] + share * (c->seconds[i] - c->seconds[i - 1]);
}

/* ------------------------------------------------------------------------- reduce */

/* The inputs of the cost model. */
typedef struct scene {
  const ls_plan_work *work;
  const ls_plan_costs *costs;
  const ls_plan_cluster *cluster;
  ls_plan_link link;
  double bytes; /* of the parameters */
  double sent;  /* bytes of the gradient, in the type sent between nodes */
  double pass;  /* seconds of the step's last pass */
} scene;

/* Within a node of P ranks, each rank sums its 1/P of the P gradients, and then reads the (P-1)/P of the
 * parameters that the other ranks have updated, which takes half as long as copying them. The node's memory
 * carries this for all ranks. */
static double node_seconds(const scene *s) {
  const double p = (double)s->cluster->ranks_per_node;
  if (s->cluster->ranks_per_node == 1) return 0.0;
  const double own = s->bytes * (s->costs->sum + 0.5 * (p - 1.0) / p * s->costs->copy);
  const double moved = p * s->bytes * (1.0 + (p - 1.0) / p);
  const double least = s->cluster->memory_bandwidth > 0.0 ? moved / s->cluster->memory_bandwidth : 0.0;
  return fmax(own, least) + 2.0 * ls_plan_small(&s->link, 1, s->cluster->ranks_per_node);
}

/* The sum of the parts from other nodes, and the conversion to bfloat16 and back, which reads and writes
 * the rounding error and reads the received part. */
static double arithmetic(const scene *s, double share) {
  const double q = (double)s->cluster->nodes;
  const double own = share * s->bytes / (double)s->cluster->ranks_per_node;
  return (q - 1.0) / q * own * s->costs->sum + (s->work->is_half ? 3.0 * own * s->costs->copy : 0.0);
}

static double two_exchanges(const scene *s, double share) {
  return 2.0 * ls_plan_exchange(&s->link, s->cluster->nodes, share * s->sent) + arithmetic(s, share);
}

/* Between two nodes, MPI adds float32. */
static double network_allreduce(const scene *s) {
  const uint64_t q = s->cluster->nodes;
  return s->work->is_half || q > 2 ? two_exchanges(s, 1.0) : ls_plan_allreduce(&s->link, q, s->bytes);
}

/* Parameters are returned as float32 in every gradient type. */
static double network_sharded(const scene *s) {
  const uint64_t q = s->cluster->nodes;
  return ls_plan_exchange(&s->link, q, s->sent) + arithmetic(s, 1.0) +
         ls_plan_exchange(&s->link, q, s->bytes);
}

/* Multiplications per row of a pass: forward, dW and dx of each block, but no dx of the first layer. *last
 * becomes the index of the first layer's block, which backward finishes last. */
static double all_products(const ls_plan_work *w, size_t *last) {
  double sum = 0.0;
  *last = 0;
  for (size_t i = 0; i < w->n_segments; i++) {
    sum += 3.0 * w->segments[i].multiply_adds;
    if (w->segments[i].multiply_adds > 0.0) *last = i;
  }
  return w->n_segments ? fmax(sum - w->segments[*last].multiply_adds, 1.0) : 1.0;
}

/* Buckets queue for the link while backward computes each dW. The time from the end of backward to the end
 * of the queue is not hidden; it includes at least the last bucket. */
static double network_overlap(const scene *s) {
  const ls_plan_work *const w = s->work;
  const size_t ranks = s->cluster->nodes * s->cluster->ranks_per_node;
  size_t last = 0;
  const double unit = s->pass / all_products(w, &last);
  const double bucket = (double)(ls_sync_bucket_length(w->n_params, ranks) * sizeof(float));
  const double latency = two_exchanges(s, 0.0); /* of all buckets in flight together */
  double now = 0.0;
  double link_free = 0.0;
  double waiting = 0.0; /* bytes */
  for (size_t i = 0; i < w->n_segments; i++) {
    const double count = w->segments[i].multiply_adds;
    const double bytes = (double)(ls_segment_count(&w->segments[i]) * sizeof(float));
    double left = bytes;
    while (left > 0.0) {
      const double take = fmin(left, bucket - waiting);
      now += count * unit * take / bytes;
      waiting += take;
      left -= take;
      if (waiting < bucket && (left > 0.0 || i + 1 < w->n_segments)) continue;
      link_free = fmax(link_free, now) + two_exchanges(s, waiting / s->bytes) - latency;
      waiting = 0.0;
    }
    now += i == last ? 0.0 : count * unit;
  }
  return fmax(link_free + latency - now, 0.0);
}

/* Every rank exchanges the whole vector with all other ranks, so the link carries it once per rank of the
 * node in each direction. */
static double network_tree(const scene *s) {
  const double p = (double)s->cluster->ranks_per_node;
  const double q = (double)s->cluster->nodes;
  if (p * q <= 1.0) return 0.0;
  const double over_link =
      s->cluster->nodes == 1 ? 0.0 : 2.0 * (s->link.alpha + (q - 1.0) / q * p * s->bytes * s->link.beta);
  return over_link + 2.0 * (p * q - 1.0) * LS_PLAN_MESSAGE + s->bytes * (s->costs->sum + s->costs->copy);
}

static double reduce_seconds(const scene *s, ls_plan_mode mode) {
  const ls_plan_work *const w = s->work;
  const double small = ls_plan_small(&s->link, s->cluster->nodes, s->cluster->ranks_per_node);
  const double smalls = small * (1.0 + (double)w->accumulate * s->costs->sums);
  switch (mode) {
  case LS_PLAN_OVERLAP: return node_seconds(s) + network_overlap(s) + smalls;
  case LS_PLAN_SHARDED: return node_seconds(s) + network_sharded(s) + smalls;
  case LS_PLAN_TREE: return (double)w->accumulate * network_tree(s) + smalls;
  default: return node_seconds(s) + network_allreduce(s) + smalls;
  }
}

/* The number of parts of the parameters that are updated by different ranks. */
static uint64_t count_parts(const ls_plan_row *row) {
  if (row->mode == LS_PLAN_SHARDED) return row->ranks;
  return row->mode == LS_PLAN_TREE ? 1 : row->ranks_per_node;
}

/* ------------------------------------------------------------------------- memory */

static void add_memory(const scene *s, ls_plan_row *row) {
  const ls_plan_work *const w = s->work;
  const double parts = (double)count_parts(row);
  const double own = s->bytes / (double)row->ranks_per_node;
  const double more_rows = row->rows > w->least_rows ? (double)(row->rows - w->least_rows) : 0.0;
  row->model_bytes = w->least_bytes + more_rows * w->row_bytes;
  row->optimizer_bytes = (double)w->slots * s->bytes / parts;
  row->buffer_bytes = 0.0;
  /* Parts received from other nodes and, with bfloat16, rounding errors. */
  const uint64_t least = row->mode != LS_PLAN_ALLREDUCE || w->is_half ? 2 : 3; /* nodes that need them */
  if (row->nodes >= least) row->buffer_bytes += own;
  if (row->nodes > 1 && w->is_half) row->buffer_bytes += own;
  row->save_bytes = (double)(1 + w->slots) * s->bytes;
  const double alone = s->costs->private_bytes + row->model_bytes + row->optimizer_bytes +
                       row->buffer_bytes + w->reader_bytes;
  const double once = row->save_bytes + s->costs->shared_bytes;
  const double windows = w->window_bytes + (row->nodes > 1 ? w->partner_bytes : 0.0);
  const double data = w->data_bytes + windows / (double)row->nodes;
  row->rank_bytes = alone + once;
  row->node_bytes = (double)row->ranks_per_node * alone + once + data;
}

/* ------------------------------------------------------------------------ a row */

static void apply_mode(const scene *s, ls_plan_mode mode, ls_plan_row *row) {
  const double n = (double)s->work->n_params;
  row->mode = mode;
  row->reduce = row->ranks == 1 ? 0.0 : reduce_seconds(s, mode);
  const double ranks = (double)row->ranks;
  row->update = n * (s->costs->update / (double)count_parts(row) +
                     s->costs->square / (mode == LS_PLAN_TREE ? 1.0 : ranks));
  row->step = fmax(row->compute + row->reduce + row->update, row->read);
}

/* Applies the requested mode, or the fastest. */
static void choose_mode(const scene *s, ls_plan_row *row) {
  apply_mode(s, s->work->mode == LS_PLAN_AUTO ? LS_PLAN_ALLREDUCE : s->work->mode, row);
  if (s->work->mode != LS_PLAN_AUTO) return;
  const ls_plan_mode others[] = {LS_PLAN_OVERLAP, LS_PLAN_SHARDED};
  for (size_t i = 0; i < 2; i++) {
    ls_plan_row other = *row;
    apply_mode(s, others[i], &other);
    if (other.step < row->step) *row = other;
  }
}

/* The nodes read equal parts of the samples of a step. */
static double read_seconds(const ls_plan_work *w, const ls_plan_costs *costs, const ls_plan_cluster *c) {
  const double rate = c->disk_bandwidth > 0.0 ? c->disk_bandwidth : costs->disk;
  const double bytes = (double)w->accumulate * (double)w->batch_size * w->sample_bytes;
  return bytes > 0.0 ? bytes / (rate * (double)c->nodes) : 0.0;
}

static ls_plan_row predict(const ls_plan_work *w, const ls_plan_costs *costs, const ls_plan_cluster *c) {
  ls_plan_row row = {
      .nodes = c->nodes, .ranks_per_node = c->ranks_per_node, .ranks = c->nodes * c->ranks_per_node};
  row.rows = ls_size_min(ls_partition_most_rows(w->batch_size, w->lanes, (int)row.ranks), w->batch_size);
  const double bytes = (double)w->n_params * sizeof(float);
  const scene s = {.work = w,
                   .costs = costs,
                   .cluster = c,
                   .link = ls_plan_link_of(c, costs->sum),
                   .bytes = bytes,
                   .sent = w->is_half ? bytes / 2.0 : bytes,
                   .pass = ls_plan_pass(costs, row.rows)};
  row.compute = (double)w->accumulate * s.pass;
  row.read = read_seconds(w, costs, c);
  choose_mode(&s, &row);
  row.samples_per_second = (double)w->accumulate * (double)w->batch_size / row.step;
  row.run_seconds = (double)w->steps * row.step;
  add_memory(&s, &row);
  return row;
}

ls_plan_row ls_plan_predict(const ls_plan_work *w, const ls_plan_costs *costs, const ls_plan_cluster *c) {
  ls_plan_cluster one = *c;
  one.nodes = one.ranks_per_node = 1;
  ls_plan_row row = predict(w, costs, c);
  row.efficiency =
      row.samples_per_second / ((double)row.ranks * predict(w, costs, &one).samples_per_second);
  return row;
}

bool ls_plan_is_limited_by_reading(const ls_plan_row *row) {
  return row->read > row->compute + row->reduce + row->update;
}

/* -------------------------------------------------------------------- the table */

size_t ls_plan_table(const ls_plan_work *w, const ls_plan_costs *costs, const ls_plan_cluster *c,
                     ls_plan_row *rows) {
  size_t n = 0;
  ls_plan_cluster at = *c;
  at.nodes = 1;
  for (at.ranks_per_node = 1; at.ranks_per_node < c->ranks_per_node; at.ranks_per_node *= 2)
    rows[n++] = ls_plan_predict(w, costs, &at);
  at.ranks_per_node = c->ranks_per_node;
  for (; at.nodes < c->nodes; at.nodes *= 2) rows[n++] = ls_plan_predict(w, costs, &at);
  rows[n++] = ls_plan_predict(w, costs, c);
  return n;
}

size_t ls_plan_last_useful(const ls_plan_row *rows, size_t n) {
  for (size_t i = 0; i + 1 < n; i++) {
    const double doublings = log2((double)rows[i + 1].ranks / (double)rows[i].ranks);
    const double gain = rows[i + 1].samples_per_second / rows[i].samples_per_second;
    if (gain < pow(1.1, doublings)) return i;
  }
  return n - 1;
}
