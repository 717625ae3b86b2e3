/* tokenizer.json and the files beside it. */
#include "text/tokenizer_state.h"

#include "core/file.h"

#include <string.h>

/* One file on its way in. */
struct loading {
  struct arena *a;
  struct tokenizer *t;
  const char *file;
  struct error *err;
};

static const char *type_of(const json_t *o)
{
  const char *type = json_string_value(json_object_get(o, "type"));
  return type ? type : "(no type)";
}

static int refuse(struct loading *l, const char *part, const char *found, const char *supported)
{
  FAIL_AT(l->err, ERROR_INPUT, l->file, 0, part, "%s is \"%.60s\", which is not supported; supported: %s", part, found,
          supported);
}

static bool flag(const json_t *o, const char *key, bool fallback)
{
  const json_t *v = json_object_get(o, key);
  return json_is_boolean(v) ? json_is_true(v) : fallback;
}

static const char supported_forms[] = "NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip, Sequence of them, or none";

/* A text of the file without NUL, kept; NULL after failing. */
static const char *keep_text(struct loading *l, const json_t *v, const char *part)
{
  if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v)) {
    (void)!refuse(l, part, "without its text", "a string");
    return NULL;
  }
  return arena_strdup(l->a, json_string_value(v), "tokenizer", l->err);
}

/* What a step's members say. */
static int read_step(struct loading *l, const json_t *o, const char *type, struct normal_step *s, bool *known)
{
  static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"};
  const json_t *pattern = json_object_get(o, "pattern"), *regex = json_object_get(pattern, "Regex");
  *known = true;
  for (int i = 0; i < 4; i++) {
    if (strcmp(type, forms[i])) continue;
    *s = (struct normal_step){.kind = NORMAL_FORM, .form = (enum unicode_form)i};
    return 0;
  }
  if (!strcmp(type, "Strip")) {
    *s = (struct normal_step){
        .kind = NORMAL_STRIP, .left = flag(o, "strip_left", true), .right = flag(o, "strip_right", true)};
  } else if (!strcmp(type, "Prepend")) {
    *s = (struct normal_step){.kind = NORMAL_PREPEND,
                              .content = keep_text(l, json_object_get(o, "prepend"), "normalizer")};
    if (!s->content) return l->err->code;
  } else if (!strcmp(type, "Replace")) {
    *s = (struct normal_step){.kind = NORMAL_REPLACE, .literal = !regex};
    s->pattern = keep_text(l, regex ? regex : json_object_get(pattern, "String"), "normalizer.pattern");
    s->content = s->pattern ? keep_text(l, json_object_get(o, "content"), "normalizer.content") : NULL;
    if (!s->content) return l->err->code;
    if (!*s->pattern) return refuse(l, "normalizer.pattern", "", "a pattern");
    return normal_prepare(l->a, s, l->file, l->err);
  } else {
    *known = false;
  }
  return 0;
}

static int load_normalizer(struct loading *l, const json_t *o)
{
  if (!o || json_is_null(o)) return 0;
  const char *type = type_of(o);
  struct normal_step step = {0};
  bool known = false;
  if (!strcmp(type, "Sequence")) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(o, "normalizers"), i, item)
    {
      if (!strcmp(type_of(item), "Sequence")) return refuse(l, "normalizer", "Sequence in a Sequence", supported_forms);
      TRY(load_normalizer(l, item));
    }
    return 0;
  }
  TRY(read_step(l, o, type, &step, &known));
  if (!known) return refuse(l, "normalizer", type, supported_forms);
  if (l->t->normal_count == TOKENIZER_FORMS)
    return refuse(l, "normalizer", "more than 8 in a Sequence", supported_forms);
  l->t->normal[l->t->normal_count++] = step;
  return 0;
}

static int load_split(struct loading *l, const json_t *o)
{
  static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  const json_t *pattern = json_object_get(o, "pattern");
  const json_t *regex = json_object_get(pattern, "Regex"), *string = json_object_get(pattern, "String");
  const json_t *used = regex ? regex : string;
  const char *behavior = json_string_value(json_object_get(o, "behavior"));
  if (!json_is_string(used) || strlen(json_string_value(used)) != json_string_length(used))
    return refuse(l, "pre_tokenizer", "Split without a pattern", "{\"Regex\": ...} or {\"String\": ...}");
  struct pretoken_step step = {.kind = PRETOKEN_SPLIT, .literal = !regex, .invert = flag(o, "invert", false)};
  int kind = -1;
  for (int i = 0; i < 5; i++)
    if (behavior && !strcmp(behavior, names[i])) kind = i;
  if (kind < 0)
    return refuse(l, "pre_tokenizer.behavior", behavior ? behavior : "(none)",
                  "Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous");
  step.behavior = (enum pretoken_behavior)kind;
  step.pattern = arena_strdup(l->a, json_string_value(used), "tokenizer", l->err);
  if (!step.pattern) return ERROR_RESOURCE;
  return pretoken_add(l->a, &l->t->pretoken, step, l->file, l->err);
}

/* Alone, and with the usual sign. */
static int load_metaspace(struct loading *l, const json_t *o)
{
  static const char *const schemes[] = {"always", "first", "never"};
  const char *sign = json_string_value(json_object_get(o, "replacement")),
             *scheme = json_string_value(json_object_get(o, "prepend_scheme"));
  if (!sign || strcmp(sign, "\xe2\x96\x81") != 0)
    return refuse(l, "pre_tokenizer.replacement", sign ? sign : "(none)", "U+2581");
  int kind = flag(o, "add_prefix_space", true) ? PREPEND_ALWAYS : PREPEND_NEVER;
  for (int i = 0; i < 3; i++)
    if (scheme && !strcmp(scheme, schemes[i])) kind = i;
  l->t->metaspace =
      (struct metaspace){.on = true, .split = flag(o, "split", true), .prepend = (enum metaspace_prepend)kind};
  return 0;
}

static int load_pretokenizer(struct loading *l, const json_t *o, int depth)
{
  const char *type = type_of(o);
  if (l->t->bpe.plain && !depth && (!o || json_is_null(o))) return 0;
  if (l->t->bpe.plain && !depth && !strcmp(type, "Metaspace")) return load_metaspace(l, o);
  if (!strcmp(type, "Sequence") && depth < 4) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(o, "pretokenizers"), i, item) TRY(load_pretokenizer(l, item, depth + 1));
    return 0;
  }
  if (!strcmp(type, "Split")) return load_split(l, o);
  struct pretoken_step step = {.kind = PRETOKEN_BYTES};
  if (!strcmp(type, "Digits")) {
    step = (struct pretoken_step){.kind = PRETOKEN_DIGITS, .each_digit = flag(o, "individual_digits", false)};
  } else if (!strcmp(type, "ByteLevel")) {
    step.prefix_space = flag(o, "add_prefix_space", true);
    step.use_regex = flag(o, "use_regex", true);
  } else {
    return refuse(l, "pre_tokenizer", type, "Split, Digits, ByteLevel, Sequence of them (with ByteLevel last)");
  }
  return pretoken_add(l->a, &l->t->pretoken, step, l->file, l->err);
}

static int add_around(struct loading *l, bool after, int64_t id)
{
  struct tokenizer *t = l->t;
  size_t *count = after ? &t->after_count : &t->before_count;
  if (id < 0 || (uint64_t)id >= t->bpe.count || !t->bpe.tokens[id].bytes)
    FAIL_AT(l->err, ERROR_INPUT, l->file, 0, "post_processor",
            "post_processor adds id %lld; expected the id of a token", (long long)id);
  if (*count == TOKENIZER_AROUND)
    return refuse(l, "post_processor", "more than 16 added tokens", "at most 16 on each side");
  (after ? t->after : t->before)[(*count)++] = (int32_t)id;
  return 0;
}

/* TemplateProcessing: tokens, one place for the text, tokens. */
static int load_template(struct loading *l, const json_t *o)
{
  const json_t *special = json_object_get(o, "special_tokens");
  bool after = false;
  size_t i, k;
  json_t *item, *id;
  json_array_foreach(json_object_get(o, "single"), i, item)
  {
    const json_t *token = json_object_get(item, "SpecialToken");
    if (!token) {
      if (after)
        return refuse(l, "post_processor", "TemplateProcessing with the text twice", "the text once in \"single\"");
      after = true;
      continue;
    }
    const char *name = json_string_value(json_object_get(token, "id"));
    const json_t *ids = name ? json_object_get(json_object_get(special, name), "ids") : NULL;
    if (!json_is_array(ids))
      return refuse(l, "post_processor", name ? name : "(no id)",
                    "tokens that \"special_tokens\" lists with their ids");
    json_array_foreach(ids, k, id) TRY(add_around(l, after, json_is_integer(id) ? json_integer_value(id) : -1));
  }
  return 0;
}

static int load_postprocessor(struct loading *l, const json_t *o, int depth)
{
  if (!o || json_is_null(o)) return 0;
  const char *type = type_of(o);
  if (!strcmp(type, "ByteLevel")) return 0; /* it changes offsets only */
  if (!strcmp(type, "TemplateProcessing")) return load_template(l, o);
  if (!strcmp(type, "Sequence") && depth < 4) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(o, "processors"), i, item) TRY(load_postprocessor(l, item, depth + 1));
    return 0;
  }
  if (!strcmp(type, "RobertaProcessing") || !strcmp(type, "BertProcessing")) {
    TRY(add_around(l, false, json_integer_value(json_array_get(json_object_get(o, "cls"), 1))));
    return add_around(l, true, json_integer_value(json_array_get(json_object_get(o, "sep"), 1)));
  }
  return refuse(l, "post_processor", type,
                "TemplateProcessing, ByteLevel, RobertaProcessing, BertProcessing, Sequence of them, or none");
}

static bool replaces_sign(const json_t *o)
{
  const char *from = json_string_value(json_object_get(json_object_get(o, "pattern"), "String")),
             *to = json_string_value(json_object_get(o, "content"));
  return !strcmp(type_of(o), "Replace") && from && to && !strcmp(from, "\xe2\x96\x81") && !strcmp(to, " ");
}

/* Replace, ByteFallback, Fuse, and perhaps Strip of one space at the start; or Metaspace. */
static int load_plain_decoder(struct loading *l, const json_t *o)
{
  static const char supported[] = "Metaspace, or a Sequence of Replace, ByteFallback, Fuse and Strip";
  struct tokenizer *t = l->t;
  const json_t *list = json_object_get(o, "decoders"), *strip = json_array_get(list, 3);
  t->decode = DECODE_METASPACE;
  if (!strcmp(type_of(o), "Metaspace")) return 0;
  t->decode = DECODE_SPACES;
  bool known = replaces_sign(json_array_get(list, 0)) && !strcmp(type_of(json_array_get(list, 1)), "ByteFallback") &&
               !strcmp(type_of(json_array_get(list, 2)), "Fuse") && json_array_size(list) <= 4;
  if (known && strip)
    known = !strcmp(type_of(strip), "Strip") && json_integer_value(json_object_get(strip, "start")) == 1 &&
            json_integer_value(json_object_get(strip, "stop")) == 0;
  t->decode_strip = strip != NULL;
  return known ? 0 : refuse(l, "decoder", type_of(o), supported);
}

static int load_decoder(struct loading *l, const json_t *o)
{
  if (l->t->bpe.plain) return load_plain_decoder(l, o);
  if (!o || json_is_null(o)) return refuse(l, "decoder", "null", "ByteLevel");
  const char *type = type_of(o);
  if (!strcmp(type, "Sequence")) {
    const json_t *list = json_object_get(o, "decoders");
    if (json_array_size(list) == 1) return load_decoder(l, json_array_get(list, 0));
  }
  return strcmp(type, "ByteLevel") ? refuse(l, "decoder", type, "ByteLevel") : 0;
}

static int check_model(struct loading *l, const json_t *model)
{
  const char *type = json_string_value(json_object_get(model, "type"));
  l->t->bpe.plain = flag(model, "byte_fallback", false);
  if (type && !strcmp(type, "Unigram")) {
    l->t->bpe.plain = true;
    if (!json_array_size(json_object_get(model, "vocab")))
      return refuse(l, "model", "without vocab", "Unigram with one");
    return 0;
  }
  if (type && strcmp(type, "BPE"))
    return refuse(l, "model", type, "BPE (byte-level, or with byte_fallback) and Unigram");
  if (!json_is_object(json_object_get(model, "vocab")) || !json_is_array(json_object_get(model, "merges")))
    return refuse(l, "model", "without vocab and merges", "BPE (byte-level) with both");
  for (const char *const *key = (const char *const[]){"continuing_subword_prefix", "end_of_word_suffix", NULL}; *key;
       key++)
    if (json_string_length(json_object_get(model, *key)))
      return refuse(l, "model", *key, "BPE without prefixes and suffixes");
  if (json_number_value(json_object_get(model, "dropout")) > 0)
    return refuse(l, "model", "BPE with dropout", "BPE without dropout");
  return 0;
}

/* Room for all ids that the file names; ids may leave gaps, but not so many that a small file fills the memory. */
static int count_ids(struct loading *l, json_t *vocab, const json_t *added, size_t *count)
{
  int64_t top = (int64_t)json_array_size(vocab) - 1; /* Unigram's tokens are numbered by their places */
  size_t entries = json_object_size(vocab) + json_array_size(vocab) + json_array_size(added), i;
  const char *key;
  json_t *v;
  json_object_foreach(vocab, key, v)
  {
    if (!json_is_integer(v))
      FAIL_AT(l->err, ERROR_INPUT, l->file, 0, "model.vocab", "token \"%.60s\" has no integer id", key);
    if (json_integer_value(v) > top) top = json_integer_value(v);
  }
  json_array_foreach(added, i, v)
  {
    if (!json_is_integer(json_object_get(v, "id")) || !json_is_string(json_object_get(v, "content")))
      FAIL_AT(l->err, ERROR_INPUT, l->file, 0, "added_tokens",
              "added token %zu lacks an integer \"id\" or a string \"content\"", i);
    if (json_integer_value(json_object_get(v, "id")) > top) top = json_integer_value(json_object_get(v, "id"));
  }
  if (top < 0) FAIL_AT(l->err, ERROR_INPUT, l->file, 0, "model.vocab", "found no token; expected a vocabulary");
  if ((uint64_t)top >= 2 * (uint64_t)entries + 65536)
    FAIL_AT(l->err, ERROR_INPUT, l->file, 0, "model.vocab",
            "found id %lld in a vocabulary of %zu tokens; expected ids without such gaps", (long long)top, entries);
  *count = (size_t)top + 1;
  return 0;
}

static int load_merges(struct loading *l, const json_t *merges)
{
  size_t i;
  json_t *m;
  json_array_foreach(merges, i, m)
  {
    const json_t *left = json_array_get(m, 0), *right = json_array_get(m, 1);
    if (json_is_string(m)) {
      TRY(bpe_add_merge_line(&l->t->bpe, json_string_value(m), json_string_length(m), l->file, l->err));
    } else if (json_array_size(m) == 2 && json_is_string(left) && json_is_string(right)) {
      TRY(bpe_add_merge(&l->t->bpe, json_string_value(left), json_string_length(left), json_string_value(right),
                        json_string_length(right), l->file, l->err));
    } else {
      FAIL_AT(l->err, ERROR_INPUT, l->file, 0, "merges",
              "merge %zu is neither \"left right\" nor [\"left\", \"right\"]", i);
    }
  }
  return 0;
}

static int load_added(struct loading *l, const json_t *list)
{
  struct tokenizer *t = l->t;
  t->added = ARENA_NEW(l->a, struct added_token, json_array_size(list), "tokenizer", l->err);
  if (!t->added) return ERROR_RESOURCE;
  size_t i;
  json_t *o;
  json_array_foreach(list, i, o)
  {
    const json_t *content = json_object_get(o, "content");
    struct added_token *token = &t->added[t->added_count++];
    bool special = flag(o, "special", false);
    *token = (struct added_token){.size = json_string_length(content),
                                  .id = (int32_t)json_integer_value(json_object_get(o, "id")),
                                  .special = special,
                                  .lstrip = flag(o, "lstrip", false),
                                  .rstrip = flag(o, "rstrip", false),
                                  .single_word = flag(o, "single_word", false),
                                  .normalized = flag(o, "normalized", !special)};
    token->text = arena_strndup(l->a, json_string_value(content), token->size, "tokenizer", l->err);
    if (!token->text) return ERROR_RESOURCE;
    TRY(bpe_add_token(l->a, &t->bpe, token->text, token->size, token->id, true, l->file, l->err));
    int32_t known = bpe_find(&t->bpe, token->text, token->size);
    if (known >= 0) token->id = known; /* a token of the vocabulary keeps its id */
  }
  return 0;
}

/* A score as the tokenizers package reads it: its JSON reader divides the digits, rounded to f64, by a power of ten,
   which may be a last place off what is nearest; paths of equal sum are told apart by that. */
static double score_as_read(double x)
{
  static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10,
                                  1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21};
  struct text t = {0};
  uint64_t digits = 0;
  size_t behind = 0, i = 0;
  bool point = false;
  json_put_f64(&t, x < 0 ? -x : x);
  for (; i < t.size && (t.bytes[i] == '.' || (t.bytes[i] >= '0' && t.bytes[i] <= '9')); i++) {
    if (t.bytes[i] != '.') digits = digits * 10 + (uint64_t)(t.bytes[i] - '0');
    behind += point;
    point = point || t.bytes[i] == '.';
  }
  double read = i == t.size && !t.rc && behind < sizeof powers / sizeof *powers ? (double)digits / powers[behind] : x;
  text_free(&t);
  return x < 0 && read > 0 ? -read : read;
}

/* Unigram's list of [token, score]. */
static int load_scores(struct loading *l, const json_t *vocab)
{
  struct unigram *u = &l->t->unigram;
  struct bpe *b = &l->t->bpe;
  size_t i;
  json_t *o;
  u->count = json_array_size(vocab);
  u->scores = ARENA_NEW(l->a, double, u->count, "tokenizer", l->err);
  if (!u->scores) return ERROR_RESOURCE;
  json_array_foreach(vocab, i, o)
  {
    const json_t *token = json_array_get(o, 0), *score = json_array_get(o, 1);
    if (!json_is_string(token) || !json_is_number(score))
      FAIL_AT(l->err, ERROR_INPUT, l->file, 0, "model.vocab", "token %zu is no pair of a string and a score", i);
    u->scores[i] = json_is_real(score) ? score_as_read(json_real_value(score)) : json_number_value(score);
    TRY(bpe_add_token(l->a, b, json_string_value(token), json_string_length(token), (int32_t)i, false, l->file,
                      l->err));
  }
  return 0;
}

static int load_unigram(struct loading *l, const json_t *model)
{
  struct bpe *b = &l->t->bpe;
  struct unigram *u = &l->t->unigram;
  const json_t *unk = json_object_get(model, "unk_id");
  TRY(load_scores(l, json_object_get(model, "vocab")));
  bpe_finish(b);
  b->byte_fallback = flag(model, "byte_fallback", false);
  u->unk = json_is_integer(unk) && json_integer_value(unk) >= 0 && json_integer_value(unk) < (int64_t)u->count
               ? (int32_t)json_integer_value(unk)
               : -1;
  return unigram_finish(l->a, u, b, l->err);
}

static int load_bpe(struct loading *l, const json_t *model)
{
  struct bpe *b = &l->t->bpe;
  const char *key;
  size_t key_size;
  json_t *id, *vocab = json_object_get(model, "vocab");
  json_object_keylen_foreach(vocab, key, key_size, id)
  {
    int64_t n = json_integer_value(id);
    TRY(bpe_add_token(l->a, b, key, key_size, n < 0 ? -1 : (int32_t)n, false, l->file, l->err));
  }
  bpe_finish(b);
  TRY(load_merges(l, json_object_get(model, "merges")));
  const json_t *unk = json_object_get(model, "unk_token");
  if (json_is_string(unk)) b->unk = bpe_find(b, json_string_value(unk), json_string_length(unk));
  b->fuse_unk = flag(model, "fuse_unk", false);
  b->byte_fallback = flag(model, "byte_fallback", false);
  b->ignore_merges = flag(model, "ignore_merges", false);
  return 0;
}

static int load_model(struct loading *l, const json_t *root)
{
  const json_t *model = json_object_get(root, "model"), *added = json_object_get(root, "added_tokens");
  TRY(check_model(l, model));
  size_t count = 0;
  bool plain = l->t->bpe.plain, unigram = json_is_array(json_object_get(model, "vocab"));
  TRY(count_ids(l, json_object_get(model, "vocab"), added, &count));
  TRY(bpe_create(l->a, &l->t->bpe, count, json_array_size(json_object_get(model, "merges")), l->err));
  l->t->bpe.plain = plain;
  TRY(unigram ? load_unigram(l, model) : load_bpe(l, model));
  return load_added(l, added);
}

static int load_all(struct loading *l, const json_t *root)
{
  if (!json_is_object(root))
    FAIL_AT(l->err, ERROR_INPUT, l->file, 0, NULL, "found no JSON object; expected a tokenizer.json");
  TRY(load_model(l, root));
  TRY(load_normalizer(l, json_object_get(root, "normalizer")));
  TRY(load_pretokenizer(l, json_object_get(root, "pre_tokenizer"), 0));
  const struct pretoken *p = &l->t->pretoken;
  bool bytes = p->count && p->steps[p->count - 1].kind == PRETOKEN_BYTES;
  if (bytes == l->t->bpe.plain)
    return refuse(l, "pre_tokenizer", bytes ? "ByteLevel with byte_fallback" : "without ByteLevel at its end",
                  "Split, Digits, ByteLevel, Sequence of them (with ByteLevel last); Metaspace with byte_fallback");
  TRY(load_postprocessor(l, json_object_get(root, "post_processor"), 0));
  TRY(load_decoder(l, json_object_get(root, "decoder")));
  return tokenizer_finish(l->a, l->t, l->err);
}

static int create(struct arena *a, const json_t *root, const char *file, struct tokenizer **out, struct error *err)
{
  struct tokenizer *t = ARENA_NEW(a, struct tokenizer, 1, "tokenizer", err);
  if (!t) return ERROR_RESOURCE;
  t->bos = t->eos = t->pad = -1;
  struct loading l = {a, t, file, err};
  TRY(load_all(&l, root));
  *out = t;
  return 0;
}

int tokenizer_from_json(struct arena *a, const char *json, size_t n, const char *file, struct tokenizer **out,
                        struct error *err)
{
  json_t *root;
  TRY(json_parse(a, json, n, file, 0, JSON_READ_PLAIN, &root, err));
  return create(a, root, file, out, err);
}

/* The files beside tokenizer.json. A token is named as a string or as {"content": ...}. */

static void read_named(const struct tokenizer *t, const json_t *config, const char *key, int32_t *id)
{
  const json_t *v = json_object_get(config, key);
  if (json_is_object(v)) v = json_object_get(v, "content");
  if (*id < 0 && json_is_string(v)) *id = tokenizer_id_of_text(t, json_string_value(v), json_string_length(v));
}

static int read_template(struct loading *l, const json_t *v, const char **out)
{
  if (*out || !json_is_string(v)) return 0;
  *out = arena_strdup(l->a, json_string_value(v), "chat template", l->err);
  return *out ? 0 : ERROR_RESOURCE;
}

/* "chat_template" is the text, or a list of {"name", "template"}. */
static int read_templates(struct loading *l, const json_t *v)
{
  TRY(read_template(l, v, &l->t->chat_template));
  size_t i;
  json_t *o;
  json_array_foreach(v, i, o)
  {
    const char *name = json_string_value(json_object_get(o, "name"));
    if (name && !strcmp(name, "default")) TRY(read_template(l, json_object_get(o, "template"), &l->t->chat_template));
    if (name && !strcmp(name, "tool_use")) TRY(read_template(l, json_object_get(o, "template"), &l->t->tool_template));
  }
  return 0;
}

static int read_config(struct loading *l, const char *folder, const char *name)
{
  const char *path = path_join(l->a, folder, name, l->err);
  if (!path) return ERROR_RESOURCE;
  if (!file_exists(path)) return 0;
  json_t *config;
  TRY(json_parse_file(l->a, path, &config, l->err));
  l->file = path;
  read_named(l->t, config, "bos_token", &l->t->bos);
  read_named(l->t, config, "eos_token", &l->t->eos);
  read_named(l->t, config, "pad_token", &l->t->pad);
  return read_templates(l, json_object_get(config, "chat_template"));
}

int tokenizer_open_folder(struct arena *a, const char *folder, struct tokenizer **out, struct error *err)
{
  json_t *root;
  const char *path = path_join(a, folder, "tokenizer.json", err),
             *jinja = path_join(a, folder, "chat_template.jinja", err);
  if (!path || !jinja) return ERROR_RESOURCE;
  if (!file_exists(path))
    FAIL_AT(err, ERROR_INPUT, folder, 0, NULL,
            "found no tokenizer.json; expected one (save the model with a fast tokenizer: "
            "AutoTokenizer(...).save_pretrained)");
  TRY(json_parse_file(a, path, &root, err));
  TRY(create(a, root, path, out, err));
  struct loading l = {a, *out, path, err};
  if (file_exists(jinja)) {
    char *text;
    size_t n;
    TRY(file_read(a, jinja, 16 << 20, &text, &n, err));
    (*out)->chat_template = text;
  }
  TRY(read_config(&l, folder, "tokenizer_config.json"));
  return read_config(&l, folder, "special_tokens_map.json");
}
