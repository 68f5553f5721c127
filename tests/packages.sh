#!/usr/bin/env bash
# Install what the integration and acceptance tests need, where that is allowed.
set -u
wanted=()
command -v curl >/dev/null 2>&1 || wanted+=(curl)
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || wanted+=(postgresql)
command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || wanted+=(pgbouncer)
command -v mariadbd >/dev/null 2>&1 || [ -x /usr/sbin/mariadbd ] || wanted+=(mariadb-server)
[ -e /usr/share/wordpress/wp-settings.php ] || wanted+=(wordpress)
command -v php >/dev/null 2>&1 || wanted+=(php-cli)
php -m 2>/dev/null | grep -qx mysqli || wanted+=(php-mysql)
command -v phpunit >/dev/null 2>&1 || wanted+=(phpunit)
command -v phpcs >/dev/null 2>&1 || wanted+=(php-codesniffer)
command -v xgettext >/dev/null 2>&1 || wanted+=(gettext)
# Without the browser's own windows, which take more time than the pages.
command -v chromium-headless-shell >/dev/null 2>&1 || command -v chromium >/dev/null 2>&1 ||
  command -v chromium-browser >/dev/null 2>&1 ||
  wanted+=(chromium-headless-shell fonts-dejavu-core fonts-noto-color-emoji)
command -v redis-server >/dev/null 2>&1 || wanted+=(redis-server)
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || wanted+=(nginx)
command -v systemd-analyze >/dev/null 2>&1 || wanted+=(systemd)
command -v tsc >/dev/null 2>&1 || wanted+=(node-typescript)
[ ${#wanted[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
  export DEBIAN_FRONTEND=noninteractive
  # Servers are started by the tests themselves, on ports and in folders of their own.
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
  status=$?
  rm -f /usr/sbin/policy-rc.d
  [ $status -eq 0 ] && exit 0
fi
echo "not installed: ${wanted[*]}; tests that need them are skipped"
[ "${CI:-}" = true ] && exit 1
exit 0
