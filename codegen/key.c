// The bytes that tell kernels apart.
#include "codegen/key.h"

static void key_u64(fst_text *key, uint64_t value) { fst_text_append(key, (const char *)&value, sizeof value); }

static void key_exprs(fst_text *key, const fst_kx *list, uint32_t count) {
  key_u64(key, count);
  for (uint32_t i = 0; i < count; i++) key_u64(key, list[i].id);
}

static void key_numbers(fst_text *key, const uint32_t *list, uint32_t count) {
  key_u64(key, count);
  for (uint32_t i = 0; i < count; i++) key_u64(key, list[i]);
}

static void key_statement(fst_text *key, const fst_kstmt *stmt) {
  key_u64(key, (uint64_t)stmt->kind << 8 | (uint64_t)stmt->combine << 1 | stmt->descending);
  key_numbers(key, stmt->vars, stmt->var_count);
  key_exprs(key, stmt->extents, stmt->var_count);
  key_u64(key, stmt->store_count);
  for (uint32_t i = 0; i < stmt->store_count; i++) {
    const fst_kstore *store = &stmt->stores[i];
    key_u64(key, (uint64_t)store->buffer << 32 | store->value.id);
    key_exprs(key, store->indices, store->index_count);
  }
  key_numbers(key, stmt->carries, stmt->carry_count);
  key_exprs(key, stmt->carry_init, stmt->carry_count);
  key_exprs(key, stmt->carry_next, stmt->carry_count);
  key_u64(key, (uint64_t)stmt->condition.id << 32 | stmt->count_buffer);
}

void fst_kernel_key(const fst_kernel *k, const void *const *constants, fst_text *key) {
  key_u64(key, k->exprs.len);
  for (size_t i = 1; i < k->exprs.len; i++) {
    const fst_kx_data *data = &k->exprs.data[i];
    key_u64(key, (uint64_t)data->kind << 24 | (uint64_t)data->dtype << 16 | (uint64_t)data->prim << 8 | (uint64_t)data->reduce);
    key_u64(key, data->index);
    key_u64(key, data->bits);
    key_exprs(key, data->args, data->arg_count);
    key_numbers(key, data->vars, data->var_count);
    key_exprs(key, data->extents, data->var_count);
  }
  for (size_t i = 0; i < k->buffers.len; i++) {
    const fst_kbuf *buffer = &k->buffers.data[i];
    bool is_constant = constants && constants[i];
    key_u64(key, (uint64_t)buffer->dtype << 8 | (uint64_t)buffer->is_written << 2 | (uint64_t)buffer->is_read << 1 | is_constant);
    key_exprs(key, buffer->sizes, buffer->rank);
    key_exprs(key, buffer->strides, buffer->rank);
  }
  for (size_t i = 0; i < k->params.len; i++) key_u64(key, k->params.data[i]);
  key_u64(key, k->vars.len);
  for (size_t i = 0; i < k->vars.len; i++) key_u64(key, k->vars.data[i]);
  key_u64(key, k->stmts.len);
  for (size_t i = 0; i < k->stmts.len; i++) key_statement(key, &k->stmts.data[i]);
}

fst_status fst_kernel_check_dtypes(const fst_kernel *k) {
  for (size_t i = 1; i < k->exprs.len; i++)
    if (fst_dtype_kind_of(k->exprs.data[i].dtype) == FST_KIND_COMPLEX || k->exprs.data[i].dtype == FST_DTYPE_UNKNOWN)
      return FST_FAIL(FST_ERR_UNSUPPORTED, "kernel %s computes with %s, which has no native form", k->name, fst_dtype_name(k->exprs.data[i].dtype));
  for (size_t i = 0; i < k->buffers.len; i++)
    if (fst_dtype_kind_of(k->buffers.data[i].dtype) == FST_KIND_COMPLEX)
      return FST_FAIL(FST_ERR_UNSUPPORTED, "kernel %s has a buffer of %s, which has no native form", k->name, fst_dtype_name(k->buffers.data[i].dtype));
  return NULL;
}
