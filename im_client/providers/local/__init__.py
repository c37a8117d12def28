"""Real machines on this computer: each with its own address, root file system, systemd as PID 1 and sshd.

For root they are systemd-nspawn containers on an overlay of a base image; for an ordinary user QEMU machines.

Usage: `registry.provider("local", settings)`, then `prepare(print)` once, then the protocol of `base.py`.
The machines of root's provider have addresses on a bridge of ours (`imclues0`, 10.77.0.0/24 unless taken);
log in as root on port 22. `python -m im_client.providers.local.packages` prints the packages that are missing.

One machine is one folder `STATE/machines/TOKEN`; its manifest is on disk before anything else is made, and the
supervisor that keeps it running holds a lock in it: running is known by the lock, never by a process number.

May import: what `im_client.providers` may. Never: other providers; a shell.
Tests: `tests/im_client/providers/local/`, `tests/contracts/` (marker `machines`; QEMU: `vm`).
"""
