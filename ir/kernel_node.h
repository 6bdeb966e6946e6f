// Which nodes become kernels.
#ifndef FST_IR_KERNEL_NODE_H
#define FST_IR_KERNEL_NODE_H

#include "ir/graph.h"

// Has the op a lowering, and are its operands and results such that it can be used: tensors of known dtype,
// rank, sizes and strides, lists whose items are known, numbers?
bool fst_node_is_kernel(const fst_graph *graph, fst_node_id node);
// A ListConstruct that only names the operands of kernels and views: no list is ever made.
bool fst_list_is_literal(const fst_graph *graph, fst_node_id node);

#endif
