#!/usr/bin/env bash
# Becomes the machine of machine.sh: machine-boot.sh WORK ROOT [inside].
set -euo pipefail
work=$1
source=$2

if [[ ${3-} != inside ]]; then
    echo $$ >"$work/cgroups/${work##*/}/cgroup.procs"
    # The kernel ends everything in it with the unshare, which itself takes no notice of SIGTERM.
    unshare --mount --uts --pid --fork --cgroup --kill-child -- bash "$0" "$work" "$source" inside &
    trap 'kill -KILL $!' TERM
    wait $!
    exit
fi

# On a tmpfs, because a layer may not lie inside what it covers.
mount -n -t tmpfs -o mode=0755 tmpfs "$work/machine"
mkdir "$work"/machine/{changes,kernel,root}
root=$work/machine/root
mount -n -t overlay -o "lowerdir=/,upperdir=$work/machine/changes,workdir=$work/machine/kernel" overlay "$root"

mount -n -t proc proc "$root/proc"
# The kernel's own settings are everybody's.
mount -n --bind "$root/proc/sys" "$root/proc/sys"
mount -n -o remount,bind,ro "$root/proc/sys"
mount -n --bind /sys "$root/sys"
mount -n -o remount,bind,ro "$root/sys"
mount -n -t tmpfs -o mode=0755 tmpfs "$root/sys/fs/cgroup"
mount -n -o nosuid,nodev,noexec -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -n -t tmpfs -o mode=0755 tmpfs "$root/run"
mount -n -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -n -t tmpfs -o mode=0755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount -n --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -n -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
mkdir -p "$root/mnt" "$root$source"
mount -n --bind "$work/exchange" "$root/mnt"
mount -n --bind "$source" "$root$source"
mount -n -o remount,bind,ro "$root$source"

# What images for containers leave out or forbid, a machine has.
rm -f -- "$root/usr/sbin/policy-rc.d" "$root"/etc/dpkg/dpkg.cfg.d/*
# With these apt and man-db read and write for seconds what nobody asks for here.
rm -rf -- "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root/var/lib/man-db/auto-update"
# None of this machine's own services is to start, nor what boots a machine of iron.
rm -rf -- "$root"/{etc,usr/lib,lib}/systemd/system/*.target.wants
cat >"$root/etc/systemd/system/nothing.target" <<'UNIT'
[Unit]
Description=A log, and nothing else
DefaultDependencies=no
Wants=systemd-journald.service
UNIT

rm -f -- "$root/etc/fstab"

# Not chroot alone: below it nobody may make a user namespace, as PrivateUsers= does.
mkdir "$root/run/outside"
cd "$root"
pivot_root . run/outside
umount --lazy run/outside
rmdir run/outside
exec chroot . env --ignore-environment container=e2e PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=nothing.target --log-target=journal --show-status=no
