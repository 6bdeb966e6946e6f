// One pass over the text, a line at a time. A line that ends with `{` opens a box, one that begins with `}` closes it; in a
// line, names, ops, strings and places in the model's source become spans, which page.html's styles and script know.
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "cli/page.h"

extern const char fst_page_html[];  // generated from cli/page.html

typedef struct file_name { uint32_t number; const char *text; size_t len; } file_name;

typedef struct page {
  fst_text *out;
  FST_VEC(file_name) files;  // of the dump's `file N "..."` lines
  uint32_t open;             // boxes
  bool in_preamble;          // files, storages and tensors before the first function
} page;

static void escaped_put(fst_text *out, const char *s, size_t len) {
  for (size_t i = 0; i < len; i++) {
    switch (s[i]) {
      case '<': fst_text_puts(out, "&lt;"); break;
      case '>': fst_text_puts(out, "&gt;"); break;
      case '&': fst_text_puts(out, "&amp;"); break;
      case '"': fst_text_puts(out, "&quot;"); break;
      default: fst_text_putc(out, s[i]);
    }
  }
}

static void span_put(fst_text *out, const char *class_name, const char *s, size_t len) {
  fst_text_printf(out, "<span class=%s>", class_name);
  escaped_put(out, s, len);
  fst_text_puts(out, "</span>");
}

static bool is_name(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.'; }

static size_t name_len(const char *s, size_t len) {
  size_t n = 0;
  while (n < len && is_name(s[n])) n++;
  return n;
}

static size_t quoted_len(const char *s, size_t len) {
  size_t n = 1;
  while (n < len && s[n] != '"') n += s[n] == '\\' && n + 1 < len ? 2 : 1;
  return n < len ? n + 1 : len;
}

// `namespace::name`
static size_t op_len(const char *s, size_t len) {
  size_t n = name_len(s, len);
  if (!n || n + 2 >= len || s[n] != ':' || s[n + 1] != ':') return 0;
  size_t rest = name_len(s + n + 2, len - n - 2);
  return rest ? n + 2 + rest : 0;
}

// `@0:13<2:22`: the innermost place's file is told when one points at it.
static size_t place_put(const page *p, const char *s, size_t len) {
  size_t n = 1;
  while (n < len && (isdigit((unsigned char)s[n]) || s[n] == ':' || s[n] == '<')) n++;
  if (n == 1) return 0;
  uint32_t number = (uint32_t)strtoul(s + 1, NULL, 10);
  fst_text_puts(p->out, "<span class=at");
  for (size_t i = 0; i < p->files.len; i++) {
    if (p->files.data[i].number != number) continue;
    fst_text_puts(p->out, " title=\"");
    escaped_put(p->out, p->files.data[i].text, p->files.data[i].len);
    fst_text_puts(p->out, "\"");
  }
  fst_text_puts(p->out, ">");
  escaped_put(p->out, s, n);
  fst_text_puts(p->out, "</span>");
  return n;
}

static void line_put(const page *p, const char *s, size_t len) {
  while (len) {
    size_t n = 0;
    if (*s == '%' && (n = name_len(s + 1, len - 1))) {
      span_put(p->out, "v", s, ++n);
    } else if (*s == '"') {
      span_put(p->out, "s", s, n = quoted_len(s, len));
    } else if (*s == '@') {
      n = place_put(p, s, len);
    } else if (*s == '#') {
      span_put(p->out, "c", s, n = len);
    } else if ((n = op_len(s, len))) {
      span_put(p->out, "op", s, n);
    } else if ((n = name_len(s, len))) {
      escaped_put(p->out, s, n);
    }
    if (!n) escaped_put(p->out, s, n = 1);
    s += n;
    len -= n;
  }
}

static bool contains(const char *s, size_t len, const char *word) {
  size_t n = strlen(word);
  for (size_t i = 0; i + n <= len; i++)
    if (memcmp(s + i, word, n) == 0) return true;
  return false;
}

static bool starts(const char *s, size_t len, const char *word) { return len >= strlen(word) && memcmp(s, word, strlen(word)) == 0; }

static const char *box_kind(const char *s, size_t len) {
  if (starts(s, len, "function ")) return "function";
  if (starts(s, len, "class ")) return "class";
  if (contains(s, len, "fst::group(")) return "group";
  if (contains(s, len, "prim::Loop(")) return "loop";
  return "branch";
}

// Where the brace that ends a line stands, but for its place and remarks; `len` when there is none.
static size_t brace_find(const char *s, size_t len) {
  for (size_t i = len; i-- > 0;) {
    if (s[i] == '}') break;
    if (s[i] == '{') return i + 1 == len || s[i + 1] == ' ' ? i : len;
  }
  return len;
}

// `brace`: where it stands; what follows it is said too.
static void box_open(page *p, const char *s, size_t len, size_t brace) {
  fst_text_printf(p->out, "<details open class=\"box %s\"><summary>", box_kind(s, len));
  line_put(p, s, brace);
  line_put(p, s + brace + 1, len - brace - 1);
  fst_text_puts(p->out, "</summary><div class=in>\n");
  p->open++;
}

static void box_close(page *p) {
  if (!p->open) return;
  fst_text_puts(p->out, "</div></details>\n");
  p->open--;
}

static void file_remember(page *p, const char *s, size_t len) {
  char *end;
  file_name file = {.number = (uint32_t)strtoul(s + 5, &end, 10)};
  const char *quote = memchr(s, '"', len);
  if (!quote) return;
  file.text = quote + 1;
  file.len = quoted_len(quote, len - (size_t)(quote - s)) - 2;
  fst_vec_push(&p->files, file);
}

enum { LONGEST = 400 };  // characters of a line of tables: bytes of constants are no reading

static void text_line(page *p, const char *s, size_t len) {
  bool had_indent = len && *s == ' ';
  while (len && *s == ' ') s++, len--;
  if (!len) return;
  size_t brace = brace_find(s, len);
  bool opens_box = brace < len, closes_box = *s == '}';
  if (p->in_preamble && !had_indent && opens_box) {
    box_close(p);
    p->in_preamble = false;
  }
  if (starts(s, len, "file ")) file_remember(p, s, len);
  if (closes_box) {
    box_close(p);
    if (opens_box) {
      box_open(p, "otherwise {", strlen("otherwise {"), strlen("otherwise "));
    } else if (len > 1) {
      fst_text_puts(p->out, "<div class=after>");
      line_put(p, s + 1, len - 1);
      fst_text_puts(p->out, "</div>\n");
    }
    return;
  }
  if (opens_box) {
    box_open(p, s, len, brace);
    return;
  }
  bool is_cut = p->in_preamble && len > LONGEST;
  fst_text_puts(p->out, "<div>");
  line_put(p, s, is_cut ? LONGEST : len);
  fst_text_puts(p->out, is_cut ? "&hellip;</div>\n" : "</div>\n");
}

// Copies up to the mark of the body and returns what follows it; marks of the title become the title.
static const char *template_put(const char *html, const char *title, fst_text *out) {
  static const char title_mark[] = "@TITLE@", body_mark[] = "@BODY@";
  for (; *html; html++) {
    if (strncmp(html, body_mark, strlen(body_mark)) == 0) return html + strlen(body_mark);
    if (strncmp(html, title_mark, strlen(title_mark)) == 0) {
      escaped_put(out, title, strlen(title));
      html += strlen(title_mark) - 1;
    } else {
      fst_text_putc(out, *html);
    }
  }
  return html;
}

void fst_page_print(const char *title, const char *ir, fst_text *out) {
  const char *rest = template_put(fst_page_html, title, out);
  page p = {.out = out, .in_preamble = true, .open = 1};
  fst_text_puts(out, "<details class=\"box tables\"><summary>Files, storages and tensors</summary><div class=in>\n");
  while (*ir) {
    size_t len = strcspn(ir, "\n");
    text_line(&p, ir, len);
    ir += len + (ir[len] == '\n');
  }
  while (p.open) box_close(&p);
  fst_vec_free(&p.files);
  template_put(rest, title, out);
}
