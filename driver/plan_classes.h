// The classes of a module in a plan, whether code uses them or not: objects and enum members carry class numbers, and
// may travel between artifacts that were compiled from one archive at different times.
#ifndef FST_DRIVER_PLAN_CLASSES_H
#define FST_DRIVER_PLAN_CLASSES_H

#include "base/plan_write.h"
#include "ir/module.h"

// To be called on empty tables: equal modules then give equal numbers.
void fst_plan_classes_add(fst_plan_tables *tables, const fst_module *module);

#endif
