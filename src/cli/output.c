#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "core/file.h"
#include "core/log.h"

struct output {
  struct file_writer *writer; /* NULL: a stream */
  FILE *stream;
  const char *name;
};

static bool ends_with(const char *path, const char *end)
{
  size_t n = strlen(path), m = strlen(end);
  return n > m && !strcmp(path + n - m, end);
}

int output_open(struct cli *c, struct output **out, struct error *err)
{
  struct output *o = *out = ARENA_NEW(c->arena, struct output, 1, "output", err);
  if (!o) return err->code;
  *o = (struct output){.stream = stdout, .name = "stdout"};
  if (!c->out || !strcmp(c->out, "-") || file_is_stdout(c->out)) return 0;
  for (const char *const *end = (const char *const[]){".gz", ".zst", NULL}; *end; end++)
    if (ends_with(c->out, *end))
      FAIL_AT(err, ERROR_INPUT, c->out, 0, "--out",
              "found the ending %s; --out writes plain text; leave the ending out", *end);
  if (!file_is_stream(c->out)) {
    TRY(file_behind_links(c->arena, c->out, &o->name, err));
    return file_writer_open(c->arena, o->name, &o->writer, err);
  }
  o->name = c->out;  // /dev/stdout, a pipe: written as it comes
  o->stream = fopen(c->out, "we");
  if (!o->stream) FAIL_AT(err, ERROR_RESOURCE, c->out, 0, NULL, "could not be opened: %s", strerror(errno));
  return 0;
}

static int write_stream(const struct output *o, const char *bytes, size_t n, struct error *err)
{
  if ((n == 0 || fwrite(bytes, 1, n, o->stream) == n) && fflush(o->stream) == 0) return 0;
  FAIL_AT(err, ERROR_RESOURCE, o->name, 0, NULL, "could not be written: %s", strerror(errno));
}

int output_put(struct output *o, const struct text *t, struct error *err)
{
  TRY(text_finish(t, err));
  return o->writer ? file_writer_write(o->writer, t->bytes, t->size, err) : write_stream(o, t->bytes, t->size, err);
}

int output_line(struct output *o, struct text *t, struct error *err)
{
  text_puts(t, "\n");
  int rc = output_put(o, t, err);
  text_clear(t);
  return rc;
}

int output_close(struct output *o, struct error *err)
{
  if (o->writer) return file_writer_commit(o->writer, err);
  if (o->stream != stdout && fclose(o->stream))
    FAIL_AT(err, ERROR_RESOURCE, o->name, 0, NULL, "could not be written: %s", strerror(errno));
  return 0;
}

int print_text(struct cli *c, struct text *t, struct error *err)
{
  struct output *o;
  int rc = output_open(c, &o, err);
  if (!rc) rc = output_put(o, t, err);
  return rc ? rc : output_close(o, err);
}

static void put_text_or_null(struct text *t, const char *s)
{
  if (*s)
    json_put_string(t, s, strlen(s));
  else
    text_puts(t, "null");
}

void put_error(struct text *t, const struct error *e)
{
  text_puts(t, "{\"error\": {\"code\": ");
  put_text_or_null(t, error_code_name(e->code));
  text_puts(t, ", \"file\": ");
  put_text_or_null(t, e->file);
  if (e->line > 0)
    text_printf(t, ", \"line\": %d, \"key\": ", e->line);
  else
    text_puts(t, ", \"line\": null, \"key\": ");
  put_text_or_null(t, e->key);
  text_puts(t, ", \"message\": ");
  json_put_string(t, e->message, strlen(e->message));
  text_puts(t, "}}");
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

struct lines {
  struct line_reader *reader;
  const char *file;
};

int lines_open(struct cli *c, struct lines **out, struct error *err)
{
  *out = ARENA_NEW(c->arena, struct lines, 1, "input", err);
  if (!*out) return err->code;
  (*out)->file = c->in && strcmp(c->in, "-") != 0 ? c->in : "stdin";
  return line_reader_open(c->arena, c->in ? c->in : "-", &(*out)->reader, err);
}

const char *lines_file(const struct lines *l)
{
  return l->file;
}

int lines_next(struct lines *l, struct arena *a, struct line *out, bool *more, struct error *err)
{
  char *bytes;
  size_t n;
  *out = (struct line){0};
  STOP_IF_ASKED(err);
  int rc = line_reader_next(l->reader, &bytes, &n, &out->number, err);
  if (rc && cli_stopped()) {
    error_clear(err);
    STOP_IF_ASKED(err);
  }
  if (rc) return rc;
  *more = bytes != NULL;
  if (!bytes) return 0;
  rc = json_parse(a, bytes, n, l->file, out->number - 1, JSON_READ_UNIQUE, &out->object, &out->error);
  if (rc && rc != ERROR_INPUT) {
    *err = out->error;
    return rc;
  }
  if (!rc && !json_is_object(out->object)) {
    error_fail(&out->error, ERROR_INPUT, l->file, out->number, NULL, "found JSON that is no object; expected {...}");
    out->object = NULL;
  }
  return 0;
}

int answer_error(struct cli *c, struct output *o, const struct lines *l, const struct line *line, struct error *failure,
                 struct error *err)
{
  struct text t = {0};
  (void)c;
  error_place(failure, l->file, line->number);
  log_error(failure);
  put_error(&t, failure);
  int rc = output_line(o, &t, err);
  text_free(&t);
  return rc;
}

/* One line; *wrong is set where an error stands in the answer's place. */
static int answer_line(struct cli *c, struct output *o, const struct lines *l, struct line *line, struct arena *a,
                       answer_fn *answer, void *arg, bool *wrong, struct error *err)
{
  struct text t = {0};
  int rc = 0;
  if (line->object) rc = answer(arg, a, line->object, &t, &line->error);
  if (rc && rc != ERROR_INPUT) {
    error_place(&line->error, l->file, line->number);
    *err = line->error;
  } else if (line->error.code) {
    *wrong = true;
    rc = answer_error(c, o, l, line, &line->error, err);
  } else {
    rc = output_line(o, &t, err);
  }
  text_free(&t);
  return rc;
}

void lines_progress(const struct cli *c, const char *what, int64_t done, const char *unit)
{
  bool shown = !(c->out && strcmp(c->out, "-") != 0) && isatty(STDOUT_FILENO);  // then the results themselves tell
  if (!shown) log_progress(what, (double)done, 0, unit);
}

int answer_lines(struct cli *c, answer_fn *answer, void *arg, struct error *err)
{
  struct lines *l;
  struct output *o;
  struct arena *a = arena_create("line", 0, err);
  bool more = true, wrong = false;
  int rc = a ? lines_open(c, &l, err) : err->code;
  if (!rc) rc = output_open(c, &o, err);
  while (!rc) {
    struct line line;
    if ((rc = lines_next(l, a, &line, &more, err)) || !more) break;
    rc = answer_line(c, o, l, &line, a, answer, arg, &wrong, err);
    lines_progress(c, c->command->name, line.number, "lines");
    arena_reset(a);
  }
  arena_destroy(a);
  if (!rc) rc = output_close(o, err);
  return rc ? rc : wrong ? ERROR_INPUT : 0;
}
