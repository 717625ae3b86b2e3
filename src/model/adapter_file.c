/* Adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors with names like
 * "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight". Which products the adapter stands beside is read
 * off the tensors' names: target_modules may be a pattern, and the tensors are what is there. */
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
static const char TARGET_LIST[] = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj";

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
      {"rank_pattern", "ranks that differ by module"},
      {"alpha_pattern", "alphas that differ by module"},
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
  return 0;
}

/* ---- names --------------------------------------------------------------------------------------------------------
 */

/* Layer, target and part of a tensor's name; false where it is no part of a LoRA adapter of this program's kind. PEFT
   leaves the adapter's name out of files, or writes "default". */
static bool split_name(const char *name, int *layer, enum adapter_target *target, char *part)
{
  static const char LAYERS[] = "model.layers.";
  char module[64];
  if (strncmp(name, PREFIX, strlen(PREFIX))) return false;
  name += strlen(PREFIX);
  if (strncmp(name, LAYERS, strlen(LAYERS))) return false;
  name += strlen(LAYERS);
  size_t digits = strspn(name, "0123456789");
  if (!digits || digits > 4 || name[digits] != '.') return false;
  *layer = (int)strtol(name, NULL, 10);
  name += digits + 1;
  const char *lora = strstr(name, ".lora_");
  if (!lora || (size_t)(lora - name) >= sizeof module) return false;
  memcpy(module, name, (size_t)(lora - name));
  module[lora - name] = 0;
  *target = ADAPTER_TARGETS;
  for (int t = 0; t < ADAPTER_TARGETS; t++)
    if (!strcmp(module, adapter_target_module((enum adapter_target)t))) *target = (enum adapter_target)t;
  *part = lora[6];
  const char *rest = *part ? lora + 7 : "";
  return *target < ADAPTER_TARGETS && (*part == 'A' || *part == 'B') &&
         (!strcmp(rest, ".weight") || !strcmp(rest, ".default.weight"));
}

static int read_targets(const struct safetensors *s, unsigned *out, struct error *err)
{
  *out = 0;
  for (size_t i = 0; i < s->count; i++) {
    int layer;
    enum adapter_target target;
    char part;
    if (!split_name(s->tensors[i].name, &layer, &target, &part))
      FAIL_AT(err, ERROR_INPUT, s->path, 0, s->tensors[i].name,
              "found the tensor \"%.200s\"; supported are lora_A and lora_B of %s in layers of a decoder",
              s->tensors[i].name, TARGET_LIST);
    *out |= 1u << target;
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

static int load_weight(const struct safetensors *s, struct weight *w, struct error *err)
{
  const struct safetensors_tensor *t = find(s, weight_name(w));
  TRY(check_tensor(s, t, weight_name(w), adapter_file_rows(w), adapter_file_cols(w), err));
  size_t n = weight_rows(w) * weight_cols(w);
  float *values = memory_alloc(n, sizeof *values, "adapter", err);
  float *scratch = memory_alloc(n, sizeof *scratch, "adapter", err);
  int rc = values && scratch ? 0 : ERROR_RESOURCE;
  if (!rc) {
    safetensors_read_f32(t, 0, n, values);
    rc = check_finite(s, t, values, n, err);
  }
  if (!rc) adapter_file_write(w, values, scratch);
  memory_free(values);
  memory_free(scratch);
  return rc;
}

/* Layers that the base does not have: the names are known to be of adapters. */
static int refuse_more(const struct safetensors *s, const struct model *m, struct error *err)
{
  if (s->count == m->adapter->count) return 0;
  FAIL_AT(err, ERROR_INPUT, s->path, 0, NULL,
          "holds %zu tensors; the base has %d layers, which ask for %zu; is it the adapter of another model?", s->count,
          m->config.layers, m->adapter->count);
}

int adapter_load(struct model *m, const char *folder, struct error *err)
{
  struct arena *a = arena_create("adapter", 0, err);
  struct safetensors s;
  if (!a) return ERROR_RESOURCE;
  int rc = open_tensors(a, folder, &s, err);
  for (size_t i = 0; !rc && i < m->adapter->count; i++) rc = load_weight(&s, m->adapter->weights[i], err);
  if (!rc) rc = refuse_more(&s, m, err);
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

/* Names of the base's weights, which are those that the file may speak of. */
static int check_names(const struct adapter_reader *r, const struct model_config *config, struct error *err)
{
  size_t known = 0;
  for (size_t i = 0; i < model_tensor_count(config); i++) {
    struct model_tensor t;
    model_tensor_at(config, i, &t);
    known += adapter_target_of(config, &t) < ADAPTER_TARGETS ? 2 : 0;
  }
  if (known == r->tensors.count) return 0;
  FAIL_AT(err, ERROR_INPUT, r->tensors.path, 0, NULL,
          "holds %zu tensors; the base has %d layers, which ask for %zu; is it the adapter of another model?",
          r->tensors.count, config->layers, known);
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
  return check_names(r, config, err);
}

static int read_half(const struct adapter_reader *r, const struct model_tensor *t, char part, size_t rows, size_t cols,
                     float **out, struct error *err)
{
  char name[128];
  size_t stem = strlen(t->name) - strlen(".weight");
  snprintf(name, sizeof name, "%.*s.lora_%c.weight", (int)stem, t->name, part);
  const struct safetensors_tensor *x = find(&r->tensors, name);
  TRY(check_tensor(&r->tensors, x, name, rows, cols, err));
  *out = memory_alloc(rows * cols, sizeof **out, "adapter", err);
  if (!*out) return ERROR_RESOURCE;
  safetensors_read_f32(x, 0, rows * cols, *out);
  return check_finite(&r->tensors, x, *out, rows * cols, err);
}

/* Takes up the halves of another weight. */
static int turn_to(struct adapter_reader *r, const struct model_tensor *t, struct error *err)
{
  char name[128];
  size_t stem = strlen(t->name);
  if (!strcmp(r->of, t->name)) return 0;
  reader_free(r);
  snprintf(r->of, sizeof r->of, "%s", t->name);
  r->beside = false;
  if (t->kind != WEIGHT_MATRIX || t->layer < 0 || stem < strlen(".weight")) return 0;
  snprintf(name, sizeof name, "%.*s.lora_A.weight", (int)(stem - strlen(".weight")), t->name);
  if (!find(&r->tensors, name)) return 0;
  TRY(read_half(r, t, 'A', r->rank, t->k, &r->a, err));
  TRY(read_half(r, t, 'B', t->n, r->rank, &r->b, err));
  if (!(r->sum = memory_alloc(t->k, sizeof *r->sum, "adapter", err))) return ERROR_RESOURCE;
  r->beside = true;
  return 0;
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

struct saving {
  const struct adapter *adapter;
  float *scratch;
};

static int read_tensor(void *arg, size_t index, size_t row, size_t count, float *to, struct error *err)
{
  const struct saving *s = arg;
  (void)row, (void)count, (void)err;
  adapter_file_read(s->adapter->weights[index], to, s->scratch);
  return 0;
}

static void put_config(struct text *t, const struct model *m, const char *base)
{
  const struct adapter_config *c = &m->config.adapter;
  text_puts(t, "{\n  \"base_model_name_or_path\": ");
  json_put_string(t, base, strlen(base));
  text_puts(t,
            ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
            "  \"init_lora_weights\": true,\n  \"lora_alpha\": ");
  json_put_f64(t, c->alpha);
  text_printf(t,
              ",\n  \"lora_dropout\": 0.0,\n  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n  \"r\": %d,\n"
              "  \"target_modules\": [",
              c->rank);
  bool first = true;
  for (int i = 0; i < ADAPTER_TARGETS; i++) {
    if (!(c->targets & (1u << i))) continue;
    text_printf(t, "%s\"%s\"", first ? "" : ", ", strrchr(adapter_target_module((enum adapter_target)i), '.') + 1);
    first = false;
  }
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
  const struct adapter *x = m->adapter;
  struct saving s = {.adapter = x};
  struct save_tensor *tensors = ARENA_NEW(a, struct save_tensor, x->count, "adapter", err);
  size_t most = 0;
  if (!tensors) return ERROR_RESOURCE;
  for (size_t i = 0; i < x->count; i++) {
    const struct weight *w = x->weights[i];
    size_t n = weight_rows(w) * weight_cols(w);
    char *name = arena_printf(a, "adapter", err, "%s%s", PREFIX, weight_name(w));
    if (!name) return ERROR_RESOURCE;
    tensors[i] = (struct save_tensor){name, adapter_file_rows(w), adapter_file_cols(w)};
    most = n > most ? n : most;
  }
  if (!(s.scratch = ARENA_NEW(a, float, most, "adapter", err))) return ERROR_RESOURCE;
  struct save_tensors from = {
      .stem = "adapter_model", .tensors = tensors, .count = x->count, .whole = true, .read = read_tensor, .arg = &s};
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
