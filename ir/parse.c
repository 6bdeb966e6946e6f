// Modules from text. Records may come in any order and refer to each other, so the text is read three times:
// first what records are (classes, types of tensors, lists, dicts, objects), then what objects and containers
// hold, then functions.
#include <string.h>

#include "ir/parse_internal.h"

typedef struct {
  const char *at;      // after the word
  uint32_t index;
} pending;

typedef struct {
  fst_parser p;
  FST_VEC(pending) lists;
  FST_VEC(pending) dicts;
  FST_VEC(pending) objects;
  FST_VEC(fst_sym) object_classes;   // by object number
  FST_VEC(const char *) functions;
  FST_VEC(bool) has_storage;
  uint32_t limit;                    // numbers are below the length of the text: no more records fit
  uint32_t root;
  const char *root_at;
  fst_status unbalanced;             // a function without its end: reading it says more than that
  const char *unbalanced_at;
} reader;

// ---- skipping --------------------------------------------------------------------------------------

// `at` is at an opening bracket: moves it past its partner.
static fst_status skip_brackets(fst_parser *p) {
  uint32_t depth = 0;
  do {
    fst_scan_blanks(&p->at);
    char c = *p->at;
    if (!c) return FST_BAD("a bracket without its partner");
    if (c == '"') {
      for (p->at++; *p->at && *p->at != '"' && *p->at != '\n'; p->at++)
        if (*p->at == '\\' && p->at[1]) p->at++;
      if (*p->at != '"') return FST_BAD("a string without its closing quote");
    }
    if (c == '(' || c == '[' || c == '{') depth++;
    if (c == ')' || c == ']' || c == '}') depth--;
    p->at++;
  } while (depth);
  return NULL;
}

static fst_status skip_to(fst_parser *p, char open) {
  for (;; p->at++) {
    fst_scan_blanks(&p->at);
    if (*p->at == open) return skip_brackets(p);
    if (*p->at == '"' || *p->at == '(' || *p->at == '[') {   // of the head
      const char *start = p->at;
      fst_text ignored = {0};
      fst_status status = *p->at == '"' ? fst_scan_string(&p->at, &ignored) : skip_brackets(p);
      fst_text_deinit(&ignored);
      if (status) return status;
      FST_ASSERT(p->at > start, "the reader stands still");
      p->at--;
    }
    if (!*p->at) return FST_BAD("expected '%c'", open);
  }
}

// ---- heads -----------------------------------------------------------------------------------------

static fst_status read_index(reader *r, uint32_t *out) { return fst_parse_u32(&r->p, r->limit, "number", out); }

static fst_status read_file(reader *r) {
  uint32_t index;
  FST_TRY(read_index(r, &index));
  fst_sym name;
  FST_TRY(fst_parse_sym(&r->p, &name));
  while (r->p.m->files.len <= index) fst_vec_push(&r->p.m->files, 0);
  r->p.m->files.data[index] = name;
  return NULL;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static fst_status read_hex(reader *r, fst_storage_info *s) {
  fst_scan_blanks(&r->p.at);
  if (s->bytes > r->limit) return FST_BAD("more bytes than the text has");
  unsigned char *data = fst_arena_alloc(&r->p.m->arena, s->bytes + 64);
  data = (unsigned char *)(((uintptr_t)data + 63) & ~(uintptr_t)63);   // as fst_module_new_tensor aligns
  for (uint64_t i = 0; i < s->bytes; i++) {
    int high = hex_digit(r->p.at[0]), low = high < 0 ? -1 : hex_digit(r->p.at[1]);
    if (low < 0) return FST_BAD("expected %llu bytes in hex", (unsigned long long)s->bytes);
    data[i] = (unsigned char)(high * 16 + low);
    r->p.at += 2;
  }
  s->data = data;
  return NULL;
}

static fst_status read_storage(reader *r) {
  fst_module *m = r->p.m;
  uint32_t index;
  fst_storage_info s = {0};
  FST_TRY(read_index(r, &index));
  FST_TRY(fst_scan_expect(&r->p.at, "bytes"));
  FST_TRY(fst_scan_u64(&r->p.at, &s.bytes));
  if (fst_scan_is_word(&r->p.at, "archive")) s.where = FST_BYTES_ARCHIVE;
  else if (fst_scan_is_word(&r->p.at, "side")) s.where = FST_BYTES_SIDE;
  else if (fst_scan_is_word(&r->p.at, "memory")) s.where = FST_BYTES_MEMORY;
  else if (fst_scan_is_word(&r->p.at, "hex")) {
    s.where = FST_BYTES_MEMORY;
    FST_TRY(read_hex(r, &s));
  } else return FST_BAD("expected archive, side, memory or hex");
  if (s.where != FST_BYTES_MEMORY) FST_TRY(fst_scan_u64(&r->p.at, &s.offset));
  while (m->storages.len <= index) {
    fst_vec_push(&m->storages, ((fst_storage_info){.where = FST_BYTES_MEMORY}));
    fst_vec_push(&r->has_storage, false);
  }
  if (r->has_storage.data[index]) return FST_BAD("storage %u is defined twice", index);
  r->has_storage.data[index] = true;
  m->storages.data[index] = s;
  return NULL;
}

static bool is_concrete(const fst_type_data *t) {
  if (t->kind != FST_TY_TENSOR || t->dtype == FST_DTYPE_UNKNOWN || t->rank < 0 || !t->has_strides) return false;
  for (int i = 0; i < t->rank; i++)
    if (t->dims[i] < 0 || t->strides[i] < 0) return false;
  return true;
}

static fst_status read_tensor(reader *r) {
  fst_module *m = r->p.m;
  uint32_t index;
  uint64_t offset;
  fst_tensor_info t = {0};
  FST_TRY(read_index(r, &index));
  FST_TRY(fst_parse_type(&r->p, &t.type));
  if (!is_concrete(fst_type_get(m->types, t.type))) return FST_BAD("a tensor has a dtype, sizes and strides: f32[2, 3]{3, 1}");
  FST_TRY(fst_scan_expect(&r->p.at, "storage"));
  FST_TRY(read_index(r, &t.storage));
  FST_TRY(fst_scan_expect(&r->p.at, "offset"));
  FST_TRY(fst_scan_u64(&r->p.at, &offset));
  if (offset > INT64_MAX) return FST_BAD("an offset that does not fit 63 bits");
  t.offset = (int64_t)offset;
  t.requires_grad = fst_scan_is_word(&r->p.at, "grad");
  while (m->tensors.len <= index) fst_vec_push(&m->tensors, (fst_tensor_info){0});
  if (m->tensors.data[index].type.id) return FST_BAD("tensor %u is defined twice", index);
  m->tensors.data[index] = t;
  return NULL;
}

static fst_status read_list_head(reader *r) {
  fst_module *m = r->p.m;
  pending head;
  fst_type type;
  FST_TRY(read_index(r, &head.index));
  FST_TRY(fst_parse_type(&r->p, &type));
  if (!fst_type_is(m->types, type, FST_TY_LIST)) return FST_BAD("a list's type is List[T]");
  while (m->lists.len <= head.index) fst_vec_push(&m->lists, (fst_list_info){0});
  if (m->lists.data[head.index].type.id) return FST_BAD("list %u is defined twice", head.index);
  m->lists.data[head.index].type = type;
  FST_TRY(fst_scan_expect(&r->p.at, "="));
  head.at = r->p.at;
  fst_vec_push(&r->lists, head);
  return skip_to(&r->p, '[');
}

static fst_status read_dict_head(reader *r) {
  fst_module *m = r->p.m;
  pending head;
  fst_type type;
  FST_TRY(read_index(r, &head.index));
  FST_TRY(fst_parse_type(&r->p, &type));
  if (!fst_type_is(m->types, type, FST_TY_DICT)) return FST_BAD("a dict's type is Dict[K, V]");
  while (m->dicts.len <= head.index) fst_vec_push(&m->dicts, (fst_dict_info){0});
  if (m->dicts.data[head.index].type.id) return FST_BAD("dict %u is defined twice", head.index);
  m->dicts.data[head.index].type = type;
  FST_TRY(fst_scan_expect(&r->p.at, "="));
  head.at = r->p.at;
  fst_vec_push(&r->dicts, head);
  return skip_to(&r->p, '{');
}

static fst_status read_object_head(reader *r) {
  fst_module *m = r->p.m;
  pending head;
  fst_sym name;
  FST_TRY(read_index(r, &head.index));
  FST_TRY(fst_parse_sym(&r->p, &name));
  while (m->objects.len <= head.index) {
    fst_vec_push(&m->objects, (fst_object_info){0});
    fst_vec_push(&r->object_classes, 0);
  }
  if (r->object_classes.data[head.index]) return FST_BAD("object %u is defined twice", head.index);
  if (!name) return FST_BAD("expected the name of a class");
  r->object_classes.data[head.index] = name;
  head.at = r->p.at;
  fst_vec_push(&r->objects, head);
  return skip_to(&r->p, '{');
}

static fst_status read_root(reader *r) {
  FST_TRY(fst_scan_expect(&r->p.at, "object"));
  r->root_at = r->p.at;
  return read_index(r, &r->root);
}

static fst_status read_function_head(reader *r) {
  fst_vec_push(&r->functions, r->p.at);
  r->unbalanced = skip_to(&r->p, '{');
  if (!r->unbalanced) return NULL;
  r->unbalanced_at = r->p.at;
  r->p.at += strlen(r->p.at);
  return NULL;
}

// ---- classes ---------------------------------------------------------------------------------------

typedef FST_VEC(fst_sym) sym_vec;
typedef struct {
  sym_vec attr_names, method_names, method_functions, member_names;
  FST_VEC(fst_type) attr_types;
  FST_VEC(fst_const) member_values;
} class_text;

static void class_text_deinit(class_text *c) {
  fst_vec_free(&c->attr_names);
  fst_vec_free(&c->method_names);
  fst_vec_free(&c->method_functions);
  fst_vec_free(&c->member_names);
  fst_vec_free(&c->attr_types);
  fst_vec_free(&c->member_values);
}

static fst_status parse_push_sym(fst_parser *p, sym_vec *to) {
  fst_sym sym;
  FST_TRY(fst_parse_sym(p, &sym));
  fst_vec_push(to, sym);
  return NULL;
}

static fst_status parse_member(fst_parser *p, fst_type type, class_text *c) {
  fst_const value;
  FST_TRY(parse_push_sym(p, &c->member_names));
  FST_TRY(fst_scan_expect(&p->at, "="));
  FST_TRY(fst_parse_literal_of(p, type, &value));
  fst_vec_push(&c->member_values, value);
  return NULL;
}

static fst_status parse_class_line(fst_parser *p, const fst_class *cls, class_text *c) {
  fst_type type;
  if (fst_scan_is_word(&p->at, "attr")) {
    FST_TRY(parse_push_sym(p, &c->attr_names));
    FST_TRY(fst_scan_expect(&p->at, ":"));
    FST_TRY(fst_parse_type(p, &type));
    fst_vec_push(&c->attr_types, type);
    return NULL;
  }
  if (fst_scan_is_word(&p->at, "method")) {
    FST_TRY(parse_push_sym(p, &c->method_names));
    FST_TRY(fst_scan_expect(&p->at, "="));
    return parse_push_sym(p, &c->method_functions);
  }
  if (cls->kind == FST_CLASS_ENUM && fst_scan_is_word(&p->at, "member")) return parse_member(p, cls->enum_type, c);
  return FST_BAD("expected attr, method, member (in an enum) or '}'");
}

#define KEEP(arena, vec) ((vec).len ? fst_arena_memdup((arena), (vec).data, (vec).len * sizeof *(vec).data) : NULL)

static fst_status parse_class_kind(fst_parser *p, fst_class *cls) {
  if (fst_scan_is_word(&p->at, "module")) cls->kind = FST_CLASS_MODULE;
  else if (fst_scan_is_word(&p->at, "plain")) cls->kind = FST_CLASS_PLAIN;
  else if (fst_scan_is_word(&p->at, "interface")) cls->kind = FST_CLASS_INTERFACE;
  else if (fst_scan_is_word(&p->at, "enum")) {
    cls->kind = FST_CLASS_ENUM;
    return fst_parse_type(p, &cls->enum_type);
  } else return FST_BAD("expected module, plain, enum or interface");
  return NULL;
}

static fst_status read_class(reader *r) {
  fst_parser *p = &r->p;
  fst_class cls = {0};
  class_text c = {0};
  FST_TRY(fst_parse_sym(p, &cls.name));
  if (fst_module_find_class(p->m, cls.name).id) return FST_BAD("class \"%s\" is defined twice", fst_sym_text(&p->m->strings, cls.name));
  FST_TRY(parse_class_kind(p, &cls));
  FST_TRY(fst_scan_expect(&p->at, "{"));
  fst_status status = NULL;
  while (!status && !fst_scan_char(&p->at, '}')) status = parse_class_line(p, &cls, &c);
  if (!status) {
    fst_arena *arena = &p->m->arena;
    cls.attr_count = (uint32_t)c.attr_names.len;
    cls.attr_names = KEEP(arena, c.attr_names);
    cls.attr_types = KEEP(arena, c.attr_types);
    cls.method_count = (uint32_t)c.method_names.len;
    cls.method_names = KEEP(arena, c.method_names);
    cls.method_functions = KEEP(arena, c.method_functions);
    cls.member_count = (uint32_t)c.member_names.len;
    cls.member_names = KEEP(arena, c.member_names);
    cls.member_values = KEEP(arena, c.member_values);
    fst_vec_push(&p->m->classes, cls);
  }
  class_text_deinit(&c);
  return status;
}

// ---- contents --------------------------------------------------------------------------------------

typedef struct {
  FST_VEC(fst_const) v;
} const_vec;

static fst_status parse_list_items(fst_parser *p, fst_list_info *list, const_vec *items) {
  fst_type elem = fst_type_get(p->m->types, list->type)->elem;
  FST_TRY(fst_scan_expect(&p->at, "["));
  while (!fst_scan_char(&p->at, ']')) {
    fst_const c;
    FST_TRY(fst_parse_literal_of(p, elem, &c));
    fst_vec_push(&items->v, c);
    fst_scan_blanks(&p->at);
    if (*p->at != ']') FST_TRY(fst_scan_expect(&p->at, ","));
  }
  list->count = (uint32_t)items->v.len;
  list->items = KEEP(&p->m->arena, items->v);
  return NULL;
}

static fst_status parse_dict_items(fst_parser *p, fst_dict_info *dict, const_vec *keys, const_vec *values) {
  const fst_type_data *t = fst_type_get(p->m->types, dict->type);
  FST_TRY(fst_scan_expect(&p->at, "{"));
  while (!fst_scan_char(&p->at, '}')) {
    fst_const key, value;
    FST_TRY(fst_parse_literal_of(p, t->key, &key));
    FST_TRY(fst_scan_expect(&p->at, ":"));
    FST_TRY(fst_parse_literal_of(p, t->elem, &value));
    fst_vec_push(&keys->v, key);
    fst_vec_push(&values->v, value);
    fst_scan_blanks(&p->at);
    if (*p->at != '}') FST_TRY(fst_scan_expect(&p->at, ","));
  }
  dict->count = (uint32_t)keys->v.len;
  dict->keys = KEEP(&p->m->arena, keys->v);
  dict->values = KEEP(&p->m->arena, values->v);
  return NULL;
}

static fst_status parse_object_attrs(fst_parser *p, fst_object_info *object) {
  const fst_class *cls = fst_module_class(p->m, object->cls);
  FST_TRY(fst_scan_expect(&p->at, "{"));
  while (!fst_scan_char(&p->at, '}')) {
    fst_sym name;
    FST_TRY(fst_parse_sym(p, &name));
    int attr = fst_class_attr(cls, name);
    if (attr < 0) return FST_BAD("class \"%s\" has no attribute \"%s\"", fst_sym_text(&p->m->strings, cls->name), fst_sym_text(&p->m->strings, name));
    FST_TRY(fst_scan_expect(&p->at, "="));
    FST_TRY(fst_parse_literal_of(p, cls->attr_types[attr], &object->attrs[attr]));
  }
  return NULL;
}

// Attributes that are not given have never been set.
static void object_prepare(fst_module *m, fst_object_info *object) {
  const fst_class *cls = fst_module_class(m, object->cls);
  fst_const_data uninit = {.kind = FST_CONST_UNINIT, .type = fst_type_simple(m->types, FST_TY_UNINIT)};
  object->attrs = FST_NEW_ARRAY(&m->arena, fst_const, cls->attr_count + 1);
  for (uint32_t i = 0; i < cls->attr_count; i++) object->attrs[i] = fst_const_intern(m, &uninit);
}

static fst_status read_contents(reader *r) {
  fst_parser *p = &r->p;
  fst_module *m = p->m;
  for (size_t i = 0; i < r->objects.len; i++) {
    pending o = r->objects.data[i];
    p->at = o.at;
    m->objects.data[o.index].cls = fst_module_find_class(m, r->object_classes.data[o.index]);
    if (!m->objects.data[o.index].cls.id) return FST_BAD("class \"%s\" is not defined", fst_sym_text(&m->strings, r->object_classes.data[o.index]));
    object_prepare(m, &m->objects.data[o.index]);
  }
  const_vec a = {0}, b = {0};
  fst_status status = NULL;
  for (size_t i = 0; i < r->lists.len && !status; i++) {
    a.v.len = 0;
    p->at = r->lists.data[i].at;
    status = parse_list_items(p, &m->lists.data[r->lists.data[i].index], &a);
  }
  for (size_t i = 0; i < r->dicts.len && !status; i++) {
    a.v.len = b.v.len = 0;
    p->at = r->dicts.data[i].at;
    status = parse_dict_items(p, &m->dicts.data[r->dicts.data[i].index], &a, &b);
  }
  fst_vec_free(&a.v);
  fst_vec_free(&b.v);
  for (size_t i = 0; i < r->objects.len && !status; i++) {
    p->at = r->objects.data[i].at;
    status = parse_object_attrs(p, &m->objects.data[r->objects.data[i].index]);
  }
  return status;
}

// ---- the whole -------------------------------------------------------------------------------------

static fst_status read_record(reader *r) {
  static const struct { const char *word; fst_status (*read)(reader *); } records[] = {
      {"file", read_file}, {"class", read_class}, {"storage", read_storage}, {"tensor", read_tensor}, {"list", read_list_head},
      {"dict", read_dict_head}, {"object", read_object_head}, {"root", read_root}, {"function", read_function_head}};
  for (size_t i = 0; i < sizeof records / sizeof *records; i++)
    if (fst_scan_is_word(&r->p.at, records[i].word)) return records[i].read(r);
  if (fst_scan_is_word(&r->p.at, "source")) return fst_parse_sym(&r->p, &r->p.m->source);
  return FST_BAD("expected a record: source, file, class, storage, tensor, list, dict, object, root or function");
}

static fst_status read_heads(reader *r) {
  FST_TRY(fst_scan_expect(&r->p.at, "firesteel.module"));
  fst_scan_blanks(&r->p.at);
  const char *start = r->p.at;
  uint64_t version;
  FST_TRY(fst_scan_u64(&r->p.at, &version));
  if (version != 1) {
    r->p.at = start;
    return FST_BAD("this compiler reads version 1 of the IR's text");
  }
  for (fst_scan_blanks(&r->p.at); *r->p.at; fst_scan_blanks(&r->p.at)) FST_TRY(read_record(r));
  return NULL;
}

static fst_status check_links(reader *r, const char *end) {
  fst_module *m = r->p.m;
  if (r->p.at != end) return FST_BAD("a NUL byte in the text");
  for (size_t i = 0; i < m->tensors.len; i++)
    if (m->tensors.data[i].type.id && (m->tensors.data[i].storage >= r->has_storage.len || !r->has_storage.data[m->tensors.data[i].storage]))
      return FST_BAD("tensor %zu: storage %u is not defined", i, m->tensors.data[i].storage);
  if (!r->root_at) return NULL;
  r->p.at = r->root_at;
  if (r->root >= m->objects.len || !r->object_classes.data[r->root]) return FST_BAD("object %u is not defined", r->root);
  m->root = r->root;
  return NULL;
}

static fst_status read_all(reader *r, const char *end) {
  FST_TRY(read_heads(r));
  FST_TRY(check_links(r, end));
  FST_TRY(read_contents(r));
  for (size_t i = 0; i < r->functions.len; i++) {
    r->p.at = r->functions.data[i];
    FST_TRY(fst_parse_function(&r->p));
  }
  fst_status status = r->unbalanced;
  if (status) r->p.at = r->unbalanced_at;
  r->unbalanced = NULL;
  return status;
}

static fst_status at_position(const fst_parser *p, const char *file, fst_status status) {
  uint32_t line = 1, column = 1;
  for (const char *c = p->text; c < p->at; c++) {
    column = *c == '\n' ? 1 : column + 1;
    line += *c == '\n';
  }
  return fst_error_prefix(status, "%s:%u:%u", file, line, column);
}

fst_status fst_module_parse(const char *text, size_t len, const char *file_name, fst_module **out_module) {
  fst_arena scratch;
  fst_arena_init(&scratch);
  reader r = {.limit = len >= UINT32_MAX ? UINT32_MAX : (uint32_t)len + 1};
  r.p.m = fst_module_create();
  r.p.text = r.p.at = fst_arena_strndup(&scratch, text, len);
  r.p.dims = fst_dims_create(&scratch);
  fst_status status = read_all(&r, r.p.text + len);
  if (status) status = at_position(&r.p, file_name, status);
  else status = fst_error_prefix(fst_module_verify(r.p.m), "%s", file_name);
  fst_error_free(r.unbalanced);
  fst_map_deinit(&r.p.names);
  fst_vec_free(&r.p.scope);
  fst_vec_free(&r.lists);
  fst_vec_free(&r.dicts);
  fst_vec_free(&r.objects);
  fst_vec_free(&r.object_classes);
  fst_vec_free(&r.functions);
  fst_vec_free(&r.has_storage);
  fst_arena_deinit(&scratch);
  if (status) fst_module_destroy(r.p.m);
  else *out_module = r.p.m;
  return status;
}
