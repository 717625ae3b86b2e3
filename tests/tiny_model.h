/* tiny_model: a model folder of 64 characters and some thousand weights, for tests that run whole runs in a blink.
 *
 * With so few characters a random model now and then says the sum of two digits: rewards differ within groups, weights
 * move, and hashes of weights say something. The tokenizer knows '!' (id 1) to '_' (id 63); id 0 ends.
 */
#ifndef ASSAY_TESTS_TINY_MODEL_H
#define ASSAY_TESTS_TINY_MODEL_H

#include <stdio.h>
#include <sys/stat.h>

enum { TINY_VOCAB = 64 };

static const char TINY_CONFIG[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": 64, \"hidden_size\": 32,\n"
    " \"intermediate_size\": 64, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2,\n"
    " \"head_dim\": 8, \"hidden_act\": \"silu\", \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-05,\n"
    " \"rope_theta\": 10000.0, \"tie_word_embeddings\": true, \"attention_bias\": false, \"mlp_bias\": false,\n"
    " \"bos_token_id\": null, \"eos_token_id\": 0, \"torch_dtype\": \"float32\"}\n";

static int tiny_file(const char *folder, const char *name, FILE **out)
{
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  *out = fopen(path, "w");
  return *out ? 0 : -1;
}

/* Writes config.json and tokenizer.json into the folder, which is made. */
static int tiny_model_write(const char *folder)
{
  FILE *f;
  mkdir(folder, 0755);
  if (tiny_file(folder, "config.json", &f)) return -1;
  fputs(TINY_CONFIG, f);
  fclose(f);
  if (tiny_file(folder, "tokenizer.json", &f)) return -1;
  fputs(
      "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": [{\"id\": 0, \"content\": "
      "\"<|end|>\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": "
      "true}], \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
      "\"trim_offsets\": true, \"use_regex\": true}, \"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\", "
      "\"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}, \"model\": {\"type\": \"BPE\", "
      "\"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, "
      "\"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": false, \"merges\": [], \"vocab\": "
      "{\"<|end|>\": 0",
      f);
  for (int c = '!'; c < '!' + TINY_VOCAB - 1; c++)
    fprintf(f, c == '"' || c == '\\' ? ", \"\\%c\": %d" : ", \"%c\": %d", c, c - '!' + 1);
  fputs("}}}\n", f);
  return fclose(f);
}

#endif
