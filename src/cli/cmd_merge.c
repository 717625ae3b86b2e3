/* assay merge: checkpoints and adapters made into one checkpoint, tensor by tensor (model/merge.h has the formulas). */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "core/file.h"
#include "core/log.h"
#include "core/math.h"
#include "model/adapter.h"
#include "model/layout.h"
#include "model/merge.h"
#include "model/open.h"
#include "rollout/gguf_tokenizer.h"

enum { CHUNK_NUMBERS = 1 << 18 };

struct settings {
  const char *method, *base, *type;
  struct option_list weights;
  double scale, density;
};
static const struct settings defaults = {.method = "", .type = "f32", .scale = 1};
static const struct option options[] = {
    {"--method", "NAME", OPTION_TEXT, offsetof(struct settings, method), 0, 0,
     "fold, unfold, average, task, ties, dare or dare_ties; fold where one MODEL is given"},
    {"--base", "MODEL", OPTION_TEXT, offsetof(struct settings, base), 0, 0,
     "what the models were trained from: task, ties, dare, dare_ties"},
    {"--weight", "W", OPTION_LIST, offsetof(struct settings, weights), 0, 0,
     "of a model: once for each, in order (default 1)"},
    {"--scale", "X", OPTION_REAL, offsetof(struct settings, scale), -1e6, 1e6,
     "of what is added to the base (default 1)"},
    {"--density", "P", OPTION_REAL, offsetof(struct settings, density), 1e-6, 1,
     "fraction of a task vector that stays (ties 0.2, dare 0.1)"},
    {"--type", "TYPE", OPTION_TEXT, offsetof(struct settings, type), 0, 0, "f32 (default), bf16 or f16"},
};

enum kind { FOLD, UNFOLD, MIX };
static const struct {
  const char *name;
  enum kind kind;
  enum merge_method method;
  bool base;
  double density;
} methods[] = {{"fold", FOLD, MERGE_AVERAGE, false, 1},       {"unfold", UNFOLD, MERGE_AVERAGE, false, 1},
               {"average", MIX, MERGE_AVERAGE, false, 1},     {"task", MIX, MERGE_TASK, true, 1},
               {"ties", MIX, MERGE_TIES, true, 0.2},          {"dare", MIX, MERGE_DARE, true, 0.1},
               {"dare_ties", MIX, MERGE_DARE_TIES, true, 0.1}};
enum { METHODS = sizeof methods / sizeof *methods };

/* One of the models that go in: its files, and the adapter that stands beside them. */
struct input {
  const char *path;
  struct model_source source;
  struct model_config config;
  struct model_reader *reader;
  struct adapter_reader *adapter; /* NULL: none */
  double sign;                    /* of the adapter's product */
};

struct merge {
  struct cli *cli;
  int method; /* of the table */
  struct merge_rule rule;
  struct input *inputs; /* [count]; the base, where there is one, is the last */
  size_t count;
  struct input *base;
  float **values; /* [count][CHUNK_NUMBERS or the longest row] */
  size_t numbers; /* of the model, and of those already written */
  size_t done;
  size_t *order; /* [tensors] their places in the decoder's list */
};

/* ---- arguments ----------------------------------------------------------------------------------------------------
 */

static int read_type(const char *text, enum save_type *out, struct error *err)
{
  static const char *const names[] = {[SAVE_F32] = "f32", [SAVE_BF16] = "bf16", [SAVE_F16] = "f16"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    *out = (enum save_type)i;
    if (!strcmp(text, names[i])) return 0;
  }
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "--type", "found --type %s; supported are f32, bf16 and f16", text);
}

static int read_method(struct merge *m, struct error *err)
{
  const struct settings *s = m->cli->settings;
  int models = m->cli->argument_count - 1;
  const char *name = *s->method ? s->method : models == 1 ? "fold" : "";
  for (m->method = 0; m->method < METHODS && strcmp(methods[m->method].name, name); m->method++) continue;
  if (m->method == METHODS)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--method",
            "found %s%s; expected --method fold, unfold, average, task, ties, dare or dare_ties",
            *name ? "--method " : "no --method for several models", name);
  int wanted = methods[m->method].kind == FOLD ? 1 : methods[m->method].kind == UNFOLD ? 2 : 0;
  if (wanted && models != wanted)
    FAIL(err, ERROR_INPUT, "found %d models; --method %s takes %s, and the folder to write", models, name,
         wanted == 1 ? "one, an adapter" : "two, the folded model and its adapter");
  if (methods[m->method].base != (s->base != NULL))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--base", "--method %s %s; %s", name,
            s->base ? "knows no base" : "counts from what the models were trained from",
            s->base ? "leave --base out" : "give it as --base MODEL");
  return 0;
}

static int read_weights(struct merge *m, size_t models, struct error *err)
{
  const struct settings *s = m->cli->settings;
  double *weights = ARENA_NEW(m->cli->arena, double, models, "merge", err), sum = 0;
  if (!weights) return err->code;
  if (s->weights.count && s->weights.count != models)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--weight", "found %zu weights for %zu models; expected one for each, or none",
            s->weights.count, models);
  for (size_t i = 0; i < models; i++) {
    char *end = NULL;
    weights[i] = s->weights.count ? strtod(s->weights.items[i], &end) : 1;
    if (end && (*end || end == s->weights.items[i] || !math_is_finite(weights[i]) || weights[i] < 0))
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "--weight", "found --weight %s; expected a number from 0 on",
              s->weights.items[i]);
    sum += weights[i];
  }
  if (!(sum > 0)) FAIL_AT(err, ERROR_INPUT, NULL, 0, "--weight", "all weights are 0; expected one above it");
  double density = s->density > 0 ? s->density : methods[m->method].density;
  m->rule = (struct merge_rule){.method = methods[m->method].method,
                                .models = models,
                                .weights = weights,
                                .scale = s->scale,
                                .density = density,
                                .seed = (uint64_t)m->cli->seed};
  return 0;
}

/* ---- inputs -------------------------------------------------------------------------------------------------------
 */

static int open_input(struct merge *m, struct input *in, const char *path, const char *adapter, struct error *err)
{
  struct arena *a = m->cli->arena;
  in->path = path;
  in->sign = 1;
  TRY(model_source_open(a, path, &in->source, &in->config, err));
  if (adapter) TRY(model_source_adapt(a, adapter, &in->source, &in->config, err));
  TRY(model_reader_open(a, &in->source, &in->config, &in->reader, err));
  return in->source.adapter ? adapter_reader_open(a, in->source.adapter, &in->config, &in->adapter, err) : 0;
}

/* Every tensor of one is a tensor of the other, of the same shape. */
static int check_alike(const struct input *a, const struct input *b, struct error *err)
{
  size_t count = model_tensor_count(&a->config);
  for (size_t i = 0; i < count && i < model_tensor_count(&b->config); i++) {
    struct model_tensor x, y;
    model_tensor_at(&a->config, i, &x);
    model_tensor_at(&b->config, i, &y);
    if (strcmp(x.name, y.name))
      FAIL_AT(err, ERROR_INPUT, b->path, 0, y.name, "has the weight %s where %s has %s; expected models of one shape",
              y.name, a->path, x.name);
    if (x.n != y.n || x.k != y.k)
      FAIL_AT(err, ERROR_INPUT, b->path, 0, y.name,
              "its weight %s is %zu x %zu, that of %s %zu x %zu; expected models of one shape", y.name, y.n, y.k,
              a->path, x.n, x.k);
  }
  if (model_tensor_count(&b->config) != count || strcmp(a->config.model_type, b->config.model_type))
    FAIL_AT(err, ERROR_INPUT, b->path, 0, "model_type",
            "is a %s of %zu weights, %s a %s of %zu; expected models of one shape", b->config.model_type,
            model_tensor_count(&b->config), a->path, a->config.model_type, count);
  return 0;
}

static int open_inputs(struct merge *m, struct error *err)
{
  const struct settings *s = m->cli->settings;
  const char **paths = m->cli->arguments;
  enum kind kind = methods[m->method].kind;
  size_t models = kind == UNFOLD ? 1 : (size_t)m->cli->argument_count - 1;
  TRY(read_weights(m, models, err));
  m->count = models + (s->base != NULL);
  if (!(m->inputs = ARENA_NEW(m->cli->arena, struct input, m->count, "merge", err))) return err->code;
  for (size_t i = 0; i < models; i++)
    TRY(open_input(m, &m->inputs[i], paths[i], kind == UNFOLD ? paths[1] : NULL, err));
  if (s->base) {
    m->base = &m->inputs[models];
    TRY(open_input(m, m->base, s->base, NULL, err));
  }
  if (kind == FOLD && !m->inputs[0].adapter)
    FAIL_AT(err, ERROR_INPUT, paths[0], 0, NULL,
            "is a model without an adapter; expected a PEFT folder, or --method and several models");
  if (kind == UNFOLD) m->inputs[0].sign = -1;
  for (size_t i = 1; i < m->count; i++) TRY(check_alike(&m->inputs[0], &m->inputs[i], err));
  return 0;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------
 */

static int read_rows(const struct input *in, const struct model_tensor *t, size_t row, size_t count, float *to,
                     struct error *err)
{
  TRY(model_reader_rows(in->reader, t, row, count, to, err));
  return in->adapter ? adapter_reader_add(in->adapter, t, row, count, in->sign, to, err) : 0;
}

/* Rows of all inputs. */
static int read_all(struct merge *m, const struct model_tensor *t, size_t row, size_t count, struct error *err)
{
  for (size_t i = 0; i < m->count; i++) TRY(read_rows(&m->inputs[i], t, row, count, m->values[i], err));
  return 0;
}

static size_t rows_at_once(const struct model_tensor *t)
{
  size_t chunk = t->kind == WEIGHT_VECTOR ? t->n : CHUNK_NUMBERS / t->k;
  return chunk ? chunk < t->n ? chunk : t->n : 1;
}

/* Rows of one weight, the index-th of the decoder's list. */
static int make_weight(struct merge *m, size_t index, const struct model_tensor *t, size_t row, size_t count, float *to,
                       struct error *err)
{
  for (size_t first = row, step = rows_at_once(t); first < row + count; first += step) {
    size_t n = row + count - first < step ? row + count - first : step;
    const struct merge_place at = {(uint32_t)index, (uint64_t)first * t->k};
    STOP_IF_ASKED(err);
    TRY(read_all(m, t, first, n, err));
    float *out = to + (first - row) * t->k;
    if (methods[m->method].kind == MIX)
      merge_numbers(&m->rule, &at, n * t->k, (const float *const *)m->values, m->base ? m->values[m->count - 1] : NULL,
                    out);
    else
      memcpy(out, m->values[0], n * t->k * sizeof *out);
    m->done += n * t->k;
    log_progress("merge", (double)m->done / 1e6, (double)m->numbers / 1e6, "M numbers");
  }
  return 0;
}

/* Rows of a tensor of the files, which is a weight or several that they join. */
static int make_rows(void *arg, size_t index, size_t row, size_t count, float *to, struct error *err)
{
  struct merge *m = arg;
  for (size_t i = m->order[index]; count; i++) {
    struct model_tensor t;
    model_tensor_at(&m->inputs[0].config, i, &t);
    if (row >= t.stored_row + t.n) continue;
    size_t from = row - t.stored_row, n = t.n - from < count ? t.n - from : count;
    TRY(make_weight(m, i, &t, from, n, to, err));
    row += n;
    to += n * t.k;
    count -= n;
  }
  return 0;
}

/* ---- ties: what stays of each task vector --------------------------------------------------------------------------
 */

static int select_pass(struct merge *m, struct merge_select *selects, struct error *err)
{
  size_t tensors = model_tensor_count(&m->inputs[0].config);
  for (size_t i = 0, done = 0; i < tensors; i++) {
    struct model_tensor t;
    model_tensor_at(&m->inputs[0].config, i, &t);
    for (size_t row = 0, step = rows_at_once(&t); row < t.n; row += step) {
      size_t n = t.n - row < step ? t.n - row : step;
      STOP_IF_ASKED(err);
      TRY(read_all(m, &t, row, n, err));
      for (size_t k = 0; k < m->rule.models; k++)
        merge_select_add(&selects[k], n * t.k, m->values[k], m->values[m->count - 1]);
      done += n * t.k;
      log_progress("trim", (double)done / 1e6, (double)m->numbers / 1e6, "M numbers");
    }
  }
  log_progress_end();
  return 0;
}

static int find_thresholds(struct merge *m, struct error *err)
{
  struct arena *a = m->cli->arena;
  size_t models = m->rule.models;
  struct merge_select *selects = ARENA_NEW(a, struct merge_select, models, "merge", err);
  float *thresholds = ARENA_NEW(a, float, models, "merge", err);
  if (m->rule.method != MERGE_TIES) return 0;
  if (!selects || !thresholds) return err->code;
  for (size_t i = 0; i < models; i++)
    if (!(selects[i].bins = ARENA_NEW(a, uint64_t, MERGE_BINS, "merge", err))) return err->code;
  TRY(select_pass(m, selects, err));
  for (size_t i = 0; i < models; i++) merge_select_turn(&selects[i], m->rule.density);
  TRY(select_pass(m, selects, err));
  for (size_t i = 0; i < models; i++) thresholds[i] = merge_select_threshold(&selects[i]);
  m->rule.thresholds = thresholds;
  return 0;
}

/* ---- writing ------------------------------------------------------------------------------------------------------
 */

struct named {
  const char *name;
  size_t at;
};

static int compare_names(const void *a, const void *b)
{
  return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* The files' tensors in order of name, as model_save writes them, and room for rows of each input. */
static int lay_out(struct merge *m, struct save_tensors *out, struct error *err)
{
  struct arena *a = m->cli->arena;
  size_t all = model_tensor_count(&m->inputs[0].config), count = 0, room = CHUNK_NUMBERS;
  struct save_tensor *tensors = ARENA_NEW(a, struct save_tensor, all, "merge", err);
  struct named *names = ARENA_NEW(a, struct named, all, "merge", err);
  m->order = ARENA_NEW(a, size_t, all, "merge", err);
  m->values = ARENA_NEW(a, float *, m->count, "merge", err);
  if (!tensors || !names || !m->order || !m->values) return err->code;
  for (size_t i = 0; i < all; i++) {
    struct model_tensor t;
    model_tensor_at(&m->inputs[0].config, i, &t);
    size_t least = t.kind == WEIGHT_VECTOR ? t.n : t.k;
    room = least > room ? least : room;
    m->numbers += t.n * t.k;
    if (t.part) continue; /* in the tensor of the first part */
    names[count++] = (struct named){arena_strdup(a, t.stored, "merge", err), i};
    if (!names[count - 1].name) return err->code;
  }
  qsort(names, count, sizeof *names, compare_names);
  for (size_t i = 0; i < count; i++) {
    struct model_tensor t;
    model_tensor_at(&m->inputs[0].config, m->order[i] = names[i].at, &t);
    tensors[i] = (struct save_tensor){names[i].name, t.stored_rows, t.k};
  }
  for (size_t i = 0; i < m->count; i++)
    if (!(m->values[i] = ARENA_NEW(a, float, room, "merge", err))) return err->code;
  *out = (struct save_tensors){.stem = "model", .tensors = tensors, .count = count, .read = make_rows, .arg = m};
  return 0;
}

/* Tokenizer and end tokens are those of the first model. */
static int write_model(struct merge *m, const char *folder, enum save_type type, struct error *err)
{
  struct arena *a = m->cli->arena;
  const struct input *first = &m->inputs[0];
  struct save_tensors tensors;
  struct tokenizer *tokenizer;
  TRY(lay_out(m, &tensors, err));
  TRY(find_thresholds(m, err));
  TRY(file_make_folder(folder, err));
  TRY(save_tensors(a, &tensors, folder, type, SAVE_SHARD_BYTES, err));
  log_progress_end();
  TRY(save_side_files(a, &first->config, &first->source, folder, type, err));
  if (!first->source.gguf || !gguf_find(first->source.gguf, "tokenizer.ggml.model")) return 0;
  TRY(gguf_tokenizer_open(a, first->source.gguf, first->source.gguf_path, &tokenizer, err));
  return tokenizer_write_json(tokenizer, a, folder, err);
}

static int print_what(const struct merge *m, const char *to, struct error *err)
{
  struct text t = {0};
  size_t tensors = model_tensor_count(&m->inputs[0].config);
  if (m->cli->json) {
    text_puts(&t, "{\"folder\": ");
    json_put_string(&t, to, strlen(to));
    text_printf(&t, ", \"method\": \"%s\", \"models\": %zu, \"tensors\": %zu, \"parameters\": %zu}\n",
                methods[m->method].name, m->rule.models, tensors, m->numbers);
  } else {
    text_printf(&t, "%s: %zu tensors, %.1f M numbers, %s of %zu model%s\n", to, tensors, (double)m->numbers / 1e6,
                methods[m->method].name, m->rule.models, m->rule.models > 1 ? "s" : "");
  }
  int rc = print_text(m->cli, &t, err);
  text_free(&t);
  return rc;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  struct merge m = {.cli = c};
  enum save_type type;
  const char *to = c->arguments[c->argument_count - 1];
  size_t n = strlen(to);
  TRY(read_type(s->type, &type, err));
  TRY(read_method(&m, err));
  if (file_exists(to) || file_is_folder(to))
    FAIL_AT(err, ERROR_INPUT, to, 0, NULL, "exists already; expected a new folder; name another one, or remove it");
  cli_catch_signals();
  TRY(open_inputs(&m, err));
  while (n > 1 && to[n - 1] == '/') n--;
  char *partial = arena_printf(c->arena, "merge", err, "%.*s.partial", (int)n, to);
  if (!partial) return err->code;
  if (file_is_folder(partial)) TRY(file_remove_tree(partial, err));
  int rc = write_model(&m, partial, type, err);
  if (!rc) rc = file_rename(partial, to, err);
  if (!rc) rc = print_what(&m, to, err);
  struct error unused = {0};
  if (rc && file_is_folder(partial)) (void)!file_remove_tree(partial, &unused);
  return rc;
}

const struct command command_merge = {
    .name = "merge",
    .help = "Checkpoints and adapters made into one checkpoint",
    .arguments = "MODEL ... DST",
    .about =
        "DST is a new folder that transformers loads. MODEL is a Hugging Face folder, a GGUF file, a run, a "
        "checkpoint, "
        "or a PEFT folder, which stands for its base with the adapter folded in.\n"
        "  fold       one PEFT folder: its base with the adapter's product added, summed in f64 and rounded once\n"
        "  unfold     a folded model and the PEFT folder: the product subtracted again; a number comes back to the "
        "bit\n"
        "             unless adding had raised its exponent\n"
        "  average    sum of w x over sum of w                              task  base + scale * sum of w (x - base)\n"
        "  ties       the largest of each difference, by the elected sign   dare  differences dropped at random\n"
        "  dare_ties  dropped at random, then by the elected sign\n"
        "Formulas and papers: docs/guide/adapters.md. --seed says what dare drops. Tensors are read and written one by "
        "one: a merge needs little memory, whatever the models' size.\n"
        "Tokenizer, template and end tokens are those of the first MODEL. Nothing stands under DST until all of it "
        "does.",
    .example = "assay merge --method average models/tiny models/tiny \"$(mktemp -d)/merged\"",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 2,
    .most = -1,
    .run = run,
};
