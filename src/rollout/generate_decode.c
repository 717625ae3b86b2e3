#include "rollout/generate_internal.h"

static void finish_rollout(struct generator *g, struct generate_job *j, int32_t rollout, enum finish how)
{
  j->finish[rollout] = how;
  if (g->hooks.finished) g->hooks.finished(g->hooks.arg, j->number, rollout);
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

/* Gives a rollout, whose first token is drawn, a slot; or none if that token was its last. */
static int start_rollout(struct generator *g, struct pass *to, struct slot *s, struct prompt *p, struct error *err)
{
  struct generate_job *j = p->job;
  int32_t rollout = p->next_rollout++;
  p->finished = p->next_rollout == j->count;
  const struct segment *leaf = &tree_of(g, j)->segments[j->leaf[rollout]];
  text_clear(&s->tail);
  token_decoder_start(&s->decoder, g->tokenizer, false);
  enum finish how = slot_ends(g, s, j, leaf->tokens[0].id, 1);
  if (how != FINISH_NONE) {
    finish_rollout(g, j, rollout, how);
    return 0;
  }
  s->job = j;
  s->rollout = rollout;
  s->position = p->length;
  s->row = -1;
  s->most_blocks = kv_blocks_for(g->kv, p->length + j->max_new_tokens - 1);
  bool copied;
  TRY(kv_path_fork(g->kv, &p->path, p->length, &s->path, &to->copies[to->rows.copy_count], &copied, err));
  to->rows.copy_count += copied;
  s->live = true;
  return 0;
}

/* Fills free slots with rollouts that wait; opens prompts only where none waits. Copies of forks go into the pass. */
static int refill(struct generator *g, struct pass *to, struct error *err)
{
  for (struct slot *s = g->slots; s < g->slots + g->options.slots; s++) {
    for (int32_t i = 0; i < g->prompt_room && !s->live; i++) {
      struct prompt *p = &g->prompts[i];
      while (p->job && p->done == p->length && !p->finished && !s->live) {
        bool first = p->next_rollout == 0;  // its blocks are promised
        if (!first && !prompt_make_room(g, prompt_rollout_blocks(g, p))) break;
        TRY(start_rollout(g, to, s, p, err));
      }
    }
  }
  return 0;
}

void slot_end(struct generator *g, struct slot *s)
{
  int32_t read = s->position;
  if (s->row >= 0) {  // nobody looks at what the pass on its way does with it
    g->flight->whose[s->row] = NULL;
    g->counts.rows_wasted++;
    read--;
  }
  if (g->options.keep) tree_path_ids(tree_of(g, s->job), s->job->leaf[s->rollout], g->ids);
  kv_path_shorten(g->kv, &s->path, read);
  keep_take(&g->keep, &s->path, g->ids, read);
  s->live = false;
}

/* ---- one pass ---------------------------------------------------------------------------------------------------- */

/* The rollout's next row: of its last token, which the leaf has or the pass on its way draws. None where that one ends
 * it by its length. */
static int add_slot_row(struct generator *g, struct pass *to, struct slot *s, struct error *err)
{
  const struct segment *leaf = &tree_of(g, s->job)->segments[s->job->leaf[s->rollout]];
  const int32_t generated = leaf->count + (s->row >= 0), h = to->head.count;
  const int32_t token = s->row >= 0 ? ~s->row : leaf->tokens[leaf->count - 1].id;
  s->row = -1;
  if (generated == s->job->max_new_tokens) return 0;
  TRY(kv_path_extend(g->kv, &s->path, s->position + 1, err));
  pass_add_run(g, to, &s->path, s->position++, 1, &token);
  pass_add_head(g, to, to->rows.count - 1, s->job, s->rollout, s->position, generated);
  to->slots[h] = s;
  s->row = h;
  return 0;
}

/* What was drawn goes into the leaf; a finished rollout leaves its slot. */
static int take_token(struct generator *g, const struct pass *p, int32_t h, struct error *err)
{
  struct slot *s = p->slots[h];
  struct generate_job *j = s->job;
  int32_t rollout = s->rollout;
  TRY(pass_record(g, p, h, err));
  g->counts.decode_rows++;
  enum finish how = slot_ends(g, s, j, p->results[h].id, p->who[h].generated + 1);
  if (how == FINISH_NONE) return 0;
  slot_end(g, s);
  finish_rollout(g, j, rollout, how);
  return 0;
}

static int take_tokens(struct generator *g, struct pass *p, struct error *err)
{
  TRY(pass_take(g, p, err));
  for (int32_t h = 0; h < p->head.count; h++)
    if (p->whose[h]) TRY(take_token(g, p, h, err));
  return 0;
}

int decode_land(struct generator *g, struct error *err)
{
  struct pass *p = g->flight;
  g->flight = NULL;
  if (!p) return 0;
  for (int32_t h = 0; h < p->head.count; h++)
    if (p->whose[h]) p->slots[h]->row = -1;
  return take_tokens(g, p, err);
}

/* Whether the next pass may be started before the host has seen the last one's tokens: hooks that look at them before a
 * draw do not let it, and what is told of a pass beside its tokens is gone with the next. */
static bool runs_ahead(const struct generator *g)
{
  if (!g->ahead || g->hooks.before_draw) return false;
  for (const struct slot *s = g->slots; s < g->slots + g->options.slots; s++) {
    if (!s->live) continue;
    if ((g->hooks.before_token && !s->job->early) || (g->hooks.top && s->job->top)) return false;
  }
  return true;
}

/* Prompts of which every rollout has its own path by now: their copies were made by a pass that has been started. */
static void release_prompts(struct generator *g)
{
  for (int i = 0; i < g->prompt_room; i++)
    if (g->prompts[i].job && g->prompts[i].finished) prompt_close(g, &g->prompts[i]);
}

int decode_pass(struct generator *g, bool *any, struct error *err)
{
  struct pass *p = pass_begin(g), *before = g->flight;
  TRY(refill(g, p, err));
  if (before) p->rows.drawn = before->head.count;
  for (struct slot *s = g->slots; s < g->slots + g->options.slots; s++)
    if (s->live) TRY(add_slot_row(g, p, s, err));
  *any = before || p->rows.count;
  if (p->rows.count) TRY(pass_start(g, p, err));
  release_prompts(g);
  g->flight = p->rows.count ? p : NULL;
  if (before) TRY(take_tokens(g, before, err));
  return runs_ahead(g) ? 0 : decode_land(g, err);
}
