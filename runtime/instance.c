// Instances: their state, and the contexts that calls lease.
#include <stdlib.h>

#include "runtime/model.h"

fst_status fst_model_create(fst_program *program, fst_model **out) {
  fst_model *m = calloc(1, sizeof *m);
  if (!m) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  if (pthread_mutex_init(&m->lock, NULL) != 0) {
    free(m);
    return FST_FAIL(FST_ERR_RESOURCE, "cannot make a lock");
  }
  if (pthread_mutex_init(&m->idle_lock, NULL) != 0) {
    pthread_mutex_destroy(&m->lock);
    free(m);
    return FST_FAIL(FST_ERR_RESOURCE, "cannot make a lock");
  }
  fst_program_retain(program);
  m->program = program;
  *out = m;
  return NULL;
}

fst_status fst_model_grow_state(fst_model *m) {
  fst_program *p = m->program;
  fst_status status = NULL;
  fst_copy copy;
  fst_copy_init(&copy, false);
  pthread_mutex_lock(&p->lock);
  if (m->state_count < p->slot_count) {
    fst_val *state = realloc(m->state, p->slot_count * sizeof *state);
    if (state) m->state = state;
    else copy.failed = true;
    // One copying job, so that slots that share a list or a storage go on sharing it.
    while (!copy.failed && m->state_count < p->slot_count) {
      const fst_slot *slot = &p->slots[m->state_count];
      fst_val val = fst_copy_val(&copy, &slot->artifact->consts[slot->initial]);
      if (!copy.failed) m->state[m->state_count++] = val;
    }
  }
  pthread_mutex_unlock(&p->lock);
  if (copy.failed) status = FST_FAIL(FST_ERR_RESOURCE, "out of memory for the state of the model");
  fst_copy_deinit(&copy);
  return status;
}

fst_ctx *fst_model_lease(fst_model *m) {
  pthread_mutex_lock(&m->idle_lock);
  fst_ctx *ctx = m->idle;
  if (ctx) m->idle = ctx->next;
  pthread_mutex_unlock(&m->idle_lock);
  if (!ctx) ctx = fst_ctx_create();
  if (ctx) ctx->owner = m;
  return ctx;
}

void fst_model_return(fst_model *m, fst_ctx *ctx) {
  fst_ctx_end(ctx);
  uint64_t seen = __atomic_load_n(&m->program->arena_bytes, __ATOMIC_RELAXED);
  while (ctx->arena_bytes > seen &&
         !__atomic_compare_exchange_n(&m->program->arena_bytes, &seen, ctx->arena_bytes, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  pthread_mutex_lock(&m->idle_lock);
  ctx->next = m->idle;
  m->idle = ctx;
  pthread_mutex_unlock(&m->idle_lock);
}

static fst_status state_copy(fst_model *from, fst_model *to) {
  if (!from->state_count) return NULL;
  to->state = calloc(from->state_count, sizeof *to->state);
  if (!to->state) return FST_FAIL(FST_ERR_RESOURCE, "out of memory for the state of the model");
  fst_copy copy;
  fst_copy_init(&copy, false);
  while (!copy.failed && to->state_count < from->state_count) {
    fst_val val = fst_copy_val(&copy, &from->state[to->state_count]);
    if (!copy.failed) to->state[to->state_count++] = val;
  }
  fst_status status = copy.failed ? FST_FAIL(FST_ERR_RESOURCE, "out of memory for the state of the model") : NULL;
  fst_copy_deinit(&copy);
  return status;
}

fst_failure *fst_clone(fst_model *model, fst_model **out) {
  if (!model || !out) return fst_failure_make(FST_FAILED_INVALID, "fst_clone: model and out_model must be given");
  fst_model *copy = NULL;
  fst_status status = fst_model_create(model->program, &copy);
  if (!status) {
    pthread_mutex_lock(&model->lock);
    status = state_copy(model, copy);
    pthread_mutex_unlock(&model->lock);
  }
  if (status) fst_close(copy);
  else *out = copy;
  return fst_failure_of(status);
}

void fst_close(fst_model *m) {
  if (!m) return;
  while (m->idle) {
    fst_ctx *next = m->idle->next;
    fst_ctx_destroy(m->idle);
    m->idle = next;
  }
  for (size_t i = 0; i < m->state_count; i++) fst_val_release(&m->state[i]);
  free(m->state);
  pthread_mutex_destroy(&m->idle_lock);
  pthread_mutex_destroy(&m->lock);
  fst_program_release(m->program);
  free(m);
}
