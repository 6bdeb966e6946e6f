// Groups of typed nodes as kernels, compared as text; and the op rows' expressions, built for every dtype they take.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ir/graph.h"
#include "ir/lower.h"

static void check(fst_status status) {
  if (status) fail_msg("%s", status->message);
}

// ---- groups ----

static fst_module *parse(const char *text) {
  fst_module *module = NULL;
  check(fst_module_parse(text, strlen(text), "test", &module));
  return module;
}

// Lowers all nodes of the first function as one group whose outputs are what it returns.
static fst_status lower(const fst_graph *graph, fst_lowered *out) {
  fst_node_id nodes[16], last = fst_block_get(graph, graph->entry)->last;
  uint32_t count = 0;
  for (fst_node_id n = fst_block_get(graph, graph->entry)->first; n.id != last.id; n = fst_node_get(graph, n)->next) nodes[count++] = n;
  const fst_node *ret = fst_node_get(graph, last);
  return fst_lower_group(graph, nodes, count, ret->operands, ret->operand_count, out);
}

static void lowers(const char *function, const char *expected) {
  char text[2048];
  fst_lowered lowered;
  fst_text out = {0};
  snprintf(text, sizeof text, "firesteel.module 1\nfunction \"f\" typed %s", function);
  fst_module *module = parse(text);
  check(lower(module->functions.data[0], &lowered));
  fst_kernel_print(lowered.kernel, &out);
  assert_string_equal(fst_text_cstr(&out), expected);
  assert_int_equal(lowered.buffers.len, lowered.kernel->buffers.len);
  assert_int_equal(lowered.params.len, lowered.kernel->params.len);
  fst_text_deinit(&out);
  fst_lowered_deinit(&lowered);
  fst_module_destroy(module);
}

// Broadcasting, promotion and an alpha of 1 leave one product and one sum a point.
static void test_pointwise(void **state) {
  (void)state;
  lowers(
      "(%x : f32[4, 8]{8, 1}, %y : i64[8]{1}) -> (f32[4, 8]{8, 1}) {\n"
      "  %a : f32[4, 8]{8, 1} = aten::mul.Tensor(%x, %y)\n"
      "  %b : f32[4, 8]{8, 1} = aten::add.Tensor(%a, %x, 1)\n"
      "  return %b\n}\n",
      "kernel \"mul_add\" () {\n"
      "  buffer b0 : f32[4, 8]{8, 1} read\n"
      "  buffer b1 : i64[8]{1} read\n"
      "  buffer b2 : f32[4, 8]{8, 1} written\n"
      "  map (v0 < 4, v1 < 8) {\n"
      "    %0 : f32 = load b0[v0, v1]\n"
      "    %1 : i64 = load b1[v1]\n"
      "    %2 : f32 = convert(%1)\n"
      "    %3 : f32 = mul(%0, %2)\n"
      "    %4 : f32 = add(%3, %0)\n"
      "    b2[v0, v1] = %4\n"
      "  }\n"
      "}\n");
}

// Symbolic sizes are parameters; numbers that only the call knows too. 16-bit floats are computed wide and rounded once an op.
static void test_parameters(void **state) {
  (void)state;
  lowers(
      "(%x : f16[s0]{1}, %k : float) -> (f16[s0]{1}) {\n"
      "  %a : f16[s0]{1} = aten::mul.Scalar(%x, %k)\n"
      "  return %a\n}\n",
      "kernel \"mul\" (p0 : i64, p1 : f64) {\n"
      "  buffer b0 : f16[p0]{1} read\n"
      "  buffer b1 : f16[p0]{1} written\n"
      "  map (v0 < p0) {\n"
      "    %0 : f16 = load b0[v0]\n"
      "    %1 : f32 = convert(%0)\n"
      "    %2 : f32 = convert(p1)\n"
      "    %3 : f32 = mul(%1, %2)\n"
      "    %4 : f16 = convert(%3)\n"
      "    b1[v0] = %4\n"
      "  }\n"
      "}\n");
}

// A value that is a result and used inside is computed once; results of one shape share a statement.
static void test_shared(void **state) {
  (void)state;
  lowers(
      "(%x : f32[8]{1}) -> (f32[8]{1}, f32[8]{1}) {\n"
      "  %a : f32[8]{1} = aten::neg(%x)\n"
      "  %b : f32[8]{1} = aten::mul.Tensor(%a, %a)\n"
      "  return %a, %b\n}\n",
      "kernel \"neg_mul\" () {\n"
      "  buffer b0 : f32[8]{1} read\n"
      "  buffer b1 : f32[8]{1} written\n"
      "  buffer b2 : f32[8]{1} written\n"
      "  map (v0 < 8) {\n"
      "    %0 : f32 = load b0[v0]\n"
      "    %1 : f32 = neg(%0)\n"
      "    %2 : f32 = mul(%1, %1)\n"
      "    b1[v0] = %1\n"
      "    b2[v0] = %2\n"
      "  }\n"
      "}\n");
}

// Views of views are index maps, and what cancels is gone.
static void test_views(void **state) {
  (void)state;
  lowers(
      "(%x : f32[s0, 12, 64]{768, 64, 1}) -> (f32[12, s0, 64]{64*s0, 64, 1}) {\n"
      "  %a : f32[s0, 768]{768, 1} = aten::reshape(%x, [-1, 768])\n"
      "  %b : f32[s0, 12, 64]{768, 64, 1} = aten::reshape(%a, [-1, 12, 64])\n"
      "  %c : f32[12, s0, 64]{64, 768, 1} = aten::transpose.int(%b, 0, 1)\n"
      "  %d : f32[12, s0, 64]{64*s0, 64, 1} = aten::neg(%c)\n"
      "  return %d\n}\n",
      "kernel \"reshape_reshape_transpose_neg\" (p0 : i64, p1 : i64) {\n"
      "  buffer b0 : f32[p0, 12, 64]{768, 64, 1} read\n"
      "  buffer b1 : f32[12, p0, 64]{p1, 64, 1} written\n"
      "  map (v0 < 12, v1 < p0, v2 < 64) {\n"
      "    %0 : f32 = load b0[v1, v0, v2]\n"
      "    %1 : f32 = neg(%0)\n"
      "    b1[v0, v1, v2] = %1\n"
      "  }\n"
      "}\n");
}

// A statement of its own writes its result; what follows in the group loads it.
static void test_statements(void **state) {
  (void)state;
  lowers(
      "(%x : f32[8]{1}) -> (f32[8]{1}, f32[8]{1}) {\n"
      "  %a : f32[8]{1} = aten::neg(%x)\n"
      "  %b : f32[8]{1} = aten::cumsum(%a, 0, None)\n"
      "  %c : f32[8]{1} = aten::neg(%b)\n"
      "  return %b, %c\n}\n",
      "kernel \"neg_cumsum_neg\" () {\n"
      "  buffer b0 : f32[8]{1} read\n"
      "  buffer b1 : f32[8]{1} read written\n"
      "  buffer b2 : f32[8]{1} written\n"
      "  scan (v0 < 8) carry v1 : f32 {\n"
      "    %0 : f32 = load b0[v0]\n"
      "    %1 : f32 = sub(v1, %0)\n"
      "    first v1 = f32(0.0)\n"
      "    next v1 = %1\n"
      "    b1[v0] = v1\n"
      "  }\n"
      "  map (v2 < 8) {\n"
      "    %2 : f32 = load b1[v2]\n"
      "    %3 : f32 = neg(%2)\n"
      "    b2[v2] = %3\n"
      "  }\n"
      "}\n");
}

static void test_no_lowering(void **state) {
  (void)state;
  fst_lowered lowered;
  fst_module *module = parse("firesteel.module 1\nfunction \"f\" typed (%x : i64[8]{1}) -> (i64[8]{1}) {\n  %a : i64[8]{1} = aten::hypot(%x, %x)\n  return %a\n}\n");
  fst_status status = lower(module->functions.data[0], &lowered);
  assert_non_null(status);
  assert_non_null(strstr(status->message, "aten::hypot"));
  assert_int_equal(status->code, FST_ERR_UNSUPPORTED);
  fst_error_free(status);
  fst_lowered_deinit(&lowered);
  fst_module_destroy(module);
}

// ---- op rows ----

typedef struct { fst_kernel *k; const fst_schema *schema; fst_dtype dtype; fst_kx by_arg[16]; } operands;

static fst_kx operand(void *context, const char *name) {
  operands *o = context;
  int arg = fst_schema_arg_index(o->schema, name);
  if (arg < 0) return FST_NO_KX;
  bool is_mask = !strcmp(name, "condition") || !strcmp(name, "mask");
  if (!o->by_arg[arg].id) o->by_arg[arg] = fst_kernel_param(o->k, is_mask ? FST_BOOL : o->dtype);
  return o->by_arg[arg];
}

static bool takes_number(const char *promote, fst_dtype dtype) {
  return dtype == (!strcmp(promote, "int") ? FST_I64 : !strcmp(promote, "bool") ? FST_BOOL : FST_F64);
}

static bool takes(const char *promote, fst_dtype dtype) {
  bool is_float = fst_dtype_is_float(dtype);
  if (dtype == FST_BOOL && strcmp(promote, "bool")) return false;
  if (!strcmp(promote, "double")) return dtype == FST_F64;
  return strcmp(promote, "integral") ? is_float : !is_float;   // other rows may be of floats only
}

// Names and operand counts in the rows' texts are right, for every dtype: otherwise building asserts.
static void test_rows(void **state) {
  (void)state;
  static const fst_dtype dtypes[] = {FST_F32, FST_F64, FST_I64, FST_U8, FST_BOOL};
  int rows = 0;
  for (uint32_t op = 1; op < FST_OP_COUNT; op++) {
    const fst_op_info *row = fst_op_get((fst_op)op);
    if (!row->scalar) continue;
    rows++;
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
      const char *promote = row->promote ? row->promote : "promote";
      bool is_number = row->cls == FST_CLASS_SCALAR;
      if (is_number ? !takes_number(promote, dtypes[d]) : !takes(promote, dtypes[d])) continue;
      operands o = {.k = fst_kernel_create("row"), .schema = fst_op_schema((fst_op)op), .dtype = dtypes[d]};
      assert_int_not_equal(fst_kx_expression(o.k, row->scalar, dtypes[d], operand, &o).id, 0);
      check(fst_kernel_verify(o.k));
      fst_kernel_destroy(o.k);
    }
  }
  assert_true(rows > 300);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pointwise),  cmocka_unit_test(test_parameters),   cmocka_unit_test(test_shared), cmocka_unit_test(test_views),
      cmocka_unit_test(test_statements), cmocka_unit_test(test_no_lowering),  cmocka_unit_test(test_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
