/* cli/doctor: findings of `assay doctor`, one line each: ok, or what to do. */
#ifndef ASSAY_CLI_DOCTOR_H
#define ASSAY_CLI_DOCTOR_H

#include "cli/cli.h"

struct doctor {
  struct cli *cli;
  struct text text;
  bool colour;
  bool lacking; /* something without which nothing works */
};

/* One finding. advice NULL: ok. */
void doctor_tell(struct doctor *d, const char *what, const char *found, const char *advice);
/* The same for what every command needs: with advice the exit status is 3. */
void doctor_need(struct doctor *d, const char *what, const char *found, const char *advice);
/* The first line of a small file without its end; false and "" where it cannot be read. */
bool doctor_read(const char *path, char *out, size_t size);

/* What lies around the program: disk, terminal, sandbox, helpers, GPU. */
void doctor_tell_surroundings(struct doctor *d);

#endif
