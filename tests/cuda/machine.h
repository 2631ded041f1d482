// The machine under shim.h: runs a kernel's threads one after another on one thread of the processor.
//
// Each CUDA thread is a fiber with a stack of its own. It runs until it has to wait for others: at a shuffle for the
// lanes of its warp, at __syncthreads for its block, at a cluster's or the grid's barrier. So a launch is the same
// every time, in the order of the threads or, with `reverse`, in the opposite one: a kernel whose results depend on the
// order lacks a barrier. A wait that cannot end, because threads have returned or wait elsewhere, stops the launch with
// an error. Shared memory starts as NaN. The address sanitizer sees each block's shared memory as an allocation of its
// own; the thread sanitizer sees every CUDA thread as one, ordered by nothing but the barriers that it passes.
#pragma once

#include <stdint.h>
#include <string.h>

#include <string>
#include <type_traits>
#include <utility>

namespace shim {

struct Index {
    unsigned x, y, z;
};

struct Shape {
    Index grid, block;
    uint64_t shared;          // bytes of dynamic shared memory
    unsigned cluster, bound;  // blocks a cluster; threads a block at most, 0 if nothing is said
    bool cooperative;         // all blocks are on the machine at once
};

// ---- where the running thread is ---------------------------------------------------------

const Index& thread_index();
const Index& block_index();
const Index& block_shape();
const Index& grid_shape();
unsigned lane();
unsigned rank_in_cluster();

// ---- where it waits; `where` tells the barriers of the source from each other ------------

void block_barrier(int where);
void arrive_at_cluster();
void wait_for_cluster(int where);
void grid_barrier(int where);
void yield();

enum class Exchange { none, shuffle, ballot, match, sum };

uint64_t exchange(Exchange kind, unsigned mask, uint64_t offered, unsigned source, int where);

// ---- shared memory -----------------------------------------------------------------------

void* shared_bytes(int declaration, uint64_t size);
void* dynamic_shared();
void* of_cluster(const void* own, unsigned rank);

template <class T> T& shared_variable(int declaration) {
    return *static_cast<T*>(shared_bytes(declaration, sizeof(T)));
}

// ---- launches ----------------------------------------------------------------------------

// Null, or what went wrong.
const char* launch(const Shape& shape, void (*body)(const void*), const void* arguments, bool reverse);

template <class... A> struct Call {
    void (*kernel)(A...);
    void** arguments;  // the address of each, as cuLaunchKernel takes them

    static void run(const void* self) { static_cast<const Call*>(self)->run(std::index_sequence_for<A...>()); }
    template <size_t... I> void run(std::index_sequence<I...>) const { kernel(*static_cast<A*>(arguments[I])...); }
};

template <class... A>
const char* launch_kernel(void (*kernel)(A...), const Shape& shape, void** arguments, bool reverse) {
    const Call<A...> call{kernel, arguments};
    return launch(shape, Call<A...>::run, &call, reverse);
}

// One letter and the bytes of each parameter, such as "p8 f4 i8": pointer, float, integer, or s for a struct.
template <class... A> std::string describe(void (*)(A...)) {
    std::string text;
    ((text += std::string(text.empty() ? "" : " ") +
              (std::is_pointer_v<A> ? 'p' : std::is_floating_point_v<A> ? 'f' : std::is_integral_v<A> ? 'i' : 's') +
              std::to_string(sizeof(A))),
     ...);
    return text;
}

}  // namespace shim
