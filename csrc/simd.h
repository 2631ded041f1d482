/* One vector type and the elementary functions, for the instruction set that a file is compiled for.

   The build compiles every kernel file once per precision and instruction set, with
       MINIDL_REAL   32 or 64                 real is float or double
       MINIDL_ISA    v2, v3, v4 or plain      NAME(exp) is exp_f32_v3, exp_f64_v4, ...

   vec holds LANES reals and ivec as many integers of the same width. They are GCC and Clang vector
   types: a + b, a * b and -a work on whole vectors, also with a scalar. A compiler without such types
   gets LANES 1 and the same sources. Products and sums are fused where the machine can
   (-ffp-contract=fast), and where it matters which, vfma says so. Integers have no sign: the exponent
   of a lane that is not selected may overflow, and only unsigned it is allowed to. */
#ifndef MINIDL_SIMD_H
#define MINIDL_SIMD_H

#include <fenv.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h> /* the other takes a third of a second to read */
#elif defined(__aarch64__) && defined(__GNUC__)
#include <arm_neon.h>
#endif

#define MINIDL_PASTE(x, bits, isa) x##_f##bits##_##isa
#define MINIDL_SUFFIX(x, bits, isa) MINIDL_PASTE(x, bits, isa)
#define NAME(x) MINIDL_SUFFIX(x, MINIDL_REAL, MINIDL_ISA)

#if MINIDL_REAL == 32
typedef float real;
typedef uint32_t integer;
typedef int32_t flag;
#define IF32(f32, f64) f32
#else
typedef double real;
typedef uint64_t integer;
typedef int64_t flag;
#define IF32(f32, f64) f64
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static __forceinline
#endif

INLINE ptrdiff_t min_of(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
INLINE ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t step) { return (n + step - 1) / step * step; }

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 24") /* as many as a block has sums: a loop of more would leave them in memory */
#else
#define UNROLL
#endif

#define LINE (64 / (ptrdiff_t)sizeof(real)) /* of the cache */

#if defined(__GNUC__)
#define FETCH(address) __builtin_prefetch(address, 0, 3)
#define FETCH_TO_WRITE(address) __builtin_prefetch(address, 1, 3)
#define FETCH_FAR(address) __builtin_prefetch(address, 0, 2) /* into the second-level cache */
#else
#define FETCH(address) ((void)(address))
#define FETCH_TO_WRITE(address) ((void)(address))
#define FETCH_FAR(address) ((void)(address))
#endif

/* Whether this is an older processor of AMD's, whose caches differ from a Zen 5's as it says where this is asked for. */
extern int before_zen5; /* of dispatch.c */

/* For what mostly reads, and reads two streams or computes in between: the processor does not look so far by itself. An
   older one does, and these fetches hold it up: what stands in FETCHING is compiled with them and without. */
#define FETCHING(...)                                                                                     \
    do {                                                                                                  \
        if (!before_zen5) {                                                                               \
            const int ahead = 1;                                                                          \
            __VA_ARGS__                                                                                   \
        } else {                                                                                          \
            const int ahead = 0;                                                                          \
            __VA_ARGS__                                                                                   \
        }                                                                                                 \
    } while (0)
#define FETCH_AHEAD(address)                                                                              \
    if (ahead)                                                                                            \
    FETCH((const char *)(address) + 4096)

/* ---- the vector type ---------------------------------------------------------------------------- */

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define X86(op) IF32(_mm512_##op##_ps, _mm512_##op##_pd)
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define X86(op) IF32(_mm256_##op##_ps, _mm256_##op##_pd)
#else
#define VECTOR_BYTES 16
#define X86(op) IF32(_mm_##op##_ps, _mm_##op##_pd)
#endif

#if defined(__GNUC__)
#define LANES (VECTOR_BYTES / IF32(4, 8))
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef integer ivec __attribute__((vector_size(VECTOR_BYTES)));
INLINE vec vset(real s) { return s - (vec){0}; }
#else
#define LANES 1
typedef real vec;
typedef integer ivec;
INLINE vec vset(real s) { return s; }
#endif

INLINE vec vload(const real *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void vstore(real *p, vec v) { memcpy(p, &v, sizeof v); }

INLINE ivec vbits(vec v)
{
    ivec i;
    memcpy(&i, &v, sizeof i);
    return i;
}

INLINE vec vfrom_bits(ivec i)
{
    vec v;
    memcpy(&v, &i, sizeof v);
    return v;
}

#define SIGN_BIT IF32(0x80000000u, 0x8000000000000000u)

/* A mask has a lane for each lane of a vec. vselect gives a where it is set, else b; vfirst sets the
   first n lanes; vany says whether any is set. vnan sets the lanes that hold NaN. */
#if defined(__AVX512F__)
typedef IF32(__mmask16, __mmask8) vmask;
INLINE vmask vless(vec a, vec b) { return IF32(_mm512_cmp_ps_mask, _mm512_cmp_pd_mask)(a, b, _CMP_LT_OQ); }
INLINE vec vselect(vmask m, vec a, vec b) { return X86(mask_blend)(m, b, a); }
INLINE vmask vfirst(ptrdiff_t n) { return (vmask)((1u << n) - 1); }
INLINE int vany(vmask m) { return m != 0; }
INLINE vmask vnan(vec v) { return IF32(_mm512_cmp_ps_mask, _mm512_cmp_pd_mask)(v, v, _CMP_UNORD_Q); }
#elif defined(__GNUC__)
typedef flag vmask __attribute__((vector_size(VECTOR_BYTES)));
INLINE vmask vless(vec a, vec b) { return a < b; }
INLINE vmask vnan(vec v) { return v != v; }
INLINE vec vselect(vmask m, vec a, vec b) { return vfrom_bits(((ivec)m & vbits(a)) | (~(ivec)m & vbits(b))); }
INLINE vmask vfirst(ptrdiff_t n)
{
    static const flag count[] = {0, 1, 2, 3, 4, 5, 6, 7};
    vmask lane;
    memcpy(&lane, count, sizeof lane);
    return lane < (flag)n - (vmask){0};
}
INLINE int vany(vmask m)
{
#if defined(__SSE2__)
    return X86(movemask)(vfrom_bits((ivec)m)) != 0;
#else
    flag any = 0;
    for (int i = 0; i < LANES; i++)
        any |= m[i];
    return any != 0;
#endif
}
#else
typedef int vmask;
INLINE vmask vless(vec a, vec b) { return a < b; }
INLINE vmask vnan(vec v) { return v != v; }
INLINE vec vselect(vmask m, vec a, vec b) { return m ? a : b; }
INLINE vmask vfirst(ptrdiff_t n) { return n > 0; }
INLINE int vany(vmask m) { return m; }
#endif

/* to[i] = from[i] for i < n < LANES, in as few pieces as n has bits: a memcpy of unknown length would be a call. */
INLINE void copy_lanes(real *to, const real *from, ptrdiff_t n)
{
    UNROLL for (int piece = LANES / 2; piece; piece /= 2)
        if (n & piece) {
            memcpy(to, from, (size_t)piece * sizeof(real));
            to += piece;
            from += piece;
        }
}

/* The first n lanes, 0 <= n <= LANES; the others are `rest`. */
INLINE vec vload_or(const real *p, ptrdiff_t n, vec rest)
{
    if (n == LANES)
        return vload(p);
#if defined(__AVX512F__)
    return X86(mask_loadu)(rest, vfirst(n), p);
#elif defined(__AVX__)
    const vmask first = vfirst(n);
    return vselect(first, X86(maskload)(p, (__m256i)first), rest);
#else
    real lane[LANES];
    vstore(lane, rest);
    copy_lanes(lane, p, n);
    return vload(lane);
#endif
}

INLINE vec vload_n(const real *p, ptrdiff_t n) { return vload_or(p, n, vset(0)); }

/* The same within FETCHING, where something is written beside what is read. A Zen 4 looks further ahead then if it is
   asked for each line twice, so it loads whole ones by halves. */
INLINE vec vload_or_ahead(const int ahead, const real *p, ptrdiff_t n, vec rest)
{
    FETCH_AHEAD(p);
#if defined(__AVX512F__)
    if (!ahead && n == LANES) {
        const __m512 half = _mm512_castps256_ps512(_mm256_loadu_ps((const float *)p));
        return (vec)_mm512_insertf32x8(half, _mm256_loadu_ps((const float *)p + 8), 1);
    }
#endif
    return vload_or(p, n, rest);
}

INLINE vec vload_ahead(const int ahead, const real *p, ptrdiff_t n) { return vload_or_ahead(ahead, p, n, vset(0)); }

INLINE void vstore_n(real *p, vec v, ptrdiff_t n)
{
    if (n == LANES) {
        vstore(p, v);
        return;
    }
#if defined(__AVX512F__)
    X86(mask_storeu)(p, vfirst(n), v);
#else
    real lane[LANES];
    vstore(lane, v);
    copy_lanes(p, lane, n);
#endif
}

/* ---- writing past the caches ---------------------------------------------------------------------

   A line that is written is read first, and for what is larger than the caches that is in vain: a kernel that writes
   such an array may write whole vectors to memory straight away, and calls past_end() before anybody reads them. Each
   of these vectors must lie at a multiple of its size, or the processor refuses: the array begins at one, threads share
   it by such multiples, since a step is one, and rows that are written by themselves must be as long as some. */

#define PAST_BYTES ((ptrdiff_t)48 << 20) /* half as much again as the last cache of a processor often holds */

/* Whether that pays where so many numbers are read and written, and vectors of p lie where they can be written so */
INLINE int is_past(const real *p, ptrdiff_t numbers)
{
    return numbers * (ptrdiff_t)sizeof(real) >= PAST_BYTES && (uintptr_t)p % VECTOR_BYTES == 0;
}

INLINE void vstore_past(real *p, vec v, ptrdiff_t n, int past)
{
#if defined(__GNUC__) && defined(__SSE2__)
    if (past && n == LANES) {
        X86(stream)(p, v);
        return;
    }
#endif
    (void)past;
    vstore_n(p, v, n);
}

INLINE void past_end(int past)
{
#if defined(__GNUC__) && defined(__SSE2__)
    if (past)
        _mm_sfence();
#endif
    (void)past;
}

/* A mask of the first n lanes, n <= LANES: those whose byte is not 0. */
INLINE vmask vtrue_n(const uint8_t *p, ptrdiff_t n)
{
#if defined(__AVX512F__)
    const __m128i bytes = _mm_maskz_loadu_epi8(vfirst(n), p);
    return (vmask)_mm_test_epi8_mask(bytes, bytes);
#elif defined(__GNUC__)
    typedef int8_t bvec __attribute__((vector_size(LANES)));
    bvec bytes = {0};
    if (n == LANES)
        memcpy(&bytes, p, sizeof bytes);
    else
        for (ptrdiff_t i = 0; i < n; i++)
            bytes[i] = (int8_t)p[i];
    return __builtin_convertvector(bytes != (bvec){0}, vmask);
#else
    return n > 0 && *p;
#endif
}

/* Run the statements, written in terms of i and n, for the vectors p[i .. i + n) of [begin, end).
   They are compiled twice, for the full vectors and for a shorter last one. */
#define FOR_VECTORS(begin, end, ...)                                                                      \
    do {                                                                                                  \
        ptrdiff_t i = (begin), last = (end);                                                              \
        for (; i + LANES <= last; i += LANES) {                                                           \
            const ptrdiff_t n = LANES;                                                                    \
            __VA_ARGS__                                                                                   \
        }                                                                                                 \
        if (i < last) {                                                                                   \
            const ptrdiff_t n = last - i;                                                                 \
            __VA_ARGS__                                                                                   \
        }                                                                                                 \
    } while (0)

/* The same for a row of y, which may begin anywhere, so that a part of a vector may come first, with the constant `past`
   for what writes its vectors: 1 if they go past the caches, 0 if not. */
#define FOR_VECTORS_PAST(goes_past, count, y, ...)                                                        \
    do {                                                                                                  \
        if (goes_past) {                                                                                  \
            const int past = 1;                                                                           \
            const ptrdiff_t head = before_past(y, count);                                                 \
            if (head) {                                                                                   \
                const ptrdiff_t i = 0, n = head;                                                          \
                __VA_ARGS__                                                                               \
            }                                                                                             \
            FOR_VECTORS(head, count, __VA_ARGS__);                                                        \
        } else {                                                                                          \
            const int past = 0;                                                                           \
            FOR_VECTORS(0, count, __VA_ARGS__);                                                           \
        }                                                                                                 \
    } while (0)

#define PAST_ROW (4 * LANES) /* numbers of a row for which that pays: a short one has hardly a whole vector */

INLINE ptrdiff_t before_past(const real *y, ptrdiff_t count)
{
    const ptrdiff_t beyond = (ptrdiff_t)((uintptr_t)y / sizeof(real) % LANES);
    return min_of((LANES - beyond) % LANES, count);
}

INLINE vec vabs(vec v) { return vfrom_bits(vbits(v) & ~SIGN_BIT); }

/* Of the two, b if either is NaN: with the constant first a NaN in the data goes through. */
INLINE vec vmin(vec a, vec b)
{
#if defined(__SSE2__)
    return X86(min)(a, b);
#else
    return vselect(vless(a, b), a, b);
#endif
}

INLINE vec vmax(vec a, vec b)
{
#if defined(__SSE2__)
    return X86(max)(a, b);
#else
    return vselect(vless(b, a), a, b);
#endif
}

/* Of the two, NaN if either is */
INLINE vec vminimum(vec a, vec b) { return vselect(vnan(a), a, vmin(a, b)); }
INLINE vec vmaximum(vec a, vec b) { return vselect(vnan(a), a, vmax(a, b)); }

/* a b + c, rounded once where the instruction set has it. Said outright where that can be said: where c is a
   product too, the compiler would else choose which of the two to round, and not everywhere alike. */
#if defined(__FMA__) && defined(__GNUC__)
INLINE vec vfma(vec a, vec b, vec c) { return X86(fmadd)(a, b, c); }
#elif defined(__aarch64__) && defined(__GNUC__)
INLINE vec vfma(vec a, vec b, vec c) { return (vec)IF32(vfmaq_f32, vfmaq_f64)(c, a, b); }
#else
INLINE vec vfma(vec a, vec b, vec c) { return a * b + c; }
#endif

INLINE vec vsqrt(vec v)
{
#if defined(__SSE2__)
    return X86(sqrt)(v);
#else
    real lane[LANES];
    vstore(lane, v);
    for (int i = 0; i < LANES; i++)
        lane[i] = IF32(sqrtf, sqrt)(lane[i]);
    return vload(lane);
#endif
}

/* All lanes in one, halves first: vsum is ((v0 + v4) + (v2 + v6)) + ((v1 + v5) + (v3 + v7)). */
#if defined(__SSE2__) && defined(__GNUC__)
#define OF_256(op, a, b) IF32(_mm256_##op##_ps, _mm256_##op##_pd)(a, b)
#define OF_128(op, a, b) IF32(_mm_##op##_ps, _mm_##op##_pd)(a, b)
#if defined(__AVX512F__)
#define TO_256(op, v)                                                                                     \
    OF_256(op, IF32(_mm512_castps512_ps256, _mm512_castpd512_pd256)(v),                                   \
           IF32(_mm512_extractf32x8_ps, _mm512_extractf64x4_pd)(v, 1))
#else
#define TO_256(op, v) v
#endif
#if defined(__AVX__)
#define TO_128(op, v)                                                                                     \
    OF_128(op, IF32(_mm256_castps256_ps128, _mm256_castpd256_pd128)(v),                                   \
           IF32(_mm256_extractf128_ps, _mm256_extractf128_pd)(v, 1))
#else
#define TO_128(op, v) v
#endif
#define LANES_IN_ONE(name, op, either)                                                                    \
    INLINE real name(vec v)                                                                               \
    {                                                                                                     \
        IF32(__m128, __m128d) rest = TO_128(op, TO_256(op, v));                                           \
        rest = IF32(OF_128(op, rest, _mm_movehl_ps(rest, rest)), rest);                                   \
        rest = OF_128(op, rest, IF32(_mm_shuffle_ps(rest, rest, 1), _mm_unpackhi_pd(rest, rest)));        \
        return IF32(_mm_cvtss_f32, _mm_cvtsd_f64)(rest);                                                  \
    }
#else
#define LANES_IN_ONE(name, op, either)                                                                    \
    INLINE real name(vec v)                                                                               \
    {                                                                                                     \
        real lane[LANES];                                                                                 \
        vstore(lane, v);                                                                                  \
        for (int half = LANES / 2; half; half /= 2)                                                       \
            for (int i = 0; i < half; i++)                                                                \
                lane[i] = either(lane[i], lane[i + half]);                                                \
        return lane[0];                                                                                   \
    }
#endif
#define SUM_OF(a, b) (a) + (b)
#define LARGER_OF(a, b) (a) > (b) ? (a) : (b)
LANES_IN_ONE(vsum, add, SUM_OF)
LANES_IN_ONE(vmax_lane, max, LARGER_OF)

/* The sum of the pieces of 16 bytes, or of one number, that a vector is seen as */
INLINE void vsum_pieces(vec v, real *sum)
{
#if defined(__SSE2__) && defined(__GNUC__)
    IF32(_mm_storeu_ps, _mm_storeu_pd)(sum, TO_128(add, TO_256(add, v)));
#else
    vstore(sum, v);
#endif
}

/* ---- denormals ---------------------------------------------------------------------------------- */

/* What happened in this thread since exceptions_clear: 1 if it made something invalid, divided by zero, or came beyond the
   largest number, 2 if something was too small to keep its digits, 3 if both. */
#if defined(__SSE2__) || defined(_M_X64)
INLINE void exceptions_clear(void) { _mm_setcsr(_mm_getcsr() & ~0x3fu); }
INLINE int exceptions_raised(void)
{
    const unsigned flags = _mm_getcsr();
    return ((flags & 0x0d) != 0) | (flags & 0x10) >> 3;
}
#else
#define EXCEPTIONS (FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW)
INLINE void exceptions_clear(void) { feclearexcept(EXCEPTIONS | FE_UNDERFLOW); }
INLINE int exceptions_raised(void)
{
    return (fetestexcept(EXCEPTIONS) != 0) | (fetestexcept(FE_UNDERFLOW) != 0) << 1;
}
#endif

/* From here to denormals_restore this thread takes denormal numbers for 0 and makes none: on most
   processors each costs a hundred cycles. For state that decays towards 0 step by step: a recurrent
   state, an optimizer's moments. */
INLINE unsigned denormals_flush(void)
{
#if defined(__SSE2__) || defined(_M_X64)
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zero */
    return before;
#elif defined(__aarch64__) && defined(__GNUC__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (1u << 24)));
    return (unsigned)before;
#else
    return 0;
#endif
}

INLINE void denormals_restore(unsigned before)
{
#if defined(__SSE2__) || defined(_M_X64)
    _mm_setcsr(before);
#elif defined(__aarch64__) && defined(__GNUC__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)before));
#else
    (void)before;
#endif
}

/* ---- elementary functions -----------------------------------------------------------------------

   Largest errors in ulp, float32 over every number and float64 over samples of every exponent, denormal
   results included; tests/test_elementary_accuracy.py holds these bounds.

                      float32   float64
       exp              1.1       1.1
       tanh             2.0       2.2   (float32 with AVX-512: 1.0)
       sigmoid          1.8       1.7
       tanh, cell       2.7       2.7
       sigmoid, cell    2.7       2.7
       erf              1.5       1.6
       log              0.9       0.9

   All but those of the cell are right at 0 and at the infinities and give NaN for NaN. The first three are monotone;
   they and log give the same bits whether or not denormal numbers are flushed; erf may fall by an ulp between
   neighbours. */

#define MANTISSA IF32(23, 52)
#define LOG2_E ((real)1.4426950408889634)
/* ln 2 in two: n LN2_HIGH is exact for every exponent n */
#define LN2_HIGH IF32(0x1.62e4p-1f, 0x1.62e42fefa38p-1)
#define LN2_LOW IF32(0x1.7f7d1cp-20f, 0x1.ef35793c7673p-45)
/* Adding 1.5 2^MANTISSA + 127 (1023) rounds to an integer, which the low bits of the sum then hold as an exponent. */
#define ROUNDER IF32(0x1.8000fep23f, 0x1.80000000003ffp52)

/* 2^(n + k), for n as vexp_reduced gives it; -127 < n + k < 128, or -1023 < n + k < 1024 */
#define vpower_of_2(n, k) vfrom_bits((n) + ((integer)(k) << MANTISSA))

/* c[0] + c[1] x + ... + c[degree] x^degree, for an even degree. The even and the odd powers are two sums
   in x^2, which do not wait for each other. */
INLINE vec vpolynomial(vec x, vec square, const real *c, int degree)
{
    vec even = vset(c[degree]), odd = vset(c[degree - 1]);
    for (int i = degree - 2; i > 0; i -= 2) {
        even = vfma(even, square, vset(c[i]));
        odd = vfma(odd, square, vset(c[i - 1]));
    }
    return vfma(odd, x, vfma(even, square, vset(c[0])));
}

/* x = n ln 2 + r with n an integer and |r| <= ln 2 / 2: returns e^r - 1 and gives n in the place of the
   exponent bits. The polynomial is a minimax fit of (e^r - 1 - r) / r^2. */
INLINE vec vexp_reduced(vec x, ivec *n)
{
#if MINIDL_REAL == 32
    static const real c[] = {0.5f, 1.6666545e-1f, 4.1666290e-2f, 8.3663738e-3f, 1.3946046e-3f};
#else
    static const real c[] = {0.5, 1.6666666666666677e-01, 4.16666666666667e-02, 8.333333333322148e-03,
                             1.3888888888867784e-03, 1.984126988495683e-04, 2.4801587359071965e-05,
                             2.7557245279221485e-06, 2.755724381241855e-07, 2.5108693922604633e-08,
                             2.0924165574725563e-09};
#endif
    vec rounded = vfma(x, vset(LOG2_E), vset(ROUNDER)), whole = rounded - ROUNDER;
    *n = vbits(rounded) << MANTISSA;
    vec r = vfma(whole, vset(-LN2_LOW), vfma(whole, vset(-LN2_HIGH), x));
    vec square = r * r;
    return vfma(square, vpolynomial(r, square, c, (int)(sizeof c / sizeof c[0]) - 1), r);
}

/* e^-EXP_NORMAL is the smallest normal number. Past EXP_ZERO and EXP_INFINITE e^x is 0 or infinite. */
#define EXP_NORMAL IF32(0x1.5d589ep6f, 0x1.6232bdd7abcd2p9)
#define EXP_ZERO IF32(-104.0f, -746.0)
#define EXP_INFINITE IF32(89.0f, 710.0)

/* p 2^n below the normal numbers. As a bit pattern such a result is an integer, and it is rounded as one:
   no denormal number takes part in the arithmetic, which would be slow, or 0 where they are flushed. */
INLINE vec vexp_denormal(vec p, ivec n)
{
    const vec least = vset(IF32(0x1p23f, 0x1p52));
    vec units = p * vpower_of_2(n, IF32(100, 1000)) * IF32(0x1p49f, 0x1p74);
    return vfrom_bits(vbits(units + least) - vbits(least));
}

/* e^x */
INLINE vec vexp(vec x)
{
    ivec n;
    x = vmin(vset(EXP_INFINITE), vmax(vset(EXP_ZERO), x));
    vec p = vexp_reduced(x, &n) + 1, magnitude = vabs(x);
    vec y = p * vpower_of_2(n, 0);
    vmask edge = vless(vset(EXP_NORMAL), magnitude);
    if (vany(edge)) {
        vec y_edge = vselect(vless(x, vset(0)), vexp_denormal(p, n), p * 2 * vpower_of_2(n, -1));
        y = vselect(edge, y_edge, y);
    }
    return y;
}

/* e^x for x <= 0, no less exact, but 0 where that is below the normal numbers */
INLINE vec vexp_below_0(vec x)
{
    ivec n;
    const vec q = vexp_reduced(x, &n), power = vpower_of_2(n, 0);
    return vselect(vless(x, vset(-EXP_NORMAL)), vset(0), vfma(q, power, power));
}

#if defined(__AVX512F__) && MINIDL_REAL == 32
/* table[i % 16] in each lane: a register holds the whole table */
INLINE vec vlookup(const real *table, ivec i) { return _mm512_permutexvar_ps((__m512i)i, vload(table)); }

/* c[0] + c[1] r + ... + c[5] r^5, in each lane the polynomial of its piece */
INLINE vec vpolynomial_of(ivec piece, vec r, const real (*c)[LANES])
{
    vec y = vlookup(c[5], piece);
    UNROLL for (int i = 4; i >= 0; i--)
        y = vfma(y, r, vlookup(c[i], piece));
    return y;
}

/* tanh |x| by polynomials of degree 5 in r = |x| - middle, for each of 16 pieces; past 9.1 it is 1. A piece
   is a quarter of an octave of (13 |x| + 9) / 4: the last two bits of the exponent and the first two of the mantissa
   are its number. The polynomials are minimax fits in ulp by Lawson's algorithm, right to 0.4, and to 0.1 at the
   ends of the pieces, where they meet: errors there counted four times. Each coefficient was rounded before the next
   were fitted, and a middle is where c[0] needs no rounding. The first piece is x + c[3] x^3 + c[5] x^5. From 0.124
   on such a form could fall, by the rounding of its quotient by x, so the piece ends before. */
INLINE vec vtanh(vec x)
{
    static const real middle[LANES] =
        {0, 1.5381524e-1f, 3.076189e-1f, 4.6153688e-1f, 6.922983e-1f, 1.0000944f, 1.307687f, 1.6154486f,
         2.0770392f, 2.6927195f, 3.3073854f, 3.9230084f, 4.8462653f, 6.076354f, 7.310406f, 8.664324f};
    static const real c[][LANES] = {
        {0, 1.5261357e-1f, 2.9826936e-1f, 4.31336e-1f, 5.994564e-1f, 7.616338e-1f, 8.63689e-1f, 9.2396116e-1f,
         9.6908486e-1f, 9.9087614e-1f, 9.9732274e-1f, 9.992177e-1f, 9.998765e-1f, 9.9998945e-1f, 9.999991e-1f,
         9.9999994e-1f},
        {1, 9.767091e-1f, 9.110354e-1f, 8.139493e-1f, 6.406521e-1f, 4.1991395e-1f, 2.540413e-1f, 1.4629577e-1f,
         6.087444e-2f, 1.8164463e-2f, 5.3473515e-3f, 1.564009e-3f, 2.4697807e-4f, 2.1099077e-5f, 1.7881177e-6f,
         1.193257e-7f},
        {0, -1.4905795e-1f, -2.7173245e-1f, -3.5108456e-1f, -3.8403904e-1f, -3.198271e-1f, -2.1941721e-1f,
         -1.351731e-1f, -5.899041e-2f, -1.7995449e-2f, -5.3318045e-3f, -1.5624015e-3f, -2.4589594e-4f,
         -2.1008756e-5f, -1.7804243e-6f, -1.1928752e-7f},
        {-3.333325e-1f, -3.0283555e-1f, -2.2264378e-1f, -1.1988905e-1f, 1.6638005e-2f, 1.03613995e-1f,
         1.048259e-1f, 7.612961e-2f, 3.688219e-2f, 1.17783835e-2f, 3.5357056e-3f, 1.0400128e-3f, 1.6398009e-4f,
         1.4014934e-5f, 1.1870607e-6f, 7.751797e-8f},
        {0, 9.542623e-2f, 1.5632294e-1f, 1.6823572e-1f, 1.17613785e-1f, 2.8386986e-2f, -1.6907213e-2f,
         -2.512217e-2f, -1.6133554e-2f, -5.760245e-3f, -1.7818776e-3f, -5.2867236e-4f, -8.897866e-5f,
         -7.6092324e-6f, -6.449195e-7f, -4.0197563e-8f},
        {1.3288651e-1f, 1.09424226e-1f, 4.9334306e-2f, -1.3717157e-2f, -6.049697e-2f, -4.6199925e-2f,
         -1.4471893e-2f, 1.1037517e-3f, 4.5520086e-3f, 2.1196173e-3f, 6.951252e-4f, 2.0975112e-4f,
         3.5360972e-5f, 3.0228082e-6f, 2.5792556e-7f, 2.3220757e-8f}};
    const vec magnitude = vabs(x), near = vmin(vset(9.1f), magnitude);
    const ivec piece = vbits(vfma(near, vset(3.25f), vset(2.25f))) >> (MANTISSA - 2);
    const vec r = near - vlookup(middle, piece);
    vec y = vpolynomial_of(piece, r, c);
    y = vselect(vless(vset(1e-4f), magnitude), y, magnitude); /* where denormal, it may have become 0 */
    return vfrom_bits(vbits(y) | (vbits(x) & SIGN_BIT));
}

/* e^(-t^2/2) is 2^(BELL_EXPONENT t^2), but for what this is rounded by, which the pieces make up for. */
#define BELL_EXPONENT -0.7213475f

/* t Phi(-t) / 2^(BELL_EXPONENT t^2) for 0 <= t <= 14, from such pieces too, quarters of an octave of (17 t + 18) / 8. They
   are right to 5e-8, and to 2e-8 where t < 0.8. The first begins with t / 2 exactly. */
INLINE vec vgelu_tail(vec t)
{
    static const real middle[LANES] =
        {0, 0.23530032f, 0.47058728f, 0.7058565f, 1.0588076f, 1.5294423f, 1.9999937f, 2.470684f, 3.1763482f,
         4.117808f, 5.0588717f, 6.00008f, 7.411765f, 9.293546f, 11.176677f, 12.693339f};
    static const real c[][LANES] = {
        {0, 0.09845246f, 0.16767748f, 0.21745458f, 0.26863012f, 0.31071088f, 0.33620372f, 0.3525181f, 0.36756727f,
         0.37868905f, 0.38489735f, 0.38867605f, 0.39204443f, 0.3944749f, 0.3958221f, 0.39651054f},
        {0.5f, 0.3477066f, 0.24748509f, 0.17996767f, 0.11573456f, 0.068208225f, 0.04262569f, 0.027980944f,
         0.01606221f, 0.008565009f, 0.0050324593f, 0.0031808f, 0.0017706443f, 0.0009303408f, 0.0005455077f,
         0.00037617655f},
        {-0.39894196f, -0.25958094f, -0.1730325f, -0.11797166f, -0.06903937f, -0.03607024f, -0.020112641f,
         -0.011857961f, -0.0058647105f, -0.0026184546f, -0.0013154689f, -0.0007235035f, -0.0003357167f,
         -0.00014383944f, -7.102841e-05f, -4.341736e-05f},
        {0.24997365f, 0.15348557f, 0.09659863f, 0.06222559f, 0.0334961f, 0.01571357f, 0.007903939f, 0.0042245104f,
         0.0018204836f, 0.00068810326f, 0.00029788236f, 0.0001433551f, 5.5759967e-05f, 1.9570198e-05f, 8.160241e-06f,
         4.4278345e-06f},
        {-0.13229643f, -0.077769496f, -0.04646125f, -0.028426912f, -0.014292132f, -0.006067018f, -0.0027722574f,
         -0.001351608f, -0.00051916117f, -0.00016681777f, -6.243174e-05f, -2.6357575e-05f, -8.78515e-06f,
         -2.5158463e-06f, -8.839982e-07f, -4.2338823e-07f},
        {0.05540721f, 0.035273466f, 0.019927246f, 0.0116420295f, 0.005471906f, 0.0021150513f, 0.00088383985f,
         0.00039542094f, 0.00013516445f, 3.734636e-05f, 1.2181918e-05f, 4.541453e-06f, 1.2874625e-06f, 3.03739e-07f,
         9.055738e-08f, 3.8125627e-08f}};
    const ivec piece = vbits(vfma(t, vset(2.125f), vset(2.25f))) >> (MANTISSA - 2);
    const vec r = t - vlookup(middle, piece);
    return vpolynomial_of(piece, r, c);
}
#else
/* t - y + y t, where it is small beside its terms, for t = whole - part. Without fused multiply-adds the rounding
   of t has to count too, or the error passes 2 ulp. */
INLINE vec vtanh_remainder(vec y, vec t, vec whole, vec part)
{
#if defined(__FMA__) || defined(__aarch64__)
    (void)whole, (void)part;
    return vfma(y, t, t - y);
#else /* in halves whose product is exact */
    const integer half = ((integer)1 << (MANTISSA / 2 + 1)) - 1;
    vec y_high = vfrom_bits(vbits(y) & ~half), t_high = vfrom_bits(vbits(t) & ~half);
    const vec product = y_high * (t - t_high) + (y - y_high) * t;
    return t - y + y_high * t_high + (product + (whole - t - part) * (y + 1));
#endif
}

/* tanh |x| = t / (1 - t) with t = (1 - e^(-2|x|)) / 2, which keeps its digits near 0. The quotient y is
   corrected by its remainder, t - y (1 - t), so that the rounding of 1 - t does not count. */
INLINE vec vtanh(vec x)
{
    ivec n;
    const vec below = vfrom_bits(vbits(x) | SIGN_BIT), near = vmax(vset(IF32(-10.0f, -20.0)), below); /* -|x| */
    const vec q = vexp_reduced(near + near, &n), half = vpower_of_2(n, -1), whole = (real)0.5 - half;
    const vec t = vfma(-q, half, whole);
    vec y = t / (1 - t);
    y = vfma(vtanh_remainder(y, t, whole, q * half), y + 1, y);
    y = vfrom_bits(vbits(y) | (vbits(x) & SIGN_BIT)); /* it was not negative */
    return vselect(vless(vset(IF32(-1e-4f, -1e-9)), below), x, y);
}
#endif

/* 1 / (1 + e^-x). Far below 0 the 1 is lost beside e^-x, and e^x - e^x / (1 + e^-x) is better. A denormal e^x
   must take no part in that, not even on the side that is not selected: a compiler may fold the two sides into
   one difference, and where denormal numbers are flushed that makes it 0. */
INLINE vec vsigmoid(vec x)
{
    const vec far = vset(IF32(-16.0f, -36.0)), most = vset(IF32(80.0f, 700.0));
    ivec n;
    vec q = vexp_reduced(vmin(most, vmax(-most, -x)), &n), power = vpower_of_2(n, 0);
    vec y = 1 / vfma(q, power, power + 1);
    vmask is_far = vless(x, far);
    if (vany(is_far)) {
        vec p = vexp_reduced(vmax(vset(EXP_ZERO), x), &n) + 1, e = p * vpower_of_2(n, 0);
        vec y_far = vselect(vless(x, vset(-EXP_NORMAL)), vexp_denormal(p, n), vfma(-e, y, e));
        y = vselect(is_far, y_far, y);
    }
    return y;
}

/* For the cell of an LSTM, which spends much of its time here: 1 / (1 + e^-x), which never falls below e^-87 (e^-708),
   and (e^2x - 1) / (e^2x + 1), whose denominator is rounded, and where a denormal x may be 0. */
INLINE vec vsigmoid_cell(vec x)
{
    const vec most = vset(IF32(87.0f, 708.0));
    ivec n;
    const vec q = vexp_reduced(-vmin(most, vmax(-most, x)), &n), power = vpower_of_2(n, 0);
    return 1 / vfma(q, power, power + 1);
}

INLINE vec vtanh_cell(vec x)
{
    const vec most = vset(IF32(10.0f, 20.0)), near = vmin(most, vmax(-most, x));
    ivec n;
    const vec q = vexp_reduced(near + near, &n), power = vpower_of_2(n, 0);
    const vec e = vfma(q, power, power - 1);
    return e / (e + 2);
}

/* log(1 + e) = 2 atanh(s) with s = e / (2 + e), for 0 <= e <= 1. The polynomial is a minimax fit of
   (2 atanh(s) - 2 s) / s^3 in s^2. */
INLINE vec vlog1p(vec e)
{
#if MINIDL_REAL == 32
    static const real c[] = {6.6666674e-1f, 3.9998982e-1f, 2.8614357e-1f, 2.1452638e-1f, 2.4214082e-1f};
#else
    static const real c[] = {0.6666666666666667, 0.39999999999996627, 0.28571428572159924, 0.22222222149148912,
                             0.18181822263106084, 0.1538447534819997, 0.1333642878883686, 0.11719871273229279,
                             0.1094713769817081, 0.07087806310238202, 0.16318513502082052};
#endif
    vec s = e / (e + 2), square = s * s;
    vec p = vpolynomial(square, square * square, c, (int)(sizeof c / sizeof c[0]) - 1);
    return vfma(square * s, p, s + s);
}

/* log x + scale ln 2 = n ln 2 + log m with sqrt(1/2) <= m < sqrt(2), for normal x > 0 and an integer scale. With
   f = m - 1 and s = f / (2 + f), log m = 2 atanh(s) = f - f^2/2 + s (f^2/2 + s^2 P(s^2)), whose first terms are nearly
   exact. P is a minimax fit of (2 atanh(s) - 2 s) / s^3. */
INLINE vec vlog_scaled(vec x, vec scale)
{
#if MINIDL_REAL == 32
    static const real c[] = {6.6666687e-1f, 3.9988762e-1f, 2.9580614e-1f};
#else
    static const real c[] = {0.666666666666667,   0.39999999999899116, 0.28571428626134043, 0.22222211111281343,
                             0.18182890700254556, 0.1533167300833574,  0.14617011557850926};
#endif
    const vec one = vset(1), least = vset(IF32(0x1p23f, 0x1p52));
    const ivec exponent = (vbits(x) - vbits(vset((real)0.7071067811865476)) + vbits(one)) >> MANTISSA;
    const vec n = vfrom_bits(vbits(least) + exponent) - (least + IF32(127, 1023)) + scale;
    const vec f = vfrom_bits(vbits(x) + vbits(one) - (exponent << MANTISSA)) - 1, s = f / (f + 2), square = s * s;
    const vec rest = square * vpolynomial(square, square * square, c, (int)(sizeof c / sizeof c[0]) - 1);
    const vec half = f * f * (real)0.5, most = vfma(s, half + rest, n * LN2_LOW);
    return vfma(n, vset(LN2_HIGH), f - (half - most));
}

/* log x. A denormal number is an integer times the smallest of them, and as a bit pattern it is that integer: none
   takes part in the arithmetic. */
INLINE vec vlog(vec x)
{
    const vec normal = vset(IF32(0x1p-126f, 0x1p-1022)), infinite = vset((real)INFINITY), zero = vset(0);
    if (!vany(vless(vselect(vless(x, infinite), x, zero), normal)))
        return vlog_scaled(x, zero);
    const vec size = vabs(x), least = vset(IF32(0x1p23f, 0x1p52));
    const vec units = vfrom_bits(vbits(least) + vbits(size)) - least;
    const vmask denormal = vless(size, normal);
    const vec whole = vselect(denormal, units, size);
    vec y = vlog_scaled(whole, vselect(denormal, vset(IF32(-149, -1074)), zero));
    y = vselect(vless(size, infinite), y, size);
    y = vselect(vless(whole, normal), -infinite, y);
    return vselect(vless(vfrom_bits(vbits(whole) | (vbits(x) & SIGN_BIT)), zero), vset((real)NAN), y);
}

/* e^x - 1 for x <= 0 */
INLINE vec vexpm1_below_0(vec x)
{
    ivec n;
    const vec q = vexp_reduced(vmax(vset(IF32(-20.0f, -40.0)), x), &n), power = vpower_of_2(n, 0);
    return vfma(q, power, power - 1);
}

/* erf x = 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x, for |x| <= 1. The polynomial is a minimax fit of
   erf(x) / x - 1 in x^2. */
INLINE vec verf_near(vec x)
{
#if MINIDL_REAL == 32
    static const real c[] = {1.28379166e-1f, -3.76126258e-1f, 1.12835852e-1f, -2.68538119e-2f,
                             5.18832755e-3f, -8.01019151e-4f, 7.85385218e-5f};
#else
    static const real c[] = {0.12837916709551257,     -0.37612638903183748,   0.1128379167095486,
                             -0.026866170645072898,   0.0052239776247808822,  -0.00085483269787427508,
                             0.0001205533103691626,   -1.492559350731262e-05, 1.6460972824822209e-06,
                             -1.6350025317943156e-07, 1.4657880562563488e-08, -1.1365668999040741e-09,
                             5.9452672002921677e-11};
#endif
    const vec square = x * x;
    return vfma(x, vpolynomial(square, square * square, c, (int)(sizeof c / sizeof c[0]) - 1), x);
}

/* What Phi(-t), the normal distribution's tail, is to e^(-t^2/2), for t >= sqrt(2) up to where it is 0. It falls
   about as 1/t, so it is s times a polynomial in s = 1 / (1 + c t), by Remez' algorithm: with relative error 2.9e-9
   to t = 14.3 in float32, and 1.9e-17 to 38.6 in float64. */
INLINE vec vtail(vec t)
{
#if MINIDL_REAL == 32
    static const real c[] = {3.38601639e-1f, 3.04814444e-1f,  -5.68983688e-3f, -2.25501219e-1f, 5.80540745e-2f,
                             2.55151515e-1f, -2.58077781e-1f, -2.1568934e-1f,  5.58478186e-1f};
#else
    static const real c[] = {0.27702693407748492, 0.29514401575001958,  0.13155087231557164,   -0.10164249861195661,
                             -0.11620023739310467, 0.099902836322207868, 0.10548074460830948,  -0.16809779849753181,
                             -0.05460801790735082, 0.29469215369320836,  -0.15128936457178671, -0.37655909915975415,
                             0.67457662760211518,  -0.034198264019028212, -1.3523227913246105, 1.8797803695270312,
                             0.56098053648464249,  -5.3495794607434796,  4.9210464544818414,   6.3181952096592186,
                             -11.148516681811127};
#endif
    const vec s = 1 / vfma(t, vset(IF32(0.625f, 0.5)), vset(1)), u = s - (real)0.3125;
    return s * vpolynomial(u, u * u, c, (int)(sizeof c / sizeof c[0]) - 1);
}

/* erf x; past 1 as 1 - 2 Phi(-x sqrt(2)) */
INLINE vec verf(vec x)
{
    const vec most = vset(IF32(4.0f, 6.0)), magnitude = vmin(most, vabs(x)); /* erf(most) is 1 */
    ivec n;
    const vec q = vexp_reduced(-magnitude * magnitude, &n), power = vpower_of_2(n, 0);
    const vec far = vfma(vtail(magnitude * (real)1.4142135623730951) * -2, vfma(q, power, power), vset(1));
    return vselect(vless(vset(1), magnitude), vfrom_bits(vbits(far) | (vbits(x) & SIGN_BIT)), verf_near(x));
}

#endif
