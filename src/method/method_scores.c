/* What hooks read of the scores. */
#include "method/scores.h"

#include <string.h>

static const char *const WORDS[] = {
#define STAT_WORD(NAME, word, parameter, formula) word,
    TOKEN_STATS(STAT_WORD)
#undef STAT_WORD
};

const char *token_stat_word(enum token_stat_kind kind)
{
  return WORDS[kind];
}

bool scores_resolve_layer(int32_t blocks, int32_t layer, int32_t *out)
{
  *out = layer < LAYER_LAST ? blocks + 1 + layer : layer;
  return layer <= blocks && (layer == LAYER_LAST || *out >= 0);
}

struct policy_scores *scores_find(const struct step *s, const char *policy, bool second)
{
  for (int32_t i = 0; s->scores && i < s->scores->count; i++)
    if (s->scores->of[i].second == second && !strcmp(s->scores->of[i].policy, policy)) return &s->scores->of[i];
  return NULL;
}

static const struct policy_scores *find(const struct step *s, const char *policy, bool second)
{
  const struct policy_scores *found = scores_find(s, policy, second);
  ASSAY_BUG_IF(!found); /* not declared */
  return found;
}

const double *scores_logp(const struct step *s, const char *policy)
{
  return find(s, policy, false)->logp;
}

const double *scores_entropy(const struct step *s, const char *policy)
{
  return find(s, policy, false)->entropy;
}

const double *scores_second_logp(const struct step *s, const char *policy)
{
  return find(s, policy, true)->logp;
}

/* ---- states ----------------------------------------------------------------------------------------------------- */

const float *states_row(const struct states *states, int32_t layer, int32_t row)
{
  int32_t at = 0;
  while (at < states->layer_count && states->layers[at] != layer) at++;
  ASSAY_BUG_IF(at == states->layer_count); /* not declared */
  size_t number = (size_t)at * (size_t)states->row_count + (size_t)row;
  return row < 0 ? NULL : states->rows + number * (size_t)states->width;
}

static const float *state_at(const struct step *s, const struct states *states, int32_t layer, int32_t row)
{
  int32_t wanted;
  ASSAY_BUG_IF(!s->scores || !scores_resolve_layer(s->scores->blocks, layer, &wanted));
  return states_row(states, wanted, row);
}

const float *scores_hidden(const struct step *s, int32_t layer, int32_t token)
{
  const struct policy_scores *own = find(s, "policy", false);
  return state_at(s, &own->states, layer, own->before[token]);
}

const float *scores_last(const struct step *s, int32_t layer, int32_t rollout)
{
  ASSAY_BUG_IF(!s->scores || !s->scores->last);
  return state_at(s, &s->scores->of[0].states, layer, s->scores->last[rollout]);
}

const float *scores_state(const struct step *s, int32_t layer, int32_t token)
{
  const struct rollout *r = &s->rollouts[s->path[token].rollout];
  bool next = token + 1 < r->path + r->path_count && s->path[token + 1].position == s->path[token].position + 1;
  return next ? scores_hidden(s, layer, token + 1) : scores_last(s, layer, s->path[token].rollout);
}

const float *scores_prompt_hidden(const struct step *s, int32_t layer, int32_t context, int32_t position)
{
  ASSAY_BUG_IF(!s->scores || context >= s->scores->prompt_count);
  const struct prompt_scores *p = &s->scores->prompts[context];
  int32_t at = position - p->from;
  return state_at(s, &s->scores->of[0].states, layer, at >= 0 && at < p->rows ? p->row[at] : -1);
}

const float *minibatch_hidden(const struct minibatch *m, int32_t layer, int32_t i)
{
  return state_at(m->step, m->hidden, layer, m->before[i]);
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

const double *scores_stat(const struct step *s, enum token_stat_kind kind, double parameter)
{
  ASSAY_BUG_IF(!s->scores);
  for (int32_t i = 0; i < s->scores->stat_count; i++) {
    const struct token_stat *stat = &s->scores->stats[i];
    if (stat->kind == kind && !(stat->parameter < parameter) && !(stat->parameter > parameter))
      return s->scores->stat[i];
  }
  ASSAY_BUG_IF(true); /* not declared */
  return NULL;
}

const double *scores_prompt_logp(const struct step *s, int32_t context, int32_t *count)
{
  ASSAY_BUG_IF(!s->scores || context >= s->scores->prompt_count);
  *count = s->scores->prompts[context].logp_count;
  return s->scores->prompts[context].logp;
}

const int32_t *scores_group_ids(const struct step *s, int32_t group, int32_t *count)
{
  ASSAY_BUG_IF(!s->scores || !s->scores->groups);
  *count = s->scores->groups[group].count;
  return s->scores->groups[group].ids;
}

const float *scores_group_p(const struct step *s, int32_t token)
{
  ASSAY_BUG_IF(!s->scores || !s->scores->group_p);
  return s->scores->group_p[token];
}

/* ---- moving ----------------------------------------------------------------------------------------------------- */

/* Rollouts keep their order among themselves, so everything moves towards the front. */
static void move(const struct step *s, const int32_t *before, void *array, size_t size)
{
  char *bytes = array;
  for (int32_t i = 0; bytes && i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    ASSAY_BUG_IF(r->path > before[s->order[i]]);
    memmove(bytes + (size_t)r->path * size, bytes + (size_t)before[s->order[i]] * size, (size_t)r->path_count * size);
  }
}

void scores_move(struct step *s, const int32_t *before)
{
  struct scores *c = s->scores;
  move(s, before, s->value, sizeof *s->value);
  move(s, before, s->value_target, sizeof *s->value_target);
  if (!c) return;
  for (int32_t i = 0; i < c->count; i++) {
    move(s, before, c->of[i].logp, sizeof(double));
    move(s, before, c->of[i].entropy, sizeof(double));
    move(s, before, c->of[i].before, sizeof *c->of[i].before);
  }
  for (int32_t i = 0; i < c->stat_count; i++) move(s, before, c->stat[i], sizeof(double));
  move(s, before, c->group_p, sizeof *c->group_p);
}
