#include "neuropod/specs.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void word_put(fst_text *out, const char *word) { fst_text_append(out, word, strlen(word) + 1); }

static void number_put(fst_text *out, int64_t number) {
  fst_text_printf(out, "%" PRId64, number);
  fst_text_putc(out, '\0');
}

void fst_specs_print(const fst_model *model, fst_text *out) {
  word_put(out, fst_package_name(model));
  for (int outputs = 0; outputs < 2; outputs++) {
    fst_spec spec;
    for (size_t i = 0; fst_spec_get(model, outputs, i, &spec); i++) {
      word_put(out, outputs ? "o" : "i");
      word_put(out, spec.name);
      word_put(out, spec.dtype);
      number_put(out, (int64_t)spec.rank);
      for (size_t d = 0; d < spec.rank; d++) {
        if (spec.symbols[d]) {
          fst_text_putc(out, '=');
          word_put(out, spec.symbols[d]);
        } else if (spec.dims[d] < 0) {
          word_put(out, "?");
        } else {
          number_put(out, spec.dims[d]);
        }
      }
    }
  }
}

typedef struct cursor { const char *at, *end; } cursor;

static const char *word_take(cursor *c) {
  const char *end = c->at < c->end ? memchr(c->at, 0, (size_t)(c->end - c->at)) : NULL;
  const char *word = end ? c->at : NULL;
  if (end) c->at = end + 1;
  return word;
}

// Every word takes a byte at least, so `words` is room enough for rows and dimensions of any kind.
static bool rows_read(cursor *c, fst_specs *s) {
  size_t dims = 0;
  while (c->at < c->end) {
    const char *kind = word_take(c), *name = word_take(c), *dtype = word_take(c), *rank_word = word_take(c);
    if (!kind || !name || !dtype || !rank_word || (strcmp(kind, "i") != 0 && strcmp(kind, "o") != 0)) return false;
    int outputs = *kind == 'o';
    size_t rank = strtoull(rank_word, NULL, 10);
    fst_spec *row = &s->rows[outputs][s->count[outputs]++];
    *row = (fst_spec){name, dtype, rank, s->dims + dims, s->symbols + dims};
    for (size_t d = 0; d < rank; d++, dims++) {
      const char *dim = word_take(c);
      if (!dim) return false;
      s->symbols[dims] = *dim == '=' ? dim + 1 : NULL;
      s->dims[dims] = *dim == '=' || *dim == '?' ? -1 : strtoll(dim, NULL, 10);
    }
  }
  return true;
}

fst_status fst_specs_parse(char *text, size_t len, fst_specs *out) {
  fst_specs s = {.text = text};
  cursor c = {text, text + len};
  s.name = word_take(&c);
  size_t words = len + 1;
  for (int i = 0; i < 2; i++) s.rows[i] = malloc(words * sizeof *s.rows[i]);
  s.dims = malloc(words * sizeof *s.dims);
  s.symbols = malloc(words * sizeof *s.symbols);
  bool have = s.rows[0] && s.rows[1] && s.dims && s.symbols, ok = have && s.name && rows_read(&c, &s);
  if (!ok) fst_specs_deinit(&s);
  else *out = s;
  return ok ? NULL : have ? FST_FAIL(FST_ERR_CORRUPT, "a model's process described it wrongly") : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
}

void fst_specs_deinit(fst_specs *s) {
  free(s->text);
  free(s->rows[0]);
  free(s->rows[1]);
  free(s->dims);
  free(s->symbols);
  *s = (fst_specs){0};
}
