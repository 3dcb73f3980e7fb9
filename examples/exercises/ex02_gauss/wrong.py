"""Plausible wrong answers to ex02."""

import numpy as np

import nets


def no_sigmas(mu_old, log_std_old, mu, log_std):
    return nets.kl_gauss(mu_old, log_std_old, mu, log_std) - np.sum(log_std - log_std_old)


def in_place(act, mu, log_std):
    act -= mu
    return nets.log_prob(act, 0 * mu, log_std)


WRONG = {
    "log_std is taken for the log of the variance": dict(log_prob=lambda a, m, s: nets.log_prob(a, m, s / 2)),
    "the constant log(2 pi) / 2 is left out": dict(log_prob=lambda a, m, s: nets.log_prob(a, m, s) + 0.9189385),
    "act becomes act - mu, also for the caller": dict(log_prob=in_place),
    "log(sigma / sigma_old) is left out": dict(kl_gauss=no_sigmas),
    "KL(new || old)": dict(kl_gauss=lambda m_old, s_old, m, s: nets.kl_gauss(m, s, m_old, s_old)),
    "mean over the action's coordinates": dict(kl_gauss=lambda *args: nets.kl_gauss(*args) / np.shape(args[0])[1]),
}
