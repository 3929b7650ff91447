/* Attention, residual + RMSNorm and SiLU(gate) * up, forward and backward, for x86-64 processors that
   multiply bfloat16: with matrix units (AMX, if the compiler targets them) or vectors (AVX-512 BF16).

   cpu_kernels.py compiles this file once per head size (HEAD, a multiple of 32) and position encoding
   (ROTARY: 1 rotates queries and keys, 0 does not). Tensors are contiguous and bfloat16 unless a
   comment says otherwise; sums are float32.

   Matrix products are made of tiles: C (16 x 16 float32) += A (16 x 32 bfloat16) B (32 x 16). A is
   stored row by row. B is stored in pairs of rows: element (k, n) is at [k / 2][n][k % 2]. A B tile
   "over the head" has 32 numbers of a head as its inner dimension k; one "over positions" has 32
   positions. Shape letters as in layers.py: B batch, L positions, H heads; N is L rounded up to 32.
*/
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef uint16_t bf16;
enum { HALF = HEAD / 2, TILE = 512, ROWS = 64 }; /* TILE: numbers in a tile of A or B; ROWS: queries at a time */
#define FOR(i, stop, step) for (long i = 0; i < (stop); i += (step))
#define ONE_THREAD_SIZE 32768 /* up to so many numbers, one thread is faster than several */
#define INLINE static inline __attribute__((always_inline)) void
/* GCC before 14 does not know which memory the tile instructions read: write pending values first. */
#define MEMORY_BARRIER(x) __asm__ volatile("" : : "r"(x) : "memory")
#define FAR_ABOVE 1e4f /* log2 of a sum, so large that 2^(score - FAR_ABOVE) is 0 */

static __m512 load_bf16(const bf16 *x) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static void store_bf16(bf16 *to, __m512 x) { _mm256_storeu_si256((void *)to, (__m256i)_mm512_cvtneps_pbh(x)); }

static __m512i pack_bf16(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

/* 2^x for x up to 127, with a relative error of 3e-6 (bfloat16 has 4e-3); 0 for x far below. */
static __m512 exp2_ps(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 part = _mm512_sub_ps(x, whole), sum = _mm512_set1_ps(1.3333558e-3f);
    const float taylor[] = {9.6181291e-3f, 5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f, 1};
    FOR(i, 5, 1) sum = _mm512_fmadd_ps(sum, part, _mm512_set1_ps(taylor[i]));
    return _mm512_scalef_ps(sum, whole);
}

/* Rotate one head's numbers at one position by its cosines and sines; direction = -1 rotates back. */
static void apply_rotary(__m512 out[HEAD / 16], const __m512 in[HEAD / 16], const float *cos, const float *sin,
                         float direction) {
    FOR(i, HALF / 16, 1) {
        __m512 first = in[i], second = in[i + HALF / 16];
#if ROTARY
        __m512 c = _mm512_loadu_ps(cos + 16 * i);
        __m512 s = _mm512_mul_ps(_mm512_set1_ps(direction), _mm512_loadu_ps(sin + 16 * i));
        out[i] = _mm512_fnmadd_ps(second, s, _mm512_mul_ps(first, c));
        out[i + HALF / 16] = _mm512_fmadd_ps(first, s, _mm512_mul_ps(second, c));
#else
        out[i] = first, out[i + HALF / 16] = second;
#endif
    }
}

/* Copy `rows` rows of HEAD numbers, `stride` apart, to adjacent rows, and fill rows up to `padded_rows` with 0.
   Rotate them unless `cos` is NULL. */
static void gather_rows(bf16 *to, const bf16 *from, long stride, long rows, long padded_rows,
                        const float *cos, const float *sin) {
    FOR(r, rows, 1) {
        __m512 in[HEAD / 16], out[HEAD / 16];
        FOR(i, HEAD / 16, 1) in[i] = load_bf16(from + r * stride + 16 * i);
        if (cos) apply_rotary(out, in, cos + r * HALF, sin + r * HALF, 1);
        FOR(i, HEAD / 16, 1) store_bf16(to + r * HEAD + 16 * i, cos ? out[i] : in[i]);
    }
    memset(to + rows * HEAD, 0, (padded_rows - rows) * HEAD * sizeof(bf16));
}

/* Write the transpose of `from` (rows x HEAD) as B tiles over the head: HEAD / 32 tiles per 16 rows. */
static void tile_over_head(bf16 *to, const bf16 *from, long rows) {
    __m512i apart = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(HALF));
    FOR(r, rows / 16, 1) FOR(pair, HALF, 1) {
        const int *first = (const int *)(from + r * 16 * HEAD) + pair;
        _mm512_storeu_si512(to + (r * HALF + pair) * 32, _mm512_i32gather_epi32(apart, first, 4));
    }
}

static __m512i interleave(__m256i even, __m256i odd) {
    __m512i low = _mm512_cvtepu16_epi32(even), high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16);
    return _mm512_or_si512(low, high);
}

/* Write `from` (rows x HEAD) as B tiles over positions: HEAD / 16 tiles per 32 rows. */
static void tile_over_positions(bf16 *to, const bf16 *from, long rows) {
    FOR(r, rows, 2) FOR(i, HEAD / 16, 1) {
        const bf16 *even = from + r * HEAD + 16 * i;
        __m512i both = interleave(
            _mm256_loadu_si256((const void *)even), _mm256_loadu_si256((const void *)(even + HEAD)));
        _mm512_storeu_si512(to + (r / 32 * (HEAD / 16) + i) * TILE + r % 32 * 16, both);
    }
}

/* matmul_block: C = A B, or C += A B with `add`, with an inner dimension of 32 `steps`.
   C (float32) is 32 x 32, or 16 x 32 without `more`; its rows are `width` apart. Rows of A are `stride` apart,
   the next 32 numbers of a row `next_a`. B's tile for the right half of C is `beside` after that for the left
   half; the tiles of the next 32 numbers are `next_b` further. */
#ifdef __AMX_BF16__

/* Ask Linux for permission to use AMX in this process (ARCH_REQ_XCOMP_PERM). Returns 0 if granted. */
int trm_request_amx(void) { return (int)syscall(SYS_arch_prctl, 0x1023, 18); }

static void configure_tiles(void) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } all = {.palette = 1};
    FOR(tile, 8, 1) all.row_bytes[tile] = 64, all.rows[tile] = 16;
    MEMORY_BARRIER(&all);
    _tile_loadconfig(&all);
}

static void release_tiles(void) { _tile_release(); }

INLINE matmul_block(float *to, long width, const bf16 *a, long stride, long next_a, const bf16 *b, long beside,
                    long next_b, long steps, int more, int add) {
    float *low = to + 16 * width;
    MEMORY_BARRIER(a);
    if (add) { _tile_loadd(0, to, 4 * width); _tile_loadd(1, to + 16, 4 * width); }
    else { _tile_zero(0); _tile_zero(1); }
    if (more && add) { _tile_loadd(2, low, 4 * width); _tile_loadd(3, low + 16, 4 * width); }
    else if (more) { _tile_zero(2); _tile_zero(3); }
    FOR(k, steps, 1) {
        _tile_loadd(4, a + next_a * k, 2 * stride);
        if (more) _tile_loadd(5, a + 16 * stride + next_a * k, 2 * stride);
        _tile_loadd(6, b + next_b * k, 64); _tile_loadd(7, b + beside + next_b * k, 64);
        _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
        if (more) { _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7); }
    }
    _tile_stored(0, to, 4 * width); _tile_stored(1, to + 16, 4 * width);
    if (more) { _tile_stored(2, low, 4 * width); _tile_stored(3, low + 16, 4 * width); }
    MEMORY_BARRIER(to);
}

#else

int trm_request_amx(void) { return 0; }
static void configure_tiles(void) {}
static void release_tiles(void) {}

INLINE matmul_block(float *to, long width, const bf16 *a, long stride, long next_a, const bf16 *b, long beside,
                    long next_b, long steps, int more, int add) {
    FOR(r, more ? 32 : 16, 8) {
        __m512 c[8][2];
        FOR(i, 8, 1) FOR(n, 2, 1) c[i][n] = add ? _mm512_load_ps(to + (r + i) * width + 16 * n) : _mm512_setzero_ps();
        FOR(k, steps, 1) FOR(pair, 16, 1) {
            const bf16 *from = b + next_b * k + 32 * pair;
            __m512bh left = (__m512bh)_mm512_load_si512(from), right = (__m512bh)_mm512_load_si512(from + beside);
            FOR(i, 8, 1) {
                const int *both = (const int *)(a + (r + i) * stride + next_a * k) + pair;
                __m512bh x = (__m512bh)_mm512_set1_epi32(*both);
                c[i][0] = _mm512_dpbf16_ps(c[i][0], x, left), c[i][1] = _mm512_dpbf16_ps(c[i][1], x, right);
            }
        }
        FOR(i, 8, 1) FOR(n, 2, 1) _mm512_store_ps(to + (r + i) * width + 16 * n, c[i][n]);
    }
}

#endif

/* C (32 x 32) = A B^T for A and B of 32 rows of HEAD numbers; `b` holds B as tiles over the head. */
INLINE matmul_transposed(float *to, long width, const bf16 *a, const bf16 *b) {
    matmul_block(to, width, a, HEAD, 32, b, HEAD / 32 * TILE, TILE, HEAD / 32, 1, 0);
}

/* C (32 x 32) = A B with an inner dimension of 32 `steps`: rows of A `stride` apart, tiles of B `apart`. */
INLINE matmul(float *to, long width, const bf16 *a, long stride, const bf16 *b, long apart, long steps) {
    matmul_block(to, width, a, stride, 32, b, TILE, apart, steps, 1, 0);
}

/* C (16 x HEAD) += A B with `steps` tiles of A (16 x 32), `apart`, and tiles of B over positions. */
INLINE matmul_add(float *to, const bf16 *a, long apart, const bf16 *b, long steps) {
    FOR(d, HEAD, 32) matmul_block(to + d, HEAD, a, 32, apart, b + d / 16 * TILE, TILE, HEAD / 16 * TILE, steps, 0, 1);
}

/* Mask of the scores j .. j + 15 that exist, of L scores. */
static __mmask16 tail_mask(long j, long L) { return L - j >= 16 ? 0xffff : L <= j ? 0 : (1 << (L - j)) - 1; }

/* Turn the L scores of one query (of N float32) into N unnormalised weights (bfloat16).
   Sets `*total` to the sum of the weights. Returns log2 of the sum of 2^(factor score). */
static float softmax(bf16 *to, const float *scores, long L, long N, float factor, float *total) {
    const long full_tiles = L / 32 * 32;
    __m512 c = _mm512_set1_ps(factor), most[2], sum[2];
    FOR(h, 2, 1) most[h] = _mm512_set1_ps(-INFINITY), sum[h] = _mm512_setzero_ps();
    FOR(j, full_tiles, 32) FOR(h, 2, 1) most[h] = _mm512_max_ps(most[h], _mm512_load_ps(scores + j + 16 * h));
    if (full_tiles < N) FOR(h, 2, 1) {
        long j = full_tiles + 16 * h;
        most[h] = _mm512_mask_max_ps(most[h], tail_mask(j, L), most[h], _mm512_load_ps(scores + j));
    }
    float largest = factor * _mm512_reduce_max_ps(_mm512_max_ps(most[0], most[1]));
    __m512 m = _mm512_set1_ps(largest), e[2];
    FOR(j, full_tiles, 32) {
        FOR(h, 2, 1) {
            e[h] = exp2_ps(_mm512_fmsub_ps(_mm512_load_ps(scores + j + 16 * h), c, m));
            sum[h] = _mm512_add_ps(sum[h], e[h]);
        }
        _mm512_store_si512(to + j, pack_bf16(e[0], e[1]));
    }
    if (full_tiles < N) {
        FOR(h, 2, 1) {
            long j = full_tiles + 16 * h;
            e[h] = exp2_ps(_mm512_fmsub_ps(_mm512_load_ps(scores + j), c, m));
            e[h] = _mm512_maskz_mov_ps(tail_mask(j, L), e[h]);
            sum[h] = _mm512_add_ps(sum[h], e[h]);
        }
        _mm512_store_si512(to + full_tiles, pack_bf16(e[0], e[1]));
    }
    *total = _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
    return largest + log2f(*total);
}

static void *allocate(long numbers, long size) { return aligned_alloc(64, (numbers * size + 63) / 64 * 64); }

/* Self-attention without a mask. qkv (B, L, 3H, HEAD); cos and sin (L, HEAD / 2) float32;
   out (B, L, H, HEAD); log_sums (B, H, L) float32, which the backward pass needs. */
void trm_attention(const bf16 *qkv, const float *cos, const float *sin, bf16 *out, float *log_sums, long B, long L,
                   long H, int threads) {
    const long N = (L + 31) / 32 * 32, row = 3 * H * HEAD;
    const float factor = 1.44269504f / sqrtf(HEAD);
#pragma omp parallel num_threads(threads)
    {
        configure_tiles();
        bf16 *rows = allocate(N * HEAD, 2), *keys = allocate(N * HEAD, 2), *values = allocate(N * HEAD, 2);
        bf16 *queries = allocate(32 * HEAD, 2), *weights = allocate(32 * N, 2);
        float *scores = allocate(32 * N, 4), *weighted = allocate(32 * HEAD, 4);
#pragma omp for schedule(dynamic)
        FOR(task, B * H, 1) {
            const bf16 *q = qkv + task / H * L * row + task % H * HEAD, *k = q + H * HEAD, *v = k + H * HEAD;
            gather_rows(rows, k, row, L, N, cos, sin);
            tile_over_head(keys, rows, N);
            gather_rows(rows, v, row, L, N, NULL, NULL);
            tile_over_positions(values, rows, N);
            FOR(q0, L, 32) {
                long count = L - q0 < 32 ? L - q0 : 32;
                gather_rows(queries, q + q0 * row, row, count, 32, cos + q0 * HALF, sin + q0 * HALF);
                FOR(j, N, 32) matmul_transposed(scores + j, N, queries, keys + j * HEAD);
                float total[32];
                FOR(i, count, 1)
                log_sums[task * L + q0 + i] = softmax(weights + i * N, scores + i * N, L, N, factor, total + i);
                FOR(d, HEAD, 32)
                matmul(weighted + d, HEAD, weights, N, values + d / 16 * TILE, HEAD / 16 * TILE, N / 32);
                FOR(i, count, 1) FOR(d, HEAD, 16)
                store_bf16(out + ((task / H * L + q0 + i) * H + task % H) * HEAD + d,
                    _mm512_div_ps(_mm512_load_ps(weighted + i * HEAD + d), _mm512_set1_ps(total[i])));
            }
        }
        release_tiles();
        free(rows), free(keys), free(values), free(queries), free(weights), free(scores), free(weighted);
    }
}

/* Gradient of trm_attention: d_out (B, L, H, HEAD) in, d_qkv (B, L, 3H, HEAD) out.

   With the scores S, weights P = softmax(S) and outputs O = P V: dV = P^T dO, dP = dO V^T,
   dS = P (dP - sum of dO O), dQ = dS K, dK = dS^T Q (FlashAttention, arXiv 2205.14135, appendix B).
   Scores are computed again, transposed: a row per key, a column per query. */
void trm_attention_backward(const bf16 *qkv, const float *cos, const float *sin, const bf16 *out,
                            const float *log_sums, const bf16 *d_out, bf16 *d_qkv, long B, long L, long H,
                            int threads) {
    const long N = (L + 31) / 32 * 32, row = 3 * H * HEAD, out_row = H * HEAD;
    const float scale = 1 / sqrtf(HEAD), factor = 1.44269504f * scale;
#pragma omp parallel num_threads(threads)
    {
        configure_tiles();
        bf16 *k = allocate(N * HEAD, 2), *v = allocate(N * HEAD, 2), *kt = allocate(N * HEAD, 2);
        float *dk = allocate(N * HEAD, 4), *dv = allocate(N * HEAD, 4), *dq = allocate(ROWS * HEAD, 4);
        bf16 *q = allocate(ROWS * HEAD, 2), *q_head = allocate(ROWS * HEAD, 2), *q_rows = allocate(ROWS * HEAD, 2);
        bf16 *g = allocate(ROWS * HEAD, 2), *g_head = allocate(ROWS * HEAD, 2), *g_rows = allocate(ROWS * HEAD, 2);
        bf16 *p = allocate(ROWS * N, 2), *ds = allocate(ROWS * N, 2), *ds_pairs = allocate(ROWS * N, 2);
        float *s = allocate(32 * 32, 4), *dp = allocate(32 * 32, 4);
#pragma omp for schedule(dynamic)
        FOR(task, B * H, 1) {
            const long b = task / H, h = task % H, from = b * L * row + h * HEAD, to = b * L * out_row + h * HEAD;
            gather_rows(k, qkv + from + H * HEAD, row, L, N, cos, sin);
            gather_rows(v, qkv + from + 2 * H * HEAD, row, L, N, NULL, NULL);
            FOR(j, N, 1) FOR(d, HEAD, 1) kt[d * N + j] = k[j * HEAD + d];
            memset(dk, 0, N * HEAD * 4), memset(dv, 0, N * HEAD * 4);
            FOR(q0, L, ROWS) {
                const long count = L - q0 < ROWS ? L - q0 : ROWS;
                float log_sum[ROWS], delta[ROWS];
                gather_rows(q, qkv + from + q0 * row, row, count, ROWS, cos + q0 * HALF, sin + q0 * HALF);
                gather_rows(g, d_out + to + q0 * out_row, out_row, count, ROWS, NULL, NULL);
                tile_over_head(q_head, q, ROWS), tile_over_positions(q_rows, q, ROWS);
                tile_over_head(g_head, g, ROWS), tile_over_positions(g_rows, g, ROWS);
                FOR(i, ROWS, 1) {
                    __m512 sum = _mm512_setzero_ps();
                    if (i < count) FOR(d, HEAD, 16)
                    sum = _mm512_fmadd_ps(load_bf16(g + i * HEAD + d), load_bf16(out + to + (q0 + i) * out_row + d), sum);
                    delta[i] = _mm512_reduce_add_ps(sum);
                    log_sum[i] = i < count ? log_sums[task * L + q0 + i] : FAR_ABOVE;
                }
                FOR(j, N, 32) FOR(half, ROWS, 32) {
                    matmul_transposed(s, 32, k + j * HEAD, q_head + half * HEAD);
                    matmul_transposed(dp, 32, v + j * HEAD, g_head + half * HEAD);
                    bf16 *p_to = p + half * N + j * 32, *ds_to = ds + half * N + j * 32;
                    FOR(r, 32, 2) {
                        __m512 weight[2][2], slope[2][2];
                        FOR(one, 2, 1) FOR(i, 2, 1) {
                            __m512 score = _mm512_load_ps(s + (r + one) * 32 + 16 * i);
                            __m512 log_sum_ps = _mm512_loadu_ps(log_sum + half + 16 * i);
                            __mmask16 real = j + r + one < L ? 0xffff : 0;
                            __m512 e = exp2_ps(_mm512_fmsub_ps(score, _mm512_set1_ps(factor), log_sum_ps));
                            e = _mm512_maskz_mov_ps(real, e);
                            __m512 up = _mm512_load_ps(dp + (r + one) * 32 + 16 * i);
                            weight[one][i] = e;
                            slope[one][i] = _mm512_mul_ps(e, _mm512_sub_ps(up, _mm512_loadu_ps(delta + half + 16 * i)));
                        }
                        FOR(one, 2, 1) {
                            _mm512_store_si512(p_to + (r + one) * 32, pack_bf16(weight[one][0], weight[one][1]));
                            _mm512_store_si512(ds_to + (r + one) * 32, pack_bf16(slope[one][0], slope[one][1]));
                        }
                        FOR(i, 2, 1)
                        _mm512_store_si512(
                            ds_pairs + half * N + (j / 32 * 2 + i) * TILE + r * 16,
                            interleave((__m256i)_mm512_cvtneps_pbh(slope[0][i]), (__m256i)_mm512_cvtneps_pbh(slope[1][i])));
                    }
                }
                FOR(j, N, 16) {
                    matmul_add(dv + j * HEAD, p + j * 32, 32 * N, g_rows, ROWS / 32);
                    matmul_add(dk + j * HEAD, ds + j * 32, 32 * N, q_rows, ROWS / 32);
                }
                FOR(half, ROWS, 32) FOR(d, HEAD, 32)
                matmul(dq + d * ROWS + half, ROWS, kt + d * N, N, ds_pairs + half * N, 2 * TILE, N / 32);
                FOR(i, count, 1) {
                    float line[HEAD];
                    __m512 in[HEAD / 16], back[HEAD / 16];
                    FOR(d, HEAD, 1) line[d] = scale * dq[d * ROWS + i];
                    FOR(d, HEAD / 16, 1) in[d] = _mm512_loadu_ps(line + 16 * d);
                    apply_rotary(back, in, cos + (q0 + i) * HALF, sin + (q0 + i) * HALF, -1);
                    FOR(d, HEAD / 16, 1) store_bf16(d_qkv + from + (q0 + i) * row + 16 * d, back[d]);
                }
            }
            FOR(j, L, 1) {
                __m512 in[HEAD / 16], back[HEAD / 16];
                bf16 *dk_to = d_qkv + from + j * row + H * HEAD, *dv_to = dk_to + H * HEAD;
                FOR(d, HEAD / 16, 1)
                in[d] = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_load_ps(dk + j * HEAD + 16 * d));
                apply_rotary(back, in, cos + j * HALF, sin + j * HALF, -1);
                FOR(d, HEAD / 16, 1) store_bf16(dk_to + 16 * d, back[d]);
                FOR(d, HEAD / 16, 1) store_bf16(dv_to + 16 * d, _mm512_load_ps(dv + j * HEAD + 16 * d));
            }
        }
        release_tiles();
        free(k), free(v), free(kt), free(dk), free(dv), free(dq), free(q), free(q_head), free(q_rows), free(g);
        free(g_head), free(g_rows), free(p), free(ds), free(ds_pairs), free(s), free(dp);
    }
}

/* x = a + b and out = x * scale with scale = 1 / sqrt(mean(x^2) + epsilon), over rows of `width` numbers
   (a multiple of 16). scales (rows) float32. */
void trm_residual_norm(const bf16 *a, const bf16 *b, bf16 *x, bf16 *out, float *scales, float epsilon,
                       long rows, long width, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * width > ONE_THREAD_SIZE)
    FOR(r, rows, 1) {
        __m512 squares = _mm512_setzero_ps();
        bf16 *row = x + r * width;
        FOR(i, width, 16) {
            store_bf16(row + i, _mm512_add_ps(load_bf16(a + r * width + i), load_bf16(b + r * width + i)));
            squares = _mm512_fmadd_ps(load_bf16(row + i), load_bf16(row + i), squares);
        }
        scales[r] = 1 / sqrtf(_mm512_reduce_add_ps(squares) / width + epsilon);
        __m512 scale = _mm512_set1_ps(scales[r]);
        FOR(i, width, 16) store_bf16(out + r * width + i, _mm512_mul_ps(load_bf16(row + i), scale));
    }
}

/* Gradient of trm_residual_norm with respect to x. */
void trm_residual_norm_backward(const bf16 *x, const float *scales, const bf16 *gradient, bf16 *out, long rows,
                                long width, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * width > ONE_THREAD_SIZE)
    FOR(r, rows, 1) {
        const bf16 *row = x + r * width, *g = gradient + r * width;
        __m512 dot = _mm512_setzero_ps(), scale = _mm512_set1_ps(scales[r]);
        FOR(i, width, 16) dot = _mm512_fmadd_ps(load_bf16(row + i), load_bf16(g + i), dot);
        __m512 projection = _mm512_set1_ps(_mm512_reduce_add_ps(dot) * scales[r] * scales[r] * scales[r] / width);
        FOR(i, width, 16) {
            __m512 scaled = _mm512_mul_ps(load_bf16(g + i), scale);
            store_bf16(out + r * width + i, _mm512_fnmadd_ps(load_bf16(row + i), projection, scaled));
        }
    }
}

static __m512 sigmoid(__m512 x) {
    __m512 one = _mm512_set1_ps(1);
    return _mm512_div_ps(one, _mm512_add_ps(one, exp2_ps(_mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f)))));
}

/* out (rows, width) = SiLU(gate) * up; a row of gate_up (rows, 2 width) holds its gates first, then its
   ups. `width` is a multiple of 16. */
void trm_silu_mul(const bf16 *gate_up, bf16 *out, long rows, long width, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * width > ONE_THREAD_SIZE)
    FOR(r, rows, 1) FOR(i, width, 16) {
        const bf16 *from = gate_up + 2 * r * width + i;
        __m512 gate = load_bf16(from);
        store_bf16(out + r * width + i, _mm512_mul_ps(_mm512_mul_ps(gate, sigmoid(gate)), load_bf16(from + width)));
    }
}

/* Gradient of trm_silu_mul with respect to gate_up. */
void trm_silu_mul_backward(const bf16 *gate_up, const bf16 *gradient, bf16 *out, long rows, long width, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (rows * width > ONE_THREAD_SIZE)
    FOR(r, rows, 1) FOR(i, width, 16) {
        const bf16 *from = gate_up + 2 * r * width + i;
        bf16 *to = out + 2 * r * width + i;
        __m512 gate = load_bf16(from), g = load_bf16(gradient + r * width + i), s = sigmoid(gate);
        __m512 silu = _mm512_mul_ps(gate, s);
        /* SiLU'(x) = s + x s (1 - s) with s = sigmoid(x) */
        __m512 slope = _mm512_add_ps(s, _mm512_fnmadd_ps(silu, s, silu));
        store_bf16(to, _mm512_mul_ps(_mm512_mul_ps(g, load_bf16(from + width)), slope));
        store_bf16(to + width, _mm512_mul_ps(g, silu));
    }
}
