"""Batch systems' commands and what they print, turned into `clues.slurm_model`: Slurm's own, and a site's programs.

`commands` and `programs` do I/O; the readers are pure. May import the model and infracore. What cannot be read is set
aside with a sentence, and the rest is read. Tests: `tests/clues/slurmapi/`.
"""
