"""What the native kernels compute, step by step in NumPy: the forward pass, and back-propagation through time by hand."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ELMAN = {  # name: (activation, its derivative from z and h)
    "tanh": (np.tanh, lambda z, h: 1 - h * h),
    "sigmoid": (sigmoid, lambda z, h: h * (1 - h)),
    "relu": (lambda z: np.maximum(z, 0), lambda z, h: (z > 0).astype(z.dtype)),
    "identity": (lambda z: z, lambda z, h: np.ones_like(z)),
}


def forward_step(kind, p, h, c, a, d):
    """h, c after a step, and what its backward step needs."""
    if kind == "lstm":
        i, f, g, o = np.split(a + d, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new = f * c + i * g
        return o * np.tanh(new), new, (i, f, g, o, c, new)
    if kind == "gru":
        (ar, az, an), (dr, dz, dn) = np.split(a, 3, axis=-1), np.split(d, 3, axis=-1)
        r, z = sigmoid(ar + dr), sigmoid(az + dz)
        n = np.tanh(dn + r * an)
        return (1 - z) * n + z * h, c, (r, z, n, an, h)
    if kind == "modrelu":
        z = a + d
        h = np.sign(z) * np.maximum(np.abs(z) + p["extra"], 0)
        return h, c, (z, h)
    z = a + d
    h = ELMAN[kind][0](z)
    return h, c, (z, h)


def backward_step(kind, saved, dh, dc):
    """The gradients of a, d, h (besides a), c, and of the modReLU's bias per example."""
    if kind == "lstm":
        i, f, g, o, c, new = saved
        t = np.tanh(new)
        dc = dc + dh * o * (1 - t * t)
        da = np.concatenate([dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)], axis=-1)
        return da, da, np.zeros_like(dh), dc * f, None
    if kind == "gru":
        r, z, n, an, h = saved
        dn = dh * (1 - z) * (1 - n * n)
        dr, dz = dn * an * r * (1 - r), dh * (h - n) * z * (1 - z)
        return np.concatenate([dr, dz, dn * r], -1), np.concatenate([dr, dz, dn], -1), dh * z, dc, None
    z, h = saved
    if kind == "modrelu":
        da = np.where(h != 0, dh, 0)
        return da, da, np.zeros_like(dh), dc, da * np.sign(z)
    da = dh * ELMAN[kind][1](z, h)
    return da, da, np.zeros_like(dh), dc, None


def run(kind, p, dhs, dlast_c):
    """The outputs (hs, last c) and the gradients, by the names of the native call; arguments that are left out are None."""
    resets, valid = p["resets"], p["valid"]
    d = p["d"] if p["x"] is None else p["x"] @ p["input"]
    T, B = d.shape[:2]
    H = p["kernel"].shape[0]
    none = np.zeros((T, B), bool)
    resets, valid = none if resets is None else resets, ~none if valid is None else valid
    bias = 0 if p["bias"] is None else p["bias"]
    zeros = np.zeros((B, H))
    h, c = p["first_h"], zeros if p["first_c"] is None else p["first_c"]
    start_h = zeros if p["start_h"] is None else p["start_h"]
    start_c = zeros if p["start_c"] is None else p["start_c"]
    hs, tape = np.zeros((T, B, H)), []
    for t in range(T):
        on, r = valid[t][:, None], resets[t][:, None]
        h, c = np.where(r, start_h, h), np.where(r, start_c, c)
        new_h, new_c, saved = forward_step(kind, p, h, c, h @ p["kernel"] + bias, d[t])
        tape.append((h, saved))
        h, c = np.where(on, new_h, h), np.where(on, new_c, c)
        hs[t] = h
    grads = {"kernel": 0.0, "bias": 0.0, "extra": 0.0, "start_h": zeros, "start_c": zeros, "d": np.zeros_like(d)}
    dh, dc = zeros, zeros if dlast_c is None else dlast_c
    for t in reversed(range(T)):
        on, r = valid[t][:, None], resets[t][:, None]
        dh = dh + dhs[t]
        entered, saved = tape[t]
        da, dd, direct, dc_before, dextra = backward_step(kind, saved, dh, dc)
        da, dd = np.where(on, da, 0), np.where(on, dd, 0)
        grads["d"][t] = dd
        grads["kernel"] = grads["kernel"] + entered.T @ da
        grads["bias"] = grads["bias"] + da.sum(0)
        if dextra is not None:
            grads["extra"] = grads["extra"] + np.where(on, dextra, 0).sum(0)
        dh, dc = np.where(on, direct + da @ p["kernel"].T, dh), np.where(on, dc_before, dc)
        grads["start_h"], grads["start_c"] = grads["start_h"] + np.where(r, dh, 0), grads["start_c"] + np.where(r, dc, 0)
        dh, dc = np.where(r, 0, dh), np.where(r, 0, dc)
    grads |= {"first_h": dh, "first_c": dc}
    if p["x"] is not None:
        grads["input"] = np.einsum("tbf,tbg->fg", p["x"], grads["d"])
    return (hs, c), grads
