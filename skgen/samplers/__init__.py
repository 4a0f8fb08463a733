"""Markov chains as pure functions: ``init`` a state, ``step`` from one to the next."""
