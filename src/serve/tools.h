/* serve/tools: calls of tools in what a model says, in the forms of the common families:
 *
 *     Qwen, Hermes, SmolLM3   <tool_call>{"name": ..., "arguments": {...}}</tool_call>, once or several times
 *     Mistral                 [TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]
 *     Llama 3                 {"name": ..., "parameters": {...}}, behind <|python_tag|> or alone
 */
#ifndef ASSAY_SERVE_TOOLS_H
#define ASSAY_SERVE_TOOLS_H

#include "core/json.h"

/* Where in text[0..n) a call may begin: at its mark, or at a mark's first letters at the end; n: nowhere yet. */
size_t tools_begin(const char *text, size_t n);
/* OpenAI's list [{"index", "id", "type": "function", "function": {"name", "arguments": "..."}}], or NULL where there is
 * no call that can be read. The caller drops the reference. */
json_t *tools_read(const char *text, size_t n, const char *call, int32_t choice);

#endif
