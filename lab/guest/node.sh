# A Kubernetes node: network, containerd, kubelet. Binaries are on /tools, this node's credentials on /cluster.
# No VF is made and no vfio module is loaded here: that is virtfn's work.
network=10.77.$VIRTFN_NUMBER
# Before the kubelet, which counts them once, and while memory is in one piece.
[ "${VIRTFN_HUGEPAGES:-0}" = 0 ] || echo "$VIRTFN_HUGEPAGES" > /proc/sys/vm/nr_hugepages
for folder in /sys/class/net/*; do
    [ "$(basename "$(readlink "$folder/device/driver" 2>/dev/null)")" = virtio_net ] && nic=${folder##*/}
done
ip addr add "$network.15/24" dev "$nic"
ip link set "$nic" up
ip route add default via "$network.2"
modprobe -a overlay br_netfilter igb nvme 2>/dev/null
echo 1 > /proc/sys/net/ipv4/ip_forward
mount -t ext4 /dev/vdb /var/lib/containerd 2>/dev/null || { mkdir -p /var/lib/containerd; mount -t ext4 /dev/vdb /var/lib/containerd; }
# The folders that virtfn writes to are small file systems of their own, so that a test can fill only them. On a node that
# can be rebooted, /var/lib/virtfn is on the disk, which is kept.
folders="/run/virtfn /run/virtfn-ledger"
[ -n "$VIRTFN_REBOOTS" ] || folders="$folders /var/lib/virtfn"
for folder in $folders; do
    mkdir -p $folder
    mount -t tmpfs -o size=1m,mode=755 tmpfs $folder
done
nft -f - <<RULES
table ip lab { chain post { type nat hook postrouting priority 100; ip saddr 10.88.0.0/16 oif "$nic" masquerade; }; }
RULES
mkdir -p /etc/cni/net.d /etc/containerd /var/lib/kubelet
cat > /etc/cni/net.d/10-lab.conflist <<CNI
{"cniVersion": "1.0.0", "name": "lab", "plugins": [{"type": "ptp", "ipMasq": false,
 "ipam": {"type": "host-local", "subnet": "10.88.$VIRTFN_NUMBER.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}]}
CNI
# The lab needs no statistics. Collecting them each second, as containerd 2.4 does by default, took half an emulated
# CPU; writing the node's status each second cost the kubelet a quarter of one (measured by hand on the lab's node).
cat > /etc/containerd/config.toml <<TOML
version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = "/etc/containerd/certs.d"
[plugins.'io.containerd.cri.v1.runtime']
stats_collect_period = "1h"
enable_cdi = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "/etc/cni/net.d"
TOML
cat > /run/kubelet.yaml <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {x509: {clientCAFile: /cluster/ca.crt}, webhook: {enabled: true}, anonymous: {enabled: false}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failSwapOn: false
tlsCertFile: /cluster/$VIRTFN_NODE.crt
tlsPrivateKeyFile: /cluster/$VIRTFN_NODE.key
nodeStatusUpdateFrequency: 3s
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
crashLoopBackOff: {maxContainerRestartPeriod: 2s}
resolvConf: ""
YAML
# There is no systemd here. This is what it does of an installed boot unit: the command, once, before the kubelet.
if [ -n "$VIRTFN_REBOOTS" ]; then
    mkdir -p /etc/systemd/system /var/lib/virtfn
    unit=/etc/systemd/system/multi-user.target.wants/virtfn-boot.service
    [ -e $unit ] && sh -c "$(sed -n 's/^ExecStart=//p' $unit)" > /run/virtfn-boot.log 2>&1
fi
export PATH=/tools:$PATH
python3 -I /src/lab/guest/exec-server.py > /run/exec-server.log 2>&1 &
forever() { while :; do "$@"; echo "$1 ended with $?; starting it again"; done; }
forever containerd > /run/containerd.log 2>&1 &
forever kubelet --config /run/kubelet.yaml --kubeconfig "/cluster/$VIRTFN_NODE.kubeconfig" \
    --root-dir "$VIRTFN_KUBELET_ROOT" --hostname-override "$VIRTFN_NODE" --node-ip "$network.15" > /run/kubelet.log 2>&1 &
wait
