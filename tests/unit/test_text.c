// IR text: every file of tests/ir prints and parses back to the same module; bad text gives an error that says
// where; mutated text never crashes, and what of it is accepted still round-trips.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <dirent.h>

#include "ir/graph.h"

static fst_text read_file(const char *path) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  fst_text text = {0};
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, f)) > 0;) fst_text_append(&text, buffer, n);
  fclose(f);
  return text;
}

static fst_module *parse_ok(const char *text, size_t len, const char *name) {
  fst_module *m = NULL;
  fst_status status = fst_module_parse(text, len, name, &m);
  if (status) fail_msg("%s", status->message);
  return m;
}

static void check_round_trip(const char *text, size_t len, const char *name) {
  fst_module *a = parse_ok(text, len, name);
  fst_text first = {0}, second = {0};
  fst_module_print(a, &first);
  fst_module *b = parse_ok(first.data, first.len, "printed");
  fst_module_print(b, &second);
  assert_string_equal(fst_text_cstr(&first), fst_text_cstr(&second));
  assert_true(fst_module_hash(a) == fst_module_hash(b));
  for (size_t i = 0; i < a->functions.len; i++) {
    fst_graph *f = a->functions.data[i], *copy = fst_graph_clone(f, f->name);
    assert_true(fst_graph_hash(f) == fst_graph_hash(b->functions.data[i]));
    assert_true(fst_graph_hash(f) == fst_graph_hash(copy));
    fst_status status = fst_graph_verify(copy);
    if (status) fail_msg("%s", status->message);
    fst_graph_destroy(copy);
    fst_text one = {0};
    fst_graph_print(f, &one);   // a dump of one function stands for itself
    fst_module *c = parse_ok(one.data, one.len, "dump");
    assert_int_equal(c->functions.len, 1);
    assert_true(fst_graph_hash(c->functions.data[0]) == fst_graph_hash(f));
    fst_module_destroy(c);
    fst_text_deinit(&one);
  }
  fst_text_deinit(&first);
  fst_text_deinit(&second);
  fst_module_destroy(a);
  fst_module_destroy(b);
}

typedef void (*file_fn)(const char *name, const fst_text *text);

static void each_file(file_fn f) {
  static const char folder[] = FST_TEST_DATA "/ir";
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    const char *dot = strrchr(entry->d_name, '.');
    if (!dot || strcmp(dot, ".ir")) continue;
    fst_text path = {0};
    fst_text_printf(&path, "%s/%s", folder, entry->d_name);
    fst_text text = read_file(path.data);
    if (!strstr(text.data, "RUN:")) {   // those that are wrong on purpose have RUN lines
      f(entry->d_name, &text);
      count++;
    }
    fst_text_deinit(&path);
    fst_text_deinit(&text);
  }
  closedir(dir);
  assert_true(count >= 4);
}

static void round_trip_file(const char *name, const fst_text *text) { check_round_trip(text->data, text->len, name); }
static void test_files(void **state) {
  (void)state;
  each_file(round_trip_file);
}

// ---- what counts for the hash ----------------------------------------------------------------------

static uint64_t hash_of(const char *body) {
  fst_text text = {0};
  fst_text_printf(&text, "firesteel.module 1\nfile 0 \"a\"\n%s", body);
  fst_module *m = parse_ok(text.data, text.len, "hash");
  uint64_t hash = fst_graph_hash(m->functions.data[0]);
  fst_module_destroy(m);
  fst_text_deinit(&text);
  return hash;
}

static void test_hash(void **state) {
  (void)state;
  uint64_t base = hash_of("function \"f\" imported (%x : Tensor) -> (Tensor) { %1 : Tensor = aten::relu(%x) return %1 }");
  assert_true(base == hash_of("function \"g\" imported (%y : Tensor) -> (Tensor) { %r : Tensor = aten::relu(%y) @0:3\n return %r }"));
  assert_true(base != hash_of("function \"f\" inlined (%x : Tensor) -> (Tensor) { %1 : Tensor = aten::relu(%x) return %1 }"));
  assert_true(base != hash_of("function \"f\" imported (%x : f32[...]) -> (Tensor) { %1 : Tensor = aten::relu(%x) return %1 }"));
  assert_true(base != hash_of("function \"f\" imported (%x : Tensor) -> (Tensor) { %1 : Tensor = aten::relu(%x) return %x }"));
  assert_true(base != hash_of("function \"f\" imported (%x : Tensor) -> (Tensor) { %1 : Tensor = aten::sigmoid(%x) return %1 }"));
  uint64_t one = hash_of("function \"f\" imported () -> (int) { return 1 }");
  assert_true(one != hash_of("function \"f\" imported () -> (int) { return 2 }"));
  assert_true(hash_of("function \"f\" imported () -> (float) { return 0.0 }") != hash_of("function \"f\" imported () -> (float) { return -0.0 }"));
}

static void test_defaults_are_filled(void **state) {
  (void)state;
  uint64_t given = hash_of("function \"f\" imported (%x : Tensor) -> (Tensor) { %1 : Tensor = aten::add.Tensor(%x, %x, 1) return %1 }");
  assert_true(given == hash_of("function \"f\" imported (%x : Tensor) -> (Tensor) { %1 : Tensor = aten::add.Tensor(%x, %x) return %1 }"));
}

// ---- errors ----------------------------------------------------------------------------------------

static void expect_error(const char *text, const char *expected) {
  fst_module *m = NULL;
  fst_status status = fst_module_parse(text, strlen(text), "t.ir", &m);
  if (!status) fail_msg("accepted: %s", text);
  if (!strstr(status->message, expected)) fail_msg("\"%s\" is not in \"%s\"", expected, status->message);
  assert_null(m);
  fst_error_free(status);
}

#define HEAD "firesteel.module 1\n"
#define FN HEAD "function \"f\" imported (%x : Tensor, %n : int, %c : bool) -> (Tensor) {\n"

static void test_errors(void **state) {
  (void)state;
  static const struct { const char *text, *expected; } cases[] = {
      {"", "t.ir:1:1: expected 'firesteel.module'"},
      {"firesteel.module 2\n", "t.ir:1:18: this compiler reads version 1"},
      {HEAD "nonsense\n", "t.ir:2:1: expected a record"},
      {HEAD "class \"A\" module { attr \"x\" int }", "t.ir:2:29: expected ':'"},
      {HEAD "class \"A\" plain {}\nclass \"A\" plain {}", "class \"A\" is defined twice"},
      {HEAD "tensor 0 f32[2] storage 0 offset 0", "a tensor has a dtype, sizes and strides"},
      {HEAD "tensor 0 f32[2]{1} storage 0 offset 0", "storage 0 is not defined"},
      {HEAD "tensor 0 f32[s0]{1} storage 0 offset 0", "must be numbers"},
      {HEAD "object 0 \"A\" {}", "class \"A\" is not defined"},
      {HEAD "class \"A\" plain { attr \"x\" : int }\nobject 0 \"A\" { \"y\" = 1 }", "no attribute \"y\""},
      {HEAD "class \"A\" plain { attr \"x\" : int }\nobject 0 \"A\" { \"x\" = 1.5 }", "t.ir:3:22: a literal of type float where int is wanted"},
      {HEAD "list 0 List[int] = [1, 2", "without its partner"},
      {HEAD "root object 0", "object 0 is not defined"},
      {HEAD "storage 0 bytes 4 hex 0011", "expected 4 bytes in hex"},
      {HEAD "storage 99999 bytes 4 side 0", "number 99999: there is none"},
      {HEAD "source \"abc\n", "without its closing quote"},
      {HEAD "function \"f\" nowhere () -> () { return }", "t.ir:2:14: expected a stage"},
      {FN "  return %y\n}", "t.ir:3:10: %y is not defined here"},
      {FN "  %x : Tensor = aten::relu(%x)\n  return %x\n}", "%x is defined twice"},
      {FN "  %1 : Tensor = aten::nonsense(%x)\n  return %1\n}", "t.ir:3:17: 'aten::nonsense' is no op we know"},
      {FN "  %1 : Tensor = aten::relu(%x\n  return %1\n}", "t.ir:4:3: expected ')'"},
      {FN "  %1 : Tensr = aten::relu(%x)\n  return %1\n}", "t.ir:3:8: 'Tensr' is no type"},
      {FN "  %1 : Tensor = aten::relu(%x)\n}", "t.ir:4:1: a block ends in yield or return"},
      {FN "  %1 : Tensor = op[\"x(\"](%x)\n  return %1\n}", "no closing parenthesis"},
      {FN "  %1 : Tensor = aten::relu(%x)  @3:1\n  return %1\n}", "file 3: there is none"},
      {FN "  prim::If(%c) {\n %1 : Tensor = aten::relu(%x)\n yield\n } {\n yield\n }\n  return %1\n}", "%1 is not defined here"},
      {FN "  %1 : f32[99999999999999999999] = aten::relu(%x)\n  return %1\n}", "does not fit 64 bits"},
      {FN "  %1 : f32[2, = aten::relu(%x)\n  return %1\n}", "t.ir:3:15: expected a size"},
      {FN "  return 99999999999999999999\n}", "does not fit 64 bits"},
      {FN "  prim::Print([])\n  return %x\n}", "an empty list needs its type"},
      {FN "  prim::Print(tensor 0)\n  return %x\n}", "tensor 0: there is none"},
      {FN "  prim::Print(int[\"a\"])\n  return %x\n}", "a literal of type str where int is wanted"},
      // Laws of graphs: the verifier's.
      {FN "  %1 : Tensor = aten::relu(%x, %x)\n  return %1\n}", "aten::relu: 2 operands for the 1 of its schema"},
      {FN "  aten::relu(%x)\n  return %x\n}", "aten::relu: 0 results for the 1 of its schema"},
      {FN "  %1 : Tensor = aten::relu(%n)\n  return %1\n}", "operand 0 (self) is int, not Tensor"},
      {FN "  return %n\n}", "returned value 0 is int where Tensor is declared"},
      {FN "  return %x, %x\n}", "2 values returned for 1 result types"},
      {FN "  yield %x\n}", "a function ends in return"},
      {FN "  prim::If(%c) {\n yield\n }\n return %x\n}", "an If has a condition and two blocks"},
      {FN "  prim::If(%n) {\n yield\n } {\n yield\n }\n return %x\n}", "operand 0 is int, not bool"},
      {FN "  %1 : int = prim::If(%c) {\n yield 1\n } {\n yield\n }\n return %x\n}", "yields 0 values for 1 results"},
      {FN "  %1 : int = prim::If(%c) {\n yield 1\n } {\n yield %x\n }\n return %x\n}", "yielded value 0 is Tensor where int is declared"},
      {FN "  %1 : int = prim::Loop(%n, true, 1) {\n ^(%i : int)\n yield true\n }\n return %x\n}", "a Loop is"},
      {FN "  %1 : int = prim::Loop(%n, true, 1) {\n ^(%i : int, %a : int)\n yield %a, %i\n }\n return %x\n}", "yields a bool first"},
      {FN "  fst::group() {\n yield\n }\n return %x\n}", "only from `fused` on"},
      {HEAD "function \"g\" imported (%a : f32[s0], %b : int) -> (int) { return %b }\n"
            "function \"f\" imported (%x : Tensor) -> () { %1 : int = prim::CallFunction[name=\"g\"](%x) return }", "\"g\" is called without its argument 1"},
      {HEAD "function \"g\" imported (%a : f32[s0]) -> (f32[s0]) { return %a }\n"
            "function \"f\" imported (%x : int) -> () { %1 : int = prim::CallFunction[name=\"g\"](%x) return }", "argument 0 is int where Tensor is declared"},
      {HEAD "function \"g\" imported (%a : f32[s0]) -> (f32[s0]) { return %a }\n"
            "function \"f\" imported (%x : Tensor) -> () { %1 : int = prim::CallFunction[name=\"g\"](%x) return }", "\"g\" gives Tensor where int is declared"},
      {HEAD "function \"f\" inlined (%x : Tensor) -> () { %1 : Tensor = prim::CallFunction[name=\"g\"](%x) return }", "legal only in a graph that is `imported`"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_error(cases[i].text, cases[i].expected);
}

static void test_nesting_is_bounded(void **state) {
  (void)state;
  static const char *const openers[] = {"List[", "Optional[", "Tuple["};
  for (size_t k = 0; k < 3; k++) {
    fst_text text = {0};
    fst_text_puts(&text, HEAD "function \"f\" imported (%x : ");
    for (int i = 0; i < 100000; i++) fst_text_puts(&text, openers[k]);
    expect_error(text.data, "nested too deeply");
    fst_text_deinit(&text);
  }
  fst_text text = {0};
  fst_text_puts(&text, FN "prim::Print(");
  for (int i = 0; i < 100000; i++) fst_text_putc(&text, '(');
  expect_error(text.data, "nested too deeply");
  fst_text_deinit(&text);
  fst_text_puts(&text, FN);
  for (int i = 0; i < 5000; i++) fst_text_puts(&text, "prim::If(%c) {\n");
  for (int i = 0; i < 5000; i++) fst_text_puts(&text, "yield } { yield }\n");
  fst_text_puts(&text, " return %x }");
  expect_error(text.data, "nested too deeply");
  fst_text_deinit(&text);
}

// ---- mutations -------------------------------------------------------------------------------------

static uint64_t random_next(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static void mutate(fst_text *text, uint64_t *seed) {
  static const char *const pieces[] = {"%", "{", "}", "(", ")", "[", "]", "\"", "int", "s0", "i1", "-", "?", "...", "f32[", "List[", "yield", "return", "0", "9999999999", "%0", "tensor ", "object ", "\\", "\n", "#", "//", "*", "min(", "@0:1<", "=", "None", "prim::If(%c) {", "uninit("};
  size_t at = random_next(seed) % text->len, count = 1 + random_next(seed) % 8;
  fst_text out = {0};
  fst_text_append(&out, text->data, at);
  switch (random_next(seed) % 4) {
    case 0: fst_text_putc(&out, (char)(random_next(seed) % 256)); at++; break;
    case 1: at += count; break;
    case 2: fst_text_puts(&out, pieces[random_next(seed) % (sizeof pieces / sizeof *pieces)]); break;
    default: {   // a piece from elsewhere
      size_t from = random_next(seed) % text->len, len = random_next(seed) % 40;
      if (from + len > text->len) len = text->len - from;
      fst_text_append(&out, text->data + from, len);
      break;
    }
  }
  if (at < text->len) fst_text_append(&out, text->data + at, text->len - at);
  fst_text_deinit(text);
  *text = out;
}

static int accepted;

static void fuzz_file(const char *name, const fst_text *original) {
  uint64_t seed = 88172645463325252u + original->len;
  for (int round = 0; round < 2500; round++) {
    fst_text text = {0};
    fst_text_append(&text, original->data, original->len);
    for (uint64_t k = random_next(&seed) % 3; k + 1 > 0 && text.len; k--) {
      mutate(&text, &seed);
      if (!k) break;
    }
    fst_module *m = NULL;
    fst_status status = fst_module_parse(fst_text_cstr(&text), text.len, name, &m);
    if (status) {
      assert_non_null(strstr(status->message, name));
      fst_error_free(status);
    } else {
      fst_module_destroy(m);
      check_round_trip(fst_text_cstr(&text), text.len, name);
      accepted++;
    }
    fst_text_deinit(&text);
  }
}

static void test_mutations(void **state) {
  (void)state;
  each_file(fuzz_file);
  assert_true(accepted > 100);   // the mutations are not all nonsense
}

// Every prefix of a file is refused, but for those that only lack trailing functions or blanks.
static void truncate_file(const char *name, const fst_text *text) {
  for (size_t len = 0; len < text->len; len += 7) {
    fst_module *m = NULL;
    fst_status status = fst_module_parse(text->data, len, name, &m);
    assert_true((status == NULL) == (m != NULL));
    fst_error_free(status);
    fst_module_destroy(m);
  }
}
static void test_truncations(void **state) {
  (void)state;
  each_file(truncate_file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_files), cmocka_unit_test(test_hash), cmocka_unit_test(test_defaults_are_filled), cmocka_unit_test(test_errors),
      cmocka_unit_test(test_nesting_is_bounded), cmocka_unit_test(test_mutations), cmocka_unit_test(test_truncations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
