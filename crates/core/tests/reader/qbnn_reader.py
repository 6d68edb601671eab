"""Reads, checks and runs `.qbnn` files: an independent reader that follows docs/file-format.md and nothing else.

It is slow and plain on purpose. The tests hold the program against it: what is accepted, every logit, every digit.

    qbnn_reader.py check FILE...                                    a line for each file: `accept`, or `refuse` and why
    qbnn_reader.py logits MODEL SEED FIRST END IMAGES               logits, a line for each draw and image
    qbnn_reader.py predict MODEL SEED SAMPLES IMAGES                a line for each image: class, then total, aleatoric,
                                                                    epistemic and mean probabilities, six digits each
    qbnn_reader.py softmax MODEL SEED SAMPLES IMAGES                the same from probabilities in f64, as the host takes them
    qbnn_reader.py section MODEL                                    what its section holds, a line for each entry
    qbnn_reader.py decide MODEL IMAGES                              a line for each image, with the section's seed and draws:
                                                                    abstain, unknown (0 or 1), classes of the set

IMAGES is a file of whole images, one byte for each number, `[image][row][column][channel]`.
"""

import math
import sys
import zlib
from struct import unpack_from

MAGIC = b"QBNN\r\n\x1a\n"
FLOAT, VPQ, SPQ, JQ = range(4)
LINEAR, MAX_POOL, AVERAGE_POOL, ACTIVATION, ADD = range(5)
SIGNED = (False, True, False, True)  # ReLU, leaky ReLU, clipped ReLU, hardtanh
MOST = 1 << 30

# The 128 positive entries; the table of 256 is antisymmetric.
HALF = [
    20, 60, 100, 140, 181, 221, 261, 301, 341, 382, 422, 462, 503, 543, 584, 624,
    665, 706, 746, 787, 828, 869, 910, 951, 993, 1034, 1075, 1117, 1159, 1201, 1242, 1285,
    1327, 1369, 1412, 1454, 1497, 1540, 1583, 1627, 1670, 1714, 1758, 1802, 1846, 1890, 1935, 1980,
    2025, 2071, 2117, 2163, 2209, 2255, 2302, 2349, 2397, 2445, 2493, 2541, 2590, 2639, 2689, 2739,
    2789, 2840, 2891, 2943, 2995, 3048, 3101, 3154, 3209, 3263, 3319, 3375, 3431, 3489, 3547, 3605,
    3665, 3725, 3786, 3848, 3911, 3975, 4039, 4105, 4172, 4240, 4309, 4380, 4451, 4524, 4599, 4675,
    4753, 4832, 4914, 4997, 5082, 5170, 5260, 5353, 5449, 5548, 5650, 5755, 5865, 5979, 6098, 6222,
    6352, 6489, 6634, 6787, 6951, 7126, 7316, 7523, 7750, 8005, 8295, 8635, 9046, 9578, 10352, 12166,
]  # fmt: skip
GAUSSIAN = [-v for v in reversed(HALF)] + HALF


class Refused(Exception):
    """A file that a reader must refuse."""


def want(condition, why):
    if not condition:
        raise Refused(why)


# Scales


def _roots():
    roots = [math.isqrt(1 << 125)]
    while len(roots) < 11:
        roots.append(math.isqrt(roots[-1] << 62))
    return roots


ROOTS = _roots()


def exp2(x, n):
    m = 1 << 62
    for i in range(11):
        if x & 2047 & 1 << (10 - i):
            m = m * ROOTS[i] >> 62
    s = 62 - (x >> 11) - n
    if s <= 0:
        return 1 << 62
    return 0 if s > 63 else ((m >> (s - 1)) + 1) >> 1


def q15(a, b):
    return (a * b + (1 << 14)) >> 15


def clamp(value, low, high):
    return max(low, min(high, value))


def shift_of(ratio):
    """The shift of a rescaling by the ratio's logarithm, if it is a legal one."""
    shift = 30 - (ratio >> 11)
    return shift if 1 <= shift <= 62 else None


def multiplier(ratio, shift):
    return min(exp2(ratio, shift), (1 << 31) - 1)


def rescale(value, m, shift):
    return (value * m + (1 << (shift - 1))) >> shift


def saturate(value):
    return clamp(value, -(1 << 31), (1 << 31) - 1)


# The file


class Layer:
    def __init__(self, record):
        u8, u16, i16 = record.__getitem__, lambda at: unpack_from("<H", record, at)[0], lambda at: unpack_from("<h", record, at)[0]
        u32, u64 = lambda at: unpack_from("<I", record, at)[0], lambda at: unpack_from("<Q", record, at)[0]
        self.kind, self.function, self.bits = u8(0), u8(1), u8(2)
        self.input, self.other = u16(4), u16(6)
        self.shape = (u16(12), u16(14), u32(8))  # rows, columns, channels
        self.window, self.stride, self.padding = (u16(16), u16(18)), u16(20), u16(22)
        self.groups, self.group_inputs = u16(24), u32(28)
        self.step, self.low, self.high, self.slope = i16(34), i16(36), i16(38), u32(44)
        self.offset, self.length = u64(48), u64(56)
        self.fan_in = self.window[0] * self.window[1] * self.group_inputs

    def reads(self, value):
        return self.input == value or self.kind == ADD and self.other == value


class Model:
    """A file that holds all that a reader must ask of it."""

    def __init__(self, data):
        want(data[:8] == MAGIC, "magic")
        want(len(data) >= 64, "a file below 64 bytes")
        self.version = unpack_from("<H", data, 8)[0]
        want(self.version in (1, 2), "version")
        want(unpack_from("<Q", data, 16)[0] == len(data), "length")
        want(unpack_from("<I", data, 12)[0] == zlib.crc32(data[16:]), "checksum")
        self.data = data
        self._header()
        end = 64 + 64 * self.count
        want(end <= len(data), "records beyond the file")
        self.layers = [Layer(data[64 + 64 * i : 128 + 64 * i]) for i in range(self.count)]
        self.shapes, self.grids = [self.input], [(data[40], 8, unpack_from("<h", data, 42)[0])]
        for index, layer in enumerate(self.layers):
            end = self._layer(index, layer, end)
            self.shapes.append(layer.shape)
            self.grids.append(self._grid(layer))
        want(end == len(data), "bytes behind the last parameters")
        want(math.prod(self.shapes[-1]) == self.classes, "classes")
        want(self.grids[-1] is None or self.kind in (FLOAT, VPQ), "a last layer that gives codes")

    def _header(self):
        data = self.data
        self.kind, self.rounding = data[10], data[11]
        want(self.kind <= JQ, "kind")
        want(self.rounding <= 1, "rounding")
        self.mu_bits, self.sigma_bits, self.weight_bits, self.activation_bits = data[36:40]
        stored, drawn = self.kind in (VPQ, JQ), self.kind in (SPQ, JQ)
        want(data[41] == 0 or self.version == 2, "byte 41")
        self.has_sigma, self.dropped = data[41] == 0, max(data[41] - 1, 0)
        wide = range(2, 9)
        activations = [*wide] if drawn else [0, *wide] if self.kind == VPQ else [0]
        for bits, legal in [
            (self.mu_bits, wide if stored else [0]),
            (self.sigma_bits, wide if stored and self.has_sigma else [0]),
            (self.weight_bits, wide if drawn else [0]),
            (self.activation_bits, activations),
        ]:
            want(bits in legal, "width")
        want(self.kind != JQ or self.has_sigma or self.weight_bits == self.mu_bits, "weights that are no means")
        self.count, channels, rows, columns, self.classes = unpack_from("<HHHHI", data, 24)
        want(0 < self.count <= 4096, "layers")
        self.input = (rows, columns, channels)
        want(0 < math.prod(self.input) <= MOST, "size of the image")
        name, zero, rest = data[44:64].partition(b"\0")
        try:
            self.name = name.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("name") from None
        want(not rest.strip(b"\0"), "bytes behind the name")

    def _grid(self, layer):
        """Zero byte, bits and logarithm of what a layer gives; None where that is wide, or float."""
        if layer.kind == ACTIVATION:
            if not layer.bits:
                return None
            return (1 << (layer.bits - 1) if SIGNED[layer.function] else 0, layer.bits, layer.step)
        if layer.kind not in (MAX_POOL, AVERAGE_POOL):
            return None
        grid = self.grids[layer.input]
        if layer.kind == MAX_POOL or grid is None:
            return grid
        zero, bits, log = grid
        return (zero << (8 - bits), 8, log - 2048 * (8 - bits))

    def _layer(self, index, layer, end):
        want(layer.kind <= ADD, "kind of layer")
        want(layer.input <= index, "input")
        want(0 < math.prod(layer.shape) <= MOST, "size")
        source, grid = self.shapes[layer.input], self.grids[layer.input]
        on_codes = self.kind in (SPQ, JQ)
        if layer.kind == LINEAR:
            return self._linear(layer, source, grid, end)
        if layer.kind in (MAX_POOL, AVERAGE_POOL):
            rows, columns = (windows(n, layer.window[0], layer.stride, 0) for n in source[:2])
            want(layer.shape == (rows, columns, source[2]), "shape of a pool")
        elif layer.kind == ACTIVATION:
            want(layer.function <= 3, "function")
            want(layer.shape == source, "shape of an activation")
            if self.activation_bits == 0:
                want(layer.bits == 0, "bits of an activation")
                return end
            want(2 <= layer.bits <= 8, "bits of an activation")
            half = 1 << (layer.bits - 1)
            least, most = (-half, half - 1) if SIGNED[layer.function] else (0, 2 * half - 1)
            want(least <= layer.low <= 0 < layer.high <= most, "low and high")
            want(layer.slope <= 1 << 31, "slope")
            want(not on_codes or grid is None, "an activation that reads codes")
            before = self.layers[layer.input - 1] if layer.input else None
            if self.kind == JQ and before is not None and before.kind == LINEAR:
                ratios = [r - layer.step for r in self.ratios(before)]
                want(shift_of(max(ratios)) is not None, "shift from sums to codes")
        else:
            want(layer.other <= index, "second input")
            want(source == self.shapes[layer.other] == layer.shape, "shapes of an add")
            for value in (layer.input, layer.other):
                if self.kind == JQ and self.grids[value] is not None:
                    want(shift_of(self.grids[value][2] + 32768) is not None, "shift from codes to wide")
        return end

    def _linear(self, layer, source, grid, end):
        rows, columns, channels = layer.shape
        want(layer.groups > 0, "groups")
        want(layer.padding < min(layer.window), "padding")
        sides = [windows(source[i], layer.window[i], layer.stride, layer.padding) for i in (0, 1)]
        want([rows, columns] == sides, "rows and columns")
        want(source[2] % layer.groups == 0 and channels % layer.groups == 0, "channels that groups divide")
        want(layer.group_inputs == source[2] // layer.groups, "input channels of a group")
        want((source[0] + 2 * layer.padding) * (source[1] + 2 * layer.padding) * source[2] <= MOST, "padded input")
        weights = channels * layer.fan_in
        want(layer.fan_in <= 1 << 24, "inputs of an output")
        want(weights < 1 << 40, "weights")
        if self.kind in (VPQ, JQ) and not self.has_sigma:
            length = 2 * channels + 2 + (weights * self.mu_bits + 7) // 8 + channels
        elif self.kind in (VPQ, JQ):
            length = (4 if self.kind == JQ else 2) * channels + 10 + channels
            length += sum((n * b + 7) // 8 for n, b in [(weights, self.mu_bits), (weights, self.sigma_bits), (channels, self.sigma_bits)])
        else:
            length = (8 if self.has_sigma else 4) * (weights + channels) + (2 * channels if self.kind == SPQ else 0)
        want(layer.length == length, "bytes of parameters")
        want(layer.offset == end, "offset of parameters")
        end += length
        want(end <= len(self.data), "parameters beyond the file")
        want(weights <= 1 << 35, "noise")
        if self.kind in (SPQ, JQ):
            want(grid is not None, "a linear layer that reads wide values")
            want((layer.fan_in << (self.weight_bits - 1)) * ((1 << grid[1]) - 1) < 1 << 30, "sums")
        if self.kind == JQ:
            p = self.parameters(layer)
            want(p.ranges[1] > 0 and p.ranges[4] > 0, "step of a sigma grid")
            for mu, weight in zip(p.mu_scales, p.weight_scales):
                want(row_scale(mu, weight, p.ranges[0], self.mu_bits) is not None, "scales without f")
            for ratio in self.ratios(layer):
                want(shift_of(ratio + 32768) is not None, "shift from sums to wide")
        return end

    def ratios(self, layer):
        """Logarithms of a linear layer's accumulators, channel by channel."""
        return [w + self.grids[layer.input][2] for w in self.parameters(layer).weight_scales]

    def parameters(self, layer):
        return Parameters(self, layer)


def windows(side, window, stride, padding):
    want(window > 0, "window")
    want(stride > 0, "stride")
    want(window <= side + 2 * padding, "a window larger than its input")
    return (side + 2 * padding - window) // stride + 1


class Parameters:
    """What a JQ file holds of a linear layer: scales at once, codes when they are asked for."""

    def __init__(self, model, layer):
        self.model, self.channels, self.weights = model, layer.shape[2], layer.shape[2] * layer.fan_in
        self.at = layer.offset
        self.mu_scales = self._scales(self.channels)
        self.weight_scales = self._scales(self.channels) if model.has_sigma else self.mu_scales
        self.ranges = self._scales(5) if model.has_sigma else (-(1 << 15), 1, *self._scales(1), -(1 << 15), 1)

    def _scales(self, n):
        values = unpack_from("<%dh" % n, self.model.data, self.at)
        self.at += 2 * n
        return values

    def _codes(self, n, bits, signed):
        length = (n * bits + 7) // 8
        run = int.from_bytes(self.model.data[self.at : self.at + length], "little")
        self.at += length
        codes = [int(c, 2) for c in _chunks(run, n, bits)]
        return [c - (1 << bits) if c >> (bits - 1) else c for c in codes] if signed else codes

    def codes(self):
        mu, sigma = self.model.mu_bits, self.model.sigma_bits
        if not self.model.has_sigma:
            means = self._codes(self.weights, mu, True)
            return means, [0] * self.weights, self._codes(self.channels, 8, True), [0] * self.channels
        return (
            self._codes(self.weights, mu, True),
            self._codes(self.weights, sigma, False),
            self._codes(self.channels, 8, True),
            self._codes(self.channels, sigma, False),
        )


def _chunks(run, n, bits):
    """Binary digits of each of n codes that lie end to end in an integer, the lowest first."""
    digits = format(run, "b").rjust(n * bits, "0")
    digits = digits[len(digits) - n * bits :]
    return [digits[i : i + bits] for i in range((n - 1) * bits, -1, -bits)]


# Drawing


def philox(counter, key):
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = x0 * 0xD2511F53, x2 * 0xCD9E8D57
        x0, x1, x2, x3 = b >> 32 ^ x1 ^ k0, b & 0xFFFFFFFF, a >> 32 ^ x3 ^ k1, a & 0xFFFFFFFF
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    return x0, x1, x2, x3


def noise(seed, tensor, draw, count, purpose=66):
    """The first `count` bytes of a tensor's noise."""
    key, out = (seed & 0xFFFFFFFF, seed >> 32), bytearray()
    for block in range((count + 15) // 16):
        for word in philox((block, tensor, draw, purpose), key):
            out += word.to_bytes(4, "little")
    return out


def row_scale(mu, weight, top, bits):
    """f, A and R of a channel; None where there is no f."""
    for f in range(8, 0, -1):
        a, r = exp2(mu - weight, f + bits - 1), exp2(top - weight, f + 3)
        if a < 1 << 15 and r < 1 << 15:
            return f, a, r
    return None


def level(code, step):
    return min(exp2(-code * step, 15), 32767)


def drawn(model, layer, n, seed, draw):
    """Weights and biases of linear layer n: `[channel][input]`, `[channel]`."""
    p = model.parameters(layer)
    mu, sigma, bias_mu, bias_sigma = p.codes()
    top, step, bias_scale, bias_top, bias_step = p.ranges
    each, bits = 2 if model.rounding else 1, model.mu_bits
    random = noise(seed, 2 * n, draw, each * len(mu))
    half = 1 << (model.weight_bits - 1)
    levels = [level(k, step) for k in range(1 << model.sigma_bits)] if model.has_sigma else [0]
    rows, columns, channels = model.shapes[layer.input]
    whole = layer.window == (rows, columns) and layer.padding == 0 and layer.groups == 1
    units = layer.fan_in if whole else layer.group_inputs
    dropped = [n > 0 and byte < model.dropped for byte in noise(seed, 2 * n, draw, units, 67)[:units]]
    weights = []
    for channel in range(p.channels):
        f, a, r = row_scale(p.mu_scales[channel], p.weight_scales[channel], top, bits)
        own = [q15(t, r) for t in levels]
        row = []
        for i in range(channel * layer.fan_in, (channel + 1) * layer.fan_in):
            deviation = q15(GAUSSIAN[random[each * i]], own[sigma[i]])
            total = clamp(q15(mu[i] << (16 - bits), a) + deviation, -(1 << 15), (1 << 15) - 1)
            up = random[2 * i + 1] >> (8 - f) if each == 2 else 1 << (f - 1)
            weight = clamp((total + up) >> f, -half, half - 1)
            row.append(0 if dropped[i % layer.fan_in % units] else weight)
        weights.append(row)
    random = noise(seed, 2 * n + 1, draw, each * p.channels)
    biases = []
    for channel, u in enumerate(model.ratios(layer)):
        scale, deviation = min(exp2(bias_scale - u, 24), 1 << 54), min(exp2(bias_top - u, 12), 1 << 42)
        own = level(bias_sigma[channel], bias_step) if model.has_sigma else 0
        eps = q15(GAUSSIAN[random[each * channel]], own)
        bias = (bias_mu[channel] * scale + eps * deviation + (1 << 23)) >> 24
        biases.append(clamp(bias, -(1 << 30), 1 << 30))
    return weights, biases


# Running. A value is a flat list, `[row][column][channel]`: bytes where it has a grid, wide numbers elsewhere.


def sums(layer, x, source, zero, weights, biases):
    rows, columns, channels = source
    (window_rows, window_columns), p = layer.window, layer.padding
    inputs = layer.group_inputs
    numbers = [v - zero for v in x]
    out = []
    for row in range(layer.shape[0]):
        for column in range(layer.shape[1]):
            patches = [[] for _ in range(layer.groups)]
            for y in range(row * layer.stride - p, row * layer.stride - p + window_rows):
                for z in range(column * layer.stride - p, column * layer.stride - p + window_columns):
                    inside = 0 <= y < rows and 0 <= z < columns
                    at = (y * columns + z) * channels
                    for group, patch in enumerate(patches):
                        first = at + group * inputs
                        patch += numbers[first : first + inputs] if inside else [0] * inputs
            of_group = layer.shape[2] // layer.groups
            for channel, (row_weights, bias) in enumerate(zip(weights, biases)):
                out.append(bias + sum(w * v for w, v in zip(row_weights, patches[channel // of_group])))
    return out


def pooled(layer, x, source, bits):
    """Codes of `bits` bits; wide values where that is None."""
    (_, columns, channels), side, out = source, layer.window[0], []
    for row in range(layer.shape[0]):
        for column in range(layer.shape[1]):
            for channel in range(channels):
                window = [
                    x[((row * layer.stride + i) * columns + column * layer.stride + j) * channels + channel]
                    for i in range(side)
                    for j in range(side)
                ]
                if layer.kind == MAX_POOL:
                    out.append(max(window))
                else:
                    n, finer = side * side, 0 if bits is None else 8 - bits
                    out.append((2 * (sum(window) << finer) + n) // (2 * n))
    return out


def to_codes(layer, x, ratios, zero):
    shift = shift_of(max(ratios))
    ms = [multiplier(r, shift) for r in ratios]
    below = [(m * layer.slope + (1 << 30)) >> 31 if layer.slope != 1 << 31 and layer.low < 0 else m for m in ms]
    return [
        clamp(rescale(v, (below if v < 0 else ms)[i % len(ms)], shift), layer.low, layer.high) + zero
        for i, v in enumerate(x)
    ]


def to_wide(x, ratios):
    shift = shift_of(max(ratios) + 32768)
    ms = [multiplier(r + 32768, shift) for r in ratios]
    return [saturate(rescale(v, ms[i % len(ms)], shift)) for i, v in enumerate(x)]


def logits(model, draw_of_layers, image):
    values, at, kept, n = [list(image)], 0, None, 0
    for index, layer in enumerate(model.layers):
        x, source, grid = values[layer.input], model.shapes[layer.input], model.grids[layer.input]
        if layer.kind == LINEAR:
            total = sums(layer, x, source, grid[0], *draw_of_layers[n])
            n += 1
            readers = [i for i, other in enumerate(model.layers) if other.reads(index + 1)]
            direct = readers == [index + 1] and model.layers[index + 1].kind == ACTIVATION
            kept, y = (total, None) if direct else (None, to_wide(total, model.ratios(layer)))
        elif layer.kind in (MAX_POOL, AVERAGE_POOL):
            y = pooled(layer, x, source, None if grid is None else grid[1])
        elif layer.kind == ACTIVATION:
            zero = model.grids[index + 1][0]
            if kept is None:
                y = to_codes(layer, x, [-32768 - layer.step], zero)
            else:
                ratios = [r - layer.step for r in model.ratios(model.layers[layer.input - 1])]
                kept, y = None, to_codes(layer, kept, ratios, zero)
        else:
            both = []
            for value in (layer.input, layer.other):
                grid = model.grids[value]
                both.append(values[value] if grid is None else to_wide([v - grid[0] for v in values[value]], [grid[2]]))
            y = [saturate(a + b) for a, b in zip(*both)]
        values.append(y)
    return values[-1]


def all_logits(model, seed, draws, images):
    """`[draw][image][class]`"""
    size, out = math.prod(model.input), []
    want(len(images) % size == 0, "whole images")
    linear = [layer for layer in model.layers if layer.kind == LINEAR]
    for draw in draws:
        weights = [drawn(model, layer, n, seed, draw) for n, layer in enumerate(linear)]
        out.append([logits(model, weights, images[at : at + size]) for at in range(0, len(images), size)])
    return out


# Probabilities and uncertainties


def _nearest_root(i):
    """2^(32 - 2^-(i + 1)) rounded to the nearest: roots of 2 with many more digits than that."""
    root = 1 << 400
    # 2^(-2^-(i + 1)) with 400 fraction bits, as i + 1 square roots of one half.
    root >>= 1
    for _ in range(i + 1):
        root = math.isqrt(root << 400)
    return ((root >> (400 - 33)) + 1) >> 1


POWER_ROOTS = [_nearest_root(i) for i in range(20)]


def power(below):
    x, value = below * 1549082005, 1 << 32
    for i in range(20):
        if x >> (45 - i) & 1:
            value = (value * POWER_ROOTS[i] + (1 << 31)) >> 32
    return value >> (x >> 46)


def log2(p):
    w = p.bit_length() - 1
    x, log = (p << 31) >> w, (w - 32) << 16
    for bit in range(15, -1, -1):
        x = x * x >> 31
        if x >= 1 << 32:
            log, x = log + (1 << bit), x >> 1
    return log


def entropy(probabilities):
    return sum(p * -log2(p) for p in probabilities if p)


def nats(h):
    return ((h >> 16) * 11629080 + (1 << 39)) >> 40


def answer(draws):
    """Class, total, aleatoric, epistemic (16 fraction bits) and mean probabilities (32) from logits `[draw][class]`."""
    total, h = [0] * len(draws[0]), 0
    for draw in draws:
        powers = [power(max(draw) - logit) for logit in draw]
        all_of_them = sum(powers)
        p = [((v << 31) + (all_of_them >> 2)) // (all_of_them >> 1) for v in powers]
        total, h = [a + b for a, b in zip(total, p)], h + entropy(p)
    mean = [v // len(draws) for v in total]
    all_nats = nats(entropy(mean))
    aleatoric = min(nats(h // len(draws)), all_nats)
    return mean.index(max(mean)), all_nats, aleatoric, all_nats - aleatoric, mean


def float_answer(draws):
    """The same in f64, as the host takes it."""
    rows = []
    for draw in draws:
        e = [math.exp((logit - max(draw)) / 65536) for logit in draw]
        rows.append([v / sum(e) for v in e])
    mean = [sum(column) / len(rows) for column in zip(*rows)]
    of = lambda p: sum(-v * math.log(v) for v in p if v > 0)
    total, aleatoric = of(mean), sum(map(of, rows)) / len(rows)
    return mean.index(max(mean)), total, aleatoric, total - aleatoric, mean


# The section


def section(model):
    """Entries of the section, `[(tag, content)]`; no entry where there is none."""
    records = [model.data[64 + 64 * i : 128 + 64 * i] for i in range(model.count)]
    marked = [r[0] == MAX_POOL and r[1:4] == b"sec" for r in records]
    if not any(marked):
        return []
    own = unpack_from("<H", records[-1], 6)[0] + 1
    want(marked[-1] and own < model.count and not marked[-own - 1], "records of the section")
    content = b""
    for i, r in enumerate(records[-own:]):
        at = model.count - own + i
        want(marked[at] and unpack_from("<HH", r, 4) == (at, i), "records of the section")
        want(unpack_from("<H", r, 16)[0] == 1 and unpack_from("<H", r, 20)[0] == 1, "records of the section")
        content += r[24:]
    end = 4 + unpack_from("<I", content)[0]
    want(end <= len(content) and (end + 39) // 40 == own, "length of the section")
    at, entries = 4, []
    while at < end:
        want(at + 4 <= end, "an entry of the section")
        tag, length = unpack_from("<HH", content, at)
        want(at + 4 + length <= end, "an entry of the section")
        want(tag not in (1, 2, 3) or tag not in [t for t, _ in entries], "two entries of one tag")
        entries.append((tag, content[at + 4 : at + 4 + length]))
        at += 4 + length
    return entries


class Decisions:
    NAMES = ("confidence", "total", "aleatoric", "epistemic")

    def __init__(self, data):
        self.temperature, self.kind, self.score, self.alpha, self.quantile = unpack_from("<hBBIQ", data)
        self.abstain_doubt, self.aim, self.ood_doubt, _, self.level, self.threshold = unpack_from("<BBBBIQ", data, 16)
        self.ood_threshold, self.false_alarms, self.samples, self.seed, self.images = unpack_from("<QIIQI", data, 32)
        want(self.kind <= 2 and self.score <= 2 and self.aim <= 1, "decisions")
        want(self.abstain_doubt <= 3 and self.ood_doubt <= 3, "decisions")

    def of(self, total, aleatoric, epistemic, mean):
        doubts = ((1 << 32) - max(mean), total, aleatoric, epistemic)
        score = lambda c: (1 << 32) - mean[c]
        if self.score > 0:
            key = 0, 0
            for p in mean:
                key = philox((p & 0xFFFFFFFF, p >> 32, 0, 0), key)[:2]
            own = lambda c: mean[c] if self.score == 1 else mean[c] * key[0] >> 32
            score = lambda c: own(c) + sum(p for i, p in enumerate(mean) if (-p, i) < (-mean[c], c))
        classes = [c for c in range(len(mean)) if score(c) <= self.quantile]
        return doubts[self.abstain_doubt] > self.threshold, doubts[self.ood_doubt] > self.ood_threshold, classes


def names(content):
    at, found = 0, []
    while at < len(content):
        want(at + 1 + content[at] <= len(content), "a name")
        found.append(content[at + 1 : at + 1 + content[at]].decode("utf-8"))
        at += 1 + content[at]
    return found


def read(path):
    with open(path, "rb") as file:
        return file.read()


def jq(path):
    model = Model(read(path))
    want(model.kind == JQ, "only JQ files fix what is computed")
    return model


def main(command, *args):
    if command == "check":
        for path in args:
            try:
                Model(read(path))
                print("accept")
            except Refused as why:
                print("refuse", why)
    elif command == "logits":
        model, seed, images = jq(args[0]), int(args[1]), read(args[4])
        for draw in all_logits(model, seed, range(int(args[2]), int(args[3])), images):
            for row in draw:
                print(*row)
    elif command in ("predict", "softmax"):
        model, seed, images = jq(args[0]), int(args[1]), read(args[3])
        for draws in zip(*all_logits(model, seed, range(int(args[2])), images)):
            if command == "predict":
                found, *u, mean = answer(draws)
                numbers = [v / 65536 for v in u] + [p / 4294967296 for p in mean]
            else:
                found, *u, mean = float_answer(draws)
                numbers = u + mean
            print(found, *("%.6f" % v for v in numbers), sep=",")
    elif command == "section":
        model = Model(read(args[0]))
        for tag, content in section(model):
            if tag == 1:
                print("decisions", *vars(Decisions(content)).values())
            elif tag == 2:
                want(len(names(content)) == model.classes, "names")
                print("classes", *names(content), sep="\t")
            elif tag == 3:
                print("data", content.decode("utf-8"))
            else:
                print("other", tag, content.hex())
    elif command == "decide":
        model, images = jq(args[0]), read(args[1])
        decisions = Decisions(dict(section(model))[1])
        for draws in zip(*all_logits(model, decisions.seed, range(decisions.samples), images)):
            abstain, unknown, classes = decisions.of(*answer(draws)[1:])
            print(int(abstain), int(unknown), *classes)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*(sys.argv[1:] or [""]))
