#include "codegen/contract/contract.h"

bool fst_contract_emit(fst_emit *e, const fst_kstmt *stmt) {
  (void)e;
  (void)stmt;
  return false;
}
