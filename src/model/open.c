#include "model/open.h"

#include <string.h>

#include "core/file.h"
#include "model/adapter.h"
#include "model/config.h"

static bool is_number(const char *name)
{
  size_t n = strlen(name);
  return n > 0 && n < 18 && strspn(name, "0123456789") == n;
}

static int64_t number_of(const char *name)
{
  int64_t x = 0;
  for (; *name; name++) x = x * 10 + (*name - '0');
  return x;
}

/* The checkpoint with the highest number that is whole: files appear in a temporary folder that is renamed when all are
   written. */
static int last_checkpoint(struct arena *a, const char *run, const char **out, struct error *err)
{
  char **names;
  size_t count;
  int64_t best = -1;
  const char *parent = path_join(a, run, "checkpoints", err);
  if (!parent) return ERROR_RESOURCE;
  TRY(file_list(a, parent, &names, &count, err));
  for (size_t i = 0; i < count; i++) {
    if (!is_number(names[i]) || number_of(names[i]) <= best) continue;
    char *folder = path_join(a, parent, names[i], err);
    char *config = folder ? path_join(a, folder, "config.json", err) : NULL;
    char *state = folder ? path_join(a, folder, "state.bin", err) : NULL;
    if (!config || !state) return ERROR_RESOURCE;
    if (!(file_exists(config) || adapter_folder_is(folder)) || !file_exists(state)) continue;
    best = number_of(names[i]);
    *out = folder;
  }
  if (best < 0)
    FAIL_AT(err, ERROR_INPUT, parent, 0, NULL, "the run has no complete checkpoint; expected a folder such as 000020");
  return 0;
}

/* Where a folder of models was given: "; did you mean models/tiny?", or "". */
static const char *model_below(struct arena *a, const char *path)
{
  char **names;
  size_t count;
  if (file_list(a, path, &names, &count, NULL)) return "";
  for (size_t i = 0; i < count; i++) {
    char *folder = path_join(a, path, names[i], NULL),
         *config = folder ? path_join(a, folder, "config.json", NULL) : NULL;
    const char *hint =
        config && file_exists(config) ? arena_printf(a, "model.source", NULL, "; did you mean %s?", folder) : NULL;
    if (hint) return hint;
  }
  return "";
}

static int locate_folder(struct arena *a, const char *path, struct model_source *out, struct error *err)
{
  const char *config = path_join(a, path, "config.json", err), *runs = path_join(a, path, "checkpoints", err);
  if (!config || !runs) return ERROR_RESOURCE;
  if (adapter_folder_is(path) || file_exists(config)) {
    out->folder = out->path;
    return 0;
  }
  if (file_is_folder(runs)) return last_checkpoint(a, path, &out->folder, err);
  FAIL_AT(err, ERROR_INPUT, config, 0, NULL,
          "no such file; expected a Hugging Face folder with config.json and *.safetensors, a run folder, or a GGUF "
          "file%s",
          model_below(a, path));
}

/* A file that lies in a model's folder was meant to be that folder. */
static int fail_file(struct arena *a, const char *path, struct error *err)
{
  char hint[512] = "";
  size_t n = (size_t)(path_base(path) - path);
  char *folder = n ? arena_strndup(a, path, n, "model.source", err) : arena_strdup(a, ".", "model.source", err);
  char *config = folder ? path_join(a, folder, "config.json", err) : NULL;
  if (!config) return ERROR_RESOURCE;
  if (n > 1) folder[n - 1] = 0;
  if (file_exists(config)) snprintf(hint, sizeof hint, "; did you mean %s?", folder);
  FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
          "the file is no GGUF file; expected one, or the folder that holds config.json and *.safetensors%s", hint);
}

int model_source_locate(struct arena *a, const char *path, struct model_source *out, struct error *err)
{
  memset(out, 0, sizeof *out);
  out->path = arena_strdup(a, path, "model.source", err);
  if (!out->path) return ERROR_RESOURCE;
  if (file_is_folder(path)) return locate_folder(a, path, out, err);
  struct file_map map;
  TRY(file_map(a, path, &map, err));
  if (map.size < 4 || memcmp(map.bytes, "GGUF", 4)) return fail_file(a, path, err);
  out->gguf_path = out->path;
  return 0;
}

static int open_base(struct arena *a, struct model_source *out, struct model_config *config, struct error *err)
{
  if (out->gguf_path) {
    TRY(gguf_open_parts(a, out->gguf_path, &out->gguf, err));
    TRY(model_config_from_gguf(out->gguf, config, err));
    config->keep_from = out->gguf;
    return model_end_ids_from_gguf(a, out->gguf, &out->end_ids, &out->end_id_count, err);
  }
  const char *file = path_join(a, out->folder, "config.json", err);
  if (!file) return ERROR_RESOURCE;
  TRY(model_config_read(a, file, config, err));
  return model_config_end_ids(a, out->folder, &out->end_ids, &out->end_id_count, err);
}

/* The base that an adapter names: as it stands, or beside the adapter. */
static int locate_base(struct arena *a, const char *adapter, const char *name, const char **out, struct error *err)
{
  char *beside = path_join(a, adapter, name, err);
  if (!beside) return ERROR_RESOURCE;
  *out = *name && name[0] != '/' && !file_exists(name) && file_exists(beside) ? beside : name;
  if (**out && file_exists(*out)) return 0;
  FAIL_AT(
      err, ERROR_INPUT, adapter, 0, "base_model_name_or_path",
      "the folder holds an adapter whose base is \"%.200s\", and there is no such folder or file here; give the base "
      "as MODEL and this folder as --adapter (in a recipe model and lora.adapter)",
      name);
}

int model_source_adapt(struct arena *a, const char *folder, struct model_source *source, struct model_config *config,
                       struct error *err)
{
  struct model_source run = {0};
  const char *base;
  if (!adapter_folder_is(folder) && file_is_folder(folder)) {  // a run's last checkpoint
    TRY(model_source_locate(a, folder, &run, err));
    folder = run.folder;
  }
  if (!adapter_folder_is(folder))
    FAIL_AT(err, ERROR_INPUT, folder, 0, NULL,
            "holds no adapter; expected a folder with adapter_config.json and adapter_model.safetensors, as PEFT and "
            "runs with lora write them");
  TRY(adapter_folder_read(a, folder, &config->adapter, &base, err));
  source->adapter = arena_strdup(a, folder, "model.source", err);
  return source->adapter ? 0 : ERROR_RESOURCE;
}

int model_source_open(struct arena *a, const char *path, struct model_source *out, struct model_config *config,
                      struct error *err)
{
  TRY(model_source_locate(a, path, out, err));
  if (!out->folder || !adapter_folder_is(out->folder)) return open_base(a, out, config, err);
  struct adapter_config adapter;
  const char *folder = out->folder, *given = out->path, *base;
  TRY(adapter_folder_read(a, folder, &adapter, &base, err));
  TRY(locate_base(a, folder, base, &base, err));
  TRY(model_source_locate(a, base, out, err));
  if (out->folder && adapter_folder_is(out->folder))
    FAIL_AT(
        err, ERROR_INPUT, folder, 0, "base_model_name_or_path",
        "the base of this adapter, %.200s, is an adapter too; expected a model; fold that one in first: assay merge",
        base);
  TRY(open_base(a, out, config, err));
  config->adapter = adapter;
  out->path = given;
  out->adapter = folder;
  return 0;
}
