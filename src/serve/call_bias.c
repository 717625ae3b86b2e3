#include "serve/call.h"

bool call_has_penalties(const struct call *c)
{
  const struct api_request *r = &c->request;
  return r->presence < 0 || r->presence > 0 || r->frequency < 0 || r->frequency > 0;
}

/* Penalties move a logit for each token that the answer may still meet, so the table has room for all of them: the
 * token loop allocates nothing. */
static size_t table_room(const struct call *c, const struct choice *o)
{
  const struct api_request *r = &c->request;
  size_t room = (size_t)r->bias_count + (call_has_penalties(c) ? (size_t)c->jobs[o->prompt].max_new_tokens : 0);
  size_t vocab = (size_t)c->session->config.vocab;
  return room < vocab ? room : vocab;
}

int call_open_bias(struct call *c, struct choice *o, struct error *err)
{
  const struct api_request *r = &c->request;
  size_t room = table_room(c, o);
  for (int32_t i = 0; i < r->bias_count; i++)
    if (r->bias[i].id >= c->session->config.vocab)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "logit_bias", "found the id %d; expected 0 to %d", r->bias[i].id,
              c->session->config.vocab - 1);
  if (!room) return 0;
  o->bias = ARENA_NEW(c->arena, struct sample_bias, room, "call", err);
  o->bias_from = ARENA_NEW(c->arena, struct bias_from, room, "call", err);
  if (!o->bias || !o->bias_from) return err->code;
  for (o->bias_count = 0; o->bias_count < r->bias_count; o->bias_count++) {
    o->bias[o->bias_count] = r->bias[o->bias_count];
    o->bias_from[o->bias_count] = (struct bias_from){.given = (double)r->bias[o->bias_count].add};
  }
  return 0;
}

void call_move_bias(const struct call *c, struct choice *o, int32_t id)
{
  const struct api_request *r = &c->request;
  int32_t i = 0;
  while (i < o->bias_count && o->bias[i].id != id) i++;
  if (i == o->bias_count) {
    if ((size_t)i == table_room(c, o)) return;  // no penalties: nothing moves
    o->bias[i] = (struct sample_bias){.id = id};
    o->bias_from[i] = (struct bias_from){0};
    o->bias_count++;
  }
  struct bias_from *from = &o->bias_from[i];
  from->drawn++;
  o->bias[i].add = (float)(from->given - r->frequency * from->drawn - r->presence);
}
