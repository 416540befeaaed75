# SPDX-License-Identifier: Apache-2.0
"""Alternating measurements and what is reported of them."""
import statistics


def alternate(rounds, measures):
    """Calls each of the named functions once a round; returns {name: [figure of each round]}."""
    figures = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            figures[name].append(measure())
    return figures


def ratio(figures, name, to):
    """The median over the rounds of figure / figure of the peer in the same round."""
    return statistics.median(a / b for a, b in zip(figures[name], figures[to]))


def median(figures, name):
    return statistics.median(figures[name])


def row(case, measured, target, met, **data):
    return {"case": case, "measured": measured, "target": target, "met": bool(met), **data}
