"""How the daemon is asked: HTTP and JSON on a unix socket; metrics, health and a status page on a TCP port; reports.

`server` answers for any `clues.control.Control`, `client` is one (the same methods, over the socket), `page` and
`report` draw HTML that loads nothing from anywhere. May import what lies below it (never click, rich, cli).
Tests: `tests/clues/api/`.
"""
