<?php
/**
 * Converts the installed site to a network.
 *
 * @package Flask_Woo_Events
 */

define( 'WP_INSTALLING_NETWORK', true );
define( 'WP_ALLOW_MULTISITE', true );
require __DIR__ . '/bootstrap.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/network.php';
foreach ( $wpdb->tables( 'ms_global' ) as $table => $prefixed ) {
	$wpdb->$table = $prefixed;
}
install_network();
populate_network( 1, 'shop.test', 'admin@shop.test', 'Network', '/', false );
