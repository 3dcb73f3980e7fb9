"""Mean action plus Gaussian noise.  The project's own is policy.with_std(std * policy.net.limit).sample

Answer: The clone learns the mean action of the data, and noise that is zero on average does not move it: it only takes
more rows to see through it.  What the noise changes is where the data are.  It pushes the pendulum into states beside
the behaviour's own path, and tries actions there that the mean never takes, so that the models know what happens when
a better policy does something else.
"""


def with_noise(policy, std):
    def act(obs, rng):
        mean = policy.mean(obs)
        return mean + std * policy.net.limit * rng.standard_normal(mean.shape)

    return act
