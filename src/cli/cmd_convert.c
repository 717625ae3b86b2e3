#include <string.h>
#include "cli/cli.h"
#include "core/file.h"
#include "model/open.h"
#include "rollout/gguf_tokenizer.h"
#include "rollout/session.h"
#include "train/checkpoint.h"

struct settings {
  const char *type;
  bool hash;
};
static const struct settings defaults = {.type = "f32"};
static const struct option options[] = {
    {"--type", "TYPE", OPTION_TEXT, offsetof(struct settings, type), 0, 0, "f32 (default), bf16 or f16"},
    {"--hash", NULL, OPTION_FLAG, offsetof(struct settings, hash), 0, 0, "print the hashes of one model instead"},
};

static int read_type(const char *text, enum save_type *out, struct error *err)
{
  if (!strcmp(text, "f32"))
    *out = SAVE_F32;
  else if (!strcmp(text, "bf16"))
    *out = SAVE_BF16;
  else if (!strcmp(text, "f16"))
    *out = SAVE_F16;
  else
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--type", "found --type %s; supported are f32, bf16 and f16", text);
  return 0;
}

/* ---- hashes ------------------------------------------------------------------------------------------------------ */

static int print_hashes(struct cli *c, struct error *err)
{
  struct session s;
  struct text t = {0};
  char weights[65], state[65] = "";
  if (c->argument_count != 1)
    FAIL(err, ERROR_INPUT, "found %d arguments; expected: assay convert --hash DIR", c->argument_count);
  TRY(session_open(
      c->arena,
      &(struct session_options){.model = c->arguments[0], .threads = (int)c->threads, .tokenizer_optional = true}, &s,
      err));
  TRY(session_load(&s, 0, err));
  TRY(model_hash(s.model, weights, err));
  char *file = s.source.folder ? path_join(c->arena, s.source.folder, "state.bin", err) : NULL;
  if (s.source.folder && !file) return err->code;
  if (file && file_exists(file)) TRY(checkpoint_state_hash(c->arena, s.source.folder, state, err));
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

/* Into a folder of another name, which is renamed when it is whole. */
static int convert_into(struct cli *c, const char *folder, enum save_type type, struct error *err)
{
  struct device *device;
  struct model_source source;
  struct tokenizer *tokenizer;
  TRY(device_open(&(struct device_options){.kind = "cpu", .threads = (int)c->threads}, &device, err));
  int rc = arena_on_reset(c->arena, close_device, device, err);
  if (rc) {
    device_close(device);
    return rc;
  }
  TRY(model_convert(c->arena, device, c->arguments[0], folder, type, &source, err));
  if (!source.gguf || !gguf_find(source.gguf, "tokenizer.ggml.model")) return 0; /* a folder's own files were copied */
  TRY(gguf_tokenizer_open(c->arena, source.gguf, source.gguf_path, &tokenizer, err));
  return tokenizer_write_json(tokenizer, c->arena, folder, err);
}

static int convert(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  const char *to = c->arguments[c->argument_count - 1];
  enum save_type type;
  size_t n = strlen(to);
  if (c->argument_count != 2)
    FAIL(err, ERROR_INPUT, "found %d of 2 paths; expected: assay convert SRC DST", c->argument_count);
  TRY(read_type(s->type, &type, err));
  if (n > 5 && !strcmp(to + n - 5, ".gguf"))
    FAIL_AT(err, ERROR_INPUT, to, 0, NULL,
            "found a .gguf file to write; supported is a folder (safetensors, with tokenizer and template)");
  if (file_exists(to) || file_is_folder(to))
    FAIL_AT(err, ERROR_INPUT, to, 0, NULL, "exists already; expected a new folder; name another one, or remove it");
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
        "generation_config.json, tokenizer and chat template (made from the metadata where SRC is a GGUF file). "
        "Nothing stands under DST until all of it does.\n"
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
