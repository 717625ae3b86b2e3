/* cli/chat_line: a person's lines. On a terminal with the editing and history of libedit (where the build has it, else
 * as the terminal gives them), from a pipe or a file plainly. Ctrl-C while a line is typed throws that line away and is
 * told apart from the end of the input. What was typed is there again in the next conversation: it is kept in
 * $XDG_STATE_HOME/assay/chat_history (~/.local/state where that is not set), for its owner alone. */
#ifndef ASSAY_CLI_CHAT_LINE_H
#define ASSAY_CLI_CHAT_LINE_H

#include "cli/cli.h"

enum chat_line_kind { CHAT_LINE_TEXT, CHAT_LINE_END, CHAT_LINE_INTERRUPTED };

struct chat_lines;

/* terminal: stdin and stdout are one; else lines come from `in` (NULL: stdin). From here on, with a terminal, Ctrl-C no
 * longer ends the program: see chat_interrupted. */
int chat_lines_open(struct arena *a, bool terminal, const char *in, struct chat_lines **out,
                    struct error *err) MUST_USE;
/* The next line without its end; a backslash at its end joins the line after it, and what stands between a line """ and
 * the next is one line. *line is valid until the next call. */
int chat_lines_next(struct chat_lines *l, const char *prompt, const char **line, enum chat_line_kind *kind,
                    struct error *err) MUST_USE;
bool chat_lines_edits(void); /* the build has libedit */
/* Puts a text where the next line is typed, to be edited. false: there is no terminal, or nothing to edit with. */
bool chat_lines_offer(struct chat_lines *l, const char *text);

/* Ctrl-C was pressed since the last clear. */
bool chat_interrupted(void);
void chat_clear_interrupt(void);

#endif
