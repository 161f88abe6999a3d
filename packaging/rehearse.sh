#!/bin/bash
# Install the package on a clean Debian with a systemd of its own, run the main job, upgrade, remove. As root.
# Needs: debootstrap, systemd-container. Leaves build/host.tar, the clean root, for the next time.
set -euo pipefail
cd "$(dirname "$0")/.."
ours=$(mktemp -d /var/tmp/tierd-host-XXXXXX)
root=$ours/root
trap 'kill "$container" 2>/dev/null; wait 2>/dev/null; rm -rf "$ours"' EXIT
deb=$(ls dist/tierd_*.deb)

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
die() { echo "failed: $*" >&2; inside journalctl --no-pager -u tierd -n 40 >&2; exit 1; }
inside() { nsenter --all --target "$leader" -- "$@"; }
# Wait until a command succeeds.
await() { for _ in $(seq 300); do inside sh -c "$1" >/dev/null 2>&1 && return; sleep 0.2; done; die "waited for: $1"; }
for each in debootstrap systemd-nspawn; do
  command -v $each >/dev/null || { echo "missing: $each (debootstrap, systemd-container)" >&2; exit 1; }
done
trap 'die "line $LINENO: $BASH_COMMAND"' ERR

if ! test -e build/host.tar; then
  mkdir -p build
  debootstrap --variant=minbase --include=systemd,systemd-sysv,ca-certificates bookworm "$root" >/dev/null
  tar -C "$root" -cf build/host.tar .
else
  mkdir "$root" && tar -C "$root" -xf build/host.tar
fi
cp "$deb" "$root/root/tierd.deb"
systemd-nspawn --quiet --boot --directory="$root" --register=no --keep-unit --console=pipe --link-journal=no \
  --machine="tierd-$$" </dev/null >"$ours/console" 2>&1 & container=$!
for _ in $(seq 100); do leader=$(pgrep -P "$container" || true); test -n "$leader" && break; sleep 0.1; done
await 'systemctl is-system-running --wait | grep -E "running|degraded"'
say "a clean Debian $(cat "$root/etc/debian_version") runs systemd $(inside systemctl --version | awk 'NR == 1 {print $2}')"

inside apt-get -qq update
inside env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends /root/tierd.deb >"$ours/apt" 2>&1 ||
  { cat "$ours/apt"; die "apt-get install"; }
inside systemctl --quiet is-active tierd.service tierd.socket || die "it does not run"
inside test -s /usr/share/man/man1/tierd.1 -a -s /usr/share/bash-completion/completions/tierd \
  -a -s /usr/share/zsh/vendor-completions/_tierd -a -s /usr/share/fish/vendor_completions.d/tierd.fish || die "no pages"
inside test -s /usr/share/tierd/monitoring/alerts.yml || die "no alerts"
say "installed with one command, and running: $(inside systemctl show -p StatusText tierd)"

media=$root/var/lib/tierd/media
for n in $(seq 20); do inside runuser -u tierd -- sh -c "umask 007; head -c 300000 /dev/urandom >/var/lib/tierd/media/.$n; mv /var/lib/tierd/media/.$n /var/lib/tierd/media/$n.bin"; done
before=$(cd "$media" && sha256sum ./*.bin)
await 'test "$(tierd list --state replicated | wc -l)" = 20'
say "20 files are dropped and replicated"
inside tierd pin 1.bin >/dev/null
# Leases of before may be held for a minute after a start, unless the root is new.
inside tierd --yes demote 2.bin 3.bin || die "demote"
test ! -e "$media/2.bin" || die "2.bin is still there"
inside tierd get 2.bin >/dev/null || die "get"
test "$(sha256sum <"$media/2.bin")" = "$(awk '$2 == "./2.bin" {print $1 "  -"}' <<<"$before")" || die "2.bin is not what it was"
say "demoted, and promoted again: every byte is right"

inside apt-get -qq install --yes --no-install-recommends bash-completion fish zsh man-db >"$ours/apt" 2>&1 || { cat "$ours/apt"; die "shells"; }
inside env MANPAGER=cat man tierd | grep -q "tierd tier-manage" || die "man tierd"
inside fish -c 'complete -C"tierd promote 2.b"' | grep -qx "2.bin" || die "fish"
inside bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader tierd; COMP_WORDS=(tierd promote 2.b)
  COMP_CWORD=2; _tierd; test "${COMPREPLY[*]}" = 2.bin' || die "bash"
inside zsh -fc 'autoload -Uz compinit && compinit -u -d /tmp/dump && test "$_comps[tierd]" = _tierd' || die "zsh"
say "the manual, and what bash, fish and zsh offer, are found where these look"

inside systemctl reload tierd
cat >"$root/root/ask.py" <<'ASK'
import os, socket, threading
asked, lost = [], []
def ask():
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect("/run/tierd/tierd.sock")
        client.sendall(b"GET /v1/content/3.bin HTTP/1.1\r\nHost: tierd\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    if not answer.startswith(b"HTTP/1.1 200") or len(answer.split(b"\r\n\r\n", 1)[1]) != 300000:
        raise ValueError(answer[:300])
def go_on():
    while not os.path.exists("/run/over"):
        try:
            ask()
            asked.append(1)
        except Exception as error:
            lost.append(error)
clients = [threading.Thread(target=go_on) for _ in range(4)]
for each in clients: each.start()
for each in clients: each.join()
assert not lost, lost
print(len(asked))
ASK
inside /usr/lib/tierd/bin/python3 /root/ask.py >"$ours/asked" & asking=$!
for n in $(seq 8); do
  sleep 1
  inside runuser -u tierd -- sh -c "umask 007; for m in 1 2 3 4 5 6 7 8; do head -c 100000 /dev/urandom >/var/lib/tierd/media/load-$n-\$m; done"
  inside systemctl restart tierd
done
sleep 1
inside touch /run/over
wait "$asking" || die "a request was lost in a restart"
inside journalctl --no-pager -o verbose -u tierd LOGGER=daemon.reloading | grep -q "MESSAGE=configuration reloaded" ||
  die "the journal has no fields"
await 'test "$(tierd list --state replicated | wc -l)" = 84'
say "reloaded, and restarted 8 times while 4 clients asked and files came: $(cat "$ours/asked") times, none lost"

main=$(inside systemctl show -p MainPID --value tierd)
inside sh -c "kill -STOP $main"
await "test \$(systemctl show -p MainPID --value tierd) != $main && systemctl is-active tierd"
inside sh -c 'journalctl -u tierd | grep -q "Watchdog timeout"' || die "no word of the watchdog"
say "hung: ended by the watchdog, and started anew"

# A start that is longer than systemd waits: a promotion was linked and not yet noted, so the file is hashed first.
inside systemctl stop tierd.socket tierd.service
inside mkdir -p /run/systemd/system/tierd.service.d
inside sh -c 'printf "[Service]\nTimeoutStartSec=15\n" >/run/systemd/system/tierd.service.d/short.conf'
cat >"$root/var/tmp/interrupt.py" <<'INTERRUPT'
import hashlib, os, sqlite3, time
digest, size, zeros, end = hashlib.sha256(), 0, bytes(1 << 20), time.monotonic() + 18
while time.monotonic() < end:
    digest.update(zeros)
    size += len(zeros)
path = "/var/lib/tierd/media/load-1-1"
os.truncate(path, 0)
os.truncate(path, size)
with sqlite3.connect("/var/lib/tierd/index.db") as index:
    index.execute(
        "UPDATE asset SET state = 'promoting', size = NULL, mtime_ns = NULL, inode = NULL,"
        " proof_sha256 = ?, proof_size = ? WHERE path = ?", (digest.hexdigest(), size, b"load-1-1"))
index.close()
INTERRUPT
inside runuser -u tierd -- /usr/lib/tierd/bin/python3 /var/tmp/interrupt.py
inside systemctl daemon-reload
began=$SECONDS
inside systemctl start tierd.service tierd.socket || die "a slow start was ended"
test $((SECONDS - began)) -gt 15 || die "the start was not slow"
rm "$media/load-1-1"
inside rm /run/systemd/system/tierd.service.d/short.conf
inside systemctl daemon-reload
say "started for $((SECONDS - began)) s where systemd waits for 15, since it asked for more time"

dpkg-deb -R "$deb" "$ours/next" && sed -i 's/^Version: .*/&+next/' "$ours/next/DEBIAN/control"
echo '# ours' >>"$root/etc/tierd/config.toml"
dpkg-deb --root-owner-group -Zgzip -z1 -b "$ours/next" "$root/root/next.deb" >/dev/null
inside apt-get -qq install --yes /root/next.deb >"$ours/apt" 2>&1 || { cat "$ours/apt"; die "upgrade"; }
await 'test "$(tierd --json list | grep -o "\"pinned\": true" | wc -l)" = 1'
tail -1 "$root/etc/tierd/config.toml" | grep -q ours || die "the configuration was replaced"
say "upgraded: index, pin and configuration are as they were"
inside systemd-analyze security tierd.service | tail -1

inside apt-get -qq remove --yes tierd >"$ours/apt" 2>&1 || { cat "$ours/apt"; die "remove"; }
grep -A3 "stay as they are" "$ours/apt" || die "it was not told where assets are"
inside apt-get -qq purge --yes tierd >"$ours/apt" 2>&1
test "$(ls "$media"/*.bin | wc -l)" = 20 || die "assets are gone"
test -n "$(find "$root/var/lib/tierd/cold" -type f | head -1)" || die "the store is gone"
inside sh -c 'command -v tierd' >/dev/null && die "tierd is still there"
say "removed and purged: 20 assets on disk and their copies in the store stay"
