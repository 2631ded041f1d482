/* Every kernel: one prototype each, from which the table of an instruction set (table.c) and the functions
   that Cython calls (dispatch.c) are stamped. The equations are those of minidl/kernels/reference.py.

   Letters: n elements, B batch or rows, T time, D features in, U units, N rows of a table, K classes.
   Arrays are dense and in C order, with the shape that stands beside them. Outputs overlap no input.
   Scalars are double and are rounded to real once. Ids are int64, and the caller has checked them.
   A kernel returns 0, or -1 where it could not get memory for scratch; the outputs then hold nothing.

   KERNELS(K, real) lists K(name, (parameters), (their names)); in a kernel file the function is
   int NAME(name)(parameters). */
#ifndef MINIDL_KERNELS_H
#define MINIDL_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Activations. Two of them take numbers: leaky_relu its slope, as alpha, and elu its alpha and scale. */
enum { RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU };

/* Arithmetic. */
enum { ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM };
#define RAISED_WARNING 1   /* NumPy warns of a result, unless it is told not to */
#define RAISED_UNDERFLOW 2 /* it does so if it is told to */

/* flags of the kernel gemm */
#define GEMM_ACCUMULATE 1 /* c += a b, not c = a b */
#define GEMM_FLUSH 2      /* denormals count as zero */

#define KERNELS(K, real)                                                                                  \
    /* ---- elementary.c: x, y, dx (n); dy (n) with dy_step 1, or one number with 0 */                    \
    K(exp, (ptrdiff_t n, const real *x, real *y), (n, x, y))                                              \
    K(tanh, (ptrdiff_t n, const real *x, real *y), (n, x, y))                                             \
    K(tanh_backward, (ptrdiff_t n, const real *dy, ptrdiff_t dy_step, const real *y, real *dx),           \
      (n, dy, dy_step, y, dx))                                                                            \
    K(sigmoid, (ptrdiff_t n, const real *x, real *y), (n, x, y))                                          \
    K(sigmoid_backward, (ptrdiff_t n, const real *dy, ptrdiff_t dy_step, const real *y, real *dx),        \
      (n, dy, dy_step, y, dx))                                                                            \
    K(erf, (ptrdiff_t n, const real *x, real *y), (n, x, y))                                              \
    K(log, (ptrdiff_t n, const real *x, real *y), (n, x, y))                                              \
    K(sqrt, (ptrdiff_t n, const real *x, real *y), (n, x, y))                                             \
    K(absolute, (ptrdiff_t n, const real *x, real *y), (n, x, y))                                         \
    K(clip, (ptrdiff_t n, const real *x, double low, double high, real *y), (n, x, low, high, y))         \
    /* ---- activations.c: x, y, dx (n); dy (n) with dy_step 1, or one number with 0; which: RELU and so on */ \
    K(activation_forward,                                                                                 \
      (ptrdiff_t n, int which, double alpha, double scale, const real *x, real *y),                       \
      (n, which, alpha, scale, x, y))                                                                     \
    K(activation_backward,                                                                                \
      (ptrdiff_t n, int which, double alpha, double scale, const real *dy, ptrdiff_t dy_step,             \
       const real *x, real *dx),                                                                          \
      (n, which, alpha, scale, dy, dy_step, x, dx))                                                       \
    /* ---- arithmetic.c: y of three sizes, and along each of them steps of a and b, the last ones 0 or 1; which: ADD and \
       so on; raised: RAISED_… */                                                                         \
    K(arithmetic,                                                                                         \
      (int which, const ptrdiff_t *sizes, const real *a, const ptrdiff_t *a_steps, const real *b,         \
       const ptrdiff_t *b_steps, real *y, int *raised),                                                   \
      (which, sizes, a, a_steps, b, b_steps, y, raised))                                                  \
    /* ---- copy.c: y of up to 64 axes, and along each of them how many numbers of x are from one to the next */ \
    K(copy, (int axes, const ptrdiff_t *sizes, const ptrdiff_t *steps, const real *x, real *y),           \
      (axes, sizes, steps, x, y))                                                                         \
    /* ---- select.c: condition, y, and a and b (n), or one number where their step is 0 and not 1 */      \
    K(where,                                                                                              \
      (ptrdiff_t n, const uint8_t *condition, const real *a, ptrdiff_t a_step, const real *b,             \
       ptrdiff_t b_step, real *y),                                                                        \
      (n, condition, a, a_step, b, b_step, y))                                                            \
    /* ---- gemm.c: c (m, n) = a (m, k) b (k, n), rows and columns any number of reals apart; flags: GEMM_… */ \
    K(gemm,                                                                                               \
      (ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const real *a, ptrdiff_t a_row, ptrdiff_t a_col,            \
       const real *b, ptrdiff_t b_row, ptrdiff_t b_col, real *c, ptrdiff_t c_row, int flags),             \
      (m, n, k, a, a_row, a_col, b, b_row, b_col, c, c_row, flags))                                       \
    /* as many products in dense c (count, m, n), of matrices that begin places[2i] and places[2i + 1] from a and b */ \
    K(gemm_stack,                                                                                         \
      (ptrdiff_t count, const ptrdiff_t *places, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const real *a,    \
       ptrdiff_t a_row, ptrdiff_t a_col, const real *b, ptrdiff_t b_row, ptrdiff_t b_col, real *c),       \
      (count, places, m, n, k, a, a_row, a_col, b, b_row, b_col, c))                                      \
    /* ---- reduce.c: x (B, n), y (B); of columns x (B, rows, n), y (B, n) */                             \
    K(sum_rows, (ptrdiff_t batch, ptrdiff_t n, const real *x, real *y), (batch, n, x, y))                 \
    K(sum_columns, (ptrdiff_t batch, ptrdiff_t rows, ptrdiff_t n, const real *x, real *y),                \
      (batch, rows, n, x, y))                                                                             \
    /* ---- extremes.c: x, dx (B, n, columns), y, dy (B, columns), n > 0; largest: 1 or 0 */               \
    K(extreme_forward,                                                                                    \
      (ptrdiff_t batch, ptrdiff_t n, ptrdiff_t columns, int largest, const real *x, real *y),             \
      (batch, n, columns, largest, x, y))                                                                 \
    K(extreme_backward,                                                                                   \
      (ptrdiff_t batch, ptrdiff_t n, ptrdiff_t columns, const real *dy, const real *x, const real *y,     \
       real *dx),                                                                                         \
      (batch, n, columns, dy, x, y, dx))                                                                  \
    /* ---- distance.c: e, de (B, K), y, dy (B) */                                                        \
    K(huber_forward, (ptrdiff_t batch, ptrdiff_t columns, const real *e, double delta, real *y),          \
      (batch, columns, e, delta, y))                                                                      \
    K(huber_backward,                                                                                     \
      (ptrdiff_t batch, ptrdiff_t columns, const real *dy, const real *e, double delta, real *de),        \
      (batch, columns, dy, e, delta, de))                                                                 \
    /* ---- softmax.c: x, y, dy, dx (B, K) */                                                             \
    K(softmax_forward, (ptrdiff_t batch, ptrdiff_t classes, const real *x, real *y),                      \
      (batch, classes, x, y))                                                                             \
    K(softmax_backward, (ptrdiff_t batch, ptrdiff_t classes, const real *dy, const real *y, real *dx),    \
      (batch, classes, dy, y, dx))                                                                        \
    K(log_softmax_forward, (ptrdiff_t batch, ptrdiff_t classes, const real *x, real *y),                  \
      (batch, classes, x, y))                                                                             \
    K(log_softmax_backward,                                                                               \
      (ptrdiff_t batch, ptrdiff_t classes, const real *dy, const real *y, real *dx),                      \
      (batch, classes, dy, y, dx))                                                                        \
    /* ---- cross_entropy.c: logits, targets, probabilities, dlogits (B, K); labels, loss, dloss (B) */   \
    K(softmax_cross_entropy_forward,                                                                      \
      (ptrdiff_t batch, ptrdiff_t classes, const real *logits, const real *targets, real *loss,           \
       real *probabilities),                                                                              \
      (batch, classes, logits, targets, loss, probabilities))                                             \
    K(softmax_cross_entropy_backward,                                                                     \
      (ptrdiff_t batch, ptrdiff_t classes, const real *dloss, const real *probabilities,                  \
       const real *targets, real *dlogits),                                                               \
      (batch, classes, dloss, probabilities, targets, dlogits))                                           \
    K(sparse_cross_entropy_forward,                                                                       \
      (ptrdiff_t batch, ptrdiff_t classes, const real *logits, const int64_t *labels, real *loss,         \
       real *probabilities),                                                                              \
      (batch, classes, logits, labels, loss, probabilities))                                              \
    K(sparse_cross_entropy_backward,                                                                      \
      (ptrdiff_t batch, ptrdiff_t classes, const real *dloss, const real *probabilities,                  \
       const int64_t *labels, real *dlogits),                                                             \
      (batch, classes, dloss, probabilities, labels, dlogits))                                            \
    /* ---- cross_entropy.c, the binary one: logits, targets, loss, dloss, dlogits (n) */                 \
    K(sigmoid_cross_entropy_forward,                                                                      \
      (ptrdiff_t n, const real *logits, const real *targets, real *loss),                                 \
      (n, logits, targets, loss))                                                                         \
    K(sigmoid_cross_entropy_backward,                                                                     \
      (ptrdiff_t n, const real *dloss, const real *logits, const real *targets, real *dlogits),           \
      (n, dloss, logits, targets, dlogits))                                                               \
    /* ---- embedding.c: table, dtable (N, U), ids (n), y, dy (n, U) */                                   \
    K(embedding_forward, (ptrdiff_t n, ptrdiff_t units, const real *table, const int64_t *ids, real *y),  \
      (n, units, table, ids, y))                                                                          \
    K(embedding_backward,                                                                                 \
      (ptrdiff_t n, ptrdiff_t rows, ptrdiff_t units, const real *dy, const int64_t *ids, real *dtable),   \
      (n, rows, units, dy, ids, dtable))                                                                  \
    /* ---- random.c: words, x, y (n); an element is kept where its word >= threshold */                   \
    K(random_bits, (ptrdiff_t n, uint64_t seed, uint64_t offset, uint32_t *words), (n, seed, offset, words)) \
    K(dropout,                                                                                            \
      (ptrdiff_t n, uint64_t threshold, double scale, uint64_t seed, uint64_t offset, const real *x,      \
       real *y),                                                                                          \
      (n, threshold, scale, seed, offset, x, y))                                                          \
    /* ---- lstm.c: x, dx (B, T, D), kernel (D, 4U), recurrent (U, 4U), bias (4U), mask (B, T) or NULL,      \
       y, dy (B, T, U), h, c, h0, c0 and their gradients (B, U); kept for backward: gates (T, B, 4U),     \
       h_before, c_before (T, B, U), or all NULL. dy, dh and dc may be NULL. */                           \
    K(lstm_forward,                                                                                       \
      (ptrdiff_t batch, ptrdiff_t time, ptrdiff_t features, ptrdiff_t units, const real *x,               \
       const real *h0, const real *c0, const real *kernel, const real *recurrent, const real *bias,       \
       const uint8_t *mask, int reverse, real *y, real *h, real *c, real *gates, real *h_before,          \
       real *c_before),                                                                                   \
      (batch, time, features, units, x, h0, c0, kernel, recurrent, bias, mask, reverse, y, h, c, gates,   \
       h_before, c_before))                                                                               \
    K(lstm_backward,                                                                                      \
      (ptrdiff_t batch, ptrdiff_t time, ptrdiff_t features, ptrdiff_t units, const real *dy,              \
       const real *dh, const real *dc, const real *x, const real *kernel, const real *recurrent,          \
       const uint8_t *mask, int reverse, const real *gates, const real *h_before,                         \
       const real *c_before, real *dx, real *dh0, real *dc0, real *dkernel, real *drecurrent,             \
       real *dbias),                                                                                      \
      (batch, time, features, units, dy, dh, dc, x, kernel, recurrent, mask, reverse, gates, h_before,    \
       c_before, dx, dh0, dc0, dkernel, drecurrent, dbias))                                               \
    /* ---- steps.c, in place: w weights, g gradients, m, v, a moments (n) */                             \
    K(sgd_step, (ptrdiff_t n, real *w, const real *g, double lr), (n, w, g, lr))                          \
    K(momentum_step,                                                                                      \
      (ptrdiff_t n, real *w, const real *g, real *v, double lr, double momentum, int nesterov),           \
      (n, w, g, v, lr, momentum, nesterov))                                                               \
    K(adam_step,                                                                                          \
      (ptrdiff_t n, real *w, const real *g, real *m, real *v, double rate, double beta_1, double beta_2,  \
       double epsilon),                                                                                   \
      (n, w, g, m, v, rate, beta_1, beta_2, epsilon))                                                     \
    K(rmsprop_step, (ptrdiff_t n, real *w, const real *g, real *v, double lr, double rho, double epsilon), \
      (n, w, g, v, lr, rho, epsilon))                                                                     \
    K(adagrad_step, (ptrdiff_t n, real *w, const real *g, real *a, double lr, double epsilon),            \
      (n, w, g, a, lr, epsilon))

/* The kernels of one precision on one instruction set. */
#define MINIDL_MEMBER(name, parameters, names) int(*name) parameters;
typedef struct {
    KERNELS(MINIDL_MEMBER, float)
} Table_f32;
typedef struct {
    KERNELS(MINIDL_MEMBER, double)
} Table_f64;

#ifdef NAME /* simd.h came before: a kernel file */
#define MINIDL_PROTOTYPE(name, parameters, names) int NAME(name) parameters;
KERNELS(MINIDL_PROTOTYPE, real)
#endif

#endif
