#include "rollout/generate_internal.h"

#include <string.h>

int pass_open(struct generator *g, struct arena *a, struct pass *p, struct error *err)
{
  size_t rows = (size_t)g->row_room, head = (size_t)g->head_room, slots = (size_t)g->options.slots;
  size_t tables = (slots + (size_t)g->prompt_room) * (size_t)kv_blocks_for(g->kv, g->options.max_path);
  *p = (struct pass){.token = ARENA_NEW(a, int32_t, rows, "generate", err),
                     .position = ARENA_NEW(a, int32_t, rows, "generate", err),
                     .runs = ARENA_NEW(a, struct rows_run, rows, "generate", err),
                     .blocks = ARENA_NEW(a, int32_t, tables, "generate", err),
                     .copies = ARENA_NEW(a, struct rows_copy, slots, "generate", err),
                     .head_row = ARENA_NEW(a, int32_t, head, "generate", err),
                     .params = ARENA_NEW(a, struct sample_params, head, "generate", err),
                     .results = ARENA_NEW(a, struct sample_result, head, "generate", err),
                     .who = ARENA_NEW(a, struct row_at, head, "generate", err),
                     .whose = ARENA_NEW(a, struct generate_job *, head, "generate", err),
                     .slots = ARENA_NEW(a, struct slot *, head, "generate", err)};
  bool ok = p->token && p->position && p->runs && p->blocks && p->copies && p->head_row && p->params && p->results &&
            p->who && p->whose && p->slots;
  return ok ? 0 : err->code;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

struct pass *pass_begin(struct generator *g)
{
  struct pass *p = g->flight == &g->passes[0] ? &g->passes[1] : &g->passes[0];
  p->rows = (struct rows){
      .token = p->token, .position = p->position, .runs = p->runs, .blocks = p->blocks, .copies = p->copies};
  p->head = (struct head_rows){.row = p->head_row};
  p->block_count = 0;
  return p;
}

void pass_add_run(struct generator *g, struct pass *p, const struct kv_path *path, int32_t position, int32_t count,
                  const int32_t *ids)
{
  struct rows *r = &p->rows;
  p->runs[r->run_count++] =
      (struct rows_run){.row = r->count, .count = count, .position = position, .table = p->block_count};
  int32_t used = kv_blocks_for(g->kv, position + count);
  memcpy(p->blocks + p->block_count, path->table, (size_t)used * sizeof(int32_t));
  p->block_count += used;
  for (int32_t i = 0; i < count; i++) {
    p->token[r->count] = ids[i];
    p->position[r->count++] = position + i;
  }
}

void pass_add_head(struct generator *g, struct pass *p, int32_t row, struct generate_job *j, int32_t rollout,
                   int32_t position, int32_t generated)
{
  int32_t h = p->head.count++;
  struct rng_at at = j->at;
  at.rollout = (uint32_t)(j->first_rollout + rollout);
  at.position = (uint32_t)position;
  p->head_row[h] = row;
  p->who[h] = (struct row_at){j->number, rollout, position, generated};
  p->whose[h] = j;
  p->params[h] = (struct sample_params){.temperature = (float)j->sampling.temperature,
                                        .top_p = (float)j->sampling.top_p,
                                        .min_p = (float)j->sampling.min_p,
                                        .top_k = j->sampling.top_k,
                                        .forced = -1,
                                        .uniform = rng_uniform(j->seed, &at)};
  if (g->hooks.before_token) g->hooks.before_token(g->hooks.arg, &p->who[h], &p->params[h]);
}

void pass_add_given(struct generator *g, struct pass *p, int32_t row, struct generate_job *j, int32_t position,
                    int32_t id)
{
  int32_t h = p->head.count++;
  (void)g;
  p->head_row[h] = row;
  p->who[h] = (struct row_at){j->number, -1, position, 0};
  p->whose[h] = j;
  p->params[h] = (struct sample_params){.temperature = 1, .top_p = 1, .forced = id};
}

/* ---- the device's part ------------------------------------------------------------------------------------------- */

int pass_start(struct generator *g, struct pass *p, struct error *err)
{
  const struct generate_hooks *hooks = &g->hooks;
  g->counts.passes++;
  g->counts.passes_ahead += g->flight && p->rows.drawn;
  TRY(decoder_forward(g->decoder, &p->rows, g->kv->kv, p->head.count ? &p->head : NULL, false, err));
  if (!p->head.count) return 0;
  if (hooks->before_draw) {
    if (hooks->entropy) TRY(decoder_sample(g->decoder, g->record_temperature, &p->head, p->params, p->results, err));
    for (int32_t h = 0; h < p->head.count; h++)
      hooks->before_draw(hooks->arg, &p->who[h], hooks->entropy ? p->results[h].entropy : __builtin_nanf(""),
                         &p->params[h]);
  }
  return decoder_draw(g->decoder, g->record_temperature, &p->head, p->params, err);
}

/* The most likely tokens of each row, as many as the row that wants most. */
static int pass_top(struct generator *g, const struct pass *p, struct error *err)
{
  int k = 0;
  for (int32_t h = 0; h < p->head.count; h++) k = p->whose[h] ? most(k, p->whose[h]->top) : k;
  if (!k || !g->hooks.top) return 0;
  ASSAY_BUG_IF(k > g->options.top);
  TRY(decoder_top(g->decoder, g->record_temperature, &p->head, k, g->top_ids, g->top_logp, err));
  for (int32_t h = 0; h < p->head.count; h++)
    if (p->whose[h] && p->whose[h]->top)
      g->hooks.top(g->hooks.arg, &p->who[h], p->whose[h]->top, g->top_ids + (size_t)h * (size_t)k,
                   g->top_logp + (size_t)h * (size_t)k);
  return 0;
}

int pass_take(struct generator *g, struct pass *p, struct error *err)
{
  if (!p->head.count) return 0;
  TRY(decoder_take(g->decoder, p->results, err));
  return pass_top(g, p, err);
}

/* ---- what becomes of a row --------------------------------------------------------------------------------------- */

int pass_record(struct generator *g, const struct pass *p, int32_t h, struct error *err)
{
  struct generate_job *j = p->whose[h];
  const struct row_at *who = &p->who[h];
  const struct sample_result *r = &p->results[h];
  if (who->rollout < 0) {
    struct token_record *given = tree_at(tree_of(g, j), j->segment, who->position);
    given->logp = r->logp;
    given->entropy = r->entropy;
    return 0;
  }
  struct token_record record = {.id = r->id,
                                .flags = p->params[h].forced >= 0 ? TOKEN_FORCED : TOKEN_OWN,
                                .logp = r->logp,
                                .logp_behaviour = r->logp_behaviour,
                                .entropy = r->entropy};
  TRY(tree_append(tree_of(g, j), j->leaf[who->rollout], &record, 1, err));
  if (g->hooks.after_token) g->hooks.after_token(g->hooks.arg, who, &record);
  return 0;
}

size_t generate_find_stop(const char *text, size_t n, const char *const *stop, size_t stop_count)
{
  size_t first = n;
  for (size_t s = 0; s < stop_count; s++) {
    size_t length = strlen(stop[s]);
    for (size_t i = 0; length && i + length <= n && i < first; i++)
      if (!memcmp(text + i, stop[s], length)) first = i;
  }
  return first;
}

static bool is_end_id(const struct generator *g, int32_t id)
{
  for (size_t i = 0; i < g->end_id_count; i++)
    if (g->end_ids[i] == id) return true;
  return false;
}

/* Adds the token's text to the slot's tail, looks for a stop string that ends in it, and keeps what a longer one may
 * still need. */
static bool tail_stops(struct slot *s, int32_t id, const struct generate_job *j)
{
  size_t longest = 1;
  for (size_t i = 0; i < j->stop_count; i++) longest = strlen(j->stop[i]) > longest ? strlen(j->stop[i]) : longest;
  token_decoder_add(&s->decoder, id, &s->tail);
  if (generate_find_stop(s->tail.bytes, s->tail.size, j->stop, j->stop_count) < s->tail.size) return true;
  if (s->tail.size >= longest) {
    memmove(s->tail.bytes, s->tail.bytes + s->tail.size - (longest - 1), longest - 1);
    s->tail.size = longest - 1;
  }
  return false;
}

enum finish slot_ends(const struct generator *g, struct slot *s, const struct generate_job *j, int32_t id,
                      int32_t generated)
{
  if (is_end_id(g, id)) return FINISH_STOP;
  if (j->stop_count && tail_stops(s, id, j)) return FINISH_STOP;
  return generated >= j->max_new_tokens ? FINISH_LENGTH : FINISH_NONE;
}
