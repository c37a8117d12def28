#!/bin/sh
# install-packages.sh PACKAGE...: install the Debian packages that are missing; quick when none is.
# apt-cacher-ng and nftables make machines quicker and give them a way out; a distribution without them is no failure.
#
# No daemon is started by it, now or at the next boot: the local provider starts by itself what it needs, and a
# developer's machine shall not begin to listen for ssh because a test wanted sshd.
set -eu

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | cut -c1-2)" = ii ]
}

command -v dpkg-query >/dev/null || {
    echo "this is not Debian or Ubuntu: install by hand what these packages hold: $*" >&2
    exit 2
}

missing=""
wished=""
for package in "$@"; do
    case $package in
        apt-cacher-ng | nftables) is_installed "$package" || wished="$wished $package" ;;
        *) is_installed "$package" || missing="$missing $package" ;;
    esac
done
[ -n "$missing$wished" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root="sudo"
else
    echo "missing packages; install them with: sudo apt-get install$missing$wished" >&2
    exit 2
fi

export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
made_policy=""
cleanup() {
    [ -z "$made_policy" ] || $as_root rm -f "$policy"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
if [ ! -e "$policy" ]; then
    made_policy=1
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi

run_apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0 "$@" >&2 </dev/null
}

echo "installing:$missing$wished" >&2
run_apt update || echo "apt-get update failed; trying with the lists that are here" >&2
[ -z "$missing" ] || run_apt install --no-install-recommends $missing
for package in $wished; do
    run_apt install --no-install-recommends "$package" || echo "not to be had here, going on without: $package" >&2
done

if command -v systemctl >/dev/null; then
    for package in $missing $wished; do
        case $package in
            openssh-server) $as_root systemctl disable --quiet ssh.service ssh.socket 2>/dev/null || true ;;
            snmpd) $as_root systemctl disable --quiet snmpd.service 2>/dev/null || true ;;
            openipmi) $as_root systemctl disable --quiet openipmi.service 2>/dev/null || true ;;
            slurm-wlm) $as_root systemctl disable --quiet slurmctld.service slurmd.service 2>/dev/null || true ;;
            slurmrestd) $as_root systemctl disable --quiet slurmrestd.service 2>/dev/null || true ;;
            libvirt-daemon-system)
                $as_root systemctl disable --quiet libvirtd.service libvirtd.socket libvirtd-ro.socket \
                    libvirtd-admin.socket virtlogd.socket virtlockd.socket libvirt-guests.service 2>/dev/null || true ;;
            postgresql) $as_root systemctl disable --quiet postgresql.service 2>/dev/null || true ;;
            rabbitmq-server) $as_root systemctl disable --quiet rabbitmq-server.service 2>/dev/null || true ;;
            erlang-base) $as_root systemctl disable --quiet epmd.service epmd.socket 2>/dev/null || true ;;
            open-iscsi) $as_root systemctl disable --quiet open-iscsi.service iscsid.socket 2>/dev/null || true ;;
            munge) $as_root systemctl disable --quiet munge.service 2>/dev/null || true ;;
            apt-cacher-ng) $as_root systemctl disable --quiet apt-cacher-ng.service 2>/dev/null || true ;;
        esac
    done
fi
