// What is known of one slot of the state when a method is entered: comparing and forgetting.
#ifndef FST_DRIVER_SLOT_FORM_H
#define FST_DRIVER_SLOT_FORM_H

#include "passes/specialize.h"

// The sizes of forms are constants or unknown; `home` is the graph whose size table spells them.

// A slot whose forms are too many: its value is not told apart, then neither are its sizes.
fst_slot_form fst_slot_form_loosen(const fst_graph *home, fst_slot_form form);
// Is every value of which `form` holds also one of which `general` holds?
bool fst_slot_form_covers(const fst_graph *home, fst_slot_form general, fst_slot_form form);

#endif
