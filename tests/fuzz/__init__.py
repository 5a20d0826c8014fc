"""A seeded fuzzer over every reader of the program: ``python -m tests.fuzz --cases 20000 --seed 1``.

A case is made of the seed and its number alone, so that ``--seed S --case N`` repeats it. A reader may answer, or
refuse with an :class:`~mmdemo.core.errors.MmdemoError`; anything else is a defect, warnings and hangs among it.
"""
