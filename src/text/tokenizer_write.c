/* A tokenizer as tokenizer.json and tokenizer_config.json. */
#include "text/tokenizer_state.h"

#include "core/file.h"

#include <string.h>

static void put_string(struct text *out, const char *s)
{
  json_put_string(out, s, strlen(s));
}

static const char *yes(bool b)
{
  return b ? "true" : "false";
}

static void put_spelling(struct text *out, const struct tokenizer *t, int32_t id)
{
  struct text spelling = {0};
  bpe_put_spelling(&t->bpe, id, &spelling);
  json_put_string(out, spelling.size ? spelling.bytes : "", spelling.size);
  if (spelling.rc) out->rc = spelling.rc;
  text_free(&spelling);
}

static void put_added(struct text *out, const struct tokenizer *t)
{
  text_puts(out, "\"added_tokens\": [");
  for (size_t i = 0; i < t->added_count; i++) {
    const struct added_token *a = &t->added[i];
    text_printf(out, "%s\n  {\"id\": %d, \"content\": ", i ? "," : "", a->id);
    put_spelling(out, t, a->id);
    text_printf(out, ", \"single_word\": %s, \"lstrip\": %s, \"rstrip\": %s, \"normalized\": %s, \"special\": %s}",
                yes(a->single_word), yes(a->lstrip), yes(a->rstrip), yes(a->normalized), yes(a->special));
  }
  text_puts(out, "],\n");
}

static void put_normal_step(struct text *out, const struct normal_step *s)
{
  static const char *const names[] = {"NFC", "NFD", "NFKC", "NFKD"};
  switch (s->kind) {
    case NORMAL_FORM:
      text_printf(out, "{\"type\": \"%s\"}", names[s->form]);
      break;
    case NORMAL_PREPEND:
      text_puts(out, "{\"type\": \"Prepend\", \"prepend\": ");
      put_string(out, s->content);
      text_puts(out, "}");
      break;
    case NORMAL_REPLACE:
      text_printf(out, "{\"type\": \"Replace\", \"pattern\": {\"%s\": ", s->literal ? "String" : "Regex");
      put_string(out, s->pattern);
      text_puts(out, "}, \"content\": ");
      put_string(out, s->content);
      text_puts(out, "}");
      break;
    case NORMAL_STRIP:
      text_printf(out, "{\"type\": \"Strip\", \"strip_left\": %s, \"strip_right\": %s}", yes(s->left), yes(s->right));
      break;
  }
}

static void put_normalizer(struct text *out, const struct tokenizer *t)
{
  text_puts(out, "\"normalizer\": ");
  if (!t->normal_count)
    text_puts(out, "null");
  else
    text_puts(out, "{\"type\": \"Sequence\", \"normalizers\": [");
  for (size_t i = 0; i < t->normal_count; i++) {
    text_puts(out, i ? ", " : "");
    put_normal_step(out, &t->normal[i]);
  }
  text_puts(out, t->normal_count ? "]},\n" : ",\n");
}

static void put_step(struct text *out, const struct pretoken_step *s)
{
  static const char *const behaviors[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  switch (s->kind) {
    case PRETOKEN_DIGITS:
      text_printf(out, "{\"type\": \"Digits\", \"individual_digits\": %s}", yes(s->each_digit));
      break;
    case PRETOKEN_SPLIT:
      text_printf(out, "{\"type\": \"Split\", \"pattern\": {\"%s\": ", s->literal ? "String" : "Regex");
      put_string(out, s->pattern);
      text_printf(out, "}, \"behavior\": \"%s\", \"invert\": %s}", behaviors[s->behavior], yes(s->invert));
      break;
    case PRETOKEN_BYTES:
      text_printf(out, "{\"type\": \"ByteLevel\", \"add_prefix_space\": %s, \"trim_offsets\": true, \"use_regex\": %s}",
                  yes(s->prefix_space), yes(s->use_regex));
      break;
  }
}

static void put_metaspace(struct text *out, const struct tokenizer *t)
{
  static const char *const schemes[] = {"always", "first", "never"};
  const struct metaspace *m = &t->metaspace;
  text_printf(out,
              "{\"type\": \"Metaspace\", \"replacement\": \"\xe2\x96\x81\", \"prepend_scheme\": \"%s\", \"split\": %s}",
              schemes[m->prepend], yes(m->split));
}

static void put_pretokenizer(struct text *out, const struct tokenizer *t)
{
  if (t->metaspace.on || !t->pretoken.count) {
    text_puts(out, "\"pre_tokenizer\": ");
    if (t->metaspace.on)
      put_metaspace(out, t);
    else
      text_puts(out, "null");
    text_puts(out, ",\n");
    return;
  }
  text_puts(out, "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
  for (size_t i = 0; i < t->pretoken.count; i++) {
    text_puts(out, i ? ", " : "");
    put_step(out, &t->pretoken.steps[i]);
  }
  text_puts(out, "]},\n");
}

/* One entry of TemplateProcessing's lists per token around the text. */
static void put_around(struct text *out, const struct tokenizer *t, const char *sequence, int type_id)
{
  for (size_t i = 0; i < t->before_count + t->after_count + 1; i++) {
    text_puts(out, i ? ", " : "");
    if (i == t->before_count) {
      text_printf(out, "{\"Sequence\": {\"id\": \"%s\", \"type_id\": %d}}", sequence, type_id);
      continue;
    }
    text_puts(out, "{\"SpecialToken\": {\"id\": ");
    put_spelling(out, t, i < t->before_count ? t->before[i] : t->after[i - t->before_count - 1]);
    text_printf(out, ", \"type_id\": %d}}", type_id);
  }
}

static void put_postprocessor(struct text *out, const struct tokenizer *t)
{
  static const char bytes[] =
      "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": false, \"use_regex\": true}";
  bool plain = t->bpe.plain;
  if (!t->before_count && !t->after_count) {
    text_printf(out, "\"post_processor\": %s,\n", plain ? "null" : bytes);
    return;
  }
  text_printf(out,
              "\"post_processor\": {\"type\": \"Sequence\", \"processors\": [%s%s{\"type\": \"TemplateProcessing\", "
              "\"single\": [",
              plain ? "" : bytes, plain ? "" : ", ");
  put_around(out, t, "A", 0);
  text_puts(out, "], \"pair\": [");
  put_around(out, t, "A", 0);
  text_puts(out, ", ");
  put_around(out, t, "B", 1);
  text_puts(out, "], \"special_tokens\": {");
  for (size_t i = 0; i < t->before_count + t->after_count; i++) {
    int32_t id = i < t->before_count ? t->before[i] : t->after[i - t->before_count];
    text_puts(out, i ? ", " : "");
    put_spelling(out, t, id);
    text_puts(out, ": {\"id\": ");
    put_spelling(out, t, id);
    text_printf(out, ", \"ids\": [%d], \"tokens\": [", id);
    put_spelling(out, t, id);
    text_puts(out, "]}");
  }
  text_puts(out, "}}]},\n");
}

static void put_decoder(struct text *out, const struct tokenizer *t)
{
  text_puts(out, "\"decoder\": ");
  if (t->decode == DECODE_BYTES) {
    text_puts(out,
              "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}");
  } else if (t->decode == DECODE_METASPACE) {
    put_metaspace(out, t);
  } else {
    text_puts(out,
              "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": "
              "\"\xe2\x96\x81\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}");
    if (t->decode_strip) text_puts(out, ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}");
    text_puts(out, "]}");
  }
  text_puts(out, ",\n");
}

static void put_unigram(struct text *out, const struct tokenizer *t)
{
  const struct unigram *u = &t->unigram;
  text_printf(out, "\"model\": {\"type\": \"Unigram\", \"unk_id\": %d, \"byte_fallback\": %s, \"vocab\": [", u->unk,
              yes(t->bpe.byte_fallback));
  for (size_t i = 0; i < u->count; i++) {
    text_puts(out, i ? ",\n [" : "\n [");
    put_spelling(out, t, (int32_t)i);
    text_puts(out, ", ");
    json_put_f64(out, u->scores[i]);
    text_puts(out, "]");
  }
  text_puts(out, "]}\n");
}

static void put_model(struct text *out, const struct tokenizer *t)
{
  const struct bpe *b = &t->bpe;
  if (t->unigram.scores) {
    put_unigram(out, t);
    return;
  }
  text_puts(out, "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": ");
  if (b->unk < 0)
    text_puts(out, "null");
  else
    put_spelling(out, t, b->unk);
  text_printf(out,
              ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": %s, "
              "\"byte_fallback\": %s, "
              "\"ignore_merges\": %s,\n\"vocab\": {",
              yes(b->fuse_unk), yes(b->byte_fallback), yes(b->ignore_merges));
  bool first = true;
  for (size_t id = 0; id < b->count; id++) {
    if (!b->tokens[id].bytes || (b->tokens[id].added && (b->ignore_merges || b->plain))) continue;
    text_puts(out, first ? "\n " : ",\n ");
    put_spelling(out, t, (int32_t)id);
    text_printf(out, ": %zu", id);
    first = false;
  }
  text_puts(out, "},\n\"merges\": [");
  for (size_t i = 0; i < b->merge_count; i++) {
    text_puts(out, i ? ",\n [" : "\n [");
    put_spelling(out, t, b->ranks[i].left);
    text_puts(out, ", ");
    put_spelling(out, t, b->ranks[i].right);
    text_puts(out, "]");
  }
  text_puts(out, "]}\n");
}

static void put_named(struct text *out, const struct tokenizer *t, const char *key, int32_t id)
{
  if (id < 0) return;
  text_printf(out, " \"%s\": ", key);
  put_spelling(out, t, id);
  text_puts(out, ",\n");
}

static void put_config(struct text *out, const struct tokenizer *t)
{
  text_puts(out, "{\n");
  put_named(out, t, "bos_token", t->bos);
  put_named(out, t, "eos_token", t->eos);
  put_named(out, t, "pad_token", t->pad);
  if (t->chat_template) {
    text_puts(out, " \"chat_template\": ");
    put_string(out, t->chat_template);
    text_puts(out, ",\n");
  }
  text_puts(out, " \"clean_up_tokenization_spaces\": false,\n \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n");
}

static int write_text(struct arena *a, const char *folder, const char *name, const struct text *text, struct error *err)
{
  TRY(text_finish(text, err));
  const char *path = path_join(a, folder, name, err);
  if (!path) return ERROR_RESOURCE;
  struct file_writer *w;
  TRY(file_writer_open(a, path, &w, err));
  int rc = file_writer_write(w, text->bytes, text->size, err);
  if (!rc) rc = file_writer_commit(w, err);
  file_writer_close(w);
  return rc;
}

int tokenizer_write_json(const struct tokenizer *t, struct arena *a, const char *folder, struct error *err)
{
  struct text out = {0};
  text_puts(&out, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n");
  put_added(&out, t);
  put_normalizer(&out, t);
  put_pretokenizer(&out, t);
  put_postprocessor(&out, t);
  put_decoder(&out, t);
  put_model(&out, t);
  text_puts(&out, "}\n");
  int rc = write_text(a, folder, "tokenizer.json", &out, err);
  text_clear(&out);
  put_config(&out, t);
  if (!rc) rc = write_text(a, folder, "tokenizer_config.json", &out, err);
  text_free(&out);
  return rc;
}
