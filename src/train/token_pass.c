#include "train/token_pass.h"

static double nan64(void)
{
  return (double)__builtin_nanf("");
}

static int32_t *new_numbers(struct arena *a, int32_t n, struct error *err)
{
  int32_t *p = ARENA_NEW(a, int32_t, (size_t)n, "token pass", err);
  for (int32_t i = 0; p && i < n; i++) p[i] = -1;
  return p;
}

static int32_t token_at(const struct token_pass *p, int32_t i)
{
  return p->token ? p->token[i] : i;
}

/* ---- paths and targets ------------------------------------------------------------------------------------------ */

static int32_t copy_of(const struct token_pass *p, int32_t rollout)
{
  const struct scores *c = p->step->scores;
  return p->second && c && c->copy ? c->copy[rollout] : -1;
}

static int32_t slot_of(const struct token_pass *p, int32_t rollout)
{
  const struct scores *c = p->step->scores;
  return p->slots && c && c->slot ? c->slot[rollout] : -1;
}

/* Auxiliary sequences behind a rollout's path stand in for it: they contain it. */
static int32_t lay_row(const struct token_pass *p, int32_t leaf, bool last, bool *placed, struct batch_path *out)
{
  const struct auxiliary *x = p->extra;
  int32_t n = 0;
  for (int32_t i = 0; x && i < x->count; i++) {
    if (placed[i] || p->step->tree->segments[x->sequences[i].segment].parent != leaf) continue;
    placed[i] = true;
    out[n++].leaf = x->sequences[i].segment;
  }
  if (!n) out[n++] = (struct batch_path){leaf, last};
  return n;
}

static int lay_paths(const struct token_pass *p, struct arena *a, struct batch_path **out, int32_t *count,
                     struct error *err)
{
  const struct step *s = p->step;
  int32_t n = 0, extras = p->extra ? p->extra->count : 0;
  size_t room = (size_t)extras;
  for (int32_t i = 0; i < p->rollout_count; i++) room += (size_t)s->rollouts[p->rollouts[i]].row_count + 2;
  struct batch_path *paths = ARENA_NEW(a, struct batch_path, room, "token pass", err);
  bool *placed = ARENA_NEW(a, bool, (size_t)extras, "token pass", err);
  if (!paths || !placed) return err->code;
  for (int32_t i = 0; i < p->rollout_count; i++) {
    int32_t rollout = p->rollouts[i], slot = slot_of(p, rollout), copy = copy_of(p, rollout);
    const struct rollout *r = &s->rollouts[rollout];
    for (int32_t k = 0; p->trained && k < r->row_count; k++)
      n += lay_row(p, r->rows[k].leaf, p->last && k == r->row_count - 1, placed, paths + n);
    if (slot >= 0) paths[n++].leaf = slot;
    if (copy >= 0) paths[n++].leaf = copy;
  }
  for (int32_t i = 0; i < extras; i++)
    if (!placed[i]) paths[n++].leaf = p->extra->sequences[i].segment;
  *out = paths;
  *count = n;
  return 0;
}

static void number_tokens(struct token_pass *p)
{
  const struct step *s = p->step;
  const struct scores *c = s->scores;
  for (int32_t i = 0; i < p->count; i++) {
    const struct path_token *t = &s->path[token_at(p, i)];
    if (p->trained) p->target[i] = batch_target(p->batch, t->segment, t->index);
    int32_t copy = copy_of(p, t->rollout);
    if (copy >= 0) p->second_target[i] = batch_target(p->batch, copy, t->position - c->own[t->rollout]);
  }
  for (int32_t i = 0; i < p->rollout_count; i++) {
    int32_t slot = slot_of(p, p->rollouts[i]);
    if (slot >= 0) p->slot_target[i] = batch_target(p->batch, slot, 0);
  }
}

int token_pass_open(struct token_pass *p, struct arena *a, struct error *err)
{
  struct batch_path *paths;
  int32_t count;
  struct batch_options o = trainer_batch_options(p->trainer);
  o.want_all = p->prompts;
  p->target = new_numbers(a, p->count, err);
  p->second_target = new_numbers(a, p->count, err);
  p->slot_target = new_numbers(a, p->rollout_count, err);
  if (!p->target || !p->second_target || !p->slot_target) return err->code;
  TRY(lay_paths(p, a, &paths, &count, err));
  TRY(batch_build(a, p->step->tree, paths, count, &o, &p->batch, err));
  number_tokens(p);
  return 0;
}

int32_t token_pass_before(const struct batch *b, int32_t segment, int32_t i)
{
  for (i--; i < 0;) {
    segment = b->tree->segments[segment].parent;
    if (segment < 0) return -1;
    i = b->tree->segments[segment].count - 1;
  }
  return batch_target(b, segment, i);
}

int token_pass_items(const struct token_pass *p, const int32_t *target, struct arena *a, struct token_items *out,
                     struct error *err)
{
  int32_t targets = p->batch->target_count;
  out->first = ARENA_NEW(a, int32_t, (size_t)targets + 2, "token pass", err);
  out->items = ARENA_NEW(a, int32_t, (size_t)p->count, "token pass", err);
  if (!out->first || !out->items) return err->code;
  int32_t *next = out->first + 1; /* counts, then where the next item of a target goes: its first at the end */
  for (int32_t i = 0; i < p->count; i++)
    if (target[i] >= 0) next[target[i] + 1]++;
  for (int32_t t = 0; t < targets; t++) next[t + 1] += next[t];
  for (int32_t i = 0; i < p->count; i++)
    if (target[i] >= 0) out->items[next[target[i]]++] = i;
  return 0;
}

/* ---- states ----------------------------------------------------------------------------------------------------- */

struct state_places {
  int32_t *place; /* [target_count] */
  int32_t count;
};

static int32_t take_place(struct state_places *s, int32_t number)
{
  if (number < 0) return -1;
  if (s->place[number] < 0) s->place[number] = s->count++;
  return s->place[number];
}

static void place_tokens(const struct token_pass *p, const struct token_want *w, struct state_places *places)
{
  const struct step *s = p->step;
  for (int32_t i = 0; i < p->count; i++) {
    const struct path_token *t = &s->path[token_at(p, i)];
    int32_t copy = copy_of(p, t->rollout);
    if (!w->of_second)
      w->before[i] = take_place(places, token_pass_before(p->batch, t->segment, t->index));
    else if (copy >= 0)
      w->before[i] = take_place(places, token_pass_before(p->batch, copy, t->position - s->scores->own[t->rollout]));
    else
      w->before[i] = -1;
  }
}

static void place_last(const struct token_pass *p, const struct token_want *w, struct state_places *places)
{
  for (int32_t i = 0; i < p->step->rollout_count; i++) w->last[i] = -1;
  for (int32_t i = 0; i < p->rollout_count; i++) {
    const struct rollout *r = &p->step->rollouts[p->rollouts[i]];
    int32_t leaf = r->rows[r->row_count - 1].leaf, count = p->step->tree->segments[leaf].count;
    w->last[p->rollouts[i]] = take_place(places, token_pass_before(p->batch, leaf, count));
  }
}

/* The last states of a context, where it is in the pass; they may reach into the segments above. */
static int place_prompt(const struct token_pass *p, const struct token_want *w, int32_t context, struct arena *a,
                        struct state_places *places, struct error *err)
{
  const struct segment *segments = p->step->tree->segments;
  int32_t segment = p->step->contexts[context].segment, length = tree_path_length(p->step->tree, segment);
  struct prompt_scores *out = &w->prompts[context];
  if (p->batch->target_base[segment] < 0) return 0;
  int32_t left = length < w->prompt_states ? length : w->prompt_states;
  out->rows = left;
  out->from = length - left;
  if (!(out->row = new_numbers(a, left, err))) return err->code;
  for (int32_t at = segment; at >= 0 && left > 0; at = segments[at].parent)
    for (int32_t i = segments[at].count - 1; i >= 0 && left > 0; i--)
      out->row[--left] = take_place(places, batch_target(p->batch, at, i));
  return 0;
}

static int read_states(const struct token_pass *p, struct arena *a, const struct token_want *w,
                       struct trainer_reading *reading, struct error *err)
{
  struct state_places places = {.place = new_numbers(a, p->batch->target_count, err)};
  if (!places.place) return err->code;
  for (int32_t c = 0; w->prompts && w->prompt_states && c < p->step->context_count; c++)
    TRY(place_prompt(p, w, c, a, &places, err));
  place_tokens(p, w, &places);
  if (w->last) place_last(p, w, &places);
  int32_t width = p->trainer->model->config.hidden;
  *w->states = (struct states){
      .width = width,
      .layer_count = w->layer_count,
      .row_count = places.count,
      .layers = w->layers,
      .rows = ARENA_NEW(a, float, (size_t)w->layer_count *(size_t)places.count *(size_t)width, "hidden states", err)};
  if (!w->states->rows) return err->code;
  reading->layer_count = w->layer_count;
  reading->layers = w->layers;
  reading->state = places.place;
  reading->state_count = places.count;
  reading->states = w->states->rows;
  return 0;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void spread(const int32_t *target, int32_t count, const double *from, double *to)
{
  for (int32_t i = 0; to && i < count; i++) to[i] = target[i] < 0 ? nan64() : from[target[i]];
}

int token_pass_read(const struct token_pass *p, struct arena *a, double temperature, const struct token_want *w,
                    struct error *err)
{
  size_t n = (size_t)p->batch->target_count;
  struct trainer_reading reading = {.rows = w->rows};
  reading.logp = w->target_logp ? w->target_logp : ARENA_NEW(a, double, n, "token pass", err);
  reading.entropy = ARENA_NEW(a, double, n, "token pass", err);
  if (!reading.logp || !reading.entropy) return err->code;
  if (w->layer_count) TRY(read_states(p, a, w, &reading, err));
  TRY(trainer_read(p->trainer, a, p->batch, temperature, &reading, err));
  spread(p->target, p->count, reading.logp, w->logp);
  spread(p->target, p->count, reading.entropy, w->entropy);
  spread(p->second_target, p->count, reading.logp, w->second_logp);
  spread(p->second_target, p->count, reading.entropy, w->second_entropy);
  spread(p->slot_target, p->rollout_count, reading.logp, w->slot_logp);
  return 0;
}
