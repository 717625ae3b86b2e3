/* From weights to a folder that transformers loads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "core/math.h"
#include "model/adapter.h"
#include "model/config.h"
#include "model/layout.h"
#include "model/open.h"

enum { CHUNK_REALS = 1 << 18 };

static const struct {
  const char *dtype, *torch;
  size_t size;
} save_types[] = {
    [SAVE_F32] = {"F32", "float32", 4}, [SAVE_BF16] = {"BF16", "bfloat16", 2}, [SAVE_F16] = {"F16", "float16", 2}};

/* Tensors first .. first+count-1 go into one file. */
struct shard {
  size_t first, count;
  uint64_t bytes;
  char name[64];
};

struct saving {
  struct arena *arena;
  const struct save_tensors *from;
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

static int write_rows(struct file_writer *out, const struct save_tensor *t, size_t row, const float *values,
                      uint8_t *bytes, size_t n, enum save_type type, struct error *err)
{
  size_t size = save_types[type].size;
  for (size_t i = 0; i < n; i++) {
    if (put_real(bytes + i * size, values[i], type)) continue;
    FAIL_AT(err, ERROR_INPUT, NULL, 0, t->name, "the weight \"%s\" is %g at [%zu, %zu], which %s cannot hold; %s",
            t->name, (double)values[i], row + i / t->cols, i % t->cols, save_types[type].dtype,
            math_is_finite((double)values[i]) ? "save as bf16 or f32" : "expected finite numbers");
  }
  return file_writer_write(out, bytes, n * size, err);
}

static int write_tensor(struct file_writer *out, const struct saving *s, size_t index, struct error *err)
{
  const struct save_tensor *t = &s->from->tensors[index];
  size_t rows = t->rows, cols = t->cols, chunk = s->from->whole ? rows : CHUNK_REALS / cols + 1;
  if (chunk > rows) chunk = rows;
  float *values = memory_alloc(chunk * cols, sizeof *values, "model.save", err);
  uint8_t *bytes = memory_alloc(chunk * cols, save_types[s->type].size, "model.save", err);
  int rc = values && bytes ? 0 : ERROR_RESOURCE;
  for (size_t row = 0; row < rows && !rc; row += chunk) {
    size_t count = rows - row < chunk ? rows - row : chunk;
    rc = s->from->read(s->from->arg, index, row, count, values, err);
    if (!rc) rc = write_rows(out, t, row, values, bytes, count * cols, s->type, err);
  }
  memory_free(values);
  memory_free(bytes);
  return rc;
}

/* ---- shards -------------------------------------------------------------------------------------------------- */

static uint64_t tensor_bytes(const struct saving *s, size_t i)
{
  const struct save_tensor *t = &s->from->tensors[i];
  return (uint64_t)t->rows * t->cols * save_types[s->type].size;
}

static int plan_shards(struct saving *s, uint64_t limit, struct error *err)
{
  s->shards = ARENA_NEW(s->arena, struct shard, s->from->count, "model.save", err);
  if (!s->shards) return ERROR_RESOURCE;
  for (size_t i = 0; i < s->from->count; i++) {
    uint64_t bytes = tensor_bytes(s, i);
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
      snprintf(shard->name, sizeof shard->name, "%s.safetensors", s->from->stem);
    } else {
      snprintf(shard->name, sizeof shard->name, "%s-%05zu-of-%05zu.safetensors", s->from->stem, i + 1, s->shard_count);
    }
  }
  return 0;
}

/* The header, padded with blanks so that data begins at a multiple of 8. */
static void put_header(struct text *out, const struct saving *s, const struct shard *shard)
{
  uint64_t at = 0;
  text_puts(out, "{\"__metadata__\":{\"format\":\"pt\"}");
  for (size_t i = shard->first; i < shard->first + shard->count; i++) {
    const struct save_tensor *t = &s->from->tensors[i];
    uint64_t end = at + tensor_bytes(s, i);
    text_printf(out, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu", t->name, save_types[s->type].dtype, t->rows);
    if (t->cols > 1) text_printf(out, ",%zu", t->cols);
    text_printf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)end);
    at = end;
  }
  text_puts(out, "}");
  while (out->size % 8 && !out->rc) text_puts(out, " ");
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
    if (write_tensor(out, s, i, err)) return error_place(err, path, 0);
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
      text_printf(&t, "%s\n    \"%s\": \"%s\"", j ? "," : "", s->from->tensors[j].name, s->shards[i].name);
  text_puts(&t, "\n  }\n}\n");
  char *name = arena_printf(s->arena, "model.save", err, "%s.safetensors.index.json", s->from->stem);
  if (name) return write_text(s, name, &t, err);
  text_free(&t);
  return ERROR_RESOURCE;
}

/* Readers prefer model.safetensors to an index: an old one beside new shards would be read in their place. */
static int refuse_mixture(const struct saving *s, struct error *err)
{
  const char *path = arena_printf(s->arena, "model.save", err, "%s/%s.safetensors%s", s->folder, s->from->stem,
                                  s->shard_count > 1 ? "" : ".index.json");
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

int save_tensors(struct arena *a, const struct save_tensors *from, const char *folder, enum save_type type,
                 uint64_t limit, struct error *err)
{
  struct saving s = {.arena = a, .from = from, .folder = folder, .type = type};
  if (!file_is_folder(folder)) FAIL_AT(err, ERROR_INPUT, folder, 0, NULL, "no such folder; make it first");
  return write_weights(&s, limit, err);
}

/* ---- everything beside the weights --------------------------------------------------------------------------- */

static int copy_file(struct arena *a, const char *from, const char *to, const char *name, bool *copied,
                     struct error *err)
{
  struct file_map map;
  struct file_writer *out;
  const char *source = path_join(a, from, name, err), *target = path_join(a, to, name, err);
  if (!source || !target) return ERROR_RESOURCE;
  *copied = file_exists(source);
  if (!*copied || !strcmp(source, target)) return 0;
  TRY(file_map(a, source, &map, err));
  TRY(file_writer_open(a, target, &out, err));
  TRY(file_writer_write(out, map.bytes, map.size, err));
  return file_writer_commit(out, err);
}

int save_tokenizer_files(struct arena *a, const char *from, const char *folder, struct error *err)
{
  static const char *const names[] = {
      "tokenizer.json",    "tokenizer_config.json", "special_tokens_map.json",
      "added_tokens.json", "chat_template.jinja",   "vocab.json",
      "merges.txt",        "tokenizer.model",
  };
  bool copied;
  for (size_t i = 0; from && i < sizeof names / sizeof names[0]; i++)
    TRY(copy_file(a, from, folder, names[i], &copied, err));
  return 0;
}

int save_side_files(struct arena *a, const struct model_config *c, const struct model_source *source,
                    const char *folder, enum save_type type, struct error *err)
{
  const struct saving s = {.arena = a, .folder = folder};
  const char *from = source ? source->folder : NULL;
  const int *ids = source ? source->end_ids : NULL;
  size_t id_count = source ? source->end_id_count : 0;
  bool copied = false;
  TRY(save_tokenizer_files(a, from, folder, err));
  if (from) TRY(copy_file(a, from, folder, "generation_config.json", &copied, err));
  if (!copied) {
    struct text t = {0};
    model_generation_config_put(&t, c, ids, id_count);
    TRY(write_text(&s, "generation_config.json", &t, err));
  }
  struct text t = {0};
  model_config_put(&t, c, ids, id_count, save_types[type].torch);
  return write_text(&s, "config.json", &t, err);
}

/* ---- a model ------------------------------------------------------------------------------------------------- */

/* Tensors of the files: a weight each, or several under each other (Phi-3's joined matrices). */
struct joined {
  const char *name;
  const struct weight *part[3];
  int count;
  size_t rows, cols;
};

static int compare_joined(const void *a, const void *b)
{
  return strcmp(((const struct joined *)a)->name, ((const struct joined *)b)->name);
}

/* Parts of a tensor stand behind each other in the layout. In name order. */
static int list_joined(struct arena *a, const struct model *m, struct joined **out, size_t *count, struct error *err)
{
  struct joined *all = ARENA_NEW(a, struct joined, model_tensor_count(&m->config), "model.save", err), *last = NULL;
  if (!all) return ERROR_RESOURCE;
  *count = 0;
  for (size_t i = 0; i < model_tensor_count(&m->config); i++) {
    struct model_tensor t;
    model_tensor_at(&m->config, i, &t);
    if (!last || strcmp(last->name, t.stored) != 0) {
      last = &all[(*count)++];
      last->name = arena_strdup(a, t.stored, "model.save", err);
      if (!last->name) return ERROR_RESOURCE;
      last->rows = t.stored_rows;
      last->cols = t.kind == WEIGHT_VECTOR ? 1 : t.k;
    }
    last->part[last->count++] = model_find(m, t.name);
  }
  qsort(all, *count, sizeof *all, compare_joined);
  *out = all;
  return 0;
}

static int read_joined(void *arg, size_t index, size_t row, size_t count, float *to, struct error *err)
{
  const struct joined *x = (const struct joined *)arg + index;
  size_t first = 0;
  (void)err;
  for (int p = 0; p < x->count && count; p++) {
    size_t rows = weight_rows(x->part[p]), here = 0;
    if (row < first + rows) {
      here = first + rows - row < count ? first + rows - row : count;
      weight_read(x->part[p], WEIGHT_MASTER, row - first, here, to, HOST_F32);
    }
    row += here;
    to += here * x->cols;
    count -= here;
    first += rows;
  }
  return 0;
}

static int save_weights(struct arena *a, const struct model *m, const char *folder, enum save_type type, uint64_t limit,
                        struct error *err)
{
  struct joined *all;
  size_t count;
  TRY(list_joined(a, m, &all, &count, err));
  struct save_tensor *tensors = ARENA_NEW(a, struct save_tensor, count, "model.save", err);
  if (!tensors) return ERROR_RESOURCE;
  for (size_t i = 0; i < count; i++) tensors[i] = (struct save_tensor){all[i].name, all[i].rows, all[i].cols};
  struct save_tensors from = {.stem = "model", .tensors = tensors, .count = count, .read = read_joined, .arg = all};
  return save_tensors(a, &from, folder, type, limit, err);
}

int model_save_sharded(const struct model *m, const struct model_source *source, const char *folder,
                       enum save_type type, uint64_t limit, struct error *err)
{
  struct arena *a = arena_create("model.save", 0, err);
  if (!a) return ERROR_RESOURCE;
  int rc = save_weights(a, m, folder, type, limit, err);
  // config.json last: a folder with it is whole
  if (!rc) rc = save_side_files(a, &m->config, source, folder, type, err);
  arena_destroy(a);
  return rc;
}

int model_save(const struct model *m, const struct model_source *source, const char *folder, enum save_type type,
               struct error *err)
{
  if (m->adapter) return adapter_save(m, source, folder, type, err);
  return model_save_sharded(m, source, folder, type, SAVE_SHARD_BYTES, err);
}

/* ---- from file to file --------------------------------------------------------------------------------------- */

struct stream {
  const struct model_reader *reader;
  struct model_tensor *tensors; /* [count], by name */
  size_t count;
};

static int read_stream(void *arg, size_t index, size_t row, size_t count, float *to, struct error *err)
{
  const struct stream *s = arg;
  log_progress("convert", (double)index, (double)s->count, "tensors");
  return model_reader_rows(s->reader, &s->tensors[index], row, count, to, err);
}

static int compare_tensors(const void *a, const void *b)
{
  return strcmp(((const struct model_tensor *)a)->name, ((const struct model_tensor *)b)->name);
}

/* Row by row, without a model: a piece of one tensor is in memory and no more. */
static int convert_stream(struct arena *a, const struct model_source *source, const struct model_config *c,
                          const char *folder, enum save_type type, uint64_t limit, struct error *err)
{
  struct model_reader *reader;
  const size_t count = model_tensor_count(c);
  TRY(model_reader_open(a, source, c, &reader, err));
  struct stream s = {reader, ARENA_NEW(a, struct model_tensor, count, "model.save", err), count};
  struct save_tensor *tensors = ARENA_NEW(a, struct save_tensor, count, "model.save", err);
  if (!s.tensors || !tensors) return ERROR_RESOURCE;
  for (size_t i = 0; i < count; i++) model_tensor_at(c, i, &s.tensors[i]);
  qsort(s.tensors, count, sizeof *s.tensors, compare_tensors);
  for (size_t i = 0; i < count; i++) {
    const struct model_tensor *t = &s.tensors[i];
    tensors[i] = (struct save_tensor){t->name, t->n, t->kind == WEIGHT_VECTOR ? 1 : t->k};
  }
  struct save_tensors from = {
      .stem = "model", .tensors = tensors, .count = count, .whole = false, .read = read_stream, .arg = &s};
  int rc = save_tensors(a, &from, folder, type, limit, err);
  log_progress_end();
  return rc ? rc : save_side_files(a, c, source, folder, type, err);
}

int model_convert(struct arena *a, struct device *d, const char *src, const char *dst, enum save_type type,
                  uint64_t limit, struct model_source *source, struct error *err)
{
  struct model_source opened;
  struct model_config config;
  struct model *m;
  TRY(model_source_open(a, src, &opened, &config, err));
  if (source) *source = opened;
  if (!limit) limit = SAVE_SHARD_BYTES;
  if (!config.fused && !config.adapter.rank) { /* the files hold each weight under its own name */
    TRY(file_make_folder(dst, err));
    return convert_stream(a, &opened, &config, dst, type, limit, err);
  }
  TRY(model_load(a, d, &opened, &config, 1, &m, err));
  if (m->adapter) TRY(adapter_fold(a, m, 1, err));
  TRY(file_make_folder(dst, err));
  return model_save_sharded(m, &opened, dst, type, limit, err);
}
