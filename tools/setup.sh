#!/usr/bin/env bash
# Installs what is missing on Debian as root; elsewhere says exactly what is. Does nothing when all is there.
set -euo pipefail

missing=()
packages=()

need() { # command, Debian package, what for
	command -v "$1" >/dev/null 2>&1 && return
	packages+=("$2")
	missing+=("$1 ($3)")
}

if ! command -v go >/dev/null 2>&1; then
	echo "setup: Go is missing: install Go 1.26 or newer from go.dev/dl" >&2
	exit 1
fi

# With a registry the images are pulled; without one they are built from Debian's packages.
need mmdebstrap mmdebstrap "builds the PostgreSQL and Redis images where no registry can be reached"
if ! command -v chromium >/dev/null 2>&1 && ! command -v google-chrome >/dev/null 2>&1; then
	need chromium chromium "the tests that look at the HTML report; they are reported as not run without it"
fi

if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null 2>&1; then
	need initdb postgresql "a private PostgreSQL for the tests of the payment system's books; they are reported as not run without it"
fi

# Runtime process uses the machine's own Redis; the tests of that runtime too.
need redis-server redis-server "experiments on local processes (--runtime process); chaos run --allow-substitutes does without"

if [ ${#packages[@]} -gt 0 ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "setup: installing ${packages[*]}" >&2
		apt-get update -qq
		# Servers are started for each run, on ports of their own; Debian's packages need not start any.
		if [ ! -e /usr/sbin/policy-rc.d ]; then
			printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
			chmod +x /usr/sbin/policy-rc.d
			trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		fi
		mkdir -p /etc/postgresql-common
		[ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
	else
		printf 'setup: not found: %s\n' "${missing[@]}" >&2
		echo "setup: on Debian, as root: apt-get install ${packages[*]}" >&2
	fi
fi

if ! docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then
	if [ ! -S /var/run/docker.sock ] && [ -z "${DOCKER_HOST:-}" ]; then
		echo "setup: no Docker engine was found; start Docker (or set DOCKER_HOST) before running experiments" >&2
	fi
fi
