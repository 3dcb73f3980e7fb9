"""Plausible wrong answers to ex08."""

import numpy as np


def _search(accept, keep_last=False):
    def line_search(evaluate, full_step, expected, max_kl, backtrack=0.8, max_backtracks=15, accept_ratio=0.1):
        for k in range(max_backtracks + 1):
            fraction = backtrack**k
            step = fraction * full_step
            improvement, kl = evaluate(step)
            if accept(improvement, kl, max_kl, accept_ratio * expected, fraction):
                return step, improvement, kl, k, True
        return (step if keep_last else np.zeros_like(full_step)), 0.0, 0.0, max_backtracks, False

    return line_search


def right(gain, kl, max_kl, least, fraction):
    return kl <= max_kl and gain > 0 and gain >= fraction * least


WRONG = {
    "the KL is not looked at, as in the original code": _search(lambda g, kl, d, least, f: g > 0 and g >= f * least),
    "the promise is not scaled with the step": _search(lambda g, kl, d, least, f: kl <= d and g > 0 and g >= least),
    "a loss passes where a greater one was predicted": _search(lambda g, kl, d, least, f: kl <= d and g >= f * least),
    "accept_ratio is always 0.1": lambda *args, accept_ratio=0.1, **options: _search(right)(*args, **options),
    "no change passes where none was predicted": _search(
        lambda g, kl, d, least, f: kl <= d and g >= 0 and g >= f * least
    ),
    "NaN passes": _search(lambda g, kl, d, least, f: not (kl > d or g <= 0 or g < f * least)),
    "the last step is taken when none is good": _search(right, keep_last=True),
}
