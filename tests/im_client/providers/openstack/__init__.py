"""The OpenStack adapter on a small cloud of our own, which fails as it is told to."""
