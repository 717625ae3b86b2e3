/* From files to weights. First everything is found and its shape compared, and only then the model is created: a
 * configuration that claims more than the files hold costs nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "core/pool.h"
#include "model/adapter.h"
#include "model/layout.h"
#include "model/open.h"
#include "model/safetensors.h"

enum { CHUNK_REALS = 1 << 18, MAX_SHARDS = 4096 };

/* Where the weights are. */
struct store {
  struct arena *arena;
  const char *path; /* safetensors file, its index, or GGUF file: what a missing weight is missing from */
  const struct gguf *gguf;
  struct safetensors *shards;
  const char **shard_names;
  size_t shard_count;
  json_t *map; /* weight_map of the index, or NULL */
};

/* One of the two is set. */
struct stored {
  const char *file;
  const struct safetensors_tensor *safe;
  const struct gguf_tensor *gguf;
};

/* ---- opening ------------------------------------------------------------------------------------------------- */

static bool leaves_folder(const char *name)
{
  if (!*name || *name == '/') return true;
  for (const char *at = name; at; at = strchr(at, '/')) {
    if (*at == '/') at++;
    if (!strncmp(at, "..", 2) && (at[2] == '/' || !at[2])) return true;
  }
  return false;
}

static int open_shard(struct store *s, const char *folder, const char *tensor, const json_t *value, struct error *err)
{
  const char *name = json_string_value(value);
  if (!name) FAIL_AT(err, ERROR_INPUT, s->path, 0, tensor, "weight_map must give a file name for \"%.200s\"", tensor);
  for (size_t i = 0; i < s->shard_count; i++)
    if (!strcmp(s->shard_names[i], name)) return 0;
  if (leaves_folder(name))
    FAIL_AT(err, ERROR_INPUT, s->path, 0, tensor,
            "weight_map puts \"%.200s\" into \"%.200s\"; expected a file in the same folder", tensor, name);
  if (s->shard_count == MAX_SHARDS) FAIL_AT(err, ERROR_INPUT, s->path, 0, NULL, "more than %d shards", MAX_SHARDS);
  const char *path = path_join(s->arena, folder, name, err);
  if (!path) return ERROR_RESOURCE;
  if (safetensors_open(s->arena, path, &s->shards[s->shard_count], err))
    return error_context(err, "reading the shard that %s names", path_base(s->path));
  s->shard_names[s->shard_count++] = name;
  return 0;
}

static int open_index(struct store *s, const char *folder, struct error *err)
{
  struct file_map file;
  json_t *index, *value;
  const char *tensor;
  TRY(file_map(s->arena, s->path, &file, err));
  TRY(json_parse(s->arena, (const char *)file.bytes, file.size, s->path, 0, JSON_READ_UNIQUE, &index, err));
  s->map = json_object_get(index, "weight_map");
  if (!json_is_object(s->map))
    FAIL_AT(err, ERROR_INPUT, s->path, 0, "weight_map", "there is no weight_map; expected an object of tensor: file");
  size_t room = json_object_size(s->map) < MAX_SHARDS ? json_object_size(s->map) : MAX_SHARDS;
  s->shards = ARENA_NEW(s->arena, struct safetensors, room, "model.load", err);
  s->shard_names = ARENA_NEW(s->arena, const char *, room, "model.load", err);
  if (!s->shards || !s->shard_names) return ERROR_RESOURCE;
  json_object_foreach(s->map, tensor, value) TRY(open_shard(s, folder, tensor, value, err));
  return 0;
}

static int open_folder(struct store *s, const char *folder, struct error *err)
{
  const char *single = path_join(s->arena, folder, "model.safetensors", err);
  const char *index = path_join(s->arena, folder, "model.safetensors.index.json", err);
  if (!single || !index) return ERROR_RESOURCE;
  s->path = single;
  if (!file_exists(single) && file_exists(index)) {
    s->path = index;
    return open_index(s, folder, err);
  }
  if (!file_exists(single))
    FAIL_AT(err, ERROR_INPUT, single, 0, NULL,
            "no such file, and no model.safetensors.index.json; weights are read from safetensors or GGUF only");
  s->shards = ARENA_NEW(s->arena, struct safetensors, 1, "model.load", err);
  if (!s->shards) return ERROR_RESOURCE;
  s->shard_count = 1;
  return safetensors_open(s->arena, single, s->shards, err);
}

/* ---- finding ------------------------------------------------------------------------------------------------- */

static int missing(const struct store *s, const char *name, struct error *err)
{
  const char *hint = strcmp(name, "lm_head.weight") ? "" : "; if the head is the embedding, set tie_word_embeddings";
  FAIL_AT(err, ERROR_INPUT, s->path, 0, name, "the weight \"%s\" is missing%s", name, hint);
}

static int find_safe(const struct store *s, const char *name, struct stored *out, struct error *err)
{
  size_t shard = 0;
  if (s->map) {
    const char *file = json_string_value(json_object_get(s->map, name));
    if (!file) return missing(s, name, err);
    while (strcmp(s->shard_names[shard], file)) shard++;
  }
  out->file = s->shards[shard].path;
  out->safe = safetensors_find(&s->shards[shard], name);
  if (out->safe) return 0;
  if (!s->map) return missing(s, name, err);
  FAIL_AT(err, ERROR_INPUT, out->file, 0, name, "the weight \"%s\" is missing, though %s says that it is here", name,
          path_base(s->path));
}

static int check_safe(const struct model_tensor *t, const struct stored *at, struct error *err)
{
  const struct safetensors_tensor *x = at->safe;
  bool vector = t->kind == WEIGHT_VECTOR;
  if (x->rank != (vector ? 1 : 2) || x->dims[0] != t->stored_rows || (!vector && x->dims[1] != t->k)) {
    char have[64] = "", want[64];
    size_t length = 0;
    for (size_t i = 0; i < x->rank && length < sizeof have; i++)
      length += (size_t)snprintf(have + length, sizeof have - length, "%s%llu", i ? ", " : "",
                                 (unsigned long long)x->dims[i]);
    snprintf(want, sizeof want, vector ? "%zu" : "%zu, %zu", t->stored_rows, t->k);
    FAIL_AT(err, ERROR_INPUT, at->file, 0, t->stored,
            "the weight \"%s\" has shape [%s]; the configuration asks for [%s]", t->stored, have, want);
  }
  if (!safetensors_is_float(x))
    FAIL_AT(err, ERROR_INPUT, at->file, 0, t->stored,
            "the weight \"%s\" is of type %s, which is not supported; supported are " SAFETENSORS_READABLE, t->stored,
            x->dtype);
  return 0;
}

static int check_gguf(const struct model_tensor *t, const struct stored *at, struct error *err)
{
  const struct gguf_tensor *x = at->gguf;
  uint64_t row = t->kind == WEIGHT_VECTOR ? t->n : t->k, rows = t->kind == WEIGHT_VECTOR ? 1 : t->stored_rows;
  if (x->dims[0] != row || x->dims[1] != rows || x->dims[2] != 1 || x->dims[3] != 1)
    FAIL_AT(err, ERROR_INPUT, at->file, 0, t->stored_gguf,
            "the tensor \"%s\" has dimensions %llu x %llu x %llu x %llu; the configuration asks for %llu x %llu",
            t->stored_gguf, (unsigned long long)x->dims[0], (unsigned long long)x->dims[1],
            (unsigned long long)x->dims[2], (unsigned long long)x->dims[3], (unsigned long long)row,
            (unsigned long long)rows);
  if (!gguf_can_read(x))
    FAIL_AT(err, ERROR_INPUT, at->file, 0, t->stored_gguf,
            "the tensor \"%s\" is of type %s, which is not supported; supported are %s", t->stored_gguf,
            gguf_tensor_type_name(x->type), GGUF_READABLE);
  return 0;
}

/* The stored form of a weight, with shape and type checked. */
static int find_weight(const struct store *s, const struct model_tensor *t, struct stored *out, struct error *err)
{
  memset(out, 0, sizeof *out);
  if (!s->gguf) {
    TRY(find_safe(s, t->stored, out, err));
    return check_safe(t, out, err);
  }
  out->file = s->gguf->path;
  out->gguf = gguf_find_tensor(s->gguf, t->stored_gguf);
  if (!out->gguf) return missing(s, t->stored_gguf, err);
  return check_gguf(t, out, err);
}

/* ---- nothing else -------------------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
  size_t n = strlen(s), m = strlen(end);
  return n >= m && !strcmp(s + n - m, end);
}

/* Buffers that old versions of transformers saved and that follow from the configuration. */
static bool is_harmless(const char *name)
{
  return ends_with(name, ".rotary_emb.inv_freq");
}

static int compare_strings(const void *a, const void *b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A tied model's head may be stored as well, if it is the embedding. */
static int check_tied_head(const struct store *s, const struct safetensors_tensor *head, const char *file,
                           struct error *err)
{
  struct stored embed;
  TRY(find_safe(s, "model.embed_tokens.weight", &embed, err));
  if (strcmp(head->dtype, embed.safe->dtype) || head->rank != 2 || head->dims[0] != embed.safe->dims[0] ||
      head->dims[1] != embed.safe->dims[1] || memcmp(head->data, embed.safe->data, head->end - head->begin))
    FAIL_AT(
        err, ERROR_INPUT, file, 0, head->name,
        "tie_word_embeddings is true, but lm_head.weight differs from model.embed_tokens.weight; correct one of them");
  return 0;
}

static int check_extra(const struct store *s, const struct model_config *c, const struct safetensors *shard,
                       const char *shard_name, const struct safetensors_tensor *t, struct error *err)
{
  if (s->map) {
    const char *file = json_string_value(json_object_get(s->map, t->name));
    if (!file || strcmp(file, shard_name))
      FAIL_AT(err, ERROR_INPUT, shard->path, 0, t->name, "the weight \"%.200s\" is here, but %s %s", t->name,
              path_base(s->path), file ? "puts it into another shard" : "does not know it");
  }
  if (is_harmless(t->name) || (c->scores && !strcmp(t->name, "lm_head.weight"))) return 0;
  if (c->tied && !strcmp(t->name, "lm_head.weight")) return check_tied_head(s, t, shard->path, err);
  FAIL_AT(err, ERROR_INPUT, shard->path, 0, t->name,
          "the weight \"%.200s\" has no place in this configuration (model_type \"%s\"); is config.json the right one?",
          t->name, c->model_type);
}

/* Every stored tensor is one of the model's. names: the model's, sorted. */
static int refuse_unknown(const struct store *s, const struct model_config *c, const char **names, size_t count,
                          struct error *err)
{
  for (size_t i = 0; s->gguf && i < s->gguf->tensor_count; i++) {
    const char *name = s->gguf->tensors[i].name;
    if (ends_with(name, "rope_freqs.weight") || !strncmp(name, "rope_factors_", 13))
      continue; /* read with the configuration */
    if (!bsearch(&name, names, count, sizeof *names, compare_strings))
      FAIL_AT(err, ERROR_INPUT, s->path, 0, name,
              "the tensor \"%s\" has no place in a model of architecture \"%s\"; it would be ignored", name,
              c->model_type);
  }
  for (size_t i = 0; i < s->shard_count; i++) {
    const struct safetensors *shard = &s->shards[i];
    for (size_t j = 0; j < shard->count; j++) {
      const char *name = shard->tensors[j].name;
      struct stored at = {0};
      bool known = bsearch(&name, names, count, sizeof *names, compare_strings);
      if (known) TRY(find_safe(s, name, &at, err));
      if (at.safe != &shard->tensors[j])
        TRY(check_extra(s, c, shard, s->map ? s->shard_names[i] : NULL, &shard->tensors[j], err));
    }
  }
  return 0;
}

/* The score of a reward model that begins now. */
static bool is_yet_to_come(const struct model_config *c, const struct model_tensor *t)
{
  return c->scores_new && t->slot == offsetof(struct model, score) && t->layer < 0;
}

/* All weights are there with the right shape, and nothing else is. */
static int check_store(const struct store *s, const struct model_config *c, struct error *err)
{
  size_t count = model_tensor_count(c);
  struct model_tensor t;
  struct stored at;
  for (size_t i = 0; i < count; i++) {
    model_tensor_at(c, i, &t);
    if (is_yet_to_come(c, &t)) continue;
    TRY(find_weight(s, &t, &at, err));
  }
  const char **names = ARENA_NEW(s->arena, const char *, count, "model.load", err);
  if (!names) return ERROR_RESOURCE;
  for (size_t i = 0; i < count; i++) {
    model_tensor_at(c, i, &t);
    names[i] = arena_strdup(s->arena, s->gguf ? t.stored_gguf : t.stored, "model.load", err);
    if (!names[i]) return ERROR_RESOURCE;
  }
  qsort(names, count, sizeof *names, compare_strings);
  return refuse_unknown(s, c, names, count, err);
}

/* ---- filling ------------------------------------------------------------------------------------------------- */

/* Row of GGUF's llama that holds row r: a head's two halves are interleaved there (llama.cpp's LlamaModel.permute). */
static size_t interleaved(size_t r, size_t head_dim)
{
  size_t in_head = r % head_dim, half = head_dim / 2;
  return r - in_head + 2 * (in_head % half) + in_head / half;
}

static void read_stored(const struct stored *at, uint64_t first, size_t n, float *to)
{
  if (at->gguf) {
    gguf_read_f32(at->gguf, first, n, to);
  } else {
    safetensors_read_f32(at->safe, first, n, to);
  }
}

static int check_finite(const struct stored *at, const struct model_tensor *t, const float *values, size_t first,
                        size_t n, struct error *err)
{
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    if ((bits & 0x7f800000u) != 0x7f800000u) continue;
    FAIL_AT(err, ERROR_INPUT, at->file, 0, t->name, "the weight \"%s\" is %s at [%zu, %zu]; expected finite numbers",
            t->name, bits & 0x7fffffu ? "NaN" : "infinite", (first + i) / t->k, (first + i) % t->k);
  }
  return 0;
}

/* Rows row .. row+count-1 of the weight, in the order of Hugging Face. whole: room for a vector that is permuted. */
static void read_rows(const struct stored *at, const struct model_tensor *t, bool permute, size_t row, size_t count,
                      float *whole, float *to)
{
  if (!permute) {
    read_stored(at, (uint64_t)(t->stored_row + row) * t->k, count * t->k, to);
  } else if (t->kind == WEIGHT_VECTOR) {
    read_stored(at, 0, t->n, whole);
    for (size_t i = 0; i < t->n; i++) to[i] = whole[interleaved(i, t->rotary_dim)];
  } else {
    for (size_t i = 0; i < count; i++)
      read_stored(at, (uint64_t)interleaved(row + i, t->rotary_dim) * t->k, t->k, to + i * t->k);
  }
}

/* A weight on its way from the file, rows in parallel. */
struct filling {
  struct weight *weight;
  const struct model_tensor *tensor;
  const struct stored *at;
  bool permute, minus_one;   /* minus_one: the file has 1 + w */
  struct compute_mode plain; /* of the caller: values are read as they stand, denormals too */
  struct error *errors;      /* [threads] */
};

/* Rows row .. row+count-1 as the file has them, for a weight that stays in blocks. */
static void write_blocks(const struct filling *f, size_t row, size_t count, uint8_t *bytes)
{
  const struct model_tensor *t = f->tensor;
  const enum quant_type type = weight_quant(f->weight);
  const size_t step = t->k / quant_block(type) * quant_block_bytes(type);
  for (size_t i = 0; i < count; i++) {
    const size_t from = f->permute ? interleaved(row + i, t->rotary_dim) : row + i;
    gguf_read_blocks(f->at->gguf, (uint64_t)(t->stored_row + from) * t->k, t->k, bytes + i * step);
  }
  weight_write_blocks(f->weight, row, count, bytes);
}

/* Rows are copied in chunks; a vector is one stored row. */
static int fill_rows(const struct filling *f, size_t begin, size_t end, struct error *err)
{
  const struct model_tensor *t = f->tensor;
  size_t chunk = t->kind == WEIGHT_VECTOR ? t->n : CHUNK_REALS / t->k + 1;
  if (chunk > end - begin) chunk = end - begin;
  float *values = memory_alloc(chunk * t->k, sizeof *values, "model.load", err);
  float *whole = memory_alloc(t->kind == WEIGHT_VECTOR ? t->n : 1, sizeof *whole, "model.load", err);
  const bool blocks = weight_quant(f->weight) && f->at->gguf && f->at->gguf->type == (uint32_t)weight_quant(f->weight);
  int rc = values && whole ? 0 : ERROR_RESOURCE;
  for (size_t row = begin; row < end && !rc; row += chunk) {
    size_t count = end - row < chunk ? end - row : chunk;
    read_rows(f->at, t, f->permute, row, count, whole, values);
    for (size_t i = 0; f->minus_one && i < count * t->k; i++) values[i] -= 1;
    rc = check_finite(f->at, t, values, row * t->k, count * t->k, err);
    if (rc) continue;
    if (blocks)
      write_blocks(f, row, count, (uint8_t *)values); /* they take less room than the numbers they make */
    else
      weight_write(f->weight, WEIGHT_MASTER, row, count, values, HOST_F32);
  }
  memory_free(values);
  memory_free(whole);
  return rc;
}

static void fill_share(void *arg, int thread, size_t begin, size_t end)
{
  const struct filling *f = arg;
  struct compute_mode inside = compute_mode_enter();
  compute_mode_leave(f->plain);
  (void)!fill_rows(f, begin, end, &f->errors[thread]);
  compute_mode_leave(inside);
}

/* Shares of whole panels; the error of the first rows counts. */
static int fill_weight(struct pool *pool, struct filling *f, struct error *err)
{
  enum { GRAIN = 64 };
  int threads = pool_threads(pool), rc = 0;
  f->plain = compute_mode_enter();
  compute_mode_leave(f->plain);
  pool_run_grain(pool, f->tensor->n, f->tensor->kind == WEIGHT_VECTOR ? f->tensor->n : GRAIN, fill_share, f);
  for (int i = 0; i < threads; i++) {
    if (!rc && f->errors[i].code) {
      *err = f->errors[i];
      rc = err->code;
    } else {
      error_clear(&f->errors[i]);
    }
  }
  return rc;
}

static int fill_model(const struct store *s, struct model *m, struct error *err)
{
  bool permute = s->gguf && model_gguf_interleaves(&m->config);
  struct pool *pool = device_pool(m->device);
  struct error *errors = ARENA_NEW(s->arena, struct error, (size_t)pool_threads(pool), "model.load", err);
  if (!errors) return err->code;
  for (size_t i = 0; i < m->weight_count; i++) {
    struct model_tensor t;
    struct stored at;
    model_tensor_at(&m->config, i, &t);
    if (is_yet_to_come(&m->config, &t)) continue;
    TRY(find_weight(s, &t, &at, err));
    struct filling f = {.weight = model_find(m, t.name),
                        .tensor = &t,
                        .at = &at,
                        .permute = permute && t.rotary_dim,
                        .minus_one = s->gguf && t.norm && m->config.norm_plus_one,
                        .errors = errors};
    TRY(fill_weight(pool, &f, err));
    log_progress("load", (double)(i + 1), (double)m->weight_count, "tensors");
    if (at.gguf) file_forget(at.gguf->data, at.gguf->bytes);
    if (at.safe) file_forget(at.safe->data, at.safe->end - at.safe->begin);
  }
  log_progress_end();
  return device_sync(m->device, err);
}

static int open_store(struct store *s, const struct model_source *source, const struct model_config *config,
                      struct error *err)
{
  if (source->gguf_path) {
    s->gguf = source->gguf;
    s->path = source->gguf_path;
  } else {
    TRY(open_folder(s, source->folder, err));
  }
  return check_store(s, config, err);
}

/* ---- weights without a model --------------------------------------------------------------------------------- */

struct model_reader {
  struct store store;
  bool permute, minus_one; /* as in struct filling */
};

int model_reader_open(struct arena *a, const struct model_source *source, const struct model_config *config,
                      struct model_reader **out, struct error *err)
{
  struct model_reader *r = *out = ARENA_NEW(a, struct model_reader, 1, "model.load", err);
  if (!r) return ERROR_RESOURCE;
  r->store.arena = a;
  r->permute = source->gguf_path && model_gguf_interleaves(config);
  r->minus_one = source->gguf_path && config->norm_plus_one;
  return open_store(&r->store, source, config, err);
}

int model_reader_rows(const struct model_reader *r, const struct model_tensor *t, size_t row, size_t count, float *to,
                      struct error *err)
{
  struct stored at;
  float *whole = memory_alloc(t->kind == WEIGHT_VECTOR ? t->n : 1, sizeof *whole, "model.load", err);
  int rc = whole ? find_weight(&r->store, t, &at, err) : ERROR_RESOURCE;
  ASSAY_BUG_IF(t->kind == WEIGHT_VECTOR && (row || count != t->n));
  if (!rc) read_rows(&at, t, r->permute && t->rotary_dim, row, count, whole, to);
  for (size_t i = 0; !rc && r->minus_one && t->norm && i < count * t->k; i++) to[i] -= 1;
  if (!rc) rc = check_finite(&at, t, to, row * t->k, count * t->k, err);
  memory_free(whole);
  return rc;
}

typedef int create_fn(struct arena *a, struct device *d, const struct model_config *c, int positions,
                      struct model **out, struct error *err);

static int load_from(struct store *s, struct arena *a, struct device *d, const struct model_source *source,
                     const struct model_config *config, int positions, create_fn *create, struct model **out,
                     struct error *err)
{
  TRY(open_store(s, source, config, err));
  struct model *m;
  TRY(create(a, d, config, positions, &m, err));
  TRY(fill_model(s, m, err));
  if (m->adapter && source->adapter) TRY(adapter_load(m, source->adapter, err));
  *out = m;
  return 0;
}

static int load(struct arena *a, struct device *d, const struct model_source *source, const struct model_config *config,
                int positions, create_fn *create, struct model **out, struct error *err)
{
  *out = NULL;
  struct store s = {.arena = arena_create("model.load", 0, err)};
  if (!s.arena) return ERROR_RESOURCE;
  int rc = load_from(&s, a, d, source, config, positions, create, out, err);
  arena_destroy(s.arena);
  return rc;
}

int model_load(struct arena *a, struct device *d, const struct model_source *source, const struct model_config *config,
               int positions, struct model **out, struct error *err)
{
  return load(a, d, source, config, positions, model_create, out, err);
}

int model_load_fixed(struct arena *a, struct device *d, const struct model_source *source,
                     const struct model_config *config, int positions, struct model **out, struct error *err)
{
  return load(a, d, source, config, positions, model_create_fixed, out, err);
}
