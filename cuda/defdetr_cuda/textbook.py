"""The textbook kernels: one thread for one (query, head, channel), as in the published CUDA code.

Every array is flat, as memory is: `value[n, token, m, d]` is element `((n · S + token) · M + m) · D + d`. Indices are
int32, which a GPU adds in one instruction; only the start of an image may need 64 bits.

`sizes` is (tokens S, heads M, channels D, queries Q, levels L, points K); `shapes` is H, W of level 0, of level 1, …
The grid's x counts blocks of the Q · M · D threads of an image, its z the images.
"""

from numba import cuda, int32, int64

from defdetr_cuda.memory import add_scalar, advance, floor, load_or_zero, load_scalar, store_scalar, to_pixels

THREADS = 256  # in a block


@cuda.jit(device=True, inline="always")
def inside(row, column, height, width):
    return row >= 0 and row < height and column >= 0 and column < width


@cuda.jit(device=True, inline="always")
def pixel(value, row, column, height, width, stride):
    """The number of this thread's channel at a pixel of the level; zero outside."""
    return load_or_zero(value, int32(int32(row * width + column) * stride), inside(row, column, height, width))


@cuda.jit(device=True, inline="always")
def add_to_pixel(grad_value, row, column, height, width, stride, amount):
    """Atomic, because many threads may sample one pixel."""
    if inside(row, column, height, width):
        add_scalar(grad_value, int32(int32(row * width + column) * stride), amount)


def make_forward(real):
    """The kernel for arrays of `real`: numba.float32 or numba.float64."""
    zero, one = real(0), real(1)

    def forward(value, locations, weights, output, sizes, shapes):
        tokens, heads, channels, queries, levels, points = sizes
        image = int64(cuda.blockIdx.z)
        thread = int32(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        if thread >= queries * heads * channels:
            return
        channel, query_head = int32(thread % channels), int32(thread // channels)
        stride = int32(heads * channels)  # from a token to the next
        at = int32(query_head * levels * points)  # this query's and head's first point
        weights = advance(weights, image * queries * heads * levels * points)
        locations = advance(locations, image * queries * heads * levels * points * 2)
        value = advance(value, image * tokens * stride + query_head % heads * channels + channel)
        total = zero
        for level in range(levels):
            height, width = shapes[2 * level], shapes[2 * level + 1]
            for _ in range(points):
                x = to_pixels(load_scalar(locations, int32(2 * at)), width)
                y = to_pixels(load_scalar(locations, int32(2 * at + 1)), height)
                if x > -one and x < real(width) and y > -one and y < real(height):  # false for NaN
                    left, top = floor(x), floor(y)
                    right, bottom = int32(left + 1), int32(top + 1)
                    dx, dy = x - real(left), y - real(top)
                    a = pixel(value, top, left, height, width, stride)
                    b = pixel(value, top, right, height, width, stride)
                    c = pixel(value, bottom, left, height, width, stride)
                    d = pixel(value, bottom, right, height, width, stride)
                    sample = (one - dy) * ((one - dx) * a + dx * b) + dy * ((one - dx) * c + dx * d)
                    total += load_scalar(weights, at) * sample
                at = int32(at + 1)
            value = advance(value, int64(height * width) * stride)
        store_scalar(output, image * queries * heads * channels + thread, total)

    return forward


def make_backward(real):
    """The kernel for arrays of `real`. The three gradients must be zero: every thread adds to them."""
    one = real(1)

    def backward(grad_output, value, locations, weights, grad_value, grad_locations, grad_weights, sizes, shapes):
        tokens, heads, channels, queries, levels, points = sizes
        image = int64(cuda.blockIdx.z)
        thread = int32(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        if thread >= queries * heads * channels:
            return
        channel, query_head = int32(thread % channels), int32(thread // channels)
        stride = int32(heads * channels)
        at = int32(query_head * levels * points)
        first_point = image * queries * heads * levels * points
        weights, grad_weights = advance(weights, first_point), advance(grad_weights, first_point)
        locations, grad_locations = advance(locations, 2 * first_point), advance(grad_locations, 2 * first_point)
        first_value = image * tokens * stride + query_head % heads * channels + channel
        value, grad_value = advance(value, first_value), advance(grad_value, first_value)
        grad = load_scalar(grad_output, image * queries * heads * channels + thread)
        for level in range(levels):
            height, width = shapes[2 * level], shapes[2 * level + 1]
            for _ in range(points):
                x = to_pixels(load_scalar(locations, int32(2 * at)), width)
                y = to_pixels(load_scalar(locations, int32(2 * at + 1)), height)
                if x > -one and x < real(width) and y > -one and y < real(height):
                    left, top = floor(x), floor(y)
                    right, bottom = int32(left + 1), int32(top + 1)
                    dx, dy = x - real(left), y - real(top)
                    a = pixel(value, top, left, height, width, stride)
                    b = pixel(value, top, right, height, width, stride)
                    c = pixel(value, bottom, left, height, width, stride)
                    d = pixel(value, bottom, right, height, width, stride)
                    upper, lower = (one - dx) * a + dx * b, (one - dx) * c + dx * d
                    scale = load_scalar(weights, at) * grad
                    # The three sums over channels, one atomic addition of every thread each.
                    add_scalar(grad_weights, at, grad * ((one - dy) * upper + dy * lower))
                    slope_x = (one - dy) * (b - a) + dy * (d - c)
                    add_scalar(grad_locations, int32(2 * at), scale * real(width) * slope_x)
                    add_scalar(grad_locations, int32(2 * at + 1), scale * real(height) * (lower - upper))
                    add_to_pixel(grad_value, top, left, height, width, stride, scale * (one - dy) * (one - dx))
                    add_to_pixel(grad_value, top, right, height, width, stride, scale * (one - dy) * dx)
                    add_to_pixel(grad_value, bottom, left, height, width, stride, scale * dy * (one - dx))
                    add_to_pixel(grad_value, bottom, right, height, width, stride, scale * dy * dx)
                at = int32(at + 1)
            value = advance(value, int64(height * width) * stride)
            grad_value = advance(grad_value, int64(height * width) * stride)

    return backward
