"""Chaos: random faults, repairs and changes of running labs, each followed by a comparison with the rules.

`steps` has what is done, as the commands that a user would type; `fib` and `watch` follow a machine's kernel through
every moment of it; `rules` has what must come of it; `machine` draws the steps, and writes down those that failed.
"""
