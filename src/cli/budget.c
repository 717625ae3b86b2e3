#include "cli/budget.h"

#include "compute/backend.h"
#include "core/pool.h"

static double mib(size_t bytes)
{
  return (double)bytes / (1 << 20);
}

int budget_load(const struct cli *c, struct session *s, int positions, struct budget *out, struct error *err)
{
  const struct model_config *m = &s->config;
  const size_t base = memory_resident_peak(), room = device_memory_room(s->device);
  const size_t table = (size_t)(positions > 0 ? positions : m->max_positions) * (size_t)m->head_dim * sizeof(float);
  const size_t weights = model_fixed_bytes(m, device_type(s->device));
  *out = (struct budget){.limit = c->memory ? (size_t)c->memory
                                  : room    ? room
                                            : memory_available_bytes() + base,
                         .taken = base + weights + table};
  if (out->taken > out->limit)
    FAIL_AT(err, ERROR_RESOURCE, s->source.path, 0, "--memory",
            "needs %.0f MiB, %.0f MiB of them weights; expected at most %.0f MiB; raise --memory, free some, or take "
            "--compute bf16, --weights q8_0 or a smaller model",
            mib(out->taken), mib(weights), mib(out->limit));
  return session_load(s, positions, err);
}

int budget_blocks(const struct budget *b, const struct session *s, int wanted, struct generate_options *o,
                  struct error *err)
{
  const enum compute_type type = device_type(s->device);
  const size_t left = b->limit - b->taken;
  o->kv_blocks = generate_blocks_least(o);
  const int least = o->kv_blocks;
  const size_t bytes = generator_bytes(&s->config, o, type);
  if (bytes > left)
    FAIL_AT(err, ERROR_RESOURCE, s->source.path, 0, "--memory",
            "needs %.0f MiB for weights and one answer of %d tokens with its prompt; expected at most %.0f MiB; raise "
            "--memory, or allow shorter answers",
            mib(b->taken + bytes), o->max_path, mib(b->limit));
  if (wanted <= least) return 0;
  o->kv_blocks = wanted;
  const size_t all = generator_bytes(&s->config, o, type);
  if (all <= left) return 0;
  o->kv_blocks = least + (int)((left - bytes) / ((all - bytes) / (size_t)(wanted - least) + 1));
  return 0;
}
