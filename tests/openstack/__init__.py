"""Tests on a real OpenStack control plane (tests/rigs/openstack)."""
