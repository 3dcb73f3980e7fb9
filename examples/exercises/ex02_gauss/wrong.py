"""Plausible wrong answers to ex02."""

import numpy as np

import nets

WRONG = {
    "log_std is taken for the log of the variance": dict(log_prob=lambda a, m, s: nets.log_prob(a, m, s / 2)),
    "the constant log(2 pi) / 2 is left out": dict(log_prob=lambda a, m, s: nets.log_prob(a, m, s) + 0.9189385),
    "KL(new || old)": dict(kl_gauss=lambda m_old, s_old, m, s: nets.kl_gauss(m, s, m_old, s_old)),
    "mean over the action's coordinates": dict(kl_gauss=lambda *args: nets.kl_gauss(*args) / np.shape(args[0])[1]),
}
