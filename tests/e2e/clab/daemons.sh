#!/bin/sh
# Starts FRR's daemons and gives them /etc/frr/frr.conf.
set -e
mkdir -p /run/frr /var/tmp/frr
for daemon in mgmtd zebra ospfd; do
    /usr/lib/frr/$daemon -d -u root -g root -P 0
done
vtysh -b
