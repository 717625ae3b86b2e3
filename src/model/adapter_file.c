/* Adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors with names like
 * "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight". Which products the adapter stands beside is read
 * off the tensors' names: target_modules may be a pattern, and the tensors are what is there.
 *
 * Where files join q, k and v, gate and up (Phi-3), PEFT has one pair beside the joined matrix: y += s (x A^T) B^T with
 * A [r, K] and B's rows those of all parts. In memory each part has a pair of its own, begun with the same A. Saved
 * again they stand in one pair of the rank parts * r: A's are laid under each other, and B holds each part's block in
 * the columns of its A, zeros beside it, which is the same sum. rank_pattern and alpha_pattern say so to PEFT; s stays
 * what it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/math.h"
#include "model/adapter.h"
#include "model/layout.h"
#include "model/open.h"
#include "model/safetensors.h"

static const char CONFIG[] = "adapter_config.json", TENSORS[] = "adapter_model.safetensors",
                  PREFIX[] = "base_model.model.";
static const char TARGET_LIST[] =
    "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, and Phi-3's qkv_proj and gate_up_proj";

/* Modules that stand for several. */
static const struct {
  const char *module;
  unsigned targets;
  int parts;
} joined[] = {{"self_attn.qkv_proj", 1u << ADAPTER_Q | 1u << ADAPTER_K | 1u << ADAPTER_V, 3},
              {"mlp.gate_up_proj", 1u << ADAPTER_GATE | 1u << ADAPTER_UP, 2}};
enum { JOINED = sizeof joined / sizeof joined[0] };

static const char *last_name(const char *module)
{
  return strrchr(module, '.') + 1;
}

bool adapter_folder_is(const char *folder)
{
  char file[4096]; /* a longer path is none that a file system takes */
  const int length = snprintf(file, sizeof file, "%s/%s", folder, CONFIG);
  return length > 0 && (size_t)length < sizeof file && file_is_folder(folder) && file_exists(file);
}

/* ---- adapter_config.json ------------------------------------------------------------------------------------------
 */

static bool is_empty(const json_t *v)
{
  if (!v || json_is_null(v) || json_is_false(v)) return true;
  if (json_is_object(v)) return json_object_size(v) == 0;
  return json_is_array(v) && json_array_size(v) == 0;
}

/* Settings that would change the forward in a way that is not computed here. */
static int refuse_others(const json_t *o, const char *file, struct error *err)
{
  static const char *const keys[][2] = {
      {"use_dora", "DoRA"},
      {"modules_to_save", "modules saved whole"},
      {"layers_to_transform", "adapters in some layers only"},
      {"layer_replication", "layers used several times"},
      {"trainable_token_indices", "trained tokens"},
      {"target_parameters", "adapters of parameters"},
      {"fan_in_fan_out", "weights stored as [in, out]"},
      {"lora_bias", "a bias in the adapter"},
      {"use_qalora", "QA-LoRA"},
      {"use_bdlora", "block-diagonal LoRA"},
      {"arrow_config", "routed adapters"},
      {"kasa_config", "KaSA"},
      {"velora_config", "VeLoRA"},
      {"monteclora_config", "MonteCLoRA"},
      {"alora_invocation_tokens", "an adapter that is switched on by tokens"},
  };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!is_empty(json_object_get(o, keys[i][0])))
      FAIL_AT(err, ERROR_INPUT, file, 0, keys[i][0],
              "%s is set, which means %s; supported is LoRA of one rank, with rsLoRA or without; fold it into its base "
              "with PEFT (merge_and_unload) and use that model",
              keys[i][0], keys[i][1]);
  const char *bias, *type;
  TRY(json_string_or(o, "bias", "none", &bias, file, err));
  if (strcmp(bias, "none"))
    FAIL_AT(err, ERROR_INPUT, file, 0, "bias", "bias is \"%s\"; supported is \"none\": biases are the base's", bias);
  TRY(json_need_string(o, "peft_type", &type, file, err));
  if (strcmp(type, "LORA"))
    FAIL_AT(err, ERROR_INPUT, file, 0, "peft_type", "peft_type is \"%.40s\"; supported is \"LORA\"", type);
  return 0;
}

/* alpha of a pair that holds `parts` of them, so that s is that of each. */
static double joined_alpha(const struct adapter_config *c, int parts)
{
  return c->alpha * (c->rslora ? math_sqrt((double)parts) : (double)parts);
}

/* Patterns as put_config writes them say nothing new; others do. */
static int check_patterns(const json_t *o, const struct adapter_config *c, const char *file, struct error *err)
{
  static const char *const keys[] = {"rank_pattern", "alpha_pattern"};
  for (int i = 0; i < 2; i++) {
    const json_t *given = json_object_get(o, keys[i]);
    size_t known = 0;
    for (int k = 0; k < JOINED; k++) {
      const json_t *x = json_object_get(given, last_name(joined[k].module));
      double want = i ? joined_alpha(c, joined[k].parts) : (double)(c->rank * joined[k].parts);
      known += json_is_number(x) && math_abs(json_number_value(x) - want) <= 1e-12 * want;
    }
    if (!is_empty(given) && known != json_object_size(given))
      FAIL_AT(err, ERROR_INPUT, file, 0, keys[i],
              "%s is set, which means %s that differ by module; supported is LoRA of one rank, with rsLoRA or without; "
              "fold it into its base with PEFT (merge_and_unload) and use that model",
              keys[i], i ? "alphas" : "ranks");
  }
  return 0;
}

static int read_config(struct arena *a, const char *folder, struct adapter_config *out, const char **base,
                       struct error *err)
{
  json_t *o;
  int64_t rank;
  char *file = path_join(a, folder, CONFIG, err);
  if (!file) return ERROR_RESOURCE;
  TRY(json_parse_file(a, file, &o, err));
  if (!json_is_object(o)) FAIL_AT(err, ERROR_INPUT, file, 0, NULL, "found no JSON object; expected PEFT's settings");
  TRY(refuse_others(o, file, err));
  TRY(json_need_int(o, "r", 1, 1 << 16, &rank, file, err));
  TRY(json_real_or(o, "lora_alpha", 1e-9, 1e9, 8, &out->alpha, file, err));
  TRY(json_bool_or(o, "use_rslora", false, &out->rslora, file, err));
  TRY(json_string_or(o, "base_model_name_or_path", "", base, file, err));
  out->rank = (int)rank;
  return check_patterns(o, out, file, err);
}

/* ---- names --------------------------------------------------------------------------------------------------------
 */

/* The targets of a module below a layer; 0: it is none. */
static unsigned targets_of(const char *module)
{
  for (int t = 0; t < ADAPTER_TARGETS; t++)
    if (!strcmp(module, adapter_target_module((enum adapter_target)t))) return 1u << t;
  for (int i = 0; i < JOINED; i++)
    if (!strcmp(module, joined[i].module)) return joined[i].targets;
  return 0;
}

/* The targets that a tensor's name speaks of; 0 where it is no part of a LoRA adapter of this program's kind. PEFT
   leaves the adapter's name out of files, or writes "default". */
static unsigned read_name(const char *name)
{
  static const char LAYERS[] = "model.layers.";
  char module[64];
  if (strncmp(name, PREFIX, strlen(PREFIX))) return 0;
  name += strlen(PREFIX);
  if (strncmp(name, LAYERS, strlen(LAYERS))) return 0;
  name += strlen(LAYERS);
  size_t digits = strspn(name, "0123456789");
  if (!digits || digits > 4 || name[digits] != '.') return 0;
  name += digits + 1;
  const char *lora = strstr(name, ".lora_");
  if (!lora || (size_t)(lora - name) >= sizeof module) return 0;
  memcpy(module, name, (size_t)(lora - name));
  module[lora - name] = 0;
  const char *rest = lora[6] ? lora + 7 : "";
  bool half = lora[6] == 'A' || lora[6] == 'B';
  return half && (!strcmp(rest, ".weight") || !strcmp(rest, ".default.weight")) ? targets_of(module) : 0;
}

static int read_targets(const struct safetensors *s, unsigned *out, struct error *err)
{
  *out = 0;
  for (size_t i = 0; i < s->count; i++) {
    unsigned targets = read_name(s->tensors[i].name);
    if (!targets)
      FAIL_AT(err, ERROR_INPUT, s->path, 0, s->tensors[i].name,
              "found the tensor \"%.200s\"; supported are lora_A and lora_B of %s in layers of a decoder",
              s->tensors[i].name, TARGET_LIST);
    *out |= targets;
  }
  if (!*out) FAIL_AT(err, ERROR_INPUT, s->path, 0, NULL, "holds no tensor; expected lora_A and lora_B of some modules");
  return 0;
}

static int open_tensors(struct arena *a, const char *folder, struct safetensors *out, struct error *err)
{
  char *path = path_join(a, folder, TENSORS, err);
  if (!path) return ERROR_RESOURCE;
  if (!file_exists(path))
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "no such file beside %s; expected one; an older adapter_model.bin is saved anew by PEFT's save_pretrained",
            CONFIG);
  return safetensors_open(a, path, out, err);
}

int adapter_folder_read(struct arena *a, const char *folder, struct adapter_config *out, const char **base,
                        struct error *err)
{
  struct safetensors s;
  *out = (struct adapter_config){0};
  TRY(read_config(a, folder, out, base, err));
  TRY(open_tensors(a, folder, &s, err));
  return read_targets(&s, &out->targets, err);
}

/* ---- loading ------------------------------------------------------------------------------------------------------
 */

static const struct safetensors_tensor *find(const struct safetensors *s, const char *name)
{
  char full[256];
  snprintf(full, sizeof full, "%s%s", PREFIX, name);
  const struct safetensors_tensor *t = safetensors_find(s, full);
  if (t) return t;
  size_t stem = strlen(full) - strlen(".weight");
  snprintf(full + stem, sizeof full - stem, ".default.weight");
  return safetensors_find(s, full);
}

static int check_tensor(const struct safetensors *s, const struct safetensors_tensor *t, const char *name, size_t rows,
                        size_t cols, struct error *err)
{
  if (!t)
    FAIL_AT(err, ERROR_INPUT, s->path, 0, name,
            "the tensor \"%s%s\" is missing; expected it in every layer of the base", PREFIX, name);
  if (t->rank != 2 || t->dims[0] != rows || t->dims[1] != cols)
    FAIL_AT(err, ERROR_INPUT, s->path, 0, t->name,
            "the tensor \"%s\" has %zu dimensions, the first two %llu x %llu; this base and rank ask for %zu x %zu; is "
            "it the adapter of another model?",
            t->name, t->rank, t->rank ? (unsigned long long)t->dims[0] : 0,
            t->rank > 1 ? (unsigned long long)t->dims[1] : 1, rows, cols);
  if (!safetensors_is_float(t))
    FAIL_AT(err, ERROR_INPUT, s->path, 0, t->name, "the tensor \"%s\" is of type %s, which is no number to train",
            t->name, t->dtype);
  return 0;
}

static int check_finite(const struct safetensors *s, const struct safetensors_tensor *t, const float *values, size_t n,
                        struct error *err)
{
  for (size_t i = 0; i < n; i++)
    if (!math_is_finite((double)values[i]))
      FAIL_AT(err, ERROR_INPUT, s->path, 0, t->name, "the tensor \"%s\" is not finite at element %zu", t->name, i);
  return 0;
}

/* The half 'A' or 'B' of the pair beside t, or of the joined one; name: what it is called. */
static const struct safetensors_tensor *find_half(const struct safetensors *s, const struct model_tensor *t, char half,
                                                  char name[static 128])
{
  snprintf(name, 128, "%.*s.lora_%c.weight", (int)(strlen(t->stored) - strlen(".weight")), t->stored, half);
  return find(s, name);
}

/* t's block of a joined B: its rows, and of them the columns of its A. */
static int read_block(const struct safetensors *s, const struct safetensors_tensor *x, const struct model_tensor *t,
                      size_t rank, float *to, struct error *err)
{
  size_t wide = rank * (size_t)t->parts, own = rank * (size_t)t->part;
  float *row = memory_alloc(wide, sizeof *row, "adapter", err);
  bool beside = false;
  if (!row) return ERROR_RESOURCE;
  for (size_t i = 0; i < t->n; i++) {
    safetensors_read_f32(x, (t->stored_row + i) * wide, wide, row);
    memcpy(to + i * rank, row + own, rank * sizeof *row);
    for (size_t j = 0; j < wide; j++) beside |= (j < own || j >= own + rank) && !(row[j] <= 0 && row[j] >= 0);
  }
  memory_free(row);
  if (beside)
    FAIL_AT(
        err, ERROR_INPUT, s->path, 0, x->name,
        "the tensor \"%s\" has %zu columns, and not one block of %zu for each part of the joined matrix; expected %zu "
        "columns, or such blocks",
        x->name, wide, rank, rank);
  return 0;
}

/* A [rank, k] or B [n, rank] of one weight. */
static int read_half(const struct safetensors *s, const struct model_tensor *t, size_t rank, char half, float *to,
                     struct error *err)
{
  char name[128];
  const struct safetensors_tensor *a = find_half(s, t, 'A', name), *x = find_half(s, t, half, name);
  bool blocks = t->parts > 1 && a && a->rank == 2 && a->dims[0] == rank * (size_t)t->parts;
  size_t wide = blocks ? rank * (size_t)t->parts : rank;
  if (half == 'A') {
    TRY(check_tensor(s, x, name, wide, t->k, err));
    safetensors_read_f32(x, blocks ? (size_t)t->part * rank * t->k : 0, rank * t->k, to);
    return check_finite(s, x, to, rank * t->k, err);
  }
  TRY(check_tensor(s, x, name, t->stored_rows, wide, err));
  if (blocks) TRY(read_block(s, x, t, rank, to, err));
  if (!blocks) safetensors_read_f32(x, t->stored_row * rank, t->n * rank, to);
  return check_finite(s, x, to, t->n * rank, err);
}

static int load_half(const struct safetensors *s, const struct model_tensor *t, char half, struct weight *w,
                     struct error *err)
{
  size_t n = weight_rows(w) * weight_cols(w);
  float *values = memory_alloc(n, sizeof *values, "adapter", err);
  float *scratch = memory_alloc(n, sizeof *scratch, "adapter", err);
  int rc = values && scratch ? read_half(s, t, weight_rows(w), half, values, err) : ERROR_RESOURCE;
  if (!rc) adapter_file_write(w, values, scratch);
  memory_free(values);
  memory_free(scratch);
  return rc;
}

/* Layers that the base does not have: the names are known to be of adapters. */
static int refuse_more(const struct safetensors *s, const struct model_config *c, struct error *err)
{
  size_t known = 0;
  for (size_t i = 0; i < model_tensor_count(c); i++) {
    struct model_tensor t;
    model_tensor_at(c, i, &t);
    known += adapter_target_of(c, &t) < ADAPTER_TARGETS && !t.part ? 2 : 0;
  }
  if (known == s->count) return 0;
  FAIL_AT(err, ERROR_INPUT, s->path, 0, NULL,
          "holds %zu tensors; the base has %d layers, which ask for %zu; is it the adapter of another model?", s->count,
          c->layers, known);
}

int adapter_load(struct model *m, const char *folder, struct error *err)
{
  struct arena *a = arena_create("adapter", 0, err);
  struct safetensors s;
  if (!a) return ERROR_RESOURCE;
  int rc = open_tensors(a, folder, &s, err);
  for (size_t i = 0; !rc && i < model_tensor_count(&m->config); i++) {
    struct model_tensor t;
    model_tensor_at(&m->config, i, &t);
    enum adapter_target target = adapter_target_of(&m->config, &t);
    if (target == ADAPTER_TARGETS) continue;
    const struct adapter_pair *pair = &m->adapter->pairs[t.layer][target];
    rc = load_half(&s, &t, 'A', pair->a, err);
    if (!rc) rc = load_half(&s, &t, 'B', pair->b, err);
  }
  if (!rc) rc = refuse_more(&s, &m->config, err);
  if (!rc) rc = device_sync(m->device, err);
  arena_destroy(a);
  return rc;
}

/* ---- without a model ----------------------------------------------------------------------------------------------
 */

struct adapter_reader {
  struct safetensors tensors;
  size_t rank;
  double scale;
  char of[96];  /* name of the weight whose product is held */
  bool beside;  /* whether it has one */
  float *a, *b; /* [r, k], [n, r] */
  double *sum;  /* [k] */
};

static void reader_free(struct adapter_reader *r)
{
  memory_free(r->a);
  memory_free(r->b);
  memory_free(r->sum);
  r->a = r->b = NULL;
  r->sum = NULL;
}

static void reader_close(void *arg)
{
  reader_free(arg);
}

int adapter_reader_open(struct arena *a, const char *folder, const struct model_config *config,
                        struct adapter_reader **out, struct error *err)
{
  struct adapter_reader *r = *out = ARENA_NEW(a, struct adapter_reader, 1, "adapter", err);
  if (!r) return ERROR_RESOURCE;
  r->rank = (size_t)config->adapter.rank;
  r->scale = adapter_scale(&config->adapter);
  TRY(arena_on_reset(a, reader_close, r, err));
  TRY(open_tensors(a, folder, &r->tensors, err));
  return refuse_more(&r->tensors, config, err);
}

/* Takes up the halves of another weight. */
static int turn_to(struct adapter_reader *r, const struct model_tensor *t, struct error *err)
{
  char name[128];
  if (!strcmp(r->of, t->name)) return 0;
  reader_free(r);
  snprintf(r->of, sizeof r->of, "%s", t->name);
  r->beside = t->kind == WEIGHT_MATRIX && t->layer >= 0 && find_half(&r->tensors, t, 'A', name);
  if (!r->beside) return 0;
  r->a = memory_alloc(r->rank * t->k, sizeof *r->a, "adapter", err);
  r->b = memory_alloc(t->n * r->rank, sizeof *r->b, "adapter", err);
  r->sum = memory_alloc(t->k, sizeof *r->sum, "adapter", err);
  if (!r->a || !r->b || !r->sum) return ERROR_RESOURCE;
  TRY(read_half(&r->tensors, t, r->rank, 'A', r->a, err));
  return read_half(&r->tensors, t, r->rank, 'B', r->b, err);
}

int adapter_reader_add(struct adapter_reader *r, const struct model_tensor *t, size_t row, size_t count, double sign,
                       float *rows, struct error *err)
{
  TRY(turn_to(r, t, err));
  if (r->beside) adapter_add_product(r->a, r->b, r->rank, t->k, row, count, sign * r->scale, rows, r->sum);
  return 0;
}

/* ---- saving -------------------------------------------------------------------------------------------------------
 */

/* A tensor of the file: a half of one pair, or of those of all weights that files join. */
struct half {
  const char *name;
  size_t tensor, rows, cols; /* tensor: of the first weight, in the decoder's list */
  bool b;
};

struct saving {
  const struct model *model;
  const struct half *halves;
  float *values, *scratch; /* as many as the largest half has */
};

static int read_tensor(void *arg, size_t index, size_t row, size_t count, float *to, struct error *err)
{
  const struct saving *s = arg;
  const struct half *h = &s->halves[index];
  const struct model_config *c = &s->model->config;
  size_t rank = (size_t)c->adapter.rank;
  struct model_tensor t = {.part = -1, .parts = 1};
  (void)row, (void)count, (void)err;
  memset(to, 0, h->rows * h->cols * sizeof *to);
  for (int p = 0; p < t.parts; p++) {
    model_tensor_at(c, h->tensor + (size_t)p, &t);
    const struct adapter_pair *pair = &s->model->adapter->pairs[t.layer][adapter_target_of(c, &t)];
    if (!h->b) adapter_file_read(pair->a, to + (size_t)p * rank * h->cols, s->scratch);
    if (h->b) adapter_file_read(pair->b, s->values, s->scratch);
    for (size_t i = 0; h->b && i < t.n; i++)
      memcpy(to + (t.stored_row + i) * h->cols + (size_t)p * rank, s->values + i * rank, rank * sizeof *to);
  }
  return 0;
}

static int compare_halves(const void *a, const void *b)
{
  return strcmp(((const struct half *)a)->name, ((const struct half *)b)->name);
}

/* In order of name. */
static int list_halves(struct arena *a, const struct model *m, struct half **out, size_t *count, struct error *err)
{
  const struct model_config *c = &m->config;
  struct half *all = *out = ARENA_NEW(a, struct half, m->adapter->count, "adapter", err);
  *count = 0;
  if (!all) return ERROR_RESOURCE;
  for (size_t i = 0; i < model_tensor_count(c); i++) {
    struct model_tensor t;
    model_tensor_at(c, i, &t);
    if (adapter_target_of(c, &t) == ADAPTER_TARGETS || t.part) continue;
    size_t wide = (size_t)c->adapter.rank * (size_t)t.parts;
    for (int b = 0; b < 2; b++) {
      char *name = arena_printf(a, "adapter", err, "%s%.*s.lora_%c.weight", PREFIX,
                                (int)(strlen(t.stored) - strlen(".weight")), t.stored, b ? 'B' : 'A');
      if (!name) return ERROR_RESOURCE;
      all[(*count)++] = (struct half){name, i, b ? t.stored_rows : wide, b ? wide : t.k, b};
    }
  }
  qsort(all, *count, sizeof *all, compare_halves);
  return 0;
}

/* The joined module that a target of the base belongs to; JOINED: it stands alone. */
static int joined_with(const struct model_config *c, int target)
{
  int i = 0;
  while (c->fused && i < JOINED && !(joined[i].targets & (1u << target))) i++;
  return c->fused ? i : JOINED;
}

static void put_targets(struct text *t, const struct model_config *c)
{
  const char *between = "";
  for (int i = 0; i < ADAPTER_TARGETS; i++) {
    int with = joined_with(c, i);
    bool later = with < JOINED && i && joined_with(c, i - 1) == with; /* named at its first part */
    if (!(c->adapter.targets & (1u << i)) || later) continue;
    const char *module = with < JOINED ? joined[with].module : adapter_target_module((enum adapter_target)i);
    text_printf(t, "%s\"%s\"", between, last_name(module));
    between = ", ";
  }
}

/* Ranks, or alphas, of joined modules. */
static void put_pattern(struct text *t, const struct model_config *c, bool alpha)
{
  const char *between = "";
  for (int i = 0; c->fused && i < JOINED; i++) {
    if (!(c->adapter.targets & joined[i].targets)) continue;
    text_printf(t, "%s\"%s\": ", between, last_name(joined[i].module));
    if (alpha) json_put_f64(t, joined_alpha(&c->adapter, joined[i].parts));
    if (!alpha) text_printf(t, "%d", c->adapter.rank * joined[i].parts);
    between = ", ";
  }
}

static void put_config(struct text *t, const struct model *m, const char *base)
{
  const struct adapter_config *c = &m->config.adapter;
  text_puts(t, "{\n");
  if (m->config.fused) {
    text_puts(t, "  \"alpha_pattern\": {");
    put_pattern(t, &m->config, true);
    text_puts(t, "},\n");
  }
  text_puts(t, "  \"base_model_name_or_path\": ");
  json_put_string(t, base, strlen(base));
  text_puts(t,
            ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
            "  \"init_lora_weights\": true,\n  \"lora_alpha\": ");
  json_put_f64(t, c->alpha);
  text_printf(t,
              ",\n  \"lora_dropout\": 0.0,\n  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n  \"r\": %d,\n",
              c->rank);
  if (m->config.fused) {
    text_puts(t, "  \"rank_pattern\": {");
    put_pattern(t, &m->config, false);
    text_puts(t, "},\n");
  }
  text_puts(t, "  \"target_modules\": [");
  put_targets(t, &m->config);
  text_printf(t, "],\n  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": false,\n  \"use_rslora\": %s\n}\n",
              c->rslora ? "true" : "false");
}

static int write_config(struct arena *a, const struct model *m, const char *base, const char *folder, struct error *err)
{
  struct text t = {0};
  struct file_writer *w;
  char *path = path_join(a, folder, CONFIG, err);
  if (!path) return ERROR_RESOURCE;
  put_config(&t, m, base);
  int rc = text_finish(&t, err);
  if (!rc) rc = file_writer_open(a, path, &w, err);
  if (!rc) rc = file_writer_write(w, t.bytes, t.size, err);
  if (!rc) rc = file_writer_commit(w, err);
  text_free(&t);
  return rc;
}

static int save_into(struct arena *a, const struct model *m, const struct model_source *source, const char *folder,
                     enum save_type type, struct error *err)
{
  struct half *halves;
  size_t count, most = 0;
  TRY(list_halves(a, m, &halves, &count, err));
  struct save_tensor *tensors = ARENA_NEW(a, struct save_tensor, count, "adapter", err);
  if (!tensors) return ERROR_RESOURCE;
  for (size_t i = 0; i < count; i++) {
    tensors[i] = (struct save_tensor){halves[i].name, halves[i].rows, halves[i].cols};
    most = halves[i].rows * halves[i].cols > most ? halves[i].rows * halves[i].cols : most;
  }
  struct saving s = {.model = m, .halves = halves};
  s.values = ARENA_NEW(a, float, most, "adapter", err);
  s.scratch = ARENA_NEW(a, float, most, "adapter", err);
  if (!s.values || !s.scratch) return ERROR_RESOURCE;
  struct save_tensors from = {
      .stem = "adapter_model", .tensors = tensors, .count = count, .whole = true, .read = read_tensor, .arg = &s};
  TRY(save_tensors(a, &from, folder, type, UINT64_MAX, err));
  TRY(save_tokenizer_files(a, source ? source->folder : NULL, folder, err));
  // last: a folder with it is whole
  const char *base = source ? source->gguf_path ? source->gguf_path : source->folder : "";
  return write_config(a, m, base, folder, err);
}

int adapter_save(const struct model *m, const struct model_source *source, const char *folder, enum save_type type,
                 struct error *err)
{
  struct arena *a = arena_create("adapter", 0, err);
  if (!a) return ERROR_RESOURCE;
  int rc = save_into(a, m, source, folder, type, err);
  arena_destroy(a);
  return rc;
}
