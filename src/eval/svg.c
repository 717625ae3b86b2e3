#include "eval/svg.h"

void svg_put_escaped(struct text *t, const char *s)
{
  for (; *s; s++) {
    const unsigned char c = (unsigned char)*s;
    if (c == '&')
      text_puts(t, "&amp;");
    else if (c == '<')
      text_puts(t, "&lt;");
    else if (c == '>')
      text_puts(t, "&gt;");
    else if (c < 32)
      text_puts(t, " ");
    else
      text_add(t, s, 1);
  }
}

void svg_begin(struct text *t, const char *style, const char *dark, const char *title, int left)
{
  text_puts(t,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"700\" height=\"350\" viewBox=\"0 0 700 350\" "
            "role=\"img\">\n<style>\n"
            "text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:15px;font-weight:600}"
            ".small{font-size:12px}\n.back{fill:#fff}.grid{stroke:#d8dee4}.axis{stroke:#59636e}\n");
  text_puts(t, style);
  text_puts(t,
            "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.back{fill:#0d1117}.grid{stroke:#30363d}"
            ".axis{stroke:#8b949e}\n");
  text_puts(t, dark);
  text_puts(t, "}\n</style>\n<rect class=\"back\" width=\"700\" height=\"350\"/>\n<title>");
  svg_put_escaped(t, title);
  text_printf(t, "</title>\n<text class=\"title\" x=\"%d\" y=\"22\">", left);
  svg_put_escaped(t, title);
  text_puts(t, "</text>\n");
}

void svg_end(struct text *t)
{
  text_puts(t, "</svg>\n");
}
