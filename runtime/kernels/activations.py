"""What happens to a token's vector between two matrix products, in one pass over the token.

    source    plain: copy;  silu, gelu, relu2: act(gate) * up;  times: x * up;  exactgelu, tanhgelu, relu: act(x)
    norm      root mean square norm (Zhang & Sennrich 2019), weight included;  layernorm: layer
              norm (Ba et al. 2016, arXiv:1607.06450), weight and bias included
    sink      float: nothing more;  otherwise int8 codes for the next product

A chunk is a run of tokens.  The float32 result is always stored, so that a second sink can
start from it.  Vectors are padded with zeros to a multiple of 16, and stay so.

Codes: q = round(x / x_scale), x_scale = max|x| / 127, with

    group    x_scale and start per 32 columns     start = -zero * sum(q)
    group16  x_scale per 32 columns, start per 16; moment per 16 if zero is 0
    moment   x_scale and moment per 32 columns    moment = x_scale * sum(q), a float32
    row      one x_scale and start
    row256   x_scale repeated, start per 256 columns

SCALE is 0 for these; positive, it is every x_scale itself, fixed at export, and codes that it does
not reach are cut off at 127; negative, all x_scales of a token are the one of its largest element.
"""

from . import simd
from .compiler import Kernel, inline
from .layout import ACTIVATION_TOKENS as TOKENS
from .matmul import arg
from .normal import LIMIT

(
    END,  # address of the number of tokens
    X, X_STRIDE, UP, UP_STRIDE,
    OUT, OUT_STRIDE,
    WIDTH, SIZE,  # padded to 16; without padding (what the mean is taken over)
    WEIGHT, EPSILON,  # of the norm; float32 bits
    CODES, CODES_STRIDE, SCALES, STARTS, GROUPS_STRIDE, ZERO,
    BIAS,  # of a layer norm
    SCALE,  # float32 bits
) = range(19)  # fmt: skip


def kernel(source: str, norm: str, sink: str) -> Kernel:
    combine, norm, encode = _SOURCES[source], _NORMS[norm], _SINKS[sink]
    needs_copy, has_norm = source != "plain", norm is not None

    def activations(args, chunk, scratch):
        end = min((chunk + 1) * TOKENS, simd.load_i64(arg(args, END)))
        width = arg(args, WIDTH)
        for token in range(chunk * TOKENS, end):
            x = arg(args, X) + token * arg(args, X_STRIDE)
            out = arg(args, OUT) + token * arg(args, OUT_STRIDE)
            if needs_copy:
                combine(x, arg(args, UP) + token * arg(args, UP_STRIDE), out, width)
                x = out
            if has_norm:
                norm(args, x, out, width)
                x = out
            encode(args, x, token, width)

    return activations


def norm_add(args, chunk, scratch):
    """OUT += norm(X): the residual of families that normalize after attention."""
    end = min((chunk + 1) * TOKENS, simd.load_i64(arg(args, END)))
    width, size = arg(args, WIDTH), arg(args, SIZE)
    for token in range(chunk * TOKENS, end):
        x = arg(args, X) + token * arg(args, X_STRIDE)
        out = arg(args, OUT) + token * arg(args, OUT_STRIDE)
        normalize(x, arg(args, WEIGHT), x, width, size, simd.load_f32(args + 8 * EPSILON))
        for at in range(0, 4 * width, 64):
            simd.store_floats(out + at, simd.load_floats(out + at) + simd.load_floats(x + at))


def softcap(args, chunk, scratch):
    """x = cap * tanh(x / cap) over one of 64 pieces of an output row (Gemma 2); EPSILON = cap."""
    width = arg(args, WIDTH)
    piece = (width // 16 + 63) // 64 * 64
    x = arg(args, X) + chunk // 64 * arg(args, X_STRIDE)
    begin = chunk % 64 * piece
    cap = simd.splat(simd.load_f32(args + 8 * EPSILON))
    for at in range(begin, min(begin + piece, 4 * width), 64):
        simd.store_floats(x + at, cap * tanh(simd.load_floats(x + at) / cap))


@inline
def normalize(x, weight, out, width, size, epsilon):
    """out = x / sqrt(mean(x**2) + epsilon) * weight."""
    squares = simd.splat(simd.float32(0))
    for at in range(0, 4 * width, 64):
        v = simd.load_floats(x + at)
        squares = simd.fma(v, v, squares)
    mean = simd.sum_lanes(squares) / simd.float32(size)
    scale = simd.splat(simd.float32(1) / simd.sqrt(mean + epsilon))
    for at in range(0, 4 * width, 64):
        value = simd.load_floats(x + at) * scale * simd.load_floats(weight + at)
        simd.store_floats(out + at, value)


@inline
def _normalize(args, x, out, width):
    size, epsilon = arg(args, SIZE), simd.load_f32(args + 8 * EPSILON)
    normalize(x, arg(args, WEIGHT), out, width, size, epsilon)


@inline
def _center(args, x, out, width):
    """out = (x - mean) / sqrt(variance + epsilon) * weight + bias."""
    size, epsilon = simd.float32(arg(args, SIZE)), simd.load_f32(args + 8 * EPSILON)
    weight, bias = arg(args, WEIGHT), arg(args, BIAS)
    total = simd.splat(simd.float32(0))
    for at in range(0, 4 * width, 64):
        total = total + simd.load_floats(x + at)
    mean = simd.sum_lanes(total) / size
    middle, squares = simd.splat(mean), simd.splat(simd.float32(0))
    for at in range(0, 4 * width, 64):
        v = simd.load_floats(x + at) - middle
        squares = simd.fma(v, v, squares)
    # The zeros of the padding are none of the vector.
    padding = (simd.float32(width) - size) * mean * mean
    variance = max(simd.sum_lanes(squares) - padding, simd.float32(0)) / size
    scale = simd.splat(simd.float32(1) / simd.sqrt(variance + epsilon))
    for at in range(0, 4 * width, 64):
        value = (simd.load_floats(x + at) - middle) * scale
        value = simd.fma(value, simd.load_floats(weight + at), simd.load_floats(bias + at))
        simd.store_floats(out + at, value)


@inline
def tanh(x):
    one = simd.splat(simd.float32(1))
    two = simd.splat(simd.float32(2))
    return one - two / (simd.exp(two * x) + one)


@inline
def sigmoid(x):
    one = simd.splat(simd.float32(1))
    return one / (one + simd.exp(simd.splat(simd.float32(0)) - x))


@inline
def silu(gate):
    one = simd.splat(simd.float32(1))
    return gate / (one + simd.exp(simd.splat(simd.float32(0)) - gate))


@inline
def tanh_gelu(gate):
    """The tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x**3)))."""
    cubic = gate * gate * gate * simd.splat(simd.float32(0.044715))
    inner = simd.splat(simd.float32(0.7978845608028654)) * (gate + cubic)
    half = simd.splat(simd.float32(0.5))
    return half * gate * (simd.splat(simd.float32(1)) + tanh(inner))


@inline
def _relu2(gate):
    positive = simd.maximum(gate, simd.splat(simd.float32(0)))
    return positive * positive


def _gated(act):
    @inline
    def combine(gate, up, out, width):
        for at in range(0, 4 * width, 64):
            value = act(simd.load_floats(gate + at)) * simd.load_floats(up + at)
            simd.store_floats(out + at, value)

    return combine


def _alone(act):
    @inline
    def combine(x, up, out, width):
        for at in range(0, 4 * width, 64):
            simd.store_floats(out + at, act(simd.load_floats(x + at)))

    return combine


@inline
def exact_gelu(x):
    """x P(Z < x) = max(x, 0) - |x| P(Z > |x|): nothing cancels.  Error below 1e-6."""
    size = simd.minimum(simd.absolute(x), simd.splat(simd.float32(LIMIT)))
    return simd.maximum(x, simd.splat(simd.float32(0))) - size * simd.normal_tail(size)


@inline
def _relu(x):
    return simd.maximum(x, simd.splat(simd.float32(0)))


@inline
def _itself(x):
    return x


@inline
def _nothing(x, up, out, width):
    pass


@inline
def _inverse(largest):
    """(scale, 1 / scale) for codes of -127..127; (0, 0) for a vector of zeros."""
    if largest > simd.float32(0):
        return largest / simd.float32(127), simd.float32(127) / largest
    return simd.float32(0), simd.float32(0)


@inline
def _encode_float(args, x, token, width):
    pass


@inline
def _common(args, x, width):
    """(scale, 1 / scale) of all of a token's codes; (0, 0) where every group has its own."""
    given = simd.load_f32(args + 8 * SCALE)
    if given > simd.float32(0):
        return given, simd.float32(1) / given
    if given < simd.float32(0):
        return _row_scale(x, width)
    return simd.float32(0), simd.float32(0)


@inline
def _rounded(x, inverse):
    top = simd.splat(simd.float32(127))
    scaled = simd.minimum(x * simd.splat(inverse), top)
    return simd.round_to_int(simd.maximum(scaled, simd.splat(simd.float32(-127))))


def _encode_groups(start):
    @inline
    def encode(args, x, token, width):
        common, common_inverse = _common(args, x, width)
        codes = arg(args, CODES) + token * arg(args, CODES_STRIDE)
        scales = arg(args, SCALES) + token * arg(args, GROUPS_STRIDE)
        starts = arg(args, STARTS) + token * arg(args, GROUPS_STRIDE)
        for _ in range((width + 31) // 32):
            a, b = simd.load_floats(x), simd.load_floats(x + 64)
            largest = simd.max_lanes(simd.maximum(simd.absolute(a), simd.absolute(b)))
            scale, inverse = _inverse(largest)
            if common > simd.float32(0):
                scale, inverse = common, common_inverse
            p, q = _rounded(a, inverse), _rounded(b, inverse)
            simd.store_int8s(codes, p)
            simd.store_int8s(codes + 16, q)
            simd.store_f32(scales, scale)
            starts = start(args, starts, scale, p, q)
            x += 128
            codes += 32
            scales += 4

    return encode


@inline
def _start(args, starts, scale, p, q):
    simd.store_i32(starts, simd.int32(-arg(args, ZERO) * simd.sum_int_lanes(p + q)))
    return starts + 4


@inline
def _starts16(args, starts, scale, p, q):
    """Moments where there is no zero point: an offset has them."""
    first, second = simd.sum_int_lanes(p), simd.sum_int_lanes(q)
    if arg(args, ZERO) == 0:
        simd.store_f32(starts, scale * simd.float32(first))
        simd.store_f32(starts + 4, scale * simd.float32(second))
    else:
        simd.store_i32(starts, simd.int32(-arg(args, ZERO) * first))
        simd.store_i32(starts + 4, simd.int32(-arg(args, ZERO) * second))
    return starts + 8


@inline
def _moment(args, starts, scale, p, q):
    simd.store_f32(starts, scale * simd.float32(simd.sum_int_lanes(p + q)))
    return starts + 4


@inline
def _row_scale(x, width):
    largest = simd.splat(simd.float32(0))
    for at in range(0, 4 * width, 64):
        largest = simd.maximum(largest, simd.absolute(simd.load_floats(x + at)))
    return _inverse(simd.max_lanes(largest))


@inline
def encode_part(x, codes, width, inverse):
    """Codes of `width` columns; their sum."""
    total = simd.round_to_int(simd.splat(simd.float32(0)))
    for i in range(0, width, 16):
        q = _rounded(simd.load_floats(x + 4 * i), inverse)
        simd.store_int8s(codes + i, q)
        total = total + q
    return simd.sum_int_lanes(total)


def _encode_row(group):
    @inline
    def encode(args, x, token, width):
        codes = arg(args, CODES) + token * arg(args, CODES_STRIDE)
        scales = arg(args, SCALES) + token * arg(args, GROUPS_STRIDE)
        starts = arg(args, STARTS) + token * arg(args, GROUPS_STRIDE)
        scale, inverse = _common(args, x, width)
        if scale == simd.float32(0):
            scale, inverse = _row_scale(x, width)
        step = group if group > 0 else width
        for begin in range(0, width, step):
            size = min(step, width - begin)
            total = encode_part(x + 4 * begin, codes + begin, size, inverse)
            simd.store_f32(scales, scale)
            simd.store_i32(starts, simd.int32(-arg(args, ZERO) * total))
            scales += 4
            starts += 4

    return encode


_SOURCES = {
    "plain": _nothing,
    "silu": _gated(silu),
    "gelu": _gated(tanh_gelu),
    "relu2": _gated(_relu2),
    "times": _gated(_itself),
    "exactgelu": _alone(exact_gelu),
    "tanhgelu": _alone(tanh_gelu),
    "relu": _alone(_relu),
}
_NORMS = {"": None, "norm": _normalize, "layernorm": _center}
_SINKS = {
    "float": _encode_float,
    "group": _encode_groups(_start),
    "group16": _encode_groups(_starts16),
    "moment": _encode_groups(_moment),
    "row": _encode_row(0),
    "row256": _encode_row(256),
}
