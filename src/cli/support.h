/* cli/support: docs/support.md: which models, files, tokenizers and templates the program takes, with the test that
 * proves each. */
#ifndef ASSAY_CLI_SUPPORT_H
#define ASSAY_CLI_SUPPORT_H

#include "core/json.h"

void support_markdown(struct text *out);

#endif
