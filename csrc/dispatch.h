/* What Cython sees: every kernel as kernel_<name>(bits, ...), where bits is 32 or 64 and the arrays are
   void, and the choice of the instruction set that they run on. */
#ifndef MINIDL_DISPATCH_H
#define MINIDL_DISPATCH_H

#include "kernels.h"

#define MINIDL_UNWRAP(...) __VA_ARGS__
#define MINIDL_CALL(name, parameters, names) int kernel_##name(int bits, MINIDL_UNWRAP parameters);
KERNELS(MINIDL_CALL, void)

/* The instruction sets of this build, lowest first: a name, or NULL past the last. */
const char *isa_name(int index);
int isa_supported(int index);
/* Before any kernel is called, and while none runs. */
void isa_select(int index);

const char *compiler_name(void);

#endif
