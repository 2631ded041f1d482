#include "dispatch.h"

#define DECLARE(isa)                                                                                      \
    extern const Table_f32 table_f32_##isa;                                                               \
    extern const Table_f64 table_f64_##isa;

typedef struct {
    const char *name;
    int (*supported)(void);
    const Table_f32 *f32;
    const Table_f64 *f64;
} Isa;

#if defined(MINIDL_X86_LEVELS)

#include <cpuid.h>

static int is_before_zen5(void)
{
    unsigned name, version, unused;
    return __get_cpuid(0, &unused, &name, &unused, &unused) && name == signature_AMD_ebx &&
           __get_cpuid(1, &version, &unused, &unused, &unused) && (version >> 8 & 0xf) + (version >> 20 & 0xff) < 0x1a;
}

/* The same features as setup.py hands to the compiler for each level. */
static int supports_v2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
}

static int supports_v3(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int supports_v4(void)
{
    __builtin_cpu_init();
    return supports_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

DECLARE(v2)
DECLARE(v3)
DECLARE(v4)
static const Isa isas[] = {{"x86-64-v2", supports_v2, &table_f32_v2, &table_f64_v2},
                           {"x86-64-v3", supports_v3, &table_f32_v3, &table_f64_v3},
                           {"x86-64-v4", supports_v4, &table_f32_v4, &table_f64_v4}};

#else

static int is_before_zen5(void) { return 0; }

static int always(void) { return 1; }

DECLARE(plain)
static const Isa isas[] = {{"plain", always, &table_f32_plain, &table_f64_plain}};

#endif

#define ISAS ((int)(sizeof isas / sizeof isas[0]))

static const Isa *selected = &isas[0];

const char *isa_name(int index) { return index < ISAS ? isas[index].name : 0; }

int isa_supported(int index) { return isas[index].supported(); }

int before_zen5;

void isa_select(int index)
{
    selected = &isas[index];
    before_zen5 = is_before_zen5();
}

const char *compiler_name(void)
{
#if defined(__VERSION__) && defined(__clang__)
    return __VERSION__;
#elif defined(__VERSION__)
    return "GCC " __VERSION__;
#elif defined(_MSC_VER)
    return "MSVC";
#else
    return "unknown";
#endif
}

#define DISPATCH(name, parameters, names)                                                                 \
    int kernel_##name(int bits, MINIDL_UNWRAP parameters)                                                 \
    {                                                                                                     \
        return bits == 32 ? selected->f32->name names : selected->f64->name names;                        \
    }
KERNELS(DISPATCH, void)
