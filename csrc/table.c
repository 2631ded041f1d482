/* The table of one precision on one instruction set. */

#include "simd.h"

#include "kernels.h"

#define ENTRY(name, parameters, names) NAME(name),
const IF32(Table_f32, Table_f64) NAME(table) = {KERNELS(ENTRY, real)};
