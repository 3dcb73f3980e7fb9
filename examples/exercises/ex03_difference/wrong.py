"""Plausible wrong answers to ex03."""

import numpy as np

import bremen
import nets


def of_the_state(obs, next_obs):
    scale = nets.Normalizer.fit(obs).scale
    delta = next_obs - obs
    return (delta - delta.mean(axis=0)) / scale, delta.mean(axis=0), scale


def not_a_difference(obs, next_obs):
    norm = nets.Normalizer.fit(next_obs)
    return norm(next_obs), norm.mean, norm.scale


def only_zero_is_none(obs, next_obs):
    delta = next_obs - obs
    scale = np.where(delta.std(axis=0) == 0, 1.0, delta.std(axis=0))
    return (delta - delta.mean(axis=0)) / scale, delta.mean(axis=0), scale


def without_the_mean(dynamics, obs, act, member, cfg):
    return bremen.predict(dynamics, obs, act, member, cfg) - dynamics.delta.mean


def raw_inputs(dynamics, obs, act, member, cfg):
    nothing = nets.Normalizer(np.zeros(len(dynamics.inputs.mean)), np.ones(len(dynamics.inputs.mean)))
    return bremen.predict(dynamics._replace(inputs=nothing), obs, act, member, cfg)


def by_std(dynamics, obs, act, member, cfg):
    x = (np.concatenate([obs, act], axis=1) - dynamics.inputs.mean) / np.maximum(dynamics.inputs.std, 1e-12)
    y = nets.mlp(dynamics.phi[member], x, bremen.model_sizes(cfg))
    return obs + y * dynamics.delta.std + dynamics.delta.mean


WRONG = {
    "differences divided by the spread of the states": dict(targets=of_the_state),
    "next_obs itself is the target": dict(targets=not_a_difference),
    "the standard deviation of rounding errors as a scale": dict(targets=only_zero_is_none),
    "the mean difference is not added again": dict(predict=without_the_mean),
    "std instead of scale": dict(predict=by_std),
    "the inputs are not normalised": dict(predict=raw_inputs),
}
