#include "cli/cli.h"
#include "core/file.h"

#include <ctype.h>
#include <string.h>

struct settings {
  const char *folder;
};
static const struct settings defaults = {0};
static const struct option options[] = {{"--folder", "DIR", OPTION_TEXT, offsetof(struct settings, folder), 0, 0,
                                         "write assay.1 and a page for every command into this folder"}};

/* ---- roff ---------------------------------------------------------------------------------------------------------
 */

/* Text with the characters that roff would take for its own. Line ends of the help are spaces here; an empty line is a
   paragraph. */
static void put_escaped(struct text *t, const char *s, bool exact)
{
  bool begins = true;
  for (; *s; s++) {
    if (*s == '\n' && !exact && s[1] == '\n') {
      text_puts(t, "\n.PP\n");
      begins = true;
      s++;
      continue;
    }
    if (begins && (*s == '.' || *s == '\'')) text_puts(t, "\\&");
    begins = *s == '\n';
    if (*s == '\\')
      text_puts(t, "\\e");
    else if (*s == '-')
      text_puts(t, "\\-");
    else if (*s == '\'')
      text_puts(t, "\\(aq");
    else if (*s == '`')
      text_puts(t, "\\(ga");
    else if (*s == '^')
      text_puts(t, "\\(ha");
    else if (*s == '~')
      text_puts(t, "\\(ti");
    else
      text_add(t, s, 1);
  }
}

static void put_title(struct text *t, const char *command, const char *help)
{
  char upper[64];
  size_t n = 0;
  for (; command[n] && n + 1 < sizeof upper; n++) upper[n] = (char)toupper((unsigned char)command[n]);
  upper[n] = 0;
  text_printf(t, ".TH ASSAY%s%s 1 \"\" \"assay %s\" \"Assay\"\n.SH NAME\nassay%s%s \\- ", n ? "\\-" : "", upper,
              ASSAY_VERSION, n ? "\\-" : "", command);
  put_escaped(t, help, false);
  text_puts(t, "\n");
}

static void put_options(struct text *t, const struct option *o, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    text_puts(t, ".TP\n.B ");
    put_escaped(t, o[i].name, true);
    if (o[i].value) {
      text_puts(t, " \\fI");
      put_escaped(t, o[i].value, true);
      text_puts(t, "\\fR");
    }
    text_puts(t, "\n");
    put_escaped(t, o[i].help, false);
    text_puts(t, "\n");
  }
}

static void put_common(struct text *t)
{
  size_t count;
  const struct option *common = cli_common_options(&count);
  text_puts(t, ".SH COMMON OPTIONS\n");
  put_options(t, common, count);
  text_puts(t, ".TP\n.B \\-\\-help\nwhat a command reads and writes, with an example\n");
}

static void put_statuses(struct text *t)
{
#define X(name, value, what) text_puts(t, ".TP\n.B " #value "\n" what "\n");
  text_puts(t, ".SH EXIT STATUS\n");
  ERROR_CODES(X)
#undef X
}

static void put_command(struct text *t, const struct command *c)
{
  put_title(t, c->name, c->help);
  text_printf(t, ".SH SYNOPSIS\n.B assay %s\n", c->name);
  if (*c->arguments) put_escaped(t, c->arguments, false);
  text_puts(t, "\n[\\fIoption\\fR ...]\n.SH DESCRIPTION\n");
  put_escaped(t, c->about, false);
  text_puts(t, "\n");
  if (c->option_count) text_puts(t, ".SH OPTIONS\n");
  put_options(t, c->options, c->option_count);
  put_common(t);
  put_statuses(t);
  text_puts(t, ".SH EXAMPLE\n.nf\n");
  put_escaped(t, c->example, true);
  text_puts(t, "\n.fi\n.SH SEE ALSO\n.BR assay (1)\n");
}

static void put_program(struct text *t)
{
  put_title(t, "", "improves a language model on problems whose answers can be checked");
  text_puts(t,
            ".SH SYNOPSIS\n.B assay\n\\fIcommand\\fR [\\fIargument\\fR ...]\n.br\n.B assay \\-\\-version\n"
            ".SH COMMANDS\n");
  for (size_t i = 0; i < command_count(); i++) {
    text_printf(t, ".TP\n.BR assay\\-%s (1)\n", command_at(i)->name);
    put_escaped(t, command_at(i)->help, false);
    text_puts(t, "\n");
  }
  put_common(t);
  put_statuses(t);
}

/* ---- the command --------------------------------------------------------------------------------------------------
 */

static int write_page(struct cli *c, const char *folder, const struct command *command, struct error *err)
{
  struct text t = {0};
  struct file_writer *w;
  char *path =
      arena_printf(c->arena, "man", err, "%s/assay%s%s.1", folder, command ? "-" : "", command ? command->name : "");
  if (!path) return err->code;
  if (command)
    put_command(&t, command);
  else
    put_program(&t);
  int rc = text_finish(&t, err);
  if (!rc) rc = file_writer_open(c->arena, path, &w, err);
  if (!rc) rc = file_writer_write(w, t.bytes, t.size, err);
  if (!rc) rc = file_writer_commit(w, err);
  text_free(&t);
  return rc;
}

static int write_pages(struct cli *c, const char *folder, struct error *err)
{
  TRY(file_make_folder(folder, err));
  TRY(write_page(c, folder, NULL, err));
  for (size_t i = 0; i < command_count(); i++) TRY(write_page(c, folder, command_at(i), err));
  return 0;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  struct text t = {0};
  if (s->folder) return write_pages(c, s->folder, err);
  const struct command *command = c->argument_count ? command_find(c->arguments[0], err) : NULL;
  if (c->argument_count && !command) return err->code;
  if (command)
    put_command(&t, command);
  else
    put_program(&t);
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

const struct command command_man = {
    .name = "man",
    .help = "The manual pages, made from the same tables as the help",
    .arguments = "[COMMAND]",
    .about =
        "Prints the page assay(1), or that of a command, for man: assay man train | man -l -. With --folder all "
        "pages go into a folder; make install\n"
        "does so with share/man/man1.",
    .example = "assay man train",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 0,
    .most = 1,
    .run = run};
