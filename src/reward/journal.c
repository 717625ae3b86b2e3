#include "reward/journal.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "core/file.h"
#include "core/log.h"

struct entry {
  struct journal_key key;
  struct verdict verdict;
};

struct journal {
  struct arena *arena; /* the run's */
  struct arena *step;  /* entries and their strings */
  char *folder, *path; /* path: of the step's file */
  bool keep, dirty, made;
  pthread_mutex_t lock;
  struct entry **slots; /* [room], a power of two; at most half of them are used */
  size_t room, count;
};

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* Length first: no two lists of parts have the same bytes. */
static void add_part(struct sha256 *h, const void *bytes, size_t n)
{
  uint64_t length = n;
  uint8_t size[8];
  for (int i = 0; i < 8; i++) size[i] = (uint8_t)(length >> (8 * i));
  sha256_add(h, size, sizeof size);
  sha256_add(h, bytes, n);
}

static void add_string(struct sha256 *h, const char *s)
{
  add_part(h, s ? s : "", s ? strlen(s) + 1 : 0);
}

static int add_dump(const char *bytes, size_t n, void *hash)
{
  sha256_add(hash, bytes, n);
  return 0;
}

int journal_key_of(const struct verifier_config *c, const struct problem *p, const char *response, size_t n,
                   int attempt, struct journal_key *out, struct error *err)
{
  struct sha256 h;
  char number[16];
  uint8_t fields[32];
  sha256_start(&h);
  if (p->fields && json_dump_callback(p->fields, add_dump, &h, JSON_COMPACT | JSON_SORT_KEYS))
    FAIL(err, ERROR_RESOURCE, "out of memory for a key of the journal");
  sha256_finish(&h, fields);
  snprintf(number, sizeof number, "%d", attempt);
  sha256_start(&h);
  add_string(&h, "verdict 1");
  add_string(&h, number);
  add_string(&h, c->verifier->name);
  for (size_t i = 0; i < c->verifier->setting_count; i++) {
    add_string(&h, c->verifier->settings[i].name);
    add_string(&h, c->values[i].set ? c->values[i].text : NULL);
  }
  add_part(&h, fields, sizeof fields);
  add_string(&h, p->answer);
  add_part(&h, response, n);
  sha256_finish(&h, out->digest);
  return 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static size_t first_slot(const struct journal *j, const struct journal_key *key)
{
  uint64_t at;
  memcpy(&at, key->digest, sizeof at);
  return (size_t)at & (j->room - 1);
}

/* The slot of this key, or the empty one where it belongs. */
static struct entry **slot_of(struct journal *j, const struct journal_key *key)
{
  size_t at = first_slot(j, key);
  while (j->slots[at] && memcmp(&j->slots[at]->key, key, sizeof *key) != 0) at = (at + 1) & (j->room - 1);
  return &j->slots[at];
}

static int make_room(struct journal *j, struct error *err)
{
  if (2 * (j->count + 1) <= j->room) return 0;
  struct entry **old = j->slots;
  size_t old_room = j->room;
  j->room = old_room ? 2 * old_room : 256;
  j->slots = ARENA_NEW(j->step, struct entry *, j->room, "journal", err);
  if (!j->slots) {
    j->slots = old;
    j->room = old_room;
    return err->code;
  }
  for (size_t i = 0; i < old_room; i++)
    if (old[i]) *slot_of(j, &old[i]->key) = old[i];
  return 0;
}

static int copy_text(struct arena *a, const char **s, struct error *err)
{
  if (!*s) return 0;
  *s = arena_strdup(a, *s, "journal", err);
  return *s ? 0 : err->code;
}

/* A copy in the step's arena. */
static int add_entry(struct journal *j, const struct journal_key *key, const struct verdict *v, struct entry **out,
                     struct error *err)
{
  TRY(make_room(j, err));
  struct entry *e = ARENA_NEW(j->step, struct entry, 1, "journal", err);
  if (!e) return err->code;
  e->key = *key;
  e->verdict = *v;
  TRY(copy_text(j->step, &e->verdict.extracted, err));
  TRY(copy_text(j->step, &e->verdict.reason, err));
  TRY(copy_text(j->step, &e->verdict.more, err));
  for (int i = 0; i < v->channel_count; i++) TRY(copy_text(j->step, &e->verdict.channels[i].name, err));
  *slot_of(j, key) = e;
  j->count++;
  *out = e;
  return 0;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static void put_text(struct text *t, const char *key, const char *s)
{
  text_printf(t, ",\"%s\":", key);
  if (s)
    json_put_string(t, s, strlen(s));
  else
    text_puts(t, "null");
}

static void put_entry(struct text *t, const struct journal_key *key, const struct verdict *v)
{
  static const char hex[] = "0123456789abcdef";
  text_puts(t, "{\"key\":\"");
  for (size_t i = 0; i < sizeof key->digest; i++) {
    text_add(t, &hex[key->digest[i] >> 4], 1);
    text_add(t, &hex[key->digest[i] & 15], 1);
  }
  text_printf(t, "\",\"status\":\"%s\",\"reward\":",
              v->status == VERDICT_OK ? "ok"
              : v->timeout            ? "timeout"
                                      : "failed");
  json_put_f64(t, v->status == VERDICT_OK ? v->reward : 0);
  text_printf(t, ",\"correct\":%s,\"readable\":%s", v->correct ? "true" : "false", v->readable ? "true" : "false");
  put_text(t, "extracted", v->extracted);
  put_text(t, "reason", v->reason);
  if (v->more) put_text(t, "more", v->more);
  text_puts(t, ",\"channels\":{");
  for (int i = 0; i < v->channel_count; i++) {
    if (i) text_puts(t, ",");
    json_put_string(t, v->channels[i].name, strlen(v->channels[i].name));
    text_puts(t, ":");
    json_put_f64(t, v->channels[i].value);
  }
  text_puts(t, "}");
  uLong crc = crc32(0, (const Bytef *)(t->bytes ? t->bytes : ""), (uInt)t->size);
  text_printf(t, ",\"crc\":\"%08lx\"}\n", (unsigned long)crc);
}

/* The line is whole: it ends in the sum of what stands in front. */
static bool is_whole(const char *line, size_t n)
{
  enum { TAIL = 18 }; /* ,"crc":"12345678"} */
  char sum[TAIL + 1];
  if (n < TAIL) return false;
  snprintf(sum, sizeof sum, ",\"crc\":\"%08lx\"}", (unsigned long)crc32(0, (const Bytef *)line, (uInt)(n - TAIL)));
  return !memcmp(line + n - TAIL, sum, TAIL);
}

static bool read_key(const char *hex, struct journal_key *out)
{
  for (size_t i = 0; i < 2 * sizeof out->digest; i++) {
    char c = hex[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return false;
    out->digest[i / 2] = (uint8_t)((out->digest[i / 2] << 4) | digit);
  }
  return !hex[2 * sizeof out->digest];
}

static int read_line(struct journal *j, const char *line, size_t n, struct error *err)
{
  json_t *o, *value;
  const char *name, *status;
  struct journal_key key = {{0}};
  struct entry *unused;
  TRY(json_parse(j->step, line, n, j->path, 0, 0, &o, err));
  TRY(json_need_string(o, "status", &status, j->path, err));
  struct verdict v = {.status = strcmp(status, "ok") ? VERDICT_FAILED : VERDICT_OK,
                      .timeout = !strcmp(status, "timeout"),
                      .reward = json_number_value(json_object_get(o, "reward")),
                      .correct = json_is_true(json_object_get(o, "correct")),
                      .readable = json_is_true(json_object_get(o, "readable")),
                      .extracted = json_string_value(json_object_get(o, "extracted")),
                      .more = json_string_value(json_object_get(o, "more"))};
  const char *hex = json_string_value(json_object_get(o, "key"));
  if (!hex || !read_key(hex, &key))
    FAIL_AT(err, ERROR_INPUT, j->path, 0, "key", "found a verdict without a key; expected a line as Assay writes it");
  TRY(json_need_string(o, "reason", &v.reason, j->path, err));
  json_object_foreach(json_object_get(o, "channels"), name, value)
  {
    if (v.channel_count == VERDICT_CHANNELS) break;
    v.channels[v.channel_count].name = name;
    v.channels[v.channel_count++].value = json_number_value(value);
  }
  struct verdict first;
  return journal_find(j, &key, &first) ? 0 : add_entry(j, &key, &v, &unused, err);
}

/* Lines up to the first that is not whole; a kill leaves at most one such line, the last. */
static int read_file(struct journal *j, struct error *err)
{
  char *text;
  size_t n, at = 0;
  TRY(file_read(j->step, j->path, SIZE_MAX / 2, &text, &n, err));
  while (at < n) {
    char *end = memchr(text + at, '\n', n - at);
    size_t length = end ? (size_t)(end - text) - at : n - at;
    if (!end || !is_whole(text + at, length)) break;
    TRY(read_line(j, text + at, length, err));
    at += length + 1;
  }
  if (at == n) return 0;
  log_info("journal: %zu bytes at the end of %s were cut short and are left out", n - at, path_base(j->path));
  return j->keep ? file_truncate(j->path, at, err) : 0;
}

/* ---- the journal ------------------------------------------------------------------------------------------------- */

static void close_journal(void *arg)
{
  struct journal *j = arg;
  arena_destroy(j->step);
  pthread_mutex_destroy(&j->lock);
}

int journal_open(struct arena *a, const char *folder, bool keep, struct journal **out, struct error *err)
{
  struct journal *j = ARENA_NEW(a, struct journal, 1, "journal", err);
  if (!j) return err->code;
  j->arena = a;
  j->keep = keep;
  j->folder = arena_strdup(a, folder, "journal", err);
  j->step = j->folder ? arena_create("journal", 0, err) : NULL;
  if (!j->step) return err->code;
  pthread_mutex_init(&j->lock, NULL);
  int rc = arena_on_reset(a, close_journal, j, err);
  if (rc) {
    close_journal(j);
    return rc;
  }
  *out = j;
  return 0;
}

int journal_begin(struct journal *j, int64_t step, bool evaluation, struct error *err)
{
  pthread_mutex_lock(&j->lock);
  arena_reset(j->step);
  j->slots = NULL;
  j->room = j->count = 0;
  j->dirty = false;
  j->path =
      arena_printf(j->step, "journal", err, "%s/%06" PRId64 "%s.jsonl", j->folder, step, evaluation ? ".eval" : "");
  pthread_mutex_unlock(&j->lock);
  if (!j->path) return err->code;
  TRY(make_room(j, err));
  return file_exists(j->path) ? read_file(j, err) : 0;
}

bool journal_find(struct journal *j, const struct journal_key *key, struct verdict *out)
{
  pthread_mutex_lock(&j->lock);
  ASSAY_BUG_IF(!j->slots); /* before begin */
  const struct entry *e = *slot_of(j, key);
  if (e) *out = e->verdict;
  pthread_mutex_unlock(&j->lock);
  return e != NULL;
}

static int write_entry(struct journal *j, const struct entry *e, struct error *err)
{
  struct text line = {0};
  if (!j->keep) return 0;
  if (!j->made) TRY(file_make_folder(j->folder, err));
  bool fresh = !file_exists(j->path);
  j->made = j->dirty = true;
  put_entry(&line, &e->key, &e->verdict);
  int rc = text_finish(&line, err);
  if (!rc) rc = file_append(j->path, line.bytes, line.size, false, err);
  text_free(&line);
  return rc || !fresh ? rc : file_sync_folder(j->folder, err);
}

int journal_record(struct journal *j, const struct journal_key *key, struct verdict *v, struct error *err)
{
  pthread_mutex_lock(&j->lock);
  struct entry *e = *slot_of(j, key);
  bool first = !e;
  int rc = first ? add_entry(j, key, v, &e, err) : 0;
  if (!rc && first) rc = write_entry(j, e, err);
  if (!rc) *v = e->verdict;
  pthread_mutex_unlock(&j->lock);
  return rc;
}

int journal_sync(struct journal *j, struct error *err)
{
  pthread_mutex_lock(&j->lock);
  int rc = j->dirty ? file_append(j->path, "", 0, true, err) : 0;
  if (!rc) j->dirty = false;
  pthread_mutex_unlock(&j->lock);
  return rc;
}
