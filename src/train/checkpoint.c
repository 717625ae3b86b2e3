#include "train/checkpoint.h"

#include "core/cursor.h"
#include "core/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char MAGIC[8] = "ASSAYST1";
enum { ROWS_BYTES = 1 << 20 }; /* rows are moved through a buffer of about this size */

/* ---- state.bin: writing -------------------------------------------------------------------------------------------
 */

static void put_u32(uint8_t *p, uint32_t x)
{
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(x >> (8 * i));
}

static void put_u64(uint8_t *p, uint64_t x)
{
  for (int i = 0; i < 8; i++) p[i] = (uint8_t)(x >> (8 * i));
}

static int put_section(struct file_writer *w, const char *name, uint64_t size, struct error *err)
{
  uint8_t head[4], length[8];
  put_u32(head, (uint32_t)strlen(name));
  put_u64(length, size);
  TRY(file_writer_write(w, head, sizeof head, err));
  TRY(file_writer_write(w, name, strlen(name), err));
  return file_writer_write(w, length, sizeof length, err);
}

/* Rows that fit the buffer, at least one. */
static size_t rows_at_once(const struct weight *w)
{
  size_t n = ROWS_BYTES / (sizeof(float) * weight_cols(w));
  return n ? n : 1;
}

/* A part of a weight as a section "moment1 NAME": f32, logical row-major. */
static int put_part(struct arena *a, struct file_writer *out, const struct weight *w, enum weight_part part,
                    const char *what, struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  size_t rows = weight_rows(w), cols = weight_cols(w), step = rows_at_once(w);
  float *buffer = ARENA_NEW(a, float, step *cols, "checkpoint", err);
  char *name = arena_printf(a, "checkpoint", err, "%s %s", what, weight_name(w));
  if (!buffer || !name) return err->code;
  TRY(put_section(out, name, (uint64_t)rows * cols * sizeof(float), err));
  for (size_t r = 0; r < rows; r += step) {
    size_t n = rows - r < step ? rows - r : step;
    weight_read(w, part, r, n, buffer, HOST_F32);
    TRY(file_writer_write(out, buffer, n * cols * sizeof(float), err));
  }
  arena_release(a, mark);
  return 0;
}

static int put_meta(struct file_writer *w, const struct checkpoint *c, struct error *err)
{
  struct text t = {0};
  text_printf(&t,
              "{\"step\":%" PRId64 ",\"updates\":%" PRId64 ",\"weight_version\":%" PRId64 ",\"data_position\":%" PRId64
              ",\"identity\":\"%s\"}",
              c->step, c->updates, c->weight_version, c->data_position, c->identity);
  int rc = text_finish(&t, err);
  if (!rc) rc = put_section(w, "meta", t.size, err);
  if (!rc) rc = file_writer_write(w, t.bytes, t.size, err);
  text_free(&t);
  return rc;
}

/* Other weights are sections "weights ema/NAME". */
static int put_weights(struct arena *a, struct file_writer *w, const struct checkpoint_weights *other,
                       struct error *err)
{
  char *what = arena_printf(a, "checkpoint", err, "weights %s/", other->name);
  if (!what) return err->code;
  for (size_t i = 0; i < other->model->trained_count; i++)
    TRY(put_part(a, w, other->model->trained[i], WEIGHT_MASTER, what, err));
  return 0;
}

static int write_state(struct arena *a, const char *path, const struct model *m, const struct checkpoint *c,
                       bool masters, struct error *err)
{
  struct file_writer *w;
  TRY(file_writer_open(a, path, &w, err));
  TRY(file_writer_write(w, MAGIC, sizeof MAGIC, err));
  TRY(put_meta(w, c, err));
  for (size_t i = 0; i < m->trained_count; i++) {
    if (masters) TRY(put_part(a, w, m->trained[i], WEIGHT_MASTER, "master", err));
    TRY(put_part(a, w, m->trained[i], WEIGHT_MOMENT1, "moment1", err));
    TRY(put_part(a, w, m->trained[i], WEIGHT_MOMENT2, "moment2", err));
  }
  for (size_t i = 0; i < c->weights_count; i++) TRY(put_weights(a, w, &c->weights[i], err));
  for (size_t i = 0; i < c->blob_count; i++) {
    TRY(put_section(w, c->blobs[i].name, c->blobs[i].size, err));
    TRY(file_writer_write(w, c->blobs[i].bytes, c->blobs[i].size, err));
  }
  return file_writer_commit(w, err);
}

/* ---- checksums -------------------------------------------------------------------------------------------------- */

/* Read, not mapped: pages of a mapped file would count as this process's memory. */
static int hash_file(struct arena *a, const char *path, char hex[65], struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  uint8_t *buffer = ARENA_NEW(a, uint8_t, ROWS_BYTES, "checkpoint", err), digest[32];
  if (!buffer) return err->code;
  FILE *f = fopen(path, "rb");
  if (!f)
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "cannot be read (%s); expected a file of this checkpoint; use an older one", strerror(errno));
  struct sha256 s;
  size_t n;
  sha256_start(&s);
  while ((n = fread(buffer, 1, ROWS_BYTES, f)) > 0) sha256_add(&s, buffer, n);
  bool bad = ferror(f);
  fclose(f);
  if (bad)
    FAIL_AT(err, ERROR_RESOURCE, path, 0, NULL,
            "could not be read to its end; expected a sound disk; use an older checkpoint");
  sha256_finish(&s, digest);
  sha256_hex(digest, hex);
  arena_release(a, mark);
  return 0;
}

static int write_checksums(struct arena *a, const char *folder, char state_hash[65], struct error *err)
{
  char **names, hex[65];
  size_t count;
  struct file_writer *w;
  TRY(file_list(a, folder, &names, &count, err));
  char *path = path_join(a, folder, "checksums.txt", err);
  if (!path) return err->code;
  TRY(file_writer_open(a, path, &w, err));
  for (size_t i = 0; i < count; i++) {
    if (!strncmp(names[i], "checksums.txt", 13)) continue;  // itself, and its temporary
    char *file = path_join(a, folder, names[i], err);
    if (!file) return err->code;
    TRY(hash_file(a, file, hex, err));
    if (!strcmp(names[i], "state.bin")) memcpy(state_hash, hex, 65);
    TRY(file_writer_printf(w, err, "%s  %s\n", hex, names[i]));
  }
  return file_writer_commit(w, err);
}

static int check_checksums(struct arena *a, const char *folder, struct error *err)
{
  char *path = path_join(a, folder, "checksums.txt", err), *line, hex[65];
  struct line_reader *r;
  size_t n;
  int number;
  if (!path) return err->code;
  TRY(line_reader_open(a, path, &r, err));
  for (;;) {
    TRY(line_reader_next(r, &line, &n, &number, err));
    if (!line) return 0;
    if (n < 67 || line[64] != ' ' || memchr(line + 66, '/', n - 66))
      FAIL_AT(err, ERROR_INPUT, path, number, NULL,
              "found a line that is no checksum; expected \"SHA-256  FILE\"; use an older checkpoint");
    char *name = arena_strndup(a, line + 66, n - 66, "checkpoint", err),
         *want = arena_strndup(a, line, 64, "checkpoint", err);
    char *file = name ? path_join(a, folder, name, err) : NULL;
    if (!file || !want) return err->code;
    TRY(hash_file(a, file, hex, err));
    if (strcmp(hex, want))
      FAIL_AT(err, ERROR_INPUT, file, 0, NULL,
              "its SHA-256 is %.12s...; expected %.12s... as when it was written; the file was changed or damaged: use "
              "an older checkpoint",
              hex, want);
  }
}

/* ---- saving ----------------------------------------------------------------------------------------------------- */

static int write_card(struct arena *a, const char *folder, const char *card, struct error *err)
{
  struct file_writer *w;
  char *path = path_join(a, folder, "README.md", err);
  if (!path) return err->code;
  TRY(file_writer_open(a, path, &w, err));
  TRY(file_writer_write(w, card, strlen(card), err));
  return file_writer_commit(w, err);
}

static int write_whole(struct arena *a, const char *folder, const struct model *m, const struct model_source *source,
                       const struct tokenizer *tokenizer, const struct checkpoint *c, enum save_type type,
                       char state_hash[65], struct error *err)
{
  TRY(file_make_folder(folder, err));
  TRY(model_save(m, source, folder, type, err));
  if (tokenizer && !source->folder) TRY(tokenizer_write_json(tokenizer, a, folder, err));
  char *state = path_join(a, folder, "state.bin", err);
  if (!state) return err->code;
  TRY(write_state(a, state, m, c, type != SAVE_F32, err));
  if (c->card) TRY(write_card(a, folder, c->card, err));
  TRY(device_sync(m->device, err));  // a device that broke gave zeros
  TRY(write_checksums(a, folder, state_hash, err));
  return file_sync_folder(folder, err);
}

int checkpoint_save(struct arena *a, const char *run, const struct model *m, const struct model_source *source,
                    const struct tokenizer *tokenizer, const struct checkpoint *c, enum save_type type,
                    char state_hash[65], struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  char *writing = arena_printf(a, "checkpoint", err, "%s/checkpoints/.writing-%06" PRId64, run, c->step);
  char *final = arena_printf(a, "checkpoint", err, "%s/checkpoints/%06" PRId64, run, c->step);
  if (!writing || !final) return err->code;
  if (file_exists(writing)) TRY(file_remove_tree(writing, err));
  int rc = write_whole(a, writing, m, source, tokenizer, c, type, state_hash, err);
  if (!rc && file_exists(final)) rc = file_remove_tree(final, err);
  if (!rc) rc = file_rename(writing, final, err);
  if (rc) {
    struct error ignored = {0};
    if (file_exists(writing) && file_remove_tree(writing, &ignored)) error_clear(&ignored);
    error_context(err, "saving checkpoint %06" PRId64 " (the ones before it are whole)", c->step);
  }
  arena_release(a, mark);
  return rc;
}

static bool is_step(const char *name)
{
  size_t digits = strspn(name, "0123456789");
  return digits >= 6 && digits <= 12 && name[digits] == 0;
}

int checkpoint_last(struct arena *a, const char *run, const char **folder, int64_t *step, struct error *err)
{
  char *all = path_join(a, run, "checkpoints", err), **names;
  size_t count;
  *folder = NULL;
  *step = -1;
  if (!all) return err->code;
  if (!file_is_folder(all)) return 0;
  TRY(file_list(a, all, &names, &count, err));
  for (size_t i = 0; i < count; i++) {
    if (!is_step(names[i]) || strtoll(names[i], NULL, 10) <= *step) continue;
    *step = strtoll(names[i], NULL, 10);
    *folder = path_join(a, all, names[i], err);
    if (!*folder) return err->code;
  }
  return 0;
}

int checkpoint_prune(struct arena *a, const char *run, int keep, int64_t best, struct error *err)
{
  char *all = path_join(a, run, "checkpoints", err), **names;
  size_t count;
  if (!all) return err->code;
  if (!file_is_folder(all)) return 0;
  TRY(file_list(a, all, &names, &count, err));  // sorted: newest last, as steps have leading zeros
  int kept = 0;
  for (size_t i = count; i-- > 0;) {
    bool step = is_step(names[i]), rest = !strncmp(names[i], ".writing-", 9);
    bool keeps = step && (keep == 0 || kept < keep || strtoll(names[i], NULL, 10) == best);
    kept += step;
    if (keeps || (!step && !rest)) continue;
    char *path = path_join(a, all, names[i], err);
    if (!path) return err->code;
    TRY(file_remove_tree(path, err));
  }
  return 0;
}

int checkpoint_state_hash(struct arena *a, const char *folder, char hex[65], struct error *err)
{
  char *path = path_join(a, folder, "state.bin", err);
  return path ? hash_file(a, path, hex, err) : err->code;
}

/* ---- loading ---------------------------------------------------------------------------------------------------- */

struct section {
  const char *name;
  const uint8_t *bytes;
  uint64_t size;
};

static int next_section(struct arena *a, struct cursor *c, struct section *out, struct error *err)
{
  uint32_t length;
  const uint8_t *name;
  TRY(cursor_u32(c, &length, "the length of a section's name", err));
  TRY(cursor_bytes(c, length, &name, "a section's name", err));
  out->name = arena_strndup(a, (const char *)name, length, "checkpoint", err);
  if (!out->name) return err->code;
  TRY(cursor_u64(c, &out->size, "a section's size", err));
  return cursor_bytes(c, out->size, &out->bytes, out->name, err);
}

static int read_meta(struct arena *a, const struct section *s, const char *file, struct checkpoint *out,
                     struct error *err)
{
  json_t *o;
  const char *identity;
  TRY(json_parse(a, (const char *)s->bytes, s->size, file, 0, JSON_READ_UNIQUE, &o, err));
  TRY(json_need_int(o, "step", 0, INT64_MAX, &out->step, file, err));
  TRY(json_need_int(o, "updates", 0, INT64_MAX, &out->updates, file, err));
  TRY(json_need_int(o, "weight_version", 0, INT64_MAX, &out->weight_version, file, err));
  TRY(json_need_int(o, "data_position", 0, INT64_MAX, &out->data_position, file, err));
  TRY(json_need_string(o, "identity", &identity, file, err));
  if (strlen(identity) >= sizeof out->identity)
    FAIL_AT(err, ERROR_INPUT, file, 0, "identity", "found a text of %zu bytes; expected 64", strlen(identity));
  memcpy(out->identity, identity, strlen(identity) + 1);
  return 0;
}

/* The file's bytes need not be aligned as floats are: rows go through a buffer. */
static int write_rows(struct arena *a, const uint8_t *bytes, struct weight *w, enum weight_part part, struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  size_t rows = weight_rows(w), cols = weight_cols(w), step = rows_at_once(w);
  float *buffer = ARENA_NEW(a, float, step *cols, "checkpoint", err);
  if (!buffer) return err->code;
  for (size_t r = 0; r < rows; r += step) {
    size_t n = rows - r < step ? rows - r : step;
    memcpy(buffer, bytes + r * cols * sizeof(float), n * cols * sizeof(float));
    weight_write(w, part, r, n, buffer, HOST_F32);
  }
  arena_release(a, mark);
  return 0;
}

/* Puts a section "moment1 NAME" where it belongs; *known is false for a section that is not of a weight. */
static int read_part(struct arena *a, const struct section *s, const char *file, struct model *m, bool *known,
                     struct error *err)
{
  static const struct {
    const char *prefix;
    enum weight_part part;
  } parts[] = {{"master ", WEIGHT_MASTER}, {"moment1 ", WEIGHT_MOMENT1}, {"moment2 ", WEIGHT_MOMENT2}};
  *known = false;
  for (size_t i = 0; i < 3; i++) {
    size_t n = strlen(parts[i].prefix);
    if (strncmp(s->name, parts[i].prefix, n)) continue;
    struct weight *w = model_find(m, s->name + n);
    if (!w || s->size != (uint64_t)weight_rows(w) * weight_cols(w) * sizeof(float))
      FAIL_AT(err, ERROR_INPUT, file, 0, s->name + n,
              "found a state of %" PRIu64
              " bytes for it; expected one for this model's weights; this checkpoint belongs to another model",
              s->size);
    TRY(write_rows(a, s->bytes, w, parts[i].part, err));
    *known = true;
  }
  return 0;
}

static int add_blob(struct arena *a, const struct section *s, struct checkpoint *out, struct error *err)
{
  struct checkpoint_blob *more = ARENA_NEW(a, struct checkpoint_blob, out->blob_count + 1, "checkpoint", err);
  char *bytes = arena_strndup(a, (const char *)s->bytes, s->size, "checkpoint", err);
  if (!more || !bytes) return err->code;
  if (out->blob_count) memcpy(more, out->blobs, out->blob_count * sizeof *more);
  more[out->blob_count] = (struct checkpoint_blob){s->name, bytes, s->size};
  out->blobs = more;
  out->blob_count++;
  return 0;
}

int checkpoint_load(struct arena *a, const char *folder, const char *identity, struct model *m, struct checkpoint *out,
                    struct error *err)
{
  struct file_map map;
  size_t parts = 0;
  *out = (struct checkpoint){0};
  TRY(check_checksums(a, folder, err));
  char *path = path_join(a, folder, "state.bin", err);
  if (!path) return err->code;
  TRY(file_map(a, path, &map, err));
  struct cursor c = cursor_over(map.bytes, map.size, path);
  const uint8_t *magic;
  TRY(cursor_bytes(&c, sizeof MAGIC, &magic, "the magic number", err));
  if (memcmp(magic, MAGIC, sizeof MAGIC))
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "found no \"ASSAYST1\" at its start; expected a state.bin of this program");
  while (cursor_left(&c)) {
    struct section s;
    bool known;
    TRY(next_section(a, &c, &s, err));
    TRY(read_part(a, &s, path, m, &known, err));
    parts += known;
    if (known || !strncmp(s.name, "weights ", 8)) continue;
    if (!strcmp(s.name, "meta"))
      TRY(read_meta(a, &s, path, out, err));
    else
      TRY(add_blob(a, &s, out, err));
  }
  if (parts < 2 * m->trained_count)
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "found the state of %zu weights; expected %zu; this checkpoint belongs to another model", parts / 2,
            m->trained_count);
  if (identity && strcmp(identity, out->identity))
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL,
            "belongs to a run with another recipe (%.12s..., here %.12s...); expected a checkpoint of this run",
            out->identity, identity);
  return 0;
}

int checkpoint_load_weights(struct arena *a, const char *folder, const char *name, struct model *m, bool *found,
                            struct error *err)
{
  struct file_map map;
  char *path = path_join(a, folder, "state.bin", err),
       *prefix = arena_printf(a, "checkpoint", err, "weights %s/ ", name);
  *found = false;
  if (!path || !prefix) return err->code;
  TRY(file_map(a, path, &map, err));
  struct cursor c = cursor_over(map.bytes, map.size, path);
  const uint8_t *magic;
  TRY(cursor_bytes(&c, sizeof MAGIC, &magic, "the magic number", err));
  while (cursor_left(&c)) {
    struct section s;
    TRY(next_section(a, &c, &s, err));
    if (strncmp(s.name, prefix, strlen(prefix))) continue;
    struct weight *w = model_find(m, s.name + strlen(prefix));
    if (!w || s.size != (uint64_t)weight_rows(w) * weight_cols(w) * sizeof(float))
      FAIL_AT(err, ERROR_INPUT, path, 0, s.name,
              "found %" PRIu64
              " bytes of a weight that the model has not in this "
              "shape; expected the weights of this run; take another checkpoint",
              s.size);
    TRY(write_rows(a, s.bytes, w, WEIGHT_MASTER, err));
    *found = true;
  }
  return 0;
}
