<?php
/**
 * Loads a real WordPress into the process of the tests, with a stand-in for WooCommerce.
 *
 * FLASK_WOO_EVENTS_TEST is the folder of the tests, FLASK_WOO_EVENTS_SOCKET the database socket.
 *
 * @package Flask_Woo_Events
 */

$folder = getenv( 'FLASK_WOO_EVENTS_TEST' );
define( 'ABSPATH', ( getenv( 'FLASK_WOO_EVENTS_WORDPRESS' ) ?: '/usr/share/wordpress' ) . '/' );
define( 'DB_NAME', getenv( 'FLASK_WOO_EVENTS_DATABASE' ) );
define( 'DB_USER', 'root' );
define( 'DB_PASSWORD', '' );
define( 'DB_HOST', 'localhost:' . getenv( 'FLASK_WOO_EVENTS_SOCKET' ) );
define( 'DB_CHARSET', 'utf8mb4' );
define( 'DB_COLLATE', '' );
define( 'WP_CONTENT_DIR', $folder . '/wp-content' );
define( 'WP_DEBUG', true );
define( 'WP_DEBUG_DISPLAY', true );
define( 'DISABLE_WP_CRON', true );
define( 'WP_HTTP_BLOCK_EXTERNAL', true );
foreach ( array( 'AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE' ) as $name ) {
	define( $name . '_KEY', $name . ' key of a test' );
	define( $name . '_SALT', $name . ' salt of a test' );
}
if ( getenv( 'FLASK_WOO_EVENTS_NETWORK' ) ) {
	define( 'MULTISITE', true );
	define( 'SUBDOMAIN_INSTALL', false );
	define( 'DOMAIN_CURRENT_SITE', 'shop.test' );
	define( 'PATH_CURRENT_SITE', '/' );
	define( 'SITE_ID_CURRENT_SITE', 1 );
	define( 'BLOG_ID_CURRENT_SITE', 1 );
}
$table_prefix                = 'tests_';
$_SERVER['HTTP_HOST']        = 'shop.test';
$_SERVER['SERVER_NAME']      = 'shop.test';
$_SERVER['REQUEST_METHOD']   = 'GET';
$_SERVER['REQUEST_URI']      = '/';
$_SERVER['SERVER_PROTOCOL']  = 'HTTP/1.1';
$_SERVER['REMOTE_ADDR']      = '127.0.0.1';
$GLOBALS['table_prefix']     = $table_prefix;
// Ignore deprecations of an old WordPress on a new PHP.
error_reporting( E_ALL & ~E_DEPRECATED );

require_once ABSPATH . 'wp-settings.php';
error_reporting( E_ALL & ~E_DEPRECATED );
require_once ABSPATH . 'wp-admin/includes/plugin.php';
require_once ABSPATH . 'wp-admin/includes/user.php';
// A test that failed in a transaction must not block the others.
$wpdb->query( 'SET SESSION lock_wait_timeout = 5, innodb_lock_wait_timeout = 5' );
if ( class_exists( 'PHPUnit\\Framework\\TestCase' ) ) {
	require_once __DIR__ . '/JournalTestCase.php';
}
