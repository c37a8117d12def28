"""The way to one Kubernetes API server: configuration, authentication and raw requests. The only user of `kubernetes`.

May import infracore only. Tests: `tests/clues/kubeapi/`.
"""
