# Becomes systemd as process 1 of a machine of its own: the programs of this one in
# a file system that forgets, a control group of its own, this network.
set -e
root=$1 program=$2
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir -p usr etc/systemd/system etc/ssl run var/lib var/log proc sys dev tmp root over
mount -t tmpfs tmpfs over
mkdir over/up over/work
mount -t overlay -o "lowerdir=/usr,upperdir=over/up,workdir=over/work" overlay usr
for link in bin sbin lib lib64; do
    if [ -L "/$link" ]; then ln -s "usr/$link" "$link"; fi
done
echo root:x:0:0:root:/root:/bin/sh > etc/passwd
echo root:x:0: > etc/group
echo 0123456789abcdef0123456789abcdef > etc/machine-id
mount --bind /etc/ssl etc/ssl
cp -L /etc/resolv.conf etc/resolv.conf
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
    : > "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/net dev/shm dev/pts dev/mqueue
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
: > dev/net/tun
mount --bind /dev/net/tun dev/net/tun
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
: > root/vpnm
mount --bind "$program" root/vpnm
mkdir old
pivot_root . old
umount -l old
rmdir old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --system --show-status=no --unit=multi-user.target
