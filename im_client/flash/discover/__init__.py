"""Finding Raspberry Pis on the networks of this computer, and which board of a fleet each is.

Where machines are looked for: the kernel's neighbour table, leases that a DHCP server of this computer gave, multicast
DNS, and a sweep of one named network. What a machine says of itself (a name, a MAC address) only suggests who it is; it
is believed when it proves the host key that was put on its card.
May import: `remote`, `infracore`. Never: writes anything, or logs in where the host key is not known in advance.
Tests: `tests/im_client/flash/discover/` (marker `netns` finds machines in network namespaces).
"""
