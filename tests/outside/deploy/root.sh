#!/bin/sh
# Turns FOLDER into the root of a bare Debian with this machine's programs, and becomes a process in
# it that does nothing. `machine.rs` runs this in namespaces of its own: root.sh FOLDER CHECKOUT PROGRAMS
set -eu
root=$1 checkout=$2 programs=$3
ip link set lo up
mount --make-rprivate /
mount --types tmpfs --options mode=755 root "$root"
cd "$root"

# What is written to /usr is gone with the root. Nothing is installed in /usr/local yet.
mkdir usr .upper .work
mount --types overlay --options "lowerdir=/usr,upperdir=$root/.upper,workdir=$root/.work" usr usr
mount --types tmpfs --options mode=755 local usr/local
mkdir -p usr/local/bin usr/local/sbin usr/local/share/man
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done

# Copies from /etc only what every Debian has, and no folder that a package of this machine made.
mkdir -p etc/systemd/system var/lib var/www/html root run checkout programs
mkdir --mode 1777 tmp
cp /usr/share/base-passwd/passwd.master etc/passwd
cp /usr/share/base-passwd/group.master etc/group
for name in alternatives ld.so.cache ld.so.conf ld.so.conf.d nsswitch.conf ssl; do
  [ ! -e "/etc/$name" ] || cp --archive "/etc/$name" etc
done
names='chat.example.com control.internal redis.internal'
printf '127.0.0.1 localhost %s\n' "$names" > etc/hosts

mkdir dev proc
mount --rbind /dev dev
mount --rbind /proc proc
mount --bind "$checkout" checkout
mount --options remount,bind,ro checkout
mount --bind "$programs" programs

# ── Programs that need another machine, a network or systemd ────────────────────────────────────

mkdir stubs
stub() {
  { echo '#!/bin/sh -eu' && cat; } > "stubs/$1"
  chmod +x "stubs/$1"
}

# Stands for cargo: installs the programs, which are built already.
stub cargo << 'END'
[ "$1 $2 $3 $4 $5" = 'install --locked --root /usr/local --path' ]
name=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$6/Cargo.toml" | head -n 1)
ln -s "/programs/$name" "/usr/local/bin/$name"
END

# Stands for apt: creates those files and folders of each package that the page relies on.
stub apt << 'END'
[ "$1" = install ]
case $2 in
  './arizuko_*.deb') install -D -m 644 -t /usr/share/doc/arizuko /checkout/deploy/Caddyfile /checkout/deploy/nginx.conf ;;
  caddy) mkdir /etc/caddy ;;
  nginx) mkdir -p /etc/nginx/sites-enabled ;;
  certbot) ;;
  *) exit 1 ;;
esac
END

# Stands for certbot: runs the hook. The test has already put the certificate into its folder.
stub certbot << 'END'
[ "$1" = certonly ]
while [ $# -gt 0 ]; do
  case $1 in
    --domain) domain=$2 ;;
    --deploy-hook) hook=$2 ;;
  esac
  shift
done
RENEWED_LINEAGE=/etc/letsencrypt/live/$domain sh -eu -c "$hook"
END

# Stands for systemctl: enables units, and notes those that systemd would start or reload.
stub systemctl << 'END'
case $1 in
  enable)
    [ "$2" = --now ]
    SYSTEMD_OFFLINE=1 /usr/bin/systemctl --quiet enable "$3"
    echo "start $3" ;;
  reload) echo "reload $2" ;;
  *) exit 1 ;;
esac >> /run/systemctl
END

exec chroot . /bin/sh -c 'echo ready && exec sleep infinity'
