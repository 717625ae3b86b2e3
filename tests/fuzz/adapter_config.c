/* links: model
 * Any bytes as an adapter_config.json beside the tensors of a small adapter: refused in a sentence, or an adapter of a
 * rank and scale that can be; and any bytes as its tensors beside the settings that peft wrote. */
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/math.h"
#include "model/adapter.h"

#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char SETTINGS[] =
    "{\"peft_type\": \"LORA\", \"r\": 1, \"lora_alpha\": 2, \"base_model_name_or_path\": \"base\"}";
static const char HEAD[] =
    "{\"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight\":"
    "{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
    "\"base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight\":"
    "{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8,16]}}";
static char folder[64];

static void remove_folder(void)
{
  struct error err = {0};
  (void)!file_remove_tree(folder, &err);
}

static void put(const char *name, const void *bytes, size_t size)
{
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  ASSAY_BUG_IF(!f || fwrite(bytes, 1, size, f) != size || fclose(f));
}

static void put_tensors(void)
{
  uint8_t bytes[8 + sizeof HEAD - 1 + 16] = {(uint8_t)((sizeof HEAD - 1) & 255), (uint8_t)((sizeof HEAD - 1) >> 8)};
  memcpy(bytes + 8, HEAD, sizeof HEAD - 1);
  put("adapter_model.safetensors", bytes, sizeof bytes);
}

static void read_folder(size_t size)
{
  struct error err = {0};
  struct adapter_config c;
  const char *base;
  struct arena *a = arena_create("fuzz", 0, &err);
  size_t before = memory_total();
  ASSAY_BUG_IF(!a);
  int rc = adapter_folder_read(a, folder, &c, &base, &err);
  ASSAY_BUG_IF(rc && (rc != err.code || rc != ERROR_INPUT || !err.message[0]));
  ASSAY_BUG_IF(!rc && (c.rank < 1 || !base || !c.targets || !math_is_finite(adapter_scale(&c))));
  ASSAY_BUG_IF(memory_total() > before + 32 * size + (1u << 18));
  arena_destroy(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (!folder[0]) {
    snprintf(folder, sizeof folder, "/tmp/assay-fuzz-XXXXXX");
    ASSAY_BUG_IF(!mkdtemp(folder));
    atexit(remove_folder);
  }
  put_tensors();
  put("adapter_config.json", data, size);
  read_folder(size);
  put("adapter_config.json", SETTINGS, sizeof SETTINGS - 1);
  put("adapter_model.safetensors", data, size);
  read_folder(size);
  return 0;
}
