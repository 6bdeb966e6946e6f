// A stack machine, as Python's own: opcodes push values, build containers of what lies above the last mark, and put values into
// a memo to fetch them again. The few calls that data needs are the table `calls`.
#include "driver/pickle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/vec.h"
#include "driver/pickle_internal.h"

typedef fst_pickle_value value;

typedef struct machine {
  fst_arena *arena;
  const unsigned char *start, *at, *end;
  FST_VEC(value *) stack;
  FST_VEC(value *) memo;     // NULL where nothing was put
  FST_VEC(size_t) marks;     // heights of the stack
} machine;

static fst_status damaged(const char *what) { return FST_FAIL(FST_ERR_CORRUPT, "the pickle is damaged: %s", what); }

value *fst_pickle_make(fst_arena *arena, fst_pickle_kind kind) {
  value *v = FST_NEW_ARRAY(arena, value, 1);
  v->kind = kind;
  return v;
}

static void push(machine *m, value *v) { fst_vec_push(&m->stack, v); }

// Nothing may be taken from below the last mark.
static size_t floor_of(const machine *m) { return m->marks.len ? fst_vec_last(&m->marks) : 0; }

static fst_status pop(machine *m, value **out) {
  if (m->stack.len <= floor_of(m)) return damaged("it takes more than it has");
  *out = fst_vec_pop(&m->stack);
  return NULL;
}

static fst_status top(const machine *m, value **out) {
  if (m->stack.len <= floor_of(m)) return damaged("it takes more than it has");
  *out = fst_vec_last(&m->stack);
  return NULL;
}

// ---- operands of opcodes ---------------------------------------------------------------------------

static fst_status take(machine *m, uint64_t len, const unsigned char **out) {
  if (len > (uint64_t)(m->end - m->at)) return damaged("it is cut short");
  *out = m->at;
  m->at += len;
  return NULL;
}

static fst_status take_number(machine *m, int bytes, uint64_t *out) {
  const unsigned char *p;
  FST_TRY(take(m, (uint64_t)bytes, &p));
  *out = 0;
  for (int i = 0; i < bytes; i++) *out |= (uint64_t)p[i] << 8 * i;
  return NULL;
}

// Up to a newline, copied with a NUL.
static fst_status take_line(machine *m, char **out, size_t *out_len) {
  const unsigned char *end = memchr(m->at, '\n', (size_t)(m->end - m->at));
  if (!end) return damaged("it is cut short");
  *out_len = (size_t)(end - m->at);
  *out = fst_arena_strndup(m->arena, (const char *)m->at, *out_len);
  m->at = end + 1;
  return NULL;
}

static fst_status push_text(machine *m, fst_pickle_kind kind, uint64_t len) {
  const unsigned char *p;
  FST_TRY(take(m, len, &p));
  value *v = fst_pickle_make(m->arena, kind);
  v->bytes = fst_arena_strndup(m->arena, (const char *)p, len);
  v->len = len;
  push(m, v);
  return NULL;
}

static fst_status push_counted(machine *m, fst_pickle_kind kind, int bytes) {
  uint64_t len;
  FST_TRY(take_number(m, bytes, &len));
  return push_text(m, kind, len);
}

static void push_int(machine *m, int64_t number) {
  value *v = fst_pickle_make(m->arena, FST_PICKLE_INT);
  v->i = number;
  push(m, v);
}

static void push_bool(machine *m, bool is_true) {
  value *v = fst_pickle_make(m->arena, FST_PICKLE_BOOL);
  v->i = is_true;
  push(m, v);
}

static void push_float(machine *m, double number) {
  value *v = fst_pickle_make(m->arena, FST_PICKLE_FLOAT);
  v->f = number;
  push(m, v);
}

// Little-endian two's complement of any length.
static fst_status push_long(machine *m, int length_bytes) {
  uint64_t len, number = 0;
  const unsigned char *p;
  FST_TRY(take_number(m, length_bytes, &len));
  if (len > 8) return FST_FAIL(FST_ERR_UNSUPPORTED, "the pickle holds an int of more than 64 bits");
  FST_TRY(take(m, len, &p));
  for (uint64_t i = 0; i < 8; i++) number |= (uint64_t)(i < len ? p[i] : len && p[len - 1] & 0x80 ? 0xff : 0) << 8 * i;
  push_int(m, (int64_t)number);
  return NULL;
}

static fst_status push_decimal(machine *m) {
  char *line, *end;
  size_t len;
  FST_TRY(take_line(m, &line, &len));
  if (!strcmp(line, "00") || !strcmp(line, "01")) {
    push_bool(m, line[1] == '1');
    return NULL;
  }
  errno = 0;
  long long number = strtoll(line, &end, 10);
  if (*end == 'L') end++;
  if (end == line || *end || strlen(line) != len) return damaged("an int is no number");
  if (errno) return FST_FAIL(FST_ERR_UNSUPPORTED, "the pickle holds an int of more than 64 bits");
  push_int(m, number);
  return NULL;
}

static fst_status push_float_line(machine *m) {
  char *line, *end;
  size_t len;
  FST_TRY(take_line(m, &line, &len));
  double number = strtod(line, &end);
  if (end == line || *end || strlen(line) != len) return damaged("a float is no number");
  push_float(m, number);
  return NULL;
}

static fst_status push_binary_float(machine *m) {
  const unsigned char *p;
  FST_TRY(take(m, 8, &p));
  uint64_t bits = 0;
  double number;
  for (int i = 0; i < 8; i++) bits = bits << 8 | p[i];
  memcpy(&number, &bits, 8);
  push_float(m, number);
  return NULL;
}

// ---- texts of protocol 0 ---------------------------------------------------------------------------

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// `digits` hexadecimal digits; -1 when they are not there.
static int64_t hex_read(const char *at, const char *end, int digits) {
  int64_t number = 0;
  for (int i = 0; i < digits; i++) {
    int digit = at + i < end ? hex_digit(at[i]) : -1;
    if (digit < 0) return -1;
    number = number << 4 | digit;
  }
  return number;
}

void fst_pickle_utf8(fst_text *out, uint32_t c) {
  if (c < 0x80) {
    fst_text_putc(out, (char)c);
  } else if (c < 0x800) {
    fst_text_putc(out, (char)(0xc0 | c >> 6));
    fst_text_putc(out, (char)(0x80 | (c & 0x3f)));
  } else {
    if (c >= 0x10000) fst_text_putc(out, (char)(0xf0 | c >> 18));
    fst_text_putc(out, (char)(c >= 0x10000 ? 0x80 | (c >> 12 & 0x3f) : 0xe0 | c >> 12));
    fst_text_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
    fst_text_putc(out, (char)(0x80 | (c & 0x3f)));
  }
}

static void push_built(machine *m, fst_pickle_kind kind, fst_text *text) {
  value *v = fst_pickle_make(m->arena, kind);
  v->bytes = fst_arena_strndup(m->arena, fst_text_cstr(text), text->len);
  v->len = text->len;
  fst_text_deinit(text);
  push(m, v);
}

// A Python literal: quotes around, backslash escapes.
static fst_status push_quoted(machine *m) {
  char *line;
  size_t len;
  FST_TRY(take_line(m, &line, &len));
  if (len < 2 || (line[0] != '\'' && line[0] != '"') || line[len - 1] != line[0]) return damaged("a text has no quotes");
  static const char letters[] = "ntrabfv\\'\"0", meant[] = "\n\t\r\a\b\f\v\\'\"";
  fst_text text = {0};
  const char *end = line + len - 1;
  for (const char *at = line + 1; at < end; at++) {
    if (*at != '\\') {
      fst_text_putc(&text, *at);
      continue;
    }
    at++;
    int64_t byte = at < end && *at == 'x' ? hex_read(at + 1, end, 2) : -1;
    const char *letter = at < end && *at ? strchr(letters, *at) : NULL;
    if (byte >= 0) {
      fst_text_putc(&text, (char)byte);
      at += 2;
    } else if (letter) {
      fst_text_putc(&text, meant[letter - letters]);
    } else {
      fst_text_deinit(&text);
      return damaged("a text has an unknown escape");
    }
  }
  push_built(m, FST_PICKLE_BYTES, &text);
  return NULL;
}

// Latin-1 with \uXXXX and \UXXXXXXXX.
static fst_status push_raw_unicode(machine *m) {
  char *line;
  size_t len;
  FST_TRY(take_line(m, &line, &len));
  fst_text text = {0};
  for (size_t i = 0; i < len; i++) {
    int digits = line[i] != '\\' || i + 1 == len ? 0 : line[i + 1] == 'u' ? 4 : line[i + 1] == 'U' ? 8 : 0;
    int64_t c = digits ? hex_read(line + i + 2, line + len, digits) : -1;
    if (c >= 0 && c <= 0x10ffff) i += (size_t)digits + 1;
    else c = (unsigned char)line[i];
    fst_pickle_utf8(&text, (uint32_t)c);
  }
  push_built(m, FST_PICKLE_STR, &text);
  return NULL;
}

// ---- containers ------------------------------------------------------------------------------------

static fst_status mark_pop(machine *m, size_t *out_height) {
  if (!m->marks.len) return damaged("a mark is missing");
  *out_height = fst_vec_pop(&m->marks);
  return NULL;
}

static void items_add(machine *m, value *container, value *const *items, size_t count) {
  if (container->count + count > container->cap) {
    size_t cap = 2 * (container->count + count);
    value **grown = FST_NEW_ARRAY(m->arena, value *, cap);
    if (container->count) memcpy(grown, container->items, container->count * sizeof *grown);
    container->items = grown;
    container->cap = cap;
  }
  memcpy(container->items + container->count, items, count * sizeof *items);
  container->count += count;
}

static fst_status push_items(machine *m, fst_pickle_kind kind, size_t height) {
  if (kind == FST_PICKLE_DICT && (m->stack.len - height) % 2) return damaged("a dict has a key without a value");
  value *v = fst_pickle_make(m->arena, kind);
  if (m->stack.len > height) items_add(m, v, m->stack.data + height, m->stack.len - height);
  m->stack.len = height;
  push(m, v);
  return NULL;
}

static fst_status push_marked(machine *m, fst_pickle_kind kind) {
  size_t height;
  FST_TRY(mark_pop(m, &height));
  return push_items(m, kind, height);
}

static fst_status push_tuple(machine *m, size_t count) {
  if (m->stack.len - floor_of(m) < count) return damaged("it takes more than it has");
  return push_items(m, FST_PICKLE_TUPLE, m->stack.len - count);
}

// Moves what lies above `height` into the container below it.
static fst_status extend(machine *m, fst_pickle_kind kind, size_t height) {
  if (height <= floor_of(m)) return damaged("it takes more than it has");
  value *container = m->stack.data[height - 1];
  size_t count = m->stack.len - height;
  if (container->kind != kind || (kind == FST_PICKLE_DICT && count % 2)) return damaged("it adds items to what is no container");
  if (count) items_add(m, container, m->stack.data + height, count);
  m->stack.len = height;
  return NULL;
}

static fst_status extend_marked(machine *m, fst_pickle_kind kind) {
  size_t height;
  FST_TRY(mark_pop(m, &height));
  return extend(m, kind, height);
}

static fst_status extend_by(machine *m, fst_pickle_kind kind, size_t count) {
  if (m->stack.len - floor_of(m) < count + 1) return damaged("it takes more than it has");
  return extend(m, kind, m->stack.len - count);
}

// ---- memo ------------------------------------------------------------------------------------------

// Python numbers what it puts one by one, each with an opcode, so a larger number is damage, and may not take memory.
static fst_status memo_put(machine *m, uint64_t index) {
  value *v;
  FST_TRY(top(m, &v));
  if (index > (uint64_t)(m->end - m->start)) return damaged("a number of the memo is out of order");
  while (m->memo.len <= index) fst_vec_push(&m->memo, NULL);
  m->memo.data[index] = v;
  return NULL;
}

static fst_status memo_get(machine *m, uint64_t index) {
  if (index >= m->memo.len || !m->memo.data[index]) return damaged("it fetches what was never put away");
  push(m, m->memo.data[index]);
  return NULL;
}

static fst_status memo_line(machine *m, uint64_t *out) {
  char *line, *end;
  size_t len;
  FST_TRY(take_line(m, &line, &len));
  *out = strtoull(line, &end, 10);
  return end == line || *end ? damaged("a number of the memo is none") : NULL;
}

// ---- globals and calls -----------------------------------------------------------------------------

static void push_global(machine *m, const char *module, const char *name) {
  value *v = fst_pickle_make(m->arena, FST_PICKLE_GLOBAL);
  v->bytes = fst_arena_printf(m->arena, "%s %s", module, name);
  v->len = strlen(v->bytes);
  push(m, v);
}

static fst_status global_lines(machine *m) {
  char *module, *name;
  size_t len;
  FST_TRY(take_line(m, &module, &len));
  FST_TRY(take_line(m, &name, &len));
  push_global(m, module, name);
  return NULL;
}

static fst_status global_stack(machine *m) {
  value *module, *name;
  FST_TRY(pop(m, &name));
  FST_TRY(pop(m, &module));
  if (module->kind != FST_PICKLE_STR || name->kind != FST_PICKLE_STR) return damaged("a global has no name");
  push_global(m, module->bytes, name->bytes);
  return NULL;
}

static fst_status refused(const char *what) { return FST_FAIL(FST_ERR_UNSUPPORTED, "the pickle is not numpy data only: it %s; nothing of it was executed", what); }

static fst_status reduce(machine *m) {
  value *args, *callee, *made = NULL;
  FST_TRY(pop(m, &args));
  FST_TRY(pop(m, &callee));
  if (args->kind != FST_PICKLE_TUPLE) return damaged("a call has no arguments");
  if (callee->kind != FST_PICKLE_GLOBAL) return damaged("it calls what is no function");
  fst_pickle_call_fn call = fst_pickle_call_find(callee->bytes);
  if (!call) return refused(fst_arena_printf(m->arena, "calls '%s'", callee->bytes));
  FST_TRY(call(m->arena, args, &made));
  push(m, made);
  return NULL;
}

static fst_status build(machine *m) {
  value *state, *object;
  FST_TRY(pop(m, &state));
  FST_TRY(top(m, &object));
  return fst_pickle_build(m->arena, object, state);
}

// ---- the loop --------------------------------------------------------------------------------------

static fst_status unknown(int opcode) { return FST_FAIL(FST_ERR_CORRUPT, "the pickle is damaged: opcode 0x%02x", opcode); }

static fst_status step_text(machine *m, int opcode) {
  switch (opcode) {
    case 'S': return push_quoted(m);
    case 'T': return push_counted(m, FST_PICKLE_BYTES, 4);
    case 'U': return push_counted(m, FST_PICKLE_BYTES, 1);
    case 'V': return push_raw_unicode(m);
    case 'X': return push_counted(m, FST_PICKLE_STR, 4);
    case 0x8c: return push_counted(m, FST_PICKLE_STR, 1);
    case 0x8d: return push_counted(m, FST_PICKLE_STR, 8);
    case 'B': return push_counted(m, FST_PICKLE_BYTES, 4);
    case 'C': return push_counted(m, FST_PICKLE_BYTES, 1);
    case 0x8e: case 0x96: return push_counted(m, FST_PICKLE_BYTES, 8);
    default: return unknown(opcode);
  }
}

static fst_status step_number(machine *m, int opcode) {
  uint64_t number;
  switch (opcode) {
    case 'F': return push_float_line(m);
    case 'G': return push_binary_float(m);
    case 'I': case 'L': return push_decimal(m);
    case 0x8a: return push_long(m, 1);
    case 0x8b: return push_long(m, 4);
    case 'J': FST_TRY(take_number(m, 4, &number)); push_int(m, (int32_t)number); return NULL;
    case 'K': FST_TRY(take_number(m, 1, &number)); push_int(m, (int64_t)number); return NULL;
    case 'M': FST_TRY(take_number(m, 2, &number)); push_int(m, (int64_t)number); return NULL;
    default: return step_text(m, opcode);
  }
}

static fst_status step_memo(machine *m, int opcode) {
  uint64_t number;
  switch (opcode) {
    case 'g': FST_TRY(memo_line(m, &number)); return memo_get(m, number);
    case 'h': FST_TRY(take_number(m, 1, &number)); return memo_get(m, number);
    case 'j': FST_TRY(take_number(m, 4, &number)); return memo_get(m, number);
    case 'p': FST_TRY(memo_line(m, &number)); return memo_put(m, number);
    case 'q': FST_TRY(take_number(m, 1, &number)); return memo_put(m, number);
    case 'r': FST_TRY(take_number(m, 4, &number)); return memo_put(m, number);
    case 0x94: return memo_put(m, m->memo.len);
    default: return step_number(m, opcode);
  }
}

static fst_status step_other(machine *m, int opcode) {
  value *v;
  uint64_t number;
  size_t height;
  switch (opcode) {
    case '(': fst_vec_push(&m->marks, m->stack.len); return NULL;
    case '0': return pop(m, &v);
    case '1': FST_TRY(mark_pop(m, &height)); m->stack.len = height; return NULL;
    case '2': FST_TRY(top(m, &v)); push(m, v); return NULL;
    case 'N': push(m, fst_pickle_make(m->arena, FST_PICKLE_NONE)); return NULL;
    case 0x88: case 0x89: push_bool(m, opcode == 0x88); return NULL;
    case 'c': return global_lines(m);
    case 0x93: return global_stack(m);
    case 'R': return reduce(m);
    case 'b': return build(m);
    case 0x95: return take_number(m, 8, &number);  // a frame: how much to read ahead
    case 0x98: return NULL;                        // "read-only" says nothing here
    case 'P': case 'Q': return refused("names objects outside the file");
    case 'i': case 'o': case 0x81: case 0x92: case 0x82: case 0x83: case 0x84: return refused("makes objects of a class");
    case 0x97: return refused("keeps buffers outside the file");
    case 0x8f: case 0x90: case 0x91: return refused("holds sets");
    default: return step_memo(m, opcode);
  }
}

static fst_status step(machine *m, int opcode) {
  switch (opcode) {
    case ']': return push_items(m, FST_PICKLE_LIST, m->stack.len);
    case '}': return push_items(m, FST_PICKLE_DICT, m->stack.len);
    case ')': return push_items(m, FST_PICKLE_TUPLE, m->stack.len);
    case 'l': return push_marked(m, FST_PICKLE_LIST);
    case 'd': return push_marked(m, FST_PICKLE_DICT);
    case 't': return push_marked(m, FST_PICKLE_TUPLE);
    case 0x85: case 0x86: case 0x87: return push_tuple(m, (size_t)(opcode - 0x84));
    case 'a': return extend_by(m, FST_PICKLE_LIST, 1);
    case 'e': return extend_marked(m, FST_PICKLE_LIST);
    case 's': return extend_by(m, FST_PICKLE_DICT, 2);
    case 'u': return extend_marked(m, FST_PICKLE_DICT);
    default: return step_other(m, opcode);
  }
}

static fst_status run(machine *m, value **out) {
  if (m->at < m->end && *m->at == 0x80) {
    uint64_t protocol;
    m->at++;
    FST_TRY(take_number(m, 1, &protocol));
    if (protocol > 5) return FST_FAIL(FST_ERR_UNSUPPORTED, "the pickle is of protocol %d; 0 to 5 can be read", (int)protocol);
  }
  while (m->at < m->end) {
    int opcode = *m->at++;
    if (opcode == '.') return m->marks.len ? damaged("a mark is left over") : pop(m, out);
    FST_TRY(step(m, opcode));
  }
  return damaged("it is cut short");
}

fst_status fst_pickle_read(const void *bytes, size_t len, fst_arena *arena, fst_pickle_value **out) {
  machine m = {.arena = arena, .start = bytes, .at = bytes, .end = (const unsigned char *)bytes + len};
  fst_status status = run(&m, out);
  fst_vec_free(&m.stack);
  fst_vec_free(&m.memo);
  fst_vec_free(&m.marks);
  return status;
}

const fst_pickle_value *fst_pickle_get(const fst_pickle_value *dict, const char *key) {
  for (size_t i = dict->kind == FST_PICKLE_DICT ? dict->count : 0; i; i -= 2) {
    const fst_pickle_value *k = dict->items[i - 2];
    if ((k->kind == FST_PICKLE_STR || k->kind == FST_PICKLE_BYTES) && k->len == strlen(key) && !memcmp(k->bytes, key, k->len)) return dict->items[i - 1];
  }
  return NULL;
}
