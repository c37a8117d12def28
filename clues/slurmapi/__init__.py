"""Slurm's commands and what they print: run, read in either form (JSON or text), turned into `clues.slurm_model`.

Only `commands` does I/O; the readers are pure. May import the model, snapshot and infracore. What cannot be read is set
aside with a sentence, and the rest is read. Tests: `tests/clues/slurmapi/`.
"""
