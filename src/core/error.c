#include "core/error.h"

#include "core/live.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"

/* Copies text into a field: control characters and bytes that are not UTF-8 become '?', and a cut never splits a
 * character. */
static void put_field(char *field, size_t room, const char *text)
{
  const uint8_t *s = (const uint8_t *)text;
  size_t left = strlen(text), used = 0;
  while (left > 0) {
    uint32_t code;
    size_t n = utf8_decode(s, left, &code);
    bool plain = n > 0 && code >= 0x20 && code != 0x7f && !(code >= 0x80 && code < 0xa0);
    size_t take = n > 0 ? n : 1, put = plain ? n : 1;
    if (used + put + 1 > room) break;
    if (plain) {
      memcpy(field + used, s, n);
    } else {
      field[used] = '?';
    }
    used += put;
    s += take;
    left -= take;
  }
  field[used] = '\0';
}

/* A long path keeps its end, which tells more. */
static void put_path(char *field, size_t room, const char *path)
{
  size_t n = strlen(path);
  if (n + 1 <= room) {
    put_field(field, room, path);
    return;
  }
  const char *tail = path + n - (room - 4);
  while ((*tail & 0xc0) == 0x80) tail++;
  memcpy(field, "...", 3);
  put_field(field + 3, room - 3, tail);
}

int error_fail(struct error *err, int code, const char *file, int line, const char *key, const char *fmt, ...)
{
  ASSAY_BUG_IF(code == ERROR_OK);
  if (!err) return code;
  if (err->code) return err->code;
  char message[2 * sizeof err->message];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  put_field(err->message, sizeof err->message, message);
  put_path(err->file, sizeof err->file, file ? file : "");
  put_field(err->key, sizeof err->key, key ? key : "");
  err->line = line > 0 ? line : 0;
  err->code = code;
  return code;
}

int error_context(struct error *err, const char *fmt, ...)
{
  if (!err) return ERROR_BUG;
  if (!err->code) return 0;
  char context[512], message[sizeof context + sizeof err->message + 16];
  va_list args;
  va_start(args, fmt);
  vsnprintf(context, sizeof context, fmt, args);
  va_end(args);
  snprintf(message, sizeof message, "while %s: %s", context, err->message);
  put_field(err->message, sizeof err->message, message);
  return err->code;
}

int error_place(struct error *err, const char *file, int line)
{
  if (!err) return ERROR_BUG;
  if (err->code && !err->file[0] && file) {
    put_path(err->file, sizeof err->file, file);
    if (err->line == 0 && line > 0) err->line = line;
  }
  return err->code;
}

void error_clear(struct error *err)
{
  if (err) memset(err, 0, sizeof *err);
}

void error_format(const struct error *err, char *buf, size_t size)
{
  if (size == 0) return;
  if (err->file[0] && err->line > 0) {
    snprintf(buf, size, "%s:%d: %s", err->file, err->line, err->message);
  } else if (err->file[0]) {
    snprintf(buf, size, "%s: %s", err->file, err->message);
  } else {
    snprintf(buf, size, "%s", err->message);
  }
}

const char *error_code_name(int code)
{
  static const char *const names[] = {"ok", "bug", "input", "resource", "law", "stopped"};
  return code >= 0 && (size_t)code < sizeof names / sizeof names[0] ? names[code] : "bug";
}

_Noreturn void error_bug(const char *file, int line, const char *condition)
{
  live_rescue();
  fprintf(stderr, "assay: internal failure at %s:%d: %s; please report it with the command you ran\n", file, line,
          condition);
  abort();
}
