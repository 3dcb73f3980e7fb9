"""Mode online: TRPO on the simulator, without any model (arXiv:1502.05477).

python run.py --mode online --env hopper

It has trained the behaviour policies in examples/behavior, and it is the yardstick for mode recursive: how far does one
come with the same trust-region step, but with real transitions alone?

Letters in shapes: N rows, S observation dimension.
"""

import shlex
import sys
from dataclasses import dataclass

import numpy as np

import bremen
import envs
import nets
import run
import trpo

safe_files = run.page("safe_files")

# --- its numbers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnlineConfig(bremen.Config):
    """Every number of a run of mode online: bremen.configured(OnlineConfig, env=...) applies a preset."""

    mode: str = "online"
    online_steps: int = 1_000_000  # real transitions in total
    online_envs: int = 32  # simulators side by side
    online_horizon: int = 250  # steps of each per update
    policy: str = ""  # begin with the policy in this file, of the same robot; empty: a random one

    def __post_init__(self):
        """ValueError, in one line, for the first field that makes no sense."""
        envs.page("check_config").check(self, bremen.CHOICES | {"mode": ("online",)})

    def preset_numbers(self):
        """What its preset changes in the defaults, for its environment.  -> {field: value}"""
        sizes = SMOKE if self.preset == "smoke" else {}
        return super().preset_numbers() | sizes | ONLINE["*"] | ONLINE.get(self.env, {})


SMOKE = dict(online_steps=16_000, online_envs=8)
ONLINE = {  # what mode online changes on top of bremen.PRESETS, whatever the preset
    "*": dict(learn_std=True, std=0.5, policy_hidden=(64, 64), target_kl=0.015, gamma=0.99, lam=0.97, fisher_rows=1.0,
              value_epochs=10, iteration_updates=10),
    "ant": dict(std=0.3, target_kl=0.02),
}  # fmt: skip


# --- the algorithm --------------------------------------------------------------------------------------------------


def train_online(cfg, state=None, *, sample=None, improve=None):
    """Model-free TRPO (arXiv:1502.05477) on the simulator.  cfg: OnlineConfig

    Yields a record after each update; its "sampled_return" is the mean of the episodes that ended in it, or NaN.
    Training goes on from the `state` of an earlier record if one is given; the robots start new episodes.  Pass
    another function to replace sample_paths or trpo.improve.  Raises FloatingPointError when training diverges.
    """
    sample, improve = sample or sample_paths, improve or trpo.improve
    threads = nets.use_threads(cfg.threads)
    s = state or start_online(cfg)
    env = envs.TaskVectorEnv(cfg.env, cfg.online_envs, threads)
    env.reset(seed=[int(i) for i in s.rng["collect"].integers(2**31, size=cfg.online_envs)])
    while s.steps < cfg.online_steps:
        paths, returns = sample(env, bremen.policy_of(s, cfg), cfg.online_horizon, s.rng["collect"])
        net, rng = bremen.policy_net(cfg), s.rng["imagine"]
        theta, critic, info = improve(s.theta, s.critic, paths, s.norm, net, cfg, rng)
        norm = merge(s.norm, paths.obs.reshape(-1, paths.obs.shape[-1]))  # moves ever less: the policy is not adapted
        steps = s.steps + paths.rew.size
        s = s._replace(theta=theta, critic=critic, norm=norm, updates=s.updates + 1, steps=steps)
        yield {"stage": "online", "state": s, "sampled_return": np.mean(returns or [np.nan]), **info}


def sample_paths(env, policy, steps, rng):
    """Go on for `steps` steps with a Policy in an envs.TaskVectorEnv, whose final_obs are complete (Gymnasium asks for
    those of ended rows only).  -> trpo.Paths (steps, B), ended returns"""
    columns, returns, obs = [], [], env.obs.copy()
    for _ in range(steps):
        time, action = env.elapsed.copy(), policy.sample(obs, rng)
        new_obs, rew, terminated, truncated, infos = env.step(action)
        columns.append((obs, action, rew, infos.get("final_obs", new_obs), terminated, truncated, time))
        if "episode_returns" in infos:
            returns.extend(infos["episode_returns"][infos["_episode_returns"]])
        obs = new_obs
    return trpo.Paths(*(np.stack(column) for column in zip(*columns))), returns


def start_online(cfg):
    """A random policy.  2,000 random steps, which are not counted, begin its normaliser.  -> bremen.State"""
    rng, task = bremen.streams(cfg.seed), envs.TASKS[cfg.env]
    random_steps = envs.collect(task, envs.behavior(task, None, "random"), 2000, rng["collect"])
    critic = trpo.new_critic(rng["init"], task.obs_dim, cfg)
    theta = bremen.new_policy(cfg, rng["init"])
    return bremen.State(rng, nets.Normalizer.fit(random_steps.obs), theta=theta, critic=critic)


def begin_with_policy(cfg):
    """The policy of the file cfg.policy with the sigma of `cfg`, not a random one.  -> bremen.State; or UsageError"""
    net, s = bremen.policy_net(cfg), start_online(cfg)
    policy, _ = run.load_policy(cfg.policy, envs.TASKS[cfg.env])
    if policy.net != net:
        raise run.UsageError(f"{cfg.policy}: its network is {policy.net.sizes}: give --policy_hidden its hidden layers")
    weights, log_std = nets.split(policy.theta, net.sizes)[0], nets.split(s.theta, net.sizes)[1]
    return s._replace(theta=np.concatenate([weights, log_std]), norm=policy.norm)


def merge(norm, x):
    """A normaliser that has seen the rows of x (N, S), too: pairwise update of Chan, Golub & LeVeque 1979.

    -> nets.Normalizer
    """
    new = nets.Normalizer.fit(x)
    n = norm.count + new.count
    shift, w = new.mean - norm.mean, new.count / n
    var = (1 - w) * norm.std**2 + w * new.std**2 + w * (1 - w) * shift**2
    return nets.Normalizer(norm.mean + w * shift, np.sqrt(var), n)


# --- a run and its files --------------------------------------------------------------------------------------------


def run_online(cfg, opts):
    """--mode online for one seed: the run, and at its end the picture and the return of the last policy."""
    folder, history, progress = run.page("resume").run_folder(cfg, opts), run.History(), run.page("progress").Progress()
    progress.STAGES = progress.STAGES | {"online": ("TRPO on the simulator", "step", "sampled_return")}
    state = begin_with_policy(cfg) if cfg.policy else None  # a bad file leaves no directory
    run.page("resume").start_run(folder, cfg, history)
    records = train_online(cfg, state, sample=progress.timed("sample")(sample_paths))
    state = follow(cfg, folder, records, history, progress)
    plot = run.page("plot")
    key, seed, *curve = plot.read_run(folder)
    plot.plot_runs({key: {seed: curve}}, folder / "curves.png")
    policy, rng = bremen.policy_of(state, cfg), state.rng["evaluate"]
    test = lambda act: run.page("evaluate").tested(envs.TASKS[cfg.env], act, 100, rng, nets.workers())
    (returns, _, fall), (mean_returns, _, mean_fall) = test(policy.sample), test(policy.mean)
    sampled, by_mean = run.summary(returns), run.summary(mean_returns)
    about = {"command": run.page("provenance").command(cfg), "real_steps": state.steps, "episodes": 100}
    about |= {"return_mean": sampled["mean"], "return_std": sampled["std"], "fall": fall}
    about |= {"mean_action_return": [by_mean["mean"], by_mean["std"]], "mean_action_fall": mean_fall}
    run.save_policy(folder / "policy.npz", policy, cfg, **about)
    run.say(f"last policy with its noise: return {sampled['text']}\nits mean action: return {by_mean['text']}")
    run.say(f"use it with --policy {folder / 'policy.npz'}")


def follow(cfg, folder, records, history, progress):
    """Follow `train_online`: a progress bar, and a row with its files after each `iteration_updates` updates.

    -> the last bremen.State
    """
    since_row = []
    for record in records:
        stage, state = record.pop("stage"), record.pop("state")
        since_row.append(record)
        done = min(state.steps, cfg.online_steps)
        progress(record | {"stage": stage, "done": done, "total": cfg.online_steps})
        if state.updates % cfg.iteration_updates == 0 or done == cfg.online_steps:
            row = {"iteration": len(history.rows), "deployment": state.deployments, "updates": state.updates}
            row |= {"real_steps": state.steps} | run.means(since_row) | progress.lap()
            history.rows.append(run.plain_numbers(row))
            run.say(row_text(history.rows[-1]))
            run.write_results(folder, cfg, state, history)
            since_row = []
    progress.close()
    return state


def row_text(row):
    """One line about an iteration.  -> text"""
    ended = f"{row['sampled_return']:8,.0f}" if "sampled_return" in row else "(no episode has ended)"
    return f"{row['real_steps']:10,} steps: return {ended}, KL {row['kl']:.1e}"


# --- the command line -----------------------------------------------------------------------------------------------

FLAGS = "env preset seed threads gradients policy_hidden std density_std learn_std iteration_updates".split()
FLAGS += "target_kl gamma lam cg_iters cg_damping fisher_rows backtrack max_backtracks accept_ratio".split()
FLAGS += "value value_hidden value_epochs value_batch value_lr keep_policies tensorboard".split()
FLAGS += "online_steps online_envs online_horizon policy".split()


def parser(argv):
    """The flags of this page.  -> run.Parser"""
    p = run.page("collect").page_parser("online", FLAGS, __doc__, argv)
    p.add_argument("--exp_name", help="name of the run (bremen)")
    p.add_argument("--sub_exp_name", help="name of the group of runs (online)")
    p.add_argument("--log_dir", help="where runs are kept (log)")
    return p


def how_to_begin_again(cfg=None, opts=()):
    """What to do with a run that stopped early; cfg is None before there is one.  -> text"""
    folder = cfg and run.page("resume").run_folder(cfg, opts)
    if not cfg or not (folder / "config.json").exists():
        return "nothing was written"
    where = shlex.quote(str(folder))
    return f"mode online keeps no checkpoint: remove {where} or choose another --exp_name to begin again"


def main(argv=None):
    """Run the command line.  -> exit status, as run.guarded says"""
    argv = sys.argv[1:] if argv is None else argv
    current = {}  # the run that is being made: its "cfg" and the flags "opts"

    def work():
        opts = {"mode": "online"} | run.read_flags(argv, parser(argv))
        return max([run.run_one(cfg, opts, current, run_online) for cfg in run.configs_of(opts)])

    return run.guarded("run.py", work, lambda: how_to_begin_again(**current))


if __name__ == "__main__":
    sys.exit(main())
