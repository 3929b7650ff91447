/* What a block does besides its linear layers, for x86-64 processors that multiply bfloat16: by matrix
   units (AMX, where the compiler is told of them) or by vectors (AVX-512 BF16).

   Compiled when it is first needed (cpu_kernels.py), once per head size (HEAD, a multiple of 32) and
   kind of positions (ROTARY, 0 or 1). Numbers are bfloat16 in memory and float32 in between.

   Products are made of tiles: C (16 x 16 float32) += A (16 x 32 bfloat16) B (32 x 16). A is read row
   by row; B in pairs of rows, so that element (k, n) lies at [k / 2][n][k % 2]. "Over the head" means
   that the 32 numbers that are summed over are a head's, "over positions" that they are 32 positions'.
   Shape letters as in layers.py: B batch, L positions, H heads; N is L in whole tiles.
*/
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef uint16_t bf16;
enum { HALF = HEAD / 2, TILE = 512, ROWS = 64 }; /* numbers in a tile of A or B; queries at a time */
#define EACH(i, stop, step) for (long i = 0; i < (stop); i += (step))
#define SMALL 32768 /* numbers, fewer than which one thread does sooner alone */
#define INLINE static inline __attribute__((always_inline)) void
/* Compilers before GCC 14 do not know what the tile instructions read: memory is to be up to date. */
#define SEEN(x) __asm__ volatile("" : : "r"(x) : "memory")
#define AFAR 1e4f /* 2^-AFAR is 0 */

static __m512 widened(const bf16 *x) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static void put(bf16 *to, __m512 x) { _mm256_storeu_si256((void *)to, (__m256i)_mm512_cvtneps_pbh(x)); }

static __m512i narrowed(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

/* 2^x for x up to 127, to 3 millionths, far finer than bfloat16; 0 far below. */
static __m512 exp2_of(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 part = _mm512_sub_ps(x, whole), sum = _mm512_set1_ps(1.3333558e-3f);
    const float taylor[] = {9.6181291e-3f, 5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f, 1};
    EACH(i, 5, 1) sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(taylor[i]));
    return _mm512_scalef_ps(sum, whole);
}

/* A head's numbers at one position, rotated by its angles (or back, turn = -1), times a factor. */
static void rotated(__m512 out[HEAD / 16], const __m512 in[HEAD / 16], const float *cos, const float *sin, float turn) {
    EACH(i, HALF / 16, 1) {
        __m512 first = in[i], second = in[i + HALF / 16];
#if ROTARY
        __m512 c = _mm512_loadu_ps(cos + 16 * i);
        __m512 s = _mm512_mul_ps(_mm512_set1_ps(turn), _mm512_loadu_ps(sin + 16 * i));
        out[i] = _mm512_fnmadd_ps(second, s, _mm512_mul_ps(first, c));
        out[i + HALF / 16] = _mm512_fmadd_ps(first, s, _mm512_mul_ps(second, c));
#else
        out[i] = first, out[i + HALF / 16] = second;
#endif
    }
}

/* Rows of HEAD numbers out of memory, `stride` apart, rotated where `cos`; the rest up to `all` 0. */
static void gather(bf16 *to, const bf16 *from, long stride, long rows, long all, const float *cos, const float *sin) {
    EACH(r, rows, 1) {
        __m512 in[HEAD / 16], out[HEAD / 16];
        EACH(i, HEAD / 16, 1) in[i] = widened(from + r * stride + 16 * i);
        if (cos) rotated(out, in, cos + r * HALF, sin + r * HALF, 1);
        EACH(i, HEAD / 16, 1) put(to + r * HEAD + 16 * i, cos ? out[i] : in[i]);
    }
    memset(to + rows * HEAD, 0, (all - rows) * HEAD * sizeof(bf16));
}

/* Rows (rows x HEAD) as B tiles of their transpose, over the head: for every 16 rows HEAD / 32 tiles. */
static void over_head(bf16 *to, const bf16 *from, long rows) {
    __m512i apart = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(HALF));
    EACH(r, rows / 16, 1) EACH(pair, HALF, 1) {
        const int *first = (const int *)(from + r * 16 * HEAD) + pair;
        _mm512_storeu_si512(to + (r * HALF + pair) * 32, _mm512_i32gather_epi32(apart, first, 4));
    }
}

static __m512i interleaved(__m256i even, __m256i odd) {
    __m512i low = _mm512_cvtepu16_epi32(even), high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16);
    return _mm512_or_si512(low, high);
}

/* Rows (rows x HEAD) as B tiles over positions: for every 32 rows HEAD / 16 tiles. */
static void over_positions(bf16 *to, const bf16 *from, long rows) {
    EACH(r, rows, 2) EACH(i, HEAD / 16, 1) {
        const bf16 *even = from + r * HEAD + 16 * i;
        __m512i both = interleaved(
            _mm256_loadu_si256((const void *)even), _mm256_loadu_si256((const void *)(even + HEAD)));
        _mm512_storeu_si512(to + (r / 32 * (HEAD / 16) + i) * TILE + r % 32 * 16, both);
    }
}

/* `block`: C (32 x 32 float32, or 16 x 32 without `more`; rows `width` apart; added to with `add`) = A B over
   32 `steps` numbers. A's rows are `stride` apart, and its next 32 numbers `next_a`. Of B's tiles the one of
   C's right half is `beside` that of the left, and those of the next 32 numbers are `next_b` further. */
#ifdef __AMX_BF16__

/* Ask the system for the matrix units, for the whole process; 0 if granted. */
int trm_request(void) { return (int)syscall(SYS_arch_prctl, 0x1023, 18); }

static void begin(void) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } all = {.palette = 1};
    EACH(tile, 8, 1) all.row_bytes[tile] = 64, all.rows[tile] = 16;
    SEEN(&all);
    _tile_loadconfig(&all);
}

static void end(void) { _tile_release(); }

INLINE block(float *to, long width, const bf16 *a, long stride, long next_a, const bf16 *b, long beside,
                  long next_b, long steps, int more, int add) {
    float *low = to + 16 * width;
    SEEN(a);
    if (add) { _tile_loadd(0, to, 4 * width); _tile_loadd(1, to + 16, 4 * width); }
    else { _tile_zero(0); _tile_zero(1); }
    if (more && add) { _tile_loadd(2, low, 4 * width); _tile_loadd(3, low + 16, 4 * width); }
    else if (more) { _tile_zero(2); _tile_zero(3); }
    EACH(k, steps, 1) {
        _tile_loadd(4, a + next_a * k, 2 * stride);
        if (more) _tile_loadd(5, a + 16 * stride + next_a * k, 2 * stride);
        _tile_loadd(6, b + next_b * k, 64); _tile_loadd(7, b + beside + next_b * k, 64);
        _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
        if (more) { _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7); }
    }
    _tile_stored(0, to, 4 * width); _tile_stored(1, to + 16, 4 * width);
    if (more) { _tile_stored(2, low, 4 * width); _tile_stored(3, low + 16, 4 * width); }
    SEEN(to);
}

#else

int trm_request(void) { return 0; }
static void begin(void) {}
static void end(void) {}

INLINE block(float *to, long width, const bf16 *a, long stride, long next_a, const bf16 *b, long beside,
                  long next_b, long steps, int more, int add) {
    EACH(r, more ? 32 : 16, 8) {
        __m512 c[8][2];
        EACH(i, 8, 1) EACH(n, 2, 1) c[i][n] = add ? _mm512_load_ps(to + (r + i) * width + 16 * n) : _mm512_setzero_ps();
        EACH(k, steps, 1) EACH(pair, 16, 1) {
            const bf16 *from = b + next_b * k + 32 * pair;
            __m512bh left = (__m512bh)_mm512_load_si512(from), right = (__m512bh)_mm512_load_si512(from + beside);
            EACH(i, 8, 1) {
                const int *both = (const int *)(a + (r + i) * stride + next_a * k) + pair;
                __m512bh x = (__m512bh)_mm512_set1_epi32(*both);
                c[i][0] = _mm512_dpbf16_ps(c[i][0], x, left), c[i][1] = _mm512_dpbf16_ps(c[i][1], x, right);
            }
        }
        EACH(i, 8, 1) EACH(n, 2, 1) _mm512_store_ps(to + (r + i) * width + 16 * n, c[i][n]);
    }
}

#endif

/* C (32 x 32) = A B^T with A and B^T rows of HEAD numbers, B given over the head. */
INLINE products(float *to, long width, const bf16 *a, const bf16 *b) {
    block(to, width, a, HEAD, 32, b, HEAD / 32 * TILE, TILE, HEAD / 32, 1, 0);
}

/* C (32 x 32) = a sum over `steps` times 32 numbers: A rows `stride` apart, B tiles `apart`. */
INLINE sums(float *to, long width, const bf16 *a, long stride, const bf16 *b, long apart, long steps) {
    block(to, width, a, stride, 32, b, TILE, apart, steps, 1, 0);
}

/* C (16 x HEAD) += `steps` A tiles of 16 x 32, `apart`, times B tiles over positions. */
INLINE added(float *to, const bf16 *a, long apart, const bf16 *b, long steps) {
    EACH(d, HEAD, 32) block(to + d, HEAD, a, 32, apart, b + d / 16 * TILE, TILE, HEAD / 16 * TILE, steps, 0, 1);
}

/* Of 16 of L scores, from j on, those that there are. */
static __mmask16 there(long j, long L) { return L - j >= 16 ? 0xffff : L <= j ? 0 : (1 << (L - j)) - 1; }

/* Scores of one position (L of N float32) to weights (N bfloat16, not yet divided by their sum).
   Returns log2 of the sum of 2^(factor score); `*total` is the sum of the weights. */
static float softmax(bf16 *to, const float *scores, long L, long N, float factor, float *total) {
    const long whole = L / 32 * 32;
    __m512 c = _mm512_set1_ps(factor), most[2], sum[2];
    EACH(h, 2, 1) most[h] = _mm512_set1_ps(-INFINITY), sum[h] = _mm512_setzero_ps();
    EACH(j, whole, 32) EACH(h, 2, 1) most[h] = _mm512_max_ps(most[h], _mm512_load_ps(scores + j + 16 * h));
    if (whole < N) EACH(h, 2, 1) {
        long j = whole + 16 * h;
        most[h] = _mm512_mask_max_ps(most[h], there(j, L), most[h], _mm512_load_ps(scores + j));
    }
    float largest = factor * _mm512_reduce_max_ps(_mm512_max_ps(most[0], most[1]));
    __m512 m = _mm512_set1_ps(largest), e[2];
    EACH(j, whole, 32) {
        EACH(h, 2, 1) {
            e[h] = exp2_of(_mm512_fmsub_ps(_mm512_load_ps(scores + j + 16 * h), c, m));
            sum[h] = _mm512_add_ps(sum[h], e[h]);
        }
        _mm512_store_si512(to + j, narrowed(e[0], e[1]));
    }
    if (whole < N) {
        EACH(h, 2, 1) {
            long j = whole + 16 * h;
            e[h] = exp2_of(_mm512_fmsub_ps(_mm512_load_ps(scores + j), c, m));
            e[h] = _mm512_maskz_mov_ps(there(j, L), e[h]);
            sum[h] = _mm512_add_ps(sum[h], e[h]);
        }
        _mm512_store_si512(to + whole, narrowed(e[0], e[1]));
    }
    *total = _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
    return largest + log2f(*total);
}

static void *memory(long numbers, long size) { return aligned_alloc(64, (numbers * size + 63) / 64 * 64); }

/* Attention of every position to all. qkv (B, L, 3H, HEAD); cos and sin (L, HEAD / 2) float32;
   out (B, L, H, HEAD); log_sums (B, H, L) float32, for the way back. */
void trm_attention(const bf16 *qkv, const float *cos, const float *sin, bf16 *out, float *log_sums, long B, long L, long H,
               int threads) {
    const long N = (L + 31) / 32 * 32, row = 3 * H * HEAD;
    const float factor = 1.44269504f / sqrtf(HEAD);
#pragma omp parallel num_threads(threads)
    {
        begin();
        bf16 *rows = memory(N * HEAD, 2), *keys = memory(N * HEAD, 2), *values = memory(N * HEAD, 2);
        bf16 *queries = memory(32 * HEAD, 2), *weights = memory(32 * N, 2);
        float *scores = memory(32 * N, 4), *mixed = memory(32 * HEAD, 4);
#pragma omp for schedule(dynamic)
        EACH(task, B * H, 1) {
            const bf16 *q = qkv + task / H * L * row + task % H * HEAD, *k = q + H * HEAD, *v = k + H * HEAD;
            gather(rows, k, row, L, N, cos, sin);
            over_head(keys, rows, N);
            gather(rows, v, row, L, N, NULL, NULL);
            over_positions(values, rows, N);
            EACH(q0, L, 32) {
                long some = L - q0 < 32 ? L - q0 : 32;
                gather(queries, q + q0 * row, row, some, 32, cos + q0 * HALF, sin + q0 * HALF);
                EACH(j, N, 32) products(scores + j, N, queries, keys + j * HEAD);
                float total[32];
                EACH(i, some, 1)
                log_sums[task * L + q0 + i] = softmax(weights + i * N, scores + i * N, L, N, factor, total + i);
                EACH(d, HEAD, 32)
                sums(mixed + d, HEAD, weights, N, values + d / 16 * TILE, HEAD / 16 * TILE, N / 32);
                EACH(i, some, 1) EACH(d, HEAD, 16)
                put(out + ((task / H * L + q0 + i) * H + task % H) * HEAD + d,
                    _mm512_div_ps(_mm512_load_ps(mixed + i * HEAD + d), _mm512_set1_ps(total[i])));
            }
        }
        end();
        free(rows), free(keys), free(values), free(queries), free(weights), free(scores), free(mixed);
    }
}

/* Gradient of `trm_attention` by qkv (the same shape), of that by its output (B, L, H, HEAD).

   With the scores S, weights P = softmax(S) and outputs O = P V: dV = P^T dO, dP = dO V^T,
   dS = P (dP - sum of dO O), dQ = dS K, dK = dS^T Q (FlashAttention, arXiv 2205.14135, appendix B).
   Scores are made anew, transposed: keys by queries. */
void trm_attention_backward(const bf16 *qkv, const float *cos, const float *sin, const bf16 *out,
                            const float *log_sums, const bf16 *d_out, bf16 *d_qkv, long B, long L, long H, int threads) {
    const long N = (L + 31) / 32 * 32, row = 3 * H * HEAD, out_row = H * HEAD;
    const float scale = 1 / sqrtf(HEAD), factor = 1.44269504f * scale;
#pragma omp parallel num_threads(threads)
    {
        begin();
        bf16 *k = memory(N * HEAD, 2), *v = memory(N * HEAD, 2), *kt = memory(N * HEAD, 2);
        float *dk = memory(N * HEAD, 4), *dv = memory(N * HEAD, 4), *dq = memory(ROWS * HEAD, 4);
        bf16 *q = memory(ROWS * HEAD, 2), *q_head = memory(ROWS * HEAD, 2), *q_rows = memory(ROWS * HEAD, 2);
        bf16 *g = memory(ROWS * HEAD, 2), *g_head = memory(ROWS * HEAD, 2), *g_rows = memory(ROWS * HEAD, 2);
        bf16 *p = memory(ROWS * N, 2), *ds = memory(ROWS * N, 2), *ds_pairs = memory(ROWS * N, 2);
        float *s = memory(32 * 32, 4), *dp = memory(32 * 32, 4);
#pragma omp for schedule(dynamic)
        EACH(task, B * H, 1) {
            const long b = task / H, h = task % H, from = b * L * row + h * HEAD, to = b * L * out_row + h * HEAD;
            gather(k, qkv + from + H * HEAD, row, L, N, cos, sin);
            gather(v, qkv + from + 2 * H * HEAD, row, L, N, NULL, NULL);
            EACH(j, N, 1) EACH(d, HEAD, 1) kt[d * N + j] = k[j * HEAD + d];
            memset(dk, 0, N * HEAD * 4), memset(dv, 0, N * HEAD * 4);
            EACH(q0, L, ROWS) {
                const long some = L - q0 < ROWS ? L - q0 : ROWS;
                float log_sum[ROWS], delta[ROWS];
                gather(q, qkv + from + q0 * row, row, some, ROWS, cos + q0 * HALF, sin + q0 * HALF);
                gather(g, d_out + to + q0 * out_row, out_row, some, ROWS, NULL, NULL);
                over_head(q_head, q, ROWS), over_positions(q_rows, q, ROWS);
                over_head(g_head, g, ROWS), over_positions(g_rows, g, ROWS);
                EACH(i, ROWS, 1) {
                    __m512 sum = _mm512_setzero_ps();
                    if (i < some) EACH(d, HEAD, 16)
                    sum = _mm512_fmadd_ps(widened(g + i * HEAD + d), widened(out + to + (q0 + i) * out_row + d), sum);
                    delta[i] = _mm512_reduce_add_ps(sum);
                    log_sum[i] = i < some ? log_sums[task * L + q0 + i] : AFAR;
                }
                EACH(j, N, 32) EACH(half, ROWS, 32) {
                    products(s, 32, k + j * HEAD, q_head + half * HEAD);
                    products(dp, 32, v + j * HEAD, g_head + half * HEAD);
                    bf16 *p_to = p + half * N + j * 32, *ds_to = ds + half * N + j * 32;
                    EACH(r, 32, 2) {
                        __m512 weight[2][2], slope[2][2];
                        EACH(one, 2, 1) EACH(i, 2, 1) {
                            __m512 score = _mm512_load_ps(s + (r + one) * 32 + 16 * i);
                            __m512 log_of = _mm512_loadu_ps(log_sum + half + 16 * i);
                            __mmask16 real = j + r + one < L ? 0xffff : 0;
                            __m512 e = exp2_of(_mm512_fmsub_ps(score, _mm512_set1_ps(factor), log_of));
                            e = _mm512_maskz_mov_ps(real, e);
                            __m512 up = _mm512_load_ps(dp + (r + one) * 32 + 16 * i);
                            weight[one][i] = e;
                            slope[one][i] = _mm512_mul_ps(e, _mm512_sub_ps(up, _mm512_loadu_ps(delta + half + 16 * i)));
                        }
                        EACH(one, 2, 1) {
                            _mm512_store_si512(p_to + (r + one) * 32, narrowed(weight[one][0], weight[one][1]));
                            _mm512_store_si512(ds_to + (r + one) * 32, narrowed(slope[one][0], slope[one][1]));
                        }
                        EACH(i, 2, 1)
                        _mm512_store_si512(
                            ds_pairs + half * N + (j / 32 * 2 + i) * TILE + r * 16,
                            interleaved((__m256i)_mm512_cvtneps_pbh(slope[0][i]), (__m256i)_mm512_cvtneps_pbh(slope[1][i])));
                    }
                }
                EACH(j, N, 16) {
                    added(dv + j * HEAD, p + j * 32, 32 * N, g_rows, ROWS / 32);
                    added(dk + j * HEAD, ds + j * 32, 32 * N, q_rows, ROWS / 32);
                }
                EACH(half, ROWS, 32) EACH(d, HEAD, 32)
                sums(dq + d * ROWS + half, ROWS, kt + d * N, N, ds_pairs + half * N, 2 * TILE, N / 32);
                EACH(i, some, 1) {
                    float line[HEAD];
                    __m512 in[HEAD / 16], back[HEAD / 16];
                    EACH(d, HEAD, 1) line[d] = scale * dq[d * ROWS + i];
                    EACH(d, HEAD / 16, 1) in[d] = _mm512_loadu_ps(line + 16 * d);
                    rotated(back, in, cos + (q0 + i) * HALF, sin + (q0 + i) * HALF, -1);
                    EACH(d, HEAD / 16, 1) put(d_qkv + from + (q0 + i) * row + 16 * d, back[d]);
                }
            }
            EACH(j, L, 1) {
                __m512 in[HEAD / 16], back[HEAD / 16];
                bf16 *dk_to = d_qkv + from + j * row + H * HEAD, *dv_to = dk_to + H * HEAD;
                EACH(d, HEAD / 16, 1)
                in[d] = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_load_ps(dk + j * HEAD + 16 * d));
                rotated(back, in, cos + j * HALF, sin + j * HALF, -1);
                EACH(d, HEAD / 16, 1) put(dk_to + 16 * d, back[d]);
                EACH(d, HEAD / 16, 1) put(dv_to + 16 * d, _mm512_load_ps(dv + j * HEAD + 16 * d));
            }
        }
        end();
        free(k), free(v), free(kt), free(dk), free(dv), free(dq), free(q), free(q_head), free(q_rows), free(g);
        free(g_head), free(g_rows), free(p), free(ds), free(ds_pairs), free(s), free(dp);
    }
}

/* h = a + b, kept as x, and x / sqrt(mean(x^2) + epsilon) for rows of `width`, a multiple of 16. */
void trm_residual_norm(const bf16 *a, const bf16 *b, bf16 *x, bf16 *out, float *scales, float epsilon, long rows,
                   long width, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * width > SMALL)
    EACH(r, rows, 1) {
        __m512 squares = _mm512_setzero_ps();
        bf16 *row = x + r * width;
        EACH(i, width, 16) {
            put(row + i, _mm512_add_ps(widened(a + r * width + i), widened(b + r * width + i)));
            squares = _mm512_fmadd_ps(widened(row + i), widened(row + i), squares);
        }
        scales[r] = 1 / sqrtf(_mm512_reduce_add_ps(squares) / width + epsilon);
        __m512 scale = _mm512_set1_ps(scales[r]);
        EACH(i, width, 16) put(out + r * width + i, _mm512_mul_ps(widened(row + i), scale));
    }
}

/* Gradient by x of what `trm_residual_norm` makes of it. */
void trm_norm_backward(const bf16 *x, const float *scales, const bf16 *gradient, bf16 *out, long rows, long width, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * width > SMALL)
    EACH(r, rows, 1) {
        const bf16 *row = x + r * width, *g = gradient + r * width;
        __m512 both = _mm512_setzero_ps(), scale = _mm512_set1_ps(scales[r]);
        EACH(i, width, 16) both = _mm512_fmadd_ps(widened(row + i), widened(g + i), both);
        __m512 along = _mm512_set1_ps(_mm512_reduce_add_ps(both) * scales[r] * scales[r] * scales[r] / width);
        EACH(i, width, 16) {
            __m512 straight = _mm512_mul_ps(widened(g + i), scale);
            put(out + r * width + i, _mm512_fnmadd_ps(widened(row + i), along, straight));
        }
    }
}

static __m512 sigmoid(__m512 x) {
    __m512 one = _mm512_set1_ps(1);
    return _mm512_div_ps(one, _mm512_add_ps(one, exp2_of(_mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f)))));
}

/* SiLU(gate) up of rows that hold `width` gates, then as many ups; a multiple of 16. */
void trm_gated_silu(const bf16 *gate_up, bf16 *out, long rows, long width, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * width > SMALL)
    EACH(r, rows, 1) EACH(i, width, 16) {
        const bf16 *from = gate_up + 2 * r * width + i;
        __m512 gate = widened(from);
        put(out + r * width + i, _mm512_mul_ps(_mm512_mul_ps(gate, sigmoid(gate)), widened(from + width)));
    }
}

/* Gradient of `trm_gated_silu` by gate_up. */
void trm_gated_silu_backward(const bf16 *gate_up, const bf16 *gradient, bf16 *out, long rows, long width, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * width > SMALL)
    EACH(r, rows, 1) EACH(i, width, 16) {
        const bf16 *from = gate_up + 2 * r * width + i;
        bf16 *to = out + 2 * r * width + i;
        __m512 gate = widened(from), g = widened(gradient + r * width + i), share = sigmoid(gate);
        __m512 silu = _mm512_mul_ps(gate, share);
        /* SiLU' = s + x s (1 - s) */
        __m512 slope = _mm512_add_ps(share, _mm512_fnmadd_ps(silu, share, silu));
        put(to, _mm512_mul_ps(_mm512_mul_ps(g, widened(from + width)), slope));
        put(to + width, _mm512_mul_ps(g, silu));
    }
}
