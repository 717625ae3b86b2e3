#include "train/rows.h"

#include "core/math.h"
#include "core/pool.h"

size_t row_pass_bytes(size_t vocab, int threads, bool gradients)
{
  return ((size_t)ROW_BLOCK * (gradients ? 2 : 1) + (size_t)threads * ROW_SCRATCH) * vocab * sizeof(double);
}

int row_pass_open(struct arena *a, struct decoder *d, struct device *device, const struct trainer_rows *rows,
                  size_t vocab, int32_t items, bool gradients, struct row_pass *out, struct error *err)
{
  size_t threads = (size_t)device_threads(device);
  *out = (struct row_pass){.decoder = d, .device = device, .rows = rows, .vocab = vocab};
  out->z = ARENA_NEW(a, double, (size_t)ROW_BLOCK *vocab, "rows of logits", err);
  out->scratch = ARENA_NEW(a, double, threads *ROW_SCRATCH *vocab, "rows of logits", err);
  out->items = ARENA_NEW(a, int32_t, (size_t)items, "rows of logits", err);
  out->item_row = ARENA_NEW(a, int32_t, (size_t)items, "rows of logits", err);
  if (gradients) out->extra = ARENA_NEW(a, double, (size_t)ROW_BLOCK *vocab, "rows of logits", err);
  return out->z && out->scratch && out->items && out->item_row && (!gradients || out->extra) ? 0 : err->code;
}

void rows_log_softmax(double *z, size_t n)
{
  double most = z[0], sum = 0;
  for (size_t v = 1; v < n; v++) most = z[v] > most ? z[v] : most;
  for (size_t v = 0; v < n; v++) sum += math_exp(z[v] - most);
  double log_sum = math_log(sum);
  for (size_t v = 0; v < n; v++) z[v] = z[v] - most - log_sum;
}

/* The items of head rows first .. first+count-1, with their row in the block. */
static void collect(struct row_pass *p, int32_t first, int32_t count)
{
  const struct head_rows *head = p->head;
  int32_t low = 0, high = head->pair_count;
  while (low < high) {
    int32_t middle = low + (high - low) / 2;
    if (head->pair_row[middle] < first)
      low = middle + 1;
    else
      high = middle;
  }
  p->item_count = 0;
  for (; low < head->pair_count && head->pair_row[low] < first + count; low++) {
    int32_t target = p->pair_number[low];
    for (int32_t i = p->rows->first[target]; i < p->rows->first[target + 1]; i++) {
      p->items[p->item_count] = i;
      p->item_row[p->item_count++] = head->pair_row[low] - first;
    }
  }
}

struct rows_job {
  const struct row_pass *pass;
  double *extra;
  int32_t begin, end; /* of the block's items */
};

static bool begins_row(const struct rows_job *job, int32_t i)
{
  return i == job->begin || job->pass->item_row[i] != job->pass->item_row[i - 1];
}

/* One of the block's items begins each job: it takes all items of its row. */
static void normalise_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct rows_job *job = arg;
  (void)thread;
  for (int32_t i = job->begin + (int32_t)begin; i < job->begin + (int32_t)end; i++)
    if (begins_row(job, i))
      rows_log_softmax(job->pass->z + (size_t)job->pass->item_row[i] * job->pass->vocab, job->pass->vocab);
}

static void look_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct rows_job *job = arg;
  const struct row_pass *p = job->pass;
  double *scratch = p->scratch + (size_t)thread * ROW_SCRATCH * p->vocab;
  for (int32_t i = job->begin + (int32_t)begin; i < job->begin + (int32_t)end; i++) {
    if (!begins_row(job, i)) continue;
    size_t row = (size_t)p->item_row[i] * p->vocab;
    for (int32_t k = i; k < job->end && p->item_row[k] == p->item_row[i]; k++)
      p->rows->at(p->rows->arg, p->items[k], k - job->begin, p->z + row, job->extra ? job->extra + row : NULL, scratch);
  }
}

int row_pass_block(void *pass, int32_t first, int32_t count, double *extra, bool *any, struct error *err)
{
  struct row_pass *p = pass;
  collect(p, first, count);
  *any = p->item_count > 0;
  if (!*any) return 0;
  TRY(decoder_logits(p->decoder, p->temperature, p->head, first, count, p->z, err));
  struct rows_job job = {.pass = p, .extra = extra, .end = p->item_count};
  pool_run(device_pool(p->device), (size_t)p->item_count, normalise_part, &job);
  for (; job.begin < p->item_count; job.begin = job.end) {
    job.end = p->item_count - job.begin < ROW_BLOCK ? p->item_count : job.begin + ROW_BLOCK;
    if (p->rows->prepare) TRY(p->rows->prepare(p->rows->arg, p->items + job.begin, job.end - job.begin, err));
    pool_run(device_pool(p->device), (size_t)(job.end - job.begin), look_part, &job);
  }
  return 0;
}

int row_pass_read(struct row_pass *p, struct error *err)
{
  for (int32_t first = 0; first < p->head->count; first += ROW_BLOCK) {
    int32_t left = p->head->count - first;
    bool any;
    TRY(row_pass_block(p, first, left < ROW_BLOCK ? left : ROW_BLOCK, NULL, &any, err));
  }
  return 0;
}
