// PyTorch's schema notation: `ns::name.overload(Type(alias) name=default, *, ...) -> (Type name, ...)`.
#include <ctype.h>
#include <string.h>

#include "base/vec.h"
#include "ir/ops.h"

typedef struct {
  const char *at, *end;
} span;
typedef struct {
  fst_arena *arena;
  const char *text;
  bool kwarg_only;
} schema_parser;
typedef FST_VEC(fst_schema_arg) arg_vec;

static span span_trim(span s) {
  while (s.at < s.end && isspace((unsigned char)*s.at)) s.at++;
  while (s.at < s.end && isspace((unsigned char)s.end[-1])) s.end--;
  return s;
}
static bool span_is(span s, const char *text) { return (size_t)(s.end - s.at) == strlen(text) && !memcmp(s.at, text, strlen(text)); }
static bool is_name_char(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.'; }

// The end of the piece of `s` before the first `stop` outside brackets and strings; s.end when there is none.
static const char *span_find(span s, char stop) {
  int depth = 0;
  for (const char *at = s.at; at < s.end; at++) {
    if (*at == '"' || *at == '\'') {
      char quote = *at++;
      while (at < s.end && *at != quote) at += *at == '\\' ? 2 : 1;
      if (at >= s.end) return s.end;
      continue;
    }
    if (depth == 0 && *at == stop) return at;
    if (*at == '(' || *at == '[' || *at == '{') depth++;
    if (*at == ')' || *at == ']' || *at == '}') depth--;
  }
  return s.end;
}

// `s` starts with '(': the position of its partner, or NULL.
static const char *span_close(span s) {
  const char *at = span_find((span){s.at + 1, s.end}, ')');
  return at < s.end ? at : NULL;
}

// Is the parenthesis at `at` an alias mark, and not part of a type as in Dict(str, t) or (int, t)[]?
static bool is_alias_mark(const char *start, const char *at) {
  static const char *const generic[] = {"Dict", "Future", "RRef", "Await", "Union", "Optional", "NamedTuple"};
  if (at == start) return false;
  if (at[-1] == ')' || at[-1] == ']' || at[-1] == '?') return true;
  const char *word = at;
  while (word > start && is_name_char(word[-1])) word--;
  for (size_t i = 0; i < sizeof generic / sizeof *generic; i++)
    if ((size_t)(at - word) == strlen(generic[i]) && !memcmp(word, generic[i], (size_t)(at - word))) return false;
  return word < at;
}

static void read_alias(span mark, fst_schema_arg *arg) {
  for (const char *at = mark.at; at < mark.end; at++) {
    if (*at == '!') arg->is_written = true;
    else if (*at == '-' && at + 1 < mark.end && at[1] == '>') break;   // what it may alias afterwards
    else if (!arg->alias && (isalpha((unsigned char)*at) || *at == '*')) arg->alias = *at;
  }
}

// The type without alias marks, list lengths and "Sym".
static void read_type(schema_parser *p, span type, fst_schema_arg *arg) {
  char *out = fst_arena_alloc(p->arena, (size_t)(type.end - type.at) + 1), *to = out;
  for (const char *at = type.at; at < type.end; at++) {
    if (*at == '(' && is_alias_mark(type.at, at)) {
      const char *close = span_close((span){at, type.end});
      if (close) {
        read_alias((span){at + 1, close}, arg);
        at = close;
        continue;
      }
    }
    bool word_start = at == type.at || !is_name_char(at[-1]);
    if (word_start && type.end - at > 3 && !memcmp(at, "Sym", 3) && isupper((unsigned char)at[3])) {
      *to++ = (char)tolower((unsigned char)at[3]);
      at += 3;
      continue;
    }
    if (isdigit((unsigned char)*at) && at > type.at && at[-1] == '[') {
      uint32_t size = 0;
      for (; at < type.end && isdigit((unsigned char)*at); at++) size = size * 10 + (uint32_t)(*at - '0');
      arg->fixed_size = size;
      at--;
      continue;
    }
    *to++ = *at;
  }
  arg->type = out;
}

static fst_status schema_error(const schema_parser *p, const char *what) { return FST_FAIL(FST_ERR_CORRUPT, "schema \"%s\": %s", p->text, what); }

// `Type name`, `Type name=default`, or just `Type` when a name is optional.
static fst_status read_arg(schema_parser *p, span text, bool needs_name, fst_schema_arg *out) {
  fst_schema_arg arg = {.name = "", .kwarg_only = p->kwarg_only};
  span left = {text.at, span_find(text, '=')};
  if (left.end < text.end) {
    span value = span_trim((span){left.end + 1, text.end});
    arg.default_text = fst_arena_strndup(p->arena, value.at, (size_t)(value.end - value.at));
  }
  left = span_trim(left);
  const char *name = left.end;
  while (name > left.at && is_name_char(name[-1])) name--;
  bool named = name > left.at && name < left.end && isspace((unsigned char)name[-1]);
  if (needs_name && !named) return schema_error(p, "an argument without a name");
  if (named) arg.name = fst_arena_strndup(p->arena, name, (size_t)(left.end - name));
  span type = span_trim((span){left.at, named ? name : left.end});
  if (type.at == type.end) return schema_error(p, "an argument without a type");
  read_type(p, type, &arg);
  *out = arg;
  return NULL;
}

static fst_status read_list(schema_parser *p, span list, bool needs_name, arg_vec *out, bool *out_var) {
  list = span_trim(list);
  while (list.at < list.end) {
    span item = {list.at, span_find(list, ',')};
    list.at = item.end < list.end ? item.end + 1 : list.end;
    item = span_trim(item);
    if (span_is(item, "...")) {
      *out_var = true;
    } else if (span_is(item, "*") && needs_name) {
      p->kwarg_only = true;
    } else {
      fst_schema_arg arg;
      FST_TRY(read_arg(p, item, needs_name, &arg));
      fst_vec_push(out, arg);
    }
  }
  return NULL;
}

// Results: `...`, `()`, a type, or a parenthesised list of types with optional names. `(int, t)[]` is a type.
static fst_status read_results(schema_parser *p, span text, arg_vec *out, bool *out_var) {
  text = span_trim(text);
  if (text.at == text.end) return schema_error(p, "no results after ->");
  if (*text.at == '(' && span_close(text) == text.end - 1) {
    text.at++;
    text.end--;
  }
  p->kwarg_only = false;
  return read_list(p, text, false, out, out_var);
}

static const fst_schema_arg *args_keep(fst_arena *arena, const arg_vec *args) {
  return args->len ? fst_arena_memdup(arena, args->data, args->len * sizeof *args->data) : FST_NEW(arena, fst_schema_arg);
}

static fst_status schema_read(schema_parser *p, arg_vec *args, arg_vec *rets, fst_schema *out) {
  span all = {p->text, p->text + strlen(p->text)};
  const char *open = strchr(p->text, '(');
  if (!open || open == p->text) return schema_error(p, "expected name(");
  const char *close = span_close((span){open, all.end});
  if (!close) return schema_error(p, "no closing parenthesis");
  span name = span_trim((span){all.at, open}), rest = span_trim((span){close + 1, all.end});
  for (const char *at = name.at; at < name.end; at++)
    if (!is_name_char(*at) && *at != ':') return schema_error(p, "not a name");
  if (rest.end - rest.at < 2 || memcmp(rest.at, "->", 2)) return schema_error(p, "expected ->");
  fst_schema s = {.name = fst_arena_strndup(p->arena, name.at, (size_t)(name.end - name.at))};
  FST_TRY(read_list(p, (span){open + 1, close}, true, args, &s.is_vararg));
  FST_TRY(read_results(p, (span){rest.at + 2, rest.end}, rets, &s.is_varret));
  s.arg_count = (uint32_t)args->len;
  s.ret_count = (uint32_t)rets->len;
  s.args = args_keep(p->arena, args);
  s.rets = args_keep(p->arena, rets);
  *out = s;
  return NULL;
}

fst_status fst_schema_parse(fst_arena *arena, const char *text, fst_schema *out) {
  schema_parser p = {arena, text, false};
  arg_vec args = {0}, rets = {0};
  fst_status status = schema_read(&p, &args, &rets, out);
  fst_vec_free(&args);
  fst_vec_free(&rets);
  return status;
}
