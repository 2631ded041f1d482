// Fibers and barriers; machine.h says what they are for. Compiled without the thread sanitizer's instrumentation, which
// would take the scheduler's own reads and writes for the kernel's: it is told of the fibers and barriers by hand.
#include "machine.h"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <list>
#include <map>
#include <vector>

#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(SHIM_THREAD_SANITIZER)
#include <sanitizer/tsan_interface.h>
#endif

namespace shim {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t STACK = 256 << 10;
#else
constexpr size_t STACK = 64 << 10;
#endif

enum class State { ready, yielded, at_warp, at_block, at_cluster, at_grid, done };
const char* const STATES[] = {"can run", "spins", "waits for its warp", "waits for its block",
                              "waits for its cluster", "waits for the grid", "has returned"};

struct Block;

struct Thread {
    Index index;
    Block* block;
    unsigned lane;
    State state = State::ready;
    int where = 0;     // the barrier of the source that it waits at
    bool odd_block = false, odd_cluster = false, odd_grid = false;  // how many barriers of each kind it has met
    bool arrived = false;  // at its cluster's
    // what it offers to its warp, and what it gets
    Exchange exchange = Exchange::none;
    unsigned mask = 0, source = 0;
    uint64_t offered = 0, received = 0;
    // its stack
    char* stack = nullptr;
    void* fake_stack = nullptr;  // the address sanitizer's
    void* fiber = nullptr;       // the thread sanitizer's
#if defined(__x86_64__)
    void* pointer = nullptr;
#else
    ucontext_t context;
#endif
};

struct Block {
    Index index;
    unsigned rank;   // in its cluster, which starts at `cluster`
    Block* cluster;
    char at_cluster[2];  // of the first block of a cluster: addresses for its barrier
    std::vector<Thread> threads;
    std::map<int, std::vector<char>> variables;  // __shared__ variables, by their declarations
    std::vector<char> dynamic;                   // extern __shared__
    std::vector<char> arrivals;                  // an address for each warp's barrier and, last, two for the block's
};

struct Machine {
    Shape shape;
    void (*body)(const void*);
    const void* arguments;
    bool reverse;
    Thread* running;
    std::string error;
    char at_grid[2], launched, finished;  // addresses that stand for barriers
    std::list<std::vector<Block>> kept;            // until the launch ends, where the thread sanitizer looks on
    std::vector<char*> free_stacks, used_stacks;
    const void* home_stack;
    size_t home_size;
    void* home_fiber;
#if defined(__x86_64__)
    void* home;
#else
    ucontext_t home;
#endif
};

static Machine machine;

#if defined(SHIM_THREAD_SANITIZER)
constexpr bool KEEP = true;  // another thread in the same memory would look like a race
static void arrive(void* barrier) { __tsan_release(barrier); }
static void depart(void* barrier) { __tsan_acquire(barrier); }
#else
constexpr bool KEEP = false;
static void arrive(void*) {}
static void depart(void*) {}
#endif

// ---- switching between stacks ------------------------------------------------------------

#if defined(__x86_64__)
extern "C" void shim_switch(void** from, void* to);
asm(".text\n"
    "shim_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n");
#endif

static void leave(State state) {
    Thread& self = *machine.running;
    self.state = state;
#if defined(__SANITIZE_ADDRESS__)
    void** const fake_stack = state == State::done ? nullptr : &self.fake_stack;
    __sanitizer_start_switch_fiber(fake_stack, machine.home_stack, machine.home_size);
#endif
#if defined(SHIM_THREAD_SANITIZER)
    __tsan_switch_to_fiber(machine.home_fiber, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__x86_64__)
    shim_switch(&self.pointer, machine.home);
#else
    swapcontext(&self.context, &machine.home);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(self.fake_stack, &machine.home_stack, &machine.home_size);
#endif
}

static void thread_main() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &machine.home_stack, &machine.home_size);
#endif
    depart(&machine.launched);
    machine.body(machine.arguments);
    arrive(&machine.finished);
    leave(State::done);
    abort();  // nobody goes back to a thread that has returned
}

static void enter(Thread& thread) {
    machine.running = &thread;
#if defined(__SANITIZE_ADDRESS__)
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, thread.stack, STACK);
#endif
#if defined(SHIM_THREAD_SANITIZER)
    __tsan_switch_to_fiber(thread.fiber, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__x86_64__)
    shim_switch(&machine.home, thread.pointer);
#else
    swapcontext(&machine.home, &thread.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

static char* new_stack() {
    if (machine.free_stacks.empty()) {
        void* memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            perror("no memory for the stack of a thread");
            abort();
        }
        return static_cast<char*>(memory);
    }
    char* stack = machine.free_stacks.back();
    machine.free_stacks.pop_back();
    return stack;
}

static void prepare(Thread& thread) {
    thread.stack = new_stack();
#if defined(SHIM_THREAD_SANITIZER)
    thread.fiber = __tsan_create_fiber(0);
#endif
#if defined(__x86_64__)
    void** top = reinterpret_cast<void**>(thread.stack + STACK) - 2;  // thread_main finds rsp as after a call
    *top = reinterpret_cast<void*>(&thread_main);
    thread.pointer = top - 6;  // the six registers that shim_switch pops
#else
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack;
    thread.context.uc_stack.ss_size = STACK;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, thread_main, 0);
#endif
}

static void dispose(Thread& thread) {
#if defined(SHIM_THREAD_SANITIZER)
    __tsan_destroy_fiber(thread.fiber);
#endif
    (KEEP ? machine.used_stacks : machine.free_stacks).push_back(thread.stack);
}

// ---- going on, and not -------------------------------------------------------------------

template <class Visit> static void in_order(size_t n, Visit visit) {
    for (size_t i = 0; i < n; ++i) visit(machine.reverse ? n - 1 - i : i);
}

static std::string name(const Thread& t) {
    const Index b = t.block->index, i = t.index;
    char text[120];
    snprintf(text, sizeof text, "thread (%u, %u, %u) of block (%u, %u, %u)", i.x, i.y, i.z, b.x, b.y, b.z);
    return text;
}

static void fail(const std::string& message) {
    if (machine.error.empty()) machine.error = message;
}

static uint64_t received(const Thread& t, const Thread* lanes, unsigned mask) {
    if (t.exchange == Exchange::shuffle) return t.source < 32 && mask >> t.source & 1 ? lanes[t.source].offered : ~0ull;
    uint64_t result = 0;
    for (unsigned l = 0; l < 32 && t.exchange != Exchange::none; ++l) {
        if (!(mask >> l & 1)) continue;
        const uint64_t offered = lanes[l].offered;
        if (t.exchange == Exchange::sum) result += offered;
        if (t.exchange == Exchange::ballot) result |= uint64_t(offered != 0) << l;
        if (t.exchange == Exchange::match) result |= uint64_t(offered == t.offered) << l;
    }
    return result;
}

// Lets the lanes go on that have all met at the same exchange, and says whether there were any.
static bool release_lanes(Thread* lanes, unsigned count) {
    bool any = false;
    for (unsigned first = 0; first < count; ++first) {
        const Thread& head = lanes[first];
        if (head.state != State::at_warp) continue;
        const unsigned mask = count == 32 ? head.mask : head.mask & ((1u << count) - 1);
        if (!(mask >> first & 1)) {
            fail(name(head) + " is not in the mask of its own warp operation");
            return false;
        }
        const auto with_head = [&](const Thread& t) {
            return t.state == State::at_warp && t.mask == head.mask && t.where == head.where;
        };
        bool all = true;
        for (unsigned l = 0; l < count; ++l) all &= !(mask >> l & 1) || with_head(lanes[l]);
        if (!all) continue;
        for (unsigned l = 0; l < count; ++l)
            if (mask >> l & 1) lanes[l].received = received(lanes[l], lanes, mask);
        for (unsigned l = 0; l < count; ++l)
            if (mask >> l & 1) lanes[l].state = State::ready;
        any = true;
    }
    return any;
}

// Runs a warp until no lane of it can go on alone.
static void run_warp(Thread* lanes, unsigned count) {
    do {
        in_order(count, [&](size_t l) {
            if (lanes[l].state == State::ready && machine.error.empty()) enter(lanes[l]);
        });
    } while (machine.error.empty() && release_lanes(lanes, count));
}

// Lets all threads of the blocks go on if all of them wait in this state, and says whether they did.
static bool release(Block* blocks, size_t count, State state) {
    const Thread& first = blocks[0].threads[0];
    for (size_t b = 0; b < count; ++b)
        for (const Thread& t : blocks[b].threads) {
            if (t.state != state) return false;
            if (t.where != first.where) {
                fail(name(first) + " and " + name(t) + " wait at different barriers of the source");
                return false;
            }
        }
    for (size_t b = 0; b < count; ++b)
        for (Thread& t : blocks[b].threads) t.state = State::ready;
    return true;
}

// Runs a block until no thread of it can go on alone, and says whether any could.
static bool run_block(Block& block) {
    const size_t count = block.threads.size();
    bool any = false;
    for (Thread& t : block.threads)
        if (t.state == State::yielded) t.state = State::ready;
    do {
        for (const Thread& t : block.threads) any |= t.state == State::ready;
        in_order((count + 31) / 32, [&](size_t w) {
            run_warp(&block.threads[32 * w], unsigned(count - 32 * w < 32 ? count - 32 * w : 32));
        });
    } while (machine.error.empty() && release(&block, 1, State::at_block));
    return any;
}

static std::string where_all_are(const std::vector<Block>& blocks) {
    struct Group {
        int count;
        std::string first;
    };
    std::map<std::pair<State, int>, Group> groups;
    for (const Block& b : blocks)
        for (const Thread& t : b.threads) {
            Group& group = groups[{t.state, t.state == State::done ? 0 : t.where}];
            if (group.count++ == 0) group.first = name(t);
        }
    std::string text;
    for (const auto& [state, group] : groups) {
        const std::string more = group.count > 1 ? " and " + std::to_string(group.count - 1) + " more" : "";
        text += (text.empty() ? "" : "; ") + group.first + more + ": " + STATES[int(state.first)];
    }
    return text;
}

// Runs blocks that are on the machine at the same time until all have returned.
static void run_resident(std::vector<Block>& blocks) {
    constexpr int PATIENCE = 10000;  // turns in which threads do nothing but spin
    const unsigned cluster = machine.shape.cluster;
    for (int spins = 0; spins < PATIENCE; ++spins) {
        bool any = false, left = false;
        in_order(blocks.size(), [&](size_t b) { any |= run_block(blocks[b]); });
        bool released = release(blocks.data(), blocks.size(), State::at_grid);
        for (size_t b = 0; b < blocks.size(); b += cluster) released |= release(&blocks[b], cluster, State::at_cluster);
        for (const Block& b : blocks)
            for (const Thread& t : b.threads) left |= t.state != State::done;
        if (!left || !machine.error.empty()) return;
        if (!any && !released) return fail("a barrier that not all threads reach: " + where_all_are(blocks));
        if (released) spins = 0;
    }
    fail("threads spin for ever: " + where_all_are(blocks));
}

// ---- launches ----------------------------------------------------------------------------

static uint64_t count(Index shape) { return uint64_t(shape.x) * shape.y * shape.z; }

static Index unravel(uint64_t i, Index shape) {
    return {unsigned(i % shape.x), unsigned(i / shape.x % shape.y), unsigned(i / shape.x / shape.y)};
}

static const char* refusal(const Shape& shape) {
    if (!count(shape.grid) || !count(shape.block)) return "the grid or the block is empty";
    if (shape.grid.y > 65535 || shape.grid.z > 65535 || shape.grid.x > 0x7fffffff) return "the grid is too large";
    if (count(shape.block) > 1024) return "a block has 1024 threads at most";
    if (shape.bound && count(shape.block) > shape.bound) return "more threads than __launch_bounds__ allows";
    if (shape.grid.x % shape.cluster) return "the grid is no multiple of the cluster";
    if (shape.shared > 227 << 10) return "no GPU gives a block this much shared memory";
    return nullptr;
}

static void make(Block& block, uint64_t number, unsigned rank) {
    const uint64_t threads = count(machine.shape.block);
    block.index = unravel(number, machine.shape.grid);
    block.rank = rank;
    block.cluster = &block - rank;
    block.dynamic.assign(machine.shape.shared, char(0xff));
    block.arrivals.resize((threads + 31) / 32 + 2);
    block.threads.resize(threads);
    for (uint64_t t = 0; t < threads; ++t) {
        Thread& thread = block.threads[t];
        thread.index = unravel(t, machine.shape.block);
        thread.block = &block;
        thread.lane = unsigned(t % 32);
        prepare(thread);
    }
}

const char* launch(const Shape& shape, void (*body)(const void*), const void* arguments, bool reverse) {
    if (const char* refused = refusal(shape)) return refused;
    machine.error.clear();
    machine.shape = shape;
    machine.body = body;
    machine.arguments = arguments;
    machine.reverse = reverse;
#if defined(SHIM_THREAD_SANITIZER)
    machine.home_fiber = __tsan_get_current_fiber();
#endif
    const uint64_t resident = shape.cooperative ? count(shape.grid) : shape.cluster;
    in_order(count(shape.grid) / resident, [&](size_t group) {
        if (!machine.error.empty()) return;
        std::vector<Block> blocks(resident);
        for (uint64_t b = 0; b < resident; ++b) make(blocks[b], group * resident + b, unsigned(b % shape.cluster));
        arrive(&machine.launched);
        run_resident(blocks);
        for (Block& block : blocks)
            for (Thread& thread : block.threads) dispose(thread);
        if (KEEP) machine.kept.push_back(std::move(blocks));
    });
    depart(&machine.finished);
    machine.kept.clear();
    machine.free_stacks.insert(machine.free_stacks.end(), machine.used_stacks.begin(), machine.used_stacks.end());
    machine.used_stacks.clear();
    return machine.error.empty() ? nullptr : machine.error.c_str();
}

// ---- what a thread calls -----------------------------------------------------------------

static Thread& self() { return *machine.running; }

const Index& thread_index() { return self().index; }
const Index& block_index() { return self().block->index; }
const Index& block_shape() { return machine.shape.block; }
const Index& grid_shape() { return machine.shape.grid; }
unsigned lane() { return self().lane; }
unsigned rank_in_cluster() { return self().block->rank; }

static void wait(State state, int where, void* barrier) {
    self().where = where;
    arrive(barrier);
    leave(state);
    depart(barrier);
}

// Two addresses in turns: who comes back late from one barrier must not seem to have met those who wait at the next.
void block_barrier(int where) {
    Thread& thread = self();
    thread.odd_block = !thread.odd_block;
    wait(State::at_block, where, &thread.block->arrivals.back() - thread.odd_block);
}

void grid_barrier(int where) {
    Thread& thread = self();
    thread.odd_grid = !thread.odd_grid;
    wait(State::at_grid, where, &machine.at_grid[thread.odd_grid]);
}

// What it writes between the two is for itself alone.
void arrive_at_cluster() {
    Thread& thread = self();
    if (thread.arrived) fail(name(thread) + " arrives twice at its cluster's barrier");
    thread.arrived = true;
    thread.odd_cluster = !thread.odd_cluster;
    arrive(&thread.block->cluster->at_cluster[thread.odd_cluster]);
}

void wait_for_cluster(int where) {
    Thread& thread = self();
    if (!thread.arrived) fail(name(thread) + " waits at its cluster's barrier without having arrived");
    thread.arrived = false;
    thread.where = where;
    leave(State::at_cluster);
    depart(&thread.block->cluster->at_cluster[thread.odd_cluster]);
}

void yield() { leave(State::yielded); }

uint64_t exchange(Exchange kind, unsigned mask, uint64_t offered, unsigned source, int where) {
    Thread& thread = self();
    thread.exchange = kind;
    thread.mask = mask;
    thread.offered = offered;
    thread.source = source;
    wait(State::at_warp, where, &thread.block->arrivals[(&thread - thread.block->threads.data()) / 32]);
    return thread.received;
}

void* shared_bytes(int declaration, uint64_t size) {
    std::vector<char>& bytes = self().block->variables[declaration];
    if (bytes.empty()) {
        bytes.assign(size, char(0xff));
        arrive(&bytes);
    }
    depart(&bytes);
    return bytes.data();
}

void* dynamic_shared() { return self().block->dynamic.data(); }

void* of_cluster(const void* own, unsigned rank) {
    Block& block = *self().block;
    return block.cluster[rank].dynamic.data() + (static_cast<const char*>(own) - block.dynamic.data());
}

}  // namespace shim
