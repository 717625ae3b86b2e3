#include <string.h>
#include "cli/budget.h"
#include "core/file.h"
#include "model/adapter.h"
#include "model/gguf_write.h"
#include "model/open.h"
#include "rollout/gguf_tokenizer.h"
#include "train/checkpoint.h"

struct settings {
  const char *type;
  uint64_t shard_size;
  bool hash;
};
static const struct settings defaults = {.type = "f32"};
static const struct option options[] = {
    {"--type", "TYPE", OPTION_TEXT, offsetof(struct settings, type), 0, 0,
     "f32 (default), bf16, f16; in GGUF q8_0 too"},
    {"--shard-size", "SIZE", OPTION_SIZE, offsetof(struct settings, shard_size), 0, 0,
     "largest safetensors file, like 2G (default 4 GB); a larger tensor has one to itself"},
    {"--hash", NULL, OPTION_FLAG, offsetof(struct settings, hash), 0, 0, "print the hashes of one model instead"},
};

static bool is_gguf(const char *path)
{
  size_t n = strlen(path);
  return n > 5 && !strcmp(path + n - 5, ".gguf");
}

static int read_type(const char *text, bool gguf, enum save_type *out, struct error *err)
{
  static const char *const names[] = {
      [SAVE_F32] = "f32", [SAVE_BF16] = "bf16", [SAVE_F16] = "f16", [SAVE_Q8_0] = "q8_0"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcmp(text, names[i]) != 0 || (i == SAVE_Q8_0 && !gguf)) continue;
    *out = (enum save_type)i;
    return 0;
  }
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "--type",
          "found --type %s; supported are f32, bf16 and f16, and q8_0 for a .gguf file", text);
}

/* ---- hashes ------------------------------------------------------------------------------------------------------ */

static int print_hashes(struct cli *c, struct error *err)
{
  struct session s;
  struct budget budget;
  struct text t = {0};
  char weights[65], state[65] = "";
  if (c->argument_count != 1)
    FAIL(err, ERROR_INPUT, "found %d arguments; expected: assay convert --hash DIR", c->argument_count);
  TRY(session_open(
      c->arena,
      &(struct session_options){.model = c->arguments[0], .threads = (int)c->threads, .tokenizer_optional = true}, &s,
      err));
  TRY(budget_load(c, &s, 0, &budget, err));
  TRY(model_hash(s.model, weights, err));
  const char *folder = s.source.adapter ? s.source.adapter : s.source.folder;
  char *file = folder ? path_join(c->arena, folder, "state.bin", err) : NULL;
  if (folder && !file) return err->code;
  if (file && file_exists(file)) TRY(checkpoint_state_hash(c->arena, folder, state, err));
  if (c->json)
    text_printf(&t, "{\"weights\": \"%s\", \"state\": %s%s%s}\n", weights, *state ? "\"" : "", *state ? state : "null",
                *state ? "\"" : "");
  else
    text_printf(&t, "weights %s\nstate %s\n", weights, *state ? state : "none");
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

/* ---- conversion -------------------------------------------------------------------------------------------------- */

static void close_device(void *device)
{
  device_close(device);
}

static int open_device(struct cli *c, struct device **out, struct error *err)
{
  TRY(device_open(&(struct device_options){.kind = "cpu", .threads = (int)c->threads}, out, err));
  int rc = arena_on_reset(c->arena, close_device, *out, err);
  if (rc) device_close(*out);
  return rc;
}

/* Into a folder of another name, which is renamed when it is whole. */
static int convert_into(struct cli *c, const char *folder, enum save_type type, struct error *err)
{
  struct device *device;
  struct model_source source;
  struct tokenizer *tokenizer;
  const struct settings *s = c->settings;
  TRY(open_device(c, &device, err));
  TRY(model_convert(c->arena, device, c->arguments[0], folder, type, s->shard_size, &source, err));
  if (!source.gguf || !gguf_has_tokenizer(source.gguf)) return 0; /* a folder's own files were copied */
  TRY(gguf_tokenizer_open(c->arena, source.gguf, source.gguf_path, &tokenizer, err));
  return tokenizer_write_json(tokenizer, c->arena, folder, err);
}

static int rows_of_model(void *arg, const struct model_tensor *t, size_t row, size_t count, float *to,
                         struct error *err)
{
  (void)err;
  weight_read(model_find(arg, t->name), WEIGHT_MASTER, row, count, to, HOST_F32);
  return 0;
}

/* What the source tells of its tokenizer, in a GGUF file's words; a model without one is written without. */
static int put_tokenizer(struct cli *c, const struct model_source *source, int vocab, struct gguf_pairs *out,
                         struct error *err)
{
  struct tokenizer *tokenizer;
  const char *name = path_base(source->path);
  if (source->gguf) {
    gguf_copy_pairs(out, source->gguf, "general.name");
    gguf_copy_pairs(out, source->gguf, "tokenizer.");
    return text_finish(&out->bytes, err);
  }
  gguf_put_string(out, "general.name", name, strlen(name));
  char *file = path_join(c->arena, source->folder, "tokenizer.json", err);
  if (!file) return err->code;
  if (!file_exists(file)) {
    gguf_put_string(out, "tokenizer.ggml.model", "none", 4);
    return 0;
  }
  TRY(tokenizer_open_folder(c->arena, source->folder, &tokenizer, err));
  return tokenizer_put_gguf(tokenizer, c->arena, (size_t)vocab, out, err);
}

static int rows_of_reader(void *arg, const struct model_tensor *t, size_t row, size_t count, float *to,
                          struct error *err)
{
  return model_reader_rows(arg, t, row, count, to, err);
}

/* Streamed from the source; a model with an adapter is loaded, and that is folded in. */
static int convert_to_gguf(struct cli *c, const char *to, enum save_type type, struct error *err)
{
  struct device *device;
  struct model_source source;
  struct model_config config;
  struct model *m;
  struct model_reader *reader;
  struct gguf_pairs pairs = {0};
  gguf_rows_fn *rows = rows_of_reader;
  void *arg;
  TRY(model_source_open(c->arena, c->arguments[0], &source, &config, err));
  if (config.adapter.rank) {
    TRY(open_device(c, &device, err));
    TRY(model_load(c->arena, device, &source, &config, 1, &m, err));
    TRY(adapter_fold(c->arena, m, 1, err));
    rows = rows_of_model;
    arg = m;
  } else {
    TRY(model_reader_open(c->arena, &source, &config, &reader, err));
    arg = reader;
  }
  int rc = put_tokenizer(c, &source, config.vocab, &pairs, err);
  if (!rc)
    rc = gguf_write_model(c->arena, to, &config, type, &pairs, rows == rows_of_reader ? source.gguf : NULL, rows, arg,
                          err);
  gguf_pairs_free(&pairs);
  return rc;
}

static int convert(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  const char *to = c->arguments[c->argument_count - 1];
  enum save_type type;
  size_t n = strlen(to);
  if (c->argument_count != 2)
    FAIL(err, ERROR_INPUT, "found %d of 2 paths; expected: assay convert SRC DST", c->argument_count);
  TRY(read_type(s->type, is_gguf(to), &type, err));
  if (file_exists(to) || file_is_folder(to))
    FAIL_AT(err, ERROR_INPUT, to, 0, NULL, "exists already; expected a new folder; name another one, or remove it");
  if (is_gguf(to)) return convert_to_gguf(c, to, type, err);
  while (n > 1 && to[n - 1] == '/') n--;
  char *partial = arena_printf(c->arena, "convert", err, "%.*s.partial", (int)n, to);
  if (!partial) return err->code;
  if (file_is_folder(partial)) TRY(file_remove_tree(partial, err));
  int rc = convert_into(c, partial, type, err);
  if (!rc) rc = file_rename(partial, to, err);
  struct error unused = {0};
  if (rc && file_is_folder(partial)) (void)!file_remove_tree(partial, &unused);
  return rc;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  return s->hash ? print_hashes(c, err) : convert(c, err);
}

const struct command command_convert = {
    .name = "convert",
    .help = "A model in another format or type, or its hashes",
    .arguments = "SRC DST | --hash DIR",
    .about =
        "SRC is a Hugging Face folder, a GGUF file, a run or a checkpoint. DST is a new folder that transformers "
        "loads: config.json, safetensors,\n"
        "generation_config.json, tokenizer and chat template (made from the metadata where SRC is a GGUF file); or a "
        "file DST.gguf that llama.cpp loads.\nNothing stands under DST until all of it does.\n"
        "--hash DIR prints `weights HEX` and `state HEX` (none where DIR is no checkpoint); with --json {weights, "
        "state}.",
    .example = "assay convert --hash models/tiny",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 1,
    .most = 2,
    .run = run,
};
