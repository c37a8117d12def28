#!/bin/sh
# Removes what pods leave in the kernel after `kubeadm reset`: interfaces, network name spaces, rules. Says on stdout what
# it removed, nothing where there was nothing. May be run again.
set -u

for link in cni0 flannel.1 flannel-v6.1 flannel-wg flannel-wg-v6 vxlan.calico cilium_host cilium_vxlan kube-ipvs0; do
    [ -e "/sys/class/net/$link" ] && ip link delete "$link" && echo "removed $link"
done
for space in /run/netns/cni-*; do
    [ -e "$space" ] && ip netns delete "$(basename "$space")" && echo "removed $space"
done

for tables in iptables ip6tables; do
    command -v $tables-save >/dev/null 2>&1 || continue
    if $tables-save 2>/dev/null | grep -qiE 'KUBE-|CNI-|flannel|cali-'; then
        $tables-save | grep -viE 'KUBE-|CNI-|flannel|cali-' | $tables-restore && echo "removed rules of $tables"
    fi
done
for family in ip ip6; do
    command -v nft >/dev/null 2>&1 && nft delete table $family kube-proxy 2>/dev/null && echo "removed kube-proxy of $family"
done
exit 0
