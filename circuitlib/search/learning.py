"""How a search is learned from behaviours whose rewards are known: a prior of them all, and policies that play with priors of all but one.

Shapes: t behaviours, h heads.
"""

from collections.abc import Sequence

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from circuitlib.search.belief import Belief, Believer, Seen, fit_prior, paid_elsewhere, see
from circuitlib.search.priced_policy import Learned, train
from circuitlib.search.trials import Trials
from circuitlib.threads import threads_of_one_core


def learn(
    trials: Sequence[Trials], rewards: Float[Tensor, "t h"], layers: int, budget: float | int, seeds: int
) -> tuple[Learned, pd.DataFrame]:
    """The prior and a policy of each seed; and the policies' history, a row per seed and update. Every behaviour is seen twice, with
    what heads pay in the others and without, as on a model of which nothing else is known. In training its episodes
    are believed by a prior fitted to the others, so that policies meet beliefs that err as they will on a new task.

    rewards: of each behaviour the mean reward of each head. layers: of the subject. budget: the price that policies play for.
    """

    def seen_without(*out: int) -> tuple[list[Trials], list[Seen]]:
        """Of the behaviours that are not left ``out``, each with what is paid in the others of them, and without."""
        left = [i for i in range(len(trials)) if i not in out]
        others = [paid_elsewhere(rewards[[j for j in left if j != i]]) for i in left]
        both = [see(trials[i].estimates, layers, paid) for i, paid in zip(left, others, strict=True)]
        return [trials[i] for i in left] * 2, both + [see(trials[i].estimates, layers) for i in left]

    def believed(i: int) -> list[Belief]:
        """Of behaviour i by a prior that was not fitted to it, with what is paid in the others, and without."""
        prior = fit_prior(*seen_without(i), seed=0)
        paid = paid_elsewhere(rewards[[j for j in range(len(trials)) if j != i]])
        return [Believer(prior, layers, known).belief(trials[i].estimates) for known in (paid, None)]

    with threads_of_one_core(len(trials)) as pool:
        with_others, without = zip(*pool.map(believed, range(len(trials))), strict=True)
    twice, beliefs = [*trials, *trials], [*with_others, *without]
    with threads_of_one_core(seeds) as pool:
        trained = list(pool.map(lambda seed: train(twice, beliefs, layers, budget, seed), range(seeds)))
    history = pd.DataFrame([row for _, rows in trained for row in rows])
    prior = fit_prior(*seen_without(), seed=0)
    return Learned(prior, {seed: network for seed, (network, _) in enumerate(trained)}), history
