#!/bin/sh
# registry-mirror NAME: runs one registry of the role registry_mirror. A mirror of docker-registry 2.8 does not start while
# its upstream is not reached: then it serves what it has kept, and tries again after ten minutes.
config=/etc/registry-mirror/$1.yml
kept=/etc/registry-mirror/$1.kept.yml
docker-registry serve "$config" && exit 0
[ -e "$kept" ] || exit 1
echo "the upstream is not reached: what was kept is served for ten minutes" >&2
exec timeout 600 docker-registry serve "$kept"
