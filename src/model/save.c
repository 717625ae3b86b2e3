/* From weights to a folder that transformers loads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/math.h"
#include "model/config.h"
#include "model/open.h"

enum { CHUNK_REALS = 1 << 18 };
#define SHARD_BYTES 4000000000u

static const struct {
  const char *dtype, *torch;
  size_t size;
} save_types[] = {
    [SAVE_F32] = {"F32", "float32", 4}, [SAVE_BF16] = {"BF16", "bfloat16", 2}, [SAVE_F16] = {"F16", "float16", 2}};

/* Weights first .. first+count-1 (in name order) go into one file. */
struct shard {
  size_t first, count;
  uint64_t bytes;
  char name[64];
};

struct saving {
  struct arena *arena;
  const struct model *m;
  const char *folder;
  enum save_type type;
  struct shard *shards;
  size_t shard_count;
  uint64_t total_bytes;
};

/* ---- values -------------------------------------------------------------------------------------------------- */

static void put_le(uint8_t *to, uint32_t x, size_t bytes)
{
  for (size_t i = 0; i < bytes; i++) to[i] = (uint8_t)(x >> (8 * i));
}

/* x rounded to the type, little-endian; false where it is no longer (or was not) finite. */
static bool put_real(uint8_t *to, float x, enum save_type type)
{
  if (type == SAVE_F32) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_le(to, bits, 4);
    return (bits & 0x7f800000u) != 0x7f800000u;
  }
  uint16_t bits = type == SAVE_BF16 ? math_bf16_from_f32(x) : math_f16_from_f32(x);
  unsigned exponent = type == SAVE_BF16 ? 0x7f80u : 0x7c00u;
  put_le(to, bits, 2);
  return (bits & exponent) != exponent;
}

static int write_rows(struct file_writer *out, const struct weight *w, size_t row, const float *values, uint8_t *bytes,
                      size_t n, enum save_type type, struct error *err)
{
  size_t size = save_types[type].size, cols = weight_cols(w);
  for (size_t i = 0; i < n; i++) {
    if (put_real(bytes + i * size, values[i], type)) continue;
    FAIL_AT(err, ERROR_INPUT, NULL, 0, weight_name(w),
            "the weight \"%s\" is %g at [%zu, %zu], which %s cannot hold; %s", weight_name(w), (double)values[i],
            row + i / cols, i % cols, save_types[type].dtype,
            math_is_finite((double)values[i]) ? "save as bf16 or f32" : "expected finite numbers");
  }
  return file_writer_write(out, bytes, n * size, err);
}

static int write_weight(struct file_writer *out, const struct weight *w, enum save_type type, struct error *err)
{
  size_t rows = weight_rows(w), cols = weight_cols(w), chunk = CHUNK_REALS / cols + 1;
  if (chunk > rows) chunk = rows;
  float *values = memory_alloc(chunk * cols, sizeof *values, "model.save", err);
  uint8_t *bytes = memory_alloc(chunk * cols, save_types[type].size, "model.save", err);
  int rc = values && bytes ? 0 : ERROR_RESOURCE;
  for (size_t row = 0; row < rows && !rc; row += chunk) {
    size_t count = rows - row < chunk ? rows - row : chunk;
    weight_read(w, WEIGHT_MASTER, row, count, values, HOST_F32);
    rc = write_rows(out, w, row, values, bytes, count * cols, type, err);
  }
  memory_free(values);
  memory_free(bytes);
  return rc;
}

/* ---- shards -------------------------------------------------------------------------------------------------- */

static uint64_t weight_bytes(const struct saving *s, size_t i)
{
  const struct weight *w = s->m->weights[i];
  return (uint64_t)weight_rows(w) * weight_cols(w) * save_types[s->type].size;
}

static int plan_shards(struct saving *s, uint64_t limit, struct error *err)
{
  s->shards = ARENA_NEW(s->arena, struct shard, s->m->weight_count, "model.save", err);
  if (!s->shards) return ERROR_RESOURCE;
  for (size_t i = 0; i < s->m->weight_count; i++) {
    uint64_t bytes = weight_bytes(s, i);
    struct shard *last = s->shard_count ? &s->shards[s->shard_count - 1] : NULL;
    if (!last || (last->bytes + bytes > limit && last->count)) {
      last = &s->shards[s->shard_count++];
      last->first = i;
    }
    last->count++;
    last->bytes += bytes;
    s->total_bytes += bytes;
  }
  for (size_t i = 0; i < s->shard_count; i++) {
    struct shard *shard = &s->shards[i];
    if (s->shard_count == 1) {
      snprintf(shard->name, sizeof shard->name, "model.safetensors");
    } else {
      snprintf(shard->name, sizeof shard->name, "model-%05zu-of-%05zu.safetensors", i + 1, s->shard_count);
    }
  }
  return 0;
}

/* The header, padded with blanks so that data begins at a multiple of 8. */
static void put_header(struct text *t, const struct saving *s, const struct shard *shard)
{
  uint64_t at = 0;
  text_puts(t, "{\"__metadata__\":{\"format\":\"pt\"}");
  for (size_t i = shard->first; i < shard->first + shard->count; i++) {
    const struct weight *w = s->m->weights[i];
    uint64_t end = at + weight_bytes(s, i);
    text_printf(t, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu", weight_name(w), save_types[s->type].dtype,
                weight_rows(w));
    if (weight_cols(w) > 1) text_printf(t, ",%zu", weight_cols(w));
    text_printf(t, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)end);
    at = end;
  }
  text_puts(t, "}");
  while (t->size % 8 && !t->rc) text_puts(t, " ");
}

static int write_shard(const struct saving *s, const struct shard *shard, const struct text *header, struct error *err)
{
  struct file_writer *out;
  uint8_t length[8];
  const char *path = path_join(s->arena, s->folder, shard->name, err);
  if (!path) return ERROR_RESOURCE;
  put_le(length, (uint32_t)header->size, 4);
  put_le(length + 4, (uint32_t)((uint64_t)header->size >> 32), 4);
  TRY(file_writer_open(s->arena, path, &out, err));
  TRY(file_writer_write(out, length, sizeof length, err));
  TRY(file_writer_write(out, header->bytes, header->size, err));
  for (size_t i = shard->first; i < shard->first + shard->count; i++)
    if (write_weight(out, s->m->weights[i], s->type, err)) return error_place(err, path, 0);
  return file_writer_commit(out, err);
}

static int write_text(const struct saving *s, const char *name, struct text *t, struct error *err)
{
  struct file_writer *out;
  int rc = text_finish(t, err);
  const char *path = rc ? NULL : path_join(s->arena, s->folder, name, err);
  if (!rc && !path) rc = ERROR_RESOURCE;
  if (!rc) rc = file_writer_open(s->arena, path, &out, err);
  if (!rc) rc = file_writer_write(out, t->bytes, t->size, err);
  if (!rc) rc = file_writer_commit(out, err);
  text_free(t);
  return rc;
}

static int write_index(const struct saving *s, struct error *err)
{
  struct text t = {0};
  text_printf(&t, "{\n  \"metadata\": {\"total_size\": %llu},\n  \"weight_map\": {",
              (unsigned long long)s->total_bytes);
  for (size_t i = 0; i < s->shard_count; i++)
    for (size_t j = s->shards[i].first; j < s->shards[i].first + s->shards[i].count; j++)
      text_printf(&t, "%s\n    \"%s\": \"%s\"", j ? "," : "", weight_name(s->m->weights[j]), s->shards[i].name);
  text_puts(&t, "\n  }\n}\n");
  return write_text(s, "model.safetensors.index.json", &t, err);
}

/* Readers prefer model.safetensors to an index: an old one beside new shards would be read in their place. */
static int refuse_mixture(const struct saving *s, struct error *err)
{
  const char *other = s->shard_count > 1 ? "model.safetensors" : "model.safetensors.index.json";
  const char *path = path_join(s->arena, s->folder, other, err);
  if (!path) return ERROR_RESOURCE;
  if (file_exists(path))
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "the folder holds another model in another number of files; remove it or save elsewhere");
  return 0;
}

static int write_weights(struct saving *s, uint64_t limit, struct error *err)
{
  TRY(plan_shards(s, limit, err));
  TRY(refuse_mixture(s, err));
  for (size_t i = 0; i < s->shard_count; i++) {
    struct text header = {0};
    put_header(&header, s, &s->shards[i]);
    int rc = text_finish(&header, err);
    if (!rc) rc = write_shard(s, &s->shards[i], &header, err);
    text_free(&header);
    TRY(rc);
  }
  return s->shard_count > 1 ? write_index(s, err) : 0;
}

/* ---- everything beside the weights --------------------------------------------------------------------------- */

static int copy_file(const struct saving *s, const char *from, const char *name, bool *copied, struct error *err)
{
  struct file_map map;
  struct file_writer *out;
  const char *source = path_join(s->arena, from, name, err), *target = path_join(s->arena, s->folder, name, err);
  if (!source || !target) return ERROR_RESOURCE;
  *copied = file_exists(source);
  if (!*copied || !strcmp(source, target)) return 0;
  TRY(file_map(s->arena, source, &map, err));
  TRY(file_writer_open(s->arena, target, &out, err));
  TRY(file_writer_write(out, map.bytes, map.size, err));
  return file_writer_commit(out, err);
}

static int write_side_files(const struct saving *s, const struct model_source *source, struct error *err)
{
  static const char *const names[] = {
      "tokenizer.json",    "tokenizer_config.json", "special_tokens_map.json",
      "added_tokens.json", "chat_template.jinja",   "vocab.json",
      "merges.txt",        "tokenizer.model",
  };
  const char *from = source ? source->folder : NULL;
  const int *ids = source ? source->end_ids : NULL;
  size_t id_count = source ? source->end_id_count : 0;
  bool copied = false;
  for (size_t i = 0; from && i < sizeof names / sizeof names[0]; i++) TRY(copy_file(s, from, names[i], &copied, err));

  copied = false;
  if (from) TRY(copy_file(s, from, "generation_config.json", &copied, err));
  if (!copied) {
    struct text t = {0};
    model_generation_config_put(&t, &s->m->config, ids, id_count);
    TRY(write_text(s, "generation_config.json", &t, err));
  }
  struct text t = {0};
  model_config_put(&t, &s->m->config, ids, id_count, save_types[s->type].torch);
  return write_text(s, "config.json", &t, err);
}

int model_save_sharded(const struct model *m, const struct model_source *source, const char *folder,
                       enum save_type type, uint64_t limit, struct error *err)
{
  if (!file_is_folder(folder)) FAIL_AT(err, ERROR_INPUT, folder, 0, NULL, "no such folder; make it first");
  struct saving s = {.arena = arena_create("model.save", 0, err), .m = m, .folder = folder, .type = type};
  if (!s.arena) return ERROR_RESOURCE;
  int rc = write_weights(&s, limit, err);
  if (!rc) rc = write_side_files(&s, source, err); /* config.json last: a folder with it is whole */
  arena_destroy(s.arena);
  return rc;
}

int model_save(const struct model *m, const struct model_source *source, const char *folder, enum save_type type,
               struct error *err)
{
  return model_save_sharded(m, source, folder, type, SHARD_BYTES, err);
}

int model_convert(struct arena *a, struct device *d, const char *src, const char *dst, enum save_type type,
                  uint64_t limit, struct model_source *source, struct error *err)
{
  struct model_source opened;
  struct model_config config;
  struct model *m;
  TRY(model_source_open(a, src, &opened, &config, err));
  if (source) *source = opened;
  TRY(model_load(a, d, &opened, &config, 1, &m, err));
  TRY(file_make_folder(dst, err));
  return model_save_sharded(m, &opened, dst, type, limit ? limit : SHARD_BYTES, err);
}
