#!/bin/sh
# Takes K3s off a machine: its service; what goes on without it (KillMode=process), which is containers, mounts and
# networks; its program, configuration and data. Says on stdout what it ended or removed, nothing where there was nothing.
# May be run again.
set -u

end() { # end PID...: by SIGTERM, and what is still there by SIGKILL
    [ $# -gt 0 ] || return 0
    echo "ended $*"
    kill -TERM "$@" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 "$@" 2>/dev/null || return 0
        sleep 0.5
    done
    kill -KILL "$@" 2>/dev/null
    return 0
}

for unit in k3s k3s-agent; do
    file=/etc/systemd/system/$unit.service
    [ -e "$file" ] || continue
    systemctl disable --now "$unit" >/dev/null 2>&1
    rm -f "$file" && systemctl daemon-reload && systemctl reset-failed "$unit" 2>/dev/null
    echo "removed $unit"
done

# The shims, by the program that they run, and everything in the control groups of pods.
pids=""
for exe in /proc/[0-9]*/exe; do
    case $(readlink "$exe" 2>/dev/null) in
    /var/lib/rancher/k3s/data/*/bin/*) pids="$pids $(basename "$(dirname "$exe")")" ;;
    esac
done
for group in $(find /sys/fs/cgroup -type d -name 'kubepods*' -prune 2>/dev/null); do
    for procs in $(find "$group" -name cgroup.procs 2>/dev/null); do
        pids="$pids $(tr '\n' ' ' <"$procs")"
    done
done
end $(printf '%s\n' $pids | sort -un)

awk '{print $2}' /proc/self/mounts | sort -r | while read -r mount; do
    case $mount in
    /run/k3s/* | /var/lib/rancher/k3s/* | /var/lib/kubelet/pods/* | /var/lib/kubelet/plugins/* | /run/netns/cni-*)
        umount -l "$mount" && echo "unmounted $mount"
        ;;
    esac
done

for link in cni0 flannel.1 flannel-v6.1 flannel-wg flannel-wg-v6 kube-ipvs0; do
    [ -e "/sys/class/net/$link" ] && ip link delete "$link" && echo "removed $link"
done
for space in /run/netns/cni-*; do
    [ -e "$space" ] && ip netns delete "$(basename "$space")" && echo "removed $space"
done

for tables in iptables ip6tables; do
    command -v $tables-save >/dev/null 2>&1 || continue
    if $tables-save 2>/dev/null | grep -qiE 'KUBE-|CNI-|flannel'; then
        $tables-save | grep -viE 'KUBE-|CNI-|flannel' | $tables-restore && echo "removed rules of $tables"
    fi
done

# What is still mounted below a folder is not followed.
for place in /etc/rancher/k3s /etc/rancher/node /run/flannel /run/k3s /usr/local/bin/k3s /usr/local/lib/k3s \
    /var/lib/cni /var/lib/kubelet /var/lib/rancher/k3s; do
    { [ -e "$place" ] || [ -L "$place" ]; } || continue
    rm -rf --one-file-system "$place" && echo "removed $place"
done
for shared in /etc/rancher /var/lib/rancher; do
    rmdir "$shared" 2>/dev/null && echo "removed $shared"
done
exit 0
