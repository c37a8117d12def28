"""Machines of smaller clouds through apache-libcloud: Azure, DigitalOcean, Linode, Vultr, CloudStack, GCE.

One adapter (`cloud.py`) for all; what differs is a frozen `Descriptor` a cloud, in a module of its name. libcloud
signs, logs in and sends; where a method of its driver waits, loses what we need or is broken, the request is our own on
the driver's connection, and the module says which. May import: what `providers` may, and libcloud. Never: waits for a
machine.
Tests: `tests/im_client/providers/libcloud/`, the contract suite with `tests/contracts/harness_libcloud_*.py`; no test
has met a real cloud (docs/reference/clouds.md).
"""
