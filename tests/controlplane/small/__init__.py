"""A small control plane in Python, for where no real one can be had: the same tests, the same requests.

It keeps what cluesd and the tests rely on: versions and conflicts, pages, field selectors, watches with bookmarks and
410, streaming lists, subresources, the Eviction API with its 429, kubeconfigs over TLS; and Deployments, budgets and
scheduling by resources, nodeSelector and taints. It checks no object and no rights. `kmock` (PyPI, 0.8) was looked at
first: its stateful server has no field selectors, no versions to watch from, no bookmarks and no evictions.

`store.py` holds objects, `server.py` speaks HTTP, `controllers.py` plays controllers and scheduler,
`plane.py` runs all of it.
"""
