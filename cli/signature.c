#include "cli/signature.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/npy.h"

static void entry_add(fst_text *text, const char *entry) {
  if (text->len) fst_text_puts(text, "; ");
  fst_text_puts(text, entry);
}

static fst_status example_add(fst_text *text, const char *path) {
  fst_npy_list arrays = {0};
  FST_TRY(fst_npz_read(path, &arrays));
  for (size_t i = 0; i < arrays.len; i++) {
    const fst_npy *a = &arrays.data[i];
    fst_text_printf(text, "%s%s: %s[", text->len ? "; " : "", a->name, fst_dtype_name(a->dtype));
    for (int d = 0; d < a->rank; d++) fst_text_printf(text, "%s%" PRId64, d ? ", " : "", a->sizes[d]);
    fst_text_putc(text, ']');
  }
  fst_npy_list_deinit(&arrays);
  return NULL;
}

// An option's value, joined with `=` or the next word; NULL when the word is another one.
static const char *value_of(const char *name, char **argv, int argc, int *at) {
  size_t len = strlen(name);
  if (strncmp(argv[*at], name, len) != 0) return NULL;
  if (argv[*at][len] == '=') return argv[*at] + len + 1;
  return !argv[*at][len] && *at + 1 < argc ? argv[++*at] : NULL;
}

static void signature_end(fst_signatures *s, const char *method, fst_text *text) {
  fst_compiler_signature item = {method, text->len ? text->data : NULL};
  if (text->data) fst_vec_push(&s->texts, text->data);
  *text = (fst_text){0};
  fst_vec_push(&s->items, item);
}

// The only --method there is, wherever it stands; NULL when there are none or several.
static const char *single_method(int argc, char **argv) {
  const char *found = NULL;
  for (int i = 0; i < argc; i++) {
    const char *value = value_of("--method", argv, argc, &i);
    if (value && found) return NULL;
    if (value) found = value;
  }
  return found;
}

static fst_status signatures_walk(int argc, char **argv, fst_signatures *s, fst_text *text) {
  const char *method = single_method(argc, argv);
  bool is_single = method != NULL;
  for (int i = 0; i < argc; i++) {
    const char *value;
    if ((value = value_of("--method", argv, argc, &i))) {
      if (is_single) continue;
      if (method || text->len) signature_end(s, method ? method : "forward", text);
      method = value;
    } else if ((value = value_of("--input", argv, argc, &i))) {
      entry_add(text, value);
    } else if ((value = value_of("--example", argv, argc, &i))) {
      FST_TRY(example_add(text, value));
    }
  }
  if (method || text->len) signature_end(s, method ? method : "forward", text);
  return NULL;
}

fst_status fst_signatures_read(int argc, char **argv, fst_signatures *out) {
  fst_signatures made = {0};
  fst_text text = {0};
  fst_status status = signatures_walk(argc, argv, &made, &text);
  fst_text_deinit(&text);
  if (status) fst_signatures_deinit(&made);
  else *out = made;
  return status;
}

void fst_signatures_deinit(fst_signatures *s) {
  for (size_t i = 0; i < s->texts.len; i++) free(s->texts.data[i]);
  fst_vec_free(&s->texts);
  fst_vec_free(&s->items);
}
