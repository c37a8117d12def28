"""cluesd with a real Slurm: jobs come, nodes come, jobs run, nodes go. Marker `slurm`; rig: `tests.rigs.slurm`."""
