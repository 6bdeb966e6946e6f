// Ops that only libtorch has: its library is opened when the first of them runs, never before.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/buf.h"
#include "runtime/model.h"

static int32_t host_dict_put(fst_dict_obj *dict, const fst_val *key, const fst_val *val) {
  fst_val old;
  if (!fst_dict_put(dict, key, val, &old)) return 1;
  fst_val_release(&old);
  return 0;
}

static int32_t host_list_assign(fst_list_obj *list, int64_t count, const fst_val *items) {
  if (!fst_list_reserve(list, count)) return 1;
  for (int64_t i = 0; i < count; i++) fst_val_retain(&items[i]);
  for (int64_t i = 0; i < list->len; i++) fst_val_release(&list->items[i]);
  if (count) memcpy(list->items, items, (size_t)count * sizeof *items);
  list->len = count;
  return 0;
}

static const fst_bridge_host host = {
  .version = FST_BRIDGE_VERSION, .abi_version = FST_ABI_VERSION,
  .retain = fst_obj_retain, .release = fst_obj_release,
  .storage_wrap = fst_storage_wrap, .tensor_make = fst_tensor_make, .str_make = fst_str_make, .complex_make = fst_complex_make,
  .list_make = fst_list_make, .tuple_make = fst_tuple_make, .dict_make = fst_dict_make, .dict_put = host_dict_put,
  .list_assign = host_list_assign, .opaque_make = fst_opaque_make,
};

const fst_bridge_host *fst_bridge_host_table(void) { return &host; }

static fst_status bridge_open(fst_program *p, fst_bridge_call_fn *out) {
  fst_buf path = {0};
  char *folder = p->bridge_path ? NULL : fst_library_folder();
  if (p->bridge_path) fst_buf_puts(&path, p->bridge_path);
  else fst_buf_printf(&path, "%s/libfiresteel_torch.so", folder ? folder : ".");
  free(folder);
  fst_status status = NULL;
  // Never closed: libtorch does not survive being unloaded.
  void *library = path.failed ? NULL : dlopen(path.data, RTLD_NOW | RTLD_LOCAL);
  union { void *at; fst_bridge_call_fn call; } symbol = {.at = library ? dlsym(library, FST_BRIDGE_CALL) : NULL};
  if (symbol.at) {
    *out = symbol.call;
  } else {
    const char *why = dlerror();
    status = FST_FAIL(FST_ERR_NOT_FOUND, "cannot open the bridge to libtorch (%s): %s", fst_buf_text(&path), why ? why : "out of memory");
  }
  fst_buf_deinit(&path);
  return status;
}

static fst_status bridge_get(fst_program *p, fst_bridge_call_fn *out) {
  *out = __atomic_load_n(&p->bridge_call, __ATOMIC_ACQUIRE);
  if (*out) return NULL;
  pthread_mutex_lock(&p->lock);
  fst_status status = p->bridge_call ? NULL : bridge_open(p, out);
  if (p->bridge_call) *out = p->bridge_call;
  else if (!status) __atomic_store_n(&p->bridge_call, *out, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&p->lock);
  return status;
}

// The op may drop items of a list or dict that generated code still holds.
static void items_keep(fst_ctx *ctx, const fst_val *val) {
  if (!fst_val_is_obj(val)) return;
  const fst_val *items = NULL;
  int64_t count = 0;
  if (val->tag == FST_TAG_LIST) {
    items = ((fst_list_obj *)val->p)->items;
    count = ((fst_list_obj *)val->p)->len;
  } else if (val->tag == FST_TAG_DICT) {
    items = ((fst_dict_obj *)val->p)->values;
    count = ((fst_dict_obj *)val->p)->used;
  }
  for (int64_t i = 0; i < count; i++) {
    fst_val_retain(&items[i]);
    fst_ctx_keep_val(ctx, &items[i]);
  }
}

int32_t fst_bridge_run(fst_ctx *ctx, int64_t op, int64_t count, const fst_val *vals, int64_t results, fst_val *out) {
  fst_model *model = ctx->owner;
  const char *schema = fst_plan_text(ctx->plan, ctx->plan->fallbacks[op]);
  fst_bridge_call_fn call;
  fst_status status = bridge_get(model->program, &call);
  if (status) {
    fst_ctx_raise_text(ctx, "RuntimeError", 0, status->message, strlen(status->message));
    fst_error_free(status);
    return 1;
  }
  __atomic_fetch_add(&ctx->bound->fallback_calls[op], 1, __ATOMIC_RELAXED);
  for (int64_t i = 0; i < count; i++) items_keep(ctx, &vals[i]);
  char *error = NULL;
  if (call(&host, schema, count, vals, results, out, &error) != 0) {
    const char *text = error ? error : "libtorch refused the op without saying why";
    fst_ctx_raise_text(ctx, "RuntimeError", 0, text, strlen(text));
    free(error);
    return 1;
  }
  for (int64_t i = 0; i < results; i++) fst_ctx_keep_val(ctx, &out[i]);
  return 0;
}
