"""Fuzzing of all that comes from outside: targets, a mutator, two engines and a corpus.

``make fuzz MINUTES=60`` runs every target in turn, ``TARGET=stream`` one of them; ``tests/fuzz/
test_corpus.py`` replays what is kept under ``corpus/``.
"""
