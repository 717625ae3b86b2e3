#include "train/preference.h"

#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "train/given.h"
#include "train/run.h"
#include "train/score.h"
#include "train/token_pass.h"

/* The sequences of one problem: their tokens with loss, chosen first. */
struct kept_item {
  int32_t source, line; /* of a problem: ascending */
  int64_t first;        /* in logp */
  int32_t count;
};

struct kept_set {
  struct kept_item *items;
  size_t count, room;
};

struct kept_reference {
  struct kept_set sets[2]; /* of data, of eval.data */
  float *logp;             /* [total] */
  int64_t total;
  uint8_t digest[32];
  bool scored;
};

bool preference_keeps(const struct recipe *r, const struct needs *n)
{
  return r->kind == RECIPE_SFT && score_askers(n, "reference", false) == NEED_REFERENCE_LOGP &&
         !score_askers(n, "reference", true) && !(n->flags & NEED_RESET);
}

/* ---- who is scored ---------------------------------------------------------------------------------------------- */

struct listing {
  struct run *run;
  struct kept_reference *kept;
  struct kept_set *set;
  struct sha256 sum;
};

static int add_item(struct listing *l, const struct problem *p, const struct given *g, struct error *err)
{
  struct kept_set *set = l->set;
  struct kept_item item = {.source = p->source_index, .line = p->line, .first = l->kept->total};
  if (set->count == set->room) {
    size_t room = set->room ? 2 * set->room : 256;
    struct kept_item *grown = ARENA_NEW(l->run->arena, struct kept_item, room, "reference", err);
    if (!grown) return err->code;
    if (set->count) memcpy(grown, set->items, set->count * sizeof *grown);
    set->items = grown;
    set->room = room;
  }
  for (int32_t i = 0; i < g->count; i++) {
    const struct given_sequence *q = &g->of[i];
    sha256_add(&l->sum, &q->count, sizeof q->count);
    sha256_add(&l->sum, q->ids, (size_t)q->count * sizeof *q->ids);
    sha256_add(&l->sum, q->learn, (size_t)q->count);
    for (int32_t k = 0; k < q->count; k++) item.count += q->learn[k];
  }
  l->kept->total += item.count;
  set->items[set->count++] = item;
  return 0;
}

static int list_problem(struct listing *l, const struct problem *p, struct error *err)
{
  struct arena *a = l->run->step_arena;
  struct arena_mark mark = arena_mark(a);
  struct given g;
  bool fits;
  TRY(given_read(l->run, a, p, &g, err));
  fits = given_longest(&g) <= run_example_room(l->run);
  if (fits) TRY(add_item(l, p, &g, err));
  arena_release(a, mark);
  return 0;
}

static int list_sources(struct listing *l, const struct source_list *sources, struct error *err)
{
  l->set = &l->kept->sets[0];
  for (size_t i = 0; i < sources->count; i++) {
    uint64_t n = source_count(sources->items[i]);
    if (!n)
      FAIL(err, ERROR_INPUT,
           "%s makes problems without end, and the reference's log-probabilities are computed once; expected files of "
           "pairs: data: [{path: FILE}]",
           source_name(sources->items[i]));
    for (uint64_t k = 0; k < n; k++) {
      struct problem p;
      TRY(source_problem(sources->items[i], l->run->step_arena, k, &p, err));
      TRY(list_problem(l, &p, err));
    }
  }
  l->set = &l->kept->sets[1];
  for (size_t i = 0; i < l->run->eval_set_count; i++)
    for (int32_t k = 0; k < l->run->eval_sets[i].count; k++)
      TRY(list_problem(l, &l->run->eval_sets[i].problems[k], err));
  return 0;
}

int preference_open(struct run *r, struct error *err)
{
  const struct recipe *recipe = r->recipe;
  // an adapter's reference is a view of the same base: nothing is saved by letting it go
  if (!preference_keeps(recipe, compose_needs(r->methods)) || r->session.config.adapter.rank) return 0;
  struct kept_reference *k = r->kept = ARENA_NEW(r->arena, struct kept_reference, 1, "reference", err);
  if (!k) return err->code;
  struct listing l = {.run = r, .kept = k};
  const char *model = recipe->top.reference ? recipe->top.reference : recipe->top.model;
  sha256_start(&l.sum);
  sha256_add(&l.sum, model, strlen(model) + 1);
  sha256_add(&l.sum, &recipe->top.seed, sizeof recipe->top.seed);
  sha256_add(&l.sum, &recipe->compute.type, sizeof recipe->compute.type);
  sha256_add(&l.sum, &recipe->train.temperature, sizeof recipe->train.temperature);
  TRY(list_sources(&l, &r->sources, err));
  sha256_finish(&l.sum, k->digest);
  k->logp = ARENA_NEW(r->arena, float, (size_t)k->total, "reference", err);
  arena_reset(r->step_arena);
  return k->logp ? 0 : err->code;
}

/* ---- scoring ---------------------------------------------------------------------------------------------------- */

static const struct kept_item *find(const struct kept_set *set, const struct problem *p)
{
  size_t low = 0, high = set->count;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    const struct kept_item *item = &set->items[mid];
    if (item->source < p->source_index || (item->source == p->source_index && item->line < p->line))
      low = mid + 1;
    else
      high = mid;
  }
  return &set->items[low];
}

/* Some problems in one pass of the reference. */
static int score_chunk(const struct run *r, struct trainer *reference, struct arena *a, const struct given *items,
                       int32_t count, const struct kept_set *set, struct error *err)
{
  struct step *s;
  TRY(given_open_step(r, a, items, count, &s, err));
  struct token_pass pass = {.trainer = reference,
                            .step = s,
                            .rollouts = s->order,
                            .rollout_count = s->kept,
                            .count = s->path_count,
                            .trained = true};
  struct token_want want = {.logp = ARENA_NEW(a, double, (size_t)s->path_count, "reference", err)};
  if (!want.logp) return err->code;
  TRY(token_pass_open(&pass, a, err));
  TRY(token_pass_read(&pass, a, s->temperature, &want, err));
  for (int32_t g = 0, at = 0; g < s->group_count; g++) {
    const struct kept_item *item = find(set, s->groups[g].problem);
    for (int32_t i = 0; i < item->count; i++) r->kept->logp[item->first + i] = (float)want.logp[at++];
  }
  return 0;
}

struct scoring {
  struct run *run;
  struct trainer *reference;
  struct arena *arena; /* of a chunk */
  struct given *items;
  struct problem *problems;
  int32_t count, most;
  double done, total;
};

static int flush(struct scoring *w, const struct kept_set *set, struct error *err)
{
  if (w->count) TRY(score_chunk(w->run, w->reference, w->arena, w->items, w->count, set, err));
  w->done += w->count;
  log_progress("reference", w->done, w->total, "pairs");
  w->count = 0;
  arena_reset(w->arena);
  return 0;
}

static int score_problem(struct scoring *w, const struct problem *p, const struct kept_set *set, struct error *err)
{
  w->problems[w->count] = *p;
  TRY(given_read(w->run, w->arena, &w->problems[w->count], &w->items[w->count], err));
  if (given_longest(&w->items[w->count]) > run_example_room(w->run)) return 0;
  return ++w->count == w->most ? flush(w, set, err) : 0;
}

static int score_all(struct scoring *w, struct error *err)
{
  struct run *r = w->run;
  for (size_t i = 0; i < r->sources.count; i++) {
    uint64_t n = source_count(r->sources.items[i]);
    for (uint64_t k = 0; k < n; k++) {
      struct problem p;
      TRY(source_problem(r->sources.items[i], w->arena, k, &p, err));
      TRY(score_problem(w, &p, &r->kept->sets[0], err));
    }
  }
  TRY(flush(w, &r->kept->sets[0], err));
  for (size_t i = 0; i < r->eval_set_count; i++)
    for (int32_t k = 0; k < r->eval_sets[i].count; k++)
      TRY(score_problem(w, &r->eval_sets[i].problems[k], &r->kept->sets[1], err));
  TRY(flush(w, &r->kept->sets[1], err));
  log_progress_end();
  return 0;
}

static int score_by_model(struct run *r, struct arena *a, struct error *err)
{
  struct scoring w = {.run = r, .arena = arena_create("reference pass", 1 << 20, err)};
  struct model *m;
  if (!w.arena) return err->code;
  w.most = r->recipe->train.batch < 32 ? (int32_t)r->recipe->train.batch : 32;
  w.total = (double)(r->kept->sets[0].count + r->kept->sets[1].count);
  w.items = ARENA_NEW(a, struct given, (size_t)w.most, "reference", err);
  w.problems = ARENA_NEW(a, struct problem, (size_t)w.most, "reference", err);
  int rc = w.items && w.problems ? run_load_reference(r, a, &m, err) : err->code;
  if (!rc) rc = trainer_create(a, m, &r->plan.score, &w.reference, err);
  if (!rc) rc = score_all(&w, err);
  arena_destroy(w.arena);
  return rc;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static const char MAGIC[8] = "ASSAYREF";

static int read_kept(struct run *r, const char *path, bool *found, struct error *err)
{
  struct kept_reference *k = r->kept;
  struct file_map map;
  uint64_t total = (uint64_t)k->total;
  size_t header = sizeof MAGIC + sizeof k->digest + sizeof total;
  *found = false;
  if (!file_exists(path)) return 0;
  TRY(file_map(r->step_arena, path, &map, err));
  if (map.size != header + (size_t)k->total * sizeof(float) || memcmp(map.bytes, MAGIC, sizeof MAGIC) ||
      memcmp(map.bytes + sizeof MAGIC, k->digest, sizeof k->digest) ||
      memcmp(map.bytes + sizeof MAGIC + sizeof k->digest, &total, sizeof total))
    return 0;
  if (k->total) memcpy(k->logp, map.bytes + header, (size_t)k->total * sizeof(float));
  *found = true;
  return 0;
}

int preference_score(struct run *r, bool resume, struct error *err)
{
  if (!r->kept) return 0;
  bool found = false;
  if (resume) {
    const char *path = path_join(r->arena, r->folder->path, "reference.bin", err);
    if (!path) return err->code;
    TRY(read_kept(r, path, &found, err));
    arena_reset(r->step_arena);
  }
  if (!found) {
    struct arena *a = arena_create("reference", 0, err);
    if (!a) return err->code;
    int rc = score_by_model(r, a, err);
    arena_destroy(a);
    TRY(rc);
  }
  r->kept->scored = true;
  return 0;
}

int preference_save(const struct run *r, struct error *err)
{
  const struct kept_reference *k = r->kept;
  struct file_writer *w;
  if (!k) return 0;
  uint64_t total = (uint64_t)k->total;
  const char *path = path_join(r->arena, r->folder->path, "reference.bin", err);
  if (!path) return err->code;
  TRY(file_writer_open(r->arena, path, &w, err));
  TRY(file_writer_write(w, MAGIC, sizeof MAGIC, err));
  TRY(file_writer_write(w, k->digest, sizeof k->digest, err));
  TRY(file_writer_write(w, &total, sizeof total, err));
  TRY(file_writer_write(w, k->logp, (size_t)k->total * sizeof(float), err));
  return file_writer_commit(w, err);
}

int preference_fill(const struct run *r, struct step *s, bool evaluation, struct error *err)
{
  if (!r->kept) return 0;
  ASSAY_BUG_IF(!r->kept->scored);
  double *out = ARENA_NEW(s->arena, double, (size_t)s->path_count, "reference", err);
  if (!out) return err->code;
  for (int32_t g = 0, at = 0; g < s->group_count; g++) {
    const struct kept_item *item = find(&r->kept->sets[evaluation], s->groups[g].problem);
    for (int32_t i = 0; i < item->count; i++) out[at++] = (double)r->kept->logp[item->first + i];
  }
  s->reference = out;
  return 0;
}
