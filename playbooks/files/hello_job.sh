#!/bin/sh
#SBATCH --job-name=hello
#SBATCH --time=2
# One line from each worker that the job was given: `sbatch --wait --nodes=2 hello_job.sh`.
srun sh -c 'echo "hello from $(hostname), task $SLURM_PROCID of $SLURM_NTASKS"'
