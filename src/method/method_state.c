/* What methods keep: metrics of a step, random streams, and state in checkpoints. */
#include <string.h>

#include "core/cursor.h"
#include "method/method_replay.h"
#include "method/method_set.h"

void method_report(struct method_call *c, const char *metric, double value)
{
  bool declared = false;
  for (size_t i = 0; i < c->report->count; i++) {
    struct report_slot *slot = &c->report->slots[i];
    if (slot->method != c->method || strcmp(slot->metric->name, metric)) continue;
    slot->value = value;
    slot->written = declared = true;
  }
  ASSAY_BUG_IF(!declared);
}

static const struct report_slot *written(const struct composed *set, size_t i)
{
  for (size_t k = 0; k < set->report.count; k++) {
    if (set->report.slots[k].written && i-- == 0) return &set->report.slots[k];
  }
  return NULL;
}

size_t compose_metrics(const struct composed *set)
{
  size_t n = 0;
  for (size_t k = 0; k < set->report.count; k++) n += set->report.slots[k].written;
  return n;
}

void compose_metric(const struct composed *set, size_t i, const char **name, double *value)
{
  const struct report_slot *slot = written(set, i);
  ASSAY_BUG_IF(!slot);
  *name = slot->name;
  *value = slot->value;
}

void compose_clear_metrics(struct composed *set)
{
  for (size_t k = 0; k < set->report.count; k++) set->report.slots[k].written = false;
}

/* FNV-1a of the name: a stream that no other method's presence moves. */
struct rng_at method_rng(const struct method_call *c, int64_t step, int32_t group, int32_t attempt, int32_t rollout,
                         int32_t position)
{
  uint32_t h = 2166136261u;
  for (const char *p = c->method->name; *p; p++) h = (h ^ (unsigned char)*p) * 16777619u;
  return (struct rng_at){.purpose = (uint32_t)RNG_METHOD + (h >> 1),
                         .step = (uint32_t)step,
                         .group = (uint32_t)group,
                         .attempt = (uint32_t)attempt,
                         .rollout = (uint32_t)rollout,
                         .position = (uint32_t)position};
}

/* ---- checkpoints
 * -------------------------------------------------------------------------------------------------------- "assay
 * methods 1\n"; number of methods; each: name, number of items; each item: name, bytes. Names and bytes have a length
 * of 8 bytes before them; all numbers are little-endian. An item is a state field; a blob of its own that a method
 * saves has the name "", its replay buffer the name "replay buffer". */

static const char MAGIC[] = "assay methods 1\n";

static void put_u64(struct text *out, uint64_t x)
{
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(x >> (8 * i));
  text_add(out, bytes, 8);
}

static void put_bytes(struct text *out, const void *bytes, size_t n)
{
  put_u64(out, n);
  text_add(out, bytes, n);
}

static const char REPLAY[] = "replay buffer";

/* Items of a method beside its state fields. */
static size_t items_of(const struct method_call *c)
{
  return c->method->state_count + (c->method->load != NULL) + (c->replay != NULL);
}

static int put_blob(struct text *out, const char *name, struct text *blob, struct error *err)
{
  int rc = text_finish(blob, err);
  put_bytes(out, name, strlen(name));
  put_bytes(out, blob->bytes ? blob->bytes : "", blob->size);
  text_free(blob);
  return rc;
}

bool compose_writes_early(const struct composed *set)
{
  static const enum method_stage early[] = {STAGE_select, STAGE_guide, STAGE_sample, STAGE_reward, STAGE_revise};
  bool any = false;
  for (size_t i = 0; i < set->count; i++)
    for (size_t k = 0; items_of(&set->members[i].call) && k < sizeof early / sizeof early[0]; k++)
      any = any || member_has(&set->members[i], early[k]);
  return any;
}

int compose_save(const struct composed *set, struct text *out, struct error *err)
{
  text_add(out, MAGIC, sizeof MAGIC - 1);
  put_u64(out, set->count);
  for (size_t i = 0; i < set->count; i++) {
    const struct method_call *c = &set->table[i]->call;
    const struct method *m = c->method;
    put_bytes(out, m->name, strlen(m->name));
    put_u64(out, items_of(c));
    for (size_t k = 0; k < m->state_count; k++) {
      put_bytes(out, m->state[k].name, strlen(m->state[k].name));
      put_bytes(out, (const char *)c->self + m->state[k].at, m->state[k].size);
    }
    struct text blob = {0};
    if (m->save) {
      int rc = m->save(c->self, &blob, err);
      if (rc) text_free(&blob);
      TRY(rc);
      TRY(put_blob(out, "", &blob, err));
    }
    if (!c->replay) continue;
    replay_save(c->replay, &blob);
    TRY(put_blob(out, REPLAY, &blob, err));
  }
  return text_finish(out, err);
}

struct item {
  const uint8_t *bytes;
  uint64_t size;
};

static int read_item(struct cursor *c, const char *what, struct item *out, struct error *err)
{
  TRY(cursor_u64(c, &out->size, what, err));
  return cursor_bytes(c, out->size, &out->bytes, what, err);
}

static bool item_is(const struct item *i, const char *name)
{
  return i->size == strlen(name) && (!i->size || !memcmp(i->bytes, name, i->size));
}

static int restore_field(struct composed *set, const struct method_call *c, const struct item *name,
                         const struct item *value, struct error *err)
{
  const struct method *m = c->method;
  if (name->size == 0 && m->load) return m->load(c->self, set->run, value->bytes, (size_t)value->size, err);
  if (c->replay && item_is(name, REPLAY)) return replay_load(c->replay, value->bytes, (size_t)value->size, err);
  for (size_t k = 0; k < m->state_count; k++) {
    const struct state_field *f = &m->state[k];
    if (!item_is(name, f->name) || value->size != f->size) continue;
    if (f->size) memcpy((char *)c->self + f->at, value->bytes, f->size);
    return 0;
  }
  FAIL(err, ERROR_INPUT,
       "the saved state of method %s has a field \"%.*s\" of %llu bytes; this build has none such; resume with the "
       "build that saved it",
       m->name, (int)(name->size < 64 ? name->size : 64), (const char *)name->bytes, (unsigned long long)value->size);
}

static int restore_method(struct composed *set, struct cursor *c, const struct method_call *call, struct error *err)
{
  const struct method *m = call->method;
  struct item name;
  uint64_t fields;
  TRY(read_item(c, "name of a method", &name, err));
  if (!item_is(&name, m->name)) {
    FAIL(err, ERROR_INPUT,
         "the checkpoint has the state of method \"%.*s\" where the recipe has %s; a run resumes with the methods it "
         "began with",
         (int)(name.size < 64 ? name.size : 64), (const char *)name.bytes, m->name);
  }
  TRY(cursor_u64(c, &fields, "fields of a method", err));
  if (fields != items_of(call)) {
    FAIL(err, ERROR_INPUT,
         "the saved state of method %s has %llu fields, this build's has %zu; resume with the build that saved it",
         m->name, (unsigned long long)fields, items_of(call));
  }
  for (uint64_t i = 0; i < fields; i++) {
    struct item field, value;
    TRY(read_item(c, "name of a field", &field, err));
    TRY(read_item(c, "value of a field", &value, err));
    TRY(restore_field(set, call, &field, &value, err));
  }
  return 0;
}

int compose_restore(struct composed *set, const void *bytes, size_t size, struct error *err)
{
  struct cursor c = cursor_over(bytes, size, "state of the methods");
  const uint8_t *magic;
  uint64_t count;
  TRY(cursor_bytes(&c, sizeof MAGIC - 1, &magic, "magic", err));
  if (memcmp(magic, MAGIC, sizeof MAGIC - 1)) {
    FAIL(err, ERROR_INPUT,
         "the state of the methods begins with other bytes than \"assay methods 1\"; the checkpoint is damaged or "
         "newer; take another one");
  }
  TRY(cursor_u64(&c, &count, "number of methods", err));
  if (count != set->count) {
    FAIL(err, ERROR_INPUT,
         "the checkpoint has the state of %llu methods, the recipe has %zu; a run resumes with the methods it began "
         "with",
         (unsigned long long)count, set->count);
  }
  for (size_t i = 0; i < set->count; i++) TRY(restore_method(set, &c, &set->table[i]->call, err));
  if (cursor_left(&c))
    FAIL(err, ERROR_INPUT,
         "%zu bytes stand behind the state of the methods; the checkpoint is damaged; take another one",
         cursor_left(&c));
  return 0;
}
