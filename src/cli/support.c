#include "cli/support.h"

#include "model/config.h"
#include "model/gguf.h"
#include "model/safetensors.h"

/* ---- families ------------------------------------------------------------------------------------------------ */

static void put_traits(struct text *t, const struct model_family *f)
{
  const struct {
    bool there;
    const char *what;
  } traits[] = {{f->qkv_bias, "biases on q, k, v"},
                {f->qk_norm && !f->qk_norm_wide, "QK-norm by head"},
                {f->qk_norm_wide, "QK-norm over the whole width"},
                {f->post_norm && f->pre_norm_off, "norms behind the branches"},
                {f->post_norm && !f->pre_norm_off, "norms before and behind the branches"},
                {f->gemma, "norms by 1 + w, GELU, scaled embedding"},
                {f->caps, "soft caps"},
                {f->rope_local_theta > 0, "two rotary bases"},
                {f->multipliers, "four factors"},
                {f->fused, "joined matrices, partial rotation"},
                {f->nope, "layers without positions"},
                {f->window == WINDOW_ALL, "sliding window"},
                {f->window == WINDOW_SWITCHED, "sliding window from a layer on"},
                {f->window == WINDOW_PATTERN, "sliding windows that alternate"}};
  bool any = false;
  for (size_t i = 0; i < sizeof traits / sizeof traits[0]; i++) {
    if (!traits[i].there) continue;
    text_printf(t, "%s%s", any ? ", " : "", traits[i].what);
    any = true;
  }
  if (!any) text_puts(t, "-");
}

static void put_families(struct text *t)
{
  text_puts(t,
            "## Families\n\n"
            "One decoder, by configuration. `tests/parity/models.c` compares logits, log-probabilities, entropies, "
            "hidden states and every\ngradient of a tiny model of each with transformers in float64: within 1e-10 in "
            "float64 and a few 1e-6 in f32.\n\n"
            "| family | model_type | GGUF | what it has beside Llama |\n|---|---|---|---|\n");
  const struct model_family *f;
  for (size_t i = 0; (f = model_family_at(i)); i++) {
    text_printf(t, "| %s | `%s` | %s | ", f->title, f->model_type, f->gguf ? f->gguf : "llama");
    put_traits(t, f);
    text_puts(t, " |\n");
  }
  text_puts(t,
            "\nRotary positions: plain, linear, dynamic (up to max_position_embeddings), llama3, yarn, longrope (up to "
            "the original length:\nbehind it transformers turns all positions of a sequence by other factors, which "
            "cannot be said of a position alone).\nOther models are refused by one sentence that names the nearest "
            "family and what differs.\n\n");
}

/* ---- files --------------------------------------------------------------------------------------------------- */

static void put_formats(struct text *t)
{
  text_puts(t, "## Files\n\n| format | reads | writes | test |\n|---|---|---|---|\n");
  text_puts(t, "| safetensors, one file or shards | " SAFETENSORS_READABLE
               " | F32, BF16, F16 | `tests/parity/formats.c`, `tests/parity/transformers_loads.sh` |\n");
  text_puts(t, "| GGUF 2 and 3, either byte order (but Q5_0, Q5_1), split files | " GGUF_READABLE
               " | F32, F16, BF16, Q8_0 | `tests/parity/formats.c`, `tests/unit/model_gguf.c` |\n");
  text_puts(t, "| adapters as PEFT keeps them: LoRA, rsLoRA, of one rank, of all families | " SAFETENSORS_READABLE
               " | F32, BF16, F16 | `tests/parity/peft.c`, `tests/parity/peft_loads.sh` |\n\n");
}

/* ---- text ---------------------------------------------------------------------------------------------------- */

static void put_text_side(struct text *t)
{
  text_puts(
      t,
      "## Tokenizers\n\n"
      "| kind | models | in GGUF | test |\n|---|---|---|---|\n"
      "| byte-level BPE | GPT-2, SmolLM, Llama 3, Qwen, Mistral Nemo (Tekken), DeepSeek, Granite, OLMo 2 | "
      "`gpt2` | `tests/parity/tokenizers.c` |\n"
      "| BPE over characters with byte fallback | Llama 2, Mistral 7B, Phi-3, Gemma | `llama` | the "
      "same |\n"
      "| Unigram | models made with sentencepiece's unigram | - | the same |\n\n"
      "Normalisers NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip; pre-tokenisers Split, Digits, ByteLevel, "
      "Metaspace; added tokens with\nlstrip, rstrip, single_word, normalized. WordPiece and others are refused "
      "by name.\n\n"
      "## Chat templates\n\n"
      "Jinja as transformers runs it: loops with all of `loop`, recursive ones, break and continue; macros with "
      "defaults, varargs, kwargs and\ncaller; set and filter blocks, call, with, raw, generation, named blocks; "
      "namespace, joiner, cycler, dict, range, strftime_now and\nraise_exception; the filters and tests of Jinja "
      "but for random and urlize; text that safe or escape\nmarks, and what joining it escapes; Python's methods of "
      "strings, lists and dicts; %-formats and str.format. include, import,\nextends and autoescape are refused. "
      "A rendering is bounded in steps, memory, output and depth.\n\n"
      "Tests: `tests/parity/templates.c` (13 real templates, 1,586 renderings), "
      "`tests/golden/template_language.c` (constructs, random\nprograms, and templates built as those of 45 model "
      "families "
      "are, against jinja2; `tests/parity/make/template_fuzz.py` and\n`template_models.py` make more of them).\n");
}

void support_markdown(struct text *out)
{
  text_puts(out, "# What is supported\n\n(made by `assay doctor --support`)\n\n");
  put_families(out);
  put_formats(out);
  put_text_side(out);
}
